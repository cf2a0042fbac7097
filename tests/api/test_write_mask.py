"""Mask files: read with zarr and mrcfile, refused input, and provenance."""

from __future__ import annotations

import json

import dask.array as da
import mrcfile
import numpy as np
import pytest
import zarr

from api.files import METADATA
from napari_cryoet import (
    ExistsError,
    SaveError,
    StoppedError,
    load_annotation,
    open_annotation,
    write_mask,
)
from napari_cryoet.task import Task

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
    return write_mask(
        mask, folder / f"mask{SUFFIXES[name]}", spacing_angstrom=SPACING, format=name, **options
    )


def read_with_other_libraries(path):
    """The voxels and the voxel size, read with zarr and mrcfile."""
    if path.suffix == ".mrc":
        with mrcfile.open(path) as mrc:
            return mrc.data.copy(), float(mrc.voxel_size.x)
    group = zarr.open_group(path, mode="r")
    (image,) = (group.attrs.get("ome") or group.attrs)["multiscales"]
    (scale,) = (
        each["scale"]
        for each in image["datasets"][0]["coordinateTransformations"]
        if each["type"] == "scale"
    )
    return group[image["datasets"][0]["path"]][:], scale[0]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("largest", "dtype"), [(1, bool), (65535, np.uint32)])
def test_other_libraries_read_the_same_mask(tmp_path, name, largest, dtype):
    mask = labels(largest, dtype)
    saved = write(mask, tmp_path / "whole", name)
    lazy = write(da.from_array(mask, chunks=(7, 16, 45)), tmp_path / "lazy", name)
    values, spacing = read_with_other_libraries(saved.path)

    np.testing.assert_array_equal(values, mask)
    np.testing.assert_array_equal(read_with_other_libraries(lazy.path)[0], mask)
    assert spacing == pytest.approx(SPACING, rel=1e-6)
    assert (saved.format, saved.dtype, saved.is_instances) == (name, values.dtype.name, largest > 1)
    assert name != "mrc" or mrcfile.validate(saved.path)


@pytest.mark.parametrize("name", FORMATS)
def test_masks_open_as_labels_with_provenance(tmp_path, name):
    mask = labels(300)
    path = write(
        mask, tmp_path / "1", name, about=ABOUT, alignment_id=17, edits=["painted"], who="Grace"
    ).path
    (spec,) = load_annotation(path)
    provenance = spec.options["metadata"][METADATA]

    assert spec.kind == "labels"
    assert open_annotation(path).alignment_id == 17
    np.testing.assert_array_equal(open_annotation(path).read(0, 20), mask)
    np.testing.assert_allclose(spec.options["scale"], (SPACING,) * 3, rtol=1e-6)
    assert ABOUT.items() <= provenance.to_dict().items()
    assert (provenance.alignment_id, provenance.edits) == (17, ("painted",))
    again = write(mask, tmp_path / "2", name, about=provenance, edits=["smoothed"])
    assert load_annotation(again.path)[0].options["metadata"][METADATA].edits == (
        "painted",
        "smoothed",
    )


def test_labels_use_the_smallest_dtype_and_oldest_version(tmp_path):
    for name, largest, dtype in (
        ("ome-zarr-0.4", 1, "int8"),
        ("ome-zarr-0.5", 70_000, "uint32"),
        ("mrc", 100, "int8"),
        ("mrc", 40_000, "uint16"),
    ):
        assert write(labels(largest), tmp_path / f"{largest}", name).dtype == dtype
    for largest, version in ((65_535, "ome-zarr-0.4"), (65_536, "ome-zarr-0.5")):
        saved = write_mask(labels(largest), tmp_path / f"{largest}.zarr", spacing_angstrom=10)
        assert saved.format == version
        assert read_with_other_libraries(saved.path)[0].max() == largest


def test_invalid_masks_are_refused_and_ids_never_wrap(tmp_path):
    for name in ("ome-zarr-0.4", "mrc"):
        with pytest.raises(SaveError, match="65,536"):
            write(labels(65_536), tmp_path, name)
    for mask in (np.zeros(SHAPE_ZYX) + 0.5, np.full(SHAPE_ZYX, -1), np.zeros((4, 5), int)):
        with pytest.raises(SaveError):
            write(mask, tmp_path, "mrc")
    for spacing in (0, -1, float("nan")):
        with pytest.raises(SaveError, match="Å"):
            write_mask(labels(), tmp_path / "mask.mrc", spacing_angstrom=spacing)
    for suffix, name in ((".zarr", "mrc"), (".mrc", "ome-zarr-0.4"), (".txt", None)):
        with pytest.raises(SaveError):
            write_mask(labels(), tmp_path / f"mask{suffix}", spacing_angstrom=10, format=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_files_are_overwritten_only_if_asked(tmp_path, name):
    path = write(labels(), tmp_path, name).path
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ExistsError):
        write(labels(5), tmp_path, name)
    assert sorted(tmp_path.rglob("*")) == before

    write(labels(5), tmp_path, name, overwrite=True)
    assert read_with_other_libraries(path)[0].max() == 5
    assert {each.name for each in tmp_path.iterdir()} == {
        each.name for each in before if each.parent == tmp_path
    }


@pytest.mark.parametrize("name", FORMATS)
def test_a_stopped_write_leaves_no_files(tmp_path, name):
    def stop_late(fraction, _text):
        if fraction > 0.6:
            task.stop()

    task = Task(stop_late)
    with pytest.raises(StoppedError):
        write(labels(300), tmp_path, name, task=task)
    assert list(tmp_path.iterdir()) == []


def test_mrc_provenance_is_ignored_once_the_file_changes(tmp_path):
    saved = write(labels(), tmp_path, "mrc", about=ABOUT, alignment_id=17)
    assert json.loads(saved.provenance_path.read_text())["source"] == ABOUT

    with mrcfile.open(saved.path, "r+") as file:
        file.data[0, 0, 0] = 0
    assert not load_annotation(saved.path)[0].options["metadata"][METADATA].authors
    assert open_annotation(saved.path).alignment_id is None
