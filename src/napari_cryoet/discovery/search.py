"""Questions to an index: what a search asks, and which datasets, runs, tomograms and annotations answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from napari_cryoet.discovery.index import Index, Mask, Words, all_of, any_of, at, marked
from napari_cryoet.discovery.objects import concept_of, is_kind
from napari_cryoet.discovery.texts import TextMatch, find_text
from napari_cryoet.discovery.words import is_quoted, simplified, tokens
from napari_cryoet.exceptions import FormatError

Range = tuple[float | None, float | None]
"""From a number to a number, both included; None for no bound."""

#: What `Search.has` can name, a table with rows of the run or one of `index.RUNS_WITH`, and what to call it.
CONTENTS: Final = {
    "annotations": "annotations",
    "tomograms": "tomograms",
    "tiltseries": "tilt series",
    "alignments": "alignments",
    "frames": "raw frames",
    "ctf": "CTF estimates",
}


class _Asked(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
):
    pass


class Condition(_Asked, frozen=True, kw_only=True):
    """What one annotation has to be: all fields hold for the same annotation, and one value of each field is enough.

    Objects, authors and software are words that occur in the name, in any order and number; in double quotes, the whole
    name. Objects may also be ids, such as ``GO:0022626``. A word finds an object by its other names too, and finds all
    kinds of it: ``ribosome`` finds a cytosolic ribosome.
    """

    objects: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()  # as `records.ShapeType` has them; one of the annotation's shapes is
    methods: tuple[str, ...] = ()  # "manual", "automated", "hybrid", "simulated"
    is_ground_truth: bool | None = None
    authors: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    min_count: int | None = None  # points or instances; masks have none


class Search(_Asked, frozen=True, kw_only=True):
    """A question about runs. All fields have to hold; one value of a field is enough. An empty search finds everything.

    Use ``msgspec.structs.replace`` for a search that differs in a field, and `chips` for what can be taken away.
    """

    text: str = ""  # every word occurs in the dataset or, where that doesn't have it, in the run
    organisms: tuple[str, ...] = ()  # words, or a whole name in double quotes
    sample_types: tuple[str, ...] = ()
    depositions: tuple[int, ...] = ()  # brought the dataset, or a tomogram or an annotation of the run
    released: tuple[date | None, date | None] = (None, None)  # first and last day, of the dataset
    processing: tuple[str, ...] = ()  # this and the next four are about one tomogram: "raw", "denoised", …
    processing_software: tuple[str, ...] = ()  # words, or a whole name in double quotes
    reconstruction: tuple[str, ...] = ()  # "WBP", "SIRT", …
    spacing_angstrom: Range = (None, None)
    tilt_range_degrees: Range = (None, None)  # this and the next are about one tilt series: the sum of both sides
    tilt_quality: tuple[int, ...] = ()  # 1 to 5, the best
    has: tuple[str, ...] = ()  # of `CONTENTS`; here all of them
    annotations: tuple[Condition, ...] = ()  # each is met by an annotation of the same run

    def to_dict(self) -> dict[str, Any]:
        """The fields that aren't empty as plain data, for JSON or TOML; `search_from` reads it."""
        data: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(date,))
        for name in ("released", "spacing_angstrom", "tilt_range_degrees"):
            if name in data:  # TOML has no null
                data[name] = {end: value for end, value in zip(_ENDS, data[name], strict=True) if value is not None}
        return data

    def with_condition(self, number: int, condition: Condition) -> Search:
        """The search with a condition in place of the one with this number, or after all; an empty one is left out."""
        conditions = list(self.annotations)
        conditions[number : number + 1] = [condition]
        return replace(self, annotations=tuple(each for each in conditions if each != Condition()))


_ENDS: Final = ("from", "to")
_SLACK: Final = 0.005
_TOMOGRAM: Final = ("processing", "processing_software", "reconstruction", "spacing_angstrom")
_TILT: Final = ("tilt_range_degrees", "tilt_quality")


def search_from(data: dict[str, Any]) -> Search:
    """The search that `Search.to_dict` made plain; FormatError, with the name of the field, for what is none."""
    fields = dict(data)
    for name in ("released", "spacing_angstrom", "tilt_range_degrees"):
        if isinstance(ends := fields.get(name), dict):
            if unknown := set(ends) - set(_ENDS):
                raise FormatError(f"The search can't be read: {name} has a {min(unknown)}, and may have from and to.")
            fields[name] = [ends.get(end) for end in _ENDS]
    try:
        search = msgspec.convert(fields, Search)
    except msgspec.ValidationError as error:
        raise FormatError(f"The search can't be read: {error}.") from error
    if unknown := set(search.has) - set(CONTENTS):
        raise FormatError(f"The search can't be read: has may name {', '.join(CONTENTS)}, and not {min(unknown)}.")
    return search


