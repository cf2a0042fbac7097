"""Multiscale images: read any part exactly, or show it while it loads."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from napari_cryoet.exceptions import ChangedError, LeftOutError, StoppedError
from napari_cryoet.formats.ome_zarr import CoarseOffset, as_labels
from napari_cryoet.locations import PathOrUrl
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy
from napari_cryoet.streaming.chunks import Block, Files, PlainChunks, make_chunks
from napari_cryoet.streaming.engine import Engine, shared_engine
from napari_cryoet.streaming.grid import (
    BlockIndex,
    Box,
    Grid,
    box_shape,
    box_slices,
    intersect,
    whole_box,
)
from napari_cryoet.streaming.image import SharedImage
from napari_cryoet.streaming.layout import ArrayLayout, find
from napari_cryoet.streaming.level import Level
from napari_cryoet.streaming.sources import open_source
from napari_cryoet.task import UNWATCHED, Task

if TYPE_CHECKING:
    from datetime import datetime

    from napari_cryoet.streaming.disk_cache import DiskCache

T = TypeVar("T")

_KEPT_DIVISOR = (
    4  # reads above this fraction of the memory cache aren't kept: they would evict the view
)
_MOST_REOPENED = 16
_token = secrets.token_hex(8)
_alive: WeakValueDictionary[str, Pyramid] = WeakValueDictionary()
_owners = itertools.count()  # unique image numbers in this process


def open_pyramid(
    url_or_path: PathOrUrl,
    *,
    is_labels: bool = False,
    task: Task = UNWATCHED,
    cache: DiskCache | Literal["shared"] | None = "shared",
) -> Pyramid:
    """Open an OME-Zarr image (0.4 or 0.5) or a single zarr array; only metadata is read.

    Parameters
    ----------
    url_or_path
        An http(s), ``s3://`` (public) or ``file://`` address, or a path.
    is_labels
        Whether the values are labels even if the file doesn't say so, as for images from `find_labels`.
    task
        Set it to end the call with a StoppedError.
    cache
        The disk cache for network reads; None for no cache.

    Raises
    ------
    FormatError
        If it isn't an image or is damaged; the message names the problem.
    StreamError
        If the server or the disk doesn't answer.
    """
    engine = shared_engine()
    engine.warm_up()
    source = open_source(url_or_path, cache=cache)
    found = find(source, task)
    files, owner = Files(source, dict(found.etags)), next(_owners)
    levels = [
        make_chunks(
            files, array, head=found.head_of(array), memory=engine.memory, owner=(owner, number)
        )
        for number, array in enumerate(found.arrays)
    ]
    multiscale = found.multiscale
    about = _About(found.attributes, dimension_names=found.dimension_names)
    if multiscale is not None:
        multiscale = as_labels(multiscale) if is_labels else multiscale
        about = replace(
            about,
            axes=tuple(axis.name for axis in multiscale.axes),
            units=tuple(axis.unit or "" for axis in multiscale.axes),
            scales=tuple(level.scale for level in multiscale.levels),
            translation=multiscale.levels[0].translation,
            is_labels=multiscale.is_labels,
        )
    offset = (multiscale and multiscale.coarse_offset) or "mean"
    image = SharedImage(files, owner, levels, scales=about.scales, coarse_offset=offset)
    engine.forget_unused(image)
    origin = _Origin(source.url, is_labels, cache is not None, found.etags)
    return Pyramid(image, shared_engine, about, origin)


def open_raw(
    url_or_path: PathOrUrl,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    offset: int = 0,
    etag: str | None = None,
    axes: tuple[str, ...] = (),
    order: tuple[int, ...] | None = None,
) -> Pyramid:
    """Open a file of uncompressed values in C order, from byte ``offset`` on, as a pyramid of one level.

    ``shape`` and ``dtype`` describe the stored values; ``axes`` names the pyramid's axes. ``order``
    gives the stored axis of each, as in `numpy.transpose`. With an ``etag``, reading another
    version of the file is a ChangedError.
    """
    source = open_source(url_or_path)
    layout = ArrayLayout("", shape, shape, dtype, dtype.type(0), (), None, {}, lambda _chunk: "")
    files, owner = Files(source, {"": etag} if etag else {}), next(_owners)
    engine = shared_engine()
    chunks = PlainChunks(files, layout, offset=offset, memory=engine.memory, owner=(owner, 0))
    image = SharedImage(files, owner, [chunks], scales=(None,), coarse_offset="mean")
    engine.forget_unused(image)
    stored_axes = order or tuple(range(len(shape)))
    about = _About(
        axes=tuple(axes[stored_axes.index(axis)] for axis in range(len(shape))) if axes else ()
    )
    origin = _Origin(source.url, raw=(shape, dtype.str, offset, etag, axes, order))
    return Pyramid(image, shared_engine, about, origin, order=stored_axes)


@dataclass(frozen=True, slots=True)
class _About:
    """The metadata of an image; axes are in stored order."""

    metadata: dict[str, Any] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    dimension_names: tuple[str, ...] = ()
    scales: tuple[tuple[float, ...] | None, ...] = (None,)
    translation: tuple[float, ...] | None = None
    is_labels: bool = False


@dataclass(frozen=True, slots=True)
class _Origin:
    """How a pyramid was opened, so that another process can open it."""

    url: str
    is_labels: bool = False
    is_cached: bool = True
    etags: tuple[tuple[str, str | None], ...] = ()
    raw: tuple[Any, ...] | None = None


class Pyramid:
    """An image in several resolutions, made by `open_pyramid`. All methods may be called from any thread.

    In another process, an unpickled pyramid is reopened. Files are pinned to the version read
    first: if one changes, reading raises `ChangedError` until the image is reopened.

    Attributes
    ----------
    url, place
        Its address; ``place`` is for display, without secrets.
    shapes
        Shapes of the levels, finest first.
    dtype
        Data type in this machine's byte order.
    fill_value
        The value of voxels in missing chunks.
    axes, units
        Names and units of the axes; empty if the file doesn't say.
    dimension_names
        The arrays' own names of their axes (zarr v3, or xarray's ``_ARRAY_DIMENSIONS``), or empty.
    scales
        Voxel size of each level along each axis as the file has it (advisory), or None.
    translation
        Position of the finest level's first voxel along each axis as the file has it, or None; not applied.
    factors
        How many finest voxels a voxel of each level spans along each axis.
    is_labels
        Whether the values are labels, according to the file or to the caller.
    metadata
        The file's attributes, unchanged.
    server
        Scheme, host and port of its server; empty for local files.
    """

    def __init__(
        self,
        image: SharedImage,
        get_engine: Callable[[], Engine],
        about: _About,
        origin: _Origin,
        *,
        order: tuple[int, ...] | None = None,
        fixed: dict[int, int] | None = None,
        is_part: bool = False,
    ) -> None:
        self.image = image
        self._get_engine = get_engine  # a forked process has its own engine
        self._about, self._origin, self._is_part = about, origin, is_part
        self._order = order if order is not None else tuple(range(len(image.shapes[0])))
        self._fixed = fixed or {}
        self._is_closed = False
        self.name = f"napari-cryoet-pyramid-{_token}-{os.getpid()}-{secrets.token_hex(8)}"
        _alive[self.name] = self
        source = image.files.source
        self.url, self.place, self.server = source.url, source.place, image.server
        self.shapes = tuple(map(self._in_order, image.shapes))
        self.factors = tuple(map(self._in_order, image.factors))
        self.dtype, self.fill_value = image.dtype, image.levels[0].layout.fill_value
        self.axes, self.units = self._in_order(about.axes), self._in_order(about.units)
        self.dimension_names = self._in_order(about.dimension_names)
        self.scales = tuple(
            None if scale is None else self._in_order(scale) for scale in about.scales
        )
        self.translation = None if about.translation is None else self._in_order(about.translation)
        self.is_labels, self.metadata = about.is_labels, about.metadata

    def __repr__(self) -> str:
        return f"<Pyramid {self.place} {self.shapes[0]} {self.dtype}, {len(self.shapes)} levels>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.name, self._origin, self.coarse_offset, self._order, self._fixed)

    @property
    def engine(self) -> Engine:
        """The engine that reads the image in this process."""
        return self._get_engine()

    @property
    def coarse_offset(self) -> CoarseOffset:
        """Position of a coarse voxel: ``"mean"``, the centre of the voxels it spans, or ``"strided"``, the first.

        Set it if the file is wrong.
        """
        return self.image.coarse_offset

    @coarse_offset.setter
    def coarse_offset(self, offset: CoarseOffset) -> None:
        self.image.coarse_offset = offset

    @property
    def bytes_read(self) -> int:
        """How many bytes have been read from the source."""
        return self.image.files.source.bytes_read

    @property
    def source_number(self) -> int:
        """The number of the image.

        Pyramids with the same number, such as channels, share `bytes_read`.
        """
        return self.image.owner

    @property
    def as_of(self) -> datetime | None:
        """When the server last confirmed the disk cache, if it is unreachable now; else None."""
        return self.image.files.source.as_of

    @property
    def stays_coarse(self) -> bool:
        """Whether the data saver keeps pictures coarse until you ask for more."""
        return bool(self.server) and policy().coarse_only

    @property
    def levels(self) -> list[Level]:
        """The levels as dask arrays of the stored shapes that compute exact values."""
        return [Level(self, number) for number in range(len(self.shapes))]

    def read(self, level: int, box: Box | None = None, *, task: Task = UNWATCHED) -> Block:
        """Read exact values, many requests at a time.

        Parameters
        ----------
        level
            0 is the finest.
        box
            Start and stop on each axis, within the level's shape; None reads all.
        task
            Stop it to end the call with a StoppedError.

        Raises
        ------
        StreamError
            If a part can't be read; ChangedError if a file changed since the image was opened, LeftOutError
            if a pack has the part only at a coarser level.
        StoppedError
            When ``task`` is stopped or the pyramid is closed.
        """
        box = box or whole_box(self.shapes[level])
        if len(box) != len(self.shapes[level]) or any(
            not 0 <= start <= end <= size
            for (start, end), size in zip(box, self.shapes[level], strict=True)
        ):
            raise ValueError(f"{box} is no box within {self.shapes[level]}")
        values = np.empty(box_shape(box), self.dtype)
        self._require_open(task)
        self._require_here(level, box)
        stored, grid = self.stored_box(box), self.image.levels[level].grid
        assembly = _Assembly(self._to_stored(values), stored, grid)
        memory, owner = self.engine.memory, self.image.owner
        missing = []
        for block in grid.covering(stored):
            if (content := memory.get((owner, level, block))) is not None:
                assembly.place({block: content})
            else:
                missing.append(block)
        if missing:
            keep = self.size_bytes(level, box) <= memory.limit_bytes // _KEPT_DIVISOR
            with closing(assembly):
                client.run(
                    self.engine.read(self.image, level, missing, assembly.place, keep=keep),
                    task,
                )
        return values

    def fetch(self, level: int, box: Box) -> None:
        """Fetch a box into memory, so that `read` returns at once; errors as in `read`."""
        self._require_open(UNWATCHED)
        self._require_here(level, box)
        blocks = self.image.levels[level].grid.covering(self.stored_box(box))
        client.run(self.engine.read(self.image, level, blocks, lambda _blocks: None, keep=True))

    def is_here(self, level: int, box: Box | None = None) -> bool:
        """Whether the file has all of a box of a level; a pack may leave out parts of fine levels."""
        return not self.image.levels[level].leaves_out(
            self.stored_box(box or whole_box(self.shapes[level]))
        )

    def grid(self, level: int) -> Grid:
        """The grid of blocks of a level."""
        grid = self.image.levels[level].grid
        return Grid(
            self._in_order(grid.borders),
            self._in_order(grid.chunk_shape),
            self._in_order(grid.run_shape),
        )

    def has(self, level: int, box: Box) -> bool:
        """Whether all of a box is in memory."""
        memory, owner = self.engine.memory, self.image.owner
        blocks = self.image.levels[level].grid.covering(self.stored_box(box))
        return all((owner, level, block) in memory for block in blocks)

    def size_bytes(self, level: int, box: Box | None = None) -> int:
        """Decoded bytes of the blocks that cover a box of a level, or all of it."""
        return self.image.size_bytes(level, self.stored_box(box or whole_box(self.shapes[level])))

    def wire_bytes(self, level: int) -> int:
        """The estimated download for a whole level."""
        return self.image.wire_bytes(level, self.image.size_bytes(level))

    def box_at(self, level: int, box: Box, coarse: int) -> Box:
        """The box at level ``coarse`` (the same or a coarser one) that covers a box of ``level``."""
        return self._in_order(self.image.box_at(level, self.stored_box(box), coarse))

    def close(self) -> None:
        """Stop all reading and free the memory.

        Closing a part of `split_pyramid` closes only that part.
        """
        self._is_closed = True
        if not self._is_part:
            self.image.error = self.image.error or StoppedError("It was closed.")
            self.engine.call(self.engine.close, self.image, self.image.error)

    def without_axes(self, axes: Sequence[int]) -> Pyramid:
        """Drop axes of length 1; ValueError if one is longer."""
        if any(shape[axis] != 1 for shape in self.shapes for axis in axes):
            raise ValueError(
                f"{self.place} has more than one position along some of the axes {tuple(axes)}"
            )
        return self._fixed_at(dict.fromkeys(axes, 0), is_part=self._is_part)

    def _fixed_at(self, positions: dict[int, int], *, is_part: bool) -> Pyramid:
        """Fix the position along some axes and drop them."""
        order = tuple(stored for axis, stored in enumerate(self._order) if axis not in positions)
        fixed = self._fixed | {self._order[axis]: index for axis, index in positions.items()}
        return Pyramid(
            self.image,
            self._get_engine,
            self._about,
            self._origin,
            order=order,
            fixed=fixed,
            is_part=is_part,
        )

    # axes of the pyramid and of the files

    @property
    def stored_axes(self) -> tuple[int, ...]:
        """The stored axis of each axis of the pyramid."""
        return self._order

    def _in_order(self, values: tuple[T, ...]) -> tuple[T, ...]:
        """Reorder values of the stored axes to the pyramid's axes."""
        return tuple(values[axis] for axis in self._order) if values else values

    def stored_box(self, box: Box) -> Box:
        """A box in stored axis order."""
        stored = {axis: (index, index + 1) for axis, index in self._fixed.items()}
        stored |= dict(zip(self._order, box, strict=True))
        return tuple(stored[axis] for axis in range(len(stored)))

    def from_stored(self, values: Block) -> Block:
        """A view of values in stored axis order, with the pyramid's axes."""
        index = tuple(0 if axis in self._fixed else slice(None) for axis in range(values.ndim))
        kept = sorted(self._order)
        return values[index].transpose([kept.index(axis) for axis in self._order])

    def _to_stored(self, values: Block) -> Block:
        """A view of values with the pyramid's axes, in stored axis order."""
        transposed = values.transpose([self._order.index(axis) for axis in sorted(self._order)])
        return np.expand_dims(transposed, tuple(self._fixed)) if self._fixed else transposed

    def _require_here(self, level: int, box: Box) -> None:
        if not self.is_here(level, box):
            raise LeftOutError(
                f"{self.place} has this part only at a coarser level.",
                hint="Use a coarser level, or open the tomogram from the portal.",
            )

    def _require_open(self, task: Task) -> None:
        if self._is_closed or task.is_stopped:
            raise StoppedError
        if (error := self.image.error) is not None:
            raise error.with_traceback(None)


