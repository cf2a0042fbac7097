"""What is kept on disk is what was put there or nothing, whatever happens to disk, program and neighbours."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from command_line import wait_until
from disk_cache_work import ADDRESS, KEYS, LARGE, content_of, put_some
from napari_cryoet.streaming import disk_writer
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.disk_index import Index, IndexDamagedError
from napari_cryoet.streaming.disk_writer import DiskWriter, own_folder, remove_beyond
from napari_cryoet.streaming.outdated import OutdatedTrees

FREE = namedtuple("FREE", "free")
MB = 10**6
OTHER = "https://files.example.org/other.zarr"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pixels"


@pytest.fixture
def no_threads(monkeypatch):
    """A context in which the operating system gives no thread."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    @contextmanager
    def refusing():
        with monkeypatch.context() as patch:
            patch.setattr("threading.Thread.start", refuse)
            yield

    return refusing


@pytest.fixture
def refusing(monkeypatch):
    """A context in which nothing can be written into an index."""

    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    @contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(Index, "touch", refuse)
            yield

    return context


def put(cache, key, start, content, *, version="v1", total=None, address=ADDRESS):
    return cache.put(cache.tree(address), key, start, content, version=version, total_bytes=total)


def find(cache, key, start=0, length=None, *, address=ADDRESS):
    part = cache.find(cache.tree(address), key, start, length)
    return None if part is None else part.content


def files_in(folder: Path) -> list[Path]:
    return [path for path in own_folder(folder).glob("??/*") if path.is_file()]


def test_what_was_put_is_found_by_another_process_later(folder):
    first = DiskCache(folder, 10 * MB)
    put(first, "small", 0, b"0123456789", total=10)
    put(first, "large", 100, LARGE, total=len(LARGE) + 100)
    first.close()
    later = DiskCache(folder, 10 * MB)
    assert find(later, "small") == b"0123456789"
    assert find(later, "small", 3, 4) == b"3456"
    assert find(later, "small", -3) == b"789"
    assert find(later, "small", 8, 1000) == b"89"
    assert find(later, "small", 10, 5) == b""
    assert find(later, "large", 100, 1000) == LARGE[:1000]
    assert find(later, "large", 0, 200) is None
    assert find(later, "other") is None
    assert find(later, "small", address="https://else.org/a.zarr") is None
    part = later.find(later.tree(ADDRESS), "large", 200, 5)
    assert (part.version, part.total_bytes) == ("v1", len(LARGE) + 100)


def test_its_folder_may_be_a_text_and_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = DiskCache("parts", 10 * MB)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    put(cache, "small", 0, b"0123456789", total=10)
    cache.close()
    assert find(DiskCache(tmp_path / "parts", 10 * MB), "small") == b"0123456789"
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_missing_file_is_kept_too(folder):
    cache = DiskCache(folder, MB)
    put(cache, "0/0", 0, None, version="")
    cache.flush()
    part = cache.find(cache.tree(ADDRESS), "0/0", 5, 5)
    assert part.content is None
    assert abs(part.stored_at - time.time()) < 60
    put(cache, "0/0", 0, b"there now", total=9)
    cache.flush()
    assert find(cache, "0/0") == b"there now"


def test_the_end_of_a_file_is_known_only_where_the_server_said_it(folder):
    cache = DiskCache(folder, MB)
    put(cache, "a", 0, b"0123456789")
    cache.flush()
    assert find(cache, "a", 2, 3) == b"234"
    assert find(cache, "a") is None
    assert find(cache, "a", -2) is None
    assert find(cache, "a", 5, 10) is None


VERSIONS = ("v1", "v2")
SPANS = st.tuples(st.integers(0, 99), st.integers(1, 60)).map(lambda span: (span[0], min(100, sum(span))))
STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 1), st.sampled_from(KEYS), st.sampled_from(VERSIONS), SPANS),
    st.tuples(st.just("absent"), st.integers(0, 1), st.sampled_from(KEYS), st.just(""), st.just((0, 100))),
    st.tuples(st.just("drop"), st.integers(0, 1), st.just(""), st.just(""), st.just((0, 0))),
    st.tuples(st.just("reopen"), st.just(0), st.just(""), st.just(""), st.just((0, 0))),
)


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=14), SPANS)
def test_it_behaves_like_a_dictionary_of_bytes(steps, asked):
    """The model: for each file its version and which bytes are known; another version wipes the tree."""
    model: dict[int, dict[str, tuple[str, set[int]]]] = {0: {}, 1: {}}
    addresses = [f"{ADDRESS}/{number}" for number in range(2)]
    with tempfile.TemporaryDirectory() as name:
        cache = DiskCache(Path(name, "pixels"), 10 * MB, keep_free_bytes=0)
        trees = [cache.tree(address) for address in addresses]
        for action, number, key, version, (start, stop) in steps:
            match action:
                case "drop":
                    cache.drop(trees[number])
                    model[number] = {}
                case "reopen":
                    cache.close()
                    cache = DiskCache(Path(name, "pixels"), 10 * MB, keep_free_bytes=0)
                    trees = [cache.tree(address) for address in addresses]
                case _:
                    content = None if action == "absent" else content_of(number, key, version)[start:stop]
                    cache.put(trees[number], key, start, content, version=version, total_bytes=100 if content else None)
                    if model[number].get(key, (version, set()))[0] != version:
                        model[number] = {}
                    known = model[number].setdefault(key, (version, set()))[1]
                    known.update(range(start, stop))
            assert cache.flush()
        for number, tree in enumerate(trees):
            for key in KEYS:
                part = cache.find(tree, key, asked[0], asked[1] - asked[0])
                version, known = model[number].get(key, ("", set()))
                if not known.issuperset(range(*asked)):
                    assert part is None
                elif version == "":
                    assert part.content is None
                else:
                    assert part.content == content_of(number, key, version)[slice(*asked)]
        cache.close()


