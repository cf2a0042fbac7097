import io
import json
import sys

import pytest

from napari_cryoet.cli import convert, main
from napari_cryoet.exceptions import SaveError
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.picks import Picks


@pytest.fixture
def source(tmp_path):
    """A portal's file, which says nothing of its volume."""
    line = {"type": "point", "location": {"x": 3.0, "y": 2.0, "z": 1.0}}
    (tmp_path / "in.ndjson").write_text(json.dumps(line) + "\n")
    return tmp_path / "in.ndjson"


def test_picks_become_a_star_file_for_relion(source, tmp_path, capsys):
    target = tmp_path / "out.star"

    assert main(["convert", str(source), str(target), "--spacing", "10", "--shape", "40,50,60"]) == 0
    assert f"{target}: 1 pick as RELION 5 STAR" in capsys.readouterr().out
    assert read_picks(target).points_zyx.tolist() == [[1, 2, 3]]
    assert read_picks(target).shape_zyx == (40, 50, 60)


def test_an_older_relion_can_be_asked_for(source, tmp_path):
    arguments = ["convert", str(source), str(tmp_path / "out.star"), "--spacing", "10", "--to", "relion4"]

    assert main(arguments) == 0
    assert "rlnCoordinateX" in (tmp_path / "out.star").read_text()


def test_what_is_missing_is_said_as_options(source, tmp_path, capsys):
    assert main(["convert", str(source), str(tmp_path / "out.json")]) == 1
    assert "Say --spacing Å." in capsys.readouterr().err

    write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, shape_zyx=(4, 5, 6)), tmp_path / "centred.star")
    text = (tmp_path / "centred.star").read_text()
    (tmp_path / "centred.star").write_text(text[text.index("\n") :])
    assert main(["convert", str(tmp_path / "centred.star"), str(tmp_path / "out.csv")]) == 1
    assert "Say --spacing Å and --shape Z,Y,X." in capsys.readouterr().err


def test_what_the_new_file_cant_hold_is_said(source, tmp_path, capsys):
    assert main(["convert", str(source), str(tmp_path / "out.tbl"), "--spacing", "10"]) == 0
    assert "note: A table always has angles" in capsys.readouterr().out


def test_of_several_alignments_one_is_chosen(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("z_voxel,y_voxel,x_voxel,alignment_id\n1,2,3,17\n4,5,6,18\n7,8,9,17\n")
    command = ["convert", str(tmp_path / "a.csv"), str(tmp_path / "b.star")]

    assert main([*command, "--alignment", "19"]) == 1
    assert "has no picks of AL-19. It has those of AL-17, AL-18." in capsys.readouterr().err
    assert main([*command, "--alignment", "AL-17"]) == 0
    assert "b.star: 2 picks" in capsys.readouterr().out
    found = read_picks(tmp_path / "b.star")
    assert (found.alignment_id, found.points_zyx.tolist()) == (17, [[1, 2, 3], [7, 8, 9]])
    assert "kept the 2 of 3 of AL-17" in found.edits


def test_it_is_said_before_the_file_is_there(source, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(convert, "say", lambda text: said.append((text, (tmp_path / "out.tbl").exists())))

    assert main(["convert", str(source), str(tmp_path / "out.tbl"), "--spacing", "10"]) == 0
    assert any(text.startswith("note: A table always has angles") and not is_there for text, is_there in said)


def test_what_is_to_be_known_of_the_source_is_said(source, tmp_path, capsys):
    assert main(["convert", str(source), str(tmp_path / "in.tbl"), "--spacing", "10"]) == 0
    (tmp_path / "in.tbl.provenance.json").unlink()  # so that it could be anybody's
    capsys.readouterr()

    assert main(["convert", str(tmp_path / "in.tbl"), str(tmp_path / "out.csv")]) == 0
    assert "note: Positions in Dynamo tables are taken to count from 1" in capsys.readouterr().out


def test_nothing_is_replaced_unasked(source, tmp_path, capsys):
    (tmp_path / "out.csv").write_text("mine")

    assert main(["convert", str(source), str(tmp_path / "out.csv")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert main(["convert", str(source), str(tmp_path / "out.csv"), "--overwrite"]) == 0


@pytest.mark.parametrize("wrong", [["--spacing", "0"], ["--spacing", "wide"], ["--shape", "1,2"], ["--shape", "0,1,2"]])
def test_what_isnt_understood_is_said(source, tmp_path, wrong):
    with pytest.raises(SystemExit) as raised:
        main(["convert", str(source), str(tmp_path / "out.csv"), *wrong])
    assert raised.value.code == 2


def test_losses_reach_a_pipe_before_anything_is_written(source, tmp_path, monkeypatch):
    class Pipe(io.StringIO):
        flushed = ""

        def flush(self):
            Pipe.flushed = self.getvalue()

    def write(*_arguments, **_options):
        raise SaveError(f"so far: {Pipe.flushed}")

    monkeypatch.setattr(sys, "stdout", Pipe())
    monkeypatch.setattr(convert, "write_picks", write)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["convert", str(source), str(tmp_path / "out.tbl")]) == 1
    assert "so far: note: " in sys.stderr.getvalue()


def test_a_target_without_any_name_is_called_what_it_is(source, capsys):
    assert main(["convert", str(source), "."]) == 1
    assert "A name like . doesn't say in which format." in capsys.readouterr().err


def test_an_address_is_said_to_be_one(source, capsys):
    assert main(["convert", "https://host/a.star", "b.star"]) == 1
    assert "https://host/a.star is an address" in capsys.readouterr().err
    assert main(["convert", str(source), "s3://host/a.csv"]) == 1
    assert "s3://host/a.csv is an address" in capsys.readouterr().err


def test_a_path_that_no_file_can_have_is_named(source, capsys):
    assert main(["convert", "a\0.star", "b.star"]) == 1
    assert "'a\\x00.star' can't be a path" in capsys.readouterr().err
    assert main(["convert", str(source), "a\0.csv"]) == 1
    assert "'a\\x00.csv' can't be a path" in capsys.readouterr().err
