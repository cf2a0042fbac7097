"""Portals: packs in process, and over HTTP with a cache."""

from __future__ import annotations

import pytest

from journeys.proxy import Proxy
from napari_cryoet import (
    CryoETError,
    NetworkError,
    NotFoundError,
    PackError,
    PortalError,
    StoppedError,
    open_portal,
)
from napari_cryoet.task import Task

DATASET, OTHER_DATASET, RUN, COMMUNITY = 90001, 90002, 9001, 90903


@pytest.fixture(params=["pack", "http"])
def any_portal(request, demo_pack):
    """The same portal in process and over HTTP."""
    portal = open_portal(
        demo_pack if request.param == "pack" else request.getfixturevalue("served_demo")["graphql"]
    )
    yield portal
    portal.close()


class TestEveryPortal:
    def test_lists_all_datasets_newest_first(self, any_portal):
        catalogue = any_portal.catalogue()

        assert [row.id for row in catalogue.rows] == [OTHER_DATASET, DATASET]
        assert [row.id for row in any_portal.datasets()] == [OTHER_DATASET, DATASET]
        assert not catalogue.freshness.is_offline
        row = catalogue.rows[1]
        assert (row.run_count, row.objects[0].object_name) == (4, "cytosolic ribosome")
        assert {"Point", "OrientedPoint", "SegmentationMask", "Mesh"} <= set(row.shapes)

    def test_lists_depositions_with_their_datasets(self, any_portal):
        rows = {row.id: row for row in any_portal.depositions()}
        assert list(rows) == [90903, 90902, 90901]
        assert rows[90901].dataset_ids == (DATASET,)
        assert set(rows[COMMUNITY].enriched_dataset_ids) == {DATASET, OTHER_DATASET}

        page = any_portal.deposition_page(COMMUNITY)
        assert {dataset.dataset_id for dataset in page.datasets} == {DATASET, OTHER_DATASET}
        assert not any(dataset.is_own for dataset in page.datasets)
        assert (
            page.annotation_count == sum(dataset.annotation_count for dataset in page.datasets) > 0
        )
        assert [run.name for run in page.runs_of(DATASET)] == ["DEMO_001"]

    def test_pages_the_runs_of_a_dataset_by_name(self, any_portal):
        first = any_portal.dataset_page(DATASET, limit=3)
        rest = any_portal.dataset_page(DATASET, offset=3, limit=3)
        assert (len(first.runs), first.is_last, len(rest.runs), rest.is_last) == (3, False, 1, True)
        assert [run.name for run in (*first.runs, *rest.runs)] == [
            "DEMO_001",
            "DEMO_002",
            "DEMO_003",
            "DEMO_004",
        ]
        assert [run.id for run in any_portal.runs(DATASET)] == [
            run.id for run in (*first.runs, *rest.runs)
        ]

        page = any_portal.dataset_page(DATASET, name_contains="mo_003")
        assert ([run.name for run in page.runs], page.run_total) == (["DEMO_003"], 1)

    def test_run_page_has_all_records(self, any_portal):
        page = any_portal.run_page(RUN)

        assert page.run.name == "DEMO_001"
        assert page.default_tomogram.is_visualization_default
        assert (len(page.alignments), len(page.tilt_series)) == (2, 1)
        for file in page.annotation_files:
            assert file.shape.annotation in page.annotations
            assert file in page.files_of(file.shape)
            assert file.shape in page.shapes_of(file.shape.annotation)
            assert file.voxel_spacing.id == file.tomogram_voxel_spacing_id
        assert any_portal.annotation_file(file.id) == file
        assert any_portal.run_page(9004).default_tomogram is None

    def test_catalogue_and_runs_become_tables(self, any_portal):
        datasets = any_portal.catalogue().to_dataframe().set_index("id")
        runs = any_portal.dataset_page(DATASET).to_dataframe()

        assert datasets.loc[DATASET, "run_count"] == len(runs) == 4
        assert "cytosolic ribosome" in datasets.loc[DATASET, "objects"]
        assert "<table" in any_portal.catalogue()._repr_html_()  # what notebooks look for

    def test_run_page_finds_its_tomograms_and_files(self, any_portal):
        page = any_portal.run_page(RUN)

        assert page.tomogram() is page.default_tomogram
        assert page.tomogram("raw").processing == "raw"
        assert page.file("ribosome", shape="Point").shape.shape_type == "Point"
        with pytest.raises(NotFoundError, match="raw"):
            page.tomogram("sharpened")
        with pytest.raises(NotFoundError, match="membrane"):
            page.file("actin")
        assert len(repr(page)) < 250
        assert "\n" not in repr(page)

    def test_looks_up_ids_of_every_kind(self, any_portal):
        hits = {(hit.kind, hit.id) for hit in any_portal.lookup(RUN)}

        assert {("run", RUN), ("annotation", RUN), ("tomogram", RUN)} <= hits
        assert any_portal.lookup(424242) == ()
        for ask in (any_portal.dataset_page, any_portal.run_page, any_portal.deposition_page):
            with pytest.raises(NotFoundError, match="424242"):
                ask(424242)

    def test_can_be_stopped(self, any_portal):
        task = Task()
        task.stop()
        with pytest.raises(StoppedError):
            any_portal.run_page(RUN, task=task)


class TestCachedAnswers:
    def test_are_used_offline_with_their_date(self, served_demo, tmp_path):
        online = open_portal(served_demo["graphql"], cache_dir=tmp_path)
        seen = online.run_page(RUN)

        page = open_portal(served_demo["graphql"], cache_dir=tmp_path, offline=True).run_page(RUN)
        assert page.freshness.is_offline
        assert page.freshness.fetched_at == seen.freshness.fetched_at
        assert page.annotation_files == seen.annotation_files

    def test_are_used_if_the_server_is_down(self, served_demo, tmp_path):
        with Proxy(served_demo["graphql"]) as proxy:
            portal = open_portal(f"{proxy.url}/graphql", cache_dir=tmp_path)
            portal.run_page(RUN)

        page = portal.run_page(RUN)
        assert page.run.id == RUN
        assert page.freshness.is_offline
        assert page.freshness.reason
        with pytest.raises(NetworkError):
            portal.run_page(9002)

    def test_are_missing_before_the_first_request(self, served_demo, tmp_path):
        portal = open_portal(served_demo["graphql"], cache_dir=tmp_path, offline=True)
        assert portal.cached_catalogue() is None
        with pytest.raises(PortalError):
            portal.catalogue()

        open_portal(served_demo["graphql"], cache_dir=tmp_path).catalogue()
        assert [row.id for row in portal.cached_catalogue().rows] == [OTHER_DATASET, DATASET]


def test_invalid_sources_are_refused(served_demo, tmp_path):
    with pytest.raises(PackError):
        open_portal(tmp_path)
    for source in ("", "ftp://files.invalid/graphql", "http://[::1"):
        with pytest.raises(PortalError):
            open_portal(source)
    with pytest.raises(NetworkError, match="nowhere"):
        open_portal("http://nowhere.invalid/graphql").catalogue()
    with pytest.raises(CryoETError):
        open_portal(f"{served_demo['files']}").catalogue()
