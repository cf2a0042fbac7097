import base64
import importlib
import json
import os
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from napari_cryoet.exceptions import FormatError, MissingContextError, SaveError
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.pick_formats import detect_format, losses
from napari_cryoet.picks import NO_INSTANCE, Picks


def csv(folder, text):
    (folder / "picks.csv").write_text(text)
    return folder / "picks.csv"


@pytest.mark.parametrize(("columns", "values"), [("voxel", "3,2,1"), ("angstrom", "30,20,10"), ("nanometer", "3,2,1")])
def test_columns_say_their_axis_and_their_unit(tmp_path, columns, values):
    header = ",".join(f"{axis}_{columns}" for axis in "zyx")
    found = read_picks(csv(tmp_path, f"{header},voxel_spacing_angstrom\n{values},10\n"))

    assert found.points_zyx.tolist() == [[3, 2, 1]]
    assert found.spacing_angstrom == 10.0


def test_columns_without_a_unit_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(FormatError, match=r"columns x, y, z don't say what they count.*z_voxel"):
        read_picks(csv(tmp_path, "x,y,z,by\n1,2,3,me\n"), format="csv")


def test_angstrom_without_a_spacing_are_asked_about_and_voxels_arent(tmp_path):
    with pytest.raises(MissingContextError) as raised:
        read_picks(csv(tmp_path, "z_angstrom,y_angstrom,x_angstrom\n30,20,10\n"))
    assert raised.value.missing == ("spacing_angstrom",)
    assert read_picks(csv(tmp_path, "z_voxel,y_voxel,x_voxel\n3,2,1\n")).spacing_angstrom is None


BOTH = "z_voxel,y_voxel,x_voxel,z_angstrom,y_angstrom,x_angstrom"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            f"{BOTH},voxel_spacing_angstrom\n1,2,3,10,20,30,10\n4,5,6,40,52,60,10\n",
            "row 2: y_voxel 5 and y_angstrom 52 aren't the same place at 10 Å a voxel",
        ),
        (f"{BOTH}\n1,2,3,10,20,30\n4,5,6,40,50,60\n7,8,9,70,80,990\n", "row 3: x_voxel 9 and x_angstrom 990"),
        (
            "z_nanometer,y_nanometer,x_nanometer,z_angstrom,y_angstrom,x_angstrom,voxel_spacing_angstrom\n"
            "1,2,3,10,20,3,10\n",
            "row 1: x_angstrom 3 and x_nanometer 3 aren't the same place",
        ),
    ],
)
def test_positions_in_two_units_that_contradict_each_other_are_refused_by_row(tmp_path, text, why):
    with pytest.raises(FormatError, match=why):
        read_picks(csv(tmp_path, text))

    table = pd.read_csv(tmp_path / "picks.csv")
    table.to_parquet(tmp_path / "picks.parquet")
    with pytest.raises(FormatError, match=why):
        read_picks(tmp_path / "picks.parquet")


def test_a_spacing_that_doesnt_fit_the_two_units_of_a_file_is_refused(tmp_path):
    path = csv(tmp_path, f"{BOTH}\n1,2,3,10,20,30\n")

    assert read_picks(path, spacing_angstrom=10).points_zyx.tolist() == [[1, 2, 3]]
    with pytest.raises(FormatError, match=r"row 1: z_voxel 1 and z_angstrom 10 .* 13\.48 Å a voxel"):
        read_picks(path, spacing_angstrom=13.48)


def test_positions_in_two_units_may_be_rounded_empty_or_short_of_digits(tmp_path):
    rows = "101.5,2,0,1368.2,27.0,0\n904.1,933.26,0,12187.3,12580.3,0.1\n4,5,6,,,\n"
    path = csv(tmp_path, f"{BOTH}\n{rows}")

    assert len(read_picks(path, spacing_angstrom=13.48)) == len(read_picks(path)) == 3
    points = np.random.default_rng(0).random((100, 3)) * 4000
    made = write_picks(Picks(points, 13.48), tmp_path / "a.parquet")
    pd.read_parquet(made.path).astype(np.float32).to_parquet(tmp_path / "b.parquet")
    assert len(read_picks(tmp_path / "b.parquet", spacing_angstrom=10)) == 100


