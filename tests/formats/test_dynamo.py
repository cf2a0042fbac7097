import dynamotable
import numpy as np
import pandas as pd
import pytest

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.dynamo import read_table
from napari_cryoet.formats.exchange import Context
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.pick_formats import losses
from napari_cryoet.picks import Picks, joined

NO_CONTEXT = Context()


def table(folder, **columns):
    dynamotable.write(pd.DataFrame(columns), str(folder / "particles.tbl"))
    return folder / "particles.tbl"


def test_positions_count_from_1_and_shifts_are_added(tmp_path):
    path = table(tmp_path, x=[1.0, 11.0], y=[1.0, 21.0], z=[1.0, 31.0], dx=[0.0, 0.5], dy=[0.0, 0.0], dz=[0.0, -2.0])

    assert read_table(path, NO_CONTEXT).points_zyx.tolist() == [[0, 0, 0], [28, 20, 10.5]]


def test_where_particles_were_cut_out_stays_in_the_table(tmp_path):
    columns = {"x": [10.0, 11.0], "y": [20.0, 21.0], "z": [30.0, 31.0], "dx": [0.5, 0.0], "dy": [-1.25, 2.0]}
    picks = read_picks(table(tmp_path, tomo=[3, 3], dz=[0.0, 0.0], **columns))
    assert picks.points_xyz.tolist() == [[9.5, 17.75, 29], [10, 22, 30]]
    assert not any("dx" in loss for loss in losses(picks, "dynamo"))

    made = write_picks(picks.added([[1.0, 2.0, 3.0]]), tmp_path / "again.tbl").path
    again = dynamotable.read(str(made))
    for name, column in columns.items():
        assert again[name].tolist()[:2] == column
    assert again[["x", "y", "z", "dx", "dy", "dz"]].iloc[2].tolist() == [4, 3, 2, 0, 0, 0]
    assert read_picks(made).points_zyx.tolist() == [*picks.points_zyx.tolist(), [1, 2, 3]]


def test_that_a_moved_pick_keeps_the_tag_of_what_was_cropped_at_its_old_place_is_said(tmp_path):
    picks = read_picks(table(tmp_path, x=[11.0], y=[21.0], z=[31.0], tomo=[3.0]))
    moved = picks.changed("moved 1 pick", points_zyx=picks.points_zyx + 1)

    assert any("keep their tags" in loss for loss in losses(moved, "dynamo"))
    assert not any("keep their tags" in loss for loss in losses(picks, "dynamo"))
    elsewhere = Picks(picks.points_zyx, edits=moved.edits)
    assert not any("keep their tags" in loss for loss in losses(elsewhere, "dynamo"))


def test_shifts_are_counted_in_the_voxels_that_positions_are_counted_in(tmp_path):
    path = table(tmp_path, x=[11.0], y=[21.0], z=[31.0], dx=[4.0], dy=[0.0], dz=[0.0], apix=[2.0])
    picks = read_table(path, Context(spacing_angstrom=4.0))

    again = dynamotable.read(str(write_picks(picks, tmp_path / "again.tbl").path))
    assert picks.points_xyz.tolist() == [[7, 10, 15]]
    assert again[["x", "dx", "apix"]].iloc[0].tolist() == [6, 2, 4]


@pytest.mark.parametrize("between", [".tbl", ".csv", ".star", ".ndjson", ".parquet"])
def test_shifts_are_rescaled_with_positions_also_by_way_of_another_format(tmp_path, between):
    path = table(tmp_path, x=[11.0], y=[21.0], z=[31.0], dx=[4.0], dy=[-3.0], dz=[0.0], apix=[2.0])
    way = write_picks(read_picks(path, shape_zyx=(60, 60, 60)), tmp_path / f"between{between}").path
    for picks in (read_picks(path).rescaled(4.0), read_picks(way, spacing_angstrom=4.0)):
        again = dynamotable.read(str(write_picks(picks, tmp_path / "again.tbl", overwrite=True).path))
        assert again[["x", "y", "z", "dx", "dy", "apix"]].iloc[0].tolist() == [6, 11, 16, 2, -1.5, 4]


def test_shifts_of_picks_that_were_joined_are_in_the_voxels_of_the_first(tmp_path):
    path = table(tmp_path, x=[11.0], y=[21.0], z=[31.0], dx=[4.0], dy=[-3.0], dz=[0.0], apix=[2.0])
    both = joined([Picks(np.ones((1, 3)), 4.0), read_picks(path)])

    for picks, dx in ((both, 2.0), (both.rescaled(8.0), 1.0)):
        again = dynamotable.read(str(write_picks(picks, tmp_path / "again.tbl", overwrite=True).path))
        assert again["dx"].tolist() == [0, dx]


