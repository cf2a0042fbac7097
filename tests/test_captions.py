"""Caption files: texts as they were written, and nothing that isn't text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet import captions
from napari_cryoet.captions import Caption, parse_captions
from napari_cryoet.exceptions import FormatError


def file_of(*entries):
    return json.dumps({"captions": list(entries)}).encode()


def test_texts_come_in_the_files_order_with_their_numbers():
    content = file_of({"id": 0, "text": "A cisterna."}, {"id": 7, "text": "Two microtubules."}, {"text": "No number."})

    found = parse_captions(content, "a.json")

    assert found == (Caption(0, "A cisterna."), Caption(7, "Two microtubules."), Caption(None, "No number."))


def test_line_breaks_stay_and_control_characters_go():
    (caption,) = parse_captions(file_of({"id": 0, "text": " one\r\ntwo\x1b[31m\u202e three\t4 \n"}), "a.json")

    assert caption.text == "one\ntwo [31m  three 4"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a micro\u00adtubule\ufeff", "a microtubule"),  # a soft hyphen, as it is copied from a paper
        (
            "\u2068the \U0001f469\u200d\U0001f52c",
            "the \U0001f469\u200d\U0001f52c",
        ),  # a scientist, not a woman and a microscope
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\u05d0\u200f, b", "\u05d0, b"),
    ],
)
def test_words_stay_whole_where_there_are_letters_that_nobody_sees(text, shown):
    (caption,) = parse_captions(file_of({"id": 0, "text": text}), "a.json")

    assert caption.text == shown


def test_markup_is_kept_as_the_letters_that_it_is():
    (caption,) = parse_captions(file_of({"id": 0, "text": "<b>bold</b> & <img src=x>"}), "a.json")

    assert caption.text == "<b>bold</b> & <img src=x>"


def test_empty_texts_are_passed_over():
    assert parse_captions(file_of({"id": 0, "text": " \n"}), "a.json") == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not json", "isn't JSON"),
        (b"\xff\xfe\x00", "isn't JSON"),
        (b"[" * 100_000, "isn't JSON"),
        (b"[]", "no list"),
        (b'{"captions": "text"}', "no list"),
        (b'{"captions": [1]}', "caption 1 has no text"),
        (b'{"captions": [{"id": 0, "text": "a"}, {"id": 1}]}', "caption 2 has no text"),
        (b'{"captions": [{"id": 0, "text": 5}]}', "caption 1 has no text"),
    ],
)
def test_what_is_no_caption_file_says_why(content, words):
    with pytest.raises(FormatError, match=words):
        parse_captions(content, "a.json")


def test_sizes_are_bounded(monkeypatch):
    monkeypatch.setattr(captions, "MAX_TEXT", 10)
    monkeypatch.setattr(captions, "MAX_CAPTIONS", 2)

    with pytest.raises(FormatError, match="longer than 10 letters"):
        parse_captions(file_of({"text": "eleven more"}), "a.json")
    with pytest.raises(FormatError, match="3 captions"):
        parse_captions(file_of(*({"text": "a"} for _ in range(3))), "a.json")
    monkeypatch.setattr(captions, "MAX_FILE_BYTES", 5)
    with pytest.raises(FormatError, match="too large"):
        parse_captions(file_of({"text": "a"}), "a.json")


@given(st.lists(st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1), max_size=5))
def test_any_printable_text_comes_back_as_it_was(texts):
    content = file_of(*({"id": number, "text": text} for number, text in enumerate(texts)))

    assert [caption.text for caption in parse_captions(content, "a.json")] == texts
