"""What a download will fetch: files, where they go, and how large they are. Nothing here reads a file or the network.

A plan is made of rows of the portal's tables, of one run or of many. Each cell with an address names a file, or an
OME-Zarr, which is a folder of files.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from napari_cryoet.download.rows import Row, file_columns
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.portal.portal import Source
from napari_cryoet.records import Terms, terms_of
from napari_cryoet.tables.database import Rows

VolumeFormat = Literal["zarr", "mrc"]

LEVELS: Final = 3  # of the portal's volumes
FILES: Final = "files"  # where files go in the download's folder, as in a pack

Cell = tuple[str, Row, str]
"""A file: its table, its row, and the column of its https address."""
_VOLUME_COLUMNS: Final[dict[VolumeFormat, str]] = {"zarr": "httpsOmezarrDir", "mrc": "httpsMrcFile"}
_MAX_NAME_BYTES: Final = 160  # of 255 that file systems hold; leaves room for a hash and for endings of ours
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """A file to fetch, or an OME-Zarr, which is a folder of files, and the cell of the tables that names it."""

    table: str
    row_id: int
    column: str
    url: str
    path: str  # in the download's folder, with / between names
    is_zarr: bool
    size_bytes: int | None  # as the portal lists it; estimated for a part of the levels
    first_level: int = 0  # of an OME-Zarr, the finest level that is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a download will fetch."""

    items: tuple[PlannedItem, ...]
    rows: Rows  # those of what was downloaded become the tables of the folder
    https_prefix: str  # how the addresses in the rows begin; what follows are paths below the folder
    s3_prefix: str
    source: str  # where it comes from
    terms: Terms
    about: Mapping[str, Any] = field(default_factory=dict)  # what was asked for, for the manifest
    is_rest: bool = False  # of a plan, what wasn't complete yet
    beside: Mapping[str, str] = field(default_factory=dict)  # texts to write into the folder, by name

    @property
    def is_local(self) -> bool:
        """Whether the files are on this computer."""
        return self.https_prefix.startswith("file:")

    @property
    def total_bytes(self) -> int:
        """Sum of the sizes that are known."""
        return sum(item.size_bytes or 0 for item in self.items)

    @property
    def n_unknown_sizes(self) -> int:
        """Number of items whose size isn't known; small metadata files, as a rule."""
        return sum(item.size_bytes is None for item in self.items)


def plan_cells(rows: Rows, source: Source | None, cells: Iterable[Cell], *, first_level: int = 0) -> Plan:
    """Plan to download the files of some cells, laid out as in the portal's bucket.

    Of tomograms in OME-Zarr, the levels from ``first_level`` on are wanted; 0 is the finest. DownloadError if there is
    nothing to fetch, or the portal names something that may not be fetched.
    """
    nothing = DownloadError(
        "Nothing is selected to download.", hint="Choose a tomogram or an annotation, or fill the basket."
    )
    if (top := next(iter((*rows["datasets"], *rows["runs"])), None)) is None:
        raise nothing
    https_prefix, s3_prefix = _prefixes(top["httpsPrefix"], top["s3Prefix"])
    items: dict[str, PlannedItem] = {}
    taken: dict[str, str] = {}
    for table, row, column in cells:
        if url := row[column]:
            path = _path(url, https_prefix, f"{table}/{row['id']}")
            if taken.setdefault(path.casefold(), path) != path:  # another one but for its case
                folder, _, name = path.rpartition("/")
                path = f"{folder}/{_with_hash(name, path)}"
            item = _item((table, row, column), path, first_level)
            items[item.path] = item
    if not items:
        raise nothing
    allowed = {"http", "https", urlsplit(https_prefix).scheme}
    if odd := [item.url for item in items.values() if urlsplit(item.url).scheme not in allowed]:
        raise DownloadError(f"The portal names a file that can't be fetched from there: {odd[0]!r}.")
    return Plan(
        items=tuple(items.values()),
        rows=rows,
        https_prefix=https_prefix,
        s3_prefix=s3_prefix,
        source="" if source is None else source.location if "://" in source.location else source.label,
        terms=terms_of(s3_prefix, source.terms if source is not None else None),
    )


