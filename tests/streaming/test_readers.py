"""Whatever the layout of an array, any box of it is what zarr itself reads there, from disk and over HTTP."""

import itertools
import math
import shutil

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import from_dtype
from numcodecs import BZ2, LZ4, Blosc, Delta, GZip, Shuffle, Zlib, Zstd
from numcodecs.blosc import list_compressors
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

from fault_server import FaultServer, Request, files, reply
from napari_cryoet.exceptions import DamagedError, StreamError
from napari_cryoet.streaming import frame_reader, open_pyramid, readers, slabs
from napari_cryoet.streaming.blosc import HEADER_BYTES, parse_frame
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from stream_server import StreamServer

DTYPES = ["?", "i1", "u1", "i2", "u2", ">i2", "i4", ">u4", "i8", "u8", "f2", "f4", ">f4", "f8", "c8", "c16", ">c8"]


@pytest.fixture(scope="module", autouse=True)
def small_is_large():
    """Chunks of a few hundred bytes are read as chunks of many megabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs, "_WHOLE_CHUNK_BYTES", 400)
        patch.setattr(slabs, "_SMALLEST_SLAB_BYTES", 100)
        patch.setattr(frame_reader, "_SMALL_CHUNK_BYTES", 300)
        patch.setattr(frame_reader, "_SLAB_BYTES_IN_SMALL_CHUNKS", 500)
        patch.setattr(frame_reader, "HEAD_BYTES", 64)
        patch.setattr(readers, "_RUN_BYTES", 2000)
        patch.setattr(readers, "_MAX_GAP_BYTES", 30)
        yield


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with StreamServer(tmp_path_factory.mktemp("served")) as server:
        yield server


def open_afresh(url_or_path):
    return open_pyramid(url_or_path, fetcher=Fetcher(MemoryCache(2**22), threads=4))


bloscs = st.fixed_dictionaries(
    {
        "cname": st.sampled_from(sorted(list_compressors())),
        "clevel": st.integers(0, 9),
        "shuffle": st.sampled_from(["noshuffle", "shuffle", "bitshuffle"]),
        "blocksize": st.sampled_from([0, 0, 128, 200, 256, 1000]),
    }
)
SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


@st.composite
def arrays_of(draw, zarr_format):
    """A shape, chunk shape and values: some noise, some steps, some empty."""
    n_axes = draw(st.integers(1, 4))
    most = {1: 3000, 2: 60, 3: 16, 4: 8}[n_axes]
    shape = tuple(draw(st.lists(st.integers(1, most), min_size=n_axes, max_size=n_axes)))
    chunks = tuple(draw(st.integers(1, size + 3)) for size in shape)
    assume(math.prod(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)) <= 24)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    match draw(st.sampled_from(["noise", "noise", "steps", "sparse"])):
        case "noise":
            bits = random.bytes(math.prod(shape) * dtype.itemsize)
            values = np.frombuffer(bits, dtype if dtype.kind != "b" else "u1").reshape(shape)
            values = values % 2 == 0 if dtype.kind == "b" else values
        case "steps":
            values = (np.arange(math.prod(shape)) // 5 % 100).astype(dtype).reshape(shape)
        case _:
            values = (random.random(shape) > 0.99).astype(dtype)
    fill = dtype.type(draw(from_dtype(dtype)))
    return {"values": values, "chunks": chunks, "fill_value": fill, "zarr_format": zarr_format}


@st.composite
def v2_layouts(draw):
    made = draw(arrays_of(2))
    kind = draw(st.sampled_from(["blosc", "blosc", "blosc", "none", "zstd", "zlib", "gzip", "lz4", "bz2"]))
    match kind:
        case "blosc":
            options = draw(bloscs)
            made["compressors"] = Blosc(**options | {"shuffle": SHUFFLES[options["shuffle"]]})
        case "none":
            made["compressors"] = None
        case _:
            made["compressors"] = {"zstd": Zstd(1), "zlib": Zlib(1), "gzip": GZip(1), "lz4": LZ4(1), "bz2": BZ2(1)}[
                kind
            ]
    dtype = made["values"].dtype
    if dtype.kind in "iu" and draw(st.integers(0, 4)) == 0:
        made["filters"] = [draw(st.sampled_from([Delta(dtype.str), Shuffle(dtype.itemsize)]))]
    made["order"] = draw(st.sampled_from(["C", "C", "C", "F"]))
    made["chunk_key_encoding"] = {"name": "v2", "separator": draw(st.sampled_from([".", "/"]))}
    return made


@st.composite
def v3_layouts(draw):
    made = draw(arrays_of(3))
    n_axes = made["values"].ndim
    codecs = [BytesCodec(endian="big" if made["values"].dtype.byteorder == ">" else "little")]
    if draw(st.integers(0, 5)) == 0:
        codecs.insert(0, TransposeCodec(order=tuple(draw(st.permutations(range(n_axes))))))
    for kind in draw(st.lists(st.sampled_from(["blosc", "blosc", "zstd", "gzip", "crc32c"]), max_size=2)):
        options = draw(bloscs)
        codecs.append(
            {
                "blosc": BloscCodec(**options, typesize=made["values"].dtype.itemsize),
                "zstd": ZstdCodec(level=1, checksum=draw(st.booleans())),
                "gzip": GzipCodec(level=1),
                "crc32c": Crc32cCodec(),
            }[kind]
        )
    if draw(st.booleans()):
        inner = made["chunks"]
        made["chunks"] = tuple(draw(st.integers(1, 3)) * size for size in inner)
        index = draw(st.sampled_from([[BytesCodec()], [BytesCodec(), Crc32cCodec()], [BytesCodec(endian="big")]]))
        location = draw(st.sampled_from(["start", "end"]))
        codecs = [ShardingCodec(chunk_shape=inner, codecs=codecs, index_codecs=index, index_location=location)]
    made["codecs"] = codecs
    made["chunk_key_encoding"] = draw(st.sampled_from([("default", "/"), ("default", "."), ("v2", "."), ("v2", "/")]))
    return made


def write(path, made):
    """Write what was drawn; an array of zarr that reads it."""
    values = made["values"]
    options = {name: value for name, value in made.items() if name != "values"}
    make = zarr.create_array if made["zarr_format"] == 2 else zarr.create
    options["config"] = {"write_empty_chunks": True}
    array = make(store=str(path), shape=values.shape, dtype=values.dtype, **options)
    array[...] = values
    return array


def chunk_files(path):
    documents = {"zarr.json", ".zarray", ".zattrs"}
    return sorted(file for file in path.rglob("*") if file.is_file() and file.name not in documents)


def some_boxes(data, shape):
    whole = tuple((0, size) for size in shape)
    boxes = [whole]
    for _ in range(3):
        starts = [data.draw(st.integers(0, size - 1)) for size in shape]
        boxes.append(tuple((s, data.draw(st.integers(s + 1, n))) for s, n in zip(starts, shape, strict=True)))
    return boxes


def bits_of(values):
    """The bytes of values, with one NaN as good as another."""
    values = np.ascontiguousarray(values).reshape(-1)
    if values.dtype.kind == "c":
        values = values.view(f"f{values.itemsize // 2}")
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    return values.tobytes()


numbers = itertools.count()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.one_of(v2_layouts(), v3_layouts()), st.sampled_from(["file", "http"]), st.data())
def test_any_box_of_any_array_is_what_zarr_reads(served, made, place, data):
    name = f"{next(numbers)}.zarr"
    path = served.folder / name
    array = write(path, made)
    for file in chunk_files(path):
        if data.draw(st.integers(0, 5)) == 0:
            file.unlink()
    pyramid = open_afresh(path if place == "file" else f"{served.url}/{name}")
    assert pyramid.dtype == array.dtype.newbyteorder("=")
    for box in some_boxes(data, array.shape):
        expected = np.asarray(array[tuple(slice(*span) for span in box)])
        read = pyramid.read(0, box)
        assert read.shape == expected.shape
        assert bits_of(read) == bits_of(expected.astype(read.dtype))
    pyramid.close()
    shutil.rmtree(path)


def with_blocks_in_order(encoded, order):
    """The same frame as other threads might have written it; the first of ``order`` comes first in the file."""
    frame = parse_frame(encoded)
    assert not frame.header.is_memcpyed
    bodies = [encoded[start:end] for start, end in zip(frame.starts, frame.ends, strict=True)]
    starts, position = np.empty(len(bodies), "<i4"), frame.header.table_end
    for block in order:
        starts[block], position = position, position + len(bodies[block])
    return encoded[:HEADER_BYTES] + starts.tobytes() + b"".join(bodies[block] for block in order)


@pytest.mark.parametrize("place", ["file", "http"])
def test_blocks_that_several_threads_wrote_in_any_order_are_read_where_they_lie(served, place):
    values = np.random.default_rng(0).normal(size=(64, 80, 80)).astype("f4")
    path = served.folder / f"{next(numbers)}.zarr"
    blosc = Blosc("lz4", 5, Blosc.SHUFFLE, blocksize=2**14)  # of which it makes 2**16
    write(path, {"values": values, "chunks": (64, 80, 40), "fill_value": 0, "zarr_format": 2, "compressors": blosc})
    for seed, file in enumerate(chunk_files(path)):
        encoded = file.read_bytes()
        order = np.random.default_rng(seed).permutation(parse_frame(encoded).header.n_blocks)
        assert len(order) > 10
        file.write_bytes(with_blocks_in_order(encoded, order))
    whole = tuple((0, size) for size in values.shape)
    boxes = [tuple((17, 18) if axis == across else span for axis, span in enumerate(whole)) for across in range(3)]
    for box in (*boxes, whole):
        pyramid = open_afresh(path if place == "file" else f"{served.url}/{path.name}")
        assert np.array_equal(pyramid.read(0, box), values[tuple(slice(*span) for span in box)])
        pyramid.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.one_of(v2_layouts(), v3_layouts()), st.data())
def test_a_damaged_file_is_an_error_or_gives_values_of_the_right_shape(served, made, data):
    path = served.folder / f"{next(numbers)}.zarr"
    array = write(path, made)
    file = data.draw(st.sampled_from(chunk_files(path)))
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            near = min(len(content), 40) - 1
            where = data.draw(st.one_of(st.integers(0, near), st.integers(0, len(content) - 1)))
            content[where] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    pyramid = open_afresh(path)
    for box in some_boxes(data, array.shape):
        try:
            read = pyramid.read(0, box)
        except StreamError as error:
            is_foreseen = "unexpected" not in error.message
        else:
            is_foreseen = read.shape == tuple(stop - start for start, stop in box)
        assert is_foreseen
    pyramid.close()
    shutil.rmtree(path)


def sharded(path, *, codecs, inner, shard, values, location="end"):
    index = [BytesCodec(), Crc32cCodec()]
    codec = ShardingCodec(chunk_shape=inner, codecs=codecs, index_codecs=index, index_location=location)
    array = zarr.create(values.shape, store=str(path), dtype=values.dtype, chunks=shard, codecs=[codec], zarr_format=3)
    array[...] = values


BLOSC = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4)


@pytest.mark.parametrize("location", ["start", "end"])
def test_a_plane_of_large_chunks_in_a_shard_takes_only_its_blocks(tmp_path, location, monkeypatch):
    monkeypatch.setattr(frame_reader, "_MAX_GAP_BYTES", 0)
    monkeypatch.setattr(frame_reader, "_USUAL_BLOCK_BYTES", 4096)
    values = np.random.default_rng(0).normal(size=(64, 64, 64)).astype("f4")
    codecs = [BytesCodec(), BloscCodec(cname="zstd", shuffle="shuffle", blocksize=4096, typesize=4)]
    sharded(tmp_path / "a", codecs=codecs, inner=(32, 32, 32), shard=(64, 64, 64), values=values, location=location)
    size = chunk_files(tmp_path / "a")[0].stat().st_size
    pyramid = open_afresh(tmp_path / "a")
    before = pyramid.bytes_read
    assert np.array_equal(pyramid.read(0, ((33, 34), (0, 64), (0, 64))), values[33:34])
    assert pyramid.bytes_read - before < size / 5


def test_small_chunks_of_a_shard_come_in_few_requests(served, monkeypatch):
    monkeypatch.setattr(slabs, "_WHOLE_CHUNK_BYTES", 2**22)
    monkeypatch.setattr(readers, "_RUN_BYTES", 2**22)
    values = np.random.default_rng(0).normal(size=(64, 64, 64)).astype("f4")
    for name, codecs in {"blosc": [BLOSC], "zstd": [ZstdCodec()], "plain": []}.items():
        path = served.folder / f"{name}.zarr"
        sharded(path, codecs=[BytesCodec(), *codecs], inner=(16, 16, 16), shard=(64, 64, 64), values=values)
        pyramid = open_afresh(f"{served.url}/{name}.zarr")
        served.requests.clear()
        assert np.array_equal(pyramid.read(0), values)
        assert len(served.requests) == 2, "the index, then all chunks"
        assert np.array_equal(pyramid.read(0, ((20, 21), (3, 60), (3, 60))), values[20:21, 3:60, 3:60])


@pytest.mark.parametrize(
    ("before", "after"), [([TransposeCodec(order=(2, 1, 0))], []), ([], [ZstdCodec()])], ids=["turned", "packed"]
)
@pytest.mark.filterwarnings("ignore:Combining:zarr.errors.ZarrUserWarning")
def test_a_shard_that_can_only_be_read_as_a_whole_is_read_once(before, after, tmp_path):
    values = np.random.default_rng(0).integers(0, 2**31, (32, 32, 64)).astype("i4")
    codecs = [*before, ShardingCodec(chunk_shape=(16, 8, 16), codecs=[BytesCodec()]), *after]
    options = {"chunks": values.shape, "codecs": codecs, "dtype": "i4", "zarr_format": 3}
    zarr.create(values.shape, store=str(tmp_path / "a"), **options)[...] = values
    pyramid = open_afresh(tmp_path / "a")
    before_bytes = pyramid.bytes_read
    assert np.array_equal(pyramid.read(0), values)
    assert pyramid.bytes_read - before_bytes < 1.1 * values.nbytes


@pytest.mark.filterwarnings("ignore:Combining:zarr.errors.ZarrUserWarning")
def test_turned_shards_in_shards_are_read_as_zarr_reads_them(tmp_path):
    """Whether chunks fill a shard evenly is seen after it was turned."""
    values = np.arange(4 * 6 * 10, dtype="u2").reshape(4, 6, 10)
    inner = ShardingCodec(chunk_shape=(5, 4, 3), codecs=[BytesCodec()])
    codec = ShardingCodec(chunk_shape=(4, 3, 10), codecs=[TransposeCodec(order=(2, 0, 1)), inner])
    options = {"chunks": values.shape, "codecs": [codec], "dtype": "u2", "zarr_format": 3}
    zarr.create(values.shape, store=str(tmp_path / "a"), **options)[...] = values
    assert np.array_equal(open_afresh(tmp_path / "a").read(0), values)


def test_a_shard_whose_index_is_damaged_is_an_error(tmp_path):
    values = np.ones((32, 32), "f4")
    sharded(tmp_path / "a", codecs=[BytesCodec(), BLOSC], inner=(16, 16), shard=(32, 32), values=values)
    file = chunk_files(tmp_path / "a")[0]
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    with pytest.raises(StreamError, match="checksum"):
        open_afresh(tmp_path / "a").read(0)


@pytest.mark.parametrize("codecs", [[BytesCodec(), BLOSC], [TransposeCodec(order=(1, 0)), BytesCodec()]])
@pytest.mark.parametrize("answer", ["all", "from the start", 400, 416, 501])
def test_the_index_of_a_shard_is_found_where_a_server_cannot_count_from_the_end(answer, codecs, tmp_path, monkeypatch):
    """As Azure's can't."""
    monkeypatch.setattr("napari_cryoet.http_bodies._MAX_SKIP_BYTES", 2**10)
    values = np.random.default_rng(0).normal(size=(64, 64)).astype("f4")
    sharded(tmp_path / "a.zarr", codecs=codecs, inner=(16, 16), shard=(64, 64), values=values)
    good = files(tmp_path)

    def behave(connection, request):
        headers = dict(request.headers)
        if headers.get("range", "").startswith("bytes=-"):
            if isinstance(answer, int):
                return reply(b"", answer)(connection, request)
            wanted = headers.pop("range")
            if answer == "from the start":
                headers["range"] = f"bytes=0-{int(wanted.removeprefix('bytes=-')) - 1}"
        return good(connection, Request(request.method, request.path, headers, request.body))

    with FaultServer() as server:
        server.behave(behave)
        pyramid = open_pyramid(server.url.replace("/file", "/a.zarr"), fetcher=Fetcher(MemoryCache(2**26)))
        assert np.array_equal(pyramid.read(0), values)


def test_a_frame_that_says_that_it_holds_fewer_than_no_bytes_is_damaged(tmp_path):
    array = zarr.create_array(
        str(tmp_path / "a"), shape=(22, 21), dtype=">i2", chunks=(22, 8), zarr_format=2, order="F", compressors=Blosc()
    )
    array[...] = np.arange(22 * 21).reshape(22, 21)
    file = chunk_files(tmp_path / "a")[0]
    content = bytearray(file.read_bytes())
    content[4:8] = (-5).to_bytes(4, "little", signed=True)
    file.write_bytes(content)

    with pytest.raises(DamagedError, match="damaged"):
        open_afresh(tmp_path / "a").read(0)


@pytest.mark.parametrize("layout", ["whole", "in blocks", "by zarr"])
def test_a_chunk_that_was_compressed_with_snappy_is_said_to_be_so_and_not_damaged(layout, tmp_path):
    """Blosc as numcodecs has it can't undo that."""
    options = {"order": "F" if layout == "by zarr" else "C", "compressors": Blosc("lz4", 5)}
    size = 9 if layout == "whole" else 40
    array = zarr.create_array(
        str(tmp_path / "a"), shape=(size, size), dtype="i2", chunks=(size, size), zarr_format=2, **options
    )
    array[...] = np.arange(size * size).reshape(size, size) // 50
    (file,) = chunk_files(tmp_path / "a")
    content = bytearray(file.read_bytes())
    content[2] = (content[2] & 0x1F) | (2 << 5)
    file.write_bytes(content)
    with pytest.raises(StreamError, match=r"a.0\.0 can't be read\. It is compressed with Blosc and Snappy") as raised:
        open_afresh(tmp_path / "a").read(0)
    assert not isinstance(raised.value, DamagedError)


