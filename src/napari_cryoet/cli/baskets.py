"""``napari-cryoet basket add|show|check|split|save|clear``, and ``download``."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

from typer import Argument, BadParameter, Exit, Option, Typer

from napari_cryoet.cli.console import say, say_table, tell, working
from napari_cryoet.cli.options import WHAT, Annotations, Dataset, Json, Run, record_id, region, what
from napari_cryoet.cli.portals import open_source
from napari_cryoet.cli.searches import index_of, with_search
from napari_cryoet.exceptions import CryoETError, DownloadError
from napari_cryoet.wording import count_text, size_text

if TYPE_CHECKING:
    from napari_cryoet.basket.basket import Basket, Kind
    from napari_cryoet.basket.remarks import Remark
    from napari_cryoet.discovery.search import Search
    from napari_cryoet.download import Plan
    from napari_cryoet.portal.portal import Portal

app = Typer(help="Collect what to download or to export: the current basket of a source, or a file.")
download_app = Typer()

_KINDS: Final = ("annotations", "tomograms", "runs", "datasets")
_WHAT_HELP: Final = f"{', '.join(WHAT)}; several with commas. Of a dataset everything, of a run tomogram,annotations."
_BASKET_HELP: Final = "A basket's file; or live, demo, an address or a pack, for the current basket of it."

_SOURCE_HELP: Final = f"{_BASKET_HELP} With --run or --dataset, a source."
_REGION_HELP: Final = "Of --run's tomogram only these voxels, such as 100:356,0:256,0:256."
_KINDS_HELP: Final = f"What of the matches: {', '.join(_KINDS)}; repeatable."

_Basket = Annotated[str, Argument(metavar="BASKET|SOURCE", help=_BASKET_HELP)]
_Format = Annotated[Literal["zarr", "mrc"] | None, Option("--format", help="Of tomograms and masks.")]
_Level = Annotated[
    int | None, Option("--level", min=0, max=9, metavar="N", help="Only levels from N on of zarr tomograms; 0 is all.")
]
_Tomogram = Annotated[
    str | None, Option("--with-tomogram", metavar="WORD", help="Of each run: denoised, raw, …, default, or none.")
]


def _ids(kind: str) -> Any:
    return Annotated[
        list[int] | None,
        Option(f"--{kind}-id", parser=record_id(kind), metavar="ID", help=f"Also this {kind}; repeatable."),
    ]


@app.command()
@with_search
def add(
    basket: _Basket,
    search: Search,
    wanted: Annotated[
        list[str] | None,
        Option("--what", metavar="KIND", help=f"What of the matches: {', '.join(_KINDS)}; repeatable."),
    ] = None,
    run_ids: _ids("run") = None,  # type: ignore[valid-type]
    dataset_ids: _ids("dataset") = None,  # type: ignore[valid-type]
    annotation_ids: _ids("annotation") = None,  # type: ignore[valid-type]
    volume_format: _Format = None,
    level: _Level = None,
    with_tomogram: _Tomogram = None,
    all_shapes: Annotated[
        bool | None, Option("--all-shapes/--one-shape", help="Of an annotation with oriented and plain points.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, Option("--without", metavar="PART", help="Of whole runs and datasets: frames, …; repeatable.")
    ] = None,
) -> None:
    """Add all that a search finds: annotations, and one tomogram of each run if the search asks for tomograms.

    \b
    napari-cryoet basket add live --object ribosome --ground-truth --processing denoised --spacing ..10
    napari-cryoet basket add ribosomes.toml --annotation-id AN-9003 --with-tomogram denoised
    """
    from napari_cryoet.basket.basket import PARTS
    from napari_cryoet.basket.matches import add_matches
    from napari_cryoet.discovery.search import Search as AnySearch

    if unknown := set(wanted or ()) - set(_KINDS):
        raise BadParameter(f"--what {min(unknown)}: say {', '.join(_KINDS)}")
    if unknown := set(leave_out or ()) - set(PARTS):
        raise BadParameter(f"--without {min(unknown)}: say {', '.join(PARTS)}")
    choices: dict[str, Any] = {
        "volume_format": volume_format,
        "level": level if level else ("all" if level == 0 else None),
        "with_tomogram": "" if with_tomogram == "none" else with_tomogram,
        "shapes": None if all_shapes is None else "all" if all_shapes else "richest",
        "leave_out": None if leave_out is None else tuple(leave_out),
    }
    choices = {name: value for name, value in choices.items() if value is not None}
    by_id: dict[Kind, list[int] | None] = {
        "runs": run_ids,
        "datasets": dataset_ids,
        "annotations": annotation_ids,
    }
    place = _Place(basket)
    with working() as (stop, steps), closing(open_source(place.source, steps, stop)) as portal:
        index = index_of(portal, steps, stop) if search != AnySearch() or wanted else None

        def change(before: Basket) -> Basket:
            after = before.with_choices(**choices) if choices else before
            for kind, ids in by_id.items():
                after = after.with_ids(kind, ids) if ids else after
            return add_matches(after, index, search, cast("list[Kind]", wanted or ())) if index else after

        _tell_contents(place.change(portal, change), portal, stop)


@app.command()
def show(basket: _Basket, as_json: Json = False) -> None:
    """Say what is in a basket, how large it is, and what to know of it.

    \b
    napari-cryoet basket show live
    napari-cryoet basket show ribosomes.toml --json
    """
    from napari_cryoet.formats.notes import plain_data

    place = _Place(basket)
    with working() as (stop, steps), closing(open_source(place.source, steps, stop)) as portal:
        known = place.read(portal)
        contents, remarks = _contents(known, portal, stop)
    if as_json:
        say(json.dumps(plain_data({"basket": known, "contents": contents, "remarks": remarks}), indent=1))
        return
    say_table(
        ("what", ">files", ">size"),
        [(name, f"{part.n_files:,}", size_text(part.size_bytes)) for name, part in contents.parts.items()],
    )
    say(contents.summary or "The basket is empty.")
    if known.split is not None:
        counts = ((name, len(getattr(known.split, name))) for name in ("train", "validation", "test"))
        say(f"split with seed {known.split.seed}: {', '.join(f'{name} {count}' for name, count in counts)}")
    for remark in remarks:
        say(f"! {remark.text}")


@app.command()
def check(
    basket: _Basket,
    update: Annotated[bool, Option("--update", help="Take out what is gone, and add what newly matches.")] = False,
) -> None:
    """Say what changed, was withdrawn or newly matches since the basket was filled; ends with 1 if anything did.

    \b
    napari-cryoet basket check ribosomes.toml
    napari-cryoet basket check live --update
    """
    from napari_cryoet.basket.aging import age_of, ask_dates, brought_up_to_date
    from napari_cryoet.basket.matches import matching

    place = _Place(basket)
    with working() as (stop, steps), closing(open_source(place.source, steps, stop)) as portal:
        known = place.read(portal)
        today = ask_dates(portal, known, stop=stop)
        matches = matching(index_of(portal, steps, stop)) if known.searches else lambda _search: ()
        age = age_of(known, today, matches)
        for words, found in (("changed", age.changed), ("withdrawn", age.withdrawn), ("new", age.new)):
            for kind, ids in found.items():
                say(f"{words} {kind}: {', '.join(map(str, ids))}")
        say(age.text or "Nothing changed.")
        if update:
            place.change(portal, lambda before: brought_up_to_date(before, age, today))
    if age.text and not update:
        raise Exit(1)


@app.command()
def split(
    basket: _Basket,
    shares: Annotated[str, Argument(metavar="TRAIN,VALIDATION,TEST", help="In percent.")] = "80,10,10",
    seed: Annotated[int, Option(help="Another one gives another split.")] = 0,
) -> None:
    """Split the runs of a basket for training, validation and test, each object in all of them; recorded in it.

    napari-cryoet basket split ribosomes.toml 80,10,10 --seed 1
    """
    from napari_cryoet.basket.contents import RowsOfRuns
    from napari_cryoet.basket.split import split_basket

    try:
        numbers = [float(part) for part in shares.split(",")]
    except ValueError:
        raise BadParameter(f"{shares!r}: say for example 80,10,10") from None
    place = _Place(basket)
    with working() as (stop, steps), closing(open_source(place.source, steps, stop)) as portal:
        rows = RowsOfRuns(portal).of(place.read(portal), stop=stop)
        found = place.change(portal, lambda before: split_basket(before, rows, numbers, seed=seed)).split
    for name in ("train", "validation", "test"):
        say(f"{name}: {count_text(len(getattr(found, name)), 'run')}")


@app.command()
def save(
    source: Annotated[str, Argument(metavar="SOURCE", help="live, demo, an address or a pack.")],
    file: Annotated[Path, Argument(metavar="FILE", help="Where to; it ends in .toml.")],
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Save the current basket of a source as a file to share and to edit.

    napari-cryoet basket save live ribosomes.toml
    """
    from napari_cryoet.basket.basket import write_basket

    if file.suffix.lower() != ".toml":
        raise BadParameter("say a file that ends in .toml")
    place = _Place(source)
    with working() as (stop, steps), closing(open_source(place.source, steps, stop)) as portal:
        write_basket(place.read(portal), file, overwrite=overwrite)
    say(f"{file}")


