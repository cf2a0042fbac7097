"""A file of which nothing was read before shows that its image was replaced, where its server says enough of it."""

import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from command_line import wait_until
from napari_cryoet.exceptions import ChangedError, WithheldError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.http import Http
from napari_cryoet.network.policy import Policy
from napari_cryoet.streaming import open_pyramid, watch
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.changes import Changes
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.sources import Piece
from napari_cryoet.streaming.watch import LastLook, ReplacedError, Watch, WatchedSource
from stream_server import StreamServer

OLD, NEW = (np.random.default_rng(seed).normal(size=(8, 64, 600)).astype("f4") for seed in (1, 2))
FIRST, SECOND, LAST = (((0, 8), (0, 64), span) for span in ((0, 256), (256, 512), (512, 600)))  # a chunk each


def of(values, box):
    return values[tuple(slice(*span) for span in box)]


@pytest.fixture
def served(tmp_path):
    (tmp_path / "files").mkdir()
    with StreamServer(tmp_path / "files") as server:
        write_pyramid(server.folder / "a.zarr", OLD, 10.0)
        set_times(server.folder / "a.zarr", -100)
        yield server


def set_times(folder, later_s):
    for file in folder.rglob("*"):
        os.utime(file, (time.time() + later_s,) * 2)


def replace(served, later_s=2.0):
    """Overwrite the image in place, some seconds later: these are what servers tell."""
    write_pyramid(served.folder / "new.zarr", NEW, 10.0)
    set_times(served.folder / "new.zarr", later_s)
    for file in [each for each in (served.folder / "new.zarr").rglob("*") if each.is_file()]:
        file.replace(served.folder / "a.zarr" / file.relative_to(served.folder / "new.zarr"))


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_file_that_was_changed_since_others_were_read_stands_beside_none_of_them(is_kept, served, tmp_path):
    served.tells_sums = True
    cache = DiskCache(tmp_path / "pixels", 10**8) if is_kept else None
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=cache)
    assert np.array_equal(pyramid.read(0, FIRST), of(OLD, FIRST))
    replace(served)
    assert np.array_equal(pyramid.read(0, SECOND), of(NEW, SECOND))
    assert np.array_equal(pyramid.read(0, FIRST), of(NEW, FIRST))
    assert np.array_equal(pyramid.read(0), NEW)


@pytest.mark.parametrize("place", ["file", "http"])
def test_a_box_of_files_that_were_read_before_and_of_new_ones_is_of_one_image(place, served):
    served.tells_sums = True
    address = f"{served.url}/a.zarr" if place == "http" else served.folder / "a.zarr"
    pyramid = open_pyramid(address, cache=None)
    assert np.array_equal(pyramid.read(0, FIRST), of(OLD, FIRST))
    replace(served)
    assert np.array_equal(pyramid.read(0), NEW)


@pytest.mark.parametrize("place", ["file", "http"])
def test_where_no_time_is_told_a_file_that_was_read_before_is_asked_for(place, served, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 0.0)
    address = f"{served.url}/a.zarr" if place == "http" else served.folder / "a.zarr"
    pyramid = open_pyramid(address, cache=None)
    assert np.array_equal(pyramid.read(0, FIRST), of(OLD, FIRST))
    write_pyramid(served.folder / "b.zarr", NEW, 10.0)
    set_times(served.folder / "b.zarr", -100)
    (served.folder / "a.zarr").rename(served.folder / "old.zarr")
    (served.folder / "b.zarr").rename(served.folder / "a.zarr")
    assert np.array_equal(pyramid.read(0), NEW)


@pytest.mark.usefixtures("far_away")
def test_where_no_time_is_told_what_was_kept_is_asked_about_once_something_new_comes(served, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 1000.0)
    url, cache = f"{served.url}/a.zarr", DiskCache(tmp_path / "pixels", 10**8)
    open_pyramid(url, cache=cache).read(0, FIRST)
    assert cache.flush()
    replacing = served.folder / "b.zarr"
    write_pyramid(replacing, NEW, 10.0)
    for chunk in replacing.glob("[012]/*/*/*"):  # the metadata stay as they are
        chunk.replace(served.folder / "a.zarr" / chunk.relative_to(replacing))
    again = open_pyramid(url, cache=DiskCache(tmp_path / "pixels", 10**8))
    assert np.array_equal(again.read(0, FIRST), of(OLD, FIRST))
    assert np.array_equal(again.read(0), NEW)