def test_columns_of_another_program_that_are_called_as_shifts_are_left_as_they_are():
    columns = {name: np.array([1.5, 2.5]) for name in ("dx", "dy", "dz")}

    assert Picks(np.zeros((2, 3)), 8.0, features=columns).rescaled(4.0).features["dx"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("dx", "why"),
    [(["a", "b"], "no column for"), ([1e300, 0.0], "no column for"), ([np.nan, np.inf], "none: "), ([0, 0], "none: ")],
)
def test_columns_that_are_only_called_like_shifts_move_nothing_and_are_said_to_be_left_out(tmp_path, dx, why):
    column = np.array(dx)
    picks = Picks([[1.0, 2, 3], [4, 5, 6]], 8.0, features={"dx": column, "dy": column, "dz": column})

    assert any(why in loss and "dx, dy, dz" in loss for loss in losses(picks, "dynamo"))
    assert read_picks(write_picks(picks, tmp_path / "a.tbl").path).points_zyx.tolist() == picks.points_zyx.tolist()


def test_the_particle_turns_clockwise_onto_its_place(tmp_path):
    path = table(tmp_path, x=[1], y=[1], z=[1], tdrot=[0.0], tilt=[90.0], narot=[0.0])

    np.testing.assert_allclose(read_table(path, NO_CONTEXT).particle_axes_zyx(2), [[0, 1, 0]], atol=1e-12)


def test_what_was_never_written_is_nothing(tmp_path):
    found = read_table(table(tmp_path, x=[1, 2], y=[1, 2], z=[1, 2]), NO_CONTEXT)

    assert found.rotations_zyx is None
    assert found.scores is None
    assert found.instance_ids is None
    assert found.spacing_angstrom is None
    assert not found.features


@pytest.mark.parametrize("tags", [[5, 5], [5.5, 6], [2**53, 6]])
def test_tags_that_cant_be_ids_are_a_column_and_that_is_said(tmp_path, tags):
    found = read_table(table(tmp_path, tag=tags, x=[1, 2], y=[1, 2], z=[1, 2]), NO_CONTEXT)

    assert found.ids.tolist() == [0, 1]
    np.testing.assert_array_equal(found.features["tag"], tags)
    assert "the picks are counted anew" in found.about["warnings"][-1]
    assert "A table has no column for tag." in losses(found, "dynamo")


@pytest.mark.parametrize("numbers", [[20260115, 20260116], [1, 1.0000001]])
def test_tomograms_whose_numbers_have_many_digits_are_told_apart(tmp_path, numbers):
    path = table(tmp_path, tomo=numbers, x=[1, 2], y=[1, 2], z=[1, 2])

    with pytest.raises(MissingContextError) as raised:
        read_table(path, NO_CONTEXT)
    assert raised.value.choices == tuple(map(str, numbers))
    assert len(read_table(path, Context(tomogram=str(numbers[1])))) == 1


def test_rows_are_counted_as_the_table_has_them_whichever_tomogram_is_read(tmp_path):
    path = table(tmp_path, tomo=[1, 2, 2], x=[1, 1, 2], y=[1, 1, 2], z=[1, 1, 2])
    lines = [line.split() for line in path.read_text().splitlines()]
    lines[2][6:9] = ["NaN", "10", "20"]
    path.write_text("\n".join(map(" ".join, lines)))
    assert "(row 3)" in "".join(read_table(path, Context(tomogram="2")).about["warnings"])

    lines[2][23] = "NaN"
    path.write_text("\n".join(map(" ".join, lines)))
    with pytest.raises(FormatError, match="row 3 has no finite position along x"):
        read_table(path, Context(tomogram="2"))


def test_tags_scores_regions_pixel_size_and_classes_are_read(tmp_path):
    path = table(
        tmp_path,
        tag=[7, 3],
        x=[1, 2],
        y=[1, 2],
        z=[1, 2],
        cc=[0.1, 0.2],
        reg=[5, 0],
        apix=[4.5, 4.5],
        **{"class": [1, 2]},
    )
    found = read_table(path, NO_CONTEXT)

    assert found.ids.tolist() == [7, 3]
    assert found.scores.tolist() == [0.1, 0.2]
    assert found.instance_ids.tolist() == [5, 0]
    assert found.spacing_angstrom == 4.5
    assert found.features["class"].tolist() == [1, 2]
    assert read_table(path, Context(9.0)).points_zyx.tolist() == [[0, 0, 0], [0.5, 0.5, 0.5]]


@pytest.mark.parametrize("content", [b"PK\x03\x04 a letter", b"\xff\xfea letter", b"\xd0\xcf\x11\xe0 a letter"])
def test_a_letter_that_is_called_as_a_table_map_is_none(tmp_path, content):
    path = table(tmp_path, x=[1], y=[1], z=[1], tomo=[3])
    path.with_suffix(".doc").write_bytes(content)

    found = read_table(path, NO_CONTEXT)
    assert (found.about["tomogram_name"], found.about["tomogram_number"]) == (None, 3)


