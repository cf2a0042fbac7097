"""The pack made from real data, built once for all tests that want it (half a minute, under 1 GB)."""

import sys
from importlib import import_module

import pytest

from napari_cryoet.packs.pack import open_pack
from patience import PatientBot


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
    return open_pack(
        make_once("real-pack", lambda folder: import_module("build_real_pack").build_real_pack(real_data, folder))
    )


@pytest.fixture
def qtbot(qapp, request):
    """The bot of pytest-qt, with more patience."""
    return PatientBot(request)
