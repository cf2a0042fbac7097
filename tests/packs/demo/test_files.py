"""The demo's files: volumes as the tables say, picks on what is dark, masks on what they are about."""

import json

import mrcfile
import numpy as np
import pytest
import zarr
from PIL import Image

from napari_cryoet.meshes import read_mesh
from napari_cryoet.packs.demo.content import HTTPS_PREFIX, RUNS
from napari_cryoet.packs.demo.recipes import RECIPES
from napari_cryoet.packs.demo.rows import FIRST_ID, FIRST_LATER_ID
from napari_cryoet.packs.demo.truth import rng_for, scene_of_run
from napari_cryoet.packs.pack import open_pack


@pytest.fixture(scope="module")
def pack(demo_pack):
    return open_pack(demo_pack)


def path_of(pack, url):
    return pack.files / url.removeprefix(HTTPS_PREFIX)


def volume_of(pack, row, url="httpsOmezarrDir", level="0"):
    return zarr.open_group(path_of(pack, row[url]), mode="r")[level][:]


def points_of(pack, row):
    lines = path_of(pack, row["httpsPath"]).read_text().splitlines()
    return [json.loads(line) for line in lines]


def file_rows(pack, **wanted):
    """Annotation files joined with their shape, annotation and run, that have these values."""
    joined = []
    shapes = {row["id"]: row for row in pack.tables["annotationShapes"]}
    annotations = {row["id"]: row for row in pack.tables["annotations"]}
    runs = {row["id"]: row for row in pack.tables["runs"]}
    spacings = {row["id"]: row for row in pack.tables["tomogramVoxelSpacings"]}
    for file in pack.tables["annotationFiles"]:
        shape = shapes[file["annotationShapeId"]]
        annotation = annotations[shape["annotationId"]]
        row = {
            **annotation,
            **shape,
            **file,
            "run": runs[annotation["runId"]]["name"],
            "voxelSpacing": spacings[file["tomogramVoxelSpacingId"]]["voxelSpacing"],
        }
        if all(row[key] == value for key, value in wanted.items()):
            joined.append(row)
    return joined


def tomogram(pack, run_name, **wanted):
    run = next(row for row in pack.tables["runs"] if row["name"] == run_name)
    rows = [row for row in pack.tables["tomograms"] if row["runId"] == run["id"]]
    return next(row for row in rows if all(row[key] == value for key, value in wanted.items()))


def test_each_volume_has_the_size_and_dtype_that_its_row_says(pack):
    for row in pack.tables["tomograms"]:
        group = zarr.open_group(path_of(pack, row["httpsOmezarrDir"]), mode="r")
        for level in range(3):
            expected = [int(n) for n in row[f"scale{level}Dimensions"].split(",")][::-1]
            assert list(group[str(level)].shape) == expected
        assert group["0"].shape == (row["sizeZ"], row["sizeY"], row["sizeX"])
        assert len(set(group["0"].shape)) == 3, "an exchange of axes can't hide"
        assert group["0"].dtype == np.float32


def test_the_mrc_twin_holds_the_same_voxels(pack):
    modes = set()
    for row in pack.tables["tomograms"]:
        with mrcfile.open(path_of(pack, row["httpsMrcFile"])) as mrc:
            np.testing.assert_array_equal(mrc.data, volume_of(pack, row))
            assert mrc.voxel_size.x == pytest.approx(row["voxelSpacing"], rel=1e-5)
            modes.add(int(mrc.header.mode))
    assert modes == {1, 2}, "int16 as in dataset 10000, and float32"


def test_grey_values_have_a_mean_of_zero_and_no_outliers_beyond_gold(pack):
    for row in pack.tables["tomograms"]:
        volume = volume_of(pack, row)
        assert abs(volume.mean()) < 0.05 * volume.std()
        assert np.isfinite(volume).all()
        assert np.abs(volume).max() < 40 * volume.std()


@pytest.mark.parametrize("run", [run.name for run in RUNS if run.tomograms])
def test_it_is_dark_where_particles_were_planted(pack, run):
    row = tomogram(pack, run, isVisualizationDefault=True)
    volume, spacing = volume_of(pack, row), row["voxelSpacing"]
    truth = scene_of_run(run)
    solid = [key for key in truth.particles if key in {"ribosome", "beta_galactosidase"}]
    places = np.concatenate([truth.positions_voxel_xyz(key, spacing) for key in solid])
    elsewhere = rng_for("test").uniform(1, np.array(volume.shape[::-1]) - 2, (4000, 3))
    dark, usual = darkness(volume, places), darkness(volume, elsewhere)
    effect = (usual.mean() - dark.mean()) / usual.std()
    assert effect > 0.8


