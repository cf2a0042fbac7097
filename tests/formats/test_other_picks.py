"""Picks written by other programs have the positions and orientations that those programs intend.

Expected values come from the programs' documentation and from other libraries.
"""

import json

import dynamotable
import eulerangles
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import starfile
from scipy.spatial.transform import Rotation

from napari_cryoet import FormatError, MissingContextError, load_annotation, read_picks

COUNT = 30
SHAPE_ZYX, SPACING = (50, 101, 202), 8.0
SIZE_XYZ_ANGSTROM = np.array(SHAPE_ZYX[::-1]) * SPACING


def random_angles(seed):
    """Rotation about the first axis, tilt, rotation about the last axis.

    Includes ambiguous tilts.
    """
    random = np.random.default_rng(seed)
    angles = random.uniform((-180, 0, -180), (180, 180, 180), (COUNT, 3))
    angles[:2, 1] = 0, 180
    return angles


def random_positions(seed=0):
    return np.random.default_rng(seed).uniform(0, 300, (COUNT, 3))


def relion_matrices(angles):
    """``Euler_angles2matrix`` from RELION's euler.cpp, which maps particles to the tomogram (particle_set.cpp)."""
    (ca, cb, cg), (sa, sb, sg) = np.cos(np.radians(angles)).T, np.sin(np.radians(angles)).T
    rows = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def assert_picks(picks, positions_xyz_angstrom, matrices_xyz=None, spacing=SPACING):
    """Compare picks with positions in ångström and matrices that act on x, y, z."""
    assert picks.spacing_angstrom == pytest.approx(spacing)
    np.testing.assert_allclose(
        picks.points_zyx[:, ::-1] * picks.spacing_angstrom, positions_xyz_angstrom, atol=1e-6
    )
    if matrices_xyz is None:
        assert picks.rotations_zyx is None
    else:
        np.testing.assert_allclose(picks.rotations_zyx[:, ::-1, ::-1], matrices_xyz, atol=1e-6)


