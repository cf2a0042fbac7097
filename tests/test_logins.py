"""Who an address names is told to its own server, and to nobody else: no other server, no message, no file."""

from __future__ import annotations

import pickle
from base64 import b64decode

import numpy as np
import pytest

from fault_server import FaultServer, files, reply
from napari_cryoet.exceptions import CryoETError, NetworkError
from napari_cryoet.files import without_login, without_password
from napari_cryoet.formats.notes import of_bare_file
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.http import Http
from napari_cryoet.logins import authorization_of, is_same_server
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.sources import read_file

ASKED = "Basic " + "bWU6czNjcjN0"  # me:s3cr3t
VALUES = np.arange(12 * 14 * 16, dtype="f4").reshape(12, 14, 16)


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


@pytest.fixture
def other():
    with FaultServer() as running:
        yield running


@pytest.fixture
def http():
    client = Http(attempts=1)
    yield client
    client.close()


def named(url, login="me:s3cr3t"):
    return url.replace("://", f"://{login}@")


def for_members(good):
    def behave(connection, request):
        is_known = request.headers.get("authorization") == ASKED
        return (good if is_known else reply(b"", 401))(connection, request)

    return behave


def told(server):
    return [request.headers.get("authorization") for request in server.requests]


def test_its_own_server_is_told_who_asks(http, server):
    url = server.behave(for_members(reply(b"content")))
    assert http.get(named(url)) == b"content"
    assert told(server) == [ASKED]


@pytest.mark.parametrize(
    ("login", "user_and_password"),
    [("me", "me:"), ("me:", "me:"), ("me:a:b", "me:a:b"), ("m%40e:%C3%A9%2F%3A", "m@e:é/:"), ("a@b:c@d", "a@b:c@d")],
)
def test_names_and_passwords_may_have_any_characters(login, user_and_password):
    sent = authorization_of(f"https://{login}@files.org/a@b")
    assert b64decode(sent.removeprefix("Basic ")).decode() == user_and_password


@pytest.mark.parametrize("address", ["https://files.org/a@b", "https://@files.org", "/a/me:s3cr3t@b", "s3://bucket/a"])
def test_who_is_not_named_is_not_told(address):
    assert authorization_of(address) == ""


def test_a_redirect_on_the_same_server_is_followed_with_it(http, server):
    url = server.behave(reply(b"", 302, Location="/elsewhere"), for_members(reply(b"content")))
    assert http.get(named(url)) == b"content"
    assert told(server) == [ASKED, ASKED]


def test_another_server_is_never_told(http, server, other):
    there = other.behave(reply(b"content"))
    url = server.behave(reply(b"", 302, Location=f"{there}/a"))
    assert http.get(named(url)) == b"content"
    assert told(other) == [None]


def test_nor_is_one_that_the_redirect_itself_names_somebody_for(http, server, other):
    there = other.behave(reply(b"content"))
    url = server.behave(reply(b"", 302, Location=named(there, "you:other")))
    assert http.get(named(url)) == b"content"
    assert told(other) == [None]


def test_who_is_sent_back_is_told_again(http, server, other):
    url = server.behave(reply(b"", 302, Location=other.behave()), for_members(reply(b"content")))
    other.behave(reply(b"", 302, Location=url))
    assert http.get(named(url)) == b"content"
    assert (told(server), told(other)) == ([ASKED, ASKED], [None])


@pytest.mark.parametrize(
    ("address", "other", "is_same"),
    [
        ("https://me@files.org/a", "https://FILES.org/b", True),
        ("http://me@files.org/a", "https://files.org/a", True),
        ("https://me@files.org/a", "http://files.org/a", False),
        ("https://me@files.org/a", "https://files.org:8443/a", False),
        ("https://me@files.org/a", "https://files.org.evil.org/a", False),
        ("https://me@files.org/a", "https://files.org@evil.org/a", False),
    ],
)
def test_which_servers_are_the_same(address, other, is_same):
    assert is_same_server(address, other) == is_same


def test_a_refusal_says_how_to_name_oneself_and_tells_no_secret(http, server):
    url = server.behave(reply(b"", 401))
    with pytest.raises(NetworkError) as caught:
        http.get(named(url, "me:wr0ng"))
    assert "user and a password" in caught.value.hint
    assert "wr0ng" not in f"{caught.value}{caught.value!r}{vars(caught.value)}"


@pytest.mark.parametrize("address", ["https://me:s3[cr3t]@files.org/a", "http://me:s3cr3t@", "s3://me:s3cr3t@bucket/a"])
def test_what_can_be_no_address_is_named_without_the_secret(address):
    with pytest.raises(CryoETError) as caught:
        read_file(f"{address}/a", limit_bytes=1000)
    assert "cr3t" not in f"{caught.value}{vars(caught.value)}"


def test_an_image_behind_a_login_is_read_kept_and_sent_to_other_processes_without_telling(server, tmp_path):
    write_pyramid(tmp_path / "file" / "a.zarr", VALUES, 10.0)
    url = named(server.behave(for_members(files(tmp_path)))) + "/a.zarr"
    cache = DiskCache(tmp_path / "kept", 10**8)
    pyramid = open_pyramid(url, cache=cache)
    assert np.array_equal(pyramid.read(0), VALUES)
    assert "s3cr3t" not in f"{pyramid!r}{pyramid.place}{pyramid.line}{pyramid.levels[0].name}"
    assert cache.flush(20)
    cache.close()
    kept = [file.read_bytes() for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert kept
    assert not any(b"s3cr3t" in content or ASKED[6:].encode() in content for content in kept)
    again = pickle.loads(pickle.dumps(pyramid))
    assert np.array_equal(again.read(0), VALUES)


def test_what_is_kept_is_known_by_the_user_and_not_by_the_password():
    address = "https://me:s3cr3t@files.org/a.zarr?b=c"
    assert without_password(address) == "https://me@files.org/a.zarr?b=c"
    assert without_password("https://files.org/a@b:c") == "https://files.org/a@b:c"
    assert without_login(address) == "https://files.org/a.zarr?b=c"


def test_where_a_file_comes_from_names_nobody():
    about = of_bare_file("volume", "https://me:s3cr3t@files.org/a.zarr", 10.0)
    assert about["source_url"] == "https://files.org/a.zarr"