def test_it_stays_within_its_limit_and_keeps_what_was_used_last(folder):
    cache = DiskCache(folder, 20 * len(LARGE))
    for number in range(60):
        put(cache, f"{number}", 0, content_of(0, number, "v1", len(LARGE)), total=len(LARGE))
        assert cache.flush()
        assert find(cache, "0") is not None  # used again and again
    assert cache.flush()
    assert cache.usage().size_bytes <= cache.limit_bytes
    assert sum(path.stat().st_size for path in files_in(folder)) <= cache.limit_bytes
    there = {number for number in range(60) if find(cache, f"{number}") is not None}
    assert 0 in there
    assert there - {0} == set(range(60 - len(there) + 1, 60))
    assert len(there) >= 17


def test_a_clock_that_was_set_back_does_not_keep_new_parts_out(folder, monkeypatch):
    cache = DiskCache(folder, 10 * len(LARGE))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10 * 86_400)
    put_some(cache, range(9))
    monkeypatch.setattr(time, "time", real)
    for number in range(20, 25):
        put_some(cache, [number])
    for number in range(20, 25):
        assert find(cache, f"{number}") is not None


def test_many_small_parts_are_bounded_too(folder):
    cache = DiskCache(folder, MB)
    for number in range(3000):
        put(cache, f"{number}", 0, content_of(0, number, "v1", 1000), total=1000)
    assert cache.flush(30)
    assert 0.5 * MB < cache.usage().size_bytes <= MB
    cache.close()
    assert (own_folder(folder) / "index.sqlite3").stat().st_size < 2 * MB


def test_a_smaller_limit_holds_from_the_next_write_on(folder):
    cache = DiskCache(folder, 50 * len(LARGE))
    put_some(cache, range(40))
    cache.close()
    smaller = DiskCache(folder, 10 * len(LARGE))
    put_some(smaller, range(1))
    assert smaller.usage().size_bytes <= 10 * len(LARGE)
    assert len(files_in(folder)) <= 10


def test_what_is_too_large_or_too_much_is_not_kept(folder):
    cache = DiskCache(folder, 10 * MB, queue_bytes=2 * MB)
    assert not put(cache, "a", 0, bytes(5 * MB + 1))
    assert not put(cache, "a", 0, bytes(3 * MB))
    assert put(cache, "a", 0, bytes(MB))


def test_others_keep_their_part_of_the_disk(folder, monkeypatch):
    cache = DiskCache(folder, 50 * len(LARGE), keep_free_bytes=100 * MB)
    put_some(cache, range(20))
    assert len(files_in(folder)) == 20
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE(100 * MB - 15 * len(LARGE)))
    put_some(cache, range(20, 21))
    assert 0 < len(files_in(folder)) <= 6
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE(0))
    put_some(cache, range(21, 22))
    assert files_in(folder) == []


def test_a_gigabyte_of_the_disk_is_left_to_others_unless_another_share_is_named(folder, monkeypatch):
    cache = DiskCache(folder, 50 * len(LARGE))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE(2**30 + 10 * MB))
    put_some(cache, range(4))
    assert len(files_in(folder)) == 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE(2**30 - 10 * MB))
    put_some(cache, range(4, 5))
    assert files_in(folder) == []


def test_a_tree_that_was_dropped_gets_no_more_parts_from_who_knew_it_before(folder):
    ours, theirs = DiskCache(folder, 10 * MB), DiskCache(folder, 10 * MB)
    put(ours, "a", 0, b"old", total=3)
    ours.flush()
    known_to_them = theirs.tree(ADDRESS)
    ours.drop(ours.tree(ADDRESS))
    ours.flush()
    for key in "bc":
        theirs.put(known_to_them, key, 0, LARGE, version="v1", total_bytes=len(LARGE))
        theirs.flush()
    assert theirs.find(known_to_them, "a") is None
    assert (find(ours, "b"), find(ours, "c")) == (None, None)
    assert files_in(folder) == []


