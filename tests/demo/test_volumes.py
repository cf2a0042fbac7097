"""The truth is where it stays in the volumes: tomograms are dark there, masks and picks lie on it."""

import json

import mrcfile
import numpy as np
import pytest
import zarr

from napari_cryoet.demo.rows import MANIFEST
from napari_cryoet.demo.scenes import MOLECULES, RECIPES, scene_of_run
from napari_cryoet.formats.mesh import read_mesh
from napari_cryoet.packs.pack import open_pack

TOMOGRAM_RUNS = ("DEMO_001", "DEMO_002", "DEMO_003", "MIX_001", "MIX_002", "MIX_003")


@pytest.fixture(scope="module")
def pack(demo_pack):
    return open_pack(demo_pack)


@pytest.fixture(scope="module")
def files(pack):
    """Annotation files, joined with their shape, annotation, run and voxel spacing."""
    by_id = {name: {row["id"]: row for row in pack.tables[name]} for name in pack.tables}
    joined = []
    for file in pack.tables["annotationFiles"]:
        shape = by_id["annotationShapes"][file["annotationShapeId"]]
        annotation = by_id["annotations"][shape["annotationId"]]
        spacing = by_id["tomogramVoxelSpacings"][file["tomogramVoxelSpacingId"]]["voxelSpacing"]
        about = {"run": by_id["runs"][annotation["runId"]]["name"], "voxelSpacing": spacing}
        joined.append({**annotation, **shape, **file, **about})
    return joined


