"""Thumbnails of rows."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image

from napari_cryoet._qt.widgets import thumbnails
from napari_cryoet._qt.widgets.thumbnails import (
    IN_FLIGHT,
    SIDE_PX,
    WAITING,
    Thumbnails,
    decode_thumbnail,
)
from napari_cryoet.exceptions import FormatError


def picture_bytes() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(file, "PNG")
    return file.getvalue()


def test_thumbnails_are_square(qapp):
    image = decode_thumbnail(picture_bytes())
    assert (image.width(), image.height()) == (SIDE_PX, SIDE_PX)
    assert image.pixelColor(5, 5).red() > 240


def test_pictures_with_too_many_pixels_are_refused(qapp):
    oversized = bytearray(picture_bytes())
    oversized[16:24] = (50_000).to_bytes(4, "big") * 2
    with pytest.raises(FormatError, match="too large"):
        decode_thumbnail(bytes(oversized))


def test_the_latest_thumbnails_are_fetched_first_and_old_ones_dropped(tasks, qtbot):
    release, fetched, started = threading.Event(), [], []

    def fetch(url, task):
        fetched.append(url)
        release.wait(30)
        return picture_bytes()

    tasks.started.connect(lambda key, _title: started.append(key[1]))
    pictures = Thumbnails(tasks, fetch)
    for number in range(500):
        pictures.picture(f"{number}.png")
    qtbot.waitUntil(lambda: len(fetched) == IN_FLIGHT)
    release.set()
    qtbot.waitUntil(lambda: len(fetched) == IN_FLIGHT + WAITING)
    assert len(fetched) == IN_FLIGHT + WAITING
    assert set(fetched) == set(started)
    assert started[IN_FLIGHT : IN_FLIGHT + 3] == ["499.png", "498.png", "497.png"]


def test_the_oldest_thumbnails_in_memory_are_dropped(tasks, qtbot, monkeypatch):
    monkeypatch.setattr(thumbnails, "KEPT", 2)
    pictures = Thumbnails(tasks, lambda _url, _stop: picture_bytes())
    for url in ("first", "second", "third"):
        with qtbot.waitSignal(pictures.arrived):
            pictures.picture(url)

    assert pictures.picture("second") is not None
    assert pictures.picture("third") is not None
    with qtbot.waitSignal(pictures.arrived) as fetched_again:
        assert pictures.picture("first") is None
    assert fetched_again.args == ["first"]
