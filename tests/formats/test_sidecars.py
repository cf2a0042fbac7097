"""Captions and tilt angles."""

import json

import pytest

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.sidecars import Caption, parse_captions, parse_tilt_angles


def captions(*entries):
    return json.dumps({"captions": list(entries)}).encode()


def test_captions_are_plain_texts_with_their_lines():
    content = captions(
        {"id": 0, "text": " A cell.\nIts\u0000 edge\u202e. "}, {"text": "<b>x</b> é"}, {"id": "a", "text": ""}
    )

    assert parse_captions(content, "a.json") == (Caption(0, "A cell.\nIts edge ."), Caption(None, "<b>x</b> é"))


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"captions": 5}', captions(5), captions({"id": 1})],
)
def test_other_files_are_no_captions(content):
    with pytest.raises(FormatError, match=r"a\.json"):
        parse_captions(content, "a.json")


def test_tilt_angles_are_one_a_line():
    assert parse_tilt_angles(b"-60.0\r\n\n  -57.5\n3e1\n", "a.tlt") == (-60.0, -57.5, 30.0)


@pytest.mark.parametrize("content", [b"1\n2 3\n", b"1\nx\n", b"1\nnan\n", b"1\n181\n", b"1\n\xff\n"])
def test_a_line_that_is_no_tilt_is_refused(content):
    with pytest.raises(FormatError, match=r"a\.tlt"):
        parse_tilt_angles(content, "a.tlt")
