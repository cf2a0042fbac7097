"""What is read and written many values at a time is the same as one by one, to the last digit."""

import csv
import io
import math
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.formats import exchange
from napari_cryoet.formats.column_types import numbers_in, typed
from napari_cryoet.formats.text_columns import in_quotes, read_separated, rows_as_text, texts_of, wholes

SPELLINGS = ["0", "-0", "7", "+7", "007", "-012", "0x1F", "12345678901234567890", "1_000", "", " 3", "3 ", "1."]
SPELLINGS += [".5", "1e5", "1E-5", "+1.5", "0.1", "5e-324", "1,5", "2024-01-05", "True", "None", "x", "é", "٣", "1d5"]
SPELLINGS += ["nan", "NaN", "NAN", "nAn", "-nan", "nan(1)", "inf", "-Infinity", "1e400", "123.4567890123456789012345"]
texts = st.lists(st.one_of(st.sampled_from(SPELLINGS), st.floats().map(repr), st.integers().map(str)), max_size=6)


def is_same(one, other):
    both = zip(one.tolist(), other.tolist(), strict=True)
    return one.dtype.kind == other.dtype.kind and all(a == b or (a != a and b != b) for a, b in both)


@given(texts)
def test_columns_are_typed_as_value_by_value(values):
    assert is_same(typed(texts_of(values)), typed(values))


@given(texts)
def test_numbers_are_read_as_value_by_value(values):
    def read(column):
        try:
            return numbers_in(Path("a"), "c", column)
        except exchange.FormatError as error:
            return np.array([str(error)], dtype=object)

    assert is_same(read(texts_of(values)), read(values))


@given(texts)
def test_whole_numbers_are_what_python_says_or_left_to_it(values):
    found = wholes(texts_of(values))

    assert found is None or found.tolist() == [int(value) for value in values]


def test_missing_ones_are_missing():
    assert np.isnan(numbers_in(None, "c", texts_of(["1", None, ""]))[1:]).all()
    assert typed(texts_of(["1", None])).tolist()[0] == 1.0
    assert typed(texts_of(["a", None])).tolist() == ["a", ""]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20))
def test_reals_are_written_with_the_digits_that_tell_them_apart(values):
    lines = b"".join(rows_as_text({"a": np.array(values)}, separator=",", missing="nan")).decode().splitlines()

    assert all(float(line) == value or math.isnan(value) for line, value in zip(lines, values, strict=True))
    assert typed(lines).dtype.kind == "f"  # also where all are whole


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1, max_size=8))
def test_texts_in_a_csv_are_read_back(values):
    columns = {"a": np.arange(len(values)), "b": np.array(values, dtype=object)}
    content = b"".join(rows_as_text(columns, separator=",", missing="", quoted=in_quotes)).decode()

    assert [row[1] for row in csv.reader(io.StringIO(content, newline=""))] == values


def test_rows_of_other_lengths_are_left_to_others(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n3\n")
    (tmp_path / "b.csv").write_text("1,2\n3,4\n")

    assert read_separated(tmp_path / "a.csv", ["a", "b"], separator=",") is None
    assert read_separated(tmp_path / "b.csv", ["a", "b"], separator=",")["b"].to_pylist() == ["2", "4"]
