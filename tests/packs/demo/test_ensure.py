"""One demo in the cache: whole or absent, made once, given up on at once."""

import json
import threading
import time

import pytest

from napari_cryoet.exceptions import PackError, StoppedError
from napari_cryoet.packs.demo import demo_folder, ensure_demo_pack
from napari_cryoet.packs.pack import is_pack, open_pack


@pytest.fixture
def quick_writer(monkeypatch):
    """Writes a pack that is only a manifest, and counts how often it is asked to."""
    calls = []

    def write(folder, *, size, progress, stop):
        calls.append(threading.get_ident())
        time.sleep(0.2)
        folder.mkdir(parents=True)
        manifest = {
            "format": "napari-cryoet-pack",
            "version": 1,
            "title": "quick",
            "source": "",
            "created": "",
            "licence": "",
        }
        prefixes = {"httpsPrefix": "https://a.invalid/", "s3Prefix": "s3://a/"}
        (folder / "pack.json").write_text(json.dumps(manifest | prefixes))

    monkeypatch.setattr("napari_cryoet.packs.demo.write.write_demo_pack", write)
    return calls


def test_the_demo_is_made_once_and_found_afterwards(tmp_path):
    shares = []
    folder = ensure_demo_pack(tmp_path / "demo", lambda share, words: shares.append((share, words)), size="tiny")
    assert open_pack(folder).tables["datasets"]
    assert [share for share, _ in shares] == sorted(share for share, _ in shares)
    assert shares[-1][0] == 1
    assert all(words for _, words in shares)
    again = []
    assert ensure_demo_pack(tmp_path / "demo", lambda *args: again.append(args)) == folder
    assert again == []


def test_by_default_it_is_kept_in_the_users_cache(quick_writer):
    folder = ensure_demo_pack()
    assert folder == demo_folder()
    assert is_pack(folder)
    assert "napari-cryoet" in folder.parts


def test_two_that_ask_at_once_make_it_once(tmp_path, quick_writer):
    threads = [threading.Thread(target=ensure_demo_pack, args=(tmp_path / "demo",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(quick_writer) == 1
    assert is_pack(tmp_path / "demo")


def test_a_stop_ends_it_before_the_next_step_and_leaves_nothing(tmp_path):
    stop = threading.Event()
    told_after_the_stop = []

    def stop_soon(share, words):
        if stop.is_set():
            told_after_the_stop.append(share)
        elif share > 0.1:
            stop.set()

    with pytest.raises(StoppedError):
        ensure_demo_pack(tmp_path / "demo", stop_soon, stop, size="tiny")
    assert stop.is_set()
    assert told_after_the_stop == []
    assert [path.name for path in tmp_path.iterdir()] == ["demo.lock"]


def test_one_that_waits_for_another_can_stop(tmp_path, quick_writer, monkeypatch):
    started, finish = threading.Event(), threading.Event()

    def slow(folder, *, size, progress, stop):
        started.set()
        finish.wait(60)
        raise StoppedError

    monkeypatch.setattr("napari_cryoet.packs.demo.write.write_demo_pack", slow)

    def first():
        with pytest.raises(StoppedError):
            ensure_demo_pack(tmp_path / "demo")

    maker = threading.Thread(target=first)
    maker.start()
    assert started.wait(60)
    stop = threading.Event()
    said = []

    def note(share, words):
        said.append(words)
        stop.set()

    with pytest.raises(StoppedError):
        ensure_demo_pack(tmp_path / "demo", note, stop)
    finish.set()
    maker.join()
    assert any("Waiting" in words for words in said)


def test_what_a_killed_process_left_is_cleared_away(tmp_path, quick_writer):
    leftover = tmp_path / ".demo-0123.partial"
    (leftover / "files").mkdir(parents=True)
    ensure_demo_pack(tmp_path / "demo")
    assert not leftover.exists()


def test_a_demo_that_lost_its_manifest_is_made_again(tmp_path, quick_writer):
    (tmp_path / "demo" / "files" / "90001").mkdir(parents=True)
    assert is_pack(ensure_demo_pack(tmp_path / "demo"))


def test_a_folder_with_other_things_is_left_alone(tmp_path, quick_writer):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("dear")
    with pytest.raises(PackError, match="something else"):
        ensure_demo_pack(tmp_path / "demo")
    assert (tmp_path / "demo" / "thesis.txt").read_text() == "dear"


def test_a_disk_that_refuses_is_said_in_words(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PackError, match="can't be written"):
        ensure_demo_pack(tmp_path / "file" / "demo")
