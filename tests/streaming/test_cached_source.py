"""What is kept on disk is shown again without asking more than once, and never when the server has something newer."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cryoet.exceptions import ChangedError, FormatError, StoppedError, StreamError, WithheldError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.http import shared_http
from napari_cryoet.network.policy import policy as shared_policy
from napari_cryoet.streaming import cached_source, disk_cache, open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.cached_source import CachedSource
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.disk_index import Index
from napari_cryoet.streaming.disk_settings import ASK_AGAIN_VARIABLE, FOLDER_VARIABLE, LIMIT_VARIABLE, shared_disk_cache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.part_files import PartFiles
from napari_cryoet.streaming.sources import FileSource, HttpSource, Piece, SourceAround, open_source
from stream_server import StreamServer

MB = 10**6
PLANE = ((100, 101), (0, 300), (0, 300))


@pytest.fixture(scope="module")
def volume():
    return np.random.default_rng(0).normal(size=(300, 300, 300)).astype("f4")


@pytest.fixture(scope="module")
def image(tmp_path_factory, volume):
    folder = tmp_path_factory.mktemp("image")
    write_pyramid(folder / "a.zarr", volume, 10.0)
    return folder


@pytest.fixture
def served(tmp_path):
    (tmp_path / "files").mkdir()
    with StreamServer(tmp_path / "files") as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pixels"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)


@pytest.fixture
def policy():
    policy = shared_policy()
    yield policy
    policy.offline, policy.max_session_bytes, policy.max_minute_bytes = False, None, None


def open_anew(url, folder, cache=None):
    """Open as another process would: nothing in memory, all that was kept is on disk."""
    shared = shared_disk_cache()
    if shared is not None:
        shared.flush()
    return open_pyramid(url, fetcher=Fetcher(MemoryCache(256 * 2**20)), cache=cache or DiskCache(folder, 500 * MB))


def flush_all():
    for cache in list(disk_cache._caches):
        assert cache.flush(30)


def chunks_of(served):
    return [path for path, _ in served.requests if re.search(r"\d\.\d\.\d$", path)]


def read_plane(url, folder):
    """One plane, read by a process that ends afterwards."""
    cache = DiskCache(folder, 500 * MB)
    pyramid = open_pyramid(url, fetcher=Fetcher(MemoryCache(256 * 2**20)), cache=cache)
    plane = pyramid.read(0, PLANE)[0]
    assert cache.flush(30)
    return plane


@pytest.mark.usefixtures("far_away")
def test_a_second_opening_sends_no_request(image, volume, folder):
    with StreamServer(image) as server:
        assert np.array_equal(read_plane(f"{server.url}/a.zarr", folder), volume[100])
        server.requests.clear()
        pyramid = open_anew(f"{server.url}/a.zarr", folder)
        assert np.array_equal(pyramid.read(0, PLANE)[0], volume[100])
        assert np.array_equal(pyramid.read(0, ((101, 102), (0, 300), (0, 300)))[0], volume[101])  # the same blocks
        assert server.requests == []
        assert pyramid.bytes_read == 0
        assert pyramid.as_of is None


def test_a_second_opening_sends_one_request_where_it_is_due(image, volume, folder):
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        server.requests.clear()
        assert np.array_equal(read_plane(f"{server.url}/a.zarr", folder), volume[100])
        assert [path for path, _ in server.requests] == ["/a.zarr/.zattrs"]


@pytest.mark.parametrize("trouble", ["its folder can't be made", "the disk is full"])
def test_an_image_is_read_as_ever_where_nothing_can_be_kept(trouble, image, volume, folder, monkeypatch):
    def is_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def has_no_room(*_):
        raise sqlite3.OperationalError("database or disk is full")

    if trouble == "the disk is full":
        monkeypatch.setattr(PartFiles, "write", is_full)
        monkeypatch.setattr(Index, "add_part", has_no_room)
    else:
        folder.write_text("a file is in the way")
    cache = DiskCache(folder, 500 * MB)
    with StreamServer(image) as server:
        for z in (100, 40):
            pyramid = open_anew(f"{server.url}/a.zarr", folder, cache)
            assert np.array_equal(pyramid.read(0, ((z, z + 1), (0, 300), (0, 300)))[0], volume[z])
            assert cache.flush()
            pyramid.close()
    assert cache.usage().fault
    cache.close()


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize(("chosen", "after_s"), [("", 3600), ("10min", 600), ("7d", 7 * 86400), ("soon", 3600)])
def test_what_was_confirmed_counts_for_a_while(chosen, after_s, image, folder, monkeypatch):
    monkeypatch.setenv(ASK_AGAIN_VARIABLE, chosen)
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        server.requests.clear()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + after_s - 60)
        read_plane(f"{server.url}/a.zarr", folder)
        assert server.requests == []
        later = now + after_s + 60
        monkeypatch.setattr(time, "time", lambda: later)
        server.requests.clear()
        read_plane(f"{server.url}/a.zarr", folder)
        assert len(server.requests) == 1
        read_plane(f"{server.url}/a.zarr", folder)
        assert len(server.requests) == 1


@pytest.mark.usefixtures("far_away")
def test_a_clock_that_was_set_back_means_to_ask(image, folder, monkeypatch):
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        earlier = time.time() - 1e6
        monkeypatch.setattr(time, "time", lambda: earlier)
        server.requests.clear()
        read_plane(f"{server.url}/a.zarr", folder)
        assert len(server.requests) == 1


def test_an_image_that_was_replaced_is_read_anew(served, folder):
    first, second = (np.random.default_rng(seed).normal(size=(40, 50, 60)).astype("f4") for seed in (1, 2))
    write_pyramid(served.folder / "a.zarr", first, 10.0)
    assert np.array_equal(open_anew(f"{served.url}/a.zarr", folder).read(0), first)
    (served.folder / "a.zarr").rename(served.folder / "old.zarr")
    write_pyramid(served.folder / "a.zarr", second, 10.0)
    for _ in range(2):
        assert np.array_equal(open_anew(f"{served.url}/a.zarr", folder).read(0), second)


def write_of(folder, value, *, later_s=0.0):
    """An array of a value in eight chunks, with the same metadata whatever the value; written so much later."""
    array = zarr.create_array(folder, shape=(8, 8, 8), chunks=(4, 4, 4), dtype="f4", zarr_format=2, overwrite=True)
    array[...] = value
    for file in folder.iterdir():
        os.utime(file, (time.time() + later_s,) * 2)


FIRST_CHUNK = ((0, 4),) * 3


@pytest.mark.usefixtures("far_away")
def test_what_was_kept_a_short_while_ago_is_not_mixed_with_another_image(served, folder):
    write_of(served.folder / "a.zarr", 1)
    assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK) == 1)
    flush_all()
    write_of(served.folder / "a.zarr", 2)
    pyramid = open_anew(f"{served.url}/a.zarr", folder)
    assert np.all(pyramid.read(0, FIRST_CHUNK) == 1)
    with pytest.raises(StreamError, match="has changed on its server since it was kept"):
        pyramid.read(0)
    flush_all()
    assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0) == 2)


@pytest.fixture
def forgets_nothing(monkeypatch):
    """Let nothing be written into an index any more, as if the process were killed before."""

    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    return lambda: monkeypatch.setattr(Index, "touch", refuse)


@pytest.mark.usefixtures("far_away")
def test_what_was_found_outdated_is_not_shown_by_the_next_process_though_nothing_was_forgotten(
    served, folder, forgets_nothing
):
    """Which would ask for nothing within the hour."""
    write_of(served.folder / "a.zarr", 1)
    open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK)
    flush_all()
    write_of(served.folder / "a.zarr", 2)
    forgets_nothing()
    with pytest.raises(StreamError, match="has changed on its server since it was kept"):
        open_anew(f"{served.url}/a.zarr", folder).read(0)
    assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK) == 2)


@pytest.mark.usefixtures("far_away")
def test_where_nothing_could_be_noted_a_server_is_asked_within_the_hour_too(served, folder, monkeypatch):
    write_of(served.folder / "a.zarr", 1)
    open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK)
    flush_all()
    monkeypatch.setattr(DiskCache, "can_note", lambda _: False)
    write_of(served.folder / "a.zarr", 2)
    assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK) == 2)


@pytest.mark.usefixtures("far_away")
def test_what_was_kept_a_short_while_ago_is_asked_about_once_something_new_comes(served, folder):
    write_of(served.folder / "a.zarr", 1)
    open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK)
    flush_all()
    pyramid = open_anew(f"{served.url}/a.zarr", folder)
    served.requests.clear()
    assert np.all(pyramid.read(0, FIRST_CHUNK) == 1)
    assert served.requests == []
    assert np.all(pyramid.read(0) == 1)
    assert [path for path, _ in served.requests].count("/a.zarr/.zarray") == 1
    assert len(served.requests) == 1 + 7


@pytest.mark.usefixtures("far_away")
def test_what_is_kept_can_be_read_while_the_server_is_asked(served, folder, monkeypatch):
    write_of(served.folder / "a.zarr", 1)
    open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK)
    flush_all()
    monkeypatch.setattr(cached_source, "_PATIENCE_S", 1000)
    is_asked, may_answer = threading.Event(), threading.Event()

    def before_answer(path, _wanted):
        if path.endswith(".zarray"):
            is_asked.set()
            may_answer.wait(100)

    served.before_answer = before_answer
    source = CachedSource(HttpSource(f"{served.url}/a.zarr"), DiskCache(folder, 500 * MB))
    with ThreadPoolExecutor(2) as threads:
        try:
            new = threads.submit(source.read, "1.1.1")
            assert is_asked.wait(30)
            assert threads.submit(source.read, "0.0.0").result(30).content
            assert not new.done()
        finally:
            may_answer.set()
        assert new.result(30).content


def test_an_image_that_was_replaced_by_one_with_the_same_metadata_is_read_anew(served, folder):
    """Where ETags are sums of the content, only the time of change tells."""
    served.tells_sums = True
    write_of(served.folder / "a.zarr", 1, later_s=-100)
    for _ in range(2):
        assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0) == 1)
        flush_all()
    assert len(chunks_of(served)) == 8  # kept meanwhile
    write_of(served.folder / "a.zarr", 2, later_s=100)
    assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0) == 2)


@pytest.mark.usefixtures("far_away")
def test_an_image_that_is_new_is_no_other_one_where_the_servers_clock_is_ahead(served, folder):
    served.tells_sums, served.ahead_s = True, 1000.0
    write_of(served.folder / "a.zarr", 1, later_s=900)  # that was 100 s ago
    assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0, FIRST_CHUNK) == 1)
    flush_all()
    assert np.all(open_anew(f"{served.url}/a.zarr", folder).read(0) == 1)


@pytest.mark.usefixtures("far_away")
def test_a_chunk_that_changed_alone_is_never_mixed(served, folder):
    """The table of the chunk is kept, its blocks are not: they no longer belong together."""
    first, second = (np.random.default_rng(seed).normal(size=(256, 256, 256)).astype("f4") for seed in (1, 2))
    write_pyramid(served.folder / "a.zarr", first, 10.0)
    write_pyramid(served.folder / "b.zarr", second, 10.0)
    url = f"{served.url}/a.zarr"
    cache = DiskCache(folder, 500 * MB)
    assert np.array_equal(open_pyramid(url, cache=cache).read(0, ((0, 1), (0, 256), (0, 256)))[0], first[0])
    cache.flush()
    (served.folder / "b.zarr" / "0" / "0" / "0" / "0").replace(served.folder / "a.zarr" / "0" / "0" / "0" / "0")
    pyramid = open_anew(url, folder)
    assert np.array_equal(pyramid.read(0, ((100, 102), (0, 256), (0, 256))), second[100:102])
    assert np.array_equal(pyramid.read(0, ((0, 1), (0, 256), (0, 256)))[0], second[0])


def test_without_network_what_is_kept_opens_and_says_so(image, volume, folder):
    with StreamServer(image) as server:
        url = f"{server.url}/a.zarr"
        before = time.time()
        read_plane(url, folder)
    shared_http().close()  # no connection is left that would still be answered
    pyramid = open_anew(url, folder)
    assert np.array_equal(pyramid.read(0, PLANE)[0], volume[100])
    assert before - 1 < pyramid.as_of.timestamp() < time.time() + 1
    with pytest.raises(StreamError):
        pyramid.read(0, ((200, 201), (0, 300), (0, 300)))


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_leaves_what_is_kept_readable(image, volume, folder, status):
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        server.statuses["a.zarr"] = status
        pyramid = open_anew(f"{server.url}/a.zarr", folder)
        assert np.array_equal(pyramid.read(0, PLANE)[0], volume[100])
        assert pyramid.as_of


def test_a_silent_server_is_not_waited_for_long(image, volume, folder, monkeypatch):
    monkeypatch.setattr(cached_source, "_PATIENCE_S", 0.2)
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        server.gate.clear()
        pyramid = open_anew(f"{server.url}/a.zarr", folder)
        assert np.array_equal(pyramid.read(0, PLANE)[0], volume[100])
        assert pyramid.as_of


@pytest.mark.parametrize("status", [401, 403])
def test_what_may_no_longer_be_seen_is_not_shown(image, folder, status):
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        server.statuses["a.zarr"] = status
        with pytest.raises(StreamError, match="allow"):
            open_anew(f"{server.url}/a.zarr", folder)


def test_an_image_that_is_gone_is_gone(image, folder):
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        server.statuses["a.zarr"] = 404
        with pytest.raises(FormatError):
            open_anew(f"{server.url}/a.zarr", folder)


@pytest.mark.usefixtures("far_away")
def test_an_address_with_nothing_behind_it_is_asked_again(served, folder):
    url = f"{served.url}/a.zarr"
    with pytest.raises(FormatError):
        open_pyramid(url, cache=(cache := DiskCache(folder, 500 * MB)))
    cache.flush()
    values = np.ones((8, 8, 8), "f4")
    write_pyramid(served.folder / "a.zarr", values, 10.0)
    assert np.array_equal(open_anew(url, folder).read(0), values)


@pytest.mark.usefixtures("far_away")
def test_offline_nothing_is_sent(image, volume, folder, policy, monkeypatch):
    with StreamServer(image) as server:
        read_plane(f"{server.url}/a.zarr", folder)
        much_later = time.time() + 1e7
        monkeypatch.setattr(time, "time", lambda: much_later)
        policy.offline = True
        server.requests.clear()
        pyramid = open_anew(f"{server.url}/a.zarr", folder)
        assert np.array_equal(pyramid.read(0, PLANE)[0], volume[100])
        assert pyramid.as_of
        with pytest.raises(WithheldError, match="offline"):
            pyramid.read(0, ((200, 201), (0, 300), (0, 300)))
        with pytest.raises(WithheldError, match="offline"):
            open_anew(f"{server.url}/b.zarr", folder)
        assert server.requests == []
        policy.offline = False
        assert np.array_equal(pyramid.read(0, ((200, 201), (0, 300), (0, 300)))[0], volume[200])


@pytest.mark.usefixtures("far_away")
def test_a_server_that_was_out_of_reach_is_asked_once_it_answers(served, folder, policy, monkeypatch):
    """Where it has another image by then, nothing of that is shown beside what was kept of the old one."""
    old, new = (np.random.default_rng(seed).normal(size=(8, 64, 600)).astype("f4") for seed in (1, 2))
    write_pyramid(served.folder / "a.zarr", old, 10.0)
    left, middle, right = (((0, 8), (0, 64), span) for span in ((0, 256), (256, 512), (512, 600)))  # a chunk each
    open_pyramid(f"{served.url}/a.zarr", cache=(cache := DiskCache(folder, 500 * MB))).read(0, left)
    cache.flush()
    much_later = time.time() + 1e7
    monkeypatch.setattr(time, "time", lambda: much_later)
    policy.offline = True
    caches = [DiskCache(folder, 500 * MB) for _ in range(2)]
    same, replaced = (open_anew(f"{served.url}/a.zarr", folder, cache=each) for each in caches)
    policy.offline = False
    assert same.as_of
    assert np.array_equal(same.read(0, middle), old[:, :, 256:512])
    assert same.as_of is None
    assert np.array_equal(replaced.read(0, left), old[:, :, :256])
    (served.folder / "a.zarr").rename(served.folder / "old.zarr")
    write_pyramid(served.folder / "a.zarr", new, 20.0)
    for _ in range(2):
        with pytest.raises(StreamError, match="has changed on its server since"):
            replaced.read(0, right)
    assert replaced.as_of
    assert all(each.flush() for each in caches)  # what was dropped is dropped for others, too, once that is written
    assert np.array_equal(open_anew(f"{served.url}/a.zarr", folder).read(0), new)


@pytest.mark.usefixtures("far_away")
def test_what_an_open_image_brings_of_a_new_one_is_not_kept_beside_the_old_one(served, folder):
    """It can stand beside it in memory, but not where the image is opened again."""
    served.tells_sums = True
    old, new = (np.random.default_rng(seed).normal(size=(8, 64, 600)).astype("f4") for seed in (1, 2))
    left, middle = (((0, 8), (0, 64), span) for span in ((0, 256), (256, 512)))  # a chunk each
    url, cache = f"{served.url}/a.zarr", DiskCache(folder, 500 * MB)
    write_pyramid(served.folder / "a.zarr", old, 10.0)
    pyramid = open_pyramid(url, cache=cache)
    assert np.array_equal(pyramid.read(0, left), old[:, :, :256])
    assert cache.flush()
    (served.folder / "a.zarr").rename(served.folder / "old.zarr")
    write_pyramid(served.folder / "a.zarr", new, 20.0)
    for file in (served.folder / "a.zarr").rglob("*"):
        os.utime(file, (time.time() + 2,) * 2)  # seconds are what servers tell
    assert np.array_equal(pyramid.read(0, middle), new[:, :, 256:512])
    assert cache.flush()
    again = open_anew(url, folder)
    assert np.array_equal(again.read(0, middle), new[:, :, 256:512])
    assert np.array_equal(again.read(0, left), new[:, :, :256])
    assert again.scales[0] == (20.0, 20.0, 20.0)


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize("lost", [".zattrs", "1/.zarray", "0/0/0/0", "zarr.json"])
def test_an_image_that_was_replaced_opens_as_the_new_one_where_not_all_of_the_old_one_is_kept(lost, served, folder):
    """The server is asked then, within the hour too."""
    old, new = (np.random.default_rng(seed).normal(size=(128, 128, 128)).astype("f4") for seed in (1, 2))
    url, cache = f"{served.url}/a.zarr", DiskCache(folder, 500 * MB)
    write_pyramid(served.folder / "a.zarr", old, 10.0)
    open_pyramid(url, cache=cache).read(0, ((0, 2), (0, 128), (0, 128)))
    assert cache.flush()
    cache.forget(cache.tree(url), lost)
    assert cache.flush()
    (served.folder / "a.zarr").rename(served.folder / "old.zarr")
    write_pyramid(served.folder / "a.zarr", new, 20.0)
    pyramid = open_anew(url, folder)
    assert pyramid.scales[0] == (20.0, 20.0, 20.0)
    assert np.array_equal(pyramid.read(0), new)
    assert np.array_equal(open_anew(url, folder).read(0), new)


def source_over(server, folder, **options):
    return CachedSource(HttpSource(server.url), DiskCache(folder, 100 * MB), **options)


def settle(source):
    assert source._cache.flush(30)


class _Called(SourceAround):
    """Files under an address, without a server."""

    def __init__(self, source, url):
        super().__init__(source)
        self._url = url

    @property
    def url(self):
        return self._url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_a_server_on_this_computer_is_asked_each_time(host, tmp_path, folder):
    def source():
        return CachedSource(_Called(FileSource(tmp_path), f"http://{host}:8000/a.zarr"), DiskCache(folder, 100 * MB))

    (tmp_path / ".zattrs").write_text("{}")
    (tmp_path / "0").write_bytes(b"old")
    first = source()
    assert [first.read(key).content for key in (".zattrs", "0")] == [b"{}", b"old"]
    settle(first)
    (tmp_path / ".zattrs").write_text('{"a": 1}')
    (tmp_path / "0").write_bytes(b"new")
    assert source().read("0").content == b"new"


def test_a_missing_chunk_counts_for_a_while_and_a_missing_document_as_long_as_the_root(served, folder):
    (served.folder / ".zattrs").write_text("{}")
    first = source_over(served, folder, revalidate_after_s=1000)
    assert first.read(".zattrs").content == b"{}"
    assert first.read("zarr.json") is None
    assert first.read("0/0/0") is None
    settle(first)
    served.requests.clear()
    later = source_over(served, folder, revalidate_after_s=1000)
    assert later.read("zarr.json") is None
    assert later.read("0/0/0", start=5, length=5) is None
    assert served.requests == []
    (served.folder / "0" / "0").mkdir(parents=True)
    (served.folder / "0" / "0" / "0").write_bytes(b"uploaded at last")
    strict = source_over(served, folder, revalidate_after_s=0)
    assert strict.read("zarr.json") is None
    assert strict.read("0/0/0").content == b"uploaded at last"
    assert [path for path, _ in served.requests] == ["/.zattrs", "/0/0/0"]


def test_nothing_that_was_kept_of_a_file_is_used_once_it_is_gone(served, folder):
    (served.folder / ".zattrs").write_text("{}")
    (served.folder / "0").write_bytes(bytes(range(100)))
    first = source_over(served, folder, revalidate_after_s=1000)
    first.read(".zattrs")
    head = first.read("0", length=10)
    settle(first)
    (served.folder / "0").unlink()
    assert first.read("0", start=50, length=10, version=head.version) is None
    assert first.read("0", length=10) is None  # before that is written


def test_a_stop_is_heard_while_another_reader_asks_the_server(served, folder):
    (served.folder / ".zattrs").write_text("{}")
    first = source_over(served, folder)
    first.read(".zattrs")
    settle(first)
    later, n_asked = source_over(served, folder), len(served.requests)
    served.gate.clear()
    asks = threading.Thread(target=later.read, args=(".zattrs",))
    asks.start()
    while len(served.requests) == n_asked:
        asks.join(0.01)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        later.read(".zattrs", stop=stop)
    assert asks.is_alive()
    served.gate.set()
    asks.join(10)
    assert len(served.requests) == n_asked + 1


class Slow:
    """A source that answers once it may."""

    url = "https://files.example.org/a.zarr"

    def __init__(self, piece):
        self.piece = piece
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def read(self, key, *, start=0, length=None, version=None, stop=None):
        del key, start, length, version, stop
        self.asked.set()
        assert self.may_answer.wait(60)
        return self.piece

    def forget_all(self):
        pass


@pytest.mark.parametrize("piece", [Piece(b"old", "1", 3), None])
def test_what_was_asked_for_before_an_image_was_met_changed_is_not_kept(piece, folder):
    """It may be of the old image, and would stand beside the new one, today or when it is opened again."""
    slow, cache = Slow(piece), DiskCache(folder, MB)
    source = CachedSource(slow, cache)
    with ThreadPoolExecutor(1) as reader:
        late = reader.submit(source.read, "0/0.0.0")
        assert slow.asked.wait(60)
        source.forget_all()  # since another file was
        slow.may_answer.set()
        assert late.result(60) == piece
    assert cache.flush()
    assert cache.find(cache.tree(slow.url), "0/0.0.0") is None
    assert source.read("0/0.0.0") == piece
    assert cache.flush()
    assert cache.find(cache.tree(slow.url), "0/0.0.0") is not None


def test_parts_that_lie_side_by_side_are_read_as_one(served, folder):
    content = bytes(range(256)) * 100
    (served.folder / "x").write_bytes(content)
    first = source_over(served, folder, revalidate_after_s=1000)
    for start in (2000, 0, 1000, 1500):
        first.read("x", start=start, length=1000)
    settle(first)
    served.requests.clear()
    later = source_over(served, folder, revalidate_after_s=1000)
    assert later.read("x", start=100, length=2800).content == content[100:2900]
    assert later.read("x", length=3000).total_bytes == len(content)
    assert served.requests == []
    assert later.read("x", start=2999, length=2).content == content[2999:3001]
    assert len(served.requests) == 1


def test_files_without_a_version_are_not_kept(served, folder):
    (served.folder / "x").write_bytes(b"some")
    served.tells_versions = False
    first = source_over(served, folder, revalidate_after_s=1000)
    assert first.read("x").content == b"some"
    settle(first)
    (served.folder / "x").write_bytes(b"else")
    assert source_over(served, folder, revalidate_after_s=1000).read("x").content == b"else"


def test_who_wants_a_version_gets_no_other(served, folder):
    (served.folder / "x").write_bytes(b"first")
    first = source_over(served, folder, revalidate_after_s=1000)
    version = first.read("x").version
    settle(first)
    (served.folder / "x").unlink()
    (served.folder / "x").write_bytes(b"second")
    later = source_over(served, folder, revalidate_after_s=1000)
    assert later.read("x", version=version).content == b"first"  # kept, and as it was
    with pytest.raises(ChangedError):
        later.read("x", version='"another"')
    assert later.read("x").content == b"second"


def test_nothing_that_was_kept_is_used_once_another_version_of_a_file_has_come(served, folder, forgets_nothing):
    (served.folder / ".zattrs").write_text("{}")
    for name in "xy":
        (served.folder / name).write_bytes(b"first")
    first = source_over(served, folder, revalidate_after_s=1000)
    for name in (".zattrs", "x", "y"):
        first.read(name)
    settle(first)
    for name in "xy":
        (served.folder / name).unlink()
        (served.folder / name).write_bytes(b"second")
    forgets_nothing()
    later = source_over(served, folder, revalidate_after_s=1000)
    version = HttpSource(served.url).read("x").version
    assert later.read("x", version=version).content == b"second"
    assert later.read("y").content == b"second"
    assert source_over(served, folder, revalidate_after_s=1000).read("y").content == b"second"


def test_beyond_the_end_is_nothing(served, folder):
    (served.folder / "x").write_bytes(b"0123456789")
    (served.folder / "empty").write_bytes(b"")
    for _ in range(2):
        source = source_over(served, folder, revalidate_after_s=1000)
        assert source.read("x", start=-4).content == b"6789"
        assert source.read("x", start=8, length=100).content == b"89"
        assert source.read("x", start=100, length=100).content == b""
        assert source.read("x").content == b"0123456789"
        assert source.read("empty").content == b""
        settle(source)


def test_local_files_are_never_kept(tmp_path):
    assert isinstance(open_source(tmp_path), FileSource)


def test_the_cache_is_shared_by_default_and_can_be_turned_off(served, tmp_path, monkeypatch):
    (served.folder / "x").write_bytes(b"some")
    place = tmp_path / "elsewhere"
    monkeypatch.setenv(FOLDER_VARIABLE, str(place))
    open_source(served.url, cache=None).read("x")
    monkeypatch.setenv(LIMIT_VARIABLE, "off")
    assert shared_disk_cache() is None
    open_source(served.url).read("x")
    assert not place.exists()
    monkeypatch.setenv(LIMIT_VARIABLE, "5 MB")
    open_source(served.url).read("x")
    assert shared_disk_cache().flush()
    assert shared_disk_cache().limit_bytes == 5 * MB
    assert shared_disk_cache().usage().trees == 1
    assert place.exists()


class ChangingFiles:
    """A server whose files become others now and then."""

    url = "https://files.example.org/a.zarr"
    bytes_read = 0

    def __init__(self):
        self.generation = 0

    def content(self, key, version):
        return f"{key} {version} ".encode() * 40

    def read(self, key, *, start=0, length=None, version=None, stop=None):
        current = f'"{self.generation}"'
        if version not in {None, current}:
            raise ChangedError("changed")
        whole = self.content(key, current)
        first = max(0, len(whole) + start) if start < 0 else start
        return Piece(whole[first:][:length], current, len(whole))

    def forget(self, key):
        pass


READS = st.tuples(
    st.sampled_from([".zattrs", "0/0", "0/1"]),
    st.integers(-50, 420),
    st.one_of(st.none(), st.integers(1, 500)),
    st.sampled_from(["read", "read", "read on", "change", "reopen"]),
)


@settings(max_examples=50)
@given(st.lists(READS, max_size=25), st.sampled_from([0.0, 1000.0]))
def test_every_piece_is_of_the_version_that_it_names(steps, revalidate_after_s):
    files = ChangingFiles()
    with tempfile.TemporaryDirectory() as name:
        cache = DiskCache(Path(name, "pixels"), 10 * MB, keep_free_bytes=0)
        source = CachedSource(files, cache, revalidate_after_s=revalidate_after_s)
        versions: dict[str, str] = {}
        for key, start, length, action in steps:
            if action == "change":
                files.generation += 1
            if action == "reopen":
                source = CachedSource(files, cache, revalidate_after_s=revalidate_after_s)
                versions.clear()
            is_first = action == "reopen"
            try:
                piece = source.read(
                    key, start=start, length=length, version=versions.get(key) if action == "read on" else None
                )
            except ChangedError:
                assert files.generation > 0
                versions.pop(key)
                continue
            versions[key] = piece.version
            whole = files.content(key, piece.version)
            first = max(0, len(whole) + start) if start < 0 else start
            assert piece.content == whole[first:][:length]
            if is_first and revalidate_after_s == 0:
                assert piece.version == f'"{files.generation}"'
            assert cache.flush()
        cache.close()
