"""What a search found as lists: datasets, runs, annotations or tomograms, each row with ids, counts and sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from napari_cryoet.discovery.fields import release_days
from napari_cryoet.discovery.index import Index, Mask, any_of, at
from napari_cryoet.discovery.search import Matches
from napari_cryoet.exceptions import FormatError

Kind = Literal["datasets", "runs", "annotations", "tomograms"]
Rows: TypeAlias = NDArray[np.intp]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the rows of lists; ids are the portal's."""

    size_bytes: int  # 0 where the portal doesn't say it


class ListedDataset(Listed, frozen=True, kw_only=True):
    """A dataset and the size of everything in it; what is counted is in its runs that match."""

    dataset_id: int
    title: str
    organism: str
    released: str  # a day, such as 2024-05-31
    n_runs: int
    n_tomograms: int  # that match
    n_annotations: int  # that match
    objects: tuple[str, ...]  # of these annotations, most first


class ListedRun(Listed, frozen=True, kw_only=True):
    """A run that matches, and the size of the tomograms (as OME-Zarr) and annotations of it that match."""

    run_id: int
    run: str
    dataset_id: int
    n_tomograms: int  # that match
    n_annotations: int  # that match
    objects: tuple[str, ...]  # of these annotations, most first
    spacings_angstrom: tuple[float, ...]  # of these tomograms
    tilt_quality: int | None  # 1 to 5, the best of its tilt series


class ListedAnnotation(Listed, frozen=True, kw_only=True):
    """An annotation of a run that matches, where there are conditions one that meets them; with its size."""

    annotation_id: int
    object: str
    shapes: tuple[str, ...]
    count: int | None  # of points or instances
    method: str
    is_ground_truth: bool
    software: str
    authors: tuple[str, ...]
    run_id: int
    run: str
    dataset_id: int
    deposition_id: int | None


class ListedTomogram(Listed, frozen=True, kw_only=True):
    """A tomogram of a run that matches and that meets what is asked of tomograms, with its size as OME-Zarr."""

    tomogram_id: int
    spacing_angstrom: float
    processing: str
    software: str
    reconstruction: str
    size_xyz: tuple[int, int, int]  # voxels
    is_default: bool  # the curators' choice to show first
    alignment_id: int | None
    run_id: int
    run: str
    dataset_id: int
    deposition_id: int | None


def list_matches(index: Index, matches: Matches, kind: Kind) -> tuple[Any, ...]:
    """What a search found as rows of a kind: `ListedDataset`, `ListedRun`, `ListedAnnotation` or `ListedTomogram`.

    Datasets are in the order of the matches, the others by dataset and id.
    """
    lists: dict[Kind, Callable[[_Found], Iterable[Listed]]] = {
        "datasets": _datasets,
        "runs": _runs,
        "annotations": _annotations,
        "tomograms": _tomograms,
    }
    return tuple(lists[kind](_Found(index, matches)))


def sorted_rows(rows: Sequence[Any], field: str, *, descending: bool | None = None) -> tuple[Any, ...]:
    """Rows by a field, those that don't say it last; texts from a to z, numbers from the largest, or as you say.

    Raises
    ------
    FormatError
        The rows have no such field.
    """
    fields = type(rows[0]).__struct_fields__ if rows else (field,)
    if field not in fields:
        raise FormatError(f"There is no {field} to sort by.", hint=f"There are {', '.join(fields)}.")
    known = [row for row in rows if getattr(row, field) is not None]
    rest = [row for row in rows if getattr(row, field) is None]
    is_number = bool(known) and isinstance(getattr(known[0], field), int | float)
    known.sort(key=lambda row: _key(getattr(row, field)), reverse=is_number if descending is None else descending)
    return (*known, *rest)


