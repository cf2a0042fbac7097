"""What a person opens from a file can be told from all that is on screen."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels, Points, Vectors

from napari_cryoet import load_annotation, open_portal
from napari_cryoet._qt.layers.colors import appearance_of
from napari_cryoet._qt.layers.manager import LayerManager, add_layers
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet.appearance.colors import annotation_colors, color_of
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.records import ShapeType
from qt.two_picks import two_picks

PLUGIN = "napari-cryoet"
TRUTH = 9001  # ribosomes


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


@pytest.fixture
def files(demo_pack):
    return {file.id: file for file in open_portal(demo_pack).run_page(9001).annotation_files}


@pytest.fixture
def own_file(tmp_path):
    return write_picks(two_picks(), tmp_path / "ribosomes.ndjson").path


def color(layer):
    found = appearance_of(layer).color
    return None if found is None else rounded(found)


def rounded(color):
    return tuple(round(part, 3) for part in color)


def test_an_own_file_of_the_same_object_gets_another_colour_than_the_annotation(viewer, files, own_file):
    (truth,) = add_layers(viewer, load_annotation(files[TRUTH])[:1])
    arrows, points = viewer.open(str(own_file), plugin=PLUGIN)

    assert color(truth) == rounded(color_of("ribosome")) == rounded(color_of("cytosolic ribosome"))
    assert isinstance(points, Points)
    assert isinstance(arrows, Vectors)
    assert color(points) == color(arrows) != color(truth)
    np.testing.assert_allclose(points.face_color[:, :3], points.border_color[:, :3])
    assert (points.face_color[:, 3] < 0.5).all()

    again = viewer.open(str(own_file), plugin=PLUGIN)
    assert len({color(layer) for layer in (truth, points, *again)}) == 3


def test_the_annotations_of_a_pack_keep_the_colours_of_their_objects(viewer, demo_pack):
    viewer.open(str(demo_pack), plugin=PLUGIN)
    before = {layer.name: color(layer) for layer in viewer.layers if isinstance(layer, Points | Labels)}
    viewer.layers.clear()
    taken = next(each for each in before.values() if each)
    viewer.add_points(np.zeros((1, 3)), border_color=list(taken), name="mine")
    viewer.open(str(demo_pack), plugin=PLUGIN)

    assert {name: color(viewer.layers[name]) for name in before} == before


@pytest.fixture
def tick(qtbot, viewer_model, demo_pack):
    """Show annotations of the demo's run as its page does, one after the other; gives the main layer of each."""
    page = open_portal(demo_pack).run_page(9001)
    link = LayerManager(viewer_model)

    def tick(*files):
        keys = [LayerKey("annotation", file.id) for file in files]
        for file, key in zip(files, keys, strict=True):
            link.show_annotation(page, file)
            qtbot.waitUntil(lambda key=key: key not in link.coming())
        return [link.layers_of(key)[0] for key in keys]

    tick.page, tick.link = page, link
    yield tick
    link.close()


def files_of(page, shape_types, object_name):
    """The first file of each annotation of an object."""
    found = {
        file.shape.annotation.id: file
        for file in reversed(page.annotation_files)
        if file.shape.shape_type in shape_types and file.shape.annotation.object_name == object_name
    }
    return list(found.values())


def test_annotations_have_their_colours_whatever_was_opened_first(tick):
    colors = annotation_colors(tick.page.annotations)
    for file in files_of(tick.page, {ShapeType.POINT, ShapeType.ORIENTED_POINT}, "cytosolic ribosome")[::-1]:
        tick(file)
        layers = tick.link.layers_of(LayerKey("annotation", file.id))
        assert {color(layer) for layer in layers} == {rounded(colors[file.shape.annotation.id])}
