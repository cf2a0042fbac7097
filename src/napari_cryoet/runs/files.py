"""The files of runs: the cells of tables that name them, and their sizes.

Each cell with a URL names a file, or an OME-Zarr, which is a folder of files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Final, Literal, NamedTuple

from napari_cryoet.tables.database import Row, Rows, is_url, tables

VolumeFormat = Literal["zarr", "mrc"]

LEVELS: Final = 3  # in the portal's volumes

Cell = tuple[str, Row, str]
"""A file: its table, its row, and the column with its HTTPS URL."""
_VOLUME_COLUMNS: Final[dict[VolumeFormat, str]] = {"zarr": "httpsOmezarrDir", "mrc": "httpsMrcFile"}


class FileColumn(NamedTuple):
    """The columns that accompany one with file URLs: their S3 paths and sizes, if any."""

    s3: str | None
    size: str | None


@cache
def file_columns() -> Mapping[str, Mapping[str, FileColumn]]:
    """The columns that name files, by table and name, without folders of whole datasets or runs."""
    columns: dict[str, dict[str, FileColumn]] = {}
    for table in tables().values():
        for name in table.columns:
            if is_url(name) and not name.startswith("s3") and not name.endswith("Prefix"):
                columns.setdefault(table.name, {})[name] = _file_column(name, table.columns)
    return columns


def _file_column(https: str, columns: Collection[str]) -> FileColumn:
    stem = https.removeprefix("https")
    volume_format = next((each for each in ("Omezarr", "Mrc") if stem.startswith(each)), "")
    s3 = f"s3{stem}"
    size = "" if stem == https else f"fileSize{volume_format}"
    return FileColumn(s3 if s3 in columns else None, size if size in columns else None)


def every_cell(rows: Rows) -> Iterator[Cell]:
    """The cells of all files that the rows list."""
    for table, columns in file_columns().items():
        for row in rows.get(table, ()):
            yield from ((table, row, name) for name in columns if row[name])


def volume_cells(table: str, rows: Iterable[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    """The cell of each tomogram or tilt series in this format if offered, else in the other one."""
    names = sorted(
        _VOLUME_COLUMNS.values(), key=lambda name: name != _VOLUME_COLUMNS[volume_format]
    )
    for row in rows:
        yield from [(table, row, name) for name in names if row[name]][:1]


def file_cells(files: Collection[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    """The cells of annotation files; a mask in several formats only in this one if offered."""
    offered = {_volume(row) for row in files if row["format"] == volume_format}
    for row in files:
        is_other_format = row["format"] in _VOLUME_COLUMNS and row["format"] != volume_format
        if not (is_other_format and _volume(row) in offered):
            yield "annotationFiles", row, "httpsPath"


def is_zarr(cell: Cell) -> bool:
    """Whether a cell names an OME-Zarr."""
    _, row, column = cell
    return column == _VOLUME_COLUMNS["zarr"] or row.get("format") == "zarr"


def size_of(cell: Cell, first_level: int) -> int | None:
    """The size in bytes that the portal lists, or an estimate if finer levels are left out.

    None if it lists none.
    """
    table, row, column = cell
    name = file_columns()[table][column].size
    size = row[name] if name else None
    return None if size is None else round(max(0, size) * level_share(table, column, first_level))


def level_share(table: str, column: str, first_level: int) -> float:
    """The approximate fraction of a file to fetch; each level is an eighth of the one before."""
    if not first_level or (table, column) != ("tomograms", _VOLUME_COLUMNS["zarr"]):
        return 1.0
    sizes = [8.0**-level for level in range(LEVELS)]
    return sum(sizes[min(first_level, LEVELS - 1) :]) / sum(sizes)


def _volume(row: Row) -> tuple[int | None, ...]:
    """A key that the formats of one mask share."""
    return row["annotationShapeId"], row["alignmentId"], row["tomogramVoxelSpacingId"]
