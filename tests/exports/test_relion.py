"""RELION 5: files read back by us and with RELION's formulas, and alignments of tilt series."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile
from scipy.spatial.transform import Rotation

from napari_cryoet import CryoETError, read_picks
from napari_cryoet.exports import export, relion
from napari_cryoet.exports.relion import in_plane
from napari_cryoet.exports.selection import Selection, read_points

Select = Callable[..., Selection]
CENTRED = [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
SIZES = [f"rlnTomoSize{axis}" for axis in "XYZ"]


def truth_of(selection: Selection, name: str) -> Any:
    """The portal's ground truth of ribosomes in a run."""
    truths = (
        each for each in selection.annotations if each.session == "ground-truth" and each.is_points
    )
    return read_points(
        next(
            each for each in truths if (each.run.name, each.object) == (name, "cytosolic-ribosome")
        )
    )


def test_particles_have_relions_coordinates_and_files(tmp_path: Path, selection_of: Select) -> None:
    report = export(selection_of(), "relion5", tmp_path)
    tomograms = starfile.read(tmp_path / "tomograms.star").set_index("rlnTomoName")
    listed = starfile.read(tmp_path / "cytosolic-ribosome" / "import.star")
    particles = starfile.read(tmp_path / "cytosolic-ribosome" / "particles.star", always_dict=True)

    assert list(listed) == ["rlnTomoName", "rlnTomoImportParticleFile"]
    assert list(listed["rlnTomoName"]) == ["DEMO_001", "MIX_001"]
    assert set(tomograms["rlnVoltage"]) == {300}  # kilovolts
    assert (
        set(particles["particles"]["rlnOpticsGroup"])
        == set(particles["optics"]["rlnOpticsGroup"])
        == {1, 2}
    )
    assert any("AN-9001" in remark for remark in report.remarks)
    for name, path in listed.itertuples(index=False):
        expected, table, tomogram = (
            truth_of(selection_of(), name),
            starfile.read(tmp_path / path),
            tomograms.loc[name],
        )
        # Tomogram::centre: half the size, times the unbinned pixel
        centre = tomogram[SIZES].to_numpy(float) / 2 * tomogram["rlnTomoTiltSeriesPixelSize"]
        np.testing.assert_allclose(
            (table[CENTRED] + centre).to_numpy()[:, ::-1], expected.positions_angstrom_zyx
        )
        # ParticleSet::getMatrix4x4, from particle to tomogram
        turns = Rotation.from_euler(
            "ZYZ", table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]], degrees=True
        ).inv()
        np.testing.assert_allclose(turns.as_matrix(), expected.rotations_xyz, atol=1e-6)


