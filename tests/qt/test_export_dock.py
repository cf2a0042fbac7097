"""The dock that exports picks."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_cryoet._qt.files import export_dock
from napari_cryoet._qt.files.export_dock import SELECTED, ExportPicks
from napari_cryoet._qt.files.questions import ContextAnswer
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.load import load_picks
from napari_cryoet.picks import Picks


@pytest.fixture
def layer(viewer_model):
    about = {"authors": ["Ada"], "run_name": "TS_026", "object_name": "cytosolic ribosome"}
    picks = Picks([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], 10.0, about=about)
    return add_layers(viewer_model, load_picks(picks, name="ribosomes"))[-1]


@pytest.fixture
def form_without_path(qtbot, viewer_model, layer):
    form = ExportPicks(viewer_model)
    qtbot.addWidget(form)
    form.show()
    yield form
    form.close_down()


@pytest.fixture
def form(form_without_path, qtbot, tmp_path):
    """The dock with a typed path."""
    form_without_path.path.selectAll()
    qtbot.keyClicks(form_without_path.path, str(tmp_path / "out.ndjson"))
    return form_without_path


def choose(combo, data):
    combo.setCurrentIndex(combo.findData(data))


def export(form, qtbot):
    qtbot.mouseClick(form.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(form.bar.message.text()))


def test_the_tomograms_name_for_relion_can_be_edited(form, layer, qtbot):
    assert not form.tomogram.isVisible()
    choose(form.format, "relion5")
    choose(form.version, "relion4")
    assert form.tomogram.text() == "TS_026"
    form.tomogram.selectAll()
    qtbot.keyClicks(form.tomogram, "tomo 7")
    qtbot.waitUntil(lambda: "tomo-7" in form.losses.text())
    export(form, qtbot)

    assert "tomo-7" in form.chosen_path.read_text()
    assert "TS_026" not in form.chosen_path.read_text()


def test_own_picks_have_the_name_of_the_tomogram_below(form, viewer_model):
    image = viewer_model.add_image(np.zeros((4, 4, 4)), name="rec_TS_9")
    viewer_model.layers.move(viewer_model.layers.index(image), 0)
    own = viewer_model.add_points(np.zeros((1, 3)), name="mine")
    form.layer.choose(own)
    assert form.tomogram.text() == "rec_TS_9"


def test_the_form_shows_layer_pick_count_and_default_file_name(form_without_path, layer):
    assert form_without_path.layer.layer is layer
    assert form_without_path.count.text() == "3 picks to write."
    assert form_without_path.chosen_path.name == "TS_026_cytosolic-ribosome.ndjson"
    choose(form_without_path.format, "csv")
    assert form_without_path.chosen_path.name == "TS_026_cytosolic-ribosome.picks.csv"


def test_losses_are_shown_before_writing_in_the_background(form, qtbot, off_gui_thread):
    off_gui_thread(export_dock, "losses")
    off_gui_thread(export_dock, "write_picks")
    choose(form.format, "dynamo")
    qtbot.waitUntil(lambda: "counted from 1" in form.losses.text())
    assert form.chosen_path.name == "out.tbl"
    export(form, qtbot)

    assert form.bar.message.text().startswith("Wrote 3 picks to ")
    assert read_picks(form.chosen_path).about.authors == ("Ada",)


def test_relion_is_one_format_with_a_choice_of_version(form, qtbot):
    assert [form.format.itemText(row) for row in range(form.format.count())].count(
        "RELION STAR"
    ) == 1
    assert form.version.isHidden()
    form.format.setCurrentText("RELION STAR")
    assert not form.version.isHidden()
    form.version.setCurrentText("version 3.1")
    export(form, qtbot)

    assert "_rlnCoordinateX" in form.chosen_path.read_text()


def test_exporting_selected_picks_is_recorded(form, layer, qtbot):
    layer.selected_data = set()
    choose(form.which, SELECTED)
    assert not form.bar.button.isEnabled()
    layer.selected_data = {0, 2}
    qtbot.waitUntil(form.bar.button.isEnabled)
    export(form, qtbot)
    written = read_picks(form.chosen_path)

    assert written.points_zyx.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert written.edits == ("2 of 3 picks chosen by hand",)


@pytest.mark.parametrize("agrees", [False, True])
def test_an_existing_file_is_replaced_only_after_confirmation(form, qtbot, monkeypatch, agrees):
    form.chosen_path.write_text("mine")
    monkeypatch.setattr(export_dock, "may_replace", lambda _path, _parent: agrees)
    export(form, qtbot)
    assert (form.chosen_path.read_text() != "mine") is agrees


def test_missing_information_is_asked_for_once(form, qtbot, monkeypatch):
    form.format.setCurrentText("RELION STAR")
    qtbot.waitUntil(lambda: "needs the size of the volume" in form.losses.text())

    class AnsweredDialog(export_dock.ContextDialog):
        answer = ContextAnswer(10.0, (40, 50, 60))

        def exec(self):
            return 1

    monkeypatch.setattr(export_dock, "ContextDialog", AnsweredDialog)
    export(form, qtbot)
    np.testing.assert_allclose(
        read_picks(form.chosen_path).points_zyx, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    )
    qtbot.waitUntil(lambda: "needs" not in form.losses.text())
