"""What an image's files mean is asked again where one was met changed, not too often, and until it is known."""

import threading
from types import SimpleNamespace

import pytest

from napari_cryoet.exceptions import StreamError
from napari_cryoet.streaming import meaning
from napari_cryoet.streaming.changes import Changes
from napari_cryoet.streaming.meaning import Meaning
from napari_cryoet.streaming.watch import ReplacedError

OLD, NEW = b'{"chunks": [64, 64, 64]}', b'{"chunks": [32, 64, 64]}'


class Source:
    """Holds one document, and counts how often it is read."""

    url = "https://files.example.org/a.zarr"

    def __init__(self):
        self.document, self.asked = OLD, 0

    def forget(self, key):
        assert key == "0/.zarray"

    def read(self, key, *, stop):
        del key, stop
        self.asked += 1
        return SimpleNamespace(content=self.document)


def test_a_change_a_moment_after_the_metadata_were_asked_for_has_them_asked_for_again_later(monkeypatch):
    now, source = [100.0], Source()
    monkeypatch.setattr(meaning.time, "monotonic", lambda: now[0])
    level = SimpleNamespace(path="0", metadata=SimpleNamespace(zarr_format=2), document=OLD)
    found, stop = Meaning(source, [level]), threading.Event()
    found.doubt()
    found.require(0, stop)
    source.document = NEW
    now[0] += 0.5
    found.doubt()
    found.require(0, stop)
    assert source.asked == 1
    now[0] += 0.6
    with pytest.raises(StreamError, match="written anew since it was opened"):
        found.require(0, stop)
    assert source.asked == 2


def test_metadata_that_turn_out_to_be_of_another_image_have_all_read_anew():
    class Replaced(Meaning):
        def require(self, level, stop):
            if changes.times() == 0:
                raise ReplacedError("")

    changes = Changes()
    changes.meaning = Replaced(Source(), [])
    assert changes.read(0, lambda: "read", lambda: None, threading.Event()) == "read"
    assert changes.times() == 1
