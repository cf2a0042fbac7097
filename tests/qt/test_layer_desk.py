"""Rows and layers in step, on a small demo pack and a viewer without a window."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from napari.layers import Image, Points, Surface
from qtpy.QtCore import QModelIndex, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit, QMenu

from napari_cryoet._qt.browser.annotation_model import AnnotationModel, Column
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.widgets.question import Question
from napari_cryoet._qt.widgets.roles import Role
from napari_cryoet.demo.scenes import scene_of_run
from napari_cryoet.exceptions import StreamError
from napari_cryoet.layers.specs import METADATA_KEY

CHECK = Qt.ItemDataRole.CheckStateRole
ON, OFF = Qt.CheckState.Checked, Qt.CheckState.Unchecked


@pytest.fixture
def dock(qtbot, viewer_model, memory, demo_pack):
    """The dock on the demo, and a layer of the person's own."""
    viewer_model.add_points(np.zeros((1, 3)), name="my picks")
    browser = PortalBrowser(viewer_model, memory=memory)
    qtbot.addWidget(browser)
    browser.resize(380, 760)
    browser.show()
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(demo_pack)
    yield browser
    browser.close_down()


@pytest.fixture
def run_id(dock, demo_pack):
    """The run with most annotations."""
    from napari_cryoet.portal.portal import open_portal

    portal = open_portal(demo_pack)
    runs = [run for dataset in portal.datasets() for run in portal.runs(dataset.id)]
    return max(runs, key=lambda run: run.annotation_count).id


@pytest.fixture
def at_run(qtbot, dock, run_id):
    """The dock at the page of that run, with nothing opened."""
    with qtbot.waitSignal(dock.navigator.run_arrived):
        dock.navigator.go_to_run(run_id)
    return dock


def settle(qtbot, dock) -> None:
    qtbot.waitUntil(lambda: not dock.link.coming())


def rows(model: AnnotationModel, column: Column = Column.SHOW) -> list[QModelIndex]:
    parents = [model.index(group, 0) for group in range(model.rowCount())]
    return [model.index(row, column, parent) for parent in parents for row in range(model.rowCount(parent))]


def first_that(model: AnnotationModel, condition) -> QModelIndex:
    return next(index for index in rows(model) if condition(model.record_at(index)))


def is_points(row) -> bool:
    return row.fits and row.shown_file is not None and row.shown_file.format == "ndjson"


