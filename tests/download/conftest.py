"""The sample dataset, behind a scriptable server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from download_samples import sample_rows, write_files
from napari_cryoet.download import Plan, plan_download
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

    def make(*what: str, change: Callable[[Any], None] = lambda _rows: None, **options: Any) -> Plan:
        rows = sample_rows(f"{bucket.url}/")
        change(rows)
        return plan_download(rows, what=what or ("everything",), **options)

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
