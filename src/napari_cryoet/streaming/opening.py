"""Find out what is at an address, an OME-Zarr image or a single zarr array (v2 or v3), in few round trips.

All that an image of the usual layout needs is guessed and asked for at once; what was guessed wrongly is asked for in
a second round.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from napari_cryoet.errand import NO_THREADS_HINT, NoThreadError, started
from napari_cryoet.exceptions import FormatError, OtherKindError, StreamError
from napari_cryoet.formats.ome_zarr import Multiscale, is_safe_path, parse_multiscale, with_old_axes
from napari_cryoet.streaming.addresses import shown_address
from napari_cryoet.streaming.chunk_files import key_below
from napari_cryoet.streaming.documents import parse_or_read_again
from napari_cryoet.streaming.readers import HEAD_BYTES
from napari_cryoet.streaming.slabs import is_worth_splitting
from napari_cryoet.streaming.zarr_metadata import ArrayMetadata, parse_json, parse_v2_array, parse_v3_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_cryoet.streaming.sources import ByteSource, Piece

T = TypeVar("T")

_MAX_METADATA_BYTES = 16 * 2**20
_GUESSED_LEVELS = ("0", "1", "2")
_FIRST_OF_MANY = "0"  # what bioformats2raw calls the images of a collection: 0, 1, ...
_ROOT_DOCUMENTS = (".zattrs", ".zarray", "zarr.json")


@dataclass(frozen=True, slots=True)
class FoundArray:
    """One array: where it is, what it is, its own document, and the first bytes of its first chunk if they matter."""

    path: str
    metadata: ArrayMetadata
    document: bytes
    head: Piece | None


@dataclass(frozen=True, slots=True)
class Found:
    """What is at an address.

    Attributes
    ----------
    attributes
        The attributes as they stand in the file.
    multiscale
        The image's metadata, or None for a single array.
    arrays
        The levels, finest first.
    """

    attributes: dict[str, Any]
    multiscale: Multiscale | None
    arrays: tuple[FoundArray, ...]


def find_arrays(source: ByteSource, *, stop: threading.Event) -> Found:
    """Read all metadata of an image or array.

    Raises
    ------
    FormatError
        If there is none, or it is not understood; the message names what is wrong. An OtherKindError where there is
        something else, such as a zarr group that is no image.
    StreamError
        If it can't be read.
    """
    look = _Look(source, stop)
    guessed_heads = [f"{level}/0/0/0" for level in _GUESSED_LEVELS]
    look.read([*_ROOT_DOCUMENTS, *(f"{level}/.zarray" for level in _GUESSED_LEVELS)], heads=guessed_heads)
    where = shown_address(source.url)
    if look.get("zarr.json") is not None:
        return _find_v3(look, look.json("zarr.json"), where)
    if look.get(".zarray") is not None:
        attributes = look.json(".zattrs") if look.get(".zattrs") is not None else {}
        return Found(attributes, None, _read_arrays(look, [""], 2))
    if look.get(".zattrs") is not None:
        attributes = look.json(".zattrs")
        try:
            _refuse_other_groups(attributes, where)
        except OtherKindError:
            look.raise_first_error()  # it may be an array
            raise
        return _find_image(look, attributes, where, 2)
    look.raise_first_error()
    look.read([".zgroup"])
    if look.get(".zgroup") is not None:
        _refuse_other_groups({}, where)
    raise FormatError(
        f"There is no OME-Zarr image at {where}.", hint="Check the address; it should name a folder that ends in .zarr."
    )


def check_levels(found: Found, where: str) -> None:
    """Refuse levels that can't be one image.

    Raises
    ------
    FormatError
        Names what is wrong.
    """
    finest = found.arrays[0].metadata
    axes = found.multiscale.axes if found.multiscale else ()
    if axes and len(axes) != len(finest.shape):
        raise FormatError(f"{where}: {len(axes)} axes are named, but the array has {len(finest.shape)}.")
    names, own = tuple(axis.name for axis in axes), finest.dimension_names
    if names != own and sorted(names) == sorted(own):
        raise FormatError(f"{where}: its axes are {', '.join(names)}, but those of its arrays {', '.join(own)}.")
    for array in found.arrays:
        shape = array.metadata.shape
        if not all(shape):
            raise FormatError(f"{where}: level {array.path!r} is empty.")
        if len(shape) != len(finest.shape) or array.metadata.dtype != finest.dtype:
            raise FormatError(f"{where}: level {array.path!r} differs from the finest one in its axes or data type.")
    for finer, coarser in itertools.pairwise(found.arrays):
        if any(a < b for a, b in zip(finer.metadata.shape, coarser.metadata.shape, strict=True)):
            raise FormatError(f"{where}: level {coarser.path!r} is larger than level {finer.path!r}.")


def _refuse_other_groups(attributes: dict[str, Any], where: str) -> None:
    """Refuse a group that isn't meant to be an image, and say where the first of its images is where that is known."""
    ome = attributes.get("ome")
    places = [attributes, ome] if isinstance(ome, dict) else [attributes]
    if any("multiscales" in place for place in places):
        return
    for place in places:
        if "plate" in place:  # which may also say that bioformats2raw made it
            first = _first_path(place["plate"], "wells")
            raise OtherKindError(f"{where} is a plate of many images.", hint=_such_as(where, first), first_image=first)
        if "well" in place:
            first = _first_path(place["well"], "images")
            raise OtherKindError(f"{where} is a well of a plate.", hint=_such_as(where, first), first_image=first)
        if "bioformats2raw.layout" in place:
            raise OtherKindError(
                f"{where} is a collection of images.",
                hint=_such_as(where, _FIRST_OF_MANY),
                first_image=_FIRST_OF_MANY,
                is_numbered=True,
            )
    message = f"{where} is a zarr group, but not an OME-Zarr image: there are no multiscales in its attributes."
    raise OtherKindError(message)


