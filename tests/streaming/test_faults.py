"""Whatever goes wrong on the way: a picture ends exact or says what is missing, and no wrong voxel is shown or kept."""

import threading
import time

import numpy as np
import pytest
import zarr
from numcodecs import Blosc

import fault_server as faults
from fault_server import FaultServer, Faulty
from napari_cryoet import http as http_module
from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import blosc, open_pyramid
from napari_cryoet.streaming.cache import OVERHEAD_BYTES, MemoryCache
from napari_cryoet.streaming.disk_cache import DiskCache
from napari_cryoet.streaming.disk_settings import shared_disk_cache
from napari_cryoet.streaming.fetcher import Fetcher

SHAPE = (44, 270, 262)
PATIENCE_S = 30
CHUNKS = r"/\d/\d+/\d+/\d+$"  # and not the metadata

# What a fault does to a request that meets it, and whether asking again at once can help.
FAULTS = {
    "drops the connection in the middle": (lambda server: faults.dropped, True),
    "stalls in the middle": (lambda server: server.stalled, True),
    "has too many requests": (lambda server: faults.too_many, True),
    "has a problem of its own": (lambda server: faults.broken, True),
    "sends too little": (lambda server: faults.truncated, True),
    "sends wrong bytes": (lambda server: faults.inverted, True),
    "sends another part": (lambda server: faults.shifted, True),
    "says that a part is compressed": (lambda server: faults.said_to_be_packed, True),
    "sends a page for people": (lambda server: faults.page, False),
}
HARMLESS = {
    "knows nothing of ranges": lambda server: faults.whole,
    "is slow to start": lambda server: server.slow_to_start,
}


def noise():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pyramids")
    write_pyramid(folder / "image.zarr", noise(), 10.0)
    return folder


@pytest.fixture(scope="module")
def truth(folder):
    return [open_pyramid(folder / "image.zarr").read(level) for level in range(3)]


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


