"""``napari-cryoet basket add|show|check|lock|split|save|clear``, ``download``, ``verify`` and ``export``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from typer import Argument, BadParameter, Exit, Option, Typer

import napari_cryoet
from napari_cryoet.cli.console import (
    CHANGED,
    say,
    say_json,
    say_table,
    tell,
    tell_differences,
    working,
)
from napari_cryoet.cli.options import (
    DatasetOption,
    JsonOption,
    RefreshOption,
    RunOption,
    one_of,
    positive,
    region,
)
from napari_cryoet.cli.portals import CommandSession, open_session
from napari_cryoet.cli.searches import matches_of, with_search
from napari_cryoet.exceptions import CryoETError, DownloadError
from napari_cryoet.wording import count_text, names_text, size_text

if TYPE_CHECKING:
    from napari_cryoet import Search
    from napari_cryoet.basket.contents import Chosen
    from napari_cryoet.download import DownloadReport, Plan

app = Typer(
    help="Collect data to download or export, in the current basket of a source or in a file."
)
download_app = Typer()

_KINDS: Final = ("annotations", "tomograms", "runs", "datasets")
_PARTS: Final = ("tomograms", "annotations", "tilt series", "frames", "metadata")
_WHAT: Final = ("everything", "tomogram", "annotations", "metadata")
_BASKET_HELP: Final = "A basket file, or a source (live, demo, URL or pack) for its current basket."

_INCOMPLETE: Final = 3  # the exit code if something was left out

_Basket = Annotated[str, Argument(metavar="BASKET|SOURCE", help=_BASKET_HELP)]
_Format = Annotated[
    Literal["zarr", "mrc"] | None, Option("--format", help="File format of tomograms and masks.")
]
_Level = Annotated[
    int | None,
    Option(
        "--level", min=0, max=9, metavar="N", help="Skip the N finest levels of zarr tomograms."
    ),
]
_Tomogram = Annotated[
    str | None,
    Option(
        "--with-tomogram",
        metavar="WORD",
        help="Tomogram to add for each run: denoised, raw, …, default or none.",
    ),
]


@app.command()
@with_search
def add(
    basket: _Basket,
    search: Search,
    source: Annotated[
        str, Option(metavar="SOURCE", help="The source of a basket file that doesn't exist yet.")
    ] = "live",
    wanted: Annotated[
        list[Any] | None,
        Option(
            "--what",
            parser=one_of(*_KINDS),
            metavar="KIND",
            help=f"What to add of the matches: {', '.join(_KINDS)}.",
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        Option("--id", metavar="ID", help="Add this too, such as RN-506 or AN-9003; repeatable."),
    ] = None,
    volume_format: _Format = None,
    level: _Level = None,
    with_tomogram: _Tomogram = None,
    leave_out: Annotated[
        list[Any] | None,
        Option(
            "--without",
            parser=one_of(*_PARTS),
            metavar="PART",
            help="Part of whole runs and datasets to leave out: frames, …",
        ),
    ] = None,
) -> None:
    """Add all matches of a search: annotations, and one tomogram of each run if the search has tomogram options.

    Creates a basket file that doesn't exist.

    \b
    napari-cryoet basket add live --object ribosome --ground-truth --processing denoised --spacing ..10
    napari-cryoet basket add ribosomes.toml --id AN-9003 --with-tomogram denoised
    """
    from napari_cryoet.basket.aging import with_dates
    from napari_cryoet.basket.basket import ids_in

    choices = _choices(
        volume_format=volume_format,
        level=level,
        with_tomogram="" if with_tomogram == "none" else with_tomogram,
        leave_out=leave_out and tuple(leave_out),
    )
    by_kind = ids_in(" ".join(ids or ()))
    if ids and not by_kind:
        raise BadParameter(f"--id {ids[0]}: use an id such as RN-506")
    with open_session(basket, source_of_new=source) as session:
        index = session.read_index() if search != napari_cryoet.Search() or wanted else None

        def change(before: napari_cryoet.Basket) -> napari_cryoet.Basket:
            after = before.with_choices(**choices)
            for kind, kind_ids in by_kind.items():
                after = after.with_ids(kind, kind_ids)
            return after.add(matches_of(index, search), *(wanted or ())) if index else after

        chosen = _choose(session, session.change_basket(change))
        session.change_basket(lambda before: with_dates(before, chosen.known))
    _say_contents(chosen)


@app.command()
def show(basket: _Basket, as_json: JsonOption = False) -> None:
    """Show the runs, files and size of a basket, and warnings about it.

    \b
    napari-cryoet basket show live
    napari-cryoet basket show ribosomes.toml --json
    """
    from napari_cryoet.pages.basket import outline_basket, remarks_on

    with open_session(basket) as session:
        chosen = _choose(session, session.read_basket())
    contents = chosen.contents
    if as_json:
        remarks = remarks_on(chosen)
        say_json({"basket": chosen.basket, "contents": contents, "remarks": remarks})
        return
    say_table(
        ("run", "contents", ">size"),
        [
            (
                entry.title,
                names_text([part.title for part in entry.below]) or entry.detail,
                size_text(entry.size_bytes),
            )
            for entry in outline_basket(chosen)
        ],
    )
    say("")
    say_table(
        ("what", ">files", ">size"),
        [
            (name, f"{part.n_files:,}", size_text(part.size_bytes))
            for name, part in contents.parts.items()
        ],
    )
    _say_split(chosen.basket)
    _say_contents(chosen)


@app.command()
def check(
    basket: _Basket,
    update: Annotated[
        bool, Option("--update", help="Remove what was withdrawn, and add new matches.")
    ] = False,
    refresh: RefreshOption = False,
) -> None:
    """List what changed, was withdrawn, lost ground truth or newly matches since the basket was filled.

    Exits with 4 if anything did. A locked basket is compared file by file.

    \b
    napari-cryoet basket check ribosomes.toml
    napari-cryoet basket check live --update
    """
    from napari_cryoet.basket.aging import age_of, brought_up_to_date
    from napari_cryoet.download.plan import plan_basket

    with open_session(basket) as session:
        chosen = _choose(session, session.read_basket())
        index = session.read_index(refresh=refresh) if chosen.basket.searches else None
        age = age_of(chosen.basket, chosen.known, index)
        lines = list(age.lines)
        if chosen.basket.lock is not None:
            lines += plan_basket(chosen.basket, chosen.known, session.portal).differences
        if update:
            after = session.change_basket(
                lambda before: brought_up_to_date(before, age, chosen.known, index)
            )
            if after.lock is not None:
                session.change_basket(
                    lambda before: napari_cryoet.lock_basket(
                        before, session.portal, task=session.task
                    )
                )
    for line in lines:
        say(line)
    say(
        age.text
        or (count_text(len(lines), "file differs", "files differ") if lines else "Nothing changed.")
    )
    if lines and not update:
        raise Exit(CHANGED)


@app.command()
def lock(
    basket: _Basket,
    folder: Annotated[
        Path | None,
        Option(metavar="FOLDER", help="A download of the basket, whose SHA-256 are recorded too."),
    ] = None,
) -> None:
    """Record the files of a basket, with sizes and dates, so that a later download names what differs.

    \b
    napari-cryoet basket lock ribosomes.toml
    napari-cryoet basket lock ribosomes.toml --folder data
    """
    with open_session(basket) as session:
        after = session.change_basket(
            lambda before: napari_cryoet.lock_basket(
                before, session.portal, folder, task=session.task
            )
        )
    if after.lock is not None:
        n_files = len(after.lock.files)
        n_sums = len(after.lock.sha256)
        say(f"locked {count_text(n_files, 'file')}, {n_sums:,} with a checksum")


def _shares(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


@app.command()
def split(
    basket: _Basket,
    shares: Annotated[
        Any, Argument(parser=_shares, metavar="TRAIN,VALIDATION,TEST", help="Percentages.")
    ] = "80,10,10",
    seed: Annotated[
        int | None,
        Option(
            help="Random seed; by default that of the basket's split, or the one that balances objects best."
        ),
    ] = None,
    by_dataset: Annotated[
        bool, Option("--by-dataset", help="Put all runs of a dataset in the same part.")
    ] = False,
) -> None:
    """Split the runs of a basket for training, validation and test. Saved in the basket.

    A run's part depends on the seed and its name only: runs that you add later move no other run.

    \b
    napari-cryoet basket split ribosomes.toml 80,10,10 --seed 1
    """
    with open_session(basket) as session:
        runs = _choose(session, session.read_basket()).known
        after = session.change_basket(
            lambda before: napari_cryoet.split_basket(
                before, runs, shares, seed=seed, by_dataset=by_dataset
            )
        )
    _say_split(after)


@app.command()
def save(
    source: Annotated[str, Argument(metavar="SOURCE", help="live, demo, a URL or a pack.")],
    file: Annotated[Path, Argument(metavar="FILE", help="The .toml file to write.")],
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Save the current basket of a source as a file to share or edit.

    napari-cryoet basket save live ribosomes.toml
    """
    if file.suffix.lower() != ".toml":
        raise BadParameter("the file has to end in .toml")
    with open_session(source) as session:
        napari_cryoet.write_basket(session.read_basket(), file, overwrite=overwrite)
    say(f"{file}")


