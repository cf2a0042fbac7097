"""``napari-cryoet convert``: picks from one format to another."""

from __future__ import annotations

import argparse

from napari_cryoet.cli.console import say
from napari_cryoet.exceptions import CryoETError, ExistsError, MissingContextError
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.pick_formats import TITLES
from napari_cryoet.wording import count_text, spacing_text

_OPTIONS = {"spacing_angstrom": "--spacing Å", "shape_zyx": "--shape Z,Y,X", "tomogram": "--tomogram NAME"}


def convert(options: argparse.Namespace) -> int:
    """Read, write, and say what the new file doesn't hold."""
    try:
        picks = read_picks(
            options.source, spacing_angstrom=options.spacing, shape_zyx=options.shape, tomogram=options.tomogram
        )
        made = write_picks(picks, options.target, format=options.to, overwrite=options.overwrite)
    except MissingContextError as error:
        wanted = " and ".join(_OPTIONS[name] for name in error.missing)
        raise CryoETError(error.message, hint=f"Say {wanted}.") from error
    except ExistsError as error:
        raise ExistsError(error.message, hint="Choose another name, or say --overwrite.") from error
    spacing = f", counted in voxels of {spacing_text(picks.spacing_angstrom)}" if picks.spacing_angstrom else ""
    say(f"{made.path}: {count_text(made.count, 'pick')} as {TITLES[made.format]}{spacing}")
    for loss in made.losses:
        say(f"note: {loss}")
    return 0
