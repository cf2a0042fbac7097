"""Every file of an OME-Zarr follows from its metadata."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_cryoet import write_mask
from napari_cryoet.download.zarr_keys import ZarrFiles, chunk_keys, find_files, level_paths
from napari_cryoet.exceptions import FormatError


def files_of(folder: Path) -> ZarrFiles | None:
    async def read(key: str) -> bytes | None:
        return (folder / key).read_bytes() if (folder / key).is_file() else None

    return asyncio.run(find_files(read))


def on_disk(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize(("shape", "chunks"), [((5, 4, 7), (4, 4, 4)), ((1,), (3,))])
def test_arrays_of_zarr_2_have_the_files_that_zarr_writes(tmp_path: Path, shape, chunks, separator: str) -> None:
    encoding = {"name": "v2", "separator": separator}
    options = {"dtype": "u1", "zarr_format": 2, "chunk_key_encoding": encoding}
    zarr.create_array(tmp_path / "a", shape=shape, chunks=chunks, **options)[...] = 1
    found = files_of(tmp_path / "a")

    assert {*found.chunks, *found.documents} == on_disk(tmp_path / "a")


@pytest.mark.parametrize("encoding", [("default", "/"), ("default", "."), ("v2", "/"), ("v2", ".")])
@pytest.mark.parametrize("shards", [None, (8, 4, 4)])
def test_arrays_of_zarr_3_have_the_files_that_zarr_writes(tmp_path: Path, encoding, shards) -> None:
    keys = {"name": encoding[0], "separator": encoding[1]}
    options = {"chunks": (4, 4, 4), "shards": shards, "dtype": "u1", "zarr_format": 3, "chunk_key_encoding": keys}
    zarr.create_array(tmp_path / "a", shape=(9, 4, 7), **options)[...] = 1
    found = files_of(tmp_path / "a")

    assert {*found.chunks, *found.documents} == on_disk(tmp_path / "a")
    assert len(set(found.chunks)) == len(found.chunks)


@pytest.mark.parametrize("form", ["ome-zarr-0.4", "ome-zarr-0.5"])
def test_images_have_those_of_their_levels_and_the_root_s_metadata_comes_last(tmp_path: Path, form: str) -> None:
    path = write_mask(np.ones((40, 50, 60), np.uint8), tmp_path / "m.zarr", spacing_angstrom=10, format=form).path
    found = files_of(path)

    assert {*found.chunks, *found.documents} >= on_disk(path)
    assert set(found.documents) <= on_disk(path)
    assert "/" not in found.documents[-1]


def test_where_there_is_nothing_there_are_no_files(tmp_path: Path) -> None:
    assert files_of(tmp_path) is None


@pytest.mark.parametrize("path", ["../1", "/0", "a/../../b", "", ".", "a\\b", 3, None, "x" * 300])
def test_a_level_outside_of_the_image_is_refused(path: object) -> None:
    with pytest.raises(FormatError, match="unusable path"):
        level_paths({"multiscales": [{"datasets": [{"path": path}]}]})


@pytest.mark.parametrize(
    "attributes", [{}, {"multiscales": 3}, {"multiscales": []}, {"multiscales": [{"datasets": 1}]}]
)
def test_metadata_without_levels_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="no levels"):
        level_paths(attributes)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-4]},
        {"shape": "44", "chunks": "11"},
        {"shape": [4, 4]},
        {"chunks": [0]},
        {"shape": [10**9], "chunks": [1]},
        {"dtype": "nonsense"},
        {"zarr_format": 7},
    ],
)
def test_absurd_arrays_are_refused(change: dict[str, Any]) -> None:
    array = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "|u1", "fill_value": 0, "order": "C"}
    array |= {"compressor": None, "filters": None}
    assert chunk_keys(array) == ["0"]

    with pytest.raises(FormatError):
        chunk_keys(array | change)


@pytest.mark.parametrize("content", [b"{damaged", b"[]", b"[" * 100_000])
def test_damaged_metadata_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "zarr.json").write_bytes(content)

    with pytest.raises(FormatError, match="JSON"):
        files_of(tmp_path)


def test_a_level_without_metadata_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".zattrs").write_text(json.dumps({"multiscales": [{"datasets": [{"path": "0"}]}]}))

    with pytest.raises(FormatError, match=r"\.zarray is missing"):
        files_of(tmp_path)
