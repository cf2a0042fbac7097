"""Zipped packs: unpacked once, and hostile ones refused before anything is written."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_cryoet import open_portal
from napari_cryoet.exceptions import PackError, SaveError, StoppedError
from napari_cryoet.files import cache_path
from napari_cryoet.packs.pack import open_pack, write_pack
from napari_cryoet.packs.zipped import is_zipped_pack, unpacked
from napari_cryoet.task import Task
from packs.small_pack import MANIFEST, row

Change = Callable[[zipfile.ZipFile], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pack = write_pack(tmp_path / "pack", MANIFEST, {"runs": [row("runs", id=1)]})
    (pack.files / "picks.ndjson").write_text("{}\n")
    return pack.folder


def zip_of(folder: Path, top: str = "", change: Change = lambda _archive: None) -> Path:
    """The zip of a pack, with what else a test writes into it."""
    path = folder.with_name("class.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            archive.write(file, top + file.relative_to(folder).as_posix())
        change(archive)
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("top", ["", "my pack/"])
def test_a_zip_opens_like_its_folder_and_is_unpacked_once(folder: Path, top: str) -> None:
    path = zip_of(folder, top, lambda archive: archive.writestr(f"{top}empty/", b""))
    assert is_zipped_pack(path)
    there = unpacked(path)
    assert there.is_relative_to(cache_path())
    assert files_in(there) == files_in(folder)
    before = (there / "pack.json").stat().st_mtime_ns
    assert unpacked(path) == there
    assert (there / "pack.json").stat().st_mtime_ns == before
    assert open_portal(path).source.location == str(there)


def put(name: str, content: bytes = b"", mode: int = stat.S_IFREG | 0o644) -> Change:
    def change(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("x")
        info.filename = name
        info.external_attr = mode << 16
        archive.writestr(info, content, zipfile.ZIP_DEFLATED)

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("../outside"),
        put("files/../../outside"),
        put("/outside"),
        put("C:/outside"),
        put("files\\outside"),
        put("files/new\nline"),
        put("files/nul.txt"),
        put("files/a:b"),
        put("files/dot./b"),
        put("files/link", b"/etc/passwd", stat.S_IFLNK | 0o777),
        put("files/pipe", b"", stat.S_IFIFO | 0o666),
        put("files/device", b"", stat.S_IFCHR | 0o666),
        put("files//picks.ndjson"),
        put("files/picks.ndjson/below"),
        put("pack.json/below"),
        put("files/bomb", bytes(60_000_000)),
        lambda archive: archive.writestr("files/x", b"", zipfile.ZIP_LZMA),
    ],
)
def test_a_hostile_zip_leaves_nothing(folder: Path, change: Change) -> None:
    path = zip_of(folder, change=change)
    with pytest.raises((PackError, SaveError)):
        unpacked(path)
    assert files_in(cache_path()) == {}
    assert {each.name for each in folder.parent.iterdir()} == {"pack", "class.zip"}


def test_a_damaged_file_and_one_that_is_no_pack_are_refused(folder: Path) -> None:
    path = zip_of(folder)
    content = bytearray(path.read_bytes())
    content[49] ^= 255  # in the first file's data
    for text in (bytes(content), content[:-40], b"no zip", b""):
        path.write_bytes(text)
        with pytest.raises(PackError):
            unpacked(path)
    (folder / "pack.json").unlink()
    other = zip_of(folder)
    assert not is_zipped_pack(other)
    with pytest.raises(PackError, match=r"pack\.json"):
        unpacked(other)
    (folder / "pack.json").write_text("{}")
    with pytest.raises(PackError):
        unpacked(zip_of(folder))
    with pytest.raises(PackError):
        open_portal(folder.parent / "gone.zip")
    assert files_in(cache_path()) == {}


def test_too_many_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_cryoet.packs.zipped._MAX_FILES", 2)
    with pytest.raises(PackError):
        unpacked(zip_of(folder))


def test_the_size_is_told_first_and_too_much_for_the_disk_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "files" / "volume").write_bytes(bytes(2_000_000))
    path = zip_of(folder)
    told: list[str] = []
    disk = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr("napari_cryoet.packs.zipped.shutil.disk_usage", lambda _path: disk)
    with pytest.raises(SaveError, match="room"):
        unpacked(path)
    assert files_in(cache_path()) == {}
    disk.free = 3_000_000
    unpacked(path, task=Task(lambda _fraction, text: told.append(text)))
    assert told[0] == "0 B of 2 MB"


def test_a_stop_leaves_nothing(folder: Path) -> None:
    task = Task()
    task.stop()
    with pytest.raises(StoppedError):
        unpacked(zip_of(folder), task=task)
    assert files_in(cache_path()) == {}
    assert open_pack(unpacked(zip_of(folder))).manifest.title == "Small"
