"""Behind a proxy, as classrooms are: metadata, pixels and downloads all go through it, or say in words why not."""

import base64
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import numpy as np
import pytest

from certificates import self_signed
from command_line import wait_until
from forward_proxy import ForwardProxy, no_proxy_named
from napari_cryoet.download import ask_rows, download_files, plan_download, select
from napari_cryoet.exceptions import NetworkError, StoppedError
from napari_cryoet.http import Http
from napari_cryoet.packs.serve import PackServer
from napari_cryoet.portal import open_portal
from napari_cryoet.volumes import open_volume
from packs.served_files import VOLUME, served_pack
from stream_server import StreamServer

LOGIN = f"Basic {base64.b64encode(b'me@home:se:cret').decode()}"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Names no proxy; what a test sets counts at once."""
    with no_proxy_named(monkeypatch):
        yield monkeypatch.setenv


@pytest.fixture
def http():
    client = Http(timeout_s=60, attempts=1)
    yield client
    client.close()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "x").write_bytes(b"pixels")
    with StreamServer(tmp_path) as server:
        yield server


@pytest.fixture
def proxy(files):
    with ForwardProxy({"files.test": urlsplit(files.url).port}) as running:
        yield running


@pytest.fixture
def secure(tmp_path, files, environment):
    """The same files over https, for ``files.test``, which this computer trusts."""
    context, certificate = self_signed(tmp_path)
    environment("SSL_CERT_FILE", str(certificate))
    return context


@pytest.fixture
def tunnel(files, secure):
    """A proxy that asks who one is, before a server that speaks https."""
    files.secure(secure)
    with ForwardProxy({"files.test": urlsplit(files.url).port}, login=LOGIN) as running:
        yield running


def why_not(http, url):
    with pytest.raises(NetworkError) as caught:
        http.get(url)
    return str(caught.value)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_http_goes_through_the_proxy_that_the_environment_names(http, proxy, environment, name):
    environment(name, f"http://127.0.0.1:{proxy.port}")
    assert http.get("http://files.test/x", start=1, length=3) == b"ixe"
    assert proxy.asked == [("GET", "http://files.test/x")]


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_https_goes_through_a_tunnel(http, tunnel, environment, name):
    environment(name, f"http://me%40home:se%3Acret@127.0.0.1:{tunnel.port}")
    assert http.get("https://files.test/x") == b"pixels"
    assert (tunnel.asked, tunnel.told) == ([("CONNECT", "files.test:443")], [LOGIN])


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "http://me:wrong@127.0.0.1:{}"])
def test_a_tunnel_that_asks_who_one_is_says_what_to_do(http, tunnel, environment, address):
    environment("https_proxy", address.format(tunnel.port))
    assert "asks for a user and a password (status 407)" in why_not(http, "https://files.test/x")


def test_a_host_that_the_proxy_refuses_is_said_so(http, proxy, environment):
    environment("https_proxy", f"http://127.0.0.1:{proxy.port}")
    assert "proxy doesn't let us reach elsewhere.test" in why_not(http, "https://elsewhere.test/x")


@pytest.mark.parametrize("address", ["http://nobody.invalid:8080", "http://127.0.0.1:1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_blamed_and_not_the_server(http, environment, scheme, address):
    environment("all_proxy", address)
    assert "network's proxy can't be reached" in why_not(http, f"{scheme}://files.test/x")


def test_a_proxy_that_cannot_be_used_says_what_can(http, environment):
    environment("all_proxy", "socks5://127.0.0.1:1")
    assert "proxy can't be used: it is no http or https proxy" in why_not(http, "http://files.test/x")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_stop_is_heard_by_a_proxy_that_never_answers(environment, monkeypatch, scheme):
    monkeypatch.setattr("napari_cryoet.http._MOST_TO_CONNECT_S", 600.0)
    http, stop = Http(timeout_s=600), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        silent.settimeout(30)
        environment("https_proxy", f"{scheme}://127.0.0.1:{silent.getsockname()[1]}")
        answer = threads.submit(http.get, "https://files.test/x", stop=stop)
        with silent.accept()[0] as connection:
            connection.settimeout(30)
            assert connection.recv(1)  # it was asked for a tunnel, or greeted
            stop.set()
            while connection.recv(2**16):  # until it is left
                pass
            with pytest.raises(StoppedError):
                answer.result(30)


def test_a_proxy_that_never_makes_its_tunnel_is_told_with_the_time_that_was_waited(http, environment, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._MOST_TO_CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment("https_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "didn't answer within 0.2 seconds" in why_not(http, "https://files.test/x")


def test_a_stop_is_heard_while_tls_is_agreed_on_behind_a_proxy_that_speaks_tls(secure, environment, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._MOST_TO_CONNECT_S", 600.0)
    http, stop = Http(timeout_s=600), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        silent.settimeout(30)
        with ForwardProxy({"files.test": silent.getsockname()[1]}) as proxy:
            proxy.secure(secure)
            environment("https_proxy", f"https://127.0.0.1:{proxy.port}")
            answer = threads.submit(http.get, "https://files.test/x", stop=stop)
            with silent.accept()[0] as connection:
                connection.settimeout(30)
                assert connection.recv(1)
                stop.set()
                while connection.recv(2**16):
                    pass
                with pytest.raises(StoppedError):
                    answer.result(30)


def test_a_proxy_may_itself_speak_https(http, proxy, secure, environment):
    proxy.secure(secure)
    environment("http_proxy", f"https://127.0.0.1:{proxy.port}")
    assert http.get("http://files.test/x") == b"pixels"


def test_a_stop_is_heard_behind_a_proxy_that_speaks_https(http, files, secure, environment):
    files.secure(secure)
    files.gate.clear()
    stop = threading.Event()
    with ForwardProxy({"files.test": urlsplit(files.url).port}) as proxy, ThreadPoolExecutor() as threads:
        proxy.secure(secure)
        environment("https_proxy", f"https://127.0.0.1:{proxy.port}")
        answer = threads.submit(http.get, "https://files.test/x", stop=stop)
        wait_until(lambda: files.is_answering)
        stop.set()
        with pytest.raises(StoppedError):
            answer.result(60)


@pytest.mark.parametrize(
    ("no_proxy", "address", "is_direct"),
    [
        ("*", "http://files.test/x", True),
        ("files.test", "http://files.test/x", True),
        (".test, elsewhere.org", "https://files.test/x", True),
        ("files.test:8080", "http://files.test:8080/x", True),
        ("files.test:443", "https://files.test/x", True),
        ("files.test:8080", "http://files.test/x", False),
        ("10.0.0.0/8", "http://10.1.2.3/x", True),
        ("10.0.0.0/8", "http://11.1.2.3/x", False),
        ("fd00::/8,10.0.0.7", "http://[fd00::1]:80/x", True),
        ("fd00::1", "http://[fd00::1]/x", True),
        ("300.0.0.0/8,nonsense/", "http://10.1.2.3/x", False),
        ("", "http://127.0.0.1:9/x", True),
        ("", "http://127.1.2.3/x", True),
        ("", "http://[::1]:9/x", True),
        ("", "http://localhost/x", True),
        ("", "http://0.0.0.0:8000/x", True),
        ("", "http://[::]:8000/x", True),
        ("", "http://[::ffff:127.0.0.1]:8000/x", True),
        ("", "http://LOCALHOST.:8000/x", True),
        ("", "http://[::ffff:10.1.2.3]/x", False),
        ("", "http://files.test/x", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_some_servers_are_asked_without_the_proxy(http, environment, name, no_proxy, address, is_direct):
    environment("all_proxy", "http://proxy.test:8080")
    environment(name, no_proxy)
    pool = http._connections.pool_for(address)
    assert (getattr(pool, "proxy", None) is None) == is_direct


def test_metadata_pixels_and_downloads_all_go_through_the_proxy(tmp_path, environment):
    pack = served_pack(tmp_path / "pack")
    with PackServer(pack.folder, names=["portal.test"]) as server, ForwardProxy({"portal.test": server.port}) as proxy:
        environment("http_proxy", f"http://127.0.0.1:{proxy.port}")
        portal = open_portal("http://portal.test/graphql")
        page = portal.run_page(100)
        rows = ask_rows(portal, run_ids=[100])
        portal.close()
        with closing(open_volume(page.tomograms[0].https_omezarr_dir)) as volume:
            assert np.array_equal(np.asarray(volume.levels[0]), VOLUME)
        plan = plan_download(rows, select(rows, ["tomogram"], volume_format="mrc"))
        report = download_files(plan, tmp_path / "copy")
        assert report.n_fetched == 1
    ends = [address.rpartition("/")[2] for _, address in proxy.asked]
    assert {"graphql", ".zattrs", "volume.mrc"} <= set(ends)