def chosen(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def tomogram(pack, run_name, **wanted):
    (run,) = chosen(pack.tables["runs"], name=run_name)
    return chosen(pack.tables["tomograms"], runId=run["id"], **wanted)[0]


def path_of(pack, url):
    return pack.files / url.removeprefix(MANIFEST.https_prefix)


def volume_of(pack, row, column="httpsOmezarrDir"):
    return zarr.open_group(path_of(pack, row[column]), mode="r")["0"][:]


def points_of(pack, file):
    """Positions in ångström."""
    lines = [json.loads(line) for line in path_of(pack, file["httpsPath"]).read_text().splitlines()]
    return np.array([[line["location"][axis] for axis in "xyz"] for line in lines]) * file["voxelSpacing"], lines


def darkness(volume, row, points_xyz):
    """How dark it is around points in ångström, in standard deviations."""
    z, y, x = (np.round(points_xyz.T / row["voxelSpacing"]).astype(int))[::-1]
    padded = np.pad(volume, 1, mode="edge")
    around = [padded[z + k, y + j, x + i] for k, j, i in np.ndindex(3, 3, 3)]
    return -np.mean(around) / volume.std()


def grid_xyz(volume, file):
    return np.moveaxis(np.indices(volume.shape)[::-1], 0, -1) * file["voxelSpacing"]


def test_each_volume_and_its_mrc_twin_are_what_the_row_says(pack):
    modes = set()
    for row in pack.tables["tomograms"]:
        volume = volume_of(pack, row)
        assert volume.shape == (row["sizeZ"], row["sizeY"], row["sizeX"])
        assert len(set(volume.shape)) == 3, "an exchange of axes can't hide"
        assert abs(volume.mean()) < 0.05 * volume.std()
        assert np.abs(volume).max() < 40 * volume.std()
        with mrcfile.open(path_of(pack, row["httpsMrcFile"])) as mrc:
            np.testing.assert_array_equal(mrc.data, volume)
            assert mrc.voxel_size.x == pytest.approx(row["voxelSpacing"], rel=1e-5)
            modes.add(int(mrc.header.mode))
    assert modes == {1, 2}


@pytest.mark.parametrize("run", TOMOGRAM_RUNS)
def test_it_is_dark_where_particles_were_planted(pack, run):
    row, truth = tomogram(pack, run, isVisualizationDefault=True), scene_of_run(run)
    volume = volume_of(pack, row)
    solid = truth.recipe.particles.keys() & {"ribosome", "beta_galactosidase"}
    places = np.concatenate([truth.positions_angstrom_xyz[kind] for kind in solid])
    elsewhere = np.random.default_rng(0).uniform(0, truth.recipe.extent_xyz, (4000, 3))
    assert darkness(volume, row, places) > darkness(volume, row, elsewhere) + 0.2


def test_the_wedge_that_was_not_imaged_is_missing(pack):
    volume = volume_of(pack, tomogram(pack, "DEMO_002"))
    window = np.hanning(volume.shape[0])[:, None, None] * np.hanning(volume.shape[2])
    power = np.abs(np.fft.fftn(volume * window)) ** 2
    kz, kx = np.fft.fftfreq(volume.shape[0])[:, None, None], np.fft.fftfreq(volume.shape[2])
    radius, angle = np.hypot(kz, kx) + 0 * power, np.degrees(np.arctan2(np.abs(kz), np.abs(kx))) + 0 * power
    ring = (radius > 0.15) & (radius < 0.3)
    assert power[ring & (angle > 75)].mean() < 0.1 * power[ring & (angle < 50)].mean()


def test_one_place_is_dark_at_both_spacings_and_moves_with_the_alignment(pack, files):
    fine = tomogram(pack, "DEMO_001", isVisualizationDefault=True)
    coarse = tomogram(pack, "DEMO_001", alignmentId=fine["alignmentId"], voxelSpacing=2 * fine["voxelSpacing"])
    (file,) = [file for file in chosen(files, run="DEMO_001") if file["alignmentId"] != fine["alignmentId"]]
    other = tomogram(pack, "DEMO_001", alignmentId=file["alignmentId"])
    truth = scene_of_run("DEMO_001").positions_angstrom_xyz["ribosome"]
    moved, _ = points_of(pack, file)
    assert darkness(volume_of(pack, fine), fine, truth) > 0.3
    assert darkness(volume_of(pack, coarse), coarse, truth) > 0.3
    volume = volume_of(pack, other)
    inside = truth[(truth < other["voxelSpacing"] * (np.array(volume.shape[::-1]) - 1)).all(axis=1)]
    assert darkness(volume, other, moved) > darkness(volume, other, inside) + 0.1


def test_planted_positions_and_rotations_are_in_the_files(pack, files):
    planted = chosen(files, groundTruthStatus=True, shapeType="OrientedPoint", objectName="cytosolic ribosome")
    assert {file["run"] for file in planted} == {"DEMO_001", "DEMO_002", "MIX_001", "MIX_003"}
    for file in planted:
        positions, lines = points_of(pack, file)
        truth = scene_of_run(file["run"])
        np.testing.assert_allclose(positions, truth.positions_angstrom_xyz["ribosome"], rtol=1e-12)
        np.testing.assert_array_equal([line["xyz_rotation_matrix"] for line in lines], truth.rotations["ribosome"])


def test_annotators_err_as_they_are_said_to(pack, files):
    truth = scene_of_run("DEMO_001")
    planted = truth.positions_angstrom_xyz["ribosome"]
    found = {}
    for kind in ("manual", "hybrid", "automated"):
        file = chosen(files, run="DEMO_001", methodType=kind, objectName="cytosolic ribosome")[0]
        points, lines = points_of(pack, file)
        separations = np.linalg.norm(points[:, None] - planted[None], axis=-1)
        found[kind] = file, points, lines, separations.min(axis=1), separations.argmin(axis=1)
    assert 0.85 * len(planted) < len(found["manual"][1]) < len(planted)
    assert 0 < np.median(found["manual"][3]) < 20
    file, _, lines, distance, partner = found["hybrid"]
    hits = distance < 25
    assert 100 * hits.mean() == pytest.approx(file["confidencePrecision"], abs=2)
    assert 100 * hits.sum() / len(planted) == pytest.approx(file["confidenceRecall"], abs=2)
    matrices = np.array([line["xyz_rotation_matrix"] for line in lines])
    traces = np.einsum("nij,nij->n", matrices, truth.rotations["ribosome"][partner])
    assert 0 < np.median(np.degrees(np.arccos(np.clip((traces[hits] - 1) / 2, -1, 1)))) < 10
    _, points, _, distance, partner = found["automated"]
    close = distance < 110
    assert np.median((points - planted[partner])[close], axis=0) == pytest.approx([38, -26, 22], abs=15)


def test_masks_follow_the_geometry(pack, files):
    for file in chosen(files, format="zarr"):
        labels, recipe = volume_of(pack, file, "httpsPath"), scene_of_run(file["run"]).recipe
        assert labels.dtype == (np.int8 if file["shapeType"] == "SegmentationMask" else np.uint16)
        (twin,) = chosen(files, annotationShapeId=file["annotationShapeId"], format="mrc")
        with mrcfile.open(path_of(pack, twin["httpsPath"])) as mrc:
            np.testing.assert_array_equal(mrc.data, labels)
        x, y, z = np.moveaxis(grid_xyz(labels, file), -1, 0)
        if file["objectName"] == "membrane":
            nearest = np.min([np.abs(membrane.distance(x, y, z)) for membrane in recipe.membranes], axis=0)
            assert nearest[labels > 0].max() <= 0.6 * file["voxelSpacing"] + 32
            assert (labels[nearest < 15] > 0).mean() > 0.99
        elif file["objectName"] == "microtubule":
            for number, tube in enumerate(recipe.microtubules, start=1):
                points = grid_xyz(labels, file)[labels == number]
                assert tube.distance(points).max() < 150
        elif file["objectName"] == "mitochondrion":
            assert (labels > 0).sum() == pytest.approx((recipe.membranes[0].distance(x, y, z) < 32).sum())
        else:
            centres = scene_of_run(file["run"]).positions_angstrom_xyz["apoferritin"]
            i, j, k = np.round(centres.T / file["voxelSpacing"]).astype(int)
            assert labels[k, j, i].tolist() == list(range(1, len(centres) + 1))
            radius = MOLECULES["apoferritin"].radius
            assert np.count_nonzero(labels == 1) * file["voxelSpacing"] ** 3 == pytest.approx(4.2 * radius**3, rel=0.5)


def test_the_mesh_lies_on_the_vesicles(pack, files):
    (file,) = chosen(files, shapeType="Mesh")
    mesh = read_mesh(path_of(pack, file["httpsPath"]).read_bytes(), "mesh")
    vesicles = [membrane for membrane in RECIPES["cytoplasm"].membranes if membrane.name == "vesicle"]
    x, y, z = mesh.vertices_zyx[:, ::-1].T
    assert np.min([np.abs(vesicle.distance(x, y, z)) for vesicle in vesicles], axis=0).max() < 1
    assert file["objectCount"] == len(vesicles)


def test_the_tilt_series_shows_the_scene_at_every_angle(pack):
    assert len(pack.tables["tiltseries"]) == 2
    for row in pack.tables["tiltseries"]:
        angles = [float(line) for line in path_of(pack, row["httpsAngleList"]).read_text().split()]
        images = volume_of(pack, row)
        assert images.shape == (len(angles), row["sizeY"], row["sizeX"])
        assert (angles[0], angles[-1]) == (row["tiltMin"], row["tiltMax"])
        means = images.mean(axis=(1, 2))
        assert max(means[0], means[-1]) < 0.8 * means[angles.index(0)], "high tilts are darker"
        with mrcfile.open(path_of(pack, row["httpsMrcFile"])) as mrc:
            np.testing.assert_array_equal(mrc.data, images)
        (run,) = chosen(pack.tables["runs"], id=row["runId"])
        truth = scene_of_run(run["name"])
        x, y, z = truth.positions_angstrom_xyz["ribosome"].T
        middle = (np.array(images.shape[:0:-1]) // 2) * row["pixelSpacing"]
        depth = round(truth.recipe.extent_xyz[2] / row["pixelSpacing"] / 2) * row["pixelSpacing"]
        for number in (5, 20, 35):
            tilt = np.deg2rad(angles[number])
            across = (x - middle[0]) * np.cos(tilt) + (z - depth) * np.sin(tilt) + middle[0]
            i, j = np.round(np.array([across, y]) / row["pixelSpacing"]).astype(int)
            kept = (i >= 0) & (i < images.shape[2])
            assert images[number, j[kept], i[kept]].mean() < images[number].mean() - 0.2 * images[number].std()
