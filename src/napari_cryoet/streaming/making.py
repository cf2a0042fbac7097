"""Make a pyramid of what is at an address: an OME-Zarr image, a zarr array, or a file of uncompressed values."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.formats.ome_zarr import as_labels
from napari_cryoet.streaming.addresses import shown_address
from napari_cryoet.streaming.cached_source import CachedSource
from napari_cryoet.streaming.fetcher import Fetcher, shared_fetcher
from napari_cryoet.streaming.identity import Identity
from napari_cryoet.streaming.meaning import Meaning
from napari_cryoet.streaming.opening import Found, FoundArray, check_levels, find_arrays, head_key
from napari_cryoet.streaming.origin import Origin
from napari_cryoet.streaming.pyramid import Pyramid
from napari_cryoet.streaming.readers import BlockReader, OneFile, make_reader, reader_of_file
from napari_cryoet.streaming.right_of_way import YieldingSource
from napari_cryoet.streaming.sources import ByteSource, open_source
from napari_cryoet.streaming.started_source import StartedSource
from napari_cryoet.streaming.turning import TurnedReader
from napari_cryoet.streaming.undivided import UndividedFiles
from napari_cryoet.streaming.watch import LastLook, Watch
from napari_cryoet.streaming.zarr_metadata import ArrayMetadata

if TYPE_CHECKING:
    from napari_cryoet.http import Http
    from napari_cryoet.streaming.disk_cache import DiskCache


def open_pyramid(
    url_or_path: str | Path,
    *,
    is_labels: bool = False,
    stop: threading.Event | None = None,
    fetcher: Fetcher | None = None,
    cache: DiskCache | Literal["shared"] | None = "shared",
    http: Http | None = None,
) -> Pyramid:
    """Open an OME-Zarr image (0.4 or 0.5) or a single zarr array; only metadata is read.

    Parameters
    ----------
    url_or_path
        An http(s), ``s3://`` (public) or ``file://`` address, or a path.
    is_labels
        Whether its values are labels though it may not say so itself, as of an image that `find_labels` lists.
    stop
        Set by whoever no longer wants it.
    fetcher
        Who fetches; by default the one that all pyramids share.
    cache
        Where on disk to keep what comes from a server; None keeps nothing.
    http
        What asks servers; by default what the whole program asks with.

    Raises
    ------
    FormatError
        If it is something else, or damaged; the message names what is wrong.
    StreamError
        If the server or the disk doesn't answer.
    StoppedError
        When ``stop`` is set.
    """
    watch = Watch()
    source = open_source(url_or_path, cache=cache, http=http, watch=watch)
    found = _find_current(source, watch, stop or threading.Event())
    watch.begin(is_local="://" not in source.url)
    check_levels(found, shown_address(source.url))
    if is_labels and found.multiscale is not None:
        found = replace(found, multiscale=as_labels(found.multiscale))
    identity = Identity(fetcher or shared_fetcher())
    identity.changes.meaning, identity.changes.watch = Meaning(source, found.arrays), watch
    watch.on_doubt = LastLook(watch, identity.changes, identity.fetcher, identity.stop).ask_for_it
    identity.changes.undivided = undivided = UndividedFiles(source, identity.owner)
    for array in found.arrays:
        undivided.note(array.head)
    readers = [_make_reader(undivided, array, identity) for array in found.arrays]
    pyramid = Pyramid(source, readers, found, identity)
    pyramid.origin = Origin(_open_again, (_address(source), cache is not None, is_labels))
    return pyramid


def plain_pyramid(
    source: ByteSource,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    offset: int,
    version: str | None = None,
    axes: tuple[str, ...] = (),
    order: tuple[int, ...] | None = None,
) -> Pyramid:
    """A pyramid of one level over a file that holds nothing but a header and uncompressed values in C order.

    Parameters
    ----------
    source, offset
        The file, and where the values start in it, in bytes.
    shape, dtype
        Of the values as they are stored.
    version
        Where it is given, no other version of the file is read.
    axes
        What the pyramid's axes are called.
    order
        Which of the stored axes these are, as of `numpy.transpose`; by default as they are stored.
    """
    metadata = ArrayMetadata(2, shape, shape, shape, dtype, dtype.type(0), "plain", "", ".")
    found = Found({}, None, (FoundArray("", metadata, b"", None),))
    file = OneFile("", offset, version)
    identity = Identity(shared_fetcher())
    reader = reader_of_file(UndividedFiles(source, identity.owner), metadata, file)
    if order is not None and order != tuple(range(len(shape))):
        reader = TurnedReader(reader, order)
    pyramid = Pyramid(source, [reader], found, identity)
    pyramid.axes = axes
    pyramid.origin = Origin(_plain_again, (_address(source), shape, dtype.str, file, (axes, order)))
    return pyramid


def _find_current(source: ByteSource, watch: Watch, stop: threading.Event) -> Found:
    """Read all metadata; anew where those that are kept turn out to be of another image than their server has."""
    try:
        found = find_arrays(source, stop=stop)
    except (StreamError, FormatError):
        if not _begins_anew(source, watch):
            raise
        found = find_arrays(source, stop=stop)
    else:
        if _begins_anew(source, watch):
            found = find_arrays(source, stop=stop)
    return found


def _begins_anew(source: ByteSource, watch: Watch) -> bool:
    is_outdated = isinstance(source, CachedSource) and source.begin_anew()
    if is_outdated or not watch.is_of_one:
        source.forget_all()
        return True
    return False


def _open_again(address: str, is_kept: bool, is_labels: bool, *, http: Http | None) -> Pyramid:
    return open_pyramid(address, is_labels=is_labels, cache="shared" if is_kept else None, http=http)


def _plain_again(
    address: str,
    shape: tuple[int, ...],
    dtype: str,
    file: OneFile,
    turned: tuple[tuple[str, ...], tuple[int, ...] | None],
    *,
    http: Http | None,
) -> Pyramid:
    source, (axes, order) = open_source(address, http=http), turned
    return plain_pyramid(
        source, shape, np.dtype(dtype), offset=file.offset, version=file.version, axes=axes, order=order
    )


def _address(source: ByteSource) -> str:
    """Where a source is, from any working directory."""
    return source.url if "://" in source.url else str(Path(source.url).absolute())


def _make_reader(source: ByteSource, array: FoundArray, identity: Identity) -> BlockReader:
    """The reader that suits an array; it needn't ask again for what opening has brought of its first chunk."""
    fetcher = identity.fetcher
    source = YieldingSource(source, fetcher.right_of_way, fetcher.off_the_line)
    key = head_key(array.path, array.metadata)
    if key is not None and array.head is not None:
        source = StartedSource(source, key, array.head)
    return make_reader(
        source,
        array.path,
        array.metadata,
        document=array.document,
        head=array.head.content if array.head else b"",
        memory=identity.fetcher.memory,
        owner=identity.owner,
        stop=identity.stop,
    )