def test_the_particles_axes_are_columns_in_words(tmp_path):
    rotation_xyz = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # the particle's z lies along x
    picks = Picks([[1.0, 2.0, 3.0]], 10.0, rotations_zyx=rotation_xyz[None, ::-1, ::-1])
    row = pd.read_csv(write_picks(picks, tmp_path / "a.csv").path).iloc[0]

    assert [row[f"particle_z_axis_{axis}"] for axis in "xyz"] == [1, 0, 0]
    assert [row[f"particle_x_axis_{axis}"] for axis in "xyz"] == [0, 0, -1]
    assert [row[f"{axis}_angstrom"] for axis in "xyz"] == [30, 20, 10]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("z_voxel,y_voxel,x_voxel\n1,2,far\n", "x_voxel isn't a column of numbers"),
        ("z_voxel,y_voxel,x_voxel,instance_id\n1,2,3,1.5\n", "instance_id isn't a column of whole numbers"),
        ("z_voxel,y_voxel,x_voxel,particle_z_axis_z\n1,2,3,1\n", "lacks"),
        ("z_voxel,y_voxel,x_voxel,voxel_spacing_angstrom\n1,2,3,1\n1,2,3,2\n", "several voxel spacings"),
        ("z_voxel,y_voxel,x_voxel,voxel_spacing_angstrom\n1,2,3,10\n1,2,3,\n", r"spacings \(10 Å, none\)"),
        (
            "z_angstrom,y_angstrom,x_angstrom,voxel_spacing_angstrom\n1,2,3,0\n",
            "a voxel can't be 0 Å wide, as its voxel_",
        ),
        ("z_angstrom,y_angstrom,x_angstrom,voxel_spacing_angstrom\n1,2,3,-5\n", "a voxel can't be -5 Å wide"),
        ("z_angstrom,y_angstrom,x_angstrom,voxel_spacing_angstrom\n1,2,3,inf\n", "a voxel can't be inf Å wide"),
        ('z_voxel,y_voxel,x_voxel,by\n1,2,3,"me\n4,5,6,you\n', "EOF inside string"),
        ('z_voxel,y_voxel,x_voxel,by\n1,2,3,"me"\n4,5,6,"yo', "EOF inside string"),
        ("z_voxel,y_voxel,x_voxel\n1,2,inf\n", "finite"),
        (f"z_voxel,y_voxel,x_voxel,pick_id\n1,2,3,{2**63 - 1}\n", "a pick with the id 9223372036854775807, beyond"),
    ],
)
def test_damage_is_told_in_words(tmp_path, text, why):
    with pytest.raises(FormatError, match=why):
        read_picks(csv(tmp_path, text))


def test_a_column_of_spacings_that_is_empty_says_nothing(tmp_path):
    text = "z_angstrom,y_angstrom,x_angstrom,voxel_spacing_angstrom\n30,20,10,\n30,20,10,\n"

    with pytest.raises(MissingContextError) as raised:
        read_picks(csv(tmp_path, text))
    assert raised.value.missing == ("spacing_angstrom",)
    assert read_picks(csv(tmp_path, text), spacing_angstrom=10).points_zyx.tolist() == [[3, 2, 1]] * 2


def test_texts_in_quotes_may_have_commas_quotes_and_lines(tmp_path):
    text = 'z_voxel,y_voxel,x_voxel,by\n1,2,3,"a, ""b""\nc"\n4,5,6,5" disc\n'

    assert read_picks(csv(tmp_path, text)).features["by"].tolist() == ['a, "b"\nc', '5" disc']


def test_parquet_carries_units_and_provenance_in_its_metadata(tmp_path):
    picks = Picks([[1.0, 2.0, 3.0]], 10.0, about={"authors": ["Ada"]}, edits=("one moved",))
    made = write_picks(picks, tmp_path / "a.parquet", who="Grace")
    schema = pq.read_schema(made.path)
    notes = json.loads(schema.metadata[b"napari_cryoet"])

    assert schema.field("z_voxel").metadata == {b"unit": b"voxel"}
    assert schema.field("z_angstrom").metadata == {b"unit": b"angstrom"}
    assert notes["source"]["authors"] == ["Ada"]
    assert (notes["written_by"], notes["edits"]) == ("Grace", ["one moved"])
    assert made.provenance_path is None