@app.command()
def clear(basket: _Basket) -> None:
    """Empty a basket.

    napari-cryoet basket clear live
    """
    from napari_cryoet.basket.basket import Basket

    place = _Place(basket)
    with working() as (stop, steps), closing(open_source(place.source, steps, stop)) as portal:
        place.change(portal, Basket.emptied)


@download_app.command()
def download(
    basket: Annotated[str, Argument(metavar="BASKET|SOURCE", help=_SOURCE_HELP)],
    to: Annotated[Path, Option(metavar="FOLDER", help="Where to. It becomes a pack: a SOURCE.")],
    run: Run = None,
    dataset: Dataset = None,
    wanted: Annotated[Any, Option("--what", parser=what, metavar="WHAT", help=_WHAT_HELP)] = None,
    which: Annotations = "all",
    objects: Annotated[
        list[str] | None, Option("--object", metavar="NAME", help="Only annotations of it: name or id; repeatable.")
    ] = None,
    volume_format: _Format = None,
    level: _Level = None,
    box: Annotated[Any, Option("--region", parser=region, metavar="Z:Z,Y:Y,X:X", help=_REGION_HELP)] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Say what would be fetched and how large it is.")] = False,
    scripts: Annotated[bool, Option("--scripts", help="Only write scripts for other tools: aws, curl, …")] = False,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Fetch only what isn't complete in FOLDER.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace files that are there and differ.")] = False,
) -> None:
    """Download a basket, a run or a dataset. Started again, a download fetches only what isn't complete.

    \b
    napari-cryoet download live --to data                       # the current basket
    napari-cryoet download ribosomes.toml --to data --dry-run   # says what and how big
    napari-cryoet download live --run 506 --to runs --object ribosome
    napari-cryoet download live --run 506 --to parts --region 100:356,0:256,0:256
    napari-cryoet download live --dataset 10000 --to data       # all its files
    """
    from napari_cryoet.download import Download, incomplete

    if run is not None and dataset is not None:
        raise BadParameter("say --run or --dataset")
    if run is None and dataset is None and (wanted or which != "all" or objects):
        raise BadParameter("--what, --annotations and --object go with --run or --dataset")
    if box is not None and run is None:
        raise BadParameter("--region goes with --run")
    place = _Place(basket)
    if box is not None and run is not None:
        _download_region(place.source, run, box, to)
        return
    options = {"what": wanted, "annotations": which, "objects": objects or ()}
    with working() as (stop, steps):
        with closing(open_source(place.source, steps, stop)) as portal:
            if run is None and dataset is None:
                plan = _basket_plan(place.read(portal), portal, volume_format, level, stop)
            else:
                plan = _plan(portal, run, dataset, options, volume_format, level, stop)
        if dry_run:
            _say_plan(plan, to)
            return
        if scripts:
            _write_scripts(plan, to)
            return
        if retry_failed:
            plan = incomplete(plan, to)
            if not plan.items:
                say("Everything is complete.")
                return
        queue = Download(plan, to, overwrite=overwrite)

        def show_state(done_bytes: int, total_bytes: int) -> None:
            steps.show(done_bytes / max(1, total_bytes), queue.state.text)

        report = queue.run(progress=show_state, stop=stop)
    skipped = f"; {count_text(report.n_skipped, 'file')} complete already" if report.n_skipped else ""
    say(f"{count_text(report.n_fetched, 'file')}, {size_text(report.fetched_bytes)}, in {report.folder}{skipped}")
    if report.n_missing_chunks:
        say(f"{count_text(report.n_missing_chunks, 'chunk')} not stored on the server: they hold the fill value")
    for path in report.other_sizes:
        tell(f"not as large as the portal lists it: {path}")