@app.command()
def clear(basket: _Basket) -> None:
    """Empty a basket.

    napari-cryoet basket clear live
    """
    with open_session(basket) as session:
        session.change_basket(napari_cryoet.Basket.emptied)


@download_app.command()
def download(
    basket: Annotated[
        str,
        Argument(
            metavar="BASKET|SOURCE", help=f"{_BASKET_HELP} With --run or --dataset, a source."
        ),
    ],
    to: Annotated[
        Path,
        Option(
            metavar="FOLDER", help="The folder to write. It is a pack, which can be used as SOURCE."
        ),
    ],
    run: RunOption = None,
    dataset: DatasetOption = None,
    wanted: Annotated[
        list[Any] | None,
        Option(
            "--what",
            parser=one_of(*_WHAT),
            metavar="WHAT",
            help=f"{', '.join(_WHAT)}; repeatable. "
            "Default: everything of a dataset, tomogram and annotations of a run.",
        ),
    ] = None,
    objects: Annotated[
        list[str] | None,
        Option(
            "--object",
            metavar="NAME",
            help="Only annotations of this object (name or id); repeatable.",
        ),
    ] = None,
    volume_format: _Format = None,
    level: _Level = None,
    box: Annotated[
        Any,
        Option(
            "--region",
            parser=region,
            metavar="Z:Z,Y:Y,X:X",
            help="Only these voxels of --run's tomogram, such as 100:356,0:256,0:256.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="List what would be downloaded, with sizes.")
    ] = False,
    scripts: Annotated[
        bool, Option("--scripts", help="Only write download scripts for other tools: aws, curl, …")
    ] = False,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Download only what is incomplete in FOLDER.")
    ] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace existing files that differ.")
    ] = False,
) -> None:
    """Download a basket, a run or a dataset. Run the command again to resume.

    \b
    napari-cryoet download live --to data                       # the current basket
    napari-cryoet download ribosomes.toml --to data --dry-run   # list files and sizes
    napari-cryoet download live --run 506 --to runs --object ribosome
    napari-cryoet download live --run 506 --to parts --region 100:356,0:256,0:256
    napari-cryoet download live --dataset 10000 --to data       # all files of a dataset
    """
    from napari_cryoet.basket.contents import ask_basket_runs
    from napari_cryoet.download import Download, incomplete, plan_basket

    if run is not None and dataset is not None:
        raise BadParameter("use either --run or --dataset")
    if run is None and dataset is None and (wanted or objects):
        raise BadParameter("--what and --object need --run or --dataset")
    if box is not None and run is None:
        raise BadParameter("--region needs --run")
    choices = _choices(volume_format=volume_format, level=level)
    with open_session(basket) as session:
        if box is not None and run is not None:
            _download_region(session, run, box, to)
            return
        is_current = run is None and dataset is None
        chosen = (
            session.read_basket()
            if is_current
            else _basket_of(session, run, dataset, wanted, objects or ())
        )
        runs = ask_basket_runs(session.portal, chosen, task=session.task)
        plan = plan_basket(chosen.with_choices(**choices), runs, session.portal)
        differences = plan.differences
        if retry_failed:
            plan = incomplete(plan, to)
        if dry_run:
            _say_plan(plan, to)
        elif scripts:
            _write_scripts(plan, to)
        elif not plan.items:
            say("Everything is complete.")
        else:
            report = Download(plan, to, overwrite=overwrite).run(session.task)
            differences = report.differences
            _say_report(report)
    tell_differences(differences)
    if differences:
        raise Exit(CHANGED)