def test_a_nearly_empty_mask_is_one_request_a_chunk_and_takes_little_memory(served):
    values = np.zeros((128, 256, 256), "i1")
    values[60:70, 100:140, 30:90] = 1
    path = served.folder / "mask.zarr"
    array = zarr.create_array(
        str(path), shape=values.shape, dtype="i1", chunks=(128, 256, 256), zarr_format=2, compressors=Blosc("lz4", 5)
    )
    array[...] = values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slabs, "_WHOLE_CHUNK_BYTES", 2**22)
        patch.setattr(frame_reader, "_SMALL_CHUNK_BYTES", 2**19)
        patch.setattr(frame_reader, "_SLAB_BYTES_IN_SMALL_CHUNKS", 2**18)
        fetcher = Fetcher(MemoryCache(2**26))
        pyramid = open_pyramid(f"{served.url}/mask.zarr", fetcher=fetcher)
        served.requests.clear()
        assert np.array_equal(pyramid.read(0), values)
    assert len(served.requests) == 1
    assert fetcher.memory.size_bytes < values.nbytes / 5


def test_planes_of_one_value_keep_their_bits_when_they_are_kept_as_one():
    for value in (-0.0, np.nan, np.inf, 1.5):
        block = np.full((4, 5), value, "f4")
        kept = slabs.shrink(block)
        assert kept.strides == (0, 0)
        assert kept.tobytes() == block.tobytes()
    block = np.full((4, 5), 1.5 - 0.0j, "c16")
    assert slabs.shrink(block).tobytes() == block.tobytes()
    for mixed in (np.array([[0.0, -0.0]], "f4"), np.array([1, 1, 2], "i1"), np.array([1j, -1j], "c16")):
        assert slabs.shrink(mixed) is mixed


