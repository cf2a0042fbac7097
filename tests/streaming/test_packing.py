"""What was packed as a whole comes out as it went in, and never as more than was expected."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc, GZip, Zlib, Zstd

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming.packing import unpack, zstd_content_size
from napari_cryoet.streaming.sharding import crc32c

ENCODERS = {
    "blosc": Blosc("lz4", 5),
    "zstd": Zstd(3),
    "zstd, checked": Zstd(3, checksum=True),
    "gzip": GZip(1),
    "zlib": Zlib(1),
}
CONTENTS = st.one_of(
    st.binary(max_size=400),
    st.tuples(st.binary(min_size=1, max_size=3), st.integers(0, 100_000)).map(lambda made: made[0] * made[1]),
)


def encode(name, content):
    if name == "crc32c":
        return content + crc32c(content).to_bytes(4, "little")
    return bytes(ENCODERS[name].encode(np.frombuffer(content, "u1")))


def codec_of(name):
    return name.partition(",")[0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*ENCODERS, "crc32c"]), max_size=3), CONTENTS)
def test_any_chain_of_codecs_is_undone(names, content):
    packed = content
    for name in names:
        packed = encode(name, packed)
    assert unpack(packed, [codec_of(name) for name in names], len(content)) == content


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*ENCODERS, "crc32c"]), CONTENTS, st.data())
def test_damage_is_refused_or_gives_as_many_bytes_as_expected(name, content, data):
    packed = bytearray(encode(name, content))
    del packed[data.draw(st.one_of(st.just(len(packed)), st.integers(0, len(packed)))) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if packed:
            near = min(len(packed), 24) - 1
            packed[data.draw(st.one_of(st.integers(0, near), st.integers(0, len(packed) - 1)))] = data.draw(
                st.integers(0, 255)
            )
    try:
        unpacked = unpack(bytes(packed), [codec_of(name)], len(content))
    except FormatError:
        return
    assert len(unpacked) == len(content)


@pytest.mark.parametrize("name", [*ENCODERS, "crc32c"])
def test_more_or_less_than_expected_is_refused(name):
    packed = encode(name, bytes(10_000))
    for expected in (9_999, 10_001, 0):
        with pytest.raises(FormatError):
            unpack(packed, [codec_of(name)], expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_would_unpack_to_very_much_is_refused_before_it_takes_memory(name):
    import tracemalloc

    bomb = encode(name, bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(FormatError):
        unpack(bomb, [codec_of(name)], 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_zstandard_frame_that_does_not_say_its_size_is_unpacked():
    content = bytes(range(256)) * 500
    known = bytes(Zstd(1).encode(content))
    size_bytes = {0: 1, 1: 2, 2: 4, 3: 8}[known[4] >> 6]
    unknown = known[:4] + bytes([known[4] & 0x1F & ~0x20, 0x58]) + known[5 + size_bytes :]
    assert (zstd_content_size(known), zstd_content_size(unknown)) == (len(content), None)
    assert unpack(unknown, ["zstd"], len(content)) == content
    for expected in (len(content) - 1, len(content) + 1):
        with pytest.raises(FormatError):
            unpack(unknown, ["zstd"], expected)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 70_000))
def test_a_zstandard_frame_says_its_size(size):
    assert zstd_content_size(bytes(Zstd(1).encode(bytes(size)))) == size


def test_several_zstandard_frames_belong_together_whatever_is_to_be_skipped_between():
    skipped = bytes.fromhex("5a2a4d18 04000000") + b"note"
    one, two = bytes(Zstd(1).encode(b"1" * 300_000)), bytes(Zstd(1, checksum=True).encode(bytes(range(250)) * 9))
    content = b"1" * 300_000 + bytes(range(250)) * 9
    for packed in (one + two, skipped + one + skipped + two, one + two + skipped):
        assert zstd_content_size(packed) == len(content)
        assert unpack(packed, ["zstd"], len(content)) == content
        for damaged in (packed + one, packed + b"garbage", packed[:-5], packed[:100]):
            with pytest.raises(FormatError):
                unpack(damaged, ["zstd"], len(content))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 30))
def test_whatever_looks_like_a_zstandard_frame_is_measured_or_refused(content, at):
    frame = bytes(Zstd(1).encode(b"something"))
    with contextlib.suppress(FormatError):
        size = zstd_content_size(frame[:at] + content)
        assert size is None or size >= 0


def test_a_gzip_file_of_several_members_is_unpacked():
    assert unpack(encode("gzip", b"12") + encode("gzip", b"345"), ["gzip"], 5) == b"12345"
