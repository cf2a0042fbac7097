"""Files are written atomically.

Names of files and servers in messages are short and without secrets.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_cryoet.exceptions import ExistsError, FormatError, SaveError
from napari_cryoet.files import (
    UNFINISHED,
    file_at,
    file_of,
    host_of,
    path_to_read,
    path_to_write,
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
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"third")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize(
    "address", ["https://me:secret@files.org/a.star?key=secret", "s3://bucket/a", "file:///a"]
)
def test_addresses_are_refused_as_paths_without_naming_secrets(address):
    for path, error in ((address, FormatError), (Path(address), FormatError)):
        with pytest.raises(error) as raised:
            path_to_read(path)
        assert "secret" not in str(raised.value)
    with pytest.raises(SaveError):
        path_to_write(address)


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b"])
def test_invalid_paths_are_refused(path):
    with pytest.raises(FormatError):
        path_to_read(path)
    with pytest.raises(SaveError):
        path_to_write(path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", ""),
        ("/a.zarr/0/1", "a.zarr/0/1"),
        ("/a%1b%5b31m%e2%80%ae.zarr", "a[31m.zarr"),
        ("/%3Cb%3Ea.mrc?b=%3Cc%3E#d", "<b>a.mrc"),
        (
            "/10000/TS_026/Reconstructions/VoxelSpacing13.480/Tomograms/100/a.zarr/0/0/1/2",
            "…/VoxelSpacing13.480/Tomograms/100/a.zarr/0/0/1/2",
        ),
        (f"/folder/{'0123456789' * 10}", "…" + ("0123456789" * 10)[-59:]),
    ],
)
def test_a_remote_file_is_named_by_the_end_of_its_path(path, text):
    address = f"https://me:secret@files.org{path}"
    assert file_of(address) == text
    assert file_at(address) == (f"{text} on files.org" if text else "files.org")
    assert host_of(address) == "files.org"


def test_a_local_file_is_named_by_its_path(tmp_path):
    assert file_at("a.zarr", "0/1") == str(Path("a.zarr/0/1"))
    name = file_at(str(tmp_path.joinpath(*["folder"] * 50)), "a.zarr/0")
    assert name.endswith(str(Path("folder/a.zarr/0")))
    assert len(name) <= 120
