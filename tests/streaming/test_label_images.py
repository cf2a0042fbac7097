"""The label images of an image are found where OME-Zarr lists them."""

import json

import pytest

from napari_cryoet.exceptions import FormatError, StreamError, WithheldError
from napari_cryoet.http import Http
from napari_cryoet.network.policy import Policy
from napari_cryoet.streaming import DiskCache, find_labels, open_pyramid, split_pyramid
from ome_images import noise, write_image, write_label_list
from stream_server import StreamServer


@pytest.fixture(params=[2, 3])
def image(request, tmp_path):
    write_image(tmp_path / "a.zarr", noise((3, 4, 4)), "zyx", zarr_format=request.param)
    write_label_list(tmp_path / "a.zarr", ["nuclei", "my cells", "../evil", 5], zarr_format=request.param)
    return tmp_path / "a.zarr"


def test_paths_are_joined_and_unsafe_names_left_out(image):
    assert find_labels(image) == [f"{image}/labels/nuclei", f"{image}/labels/my cells"]


def test_addresses_keep_their_query(image):
    with StreamServer(image.parent) as served:
        url = f"{served.url}/a.zarr"
        assert find_labels(f"{url}/?key=1") == [f"{url}/labels/nuclei?key=1", f"{url}/labels/my%20cells?key=1"]


def test_blanks_around_an_address_are_no_part_of_those_of_its_labels(image):
    with StreamServer(image.parent) as served:
        url = f"{served.url}/a.zarr"
        assert find_labels(f" {url} ") == [f"{url}/labels/nuclei", f"{url}/labels/my%20cells"]


def test_keys_of_s3_are_joined_as_they_are(image, monkeypatch):
    (image.parent / "bucket").mkdir()
    image.rename(image.parent / "bucket" / "a?b#c.zarr")
    with StreamServer(image.parent) as served:
        monkeypatch.setenv("AWS_ENDPOINT_URL", served.url)
        assert find_labels("s3://bucket/a?b#c.zarr")[0] == "s3://bucket/a?b#c.zarr/labels/nuclei"


def test_a_store_that_refuses_what_it_lacks_tells_of_its_labels(image):
    other = "zarr.json" if (image / "labels" / ".zattrs").exists() else ".zattrs"
    with StreamServer(image.parent) as served:
        served.statuses[f"labels/{other}"] = 403
        assert len(find_labels(f"{served.url}/a.zarr")) == 2


def test_an_image_without_labels_has_none(tmp_path):
    write_image(tmp_path / "a.zarr", noise((3, 4, 4)), "zyx")
    assert find_labels(tmp_path / "a.zarr") == []


def test_what_is_listed_can_be_opened_as_labels_though_it_does_not_say_so(tmp_path):
    write_image(tmp_path / "a.zarr", noise((2, 4, 4)), "zyx")
    scales = [[1, 1, 1], [1, 2, 2]]
    datasets = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for level, scale in enumerate(scales)
    ]
    attributes = {"multiscales": [{"axes": [{"name": name} for name in "zyx"], "datasets": datasets}]}
    (tmp_path / "a.zarr/.zattrs").write_text(json.dumps(attributes))
    for is_labels, offset in ((False, "mean"), (True, "strided")):
        pyramid = open_pyramid(tmp_path / "a.zarr", is_labels=is_labels)
        assert (pyramid.is_labels, pyramid.coarse_offset) == (is_labels, offset)
        assert all(part.is_labels is is_labels for part in split_pyramid(pyramid, 0))
    assert not open_pyramid(tmp_path / "a.zarr" / "0", is_labels=True).is_labels  # an array alone says nothing


@pytest.mark.parametrize("before", [[], ["nuclei"]])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_that_came_after_an_image_was_kept_are_found_and_nothing_kept_of_it_is_lost(
    before, zarr_format, tmp_path
):
    write_image(tmp_path / "a.zarr", noise((3, 4, 4)), "zyx", zarr_format=zarr_format)
    if before:
        write_label_list(tmp_path / "a.zarr", before, zarr_format=zarr_format)
    with StreamServer(tmp_path) as served:
        url = f"{served.url}/a.zarr"
        cache = DiskCache(tmp_path / "pixels", 10**8)
        open_pyramid(url, cache=cache).read(0)
        assert find_labels(url, cache=cache) == [f"{url}/labels/{name}" for name in before]
        assert cache.flush()
        write_label_list(tmp_path / "a.zarr", ["nuclei", "cells"], zarr_format=zarr_format)
        cache = DiskCache(tmp_path / "pixels", 10**8)
        assert find_labels(url, cache=cache) == [f"{url}/labels/nuclei", f"{url}/labels/cells"]
        assert cache.flush()
        served.requests.clear()
        open_pyramid(url, cache=cache).read(0)
        assert not any(path.endswith(("/0/.zarray", "/0/zarr.json")) for path, _ in served.requests)


def test_they_are_asked_for_by_whoever_is_given(image):
    client = Http(policy=Policy(offline=True))
    with StreamServer(image.parent) as served, pytest.raises(WithheldError):
        find_labels(f"{served.url}/a.zarr", http=client, cache=None)


def test_a_refusal_is_not_taken_for_none(image):
    with StreamServer(image.parent) as served:
        served.statuses["labels"] = 403
        with pytest.raises(StreamError):
            find_labels(f"{served.url}/a.zarr")


def test_a_damaged_list_is_said(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / ".zattrs").write_text("[")
    with pytest.raises(FormatError):
        find_labels(tmp_path)
