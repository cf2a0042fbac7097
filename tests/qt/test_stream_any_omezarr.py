"""The example opens any OME-Zarr through the public names, in a real viewer, from a server."""

import importlib.util
import json

import numpy as np
import pytest
from napari.layers._layer_actions import _convert_to_image, _duplicate_layer

from napari_cryoet import StreamStatus, make_layer
from napari_cryoet._qt.adopting import adopt_layers_of
from napari_cryoet._qt.streaming.progressive import display_of, stream_of
from napari_cryoet.layers.progressive import layer_specs
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.streaming import Pyramid, open_pyramid
from ome_images import noise, write_image, write_label_list
from stream_server import StreamServer


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
    with StreamServer(tmp_path) as server:
        yield server


def wait_drawn(qtbot, layer, expected):
    qtbot.waitUntil(lambda: np.array_equal(layer._slice.image.raw, expected))


@pytest.mark.parametrize("zarr_format", [2, 3])
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


def test_a_store_that_refuses_what_it_does_not_have_shows_the_image_without_labels(
    qtbot, viewer, served, tmp_path, example, capsys
):
    write_image(tmp_path / "a.zarr", noise((5, 20, 20)), "zyx")
    served.statuses["labels"] = 403
    (layer,) = example.add_image(viewer, f"{served.url}/a.zarr")
    wait_drawn(qtbot, layer, noise((5, 20, 20))[2])
    assert "left out" in capsys.readouterr().out


@pytest.mark.parametrize("names", [["missing"], ["good", "missing"], "nonsense"])
def test_labels_that_are_listed_and_cannot_be_read_are_left_out(qtbot, viewer, tmp_path, example, capsys, names):
    write_image(tmp_path / "a.zarr", noise((5, 20, 20)), "zyx")
    write_image(tmp_path / "a.zarr/labels/good", noise((5, 20, 20)) % 5, "zyx", **{"image-label": {}})
    write_label_list(tmp_path / "a.zarr", names)
    if names == "nonsense":
        (tmp_path / "a.zarr/labels/.zattrs").write_text("no JSON")
    layer, *labels = example.add_image(viewer, str(tmp_path / "a.zarr"))
    wait_drawn(qtbot, layer, noise((5, 20, 20))[2])
    assert len(labels) == names.count("good")
    assert "left out" in capsys.readouterr().out


def test_labels_that_are_listed_are_labels_though_they_need_not_say_so_themselves(qtbot, viewer, tmp_path, example):
    cells = noise((1, 5, 20, 20)) % 5
    write_image(tmp_path / "a.zarr", noise((5, 20, 20)), "zyx")
    write_image(tmp_path / "a.zarr/labels/cells", cells, "czyx")
    write_label_list(tmp_path / "a.zarr", ["cells"])
    image, labels = example.add_image(viewer, str(tmp_path / "a.zarr"))
    assert [type(layer).__name__ for layer in (image, labels)] == ["Image", "Labels"]
    wait_drawn(qtbot, labels, cells[0, 2])


def test_a_plane_is_shown_too(qtbot, viewer, tmp_path, example):
    write_image(tmp_path / "a.zarr", noise((2, 20, 20)), "cyx")
    (layer,) = example.add_image(viewer, str(tmp_path / "a.zarr"))
    viewer.dims.set_current_step(0, 1)
    wait_drawn(qtbot, layer, noise((2, 20, 20))[1])


def shown_before_it_comes(qtbot, viewer, served, expected):
    """Add an image of which nothing has come, let it come, and wait until it is drawn as expected."""
    (spec,) = layer_specs(open_pyramid(f"{served.url}/a.zarr"))
    served.gate.clear()
    layer, status = make_layer(spec, viewer=viewer)
    viewer.add_layer(layer)
    assert not status.state.is_exact
    served.gate.set()
    wait_drawn(qtbot, layer, expected)
    return layer


@pytest.mark.parametrize(("dtype", "window"), [("u1", (0, 65535)), ("u2", (-3000, 1000)), ("i2", (0, 1e20))])
def test_a_window_of_values_that_the_type_does_not_have_keeps_nothing_from_being_shown(
    dtype, window, qtbot, viewer, served, tmp_path
):
    values = noise((5, 20, 20), dtype)
    omero = {"channels": [{"window": dict(zip(("start", "end"), window, strict=True))}]}
    write_image(tmp_path / "a.zarr", values, "zyx", omero=omero)
    layer = shown_before_it_comes(qtbot, viewer, served, values[2])
    assert tuple(layer.contrast_limits) == window