def test_a_column_that_would_be_taken_for_something_else_is_said_to_be_left_out():
    picks = Picks([[1.0, 2.0, 3.0]], features={"x_angstrom": np.array([1.0])})

    assert losses(picks, "csv") == ("Columns called x_angstrom would be taken for something else; they are left out.",)


@pytest.mark.parametrize("row", ["1,2,3,0.5,", "7,1,2,3,0.5"])
def test_values_that_no_column_is_named_for_never_move_the_others(tmp_path, row):
    with pytest.raises(FormatError, match="more values in a row than names"):
        read_picks(csv(tmp_path, f"z_voxel,y_voxel,x_voxel,score\n{row}\n"))


def test_ids_in_a_column_with_gaps_may_look_like_numbers_with_a_point(tmp_path):
    found = read_picks(csv(tmp_path, "z_voxel,y_voxel,x_voxel,instance_id\n1,2,3,4.0\n1,2,3,\n"))

    assert found.instance_ids.tolist() == [4, NO_INSTANCE]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("z_voxel,y_voxel,x_voxel,pick_id\n1,2,3,9223372036854775808\n", "isn't a column of whole numbers"),
        ("z_voxel,y_voxel,x_voxel,x_voxel\n1,2,3,4\n", "several columns called x_voxel"),
        ("z,y,x\r1,2,3\r", "the columns z, y, x don't say what they count"),
    ],
)
def test_odd_tables_are_told_in_words(tmp_path, text, why):
    with pytest.raises(FormatError, match=why):
        read_picks(csv(tmp_path, text))


def test_names_of_digits_stay_names(tmp_path):
    path = csv(tmp_path, "z_voxel,y_voxel,x_voxel,day,plate,class\n1,2,3,2024_01,007,7\n1,2,3,2024_02,010,-8\n")
    features = read_picks(path).features

    assert features["day"].tolist() == ["2024_01", "2024_02"]
    assert features["plate"].tolist() == ["007", "010"]
    assert features["class"].tolist() == [7, -8]


@pytest.mark.parametrize("name", ["a.picks.csv", "a.json"])
def test_text_of_another_encoding_is_named_with_its_line(tmp_path, name):
    text = "z_voxel,y_voxel,x_voxel,é\n" if name.endswith("csv") else '{"points": [],\n"é": 1}'
    (tmp_path / name).write_bytes(text.encode("latin-1"))

    with pytest.raises(FormatError, match=r"line [12]: this isn't UTF-8 text\. Save the file anew"):
        read_picks(tmp_path / name, format="csv" if name.endswith("csv") else "copick")


