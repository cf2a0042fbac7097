"""Selections of the demo's runs, and environments for other programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from napari_cryoet.basket.basket import Basket, Choices, Split
from napari_cryoet.download import Rows
from napari_cryoet.exports.selection import Selection, select
from napari_cryoet.portal.portal import ask_rows, open_portal
from napari_cryoet.runs.runs import Runs

#: Runs with ground truth, masks and picks of others; and one that has nothing but a tomogram.
RUNS = (9001, 9005, 9003)
INSTALL_TIMEOUT_S = 600


@pytest.fixture
def demo_rows(demo_pack: Path) -> Rows:
    return ask_rows(open_portal(demo_pack), run_ids=RUNS)


@pytest.fixture
def selection_of(demo_pack: Path, demo_rows: Rows) -> Callable[..., Selection]:
    """Select the demo's annotations of some or all objects; parts of the split may be empty."""

    def make(*objects: str, tomogram: str = "default", **options: Any) -> Selection:
        rows = demo_rows["annotations"]
        annotations = tuple(
            row["id"] for row in rows if not objects or row["objectName"] in objects
        )
        runs, choices = () if objects else (9003,), Choices(with_tomogram=tomogram)
        split = Split(train=(9001,), test=(9005,))
        basket = Basket(runs=runs, annotations=annotations, choices=choices, split=split)
        source = open_portal(demo_pack).source
        runs_of_rows = Runs.of_rows(demo_rows, source.terms)
        return select(basket, runs_of_rows, source, **{"allow_empty": True, **options})

    return make


@pytest.fixture(scope="session")
def python_with(
    make_once: Callable[[str, Callable[[Path], object]], Path],
) -> Callable[[str], Callable[..., str]]:
    """Run a script in an environment with a package that conflicts with ours.

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
                str(Path(__file__).with_name(script)),
                *map(str, arguments),
            ]
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=plain)
            assert done.returncode == 0, done.stderr
            return done.stdout

        return run

    return prepare


def python_in(folder: Path) -> str:
    return str(folder / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
