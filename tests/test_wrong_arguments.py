"""Functions of the public API say what they expected, in words, to whoever gives them something else."""

from pathlib import Path

import numpy as np
import pytest

import napari_cryoet as n
from napari_cryoet import Mask, Picks
from napari_cryoet.comparison import write_report
from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.local_paths import is_address
from napari_cryoet.pick_formats import detect_format

PICKS = Picks([[1, 2, 3], [4, 5, 6]], 10.0)
VOXELS = np.zeros((3, 4, 5), np.uint8)
MASK = Mask(VOXELS, 10.0)

NO_PATH = {
    "load_tomogram": n.load_tomogram,
    "load_annotation": n.load_annotation,
    "load_captions": n.load_captions,
    "open_annotation": n.open_annotation,
    "open_portal": n.open_portal,
    "read_picks": n.read_picks,
    "check_picks, volume": lambda given: n.check_picks(PICKS, given),
    "write_picks, path": lambda given: n.write_picks(PICKS, given),
    "write_mask, path": lambda given: n.write_mask(VOXELS, given, spacing_angstrom=10),
}
NO_SUCH_THING = {
    "load_picks": (lambda given: n.load_picks(given, name="a"), "picks must be a Picks"),
    "write_picks": (lambda given: n.write_picks(given, "a.csv"), "picks must be a Picks"),
    "check_picks": (lambda given: n.check_picks(given, "a.mrc"), "picks must be a Picks"),
    "compare, a": (lambda given: n.compare(given, PICKS, radius_angstrom=5), "a must be a Picks or a Mask"),
    "compare, b": (lambda given: n.compare(PICKS, given, radius_angstrom=5), "b must be a Picks or a Mask"),
    "report_text": (n.report_text, "comparison must be a PicksComparison"),
    "comparison_layers": (n.comparison_layers, "comparison must be a PicksComparison"),
    "fit": (lambda given: n.fit(given, given), "file must be an AnnotationFile"),
    "outline_run": (lambda given: n.outline_run(given, None), "page must be a RunPage"),
    "load_tilt_series": (n.load_tilt_series, "series must be a TiltSeries"),
}


@pytest.mark.parametrize("call", NO_PATH.values(), ids=NO_PATH)
@pytest.mark.parametrize(
    ("given", "called"), [(None, "None"), (5, "an int"), ([1], "a list"), (np.zeros(3), "an ndarray"), (MASK, "a Mask")]
)
def test_what_is_no_path_is_called_what_it_is(call, given, called):
    with pytest.raises(TypeError, match=rf"^\w+ must be a path.*, not {called}\.$"):
        call(given)


@pytest.mark.parametrize(("call", "why"), NO_SUCH_THING.values(), ids=NO_SUCH_THING)
@pytest.mark.parametrize(("given", "called"), [(None, "None"), ("x", "a str"), (np.zeros((2, 3)), "an ndarray")])
def test_what_is_no_such_thing_is_called_what_it_is(call, why, given, called):
    with pytest.raises(TypeError, match=rf"^{why}.* not {called}\."):
        call(given)


@pytest.mark.parametrize("given", [None, "x", [[[1]]], PICKS])
def test_what_is_no_array_is_no_mask(given, tmp_path):
    for call in (Mask, lambda given: n.write_mask(given, tmp_path / "a.mrc", spacing_angstrom=10)):
        with pytest.raises(TypeError, match="must be an array in z, y, x"):
            call(given)


def test_names_and_ids_of_a_file_are_what_they_are_called():
    with pytest.raises(TypeError, match=r"tomogram must be a str, not an int\. Name it as the file does\."):
        n.read_picks("a.tbl", tomogram=5)
    with pytest.raises(TypeError, match=r"alignment_id must be an int, not a str\."):
        n.read_picks("a.csv", alignment_id="17")


