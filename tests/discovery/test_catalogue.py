"""The search in a catalogue, before there is an index."""

from __future__ import annotations

from datetime import UTC, datetime

from napari_cryoet.discovery.catalogue import CatalogueSearch, found_first
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow, Freshness, ObjectCount
from napari_cryoet.records import Author


def row(dataset_id: int, title: str = "", **values) -> CatalogueRow:
    date = datetime(2024, 1, 1, tzinfo=UTC)
    return CatalogueRow(id=dataset_id, title=title, deposition_id=10301, release_date=date, **values)


CATALOGUE = Catalogue(
    rows=(
        row(110001, "Minicells with 10001 dots"),
        row(
            10001,
            "S. pombe cryo-FIB lamellae",
            organism_name="Schizosaccharomyces pombe",
            sample_type="cell_line",
            cell_name="fission yeast",
            authors=(Author(name="Irene de Teresa-Trueba", orcid="0000-0002-1825-0097"),),
            objects=(ObjectCount(object_name="cytosolic ribosome", count=9),),
        ),
        row(10002, "Mouse hippocampus", authors=(Author(name="Jörg Schäfer"),)),
    ),
    freshness=Freshness(fetched_at=datetime(2024, 1, 1, tzinfo=UTC)),
    depositions=(
        DepositionRow(
            id=10301,
            title="Lamellae and more",
            release_date=datetime(2024, 1, 1, tzinfo=UTC),
            dataset_ids=(10001, 10002, 110001),
            kinds=("dataset",),
        ),
        DepositionRow(
            id=10310,
            title="Picks by <i>deep</i> learning",
            release_date=datetime(2024, 1, 1, tzinfo=UTC),
            tag="ml competition",
            authors=(Author(name="Zoë Müller", orcid="0000-0003-1111-2222"),),
            enriched_dataset_ids=(10001,),
            kinds=("annotation",),
            objects=(ObjectCount(object_name="cytosolic ribosome", count=9),),
        ),
    ),
)

SEARCH = CatalogueSearch(CATALOGUE)


def test_every_word_must_occur_somewhere():
    for text, ids in {
        "": [110001, 10001, 10002],
        "POMBE ribosomes": [10001],
        "Scha\u0308fer": [10002],
        '"hippocampus mouse"': [],
        "10001": [10001, 110001],  # the dataset with that very id first
        '"yeast cytosolic"': [],  # of two texts
        "ribsome": [10001],
        "ribosome hippocampus": [],
    }.items():
        assert [found.id for found in SEARCH.datasets(text)] == ids, text


def test_an_empty_catalogue_is_searched_too():
    assert CatalogueSearch(Catalogue(rows=(), freshness=CATALOGUE.freshness)).datasets("ribosome") == ()


def test_depositions_are_found_by_words_of_their_own_and_by_their_datasets():
    for text, ids in {
        "": [10301, 10310],
        "muller deep": [10310],
        "ribosomes annotation": [10310],
        "pombe": [10301, 10310],  # the organism of a dataset that it brought or added to
        "DS-10002": [10301],
    }.items():
        assert [found.id for found in SEARCH.depositions(text)] == ids, text


def test_objects_that_are_searched_for_come_first():
    objects = tuple(ObjectCount(object_name=name, count=1) for name in ("ribosome", "FAS", "Nup–pore", "actin"))
    named = [each.object_name for each in found_first(objects, "pombe NUP")]
    assert named == ["Nup–pore", "ribosome", "FAS", "actin"]
    assert found_first(objects, "fatty acid synthase")[0].object_name == "FAS"
    assert found_first(objects, "") is objects
