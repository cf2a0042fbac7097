"""The pack made from real data, built once for all tests that want it; its largest run is small here."""

import sys
from importlib import import_module

import pytest

from napari_cryoet.packs.pack import open_pack


@pytest.fixture(scope="session")
def scripts(project_folder):
    """The folder of scripts, importable."""
    folder = str(project_folder / "scripts")
    sys.path.insert(0, folder)
    yield folder
    sys.path.remove(folder)


@pytest.fixture(scope="session")
def real_pack(real_data, scripts, make_once):
    """Read it, never write into it."""
    build = import_module("build_real_pack").build_real_pack
    return open_pack(make_once("real-pack", lambda folder: build(real_data, folder, full_shape_zyx=(90, 230, 220))))