def darkness(volume, points_xyz):
    """The mean of the 27 voxels around each point."""
    x, y, z = np.clip(np.round(points_xyz).astype(int).T, 1, np.array(volume.shape[::-1])[:, None] - 2)
    return np.mean([volume[z + k - 1, y + j - 1, x + i - 1] for k, j, i in np.ndindex(3, 3, 3)], axis=0)


def test_the_denoised_tomogram_has_less_noise_and_the_same_content(pack):
    spacing = tomogram(pack, "MIX_001", isVisualizationDefault=True)["voxelSpacing"]
    raw = volume_of(pack, tomogram(pack, "MIX_001", processing="raw"))
    denoised = volume_of(pack, tomogram(pack, "MIX_001", processing="denoised"))
    places = scene_of_run("MIX_001").positions_voxel_xyz("ribosome", spacing)
    elsewhere = rng_for("test").uniform(1, np.array(raw.shape[::-1]) - 2, (2000, 3))
    contrast = [
        (darkness(volume, elsewhere).mean() - darkness(volume, places).mean()) / volume.std()
        for volume in (raw, denoised)
    ]
    assert contrast[1] > 1.2 * contrast[0]
    assert np.corrcoef(raw.ravel(), denoised.ravel())[0, 1] > 0.3


def test_planted_positions_and_rotations_are_in_the_files(pack):
    rows = file_rows(pack, groundTruthStatus=True, shapeType="OrientedPoint", objectName="cytosolic ribosome")
    assert {row["run"] for row in rows} == {"DEMO_001", "DEMO_002", "MIX_001", "MIX_003"}
    for row in rows:
        lines = points_of(pack, row)
        found = np.array([[line["location"][axis] for axis in "xyz"] for line in lines]) * row["voxelSpacing"]
        np.testing.assert_allclose(found, scene_of_run(row["run"]).positions_angstrom_xyz("ribosome"), rtol=1e-12)
        matrices = np.array([line["xyz_rotation_matrix"] for line in lines])
        np.testing.assert_array_equal(matrices, scene_of_run(row["run"]).rotations("ribosome"))
        np.testing.assert_allclose(np.linalg.det(matrices), 1)


def test_object_counts_are_those_in_the_files(pack):
    for row in file_rows(pack, format="ndjson"):
        lines = points_of(pack, row)
        instances = {line["instance_id"] for line in lines if "instance_id" in line}
        assert row["objectCount"] == (len(instances) or len(lines))
    for row in file_rows(pack, shapeType="InstanceSegmentationMask", format="zarr"):
        labels = volume_of(pack, row, "httpsPath")
        assert len(np.unique(labels[labels > 0])) <= row["objectCount"]


def test_masks_are_int8_of_zeros_and_ones_and_instances_uint16_with_their_labels(pack):
    for row in file_rows(pack, format="zarr"):
        labels = volume_of(pack, row, "httpsPath")
        attributes = json.loads((path_of(pack, row["httpsPath"]) / ".zattrs").read_text())
        if row["shapeType"] == "SegmentationMask":
            assert labels.dtype == np.int8
            assert set(np.unique(labels)) == {0, 1}
            continue
        assert labels.dtype == np.uint16
        listed = attributes["multiscales"][0]["metadata"]["image-label"]["colors"]
        assert [entry["label-value"] for entry in listed] == [int(v) for v in np.unique(labels) if v]


def test_a_mask_and_its_mrc_twin_are_equal(pack):
    twins = {row["annotationShapeId"]: row for row in file_rows(pack, format="mrc")}
    assert twins
    for row in file_rows(pack, format="zarr"):
        with mrcfile.open(path_of(pack, twins[row["annotationShapeId"]]["httpsPath"])) as mrc:
            np.testing.assert_array_equal(mrc.data, volume_of(pack, row, "httpsPath"))
            assert int(mrc.header.mode) == (0 if row["shapeType"] == "SegmentationMask" else 6)


