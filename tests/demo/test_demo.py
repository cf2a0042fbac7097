"""The demo: the same on every machine, with consistent rows and files, and the ground truth visible in volumes."""

import hashlib
import json
from collections import Counter

import mrcfile
import numpy as np
import pytest
import zarr
from PIL import Image

from napari_cryoet.demo.rows import MANIFEST, RUNS
from napari_cryoet.demo.scenes import RECIPES, scene
from napari_cryoet.demo.write import demo_folder, ensure_demo_pack, write_demo_pack
from napari_cryoet.exceptions import ExistsError, SaveError, StoppedError
from napari_cryoet.formats.mesh import read_mesh
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.records import ShapeType
from napari_cryoet.task import Task
from packs.pack_check import problems_of

TOMOGRAM_RUNS = ("DEMO_001", "DEMO_002", "DEMO_003", "MIX_001", "MIX_002", "MIX_003")


@pytest.fixture(scope="module")
def pack(demo_pack):
    return open_pack(demo_pack)


@pytest.fixture(scope="module")
def tables(pack):
    return {name: pack.tables[name] for name in pack.tables}


@pytest.fixture(scope="module")
def files(tables):
    """Annotation files joined with their shape, annotation, run and voxel spacing."""
    by_id = {name: {row["id"]: row for row in rows} for name, rows in tables.items()}
    joined = []
    for file in tables["annotationFiles"]:
        shape = by_id["annotationShapes"][file["annotationShapeId"]]
        annotation = by_id["annotations"][shape["annotationId"]]
        spacing = by_id["tomogramVoxelSpacings"][file["tomogramVoxelSpacingId"]]["voxelSpacing"]
        about = {"run": by_id["runs"][annotation["runId"]]["name"], "voxelSpacing": spacing}
        joined.append({**annotation, **shape, **file, **about})
    return joined


def select(rows, **conditions):
    return [row for row in rows if all(row[key] == value for key, value in conditions.items())]


def tomogram(tables, run_name, **conditions):
    (run,) = select(tables["runs"], name=run_name)
    return select(tables["tomograms"], runId=run["id"], **conditions)[0]


def path_of(pack, url):
    return pack.files / url.removeprefix(MANIFEST.https_prefix)


def volume_of(pack, row, column="httpsOmezarrDir"):
    return zarr.open_group(path_of(pack, row[column]), mode="r")["0"][:]


def points_of(pack, file):
    """Positions in ångström, and their lines."""
    lines = [json.loads(line) for line in path_of(pack, file["httpsPath"]).read_text().splitlines()]
    return np.array([[line["location"][axis] for axis in "xyz"] for line in lines]) * file[
        "voxelSpacing"
    ], lines


def darkness(volume, row, points_xyz):
    """Darkness around points in ångström, in standard deviations."""
    z, y, x = (np.round(points_xyz.T / row["voxelSpacing"]).astype(int))[::-1]
    padded = np.pad(volume, 1, mode="edge")
    around = [padded[z + k, y + j, x + i] for k, j, i in np.ndindex(3, 3, 3)]
    return -np.mean(around) / volume.std()


# scenes


def scene_of_run(name):
    return scene(next(run.scene for run in RUNS if run.name == name))


def test_the_seed_gives_the_same_scenes():
    digest = hashlib.sha256()
    for name in sorted(RECIPES):
        truth = scene(name)
        for kind in sorted(truth.recipe.particles):
            for numbers in (truth.positions_angstrom_xyz[kind], truth.rotations[kind]):
                digest.update(np.round(numbers, 3) + 0.0)  # no negative zero
    assert digest.hexdigest()[:16] == "2cd0a1a147be69e7"


# rows and files


def test_the_pack_has_no_problems(pack):
    assert problems_of(pack, with_files=True) == ()


def test_the_demo_has_the_expected_contents(tables):
    names = {run["id"]: run["name"] for run in tables["runs"]}
    tomograms = Counter(names[row["runId"]] for row in tables["tomograms"])
    annotations = Counter(names[row["runId"]] for row in tables["annotations"])
    assert tomograms == {
        "DEMO_001": 4,
        "DEMO_002": 1,
        "DEMO_003": 1,
        "MIX_001": 2,
        "MIX_002": 1,
        "MIX_003": 1,
    }
    assert annotations == {"DEMO_001": 12, "DEMO_002": 4, "MIX_001": 5, "MIX_002": 2, "MIX_003": 2}
    assert {row["shapeType"] for row in tables["annotationShapes"]} == set(ShapeType)
    assert None in {row["alignmentId"] for row in tables["annotationFiles"]}
    assert {row["sampleType"] for row in tables["datasets"]} == {"in_silico"}
    authors = [row for name, rows in tables.items() if name.endswith("Authors") for row in rows]
    assert {row["orcid"][:15] for row in authors} == {"0000-0000-0000-"}, "fictional ORCIDs"


