"""A search as a Python script that finds the same runs: with this package, or with the portal's own client."""

from __future__ import annotations

import pprint
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Final

import numpy as np

from napari_cryoet.discovery.index import Index, Mask, any_of
from napari_cryoet.discovery.search import (
    Condition,
    Narrowed,
    Search,
    annotation_masks,
    chips,
    dataset_masks,
    is_named,
    loosened,
    tomogram_masks,
)
from napari_cryoet.portal.portal import LIVE_URL, Source
from napari_cryoet.wording import date_text

Filters = tuple[str, ...]
"""Expressions in the client's language that hold together."""

_WIDTH: Final = 100
_SERVED: Final = "http://127.0.0.1:8000/graphql"
_HAS: Final = {
    "annotations": "Run.annotations.id > 0",
    "tomograms": "Run.tomograms.id > 0",
    "tiltseries": "Run.tiltseries.id > 0",
    "alignments": "Run.alignments.id > 0",
    "frames": "Run.frames.id > 0",
    "ctf": "Run.per_section_parameters.major_defocus.is_null(False)",
}


def own_script(search: Search, source: Source) -> str:
    """A script that finds the runs of a search with this package, in whatever the source has when it is run."""
    place = source.location if source.kind != "live" else "live"
    imports = ["from datetime import date\n"] if search.released != (None, None) else []
    names = "Condition, Search, find" if search.annotations else "Search, find"
    lines = [
        f'"""{_title(search)}"""\n',
        *imports,
        "from napari_cryoet import open_portal",
        "from napari_cryoet.discovery.index import read_index",
        "from napari_cryoet.discovery.listing import list_matches",
        f"from napari_cryoet.discovery.search import {names}\n",
        f"index = read_index(open_portal({place!r}))",
        f"search = {_search_text(search)}",
        'for run in list_matches(index, find(index, search), "runs"):',
        "    print(run.run_id, run.run)",
    ]
    return "\n".join(lines) + "\n"


def client_script(index: Index, search: Search) -> str:
    """A script that finds the runs of a search with the portal's official client.

    The client knows exact names only, and no text search: words become the names that they find in the index now, and
    a text becomes the ids of the runs that have it.
    """
    source = index.source
    served = "  # napari-cryoet serve FOLDER says the address" if source.kind in {"pack", "demo"} else ""
    address = {"live": "", "url": repr(source.location)}.get(source.kind, repr(_SERVED))
    assert address != repr(LIVE_URL)  # noqa: S101 - such a source is "live"
    steps: list[str] = []
    for words, options in _parts(index, search):
        sign = "&=" if steps else "="
        calls = " | ".join(f"run_ids({_indented(filters)})" for filters in options)
        steps.append(f"# {words}\nfound {sign} {calls}")
    lines = [
        f'"""{_title(search)}\n\nNames and ids are those of {date_text(index.as_of)}."""\n',
        "from cryoet_data_portal import Client, Run\n",
        f"client = Client({address}){served}\n\n",
        "def run_ids(*filters):",
        "    return {run.id for run in Run.find(client, filters)}\n\n",
        *(steps or ["found = run_ids()"]),
        "",
        "for run in Run.find(client, [Run.id._in(sorted(found))]):",
        "    print(run.id, run.name)",
    ]
    return "\n".join(lines) + "\n"


def _parts(index: Index, search: Search) -> Iterable[tuple[str, list[Filters]]]:
    """What a run has to meet, each part in words and as filters of which one option has to hold."""
    if search.text:
        narrowed = Narrowed(index, Search(text=search.text))
        ids = index.ids("runs")[narrowed.runs()].tolist()
        yield f"has the text {search.text!r}", [(f"Run.id._in({_list(ids)})",)]
    if filters := _of_dataset(index, search):
        yield "of such datasets", [filters]
    if filters := _of_tomogram(index, search):
        yield "with such a tomogram", [filters]
    if filters := _of_tilt_series(search):
        yield "with such a tilt series", [filters]
    for what in search.has:
        yield f"with {what}", [(_HAS[what],)]
    if search.depositions:
        ids = _list(search.depositions)
        owners = ("dataset", "tomograms", "annotations")
        yield "of these depositions", [(f"Run.{owner}.deposition_id._in({ids})",) for owner in owners]
    for condition in search.annotations:
        words = ", ".join(chip.text for chip in chips(Search(annotations=(condition,))))
        yield f"with one annotation: {words}", _of_annotation(index, condition)


