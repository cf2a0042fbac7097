"""HTTP: what comes back is right or an error in words, within a bounded time, and a stop is heard at once."""

from __future__ import annotations

import base64
import contextlib
import errno
import gzip
import itertools
import json
import math
import random
import re
import select
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from types import SimpleNamespace
from unittest.mock import ANY
from urllib.parse import quote, urlsplit

import pytest
import urllib3

from certificates import self_signed
from fault_server import FaultServer, altered, dropped, ranged, raw, reply
from napari_cryoet import errand, http_bodies, http_connections, http_dates
from napari_cryoet import http as http_module
from napari_cryoet.errand import THREAD_NAME
from napari_cryoet.exceptions import NetworkError, StoppedError
from napari_cryoet.http import USER_AGENT, Http, shared_http
from napari_cryoet.http_faults import FaultError
from napari_cryoet.http_redirects import redirected
from napari_cryoet.network.policy import Policy, Receipt

CONTENT = bytes(range(256)) * 1024  # 256 KiB


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def http(monkeypatch):
    monkeypatch.setattr(http_module, "_FIRST_PAUSE_S", 0.001)
    client = Http(timeout_s=60)
    yield client
    client.close()


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(http_module, "_FIRST_PAUSE_S", 0.001)
    client = Http(timeout_s=0.3)
    yield client
    client.close()


@pytest.fixture
def pauses(monkeypatch):
    """How long was waited each time before something was asked for again, in seconds."""
    pauses, pause_s = [], http_module._pause_s
    monkeypatch.setattr(http_module, "_pause_s", lambda fault: pauses.append(pause_s(fault)) or pauses[-1])
    return pauses


def fails(call, *words: str, status: int | None = None) -> NetworkError:
    with pytest.raises(NetworkError) as caught:
        call()
    assert caught.value.status == status
    for word in words:
        assert word in str(caught.value)
    return caught.value


# --- what works


def test_a_file_is_read_whole(http, server):
    assert http.get(server.behave(reply(CONTENT))) == CONTENT


def test_we_say_who_we_are(http, server):
    http.get(server.behave(reply(b"x")))
    assert server.requests[0].headers["user-agent"] == USER_AGENT
    assert USER_AGENT.startswith("napari-cryoet/")


def test_one_connection_serves_many_requests(http, server):
    url = server.behave(ranged(CONTENT))
    for start in range(10):
        http.get(url, start=start, length=10)
    http.head(url)
    http.post_json(server.behave(reply(b"{}")), {})
    assert server.connections == 1


@pytest.mark.parametrize("later_s", [3600.0, -3600.0])
def test_a_connection_that_may_be_dead_after_a_while_is_not_waited_for(later_s, http, server, monkeypatch):
    """As after a computer has slept, or where a router has forgotten about it: nobody says so."""
    url = server.behave(reply(CONTENT))
    assert http.get(url) == CONTENT
    later = time.time() + later_s
    monkeypatch.setattr(http_connections, "time", SimpleNamespace(time=lambda: later))
    for _ in range(3):
        assert http.get(url) == CONTENT
    assert server.connections == 2


def test_connections_are_closed_though_an_error_that_came_over_them_is_kept(http, server):
    error = fails(lambda: http.get(server.behave(reply(b"none", 404))), status=404)
    (connection,) = server._sockets
    http.close()
    wait_until(lambda: connection.fileno() < 0)  # the server closes it, too
    assert http.get(server.behave(reply(CONTENT))) == CONTENT
    assert error.status == 404


@pytest.mark.parametrize("words", [b"no such key", b""])
def test_a_missing_file_does_not_cost_the_connection(http, server, words):
    url = server.behave(reply(words, 404))
    for _ in range(5):
        fails(lambda: http.get(url), status=404)
    assert server.connections == 1


def chunked(body, status=404):
    """Answer without a length, as S3 does where it lacks something."""
    head = f"HTTP/1.1 {status} Whatever\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode()
    return lambda connection, request: connection.sendall(head + body + b"\r\n0\r\n\r\n")


def test_a_missing_file_of_which_much_or_little_is_said_in_chunks_is_missing(http, server):
    url = server.behave(chunked(b"<Error><Code>NoSuchKey</Code></Error>"))
    for _ in range(5):
        assert b"NoSuchKey" in fails(lambda: http.get(url), status=404).content
    assert server.connections == 1
    fails(lambda: http.get(server.behave(chunked(bytes(2**20)))), status=404)
    assert http.get(server.behave(reply(CONTENT))) == CONTENT


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 1), (0, None), (5, 100), (1000, None), (len(CONTENT) - 3, 100), (-7, None), (0, len(CONTENT))],
)
def test_a_part_of_a_file_is_just_that_part(http, server, start, length):
    expected = CONTENT[start:] if length is None else CONTENT[start : start + length]
    assert http.get(server.behave(ranged(CONTENT)), start=start, length=length) == expected


def test_the_end_of_a_file_shorter_than_asked_is_the_whole_file(http, server):
    assert http.get(server.behave(ranged(b"abc")), start=-10) == b"abc"


def test_nothing_is_asked_for_no_bytes(http, server):
    assert http.get(server.behave(ranged(CONTENT)), start=5, length=0) == b""
    assert server.requests == []


@pytest.mark.parametrize(("start", "length"), [(0, 10), (70_000, 10), (5, None), (len(CONTENT) - 5, 100)])
def test_a_server_that_ignores_ranges_is_cut(http, server, start, length):
    expected = CONTENT[start:] if length is None else CONTENT[start : start + length]
    assert http.get(server.behave(reply(CONTENT)), start=start, length=length) == expected


def test_the_end_of_a_small_file_is_cut_from_a_whole_answer(http, server):
    assert http.get(server.behave(reply(CONTENT)), start=-7) == CONTENT[-7:]
    assert http.get(server.behave(reply(CONTENT)), start=-len(CONTENT) - 1) == CONTENT