def test_a_parquet_file_of_types_that_there_arent_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({f"{axis}_voxel": [1] for axis in "zyx"}), path)
    schema = pq.read_metadata(path).metadata[b"ARROW:schema"]
    of_128_bits = base64.b64decode(schema).replace(b"\x40\0\0\0", b"\x80\0\0\0")
    path.write_bytes(path.read_bytes().replace(schema, base64.b64encode(of_128_bits)))

    with pytest.raises(FormatError, match="no Parquet file that can be read"):
        read_picks(path)


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path):
    columns = [pa.array([1.0])] * 4
    pq.write_table(pa.table(columns, names=["z_voxel", "y_voxel", "x_voxel", "x_voxel"]), tmp_path / "a.parquet")

    with pytest.raises(FormatError, match=r"a\.parquet has several columns called x_voxel\.$"):
        read_picks(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([[1, 2], None]), ["[1, 2]", ""]),
        (pa.array([{"a": 1}, None]), ["{'a': 1}", ""]),
        (pa.array([b"\xff", None]), ["b'\\xff'", ""]),
        (pa.array([Decimal("0.10"), None]), ["0.10", ""]),
        (pa.array([45_296_123_456_789, None]).cast(pa.time64("ns")), ["12:34:56.123456789", ""]),
        (pa.array([2**62, None]).cast(pa.duration("s")), [f"{2**62} seconds", ""]),
        (pa.array([1, None]).cast(pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001", ""]),
        (pa.array([1_000_000, None], pa.timestamp("us", "No/Zone")), ["1970-01-01 00:00:01.000000Z", ""]),
        (pa.array([1_000_000, None], pa.timestamp("us", "Europe/Berlin")), ["1970-01-01 00:00:01.000000Z", ""]),
        (pa.array([10**9, None], pa.int32()).cast(pa.date32()), ["<value out of range: 1000000000>", ""]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_what_is_neither_number_nor_text_in_parquet_is_read_as_text_and_told(tmp_path, column, texts):
    places = dict.fromkeys(("z_voxel", "y_voxel", "x_voxel"), pa.array([1.0, 2.0]))
    pq.write_table(pa.table(places | {"more": column, "name": pa.array(["a", None])}), tmp_path / "a.parquet")

    picks = read_picks(tmp_path / "a.parquet")
    assert picks.features["more"].tolist() == texts
    (said,) = picks.about["warnings"]
    assert said.startswith("Columns that aren't plain numbers or texts were read as texts: more.")
    assert ("Times of a zone are in UTC." in said) == (getattr(column.type, "tz", None) is not None)


def test_numbers_and_texts_of_any_kind_are_read_from_parquet_without_a_word(tmp_path):
    places = dict.fromkeys(("z_voxel", "y_voxel", "x_voxel"), pa.array([1.0, 2.0]))
    columns = {
        "code": pa.array(["a", None]).dictionary_encode(),
        "level": pa.array([1.5, 2.5]).dictionary_encode(),
        "view": pa.array(["a", "b"], pa.string_view()),
        "large": pa.array(["a", "b"], pa.large_string()),
        "half": pa.array([0.5, 1.5], pa.float16()),
        "whole": pa.array([2**53 + 1, None]),
        "is_it": pa.array([True, None]),
        "nothing": pa.nulls(2),
    }
    pq.write_table(pa.table(places | columns), tmp_path / "a.parquet")

    picks = read_picks(tmp_path / "a.parquet")
    assert "warnings" not in picks.about
    assert {name: column.tolist() for name, column in picks.features.items()} == {
        "code": ["a", ""],
        "level": [1.5, 2.5],
        "view": ["a", "b"],
        "large": ["a", "b"],
        "half": [0.5, 1.5],
        "whole": [2**53 + 1, None],
        "is_it": [True, None],
        "nothing": ["", ""],
    }


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (pa.array([1, None]), "a row has none"),
        (pa.array([2**64 - 1, 1], pa.uint64()), f"{2**64 - 1} has more than 64 bits"),
        (pa.array(["one", "2"]), "'one' is none"),
    ],
)
def test_what_is_no_id_is_named_in_words(tmp_path, ids, why):
    places = dict.fromkeys(("z_voxel", "y_voxel", "x_voxel"), pa.array([1.0, 2.0]))
    pq.write_table(pa.table(places | {"pick_id": ids}), tmp_path / "a.parquet")

    with pytest.raises(FormatError, match=rf"pick_id isn't a column of whole numbers \({why}\)"):
        read_picks(tmp_path / "a.parquet")


@pytest.mark.parametrize(("name", "module"), [("a.parquet", "pyarrow.parquet"), ("a.csv", "pyarrow.csv")])
def test_arrows_threads_get_no_file_of_pythons(tmp_path, monkeypatch, name, module):
    """They may let go of it only when Python has ended, and then abort the process (apache/arrow issue 34314)."""
    path = write_picks(Picks(np.ones((3, 3)), 10.0), tmp_path / name).path
    library, given = importlib.import_module(module), []
    function = "read_table" if name == "a.parquet" else "read_csv"
    read = getattr(library, function)
    monkeypatch.setattr(library, function, lambda file, **options: given.append(file) or read(file, **options))

    assert len(read_picks(path)) == 3
    assert [type(file) for file in given] == [pa.OSFile]


def test_names_that_are_no_text_are_read_all_the_same(tmp_path):
    for name in (b"bad\xff.csv", b"bad\xff.parquet"):
        try:
            path = write_picks(Picks(np.ones((3, 3)), 10.0), os.path.join(tmp_path, os.fsdecode(name))).path
        except SaveError:
            pytest.skip("this disk takes names of text only")
        assert len(read_picks(path)) == 3


def test_a_name_of_a_column_may_have_a_line_feed_that_makes_the_rest_of_it_look_like_a_row(tmp_path):
    picks = read_picks(csv(tmp_path, 'z_voxel,y_voxel,x_voxel,"by\n1,2,3,me"\n4,5,6,you\n'))

    assert picks.points_zyx.tolist() == [[4, 5, 6]]
    assert list(picks.features) == ["by\n1,2,3,me"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (",", ["Unnamed: 3", "Unnamed: 4"]),
        (",,Unnamed: 3", ["Unnamed: 3.1", "Unnamed: 4"]),
        ("a,a", ["a.1"]),
        ("a,a,a.1", ["a.2"]),
        (" , ", ["' .1'"]),
        ("by,", []),
    ],
)
def test_columns_without_a_name_or_of_the_same_are_kept_apart_and_that_is_told(tmp_path, names, told):
    n_columns = names.count(",") + 1
    numbers = range(n_columns)
    rows = f"z_voxel,y_voxel,x_voxel,{names}\n1,2,3,{','.join(map(str, numbers))}\n"
    (tmp_path / "a.csv").write_text(rows)

    found = read_picks(tmp_path / "a.csv", spacing_angstrom=10.0)

    assert [column.tolist() for column in found.features.values()] == [[number] for number in numbers]
    said = [f"Columns without a name, or called as others, have new names: {', '.join(told)}."] if told else None
    assert found.about.get("warnings") == said


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_columns_of_places_along_some_axes_only_are_named_as_left_out(tmp_path, name):
    columns = {"z_voxel": [1.0], "y_voxel": [2.0], "x_voxel": [3.0], "z_angstrom": [10.0], "x_nanometer": [0.3]}
    table = pd.DataFrame(columns)
    table.to_parquet(tmp_path / name) if name == "a.parquet" else table.to_csv(tmp_path / name, index=False)

    (said,) = read_picks(tmp_path / name).about["warnings"]
    assert said == "Columns of places along some axes only were left out: z_angstrom, x_nanometer."


