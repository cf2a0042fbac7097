import os

import pytest

from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.provenance_beside import path_beside, read_beside, written_with_provenance
from napari_cryoet.whole_files import UNFINISHED, written_whole


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


def test_a_place_that_cant_be_written_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match=r"a\.txt can't be written"), written_whole(tmp_path / "file" / "a.txt"):
        pass


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
        with pytest.raises(SaveError, match="can't be written"):
            write(too_long)
        assert names(tmp_path) == ["a.tbl.provenance.json"]


def test_a_long_name_that_the_disk_takes_is_taken(tmp_path):
    path = tmp_path / ("a" * 251 + ".txt")
    with written_whole(path) as unfinished:
        unfinished.write_text("all")

    assert path.read_text() == "all"
