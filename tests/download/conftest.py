"""The sample dataset, behind a scriptable server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from download_samples import sample_rows, write_files
from napari_cryoet.download import Plan
from napari_cryoet.download.plan import every_cell, file_cells, plan_cells, volume_cells
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy, save_data
from server import Server


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Server]:
    """The files of the sample over HTTP; they may be changed at any time in ``bucket.folder``."""
    write_files(tmp_path / "bucket")
    with Server(tmp_path / "bucket") as server:
        yield server


@pytest.fixture
def plan_of(bucket: Server) -> Callable[..., Plan]:
    """Make a plan of the sample on the server, by default of everything; ``change`` changes rows before."""

    def make(*what: str, change: Callable[[Any], None] = lambda _rows: None, volume_format: Any = "zarr") -> Plan:
        rows = sample_rows(f"{bucket.url}/")
        change(rows)
        tomograms = volume_cells("tomograms", rows["tomograms"], volume_format)
        files = rows["annotationFiles"]
        parts = {
            "tomogram": tomograms,
            "annotations": file_cells(files, volume_format),
            "points": file_cells(files[:1], volume_format),
        }
        cells = chain.from_iterable(parts[each] for each in what) if what else every_cell(rows)
        return plan_cells(rows, None, cells)

    return make


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once: nothing else here says how long that takes."""
    monkeypatch.setattr("napari_cryoet.download.transfer._PAUSE_S", 0.01)
    monkeypatch.setattr(client, "_FIRST_PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    """The network may be used, whatever a test forbids."""
    policy().restart()
    yield
    policy().offline = False
    save_data()
