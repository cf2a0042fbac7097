"""The dock for how picks are drawn, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_cryoet._qt.adding import add_layers
from napari_cryoet._qt.orientation_display import orientation_of
from napari_cryoet._qt.picks_link import link_of
from napari_cryoet._qt.picks_on_screen import PicksOnScreen
from napari_cryoet._qt.slabs import slabs_of
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY, arrows_spec, points_spec
from napari_cryoet.picks import Picks

PLACES = [[20.0, 5.0, 5.0], [24.0, 8.0, 8.0], [30.0, 9.0, 9.0]]
WORLD = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3}


def add_picks(viewer, name="ribosomes", *, rotations=True, **about):
    about = {"object_id": "GO:0022626", "object_name": "cytosolic ribosome"} | about
    common = WORLD | {"metadata": {METADATA_KEY: about}}
    picks = Picks(PLACES, 10.0, rotations_zyx=np.tile(np.eye(3), (3, 1, 1)) if rotations else None)
    look = {"color": (1, 0, 0, 1), "diameter_angstrom": 300, "spacing_angstrom": 10}
    specs = [points_spec(picks, common, name=name, **look), arrows_spec(picks, common, name=f"{name} arrows", **look)]
    add_layers(viewer, [spec for spec in specs if spec is not None])
    return viewer.layers[name]


@pytest.fixture
def viewer(viewer_in_window):
    viewer = viewer_in_window
    tomogram = Image(np.zeros((40, 20, 20), "f4"), name="tomogram", metadata={METADATA_KEY: {}}, **WORLD)
    viewer.add_layer(tomogram)
    return viewer


@pytest.fixture
def dock(qtbot, viewer):
    dock = PicksOnScreen(viewer)
    viewer.window.add_dock_widget(dock, name="Picks on screen")
    return dock


def enter(qtbot, spin, text):
    """Type a number into a field, as a person does."""
    line = spin.native.findChild(QLineEdit)
    line.selectAll()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def choose(qtbot, combo, text):
    qtbot.keyClick(combo.native, Qt.Key.Key_Home)
    for _ in range(combo.choices.index(text)):
        qtbot.keyClick(combo.native, Qt.Key.Key_Down)


class TestSlabs:
    def test_a_thickness_that_is_typed_holds_in_the_view(self, qtbot, viewer, dock):
        points = add_picks(viewer)
        viewer.dims.set_current_step(0, 0)
        assert len(points._view_size) == 0
        enter(qtbot, dock.picks_nm, "40")
        enter(qtbot, dock.density_nm, "10")

        assert len(points._view_size) == 3
        assert viewer.dims.thickness == pytest.approx((100, 100, 100))

    def test_what_is_set_elsewhere_shows_in_the_fields(self, qtbot, viewer, dock):
        slabs_of(viewer).show_picks(12)
        viewer.dims.thickness = (50, 50, 50)

        qtbot.waitUntil(lambda: (dock.picks_nm.value, dock.density_nm.value) == (12, 5))

    def test_it_is_told_where_no_slab_of_picks_can_show(self, qtbot, viewer, dock):
        add_picks(viewer).units = "pixel"
        enter(qtbot, dock.picks_nm, "40")

        qtbot.waitUntil(lambda: "No slab of picks shows in “ribosomes”" in dock.slab_remark.text(), timeout=30_000)

    def test_the_limit_is_told_and_kept(self, qtbot, viewer, dock):
        assert "At most 32 nm" in dock.slab_remark.text()
        enter(qtbot, dock.density_nm, "99")

        assert slabs_of(viewer).density_nm <= 32
        viewer.layers.clear()
        qtbot.waitUntil(lambda: "Open a tomogram" in dock.slab_remark.text())
        assert not dock.density_nm.enabled


class TestOrientations:
    def test_what_is_chosen_is_drawn(self, qtbot, viewer, dock):
        points = add_picks(viewer)
        qtbot.waitUntil(lambda: dock.layer is points and dock.orientation.enabled)
        choose(qtbot, dock.orientation, "triads")
        enter(qtbot, dock.length, "12")

        display = orientation_of(points)
        assert (display.orientation, display.length_angstrom) == ("triads", 120)
        qtbot.waitUntil(dock.legend.isVisible)
        assert len(display.layer.data) == 9
        choose(qtbot, dock.orientation, "off")
        qtbot.waitUntil(lambda: not dock.legend.isVisible())
        assert len(display.layer.data) == 0

    def test_picks_without_orientations_say_so(self, qtbot, viewer, dock):
        add_picks(viewer, rotations=False)

        qtbot.waitUntil(lambda: "no orientations" in dock.orientation_remark.text())
        assert not dock.orientation.enabled


class TestSize:
    def test_all_picks_of_the_object_get_it_and_it_is_remembered(self, qtbot, viewer, dock):
        one, other = add_picks(viewer), add_picks(viewer, "more ribosomes")
        foreign = add_picks(viewer, "others", object_id="GO:0000502", object_name="proteasome complex")
        viewer.layers.selection.active = one
        qtbot.waitUntil(lambda: dock.layer is one and dock.diameter_nm.value == 30)
        enter(qtbot, dock.diameter_nm, "26")

        assert one.size.tolist() == other.size.tolist() == [26] * 3
        assert one.current_size == 26
        assert diameter_angstrom("GO:0022626") == 260
        assert foreign.size.tolist() == [30] * 3
        qtbot.waitUntil(lambda: orientation_of(one).length_angstrom == 260)
        assert "cytosolic ribosome (GO:0022626)" in dock.size_remark.text()

    def test_it_is_told_where_napari_draws_another_size(self, qtbot, viewer, dock):
        layer = add_picks(viewer)
        viewer.layers.selection.active = layer
        layer.scale, layer.units = (1.0,) * 3, "nm"  # as wide as before
        qtbot.waitUntil(lambda: "10 times too small" in dock.size_remark.text(), timeout=30_000)
        assert "in nanometer beside others in angstrom" in dock.size_remark.text()

        layer.scale, layer.units = (10.0,) * 3, "angstrom"
        qtbot.waitUntil(lambda: "too small" not in dock.size_remark.text(), timeout=30_000)


class TestWhoseTheyAre:
    def test_the_selected_picks_count_else_the_topmost(self, qtbot, viewer, dock):
        one, other = add_picks(viewer), add_picks(viewer, "others")
        viewer.layers.selection.active = viewer.layers["tomogram"]
        qtbot.waitUntil(lambda: dock.layer is other)
        viewer.layers.selection.active = one
        qtbot.waitUntil(lambda: dock.layer is one)
        assert dock.of_layer.text() == "ribosomes: 3 picks"

    def test_a_persons_own_points_are_left_alone_until_they_say_so(self, qtbot, viewer, dock):
        own = viewer.add_points(PLACES, name="mine", **WORLD)
        qtbot.waitUntil(lambda: dock.layer is own and dock.use.isVisible())
        assert PICKS_KEY not in own.metadata
        assert len(own.features.columns) == 0
        qtbot.mouseClick(dock.use, Qt.MouseButton.LeftButton)

        assert len(link_of(own).picks) == 3
        assert not dock.use.isVisible()

    def test_ones_own_points_that_become_picks_show_in_the_slab(self, qtbot, viewer, dock):
        slabs_of(viewer).show_picks(40)
        own = viewer.add_points(PLACES, name="mine", **WORLD)
        viewer.dims.set_current_step(0, 26)
        qtbot.waitUntil(lambda: dock.layer is own and dock.use.isVisible())
        qtbot.mouseClick(dock.use, Qt.MouseButton.LeftButton)

        assert len(own._view_size) == 3

    def test_ones_own_points_that_are_nowhere_can_not_become_picks(self, qtbot, viewer, dock):
        own = viewer.add_points([*PLACES, [np.nan] * 3], name="stray", **WORLD)
        qtbot.waitUntil(lambda: dock.layer is own and dock.use.isVisible())
        qtbot.mouseClick(dock.use, Qt.MouseButton.LeftButton)

        said = "stray can't be used as picks: pick 4 is nowhere: its place is nan, nan, nan (z, y, x)."
        assert dock.size_remark.text() == said

    def test_picks_that_are_nowhere_say_so_and_undo_takes_them_back(self, qtbot, viewer, dock):
        points = add_picks(viewer)
        qtbot.waitUntil(lambda: dock.of_layer.text() == "ribosomes: 3 picks")
        points.data = [[np.nan] * 3, *PLACES[1:]]
        dock.refresh()
        assert dock.of_layer.text().startswith("ribosomes can't be used as picks just now: pick 1 is nowhere: its")
        assert not dock.use.isVisible()
        qtbot.mouseClick(dock.undo, Qt.MouseButton.LeftButton)

        qtbot.waitUntil(lambda: dock.of_layer.text() == "ribosomes: 3 picks")
        assert points.data.tolist() == PLACES

    def test_undo_and_redo_say_what_they_would_do(self, qtbot, viewer, dock):
        points = add_picks(viewer)
        points.remove([0])
        qtbot.waitUntil(dock.undo.isEnabled)
        assert dock.undo.toolTip() == "Undo: deleted 1 pick"
        qtbot.mouseClick(dock.undo, Qt.MouseButton.LeftButton)
        assert len(points.data) == 3
        qtbot.waitUntil(dock.redo.isEnabled)
        qtbot.mouseClick(dock.redo, Qt.MouseButton.LeftButton)
        assert len(points.data) == 2

    def test_a_closed_dock_hears_no_more(self, qtbot, viewer, dock):
        points = add_picks(viewer)
        viewer.window.remove_dock_widget(dock)
        qtbot.wait(0)
        points.remove([0])
        viewer.layers.remove(points)

        assert not dock._soon.isActive()

    def test_fields_show_no_number_until_there_is_one(self, qtbot, viewer, dock):
        assert (dock.length.native.text(), dock.diameter_nm.native.text()) == ("–", "–")
        assert dock.picks_nm.native.text() == "one plane"
        add_picks(viewer)
        qtbot.waitUntil(lambda: dock.length.native.text() == "30.0 nm")
        assert dock.diameter_nm.native.text() == "30.0 nm"

    def test_a_long_name_without_spaces_hides_no_field(self, qtbot, viewer, dock):
        add_picks(viewer, name="a_very_long_name_" * 10)
        qtbot.waitUntil(lambda: "a_very" in dock.of_layer.text())

        assert dock.undo.parentWidget().minimumSizeHint().width() <= 340

    def test_everything_has_a_name_and_fits_a_narrow_dock(self, viewer, dock):
        add_picks(viewer)
        for widget in (dock.picks_nm, dock.density_nm, dock.orientation, dock.length, dock.diameter_nm):
            assert widget.native.accessibleName()
        assert dock.minimumSizeHint().width() <= 360
