"""The disk cache is as large as the person says, else as the disk has room for."""

from __future__ import annotations

import os
import re
import shutil
from collections import namedtuple

import pytest

from napari_cryoet.streaming import disk_settings
from napari_cryoet.streaming.disk_settings import (
    FOLDER_VARIABLE,
    LIMIT_VARIABLE,
    cache_folder,
    choose_limit,
    default_limit_bytes,
    limit_bytes,
    parse_size,
    parse_time,
    shared_disk_cache,
)

FREE = namedtuple("FREE", "free")
GB = 10**9


def free(monkeypatch, size_bytes):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE(size_bytes))


@pytest.mark.parametrize(("free_bytes", "limit"), [(500 * GB, 10 * GB), (40 * GB, 4 * GB), (0, 0)])
def test_the_default_is_ten_gigabytes_or_a_tenth_of_what_is_free(free_bytes, limit, monkeypatch, tmp_path):
    free(monkeypatch, free_bytes)
    assert default_limit_bytes(tmp_path / "not" / "there" / "yet") == limit


def test_what_the_cache_takes_itself_counts_as_free(monkeypatch, tmp_path):
    from disk_cache_work import put_some
    from napari_cryoet.streaming.disk_cache import DiskCache

    cache = DiskCache(tmp_path, GB)
    put_some(cache, range(5))
    taken = cache.usage().size_bytes
    free(monkeypatch, 1000)
    assert default_limit_bytes(tmp_path) == (1000 + taken) // 10


def test_a_chosen_limit_is_remembered_and_can_be_given_up(monkeypatch):
    free(monkeypatch, 40 * GB)
    assert limit_bytes() == 4 * GB
    choose_limit(123_456_789)
    assert limit_bytes() == 123_456_789
    choose_limit(0)
    assert limit_bytes() == 0
    assert shared_disk_cache() is None
    choose_limit(None)
    assert limit_bytes() == 4 * GB
    choose_limit(None)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"disk_cache_limit_bytes": "5"}', '{"disk_cache_limit_bytes": -1}']
)
def test_a_damaged_settings_file_means_the_default(content, monkeypatch):
    free(monkeypatch, 40 * GB)
    choose_limit(1)
    disk_settings._settings_path().write_text(content)
    assert limit_bytes() == 4 * GB


def test_the_environment_comes_first(monkeypatch, tmp_path):
    choose_limit(5)
    monkeypatch.setenv(LIMIT_VARIABLE, "1.5 GB")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "scratch"))
    assert limit_bytes() == 1_500_000_000
    assert cache_folder() == tmp_path / "scratch"
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    assert limit_bytes() == 5


@pytest.mark.parametrize("text", ["", "5", "-1h", "1h 5min", "1e3s", "h", "99999999999s", "٣h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_time(text)


@pytest.mark.parametrize("later", [1000, 0])
def test_a_limit_set_later_holds_for_a_cache_that_is_in_use(later):
    from disk_cache_work import put_some

    choose_limit(GB)
    cache = shared_disk_cache()
    put_some(cache, range(5))
    assert cache.flush()
    before = cache.usage().size_bytes
    assert 1000 < before <= GB == cache.usage().limit_bytes
    choose_limit(later)
    put_some(cache, range(5, 10))
    assert cache.flush()
    assert cache.usage().size_bytes <= later == cache.usage().limit_bytes
    choose_limit(GB)
    put_some(cache, range(5))
    assert cache.flush()
    assert cache.usage().size_bytes == before


def test_a_limit_that_cannot_be_kept_leaves_no_file_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.streaming.disk_settings.config_path", lambda: tmp_path)
    (tmp_path / "streaming.json").mkdir()  # what isn't ours is there
    with pytest.raises(OSError, match=r"streaming\.json"):
        choose_limit(GB)
    assert [path.name for path in tmp_path.iterdir()] == ["streaming.json"]


def test_the_cache_is_one_for_the_whole_process():
    assert shared_disk_cache() is shared_disk_cache()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5GB", 5 * GB),
        ("500 mb", 500_000_000),
        ("2 GiB", 2 * 2**30),
        ("1TiB", 2**40),
        ("1000", 1000),
        ("0", 0),
        ("OFF", 0),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1 GB", "five", "5 parsecs", "1e3", "٣"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)


def test_a_folder_that_may_not_be_looked_into_is_only_a_cache_that_cannot_be_had(monkeypatch, tmp_path):
    """As of a user who has somebody else's home, in a container for example."""
    free(monkeypatch, 40 * GB)
    looks = os.stat

    def stat(path, *args, **options):
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return looks(path, *args, **options)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locked" / "pixels"))
    assert default_limit_bytes(cache_folder()) == 4 * GB
    assert shared_disk_cache().usage().size_bytes == 0


def test_the_folder_is_the_same_wherever_one_goes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER_VARIABLE, "here")
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv(FOLDER_VARIABLE, "~nobody-of-that-name/pixels")
    assert cache_folder() == tmp_path / "~nobody-of-that-name" / "pixels"
