"""Baskets as data, as readable files, and in the store with one basket for each source."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from napari_cryoet import download_basket, read_index, select_basket
from napari_cryoet.basket.basket import (
    Basket,
    BasketStore,
    Lock,
    Split,
    basket_text,
    ids_in,
    read_basket,
    write_basket,
)
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.download.run import lock_basket
from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.portal.portal import open_portal

FULL = (
    Basket(name="Ribosomes", source="demo", catalogue_date="2026-11-30")
    .with_ids(
        "annotations",
        range(9000, 9050),
        modified={9003: "2024-01-01T00:00:00+00:00", 1: "not ticked"},
    )
    .with_ids("runs", [506])
    .with_search(
        Search(
            text="ribosome",
            annotations=(Condition(objects="ribosome"),),
            spacing_angstrom=(None, 9),
        ).to_dict()
    )
    .with_choices(level=1, with_tomogram="denoised", leave_out=("frames",))
    .with_split(Split(seed=3, train=(1, 2), test=(3,)))
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "basket.toml"


def test_ids_are_unique_and_in_order() -> None:
    basket = Basket().with_ids("annotations", [3, 1]).with_ids("annotations", [1, 2])
    assert basket.annotations == (3, 1, 2)
    assert basket.without_ids("annotations", [3, 9]).annotations == (1, 2)


def test_removed_ids_stay_in_the_seen_ids() -> None:
    basket = FULL.without_ids("annotations", [9003])
    assert basket.seen == FULL.seen == {"annotations": {9003: "2024-01-01"}}
    assert basket.emptied().seen == {}
    assert basket.emptied().choices == FULL.choices


def test_a_basket_file_round_trips_and_is_short(path: Path) -> None:
    files = {"10000/TS 1/a.ndjson": "annotationFiles 51 · 680 bytes · 2024-05-06 · ground truth"}
    lock = Lock(date="2026-12-02", files=files, sha256=dict.fromkeys(files, "ab12"))
    full = replace(FULL, lock=lock, ground_truth=(9003, 9004))
    write_basket(full, path)
    assert read_basket(path) == full
    assert len(path.read_text().splitlines()) < 55


@given(
    st.lists(st.integers(1, 2**31 - 1), unique=True),
    st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
)
def test_any_ids_and_name_round_trip(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    basket = Basket(name=name).with_ids("tomograms", ids).with_ids("runs", ids[:2])
    write_basket(basket, path)
    assert read_basket(path) == basket


def test_ids_can_be_pasted_in(path: Path) -> None:
    path.write_text(
        'annotations = ["AN-9003", 9004, "9005", 9004]\n[seen.annotations]\n2024-01-01 = [9003]\n'
    )
    assert read_basket(path).annotations == (9003, 9004, 9005)
    assert ids_in("see RN-506, an-9003\n9004;9005 v1.2 TS_026", "tomograms") == {
        "runs": [506],
        "annotations": [9003],
        "tomograms": [9004, 9005],
    }


@pytest.mark.parametrize(
    ("text", "noun"),
    [
        ("annotation = [1]", "annotation"),
        ("[choices]\nlevl = 1", "levl"),
        ('annotations = ["RN-3"]', "RN-3"),
        ("runs = [0]", "runs"),
        ("runs = [1", "TOML"),
    ],
)
def test_errors_name_the_invalid_key_or_value(path: Path, text: str, noun: str) -> None:
    path.write_text(text)
    with pytest.raises(FormatError, match=noun):
        read_basket(path)


def test_passwords_are_never_written() -> None:
    assert "secret" not in basket_text(
        Basket(source="https://me:secret@portal.example.org/graphql")
    )


def test_the_name_of_a_source_opens_it(demo_pack: Path) -> None:
    for source in ("live", "demo", "https://portal.example.org/graphql", str(demo_pack.resolve())):
        assert open_portal(source).source.name == source


def test_a_basket_is_used_with_its_own_source_only(
    demo_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = open_portal(demo_pack)
    index = read_index(portal)
    basket = Basket(runs=(9003,))  # of the live portal
    uses: list[Callable[[], object]] = [
        lambda: download_basket(basket, portal, tmp_path),
        lambda: select_basket(basket, portal),
        lambda: basket.add(index.find("DEMO_001")),
        lambda: lock_basket(basket, portal),
    ]
    for use in uses:
        with pytest.raises(CryoETError, match=f"live.*{demo_pack.name}"):
            use()

    own = replace(basket, source=portal.source.name)
    download_basket(own, portal, tmp_path / "pack")
    assert select_basket(own, open_portal(tmp_path / "pack")).runs
    monkeypatch.chdir(demo_pack.parent)
    assert select_basket(replace(basket, source=demo_pack.name), portal).runs


def test_a_basket_is_shown_in_one_line_and_as_a_table() -> None:
    basket = Basket(name="Mine").with_ids("runs", [7, 8], modified={7: "2024-01-01"})
    assert repr(basket) == "<Basket 'Mine' of live: 2 runs>"
    assert basket.to_dataframe().to_numpy().tolist() == [["runs", 7, "2024-01-01"], ["runs", 8, ""]]
    with pytest.raises(CryoETError, match="tilt_series"):
        basket.with_ids("run", [7])


# the store


def test_each_source_has_its_own_stored_basket() -> None:
    BasketStore().change("demo", lambda basket: basket.with_ids("runs", [1]))
    BasketStore().change("http://a.org/graphql", lambda basket: basket.with_ids("runs", [2]))

    assert BasketStore().current("demo").runs == (1,)
    assert BasketStore().current("http://a.org/graphql").runs == (2,)
    assert BasketStore().current("live") == Basket()


def test_concurrent_changes_are_all_kept() -> None:
    def tick(ids: range) -> None:
        store = BasketStore()
        for each in ids:
            store.change("demo", lambda basket: basket.with_ids("annotations", [each]))  # noqa: B023

    threads = [
        threading.Thread(target=tick, args=[range(1 + 10 * n, 11 + 10 * n)]) for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(BasketStore().current("demo").annotations) == [*range(1, 31)]


def test_a_damaged_basket_is_not_overwritten() -> None:
    store = BasketStore()
    store.change("demo", lambda basket: basket.with_ids("runs", [1]))
    store.path("demo").write_text("runs = [1, 2")
    with pytest.raises(FormatError):
        store.change("demo", lambda basket: basket.with_ids("runs", [3]))
    assert store.path("demo").read_text() == "runs = [1, 2"
