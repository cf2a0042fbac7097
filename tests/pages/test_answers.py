"""Results of searches in a generated portal, as windows show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from generated_portal import SIZES, generated_tables
from napari_cryoet.discovery.catalogue import CatalogueSearch
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.pages.lists import (
    Answer,
    Question,
    all_runs,
    answer,
    answer_from_catalogue,
    with_reasons,
)
from napari_cryoet.portal.pages import Catalogue
from napari_cryoet.portal.portal import open_portal


@pytest.fixture(scope="module")
def index(generated_pack: Path) -> Index:
    return read_index(open_portal(generated_pack))


@pytest.fixture(scope="module")
def catalogue(generated_pack: Path) -> Catalogue:
    return open_portal(generated_pack).catalogue()


def ask(index: Index, catalogue: Catalogue, unit="datasets", **fields) -> Answer:
    return answer(index, catalogue, CatalogueSearch(catalogue), Question(Search(**fields), unit, 1))


def test_an_empty_search_finds_all_with_or_without_an_index(index, catalogue):
    result = ask(index, catalogue)
    before = answer_from_catalogue(catalogue, CatalogueSearch(catalogue), Search())
    assert {row.id for row in result.datasets} == {row.id for row in before.datasets}
    assert set(result.depositions) == set(before.depositions)
    assert result.run_counts == {row.id: row.run_count for row in catalogue.rows}


def test_depositions_belong_to_the_matches(index, catalogue):
    rows = generated_tables(**SIZES)
    result = ask(index, catalogue, organisms=(f'"{catalogue.rows[0].organism_name}"',))
    ids = set(result.matches.dataset_ids)
    runs = {row["id"] for row in rows["runs"] if row["datasetId"] in ids}
    tables = (rows["tomograms"], rows["annotations"])
    expected = {row["depositionId"] for table in tables for row in table if row["runId"] in runs}
    expected |= {row["depositionId"] for row in rows["datasets"] if row["id"] in ids}
    assert {row.id for row in result.depositions} == expected - {None}


def test_the_first_runs_are_immediate_and_the_rest_on_request(index, catalogue):
    first = ask(index, catalogue, "runs")
    whole = all_runs(first)
    assert len(first.runs) < len(whole.runs) == len(first.matches.run_ids)
    assert first.runs == whole.runs[: len(first.runs)]


def test_reasons_are_given_only_if_no_row_shows_them(index, catalogue):
    author = catalogue.rows[0].authors[0].name
    result = with_reasons(index, ask(index, catalogue, text=author))
    assert author in result.reasons[catalogue.rows[0].id]
    for text, is_hidden in (
        ("Mus musculus", False),
        ("mouse", True),
        (f"DS-{catalogue.rows[0].id}", False),
    ):
        assert bool(with_reasons(index, ask(index, catalogue, text=text)).reasons) == is_hidden


def test_an_empty_result_suggests_a_term_to_drop(index, catalogue):
    condition = Condition(objects=("membrane",))
    result = ask(index, catalogue, text="zzzz", annotations=(condition,))
    advice = result.advice
    assert advice.unknown == ("zzzz",)
    assert advice.to_drop.without == Search(annotations=(condition,))
    assert advice.n_without == len(ask(index, catalogue, annotations=(condition,)).datasets)


def test_both_annotations_in_one_run_are_offered_where_no_annotation_is_both(index, catalogue):
    ribosome, membrane = Condition(objects=("ribosome",)), Condition(objects=("membrane",))
    both = Search(annotations=(ribosome, membrane))
    for search in (
        Search(text="membrane", annotations=(ribosome,)),
        Search(annotations=(Condition(objects=("ribosome membrane",)),)),
    ):
        result = answer(index, catalogue, CatalogueSearch(catalogue), Question(search, "runs"))
        assert not result.runs
        assert result.advice.together == both
        assert result.advice.n_together == len(index.find(both).run_ids) > 0
