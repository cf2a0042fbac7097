"""The dock for how picks are drawn, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.picks.orientation_display import orientation_of
from napari_cryoet._qt.picks.picks_link import link_of
from napari_cryoet._qt.picks.picks_on_screen import PicksOnScreen
from napari_cryoet._qt.picks.slabs import slabs_of
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
        assert len(display.layer.data) == 9
        choose(qtbot, dock.orientation, "off")
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

    def test_everything_has_a_name_and_fits_a_narrow_dock(self, viewer, dock):
        add_picks(viewer)
        for widget in (dock.picks_nm, dock.density_nm, dock.orientation, dock.length, dock.diameter_nm):
            assert widget.native.accessibleName()
        assert dock.minimumSizeHint().width() <= 360
