"""What the dock remembers between sessions."""

from __future__ import annotations

from napari_cryoet._qt.settings import Recent, Settings


def test_the_last_source_is_remembered(tmp_path):
    assert Settings(tmp_path / "browser.ini").source is None
    Settings(tmp_path / "browser.ini").source = "demo"
    assert Settings(tmp_path / "browser.ini").source == "demo"


def test_recent_places_are_listed_last_first_and_once(tmp_path):
    places = [Recent(f"/packs/März, {number}", 0, f"Pack {number}") for number in range(20)]
    for place in places:
        Settings(tmp_path / "browser.ini").remember(place)
    Settings(tmp_path / "browser.ini").remember(places[-2]._replace(label="Renamed"))
    recent = Settings(tmp_path / "browser.ini").recent
    assert [place.label for place in recent[:3]] == ["Renamed", "Pack 19", "Pack 17"]
    assert len(recent) == len(set(recent)) < 20


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings = Settings(tmp_path / "file" / "browser.ini")
    settings.source = "live"
    settings.remember(Recent("live", 1, "TS_1"))


def test_a_damaged_file_is_no_error(tmp_path):
    (tmp_path / "browser.ini").write_bytes(b"\xff\x00[[[\nsource=\nrecent=@Invalid()")
    settings = Settings(tmp_path / "browser.ini")
    assert settings.recent == ()
    assert settings.source is None
