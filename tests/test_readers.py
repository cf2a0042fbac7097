import json
import re

import numpy as np
import pytest

from napari_cryoet import readers
from napari_cryoet.exceptions import FormatError, OtherKindError, PackError, StreamError
from napari_cryoet.formats.masks import write_mask
from napari_cryoet.formats.ndjson import lines_of
from napari_cryoet.formats.portal_zarr import write_mrc, write_pyramid
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.packs.pack import Manifest, write_pack
from napari_cryoet.picks import Picks
from napari_cryoet.readers import get_reader, read_pack, why_declined
from ome_images import write_image

SHAPE_ZYX = (9, 14, 21)


def noise():
    return np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)


def one_voxel(dtype, value=1):
    mask = np.zeros(SHAPE_ZYX, dtype)
    mask[4, 6, 8] = value
    return mask


def read(path):
    reader = get_reader(str(path))
    assert reader is not None
    return reader(str(path))


class TestZarr:
    def test_a_tomogram_is_an_image(self, tmp_path):
        write_pyramid(tmp_path / "TS.zarr", noise(), 13.48)

        ((data, options, kind),) = read(tmp_path / "TS.zarr")

        assert kind == "image"
        assert options["name"] == "TS"
        assert options["scale"] == (13.48,) * 3
        np.testing.assert_array_equal(data[0][:9, :14, :21].compute(), noise())

    @pytest.mark.parametrize(("kind", "dtype", "value"), [("mask", np.int8, 1), ("instances", np.uint16, 700)])
    def test_a_mask_is_labels(self, tmp_path, kind, dtype, value):
        write_pyramid(tmp_path / "mask.zarr", one_voxel(dtype, value), 13.48, kind)

        ((data, _options, layer_kind),) = read(tmp_path / "mask.zarr")

        assert layer_kind == "labels"
        assert data[0][4, 6, 8].compute() == value

    def test_whole_numbers_that_are_mostly_no_background_are_an_image(self, tmp_path):
        import zarr

        grey = np.random.default_rng(0).integers(0, 256, SHAPE_ZYX).astype(np.uint8)
        zarr.create_array(tmp_path / "grey.zarr", data=grey)

        assert read(tmp_path / "grey.zarr")[0][2] == "image"

    def test_version_3_is_read_too(self, tmp_path):
        import zarr

        zarr.create_array(tmp_path / "v3.zarr", data=noise(), chunks=(4, 8, 8), shards=(8, 16, 16), zarr_format=3)

        ((data, options, kind),) = read(tmp_path / "v3.zarr")

        assert kind == "image"
        assert options["units"] == ("pixel",) * 3
        np.testing.assert_array_equal(data.compute(), noise())

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("movie", "2 positions along its axis number 1 of 4"),
            ("times", "2 time points along its axis t"),
            ("channels", "3 channels along its axis c"),
            ("turned", "in the order x, y, z"),
            ("flat", "it has y, x"),
            ("table", "not an OME-Zarr image"),
            ("old_table", "not an OME-Zarr image"),
            ("plate", "plate of images"),
            ("many", r"collection of images.*many\.zarr/0"),
        ],
    )
    def test_other_zarrs_are_left_to_others_and_why_is_known(self, tmp_path, name, reason):
        import zarr

        path = tmp_path / f"{name}.zarr"
        match name:
            case "movie":
                zarr.create_array(path, data=np.zeros((2, 3, 4, 5), np.uint8))
            case "times" | "channels" | "turned" | "flat":
                axes = {"times": "tczyx", "channels": "tczyx", "turned": "xyz", "flat": "yx"}[name]
                counts = {"t": 2 if name == "times" else 1, "c": 3 if name == "channels" else 1}
                write_image(path, np.ones([counts.get(axis, 6) for axis in axes], "u2"), axes)
            case "table" | "old_table":
                zarr.create_group(path, zarr_format=3 if name == "table" else 2)
                (path / ".zattrs").unlink(missing_ok=True)  # zarr v2 groups need none
            case "plate" | "many":
                attributes = {"plate": {}} if name == "plate" else {"bioformats2raw.layout": 3}
                zarr.create_group(path, zarr_format=2).attrs.update(attributes)
                for number in "01":
                    write_image(path / number, np.ones((2, 2, 2), "u2"), "zyx", levels=1)

        assert get_reader(str(path)) is None
        assert re.search(reason, str(why_declined(str(path))))

    def test_what_is_meant_for_us_but_damaged_says_what_is_wrong(self, tmp_path):
        (tmp_path / "empty.zarr").mkdir()
        write_pyramid(tmp_path / "lacking.zarr", noise(), 13.48)
        (tmp_path / "lacking.zarr" / "1" / ".zarray").unlink()
        write_pyramid(tmp_path / "broken.zarr", noise(), 13.48)
        (tmp_path / "broken.zarr" / ".zattrs").write_text("{")

        for name, words in (
            ("empty", r"no OME-Zarr image at .*empty\.zarr"),
            ("lacking", r"lacking\.zarr is incomplete: 1/\.zarray is missing"),
            ("broken", r"broken\.zarr/\.zattrs is not valid JSON"),
        ):
            with pytest.raises(FormatError, match=words):
                read(tmp_path / f"{name}.zarr")
            assert why_declined(str(tmp_path / f"{name}.zarr")) is None


