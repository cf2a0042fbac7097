"""Loading annotations: points, arrows, instances and masks, each where its file puts it."""

import json
import threading

import numpy as np
import pytest
import trimesh

from loading_files import QUARTER_TURN_ABOUT_X, SHAPE_ZYX, point, points_file, written
from napari_cryoet import mask_values
from napari_cryoet.appearance.colors import color_of, instance_colormap
from napari_cryoet.captions import Caption
from napari_cryoet.exceptions import FormatError, StoppedError
from napari_cryoet.formats.ndjson import Points, write_points
from napari_cryoet.layer_spec import METADATA_KEY, PICKS_KEY
from napari_cryoet.loading import load_annotation, load_captions
from napari_cryoet.packs.portal_zarr import write_mrc
from napari_cryoet.pick_files import missing_for, write_picks
from napari_cryoet.picks import Picks
from napari_cryoet.records import ShapeType
from samples import make_annotation, make_file, make_run, make_tomogram, make_voxel_spacing


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

    def test_know_the_size_of_their_volume_from_a_tomogram_of_the_run_with_their_grid(self, tmp_path):
        file = points_file(tmp_path / "a.ndjson", [point(1.0, 2.0, 3.5)])
        finer, own = make_tomogram(id=1, voxel_spacing=6.74, size_x=80), make_tomogram()

        def picks_over(*given, **more):
            return load_annotation(file, *given, **more)[0].options["metadata"][PICKS_KEY]

        assert picks_over(own).shape_zyx == picks_over(finer, run_tomograms=(finer, own)).shape_zyx == (20, 30, 40)
        assert missing_for(picks_over(own), "relion5") == ()
        assert picks_over().shape_zyx is picks_over(finer).shape_zyx is picks_over(13.48).shape_zyx is None

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

    def test_of_our_own_export_keep_their_ids_without_the_provenance_beside_it(self, tmp_path):
        made = write_picks(Picks([[1.0, 2.0, 3.0]] * 2, ids=[7, 3]), tmp_path / "a.ndjson")
        made.provenance_path.unlink()
        (spec,) = load_annotation(made.path)

        assert spec.options["features"]["pick_id"].tolist() == [7, 3]

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


@pytest.mark.parametrize("shape_type", [ShapeType.GLOBAL_CAPTION, "Hologram", None])
def test_other_shapes_are_refused_with_the_reason(shape_type):
    file = make_file(shape_type, format="glb")

    with pytest.raises(FormatError) as caught:
        load_annotation(file)

    assert len(caught.value.message) > 20


class TestMeshes:
    @pytest.fixture
    def url(self, tmp_path):
        box = trimesh.creation.box(bounds=((9, 18, 26), (11, 22, 34)))
        box.export(tmp_path / "a.glb")
        return (tmp_path / "a.glb").as_uri()

    @pytest.mark.parametrize("spacing", [13.48, 4.99])
    def test_lie_in_angstrom_whatever_the_voxel_spacing(self, url, spacing):
        file = make_file(
            ShapeType.MESH, format="glb", https_path=url, voxel_spacing=make_voxel_spacing(voxel_spacing=spacing)
        )

        (spec,) = load_annotation(file, make_tomogram(voxel_spacing=10.012))

        assert spec.kind == "surface"
        assert spec.options["scale"] == (spacing,) * 3
        assert spec.options["units"] == ("angstrom",) * 3
        world_zyx = spec.data[0] * spec.options["scale"]
        np.testing.assert_allclose([world_zyx.min(axis=0), world_zyx.max(axis=0)], [[26, 18, 9], [34, 22, 11]])
        assert spec.name == "TS_026 · cytosolic ribosome · mesh · AN-1162"

    def test_say_that_their_unit_is_an_assumption(self, url):
        (spec,) = load_annotation(make_file(ShapeType.MESH, format="glb", https_path=url))

        warnings = spec.options["metadata"][METADATA_KEY]["warnings"]
        assert any("doesn't say its unit: it is drawn as ångström" in warning for warning in warnings)
        assert any("in 3D" in warning for warning in warnings)

    def test_of_a_bare_file_lie_in_angstrom_too(self, url):
        (spec,) = load_annotation(url)

        assert spec.options["scale"] == (1.0,) * 3
        np.testing.assert_allclose(spec.data[0].max(axis=0), [34, 22, 11])

    def test_that_are_none_are_refused(self, tmp_path):
        (tmp_path / "a.glb").write_bytes(b"solid")

        with pytest.raises(FormatError, match=r"a\.glb can't be shown as a mesh"):
            load_annotation(make_file(ShapeType.MESH, format="glb", https_path=(tmp_path / "a.glb").as_uri()))


