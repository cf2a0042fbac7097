"""Files have valid names and are written atomically."""

import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.files import (
    UNFINISHED,
    clean_name,
    replace_file,
    written_whole,
)

KILLED = """
import os
from pathlib import Path
from napari_cryoet.files import written_whole

with written_whole(Path("a.tbl")) as unfinished:
    unfinished.write_text("half")
    os._exit(9)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, text="ours", **options):
    with written_whole(path, **options) as unfinished:
        unfinished.write_text(text)


def write_folder(path, name, **options):
    with written_whole(path, **options) as unfinished:
        unfinished.mkdir()
        (unfinished / name).write_text("chunk")


def test_a_file_gets_its_name_once_complete(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with written_whole(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists()
        assert unfinished.suffix == ".txt"

    assert path.read_text() == "half"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("mine")

    def fail():
        with written_whole(path, overwrite=True) as unfinished:
            unfinished.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_created_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.txt"

    def write_late():
        with written_whole(path) as unfinished:
            unfinished.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(ExistsError):
        write_late()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.txt"]


def test_writing_works_without_hard_links(tmp_path, monkeypatch):
    def link(*_paths):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    write(tmp_path / "a.txt")
    with pytest.raises(ExistsError):
        write(tmp_path / "a.txt")
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.zarr"
    write_folder(path, "1")
    with pytest.raises(ExistsError):
        write_folder(path, "2")
    write_folder(path, "2", overwrite=True)

    assert names(path) == ["2"]
    assert names(tmp_path) == ["a.zarr"]


def test_a_failed_rename_keeps_the_old_folder(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    write_folder(path, "old")
    rename = Path.rename

    def fail_for_unfinished(self, target):
        if self.name.startswith(UNFINISHED):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_unfinished)
    with pytest.raises(SaveError):
        write_folder(path, "new", overwrite=True)
    assert names(path) == ["old"]
    assert names(tmp_path) == ["a.zarr"]


def test_a_file_never_replaces_a_folder_or_a_pipe(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(SaveError):
        write(tmp_path / "a", overwrite=True)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(SaveError):
            write(tmp_path / "pipe", overwrite=True)
        assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges there")
def test_writing_to_a_link_writes_its_target(tmp_path):
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "a.txt", tmp_path / "there" / "b.txt"
    link.symlink_to(target)
    write(link, overwrite=True)

    assert link.is_symlink()
    assert target.read_text() == "ours"


def test_errors_about_unwritable_paths_name_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"a\.txt"):
        write(tmp_path / "file" / "a.txt")
    with pytest.raises(SaveError):
        write(tmp_path / f"{'a' * 300}.txt")


def test_unfinished_files_are_removed_after_a_day(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    (left,) = tmp_path.iterdir()
    write(tmp_path / "a.txt")
    assert left.exists()

    yesterday = time.time() - 25 * 3600
    os.utime(left, (yesterday, yesterday))
    write(tmp_path / "b.txt")
    assert names(tmp_path) == ["a.txt", "b.txt"]


def test_replace_file_keeps_the_old_file_on_errors(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.json"
    replace_file(path, b"first")
    replace_file(path, b"second")

    def no_room(*_paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_room)
    with pytest.raises(SaveError, match="No space"):
        replace_file(path, b"third")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["a.json"]


# names

RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"),
}
NAMES = st.one_of(
    st.text(max_size=300),
    st.text(alphabet='aA.~ /\\:*?"<>|\0\u202eée\u0301', max_size=40),
    st.sampled_from(["CON", "nul.zarr", "com1.tar.gz", "LPT9 ", "aux .x", "..", ".", ""]),
)


@given(NAMES, NAMES)
def test_clean_names_are_valid_on_every_system_and_distinct(one: str, other: str) -> None:
    name = clean_name(one)
    assert 0 < len(name.encode()) < 200
    assert not set(name) & set('<>:"/\\|?*')
    assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in name)
    assert name.strip(" ").rstrip(".") == name
    assert name.partition(".")[0].rstrip(" ").casefold() not in RESERVED
    assert unicodedata.is_normalized("NFC", name)
    assert (name == clean_name(other)) == (one == other)


def test_names_from_the_portal_are_kept() -> None:
    for name in (
        "TS_026.zarr",
        ".zattrs",
        "0",
        "Lamella 1 [Pos+2] %.mrc",
        "VoxelSpacing13.480",
        "é",
    ):
        assert clean_name(name) == name
