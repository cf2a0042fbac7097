"""The demo's rows are complete, agree with the portal's schema, with each other and with the disk."""

import json
from collections import Counter
from datetime import datetime

import pytest

from napari_cryoet.packs.demo.content import CELL_DATASET, HTTPS_PREFIX, MIXTURE_DATASET, S3_PREFIX
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.packs.portal_zarr import folder_bytes
from napari_cryoet.records import ShapeType
from napari_cryoet.tables import schema
from packs.pack_check import problems_of

PYTHON_TYPES = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "text": str,
    "date": str,
    "matrix": list,
}


@pytest.fixture(scope="module")
def pack(demo_pack):
    return open_pack(demo_pack)


@pytest.fixture(scope="module")
def tables(pack):
    return {name: pack.tables[name] for name in schema.tables()}


def by_id(rows):
    return {row["id"]: row for row in rows}


def on_disk(pack, url):
    for prefix in (HTTPS_PREFIX, S3_PREFIX):
        if url.startswith(prefix):
            return pack.files / url.removeprefix(prefix)
    raise AssertionError(f"{url} starts with none of the manifest's prefixes")


@pytest.mark.parametrize("name", sorted(schema.tables()))
def test_every_row_has_the_schemas_columns_and_types(tables, name):
    columns = schema.tables()[name].columns
    for row in tables[name]:
        assert set(row) <= set(columns), "no column that the schema lacks"
        for column in columns.values():
            if column.is_required and column.name != "_id":
                assert row.get(column.name) is not None, (name, row["id"], column.name)
            value = row.get(column.name)
            if value is None:
                continue
            assert isinstance(value, PYTHON_TYPES[column.kind]), (name, column.name, value)
            assert (column.kind == "bool") == isinstance(value, bool)
            if column.kind == "enum":
                assert value in column.words
            if column.kind == "date":
                assert datetime.fromisoformat(value).tzinfo is not None


def test_a_check_of_the_whole_pack_finds_nothing_wrong(pack):
    assert problems_of(pack, with_files=True) == ()


@pytest.mark.parametrize("name", sorted(schema.tables()))
def test_every_foreign_key_leads_to_a_row(tables, name):
    for relation in schema.tables()[name].parents.values():
        known = {row["id"] for row in tables[relation.table]}
        for row in tables[name]:
            key = row.get(relation.key)
            assert key is None or key in known, (name, row["id"], relation.key)


def test_relations_within_a_run_stay_within_it(tables):
    spacings, alignments = by_id(tables["tomogramVoxelSpacings"]), by_id(tables["alignments"])
    shapes, annotations = by_id(tables["annotationShapes"]), by_id(tables["annotations"])
    for tomogram in tables["tomograms"]:
        assert spacings[tomogram["tomogramVoxelSpacingId"]]["runId"] == tomogram["runId"]
        assert spacings[tomogram["tomogramVoxelSpacingId"]]["voxelSpacing"] == tomogram["voxelSpacing"]
        assert alignments[tomogram["alignmentId"]]["runId"] == tomogram["runId"]
    for file in tables["annotationFiles"]:
        annotation = annotations[shapes[file["annotationShapeId"]]["annotationId"]]
        assert spacings[file["tomogramVoxelSpacingId"]]["runId"] == annotation["runId"]
        assert annotation["tomogramVoxelSpacingId"] == file["tomogramVoxelSpacingId"]
        if file["alignmentId"] is not None:
            assert alignments[file["alignmentId"]]["runId"] == annotation["runId"]


def test_every_url_leads_to_a_file_and_both_addresses_to_the_same(pack, tables):
    for name, rows in tables.items():
        for row in rows:
            for column, value in row.items():
                if not isinstance(value, str) or not value.startswith((HTTPS_PREFIX, S3_PREFIX)):
                    continue
                assert on_disk(pack, value).exists(), (name, row["id"], column)
                twin = row.get(column.replace("https", "s3", 1)) if column.startswith("https") else None
                if twin is not None:
                    assert value.removeprefix(HTTPS_PREFIX) == twin.removeprefix(S3_PREFIX)


def test_sizes_in_bytes_are_those_on_disk(pack, tables):
    checked = 0
    for name, url_column, size_column in (
        ("tomograms", "httpsOmezarrDir", "fileSizeOmezarr"),
        ("tomograms", "httpsMrcFile", "fileSizeMrc"),
        ("tiltseries", "httpsOmezarrDir", "fileSizeOmezarr"),
        ("tiltseries", "httpsMrcFile", "fileSizeMrc"),
        ("annotationFiles", "httpsPath", "fileSize"),
        ("datasets", "httpsPrefix", "fileSize"),
    ):
        for row in tables[name]:
            path = on_disk(pack, row[url_column])
            size_bytes = folder_bytes(path) if path.is_dir() else path.stat().st_size
            assert row[size_column] == size_bytes > 0, (name, row["id"])
            checked += 1
    assert checked > 50


