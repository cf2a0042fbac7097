"""Searches in real tables, and for names in the real catalogue."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from napari_cryoet.discovery.facets import count_facets
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.portal.portal import Source, open_portal
from napari_cryoet.tables.database import Database
from napari_cryoet.words import is_quoted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def index(real_pack):
    return read_index(open_portal(real_pack.folder))


def dumped(real_data, table):
    return json.loads((real_data / "dataset_10000" / f"{table}.json").read_text())


def test_runs_with_two_objects_match_the_dump(index, real_data):
    annotations = dumped(real_data, "annotations")
    ribosomes = {
        row["run_id"]
        for row in annotations
        if "ribosome" in row["object_name"] and row["ground_truth_status"]
    }
    droplets = {row["run_id"] for row in annotations if row["object_name"] == "lipid droplet"}
    conditions = (
        Condition(objects=("ribosomes",), is_ground_truth=True),
        Condition(objects=("lipid body",)),
    )
    matches = index.find(Search(annotations=conditions))

    assert matches.run_ids
    assert set(matches.run_ids) == ribosomes & droplets
    counts = {row["id"]: row["object_count"] for row in annotations}
    for row in matches.rows("annotations"):
        assert row.count == counts[row.annotation_id]


@pytest.fixture(scope="module")
def catalogue(real_data):
    """The real catalogue, with one run per dataset and one annotation per object."""
    data = json.loads((real_data / "catalog.reply.json").read_text())["data"]
    groups = [group["groupBy"] for group in data["objects"]["aggregate"]]
    tables = {
        "datasets": [
            {name: cell for name, cell in row.items() if name != "authors"}
            for row in data["datasets"]
        ],
        "runs": [
            {"id": row["id"], "datasetId": row["id"], "name": "run"} for row in data["datasets"]
        ],
        "annotations": [
            {
                "id": number,
                "runId": group["id"],
                "objectName": group["runs"]["annotations"]["objectName"],
            }
            for number, group in enumerate(groups, 1)
        ],
    }
    return Index(Database(tables), Source("url", "", ""), datetime.now(UTC))


def objects_of(index, *objects):
    matches = index.find(Search(annotations=(Condition(objects=objects),)))
    return {row.object for row in matches.rows("annotations")}


def test_real_objects_are_found_by_synonyms_and_parent_terms(catalogue):
    ribosomes = {"ribosome", "cytosolic ribosome", "70S ribosome", "80S ribosome with HCV-IRES"}
    for word, names in {
        "ribosome": ribosomes | {"membrane bound ribosome", "Yeast mitochondrial ribosome"},
        "RubisCO": {"RubisCO complex", "RuBisCO"},
        "TRiC": {"TRiC", "chaperonin-containing T-complex"},
        "proteasomes": {"proteasome complex", "20S proteasome", "26S proteasome"},
        "T4SS": {"type IV secretion system complex"},
    }.items():
        assert objects_of(catalogue, word) == names


def test_each_real_object_is_found_by_its_exact_name(catalogue):
    (facet,) = (each for each in count_facets(catalogue, Search()) if each.name == "objects")
    names = [value for value in facet.values if is_quoted(value.value)]  # others are kinds
    assert len(names) > 50
    for name in names:
        assert objects_of(catalogue, name.value) == {name.text}
