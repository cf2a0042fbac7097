"""``napari-cryoet list``, and the search options that commands share."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from typer import Argument, BadParameter, Option, Typer

import napari_cryoet
from napari_cryoet.cli.console import say, say_json, say_table, tell
from napari_cryoet.cli.options import JsonOption, RefreshOption, SourceArgument, one_of, record_id
from napari_cryoet.cli.portals import open_session
from napari_cryoet.wording import ID_PREFIXES, count_text, names_text, size_text

if TYPE_CHECKING:
    from napari_cryoet import Search  # importing it takes as long as all commands

app = Typer()

_HAS: Final = ("annotations", "tomograms", "tiltseries", "alignments", "frames", "ctf")
#: The fields of `Condition` by their names in ``--and``.
_OF_CONDITION: Final = {
    each.removesuffix("s"): each for each in ("objects", "shapes", "methods", "authors", "software")
}


def bounds(text: str) -> tuple[float | None, float | None]:
    """Parse a range of numbers: ``8..14``, ``..10``, ``100..``, or one number."""
    from napari_cryoet.discovery.fields import typed_range

    return typed_range(text)


def days(text: str) -> tuple[date | None, date | None]:
    """Parse a range of days: ``2024-01-01..``, ``2024..2025``, or a year."""
    from napari_cryoet.discovery.fields import typed_range

    return typed_range(text, of_days=True)


def condition(text: str) -> Any:
    """Parse an annotation condition: the object's name and fields such as ``shape=Point``."""
    fields: dict[str, Any] = {}
    names = []
    try:
        for part in shlex.split(text):
            name, sign, value = part.partition("=")
            if part in {"ground-truth", "no-ground-truth"}:
                fields["is_ground_truth"] = part == "ground-truth"
            elif name == "min-count":
                fields["min_count"] = int(value)
            elif sign:
                field = _OF_CONDITION[name]
                fields[field] = (*fields.get(field, ()), value)
            else:
                names.append(part)
    except (ValueError, KeyError):
        known = ", ".join(f"{each}=" for each in (*_OF_CONDITION, "min-count"))
        raise BadParameter(
            f"{text!r} isn't valid; use an object, {known} or ground-truth"
        ) from None
    if names:
        fields["objects"] = (*fields.get("objects", ()), " ".join(names))
    return napari_cryoet.Condition(**fields)


def _option(kind: Any, name: str, help_text: str, metavar: str = "NAME", **more: Any) -> Any:
    return Annotated[kind | None, Option(name, metavar=metavar, help=help_text, **more)]


#: The search options by their field of `Search` or its first `Condition`; lists are repeatable.
_OPTIONS: Final[dict[str, Any]] = {
    "text": Annotated[
        list[str] | None, Argument(metavar="[WORD]...", help="Words to find in the dataset or run.")
    ],
    "objects": _option(
        list[str],
        "--object",
        'Annotated or identified object: words, an id such as GO:0022626, or a "whole name".',
    ),
    "shapes": _option(
        list[str], "--shape", "Shape: Point, OrientedPoint, SegmentationMask, …", "SHAPE"
    ),
    "methods": _option(
        list[str], "--method", "Method: manual, automated, hybrid or simulated.", "METHOD"
    ),
    "is_ground_truth": Annotated[
        bool | None,
        Option("--ground-truth/--no-ground-truth", help="Whether the annotation is ground truth."),
    ],
    "authors": _option(list[str], "--author", "Author of the annotation."),
    "software": _option(list[str], "--software", "Software of the annotation."),
    "min_count": _option(int, "--min-count", "Smallest number of picks.", "N", min=1),
    "annotations": _option(
        list[Any],
        "--and",
        "Another annotation in the same run, such as 'membrane shape=SegmentationMask'; repeatable.",
        "ANNOTATION",
        parser=condition,
    ),
    "organisms": _option(list[str], "--organism", "Organism."),
    "sample_types": _option(
        list[str], "--sample", "Sample type, such as cell_line or in_vitro.", "TYPE"
    ),
    "processing": _option(
        list[str], "--processing", "Processing of a tomogram: raw, denoised, filtered.", "WORD"
    ),
    "processing_software": _option(
        list[str], "--processing-software", "Processing software of a tomogram."
    ),
    "reconstruction": _option(
        list[str], "--reconstruction", "Reconstruction of a tomogram: WBP, SIRT, …", "METHOD"
    ),
    "spacing_angstrom": _option(
        Any,
        "--spacing",
        "Voxel spacing of a tomogram: ..10 is 10 Å or finer.",
        "Å..Å",
        parser=bounds,
    ),
    "tilt_range_degrees": _option(
        Any,
        "--tilt-range",
        "Tilt range of a tilt series: 100.. is 100° or more.",
        "°..°",
        parser=bounds,
    ),
    "tilt_quality": _option(
        list[int], "--quality", "Quality of a tilt series; 5 is best.", "1-5", min=1, max=5
    ),
    "has": _option(
        list[Any], "--has", f"Contents of the run: {', '.join(_HAS)}.", "WHAT", parser=one_of(*_HAS)
    ),
    "depositions": _option(
        list[int], "--deposition", "Id of a deposition.", "ID", parser=record_id("deposition")
    ),
    "released": _option(
        Any,
        "--released",
        "Release date of the dataset: 2024, 2024.. or a day.",
        "DATE..DATE",
        parser=days,
    ),
}


