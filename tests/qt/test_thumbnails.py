"""Thumbnails of rows."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image

from napari_cryoet._qt.widgets.thumbnails import IN_FLIGHT, SIDE_PX, WAITING, Thumbnails, decode_thumbnail
from napari_cryoet.exceptions import FormatError


def picture_bytes() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(file, "PNG")
    return file.getvalue()


def test_pictures_become_squares(qapp):
    image = decode_thumbnail(picture_bytes())
    assert (image.width(), image.height()) == (SIDE_PX, SIDE_PX)
    assert image.pixelColor(5, 5).red() > 240


def test_a_picture_that_claims_a_billion_pixels_is_refused(qapp):
    bomb = bytearray(picture_bytes())
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    with pytest.raises(FormatError, match="too large"):
        decode_thumbnail(bytes(bomb))


def test_what_was_scrolled_past_is_not_fetched_and_the_latest_comes_first(tasks, qtbot):
    go, asked, begun = threading.Event(), [], []

    def fetch(url, stop):
        asked.append(url)
        go.wait(30)
        return picture_bytes()

    tasks.started.connect(lambda key, _title: begun.append(key[1]))
    thumbnails = Thumbnails(tasks, fetch)
    for number in range(500):
        thumbnails.picture(f"{number}.png")
    qtbot.waitUntil(lambda: len(asked) == IN_FLIGHT)
    go.set()
    qtbot.waitUntil(lambda: len(asked) == IN_FLIGHT + WAITING)
    assert len(asked) == IN_FLIGHT + WAITING
    assert set(asked) == set(begun)
    assert begun[IN_FLIGHT : IN_FLIGHT + 3] == ["499.png", "498.png", "497.png"]
