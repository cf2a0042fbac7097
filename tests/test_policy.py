"""The network is used as far as the person allows, and a refusal says why."""

from __future__ import annotations

import ast
import gzip
import itertools
import math
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import napari_cryoet
from fault_server import FaultServer, raw, reply
from napari_cryoet.errand import Errand, started
from napari_cryoet.exceptions import StoppedError, StreamError, WithheldError
from napari_cryoet.http import Http, shared_http
from napari_cryoet.network.policy import OFFLINE_VARIABLE, Policy, save_data, shared_policy
from napari_cryoet.pictures import read_picture
from napari_cryoet.portal import open_portal
from napari_cryoet.streaming.sources import HttpSource, open_source
from stream_server import StreamServer

CONTENT = bytes(1000)
#: Modules, and what is in some, through which a program may speak to servers.
CLIENTS = {"urllib3", "http.client", "requests", "aiohttp", "httpx", "obstore", "fsspec", "s3fs", "websockets"}
CLIENTS |= {"urllib.request.urlopen", "urllib.request.Request", "socket.create_connection", "cryoet_data_portal"}
CLIENTS |= {"gql.Client", "gql.transport.requests", "gql.transport.aiohttp", "gql.transport.httpx"}
CLIENTS |= {"zarr.storage.FsspecStore", "zarr.storage.ObjectStore", "qtpy.QtNetwork", "qtpy.QtWebEngineWidgets"}


@pytest.fixture
def served(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    with StreamServer(tmp_path) as server:
        yield server


def source_under(policy, served):
    return HttpSource(served.url, http=Http(policy=policy))


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


def test_who_wants_more_than_a_minute_ever_has_is_not_told_to_wait():
    policy = Policy(max_minute_bytes=1000)
    with pytest.raises(WithheldError, match="a minute") as caught:
        policy.begin(1001)
    assert "Wait" not in caught.value.hint
    policy.begin(600)
    with pytest.raises(WithheldError, match="a minute") as caught:
        policy.begin(600)
    assert "Wait a minute" in caught.value.hint


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


def test_what_is_read_whole_counts_as_soon_as_its_server_says_how_much_it_is(served):
    """Before, nobody knows; many at a time would come to many times what is allowed."""
    policy = Policy(max_session_bytes=2500)
    source = source_under(policy, served)
    served.gate.clear()
    reads = [started(lambda: source.read("x")) for _ in range(8)]
    while len(served.requests) < len(reads):
        threading.Event().wait(0.01)
    served.gate.set()
    withheld = [read for read in reads if isinstance(read.exception(30), WithheldError)]
    assert policy.received_bytes <= 2500
    assert all(read in withheld or read.result().content == CONTENT for read in reads)
    assert len(withheld) >= len(reads) - 2
    policy.max_session_bytes = None
    assert source.read("x").content == CONTENT


def test_what_a_server_that_knows_no_ranges_sends_besides_counts_as_soon_as_it_is_known():
    """A hundred bytes at the end of a file bring all that is before them."""
    policy, all_have_come = Policy(max_session_bytes=2500), threading.Barrier(9)

    def behave(connection, request):
        all_have_come.wait(30)
        reply(CONTENT)(connection, request)

    with FaultServer() as server:
        source = HttpSource(server.behave(behave), http=Http(policy=policy))
        reads = [started(lambda: source.read("", start=900, length=100)) for _ in range(8)]
        all_have_come.wait(30)
        withheld = [read for read in reads if isinstance(read.exception(30), WithheldError)]
        assert len(withheld) >= len(reads) - 2
        assert all(read in withheld or len(read.result().content) == 100 for read in reads)
        assert policy.received_bytes <= 2500


def test_a_request_that_failed_costs_only_what_came(served, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    policy = Policy(max_session_bytes=1000)
    served.statuses["x"] = 500
    with pytest.raises(StreamError):
        source_under(policy, served).read("x", length=1000)
    served.statuses.clear()
    assert source_under(policy, served).read("x", length=1000).content == CONTENT


def dropped_after(sent):
    return raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(sent))


def test_what_came_before_a_connection_broke_is_counted_for_each_attempt(monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.0)
    policy = Policy()
    with FaultServer() as server, pytest.raises(StreamError):
        HttpSource(server.behave(dropped_after(100_000)), http=Http(policy=policy)).read("")
    assert policy.received_bytes == 4 * 100_000


def test_what_came_before_a_stop_is_counted(monkeypatch):
    policy, stop, original = Policy(), threading.Event(), Errand.beat
    beats = itertools.count()

    def beat(errand, n_steps=1):
        original(errand, n_steps)
        if next(beats) == 5:  # some of them are made before the first byte comes
            stop.set()

    monkeypatch.setattr(Errand, "beat", beat)
    with FaultServer() as server:
        url = server.behave(lambda connection, request: connection.sendall(head(5 * 2**20) + bytes(4 * 2**20)))
        with pytest.raises(StoppedError):
            Http(policy=policy).get(url, stop=stop)
        deadline = time.monotonic() + 30
        while not policy.received_bytes and time.monotonic() < deadline:
            threading.Event().wait(0.01)
    assert 2**20 <= policy.received_bytes <= 4 * 2**20


def head(size):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size


def test_a_request_that_waits_to_be_repeated_is_not_sent_in_offline_mode(monkeypatch):
    policy = Policy()

    def go_offline(_fault):
        policy.offline = True
        return 0.0

    monkeypatch.setattr("napari_cryoet.http._pause_s", go_offline)
    with FaultServer() as server:
        with pytest.raises(WithheldError, match="offline mode is on"):
            HttpSource(server.behave(reply(b"", 503)), http=Http(policy=policy)).read("")
        assert len(server.requests) == 1


def test_a_long_body_ends_where_offline_mode_begins():
    policy = Policy()
    with FaultServer() as server, Http(policy=policy).open(server.behave(reply(bytes(3 * 2**20)))) as body:
        chunks = body.chunks()
        assert next(chunks)
        policy.offline = True
        with pytest.raises(WithheldError, match="offline mode is on"):
            next(chunks)
    assert policy.received_bytes < 3 * 2**20


def chunked(content, size=2**16, *, more=b""):
    pieces = (content[start : start + size] for start in range(0, len(content), size))
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + more + b"\r\n" + body + b"0\r\n\r\n")


