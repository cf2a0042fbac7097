import errno
import os
import subprocess
import sys
import time

import pytest

from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.provenance_beside import path_beside, read_beside, written_with_provenance
from napari_cryoet.whole_files import REPLACED, UNFINISHED, replace_file, written_whole

KILLED = """
import os
from pathlib import Path
from napari_cryoet.whole_files import written_whole

with written_whole(Path("a.tbl")) as unfinished:
    unfinished.write_text("half")
    os._exit(9)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_until_it_is_whole_nothing_has_its_name(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with written_whole(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists()
        assert unfinished.name.startswith(UNFINISHED)
        assert unfinished.suffix == ".txt"

    assert path.read_text() == "half"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_fails_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("mine")

    def write():
        with written_whole(path, overwrite=True) as unfinished:
            unfinished.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_of_our_own_is_replaced_or_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.json"
    replace_file(path, b"first")
    replace_file(path, b"second")
    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", no_room)
        with pytest.raises(OSError, match="No space"):
            replace_file(path, b"third")

    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["a.json"]


def no_room(*_paths):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_came_meanwhile_isnt_replaced(tmp_path):
    path = tmp_path / "a.txt"

    def write():
        with written_whole(path) as unfinished:
            unfinished.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(ExistsError):
        write()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a.txt"]


def test_disks_without_second_names_for_files_do_too(tmp_path, monkeypatch):
    def link(*_paths):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    with written_whole(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("ours")

    assert names(tmp_path) == ["a.txt"]
    with pytest.raises(ExistsError), written_whole(tmp_path / "a.txt"):
        pass


def test_a_folder_is_replaced_as_a_whole_with_consent(tmp_path):
    path = tmp_path / "a.zarr"
    for number in (1, 2):
        with written_whole(path, overwrite=True) as unfinished:
            unfinished.mkdir()
            (unfinished / f"{number}").write_text("chunk")

    assert names(path) == ["2"]
    assert names(tmp_path) == ["a.zarr"]
    with pytest.raises(ExistsError), written_whole(path) as unfinished:
        unfinished.mkdir()


def test_a_folder_that_cant_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "old").write_text("chunk")
    rename = type(path).rename

    def fail_for_the_new(self, target):
        if self.name.startswith(UNFINISHED) and (self / "new").exists():
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(type(path), "rename", fail_for_the_new)

    def write():
        with written_whole(path, overwrite=True) as unfinished:
            unfinished.mkdir()
            (unfinished / "new").write_text("chunk")

    with pytest.raises(SaveError, match="Permission denied"):
        write()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["a.zarr"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(SaveError, match="is a folder"), written_whole(tmp_path / "a", overwrite=True) as unfinished:
        unfinished.write_text("file")

    assert (tmp_path / "a").is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_pipe_or_a_device_is_never_replaced(tmp_path, is_linked):
    path = pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    if is_linked:
        path = tmp_path / "link.csv"
        path.symlink_to(pipe)
    for writer in (written_whole(path, overwrite=True), written_with_provenance(path, {}, overwrite=True)):
        with pytest.raises(SaveError, match=f"{path.name} is neither a file nor a folder"), writer as unfinished:
            unfinished.write_text("x")

    assert pipe.is_fifo()
    assert names(tmp_path) == sorted({pipe.name, path.name})


def test_a_place_that_cant_be_written_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    for folder, why in (("file", "file is no folder"), ("file/below", "Not a directory"), ("b" * 300, "too long")):
        path = tmp_path / folder / "a.txt"
        with pytest.raises(SaveError, match=rf"a\.txt can't be written: .*{why}"), written_whole(path):
            pass


def test_what_a_library_says_of_the_unfinished_file_is_left_out(tmp_path):
    with pytest.raises(SaveError, match=r"^a\.txt can't be written: No space left on device\.$"):  # noqa: SIM117
        with written_whole(tmp_path / "a.txt") as unfinished:
            raise OSError(errno.ENOSPC, f"Failed to write '{unfinished}'")


class TestProvenanceBeside:
    def test_it_is_of_this_file_and_no_other(self, tmp_path):
        path = tmp_path / "a.tbl"
        with written_with_provenance(path, {"source": {"authors": ["Zoë"]}}) as unfinished:
            unfinished.write_text("1 2 3")

        assert names(tmp_path) == ["a.tbl", path_beside(path).name] == ["a.tbl", "a.tbl.provenance.json"]
        assert read_beside(path)["source"] == {"authors": ["Zoë"]}
        path.write_text("1 2 4")
        assert read_beside(path) == {}

    @pytest.mark.parametrize("content", [None, "[1]", "{", '{"sha256": 1}'])
    def test_what_isnt_there_or_is_damaged_says_nothing(self, tmp_path, content):
        path = tmp_path / "a.tbl"
        path.write_text("1 2 3")
        if content is not None:
            path_beside(path).write_text(content)

        assert read_beside(path) == {}

    def test_neither_is_there_if_one_cant_be(self, tmp_path):
        path = tmp_path / "a.tbl"
        path_beside(path).mkdir()

        def write(target):
            with written_with_provenance(target, {}, overwrite=True) as unfinished:
                unfinished.write_text("1 2 3")

        with pytest.raises(SaveError, match="is a folder"):
            write(path)
        too_long = tmp_path / ("a" * 245 + ".tbl")  # by itself it fits, its provenance doesn't
        with pytest.raises(SaveError, match=r"a\.tbl can't be written, as its \.provenance\.json can't be"):
            write(too_long)
        assert names(tmp_path) == ["a.tbl.provenance.json"]

    @pytest.mark.parametrize("folder", ["file", "file/below", "b" * 300])
    def test_a_folder_that_cant_be_written_is_said_of_the_file_that_was_asked_for(self, tmp_path, folder):
        (tmp_path / "file").write_text("")
        with (
            pytest.raises(SaveError, match=r"^a\.tbl can't be written"),
            written_with_provenance(tmp_path / folder / "a.tbl", {}),
        ):
            pass

    def test_of_two_that_are_there_already_the_one_that_was_asked_for_is_named(self, tmp_path):
        for name in ("a.tbl", "a.tbl.provenance.json"):
            (tmp_path / name).write_text("mine")
        with pytest.raises(ExistsError, match=r"a a\.tbl already"), written_with_provenance(tmp_path / "a.tbl", {}):
            pass

    def test_the_file_has_no_name_yet_where_its_provenance_finds_no_room(self, tmp_path, monkeypatch):
        real = os.fsync

        def nearly_full(number):
            if os.fstat(number).st_size > 50:  # the provenance: the file has five bytes
                raise OSError(errno.ENOSPC, "No space left on device")
            real(number)

        monkeypatch.setattr(os, "fsync", nearly_full)
        with (
            pytest.raises(SaveError, match="No space left"),
            written_with_provenance(tmp_path / "a.tbl", {}) as unfinished,
        ):
            unfinished.write_text("1 2 3")
        assert names(tmp_path) == []


def an_hour_later(monkeypatch):
    later = time.time() + 3700
    monkeypatch.setattr(time, "time", lambda: later)


def test_what_a_killed_writer_left_is_no_matter_and_is_removed_after_an_hour(tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False, timeout=100)
    left = names(tmp_path)
    assert len(left) == 1
    assert left[0].startswith(UNFINISHED)

    def write():
        with written_whole(tmp_path / "a.tbl", overwrite=True) as unfinished:
            unfinished.write_text("all")

    write()  # another process may still be at it
    assert names(tmp_path) == [*left, "a.tbl"]
    an_hour_later(monkeypatch)
    write()
    assert names(tmp_path) == ["a.tbl"]
    assert (tmp_path / "a.tbl").read_text() == "all"


def test_a_killed_writers_folder_is_removed_and_nobody_elses(tmp_path, monkeypatch):
    (tmp_path / f"{UNFINISHED}0123abcd-a.zarr").mkdir()
    (tmp_path / f"{UNFINISHED}0123abcd-a.zarr" / "0").write_text("chunk")
    others = [f"{UNFINISHED}0123abcd-b.zarr", f"{UNFINISHED}0123abcd-aa.zarr", f"{UNFINISHED}notes-a.zarr"]
    for other in others:
        (tmp_path / other).write_text("")
    an_hour_later(monkeypatch)
    with written_whole(tmp_path / "a.zarr") as unfinished:
        unfinished.mkdir()

    assert names(tmp_path) == sorted([*others, "a.zarr"])


def test_what_was_moved_out_of_the_way_stays_until_its_successor_is_there(tmp_path, monkeypatch):
    old = tmp_path / f"{REPLACED}0123abcd-a.zarr"  # killed between the two renames: the only copy
    old.mkdir()
    an_hour_later(monkeypatch)

    def write(*, fail):
        with written_whole(tmp_path / "a.zarr") as unfinished:
            unfinished.mkdir()
            if fail:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fail=True)
    assert names(tmp_path) == [old.name]
    write(fail=False)
    assert names(tmp_path) == ["a.zarr"]


@pytest.fixture
def symlink(tmp_path):
    """Make a symbolic link in a folder of its own."""

    def make(target, name):
        link = tmp_path / "links" / name
        link.parent.mkdir(exist_ok=True)
        try:
            link.symlink_to(target)
        except OSError:
            pytest.skip("needs symbolic links")
        return link

    return make


class TestSymbolicLinks:
    def test_what_a_link_points_to_is_written_and_the_link_stays(self, tmp_path, symlink):
        target = tmp_path / "data.bin"
        target.write_text("old")
        link = symlink(target, "a.tbl")
        with written_whole(link, overwrite=True) as unfinished:
            assert unfinished.suffix == ".tbl"
            unfinished.write_text("new")

        assert link.is_symlink()
        assert target.read_text() == link.read_text() == "new"
        assert names(tmp_path) == ["data.bin", "links"]

    def test_a_link_is_something_that_is_there(self, tmp_path, symlink):
        link = symlink(tmp_path / "nothing yet.tbl", "a.tbl")
        with pytest.raises(ExistsError), written_whole(link):
            pass
        with written_whole(link, overwrite=True) as unfinished:
            unfinished.write_text("new")

        assert (tmp_path / "nothing yet.tbl").read_text() == "new"

    def test_a_folder_is_replaced_where_it_is(self, tmp_path, symlink):
        target = tmp_path / "b.zarr"
        target.mkdir()
        (target / "old").write_text("")
        link = symlink(target, "a.zarr")
        with written_whole(link, overwrite=True) as unfinished:
            unfinished.mkdir()
            (unfinished / "new").write_text("")

        assert link.is_symlink()
        assert names(target) == ["new"]
        assert names(tmp_path) == ["b.zarr", "links"]

    def test_a_link_to_itself_is_refused_in_words(self, tmp_path, symlink):
        link = symlink(tmp_path / "links" / "a.tbl", "a.tbl")
        with pytest.raises(SaveError, match="a link to itself"), written_whole(link, overwrite=True):
            pass

    def test_the_provenance_stands_beside_the_file_and_is_found_by_either_name(self, tmp_path, symlink):
        target = tmp_path / "data.tbl"
        target.write_text("old")
        link = symlink(target, "a.tbl")
        with written_with_provenance(link, {"who": "me"}, overwrite=True) as unfinished:
            unfinished.write_text("new")

        assert names(tmp_path) == ["data.tbl", "data.tbl.provenance.json", "links"]
        assert names(link.parent) == ["a.tbl"]
        assert read_beside(link) == read_beside(target)
        assert read_beside(link)["file"] == "data.tbl"


def test_a_long_name_that_the_disk_takes_is_taken(tmp_path):
    path = tmp_path / ("a" * 251 + ".txt")
    with written_whole(path) as unfinished:
        unfinished.write_text("all")

    assert path.read_text() == "all"
