"""The HTTP client against a server with scripted faults."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import os
import pickle
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from certificates import self_signed
from napari_cryoet.exceptions import ChangedError, NetworkError, StoppedError
from napari_cryoet.network import client
from napari_cryoet.network.connections import tls
from napari_cryoet.task import Task
from server import (
    Answer,
    Server,
    in_chunks,
    saying,
    sent,
    shifted,
    status,
    truncated,
    without_ranges,
)

pytestmark = pytest.mark.usefixtures("quick_retries")

CONTENT = bytes(range(256)) * 1000
MB = 2**20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "file").write_bytes(CONTENT)
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def url(server: Server) -> str:
    return f"{server.url}/file"


def fetch(url: str, **options: object) -> client.Response | None:
    return client.fetch(url, **{"limit_bytes": MB, **options})


def body(url: str, **options: object) -> bytes:
    response = fetch(url, **options)
    assert response is not None
    return response.body


async def streamed(url: str, **options: object) -> tuple[int, bytes]:
    async with client.stream(url, **options) as answer:
        return answer.start, b"".join([chunk async for chunk in answer])


# Files and ranges


def test_a_response_has_an_etag_and_size(url: str, server: Server) -> None:
    response = fetch(url)
    assert response is not None
    assert (response.status, response.body, response.total_bytes) == (200, CONTENT, len(CONTENT))
    assert response.etag
    assert server.requests[0].headers["user-agent"].startswith("napari-cryoet/")


@pytest.mark.parametrize("fault", [None, without_ranges])
@pytest.mark.parametrize(
    ("start", "length"), [(0, 10), (1000, 300), (len(CONTENT) - 5, 50), (-20, None), (9, None)]
)
def test_a_range_returns_the_requested_bytes(
    url: str, server: Server, fault, start: int, length: int | None
) -> None:
    if fault:
        server.script("file", fault)
    response = fetch(url, start=start, length=length)
    assert response is not None
    assert response.body == CONTENT[start:][:length]
    assert response.total_bytes == len(CONTENT)
    assert response.status == (200 if fault else 206)


def test_a_missing_file_is_none_and_a_range_past_the_end_empty(url: str) -> None:
    assert fetch(f"{url}/not/there") is None
    response = fetch(url, start=len(CONTENT) + 5, length=10)
    assert response is not None
    assert (response.status, response.body) == (416, b"")


def test_connections_are_reused(url: str, server: Server) -> None:
    server.script("missing", lambda _: in_chunks(Answer(404, body=bytes(100_000))))
    for start in range(5):
        body(url, start=start, length=10)
        assert fetch(f"{url}/missing") is None
    assert server.connections == 1


@pytest.mark.parametrize(("asked", "most"), [("3", 3), ("0", 64), ("1000", 64), ("-1", 64)])
def test_concurrent_requests_are_limited_as_a_server_asks(
    url: str, server: Server, asked: str, most: int
) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(client.get(url, length=1, limit_bytes=1) for _ in range(100)))

    server.script("file", saying(X_Connections_Per_Client=asked))
    body(url)
    server.latency_s = 0.05
    client.run(all_at_once())
    assert server.most_at_once <= most
    assert server.connections <= most


@pytest.mark.parametrize("busy", [429, 503])
def test_refusals_of_a_busy_server_are_counted(url: str, server: Server, busy: int) -> None:
    before = client.refusals(client.server_of(url))
    server.script("file", status(busy), times=1)
    assert body(url) == CONTENT
    assert client.refusals(client.server_of(url)) == before + 1


# Versions


def test_a_changed_file_is_refused(url: str, server: Server, tmp_path: Path) -> None:
    first = fetch(url, length=10)
    assert first is not None
    (tmp_path / "file").write_bytes(CONTENT * 2)
    with pytest.raises(ChangedError):
        fetch(url, start=10, length=10, etag=first.etag)
    assert server.requests[-1].headers["if-match"] == first.etag
    server.script("file", saying(ETag='"another"'))  # as from a server that ignores If-Match
    with pytest.raises(ChangedError):
        fetch(url, start=10, length=10, etag=first.etag)
    server.end()
    (tmp_path / "file").unlink()
    with pytest.raises(ChangedError):
        fetch(url, start=10, length=10, etag=first.etag)


def test_last_modified_replaces_a_missing_etag(url: str, server: Server, tmp_path: Path) -> None:
    server.etags, server.last_modified = False, True
    first = fetch(url, length=10)
    assert first is not None
    assert body(url, start=10, length=10, etag=first.etag) == CONTENT[10:20]
    os.utime(tmp_path / "file", (1e9, 1e9))
    with pytest.raises(ChangedError):
        fetch(url, start=10, length=10, etag=first.etag)


# Wrong answers


@pytest.mark.parametrize(
    "fault", [truncated, shifted, saying(Content_Range="bytes 0-9/5"), saying(Content_Range="")]
)
def test_a_wrong_range_is_refused(url: str, server: Server, fault) -> None:
    server.script("file", fault)
    with pytest.raises(NetworkError):
        fetch(url, start=100, length=200)


def test_a_distant_range_is_refused_without_range_support(server: Server, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(64 * MB))
    server.script("large", without_ranges)
    with pytest.raises(NetworkError) as caught:
        fetch(f"{server.url}/large", start=60 * MB, length=10)
    assert caught.value.status == 200
    assert body(f"{server.url}/large", start=2 * MB, length=10) == bytes(10)
    assert server.sent_bytes() < 64 * MB


@pytest.mark.parametrize(
    "headers", [{"Content_Range": "bytes 0-131071/131072"}, {"Content_Encoding": "gzip"}, {}]
)
@pytest.mark.parametrize("code", [200, 206])
def test_endless_bodies_are_refused(
    url: str, server: Server, code: int, headers: dict[str, str]
) -> None:
    content = gzip.compress(bytes(10 * MB)) if "Content_Encoding" in headers else bytes(MB)
    endless = in_chunks(Answer(code, body=content)).saying(**headers)
    server.script(
        "file",
        lambda _: replace(endless, body=endless.body.removesuffix(b"0\r\n\r\n"), manner="endless"),
    )
    with pytest.raises(NetworkError):
        fetch(url, length=131072 if code == 206 else None, limit_bytes=200_000)
    assert server.sent_bytes() < 20 * MB


def test_a_body_announced_too_large_is_refused_at_once(url: str, server: Server) -> None:
    server.script("file", sent("stalled"))
    with pytest.raises(NetworkError):
        fetch(url, limit_bytes=1000)


def test_compressed_responses_are_decompressed(url: str, server: Server) -> None:
    packed = gzip.compress(CONTENT)
    server.script("file", lambda _: Answer(200, body=packed).saying(Content_Encoding="gzip"))
    assert body(url) == CONTENT
    assert body(url, start=1000, length=5) == CONTENT[1000:1005]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Sign in", b"  <html>"])
def test_a_sign_in_page_is_refused(url: str, server: Server, page: bytes) -> None:
    server.script("file", lambda _: Answer(200, body=page))
    with pytest.raises(NetworkError, match="web page"):
        fetch(url, length=20)


# Faults and retries


@pytest.mark.parametrize("fault", [status(503), status(429, Retry_After="0"), sent("cut")])
def test_transient_faults_are_retried(url: str, server: Server, fault) -> None:
    server.script("file", fault, times=2)
    assert body(url) == CONTENT


@pytest.mark.parametrize("is_date", [False, True])
def test_retry_after_is_respected_and_told_up_to_a_limit(
    url: str, server: Server, is_date: bool
) -> None:
    def header(seconds: int) -> str:
        date = email.utils.formatdate(time.time() + seconds, usegmt=True)
        return date if is_date else str(seconds)

    server.script("file", status(429, Retry_After=header(3)), times=1)
    began = time.monotonic()
    told: list[str] = []
    client.run(
        client.get(url, limit_bytes=MB),
        Task(lambda _fraction, text: told.append(text)),
        server=client.server_of(url),
    )
    assert time.monotonic() - began >= 1
    assert re.fullmatch(r"The server asks to wait until \d\d:\d\d:\d\d", told[0])
    server.script("file", status(503, Retry_After=header(3600)))
    with pytest.raises(NetworkError, match=r"asks to wait until \d\d:\d\d:\d\d") as caught:
        fetch(url)
    assert caught.value.status == 503
    assert len(server.requests) == 3, "waited for an hour"


@pytest.mark.parametrize("wait", ["soon", "-5", "9" * 400, "Mon, 99 Foo 2026 00:00:00 GMT"])
def test_an_invalid_retry_after_is_ignored(url: str, server: Server, wait: str) -> None:
    server.script("file", status(404, Retry_After="60"), times=1)
    assert fetch(url) is None
    server.script("file", status(503, Retry_After=wait))
    with pytest.raises(NetworkError) as caught:
        fetch(url)
    assert caught.value.status == 503


@pytest.mark.parametrize("code", [401, 403, 400, 500 + 5])
def test_permanent_errors_are_not_retried(url: str, server: Server, code: int) -> None:
    server.script("file", status(code))
    with pytest.raises(NetworkError) as caught:
        fetch(url)
    assert caught.value.status == code
    assert "127.0.0.1" in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("manner", ["silent", "stalled", "dribbling"])
def test_a_stalled_server_times_out(url: str, server: Server, manner: str, monkeypatch) -> None:
    monkeypatch.setattr(client, "STALL_S", 0.3)
    server.script("file", sent(manner))
    with pytest.raises(NetworkError, match="in time"):
        fetch(url)
    assert len(server.requests) <= 2


def test_a_slow_but_steady_body_is_read(url: str, server: Server, monkeypatch) -> None:
    monkeypatch.setattr(client, "STALL_S", 2.0)
    server.connection_bytes_s = 120_000
    assert body(url) == CONTENT


def test_unreachable_and_non_http_servers_are_errors(url: str, server: Server) -> None:
    server.script("file", lambda _: Answer(body=b"SSH-2.0\r\n\r\n", manner="raw"))
    with pytest.raises(NetworkError):
        fetch(url)
    with pytest.raises(NetworkError, match="can't be reached") as caught:
        fetch("http://127.0.0.1:9/file")
    from_worker = pickle.loads(pickle.dumps(caught.value))
    assert (str(from_worker), from_worker.url) == (str(caught.value), caught.value.url)


@pytest.mark.parametrize(
    "address",
    [
        *("file:///etc/passwd", "ftp://a.org/b", "http://a.org:99999/"),
        *("http://[", "http://:0", "http://127.0.0.1/\0"),
    ],
)
def test_invalid_web_addresses_are_refused(server: Server, address: str) -> None:
    with pytest.raises(NetworkError, match="web address"):
        fetch(address)
    server.script("moved", status(302, Location=address.strip("\0")))
    with pytest.raises(NetworkError):
        fetch(f"{server.url}/moved")


# Redirects


def test_redirects_are_followed(url: str, server: Server) -> None:
    server.script("moved", status(302, Location="/again"))
    server.script("again", status(307, Location=url))
    assert body(f"{server.url}/moved", start=10, length=10) == CONTENT[10:20]
    server.script("circle", status(301, Location="/circle"))
    with pytest.raises(NetworkError, match="loop"):
        fetch(f"{server.url}/circle")


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.1.1]"])
def test_link_local_addresses_are_refused(
    server: Server, forbidden_hosts: list[str], host: str
) -> None:
    server.script("moved", status(302, Location=f"http://{host}/latest"))
    for address in (f"http://{host}/latest", f"{server.url}/moved"):
        with pytest.raises(NetworkError):
            fetch(address)
    assert not forbidden_hosts


def test_a_password_is_sent_only_to_its_own_server(server: Server, tmp_path: Path) -> None:
    with Server(tmp_path) as other:
        address = f"{server.url}/file".replace("://", "://me:secret@")
        server.script("moved", status(302, Location=f"{other.url}/file"))
        assert body(address) == CONTENT
        assert body(address.replace("/file", "/moved")) == CONTENT
        server.script("here", status(302, Location="/file"))
        assert body(address.replace("/file", "/here")) == CONTENT
    assert "authorization" in server.requests[-1].headers, "after a redirect on the same server"
    assert "authorization" not in other.requests[-1].headers
    server.script("file", status(403))
    with pytest.raises(NetworkError) as caught:
        fetch(address)
    assert "secret" not in f"{caught.value} {caught.value.url}"


def test_certificates_are_verified_and_https_is_never_downgraded(
    server: Server, tmp_path: Path, monkeypatch
) -> None:
    context, certificate = self_signed(tmp_path)
    with Server(tmp_path, tls=context) as secure:
        with pytest.raises(NetworkError, match="secure"):
            fetch(f"{secure.url}/file")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        tls.cache_clear()
        secure.script("moved", status(302, Location=f"{server.url}/file"))
        assert body(f"{secure.url}/file") == CONTENT
        with pytest.raises(NetworkError, match="insecure"):
            fetch(f"{secure.url}/moved")
    tls.cache_clear()


# JSON


def test_json_is_posted(server: Server) -> None:
    answer = gzip.compress(b'{"data": 1}')
    server.script("graphql", lambda _: Answer(200, body=answer).saying(Content_Encoding="gzip"))
    response = client.run(
        client.post_json(f"{server.url}/graphql", {"query": "{a}"}, limit_bytes=MB)
    )
    assert response.body == b'{"data": 1}'
    assert server.requests[0].body == b'{"query": "{a}"}'
    server.script("graphql", status(400, b'{"errors": []}'))
    response = client.run(client.post_json(f"{server.url}/graphql", {"query": "{"}, limit_bytes=MB))
    assert (response.status, response.body) == (400, b'{"errors": []}')


# Streams


def test_a_file_is_streamed_from_any_offset(url: str, server: Server) -> None:
    first = fetch(url, length=1)
    assert first is not None
    server.script("file", status(503), times=1)
    assert client.run(streamed(url)) == (0, CONTENT)
    assert client.run(streamed(url, start=1000, etag=first.etag)) == (1000, CONTENT[1000:])
    server.script("file", without_ranges)
    assert client.run(streamed(url, start=1000)) == (0, CONTENT)


def test_incomplete_and_missing_streams_are_errors(url: str, server: Server) -> None:
    server.script("file", sent("cut"))
    with pytest.raises(NetworkError):
        client.run(streamed(url))
    with pytest.raises(NetworkError) as caught:
        client.run(streamed(f"{url}/missing"))
    assert caught.value.status == 404


# Stop, threads and processes


@pytest.mark.parametrize(
    "fault", [None, sent("stalled"), sent("dribbling"), status(503, Retry_After="30")]
)
def test_stop_ends_a_request_at_once(url: str, server: Server, fault) -> None:
    server.script("file", fault)
    task = Task()
    stopped_at = []

    def wait_and_stop() -> None:
        server.wait_until(lambda: len(server.requests) == 1)
        stopped_at.append(time.monotonic())
        task.stop()

    threading.Thread(target=wait_and_stop).start()
    with pytest.raises(StoppedError):
        fetch(url, task=task)
    assert time.monotonic() - stopped_at[0] < 0.2
    server.wait_until(lambda: server.answering == 0)
    server.end()
    assert body(url) == CONTENT
    with pytest.raises(StoppedError):
        fetch(url, task=task)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system doesn't fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_its_own_connections(url: str, server: Server) -> None:
    assert body(url) == CONTENT
    child = os.fork()
    if child == 0:
        os._exit(0 if client.fetch(url, limit_bytes=MB).body == CONTENT else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert body(url) == CONTENT
    assert server.connections == 2


# Proxies


def test_the_proxy_is_looked_up_for_each_request(
    url: str, server: Server, monkeypatch, tmp_path: Path
) -> None:
    def find(path: str) -> bytes:
        return path.encode()

    with Server(find=find) as proxy:
        with pytest.raises(NetworkError):
            fetch("http://nowhere.invalid/file")
        monkeypatch.setenv("http_proxy", proxy.url)
        assert body("http://nowhere.invalid/file") == b"http://nowhere.invalid/file"
        assert body(url) == CONTENT, "the proxy was used for this computer"
