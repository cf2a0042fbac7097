"""The set-up that scripts/demo and scripts/test share, tried on a copy with a stand-in for Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the scripts are for Linux and macOS")

#: Passes everything on to the real Python but what would take minutes, which it writes down.
STAND_IN = """#!/bin/sh
case "$*" in
  *"-m pip install"*" uv") echo "fetch uv $*" >> "$STAND_IN_LOG"; exit "${FETCH_EXIT:-0}" ;;
  *"-m pip install"*) echo "pip $*" >> "$STAND_IN_LOG"; exit "${PIP_EXIT:-0}" ;;
  *"-m pytest"*) echo "pytest $*"; exit 0 ;;
esac
exec "$STAND_IN_FOR" "$@"
"""
STAND_IN_FOR_UV = """#!/bin/sh
echo "uv $*" >> "$STAND_IN_LOG"
exit "${UV_EXIT:-0}"
"""


class Checkout:
    """A folder with the scripts and what they read, and a machine that needs no system libraries."""

    def __init__(self, folder: Path, project_folder: Path) -> None:
        self.folder = folder / "checkout"
        self.log = folder / "pip.log"
        self.environment = os.environ | {"STAND_IN_LOG": str(self.log), "STAND_IN_FOR": sys.executable}
        shutil.copytree(project_folder / "scripts", self.folder / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(project_folder / name, self.folder)
        tools = folder / "tools"
        self.write_program(tools / "uname", "#!/bin/sh\necho Darwin\n")
        self.environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        self.environment.pop("PYTHON", None)
        for name in ("INDEX_URL", "EXTRA_INDEX_URL", "NO_INDEX", "PROXY", "TRUSTED_HOST", "CLIENT_CERT"):
            self.environment.pop(f"PIP_{name}", None)
        self.environment["PIP_CONFIG_FILE"] = os.devnull

    @staticmethod
    def write_program(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def make_environment(self) -> None:
        self.write_program(self.folder / ".venv" / "bin" / "python", STAND_IN)
        self.write_program(self.folder / ".venv" / "bin" / "uv", STAND_IN_FOR_UV)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.folder / "scripts" / "test"), *arguments]
        return subprocess.run(
            command, env=self.environment | environment, capture_output=True, text=True, timeout=100, check=False
        )

    @property
    def installs(self) -> list[str]:
        """Each attempt to install something, after the name of what did it."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def installers(self) -> list[str]:
        return [line.partition(" ")[0] for line in self.installs]


@pytest.fixture
def checkout(tmp_path, project_folder) -> Checkout:
    return Checkout(tmp_path, project_folder)


def test_the_first_start_installs_and_later_ones_do_not(checkout):
    checkout.make_environment()
    for _ in range(2):
        assert checkout.run().returncode == 0
    assert checkout.installers == ["fetch", "uv"]
    assert all("--constraint" in line for line in checkout.installs)


def test_pip_installs_what_the_faster_installer_could_not(checkout):
    checkout.make_environment()
    assert checkout.run(UV_EXIT="2").returncode == 0
    assert checkout.installers == ["fetch", "uv", "pip"]
    fetched, *rest = (line.split("--constraint", 1)[1] for line in checkout.installs)
    assert rest[0] == rest[1] != fetched


def test_pip_installs_where_the_faster_installer_is_not_to_be_had(checkout):
    checkout.make_environment()
    assert checkout.run(FETCH_EXIT="1").returncode == 0
    assert checkout.installers == ["fetch", "pip"]


@pytest.mark.parametrize("setting", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_PROXY", "PIP_NO_INDEX"])
def test_only_pip_fetches_packages_where_it_was_told_how(checkout, setting):
    checkout.make_environment()
    assert checkout.run(**{setting: "1" if setting == "PIP_NO_INDEX" else "https://packages.invalid/"}).returncode == 0
    assert checkout.installers == ["pip"]


def test_arguments_go_to_pytest(checkout):
    checkout.make_environment()
    started = checkout.run("-k", "two words").stdout
    assert started.startswith("pytest -m pytest -n ")
    assert started.endswith(" -k two words\n")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_dependencies_are_installed_at_the_next_start(checkout, name):
    checkout.make_environment()
    checkout.run()
    with (checkout.folder / name).open("a") as file:
        file.write("# changed\n")
    checkout.run()
    assert checkout.installers == ["fetch", "uv"] * 2


def test_a_failed_installation_is_tried_again(checkout):
    checkout.make_environment()
    failed = checkout.run(UV_EXIT="1", PIP_EXIT="1")
    assert failed.returncode != 0
    assert "installation failed" in failed.stderr
    assert checkout.run().returncode == 0
    assert checkout.installers == ["fetch", "uv", "pip", "fetch", "uv"]


def test_a_python_that_is_too_old_is_named(checkout, tmp_path):
    old = tmp_path / "python3.9"
    checkout.write_program(old, "#!/bin/sh\nexit 1\n")
    failed = checkout.run(PYTHON=str(old))
    assert failed.returncode != 0
    assert "Python 3.11 or newer is needed" in failed.stderr
    assert str(old) in failed.stderr


def test_an_environment_of_somebody_else_is_left_alone(checkout):
    theirs = checkout.folder / ".venv" / "precious"
    checkout.write_program(theirs, "")
    failed = checkout.run()
    assert failed.returncode != 0
    assert "won't be touched" in failed.stderr
    assert theirs.exists()
