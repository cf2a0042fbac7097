"""A room that isn't entered isn't imported: budgets of modules for new processes, and packages that stay out."""

from __future__ import annotations

import pytest

import napari_cryoet
from api.files import noise, write_zarr
from fresh_process import Imports
from server import Server

ROOMS = {
    f"napari_cryoet.{within}{room}"
    for within in ("", "_qt.")
    for room in (
        *("basket", "check", "classroom", "comparison", "compare", "demo", "exports"),
        *("lessons", "review", "views"),
    )
}
HEAVY = {
    *("dask.array", "filelock", "graphql", "magicgui", "markdown_it", "matplotlib", "pandas"),
    *("pyarrow", "rich", "scipy", "starlette", "typer"),
}
QT = {"napari", "qtpy", "PyQt6", "superqt", "vispy"}
CLI = "from napari_cryoet.cli import main; main(sys.argv[1:])"
#: A window with a layer of napari: what these import isn't ours to avoid.
WINDOW = """
import napari, numpy as np
viewer = napari.Viewer()
viewer.add_image(np.zeros((4, 8, 8)))
viewer.layers.clear()
"""
OPEN = """
viewer.open(sys.argv[1], plugin="napari-cryoet")
from napari_cryoet._qt.streaming.progressive import stream_of
while not stream_of(viewer.layers[0]).state.is_exact:
    napari.qt.get_qapp().processEvents()
"""
DOCK = """
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
open_dock(viewer, BROWSER)
napari.qt.get_qapp().processEvents()
"""


def test_opening_a_plane_imports_what_it_needs(tmp_path):
    write_zarr(tmp_path / "a.zarr", noise())
    with Server(tmp_path) as served:
        imports = Imports(OPEN, f"{served.url}/a.zarr", before=WINDOW)
    assert imports.chains(ROOMS | HEAVY) == []
    assert imports.chains({"PyQt6"}) == []  # PyQt crashes if a worker imports a module of it first
    assert len(imports) <= 400
    assert len(imports.ours()) <= 80


def test_the_dock_alone_imports_no_room():
    rooms = {*ROOMS, "napari_cryoet.download", "napari_cryoet._qt.files", "napari_cryoet._qt.ortho"}
    imports = Imports(DOCK, before=WINDOW)
    assert imports.chains(rooms | HEAVY) == []
    assert len(imports) <= 165


def test_import_and_help_load_nothing_else():
    for budget, code, *arguments in [
        (10, "import napari_cryoet"),
        (230, CLI, "--help"),
        (230, CLI, "download", "--help"),
    ]:
        imports = Imports(code, *arguments)
        others = {"numpy", "msgspec", "sqlite3", "ssl", "zarr", "dask"}
        assert imports.chains(ROOMS | HEAVY - {"typer", "rich"} | QT | others) == []
        assert len(imports) <= budget


def test_load_tomogram_imports_no_pandas_or_scipy(tmp_path):
    write_zarr(tmp_path / "a.zarr", noise())
    code = "import napari_cryoet; napari_cryoet.load_tomogram(sys.argv[1]).data[0][3].compute()"
    imports = Imports(code, tmp_path / "a.zarr", before="import dask.array")
    assert "napari_cryoet" in imports.importers
    assert imports.chains({"pandas", "pyarrow", "scipy"} | QT) == []


def test_the_list_command_imports_no_qt(demo_pack):
    assert Imports(CLI, "list", "datasets", demo_pack, "yeast").chains(QT) == []


def test_docks_and_readers_leave_aiohttp_to_the_thread_that_sends_requests():
    imports = Imports("import napari_cryoet._qt.browser.dock, napari_cryoet._qt.plugin")
    assert imports.chains({"aiohttp", "yarl"}) == []


def test_every_public_name_exists_and_is_listed():
    assert set(napari_cryoet.__all__) <= set(dir(napari_cryoet))
    for name in napari_cryoet.__all__:
        assert getattr(napari_cryoet, name) is not None
    with pytest.raises(AttributeError, match="wrong_name"):
        _ = napari_cryoet.wrong_name
