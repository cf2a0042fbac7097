"""Parts of Blosc frames decode to what numcodecs encoded."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc
from numcodecs.blosc import list_compressors

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming.blosc import (
    HEADER_BYTES,
    cut_frame,
    decode_blocks,
    decode_frame,
    parse_frame,
    parse_header,
)

CODECS = sorted(list_compressors())
DTYPES = [
    "b1",
    "i1",
    "u1",
    "<i2",
    "<u2",
    ">i2",
    "<f2",
    "<f4",
    "<i4",
    "<f8",
    "<c8",
    "<c16",
    "V3",
    "V16",
    "V17",
    "V300",
]


def content(dtype: str, size: int, seed: int, kind: str) -> bytes:
    """Bytes of an array: noise doesn't compress, steps do, zeros compress to almost nothing."""
    random = np.random.default_rng(seed)
    nbytes = min(size, 1_000_000 // np.dtype(dtype).itemsize) * np.dtype(dtype).itemsize
    match kind:
        case "noise":
            return random.bytes(nbytes)
        case "steps":
            return (
                (np.arange(nbytes // 4 + 1) // 7 + random.integers(0, 3, nbytes // 4 + 1))
                .astype("<i4")
                .tobytes()[:nbytes]
            )
        case "half noise":
            return random.bytes(nbytes // 2) + bytes(nbytes - nbytes // 2)
        case _:
            return bytes(nbytes)


@st.composite
def frames(draw):
    dtype = draw(st.sampled_from(DTYPES))
    raw = content(
        dtype,
        draw(st.one_of(st.integers(0, 3_000), st.integers(30_000, 100_000))),
        draw(st.integers(0, 9)),
        draw(st.sampled_from(["noise", "steps", "half noise", "zeros"])),
    )
    typesize = draw(st.one_of(st.none(), st.integers(1, 255)))
    if typesize is not None:  # zarr v3 sets it, whatever the bytes are
        raw, dtype = raw[: len(raw) - draw(st.integers(0, 7))], "u1"
    codec = Blosc(
        typesize=typesize,
        cname=draw(st.sampled_from(CODECS)),
        clevel=draw(st.integers(0, 9)),
        shuffle=draw(
            st.sampled_from([Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE, Blosc.AUTOSHUFFLE])
        ),
        blocksize=draw(st.sampled_from([0, 1, 128, 512, 1000, 4096, 2**15, 2**30])),
    )
    return raw, bytes(codec.encode(np.frombuffer(raw, dtype)))


@settings(max_examples=60, deadline=None)
@given(frames(), st.data())
def test_any_run_of_blocks_decodes_exactly(example, data):
    raw, encoded = example
    frame = parse_frame(encoded[: parse_header(encoded).table_end])
    header = frame.header
    assert (header.nbytes, header.cbytes) == (len(raw), len(encoded))
    if header.n_blocks == 0:
        return
    first = data.draw(st.integers(0, header.n_blocks - 1))
    stop = data.draw(st.integers(first + 1, header.n_blocks))
    blocks = {
        block: encoded[frame.starts[block] : frame.ends[block]] for block in range(first, stop)
    }
    expected = raw[first * header.blocksize : stop * header.blocksize]
    assert bytes(Blosc().decode(cut_frame(frame, range(first, stop), blocks))) == expected
    assert decode_blocks(frame, range(first, stop), blocks) == expected


@settings(max_examples=30, deadline=None)
@given(frames(), st.data())
def test_blocks_of_returns_only_the_needed_blocks(example, data):
    raw, encoded = example
    if not raw:
        return
    frame = parse_frame(encoded)
    start = data.draw(st.integers(0, len(raw) - 1))
    stop = data.draw(st.integers(start + 1, len(raw)))
    blocks = frame.header.blocks_of(start, stop)
    bodies = {b: encoded[frame.starts[b] : frame.ends[b]] for b in blocks}
    begin = blocks.start * frame.header.blocksize
    assert decode_blocks(frame, blocks, bodies)[start - begin : stop - begin] == raw[start:stop]
    assert begin <= start < begin + frame.header.blocksize
    assert blocks[-1] * frame.header.blocksize < stop


def test_blocks_may_be_stored_in_any_order():
    raw = content("<f4", 200_000, 1, "steps")  # twelve blocks of 2**16 bytes and a short one
    encoded = bytes(Blosc("lz4", 5, Blosc.SHUFFLE, 2**14).encode(np.frombuffer(raw, "<f4")))
    frame = parse_frame(encoded)
    bodies = [encoded[start:end] for start, end in zip(frame.starts, frame.ends, strict=True)]
    order = [3, 0, 7, *[i for i in range(len(bodies)) if i not in {3, 0, 7}]]
    starts, position = {}, frame.header.table_end
    for block in order:
        starts[block], position = position, position + len(bodies[block])
    table = struct.pack(f"<{len(bodies)}i", *(starts[b] for b in range(len(bodies))))
    shuffled = encoded[:HEADER_BYTES] + table + b"".join(bodies[b] for b in order)
    again = parse_frame(shuffled)
    for block in (3, 7):
        assert shuffled[again.starts[block] : again.ends[block]] == bodies[block]


def test_uncompressed_frames_are_read_without_a_table():
    raw = content("<f4", 5_000, 3, "noise")
    encoded = bytes(Blosc("lz4", 0, Blosc.SHUFFLE, 4096).encode(np.frombuffer(raw, "<f4")))
    header = parse_header(encoded)
    assert header.is_memcpyed
    assert header.table_end == HEADER_BYTES
    frame = parse_frame(encoded[:HEADER_BYTES])
    start, end = frame.starts[2], frame.ends[2]
    assert encoded[start:end] == raw[2 * header.blocksize : 3 * header.blocksize]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda b: b[:10], "cut short"),
        (lambda b: bytes([9]) + b[1:], "not a Blosc frame"),
        (lambda b: b[:8] + struct.pack("<I", 0) + b[12:], "block size of 0"),
        (lambda b: b[:12] + struct.pack("<I", 17) + b[16:], "too small"),
        (lambda b: b[:20], "table is cut short"),
        (lambda b: b[:16] + struct.pack("<i", -1) + b[20:], "outside"),
        (lambda b: b[:16] + b[20:24] + b[20:], "same byte"),
        (lambda b: b[:4] + struct.pack("<I", 2**32 - 1) + b[8:], "impossible sizes"),
    ],
)
def test_damaged_frames_are_refused_with_a_reason(damage, reason):
    encoded = bytes(Blosc("lz4", 5, Blosc.SHUFFLE, 4096).encode(np.arange(200_000, dtype="<f4")))
    with pytest.raises(FormatError, match=reason):
        parse_frame(damage(encoded))


@settings(max_examples=80, deadline=None)
@given(frames(), st.data())
def test_damaged_frames_are_refused_or_keep_their_size(example, data):
    raw, encoded = example
    damaged = bytearray(
        encoded[: data.draw(st.one_of(st.just(len(encoded)), st.integers(0, len(encoded))))]
    )
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            near = min(len(damaged), 64) - 1  # where header and table are
            position = data.draw(st.one_of(st.integers(0, near), st.integers(0, len(damaged) - 1)))
            damaged[position] = data.draw(st.integers(0, 255))
    damaged = bytes(damaged)
    try:
        header = parse_header(damaged)
        if header.nbytes != len(raw):
            return  # readers check the size first
        frame = parse_frame(damaged)
        every = range(header.n_blocks)
        assert frame.starts.nbytes + frame.ends.nbytes <= max(4 * len(damaged), len(raw), 16 * 256)
        blocks = {b: damaged[frame.starts[b] : frame.ends[b]] for b in every}
        content = decode_blocks(frame, every, blocks) if every else b""
    except FormatError:
        return
    assert len(content) == len(raw)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_parsing_arbitrary_bytes_fails_safely(noise):
    for prefix in (noise, bytes([2, 1, 0x21, 4]) + noise, bytes([2, 1, 0x03, 1]) + noise):
        try:
            header = parse_header(prefix)
            if header.nbytes > 2**20:
                continue
            frame = parse_frame(prefix)
        except FormatError:
            continue
        assert frame.starts.nbytes <= 8 * (2**20 // 32 + 256)


def test_frames_that_do_not_decompress_are_refused():
    encoded = bytearray(Blosc("zstd", 5).encode(bytes(10_000)))
    encoded[24:30] = bytes(6)
    with pytest.raises(FormatError, match="does not decompress"):
        decode_frame(bytes(encoded))
