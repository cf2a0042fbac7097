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

import json
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_cryoet._version import __version__
from napari_cryoet.download.names import PART_SUFFIX
from napari_cryoet.download.plan import MANIFEST_NAME, Plan, PlannedItem
from napari_cryoet.download.target import words_for_disk_faults
from napari_cryoet.download.transfer import FetchedFile
from napari_cryoet.exceptions import DownloadError

FORMAT = "napari-cryoet-download"
VERSION = 1
MAX_MANIFEST_BYTES = 1 << 28

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
