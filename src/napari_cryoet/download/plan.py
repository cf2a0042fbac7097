"""What a download will fetch: files, where they go, and how large they are. Nothing here reads a file or the network.

A plan is made of rows of the portal's tables, of one run or of many, and of the cells in them that were chosen: each
names a file, or an OME-Zarr, which is a folder of files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from napari_cryoet.download.names import clean_name, with_hash
from napari_cryoet.download.rows import Row, Rows, file_columns
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.portal.portal import Source
from napari_cryoet.records import Terms, Tomogram, terms_of
from napari_cryoet.run.outline import AnnotationRow

VolumeFormat = Literal["zarr", "mrc"]
What = Literal["everything", "tomogram", "annotations", "metadata"]
#: Which annotations: all, those that the curators show by default, none, or those with these ids.
WhichAnnotations = Literal["all", "default", "none"] | Collection[int]

FILES: Final = "files"  # where files go in the download's folder, as in a pack

_TOMOGRAM_COLUMNS: Final[dict[VolumeFormat, str]] = {"zarr": "httpsOmezarrDir", "mrc": "httpsMrcFile"}
#: The metadata beside a tomogram, which no table names.
_METADATA_BESIDE: Final = "tomogram_metadata.json"


class Cell(NamedTuple):
    """A cell of the portal's tables that names a file, by the column of its https address."""

    table: str
    row_id: int
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """A file to fetch, or an OME-Zarr, which is a folder of files.

    Attributes
    ----------
    path
        Where it goes in the download's folder, with ``/`` between names.
    size_bytes
        As the portal lists it; None where it doesn't.
    may_be_missing
        Whether it is no failure if the server doesn't have it.
    """

    cell: Cell
    url: str
    path: str
    is_zarr: bool = False
    size_bytes: int | None = None
    may_be_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a download will fetch.

    Attributes
    ----------
    rows
        Of the portal's tables; those of what was downloaded become the tables of the folder.
    https_prefix, s3_prefix
        How the addresses in the rows begin; what follows are paths below the folder.
    source, terms
        Where it comes from, and under which licence.
    """

    title: str
    items: tuple[PlannedItem, ...]
    rows: Rows
    https_prefix: str
    s3_prefix: str
    source: str
    terms: Terms

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


def plan_download(rows: Rows, cells: Iterable[Cell], source: Source | None = None) -> Plan:
    """What to fetch for some cells, laid out as in the portal's bucket.

    Parameters
    ----------
    rows, cells
        From `ask_rows`, and `select` or `select_ticked`.
    source
        The portal's, for the notes on where files come from.

    Raises
    ------
    DownloadError
        If nothing is chosen, or the portal names something that may not be fetched.
    """
    layout = _Layout(rows)
    items = {item.path: item for cell in dict.fromkeys(cells) for item in layout.items(cell)}
    if not items:
        raise DownloadError("Nothing is selected to download.", hint="Choose a tomogram or an annotation first.")
    return Plan(
        title=_title(rows),
        items=tuple(items.values()),
        rows=rows,
        https_prefix=layout.https_prefix,
        s3_prefix=layout.s3_prefix,
        source="" if source is None else source.location if "://" in source.location else source.label,
        terms=terms_of(layout.s3_prefix, source.terms if source is not None else None),
    )


def select(
    rows: Rows,
    what: Collection[What] = ("tomogram", "annotations"),
    *,
    volume_format: VolumeFormat = "zarr",
    annotations: WhichAnnotations = "all",
) -> tuple[Cell, ...]:
    """The cells of everything, or of each run's default tomogram, its annotations, and the metadata files of both.

    Volumes come in one format where they are offered in it, else in the other.

    Raises
    ------
    DownloadError
        If there is no such annotation, or no tomogram.
    """
    if "everything" in what:
        return tuple(_all_cells(rows))
    tomograms = _default_tomograms(rows)
    if "tomogram" in what and not tomograms:
        raise DownloadError(f"{_title(rows)} has no tomogram.", hint="Ask for its annotations or metadata only.")
    chosen = _chosen_annotations(rows, annotations)
    shapes = {row["id"] for row in rows["annotationShapes"] if row["annotationId"] in chosen}
    files = [row for row in rows["annotationFiles"] if row["annotationShapeId"] in shapes]
    return (
        *(_cells_of_tomograms(tomograms, volume_format) if "tomogram" in what else ()),
        *(_cells_of_files(files, volume_format) if "annotations" in what else ()),
        *(_cells_of_metadata(rows, tomograms, files, chosen) if "metadata" in what else ()),
    )


def select_ticked(
    rows: Rows,
    tomograms: Collection[Tomogram],
    ticked: Collection[AnnotationRow],
    *,
    volume_format: VolumeFormat = "zarr",
    with_metadata: bool = True,
) -> tuple[Cell, ...]:
    """The cells of what is ticked on a run's page, whose rows these are; as `select` in one format a volume."""
    tomogram_ids, file_ids = {each.id for each in tomograms}, {file.id for row in ticked for file in row.files}
    wanted = [row for row in rows["tomograms"] if row["id"] in tomogram_ids]
    files = [row for row in rows["annotationFiles"] if row["id"] in file_ids]
    annotation_ids = {row.annotation.id for row in ticked}
    return (
        *_cells_of_tomograms(wanted, volume_format),
        *_cells_of_files(files, volume_format),
        *(_cells_of_metadata(rows, wanted, files, annotation_ids) if with_metadata else ()),
    )