@download_app.command()
def verify(
    folder: Annotated[Path, Argument(metavar="FOLDER", help="The folder of a download.")],
) -> None:
    """Compare the files of a download with its checksums, without a network; exits with 1 if any differs.

    napari-cryoet verify data
    """
    from napari_cryoet.download.run import verify_folder

    with working() as task:
        n_files, wrong = verify_folder(folder, task=task)
    if wrong:
        raise DownloadError(
            f"{count_text(len(wrong), 'file')} in {folder} can't be trusted.",
            hint="Download again to repair them.",
            files=wrong,
        )
    say(f"{count_text(n_files, 'file is', 'files are')} as downloaded")


def _say_report(report: DownloadReport) -> None:
    skipped = (
        f"; {count_text(report.n_skipped, 'file')} already complete" if report.n_skipped else ""
    )
    say(
        f"{count_text(report.n_fetched, 'file')}, {size_text(report.fetched_bytes)}, in {report.folder}{skipped}"
    )
    if report.n_missing_chunks:
        say(
            f"{count_text(report.n_missing_chunks, 'chunk')} not stored on the server, filled with the fill value"
        )
    for path in report.other_sizes:
        tell(f"size differs from the portal's: {path}")


def _choose(session: CommandSession, basket: napari_cryoet.Basket) -> Chosen:
    """The records of a basket, looked up in its portal."""
    from napari_cryoet.basket.contents import KnownRuns, choose

    return choose(basket, KnownRuns(session.portal).of(basket, task=session.task))


