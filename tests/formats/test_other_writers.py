"""OME-Zarr written by other programs: values at every level, scale and units."""

import inspect
import json
import math

import numpy as np
import pytest
import zarr

from napari_cryoet import load_annotation, load_tomogram
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.volumes import open_volume
from server import Server

SHAPE = (24, 50, 44)
SCALE_NM = {"z": 1.348, "y": 0.5, "x": 0.499}
SCALE_ANGSTROM = (13.48, 5.0, 4.99)


def source(dtype="<f4", shape=SHAPE):
    values = np.random.default_rng(0).integers(0, 200, shape)
    return values.astype(dtype)


def ome_zarr_options(write):
    """Arguments for two lower levels, and for ``SCALE_NM`` in the words of this ome-zarr."""
    if "scale" in inspect.signature(write).parameters:
        units = dict.fromkeys("zyx", "nanometer")
        return {"axes": "zyx", "scale": SCALE_NM, "axes_units": units, "scale_factors": (2, 4)}
    # ome-zarr 0.16, the last for Python 3.11
    z, y, x = SCALE_NM.values()
    scales = [[z, y * factor, x * factor] for factor in (1, 2, 4)]
    return {
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "coordinate_transformations": [[{"type": "scale", "scale": each}] for each in scales],
        "scale_factors": (2, 4),
    }


def by_ome_zarr(path, values, *, version="0.4"):
    from ome_zarr.format import format_from_version
    from ome_zarr.writer import write_image

    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    write_image(
        values,
        group,
        fmt=format_from_version(version),
        storage_options={"chunks": (16, 32, 32)},
        **ome_zarr_options(write_image),
    )


def by_ngff_zarr(path, values, *, version="0.4", **options):
    import ngff_zarr

    units = dict.fromkeys("zyx", "nanometer")
    image = ngff_zarr.to_ngff_image(values, dims=list("zyx"), scale=SCALE_NM, axes_units=units)
    method = ngff_zarr.Methods.DASK_BIN_SHRINK
    multiscales = ngff_zarr.to_multiscales(image, scale_factors=[2, 4], method=method, chunks=16)
    ngff_zarr.to_ngff_zarr(path, multiscales, version=version, **options)


def by_tensorstore(path, values, *, version="0.4", is_sharded=False):
    import tensorstore

    levels = [values, values[::2, ::2, ::2], values[::4, ::4, ::4]]
    datasets = []
    for level, array in enumerate(levels):
        grid = {"shape": list(array.shape), "dtype": array.dtype.name}
        metadata = {"shape": grid["shape"], "chunks": [16, 32, 32], "dtype": array.dtype.str}
        metadata["compressor"] = {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 2}
        if version == "0.5":
            inner = [{"name": "bytes", "configuration": {"endian": "little"}}]
            inner.append(
                {
                    "name": "blosc",
                    "configuration": {"cname": "lz4", "clevel": 3, "shuffle": "shuffle"},
                }
            )
            shards = {
                "chunk_shape": [8, 16, 16],
                "codecs": inner,
                "index_codecs": [inner[0], {"name": "crc32c"}],
            }
            codecs = (
                [{"name": "sharding_indexed", "configuration": shards}] if is_sharded else inner
            )
            chunks = {"name": "regular", "configuration": {"chunk_shape": [16, 32, 32]}}
            metadata = {
                "shape": grid["shape"],
                "data_type": grid["dtype"],
                "chunk_grid": chunks,
                "codecs": codecs,
            }
        store = {"driver": "file", "path": f"{path}/{level}/"}
        driver = "zarr" if version == "0.4" else "zarr3"
        opened = {"driver": driver, "kvstore": store, "metadata": metadata, "create": True}
        tensorstore.open(opened).result().write(array).result()
        widths = [size * 2**level for size in SCALE_NM.values()]
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": widths}]}
        )
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"]
    multiscale = {"axes": axes, "datasets": datasets}
    if version == "0.4":
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(
            json.dumps({"multiscales": [{"version": "0.4"} | multiscale]})
        )
    else:
        attributes = {"ome": {"version": "0.5", "multiscales": [multiscale]}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "zarr.json").write_text(json.dumps(group))