class _Assembly:
    """An array that decode threads fill with blocks until it is closed."""

    def __init__(self, values: Block, box: Box, grid: Grid) -> None:
        self._values, self._box, self._grid = values, box, grid
        self._lock, self._is_closed = threading.Lock(), False

    def place(self, blocks: dict[BlockIndex, Block]) -> None:
        """Copy blocks into the array."""
        with self._lock:
            for block, content in blocks.items() if not self._is_closed else ():
                block_box = self._grid.box(block)
                if (common := intersect(block_box, self._box)) is not None:
                    self._values[box_slices(common, self._box)] = content[
                        box_slices(common, block_box)
                    ]

    def close(self) -> None:
        """Stop writing: after a stop, the caller may reuse the array."""
        with self._lock:
            self._is_closed = True


def split_pyramid(pyramid: Pyramid, axis: int) -> list[Pyramid]:
    """Split a pyramid along an axis, such as channels, into pyramids with one axis less.

    Parts share blocks, so a block that spans several positions is read once. Closing the pyramid
    closes all parts.
    """
    axis = range(len(pyramid.shapes[0]))[axis]
    return [
        pyramid._fixed_at({axis: index}, is_part=True) for index in range(pyramid.shapes[0][axis])
    ]


def pyramid_of(levels: Any) -> Pyramid | None:
    """The pyramid that made these ``levels``, finest first, or the finest alone; else None."""
    is_alone = not isinstance(levels, Sequence) or not levels  # indexing an array would read it
    pyramid, level = _pyramid_and_level(levels if is_alone else levels[0])
    if level != 0 or not (
        is_alone or all(_pyramid_and_level(each) == (pyramid, at) for at, each in enumerate(levels))
    ):
        return None  # a coarse level alone is an image with larger voxels
    return pyramid


