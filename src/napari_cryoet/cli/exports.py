"""``napari-cryoet export copick|relion5|table|croissant|crops``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Exit, Option, Typer

from napari_cryoet.cli.console import CHANGED, say, tell, tell_differences
from napari_cryoet.cli.options import positive
from napari_cryoet.cli.portals import open_session
from napari_cryoet.cli.searches import matches_of, with_search
from napari_cryoet.exceptions import CryoETError

if TYPE_CHECKING:
    from napari_cryoet.discovery.search import Search

app = Typer()

_Kind = Literal["copick", "relion5", "table", "croissant", "crops"]
_BASKET_HELP = (
    "A basket file, or a source (live, demo, URL or pack) for its matches or current basket."
)


@app.command()
@with_search
def export(
    kind: Annotated[_Kind, Argument(help="The format.")],
    basket: Annotated[str, Argument(metavar="BASKET|SOURCE", help=_BASKET_HELP)],
    to: Annotated[
        Path,
        Argument(
            metavar="TO",
            help="The folder to write; for table a .csv or .parquet file, for crops a .zarr.",
        ),
    ],
    search: Search,
    size: Annotated[int, Option(min=1, max=512, metavar="VOXELS", help="Width of a crop.")] = 32,
    voxel_size: Annotated[
        float | None,
        Option(parser=positive, metavar="Å", help="Crop the levels with about this voxel size."),
    ] = None,
    scheduler: Annotated[
        str,
        Option(
            "--dask-scheduler", metavar="ADDRESS", help="Cut crops on a dask.distributed cluster."
        ),
    ] = "",
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing export.")] = False,
) -> None:
    """Export annotated runs for training and processing. Run the command again to resume.

    copick: a project with tomograms, picks and masks. relion5: STAR files of tomograms and particles. table: all picks
    with units. croissant: a description with URLs and splits, without a download. crops: a cube around each particle,
    in one Zarr with labels and splits.

    \b
    napari-cryoet export copick ribosomes.toml project
    napari-cryoet export relion5 live relion --object ribosome --ground-truth --spacing ..10
    napari-cryoet export crops ribosomes.toml crops.zarr --size 48 --voxel-size 10 --dask-scheduler tcp://host:8786
    """
    from napari_cryoet import exports
    from napari_cryoet.basket.basket import Basket, Choices
    from napari_cryoet.discovery.search import Search
    from napari_cryoet.exports.selection import select_basket

    crops = (
        {"size": size, "spacing_angstrom": voxel_size, "scheduler": scheduler}
        if kind == "crops"
        else {}
    )
    with open_session(basket) as session:
        if search == Search():
            chosen = session.read_basket()
        else:
            basket_before = (
                session.read_basket()
                if session.file
                else Basket(
                    source=session.portal.source.name, choices=Choices(with_tomogram="default")
                )
            )
            chosen = basket_before.add(matches_of(session.read_index(), search))
        if chosen.is_empty:
            raise CryoETError(
                "There is nothing to export.",
                hint="Add search options such as --object, or fill a basket first.",
            )
        selection = select_basket(chosen, session.portal, task=session.task)
        tell_differences(selection.differences)
        report = exports.export(
            selection,
            kind,
            to,
            overwrite=overwrite,
            task=session.task,
            **crops,
        )
    for reason in report.left_out:
        tell(f"left out: {reason}")
    say(f"{report.path}: {report.counts_text}")
    if selection.differences:
        raise Exit(CHANGED)