WRITERS = {
    "ome-zarr 0.4": by_ome_zarr,
    "ome-zarr 0.5": lambda path, values: by_ome_zarr(path, values, version="0.5"),
    "ngff-zarr 0.4": by_ngff_zarr,
    "ngff-zarr 0.5": lambda path, values: by_ngff_zarr(path, values, version="0.5"),
    "ngff-zarr 0.5, shards": lambda path, values: by_ngff_zarr(
        path, values, version="0.5", chunks_per_shard=2
    ),
    "tensorstore, zarr": by_tensorstore,
    "tensorstore, zarr3": lambda path, values: by_tensorstore(path, values, version="0.5"),
    "tensorstore, shards": lambda path, values: by_tensorstore(
        path, values, version="0.5", is_sharded=True
    ),
}


def stored_levels(path):
    """The levels, finest first, read with zarr."""
    group = zarr.open_group(str(path), mode="r")
    (multiscale,) = group.attrs.get("ome", group.attrs)["multiscales"]
    return [group[dataset["path"]][:] for dataset in multiscale["datasets"]]


@pytest.mark.parametrize("dtype", ["<f4", "<u2", "|i1"])
@pytest.mark.parametrize("writer", WRITERS)
def test_values_scale_and_units_are_preserved(writer, dtype, tmp_path):
    WRITERS[writer](tmp_path / "a.zarr", source(dtype))
    stored = stored_levels(tmp_path / "a.zarr")
    assert len(stored) == 3

    spec = load_tomogram(tmp_path / "a.zarr")
    assert spec.kind == "image"
    assert spec.options["scale"] == pytest.approx(SCALE_ANGSTROM)
    assert set(spec.options["units"]) == {"angstrom"}
    assert tuple(spec.options["axis_labels"]) == ("z", "y", "x")
    for lazy, expected in zip(spec.data, stored, strict=True):
        np.testing.assert_array_equal(lazy[tuple(map(slice, expected.shape))].compute(), expected)
    np.testing.assert_array_equal(stored[0], source(dtype))

    volume = open_volume(tmp_path / "a.zarr")
    assert volume.shape_zyx == SHAPE
    assert volume.spacing_angstrom == pytest.approx(SCALE_ANGSTROM)


@pytest.mark.parametrize("writer", WRITERS)
def test_files_are_read_over_http(writer, tmp_path):
    WRITERS[writer](tmp_path / "a.zarr", source())
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
        for level, expected in enumerate(stored_levels(tmp_path / "a.zarr")):
            np.testing.assert_array_equal(pyramid.read(level), expected)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_labels_become_a_labels_layer(version, tmp_path):
    from ome_zarr.format import format_from_version
    from ome_zarr.writer import write_labels

    by_ome_zarr(tmp_path / "a.zarr", source(), version=version)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="a")
    labels = source("<u2") % 5
    options = ome_zarr_options(write_labels)
    write_labels(labels, group, name="cells", fmt=format_from_version(version), **options)

    (spec,) = load_annotation(tmp_path / "a.zarr" / "labels" / "cells")
    assert spec.kind == "labels"
    np.testing.assert_array_equal(spec.data[0][tuple(map(slice, SHAPE))], labels)
    assert spec.options["scale"] == pytest.approx(SCALE_ANGSTROM)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_5d_image_with_one_time_and_channel_is_a_volume(version, tmp_path):
    import ngff_zarr

    values = source("<u2", (1, 1, *SHAPE))
    units = dict.fromkeys("zyx", "micrometer")
    scale = dict.fromkeys("tc", 1.0) | dict.fromkeys("zyx", 0.002)
    image = ngff_zarr.to_ngff_image(values, dims=list("tczyx"), scale=scale, axes_units=units)
    multiscales = ngff_zarr.to_multiscales(image, scale_factors=[], chunks=32)
    ngff_zarr.to_ngff_zarr(tmp_path / "a.zarr", multiscales, version=version)

    volume = open_volume(tmp_path / "a.zarr")
    assert volume.shape_zyx == SHAPE
    assert volume.spacing_angstrom == pytest.approx((20.0,) * 3)
    np.testing.assert_array_equal(volume.read_planes(slice(3, 9)), values[0, 0, 3:9])


def test_unequal_scales_without_a_unit_keep_their_proportions(tmp_path):
    by_tensorstore(tmp_path / "a.zarr", source())
    document = json.loads((tmp_path / "a.zarr" / ".zattrs").read_text())
    for axis in document["multiscales"][0]["axes"]:
        del axis["unit"]
    (tmp_path / "a.zarr" / ".zattrs").write_text(json.dumps(document))

    z, y, x = load_tomogram(tmp_path / "a.zarr").options["scale"]
    assert math.isclose(z / y, SCALE_NM["z"] / SCALE_NM["y"], rel_tol=1e-6)
    assert math.isclose(x / y, SCALE_NM["x"] / SCALE_NM["y"], rel_tol=1e-6)
