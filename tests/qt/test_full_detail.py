"""A plane that would cost much is shown coarser, says what all of it costs, and is loaded in full when asked."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_cryoet._qt.browser.status_bar import StatusStrip, StreamWatch
from napari_cryoet._qt.streaming.progressive import display_of, make_layer
from napari_cryoet._qt.streaming.volume_detail import Detail
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec
from napari_cryoet.streaming import open_pyramid
from qt.fake_link import OneLayer
from server import Server

SHAPE = (61, 302, 275)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture
def shown(qtbot, make_napari_viewer, tmp_path, values):
    """A plane across the blocks in a viewer that may spend little on it, and the strip that tells about it."""
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    viewer = make_napari_viewer(show=True)
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr")
        options = {"contrast_limits": (-3, 3), "metadata": {METADATA_KEY: {"run_name": "TS_026"}}}
        layer, stream = make_layer(LayerSpec(pyramid.levels, options, "image"), viewer=viewer)
        display_of(layer).largest_view_bytes = 24 * 2**20
        link, strip = OneLayer(layer, stream), StatusStrip()
        qtbot.addWidget(strip)
        strip.show()
        detail = Detail(viewer, link)
        watch = StreamWatch(link, strip, detail)
        link.changed.emit()
        viewer.add_layer(layer)
        viewer.dims.order = (1, 0, 2)
        viewer.dims.set_current_step(1, 100)
        yield SimpleNamespace(viewer=viewer, layer=layer, stream=stream, strip=strip, watch=watch)
        detail.close()


def test_what_all_of_a_coarse_plane_costs_is_on_the_button_that_loads_it(qtbot, shown, values, tmp_path):
    qtbot.waitUntil(lambda: "coarser level" in shown.strip.label.text())
    assert not shown.stream.state.is_exact
    told = re.fullmatch(r"Load full detail \((.+) MB\)", shown.strip.action.text())
    files = [tmp_path / "a.zarr" / "0" / "0" / "0" / name for name in "01"]  # whose blocks it all cuts
    assert float(told[1]) * 1e6 == pytest.approx(sum(file.stat().st_size for file in files), rel=0.1)
    qtbot.mouseClick(shown.strip.action, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: shown.stream.state.is_exact and not shown.strip.label.text())
    assert np.array_equal(shown.layer._slice.image.raw, values[:, 100])
    assert not shown.strip.action.isVisible()
