"""The window that the command line opens, its screenshot, and its errors."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari import current_viewer
from napari.settings import get_settings
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt import launch as launch_module
from napari_cryoet._qt.launch import LaunchOptions, launch
from napari_cryoet.cli.console import working
from napari_cryoet.exceptions import CryoETError, StoppedError
from qt.fake_portal import FakePortal

CELL_RUN, RUN_WITHOUT_TOMOGRAM = 9001, 9004


@pytest.fixture(autouse=True)
def reset_async() -> Iterator[None]:
    """Reset napari's asynchronous slicing after each test."""
    before = get_settings().experimental.async_
    yield
    get_settings().experimental.async_ = before


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


def test_a_run_is_drawn_with_its_tomogram_and_annotations(
    qtbot: QtBot, demo_pack: Path, picture: Path
) -> None:
    assert launch(LaunchOptions(source=str(demo_pack), run_id=CELL_RUN, screenshot=picture)) == 0
    drawn = np.asarray(Image.open(picture).convert("RGB"))
    assert drawn.shape == (800, 1280, 3)
    canvas = drawn[150:650, 450:850].astype(int)
    is_grey = np.ptp(canvas, axis=2) < 12
    assert 0.3 < is_grey.mean() < 0.99  # a tomogram with coloured annotations
    assert len(np.unique(canvas[is_grey])) > 50


def test_the_window_fits_the_screen(
    qtbot: QtBot, demo_pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_settings().application
    monkeypatch.setattr(settings, "first_time", False)
    monkeypatch.setattr(settings, "window_size", (5000, 700))
    sizes = []

    def run() -> None:
        viewer = current_viewer()
        window = viewer.window._qt_window  # napari's own name for it
        sizes.append((window.frameGeometry().width(), window.screen().availableSize().width()))
        viewer.close()

    monkeypatch.setattr(launch_module.napari, "run", run)
    assert launch(LaunchOptions(source=str(demo_pack))) == 0
    ((width, screen_width),) = sizes
    assert width <= screen_width


def test_ctrl_c_closes_the_window(
    qtbot: QtBot, demo_pack: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        launch_module.Opening, "missing", lambda _opening: "all"
    )  # not drawn before that
    options = LaunchOptions(source=str(demo_pack), run_id=CELL_RUN, screenshot=picture)
    with working() as task:
        QTimer.singleShot(700, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(StoppedError):
            launch(options, task=task)
    assert not [widget for widget in QApplication.topLevelWidgets() if widget.isVisible()]
    assert not picture.exists()


def test_a_run_without_a_tomogram_is_an_error(qtbot: QtBot, demo_pack: Path, picture: Path) -> None:
    with pytest.raises(CryoETError, match="DEMO_004 has no tomogram"):
        launch(
            LaunchOptions(source=str(demo_pack), run_id=RUN_WITHOUT_TOMOGRAM, screenshot=picture)
        )
    assert not picture.exists()


def test_the_run_is_requested_from_the_first_source_only(
    make_browser: Callable[..., Any], qtbot: QtBot
) -> None:
    portal = FakePortal()
    browser = make_browser(portal)
    launch_module.Opening(browser, LaunchOptions(source="live", run_id=77)).begin()
    qtbot.waitUntil(lambda: ("run_page", 77) in portal.requests)
    with qtbot.waitSignal(browser.session.opened):
        browser.use_source("demo")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        pass
    assert portal.requests.count(("run_page", 77)) == 1
