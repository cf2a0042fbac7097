"""Writing the demo: reproducible to the byte, into empty folders only, stopped when told."""

import threading

import pytest

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.packs.demo import write_demo_pack


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_writing_again_gives_the_same_bytes(tmp_path, demo_pack):
    write_demo_pack(tmp_path / "again", size="tiny")
    first, again = files_below(demo_pack), files_below(tmp_path / "again")
    assert set(first) == set(again)
    assert [name for name in first if first[name] != again[name]] == []


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="not empty"):
        write_demo_pack(tmp_path, size="tiny")


def test_a_stop_before_the_start_writes_nothing(tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        write_demo_pack(tmp_path / "demo", size="tiny", stop=stop)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("was_there", [False, True])
def test_a_stop_on_the_way_leaves_the_folder_as_it_was(tmp_path, was_there):
    folder, stop = tmp_path / "demo", threading.Event()
    if was_there:
        folder.mkdir()

    def stop_at_the_second_run(share_done, _words):
        if share_done > 0:
            assert files_below(folder)
            stop.set()

    with pytest.raises(StoppedError):
        write_demo_pack(folder, size="tiny", progress=stop_at_the_second_run, stop=stop)
    assert folder.exists() == was_there
    assert list(folder.rglob("*")) == []
