"""The disk cache returns what was stored or nothing, whatever happens to the disk and to other processes."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cryoet.streaming.disk_cache import OWN_FOLDER, DiskCache
from napari_cryoet.streaming.piece import Piece

MB = 10**6
ADDRESS = "https://files.example.org/a.zarr"
LARGE = random.Random(0).randbytes(100_000)
Disk = namedtuple("Disk", "free")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pixels"


@pytest.fixture
def cache(folder: Path) -> DiskCache:
    return DiskCache(folder, 10 * MB, keep_free_bytes=0)


def put(
    cache: DiskCache,
    key: str,
    content: bytes | None,
    *,
    start: int = 0,
    etag: str = "1",
    total: int | None = None,
):
    piece = (
        None if content is None else Piece(content, etag, len(content) if total is None else total)
    )
    cache.put(cache.image(ADDRESS), key, start, piece)
    assert cache.flush(30)


def find(cache: DiskCache, key: str, start: int = 0, length: int | None = None) -> bytes | None:
    part = cache.find(cache.image(ADDRESS), key, start, length)
    return part.piece.content if part is not None and part.piece is not None else None


def index_path(folder: Path) -> Path:
    return folder / OWN_FOLDER / "index.sqlite3"


def cached_keys(cache: DiskCache) -> list[str]:
    return [key for key in map(str, range(100)) if find(cache, key) is not None]


def test_stored_parts_are_found_after_reopening(folder: Path, cache: DiskCache) -> None:
    put(cache, "small", b"0123456789")
    put(cache, "large", LARGE, start=100, total=len(LARGE) + 100)
    cache.close()
    later = DiskCache(folder, 10 * MB)
    assert find(later, "small") == b"0123456789"
    assert find(later, "small", 3, 4) == b"3456"
    assert find(later, "small", -3) == b"789"
    assert find(later, "small", 8, 1000) == b"89"
    assert find(later, "small", 10, 5) == b""
    assert find(later, "large", 100, 1000) == LARGE[:1000]
    assert find(later, "large", 0, 200) is None
    assert find(later, "other") is None
    assert later.find(later.image("https://else.org/a.zarr"), "small") is None


VERSIONS = ("1", "2")
SPANS = st.tuples(st.integers(0, 99), st.integers(1, 60)).map(
    lambda span: (span[0], min(100, sum(span)))
)
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("ab"), st.sampled_from(VERSIONS), SPANS),
    st.tuples(st.just("absent"), st.sampled_from("ab"), st.just(""), st.just((0, 100))),
    st.tuples(st.sampled_from(["drop", "reopen"]), st.just(""), st.just(""), st.just((0, 0))),
)


def content_of(key: str, version: str) -> bytes:
    return random.Random(key + version).randbytes(100)


@settings(max_examples=15)
@given(st.lists(STEPS, max_size=14), SPANS)
def test_the_cache_behaves_like_a_dictionary_of_bytes(steps, wanted) -> None:
    """The model: for each file its version and the known bytes; a new version clears the image."""
    model: dict[str, tuple[str, set[int]]] = {}
    with tempfile.TemporaryDirectory() as name:
        cache = DiskCache(Path(name), 10 * MB, keep_free_bytes=0)
        for action, key, version, (start, stop) in steps:
            match action:
                case "drop":
                    cache.drop(cache.image(ADDRESS))
                    model = {}
                case "reopen":
                    cache.close()
                    cache = DiskCache(Path(name), 10 * MB, keep_free_bytes=0)
                case _:
                    is_absent = action == "absent"
                    content = None if is_absent else content_of(key, version)[start:stop]
                    put(cache, key, content, start=start, etag=version, total=100)
                    if model.get(key, (version, set()))[0] != version:
                        model = {}
                    model.setdefault(key, (version, set()))[1].update(range(start, stop))
            assert cache.flush(30)
        image = cache.image(ADDRESS)
        for key in "ab":
            part = cache.find(image, key, wanted[0], wanted[1] - wanted[0])
            version, known = model.get(key, ("", set()))
            if not known.issuperset(range(*wanted)):
                assert part is None
            elif version == "":
                assert part is not None
                assert part.piece is None
            else:
                assert part.piece.content == content_of(key, version)[slice(*wanted)]
        cache.close()


# Its size


def test_least_recently_used_entries_are_evicted(folder: Path) -> None:
    cache = DiskCache(folder, 20 * len(LARGE), keep_free_bytes=0)
    for number in range(40):
        put(cache, f"{number}", LARGE)
        assert find(cache, "0") == LARGE  # used again and again
    assert cache.flush()
    assert cache.size_bytes <= cache.limit_bytes
    kept = {number for number in range(40) if find(cache, f"{number}") is not None}
    assert kept - {0} == set(range(40 - len(kept) + 1, 40))
    assert len(kept) >= 17


def test_the_limit_can_be_changed_while_in_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(folder, keep_free_bytes=0)
    monkeypatch.setenv("NAPARI_CRYOET_CACHE_LIMIT", "50MB")
    for number in range(20):
        put(cache, f"{number}", LARGE)
    assert len(cached_keys(cache)) == 20
    monkeypatch.setenv("NAPARI_CRYOET_CACHE_LIMIT", "1MB")
    put(cache, "20", LARGE)
    assert len(cached_keys(cache)) <= 10
    cache.shrink(5 * len(LARGE))
    assert len(cached_keys(cache)) <= 5
    cache.close()
    assert index_path(folder).stat().st_size < 10 * len(LARGE)


def test_many_small_parts_stay_within_the_limit(folder: Path) -> None:
    cache = DiskCache(folder, MB, keep_free_bytes=0)
    for number in range(3000):
        cache.put(cache.image(ADDRESS), f"{number}", 0, Piece(bytes(1000), "1", 1000))
    assert cache.flush(30)
    assert 0.5 * MB < cache.size_bytes <= MB
    cache.close()
    assert index_path(folder).stat().st_size < 3 * MB


def test_the_cache_leaves_free_disk_space(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DiskCache(folder, 50 * len(LARGE), keep_free_bytes=100 * MB)
    for number in range(20):
        put(cache, f"{number}", LARGE)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(100 * MB - 15 * len(LARGE)))
    put(cache, "20", LARGE)
    assert 0 < len(cached_keys(cache)) <= 6


# Other versions


def test_dropping_an_image_affects_other_instances(folder: Path, cache: DiskCache) -> None:
    put(cache, "a", LARGE)
    other = DiskCache(folder, 10 * MB, keep_free_bytes=0)
    known_to_other = other.image(ADDRESS)
    assert other.find(known_to_other, "a") is not None
    new = cache.drop(cache.image(ADDRESS))
    cache.put(new, "b", 0, Piece(LARGE, "2", len(LARGE)))
    assert cache.flush()
    assert other.find(known_to_other, "a") is None
    other.put(known_to_other, "a", 0, Piece(LARGE, "1", len(LARGE)))  # it doesn't know yet
    assert other.flush()
    assert (find(cache, "a"), find(cache, "b")) == (None, LARGE)


def test_files_without_an_etag_are_not_cached(cache: DiskCache) -> None:
    cache.put(cache.image(ADDRESS), "a", 0, Piece(b"abc", None, 3))
    assert cache.flush()
    assert find(cache, "a") is None


def test_clear_removes_everything(folder: Path, cache: DiskCache) -> None:
    put(cache, "a", LARGE)
    cache.clear()
    assert find(cache, "a") is None
    assert not list(folder.iterdir())
    put(cache, "a", LARGE)
    other = DiskCache(folder, 10 * MB)
    assert find(other, "a") == LARGE
    cache.clear()
    assert find(other, "a") is None, "not cleared for an instance that has it open"
    put(cache, "a", LARGE)
    assert find(cache, "a") == LARGE


# Damage


@pytest.mark.parametrize("position", [0, 50])
def test_parts_with_a_flipped_byte_are_never_returned(
    folder: Path, cache: DiskCache, position: int
) -> None:
    put(cache, "a", LARGE)
    put(cache, "b", b"0123456789" * 100)
    cache.close()
    content = bytearray(index_path(folder).read_bytes())
    content[content.find(LARGE[5000:5100]) + position] ^= 1
    index_path(folder).write_bytes(content)
    again = DiskCache(folder, 10 * MB, keep_free_bytes=0)
    assert find(again, "a") is None
    assert find(again, "b") in {None, b"0123456789" * 100}


def test_invalid_index_rows_are_ignored(folder: Path, cache: DiskCache) -> None:
    put(cache, "a", LARGE)
    put(cache, "b", b"small")
    cache.close()
    for column, value in (
        ("stop", "text"),
        ("etag", 5),
        ("key", b"a"),
        ("total", 3),
        ("checksum", b""),
    ):
        with sqlite3.connect(index_path(folder)) as sql:
            sql.execute(f"UPDATE parts SET {column} = ?", (value,))
        again = DiskCache(folder, 10 * MB, keep_free_bytes=0)
        assert (find(again, "a"), find(again, "b")) == (None, None)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_an_unwritable_folder_caches_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    cache = DiskCache(tmp_path / "pixels", 10 * MB)
    cache.put(cache.image(ADDRESS), "a", 0, Piece(LARGE, "1", len(LARGE)))
    assert not cache.flush()


def test_a_failed_write_leaves_no_partial_entry(folder: Path, cache: DiskCache) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such limits")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from napari_cryoet.streaming.disk_cache import DiskCache\n"
        "from napari_cryoet.streaming.piece import Piece\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))\n"
        "cache = DiskCache(Path(sys.argv[1]), 10**7, keep_free_bytes=0)\n"
        f"cache.put(cache.image({ADDRESS!r}), 'a', 0, Piece(bytes(100_000), '1', 100_000))\n"
        "assert not cache.flush()\n"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=True)
    put(cache, "a", LARGE)
    assert find(cache, "a") == LARGE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_use_the_cache(cache: DiskCache) -> None:
    put(cache, "a", LARGE)
    assert find(cache, "a") == LARGE
    child = os.fork()
    if child == 0:
        cache.put(cache.image(ADDRESS), "b", 0, Piece(LARGE, "1", len(LARGE)))
        os._exit(0 if cache.flush() and find(cache, "a") is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert find(cache, "a") == LARGE
