"""``napari-cryoet export copick|relion5|table|croissant|crops``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from typer import Argument, Exit, Option, Typer

from napari_cryoet.cli.console import CHANGED, say, tell, tell_differences
from napari_cryoet.cli.options import positive
from napari_cryoet.cli.portals import open_session
from napari_cryoet.cli.searches import matches_of, with_search
from napari_cryoet.exceptions import CryoETError

if TYPE_CHECKING:
    from napari_cryoet.basket.basket import Basket
    from napari_cryoet.cli.portals import CommandSession
    from napari_cryoet.discovery.search import Search

app = Typer()

_Kind = Literal["copick", "relion5", "table", "croissant", "crops"]
_INCOMPLETE: Final = 3  # the exit code if something was left out
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
    from napari_cryoet import exports
    from napari_cryoet.exports.selection import select_basket

    options: dict[str, Any] = {}
    if kind in {"copick", "crops"}:
        options["spacing_angstrom"] = voxel_size
    if kind == "crops":
        options |= {"size": size, "background": background, "distance_angstrom": distance}
        options |= {"seed": seed, "scheduler": scheduler}
    with open_session(basket) as session:
        chosen = _chosen_basket(session, search)
        selection = select_basket(
            chosen,
            session.portal,
            object_names=object_names or (),
            tomogram_type=tomogram_type,
            allow_empty=allow_empty,
            task=session.task,
        )
        tell_differences(selection.differences)
        report = exports.export(
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


def _chosen_basket(session: CommandSession, search: Search) -> Basket:
    """The matches of a search, the current basket, or all that a download's folder has."""
    from napari_cryoet.basket.basket import Basket, Choices
    from napari_cryoet.discovery.search import Search
    from napari_cryoet.download.folder import downloaded_basket

    source = session.portal.source
    if search == Search():
        chosen = session.read_basket()
        if chosen.is_empty and session.file is None and source.kind == "pack":
            chosen = downloaded_basket(Path(source.location))
    else:
        choices = Choices(with_tomogram="default")
        empty = Basket(source=source.name, choices=choices)
        before = session.read_basket() if session.file else empty
        chosen = before.add(matches_of(session.read_index(), search))
    if chosen.is_empty:
        raise CryoETError(
            "There is nothing to export.",
            hint="Add search options such as --object, or fill a basket first.",
        )
    return chosen
