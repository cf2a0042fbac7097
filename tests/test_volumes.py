"""Volumes of other writers open as they are, or it is said why not; what of them isn't applied is told."""

import struct

import numpy as np
import pytest
import zarr

from napari_cryoet.exceptions import FormatError, OtherKindError, StreamError
from napari_cryoet.formats.common import spacing_in_layout
from napari_cryoet.formats.notes import ORIGIN_KEY
from napari_cryoet.formats.portal_zarr import write_mrc
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.loading import load_tomogram
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.volumes import name_of, open_volume, suffix_of
from ome_images import noise, write_image
from stream_server import StreamServer

ZYX = (7, 20, 18)


def about(path):
    return load_tomogram(path).options["metadata"][METADATA_KEY]


class TestFurtherAxes:
    @pytest.mark.parametrize("zarr_format", [2, 3])
    @pytest.mark.parametrize("axes", ["tczyx", "czyx", "tzyx", "zcyx"])
    @pytest.mark.parametrize("chunks", [None, 4, 1])
    def test_one_time_and_one_channel_make_a_volume(self, axes, chunks, zarr_format, tmp_path):
        shape = [dict(zip("zyx", ZYX, strict=True)).get(axis, 1) for axis in axes]
        values = noise(shape)
        chunk = None if chunks is None else tuple(chunks if axis == "z" else 16 for axis in axes)
        levels = write_image(tmp_path / "a.zarr", values, axes, chunks=chunk, zarr_format=zarr_format)

        volume = open_volume(tmp_path / "a.zarr")

        assert volume.shape_zyx == ZYX
        assert volume.spacing_angstrom == (20_000, 5_000, 5_000)
        for level, array in enumerate(levels):
            expected = array.reshape([n for n, axis in zip(array.shape, axes, strict=True) if axis in "zyx"])
            np.testing.assert_array_equal(volume.pyramid.read(level), expected)
            inside = tuple(slice(size) for size in expected.shape)
            np.testing.assert_array_equal(volume.levels[level][inside].compute(), expected)

    def test_labels_are_labels(self, tmp_path):
        write_image(tmp_path / "a.zarr", noise((1, 1, *ZYX)), "tczyx", **{"image-label": {}})

        assert open_volume(tmp_path / "a.zarr").is_labels

    def test_arrays_without_names_too_if_the_further_ones_come_first(self, tmp_path):
        zarr.create_array(tmp_path / "a.zarr", data=noise((1, 1, *ZYX)))
        zarr.create_array(tmp_path / "b.zarr", data=noise((7, 1, 20, 18)))

        np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr").pyramid.read(0), noise((1, 1, *ZYX))[0, 0])
        with pytest.raises(OtherKindError, match="7 positions along its axis number 1 of 4"):
            open_volume(tmp_path / "b.zarr")

    def test_images_of_before_there_were_names_have_times_and_channels(self, tmp_path):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
        group.create_array("0", data=noise((1, 2, *ZYX)))
        group.attrs.update({"multiscales": [{"version": "0.1", "datasets": [{"path": "0"}]}]})

        with pytest.raises(OtherKindError, match="2 channels along its axis c"):
            open_volume(tmp_path / "a.zarr")

    def test_only_the_blocks_that_are_needed_are_read(self, tmp_path):
        values = noise((1, 1, 64, 256, 256))
        write_image(tmp_path / "a.zarr", values, "tczyx", levels=1, chunks=(1, 1, 64, 256, 256))
        with StreamServer(tmp_path) as served:
            volume = open_volume(f"{served.url}/a.zarr")
            before = served.bytes_sent
            np.testing.assert_array_equal(volume.read_planes(slice(40, 41)), values[0, 0, 40:41])
            assert served.bytes_sent - before < values.nbytes / 4
            volume.close()

    def test_a_picture_of_one_ends_exact(self, tmp_path):
        values = noise((1, 1, 5, 40, 40))
        write_image(tmp_path / "a.zarr", values, "tczyx")
        pyramid = open_volume(tmp_path / "a.zarr").pyramid
        pyramid.read(0)
        display = pyramid.display()
        np.testing.assert_array_equal(np.asarray(display.levels[0][3]), values[0, 0, 3])
        display.close()

    def test_dask_can_send_it_to_another_process(self, tmp_path):
        import pickle
        import subprocess
        import sys

        values = noise((1, 1, *ZYX))
        write_image(tmp_path / "a.zarr", values, "tczyx")
        volume = open_volume(tmp_path / "a.zarr")
        sent = pickle.dumps(volume.pyramid)
        assert pickle.loads(sent) is volume.pyramid

        code = "import pickle, sys; p = pickle.load(sys.stdin.buffer); print(p.shapes[0], p.read(0).sum(), p.axes)"
        made = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)

        assert made.stdout.decode().strip() == f"{ZYX} {values.sum()} {tuple('zyx')}"

    def test_of_a_plate_none_is_chosen(self, tmp_path):
        zarr.create_group(tmp_path / "a.zarr", zarr_format=2).attrs["plate"] = {"wells": [{"path": "A/1"}]}
        write_image(tmp_path / "a.zarr" / "A" / "1", noise(ZYX), "zyx")

        with pytest.raises(OtherKindError, match=r"is a plate of images"):
            open_volume(tmp_path / "a.zarr")

    @pytest.mark.parametrize(
        ("start", "words"), [(b"PK\x03\x04", "with zip"), (b"\x1f\x8b", "with gzip"), (b"", "a folder")]
    )
    def test_a_file_is_none(self, start, words, tmp_path):
        (tmp_path / "a.zarr").write_bytes(start)

        with pytest.raises(FormatError, match=words):
            open_volume(tmp_path / "a.zarr")