def test_names_of_columns_come_back_whatever_they_are(tmp_path):
    names = ["line\nbreak", "", "Unnamed: 4", "a,b", 'a"b']
    picks = Picks([[1.0, 2.0, 3.0]], features={name: np.array([number]) for number, name in enumerate(names)})

    assert list(read_picks(write_picks(picks, tmp_path / "a.csv").path).features) == names


@pytest.mark.parametrize("name", ["a.csv", "a.star", "a.ndjson", "a.parquet"])
def test_narrow_reals_are_the_same_numbers_when_they_come_back(tmp_path, name):
    values = np.random.default_rng(0).random(50).astype(np.float32)
    picks = Picks(np.zeros((50, 3)), 10.0, features={"value": values})

    assert read_picks(write_picks(picks, tmp_path / name).path).features["value"].tolist() == values.tolist()


@pytest.mark.parametrize("name", ["a.csv", "a.star", "a.ndjson", "a.parquet"])
def test_columns_of_no_picks_keep_their_types(tmp_path, name):
    picks = Picks(
        np.empty((0, 3)), 10.0, features={"n": np.empty(0, np.int8), "x": np.empty(0), "t": np.empty(0, bool)}
    )
    found = read_picks(write_picks(picks, tmp_path / name).path)

    assert [column.dtype.kind for column in found.features.values()] == ["i", "f", "b"]


