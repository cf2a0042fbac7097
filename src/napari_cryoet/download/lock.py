"""Locked baskets: the files of one day, and what differs from them later."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from napari_cryoet.basket.basket import Basket, Lock
from napari_cryoet.download.plan import Plan, listed_files, path_below

if TYPE_CHECKING:
    from napari_cryoet.download.folder import FileEntry


def locked(basket: Basket, plan: Plan, downloaded: Iterable[FileEntry] = ()) -> Basket:
    """Record the files of a basket's plan, and the checksums of those that were downloaded.

    `download.plan.differences` compares them with a later plan.
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
    return replace(basket, lock=Lock(date=date, files=files, sha256=sha256))


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
