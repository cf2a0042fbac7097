"""The dock that compares annotations: choosing layers, progress, stopping, and results."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout

from napari_cryoet import compare, load_annotation, open_portal
from napari_cryoet._qt.compare.dock import KEY, RANK_KEY, CompareDock
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.appearance import diameters
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.volumes import Mask

ANGSTROM = {"units": ("angstrom",) * 3}
TRUTH, CARELESS, MEMBRANE, OTHER_ALIGNMENT = 9001, 9005, 9009, 9015


def points(name, *positions, scale=10.0, **about):
    metadata = {METADATA_KEY: about} if about else {}
    return Points(
        np.array(positions, float), name=name, scale=(scale,) * 3, metadata=metadata, **ANGSTROM
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
    viewer_model.add_layer(
        points("truth", [0, 0, 1], [9, 9, 8], [15, 15, 15], [18, 18, 18], is_ground_truth=True)
    )
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


def run_comparison(qtbot, dock):
    with qtbot.waitSignal(dock.tasks.finished, check_params_cb=lambda key: key == KEY):
        click(qtbot, dock.bar.button)
    qtbot.waitUntil(lambda: dock.bar.message.text() != "Stopped.")


def numbers(dock):
    table = dock.results.table
    roles = (QFormLayout.ItemRole.LabelRole, QFormLayout.ItemRole.FieldRole)
    return dict(
        [table.itemAt(line, role).widget().text() for role in roles]
        for line in range(table.rowCount())
    )


class TestChoosing:
    def test_the_default_radius_is_half_the_particle_diameter(
        self, qtbot, dock, viewer_model, two_sets, off_gui_thread
    ):
        off_gui_thread(diameters, "_own")
        assert dock.radius.value() == 5
        ribosomes = viewer_model.add_layer(
            points("ribosomes", [0, 0, 0], object_name="cytosolic ribosome")
        )
        dock.choose(ribosomes, viewer_model.layers["truth"])
        qtbot.waitUntil(lambda: dock.radius.value() == 15)
        dock.radius.setValue(3)
        dock.choose(viewer_model.layers["mine"], viewer_model.layers["truth"])
        run_comparison(qtbot, dock)
        assert dock.comparison.radius_angstrom == 30


class TestComparing:
    def test_a_summary_comes_first_and_results_match_python(
        self, qtbot, dock, viewer_model, two_sets
    ):
        dock.radius.setValue(2.5)
        dock.settings.beta.value = 4
        run_comparison(qtbot, dock)

        a, b = picks_of(viewer_model.layers["mine"]), picks_of(viewer_model.layers["truth"])
        expected = compare(a, b, radius_angstrom=25, beta=4)
        assert dock.comparison.scores == expected.scores
        assert numbers(dock)["precision"] == "66.7 %"
        headline = dock.results.headline
        assert (
            headline.text()
            == "67 % of A has a partner in B within 2.5 nm, and 50 % of B has one in A."
        )
        assert headline.y() < dock.results.table.geometry().y()

    def test_a_streamed_mask_is_compared_in_the_background(
        self, qtbot, dock, show_files, off_gui_thread
    ):
        off_gui_thread(Mask, "read")
        dock.choose(*show_files(TRUTH, MEMBRANE)[::-1])
        run_comparison(qtbot, dock)
        assert dock.results.headline.text().endswith("% of the picks lie inside the mask.")

    def test_other_alignments_are_refused_unless_the_user_insists(self, qtbot, dock, show_files):
        dock.choose(*show_files(OTHER_ALIGNMENT, TRUTH))
        run_comparison(qtbot, dock)
        assert "AL-" in dock.bar.message.text()
        assert not dock.results.isVisible()
        dock.settings.insist.value = True
        run_comparison(qtbot, dock)
        assert "you insisted" in dock.results.notes.text()


class TestOldResults:
    def test_a_result_is_marked_when_its_layers_change_until_it_is_new(
        self, qtbot, dock, viewer_model, two_sets
    ):
        run_comparison(qtbot, dock)
        assert not dock.why_not.isVisible()
        viewer_model.layers["mine"].visible = False
        assert not dock.results_are_old.isVisible()
        viewer_model.layers["mine"].add([1.0, 2.0, 3.0])
        assert "mine" in dock.results_are_old.text

        with qtbot.waitSignal(dock.tasks.finished, check_params_cb=lambda key: key == KEY):
            click(qtbot, dock.results_are_old.action)
        assert not dock.results_are_old.isVisible()
        assert len(dock.comparison.a) == 4

    def test_undefined_figures_keep_their_row(self, qtbot, dock, viewer_model, two_sets):
        viewer_model.layers["mine"].data = np.empty((0, 3))
        run_comparison(qtbot, dock)
        assert numbers(dock)["precision"] == "–"


class TestRanking:
    @pytest.fixture
    def ranked(self, qtbot, dock, show_files):
        careless, truth = show_files(CARELESS, TRUTH)
        careless.remove([0])
        dock.choose(careless, truth)
        qtbot.waitUntil(lambda: dock.radius.value() == 15)
        with qtbot.waitSignal(dock.tasks.finished, check_params_cb=lambda key: key == RANK_KEY):
            click(qtbot, dock.rank_bar.button)
        return dock

    def test_annotations_of_the_object_are_ranked_shown_or_not(self, ranked):
        table = ranked.ranking
        rows = [table.topLevelItem(number) for number in range(table.topLevelItemCount())]
        assert [row.text(0).partition(" ")[0] for row in rows] == [
            *("AN-9002", "AN-9003", "AN-9004", "AN-9011")
        ]
        assert rows[2].text(0).endswith("edited"), "the layer's picks, not the portal's"

    def test_a_row_shows_its_comparison_or_why_there_is_none(self, qtbot, ranked):
        table = ranked.ranking
        with qtbot.waitSignal(ranked.tasks.finished, check_params_cb=lambda key: key == KEY):
            table.setCurrentItem(table.topLevelItem(0))
        assert "AN-9002" in ranked.results.setting.text()
        table.setCurrentItem(table.topLevelItem(3))
        assert "alignment" in ranked.why_not.text()
        assert not ranked.results.isVisible()

    def test_a_change_of_a_ranked_layer_marks_the_table(self, ranked):
        ranked.a.layer.remove([0])
        assert ranked.ranking_is_old.isVisible()

    def test_a_slab_applies_to_all(self, qtbot, ranked):
        ranked.settings.z_to.value = 20
        with qtbot.waitSignal(ranked.tasks.finished, check_params_cb=lambda key: key == RANK_KEY):
            click(qtbot, ranked.rank_bar.button)
        table = ranked.ranking
        counts = [int(table.topLevelItem(number).text(1)) for number in range(3)]
        assert 0 < max(counts) < 40


class TestResultLayers:
    @pytest.fixture
    def compared(self, qtbot, dock, two_sets):
        dock.radius.setValue(2.5)
        run_comparison(qtbot, dock)
        return dock

    def test_each_part_becomes_one_layer_and_others_keep_visibility(
        self, qtbot, compared, viewer_model
    ):
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
        assert picks_of(viewer_model.layers["only B · truth"]).ids.tolist() == [2, 3]
        assert {layer: layer.visible for layer in before} == before
