import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.packs.like import like


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("", "", True),
        ("", "a", False),
        ("%", "", True),
        ("%", "a\nb", True),
        ("a%", "abc", True),
        ("%c", "abc", True),
        ("a%c", "abc", True),
        ("a%c", "ac", True),
        ("ab%b", "ab", False),  # first and last piece may not share a character
        ("%a%a%", "a", False),
        ("%a%a%", "ba a", True),
        ("_", "", False),
        ("_", "\n", True),
        ("a_c%", "abcd", True),
        ("%[1-9].*%", "x[1-9].*y", True),
        ("%[1-9]%", "5", False),
        (r"100\%", "100%", True),
        (r"100\%", "1000", False),
        (r"a\\b", r"a\b", True),
        ("TS_026", "TS_026", True),
    ],
)
def test_whole_texts_are_compared(pattern, text, matches):
    assert like(pattern)(text) is matches


def test_upper_and_lower_case_are_one_only_if_asked():
    assert not like("%RIBO%")("ribosome")
    assert like("%RIBO%", ignore_case=True)("ribosome")


def test_a_lone_backslash_at_the_end_is_an_error():
    with pytest.raises(ValueError, match="backslash"):
        like("a\\")


def test_many_wildcards_take_no_time():
    begin = time.thread_time()
    assert not like("%a" * 400 + "%b")("a" * 5_000)
    assert time.thread_time() - begin < 1


def by_definition(pattern, text):
    """The meaning of LIKE, the slow way: all ways to split the text."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(by_definition(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and by_definition(pattern[1:], text[1:])


@given(st.text("ab%_", max_size=8), st.text("ab", max_size=8))
def test_it_agrees_with_the_definition(pattern, text):
    assert like(pattern)(text) is by_definition(pattern, text)
