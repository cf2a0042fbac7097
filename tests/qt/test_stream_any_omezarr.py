"""The example opens any OME-Zarr through the public names, in a real viewer, from a server."""

import importlib.util

import numpy as np
import pytest

from ome_images import noise, write_image, write_label_list
from server import Server


@pytest.fixture(scope="module")
def example(project_folder):
    path = project_folder / "examples" / "stream_any_omezarr.py"
    spec = importlib.util.spec_from_file_location("stream_any_omezarr", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


@pytest.fixture
def served(tmp_path):
    with Server(tmp_path) as server:
        yield server


def wait_drawn(qtbot, layer, expected):
    qtbot.waitUntil(lambda: np.array_equal(layer._slice.image.raw, expected))


@pytest.mark.parametrize("zarr_format", [3])
def test_five_axes_with_channels_and_labels(qtbot, viewer, served, tmp_path, example, zarr_format):
    values = noise((2, 2, 6, 40, 50))
    cells = (values[:, :1] % 5).astype("u2")
    omero = {"channels": [{"label": "DNA", "color": "0000FF"}, {"label": "actin"}]}
    options = {"chunks": (1, 1, 3, 16, 16), "zarr_format": zarr_format}
    write_image(tmp_path / "a.zarr", values, "tczyx", omero=omero, **options)
    write_image(tmp_path / "a.zarr/labels/cells", cells, "tczyx", **options, **{"image-label": {}})
    write_label_list(tmp_path / "a.zarr", ["cells"], zarr_format=zarr_format)
    dna, actin, labels = example.add_image(viewer, f"{served.url}/a.zarr")
    assert [layer.name for layer in (dna, actin)] == ["cells · DNA", "cells · actin"]
    assert type(labels).__name__ == "Labels"
    assert viewer.dims.axis_labels == ("t", "z", "y", "x")
    assert [str(unit) for unit in dna.units] == ["second", *["micrometer"] * 3]
    assert tuple(dna.scale) == (1.0, 2.0, 0.5, 0.5)
    assert tuple(dna.colormap.colors[-1]) == (0, 0, 1, 1)
    viewer.dims.current_step = (1, 4, 0, 0)
    wait_drawn(qtbot, dna, values[1, 0, 4])
    wait_drawn(qtbot, actin, values[1, 1, 4])
    wait_drawn(qtbot, labels, cells[1, 0, 4])
