"""The 43 real picks: judged, exported, compared and checked in a real window by keyboard."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Points
from qtpy.QtCore import Qt

from keyboard import CONTROL, SHIFT, Keys, has_keys, press
from napari_cryoet._qt.picks.popover import show_picks_popover
from napari_cryoet._qt.picks.slabs import slab_nm_of
from napari_cryoet.formats.registry import read_picks, write_picks
from napari_cryoet.layers.specs import PICKS_KEY
from napari_cryoet.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PICKS_SPACING, TOMOGRAM_SPACING, CROP_SPACING = 4.99, 10.012, 10.52
MOVED = np.array([3.0, 0.0, 4.0])
LONG_MS = 60_000


@pytest.fixture
def viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    with qtbot.waitActive(viewer.window._qt_window):
        viewer.window._qt_window.activateWindow()
    return viewer


def test_real_picks_are_reviewed_exported_compared_and_checked_by_keyboard(
    qtbot, viewer, real_pack, tmp_path
):
    keys = Keys(qtbot, viewer)
    Settings().source = str(real_pack.folder)
    _, browser = viewer.window.add_plugin_dock_widget("napari-cryoet", "CryoET Explorer")
    screens, manager = browser.screens, browser.manager
    keys.until(
        lambda: has_keys(screens.datasets.view) and screens.datasets.count.text() == "2 datasets"
    )
    press(Qt.Key.Key_Slash)
    keys.type("RN-900001")
    press(Qt.Key.Key_Return)
    keys.until(lambda: has_keys(screens.run.tomograms))
    press(Qt.Key.Key_Return)
    keys.until(
        lambda: any(isinstance(layer, Image) for layer in viewer.layers) and not manager.coming()
    )
    keys.tab_to(screens.run.tree)
    press(Qt.Key.Key_Down)
    press(Qt.Key.Key_Space)
    keys.until(
        lambda: any(isinstance(layer, Points) for layer in viewer.layers) and not manager.coming()
    )
    (image,) = (layer for layer in viewer.layers if isinstance(layer, Image))
    (points,) = (layer for layer in viewer.layers if isinstance(layer, Points))
    assert len(points.data) == 43
    assert (image.scale[0], points.scale[0]) == (TOMOGRAM_SPACING, PICKS_SPACING)

    # show a slab of 60 nm
    assert show_picks_popover(viewer, points) is not None
    press(Qt.Key.Key_Tab)
    keys.type("60")
    press(Qt.Key.Key_Return)
    press(Qt.Key.Key_Escape)
    assert slab_nm_of(points) == 60

    # judge, and find the verdicts again after reopening the dock
    review = keys.open_dock("Review picks")
    keys.until(lambda: review.feed.crop(0) is not None)
    press(Qt.Key.Key_K)  # and on to the next
    press(Qt.Key.Key_Right, SHIFT)
    press(Qt.Key.Key_X)
    press(Qt.Key.Key_K)
    assert (review.review.counts.kept, review.review.counts.rejected) == (2, 2)
    press(Qt.Key.Key_Z, CONTROL)
    assert review.review.counts.kept == 1
    press(Qt.Key.Key_Z, CONTROL | SHIFT)
    viewer.window.remove_dock_widget(review)
    review.close()
    review = keys.open_dock("Review picks")
    keys.until(lambda: review.review is not None)
    assert (review.review.counts.kept, review.review.counts.rejected) == (2, 2)
    assert "Resumed 4 decisions" in review.review.remark

    # export the kept picks for Dynamo
    export = keys.open_dock("Export picks")
    keys.tab_to(export.which)
    keys.choose(export.which, "kept in a review")
    keys.tab_to(export.format)
    keys.choose(export.format, "Dynamo table")
    keys.tab_to(export.path)
    press(Qt.Key.Key_A, CONTROL)
    keys.type(str(tmp_path / "kept.tbl"))
    keys.tab_to(export.bar.button)
    press(Qt.Key.Key_Return)
    keys.until(lambda: export.bar.message.text().startswith("Wrote 2 picks"))
    written = read_picks(tmp_path / "kept.tbl")
    np.testing.assert_allclose(written.points_zyx, points.data[[0, 3]], atol=1e-4)
    assert (written.spacing_angstrom, written.about.deposition_id) == (PICKS_SPACING, 10310)

    # compare with the same picks, shifted by 5 voxels
    picks = points.metadata[PICKS_KEY]
    mine = picks.changed(points_zyx=picks.points_zyx + MOVED)
    (moved, *_rest) = viewer.open(
        str(write_picks(mine, tmp_path / "moved.picks.csv").path), plugin="napari-cryoet"
    )
    compare = keys.open_dock("Compare annotations")
    assert {compare.a.layer, compare.b.layer} == {moved, points}
    keys.tab_to(compare.bar.button)
    press(Qt.Key.Key_Return)
    keys.until(lambda: compare.comparison is not None)
    assert compare.comparison.scores.true_positives == 43
    np.testing.assert_allclose(compare.comparison.distances_angstrom, 5 * PICKS_SPACING, rtol=1e-6)

    # check: inconclusive in this simulated volume
    check = keys.open_dock("Check picks")
    check.choose(points, image)
    keys.tab_to(check.bar.button)
    press(Qt.Key.Key_Return)
    keys.until(lambda: bool(check.results.headline))
    assert "copy" not in check.results.buttons
    assert any("43 picks lie inside" in text for text in check.results.texts)
