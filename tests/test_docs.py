"""Code in the docs works: the Blosc reader on the streaming page, and the examples in docstrings."""

from __future__ import annotations

import doctest
import itertools
import re
from importlib import import_module

import numpy as np
from numcodecs import Blosc


def test_the_example_reader_reads_any_part_of_a_frame(project_folder):
    page = (project_folder / "docs" / "developers" / "streaming.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(re.search(r"^```python\n(import struct.*?)^```", page, re.MULTILINE | re.DOTALL)[1], names)
    random = np.random.default_rng(0)
    values = np.repeat(random.integers(0, 50, 20_000), 4).astype("<f4")[
        :79_997
    ]  # a short last block
    shuffles, sizes = (
        (Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE),
        (256, 2**14, 0),
    )  # 256: a long table
    for level, options in [(5, each) for each in itertools.product(shuffles, sizes)] + [
        (0, ())
    ]:  # 0: stored
        for codec in ("lz4", "zstd", "blosclz", "zlib"):
            raw, frame = values.tobytes(), bytes(Blosc(codec, level, *options).encode(values))
            for first, last in [
                (0, 9),
                (200_000, 200_100),
                (len(raw) - 9, len(raw)),
                (0, len(raw)),
            ]:
                read = names["read_content"](
                    lambda start, task, frame=frame: frame[start:task], first, last
                )
                assert read == raw[first:last], (codec, level, options)


def test_docstring_examples_are_correct(project_folder):
    source = project_folder / "src"
    paths = [path for path in source.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")]
    names = [
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
    ]
    results = {name: doctest.testmod(import_module(name)) for name in names}
    assert results
    assert {name: result for name, result in results.items() if result.failed} == {}