class TestMrc:
    @pytest.mark.parametrize("suffix", ["mrc", "map", "rec", "MRC"])
    def test_a_volume_is_an_image(self, tmp_path, suffix):
        path = tmp_path / f"TS.{suffix}"
        write_mrc(path, noise(), 7.84)

        ((data, options, kind),) = read(path)

        assert kind == "image"
        assert options["scale"] == pytest.approx((7.84,) * 3)
        np.testing.assert_array_equal(data.compute(), noise())

    def test_a_mask_is_labels(self, tmp_path):
        write_mrc(tmp_path / "mask.mrc", one_voxel(np.int8), 7.84)

        assert read(tmp_path / "mask.mrc")[0][2] == "labels"

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("empty.ndjson", "", "empty.ndjson holds no picks: it is no file of points"),
            ("words.ndjson", '{"a": 1}\n', "holds no picks"),
            ("settings.json", "{}", "settings.json holds no picks: it is no file of picks of copick"),
        ],
    )
    def test_a_file_called_like_picks_without_any_says_why_it_is_left_to_others(self, tmp_path, name, content, words):
        (tmp_path / name).write_text(content)

        assert get_reader(str(tmp_path / name)) is None
        assert words in str(why_declined(str(tmp_path / name)))

    def test_something_else_by_that_name_is_left_to_others(self, tmp_path):
        (tmp_path / "treasure.map").write_text("Here be dragons. " * 100)
        (tmp_path / "note.rec").write_text("abc")

        assert get_reader(str(tmp_path / "treasure.map")) is None
        assert get_reader(str(tmp_path / "note.rec")) is None
        assert "no MRC file" in str(why_declined(str(tmp_path / "treasure.map")))

    def test_what_is_meant_for_us_but_damaged_says_what_is_wrong(self, tmp_path):
        (tmp_path / "empty.rec").write_bytes(b"")
        (tmp_path / "text.mrc").write_text("Here be dragons. " * 100)
        write_mrc(tmp_path / "sizes.map", noise(), 7.84)
        with (tmp_path / "sizes.map").open("r+b") as file:
            file.write((-1).to_bytes(4, "little", signed=True))

        for name, words in (("empty.rec", "empty.rec is empty"), ("text.mrc", "no MRC file"), ("sizes.map", "-1 x 14")):
            with pytest.raises(FormatError, match=words):
                read(tmp_path / name)

    def test_a_real_map_is_read(self, real_data):
        ((data, options, kind),) = read(real_data / "tomograms" / "EMD-3197.map")

        assert (data.shape, kind) == ((20, 20, 20), "image")
        assert options["scale"] == pytest.approx((11.4,) * 3, rel=1e-3)

    def test_a_name_for_whose_provenance_there_is_no_room_is_read(self, tmp_path):
        path = tmp_path / "mask.mrc".rjust(250, "a")
        write_mrc(path, one_voxel(np.int8), 7.84)

        ((data, _options, kind),) = read(path)
        assert kind == "labels"
        assert np.asarray(data).sum() == 1


