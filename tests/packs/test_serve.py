import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest

from napari_cryoet.exceptions import NetworkError, PackError
from napari_cryoet.packs.handler import MAX_BODY_BYTES
from napari_cryoet.packs.serve import serve_pack
from packs.served_files import MRC, NDJSON, PICKS, RUN, ZARR, served_pack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return served_pack(tmp_path_factory.mktemp("served")).folder


@pytest.fixture
def server(folder):
    with serve_pack(folder) as server:
        yield server


@pytest.fixture
def connection(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    yield connection
    connection.close()


def request(connection, method, path, body=None, **headers):
    """Status, headers and body of a reply."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read()


def post(connection, query, headers=None, **variables):
    body = json.dumps({"query": query, "variables": variables})
    connection.request("POST", "/graphql", body, {"Content-Type": "application/json", **(headers or {})})
    reply = connection.getresponse()
    assert reply.status == 200
    return json.loads(reply.read())


def is_cut(connection):
    """Whether the other end has closed a connection, politely or not."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def files_path(path):
    return "/files/" + quote(path)


# GraphQL.


def test_a_query_is_answered(connection):
    query = "query Q($id: Int!) { runs(where: {id: {_eq: $id}}) { name } }"
    assert post(connection, query, id=100) == {"data": {"runs": [{"name": RUN}]}}


def test_errors_come_with_status_200_and_no_data(connection):
    reply = post(connection, "{ runs(limitOffset: {offset: 1}) { id } }")
    assert reply["data"] is None
    assert reply["errors"][0]["message"] == "Cannot use offset without limit"


def test_a_damaged_pack_is_an_error_of_the_query(tmp_path):
    pack = served_pack(tmp_path)
    (pack.folder / "tables" / "runs.json").write_text("[")
    with serve_pack(pack.folder) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        reply = post(connection, "{ runs { id } }")
        connection.close()
    assert reply["data"] is None
    assert "isn't valid JSON" in reply["errors"][0]["message"]


def test_the_operation_can_be_named(connection):
    body = json.dumps({"query": "query A { runs { id } } query B { datasets { id } }", "operationName": "B"})
    assert json.loads(request(connection, "POST", "/graphql", body)[2]) == {"data": {"datasets": [{"id": 10}]}}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'[{"query": "{ runs { id } }"}]', b"{}", b'{"query": 1}', b"\xff", b"[" * 90_000]
)
def test_what_is_no_request_gets_status_400(connection, body):
    assert request(connection, "POST", "/graphql", body)[0] == 400