class _Place:
    """Where a basket is: a file, or the store of current baskets."""

    def __init__(self, text: str) -> None:
        from napari_cryoet.basket.basket import read_basket
        from napari_cryoet.basket.store import BasketStore

        self._path = Path(text) if text.lower().endswith(".toml") else None
        self._store = BasketStore()
        self.source = text if self._path is None else read_basket(self._path).source

    def read(self, portal: Portal) -> Basket:
        """The basket."""
        from napari_cryoet.basket.basket import read_basket, source_text

        return self._store.current(source_text(portal.source)) if self._path is None else read_basket(self._path)

    def change(self, portal: Portal, change: Callable[[Basket], Basket]) -> Basket:
        """Change the basket, and give the new one."""
        from napari_cryoet.basket.basket import read_basket, source_text, write_basket

        if self._path is None:
            return self._store.change(source_text(portal.source), change)
        after = change(read_basket(self._path))
        write_basket(after, self._path)
        return after


def _contents(basket: Basket, portal: Portal, stop: threading.Event) -> tuple[Any, Sequence[Remark]]:
    from napari_cryoet.basket.contents import RowsOfRuns, contents_of
    from napari_cryoet.basket.remarks import remarks_on

    rows = RowsOfRuns(portal).of(basket, stop=stop)
    return contents_of(basket, rows), remarks_on(basket, rows)


