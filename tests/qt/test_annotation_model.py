"""A run's annotations as a tree with ticks."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QModelIndex, Qt

from napari_cryoet._qt.browser.annotation_model import AnnotationModel, Apart, Column
from napari_cryoet.run.outline import outline_run
from qt.fake_portal import run_page

CHECK = Qt.ItemDataRole.CheckStateRole
ON, OFF, HALF = Qt.CheckState.Checked, Qt.CheckState.Unchecked, Qt.CheckState.PartiallyChecked


@pytest.fixture
def model(qtmodeltester) -> AnnotationModel:
    page = run_page(506, "TS_006")
    model = AnnotationModel()
    model.set_outline(outline_run(page, page.default_tomogram))
    qtmodeltester.check(model)
    return model


def cell(model: AnnotationModel, annotation_id: int, column: Column) -> QModelIndex:
    for group in range(model.rowCount()):
        parent = model.index(group, 0)
        for row in range(model.rowCount(parent)):
            index = model.index(row, column, parent)
            if model.record_at(index).annotation.id == annotation_id:
                return index
    raise LookupError(annotation_id)


def test_objects_stand_above_their_annotations_and_misfits_last(model):
    titles = [model.data(model.index(group, 0)) for group in range(model.rowCount())]
    assert titles == ["cytosolic ribosome", "fatty acid synthase", "membrane", "On another alignment (1)"]
    assert isinstance(model.record_at(model.index(3, 0)), Apart)


def test_ticking_show_asks_and_leaves_the_tick_to_the_layer(model, qtbot):
    tick = cell(model, 5061, Column.SHOW)
    with qtbot.waitSignal(model.show_requested) as asked:
        model.setData(tick, ON, CHECK)
    assert asked.args[0].annotation.id == 5061
    assert model.data(tick, CHECK) == OFF
    model.set_shown({}, coming=[50610])
    assert model.data(tick, CHECK) == HALF
    model.set_shown({50610: None})
    assert model.data(tick, CHECK) == ON
    with qtbot.waitSignal(model.hide_requested) as asked:
        model.setData(tick, OFF, CHECK)
    assert asked.args[0].annotation.id == 5061


def test_a_coming_layer_can_be_given_up(model, qtbot):
    model.set_shown({}, coming=[50610])
    with qtbot.waitSignal(model.hide_requested):
        model.toggle(cell(model, 5061, Column.TEXT), Column.SHOW)


def test_a_row_on_another_alignment_says_which_before_all_else(model):
    assert model.data(cell(model, 5065, Column.TEXT)) == "9 points · AL-18 · manual"


def test_what_cannot_be_drawn_has_no_tick_to_show(model, qtbot):
    tick = cell(model, 5067, Column.SHOW)
    assert model.data(tick, CHECK) is None
    with qtbot.assertNotEmitted(model.show_requested):
        assert not model.setData(tick, ON, CHECK)


def test_an_object_ticks_all_its_annotations_for_download(model, qtbot):
    group = model.index(0, Column.DOWNLOAD)
    with qtbot.waitSignal(model.downloads_changed):
        model.setData(group, ON, CHECK)
    assert [row.annotation.id for row in model.rows_to_download()] == [5061, 5062, 5068]
    model.toggle(cell(model, 5061, Column.TEXT), Column.DOWNLOAD)
    assert model.data(group, CHECK) == HALF
    assert [row.annotation.id for row in model.rows_to_download()] == [5062, 5068]


def test_download_ticks_survive_another_tomogram_but_not_another_run(model):
    model.toggle(cell(model, 5061, Column.TEXT), Column.DOWNLOAD)
    page = run_page(506, "TS_006")
    model.set_outline(outline_run(page, page.tomograms[1]))
    assert [row.annotation.id for row in model.rows_to_download()] == [5061]
    other = run_page(507, "TS_007")
    model.set_outline(outline_run(other, other.default_tomogram))
    assert model.rows_to_download() == ()


def test_tooltips_do_not_take_remote_text_for_markup(model):
    tooltip = model.data(cell(model, 5061, Column.TEXT), Qt.ItemDataRole.ToolTipRole)
    assert "&lt;b&gt;expert&lt;/b&gt;" in tooltip
    assert "ground truth" in tooltip
