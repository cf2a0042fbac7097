"""Fixtures for tests of the docks: viewers with and without a window, a fake portal, and the portal dock."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pytest
from napari import Viewer
from napari._app_model._app import NapariApplication
from napari._qt._qapp_model.qactions import init_qactions
from napari._qt.qt_viewer import QtViewer
from napari.components import ViewerModel
from napari.plugins import _initialize_plugins
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_cryoet._qt import seam
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.lessons.player import LessonPlayer
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.widgets.controls import main_window
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.settings import Settings
from qt.fake_portal import FakePortal

_NEVER: Final = 2**31 - 1  # objects
_collect = gc.collect  # the original, since a test may patch it


@pytest.fixture(autouse=True)
def _check_no_window_is_left() -> Iterator[None]:
    """Fail a test that leaves top-level widgets behind, which would slow down or disturb later tests."""
    before = _windows()
    yield
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    left = [widget for widget in _windows() if widget not in before]
    names = [f"{type(widget).__name__} {widget.objectName()!r}" for widget in left]
    for widget in left:
        widget.deleteLater()  # so that only this test fails
    assert not names, f"the test leaves top-level widgets behind: {', '.join(names)}"


def _windows() -> list[QWidget]:
    application = QApplication.instance()
    if not isinstance(application, QApplication):
        return []
    return [widget for widget in application.topLevelWidgets() if widget.parent() is None]


@pytest.fixture(autouse=True)
def _collect_garbage_on_the_gui_thread(_check_no_window_is_left: None) -> Iterator[None]:
    """Collect garbage only on the GUI thread: Qt crashes if another thread deletes a window."""
    before = gc.get_threshold()
    gc.set_threshold(_NEVER, *before[1:])
    yield
    _collect(1)  # the test's garbage; older generations are collected when a window closes
    gc.set_threshold(*before)


@pytest.fixture(scope="session", autouse=True)
def _check_unpatched_napari() -> None:
    """Run napari's cached feature tests before a test patches napari."""
    seam.can_stream()
    seam.can_slice_picks()


@pytest.fixture(autouse=True)
def _clear_notifications() -> None:
    """Clear napari's notifications of earlier tests."""
    notification_manager.records.clear()


@pytest.fixture
def viewer_model() -> ViewerModel:
    """A viewer's layers and dimensions, without a window."""
    return ViewerModel()


@pytest.fixture
def theme(qtbot: QtBot, viewer_model: ViewerModel) -> Iterator[Theme]:
    theme = Theme(viewer_model)
    yield theme
    theme.close()


@pytest.fixture
def tasks(qtbot: QtBot) -> Iterator[Tasks]:
    tasks = Tasks()
    yield tasks
    tasks.close()


@pytest.fixture
def off_gui_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str], None]]:
    """Require that the test calls a function, and never on the GUI thread."""
    threads: dict[str, set[threading.Thread]] = {}

    def watch(owner: Any, name: str) -> None:
        function, seen = getattr(owner, name), threads.setdefault(name, set())

        def watched(*args: Any, **options: Any) -> Any:
            seen.add(threading.current_thread())
            return function(*args, **options)

        monkeypatch.setattr(owner, name, watched)

    yield watch
    for name, seen in threads.items():
        assert seen, f"{name} wasn't called"
        assert threading.main_thread() not in seen, name


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal()


@pytest.fixture
def make_browser(
    qtbot: QtBot, viewer_model: ViewerModel, memory: Settings
) -> Iterator[Callable[..., PortalBrowser]]:
    """Make a dock; if a fake portal is given, it is used for every source."""
    made: list[PortalBrowser] = []

    def make(
        portal: FakePortal | None = None, *, width: int = 380, **options: Any
    ) -> PortalBrowser:
        if portal is not None:
            options["open_portal"] = lambda _source, _job: portal
        browser = PortalBrowser(viewer_model, **{"memory": memory, **options})
        qtbot.addWidget(browser)
        browser.resize(width, 760)
        browser.show()
        made.append(browser)
        return browser

    yield make
    for browser in made:
        browser.close_down()


@pytest.fixture
def make_demo_browser(
    qtbot: QtBot, make_browser: Callable[..., PortalBrowser], demo_pack: Path
) -> Callable[..., PortalBrowser]:
    """Make a dock at the list of the demo's datasets; a second call simulates a restart."""

    def make(**options: Any) -> PortalBrowser:
        browser = make_browser(**options)
        with qtbot.waitSignal(browser.session.catalogue_changed):
            browser.use_source(demo_pack)
        return browser

    return make