def test_the_end_of_a_file_of_unknown_length_is_refused(http, server):
    whole = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + CONTENT)
    fails(lambda: http.get(server.behave(whole), start=-7), "parts of a file", status=200)


def test_no_more_than_is_needed_is_taken_from_a_server_that_ignores_ranges(http, server):
    hung_up = threading.Event()

    def endless(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(bytes(2**16))
        hung_up.set()

    assert http.get(server.behave(endless), start=100, length=50) == bytes(50)
    assert hung_up.wait(30)


def test_a_range_far_into_a_file_is_refused_rather_than_downloaded(http, server):
    error = fails(lambda: http.get(server.behave(reply(CONTENT)), start=2**30, length=1), "parts of a file", status=200)
    assert error.hint


@pytest.mark.parametrize("behaviour", [ranged(CONTENT), reply(CONTENT)])
def test_a_part_beyond_the_end_is_an_error(http, server, behaviour):
    fails(lambda: http.get(server.behave(behaviour), start=len(CONTENT) + 1, length=5), "shorter", status=416)


@pytest.mark.parametrize(
    "content_range",
    ["bytes 6-15/1000", "bytes 4-13/1000", "bytes 5-14/10", "bytes 14-5/1000", "nonsense", "", "bytes 5-15/1000"],
)
def test_a_part_that_is_not_the_one_asked_for_is_never_mixed_in(http, server, content_range):
    url = server.behave(reply(b"0123456789", 206, Content_Range=content_range))
    fails(lambda: http.get(url, start=5, length=10), "another part", status=206)


def unknown_size(good):
    """Never say how long a file is."""
    return altered(lambda head, body: (re.sub(rb"(Content-Range: bytes \d+-\d+)/\d+", rb"\1/*", head), body))(good)


def test_a_part_that_ends_with_a_file_of_unknown_size_is_all_that_there_is(http, server):
    server.behave(unknown_size(ranged(CONTENT, ETag='"1"')))
    piece = http.get_piece(server.url, start=len(CONTENT) - 7, length=1000)
    assert (piece.content, piece.total_bytes) == (CONTENT[-7:], len(CONTENT))
    assert http.get(server.url, start=5, length=10) == CONTENT[5:15]
    assert [request.headers["range"] for request in server.requests[1:2]] == [f"bytes={len(CONTENT)}-{len(CONTENT)}"]
    assert len(server.requests) == 3


def test_a_part_that_is_too_short_in_a_file_of_unknown_size_is_an_error(http, server):
    def stingy(connection, request):
        first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        part = CONTENT[first : min(first + 5, last + 1)]
        reply(part, 206, Content_Range=f"bytes {first}-{first + len(part) - 1}/*")(connection, request)

    fails(lambda: http.get(server.behave(stingy), start=5, length=10), "another part", status=206)


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("bytes 5-9/1000", {"start": 5, "length": 10}),
        ("bytes 5-7/15", {"start": 5, "length": 16}),
        ("bytes 5-7/15", {"start": 5}),
        ("bytes 5-7/15", {"start": -10}),
        ("bytes 5-30/*", {"start": 5, "length": 10}),
    ],
)
def test_a_part_whose_body_is_not_as_long_as_it_is_said_to_be_is_an_error(http, server, said, options):
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {said}\r\n\r\n"  # and it ends with the connection
    fails(lambda: http.get(server.behave(raw(head.encode() + b"0123456789")), **options), "another part", status=206)


def test_the_unit_of_a_part_may_be_written_in_either_case(http, server):
    url = server.behave(reply(b"0123456789", 206, Content_Range="Bytes 5-14/1000"))
    assert http.get(url, start=5, length=10) == b"0123456789"


def test_a_part_that_is_too_short_is_an_error(http, server):
    url = server.behave(reply(b"01234", 206, Content_Range="bytes 5-9/1000"))
    fails(lambda: http.get(url, start=5, length=10), "another part", status=206)


@pytest.mark.parametrize("content_range", ["bytes 0-9/20", "bytes 10-19/20", "bytes 0-9/*"])
def test_a_part_that_nobody_asked_for_is_not_taken_for_the_whole(http, server, content_range):
    url = server.behave(reply(b"0123456789", 206, Content_Range=content_range))
    fails(lambda: http.get(url), "another part", status=206)


@pytest.mark.parametrize("status", [202, 204, 205])
def test_a_success_without_content_is_no_empty_file(http, server, status):
    fails(lambda: http.get(server.behave(reply(b"", status))), status=status)


@pytest.mark.parametrize("options", [{}, {"start": 0, "length": 20}, {"start": 6, "length": 4}, {"start": -5}])
@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Sign in</html>", b"\n <HTML><body>Sign in</body></HTML>"])
def test_a_page_for_people_is_never_taken_for_data(http, server, options, page):
    error = fails(lambda: http.get(server.behave(reply(page)), **options), "web page", status=200)
    assert "sign-in" in error.hint


def test_a_page_for_people_that_comes_in_parts_is_never_taken_for_data(http, server):
    page = ranged(b"<!doctype html><html>An app of one page.</html>" * 50, Content_Type="text/html")
    fails(lambda: http.get(server.behave(page), start=0, length=4096), "web page", status=206)


def test_a_whole_file_that_came_compressed_is_unpacked(http, server):
    packed = reply(gzip.compress(CONTENT), Content_Encoding="gzip", ETag='"1"')
    piece = http.get_piece(server.behave(packed), start=10, length=20)
    assert (piece.content, piece.version, piece.total_bytes) == (CONTENT[10:30], '"1"', None)
    whole = http.get_piece(server.behave(packed))
    assert (whole.content, whole.total_bytes) == (CONTENT, len(CONTENT))


def test_a_piece_says_the_version_and_size_of_the_whole(http, server):
    for whole in (ranged(CONTENT, ETag='"1"'), reply(CONTENT, ETag='"1"')):
        piece = http.get_piece(server.behave(whole), start=10, length=20)
        assert (piece.content, piece.version, piece.total_bytes) == (CONTENT[10:30], '"1"', len(CONTENT))


