"""Images with extra axes, their parts and labels, and raw files: values equal those of numpy."""

import pickle
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError, StoppedError, StreamError
from napari_cryoet.streaming import Display, find_labels, open_pyramid, pyramid_of, split_pyramid
from napari_cryoet.streaming.pyramid import open_raw
from portal_images import noise, write_image
from server import Server, status

SHAPE = (2, 3, 7, 20, 18)


@pytest.fixture(
    params=[(1, 1, 4, 16, 16), (2, 2, 3, 16, 9), SHAPE], ids=["one channel", "two channels", "all"]
)
def stored(request, tmp_path):
    return write_image(
        tmp_path / "a.zarr", noise(SHAPE), axes="tczyx", levels=2, chunks=request.param
    )


def test_each_channel_equals_its_slice_of_the_image(stored, tmp_path):
    parts = split_pyramid(open_pyramid(tmp_path / "a.zarr"), 1)
    assert len(parts) == 3
    for channel, part in enumerate(parts):
        assert part.axes == ("t", "z", "y", "x")
        assert part.scales[1] == (1, 20, 20, 20)
        assert part.factors[1] == (1, 2, 2, 2)
        for level, values in enumerate(stored):
            np.testing.assert_array_equal(part.read(level), values[:, channel])
            plane = part.levels[level][1, 2:5, 3].compute()
            np.testing.assert_array_equal(plane, values[1, channel, 2:5, 3])


def test_a_part_can_be_split_again_and_closed_separately(stored, tmp_path):
    whole = open_pyramid(tmp_path / "a.zarr")
    moments = split_pyramid(whole, 0)
    for moment, part in enumerate(moments):
        for channel, volume in enumerate(split_pyramid(part, 0)):
            assert volume.axes == ("z", "y", "x")
            np.testing.assert_array_equal(volume.read(1), stored[1][moment, channel])
    moments[0].close()
    with pytest.raises(StoppedError):
        moments[0].read(1)
    np.testing.assert_array_equal(
        moments[1].read(0, ((0, 1), (2, 3), (0, 20), (0, 18))), stored[0][1, :1, 2:3]
    )
    whole.close()
    with pytest.raises(StoppedError):
        moments[1].read(1)


def test_axes_of_length_one_can_be_dropped(tmp_path):
    values = noise((1, 1, 7, 20, 18))
    write_image(tmp_path / "a.zarr", values, axes="tczyx")
    pyramid = open_pyramid(tmp_path / "a.zarr")
    volume = pyramid.without_axes([0, 1])
    np.testing.assert_array_equal(volume.read(0), values[0, 0])
    assert pyramid_of(volume.levels) is volume
    with pytest.raises(ValueError, match="more than one position"):
        pyramid.without_axes([2])


def test_channels_share_fetched_chunks(tmp_path):
    values = noise((3, 64, 256, 256))
    write_image(
        tmp_path / "a.zarr",
        values,
        axes="czyx",
        levels=1,
        chunks=(3, 64, 256, 256),
        compressors="auto",
    )
    with Server(tmp_path) as server:
        parts = split_pyramid(open_pyramid(f"{server.url}/a.zarr", cache=None), 0)
        displays = [Display(part) for part in parts]
        for display, part in zip(displays, parts, strict=True):
            np.testing.assert_array_equal(
                part.read(0, ((40, 41), (0, 256), (0, 256))), part.levels[0][40:41]
            )
            display.close()
        assert server.sent_bytes() < 1.2 * values.nbytes


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">i2", "<c8"])
def test_raw_files_are_read_in_any_axis_order(order, dtype, tmp_path):
    values = noise((7, 20, 18), "<f4").astype(dtype)
    (tmp_path / "a.bin").write_bytes(bytes(100) + values.tobytes())
    with Server(tmp_path) as server:
        for source in (tmp_path / "a.bin", f"{server.url}/a.bin"):
            pyramid = open_raw(
                source, values.shape, values.dtype, offset=100, axes=("a", "b", "c"), order=order
            )
            assert pyramid.axes == ("a", "b", "c")
            np.testing.assert_array_equal(pyramid.read(0), values.transpose(order))
            np.testing.assert_array_equal(
                pyramid.levels[0][3, 1:5].compute(), values.transpose(order)[3, 1:5]
            )


