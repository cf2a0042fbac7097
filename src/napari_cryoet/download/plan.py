"""Download plans: files, their paths and their sizes. Nothing here reads a file or the network.

A plan is made from rows of the portal's tables, of one run or many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from napari_cryoet.basket.aging import age_of
from napari_cryoet.basket.basket import Basket, Lock, basket_text
from napari_cryoet.basket.contents import choose, rows_without_files
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.files import clean_name, name_with_hash
from napari_cryoet.locations import without_password
from napari_cryoet.portal.portal import Portal, Source
from napari_cryoet.records import Terms, terms_of
from napari_cryoet.runs.runs import Cell, Runs, every_cell, is_zarr, level_share, size_of
from napari_cryoet.tables.database import Row, Rows, by_id
from napari_cryoet.wording import joined

FILES: Final = "files"  # the subfolder for files, as in a pack
BASKET_NAME: Final = "basket.toml"  # in the folder: what was downloaded
COARSE: Final = ".from-level-"  # before the first level that an OME-Zarr was fetched from


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """A file or an OME-Zarr to fetch, and the table cell that names it."""

    table: str
    row_id: int
    column: str
    url: str
    path: str  # in the download's folder, with / as the separator
    is_zarr: bool
    size_bytes: int | None  # as the portal lists it; estimated if finer levels are left out
    first_level: int = 0  # the finest level to fetch of an OME-Zarr
    keeps_grid: bool = (
        False  # whether finer levels are stated as left out, so that the record stays
    )
    modified: str = ""  # the day of the record's last change, if known


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a download fetches."""

    items: tuple[PlannedItem, ...]
    rows: Rows  # those of downloaded items become the tables of the folder
    https_prefix: str  # of the URLs in the rows; the rest of a URL is a path in the folder
    s3_prefix: str
    source: str  # the portal's URL or label
    origin: str  # the source whose records these are, as baskets name it
    terms: Terms
    about: Mapping[str, Any] = field(default_factory=dict)  # the request, for the manifest
    is_rest: bool = False  # whether it has only the incomplete items of another plan
    beside: Mapping[str, str] = field(default_factory=dict)  # additional text files by name
    lock: Lock | None = None  # of the basket
    differences: tuple[str, ...] = ()  # from when the basket was filled or locked, a line each
    listed: frozenset[str] = frozenset()  # the URLs of all files of the runs, if they are known
    rows_without_files: frozenset[tuple[str, int]] = frozenset()  # of whole runs, by table and id

    @property
    def is_local(self) -> bool:
        """Whether the files are on this computer."""
        return self.https_prefix.startswith("file:")

    @property
    def total_bytes(self) -> int:
        """The sum of the known sizes."""
        return sum(item.size_bytes or 0 for item in self.items)

    @property
    def n_unknown_sizes(self) -> int:
        """The number of items of unknown size, usually small metadata files."""
        return sum(item.size_bytes is None for item in self.items)


def plan_basket(basket: Basket, runs: Runs, portal: Portal) -> Plan:
    """Plan the download of a basket; ``runs`` are its own, with all tables.

    DownloadError if there is nothing to fetch.
    """
    chosen = choose(basket, runs)
    cells = [file.cell for file in chosen.files]
    plan = plan_cells(runs.rows, portal.source, cells, first_level=basket.choices.level)
    about = {
        "basket": basket.name,
        "catalogue_date": basket.catalogue_date,
        "searches": [saved.search for saved in basket.searches],
    }
    lines = differences(basket.lock, plan) if basket.lock else age_of(basket, runs).lines
    return replace(
        plan,
        about=about,
        beside={BASKET_NAME: basket_text(basket)},
        lock=basket.lock,
        differences=tuple(lines),
        listed=frozenset(row[column] for _, row, column in every_cell(runs.rows)),
        rows_without_files=frozenset(rows_without_files(chosen)),
    )


