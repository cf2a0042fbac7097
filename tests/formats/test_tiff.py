"""TIFF volumes: what others write is read exactly, damage is told, and nothing that isn't said is guessed."""

import os
import re
import struct
import sys
from contextlib import suppress

import numpy as np
import pytest
import tifffile

from napari_cryoet.exceptions import ChangedError, CryoETError, FormatError, OtherKindError, StreamError
from napari_cryoet.volumes import open_volume

SHAPE = (7, 33, 46)


def volume(dtype=np.uint8, shape=SHAPE):
    values = np.random.default_rng(3).integers(0, 100, shape)
    return (values % 2 if dtype == np.bool_ else values).astype(dtype)


def write(path, values, **options):
    tifffile.imwrite(path, values, **options)
    return path


class TestValues:
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i8", "f2", "f4", "f8", "?"])
    def test_are_read_exactly(self, dtype, byteorder, tmp_path):
        values = volume(np.dtype(dtype))
        path = write(tmp_path / "a.tif", values, byteorder=byteorder, photometric="minisblack")

        opened = open_volume(path)

        assert opened.shape_zyx == SHAPE
        assert opened.dtype == values.dtype
        np.testing.assert_array_equal(np.asarray(opened.levels[0]), values)
        np.testing.assert_array_equal(opened.read_planes(slice(2, 5)), values[2:5])

    @pytest.mark.parametrize(
        "options",
        [
            {"compression": "zlib"},
            {"compression": "zlib", "predictor": True},
            {"compression": "lzma"},
            {"compression": "zlib", "tile": (16, 16)},
            {"tile": (32, 32)},
            {"rowsperstrip": 5, "compression": "zlib"},
            {"rowsperstrip": 5},
            {"bigtiff": True},
            {"imagej": True, "metadata": {"axes": "ZYX"}},
            {"ome": True, "metadata": {"axes": "ZYX"}},
            {"ome": True, "compression": "zlib", "metadata": {"axes": "ZYX"}},
            {"metadata": None},
            {"metadata": None, "compression": "zlib"},
            {"metadata": {"axes": "ZYX"}},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    def test_however_they_are_packed(self, options, byteorder, tmp_path):
        values = volume(np.uint16)
        byteorder = ">" if "imagej" in options else byteorder
        path = write(tmp_path / "a.TIFF", values, byteorder=byteorder, photometric="minisblack", **options)

        opened = open_volume(path)

        assert opened.shape_zyx == SHAPE
        np.testing.assert_array_equal(np.asarray(opened.levels[0]), values)
        np.testing.assert_array_equal(np.asarray(opened.levels[0][3:5, 4:20, 5:9]), values[3:5, 4:20, 5:9])

    @pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
    @pytest.mark.parametrize(
        "part",
        [
            *(
                np.s_[2],
                np.s_[-1],
                np.s_[2, :, 5],
                np.s_[:, 3],
                np.s_[..., 4],
                np.s_[1, 2, 3],
                np.s_[None, 2],
                np.s_[2:2],
            ),
            *(np.s_[::2, ::-3, 1:5], np.s_[::-1], np.s_[[5, 0, 2]], np.s_[1, [3, 1]], np.s_[np.arange(7) > 4, 2:5]),
        ],
        ids=str,
    )
    def test_of_any_part(self, part, options, tmp_path):
        path = write(tmp_path / "a.tif", volume(np.uint16), photometric="minisblack", **options)

        np.testing.assert_array_equal(np.asarray(open_volume(path).levels[0][part]), volume(np.uint16)[part])

    def test_planes_that_lie_apart(self, tmp_path):
        values = volume()
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for plane in values:
                writer.write(plane, contiguous=False, metadata=None, photometric="minisblack")

        np.testing.assert_array_equal(np.asarray(open_volume(tmp_path / "a.tif").levels[0]), values)

    def test_of_one_plane_that_is_said_to_be_along_z(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(shape=(1, 9, 8)), metadata={"axes": "ZYX"}, photometric="minisblack")

        assert open_volume(path).shape_zyx == (1, 9, 8)

    def test_that_are_shown_inverted_are_as_they_are_stored(self, tmp_path):
        opened = open_volume(write(tmp_path / "a.tif", volume(), photometric="miniswhite"))

        np.testing.assert_array_equal(np.asarray(opened.levels[0]), volume())
        assert "shown white" in opened.remarks[0]

    @pytest.mark.parametrize("orientation", [4, 6])
    def test_that_are_shown_turned_are_as_they_are_stored(self, orientation, tmp_path):
        tags = [(274, "H", 1, orientation, True)]
        opened = open_volume(write(tmp_path / "a.tif", volume(), photometric="minisblack", extratags=tags))

        np.testing.assert_array_equal(np.asarray(opened.levels[0]), volume())
        assert "turned or mirrored" in opened.remarks[0]

    @pytest.mark.parametrize(
        ("about", "words"),
        [
            ({"cf": 0, "c0": -32768, "c1": 1, "vunit": "Gray Value"}, r"values otherwise \(-32768 \+ 1 times"),
            ({"xorigin": 4, "zorigin": 1.5}, r"another origin \(1\.5, 0, 4 voxels\)"),
            ({"cf": 0, "c0": 0, "c1": 1, "xorigin": 0}, "^$"),
        ],
    )
    def test_what_imagej_makes_of_them_is_told(self, about, words, tmp_path):
        """As of signed numbers of 16 bits, to which it adds 32768."""
        path = write(tmp_path / "a.tif", volume(np.uint16), imagej=True, metadata={"axes": "ZYX"} | about)

        opened = open_volume(path)

        np.testing.assert_array_equal(np.asarray(opened.levels[0]), volume(np.uint16))
        assert re.search(words, " ".join(opened.remarks))

    def test_a_few_planes_are_read_at_a_time(self, tmp_path):
        path = write(tmp_path / "a.tif", np.zeros((40, 1024, 1024), np.uint8), compression="zlib", metadata=None)

        assert max(open_volume(path).levels[0].chunks[0]) <= 16


class TestSpacing:
    def test_of_imagej(self, tmp_path):
        about = {"axes": "ZYX", "spacing": 1.052, "unit": "nm"}
        path = write(tmp_path / "a.tif", volume(), imagej=True, resolution=(1 / 1.052, 1 / 0.9), metadata=about)

        assert open_volume(path).spacing_angstrom == (10.52, 9.0, 10.52)

    @pytest.mark.parametrize(
        ("unit", "factor"),
        [("um", 1e4), ("\\u00B5m", 1e4), ("micron", 1e4), ("Angstrom", 1), ("\\u00C5", 1), ("pm", 0.01), ("NM", 10)],
    )
    def test_of_imagej_in_units_of_length(self, unit, factor, tmp_path):
        about = {"axes": "ZYX", "spacing": 2.0, "unit": unit}
        path = write(tmp_path / "a.tif", volume(), imagej=True, resolution=(0.5, 0.5), metadata=about)

        assert open_volume(path).spacing_angstrom == (2 * factor,) * 3

    @pytest.mark.parametrize(
        ("about", "resolution", "remark"),
        [
            ({"unit": "nm"}, (0.5, 0.5), "along z"),
            ({"unit": "furlong", "spacing": 2.0}, (0.5, 0.5), "furlong"),
            ({"unit": "pixel", "spacing": 2.0}, (0.5, 0.5), None),
            ({"spacing": 2.0}, (0.5, 0.5), None),
            ({}, (300, 300), None),
            ({"unit": "nm", "spacing": float("nan")}, (0.5, 0.5), "along z"),
            ({"unit": "nm", "spacing": True}, (0.5, 0.5), "along z"),
            ({"unit": "nm", "zunit": "pixel", "spacing": 2.0}, (0.5, 0.5), "'pixel'"),
            ({"unit": "Mm", "spacing": 2.0}, (0.5, 0.5), "Mm"),
            ({"unit": "Pm", "spacing": 2.0}, (0.5, 0.5), "Pm"),
        ],
    )
    def test_is_not_guessed(self, about, resolution, remark, tmp_path):
        path = write(tmp_path / "a.tif", volume(), imagej=True, resolution=resolution, metadata={"axes": "ZYX"} | about)

        opened = open_volume(path)

        assert opened.spacing_angstrom is None
        assert [remark in said for said in opened.remarks] == ([True] if remark else [])

    def test_of_ome(self, tmp_path):
        about = {"axes": "ZYX", "PhysicalSizeX": 1.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.001}
        about |= {"PhysicalSizeZ": 13.48, "PhysicalSizeZUnit": "Å"}
        path = write(tmp_path / "a.ome.tif", volume(), ome=True, metadata=about)

        assert open_volume(path).spacing_angstrom == (13.48, 10.0, 10.0)

    @pytest.mark.parametrize("unit", ["Mm", "Pm", "pixel", "reference frame"])
    def test_of_ome_in_units_that_are_none_here(self, unit, tmp_path):
        about = {"axes": "ZYX"} | {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
        about |= {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}

        assert open_volume(write(tmp_path / "a.tif", volume(), ome=True, metadata=about)).spacing_angstrom is None

    def test_of_ome_without_z(self, tmp_path):
        about = {"axes": "ZYX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}

        assert open_volume(write(tmp_path / "a.tif", volume(), ome=True, metadata=about)).spacing_angstrom is None

    def test_of_print_is_none(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(), resolution=(300, 300), resolutionunit="INCH", metadata=None)

        assert open_volume(path).spacing_angstrom is None


class TestWhatIsNoVolume:
    @pytest.mark.parametrize(
        ("shape", "options", "words"),
        [
            ((20, 30), {}, "picture"),
            ((20, 30, 3), {"photometric": "rgb"}, "3 colours"),
            ((5, 20, 30, 3), {"photometric": "rgb"}, "3 colours"),
            ((4, 20, 30), {"metadata": {"axes": "TYX"}}, "4 time points"),
            ((4, 20, 30), {"metadata": {"axes": "CYX"}, "ome": True}, "4 channels"),
            ((2, 4, 20, 30), {"metadata": {"axes": "CZYX"}, "ome": True}, "2 channels"),
            ((2, 4, 20, 30), {"metadata": {"axes": "TZYX"}, "imagej": True}, "2 time points"),
            ((7, 20, 30), {"imagej": True}, "7 channels .* if they are planes, save them along an axis z"),
            ((2, 4, 20, 30), {}, "no single volume"),
        ],
    )
    def test_is_told(self, shape, options, words, tmp_path):
        path = write(tmp_path / "a.tif", volume(shape=shape), **({"photometric": "minisblack"} | options))

        with pytest.raises(OtherKindError, match=rf"a\.tif .*{words}"):
            open_volume(path)

    def test_complex_numbers(self, tmp_path):
        with pytest.raises(OtherKindError, match="complex64"):
            open_volume(write(tmp_path / "a.tif", volume(np.complex64), photometric="minisblack"))

    def test_several_images(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            writer.write(volume())
            writer.write(volume(shape=(6, 9, 9)))

        with pytest.raises(OtherKindError, match="2 images"):
            open_volume(tmp_path / "a.tif")

    def test_planes_of_ome_in_other_files(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(), ome=True, metadata={"axes": "ZYX"})
        path.write_bytes(path.read_bytes().replace(b'SizeZ="7"', b'SizeZ="9"'))

        with pytest.raises(OtherKindError, match="7 of the 9 planes"):
            open_volume(path)

    def test_at_an_address(self):
        with pytest.raises(FormatError, match=r"a\.tif is at an address"):
            open_volume("https://host/a.tif")


class TestDamage:
    @pytest.mark.parametrize(
        "content", [b"", b"II", b"II*\0" + bytes(100), b"picture of a cat", b"MM\0*\xff\xff\xff\xff"]
    )
    def test_what_is_no_tiff(self, content, tmp_path):
        (tmp_path / "a.tif").write_bytes(content)

        with pytest.raises(CryoETError, match=r"a\.tif"):
            open_volume(tmp_path / "a.tif")

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FormatError, match=r"no file a\.tif"):
            open_volume(tmp_path / "a.tif")

    @pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}, {"metadata": None}], ids=str)
    @pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
    def test_a_file_that_is_cut_short_never_looks_like_a_smaller_volume(self, options, share, tmp_path):
        path = write(tmp_path / "a.tif", volume(), photometric="minisblack", **options)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

        with pytest.raises((StreamError, FormatError), match=r"a\.tif"):
            np.asarray(open_volume(path).levels[0])

    @pytest.mark.parametrize("compression", [None, "zlib"])
    def test_fewer_planes_than_imagej_says_never_look_like_a_smaller_volume(self, compression, tmp_path):
        path = tmp_path / "a.tif"
        about = "ImageJ=1.53\nimages=9\nslices=9\nunit=nm\nspacing=1.0\n"
        with tifffile.TiffWriter(path) as writer:
            for number, plane in enumerate(volume()):
                said = {} if number else {"description": about}
                options = {"contiguous": False, "metadata": None, "photometric": "minisblack"}
                writer.write(plane, compression=compression, **options, **said)

        with pytest.raises(FormatError, match=r"a\.tif names 9 planes and lists 7"):
            open_volume(path)

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "a.tif")

        with pytest.raises(FormatError, match=r"a\.tif is no file"):
            open_volume(tmp_path / "a.tif")

    def test_planes_without_pixels(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(), compression="zlib", metadata=None)
        with tifffile.TiffFile(path) as file:
            places = [page.tags["ImageLength"].valueoffset for page in file.pages]
        content = bytearray(path.read_bytes())
        for at in places:
            struct.pack_into("<I", content, at, 0)
        path.write_bytes(content)

        with pytest.raises(FormatError, match=r"a\.tif is a damaged TIFF file"):
            open_volume(path)

    def test_a_list_of_planes_without_an_end(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(), metadata=None)
        with tifffile.TiffFile(path) as file:
            last = file.pages[len(file.pages) - 1]
            at, first = last.offset + 2 + 12 * len(last.tags), file.pages[0].offset
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, at, first)
        path.write_bytes(content)

        with pytest.raises(FormatError, match="has no end"):
            open_volume(path)

    def test_a_damaged_plane_is_named(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(), metadata=None, compression="zlib")
        with tifffile.TiffFile(path) as file:
            start, length = file.pages[4].dataoffsets[0], file.pages[4].databytecounts[0]
        content = bytearray(path.read_bytes())
        content[start : start + length] = bytes(length)
        path.write_bytes(content)

        level = open_volume(path).levels[0]

        np.testing.assert_array_equal(np.asarray(level[3]), volume()[3])
        np.testing.assert_array_equal(np.asarray(level[5:, 2]), volume()[5:, 2])
        with pytest.raises(StreamError, match=r"Plane 5 of a\.tif is damaged"):
            np.asarray(level)

    def test_a_part_that_was_never_written_is_not_filled_in(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(), metadata=None, compression="zlib", rowsperstrip=11)
        with tifffile.TiffFile(path) as file:
            at = file.pages[2].tags["StripByteCounts"].valueoffset
        content = bytearray(path.read_bytes())
        content[at : at + 2] = bytes(2)
        path.write_bytes(content)

        with pytest.raises(StreamError, match=r"Plane 3 of a\.tif is damaged"):
            np.asarray(open_volume(path).levels[0])

    @pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
    def test_a_file_that_changed_is_not_read_on(self, options, tmp_path):
        path = write(tmp_path / "a.tif", volume(), **options)
        opened = open_volume(path)
        write(path, volume()[:, ::-1, :30], **options)

        with pytest.raises(ChangedError, match=r"a\.tif changed"):
            np.asarray(opened.levels[0])

    def test_a_file_that_changes_while_it_is_read_is_not_taken(self, tmp_path, monkeypatch):
        path = write(tmp_path / "a.tif", volume(), tile=(16, 16), photometric="minisblack")
        level = open_volume(path).levels[0]

        class Changing(tifffile.TiffFile):
            def __enter__(self):
                write(path, volume()[::-1], tile=(16, 16), photometric="minisblack", software="another")
                return super().__enter__()

        monkeypatch.setattr(tifffile, "TiffFile", Changing)

        with pytest.raises(ChangedError, match=r"a\.tif changed"):
            np.asarray(level)

    @pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
    def test_a_file_that_changes_while_it_is_opened_is_not_taken(self, options, tmp_path, monkeypatch):
        path = write(tmp_path / "a.tif", volume(), photometric="minisblack", **options)

        class Changing(tifffile.TiffFile):
            def __exit__(self, *about):
                super().__exit__(*about)
                write(path, volume()[::-1], photometric="minisblack", software="another, larger one", **options)

        monkeypatch.setattr(tifffile, "TiffFile", Changing)

        with pytest.raises(ChangedError, match=r"a\.tif changed"):
            open_volume(path)

    @pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}, {"ome": True}], ids=str)
    def test_any_byte_may_be_wrong(self, options, tmp_path):
        path = write(tmp_path / "a.tif", volume(shape=(3, 5, 6)), photometric="minisblack", **options)
        content = path.read_bytes()
        random = np.random.default_rng(5)
        for at in random.integers(0, len(content), 60):
            damaged = bytearray(content)
            damaged[at] = random.integers(256)
            path.write_bytes(damaged)
            with suppress(CryoETError):
                np.asarray(open_volume(path).levels[0])

    def test_a_compression_that_is_not_here_says_what_to_do(self, tmp_path):
        path = write(tmp_path / "a.tif", volume(), metadata=None, compression="zlib")
        with tifffile.TiffFile(path) as file:
            places = [page.tags["Compression"].valueoffset for page in file.pages]
        content = bytearray(path.read_bytes())
        for at in places:
            struct.pack_into("<H", content, at, 34933)  # PNG
        path.write_bytes(content)

        with pytest.raises(FormatError, match=r"PNG.*Save it uncompressed"):
            open_volume(path)
