"""``napari-cryoet check``: whether picks make sense in a volume."""

from __future__ import annotations

import argparse
import json
import os
import threading
from contextlib import closing
from dataclasses import replace

from napari_cryoet.cli.console import ProgressLine, say, stop_on_interrupt
from napari_cryoet.fitness import Findings, check_picks
from napari_cryoet.formats import ndjson
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import of_bare_file
from napari_cryoet.volumes import Volume, open_volume, spacing_in_layout


def check(options: argparse.Namespace) -> int:
    """Print what is found, in sentences or as JSON; 0 whatever it is."""
    picks = _read(options.picks, options.spacing)
    with stop_on_interrupt() as stop, ProgressLine() as line, closing(_open(options, stop)) as volume:
        found = check_picks(
            picks,
            volume,
            diameter_angstrom=options.diameter,
            stop=stop,
            progress=lambda share, words: line.show(f"{share:4.0%}  {words}"),
        )
    if options.json:
        say(json.dumps(found.as_data(), indent=1, ensure_ascii=False))
    else:
        _tell(found)
    return 0


def _read(path: os.PathLike[str], spacing_angstrom: float | None) -> Picks:
    spacing = spacing_angstrom if spacing_angstrom is not None else spacing_in_layout(os.fspath(path))
    return ndjson.read_points(os.fspath(path)).to_picks(
        spacing, about=of_bare_file("annotation", os.fspath(path), spacing)
    )


def _open(options: argparse.Namespace, stop: threading.Event) -> Volume:
    """The volume, with the voxel spacing of its folder or its file; where neither says it, that of the picks."""
    volume = open_volume(options.volume, stop=stop)
    spacing = spacing_in_layout(options.volume)
    if spacing is None and volume.spacing_angstrom is None:
        spacing = options.spacing
    return volume if spacing is None else replace(volume, spacing_angstrom=(spacing,) * 3)


def _tell(found: Findings) -> None:
    for statement in found.statements:
        say(f"{'!' if statement.is_odd else ' '} {statement.text}")