def test_a_body_without_end_is_not_read(server, connection):
    status, headers, _ = request(connection, "POST", "/graphql", b"x" * 10, Content_Length=str(MAX_BODY_BYTES + 1))
    assert status == 413
    assert headers["Connection"] == "close"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(b"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"411" in raw.recv(100)


def test_only_post_reaches_the_queries(connection):
    assert request(connection, "GET", "/graphql")[0] == 405
    assert request(connection, "POST", "/files/x", b"")[0] == 404
    assert request(connection, "PUT", "/graphql", b"")[0] == 501


def test_urls_lead_to_the_host_that_was_asked(server, connection):
    query = "{ tomograms { httpsOmezarrDir httpsMrcFile s3MrcFile } }"
    tomogram = post(connection, query)["data"]["tomograms"][0]
    assert tomogram["httpsMrcFile"] == server.files_url + quote(MRC, safe="/")
    assert tomogram["s3MrcFile"] == f"s3://bucket/{MRC}"
    tomogram = post(connection, query, {"Host": "teacher.local:8123"})["data"]["tomograms"][0]
    assert tomogram["httpsMrcFile"].startswith("http://teacher.local:8123/files/")
    for host in ("evil/<script>", "a b", "x" * 300, "user@host", ""):
        tomogram = post(connection, query, {"Host": host})["data"]["tomograms"][0]
        assert tomogram["httpsMrcFile"].startswith(server.files_url)


# Files.


def test_a_file_is_sent_as_it_is(folder, connection):
    status, headers, body = request(connection, "GET", files_path(MRC))
    assert status == 200
    assert body == (folder / "files" / MRC).read_bytes()
    assert headers["Content-Length"] == str(len(body))
    assert headers["Accept-Ranges"] == "bytes"


def test_the_url_of_a_row_leads_to_the_file(connection):
    url = post(connection, "{ annotationFiles { httpsPath } }")["data"]["annotationFiles"][0]["httpsPath"]
    assert request(connection, "GET", urlsplit(url).path)[2].decode() == PICKS


def test_ranges_are_sent_over_one_connection(folder, connection):
    content = (folder / "files" / MRC).read_bytes()
    for wanted, part in (("bytes=0-9", content[:10]), ("bytes=1024-", content[1024:]), ("bytes=-7", content[-7:])):
        status, headers, body = request(connection, "GET", files_path(MRC), Range=wanted)
        assert (status, body) == (206, part)
        assert re.fullmatch(rf"bytes \d+-\d+/{len(content)}", headers["Content-Range"])
        own_socket = connection.sock
    status, headers, body = request(connection, "GET", files_path(MRC), Range=f"bytes={len(content)}-")
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{len(content)}")
    assert connection.sock is own_socket


def test_a_head_request_gets_no_body(folder, connection):
    status, headers, body = request(connection, "HEAD", files_path(MRC))
    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == str((folder / "files" / MRC).stat().st_size)
    status, headers, body = request(connection, "HEAD", files_path(MRC), Range="bytes=0-3")
    assert (status, body, headers["Content-Length"]) == (206, b"", "4")


def test_a_known_file_is_not_sent_again(connection):
    etag = request(connection, "HEAD", files_path(NDJSON))[1]["ETag"]
    status, headers, body = request(connection, "GET", files_path(NDJSON), If_None_Match=etag)
    assert (status, body) == (304, b"")
    assert headers["ETag"] == etag
    assert request(connection, "GET", files_path(NDJSON))[0] == 200


def test_browsers_of_any_origin_may_read(connection):
    _, headers, _ = request(connection, "GET", files_path(NDJSON), Origin="https://viewer.example.org")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in headers["Access-Control-Expose-Headers"]
    status, headers, _ = request(connection, "OPTIONS", "/graphql", Origin="https://viewer.example.org")
    assert status == 204
    assert "POST" in headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize(
    "path",
    [
        "/files/../pack.json",
        "/files/10/../../pack.json",
        "/files/%2e%2e/pack.json",
        "/files/..%2fpack.json",
        "/files/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/files//etc/passwd",
        "/files/%2fetc%2fpasswd",
        "/files/..%5cpack.json",
        "/files/a%00b",
        "/files/",
        "/files",
        "/files/10",
        "/files/10/",
        "/files/nothing",
        "/pack.json",
        "/",
        "//files/x",
        "/s3/bucket/../pack.json",
        "/s3/bucket/%2e%2e/pack.json",
        "/s3/bucket/..%2fpack.json",
        "/s3/other/" + quote(NDJSON),
        "/s3/bucket/nothing",
    ],
)
def test_nothing_but_the_packs_files_is_found(connection, path):
    status, _, body = request(connection, "GET", path)
    assert status == 404
    assert b"napari-cryoet-pack" not in body
    assert b"root:" not in body


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_links_out_of_the_pack_lead_nowhere(tmp_path):
    pack = served_pack(tmp_path / "pack")
    (tmp_path / "secret").write_text("secret")
    (pack.files / "link").symlink_to(tmp_path / "secret")
    (pack.files / "up").symlink_to(tmp_path)
    with serve_pack(pack.folder) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for path in ("/files/link", "/files/up/secret", "/s3/bucket/link", "/s3/bucket/up/secret"):
            assert request(connection, "GET", path)[0] == 404
        connection.close()


def test_bytes_that_are_no_http_harm_nothing(server, connection):
    for garbage in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET /files/ HTTP/9.9\r\n\r\n",
        b"x" * 70_000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
            raw.sendall(garbage)
    assert post(connection, "{ runs { id } }")["data"]


# Many at once, and the end.


def test_many_clients_are_served_at_once(server, folder):
    content = (folder / "files" / MRC).read_bytes()

    def fetch(_):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        bodies = [request(connection, "GET", files_path(MRC))[2] for _ in range(5)]
        runs = post(connection, "{ runs { name } }")["data"]["runs"]
        connection.close()
        return all(body == content for body in bodies) and runs == [{"name": RUN}]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(fetch, range(32)))