@pytest.mark.parametrize(
    ("said", "changed_at"),
    [
        ("Thu, 01 Jan 1970 00:01:40 GMT", 100),
        ("Thu, 01 Jan 1970 00:01:40 -0000", 100),
        ("Thu, 01 Jan 1970 01:01:40 +0100", 100),
        ("yesterday", None),
        ("", None),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
    ],
)
def test_a_piece_says_when_the_file_was_changed(said, changed_at, http, server):
    url = server.behave(ranged(CONTENT, Last_Modified=said))
    assert http.get_piece(url).changed_at == changed_at
    assert http.get_piece(url, start=1, length=2).changed_at == changed_at


def test_when_a_file_was_changed_is_told_whatever_time_it_takes_to_come(http, server, monkeypatch):
    clock, read_all = SimpleNamespace(now=1000.0), http_bodies.read_all
    monkeypatch.setattr(http_dates, "time", SimpleNamespace(time=lambda: clock.now))

    def read_slowly(*arguments):
        clock.now += 60
        return read_all(*arguments)

    monkeypatch.setattr(http_bodies, "read_all", read_slowly)
    ahead = {"Last_Modified": formatdate(4590, usegmt=True), "Date": formatdate(4600, usegmt=True)}
    assert http.get_piece(server.behave(ranged(CONTENT, **ahead))).changed_at == 990


def test_no_body_of_another_version_is_read(http, server):
    url = server.behave(ranged(CONTENT, ETag='"2"'))
    fails(lambda: http.get_piece(url, start=10, length=20, version='"1"'), "changed", status=412)
    fails(lambda: http.get_piece(url, version='"1"'), "changed", status=412)
    fails(lambda: http.get_piece(server.behave(ranged(CONTENT)), start=1, length=2, version='"1"'), status=412)
    page = reply(b"<html>Sign in</html>", Content_Type="text/html; charset=utf-8")
    fails(lambda: http.get_piece(server.behave(page), start=1, length=2, version='"1"'), "web page", status=200)
    assert http.get_piece(server.behave(ranged(CONTENT, ETag='"1"')), version='"1"').content == CONTENT


def stored_packed(content, **headers):
    """As S3 serves what was uploaded with a Content-Encoding: ranges are of the compressed file."""
    return ranged(gzip.compress(content), Content_Encoding="gzip", **headers)


NOISE = random.Random(0).randbytes(100_000)
EVEN = bytes(range(100)) * 1000


@pytest.mark.parametrize(("start", "length"), [(0, 10), (0, 10**6), (5, 10), (len(NOISE) - 5, 100), (7, None)])
def test_a_part_of_a_file_that_is_stored_compressed_is_cut_from_its_content(start, length, http, server):
    piece = http.get_piece(server.behave(stored_packed(NOISE, ETag='"1"')), start=start, length=length, version='"1"')
    assert piece.content == NOISE[start:][:length]
    assert [request.headers.get("range") is None for request in server.requests] == [False, True]


def test_a_part_that_lies_beyond_the_compressed_size_of_a_file_is_cut_from_its_content(http, server):
    url = server.behave(stored_packed(EVEN, ETag='"1"'))
    for start in (50_000, 90_000):
        assert http.get_piece(url, start=start, length=10, version='"1"').content == EVEN[start:][:10]
    assert len(server.requests) == 4  # for the part, for the first byte, and for all, from then on at once


def test_a_part_that_lies_too_far_beyond_the_compressed_size_of_a_file_is_refused_by_its_name(http, server):
    url = server.behave(stored_packed(EVEN, ETag='"1"'))
    fails(lambda: http.get_piece(url, start=2**25, length=10, version='"1"'), "stored compressed", status=200)


def test_beyond_the_end_of_a_file_that_is_stored_as_it_is_there_is_nothing(http, server):
    url = server.behave(ranged(CONTENT, ETag='"1"'))
    fails(lambda: http.get_piece(url, start=len(CONTENT), length=10, version='"1"'), status=416)


def test_beyond_the_end_of_a_file_that_is_stored_compressed_is_nothing(http, server):
    url = server.behave(stored_packed(NOISE))
    fails(lambda: http.get(url, start=len(NOISE), length=10), status=416)


@pytest.mark.parametrize("start", [-10, 2**25])
def test_a_part_that_is_too_far_in_a_file_that_is_stored_compressed_is_refused_by_its_name(start, http, server):
    url = (
        server.behave(reply(b"0123456789", 206, Content_Range="bytes 5-14/1000", Content_Encoding="gzip"))
        + "?signature=secret"
    )
    error = fails(lambda: http.get(url, start=start, length=10), "stored compressed", status=206)
    assert "file on 127.0.0.1 " in error.message
    assert "secret" not in error.message


def test_a_part_that_only_says_to_be_compressed_is_not_taken_for_content(http, server):
    url = server.behave(ranged(CONTENT, Content_Encoding="gzip"))
    fails(lambda: http.get(url, start=5, length=10), "can't be decompressed")


@pytest.mark.parametrize("encoding", ["br, zz", "zz", "gzip, zz", "ZZ"])
@pytest.mark.parametrize("options", [{}, {"start": 0, "length": 20}, {"start": 6, "length": 4}, {"start": -5}])
def test_a_body_whose_compression_is_not_known_is_never_taken_for_content(http, server, encoding, options):
    with pytest.raises(NetworkError, match="compression"):
        http.get(server.behave(reply(CONTENT, Content_Encoding=encoding)), **options)


@pytest.mark.parametrize("label", ["utf-8", "aws-chunked", "identity"])
@pytest.mark.parametrize("options", [{}, {"start": 6, "length": 4}])
def test_labels_that_stores_keep_by_mistake_change_nothing(http, server, label, options):
    behaviour = ranged(CONTENT, Content_Encoding=label)
    assert http.get(server.behave(behaviour), **options) == (CONTENT[6:10] if options else CONTENT)


