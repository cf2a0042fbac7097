"""Find the matches of a search, and list them with ids, counts and sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.discovery.columns import Columns, at
from napari_cryoet.discovery.fields import object_corrections, release_days
from napari_cryoet.discovery.search import Search, SearchMasks
from napari_cryoet.exceptions import FormatError, require_known
from napari_cryoet.records import dataframe
from napari_cryoet.runs.runs import DEFAULT_FIRST
from napari_cryoet.tables.database import Row

if TYPE_CHECKING:
    import pandas as pd

ListKind = Literal["datasets", "runs", "annotations", "tomograms"]


def _column(name: str, default: Any = "") -> Any:
    """A field with the value of a column of the portal's table, or the default if it is null."""
    return msgspec.field(name=name, default=default)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Base class of the rows of lists; missing texts are empty."""

    size_bytes: int = 0


class ListedDataset(Listed, frozen=True, kw_only=True):
    """A dataset with its total size; counts are of matches."""

    dataset_id: int = _column("id")
    title: str = ""
    organism: str = _column("organismName")
    released: str = _column("releaseDate")  # a day, such as 2024-05-31
    n_runs: int = 0
    n_tomograms: int = 0
    n_annotations: int = 0
    objects: tuple[str, ...] = ()  # of these annotations, the most frequent first


class ListedRun(Listed, frozen=True, kw_only=True):
    """A matching run.

    Counts and size are of its matching tomograms (as OME-Zarr) and annotations.
    """

    run_id: int = _column("id")
    run: str = ""
    dataset_id: int = _column("datasetId", 0)
    n_tomograms: int = 0
    n_annotations: int = 0
    objects: tuple[str, ...] = ()  # of these annotations, the most frequent first
    # of each object: points or instances of its largest annotation (0 for masks), and annotations
    object_counts: tuple[int, ...] = ()
    object_annotations: tuple[int, ...] = ()
    identified: tuple[str, ...] = ()  # objects, with or without an annotation
    spacings_angstrom: tuple[float, ...] = ()  # of these tomograms
    processing: tuple[str, ...] = ()  # of these tomograms
    tilt_quality: int | None = None  # 1 to 5, the best of its tilt series


class _RunRow(Listed, frozen=True, kw_only=True):
    run_id: int = _column("runId")
    run: str = ""
    dataset_id: int = _column("datasetId", 0)
    deposition_id: int | None = _column("depositionId", None)


class ListedAnnotation(_RunRow, frozen=True, kw_only=True):
    """An annotation of a matching run; it meets a condition if the search has any."""

    annotation_id: int = _column("id")
    object: str = _column("objectName")
    shapes: tuple[str, ...] = ()
    count: int | None = _column("objectCount", None)  # of points or instances
    method: str = _column("methodType")
    is_ground_truth: bool = _column("groundTruthStatus", default=False)
    software: str = _column("annotationSoftware")
    authors: tuple[str, ...] = ()


class ListedTomogram(_RunRow, frozen=True, kw_only=True):
    """A matching tomogram of a matching run; its size is that of the OME-Zarr."""

    tomogram_id: int = _column("id")
    spacing_angstrom: float = _column("voxelSpacing", 0.0)
    processing: str = ""
    software: str = _column("processingSoftware")
    reconstruction: str = _column("reconstructionMethod")
    size_x: int = _column("sizeX", 0)  # voxels
    size_y: int = _column("sizeY", 0)
    size_z: int = _column("sizeZ", 0)
    is_default: bool = _column(
        "isVisualizationDefault", default=False
    )  # the curators' choice to show first
    alignment_id: int | None = _column("alignmentId", None)


@dataclass(frozen=True, slots=True)
class Matches:
    """The ids that match a search.

    A dataset matches if one of its runs does, or by itself if the search has no conditions for
    runs. The words of the text may be in different runs: then the dataset matches, but none of its
    runs.
    """

    index: Columns = field(compare=False)
    search: Search
    dataset_ids: tuple[int, ...]  # newest first
    run_ids: tuple[int, ...]  # ascending
    annotation_ids: tuple[tuple[int, ...], ...]  # in these runs, for each of `Search.annotations`
    tomogram_ids: tuple[int, ...]  # in these runs; all if the search has no tomogram fields
    corrections: dict[
        str, tuple[str, ...]
    ]  # words without matches, and the similar words used instead

    def __repr__(self) -> str:
        return f"<Matches: {len(self.dataset_ids):,} datasets, {len(self.run_ids):,} runs>"

    def _repr_html_(self) -> str:
        return str(self.to_dataframe().to_html(max_rows=8))

    def rows(self, kind: ListKind) -> tuple[Any, ...]:
        """The matches as `ListedDataset`, `ListedRun`, `ListedAnnotation` or `ListedTomogram`.

        Datasets keep the order of the matches; other rows are sorted by dataset and id. Listing all
        runs of the portal takes tenths of a second. CryoETError for another kind.
        """
        require_known(kind, _LISTS, "kind of match")
        list_rows, row_type = _LISTS[kind]
        found = list_rows(_MatchingRows(self.index, self))
        known = [{name: cell for name, cell in row.items() if cell is not None} for row in found]
        return tuple(msgspec.convert(known, list[row_type], strict=False))  # type: ignore[valid-type]

    def to_dataframe(self, kind: ListKind = "runs") -> pd.DataFrame:
        """The matches as a pandas table, one row for each dataset, run, annotation or tomogram."""
        return dataframe(self.rows(kind), _LISTS[kind][1].__struct_fields__)

    def ids(self, kind: ListKind) -> tuple[int, ...]:
        """The ids to tick in a basket: of annotations the matching ones, or all of the runs; one tomogram a run."""
        index = self.index
        match kind:
            case "datasets":
                return self.dataset_ids
            case "runs":
                return self.run_ids
            case "annotations" if self.annotation_ids:
                return tuple(dict.fromkeys(chain.from_iterable(self.annotation_ids)))
            case "annotations":
                runs = np.isin(index.ids("runs"), self.run_ids)
                return tuple(index.ids(kind)[at(runs, index.places(kind, "runs"))].tolist())
        rows = np.flatnonzero(np.isin(index.ids(kind), self.tomogram_ids))
        ranks = [-index.numbers(kind, column)[rows] for column in DEFAULT_FIRST]
        rows = rows[np.lexsort(ranks[::-1])]  # stable, and the last key is the first
        _, first = np.unique(index.places(kind, "runs")[rows], return_index=True)
        return tuple(np.sort(index.ids(kind)[rows[first]]).tolist())


def find(index: Columns, search: Search) -> Matches:
    """Find the matches of a search, in a few milliseconds."""
    search_masks = SearchMasks(index, search)
    datasets, runs = search_masks.datasets(), search_masks.runs()
    objects = [name for condition in search.annotations for name in condition.objects]
    order = index.made(
        "newest first", lambda: np.lexsort((index.ids("datasets"), release_days(index)))[::-1]
    )

    def of_runs(table: str, number: int = 0) -> tuple[int, ...]:
        met = search_masks.rows((table, number)) & at(runs, index.places(table, "runs"))
        return tuple(index.ids(table)[met].tolist())

    return Matches(
        index=index,
        search=search,
        dataset_ids=tuple(index.ids("datasets")[order[datasets[order]]].tolist()),
        run_ids=tuple(index.ids("runs")[runs].tolist()),
        annotation_ids=tuple(
            of_runs("annotations", number) for number in range(len(search.annotations))
        ),
        tomogram_ids=of_runs("tomograms"),
        corrections=search_masks.text.corrections | object_corrections(index, objects),
    )


def sorted_rows(rows: Sequence[Any], field: str) -> tuple[Any, ...]:
    """Sort rows by a field: texts from a to z, numbers from the largest, missing values last.

    FormatError if the rows have no such field.
    """
    fields = type(rows[0]).__struct_fields__ if rows else (field,)
    if field not in fields:
        raise FormatError(
            f"The list can't be sorted by {field}.", hint=f"Sort by one of {', '.join(fields)}."
        )

    def key(row: Any) -> tuple[bool, Any]:
        value = getattr(row, field)
        if isinstance(value, int | float):
            return False, -value
        return value is None, value.casefold() if isinstance(value, str) else value

    return tuple(sorted(rows, key=key))


class _MatchingRows:
    """The rows of an index that match a search, and the rows below them."""

    def __init__(self, index: Columns, matches: Matches) -> None:
        self.index, self.dataset_ids = index, matches.dataset_ids
        runs = np.isin(index.ids("runs"), matches.run_ids)
        below = ("runs", "tiltseries", "tomograms", "annotations", "identifiedObjects")
        self._masks = masks = {table: at(runs, index.places(table, "runs")) for table in below}
        masks["tomograms"] &= np.isin(index.ids("tomograms"), matches.tomogram_ids)
        if matches.annotation_ids:
            masks["annotations"] &= np.isin(
                index.ids("annotations"), [*chain(*matches.annotation_ids)]
            )
        for table in ("annotationShapes", "annotationAuthors"):
            masks[table] = at(masks["annotations"], index.places(table, "annotations"))

    def rows(self, table: str) -> list[Row]:
        """The matching runs, or rows of a table below them, with run and dataset, sorted by dataset and id."""
        rows, runs = (
            self.index.rows(each, self.index.ids(each)[self._masks[each]])
            for each in (table, "runs")
        )
        about = {run["id"]: {"run": run["name"], "datasetId": run["datasetId"]} for run in runs}
        found = [row | about[row.get("runId", row["id"])] for row in rows]
        return sorted(found, key=lambda row: (row["datasetId"], row["id"]))

    def below(self, above: str, table: str, *columns: Any) -> dict[int, list[list[Any]]]:
        """Cells of the matching rows of a table, grouped by the id of their ancestor in ``above``."""
        rows, found = self._masks[table], defaultdict[int, list[list[Any]]](list)
        owners = np.append(self.index.ids(above), 0)[self.index.places(table, above)[rows]].tolist()
        for owner, *cells in zip(
            owners, *(np.asarray(each, object)[rows].tolist() for each in columns), strict=True
        ):
            found[owner].append(cells)
        return found

    def summaries(self, above: str) -> Callable[[int], Row]:
        """Make a function that summarizes the matches in a run or dataset, by its id."""
        index = self.index
        sizes = np.nan_to_num(index.numbers("tomograms", "fileSizeOmezarr"))
        columns = (
            index.numbers("tomograms", "voxelSpacing"),
            index.texts("tomograms", "processing"),
            sizes,
        )
        volumes = self.below(above, "tomograms", *columns)
        counts = np.nan_to_num(index.numbers("annotations", "objectCount"))
        columns = counts, index.texts("annotations", "objectName"), self.annotation_sizes()
        annotations, runs = self.below(above, "annotations", *columns), self.below(above, "runs")

        def summary(owner: int) -> Row:
            own = volumes[owner], annotations[owner]
            objects = Counter(name for _, name, _ in own[1] if name).most_common()
            return {
                "n_runs": len(runs[owner]),
                "n_tomograms": len(own[0]),
                "n_annotations": len(own[1]),
                "size_bytes": sum(int(size) for *_, size in chain(*own)),
                "spacings_angstrom": sorted({spacing for spacing, _, _ in own[0]}),
                "processing": sorted({processing for _, processing, _ in own[0] if processing}),
                "objects": [name for name, _ in objects],
                "object_counts": [
                    max(int(count) for count, each, _ in own[1] if each == name)
                    for name, _ in objects
                ],
                "object_annotations": [n_annotations for _, n_annotations in objects],
            }

        return summary

    def annotation_sizes(self) -> NDArray[Any]:
        """The total size of the files of each annotation of the index, in bytes."""
        owners = self.index.places("annotationFiles", "annotations")
        sizes = np.nan_to_num(self.index.numbers("annotationFiles", "fileSize"))
        return np.bincount(
            owners[owners >= 0], sizes[owners >= 0], minlength=self.index.count("annotations")
        )


def _datasets(matching: _MatchingRows) -> Iterable[Row]:
    summary = matching.summaries("datasets")
    rows = {row["id"]: row for row in matching.index.rows("datasets", matching.dataset_ids)}
    for dataset_id in matching.dataset_ids:
        row = rows[dataset_id]
        released = {"releaseDate": (row["releaseDate"] or "")[:10]}
        yield row | summary(dataset_id) | {"size_bytes": row["fileSize"]} | released


def _runs(matching: _MatchingRows) -> Iterable[Row]:
    qualities = np.nan_to_num(matching.index.numbers("tiltseries", "tiltSeriesQuality"))
    summary = matching.summaries("runs")
    tilts = matching.below("runs", "tiltseries", qualities)
    names = matching.index.texts("identifiedObjects", "objectName")
    identified = matching.below("runs", "identifiedObjects", names)
    for row in matching.rows("runs"):
        row_id = row["id"]
        own = {
            "tilt_quality": max(chain(*tilts[row_id]), default=0) or None,
            "identified": [*dict.fromkeys(chain(*identified[row_id]))],
        }
        yield row | summary(row_id) | own


def _annotations(matching: _MatchingRows) -> Iterable[Row]:
    index = matching.index
    shapes = matching.below(
        "annotations", "annotationShapes", index.texts("annotationShapes", "shapeType")
    )
    authors = matching.below(
        "annotations", "annotationAuthors", index.texts("annotationAuthors", "name")
    )
    sizes = dict(
        zip(index.ids("annotations").tolist(), matching.annotation_sizes().tolist(), strict=True)
    )
    for row in matching.rows("annotations"):
        row_id = row["id"]
        lists = {
            "shapes": [*dict.fromkeys(chain(*shapes[row_id]))],
            "authors": [*chain(*authors[row_id])],
        }
        yield row | lists | {"size_bytes": sizes[row_id]}


def _tomograms(matching: _MatchingRows) -> Iterable[Row]:
    return (row | {"size_bytes": row["fileSizeOmezarr"]} for row in matching.rows("tomograms"))


_LISTS: Final[dict[ListKind, tuple[Callable[[_MatchingRows], Iterable[Row]], type[Listed]]]] = {
    "datasets": (_datasets, ListedDataset),
    "runs": (_runs, ListedRun),
    "annotations": (_annotations, ListedAnnotation),
    "tomograms": (_tomograms, ListedTomogram),
}