@pytest.fixture
def browser(
    qtbot: QtBot, make_browser: Callable[..., PortalBrowser], portal: FakePortal
) -> PortalBrowser:
    """A dock with a loaded list of datasets."""
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    return browser


@contextmanager
def _app_model() -> Iterator[None]:
    """Use a separate napari application model, as make_napari_viewer does for one test."""
    name = "napari-cryoet tests"
    app = NapariApplication(name)
    with patch.object(NapariApplication, "get_app_model", return_value=app):
        _clear_registrations()
        try:
            yield
        finally:
            NapariApplication.destroy(name)
            _clear_registrations()


def _clear_registrations() -> None:
    """Make napari register its commands again: it caches the registration for all application models."""
    for registered in (_initialize_plugins, init_qactions):
        registered.cache_clear()


@contextmanager
def _window(*, show: bool) -> Iterator[Viewer]:
    with _app_model(), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            "napari._qt.threads.status_checker.StatusChecker.start", lambda _self: None
        )
        monkeypatch.setattr(
            "napari._qt.qt_main_window._QtMainWindow._save_current_window_settings",
            lambda _self: None,
        )
        viewer = Viewer(show=show, show_welcome_screen=False)
        QtViewer._instances.discard(
            viewer.window._qt_viewer
        )  # else make_napari_viewer reports it as leaked
        yield viewer
        viewer.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class _SharedWindow:
    """A window for successive files, since creating one takes half a second."""

    def __init__(self) -> None:
        self.files: dict[Path, bool] = {}  # whether they want it shown
        self._open = ExitStack()
        self._viewer: Viewer | None = None

    def viewer(self, *, show: bool) -> Viewer:
        if self._viewer is None:
            self._viewer = self._open.enter_context(_window(show=show))
        self._viewer.window.resize(800, 480)  # small, since software rendering is slow
        gc.collect()
        gc.freeze()  # the window too: napari collects garbage for each layer that it removes
        return self._viewer

    def close(self) -> None:
        self._viewer = None
        self._open.close()


_shared_window = _SharedWindow()


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Put files that share a window in a row, so that each process opens few."""
    for item in items:
        for name, is_shown in (("shown_window", True), ("hidden_window", False)):
            if name in item.fixturenames:
                _shared_window.files[item.path] = is_shown
    order = [True, False, None]
    items.sort(key=lambda item: order.index(_shared_window.files.get(item.path)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Close the shared window before a file that doesn't use it."""
    yield
    files = _shared_window.files
    if nextitem is None or files.get(nextitem.path) != files.get(item.path):
        _shared_window.close()


def _reset(viewer: Viewer) -> None:
    """Reset a viewer after a test."""
    viewer.window.remove_dock_widget("all")
    for lesson in main_window(viewer).findChildren(LessonPlayer):  # kept for the next dock
        lesson.deleteLater()
    viewer.layers.clear()
    canvas = viewer.canvas
    for part in (
        viewer.dims,
        viewer.scene.camera,
        canvas.grid,
        canvas.overlays.scale_bar,
        viewer.cursor,
    ):
        part.reset()
    viewer.dims.ndisplay = 2  # reset() leaves it at 3
    assert (viewer.dims.ndim, viewer.dims.ndisplay, viewer.dims.order) == (2, 2, (0, 1))
    get_settings().reset()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


@pytest.fixture(scope="module")
def own_window(qapp: QApplication) -> Iterator[Viewer]:
    """A viewer with a shown window for one file only, which may keep layers and change fonts."""
    with _window(show=True) as viewer:
        yield viewer


@pytest.fixture(scope="module")
def shown_window(qapp: QApplication) -> Viewer:
    return _shared_window.viewer(show=True)


@pytest.fixture(scope="module")
def hidden_window(qapp: QApplication) -> Viewer:
    return _shared_window.viewer(show=False)


@pytest.fixture
def viewer_in_window(shown_window: Viewer) -> Iterator[Viewer]:
    """An empty viewer with a shown window."""
    yield shown_window
    _reset(shown_window)


@pytest.fixture
def viewer_in_hidden_window(hidden_window: Viewer) -> Iterator[Viewer]:
    """An empty viewer with a hidden window."""
    yield hidden_window
    _reset(hidden_window)