def test_a_picture_is_looked_at_once_more_where_nobody_asks_for_anything_new(served, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 1000.0)
    passed_s, shown = [0.0], threading.Event()
    fetcher = Fetcher(MemoryCache(2**26), clock=lambda: time.monotonic() + passed_s[0])
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None, fetcher=fetcher)
    display = pyramid.display(on_change=shown.set)
    plane = ((0, 1), (0, 64), (0, 600))

    def wait_for(values):
        while not (picture := display.picture(0, plane)).is_whole or not np.array_equal(picture.values, values[:1]):
            assert shown.wait(60)
            shown.clear()

    wait_for(OLD)
    replace(served)
    passed_s[0] = 2000.0
    wait_for(NEW)
    display.close()


@pytest.fixture
def ever_new(served, monkeypatch):
    """A server that says of all that it sends that it was changed just now; each time a second later."""
    served.tells_sums = True
    now, passed_s = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: now() + passed_s[0])

    def touch(path, wanted):
        passed_s[0] += path[-1].isdigit() and wanted != "bytes=0-4095"  # which come at once when it is opened
        with contextlib.suppress(FileNotFoundError):
            os.utime(served.folder / path.lstrip("/"), (time.time(),) * 2)

    served.before_answer = touch
    return served


def test_an_image_is_read_whose_server_says_of_all_that_it_sends_that_it_was_changed_just_now(ever_new):
    pyramid = open_pyramid(f"{ever_new.url}/a.zarr", cache=None)
    assert np.array_equal(pyramid.read(0, FIRST), of(OLD, FIRST))
    times = pyramid.times_changed()
    for box in (SECOND, LAST):
        assert np.array_equal(pyramid.read(0, box), of(OLD, box))
    assert pyramid.times_changed() == times


@pytest.mark.usefixtures("far_away")
def test_such_an_image_opens_again_though_it_was_read_within_the_hour(ever_new, tmp_path):
    for box in (FIRST, SECOND, LAST):
        cache = DiskCache(tmp_path / "pixels", 10**8)
        assert np.array_equal(open_pyramid(f"{ever_new.url}/a.zarr", cache=cache).read(0, box), of(OLD, box))
        assert cache.flush()


def test_nothing_more_is_asked_for_within_a_short_while(served, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 1000.0)
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None)
    pyramid.read(0)
    before = len(served.requests)
    assert before == len(set(served.requests))
    pyramid.read(0)
    assert len(served.requests) == before


def test_what_comes_while_a_last_look_begins_prevents_no_later_one(monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 1000.0)
    asked = []

    class Fetching:
        def ask(self, planner, *, after_s, is_outdated):
            asked.append(planner)

        def forget(self, planner):
            planner.ask_for_it()  # as another thread may just then
            asked.clear()

    look = LastLook(Watch(), Changes(), Fetching(), threading.Event())
    look.ask_for_it()
    look.plan()
    look.ask_for_it()
    assert asked == [look]


def test_looks_at_silent_servers_hold_up_nobody_who_fetches(served, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 1000.0)
    passed_s = [0.0]
    fetcher = Fetcher(MemoryCache(2**26), threads=1, clock=lambda: time.monotonic() + passed_s[0])
    silent = [open_pyramid(f"{served.url}/a.zarr", cache=None, fetcher=fetcher) for _ in range(4)]
    for pyramid in silent:
        pyramid.read(0, SECOND)
    (tmp_path / "others").mkdir()
    with StreamServer(tmp_path / "others") as server, ThreadPoolExecutor(1) as reader:
        write_pyramid(server.folder / "b.zarr", NEW, 10.0)
        pyramid = open_pyramid(f"{server.url}/b.zarr", cache=None, fetcher=fetcher)
        served.gate.clear()
        passed_s[0] = 2000.0
        try:
            assert np.array_equal(reader.submit(pyramid.read, 0).result(60), NEW)
            wait_until(lambda: served.is_answering)
        finally:
            served.gate.set()
    for pyramid in silent:
        pyramid.close()


class Saving(Policy):
    """Lets all come but single bytes, which only looks at files that were read before are."""

    withholds_looks = False

    def promise(self, size_bytes):
        if self.withholds_looks and size_bytes == 1:
            raise WithheldError("used up", by="data saver")
        super().promise(size_bytes)


@pytest.fixture
def saving(served, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 0.0)
    monkeypatch.setattr(watch, "_OWED_AGAIN_S", 0.05)
    return Saving()


@pytest.mark.parametrize("is_kept", [False, True])
def test_what_came_is_read_though_no_look_at_another_file_may_be_sent(is_kept, served, saving, tmp_path):
    cache = DiskCache(tmp_path / "pixels", 10**8) if is_kept else None
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=cache, http=Http(policy=saving))
    assert np.array_equal(pyramid.read(0, FIRST), of(OLD, FIRST))
    assert not pyramid.is_unchecked
    saving.withholds_looks = True
    for box in (SECOND, FIRST):
        assert np.array_equal(pyramid.read(0, box), of(OLD, box))
        assert pyramid.is_unchecked
    before = len(served.requests)
    assert np.array_equal(pyramid.read(0, SECOND), of(OLD, SECOND))
    assert len(served.requests) == before, "what came was kept"


