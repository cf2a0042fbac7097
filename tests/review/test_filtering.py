import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.picks import Picks
from napari_cryoet.review.filtering import parse_filter

TABLE = {
    "score": np.array([0.1, 0.5, np.nan, 0.9]),
    "nearest_nm": np.array([3, 8, 12, 20]),
    "picked by": np.array(["crYOLO", "me", "", "Cryolo 2"], dtype=object),
    "codes": np.array(["1", "2", None, "3"], dtype=object),
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("score > 0.4", [1, 3]),
        ("score>=.5", [1, 3]),
        ("SCORE < 0.5", [0]),
        ("score <= 0.1", [0]),
        ("score = 0.5", [1]),
        ("score is missing", [2]),
        ("score is known", [0, 1, 3]),
        ("nearest_nm in 5..12", [1, 2]),
        ("nearest_nm in 5 .. 12.5", [1, 2]),
        ("nearest_nm != 8", [0, 2, 3]),
        ("score != 0.5", [0, 3]),
        ("codes != 2", [0, 3]),
        ("codes = none", []),
        ("codes contains n", []),
        ("score contains a", []),
        ("score contains 5", [1]),
        ('"picked by" contains cryolo', [0, 3]),
        ("'picked by' = ME", [1]),
        ('"picked by" is missing', [2]),
        ("codes > 1", [1, 3]),
        ("score > 0.4 and nearest_nm < 10", [1]),
        ("score > 0.8 or nearest_nm < 5", [0, 3]),
        ("score > 0.8 or nearest_nm < 5 and score > 0.4", [3]),
        ("score > -1e-3 and score < 1e3", [0, 1, 3]),
    ],
)
def test_a_filter_means_what_it_says(text, rows):
    assert np.flatnonzero(parse_filter(text, TABLE)(TABLE)).tolist() == rows


def test_nothing_is_no_filter():
    assert parse_filter("  ", TABLE) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("size > 3", "no column “size”; there are: score, nearest_nm"),
        ("score", "ends too early"),
        ("score >", "ends too early"),
        ("score > high", "“high” is no number"),
        ("'picked by' > 3", "holds texts"),
        ("score > 3 nearest_nm < 2", "“nearest_nm” isn't expected"),
        ("score is odd", "“odd”"),
        ("score near 3", "“near” isn't expected"),
        ("score in 3 4", "low..high"),
        ("score > 3 and", "ends too early"),
        ("score ! 3", "“! 3” isn't understood"),
        ("__import__('os').system('true')", "no column"),
        ("score > 1" + " " * 1000, "longer than"),
    ],
)
def test_what_is_no_filter_says_why(text, says):
    with pytest.raises(FormatError, match=says.replace("(", r"\(")):
        parse_filter(text, TABLE)


def test_what_can_be_measured_is_named_among_the_columns_that_there_are():
    with pytest.raises(
        FormatError, match=r"no column “size”; there are: score, nearest_nm, picked by, codes, density\."
    ):
        parse_filter("size > 3", TABLE, ("density", "nearest_nm"))
    with pytest.raises(FormatError, match=r"Density isn't measured yet"):
        parse_filter("Density > 3", TABLE, ("density",))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])  # as scores of a Parquet file of 32 bits are kept
@pytest.mark.parametrize(
    ("text", "rows"),
    [("weight = 0.1", [0]), ("weight <= 0.1", [0]), ("weight in 0.1..0.3", [0, 1]), ("weight > 0.3", [])],
)
def test_numbers_of_32_bits_are_compared_as_they_are_typed(text, rows, dtype):
    table = {"weight": np.array([0.1, 0.3, np.nan], np.float32).astype(dtype)}
    chosen = parse_filter(text, table)
    assert chosen is not None
    assert np.flatnonzero(chosen(table)).tolist() == rows


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_filter_or_an_error_in_words(text):
    try:
        found = parse_filter(text, TABLE)
    except CryoETError:
        return
    assert found is None or found(TABLE).dtype == bool


def test_a_column_is_the_one_that_is_called_just_so_where_others_differ_only_in_case():
    table = {"CC": np.array([1.0, 2.0]), "cc": np.array([5.0, 1.0])}

    assert parse_filter("CC > 1.5", table)(table).tolist() == [False, True]
    assert parse_filter("cc > 1.5", table)(table).tolist() == [True, False]


def test_whole_numbers_are_compared_with_all_their_digits():
    table = {"track": np.array([2**53, 2**53 + 1])}

    assert parse_filter(f"track = {2**53 + 1}", table)(table).tolist() == [False, True]
    assert parse_filter(f"track != {2**53}", table)(table).tolist() == [False, True]
    assert parse_filter("track = 1" + 400 * "0", table)(table).tolist() == [False, False]


def test_an_array_for_each_pick_is_a_value_like_any_other():
    values = np.empty(2, dtype=object)
    values[:] = [np.arange(2), None]
    table = {"axis": values}

    assert parse_filter("axis is missing", table)(table).tolist() == [False, True]
    assert parse_filter("axis contains 0", table)(table).tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("instance_id is missing", [1, 3]),
        ("instance_id is known", [0, 2]),
        ("instance_id != 7", [2]),
        ("instance_id = 7", [0]),
        ("instance_id = -1", [1, 3]),
        ("instance_id < 8", [0, 2]),
        ("instance_id in -5..5", [2]),
        ("instance_id contains 1", []),
        ("other is missing", []),
        ("other < 0", [1, 3]),
    ],
)
def test_a_pick_of_no_instance_has_no_instance_id(text, rows):
    ids = np.array([7, -1, 3, -1])
    table = Picks(np.zeros((4, 3)), instance_ids=ids, features={"other": ids}).table()

    assert np.flatnonzero(parse_filter(text, table)(table)).tolist() == rows
