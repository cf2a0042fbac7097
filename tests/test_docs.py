"""What the docs show works: the reader of Blosc frames on the page about streaming."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numcodecs import Blosc


@pytest.fixture(scope="module")
def read_content(project_folder):
    """The function that the page has."""
    page = (project_folder / "docs" / "developers" / "streaming.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(re.search(r"^```python\n(import struct.*?)^```", page, re.MULTILINE | re.DOTALL)[1], names)
    return names["read_content"]


@pytest.mark.parametrize("codec", ["lz4", "zstd", "blosclz", "zlib"])
@pytest.mark.parametrize("shuffle", [Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE])
@pytest.mark.parametrize("blocksize", [256, 2**14, 0])  # 256: a table longer than the first request
def test_the_reader_finds_any_part_of_a_frame(read_content, codec, shuffle, blocksize):
    random = np.random.default_rng(0)
    values = np.repeat(random.integers(0, 50, 20_000), 4).astype("<f4")[:79_997]  # a short last block
    raw, frame = values.tobytes(), bytes(Blosc(codec, 5, shuffle, blocksize).encode(values))
    for first, last in [(0, 9), (200_000, 200_100), (len(raw) - 9, len(raw)), (0, len(raw))]:
        assert read_content(lambda start, stop: frame[start:stop], first, last) == raw[first:last]


def test_the_reader_finds_any_part_of_a_frame_that_is_stored(read_content):
    raw = np.random.default_rng(0).bytes(100_000)
    frame = bytes(Blosc("lz4", 0).encode(np.frombuffer(raw, "u1")))
    assert read_content(lambda start, stop: frame[start:stop], 70_000, 70_100) == raw[70_000:70_100]