@dataclass(frozen=True, slots=True)
class Matches:
    """What answers a search.

    A dataset answers it with one of its runs, or by itself where nothing is asked of runs. Its text may be spread over
    several of its runs, so it can be here without any of `run_ids`.
    """

    search: Search
    dataset_ids: tuple[int, ...]  # newest first
    run_ids: tuple[int, ...]  # ascending
    annotation_ids: tuple[tuple[int, ...], ...]  # of these runs, for each of `Search.annotations`
    tomogram_ids: tuple[int, ...]  # of these runs; where nothing is asked of tomograms, all
    corrections: dict[str, tuple[str, ...]]  # words that occur nowhere, and those like them that were taken instead


def find(index: Index, search: Search) -> Matches:
    """What answers a search, in some milliseconds."""
    narrowed = Narrowed(index, search)
    datasets, runs = narrowed.datasets(), narrowed.runs()
    order = newest_first(index)
    annotations = [_of_runs(index, "annotations", rows, runs) for rows in narrowed.annotations]
    return Matches(
        search=search,
        dataset_ids=tuple(index.ids("datasets")[order[datasets[order]]].tolist()),
        run_ids=tuple(index.ids("runs")[runs].tolist()),
        annotation_ids=tuple(tuple(index.ids("annotations")[rows].tolist()) for rows in annotations),
        tomogram_ids=tuple(index.ids("tomograms")[_of_runs(index, "tomograms", narrowed.tomograms, runs)].tolist()),
        corrections=narrowed.text.corrections,
    )


@dataclass(frozen=True, slots=True)
class Chip:
    """One choice of a search as a word or two, and the search without it."""

    text: str
    without: Search


def chips(search: Search) -> tuple[Chip, ...]:
    """All choices of a search but its text, each to be shown and taken away by itself."""
    found = [
        Chip(text, replace(search, **{name: rest}))
        for name in search.__struct_fields__
        if name not in {"text", "annotations"}
        for text, rest in _choices(name, getattr(search, name))
    ]
    for number, condition in enumerate(search.annotations):
        for name in condition.__struct_fields__:
            for text, rest in _choices(name, getattr(condition, name)):
                found.append(Chip(text, search.with_condition(number, replace(condition, **{name: rest}))))
    return tuple(found)


class Narrowed:
    """Which rows of an index meet each part of a search; `find` and the facets put them together.

    Attributes
    ----------
    text
        Where the text occurs.
    tomograms, tilt_series
        The rows that meet all that is asked of a tomogram, and of a tilt series.
    annotations
        For each condition, the rows that meet it.
    """

    def __init__(self, index: Index, search: Search) -> None:
        self._index, self._search = index, search
        self.text: TextMatch = index.recent(("text", search.text), lambda: find_text(index, search.text))
        self.tomograms = all_of(tomogram_masks(index, search).values(), index.count("tomograms"))
        self.tilt_series = all_of(tilt_masks(index, search).values(), index.count("tiltseries"))
        self.annotations = [
            all_of(annotation_masks(index, each).values(), index.count("annotations")) for each in search.annotations
        ]
        self._of_datasets = dataset_masks(index, search)
        self._of_runs = self._masks_of_runs()

    def datasets(self, without: str = "") -> Mask:
        """The datasets that meet all parts but one, by its field; ``annotations 0`` is the first condition."""
        masks = [mask for name, mask in self._of_datasets.items() if name != without]
        runs = [mask for name, mask in self._of_runs.items() if name != without]
        if without != "text":
            masks.append(self.text.datasets)
        if runs:
            masks.append(self._with_runs(all_of(runs, self._index.count("runs"))))
        return all_of(masks, self._index.count("datasets"))

    def runs(self, without: str = "", *, with_text: bool = True) -> Mask:
        """The runs that meet all parts but one; without the text, it is asked of their datasets only."""
        index = self._index
        masks = [mask for name, mask in self._of_runs.items() if name != without]
        datasets = [mask for name, mask in self._of_datasets.items() if name != without]
        if without != "text":
            datasets.append(self.text.datasets)
            if with_text:
                masks.append(self.text.runs)
        masks.append(at(all_of(datasets, index.count("datasets")), index.places("runs", "datasets")))
        return all_of(masks, index.count("runs"))

    def _masks_of_runs(self) -> dict[str, Mask]:
        index, search, size = self._index, self._search, self._index.count("runs")
        masks = {f"has {what}": index.runs_with(what) for what in search.has}
        if _is_asked(search, _TOMOGRAM):
            masks["tomograms"] = marked(index.places("tomograms", "runs")[self.tomograms], size)
        if _is_asked(search, _TILT):
            masks["tiltseries"] = marked(index.places("tiltseries", "runs")[self.tilt_series], size)
        if search.depositions:
            masks["depositions"] = _runs_of_depositions(index, search.depositions)
        for number, rows in enumerate(self.annotations):
            masks[f"annotations {number}"] = marked(index.places("annotations", "runs")[rows], size)
        return masks

    def _with_runs(self, runs: Mask) -> Mask:
        return marked(self._index.places("runs", "datasets")[runs], self._index.count("datasets"))


