"""The window that the command line opens, its screenshot, and its errors."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from napari import current_viewer
from napari.settings import get_settings
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from classroom.classes import make_lesson
from napari_cryoet._qt import launch as launch_module
from napari_cryoet._qt.launch import LaunchOptions, launch
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.classroom.server import ClassServer
from napari_cryoet.cli import main
from napari_cryoet.cli.console import working
from napari_cryoet.exceptions import CryoETError, StoppedError
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.portal.provenance import path_of
from napari_cryoet.views.view import (
    View,
    ViewedAnnotation,
    ViewedLayer,
    ViewedRun,
    ViewedTomogram,
    read_view,
    write_view,
)
from qt.fake_portal import FakePortal
from views.cameras import camera_at

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


def test_a_class_is_joined_with_its_lesson_in_front(
    qtbot: QtBot,
    demo_pack: Path,
    tmp_path: Path,
    user_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lessons = []

    def run() -> None:
        viewer = current_viewer()
        dock = open_dock(viewer, "Lesson", in_front=False)
        holder = dock.parent()
        qtbot.waitUntil(lambda: bool(dock.window().tabifiedDockWidgets(holder)))
        qtbot.waitUntil(lambda: dock.is_in_front)
        lessons.append(dock.player.session.lesson.title)
        viewer.close()

    monkeypatch.setattr(launch_module.napari, "run", run)
    with ClassServer(demo_pack, "Monday", [make_lesson()], results=tmp_path) as server:
        code = ["--code", server.join_code, "--name", "Anna"]
        assert main(["join", server.page_url, *code]) == 0
        assert [student.nickname for student in server.room.students] == ["Anna"]
    assert lessons == ["A fake lesson"]


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


@pytest.fixture
def view_path(demo_pack: Path, tmp_path: Path) -> Path:
    """The file of a view beside a pack: a tomogram, and picks that aren't in the pack."""
    pack = shutil.copytree(demo_pack, tmp_path / "pack", copy_function=os.link)
    tomogram = open_portal(pack).run_page(CELL_RUN).default_tomogram
    middle = tuple(size * tomogram.voxel_spacing / 2 for size in (40, 100, 100))
    view = View(
        runs=(ViewedRun(source="pack", dataset_id=90001, run_name="DEMO_001"),),
        layers=(
            ViewedLayer(kind="tomogram", tomogram=ViewedTomogram(path=path_of(tomogram))),
            ViewedLayer(
                kind="annotation", annotation=ViewedAnnotation(path="x", object_name="dynein")
            ),
        ),
        camera=camera_at(middle, (400, 600)),
    )
    return write_view(view, pack / "cell")


def test_a_view_is_drawn_by_one_command(
    qtbot: QtBot, view_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["picture", str(view_path), str(picture), "--size", "1700x1200", "--no-legend"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(picture)
    assert "dynein" in said.err  # named, and the rest is drawn
    with Image.open(picture) as drawn:
        assert drawn.size == (1700, 1200)
        grays = np.asarray(drawn.convert("L"))[300:900, 300:900]
    assert len(np.unique(grays)) > 20
    assert main(command) == 1
    assert "already" in capsys.readouterr().err
    assert not [widget for widget in QApplication.topLevelWidgets() if widget.isVisible()]


@pytest.mark.parametrize("motion", [["--sweep"], ["--to", "{view}"]])
def test_a_movie_of_a_view_is_drawn_by_one_command(
    qtbot: QtBot, view_path: Path, picture: Path, motion: list[str]
) -> None:
    motion = [part.format(view=view_path) for part in motion]
    path = picture.with_suffix(".gif")
    options = ["--seconds", "0.2", "--size", "200x100"]
    assert main(["movie", str(view_path), str(path), *motion, *options]) == 0
    with Image.open(path) as movie:
        assert movie.n_frames == 5


def test_a_movie_needs_a_motion_that_its_view_allows(
    qtbot: QtBot, view_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["movie", str(view_path), str(picture.with_suffix(".mp4"))]) == 2
    assert main(["movie", str(view_path), str(picture.with_suffix(".mp4")), "--turn"]) == 1
    assert "3D" in capsys.readouterr().err
    assert list(picture.parent.glob("*.mp4")) == []


def test_a_foreign_host_has_to_be_allowed(
    qtbot: QtBot, view_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = read_view(view_path)
    run = replace(view.runs[0], source="http://127.0.0.1:9/graphql")
    foreign = write_view(replace(view, runs=(run,)), view_path.with_name("foreign"))
    assert main(["picture", str(foreign), str(picture)]) == 1
    assert "--allow 127.0.0.1:9" in capsys.readouterr().err
    assert main(["picture", str(foreign), str(picture), "--allow", "127.0.0.1:9"]) == 5
    assert "can't be reached" in capsys.readouterr().err
    assert not picture.exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs xvfb-run")
def test_a_picture_is_drawn_without_a_display(view_path: Path, picture: Path) -> None:
    displays = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    environment = {name: text for name, text in os.environ.items() if name not in displays}
    command = [sys.executable, "-m", "napari_cryoet.cli", "picture", str(view_path), str(picture)]
    subprocess.run(command, env=environment, check=True, timeout=100)
    with Image.open(picture) as drawn:
        assert drawn.size == (1920, 1080)