def plan_cells(
    rows: Rows, source: Source | None, cells: Iterable[Cell], *, first_level: int = 0
) -> Plan:
    """Plan the download of some cells, with paths as in the portal's bucket.

    OME-Zarr tomograms are fetched from ``first_level`` on; 0 is the finest. DownloadError if there
    is nothing to fetch, or the portal lists a URL that can't be fetched, such as that of a local
    file.
    """
    listed = [(table, row, column) for table, row, column in cells if row[column]]
    if not listed:
        raise DownloadError(
            "Nothing is selected to download.",
            hint="Choose a tomogram or an annotation, or fill the basket.",
        )
    top = [*rows["datasets"], *rows["runs"]][0]
    https_prefix, s3_prefix = _prefixes(top["httpsPrefix"], top["s3Prefix"])
    by_table = by_id(rows)
    items: dict[str, PlannedItem] = {}
    taken: dict[str, str] = {}
    for table, row, column in listed:
        path = _path(row[column], https_prefix, f"{table}/{row['id']}")
        if taken.setdefault(path.casefold(), path) != path:  # differs only in case
            folder, _, name = path.rpartition("/")
            path = f"{folder}/{name_with_hash(name, path)}"
        item = _item((table, row, column), path, first_level)
        dated = dated_row(table, row, by_table)
        items[item.path] = replace(item, modified=(dated.get("lastModifiedDate") or "")[:10])
    allowed = {"http", "https", urlsplit(https_prefix).scheme}
    if odd := [item.url for item in items.values() if urlsplit(item.url).scheme not in allowed]:
        raise DownloadError(f"The portal lists a URL that can't be fetched: {odd[0]!r}.")
    portal = origin = ""
    if source is not None:
        portal = source.location if source.kind in {"live", "url"} else source.label
        origin = without_password(source.origin or source.name)
    return Plan(
        items=tuple(items.values()),
        rows=rows,
        https_prefix=https_prefix,
        s3_prefix=s3_prefix,
        source=portal,
        origin=origin,
        terms=terms_of(s3_prefix, source.terms if source is not None else None),
    )


def differences(lock: Lock, plan: Plan) -> Iterator[str]:
    """The locked files that the plan lacks or has otherwise, then its other files, a line each."""
    files = listed_files(plan)
    for path, was in lock.files.items():
        if path not in files:
            yield f"{path}: withdrawn"
        elif files[path] != was:
            yield f"{path}: {files[path]}; locked as {was}"
    for path in files:
        if path not in lock.files:
            yield f"{path}: new"


def listed_files(plan: Plan) -> dict[str, str]:
    """The record, size and date of each item by path, as a lock holds them."""
    rows = by_id(plan.rows)
    files = {}
    for item in plan.items:
        dated = dated_row(item.table, rows[item.table][item.row_id], rows)
        files[path_below(item.path)] = joined(
            f"{item.table} {item.row_id}",
            "" if item.size_bytes is None else f"{item.size_bytes} bytes",
            item.modified,
            "ground truth" if dated.get("groundTruthStatus") else "",
        )
    return files


def dated_row(table: str, row: Row, rows: Mapping[str, Mapping[int, Row]]) -> Row:
    """The row with the date of a file: of an annotation file, that of its annotation."""
    if table != "annotationFiles":
        return row
    shape = rows["annotationShapes"][row["annotationShapeId"]]
    return rows["annotations"][shape["annotationId"]]


def path_below(path: str) -> str:
    """A path without the folder of all files."""
    return path.partition("/")[2]


# paths and sizes


def _item(cell: Cell, path: str, first_level: int) -> PlannedItem:
    table, row, column = cell
    if level_share(table, column, first_level) == 1:
        first_level = 0
    elif path.endswith(".zarr"):
        path = f"{path.removesuffix('.zarr')}{COARSE}{first_level}.zarr"
    return PlannedItem(
        table=table,
        row_id=row["id"],
        column=column,
        url=row[column],
        path=path,
        is_zarr=is_zarr(cell),
        size_bytes=size_of(cell, first_level),
        first_level=first_level,
    )


def _path(url: str, prefix: str, elsewhere: str) -> str:
    """The path of a file in the folder: as below the prefix of its URL, else below ``elsewhere``."""
    is_below = url.startswith(prefix) and url != prefix
    segments = (
        url.removeprefix(prefix).split("/")
        if is_below
        else ["elsewhere", elsewhere, url.rpartition("/")[2]]
    )
    return "/".join([FILES, *(clean_name(unquote(segment)) for segment in segments if segment)])


def _prefixes(https: str, s3: str) -> tuple[str, str]:
    """The prefixes of a portal's HTTPS URLs and S3 paths, which continue with the same path."""
    https, s3 = https.rstrip("/"), s3.rstrip("/")
    while https.rpartition("/")[2] == s3.rpartition("/")[2] and s3.count("/") > 2:
        https, s3 = https.rpartition("/")[0], s3.rpartition("/")[0]
    return f"{https}/", f"{s3}/"
