"""A served pack: GraphQL and files over HTTP, for allowed hosts and origins, and only the pack's own files."""

import http.client
import json
import os
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
from uvicorn.protocols.utils import get_remote_addr

from napari_cryoet.exceptions import NetworkError, PackError
from napari_cryoet.network.connections import CONNECTIONS_HEADER
from napari_cryoet.packs.pack import write_pack
from napari_cryoet.packs.serve import MAX_BODY_BYTES, PackServer, Visitor
from packs.small_pack import HTTPS, S3, PackManifest

RUNS = '{"query": "{ runs { id } }"}'
FOUND = """query Found($where: TomogramWhereClause) {
  tomograms(where: $where) { id }
  runsAggregate(where: {tomograms: $where}) { aggregate { count } }
}"""
PAGE = "https://viewer.example.org"  # a web page that the user has open
VOLUME = "90002/MIX_003/Reconstructions/VoxelSpacing31.360/Tomograms/100/MIX_003.mrc"


@pytest.fixture(scope="module")
def server(demo_pack):
    with PackServer(demo_pack, names=["Teacher.Example"]) as server:
        yield server


@pytest.fixture
def connection(server):
    with connected(server) as connection:
        yield connection


@contextmanager
def connected(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    yield connection
    connection.close()


def request(connection, method, path, body=None, **headers):
    """Status, headers and body of a reply."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read()


def post(connection, query, *, host=None, **variables):
    body = json.dumps({"query": query, "variables": variables})
    status, _, content = request(
        connection, "POST", "/graphql", body, **({"Host": host} if host else {})
    )
    assert status == 200, content
    return json.loads(content)


def raw(server, source="127.0.0.1"):
    return socket.create_connection(
        ("127.0.0.1", server.port), timeout=20, source_address=(source, 0)
    )


def is_cut(connection):
    """Whether the other end has closed or reset a connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def is_cut_now(connection):
    """Whether the other end has already closed a connection that it sent nothing on."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


def test_query_errors_have_status_200_and_no_data(connection):
    body = json.dumps(
        {"query": "query A { runs { id } } query B { datasets { id } }", "operationName": "B"}
    )
    assert (
        len(json.loads(request(connection, "POST", "/graphql", body)[2])["data"]["datasets"]) == 2
    )
    reply = post(connection, "{ runs { nothing } }")
    assert (reply["data"], len(reply["errors"])) == (None, 1)


def test_replies_have_terms_and_name_damaged_tables(tmp_path):
    terms = {
        "licence": "CC-BY-4.0",
        "licence_url": "https://example.org/by",
        "site": "https://lab.example.org",
    }
    write_pack(tmp_path, PackManifest(title="Mine", https_prefix=HTTPS, s3_prefix=S3, **terms), {})
    (tmp_path / "tables" / "datasets.json").write_text("[")
    with PackServer(tmp_path) as server, connected(server) as connection:
        sent = post(connection, "{ runs { id } }")["extensions"]["terms"]
        assert "datasets.json" in post(connection, "{ datasets { id } }")["errors"][0]["message"]
    assert sent == {
        "licence": "CC-BY-4.0",
        "licenceUrl": "https://example.org/by",
        "site": "https://lab.example.org",
    }


def test_endless_bodies_are_rejected(server, connection):
    with raw(server) as endless:
        head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        endless.sendall(
            head + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * (MAX_BODY_BYTES // 0x10000 + 2)
        )
        assert b" 413 " in endless.recv(100)
    assert post(connection, "{ runs { id } }")["data"]


@pytest.mark.parametrize("host", ["127.0.0.1", "TEACHER.example", "[::1]"])
def test_urls_use_the_requested_host_if_allowed(connection, host):
    query = "{ tomograms(where: {runId: {_eq: 9007}}) { httpsMrcFile s3MrcFile } }"
    for forwarded in (host, f"{host}:8123"):
        (tomogram,) = post(connection, query, host=forwarded)["data"]["tomograms"]
        assert tomogram["httpsMrcFile"] == f"http://{forwarded}/files/{VOLUME}"
        assert tomogram["s3MrcFile"] == f"s3://napari-cryoet-demo/{VOLUME}"
        filters = (
            {"httpsMrcFile": {"_eq": tomogram["httpsMrcFile"]}},
            {"httpsMrcFile": {"_in": [tomogram["httpsMrcFile"], "other"]}},
            {"httpsMrcFile": {"_ilike": f"http://{forwarded}/FILES/%mix_003.mrc"}},
            {"s3MrcFile": {"_eq": tomogram["s3MrcFile"]}},
        )
        for where in filters:
            found = post(connection, FOUND, host=forwarded, where=where)["data"]
            assert len(found["tomograms"]) == 1
            assert found["runsAggregate"]["aggregate"][0]["count"] == 1


@pytest.mark.parametrize(
    "host", ["127.0.0.1.evil.example", "203.0.113.5", "evil/<script>", "u@localhost", ""]
)
def test_other_hosts_are_refused(connection, host):
    for method, path, body in (("POST", "/graphql", RUNS), ("GET", f"/files/{VOLUME}", None)):
        status, _, content = request(connection, method, path, body, Host=host)
        assert (status, len(content) < 100) == (400, True)


def test_only_named_origins_get_cors_headers(connection, demo_pack):
    for origin in (PAGE, "null", "http://localhost:1234"):
        _, headers, _ = request(connection, "HEAD", f"/files/{VOLUME}", Origin=origin)
        assert not [name for name in headers if name.lower().startswith("access-control")]
    with PackServer(demo_pack, cors=[PAGE]) as open_server, connected(open_server) as browser:
        _, headers, _ = request(browser, "HEAD", f"/files/{VOLUME}", Origin=PAGE)
        assert headers["Access-Control-Allow-Origin"] == PAGE
        preflight = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        assert request(browser, "OPTIONS", "/graphql", Origin=PAGE, **preflight)[0] == 200
        _, headers, _ = request(
            browser, "HEAD", f"/files/{VOLUME}", Origin="https://other.example.org"
        )
        assert "Access-Control-Allow-Origin" not in headers


def test_urls_of_a_public_server_work_from_other_machines(demo_pack):
    with PackServer(demo_pack, host="0.0.0.0") as server, connected(server) as connection:
        assert not server.graphql_url.startswith("http://0.0.0.0")
        netloc = urlsplit(server.graphql_url).netloc
        files = post(connection, "{ annotationFiles { httpsPath } }", host=netloc)["data"][
            "annotationFiles"
        ]
        assert all(file["httpsPath"].startswith(server.files_url) for file in files)


def test_files_are_sent_whole_or_by_range(demo_pack, connection):
    content = (demo_pack / "files" / VOLUME).read_bytes()
    path = f"/files/{VOLUME}"
    for method, sent in (("GET", content), ("HEAD", b"")):
        status, headers, body = request(connection, method, path)
        assert (status, body, headers["Content-Length"]) == (200, sent, str(len(content)))
    for wanted, part in (
        ("bytes=0-9", content[:10]),
        ("bytes=1024-", content[1024:]),
        ("bytes=-7", content[-7:]),
    ):
        status, part_headers, body = request(connection, "GET", path, Range=wanted)
        assert (status, body) == (206, part)
        assert part_headers["Content-Range"].endswith(f"/{len(content)}")
    status, part_headers, _ = request(connection, "GET", path, Range=f"bytes={len(content)}-")
    assert (status, part_headers["Content-Range"]) == (416, f"bytes */{len(content)}")
    assert headers["ETag"]


@pytest.mark.parametrize(
    "path",
    [
        "/files/../pack.json",
        "/files/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/files/%2fetc%2fpasswd",
        "/files/..%5cpack.json",
        "/files/a%00b",
        "/s3/napari-cryoet-demo/..%2fpack.json",
        f"/s3/other/{VOLUME}",
        "/s3/napari-cryoet-demo?list-type=2&prefix=../",
    ],
)
def test_only_the_packs_files_are_served(connection, path):
    status, _, body = request(connection, "GET", path)
    assert status == 404 or (status == 200 and b"<Key>" not in body)
    assert b"napari-cryoet-pack" not in body
    assert b"root:" not in body


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_links_out_of_the_pack_are_not_followed(tmp_path):
    pack = write_pack(
        tmp_path / "pack", PackManifest(title="Mine", https_prefix=HTTPS, s3_prefix=S3), {}
    )
    (tmp_path / "secret").write_text("secret")
    (pack.files / "link").symlink_to(tmp_path / "secret")
    (pack.files / "up").symlink_to(tmp_path)
    with PackServer(pack.folder) as server, connected(server) as connection:
        for path in ("/files/link", "/files/up/secret", "/s3/bucket/link", "/s3/bucket/up/secret"):
            assert request(connection, "GET", path)[0] == 404
        assert b"link" not in request(connection, "GET", "/s3/bucket?list-type=2")[2]


def test_a_class_behind_one_address_is_served(server):
    with ExitStack() as stack:
        students = [stack.enter_context(raw(server)) for _ in range(200)]
        for student in students:
            student.sendall(f"HEAD /files/{VOLUME} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answers = [student.recv(4000) for student in students]
    assert all(b" 200 " in each for each in answers)
    assert all(f"{CONNECTIONS_HEADER}: 8".lower().encode() in each.lower() for each in answers)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has further loopback addresses")
@pytest.mark.parametrize("flooder", ["127.0.0.1", "127.0.0.2"])
def test_half_open_connections_do_not_block_others(demo_pack, flooder, monkeypatch):
    monkeypatch.setattr("napari_cryoet.packs.serve.MAX_CONNECTIONS", 100)
    with PackServer(demo_pack) as server, ExitStack() as stack:
        idle = stack.enter_context(connected(server))
        post(idle, "{ runs { id } }")
        half_open = []
        for _ in range(300):
            half_open.append(stack.enter_context(raw(server, flooder)))
            half_open[-1].sendall(b"GET /files/")
        newcomer = stack.enter_context(connected(server))
        assert post(newcomer, "{ runs { id } }")["data"]
        assert all(is_cut(each) for each in half_open[:200])
        if flooder != "127.0.0.1":
            assert not is_cut_now(idle.sock)


def test_browsers_get_a_page_that_says_how_to_join(tmp_path):
    manifest = PackManifest(title="Cells & <b>more</b>", https_prefix=HTTPS, s3_prefix=S3)
    write_pack(tmp_path, manifest, {})
    with PackServer(tmp_path, names=["teacher"]) as server, connected(server) as browser:
        for path in ("/", "/graphql"):
            status, headers, page = request(browser, "GET", path, Host="teacher:8000")
            assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
            assert b"Cells &amp; &lt;b&gt;more&lt;/b&gt;" in page
            assert b"<code>http://teacher:8000</code>" in page
        assert server.page_url.encode() in request(browser, "GET", "/", Host="localhost:80")[2]
        assert request(browser, "GET", "/", Host="evil.example")[0] == 400


def test_visitors_are_counted(demo_pack):
    with PackServer(demo_pack) as server:
        assert server.visitors() == []
        with connected(server) as connection:
            sent = len(request(connection, "GET", f"/files/{VOLUME}", Range="bytes=0-999")[2])
            sent += len(request(connection, "GET", "/")[2])
            assert server.visitors() == [Visitor("127.0.0.1", 1, 2, sent)]


def test_visitors_are_counted_while_another_one_connects(demo_pack, monkeypatch):
    counted = []

    def address_of(transport):
        counted.extend(server.visitors())
        return get_remote_addr(transport)

    with PackServer(demo_pack) as server, connected(server) as connection:
        post(connection, "{ runs { id } }")
        monkeypatch.setattr("uvicorn.protocols.http.h11_impl.get_remote_addr", address_of)
        with connected(server) as another:
            post(another, "{ runs { id } }")
    assert [visitor.address for visitor in counted] == ["127.0.0.1"]


def test_close_ends_connections_and_threads(demo_pack):
    before = set(threading.enumerate())
    server = PackServer(demo_pack)
    with connected(server) as idle, raw(server) as half_open:
        post(idle, "{ runs { id } }")
        half_open.sendall(b"GET /files/")
        server.close()
        assert is_cut(half_open)
    assert {thread for thread in threading.enumerate() if "AnyIO" not in thread.name} <= before
    server.close()  # once more is no harm
    with pytest.raises(ConnectionError):
        raw(server)


def test_invalid_ports_and_folders_are_refused(server, demo_pack, tmp_path):
    for port in (server.port, 70_000):
        with pytest.raises(NetworkError, match=str(port)):
            PackServer(demo_pack, port=port)
    with pytest.raises(PackError, match="isn't a pack"):
        PackServer(tmp_path)