class TestNdjson:
    def test_points_are_in_voxels_and_say_so(self, tmp_path):
        (tmp_path / "picks.ndjson").write_bytes(b"".join(lines_of(Picks(np.array([[3.0, 2.0, 1.0]])))))

        ((data, options, kind),) = read(tmp_path / "picks.ndjson")

        assert kind == "points"
        assert data.tolist() == [[3, 2, 1]]
        assert options["units"] == ("pixel",) * 3
        assert "in voxels" in options["metadata"][METADATA_KEY]["warnings"][0]

    def test_the_portals_folders_tell_the_spacing(self, tmp_path):
        folder = tmp_path / "VoxelSpacing13.480" / "Annotations" / "100"
        folder.mkdir(parents=True)
        (folder / "ribosome-1.0_point.ndjson").write_bytes(b"".join(lines_of(Picks(np.array([[3.0, 2.0, 1.0]])))))

        ((_data, options, _kind),) = read(folder / "ribosome-1.0_point.ndjson")

        assert options["scale"] == (13.48,) * 3
        assert options["units"] == ("angstrom",) * 3

    def test_oriented_points_bring_their_arrows_and_are_active_above_them(self, tmp_path):
        points = Picks(np.ones((2, 3)), rotations_zyx=np.eye(3)[None].repeat(2, axis=0))
        (tmp_path / "picks.ndjson").write_bytes(b"".join(lines_of(points)))

        assert [kind for _, _, kind in read(tmp_path / "picks.ndjson")] == ["vectors", "points"]

    @pytest.mark.parametrize("content", ['{"type": "Feature"}\n', "not json\n", "", "[1, 2]\n", "[" * 9999])
    def test_other_ndjson_is_left_to_others(self, tmp_path, content):
        (tmp_path / "log.ndjson").write_text(content)

        assert get_reader(str(tmp_path / "log.ndjson")) is None

    def test_a_name_for_whose_provenance_there_is_no_room_is_read(self, tmp_path):
        path = tmp_path / "picks.ndjson".rjust(250, "a")
        path.write_bytes(b"".join(lines_of(Picks(np.ones((2, 3))))))

        ((data, _options, _kind),) = read(path)
        assert len(data) == 2

    def test_a_broken_line_is_named(self, tmp_path):
        good = {"type": "point", "location": {"x": 1, "y": 2, "z": 3}}
        (tmp_path / "picks.ndjson").write_text(json.dumps(good) + "\n{broken\n")

        with pytest.raises(FormatError, match="line 2"):
            read(tmp_path / "picks.ndjson")


class TestPack:
    def test_opens_its_first_run_that_has_a_tomogram(self, demo_pack):
        layers = read(demo_pack)

        assert layers[0][2] == "image"
        kinds = [kind for _, _, kind in layers]
        assert kinds == sorted(kinds, key=["image", "labels", "vectors", "points"].index)
        assert all(options["units"] == ("angstrom",) * 3 for _, options, _ in layers)

    def test_opens_by_its_manifest_too(self, demo_pack):
        assert read(demo_pack / "pack.json")[0][1]["name"] == read(demo_pack)[0][1]["name"]

    def test_without_any_tomogram_says_so(self, tmp_path):
        manifest = Manifest(
            title="Empty", source="test", created="2024-01-01", licence="CC0-1.0",
            https_prefix="https://files.example.invalid/", s3_prefix="s3://bucket/",
        )  # fmt: skip
        write_pack(tmp_path / "empty", manifest, {})

        with pytest.raises(PackError, match="No run"):
            read_pack(tmp_path / "empty")

    def test_other_folders_are_left_to_others(self, tmp_path):
        assert get_reader(str(tmp_path)) is None


