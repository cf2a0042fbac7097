import threading

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import Qt

from napari_cryoet._qt.files import export_form
from napari_cryoet._qt.files.context_dialog import Answer
from napari_cryoet._qt.files.export_form import ExportPicks
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.picks.layer_picks import link_of, picks_of
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.load import load_picks
from napari_cryoet.picks import Picks


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


@pytest.fixture
def layer(viewer):
    picks = Picks([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], 10.0, about={"authors": ["Ada"]})
    return next(made for made in add_layers(viewer, load_picks(picks, name="ribosomes")) if isinstance(made, Points))


@pytest.fixture
def form(viewer, layer, qtbot, tmp_path):
    _dock, form = viewer.window.add_plugin_dock_widget("napari-cryoet", "Export picks")
    assert isinstance(form, ExportPicks)
    form.path.value = tmp_path / "out.ndjson"
    return form


def export(form, qtbot):
    qtbot.mouseClick(form.export, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(form.message.text()))


def test_the_layer_is_chosen_and_its_picks_are_counted(form, layer):
    assert form.layer.value is layer
    assert form.count.text() == "3 picks to write."
    assert form.export.isEnabled()


def test_losses_are_said_before_writing(form):
    form.format.value = "dynamo"

    assert "counted from 1" in form.losses.text()
    assert form.path.value.name == "out.tbl"


@pytest.mark.parametrize("name", ["ndjson", "relion4", "parquet"])
def test_a_click_writes_the_file_with_who_did_it(form, qtbot, tmp_path, name):
    form.format.value = name
    form.who.value = "Rosalind"
    export(form, qtbot)

    assert form.message.text().startswith("Wrote 3 picks to ")
    assert read_picks(form.chosen_path).about["authors"] == ["Ada"]


def test_only_the_selected_picks_are_written_and_that_is_on_record(form, layer, qtbot):
    layer.selected_data = {0, 2}
    form.which.value = "selected"
    qtbot.waitUntil(lambda: form.count.text() == "2 picks to write.")
    export(form, qtbot)
    found = read_picks(form.chosen_path)

    assert found.points_zyx.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert found.ids.tolist() == [0, 2]
    assert found.edits == ("2 of 3 picks chosen by hand",)


def test_what_a_review_kept_can_be_written(form, layer, qtbot):
    form.which.value = "kept"
    assert form.count.text() == "No review has kept picks of this layer."
    assert not form.export.isEnabled()

    link_of(layer).use_review(lambda: picks_of(layer).take([1], "kept 1 of 3 in review"))
    form.refresh()
    export(form, qtbot)
    assert read_picks(form.chosen_path).edits == ("kept 1 of 3 in review",)


def test_a_file_that_is_there_is_replaced_only_when_that_is_ticked(form, qtbot):
    form.chosen_path.write_text("mine")
    form.refresh()
    assert "out.ndjson is there already" in form.losses.text()
    assert not form.export.isEnabled()

    form.replace.value = True
    export(form, qtbot)
    assert len(read_picks(form.chosen_path)) == 3
    assert form.replace.value is False


def test_a_file_that_came_meanwhile_isnt_replaced(form, qtbot):
    form.chosen_path.write_text("mine")  # nothing told the form
    export(form, qtbot)

    assert "already" in form.message.text()
    assert form.chosen_path.read_text() == "mine"


def test_what_a_format_needs_is_asked_for_and_then_known(form, qtbot, monkeypatch):
    form.format.value = "relion5"
    assert "needs the size of the volume" in form.losses.text()
    assert not form.export.isEnabled()

    class Says(export_form.ContextDialog):
        answer = Answer(10.0, (40, 50, 60))

        def exec(self):
            return 1

    monkeypatch.setattr(export_form, "ContextDialog", Says)
    qtbot.mouseClick(form.say_more, Qt.MouseButton.LeftButton)
    export(form, qtbot)
    np.testing.assert_allclose(read_picks(form.chosen_path).points_zyx, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])


def test_layers_come_and_go(form, viewer, layer):
    other = viewer.add_points(np.ones((1, 3)), name="other")
    viewer.layers.remove(layer)

    assert form.layer.value is other
    viewer.layers.remove(other)
    assert (
        form.count.text() == "Open picks to export: show an annotation from the portal's dock, or open a file of picks."
    )
    assert not form.export.isEnabled()


def test_nothing_selected_is_said(form, layer):
    layer.selected_data = set()
    form.which.value = "selected"

    assert form.count.text() == "None is selected: select some in the viewer."
    assert not form.export.isEnabled()


def test_the_window_does_not_wait_while_very_many_picks_are_looked_through(form, viewer, qtbot, monkeypatch):
    goes_on, threads = threading.Event(), []
    losses = export_form.losses

    def slowly(picks, name):
        if len(picks) > 3:
            threads.append(threading.current_thread())
            assert goes_on.wait(60)
        return losses(picks, name)

    monkeypatch.setattr(export_form, "losses", slowly)
    many = viewer.add_points(np.zeros((30_000, 3)), name="many", scale=(10.0,) * 3, units=("angstrom",) * 3)
    form.layer.value = many
    assert form.count.text() == "30,000 picks to write."
    assert "Looking for what this format won't hold" in form.losses.text()
    assert not form.export.isEnabled()

    goes_on.set()
    qtbot.waitUntil(form.export.isEnabled)
    assert "Looking" not in form.losses.text()
    n_looked = len(threads)
    assert threading.main_thread() not in threads
    many.selected_data = set(range(25_000))
    form.which.value = "selected"
    qtbot.waitUntil(lambda: form.export.isEnabled() and form.count.text() == "25,000 picks to write.")
    assert not form.tasks.is_running(export_form._LOSSES)  # else it would be looked through for ever
    assert len(threads) <= n_looked + 3
