"""The portal over HTTP: what was seen before opens without network, and a stop is heard at once."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gql import GraphQLRequest

from fault_server import FaultServer, reply
from napari_cryoet import http as http_module
from napari_cryoet.exceptions import NetworkError, NotFoundError, PortalError, StoppedError
from napari_cryoet.http import Http
from napari_cryoet.packs.transport import PackTransport
from napari_cryoet.portal import Portal, Source, open_portal
from napari_cryoet.portal.cache import AnswerCache
from napari_cryoet.portal.transports import HttpTransport
from portal_rows import Tables


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


class Switch:
    """A server's behaviour: answers from a pack, or fails as it is told to."""

    def __init__(self, folder: Path) -> None:
        self._pack = PackTransport(folder)
        self.fault = None

    def __call__(self, connection, request):
        if self.fault is not None:
            return self.fault(connection, request)
        body = json.loads(request.body)
        result = self._pack.execute(GraphQLRequest(body["query"], variable_values=body.get("variables")))
        answer = {"data": result.data, "errors": [{"message": str(each)} for each in result.errors or ()]}
        return reply(json.dumps(answer).encode())(connection, request)


@pytest.fixture
def remote(server, tmp_path, monkeypatch):
    """Opens portals to one server that share a cache, and the switch that breaks it; dataset 5 has run 6."""
    monkeypatch.setattr(http_module, "_FIRST_PAUSE_S", 0.001)
    tables = Tables()
    tables.add("datasets", id=5, depositionId=tables.add("depositions", id=4), title="One")
    tables.add("runs", id=6, datasetId=5, name="TS_1")
    switch = Switch(tables.write(tmp_path / "pack"))
    server.behave(switch)

    def open_remote(**options) -> Portal:
        source, http = Source("url", server.url, "Test"), Http(timeout_s=60)
        cache = AnswerCache(tmp_path / "cache")
        return Portal(source, lambda _: HttpTransport(server.url, http), cache=cache, **options)

    return open_remote, switch


def test_a_page_over_http_is_the_page_of_the_pack(remote, server, tmp_path):
    open_remote, _ = remote
    portal, local = open_remote(), open_portal(tmp_path / "pack")
    before = len(server.requests)
    assert portal.run_page(6).run.dataset == local.run_page(6).run.dataset
    assert len(server.requests) == before + 1
    assert portal.dataset_page(5).runs == local.dataset_page(5).runs
    assert portal.catalogue().rows == local.catalogue().rows
    assert portal.deposition_page(4).datasets == local.deposition_page(4).datasets
    assert portal.lookup(6) == local.lookup(6)
    assert portal.search("one") == local.search("one")


def test_a_fresh_answer_says_when_it_came(remote):
    open_remote, _ = remote
    freshness = open_remote().run_page(6).freshness
    assert abs((datetime.now(UTC) - freshness.fetched_at).total_seconds()) < 60
    assert (freshness.is_offline, freshness.reason) == (False, "")


def every_page(portal: Portal):
    return (
        portal.catalogue(),
        portal.dataset_page(5),
        portal.run_page(6),
        portal.deposition_page(4),
        portal.lookup(6),
        portal.search("one"),
    )


def test_without_network_all_that_was_seen_opens_with_its_date(remote):
    open_remote, switch = remote
    seen = every_page(open_remote())
    switch.fault = reply(b"", 503)
    again = every_page(open_remote())
    for before, after in zip(seen[:4], again[:4], strict=True):
        assert after.freshness.fetched_at == before.freshness.fetched_at
        assert after.freshness.is_offline
        assert "503" in after.freshness.reason
    assert again[0].rows == seen[0].rows
    assert again[2].run == seen[2].run
    assert again[4:] == seen[4:]


def test_runs_that_a_script_listed_are_a_page_of_the_dock_without_network(remote):
    open_remote, switch = remote
    listed = list(open_remote().runs(5))
    switch.fault = reply(b"", 503)
    assert open_remote().dataset_page(5).runs == tuple(listed)


