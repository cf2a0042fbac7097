"""Matches of a search are added to a basket, and new ones are found later."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cryoet.basket.aging import age_of
from napari_cryoet.basket.basket import Basket, read_basket, write_basket
from napari_cryoet.basket.contents import KnownRuns
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.discovery.search import Condition, Search, kinds_asked
from napari_cryoet.portal.portal import Portal, open_portal

RIBOSOMES = Search(annotations=(Condition(objects=("ribosome",)),))


@pytest.fixture
def portal(demo_pack: Path) -> Portal:
    return open_portal(demo_pack)


@pytest.fixture
def index(portal: Portal) -> Index:
    return read_index(portal)


@pytest.mark.parametrize(
    ("search", "kinds"),
    [
        (Search(), ("annotations",)),
        (RIBOSOMES, ("annotations",)),
        (Search(processing=("raw",)), ("tomograms",)),
        (
            Search(spacing_angstrom=(None, 10.0), annotations=RIBOSOMES.annotations),
            ("annotations", "tomograms"),
        ),
    ],
)
def test_kinds_to_add_follow_from_the_search(search: Search, kinds: tuple[str, ...]) -> None:
    assert kinds_asked(search) == kinds


def test_matches_have_one_tomogram_per_run_and_all_annotations(index: Index) -> None:
    every = index.find(Search())
    tomograms = index.rows("tomograms", every.ids("tomograms"))
    assert len({row["runId"] for row in tomograms}) == len(tomograms) < len(every.tomogram_ids)
    assert len(every.ids("annotations")) == index.count("annotations")
    assert every.ids("runs") == every.run_ids
    assert every.ids("datasets") == every.dataset_ids


def test_an_added_search_finds_new_matches(index: Index, portal: Portal, tmp_path: Path) -> None:
    basket = Basket(source=portal.source.name).add(index.find(RIBOSOMES))
    assert basket.catalogue_date == index.as_of.date().isoformat()
    write_basket(basket, tmp_path / "basket.toml")
    kept = read_basket(tmp_path / "basket.toml")
    runs = KnownRuns(portal).of(kept)
    assert age_of(kept, runs, index).text == ""

    unticked = kept.without_ids("annotations", kept.annotations[:1])
    assert age_of(unticked, runs, index).text == ""
    search = Search(text="90002", annotations=RIBOSOMES.annotations)
    narrow = Basket(source=portal.source.name).add(index.find(search))
    wider = narrow.with_search(RIBOSOMES.to_dict())
    new = age_of(wider, KnownRuns(portal).of(wider), index).new["annotations"]
    assert sorted((*narrow.annotations, *new)) == sorted(basket.annotations)
