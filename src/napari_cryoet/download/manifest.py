"""``manifest.json``: what lies in a download folder, where it came from, whom to cite, and how to check it.

::

    {"format": "napari-cryoet-download", "version": 2, "tool": "napari-cryoet 0.1.0", "updated": "2026-01-31T12:00:00Z",
     "is_complete": true,
     "items": [{"path": "files/10000/...", "url": ..., "table": "tomograms", "id": 621, "licence": "CC0-1.0", ...}],
     "files": [{"path": ..., "url": ..., "size_bytes": ..., "sha256": ..., "fetched_at": ...}]}

Downloads into one folder share one manifest; a later one adds to it. While a download runs, each finished file is a
line of ``manifest.part.jsonl``, so that nothing is fetched twice after a crash.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from napari_cryoet import provenance
from napari_cryoet._version import __version__
from napari_cryoet.download.plan import Plan, PlannedItem
from napari_cryoet.download.rows import Row
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.files import replace_file
from napari_cryoet.records import AnnotationFile

FORMAT: Final = "napari-cryoet-download"
VERSION: Final = 2
MANIFEST_NAME: Final = "manifest.json"
JOURNAL_NAME: Final = "manifest.part.jsonl"

#: What is true of the file on the portal, and not of a copy that a person may change.
_OF_THE_PORTAL: Final = frozenset(
    {"kind", "source_url", "software", "annotation_file_id", "voxel_spacing_angstrom", "records"}
)


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was fetched whole."""

    path: str
    url: str
    size_bytes: int
    sha256: str
    fetched_at: str = ""


@dataclass(slots=True)
class Manifest:
    """The items and the files of a download folder, by path."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, FileEntry] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether everything that was asked for is there."""
        return all(item.get("is_complete") is True for item in self.items.values())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; an empty one where there is none.

    Raises
    ------
    DownloadError
        If a ``manifest.json`` is there that isn't ours, or is damaged: it would be overwritten.
    """
    path, journal = folder / MANIFEST_NAME, folder / JOURNAL_NAME
    manifest = Manifest()
    if path.exists():
        try:
            document = json.loads(path.read_bytes())
            if document["format"] != FORMAT or document["version"] > VERSION:
                raise ValueError(document["format"])
            manifest.items = {item["path"]: item for item in document["items"]}
            entries = msgspec.convert(document["files"], list[FileEntry])
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise DownloadError(
                f"{path} isn't the list of a download, and would be overwritten.", hint="Choose another folder."
            ) from error
        manifest.files = {entry.path: entry for entry in entries}
    for line in journal.read_bytes().splitlines() if journal.is_file() else ():
        try:
            entry = msgspec.json.decode(line, type=FileEntry)
        except msgspec.MsgspecError:  # cut short by a crash
            continue
        manifest.files[entry.path] = entry
    return manifest


def note_file(folder: Path, entry: FileEntry) -> None:
    """Add a finished file to the journal."""
    with (folder / JOURNAL_NAME).open("ab") as journal:
        journal.write(msgspec.json.encode(entry) + b"\n")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest in one step, and remove the journal."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "tool": f"napari-cryoet {__version__}",
        "updated": now_text(),
        "is_complete": manifest.is_complete,
        "items": [manifest.items[path] for path in sorted(manifest.items)],
        "files": [manifest.files[path] for path in sorted(manifest.files)],
    }
    replace_file(folder / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(document), indent=1))
    (folder / JOURNAL_NAME).unlink(missing_ok=True)


def note_items(manifest: Manifest, plan: Plan, complete: Collection[str], missing: Collection[str]) -> None:
    """Note what became of the items of a plan.

    Parameters
    ----------
    complete
        Paths of the items of which everything is there.
    missing
        Paths of chunks that the server doesn't have: they hold the fill value.
    """
    items = {item.path: item for item in plan.items}
    files, holes = _by_item(manifest.files, items), _by_item(missing, items)
    source_of = _sources(plan)
    for path, item in items.items():
        if path not in files and item.may_be_missing:
            continue
        row = {
            "path": path,
            "url": item.url,
            "table": item.cell.table,
            "id": item.cell.row_id,
            "portal": plan.source,
            "licence": plan.terms.licence,
            "size_bytes": sum(manifest.files[each].size_bytes for each in files.get(path, ())),
            "is_complete": path in complete,
            "missing_chunks": sorted(holes.get(path, ())),
            "source": source_of(item),
        }
        manifest.items[path] = {key: value for key, value in row.items() if value not in (None, "", [])}


def _by_item(paths: Iterable[str], items: Collection[str]) -> dict[str, list[str]]:
    """Paths of files by the item that they are or that they lie in."""
    found: dict[str, list[str]] = {}
    for path in paths:
        item = path
        while item and item not in items:
            item = item.rpartition("/")[0]
        found.setdefault(item, []).append(path)
    return found


def _sources(plan: Plan) -> Callable[[PlannedItem], Row | None]:
    """What a layer of an annotation file says of where it comes from; nothing for other items."""
    rows = {name: {row["id"]: row for row in found} for name, found in plan.rows.items()}
    authors: dict[int, list[Row]] = defaultdict(list)
    for row in plan.rows["annotationAuthors"]:
        authors[row["annotationId"]].append(row)

    def source_of(item: PlannedItem) -> Row | None:
        if item.cell.table != "annotationFiles":
            return None
        row = rows["annotationFiles"][item.cell.row_id]
        shape = rows["annotationShapes"][row["annotationShapeId"]]
        annotation = rows["annotations"][shape["annotationId"]]
        run = rows["runs"][annotation["runId"]]
        parents = {
            "authors": authors[annotation["id"]],
            "deposition": rows["depositions"].get(annotation["depositionId"]),
            "run": run | {"dataset": rows["datasets"].get(run["datasetId"]), "terms": plan.terms},
        }
        file = msgspec.convert(row | {"shape": shape | {"annotation": annotation | parents}}, AnnotationFile)
        about = provenance.of_annotation_file(file, item.url, None)
        known = {key: value for key, value in about.items() if key not in _OF_THE_PORTAL and value not in (None, [])}
        return known | {"downloaded_from": item.url}

    return source_of


def now_text() -> str:
    """The time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
