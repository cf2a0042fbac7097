"""The window that the command line opens, its picture, and what it does about everything that goes wrong."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt import launch as launch_module
from napari_cryoet._qt.launch import Order, chosen_files, launch
from napari_cryoet.cli.console import working
from napari_cryoet.exceptions import CryoETError, StoppedError
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import open_portal
from qt.fake_portal import FakePortal

CELL_RUN, RUN_WITHOUT_TOMOGRAM = 9001, 9004
RIBOSOMES, MEMBRANE, CAPTION, MISALIGNED = 9001, 9008, 9009, 9011


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    """A test may leave napari slicing on another thread; the next one shall not notice."""
    before = get_settings().experimental.async_
    yield
    get_settings().experimental.async_ = before


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


@pytest.fixture(scope="module")
def page(demo_pack: Path) -> RunPage:
    return open_portal(demo_pack).run_page(CELL_RUN)


def colors_in(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


# Pictures


def test_a_run_is_drawn_with_its_tomogram_and_annotations(qtbot: QtBot, demo_pack: Path, picture: Path) -> None:
    assert launch(Order(source=str(demo_pack), run_id=CELL_RUN, screenshot=picture)) == 0
    drawn = colors_in(picture)
    assert drawn.shape == (800, 1280, 3)
    canvas = drawn[150:650, 450:850].astype(int)
    is_grey = np.ptp(canvas, axis=2) < 12
    assert 0.3 < is_grey.mean() < 0.99  # a tomogram, and something coloured over it
    assert len(np.unique(canvas[is_grey])) > 50


def test_ctrl_c_closes_the_window(
    qtbot: QtBot, demo_pack: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module.Opening, "missing", lambda _opening: "all")  # not drawn before that
    order = Order(source=str(demo_pack), run_id=CELL_RUN, screenshot=picture)
    with working() as (stop, _):
        QTimer.singleShot(700, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(StoppedError):
            launch(order, stop=stop)
    assert not [widget for widget in QApplication.topLevelWidgets() if widget.isVisible()]
    assert not picture.exists()


# What goes wrong


def test_a_run_that_cannot_be_drawn_is_an_error(qtbot: QtBot, demo_pack: Path, picture: Path) -> None:
    with pytest.raises(CryoETError, match="DEMO_004 has no tomogram"):
        launch(Order(source=str(demo_pack), run_id=RUN_WITHOUT_TOMOGRAM, screenshot=picture))
    assert not picture.exists()


# Which annotations


def test_of_an_annotation_with_two_shapes_of_its_points_the_richer_one_is_shown(page: RunPage) -> None:
    for which in ((RIBOSOMES,), "all"):
        files = [file for file in chosen_files(page, page.tomograms[0], which) if file.shape.annotation_id == RIBOSOMES]
        assert [str(file.shape.shape_type) for file in files] == ["OrientedPoint"]


def test_a_run_is_asked_for_in_the_first_source_only(make_browser: Callable[..., Any], qtbot: QtBot) -> None:
    portal = FakePortal()
    browser = make_browser(portal)
    launch_module.Opening(browser, Order(source="live", run_id=77)).begin()
    qtbot.waitUntil(lambda: ("run_page", 77) in portal.asked)
    with qtbot.waitSignal(browser.session.opened):
        browser.use_source("demo")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        pass
    assert portal.asked.count(("run_page", 77)) == 1
