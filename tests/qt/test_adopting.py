"""What layers with data of ours have, whoever makes them and adds them."""

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer, Points
from napari.layers._layer_actions import _duplicate_layer, _extract_multiscale_level_from_selection

from napari_cryoet._qt.layers.manager import adopt_layers_of
from napari_cryoet._qt.picks.orientations import active_points, orientation_of
from napari_cryoet._qt.streaming.progressive import StreamStatus, stream_of
from napari_cryoet.formats.ndjson import lines_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.load import load_annotation, load_tomogram
from napari_cryoet.picks import Picks
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.streaming.pyramid import Pyramid

SHAPE_ZYX = (9, 14, 21)
SPACING, FINER = 13.48, 4.99


@pytest.fixture
def viewer(qtbot):
    viewer = ViewerModel()
    adopt_layers_of(viewer)
    return viewer


@pytest.fixture
def tomogram(tmp_path):
    volume = np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)
    write_pyramid(tmp_path / "TS.zarr", volume, SPACING)
    return load_tomogram(tmp_path / "TS.zarr")


@pytest.fixture
def oriented(tmp_path):
    """Points and arrows, counted in finer voxels than the tomogram's; the last is in the middle of its last plane."""
    places = np.array([[0.0, 2.0, 3.0], [8 * SPACING / FINER, 5.0, 7.0]])
    rotations = np.eye(3)[None].repeat(2, axis=0)
    (tmp_path / "picks.ndjson").write_bytes(b"".join(lines_of(Picks(places, rotations_zyx=rotations))))
    return load_annotation(tmp_path / "picks.ndjson", FINER)


@pytest.fixture
def mask(tmp_path):
    write_pyramid(tmp_path / "mask.zarr", np.zeros((22, 36, 55), np.int8), FINER, "mask")
    return load_annotation(tmp_path / "mask.zarr", FINER)


def add(viewer, *specs):
    """As napari adds what a reader has read."""
    return [viewer.add_layer(Layer.create(*spec)) for spec in specs]


def test_new_labels_over_a_volume_are_as_large_as_what_was_stored(viewer, tomogram):
    (image,) = add(viewer, tomogram)
    viewer.layers.selection.active = image
    viewer._new_labels()  # what napari's button does

    assert viewer.layers[1].data.shape == SHAPE_ZYX


class TestSteps:
    @pytest.mark.parametrize("is_tomogram_first", [True, False])
    def test_are_the_tomograms_whatever_lies_on_it(self, viewer, tomogram, oriented, mask, is_tomogram_first):
        others = (*oriented, *mask)
        add(viewer, *((tomogram, *others) if is_tomogram_first else (*others, tomogram)))

        assert [tuple(axis) for axis in viewer.dims.range] == [
            (0, pytest.approx((size - 1) * SPACING), SPACING) for size in SHAPE_ZYX
        ]
        assert viewer.dims.nsteps == SHAPE_ZYX

    def test_follow_a_tomogram_that_is_scaled_anew(self, viewer, tomogram, oriented):
        image, *_ = add(viewer, tomogram, *oriented)
        image.scale = (20, 20, 20)

        assert [axis.step for axis in viewer.dims.range] == [20] * 3

    def test_are_those_of_the_finer_of_two_tomograms(self, viewer, tomogram, oriented, tmp_path):
        write_pyramid(tmp_path / "fine.zarr", np.zeros(SHAPE_ZYX, np.float32), 7.84)
        add(viewer, tomogram, load_tomogram(tmp_path / "fine.zarr"), *oriented)

        assert [axis.step for axis in viewer.dims.range] == [7.84] * 3

    def test_leave_positions_and_scale_alone(self, viewer, tomogram, oriented):
        _, points, arrows = add(viewer, tomogram, *oriented)

        assert points.scale.tolist() == arrows.scale.tolist() == [FINER] * 3
        np.testing.assert_allclose(points.data_to_world(points.data[1]), [8 * SPACING, 5 * FINER, 7 * FINER])
        np.testing.assert_allclose(points.extent.world[1], [8 * SPACING, 5 * FINER, 7 * FINER])


