"""Where in which file the encoded bytes of a chunk are, one of its own or a shard; what readers of these share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from napari_cryoet.exceptions import ChangedError, DamagedError, FormatError, NetworkError, StreamError
from napari_cryoet.files import file_at
from napari_cryoet.streaming.blosc import CodecError
from napari_cryoet.streaming.once import Once
from napari_cryoet.streaming.sharding import ShardIndex, ShardLayout, parse_index
from napari_cryoet.streaming.versions import Versions, mark_of, named

if TYPE_CHECKING:
    import threading

    from napari_cryoet.streaming.cache import MemoryCache
    from napari_cryoet.streaming.geometry import BlockIndex
    from napari_cryoet.streaming.slabs import Slabs
    from napari_cryoet.streaming.sources import ByteSource, Piece
    from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

_RECOMPRESS_HINT = "Have it written with another compressor, such as Zstandard or LZ4."
_SUFFIX_REFUSED = {200, 206, 400, 416, 501}  # by servers that can't count from the end

#: A chunk by its position among the (inner) chunks of its array.
Chunk = tuple[int, ...]


class VanishedError(ChangedError):
    """There is no such file any more, though parts of it were read. It isn't missing before that was told."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a chunk are.

    Attributes
    ----------
    key
        The file.
    start
        Where in it they start.
    size
        How many they are; None where the file ends with them.
    version
        The version of the file that this holds for; None where it isn't known.
    """

    key: str
    start: int = 0
    size: int | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class OneFile:
    """The one file that holds all values of an array, after a header, and the only version of it that counts."""

    key: str
    offset: int
    version: str | None


class ChunkFiles(Protocol):
    """The files of an array; every part of a file that is read is of the version that was met first."""

    def find(self, chunk: Chunk, stop: threading.Event) -> Place | None:
        """Where a chunk is, or None where it is known to be missing."""

    def read(self, place: Place, stop: threading.Event, *, start: int = 0, length: int | None = None) -> Piece | None:
        """Read a part of a place, counted from its start; by default all. None where there is no such file.

        Raises
        ------
        ChangedError
            Where the file isn't the version that was met first.
        VanishedError
            Where there was such a file before.
        StreamError
            Where it could not be read.
        """

    def confirm(self, place: Place, version: str | None) -> None:
        """Make sure that what came from a version of a file may be used now; else raise ChangedError."""

    def forget(self) -> None:
        """Let other versions of all files count."""

    def distrust(self, chunk: Chunk) -> None:
        """Use nothing that is kept of the file of a chunk: something of it was damaged."""

    def describe(self, chunk: Chunk) -> str:
        """What to call the file of a chunk in messages."""


class _Files:
    """What all kinds of files have in common."""

    may_be_missing = True  # as chunks may that have only the fill value

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._address = source.url
        self._versions = Versions(self._address)

    def read(self, place: Place, stop: threading.Event, *, start: int = 0, length: int | None = None) -> Piece | None:
        """Read a part of a place; see `ChunkFiles`."""
        if place.size is not None:
            length = place.size - start if length is None else min(length, place.size - start)
        known, forgotten = self._versions.of(place.key)
        version = named(known if place.version is None else place.version)
        piece = self._source.read(place.key, start=place.start + start, length=length, version=version, stop=stop)
        if piece is not None:
            self._versions.settle(place.key, mark_of(piece), forgotten)
        elif place.version is not None or not self.may_be_missing:
            raise self._vanished(place.key)
        else:
            self._miss(place.key, forgotten)
        return piece

    def confirm(self, place: Place, version: str | None) -> None:
        """Make sure that a version still counts; see `ChunkFiles`."""
        self._versions.confirm(place.key, version)

    def forget(self) -> None:
        """Let other versions count; see `ChunkFiles`."""
        self._source.forget_all()
        self._versions.forget()

    def _miss(self, key: str, forgotten: int) -> None:
        """Take it that there is no such file; VanishedError where one was read before."""
        if not self._versions.miss(key, forgotten):
            raise self._vanished(key)

    def _vanished(self, key: str) -> VanishedError:
        return VanishedError(f"{self._called(key)} vanished while it was read.")

    def _called(self, key: str) -> str:
        return file_at(self._address, key)


class OwnFiles(_Files):
    """Every chunk is a file."""

    def __init__(self, source: ByteSource, path: str, metadata: ArrayMetadata) -> None:
        super().__init__(source)
        self._path, self._metadata = path, metadata

    def find(self, chunk: Chunk, stop: threading.Event) -> Place | None:
        """The file of a chunk; whether it exists shows when it is read."""
        del stop
        return Place(self._key(chunk))

    def distrust(self, chunk: Chunk) -> None:
        """Use nothing that is kept of a chunk; see `ChunkFiles`."""
        self._source.forget(self._key(chunk))

    def describe(self, chunk: Chunk) -> str:
        """The chunk's own file."""
        return self._called(self._key(chunk))

    def _key(self, chunk: Chunk) -> str:
        return key_below(self._path, self._metadata.chunk_key(chunk))


