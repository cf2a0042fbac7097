"""Lists have one row for each match, with the values of the tables."""

from __future__ import annotations

import pytest

from napari_cryoet.discovery.matches import sorted_rows
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.exceptions import CryoETError, FormatError

SEARCH = Search(
    processing=("raw",),
    annotations=(
        Condition(objects=("ribosome",)),
        Condition(objects=("membrane",), shapes=("SegmentationMask",)),
    ),
)


@pytest.fixture(scope="module")
def matches(index):
    matches = index.find(SEARCH)
    assert matches.run_ids
    return matches


def by_id(rows, table):
    return {row["id"]: row for row in rows[table]}


def bytes_of(rows, annotation_id):
    shapes = {row["id"] for row in rows["annotationShapes"] if row["annotationId"] == annotation_id}
    return sum(
        row["fileSize"] for row in rows["annotationFiles"] if row["annotationShapeId"] in shapes
    )


def test_annotations_match_the_conditions(index, matches, rows):
    listed = matches.rows("annotations")
    assert {row.annotation_id for row in listed} == {
        each for ids in matches.annotation_ids for each in ids
    }
    annotations, runs = by_id(rows, "annotations"), by_id(rows, "runs")
    for row in listed:
        annotation = annotations[row.annotation_id]
        authors = [
            each["name"]
            for each in rows["annotationAuthors"]
            if each["annotationId"] == row.annotation_id
        ]
        assert (row.object, row.count, row.method) == tuple(
            annotation[name] for name in ("objectName", "objectCount", "methodType")
        )
        assert row.is_ground_truth == annotation["groundTruthStatus"]
        assert (row.run_id, row.run) == (annotation["runId"], runs[row.run_id]["name"])
        assert row.dataset_id == runs[row.run_id]["datasetId"]
        assert row.deposition_id == annotation["depositionId"]
        assert row.size_bytes == bytes_of(rows, row.annotation_id)
        assert list(row.authors) == authors


def test_runs_and_datasets_count_their_matches(index, matches, rows):
    runs = matches.rows("runs")
    assert sorted(row.run_id for row in runs) == list(matches.run_ids)
    annotations = matches.rows("annotations")
    tomograms = matches.rows("tomograms")
    assert {row.tomogram_id for row in tomograms} == set(matches.tomogram_ids)
    assert {(row.processing, row.size_x, row.size_bytes) for row in tomograms} == {
        ("raw", 960, 1_600_000_000)
    }
    for row in runs:
        own = [each for each in annotations if each.run_id == row.run_id]
        volumes = [each for each in tomograms if each.run_id == row.run_id]
        assert (row.n_annotations, row.n_tomograms) == (len(own), len(volumes))
        assert row.size_bytes == sum(each.size_bytes for each in (*own, *volumes))
        assert set(row.objects) == {each.object for each in own}
        rivals = zip(row.objects, row.object_counts, row.object_annotations, strict=True)
        for name, largest, n_annotations in rivals:
            counts = [each.count for each in own if each.object == name]
            assert (largest, n_annotations) == (max(counts), len(counts))
        assert row.spacings_angstrom == tuple(sorted({each.spacing_angstrom for each in volumes}))
        identified = [each for each in rows["identifiedObjects"] if each["runId"] == row.run_id]
        assert row.identified == tuple(each["objectName"] for each in identified)
        (series,) = (each for each in rows["tiltseries"] if each["runId"] == row.run_id)
        assert row.tilt_quality == series["tiltSeriesQuality"]
    datasets = matches.rows("datasets")
    assert [row.dataset_id for row in datasets] == list(matches.dataset_ids)
    for row in datasets:
        assert row.n_runs == sum(each.dataset_id == row.dataset_id for each in runs)
        assert row.n_annotations == sum(each.dataset_id == row.dataset_id for each in annotations)
        assert row.title == by_id(rows, "datasets")[row.dataset_id]["title"]


def test_lists_are_sorted_by_any_field(index, matches):
    listed = matches.rows("annotations")
    counts = [row.count for row in sorted_rows(listed, "count")]
    assert counts == sorted(counts, reverse=True)
    names = [row.object for row in sorted_rows(listed, "object")]
    assert names == sorted(names, key=str.casefold)
    with pytest.raises(FormatError, match="annotation_id"):
        sorted_rows(listed, "colour")
    assert sorted_rows((), "count") == ()


def test_words_and_single_values_make_the_same_search(index) -> None:
    search = Search(processing=("raw",), annotations=(Condition(objects=("ribosome",)),))
    matches = index.find(processing="raw", objects="ribosome")

    assert matches.search == search
    assert index.find("yeast").search == Search(text="yeast")
    assert Search(annotations=Condition(objects="ribosome")).annotations == search.annotations
    spelled = {"methods": "Manual", "shapes": "segmentation-mask", "sample_types": "cell line"}
    assert index.find(**spelled).search == Search(
        sample_types=("cell_line",),
        annotations=(Condition(methods=("manual",), shapes=("SegmentationMask",)),),
    )
    frame = matches.to_dataframe("runs")
    assert frame["run_id"].tolist() == list(matches.run_ids)
    assert "\n" not in repr(matches) + repr(index)


def test_wrong_fields_and_kinds_name_what_fits(index) -> None:
    with pytest.raises(TypeError, match="processing_software"):
        index.find(processed="raw")
    with pytest.raises(CryoETError, match="SIRT"):
        index.find(reconstruction="wpb")
    with pytest.raises(TypeError, match="range"):
        index.find(spacing_angstrom=10)
    with pytest.raises(CryoETError, match="tomograms"):
        index.find().rows("run")


def test_matches_become_tables_of_a_known_kind(index):
    matches = index.find(organisms="Vitreous")
    for kind in ("datasets", "runs", "annotations", "tomograms"):
        every = index.find().to_dataframe(kind)
        assert len(every) == index.count(kind)
        assert [*matches.to_dataframe(kind)] == [*every]
    with pytest.raises(CryoETError, match="tomograms"):
        Search(has="tomogram")
