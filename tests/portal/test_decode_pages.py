"""Pages: from the portal's own replies, records that point at their parents, in the order in which people want them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from napari_cryoet.portal import decode_pages, open_portal
from napari_cryoet.portal.catalogue import search_catalogue
from napari_cryoet.portal.pages import Freshness
from napari_cryoet.portal.queries import MAX_CONTRIBUTED_RUNS
from napari_cryoet.records import ShapeType
from portal_rows import Tables

NOW = Freshness(fetched_at=datetime(2026, 1, 2, tzinfo=UTC))


# --- replies of the portal's own server


@pytest.fixture
def real_catalogue(real_data: Path):
    data = json.loads((real_data / "catalog.reply.json").read_text())["data"]
    data["datasetAuthors"] = [
        {"datasetId": dataset["id"], **edge["node"]}
        for dataset in data["datasets"]
        for edge in dataset["authors"]["edges"]
    ]
    without_answer = ("depositionObjects", "depositionAnnotations", "depositionTomograms")
    data |= {name: {"aggregate": []} for name in without_answer}
    data |= {name: [] for name in ("depositions", "depositionAuthors", "depositionTypes")}  # the reply is older
    return decode_pages.catalogue(data, NOW)


def test_the_real_catalogue_has_all_datasets(real_catalogue):
    assert len(real_catalogue.rows) == 370
    assert real_catalogue.freshness == NOW
    dates = [row.release_date for row in real_catalogue.rows]
    assert dates == sorted(dates, reverse=True)


def test_a_row_of_the_real_catalogue_is_complete(real_catalogue):
    row = next(row for row in real_catalogue.rows if row.id == 10456)
    assert (row.run_count, row.tomogram_count, row.annotation_count) == (60, 120, 169)
    assert row.organism_name == "Homo sapiens"
    assert row.authors
    assert row.objects[0].count == max(each.count for each in row.objects)
    assert sum(each.count for each in row.objects) == row.annotation_count
    assert ShapeType.SEGMENTATION_MASK in row.shapes


def test_the_objects_of_a_real_row_are_most_annotated_first(real_catalogue):
    for row in real_catalogue.rows:
        counts = [each.count for each in row.objects]
        assert counts == sorted(counts, reverse=True)


def test_the_real_catalogue_can_be_searched(real_catalogue):
    assert search_catalogue(real_catalogue, "10456")[0].id == 10456
    found = search_catalogue(real_catalogue, "HOMO sapiens lysosome")
    assert 10456 in {row.id for row in found}
    assert all(row.organism_name == "Homo sapiens" for row in found)
    assert [row.id for row in search_catalogue(real_catalogue, "EMPIAR-10985")] == [10498]
    assert 10498 in {row.id for row in search_catalogue(real_catalogue, "10.1038/s41592-022-01690-1")}
    assert 10497 in {row.id for row in search_catalogue(real_catalogue, "danev 70S")}


@pytest.fixture
def real_run(real_data: Path, tmp_path: Path):
    """The real run, as the tables of a pack: its reply was nested, ours is flat."""
    data = json.loads((real_data / "run.reply.json").read_text())["data"]
    tables = Tables()
    (run,) = data["runs"]
    dataset = run.pop("dataset")
    deposition = dataset.pop("deposition")
    tables.add("depositions", **deposition)
    tables.add("datasets", depositionId=deposition["id"], **dataset)
    tables.add("runs", datasetId=dataset["id"], **run)
    for name in ("tomogramVoxelSpacings", "alignments", "tiltseries"):
        for row in data[name]:
            tables.add(name, runId=run["id"], **row)
    for row in data["tomograms"]:
        for number, edge in enumerate(row.pop("authors")["edges"]):
            tables.add("tomogramAuthors", tomogramId=row["id"], authorListOrder=number, **edge["node"])
        tables.add("tomograms", runId=run["id"], **row)
    for row in data["annotations"]:
        row.pop("deposition")
        for number, edge in enumerate(row.pop("authors")["edges"]):
            tables.add("annotationAuthors", annotationId=row["id"], authorListOrder=number, **edge["node"])
        for edge in row.pop("methodLinks")["edges"]:
            tables.add("annotationMethodLinks", annotationId=row["id"], **edge["node"])
        for shape in (edge["node"] for edge in row.pop("annotationShapes")["edges"]):
            for file in (edge["node"] for edge in shape.pop("annotationFiles")["edges"]):
                tables.add("annotationFiles", annotationShapeId=shape["id"], **file)
            tables.add("annotationShapes", annotationId=row["id"], **shape)
        tables.add("annotations", runId=run["id"], **row)
    return tables, open_portal(tables.write(tmp_path / "pack")).run_page(run["id"])


def test_a_real_run_is_shown_with_all_that_it_has(real_run):
    tables, page = real_run
    assert page.run.name == "lam1_ts_001"
    assert page.run.dataset.title.startswith("CryoET of NPC1-Deficient")
    assert page.run.dataset.deposition.id == 10337
    assert {each.id for each in page.annotations} == {row["id"] for row in tables["annotations"]}
    assert {each.id for each in page.annotation_shapes} == {row["id"] for row in tables["annotationShapes"]}
    assert {each.id for each in page.annotation_files} == {row["id"] for row in tables["annotationFiles"]}
    assert [each.voxel_spacing for each in page.voxel_spacings] == [14.985, 29.97]
    assert page.alignments[0].affine_transformation_matrix.startswith("[[1, 0")
    assert page.tilt_series[0].tilt_series_quality == 4


def test_the_files_of_a_real_run_point_at_their_parents(real_run):
    _, page = real_run
    for file in page.annotation_files:
        assert file.shape is not None
        assert file.shape.annotation in page.annotations
        assert file.shape.annotation.run is page.run
        assert file.voxel_spacing in page.voxel_spacings
        assert file.https_path.startswith("https://files.example.invalid/10456/lam1_ts_001/")


def test_the_default_tomogram_of_a_real_run_comes_first(real_run):
    _, page = real_run
    assert page.default_tomogram.is_visualization_default
    assert page.default_tomogram.run is page.run
    assert [author.name for author in page.default_tomogram.authors][:2] == ["Hannah Siems", "Garrett Greenan"]


# --- order


@pytest.fixture
def portal_of(tmp_path: Path):
    return lambda tables: open_portal(tables.write(tmp_path / "pack"))


def test_tomograms_are_ordered_by_what_to_open_first(portal_of):
    tables = Tables()
    run = tables.add("runs", datasetId=tables.add("datasets", depositionId=tables.add("depositions")), name="TS_1")
    wanted = [
        tables.add("tomograms", runId=run, voxelSpacing=5, isVisualizationDefault=True),
        tables.add("tomograms", runId=run, voxelSpacing=8, isPortalStandard=True),
        tables.add("tomograms", runId=run, voxelSpacing=7, isAuthorSubmitted=True, isVisualizationDefault=False),
        tables.add("tomograms", runId=run, voxelSpacing=7, isAuthorSubmitted=True, isPortalStandard=True),
        tables.add("tomograms", runId=run, voxelSpacing=20, isAuthorSubmitted=False, isPortalStandard=False),
        tables.add("tomograms", runId=run, voxelSpacing=10),
        tables.add("tomograms", runId=run, voxelSpacing=10),
    ]
    tables["tomograms"].reverse()
    page = portal_of(tables).run_page(run)
    assert [tomogram.id for tomogram in page.tomograms] == wanted


def test_annotations_are_ordered_by_object_then_by_worth(portal_of):
    tables = Tables()
    run = tables.add("runs", datasetId=tables.add("datasets", depositionId=tables.add("depositions")), name="TS_1")

    def add(name, **values):
        return tables.add("annotations", runId=run, objectName=name, **values)

    plain, recommended = add("ribosome"), add("ribosome", isCuratorRecommended=True)
    truth, other = add("Ribosome", groundTruthStatus=True), add("actin")
    assert [each.id for each in portal_of(tables).run_page(run).annotations] == [other, truth, recommended, plain]


def test_a_run_of_a_dataset_shows_its_default_tomogram(portal_of):
    tables = Tables()
    dataset = tables.add("datasets", depositionId=tables.add("depositions"))
    run = tables.add("runs", datasetId=dataset, name="TS_1")
    tables.add("tomograms", runId=run, voxelSpacing=20, sizeX=1)
    tables.add(
        "tomograms",
        runId=run,
        voxelSpacing=10,
        sizeX=2,
        isVisualizationDefault=True,
        keyPhotoThumbnailUrl="https://x.org/u",
    )
    tables.add("tiltseries", runId=run, tiltSeriesQuality=4)
    tables.add_annotation(run, shapes={}, objectName="actin")
    tables.add_annotation(run, shapes={}, objectName="ribosome")
    tables.add_annotation(run, shapes={}, objectName="ribosome")
    (row,) = portal_of(tables).dataset_page(dataset).runs
    assert (row.id, row.name, row.dataset_id) == (run, "TS_1", dataset)
    assert (row.voxel_spacing, row.size_x, row.key_photo_thumbnail_url) == (10, 2, "https://x.org/u")
    assert (row.tomogram_count, row.annotation_count, row.tilt_series_quality) == (2, 3, 4)
    assert [(each.object_name, each.count) for each in row.objects] == [("ribosome", 2), ("actin", 1)]


def test_the_default_of_very_many_tomograms_is_found(portal_of):
    tables = Tables()
    dataset = tables.add("datasets", depositionId=tables.add("depositions"))
    run = tables.add("runs", datasetId=dataset)
    for number in range(130):
        tables.add("tomograms", runId=run, voxelSpacing=20, isVisualizationDefault=None if number < 120 else False)
    tables.add("tomograms", runId=run, voxelSpacing=5, isVisualizationDefault=True)
    (row,) = portal_of(tables).dataset_page(dataset).runs
    assert (row.tomogram_count, row.voxel_spacing) == (131, 5)


def test_an_empty_run_is_a_run(portal_of):
    tables = Tables()
    dataset = tables.add("datasets", depositionId=tables.add("depositions"))
    run = tables.add("runs", datasetId=dataset, name="TS_1")
    portal = portal_of(tables)
    (row,) = portal.dataset_page(dataset).runs
    assert (row.tomogram_count, row.annotation_count, row.objects, row.voxel_spacing) == (0, 0, (), None)
    page = portal.run_page(run)
    assert (page.tomograms, page.annotations, page.default_tomogram) == ((), (), None)


def test_authors_keep_their_order_and_their_annotation(portal_of):
    tables = Tables()
    run = tables.add("runs", datasetId=tables.add("datasets", depositionId=tables.add("depositions")))
    first, second = (tables.add_annotation(run, shapes={}, objectName=name) for name in "ab")
    tables.add("annotationAuthors", annotationId=second, name="Zoe", authorListOrder=2)
    tables.add("annotationAuthors", annotationId=first, name="Bob", authorListOrder=2, primaryAuthorStatus=False)
    tables.add("annotationAuthors", annotationId=first, name="Eve", authorListOrder=1, orcid="0000-0001")
    tables.add("annotationMethodLinks", annotationId=first, link="https://x.org", linkType="website")
    annotations = portal_of(tables).run_page(run).annotations
    assert [[author.name for author in each.authors] for each in annotations] == [["Eve", "Bob"], ["Zoe"]]
    assert [link.link for link in annotations[0].method_links] == ["https://x.org"]
    assert annotations[0].authors[0].orcid == "0000-0001"


# --- depositions and look-ups


@pytest.fixture
def shared_deposition(portal_of):
    """One deposition that brought a dataset and also annotated another's."""
    tables = Tables()
    ours, theirs = tables.add("depositions", title="Ours"), tables.add("depositions", title="Theirs")
    tables.add("depositionTypes", depositionId=ours, type="dataset")
    tables.add("depositionTypes", depositionId=ours, type="annotation")
    tables.add("depositionAuthors", depositionId=ours, name="Ann", authorListOrder=1)
    own = tables.add("datasets", depositionId=ours, title="Own", organismName="yeast")
    other = tables.add("datasets", depositionId=theirs, title="Other", keyPhotoThumbnailUrl="https://x.org/u")
    tables.add("datasets", depositionId=theirs, title="Untouched")
    own_run = tables.add("runs", datasetId=own)
    tables.add("runs", datasetId=own)
    tables.add("tomograms", runId=own_run, depositionId=ours)
    for _ in range(2):
        run = tables.add("runs", datasetId=other)
        tables.add_annotation(run, shapes={}, objectName="ribosome", depositionId=ours)
        tables.add_annotation(run, shapes={}, objectName="membrane", depositionId=theirs)
    tables.add("runs", datasetId=other)
    tables.add_annotation(None, shapes={}, objectName="astray", depositionId=ours)
    tables.add("tomograms", runId=None, depositionId=ours)
    return portal_of(tables), ours, own, other