def test_what_comes_of_an_image_that_is_open_is_kept_again_after_clearing(folder):
    ours, theirs = DiskCache(folder, 10 * MB), DiskCache(folder, 10 * MB)
    put(theirs, "a", 0, b"old", total=3)
    assert theirs.flush()
    known_to_them = theirs.tree(ADDRESS)
    ours.clear()
    theirs.put(known_to_them, "b", 0, b"asked for before they know", version="v1", total_bytes=26)
    assert theirs.flush()
    theirs.put(known_to_them, "c", 0, b"later", version="v2", total_bytes=5)
    assert theirs.flush()
    assert [find(ours, key) for key in "abc"] == [None, None, b"later"]
    assert theirs.find(known_to_them, "c").content == b"later"


@pytest.mark.parametrize("is_known", [False, True])
def test_what_waited_to_be_written_when_its_tree_was_dropped_is_not_kept_but_what_came_after_is(is_known, folder):
    cache = DiskCache(folder, 10 * MB)
    if is_known:
        put(cache, "known", 0, b"old", total=3)
        cache.flush()
    tree = cache.tree(ADDRESS)
    cache.put(tree, "a", 0, LARGE, version="v1", total_bytes=len(LARGE))
    cache.drop(tree)  # before the writer has come round to it
    cache.put(tree, "b", 0, b"new", version="v2", total_bytes=3)
    assert cache.flush()
    assert cache.find(tree, "b").content == b"new"
    for key, expected in {"known": None, "a": None, "b": b"new"}.items():
        assert find(cache, key) == expected
    assert files_in(folder) == []
    cache.put(tree, "c", 0, b"later", version="v2", total_bytes=5)
    assert cache.flush()
    assert find(cache, "c") == b"later"


def test_addresses_are_not_written_down_with_their_secrets(folder):
    cache = DiskCache(folder, MB)
    put(cache, "a", 0, b"x", total=1, address="https://me:hunter2@files.org/a.zarr?signature=opensesame")
    cache.close()
    written = b"".join(path.read_bytes() for path in own_folder(folder).iterdir() if path.is_file())
    assert b"files.org/a.zarr" in written
    assert b"hunter2" not in written
    assert b"opensesame" not in written


def test_what_killed_writers_left_behind_is_swept_up(folder):
    old, young = (own_folder(folder) / "ab" / name for name in ("ab" * 16, "ac" * 16))
    old.parent.mkdir(parents=True)
    for path in (old, young):
        path.write_bytes(b"left behind")
    os.utime(old, (0, 0))
    cache = DiskCache(folder, MB)
    put_some(cache, range(2))
    assert not old.exists()
    assert young.exists()
    assert find(cache, "0") is not None


def test_a_file_that_somebody_deleted_is_a_part_that_is_not_there(folder):
    cache = DiskCache(folder, 10 * MB)
    put_some(cache, range(3))
    for path in files_in(folder):
        path.unlink()
    assert find(cache, "1") is None
    cache.flush()
    assert cache.usage().size_bytes < 2.1 * (len(LARGE) + 5000)


WORKER = Path(__file__).resolve().parent.parent / "disk_cache_work.py"


def work(folder, *arguments) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), str(folder), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def check_everything(folder, limit_bytes):
    """All that is found is what was put, and the bound holds once somebody has written."""
    cache = DiskCache(folder, limit_bytes)
    found = [number for number in range(400) if find(cache, f"{number}") is not None]
    for number in found:
        assert find(cache, f"{number}") == content_of(0, number, "v1", len(LARGE))
    put_some(cache, range(1))
    assert find(cache, "0") is not None
    assert cache.usage().size_bytes <= limit_bytes
    cache.close()
    return found


def test_killing_the_writer_at_any_moment_does_no_harm(folder):
    limit_bytes = 40 * len(LARGE)
    for round_number in range(10):
        with work(folder, "write", round_number, limit_bytes) as worker:
            for _ in range(1 + 3 * round_number):
                assert worker.stdout.readline()
            worker.kill()
        found = check_everything(folder, limit_bytes)
        assert len(found) > 0
    sizes = sum(path.stat().st_size for path in files_in(folder))
    assert sizes <= limit_bytes + 10 * 2 * 16 * MB  # a batch per kill may be left behind until the sweep
    assert sqlite3.connect(own_folder(folder) / "index.sqlite3").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_processes_write_and_evict_at_once(folder):
    limit_bytes = 30 * len(LARGE)
    workers = [work(folder, "check", number, limit_bytes) for number in range(2)]
    for worker in workers:
        output, _ = worker.communicate(timeout=100)
        assert worker.returncode == 0, output
    check_everything(folder, limit_bytes)
    assert sum(path.stat().st_size for path in files_in(folder)) <= limit_bytes


