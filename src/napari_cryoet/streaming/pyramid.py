"""An image in several resolutions, of which any part can be read exactly, or shown while it is still loading."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import closing
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from napari_cryoet.exceptions import CHANGED_HINT, ChangedError, StoppedError
from napari_cryoet.files import file_at
from napari_cryoet.formats.ome_zarr import CoarseOffset
from napari_cryoet.network.policy import policy
from napari_cryoet.streaming.addresses import shown_address
from napari_cryoet.streaming.assembly import Assembly
from napari_cryoet.streaming.block_keys import BlockKey, block_of
from napari_cryoet.streaming.cached_source import CachedSource
from napari_cryoet.streaming.changes import ATTEMPTS
from napari_cryoet.streaming.fetcher import Run
from napari_cryoet.streaming.geometry import BlockIndex, Box, box_shape, level_factors, padded_shapes, require_within
from napari_cryoet.streaming.origin import Origin, Original, made_again, process_name, remember
from napari_cryoet.streaming.own_levels import named_level
from napari_cryoet.streaming.read_ahead import ReadAhead
from napari_cryoet.streaming.readers import longest_run
from napari_cryoet.streaming.undivided import held_files
from napari_cryoet.streaming.zarr_metadata import all_names

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterable, Sequence
    from datetime import datetime

    import dask.array as da

    from napari_cryoet.streaming.display import Display
    from napari_cryoet.streaming.exact_array import ExactArray
    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.geometry import Grid
    from napari_cryoet.streaming.identity import Identity
    from napari_cryoet.streaming.opening import Found
    from napari_cryoet.streaming.readers import BlockReader
    from napari_cryoet.streaming.sources import ByteSource
    from napari_cryoet.streaming.watch import State

Read = Callable[[list[BlockIndex], threading.Event], dict[BlockIndex, "Block"]]

_LARGEST_SHARE_KEPT = 4  # of the memory cache: what is read in larger boxes would drive out what is looked at
_HELD_WHOLE = 1 / 16  # chunks that compress to less are held in memory as they came, and decoded without being read


class Pyramid:
    """An image in several resolutions.

    Made by `open_pyramid`; sent to another process, it is opened there anew. All methods may be called from any thread.

    Attributes
    ----------
    url
        Where it is.
    place
        The same for people: without what may be secret in it.
    shapes
        Of the levels as they are stored, finest first.
    padded_shapes
        Of the levels as `levels` has them.
    dtype
        Of the values, in this machine's byte order.
    fill_value
        The value of voxels that no file holds.
    axes, units
        Names of the axes, and the unit of each, empty where the file doesn't say.
    dimension_names
        What the arrays themselves call their axes (zarr v3, or xarray's ``_ARRAY_DIMENSIONS``), empty where they don't.
    scales
        Size of a voxel at each level along each axis as the file says it (advisory), or None.
    translation
        Where the file says that the first voxel of the finest level lies, along each axis, or None; not applied here.
    factors
        How many finest voxels a voxel of each level spans along each axis.
    coarse_offset
        ``"mean"`` where a coarse voxel sits in the middle of the finest voxels it spans, ``"strided"`` where it sits
        on the first of them. May be set by who knows better than the file.
    is_labels
        Whether the file, or who opened it, says that its values are labels.
    is_shown_as_labels
        Whether somebody shows its values as labels, whatever the file says. Set by whoever does.
    metadata
        The file's attributes as they stand there.
    chunk_shapes
        Shape of what lies in one file, at each level.
    line
        Which way its bytes come: the server's name, nothing for this computer.
    """

    def __init__(self, source: ByteSource, readers: Sequence[BlockReader], found: Found, identity: Identity) -> None:
        self._source, self._readers = source, tuple(readers)
        self._fetcher, self._owner, self._stop = identity.fetcher, identity.owner, identity.stop
        self._changes = identity.changes
        self._changes.concern(self)
        self.origin: Origin | None = None  # known to whoever made it
        self.original: Original | None = None  # of another process
        remember(self._owner, self)
        self._multiscale = multiscale = found.multiscale
        self.url, self.place = source.url, shown_address(source.url)
        self.line = urlsplit(self.place).netloc
        self.shapes = tuple(reader.metadata.shape for reader in readers)
        self.dtype = readers[0].metadata.dtype
        self.fill_value = readers[0].metadata.fill_value
        self.axes = tuple(axis.name for axis in multiscale.axes) if multiscale else ()
        self.dimension_names = readers[0].metadata.dimension_names or all_names(
            found.attributes.get("_ARRAY_DIMENSIONS"), len(self.shapes[0])
        )
        self.units = tuple(axis.unit for axis in multiscale.axes) if multiscale else ()
        self.scales = tuple(level.scale for level in multiscale.levels) if multiscale else (None,)
        self.translation = multiscale.levels[0].translation if multiscale else None
        self.is_labels, self.is_shown_as_labels = bool(multiscale and multiscale.is_labels), False
        self.coarse_offset: CoarseOffset = (multiscale and multiscale.coarse_offset) or "mean"
        self.metadata = found.attributes
        self.chunk_shapes = tuple(reader.metadata.chunk_shape for reader in readers)
        self.factors = level_factors(self.shapes, self.scales)
        self.padded_shapes = padded_shapes(self.shapes, self.factors)

    def __repr__(self) -> str:
        return f"<Pyramid {self.place} {self.shapes[0]} {self.dtype}, {len(self.shapes)} levels>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes, to which dask may send arrays, open it for themselves."""
        if self.origin is None:
            raise TypeError(f"{self!r} can't be sent to another process")
        original = Original(process_name(), self._owner, self.state)
        return made_again, (original, self.origin, self.coarse_offset)

    @property
    def state(self) -> State | None:
        """Which image this is, where it has several files: no other version of it may stand beside it."""
        return None if self._changes.watch is None else self._changes.watch.state

    @property
    def bytes_read(self) -> int:
        """How many bytes have come from the source so far."""
        return self._source.bytes_read

    @property
    def source_number(self) -> int:
        """By which pyramids of one source are known, as channels of an image: `bytes_read` is that of all of them."""
        return id(self._source)

    @property
    def as_of(self) -> datetime | None:
        """Where the server doesn't answer, and what is kept on this computer is shown: when it last confirmed that."""
        return self._source.as_of if isinstance(self._source, CachedSource) else None

    @property
    def is_unchecked(self) -> bool:
        """Whether what was read may be of two images: files could not be asked for again after others had come."""
        return self._changes.watch is not None and self._changes.watch.is_owed

    @property
    def stays_coarse(self) -> bool:
        """Whether the data saver leaves pictures of it coarse until somebody asks for more."""
        return bool(self.line) and policy().coarse_only

    @property
    def levels(self) -> list[da.Array]:
        """The levels as dask arrays that compute exact values; others each time, since somebody may write into them.

        Each dask chunk is what is read as one. Where a level is not exactly as many times smaller as its factor
        says (odd sizes), it is padded with the fill value at the far end, by at most seven voxels at the finest level,
        so that the ratios of the shapes are exact: viewers may take these for the factors. Crop with `shapes`; what
        numpy's functions or an array's own methods sum up along an axis (a mean, a least value) is without padding.
        """
        return [array.copy() for array in self._levels]

    @cached_property
    def _levels(self) -> list[ExactArray]:
        from napari_cryoet.streaming.exact_array import exact_array

        arrays = []
        for level, reader in enumerate(self._readers):
            name = named_level(self, self._owner, level)
            together = 1 if self.line else longest_run(reader)
            if not self.sends_parts:  # else a file would come once for each task, while those between are of others
                together = math.prod(len(borders) for borders in reader.grid.borders)
            arrays.append(exact_array(self, level, together, name))
        return arrays

    @property
    def sends_parts(self) -> bool:
        """Whether parts of files come as such, as far as is known; else all of a file comes for one of its blocks."""
        return self._changes.undivided is None or self._changes.undivided.sends_parts

    def read(
        self, level: int, box: Box | None = None, *, stop: threading.Event | None = None, out: Block | None = None
    ) -> Block:
        """Read exact values, many requests at a time.

        Parameters
        ----------
        level
            0 is the finest.
        box
            Start and stop on each axis, within the level's shape; None reads all.
        stop
            Set by whoever no longer wants the values.
        out
            Where to put them, of the box's shape and of a type that holds them exactly. Where reading fails, what is in
            it is of no use, and nothing is put there any more.

        Raises
        ------
        ChangedError
            If files don't stop changing while it is read.
        StreamError
            If anything else of it can't be read.
        StoppedError
            When ``stop`` is set or the pyramid is closed.
        ValueError
            Where the box doesn't lie within the level, or its values don't fit into ``out``.
        """
        box = box or tuple((0, size) for size in self.shapes[level])
        require_within(box, self.shapes[level])
        values = np.empty(box_shape(box), self.dtype) if out is None else out
        if values.shape != box_shape(box) or not np.can_cast(self.dtype, values.dtype):
            raise ValueError(
                f"{self.dtype} of shape {box_shape(box)} doesn't fit into {values.dtype} of {values.shape}"
            )
        for _ in range(ATTEMPTS):
            seen = self._changes.times()
            self._assemble(values, level, box, stop)
            if self._changes.times() == seen:  # else some may be old and some new
                return values
        raise ChangedError(f"{file_at(self.url)} changed while it was read.", hint=CHANGED_HINT)

    def _assemble(self, values: Block, level: int, box: Box, stop: threading.Event | None) -> None:
        """Fill an array with the values of a box, each block put in its place as it comes."""
        grid = self._readers[level].grid
        assembly = Assembly(values, box, lambda key: grid.box(block_of(key)))
        is_kept = self.keeps(level, box)
        runs = self.runs(level, grid.covering(box), in_turn=not is_kept and self.sends_parts)
        runs = [assembly.placing(run, is_kept=is_kept) for run in runs]
        try:
            with closing(self._fetcher.arriving(runs, stop=stop)) as parts:
                for part in parts:
                    assembly.place(part)
        except BaseException:
            assembly.close()  # some of it may still be under way
            raise

    def arriving(
        self, level: int, blocks: Iterable[BlockIndex], *, stop: threading.Event | None = None
    ) -> Generator[tuple[BlockIndex, Block]]:
        """Read blocks of a level, as they come: those in memory first, the others in about the order they are given."""
        with closing(self._fetcher.arriving(self.runs(level, blocks), stop=stop)) as parts:
            for part in parts:
                yield from ((block_of(key), content) for key, content in part.items())

    def pause_s(self) -> float:
        """For how long pictures are to fetch nothing over a line; see `Changes`."""
        return self._changes.pause_s() if self.line else 0.0

    def times_changed(self) -> int:
        """How often a file was met changed so far; what was read before must not stand beside what is read after."""
        return self._changes.times()

    def has(self, level: int, box: Box) -> bool:
        """Whether all of a box is in memory, so that reading it takes no time."""
        return all(self.key(level, block) in self._fetcher.memory for block in self.grid(level).covering(box))

    def keeps(self, level: int, box: Box) -> bool:
        """Whether what is read of a box stays in memory for a while; it does not if it is very large."""
        return self.size_bytes(level, box) <= self._fetcher.memory.limit_bytes // _LARGEST_SHARE_KEPT

    def size_bytes(self, level: int, box: Box | None = None) -> int:
        """How many bytes the blocks of (a part of) a level take once they are decoded."""
        box = box or tuple((0, size) for size in self.shapes[level])
        outer = self._readers[level].grid.enclosing(box)
        return math.prod(box_shape(outer)) * self.dtype.itemsize

    def wire_bytes(self, level: int, size_bytes: int) -> int:
        """About how many bytes cross the wire for so many of a level's values."""
        return round(size_bytes * self._readers[level].compression)

    def display(self, **options: Any) -> Display:
        """A picture of this pyramid that never waits; see `Display` for the options."""
        from napari_cryoet.streaming.display import Display

        display = Display(self, self._fetcher, **options)
        self._changes.show(display)
        return display

    def read_ahead(self, level: int) -> ReadAhead | None:
        """Who notices that a level is read block after block; None where nobody need read ahead."""
        if not self.line:
            return None
        grid = self._readers[level].grid
        is_cut = any(
            along[1] < min(size, along[-1]) for along, size in zip(grid.borders, grid.chunk_shape, strict=True)
        )
        return ReadAhead(self, level, self._fetcher) if is_cut else None

    def close(self) -> None:
        """Abandon whatever is being fetched and forget what is in memory; nothing can be read any more."""
        self._stop.set()
        self._fetcher.abandon(self._owner)
        for memory in (self._fetcher.memory, held_files()):
            memory.forget_where(self._owner)

    @property
    def owner(self) -> int:
        """What all its keys in the cache start with."""
        return self._owner

    def key(self, level: int, block: BlockIndex) -> BlockKey:
        """What a block is called in the cache."""
        return self._owner, level, block

    def grid(self, level: int) -> Grid:
        """How a level is cut into blocks."""
        return self._readers[level].grid

    def runs(
        self, level: int, blocks: Iterable[BlockIndex], *, longest_bytes: int | None = None, in_turn: bool = False
    ) -> list[Run]:
        """Blocks of one level as the runs that fetch them.

        Parameters
        ----------
        level, blocks
            Which.
        longest_bytes
            A run is cut where its blocks take more than this once they are decoded.
        in_turn
            Whether they come in the order that suits many of them; see `Grid.runs`.
        """
        reader = self._readers[level]

        def load(keys: tuple[Hashable, ...], stop: threading.Event) -> dict[Hashable, Block]:
            loaded = self._load(level, [block_of(key) for key in keys], stop)
            return {self.key(level, block): values for block, values in loaded.items()}

        block_bytes = reader.grid.largest_block * self.dtype.itemsize
        longest = longest_run(reader)
        if longest_bytes is not None:
            longest = max(1, min(longest, longest_bytes // block_bytes))
        wire_bytes = self.wire_bytes(level, block_bytes)
        groups = reader.grid.runs(blocks, longest, in_turn=in_turn)
        keyed = [tuple(self.key(level, block) for block in group) for group in groups]
        return [Run(keys, load, wire_bytes, self.line, url=self.url) for keys in keyed]

    def tables(self, level: int, box: Box) -> list[Run]:
        """Whatever must be known of the chunks of a box before a block of them can be read, as runs that fetch it."""
        reader = self._readers[level]
        keys: dict[Hashable, tuple[int, ...]]
        keys = {(self._owner, "table", level, chunk): chunk for chunk in reader.grid.chunks(box)}

        def load(wanted: tuple[Hashable, ...], stop: threading.Event) -> dict[Hashable, Block]:
            with self._changes.noted():
                for key in wanted:
                    reader.prepare(keys[key], stop)
            return dict.fromkeys(wanted, np.empty(0, np.uint8))

        return [Run((key,), load, 0, self.line, url=self.url) for key in keys]

    def _load(
        self, level: int, blocks: list[BlockIndex], stop: threading.Event, read: Read | None = None
    ) -> dict[BlockIndex, Block]:
        """Read blocks of one chunk, by default with the level's reader, and anew where that may help."""
        if self._stop.is_set():
            raise StoppedError
        if self._readers[level].compression < _HELD_WHOLE:
            self._fetcher.right_of_way.let_pass()
        reader = self._readers[level]
        return self._changes.read(
            level, partial(read or reader.load, blocks, stop), partial(reader.distrust, blocks[0]), stop
        )

    def agrees(self, state: State) -> bool:
        """Whether this may be what another process has opened, as far as is known by now."""
        return self._changes.watch is None or self._changes.watch.agrees(state)

    def hear(self, state: State | None) -> None:
        """Take it from another process that what was so is changed."""
        if state == self.state:
            self._changes.note(None)

    def drop_all(self) -> None:
        """Forget all that was read of the files: one of them changed."""
        for reader in self._readers:
            reader.forget()
        self._fetcher.drop(self._owner)
