"""``napari-cryoet basket add|show|check|split|save|clear``, and ``download``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, cast

from typer import Argument, BadParameter, Exit, Option, Typer

from napari_cryoet.cli.console import Steps, say, say_table, tell, working
from napari_cryoet.cli.options import WHAT, Dataset, Json, Run, region, what
from napari_cryoet.cli.portals import open_source
from napari_cryoet.cli.searches import index_of, with_search
from napari_cryoet.exceptions import CryoETError, DownloadError
from napari_cryoet.wording import count_text, size_text

if TYPE_CHECKING:
    import threading

    from napari_cryoet.basket.basket import Basket, Kind
    from napari_cryoet.basket.contents import Contents
    from napari_cryoet.basket.remarks import Remark
    from napari_cryoet.discovery.search import Search
    from napari_cryoet.download import Plan
    from napari_cryoet.portal.portal import Portal

app = Typer(help="Collect what to download or to export: the current basket of a source, or a file.")
download_app = Typer()

_WHAT_HELP: Final = f"{', '.join(WHAT)}; several with commas. Of a dataset everything, of a run tomogram,annotations."
_KINDS: Final = ("annotations", "tomograms", "runs", "datasets")
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
        list[str] | None,
        Option("--what", metavar="KIND", help=f"What of the matches: {', '.join(_KINDS)}; repeatable."),
    ] = None,
    ids: Annotated[
        list[str] | None, Option("--id", metavar="ID", help="Also these, such as RN-506 or AN-9003; repeatable.")
    ] = None,
    volume_format: _Format = None,
    level: _Level = None,
    with_tomogram: _Tomogram = None,
    leave_out: Annotated[
        list[str] | None, Option("--without", metavar="PART", help="Of whole runs and datasets: frames, …; repeatable.")
    ] = None,
) -> None:
    """Add all that a search finds: annotations, and one tomogram of each run if the search asks for tomograms.

    \b
    napari-cryoet basket add live --object ribosome --ground-truth --processing denoised --spacing ..10
    napari-cryoet basket add ribosomes.toml --id AN-9003 --with-tomogram denoised
    """
    from napari_cryoet.basket.basket import PARTS, ids_in
    from napari_cryoet.basket.matches import add_matches
    from napari_cryoet.discovery.search import Search as AnySearch

    for words, known in ((wanted, _KINDS), (leave_out, PARTS)):
        if unknown := set(words or ()) - set(known):
            raise BadParameter(f"{min(unknown)}: say {', '.join(known)}")
    choices = _choices(
        volume_format=volume_format,
        level="all" if level == 0 else level,
        with_tomogram="" if with_tomogram == "none" else with_tomogram,
        leave_out=None if leave_out is None else tuple(leave_out),
    )
    by_kind = ids_in(" ".join(ids or ()))
    if ids and not by_kind:
        raise BadParameter(f"--id {ids[0]}: say for example RN-506")
    with _opened(basket) as place:
        index = index_of(place.portal, place.steps, place.stop) if search != AnySearch() or wanted else None

        def change(before: Basket) -> Basket:
            after = before.with_choices(**choices)
            for kind, found in by_kind.items():
                after = after.with_ids(kind, found)
            return add_matches(after, index, search, cast("list[Kind]", wanted or [])) if index else after

        contents, remarks = place.contents(place.change(change))
    say(contents.summary or "The basket is empty.")
    for remark in remarks:
        tell(f"! {remark.text}")


@app.command()
def show(basket: _Basket, as_json: Json = False) -> None:
    """Say what is in a basket, how large it is, and what to know of it.

    \b
    napari-cryoet basket show live
    napari-cryoet basket show ribosomes.toml --json
    """
    from napari_cryoet.formats.notes import plain_data

    with _opened(basket) as place:
        known = place.read()
        contents, remarks = place.contents(known)
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

    with _opened(basket) as place:
        known = place.read()
        today = ask_dates(place.portal, known, stop=place.stop)
        has_searches = bool(known.searches)  # else no index is needed
        matches = matching(index_of(place.portal, place.steps, place.stop)) if has_searches else lambda _search: ()
        age = age_of(known, today, matches)
        if update:
            place.change(lambda before: brought_up_to_date(before, age, today))
    for words, found in (("changed", age.changed), ("withdrawn", age.withdrawn), ("new", age.new)):
        for kind, ids in found.items():
            say(f"{words} {kind}: {', '.join(map(str, ids))}")
    say(age.text or "Nothing changed.")
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
    with _opened(basket) as place:
        rows = RowsOfRuns(place.portal).of(place.read(), stop=place.stop)
        found = place.change(lambda before: split_basket(before, rows, numbers, seed=seed)).split
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
    with _opened(source) as place:
        write_basket(place.read(), file, overwrite=overwrite)
    say(f"{file}")


@app.command()
def clear(basket: _Basket) -> None:
    """Empty a basket.

    napari-cryoet basket clear live
    """
    from napari_cryoet.basket.basket import Basket

    with _opened(basket) as place:
        place.change(Basket.emptied)


@download_app.command()
def download(
    basket: Annotated[str, Argument(metavar="BASKET|SOURCE", help=_SOURCE_HELP)],
    to: Annotated[Path, Option(metavar="FOLDER", help="Where to. It becomes a pack: a SOURCE.")],
    run: Run = None,
    dataset: Dataset = None,
    wanted: Annotated[Any, Option("--what", parser=what, metavar="WHAT", help=_WHAT_HELP)] = None,
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
    with _opened(basket) as place:
        if box is not None and run is not None:
            _download_region(place, run, box, to)
            return
        chosen = _chosen(place, run, dataset, wanted, objects or ())
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


class _Place(NamedTuple):
    """Where a basket is, a file or the store of current baskets, and the open portal of its source."""

    path: Path | None
    portal: Portal
    steps: Steps
    stop: threading.Event

    def read(self) -> Basket:
        """The basket."""
        from napari_cryoet.basket.basket import read_basket, source_text
        from napari_cryoet.basket.store import BasketStore

        return BasketStore().current(source_text(self.portal.source)) if self.path is None else read_basket(self.path)

    def change(self, change: Callable[[Basket], Basket]) -> Basket:
        """Change the basket, and give the new one."""
        from napari_cryoet.basket.basket import source_text, write_basket
        from napari_cryoet.basket.store import BasketStore

        if self.path is None:
            return BasketStore().change(source_text(self.portal.source), change)
        after = change(self.read())
        write_basket(after, self.path)
        return after

    def contents(self, basket: Basket) -> tuple[Contents, Sequence[Remark]]:
        """What is in it, and what to know of it."""
        from napari_cryoet.basket.contents import RowsOfRuns, choose, contents_of
        from napari_cryoet.basket.remarks import remarks_on

        rows = RowsOfRuns(self.portal).of(basket, stop=self.stop)
        chosen = choose(basket, rows)
        contents = contents_of(chosen)
        return contents, remarks_on(chosen, contents)


@contextmanager
def _opened(text: str) -> Iterator[_Place]:
    from napari_cryoet.basket.basket import read_basket

    path = Path(text) if text.lower().endswith(".toml") else None
    source = text if path is None else read_basket(path).source
    with working() as (stop, steps), closing(open_source(source, steps, stop)) as portal:
        yield _Place(path, portal, steps, stop)


def _choices(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _chosen(
    place: _Place, run: int | None, dataset: int | None, wanted: Sequence[str] | None, objects: Sequence[str]
) -> Basket:
    """The basket; or a run or a dataset as one: all of it, or its default tomograms, and annotations in all shapes."""
    from napari_cryoet.appearance.colors import object_key
    from napari_cryoet.basket.basket import PARTS, Basket, Choices, source_text
    from napari_cryoet.basket.contents import default_tomograms
    from napari_cryoet.download import ask_rows

    if run is None and dataset is None:
        return place.read()
    wanted = wanted or (("everything",) if run is None and not objects else ("tomogram", "annotations"))
    names, run_ids = {"datasets", "tomograms", "annotations"}, [] if run is None else [run]
    rows = ask_rows(place.portal, dataset_id=dataset, run_ids=run_ids, names=names, stop=place.stop)
    name, source = f"DS-{dataset}" if run is None else f"RN-{run}", source_text(place.portal.source)
    is_metadata_alone = set(wanted) == {"metadata"}
    others = tuple(part for part in PARTS if part != "metadata")
    choices = Choices(
        shapes="all",
        metadata="metadata" in wanted or "everything" in wanted,
        leave_out=others if is_metadata_alone else (),
    )
    basket = Basket(name=name, source=source, choices=choices)
    if "everything" in wanted or is_metadata_alone:
        kind: Kind = "datasets" if run is None else "runs"
        basket = basket.with_ids(kind, [row["id"] for row in rows[kind]])
    if "tomogram" in wanted:
        basket = basket.with_ids("tomograms", [row["id"] for row in default_tomograms(rows)])
    if "annotations" in wanted:
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


def _download_region(place: _Place, run: int, box: Any, to: Path) -> None:
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
