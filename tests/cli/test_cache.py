"""``napari-cryoet cache``: the data kept on this computer."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from napari_cryoet.cli import main
from napari_cryoet.streaming.disk_cache import (
    FOLDER_VARIABLE,
    LIMIT_VARIABLE,
    OWN_FOLDER,
    DiskCache,
    limit_bytes,
)
from napari_cryoet.streaming.piece import Piece

ADDRESS = "https://files.example.org/a.zarr"
LARGE = bytes(100_000)
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def root() -> Path:
    return platformdirs.user_cache_path("napari-cryoet")


@pytest.fixture
def kept(root: Path) -> Path:
    """A cache folder with data of every kind."""
    for folder in ("answers", "demo-1.0-3"):
        (root / folder).mkdir(parents=True)
        (root / folder / "one.json").write_bytes(b"x" * 2000)
    keep_pixels(20)
    return root


def keep_pixels(count: int) -> None:
    cache = DiskCache(limit_bytes=10**9)
    for number in range(count):
        cache.put(cache.image(ADDRESS), f"{number}", 0, Piece(LARGE, "1", len(LARGE)))
    assert cache.flush(30)
    cache.close()


def is_kept(cache: DiskCache, key: str) -> bool:
    return cache.find(cache.image(ADDRESS), key, 0, len(LARGE)) is not None


def test_show_lists_size_limit_and_folder_of_every_kind(kept: Path, capsys: Captured) -> None:
    for arguments in (["cache"], ["cache", "show"]):
        assert main(arguments) == 0
        _, metadata, demo, pixels = capsys.readouterr().out.splitlines()
        assert metadata.split()[:4] == ["2", "KB", "metadata", str(kept / "answers")]
        assert "at most 200 MB" in metadata
        assert demo.split()[:4] == ["2", "KB", "demo", str(kept / "demo-1.0-3")]
        assert pixels.split()[1:4] == ["MB", "pixels", str(kept / "pixels" / OWN_FOLDER)]
        assert "default" in pixels


def test_clear_does_not_follow_links(kept: Path, user_folder: Path, capsys: Captured) -> None:
    (kept / "link").symlink_to(user_folder)
    (kept / "demo-1.0-3.lock").touch()
    assert main(["cache", "clear"]) == 0
    assert [path.name for path in kept.iterdir()] == ["demo-1.0-3.lock"], "a lock between processes"
    assert user_folder.is_dir()

    capsys.readouterr()
    assert main(["cache"]) == main(["cache", "clear"]) == 0
    output = capsys.readouterr().out
    assert "nothing is kept" in output
    assert "nothing to clear" in output


def test_clear_accepts_kinds(kept: Path, capsys: Captured) -> None:
    assert main(["cache", "clear", "pixels", "demo"]) == 0
    assert [path.name for path in kept.iterdir()] == ["answers"]
    assert "pixels" in capsys.readouterr().out


def test_an_open_cache_works_after_clearing(kept: Path) -> None:
    cache = DiskCache(limit_bytes=10**9)
    assert is_kept(cache, "1")
    assert main(["cache", "clear", "pixels"]) == 0
    assert not is_kept(cache, "1")
    keep_pixels(2)
    assert is_kept(cache, "1")
    cache.close()


def test_a_limit_applies_now_and_is_saved(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for size, words, number in (("1MB", "at most 1 MB", 10**6), ("off", "turned off", 0)):
        assert main(["cache", "limit", size]) == 0
        assert words in capsys.readouterr().out
        assert limit_bytes() == number
        assert DiskCache().size_bytes <= number
    assert main(["cache", "limit", "default"]) == 0
    assert "default" in capsys.readouterr().out
    monkeypatch.setenv(LIMIT_VARIABLE, "1GB")
    assert main(["cache", "limit", "5GB"]) == 0
    assert f"at most 1 GB, set by {LIMIT_VARIABLE}" in capsys.readouterr().out


def test_clear_keeps_other_files_in_a_custom_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "thesis.txt").write_bytes(b"years of work" * 100_000)
    monkeypatch.setenv(FOLDER_VARIABLE, str(scratch))
    assert main(["cache"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    keep_pixels(2)
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:4] == [
        "KB",
        "pixels",
        str(scratch / OWN_FOLDER),
    ]
    assert main(["cache", "clear"]) == 0
    assert [path.name for path in scratch.iterdir()] == ["thesis.txt"]


def test_pixels_may_share_the_cache_folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(kept))
    keep_pixels(2)
    assert main(["cache", "clear"]) == 0
    assert not list(kept.rglob("*"))