def test_volumes_and_mrc_files_match_their_rows(pack, tables, files):
    for row in tables["tomograms"]:
        volume = volume_of(pack, row)
        assert volume.shape == (row["sizeZ"], row["sizeY"], row["sizeX"])
        assert len(set(volume.shape)) == 3, "all sides must differ to reveal swapped axes"
        with mrcfile.open(path_of(pack, row["httpsMrcFile"])) as mrc:
            np.testing.assert_array_equal(mrc.data, volume)
            assert mrc.voxel_size.x == pytest.approx(row["voxelSpacing"], rel=1e-5)
            assert row["fileSizeMrc"] == path_of(pack, row["httpsMrcFile"]).stat().st_size
        photo = Image.open(path_of(pack, row["keyPhotoUrl"]))
        assert (max(photo.size), np.asarray(photo).std() > 20) == (512, True)
    for file in select(files, format="zarr"):
        (twin,) = select(files, annotationShapeId=file["annotationShapeId"], format="mrc")
        with mrcfile.open(path_of(pack, twin["httpsPath"])) as mrc:
            np.testing.assert_array_equal(mrc.data, volume_of(pack, file, "httpsPath"))


# the truth


@pytest.mark.parametrize("run", TOMOGRAM_RUNS)
def test_volumes_are_dark_at_planted_particles(pack, tables, run):
    row, truth = tomogram(tables, run, isVisualizationDefault=True), scene_of_run(run)
    volume = volume_of(pack, row)
    solid = truth.recipe.particles.keys() & {"ribosome", "beta_galactosidase"}
    positions = np.concatenate([truth.positions_angstrom_xyz[kind] for kind in solid])
    elsewhere = np.random.default_rng(0).uniform(0, truth.recipe.extent_xyz, (4000, 3))
    assert darkness(volume, row, positions) > darkness(volume, row, elsewhere) + 0.2
    if run == "MIX_003":
        last_xyz = (np.array(volume.shape[::-1]) - 1) * row["voxelSpacing"]
        for axis in range(3):
            mirrored = np.where(np.arange(3) == axis, last_xyz - positions, positions)
            assert darkness(volume, row, mirrored) < darkness(volume, row, positions) / 2


def test_particles_are_dark_at_both_spacings_and_follow_the_alignment(pack, tables, files):
    fine = tomogram(tables, "DEMO_001", isVisualizationDefault=True)
    coarse = tomogram(
        tables, "DEMO_001", alignmentId=fine["alignmentId"], voxelSpacing=2 * fine["voxelSpacing"]
    )
    (file,) = [
        file for file in select(files, run="DEMO_001") if file["alignmentId"] != fine["alignmentId"]
    ]
    other = tomogram(tables, "DEMO_001", alignmentId=file["alignmentId"])
    truth = scene_of_run("DEMO_001").positions_angstrom_xyz["ribosome"]
    moved, _ = points_of(pack, file)
    assert darkness(volume_of(pack, coarse), coarse, truth) > 0.3
    volume = volume_of(pack, other)
    inside = truth[(truth < other["voxelSpacing"] * (np.array(volume.shape[::-1]) - 1)).all(axis=1)]
    assert darkness(volume, other, moved) > darkness(volume, other, inside) + 0.1


def test_planted_positions_and_rotations_are_in_the_files(pack, files):
    for file in select(
        files, groundTruthStatus=True, shapeType="OrientedPoint", objectName="cytosolic ribosome"
    ):
        positions, lines = points_of(pack, file)
        truth = scene_of_run(file["run"])
        np.testing.assert_allclose(positions, truth.positions_angstrom_xyz["ribosome"], rtol=1e-12)
        np.testing.assert_array_equal(
            [line["xyz_rotation_matrix"] for line in lines], truth.rotations["ribosome"]
        )