class TestCaptions:
    def test_are_read_from_a_record_and_from_a_bare_file(self, tmp_path):
        path = tmp_path / "a_globalcaption.json"
        path.write_text(json.dumps({"captions": [{"id": 3, "text": "A <b>cisterna</b>."}]}))
        file = make_file(ShapeType.GLOBAL_CAPTION, format="json", https_path=path.as_uri())

        assert load_captions(file) == load_captions(path) == (Caption(3, "A <b>cisterna</b>."),)

    def test_are_not_drawn_and_what_is_drawn_is_no_caption(self, tmp_path):
        with pytest.raises(FormatError, match="load_captions"):
            load_annotation(make_file(ShapeType.GLOBAL_CAPTION, format="json"))
        with pytest.raises(FormatError, match="load_annotation"):
            load_captions(make_file())


class TestOnAnotherAlignment:
    def test_layers_say_so_in_their_names_and_metadata(self, tmp_path):
        lines = [point(1, 2, 3, "orientedPoint", xyz_rotation_matrix=QUARTER_TURN_ABOUT_X)]
        file = points_file(tmp_path / "a.ndjson", lines, ShapeType.ORIENTED_POINT, alignment_id=17)

        points, arrows = load_annotation(file, make_tomogram(alignment_id=18))

        assert points.name == "TS_026 · cytosolic ribosome · oriented points · AN-1162 · made on AL-17"
        assert arrows.name.endswith("made on AL-17 · orientation")
        for spec in (points, arrows):
            about = spec.options["metadata"][METADATA_KEY]
            assert about["fit"] == {"kind": "other_alignment", "tomogram_id": 629, "tomogram_alignment_id": 18}
            assert "made on another alignment of this run (AL-17)" in about["warnings"][0]
            assert json.loads(json.dumps(about)) == about

    def test_positions_are_never_transformed(self, tmp_path):
        file = points_file(tmp_path / "a.ndjson", [point(1, 2, 3)], alignment_id=17)

        (aligned,), (unaligned,) = (load_annotation(file, make_tomogram(alignment_id=each)) for each in (17, 18))

        np.testing.assert_array_equal(aligned.data, unaligned.data)
        assert aligned.options["scale"] == unaligned.options["scale"]
        assert "made on" not in aligned.name
        assert aligned.options["metadata"][METADATA_KEY]["fit"]["kind"] == "same"

    def test_masks_say_so_too(self, tmp_path):
        url = written(tmp_path / "m.zarr", np.zeros(SHAPE_ZYX, np.int8), kind="mask")
        file = make_file(ShapeType.SEGMENTATION_MASK, https_path=url, alignment_id=None)

        (spec,) = load_annotation(file, make_tomogram(alignment_id=18))

        assert spec.name.endswith(" · alignment unknown")
        assert spec.options["metadata"][METADATA_KEY]["warnings"]


def test_names_from_the_portal_are_shown_on_one_line(tmp_path):
    annotation = make_annotation(object_name="ribo\nsome\x1b[31m", run=make_run(name="TS\t026"))

    (spec,) = load_annotation(points_file(tmp_path / "a.ndjson", [point(1, 2, 3)], annotation=annotation))

    assert spec.name == "TS 026 · ribo some [31m · points · AN-1162"