class SingleFile(_Files):
    """One file is the only chunk, after a header; no other version of it is ever read."""

    may_be_missing = False

    def __init__(self, source: ByteSource, file: OneFile) -> None:
        super().__init__(source)
        self._file = file

    def find(self, chunk: Chunk, stop: threading.Event) -> Place | None:
        """The file after its header."""
        del chunk, stop
        return Place(self._file.key, self._file.offset, version=self._file.version)

    def forget(self) -> None:
        """Change nothing: what the header said holds for one version only."""

    def distrust(self, chunk: Chunk) -> None:
        """Use nothing that is kept of the file; see `ChunkFiles`."""
        del chunk
        self._source.forget(self._file.key)

    def describe(self, chunk: Chunk) -> str:
        """The file."""
        del chunk
        return self._called(self._file.key)


class ShardFiles(_Files):
    """A file holds many chunks and an index of them, which is read once.

    Parameters
    ----------
    source, path, metadata
        The array.
    layout
        Of its shards.
    memory, owner
        Where indices are kept, under keys that start with ``owner``.
    """

    def __init__(
        self,
        source: ByteSource,
        path: str,
        metadata: ArrayMetadata,
        *,
        layout: ShardLayout,
        memory: MemoryCache[object],
        owner: object,
    ) -> None:
        super().__init__(source)
        self._path, self._metadata, self._layout = path, metadata, layout
        self._indices: Once[_HeldIndex | None] = Once(memory, (owner, "index", path), _index_bytes)

    def find(self, chunk: Chunk, stop: threading.Event) -> Place | None:
        """Where the index of its shard says that a chunk is.

        Raises
        ------
        FormatError
            If the index is damaged.
        StreamError
            If it can't be read.
        """
        key = self._key(chunk)
        held = self._indices.get(key, lambda: self._read_index(key, stop))
        if held is None:
            return None
        within = tuple(i % n for i, n in zip(chunk, self._layout.chunks_per_shard, strict=True))
        span = held.index.find(within)
        return None if span is None else Place(key, span[0], span[1] - span[0], held.version)

    def forget(self) -> None:
        """Drop the indices of shards, too; see `ChunkFiles`."""
        self._indices.forget_all()
        super().forget()

    def distrust(self, chunk: Chunk) -> None:
        """Use nothing that is kept of a shard, nor its index; see `ChunkFiles`."""
        key = self._key(chunk)
        self._indices.forget(key)
        self._source.forget(key)

    def describe(self, chunk: Chunk) -> str:
        """The shard's file."""
        return self._called(self._key(chunk))

    def _read_index(self, key: str, stop: threading.Event) -> _HeldIndex | None:
        size = self._layout.index_nbytes
        _, forgotten = self._versions.of(key)
        if self._layout.index_location == "end":
            piece = read_end(self._source, key, size, stop)
        else:
            piece = self._source.read(key, length=size, stop=stop)
        if piece is None:
            self._miss(key, forgotten)
            return None
        version = mark_of(piece)
        self._versions.settle(key, version, forgotten)
        return _HeldIndex(parse_index(piece.content, self._layout, file_bytes=piece.total_bytes), version)

    def _key(self, chunk: Chunk) -> str:
        shard = tuple(i // n for i, n in zip(chunk, self._layout.chunks_per_shard, strict=True))
        return key_below(self._path, self._metadata.chunk_key(shard))


@dataclass(frozen=True, slots=True, eq=False)
class _HeldIndex:
    """An index, and the version of the file that it is from."""

    index: ShardIndex
    version: str | None


def _index_bytes(held: _HeldIndex | None) -> int:
    return held.index.spans.nbytes if held is not None else 0


def files_of(
    source: ByteSource, path: str, metadata: ArrayMetadata, *, memory: MemoryCache[object], owner: object
) -> ChunkFiles:
    """The files of a zarr array."""
    if metadata.shards is None:
        return OwnFiles(source, path, metadata)
    return ShardFiles(source, path, metadata, layout=metadata.shards, memory=memory, owner=owner)


class FilesReader:
    """Chunks in files; a subclass reads them, see `BlockReader`.

    Parameters
    ----------
    files, metadata
        The array.
    slabs
        How its chunks are cut into blocks.
    """

    def __init__(self, files: ChunkFiles, metadata: ArrayMetadata, slabs: Slabs) -> None:
        self.metadata, self.grid = metadata, slabs.grid
        self._files, self._slabs = files, slabs

    def prepare(self, chunk: Chunk, stop: threading.Event) -> None:
        """Learn where in a file a chunk is; see `BlockReader`."""
        self._files.find(chunk, stop)

    def forget(self) -> None:
        """Let other versions of files count; see `BlockReader`."""
        self._files.forget()

    def distrust(self, block: BlockIndex) -> None:
        """Read a file anew; see `BlockReader`."""
        self._files.distrust(self.grid.chunk(block))


def merge_places(places: list[Place], *, max_gap: int, max_bytes: int) -> list[tuple[Place, list[Place]]]:
    """Places of known size in the same file, in order of position, with the larger places that are read for them.

    Parameters
    ----------
    places
        What is wanted.
    max_gap
        Unwanted bytes between two places that are rather read than asked around.
    max_bytes
        Places are not merged beyond this size; a single one may be larger.
    """
    merged: list[tuple[Place, list[Place]]] = []
    for place in sorted(places, key=lambda place: place.start):
        stop = place.start + (place.size or 0)
        if merged:
            whole, parts = merged[-1]
            end = whole.start + (whole.size or 0)
            if place.start - end <= max_gap and stop - whole.start <= max_bytes:
                merged[-1] = (replace(whole, size=max(end, stop) - whole.start), [*parts, place])
                continue
        merged.append((place, [place]))
    return merged


def key_below(path: str, key: str) -> str:
    """A file's name within an array as a name within its source."""
    return f"{path}/{key}" if path else key


def damaged(where: str, error: FormatError) -> StreamError:
    """What to raise where the bytes of a chunk are no chunk, or one that can't be understood."""
    if isinstance(error, CodecError):
        return StreamError(f"A part of {where} can't be read. {error.message}", hint=_RECOMPRESS_HINT)
    return DamagedError(f"A part of {where} is damaged: {error.message}")


def read_end(source: ByteSource, key: str, size: int, stop: threading.Event | None) -> Piece | None:
    """Read the last bytes of a file, counted from its start where a server can't count from the end.

    None where there is no such file; fewer bytes where it is shorter. StreamError where it can't be read.
    """
    refusal: StreamError | None = None
    try:
        piece = source.read(key, start=-size, length=size, stop=stop)
        if piece is None or len(piece.content) == size:
            return piece
    except StreamError as error:
        if not isinstance(error.__cause__, NetworkError) or error.__cause__.status not in _SUFFIX_REFUSED:
            raise
        refusal = error
    first = source.read(key, length=1, stop=stop)
    if first is None or first.total_bytes is None or first.total_bytes < size:
        if refusal is not None:
            raise refusal
        return piece
    return source.read(key, start=first.total_bytes - size, length=size, version=first.version, stop=stop)