def test_the_same_place_is_dark_at_both_spacings(pack):
    fine = tomogram(pack, "DEMO_001", isVisualizationDefault=True)
    coarse = tomogram(pack, "DEMO_001", alignmentId=fine["alignmentId"], voxelSpacing=2 * fine["voxelSpacing"])
    truth = scene_of_run("DEMO_001").positions_angstrom_xyz("ribosome")
    for row in (fine, coarse):
        volume = volume_of(pack, row)
        dark = darkness(volume, truth / row["voxelSpacing"]).mean()
        assert dark < -0.3 * volume.std()


def test_picks_of_the_other_alignment_fit_its_tomogram_and_not_the_default_one(pack):
    default = tomogram(pack, "DEMO_001", isVisualizationDefault=True)
    row = next(
        r for r in file_rows(pack, run="DEMO_001", format="ndjson") if r["alignmentId"] != default["alignmentId"]
    )
    points = np.array([[line["location"][axis] for axis in "xyz"] for line in points_of(pack, row)])
    own = volume_of(pack, tomogram(pack, "DEMO_001", alignmentId=row["alignmentId"]))
    other = volume_of(
        pack, tomogram(pack, "DEMO_001", alignmentId=default["alignmentId"], voxelSpacing=row["voxelSpacing"])
    )
    there, here = (darkness(volume, points).mean() / volume.std() for volume in (own, other))
    assert there < -0.4
    assert here > there + 0.3


def test_the_tilt_series_has_an_image_for_every_angle(pack):
    for row in pack.tables["tiltseries"]:
        angles = [float(line) for line in path_of(pack, row["httpsAngleList"]).read_text().split()]
        images = volume_of(pack, row)
        assert images.shape == (len(angles), row["sizeY"], row["sizeX"])
        assert (angles[0], angles[-1]) == (row["tiltMin"], row["tiltMax"])
        means = images.mean(axis=(1, 2))
        assert np.argmax(means) == angles.index(0.0), "high tilts are darker"
        with mrcfile.open(path_of(pack, row["httpsMrcFile"])) as mrc:
            np.testing.assert_array_equal(mrc.data, images)


def test_captions_have_the_portals_form(pack):
    captions = file_rows(pack, format="json")
    assert {row["shapeType"] for row in captions} == {"GlobalCaption", "AnnotationCaption"}
    for row in captions:
        content = json.loads(path_of(pack, row["httpsPath"]).read_text())
        assert content["captions"][0]["id"] == 0
        assert content["captions"][0]["text"]
        assert row["httpsPath"].endswith(("_globalcaption.json", "_orientedpoint_caption.json"))


def test_the_mesh_lies_on_the_vesicles_in_angstrom(pack):
    (row,) = file_rows(pack, shapeType="Mesh")
    assert (row["run"], row["format"], row["objectCount"]) == ("DEMO_001", "glb", 3)
    assert row["httpsPath"].endswith("/109/membrane-1.0_triangularmesh.glb")
    mesh = read_mesh(path_of(pack, row["httpsPath"]).read_bytes(), "mesh")
    vesicles = [membrane for membrane in RECIPES["cytoplasm"].membranes if membrane.name == "vesicle"]
    x, y, z = mesh.vertices_zyx[:, ::-1].T
    nearest = np.min([np.abs(vesicle.distance(x, y, z)) for vesicle in vesicles], axis=0)
    assert nearest.max() < 1


def test_what_came_later_took_no_id_that_was_there(pack):
    for table in ("annotations", "annotationShapes", "annotationFiles", "annotationAuthors"):
        ids = [row["id"] for row in pack.tables[table]]
        older = [number for number in ids if number < FIRST_LATER_ID]
        assert older == list(range(FIRST_ID, FIRST_ID + len(older)))
        assert len(set(ids)) == len(ids) > len(older)


def test_photos_are_pictures_of_the_data(pack):
    urls = {
        row[column]: side
        for table in ("datasets", "depositions", "tomograms")
        for row in pack.tables[table]
        for column, side in (("keyPhotoUrl", 512), ("keyPhotoThumbnailUrl", 134))
        if row[column]
    }
    assert len(urls) >= 2 * (2 + 2 + len(pack.tables["tomograms"])) - 8
    for url, side in urls.items():
        picture = Image.open(path_of(pack, url))
        assert picture.format == "PNG"
        assert max(picture.size) == side
        assert np.asarray(picture).std() > 20, "with good contrast"