def test_a_file_of_another_kind_is_told_what_can_be_read(tmp_path):
    (tmp_path / "microtubule.em").write_bytes(bytes(100))

    with pytest.raises(FormatError, match=r"microtubule\.em is .*\.mrc, .* or \.tif.*folder that ends in \.zarr"):
        open_volume(tmp_path / "microtubule.em")


class TestPacked:
    @pytest.mark.parametrize(
        ("name", "packing"), [("a.mrc.gz", "gzip"), ("EMD-1.MAP.GZ", "gzip"), ("a.rec.bz2", "bzip2")]
    )
    def test_what_was_compressed_as_a_whole_says_so(self, name, packing, tmp_path):
        start = {"gzip": b"\x1f\x8b", "bzip2": b"BZh9"}[packing]
        (tmp_path / name).write_bytes(start + bytes(2000))

        with pytest.raises(FormatError, match=f"{name} is compressed with {packing}. Unpack it first"):
            open_volume(tmp_path / name)

    def test_that_of_a_server_is_not_even_asked_for(self, tmp_path):
        with StreamServer(tmp_path) as served:
            with pytest.raises(FormatError, match=r"emd_1\.map\.gz, as its name says, is compressed with gzip"):
                open_volume(f"{served.url}/emd_1.map.gz")
            assert not served.requests

    def test_what_is_only_called_so_says_that(self, tmp_path):
        write_mrc(tmp_path / "a.mrc", noise(ZYX, "f4"), 10.0)
        (tmp_path / "a.mrc").rename(tmp_path / "a.mrc.gz")

        with pytest.raises(FormatError, match="is not compressed"):
            open_volume(tmp_path / "a.mrc.gz")

    def test_one_that_is_not_there_is_said_to_be_missing(self, tmp_path):
        with pytest.raises((FormatError, StreamError), match=r"a\.mrc\.gz") as raised:
            open_volume(tmp_path / "a.mrc.gz")
        assert "compressed" not in str(raised.value)