def test_nothing_lets_go_of_the_database_that_is_still_in_use(folder):
    """Its locks belong to the process: closing the file itself, once, would give them all up."""
    cache = DiskCache(folder, 10 * MB)
    put(cache, "a", 0, b"kept", total=4)
    assert cache.flush()
    assert find(cache, "a") == b"kept"  # by a connection of its own, which stays
    database = own_folder(folder) / "index.sqlite3"
    Index(database, may_write=True, timeout_s=5).close()
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM parts'); c.close()"
    subprocess.run([sys.executable, "-c", script, database], check=True)
    assert database.with_name("index.sqlite3-wal").exists()  # whoever closes it last removes this one
    assert find(cache, "a") == b"kept"
    cache.close()


def test_a_disk_that_refuses_large_files_costs_nothing_but_the_cache(folder):
    """The operating system itself refuses: neither part files nor the database may grow beyond 100 kB."""
    with work(folder, "limited", 0, 10 * MB) as worker:
        output, _ = worker.communicate(timeout=100)
    assert worker.returncode == 0
    assert "File too large" in output or "full" in output or "I/O" in output
    assert files_in(folder) == []
    check_everything(folder, 10 * MB)


def test_a_full_disk_is_left_alone_for_a_while(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = DiskCache(folder, 10 * MB)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        put(cache, "a", 0, LARGE, total=len(LARGE))
        put(cache, "b", 0, b"small", total=5)
        assert cache.flush()
    assert "No space left" in cache.usage().fault
    assert find(cache, "a") is None
    assert not put(cache, "c", 0, b"x")  # not even tried
    assert find(DiskCache(folder, 10 * MB), "a") is None


@pytest.mark.parametrize("refused", ["file", "index"])
@pytest.mark.parametrize("comes", ["with what is refused", "while the disk is left alone"])
def test_an_image_that_changed_while_the_disk_was_full_is_forgotten_before_more_of_it_is_kept(
    comes, refused, folder, monkeypatch
):
    """Else another process would find the old beside the new."""

    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full") if refused == "index" else OSError(errno.ENOSPC, "")

    cache = DiskCache(folder, 10 * MB)
    put(cache, "a", 0, b"old", total=3)
    assert cache.flush()
    tree = cache.tree(ADDRESS)
    with monkeypatch.context() as patch:
        patch.setattr(Index, "touch", refuse) if refused == "index" else patch.setattr(Path, "write_bytes", refuse)
        put(cache, "other", 0, LARGE, total=len(LARGE), address="https://elsewhere.org")
        if comes == "with what is refused":
            cache.drop(tree)
        assert cache.flush()
    assert cache.usage().fault
    if comes == "while the disk is left alone":
        cache.drop(tree)
    cache._writer._paused_until = 0.0  # it is over
    cache.put(tree, "b", 0, b"new", version="v2", total_bytes=3)
    assert cache.flush()
    later = DiskCache(folder, 10 * MB)
    assert (find(later, "a"), find(later, "b")) == (None, b"new")


def test_a_database_that_is_damaged_each_time_that_it_is_begun_anew_is_left_alone_for_a_while(folder, monkeypatch):
    begun, begin_anew = [], DiskWriter.begin_anew
    monkeypatch.setattr(DiskWriter, "begin_anew", lambda writer: (begun.append(writer), begin_anew(writer)))

    def refuse(*_):
        raise IndexDamagedError("damaged")

    cache = DiskCache(folder, 10 * MB)
    put(cache, "a", 0, b"old", total=3)
    assert cache.flush()
    with monkeypatch.context() as patch:
        patch.setattr(Index, "touch", refuse)
        cache.drop(cache.tree(ADDRESS))
        assert cache.flush()
        assert cache.usage().fault
        assert begun.count(cache._writer) == 2  # others may be forgetting, too
    put(cache, "a", 0, b"new", total=3)
    assert cache.flush()
    assert not cache.usage().fault
    cache.close()


def test_what_is_outdated_can_be_noted_where_its_folder_can_be_written(folder, monkeypatch):
    cache = DiskCache(folder, 10 * MB)
    assert not cache.can_note(), "there is none"
    put(cache, "a", 0, b"old", total=3)
    assert cache.flush()
    assert cache.can_note()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and allowed(path, mode))
    assert not cache.can_note()


@pytest.fixture
def outdated(folder, refusing):
    """A cache that could not forget an image which is outdated."""
    cache = DiskCache(folder, 10 * MB)
    put(cache, "a", 0, b"old", total=3)
    assert cache.flush()
    with refusing():
        cache.drop(cache.tree(ADDRESS))
        assert cache.flush()
        assert cache.usage().fault
        assert cache.usage().trees == 1
    yield cache
    cache.close()


