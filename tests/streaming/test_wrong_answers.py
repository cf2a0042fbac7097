"""Whatever a server does, values are exact or there is an error: never a wrong pixel or a fill value."""

import concurrent.futures
import contextlib

import numpy as np
import pytest

import portal_images
from napari_cryoet.exceptions import (
    ChangedError,
    CryoETError,
    FormatError,
    NetworkError,
    StreamError,
)
from napari_cryoet.streaming import open_pyramid
from portal_images import noise, write_array, write_image
from server import (
    Server,
    garbled,
    in_chunks,
    saying,
    sent,
    shifted,
    status,
    truncated,
    without_ranges,
)

pytestmark = pytest.mark.usefixtures("quick_retries")

SHAPE = (40, 90, 80)
PLANE = ((30, 31), (0, 300), (0, 280))  # of a portal image: read by ranges
CHUNKS = r"/\d/\d+/\d+/\d+$"
DOCUMENTS = r"/\.z\w+$"
MAX_BYTES = (
    2**25
)  # of an endless body: half of what the server would send, since sockets buffer some
PAGE = b"<!DOCTYPE html><html>Please sign in.</html>" * 500

#: A retry succeeds.
TRANSIENT = {
    "busy": status(503),
    "too many requests": status(429, Retry_After="0"),
    "internal error": status(500),
    "disconnects in the middle": sent("cut"),
    "sends less than announced": truncated,
    "disconnects at once": lambda answer: sent("raw")(status(200)(answer)),
}
#: Always detected.
DETECTABLE = TRANSIENT | {
    "refuses": status(403),
    "requires a login": status(401),
    "isn't HTTP": lambda answer: sent("raw")(status(200, b"\x00\x01garbage\r\n" * 20)(answer)),
    "names another range": shifted,
    "claims to be compressed": saying(Content_Encoding="gzip"),
    "sends a web page": status(200, PAGE, Content_Type="text/html"),
}
#: The last is detected only where the format has checks.
LASTING = DETECTABLE | {"sends other bytes": garbled}
HARMLESS = {"ignores ranges": without_ranges, "sends in chunks": in_chunks}


@pytest.fixture(scope="module")
def plane():
    return noise(portal_images.SHAPE)[30:31]


def outcomes(folder, faults, pattern, *, times=float("inf")):
    """Read under all faults concurrently, since they are slow: (fault, values or error, values of a second read)."""

    def read(fault):
        with Server(folder) as server:
            script = server.script(pattern, fault, times=times)
            try:
                read = open_pyramid(f"{server.url}/image.zarr", cache=None).read(0, PLANE)
            except (StreamError, NetworkError, FormatError) as error:
                read = error
            assert script.hits
            server.end(script)
            return read, open_pyramid(f"{server.url}/image.zarr", cache=None).read(0, PLANE)

    with concurrent.futures.ThreadPoolExecutor(len(faults)) as pool:
        return zip(faults, *zip(*pool.map(read, faults.values()), strict=True), strict=True)


@pytest.mark.parametrize("pattern", [CHUNKS, DOCUMENTS], ids=["chunks", "documents"])
def test_transient_faults_are_retried(pattern, portal_images, plane):
    for name, read, _ in outcomes(portal_images, TRANSIENT, pattern, times=1):
        np.testing.assert_array_equal(read, plane, err_msg=name)


@pytest.mark.parametrize("pattern", [CHUNKS, DOCUMENTS], ids=["chunks", "documents"])
def test_lasting_faults_are_errors_until_they_end(pattern, portal_images, plane):
    for name, read, later in outcomes(portal_images, LASTING, pattern):
        if name in DETECTABLE or isinstance(read, Exception):
            assert isinstance(read, CryoETError), name
            assert read.message
        else:
            np.testing.assert_array_equal(read, plane, err_msg=name)
        np.testing.assert_array_equal(later, plane, err_msg=name)


def test_harmless_deviations_are_tolerated(portal_images, plane):
    for name, read, _ in outcomes(portal_images, HARMLESS, "."):
        np.testing.assert_array_equal(read, plane, err_msg=name)


def read_with_retries(pyramid):
    """Read, and retry if that joined an earlier request."""
    for _ in range(10):
        with contextlib.suppress(StreamError):
            return pyramid.read(0)
    return pyramid.read(0)


@pytest.mark.parametrize(
    "layout", [{}, {"compressors": None}, {"zarr_format": 3, "shards": (40, 64, 64)}]
)
def test_refused_chunks_never_have_the_fill_value(layout, tmp_path):
    stored = write_array(
        tmp_path / "a.zarr", 1 + noise(SHAPE, "|u1"), chunks=(20, 32, 32), **layout
    )
    with Server(tmp_path) as server:
        pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
        chunk = r"/0\.1\.0$|/c/0/1/0$"
        refused = server.script(chunk, status(403))
        with pytest.raises(StreamError):
            pyramid.read(0)
        with pytest.raises(StreamError):
            (pyramid.levels[0] + 0).compute()
        assert refused.hits
        server.end(refused)
        np.testing.assert_array_equal(read_with_retries(pyramid), stored)


