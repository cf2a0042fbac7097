"""The dock that exports picks, through napari, in a real viewer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import Qt

from napari_cryoet._qt.files import export_dock
from napari_cryoet._qt.files.export_dock import SELECTED, ExportPicks
from napari_cryoet._qt.files.questions import Answer
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.load import load_picks
from napari_cryoet.picks import Picks

NO_PICKS = "Open picks to export: show an annotation from the portal's dock, or open a file of picks."


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


@pytest.fixture
def layer(viewer):
    about = {"authors": ["Ada"], "run_name": "TS_026", "object_name": "cytosolic ribosome"}
    picks = Picks([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], 10.0, about=about)
    return next(made for made in add_layers(viewer, load_picks(picks, name="ribosomes")) if isinstance(made, Points))


@pytest.fixture
def form(viewer, layer, qtbot, tmp_path):
    _dock, form = viewer.window.add_plugin_dock_widget("napari-cryoet", "Export picks")
    assert isinstance(form, ExportPicks)
    type_path(form, qtbot, tmp_path / "out.ndjson")
    return form


def type_path(form, qtbot, path):
    form.path.selectAll()
    qtbot.keyClicks(form.path, str(path))


def choose(combo, data):
    combo.setCurrentIndex(combo.findData(data))


def export(form, qtbot):
    qtbot.mouseClick(form.export, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(form.message.text()))


def test_the_layer_is_chosen_its_picks_are_counted_and_the_file_is_named_after_run_and_object(viewer, layer):
    _dock, form = viewer.window.add_plugin_dock_widget("napari-cryoet", "Export picks")

    assert form.layer.layer is layer
    assert form.count.text() == "3 picks to write."
    assert form.export.isEnabled()
    assert form.chosen_path.name == "TS_026_cytosolic-ribosome.ndjson"
    choose(form.format, "csv")
    assert form.chosen_path.name == "TS_026_cytosolic-ribosome.picks.csv"


def test_losses_are_said_before_writing(form, qtbot):
    choose(form.format, "dynamo")

    qtbot.waitUntil(lambda: "counted from 1" in form.losses.text())
    assert form.chosen_path.name == "out.tbl"


def test_a_click_writes_the_file(form, qtbot):
    export(form, qtbot)

    assert form.message.text().startswith("Wrote 3 picks to ")
    assert read_picks(form.chosen_path).about["authors"] == ["Ada"]


def test_relion_is_one_format_whose_version_is_asked(form, qtbot):
    assert [form.format.itemText(row) for row in range(form.format.count())].count("RELION STAR") == 1
    assert form.version.isHidden()
    form.format.setCurrentText("RELION STAR")
    assert not form.version.isHidden()
    form.version.setCurrentText("version 3.1")
    export(form, qtbot)

    assert "_rlnCoordinateX" in form.chosen_path.read_text()


def test_only_the_selected_picks_are_written_and_that_is_on_record(form, layer, qtbot):
    layer.selected_data = set()
    choose(form.which, SELECTED)
    assert form.count.text() == "None is selected: select some in the viewer."
    assert not form.export.isEnabled()
    layer.selected_data = {0, 2}
    qtbot.waitUntil(lambda: form.count.text() == "2 picks to write.")
    export(form, qtbot)
    found = read_picks(form.chosen_path)

    assert found.points_zyx.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert found.ids.tolist() == [0, 2]
    assert found.edits == ("2 of 3 picks chosen by hand",)


@pytest.mark.parametrize("agrees", [True, False])
def test_a_file_that_is_there_is_replaced_only_with_consent(form, qtbot, monkeypatch, agrees):
    asked = []
    monkeypatch.setattr(export_dock, "may_replace", lambda path, _parent: asked.append(path.name) or agrees)
    form.chosen_path.write_text("mine")
    export(form, qtbot)

    assert asked == ["out.ndjson"]
    assert (form.chosen_path.read_text() != "mine") is agrees
    assert form.message.text().startswith("Wrote" if agrees else "Nothing was written")


def test_what_a_format_needs_is_asked_for_and_then_known(form, qtbot, monkeypatch):
    form.format.setCurrentText("RELION STAR")
    qtbot.waitUntil(lambda: "needs the size of the volume" in form.losses.text())

    class Says(export_dock.ContextDialog):
        answer = Answer(10.0, (40, 50, 60))

        def exec(self):
            return 1

    monkeypatch.setattr(export_dock, "ContextDialog", Says)
    export(form, qtbot)
    np.testing.assert_allclose(read_picks(form.chosen_path).points_zyx, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    qtbot.waitUntil(lambda: "needs" not in form.losses.text())


def test_the_window_does_not_wait_for_the_disk_nor_for_what_is_said_before(form, qtbot, monkeypatch):
    goes_on, threads = threading.Event(), set()

    def slowly(function):
        def run(*arguments, **options):
            threads.add(threading.current_thread())
            assert goes_on.wait(60)
            return function(*arguments, **options)

        return run

    for name in ("losses", "write_picks"):
        monkeypatch.setattr(export_dock, name, slowly(getattr(export_dock, name)))
    choose(form.format, "dynamo")
    qtbot.mouseClick(form.export, Qt.MouseButton.LeftButton)
    assert not form.export.isEnabled()
    goes_on.set()
    qtbot.waitUntil(lambda: form.message.text().startswith("Wrote"))

    assert threading.main_thread() not in threads
    qtbot.waitUntil(lambda: form.export.isEnabled() and "counted from 1" in form.losses.text())
