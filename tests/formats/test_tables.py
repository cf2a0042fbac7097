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
def test_positions_in_angstrom_require_the_voxel_spacing(tmp_path, header):
    path = csv(tmp_path, f"{header}\n{'30;20;10' if ';' in header else '30,20,10'}\n")
    with pytest.raises(MissingContextError) as raised:
        read_picks(path)

    assert raised.value.missing == ("spacing_angstrom",)
    assert read_picks(path, spacing_angstrom=5.0).points_zyx.tolist() == [[6, 4, 2]]
    assert detect_format(path) == "csv"


def test_rows_with_contradictory_units_are_refused(tmp_path):
    header = f"{HEADER},z_angstrom,y_angstrom,x_angstrom,voxel_spacing_angstrom"
    same = csv(tmp_path, f"{header}\n1,2,3,10.04,20,30,10\n")
    assert read_picks(same).points_zyx.tolist() == [[1, 2, 3]]
    with pytest.raises(FormatError, match="row 2"):
        read_picks(csv(tmp_path, f"{header}\n1,2,3,10,20,30,10\n1,2,4,10,20,30,10\n"))


def test_known_columns_become_attributes_and_others_features(tmp_path):
    axes = [f"particle_{own}_axis_{axis}" for axis in "zyx" for own in "zyx"]
    matrix = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
    header = f"{HEADER},pick_id,instance_id,score,{','.join(axes)},class"
    rows = [
        f"1,2,3,7,4,0.5,{','.join(map(str, matrix.ravel()))},a",
        f"1,2,4,9.0,,,{','.join([''] * 9)},b",
    ]
    picks = read_picks(csv(tmp_path, "\n".join([header, *rows]) + "\n"))

    assert (picks.ids.tolist(), picks.instance_ids.tolist()) == ([7, 9], [4, NO_INSTANCE])
    np.testing.assert_array_equal(picks.scores, [0.5, np.nan])
    assert picks.rotations_zyx[0].tolist() == matrix.tolist()
    assert picks.features["class"].tolist() == ["a", "b"]
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
def test_column_types_are_inferred_from_all_rows(tmp_path, texts, values):
    picks = read_picks(
        csv(tmp_path, f"{HEADER},a\n" + "".join(f"1,2,3,{text}\n" for text in texts))
    )

    assert picks.features["a"].tolist() == values


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
def test_invalid_tables_are_refused_with_the_reason(tmp_path, text, noun):
    with pytest.raises(FormatError, match=noun):
        read_picks(csv(tmp_path, text))


def test_encodings_other_than_utf_8_are_refused(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        with pytest.raises(FormatError, match="UTF"):
            read_picks(csv(tmp_path, f"{HEADER},by\n1,2,3,é\n", encoding))
    assert len(read_picks(csv(tmp_path, f"\ufeff{HEADER}\r\n1,2,3\r\n"))) == 1


def test_parquet_columns_keep_their_types(tmp_path):
    position = {"z_voxel": [1.0, 2], "y_voxel": [1, 2], "x_voxel": [1.0, 2]}
    times = pd.to_datetime(["2026-01-02", None])
    picks = read_picks(
        parquet(
            tmp_path,
            **position,
            n=[2**60, 1],
            part=[1, None],
            kind=pa.array(["a", "b"]).dictionary_encode(),
            when=times,
        )
    )

    assert picks.features["n"].tolist() == [2**60, 1]
    assert picks.features["kind"].tolist() == ["a", "b"]
    assert picks.features["when"].tolist()[1] == ""
    assert "2026-01-02" in picks.features["when"][0]


def test_damaged_parquet_and_duplicate_columns_are_refused(tmp_path):
    table = pa.Table.from_arrays(
        [pa.array([1.0])] * 4, names=["z_voxel", "y_voxel", "x_voxel", "x_voxel"]
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(FormatError):
        read_picks(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(FormatError):
        read_picks(tmp_path / "a.parquet")
