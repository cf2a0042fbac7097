"""The HTTP transport: what a server says in whatever form becomes data or one of our errors."""

from __future__ import annotations

import json
import threading
import time

import pytest
from gql import GraphQLRequest

from fault_server import FaultServer, raw, reply
from napari_cryoet import http as http_module
from napari_cryoet.exceptions import NetworkError, PortalError, StoppedError
from napari_cryoet.http import Http
from napari_cryoet.portal.transports import MAX_IN_FLIGHT, HttpTransport, data_of

REQUEST = GraphQLRequest("query A($id: Int!) { runs(where: {id: {_eq: $id}}) { id } }", variable_values={"id": 5})


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def transport(server, monkeypatch):
    monkeypatch.setattr(http_module, "_FIRST_PAUSE_S", 0.001)
    return HttpTransport(server.url, Http(timeout_s=60))


def test_a_query_goes_out_as_text_with_its_variables(server, transport):
    server.behave(reply(b'{"data": {"runs": []}}'))
    assert data_of(transport.execute(REQUEST)) == {"runs": []}
    (sent,) = server.requests
    body = json.loads(sent.body)
    assert "_eq: $id" in body["query"]
    assert body["variables"] == {"id": 5}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"data": null, "errors": [{"message": "Unexpected error.", "locations": []}]}', "Unexpected error."),
        (b'{"errors": [{"message": "Max filter depth exceeded"}]}', "Max filter depth exceeded"),
        (b'{"data": {"runs": []}, "errors": [{"message": "half"}]}', "half"),
        (b'{"errors": "all wrong"}', "all wrong"),
        (b'{"errors": [{"code": 5}]}', "code"),
        (b'{"errors": [7]}', "7"),
        (b'{"errors": {"message": 5}}', "5"),
        (b'{"data": null}', "empty"),
        (b"{}", "empty"),
        (b'{"data": []}', "empty"),
        (b"[]", "isn't a GraphQL reply"),
        (b"null", "isn't a GraphQL reply"),
        (b'"text"', "isn't a GraphQL reply"),
    ],
)
def test_an_answer_without_data_is_a_portal_error(server, transport, body, words):
    server.behave(reply(body))
    with pytest.raises(PortalError, match=words):
        data_of(transport.execute(REQUEST))


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_query_says_why(server, transport, status):
    server.behave(reply(b'{"errors": [{"message": "Cannot query field x"}]}', status))
    with pytest.raises(PortalError, match="Cannot query field x"):
        data_of(transport.execute(REQUEST))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"errors": []}', b"[" * 100_000])
def test_a_refusal_without_words_is_a_network_error(server, transport, body):
    server.behave(reply(body, 400))
    with pytest.raises(NetworkError, match="400"):
        transport.execute(REQUEST)


def test_a_servers_words_are_kept_short_and_plain(server, transport):
    server.behave(reply(json.dumps({"errors": [{"message": "x\n\u0000<b>" + "y" * 10_000 + "\ud800"}]}).encode()))
    with pytest.raises(PortalError) as caught:
        data_of(transport.execute(REQUEST))
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "/etc/passwd",
        "C:\\\\secrets",
        "\\\\\\\\host\\\\share",
        "ftp://x",
        "s3://x",
        "text",
    ],
)
def test_a_server_cannot_point_us_to_files_of_this_computer(server, transport, url):
    rows = [{"httpsPath": url, "keyPhotoUrl": url, "title": url, "run": {"httpsPrefix": url}, "s3Path": url}]
    server.behave(reply(json.dumps({"data": {"annotationFiles": rows}}).encode()))
    (row,) = data_of(transport.execute(REQUEST))["annotationFiles"]
    assert row == {"httpsPath": "", "keyPhotoUrl": "", "title": url, "run": {"httpsPrefix": ""}, "s3Path": url}


def test_web_addresses_arrive_as_they_are(server, transport):
    rows = [{"httpsPath": "https://x.org/a b%20c", "keyPhotoUrl": None, "httpsPrefix": "HTTP://x.org"}]
    server.behave(reply(json.dumps({"data": {"runs": rows}}).encode()))
    assert data_of(transport.execute(REQUEST)) == {"runs": rows}


@pytest.mark.parametrize(
    "behaviour", [reply(b"", 502), reply(b"<html>"), reply(b"{", length=500, keep=False), raw(b""), reply(b"", 403)]
)
def test_no_usable_answer_is_a_network_error(server, transport, behaviour):
    server.behave(behaviour)
    with pytest.raises(NetworkError):
        transport.execute(REQUEST)


def test_few_requests_are_in_flight_at_once(server, transport):
    running, most, lock = 0, 0, threading.Lock()
    all_places_are_taken = threading.Barrier(MAX_IN_FLIGHT)

    def slow(connection, request):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_places_are_taken.wait(30)
        with lock:
            running -= 1
        reply(b'{"data": {}}')(connection, request)

    server.behave(slow)
    threads = [threading.Thread(target=transport.execute, args=(REQUEST,)) for _ in range(3 * MAX_IN_FLIGHT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(server.requests) == 3 * MAX_IN_FLIGHT
    assert most == MAX_IN_FLIGHT


def test_a_stop_is_heard_while_waiting_for_a_place(server, transport):
    enough, asked = threading.Event(), threading.Semaphore(0)

    def silence(connection, request):
        asked.release()
        server.silence(connection, request)

    server.behave(silence)

    def occupy():
        with pytest.raises(StoppedError):
            transport.execute(REQUEST, stop=enough)

    occupants = [threading.Thread(target=occupy) for _ in range(MAX_IN_FLIGHT)]
    for thread in occupants:
        thread.start()
    for _ in occupants:
        assert asked.acquire(timeout=30)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        transport.execute(REQUEST, stop=stop)
    assert time.monotonic() - began < 30  # half of the client's time limit; benchmarks/stop_latency.py measures it
    enough.set()
    for thread in occupants:
        thread.join(30)
    assert len(server.requests) == MAX_IN_FLIGHT


def test_a_place_is_free_again_after_a_failure(server, transport):
    server.behave(reply(b"", 403))
    for _ in range(MAX_IN_FLIGHT + 1):
        with pytest.raises(NetworkError):
            transport.execute(REQUEST)
    server.behave(reply(b'{"data": {}}'))
    assert transport.execute(REQUEST).data == {}
