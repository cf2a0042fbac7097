"""Export a search as a Python script that finds the same runs, with this package or the portal's client."""

from __future__ import annotations

import pprint
import re
from collections.abc import Iterable, Sequence
from itertools import product
from textwrap import indent
from typing import Any, Final

import numpy as np

from napari_cryoet.discovery.columns import Columns, RowMask, at, marked
from napari_cryoet.discovery.fields import (
    IDENTIFIED,
    NO_BOUNDS,
    Field,
    fields_set,
    rows_that_meet,
    widened,
)
from napari_cryoet.discovery.search import Condition, Search, SearchMasks, can_be_identified, chips
from napari_cryoet.portal.portal import Source
from napari_cryoet.wording import date_text

Filters = tuple[str, ...]
"""Filter expressions for the client that all have to hold."""

_WIDTH: Final = 100
_SUBJECTS: Final = {
    "datasets": "its dataset",
    "runs": "the run",
    "tomograms": "one tomogram",
    "tiltseries": "one tilt series",
}
_SERVED: Final = "http://127.0.0.1:8000/graphql"
#: The client's attribute paths from a run to a table.
_PATHS: Final = {
    "datasets": "dataset",
    "annotationShapes": "annotations.annotation_shapes",
    "annotationAuthors": "annotations.authors",
    "identifiedObjects": "identified_objects",
}
#: Filters for contents that aren't simply the rows of a table.
_CONTENTS: Final = {"ctf": "Run.per_section_parameters.major_defocus.is_null(False)"}


def own_script(search: Search, source: Source) -> str:
    """A script that searches the current data of a source with this package."""
    location = source.location if source.kind != "live" else "live"
    criteria = {name: getattr(search, name) for name in search.__struct_fields__}
    own = [
        f"    {name}={value!r},"
        for name, value in criteria.items()
        if value != getattr(Search(), name)
    ]
    names = ["Condition"] * bool(search.annotations) + ["Search", "open_portal", "read_index"]
    lines = [
        f'"""{_title(search)}"""\n',
        *(["import datetime\n"] if search.released != NO_BOUNDS else []),
        f"from napari_cryoet import {', '.join(names)}\n",
        f"index = read_index(open_portal({location!r}))",
        *["search = Search(", *own, ")"],
        'for run in index.find(search).rows("runs"):',
        "    print(run.run_id, run.run)",
    ]
    return "\n".join(lines) + "\n"


def client_script(index: Columns, search: Search) -> str:
    """A script that finds the runs of a search with the portal's official client.

    The client only matches exact names and has no text search. Words become the names that they
    match in the index now, and a text becomes the ids of its runs.
    """
    source = index.source
    served = (
        "  # napari-cryoet serve FOLDER prints the URL" if source.kind in {"pack", "demo"} else ""
    )
    address = {"live": "", "url": repr(source.location)}.get(source.kind, repr(_SERVED))
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


def _parts(index: Columns, search: Search) -> Iterable[tuple[str, Iterable[Filters]]]:
    """The conditions for a run: each a description and alternative sets of filters.

    The client merges filters with a common prefix, so all filters of a set hold for the same row.
    """
    if search.text:
        worded = SearchMasks(index, Search(text=search.text, annotations=search.annotations))
        yield f"text: {search.text!r}", _runs_with(index, worded.runs())
    parts: list[tuple[str, Any, str]] = [(name, search, table) for table, name in _SUBJECTS.items()]
    parts += [("one annotation", condition, "annotations") for condition in search.annotations]
    for words, criteria, subject in parts:
        if found := [*fields_set(criteria, subject)]:
            chosen = (
                field.chip_of(value) for field, wanted in found for value in field.values_of(wanted)
            )
            options = [*product(*(_filters(index, field, wanted) for field, wanted in found))]
            if isinstance(criteria, Condition) and can_be_identified(criteria):
                options += [(each,) for each in _filters(index, IDENTIFIED, criteria.objects)]
            yield f"{words}: {', '.join(chosen)}", options


def _runs_with(index: Columns, runs: RowMask) -> list[Filters]:
    """Filters for these runs: ids of datasets with all their runs, and ids of the other runs."""
    owners, size = index.places("runs", "datasets"), index.count("datasets")
    whole = marked(owners[runs], size) & ~marked(owners[~runs], size)
    rest = index.ids("runs")[runs & ~at(whole, owners)].tolist()
    options: list[Filters] = [
        (f"Run.dataset_id._in({_literal(index.ids('datasets')[whole].tolist())})",)
    ]
    return [*options, (f"Run.id._in({_literal(rest)})",)] if rest else options


def _filters(index: Columns, field: Field, wanted: Any) -> list[str]:
    """The alternative filters for a field."""
    column = re.sub("([A-Z])", r"_\1", field.column).lower()
    path = f"Run.{_PATHS.get(field.table, field.table)}.{column}"
    match field.kind:
        case "name" | "object":
            known = index.words(field.table, field.column)
            codes = np.unique(
                known.codes[rows_that_meet(index, field, wanted) & (known.codes >= 0)]
            )
            return [f"{path}._in({_literal(sorted(known.words[code] for code in codes))})"]
        case "range":
            return [
                _bounds_filter(
                    path, *(None if end is None else f"{end:g}" for end in widened(wanted))
                )
            ]
        case "days":
            first, last = wanted
            return [
                _bounds_filter(
                    path, first and f'"{first}T00:00:00+00:00"', last and f'"{last}T23:59:59+00:00"'
                )
            ]
        case "least":
            return [f"{path} >= {wanted}"]
        case "truth":
            return [f"{path} == True"] if wanted else [f"{path} == False", f"{path}.is_null()"]
        case "content":
            return [",\n".join(_CONTENTS.get(what, f"Run.{what}.id > 0") for what in wanted)]
        case "deposition":
            return [
                f"Run.{each}.deposition_id._in({_literal(wanted)})"
                for each in ("dataset", "tomograms", "annotations")
            ]
    return [f"{path}._in({_literal(wanted)})"]


def _bounds_filter(path: str, low: str | None, high: str | None) -> str:
    bounds = [f"{path} >= {low}"] if low else []
    return ",\n".join([*bounds, f"{path} <= {high}"] if high else bounds)


def _literal(values: Iterable[object]) -> str:
    return pprint.pformat(list(values), width=_WIDTH, compact=True)


def _indented(filters: Sequence[str]) -> str:
    return "\n" + indent("\n".join(f"{each}," for each in filters), "    ") + "\n"


def _title(search: Search) -> str:
    words = [chip.text for chip in chips(search)]
    criteria = (
        ", ".join([search.text, *words] if search.text else words)
        .replace("\\", "")
        .replace('"', "'")
    )
    return f"Runs of the CryoET Data Portal: {criteria or 'all'}."
