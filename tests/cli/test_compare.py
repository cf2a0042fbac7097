"""``napari-cryoet compare``: the numbers of `compare()`, for a person and for a program."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from command_line import modules_after
from napari_cryoet import compare, open_annotation, open_portal, report_text
from napari_cryoet.cli import main
from napari_cryoet.comparison import plain_report
from napari_cryoet.mask_files import write_mask
from napari_cryoet.pick_files import write_picks
from napari_cryoet.picks import Picks

TEMPLATES, TRUTH, MEMBRANE, CAPTION, OTHER_ALIGNMENT, MESH = (
    "AF-9004",
    "AF-9001",
    "AF-9009",
    "AF-9012",
    "AF-9015",
    "AF-9901",
)


def point(x: float) -> str:
    return json.dumps({"type": "point", "location": {"x": x, "y": 0, "z": 0}}) + "\n"


@pytest.fixture
def two_files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "a.ndjson").write_text(point(0) + point(10))
    (tmp_path / "b.ndjson").write_text(point(1) + point(20) + point(30))
    return str(tmp_path / "a.ndjson"), str(tmp_path / "b.ndjson")


def test_it_prints_the_same_numbers_as_python(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--radius", "60", "--beta", "4", "--method", "greedy", "--symmetry", "C2"]
    command = ["compare", TEMPLATES, TRUTH, "--source", str(demo_pack), *settings]
    files = {f"AF-{file.id}": file for file in open_portal(demo_pack).run_page(9001).annotation_files}
    a, b = open_annotation(files[TEMPLATES]), open_annotation(files[TRUTH])
    found = compare(a, b, radius_angstrom=60, beta=4, method="greedy", symmetry="C2")

    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(plain_report(found)))
    assert main(command) == 0
    assert capsys.readouterr().out == report_text(found)
    assert found.scores.true_positives > 50


def test_files_are_compared_at_the_spacing_that_is_given(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *two_files, "--radius", "30", "--spacing", "10", "--json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert (same["true_positives"], same["false_positives"], same["false_negatives"]) == (1, 1, 2)
    assert main(["compare", *two_files, "--radius", "10", "--spacing", "10,5", "--json"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert (other["true_positives"], other["a"]["spacing_angstrom"], other["b"]["spacing_angstrom"]) == (2, 10, 5)


def test_what_a_file_of_another_program_leaves_open_can_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    star = tmp_path / "picks.star"
    star.write_text(
        "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnTomoTiltSeriesPixelSize #2\n1 10.0\n\n"
        "data_particles\n\nloop_\n_rlnTomoName #1\n_rlnCenteredCoordinateXAngst #2\n"
        "_rlnCenteredCoordinateYAngst #3\n_rlnCenteredCoordinateZAngst #4\n_rlnOpticsGroup #5\n"
        "TS_1 0.0 0.0 0.0 1\nTS_2 10.0 10.0 10.0 1\n"
    )
    command = ["compare", str(star), str(star), "--radius", "5", "--spacing", "10", "--json"]
    assert main(command) == 1
    assert main([*command, "--shape", "20,20,20", "--tomogram", "TS_1"]) == 0
    assert json.loads(capsys.readouterr().out)["true_positives"] == 1


def test_points_are_compared_with_masks(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", TRUTH, MEMBRANE, "--source", str(demo_pack), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["share_inside"] == 0
    assert main(["compare", MEMBRANE, MEMBRANE, "--source", str(demo_pack), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dice"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([TRUTH, TRUTH, "--radius", "5"], "Add --source"),
        ([TRUTH, "424242", "--radius", "5", "--source", "PACK"], "no annotation file 424242"),
        ([TRUTH, CAPTION, "--radius", "5", "--source", "PACK"], "text about the whole tomogram"),
        ([MESH, MEMBRANE, "--source", "PACK"], "A mesh can't be compared"),
        (["AN-9003", "AN-9001", "--radius", "5", "--source", "PACK"], "Which one? Say its id, such as AF-9001"),
        ([TRUTH, TRUTH, "--source", "PACK"], "Give a radius"),
        ([OTHER_ALIGNMENT, TRUTH, "--radius", "5", "--source", "PACK"], "Insist"),
        (["A.ndjson", "B.ndjson", "--radius", "5"], "Give its voxel spacing"),
        (["A.ndjson", "https://example.invalid/b.mrc.gz", "--spacing", "5"], "is compressed with gzip"),
    ],
)
def test_what_can_not_be_compared_ends_with_one_and_the_reason(
    demo_pack: Path,
    two_files: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    known = {"PACK": str(demo_pack), "A.ndjson": two_files[0], "B.ndjson": two_files[1]}
    assert main(["compare", *(known.get(word, word) for word in arguments)]) == 1
    assert told in capsys.readouterr().err


def test_an_annotation_and_a_file_of_ones_own_are_compared(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {file.id: file for file in open_portal(demo_pack).run_page(9001).annotation_files}
    own = files[9001].https_path.removeprefix("file://")
    of_files = ["compare", TEMPLATES, TRUTH, "--source", str(demo_pack), "--radius", "60", "--json"]
    assert main(of_files) == 0
    wanted = json.loads(capsys.readouterr().out)
    assert main(["compare", "AN-9003", own, *of_files[3:]]) == 0
    found = json.loads(capsys.readouterr().out)
    same = ("true_positives", "false_positives", "false_negatives", "distance", "rotation_error")
    assert {key: found[key] for key in same} == {key: wanted[key] for key in same}


def test_a_file_that_is_called_like_an_id_is_a_file(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "9004").write_text("not picks")
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "9004", two_files[1], "--radius", "30", "--spacing", "10"]) == 1
    assert "--source" not in capsys.readouterr().err


def test_who_insists_gets_numbers_and_is_told(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [OTHER_ALIGNMENT, TRUTH]
    assert main(["compare", *files, "--radius", "5", "--source", str(demo_pack), "--insist"]) == 0
    assert "because you insisted" in capsys.readouterr().out


def test_what_is_to_be_known_of_the_files_is_said(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.tbl").write_text(" ".join(["1", *["0"] * 22, "3", "3", "3", *["0"] * 9]) + "\n")
    (tmp_path / "c.ndjson").write_text(point(2) + '{"type": "arrow"}\n')
    write_mask(np.ones((9, 9, 9), np.uint8), tmp_path / "m.mrc", spacing_angstrom=7.5)

    assert main(["compare", str(tmp_path / "a.tbl"), two_files[1], "--radius", "30", "--spacing", "10"]) == 0
    assert "note on A: Positions in Dynamo tables are taken to count from 1" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "c.ndjson"), str(tmp_path / "m.mrc"), "--spacing", "10"]) == 0
    told = capsys.readouterr().out
    assert "note on A: 1 of the file's lines are no known kind of point" in told
    assert "note on B: Its file says that voxels are 7.5 Å wide; that was taken, not 10 Å." in told
    assert main(["compare", two_files[0], str(tmp_path / "m.mrc"), "--spacing", "7.5"]) == 0
    assert "note" not in capsys.readouterr().out


def test_a_spacing_that_is_said_of_a_mask_alone_has_to_be_the_one_in_its_file(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_mask(np.ones((9, 9, 9), np.uint8), tmp_path / "m.mrc", spacing_angstrom=7.5)
    command = ["compare", two_files[0], str(tmp_path / "m.mrc"), "--json", "--spacing"]

    assert main([*command, "10"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["spacing_angstrom"] == 7.5
    assert main([*command, "10,5"]) == 1
    assert "m.mrc says that its voxels are 7.5 Å wide, and 5 Å was given" in capsys.readouterr().err
    assert main([*command, "10,5", "--insist"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["spacing_angstrom"] == 5


def test_a_folder_says_the_spacing_of_a_mask_only_where_nobody_else_does(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "VoxelSpacing13.480"
    folder.mkdir()
    for name, width in (("silent.mrc", 0), ("wrong.mrc", 1)):
        mrcfile.write(folder / name, np.ones((9, 9, 9), np.int8), voxel_size=width)

    assert main(["compare", two_files[0], str(folder / "silent.mrc"), "--spacing", "10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["spacing_angstrom"] == 10
    assert main(["compare", two_files[0], str(folder / "wrong.mrc"), "--spacing", "10"]) == 0
    told = capsys.readouterr().out
    assert "note on B: Its file says that voxels are 1 Å wide; 13.48 Å was taken." in told
    assert "note on B: Its folder says that voxels are 13.48 Å wide; that was taken, not 10 Å." in told
    assert main(["compare", two_files[0], str(folder / "wrong.mrc"), "--spacing", "10,13.48"]) == 0


def test_no_window_is_needed(two_files: tuple[str, str]) -> None:
    loaded = modules_after(["compare", *two_files, "--radius", "30", "--spacing", "10"])
    assert "scipy" in loaded
    assert not loaded & {"napari", "qtpy", "vispy"}


def test_a_file_that_says_its_voxel_spacing_is_taken_at_its_word_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_picks(Picks([[1.0, 2.0, 3.0]], 10.012), tmp_path / "truth.ndjson").path
    (tmp_path / "mine.ndjson").write_text(point(3).replace('"y": 0, "z": 0', '"y": 2, "z": 1'))
    command = ["compare", str(tmp_path / "mine.ndjson"), str(truth), "--radius", "9", "--spacing", "10.012,13.48"]

    assert main(command) == 0
    told = capsys.readouterr().out
    assert "note on B: Its file says that voxels are 10.012 Å wide; that was taken, not 13.48 Å." in told
    assert "Voxels of A are" not in told
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["b"]["spacing_angstrom"], found["true_positives"]) == (10.012, 1)


def test_how_to_force_a_mask_whose_file_is_wrong_is_said(
    two_files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mrcfile.write(tmp_path / "uneven.mrc", np.ones((9, 9, 9), np.int8), voxel_size=(7.5, 7.5, 9))
    command = ["compare", two_files[0], str(tmp_path / "uneven.mrc")]

    for spacing in ("10", "10,7.5"):
        assert main([*command, "--spacing", spacing]) == 1
        said = capsys.readouterr().err
        assert "9, 7.5, 7.5" in said
        assert "--spacing A,B, and --insist" in said
    assert main([*command, "--spacing", "10,7.5", "--insist"]) == 0
    assert "note on B: Its file says that voxels are 9, 7.5, 7.5 Å wide; 7.5 Å was taken." in capsys.readouterr().out


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_masks_of_tiff_files(compression: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros((6, 20, 30), np.uint8)
    mask[2:4, 5:9, 10:14] = 255
    write_mask(mask, tmp_path / "a.mrc", spacing_angstrom=10)
    options = {"imagej": True, "compression": compression, "resolution": (1, 1)}
    for name, about in (("b.tif", {"unit": "nm", "spacing": 1.0}), ("bare.tif", {})):
        tifffile.imwrite(tmp_path / name, mask, metadata={"axes": "ZYX"} | about, **options)

    assert main(["compare", str(tmp_path / "a.mrc"), str(tmp_path / "b.tif"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dice"] == 1
    assert main(["compare", str(tmp_path / "a.mrc"), str(tmp_path / "bare.tif")]) == 1
    assert "how large the voxels of B are" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "a.mrc"), str(tmp_path / "bare.tif"), "--spacing", "10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dice"] == 1


def test_a_tiff_of_fractions_is_no_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 8, 9), 0.5, np.float32), photometric="minisblack")
    a = str(tmp_path / "a.tif")

    assert main(["compare", a, a, "--spacing", "10"]) == 1
    assert "other values than whole numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (
            "AN-x",
            "AF-1",
            ["A: AN-x is no file here, and no id. Ids look like AN-", "B: The portal has no annotation file 1."],
        ),
        ("AN-1", "AF-2", ["A: The portal has no annotation 1.", "B: The portal has no annotation file 2."]),
        ("AN-1", "nothing.star", ["A: The portal has no annotation 1.", "B: There is no file nothing.star."]),
        ("AN-9999999999", TRUTH, ["napari-cryoet: AN-9999999999 is no file here, and no id. Ids look like"]),
        (TRUTH, "there/is.ndjson", ["napari-cryoet: There is no file there/is.ndjson."]),
        ("AN-x", "AN-x", ["napari-cryoet: AN-x is no file"]),
        ("a\0.star", "AF-1", ["A: 'a\\x00.star' can't be a path.", "B: The portal has no annotation file 1."]),
    ],
)
def test_everything_that_means_nothing_is_named(
    a: str, b: str, words: list[str], demo_pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", a, b, "--source", str(demo_pack)]) == 1
    said = capsys.readouterr().err
    assert all(each in said for each in words), said


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    write_mask(np.ones((4, 5, 6), np.uint8), tmp_path / "a.mrc", spacing_angstrom=10)

    assert main(["compare", "~/a.mrc", "~/a.mrc"]) == 0
