"""``napari-cryoet list``, and the options of every command that takes a search."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Callable
from contextlib import closing
from datetime import date
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_type_hints

from typer import Argument, BadParameter, Option, Typer

from napari_cryoet.cli.console import Steps, say, say_table, tell, working
from napari_cryoet.cli.options import Json, Source, record_id
from napari_cryoet.cli.portals import open_source
from napari_cryoet.wording import count_text, day_text, dimensions_text, names_text, plain, size_text, spacing_text

if TYPE_CHECKING:
    import threading

    from napari_cryoet.discovery.index import Index
    from napari_cryoet.discovery.search import Condition, Search
    from napari_cryoet.portal.portal import Portal

app = Typer()

_ANOTHER: Final = "Another annotation of the same run, such as 'membrane shape=SegmentationMask'; repeatable."
_HAS: Final = ("annotations", "tomograms", "tiltseries", "alignments", "frames", "ctf")


def bounds(text: str) -> tuple[float | None, float | None]:
    """A range of numbers: ``8..14``, ``..10``, ``100..``, or one number."""
    return _range(text, "8..14, ..10 or 100..")


def days(text: str) -> tuple[date | None, date | None]:
    """A range of days: ``2024-01-01..``, ``2024..2025``, or a year."""
    return _range(text, "2024, 2024..2025 or 2024-05-31..", of_days=True)


def _range(text: str, example: str, *, of_days: bool = False) -> tuple[Any, Any]:
    from napari_cryoet.discovery.fields import typed_range

    try:
        return typed_range(text, of_days=of_days)
    except ValueError:
        raise BadParameter(f"{text!r}: say {example}") from None


def condition(text: str) -> Any:
    """A condition on an annotation as one text: the object's name, then fields such as ``shape=Point``."""
    from napari_cryoet.discovery.search import Condition

    fields: dict[str, Any] = {}
    names: list[str] = []
    try:
        for part in shlex.split(text):
            name, sign, value = part.partition("=")
            if part in {"ground-truth", "no-ground-truth"}:
                fields["is_ground_truth"] = part == "ground-truth"
            elif name == "min-count":
                fields["min_count"] = int(value)
            elif sign:
                fields[_OF_CONDITION[name]] = (*fields.get(_OF_CONDITION[name], ()), value)
            else:
                names.append(part)
    except (ValueError, KeyError):
        known = ", ".join(f"{each}=" for each in (*_OF_CONDITION, "min-count"))
        raise BadParameter(f"{text!r} isn't understood; say an object, {known} or ground-truth") from None
    if names:
        fields["objects"] = (*fields.get("objects", ()), " ".join(names))
    return Condition(**fields)


_OF_CONDITION: Final = {name.removesuffix("s"): name for name in ("objects", "shapes", "methods", "authors")} | {
    "software": "software"
}


def _repeated(help_text: str, name: str, metavar: str = "NAME", **more: Any) -> Any:
    return Annotated[list[str] | None, Option(name, metavar=metavar, help=help_text, **more)]


def _ranged(help_text: str, name: str, parser: Callable[[str], Any], metavar: str) -> Any:
    return Annotated[Any, Option(name, parser=parser, metavar=metavar, help=help_text)]


#: The options that make a search, by the field of `Search`, or of its first `Condition`.
_OPTIONS: Final[dict[str, Any]] = {
    "text": Annotated[list[str] | None, Argument(metavar="[WORD]...", help="In whatever is known of dataset and run.")],
    "objects": _repeated('Annotated object: words, an id such as GO:0022626, or a "whole name".', "--object"),
    "shapes": _repeated("Point, OrientedPoint, SegmentationMask, InstanceSegmentationMask, …", "--shape", "SHAPE"),
    "methods": _repeated("manual, automated, hybrid or simulated.", "--method", "METHOD"),
    "is_ground_truth": Annotated[bool | None, Option("--ground-truth/--no-ground-truth", help="Of the annotation.")],
    "authors": _repeated("Author of the annotation.", "--author"),
    "software": _repeated("Software of the annotation.", "--software"),
    "min_count": Annotated[int | None, Option("--min-count", min=1, metavar="N", help="Least number of picks.")],
    "annotations": Annotated[list[Any] | None, Option("--and", parser=condition, metavar="ANNOTATION", help=_ANOTHER)],
    "organisms": _repeated("Organism.", "--organism"),
    "sample_types": _repeated("Such as cell_line or in_vitro.", "--sample", "TYPE"),
    "processing": _repeated("Of a tomogram: raw, denoised, filtered.", "--processing", "WORD"),
    "processing_software": _repeated("Of a tomogram.", "--processing-software"),
    "reconstruction": _repeated("Of a tomogram: WBP, SIRT, …", "--reconstruction", "METHOD"),
    "spacing_angstrom": _ranged("Voxel spacing of a tomogram: ..10 is 10 Å or finer.", "--spacing", bounds, "Å..Å"),
    "tilt_range_degrees": _ranged("Of a tilt series: 100.. is 100° or more.", "--tilt-range", bounds, "°..°"),
    "tilt_quality": Annotated[list[int] | None, Option("--quality", min=1, max=5, help="Of a tilt series, 5 is best.")],
    "has": _repeated(f"What else a run must have: {', '.join(_HAS)}.", "--has", "WHAT"),
    "depositions": Annotated[
        list[int] | None, Option("--deposition", parser=record_id("deposition"), metavar="ID", help="A deposition.")
    ],
    "released": _ranged("When the dataset was released: 2024, 2024.. or a day.", "--released", days, "DATE..DATE"),
}