def _all_cells(rows: Rows) -> Iterator[Cell]:
    for table, columns in file_columns().items():
        for row in rows.get(table, ()):
            yield from (Cell(table, row["id"], column.https) for column in columns if row.get(column.https))
    yield from (Cell("tomograms", row["id"], _METADATA_BESIDE) for row in rows.get("tomograms", ()))


def _default_tomograms(rows: Rows) -> list[Row]:
    """The tomogram of each run that its page opens first."""
    best: dict[int | None, Row] = {}
    for row in sorted(rows["tomograms"], key=lambda row: (not row.get("isVisualizationDefault"), row["id"])):
        best.setdefault(row.get("runId"), row)
    return list(best.values())


def _chosen_annotations(rows: Rows, which: WhichAnnotations) -> set[int]:
    """The ids of the annotations that are meant."""
    known = {row["id"] for row in rows["annotations"]}
    match which:
        case "all":
            return known
        case "none":
            return set()
        case "default":
            shown = {row["annotationShapeId"] for row in rows["annotationFiles"] if row.get("isVisualizationDefault")}
            return {row["annotationId"] for row in rows["annotationShapes"] if row["id"] in shown}
        case str():
            raise DownloadError(f"'{which}' names no annotations.", hint="Use all, default, none, or ids.")
    if unknown := sorted(set(which) - known):
        ids, hint = ", ".join(map(str, unknown)), "Its page in the browser shows which there are."
        raise DownloadError(f"{_title(rows)} has no annotation {ids}.", hint=hint)
    return set(which)