def _say_contents(chosen: Chosen) -> None:
    from napari_cryoet.pages.basket import remarks_on

    say(chosen.contents.summary or "The basket is empty.")
    for remark in remarks_on(chosen):
        say(f"! {remark.text}")


def _say_split(basket: napari_cryoet.Basket) -> None:
    if split := basket.split:
        counts = ", ".join(
            f"{name} {len(getattr(split, name))}" for name in ("train", "validation", "test")
        )
        say(f"split with seed {split.seed}: {counts}")


def _choices(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _basket_of(
    session: CommandSession,
    run: int | None,
    dataset: int | None,
    wanted: Sequence[str] | None,
    objects: Sequence[str],
) -> napari_cryoet.Basket:
    """A basket with a run or a dataset: all of it, or its default tomograms and annotations in all shapes."""
    from napari_cryoet.basket.basket import Choices
    from napari_cryoet.portal.portal import ask_rows
    from napari_cryoet.tables.database import Database

    if not wanted:
        is_everything = run is None and not objects
        wanted = ["everything"] if is_everything else ["tomogram", "annotations"]
    what = {*wanted}
    names = {"datasets", "tomograms", "annotations"}
    run_ids = [] if run is None else [run]
    rows = ask_rows(
        session.portal, dataset_id=dataset, run_ids=run_ids, names=names, task=session.task
    )
    index = napari_cryoet.Index(Database(rows), session.portal.source, datetime.now(UTC))
    is_metadata = what == {"metadata"}
    choices = Choices(
        shapes="all",
        metadata=bool(what & {"metadata", "everything"}),
        leave_out=tuple(part for part in _PARTS if part != "metadata") if is_metadata else (),
    )
    name = f"DS-{dataset}" if run is None else f"RN-{run}"
    basket = napari_cryoet.Basket(name=name, source=session.portal.source.name, choices=choices)
    if is_metadata or "everything" in what:
        basket = basket.with_ids("runs", run_ids).with_ids(
            "datasets", [] if dataset is None else [dataset]
        )
    if "tomogram" in what:
        basket = basket.with_ids("tomograms", index.find().ids("tomograms"))
    if "annotations" in what:
        annotation_ids = index.find(objects=tuple(objects)).ids("annotations")
        if objects and not annotation_ids:
            raise DownloadError(f"There is no annotation of {', '.join(objects)}.")
        basket = basket.with_ids("annotations", annotation_ids)
    return basket


def _download_region(session: CommandSession, run: int, box: Any, to: Path) -> None:
    from napari_cryoet.download import download_region

    tomogram = session.portal.run_page(run, task=session.task).default_tomogram
    if tomogram is None:
        raise CryoETError("The run has no tomogram.")
    path = download_region(session.portal, tomogram.id, box, to, task=session.task)
    say(f"{path}")


def _write_scripts(plan: Plan, to: Path) -> None:
    from napari_cryoet.download.lists import FOLDER, write_lists

    if plan.is_local:
        raise CryoETError("The files are on this computer already.", hint="Copy them.")
    write_lists(plan, to)
    say(f"{to / FOLDER}")


def _say_plan(plan: Plan, to: Path) -> None:
    from napari_cryoet.download import check_place

    say_table(
        (">size", "file"), ((size_text(item.size_bytes) or "?", item.path) for item in plan.items)
    )
    unknown = (
        f", and {count_text(n, 'item')} of unknown size" if (n := plan.n_unknown_sizes) else ""
    )
    say(f"{count_text(len(plan.items) - n, 'item')}, {size_text(plan.total_bytes)}{unknown}")
    try:
        check_place(to, plan.total_bytes)
    except DownloadError as error:
        tell(f"! {error}")


# exports


@download_app.command()
@with_search
def export(
    kind: Annotated[
        Literal["copick", "relion5", "table", "croissant", "crops"], Argument(help="The format.")
    ],
    basket: Annotated[
        str,
        Argument(
            metavar="BASKET|SOURCE",
            help="A basket file, or a source (live, demo, URL or pack) "
            "for its matches or current basket.",
        ),
    ],
    to: Annotated[
        Path,
        Argument(
            metavar="TO",
            help="The folder to write; for table a .csv or .parquet file, for crops a .zarr.",
        ),
    ],
    search: Search,
    object_names: Annotated[
        list[str] | None,
        Option(
            "--as",
            metavar="NAME",
            help="Call all kinds of an object so, such as ribosome; repeatable.",
        ),
    ] = None,
    tomogram_type: Annotated[
        str, Option(metavar="NAME", help="One name for the tomograms of all runs.")
    ] = "",
    voxel_size: Annotated[
        float | None,
        Option(
            parser=positive,
            metavar="Å",
            help="Crops: resample them to it. copick: use levels within 0.5 % of it, called so.",
        ),
    ] = None,
    size: Annotated[int, Option(min=1, max=512, metavar="VOXELS", help="Width of a crop.")] = 32,
    background: Annotated[
        float,
        Option(
            min=0, metavar="RATIO", help="Crops of background for each of a run's commonest object."
        ),
    ] = 1.0,
    distance: Annotated[
        float | None,
        Option(parser=positive, metavar="Å", help="Distance of background crops from all picks."),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Random seed of the background.")] = 0,
    scheduler: Annotated[
        str,
        Option(
            "--dask-scheduler", metavar="ADDRESS", help="Cut crops on a dask.distributed cluster."
        ),
    ] = "",
    allow_empty: Annotated[
        bool, Option("--allow-empty", help="Export even if a part of the split is empty.")
    ] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing export.")] = False,
) -> None:
    """Export annotated runs for training and processing. Run the command again to resume.

    copick: a project with tomograms, picks and masks. relion5: STAR files of tomograms and particles. table: all picks
    with units. croissant: a description with URLs and splits, without a download. crops: a cube around each particle
    and of background, in one Zarr with labels, masks and splits. A download's folder as SOURCE exports what it has.
    Exits with 3 if anything was left out, which is listed.

    \b
    napari-cryoet export copick ribosomes.toml project --as ribosome --voxel-size 10
    napari-cryoet export copick data project              # a download, with its split
    napari-cryoet export relion5 live relion --object ribosome --ground-truth --spacing ..10
    napari-cryoet export crops ribosomes.toml crops.zarr --size 48 --voxel-size 10 --dask-scheduler tcp://host:8786
    """
    options: dict[str, Any] = {}
    if kind in {"copick", "crops"}:
        options["spacing_angstrom"] = voxel_size
    if kind == "crops":
        options |= {"size": size, "background": background, "distance_angstrom": distance}
        options |= {"seed": seed, "scheduler": scheduler}
    with open_session(basket) as session:
        chosen = _chosen_basket(session, search)
        selection = napari_cryoet.select_basket(
            chosen,
            session.portal,
            object_names=object_names or (),
            tomogram_type=tomogram_type,
            allow_empty=allow_empty,
            task=session.task,
        )
        tell_differences(selection.differences)
        report = napari_cryoet.export(
            selection, kind, to, overwrite=overwrite, task=session.task, **options
        )
    for remark in report.remarks:
        tell(remark)
    for reason in report.left_out:
        tell(f"left out: {reason}")
    say(f"{report.path}: {report.counts_text}")
    if selection.differences:
        raise Exit(CHANGED)
    if report.left_out:
        raise Exit(_INCOMPLETE)


def _chosen_basket(session: CommandSession, search: Search) -> napari_cryoet.Basket:
    """The matches of a search, the current basket, or all that a download's folder has."""
    from napari_cryoet.basket.basket import Choices
    from napari_cryoet.download.folder import downloaded_basket

    source = session.portal.source
    if search == napari_cryoet.Search():
        chosen = session.read_basket()
        if chosen.is_empty and session.file is None and source.kind == "pack":
            chosen = downloaded_basket(Path(source.location))
    else:
        choices = Choices(with_tomogram="default")
        empty = napari_cryoet.Basket(source=source.name, choices=choices)
        before = session.read_basket() if session.file else empty
        chosen = before.add(matches_of(session.read_index(), search))
    if chosen.is_empty:
        raise CryoETError(
            "There is nothing to export.",
            hint="Add search options such as --object, or fill a basket first.",
        )
    return chosen
