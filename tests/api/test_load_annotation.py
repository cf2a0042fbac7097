"""Annotations as layer specs: points, arrows, instances, masks, meshes and captions, at their files' positions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from api.files import (
    METADATA,
    QUARTER_TURN_ABOUT_X,
    SHAPE_ZYX,
    point,
    points_zyx_of,
    with_fields,
    write_lines,
    write_mrc,
    write_zarr,
)
from napari_cryoet import FormatError, load_annotation, load_captions


def about(spec):
    return spec.options["metadata"][METADATA]


def world_zyx(spec):
    return spec.data * np.array(spec.options["scale"])


@pytest.fixture
def points_at(find, tmp_path):
    """The demo's ribosomes with other lines, optionally at another spacing."""

    def make(lines, shape="Point", spacing=None, **fields):
        file = find(shape)
        spacing = with_fields(
            file.voxel_spacing, voxel_spacing=spacing or file.voxel_spacing.voxel_spacing
        )
        url = write_lines(tmp_path / "a.ndjson", lines)
        return with_fields(file, https_path=url, voxel_spacing=spacing, **fields)

    return make


class TestPoints:
    def test_have_the_positions_of_the_file(self, find, tomogram):
        file = find("Point", ground_truth_status=True)
        (spec,) = load_annotation(file, tomogram)

        assert spec.kind == "points"
        np.testing.assert_allclose(spec.data, points_zyx_of(file.https_path))
        assert spec.options["scale"] == (file.voxel_spacing.voxel_spacing,) * 3
        assert tuple(spec.options["units"]) == ("angstrom",) * 3

    def test_are_coloured_by_object(self, find, tomogram):
        objects = ("cytosolic ribosome", "fatty acid synthase", "proteasome")
        specs = [
            load_annotation(find("OrientedPoint", object_name=name), tomogram)[0]
            for name in objects
        ]
        (plain,) = load_annotation(find("Point", object_name=objects[0]), tomogram)

        colors = [tuple(spec.options["border_color"]) for spec in specs]
        assert len(set(colors)) == 3
        assert tuple(plain.options["border_color"]) == colors[0]
        assert np.unique(plain.options["size"]) * plain.options["scale"][0] == pytest.approx(300)

    def test_with_orientations_have_arrows_along_z(self, points_at):
        lines = [
            point(1, 2, 3, "orientedPoint", xyz_rotation_matrix=QUARTER_TURN_ABOUT_X),
            point(
                4, 5, 6, "orientedPoint", xyz_rotation_matrix=np.diag([1, 1, -1]).tolist()
            ),  # a mirror
        ]
        points, arrows = load_annotation(points_at(lines, "OrientedPoint", spacing=10.0))

        assert len(points.data) == 2
        assert arrows.kind == "vectors"
        ((start, direction),) = world_zyx(arrows)
        np.testing.assert_allclose(start, [30, 20, 10])
        np.testing.assert_allclose(direction / np.linalg.norm(direction), [0, -1, 0], atol=1e-9)
        assert "2" in about(points).warnings[0]

    def test_are_coloured_by_instance(self, points_at):
        lines = [point(1, 2, 3, "instancePoint", instance_id=number) for number in (1, 1, 2)]
        (spec,) = load_annotation(points_at(lines, "InstanceSegmentation"))

        colors = np.asarray(spec.options["face_color"])
        assert (colors[0] == colors[1]).all()
        assert (colors[0] != colors[2]).any()
        assert list(spec.options["features"]["instance_id"]) == [1, 1, 2]

    def test_have_provenance_as_json(self, find, tomogram):
        file = find("Point", ground_truth_status=True)
        provenance = about(load_annotation(file, tomogram)[0]).to_dict()

        assert json.loads(json.dumps(provenance)) == provenance
        assert provenance["annotation_file_id"] == file.id
        assert provenance["annotation_id"] == file.shape.annotation.id
        assert provenance["object_name"] == "cytosolic ribosome"
        assert provenance["is_ground_truth"] is True
        assert provenance["alignment_id"] == file.alignment_id
        assert provenance["dataset_id"] == 90001

    def test_of_a_bare_file_use_the_given_spacing(self, tmp_path):
        write_lines(tmp_path / "a.ndjson", [point(1, 2, 3)])
        (scaled,) = load_annotation(tmp_path / "a.ndjson", 13.48)
        (unscaled,) = load_annotation(tmp_path / "a.ndjson")

        np.testing.assert_allclose(world_zyx(scaled), np.array([[3, 2, 1]]) * 13.48)
        assert tuple(unscaled.options["units"]) == ("pixel",) * 3
        assert about(unscaled).warnings


