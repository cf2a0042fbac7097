"""``napari-cryoet open``, ``join``, ``demo`` and ``links``: open napari, on a virtual display if necessary."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn

from typer import Argument, BadParameter, Context, Option, Typer, prompt

from napari_cryoet.cli.console import say, tell, working
from napari_cryoet.cli.options import (
    AnnotationsOption,
    DatasetOption,
    DepositionOption,
    RunOption,
    SourceArgument,
    positive,
    window_size,
)
from napari_cryoet.cli.portals import make_demo
from napari_cryoet.exceptions import CryoETError

if TYPE_CHECKING:
    from napari_cryoet._qt.lessons.dock import LessonDock

app = Typer()

_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
_MARGIN_PX: Final = 200  # for window decorations and tooltips
#: Help if Qt doesn't start; lists the libraries that a minimal Debian lacks.
QT_HINT: Final = (
    "Qt's system libraries may be missing. On Debian and Ubuntu: "
    "sudo apt-get install libegl1 libgl1 libopengl0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
    "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libdbus-1-3 "
    "libfontconfig1"
)

UnalignedOption = Annotated[
    bool, Option("--unaligned", help="Also show annotations of other alignments.")
]
ScreenshotOption = Annotated[
    Path | None, Option(metavar="FILE", help="Save a screenshot of the window as PNG and exit.")
]
SizeOption = Annotated[
    Any,
    Option(
        parser=window_size,
        metavar="WxH",
        help="Window size in pixels; a screenshot's default is 1280x800.",
    ),
]
TimeoutOption = Annotated[
    float, Option(parser=positive, metavar="SECONDS", help="Time limit for a screenshot.")
]


@app.command()
def demo(
    context: Context,
    which: AnnotationsOption = "default",
    unaligned: UnalignedOption = False,
    screenshot: ScreenshotOption = None,
    size: SizeOption = None,
    timeout: TimeoutOption = 120.0,
) -> int:
    """Open the demo: a small simulated portal that needs no network.

    napari-cryoet demo --screenshot demo.png  # works without a display
    """
    from napari_cryoet.demo.rows import RUNS

    return open_source(
        context,
        "demo",
        run=RUNS[0].id,
        which=which,
        unaligned=unaligned,
        screenshot=screenshot,
        size=size,
        timeout=timeout,
    )


@app.command("open")
def open_source(
    context: Context,
    source: SourceArgument,
    deposition: DepositionOption = None,
    dataset: DatasetOption = None,
    run: RunOption = None,
    offline: Annotated[
        bool, Option("--offline", help="Work offline with data loaded before.")
    ] = False,
    max_mb: Annotated[int | None, Option(min=1, metavar="N", help="Download at most N MB.")] = None,
    which: AnnotationsOption = "default",
    unaligned: UnalignedOption = False,
    screenshot: ScreenshotOption = None,
    size: SizeOption = None,
    timeout: TimeoutOption = 120.0,
) -> int:
    """Open a portal, a deposition, a dataset, a run, a view or a lesson in napari.

    \b
    napari-cryoet open live                              # the live portal
    napari-cryoet open live --run 506 --annotations all  # a run with all its annotations
    napari-cryoet open my-pack --dataset 10000           # a dataset of a pack
    napari-cryoet open ribosome.view.json                # a view, by its file or its link
    napari-cryoet open my-lesson/lesson.md               # a lesson
    """
    from napari_cryoet.lessons.folder import open_lesson
    from napari_cryoet.lessons.lesson import LESSON_NAME
    from napari_cryoet.locations import path_to_read
    from napari_cryoet.network.policy import MEGABYTE, policy
    from napari_cryoet.portal.links import Jump
    from napari_cryoet.records import PORTAL_TERMS
    from napari_cryoet.views.links import read_shared
    from napari_cryoet.views.view import View

    is_lesson = Path(source).name == LESSON_NAME
    lesson = open_lesson(path_to_read(source)) if is_lesson else None
    shared, folder = read_shared(source)
    is_page = isinstance(shared, Jump) and source.startswith(PORTAL_TERMS.site)
    is_link = is_page or (isinstance(shared, View) and folder is None)
    # as by a click; options are for a window of its own
    if is_link and context.obj == ["open", source] and _is_handed_over(source):
        tell("opened in the window that is open")
        return 0
    if isinstance(shared, Jump) and is_page:
        source = "live"
        deposition = shared.id if shared.kind == "deposition" else deposition
        dataset = shared.id if shared.kind == "dataset" else dataset
        run = shared.id if shared.kind == "run" else run
    if sum(each is not None for each in (deposition, dataset, run)) > 1:
        raise BadParameter("use only one of --deposition, --dataset and --run")
    policy().offline |= offline
    if max_mb is not None:
        policy().max_session_bytes = max_mb * MEGABYTE
    if source == "demo" and screenshot is not None:  # otherwise the window shows the progress
        with working() as task:
            make_demo(task)
    return _open(
        context.obj,
        source="" if is_lesson else source,
        then=partial(_play, lesson) if is_lesson else None,
        view=shared if isinstance(shared, View) else None,
        view_folder=folder,
        deposition_id=deposition,
        dataset_id=dataset,
        run_id=run,
        annotations=which,
        with_unaligned=unaligned,
        screenshot=screenshot,
        size_px=size,
        timeout_s=timeout,
    )


@app.command()
def join(
    context: Context,
    address: Annotated[str, Argument(metavar="ADDRESS", help="The address that the board shows.")],
    code: Annotated[
        str, Option(metavar="CODE", help="The code that the board shows, or the teacher's.")
    ] = "",
    name: Annotated[str, Option(metavar="NAME", help="A nickname.")] = "",
    lesson: Annotated[
        str, Option(metavar="KEY", help="The lesson, if the class has several.")
    ] = "",
) -> int:
    """Join a class, and open its lesson in napari. With the teacher's code, show your view to the class.

    napari-cryoet join 192.168.1.7:8000 --code K7QM-4XDA --name Anna
    """
    from napari_cryoet.classroom.client import join_class
    from napari_cryoet.classroom.messages import TEACHER_CODE_LENGTH, class_address, typed_code

    code = typed_code(code) or class_address(address)[1] or _typed("Code")
    if len(typed_code(code)) != TEACHER_CODE_LENGTH:
        name = name or _typed("Nickname")
    with working() as task:
        joined = join_class(address, code, name, lesson=lesson, task=task)

    def open_in(viewer: Any) -> LessonDock:
        from napari_cryoet._qt.lessons.dock import open_lesson_dock

        dock = open_lesson_dock(viewer)
        dock.play_class(joined)
        return dock

    return _open(context.obj, source=joined.portal, then=open_in, screenshot=None, size_px=None)


@app.command()
def links(
    what: Annotated[Literal["on", "off", "status"], Argument(help="What to do.")] = "status",
) -> None:
    """Open napari-cryoet: links in napari when you click them.

    napari-cryoet links on
    """
    from napari_cryoet.views import scheme

    before = scheme.handler()
    if what == "on":
        scheme.register()
        if before and not scheme.is_ours(before):
            tell(f"replaced {before}, which opened these links before")
    elif what == "off":
        scheme.unregister()
    program = scheme.handler()
    state = "on" if scheme.is_ours(program) else "off"
    say(f"{state}: napari-cryoet: links are opened by {program or 'no program'}")


def _typed(what: str) -> str:
    """What the user types in the terminal; empty if there is none."""
    return str(prompt(what, default="", err=True)) if sys.stdin.isatty() else ""


def _play(lesson: Any, viewer: Any) -> LessonDock:
    from napari_cryoet._qt.lessons.dock import open_lesson_dock

    return open_lesson_dock(viewer, lesson)


def _open(arguments: list[str], **options: Any) -> int:
    """Open a window; on Linux without a display, screenshots use a virtual one."""
    if has_no_display():
        if options["screenshot"] is None:
            hint = "Use --screenshot FILE to save an image of it."
            raise CryoETError("There is no display to open a window on.", hint=hint)
        start_on_virtual_display(arguments, *(options["size_px"] or (1280, 800)))
    try:
        from napari_cryoet._qt.launch import LaunchOptions, launch
    except ImportError as error:
        raise explained(error) from error
    with working() as task:
        return launch(LaunchOptions(**options), task=task, qt_hint=QT_HINT)


def _is_handed_over(link: str) -> bool:
    """Whether a window that is open took a link."""
    try:
        from napari_cryoet._qt.views.handover import hand_over
    except ImportError:
        return False
    return hand_over(link)


def has_no_display() -> bool:
    """Whether this is Linux without a display."""
    return sys.platform.startswith("linux") and not any(map(os.environ.get, _DISPLAYS))


def explained(error: ImportError) -> CryoETError:
    """An error with a hint for missing or broken napari or Qt."""
    if ".so" in str(error) or "DLL" in str(error) or "dlopen" in str(error):
        return CryoETError(f"Qt can't be loaded: {error}.", hint=QT_HINT)
    hint = 'Install them: python -m pip install "napari-cryoet[pyqt]"'
    return CryoETError(f"napari and Qt are needed to open a window ({error}).", hint=hint)


def start_on_virtual_display(arguments: list[str], width_px: int, height_px: int) -> NoReturn:
    """Replace this process by the same command on a virtual X server."""
    program = shutil.which("xvfb-run")
    if program is None:
        hint = "Install xvfb: sudo apt-get install xvfb xauth (Debian, Ubuntu)."
        raise CryoETError("There is no display, and xvfb-run isn't installed.", hint=hint)
    screen = f"-screen 0 {width_px + _MARGIN_PX}x{height_px + _MARGIN_PX}x24"
    again = [sys.executable, "-P", "-m", "napari_cryoet.cli", *arguments]
    os.execv(program, [program, "-a", "-s", screen, *again])  # noqa: S606
