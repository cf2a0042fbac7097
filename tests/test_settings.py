"""Settings that persist between sessions."""

from __future__ import annotations

from napari_cryoet.settings import LeftPage, Recent, Settings


def test_the_source_and_unique_recent_entries_are_saved_newest_first(tmp_path):
    path = tmp_path / "settings.json"
    assert Settings(path).source is None
    Settings(path).source = "demo"
    assert Settings(path).source == "demo"
    entries = [Recent(f"/packs/März, {number}", 0, f"Pack {number}") for number in range(20)]
    for entry in entries:
        Settings(path).remember(entry)
    Settings(path).remember(entries[-2]._replace(label="Renamed"))
    recent = Settings(path).recent
    assert [entry.label for entry in recent[:3]] == ["Renamed", "Pack 19", "Pack 17"]
    assert len(recent) == len(set(recent)) < 20


def test_only_the_pages_of_recent_sources_are_kept(tmp_path):
    settings = Settings(tmp_path / "settings.json")
    for number in [*range(20), 17]:
        settings.leave(f"/packs/{number}", LeftPage(({"kind": "datasets"},), {"text": "a"}))
    assert list(settings.pages)[:3] == ["/packs/17", "/packs/19", "/packs/18"]
    assert len(settings.pages) < 20


def test_a_damaged_file_is_ignored(tmp_path):
    (tmp_path / "settings.json").write_bytes(b"\xff\x00[[[\nsource=\nrecent=@Invalid()")
    settings = Settings(tmp_path / "settings.json")
    assert (settings.recent, settings.source) == ((), None)
