"""``napari-cryoet cache``: what is kept on this computer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import platformdirs
import pytest

from disk_cache_work import LARGE, put_some
from napari_cryoet.cli import main
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.disk_settings import (
    ASK_AGAIN_VARIABLE,
    FOLDER_VARIABLE,
    LIMIT_VARIABLE,
    cache_folder,
    limit_bytes,
)
from napari_cryoet.streaming.disk_writer import own_folder

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def root() -> Path:
    return platformdirs.user_cache_path("napari-cryoet")


@pytest.fixture
def kept(root: Path) -> Path:
    """A folder in which something of every kind is kept."""
    for folder in ("answers", "demo-1.0-3"):
        (root / folder).mkdir(parents=True)
        (root / folder / "one.json").write_bytes(b"x" * 2000)
    cache = DiskCache(cache_folder(), 10**9)
    put_some(cache, range(20))
    cache.close()
    return root


def test_the_cache_is_shown_and_cleared(user_folder: Path, root: Path, capsys: Captured) -> None:
    assert main(["cache"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    (root / "answers").mkdir(parents=True)
    (root / "answers" / "one.json").write_bytes(b"x" * 2000)
    (root / "link").symlink_to(user_folder)
    assert main(["cache", "show"]) == 0
    assert "2 KB" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert not any(root.iterdir())
    assert user_folder.is_dir()
    capsys.readouterr()
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "nothing to clear\n"


def test_every_kind_is_shown_with_its_size_limit_and_place(kept: Path, capsys: Captured) -> None:
    assert main(["cache"]) == 0
    metadata, demo, pixels = capsys.readouterr().out.splitlines()
    assert metadata.split()[:4] == ["2", "KB", "metadata", str(kept / "answers")]
    assert "at most 200 MB" in metadata
    assert demo.split()[:4] == ["2", "KB", "demo", str(kept / "demo-1.0-3")]
    assert pixels.split()[1:4] == ["MB", "pixels", str(kept / "pixels")]
    assert "the default here" in pixels


def test_what_processes_wait_for_each_other_by_is_nothing_kept(root: Path, capsys: Captured) -> None:
    root.mkdir(parents=True)
    (root / "demo-1.0-3.lock").touch()
    assert main(["cache"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert (root / "demo-1.0-3.lock").exists()


def test_one_kind_can_be_cleared_alone(kept: Path, capsys: Captured) -> None:
    assert main(["cache", "clear", "pixels", "demo"]) == 0
    assert [path.name for path in kept.iterdir()] == ["answers"]
    assert "pixels" in capsys.readouterr().out


def test_pixels_are_cleared_for_those_who_have_them_open(kept: Path) -> None:
    cache = DiskCache(cache_folder(), 10**9)
    tree = cache.tree("https://files.example.org/a.zarr")
    assert cache.find(tree, "1") is not None
    assert main(["cache", "clear", "pixels"]) == 0
    assert cache.find(tree, "1") is None
    put_some(cache, range(2))
    assert cache.usage().trees == 1
    cache.close()


def test_a_limit_in_the_environment_that_is_no_size_is_told(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "5 gigs")
    assert main(["cache"]) == 0
    assert f"the default here; what {LIMIT_VARIABLE} says is no size)" in capsys.readouterr().out
    monkeypatch.setenv(LIMIT_VARIABLE, "off")
    assert main(["cache"]) == 0
    assert f"(turned off, as {LIMIT_VARIABLE} says)" in capsys.readouterr().out


def test_who_sets_a_limit_is_told_that_the_environment_says_another(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1GB")
    assert main(["cache", "limit", "5GB"]) == 0
    assert capsys.readouterr().out == f"pixels  (at most 1 GB, as {LIMIT_VARIABLE} says)\n"
    monkeypatch.delenv(LIMIT_VARIABLE)
    assert main(["cache", "limit", "5GB"]) == 0
    assert capsys.readouterr().out == "pixels  (at most 5 GB)\n"


def test_a_time_in_the_environment_that_is_none_is_told(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv(ASK_AGAIN_VARIABLE, "soon")
    assert main(["cache"]) == 0
    assert f"; what {ASK_AGAIN_VARIABLE} says is no time)" in capsys.readouterr().out
    monkeypatch.setenv(ASK_AGAIN_VARIABLE, "2 h")
    assert main(["cache"]) == 0
    assert ASK_AGAIN_VARIABLE not in capsys.readouterr().out


def test_who_has_pixels_open_keeps_an_empty_cache_and_nobody_fails(kept: Path) -> None:
    cache = DiskCache(cache_folder(), 10**9)
    tree = cache.tree("https://files.example.org/a.zarr")
    assert cache.find(tree, "1") is not None
    assert main(["cache", "clear"]) == 0
    assert own_folder(cache_folder()).is_dir()
    put_some(cache, range(2))
    assert cache.usage().fault == ""
    cache.close()
    assert main(["cache", "clear"]) == 0
    assert not any(kept.iterdir())


def test_what_may_not_be_looked_at_says_so(kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert main(["cache"]) == 1
    told = capsys.readouterr().err
    assert "can't be looked at" in told
    assert "Close napari" not in told


def test_what_cannot_be_written_says_why_and_where(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def refuse(_folder: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", kept / "pixels")

    monkeypatch.setattr("napari_cryoet.streaming.disk_writer.remove_all", refuse)
    assert main(["cache", "clear", "pixels"]) == 1
    told = capsys.readouterr().err
    assert f"can't be changed: {os.strerror(errno.EROFS)}: {kept / 'pixels'}." in told
    assert "Close napari" not in told, "which would change nothing"


def test_a_limit_holds_at_once_and_from_then_on(kept: Path, capsys: Captured) -> None:
    assert main(["cache", "limit", "1MB"]) == 0
    assert capsys.readouterr().out == "pixels  (at most 1 MB)\n"
    assert limit_bytes() == 10**6
    files = [path for path in own_folder(kept / "pixels").glob("??/*") if path.is_file()]
    assert 0 < len(files) * len(LARGE) <= 10**6
    assert main(["cache", "limit", "off"]) == 0
    assert "turned off" in capsys.readouterr().out
    assert limit_bytes() == 0
    assert main(["cache", "limit", "default"]) == 0
    assert "the default here" in capsys.readouterr().out


def test_pixels_that_are_kept_elsewhere_are_shown_there(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (kept / "pixels").rename(tmp_path / "scratch")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "scratch"))
    assert main(["cache"]) == 0
    assert str(tmp_path / "scratch") in capsys.readouterr().out


def test_pixels_may_be_kept_beside_everything_else(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(kept))
    cache = DiskCache(cache_folder(), 10**9)
    put_some(cache, range(2))
    cache.close()
    assert main(["cache", "clear"]) == 0
    assert not any(kept.iterdir())


def test_a_folder_of_the_persons_own_keeps_everything_but_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "thesis.txt").write_bytes(b"years of work" * 100_000)
    monkeypatch.setenv(FOLDER_VARIABLE, str(scratch))
    assert main(["cache"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    cache = DiskCache(cache_folder(), 10**9)
    put_some(cache, range(2))
    cache.close()
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.split()[1:4] == ["KB", "pixels", str(scratch)]
    assert main(["cache", "clear"]) == 0
    assert [path.name for path in scratch.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("wrong", [["limit"], ["limit", "much"], ["clear", "everything"], ["forget"]])
def test_what_cannot_be_meant_is_refused(wrong: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["cache", *wrong])
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
