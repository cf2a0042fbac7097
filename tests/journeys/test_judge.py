"""Reviewing, exporting, comparing and checking picks in a real window, by keyboard alone."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import Qt

from keyboard import CONTROL, SHIFT, Keys, has_keys, press
from napari_cryoet import read_picks
from napari_cryoet._qt.layers.ownership import LayerKey

RIBOSOME = "cytosolic ribosome"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_picks_are_reviewed_exported_compared_and_checked_by_keyboard(
    qtbot, make_napari_viewer, demo_at_home, tmp_path
):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    window = viewer.window._qt_window  # napari has no public name for its window
    with qtbot.waitActive(window):
        window.activateWindow()
    keys = Keys(qtbot, viewer)

    # open the demo, search, and open a dataset and its first run
    _, browser = viewer.window.add_plugin_dock_widget("napari-cryoet", "CryoET Explorer")
    screens, manager, run = browser.screens, browser.manager, browser.screens.run
    keys.until(lambda: has_keys(screens.start))
    press(Qt.Key.Key_Return)
    keys.until(
        lambda: has_keys(screens.datasets.view) and screens.datasets.count.text() == "2 datasets"
    )
    press(Qt.Key.Key_Slash)
    keys.type("cytoplasm")
    keys.until(lambda: screens.datasets.count.text() == "1 of 2 datasets")
    press(Qt.Key.Key_Down)
    press(Qt.Key.Key_Return)
    keys.until(lambda: has_keys(screens.dataset.view) and len(screens.dataset.runs) > 0)
    press(Qt.Key.Key_Return)
    keys.until(lambda: has_keys(run.tomograms) and len(viewer.layers) > 1 and not manager.coming())

    # tick another annotation of ribosomes
    keys.tab_to(run.tree)
    while not _is_other_ribosomes(run, manager):
        row = run.tree.currentIndex()
        press(Qt.Key.Key_Down)
        assert run.tree.currentIndex() != row, "there are no other ribosomes"
    before = set(viewer.layers)
    press(Qt.Key.Key_Space)
    keys.until(
        lambda: (
            not manager.coming()
            and any(isinstance(layer, Points) for layer in set(viewer.layers) - before)
        )
    )
    (ticked,) = (layer for layer in set(viewer.layers) - before if isinstance(layer, Points))
    layers = list(viewer.layers)

    # keep one pick and reject a range, then undo and redo; the viewer follows
    review = keys.open_dock("Review picks")
    if review.layer is not ticked:
        keys.tab_to(review.points, back=True)
        keys.choose(review.points, ticked.name)
        assert review.layer is ticked
        keys.tab_to(review.sheet)
    keys.until(lambda: review.feed.crop(0) is not None)
    assert has_keys(review.sheet)
    kept = {review.model.row_at(0)}
    press(Qt.Key.Key_K)  # also moves to the next pick
    press(Qt.Key.Key_Return)
    spot = ticked.data_to_world(ticked.data[review.model.row_at(1)])
    assert viewer.dims.point[0] == pytest.approx(spot[0], abs=ticked.scale[0])
    press(Qt.Key.Key_Right, SHIFT)
    press(Qt.Key.Key_Right, SHIFT)
    press(Qt.Key.Key_X)
    assert (review.review.counts.kept, review.review.counts.rejected) == (1, 3)
    press(Qt.Key.Key_Z, CONTROL)
    assert (review.review.counts.kept, review.review.counts.rejected) == (1, 0)
    assert review.status.text() == "Undone: 3 picks are undecided again."
    press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert (review.review.counts.kept, review.review.counts.rejected) == (1, 3)

    # sort and filter the picks, then keep more
    keys.tab_to(review.gear, back=True)
    press(Qt.Key.Key_Return)
    keys.tab_to(review.controls.order)
    keys.choose(review.controls.order, "edge, nm")
    keys.tab_to(review.controls.direction)
    press(Qt.Key.Key_Return)
    keys.tab_to(review.controls.filter)
    keys.until(lambda: "edge_distance_nm" in review.review.columns)
    middle = float(np.median(review.review.columns["edge_distance_nm"]))
    keys.type(f"edge_distance_nm > {middle:.2f}")
    press(Qt.Key.Key_Return)
    keys.until(lambda: 0 < len(review.review.rows) < len(ticked.data))
    edges = review.review.columns["edge_distance_nm"][review.review.rows]
    assert (np.diff(edges) <= 0).all()
    assert edges.min() > middle - 0.01
    keys.tab_to(review.sheet)
    press(Qt.Key.Key_Home)
    for _ in range(2):
        kept.add(review.model.row_at(review.sheet.currentIndex().row()))
        press(Qt.Key.Key_K, SHIFT)
    assert review.review.counts.kept == len(kept) >= 2

    # export the kept picks
    export = keys.open_dock("Export picks")
    if export.layer.layer is not ticked:
        keys.choose(export.layer, ticked.name)
    keys.tab_to(export.which)
    keys.choose(export.which, "kept in a review")
    keys.tab_to(export.path)
    press(Qt.Key.Key_A, CONTROL)
    path = tmp_path / "kept.ndjson"
    keys.type(str(path))
    keys.tab_to(export.bar.button)
    press(Qt.Key.Key_Return)
    keys.until(lambda: export.bar.message.text().startswith("Wrote"))
    assert _rounded(read_picks(path).points_zyx) == _rounded(ticked.data[sorted(kept)])

    # compare with the other annotation, and check the picks in the tomogram
    compare = keys.open_dock("Compare annotations")
    keys.tab_to(compare.bar.button)
    press(Qt.Key.Key_Return)
    keys.until(lambda: compare.comparison is not None)
    assert compare.results.table.rowCount() > 3
    check = keys.open_dock("Check picks")
    keys.tab_to(check.bar.button)
    press(Qt.Key.Key_Return)
    keys.until(lambda: bool(check.results.headline))
    assert check.results.texts

    # none of this changed the layers, and closing the docks keeps them
    assert list(viewer.layers) == layers
    for dock in (check, compare, export, review, browser):
        viewer.window.remove_dock_widget(dock)
        dock.close()
    assert list(viewer.layers) == layers


def _is_other_ribosomes(run, manager) -> bool:
    """Whether the current row is an annotation of ribosomes that isn't shown yet."""
    record = run.annotations.record_at(run.tree.currentIndex())
    file = getattr(record, "shown_file", None)  # headings have none
    if file is None or record.annotation.object_name != RIBOSOME:
        return False
    return record.fits and LayerKey("annotation", file.id) not in manager.shown()


def _rounded(points_zyx) -> set[tuple[float, ...]]:
    return {tuple(point) for point in np.round(points_zyx, 2).tolist()}
