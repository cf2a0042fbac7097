"""The demo's rows agree with the portal's schema, with each other and with the disk."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from napari_cryoet.demo.rows import MANIFEST
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.records import ShapeType
from packs.pack_check import problems_of

SIZES = {
    ("tomograms", "httpsOmezarrDir"): "fileSizeOmezarr",
    ("tomograms", "httpsMrcFile"): "fileSizeMrc",
    ("tiltseries", "httpsOmezarrDir"): "fileSizeOmezarr",
    ("tiltseries", "httpsMrcFile"): "fileSizeMrc",
    ("annotationFiles", "httpsPath"): "fileSize",
    ("datasets", "httpsPrefix"): "fileSize",
}


@pytest.fixture(scope="module")
def pack(demo_pack):
    return open_pack(demo_pack)


@pytest.fixture(scope="module")
def tables(pack):
    return {name: pack.tables[name] for name in pack.tables}


def by_id(rows):
    return {row["id"]: row for row in rows}


def test_a_check_of_the_whole_pack_finds_nothing_wrong(pack):
    assert problems_of(pack, with_files=True) == ()


def test_addresses_lead_to_files_of_the_size_that_rows_say(pack, tables):
    checked = Counter()
    for name, rows in tables.items():
        for row in rows:
            for column in [column for column in row if column.startswith("https")]:
                key = row[column].removeprefix(MANIFEST.https_prefix)
                assert row[column.replace("https", "s3", 1)] == MANIFEST.s3_prefix + key
                if size_column := SIZES.get((name, column)):
                    path = pack.files / key
                    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
                    assert row[size_column] == sum(file.stat().st_size for file in files) > 0
                    checked[name, column] += 1
    assert checked.keys() == SIZES.keys()


def test_the_demo_has_what_it_is_there_to_show(tables):
    runs = by_id(tables["runs"])
    assert {run_id: run["name"] for run_id, run in runs.items()} == {
        **{9000 + number: f"DEMO_00{number}" for number in range(1, 5)},
        **{9004 + number: f"MIX_00{number}" for number in range(1, 4)},
    }
    assert set(by_id(tables["datasets"])) == {90001, 90002}
    assert set(by_id(tables["depositions"])) == {90901, 90902, 90903}
    tomograms = Counter(runs[row["runId"]]["name"] for row in tables["tomograms"])
    annotations = Counter(runs[row["runId"]]["name"] for row in tables["annotations"])
    assert (tomograms["DEMO_003"], annotations["DEMO_003"], tomograms["DEMO_004"]) == (1, 0, 0)
    assert {row["shapeType"] for row in tables["annotationShapes"]} == set(ShapeType)
    own = [row for row in tables["tomograms"] if row["runId"] == 9001]
    assert {row["processing"] for row in own} == {"raw", "denoised"}
    assert len({(row["alignmentId"], row["voxelSpacing"]) for row in own}) == 3
    assert None in {row["alignmentId"] for row in tables["annotationFiles"]}
    defaults = Counter(row["runId"] for row in tables["tomograms"] if row["isVisualizationDefault"])
    assert defaults == dict.fromkeys({row["runId"] for row in tables["tomograms"]}, 1)


def test_one_object_is_annotated_in_several_ways_and_by_others(tables):
    ribosomes = [row for row in tables["annotations"] if row["objectId"] == "GO:0022626" and row["runId"] == 9001]
    assert {row["methodType"] for row in ribosomes} == {"simulated", "manual", "hybrid", "automated"}
    assert sum(row["groundTruthStatus"] for row in ribosomes) == 1
    shapes, annotations = by_id(tables["annotationShapes"]), by_id(tables["annotations"])
    for file in tables["annotationFiles"]:
        deposition_id = annotations[shapes[file["annotationShapeId"]]["annotationId"]]["depositionId"]
        assert file["source"] == ("community" if deposition_id == 90903 else "dataset_author")


def test_photos_are_pictures_of_the_data(pack, tables):
    rows = [row for name in ("datasets", "depositions", "tomograms") for row in tables[name] if row.get("keyPhotoUrl")]
    assert len(rows) == 2 + 2 + len(tables["tomograms"])
    for row in rows:
        for column, longest_side in (("keyPhotoUrl", 512), ("keyPhotoThumbnailUrl", 134)):
            picture = Image.open(pack.files / row[column].removeprefix(MANIFEST.https_prefix))
            assert max(picture.size) == longest_side
            assert np.asarray(picture).std() > 20
