"""What an export of ours says of itself, in it or beside it, as far as it can be meant: files can say anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from napari_cryoet.download.manifest import fetched_as
from napari_cryoet.formats import star_writing, tables
from napari_cryoet.formats.exchange import Context, listed
from napari_cryoet.pick_formats import RELION, PickFormat
from napari_cryoet.picks import IN_VOXELS
from napari_cryoet.provenance import ORIGIN_KEY
from napari_cryoet.provenance_beside import path_beside, read_beside
from napari_cryoet.volumes import ATTRIBUTE, MRC_SUFFIXES, Volume, suffix_of

#: What a source said of its own file, which isn't the one that was exported, and of the layer that it was in.
_OF_ANOTHER_FILE: Final = frozenset(
    {"warnings", "voxel_spacing_angstrom", ORIGIN_KEY, "software", "layer_id", "group", "is_main_layer"}
)
#: Under which key `read_notes` names what it left out.
LEFT_OUT: Final = "left_out"
_ALIGNMENT: Final = "alignment_id"
_LARGEST_ID: Final = 2**62
_ID_DIGITS: Final = 19  # beyond it, none is below 2^62
_LARGEST_SIZE: Final = 2**31


def read_notes(path: Path, name: PickFormat) -> dict[str, Any]:
    """The notes of an export, without what is of another kind than we write, which is named; empty for other files."""
    if name in RELION:
        notes = star_writing.read_notes(path)
    elif name == "parquet":
        notes = tables.read_parquet_notes(path)
    else:
        notes = read_beside(path)
    return _checked(notes)


def source_of_download(path: Path) -> dict[str, Any]:
    """Where a file comes from that was downloaded from the portal, by the manifest of its folder; else empty."""
    item, is_as_fetched = fetched_as(path)
    source = item.get("source")
    if not isinstance(source, dict):
        return {}
    known = {key: value for key, value in source.items() if key not in _OF_ANOTHER_FILE}
    checked: dict[str, Any] = _checked({"source": known})["source"]
    edits = [*(checked.pop("edits", None) or ()), *([] if is_as_fetched else ["changed since its download"])]
    return checked | ({"edits": edits} if edits else {})


def source_of_mask(volume: Volume, address: str) -> dict[str, Any]:
    """Where a mask of our own export comes from, on which alignment it lies and what was done to it, in its file.

    Of a file that was downloaded, what is known of that; empty for any other. What stands beside an MRC file counts
    only if the file is still the one that was written.
    """
    notes: Any = {}
    if suffix_of(address) not in MRC_SUFFIXES:
        notes = {} if volume.pyramid is None else volume.pyramid.metadata.get(ATTRIBUTE)
    elif "://" not in address and os.path.isfile(path_beside(Path(address))):  # too long a name is none
        notes = read_beside(Path(address))
    if not isinstance(notes, dict) or not isinstance(notes.get("source"), dict):
        return {} if "://" in address else source_of_download(Path(address))
    notes = _checked(notes)
    known = {key: value for key, value in notes["source"].items() if key not in _OF_ANOTHER_FILE}
    edits = [*(known.get("edits") or ()), *notes.get("edits", ())]
    alignment, said = notes.get(_ALIGNMENT), left_out_of(notes)
    return (
        known
        | ({"edits": edits} if edits else {})
        | ({} if alignment is None else {_ALIGNMENT: alignment})
        | ({"warnings": said} if said else {})
    )


def left_out_of(notes: Mapping[str, Any]) -> list[str]:
    """What to tell of notes of which something was left out."""
    names = notes.get(LEFT_OUT)
    if not names:
        return []
    return [f"Of its notes on where it comes from, what can't be meant was left out: {listed(names, 5)}."]


def alignment_number(value: Any) -> int | None:
    """The number of an alignment, however it is spelled: 17, 17.0, "17" or "AL-17"; None for what is none."""
    text = str(value).strip().upper().removeprefix("AL-").removesuffix(".0")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _ID_DIGITS else None


def _checked(notes: Mapping[str, Any]) -> dict[str, Any]:
    """Notes without what can't be meant, also of their source; `LEFT_OUT` names it."""
    found, odd = _usable(notes, _CHECKS)
    found = {key: value for key, value in found.items() if value is not None or key not in _CHECKS}
    if "source" in found:  # of which much may be unknown
        found["source"], odd_of_source = _usable(found["source"], _SOURCE_CHECKS)
        odd += [f"source.{key}" for key in odd_of_source]
    found.pop(LEFT_OUT, None)
    return found | ({LEFT_OUT: odd} if odd else {})


def _usable(notes: Mapping[str, Any], checks: Mapping[str, Callable[[Any], bool]]) -> tuple[dict[str, Any], list[str]]:
    """What can be meant, and the names of what can't, or not all of it."""
    found, odd = {}, []
    for key, value in notes.items():
        meant = _meant(key, value)
        is_usable = value is None or key not in checks or checks[key](meant)
        if is_usable:
            found[key] = meant
        if not is_usable or (key == "edits" and isinstance(meant, list) and len(meant) < len(value)):
            odd.append(key)
    return found, odd


def _meant(key: str, value: Any) -> Any:
    """A value as we would write it: an alignment as a number, of a list of edits the texts."""
    if key == _ALIGNMENT and isinstance(value, str | float):
        return alignment_number(value)
    if key == "edits" and isinstance(value, list):
        return [text for text in value if isinstance(text, str)]
    return value


def grid_of(notes: Mapping[str, Any]) -> Context:
    """The grid in which an export was counted."""
    spacing, shape = notes.get("voxel_spacing_angstrom"), notes.get("shape_zyx")
    return Context(
        None if spacing is None else float(spacing), None if shape is None else (shape[0], shape[1], shape[2])
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID


def _is_offset(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_width(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= sys.float_info.max


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_whole(n) and 0 < n < _LARGEST_SIZE for n in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _are_named_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_records(value: Any) -> bool:
    return isinstance(value, dict) and all(record is None or isinstance(record, dict) for record in value.values())


#: What must hold for what we go by; other notes are only shown.
_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "voxel_spacing_angstrom": _is_width,
    "shape_zyx": _is_shape,
    "alignment_id": _is_whole,
    "dynamo_tag_offset": _is_offset,
    "columns": _are_named_texts,
    "empty_columns": _are_texts,
    "star_names": _are_named_texts,
    "star_encoded": _are_texts,
    "edits": _are_texts,
    "source": lambda value: isinstance(value, dict),
}
#: And of the source, as far as anything here is done with it.
_SOURCE_CHECKS: Final[dict[str, Callable[[Any], bool]]] = (
    dict.fromkeys(
        (
            *("source_url", "portal_url", "licence", "dataset_title", "deposition_title", "shape_type"),
            *("object_id", "object_name", "run_name", "tomogram_name", "user_id", "session_id"),
        ),
        _is_text,
    )
    | dict.fromkeys(("authors", "dois", "edits", "warnings", IN_VOXELS), _are_texts)
    | dict.fromkeys(("run_id", "alignment_id", "annotation_id", "annotation_file_id", "dataset_id"), _is_whole)
    | dict.fromkeys(("confidence_precision_percent", "confidence_recall_percent"), _is_number)
    | {"records": _are_records}
)