def test_a_head_tells_size_and_version(http, server):
    head = http.head(server.behave(reply(CONTENT, ETag='"abc"')))
    assert (head.size_bytes, head.etag) == (len(CONTENT), '"abc"')


def test_json_is_sent_and_read(http, server):
    url = server.behave(reply(b'{"data": [1, 2]}'))
    assert http.post_json(url, {"query": "{x}"}) == {"data": [1, 2]}
    assert json.loads(server.requests[0].body) == {"query": "{x}"}
    assert server.requests[0].headers["content-type"] == "application/json"


def test_compressed_json_is_read(http, server):
    url = server.behave(reply(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip"))
    assert http.post_json(url, {}) == {"a": 1}


def test_the_client_is_shared():
    assert shared_http() is shared_http()


# --- what is retried


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_short_burst_of_trouble_is_not_noticed(http, server, status):
    trouble = reply(b"sorry", status)
    assert http.get(server.behave(trouble, trouble, trouble, reply(b"fine"))) == b"fine"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_lasting_trouble_is_an_error_after_four_attempts(http, server, status):
    fails(lambda: http.get(server.behave(reply(b"sorry", status))), str(status), status=status)
    assert len(server.requests) == 4


@pytest.mark.parametrize(("status", "word"), [(401, "allow"), (403, "allow"), (404, "have file"), (400, "understand")])
def test_what_cannot_get_better_is_asked_once(http, server, status, word):
    fails(lambda: http.get(server.behave(reply(b"no", status))), word, status=status)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        *(reply(b"no", status) for status in (302, 400, 403, 404, 416, 429, 500)),
        reply(CONTENT[:1000], length=2000, keep=False),
        reply(b"<!doctype html>"),
        ranged(CONTENT, ETag='"2"'),
        reply(CONTENT),
        reply(b"123", 206, Content_Range="bytes 70-72/100"),
        reply(b"123", Content_Encoding="br", ETag='"1"'),
        reply(b"123", 206, Content_Range="bytes 5-7/100", Content_Encoding="gzip", ETag='"1"'),
    ],
)
def test_an_answer_that_cannot_be_used_says_of_which_file_it_is(http, server, monkeypatch, behaviour):
    monkeypatch.setattr("napari_cryoet.http_bodies._MAX_SKIP_BYTES", 10)
    url = server.behave(behaviour).replace("/file", "/10000/my%20image.zarr/0/0/1/2?signature=secret")
    error = fails(lambda: http.get_piece(url, start=200, length=3, version='"1"'), status=ANY)
    assert "10000/my image.zarr/0/0/1/2" in error.message
    assert "127.0.0.1" in error.message
    assert "secret" not in str(error)
    assert len(error.message) < 200


@pytest.mark.parametrize(
    "behaviour",
    [reply(b"no", 403), reply(b"no", 429), reply(b"{", length=9, keep=False), reply(b"<!doctype html>")],
)
def test_a_question_is_no_file(http, server, behaviour):
    url = server.behave(behaviour).replace("/file", "/graphql")
    error = fails(lambda: http.post_json(url, {}), status=ANY)
    assert "graphql" not in error.message


@pytest.mark.parametrize("status", [412, 416])
def test_a_sentence_about_a_file_without_a_name_begins_as_one(http, server, status):
    error = fails(lambda: http.get(server.behave(reply(b"no", status)).replace("/file", "/")), status=status)
    assert error.message.startswith("A file on 127.0.0.1 ")


def test_a_body_that_breaks_off_is_read_again(http, server):
    broken = reply(CONTENT[:1000], length=len(CONTENT), keep=False)
    assert http.get(server.behave(broken, reply(CONTENT))) == CONTENT


def test_a_body_that_always_breaks_off_is_an_error(http, server):
    fails(lambda: http.get(server.behave(reply(CONTENT[:1000], length=2000, keep=False))), "broke off")
    assert len(server.requests) == 4


def test_a_chunked_body_that_breaks_off_is_an_error(http, server):
    fails(
        lambda: http.get(server.behave(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"))),
        "broke off",
    )


def test_a_dropped_connection_is_tried_again(http, server):
    assert http.get(server.behave(raw(b""), reply(b"fine"))) == b"fine"


def test_an_answer_that_is_not_http_is_an_error(http, server):
    fails(lambda: http.get(server.behave(raw(b"SSH-2.0-OpenSSH_9.6\r\n"))), "broke off")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000,
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100_000,
        b"\x16\x03\x01\x00\xa5",
    ],
)
def test_a_malformed_answer_is_an_error_or_empty_and_never_anything_else(http, server, head):
    with contextlib.suppress(NetworkError):
        assert http.get(server.behave(raw(head)), max_bytes=1000) == b""


def test_endless_interim_answers_are_a_time_out(hasty, server):
    drip = server.drip([b"HTTP/1.1 100 Continue\r\n\r\n"] * 3000, 0.01)
    began = time.monotonic()
    fails(lambda: hasty.get(server.behave(drip)), "0.3 seconds")
    assert time.monotonic() - began < 30  # what is sent takes as long


def test_the_pause_that_a_server_asks_for_is_kept(http, server, pauses):
    began = time.monotonic()
    assert http.get(server.behave(reply(b"", 429, Retry_After="1"), reply(b"fine"))) == b"fine"
    assert time.monotonic() - began >= 1
    assert len(pauses) == 1
    assert 1 <= pauses[0] < 1.1


