"""Start napari with the dock from the command line, open the requested data, and take a screenshot if asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import napari
from napari.utils.notifications import Notification, NotificationSeverity, notification_manager
from qtpy.QtCore import (
    QBuffer,
    QEventLoop,
    QIODevice,
    QObject,
    QTimer,
    QtMsgType,
    qInstallMessageHandler,
)
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.widgets.dock import BROWSER, Dock, open_dock
from napari_cryoet.exceptions import CryoETError, StoppedError
from napari_cryoet.files import replace_file
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile
from napari_cryoet.runs.outline import chosen_files
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.finding import foreign_host
from napari_cryoet.views.view import View

if TYPE_CHECKING:
    from napari_cryoet._qt.views.restore import Restorer

_PICTURE_SIZE_PX: Final = (1280, 800)
_POLL_MS: Final = 100
_IDLE_S: Final = 0.4  # the window counts as drawn after this long without pending work


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """The data to open, and the file for a screenshot."""

    source: str  # as `open_portal` takes it; not used for a view, and empty for a lesson
    view: View | None = None
    view_folder: Path | None = None  # of the view's file
    deposition_id: int | None = None
    dataset_id: int | None = None
    run_id: int | None = None  # its default tomogram is opened too
    annotations: str | tuple[int, ...] = (
        "default"  # or "all" (that fit the tomogram), "none", or ids
    )
    with_unaligned: bool = False  # "all" and ids include annotations of other alignments
    screenshot: Path | None = None  # None keeps the window open
    size_px: tuple[int, int] | None = (
        None  # None keeps napari's size; screenshots have a default size
    )
    timeout_s: float = 120.0  # for drawing everything
    then: Callable[[napari.Viewer], Dock] | None = None  # opens a dock, which is shown in front


def launch(options: LaunchOptions, *, task: Task = UNWATCHED, qt_hint: str = "") -> int:
    """Open napari with the dock; return 0 once the window is closed or the screenshot is saved.

    Parameters
    ----------
    task
        Stopped by Ctrl+C.
    qt_hint
        Advice to print if Qt can't start, which ends the program.

    Raises
    ------
    CryoETError
        If the requested data can't be shown.
    StoppedError
        If the program was interrupted.
    """
    with notification_manager:  # else an error in a paint event would end the program silently
        viewer, browser = _open_window(options, qt_hint)
        opening = Opening(browser, options)
        opening.begin()
        if options.then is not None:
            dock = options.then(viewer)
            # the docks take their places first, and the portal's would be in front
            QTimer.singleShot(_POLL_MS, dock.come_forward)
        if options.screenshot is None:
            if not task.is_stopped:
                napari.run()  # returns on Ctrl+C
            if task.is_stopped:
                viewer.close()
                raise StoppedError
            return 0
        try:
            _wait_until_drawn(viewer, browser, opening, task)
            _save_picture(browser, options.screenshot)
        finally:
            viewer.close()
        return 0


def _open_window(options: LaunchOptions, qt_hint: str) -> tuple[napari.Viewer, PortalBrowser]:
    with _explain_qt_failure(qt_hint):
        viewer = napari.Viewer(show=False)
        browser = open_dock(viewer, BROWSER)  # a broken Qt fails here first
        viewer.window.show()
    size_px = options.size_px or (_PICTURE_SIZE_PX if options.screenshot else None)
    window = browser.window()
    if size_px is not None:
        window.showNormal()
        viewer.window.resize(*size_px)
    else:  # napari's first size is wider than a small screen
        frame = window.frameSize() - window.size()
        window.resize(window.size().boundedTo(window.screen().availableSize() - frame))
    return viewer, browser


def draw_view(
    view: View,
    draw: Callable[[napari.Viewer], object],
    *,
    folder: Path | None = None,
    allowed: Iterable[str] = (),
    task: Task = UNWATCHED,
    qt_hint: str = "",
) -> None:
    """Open a view in a window that isn't shown, and call ``draw`` with its viewer.

    What is missing is reported as a notification of napari.

    Parameters
    ----------
    folder
        The folder of the view's file.
    allowed
        Hosts to load data from, besides the portal's.
    task, qt_hint
        As of `launch`.

    Raises
    ------
    CryoETError
        If the view can't be opened, or needs a host that isn't allowed.
    """
    with notification_manager:
        with _explain_qt_failure(qt_hint):
            viewer = napari.Viewer(show=False)
            viewer.theme = "dark"  # whatever the user's theme is, the background is the same
            browser = open_dock(viewer, BROWSER)
        try:
            _wait_until_opened(browser, view, folder, set(allowed), task)
            draw(viewer)
        finally:
            viewer.close()


def _wait_until_opened(
    browser: PortalBrowser, view: View, folder: Path | None, allowed: set[str], task: Task
) -> None:
    """Wait until a view is opened; raise the first error."""
    for host in {foreign_host(run.source) for run in view.runs} - {"", *allowed}:
        hint = f"If you trust it, allow it: --allow {host}"
        raise CryoETError(f"This view loads data from {host}.", hint=hint)
    errors: list[CryoETError] = []
    opened: list[View] = []
    restorer = _restorer_of(browser)
    restorer.asks = False
    restorer.opened.connect(lambda shown, _remarks: opened.append(shown))
    restorer.failed.connect(errors.append)
    browser.manager.failed.connect(lambda _key, error: errors.append(error))
    restorer.open(view, folder=folder, agreed=allowed)
    _wait_until(lambda: bool(opened), errors, task)


def _restorer_of(browser: PortalBrowser) -> Restorer:
    from napari_cryoet._qt.views.restore import restorer_of  # here, as few windows need it

    return restorer_of(browser)


class Opening(QObject):
    """Opens the ordered source, then the record's page, then the run's layers."""

    def __init__(self, browser: PortalBrowser, options: LaunchOptions) -> None:
        super().__init__(browser)
        self._browser = browser
        self.options = options
        self._has_arrived = False
        self._wanted: Set[tuple[str, int]] = set()  # kinds and ids of records
        self.error: CryoETError | None = None

    def begin(self) -> None:
        """Open the source or the view; signals trigger the later steps."""
        if self.options.screenshot is not None:
            _restorer_of(self._browser).asks = False  # a picture is made without a user
        if self.options.view is not None:
            restorer = _restorer_of(self._browser)
            restorer.opened.connect(self._on_view)
            restorer.failed.connect(self._fail)
            restorer.open(self.options.view, folder=self.options.view_folder)
            return
        session = self._browser.session
        session.opened.connect(self._on_opened)
        session.catalogue_changed.connect(self._on_catalogue)
        self._browser.navigator.run_arrived.connect(self._on_run)
        if self.options.source:
            self._browser.use_source(self.options.source)
        else:
            self._has_arrived = True  # the lesson opens what it shows

    def missing(self) -> str:
        """A description of the records that aren't shown yet; empty when all are."""
        if not self._has_arrived:
            return "the portal's answer"
        return ", ".join(
            f"{kind} {record_id}"
            for kind, record_id in self._wanted - self._browser.manager.shown()
        )

    def _on_view(self, _view: View, remarks: str) -> None:
        self._has_arrived = True
        if remarks and self.options.screenshot is not None:
            self._fail(CryoETError(remarks))  # a picture of a part would mislead

    def _on_opened(self, _source: object) -> None:
        self._browser.session.opened.disconnect(
            self._on_opened
        )  # these options don't apply to later sources
        options, navigator = self.options, self._browser.navigator
        if options.run_id is not None:
            navigator.go_to_run(options.run_id)
        elif options.dataset_id is not None:
            navigator.go_to_dataset(options.dataset_id)
        elif options.deposition_id is not None:
            navigator.go_to_deposition(options.deposition_id)

    def _on_catalogue(self, _catalogue: object) -> None:
        self._has_arrived = self._has_arrived or self.options.run_id is None

    def _on_run(self, page: RunPage, _opens_layers: bool) -> None:
        if page.run.id != self.options.run_id or self._has_arrived:
            return
        self._has_arrived = True
        tomogram = page.default_tomogram
        if tomogram is None:
            self._fail(
                CryoETError(f"Run {page.run.name} has no tomogram.", hint="Open another run.")
            )
            return
        files: Collection[AnnotationFile] = ()
        try:
            files = chosen_files(
                page, tomogram, self.options.annotations, with_unaligned=self.options.with_unaligned
            )
        except CryoETError as error:
            self._fail(error)
        self._wanted = self._browser.run_layers.show(page, tomogram, files)

    def _fail(self, error: CryoETError) -> None:
        self.error = error
        self._browser.screens.notice.show_error(error)