def _pyramid_and_level(array: Any) -> tuple[Pyramid | None, int]:
    """The pyramid and level that a dask array's name refers to; None for other arrays."""
    name, _, level = str(getattr(array, "name", "")).rpartition("-")
    pyramid = _alive.get(name)
    return pyramid, -1 if pyramid is None else int(level)


def _unpickled(
    name: str,
    origin: _Origin,
    coarse_offset: CoarseOffset,
    order: tuple[int, ...],
    fixed: dict[int, int],
) -> Pyramid:
    """Unpickle a pyramid: the same object in this process, else reopened."""
    if (pyramid := _alive.get(name)) is not None:
        return pyramid
    whole = _reopened(origin)
    whole.coarse_offset = coarse_offset
    return Pyramid(
        whole.image,
        shared_engine,
        whole._about,
        origin,
        order=order,
        fixed=fixed,
        is_part=True,
    )


@lru_cache(maxsize=_MOST_REOPENED)
def _reopened(origin: _Origin) -> Pyramid:
    """Reopen an image, once for all its arrays and tasks."""
    if origin.raw is not None:
        shape, dtype, offset, etag, axes, order = origin.raw
        return open_raw(
            origin.url, shape, np.dtype(dtype), offset=offset, etag=etag, axes=axes, order=order
        )
    pyramid = open_pyramid(
        origin.url, is_labels=origin.is_labels, cache="shared" if origin.is_cached else None
    )
    if pyramid._origin.etags != origin.etags:
        raise ChangedError(f"{pyramid.place} changed since it was opened.", hint="Reopen it.")
    return pyramid
