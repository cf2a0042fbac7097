"""Fixtures for all tests: separate user folders, no external network, and shared data."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import settings
from pytestqt.qtbot import QtBot

from command_line import serving
from network_guard import guard_network

if TYPE_CHECKING:
    from qtpy.QtWidgets import QApplication

    from napari_cryoet.settings import Settings

INSTALL_TIMEOUT_S = 600
PATIENCE_MS = 60_000  # enough on a busy machine, and below the time limit of a test
#: Variables for the user's folders: of platformdirs on Linux and Windows, and of other libraries.
FOLDER_VARIABLES = {
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "XDG_RUNTIME_DIR": "runtime",
    "WIN_PD_OVERRIDE_APPDATA": "roaming",
    "WIN_PD_OVERRIDE_LOCAL_APPDATA": "local",
    "HOME": "home",
}

# napari reads its settings file once, at import, which is too early for a fixture.
_settings_folder = tempfile.TemporaryDirectory(
    prefix="napari-cryoet-tests-", ignore_cleanup_errors=True
)
os.environ["NAPARI_CONFIG"] = str(Path(_settings_folder.name, "settings.yaml"))
#: A folder that all processes of a run share, since workers inherit the variable.
_run_folder = Path(os.environ.setdefault("NAPARI_CRYOET_TEST_RUN", _settings_folder.name))

settings.register_profile(
    "busy machines", deadline=None
)  # how long an example takes says nothing about the code
settings.load_profile("busy machines")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let one process compile the tests and their libraries; the others read what it wrote."""
    gc.disable()
    collected = _run_folder / "collected"
    with FileLock(_run_folder / "collecting.lock"):
        is_first = "PYTEST_XDIST_WORKER" in os.environ and not collected.exists()
        if is_first:
            result = yield
            collected.touch()
    if not is_first:
        result = yield
    gc.freeze()  # what is imported stays; looking through it took half the time of window tests
    gc.enable()
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first, so that all processes end at about the same time."""
    items.sort(
        key=lambda item: item.path.parent.name not in {"journeys", "qt"}
    )  # the sort is stable


def pytest_unconfigure() -> None:
    _settings_folder.cleanup()


@pytest.fixture(autouse=True)
def user_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for this test, without a home, caches and settings yet."""
    folder = tmp_path_factory.mktemp("user")
    for variable, name in FOLDER_VARIABLES.items():
        monkeypatch.setenv(variable, str(folder / name))
    return folder


@pytest.fixture(autouse=True)
def forbidden_hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail tests that connect to another machine, even if the code under test swallows the error."""
    tried = guard_network(monkeypatch)
    yield tried
    assert not tried, f"the test tried to reach {', '.join(sorted(set(tried)))}"


class PatientBot(QtBot):
    """Waits longer than pytest-qt's five seconds, for slow machines."""

    def waitSignal(self, signal: Any, *, timeout: int = PATIENCE_MS, **options: Any) -> Any:  # noqa: N802 - Qt's
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitUntil(self, callback: Callable[[], Any], *, timeout: int = PATIENCE_MS) -> None:  # noqa: N802
        super().waitUntil(callback, timeout=timeout)

    def waitActive(self, widget: Any, *, timeout: int = PATIENCE_MS) -> Any:  # noqa: N802
        return super().waitActive(widget, timeout=timeout)


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> PatientBot:
    """The bot of pytest-qt with longer timeouts."""
    return PatientBot(request)


@pytest.fixture
def memory(tmp_path: Path) -> Settings:
    """The dock's persistent settings, empty."""
    from napari_cryoet.settings import Settings

    return Settings(tmp_path / "settings.json")


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests at once, for tests that don't depend on the pauses."""
    monkeypatch.setattr("napari_cryoet.network.client._FIRST_PAUSE_S", 0.01)


@pytest.fixture(scope="session")
def project_folder() -> Path:
    """The checkout or unpacked source distribution with these tests."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data(project_folder: Path) -> Path:
    """The folder of real portal data beside the checkout; skips the test if it is missing."""
    folder = project_folder.parent / "shared" / "real"
    if not (folder / "dataset_10000" / "runs.json").is_file():
        pytest.skip("the real portal data (../shared/real) is not on this machine")
    return folder


@pytest.fixture(scope="session")
def make_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], object]], Path]:
    """A function that makes a folder shared by all test processes, from a name and a function.

    Don't write into it.
    """
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
def python_with(
    make_once: Callable[[str, Callable[[Path], object]], Path],
) -> Callable[[str], Callable[..., str]]:
    """Run a script of the tests in an environment with a package that ours doesn't need.

    Skip if it can't be installed.
    """
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }  # without our own

    def prepare(package: str) -> Callable[..., str]:
        def install(folder: Path) -> None:
            folder.mkdir()
            # older packages lack wheels for the newest Python
            for python in filter(shutil.which, ("python3.12", "python3.11", sys.executable)):
                if not subprocess.run(
                    [python, "-m", "venv", folder / "env"], check=False
                ).returncode:
                    break
            command = [python_in(folder), "-m", "pip", "install", "-q", "--prefer-binary", package]
            with suppress(subprocess.SubprocessError):
                subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
                (folder / "installed").touch()

        folder = make_once(f"env-{package}", install)
        if not (folder / "installed").exists():
            pytest.skip(f"{package} can't be installed here")

        def run(script: str, *arguments: Any) -> str:
            command = [
                python_in(folder),
                str(Path(__file__).parent / script),
                *map(str, arguments),
            ]
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=plain)
            assert done.returncode == 0, done.stderr
            return done.stdout

        return run

    return prepare


def python_in(folder: Path) -> str:
    return str(folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


@pytest.fixture(scope="session")
def scripts(project_folder: Path) -> Iterator[str]:
    """The folder of scripts, on the import path."""
    folder = str(project_folder / "scripts")
    sys.path.insert(0, folder)
    yield folder
    sys.path.remove(folder)


@pytest.fixture(scope="session")
def real_pack(
    real_data: Path, scripts: str, make_once: Callable[[str, Callable[[Path], object]], Path]
) -> Any:
    """A pack made from real data, with its largest run made smaller; don't write into it."""
    from napari_cryoet.packs.pack import open_pack

    build = import_module("build_real_pack").build_real_pack
    return open_pack(
        make_once(
            "real-pack", lambda folder: build(real_data, folder, full_shape_zyx=(90, 230, 220))
        )
    )


@pytest.fixture(scope="session")
def demo_pack(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A small demo pack, made once for all tests; don't write into it."""
    from napari_cryoet.demo.write import write_demo_pack

    return make_once("demo-pack", lambda folder: write_demo_pack(folder, size="tiny"))


@pytest.fixture(scope="session")
def generated_pack(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A pack with the tables of a generated portal, for reading only."""
    from generated_portal import SIZES, write_generated_pack

    return make_once("generated-portal", lambda folder: write_generated_pack(folder, **SIZES))


@pytest.fixture
def demo_at_home(demo_pack: Path, user_folder: Path) -> Path:
    """The small demo at the path of the generated demo; its large files are those of the shared one."""
    from napari_cryoet.demo.write import demo_folder

    folder = shutil.copytree(demo_pack, demo_folder(), ignore=shutil.ignore_patterns("files"))
    (folder / "files").symlink_to(demo_pack / "files", target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def served_demo(demo_pack: Path) -> Iterator[dict[str, str]]:
    """The URLs of the small demo served by the command line: ``graphql``, ``files`` and ``s3``."""
    with serving(demo_pack) as (_, urls):
        yield urls
