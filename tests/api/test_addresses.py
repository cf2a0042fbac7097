"""Every public function that takes a file takes its path as text, as a `Path`, and as a file: address."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from api.files import noise, point, write_lines, write_mrc, write_zarr
from napari_cryoet import (
    Basket,
    Picks,
    load_annotation,
    load_captions,
    load_tomogram,
    open_annotation,
    open_portal,
    read_basket,
    read_picks,
    write_basket,
    write_mask,
    write_picks,
)
from napari_cryoet.formats.registry import detect_format
from napari_cryoet.layers.readers import find_reader
from napari_cryoet.streaming import find_labels, open_pyramid
from napari_cryoet.volumes import open_volume

PICKS = Picks([[1, 2, 3]], 10.0)
SPELLINGS = [str, Path, Path.as_uri]
READERS = {
    "a.csv": [read_picks, detect_format, find_reader, open_annotation],
    "a.json": [load_captions],
    "a.mrc": [load_tomogram, open_annotation, open_volume, find_reader],
    "a.ndjson": [load_annotation, open_annotation, read_picks, find_reader],
    "a.toml": [read_basket],
    "a.zarr": [load_tomogram, open_annotation, open_volume, open_pyramid, find_labels, find_reader],
}
WRITERS = [
    ("b.csv", lambda path: write_picks(PICKS, path)),
    ("b.toml", lambda path: write_basket(Basket(runs=(9001,)), path)),
    ("b.mrc", lambda path: write_mask(np.ones((2, 3, 4), np.uint8), path, spacing_angstrom=10.0)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of every kind, in a folder whose name needs encoding."""
    folder = tmp_path_factory.mktemp("a #1 ü")
    write_picks(PICKS, folder / "a.csv")
    write_basket(Basket(runs=(9001,)), folder / "a.toml")
    write_lines(folder / "a.ndjson", [point(3, 2, 1)])
    write_mrc(folder / "a.mrc", noise())
    write_zarr(folder / "a.zarr", noise())
    (folder / "a.json").write_text(json.dumps({"captions": [{"text": "A cell."}]}))
    return folder


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize("name", READERS)
def test_files_are_read_by_path_and_by_address(folder, name, spell):
    for read in READERS[name]:
        source = spell(folder / name)
        assert read(str(source) if read is find_reader else source) is not None


@pytest.mark.parametrize("spell", SPELLINGS)
@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_files_are_written_by_path_and_by_address(tmp_path, name, write, spell):
    folder = tmp_path / "a #1 ü"
    write(spell(folder / name))
    assert (folder / name).exists()


@pytest.mark.parametrize("spell", SPELLINGS)
def test_packs_are_opened_by_path_and_by_address(demo_pack, spell):
    assert open_portal(spell(demo_pack)).source.location == str(demo_pack.resolve())