def test_a_tomogram_is_chosen_by_number_or_by_the_table_maps_name(tmp_path):
    path = table(tmp_path, x=[1, 2], y=[1, 2], z=[1, 2], tomo=[1, 12])

    with pytest.raises(MissingContextError) as raised:
        read_table(path, NO_CONTEXT)
    assert raised.value.choices == ("1", "12")
    assert len(read_table(path, Context(tomogram="12"))) == 1

    path.with_suffix(".doc").write_text("1 /data/TS 1.mrc\n12 /data/TS_12.mrc\n")
    found = read_table(path, Context(tomogram="/data/TS 1.mrc"))
    assert found.points_zyx.tolist() == [[0, 0, 0]]
    assert found.about["tomogram_name"] == "/data/TS 1.mrc"


def test_complex_numbers_where_nobody_needs_them_are_no_matter(tmp_path):
    row = ["0"] * 35
    row[0], row[23], row[24], row[25], row[27] = "1", "2", "3", "4", "1.5+0.2i"
    (tmp_path / "a.tbl").write_text(" ".join(row) + "\n")

    assert read_picks(tmp_path / "a.tbl").points_zyx.tolist() == [[3, 2, 1]]
    row[23] = "2+1i"
    (tmp_path / "a.tbl").write_text(" ".join(row) + "\n")
    with pytest.raises(FormatError, match="x isn't a column of numbers: row 1 has"):
        read_picks(tmp_path / "a.tbl")


def test_dynamos_own_library_reads_what_is_written(tmp_path):
    picks = Picks([[10.0, 20.0, 30.0]], 4.5, scores=[1 / 3], ids=[0], about={"run_name": "TS_1"})
    frame = dynamotable.read(str(write_picks(picks, tmp_path / "a.tbl").path))

    assert frame.shape == (1, 42)
    assert frame[["x", "y", "z", "tag", "apix"]].to_numpy().tolist() == [[31.0, 21.0, 11.0, 1.0, 4.5]]


@pytest.mark.parametrize("name", ["a.TBL", "a.txt"])
def test_a_table_gets_the_name_that_was_asked_for(tmp_path, name):
    write_picks(Picks([[10.0, 20.0, 30.0]]), tmp_path / name, format="dynamo")

    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.provenance.json"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, "0, 0, 0 is written"),
        ({"rotations_zyx": np.eye(3)[None]}, "read back as none"),
        ({"scores": [0.0]}, "All scores are 0"),
        ({"instance_ids": [2**60]}, "last digits"),
        ({"features": {"by": np.array(["me"], dtype=object)}}, "no column for by"),
        ({"about": {"authors": ["Ada"]}}, "where picks come from"),
        ({"ids": [2**60]}, "own ids are beyond 2^53"),
        ({"instance_ids": [-(2**63)]}, "last digits"),
        ({"instance_ids": [2**63 - 1]}, "a column called reg"),
        ({"features": {"npar": np.array([0])}}, "read back as none: npar"),
        ({"features": {"aligned_value": np.array([1.0])}}, "read back as none: aligned_value"),
        ({"features": {"npar": np.array([2**53 + 1])}}, "last digits, in npar"),
    ],
)
def test_what_a_table_cant_hold_is_said_before(change, why):
    assert any(why in loss for loss in losses(Picks([[1.0, 2.0, 3.0]], 4.5, **change), "dynamo"))


def test_columns_of_no_picks_at_all_are_kept_beside_a_table_and_that_is_said(tmp_path):
    path = table(tmp_path, dx=[1.5], ftype=[3], reg=[1.5], x=[1], y=[1], z=[1])
    none = read_picks(path).take([], "none kept")
    made = write_picks(none, tmp_path / "none.tbl")

    assert "A table without rows has no trace of its columns (dx, dy, dz, ftype, reg)" in " ".join(made.losses)
    assert not any("instance ids" in said for said in made.losses)
    assert {name: column.dtype for name, column in read_picks(made.path).features.items()} == {
        name: column.dtype for name, column in none.features.items()
    }


def test_who_opens_a_table_is_told_from_where_it_counts_unless_it_is_ours(tmp_path):
    path = table(tmp_path, x=[1], y=[1], z=[1])
    picks = read_picks(path)
    assert "count from 1" in picks.about["warnings"][0]

    ours = write_picks(picks, tmp_path / "ours.tbl")
    assert any("counted from 1" in said for said in ours.losses)
    assert "warnings" not in read_picks(ours.path).about
    assert "warnings" not in read_picks(write_picks(picks, tmp_path / "ours.star").path).about


