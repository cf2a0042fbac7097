"""Starts napari with the dock for the command line, opens what was asked for, and draws a picture of it if wanted."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari
from napari.utils.notifications import Notification, NotificationSeverity, notification_manager
from qtpy.QtCore import QEventLoop, QObject, QTimer, QtMsgType, qInstallMessageHandler
from qtpy.QtWidgets import QMainWindow

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.files.window_picture import save_picture
from napari_cryoet._qt.streaming.settling import Settling
from napari_cryoet.exceptions import CryoETError, StoppedError
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile, Tomogram
from napari_cryoet.run.outline import AnnotationRow, outline_run

PLUGIN_NAME = "napari-cryoet"
DOCK_NAME = "CryoET Data Portal"
PICTURE_SIZE_PX = (1280, 800)
_SIGNAL_POLL_MS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to open.

    Attributes
    ----------
    source
        As `open_portal` takes it.
    deposition_id, dataset_id, run_id
        What to show; a run's default tomogram is opened.
    annotations
        Which of the run's: "all" that fit the tomogram, "default", "none", or ids.
    with_unaligned
        Whether "all" and ids mean those of another alignment too.
    screenshot
        Where to draw the window to; None leaves it open.
    size_px
        Of the window; None leaves it as napari had it, or takes that of pictures.
    timeout_s
        How long it may take until everything is drawn.
    """

    source: str
    deposition_id: int | None = None
    dataset_id: int | None = None
    run_id: int | None = None
    annotations: str | tuple[int, ...] = "default"
    with_unaligned: bool = False
    screenshot: Path | None = None
    size_px: tuple[int, int] | None = None
    timeout_s: float = 120.0


def launch(order: Order, *, stop: threading.Event | None = None, qt_hint: str = "") -> int:
    """Open napari with the dock; returns 0 when the window is closed, or its picture is drawn.

    Parameters
    ----------
    order
        What to open.
    stop
        Set by whoever hears of Ctrl+C.
    qt_hint
        What to tell where Qt can't start, which ends the program.

    Raises
    ------
    CryoETError
        If something that was asked for can't be shown, or the picture shows nothing.
    StoppedError
        If the program was interrupted.
    """
    with notification_manager:  # else an error in a paint event would end the program without a word
        return _launch(order, stop or threading.Event(), qt_hint)


def _launch(order: Order, stop: threading.Event, qt_hint: str) -> int:
    viewer, browser = _open_window(order, qt_hint)
    opening = Opening(browser, order)
    if order.screenshot is None:
        opening.begin()
        if not stop.is_set():
            napari.run()  # ends by itself at Ctrl+C, and lets the signal's own handler know
        if stop.is_set():
            viewer.close()
            raise StoppedError
        return 0
    try:
        _wait_until_drawn(viewer, browser, opening, order, stop)
        save_picture(_main_window(browser), order.screenshot, must_show_data=order.run_id is not None)
    finally:
        viewer.close()
    return 0


def _open_window(order: Order, qt_hint: str) -> tuple[napari.Viewer, PortalBrowser]:
    """Return a viewer on screen and its dock."""
    with _words_for_qt_faults(qt_hint):
        viewer = napari.Viewer(show=False)
        browser = _add_dock(viewer)  # the first thing that fails with a broken Qt
        viewer.window.show()
    size_px = order.size_px or (PICTURE_SIZE_PX if order.screenshot else None)
    if size_px is not None:
        _main_window(browser).showNormal()
        viewer.window.resize(*size_px)
    return viewer, browser


def _add_dock(viewer: napari.Viewer) -> PortalBrowser:
    """Return the dock, made as napari's menu would make it, so that the menu brings it forward and makes no second."""
    try:
        _, browser = viewer.window.add_plugin_dock_widget(PLUGIN_NAME, DOCK_NAME)
    except ValueError:  # the person has switched the plugin off in napari, but asks for it here
        browser = PortalBrowser(viewer)
        viewer.window.add_dock_widget(browser, name=DOCK_NAME, area="right")
    assert isinstance(browser, PortalBrowser), "the manifest names the dock"  # noqa: S101
    return browser


