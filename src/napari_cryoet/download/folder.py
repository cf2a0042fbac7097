"""The manifest, citations and tables of a download folder, to check, continue, cite and open it as a pack.

``manifest.json`` lists the files in the folder with their origin, licences, authors and checksums::

    {"format": "napari-cryoet-download", "version": 2, "tool": "napari-cryoet 0.1.0", "updated": "2026-01-31T12:00:00Z",
     "is_complete": true,
     "items": [{"path": "files/10000/...", "url": ..., "table": "tomograms", "id": 621, "licence": "CC0-1.0", ...}],
     "files": [{"path": ..., "url": ..., "size_bytes": ..., "sha256": ..., "fetched_at": ...}]}

Downloads into one folder share its manifest. While a download runs, each finished file is appended
to the journal ``manifest.part.jsonl``, so that nothing is fetched twice after a stop or a crash. At
the end, the rows of the downloaded items become the tables of a pack.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from napari_cryoet._version import __version__
from napari_cryoet.basket.basket import Basket, Lock, read_basket
from napari_cryoet.download.plan import (
    BASKET_NAME,
    COARSE,
    FILES,
    Plan,
    PlannedItem,
    listed_files,
    path_below,
)
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.files import replace_file
from napari_cryoet.packs.pack import MANIFEST_NAME as PACK_NAME
from napari_cryoet.packs.pack import Pack, PackManifest, open_pack, write_pack
from napari_cryoet.portal import provenance
from napari_cryoet.portal.citation import citations, cite
from napari_cryoet.runs.runs import LEVELS, Runs, file_columns, size_of
from napari_cryoet.tables.database import Row, Rows, by_id, is_url, tables
from napari_cryoet.task import Task
from napari_cryoet.wording import count_text

MANIFEST_NAME: Final = "manifest.json"
CITATION_NAME: Final = "CITATION.bib"
LICENCES_NAME: Final = "LICENCES.txt"
JOURNAL_NAME: Final = "manifest.part.jsonl"

#: Ids of further parts of a tomogram are this much larger; the portal's are below it.
_PART_ID: Final = 10_000_000
#: Fields that describe the file on the portal, but not a copy that may be edited.
_PORTAL_FIELDS: Final = frozenset(
    {"kind", "source_url", "software", "annotation_file_id", "voxel_spacing_angstrom", "records"}
)


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A completely downloaded file."""

    path: str
    url: str
    size_bytes: int
    sha256: str
    fetched_at: str


class DownloadManifest(msgspec.Struct, kw_only=True):
    """The contents of a download folder.

    ``is_complete`` is whether all requested items are complete.
    """

    format: Literal["napari-cryoet-download"]
    version: int = 2
    tool: str = f"napari-cryoet {__version__}"
    updated: str = ""
    is_complete: bool = True
    items: list[dict[str, Any]] = []
    files: list[FileEntry] = []
    downloads: list[dict[str, Any]] = []  # the date, source and request of each

    @property
    def complete(self) -> set[str]:
        """The paths of the complete items."""
        return {item["path"] for item in self.items if item.get("is_complete") is True}

    @property
    def incomplete(self) -> list[str]:
        """The paths of the other items, without those that the portal doesn't list any more."""
        return [
            item["path"]
            for item in self.items
            if not item.get("is_complete") and not item.get("is_withdrawn")
        ]