def test_a_long_body_of_unknown_length_ends_where_no_more_may_come():
    policy = Policy(max_session_bytes=2 * 2**20)
    with FaultServer() as server, Http(policy=policy).open(server.behave(chunked(bytes(8 * 2**20)))) as body:
        assert body.total_bytes is None
        came = []
        with pytest.raises(WithheldError, match="a session"):
            came.extend(map(len, body.chunks()))
    assert 2 * 2**20 <= sum(came) <= 2 * 2**20 + 2**16
    assert policy.received_bytes == sum(came)  # what has come isn't lost
    with pytest.raises(WithheldError):
        policy.begin(1)


def test_what_is_read_whole_and_of_unknown_length_ends_where_no_more_may_come():
    policy = Policy(max_session_bytes=2 * 2**20)
    with FaultServer() as server, pytest.raises(WithheldError, match="a session"):
        Http(policy=policy).get(server.behave(chunked(bytes(8 * 2**20))))
    assert 2**20 <= policy.received_bytes <= 3 * 2**20


@pytest.mark.parametrize("piece_by_piece", [True, False])
def test_what_came_in_vain_does_not_come_again_before_more_is_allowed(piece_by_piece, monkeypatch):
    policy, clock = Policy(max_minute_bytes=2**20), SimpleNamespace(now=0.0)
    monkeypatch.setattr("napari_cryoet.network.policy.time", SimpleNamespace(monotonic=lambda: clock.now))
    http, content = Http(policy=policy), bytes(3 * 2**20)

    def read(url):
        if not piece_by_piece:
            return http.get(url)
        with http.open(url) as body:
            return b"".join(body.chunks())

    with FaultServer() as server:
        url = server.behave(chunked(content))
        with pytest.raises(WithheldError, match=r"allows 1.049 MB a minute, and this takes more than that") as caught:
            read(url)
        assert caught.value.hint == "Allow more, or turn the data saver off."
        came_bytes = policy.received_bytes
        assert 2**20 <= came_bytes <= 2**20 + 2**16
        for _ in range(3):
            clock.now += 61
            with pytest.raises(WithheldError, match=r"1.049 MB a minute, .* this takes 1.114 MB more") as caught:
                read(url)
            assert caught.value.hint == "Allow more, or turn the data saver off."
            assert policy.received_bytes == came_bytes
        policy.max_minute_bytes = 4 * 2**20
        assert read(url) == content
        assert policy.received_bytes == came_bytes + len(content)


