import numpy as np
import pytest
from napari.layers import Image, Points

from napari_cryoet import add_layers, load_annotation, load_tomogram
from napari_cryoet._qt.progressive import StreamStatus
from napari_cryoet.formats.ndjson import Points as FilePoints
from napari_cryoet.formats.ndjson import write_points
from napari_cryoet.packs.portal_zarr import write_pyramid

SHAPE_ZYX = (9, 14, 21)


def test_a_script_gets_what_the_dock_shows(qtbot, viewer_model, tmp_path):
    write_pyramid(tmp_path / "TS.zarr", np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32), 13.48)
    (tmp_path / "picks.ndjson").write_bytes(write_points(FilePoints.from_zyx(np.array([[12.0, 9.0, 9.0]]))))
    specs = [load_tomogram(tmp_path / "TS.zarr"), *load_annotation(tmp_path / "picks.ndjson", 4.99)]

    image, points = layers = add_layers(viewer_model, reversed(specs))

    assert list(viewer_model.layers) == layers
    assert isinstance(image, Image)
    assert isinstance(points, Points)
    assert isinstance(image._slicing_state.status, StreamStatus)
    assert viewer_model.dims.nsteps == SHAPE_ZYX
    assert viewer_model.canvas.overlays.scale_bar.visible
    viewer_model.dims.set_current_step(0, 6)  # 21 Å from the pick, whose radius is 50 Å
    assert list(points._view_indices) == [0]


def test_what_is_no_spec_is_called_what_it_is_and_nothing_is_added(viewer_model):
    with pytest.raises(TypeError, match=r"specs\[0\] must be a LayerSpec, not an Image\. load_tomogram"):
        add_layers(viewer_model, [Image(np.zeros((3, 3, 3)))])
    with pytest.raises(TypeError, match="viewer must be a ViewerModel, not None"):
        add_layers(None, [])
    assert not viewer_model.layers
