"""What the dock remembers between sessions."""

from __future__ import annotations

from napari_cryoet._qt.memory import Memory, Recent


def test_the_last_source_is_remembered(tmp_path):
    assert Memory(tmp_path / "browser.ini").source is None
    Memory(tmp_path / "browser.ini").source = "demo"
    assert Memory(tmp_path / "browser.ini").source == "demo"


def test_recent_places_are_listed_last_first_and_once(tmp_path):
    places = [Recent(f"/packs/März, {number}", 0, f"Pack {number}") for number in range(20)]
    for place in places:
        Memory(tmp_path / "browser.ini").remember(place)
    Memory(tmp_path / "browser.ini").remember(places[-2]._replace(label="Renamed"))
    recent = Memory(tmp_path / "browser.ini").recent
    assert [place.label for place in recent[:3]] == ["Renamed", "Pack 19", "Pack 17"]
    assert len(recent) == len(set(recent)) < 20


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    memory = Memory(tmp_path / "file" / "browser.ini")
    memory.source = "live"
    memory.remember(Recent("live", 1, "TS_1"))


def test_a_damaged_file_is_no_error(tmp_path):
    (tmp_path / "browser.ini").write_bytes(b"\xff\x00[[[\nsource=\nrecent=@Invalid()")
    memory = Memory(tmp_path / "browser.ini")
    assert memory.recent == ()
    assert memory.source is None
