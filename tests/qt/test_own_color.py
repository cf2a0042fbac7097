"""Colours distinguish opened files from the portal's annotations, in whichever order they are opened."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cryoet import load_annotation, open_portal
from napari_cryoet._qt.layers.colors import shown_color_of
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet.appearance.colors import annotation_colors, color_of
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.records import ShapeType
from qt.two_picks import two_picks

TRUTH = 9001  # ribosomes


@pytest.fixture
def page(demo_pack):
    return open_portal(demo_pack).run_page(9001)


def color(layer):
    appearance_color = shown_color_of(layer)
    return None if appearance_color is None else rounded(appearance_color)


def rounded(color):
    return tuple(round(part, 3) for part in color)


def test_a_user_file_gets_a_different_colour_than_the_annotation(
    viewer_in_hidden_window, page, tmp_path
):
    viewer = viewer_in_hidden_window
    own_file = write_picks(two_picks(), tmp_path / "ribosomes.ndjson").path
    truth_file = next(file for file in page.annotation_files if file.id == TRUTH)
    (truth,) = add_layers(viewer, load_annotation(truth_file)[:1])
    arrows, points = viewer.open(str(own_file), plugin="napari-cryoet")

    assert color(truth) == rounded(color_of("cytosolic ribosome"))
    assert color(points) == color(arrows) != color(truth)
    np.testing.assert_allclose(points.face_color[:, :3], points.border_color[:, :3])
    again = viewer.open(str(own_file), plugin="napari-cryoet")
    assert len({color(layer) for layer in (truth, points, *again)}) == 3


def test_annotation_colours_do_not_depend_on_opening_order(qtbot, viewer_model, page):
    colors, manager = annotation_colors(page.annotations), LayerManager(viewer_model)
    points = [
        file
        for file in reversed(page.annotation_files)
        if file.shape.shape_type in {ShapeType.POINT, ShapeType.ORIENTED_POINT}
        and file.shape.annotation.object_name == "cytosolic ribosome"
    ]
    for file in points:
        key = LayerKey("annotation", file.id)
        manager.show_annotation(page, file)
        qtbot.waitUntil(lambda key=key: key not in manager.coming())
        assert {color(layer) for layer in manager.layers_of(key)} == {
            rounded(colors[file.shape.annotation.id])
        }
    manager.close()
