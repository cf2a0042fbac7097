"""What the streaming benchmarks share: the volume, the lines to the server, and the true values of a sample of it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from streaming_first_plane import SHAPE, SPACING_ANGSTROM, Noise

STRIDE = 7  # voxels between two samples along y and x
LEVELS = 3
MASK_NAMES = ("mask0.zarr", "mask1.zarr")


@dataclass(frozen=True, slots=True)
class Profile:
    """A line to a server."""

    latency_ms: float
    connection_mb_s: float
    total_mb_s: float


PROFILES = {"near": Profile(20, 300, 300), "middle": Profile(60, 20, 50), "far": Profile(200, 2, 2)}


class Blobs:
    """A mask of some balls, nearly empty."""

    shape = SHAPE

    def __init__(self, seed: int) -> None:
        self.dtype = np.dtype("i1")
        self._centres = np.random.default_rng(seed).uniform((0, 0, 0), SHAPE, (60, 3))

    def __getitem__(self, region: Any) -> Any:
        spans = [part.indices(size)[:2] for part, size in zip(region, SHAPE, strict=True)]
        z, y, x = np.ogrid[tuple(slice(*span) for span in spans)]
        values = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), "i1")
        for centre in self._centres:
            if any(not a - 15 < at < b + 15 for (a, b), at in zip(spans, centre, strict=True)):
                continue
            at_z, at_y, at_x = centre
            values |= ((z - at_z) ** 2 + (y - at_y) ** 2 + (x - at_x) ** 2 < 15**2).astype("i1")
        return values


def make_data(folder: Path) -> None:
    """Write the volume, two masks and the samples, where they aren't yet."""
    from napari_cryoet.formats.ome_zarr import write_pyramid

    if not (folder / "a.zarr" / ".zattrs").exists():
        write_pyramid(folder / "a.zarr", Noise(), SPACING_ANGSTROM)
    for seed, name in enumerate(MASK_NAMES):
        if not (folder / name / ".zattrs").exists():
            write_pyramid(folder / name, Blobs(seed), SPACING_ANGSTROM, "mask")
    for level in range(LEVELS):
        if not _sample_file(folder, level).exists():
            _write_sample(folder, level)


def _write_sample(folder: Path, level: int) -> None:
    import zarr

    stored = zarr.open_array(folder / "a.zarr" / str(level), mode="r")
    y, x = (np.minimum(np.arange(0, size, STRIDE) >> level, stored.shape[axis + 1] - 1) for axis, size in _across())
    slabs = [stored[start : start + 128][:, y[:, None], x] for start in range(0, stored.shape[0], 128)]
    np.save(_sample_file(folder, level), np.concatenate(slabs))


def _across() -> list[tuple[int, int]]:
    return [(0, SHAPE[1]), (1, SHAPE[2])]


def _sample_file(folder: Path, level: int) -> Path:
    return folder / f"sample{level}.npy"


class Truth:
    """What every ``STRIDE``-th pixel of a plane has to show, at the finest level or with a coarser one in its stead."""

    def __init__(self, folder: Path) -> None:
        self._samples = [np.load(_sample_file(folder, level), mmap_mode="r") for level in range(LEVELS)]

    def plane(self, level: int, axis: int, index: int) -> Any:
        """Values of a plane across an axis; along y and x only every ``STRIDE``-th index is known."""
        sample = self._samples[level]
        z = np.minimum(np.arange(SHAPE[0]) >> level, len(sample) - 1)
        match axis:
            case 0:
                return sample[z[index]]
            case 1:
                return sample[z, index // STRIDE]
            case _:
                return sample[z, :, index // STRIDE]

    @staticmethod
    def of_picture(values: Any, axis: int) -> Any:
        """The same pixels of a picture."""
        return values[::STRIDE, ::STRIDE] if axis == 0 else values[:, ::STRIDE]


@contextmanager
def slow_server(folder: Path, profile: Profile) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    call = [sys.executable, str(Path(__file__).with_name("slow_file_server.py")), str(folder)]
    for name in ("latency_ms", "connection_mb_s", "total_mb_s"):
        call += [f"--{name.replace('_', '-')}", str(getattr(profile, name))]
    server = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        server.wait()


def counted(url: str, *, forget: bool = False) -> dict[str, Any]:
    """What the server has sent since this was asked last, and how much of that again; or let all of it be new."""
    with urllib.request.urlopen(f"{url}/?{'forget' if forget else 'reset'}", timeout=10) as answer:
        return json.load(answer)
