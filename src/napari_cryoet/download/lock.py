"""Locked baskets: the files of one day, and what differs from them later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from napari_cryoet.basket.basket import Basket, Lock
from napari_cryoet.tables.database import Row, by_id
from napari_cryoet.wording import joined

if TYPE_CHECKING:
    from napari_cryoet.download.folder import FileEntry
    from napari_cryoet.download.plan import Plan


def locked(basket: Basket, plan: Plan, downloaded: Iterable[FileEntry] = ()) -> Basket:
    """Record the files of a basket's plan, and the checksums of those that were downloaded.

    `differences` compares them with a later plan.
    """
    date = datetime.now(UTC).date().isoformat()
    files, before = _files(plan), basket.lock or Lock()
    kept = {
        path: sha256
        for path, sha256 in before.sha256.items()
        if files.get(path) == before.files[path]
    }
    sha256 = kept | checksums(downloaded, plan)
    return replace(basket, lock=Lock(date=date, files=files, sha256=sha256))


def differences(lock: Lock, plan: Plan) -> Iterator[str]:
    """The locked files that the plan lacks or has otherwise, then its other files, a line each."""
    files = _files(plan)
    for path, was in lock.files.items():
        if path not in files:
            yield f"{path}: withdrawn"
        elif files[path] != was:
            yield f"{path}: {files[path]}; locked as {was}"
    for path in files:
        if path not in lock.files:
            yield f"{path}: new"


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
        _below(path): lines[0]
        if path in single
        else hashlib.sha256("".join(lines).encode()).hexdigest()
        for path, lines in of_items.items()
        if lines
    }


def dated_row(table: str, row: Row, rows: Mapping[str, Mapping[int, Row]]) -> Row:
    """The row with the date of a file: of an annotation file, that of its annotation."""
    if table != "annotationFiles":
        return row
    shape = rows["annotationShapes"][row["annotationShapeId"]]
    return rows["annotations"][shape["annotationId"]]


def _files(plan: Plan) -> dict[str, str]:
    """The record, size and date of each item by path."""
    rows = by_id(plan.rows)
    files = {}
    for item in plan.items:
        dated = dated_row(item.table, rows[item.table][item.row_id], rows)
        files[_below(item.path)] = joined(
            f"{item.table} {item.row_id}",
            "" if item.size_bytes is None else f"{item.size_bytes} bytes",
            item.modified,
            "ground truth" if dated.get("groundTruthStatus") else "",
        )
    return files


def _above(path: str) -> Iterator[str]:
    """The path, then the folders that hold it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _below(path: str) -> str:
    """A path without the folder of all files."""
    return path.partition("/")[2]