# rows that meet one field each


def dataset_masks(index: Index, search: Search) -> dict[str, Mask]:
    """For each field about datasets that isn't empty, the datasets that meet it."""
    masks = {}
    if search.organisms:
        masks["organisms"] = named(index.words("datasets", "organismName"), search.organisms)
    if search.sample_types:
        masks["sample_types"] = index.words("datasets", "sampleType").rows_with(search.sample_types)
    if search.released != (None, None):
        first, last = search.released
        days = release_days(index)
        masks["released"] = (days >= str(first or "")) & (days <= str(last or "9999"))
    return masks


def tomogram_masks(index: Index, search: Search) -> dict[str, Mask]:
    """For each field about tomograms that isn't empty, the tomograms that meet it."""
    masks = {}
    if search.processing:
        masks["processing"] = index.words("tomograms", "processing").rows_with(search.processing)
    if search.processing_software:
        masks["processing_software"] = named(index.words("tomograms", "processingSoftware"), search.processing_software)
    if search.reconstruction:
        masks["reconstruction"] = index.words("tomograms", "reconstructionMethod").rows_with(search.reconstruction)
    if search.spacing_angstrom != (None, None):
        masks["spacing_angstrom"] = within(index.numbers("tomograms", "voxelSpacing"), search.spacing_angstrom)
    return masks


def tilt_masks(index: Index, search: Search) -> dict[str, Mask]:
    """For each field about tilt series that isn't empty, the tilt series that meet it."""
    masks = {}
    if search.tilt_range_degrees != (None, None):
        masks["tilt_range_degrees"] = within(index.numbers("tiltseries", "tiltRange"), search.tilt_range_degrees)
    if search.tilt_quality:
        masks["tilt_quality"] = np.isin(index.numbers("tiltseries", "tiltSeriesQuality"), search.tilt_quality)
    return masks


def annotation_masks(index: Index, condition: Condition) -> dict[str, Mask]:
    """For each field of a condition that isn't empty, the annotations that meet it."""
    masks, size = {}, index.count("annotations")
    if condition.objects:
        masks["objects"] = _objects(index, condition.objects)
    if condition.shapes:
        rows = index.words("annotationShapes", "shapeType").rows_with(condition.shapes)
        masks["shapes"] = marked(index.places("annotationShapes", "annotations")[rows], size)
    if condition.methods:
        masks["methods"] = index.words("annotations", "methodType").rows_with(condition.methods)
    if condition.is_ground_truth is not None:
        masks["is_ground_truth"] = (index.numbers("annotations", "groundTruthStatus") == 1) == condition.is_ground_truth
    if condition.authors:
        rows = named(index.words("annotationAuthors", "name"), condition.authors)
        masks["authors"] = marked(index.places("annotationAuthors", "annotations")[rows], size)
    if condition.software:
        masks["software"] = named(index.words("annotations", "annotationSoftware"), condition.software)
    if condition.min_count is not None:
        masks["min_count"] = index.numbers("annotations", "objectCount") >= condition.min_count
    return masks


def named(column: Words, wanted: Iterable[str]) -> Mask:
    """The rows whose text has all words of one of some names, or is the name that stands in double quotes."""
    return column.rows_at(any_of(is_named(column.words, each) for each in wanted))


def within(numbers: NDArray[np.float64], bounds: Range) -> Mask:
    """Which numbers are in a `loosened` range."""
    low, high = loosened(bounds)
    mask: Mask = numbers >= (-np.inf if low is None else low)
    mask &= numbers <= (np.inf if high is None else high)
    return mask


def loosened(bounds: Range) -> Range:
    """A range to within half a percent: what is called 10 Å is often 10.012 Å."""
    low, high = bounds
    return None if low is None else low * (1 - _SLACK), None if high is None else high * (1 + _SLACK)