def with_search(command: Callable[..., Any]) -> Callable[..., Any]:
    """Replace a command's parameter ``search`` by the search options."""

    def wrapped(**values: Any) -> Any:
        return command(search=_search({name: values.pop(name) for name in _OPTIONS}), **values)

    # Search isn't imported, and its parameter is removed
    own = inspect.signature(command, locals={"Search": Any}, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        each.replace(kind=kind) for name, each in own.parameters.items() if name != "search"
    ]
    parameters += [
        inspect.Parameter(name, kind, default=None, annotation=hint)
        for name, hint in _OPTIONS.items()
    ]
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapped


@app.command(name="list")
@with_search
def list_(
    kind: Annotated[
        Literal["datasets", "runs", "annotations", "tomograms"],
        Argument(metavar="KIND", help="What to list."),
    ],
    source: SourceArgument,
    search: Search,
    sort: Annotated[
        str, Option(metavar="FIELD", help="Sort by this field of the JSON; largest numbers first.")
    ] = "",
    limit: Annotated[int | None, Option(min=1, metavar="N", help="Only the first N.")] = None,
    ids: Annotated[bool, Option("--ids", help="Print only ids, one per line.")] = False,
    refresh: RefreshOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the datasets, runs, annotations or tomograms that match a search.

    \b
    napari-cryoet list runs live --object ribosome --ground-truth --processing denoised --spacing ..10
    napari-cryoet list annotations live --object ribosome --shape Point --and "membrane shape=SegmentationMask"
    napari-cryoet list datasets demo yeast --json
    """
    from napari_cryoet.discovery.advice import advise
    from napari_cryoet.discovery.matches import sorted_rows

    with open_session(source) as session:
        index = session.read_index(refresh=refresh)
    matches = matches_of(index, search)
    rows = matches.rows(kind)
    shown = (sorted_rows(rows, sort) if sort else rows)[:limit]
    if as_json:
        say_json(shown)
    elif ids:
        for row in shown:
            say(f"{getattr(row, f'{kind[:-1]}_id')}")
    else:
        columns = _COLUMNS[kind].split()
        say_table(columns, [[_cell(name.strip(">"), row) for name in columns] for row in shown])
    if not rows:
        advice = advise(index, matches.search, "datasets" if kind == "datasets" else "runs")
        tell(advice.text or "each word and option has to match")
        separate = advice.together.annotations if advice.together else ()
        for each in separate[len(matches.search.annotations) :]:
            tell(f"for that, use --and {shlex.quote(each.objects[0])} instead")
    of_all = "" if len(shown) == len(rows) else f"{len(shown)} of "
    tell(
        f"{of_all}{count_text(len(rows), kind[:-1])}, {size_text(sum(row.size_bytes for row in rows))}"
    )


def matches_of(index: napari_cryoet.Index, search: Search) -> napari_cryoet.Matches:
    """Find the matches of a search, and tell about corrected words."""
    matches = index.find(search)
    for word, others in matches.corrections.items():
        tell(f"no matches for “{word}”; searched for {' or '.join(others)}")
    return matches


def _search(values: dict[str, Any]) -> Search:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }
    text, others = " ".join(fields.pop("text", ())), fields.pop("annotations", ())
    first = napari_cryoet.Condition(
        **{
            name: fields.pop(name)
            for name in napari_cryoet.Condition.__struct_fields__
            if name in fields
        }
    )
    return napari_cryoet.Search(
        text=text,
        annotations=others if first == napari_cryoet.Condition() else (first, *others),
        **fields,
    )


#: The columns of printed tables; ">" aligns to the right.
_COLUMNS: Final = {
    "datasets": "dataset_id title organism >n_runs >n_annotations >size_bytes objects",
    "runs": (
        "run_id run dataset_id >n_tomograms >n_annotations spacings_angstrom >size_bytes objects identified"
    ),
    "annotations": (
        "annotation_id object >count is_ground_truth method shapes run_id dataset_id >size_bytes authors"
    ),
    "tomograms": (
        "tomogram_id spacing_angstrom processing software reconstruction size_x size_y size_z run_id dataset_id "
        ">size_bytes"
    ),
}


def _cell(name: str, row: Any) -> str:
    """The text of a table cell; empty for a missing value."""
    match value := getattr(row, name):
        case None | False | 0:
            return ""
        case True:
            return "yes"
        case int() if name.endswith("_id"):
            return f"{ID_PREFIXES[name.removesuffix('_id')]}-{value}"
        case int():
            return size_text(value) if name == "size_bytes" else f"{value:,}"
        case float():
            return f"{value:g}"
        case tuple():
            return names_text([f"{each:g}" if isinstance(each, float) else each for each in value])
    return str(value)