def notes_in(folder: Path) -> list[Path]:
    return list((own_folder(folder) / "outdated").glob("*"))


def test_what_is_outdated_is_forgotten_though_nothing_else_is_written_once_the_disk_may_be_asked_again(
    monkeypatch, request
):
    monkeypatch.setattr(disk_writer, "_PAUSE_S", 2.0)
    cache = request.getfixturevalue("outdated")
    wait_until(lambda: cache.usage().trees == 0)
    assert cache.flush()
    assert not cache.usage().fault
    assert notes_in(cache.folder) == []


def test_what_is_outdated_is_forgotten_when_a_process_ends_while_the_disk_is_left_alone(outdated, folder):
    outdated.close()
    assert DiskCache(folder, 10 * MB).usage().trees == 0
    assert notes_in(folder) == []


def test_what_is_outdated_is_not_found_though_it_could_not_be_forgotten(outdated, refusing, folder):
    with refusing():
        outdated.close()
        later = DiskCache(folder, 10 * MB)
        assert find(later, "a") is None
        assert later.usage().trees == 1
    assert later.flush()
    assert later.usage().trees == 0
    assert notes_in(folder) == []


def test_what_is_outdated_is_not_found_though_the_process_that_found_that_was_killed_at_once(folder):
    with work(folder, "outdated", 0, 10 * MB) as worker:
        assert worker.stdout.readline() == "outdated\n"
        worker.kill()
    later = DiskCache(folder, 10 * MB)
    assert later.usage().trees == 1  # it was not forgotten
    tree = later.tree(ADDRESS)
    assert later.find(tree, "0") is None
    assert later.top(tree) is None
    later.put(tree, "1", 0, b"new", version="v2", total_bytes=3)
    assert later.flush()
    assert (find(later, "0"), find(later, "1")) == (None, b"new")
    assert notes_in(folder) == []


def test_what_is_outdated_and_never_opened_again_is_swept_up(folder):
    with work(folder, "outdated", 0, 10 * MB) as worker:
        assert worker.stdout.readline() == "outdated\n"
        worker.kill()
    with closing(sqlite3.connect(own_folder(folder) / "index.sqlite3", isolation_level=None)) as database:
        database.execute("DELETE FROM sweeps")
    cache = DiskCache(folder, 10 * MB)
    put(cache, "a", 0, b"other", total=5, address=OTHER)
    assert cache.flush()
    assert cache.usage().trees == 1
    assert find(cache, "a", address=OTHER) == b"other"
    assert files_in(folder) == notes_in(folder) == []


def test_where_it_cannot_be_noted_that_something_is_outdated_nothing_that_is_kept_is_used(
    folder, monkeypatch, refusing
):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = DiskCache(folder, 10 * MB)
    put(cache, "a", 0, b"old", total=3)
    put(cache, "a", 0, b"other", total=5, address=OTHER)
    assert cache.flush()
    monkeypatch.setattr(OutdatedTrees, "note", refuse)
    with refusing():
        cache.drop(cache.tree(ADDRESS))
        assert cache.flush()
    later = DiskCache(folder, 10 * MB)
    assert (find(later, "a"), find(later, "a", address=OTHER)) == (None, None)


def test_clearing_takes_notes_along(outdated, refusing, folder):
    with refusing():
        outdated.clear()
    assert notes_in(folder) == []


def test_an_image_of_which_the_first_parts_could_not_be_written_is_kept_later(folder, monkeypatch):
    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    cache = DiskCache(folder, 10 * MB)
    tree = cache.tree(ADDRESS)
    with monkeypatch.context() as patch:
        patch.setattr(Index, "evict", refuse)
        cache.put(tree, "a", 0, LARGE, version="v1", total_bytes=len(LARGE))
        assert cache.flush()
    assert files_in(folder) == []
    cache._writer._paused_until = 0.0  # it is over
    cache.put(tree, "a", 0, LARGE, version="v1", total_bytes=len(LARGE))
    assert cache.flush()
    assert cache.find(tree, "a").content == LARGE
    assert find(cache, "a") == LARGE


def test_images_that_could_not_be_written_do_not_drive_out_others_later(folder, monkeypatch):
    """What a transaction that failed had called one of them, the next one calls another."""
    monkeypatch.setattr(disk_writer, "_PAUSE_S", 0.0)
    cache, other = DiskCache(folder, 10 * MB), "https://files.example.org/other.zarr"
    tree = cache.tree(ADDRESS)

    def refuse(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "evict", refuse)
        cache.put(tree, "a", 0, b"lost", version="v1", total_bytes=4)
        assert cache.flush()
    assert find(cache, "a") is None
    put(cache, "a", 0, b"other", version="v9", total=5, address=other)
    assert cache.flush()
    cache.put(tree, "a", 0, b"ours", version="v1", total_bytes=4)
    assert cache.flush()
    assert (find(cache, "a"), find(cache, "a", address=other)) == (b"ours", b"other")


