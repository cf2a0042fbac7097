"""The shared set-up of scripts/demo and scripts/test, run on a copy with fake Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the scripts are for Linux and macOS")

#: Passes calls on to the real Python, but only records those that would take minutes.
STAND_IN = """#!/bin/sh
case "$*" in
  *"-m pip install"*" uv") echo "fetch uv $*" >> "$STAND_IN_LOG"; exit "${FETCH_EXIT:-0}" ;;
  *"-m pip install"*" pip") exit 0 ;;
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
    """A folder with the scripts and their input files, on a machine that needs no system libraries."""

    def __init__(self, folder: Path, project_folder: Path) -> None:
        self.folder = folder / "checkout"
        self.log = folder / "pip.log"
        self.environment = os.environ | {
            "STAND_IN_LOG": str(self.log),
            "STAND_IN_FOR": sys.executable,
        }
        shutil.copytree(project_folder / "scripts", self.folder / "scripts")
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(project_folder / name, self.folder)
        tools = folder / "tools"
        self.write_program(tools / "uname", "#!/bin/sh\necho Darwin\n")
        self.environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        self.environment.pop("PYTHON", None)
        for name in (
            "INDEX_URL",
            "EXTRA_INDEX_URL",
            "NO_INDEX",
            "PROXY",
            "TRUSTED_HOST",
            "CLIENT_CERT",
        ):
            self.environment.pop(f"PIP_{name}", None)
        self.environment["PIP_CONFIG_FILE"] = os.devnull

    @staticmethod
    def write_program(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.folder / "scripts" / "test"), *arguments]
        return subprocess.run(
            command,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @property
    def installs(self) -> list[str]:
        """Each attempted installation, after the name of the installer."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def installers(self) -> list[str]:
        return [line.partition(" ")[0] for line in self.installs]


@pytest.fixture
def checkout(tmp_path, project_folder) -> Checkout:
    checkout = Checkout(tmp_path, project_folder)
    checkout.write_program(checkout.folder / ".venv" / "bin" / "python", STAND_IN)
    checkout.write_program(checkout.folder / ".venv" / "bin" / "uv", STAND_IN_FOR_UV)
    return checkout


def test_packages_are_installed_once_and_again_after_changes(checkout):
    started = [checkout.run("-k", "two words") for _ in range(2)]
    assert all(each.stdout.endswith(" -k two words\n") for each in started)
    assert checkout.installers == ["fetch", "uv"]
    assert all("--constraint" in line for line in checkout.installs)

    with (checkout.folder / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    checkout.run()
    assert checkout.installers == ["fetch", "uv"] * 2


def test_pip_is_used_if_uv_fails(checkout):
    assert checkout.run(UV_EXIT="2").returncode == 0
    assert checkout.installers == ["fetch", "uv", "pip"]


@pytest.mark.parametrize(
    "setting", [{"FETCH_EXIT": "1"}, {"PIP_INDEX_URL": "https://packages.invalid/"}]
)
def test_pip_is_used_if_uv_is_unavailable_or_pip_is_configured(checkout, setting):
    assert checkout.run(**setting).returncode == 0
    assert checkout.installers[-1] == "pip"
    assert "uv" not in checkout.installers


def test_a_failed_installation_is_retried(checkout):
    failed = checkout.run(UV_EXIT="1", PIP_EXIT="1")
    assert failed.returncode != 0
    assert "installation failed" in failed.stderr
    assert checkout.run().returncode == 0


def test_an_old_python_or_a_foreign_environment_is_an_error(checkout, tmp_path):
    theirs = checkout.folder / ".venv" / "precious"
    shutil.rmtree(theirs.parent)
    old = tmp_path / "python3.9"
    checkout.write_program(old, "#!/bin/sh\nexit 1\n")
    failed = checkout.run(PYTHON=str(old))
    assert failed.returncode != 0
    assert str(old) in failed.stderr

    checkout.write_program(theirs, "")
    assert checkout.run().returncode != 0
    assert theirs.exists()