def _tell_contents(basket: Basket, portal: Portal, stop: threading.Event) -> None:
    contents, remarks = _contents(basket, portal, stop)
    say(contents.summary or "The basket is empty.")
    for remark in remarks:
        tell(f"! {remark.text}")


def _basket_plan(
    basket: Basket, portal: Portal, volume_format: str | None, level: int | None, stop: threading.Event
) -> Plan:
    from napari_cryoet.basket.contents import ask_basket_rows, plan_basket

    if basket.is_empty:
        raise CryoETError("The basket is empty.", hint="Say --run or --dataset, or put something into it: basket add.")
    choices = {"volume_format": volume_format, "level": level}
    basket = basket.with_choices(**{name: value for name, value in choices.items() if value is not None})
    return plan_basket(basket, ask_basket_rows(portal, basket, stop=stop), portal)


def _plan(
    portal: Portal,
    run: int | None,
    dataset: int | None,
    options: dict[str, Any],
    volume_format: Literal["zarr", "mrc"] | None,
    level: int | None,
    stop: threading.Event,
) -> Plan:
    from napari_cryoet.download import ask_rows, plan_download

    rows = ask_rows(portal, dataset_id=dataset, run_ids=[] if run is None else [run], stop=stop)
    options["what"] = options["what"] or (("everything",) if run is None else ("tomogram", "annotations"))
    return plan_download(rows, portal.source, volume_format=volume_format or "zarr", first_level=level or 0, **options)


def _download_region(source: str, run: int, box: Any, to: Path) -> None:
    from napari_cryoet.download import download_region

    def show_bytes(done_bytes: int, total_bytes: int) -> None:
        steps.show(done_bytes / total_bytes, f"{size_text(done_bytes)} of {size_text(total_bytes)}")

    with working() as (stop, steps), closing(open_source(source, steps, stop)) as portal:
        tomogram = portal.run_page(run, stop=stop).default_tomogram
        if tomogram is None:
            raise CryoETError("The run has no tomogram.")
        say(f"{download_region(portal, tomogram.id, box, to, progress=show_bytes, stop=stop)}")


def _write_scripts(plan: Plan, to: Path) -> None:
    from napari_cryoet.download.lists import FOLDER, write_lists

    if plan.is_local:
        raise CryoETError("The files are on this computer already.", hint="Copy them.")
    write_lists(plan, to)
    say(f"{to / FOLDER}")


def _say_plan(plan: Plan, to: Path) -> None:
    from napari_cryoet.download import check_place

    say_table((">size", "file"), ((size_text(item.size_bytes) or "?", item.path) for item in plan.items))
    unknown = f", and {count_text(n, 'item')} of unknown size" if (n := plan.n_unknown_sizes) else ""
    say(f"{count_text(len(plan.items) - n, 'item')}, {size_text(plan.total_bytes)}{unknown}")
    try:
        check_place(to, plan.total_bytes)
    except DownloadError as error:
        tell(f"! {error}")
