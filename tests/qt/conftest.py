"""What tests of the dock share: a viewer without a window, a fake portal, and the dock on top of both."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.memory import Memory
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.theme import Theme
from qt.fake_portal import FakePortal


@pytest.fixture(scope="session", autouse=True)
def _modules_out_of_reach_of_collections() -> None:
    """Let collections pass over what importing napari made.

    napari looks for garbage each time that a layer is removed from a canvas, and its fixture for viewers after each
    test: 0.2 s each time over all modules, which is half of what a test of a window takes.
    """
    import napari._qt.qt_main_window
    import napari._vispy.canvas  # noqa: F401

    gc.collect()
    gc.freeze()


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
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "browser.ini")


@pytest.fixture
def make_preparing_browser(
    qtbot: QtBot, viewer_model: ViewerModel, memory: Memory
) -> Iterator[Callable[..., PortalBrowser]]:
    """Make a dock whose sources report how far they are and never get there."""
    made: list[PortalBrowser] = []

    def make(share: float, words: str) -> PortalBrowser:
        def prepare(_source: str, job: Job) -> FakePortal:
            job.say(share, words)
            job.stop.wait(30)
            job.raise_if_stopped()
            return FakePortal()

        browser = PortalBrowser(viewer_model, open_portal=prepare, memory=memory)
        qtbot.addWidget(browser)
        browser.show()
        made.append(browser)
        return browser

    yield make
    for browser in made:
        browser.close_down()


@pytest.fixture
def make_browser(qtbot: QtBot, viewer_model: ViewerModel, memory: Memory) -> Iterator[Callable[..., PortalBrowser]]:
    """Make a dock that browses a fake portal, whatever source is chosen."""
    made: list[PortalBrowser] = []

    def make(portal: FakePortal, memory: Memory = memory) -> PortalBrowser:
        browser = PortalBrowser(viewer_model, open_portal=lambda _source, _job: portal, memory=memory)
        qtbot.addWidget(browser)
        browser.resize(380, 760)
        browser.show()
        made.append(browser)
        return browser

    yield make
    for browser in made:
        browser.close_down()


@pytest.fixture
def browser(qtbot: QtBot, make_browser: Callable[..., PortalBrowser], portal: FakePortal) -> PortalBrowser:
    """A dock whose list of datasets is there."""
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    return browser