def test_what_comes_while_no_thread_can_be_had_is_written_later(folder, no_threads):
    cache = DiskCache(folder, MB)
    with no_threads():
        put(cache, "a", 0, b"early", total=5)
    put(cache, "b", 0, b"late", total=4)
    assert cache.flush()
    assert (find(cache, "a"), find(cache, "b")) == (b"early", b"late")


def test_who_waits_for_what_no_thread_could_write_is_told_and_it_is_written_then(folder, no_threads):
    cache = DiskCache(folder, MB)
    with no_threads():
        put(cache, "a", 0, b"early", total=5)
        assert not cache.flush()
    assert cache.flush()
    assert find(cache, "a") == b"early"


def test_a_folder_that_cannot_be_made_means_no_cache_and_no_error(tmp_path):
    (tmp_path / "pixels").write_text("a file is in the way")
    cache = DiskCache(tmp_path / "pixels", MB)
    put(cache, "a", 0, b"x", total=1)
    put(cache, "b", 0, LARGE)
    assert cache.flush()
    assert find(cache, "a") is None
    assert cache.usage().fault
    cache.close()
    assert (tmp_path / "pixels").read_text() == "a file is in the way"


def test_a_database_that_may_only_be_read_means_no_writing_and_no_error(folder, monkeypatch):
    cache = DiskCache(folder, 10 * MB)
    put_some(cache, range(2))
    cache.close()

    def read_only(*arguments, **options):
        return connect(arguments[0].replace("mode=rwc", "mode=ro"), **options)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", read_only)
    later = DiskCache(folder, 10 * MB)
    assert find(later, "1") == content_of(0, 1, "v1", len(LARGE))
    put(later, "5", 0, LARGE)
    assert later.flush()
    assert later.usage().fault
    assert find(later, "1") is not None


def test_damage_that_is_gone_by_now_does_not_keep_from_writing(folder):
    cache = DiskCache(folder, 10 * MB)
    cache._writer.report_damage()  # as a reader does that was slower than another process
    put(cache, "1", 0, LARGE, total=len(LARGE))
    assert cache.flush()
    assert find(cache, "1") == LARGE
    assert not cache.usage().fault


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A cache with small and large parts, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("kept") / "pixels"
    cache = DiskCache(folder, 100 * MB)
    put_some(cache, range(12))
    for number in range(50):
        put(cache, f"small/{number}", 0, content_of(0, number, "v1", 700), total=700)
    put(cache, "absent", 0, None, version="")
    cache.close()
    return folder


def check_damaged(folder):
    """Whatever is found is right; and the cache can be used again at once or after it was begun anew."""
    cache = DiskCache(folder, 100 * MB)
    for _ in range(2):
        for number in range(12):
            assert find(cache, f"{number}") in (None, content_of(0, number, "v1", len(LARGE)))
        for number in range(50):
            assert find(cache, f"small/{number}", 0, 700) in (None, content_of(0, number, "v1", 700))
            assert find(cache, f"small/{number}", 9, 6) in (None, content_of(0, number, "v1", 700)[9:15])
        part = cache.find(cache.tree(ADDRESS), "absent")
        assert part is None or part.content is None
        assert cache.flush()
    for number in range(3):  # a first write may be what finds the damage
        put(cache, f"new/{number}", 0, b"works", total=5)
        assert cache.flush()
    assert find(cache, "new/2") == b"works", cache.usage()
    cache.close()


@settings(max_examples=60)
@example(flips=[(0.00022201817376275604, 1)])  # then it says that it can only be read
@given(st.lists(st.tuples(st.floats(0, 0.9999999), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bytes_in_the_database_are_never_believed(kept, flips):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(kept, Path(name, "pixels")))
        database = own_folder(folder) / "index.sqlite3"
        content = bytearray(database.read_bytes())
        for place, change in flips:
            content[int(place * len(content))] ^= change
        database.write_bytes(content)
        check_damaged(folder)


@settings(max_examples=20)
@given(st.floats(0, 0.9999999), st.integers(1, 255))
def test_flipped_bytes_in_a_part_are_never_believed(kept, place, change):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(kept, Path(name, "pixels")))
        for file in files_in(folder):
            content = bytearray(file.read_bytes())
            content[int(place * len(content))] ^= change
            file.write_bytes(content)
        cache = DiskCache(folder, 100 * MB)
        assert find(cache, "3") is None
        cache.close()
        check_damaged(folder)


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.3, 0.6, 0.99])
def test_a_truncated_database_is_begun_anew(kept, tmp_path, share):
    folder = Path(shutil.copytree(kept, tmp_path / "pixels"))
    os.truncate(
        own_folder(folder) / "index.sqlite3", int(share * (own_folder(folder) / "index.sqlite3").stat().st_size)
    )
    check_damaged(folder)


