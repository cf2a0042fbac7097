"""Provenance notes of exports, in a ``.provenance.json`` beside the file or in an attribute of an OME-Zarr.

The notes file has a checksum and is ignored once the export has changed. In a copick project its
name starts with a dot, because copick treats every other JSON file beside picks as picks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import replace

from napari_cryoet._version import __version__
from napari_cryoet.exceptions import SaveError
from napari_cryoet.files import written_whole
from napari_cryoet.provenance import Provenance

SUFFIX: Final = ".provenance.json"
#: The OME-Zarr attribute with the notes.
ATTRIBUTE: Final = "napari_cryoet"
_EXPORT: Final = "{} exported by napari-cryoet"
#: The kind of an exported mask.
MASK_EXPORT: Final = _EXPORT.format("mask")
_MANIFEST: Final = "manifest.json"

_Size = Annotated[int, msgspec.Meta(gt=0, lt=2**31)]


class Notes(msgspec.Struct, frozen=True):
    """The part of the notes that reading uses."""

    sha256: str = ""
    kind: str = ""
    voxel_spacing_angstrom: Annotated[float, msgspec.Meta(gt=0)] | None = None
    shape_zyx: tuple[_Size, _Size, _Size] | None = None
    alignment_id: int | None = None
    edits: tuple[str, ...] = ()
    source: dict[str, Any] = {}


def of_export(
    what: str,
    source: Provenance,
    *,
    spacing_angstrom: float | None,
    shape_zyx: tuple[int, int, int] | None,
    alignment_id: int | None,
    edits: Iterable[str],
    who: str,
) -> dict[str, Any]:
    """Create notes for an export of "picks" or a "mask".

    ``source`` is the provenance of what is exported.
    """
    return {
        "kind": _EXPORT.format(what),
        "software": f"napari-cryoet {__version__}",
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "written_by": who or None,
        "voxel_spacing_angstrom": spacing_angstrom,
        "shape_zyx": shape_zyx,
        "alignment_id": alignment_id,
        "edits": list(edits),
        "source": source.to_dict(),
    }


def source_of(path: Path | None, notes: Notes | None) -> Provenance:
    """A file's provenance, with its edits and alignment; empty if unknown.

    It comes from the notes of our export, else from the manifest of the download that the file is
    in. ``path`` is None for a URL.
    """
    if notes is None:
        return Provenance() if path is None else _source_of_download(path)
    source = Provenance.of(notes.source).of_copy()
    return replace(
        source,
        edits=(*source.edits, *notes.edits),
        alignment_id=source.alignment_id if notes.alignment_id is None else notes.alignment_id,
    )


def path_beside(path: Path) -> Path:
    """The path of a file's notes."""
    name = f"{path.name}{SUFFIX}"
    return path.with_name(f".{name}" if run_of_copick_project(path) else name)


def run_of_copick_project(path: Path) -> str:
    """The run of a file in a copick project, from its path; empty outside a project."""
    folders = [folder.name for folder in path.absolute().parents[:3]]
    return (
        folders[1]
        if len(folders) == 3 and (folders[0], folders[2]) == ("Picks", "ExperimentRuns")
        else ""
    )


@contextmanager
def written_with_notes(
    path: Path, notes: Mapping[str, Any], *, overwrite: bool = False, flush: bool = True
) -> Iterator[Path]:
    """Like `written_whole`, but also write the notes.

    Both files are complete before either appears.
    """
    beside = path_beside(path)
    if overwrite and os.path.exists(beside) and not _read(beside).sha256:
        raise SaveError(
            f"{beside.name} wasn't written by napari-cryoet.",
            hint="Choose another name, or move it.",
        )
    with (
        written_whole(beside, overwrite=overwrite, flush=flush) as hidden_notes,
        written_whole(path, overwrite=overwrite, flush=flush) as hidden,
    ):
        yield hidden
        hidden_notes.write_text(
            json.dumps({**notes, "file": path.name, "sha256": _sha256(hidden)}, indent=1)
        )


def read_beside(path: Path) -> Notes | None:
    """The notes beside a file if their checksum matches it."""
    notes = _read(path_beside(path))
    return notes if notes.sha256 and notes.sha256 == _sha256(path) else None


def as_notes(content: Any) -> Notes:
    """Parse notes; empty notes if the data is invalid."""
    try:
        return msgspec.convert(content, Notes)
    except msgspec.ValidationError:
        return Notes()


def _read(beside: Path) -> Notes:
    try:
        return as_notes(json.loads(beside.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return Notes()


def _source_of_download(path: Path) -> Provenance:
    """The provenance of a downloaded file or folder, from the manifest in a parent folder.

    Else empty.
    """
    path = path.absolute()
    for folder in path.parents:
        try:
            manifest = json.loads((folder / _MANIFEST).read_bytes())
            name = path.relative_to(folder).as_posix()
            source = next(row["source"] for row in manifest["items"] if row["path"] == name)
            digest = next((row["sha256"] for row in manifest["files"] if row["path"] == name), None)
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            StopIteration,
            RecursionError,
        ):
            continue
        about = Provenance.of(source).of_copy()
        is_large = about.tomogram_id is not None
        if digest is not None and not is_large and digest != _sha256(path):
            return replace(about, edits=(*about.edits, "changed since its download"))
        return about
    return Provenance()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