def _key(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


class _Found:
    """The rows of an index that a search found, and what belongs to them."""

    def __init__(self, index: Index, matches: Matches) -> None:
        self.index = index
        self.datasets = np.array([_place(index, "datasets", each) for each in matches.dataset_ids], np.intp)
        runs = np.isin(index.ids("runs"), matches.run_ids)
        self.runs = self._by_dataset("runs", runs)
        met = [np.isin(index.ids("annotations"), ids) for ids in matches.annotation_ids]
        of_runs = at(runs, index.places("annotations", "runs"))
        self.annotations = self._by_dataset("annotations", any_of(met) if met else of_runs)
        self.tomograms = self._by_dataset("tomograms", np.isin(index.ids("tomograms"), matches.tomogram_ids))
        self.run_ids, self.run_names = index.ids("runs").tolist(), index.texts("runs", "name")
        self.dataset_ids = index.ids("datasets").tolist()
        self.dataset_of_run = index.places("runs", "datasets").tolist()

    def words(self, table: str, column: str, rows: Rows) -> list[str]:
        """Texts of some rows; empty for none."""
        known = self.index.words(table, column)
        words = (*known.words, "")
        return [words[code] for code in known.codes[rows]]

    def counts(self, table: str, column: str, rows: Rows) -> list[int | None]:
        """Whole numbers of some rows."""
        return [None if np.isnan(each) else int(each) for each in self.index.numbers(table, column)[rows]]

    def sizes(self, table: str, column: str) -> NDArray[np.int64]:
        """Sizes in bytes of all rows."""
        return np.nan_to_num(self.index.numbers(table, column)).astype(np.int64)

    def summed(self, values: NDArray[Any], owners: NDArray[np.int32], size: int) -> NDArray[np.int64]:
        """The sum for each owner."""
        has_owner = owners >= 0
        return np.bincount(owners[has_owner], values[has_owner], minlength=size).astype(np.int64)

    def annotation_sizes(self) -> NDArray[np.int64]:
        """The bytes of all files of each annotation."""
        owners = self.index.places("annotationFiles", "annotations")
        return self.summed(self.sizes("annotationFiles", "fileSize"), owners, self.index.count("annotations"))

    def objects(self, above: str) -> list[tuple[str, ...]]:
        """The annotated objects of each run or dataset, most first."""
        found: list[Counter[str]] = [Counter() for _ in range(self.index.count(above))]
        names = self.words("annotations", "objectName", self.annotations)
        for place, name in zip(self.index.places("annotations", above)[self.annotations].tolist(), names, strict=True):
            found[place][name] += 1
        return [tuple(name for name, _ in counts.most_common() if name) for counts in found]

    def texts_of(self, table: str, column: str, above: str) -> list[list[str]]:
        """The texts of a table by the row above that they belong to."""
        found: list[list[str]] = [[] for _ in range(self.index.count(above))]
        known = self.index.words(table, column)
        for place, code in zip(self.index.places(table, above).tolist(), known.codes.tolist(), strict=True):
            if place >= 0 and code >= 0:
                found[place].append(known.words[code])
        return found

    def of_run(self, table: str, rows: Rows) -> list[dict[str, Any]]:
        """The run and the dataset of each of some rows."""
        places = self.index.places(table, "runs")[rows].tolist()
        return [
            {
                "run_id": self.run_ids[place],
                "run": self.run_names[place],
                "dataset_id": self.dataset_ids[self.dataset_of_run[place]],
            }
            for place in places
        ]

    def _by_dataset(self, table: str, rows: Mask) -> Rows:
        """Rows that belong to runs with datasets, by dataset and id."""
        datasets = self.index.places(table, "datasets")
        found = np.flatnonzero(rows & (datasets >= 0))
        return found[np.argsort(datasets[found], kind="stable")]


def _datasets(found: _Found) -> Iterable[ListedDataset]:
    index, size = found.index, found.index.count("datasets")
    counts = [
        np.bincount(index.places(table, "datasets")[rows], minlength=size).tolist()
        for table, rows in (("runs", found.runs), ("tomograms", found.tomograms), ("annotations", found.annotations))
    ]
    titles, objects = index.texts("datasets", "title"), found.objects("datasets")
    sizes, days = found.sizes("datasets", "fileSize").tolist(), release_days(index).tolist()
    organisms = found.words("datasets", "organismName", np.arange(size))
    for place in found.datasets.tolist():
        yield ListedDataset(
            dataset_id=found.dataset_ids[place],
            title=titles[place],
            organism=organisms[place],
            released=days[place],
            n_runs=counts[0][place],
            n_tomograms=counts[1][place],
            n_annotations=counts[2][place],
            objects=objects[place],
            size_bytes=sizes[place],
        )


def _runs(found: _Found) -> Iterable[ListedRun]:
    index, size = found.index, found.index.count("runs")
    tomograms, annotations = index.places("tomograms", "runs"), index.places("annotations", "runs")
    n_tomograms = np.bincount(tomograms[found.tomograms], minlength=size).tolist()
    n_annotations = np.bincount(annotations[found.annotations], minlength=size).tolist()
    sizes = found.summed(
        found.sizes("tomograms", "fileSizeOmezarr")[found.tomograms], tomograms[found.tomograms], size
    ) + found.summed(found.annotation_sizes()[found.annotations], annotations[found.annotations], size)
    spacings: list[set[float]] = [set() for _ in range(size)]
    values = index.numbers("tomograms", "voxelSpacing")[found.tomograms].tolist()
    for place, spacing in zip(tomograms[found.tomograms].tolist(), values, strict=True):
        spacings[place].add(spacing)
    qualities: dict[int, int] = {}
    of_series = index.numbers("tiltseries", "tiltSeriesQuality").tolist()
    for place, quality in zip(index.places("tiltseries", "runs").tolist(), of_series, strict=True):
        if not np.isnan(quality):
            qualities[place] = max(int(quality), qualities.get(place, 0))
    objects = found.objects("runs")
    for place, run in zip(found.runs.tolist(), found.of_run("runs", found.runs), strict=True):
        yield ListedRun(
            **run,
            n_tomograms=n_tomograms[place],
            n_annotations=n_annotations[place],
            objects=objects[place],
            spacings_angstrom=tuple(sorted(spacings[place])),
            tilt_quality=qualities.get(place),
            size_bytes=int(sizes[place]),
        )


def _annotations(found: _Found) -> Iterable[ListedAnnotation]:
    index, rows = found.index, found.annotations
    ids, sizes = index.ids("annotations").tolist(), found.annotation_sizes().tolist()
    shapes = found.texts_of("annotationShapes", "shapeType", "annotations")
    authors = found.texts_of("annotationAuthors", "name", "annotations")
    columns = zip(
        rows.tolist(),
        found.words("annotations", "objectName", rows),
        found.words("annotations", "methodType", rows),
        found.words("annotations", "annotationSoftware", rows),
        found.counts("annotations", "objectCount", rows),
        (index.numbers("annotations", "groundTruthStatus")[rows] == 1).tolist(),
        found.counts("annotations", "depositionId", rows),
        found.of_run("annotations", rows),
        strict=True,
    )
    for place, name, method, software, count, is_truth, deposition, run in columns:
        yield ListedAnnotation(
            annotation_id=ids[place],
            object=name,
            shapes=tuple(dict.fromkeys(shapes[place])),
            count=count,
            method=method,
            is_ground_truth=is_truth,
            software=software,
            authors=tuple(authors[place]),
            deposition_id=deposition,
            size_bytes=sizes[place],
            **run,
        )


def _tomograms(found: _Found) -> Iterable[ListedTomogram]:
    index, rows = found.index, found.tomograms
    xyz = [np.nan_to_num(index.numbers("tomograms", f"size{axis}")[rows]).astype(int).tolist() for axis in "XYZ"]
    columns = zip(
        index.ids("tomograms")[rows].tolist(),
        index.numbers("tomograms", "voxelSpacing")[rows].tolist(),
        found.words("tomograms", "processing", rows),
        found.words("tomograms", "processingSoftware", rows),
        found.words("tomograms", "reconstructionMethod", rows),
        zip(*xyz, strict=True),
        (index.numbers("tomograms", "isVisualizationDefault")[rows] == 1).tolist(),
        found.counts("tomograms", "alignmentId", rows),
        found.counts("tomograms", "depositionId", rows),
        found.sizes("tomograms", "fileSizeOmezarr")[rows].tolist(),
        found.of_run("tomograms", rows),
        strict=True,
    )
    for *cells, run in columns:
        yield ListedTomogram(**dict(zip(_OF_TOMOGRAMS, cells, strict=True)), **run)


_OF_TOMOGRAMS: Final = (
    *("tomogram_id", "spacing_angstrom", "processing", "software", "reconstruction", "size_xyz", "is_default"),
    *("alignment_id", "deposition_id", "size_bytes"),
)


def _place(index: Index, table: str, row_id: int) -> int:
    return int(np.searchsorted(index.ids(table), row_id))
