"""``napari-cryoet check``: whether picks make sense in a volume."""

from __future__ import annotations

import argparse
import json
import math
import threading
from contextlib import closing
from dataclasses import replace
from typing import Final

from napari_cryoet.check.findings import Findings, check_picks
from napari_cryoet.cli.console import ProgressLine, say, stop_on_interrupt
from napari_cryoet.exceptions import CryoETError, FormatError, MissingContextError
from napari_cryoet.formats.common import spacing_in_layout
from napari_cryoet.formats.registry import format_of_name, read_in_own_grid, read_picks
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import Volume, open_volume

#: Of widths that headers keep as rounded lengths of the whole volume.
_SAME_WIDTH: Final = 1e-3


def check(options: argparse.Namespace) -> int:
    """Print what is found, in sentences or as JSON; 0 whatever it is."""
    if format_of_name(options.volume) is not None:
        raise FormatError(f"{options.volume} is a file of picks, not a volume.", hint="Name the picks first, then it.")
    with stop_on_interrupt() as stop, ProgressLine() as line, closing(_open(options, stop)) as volume:
        picks = _read(options, volume)
        found = check_picks(
            picks,
            volume,
            diameter_angstrom=options.diameter,
            stop=stop,
            progress=lambda share, words: line.show(f"{share:4.0%}  {words}"),
        )
    notes = [*picks.about.get("warnings", ()), *volume.remarks]
    if options.json:
        say(json.dumps(found.as_data() | {"notes": notes}, indent=1, ensure_ascii=False))
    else:
        _tell(found)
        for note in notes:
            say(f"note: {note}")
    return 0


def _read(options: argparse.Namespace, volume: Volume) -> Picks:
    """The picks in their own grid; where their file can't tell them without one, in that of the volume."""
    path, spacing_angstrom, tomogram = options.picks, options.spacing, options.tomogram
    try:
        return read_in_own_grid(path, spacing_angstrom=spacing_angstrom, tomogram=tomogram)
    except MissingContextError as error:
        spacing_zyx = volume.spacing_angstrom
        if "tomogram" in error.missing:
            raise CryoETError(error.message, hint="Say --tomogram NAME.") from error
        if spacing_zyx is None or not _are_cubes(spacing_zyx):
            raise
        # what counts from the centre is in ångström: whichever voxels are taken, the places are the same
        return read_picks(path, spacing_angstrom=spacing_zyx[0], shape_zyx=volume.shape_zyx, tomogram=tomogram)


def _are_cubes(spacing_zyx: tuple[float, float, float]) -> bool:
    """Whether voxels are as wide along all axes, as far as headers keep that."""
    return all(math.isclose(width, spacing_zyx[0], rel_tol=_SAME_WIDTH) for width in spacing_zyx)


def _open(options: argparse.Namespace, stop: threading.Event) -> Volume:
    """The volume, with the voxel spacing of its folder or its file; where neither says it, that of the picks."""
    volume = open_volume(options.volume, stop=stop)
    spacing = spacing_in_layout(options.volume)
    if spacing is None and volume.spacing_angstrom is None:
        spacing = options.spacing
    return volume if spacing is None else replace(volume, spacing_angstrom=(spacing,) * 3)


def _tell(found: Findings) -> None:
    say(found.headline)
    for statement in found.statements:
        say(f"{'!' if statement.is_odd else ' '} {statement.text}")
    say(f"  {found.basis}")
