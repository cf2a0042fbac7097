"""``napari-cryoet check``: sentences for a person, JSON for a program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fitness_scene import SPACING_ANGSTROM, make_mirrored_scene, make_scene
from napari_cryoet.cli import main
from napari_cryoet.exceptions import MissingContextError
from napari_cryoet.formats.ndjson import Points, write_points
from napari_cryoet.packs.portal_zarr import write_mrc
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.picks import Picks


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, scene = tmp_path_factory.mktemp("check"), make_scene()
    flipped = np.where((False, True, False), np.array(scene.grey.shape) - 1 - scene.truth_zyx, scene.truth_zyx)
    for name, points in (("right", scene.truth_zyx), ("flipped", flipped)):
        (folder / f"{name}.ndjson").write_bytes(write_points(Points.from_picks(Picks(points))))
    write_mrc(folder / "TS.mrc", scene.grey, SPACING_ANGSTROM)
    return folder


def test_what_is_odd_is_marked(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(files / "flipped.ndjson"), str(files / "TS.mrc"), "--diameter", "80"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  All 40 picks lie inside the volume."
    assert lines[1].startswith("! They fit much better if y is flipped: in ")


def test_several_ways_that_fit_are_all_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = make_mirrored_scene()
    flipped = np.where((False, True, False), np.array(scene.grey.shape) - 1 - scene.truth_zyx, scene.truth_zyx)
    (tmp_path / "flipped.ndjson").write_bytes(write_points(Points.from_picks(Picks(flipped))))
    write_mrc(tmp_path / "TS.mrc", scene.grey, SPACING_ANGSTROM)
    arguments = ["check", str(tmp_path / "flipped.ndjson"), str(tmp_path / "TS.mrc"), "--diameter", "80"]

    assert main(arguments) == 0
    told = capsys.readouterr().out.splitlines()[1]
    assert told.startswith("! They fit much better another way, but the density can't tell which: if ")
    assert "if y is flipped (effect" in told
    assert "if y and z are flipped (effect" in told

    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["suggestion"]) == ("several", None)
    words = {each["reading"]["words"] for each in found["surely_better"]}
    assert words == {"y is flipped", "y and z are flipped"}


def test_right_picks_have_no_mark(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(files / "right.ndjson"), str(files / "TS.mrc"), "--diameter", "80"]) == 0
    assert "!" not in capsys.readouterr().out


def test_programs_get_json(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", str(files / "flipped.ndjson"), str(files / "TS.mrc"), "--spacing", "10", "--diameter", "80"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "better"
    assert found["suggestion"]["words"] == "y is flipped"


def test_what_isnt_a_length_is_not_understood(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "a.ndjson", "b.mrc", "--spacing", "wide"])
    assert ended.value.code == 2
    assert "is no length in ångström" in capsys.readouterr().err


def test_positions_that_count_from_the_middle_are_read_in_the_volumes_grid(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = make_scene()
    picks = Picks(scene.truth_zyx, SPACING_ANGSTROM, shape_zyx=scene.grey.shape)
    star = files / "centred.star"
    write_picks(picks, star, format="relion5")
    lines = star.read_text().splitlines()  # without our own notes, as another program writes it
    star.write_text("\n".join(line for line in lines if not line.startswith("#")) + "\n")
    with pytest.raises(MissingContextError):
        read_picks(star)
    assert main(["check", str(star), str(files / "TS.mrc"), "--diameter", "80"]) == 0
    assert "They sit on density that stands out" in capsys.readouterr().out
    # in ångström, whatever voxels somebody says the picks count in
    assert main(["check", str(star), str(files / "TS.mrc"), "--diameter", "80", "--spacing", "33.3"]) == 0
    assert "They sit on density that stands out" in capsys.readouterr().out


def test_of_a_file_with_several_tomograms_one_is_chosen(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = make_scene()
    star = files / "several.star"
    rows = [(*place, name) for place, name in zip(scene.truth_zyx[:, ::-1], ["TS_1", "TS_2"] * 20, strict=True)]
    head = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnCoordinateZ #3\n_rlnMicrographName #4\n"
    star.write_text(head + "".join(f"{x} {y} {z} {name}\n" for x, y, z, name in rows))
    command = ["check", str(star), str(files / "TS.mrc"), "--diameter", "80"]
    assert main(command) == 1
    assert "2 tomograms: TS_1, TS_2. Say --tomogram NAME." in capsys.readouterr().err
    assert main([*command, "--tomogram", "TS_1"]) == 0
    assert "All 20 picks lie inside the volume." in capsys.readouterr().out


def test_what_is_to_be_known_of_the_picks_is_said(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "a.tbl").write_text(" ".join(["1", *["0"] * 22, "3", "3", "3", *["0"] * 9]) + "\n")
    assert main(["check", str(files / "a.tbl"), str(files / "TS.mrc"), "--diameter", "80"]) == 0
    assert "note: Positions in Dynamo tables are taken to count from 1" in capsys.readouterr().out
    assert main(["check", str(files / "a.tbl"), str(files / "TS.mrc"), "--diameter", "80", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"][0].startswith("Positions in Dynamo tables")


def test_picks_and_volume_in_the_wrong_order_are_told_apart(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picks, volume = str(files / "right.ndjson"), str(files / "TS.mrc")

    assert main(["check", volume, picks]) == 1
    assert capsys.readouterr().err == (
        f"napari-cryoet: {picks} is a file of picks, not a volume. Name the picks first, then it.\n"
    )