def test_a_pause_given_as_a_past_date_is_no_pause(http, server, pauses):
    late = reply(b"", 503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
    assert http.get(server.behave(late, reply(b"fine"))) == b"fine"
    assert max(pauses) < 0.01


@pytest.mark.parametrize("text", ["soon", "-5", "9" * 50, "1e9", "Wed, 99 Foo 2015", ""])
def test_a_nonsensical_pause_is_ignored(http, server, text):
    assert http.get(server.behave(reply(b"", 503, Retry_After=text), reply(b"fine"))) == b"fine"


def test_a_pause_of_an_hour_is_not_waited_for(http, server, pauses):
    fails(lambda: http.get(server.behave(reply(b"", 429, Retry_After="3600"))), "too many requests", status=429)
    assert pauses == []
    assert len(server.requests) == 1


def test_pauses_grow_and_differ(monkeypatch):
    assert len({http_module.backoff_s(3) for _ in range(10)}) > 1
    bounds = []
    monkeypatch.setattr(random, "uniform", lambda shortest, longest: bounds.append((shortest, longest)) or longest)
    for attempt in range(1, 8):
        http_module.backoff_s(attempt)
    assert bounds == [(s / 2, s) for s in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)]


# --- no usable answer


def test_a_refused_connection_is_said_so(http):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]  # nobody else gets it meanwhile
        error = fails(lambda: http.get(f"http://127.0.0.1:{port}/"), "refuses connections", "127.0.0.1")
    assert error.hint