def test_a_deposition_lists_its_own_datasets_and_those_it_added_to(shared_deposition):
    portal, ours, own, other = shared_deposition
    page = portal.deposition_page(ours)
    assert [str(kind) for kind in page.deposition.kinds] == ["dataset", "annotation"]
    assert [author.name for author in page.deposition.authors] == ["Ann"]
    assert (page.tomogram_count, page.annotation_count) == (2, 3)  # with those of no run
    assert [(each.object_name, each.count) for each in page.objects] == [("ribosome", 2), ("astray", 1)]
    brought, touched = page.datasets
    assert (brought.dataset_id, brought.is_own, brought.run_count, brought.tomogram_count) == (own, True, 2, 1)
    assert (touched.dataset_id, touched.is_own, touched.run_count, touched.annotation_count) == (other, False, 2, 2)
    assert (brought.organism_name, touched.key_photo_thumbnail_url) == ("yeast", "https://x.org/u")


def test_a_deposition_says_what_it_added_by_object_and_method_and_to_which_runs(portal_of):
    tables = Tables()
    ours, theirs = tables.add("depositions", title="Ours"), tables.add("depositions", title="Theirs")
    own_run = tables.add("runs", datasetId=tables.add("datasets", depositionId=ours), name="OWN")
    other = tables.add("datasets", depositionId=theirs)
    second, first = (tables.add("runs", datasetId=other, name=name) for name in ("TS_2", "TS_1"))
    tables.add("runs", datasetId=other, name="TS_3")
    for run, name, method in (
        (own_run, "ribosome", "manual"),
        (second, "ribosome", "automated"),
        (second, "ribosome", "automated"),
        (second, "membrane", "manual"),
        (second, "ribosome", "manual"),
    ):
        tables.add_annotation(run, shapes={}, objectName=name, methodType=method, depositionId=ours)
    tables.add_annotation(second, shapes={}, objectName="theirs", depositionId=theirs)
    tables.add("tomograms", runId=first, depositionId=ours)
    tables.add("tomograms", runId=second, depositionId=theirs)
    page = portal_of(tables).deposition_page(ours)

    added = [("ribosome", "automated", 2), ("membrane", "manual", 1), ("ribosome", "manual", 1)]
    touched = page.datasets[1]
    assert [(each.object_name, each.method_type, each.count) for each in touched.contributions] == added
    assert touched.run_count == 2
    runs = page.runs_of(other)
    assert [(run.name, run.tomogram_count, run.annotation_count) for run in runs] == [("TS_1", 1, 0), ("TS_2", 0, 4)]
    assert [(each.object_name, each.method_type, each.count) for each in runs[1].contributions] == added
    assert page.runs == runs, "runs of its own dataset are on that dataset's page"