def test_what_came_in_vain_because_others_had_the_minute_comes_once_it_is_over(monkeypatch):
    policy, clock = Policy(max_minute_bytes=2**20), SimpleNamespace(now=0.0)
    monkeypatch.setattr("napari_cryoet.network.policy.time", SimpleNamespace(monotonic=lambda: clock.now))
    http, content = Http(policy=policy), bytes(2**19)
    with FaultServer() as server:
        http.get(server.behave(reply(bytes(2**20 - 2**17))))
        url = server.behave(chunked(content))
        with pytest.raises(WithheldError, match="a minute, and these are used up") as caught:
            http.get(url)
        assert "Wait a minute" in caught.value.hint
        clock.now += 61
        assert http.get(url) == content


def test_what_is_unpacked_as_it_comes_counts_as_it_came():
    policy, content = Policy(), bytes(3 * 2**20)
    packed = gzip.compress(content)
    with FaultServer() as server:
        url = server.behave(reply(packed, Content_Encoding="gzip"))
        with Http(policy=policy).open(url) as body:
            assert b"".join(body.chunks()) == content
    assert policy.received_bytes == len(packed)


def test_chunks_end_where_no_more_may_come_though_less_was_announced():
    policy = Policy(max_session_bytes=2**18)
    lie = chunked(bytes(2**20), more=b"Content-Length: 10\r\n")
    with FaultServer() as server, pytest.raises(WithheldError, match="a session"):
        Http(policy=policy).get(server.behave(lie))
    assert 2**17 <= policy.received_bytes <= 2**19


def test_an_answer_to_a_question_that_is_longer_than_may_come_is_not_read():
    policy = Policy(max_session_bytes=2**18)
    with FaultServer() as server:
        with pytest.raises(WithheldError, match="a session"):
            Http(policy=policy).post_json(server.behave(reply(b"{}" + b" " * 2**20)), {})
        assert policy.received_bytes < 2**18
        assert Http(policy=policy).post_json(server.behave(reply(b"{}")), {}) == {}


def test_all_that_streams_from_servers_obeys_the_policy_of_the_process(served, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_policy(), "offline", True)
    with pytest.raises(WithheldError):
        open_source(served.url).read("x")
    with pytest.raises(WithheldError):
        open_source(served.url, cache=None).read("x")
    assert open_source(tmp_path).read("x").content == CONTENT


def names_used(source):
    """What a module imports, and what it takes of modules, by whole names."""
    nodes = list(ast.walk(ast.parse(source)))
    roots = {name.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for name in node.names}
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str() as module, names=names):
                yield from (module, *(f"{module}.{name.name}" for name in names))
            case ast.Attribute() if (name := ast.unparse(node)).partition(".")[0] in roots:
                yield name


def speaks_to_servers(name):
    return any(name == client or name.startswith(f"{client}.") for client in CLIENTS)