class Opening(QObject):
    """Leads the dock to what was ordered, as a person would: source, then a record's page, then a run's layers."""

    def __init__(self, browser: PortalBrowser, order: Order) -> None:
        super().__init__(browser)
        self._browser = browser
        self._order = order
        self._has_arrived = False
        self._wanted: set[tuple[str, int]] = set()
        self.error: CryoETError | None = None
        browser.session.opened.connect(self._on_opened)
        browser.session.catalogue_changed.connect(self._on_catalogue)
        browser.navigator.run_arrived.connect(self._on_run)

    def begin(self) -> None:
        """Open the source; the rest follows."""
        self._browser.use_source(self._order.source)

    def is_complete(self, layers: Any) -> bool:
        """Whether everything that was ordered is there."""
        there = {tag for layer in layers for tag in tags_of(layer.metadata)}
        return self._has_arrived and self._wanted <= there

    def missing(self, layers: Any) -> str:
        """What isn't there yet, in words."""
        if not self._has_arrived:
            return "the portal's answer"
        there = {tag for layer in layers for tag in tags_of(layer.metadata)}
        return ", ".join(f"{kind} {record_id}" for kind, record_id in sorted(self._wanted - there))

    def _on_opened(self, _source: object) -> None:
        order, navigator = self._order, self._browser.navigator
        if order.run_id is not None:
            navigator.go_to_run(order.run_id)
        elif order.dataset_id is not None:
            navigator.go_to_dataset(order.dataset_id)
        elif order.deposition_id is not None:
            navigator.go_to_deposition(order.deposition_id)

    def _on_catalogue(self, _catalogue: object) -> None:
        self._has_arrived = self._has_arrived or self._order.run_id is None

    def _on_run(self, page: RunPage, _opens_layers: bool) -> None:
        if page.run.id != self._order.run_id or self._has_arrived:
            return
        self._has_arrived = True
        tomogram = page.default_tomogram
        if tomogram is None:
            self._tell(CryoETError(f"Run {page.run.name} has no tomogram.", hint="Open another run."))
            return
        run = self._browser.screens.run
        self._wanted.add(("tomogram", tomogram.id))
        run.tomogram_open_requested.emit(page, tomogram)
        try:
            files = chosen_files(page, tomogram, self._order.annotations, with_unaligned=self._order.with_unaligned)
        except CryoETError as error:
            self._tell(error)
            return
        self._wanted |= {("annotation file", file.id) for file in files}
        for file in files:
            run.annotation_show_requested.emit(page, file)

    def _tell(self, error: CryoETError) -> None:
        """Show an error in the dock, and keep it for whoever waits for the picture."""
        self.error = error
        self._browser.screens.notice.show_error(error)


def chosen_files(
    page: RunPage, tomogram: Tomogram, which: str | tuple[int, ...], *, with_unaligned: bool = False
) -> tuple[AnnotationFile, ...]:
    """Return the annotation files to show over a tomogram.

    Raises
    ------
    CryoETError
        If an annotation was named that the run doesn't have, or that can't be shown over this tomogram.
    """
    outline = outline_run(page, tomogram)
    rows = tuple(outline.rows())
    match which:
        case "none":
            return ()
        case "default":
            return outline.defaults()
        case "all":
            wanted = (row.shown_file for row in rows if row.fits or with_unaligned)
            return tuple(file for file in wanted if file is not None)
    files: list[AnnotationFile] = []
    for annotation_id in which:
        own = [row for row in rows if row.annotation.id == annotation_id]
        shown = [row.shown_file for row in own if (row.fits or with_unaligned) and row.shown_file is not None]
        if not shown:
            raise _not_shown(page, int(annotation_id), own)
        files += shown
    return tuple(files)