def test_a_look_that_was_withheld_is_owed_until_it_may_be_sent(served, saving):
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None, http=Http(policy=saving))
    pyramid.read(0, FIRST)
    saving.withholds_looks = True
    pyramid.read(0, SECOND)
    replace(served)
    assert pyramid.is_unchecked
    saving.withholds_looks = False
    wait_until(lambda: pyramid.times_changed() == 1)  # nobody reads anything
    assert not pyramid.is_unchecked
    assert np.array_equal(pyramid.read(0), NEW)


def test_a_picture_tells_whether_looks_at_its_image_are_owed(served, saving):
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None, http=Http(policy=saving))
    display = pyramid.display(on_change=lambda: told.append(display.state.is_unchecked))
    told = []
    pyramid.read(0, FIRST)
    saving.withholds_looks = True
    pyramid.read(0, SECOND)
    wait_until(lambda: told[-1:] == [True])
    saving.withholds_looks = False
    wait_until(lambda: told[-1] is False)
    display.close()


def test_a_last_look_that_fails_is_owed_and_sent_again(served, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", 1000.0)
    passed_s = [0.0]
    fetcher = Fetcher(MemoryCache(2**26), clock=lambda: time.monotonic() + passed_s[0])
    pyramid = open_pyramid(f"{served.url}/a.zarr", cache=None, fetcher=fetcher)
    pyramid.read(0, SECOND)

    def is_unchecked():
        pyramid.read(0, SECOND)  # from memory, which lets a thread look at the clock
        return pyramid.is_unchecked

    served.statuses["."] = 403
    assert not is_unchecked()
    passed_s[0] += 2000.0
    wait_until(is_unchecked)
    served.statuses.clear()
    passed_s[0] += 2000.0
    wait_until(lambda: not is_unchecked())
    assert np.array_equal(pyramid.read(0), OLD)


class Source:
    """Answers with what it is told to, and counts."""

    url = "https://files.example.org/a.zarr"

    def __init__(self):
        self.asked, self.versions, self.changed_at = [], {}, None

    def read(self, key, *, start=0, length=None, version=None, stop=None):
        del start, stop
        self.asked.append((key, length, version))
        return Piece(b"x", self.versions.get(key, "old"), 1, self.changed_at)

    def forget_all(self):
        pass


def test_the_file_that_was_asked_for_longest_ago_is_asked_for_next(monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", -1.0)
    source, seen = Source(), Watch()
    watched = WatchedSource(source, seen)
    watched.read("a")
    watched.read("b")
    seen.is_on = True
    for key in "cdd":
        watched.read(key)
    expected = [("c", None), ("a", 1), ("d", None), ("b", 1), ("d", None)]
    assert [(key, length) for key, length, _ in source.asked[2:]] == expected


def test_what_was_asked_for_before_all_was_dropped_is_not_looked_at_again(monkeypatch):
    """It is of the old image, and would be taken for a change of the new one."""
    monkeypatch.setattr(watch, "_ASK_AFTER_S", -1.0)
    source, seen = Source(), Watch()
    watched = WatchedSource(source, seen)
    seen.is_on, read, doubts = True, source.read, []
    seen.on_doubt = lambda: doubts.append(seen)

    def meets_a_change_meanwhile(*arguments, **options):
        watched.forget_all()
        return read(*arguments, **options)

    source.read = meets_a_change_meanwhile
    assert watched.read("a").version == "old"
    assert (seen.next_but(""), doubts) == (None, [])
    source.read = read
    watched.read("a")
    assert seen.next_but("") == ("a", "old")


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_change_that_another_has_met_while_a_file_was_looked_at_is_told_once(is_gone, monkeypatch):
    monkeypatch.setattr(watch, "_ASK_AFTER_S", -1.0)
    source, seen = Source(), Watch()
    watched, read = WatchedSource(source, seen), source.read
    watched.read("a")
    seen.is_on = True

    def meets_it(key, *, version=None, **options):
        if version is None:
            return read(key, **options)
        watched.forget_all()  # as whoever has met it first
        if is_gone:
            return None
        raise ChangedError(f"{key} changed")

    source.read = meets_it
    assert watched.read("b").content
    assert seen.times_begun == 1


def test_a_time_that_is_far_ahead_says_nothing():
    source, seen = Source(), Watch()
    watched = WatchedSource(source, seen)
    seen.is_on = True
    for hours in range(1, 4):
        source.changed_at = time.time() + 3600 * hours
        assert watched.read(str(hours))
    source.changed_at = time.time() + 5
    with pytest.raises(ReplacedError, match="was replaced while it was read"):
        watched.read("4")
    assert watched.read("4")  # told once
