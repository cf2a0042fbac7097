"""What the dock remembers between sessions."""

from __future__ import annotations

from napari_cryoet._qt.memory import RECENT_PACKS, Memory


def test_nothing_is_remembered_at_first(memory):
    assert memory.source is None
    assert memory.recent_packs == ()


def test_the_last_source_is_remembered(tmp_path):
    Memory(tmp_path / "browser.ini").source = "demo"
    assert Memory(tmp_path / "browser.ini").source == "demo"


def test_recent_packs_are_listed_last_first_without_those_that_are_gone(tmp_path):
    folders = [tmp_path / f"pack {number}, März" for number in range(RECENT_PACKS + 2)]
    for folder in folders:
        folder.mkdir()
        Memory(tmp_path / "browser.ini").remember_pack(folder)
    folders[-1].rmdir()
    recent = Memory(tmp_path / "browser.ini").recent_packs
    assert recent == tuple(reversed(folders[2:-1]))


def test_one_pack_alone_is_remembered(tmp_path):
    Memory(tmp_path / "browser.ini").remember_pack(tmp_path)
    assert Memory(tmp_path / "browser.ini").recent_packs == (tmp_path,)


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    memory = Memory(tmp_path / "file" / "browser.ini")
    memory.source = "live"
    memory.remember_pack(tmp_path)


def test_a_damaged_file_is_no_error(tmp_path):
    (tmp_path / "browser.ini").write_bytes(b"\xff\x00[[[\nsource=\nrecent_packs=@Invalid()")
    memory = Memory(tmp_path / "browser.ini")
    assert memory.recent_packs == ()
    assert memory.source is None