def test_nothing_but_our_client_speaks_to_servers():
    """Whoever else did would obey neither limits nor offline mode."""
    folder = Path(napari_cryoet.__file__).parent
    found = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if any(map(speaks_to_servers, names_used(path.read_text(encoding="utf-8"))))
    }
    assert found >= {"http.py", "http_connections.py"}
    assert [name for name in found if not name.startswith(("http", "network"))] == []


@pytest.mark.parametrize(
    "line",
    [
        "import httpx",
        "from urllib3.util import Url",
        "from urllib.request import urlopen",
        "import urllib.request\nurllib.request.urlopen('http://files.org')",
        "import socket\nsocket.create_connection(('files.org', 80))",
        "from gql.transport.requests import RequestsHTTPTransport",
        "from qtpy.QtNetwork import QTcpSocket",
    ],
)
def test_the_test_for_that_finds(line):
    assert any(map(speaks_to_servers, names_used(line)))


@pytest.fixture
def shared():
    policy = shared_policy()
    yield policy
    policy.offline = False
    save_data()


def test_pictures_obey_it(served, shared):
    shared.offline = True
    with pytest.raises(WithheldError):
        read_picture(f"{served.url}/x")
    shared.offline = False
    assert read_picture(f"{served.url}/x") == CONTENT


def test_files_that_are_read_piece_by_piece_obey_it(served, shared):
    before = shared.received_bytes
    with shared_http().open(f"{served.url}/x") as body:
        assert b"".join(body.chunks()) == CONTENT
    assert shared.received_bytes == before + 1000
    shared.max_session_bytes = shared.received_bytes + 999
    with pytest.raises(WithheldError), shared_http().open(f"{served.url}/x") as body:
        pytest.fail("the server named more bytes than are left")
    assert shared.received_bytes == before + 1000


def test_metadata_obey_it(served, shared, tmp_path):
    shared.offline = True
    portal = open_portal(f"{served.url}/graphql", cache_dir=tmp_path / "answers")
    with pytest.raises(WithheldError, match="offline mode is on"):
        portal.catalogue()
    assert served.requests == []


def test_work_of_many_requests_asks_before_its_first():
    policy = Policy(max_session_bytes=200_000_000)
    policy.require(200_000_000)
    with pytest.raises(WithheldError, match=r"200 MB a session, of which 0 MB are used, and this takes 1,700 MB more"):
        policy.require(1_700_000_000)


def test_limits_are_given_in_megabytes_and_none_is_any_amount(shared):
    save_data(mb_a_minute=5, mb_a_session=200, coarse_only=True)
    assert (shared.max_minute_bytes, shared.max_session_bytes, shared.coarse_only) == (5_000_000, 200_000_000, True)
    assert shared.saves_data
    save_data()
    assert (shared.max_minute_bytes, shared.max_session_bytes, shared.coarse_only) == (None, None, False)
    assert not shared.saves_data


@pytest.mark.parametrize("limit_mb", [-1, -0.5, math.nan, math.inf])
@pytest.mark.parametrize("name", ["mb_a_minute", "mb_a_session"])
def test_a_limit_that_is_none_is_refused_by_name_and_changes_nothing(shared, name, limit_mb):
    save_data(mb_a_minute=5, mb_a_session=200)
    with pytest.raises(ValueError, match=f"{name} is {limit_mb}; it has to be"):
        save_data(**{name: limit_mb})
    assert (shared.max_minute_bytes, shared.max_session_bytes) == (5_000_000, 200_000_000)


@pytest.mark.parametrize(("said", "offline"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_environment_may_say_offline(said, offline, monkeypatch):
    monkeypatch.setenv(OFFLINE_VARIABLE, said)
    assert shared_policy.__wrapped__().offline is offline


def test_a_long_session_without_a_limit_remembers_only_its_last_minute(monkeypatch):
    policy = Policy()
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for second in range(300):
        now = float(second)
        policy.end(0, 10)
    assert policy.received_bytes == 3000
    assert len(policy._recent) <= 61
