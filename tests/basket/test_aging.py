"""Tests of how baskets age: changed and withdrawn records, and new matches of searches."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from napari_cryoet.basket.aging import Age, age_of, brought_up_to_date, with_dates
from napari_cryoet.basket.basket import Basket, read_basket, write_basket
from napari_cryoet.basket.contents import KnownRuns
from napari_cryoet.discovery.index import read_index
from napari_cryoet.packs.pack import PackManifest, write_pack
from napari_cryoet.portal.portal import Portal, open_portal
from portal_rows import blank_row

THEN, NOW = "2024-01-01T00:00:00+00:00", "2025-06-01T00:00:00+00:00"


def portal_with(folder: Path, **dates: str) -> Portal:
    """A portal with two runs: ``a1`` is the date of annotation 1, of the first run unless 2 or 5."""
    tables = {
        "datasets": [blank_row("datasets") | {"id": 1}],
        "runs": [
            blank_row("runs") | {"id": number, "datasetId": 1, "name": name}
            for number, name in ((1, "first"), (2, "second"))
        ],
        "annotations": [
            blank_row("annotations")
            | {"id": int(name[1:]), "lastModifiedDate": date, "runId": 1 + (name in {"a2", "a5"})}
            | {"objectName": "ribosome", "groundTruthStatus": name == "a4"}
            for name, date in dates.items()
        ],
    }
    manifest = PackManifest(title="Dates", https_prefix="https://x.org/", s3_prefix="s3://x/")
    return open_portal(write_pack(folder, manifest, tables).folder)


def test_changes_withdrawals_and_new_matches_are_counted(tmp_path: Path) -> None:
    portal = portal_with(tmp_path / "pack", a1=THEN, a2=NOW, a4=NOW, a5=NOW, a6=NOW)
    basket = (
        Basket(source=portal.source.name)
        .with_ids(
            "annotations",
            [1, 2, 3, 4],
            modified=dict.fromkeys((1, 2, 3, 4), THEN),
            ground_truth=[1],
        )
        .with_ids("annotations", [5])  # pasted in
        .without_ids("annotations", [4])
        .with_search({"text": "first"})
        .with_search({"annotations": [{"methods": ["withdrawn"]}]})
    )
    write_basket(basket, tmp_path / "basket.toml")
    basket = read_basket(tmp_path / "basket.toml")
    runs, index = KnownRuns(portal).of(basket), read_index(portal)
    age = age_of(basket, runs, index)

    assert age == Age(
        changed={"annotations": (2,)},
        withdrawn={"annotations": (3,)},
        new={"annotations": (6,)},
        no_ground_truth=(1,),
        lines=(
            "AN-2 (ribosome, second): changed on 2025-06-01",
            "AN-1 (ribosome, first): no longer ground truth",
            "AN-3: withdrawn",
            "AN-6: new match",
        ),
    )
    assert age.text == "1 changed, 1 no longer ground truth, 1 withdrawn, 1 new match"
    assert age_of(basket, runs).new == {}

    after = brought_up_to_date(basket, age, runs, index)
    assert after.annotations == (1, 2, 5, 6)
    assert after.seen["annotations"].keys() == {1, 2, 3, 4, 5, 6}
    later = portal_with(tmp_path / "later", a1=NOW, a2=NOW, a4=NOW, a5=THEN, a6=THEN)
    assert age_of(after, KnownRuns(later).of(replace(after, source=later.source.name))).changed == {
        "annotations": (1, 5, 6)
    }


def test_equal_dates_in_other_formats_are_unchanged(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, a1=THEN)
    for spelling in (THEN, "2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01T02:00:00+02:00"):
        basket = Basket(source=portal.source.name).with_ids(
            "annotations", [1], modified={1: spelling}
        )
        assert age_of(basket, KnownRuns(portal).of(basket)).text == ""


def test_a_known_date_and_ground_truth_survive_another_tick(tmp_path: Path) -> None:
    portal = portal_with(tmp_path, a1=NOW, a4=NOW)
    basket = Basket(source=portal.source.name).with_ids("annotations", [1], modified={1: THEN})
    runs = KnownRuns(portal).of(basket.with_ids("annotations", [4]))
    again = with_dates(basket.with_ids("annotations", [1, 4], modified={1: NOW}), runs)
    assert again.seen == {"annotations": {1: "2024-01-01", 4: "2025-06-01"}}
    assert again.ground_truth == (4,)