def _of_dataset(index: Index, search: Search) -> Filters:
    filters = []
    if search.organisms:
        mask = dataset_masks(index, Search(organisms=search.organisms))["organisms"]
        filters.append(f"Run.dataset.organism_name._in({_names(index, 'datasets', 'organismName', mask)})")
    if search.sample_types:
        filters.append(f"Run.dataset.sample_type._in({_list(search.sample_types)})")
    first, last = search.released
    if first is not None:
        filters.append(f'Run.dataset.release_date >= "{first}T00:00:00+00:00"')
    if last is not None:
        filters.append(f'Run.dataset.release_date <= "{last}T23:59:59+00:00"')
    return tuple(filters)


def _of_tomogram(index: Index, search: Search) -> Filters:
    filters = []
    if search.processing:
        filters.append(f"Run.tomograms.processing._in({_list(search.processing)})")
    if search.processing_software:
        software = Search(processing_software=search.processing_software)
        names = _names(index, "tomograms", "processingSoftware", tomogram_masks(index, software)["processing_software"])
        filters.append(f"Run.tomograms.processing_software._in({names})")
    if search.reconstruction:
        filters.append(f"Run.tomograms.reconstruction_method._in({_list(search.reconstruction)})")
    return (*filters, *_within("Run.tomograms.voxel_spacing", search.spacing_angstrom))


def _of_tilt_series(search: Search) -> Filters:
    filters = _within("Run.tiltseries.tilt_range", search.tilt_range_degrees)
    if search.tilt_quality:
        filters = (*filters, f"Run.tiltseries.tilt_series_quality._in({_list(search.tilt_quality)})")
    return filters


def _of_annotation(index: Index, condition: Condition) -> list[Filters]:
    """All filters for one annotation; the client merges those that begin alike, so that they hold for the same one."""
    fields: list[list[str]] = []
    if condition.objects:
        mask = annotation_masks(index, Condition(objects=condition.objects))["objects"]
        fields.append([f"Run.annotations.object_name._in({_names(index, 'annotations', 'objectName', mask)})"])
    if condition.shapes:
        fields.append([f"Run.annotations.annotation_shapes.shape_type._in({_list(condition.shapes)})"])
    if condition.methods:
        fields.append([f"Run.annotations.method_type._in({_list(condition.methods)})"])
    if condition.is_ground_truth is not None:
        status = "Run.annotations.ground_truth_status"
        unsaid = [] if condition.is_ground_truth else [f"{status}.is_null()"]
        fields.append([f"{status} == {condition.is_ground_truth}", *unsaid])
    if condition.authors:
        known = index.words("annotationAuthors", "name")
        is_meant = any_of(is_named(known.words, author) for author in condition.authors)
        names = _list(sorted(known.words[code] for code in np.flatnonzero(is_meant)))
        fields.append([f"Run.annotations.authors.name._in({names})"])
    if condition.software:
        mask = annotation_masks(index, Condition(software=condition.software))["software"]
        names = _names(index, "annotations", "annotationSoftware", mask)
        fields.append([f"Run.annotations.annotation_software._in({names})"])
    if condition.min_count is not None:
        fields.append([f"Run.annotations.object_count >= {condition.min_count}"])
    return list(product(*fields))


def _names(index: Index, table: str, column: str, rows: Mask) -> str:
    """The texts in a column of some rows."""
    known = index.words(table, column)
    return _list(sorted(known.words[code] for code in np.unique(known.codes[rows & (known.codes >= 0)])))


def _within(field: str, bounds: tuple[float | None, float | None]) -> Filters:
    low, high = loosened(bounds)
    lowest = () if low is None else (f"{field} >= {low:g}",)
    return (*lowest, *(() if high is None else (f"{field} <= {high:g}",)))


def _list(values: Iterable[object]) -> str:
    return pprint.pformat(list(values), width=_WIDTH, compact=True)


def _indented(filters: Sequence[str]) -> str:
    lines = "\n".join(f"{filters_text}," for filters_text in filters)
    return "\n" + "\n".join(f"    {line}" for line in lines.splitlines()) + "\n"


def _title(search: Search) -> str:
    words = [chip.text for chip in chips(search)]
    asked = ", ".join([search.text, *words] if search.text else words).replace("\\", "").replace('"', "'")
    return f"Runs of the CryoET Data Portal: {asked or 'all'}."


def _search_text(search: Search) -> str:
    """The search as Python writes it, a field a line."""
    default = Search()
    fields = [
        f"    {name}={getattr(search, name)!r},"
        for name in search.__struct_fields__
        if name != "annotations" and getattr(search, name) != getattr(default, name)
    ]
    if search.annotations:
        conditions = [f"        {each!r}," for each in search.annotations]
        fields = [*fields, "    annotations=(", *conditions, "    ),"]
    return "\n".join(["Search(", *fields, ")"]).replace("datetime.date(", "date(") if fields else "Search()"
