"""``napari-cryoet basket add|show|check|split|save|clear``, and ``download``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from typer import Argument, BadParameter, Exit, Option, Typer

from napari_cryoet.cli.console import say, say_json, say_table, tell
from napari_cryoet.cli.options import Dataset, Json, Run, one_of, region
from napari_cryoet.cli.portals import Opened, opened
from napari_cryoet.cli.searches import with_search
from napari_cryoet.exceptions import CryoETError, DownloadError
from napari_cryoet.wording import count_text, size_text

if TYPE_CHECKING:
    from napari_cryoet.basket.basket import Basket
    from napari_cryoet.basket.contents import Contents
    from napari_cryoet.basket.remarks import Remark
    from napari_cryoet.discovery.search import Search
    from napari_cryoet.download import Plan

app = Typer(help="Collect what to download or to export: the current basket of a source, or a file.")
download_app = Typer()

_KINDS: Final = ("annotations", "tomograms", "runs", "datasets")
_PARTS: Final = ("tomograms", "annotations", "tilt series", "frames", "metadata")
_WHAT: Final = ("everything", "tomogram", "annotations", "metadata")
_WHAT_HELP: Final = f"{', '.join(_WHAT)}; repeatable. Of a dataset everything, of a run tomogram and annotations."
_BASKET_HELP: Final = "A basket's file; or live, demo, an address or a pack, for the current basket of it."
_SOURCE_HELP: Final = f"{_BASKET_HELP} With --run or --dataset, a source."
_REGION_HELP: Final = "Of --run's tomogram only these voxels, such as 100:356,0:256,0:256."

_Basket = Annotated[str, Argument(metavar="BASKET|SOURCE", help=_BASKET_HELP)]
_Format = Annotated[Literal["zarr", "mrc"] | None, Option("--format", help="Of tomograms and masks.")]
_Level = Annotated[
    int | None, Option("--level", min=0, max=9, metavar="N", help="Only levels from N on of zarr tomograms; 0 is all.")
]
_Tomogram = Annotated[
    str | None, Option("--with-tomogram", metavar="WORD", help="Of each run: denoised, raw, …, default, or none.")
]


@app.command()
@with_search
def add(
    basket: _Basket,
    search: Search,
    wanted: Annotated[
        list[Any] | None,
        Option("--what", parser=one_of(*_KINDS), metavar="KIND", help=f"Of the matches: {', '.join(_KINDS)}."),
    ] = None,
    ids: Annotated[
        list[str] | None, Option("--id", metavar="ID", help="Also these, such as RN-506 or AN-9003; repeatable.")
    ] = None,
    volume_format: _Format = None,
    level: _Level = None,
    with_tomogram: _Tomogram = None,
    leave_out: Annotated[
        list[Any] | None,
        Option("--without", parser=one_of(*_PARTS), metavar="PART", help="Of whole runs and datasets: frames, …"),
    ] = None,
) -> None:
    """Add all that a search finds: annotations, and one tomogram of each run if the search asks for tomograms.

    \b
    napari-cryoet basket add live --object ribosome --ground-truth --processing denoised --spacing ..10
    napari-cryoet basket add ribosomes.toml --id AN-9003 --with-tomogram denoised
    """
    from napari_cryoet.basket.basket import ids_in
    from napari_cryoet.basket.matches import add_matches
    from napari_cryoet.discovery.search import Search

    choices = _choices(
        volume_format=volume_format,
        level=level,
        with_tomogram="" if with_tomogram == "none" else with_tomogram,
        leave_out=leave_out and tuple(leave_out),
    )
    by_kind = ids_in(" ".join(ids or ()))
    if ids and not by_kind:
        raise BadParameter(f"--id {ids[0]}: say for example RN-506")
    with opened(basket) as place:
        index = place.read_index() if search != Search() or wanted else None

        def change(before: Basket) -> Basket:
            after = before.with_choices(**choices)
            for kind, found in by_kind.items():
                after = after.with_ids(kind, found)
            return add_matches(after, index, search, wanted or ()) if index else after

        contents, remarks = _contents(place, place.change_basket(change))
    _say_contents(contents, remarks)


@app.command()
def show(basket: _Basket, as_json: Json = False) -> None:
    """Say what is in a basket, how large it is, and what to know of it.

    \b
    napari-cryoet basket show live
    napari-cryoet basket show ribosomes.toml --json
    """
    with opened(basket) as place:
        known = place.read_basket()
        contents, remarks = _contents(place, known)
    if as_json:
        say_json({"basket": known, "contents": contents, "remarks": remarks})
        return
    say_table(
        ("what", ">files", ">size"),
        [(name, f"{part.n_files:,}", size_text(part.size_bytes)) for name, part in contents.parts.items()],
    )
    _say_split(known)
    _say_contents(contents, remarks)


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

    with opened(basket) as place:
        known = place.read_basket()
        today = ask_dates(place.portal, known, stop=place.stop)
        matches = matching(place.read_index()) if known.searches else lambda _search: ()
        age = age_of(known, today, matches)
        if update:
            place.change_basket(lambda before: brought_up_to_date(before, age, today))
    for words, found in (("changed", age.changed), ("withdrawn", age.withdrawn), ("new", age.new)):
        for kind, ids in found.items():
            say(f"{words} {kind}: {', '.join(map(str, ids))}")
    say(age.text or "Nothing changed.")
    if age.text and not update:
        raise Exit(1)


def _shares(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


@app.command()
def split(
    basket: _Basket,
    shares: Annotated[Any, Argument(parser=_shares, metavar="TRAIN,VALIDATION,TEST", help="In percent.")] = "80,10,10",
    seed: Annotated[int, Option(help="Another one gives another split.")] = 0,
) -> None:
    """Split the runs of a basket for training, validation and test, each object in all of them; recorded in it.

    napari-cryoet basket split ribosomes.toml 80,10,10 --seed 1
    """
    from napari_cryoet.basket.contents import RowsOfRuns
    from napari_cryoet.basket.split import split_basket

    with opened(basket) as place:
        rows = RowsOfRuns(place.portal).of(place.read_basket(), stop=place.stop)
        after = place.change_basket(lambda before: split_basket(before, rows, shares, seed=seed))
    _say_split(after)


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
    with opened(source) as place:
        write_basket(place.read_basket(), file, overwrite=overwrite)
    say(f"{file}")


@app.command()
def clear(basket: _Basket) -> None:
    """Empty a basket.

    napari-cryoet basket clear live
    """
    from napari_cryoet.basket.basket import Basket

    with opened(basket) as place:
        place.change_basket(Basket.emptied)


@download_app.command()
def download(
    basket: Annotated[str, Argument(metavar="BASKET|SOURCE", help=_SOURCE_HELP)],
    to: Annotated[Path, Option(metavar="FOLDER", help="Where to. It becomes a pack: a SOURCE.")],
    run: Run = None,
    dataset: Dataset = None,
    wanted: Annotated[
        list[Any] | None, Option("--what", parser=one_of(*_WHAT), metavar="WHAT", help=_WHAT_HELP)
    ] = None,
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
    from napari_cryoet.basket.contents import ask_basket_rows, plan_basket
    from napari_cryoet.download import Download, incomplete

    if run is not None and dataset is not None:
        raise BadParameter("say --run or --dataset")
    if run is None and dataset is None and (wanted or objects):
        raise BadParameter("--what and --object go with --run or --dataset")
    if box is not None and run is None:
        raise BadParameter("--region goes with --run")
    choices = _choices(volume_format=volume_format, level=level)
    with opened(basket) as place:
        if box is not None and run is not None:
            _download_region(place, run, box, to)
            return
        is_current = run is None and dataset is None
        chosen = place.read_basket() if is_current else _basket_of(place, run, dataset, wanted, objects or ())
        rows = ask_basket_rows(place.portal, chosen, stop=place.stop)
        plan = plan_basket(chosen.with_choices(**choices), rows, place.portal)
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
            place.steps.show(done_bytes / max(1, total_bytes), queue.state.text)

        report = queue.run(progress=show_state, stop=place.stop)
    skipped = f"; {count_text(report.n_skipped, 'file')} complete already" if report.n_skipped else ""
    say(f"{count_text(report.n_fetched, 'file')}, {size_text(report.fetched_bytes)}, in {report.folder}{skipped}")
    if report.n_missing_chunks:
        say(f"{count_text(report.n_missing_chunks, 'chunk')} not stored on the server: they hold the fill value")
    for path in report.other_sizes:
        tell(f"not as large as the portal lists it: {path}")


def _contents(place: Opened, basket: Basket) -> tuple[Contents, Sequence[Remark]]:
    """What is in a basket, and what to know of it."""
    from napari_cryoet.basket.contents import RowsOfRuns, choose, contents_of
    from napari_cryoet.basket.remarks import remarks_on

    chosen = choose(basket, RowsOfRuns(place.portal).of(basket, stop=place.stop))
    contents = contents_of(chosen)
    return contents, remarks_on(chosen, contents)


def _say_contents(contents: Contents, remarks: Sequence[Remark]) -> None:
    say(contents.summary or "The basket is empty.")
    for remark in remarks:
        say(f"! {remark.text}")


def _say_split(basket: Basket) -> None:
    if split := basket.split:
        counts = ", ".join(f"{name} {len(getattr(split, name))}" for name in ("train", "validation", "test"))
        say(f"split with seed {split.seed}: {counts}")


def _choices(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _basket_of(
    place: Opened, run: int | None, dataset: int | None, wanted: Sequence[str] | None, objects: Sequence[str]
) -> Basket:
    """A run or a dataset as a basket: all of it, or its default tomograms, and annotations in all shapes."""
    from napari_cryoet.appearance.colors import object_key
    from napari_cryoet.basket.basket import Basket, Choices, source_text
    from napari_cryoet.basket.contents import default_tomograms
    from napari_cryoet.download import ask_rows

    what = {*(wanted or (["everything"] if run is None and not objects else ["tomogram", "annotations"]))}
    names, run_ids = {"datasets", "tomograms", "annotations"}, [] if run is None else [run]
    rows = ask_rows(place.portal, dataset_id=dataset, run_ids=run_ids, names=names, stop=place.stop)
    is_metadata = what == {"metadata"}
    choices = Choices(
        shapes="all",
        metadata=bool(what & {"metadata", "everything"}),
        leave_out=tuple(part for part in _PARTS if part != "metadata") if is_metadata else (),
    )
    name = f"DS-{dataset}" if run is None else f"RN-{run}"
    basket = Basket(name=name, source=source_text(place.portal.source), choices=choices)
    if is_metadata or "everything" in what:
        basket = basket.with_ids("runs", run_ids).with_ids("datasets", [] if dataset is None else [dataset])
    if "tomogram" in what:
        basket = basket.with_ids("tomograms", [row["id"] for row in default_tomograms(rows)])
    if "annotations" in what:
        keys = {object_key(None, name) for name in objects}
        found = [
            row["id"]
            for row in rows["annotations"]
            if not keys or keys & {object_key(None, row["objectName"]), object_key(None, row["objectId"])}
        ]
        if objects and not found:
            raise DownloadError(f"There is no annotation of {', '.join(objects)}.")
        basket = basket.with_ids("annotations", found)
    return basket


def _download_region(place: Opened, run: int, box: Any, to: Path) -> None:
    from napari_cryoet.download import download_region

    def show_bytes(done_bytes: int, total_bytes: int) -> None:
        place.steps.show(done_bytes / total_bytes, f"{size_text(done_bytes)} of {size_text(total_bytes)}")

    tomogram = place.portal.run_page(run, stop=place.stop).default_tomogram
    if tomogram is None:
        raise CryoETError("The run has no tomogram.")
    say(f"{download_region(place.portal, tomogram.id, box, to, progress=show_bytes, stop=place.stop)}")


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
