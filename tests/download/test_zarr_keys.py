"""Every chunk's key follows from the metadata."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_cryoet.download.zarr_keys import array_paths, chunk_grid_v2, chunk_grid_v3
from napari_cryoet.exceptions import FormatError


def written_keys(folder: Path, *documents: str) -> set[str]:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return files - set(documents)


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize(("shape", "chunks"), [((5, 4, 7), (4, 4, 4)), ((1,), (3,)), ((), ())])
def test_the_keys_of_zarr_2_are_those_that_zarr_writes(tmp_path: Path, shape, chunks, separator: str) -> None:
    import zarr

    array = zarr.create_array(
        tmp_path / "a",
        shape=shape,
        chunks=chunks or "auto",
        dtype="u1",
        fill_value=0,
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": separator},
        config={"write_empty_chunks": True},
    )
    array[...] = 1
    metadata = json.loads((tmp_path / "a" / ".zarray").read_text())
    assert set(chunk_grid_v2(metadata)) == written_keys(tmp_path / "a", ".zarray", ".zattrs")


@pytest.mark.parametrize("encoding", [("default", "/"), ("default", "."), ("v2", "/"), ("v2", ".")])
@pytest.mark.parametrize("shards", [None, (8, 4, 4)])
def test_the_keys_of_zarr_3_are_those_that_zarr_writes(tmp_path: Path, encoding, shards) -> None:
    import zarr

    array = zarr.create_array(
        tmp_path / "a",
        shape=(9, 4, 7),
        chunks=(4, 4, 4),
        shards=shards,
        dtype="u1",
        zarr_format=3,
        chunk_key_encoding={"name": encoding[0], "separator": encoding[1]},
    )
    array[...] = 1
    metadata = json.loads((tmp_path / "a" / "zarr.json").read_text())
    grid = chunk_grid_v3(metadata)
    assert set(grid) == written_keys(tmp_path / "a", "zarr.json")
    assert grid.n_keys == len(set(grid))


def test_levels_of_both_versions_of_the_format_are_found() -> None:
    multiscales = [{"datasets": [{"path": "0"}, {"path": "s1"}]}]
    assert array_paths({"multiscales": multiscales}) == ("0", "s1")
    assert array_paths({"ome": {"version": "0.5", "multiscales": multiscales}}) == ("0", "s1")


@pytest.mark.parametrize("path", ["../1", "/0", "a/../../b", "", ".", "a\\b", 3, None, "x" * 300])
def test_a_level_outside_of_the_pyramid_is_refused(path: object) -> None:
    with pytest.raises(FormatError, match="unusable path"):
        array_paths({"multiscales": [{"datasets": [{"path": path}]}]})


@pytest.mark.parametrize(
    "attributes", [{}, {"multiscales": 3}, {"multiscales": []}, {"multiscales": [{"datasets": 1}]}]
)
def test_metadata_without_levels_is_refused(attributes: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="names no levels"):
        array_paths(attributes)


@pytest.mark.parametrize(
    "array",
    [
        {},
        {"shape": [4], "chunks": [0]},
        {"shape": [4], "chunks": [-1]},
        {"shape": [-4], "chunks": [1]},
        {"shape": [4, 4], "chunks": [4]},
        {"shape": [True], "chunks": [4]},
        {"shape": "44", "chunks": "11"},
        {"shape": [4.0], "chunks": [4]},
        {"shape": [10**9, 10**9], "chunks": [1, 1]},
        {"shape": [1] * 9, "chunks": [1] * 9},
        {"shape": [4], "chunks": [4], "dimension_separator": "/../"},
    ],
)
def test_absurd_arrays_are_refused(array: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        chunk_grid_v2(array)


@pytest.mark.parametrize(
    "change",
    [
        {"node_type": "group"},
        {"chunk_grid": {"name": "rectilinear"}},
        {"chunk_grid": 3},
        {"chunk_key_encoding": {"name": "hilbert"}},
        {"chunk_key_encoding": None},
    ],
)
def test_arrays_of_an_unknown_kind_are_refused(change: dict[str, object]) -> None:
    array = {
        "node_type": "array",
        "shape": [4],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
        "chunk_key_encoding": {"name": "default"},
    }
    assert list(chunk_grid_v3(array)) == ["c/0"]
    with pytest.raises(FormatError):
        chunk_grid_v3({**array, **change})
