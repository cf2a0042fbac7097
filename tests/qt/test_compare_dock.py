"""The dock that compares: choosing, waiting, stopping, reading, and what is made of the answer."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pytest
from napari.layers import Labels, Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

from napari_cryoet import compare, load_annotation, open_portal, report_text
from napari_cryoet._qt.compare import compare_dock
from napari_cryoet._qt.compare.comparable import likely_pair, side_of
from napari_cryoet._qt.compare.compare_dock import KEY, CompareDock
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet.comparison.masks import Mask
from napari_cryoet.exceptions import ComparisonError, StoppedError
from napari_cryoet.layers.specs import METADATA_KEY

ANGSTROM = {"units": ("angstrom",) * 3}
TEMPLATES, TRUTH, MEMBRANE, COARSE_MEMBRANES, OTHER_ALIGNMENT = 9004, 9001, 9009, 9013, 9015


def points(name, *places, scale=10.0, **about):
    metadata = {METADATA_KEY: about} if about else {}
    return Points(np.array(places, float), name=name, scale=(scale,) * 3, metadata=metadata, **ANGSTROM)


def ball(name="ball", **options):
    z, y, x = np.indices((21, 21, 21)) - 10
    return Labels((z**2 + y**2 + x**2 <= 36).astype(np.uint8), name=name, scale=(10.0,) * 3, **(ANGSTROM | options))


@pytest.fixture
def dock(qtbot, viewer_model):
    dock = CompareDock(viewer_model)
    qtbot.addWidget(dock)
    dock.resize(360, 800)
    dock.show()
    yield dock
    dock.close_down()


@pytest.fixture
def two_sets(viewer_model):
    viewer_model.add_layer(points("mine", [0, 0, 0], [5, 5, 5], [9, 9, 9]))
    viewer_model.add_layer(points("truth", [0, 0, 1], [9, 9, 8], [15, 15, 15], [18, 18, 18], is_ground_truth=True))


@pytest.fixture
def show_files(viewer_model, demo_pack):
    files = {file.id: file for file in open_portal(demo_pack).run_page(9001).annotation_files}

    def show(*ids):
        return add_layers(viewer_model, [load_annotation(files[number])[0] for number in ids])

    return show


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def ask(qtbot, dock):
    with qtbot.waitSignal(dock.tasks.finished):
        click(qtbot, dock.start)
    qtbot.waitUntil(lambda: not dock.tasks.is_running(KEY) and dock.start.isVisible())


def numbers(dock):
    table = dock.results.table
    return {table.item(line, 0).text(): table.item(line, 1).text() for line in range(table.rowCount())}


class TestChoosing:
    def test_without_two_annotations_the_dock_says_what_to_do(self, dock, viewer_model):
        assert "Open two annotations" in dock.message.text()
        assert not dock.start.isEnabled()
        viewer_model.add_layer(points("one", [0, 0, 0]))
        assert not dock.start.isEnabled()
        viewer_model.add_layer(points("two", [0, 0, 0]))
        assert dock.start.isEnabled()
        assert not dock.message.isVisible()

    def test_one_layer_as_both_is_said_to_be(self, dock, two_sets):
        dock.form.b.value = dock.form.a.value
        assert not dock.start.isEnabled()
        assert "the same layer" in dock.message.text()
        assert dock.start.toolTip() == dock.message.text()
        dock.form.b.value = next(layer for layer in dock.form.b.choices if layer is not dock.form.a.value)
        assert dock.start.isEnabled()
        assert not dock.message.text()
        assert dock.start.toolTip().startswith("Count what matches")

    def test_the_ground_truth_is_the_reference(self, qtbot, dock, two_sets):
        assert (dock.form.a.value.name, dock.form.b.value.name) == ("mine", "truth")
        click(qtbot, dock.swap)
        assert (dock.form.a.value.name, dock.form.b.value.name) == ("truth", "mine")

    def test_of_several_the_one_of_the_same_object_is_judged(self):
        truth = points("truth", [0, 0, 0], object_id="GO:1", is_ground_truth=True)
        other, same = points("other", [0, 0, 0], object_id="GO:2"), points("same", [0, 0, 0], object_id="GO:1")

        assert likely_pair([other, same, truth]) == (same, truth)

    def test_a_mask_judges_points(self):
        truth, mask = points("truth", [0, 0, 0], is_ground_truth=True), ball()

        assert likely_pair([mask, truth]) == (truth, mask)

    def test_what_was_chosen_stays_chosen_while_layers_come_and_go(self, dock, viewer_model, two_sets):
        dock.form.swap()
        third = viewer_model.add_points(np.zeros((1, 3)), name="third")
        viewer_model.add_image(np.zeros((4, 4, 4)))
        viewer_model.layers["mine"].name = "ours"
        viewer_model.layers.remove(third)

        assert (dock.form.a.value.name, dock.form.b.value.name) == ("truth", "ours")
        assert set(dock.form.a.choices) == {viewer_model.layers["ours"], viewer_model.layers["truth"]}

    def test_only_what_matters_is_asked(self, dock, viewer_model, two_sets):
        assert dock.form.radius.native.isVisible()
        assert not dock.form.spacing.native.isVisible()
        dock.form.b.value = viewer_model.add_layer(ball())
        assert not dock.form.radius.native.isVisible()
        dock.form.a.value = viewer_model.add_points(np.zeros((1, 3)), name="in pixels")
        assert dock.form.spacing.native.isVisible()

    def test_no_width_of_voxels_is_made_up(self, qtbot, dock, viewer_model, two_sets):
        plain = viewer_model.add_points([[0.0, 0, 1], [9, 9, 8]], name="in pixels")
        dock.form.a.value = plain
        assert dock.form.spacing.native.text() == "unknown"
        assert not dock.start.isEnabled()
        assert dock.message.text() == "Nothing says how wide the voxels of A are. Say it in the field above."
        assert dock.start.toolTip() == dock.message.text()

        field = dock.form.spacing.native
        field.setFocus()
        field.selectAll()
        qtbot.keyClicks(field, "10")
        assert dock.start.isEnabled()
        assert not dock.message.isVisible()
        dock.form.radius.value = 0.1
        ask(qtbot, dock)
        assert dock.comparison.a.spacing_angstrom == 10
        assert dock.comparison.scores.true_positives == 2

    def test_the_radius_is_half_a_particle_until_somebody_says_another(self, dock, viewer_model, two_sets):
        assert dock.form.radius.value == 5
        ribosomes = points("ribosomes", [0, 0, 0], object_name="cytosolic ribosome")
        viewer_model.add_layer(ribosomes)
        dock.form.a.value = ribosomes
        assert dock.form.radius.value == 15
        dock.form.radius.value = 3
        dock.form.a.value = viewer_model.layers["mine"]
        assert dock.form.radius.value == 3

    def test_a_moved_layer_is_refused(self):
        moved = points("moved", [0, 0, 0])
        moved.translate = (5, 0, 0)

        with pytest.raises(ComparisonError, match="moved or turned"):
            side_of(moved)

    def test_points_count_in_the_widths_of_their_voxels_along_each_axis(self, dock, viewer_model):
        deep = viewer_model.add_points([[1.0, 4, 4]], name="deep", scale=(40, 10, 10), **ANGSTROM)
        flat = viewer_model.add_layer(points("flat", [4, 4, 4]))
        dock.form.a.value, dock.form.b.value = deep, flat

        assert not dock.form.spacing.native.isVisible()  # the scale says it
        assert compare(side_of(deep), side_of(flat), radius_angstrom=1).scores.true_positives == 1

    def test_a_flipped_layer_is_refused(self):
        with pytest.raises(ComparisonError, match="moved or turned"):
            side_of(points("flipped", [0, 0, 0], scale=-10.0))

    def test_positions_that_are_no_numbers_are_refused_in_words(self, qtbot, dock, viewer_model, two_sets):
        dock.form.a.value = viewer_model.add_layer(points("broken", [0, np.nan, 0]))
        click(qtbot, dock.start)

        assert "'broken' can't be compared: pick 1 is nowhere: its place is 0, nan, 0 (z, y, x)" in dock.message.text()
        assert not dock.tasks.is_running(KEY)


class TestComparing:
    def test_the_numbers_are_those_of_python(self, qtbot, dock, viewer_model, two_sets):
        dock.form.radius.value = 2.5
        dock.form.beta.value = 4
        ask(qtbot, dock)

        a, b = picks_of(viewer_model.layers["mine"]), picks_of(viewer_model.layers["truth"])
        expected = compare(a, b, radius_angstrom=25, beta=4)
        assert dock.comparison.scores == expected.scores
        assert numbers(dock)["matched (true positives)"] == "2"
        assert numbers(dock)["precision"] == "66.7 %"
        shown = [label.text() for label in dock.results.findChildren(QLabel)]
        assert "67 % of A has a partner in B within 2.5 nm, and 50 % of B has one in A." in shown
        assert any("A (mine)" in text for text in shown)
        assert dock.results.plots[0].isVisible()
        assert not dock.results.plots[1].isVisible()
        assert "orientation" in dock.results.notes.text()

    def test_a_mask_that_streams_is_compared(self, qtbot, dock, show_files):
        show_files(TRUTH, MEMBRANE)
        ask(qtbot, dock)
        assert numbers(dock)["share inside"] == "0.0 %"
        show_files(COARSE_MEMBRANES)
        dock.form.a.value, dock.form.b.value = (
            next(layer for layer in dock.form.a.choices if about_of(layer).get("annotation_id") == number)
            for number in (9010, 9008)
        )
        ask(qtbot, dock)
        assert "Dice" in numbers(dock)
        assert not dock.results.show_buttons[0].isVisible()

    def test_how_much_objects_of_masks_must_overlap_can_be_chosen(self, qtbot, dock, viewer_model):
        a, b = np.zeros((2, 4, 4, 8), np.uint8)
        a[..., :4], a[..., 4:] = 1, 2
        b[..., :4], b[..., 4:7] = 3, 4  # IoU 1 and 0.75
        options = {"scale": (10.0,) * 3, **ANGSTROM}
        for name, data in (("a", a), ("b", b)):
            viewer_model.add_layer(Labels(data, name=name, **options))
        assert dock.form.iou.native.isVisible()
        ask(qtbot, dock)
        assert numbers(dock)["instances: matched (true positives)"] == "2"
        dock.form.iou.value = 0.8
        ask(qtbot, dock)
        assert numbers(dock)["instances: matched (true positives)"] == "1"
        viewer_model.add_layer(points("mine", [1, 1, 1]))
        dock.form.a.value = viewer_model.layers["mine"]
        assert not dock.form.iou.native.isVisible()

    def test_what_can_not_be_compared_says_why_and_can_be_insisted_on(self, qtbot, dock, show_files):
        show_files(OTHER_ALIGNMENT, TRUTH)
        ask(qtbot, dock)
        assert "AL-" in dock.message.text()
        assert not dock.results.isVisible()
        dock.form.insist.value = True
        ask(qtbot, dock)
        assert dock.results.isVisible()
        assert "you insisted" in dock.results.notes.text()

    def test_it_can_be_stopped_at_once_and_asked_again(self, qtbot, dock, two_sets, monkeypatch):
        begun = threading.Event()

        def endless(*_sides, stop, progress, **_settings):
            progress(0.5)
            begun.set()
            stop.wait(60)
            raise StoppedError

        with monkeypatch.context() as patch:
            patch.setattr(compare_dock, "compare", endless)
            click(qtbot, dock.start)
            qtbot.waitUntil(lambda: begun.is_set() and dock.bar.value() == 500)
            assert dock.stop.isVisible()
            assert not dock.form.isEnabled()
            click(qtbot, dock.stop)
        assert dock.message.text() == "Stopped."
        assert dock.start.isVisible()
        assert dock.form.isEnabled()
        ask(qtbot, dock)
        assert dock.results.isVisible()

    def test_nothing_of_a_mask_is_read_on_the_gui_thread(self, qtbot, dock, viewer_model, monkeypatch):
        readers, read = set(), Mask.read
        monkeypatch.setattr(
            Mask, "read", lambda self, *args: (readers.add(threading.current_thread()), read(self, *args))[1]
        )
        viewer_model.add_layer(ball())
        viewer_model.add_layer(points("mine", [10, 10, 10]))
        ask(qtbot, dock)

        assert readers
        assert threading.main_thread() not in readers


class TestAfterwards:
    @pytest.fixture
    def compared(self, qtbot, dock, two_sets):
        dock.form.radius.value = 2.5
        ask(qtbot, dock)
        return dock

    def test_each_part_becomes_a_layer_once(self, qtbot, compared, viewer_model):
        before = list(viewer_model.layers)
        for button in compared.results.show_buttons:
            click(qtbot, button)
        click(qtbot, compared.results.show_buttons[1])

        added = [layer for layer in viewer_model.layers if layer not in before]
        assert {layer.name: len(layer.data) for layer in added} == {
            "matched · mine": 2,
            "only A · mine": 1,
            "only B · truth": 2,
        }
        assert viewer_model.layers.selection.active.name == "only A · mine"
        assert picks_of(viewer_model.layers["only B · truth"]).ids.tolist() == [2, 3]
        assert len({str(layer.symbol[0]) for layer in added}) == 3

    def test_a_part_that_was_removed_can_be_shown_again(self, qtbot, compared, viewer_model):
        click(qtbot, compared.results.show_buttons[0])
        viewer_model.layers.remove("matched · mine")
        click(qtbot, compared.results.show_buttons[0])

        assert "matched · mine" in viewer_model.layers

    def test_the_text_is_copied(self, qtbot, compared):
        click(qtbot, compared.results.copy)

        assert QApplication.clipboard().text() == report_text(compared.comparison)

    def test_the_numbers_are_saved(self, qtbot, compared, tmp_path, monkeypatch):
        path = tmp_path / "numbers.json"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(path), ""))
        with qtbot.waitSignal(compared.tasks.finished):
            click(qtbot, compared.results.save)

        assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(compared.comparison.plain()))
        qtbot.waitUntil(lambda: compared.message.text() == "Saved as numbers.json.")

    def test_the_window_does_not_wait_for_the_disk(self, qtbot, compared, tmp_path, monkeypatch):
        path, disk_goes_on, writers = tmp_path / "numbers.json", threading.Event(), []

        def slow_disk(*_args):
            writers.append(threading.current_thread())
            assert disk_goes_on.wait(60)

        monkeypatch.setattr(os, "fsync", slow_disk)
        compared.save_json(path)
        qtbot.waitUntil(lambda: bool(writers))
        assert compared.message.text() == "Saving numbers.json …"
        assert not path.exists()
        assert threading.main_thread() not in writers
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: pytest.fail("asks while it saves"))
        click(qtbot, compared.results.copy)
        click(qtbot, compared.results.save)
        assert compared.message.text() == "Saving numbers.json … Save again once that is done."

        disk_goes_on.set()
        qtbot.waitUntil(lambda: compared.message.text() == "Saved as numbers.json.")
        assert path.exists()


class TestForEverybody:
    def test_every_control_has_a_name_and_fits_into_360_pixels(self, qtbot, dock, two_sets):
        ask(qtbot, dock)
        buttons = [dock.start, dock.swap, dock.stop, *dock.results.show_buttons, dock.results.copy, dock.results.save]
        fields = [dock.form.a, dock.form.b, dock.form.radius, dock.form.beta, dock.form.method, dock.form.fold]
        for widget in [*buttons, *(field.native for field in fields), dock.results.table, dock.bar]:
            assert widget.accessibleName(), widget
            if widget.isVisible():
                right = widget.mapTo(dock, widget.rect().topRight()).x()
                assert right <= 360, widget.accessibleName()

    def test_numbers_of_another_pair_are_said_to_be_that(self, qtbot, dock, two_sets):
        ask(qtbot, dock)
        assert not dock.message.isVisible()
        click(qtbot, dock.swap)
        assert "The numbers below are of another choice of A and B." in dock.message.text()

        click(qtbot, dock.swap)
        assert not dock.message.isVisible()