def test_without_network_what_was_never_seen_is_an_error_in_words(remote):
    open_remote, switch = remote
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError, match="problem of its own"):
        open_remote().run_page(6)


def test_the_catalogue_is_fresh_again_when_the_network_is_back(remote):
    open_remote, switch = remote
    open_remote().catalogue()
    portal = open_remote()
    switch.fault = reply(b"", 503)
    assert portal.catalogue().freshness.is_offline
    switch.fault = None
    assert not portal.catalogue().freshness.is_offline


def test_the_last_catalogue_can_be_had_without_asking(remote, server):
    open_remote, _ = remote
    assert open_remote().cached_catalogue() is None
    open_remote().catalogue()
    before = len(server.requests)
    kept = open_remote().cached_catalogue()
    assert [row.title for row in kept.rows] == ["One"]
    assert not kept.freshness.is_offline
    assert len(server.requests) == before


def test_working_offline_asks_nobody(remote, server):
    open_remote, _ = remote
    open_remote().run_page(6)
    before = len(server.requests)
    portal = open_remote(offline=True)
    assert portal.run_page(6).freshness.is_offline
    with pytest.raises(PortalError, match="working offline"):
        portal.dataset_page(5)
    assert portal.cached_catalogue() is None
    assert len(server.requests) == before


def test_an_error_of_the_portal_is_not_papered_over_with_an_old_answer(remote):
    open_remote, switch = remote
    portal = open_remote()
    portal.run_page(6)
    switch.fault = reply(b'{"data": null, "errors": [{"message": "Unexpected error."}]}')
    with pytest.raises(PortalError, match="Unexpected error"):
        portal.run_page(6)


def test_an_answer_that_is_not_understood_is_not_kept(remote):
    open_remote, switch = remote
    switch.fault = reply(b'{"data": {"runs": [{"id": "6"}]}}')
    portal = open_remote()
    with pytest.raises(PortalError, match="can't be understood"):
        portal.run_page(6)
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError):
        portal.run_page(6)


def test_a_withdrawn_run_is_not_shown_from_the_disk(remote):
    open_remote, switch = remote
    portal = open_remote()
    page = portal.run_page(6)
    assert page.run.name == "TS_1"
    empty = {name: [] for name in ("runs", "datasetAuthors", "datasetFunding")}
    switch.fault = reply(json.dumps({"data": empty}).encode())
    with pytest.raises(NotFoundError):
        portal.run_page(6)
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError):
        portal.run_page(6)


def test_an_answer_kept_by_an_older_version_is_a_miss(remote, tmp_path, monkeypatch):
    open_remote, switch = remote
    open_remote().run_page(6)
    monkeypatch.setattr(AnswerCache, "get", lambda *_: type("Old", (), {"data": {}, "fetched_at": datetime.now(UTC)})())
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError):
        open_remote().run_page(6)


def test_a_stop_is_heard_while_the_portal_is_silent(remote, server):
    open_remote, switch = remote
    switch.fault = server.silence
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        open_remote().run_page(6, stop=stop)
    assert time.monotonic() - began < 30  # half of the client's time limit; benchmarks/stop_latency.py measures it


def test_a_stop_is_heard_while_another_thread_makes_the_demo():
    release, entered = threading.Event(), threading.Event()

    def slow(_):
        entered.set()
        release.wait(60)
        raise PortalError("never mind")

    portal = Portal(Source("demo", "demo", "Demo"), slow)

    def first():
        with pytest.raises(PortalError):
            portal.catalogue()

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(30)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(StoppedError):
        portal.catalogue(stop=stop)
    assert thread.is_alive(), "the other one is still at it"
    release.set()
    thread.join(30)


def test_many_threads_share_a_portal(remote):
    open_remote, _ = remote
    portal, pages = open_remote(), []
    threads = [threading.Thread(target=lambda: pages.append(portal.run_page(6))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [page.run.name for page in pages] == ["TS_1"] * 12