def _cells_of_tomograms(tomograms: Iterable[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    columns = sorted(_TOMOGRAM_COLUMNS.values(), key=lambda column: column != _TOMOGRAM_COLUMNS[volume_format])
    for row in tomograms:
        yield from [Cell("tomograms", row["id"], column) for column in columns if row.get(column)][:1]


def _cells_of_files(files: Iterable[Row], volume_format: VolumeFormat) -> Iterator[Cell]:
    """Of masks that are offered in the wanted format only that, of all else all."""
    files = tuple(files)
    offered = {_volume(row) for row in files if row["format"] == volume_format}
    for row in files:
        is_other_format = row["format"] in _TOMOGRAM_COLUMNS and row["format"] != volume_format
        if not (is_other_format and _volume(row) in offered):
            yield Cell("annotationFiles", row["id"], "httpsPath")


def _volume(row: Row) -> tuple[int | None, ...]:
    """What the formats of one mask have in common."""
    return row["annotationShapeId"], row.get("alignmentId"), row.get("tomogramVoxelSpacingId")


def _cells_of_metadata(
    rows: Rows, tomograms: Iterable[Row], files: Iterable[Row], annotation_ids: Collection[int]
) -> Iterator[Cell]:
    """The metadata files of some records, and of the alignments that these were made on."""
    alignment_ids = {row.get("alignmentId") for row in (*tomograms, *files)}
    yield from (Cell("annotations", id_, "httpsMetadataPath") for id_ in sorted(annotation_ids))
    yield from (Cell("tomograms", row["id"], _METADATA_BESIDE) for row in tomograms)
    for row in rows["alignments"]:
        if row["id"] in alignment_ids:
            yield Cell("alignments", row["id"], "httpsAlignmentMetadata")


class _Layout:
    """Turns places in the portal's bucket into places in the folder."""

    def __init__(self, rows: Rows) -> None:
        self._rows = {(table, row["id"]): row for table in file_columns() for row in rows.get(table, ())}
        self._taken: dict[str, str] = {}
        top = (*rows.get("datasets", ()), *rows["runs"])[0]
        self.https_prefix, self.s3_prefix = _prefixes(top["httpsPrefix"], top["s3Prefix"])

    def items(self, cell: Cell) -> Iterator[PlannedItem]:
        """What a cell names; nothing where it is empty."""
        row = self._rows[cell.table, cell.row_id]
        is_beside = cell.column == _METADATA_BESIDE
        url, s3_path, size_bytes = None, None, None
        if is_beside:
            url = _beside(row.get("httpsOmezarrDir") or row.get("httpsMrcFile"))
            s3_path = _beside(row.get("s3OmezarrDir") or row.get("s3MrcFile"))
        else:
            column = next(each for each in file_columns()[cell.table] if each.https == cell.column)
            url, s3_path, size_bytes = (row.get(name or "") for name in (column.https, column.s3, column.size))
        if not url:
            return
        if urlsplit(url).scheme not in {"http", "https", urlsplit(self.https_prefix).scheme}:
            raise DownloadError(f"The portal names a file that can't be fetched from there: {url!r}.")
        yield PlannedItem(
            cell=cell,
            url=url,
            path=self._path(cell, url, s3_path or ""),
            is_zarr=cell.column == _TOMOGRAM_COLUMNS["zarr"] or row.get("format") == "zarr",
            size_bytes=None if size_bytes is None else max(0, int(size_bytes)),
            may_be_missing=is_beside,
        )

    def _path(self, cell: Cell, url: str, s3_path: str) -> str:
        segments: list[str] = []
        if s3_path.startswith(self.s3_prefix):
            segments = s3_path[len(self.s3_prefix) :].split("/")
        elif url.startswith(self.https_prefix):
            segments = [unquote(segment) for segment in url[len(self.https_prefix) :].split("/")]
        if not any(segments):
            segments = ["elsewhere", cell.table, str(cell.row_id), unquote(urlsplit(url).path.rpartition("/")[2])]
        remote, path = "/".join(segments), "/".join([FILES, *(clean_name(segment) for segment in segments if segment)])
        if self._taken.setdefault(path.casefold(), remote) != remote:  # names that differ by case alone
            folder, _, name = path.rpartition("/")
            path = f"{folder}/{with_hash(name, of=remote)}"
        return path


def _prefixes(https: str, s3: str) -> tuple[str, str]:
    """How the https addresses and the S3 paths of a portal's files begin, before they go on alike."""
    https, s3 = https.rstrip("/"), s3.rstrip("/")
    while https.rpartition("/")[2] == s3.rpartition("/")[2] and s3.count("/") > 2:
        https, s3 = https.rpartition("/")[0], s3.rpartition("/")[0]
    return f"{https}/", f"{s3}/"


def _beside(volume: str | None) -> str:
    return f"{volume.rstrip('/').rpartition('/')[0]}/{_METADATA_BESIDE}" if volume else ""


def _title(rows: Rows) -> str:
    runs, datasets = rows["runs"], rows.get("datasets", ())
    return f"Run {runs[0]['name']}" if len(runs) == 1 else "; ".join(f"Dataset {row['id']}" for row in datasets)