def names(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_looking_at_a_run_adds_nothing(qtbot, at_run, viewer_model):
    qtbot.wait(100)
    assert names(viewer_model) == ["my picks"]


def test_opening_a_run_adds_its_default_tomogram_and_what_the_curators_show(qtbot, dock, run_id, viewer_model):
    with qtbot.waitSignal(dock.navigator.run_arrived):
        dock.navigator.go_to_run(run_id, opens_layers=True)
    settle(qtbot, dock)
    page, outline = dock.screens.run.page, dock.screens.run._outline
    assert dock.link.shown() == {
        LayerKey("tomogram", page.default_tomogram.id),
        *(LayerKey("annotation", file.id) for file in outline.defaults()),
    }
    assert "my picks" in names(viewer_model)


def test_the_open_button_opens_and_then_leads_to_the_layer(qtbot, at_run, viewer_model):
    button = at_run.screens.run.open
    assert button.text().strip().startswith("Open  ≈")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert button.is_loading
    settle(qtbot, at_run)
    assert button.text().strip() == "Go to its layer"
    (image,) = [layer for layer in viewer_model.layers if isinstance(layer, Image)]
    viewer_model.layers.selection.active = viewer_model.layers["my picks"]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert viewer_model.layers.selection.active is image
    assert len([layer for layer in viewer_model.layers if isinstance(layer, Image)]) == 1


def test_stop_leaves_no_half_layer(qtbot, at_run, viewer_model):
    button = at_run.screens.run.open
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert not button.is_loading
    qtbot.wait(300)
    assert names(viewer_model) == ["my picks"]


def test_a_tick_shows_and_hides_an_annotation(qtbot, at_run, viewer_model):
    model = at_run.screens.run.annotations
    tick = first_that(model, is_points)
    model.setData(tick, ON, CHECK)
    settle(qtbot, at_run)
    assert model.data(tick, CHECK) == ON
    assert len(viewer_model.layers) > 1
    model.setData(tick, OFF, CHECK)
    assert model.data(tick, CHECK) == OFF
    assert [layer.name for layer in viewer_model.layers if layer.visible] == ["my picks"]


def test_space_shows_and_d_ticks_for_download(qtbot, at_run):
    run = at_run.screens.run
    index = first_that(run.annotations, is_points)
    run.tree.setCurrentIndex(index.siblingAtColumn(0))
    qtbot.keyClick(run.tree, Qt.Key.Key_Space)
    settle(qtbot, at_run)
    assert run.annotations.data(index, CHECK) == ON
    qtbot.keyClick(run.tree, Qt.Key.Key_D)
    assert len(run.annotations.rows_to_download()) == 1
    assert run.download.isEnabled()


def test_a_layer_that_the_person_deletes_unticks_its_row(qtbot, at_run, viewer_model):
    model = at_run.screens.run.annotations
    tick = first_that(model, is_points)
    model.setData(tick, ON, CHECK)
    settle(qtbot, at_run)
    (layer,) = at_run.link.layers_of(LayerKey("annotation", model.record_at(tick).shown_file.id))[:1]
    viewer_model.layers.remove(layer)
    qtbot.waitUntil(lambda: model.data(tick, CHECK) == OFF)
    qtbot.waitUntil(lambda: names(viewer_model) == ["my picks"])


def test_ticks_stay_when_one_leaves_the_run_and_comes_back(qtbot, at_run, run_id):
    model = at_run.screens.run.annotations
    model.setData(first_that(model, is_points), ON, CHECK)
    settle(qtbot, at_run)
    at_run.navigator.go_up()
    with qtbot.waitSignal(at_run.navigator.run_arrived):
        at_run.navigator.go_to_run(run_id)
    assert model.data(first_that(model, is_points), CHECK) == ON


def test_colour_and_eye_of_a_layer_show_in_its_row(qtbot, at_run):
    model = at_run.screens.run.annotations
    tick = first_that(model, is_points)
    model.setData(tick, ON, CHECK)
    settle(qtbot, at_run)
    key = LayerKey("annotation", model.record_at(tick).shown_file.id)
    group_color = model.data(tick.parent(), Role.COLOR)
    assert model.data(tick, Role.LOOK).color[:3] == pytest.approx(group_color[:3], abs=0.01)
    (layer,) = [layer for layer in at_run.link.layers_of(key) if isinstance(layer, Points)]
    layer.visible = False
    layer.border_color = "red"
    assert not model.data(tick, Role.LOOK).is_visible
    assert model.data(tick, Role.LOOK).color[:3] == pytest.approx((1, 0, 0), abs=0.01)


def test_the_menu_of_a_row_closes_the_eye_and_renames(qtbot, at_run):
    run = at_run.screens.run
    tick = first_that(run.annotations, is_points)
    run.annotations.setData(tick, ON, CHECK)
    settle(qtbot, at_run)
    key = LayerKey("annotation", run.annotations.record_at(tick).shown_file.id)
    name, seen = at_run.link.appearance(key).name, []

    def type_a_name():
        field = QApplication.activeModalWidget().findChild(QLineEdit)
        seen.append((field.text(), field.width() > field.fontMetrics().horizontalAdvance(name)))
        field.setText(" My picks ")
        QTest.keyClick(field, Qt.Key.Key_Return)

    run.annotation_menu_requested.emit(run.annotations.record_at(tick), QPoint(10, 10))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    menu.eye.trigger()
    QTimer.singleShot(0, type_a_name)
    menu.name.trigger()  # the menu is gone once one has typed
    assert seen == [(name, True)]
    look = at_run.link.appearance(key)
    assert (look.name, look.is_visible) == ("My picks", False)


def test_the_menu_of_a_row_of_picks_leads_to_their_review(qtbot, at_run, monkeypatch):
    reviewed = []
    monkeypatch.setattr("napari_cryoet._qt.browser.dock.review_picks", lambda _viewer, layer: reviewed.append(layer))
    run = at_run.screens.run
    tick = first_that(run.annotations, is_points)
    run.annotations.setData(tick, ON, CHECK)
    settle(qtbot, at_run)
    key = LayerKey("annotation", run.annotations.record_at(tick).shown_file.id)
    run.annotation_menu_requested.emit(run.annotations.record_at(tick), QPoint(10, 10))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    menu.review.trigger()
    menu.close()

    assert reviewed == at_run.link.layers_of(key)[:1]


def test_what_does_not_fit_is_shown_only_if_the_person_insists(qtbot, at_run, viewer_model):
    model = at_run.screens.run.annotations
    tick = first_that(model, lambda row: not row.fits and row.shown_file is not None)

    def box() -> Question:
        qtbot.waitUntil(lambda: bool(at_run.screens.run.findChildren(Question)))
        return at_run.screens.run.findChildren(Question)[-1]

    model.setData(tick, ON, CHECK)
    question = box()
    assert "another alignment" in question.text()
    qtbot.mouseClick(question.cancel, Qt.MouseButton.LeftButton)
    assert not at_run.link.coming()
    qtbot.waitUntil(lambda: not at_run.screens.run.findChildren(Question))
    model.setData(tick, ON, CHECK)
    (insist,) = [button for button in box().buttons() if button.text() == "Show anyway"]
    qtbot.mouseClick(insist, Qt.MouseButton.LeftButton)
    settle(qtbot, at_run)
    assert model.data(tick, CHECK) == ON
    (layer,) = at_run.link.layers_of(LayerKey("annotation", model.record_at(tick).shown_file.id))
    assert f"made on AL-{model.record_at(tick).shown_file.alignment_id}" in layer.name
    assert layer.metadata[METADATA_KEY]["fit"]["kind"] == "other_alignment"


def is_mesh(row) -> bool:
    return row.shown_file is not None and row.shown_file.format == "glb"


def test_a_mesh_is_shown_over_its_vesicles_and_repainted_from_its_row(qtbot, at_run, viewer_model):
    model = at_run.screens.run.annotations
    tick = first_that(model, is_mesh)
    key = LayerKey("annotation", model.record_at(tick).shown_file.id)
    with qtbot.waitSignal(at_run.link.remarked, check_params_cb=lambda about, _remark: about == key) as told:
        model.setData(tick, ON, CHECK)
    assert "doesn't say its unit" in told.args[1]
    assert "in 3D" in told.args[1]
    (layer,) = at_run.link.layers_of(key)
    assert isinstance(layer, Surface)
    vesicles = [membrane for membrane in scene_of_run("DEMO_001").recipe.membranes if membrane.name == "vesicle"]
    x, y, z = world_xyz(layer).T
    assert np.min([np.abs(vesicle.distance(x, y, z)) for vesicle in vesicles], axis=0).max() < 1
    at_run.link.set_color(key, (1.0, 0.0, 0.0, 1.0))
    assert at_run.link.appearance(key).color == (1.0, 0.0, 0.0, 1.0)
    viewer_model.layers.remove(layer)
    qtbot.waitUntil(lambda: model.data(tick, CHECK) == OFF)


def world_xyz(layer) -> np.ndarray:
    return (layer.vertices * layer.scale + layer.translate)[:, ::-1]


def test_an_annotation_that_cannot_be_had_says_so_and_can_be_tried_again(
    qtbot, viewer_model, memory, demo_pack, tmp_path, run_id
):
    pack = tmp_path / "pack"
    shutil.copytree(demo_pack, pack)
    for picks in (pack / "files").rglob("*.ndjson"):
        picks.rename(picks.with_suffix(".gone"))
    browser = PortalBrowser(viewer_model, memory=memory)
    qtbot.addWidget(browser)
    browser.show()
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(pack)
    with qtbot.waitSignal(browser.navigator.run_arrived):
        browser.navigator.go_to_run(run_id)
    model = browser.screens.run.annotations
    tick = first_that(model, is_points)
    with qtbot.waitSignal(browser.link.failed):
        model.setData(tick, ON, CHECK)
    assert browser.screens.notice.isVisible()
    assert "Traceback" not in browser.screens.notice.text
    assert model.data(tick, CHECK) == OFF
    for gone in (pack / "files").rglob("*.gone"):
        gone.rename(gone.with_suffix(".ndjson"))
    qtbot.mouseClick(browser.screens.notice.action, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: model.data(tick, CHECK) == ON)
    browser.close_down()


def test_the_strip_says_when_the_picture_is_exact(qtbot, at_run):
    strip = at_run.screens.status
    qtbot.mouseClick(at_run.screens.run.open, Qt.MouseButton.LeftButton)
    assert strip.label.text() == "opening…"
    assert strip.stop.isVisible()
    settle(qtbot, at_run)
    name = at_run.screens.run.page.run.name
    qtbot.waitUntil(lambda: strip.label.text() == f"{name} · exact")
    assert not strip.stop.isVisible()


def test_closing_the_dock_leaves_the_layers(qtbot, at_run, viewer_model):
    qtbot.mouseClick(at_run.screens.run.open, Qt.MouseButton.LeftButton)
    settle(qtbot, at_run)
    n_layers = len(viewer_model.layers)
    at_run.close()
    assert len(viewer_model.layers) == n_layers


def test_a_failure_goes_with_the_run_whose_layer_it_tells_of(qtbot, at_run, run_id):
    at_run.link.failed.emit(LayerKey("tomogram", at_run.screens.run.page.tomograms[0].id), StreamError("Gone."))
    assert at_run.screens.notice.text == "Gone."
    with qtbot.waitSignal(at_run.navigator.run_arrived):
        at_run.navigator.go_to_run(run_id)
    assert at_run.screens.notice.isVisible()  # it is the same run
    with qtbot.waitSignal(at_run.navigator.run_arrived):
        at_run.navigator.go_to_run(9001 if run_id != 9001 else 9002)
    assert not at_run.screens.notice.isVisible()