def test_a_deposition_that_added_to_very_many_runs_lists_the_first_and_counts_all(portal_of):
    tables = Tables()
    ours, theirs = tables.add("depositions"), tables.add("depositions")
    other = tables.add("datasets", depositionId=theirs)
    for number in range(MAX_CONTRIBUTED_RUNS + 20):
        run = tables.add("runs", datasetId=other, name=f"TS_{number:04}")
        tables.add_annotation(run, shapes={}, objectName="ribosome", depositionId=ours)
    page = portal_of(tables).deposition_page(ours)
    assert page.datasets[0].run_count == MAX_CONTRIBUTED_RUNS + 20
    assert [run.name for run in page.runs] == [f"TS_{number:04}" for number in range(MAX_CONTRIBUTED_RUNS)]


def test_the_catalogue_lists_depositions_with_what_they_hold(shared_deposition):
    portal, ours, own, other = shared_deposition
    row = next(row for row in portal.depositions() if row.id == ours)
    assert (row.title, [str(kind) for kind in row.kinds]) == ("Ours", ["dataset", "annotation"])
    assert [author.name for author in row.authors] == ["Ann"]
    assert (row.dataset_ids, row.enriched_dataset_ids) == ((own,), (other,))
    assert (row.tomogram_count, row.annotation_count) == (1, 3)  # a tomogram of no run is in no dataset
    assert [(each.object_name, each.count) for each in row.objects] == [("ribosome", 2), ("astray", 1)]


