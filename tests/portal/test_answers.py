"""Pages from the portal's replies: sorted records that refer to their parents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_cryoet.exceptions import PortalError
from napari_cryoet.portal import answers
from napari_cryoet.portal.answers import PortalAnswer
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.records import MAX_ID, Terms
from portal_rows import Tables, real_run


@pytest.fixture
def portal_of(tmp_path: Path):
    return lambda tables: open_portal(tables.write(tmp_path / "pack"))


def run_in(tables: Tables, **values) -> int:
    dataset = tables.add("datasets", depositionId=tables.add("depositions"))
    return tables.add("runs", datasetId=dataset, **values)


@pytest.fixture
def real_reply(real_data: Path):
    """The catalogue's reply; ours is flat and includes depositions."""
    data = json.loads((real_data / "catalog.reply.json").read_text())["data"]
    data["datasetAuthors"] = [
        {"datasetId": dataset["id"], **edge["node"]}
        for dataset in data["datasets"]
        for edge in dataset.pop("authors")["edges"]
    ]
    return data | {name: [] for name in ("depositions", "depositionAuthors", "depositionTypes")}


def test_the_real_catalogue_is_complete(real_reply):
    catalogue = answers.catalogue(PortalAnswer(real_reply))
    assert len(catalogue.rows) == 370
    assert all(
        row.objects == tuple(sorted(row.objects, key=lambda each: -each.count))
        for row in catalogue.rows
    )
    row = next(row for row in catalogue.rows if row.id == 10456)
    assert (row.run_count, row.tomogram_count, row.annotation_count) == (60, 120, 169)
    assert (row.organism_name, bool(row.authors)) == ("Homo sapiens", True)
    assert "SegmentationMask" in row.shapes
    counts = real_reply["annotationCounts"]["aggregate"]  # counted by the server in another way
    assert sum(row.annotation_count for row in catalogue.rows) == sum(
        group["count"] for group in counts
    )


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("datasets", 3, "id"), MAX_ID + 1, r"\[3\].id`, in datasets"),
        (("datasets",), None, "datasets"),
        (("runCounts", "aggregate", 0, "count"), "9", r"\[0\].count`, in runCounts"),
    ],
)
def test_errors_name_fields_that_violate_the_schema(real_reply, path, value, word):
    target = real_reply
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(PortalError, match=word):
        answers.catalogue(PortalAnswer(real_reply))


def test_a_real_run_has_all_records_and_parents(real_data, portal_of):
    reply, tables = real_run(real_data / "run.reply.json")
    page = portal_of(tables).run_page(reply["runs"][0]["id"])
    assert page.run.name == "lam1_ts_001"
    assert page.run.dataset.title.startswith("CryoET of NPC1-Deficient")
    assert page.run.dataset.deposition.id == 10337
    assert page.run.terms == page.run.dataset.terms == Terms()  # the pack's, which says nothing
    for name, records in (
        ("annotations", page.annotations),
        ("annotationShapes", page.annotation_shapes),
        ("annotationFiles", page.annotation_files),
    ):
        assert {each.id for each in records} == {row["id"] for row in tables[name]}
    for file in page.annotation_files:
        assert file.shape.annotation in page.annotations
        assert file.shape.annotation.run is page.run
        assert file.voxel_spacing in page.voxel_spacings
    assert [each.voxel_spacing for each in page.voxel_spacings] == [14.985, 29.97]
    assert page.default_tomogram.is_visualization_default
    assert [author.name for author in page.default_tomogram.authors][:2] == [
        "Hannah Siems",
        "Garrett Greenan",
    ]


def test_tomograms_are_ordered_by_priority(portal_of):
    tables = Tables()
    run = run_in(tables, name="TS_1")
    expected = [
        tables.add("tomograms", runId=run, voxelSpacing=5, isVisualizationDefault=True, sizeX=2),
        tables.add(
            "tomograms",
            runId=run,
            voxelSpacing=7,
            isVisualizationDefault=False,
            isAuthorSubmitted=True,
        ),
        tables.add(
            "tomograms", runId=run, voxelSpacing=7, isAuthorSubmitted=True, isPortalStandard=True
        ),
        tables.add("tomograms", runId=run, voxelSpacing=8, isPortalStandard=True),
        tables.add(
            "tomograms", runId=run, voxelSpacing=20, isAuthorSubmitted=False, isPortalStandard=False
        ),
        *(tables.add("tomograms", runId=run, voxelSpacing=10) for _ in range(130)),
    ]
    tables["tomograms"].reverse()
    portal = portal_of(tables)
    assert [tomogram.id for tomogram in portal.run_page(run).tomograms] == expected
    (row,) = portal.dataset_page(tables["datasets"][0]["id"]).runs
    assert (row.tomogram_count, row.voxel_spacing, row.size_x) == (135, 5, 2)