def patience_s(request):
    """How long to wait for the server: little only where it stalls, since a machine that is busy stalls too."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    return 0.5 if "stalls" in str(params.get("name")) else PATIENCE_S


@pytest.fixture
def files(request, server, folder, monkeypatch):
    """Serves the folder; its ``fault`` hits requests for chunks."""
    client = http_module.Http(timeout_s=patience_s(request))
    monkeypatch.setattr(http_module, "shared_http", lambda: client)
    monkeypatch.setattr(http_module, "_FIRST_PAUSE_S", 0.001)
    behaviour = Faulty(faults.files(folder), pattern=CHUNKS)
    server.behave(behaviour)
    yield behaviour
    client.close()


@pytest.fixture
def memory():
    return MemoryCache(256 * 2**20)


@pytest.fixture
def pyramid(server, files, memory):
    """Reads one thing at a time, so that each fault hits one thing."""
    pyramid = open_pyramid(address(server), fetcher=Fetcher(memory, threads=1))
    yield pyramid
    pyramid.close()


@pytest.fixture
def shown(server, files, memory):
    """Reads as many things at a time as a viewer does."""
    pyramid = open_pyramid(address(server), fetcher=Fetcher(memory, threads=16))
    yield pyramid
    pyramid.close()


def address(server):
    return server.url.replace("/file", "/image.zarr")


def assert_only_right_values_are_kept(pyramid, memory, truth, server):
    """In memory, and on disk as a new process finds it."""
    kept = 0
    for level, values in enumerate(truth):
        grid = pyramid.grid(level)
        for block in grid.covering(tuple((0, size) for size in values.shape)):
            content = memory.get(pyramid.key(level, block))
            if content is not None:
                kept += 1
                assert np.array_equal(content, values[tuple(slice(*span) for span in grid.box(block))])
    assert shared_disk_cache().flush()
    again = open_pyramid(address(server), fetcher=Fetcher(MemoryCache(2**28), threads=8))
    for level, values in enumerate(truth):
        assert np.array_equal(again.read(level), values)
    return kept


def heal(files, pyramid):
    """End the fault once nothing meets it any more: whoever asks for the same would share its failure."""
    deadline = time.monotonic() + 60
    while pyramid._fetcher._traffic.flights:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    end(files)


def end(files):
    """End the fault; from now on a server that stalls is waited for, since a machine that is busy stalls too."""
    files.fault = None
    http_module.shared_http()._timeout_s = PATIENCE_S


class Watcher:
    """A display, shown again whenever something arrives, as a viewer does; no picture may have a wrong voxel."""

    def __init__(self, pyramid, truth):
        self.truth = truth
        self.changed = threading.Event()
        self.display = pyramid.display(on_change=self.changed.set, placeholder=np.nan)

    def show(self, z):
        picture = np.asarray(self.display.levels[0][z])
        is_right = np.isnan(picture)
        for level, values in enumerate(self.truth):
            at_z, y, x = (
                np.minimum(np.arange(size) >> level, n - 1) for size, n in zip(SHAPE, values.shape, strict=True)
            )
            is_right |= picture == values[at_z[z]][np.ix_(y, x)]
        assert is_right.all()
        return picture

    def retry(self, z):
        """Press Retry whenever something has failed, until the picture is exact: what was under way may fail yet."""
        while True:
            self.display.retry()
            picture = self.wait(z, until=lambda state: state.is_exact or has_failed(state))
            if self.display.state.is_exact:
                return picture

    def wait(self, z, until):
        while True:
            picture, state = self.show(z), self.display.state
            if until(state):
                return picture
            assert self.changed.wait(60), state
            self.changed.clear()


def is_exact(state):
    return state.is_exact


def has_failed(state):
    return state.error is not None


@pytest.mark.parametrize("name", [name for name, (_, is_mended) in FAULTS.items() if is_mended])
def test_a_passing_fault_is_mended(name, server, files, pyramid, memory, truth):
    files.fault, files.left = FAULTS[name][0](server), 1
    assert np.array_equal(pyramid.read(0, ((9, 12), (0, 270), (0, 262))), truth[0][9:12])
    assert files.hits == 1
    end(files)
    assert assert_only_right_values_are_kept(pyramid, memory, truth, server)


@pytest.mark.parametrize("name", FAULTS)
def test_a_lasting_fault_is_an_error_until_it_is_over(name, server, files, pyramid, memory, truth):
    files.fault = FAULTS[name][0](server)
    with pytest.raises(StreamError) as caught:
        pyramid.read(0, ((9, 12), (0, 270), (0, 262)))
    assert caught.value.message
    heal(files, pyramid)
    assert np.array_equal(pyramid.read(0, ((9, 12), (0, 270), (0, 262))), truth[0][9:12])
    assert assert_only_right_values_are_kept(pyramid, memory, truth, server)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_comes_between_table_and_blocks_is_an_error_until_it_is_over(name, server, files, pyramid, truth):
    box = ((0, 2), (0, 270), (0, 262))
    pyramid.read(0, box)
    files.fault = FAULTS[name][0](server)
    with pytest.raises(StreamError):
        pyramid.read(0, ((30, 33), (0, 270), (0, 262)))
    assert np.array_equal(pyramid.read(0, box), truth[0][:2])
    heal(files, pyramid)
    assert np.array_equal(pyramid.read(0), truth[0])


@pytest.mark.parametrize("name", FAULTS)
def test_a_picture_says_what_is_missing_and_retry_brings_it(name, server, files, shown, memory, truth):
    files.fault = FAULTS[name][0](server)
    watcher = Watcher(shown, truth)
    picture = watcher.wait(20, until=has_failed)
    assert np.isnan(picture).all()
    state = watcher.display.state
    assert state.error.message
    assert state.missing_blocks
    assert not state.is_exact
    end(files)
    assert np.array_equal(watcher.retry(20), truth[0][20])
    assert watcher.display.state.error is None
    watcher.display.close()
    assert assert_only_right_values_are_kept(shown, memory, truth, server)


@pytest.mark.parametrize("name", FAULTS)
def test_a_picture_of_which_only_the_fine_level_fails_stays_coarse(name, server, files, shown, truth):
    files.fault, files.pattern = FAULTS[name][0](server), r"/0/\d+/\d+/\d+$"
    shown.read(2)
    watcher = Watcher(shown, truth)
    picture = watcher.wait(20, until=lambda state: has_failed(state) and state.missing_blocks)
    assert not np.isnan(picture).any()
    assert not watcher.display.state.is_exact
    end(files)
    assert np.array_equal(watcher.retry(20), truth[0][20])
    watcher.display.close()


@pytest.mark.parametrize("name", HARMLESS)
def test_a_bad_habit_of_a_server_costs_time_and_nothing_else(name, server, files, shown, memory, truth):
    files.fault = HARMLESS[name](server)
    watcher = Watcher(shown, truth)
    assert np.array_equal(watcher.wait(20, until=is_exact), truth[0][20])
    watcher.display.close()
    assert files.hits
    assert assert_only_right_values_are_kept(shown, memory, truth, server)


def test_a_file_that_changes_with_every_request_is_never_mixed(server, files, shown, memory, truth):
    files.fault = faults.ever_another
    watcher = Watcher(shown, truth)
    for z in (2, 20, 43):
        picture = watcher.wait(z, until=lambda state: state.is_exact or has_failed(state))
        if watcher.display.state.is_exact:  # what is read in one request is of one version
            assert np.array_equal(picture, truth[0][z])
    end(files)
    assert np.array_equal(watcher.retry(20), truth[0][20])
    watcher.display.close()
    assert assert_only_right_values_are_kept(shown, memory, truth, server)


@pytest.mark.parametrize("name", FAULTS)
def test_an_address_that_fails_while_it_is_opened_opens_later(name, server, files, truth):
    files.fault, files.pattern = FAULTS[name][0](server), "."
    with pytest.raises((StreamError, FormatError)):
        open_pyramid(address(server)).read(2)
    end(files)
    again = open_pyramid(address(server), fetcher=Fetcher(MemoryCache(2**28), threads=8))
    assert np.array_equal(again.read(2), truth[2])


@pytest.fixture
def far(files, monkeypatch):
    """Whatever lies behind the first 64 KiB of a file is far, and the server sends no parts."""
    monkeypatch.setattr("napari_cryoet.http_bodies._MAX_SKIP_BYTES", 2**16)
    files.fault = faults.whole


def test_what_lies_far_into_a_file_comes_with_all_of_it_once_where_ranges_are_ignored(
    server, far, folder, shown, truth, memory
):
    watcher = Watcher(shown, truth)
    for z in (40, 20, 42):
        assert np.array_equal(watcher.wait(z, until=is_exact), truth[0][z])
    assert np.array_equal(shown.read(0), truth[0])
    stored = sum(file.stat().st_size for file in (folder / "image.zarr" / "0").rglob("*") if file.is_file())
    watcher.display.close()
    assert shown.bytes_read < 2 * stored  # and not as often as there are blocks
    assert assert_only_right_values_are_kept(shown, memory, truth, server)


@pytest.mark.parametrize(
    "read",
    [
        lambda pyramid: pyramid.read(0),
        lambda pyramid: (pyramid.levels[0] + 0).compute(scheduler="synchronous")[tuple(map(slice, SHAPE))],
    ],
    ids=["read", "dask"],
)
def test_a_large_part_brings_each_file_once_where_ranges_are_ignored_and_one_is_held_at_a_time(
    server, far, folder, truth, monkeypatch, read
):
    sizes = [file.stat().st_size for file in (folder / "image.zarr" / "0").rglob("*") if file.is_file()]
    held = MemoryCache(max(sizes) + OVERHEAD_BYTES)
    monkeypatch.setattr("napari_cryoet.streaming.undivided.held_files", lambda: held)
    monkeypatch.setattr("napari_cryoet.streaming.pyramid.held_files", lambda: held)
    pyramid = open_pyramid(address(server), fetcher=Fetcher(MemoryCache(4 * 2**20), threads=1), cache=None)
    assert not pyramid.keeps(0, tuple((0, size) for size in SHAPE))
    server.requests.clear()
    assert np.array_equal(read(pyramid), truth[0])
    pyramid.close()
    whole = [request.path for request in server.requests if "range" not in request.headers]
    assert len(whole) == len(set(whole)) > 1


def test_what_lies_far_into_a_large_file_is_refused_by_hanging_up_where_ranges_are_ignored(
    server, far, monkeypatch, pyramid
):
    monkeypatch.setattr("napari_cryoet.streaming.undivided._LARGEST_BYTES", 2**20)
    with pytest.raises(StreamError, match="can't send parts of a file"):
        pyramid.read(0, ((40, 42), (0, 270), (0, 262)))
    assert pyramid.bytes_read < 2**20


def test_an_image_opens_whose_server_sends_parts_of_a_page_in_place_of_what_it_lacks(server, folder, truth, memory):
    server.behave(faults.app_of_one_page(faults.files(folder)))
    pyramid = open_pyramid(address(server), fetcher=Fetcher(memory))
    assert np.array_equal(pyramid.read(2), truth[2])


def test_an_image_whose_files_are_all_stored_compressed_is_exact(server, folder, truth, memory):
    """Uploaded with \"Content-Encoding: gzip\", that is."""
    server.behave(faults.stored_packed(faults.files(folder)))
    pyramid = open_pyramid(address(server), fetcher=Fetcher(memory))
    for level, values in enumerate(truth):
        assert np.array_equal(pyramid.read(level), values)