def test_an_unknown_name_is_said_so(http, monkeypatch):
    def no_such_name(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    fails(lambda: http.get("https://portal.invalid/graphql"), "can't be found", "portal.invalid", "internet connection")


def test_a_network_that_is_down_is_said_so(http, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.ENETUNREACH)
    fails(lambda: http.get("http://127.0.0.1/"), "can't be reached", "internet connection")


def answer_one(listener: socket.socket, answer) -> str:
    """Let ``answer`` handle the next connection on a thread; the https address to connect to."""

    def run():
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            answer(connection)

    threading.Thread(target=run, daemon=True).start()
    return f"https://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_server_that_does_not_speak_tls_is_said_so(http):
    def answer(connection):
        connection.recv(2000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = answer_one(listener, answer)
        fails(lambda: http.get(url), "secure connection")


def test_a_certificate_that_nobody_vouches_for_is_refused(http, tmp_path):
    context, _ = self_signed(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = answer_one(listener, lambda connection: context.wrap_socket(connection, server_side=True).close())
        fails(lambda: http.get(url), "secure connection")


@pytest.fixture
def proxy(server, monkeypatch):
    """Sets the proxy that the system names; any server is behind it."""
    for name in ("http_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield lambda address: (http_connections._proxy_for.cache_clear(), monkeypatch.setenv("http_proxy", address))
    http_connections._proxy_for.cache_clear()


def login_asked(connection, request):
    asked = request.headers.get("proxy-authorization")
    reply(b"", 407)(connection, request) if asked is None else reply(asked.encode())(connection, request)


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_is_told_the_user_that_its_address_names(http, server, proxy, scheme):
    port = urlsplit(server.behave(login_asked)).port
    proxy(f"{scheme}me%40home:se%3Acret@127.0.0.1:{port}")
    assert http.get("http://example.test/x") == b"Basic " + base64.b64encode(b"me@home:se:cret")


def test_a_proxy_that_asks_who_one_is_says_what_to_do(http, server, proxy):
    proxy(f"http://127.0.0.1:{urlsplit(server.behave(login_asked)).port}")
    fails(lambda: http.get("http://example.test/x"), "user and a password", status=407)


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1", "http://[nonsense"])
def test_a_proxy_that_cannot_be_used_is_said_so(http, proxy, address):
    proxy(address)
    fails(lambda: http.get("http://example.test/x"), "proxy can't be used")


def test_a_silent_server_is_a_time_out(hasty, server, pauses):
    began = time.monotonic()
    fails(lambda: hasty.get(server.behave(server.silence)), "0.3 seconds when asked for file.")
    assert time.monotonic() - began < 30  # the server is silent for longer
    assert len(pauses) == 1  # it was asked twice


def test_a_question_that_is_not_answered_in_time_is_no_file(hasty, server):
    error = fails(
        lambda: hasty.post_json(server.behave(server.silence).replace("/file", "/graphql"), {}), "0.3 seconds"
    )
    assert "graphql" not in error.message


def test_who_never_answers_a_handshake_is_told_with_the_time_that_was_waited(http, monkeypatch):
    monkeypatch.setattr(http_module, "_MOST_TO_CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system connects, and nobody says a word
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/a.zarr/0/1?signature=secret"
        error = fails(lambda: http.get(url), "127.0.0.1", "within 0.2 seconds when asked for a.zarr/0/1.")
    assert "secret" not in str(error)


def test_a_server_that_drips_is_a_time_out_too(hasty, server):
    drip = server.drip([b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", *[b"x"] * 998], 0.05)
    began = time.monotonic()
    fails(lambda: hasty.get(server.behave(drip)), "0.3 seconds")
    assert time.monotonic() - began < 30  # the server drips for longer


def test_headers_that_drip_are_a_time_out_too(hasty, server):
    drip = server.drip([b"HTTP/1.1 200 OK\r\n", *[b"a"] * 998], 0.05)
    fails(lambda: hasty.get(server.behave(drip)), "0.3 seconds")


@pytest.fixture
def slow_line(monkeypatch):
    """A clock by which each step takes 20 seconds, during which who waits looks at it; ``late_s`` is how late it is."""
    clock, beat, waits = SimpleNamespace(late_s=0.0, looks=0), errand.Errand.beat, threading.current_thread()

    def look():
        clock.looks += threading.current_thread() is waits
        return time.monotonic() + clock.late_s

    def beat_later(errand, n_steps=1):
        clock.late_s += 20.0 * errand._n_steps
        looks = clock.looks
        wait_until(lambda: clock.looks > looks + 1)
        beat(errand, n_steps)

    monkeypatch.setattr(errand, "time", SimpleNamespace(monotonic=look))
    monkeypatch.setattr(errand.Errand, "beat", beat_later)
    return clock


def test_a_slow_but_steady_body_arrives(server, slow_line):
    url = server.behave(reply(bytes(8 * 2**16)))
    assert Http(timeout_s=30).get(url) == bytes(8 * 2**16)
    assert slow_line.late_s > 100


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>Sign in</html>", b"  <html>", b"\n<HTML>"])
def test_a_sign_in_page_instead_of_data_is_said_so(http, server, body):
    fails(lambda: http.post_json(server.behave(reply(body)), {}), "web page", "sign-in", status=200)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b"1" * 5000, b'{"a": Infinity}']
)
def test_what_is_not_json_is_an_error(http, server, body):
    fails(lambda: http.post_json(server.behave(reply(body)), {}), "isn't JSON", status=200)


def test_json_that_was_cut_once_is_asked_for_again(http, server):
    assert http.post_json(server.behave(reply(b'{"a": 1', length=7), reply(b'{"a": 1}')), {}) == {"a": 1}


def test_damaged_compression_is_an_error(http, server):
    url = server.behave(reply(b"not gzip at all", Content_Encoding="gzip"))
    fails(lambda: http.post_json(url, {}), "The answer came damaged from 127.0.0.1: it can't be decompressed.")
    fails(lambda: http.get(url.replace("/file", "/a.zarr/.zattrs")), "a.zarr/.zattrs came damaged from 127.0.0.1")


@pytest.mark.parametrize("length", [None, 10_000_000_000])
def test_a_body_beyond_its_bound_is_refused(http, server, length):
    url = server.behave(reply(CONTENT, length=length, keep=length is None))
    fails(lambda: http.get(url, max_bytes=1000), "1,000 bytes")


def test_a_body_that_is_announced_too_large_is_not_waited_for(http, server):
    def announce(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")
        server.silence(connection, request)

    began = time.monotonic()
    fails(lambda: http.get(server.behave(announce), max_bytes=1000), "1,000 bytes")
    assert time.monotonic() - began < STOPPED_S


def test_an_endless_body_is_refused(http, server):
    endless = server.drip([b"HTTP/1.1 200 OK\r\n\r\n", *[bytes(10_000)] * 1000], 0)
    fails(lambda: http.get(server.behave(endless), max_bytes=100_000), "100,000 bytes")


def test_a_decompression_bomb_is_refused(http, server):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    url = server.behave(reply(bomb, Content_Encoding="gzip"))
    fails(lambda: http.post_json(url, {}, max_bytes=10**6), "1,000,000 bytes")


def test_more_than_the_part_asked_for_is_refused(http, server):
    url = server.behave(reply(bytes(1000), 206, Content_Range="bytes 0-999/5000"))
    fails(lambda: http.get(url, start=0, length=10), "10 bytes")


# --- redirects and addresses


def test_a_redirect_is_followed(http, server):
    url = server.behave(reply(b"", 302, Location="/elsewhere"), reply(b"there"))
    assert http.get(url) == b"there"
    assert server.requests[1].path == "/elsewhere"


@pytest.mark.parametrize("place", ["/ä/b c", "/%C3%A4/b%20c", "/%E4/b"])
def test_a_redirect_is_followed_to_a_name_of_any_letters_however_it_is_written(http, server, place):
    moved = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {place}\r\n\r\n".encode()
    server.behave(lambda connection, _request: connection.sendall(moved), reply(CONTENT))
    assert http.get(server.url) == CONTENT
    assert server.requests[-1].path == quote(place, safe="/%")


def test_a_moved_portal_is_asked_the_same_question(http, server):
    url = server.behave(reply(b"", 308, Location="/v2"), reply(b"{}"))
    assert http.post_json(url, {"query": "{x}"}) == {}
    assert (server.requests[1].method, json.loads(server.requests[1].body)) == ("POST", {"query": "{x}"})


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "javascript:alert(1)"])
def test_a_redirect_to_anything_but_the_web_is_refused(http, server, target):
    fails(lambda: http.get(server.behave(reply(b"", 302, Location=target))), "unsafe", status=302)


def test_no_redirect_leads_away_from_a_secure_place_however_that_is_written():
    away = urllib3.HTTPResponse(status=302, headers={"Location": "http://a.org/x"})
    for url in ("https://a.org/", "HTTPS://a.org/"):
        with pytest.raises(FaultError, match="unsafe"):
            redirected(url, away, "GET", b"")


def test_a_redirect_in_circles_ends(http, server):
    fails(lambda: http.get(server.behave(reply(b"", 302, Location="/file"))), "circles")
    assert len(server.requests) == 6


def test_a_redirect_to_nowhere_is_an_error(http, server):
    fails(lambda: http.get(server.behave(reply(b"", 302))), "can't be followed", status=302)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x/y", "", "/etc/passwd", "http://", "http://[::1", "http://a b\r\nX: y/"]
)
def test_only_web_addresses_are_opened(http, url):
    fails(lambda: http.get(url), "isn't a web address")


def test_an_address_with_an_impossible_port_is_told_with_it(http):
    fails(lambda: http.get("http://127.0.0.1:99999/a.zarr"), "'127.0.0.1:99999' isn't a web address")


def test_control_characters_of_an_address_are_not_shown(http):
    error = fails(lambda: http.get("ftp://evil\x1b[31m/"))
    assert "\x1b" not in str(error)


# --- reading piece by piece


def test_a_body_comes_in_pieces(http, server):
    with http.open(server.behave(reply(CONTENT, ETag='"v1"'))) as body:
        assert (body.status, body.start, body.total_bytes, body.etag) == (200, 0, len(CONTENT), '"v1"')
        assert b"".join(body.chunks()) == CONTENT


def test_a_body_can_start_in_the_middle(http, server):
    with http.open(server.behave(ranged(CONTENT)), start=1000, etag='"v1"') as body:
        assert (body.status, body.start, body.total_bytes) == (206, 1000, len(CONTENT))
        assert b"".join(body.chunks()) == CONTENT[1000:]
    assert server.requests[0].headers["if-range"] == '"v1"'


def test_downloads_share_a_connection(http, server):
    url = server.behave(reply(CONTENT))
    for _ in range(3):
        with http.open(url) as body:
            assert b"".join(body.chunks()) == CONTENT
    assert server.connections == 1


def test_a_download_may_be_left_in_the_middle(http, server):
    with http.open(server.behave(reply(CONTENT * 20))) as body:
        assert next(body.chunks())
    assert http.get(server.behave(reply(b"fine"))) == b"fine"


def test_a_slow_body_is_handed_out_as_it_comes(http, server, monkeypatch):
    clock = itertools.count(step=0.3)  # each look at it is so much later
    monkeypatch.setattr(http_bodies, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with http.open(server.behave(reply(bytes(6 * 2**16)))) as body:
        chunks = list(body.chunks())
    assert sum(map(len, chunks)) == 6 * 2**16
    assert len(chunks) > 2


def test_a_server_that_starts_over_says_so(http, server):
    with http.open(server.behave(reply(CONTENT)), start=1000) as body:
        assert (body.status, body.start) == (200, 0)
        assert b"".join(body.chunks()) == CONTENT


def test_a_body_that_starts_elsewhere_is_refused(http, server):
    url = server.behave(reply(b"0123456789", 206, Content_Range="bytes 6-15/1000"))

    def read():
        with http.open(url, start=5):
            pass

    fails(read, "another part", status=206)


def test_a_body_that_ends_early_is_an_error_after_what_came(http, server):
    url = server.behave(reply(CONTENT[:70_000], length=len(CONTENT), keep=False))
    got = []

    def read():
        with http.open(url) as body:
            got.extend(body.chunks())

    fails(read, "broke off")
    assert CONTENT[:70_000].startswith(b"".join(got))
    assert len(b"".join(got)) >= 2**16  # at most one piece of 64 KiB is lost


def test_a_body_of_unknown_length_that_ends_early_is_an_error(http, server):
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-14/15\r\n\r\n"

    def read():
        with http.open(server.behave(raw(head + b"0123")), start=5) as body:
            list(body.chunks())

    fails(read, "broke off")


def test_opening_what_is_missing_is_an_error(http, server):
    def read():
        with http.open(server.behave(reply(b"", 404))):
            pass

    fails(read, status=404)


# --- stop

STOPPED_S = 30  # half of the time limit of the client; benchmarks/stop_latency.py measures how soon a stop is heard


def stops(call, stop: threading.Event, once) -> float:
    """Run a call, set the stop a moment after something has happened; how long it went on after that."""
    moment = []

    def set_stop():
        wait_until(once)
        threading.Event().wait(0.1)
        moment.append(time.monotonic())
        stop.set()

    threading.Thread(target=set_stop).start()
    with pytest.raises(StoppedError):
        call()
    return time.monotonic() - moment[0]


def test_a_stop_is_heard_while_a_server_is_silent(http, server):
    stop, url = threading.Event(), server.behave(server.silence)
    assert stops(lambda: http.get(url, stop=stop), stop, lambda: server.requests) < STOPPED_S


def test_a_stop_is_heard_while_a_body_drips(http, server):
    drip = server.drip([b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", *[b"x"] * 998], 0.05)
    stop, url = threading.Event(), server.behave(drip)
    assert stops(lambda: http.get(url, stop=stop), stop, lambda: server.requests) < STOPPED_S


def test_a_stop_is_heard_while_a_retry_is_waiting(http, server, pauses):
    stop = threading.Event()
    url = server.behave(reply(b"", 503, Retry_After="30"))
    assert stops(lambda: http.get(url, stop=stop), stop, lambda: pauses) < STOPPED_S
    assert len(server.requests) == 1


def test_a_stop_is_heard_while_a_name_is_looked_up(http, monkeypatch):
    release, asked = threading.Event(), threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked.set() or (release.wait(60) and []))
    stop = threading.Event()
    assert stops(lambda: http.get("http://portal.invalid/", stop=stop), stop, asked.is_set) < STOPPED_S
    release.set()


def test_a_stop_is_heard_between_the_pieces_of_a_body(http, server):
    stop, came = threading.Event(), threading.Event()
    drip = server.drip([b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + bytes(2**20), b"", b""], 5)

    def read():
        with http.open(server.behave(drip), stop=stop) as body:
            for _ in body.chunks():
                came.set()

    assert stops(read, stop, came.is_set) < STOPPED_S


def test_nothing_is_sent_when_a_stop_comes_before_the_connection(http, server, monkeypatch):
    url, look_up = server.behave(reply(b"x")), socket.getaddrinfo
    asked, release, looked_up = threading.Event(), threading.Event(), threading.Event()

    def slow(*args, **kwargs):
        asked.set()
        release.wait(60)
        looked_up.set()
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    stop = threading.Event()
    stops(lambda: http.get(url, stop=stop), stop, asked.is_set)
    release.set()
    assert looked_up.wait(30)
    no_errand_is_left()
    assert server.requests == []


def test_a_redirect_is_not_followed_after_a_stop(http, server):
    stop = threading.Event()

    def redirect(connection, request):
        stop.set()
        connection.recv(1)  # nothing comes until the client has hung up
        reply(b"", 302, Location="/elsewhere")(connection, request)

    url = server.behave(redirect, reply(b"there"))
    with pytest.raises(StoppedError):
        http.get(url, stop=stop)
    no_errand_is_left()
    assert len(server.requests) == 1


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def no_errand_is_left() -> None:
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(30)
            assert not thread.is_alive()


def hears_a_hang_up(server, pieces, heard: threading.Event):
    """Send the pieces, one every 50 ms and then the last one for ever, until the client is gone."""

    def behave(connection, request):
        with contextlib.suppress(OSError):
            for piece in itertools.chain(pieces, itertools.repeat(pieces[-1], 1000)):
                connection.sendall(piece)
                if select.select([connection], [], [], 0.05)[0]:
                    break  # it has nothing more to ask: this is its end
            else:
                return
        heard.set()

    return behave


@pytest.mark.parametrize(
    "pieces", [[b"HTTP/1.1 200 OK\r\nX: ", b"x"], [b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"]]
)
def test_a_server_notices_that_nobody_wants_its_answer_any_more(http, server, pieces):
    stop, heard = threading.Event(), threading.Event()
    url = server.behave(hears_a_hang_up(server, pieces, heard))
    stops(lambda: http.get(url, stop=stop), stop, lambda: server.requests)
    assert heard.wait(30)


def test_a_server_notices_that_a_download_was_stopped(http, server):
    stop, heard = threading.Event(), threading.Event()
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", bytes(2**16), b"x"]

    def read():
        with http.open(server.behave(hears_a_hang_up(server, pieces, heard)), stop=stop) as body:
            for _ in body.chunks():
                pass

    stops(read, stop, lambda: server.requests)
    assert heard.wait(30)


def test_a_server_notices_that_a_handshake_was_stopped(monkeypatch):
    monkeypatch.setattr(http_module, "_MOST_TO_CONNECT_S", 600.0)
    client, stop = Http(timeout_s=600), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        silent.settimeout(30)
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        answer = threads.submit(client.get, url, stop=stop)
        with silent.accept()[0] as connection:
            connection.settimeout(30)
            assert connection.recv(1)  # the client has begun, and waits
            stop.set()
            while connection.recv(2**16):  # until it hangs up
                pass
            with pytest.raises(StoppedError):
                answer.result(30)
            no_errand_is_left()


def test_that_there_is_no_thread_is_said_so(http, server, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    url = server.behave(reply(b"fine"))
    no_errand_is_left()
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse)
        error = fails(lambda: http.get(url), "No thread")
    assert error.hint
    assert http.get(url) == b"fine"


def test_no_thread_is_left_behind_by_a_stop(http, server):
    stop = threading.Event()
    url = server.behave(server.silence)
    stops(lambda: http.get(url, stop=stop), stop, lambda: server.requests)
    no_errand_is_left()


def test_a_stop_that_comes_when_a_body_has_just_ended_is_a_stop(http, server, monkeypatch):
    stop, original = threading.Event(), http_bodies.Gatherer.gather

    def gather(gatherer, beat):
        original(gatherer, beat)
        stop.set()
        wait_until(lambda: beat.__self__._is_left)  # it is heard, though there is nothing to hang up any more

    monkeypatch.setattr(http_bodies.Gatherer, "gather", gather)
    with http.open(server.behave(reply(b"short")), stop=stop) as body, pytest.raises(StoppedError):
        list(body.chunks())


def test_what_came_before_a_stop_is_handed_out_before_it_is_told(http, server, monkeypatch):
    monkeypatch.setattr(http_bodies, "_CHUNK_S", math.inf)
    stop, came, content = threading.Event(), [], bytes(range(256)) * 1024
    with http.open(server.behave(server.stalled(reply(content))), stop=stop) as body:

        def read():
            came.extend(body.chunks())

        reading = errand.started(read)
        wait_until(lambda: body.tally.came_bytes == len(content) // 2)
        assert came == []
        stop.set()
        assert isinstance(reading.exception(60), StoppedError)
    assert b"".join(came) == content[: len(content) // 2]


def test_what_comes_to_a_thread_that_nobody_waits_for_any_more_is_there_for_whoever_left_it(http, server):
    content = bytes(range(256)) * 1024
    with http.open(server.behave(dropped(reply(content)))) as body:
        pieces = http_bodies.Gatherer(body._response, body.tally)
        pieces.gather(lambda: None)  # as on that thread, up to where the connection ends
        assert pieces.take() == content[: len(content) // 2]


def test_a_stop_that_comes_after_an_answer_leaves_its_connection_to_others(http, server):
    url = server.behave(reply(CONTENT))

    def work(errand):
        with http._respond("GET", url, {}, errand, receipt=Receipt(Policy(), 0)) as response:
            assert response.read() == CONTENT
        errand._abort()  # as a stop does that comes before the answer is handed over

    http.attempt(url, work, None)
    assert http.get(url) == CONTENT
    assert server.connections == 1


def test_one_thread_serves_many_requests(http, server, monkeypatch):
    threads = set()

    def read():
        threads.update(thread for thread in threading.enumerate() if thread.name == THREAD_NAME)

    no_errand_is_left()
    url = server.behave(lambda connection, request: (read(), reply(CONTENT)(connection, request)))
    with monkeypatch.context() as patch:
        patch.setattr(errand, "IDLE_S", 60)  # or else a busy machine may let it end between two of them
        for _ in range(5):
            http.get(url)
            wait_until(lambda: errand._threads._free == 1)  # an answer is there a moment before its thread is free
    http.get(url)  # after which it waits no longer than usual
    assert len(threads) == 1
    no_errand_is_left()


def test_a_steady_body_may_take_longer_than_a_silence_may(http, server, slow_line):
    with http.open(server.behave(reply(bytes(16 * 2**16)))) as body:
        assert b"".join(body.chunks()) == bytes(16 * 2**16)
    assert slow_line.late_s > 60


def test_nothing_is_sent_after_a_stop(http, server):
    stop = threading.Event()
    stop.set()
    url = server.behave(reply(b"x"))
    with pytest.raises(StoppedError):
        http.get(url, stop=stop)
    assert server.requests == []


def test_a_client_works_after_a_stop(http, server):
    stop = threading.Event()
    url = server.behave(server.silence)
    stops(lambda: http.get(url, stop=stop), stop, lambda: server.requests)
    assert http.get(server.behave(reply(b"fine"))) == b"fine"


# --- many at once


def test_many_threads_share_a_client(http, server):
    url = server.behave(ranged(CONTENT))
    wrong = []

    def read(number: int):
        for step in range(20):
            start = (number * 997 + step * 131) % (len(CONTENT) - 500)
            if http.get(url, start=start, length=500) != CONTENT[start : start + 500]:
                wrong.append(start)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert len(server.requests) == 160
    assert server.connections <= 32
