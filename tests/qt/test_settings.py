"""Settings that persist between sessions."""

from __future__ import annotations

from napari_cryoet._qt.settings import Recent, Settings


def test_the_last_source_and_recent_places_are_remembered_last_first_and_once(tmp_path):
    path = tmp_path / "browser.ini"
    assert Settings(path).source is None
    Settings(path).source = "demo"
    assert Settings(path).source == "demo"
    places = [Recent(f"/packs/März, {number}", 0, f"Pack {number}") for number in range(20)]
    for place in places:
        Settings(path).remember(place)
    Settings(path).remember(places[-2]._replace(label="Renamed"))
    recent = Settings(path).recent
    assert [place.label for place in recent[:3]] == ["Renamed", "Pack 19", "Pack 17"]
    assert len(recent) == len(set(recent)) < 20


def test_a_damaged_file_is_no_error(tmp_path):
    (tmp_path / "browser.ini").write_bytes(b"\xff\x00[[[\nsource=\nrecent=@Invalid()")
    settings = Settings(tmp_path / "browser.ini")
    assert (settings.recent, settings.source) == ((), None)
