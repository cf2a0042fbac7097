"""Layer specs of a pyramid: options override the file's metadata."""

import mrcfile
import numpy as np
import pytest

from napari_cryoet.layers.progressive import layer_specs
from napari_cryoet.streaming import open_pyramid, pyramid_of
from napari_cryoet.volumes.opening import open_mrc
from ome_images import noise, write_image
from server import Server

CHANNELS = [
    {"label": "DNA", "color": "0000FF", "window": {"start": 10, "end": 900}},
    {"label": "<b>actin</b>", "active": False},
]


def specs_of(tmp_path, values, axes, *, given=None, **options):
    write_image(tmp_path / "a.zarr", values, axes, **options)
    return layer_specs(open_pyramid(tmp_path / "a.zarr"), **(given or {}))


def test_scale_translation_units_and_axes_come_from_the_file(tmp_path):
    (spec,) = specs_of(tmp_path, noise((4, 6, 8)), "zyx")
    assert spec.kind == "image"
    assert spec.options["name"] == "cells"
    assert spec.options["scale"] == (2.0, 0.5, 0.5)
    assert spec.options["translate"] == (5.0, 0.0, 0.0)
    assert spec.options["units"] == ("micrometer",) * 3
    assert spec.options["axis_labels"] == ("z", "y", "x")
    assert [level.shape for level in spec.data] == [(4, 6, 8), (4, 3, 4)]


def test_unnamed_images_are_named_after_their_decoded_folder(tmp_path):
    write_image(tmp_path / "TS 1.zarr", noise((4, 6, 8)), "zyx", name="")
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/TS%201.zarr")
        assert [spec.name for spec in layer_specs(pyramid)] == ["TS 1"]
        pyramid.close()


def test_channels_become_layers_with_the_files_settings(tmp_path):
    values = noise((2, 3, 4, 6, 8))
    specs = specs_of(tmp_path, values, "tczyx", omero={"channels": CHANNELS})
    assert [spec.name for spec in specs] == ["DNA · cells", "‹b›actin‹/b› · cells", "2 · cells"]
    assert [spec.options["visible"] for spec in specs] == [True, False, True]
    assert specs[0].options["colormap"] == "#0000ff"
    assert specs[0].options["contrast_limits"] == (10.0, 900.0)
    assert specs[1].options["scale"] == (1.0, 2.0, 0.5, 0.5)
    assert specs[1].options["units"] == ("second", *("micrometer",) * 3)
    assert specs[1].options["axis_labels"] == ("t", "z", "y", "x")
    assert {spec.options["blending"] for spec in specs} == {"additive"}
    for channel, spec in enumerate(specs):
        assert np.array_equal(spec.data[0].compute(), values[:, channel])


def test_a_single_channel_is_a_plain_layer(tmp_path):
    (spec,) = specs_of(tmp_path, noise((1, 4, 6, 8)), "czyx", omero={"channels": CHANNELS[:1]})
    assert spec.name == "cells"
    assert "blending" not in spec.options
    assert spec.options["contrast_limits"] == (10.0, 900.0)


def test_channels_of_a_2d_image_stay_on_a_slider(tmp_path):
    (spec,) = specs_of(tmp_path, noise((3, 6, 8)), "cyx")
    assert spec.data[0].shape == (3, 6, 8)


@pytest.mark.parametrize(("dtype", "limits"), [("u1", (0, 255)), ("f4", (0, 1)), ("bool", (0, 1))])
def test_empty_images_have_the_contrast_limits_of_their_type(dtype, limits, tmp_path):
    (spec,) = specs_of(tmp_path, np.zeros((3, 8, 8), dtype), "zyx")
    assert spec.options["contrast_limits"] == limits


def test_given_options_override_the_file(tmp_path):
    given = {"name": "mine", "contrast_limits": (1, 2), "colormap": "magma", "visible": True}
    (spec,) = specs_of(
        tmp_path, noise((1, 3, 8, 8)), "czyx", given=given, omero={"channels": CHANNELS[1:]}
    )
    assert {key: spec.options[key] for key in given} == given


def test_labels_become_labels_layers_with_or_without_channels(tmp_path):
    label = {"image-label": {"version": "0.4"}}
    for axes, shape in (("zyx", (3, 8, 8)), ("czyx", (1, 3, 8, 8))):
        (spec,) = specs_of(tmp_path, noise(shape), axes, **label)
        assert spec.kind == "labels"
        assert "contrast_limits" not in spec.options
        assert spec.data[0].shape == (3, 8, 8)


def test_plain_arrays_are_shown_without_scale(tmp_path):
    write_image(tmp_path / "a.zarr", noise((4, 6, 8)), "zyx")
    (spec,) = layer_specs(open_pyramid(tmp_path / "a.zarr" / "0"))
    assert spec.name == "0"
    assert spec.data[0].shape == (4, 6, 8)
    assert "scale" not in spec.options


def test_mrc_files_are_shown_too(tmp_path):
    values = noise((4, 6, 8), "f4")
    mrcfile.write(tmp_path / "a.mrc", values)
    (spec,) = layer_specs(pyramid_of(open_mrc(tmp_path / "a.mrc")[0]))
    assert spec.name == "a"
    assert spec.options["axis_labels"] == ("z", "y", "x")
    assert not {"units", "scale"} & set(spec.options)
    assert np.array_equal(spec.data[0].compute(), values)
