"""STAR files as texts, whatever RELION, editors and other systems made of them."""

import pytest

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.star_blocks import read_blocks

TABLE = "data_particles\n\nloop_\n_rlnName #1\n_rlnX #2\nTS_1 1.5\nTS_2 2.5\n"


def blocks(folder, text, *, encoding="utf-8"):
    path = folder / "a.star"
    path.write_bytes(text.encode(encoding))
    return read_blocks(path)


def rows(folder, text):
    (block,) = blocks(folder, text)
    return block.rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_no_row_is_lost_however_lines_end(tmp_path, end):
    assert rows(tmp_path, TABLE.replace("\n", end)) == [["TS_1", "1.5"], ["TS_2", "2.5"]]


def test_what_was_wrong_once_is_read_anew_when_it_was_mended(tmp_path):
    with pytest.raises(FormatError, match=r"a\.star, line 7: 1 values where 2 columns should be \('TS_2'\)"):
        blocks(tmp_path, TABLE.replace(" 2.5", ""))
    assert rows(tmp_path, TABLE) == [["TS_1", "1.5"], ["TS_2", "2.5"]]


def test_only_a_word_that_starts_with_a_hash_starts_a_comment(tmp_path):
    text = TABLE.replace("TS_1", "a#1.mrcs").replace("2.5", "2.5 # the last") + "# end\n"

    assert rows(tmp_path, text) == [["a#1.mrcs", "1.5"], ["TS_2", "2.5"]]


def test_values_in_quotes_hold_spaces_hashes_and_apostrophes(tmp_path):
    text = TABLE.replace("TS_1", "'TS 1 # Bob's'").replace("TS_2", '""')

    assert rows(tmp_path, text) == [["TS 1 # Bob's", "1.5"], ["", "2.5"]]


@pytest.mark.parametrize("space", ["\u00a0", "\u0085", "\u3000"])
def test_only_plain_spaces_part_values(tmp_path, space):
    path = tmp_path / "a.star"
    path.write_text(f"data_\nloop_\n_a\n_b\n1\tb{space}c\n2 'b {space}c'\n", encoding="utf-8")

    assert read_blocks(path)[0].rows == [["1", f"b{space}c"], ["2", f"b {space}c"]]


def test_names_that_start_as_keywords_do_are_values_in_a_row(tmp_path):
    assert rows(tmp_path, TABLE.replace("TS_2", "data_2").replace("TS_1", "loop_1")) == [
        ["loop_1", "1.5"],
        ["data_2", "2.5"],
    ]


def test_facts_and_tables_are_told_apart_and_two_loops_of_a_block_too(tmp_path):
    text = "data_general\n_rlnA 1\n_rlnB 'x y'\n\n" + TABLE + "loop_\n_rlnC\n5\n\ndata_empty\n"

    assert [(block.name, block.is_loop, block.labels, block.rows) for block in blocks(tmp_path, text)] == [
        ("general", False, ["rlnA", "rlnB"], [["1", "x y"]]),
        ("particles", True, ["rlnName", "rlnX"], [["TS_1", "1.5"], ["TS_2", "2.5"]]),
        ("particles", True, ["rlnC"], [["5"]]),
    ]


@pytest.mark.parametrize(
    ("text", "encoding", "why"),
    [
        (TABLE.replace("rlnName", "rlnX"), "utf-8", "line 5: its block 'particles' has rlnX twice"),
        (TABLE.replace("2.5", "2.5 9"), "utf-8", "line 7: 3 values where 2 columns should be"),
        (TABLE.replace("TS_2", "Zoë"), "latin-1", "line 7: this isn't UTF-8 text"),
        ("1 2 3\n" + TABLE, "utf-8", "line 1 stands before any block"),
        ("data_a\nrlnX 1\n", "utf-8", "line 2: 2 values where a label should be"),
    ],
)
def test_what_cant_be_read_is_named_with_its_line(tmp_path, text, encoding, why):
    with pytest.raises(FormatError, match=why):
        blocks(tmp_path, text, encoding=encoding)