def _first_path(holder: Any, name: str) -> str:
    """The path of the first thing in a list of a plate or well, if it says one that leads nowhere else."""
    things = holder.get(name) if isinstance(holder, dict) else None
    first = things[0] if isinstance(things, list) and things else None
    path = first.get("path") if isinstance(first, dict) else None
    return path.strip("/") if isinstance(path, str) and is_safe_path(path) else ""


def _such_as(where: str, first: str) -> str:
    return f"Open what is in it, such as {where}/{first}." if first else ""


class _Look:
    """What has been read from a source so far; an error counts only where what it hides is needed."""

    def __init__(self, source: ByteSource, stop: threading.Event) -> None:
        self._source, self._stop = source, stop
        self._where = shown_address(source.url)
        self._contents: dict[str, bytes | None] = {}
        self._pieces: dict[str, Piece] = {}
        self._errors: dict[str, StreamError] = {}

    def read(self, documents: Iterable[str], *, heads: Iterable[str] = ()) -> None:
        """Read whole documents and the heads of chunks at once, but nothing twice."""
        wanted = dict.fromkeys(documents, _MAX_METADATA_BYTES + 1) | dict.fromkeys(heads, HEAD_BYTES)
        wanted = {key: length for key, length in wanted.items() if key not in self._contents}
        if not wanted:
            return
        try:
            reads = [started(partial(self._read_one, key, length)) for key, length in wanted.items()]
        except NoThreadError as error:
            raise StreamError("No thread can be started to read with.", hint=NO_THREADS_HINT) from error
        for read in reads:
            read.result()

    def _read_one(self, key: str, length: int) -> None:
        try:
            piece = self._source.read(key, length=length, stop=self._stop)
            self._contents[key] = piece.content if piece else None
            if piece:
                self._pieces[key] = piece
        except StreamError as error:
            self._contents[key] = None
            self._errors[key] = error

    def piece(self, key: str) -> Piece | None:
        """What was read, with its version."""
        return self._pieces.get(key)

    def get(self, key: str) -> bytes | None:
        """What was read, None where it is missing or could not be read."""
        content = self._contents.get(key)
        if content is not None and len(content) > _MAX_METADATA_BYTES:
            raise FormatError(f"{self._where}/{key} is too large for metadata.")
        return content

    def need(self, key: str) -> bytes:
        """What was read.

        Raises
        ------
        StreamError
            If it could not be read.
        FormatError
            If it is missing.
        """
        content = self.get(key)
        if content is not None:
            return content
        if key in self._errors:
            raise self._errors[key]
        raise FormatError(f"{self._where} is incomplete: {key} is missing.")

    def json(self, key: str) -> dict[str, Any]:
        """What was read, as the JSON object that it should be."""
        return self.parsed(key, lambda document, _where: document)

    def parsed(self, key: str, make: Callable[[dict[str, Any], str], T]) -> T:
        """What is made of the JSON object that was read; it is read once more where it seems to be damaged."""

        def parse(piece: Piece) -> T:
            self._contents[key] = piece.content
            return make(parse_json(self.need(key), f"{self._where}/{key}"), f"{self._where}/{key}")

        self.need(key)
        return parse_or_read_again(
            self._source, key, self._pieces[key], parse, length=_MAX_METADATA_BYTES + 1, stop=self._stop
        )

    def raise_first_error(self) -> None:
        """Raise what kept a root document from being read, if anything did."""
        for key in _ROOT_DOCUMENTS:
            if key in self._errors:
                raise self._errors[key]


def _find_v3(look: _Look, document: dict[str, Any], where: str) -> Found:
    attributes = document.get("attributes") or {}
    if not isinstance(attributes, dict):
        raise FormatError(f"{where}/zarr.json: attributes is not an object.")
    if document.get("node_type") == "array":
        return Found(attributes, None, _read_arrays(look, [""], 3))
    _refuse_other_groups(attributes, where)
    return _find_image(look, attributes, where, 3)


def _find_image(look: _Look, attributes: dict[str, Any], where: str, zarr_format: int) -> Found:
    multiscale = parse_multiscale(attributes, where)
    arrays = _read_arrays(look, [level.path for level in multiscale.levels], zarr_format)
    finest = arrays[0].metadata
    multiscale = multiscale if finest.dimension_names else with_old_axes(multiscale, len(finest.shape))
    return Found(attributes, multiscale, arrays)


def _read_arrays(look: _Look, paths: list[str], zarr_format: int) -> tuple[FoundArray, ...]:
    name, parse = (".zarray", parse_v2_array) if zarr_format == 2 else ("zarr.json", parse_v3_array)
    keys = [key_below(path, name) for path in paths]
    look.read(keys)
    arrays = [look.parsed(key, parse) for key in keys]
    documents = [look.need(key) for key in keys]
    heads = [head_key(path, metadata) for path, metadata in zip(paths, arrays, strict=True)]
    look.read([], heads=[head for head in heads if head])
    return tuple(
        FoundArray(path, metadata, document, look.piece(head) if head else None)
        for path, metadata, document, head in zip(paths, arrays, documents, heads, strict=True)
    )


def head_key(path: str, metadata: ArrayMetadata) -> str | None:
    """The first chunk's file, if how large its blocks are makes a difference."""
    if metadata.encoding != "blosc" or not is_worth_splitting(metadata):
        return None
    return key_below(path, metadata.chunk_key((0,) * len(metadata.shape)))
