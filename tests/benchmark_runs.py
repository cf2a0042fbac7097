"""Benchmarks tried on a tiny volume, in the test's process: to start one for each measurement would take minutes."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

_run = subprocess.run
SHAPE = (16, 64, 64)
READS_PROC = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="benchmarks read Linux's /proc")
RIVALS = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("aiohttp", "requests"))),
    reason="rivals read through aiohttp and requests, of the extra “bench”, which tests don't need",
)


class BenchmarkRuns:
    """Runs benchmarks as from a command line; what they start a process for is done here, one after the other."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.children = 0

    def module(self, name: str) -> ModuleType:
        """One of the benchmarks, so that a test can make its numbers small."""
        return importlib.import_module(name)

    def run(self, name: str, *arguments: object) -> Any:
        """What a benchmark writes."""
        with patch.dict(os.environ):
            return json.loads(self._main(self.folder / f"{name}.py", *arguments))

    def _main(self, path: Path, *arguments: object) -> str:
        module, written = self.module(path.stem), io.StringIO()
        with (
            patch("sys.argv", [str(path), *map(str, arguments)]),
            patch("subprocess.run", self._in_this_process),
            patch("os._exit", _end),
            contextlib.redirect_stdout(written),
            contextlib.suppress(_EndedError),
        ):
            module.main()
        return written.getvalue()

    def _in_this_process(self, call: list[object], **options: Any) -> subprocess.CompletedProcess[str]:
        from napari_cryoet.streaming.disk_cache import shared_disk_cache

        if call[0] != sys.executable:  # a library's
            return _run(call, **options)
        self.children += 1
        with patch.dict(os.environ, options.get("env", {})):
            written = self._main(Path(str(call[1])), *call[2:])
            if (disk := shared_disk_cache()) is not None:
                disk.flush()
        return subprocess.CompletedProcess(call, 0, written, "")


class _EndedError(BaseException):
    """A process would have ended here."""


def _end(code: int) -> None:
    assert code == 0
    raise _EndedError


@pytest.fixture(scope="module")
def benchmark_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the benchmarks of a test file keep their volumes."""
    return tmp_path_factory.mktemp("benchmark-data")


@pytest.fixture
def benchmarks(project_folder: Path, benchmark_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchmarkRuns]:
    """The benchmarks, with a tiny volume and as they are when they are started: no test's changes are left in them."""
    import dask
    import zarr

    folder = project_folder / "benchmarks"
    if not folder.is_dir():
        pytest.skip("a source distribution has no benchmarks")
    names = {path.stem for path in folder.glob("*.py")}
    monkeypatch.setenv("BENCH_SHAPE", "x".join(map(str, SHAPE)))
    monkeypatch.setenv("BENCH_CHUNK", "48")
    monkeypatch.syspath_prepend(str(folder))
    with dask.config.set(), zarr.config.set():
        yield BenchmarkRuns(folder, benchmark_data)
    for name in names:
        sys.modules.pop(name, None)


def require_sane(found: Any, *, may_lack: frozenset[str] = frozenset(), where: str = "") -> None:
    """Fail where a result has a number that can't be, or none where there has to be one."""
    match found:
        case dict():
            assert found, where
            for name, value in found.items():
                if not (value is None and name in may_lack):
                    require_sane(value, may_lack=may_lack, where=f"{where}/{name}")
        case list():
            for number, value in enumerate(found):
                require_sane(value, may_lack=may_lack, where=f"{where}/{number}")
        case int() | float():
            assert math.isfinite(found), where
            assert found >= 0, where
        case str():
            assert found, where
        case _:
            raise AssertionError(f"{where} is {found!r}")