def test_planes_read_before_a_fault_stay_readable(portal_images, plane):
    with Server(portal_images) as server:
        pyramid = open_pyramid(f"{server.url}/image.zarr", cache=None)
        np.testing.assert_array_equal(pyramid.read(0, PLANE), plane)
        server.script(CHUNKS, status(403))
        with pytest.raises(StreamError):
            pyramid.read(0)
        np.testing.assert_array_equal(pyramid.read(0, PLANE), plane)


def test_missing_images_and_servers_are_errors(portal_images):
    with Server(portal_images) as server, pytest.raises((FormatError, StreamError)):
        open_pyramid(f"{server.url}/nothing.zarr", cache=None)
    with pytest.raises((StreamError, NetworkError)):  # the server is gone
        open_pyramid(f"{server.url}/image.zarr", cache=None)


@pytest.mark.slow
def test_a_request_that_stalls_once_is_retried(portal_images, plane):
    stalls = {manner: sent(manner) for manner in ("silent", "stalled")}
    for name, read, _ in outcomes(portal_images, stalls, CHUNKS, times=1):
        np.testing.assert_array_equal(read, plane, err_msg=name)


class TestLimits:
    """Bodies that don't end."""

    @pytest.mark.parametrize("compressors", [None, "auto"])
    def test_an_endless_chunk_is_not_read_beyond_its_size(self, compressors, tmp_path):
        stored = write_array(
            tmp_path / "a.zarr", noise(SHAPE), chunks=SHAPE, compressors=compressors
        )
        with Server(tmp_path) as server:
            pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
            endless = server.script(r"/0\.0\.0$", sent("endless"))
            with contextlib.suppress(StreamError):
                np.testing.assert_array_equal(pyramid.read(0), stored)
            assert max(request.sent_bytes for request in server.to(r"/0\.0\.0$")) < MAX_BYTES
            assert endless.hits

    def test_endless_metadata_is_an_error(self, portal_images):
        with Server(portal_images) as server:
            server.script(DOCUMENTS, sent("endless"))
            with pytest.raises((FormatError, StreamError)):
                open_pyramid(f"{server.url}/image.zarr", cache=None)
            assert max(request.sent_bytes for request in server.to(DOCUMENTS)) < MAX_BYTES


class TestChanges:
    """A file that is replaced while the image is open."""

    SHAPE = (40, 180, 160)  # too large to be read in one request
    LAYOUTS = (  # of one chunk: the old version of chunks not yet read is unknown
        {"chunks": SHAPE},
        {"chunks": SHAPE, "compressors": None},
        {"chunks": (8, 45, 40), "shards": SHAPE, "zarr_format": 3},
    )

    @pytest.fixture(params=LAYOUTS, ids=["blosc", "plain", "shards"])
    def versions(self, request, tmp_path):
        """The old values, which are served, the new ones, and a function that replaces the files."""
        old, new = noise(self.SHAPE, seed=1), noise(self.SHAPE, seed=2)
        write_image(tmp_path / "a.zarr", old, **request.param)

        def replace():
            write_image(tmp_path / "new.zarr", new, **request.param)
            (tmp_path / "a.zarr").rename(tmp_path / "old.zarr")
            (tmp_path / "new.zarr").rename(tmp_path / "a.zarr")

        return old, new, replace

    def test_reading_a_replaced_file_says_to_reopen(self, versions, tmp_path):
        old, new, replace = versions
        with Server(tmp_path) as server:
            pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
            np.testing.assert_array_equal(
                pyramid.read(0, ((0, 1), (0, 64), (0, 64)))[0], old[0, :64, :64]
            )
            replace()
            for _ in range(2):
                with pytest.raises(ChangedError, match=r"(?i)reopen"):
                    pyramid.read(0)
            np.testing.assert_array_equal(
                open_pyramid(f"{server.url}/a.zarr", cache=None).read(0), new
            )

    @pytest.mark.parametrize("moment", range(4))
    def test_versions_are_never_mixed(self, moment, versions, tmp_path):
        old, new, replace = versions

        def change(answer):
            replace()
            return answer

        with Server(tmp_path) as server:
            changed = server.script(r"/0/(c/)?\d+/\d+/\d+$", change, times=1, skip=moment)
            pyramid = open_pyramid(f"{server.url}/a.zarr", cache=None)
            for z in (0, 30, 39, 0):
                with contextlib.suppress(StreamError):
                    plane = pyramid.read(0, ((z, z + 1), (0, 180), (0, 160)))[0]
                    assert np.array_equal(plane, old[z]) or np.array_equal(plane, new[z])
            with contextlib.suppress(StreamError):
                assert any(np.array_equal(pyramid.read(0), version) for version in (old, new))
            server.end(changed)
            expected = new if changed.hits else old
            np.testing.assert_array_equal(
                open_pyramid(f"{server.url}/a.zarr", cache=None).read(0), expected
            )

    def test_versions_of_a_local_file_are_never_mixed(self, versions, tmp_path):
        old, new, replace = versions
        pyramid = open_pyramid(tmp_path / "a.zarr")
        np.testing.assert_array_equal(pyramid.read(0, ((20, 21), (0, 180), (0, 160)))[0], old[20])
        replace()
        with contextlib.suppress(StreamError):
            assert any(np.array_equal(pyramid.read(0), version) for version in (old, new))
        np.testing.assert_array_equal(open_pyramid(tmp_path / "a.zarr").read(0), new)
