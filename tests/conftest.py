"""What every test gets: folders of its own, no network beyond this machine, and the data that tests share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import settings
from pytestqt.qtbot import QtBot

from network_guard import guard_network

if TYPE_CHECKING:
    from qtpy.QtWidgets import QApplication

    from napari_cryoet._qt.settings import Settings

PATIENCE_MS = 60_000  # for what comes sooner or later, also on a busy machine; below the time limit of a test
#: Where libraries look for a user's folders: platformdirs on Linux, on Windows, and everybody else.
FOLDER_VARIABLES = {
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "WIN_PD_OVERRIDE_APPDATA": "roaming",
    "WIN_PD_OVERRIDE_LOCAL_APPDATA": "local",
    "HOME": "home",
}

# napari asks for its settings file once, when it is first imported: no fixture is early enough.
_settings_folder = tempfile.TemporaryDirectory(prefix="napari-cryoet-tests-", ignore_cleanup_errors=True)
os.environ["NAPARI_CONFIG"] = str(Path(_settings_folder.name, "settings.yaml"))


settings.register_profile("busy machines", deadline=None)  # how long an example takes says nothing about the code
settings.load_profile("busy machines")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: else one process would be busy with them while the others have ended."""
    items.sort(key=lambda item: item.path.parent.name not in {"journeys", "qt"})  # else they stay as they are


def pytest_unconfigure() -> None:
    _settings_folder.cleanup()


@pytest.fixture(autouse=True)
def user_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for the user's home in this test: its caches and settings start empty."""
    folder = tmp_path_factory.mktemp("user")
    for variable, name in FOLDER_VARIABLES.items():
        (folder / name).mkdir()
        monkeypatch.setenv(variable, str(folder / name))
    return folder


@pytest.fixture(autouse=True)
def forbidden_hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail the test that reaches for another machine, even where the code under test swallows the error."""
    tried = guard_network(monkeypatch)
    yield tried
    assert not tried, f"the test tried to reach {', '.join(sorted(set(tried)))}"


class PatientBot(QtBot):
    """Waits longer than pytest-qt's five seconds: what never comes is as wrong after a minute."""

    def waitSignal(self, signal: Any, *, timeout: int = PATIENCE_MS, **options: Any) -> Any:  # noqa: N802 - Qt's
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitUntil(self, callback: Callable[[], Any], *, timeout: int = PATIENCE_MS) -> None:  # noqa: N802
        super().waitUntil(callback, timeout=timeout)

    def waitActive(self, widget: Any, *, timeout: int = PATIENCE_MS) -> Any:  # noqa: N802
        return super().waitActive(widget, timeout=timeout)


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> PatientBot:
    """The bot of pytest-qt, with more patience."""
    return PatientBot(request)


@pytest.fixture
def memory(tmp_path: Path) -> Settings:
    """What the dock remembers from one start to the next; empty."""
    from napari_cryoet._qt.settings import Settings

    return Settings(tmp_path / "browser.ini")


@pytest.fixture(scope="session")
def project_folder() -> Path:
    """The checkout, or the unpacked source distribution, that the tests stand in."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data(project_folder: Path) -> Path:
    """The folder of real portal data beside the checkout; its tests are skipped where it is absent."""
    folder = project_folder.parent / "shared" / "real"
    if not (folder / "dataset_10000" / "runs.json").is_file():
        pytest.skip("the real portal data (../shared/real) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a folder that the tests of all processes share, by a name and a function: read it, never write into it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, write: Callable[[Path], object]) -> Path:
        folder, unfinished = shared / name, shared / f"{name}-unfinished"
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                write(unfinished)
                unfinished.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def scripts(project_folder: Path) -> Iterator[str]:
    """The folder of scripts, importable."""
    folder = str(project_folder / "scripts")
    sys.path.insert(0, folder)
    yield folder
    sys.path.remove(folder)


@pytest.fixture(scope="session")
def real_pack(real_data: Path, scripts: str, make_once: Callable[[str, Callable[[Path], object]], Path]) -> Any:
    """The pack made from real data, whose largest run is small here: read it, never write into it."""
    from napari_cryoet.packs.pack import open_pack

    build = import_module("build_real_pack").build_real_pack
    return open_pack(make_once("real-pack", lambda folder: build(real_data, folder, full_shape_zyx=(90, 230, 220))))


@pytest.fixture(scope="session")
def demo_pack(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A small demo pack, made once for all tests: read it, never write into it."""
    from napari_cryoet.demo.write import write_demo_pack

    return make_once("demo-pack", lambda folder: write_demo_pack(folder, size="tiny"))


@pytest.fixture
def demo_at_home(demo_pack: Path, user_folder: Path) -> Path:
    """The small demo where the program keeps the demo that it makes."""
    from napari_cryoet.demo.write import demo_folder

    return Path(shutil.copytree(demo_pack, demo_folder()))


@pytest.fixture(scope="session")
def served_demo(demo_pack: Path) -> Iterator[dict[str, str]]:
    """The addresses of the small demo, served by the command line: ``graphql``, ``files`` and ``s3``."""
    command = [sys.executable, "-m", "napari_cryoet.cli", "serve", str(demo_pack)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()