def test_labels_whose_missing_chunks_have_the_largest_number_come_too(qtbot, viewer, served, tmp_path):
    values, largest = noise((5, 20, 20), "u8"), 2**64 - 1
    write_image(tmp_path / "a.zarr", values, "zyx", levels=1, **{"image-label": {}})
    metadata = json.loads((tmp_path / "a.zarr/0/.zarray").read_text())
    (tmp_path / "a.zarr/0/.zarray").write_text(json.dumps(metadata | {"fill_value": largest}))
    shown_before_it_comes(qtbot, viewer, served, values[2])


@pytest.mark.parametrize(("action", "kind"), [(_duplicate_layer, "image"), (_convert_to_image, "labels")])
def test_what_napari_makes_of_a_layer_is_not_waited_for(
    action, kind, qtbot, viewer, served, tmp_path, example, monkeypatch
):
    values = noise((6, 41, 41))
    attributes = {"image-label": {}} if kind == "labels" else {}
    write_image(tmp_path / "a.zarr", values, "zyx", chunks=(1, 16, 16), **attributes)
    (layer,) = example.add_image(viewer, f"{served.url}/a.zarr")
    wait_drawn(qtbot, layer, values[2])
    viewer.layers.selection = {layer}
    action(viewer.layers)
    made = viewer.layers[-1]
    wait_drawn(qtbot, made, values[2])
    monkeypatch.setattr(Pyramid, "read", _refuse)
    for plane in range(6):
        viewer.dims.set_current_step(0, plane)
        wait_drawn(qtbot, made, values[plane])
    assert viewer.dims.nsteps == values.shape  # without what was added to the levels


@pytest.mark.parametrize("is_adopted", [False, True])
def test_what_napari_makes_of_a_layer_that_says_where_it_is_from_streams_too(
    is_adopted, qtbot, viewer, served, tmp_path
):
    values = noise((5, 20, 20))
    write_image(tmp_path / "a.zarr", values, "zyx")
    if is_adopted:
        adopt_layers_of(viewer)
    (spec,) = layer_specs(open_pyramid(f"{served.url}/a.zarr"), metadata={METADATA_KEY: {}})
    layer, _ = make_layer(spec, viewer=viewer)
    viewer.add_layer(layer)
    wait_drawn(qtbot, layer, values[2])
    viewer.layers.selection = {layer}
    _duplicate_layer(viewer.layers)
    assert stream_of(viewer.layers[-1]) is not None
    wait_drawn(qtbot, viewer.layers[-1], values[2])


def test_a_layer_that_is_given_another_image_streams_that(qtbot, viewer, served, tmp_path, example, monkeypatch):
    images = {"a": noise((6, 41, 41)), "b": noise((9, 50, 35))}
    for name, values in images.items():
        write_image(tmp_path / f"{name}.zarr", values, "zyx", chunks=(1, 16, 16))
    (layer,) = example.add_image(viewer, f"{served.url}/a.zarr")
    wait_drawn(qtbot, layer, images["a"][2])
    for name in ("b", "a"):
        pyramid = open_pyramid(f"{served.url}/{name}.zarr")
        layer.data = pyramid.levels
        viewer.reset_view()  # else some of it may lie beside the canvas, and isn't sliced
        with monkeypatch.context() as patch:
            patch.setattr(Pyramid, "read", _refuse)
            for plane, expected in enumerate(images[name]):
                viewer.dims.set_point(0, layer.data_to_world((plane, 0, 0))[0])
                wait_drawn(qtbot, layer, expected)
        assert layer.extent.data[1].tolist() == [size - 1 for size in images[name].shape]
        assert stream_of(layer).state.is_exact
        assert display_of(layer).pyramid is pyramid


def _refuse(*_arguments, **_options):
    raise AssertionError("exact values are read")


def test_another_plugin_sees_how_far_a_layer_is(qtbot, viewer, served, tmp_path):
    write_image(tmp_path / "a.zarr", noise((5, 20, 20)), "zyx")
    (spec,) = layer_specs(open_pyramid(f"{served.url}/a.zarr"), contrast_limits=(0, 2000))
    served.gate.clear()
    layer, status = make_layer(spec, viewer=viewer)
    viewer.add_layer(layer)
    assert isinstance(status, StreamStatus)
    assert not status.state.is_exact
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)