def test_annotators_have_the_stated_precision_and_recall(pack, files):
    planted = scene_of_run("DEMO_001").positions_angstrom_xyz["ribosome"]
    (file,) = select(files, run="DEMO_001", methodType="hybrid", objectName="cytosolic ribosome")
    points, _ = points_of(pack, file)
    hits = np.linalg.norm(points[:, None] - planted[None], axis=-1).min(axis=1) < 25
    assert 100 * hits.mean() == pytest.approx(file["confidencePrecision"], abs=2)
    assert 100 * hits.sum() / len(planted) == pytest.approx(file["confidenceRecall"], abs=2)


def test_masks_and_meshes_follow_the_geometry(pack, files):
    for file in select(files, format="zarr", objectName="membrane"):
        labels = volume_of(pack, file, "httpsPath")
        z, y, x = np.indices(labels.shape) * file["voxelSpacing"]
        membranes = scene_of_run(file["run"]).recipe.membranes
        nearest = np.min([np.abs(membrane.distance(x, y, z)) for membrane in membranes], axis=0)
        assert nearest[labels > 0].max() <= 0.6 * file["voxelSpacing"] + 32
        assert (labels[nearest < 15] > 0).mean() > 0.99
    for file in select(files, format="zarr", objectName="apoferritin"):
        labels = volume_of(pack, file, "httpsPath")
        centres = scene_of_run(file["run"]).positions_angstrom_xyz["apoferritin"]
        x, y, z = np.round(centres.T / file["voxelSpacing"]).astype(int)
        assert labels[z, y, x].tolist() == list(range(1, len(centres) + 1))
    (file,) = select(files, shapeType="Mesh")
    x, y, z = (
        read_mesh(path_of(pack, file["httpsPath"]).read_bytes(), "mesh").vertices_zyx[:, ::-1].T
    )
    vesicles = [
        membrane for membrane in RECIPES["cytoplasm"].membranes if membrane.name == "vesicle"
    ]
    assert np.min([np.abs(vesicle.distance(x, y, z)) for vesicle in vesicles], axis=0).max() < 1


def test_the_tilt_series_shows_the_scene_at_every_angle(pack, tables):
    row = tables["tiltseries"][0]
    angles = [float(line) for line in path_of(pack, row["httpsAngleList"]).read_text().split()]
    images = volume_of(pack, row)
    assert images.shape == (len(angles), row["sizeY"], row["sizeX"])
    (run,) = select(tables["runs"], id=row["runId"])
    truth = scene_of_run(run["name"])
    x, y, z = truth.positions_angstrom_xyz["ribosome"].T
    middle = images.shape[2] // 2 * row["pixelSpacing"]
    depth = round(truth.recipe.extent_xyz[2] / row["pixelSpacing"] / 2) * row["pixelSpacing"]
    for number in (5, 20, 35):
        tilt = np.deg2rad(angles[number])
        across = (x - middle) * np.cos(tilt) + (z - depth) * np.sin(tilt) + middle
        i, j = np.round(np.array([across, y]) / row["pixelSpacing"]).astype(int)
        kept = (i >= 0) & (i < images.shape[2])
        assert (
            images[number, j[kept], i[kept]].mean()
            < images[number].mean() - 0.2 * images[number].std()
        )


# writing


def files_below(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_writing_again_gives_the_same_bytes(tmp_path, demo_pack):
    write_demo_pack(tmp_path / "again", size="tiny")
    assert files_below(demo_pack) == files_below(tmp_path / "again")


def test_a_nonempty_folder_is_left_unchanged(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(ExistsError):
        write_demo_pack(tmp_path, size="tiny")
    with pytest.raises(SaveError, match="thesis"):
        write_demo_pack(tmp_path / "thesis.txt" / "demo")
    assert files_below(tmp_path) == {"thesis.txt": b"dear"}


def test_stopping_leaves_no_files(tmp_path):
    task = Task(lambda *_: task.stop())
    with pytest.raises(StoppedError):
        write_demo_pack(tmp_path / "demo", size="tiny", task=task)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_concurrent_calls_create_the_demo_once():
    demo_folder().mkdir(parents=True)  # like a damaged one
    shares = []

    def stop_when_waiting(_share, words):
        if "Waiting" in words:
            waiting.stop()

    waiting = Task(stop_when_waiting)

    def start_second_call(share, _words):
        shares.append(share)
        if len(shares) == 2:
            with pytest.raises(StoppedError):
                ensure_demo_pack(waiting, size="tiny")

    folder = ensure_demo_pack(Task(start_second_call), size="tiny")
    assert open_pack(folder).tables["datasets"]
    assert (shares, shares[-1]) == (sorted(shares), 1)
    assert ensure_demo_pack(Task(lambda *_: pytest.fail("the demo exists already"))) == folder
