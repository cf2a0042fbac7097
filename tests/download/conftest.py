"""The sample dataset, behind a scriptable server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from download_samples import sample_rows, write_files
from napari_cryoet.download import Plan
from napari_cryoet.download.plan import plan_cells
from napari_cryoet.network.policy import policy, save_data
from napari_cryoet.runs.runs import every_cell, file_cells, volume_cells
from server import Server


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Server]:
    """The sample's files over HTTP; tests can change them at any time in ``bucket.folder``."""
    write_files(tmp_path / "bucket")
    with Server(tmp_path / "bucket") as server:
        yield server


@pytest.fixture
def plan_of(bucket: Server) -> Callable[..., Plan]:
    """Plan a download of the sample from the server, by default all of it.

    ``change`` edits the rows first.
    """

    def make(
        *what: str, change: Callable[[Any], None] = lambda _rows: None, volume_format: Any = "zarr"
    ) -> Plan:
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
def short_pauses(monkeypatch: pytest.MonkeyPatch, quick_retries: None) -> None:
    """Retry immediately, since no test here depends on the pauses."""
    monkeypatch.setattr("napari_cryoet.download.transfer._PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    """Allow network use, and undo the restrictions that a test sets."""
    policy().received_bytes = 0
    yield
    policy().offline = False
    save_data()