# pictures


def _wait_until_drawn(
    viewer: napari.Viewer, browser: PortalBrowser, opening: Opening, task: Task
) -> None:
    """Wait until nothing is loading; raise the first error that occurs."""
    errors: list[CryoETError] = []
    timeout_s = opening.options.timeout_s
    deadline, idle_since = monotonic() + timeout_s, monotonic()

    def is_drawn() -> bool:
        nonlocal idle_since
        errors.extend(
            stream.state.error
            for _, stream in browser.manager.streams()
            if stream.state.error is not None
        )
        errors.extend(filter(None, [opening.error]))
        pending = opening.missing() or _unfinished(viewer, browser)
        if pending:
            idle_since = monotonic()
        if pending and monotonic() > deadline:
            errors.append(
                CryoETError(
                    f"Not everything was drawn after {timeout_s:g} s: waiting for {pending}."
                )
            )
        return monotonic() > idle_since + _IDLE_S

    def on_error(key: object, error: CryoETError) -> None:
        if not (
            isinstance(key, tuple) and key[:1] == ("thumbnail",)
        ):  # a missing thumbnail is no failure
            errors.append(error)

    browser.tasks.erred.connect(on_error)
    _wait_until(is_drawn, errors, task)


def _wait_until(is_done: Callable[[], bool], errors: list[CryoETError], task: Task) -> None:
    """Process events until it is done; raise the first error that is listed by then."""
    loop = QEventLoop()
    timer = QTimer()
    timer.timeout.connect(lambda: loop.quit() if is_done() or errors or task.is_stopped else None)
    with _noticed(errors):
        timer.start(_POLL_MS)
        loop.exec()
    timer.stop()
    task.check()
    if errors:
        raise errors[0]


