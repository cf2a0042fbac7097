"""Metadata of OME-Zarr images: the portal's, the specification's, and invalid ones."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.ome_zarr import (
    Axis,
    Channel,
    is_safe_path,
    parse_channels,
    parse_multiscale,
    with_old_axes,
    write_pyramid,
)


def scale(*values):
    return {"type": "scale", "scale": list(values)}


def translation(*values):
    return {"type": "translation", "translation": list(values)}


def image(*transformations, **more):
    datasets = [
        {"path": str(i), "coordinateTransformations": each}
        for i, each in enumerate(transformations)
    ]
    return {
        "multiscales": [{"axes": [{"name": name} for name in "zyx"], "datasets": datasets, **more}]
    }


@pytest.mark.parametrize("kind", ["tomogram", "mask", "instances"])
def test_portal_metadata_are_parsed(kind, tmp_path):
    values = np.zeros((8, 8, 8), {"tomogram": "f4", "mask": "i1", "instances": "u2"}[kind])
    write_pyramid(tmp_path / "a.zarr", values, 13.48, kind)
    parsed = parse_multiscale(json.loads((tmp_path / "a.zarr" / ".zattrs").read_text()), "a")
    assert parsed.axes == tuple(Axis(name, "angstrom") for name in "zyx")
    assert [level.path for level in parsed.levels] == ["0", "1", "2"]
    assert parsed.levels[2].scale == pytest.approx((53.92,) * 3)
    assert parsed.is_labels == (kind == "instances")
    assert parsed.coarse_offset == ("strided" if kind == "instances" else None)


def test_axes_may_be_plain_names_or_absent():
    old = {"multiscales": [{"axes": ["z", "y", "x"], "datasets": [{"path": "0"}]}]}
    assert [axis.name for axis in parse_multiscale(old, "a").axes] == ["z", "y", "x"]
    older = {"multiscales": [{"datasets": [{"path": "0"}]}]}
    assert parse_multiscale(older, "a").axes == ()
    assert (
        "".join(axis.name for axis in with_old_axes(parse_multiscale(older, "a"), 5).axes)
        == "tczyx"
    )
    assert with_old_axes(parse_multiscale(older, "a"), 3).axes == ()
    assert with_old_axes(parse_multiscale(old, "a"), 5).axes == parse_multiscale(old, "a").axes


def test_common_transformations_are_applied_after_each_levels_own():
    common = [scale(10, 10, 10), translation(5, 0, 0)]
    attributes = image(
        [scale(1, 1, 1)],
        [scale(2, 2, 2), translation(0.5, 0.5, 0.5)],
        coordinateTransformations=common,
    )
    parsed = parse_multiscale(attributes, "a")
    assert parsed.levels[0].scale == (10, 10, 10)
    assert parsed.levels[0].translation == (5, 0, 0)
    assert parsed.levels[1].scale == (20, 20, 20)
    assert parsed.levels[1].translation == (10, 5, 5)


def test_translations_determine_the_offset_of_coarse_voxels():
    ones, twos = scale(1, 1, 1), scale(2, 2, 2)
    mean = image([ones, translation(0, 0, 0)], [twos, translation(0.5, 0.5, 0.5)])
    strided = image([ones, translation(3, 3, 3)], [twos, translation(3, 3, 3)])
    assert parse_multiscale(mean, "a").coarse_offset == "mean"
    assert parse_multiscale(strided, "a").coarse_offset == "strided"
    assert parse_multiscale(image([ones], [twos]), "a").coarse_offset is None


@pytest.mark.parametrize(
    ("method", "offset"), [("nearest", "strided"), ("local_mean", "mean"), ("gaussian", "mean")]
)
def test_the_downsampling_method_determines_the_coarse_offset(method, offset):
    assert (
        parse_multiscale(image([scale(1, 1, 1)], [scale(2, 2, 2)], type=method), "a").coarse_offset
        == offset
    )


def test_image_label_in_either_location_marks_labels():
    assert parse_multiscale(image([]) | {"image-label": {}}, "a").is_labels
    assert parse_multiscale(image([], metadata={"image-label": {}}), "a").is_labels
    assert not parse_multiscale(image([], metadata=None), "a").is_labels


@pytest.mark.parametrize(
    ("attributes", "noun"),
    [
        ({}, "multiscales"),
        ({"multiscales": {}}, "multiscales"),
        ({"multiscales": [3]}, "multiscales"),
        ({"multiscales": [{}]}, "datasets"),
        ({"multiscales": [{"datasets": [3]}]}, "datasets"),
        ({"multiscales": [{"datasets": [{"path": "../../etc"}]}]}, "etc"),
        ({"multiscales": [{"datasets": [{"path": "0\0"}]}]}, "path"),
        ({"multiscales": [{"datasets": [{"path": "0"}] * 99}]}, "datasets"),
        (image([scale(1, 1)]), "2 numbers for 3 axes"),
        *((image([scale(1, 1, odd)]), "scale") for odd in (0, 5e-324, 10**400, "x", float("nan"))),
        (image([translation(1, 1, 1e308)]), "translation"),
        (image([scale(1, 1, 1)], axes=[{"type": "space"}]), "axes"),
        (image([scale(1, 1, 1)], axes=[3]), "axes"),
        (image([], coordinateTransformations=3), "coordinateTransformations"),
    ],
)
def test_invalid_metadata_are_refused_with_the_reason(attributes, noun):
    with pytest.raises(FormatError, match=noun):
        parse_multiscale(attributes, "a")


@given(st.text(alphabet="a./\\:0", max_size=12))
def test_safe_paths_stay_inside_the_folder(path):
    if is_safe_path(path):
        parts = path.split("/")
        assert ".." not in parts
        assert not path.startswith("/")
        assert "\\" not in path


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.integers(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "multiscales",
                    "datasets",
                    "path",
                    "axes",
                    "name",
                    "ome",
                    "metadata",
                    "scale",
                    "type",
                ]
            )
            | st.just("coordinateTransformations"),
            children,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["multiscales", "ome"]), json_values))
def test_any_json_is_parsed_or_refused(attributes):
    with contextlib.suppress(FormatError):
        parse_multiscale(attributes, "a")


def test_channels_come_from_omero_and_invalid_entries_are_ignored():
    full = {"label": "DNA", "color": "00FF7f", "window": {"start": 1, "end": 9.5}, "active": False}
    odd = {"label": 5, "color": "green", "window": {"start": 9, "end": 1}}
    channels = {"omero": {"channels": [full, odd, 3]}}

    assert parse_channels(channels) == (
        Channel("DNA", "#00ff7f", (1.0, 9.5), False),
        Channel(),
        Channel(),
    )
    assert parse_channels({"ome": channels}) == parse_channels(channels)
    assert parse_channels({"omero": {"channels": 5}}) == parse_channels({}) == ()
