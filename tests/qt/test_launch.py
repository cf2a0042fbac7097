"""The window that the command line opens, its picture, and what it does about everything that goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QColor, QFont, QImage, QPainter
from qtpy.QtWidgets import QLabel, QMainWindow

from napari_cryoet._qt.launch import Order, launch
from napari_cryoet._qt.window_picture import save_picture, shows_data
from napari_cryoet.exceptions import CryoETError

CELL_RUN, BARE_RUN, RUN_WITHOUT_TOMOGRAM = 9001, 9003, 9004


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return tmp_path / "picture.png"


def greys_of(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"))


def test_a_dataset_is_drawn_with_its_runs(qtbot: QtBot, demo_pack: Path, picture: Path) -> None:
    assert launch(Order(source=str(demo_pack), dataset_id=90001, screenshot=picture)) == 0
    assert greys_of(picture).shape == (800, 1280)


def test_the_window_has_the_size_that_was_ordered(qtbot: QtBot, demo_pack: Path, picture: Path) -> None:
    launch(Order(source=str(demo_pack), screenshot=picture, size_px=(1000, 700)))
    assert greys_of(picture).shape == (700, 1000)


@pytest.mark.parametrize(
    ("run_id", "words"), [(RUN_WITHOUT_TOMOGRAM, "DEMO_004 has no tomogram"), (77, "has no run 77")]
)
def test_a_run_that_cannot_be_drawn_is_an_error(
    qtbot: QtBot, demo_pack: Path, picture: Path, run_id: int, words: str
) -> None:
    with pytest.raises(CryoETError, match=words):
        launch(Order(source=str(demo_pack), run_id=run_id, screenshot=picture))
    assert not picture.exists()


def test_a_source_that_cannot_be_opened_is_an_error(qtbot: QtBot, tmp_path: Path, picture: Path) -> None:
    with pytest.raises(CryoETError, match="There is no folder"):
        launch(Order(source=str(tmp_path / "nowhere"), screenshot=picture))
    assert not picture.exists()


def test_an_empty_canvas_with_words_on_it_shows_no_data(qtbot: QtBot) -> None:
    image = QImage(300, 300, QImage.Format.Format_Grayscale8)
    image.fill(QColor("black"))
    painter = QPainter(image)
    painter.setPen(QColor("lightgray"))
    painter.setFont(QFont("sans", 20))
    painter.drawText(20, 150, "Drag file(s) here to open")
    painter.end()
    greys = np.array([[image.pixelColor(x, y).red() for x in range(300)] for y in range(300)], dtype=np.uint8)
    assert not shows_data(greys)


def test_noise_like_a_tomograms_shows_data() -> None:
    greys = np.random.default_rng(1).normal(120, 30, (300, 300)).clip(0, 255).astype(np.uint8)
    assert shows_data(greys)
    assert not shows_data(np.full((300, 300), 120, dtype=np.uint8))


def test_a_window_that_shows_nothing_makes_no_picture(qtbot: QtBot, picture: Path) -> None:
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(QLabel("nothing"))
    window.resize(400, 300)
    with pytest.raises(CryoETError, match="Nothing is drawn"):
        save_picture(window, picture, must_show_data=True)
    assert not picture.exists()


def test_a_picture_that_cannot_be_written_is_told(qtbot: QtBot, tmp_path: Path) -> None:
    window = QMainWindow()
    qtbot.addWidget(window)
    (tmp_path / "file").write_text("")
    with pytest.raises(CryoETError, match="can't be written"):
        save_picture(window, tmp_path / "file" / "picture.png", must_show_data=False)
