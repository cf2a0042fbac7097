"""Picks are drawn exactly over the picked voxels, tested from records and files to levels and the canvas.

Sizes and positions are odd and different along every axis, to reveal swapped axes and shifted
coarse levels.
"""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Layer

from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming import progressive
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.load import load_annotation, load_tomogram
from napari_cryoet.records import AnnotationShape, ShapeType
from napari_cryoet.viewer import add_layers
from samples import make_annotation, make_file, make_run_page, make_tomogram, make_voxel_spacing

SHAPE_ZYX = (29, 46, 67)
SPACING = 10.012
#: Corners of planted blocks of 4 x 4 x 4 voxels, aligned so that each is exactly one voxel of level
#: 2.
BLOCKS_ZYX = [(4, 8, 12), (8, 40, 20), (12, 20, 60), (20, 4, 36), (24, 36, 52)]
LEVELS = (0, 1, 2)


def planted(dtype, values):
    volume = np.zeros(SHAPE_ZYX, dtype)
    for (z, y, x), value in zip(BLOCKS_ZYX, values, strict=True):
        volume[z : z + 4, y : y + 4, x : x + 4] = value
    return volume


def centres_zyx():
    return np.array(BLOCKS_ZYX) + 1.5


def points_file(path, points_zyx, *, spacing=SPACING, number=1, shape_type=ShapeType.POINT):
    lines = [
        {"type": "point", "location": {"x": x, "y": y, "z": z}}
        for z, y, x in np.asarray(points_zyx).tolist()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return record(path, number=number, spacing=spacing, shape_type=shape_type)


def record(path, *, number, shape_type, spacing=SPACING):
    annotation = make_annotation(id=number)
    shape = AnnotationShape(
        id=number, annotation_id=number, shape_type=shape_type, annotation=annotation
    )
    return make_file(
        shape_type,
        id=number,
        https_path=path.as_uri(),
        shape=shape,
        voxel_spacing=make_voxel_spacing(voxel_spacing=spacing),
    )


def tomogram_at(path, **fields):
    z, y, x = SHAPE_ZYX
    fields = {"voxel_spacing": SPACING, "size_z": z, "size_y": y, "size_x": x} | fields
    return make_tomogram(https_omezarr_dir=path.as_uri(), **fields)


class Scene:
    """A tomogram with annotations, shown by a `LayerManager` in a real window."""

    def __init__(self, qtbot, viewer):
        self._qtbot = qtbot
        self.viewer = viewer
        self.manager = LayerManager(viewer)

    def open(self, tomogram):
        self.manager.open_tomogram(make_run_page(tomograms=[tomogram]), tomogram)
        return self._arrived(LayerKey("tomogram", tomogram.id))

    def show(self, file, tomogram=None):
        self.manager.show_annotation(make_run_page(files=[file]), file, tomogram)
        return self._arrived(LayerKey("annotation", file.id))

    def _arrived(self, key):
        self._qtbot.waitUntil(lambda: key in self.manager.shown())
        return self.manager.layers_of(key)[0]

    def wait_for_value(self, layer, world, value):
        """Wait until a layer shows a value at a world position."""
        self._qtbot.waitUntil(lambda: self.value_at(layer, world) == value)

    def value_at(self, layer, world):
        """The value of a layer at a world position, as in napari's status bar."""
        value = layer.get_value(tuple(world), world=True)
        return value[1] if isinstance(value, tuple) else value

    def centroid_of(self, layer):
        """The centroid of bright pixels when only this layer is drawn, as row and column on the canvas."""
        for other in self.viewer.layers:
            other.visible = other is layer
        self.viewer.canvas.overlays.scale_bar.visible = False
        picture = self.viewer.screenshot(canvas_only=True, flash=False)[..., :3].max(axis=2)
        bright = np.argwhere(picture > 127)
        assert len(bright), f"{layer.name} draws nothing"
        return bright.mean(axis=0)

    def wait_until_drawn_over(self, image, picks):
        """Wait at each level until the image's bright centroid is within half a voxel of the picks'."""
        voxel_px = self.viewer.scene.camera.zoom * SPACING
        assert voxel_px > 4  # precise enough
        of_pick = self.centroid_of(picks)

        def is_over():
            assert np.abs(self.centroid_of(image) - of_pick).max() < 0.5 * voxel_px, (
                image.data_level
            )

        for image.locked_data_level in LEVELS:
            self._qtbot.waitUntil(is_over)
            assert image.data_level == image.locked_data_level


@pytest.fixture
def scene(qtbot, viewer_in_window, monkeypatch):
    monkeypatch.setattr(progressive, "_REFRESH_2D_S", 0.0)
    monkeypatch.setattr(progressive, "_REFRESH_3D_S", 0.0)
    scene = Scene(qtbot, viewer_in_window)
    yield scene
    scene.manager.close()


@pytest.fixture
def bright(tmp_path):
    write_pyramid(tmp_path / "bright.zarr", planted(np.float32, [1000] * 5), SPACING)
    return tomogram_at(tmp_path / "bright.zarr")


def go_to_plane(viewer, world, axis=0):
    viewer.dims.set_point(axis, world[axis])


def test_every_pick_lies_on_its_planted_voxel(scene, bright, tmp_path):
    image = scene.open(bright)
    picks = scene.show(points_file(tmp_path / "picks.ndjson", centres_zyx()))

    for level, (index, data) in itertools.product(LEVELS, enumerate(picks.data)):
        image.locked_data_level = level
        world = picks.data_to_world(data)
        go_to_plane(scene.viewer, world)
        scene.wait_for_value(image, world, 1000)
        assert scene.value_at(picks, world) == index


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_picks_are_drawn_over_their_block_on_the_canvas(scene, bright, tmp_path, order):
    one = centres_zyx()[3:4]
    image = scene.open(bright)
    image.contrast_limits = (0, 1)
    picks = scene.show(points_file(tmp_path / "picks.ndjson", one))
    picks.size, picks.face_color, picks.border_width = 4, "white", 0
    scene.viewer.dims.order = order
    scene.viewer.reset_view(layers=[image])
    go_to_plane(scene.viewer, one[0] * SPACING, axis=order[0])

    scene.wait_until_drawn_over(image, picks)


def test_picks_are_drawn_over_their_block_in_3d(scene, tmp_path):
    write_pyramid(tmp_path / "one.zarr", planted(np.float32, [0, 0, 1000, 0, 0]), SPACING)
    image = scene.open(tomogram_at(tmp_path / "one.zarr"))
    image.contrast_limits, image.rendering = (0, 1), "mip"
    picks = scene.show(points_file(tmp_path / "picks.ndjson", centres_zyx()[2:3]))
    picks.size, picks.face_color, picks.border_width = 4, "white", 0
    scene.viewer.dims.ndisplay = 3
    scene.viewer.reset_view(layers=[image])
    scene.viewer.scene.camera.angles = (30, 40, 50)

    scene.wait_until_drawn_over(image, picks)


@pytest.mark.slow
def test_every_instance_has_its_number_and_colour(scene, bright, tmp_path):
    numbers = [1, 2, 300, 40_000, 65_535]
    write_pyramid(tmp_path / "i.zarr", planted(np.uint16, numbers), SPACING, "instances")
    scene.open(bright)
    mask = scene.show(
        record(tmp_path / "i.zarr", number=3, shape_type=ShapeType.INSTANCE_SEGMENTATION_MASK)
    )

    for level, (number, corner) in itertools.product(LEVELS, zip(numbers, BLOCKS_ZYX, strict=True)):
        mask.locked_data_level = level
        world = (np.array(corner) + 0.4) * SPACING  # in the voxel that every level keeps
        go_to_plane(scene.viewer, world)
        scene.wait_for_value(mask, world, number)
        assert mask.get_color(number)[3] == 1

    assert len({tuple(mask.get_color(number)) for number in numbers}) == len(
        {(number - 1) % 12 for number in numbers}
    )


def test_a_tomogram_with_an_offset_aligns_with_the_canonical_one(scene, tmp_path):
    """Tests a sub-volume starting at voxel (4, 8, 12) of the canonical tomogram, with a pick in the canonical one."""
    whole = planted(np.float32, [0, 1000, 0, 0, 0])
    write_pyramid(tmp_path / "part.zarr", whole[4:, 8:, 12:], SPACING)
    part = tomogram_at(tmp_path / "part.zarr", offset_z=4, offset_y=8, offset_x=12)
    image = scene.open(part)
    picks = scene.show(points_file(tmp_path / "picks.ndjson", centres_zyx()[1:2]))
    world = picks.data_to_world(picks.data[0])
    go_to_plane(scene.viewer, world)
    scene.wait_for_value(image, world, 1000)


voxels = st.tuples(*(st.integers(0, size - 1) for size in SHAPE_ZYX))
spacings = st.floats(0.5, 60, allow_nan=False).map(lambda spacing: round(spacing, 3))


@pytest.fixture(scope="module")
def empty_volume(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "a.zarr"
    write_pyramid(path, np.zeros(SHAPE_ZYX, np.float32), 1.0)
    return path


@settings(max_examples=15)
@given(voxel=voxels, spacing=spacings, factor=st.integers(1, 4))
def test_a_pick_lies_at_its_voxels_centre_for_any_spacings(empty_volume, voxel, spacing, factor):
    file = points_file(
        empty_volume.parent / "picks.ndjson", [np.multiply(voxel, factor)], spacing=spacing / factor
    )
    image = Layer.create(*load_tomogram(tomogram_at(empty_volume, voxel_spacing=spacing)))
    picks = Layer.create(*load_annotation(file)[0])

    np.testing.assert_allclose(
        image.world_to_data(picks.data_to_world(picks.data[0])), voxel, atol=1e-6
    )


@pytest.mark.parametrize("shape_zyx", [(1, 40, 60), (40, 60, 3)])
def test_a_thin_volume_is_not_read_as_rgb(tmp_path, viewer_model, shape_zyx):
    volume = np.random.default_rng(0).normal(size=shape_zyx).astype(np.float32)
    write_pyramid(tmp_path / "thin.zarr", volume, SPACING)
    (layer,) = add_layers(viewer_model, [load_tomogram(tmp_path / "thin.zarr")])
    assert (layer.ndim, layer.rgb) == (3, False)
    corner = np.array(shape_zyx) - 1
    assert np.asarray(layer.data[0][tuple(corner)]) == volume[tuple(corner)]
    np.testing.assert_allclose(layer.data_to_world(corner), corner * SPACING)
