"""What an export of ours says of itself, in it or beside it, as far as it can be meant: files can say anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from napari_cryoet.formats import star_writing, tables
from napari_cryoet.formats.exchange import Context
from napari_cryoet.pick_formats import RELION, PickFormat
from napari_cryoet.provenance_beside import read_beside

_LARGEST_ID: Final = 2**62
_LARGEST_SIZE: Final = 2**31


def read_notes(path: Path, name: PickFormat) -> dict[str, Any]:
    """The notes of an export, without what is of another kind than we write; empty for any other file."""
    if name in RELION:
        notes = star_writing.read_notes(path)
    elif name == "parquet":
        notes = tables.read_parquet_notes(path)
    else:
        notes = read_beside(path)
    return {key: value for key, value in notes.items() if key not in _CHECKS or _CHECKS[key](value)}


def grid_of(notes: Mapping[str, Any]) -> Context:
    """The grid in which an export was counted."""
    spacing, shape = notes.get("voxel_spacing_angstrom"), notes.get("shape_zyx")
    return Context(
        None if spacing is None else float(spacing), None if shape is None else (shape[0], shape[1], shape[2])
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID


def _is_width(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= sys.float_info.max


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_whole(n) and 0 < n < _LARGEST_SIZE for n in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _are_named_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


#: What must hold for what we go by; other notes are only shown.
_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "voxel_spacing_angstrom": _is_width,
    "shape_zyx": _is_shape,
    "alignment_id": _is_whole,
    "dynamo_tag_offset": _is_whole,
    "columns": _are_named_texts,
    "empty_columns": _are_texts,
    "star_names": _are_named_texts,
    "star_encoded": _are_texts,
    "edits": _are_texts,
    "source": lambda value: isinstance(value, dict),
}
