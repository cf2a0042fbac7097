"""``napari-cryoet export copick|relion5|table|croissant|crops``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option, Typer

from napari_cryoet.cli.console import Steps, say, tell, working
from napari_cryoet.cli.options import Dataset, positive, record_id
from napari_cryoet.cli.portals import open_source
from napari_cryoet.exceptions import CryoETError, ExistsError
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    from napari_cryoet.training.copick import ExportReport
    from napari_cryoet.training.selection import Selection

app = Typer()

Kind = Literal["copick", "relion5", "table", "croissant", "crops"]


@app.command()
def export(
    kind: Annotated[Kind, Argument(help="As what.")],
    what: Annotated[
        str,
        Argument(
            metavar="BASKET|SOURCE",
            help="A basket's file; or live, demo, an address or a pack, for what --run and --dataset say of it, or for "
            "its current basket.",
        ),
    ],
    to: Annotated[Path, Argument(metavar="TO", help="A folder; for table a .csv or .parquet, for crops a .zarr.")],
    runs: Annotated[
        list[int] | None, Option("--run", parser=record_id("run"), metavar="ID", help="A run; repeatable.")
    ] = None,
    dataset: Dataset = None,
    objects: Annotated[
        list[str] | None, Option("--object", metavar="NAME", help="Words of its name, or its id; repeatable.")
    ] = None,
    ground_truth: Annotated[bool, Option("--ground-truth", help="Only annotations that are ground truth.")] = False,
    processing: Annotated[str, Option(metavar="WORD", help="Of tomograms, such as denoised.")] = "",
    size: Annotated[int, Option(min=1, max=512, metavar="VOXELS", help="Of a crop.")] = 32,
    spacing: Annotated[
        float | None, Option(parser=positive, metavar="Å", help="Crop levels whose voxels are about this wide.")
    ] = None,
    scheduler: Annotated[
        str, Option("--dask-scheduler", metavar="ADDRESS", help="Crop on a dask.distributed cluster.")
    ] = "",
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an export that is there.")] = False,
) -> None:
    """Write what training and processing need of many runs. Started again, it continues.

    copick: a project with tomograms, picks and masks. relion5: STAR files of tomograms and of each object's particles.
    table: all picks with units. croissant: what is where, and in which split, without any download. crops: a cube
    around each particle, in one Zarr with labels and splits.

    \b
    napari-cryoet export copick ribosomes.toml project
    napari-cryoet export relion5 live relion --dataset 10440 --object ribosome --ground-truth
    napari-cryoet export table demo picks.csv --run 9001 --run 9005
    napari-cryoet export crops ribosomes.toml crops.zarr --size 48 --spacing 10 --dask-scheduler tcp://host:8786
    """
    exporter, options = _exporter(kind), dict[str, Any]()
    if kind == "crops":
        options = {"size": size, "spacing_angstrom": spacing, "scheduler": scheduler}
    choice = {"objects": objects or (), "ground_truth": ground_truth, "processing": processing}
    with working() as (stop, steps):
        selection = _selected(what, runs or [], dataset, choice, steps, stop)
        try:
            report = exporter(selection, to, overwrite=overwrite, progress=steps.show, stop=stop, **options)
        except ExistsError as error:
            raise ExistsError(error.message, hint="Choose another place, or say --overwrite.") from error
    for reason in report.left_out:
        tell(f"left out: {reason}")
    counts = ((report.n_runs, "run"), (report.n_volumes, "volume"), (report.n_picks, "pick"))
    say(f"{report.path}: {', '.join(count_text(count, noun) for count, noun in counts if count)}")


def _exporter(kind: Kind) -> Callable[..., ExportReport]:
    from napari_cryoet.training import copick, croissant, crops, relion, table

    exporters: dict[Kind, Callable[..., ExportReport]] = {
        "copick": copick.export_copick,
        "relion5": relion.export_relion5,
        "table": table.export_table,
        "croissant": croissant.export_croissant,
        "crops": crops.export_crops,
    }
    return exporters[kind]


def _selected(
    what: str, runs: list[int], dataset: int | None, choice: dict[str, Any], steps: Steps, stop: threading.Event
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