def test_a_tables_own_columns_survive_being_read_and_written(tmp_path):
    columns = {"tomo": [26, 26], "aligned_value": [0, 1], "cc2": ["NaN", 3.0], "reg": [1.5, 2.0]}
    path = table(tmp_path, x=[1, 2], y=[1, 2], z=[1, 2], **columns)
    made = write_picks(read_picks(path), tmp_path / "again.tbl")

    again = dynamotable.read(str(made.path))
    for name, column in columns.items():
        np.testing.assert_array_equal(again[name].astype(float), np.array(column, dtype=float))


def test_the_tomogram_0_of_a_table_map_keeps_its_number(tmp_path):
    path = table(tmp_path, x=[1, 2], y=[1, 2], z=[1, 2], tomo=[0, 1])  # as dynamotable counts them
    path.with_suffix(".doc").write_text("0 /data/a.mrc\n1 /data/b.mrc\n")
    picks = read_picks(path, tomogram="a.mrc")
    made = write_picks(picks, tmp_path / "again.tbl")

    assert picks.about["tomogram_name"] == "/data/a.mrc"
    assert dynamotable.read(str(made.path))["tomo"].tolist() == [0]
    assert dynamotable.read(str(write_picks(Picks([[1.0, 2.0, 3.0]]), tmp_path / "b.tbl").path))["tomo"].tolist() == [1]


@pytest.mark.parametrize("row", [b"\xe9 2 3\n", b"1 " * 31 + b"\n"])
def test_what_is_no_table_of_numbers_is_told_in_a_line(tmp_path, row):
    (tmp_path / "a.tbl").write_bytes(b" ".join([b"1"] * 30) + b"\n" + row)
    with pytest.raises(FormatError) as found:
        read_table(tmp_path / "a.tbl", NO_CONTEXT)

    assert "2" in str(found.value)  # the row that is wrong
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("between", [" ", "  "])
def test_columns_beyond_those_that_dynamo_has_are_said_to_be_left_out(tmp_path, between):
    row = ["1", *["0"] * 22, "4", "3", "2", *["0"] * 16, "7.5", "8"]
    (tmp_path / "a.tbl").write_text(between.join(row) + "\n")

    found = read_picks(tmp_path / "a.tbl")

    assert found.points_zyx.tolist() == [[1, 2, 3]]
    assert any("last 2 columns are left out: Dynamo has 42" in said for said in found.about["warnings"])
    (tmp_path / "a.tbl").write_text(between.join(row[:42]) + "\n")
    assert not any("left out" in said for said in read_picks(tmp_path / "a.tbl").about["warnings"])


def test_regions_that_no_integer_holds_are_no_instances(tmp_path):
    found = read_table(table(tmp_path, x=[1, 2], y=[1, 2], z=[1, 2], reg=[1e30, 2]), NO_CONTEXT)

    assert found.instance_ids is None
    assert found.features["reg"].tolist() == [1e30, 2]


@pytest.mark.parametrize("between", [" ", "  ", "\t", " \t"])
@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])
def test_columns_may_be_apart_in_any_way(tmp_path, between, end):
    rows = [[*range(1, 24), 10 + row, 20, 30, *[0] * 9] for row in range(3)]
    (tmp_path / "a.tbl").write_text("".join(between.join(map(str, row)) + end for row in rows), newline="")

    picks = read_table(tmp_path / "a.tbl", Context())

    assert picks.points_xyz.tolist() == [[9 + row + 4, 19 + 5, 29 + 6] for row in range(3)]


@pytest.mark.parametrize("ids", [[2**62, -(2**62)], [2**53 - 1, 2**53]])
def test_picks_whose_ids_no_tags_can_be_are_counted_anew_as_said(tmp_path, ids):
    made = write_picks(Picks([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 4.5, ids=ids), tmp_path / "a.tbl")

    assert any("counted anew" in said for said in made.losses)
    assert dynamotable.read(str(made.path))["tag"].tolist() == [1, 2]
    assert read_picks(made.path).ids.tolist() == [0, 1]


@pytest.mark.parametrize("separator", [" ", "  "])
@pytest.mark.parametrize("lacking", [5, -1])
def test_a_row_that_lacks_a_value_isnt_read_as_if_others_were_elsewhere(tmp_path, separator, lacking):
    row = [str(number) for number in range(1, 43)]
    short = [*row]
    del short[lacking]
    (tmp_path / "a.tbl").write_text("".join(separator.join(words) + "\n" for words in (row, row, short)))

    with pytest.raises(FormatError, match=r"a\.tbl, row 3: 41 values where other rows have 42"):
        read_picks(tmp_path / "a.tbl")
