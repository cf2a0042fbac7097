"""``manifest.json``: what lies in a download folder, where it came from, whom to cite, and how to check it.

::

    {"format": "napari-cryoet-download", "version": 1, "tool": "napari-cryoet 0.1.0", "licence": "CC0-1.0",
     "updated": "2026-01-31T12:00:00+00:00", "is_complete": true,
     "runs":  [{"run_id": 241, "run_name": "TS_026", "dataset_id": 10000, ...}],
     "items": [{"path": ..., "url": ..., "kind": "tomogram", "id": 621, "voxel_spacing_angstrom": 13.48, ...}],
     "files": [{"path": ..., "url": ..., "size_bytes": ..., "sha256": ..., "fetched_at": ...}]}

Downloads into one folder share one manifest; a later one adds to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from napari_cryoet._version import __version__
from napari_cryoet.download.names import PART_SUFFIX
from napari_cryoet.download.plan import MANIFEST_NAME, Plan, PlannedItem
from napari_cryoet.download.target import words_for_disk_faults
from napari_cryoet.download.transfer import FetchedFile
from napari_cryoet.exceptions import DownloadError

FORMAT = "napari-cryoet-download"
VERSION = 1
MAX_MANIFEST_BYTES = 1 << 28
_DEEPEST = 16  # folders around a file that are looked into: the portal's lie six deep
#: Of the files of an OME-Zarr, so many and so much are read to see whether they are still those that were fetched.
_MOST_READ: Final = 64
_MOST_READ_BYTES: Final = 1 << 22
#: And so much of those that were written since, the latest first.
_MOST_READ_OF_LATER_BYTES: Final = 1 << 27
_CHUNK: Final = re.compile(r"(?:c\.)?\d+(?:\.\d+)*")
_METADATA: Final = re.compile(r"\.z(?:array|attrs|group|metadata)|zarr\.json")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The rows of a manifest: runs by id, items and files by path."""

    runs: Mapping[int, Row] = field(default_factory=dict)
    items: Mapping[str, Row] = field(default_factory=dict)
    files: Mapping[str, Row] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every item that was asked for is there."""
        return all(item.get("is_complete") is True for item in self.items.values())

    def sha256_of(self, path: str, url: str, size_bytes: int) -> str | None:
        """Return the digest of a file if it was fetched from that URL with that size, else None."""
        row = self.files.get(path)
        if row is None or row.get("url") != url or row.get("size_bytes") != size_bytes:
            return None
        digest = row.get("sha256")
        return digest if isinstance(digest, str) else None


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder; an empty one where there is none.

    Raises
    ------
    DownloadError
        If a ``manifest.json`` is there that isn't ours, or is damaged: it would be overwritten.
    """
    path = folder / MANIFEST_NAME
    if not path.exists() and not path.is_symlink():
        return Manifest()
    foreign = DownloadError(
        f"{path} is there already and isn't the list of a download.",
        hint="Choose another folder, or move that file away.",
    )
    with words_for_disk_faults(path):
        if path.is_symlink() or path.stat().st_size > MAX_MANIFEST_BYTES:
            raise foreign
        content = path.read_bytes()
    try:
        document = json.loads(content)
        if document["format"] != FORMAT or document["version"] > VERSION:
            raise foreign
        return Manifest(
            runs={row["run_id"]: row for row in document["runs"]},
            items={row["path"]: row for row in document["items"]},
            files={row["path"]: row for row in document["files"]},
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise foreign from error


def merged(
    before: Manifest, plan: Plan, files: Iterable[FetchedFile], *, missing: Collection[str], now: datetime
) -> Manifest:
    """Return the manifest with what a download fetched, or found complete.

    Parameters
    ----------
    before
        What the folder had.
    plan
        What was to be fetched, expanded.
    files
        What is complete on disk now.
    missing
        Paths of chunks that the server doesn't have: they hold the fill value.
    now
        When this is.
    """
    rows = dict(before.files)
    for file in files:
        known = rows.get(file.path)
        is_known = known is not None and known.get("sha256") == file.sha256 and known.get("url") == file.url
        if not is_known:
            rows[file.path] = {**asdict(file), "fetched_at": _iso(now)}
    items = {item.path: _item_row(item, rows, missing) for item in plan.items}
    return Manifest(runs={**before.runs, plan.run.id: dict(plan.context)}, items={**before.items, **items}, files=rows)


def write_manifest(folder: Path, manifest: Manifest, *, now: datetime) -> Path:
    """Write the manifest in one step and return its path."""
    path = folder / MANIFEST_NAME
    document = {
        "format": FORMAT,
        "version": VERSION,
        "tool": f"napari-cryoet {__version__}",
        "licence": "; ".join(sorted({str(run.get("licence") or "") for run in manifest.runs.values()} - {""})),
        "updated": _iso(now),
        "is_complete": manifest.is_complete,
        "runs": list(manifest.runs.values()),
        "items": [manifest.items[key] for key in sorted(manifest.items)],
        "files": [manifest.files[key] for key in sorted(manifest.files)],
    }
    fresh = path.with_name(MANIFEST_NAME + PART_SUFFIX)
    with words_for_disk_faults(path):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            fresh.unlink()
        with fresh.open("x", encoding="utf-8") as file:
            json.dump(document, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    return path


def fetched_as(path: Path) -> tuple[Row, bool]:
    """What the manifest of a download says of a file or folder in it, and whether that is still what was fetched.

    Nothing where no folder around it has such a manifest, or that doesn't name it. Of folders, the names and
    sizes of all files are compared, and the content of the metadata, the smallest chunks and those written last.
    """
    path = path.absolute()
    for folder in islice(path.parents, _DEEPEST):
        if not (folder / MANIFEST_NAME).is_file():
            continue
        try:
            manifest = read_manifest(folder)
            name = path.relative_to(folder).as_posix()
            item, file = manifest.items.get(name), manifest.files.get(name)
            if isinstance(item, dict):
                if path.is_dir():
                    return item, _is_folder_as_fetched(folder, item, manifest)
                return item, isinstance(file, dict) and file.get("sha256") == _sha256(path)
        except (DownloadError, OSError):
            continue
    return {}, False


def _is_folder_as_fetched(folder: Path, item: Row, manifest: Manifest) -> bool:
    """Whether the files of an OME-Zarr are those that were fetched, as far as that is told within moments."""
    start = f"{item['path']}/"
    rows = {path: row for path, row in manifest.files.items() if str(path).startswith(start)}
    unseen, later = dict(rows), list[tuple[float, Row]]()
    for path, found in _files_below(folder, item["path"]):
        row = unseen.pop(path, None)
        if row is None:
            if item.get("is_complete") is True and _is_of_zarr(path):  # of a part, more may have come than was noted
                return False
        elif row.get("size_bytes") != found.st_size:
            return False
        elif found.st_mtime > _fetched_at(row):
            later.append((found.st_mtime, row))
    if unseen:
        return False
    latest = [row for _, row in sorted(later, key=lambda written: -written[0])]
    smallest = sorted(rows.values(), key=_reading_order)[:_MOST_READ]
    return all(
        row.get("sha256") == _sha256(folder / row["path"])
        for row in (*_up_to(smallest, _MOST_READ_BYTES), *_up_to(latest, _MOST_READ_OF_LATER_BYTES))
    )


def _up_to(rows: Iterable[Row], most_bytes: int) -> Iterator[Row]:
    """The first of some files, of which no more has to be read than this."""
    for row in rows:
        most_bytes -= row["size_bytes"]
        if most_bytes < 0:
            return
        yield row


def _fetched_at(row: Row) -> float:
    """When a file was fetched, in seconds since 1970; 0 where nobody knows."""
    try:
        return datetime.fromisoformat(row["fetched_at"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0.0


def _files_below(folder: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    """All files of a folder's folder, as manifests name them, with their sizes and when they were written."""
    for parent, _, names in os.walk(folder / name):
        start = Path(parent).relative_to(folder).as_posix()
        for file in names:
            yield f"{start}/{file}", os.stat(os.path.join(parent, file))


def _is_of_zarr(path: str) -> bool:
    name = path.rpartition("/")[2]
    return bool(_CHUNK.fullmatch(name) or _METADATA.fullmatch(name))


def _reading_order(row: Row) -> tuple[bool, int]:
    """Metadata first, then small chunks."""
    return _CHUNK.fullmatch(row["path"].rpartition("/")[2]) is not None, row["size_bytes"]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def utc_now() -> datetime:
    """Return the time, to the second, with its zone."""
    return datetime.now(UTC).replace(microsecond=0)


def _item_row(item: PlannedItem, rows: Mapping[str, Row], missing: Collection[str]) -> Row:
    """Return what the manifest says of one thing of the portal."""
    provenance = {key: value for key, value in asdict(item.provenance).items() if value not in (None, ())}
    absent = [file.path for file in item.files if file.path in missing]
    there = [rows[file.path] for file in item.files if file.path in rows]
    row: Row = {"path": item.path, "url": item.url, **provenance}
    row["size_bytes"] = sum(file["size_bytes"] for file in there)
    row["is_complete"] = bool(item.files) and len(there) + len(absent) == len(item.files)
    if absent:
        row["missing_chunks"] = absent
    return row


def _iso(moment: datetime) -> str:
    return moment.isoformat()