def release_days(index: Index) -> NDArray[np.str_]:
    """The day on which each dataset was released, such as ``2024-05-31``."""
    return index.made("release days", lambda: np.array([x[:10] for x in index.texts("datasets", "releaseDate")], "U10"))


def newest_first(index: Index) -> NDArray[np.intp]:
    """The places of all datasets, the latest released first."""
    return index.made("newest first", lambda: np.lexsort((index.ids("datasets"), _backwards(release_days(index)))))


def bare(value: str) -> str:
    """A value of a search without the quotes that make it exact."""
    return value[1:-1] if is_quoted(value) else value


def range_text(bounds: tuple[Any, Any], unit: str = "") -> str:
    """A range in words.

    >>> range_text((None, 10.0), " Å"), range_text((100, None), "°"), range_text((8.0, 12.5), " Å")
    ('≤ 10 Å', '≥ 100°', '8–12.5 Å')
    """
    low, high = (f"{end:g}" if isinstance(end, int | float) else end and str(end) for end in bounds)
    if low is None or high is None:
        return f"≤ {high}{unit}" if low is None else f"≥ {low}{unit}"
    return f"{low}{unit}" if low == high else f"{low}–{high}{unit}"


def _choices(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """The choices in a field, each in words and with what the field is without it."""
    if value in ((), (None, None), None):
        return
    if name == "is_ground_truth":
        yield ("ground truth" if value else "not ground truth"), None
    elif name == "min_count":
        yield range_text((value, None), " picks"), None
    elif name in _RANGES:
        yield _RANGES[name](value), (None, None)
    else:
        say = _SAID.get(name, lambda each: bare(str(each)).replace("_", " "))
        for each in value:
            yield say(each), tuple(other for other in value if other != each)


_RANGES: Final[dict[str, Callable[[Any], str]]] = {
    "released": lambda bounds: f"released {range_text(bounds)}",
    "spacing_angstrom": lambda bounds: range_text(bounds, " Å"),
    "tilt_range_degrees": lambda bounds: f"tilts {range_text(bounds, '°')}",
}
_SAID: Final[dict[str, Callable[[Any], str]]] = {
    "depositions": lambda each: f"CZCDP-{each}",
    "tilt_quality": lambda each: f"tilt quality {each}",
    "has": lambda each: f"has {CONTENTS[each]}",
}


def _objects(index: Index, wanted: Sequence[str]) -> Mask:
    names, ids = index.words("annotations", "objectName"), index.words("annotations", "objectId")
    masks = [names.rows_at(any_of(_is_object(names.words, each) for each in wanted))]
    keys = {each.casefold() for each in wanted if ":" in each or each.upper().startswith("PDB-")}
    if keys:
        masks.append(ids.rows_at([each.casefold() in keys for each in ids.words]))
    return any_of(masks)


def _is_object(names: Sequence[str], wanted: str) -> list[bool]:
    found = is_named(names, wanted)
    concept = None if is_quoted(wanted) else concept_of(wanted)
    if concept is None:
        return found
    return [is_found or is_kind(name, concept) for is_found, name in zip(found, names, strict=True)]


def is_named(names: Sequence[str], wanted: str) -> list[bool]:
    """Which names have all words that are wanted, or are the name that stands in double quotes."""
    if is_quoted(wanted):
        exact = simplified(wanted[1:-1])
        return [simplified(name) == exact for name in names]
    words = set(tokens(wanted))
    return [bool(words) and words <= set(tokens(name)) for name in names]


def _runs_of_depositions(index: Index, deposition_ids: Sequence[int]) -> Mask:
    size = index.count("runs")
    of_datasets = at(_is_of(index, "datasets", deposition_ids), index.places("runs", "datasets"))
    others = [
        marked(index.places(table, "runs")[_is_of(index, table, deposition_ids)], size)
        for table in ("tomograms", "annotations")
    ]
    return any_of([of_datasets, *others])


def _is_of(index: Index, table: str, deposition_ids: Sequence[int]) -> Mask:
    return np.isin(index.numbers(table, "depositionId"), deposition_ids)


def _of_runs(index: Index, table: str, rows: Mask, runs: Mask) -> Mask:
    return rows & at(runs, index.places(table, "runs"))


def _is_asked(search: Search, names: Iterable[str]) -> bool:
    return any(getattr(search, name) not in ((), (None, None)) for name in names)


def _backwards(days: NDArray[np.str_]) -> NDArray[np.int64]:
    return -np.array([int(day.replace("-", "") or 0) for day in days], np.int64)
