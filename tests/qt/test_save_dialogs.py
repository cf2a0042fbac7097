"""The dialogs that save a picture and a movie."""

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QStandardPaths, Qt

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.views import save_dialogs
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.save_dialogs import SaveDialog
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.provenance import Provenance
from napari_cryoet.views.store import keep_view
from napari_cryoet.views.view import View, write_view


@pytest.fixture
def shown(viewer_in_window, user_folder, monkeypatch):
    """A viewer with a small volume; pictures go to a folder of the test."""
    monkeypatch.setattr(QStandardPaths, "writableLocation", lambda _place: str(user_folder))
    values = np.random.default_rng(0).normal(size=(20, 40, 40)).astype("f4")
    viewer_in_window.add_image(values, scale=(10, 10, 10), units=("angstrom",) * 3)
    return viewer_in_window


@pytest.fixture
def opened(qtbot, shown):
    """Open a dialog, fill its form and save."""

    def save(*, is_movie, **values):
        dialog = SaveDialog(shown, is_movie=is_movie)
        dialog.show()
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        qtbot.addWidget(dialog)
        for name, value in values.items():
            dialog.form[name].value = value
        qtbot.mouseClick(dialog.bar.button, Qt.MouseButton.LeftButton)
        return dialog

    return save


SMALL = {"width": 161, "height": 90}


def test_a_picture_is_saved_by_one_click(qtbot, opened, user_folder):
    dialog = opened(is_movie=False, **SMALL)
    qtbot.waitUntil(lambda: dialog.bar.message.text().startswith("Saved"))
    with Image.open(user_folder / "napari.png") as picture:
        assert picture.size == (161, 90)
    assert dialog.form.enabled
    assert opened(is_movie=False, **SMALL).path == user_folder / "napari-2.png"


def test_a_file_is_replaced_only_if_you_agree(qtbot, opened, user_folder, monkeypatch):
    path = user_folder / "mine.png"
    path.write_text("mine")
    monkeypatch.setattr(save_dialogs, "may_replace", lambda *_: False)
    opened(is_movie=False, file=path, **SMALL)
    assert path.read_text() == "mine"
    monkeypatch.setattr(save_dialogs, "may_replace", lambda *_: True)
    dialog = opened(is_movie=False, file=path, **SMALL)
    qtbot.waitUntil(lambda: dialog.bar.message.text().startswith("Saved"))
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("motion", ["sweep", "turn", "to view"])
def test_a_movie_shows_the_chosen_motion(qtbot, shown, opened, user_folder, motion):
    shown.dims.ndisplay = 3 if motion == "turn" else 2
    write_view(View(camera=camera_of(shown)), user_folder / "end.view.json")
    values = {"seconds": 0.2, "motion": motion, "view": user_folder / "end.view.json"}
    dialog = opened(is_movie=True, file=user_folder / "m.gif", **values, **SMALL)
    assert dialog.form.first_nm.visible == (motion == "sweep")
    qtbot.waitUntil(lambda: dialog.bar.message.text().startswith("Saved"))
    with Image.open(user_folder / "m.gif") as movie:
        assert (movie.n_frames, movie.size) == (5, (161, 90))


def test_a_movie_moves_to_a_view_that_is_kept_for_the_run(qtbot, shown, opened, user_folder):
    about = Provenance(dataset_id=90001, run_name="TS_1")
    shown.layers[0].metadata[METADATA_KEY] = about.to_dict()
    kept = keep_view(View(camera=camera_of(shown)), "Here", 90001, "TS_1")
    values = {"seconds": 0.2, "motion": "to view", **SMALL}
    dialog = opened(is_movie=True, file=user_folder / "m.gif", **values)
    assert dialog.form.kept.value == str(kept.path)
    assert not dialog.form.view.visible
    qtbot.waitUntil(lambda: dialog.bar.message.text().startswith("Saved"))
    dialog.form.kept.value = ""
    assert dialog.form.view.visible


def test_a_running_movie_can_be_stopped(qtbot, opened, user_folder):
    dialog = opened(is_movie=True, seconds=100, **SMALL)
    qtbot.waitUntil(lambda: "frame" in dialog.bar.message.text())
    qtbot.mouseClick(dialog.bar.button, Qt.MouseButton.LeftButton)
    assert dialog.bar.message.text() == "Stopped."
    qtbot.waitUntil(lambda: not list(user_folder.glob("*.mp4")))
    closed = opened(is_movie=True, seconds=100, **SMALL)
    closed.close()
    qtbot.waitUntil(lambda: not list(user_folder.glob("*napari*")))


def test_what_is_impossible_is_said(shown, opened):
    assert "3D" in opened(is_movie=True, motion="turn").bar.message.text()
    shown.layers.clear()
    shown.add_image(np.zeros((20, 20)))
    assert "three axes" in opened(is_movie=False).bar.message.text()


def test_the_docks_menu_opens_both(qtbot, shown, memory):
    browser = PortalBrowser(shown, memory=memory)
    qtbot.addWidget(browser)
    actions = {
        action.text(): action for action in browser.screens.source_bar.options_menu.actions()
    }
    for title in ("Save picture", "Save movie"):
        actions[f"{title}…"].trigger()
        dialogs = shown.window.main_menu.window().findChildren(save_dialogs.SaveDialog)
        (dialog,) = [each for each in dialogs if each.windowTitle() == title]
        assert dialog.isVisible()
        dialog.close()
    browser.close_down()
