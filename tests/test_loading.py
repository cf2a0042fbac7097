import itertools
import json
import threading

import numpy as np
import pytest

from napari_cryoet import mask_values
from napari_cryoet.colors import color_of, instance_colormap
from napari_cryoet.exceptions import FormatError, StoppedError, StreamError
from napari_cryoet.formats.ndjson import Points, write_points
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.loading import load_annotation, load_tomogram
from napari_cryoet.packs.portal_zarr import write_mrc, write_pyramid
from napari_cryoet.vocabulary import Processing, ShapeType
from samples import DATE, make_annotation, make_file, make_run, make_tomogram, make_voxel_spacing

SHAPE_ZYX = (21, 30, 43)  # odd, and different along every axis, so that a swap of axes can't hide
QUARTER_TURN_ABOUT_X = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]  # takes the particle's z to -y


def noise(shape=SHAPE_ZYX, mean=5.0, deviation=2.0):
    return np.random.default_rng(1).normal(mean, deviation, shape).astype(np.float32)


def written(path, volume, spacing=13.48, kind="tomogram"):
    write_pyramid(path, volume, spacing, kind)
    return path.as_uri()


def tomogram_at(url, shape_zyx=SHAPE_ZYX, **fields):
    z, y, x = shape_zyx
    return make_tomogram(size_z=z, size_y=y, size_x=x, https_omezarr_dir=url, **fields)


def points_file(path, lines, shape_type=ShapeType.POINT, **fields):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return make_file(shape_type, https_path=path.as_uri(), **fields)


def point(x, y, z, kind="point", **more):
    return {"type": kind, "location": {"x": x, "y": y, "z": z}, **more}