def clean_name(name: str) -> str:
    """One part of a path as a valid file name on Linux, macOS and Windows.

    A name that is fine stays. Any other is mended and gets digits of its own hash, so that two different remote names
    never become one file.
    """
    kept = unicodedata.normalize("NFC", name)
    mended = "".join(letter if letter.isprintable() and letter not in '<>:"/\\|?*' else "_" for letter in kept)
    mended = mended.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip(" ").rstrip(" .") or "_"
    if _RESERVED.fullmatch(mended):
        mended = f"_{mended}"
    return mended if mended == name else _with_hash(mended, name)


def _with_hash(name: str, original: str) -> str:
    """The name with eight digits of the hash of another text before its ending."""
    digits = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, _, ending = name.rpartition(".")
    return f"{stem}~{digits}.{ending}" if stem else f"{name}~{digits}"


# which cells


def every_cell(rows: Rows) -> Iterator[Cell]:
    """The files that any row lists."""
    for table, columns in file_columns().items():
        for row in rows.get(table, ()):
            yield from ((table, row, name) for name in columns if row[name])


def volume_cells(table: str, rows: Iterable[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    """Each tomogram or tilt series in one format: this one where it is offered."""
    names = sorted(_VOLUME_COLUMNS.values(), key=lambda name: name != _VOLUME_COLUMNS[volume_format])
    for row in rows:
        yield from [(table, row, name) for name in names if row[name]][:1]


def file_cells(files: Collection[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    """Annotation files, of a mask in several formats one: this one where it is offered."""
    offered = {_volume(row) for row in files if row["format"] == volume_format}
    for row in files:
        is_other_format = row["format"] in _VOLUME_COLUMNS and row["format"] != volume_format
        if not (is_other_format and _volume(row) in offered):
            yield "annotationFiles", row, "httpsPath"


def _volume(row: Row) -> tuple[int | None, ...]:
    """What the formats of one mask have in common."""
    return row["annotationShapeId"], row["alignmentId"], row["tomogramVoxelSpacingId"]


# where they go


def _item(cell: Cell, path: str, first_level: int) -> PlannedItem:
    table, row, column = cell
    if level_share(table, column, first_level) == 1:
        first_level = 0
    elif path.endswith(".zarr"):
        path = f"{path.removesuffix('.zarr')}.from-level-{first_level}.zarr"
    return PlannedItem(
        table=table,
        row_id=row["id"],
        column=column,
        url=row[column],
        path=path,
        is_zarr=column == _VOLUME_COLUMNS["zarr"] or row.get("format") == "zarr",
        size_bytes=size_of(cell, first_level),
        first_level=first_level,
    )


def size_of(cell: Cell, first_level: int) -> int | None:
    """The size of a file as the portal lists it, estimated for a part of the levels; None where it lists none."""
    table, row, column = cell
    size = row[name] if (name := file_columns()[table][column].size) else None
    return None if size is None else round(max(0, size) * level_share(table, column, first_level))


def level_share(table: str, column: str, first_level: int) -> float:
    """About how much of a file is wanted: the levels of a tomogram from one on, each an eighth of the one before."""
    if not first_level or (table, column) != ("tomograms", _VOLUME_COLUMNS["zarr"]):
        return 1.0
    sizes = [8.0**-level for level in range(LEVELS)]
    return sum(sizes[min(first_level, LEVELS - 1) :]) / sum(sizes)


def _path(url: str, prefix: str, elsewhere: str) -> str:
    """Where a file goes in the folder: where it is below the prefix, else below ``elsewhere``."""
    is_ours = url.startswith(prefix) and url != prefix
    segments = url.removeprefix(prefix).split("/") if is_ours else ["elsewhere", elsewhere, url.rpartition("/")[2]]
    return "/".join([FILES, *(clean_name(unquote(segment)) for segment in segments if segment)])


def _prefixes(https: str, s3: str) -> tuple[str, str]:
    """How the https addresses and the S3 paths of a portal's files begin, before they go on alike."""
    https, s3 = https.rstrip("/"), s3.rstrip("/")
    while https.rpartition("/")[2] == s3.rpartition("/")[2] and s3.count("/") > 2:
        https, s3 = https.rpartition("/")[0], s3.rpartition("/")[0]
    return f"{https}/", f"{s3}/"
