"""A loopback bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from download_samples import Bucket
from fault_server import FaultServer
from napari_cryoet.download import transfer
from napari_cryoet.network.policy import Policy, policy, save_data


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """The files of the sample run over HTTP."""
    with FaultServer() as server:
        yield Bucket(server)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken connections are taken up again at once."""
    monkeypatch.setattr(transfer, "RETRY_PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def ours() -> Iterator[Policy]:
    """What the network may be used for, counting from nothing."""
    ours = policy()
    ours.restart()
    yield ours
    ours.offline = False
    save_data()