def test_truncated_parts_are_not_there(kept, tmp_path):
    folder = Path(shutil.copytree(kept, tmp_path / "pixels"))
    for number, file in enumerate(files_in(folder)):
        os.truncate(file, number * 100)
    cache = DiskCache(folder, 100 * MB)
    assert find(cache, "5") is None
    cache.close()
    check_damaged(folder)


def test_a_database_that_is_something_else_is_begun_anew(tmp_path):
    folder = tmp_path / "pixels"
    own_folder(folder).mkdir(parents=True)
    (own_folder(folder) / "index.sqlite3").write_text("no database at all" * 1000)
    check_damaged(folder)


@pytest.mark.parametrize("version", [7, -1])
def test_a_database_of_another_version_is_begun_anew(kept, tmp_path, version):
    folder = Path(shutil.copytree(kept, tmp_path / "pixels"))
    other = sqlite3.connect(own_folder(folder) / "index.sqlite3")
    other.execute(f"PRAGMA user_version = {version}")
    other.execute("ALTER TABLE parts RENAME COLUMN total TO size")
    other.commit()
    other.close()
    check_damaged(folder)


@pytest.mark.parametrize("cost", ["9e999", "9223372036854775807", "-9e999", "'much'"])
def test_a_size_that_cannot_be_neither_fails_nor_keeps_from_writing(kept, tmp_path, cost):
    folder = Path(shutil.copytree(kept, tmp_path / "pixels"))
    other = sqlite3.connect(own_folder(folder) / "index.sqlite3")
    other.execute(f"UPDATE parts SET cost = {cost} WHERE id IN (SELECT id FROM parts LIMIT 2)")
    other.commit()
    other.close()
    cache = DiskCache(folder, 100 * MB)
    assert 0 <= cache.usage().size_bytes < 1000 * MB
    assert put(cache, "new", 0, b"works", total=5)
    assert cache.flush()
    assert find(cache, "new") == b"works"


def test_others_notice_that_a_damaged_cache_was_begun_anew(folder):
    cache, other = DiskCache(folder, 100 * MB), DiskCache(folder, 100 * MB)
    put_some(cache, range(2))
    assert find(other, "1") is not None  # has it open
    (own_folder(folder) / "index.sqlite3").write_bytes(b"damage" * 10_000)
    for number in range(3):
        put(cache, f"new/{number}", 0, b"works", total=5)
        assert cache.flush()
    assert find(other, "new/2") == b"works"
    put(other, "theirs", 0, b"too", total=3)
    assert other.flush()
    assert find(cache, "theirs") == b"too"


@pytest.fixture(params=["removed", "damaged", "begun anew by another process"])
def begin_anew(request, folder):
    """How an index is begun anew, with which what is kept of another image is the first that is kept in it."""

    def begin(cache):
        other = DiskCache(folder, 10 * MB) if request.param == "begun anew by another process" else cache
        if request.param == "damaged":
            (own_folder(folder) / "index.sqlite3").write_bytes(b"damage" * 10_000)
        else:
            shutil.rmtree(own_folder(folder))
        for _ in range(2):  # a first write may be what finds the damage
            put(other, "a", 0, b"other", total=5, address=OTHER)
            assert other.flush()
        assert find(other, "a", address=OTHER) == b"other"

    return begin


@pytest.fixture
def outlived(folder, begin_anew):
    """A cache whose index was begun anew, and an image that is open since before."""
    cache = DiskCache(folder, 10 * MB)
    tree = cache.tree(ADDRESS)
    cache.put(tree, "a", 0, b"ours", version="v1", total_bytes=4)
    assert cache.flush()
    assert cache.find(tree, "a").content == b"ours"
    begin_anew(cache)
    return cache, tree


def test_an_image_that_is_open_while_an_index_is_begun_anew_drops_nothing_of_others(outlived):
    cache, tree = outlived
    assert cache.find(tree, "a", 0, 4) is None
    assert cache.top(tree) is None
    cache.forget(tree, "a")
    cache.drop(tree)
    assert cache.flush()
    assert find(cache, "a", address=OTHER) == b"other"


def test_an_image_that_is_open_while_an_index_is_begun_anew_confirms_no_other_one(outlived, folder):
    cache, tree = outlived
    with closing(sqlite3.connect(own_folder(folder) / "index.sqlite3", isolation_level=None)) as database:
        database.execute("UPDATE trees SET checked_at = 5.0")
    cache.confirm(tree)
    assert cache.flush()
    assert cache.tree(OTHER).checked_at == 5.0