def test_the_demo_has_what_it_is_there_to_show(tables):
    runs = by_id(tables["runs"])
    tomograms, annotations = Counter(), Counter()
    for tomogram in tables["tomograms"]:
        tomograms[runs[tomogram["runId"]]["name"]] += 1
    for annotation in tables["annotations"]:
        annotations[runs[annotation["runId"]]["name"]] += 1
    assert {row["id"] for row in tables["datasets"]} == {CELL_DATASET, MIXTURE_DATASET}
    assert len({row["depositionId"] for row in tables["datasets"]}) == 2
    assert len(runs) >= 6
    assert tomograms["DEMO_003"] == 1
    assert annotations["DEMO_003"] == 0
    assert tomograms["DEMO_004"] == 0
    shown = {row["shapeType"] for row in tables["annotationShapes"]}
    assert shown == {str(shape) for shape in ShapeType}
    assert len(tables["tiltseries"]) == 2


def test_one_alignment_appears_at_two_spacings_and_one_annotation_on_another_alignment(tables):
    runs = {row["name"]: row["id"] for row in tables["runs"]}
    own = [row for row in tables["tomograms"] if row["runId"] == runs["DEMO_001"]]
    default = next(row for row in own if row["isVisualizationDefault"])
    same = {row["voxelSpacing"] for row in own if row["alignmentId"] == default["alignmentId"]}
    assert len(same) == 2
    assert {row["processing"] for row in own} == {"raw", "denoised"}
    alignments = {row["alignmentId"] for row in tables["annotationFiles"]}
    assert None in alignments, "one file's alignment is unknown"
    others = {row["alignmentId"] for row in own} - {default["alignmentId"]}
    assert others & alignments


def test_each_run_has_at_most_one_default_tomogram(tables):
    defaults = Counter(row["runId"] for row in tables["tomograms"] if row["isVisualizationDefault"])
    assert set(defaults.values()) == {1}
    assert set(defaults) == {row["runId"] for row in tables["tomograms"]}


def test_one_object_is_annotated_by_several_methods_and_judged_against_the_truth(tables):
    ribosomes = [row for row in tables["annotations"] if row["objectId"] == "GO:0022626" and row["runId"] == 9001]
    assert {row["methodType"] for row in ribosomes} == {"simulated", "manual", "hybrid", "automated"}
    assert sum(row["groundTruthStatus"] for row in ribosomes) == 1
    judged = [row for row in ribosomes if row["confidencePrecision"] is not None]
    assert len(judged) == 1
    assert 1 < judged[0]["confidenceRecall"] < judged[0]["confidencePrecision"] < 100, "percent, not shares"


def test_source_says_who_made_the_file(tables):
    shapes, annotations = by_id(tables["annotationShapes"]), by_id(tables["annotations"])
    runs, datasets = by_id(tables["runs"]), by_id(tables["datasets"])
    for file in tables["annotationFiles"]:
        annotation = annotations[shapes[file["annotationShapeId"]]["annotationId"]]
        dataset = datasets[runs[annotation["runId"]]["datasetId"]]
        is_own = annotation["depositionId"] == dataset["depositionId"]
        assert file["source"] == ("dataset_author" if is_own else "community")


def test_nothing_claims_to_be_measured(pack, tables):
    assert all(row["sampleType"] == "in_silico" for row in tables["datasets"])
    assert all("imulated" in row["title"] or "imitated" in row["title"] for row in tables["depositions"])
    assert all(row["microscopeManufacturer"] == "SIMULATED" for row in tables["tiltseries"])
    assert {row["alignmentMethod"] for row in tables["alignments"]} == {"simulated"}
    assert "Simulated" in pack.manifest.source
    for name in ("datasetAuthors", "depositionAuthors", "tomogramAuthors", "annotationAuthors"):
        assert all(row["orcid"].startswith("0000-0000-0000-") for row in tables[name])


def test_sidecars_agree_with_the_rows(pack, tables):
    for row in tables["annotations"]:
        sidecar = json.loads(on_disk(pack, row["httpsMetadataPath"]).read_text())
        assert sidecar["annotation_object"]["id"] == row["objectId"]
        assert sidecar["object_count"] == row["objectCount"]
        for file in sidecar["files"]:
            assert (pack.files / file["path"]).exists()
    for row in tables["tomograms"]:
        folder = on_disk(pack, row["httpsMrcFile"]).parent
        sidecar = json.loads((folder / "tomogram_metadata.json").read_text())
        assert sidecar["size"] == {"x": row["sizeX"], "y": row["sizeY"], "z": row["sizeZ"]}
        assert (pack.files / sidecar["omezarr_dir"]).is_dir()
        assert (pack.files / sidecar["alignment_metadata_path"]).is_file()
    for row in tables["runs"]:
        sidecar = json.loads((on_disk(pack, row["httpsPrefix"]) / "run_metadata.json").read_text())
        assert sidecar["run_name"] == row["name"]