class TestOrderOfAxes:
    @pytest.mark.parametrize("axes", ["xyz", "yxz", "zxy", "tcxyz"])
    def test_another_one_is_never_taken_for_ours(self, axes, tmp_path):
        write_image(tmp_path / "a.zarr", noise([1 if axis in "tc" else 6 for axis in axes]), axes)

        with pytest.raises(OtherKindError, match=f"in the order {', '.join(axes)}"):
            open_volume(tmp_path / "a.zarr")

    def test_names_that_an_array_has_itself_count(self, tmp_path):
        zarr.create_array(tmp_path / "v3.zarr", data=noise(ZYX), dimension_names=["x", "y", "z"])
        zarr.create_array(tmp_path / "v2.zarr", data=noise(ZYX), zarr_format=2).attrs["_ARRAY_DIMENSIONS"] = list("xyz")
        zarr.create_array(tmp_path / "good.zarr", data=noise(ZYX), dimension_names=["Z", "Y", "X"])
        zarr.create_array(tmp_path / "other.zarr", data=noise(ZYX), dimension_names=["dim_0", "dim_1", "dim_2"])

        for name in ("v3", "v2"):
            with pytest.raises(OtherKindError, match="in the order x, y, z"):
                open_volume(tmp_path / f"{name}.zarr")
        assert open_volume(tmp_path / "good.zarr").shape_zyx == ZYX
        assert open_volume(tmp_path / "other.zarr").shape_zyx == ZYX


