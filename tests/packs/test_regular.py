import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.packs import regular


@pytest.mark.parametrize(
    ("pattern", "text", "occurs"),
    [
        ("", "", True),
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^a", "abc", True),
        ("c$", "abc", True),
        ("b$", "abc", False),
        ("^$", "", True),
        ("a.c", "a\nc", True),  # as in PostgreSQL, a dot is any character
        ("ribosome|microtubule", "a microtubule", True),
        ("^(ribo|micro)", "microtubule", True),
        ("ab*c", "ac", True),
        ("ab+c", "ac", False),
        ("ab?c", "abbc", False),
        ("ab{2}c", "abbc", True),
        ("ab{2}c", "abbbc", False),
        ("^a{0}b", "b", True),
        ("^(ab){2,}$", "ababab", True),
        ("^(ab){2,}$", "ab", False),
        ("^a{1,3}$", "aaaa", False),
        ("a+?b", "aab", True),
        ("[abc]", "xbx", True),
        ("[^abc]", "abc", False),
        ("[a-c-]", "-", True),
        ("[]a]", "]", True),
        ("^[[:alpha:]]+$", "abC", True),
        ("^[[:digit:]x]+$", "12x", True),
        (r"^TS_\d{3}$", "TS_026", True),
        (r"\D", "123", False),
        (r"^\w+\s\w+$", "in vitro", True),
        (r"[\d.]+", "13.48", True),
        (r"\yrun\y", "a run here", True),
        (r"\yrun\y", "pruning", False),
        (r"\mrun", "rerun", False),
        (r"run\M", "rerun", True),
        (r"\.", "a", False),
        (r"a\|b", "a|b", True),
        ("a{x}", "a{x}", True),
        ("[a-]", "-", True),
        ("(|a)b", "b", True),
    ],
)
def test_patterns_occur_in_texts(pattern, text, occurs):
    assert regular.search(pattern)(text) is occurs


@pytest.mark.parametrize(
    ("pattern", "text", "occurs"),
    [("RIBO", "ribosome", True), ("[A-C]x", "bX", True), ("[^A]", "aA", False), ("straße", "STRAßE", True)],
)
def test_upper_and_lower_case_are_one_if_asked(pattern, text, occurs):
    assert regular.search(pattern, ignore_case=True)(text) is occurs


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "isn't closed"),
        (")", "closing bracket too many"),
        ("[a", "ends too early"),
        ("\\", "ends too early"),
        ("*", "repeats nothing"),
        ("a**", "repeats a repetition"),
        ("a{2}{3}", "repeats a repetition"),
        ("a{3,2}", "wrong {count}"),
        ("a{2", "wrong {count}"),
        ("[c-a]", "backwards"),
        ("[[:nothing:]]", "unknown"),
        (r"(a)\1", "not supported"),
        ("(?=a)", "not supported"),
        ("(?i)a", "not supported"),
        ("a" * 1_001, "1000 characters"),
        ("(((a{30}){30}){30})", "too large"),
        ("a{9999999999}", "wrong {count}"),
        ("(" * 60 + ")" * 60, "nests too deep"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said(pattern, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        regular.search(pattern)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "(.*)*b", "^(.?){100}b", "(a?){60}a{60}$", ".*.*.*.*.*b"])
def test_no_pattern_takes_long(pattern):
    begin = time.thread_time()
    regular.search(pattern)("a" * 3_000 + "c")
    assert time.thread_time() - begin < 3


def test_a_search_can_be_stopped_from_within():
    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        regular.search("a+b", spend=stop)("aaa")


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", "^", "$", "A"])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda parts: f"(?:{parts[0]}|{parts[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
            lambda parts: f"(?:{parts[0]}){parts[1]}"
        ),
    ),
    max_leaves=8,
)


@given(_PATTERNS, st.text("abA1 ", max_size=8), st.booleans())
def test_it_agrees_with_pythons_engine(pattern, text, ignore_case):
    expected = re.search(pattern.replace("$", r"\Z"), text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
    assert regular.search(pattern, ignore_case=ignore_case)(text) is (expected is not None)
