"""The window that the command line opens, its picture, and what it does about everything that goes wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
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
from napari_cryoet.packs.serve import PackServer
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import open_portal
from qt.fake_portal import FakePortal

CELL_RUN, RUN_WITHOUT_TOMOGRAM = 9001, 9004
RIBOSOMES, MEMBRANE, CAPTION, MISALIGNED = 9001, 9008, 9009, 9011

needs_xvfb = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("xvfb-run") is None, reason="xvfb-run isn't installed"
)


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


def draw_without_display(pack: Path, run_id: int, picture: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as on a machine that has no display."""
    without_display = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "napari_cryoet.cli", "open", str(pack), "--run", str(run_id)]
    return subprocess.run(
        [*command, "--screenshot", str(picture)],
        env=without_display,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
@needs_xvfb
def test_without_a_display_the_picture_is_drawn_on_a_virtual_one(demo_pack: Path, picture: Path) -> None:
    done = draw_without_display(demo_pack, CELL_RUN, picture)
    assert done.returncode == 0, done.stderr
    assert colors_in(picture).shape == (800, 1280, 3)


@pytest.mark.slow
@needs_xvfb
def test_a_display_that_is_not_there_is_told_and_not_a_crash(demo_pack: Path, picture: Path) -> None:
    environment = {**os.environ, "DISPLAY": ":64999", "QT_QPA_PLATFORM": "xcb"}
    command = [sys.executable, "-m", "napari_cryoet.cli", "open", str(demo_pack), "--screenshot", str(picture)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "Qt can't start" in done.stderr
    assert "libxcb-cursor0" in done.stderr


def test_ctrl_c_closes_the_window(
    qtbot: QtBot, demo_pack: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module.Opening, "missing", lambda _opening, _layers: "all")  # not drawn before that
    order = Order(source=str(demo_pack), run_id=CELL_RUN, screenshot=picture)
    with working() as (stop, _):
        QTimer.singleShot(700, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(StoppedError):
            launch(order, stop=stop)
    assert not [widget for widget in QApplication.topLevelWidgets() if widget.isVisible()]
    assert not picture.exists()


# What goes wrong


@pytest.mark.parametrize(
    ("run_id", "words"), [(RUN_WITHOUT_TOMOGRAM, "DEMO_004 has no tomogram"), (77, "has no run 77")]
)
def test_a_run_that_cannot_be_drawn_is_an_error(
    qtbot: QtBot, demo_pack: Path, picture: Path, run_id: int, words: str
) -> None:
    with pytest.raises(CryoETError, match=words):
        launch(Order(source=str(demo_pack), run_id=run_id, screenshot=picture))
    assert not picture.exists()


def hold_files(monkeypatch: pytest.MonkeyPatch, is_held: Callable[[str], bool], released: threading.Event) -> None:
    """Let servers of packs send the files whose paths ``is_held`` only once an event is set."""
    from napari_cryoet.packs import serve

    class HeldResponse(serve.PackFile):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            while is_held(str(self.path)) and not released.is_set():
                await asyncio.sleep(0.02)
            await super().__call__(scope, receive, send)

    monkeypatch.setattr(serve, "PackFile", HeldResponse)


@pytest.mark.slow
def test_what_takes_too_long_is_named(
    qtbot: QtBot, demo_pack: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over, begin = threading.Event(), launch_module.Opening.begin

    def begin_and_wait_for_the_rest(opening: launch_module.Opening) -> None:  # the time that is allowed begins after it
        begin(opening)
        qtbot.waitUntil(lambda: opening.missing(napari.current_viewer().layers).startswith("tomogram"))

    hold_files(monkeypatch, lambda path: "Tomograms" in path and ".zarr" in path, is_over)
    monkeypatch.setattr(launch_module.Opening, "begin", begin_and_wait_for_the_rest)
    with PackServer(demo_pack) as server:
        order = Order(source=server.graphql_url, run_id=CELL_RUN, screenshot=picture, timeout_s=1)
        with pytest.raises(CryoETError, match=r"Not everything was drawn after 1 s: waiting for tomogram \d+"):
            launch(order)
        is_over.set()
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


@pytest.mark.parametrize(
    ("annotation_id", "words"),
    [(1, "has no annotation 1"), (CAPTION, "can't be shown: This is a text"), (MISALIGNED, "on another alignment")],
)
def test_an_annotation_that_cannot_be_shown_says_why(page: RunPage, annotation_id: int, words: str) -> None:
    with pytest.raises(CryoETError, match=words):
        chosen_files(page, page.tomograms[0], (annotation_id,))
