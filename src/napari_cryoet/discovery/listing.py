"""What a search found as lists: datasets, runs, annotations or tomograms, each row with ids, counts and sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np

from napari_cryoet.discovery.index import Index, any_of, at
from napari_cryoet.discovery.search import Matches
from napari_cryoet.exceptions import FormatError

Kind = Literal["datasets", "runs", "annotations", "tomograms"]
Row: TypeAlias = dict[str, Any]


def _column(name: str, default: Any = "") -> Any:
    """A field that has the value of a column of the portal's table, or the default where that is null."""
    return msgspec.field(name=name, default=default)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the rows of lists; ids are the portal's, texts are empty where the portal doesn't say them."""

    size_bytes: int = 0


class ListedDataset(Listed, frozen=True, kw_only=True):
    """A dataset and the size of everything in it; what is counted matches."""

    dataset_id: int = _column("id")
    title: str = ""
    organism: str = _column("organismName")
    released: str = _column("releaseDate")  # a day, such as 2024-05-31
    n_runs: int = 0
    n_tomograms: int = 0
    n_annotations: int = 0
    objects: tuple[str, ...] = ()  # of these annotations, most first


class ListedRun(Listed, frozen=True, kw_only=True):
    """A run that matches; counts and the size are those of its tomograms (as OME-Zarr) and annotations that match."""

    run_id: int = _column("id")
    run: str = _column("name")
    dataset_id: int = _column("datasetId")
    n_tomograms: int = 0
    n_annotations: int = 0
    objects: tuple[str, ...] = ()  # of these annotations, most first
    object_counts: tuple[int, ...] = ()  # points or instances of each of them, 0 for masks
    spacings_angstrom: tuple[float, ...] = ()  # of these tomograms
    processing: tuple[str, ...] = ()  # of these tomograms
    tilt_quality: int | None = None  # 1 to 5, the best of its tilt series


class _OfRun(Listed, frozen=True, kw_only=True):
    run_id: int = _column("runId")
    run: str = ""
    dataset_id: int = 0
    deposition_id: int | None = _column("depositionId", None)


class ListedAnnotation(_OfRun, frozen=True, kw_only=True):
    """An annotation of a run that matches, where there are conditions one that meets them; with its size."""

    annotation_id: int = _column("id")
    object: str = _column("objectName")
    shapes: tuple[str, ...] = ()
    count: int | None = _column("objectCount", None)  # of points or instances
    method: str = _column("methodType")
    is_ground_truth: bool = _column("groundTruthStatus", default=False)
    software: str = _column("annotationSoftware")
    authors: tuple[str, ...] = ()


class ListedTomogram(_OfRun, frozen=True, kw_only=True):
    """A tomogram of a run that matches and that meets what is asked of tomograms, with its size as OME-Zarr."""

    tomogram_id: int = _column("id")
    spacing_angstrom: float = _column("voxelSpacing", 0.0)
    processing: str = ""
    software: str = _column("processingSoftware")
    reconstruction: str = _column("reconstructionMethod")
    size_x: int = _column("sizeX", 0)  # voxels
    size_y: int = _column("sizeY", 0)
    size_z: int = _column("sizeZ", 0)
    is_default: bool = _column("isVisualizationDefault", default=False)  # the curators' choice to show first
    alignment_id: int | None = _column("alignmentId", None)


def list_matches(index: Index, matches: Matches, kind: Kind, *, ids: Collection[int] | None = None) -> tuple[Any, ...]:
    """What a search found as rows of a kind: `ListedDataset`, `ListedRun`, `ListedAnnotation` or `ListedTomogram`.

    Datasets are in the order of the matches, the others by dataset and id. With ``ids`` there are rows of these
    matches only, such as those on screen: all rows of tens of thousands take some tenths of a second.
    """
    rows, row_type = _LISTS[kind]
    found = rows(_Found(index, matches, kind, ids))
    known = [{name: cell for name, cell in row.items() if cell is not None} for row in found]
    return tuple(msgspec.convert(known, list[row_type], strict=False))  # type: ignore[valid-type]


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


@dataclass(slots=True)
class _Sum:
    """What matches in a run or in a dataset."""

    n_runs: int = 0
    n_tomograms: int = 0
    n_annotations: int = 0
    size_bytes: int = 0
    spacings: set[float] = field(default_factory=set)
    processing: set[str] = field(default_factory=set)
    objects: Counter[str] = field(default_factory=Counter)
    object_counts: Counter[str] = field(default_factory=Counter)

    def row(self) -> Row:
        """Its part of a row."""
        names = tuple(name for name, _ in self.objects.most_common())
        counts = {"n_runs": self.n_runs, "n_tomograms": self.n_tomograms, "n_annotations": self.n_annotations}
        volumes = {"spacings_angstrom": sorted(self.spacings), "processing": sorted(self.processing)}
        objects = {"objects": names, "object_counts": [self.object_counts[name] for name in names]}
        return {**counts, **volumes, **objects, "size_bytes": self.size_bytes}


class _Found:
    """The rows of an index that a search found, or those that belong to some of them, and what goes with them."""

    def __init__(self, index: Index, matches: Matches, kind: Kind, ids: Collection[int] | None) -> None:
        self.index = index
        wanted = np.ones(index.count(kind), np.bool_) if ids is None else np.isin(index.ids(kind), list(ids))
        kept = set(matches.dataset_ids if ids is None else ids)
        self.dataset_ids = [each for each in matches.dataset_ids if each in kept]  # of a list of datasets
        met = [np.isin(index.ids("annotations"), each) for each in matches.annotation_ids]
        runs = np.isin(index.ids("runs"), matches.run_ids)
        found = {
            "runs": runs,
            "annotations": any_of(met) if met else at(runs, index.places("annotations", "runs")),
            "tomograms": np.isin(index.ids("tomograms"), matches.tomogram_ids),
        }
        below = {"datasets": found, "runs": found}.get(kind, [kind])
        self.masks = {table: found[table] & at(wanted, index.places(table, kind)) for table in below}

    def sums(self, above: str) -> dict[int, _Sum]:
        """What matches in each run or dataset, by id."""
        index, found = self.index, defaultdict[int, _Sum](_Sum)
        for owner in self._owners("runs", above):
            found[owner].n_runs += 1
        spacings = index.numbers("tomograms", "voxelSpacing")[self.masks["tomograms"]].tolist()
        volumes = np.nan_to_num(index.numbers("tomograms", "fileSizeOmezarr"))[self.masks["tomograms"]].tolist()
        kinds = index.words("tomograms", "processing")
        codes = kinds.codes[self.masks["tomograms"]].tolist()
        for owner, spacing, size, code in zip(self._owners("tomograms", above), spacings, volumes, codes, strict=True):
            each = found[owner]
            each.n_tomograms += 1
            each.size_bytes += int(size)
            each.spacings.add(spacing)
            if code >= 0:
                each.processing.add(kinds.words[code])
        names, places = index.words("annotations", "objectName"), np.flatnonzero(self.masks["annotations"])
        sizes = self.annotation_sizes()[places].tolist()
        counts = np.nan_to_num(index.numbers("annotations", "objectCount"))[places].tolist()
        for owner, code, size, count in zip(
            self._owners("annotations", above), names.codes[places].tolist(), sizes, counts, strict=True
        ):
            each = found[owner]
            each.n_annotations += 1
            each.size_bytes += int(size)
            if code >= 0:
                each.objects[names.words[code]] += 1
                each.object_counts[names.words[code]] += int(count)
        return found

    def annotation_sizes(self) -> Any:
        """The bytes of all files of each annotation of the index."""
        owners = self.index.places("annotationFiles", "annotations")
        sizes = np.nan_to_num(self.index.numbers("annotationFiles", "fileSize"))
        return np.bincount(owners[owners >= 0], sizes[owners >= 0], minlength=self.index.count("annotations"))

    def rows(self, table: str) -> list[Row]:
        """The rows of a table below runs that were found, with their run and dataset, by dataset and id."""
        index, rows = self.index, self.masks[table]
        names, runs = index.texts("runs", "name"), index.places(table, "runs")[rows].tolist()
        whole = zip(index.rows(table, index.ids(table)[rows]), runs, self._owners(table, "datasets"), strict=True)
        found = [row | {"run": names[run], "dataset_id": dataset} for row, run, dataset in whole]
        return sorted(found, key=lambda row: (row["dataset_id"], row["id"]))

    def texts_of(self, table: str, column: str) -> dict[int, list[str]]:
        """The texts of a table by the id of the annotation that they belong to."""
        index, found = self.index, defaultdict[int, list[str]](list)
        known, owners = index.words(table, column), index.places(table, "annotations")
        rows = at(self.masks["annotations"], owners) & (known.codes >= 0)
        for owner, code in zip(
            index.ids("annotations")[owners[rows]].tolist(), known.codes[rows].tolist(), strict=True
        ):
            found[owner].append(known.words[code])
        return found

    def _owners(self, table: str, above: str) -> list[int]:
        """The id of what each row that was found belongs to; 0 for nothing."""
        places = self.index.places(table, above)[self.masks[table]]
        owners: list[int] = np.append(self.index.ids(above), 0)[places].tolist()
        return owners


def _datasets(found: _Found) -> Iterable[Row]:
    sums = found.sums("datasets")
    rows = {row["id"]: row for row in found.index.rows("datasets", found.dataset_ids)}
    for row in map(rows.__getitem__, found.dataset_ids):
        own = {"size_bytes": row["fileSize"], "releaseDate": (row["releaseDate"] or "")[:10]}
        yield row | sums[row["id"]].row() | own


def _runs(found: _Found) -> Iterable[Row]:
    index, sums = found.index, found.sums("runs")
    ids, best = index.ids("runs"), dict[int, int]()
    qualities = index.numbers("tiltseries", "tiltSeriesQuality").tolist()
    for run, quality in zip(ids[index.places("tiltseries", "runs")].tolist(), qualities, strict=True):
        if not np.isnan(quality):
            best[run] = max(int(quality), best.get(run, 0))
    rows = index.rows("runs", ids[found.masks["runs"]])
    for row in sorted(rows, key=lambda row: (row["datasetId"], row["id"])):
        yield row | sums[row["id"]].row() | {"tilt_quality": best.get(row["id"])}


def _annotations(found: _Found) -> Iterable[Row]:
    shapes, authors = found.texts_of("annotationShapes", "shapeType"), found.texts_of("annotationAuthors", "name")
    sizes = dict(zip(found.index.ids("annotations").tolist(), found.annotation_sizes().tolist(), strict=True))
    for row in found.rows("annotations"):
        each = row["id"]
        yield row | {"shapes": tuple(dict.fromkeys(shapes[each])), "authors": authors[each], "size_bytes": sizes[each]}


def _tomograms(found: _Found) -> Iterable[Row]:
    return (row | {"size_bytes": row["fileSizeOmezarr"]} for row in found.rows("tomograms"))


_LISTS: Final[dict[Kind, tuple[Callable[[_Found], Iterable[Row]], type[Listed]]]] = {
    "datasets": (_datasets, ListedDataset),
    "runs": (_runs, ListedRun),
    "annotations": (_annotations, ListedAnnotation),
    "tomograms": (_tomograms, ListedTomogram),
}