def tags_of(metadata: dict[str, Any]) -> set[tuple[str, int]]:
    """Return which record of the portal a layer shows, from its metadata."""
    about = metadata.get(METADATA_KEY)
    if not isinstance(about, dict):
        return set()
    keys = {"tomogram": "tomogram_id", "annotation file": "annotation_file_id"}
    return {(kind, about[key]) for kind, key in keys.items() if isinstance(about.get(key), int)}


def _not_shown(page: RunPage, annotation_id: int, rows: list[AnnotationRow]) -> CryoETError:
    if not rows:
        return CryoETError(f"Run {page.run.name} has no annotation {annotation_id}.")
    could_be = any(row.shown_file is not None for row in rows)
    hint = "--unaligned shows it all the same, beside where it belongs." if could_be else ""
    return CryoETError(f"Annotation {annotation_id} can't be shown: {rows[0].reason}", hint=hint)


def _wait_until_drawn(
    viewer: napari.Viewer, browser: PortalBrowser, opening: Opening, order: Order, stop: threading.Event
) -> None:
    """Open what was ordered and return when the window has come to rest; raise what goes wrong meanwhile."""
    loop, faults = QEventLoop(), list[CryoETError]()
    settling = Settling(
        viewer, browser.link, browser.tasks, lambda: opening.error is not None or opening.is_complete(viewer.layers)
    )

    def fail(error: CryoETError) -> None:
        faults.append(error)
        loop.quit()

    def on_error(key: object, error: CryoETError) -> None:
        if not (isinstance(key, tuple) and key[:1] == ("thumbnail",)):  # a row without its picture is no failure
            fail(error)

    def on_notification(notification: Notification) -> None:
        if notification.severity >= NotificationSeverity.ERROR:
            fail(CryoETError(f"napari reports: {notification.message}"))

    def on_timeout() -> None:
        waits_for = opening.missing(viewer.layers) or settling.waits_for()
        fail(CryoETError(f"Not everything was drawn after {order.timeout_s:g} s: waiting for {waits_for}."))

    def look_for_stop() -> None:
        if stop.is_set():
            loop.quit()

    look = QTimer()  # Python hears signals only between two of its own steps, and Qt's loop has none
    look.setInterval(_SIGNAL_POLL_MS)
    look.timeout.connect(look_for_stop)
    deadline = QTimer()
    deadline.setSingleShot(True)
    deadline.timeout.connect(on_timeout)
    settling.settled.connect(loop.quit)
    settling.failed.connect(fail)
    browser.tasks.erred.connect(on_error)
    notification_manager.notification_ready.connect(on_notification)
    try:
        opening.begin()
        deadline.start(int(order.timeout_s * 1000))
        look.start()
        loop.exec()
    finally:
        deadline.stop()
        look.stop()
        notification_manager.notification_ready.disconnect(on_notification)
    if stop.is_set():
        raise StoppedError
    if opening.error is not None:
        raise opening.error
    if faults:
        raise faults[0]


def _main_window(browser: PortalBrowser) -> QMainWindow:
    window = browser.window()
    assert isinstance(window, QMainWindow), "the dock is in napari's window"  # noqa: S101
    return window


@contextmanager
def _words_for_qt_faults(hint: str) -> Iterator[None]:
    """Say in a sentence why Qt can't start; it ends the program by itself if it finds no display to draw on."""
    told: list[str] = []

    def on_message(kind: QtMsgType, _context: object, text: str | None) -> None:
        told.append(text or "")
        if kind == QtMsgType.QtFatalMsg:
            reasons = " ".join(" ".join(dict.fromkeys(told)).split())
            sys.stderr.write(f"napari-cryoet: Qt can't start: {reasons} {hint}\n")
            sys.stderr.flush()
            os._exit(1)

    before = qInstallMessageHandler(on_message)
    try:
        yield
    except ImportError as error:
        raise CryoETError(f"napari's window can't be made: {error.__cause__ or error}.", hint=hint) from error
    finally:
        qInstallMessageHandler(before)
