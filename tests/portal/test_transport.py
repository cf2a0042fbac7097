"""The HTTP transport: any reply of a server becomes data or one of our errors."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_cryoet.exceptions import FormatError, NetworkError, PortalError, StoppedError
from napari_cryoet.portal.transport import ask_server, read_picture
from napari_cryoet.records import Terms
from napari_cryoet.task import UNWATCHED, Task
from server import Answer, Server

QUERY = "query A($id: Int!) { runs(where: {id: {_eq: $id}}) { id } }"


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture
def ask(server):
    """Ask a server that sends a given reply."""

    def ask_for(body: bytes, code: int = 200, task=UNWATCHED):
        server.script("graphql", lambda _: Answer(code, body=body))
        return ask_server(f"{server.url}/graphql", QUERY, {"id": 5}, task)

    return ask_for


def test_replies_have_the_packs_terms(ask):
    terms = {"licence": "CC-BY-4.0", "site": "https://lab.example.org"}
    reply = {"data": {"runs": []}, "extensions": {"terms": terms}}
    assert ask(json.dumps(reply).encode()).terms == Terms(
        licence="CC-BY-4.0", site="https://lab.example.org"
    )
    for strange in ({}, {"terms": None}, None):
        assert ask(json.dumps(reply | {"extensions": strange}).encode()).terms is None


def test_graphql_errors_raise_a_portal_error(server, ask):
    with pytest.raises(PortalError, match="Cannot query field x"):
        ask(
            b'{"data": {"runs": []}, "errors": [{"message": "Cannot query field x", "locations": []}]}',
            400,
        )
    (request,) = server.requests
    assert json.loads(request.body) == {"query": QUERY, "variables": {"id": 5}}
    with pytest.raises(PortalError, match="reason"):
        ask(b'{"errors": [{"code": 5}]}')


@pytest.mark.parametrize("code", [200, 422])
@pytest.mark.parametrize(
    "body", [b"", b"<html>sign in</html>", b"[]", b"null", b'{"data": []}', b"[" * 100_000]
)
def test_invalid_replies_raise_a_network_error(ask, body, code):
    with pytest.raises(NetworkError, match=str(code)):
        ask(body, code)


@pytest.mark.parametrize("url", ["FILE:///etc/passwd", "/etc/passwd"])
def test_local_file_urls_in_replies_are_cleared(ask, url):
    rows = [
        {
            "httpsPath": url,
            "keyPhotoUrl": url,
            "title": url,
            "run": {"httpsPrefix": url},
            "s3Path": url,
        }
    ]
    (row,) = ask(json.dumps({"data": {"annotationFiles": rows}}).encode()).data["annotationFiles"]
    assert row == {
        "httpsPath": "",
        "keyPhotoUrl": "",
        "title": url,
        "run": {"httpsPrefix": ""},
        "s3Path": url,
    }
    rows = [
        {"httpsPath": "https://x.org/a b%20c", "keyPhotoUrl": None, "httpsPrefix": "HTTP://x.org"}
    ]
    assert ask(json.dumps({"data": {"runs": rows}}).encode()).data == {"runs": rows}


def test_waiting_requests_can_be_stopped_and_are_limited(server):
    held = server.script("graphql", None)
    task = Task()

    def ask_until_stopped(_):
        with pytest.raises(StoppedError):
            ask_server(f"{server.url}/graphql", QUERY, {}, task)

    with ThreadPoolExecutor(12) as pool:
        waiting = pool.map(ask_until_stopped, range(12))
        server.wait_until(lambda: server.answering == 4)
        assert server.most_at_once == 4
        task.stop()
    assert len(list(waiting)) == 12
    server.end(held)


def test_pictures_are_read_only_from_the_web_and_the_pack(server, tmp_path):
    pack = tmp_path / "pack"
    (pack / "files").mkdir(parents=True)
    (pack / "files" / "a b.png").write_bytes(b"pixels")
    (tmp_path / "secret.png").write_bytes(b"secret")
    inside = (pack / "files" / "a b.png").as_uri()
    server.script("photo", lambda _: Answer(body=b"pixels"))
    assert read_picture(inside, folder=pack) == read_picture(f"{server.url}/photo.png") == b"pixels"
    for url in (
        (tmp_path / "secret.png").as_uri(),
        f"{pack.as_uri()}/../secret.png",
        "a.png",
        "ftp://a.invalid/a.png",
    ):
        with pytest.raises(FormatError):
            read_picture(url, folder=pack)
    for url, folder in (
        (inside, None),
        (f"{server.url}/gone", pack),
        ((pack / "gone.png").as_uri(), pack),
    ):
        with pytest.raises(FormatError):
            read_picture(url, folder=folder)
