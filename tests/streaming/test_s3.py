"""Public objects of S3 are read like any file on the web."""

from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest

from fault_server import FaultServer, reply
from forward_proxy import ForwardProxy
from napari_cryoet import http_connections
from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.s3 import https_address
from napari_cryoet.streaming.sources import open_source
from stream_server import StreamServer


@pytest.fixture(autouse=True)
def amazon(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.mark.parametrize(
    ("s3_url", "url"),
    [
        ("s3://bucket/a.zarr", "https://bucket.s3.amazonaws.com/a.zarr"),
        ("S3://my-bucket-1/a/b c.zarr/", "https://my-bucket-1.s3.amazonaws.com/a/b%20c.zarr/"),
        ("s3://bucket/50% #1?.zarr", "https://bucket.s3.amazonaws.com/50%25%20%231%3F.zarr"),
        ("s3://bucket.with.dots/a", "https://s3.amazonaws.com/bucket.with.dots/a"),
        ("s3://Old_Bucket/a", "https://s3.amazonaws.com/Old_Bucket/a"),
        ("s3://bucket", "https://bucket.s3.amazonaws.com/"),
    ],
)
def test_a_bucket_has_an_https_address(s3_url, url):
    assert https_address(s3_url) == url


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_another_store_is_set_as_for_amazons_own_tools(name, monkeypatch):
    monkeypatch.setenv(name, "https://s3.eu-south-1.amazonaws.com/")
    assert https_address("s3://bucket/a.zarr") == "https://s3.eu-south-1.amazonaws.com/bucket/a.zarr"


@pytest.mark.parametrize(
    "s3_url", ["s3://", "s3:///key", "s3://b@evil.example/x", "s3://a:b/x", "s3://evil.example:80/x"]
)
def test_what_names_no_bucket_is_refused(s3_url):
    with pytest.raises(FormatError, match="names no bucket"):
        open_source(s3_url)


def test_objects_are_read_with_their_version(tmp_path, monkeypatch):
    (tmp_path / "bucket" / "a b.zarr").mkdir(parents=True)
    (tmp_path / "bucket" / "x").write_bytes(b"12345")
    with StreamServer(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        piece = open_source("s3://bucket").read("x", start=1, length=3)
        assert (piece.content, piece.total_bytes) == (b"234", 5)
        assert piece.version
        assert open_source("s3://bucket/x").read("").content == b"12345"
        assert open_source("s3://bucket").read("y") is None


def test_an_image_in_a_bucket_comes_block_by_block_and_is_kept_on_disk(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(64, 270, 262)).astype("f4")
    write_pyramid(tmp_path / "served" / "bucket" / "a.zarr", values, 10.0)
    plane = ((30, 31), (0, 270), (0, 262))
    with StreamServer(tmp_path / "served") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        for is_kept in (False, True):
            server.requests.clear()
            cache = DiskCache(tmp_path / "pixels", 2**28)
            pyramid = open_pyramid("s3://bucket/a.zarr", fetcher=Fetcher(MemoryCache(2**28)), cache=cache)
            assert np.array_equal(pyramid.read(0, plane)[0], values[30])
            assert cache.flush()
            asked = [path for path, _ in server.requests]
            assert asked == ["/bucket/a.zarr/.zattrs"] if is_kept else len(asked) > 1
            pyramid.close()
            cache.close()
    stored = sum(file.stat().st_size for file in (tmp_path / "served" / "bucket" / "a.zarr" / "0").rglob("*/*/*"))
    assert server.bytes_sent < stored / 4


def test_what_may_not_be_read_is_not_missing(tmp_path, monkeypatch):
    with StreamServer(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        server.statuses["."] = 403
        with pytest.raises(StreamError, match="403"):
            open_source("s3://bucket").read("x")


@pytest.fixture
def regions(tmp_path, monkeypatch):
    """Amazon behind a proxy: whoever is asked names the region of the bucket, and that has it."""
    (tmp_path / "bucket.with.dots").mkdir()
    (tmp_path / "bucket.with.dots" / "x").write_bytes(b"12345")
    (tmp_path / "x").write_bytes(b"12345")
    for name in ("http_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    http_connections._proxy_for.cache_clear()
    with FaultServer() as elsewhere, StreamServer(tmp_path) as right:
        there = urlsplit(right.url).port
        hosts = {f"{bucket}s3.eu-central-1.amazonaws.com": there for bucket in ("", "bucket.")}
        wrong = urlsplit(elsewhere.behave(reply())).port
        hosts |= dict.fromkeys(("s3.amazonaws.com", "bucket.s3.amazonaws.com", "s3-us-west-2.amazonaws.com"), wrong)
        with ForwardProxy(hosts) as proxy:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            yield SimpleNamespace(elsewhere=elsewhere, proxy=proxy)
    http_connections._proxy_for.cache_clear()


@pytest.mark.parametrize("status", [301, 307, 400])
@pytest.mark.parametrize(
    "url",
    [
        "http://s3.amazonaws.com/bucket.with.dots/x",
        "http://s3-us-west-2.amazonaws.com/bucket.with.dots/x",
        "http://bucket.s3.amazonaws.com/x",
    ],
)
def test_a_bucket_in_another_region_is_read_there(regions, url, status):
    regions.elsewhere.behave(reply(b"<Error/>", status, x_amz_bucket_region="eu-central-1"))
    piece = open_source(url, cache=None).read("", start=1, length=3)
    assert piece.content == b"234"
    assert [address for _, address in regions.proxy.asked][1].partition("s3.eu-central-1.")[2]


@pytest.mark.parametrize("region", ["us-east-1/../x", "evil.example#", "", "EU"])
def test_what_is_no_region_leads_nowhere(regions, region):
    regions.elsewhere.behave(reply(b"", 301, x_amz_bucket_region=region))
    with pytest.raises(StreamError, match="can't be followed"):
        open_source("http://s3.amazonaws.com/b/x", cache=None).read("")


def test_nobody_but_amazon_names_regions(tmp_path):
    with FaultServer() as server:
        url = server.behave(reply(b"", 301, x_amz_bucket_region="eu-central-1"))
        with pytest.raises(StreamError, match="can't be followed"):
            open_source(url, cache=None).read("")


def test_a_region_that_sends_round_in_circles_is_left(regions):
    regions.elsewhere.behave(reply(b"", 400, x_amz_bucket_region="us-west-2"))
    regions.proxy.hosts["s3.us-west-2.amazonaws.com"] = regions.proxy.hosts["s3.amazonaws.com"]
    with pytest.raises(StreamError, match="didn't understand"):
        open_source("http://s3.amazonaws.com/b/x", cache=None).read("")
    assert len(regions.proxy.asked) == 2
