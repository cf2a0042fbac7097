"""Masks in files: as zarr and mrcfile read them, what is refused, and where they come from."""

from __future__ import annotations

import json
import threading

import dask.array as da
import mrcfile
import numpy as np
import pytest
import zarr

from api.files import METADATA
from napari_cryoet import ExistsError, SaveError, StoppedError, load_annotation, open_annotation, write_mask

SHAPE_ZYX = (20, 31, 45)
SPACING = 13.4812
FORMATS = ("ome-zarr-0.4", "ome-zarr-0.5", "mrc")
SUFFIXES = {"ome-zarr-0.4": ".zarr", "ome-zarr-0.5": ".zarr", "mrc": ".mrc"}
ABOUT = {"authors": ["Ada", "Zoë"], "object_name": "membrane", "deposition_id": 5}


def labels(largest=1, dtype=np.int64):
    mask = np.random.default_rng(3).integers(0, largest + 1, SHAPE_ZYX).astype(dtype)
    mask[0, 0, 0] = largest
    return mask


def write(mask, folder, name, **options):
    return write_mask(mask, folder / f"mask{SUFFIXES[name]}", spacing_angstrom=SPACING, format=name, **options)


def as_others_read(path):
    """The voxels and the width of a voxel, by zarr and mrcfile."""
    if path.suffix == ".mrc":
        with mrcfile.open(path) as mrc:
            return mrc.data.copy(), float(mrc.voxel_size.x)
    group = zarr.open_group(path, mode="r")
    (image,) = (group.attrs.get("ome") or group.attrs)["multiscales"]
    (scale,) = (each["scale"] for each in image["datasets"][0]["coordinateTransformations"] if each["type"] == "scale")
    return group[image["datasets"][0]["path"]][:], scale[0]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize(("largest", "dtype"), [(1, bool), (1, np.uint8), (300, np.int64), (65535, np.uint32)])
def test_others_read_it_as_it_was(tmp_path, name, is_lazy, largest, dtype):
    mask = labels(largest, dtype)
    made = write(da.from_array(mask, chunks=(7, 16, 45)) if is_lazy else mask, tmp_path, name)
    values, spacing = as_others_read(made.path)

    np.testing.assert_array_equal(values, mask)
    assert spacing == pytest.approx(SPACING, rel=1e-6)
    assert (made.format, made.dtype, made.is_instances) == (name, values.dtype.name, largest > 1)


@pytest.mark.parametrize("name", FORMATS)
def test_it_opens_as_labels_and_for_comparisons(tmp_path, name):
    mask = labels(300)
    path = write(mask, tmp_path, name).path
    (spec,) = load_annotation(path)

    assert spec.kind == "labels"
    np.testing.assert_array_equal(open_annotation(path).read(0, 20), mask)
    np.testing.assert_allclose(spec.options["scale"], (SPACING,) * 3, rtol=1e-6)


@pytest.mark.parametrize("name", FORMATS[:2])
def test_levels_halve(tmp_path, name):
    group = zarr.open_group(write(labels(), tmp_path, name).path, mode="r")
    (image,) = (group.attrs.get("ome") or group.attrs)["multiscales"]

    assert [group[each["path"]].shape for each in image["datasets"]][:2] == [SHAPE_ZYX, (10, 16, 23)]
    assert [axis["name"] for axis in image["axes"]] == ["z", "y", "x"]
    assert {axis["unit"] for axis in image["axes"]} == {"angstrom"}


def test_mrcfile_finds_no_fault(tmp_path):
    assert mrcfile.validate(write(labels(), tmp_path, "mrc").path)


@pytest.mark.parametrize(
    ("name", "largest", "dtype"),
    [("ome-zarr-0.4", 1, "int8"), ("ome-zarr-0.5", 70_000, "uint32"), ("mrc", 100, "int8"), ("mrc", 40_000, "uint16")],
)
def test_numbers_take_the_smallest_type_that_the_format_has(tmp_path, name, largest, dtype):
    assert write(labels(largest), tmp_path, name).dtype == dtype


def test_a_zarr_is_of_the_version_that_can_hold_its_ids(tmp_path):
    for largest, version in ((65_535, "ome-zarr-0.4"), (65_536, "ome-zarr-0.5")):
        made = write_mask(labels(largest), tmp_path / f"{largest}.zarr", spacing_angstrom=10)
        assert made.format == version
        assert as_others_read(made.path)[0].max() == largest


@pytest.mark.parametrize("name", ["ome-zarr-0.4", "mrc"])
def test_ids_that_do_not_fit_are_refused_and_never_wrapped(tmp_path, name):
    with pytest.raises(SaveError, match="65,536"):
        write(labels(65_536), tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [np.zeros(SHAPE_ZYX) + 0.5, np.full(SHAPE_ZYX, -1), np.zeros((4, 5), int)])
def test_what_is_no_mask_is_refused(tmp_path, mask):
    with pytest.raises(SaveError):
        write(mask, tmp_path, "mrc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spacing", [0, -1, float("nan")])
def test_a_width_that_no_voxel_has_is_refused(tmp_path, spacing):
    with pytest.raises(SaveError, match="Å"):
        write_mask(labels(), tmp_path / "mask.mrc", spacing_angstrom=spacing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_name_of_another_format_is_refused(tmp_path, name):
    other = ".zarr" if name == "mrc" else ".mrc"
    for suffix in (other, ".txt") if name == "mrc" else (other,):
        with pytest.raises(SaveError):
            write_mask(
                labels(), tmp_path / f"mask{suffix}", spacing_angstrom=10, format=None if suffix == ".txt" else name
            )


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_replaced_unasked(tmp_path, name):
    path = write(labels(), tmp_path, name).path
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ExistsError):
        write(labels(5), tmp_path, name)
    assert sorted(tmp_path.rglob("*")) == before

    write(labels(5), tmp_path, name, overwrite=True)
    assert as_others_read(path)[0].max() == 5
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in before if each.parent == tmp_path}


@pytest.mark.parametrize("name", FORMATS)
def test_a_stop_half_way_leaves_nothing(tmp_path, name):
    stop = threading.Event()

    def progress(done, total):
        if done > total * 0.6:
            stop.set()

    with pytest.raises(StoppedError):
        write(labels(300), tmp_path, name, progress=progress, stop=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_where_it_comes_from_is_known_again(tmp_path, name):
    about = ABOUT | {"run_id": 5}
    path = write(labels(), tmp_path / "1", name, about=about, alignment_id=17, edits=["painted"], who="Grace").path
    (spec,) = load_annotation(path)
    known = spec.options["metadata"][METADATA]

    assert about.items() <= known.items()
    assert (known["alignment_id"], known["edits"]) == (17, ["painted"])
    assert open_annotation(path).alignment_id == 17
    again = write(labels(), tmp_path / "2", name, about=known, edits=["smoothed"])
    assert load_annotation(again.path)[0].options["metadata"][METADATA]["edits"] == ["painted", "smoothed"]


def test_an_mrc_says_it_beside_it(tmp_path):
    made = write(labels(), tmp_path, "mrc", about=ABOUT)

    assert json.loads(made.provenance_path.read_text())["source"] == ABOUT


def test_notes_beside_a_file_that_was_changed_since_do_not_count(tmp_path):
    path = write(labels(), tmp_path, "mrc", about=ABOUT, alignment_id=17).path
    with mrcfile.open(path, "r+") as file:
        file.data[0, 0, 0] = 0

    assert "authors" not in load_annotation(path)[0].options["metadata"][METADATA]
    assert open_annotation(path).alignment_id is None
