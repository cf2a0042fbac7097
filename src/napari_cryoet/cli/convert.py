"""``napari-cryoet convert``: picks from one format to another."""

from __future__ import annotations

import argparse
import sys

from napari_cryoet.cli.console import say
from napari_cryoet.exceptions import CryoETError, ExistsError, MissingContextError
from napari_cryoet.formats.registry import TITLES, format_for, losses, missing_for, read_picks, write_picks
from napari_cryoet.wording import count_text, spacing_text

_OPTIONS = {"spacing_angstrom": "--spacing Å", "shape_zyx": "--shape Z,Y,X", "tomogram": "--tomogram NAME"}


def convert(options: argparse.Namespace) -> int:
    """Read, say what is to be known of the source and what the new file won't hold, and write."""
    try:
        picks = read_picks(
            options.source,
            spacing_angstrom=options.spacing,
            shape_zyx=options.shape,
            tomogram=options.tomogram,
            alignment_id=options.alignment,
        )
        name = options.to or format_for(options.target, picks)
        if not missing_for(picks, name):
            for note in (*picks.about.get("warnings", ()), *losses(picks, name)):
                say(f"note: {note}")
            sys.stdout.flush()  # before anything is written, also into a pipe
        made = write_picks(picks, options.target, format=name, overwrite=options.overwrite)
    except MissingContextError as error:
        wanted = " and ".join(_OPTIONS[name] for name in error.missing)
        raise CryoETError(error.message, hint=f"Say {wanted}.") from error
    except ExistsError as error:
        raise ExistsError(error.message, hint="Choose another name, or say --overwrite.") from error
    spacing = f", counted in voxels of {spacing_text(picks.spacing_angstrom)}" if picks.spacing_angstrom else ""
    say(f"{made.path}: {count_text(made.count, 'pick')} as {TITLES[made.format]}{spacing}")
    return 0
