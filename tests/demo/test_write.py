"""Writing the demo: reproducible, whole or not at all, once for everybody, stopped when told."""

import threading

import pytest

from napari_cryoet.demo import demo_folder, ensure_demo_pack, write_demo_pack
from napari_cryoet.exceptions import ExistsError, SaveError, StoppedError
from napari_cryoet.packs.pack import is_pack, open_pack


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_writing_again_gives_the_same_bytes(tmp_path, demo_pack):
    (tmp_path / "again").mkdir()
    write_demo_pack(tmp_path / "again", size="tiny")
    first, again = files_below(demo_pack), files_below(tmp_path / "again")
    assert set(first) == set(again)
    assert [name for name in first if first[name] != again[name]] == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(ExistsError):
        write_demo_pack(tmp_path / "mine", size="tiny")
    assert files_below(tmp_path / "mine") == {"thesis.txt": b"dear"}


def test_a_disk_that_refuses_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SaveError, match="file"):
        write_demo_pack(tmp_path / "file" / "demo")


def test_a_stop_leaves_nothing(tmp_path):
    stop, told = threading.Event(), []

    def stop_soon(share, words):
        told.append(share)
        if share > 0.1:
            stop.set()

    with pytest.raises(StoppedError):
        write_demo_pack(tmp_path / "demo", size="tiny", progress=stop_soon, stop=stop)
    assert len([share for share in told if share > 0.1]) == 1
    assert list(tmp_path.iterdir()) == []


def test_it_is_made_once_for_all_who_ask_and_found_afterwards(demo_pack):
    demo_folder().mkdir(parents=True)  # as a damaged one
    told, stop = [], threading.Event()

    def stop_when_waiting(share, words):
        if "Waiting" in words:
            stop.set()

    def be_impatient(share, words):
        told.append(share)
        if len(told) == 2:
            with pytest.raises(StoppedError):
                ensure_demo_pack(progress=stop_when_waiting, stop=stop, size="tiny")

    folder = ensure_demo_pack(progress=be_impatient, size="tiny")

    assert folder == demo_folder()
    assert is_pack(folder)
    assert open_pack(folder).tables["datasets"]
    assert told == sorted(told)
    assert told[-1] == 1
    assert ensure_demo_pack(progress=lambda *_: pytest.fail("it is there")) == folder
