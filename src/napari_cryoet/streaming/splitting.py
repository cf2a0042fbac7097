"""A pyramid cut along an axis, one pyramid for each position, or freed of axes that have but one.

So each channel of an image is on its own, and an image of one time and one channel is a volume.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari_cryoet.formats.ome_zarr import Level, Multiscale
from napari_cryoet.streaming.block_keys import block_of, owner_of
from napari_cryoet.streaming.geometry import BlockIndex, Grid
from napari_cryoet.streaming.identity import Identity
from napari_cryoet.streaming.opening import Found
from napari_cryoet.streaming.origin import Origin
from napari_cryoet.streaming.pyramid import Pyramid

if TYPE_CHECKING:
    import threading
    from collections.abc import Hashable, Iterable, Sequence
    from typing import TypeVar

    from napari_cryoet.http import Http
    from napari_cryoet.streaming.fetcher import Block, Run
    from napari_cryoet.streaming.readers import BlockReader

    T = TypeVar("T")


def split_pyramid(pyramid: Pyramid, axis: int) -> list[Pyramid]:
    """Cut a pyramid along an axis.

    Each part has blocks of its own: where chunks hold several positions, what is read for one of them is cut for all
    that are looked at.

    Parameters
    ----------
    pyramid
        Stays as it is. To be closed after its parts, since they read through it.
    axis
        Along which; no level may be coarser along it than another.

    Returns
    -------
    list of Pyramid
        With one axis less each, in the order of their positions.

    Raises
    ------
    IndexError
        If there is no such axis.
    ValueError
        If levels have different sizes along the axis.
    """
    axis = range(len(pyramid.shapes[0]))[axis]
    if len({shape[axis] for shape in pyramid.shapes}) != 1:
        raise ValueError(f"the levels of {pyramid.place} differ along axis {axis}")
    found = Found(pyramid.metadata, _multiscale_without(pyramid._multiscale, axis), ())
    parts: list[Pyramid] = []
    beside: WeakSet[_Part] = WeakSet()
    for index in range(pyramid.shapes[0][axis]):
        readers = [_PartReader(reader, axis, index) for reader in pyramid._readers]
        part = _Part(pyramid._source, readers, found, Identity(pyramid._fetcher, changes=pyramid._changes))
        part.share(readers, beside)
        part.coarse_offset = pyramid.coarse_offset
        part.origin = Origin(_part_again, (pyramid, axis, index))
        parts.append(part)
    return parts


def without_axes(pyramid: Pyramid, axes: Sequence[int]) -> Pyramid:
    """A pyramid without axes along which there is only one position.

    Parameters
    ----------
    pyramid
        Becomes the new one, and is of no use by itself any more.
    axes
        Which.

    Raises
    ------
    ValueError
        If a level has several positions along one of them.
    """
    if any(shape[axis] != 1 for shape in pyramid.shapes for axis in axes):
        raise ValueError(f"{pyramid.place} has more than one position along some of the axes {axes}")
    readers: Sequence[BlockReader] = pyramid._readers
    multiscale, names = pyramid._multiscale, pyramid.axes
    for axis in sorted(axes, reverse=True):
        readers = [_PartReader(reader, axis, 0) for reader in readers]
        multiscale, names = _multiscale_without(multiscale, axis), _without(names, axis)
    found = Found(pyramid.metadata, multiscale, ())
    identity = Identity(pyramid._fetcher, pyramid._owner, pyramid._stop, pyramid._changes)
    part = Pyramid(pyramid._source, readers, found, identity)
    part.axes, part.coarse_offset = names, pyramid.coarse_offset
    part.origin = None if pyramid.origin is None else Origin(_freed_again, (pyramid.origin, tuple(axes)))
    return part


def _freed_again(origin: Origin, axes: tuple[int, ...], *, http: Http | None) -> Pyramid:
    return without_axes(origin.made(http), axes)


def _part_again(pyramid: Pyramid, axis: int, index: int, *, http: Http | None) -> Pyramid:
    del http  # the pyramid asks with its own
    return split_pyramid(pyramid, axis)[index]


class _Part(Pyramid):
    """One position along an axis of a pyramid."""

    _parts: Sequence[_PartReader]
    _beside: WeakSet[_Part]

    def share(self, readers: Sequence[_PartReader], beside: WeakSet[_Part]) -> None:
        """Read also for other positions, of which some may be in the same blocks."""
        self._parts, self._beside = readers, beside
        beside.add(self)

    def runs(
        self, level: int, blocks: Iterable[BlockIndex], *, longest_bytes: int | None = None, in_turn: bool = False
    ) -> list[Run]:
        """Blocks as the runs that fetch them; those of other positions come along."""
        runs = super().runs(level, blocks, longest_bytes=longest_bytes, in_turn=in_turn)
        own = self._parts[level]
        beside = {part.owner: part._parts[level] for part in list(self._beside) if part._parts[level].is_with(own)}
        if len(beside) == 1:
            return runs
        others = [owner for owner in beside if owner != self.owner]

        def along(key: Hashable) -> list[Hashable]:
            return [(owner, level, block_of(key)) for owner in others]

        def load(keys: tuple[Hashable, ...], stop: threading.Event) -> dict[Hashable, Block]:
            wanted = [(key, block_of(key)) for key in keys]
            wholes = self._load(level, list(dict.fromkeys(block for _, block in wanted)), stop, own.load_whole)
            return {key: beside[owner_of(key)].part_of(wholes[block]) for key, block in wanted}

        return [replace(run, load=load, along=along) for run in runs]


class _PartReader:
    """One position along an axis of an array; see `BlockReader`."""

    def __init__(self, reader: BlockReader, axis: int, index: int) -> None:
        metadata, grid = reader.metadata, reader.grid
        self._reader, self._axis = reader, axis
        self._block = bisect_right(grid.borders[axis], index) - 1
        self._within = index - grid.borders[axis][self._block]
        self._together = grid.borders[axis][self._block + 1] - grid.borders[axis][self._block]  # read with it
        self._chunk = index // grid.chunk_shape[axis]
        self.metadata = dataclasses.replace(
            metadata,
            shape=_without(metadata.shape, axis),
            chunk_shape=_without(metadata.chunk_shape, axis),
            inner_chunk_shape=_without(metadata.inner_chunk_shape, axis),
            dimension_names=_without(metadata.dimension_names, axis),
        )
        run_shape = None if grid.run_shape is None else _without(grid.run_shape, axis)
        self.compression = reader.compression * self._together
        self.grid = Grid(_without(grid.borders, axis), _without(grid.chunk_shape, axis), run_shape)

    def load(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks, and keep of each what lies at this position."""
        return {block: self.part_of(whole) for block, whole in self.load_whole(blocks, stop).items()}

    def load_whole(self, blocks: Sequence[BlockIndex], stop: threading.Event) -> dict[BlockIndex, Block]:
        """Read blocks with all that is at other positions."""
        loaded = self._reader.load([self._whole(block) for block in blocks], stop)
        self.compression = self._reader.compression * self._together
        return {block: loaded[self._whole(block)] for block in blocks}

    def is_with(self, other: _PartReader) -> bool:
        """Whether another position is read with this one."""
        return other._reader is self._reader and other._block == self._block

    def prepare(self, chunk: tuple[int, ...], stop: threading.Event) -> None:
        """Learn what must be known of a chunk."""
        self._reader.prepare(_with(chunk, self._axis, self._chunk), stop)

    def forget(self) -> None:
        """Let other versions of files count."""
        self._reader.forget()

    def distrust(self, block: BlockIndex) -> None:
        """Read a file anew."""
        self._reader.distrust(self._whole(block))

    def _whole(self, block: BlockIndex) -> BlockIndex:
        return _with(block, self._axis, self._block)

    def part_of(self, values: Block) -> Block:
        """What of a whole block lies at this position."""
        part = values[(slice(None),) * self._axis + (self._within,)]
        is_small_part = part.size < values.size and any(part.strides)
        return part.copy() if is_small_part else part  # a small part must not keep a large whole in memory


def _multiscale_without(whole: Multiscale | None, axis: int) -> Multiscale | None:
    if whole is None:
        return None
    levels = tuple(
        Level(
            level.path,
            None if level.scale is None else _without(level.scale, axis),
            None if level.translation is None else _without(level.translation, axis),
        )
        for level in whole.levels
    )
    return dataclasses.replace(whole, axes=_without(whole.axes, axis), levels=levels)


def _without(values: tuple[T, ...], axis: int) -> tuple[T, ...]:
    return values[:axis] + values[axis + 1 :]


def _with(values: tuple[int, ...], axis: int, value: int) -> tuple[int, ...]:
    return (*values[:axis], value, *values[axis:])