@pytest.mark.parametrize("name", ["a.mrc.gz", "emd_1.map.gz", "a.rec.bz2"])
def test_a_packed_volume_comes_to_us_and_is_said_to_be_packed(name, tmp_path):
    (tmp_path / name).write_bytes({"gz": b"\x1f\x8b", "z2": b"BZh9"}[name[-2:]] + bytes(2000))

    with pytest.raises(FormatError, match="is compressed with"):
        read(tmp_path / name)


def test_a_stack_of_files_is_left_to_others(tmp_path):
    write_mrc(tmp_path / "a.mrc", noise(), 1.5)

    assert get_reader([str(tmp_path / "a.mrc")]) is not None
    assert get_reader([str(tmp_path / "a.mrc"), str(tmp_path / "a.mrc")]) is None


def test_what_is_missing_is_an_error_rather_than_a_guess(tmp_path):
    with pytest.raises(StreamError, match=r"nowhere\.ndjson"):
        get_reader(str(tmp_path / "nowhere.ndjson"))


def test_pictures_and_tables_are_left_to_others(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0")

    assert get_reader(str(tmp_path / "a.tif")) is None


class TestOverHttp:
    @pytest.fixture(scope="class")
    @staticmethod
    def served(demo_pack):
        from napari_cryoet.packs.serve import PackServer

        with PackServer(demo_pack) as server:
            yield server

    def addresses(self, demo_pack, served, suffix):
        paths = sorted((demo_pack / "files").rglob(f"*{suffix}"))
        return [served.files_url.rstrip("/") + "/" + path.relative_to(demo_pack / "files").as_posix() for path in paths]

    def test_tomograms_masks_and_points_are_read(self, demo_pack, served):
        zarrs = self.addresses(demo_pack, served, ".zarr")
        tomogram = next(url for url in zarrs if "/Tomograms/" in url)
        mask = next(url for url in zarrs if "/Annotations/" in url)
        points = self.addresses(demo_pack, served, ".ndjson")[0]

        assert [read(url)[-1][2] for url in (tomogram, mask, points)] == ["image", "labels", "points"]
        assert read(points)[-1][1]["units"] == ("angstrom",) * 3

    def test_what_the_server_lacks_is_an_error_in_words(self, served):
        with pytest.raises(StreamError):
            get_reader(served.files_url.rstrip("/") + "/nowhere.ndjson")

    @pytest.mark.parametrize("name", ["nowhere.zarr", "nowhere.mrc"])
    def test_a_volume_that_the_server_lacks_is_told_and_not_just_refused(self, served, name):
        address = served.files_url + name
        with pytest.raises(FormatError, match=rf"There is no .*{name}"):
            get_reader(address)(address)

    def test_what_else_a_server_has_is_left_to_others(self, demo_pack, served, monkeypatch):
        def refuse(_path):
            raise OtherKindError("This is something else.")

        monkeypatch.setattr(readers, "open_volume", refuse)
        assert get_reader(self.addresses(demo_pack, served, ".zarr")[0]) is None


@pytest.mark.parametrize("name", ["a.mrc", "a.zarr"])
def test_a_mask_of_ours_opens_as_labels_however_much_of_it_is_labelled(tmp_path, name):
    mask = np.arange(1, 28, dtype=np.uint8).reshape(3, 3, 3)
    write_mask(mask, tmp_path / name, spacing_angstrom=10.0)

    ((data, _options, kind),) = read(tmp_path / name)
    assert kind == "labels"
    np.testing.assert_array_equal(np.asarray(data if name == "a.mrc" else data[0])[:3, :3, :3], mask)


def test_a_volume_in_place_of_a_mask_of_ours_is_an_image(tmp_path):
    write_mask(np.ones((3, 3, 3), np.uint8), tmp_path / "a.mrc", spacing_angstrom=10.0)
    write_mrc(tmp_path / "a.mrc", noise(), 10.0)

    ((_data, _options, kind),) = read(tmp_path / "a.mrc")
    assert kind == "image"