@contextmanager
def _noticed(errors: list[CryoETError]) -> Iterator[None]:
    """Append the errors that napari reports: those of slots, which end no event loop."""

    def on_notification(notification: Notification) -> None:
        if notification.severity >= NotificationSeverity.ERROR:
            errors.append(CryoETError(f"napari reports: {notification.message}"))

    notification_manager.notification_ready.connect(on_notification)
    try:
        yield
    finally:
        notification_manager.notification_ready.disconnect(on_notification)


def _unfinished(viewer: napari.Viewer, browser: PortalBrowser) -> str:
    """The names of layers that aren't fully drawn and of running tasks."""
    loading = [layer.name for layer in viewer.layers if not layer.loaded]
    for layer, stream in browser.manager.streams():
        if stream.state.is_coming or stream.postpones_thumbnail:
            loading.append(layer.name)
    tasks = sorted(
        {str(key[0]) if isinstance(key, tuple) else str(key) for key in browser.tasks.running}
    )
    return ", ".join([*loading, *tasks])


def _save_picture(dock: QWidget, path: Path) -> None:
    """Save the dock's window as a PNG file, atomically."""
    window: Any = dock.window()  # napari's
    content = QBuffer()
    content.open(QIODevice.OpenModeFlag.WriteOnly)
    window.grab().save(content, "PNG")
    replace_file(path.expanduser().absolute(), content.data().data())


@contextmanager
def _explain_qt_failure(hint: str) -> Iterator[None]:
    """Print why Qt can't start; without a display, Qt itself aborts the program."""
    messages: list[str] = []

    def on_message(severity: QtMsgType, _context: object, text: str | None) -> None:
        messages.append(text or "")
        if severity == QtMsgType.QtFatalMsg:
            reasons = " ".join(" ".join(dict.fromkeys(messages)).split())
            sys.stderr.write(f"napari-cryoet: Qt can't start: {reasons} {hint}\n")
            sys.stderr.flush()
            os._exit(1)

    before = qInstallMessageHandler(on_message)
    try:
        yield
    except ImportError as error:
        raise CryoETError(
            f"napari's window can't be opened: {error.__cause__ or error}.", hint=hint
        ) from error
    finally:
        qInstallMessageHandler(before)