def test_two_servers_do_not_mix(folder, tmp_path):
    other = served_pack(tmp_path)
    (other.files / NDJSON).write_text("other")
    with serve_pack(folder) as one, serve_pack(other.folder) as two:
        assert one.port != two.port
        for server, text in ((one, PICKS), (two, "other")):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            url = post(connection, "{ annotationFiles { httpsPath } }")["data"]["annotationFiles"][0]["httpsPath"]
            assert url.startswith(server.files_url)
            assert request(connection, "GET", urlsplit(url).path)[2].decode() == text
            connection.close()


def test_closing_cuts_open_connections_and_leaves_no_thread(folder):
    before = set(threading.enumerate())
    server = serve_pack(folder)
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    post(idle, "{ runs { id } }")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as half:
        half.sendall(b"GET /files/")
        server.close()
        assert is_cut(half)
    assert set(threading.enumerate()) <= before
    server.close()  # once more is no harm
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)
    idle.close()


def test_a_taken_port_is_an_error_with_words(server, folder):
    with pytest.raises(NetworkError, match=f"port {server.port}, can't be served from"):
        serve_pack(folder, port=server.port)


def test_a_folder_that_is_no_pack_is_not_served(tmp_path):
    with pytest.raises(PackError, match="isn't a pack"):
        serve_pack(tmp_path)


def test_no_more_clients_than_there_is_room_for(folder, monkeypatch):
    monkeypatch.setattr("napari_cryoet.packs.serve.MAX_CONNECTIONS", 2)
    with serve_pack(folder) as server:
        held = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(2)]
        for connection in held:
            post(connection, "{ runs { id } }")
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as third:
            assert is_cut(third)
        held[0].close()
        for connection in held[1:]:
            assert post(connection, "{ runs { id } }")["data"]
            connection.close()


def test_who_can_get_no_thread_is_cut_and_others_are_served_after(folder, monkeypatch):
    def fail(_thread):
        raise RuntimeError("can't start new thread")

    with serve_pack(folder) as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as refused:
                assert is_cut(refused)
        later = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        assert post(later, "{ runs { id } }")["data"]
        later.close()  # and closing the server waits for no thread that never was


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_serves_and_ends_on_a_signal(folder, number):
    program = (
        "import sys; from napari_cryoet.packs.serve import serve_until_signalled as s; sys.exit(s(sys.argv[1]) - %d)"
    )
    command = [sys.executable, "-c", program % number, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            urls = json.loads(process.stdout.readline())
            assert set(urls) == {"graphql", "files", "s3"}
            connection = http.client.HTTPConnection(urlsplit(urls["graphql"]).netloc, timeout=60)
            assert post(connection, "{ runs { name } }")["data"]["runs"] == [{"name": RUN}]
            process.send_signal(number)
            assert process.wait(60) == 0
            assert process.stdout.read() == ""
            connection.close()
        finally:
            process.kill()


def test_a_zarr_of_the_pack_opens_by_its_url(server, connection):
    url = post(connection, "{ tomograms { httpsOmezarrDir } }")["data"]["tomograms"][0]["httpsOmezarrDir"]
    assert urlsplit(url).path == "/files/" + quote(ZARR, safe="/")
    status, headers, body = request(connection, "GET", urlsplit(url).path + "/.zattrs")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert "multiscales" in json.loads(body)
