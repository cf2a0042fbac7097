"""Searches in a catalogue, without an index."""

from __future__ import annotations

from datetime import UTC, datetime

from napari_cryoet.discovery.catalogue import CatalogueSearch, found_first
from napari_cryoet.portal.pages import (
    Catalogue,
    CatalogueRow,
    DepositionRow,
    Freshness,
    ObjectCount,
)
from napari_cryoet.records import Author

DATE = datetime(2024, 1, 1, tzinfo=UTC)
RIBOSOMES = (ObjectCount(object_name="cytosolic ribosome", count=9),)


def row(dataset_id: int, title: str, **values) -> CatalogueRow:
    return CatalogueRow(
        id=dataset_id, title=title, deposition_id=10301, release_date=DATE, **values
    )


def deposition(deposition_id: int, title: str, **values) -> DepositionRow:
    return DepositionRow(id=deposition_id, title=title, release_date=DATE, **values)


POMBE = row(
    10001,
    "S. pombe lamellae",
    organism_name="Schizosaccharomyces pombe",
    cell_name="fission yeast",
    objects=RIBOSOMES,
)
MOUSE = row(10002, "Mouse hippocampus", authors=(Author(name="Jörg Schäfer"),))
BROUGHT = deposition(10301, "Lamellae and more", dataset_ids=(10001, 10002, 110001))
PICKS = deposition(
    10310,
    "Deep picks",
    authors=(Author(name="Zoë Müller"),),
    enriched_dataset_ids=(10001,),
    objects=RIBOSOMES,
)
FRESHNESS = Freshness(fetched_at=DATE)
SEARCH = CatalogueSearch(
    Catalogue(
        rows=(row(110001, "Minicells with 10001 dots"), POMBE, MOUSE),
        freshness=FRESHNESS,
        depositions=(BROUGHT, PICKS),
    )
)


def test_every_word_must_match():
    for text, ids in {
        "": [110001, 10001, 10002],
        "POMBE ribosomes": [10001],
        "Scha\u0308fer": [10002],
        "10001": [10001, 110001],  # the dataset with this id first
        '"yeast cytosolic"': [],  # words of two texts
        "ribsome": [10001],
        "ribosome hippocampus": [],
    }.items():
        assert [each.id for each in SEARCH.datasets(text)] == ids, text
    assert CatalogueSearch(Catalogue(rows=(), freshness=FRESHNESS)).datasets("ribosome") == ()


def test_depositions_match_by_their_own_words_and_their_datasets():
    for text, ids in {
        "": [10301, 10310],
        "muller deep ribosomes": [10310],
        "pombe": [10301, 10310],  # the organism of a dataset that it brought or added to
        "DS-10002": [10301],
    }.items():
        assert [each.id for each in SEARCH.depositions(text)] == ids, text


def test_matching_objects_are_listed_first():
    objects = tuple(
        ObjectCount(object_name=name, count=1) for name in ("ribosome", "FAS", "Nup–pore", "actin")
    )
    named = [each.object_name for each in found_first(objects, "pombe NUP")]
    assert named == ["Nup–pore", "ribosome", "FAS", "actin"]
    assert found_first(objects, "fatty acid synthase")[0].object_name == "FAS"
    assert found_first(objects, "") == objects