def read_manifest(folder: Path) -> DownloadManifest:
    """The manifest of a folder, with the files of its journal; empty if there is none."""
    path, journal = folder / MANIFEST_NAME, folder / JOURNAL_NAME
    manifest = DownloadManifest(format="napari-cryoet-download")
    try:
        if path.exists():
            manifest = msgspec.json.decode(path.read_bytes(), type=DownloadManifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        message = f"{path} isn't the manifest of a download, and would be overwritten."
        raise DownloadError(message, hint="Choose another folder.") from error
    files = {entry.path: entry for entry in manifest.files}
    for line in journal.read_bytes().splitlines() if journal.exists() else ():
        try:
            entry = msgspec.json.decode(line, type=FileEntry)
        except msgspec.MsgspecError:  # truncated by a crash
            continue
        files[entry.path] = entry
    manifest.files = list(files.values())
    return manifest


def note_file(folder: Path, path: str, url: str, size_bytes: int, sha256: str) -> FileEntry:
    """Append a finished file to the journal."""
    entry = FileEntry(path=path, url=url, size_bytes=size_bytes, sha256=sha256, fetched_at=_now())
    with (folder / JOURNAL_NAME).open("ab") as journal:
        journal.write(msgspec.json.encode(entry) + b"\n")
    return entry


def note_items(
    folder: Path,
    plan: Plan,
    task: Task,
    *,
    begins: bool = False,
    complete: Collection[str] = frozenset(),
    missing: Collection[str] = frozenset(),
    errors: Mapping[str, str] | None = None,
) -> None:
    """Write the items of a plan and the files of the journal into the manifest.

    ``begins`` also records the request. ``complete`` are the paths of complete items, ``missing``
    those of files that no longer exist, and ``errors`` the reasons by path why items aren't
    complete.
    """
    manifest = read_manifest(folder)
    runs = Runs.of_rows(plan.rows, plan.terms, plan.origin)
    items = {item["path"]: item for item in manifest.items}
    for item in plan.items:
        task.check()
        before = items.get(item.path, {})
        row = {
            "path": item.path,
            "url": item.url,
            "table": item.table,
            "id": item.row_id,
            "portal": plan.source,
            "licence": plan.terms.licence,
            "is_complete": item.path in complete,
            "modified": item.modified if item.path in complete else before.get("modified"),
            "error": (errors or {}).get(item.path),
            "source": _source(runs, item),
        }
        items[item.path] = {key: value for key, value in row.items() if value not in (None, "")}
    manifest.updated = _now()
    if begins and not plan.is_rest:
        request = {
            "began": manifest.updated,
            "source": plan.source,
            "items": len(plan.items),
            **plan.about,
        }
        manifest.downloads.append(request)
    _mark_withdrawn(items.values(), plan)
    manifest.items = [items[path] for path in sorted(items)]
    manifest.is_complete = not manifest.incomplete
    files = (entry for entry in manifest.files if entry.path not in missing)
    manifest.files = sorted(files, key=lambda file: file.path)
    replace_file(
        folder / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    )
    (folder / JOURNAL_NAME).unlink(missing_ok=True)


def _mark_withdrawn(items: Iterable[dict[str, Any]], plan: Plan) -> None:
    """Mark items of the plan's runs whose files the portal doesn't list any more."""
    prefixes = tuple(row["httpsPrefix"] for row in plan.rows["runs"]) if plan.listed else ()
    for item in items:
        if item["url"].startswith(prefixes) and item["url"] not in plan.listed:
            item["is_withdrawn"] = True


def downloaded_basket(folder: Path) -> Basket:
    """All that a download folder has as a basket, with the split of the basket beside it."""
    path = folder / BASKET_NAME
    before = read_basket(path) if path.exists() else Basket()
    ids = tuple(row["id"] for row in open_pack(folder).tables["runs"]) if path.exists() else ()
    return Basket(name=before.name, source=str(folder), runs=ids, split=before.split)


def with_local_files(rows: Rows, folder: Path, plan: Plan) -> Rows:
    """The rows with URLs of the plan's files in a download folder, if it has them as they are now."""
    if not (folder / PACK_NAME).exists():
        return rows
    modified = {item.url: item.modified for item in plan.items}
    local = {
        item["url"]: (folder / item["path"]).absolute().as_uri()
        for item in read_manifest(folder).items
        if item.get("is_complete")
        and COARSE not in item["path"]
        and item.get("modified", "") == (modified.get(item["url"]) or "")
    }
    columns = file_columns()
    return {
        name: [
            row | {key: local.get(row[key], row[key]) for key in columns.get(name, ())}
            for row in of_table
        ]
        for name, of_table in rows.items()
    }


def _source(runs: Runs, item: PlannedItem) -> Row | None:
    """The provenance for a layer of a tomogram or an annotation file; None for other items."""
    if item.table == "tomograms":
        about = provenance.of_tomogram(runs.tomograms[item.row_id], item.url)
    elif item.table == "annotationFiles":
        about = provenance.of_annotation_file(runs.annotation_files[item.row_id], item.url, None)
    else:
        return None
    fields = about.to_dict() | {"downloaded_from": item.url}
    return {key: value for key, value in fields.items() if key not in _PORTAL_FIELDS}


def pack_of(folder: Path, plan: Plan) -> Pack | None:
    """The pack in a folder, or None; DownloadError if it is of another portal than the plan."""
    if not (folder / PACK_NAME).exists():
        return None
    pack = open_pack(folder)
    if pack.manifest.s3_prefix != plan.s3_prefix:
        raise DownloadError(
            f"{folder} holds files of another portal.", hint="Choose another folder."
        )
    return pack


def write_tables(folder: Path, plan: Plan, complete: Collection[str]) -> None:
    """Add the rows of the complete items to the folder's tables, and write citations and licences."""
    pack = pack_of(folder, plan)
    manifest = pack.manifest if pack else _pack_manifest(plan)
    items = [item for item in plan.items if item.path in complete]
    paths = {
        (item.table, item.row_id, item.column): item.path.removeprefix(f"{FILES}/")
        for item in items
    }
    levels = {
        item.row_id: item.first_level for item in items if item.first_level and not item.keeps_grid
    }
    merged = by_id(pack.tables) if pack else {}
    for name, rows in _related_rows(
        plan.rows, {(item.table, item.row_id) for item in items} | plan.rows_without_files
    ).items():
        known = merged.setdefault(name, {})
        for row in rows:
            new = _local_row(name, row, paths, plan, manifest)
            if name == "tomograms":
                level = levels.get(row["id"], 0)
                _add_tomogram(known, _of_level(new, level) if level else new)
            else:
                known[row["id"]] = _joined(known.get(row["id"], {}), new)
    by_table = {name: list(rows.values()) for name, rows in merged.items() if rows}
    write_pack(folder, manifest, by_table)
    replace_file(
        folder / CITATION_NAME, cite(citations(by_table, site=plan.terms.site), "bibtex").encode()
    )
    _write_licences(folder)


def _joined(old: Row, new: Row) -> Row:
    """The old row with the new one's values, except unknown ones."""
    return old | {key: value for key, value in new.items() if value is not None or key not in old}


def _add_tomogram(known: dict[int, Row], new: Row) -> None:
    """Add a tomogram, or a part of it: coarse levels or a region.

    The best part keeps the portal's id; others have it plus multiples of `_PART_ID`. A whole
    tomogram replaces its parts.
    """
    tomogram_id = new["id"] % _PART_ID
    rows = [row for row in known.values() if row["id"] % _PART_ID == tomogram_id]
    same = [row for row in rows if has_voxels_of(row, new)]
    others = [row for row in rows if row not in same]
    if any(not _is_part(row) for row in others) and _is_part(new):
        return
    joined = _joined(same[0] if same else {}, new)
    parts = sorted([joined, *others], key=_part_rank) if _is_part(new) else [joined]
    for row in rows:
        del known[row["id"]]
    # the finest of several coarse volumes has the levels of the others
    coarse = [part for part in parts if not _part_rank(part)[0]][1:]
    for number, part in enumerate(part for part in parts if part not in coarse):
        part_id = tomogram_id + number * _PART_ID
        known[part_id] = part | {"id": part_id}


def _is_part(row: Row) -> bool:
    return row["tomogramVoxelSpacingId"] is None


def _part_rank(row: Row) -> tuple[bool, float, int]:
    """A sort key: all of the volume first, then fine, then large parts."""
    is_region = COARSE not in (row["httpsOmezarrDir"] or "")
    return is_region, row["voxelSpacing"], -row["sizeX"] * row["sizeY"] * row["sizeZ"]


def _write_licences(folder: Path) -> None:
    by_licence: dict[str, list[str]] = defaultdict(list)
    for item in read_manifest(folder).items:
        by_licence[item.get("licence", "Unknown licence")].append(item["path"])
    lines = []
    for licence, paths in sorted(by_licence.items()):
        lines += [f"{licence}: {count_text(len(paths), 'item')}", *paths, ""]
    replace_file(folder / LICENCES_NAME, "\n".join(lines).encode())


def has_voxels_of(known: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a folder's row of a tomogram describes the same voxels, not only some of them."""
    columns = (
        "voxelSpacing",
        *(f"{prefix}{axis}" for prefix in ("size", "offset") for axis in "XYZ"),
    )
    return bool(known) and all(known.get(name) == row.get(name) for name in columns)


def _of_level(row: Row, level: int) -> Row:
    """The row of a tomogram without its levels before ``level``: a volume of fewer, larger voxels.

    It loses the id of its voxel spacing record, whose grid is that of the annotations.
    """
    coarse = {
        **row,
        "voxelSpacing": row["voxelSpacing"] * 2**level,
        "tomogramVoxelSpacingId": None,
        "fileSizeOmezarr": size_of(("tomograms", row, "httpsOmezarrDir"), level) or None,
    }
    for name in ("sizeX", "sizeY", "sizeZ"):
        coarse[name] = -(-row[name] // 2**level)
    for n in range(LEVELS):
        coarse[f"scale{n}Dimensions"] = row.get(f"scale{n + level}Dimensions")
    return coarse


def _pack_manifest(plan: Plan) -> PackManifest:
    bucket = plan.s3_prefix.split("/")[2]
    return PackManifest(
        title=f"Download from {plan.source}" if plan.source else "Download",
        source=plan.source,
        origin=plan.origin,
        created=_now(),
        licence=plan.terms.licence,
        licence_url=plan.terms.licence_url,
        site=plan.terms.site,
        https_prefix=f"https://{bucket}.invalid/" if plan.is_local else plan.https_prefix,
        s3_prefix=plan.s3_prefix,
    )


def _related_rows(rows: Rows, wanted: Iterable[tuple[str, int]]) -> dict[str, list[Row]]:
    """The wanted rows, their parents, and rows that describe any of these, such as authors and spacings."""
    known = {(name, row["id"]): row for name, of_table in rows.items() for row in of_table}
    kept: set[tuple[str, int]] = set()
    queue = list(wanted)
    while queue:
        key = queue.pop()
        if key in known and key not in kept:
            kept.add(key)
            queue += _parents(key[0], known[key])
    for name in sorted(
        rows.keys() - file_columns().keys(), key=lambda name: name != "runs"
    ):  # the others need runs
        for row in rows[name]:
            parents = known.keys() & _parents(name, row)
            if parents and parents <= kept:
                kept.add((name, row["id"]))
    return {
        name: [row for row in of_table if (name, row["id"]) in kept]
        for name, of_table in rows.items()
    }


def _parents(name: str, row: Row) -> set[tuple[str, int]]:
    relations = tables()[name].parents.values()
    return {
        (relation.table, row[relation.key])
        for relation in relations
        if row.get(relation.key) is not None
    }


def _local_row(
    name: str,
    row: Row,
    paths: Mapping[tuple[str, int, str], str],
    plan: Plan,
    manifest: PackManifest,
) -> Row:
    """Copy a row with its URLs pointing into the folder.

    Drop URLs of files that weren't downloaded.
    """
    columns = tables()[name].columns
    local = {column: row[column] for column in columns if column in row}
    for column, value in local.items():
        if is_url(column) and (value or "").startswith(plan.https_prefix):
            local[column] = manifest.https_prefix + value[len(plan.https_prefix) :]
    for https, (s3, size) in file_columns().get(name, {}).items():
        path = paths.get((name, row["id"], https))
        if path is not None:
            local[https] = manifest.https_prefix + quote(path)
            local |= {s3: manifest.s3_prefix + path} if s3 else {}
        elif not columns[https].is_required:
            local |= dict.fromkeys(filter(None, (https, s3, size)))
    return local


def _now() -> str:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# locks


def locked(basket: Basket, plan: Plan, downloaded: Iterable[FileEntry] = ()) -> Basket:
    """Record the files of a basket's plan, and the checksums of those that were downloaded.

    `plan.differences` compares them with a later plan.
    """
    date = datetime.now(UTC).date().isoformat()
    files = listed_files(plan)
    before = basket.lock or Lock()
    kept = {
        path: sha256
        for path, sha256 in before.sha256.items()
        if files.get(path) == before.files[path]
    }
    sha256 = kept | checksums(downloaded, plan)
    return msgspec.structs.replace(basket, lock=Lock(date=date, files=files, sha256=sha256))


def other_contents(lock: Lock, files: Iterable[FileEntry], plan: Plan) -> Iterator[str]:
    """The downloaded files whose checksum isn't the locked one, a line each."""
    for path, sha256 in checksums(files, plan).items():
        if lock.sha256.get(path, sha256) != sha256:
            yield f"{path}: other content than locked"


def checksums(files: Iterable[FileEntry], plan: Plan) -> dict[str, str]:
    """The SHA-256 of the plan's items in a folder, by path; of an OME-Zarr, that of its files' list."""
    of_items: dict[str, list[str]] = {item.path: [] for item in plan.items}
    for file in sorted(files, key=lambda file: file.path):
        item = next((path for path in _above(file.path) if path in of_items), None)
        if item == file.path:
            of_items[item].append(file.sha256)
        elif item is not None:
            of_items[item].append(f"{file.sha256}  {file.path.removeprefix(item)}\n")
    single = {item.path for item in plan.items if not item.is_zarr}
    return {
        path_below(path): lines[0]
        if path in single
        else hashlib.sha256("".join(lines).encode()).hexdigest()
        for path, lines in of_items.items()
        if lines
    }


def _above(path: str) -> Iterator[str]:
    """The path, then the folders that hold it."""
    while path:
        yield path
        path = path.rpartition("/")[0]