def test_one_id_can_belong_to_several_records(portal_of):
    tables = Tables()
    deposition = tables.add("depositions", id=500, title="Dep")
    tables.add("datasets", id=500, depositionId=deposition, title="Data")
    tables.add("runs", id=500, datasetId=500, name="TS_1")
    tables.add("tomograms", id=500, runId=500, name="TS_1", voxelSpacing=10.5, processing="denoised")
    tables.add("annotations", id=500, runId=500, objectName="ribosome")
    tables.add("annotations", id=501, runId=500, objectName="other")
    tables.add("alignments", id=500, runId=500, alignmentMethod="patch_tracking")
    tables.add("tiltseries", id=500, runId=500, cameraModel="K3")
    hits = {hit.kind: hit for hit in portal_of(tables).lookup(500)}
    assert set(hits) == {"dataset", "deposition", "run", "tomogram", "annotation", "alignment", "tilt series"}
    assert [hits[kind].title for kind in ("dataset", "deposition", "run")] == ["Data", "Dep", "TS_1"]
    assert hits["tomogram"].title == "TS_1 denoised 10.5 Å"
    assert hits["alignment"].title == "patch tracking"
    assert all(hits[kind].run_name == "TS_1" for kind in ("run", "tomogram", "annotation", "alignment", "tilt series"))
    assert all(hit.dataset_id == 500 for kind, hit in hits.items() if kind != "deposition")
