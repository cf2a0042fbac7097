"""Network use stays within the user's limits, and a refusal says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_cryoet.exceptions import StreamError, WithheldError
from napari_cryoet.network import client
from napari_cryoet.network import policy as module
from napari_cryoet.network.policy import Policy, policy, save_data
from server import Server, in_chunks, sent, status, without_ranges

CONTENT = bytes(1_000_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(find=lambda _path: CONTENT) as server:
        yield server


@pytest.fixture(autouse=True)
def current(monkeypatch: pytest.MonkeyPatch) -> Iterator[Policy]:
    current = policy()
    current.received_bytes = 0
    yield current
    current.offline = False
    save_data()


def read(server: Server, **options: object) -> int:
    return len(client.fetch(f"{server.url}/file", **{"limit_bytes": 2**21, **options}).body)


async def streamed(server: Server) -> int:
    size = 0
    async with client.stream(f"{server.url}/file") as body:
        async for chunk in body:
            size += len(chunk)
            policy().offline = size > 300_000
    return size


def test_offline_mode_sends_nothing_and_says_why(server: Server, current: Policy) -> None:
    current.offline = True
    for request in (
        client.get(server.url, limit_bytes=1),
        client.post_json(server.url, {}, limit_bytes=1),
        streamed(server),
    ):
        with pytest.raises(WithheldError) as caught:
            client.run(request)
        assert caught.value.hint
        assert isinstance(caught.value, StreamError)
    assert server.requests == []


def test_received_bytes_are_counted(server: Server, current: Policy) -> None:
    read(server, length=1000)
    assert current.received_bytes == 1000
    server.script("file", sent("cut"), times=1)
    read(server)
    assert current.received_bytes == 1000 + len(CONTENT) // 2 + len(CONTENT)


def test_a_session_stays_within_its_limit(server: Server, current: Policy) -> None:
    save_data(mb_a_session=1.5)
    assert read(server) == len(CONTENT)
    with pytest.raises(WithheldError):
        read(server)
    assert read(server, length=1000) == 1000
    assert current.received_bytes == len(CONTENT) + 1000
    current.max_session_bytes = None
    assert read(server) == len(CONTENT)


@pytest.mark.parametrize("fault", [in_chunks, without_ranges])
def test_bodies_are_cut_off_at_the_session_limit(server: Server, current: Policy, fault) -> None:
    server.script("file", fault)
    current.max_session_bytes = 300_000
    with pytest.raises(WithheldError):
        read(server)
    with pytest.raises(WithheldError):
        client.run(streamed(server))
    assert current.received_bytes <= 300_000


def test_pending_requests_count_towards_the_limit() -> None:
    limited = Policy(max_session_bytes=1000)
    with limited.request(600):
        with pytest.raises(WithheldError), limited.request(600):
            pass
        with limited.request(400), pytest.raises(WithheldError), limited.request():
            pass
    with limited.request(1000) as receipt:
        receipt.add(100)
    assert limited.received_bytes == 100
    with limited.request() as receipt:
        receipt.expect(900)
        with pytest.raises(WithheldError):
            receipt.expect(1001)


def test_a_stream_ends_when_offline_mode_begins(server: Server, current: Policy) -> None:
    with pytest.raises(WithheldError):
        client.run(streamed(server))
    assert current.received_bytes < len(CONTENT)


def test_requests_are_not_retried_offline(server: Server, current: Policy) -> None:
    server.script(
        "file", lambda answer: (setattr(current, "offline", True), status(503)(answer))[1]
    )
    with pytest.raises(WithheldError):
        read(server)
    assert len(server.requests) == 1


def test_require_refuses_work_over_the_limit() -> None:
    limited = Policy(max_session_bytes=200_000_000)
    limited.require(200_000_000)
    with pytest.raises(WithheldError, match="250 MB"):
        limited.require(250_000_000)


@pytest.mark.parametrize("limit_mb", [-1, float("nan"), float("inf")])
def test_an_invalid_limit_changes_nothing(current: Policy, limit_mb: float) -> None:
    save_data(mb_a_session=5, coarse_only=True)
    with pytest.raises(ValueError, match="mb_a_session"):
        save_data(mb_a_session=limit_mb)
    assert (current.max_session_bytes, current.coarse_only) == (5_000_000, True)
    assert current.saves_data
    save_data()
    assert not current.saves_data


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("0", False), ("", False)])
def test_the_environment_sets_offline_mode(
    value: str, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(module.OFFLINE_VARIABLE, value)
    code = "from napari_cryoet.network.policy import policy; print(policy().offline)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == str(offline)


def test_only_the_network_package_sends_requests() -> None:
    """Other code would ignore the limits and offline mode."""
    folder = Path(module.__file__).parent.parent
    imports = (
        "import aiohttp",
        "import urllib3",
        "import requests",
        "import http.client",
        "urlopen",
    )
    importers = {
        path.relative_to(folder).parts[0]
        for path in folder.rglob("*.py")
        if any(text in path.read_text(encoding="utf-8") for text in imports)
    }
    assert {name for name in importers if not name.startswith("http")} <= {"network"}
