"""CSV and Parquet: column names define the meaning of columns."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.registry import detect_format, read_picks
from napari_cryoet.picks import NO_INSTANCE

HEADER = "z_voxel,y_voxel,x_voxel"


def csv(folder, text, encoding="utf-8"):
    path = folder / "a.csv"
    path.write_bytes(text.encode(encoding))
    return path


def parquet(folder, **columns):
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize(
    "header",
    [
        "z_angstrom,y_angstrom,x_angstrom",
        "Z [A],Y [A],X [A]",
        "z (Å), y (Å), x (Å)",
        "z_angstrom;y_angstrom;x_angstrom",
    ],
)
def test_positions_in_angstrom_need_the_voxel_spacing(tmp_path, header):
    path = csv(tmp_path, f"{header}\n{'30;20;10' if ';' in header else '30,20,10'}\n")
    with pytest.raises(MissingContextError) as raised:
        read_picks(path)

    assert raised.value.missing == ("spacing_angstrom",)
    assert read_picks(path, spacing_angstrom=5.0).points_zyx.tolist() == [[6, 4, 2]]
    assert detect_format(path) == "csv"


def test_units_that_contradict_each_other_are_refused_by_row(tmp_path):
    header = f"{HEADER},z_angstrom,y_angstrom,x_angstrom,voxel_spacing_angstrom"
    same = csv(tmp_path, f"{header}\n1,2,3,10.04,20,30,10\n")
    assert read_picks(same).points_zyx.tolist() == [[1, 2, 3]]
    with pytest.raises(FormatError, match="row 2"):
        read_picks(csv(tmp_path, f"{header}\n1,2,3,10,20,30,10\n1,2,4,10,20,30,10\n"))


def test_other_columns_mean_what_they_say(tmp_path):
    axes = [f"particle_{own}_axis_{axis}" for axis in "zyx" for own in "zyx"]
    matrix = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    header = f"{HEADER},pick_id,instance_id,score,{','.join(axes)},class"
    rows = [f"1,2,3,7,4,0.5,{','.join(map(str, matrix.ravel()))},a", f"1,2,4,9.0,,,{','.join([''] * 9)},b"]
    found = read_picks(csv(tmp_path, "\n".join([header, *rows]) + "\n"))

    assert (found.ids.tolist(), found.instance_ids.tolist()) == ([7, 9], [4, NO_INSTANCE])
    np.testing.assert_array_equal(found.scores, [0.5, np.nan])
    assert found.rotations_zyx[0].tolist() == matrix.tolist()
    assert found.features["class"].tolist() == ["a", "b"]
    with pytest.raises(FormatError, match=axes[8]):
        read_picks(csv(tmp_path, f"{HEADER},{','.join(axes[:8])}\n{','.join('1' * 11)}\n"))


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1, 2.5]),
        (["2024_01", "1"], ["2024_01", "1"]),
        ([*["1"] * 300_000, "2.5"], [*[1.0] * 300_000, 2.5]),
        (["9007199254740993", "1"], [9007199254740993, 1]),
        (["True", "False"], [True, False]),
        (["a", ""], ["a", ""]),
    ],
)
def test_columns_of_numbers_are_numbers(tmp_path, texts, values):
    found = read_picks(csv(tmp_path, f"{HEADER},a\n" + "".join(f"1,2,3,{text}\n" for text in texts)))

    assert found.features["a"].tolist() == values


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("x,y,z\n1,2,3\n", "z_voxel"),
        ("index,axis-0,axis-1,axis-2\n0,1,2,3\n", "axis-0"),
        (f"{HEADER}\n1,2,x\n", "x_voxel"),
        (f"{HEADER}\n1,2,\n", "pick 1"),
        (f"{HEADER}\n1,2,3,4\n", "4"),
        (f"{HEADER},z_voxel\n1,2,3,4\n", "same name"),
        (f"{HEADER},pick_id\n1,2,3,7\n1,2,3,7\n", "unique"),
        (f"{HEADER},pick_id\n1,2,3,0.5\n", "pick_id"),
        (f"{HEADER},pick_id\n1,2,3,{2**63 - 1}\n", "2\\^62"),
        (f"{HEADER},voxel_spacing_angstrom\n1,2,3,10\n1,2,3,20\n", "several"),
        (f"{HEADER},voxel_spacing_angstrom\n1,2,3,-1\n", "wide"),
    ],
)
def test_odd_tables_are_refused_with_what_is_wrong(tmp_path, text, noun):
    with pytest.raises(FormatError, match=noun):
        read_picks(csv(tmp_path, text))


def test_text_of_another_encoding_is_named(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        with pytest.raises(FormatError, match="UTF"):
            read_picks(csv(tmp_path, f"{HEADER},by\n1,2,3,é\n", encoding))
    assert len(read_picks(csv(tmp_path, f"\ufeff{HEADER}\r\n1,2,3\r\n"))) == 1


def test_parquet_keeps_types(tmp_path):
    position = {"z_voxel": [1.0, 2], "y_voxel": [1, 2], "x_voxel": [1.0, 2]}
    times = pd.to_datetime(["2026-01-02", None])
    found = read_picks(
        parquet(
            tmp_path,
            **position,
            n=[2**60, 1],
            part=[1, None],
            kind=pa.array(["a", "b"]).dictionary_encode(),
            when=times,
        )
    )

    assert found.features["n"].tolist() == [2**60, 1]
    assert found.features["kind"].tolist() == ["a", "b"]
    assert found.features["when"].tolist()[1] == ""
    assert "2026-01-02" in found.features["when"][0]


def test_parquet_with_a_column_twice_or_damaged_is_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array([1.0])] * 4, names=["z_voxel", "y_voxel", "x_voxel", "x_voxel"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(FormatError):
        read_picks(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(FormatError):
        read_picks(tmp_path / "a.parquet")