def test_an_image_that_is_open_while_an_index_is_begun_anew_is_kept_anew(outlived):
    """But for what was asked for before that was noticed: somebody may have dropped it meanwhile."""
    cache, tree = outlived
    drops = tree.drops
    cache.put(tree, "b", 0, LARGE, version="v1", total_bytes=len(LARGE))
    assert cache.flush()
    cache.put(tree, "c", 0, b"asked for before", version="v1", total_bytes=16, drops=drops)
    cache.put(tree, "d", 0, b"later", version="v1", total_bytes=5)
    assert cache.flush()
    kept = {key: find(cache, key) for key in "abcd"}
    assert kept == {"a": None, "b": None, "c": None, "d": b"later"}
    assert cache.find(tree, "d").content == b"later"
    assert find(cache, "a", address=OTHER) == b"other"
    assert files_in(cache.folder) == []


def test_an_index_that_is_begun_anew_while_it_is_being_opened_is_not_taken_for_the_new_one(folder, monkeypatch):
    """Else what was in it would be found for as long as the process runs."""
    cache, other = DiskCache(folder, 10 * MB), DiskCache(folder, 10 * MB)
    put(cache, "a", 0, b"old", total=3)
    cache.close()
    connect, is_first = sqlite3.connect, True

    def begun_anew_meanwhile(*arguments, **options):
        nonlocal is_first
        connection = connect(*arguments, **options)
        if is_first:
            is_first = False
            shutil.rmtree(own_folder(folder))
            put(other, "b", 0, b"new", total=3)
            assert other.flush()
        return connection

    monkeypatch.setattr(sqlite3, "connect", begun_anew_meanwhile)
    cache.tree(ADDRESS)
    assert (find(cache, "a"), find(cache, "b")) == (None, b"new")


def test_clearing_empties_it_for_all_who_have_it_open(folder):
    cache, other = DiskCache(folder, 100 * MB), DiskCache(folder, 100 * MB)
    put_some(cache, range(5))
    assert find(other, "1") is not None
    cache.clear()
    assert find(other, "1") is None
    assert files_in(folder) == []
    assert cache.usage().size_bytes == 0
    put_some(other, range(5))
    assert find(cache, "1") is not None


def test_a_cache_that_another_process_has_to_itself_is_not_cleared_behind_its_back(folder, monkeypatch):
    monkeypatch.setattr("napari_cryoet.streaming.disk_writer._BUSY_TIMEOUT_S", 0.01)
    cache = DiskCache(folder, 100 * MB)
    put_some(cache, range(2))
    other = sqlite3.connect(own_folder(folder) / "index.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OSError, match="in use"):
        cache.clear()
    other.execute("ROLLBACK")
    other.close()
    assert find(cache, "1") is not None


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE])
def test_a_full_disk_does_not_keep_from_clearing(code, folder, monkeypatch):
    def drop_all(index):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = code
        raise error

    cache, other = DiskCache(folder, 100 * MB), DiskCache(folder, 100 * MB)
    put_some(cache, range(5))
    assert find(other, "1") is not None
    monkeypatch.setattr(Index, "drop_all", drop_all)
    cache.clear()
    assert not own_folder(folder).exists()
    assert find(other, "1") is None
    put_some(other, range(5))
    assert find(cache, "1") is not None


def test_whatever_else_is_in_the_folder_is_never_touched(folder):
    names = ["index.sqlite3", "notes.txt", "ab/notes.txt", f"ab/{'ab' * 16}"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")
        os.utime(folder / name, (0, 0))
    cache = DiskCache(folder, 10 * MB)
    put_some(cache, range(2))  # which sweeps
    (own_folder(folder) / "index.sqlite3").write_bytes(b"damage" * 10_000)
    for number in range(3):  # and now begins anew
        put(cache, f"new/{number}", 0, b"works", total=5)
        assert cache.flush()
    assert find(cache, "new/2") == b"works"
    remove_beyond(folder, 10)
    cache.clear()
    assert [(folder / name).read_text() for name in names] == ["years of work"] * len(names)


def test_nothing_is_made_before_something_is_kept(folder):
    cache = DiskCache(folder, MB)
    assert find(cache, "a") is None
    assert cache.usage().size_bytes == 0
    cache.close()
    assert not folder.exists()


def test_only_the_owner_may_look_into_it(folder):
    cache = DiskCache(folder, MB)
    put_some(cache, range(1))
    assert own_folder(folder).stat().st_mode & 0o077 == 0 or os.name == "nt"


def test_the_database_of_a_cache_that_is_dropped_is_given_up(folder, monkeypatch):
    first = DiskCache(folder, 10 * MB)
    put(first, "small", 0, b"0123456789", total=10)
    first.close()
    opened = []

    def connect(*args, connect=sqlite3.connect, **options):
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    later = DiskCache(folder, 10 * MB)
    assert later.tree(ADDRESS).number is not None
    (connection,) = opened
    connection.execute("SELECT 1")
    del later
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