def test_annotations_and_authors_are_ordered(portal_of):
    tables = Tables()
    run = run_in(tables)
    first, other = (
        tables.add("annotations", runId=run, objectName=name) for name in ("ribosome", "actin")
    )
    tables.add("annotationAuthors", annotationId=first, name="Zoe", authorListOrder=2)
    tables.add("annotationAuthors", annotationId=other, name="Bob", authorListOrder=2)
    tables.add(
        "annotationAuthors", annotationId=other, name="Eve", authorListOrder=1, orcid="0000-0001"
    )
    tables.add(
        "annotationMethodLinks", annotationId=other, link="https://x.org", linkType="website"
    )
    annotations = portal_of(tables).run_page(run).annotations
    assert [each.id for each in annotations] == [other, first]
    names = [[author.name for author in each.authors] for each in annotations]
    assert names == [["Eve", "Bob"], ["Zoe"]]
    assert [link.link for link in annotations[0].method_links] == ["https://x.org"]


def test_runs_have_counts_even_if_empty(portal_of):
    tables = Tables()
    run = run_in(tables, name="TS_1")
    empty = tables.add("runs", datasetId=tables["datasets"][0]["id"], name="TS_2")
    for name in ("actin", "ribosome", "ribosome", ""):
        tables.add_annotation(run, shapes={}, objectName=name)
    portal = portal_of(tables)
    full, bare = portal.dataset_page(tables["datasets"][0]["id"]).runs
    assert full.annotation_count == 4
    counts = [(each.object_name, each.count) for each in full.objects]
    assert counts == [("ribosome", 2), ("", 1), ("actin", 1)]
    assert (bare.tomogram_count, bare.annotation_count) == (0, 0)
    assert (bare.objects, bare.voxel_spacing) == ((), None)
    assert (portal.run_page(empty).tomograms, portal.run_page(empty).default_tomogram) == ((), None)


@pytest.fixture
def shared(portal_of):
    """A deposition with its own dataset and annotations in another's: the portal, and ids by name."""
    tables = Tables()
    ids = {
        "ours": tables.add("depositions", title="Ours"),
        "theirs": tables.add("depositions", title="Theirs"),
    }
    ours, theirs = ids.values()
    for kind in ("dataset", "annotation"):
        tables.add("depositionTypes", depositionId=ours, type=kind)
    tables.add("depositionAuthors", depositionId=ours, name="Ann", authorListOrder=1)
    ids["own"] = tables.add("datasets", depositionId=ours, title="Own", organismName="yeast")
    ids["other"] = tables.add(
        "datasets", depositionId=theirs, title="Other", keyPhotoThumbnailUrl="https://x.org/u"
    )
    tables.add("datasets", depositionId=theirs, title="Untouched")
    own_run = tables.add("runs", datasetId=ids["own"], name="OWN")
    tables.add("runs", datasetId=ids["own"])
    second, first = (
        tables.add("runs", datasetId=ids["other"], name=name) for name in ("TS_2", "TS_1")
    )
    tables.add("runs", datasetId=ids["other"], name="TS_3")
    for run, name, method in (
        (own_run, "ribosome", "manual"),
        (second, "ribosome", "automated"),
        (second, "ribosome", "automated"),
        (second, "membrane", "manual"),
        (second, "", "manual"),
    ):
        tables.add_annotation(run, shapes={}, objectName=name, methodType=method, depositionId=ours)
    tables.add_annotation(second, shapes={}, objectName="theirs", depositionId=theirs)
    tables.add("tomograms", runId=first, depositionId=ours)
    tables.add("tomograms", runId=second, depositionId=theirs)
    return portal_of(tables), ids


def test_a_deposition_lists_its_datasets_and_additions_to_others(shared):
    portal, ids = shared
    page = portal.deposition_page(ids["ours"])
    assert page.deposition.kinds == ("dataset", "annotation")
    assert [author.name for author in page.deposition.authors] == ["Ann"]
    assert (page.tomogram_count, page.annotation_count) == (1, 5)
    assert [(each.object_name, each.count) for each in page.objects][:1] == [("ribosome", 3)]
    brought, touched = page.datasets
    assert (brought.dataset_id, brought.is_own) == (ids["own"], True)
    assert (brought.run_count, brought.annotation_count) == (2, 1)
    assert (touched.dataset_id, touched.is_own, touched.run_count) == (ids["other"], False, 2)
    assert (touched.tomogram_count, touched.annotation_count) == (1, 4)
    assert (brought.organism_name, touched.key_photo_thumbnail_url) == ("yeast", "https://x.org/u")
    added = [("ribosome", "automated", 2), ("", "manual", 1), ("membrane", "manual", 1)]
    assert [(each.object_name, each.method_type, each.count) for each in touched.objects] == added
    runs = page.runs_of(ids["other"])
    counts = [(run.name, run.tomogram_count, run.annotation_count) for run in runs]
    assert counts == [("TS_1", 1, 0), ("TS_2", 0, 4)]
    assert page.runs_of(ids["own"]) == ()