@pytest.mark.parametrize(
    "call",
    [
        lambda: Picks([[1, 2, 3]], "10"),
        lambda: PICKS.rescaled("5"),
        lambda: Mask(VOXELS, "10"),
        lambda: n.write_mask(VOXELS, "a.mrc", spacing_angstrom="10"),
        lambda: n.read_picks("a.csv", spacing_angstrom="10"),
        lambda: n.compare(PICKS, PICKS, radius_angstrom="5"),
        lambda: n.compare(PICKS, PICKS, radius_angstrom=5, beta="1"),
        lambda: n.compare(MASK, MASK, iou_threshold="1"),
        lambda: n.check_picks(PICKS, "a.mrc", diameter_angstrom="100"),
    ],
)
def test_texts_are_no_numbers(call):
    with pytest.raises(TypeError, match=r"^\w+ must be a number, not a str\.$"):
        call()


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: n.write_picks(PICKS, "a.csv", format="xls"), "format must be 'ndjson', .* or 'parquet', not 'xls'"),
        (lambda: n.read_picks("a.csv", spacing_angstrom=0), "a voxel can't be 0 Å wide"),
        (lambda: n.read_picks("a.csv", spacing_angstrom=np.nan), "a voxel can't be nan Å wide"),
        (lambda: n.read_picks("a.csv", shape_zyx=(1, 2)), "shape_zyx must be three whole numbers above 0, not"),
        (lambda: n.read_picks("a.csv", shape_zyx="abc"), "shape_zyx must be three whole numbers above 0, not 'abc'"),
        (lambda: n.read_picks("a.csv", format="xls"), "format must be 'ndjson', .* or 'parquet', not 'xls'"),
        (lambda: n.write_mask(VOXELS, "a.mrc", spacing_angstrom=1, format="nii"), "or 'mrc', not 'nii'"),
        (lambda: Picks([[1, 2]]), r"points_zyx has the shape \(1, 2\), and must have \(n, 3\)"),
        (lambda: Picks([[1, 2, 3]], scores=[1, 2]), r"scores has the shape \(2,\), and must have \(1,\)"),
        (lambda: Picks([["a", "b", "c"]]), "points_zyx must be an array of numbers, not a list"),
        (lambda: Picks([[1, 2, 3]], shape_zyx=(1, 2)), r"three whole numbers above 0, not \(1, 2\)"),
        (lambda: Picks([[1, 2, 3]], shape_zyx=(1, 2, 0)), "three whole numbers above 0"),
        (lambda: Picks([[1, 2, 3]], shape_zyx=(1, 2, 3.5)), "three whole numbers above 0"),
    ],
)
def test_values_that_there_arent_are_refused_with_those_that_there_are(call, why):
    with pytest.raises(ValueError, match=why):
        call()


def test_a_symmetry_is_a_text():
    with pytest.raises(TypeError, match=r"symmetry must be a str, not an int\. Say 'C1'"):
        n.compare(PICKS, PICKS, radius_angstrom=5, symmetry=3)


#: Functions of files, and whether they write one.
FILES = {
    "load_tomogram": (n.load_tomogram, False),
    "load_annotation": (lambda path: n.load_annotation(path, 10.0), False),
    "open_annotation": (n.open_annotation, False),
    "read_picks": (n.read_picks, False),
    "read_picks, format": (lambda path: n.read_picks(path, format="ndjson"), False),
    "detect_format": (detect_format, False),
    "check_picks, volume": (lambda path: n.check_picks(PICKS, path), False),
    "write_picks": (lambda path: n.write_picks(PICKS, path, format="ndjson"), True),
    "write_mask": (lambda path: n.write_mask(VOXELS, path, spacing_angstrom=10, format="ome-zarr-0.4"), True),
    "write_report": (lambda path: write_report(n.compare(PICKS, PICKS, radius_angstrom=5), path), True),
}


@pytest.mark.parametrize(
    "ending", [".mrc", ".zarr", ".tif", ".star", ".ndjson", ".tbl", ".json", ".csv", ".parquet", ""]
)
@pytest.mark.parametrize(("call", "writes"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("kind", [str, Path])
def test_what_no_file_can_be_called_is_named(call, writes, ending, kind, tmp_path):
    path = kind(tmp_path / f"a\0b{ending}")

    with pytest.raises(SaveError if writes else FormatError, match=r"a\\x00b.* can't be a path"):
        call(path)


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("https://me:secret@host/a.ndjson", "Download it first"),
        ("https://host/a.ndjson?signature=SECRET&key=S", "Download it first"),
        ("s3://bucket/a.star", "Download it first"),
        ("HTTP://host/a.csv", "Download it first"),
        ("file:///a.tbl", "Give its path"),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_an_address_where_only_paths_are_read_or_written_is_said_to_be_one(address, hint, kind, tmp_path):
    with pytest.raises(FormatError, match=rf"^[a-zA-Z0-9]+://[a-z/.0-9]+ is an address.* {hint}"):
        n.read_picks(kind(address))
    with pytest.raises(SaveError, match=r"^[a-zA-Z0-9]+://[a-z/.0-9]+ is an address.* Give a path"):
        n.write_picks(PICKS, kind(address), format="ndjson")


@pytest.mark.parametrize("path", ["C://data//a.star", "d:/a.star", "E:\\a.star", "a/http://b.star"])
def test_a_path_with_a_drive_is_no_address(path):
    assert not is_address(path)
    assert not is_address(Path(path))


@pytest.mark.parametrize("edits", ["cleaned", b"cleaned", ["cleaned", 5], [None], 5, [["cleaned"]]])
def test_edits_are_texts(edits, tmp_path):
    with pytest.raises(TypeError, match="edits must be a list of texts, not"):
        Picks([[1, 2, 3]], edits=edits)
    with pytest.raises(TypeError, match="edits must be a list of texts, not"):
        n.write_mask(VOXELS, tmp_path / "a.mrc", spacing_angstrom=10, edits=edits)
    assert not list(tmp_path.iterdir())