def test_a_raw_file_that_is_too_short_is_an_error(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    pyramid = open_raw(tmp_path / "a.bin", (10, 10, 10), np.dtype("<f4"))
    with pytest.raises(StreamError):
        pyramid.read(0)


def test_a_damaged_block_table_is_fetched_again(tmp_path):
    def damaged(answer):
        start = struct.unpack_from("<i", answer.body, 16)[0]
        return replace(
            answer, body=answer.body[:16] + struct.pack("<i", start + 1) + answer.body[20:]
        )

    values = write_image(tmp_path / "a.zarr", noise((40, 256, 256)), chunks=(32, 256, 256))[0]
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
        server.script("/0/1/0/0$", damaged, times=1)
        np.testing.assert_array_equal(pyramid.read(0), values)
    (tmp_path / "a.zarr" / "0/1/0/0").write_bytes(bytes(1000))
    with pytest.raises(StreamError, match="0/1/0/0"):
        open_pyramid(tmp_path / "a.zarr").read(0)


@pytest.mark.parametrize("stored", [SHAPE], indirect=True)
def test_pickled_pyramids_are_read_in_another_process(stored, tmp_path):
    with Server(tmp_path) as server:
        part = split_pyramid(open_pyramid(f"{server.url}/a.zarr", cache=None), 1)[2]
        (tmp_path / "sent").write_bytes(pickle.dumps((part, part.levels[1][1, 2:4])))
        program = (
            "import pickle, sys, numpy as np\n"
            "part, array = pickle.load(open(sys.argv[1], 'rb'))\n"
            "np.save(sys.argv[2], part.read(0)); np.save(sys.argv[3], array.compute())"
        )
        paths = [tmp_path / name for name in ("sent", "part.npy", "array.npy")]
        subprocess.run([sys.executable, "-c", program, *paths], check=True, timeout=100)
    np.testing.assert_array_equal(np.load(paths[1]), stored[0][:, 2])
    np.testing.assert_array_equal(np.load(paths[2]), stored[1][1, 2, 2:4])


class TestLabels:
    @pytest.fixture(params=[2, 3])
    def image(self, request, tmp_path):
        write_image(tmp_path / "a.zarr", noise((3, 4, 4)), zarr_format=request.param)
        self.list_labels(tmp_path / "a.zarr", request.param, ["nuclei", "my cells", "../evil", 5])
        return tmp_path / "a.zarr"

    def list_labels(self, path, zarr_format, names):
        import zarr

        group = zarr.open_group(path / "labels", mode="w", zarr_format=zarr_format)
        group.attrs.update({"labels": names} if zarr_format == 2 else {"ome": {"labels": names}})

    def test_paths_are_joined_and_unsafe_names_skipped(self, image):
        assert find_labels(image) == [f"{image}/labels/nuclei", f"{image}/labels/my cells"]

    def test_addresses_keep_their_query(self, image):
        with Server(image.parent) as server:
            url = f"{server.url}/a.zarr"
            expected = [f"{url}/labels/nuclei?key=1", f"{url}/labels/my%20cells?key=1"]
            assert find_labels(f" {url}/?key=1 ", cache=None) == expected

    def test_an_image_without_labels_has_none(self, tmp_path):
        write_image(tmp_path / "a.zarr", noise((3, 4, 4)))
        assert find_labels(tmp_path / "a.zarr") == []

    def test_a_refusal_is_an_error(self, image):
        with Server(image.parent) as server:
            server.script("labels", status(403))
            with pytest.raises(StreamError):
                find_labels(f"{server.url}/a.zarr", cache=None)

    def test_a_damaged_list_is_an_error(self, tmp_path):
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels" / ".zattrs").write_text("[")
        with pytest.raises(FormatError):
            find_labels(tmp_path)

    def test_images_without_label_metadata_open_as_labels_on_request(self, tmp_path):
        write_image(tmp_path / "a.zarr", noise((2, 4, 4), "u1"))
        assert not open_pyramid(tmp_path / "a.zarr").is_labels
        assert open_pyramid(tmp_path / "a.zarr", is_labels=True).is_labels
        assert not open_pyramid(
            tmp_path / "a.zarr" / "0", is_labels=True
        ).is_labels  # arrays have no label metadata
