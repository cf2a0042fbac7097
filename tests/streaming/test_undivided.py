"""Where a server sends nothing but whole files, each is read once for all who want parts of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from command_line import wait_until
from napari_cryoet.exceptions import ChangedError, NoPartsError, StoppedError, StreamError, WithheldError
from napari_cryoet.streaming import undivided as module
from napari_cryoet.streaming.cache import OVERHEAD_BYTES, MemoryCache
from napari_cryoet.streaming.making import plain_pyramid
from napari_cryoet.streaming.sources import FileSource, Piece
from napari_cryoet.streaming.undivided import UndividedFiles

CONTENT = bytes(range(100))


class WholeSender:
    """Sends parts up to a byte, and else nothing but whole files."""

    url = "https://example.org/a.zarr"
    bytes_read = 0
    most = 10

    def __init__(self):
        self.files = {"0/0": (CONTENT, "1"), "0/1": (CONTENT[::-1], "1")}
        self.asked = []
        self.stops = []  # of what was read whole
        self.now = self.most_at_once = 0  # how many files are read whole
        self.lock = threading.Lock()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def read(self, key, *, start=0, length=None, version=None, stop=None):
        self.asked.append((key, start, length))
        content, found = self.files.get(key, (None, None))
        if content is None:
            return None
        if version not in {None, found}:
            raise ChangedError("It changed.")
        if (start, length) == (0, None):
            self.stops.append(stop)
            with self.lock:
                self.now += 1
                self.most_at_once = max(self.most_at_once, self.now)
            while not self.may_go_on.wait(0.01):
                if stop is not None and stop.is_set():
                    raise StoppedError("Stopped.")
            with self.lock:
                self.now -= 1
            return Piece(content, found, len(content))
        if not 0 <= start <= self.most:
            cause = NoPartsError("No parts.", hint="", url=self.url, status=200, total_bytes=len(content))
            raise StreamError("No parts.") from cause
        return Piece(content[start : start + length], found, len(content))

    def forget(self, key):
        self.asked.append(f"forget {key}")

    def forget_all(self):
        self.asked.append("forget all")

    def whole(self, key="0/0"):
        """How often a file was read whole."""
        return self.asked.count((key, 0, None))


@pytest.fixture
def server():
    return WholeSender()


@pytest.fixture
def source(server):
    module.held_files().forget_if(lambda key: key[0] == -1)
    return UndividedFiles(server, -1)


def test_what_can_be_had_as_a_part_is(server, source):
    assert source.read("0/0", start=4, length=3) == Piece(CONTENT[4:7], "1", 100)
    assert server.asked == [("0/0", 4, 3)]


@pytest.mark.parametrize(("start", "length"), [(50, 10), (-7, 7), (-200, 200), (90, 50), (20, None), (120, 5)])
def test_a_part_is_cut_out_of_the_whole_file(source, start, length):
    first = max(0, 100 + start) if start < 0 else start
    expected = CONTENT[first:] if length is None else CONTENT[first : first + length]
    assert source.read("0/0", start=start, length=length) == Piece(expected, "1", 100)


def test_a_file_is_read_once_for_all_who_want_parts_of_it(server, source):
    server.may_go_on.clear()
    with ThreadPoolExecutor(8) as threads:
        parts = [threads.submit(source.read, "0/0", start=start, length=5) for start in range(20, 60, 5)]
        server.may_go_on.set()
        assert [part.result(30).content for part in parts] == [CONTENT[k : k + 5] for k in range(20, 60, 5)]
    assert source.read("0/0", start=0, length=3).content == CONTENT[:3]
    assert server.whole() == 1
    assert source.read("0/1", start=40, length=2).content == CONTENT[::-1][40:42]
    assert server.whole("0/1") == 1


def test_no_more_is_held_than_was_said(server, monkeypatch):
    memory = MemoryCache(400)
    monkeypatch.setattr(module, "held_files", lambda: memory)
    source = UndividedFiles(server, -1)
    for key in ("0/0", "0/1", "0/0", "0/0"):
        source.read(key, start=50, length=1)
    assert (server.whole("0/0"), server.whole("0/1")) == (2, 1)


def test_all_images_share_what_may_be_held_and_leave_nothing_of_it(server):
    values = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    server.files[""] = (b"a long header" + values.tobytes(), "1")
    before = module.held_files().size_bytes
    pyramids = [plain_pyramid(server, values.shape, values.dtype, offset=13) for _ in range(2)]
    for number, pyramid in enumerate(pyramids, start=1):
        assert np.array_equal(pyramid.read(0), values)
        assert module.held_files().size_bytes - before == number * (109 + OVERHEAD_BYTES)
    for pyramid in pyramids:
        pyramid.close()
    assert module.held_files().size_bytes == before


def test_the_largest_file_that_is_not_refused_is_read_once_too(server, source):
    server.files["0/0"] = (bytes(module._LARGEST_BYTES), "1")  # which takes no memory
    for start in (50, 2**27):
        assert source.read("0/0", start=start, length=3) == Piece(bytes(3), "1", module._LARGEST_BYTES)
    assert server.whole() == 1


@pytest.mark.parametrize("total", [None, 101])
def test_larger_files_and_those_of_unknown_size_are_refused(server, monkeypatch, total):
    monkeypatch.setattr(module, "_LARGEST_BYTES", 100)
    refusal = NoPartsError("No parts.", hint="", url="", status=200, total_bytes=total)

    def refuse(key, **_wanted):
        raise StreamError("No parts.") from refusal

    monkeypatch.setattr(server, "read", refuse)
    with pytest.raises(StreamError, match="No parts"):
        UndividedFiles(server, -1).read("0/0", start=50, length=1)


def test_any_other_error_is_told(server, source, monkeypatch):
    def fail(key, **_wanted):
        raise StreamError("A broken disk.")

    monkeypatch.setattr(server, "read", fail)
    with pytest.raises(StreamError, match="broken disk"):
        source.read("0/0", start=50, length=1)


def test_a_file_that_changed_is_not_taken_for_the_one_before(server, source):
    assert source.read("0/0", start=50, length=2, version="1").content == CONTENT[50:52]
    server.files["0/0"] = (bytes(100), "2")
    assert source.read("0/0", start=50, length=2, version="1").content == CONTENT[50:52]  # of the same version still
    assert source.read("0/0", start=50, length=2, version="2") == Piece(bytes(2), "2", 100)
    with pytest.raises(ChangedError):
        source.read("0/0", start=50, length=2, version="1")


def test_no_other_version_is_handed_out_where_others_read_the_file_anew_meanwhile(server, source, monkeypatch):
    server.files["0/0"] = (bytes(100), "2")
    source.read("0/0", start=50, length=2)
    let_go, others = source._let_go, []

    def let_go_and_be_overtaken(key):
        let_go(key)
        server.may_go_on.clear()
        others.append(threads.submit(source.read, key, start=50, length=2))
        wait_until(lambda: key in source._readings)

    monkeypatch.setattr(source, "_let_go", let_go_and_be_overtaken)
    with ThreadPoolExecutor(2) as threads:
        before = threads.submit(source.read, "0/0", start=50, length=2, version="1")
        wait_until(lambda: [reading.waiting for reading in source._readings.values()] == [2])
        server.may_go_on.set()
        assert isinstance(before.exception(30), ChangedError)
        assert others[0].result(30) == Piece(bytes(2), "2", 100)


@pytest.mark.parametrize("forget", [lambda source: source.forget("0/0"), lambda source: source.forget_all()])
def test_what_is_to_be_forgotten_is_read_anew(server, source, forget):
    source.read("0/0", start=50, length=2)
    server.files["0/0"] = (bytes(100), "2")
    forget(source)
    assert source.read("0/0", start=50, length=2) == Piece(bytes(2), "2", 100)
    assert server.whole() == 2


def test_a_file_that_is_gone_is_missing_only_as_long_as_it_is(server, source):
    source.read("0/0", start=50, length=2)
    gone = server.files.pop("0/0")
    source.forget_all()
    assert source.read("0/0", start=50, length=2) is None
    server.files["0/0"] = gone
    assert source.read("0/0", start=50, length=2).content == CONTENT[50:52]


def leaving(source, threads, *, who):
    """Two who wait for the same file, and one of them leaves: what becomes of the leaving one, and of the other."""
    stops = [threading.Event(), threading.Event()]
    waits = []
    for start, stop in zip((50, 60), stops, strict=True):
        waits.append(threads.submit(source.read, "0/0", start=start, length=2, stop=stop))
        wait_until(lambda: source._readings and source._readings["0/0"].waiting == len(waits))
    stops[who].set()
    return waits[who], waits[1 - who], stops[1 - who]


@pytest.mark.parametrize("who", [0, 1])
def test_who_leaves_waits_no_longer_and_costs_the_others_nothing(server, source, who):
    server.may_go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        left, stays, _ = leaving(source, threads, who=who)
        assert isinstance(left.exception(30), StoppedError)  # though the file hasn't come
        server.may_go_on.set()
        assert stays.result(30).content == CONTENT[60 - 10 * who :][:2]
    assert server.whole() == 1


def test_a_file_is_given_up_once_all_have_left(server, source):
    server.may_go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        left, stays, stop = leaving(source, threads, who=0)
        assert isinstance(left.exception(30), StoppedError)
        assert not server.stops[0].is_set()
        stop.set()
        assert isinstance(stays.exception(30), StoppedError)
        wait_until(server.stops[0].is_set)
    server.may_go_on.set()
    assert source.read("0/0", start=50, length=2).content == CONTENT[50:52]
    assert server.whole() == 2


def test_what_was_withheld_from_another_is_asked_for_anew(server, source, monkeypatch):
    server.may_go_on.clear()
    read, withheld = server.read, []

    def withhold(key, *, start=0, length=None, **others):
        piece = read(key, start=start, length=length, **others)
        if (start, length) == (0, None) and not withheld:
            withheld.append(key)
            raise WithheldError("Not now.", hint="", by="data saver")
        return piece

    monkeypatch.setattr(server, "read", withhold)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(source.read, "0/0", start=50, length=2)
        wait_until(lambda: server.whole() == 1)
        second = threads.submit(source.read, "0/0", start=60, length=2)
        wait_until(lambda: source._readings["0/0"].waiting == 2)
        server.may_go_on.set()
        assert isinstance(first.exception(30), WithheldError)
        assert second.result(30).content == CONTENT[60:62]


@pytest.mark.parametrize("forget", [lambda source: source.forget("0/0"), lambda source: source.forget_all()])
def test_a_file_that_has_become_too_large_is_refused(server, source, monkeypatch, forget):
    monkeypatch.setattr(module, "_LARGEST_BYTES", 100)
    assert source.read("0/0", start=50, length=2).content == CONTENT[50:52]
    server.files["0/0"] = (bytes(101), "2")
    forget(source)
    with pytest.raises(StreamError, match="No parts"):
        source.read("0/0", start=50, length=2)
    assert server.whole() == 1


def test_only_so_much_is_on_its_way_at_once(server, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ON_ITS_WAY_BYTES", 250)
    source = UndividedFiles(server, object())
    server.files = {f"0/{number}": (CONTENT, "1") for number in range(6)}
    server.may_go_on.clear()
    gone = threading.Event()
    with ThreadPoolExecutor(6) as threads:
        parts = [threads.submit(source.read, key, start=50, length=2) for key in list(server.files)[:5]]
        wait_until(lambda: server.now == 2 and len(source._readings) == 5)
        leaves = threads.submit(source.read, "0/5", start=50, length=2, stop=gone)  # before it was its turn
        wait_until(lambda: len(source._readings) == 6)
        gone.set()
        assert isinstance(leaves.exception(30), StoppedError)
        server.may_go_on.set()
        assert [part.result(30).content for part in parts] == [CONTENT[50:52]] * 5
    assert server.most_at_once == 2
    assert server.whole("0/5") == 0


def test_a_large_file_is_not_overtaken_for_ever_by_smaller_ones():
    room, nobody_leaves, came = module._Room(250), threading.Event(), []

    def come(size_bytes):
        with room.taken(size_bytes, nobody_leaves):
            came.append(size_bytes)

    with ThreadPoolExecutor(2) as threads, room.taken(150, nobody_leaves):
        threads.submit(come, 200)
        wait_until(lambda: len(room._queue) == 1)
        threads.submit(come, 100)  # for which there is room
        wait_until(lambda: len(room._queue) == 2)
        assert came == []
    assert came == [200, 100]


def test_a_file_takes_its_room_also_where_others_forget_it_meanwhile(server, source, monkeypatch):
    begin, taken, rooms = source._begin, source._room.taken, []

    def begin_late(*wanted):
        source.forget_all()
        return begin(*wanted)

    def note(size_bytes, stop):
        rooms.append(size_bytes)
        return taken(size_bytes, stop)

    monkeypatch.setattr(source, "_begin", begin_late)
    monkeypatch.setattr(source._room, "taken", note)
    monkeypatch.setattr(source, "_lock", threading.RLock())
    assert source.read("0/0", start=50, length=2).content == CONTENT[50:52]
    assert rooms == [100]


def test_a_file_alone_may_take_more_than_comes_at_once(server, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ON_ITS_WAY_BYTES", 50)
    assert UndividedFiles(server, object()).read("0/0", start=50, length=2).content == CONTENT[50:52]


def test_a_file_of_plain_values_is_read_so_too(server):
    values = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    server.files[""] = (b"head" + values.tobytes(), "1")
    server.most = 3
    pyramid = plain_pyramid(server, values.shape, values.dtype, offset=4)
    assert np.array_equal(pyramid.read(0), values)
    assert server.whole("") == 1
    pyramid.close()


def test_files_on_this_computer_are_never_read_whole_for_a_part(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    source = UndividedFiles(FileSource(tmp_path), -1)
    assert source.read("a", start=50, length=2).content == CONTENT[50:52]
    assert source.bytes_read == 2
