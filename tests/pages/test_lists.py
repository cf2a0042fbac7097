"""Rows and messages of the lists of datasets, runs and depositions."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from napari_cryoet.discovery.advice import Advice
from napari_cryoet.discovery.matches import ListedRun
from napari_cryoet.discovery.search import Chip, Search
from napari_cryoet.pages.lists import (
    Answer,
    deposition_row,
    found_run_row,
    holdings,
    nothing_found,
    objects_text,
    run_row,
)
from napari_cryoet.portal.pages import ObjectCount, RunRow
from qt.fake_depositions import enriching_row, owning_row
from qt.fake_portal import FakePortal

OBJECTS = [
    ObjectCount(object_name=name, count=5 - n)
    for n, name in enumerate(("ribosome", "FAS", "actin", "NPC"))
]


def test_objects_beyond_the_limit_are_counted():
    assert objects_text(OBJECTS) == "ribosome · FAS · actin  +1"
    assert objects_text(OBJECTS, 1) == "ribosome  +3"


def test_rival_annotations_of_an_object_are_not_added_up():
    run = ListedRun(
        objects=("ribosome", "membrane", "FAS"),
        object_counts=(85, 0, 7),
        object_annotations=(5, 2, 1),
    )
    row = found_run_row(run, Answer(Search()))
    assert row.lines[1][0] == "ribosome 85 (largest of 5) · membrane (2 annotations) · FAS 7"


def test_a_run_row_shows_bytes_per_tomogram():
    run = RunRow(
        id=1, name="", dataset_id=1, tomogram_count=2, voxel_spacing=10.0, file_size_omezarr=1.66e9
    )
    assert run_row(run).title == "RN-1"
    assert run_row(run).lines[0][0] == "2 tomograms · 10 Å · 1.66 GB per tomogram"
    assert run_row(replace(run, tomogram_count=1)).lines[0] == ("1 tomogram · 10 Å · 1.66 GB",)


def test_a_row_counts_own_and_enriched_datasets():
    rows = FakePortal().rows
    enriching, owning = (
        deposition_row(row, Answer(Search())) for row in (enriching_row(rows), owning_row(rows))
    )
    assert enriching.title == "Picks by <b>deep</b> learning & more"
    assert enriching.lines[0] == "CZCDP-10310 · adds to 1 dataset"
    assert owning.lines[0] == "CZCDP-10300 · 3 datasets"
    assert owning.lines[1][0] == "309 annotations · cytosolic ribosome"
    assert "1 Jun 2024" in enriching.tooltip


def test_the_page_lists_own_and_enriched_datasets():
    heading, *rows = holdings(FakePortal().deposition_page(10300))
    assert heading.title == "Its datasets (3)"
    assert [row.record.dataset_id for row in rows] == [10000, 10001, 10002]
    heading, dataset = holdings(FakePortal().deposition_page(10310))
    assert heading.title == "Added to other datasets (1)"
    assert dataset.record.dataset_id == 10000
    assert [(row.title, row.right[0] if row.right else "") for row in dataset.children] == [
        ("cytosolic ribosome", "4 automated"),
        ("membrane", "1 manual"),
        ("TS_006", "1 tomogram · 5 annotations"),
        ("… and 1 more run of this dataset", ""),
    ]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(Search()), "This source has no runs."),
        (Answer(Search(text="xyz")), "No run matches “xyz”."),
        (
            Answer(
                Search(text="xyz", processing=("denoised",)),
                advice=Advice(unknown=("xyz",), to_drop=Chip("xyz", Search()), n_without=2),
            ),
            "No run matches all filters. Nothing here is called “xyz”. Without “xyz”, there are 2.",
        ),
    ],
)
def test_an_empty_list_says_why(answer, message):
    assert " ".join(nothing_found("run", answer)).startswith(message)
