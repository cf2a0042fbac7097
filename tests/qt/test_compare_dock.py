"""The dock that compares: choosing, waiting, stopping, reading, and what is made of the answer."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pytest
from napari.layers import Labels, Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_cryoet import compare, load_annotation, open_portal, report_text
from napari_cryoet._qt.compare import dock as compare_dock
from napari_cryoet._qt.compare.dock import KEY, CompareDock, likely_pair, side_of
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet.appearance import diameters
from napari_cryoet.comparison.masks import Mask
from napari_cryoet.exceptions import ComparisonError, StoppedError
from napari_cryoet.layers.specs import METADATA_KEY

ANGSTROM = {"units": ("angstrom",) * 3}
TRUTH, MEMBRANE, OTHER_ALIGNMENT = 9001, 9009, 9015


def points(name, *places, scale=10.0, **about):
    metadata = {METADATA_KEY: about} if about else {}
    return Points(np.array(places, float), name=name, scale=(scale,) * 3, metadata=metadata, **ANGSTROM)


def ball(name="ball", **options):
    z, y, x = np.indices((21, 21, 21)) - 10
    return Labels(
        (z**2 + y**2 + x**2 <= 36).astype(np.uint8), name=name, **({"scale": (10.0,) * 3} | ANGSTROM | options)
    )


@pytest.fixture
def dock(qtbot, viewer_model):
    dock = CompareDock(viewer_model)
    qtbot.addWidget(dock)
    dock.resize(360, 800)
    dock.show()
    yield dock
    dock.close_down()


@pytest.fixture
def two_sets(qtbot, dock, viewer_model):
    viewer_model.add_layer(points("mine", [0, 0, 0], [5, 5, 5], [9, 9, 9]))
    viewer_model.add_layer(points("truth", [0, 0, 1], [9, 9, 8], [15, 15, 15], [18, 18, 18], is_ground_truth=True))
    qtbot.waitUntil(lambda: pair(dock) == ("mine", "truth"))


@pytest.fixture
def show_files(viewer_model, demo_pack):
    files = {file.id: file for file in open_portal(demo_pack).run_page(9001).annotation_files}

    def show(*ids):
        return add_layers(viewer_model, [load_annotation(files[number])[0] for number in ids])

    return show


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def pair(dock):
    return tuple(layer.name for layer in (dock.a.layer, dock.b.layer) if layer is not None)


def ask(qtbot, dock):
    with qtbot.waitSignal(dock.tasks.finished, check_params_cb=lambda key: key == KEY):
        click(qtbot, dock.start)
    qtbot.waitUntil(lambda: dock.message.text() != "Stopped.")


def numbers(dock):
    table = dock.results.table
    return {table.item(line, 0).text(): table.item(line, 1).text() for line in range(table.rowCount())}


class TestChoosing:
    def test_without_two_annotations_the_dock_says_what_to_do(self, qtbot, dock, viewer_model):
        assert dock.message.text().startswith("Open two annotations")
        viewer_model.add_layer(points("one", [0, 0, 0]))
        assert not dock.start.isEnabled()
        viewer_model.add_layer(points("two", [0, 0, 0]))
        qtbot.waitUntil(dock.start.isEnabled)
        assert not dock.message.isVisible()

    def test_choosing_one_as_the_other_swaps_them(self, dock, two_sets):
        dock.a.choose(dock.b.layer)
        assert pair(dock) == ("truth", "mine")
        dock.b.choose(dock.a.layer)
        assert pair(dock) == ("mine", "truth")

    def test_the_likely_reference_is_a_ground_truth_of_the_same_object(self):
        truth = points("truth", [0, 0, 0], object_id="GO:1", is_ground_truth=True)
        other, same = points("other", [0, 0, 0], object_id="GO:2"), points("same", [0, 0, 0], object_id="GO:1")
        mask = ball()
        assert likely_pair([other, same, truth]) == (same, truth)
        assert likely_pair([mask, truth]) == (truth, mask), "a mask judges points"
        assert likely_pair([other, same, truth], of=other) == (other, truth)
        assert likely_pair([mask, other], of=mask) == (other, mask)

    def test_what_was_chosen_stays_chosen_while_layers_come_and_go(self, qtbot, dock, viewer_model, two_sets):
        dock.use_layer(viewer_model.layers["truth"])
        assert pair(dock) == ("mine", "truth"), "a ground truth stays the reference"
        dock.choose(*reversed(viewer_model.layers))
        assert pair(dock) == ("truth", "mine")
        third = viewer_model.add_points(np.zeros((1, 3)), name="third")
        viewer_model.layers["mine"].name = "ours"
        qtbot.waitUntil(lambda: dock.a.count() == 3)
        viewer_model.layers.remove(third)
        qtbot.waitUntil(lambda: dock.a.count() == 2)
        assert pair(dock) == ("truth", "ours")

    def test_only_what_matters_is_asked(self, dock, viewer_model, two_sets):
        assert dock.radius.isVisible()
        assert not dock.spacing.isVisible()
        assert not dock.settings.native.isVisible()
        mine, mask = viewer_model.layers["mine"], viewer_model.add_layer(ball())
        dock.choose(mine, mask)
        assert not dock.radius.isVisible()
        dock.choose(viewer_model.add_points(np.zeros((1, 3)), name="in pixels"), mask)
        assert dock.spacing.isVisible()

    def test_no_width_of_voxels_is_made_up(self, qtbot, dock, viewer_model, two_sets):
        plain = viewer_model.add_points([[0.0, 0, 1], [9, 9, 8]], name="in pixels")
        dock.choose(plain, viewer_model.layers["truth"])
        assert dock.spacing.text() == "unknown"
        ask(qtbot, dock)
        assert "How wide the voxels of A are is unknown" in dock.message.text()
        dock.spacing.setValue(10)
        dock.radius.setValue(0.1)
        ask(qtbot, dock)
        assert dock.comparison.a.spacing_angstrom == 10
        assert dock.comparison.scores.true_positives == 2

    def test_the_radius_is_half_a_particle_until_another_is_entered(
        self, qtbot, dock, viewer_model, two_sets, monkeypatch
    ):
        readers, read = set(), diameters._read_own
        monkeypatch.setattr(diameters, "_read_own", lambda: (readers.add(threading.current_thread()), read())[1])
        assert dock.radius.value() == 5
        ribosomes = viewer_model.add_layer(points("ribosomes", [0, 0, 0], object_name="cytosolic ribosome"))
        dock.choose(ribosomes, viewer_model.layers["truth"])
        qtbot.waitUntil(lambda: dock.radius.value() == 15)
        assert threading.main_thread() not in readers
        dock.radius.setValue(3)
        dock.choose(viewer_model.layers["mine"], viewer_model.layers["truth"])
        ask(qtbot, dock)
        assert dock.comparison.radius_angstrom == 30

    def test_layers_that_are_not_where_their_voxels_are_are_refused(self, dock):
        moved, flipped = points("moved", [0, 0, 0]), points("flipped", [0, 0, 0], scale=-10.0)
        moved.translate = (5, 0, 0)
        for layer in (moved, flipped):
            with pytest.raises(ComparisonError, match="moved or turned"):
                side_of(layer)
        with pytest.raises(ComparisonError, match="0, nan, 0"):
            side_of(points("broken", [0, np.nan, 0]))
        with pytest.raises(ComparisonError, match="cubes"):
            side_of(ball(scale=(10, 10, 20)))

    def test_points_count_in_the_widths_of_their_voxels_along_each_axis(self):
        deep = Points([[1.0, 4, 4]], scale=(40, 10, 10), **ANGSTROM)
        assert compare(side_of(deep), side_of(points("", [4, 4, 4])), radius_angstrom=1).scores.true_positives == 1


class TestComparing:
    def test_one_sentence_leads_and_the_numbers_are_those_of_python(self, qtbot, dock, viewer_model, two_sets):
        dock.radius.setValue(2.5)
        dock.settings.beta.value = 4
        ask(qtbot, dock)

        a, b = picks_of(viewer_model.layers["mine"]), picks_of(viewer_model.layers["truth"])
        expected = compare(a, b, radius_angstrom=25, beta=4)
        assert dock.comparison.scores == expected.scores
        assert numbers(dock)["precision"] == "66.7 %"
        headline = dock.results.headline
        assert headline.text() == "67 % of A has a partner in B within 2.5 nm, and 50 % of B has one in A."
        assert headline.y() < dock.results.table.y()
        assert "A (mine)" in dock.results.setting.text()
        assert [plot.isVisible() for plot in dock.results.plots] == [True, False, False]

    def test_a_mask_that_streams_is_compared_in_the_background(self, qtbot, dock, show_files, monkeypatch):
        readers, read = set(), Mask.read
        monkeypatch.setattr(
            Mask, "read", lambda self, *args: (readers.add(threading.current_thread()), read(self, *args))[1]
        )
        dock.choose(*show_files(TRUTH, MEMBRANE)[::-1])
        ask(qtbot, dock)
        assert dock.results.headline.text().endswith("% of the picks lie inside the mask.")
        assert readers
        assert threading.main_thread() not in readers

    def test_objects_of_masks_match_from_the_chosen_overlap(self, qtbot, dock, viewer_model):
        a, b = np.zeros((2, 4, 4, 8), np.uint8)
        a[..., :4], a[..., 4:] = 1, 2
        b[..., :4], b[..., 4:7] = 3, 4  # IoU 1 and 0.75
        options = {"scale": (10.0,) * 3, **ANGSTROM}
        dock.choose(*(viewer_model.add_layer(Labels(data, **options)) for data in (a, b)))
        for least, matched in ((0.5, "2"), (0.8, "1")):
            dock.settings.iou_threshold.value = least
            ask(qtbot, dock)
            assert numbers(dock)["instances: matched (true positives)"] == matched

    def test_other_alignments_are_refused_until_you_insist(self, qtbot, dock, show_files):
        dock.choose(*show_files(OTHER_ALIGNMENT, TRUTH))
        ask(qtbot, dock)
        assert "AL-" in dock.message.text()
        assert not dock.results.isVisible()
        dock.settings.insist.value = True
        ask(qtbot, dock)
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
            assert dock.start.text() == "Stop"
            click(qtbot, dock.start)
        qtbot.waitUntil(lambda: dock.message.text() == "Stopped.")
        assert dock.start.text() == "Compare"
        ask(qtbot, dock)
        assert dock.results.isVisible()


class TestAfterwards:
    @pytest.fixture
    def compared(self, qtbot, dock, two_sets):
        dock.radius.setValue(2.5)
        ask(qtbot, dock)
        return dock

    def test_each_part_becomes_a_layer_once_and_no_other_layer_is_hidden(self, qtbot, compared, viewer_model):
        viewer_model.add_image(np.zeros((4, 4, 4)), name="hidden").visible = False
        before = {layer: layer.visible for layer in viewer_model.layers}
        texts = [button.text() for button in compared.results.show_buttons]
        assert texts == ["2 matched", "1 only in A", "2 only in B"]
        for button in (*compared.results.show_buttons, compared.results.show_buttons[1]):
            click(qtbot, button)

        added = [layer for layer in viewer_model.layers if layer not in before]
        assert {layer.name: len(layer.data) for layer in added} == {
            "matched · mine": 2,
            "only A · mine": 1,
            "only B · truth": 2,
        }
        assert viewer_model.layers.selection.active.name == "only A · mine"
        assert picks_of(viewer_model.layers["only B · truth"]).ids.tolist() == [2, 3]
        assert len({str(layer.symbol[0]) for layer in added}) == 3
        assert {layer: layer.visible for layer in before} == before

        viewer_model.layers.remove("matched · mine")
        click(qtbot, compared.results.show_buttons[0])
        assert "matched · mine" in viewer_model.layers

    def test_the_text_is_copied(self, qtbot, compared):
        click(qtbot, compared.results.copy)
        assert QApplication.clipboard().text() == report_text(compared.comparison)

    def test_the_numbers_are_saved_while_the_window_goes_on(self, qtbot, compared, tmp_path, monkeypatch):
        path, disk_goes_on, writers = tmp_path / "numbers.json", threading.Event(), []

        def slow_disk(*_args):
            writers.append(threading.current_thread())
            assert disk_goes_on.wait(60)

        monkeypatch.setattr(os, "fsync", slow_disk)
        monkeypatch.setattr(QFileDialog, "exec", lambda dialog: dialog.selectFile(str(path)) or True)
        click(qtbot, compared.results.save)
        qtbot.waitUntil(lambda: bool(writers))
        assert threading.main_thread() not in writers
        assert compared.message.text() == "Saving numbers.json…"
        disk_goes_on.set()
        qtbot.waitUntil(lambda: compared.message.text() == "Saved numbers.json.")
        assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(compared.comparison.plain()))
