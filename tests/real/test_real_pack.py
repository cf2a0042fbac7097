"""The pack from real tables: the portal's rows, consistent files, and picks on real density."""

import json
from collections import Counter
from importlib import import_module

import numpy as np
import pytest
import tifffile
import zarr
from scipy import ndimage

from napari_cryoet.cli import main
from napari_cryoet.files import size_on_disk
from napari_cryoet.portal.portal import open_portal
from packs.pack_check import problems_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HTTPS = "https://files.cryoetdataportal.cziscience.com/"
FULL_RUN, SMALL_RUN = "TS_043", "TS_026"


def path_of(pack, url):
    return pack.files / url.removeprefix(HTTPS)


def run_id(pack, name):
    return next(row["id"] for row in pack.tables["runs"] if row["name"] == name)


def tomogram(pack, run_name):
    return next(row for row in pack.tables["tomograms"] if row["runId"] == run_id(pack, run_name))


def point_files(pack, run_name):
    annotations = {
        row["id"]: row
        for row in pack.tables["annotations"]
        if row["runId"] == run_id(pack, run_name)
    }
    shapes = {
        row["id"]: row
        for row in pack.tables["annotationShapes"]
        if row["annotationId"] in annotations
    }
    for file in pack.tables["annotationFiles"]:
        shape = shapes.get(file["annotationShapeId"])
        if shape and file["format"] == "ndjson":
            lines = [
                json.loads(line)
                for line in path_of(pack, file["httpsPath"]).read_text().splitlines()
            ]
            yield annotations[shape["annotationId"]], shape["shapeType"], lines


def test_the_pack_check_finds_no_problems(real_pack):
    assert problems_of(real_pack, with_files=True) == ()


def test_rows_match_the_dump(real_pack, real_data):
    for table, snake, camel in (
        ("runs", "name", "name"),
        ("annotations", "object_count", "objectCount"),
        ("annotationShapes", "shape_type", "shapeType"),
        ("tiltseries", "tilt_min", "tiltMin"),
    ):
        dump = json.loads((real_data / "dataset_10000" / f"{table}.json").read_text())
        kept = {row["id"]: row[camel] for row in real_pack.tables[table]}
        assert {row["id"]: row[snake] for row in dump}.items() <= kept.items()


def test_sizes_match_the_files(real_pack):
    for row in real_pack.tables["annotationFiles"]:
        path = path_of(real_pack, row["httpsPath"])
        assert row["fileSize"] == size_on_disk(path)
    for row in real_pack.tables["tomograms"]:
        path = path_of(real_pack, row["httpsOmezarrDir"])
        group = zarr.open_group(path, mode="r")
        assert group["0"].shape == (row["sizeZ"], row["sizeY"], row["sizeX"])
        assert ",".join(map(str, group["1"].shape[::-1])) == row["scale1Dimensions"]
        assert row["fileSizeOmezarr"] == size_on_disk(path)


def test_the_full_volume_is_the_real_microtubule_inverted(real_pack, real_data, scripts):
    crop = tifffile.imread(real_data / "tomograms" / "13pf_MT.tif")
    tile = import_module("real_microtubule").Microtubule(crop, 13.48).grey
    volume = zarr.open_group(
        path_of(real_pack, tomogram(real_pack, FULL_RUN)["httpsOmezarrDir"]), mode="r"
    )["0"]
    depth, height, width = tile.shape
    np.testing.assert_array_equal(volume[:depth, :height, :width], tile)
    back = ndimage.zoom(tile, np.array(crop.shape) / tile.shape, order=1)
    smooth = [ndimage.gaussian_filter(values.astype("f4"), 1).ravel() for values in (back, crop)]
    assert np.corrcoef(*smooth)[0, 1] < -0.9


@pytest.mark.parametrize("run_name", [FULL_RUN, SMALL_RUN])
def test_picks_are_on_the_microtubules_density(real_pack, run_name):
    row = tomogram(real_pack, run_name)
    volume = zarr.open_group(path_of(real_pack, row["httpsOmezarrDir"]), mode="r")["0"][:]
    for annotation, shape_type, lines in point_files(real_pack, run_name):
        x, y, z = (
            np.array([[line["location"][axis] for axis in "xyz"] for line in lines]).astype(int).T
        )
        assert x.max() < row["sizeX"]
        assert y.max() < row["sizeY"]
        assert z.max() < row["sizeZ"]
        if shape_type == "Point":
            assert len(lines) == annotation["objectCount"]
        else:
            assert set(Counter(line["instance_id"] for line in lines)) == set(
                range(1, annotation["objectCount"] + 1)
            )
        if len(z) >= 20:
            assert volume[z, y, x].mean() < volume.mean() - 0.5 * volume.std()


def test_real_picks_are_identical_to_their_source_and_inside_the_grid(real_pack, real_data):
    source = real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson"
    file = next(row for row in real_pack.tables["annotationFiles"] if "10445" in row["httpsPath"])
    assert path_of(real_pack, file["httpsPath"]).read_bytes() == source.read_bytes()
    row = tomogram(real_pack, "TS_105_5")
    assert (row["sizeX"], row["sizeY"], row["sizeZ"], row["voxelSpacing"]) == (
        630,
        630,
        184,
        10.012,
    )
    assert file["alignmentId"] == row["alignmentId"]
    assert file["tomogramVoxelSpacingId"] != row["tomogramVoxelSpacingId"]
    points_xyz = [
        list(json.loads(line)["location"].values()) for line in source.read_text().splitlines()
    ]
    assert len(points_xyz) == 43
    assert (np.array(points_xyz) * 4.99 / 10.012 < (630, 630, 184)).all()


def test_provenance_lists_what_is_real_and_what_is_made(real_pack):
    assert set(json.loads((real_pack.folder / "provenance.json").read_text())) == {
        "real",
        "made",
        "leftOut",
    }
    assert "provenance.json" in real_pack.manifest.source
    assert (real_pack.folder / "LICENSE-microtubule").read_text().startswith("BSD")


def test_the_pack_opens_as_a_portal_with_the_real_runs(real_pack):
    portal = open_portal(real_pack.folder)
    assert {row.id: row.title for row in portal.datasets()}[10000] == "S. pombe cells with defocus"
    assert {FULL_RUN, SMALL_RUN} <= {run.name for run in portal.runs(10000)}
    assert len(portal.run_page(run_id(real_pack, FULL_RUN)).annotations) == 9
    for row in portal.depositions():
        page = portal.deposition_page(row.id)
        own = [each for each in real_pack.tables["annotations"] if each["depositionId"] == row.id]
        assert page.annotation_count == row.annotation_count == len(own)
    portal.close()


def test_all_metadata_of_a_run_is_downloaded(real_pack, tmp_path):
    number = run_id(real_pack, SMALL_RUN)
    arguments = [
        "download",
        str(real_pack.folder),
        "--run",
        str(number),
        "--what",
        "metadata",
        "--to",
        str(tmp_path),
    ]
    assert main(arguments) == 0
    assert list((tmp_path / "files").rglob("*.json"))
    assert json.loads((tmp_path / "manifest.json").read_text())["is_complete"]