def test_an_uncompressed_chunk_that_is_stored_compressed_is_exact_wherever_one_begins(server, tmp_path):
    """Also where that is beyond the compressed size, and what lies before it is kept on disk."""
    values = np.arange(128 * 128 * 128, dtype="<f4").reshape(128, 128, 128) // 1000
    layout = {"zarr_format": 2, "chunks": values.shape, "compressors": None}
    zarr.create_array(str(tmp_path / "image.zarr"), shape=values.shape, dtype="<f4", **layout)[...] = values
    server.behave(faults.stored_packed(faults.files(tmp_path)))
    far, near = ((120, 122), (0, 128), (0, 128)), ((0, 2), (0, 128), (0, 128))
    cache = DiskCache(tmp_path / "pixels", 2**26)
    for box in (far, near, far):
        pyramid = open_pyramid(address(server), fetcher=Fetcher(MemoryCache(2**26)), cache=cache)
        assert np.array_equal(pyramid.read(0, box), values[slice(*box[0])])
        pyramid.close()
        assert cache.flush()
    cache.close()


@pytest.fixture(scope="module")
def frame():
    values = np.random.default_rng(0).normal(size=2**16).astype("f4")
    return values.tobytes(), bytes(Blosc("lz4", 5, Blosc.SHUFFLE, 2**15).encode(values))