class TestWhatIsInserted:
    def test_streams_also_if_it_is_a_persons_copy(self, viewer, tomogram):
        (image,) = add(viewer, tomogram)
        (copy,) = add(viewer, image.as_layer_data_tuple())

        assert isinstance(stream_of(copy), StreamStatus)
        assert stream_of(copy) is not stream_of(image)

    @pytest.mark.parametrize(
        ("kind", "dtype", "offset", "level"),
        [("tomogram", "f4", 0.5, 0), ("tomogram", "f4", 0.5, 2), ("instances", "u2", 0.0, 1)],
    )
    def test_lies_where_it_is_also_if_it_is_a_level_by_itself(
        self, qtbot, viewer, tmp_path, kind, dtype, offset, level
    ):
        write_pyramid(tmp_path / "a.zarr", np.zeros(SHAPE_ZYX, dtype), SPACING, kind)
        layers = add(viewer, load_tomogram(tmp_path / "a.zarr"))
        viewer.layers.selection = set(layers)
        _extract_multiscale_level_from_selection(viewer.layers, level)
        alone = viewer.layers[1]

        assert alone.translate.tolist() == [offset * (2**level - 1) * SPACING] * 3
        assert alone.data.shape == pyramid_of(layers[0].data).shapes[level]
        assert (stream_of(alone) is None) == (level > 0)
        before = alone.data
        viewer.layers.remove(alone)
        viewer.layers.append(alone)
        assert alone.translate.tolist() == [offset * (2**level - 1) * SPACING] * 3
        assert alone.data is before
        if level == 0:
            qtbot.waitUntil(lambda: stream_of(alone).state.is_exact)
            assert alone._slice.image.raw.shape == SHAPE_ZYX[1:]

    def test_is_left_alone_if_it_is_somebody_elses(self, viewer):
        theirs = [viewer.add_image(np.zeros((4, 4, 4))), viewer.add_points(np.zeros((1, 3)))]

        assert [type(layer) for layer in theirs] == [Image, Points]


class TestWhatNapariOpens:
    @pytest.fixture
    def path(self, tmp_path):
        volume = np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)
        write_pyramid(tmp_path / "a.zarr", volume, SPACING)
        return str(tmp_path / "a.zarr")

    def test_is_not_read_by_napari_before_it_streams(self, viewer_in_hidden_window, path, monkeypatch):
        wanted, read = [], Pyramid.read

        def noted(self, level, box, **options):
            if not threading.current_thread().name.startswith("napari-cryoet"):  # that is where contrast is found
                wanted.append(box)
            return read(self, level, box, **options)

        monkeypatch.setattr(Pyramid, "read", noted)
        viewer = viewer_in_hidden_window

        (layer,) = viewer.open(path, plugin="napari-cryoet")

        assert wanted == []
        assert layer.visible
        assert np.asarray(layer.data[0][0]).shape == SHAPE_ZYX[1:]
        assert wanted  # or else this test would watch nothing

    def test_starts_in_the_middle(self, viewer_in_hidden_window, path):
        viewer = viewer_in_hidden_window
        viewer.open(path, plugin="napari-cryoet")

        assert viewer.dims.current_step == (4, 6, 10)


class TestArrows:
    @pytest.mark.parametrize("order", [1, -1])
    def test_follow_their_picks_whichever_comes_first(self, viewer, oriented, order):
        layers = add(viewer, *oriented[::order])
        points, vectors = layers[::order]
        display = orientation_of(points)
        assert (display.layer, display.orientation) == (vectors, "arrows")
        points.remove([0])
        assert vectors.data[:, 0].tolist() == points.data.tolist()
        viewer.layers.selection.active = vectors
        assert active_points(viewer.layers) is points

    def test_that_are_copied_with_their_picks_follow_the_copies(self, viewer, oriented):
        points, vectors = add(viewer, *oriented)
        points.data = points.data + np.array([0, 0, 1])
        viewer.layers.selection = {points, vectors}
        _duplicate_layer(viewer.layers)
        copy = viewer.layers[f"{points.name} copy"]
        followers = viewer.layers[f"{vectors.name} copy"]
        assert (orientation_of(points).layer, orientation_of(copy).layer) == (vectors, followers)
        copy.remove([0])
        assert (len(vectors.data), len(followers.data)) == (2, 1)
