"""Files of picks in every text format, after editors, other systems and mistakes had them."""

import gzip
import json
import os

import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.picks import Picks

FORMATS = {
    "ndjson": "a.ndjson",
    "relion4": "a.star",
    "dynamo": "a.tbl",
    "copick": "a.json",
    "csv": "a.csv",
}
PICKS = Picks([[1.5, 2, 3], [4, 5, 6]], 10.0, scores=[0.5, 0.25])


@pytest.fixture(params=FORMATS)
def path(request, tmp_path):
    made = write_picks(PICKS, tmp_path / FORMATS[request.param], format=request.param)
    (tmp_path / f"{made.path.name}.provenance.json").unlink(missing_ok=True)
    return made.path


def test_a_byte_order_mark_and_line_ends_of_windows_change_nothing(path):
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    found = read_picks(path)
    np.testing.assert_allclose(found.points_zyx, PICKS.points_zyx, atol=1e-9)
    assert found.scores.tolist() == [0.5, 0.25]


@pytest.mark.parametrize("format_is_named", [False, True])
@pytest.mark.parametrize(
    ("made_of", "why"),
    [
        (gzip.compress, "is compressed with gzip. Unpack it first."),
        (lambda content: content.decode().encode("utf-16"), "is text in UTF-16"),
    ],
)
def test_what_is_no_plain_text_is_called_what_it_is(path, made_of, why, format_is_named):
    path.write_bytes(made_of(path.read_bytes()))
    name = next(name for name, file in FORMATS.items() if file == path.name)

    with pytest.raises(FormatError, match=f"{path.name} {why}"):
        read_picks(path, format=name if format_is_named else None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_is_never_waited_for(path):
    path.unlink()
    os.mkfifo(path)
    name = next(name for name, file in FORMATS.items() if file == path.name)

    for given in (None, name):
        with pytest.raises(FormatError, match=r"is no file\."):
            read_picks(path, format=given)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", "z_voxel,y_voxel,x_voxel\n1,2,3\n1,,nan\n", "row 2 has no finite position along y and x"),
        ("a.csv", "z_voxel,y_voxel,x_voxel\n1,2,3\n1,two,3\n", "y_voxel isn't a column of numbers: row 2 has 'two'"),
        ("a.csv", "z_voxel,y_voxel,x_voxel,pick_id\n1,2,3,7\n1,2,4,7\n", "several picks with the id 7"),
        ("a.csv", "z_voxel;y_voxel;x_voxel\n1,5;2;3\n", "separates its columns by semicolons"),
        ("a.csv", "z_voxel\ty_voxel\tx_voxel\n1\t2\t3\n", "separates its columns by tabs"),
        ("a.csv", f"{'x' * 10_000}\n1\n", r"it has x{60}…\)"),
        ("a.tbl", " ".join(["1"] * 23 + ["nan"] + ["1"] * 11) + "\n", "row 1 has no finite position along x"),
        ("a.tbl", "1 " * 30_000 + "\n", "a row of it has more than 200 columns"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path, name, text, why):
    (tmp_path / name).write_text(text)

    with pytest.raises(FormatError, match=why):
        read_picks(tmp_path / name, format={"a.csv": "csv", "a.tbl": "dynamo"}[name])


def test_spaces_around_a_columns_name_are_no_part_of_it(tmp_path):
    (tmp_path / "a.csv").write_text("z_voxel, y_voxel , x_voxel, mine\n1,2,3,4\n")

    found = read_picks(tmp_path / "a.csv")
    assert found.points_zyx.tolist() == [[1, 2, 3]]
    assert list(found.features) == [" mine"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"transformation_": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2]]}, "last row of its transf"),
        ({"transformation_": 5}, "its transformation_ isn't 4 x 4"),
        ({"location": None}, "its location lacks numbers"),
        ({"location": [1, 2, 3]}, "its location lacks numbers"),
        ({"score": "high"}, "its score has 'high', which is no number"),
        ({"instance_id": "seven"}, "its instance_id 'seven' is no whole number"),
    ],
)
def test_what_is_wrong_with_a_point_of_copick_is_said_in_words(tmp_path, changes, why):
    made = write_picks(PICKS, tmp_path / "a.json").path
    document = json.loads(made.read_text())
    document["points"][1] |= changes
    made.write_text(json.dumps(document))

    with pytest.raises(FormatError, match=rf"a\.json: point 2 can't be used: .*{why}"):
        read_picks(made)


@pytest.mark.parametrize("tag", ["1e30", "-1e19", "9007199254740993"])
def test_tags_that_no_id_can_be_are_none(tmp_path, tag):
    (tmp_path / "a.tbl").write_text(" ".join([tag, *["0"] * 22, "4", "3", "2", *["0"] * 9]) + "\n")

    assert read_picks(tmp_path / "a.tbl").ids.tolist() == [0]


def test_widths_of_voxels_that_differ_are_told(tmp_path):
    rows = [" ".join([tag, *["0"] * 22, "4", "3", "2", *["0"] * 9, width]) for tag, width in (("1", "5"), ("2", "6"))]
    (tmp_path / "a.tbl").write_text("\n".join(rows) + "\n")

    found = read_picks(tmp_path / "a.tbl")
    assert found.spacing_angstrom is None
    assert any("apix isn't one positive width" in warning for warning in found.about["warnings"])


@pytest.mark.parametrize("name", [*FORMATS.values(), "a.parquet"])
def test_a_name_that_is_no_text_is_no_obstacle(tmp_path, name):
    folder = tmp_path / os.fsdecode(b"\xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("a disk that only has names of text")
    first = write_picks(PICKS.changed(shape_zyx=(9, 9, 9)), folder / name).path
    second = write_picks(read_picks(first), folder / f"2{name}").path

    np.testing.assert_allclose(read_picks(second).points_zyx, PICKS.points_zyx, atol=1e-9)