class TestTomogram:
    def test_is_a_multiscale_image_in_angstrom_with_the_portals_spacing(self, tmp_path):
        url = written(tmp_path / "TS_026.zarr", noise(), spacing=13.481)

        spec = load_tomogram(tomogram_at(url, voxel_spacing=13.48))

        assert spec.kind == "image"
        assert spec.options["scale"] == (13.48, 13.48, 13.48)  # the file's own 13.481 is advisory
        assert spec.options["units"] == ("angstrom",) * 3
        assert spec.options["axis_labels"] == ("z", "y", "x")
        assert spec.options["multiscale"] is True
        assert spec.options["colormap"] == "gray"
        assert spec.options["rendering"] == "minip"  # dark protein shows in 3D, too
        assert spec.name == "TS_026 · raw · 13.48 Å"

    def test_levels_are_exact_and_halve_exactly(self, tmp_path):
        volume = noise()
        spec = load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume)))

        z, y, x = SHAPE_ZYX
        np.testing.assert_array_equal(spec.data[0][:z, :y, :x].compute(), volume)
        shapes = [level.shape for level in spec.data]
        assert len(shapes) == 3
        assert all(tuple(2 * size for size in coarse) == fine for fine, coarse in itertools.pairwise(shapes))

    def test_contrast_is_that_of_full_resolution(self, tmp_path):
        volume = noise(mean=100, deviation=10)
        volume[10, 5, 5] = 1e6  # an outlier in the middle plane

        low, high = load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume))).options["contrast_limits"]

        assert low == pytest.approx(100 - 25.8, abs=4)
        assert high == pytest.approx(100 + 25.8, abs=4)

    def test_contrast_ignores_the_padding_and_empty_middle_planes(self, tmp_path):
        volume = noise(mean=100, deviation=10)
        volume[9:14] = 0
        volume[:, :, :20] = 0

        low, high = load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume))).options["contrast_limits"]

        assert 60 < low < 90
        assert 110 < high < 140

    @pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
    def test_a_featureless_volume_has_some_limits(self, tmp_path, value):
        volume = np.full(SHAPE_ZYX, value, np.float32)

        assert load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume))).options["contrast_limits"] == (0.0, 1.0)

    def test_an_offset_moves_the_volume(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        moved = load_tomogram(tomogram_at(url, voxel_spacing=10.0, offset_x=1, offset_y=2, offset_z=-3))

        assert moved.options["translate"] == (-30.0, 20.0, 10.0)

    def test_carries_its_provenance_as_plain_data(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        about = load_tomogram(tomogram_at(url)).options["metadata"][METADATA_KEY]

        assert json.loads(json.dumps(about)) == about
        assert about["licence"] == "CC0-1.0"
        assert about["authors"] == ["Sara Götz", "Irene de Teresa"]  # in the order of the publication
        assert about["dois"] == ["10.1038/s41592-022-01746-2"]
        assert about["database_entries"] == []
        assert about["portal_url"] == "https://cryoetdataportal.czscience.com/runs/506"
        assert about["source_url"] == url
        assert (about["dataset_id"], about["run_id"], about["tomogram_id"]) == (10000, 506, 629)
        assert about["deposition_title"] == "S. pombe"
        assert about["records"]["tomogram"]["processing"] == "raw"
        assert about["records"]["dataset"]["release_date"] == DATE.isoformat()
        assert about["records"]["run"]["name"] == "TS_026"

    def test_cites_the_dataset_where_it_has_no_publication_of_its_own(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        about = load_tomogram(tomogram_at(url, publications=None)).options["metadata"][METADATA_KEY]

        assert about["dois"] == ["10.1101/2022.04.12.488077"]

    def test_a_file_of_another_size_is_remarked_on(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        about = load_tomogram(tomogram_at(url, shape_zyx=(21, 30, 44))).options["metadata"][METADATA_KEY]

        assert "21 x 30 x 44" in about["warnings"][0]
        assert "21 x 30 x 43" in about["warnings"][0]

    def test_unknown_words_of_the_portal_are_shown_as_they_are(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        assert "dreamt" in load_tomogram(tomogram_at(url, processing=Processing("dreamt"))).name

    def test_is_read_from_mrc_where_there_is_no_zarr(self, tmp_path):
        volume = noise()
        path = tmp_path / "TS_026.mrc"
        write_mrc(path, volume, 13.481)

        spec = load_tomogram(tomogram_at(None, https_mrc_file=path.as_uri()))

        np.testing.assert_array_equal(spec.data.compute(), volume)
        assert spec.options["multiscale"] is False
        assert spec.options["scale"] == (13.48,) * 3

    def test_without_any_file_is_an_error_in_words(self):
        with pytest.raises(FormatError, match="no OME-Zarr and no MRC"):
            load_tomogram(make_tomogram(https_omezarr_dir=None))

    def test_that_is_missing_on_the_server_is_an_error_in_words(self, tmp_path):
        with pytest.raises((FormatError, StreamError), match=r"nowhere\.zarr"):
            load_tomogram(tomogram_at((tmp_path / "nowhere.zarr").as_uri()))

    def test_can_be_stopped(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())
        stop = threading.Event()
        stop.set()

        with pytest.raises(StoppedError):
            load_tomogram(tomogram_at(url), stop=stop)


class TestBareVolume:
    def test_has_the_spacing_that_its_file_says(self, tmp_path):
        path = tmp_path / "mine.zarr"
        write_pyramid(path, noise(), 13.481)

        spec = load_tomogram(path)

        assert spec.options["scale"] == pytest.approx((13.481,) * 3)
        assert spec.options["units"] == ("angstrom",) * 3
        assert spec.name == "mine"
        assert "licence" not in spec.options["metadata"][METADATA_KEY]

    def test_that_says_1_is_in_voxels_and_says_so(self, tmp_path):
        path = tmp_path / "early.zarr"
        write_pyramid(path, noise(), 1.0)

        spec = load_tomogram(path)

        assert spec.options["units"] == ("pixel",) * 3
        assert spec.options["metadata"][METADATA_KEY]["voxel_spacing_angstrom"] is None
        assert "in voxels" in spec.options["metadata"][METADATA_KEY]["warnings"][0]

    def test_can_be_told_its_spacing(self, tmp_path):
        path = tmp_path / "early.zarr"
        write_pyramid(path, noise(), 1.0)

        assert load_tomogram(str(path), spacing_angstrom=7.84).options["scale"] == (7.84,) * 3

    def test_must_have_three_axes(self, tmp_path):
        import zarr

        zarr.create_array(tmp_path / "flat.zarr", data=np.zeros((4, 4), np.float32))

        with pytest.raises(FormatError, match=r"flat\.zarr is no volume"):
            load_tomogram(tmp_path / "flat.zarr")


class TestPoints:
    def test_are_counted_in_the_files_own_voxels_and_scaled_to_angstrom(self, tmp_path):
        file = points_file(
            tmp_path / "a.ndjson",
            [point(1.0, 2.0, 3.5), point(10, 20, 7)],
            voxel_spacing=make_voxel_spacing(voxel_spacing=4.99),
        )

        (spec,) = load_annotation(file, make_tomogram(voxel_spacing=10.012))

        assert spec.kind == "points"
        world_zyx = spec.data * spec.options["scale"]
        np.testing.assert_allclose(world_zyx, [[3.5 * 4.99, 2 * 4.99, 4.99], [7 * 4.99, 20 * 4.99, 10 * 4.99]])
        assert spec.options["units"] == ("angstrom",) * 3

    def test_are_as_large_as_their_object(self, tmp_path):
        ribosome = points_file(tmp_path / "a.ndjson", [point(1, 2, 3)])
        unknown = make_annotation(object_id="CDPO:0000007", object_name="Snoopy")
        other = points_file(tmp_path / "b.ndjson", [point(1, 2, 3)], annotation=unknown)

        sizes = [load_annotation(file)[0].options["size"] * 13.48 for file in (ribosome, other)]

        assert sizes == pytest.approx([300.0, 100.0])

    def test_have_the_colour_of_their_object_and_a_name_that_tells_them_apart(self, tmp_path):
        (spec,) = load_annotation(points_file(tmp_path / "a.ndjson", [point(1, 2, 3)]))

        assert tuple(spec.options["border_color"]) == color_of("cytosolic ribosome")
        assert spec.name == "TS_026 · cytosolic ribosome · points · AN-1162"

    def test_take_another_colour_when_told(self, tmp_path):
        (spec,) = load_annotation(points_file(tmp_path / "a.ndjson", [point(1, 2, 3)]), color=(1, 0, 0, 1))

        assert spec.options["border_color"] == [1, 0, 0, 1]

    def test_keep_further_columns_as_features(self, tmp_path):
        file = points_file(tmp_path / "a.ndjson", [point(1, 2, 3, score=0.7), point(1, 2, 4, score=0.2)])

        (spec,) = load_annotation(file)

        assert spec.options["features"]["score"].tolist() == [0.7, 0.2]

    def test_of_an_oriented_annotation_come_with_arrows_along_the_particles_z_axis(self, tmp_path):
        lines = [
            point(1, 2, 3, "orientedPoint", xyz_rotation_matrix=QUARTER_TURN_ABOUT_X),
            point(4, 5, 6, "orientedPoint", xyz_rotation_matrix=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]),  # a mirror
        ]
        file = points_file(tmp_path / "a.ndjson", lines, ShapeType.ORIENTED_POINT)

        points, arrows = load_annotation(file)

        assert len(points.data) == 2
        assert arrows.kind == "vectors"
        assert arrows.data.shape == (1, 2, 3)
        world_zyx = arrows.data[0] * np.array(arrows.options["scale"])
        np.testing.assert_allclose(world_zyx[0], np.array([3, 2, 1]) * 13.48)
        np.testing.assert_allclose(world_zyx[1], [0, -300, 0], atol=1e-9)
        assert "line 2" in points.options["metadata"][METADATA_KEY]["warnings"][0]

    def test_of_an_instance_segmentation_are_coloured_by_instance(self, tmp_path):
        lines = [point(1, 2, 3, "instancePoint", instance_id=number) for number in (1, 1, 2, 13)]
        file = points_file(tmp_path / "a.ndjson", lines, ShapeType.INSTANCE_SEGMENTATION)

        (spec,) = load_annotation(file)

        colors = np.asarray(spec.options["face_color"])
        assert (colors[0] == colors[1]).all()
        assert (colors[0] != colors[2]).any()
        assert (colors[0] == colors[3]).all()  # colours come in cycles of twelve
        assert spec.options["features"]["instance_id"].tolist() == [1, 1, 2, 13]

    def test_of_mixed_kinds_are_all_drawn(self, tmp_path):
        lines = [
            point(1, 2, 3),
            point(4, 5, 6, "orientedPoint", xyz_rotation_matrix=QUARTER_TURN_ABOUT_X),
            point(7, 8, 9, "instancePoint", instance_id=5),
        ]

        points, arrows = load_annotation(points_file(tmp_path / "a.ndjson", lines))

        assert len(points.data) == 3
        assert len(arrows.data) == 1
        assert tuple(points.options["border_color"]) == color_of("cytosolic ribosome")

    def test_may_be_none(self, tmp_path):
        (spec,) = load_annotation(points_file(tmp_path / "a.ndjson", []))

        assert spec.data.shape == (0, 3)

    def test_carry_what_the_annotation_says(self, tmp_path):
        (spec,) = load_annotation(points_file(tmp_path / "a.ndjson", [point(1, 2, 3)]))

        about = spec.options["metadata"][METADATA_KEY]
        assert json.loads(json.dumps(about)) == about
        assert about["object_id"] == "GO:0022626"
        assert about["is_ground_truth"] is True
        assert about["annotation_method"] == "template matching"
        assert about["authors"] == ["Sara Götz"]
        assert about["dois"] == ["10.1101/2022.04.12.488077"]
        assert about["database_entries"] == ["EMD-14412"]
        assert about["voxel_spacing_angstrom"] == 13.48
        assert set(about["records"]) == {
            "annotation_file", "shape", "annotation", "run", "dataset", "deposition", "voxel_spacing",
        }  # fmt: skip

    def test_of_a_file_without_points_we_know_are_refused(self, tmp_path):
        with pytest.raises(FormatError, match="None of this file's 2 lines"):
            load_annotation(points_file(tmp_path / "a.ndjson", [{"type": "Feature"}, {"captions": []}]))

    def test_that_are_missing_on_the_server_are_an_error_in_words(self, tmp_path):
        with pytest.raises(FormatError, match=r"no file at .*nowhere\.ndjson"):
            load_annotation(make_file(https_path=(tmp_path / "nowhere.ndjson").as_uri()))

    def test_of_a_bare_file_are_in_voxels_unless_told_the_spacing(self, tmp_path):
        path = tmp_path / "picks.ndjson"
        path.write_bytes(write_points(Points.from_zyx(np.array([[3.0, 2.0, 1.0]]))))

        (in_voxels,) = load_annotation(path)
        (in_angstrom,) = load_annotation(str(path), 4.99)

        assert in_voxels.options["units"] == ("pixel",) * 3
        assert in_voxels.options["scale"] == (1.0,) * 3
        assert "in voxels" in in_voxels.options["metadata"][METADATA_KEY]["warnings"][-1]
        assert in_angstrom.options["scale"] == (4.99,) * 3
        assert in_angstrom.options["units"] == ("angstrom",) * 3

    def test_can_be_stopped(self, tmp_path):
        stop = threading.Event()
        stop.set()

        with pytest.raises(StoppedError):
            load_annotation(points_file(tmp_path / "a.ndjson", [point(1, 2, 3)]), stop=stop)


class TestMasks:
    def test_are_multiscale_labels_in_the_objects_colour(self, tmp_path):
        mask = np.zeros(SHAPE_ZYX, np.int8)
        mask[3, 4, 5] = 1
        url = written(tmp_path / "m.zarr", mask, kind="mask")

        (spec,) = load_annotation(make_file(ShapeType.SEGMENTATION_MASK, https_path=url))

        assert spec.kind == "labels"
        assert spec.options["colormap"][1] == color_of("cytosolic ribosome")
        assert spec.options["colormap"][0][3] == 0
        assert np.argwhere(spec.data[0].compute()).tolist() == [[3, 4, 5]]
        assert np.argwhere(spec.data[1].compute()).tolist() == [[1, 2, 2]]

    def test_of_instances_keep_every_id_exactly(self, tmp_path):
        mask = np.zeros(SHAPE_ZYX, np.uint16)
        mask[0, 0, 0], mask[4, 8, 12], mask[20, 29, 42] = 1, 300, 65535
        url = written(tmp_path / "m.zarr", mask, kind="instances")

        (spec,) = load_annotation(make_file(ShapeType.INSTANCE_SEGMENTATION_MASK, https_path=url))

        assert set(np.unique(spec.data[0].compute())) == {0, 1, 300, 65535}
        assert spec.data[0].dtype == np.uint16
        assert spec.options["colormap"] == instance_colormap()

    def test_are_read_from_mrc_too(self, tmp_path):
        mask = np.zeros(SHAPE_ZYX, np.float32)  # some portal masks are float32
        mask[3, 4, 5] = 1
        path = tmp_path / "m.mrc"
        write_mrc(path, mask, 13.48)

        (spec,) = load_annotation(make_file(ShapeType.SEGMENTATION_MASK, format="mrc", https_path=path.as_uri()))

        assert spec.data.dtype.kind in "ui"
        assert np.argwhere(spec.data.compute()).tolist() == [[3, 4, 5]]

    def test_of_fractions_are_refused(self, tmp_path):
        write_mrc(tmp_path / "m.mrc", np.full(SHAPE_ZYX, 0.5, np.float32), 13.48)
        file = make_file(ShapeType.SEGMENTATION_MASK, format="mrc", https_path=(tmp_path / "m.mrc").as_uri())

        with pytest.raises(FormatError, match="whole numbers"):
            load_annotation(file)

    def test_of_float_numbers_too_large_for_the_memory_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(mask_values, "MAX_VOXELS", 1000)
        write_mrc(tmp_path / "m.mrc", np.zeros(SHAPE_ZYX, np.float32), 13.48)
        file = make_file(ShapeType.SEGMENTATION_MASK, format="mrc", https_path=(tmp_path / "m.mrc").as_uri())

        with pytest.raises(FormatError, match="too large"):
            load_annotation(file)

    def test_of_truth_values_are_labels(self, tmp_path):
        import zarr

        mask = np.zeros(SHAPE_ZYX, bool)
        mask[3, 4, 5] = True
        zarr.create_array(tmp_path / "m.zarr", data=mask)

        (spec,) = load_annotation(tmp_path / "m.zarr")

        assert np.argwhere(spec.data.compute()).tolist() == [[3, 4, 5]]

    def test_use_their_own_spacing(self, tmp_path):
        url = written(tmp_path / "m.zarr", np.zeros(SHAPE_ZYX, np.int8), kind="mask")
        file = make_file(
            ShapeType.SEGMENTATION_MASK, https_path=url, voxel_spacing=make_voxel_spacing(voxel_spacing=4.99)
        )

        assert load_annotation(file, make_tomogram())[0].options["scale"] == (4.99,) * 3


@pytest.mark.parametrize("shape_type", [ShapeType.MESH, ShapeType.GLOBAL_CAPTION, ShapeType("Hologram"), None])
def test_other_shapes_are_refused_with_the_reason(shape_type):
    file = make_file(shape_type, format="glb")

    with pytest.raises(FormatError) as caught:
        load_annotation(file)

    assert len(caught.value.message) > 20


def test_names_from_the_portal_are_shown_on_one_line(tmp_path):
    annotation = make_annotation(object_name="ribo\nsome\x1b[31m", run=make_run(name="TS\t026"))

    (spec,) = load_annotation(points_file(tmp_path / "a.ndjson", [point(1, 2, 3)], annotation=annotation))

    assert spec.name == "TS 026 · ribo some [31m · points · AN-1162"
