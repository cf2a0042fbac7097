"""``napari-cryoet export copick|relion5|table|croissant|crops``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from napari_cryoet.cli.console import Steps, say, tell, working
from napari_cryoet.cli.options import positive, record_id
from napari_cryoet.cli.portals import open_source
from napari_cryoet.exceptions import CryoETError, ExistsError
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    from napari_cryoet.training.copick import ExportReport
    from napari_cryoet.training.selection import Selection

app = Typer(help="Export picks, masks and tomograms of many runs for training and processing.", no_args_is_help=True)

_What = Annotated[
    str,
    Argument(
        metavar="BASKET|SOURCE",
        help="The file of a basket; or live, demo, an address or a pack, of which --run and --dataset say what, "
        "or else its current basket.",
    ),
]
_Folder = Annotated[Path, Argument(metavar="FOLDER", help="Where to.")]
_Runs = Annotated[list[int] | None, Option("--run", parser=record_id("run"), metavar="ID", help="A run; repeatable.")]
_Dataset = Annotated[
    int | None, Option("--dataset", parser=record_id("dataset"), metavar="ID", help="All runs of a dataset.")
]
_Objects = Annotated[
    list[str] | None, Option("--object", metavar="WORDS", help="Words of an object's name, or its id; repeatable.")
]
_Truth = Annotated[bool, Option("--ground-truth", help="Only annotations that are ground truth.")]
_Processing = Annotated[str, Option(metavar="WORD", help="Of tomograms, such as denoised.")]
_Overwrite = Annotated[bool, Option("--overwrite", help="Replace an export that is there.")]


@app.command()
def copick(
    what: _What,
    folder: _Folder,
    run: _Runs = None,
    dataset: _Dataset = None,
    objects: _Objects = None,
    ground_truth: _Truth = False,
    processing: _Processing = "",
    overwrite: _Overwrite = False,
) -> None:
    """Write a copick project with tomograms, picks and masks; what isn't on this computer is downloaded.

    \b
    napari-cryoet export copick ribosomes.toml project
    napari-cryoet export copick live project --dataset 10440 --ground-truth --processing denoised
    """
    from napari_cryoet.training.copick import CONFIG_NAME, export_copick

    report = _export(export_copick, folder, what, run, dataset, objects, ground_truth, processing, overwrite)
    say(
        f"{report.path / CONFIG_NAME}: {count_text(report.n_runs, 'run')}, "
        f"{count_text(report.n_volumes, 'volume')}, {count_text(report.n_picks, 'pick')}"
    )


@app.command()
def relion5(
    what: _What,
    folder: _Folder,
    run: _Runs = None,
    dataset: _Dataset = None,
    objects: _Objects = None,
    ground_truth: _Truth = False,
    overwrite: _Overwrite = False,
) -> None:
    """Write STAR files for RELION 5: tomograms, and for each object particles and a file for Import coordinates.

    \b
    napari-cryoet export relion5 ribosomes.toml relion
    napari-cryoet export relion5 live relion --dataset 10440 --object ribosome
    """
    from napari_cryoet.training.relion import export_relion5

    report = _export(export_relion5, folder, what, run, dataset, objects, ground_truth, "", overwrite)
    counts = f"{count_text(report.n_picks, 'particle')} of {count_text(report.n_files, 'object')}"
    say(f"{report.path / 'tomograms.star'}: {count_text(report.n_runs, 'tomogram')}, {counts}")


@app.command()
def table(
    what: _What,
    file: Annotated[Path, Argument(metavar="FILE", help="Where to; it ends in .csv or .parquet.")],
    run: _Runs = None,
    dataset: _Dataset = None,
    objects: _Objects = None,
    ground_truth: _Truth = False,
    overwrite: _Overwrite = False,
) -> None:
    """Write one table of all picks of all runs, with units in the names of columns.

    \b
    napari-cryoet export table ribosomes.toml ribosomes.csv
    napari-cryoet export table demo picks.parquet --run 9001 --run 9005
    """
    from napari_cryoet.training.table import export_table

    report = _export(export_table, file, what, run, dataset, objects, ground_truth, "", overwrite)
    say(f"{report.path}: {count_text(report.n_picks, 'pick')} of {count_text(report.n_runs, 'run')}")


@app.command()
def croissant(
    what: _What,
    folder: _Folder,
    run: _Runs = None,
    dataset: _Dataset = None,
    objects: _Objects = None,
    ground_truth: _Truth = False,
    processing: _Processing = "",
    overwrite: _Overwrite = False,
) -> None:
    """Describe what there is, where and in which split, for mlcroissant and copick; nothing is downloaded.

    \b
    napari-cryoet export croissant ribosomes.toml described
    napari-cryoet export croissant live described --dataset 10440
    """
    from napari_cryoet.training.croissant import METADATA_NAME, export_croissant

    report = _export(export_croissant, folder, what, run, dataset, objects, ground_truth, processing, overwrite)
    counts = f"{count_text(report.n_volumes, 'volume')}, {count_text(report.n_files, 'file')} of picks"
    say(f"{report.path / METADATA_NAME}: {count_text(report.n_runs, 'run')}, {counts}")


@app.command()
def crops(
    what: _What,
    file: Annotated[Path, Argument(metavar="FILE", help="Where to; it ends in .zarr.")],
    run: _Runs = None,
    dataset: _Dataset = None,
    objects: _Objects = None,
    ground_truth: _Truth = False,
    processing: _Processing = "",
    size: Annotated[int, Option(min=1, max=512, metavar="VOXELS", help="Of each cube.")] = 32,
    spacing: Annotated[
        float | None, Option(parser=positive, metavar="Å", help="Take the level whose voxels are about this wide.")
    ] = None,
    scheduler: Annotated[
        str, Option("--dask-scheduler", metavar="ADDRESS", help="Cut on a dask.distributed cluster.")
    ] = "",
    overwrite: _Overwrite = False,
) -> None:
    """Cut a cube around each particle into one Zarr with labels and splits; started again, it continues.

    \b
    napari-cryoet export crops ribosomes.toml crops.zarr --size 48 --spacing 10
    napari-cryoet export crops ribosomes.toml crops.zarr --dask-scheduler tcp://host:8786
    """
    from napari_cryoet.training.crops import export_crops

    options = {"size": size, "spacing_angstrom": spacing, "scheduler": scheduler}
    report = _export(export_crops, file, what, run, dataset, objects, ground_truth, processing, overwrite, **options)
    say(f"{report.path}: {count_text(report.n_picks, 'crop')} of {count_text(report.n_runs, 'run')}")


def _export(
    export: Callable[..., ExportReport],
    to: Path,
    what: str,
    runs: list[int] | None,
    dataset: int | None,
    objects: list[str] | None,
    ground_truth: bool,
    processing: str,
    overwrite: bool,
    **options: Any,
) -> ExportReport:
    """Select, export, and say what was left out."""
    choice = {"objects": objects or (), "ground_truth": ground_truth, "processing": processing}
    with working() as (stop, steps):
        selection = _selected(what, runs or [], dataset, choice, steps, stop)
        try:
            report = export(selection, to, overwrite=overwrite, progress=steps.show, stop=stop, **options)
        except ExistsError as error:
            raise ExistsError(error.message, hint="Choose another place, or say --overwrite.") from error
    for reason in report.left_out:
        tell(f"left out: {reason}")
    return report


def _selected(
    what: str,
    runs: list[int],
    dataset: int | None,
    choice: dict[str, Any],
    steps: Steps,
    stop: threading.Event,
) -> Selection:
    """What a basket, or the rest of the command, means."""
    from napari_cryoet.basket.basket import read_basket, source_text
    from napari_cryoet.basket.store import BasketStore
    from napari_cryoet.download import ask_rows
    from napari_cryoet.training.selection import select, select_basket

    basket = read_basket(Path(what)) if what.lower().endswith(".toml") else None
    with closing(open_source(what if basket is None else basket.source, steps, stop)) as portal:
        if basket is None and (runs or dataset is not None):
            rows = ask_rows(portal, dataset_id=dataset, run_ids=runs, stop=stop)
            return select(rows, portal.source, **choice)
        basket = basket or BasketStore().current(source_text(portal.source))
        if basket.is_empty:
            raise CryoETError("The basket is empty.", hint="Say --run or --dataset, or put something into it.")
        return select_basket(basket, portal, stop=stop, **choice)