class TestRelion:
    """Particles of two tomograms and two optics groups, with shifts and angles."""

    ANGLES, SHIFTS = random_angles(1), np.random.default_rng(2).uniform(-20, 20, (COUNT, 3))
    SUBTOMOGRAM = random_angles(3)
    GROUPS = np.arange(COUNT) % 2
    TOMOGRAMS = np.array(["TS_1", "TS_2"])[np.arange(COUNT) // 15]
    PIXELS = np.array([2.0, 4.0])[GROUPS]

    def columns(self, *, has_subtomograms):
        columns = {"rlnOpticsGroup": self.GROUPS + 1}
        columns |= dict(
            zip(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"], self.ANGLES.T, strict=True)
        )
        columns |= {f"rlnOrigin{axis}Angst": self.SHIFTS[:, at] for at, axis in enumerate("XYZ")}
        if has_subtomograms:
            labels = [f"rlnTomoSubtomogram{name}" for name in ("Rot", "Tilt", "Psi")]
            columns |= dict(zip(labels, self.SUBTOMOGRAM.T, strict=True))
        return columns

    def expected(self, positions_angstrom, *, has_subtomograms):
        """Shifts are in ångström and subtracted.

        The subtomogram's matrix rotates them and the particle.
        """
        matrices, shifts = relion_matrices(self.ANGLES), self.SHIFTS
        if has_subtomograms:
            subtomogram = relion_matrices(self.SUBTOMOGRAM)
            matrices, shifts = subtomogram @ matrices, np.einsum("nij,nj->ni", subtomogram, shifts)
        return positions_angstrom - shifts, matrices

    def write(self, path, columns, pixel_label):
        optics = {
            "rlnOpticsGroup": [1, 2],
            "rlnOpticsGroupName": ["a", "b"],
            pixel_label: [2.0, 4.0],
        }
        starfile.write({"optics": pd.DataFrame(optics), "particles": pd.DataFrame(columns)}, path)
        return path

    @pytest.mark.parametrize("has_subtomograms", [False, True])
    @pytest.mark.parametrize("tomogram", ["TS_1", "TS_2"])
    @pytest.mark.parametrize("version", ["3.1", "4", "5"])
    def test_positions_and_orientations(self, version, tomogram, has_subtomograms, tmp_path):
        coordinates = random_positions()
        columns = self.columns(has_subtomograms=has_subtomograms)
        if version == "3.1":
            columns["rlnMicrographName"] = [f"tomograms/{name}" for name in self.TOMOGRAMS]
        else:
            columns["rlnTomoName"] = self.TOMOGRAMS
        if version == "5":  # from the tomogram's centre
            columns |= {
                f"rlnCenteredCoordinate{axis}Angst": coordinates[:, at]
                for at, axis in enumerate("XYZ")
            }
            positions = coordinates + SIZE_XYZ_ANGSTROM / 2
        else:  # in pixels, from 0, of the optics group's size
            columns |= {f"rlnCoordinate{axis}": coordinates[:, at] for at, axis in enumerate("XYZ")}
            positions = coordinates * self.PIXELS[:, None]
        pixel_label = "rlnMicrographPixelSize" if version == "3.1" else "rlnTomoTiltSeriesPixelSize"
        path = self.write(tmp_path / "particles.star", columns, pixel_label)

        picks = read_picks(path, spacing_angstrom=SPACING, shape_zyx=SHAPE_ZYX, tomogram=tomogram)
        positions, matrices = self.expected(positions, has_subtomograms=has_subtomograms)
        is_chosen = tomogram == self.TOMOGRAMS
        assert_picks(picks, positions[is_chosen], matrices[is_chosen])

    def test_several_tomograms_require_a_choice(self, tmp_path):
        columns = self.columns(has_subtomograms=False) | {"rlnTomoName": self.TOMOGRAMS}
        columns |= {
            f"rlnCoordinate{axis}": random_positions()[:, at] for at, axis in enumerate("XYZ")
        }
        path = self.write(tmp_path / "particles.star", columns, "rlnTomoTiltSeriesPixelSize")

        with pytest.raises(MissingContextError) as raised:
            read_picks(path)
        assert "tomogram" in raised.value.missing
        assert set(raised.value.choices) == {"TS_1", "TS_2"}
        with pytest.raises(FormatError):
            read_picks(path, tomogram="TS_9")

    def test_the_tomogram_size_comes_from_tomograms_star(self, tmp_path):
        centred = random_positions() - 150
        columns = {
            f"rlnCenteredCoordinate{axis}Angst": centred[:, at] for at, axis in enumerate("XYZ")
        }
        starfile.write(
            {"particles": pd.DataFrame(columns | {"rlnTomoName": "TS_1"})},
            tmp_path / "particles.star",
        )
        sizes = {
            "rlnTomoSizeX": 800,
            "rlnTomoSizeY": 400,
            "rlnTomoSizeZ": 200,
            "rlnTomoTiltSeriesPixelSize": 2.0,
        }
        starfile.write(
            {"global": pd.DataFrame([{"rlnTomoName": "TS_1"} | sizes])}, tmp_path / "tomograms.star"
        )

        assert_picks(
            read_picks(tmp_path / "particles.star"),
            centred + np.array([800, 400, 200]),
            spacing=2.0,
        )


class TestDynamo:
    """dynamotable's columns: positions start at 1, shifts are added, angles are tdrot, tilt and narot."""

    def test_positions_and_orientations(self, tmp_path):
        positions, shifts, angles = (
            random_positions(),
            np.random.default_rng(1).uniform(-5, 5, (COUNT, 3)),
            random_angles(4),
        )
        columns = dict(zip("xyz", positions.T, strict=True)) | dict(
            zip(["dx", "dy", "dz"], shifts.T, strict=True)
        )
        columns |= dict(zip(["tdrot", "tilt", "narot"], angles.T, strict=True))
        dynamotable.write(pd.DataFrame(columns | {"apix": SPACING}), str(tmp_path / "a.tbl"))
        as_relion = eulerangles.convert_eulers(angles, "dynamo", "relion")
        matrices = eulerangles.euler2matrix(
            as_relion, axes="zyz", intrinsic=True, right_handed_rotation=True
        )

        picks = read_picks(tmp_path / "a.tbl")
        np.testing.assert_allclose(
            picks.points_zyx[:, ::-1], positions + shifts - 1, atol=1e-3
        )  # precision of a table
        np.testing.assert_allclose(
            picks.rotations_zyx[:, ::-1, ::-1], np.swapaxes(matrices, 1, 2), atol=1e-4
        )
        assert picks.spacing_angstrom == SPACING

    def test_one_of_several_tomograms_is_selected(self, tmp_path):
        columns = {
            "x": [1.0, 2.0, 3.0],
            "y": [1.0, 2.0, 3.0],
            "z": [1.0, 2.0, 3.0],
            "tomo": [1, 2, 2],
            "cc": [0.5, 0.25, 1],
        }
        dynamotable.write(pd.DataFrame(columns), str(tmp_path / "a.tbl"))
        picks = read_picks(tmp_path / "a.tbl", tomogram="2", spacing_angstrom=SPACING)

        assert picks.points_zyx.tolist() == [[1, 1, 1], [2, 2, 2]]
        assert picks.scores.tolist() == [0.25, 1]
        with pytest.raises(MissingContextError):
            read_picks(tmp_path / "a.tbl")


class TestCopick:
    """CopickPicksFile, from copick's models.py: ångström in x, y, z, and a 4 x 4 matrix for each point."""

    @staticmethod
    def write(folder, **more):
        matrices = np.tile(np.eye(4), (COUNT, 1, 1))
        matrices[:, :3, :3] = Rotation.from_euler("xyz", random_angles(5), degrees=True).as_matrix()
        matrices[:, :3, 3] = np.random.default_rng(6).uniform(-10, 10, (COUNT, 3))
        points = [
            {
                "location": dict(zip("xyz", position, strict=True)),
                "transformation_": matrix.tolist(),
                "instance_id": index,
                "score": index / 10,
            }
            for index, (position, matrix) in enumerate(
                zip(random_positions().tolist(), matrices, strict=True)
            )
        ]
        names = {
            "pickable_object_name": "ribosome",
            "user_id": "ada",
            "session_id": "17",
            "run_name": "TS_1",
        }
        about = names | {"voxel_spacing": SPACING, "unit": "angstrom", "trust_orientation": True}
        (folder / "ada_17_ribosome.json").write_text(json.dumps(about | {"points": points} | more))
        return folder / "ada_17_ribosome.json", matrices

    def test_positions_and_orientations(self, tmp_path):
        path, matrices = self.write(tmp_path)
        picks = read_picks(path)

        assert_picks(picks, random_positions() + matrices[:, :3, 3], matrices[:, :3, :3])
        np.testing.assert_allclose(picks.scores, np.arange(COUNT) / 10)
        np.testing.assert_array_equal(picks.instance_ids, np.arange(COUNT))

    def test_untrusted_orientations_are_ignored(self, tmp_path):
        path, matrices = self.write(tmp_path, trust_orientation=False)

        assert_picks(read_picks(path), random_positions() + matrices[:, :3, 3])

    def test_a_missing_voxel_spacing_is_requested(self, tmp_path):
        path, matrices = self.write(tmp_path, voxel_spacing=None)

        with pytest.raises(MissingContextError) as raised:
            read_picks(path)
        assert raised.value.missing == ("spacing_angstrom",)
        assert_picks(read_picks(path, spacing_angstrom=4.0), random_positions() + matrices[:, :3, 3],
                     matrices[:, :3, :3], spacing=4.0)  # fmt: skip


class TestPortal:
    """One JSON object per line: voxels in x, y, z; the matrix maps the particle to the tomogram."""

    def test_real_picks(self, real_data):
        path = real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson"
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        positions_xyz = np.array([[line["location"][axis] for axis in "xyz"] for line in lines])

        assert len(lines) == 43
        assert_picks(read_picks(path, spacing_angstrom=4.99), positions_xyz * 4.99, spacing=4.99)
        (spec,) = load_annotation(path, 4.99)
        np.testing.assert_allclose(
            spec.data * np.asarray(spec.options["scale"]), positions_xyz[:, ::-1] * 4.99
        )
        assert spec.kind == "points"

    def test_all_three_point_types(self, tmp_path):
        positions, matrices = (
            random_positions(),
            Rotation.from_euler("xyz", random_angles(7), degrees=True).as_matrix(),
        )
        lines = []
        for index, (position, matrix) in enumerate(
            zip(positions.tolist(), matrices.tolist(), strict=True)
        ):
            kinds = [{}, {"xyz_rotation_matrix": matrix}, {"instance_id": index}]
            name = ("point", "orientedPoint", "instancePoint")[index % 3]
            lines.append(
                {"type": name, "location": dict(zip("xyz", position, strict=True))}
                | kinds[index % 3]
            )
        (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, lines)))
        picks = read_picks(tmp_path / "a.ndjson", spacing_angstrom=SPACING)

        matrices[np.arange(COUNT) % 3 != 1] = np.nan
        assert_picks(picks, positions * SPACING, matrices)
        at = np.arange(COUNT)
        np.testing.assert_array_equal(picks.instance_ids, np.where(at % 3 == 2, at, -1))


class TestTables:
    """Column names give axis and unit."""

    @staticmethod
    def table(unit):
        positions = random_positions()
        factor = {"voxel": SPACING, "angstrom": 1.0, "nanometer": 10.0}[unit]
        columns = {f"{axis}_{unit}": positions[:, at] for at, axis in enumerate("xyz")}
        return pd.DataFrame(
            columns | {"score": np.arange(COUNT) / 7, "who": "Ada"}
        ), positions * factor

    @pytest.mark.parametrize("unit", ["voxel", "angstrom", "nanometer"])
    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_positions_and_columns(self, ending, unit, tmp_path):
        table, positions = self.table(unit)
        if ending == "csv":
            table.to_csv(tmp_path / "a.csv", index=False)
        else:
            pyarrow.parquet.write_table(pa.Table.from_pandas(table), tmp_path / "a.parquet")
        picks = read_picks(tmp_path / f"a.{ending}", spacing_angstrom=SPACING)

        assert_picks(picks, positions)
        np.testing.assert_allclose(picks.scores, np.arange(COUNT) / 7)
        assert picks.features["who"].tolist() == ["Ada"] * COUNT
