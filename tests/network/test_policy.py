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
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Policy]:
    ours = policy()
    ours.restart()
    yield ours
    ours.offline = False
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


def test_offline_sends_nothing_and_says_why(server: Server, ours: Policy) -> None:
    ours.offline = True
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


def test_what_comes_is_counted(server: Server, ours: Policy) -> None:
    read(server, length=1000)
    assert ours.received_bytes == 1000
    server.script("file", sent("cut"), times=1)
    read(server)
    assert ours.received_bytes == 1000 + len(CONTENT) // 2 + len(CONTENT)


def test_a_session_gets_what_it_is_allowed_and_no_more(server: Server, ours: Policy) -> None:
    save_data(mb_a_session=1.5)
    assert read(server) == len(CONTENT)
    with pytest.raises(WithheldError):
        read(server)
    assert read(server, length=1000) == 1000
    assert ours.received_bytes == len(CONTENT) + 1000
    ours.max_session_bytes = None
    assert read(server) == len(CONTENT)


@pytest.mark.parametrize("fault", [in_chunks, without_ranges])
def test_what_was_not_announced_ends_where_no_more_may_come(server: Server, ours: Policy, fault) -> None:
    server.script("file", fault)
    ours.max_session_bytes = 300_000
    with pytest.raises(WithheldError):
        read(server)
    with pytest.raises(WithheldError):
        client.run(streamed(server))
    assert ours.received_bytes <= 300_000


def test_requests_under_way_count_before_they_end() -> None:
    few = Policy(max_session_bytes=1000)
    with few.request(600):
        with pytest.raises(WithheldError), few.request(600):
            pass
        with few.request(400), pytest.raises(WithheldError), few.request():
            pass
    with few.request(1000) as receipt:
        receipt.add(100)
    assert few.received_bytes == 100
    with few.request() as receipt:
        receipt.expect(900)
        with pytest.raises(WithheldError):
            receipt.expect(1001)


def test_a_stream_ends_where_offline_mode_begins(server: Server, ours: Policy) -> None:
    with pytest.raises(WithheldError):
        client.run(streamed(server))
    assert ours.received_bytes < len(CONTENT)


def test_a_request_that_waits_is_not_sent_again_offline(server: Server, ours: Policy) -> None:
    server.script("file", lambda answer: (setattr(ours, "offline", True), status(503)(answer))[1])
    with pytest.raises(WithheldError):
        read(server)
    assert len(server.requests) == 1


def test_work_of_many_requests_asks_before_its_first() -> None:
    few = Policy(max_session_bytes=200_000_000)
    few.require(200_000_000)
    with pytest.raises(WithheldError, match="250 MB"):
        few.require(250_000_000)


@pytest.mark.parametrize("limit_mb", [-1, float("nan"), float("inf")])
def test_a_limit_that_is_none_changes_nothing(ours: Policy, limit_mb: float) -> None:
    save_data(mb_a_session=5, coarse_only=True)
    with pytest.raises(ValueError, match="mb_a_session"):
        save_data(mb_a_session=limit_mb)
    assert (ours.max_session_bytes, ours.coarse_only) == (5_000_000, True)
    assert ours.saves_data
    save_data()
    assert not ours.saves_data


@pytest.mark.parametrize(("said", "offline"), [("1", True), ("0", False), ("", False)])
def test_the_environment_may_say_offline(said: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.OFFLINE_VARIABLE, said)
    code = "from napari_cryoet.network.policy import policy; print(policy().offline)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str(offline)


def test_nothing_but_the_client_speaks_to_servers() -> None:
    """Other code would ignore the limits and offline mode."""
    folder = Path(module.__file__).parent.parent
    speaking = ("import aiohttp", "import urllib3", "import requests", "import http.client", "urlopen")
    found = {
        path.relative_to(folder).parts[0]
        for path in folder.rglob("*.py")
        if any(words in path.read_text(encoding="utf-8") for words in speaking)
    }
    assert {name for name in found if not name.startswith("http")} <= {"network"}
