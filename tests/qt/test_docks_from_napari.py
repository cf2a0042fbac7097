"""The docks as napari makes them for a plugin: with stand-ins for the viewer and for what it hands out."""

import numpy as np
import pytest
from napari.layers import Image
from npe2 import PluginManifest
from qtpy.QtCore import Qt

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet.layers.specs import METADATA_KEY, arrows_spec, points_spec
from napari_cryoet.picks import Picks

WORLD = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "axis_labels": ("z", "y", "x")}
DOCKS = [each.display_name for each in PluginManifest.from_distribution("napari-cryoet").contributions.widgets]


@pytest.fixture
def viewer(viewer_in_hidden_window):
    viewer = viewer_in_hidden_window
    viewer.add_layer(Image(np.random.default_rng(0).normal(size=(16, 32, 32)).astype("f4"), name="tomogram", **WORLD))
    picks = Picks([[8.0, 10.0, 10.0], [8.0, 20.0, 20.0]], 10.0, rotations_zyx=np.eye(3)[None].repeat(2, axis=0))
    looks = {"color": (1, 0, 0, 1), "diameter_angstrom": 100, "spacing_angstrom": 10}
    common = WORLD | {"metadata": {METADATA_KEY: {"kind": "annotation"}}}
    add_layers(
        viewer, [points_spec(picks, common, name="picks", **looks), arrows_spec(picks, common, name="arrows", **looks)]
    )
    viewer.layers.selection.active = viewer.layers["picks"]
    return viewer


def test_every_dock_opens_and_closes_and_leaves_the_layers_alone(viewer):
    before = list(viewer.layers)
    for name in DOCKS:
        _, dock = viewer.window.add_plugin_dock_widget("napari-cryoet", name)
        assert viewer.layers.selection.active is viewer.layers["picks"], name
        viewer.window.remove_dock_widget(dock)
        dock.close()

        assert list(viewer.layers) == before, name
        assert len(picks_of(viewer.layers["picks"])) == 2, name


def test_the_review_says_which_layer_it_reviews(viewer):
    _, dock = viewer.window.add_plugin_dock_widget("napari-cryoet", "Review picks")

    assert dock.layer is viewer.layers["picks"]
    assert dock.points.currentText() == "picks"
    assert dock.image.currentText() == "tomogram"


def test_what_a_review_keeps_can_be_chosen_for_export(viewer, qtbot):
    _, review = viewer.window.add_plugin_dock_widget("napari-cryoet", "Review picks")
    _, form = viewer.window.add_plugin_dock_widget("napari-cryoet", "Export picks")
    qtbot.waitUntil(lambda: review.review is not None)
    review.sheet.go_to(1)
    qtbot.keyClick(review.sheet, Qt.Key.Key_K)
    form.which.setCurrentIndex(form.which.findData("kept"))
    kept = form.chosen_picks()

    assert kept.ids.tolist() == [1]
    assert "kept 1 of 2" in kept.edits[-1]
    review.review_layer(None)
    assert form.chosen_picks() is None