def decode(encoded: bytes, nbytes: int) -> bytes:
    """As the reader does, block by block."""
    frame = blosc.parse_frame(encoded)
    if (frame.header.nbytes, frame.header.cbytes) != (nbytes, len(encoded)):
        raise FormatError("wrong size")
    parts = range(frame.header.n_blocks)
    return b"".join(
        blosc.decode_blocks(frame, part, part + 1, {part: encoded[frame.starts[part] : frame.ends[part]]})
        for part in parts
    )


def test_a_flipped_bit_in_a_table_is_noticed(frame):
    content, encoded = frame
    end = blosc.parse_header(encoded).table_end
    for position in range(blosc.HEADER_BYTES, end):
        for bit in range(8):
            flipped = bytearray(encoded)
            flipped[position] ^= 1 << bit
            with pytest.raises(FormatError):
                decode(bytes(flipped), len(content))


def test_a_flipped_bit_anywhere_is_an_error_or_changes_values_only(frame):
    content, encoded = frame
    random = np.random.default_rng(1)
    noticed = 0
    for position in [*range(blosc.HEADER_BYTES), *random.integers(0, len(encoded), 500)]:
        flipped = bytearray(encoded)
        flipped[position] ^= 1 << int(random.integers(8))
        try:
            assert len(decode(bytes(flipped), len(content))) == len(content)
        except FormatError:
            noticed += 1
    assert noticed >= 10  # of the header; inside the blocks there is no checksum that would tell