class TestUnits:
    @pytest.mark.parametrize(
        ("unit", "scale", "spacing"),
        [
            ("nanometer", 1.0, 10.0),
            ("micrometer", 0.001348, 13.48),
            ("millimeter", 1e-6, 10.0),
            ("meter", 1e-9, 10.0),
            ("angstrom", 1.0, None),  # early files of the portal say so of any volume
            ("parsec", 2.0, None),
        ],
    )
    def test_a_spacing_is_in_angstrom_whatever_its_unit(self, unit, scale, spacing, tmp_path):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
        group.create_array("0", data=noise(ZYX))
        axes = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
        transformations = [{"type": "scale", "scale": [scale] * 3}]
        datasets = [{"path": "0", "coordinateTransformations": transformations}]
        group.attrs.update({"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]})

        found = open_volume(tmp_path / "a.zarr").spacing_angstrom

        assert found == (None if spacing is None else pytest.approx((spacing,) * 3))


class TestOrigins:
    def test_that_of_an_ome_zarr_is_told_and_not_applied(self, tmp_path):
        write_image(tmp_path / "a.zarr", noise(ZYX), "zyx")  # 5 µm along z

        spec = load_tomogram(tmp_path / "a.zarr")

        assert not np.any(spec.options.get("translate", 0))
        assert about(tmp_path / "a.zarr")[ORIGIN_KEY] == [50_000, 0, 0]
        (warning,) = about(tmp_path / "a.zarr")["warnings"]
        assert "x, y, z = 0, 0, 50000 Å" in warning

    def test_transformations_that_are_not_followed_and_widths_without_a_unit_are_told(self, tmp_path):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
        group.create_array("0", data=noise(ZYX))
        transformations = [{"type": "scale", "scale": [3, 2, 1]}, {"type": "rotation", "rotation": []}]
        datasets = [{"path": "0", "coordinateTransformations": transformations}]
        group.attrs.update({"multiscales": [{"version": "0.4", "axes": list("ZYX"), "datasets": datasets}]})

        width, rotation = open_volume(tmp_path / "a.zarr").remarks

        assert "widths of 1, 2, 3 along x, y, z, but in no unit of length that is known here (no unit)" in width
        assert "isn't followed here (rotation)" in rotation

    def test_the_shift_of_coarse_levels_is_no_origin(self, tmp_path):
        from napari_cryoet.formats.masks import write_mask

        write_mask(np.ones((8, 8, 8), "u1"), tmp_path / "a.zarr", spacing_angstrom=10, format="ome-zarr-0.5")

        volume = open_volume(tmp_path / "a.zarr")

        (image,) = volume.pyramid.metadata["ome"]["multiscales"]
        assert image["datasets"][1]["coordinateTransformations"][1]["translation"] == [5, 5, 5]
        assert (volume.origin_angstrom, volume.remarks) == (None, ())

    def test_that_of_an_mrc_is_told(self, tmp_path):
        write_mrc(tmp_path / "a.mrc", noise(ZYX, "f4"), 10.0)
        assert "warnings" not in about(tmp_path / "a.mrc")
        with (tmp_path / "a.mrc").open("r+b") as file:
            file.seek(196)
            file.write(struct.pack("<3f", 120.5, -40, 30))

        (warning,) = about(tmp_path / "a.mrc")["warnings"]
        assert "x, y, z = 120.5, -40, 30 Å" in warning
        assert about(tmp_path / "a.mrc")[ORIGIN_KEY] == [30, -40, 120.5]


def test_that_the_axes_of_an_mrc_were_turned_is_told(tmp_path):
    write_mrc(tmp_path / "a.mrc", noise(ZYX, "f4"), 10.0)
    with (tmp_path / "a.mrc").open("r+b") as file:
        file.seek(64)
        file.write(struct.pack("<3i", 3, 1, 2))

    (warning,) = about(tmp_path / "a.mrc")["warnings"]
    assert "stores its voxels along y, x, z (slowest first)" in warning
    np.testing.assert_array_equal(open_volume(tmp_path / "a.mrc").levels[0], noise(ZYX, "f4").transpose(2, 0, 1))


def test_complex_numbers_are_refused(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.ones(ZYX, np.complex64))

    with pytest.raises(OtherKindError, match="complex numbers"):
        open_volume(tmp_path / "a.zarr")


def test_an_image_opens_for_others_as_it_is(tmp_path):
    write_image(tmp_path / "a.zarr", noise((1, 1, *ZYX)), "tczyx")

    assert open_pyramid(tmp_path / "a.zarr").axes == ("t", "c", "z", "y", "x")


class TestNames:
    @pytest.mark.parametrize(
        ("address", "name"),
        [
            ("https://files.org/a%20b/TS%C3%BC%231.mrc", "TSü#1.mrc"),
            ("https://files.org/x.mrc?signature=a/b.zarr", "x.mrc"),
            (" https://files.org/x.mrc \n", "x.mrc"),
            ("file:///data/a%20b.mrc", "a b.mrc"),
            ("s3://bucket/50%20 #1?/x.mrc", "x.mrc"),
            ("s3://bucket/50%20 #1?.mrc", "50%20 #1?.mrc"),
        ],
    )
    def test_a_volume_is_called_as_its_file_is_and_not_as_its_address_spells_it(self, address, name):
        assert (name_of(address), suffix_of(address)) == (name, ".mrc")

    def test_the_spacing_is_read_from_an_address_with_escapes_too(self):
        assert spacing_in_layout("https://files.org/TS%201/VoxelSpacing13.480%2FTomograms/x.zarr") == 13.48

    @pytest.mark.parametrize("suffix", ["mrc", "zarr"])
    def test_a_key_of_s3_opens_whatever_signs_are_in_it(self, suffix, tmp_path, monkeypatch):
        folder, values = tmp_path / "bucket" / "50% #1?", noise(ZYX)
        folder.mkdir(parents=True)
        if suffix == "mrc":
            write_mrc(folder / "a b.mrc", values.astype("f4"), 10.0)
        else:
            write_image(folder / "a b.zarr", values, "zyx", levels=1)
        with StreamServer(tmp_path) as server:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
            volume = open_volume(f"s3://bucket/50% #1?/a b.{suffix}")
            assert np.array_equal(np.asarray(volume.levels[0]), values)
            volume.close()