class TestMasks:
    @pytest.fixture
    def mask_at(self, find):
        return lambda url, **fields: with_fields(
            find("SegmentationMask", "zarr"), https_path=url, **fields
        )

    def test_are_multiscale_labels(self, mask_at, tmp_path):
        mask = np.zeros(SHAPE_ZYX, np.int8)
        mask[4, 6, 8] = 1
        (spec,) = load_annotation(mask_at(write_zarr(tmp_path / "m.zarr", mask)))

        assert spec.kind == "labels"
        assert [np.argwhere(np.asarray(level)).tolist() for level in spec.data] == [
            [[4, 6, 8]],
            [[2, 3, 4]],
        ]

    def test_keep_all_instance_ids(self, find, tmp_path):
        mask = np.zeros(SHAPE_ZYX, np.uint16)
        mask[0, 0, 0], mask[4, 8, 12], mask[20, 29, 42] = 1, 300, 65535
        file = with_fields(
            find("InstanceSegmentationMask", "zarr"),
            https_path=write_zarr(tmp_path / "m.zarr", mask),
        )
        (spec,) = load_annotation(file)

        assert set(np.unique(np.asarray(spec.data[0]))) == {0, 1, 300, 65535}
        assert spec.data[0].dtype == np.uint16

    def test_of_float_mrc_files_become_integers(self, mask_at, tmp_path):
        mask = np.zeros(SHAPE_ZYX, np.float32)  # some portal masks are float32
        mask[3, 4, 5] = 1
        (spec,) = load_annotation(mask_at(write_mrc(tmp_path / "m.mrc", mask), format="mrc"))

        assert spec.data[0].dtype.kind in "ui"
        assert np.argwhere(np.asarray(spec.data[0])).tolist() == [[3, 4, 5]]
        with pytest.raises(FormatError, match="whole numbers"):
            load_annotation(mask_at(write_mrc(tmp_path / "f.mrc", mask / 2), format="mrc"))


def test_every_portal_shape_becomes_a_layer(find, tomogram):
    kinds = {
        "Point": "points",
        "OrientedPoint": "points",
        "InstanceSegmentation": "points",
        "SegmentationMask": "labels",
        "InstanceSegmentationMask": "labels",
        "Mesh": "surface",
    }
    assert {shape: load_annotation(find(shape), tomogram)[0].kind for shape in kinds} == kinds


def test_meshes_are_in_angstrom_at_any_voxel_spacing(find, tomogram, tmp_path):
    trimesh.creation.box(bounds=((9, 18, 26), (11, 22, 34))).export(tmp_path / "a.glb")
    (spec,) = load_annotation(
        with_fields(find("Mesh"), https_path=(tmp_path / "a.glb").as_uri()), tomogram
    )

    assert spec.kind == "surface"
    world = spec.data[0] * np.array(spec.options["scale"])
    np.testing.assert_allclose([world.min(axis=0), world.max(axis=0)], [[26, 18, 9], [34, 22, 11]])
    assert tuple(spec.options["units"]) == ("angstrom",) * 3
    assert any("unit" in warning for warning in about(spec).warnings)


class TestCaptions:
    def test_are_read_but_not_drawn(self, find):
        file = find("GlobalCaption")
        written = json.loads(Path(file.https_path.removeprefix("file://")).read_text())["captions"]

        assert [caption.text for caption in load_captions(file)] == [
            each["text"] for each in written
        ]
        with pytest.raises(FormatError, match="text"):
            load_annotation(file)

    def test_are_plain_text(self, tmp_path):
        path = tmp_path / "a.json"
        path.write_text(
            json.dumps(
                {"captions": [{"id": 3, "text": "A <b>cisterna</b>."}, {"text": "b\x1b[31m"}]}
            )
        )
        first, second = load_captions(path)

        assert (first.id, first.text) == (3, "A <b>cisterna</b>.")
        assert second.id is None
        assert second.text.isprintable()


def test_layers_on_another_alignment_are_marked_and_not_transformed(find, tomogram):
    file = find("Point", aligned=False)
    (spec,) = load_annotation(file, tomogram)

    assert f"AL-{file.alignment_id}" in spec.name
    assert about(spec).fit["kind"] == "other_alignment"
    assert about(spec).warnings
    np.testing.assert_allclose(
        world_zyx(spec), points_zyx_of(file.https_path) * file.voxel_spacing.voxel_spacing
    )
    assert about(load_annotation(find("Point"), tomogram)[0]).fit["kind"] == "same"


def test_files_without_annotations_are_refused(tmp_path):
    (tmp_path / "a.ndjson").write_text('{"type": "log"}\n')
    (tmp_path / "a.glb").write_bytes(b"solid")
    (tmp_path / "a.json").write_text('{"captions": 3}')
    for load, name in (
        (load_annotation, "a.ndjson"),
        (load_annotation, "a.glb"),
        (load_captions, "a.json"),
    ):
        with pytest.raises(FormatError, match=name):
            load(tmp_path / name)
