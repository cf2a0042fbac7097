"""Our pick files, read by other libraries: the same positions and rotations in each one's conventions."""

import json

import dynamotable
import eulerangles
import numpy as np
import pandas as pd
import pytest
import starfile
from scipy.spatial.transform import Rotation

from napari_cryoet import Picks, write_picks

SPACING, SIZE_XYZ = 13.48, np.array([960, 928, 100])
POINTS_XYZ = np.array([[0.0, 0.0, 0.0], [959.25, 1 / 3, 99.0], [17.123456789, 500.5, 42.0]])
MATRICES_XYZ = Rotation.from_euler(
    "xyz", [[10, 20, 30], [0, 90, 45], [170, -5, -60]], degrees=True
).as_matrix()
PICKS = Picks(
    POINTS_XYZ[:, ::-1],
    SPACING,
    rotations_zyx=MATRICES_XYZ[:, ::-1, ::-1],
    instance_ids=[4, 0, 2**40],
    scores=[0.5, np.nan, 1 / 3],
    features={"by": np.array(["me", "you & 'I' #1", ""], dtype=object)},
    shape_zyx=(100, 928, 960),
    about={"run_name": "TS_026", "object_name": "ribosome"},
)


def from_relion(particles, labels):
    angles = particles[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    matrices = eulerangles.euler2matrix(
        angles, axes="zyz", intrinsic=True, right_handed_rotation=True
    )
    return particles[labels].to_numpy(), np.swapaxes(matrices, 1, 2)


def relion5(path):
    labels = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
    centred, matrices = from_relion(starfile.read(path)["particles"], labels)
    return centred / SPACING + SIZE_XYZ / 2, matrices


def relion4(path):
    return from_relion(starfile.read(path)["particles"], [f"rlnCoordinate{axis}" for axis in "XYZ"])


def dynamo(path):
    table = dynamotable.read(str(path))
    eulers = eulerangles.convert_eulers(
        table[["tdrot", "tilt", "narot"]].to_numpy(float), "dynamo", "relion"
    )
    matrices = eulerangles.euler2matrix(
        eulers, axes="zyz", intrinsic=True, right_handed_rotation=True
    )
    return table[["x", "y", "z"]].to_numpy() - 1, np.swapaxes(matrices, 1, 2)


def copick(path):
    points = json.loads(path.read_text(encoding="utf-8"))["points"]
    locations = [[point["location"][axis] for axis in "xyz"] for point in points]
    return np.array(locations) / SPACING, np.array([point["transformation_"] for point in points])[
        :, :3, :3
    ]


def ndjson(path):
    table = pd.read_json(path, lines=True, precise_float=True)
    return pd.DataFrame(list(table["location"])).to_numpy(), np.array(
        table["xyz_rotation_matrix"].tolist()
    )


def table_in_xyz(table):
    columns = [[f"particle_{own}_axis_{axis}" for own in "xyz"] for axis in "xyz"]
    matrices = np.stack([table[row].to_numpy() for row in columns], axis=1)
    np.testing.assert_allclose(table["x_angstrom"], table["x_voxel"] * SPACING)
    return table[[f"{axis}_voxel" for axis in "xyz"]].to_numpy(), matrices


@pytest.mark.parametrize(
    ("name", "ending", "read"),
    [
        ("relion5", "star", relion5),
        ("relion4", "star", relion4),
        ("relion3", "star", relion4),
        ("dynamo", "tbl", dynamo),
        ("copick", "json", copick),
        ("ndjson", "ndjson", ndjson),
        ("csv", "csv", lambda path: table_in_xyz(pd.read_csv(path))),
        ("parquet", "parquet", lambda path: table_in_xyz(pd.read_parquet(path))),
    ],
)
def test_other_libraries_read_the_same_positions_and_rotations(tmp_path, name, ending, read):
    points_xyz, matrices_xyz = read(
        write_picks(PICKS, tmp_path / f"picks.{ending}", format=name).path
    )

    np.testing.assert_allclose(points_xyz, POINTS_XYZ, atol=1e-6)
    np.testing.assert_allclose(matrices_xyz, MATRICES_XYZ, atol=1e-9)
