import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.review.columns import matching, sorted_rows

TABLE = {
    "score": np.array([0.1, 0.5, np.nan, 0.9]),
    "nearest_neighbour_nm": np.array([3, 8, 12, 20]),
    "picked by": np.array(["crYOLO", "me", "", "Cryolo 2"], dtype=object),
    "codes": np.array(["1", "2", None, "3"], dtype=object),
    "CC": np.array([1.0, 2.0, 0.0, 0.0], dtype=np.float32),
    "cc": np.array([5.0, 1.0, 0.1, 0.1], dtype=np.float32),
}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("  ", [0, 1, 2, 3]),
        ("score > 0.4", [1, 3]),
        ("SCORE < 0.5", [0]),
        ("score != 0.5", [0, 3]),
        ("score is missing", [2]),
        ("nearest_neighbour_nm in 5..12", [1, 2]),
        ("codes != 2", [0, 3]),
        ("codes > 1", [1, 3]),
        ('"picked by" contains cryolo', [0, 3]),
        ("'picked by' = 'Cryolo 2'", [3]),
        ('"picked by" is missing', [2]),
        ("score > 0.8 or nearest_neighbour_nm < 5 and score > 0.4", [3]),
        ("score > -1e-3 and score < 1e3", [0, 1, 3]),
        ("CC > 1.5", [1]),
        ("cc <= 0.1", [2, 3]),
    ],
)
def test_filters_select_matching_rows(text, rows):
    assert np.flatnonzero(matching(text, TABLE)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("size > 3", "nearest_neighbour_nm"),
        ("score >", "score >"),
        ("score > high", "high"),
        ("'picked by' > 3", "text"),
        ("score > 3 nearest_neighbour_nm < 2", "nearest_neighbour_nm"),
        ("score in 3 4", "score in 3 4"),
        ("__import__('os').system('true')", "__import__"),
    ],
)
def test_invalid_filters_are_refused_with_the_reason(text, noun):
    with pytest.raises(FormatError, match=noun):
        matching(text, TABLE)


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from(["score", ">", "in", "and", "or", "'", "..", "3"])).map(" ".join)
)
def test_any_text_is_a_filter_or_an_error(text):
    try:
        mask = matching(text, TABLE)
    except CryoETError:
        return
    assert mask.dtype == bool


def test_sorting_is_stable_with_missing_values_last():
    column = np.array([2.0, np.nan, 1.0, 2.0, np.nan, 3.0])

    assert sorted_rows(column).tolist() == [2, 0, 3, 5, 1, 4]
    assert sorted_rows(column, is_descending=True).tolist() == [5, 0, 3, 2, 1, 4]


def test_numeric_text_sorts_as_numbers():
    assert sorted_rows(np.array(["b", "", "a", "b"], dtype=object)).tolist() == [2, 0, 3, 1]
    assert sorted_rows(np.array(["10", "9", None], dtype=object)).tolist() == [1, 0, 2]
    assert sorted_rows(np.array(["kept", "undecided", "kept"]), is_descending=True).tolist() == [
        1,
        0,
        2,
    ]
