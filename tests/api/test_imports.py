"""Slow libraries are imported only when they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import napari_cryoet
from api.files import noise, write_zarr

SLOW = {"zarr", "dask", "pandas", "pyarrow", "scipy"}
QT = {"napari", "qtpy", "PyQt6", "superqt", "magicgui", "vispy"}


def modules_after(code: str, *arguments: object) -> set[str]:
    """The modules that a new process has imported after running some code."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules)"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


def test_import_and_help_load_no_slow_modules():
    command = "from napari_cryoet.cli import main; main(sys.argv[1:])"
    for code, *arguments in [
        ["import napari_cryoet"],
        [command, "--help"],
        [command, "download", "--help"],
    ]:
        modules = modules_after(code, *arguments)
        assert "napari_cryoet" in modules
        assert not modules & (SLOW | QT | {"numpy", "msgspec", "filelock", "sqlite3", "ssl"})


def test_load_tomogram_imports_no_pandas_or_scipy(tmp_path):
    write_zarr(tmp_path / "a.zarr", noise())
    code = "import napari_cryoet; napari_cryoet.load_tomogram(sys.argv[1]).data[0][3].compute()"
    dask_modules = modules_after("import dask.array")  # which imports scipy.sparse
    modules = modules_after(code, tmp_path / "a.zarr") - dask_modules

    assert "napari_cryoet" in modules
    assert not {name.partition(".")[0] for name in modules} & ({"pandas", "pyarrow", "scipy"} | QT)


def test_the_list_command_imports_no_qt(demo_pack):
    code = "from napari_cryoet.cli import main; main(sys.argv[1:])"

    assert not modules_after(code, "list", "datasets", demo_pack, "yeast") & QT


def test_docks_and_readers_leave_aiohttp_to_the_thread_that_sends_requests():
    code = "import napari_cryoet._qt.browser.dock, napari_cryoet._qt.plugin"
    assert not modules_after(code) & {"aiohttp", "yarl"}


def test_the_dock_imports_few_slow_modules():
    window = "import dask.array, pandas, napari._qt.qt_main_window"  # napari has these in a window
    modules = modules_after(f"{window}, napari_cryoet._qt.browser.dock") - modules_after(window)
    assert "napari_cryoet" in modules
    assert not {name for name in modules if name.partition(".")[0] in SLOW | {"graphql"}}


def test_every_public_name_exists_and_is_listed():
    assert set(napari_cryoet.__all__) <= set(dir(napari_cryoet))
    for name in napari_cryoet.__all__:
        assert getattr(napari_cryoet, name) is not None
    with pytest.raises(AttributeError, match="wrong_name"):
        _ = napari_cryoet.wrong_name