def with_search(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options of a search in place of its parameter ``search``."""
    hints = get_type_hints(command, localns={"Search": Any}, include_extras=True)  # isn't imported, and isn't shown
    own = inspect.signature(command)

    @wraps(command)
    def wrapped(**given: Any) -> Any:
        return command(search=_search({name: given.pop(name) for name in _OPTIONS}), **given)

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        each.replace(annotation=hints[name], kind=kind) for name, each in own.parameters.items() if name != "search"
    ]
    parameters += [inspect.Parameter(name, kind, default=None, annotation=hint) for name, hint in _OPTIONS.items()]
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped


def index_of(portal: Portal, steps: Steps, stop: threading.Event, *, refresh: bool = False) -> Index:
    """The index of a portal; a server's is fetched the first time, and how old it is is said."""
    from napari_cryoet.discovery.index import read_index

    index = read_index(portal, refresh=refresh, progress=steps.show, stop=stop)
    if portal.cache_folder is not None:
        tell(f"as of {day_text(index.as_of)}{f': {index.reason}' if index.reason else ''}")
    return index


@app.command(name="list")
@with_search
def list_(
    kind: Annotated[
        Literal["datasets", "runs", "annotations", "tomograms"], Argument(metavar="KIND", help="What to list.")
    ],
    source: Source,
    search: Search,
    sort: Annotated[str, Option(metavar="FIELD", help="A field of the JSON; numbers from the largest.")] = "",
    limit: Annotated[int | None, Option(min=1, metavar="N", help="Only the first.")] = None,
    ids: Annotated[bool, Option("--ids", help="Print ids only, one a line.")] = False,
    refresh: Annotated[bool, Option("--refresh", help="Ask the server again for all that can be searched.")] = False,
    as_json: Json = False,
) -> None:
    """List the datasets, runs, annotations or tomograms that a search finds.

    \b
    napari-cryoet list runs live --object ribosome --ground-truth --processing denoised --spacing ..10
    napari-cryoet list annotations live --object ribosome --shape Point --and "membrane shape=SegmentationMask"
    napari-cryoet list datasets demo yeast --json
    """
    from napari_cryoet.discovery.listing import list_matches, sorted_rows
    from napari_cryoet.discovery.search import find
    from napari_cryoet.formats.notes import plain_data

    with working() as (stop, steps), closing(open_source(source, steps, stop)) as portal:
        index = index_of(portal, steps, stop, refresh=refresh)
    matches = find(index, search)
    rows = list_matches(index, matches, kind)
    shown = (sorted_rows(rows, sort) if sort else rows)[:limit]
    if as_json:
        say(json.dumps(plain_data(shown), indent=1))
    elif ids:
        for row in shown:
            say(f"{getattr(row, f'{kind[:-1]}_id')}")
    else:
        say_table(_COLUMNS[kind], [tuple(_cell(row, column) for column in _COLUMNS[kind]) for row in shown])
    for word, others in matches.corrections.items():
        tell(f"nothing has “{word}”; taken for {' or '.join(others)}")
    of_all = "" if len(shown) == len(rows) else f"{len(shown)} of "
    tell(f"{of_all}{count_text(len(rows), kind[:-1])}, {size_text(sum(row.size_bytes for row in rows))}")


def _search(given: dict[str, Any]) -> Search:
    from napari_cryoet.discovery.search import Condition, Search

    if unknown := set(given["has"] or ()) - set(_HAS):
        raise BadParameter(f"--has {min(unknown)}: say {', '.join(_HAS)}")
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value is not None
    }
    text = " ".join(fields.pop("text", ()))
    others: tuple[Condition, ...] = fields.pop("annotations", ())
    first = {name: fields.pop(name) for name in Condition.__struct_fields__ if name in fields}
    return Search(text=text, annotations=((Condition(**first), *others) if first else others), **fields)


_COLUMNS: Final = {
    "datasets": ("dataset", "title", "organism", ">runs", ">annotations", ">size", "objects"),
    "runs": ("run", "dataset", ">tomograms", ">annotations", "spacings", ">size", "objects"),
    "annotations": (
        *("annotation", "object", ">count", "truth", "method", "shapes", "run", "dataset", ">size", "authors"),
    ),
    "tomograms": (
        *("tomogram", "spacing", "processing", "software", "reconstruction", "voxels", "run", "dataset", ">size"),
    ),
}
#: How cells are written that aren't the text of a field.
_CELLS: Final[dict[str, Callable[[Any], str]]] = {
    "dataset": lambda row: f"DS-{row.dataset_id}",
    "run": lambda row: f"RN-{row.run_id} {plain(row.run)}",
    "annotation": lambda row: f"AN-{row.annotation_id}",
    "tomogram": lambda row: f"TM-{row.tomogram_id}",
    ">runs": lambda row: f"{row.n_runs:,}",
    ">tomograms": lambda row: f"{row.n_tomograms:,}",
    ">annotations": lambda row: f"{row.n_annotations:,}",
    ">count": lambda row: f"{row.count:,}" if row.count else "",
    ">size": lambda row: size_text(row.size_bytes) if row.size_bytes else "",
    "truth": lambda row: "truth" if row.is_ground_truth else "",
    "objects": lambda row: plain(names_text(row.objects)),
    "authors": lambda row: plain(names_text(row.authors)),
    "shapes": lambda row: ", ".join(row.shapes),
    "spacing": lambda row: spacing_text(row.spacing_angstrom),
    "spacings": lambda row: ", ".join(map(spacing_text, row.spacings_angstrom)),
    "voxels": lambda row: dimensions_text(row.size_x, row.size_y, row.size_z),
}


def _cell(row: Any, column: str) -> str:
    return _CELLS[column](row) if column in _CELLS else plain(getattr(row, column))
