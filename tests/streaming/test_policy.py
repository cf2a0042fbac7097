"""The network is used as far as the person allows, and a refusal says why."""

from __future__ import annotations

import threading
import time

import pytest

from napari_cryoet.exceptions import StreamError, WithheldError
from napari_cryoet.streaming.policy import OFFLINE_VARIABLE, GuardedSource, Policy, shared_policy
from napari_cryoet.streaming.sources import open_source
from stream_server import StreamServer

CONTENT = bytes(1000)


@pytest.fixture
def served(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    with StreamServer(tmp_path) as server:
        yield server


def source_under(policy, served):
    return GuardedSource(open_source(served.url, cache=None), policy)


def test_offline_sends_nothing_and_says_why(served):
    policy = Policy(offline=True)
    with pytest.raises(WithheldError, match="offline mode is on") as caught:
        source_under(policy, served).read("x")
    assert "off" in caught.value.hint
    assert served.requests == []
    policy.offline = False
    assert source_under(policy, served).read("x").content == CONTENT


def test_what_comes_over_the_wire_is_counted(served):
    policy = Policy()
    source = source_under(policy, served)
    source.read("x", length=300)
    source.read("x", start=900, length=300)
    source.read("nothing")
    assert policy.received_bytes == 400


def test_a_session_gets_what_it_is_allowed_and_no_more(served):
    policy = Policy(max_session_bytes=1500)
    source = source_under(policy, served)
    source.read("x")
    with pytest.raises(WithheldError, match=r"0\.0015 MB a session"):
        source.read("x", length=501)
    assert len(source.read("x", length=500).content) == 500
    with pytest.raises(WithheldError, match="a session"):
        source.read("x")
    policy.max_session_bytes = None
    assert source.read("x").content == CONTENT


def test_a_minute_gets_what_it_is_allowed_and_the_next_one_too(served, monkeypatch):
    policy = Policy(max_minute_bytes=1000)
    source = source_under(policy, served)
    source.read("x")
    with pytest.raises(WithheldError, match="a minute"):
        source.read("x", length=1)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert source.read("x").content == CONTENT


def test_requests_under_way_count_before_they_end(served):
    policy = Policy(max_session_bytes=1000)
    source = source_under(policy, served)
    served.gate.clear()
    first = threading.Thread(target=source.read, args=("x",), kwargs={"length": 800})
    asked = threading.Event()
    served.before_answer = lambda *_: None
    first.start()
    while not served.requests:
        asked.wait(0.01)
    with pytest.raises(WithheldError):
        source.read("x", length=300)
    served.gate.set()
    first.join(30)
    assert len(source.read("x", length=200).content) == 200


def test_a_request_that_failed_costs_only_what_came(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    policy = Policy(max_session_bytes=1000)
    served.statuses["x"] = 500
    with pytest.raises(StreamError):
        source_under(policy, served).read("x", length=1000)
    served.statuses.clear()
    assert source_under(policy, served).read("x", length=1000).content == CONTENT


def test_all_that_streams_from_servers_obeys_the_policy_of_the_process(served, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_policy(), "offline", True)
    with pytest.raises(WithheldError):
        open_source(served.url).read("x")
    with pytest.raises(WithheldError):
        open_source(served.url, cache=None).read("x")
    assert open_source(tmp_path).read("x").content == CONTENT


@pytest.mark.parametrize(("said", "offline"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_environment_may_say_offline(said, offline, monkeypatch):
    monkeypatch.setenv(OFFLINE_VARIABLE, said)
    assert shared_policy.__wrapped__().offline is offline
