"""``napari-cryoet picture`` and ``movie``: draw a view to a file, also without a display."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, BadParameter, Context, Option, Typer

from napari_cryoet.cli.console import say, working
from napari_cryoet.cli.options import positive, window_size
from napari_cryoet.cli.window import (
    QT_HINT,
    explained,
    has_no_display,
    start_on_virtual_display,
)

if TYPE_CHECKING:
    from napari_cryoet.task import Task
    from napari_cryoet.views.view import View

app = Typer()

_SCREEN_PX: Final = (1280, 800)  # of the virtual display; pictures may be larger

ViewArgument = Annotated[
    str, Argument(metavar="VIEW", help="The file of a view (NAME.view.json), or a link.")
]
SizeOption = Annotated[
    Any, Option(parser=window_size, metavar="WxH", help="Width and height in pixels.")
]
ScaleBarOption = Annotated[bool, Option(help="Draw a scale bar.")]
LegendOption = Annotated[bool, Option(help="Draw a legend of the shown objects.")]
CitationOption = Annotated[bool, Option(help="Draw the citation of the data.")]
CoarseOption = Annotated[bool, Option("--coarse", help="Don't wait for exact data.")]
AllowOption = Annotated[
    list[str] | None, Option("--allow", metavar="HOST", help="Load data from this host, too.")
]
OverwriteOption = Annotated[bool, Option("--overwrite", help="Replace OUT if it exists.")]


@app.command()
def picture(
    context: Context,
    view: ViewArgument,
    out: Annotated[Path, Argument(metavar="OUT", help="A .png or .svg file to write.")],
    size: SizeOption = "1920x1080",
    scale_bar: ScaleBarOption = True,
    legend: LegendOption = True,
    citation: CitationOption = True,
    coarse: CoarseOption = False,
    allow: AllowOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Save a picture of a view from exact data.

    napari-cryoet picture ribosome.view.json figure.png --size 1920x1080
    """
    marks = {"scale_bar": scale_bar, "legend": legend, "citation": citation}
    options = {"size_px": size, "is_coarse": coarse, "overwrite": overwrite, **marks}

    def draw(viewer: Any, shown: View, task: Task) -> Path:
        from napari_cryoet._qt.views.picture import save_picture

        return save_picture(viewer, out, camera=shown.camera, task=task, **options)

    _draw(context.obj, view, draw, allow)
    say(str(out))


@app.command()
def movie(
    context: Context,
    view: ViewArgument,
    out: Annotated[Path, Argument(metavar="OUT", help="A .mp4 or .gif file to write.")],
    sweep: Annotated[bool, Option("--sweep", help="Sweep through all planes.")] = False,
    turn: Annotated[bool, Option("--turn", help="Turn the volume once, in 3D.")] = False,
    to: Annotated[str, Option(metavar="VIEW", help="Move to this view.")] = "",
    seconds: Annotated[float, Option(parser=positive, metavar="N", help="Duration.")] = 4.0,
    size: SizeOption = "1280x720",
    scale_bar: ScaleBarOption = True,
    legend: LegendOption = True,
    citation: CitationOption = True,
    coarse: CoarseOption = False,
    allow: AllowOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Save a movie of a view, each frame from exact data.

    napari-cryoet movie ribosome.view.json sweep.mp4 --sweep --seconds 8
    """
    if sum(map(bool, (sweep, turn, to))) != 1:
        raise BadParameter("use one of --sweep, --turn and --to")
    from napari_cryoet.views.links import read_shared_view

    last = read_shared_view(to)[0] if to else None
    marks = {"scale_bar": scale_bar, "legend": legend, "citation": citation}
    options = {"size_px": size, "is_coarse": coarse, "overwrite": overwrite, **marks}

    def draw(viewer: Any, shown: View, task: Task) -> Path:
        from napari_cryoet._qt.views.picture import save_movie
        from napari_cryoet.views import movie as movies

        n = movies.frame_count(seconds)
        camera = shown.camera
        if last is not None:
            cameras = movies.between(camera, last.camera, n)
        elif turn:
            cameras = movies.turn(camera, 360, n)
        else:
            planes = viewer.dims.range[camera.order[0]]
            cameras = movies.sweep(camera, planes.start, planes.stop, n)
        return save_movie(viewer, out, cameras, task=task, **options)

    _draw(context.obj, view, draw, allow)
    say(str(out))


def _draw(
    arguments: list[str],
    text: str,
    draw: Callable[[Any, View, Task], Path],
    allow: list[str] | None,
) -> None:
    """Open a view and draw it; on Linux without a display, use a virtual one."""
    from napari_cryoet.views.links import read_shared_view

    view, folder = read_shared_view(text)
    if has_no_display():
        start_on_virtual_display(arguments, *_SCREEN_PX)
    try:
        from napari_cryoet._qt.launch import draw_view
    except ImportError as error:
        raise explained(error) from error
    with working() as task, redirect_stdout(sys.stderr):  # napari prints what is missing
        draw_view(
            view,
            lambda viewer: draw(viewer, view, task),
            folder=folder,
            allowed=allow or (),
            task=task,
            qt_hint=QT_HINT,
        )
