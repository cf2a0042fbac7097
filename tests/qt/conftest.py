"""What tests of the dock share: a viewer without a window, a fake portal, and the dock on top of both."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.settings import Settings
from napari_cryoet._qt.streaming import seam
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.widgets.theme import Theme
from qt.fake_portal import FakePortal

_NEVER: Final = 2**31 - 1  # objects
_collect = gc.collect  # which a test may put something else in place of


@pytest.fixture(scope="session", autouse=True)
def _modules_out_of_reach_of_collections() -> None:
    """Let collections pass over what importing napari made: they take half the time of a test of a window."""
    import napari._qt.qt_main_window
    import napari._vispy.canvas  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _garbage_goes_on_the_gui_thread() -> Iterator[None]:
    """A window that another thread collects is deleted on that thread, and Qt crashes."""
    before = gc.get_threshold()
    gc.set_threshold(_NEVER, *before[1:])
    yield
    _collect(1)  # what the test left behind; all the rest when a window goes
    gc.set_threshold(*before)


@pytest.fixture(scope="session", autouse=True)
def _napari_as_it_is() -> None:
    """Try what napari has before a test changes it: that is done once."""
    seam.can_stream()
    seam.can_slice_picks()


@pytest.fixture(autouse=True)
def _no_older_messages() -> None:
    """Let a test read only what napari tells while it runs."""
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
def portal() -> FakePortal:
    return FakePortal()


@pytest.fixture
def make_browser(qtbot: QtBot, viewer_model: ViewerModel, memory: Settings) -> Iterator[Callable[..., PortalBrowser]]:
    """Make a dock; on a fake portal, if one is given, whatever source is chosen."""
    made: list[PortalBrowser] = []

    def make(portal: FakePortal | None = None, *, width: int = 380, **options: Any) -> PortalBrowser:
        if portal is not None:
            options["open_portal"] = lambda _source, _job: portal
        browser = PortalBrowser(viewer_model, memory=memory, **options)
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
    """Make a dock at the list of the demo's datasets; a second one is as after a restart."""

    def make(**options: Any) -> PortalBrowser:
        browser = make_browser(**options)
        with qtbot.waitSignal(browser.session.catalogue_changed):
            browser.use_source(demo_pack)
        return browser

    return make


@pytest.fixture
def browser(qtbot: QtBot, make_browser: Callable[..., PortalBrowser], portal: FakePortal) -> PortalBrowser:
    """A dock whose list of datasets is there."""
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    return browser


@contextmanager
def _app_model() -> Iterator[None]:
    """Let napari have commands of its own for a while, as make_napari_viewer does for one test."""
    name = "napari-cryoet tests"
    app = NapariApplication(name)
    with patch.object(NapariApplication, "get_app_model", return_value=app):
        _forget_what_was_registered()
        try:
            yield
        finally:
            NapariApplication.destroy(name)
            _forget_what_was_registered()


def _forget_what_was_registered() -> None:
    """Let napari register its commands with each app model: it remembers that it has, but not where."""
    for registered in (_initialize_plugins, init_qactions):
        registered.cache_clear()


@contextmanager
def _window(*, show: bool) -> Iterator[Viewer]:
    with _app_model(), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda _self: None)
        monkeypatch.setattr("napari._qt.qt_main_window._QtMainWindow._save_current_window_settings", lambda _self: None)
        viewer = Viewer(show=show, show_welcome_screen=False)
        viewer.window.resize(800, 480)  # small, since each pixel is drawn without a graphics card
        QtViewer._instances.discard(viewer.window._qt_viewer)  # else make_napari_viewer takes it for one left behind
        gc.collect()
        gc.freeze()  # the window, too
        yield viewer
        viewer.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _as_new(viewer: Viewer) -> None:
    """Take out of a viewer what a test put into it."""
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    canvas = viewer.canvas
    for part in (viewer.dims, viewer.scene.camera, canvas.grid, canvas.overlays.scale_bar, viewer.cursor):
        part.reset()
    viewer.dims.ndisplay = 2  # which reset() leaves at 3
    assert (viewer.dims.ndim, viewer.dims.ndisplay, viewer.dims.order) == (2, 2, (0, 1))
    get_settings().reset()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


@pytest.fixture(scope="module")
def _shown_window(qapp: QApplication) -> Iterator[Viewer]:
    with _window(show=True) as viewer:
        yield viewer


@pytest.fixture(scope="module")
def _hidden_window(qapp: QApplication) -> Iterator[Viewer]:
    with _window(show=False) as viewer:
        yield viewer


@pytest.fixture
def viewer_in_window(_shown_window: Viewer) -> Iterator[Viewer]:
    """A viewer whose window is shown: one for all tests of a file, since it takes half a second; empty for each."""
    yield _shown_window
    _as_new(_shown_window)


@pytest.fixture
def viewer_in_hidden_window(_hidden_window: Viewer) -> Iterator[Viewer]:
    """A viewer whose window draws nothing: one for all tests of a file, empty for each."""
    yield _hidden_window
    _as_new(_hidden_window)
