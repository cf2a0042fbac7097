"""Where the interpreters of tests say what they were doing when they crashed, for the end of the report.

A process of tests that crashes takes with it what pytest has captured of its errors; the report says only that it did.
"""

from __future__ import annotations

import faulthandler
import os
import tempfile
from pathlib import Path

import pytest

_VARIABLE = "NAPARI_CRYOET_FAULT_TRACES"
_RUNNERS = ("/_pytest/", "/pluggy/", "/xdist/", "/execnet/", "Extension modules:")  # below every test, and say nothing


@pytest.hookimpl(trylast=True)  # after pytest's own, which would write where nobody looks
def pytest_configure(config: pytest.Config) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="napari-cryoet-faults-")  # the other processes inherit it
    elif _VARIABLE in os.environ:
        path = Path(os.environ[_VARIABLE], f"{worker}-{os.getpid()}.txt")
        file = path.open("w", encoding="utf-8")
        config.add_cleanup(file.close)
        faulthandler.enable(file, all_threads=True)
        config.add_cleanup(faulthandler.disable)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for path in _traces():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if lines:
            terminalreporter.section(f"crash of {path.stem}", red=True)
            told = [line for line in lines if not any(runner in line for runner in _RUNNERS)]
            terminalreporter.write_line("\n".join(told))


def pytest_unconfigure() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        for path in _traces():
            path.unlink()
        Path(os.environ.pop(_VARIABLE)).rmdir()


def _traces() -> list[Path]:
    return sorted(Path(os.environ[_VARIABLE]).glob("*.txt"))
