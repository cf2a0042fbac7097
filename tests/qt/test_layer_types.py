import numpy as np
import pytest
from napari_builtins.io import napari_write_image, napari_write_labels

from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.plugin import make_editable_copy
from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet.exceptions import SaveError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import LayerSpec
from napari_cryoet.streaming import open_pyramid

SHAPE_ZYX = (9, 14, 21)


@pytest.fixture
def make(tmp_path, qtbot):
    def make(kind):
        is_mask = kind == "labels"
        values = np.zeros(SHAPE_ZYX, np.int8 if is_mask else np.float32)
        write_pyramid(tmp_path / f"{kind}.zarr", values, 10.0, "mask" if is_mask else "tomogram")
        pyramid = open_pyramid(tmp_path / f"{kind}.zarr")
        options = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3}
        options |= {} if is_mask else {"contrast_limits": (0, 1)}
        return make_layer(LayerSpec(pyramid.levels, options, kind))[0]

    return make


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_file_of_one_array_that_cant_hold_several_resolutions_is_refused_in_words(make, kind, tmp_path):
    layer = make(kind)
    write = {"image": napari_write_image, "labels": napari_write_labels}[kind]
    with pytest.raises(SaveError, match="several resolutions") as caught:
        write(str(tmp_path / "a.tif"), *layer.as_layer_data_tuple()[:2])
    assert not (tmp_path / "a.tif").exists()
    advice = {"image": "New layer from selected multiscale level", "labels": "the type “CryoET Data Portal Masks”"}
    assert advice[kind] in str(caught.value)
    assert np.asarray(layer.data).shape == (3, 4, 6)  # as napari has it


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_other_data_given_to_the_layer_count_as_they_are(make, kind):
    layer = make(kind)
    layer.data = [np.zeros((20, 20, 20), layer.dtype), np.zeros((10, 10, 10), layer.dtype)]

    assert layer.extent.data[1].tolist() == [19, 19, 19]


def test_a_copy_of_a_streamed_mask_can_be_painted(qtbot, viewer_model, tmp_path):
    values = (np.arange(6 * 7 * 8) % 3).reshape(6, 7, 8).astype("i1")
    write_pyramid(tmp_path / "mask.zarr", values, 10.0, "mask")
    spec = LayerSpec(open_pyramid(tmp_path / "mask.zarr").levels, {"name": "mask", "scale": (10.0,) * 3}, "labels")
    (mask,) = add_layers(viewer_model, [spec])
    assert not mask.editable
    viewer_model.layers.selection = {mask}
    make_editable_copy(viewer_model)
    qtbot.waitUntil(lambda: len(viewer_model.layers) == 2)
    copy = viewer_model.layers[1]
    assert np.array_equal(copy.data, values)
    assert copy.editable
    assert copy.scale.tolist() == [10, 10, 10]
    copy.data_setitem((np.array([1]), np.array([2]), np.array([3])), 7)
    assert copy.data[1, 2, 3] == 7