def test_lines_of_blanks_are_no_rows_and_nothing_is_told_of_them(tmp_path):
    picks = read_picks(csv(tmp_path, "z_voxel,y_voxel,x_voxel,note\n \n1,2,3,a\n\t\n4,5,6,b\n \n"))
    assert picks.features["note"].tolist() == ["a", "b"]
    assert "warnings" not in picks.about

    (said,) = read_picks(csv(tmp_path, "z_voxel,y_voxel,x_voxel,note\n \n1,2,3,a\n\t\n4,5,6\n")).about["warnings"]
    assert "1 of 2 rows" in said
    assert "(row 2)" in said


def test_rows_that_are_too_short_are_told(tmp_path):
    picks = read_picks(csv(tmp_path, "z_voxel,y_voxel,x_voxel,score\n1,2,3\n4,5,6,7\n7,8,9,\n"))

    assert picks.scores[1] == 7
    assert picks.about["warnings"] == [
        "1 of 3 rows have fewer values than there are columns; what they lack was taken to be at their end (row 1)."
    ]


def test_words_for_no_number_are_none_in_columns_of_numbers(tmp_path):
    head = "z_voxel,y_voxel,x_voxel,score,instance_id,radius,state,salt"
    found = read_picks(csv(tmp_path, f"{head}\n1,2,3,NA,NA,1.5,NA,NA\n4,5,6,0.5,7,NA,open,NA\n7,8,9,NaN,NaN,,,\n"))

    np.testing.assert_array_equal(found.scores, [np.nan, 0.5, np.nan])
    assert found.instance_ids.tolist() == [NO_INSTANCE, 7, NO_INSTANCE]
    np.testing.assert_array_equal(found.features["radius"], [1.5, np.nan, np.nan])
    assert found.features["state"].tolist() == ["NA", "open", ""]
    assert found.features["salt"].tolist() == ["NA", "NA", ""]


def test_words_for_no_number_are_no_positions_and_no_ids(tmp_path):
    with pytest.raises(FormatError, match="row 2 has no finite position along y"):
        read_picks(csv(tmp_path, "z_voxel,y_voxel,x_voxel\n1,2,3\n4,NA,6\n"))
    with pytest.raises(FormatError, match="pick_id isn't a column of whole numbers"):
        read_picks(csv(tmp_path, "z_voxel,y_voxel,x_voxel,pick_id\n1,2,3,1\n4,5,6,NA\n"))


def test_texts_that_look_like_no_number_come_back_from_files_of_ours(tmp_path):
    picks = Picks([[1.0, 2, 3], [4, 5, 6]], features={"ion": np.array(["NA", "12"], dtype=object)})

    assert read_picks(write_picks(picks, tmp_path / "a.csv").path).features["ion"].tolist() == ["NA", "12"]


@pytest.mark.parametrize("start", ["sep=;\n", "\ufeffsep=;\r\n", '"SEP=;"\n'])
def test_a_first_line_for_excel_says_what_separates_columns(tmp_path, start):
    path = tmp_path / "a.picks.csv"
    path.write_text(f'{start}z_voxel;y_voxel;x_voxel;note\n1;2;3;"a;b"\n4;5;6,5;c\n', encoding="utf-8", newline="")
    assert detect_format(path) == "csv"
    with pytest.raises(FormatError, match="x_voxel isn't a column of numbers: row 2 has '6,5'"):
        read_picks(path)

    path.write_text(path.read_text().replace("6,5", "6.5"), newline="")
    found = read_picks(path)
    assert found.points_zyx.tolist() == [[1, 2, 3], [4, 5, 6.5]]
    assert found.features["note"].tolist() == ["a;b", "c"]


def test_a_first_line_for_excel_is_no_row_and_no_names(tmp_path):
    found = read_picks(csv(tmp_path, "sep=,\nz_voxel,y_voxel,x_voxel,score\n1,2,3,0.5\n4,5,6\n"))

    assert found.points_zyx.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert "(row 2)" in found.about["warnings"][0]
    with pytest.raises(FormatError, match="the columns z, y, x don't say what they count"):
        read_picks(csv(tmp_path, "sep=,\nz,y,x\n1,2,3\n"))
    with pytest.raises(FormatError, match="separates its columns by semicolons"):
        read_picks(csv(tmp_path, "sep=,\nz_voxel;y_voxel;x_voxel\n1;2;3\n"))
