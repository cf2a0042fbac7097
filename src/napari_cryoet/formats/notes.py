"""What an export says of itself: its provenance, in the file or in a ``.provenance.json`` beside it.

The file beside holds a checksum and counts only as long as the export is unchanged. In a copick project its name starts
with a dot, because copick takes every other JSON file beside picks for picks.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from napari_cryoet._version import __version__
from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import flush_to_disk, ready_place, without_login, written_whole

SUFFIX: Final = ".provenance.json"
#: The key of `about` for the position of a volume's first voxel, z, y, x, in ångström, if its file gives one.
ORIGIN_KEY: Final = "origin_zyx_angstrom"
_EXPORT: Final = "{} exported by napari-cryoet"
#: The kind of an exported mask.
MASK_EXPORT: Final = _EXPORT.format("mask")
#: What a source says of its own file or layer, and not of an export of it.
_OF_THE_SOURCE_ONLY: Final = frozenset(
    {"warnings", "voxel_spacing_angstrom", ORIGIN_KEY, "software", "layer_id", "group", "is_main_layer"}
)
_MAX_BYTES: Final = 16 * 2**20
_MANIFEST: Final = "manifest.json"
_MOST_FOLDERS_UP: Final = 16

_Size = Annotated[int, msgspec.Meta(gt=0, lt=2**31)]


class Notes(msgspec.Struct, frozen=True):
    """The notes of an export, as far as reading goes by them."""

    kind: str = ""
    voxel_spacing_angstrom: Annotated[float, msgspec.Meta(gt=0)] | None = None
    shape_zyx: tuple[_Size, _Size, _Size] | None = None
    alignment_id: int | None = None
    edits: tuple[str, ...] = ()
    source: dict[str, Any] = {}
    count: int | None = None
    columns: dict[str, str] = {}
    dynamo_tag_offset: int | None = None
    star_names: dict[str, str] = {}
    star_encoded: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def lasting_source(self) -> dict[str, Any]:
        """The source without what is true only of its own file."""
        return {key: value for key, value in self.source.items() if key not in _OF_THE_SOURCE_ONLY}


def of_bare_file(kind: str, address: str, spacing_angstrom: float | tuple[float, ...] | None) -> dict[str, Any]:
    """The provenance of a file without records: nothing is known of its licence or authors."""
    return {
        "kind": kind,
        "source_url": without_login(address),
        "voxel_spacing_angstrom": list(spacing_angstrom) if isinstance(spacing_angstrom, tuple) else spacing_angstrom,
        "software": f"napari-cryoet {__version__}",
    }


def of_export(
    what: str,
    source: Mapping[str, Any],
    *,
    spacing_angstrom: float | None,
    shape_zyx: tuple[int, int, int] | None,
    alignment_id: int | None,
    edits: Iterable[str],
    who: str,
) -> dict[str, Any]:
    """The notes of an export, "picks" or "mask", as plain data; ``source`` is the provenance of what is exported."""
    return {
        "kind": _EXPORT.format(what),
        "software": f"napari-cryoet {__version__}",
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "written_by": who or None,
        "voxel_spacing_angstrom": spacing_angstrom,
        "shape_zyx": shape_zyx,
        "alignment_id": alignment_id,
        "edits": list(edits),
        "source": msgspec.to_builtins(dict(source), enc_hook=_as_plain),
    }


def as_json(notes: Mapping[str, Any], indent: int | None = None) -> str:
    """Notes as JSON in ASCII, so that odd file names can't break it."""
    return json.dumps(dict(notes), indent=indent, default=_as_plain)


def parse(content: str | bytes) -> Notes | None:
    """Notes from JSON; None if they aren't of the kind that we write."""
    try:
        return msgspec.convert(json.loads(content), Notes)
    except (ValueError, RecursionError):
        return None


def path_beside(path: Path) -> Path:
    """Where the notes of a file are; beside its target if it is a symbolic link."""
    hidden, visible = _paths_beside(path)
    return hidden if run_of_copick_project(path.resolve()) else visible


def run_of_copick_project(path: Path) -> str:
    """The run that a file in a copick project belongs to, by its folders; empty outside of one."""
    folders = [folder.name for folder in path.absolute().parents[:3]]
    return folders[1] if len(folders) == 3 and (folders[0], folders[2]) == ("Picks", "ExperimentRuns") else ""


@contextmanager
def written_with_notes(path: Path, notes: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Path]:
    """As `written_whole`, with the notes beside the file, taken at the end: both are whole before either shows."""
    place, beside = ready_place(path, overwrite=overwrite), path_beside(path)
    if overwrite and beside.exists() and not _is_ours(beside):
        raise SaveError(f"{beside.name} isn't a file of ours.", hint="Choose another name, or move it.")
    with written_whole(beside, overwrite=overwrite) as hidden_notes, written_whole(path, overwrite=overwrite) as hidden:
        yield hidden
        document = dict(notes) | {"file": place.name, "sha256": _sha256(hidden)}
        hidden_notes.write_text(as_json(document, indent=1), encoding="utf-8")
        flush_to_disk(hidden_notes)
    if overwrite:
        _remove_ours(*(other for other in _paths_beside(path) if other != beside))


def remove_beside(path: Path) -> None:
    """Remove the notes of a file that was replaced by one that has its own inside."""
    _remove_ours(*_paths_beside(path))


def read_beside(path: Path) -> Notes | None:
    """The notes beside a file if they are of this very file."""
    for place in _paths_beside(path):
        notes = _read(place)
        if notes is not None and notes.sha256 and notes.sha256 == _sha256(path):
            return notes
    return None


def source_of_download(path: Path) -> dict[str, Any]:
    """The provenance of a file or folder that was downloaded, from the manifest of a folder above; else empty."""
    path = path.absolute()
    for folder in list(path.parents)[:_MOST_FOLDERS_UP]:
        try:
            document = json.loads((folder / _MANIFEST).read_bytes())
            name = path.relative_to(folder).as_posix()
            item = next(row for row in document["items"] if row["path"] == name)
            source = Notes(source=dict(item["source"])).lasting_source
            digest = next((row["sha256"] for row in document["files"] if row["path"] == name), None)
        except (OSError, ValueError, LookupError, TypeError, StopIteration, RecursionError):
            continue
        if digest is not None and digest != _sha256(path):
            source["edits"] = [*(source.get("edits") or ()), "changed since its download"]
        return source
    return {}


def _paths_beside(path: Path) -> tuple[Path, Path]:
    place = path.resolve()
    return place.with_name(f".{place.name}{SUFFIX}"), place.with_name(f"{place.name}{SUFFIX}")


def _read(place: Path) -> Notes | None:
    try:
        return None if place.stat().st_size > _MAX_BYTES else parse(place.read_bytes())
    except OSError:
        return None


def _is_ours(place: Path) -> bool:
    notes = _read(place)
    return notes is not None and bool(notes.sha256)


def _remove_ours(*places: Path) -> None:
    for place in places:
        if _is_ours(place):
            with contextlib.suppress(OSError):
                place.unlink()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error


def _as_plain(value: Any) -> Any:
    """What numpy and read-only dicts hold, as plain data."""
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else str(value)