@pytest.mark.parametrize("change", [lambda content: content + b"more", lambda content: content[:-4]])
@pytest.mark.parametrize("place", ["file", "http"])
def test_a_chunk_as_it_is_must_be_as_long_as_it_should_wherever_it_is_read(served, change, place):
    values = np.arange(64 * 64, dtype="<f4").reshape(64, 64)
    path = served.folder / f"{next(numbers)}.zarr"
    write(path, {"values": values, "chunks": (64, 64), "fill_value": 0, "zarr_format": 2, "compressors": None})
    file = path / "0.0"
    file.write_bytes(change(file.read_bytes()))
    pyramid = open_afresh(path if place == "file" else f"{served.url}/{path.name}")
    with pytest.raises(DamagedError, match="instead of 16384"):
        pyramid.read(0, ((0, 1), (0, 64)))


@pytest.mark.parametrize("change", [lambda content: content + b"more", lambda content: content[:-4]])
@pytest.mark.parametrize("place", ["file", "http"])
def test_a_frame_must_be_as_long_as_it_says_though_only_its_first_block_is_read(served, change, place):
    values = np.random.default_rng(0).normal(size=(64, 80, 40)).astype("f4")
    path = served.folder / f"{next(numbers)}.zarr"
    blosc = Blosc("lz4", 5, Blosc.SHUFFLE, blocksize=2**14)  # of which it makes 2**16
    write(path, {"values": values, "chunks": values.shape, "fill_value": 0, "zarr_format": 2, "compressors": blosc})
    file = path / "0.0.0"
    encoded = file.read_bytes()
    encoded = with_blocks_in_order(encoded, range(parse_frame(encoded).header.n_blocks))
    file.write_bytes(change(encoded))
    pyramid = open_afresh(path if place == "file" else f"{served.url}/{path.name}")
    with pytest.raises(DamagedError, match=f"instead of {len(encoded)}"):
        pyramid.read(0, ((0, 1), (0, 80), (0, 40)))