@pytest.mark.parametrize("place", ["folder", "cache", "server"])
def test_a_project_names_only_downloaded_tomograms(
    tmp_path: Path,
    demo_pack: Path,
    demo_rows: Any,
    selection_of: Select,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    if place == "server":
        for row in demo_rows["tomograms"]:
            row["httpsMrcFile"] = "https://files.example.invalid/a.mrc"
    elif place == "cache":
        monkeypatch.setattr(relion, "cache_path", lambda: demo_pack)
    report = export(selection_of("cytosolic ribosome"), "relion5", tmp_path)
    table = starfile.read(tmp_path / "tomograms.star")
    named = table["rlnTomoReconstructedTomogram"].tolist()

    assert all(Path(name).is_file() for name in named) == (place == "folder")
    assert (set(named) == {"none"}) == (place != "folder")
    assert any("not downloaded" in reason for reason in report.left_out) == (place != "folder")


def test_our_reader_selects_particles_by_tomogram(tmp_path: Path, selection_of: Select) -> None:
    selection = selection_of("cytosolic ribosome")
    export(selection, "relion5", tmp_path)
    expected = truth_of(selection, "MIX_001")
    known = {"spacing_angstrom": expected.spacing_angstrom, "shape_zyx": expected.shape_zyx}
    picks = read_picks(
        tmp_path / "cytosolic-ribosome" / "particles.star", tomogram="MIX_001", **known
    )
    np.testing.assert_allclose(picks.points_zyx, expected.points_zyx, atol=1e-9)
    np.testing.assert_allclose(picks.rotations_zyx, expected.rotations_zyx, atol=1e-9)


def test_all_import_files_have_the_same_columns(
    tmp_path: Path, demo_rows: Any, selection_of: Select
) -> None:
    first_run_files = [row for row in demo_rows["annotationFiles"] if "DEMO_001" in row["s3Path"]]
    for row in first_run_files:
        if "orientedpoint" in row["s3Path"]:
            demo_rows["annotationFiles"].remove(row)
    export(selection_of(), "relion5", tmp_path)
    particles = starfile.read(tmp_path / "cytosolic-ribosome" / "particles.star", always_dict=True)[
        "particles"
    ]
    files = (tmp_path / "cytosolic-ribosome" / "coordinates").glob("*.star")

    assert len({tuple(starfile.read(path)) for path in files}) == 1
    by_tomogram = particles.groupby("rlnTomoName")
    assert (by_tomogram.get_group("DEMO_001")["rlnAngleTilt"] == 0).all()
    assert by_tomogram["napariCryoetIsOriented"].max().to_dict() == {"DEMO_001": 0, "MIX_001": 1}


@pytest.fixture
def with_alignment(
    tmp_path: Path, demo_rows: Any, selection_of: Select
) -> Callable[[str], Selection]:
    """The first run with a program's alignment, defocus and dose."""

    def make(program: str) -> Selection:
        section = {
            "z_index": 1,
            "tilt_angle": 3.0,
            "volume_x_rotation": 0,
            "in_plane_rotation": [0, -1, 1, 0],
        }
        sections = [section | {"x_offset": 2.0, "y_offset": 5.0}]
        path = tmp_path / "alignment.json"
        path.write_text(
            json.dumps({"format": program, "per_section_alignment_parameters": sections})
        )
        series = next(row for row in demo_rows["tiltseries"] if row["runId"] == 9001)
        series |= {"pixelSpacing": 10.012, "isAligned": False}
        for row in demo_rows["alignments"]:
            row["httpsAlignmentMetadata"] = path.as_uri()
        demo_rows["frames"].append({"id": 5, "runId": 9001, "accumulatedDose": 12.0})
        facts = {
            "id": 1,
            "runId": 9001,
            "tiltseriesId": series["id"],
            "zIndex": 1,
            "frameId": 5,
            "rawAngle": 2.9,
        }
        facts |= {"majorDefocus": 31_000.0, "minorDefocus": 30_000.0, "astigmaticAngle": 45.0}
        demo_rows["perSectionParameters"].append(facts)
        return selection_of("cytosolic ribosome")

    return make


def test_tilts_have_their_alignment_defocus_and_dose(
    tmp_path: Path, with_alignment: Callable[[str], Selection]
) -> None:
    export(with_alignment("ARETOMO3"), "relion5", tmp_path / "relion")
    tomogram = (
        starfile.read(tmp_path / "relion" / "tomograms.star")
        .set_index("rlnTomoName")
        .loc["DEMO_001"]
    )
    tilts = starfile.read(tmp_path / "relion" / tomogram["rlnTomoTiltSeriesStarFile"])
    facts = {label: float(tilts.iloc[0][label]) for label in tilts if label != "rlnMicrographName"}

    assert facts["rlnTomoYTilt"] == 3.0
    assert facts["rlnTomoZRot"] == pytest.approx(90.0)
    assert (facts["rlnTomoXShiftAngst"], facts["rlnTomoYShiftAngst"]) == pytest.approx(
        (20.024, 50.06)
    )
    assert (facts["rlnDefocusU"], facts["rlnDefocusAngle"], facts["rlnMicrographPreExposure"]) == (
        31_000,
        45,
        12,
    )
    assert str(tilts["rlnMicrographName"].iloc[0]).startswith("000002@")
    assert tomogram["rlnTomoSizeX"] == 71 * 4  # in pixels of the tilt series
    assert tomogram["rlnTomoTomogramBinning"] == pytest.approx(4)


def test_unknown_programs_give_no_alignment(
    tmp_path: Path, with_alignment: Callable[[str], Selection]
) -> None:
    report = export(with_alignment("GUESSWORK"), "relion5", tmp_path / "relion")
    assert "rlnTomoTiltSeriesStarFile" not in starfile.read(tmp_path / "relion" / "tomograms.star")
    assert any("2 tilt series:" in reason for reason in report.left_out)


def test_imod_and_aretomo_alignments_are_equivalent() -> None:
    # IMOD: aligned = A p + d. RELION and AreTomo undo a shift first, then a rotation: aligned =
    # Rz(-rot) (p - t)
    angle, point = np.radians(85.3), np.array([100.0, -40.0])
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array([3.0, -7.0])
    rotation, x, y = in_plane(matrix.ravel().tolist(), *shift, "IMOD")
    undone = np.radians(-rotation)
    turn = np.array([[np.cos(undone), -np.sin(undone)], [np.sin(undone), np.cos(undone)]])

    np.testing.assert_allclose(turn @ (point - [x, y]), matrix @ point + shift)
    # newer records use AreTomo's convention and have rotations as rows, whichever program made them
    as_rows = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert in_plane(as_rows, 3.0, -7.0, "IMOD") == pytest.approx((85.3, 3.0, -7.0))


def test_masks_without_particles_are_refused(tmp_path: Path, selection_of: Select) -> None:
    with pytest.raises(CryoETError, match="particles"):
        export(selection_of("membrane"), "relion5", tmp_path)
