"""The index of a shard says where its chunks are, or that it is damaged."""

import asyncio
import itertools
import math

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming.sharding import ShardLayout, crc32c, parse_index

MISSING = 2**64 - 1


def index_bytes(entries, layout):
    body = np.asarray(entries, np.uint64).astype(f"{layout.byte_order}u8").tobytes()
    return body + (crc32c(body).to_bytes(4, "little") if layout.has_checksum else b"")


layouts = st.builds(
    ShardLayout,
    st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    st.sampled_from(["start", "end"]),
    st.sampled_from(["<", ">"]),
    has_checksum=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(layouts, st.data())
def test_any_index_says_what_was_put_in(layout, data):
    n = math.prod(layout.chunks_per_shard)
    entry = st.one_of(st.none(), st.tuples(st.integers(0, 2**40), st.integers(0, 2**31)))
    entries = data.draw(st.lists(entry, min_size=n, max_size=n))
    content = index_bytes([(MISSING, MISSING) if e is None else e for e in entries], layout)
    index = parse_index(content, layout)
    chunks = itertools.product(*map(range, layout.chunks_per_shard))
    for chunk, expected in zip(chunks, entries, strict=True):
        assert index.find(chunk) == (None if expected is None else (expected[0], sum(expected)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_index_of_a_shard_that_zarr_wrote_leads_to_its_chunks(data):
    per_shard = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    location = data.draw(st.sampled_from(["start", "end"]))
    has_checksum = data.draw(st.booleans())
    inner = tuple(2 for _ in per_shard)
    shard = tuple(2 * n for n in per_shard)
    codec = ShardingCodec(
        chunk_shape=inner,
        codecs=[BytesCodec()],
        index_codecs=[BytesCodec(), Crc32cCodec()] if has_checksum else [BytesCodec()],
        index_location=location,
    )
    store = {}
    array = zarr.create(shard, dtype="<i4", chunks=shard, codecs=[codec], store=store, zarr_format=3, fill_value=-1)
    values = np.arange(math.prod(shard), dtype="<i4").reshape(shard)
    there = [c for c in itertools.product(*map(range, per_shard)) if data.draw(st.booleans())]
    for chunk in there:
        place = tuple(slice(2 * i, 2 * i + 2) for i in chunk)
        array[place] = values[place]
    if not there:
        return
    content = store["c/" + "/".join("0" for _ in shard)].to_bytes()
    layout = ShardLayout(per_shard, location, "<", has_checksum=has_checksum)
    size = layout.index_nbytes
    index = parse_index(content[:size] if location == "start" else content[-size:], layout, file_bytes=len(content))
    for chunk in itertools.product(*map(range, per_shard)):
        span = index.find(chunk)
        assert (span is not None) == (chunk in there)
        if span is not None:
            found = np.frombuffer(content[slice(*span)], "<i4").reshape(inner)
            assert np.array_equal(found, values[tuple(slice(2 * i, 2 * i + 2) for i in chunk)])


@settings(max_examples=200, deadline=None)
@given(layouts, st.data())
def test_damage_is_refused_or_stays_within_the_file(layout, data):
    n = math.prod(layout.chunks_per_shard)
    content = bytearray(index_bytes([(100 * i, 100) for i in range(n)], layout))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        index = parse_index(bytes(content), layout, file_bytes=100 * n)
    except FormatError:
        return
    for chunk in itertools.product(*map(range, layout.chunks_per_shard)):
        start, stop = index.find(chunk) or (0, 0)
        assert 0 <= start <= stop <= 100 * n


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([(0, 10), (5, MISSING)], "outside"),
        ([(0, 10), (MISSING, 5)], "outside"),
        ([(0, 10), (95, 6)], "outside"),
        ([(0, 10), (2**63, 2**63)], "outside"),
    ],
)
def test_entries_that_point_nowhere_are_refused(entries, words):
    layout = ShardLayout((2,))
    with pytest.raises(FormatError, match=words):
        parse_index(index_bytes(entries, layout), layout, file_bytes=100)


def test_an_index_of_another_length_or_checksum_is_refused():
    layout = ShardLayout((2,))
    content = index_bytes([(0, 10), (10, 10)], layout)
    for damaged in (content[:-1], content + b"0", b""):
        with pytest.raises(FormatError, match="bytes instead of"):
            parse_index(damaged, layout)
    with pytest.raises(FormatError, match="checksum"):
        parse_index(bytes([1]) + content[1:], layout)


def test_the_checksum_is_the_one_of_zarr():
    from zarr.core.array_spec import ArrayConfig, ArraySpec
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.dtype import UInt8

    prototype = default_buffer_prototype()
    spec = ArraySpec((9,), UInt8(), np.uint8(0), ArrayConfig("C", write_empty_chunks=True), prototype)
    encoded = asyncio.run(Crc32cCodec().encode([(prototype.buffer.from_bytes(b"123456789"), spec)]))
    written = next(iter(encoded)).to_bytes()
    assert int.from_bytes(written[-4:], "little") == crc32c(b"123456789") == 0xE3069283