@pytest.mark.parametrize("cut_bytes", [1, 100, 1000])
@pytest.mark.parametrize("layout", ["order", "filter", "as a filter", "transposed", "in shards"])
def test_a_frame_that_is_cut_short_is_damaged_also_where_zarr_decodes_it(layout, cut_bytes, tmp_path):
    values = np.random.default_rng(0).integers(0, 2**15, (10, 20, 21)).astype("<i2")
    transposed = [TransposeCodec(order=(2, 1, 0)), BytesCodec(), BloscCodec(typesize=2, clevel=0)]  # copied as it is
    if layout == "in shards":
        sharded(
            tmp_path / "a", codecs=transposed, inner=(10, 20, 7), shard=(10, 20, 21), values=values, location="start"
        )
    else:
        options = {
            "order": {"zarr_format": 2, "order": "F", "compressors": Blosc(clevel=0)},
            "filter": {"zarr_format": 2, "filters": [Delta("<i2")], "compressors": Blosc(clevel=0)},
            "as a filter": {"zarr_format": 2, "filters": [Delta("<i2"), Blosc(clevel=0)], "compressors": None},
            "transposed": {"zarr_format": 3, "codecs": transposed},
        }[layout]
        make = zarr.create if layout == "transposed" else zarr.create_array
        make(store=str(tmp_path / "a"), shape=values.shape, dtype="<i2", chunks=(10, 20, 21), **options)[...] = values
    (file,) = chunk_files(tmp_path / "a")
    assert np.array_equal(open_afresh(tmp_path / "a").read(0), values)
    file.write_bytes(file.read_bytes()[:-cut_bytes])
    with pytest.raises(DamagedError):
        open_afresh(tmp_path / "a").read(0)
