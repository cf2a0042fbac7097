"""A loopback bucket, and a client that asks once."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from download_samples import Bucket
from fault_server import FaultServer
from napari_cryoet import http_bodies
from napari_cryoet.download import transfer
from napari_cryoet.http import Http


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """The files of the sample run over HTTP."""
    with FaultServer() as server:
        yield Bucket(server)


@pytest.fixture
def http() -> Iterator[Http]:
    """A client that asks once."""
    client = Http(timeout_s=60, attempts=1)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken connections are taken up again at once."""
    monkeypatch.setattr(transfer, "RETRY_PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def even_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies are handed out by the MiB: on a busy machine less would come of it that a quarter of a second is over."""
    monkeypatch.setattr(http_bodies, "_CHUNK_S", math.inf)
