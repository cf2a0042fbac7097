"""Searches find everything that meets them, and nothing else."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from msgspec.structs import replace

from napari_cryoet.discovery.as_python import client_script
from napari_cryoet.discovery.facets import count_facets
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.discovery.search import Condition, Search, chips, search_from
from napari_cryoet.exceptions import FormatError
from napari_cryoet.portal.portal import open_portal
from portal_rows import Tables


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Index:
    """Two datasets.

    Run A has ribosome points and a membrane mask, B the points, C a mask, E nothing.
    """
    tables = Tables()
    tables.add("depositions", id=1, title="First")
    tables.add("depositions", id=2, title="Second")
    tables.add("datasets", id=10, depositionId=1, organismName="Homo sapiens", sampleType="cell_line", title="HeLa",
               releaseDate="2024-03-01T00:00:00+00:00")  # fmt: skip
    tables.add("datasets", id=11, depositionId=2, organismName="not_reported", sampleType="in_vitro", title="Liposomes",
               releaseDate="2025-07-01T00:00:00+00:00")  # fmt: skip
    tables.add(
        "datasets", id=12, depositionId=2, title="No runs", releaseDate="2025-01-01T00:00:00+00:00"
    )
    for run, name in enumerate("ABCDE", start=100):
        tables.add("runs", id=run, datasetId=11 if name in "DE" else 10, name=name)
    points = {"Point": ["ndjson"], "OrientedPoint": ["ndjson"]}
    mask = {"SegmentationMask": ["mrc", "zarr"]}
    truth, manual = {"groundTruthStatus": True}, {"methodType": "manual"}
    automated = {"methodType": "automated"}
    membrain = {"annotationSoftware": "MemBrain-seg v2"}
    annotations = (
        (1, 100, "cytosolic ribosome", points, truth | manual | {"objectCount": 838}),
        (2, 100, "membrane", mask, automated | membrain),
        (3, 101, "80S ribosome", points, automated | {"objectCount": 12}),
        (4, 101, "ribosome", mask, automated | truth),
        (5, 102, "plasma membrane", mask, manual),
        (6, 103, "large ribosomal subunit", points, manual | {"objectCount": 5, "depositionId": 1}),
    )
    for number, run, name, shapes, cells in annotations:
        tables.add_annotation(run, id=number, objectName=name, shapes=shapes, objectId="", **cells)
    tables.add(
        "identifiedObjects", runId=104, objectId="GO:0000502", objectName="proteasome complex"
    )
    tables.add("annotationAuthors", annotationId=1, name="Irene de Teresa-Trueba")
    tables.add("annotationAuthors", annotationId=3, name="Alba Trueba")
    denoised = {"processing": "denoised", "processingSoftware": "cryoCARE"}
    raw = {"processing": "raw"}
    tables.add("tomograms", id=1, runId=100, depositionId=1, voxelSpacing=13.48, **raw)
    tables.add("tomograms", id=2, runId=100, depositionId=1, voxelSpacing=10.012, **denoised)
    tables.add("tomograms", id=3, runId=101, depositionId=2, voxelSpacing=7.8, **raw)
    tables.add("tiltseries", runId=100, depositionId=1, tiltRange=120.0, tiltSeriesQuality=5)
    tables.add("tiltseries", runId=101, depositionId=1, tiltRange=78.0, tiltSeriesQuality=4)
    frame = tables.add("frames", runId=100, depositionId=1)
    tables.add("perSectionParameters", runId=100, frameId=frame, majorDefocus=30000.0)
    tables.add("perSectionParameters", runId=101, frameId=frame)
    return read_index(open_portal(tables.write(tmp_path_factory.mktemp("small"))))


TRUE = Condition(is_ground_truth=True)
RIBOSOMES, MASKS = Condition(objects=("ribosomes",)), Condition(shapes=("SegmentationMask",))


def test_runs_meeting_all_criteria_are_found(small):
    for criteria, runs in (
        ({"organisms": ("sapiens",)}, [100, 101, 102]),
        ({"organisms": ('"Homo"',)}, []),
        ({"depositions": (1,)}, [100, 101, 102, 103]),  # of the dataset or an annotation
        ({"depositions": (2,)}, [101, 103, 104]),  # or a tomogram
        ({"released": (date(2025, 7, 1), None)}, [103, 104]),
        # 10.012 is called 10
        ({"processing": ("denoised",), "spacing_angstrom": (None, 10)}, [100]),
        # not of the same tomogram
        ({"processing": ("denoised",), "spacing_angstrom": (13, None)}, []),
        ({"tilt_range_degrees": (100, None)}, [100]),
        ({"tilt_quality": (4, 5)}, [100, 101]),
        ({"has": ("frames",)}, [100]),
        ({"has": ("ctf", "tiltseries", "annotations", "tomograms")}, [100]),
        ({"annotations": (RIBOSOMES,)}, [100, 101]),
        ({"annotations": (RIBOSOMES, Condition(objects=("membrane",), shapes=("SegmentationMask",)))}, [100]),
        ({"annotations": (Condition(objects=("ribosome",), shapes=("Point",), is_ground_truth=True),)}, [100]),
        ({"annotations": (Condition(objects=('"ribosome"',)),)}, [101]),
        ({"annotations": (Condition(objects=("proteasome",)),)}, [104]),  # identified
        ({"annotations": (Condition(objects=("GO:0000502", "membrane")),)}, [100, 102, 104]),
        ({"annotations": (Condition(objects=("proteasome",), is_ground_truth=False),)}, []),
        ({"text": "proteasome"}, [104]),
        ({"annotations": (Condition(authors=("teresa trueba",)),)}, [100]),
        ({"annotations": (Condition(authors=("trueba",), min_count=100),)}, [100]),
        ({"annotations": (Condition(methods=("manual",), is_ground_truth=False),)}, [102, 103]),
        ({"text": "hela ribosome"}, [100, 101]),
        ({"text": "B"}, [100, 101, 102, 103]),  # occurs in names of objects
        ({"text": "liposome ribosomal"}, [103]),
        ({"text": "RN-101"}, [101]),
        ({"text": "RN-10"}, []),
        ({"text": "go:0000502"}, [104]),
        ({"annotations": (Condition(objects=("ribosme",)),)}, [100, 101]),
        # words and conditions are about one annotation
        ({"text": "ribosome", "annotations": (TRUE,)}, [100, 101]),
        ({"text": "ribosme", "annotations": (TRUE,)}, [100, 101]),
        ({"text": "80S", "annotations": (TRUE,)}, []),
        ({"text": "membrane", "annotations": (TRUE,)}, []),
        ({"text": "hela", "annotations": (TRUE,)}, [100, 101]),  # of its dataset
        ({"text": "membrain", "annotations": (Condition(methods=("automated",)),)}, [100]),
        ({"text": "membrain", "annotations": (RIBOSOMES,)}, []),
        ({"text": "membrane", "annotations": (RIBOSOMES, MASKS)}, [100]),
        ({"text": "proteasome", "annotations": (Condition(objects=("proteasome",)),)}, [104]),
    ):  # fmt: skip
        assert list(small.find(Search(**criteria)).run_ids) == runs, criteria


def test_matches_list_datasets_and_rows_for_each_condition(small):
    matches = small.find(Search(annotations=(RIBOSOMES, MASKS), processing=("denoised",)))
    assert (matches.dataset_ids, matches.run_ids) == ((10,), (100,))
    assert (matches.annotation_ids, matches.tomogram_ids) == (((1,), (2,)), (2,))
    assert small.find(Search()).dataset_ids == (11, 12, 10)  # newest first
    assert small.find(Search(annotations=(RIBOSOMES, MASKS))).annotation_ids == ((1, 3, 4), (2, 4))
    worded = small.find(Search(text="80S", annotations=(Condition(methods=("automated",)),)))
    assert worded.annotation_ids == ((3,),)
    misspelt = small.find(objects="ribosme")
    assert misspelt.corrections == {"ribosme": ("ribosome",)}


def test_words_may_match_different_runs_of_a_dataset(small):
    matches = small.find(Search(text="80S plasma"))
    assert (matches.dataset_ids, matches.run_ids) == ((10,), ())


def test_a_search_round_trips_as_json():
    search = Search(
        text="hela",
        released=(date(2024, 1, 1), None),
        spacing_angstrom=(None, 10.0),
        annotations=(Condition(objects=("ribosome",), is_ground_truth=False, min_count=10),),
    )
    plain = search.to_dict()
    assert search_from(plain) == search
    assert search_from(msgspec.toml.decode(msgspec.toml.encode(plain))) == search
    assert Search().to_dict() == {}


def test_errors_name_the_invalid_field():
    for data in ({"txt": "a"}, {"has": ["pixels"]}, {"spacing_angstrom": {"most": 1}}, {"text": 1}):
        with pytest.raises(FormatError, match=next(iter(data))):
            search_from(data)


def test_each_choice_is_a_removable_chip():
    search = Search(
        text="hela",
        organisms=('"Homo sapiens"', "mouse"),
        spacing_angstrom=(None, 10.0),
        has=("ctf",),
        annotations=(Condition(objects=("ribosome",), is_ground_truth=True, min_count=100),),
    )
    listed = chips(search)
    assert [chip.text for chip in listed] == [
        *("any ribosome", "ground truth", "≥ 100 picks"),
        *("Homo sapiens", "mouse", "≤ 10 Å", "has CTF estimates"),
    ]
    assert listed[3].without == replace(search, organisms=("mouse",))
    while listed := chips(search):
        search = listed[-1].without
    assert search == Search(text="hela")


def test_a_portal_without_runs_can_be_searched(tmp_path):
    tables = Tables()
    tables.add("datasets", id=10, depositionId=tables.add("depositions"), title="Lonely")
    index = read_index(open_portal(tables.write(tmp_path)))
    full = Search(
        text="lonly",
        processing=("raw",),
        annotations=(Condition(objects=("ribosome",), authors=("a",)),),
    )
    assert index.find(Search(text="lonely")).dataset_ids == (10,)
    assert index.find(full).run_ids == ()
    for unit in ("datasets", "runs"):
        assert count_facets(index, full, unit)
    for kind in ("datasets", "runs", "annotations", "tomograms"):
        assert len(index.find().rows(kind)) == (kind == "datasets")
    assert client_script(index, full)
