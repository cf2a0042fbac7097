"""As much of S3's listing as a client needs to find and download a pack's files: ``ListObjectsV2``, in key order."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from napari_cryoet.packs.files import etag_of, file_below

MAX_KEYS: Final = 1000
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A pack's files as a bucket.

    Parameters
    ----------
    name
        The bucket of the pack's s3 prefix.
    key_prefix
        What the keys of all files begin with: the rest of the s3 prefix, often empty.
    root
        The folder of the files, with its own symbolic links resolved.
    """

    name: str
    key_prefix: str
    root: Path

    def file(self, key: str) -> Path | None:
        """The file of a key, or None where there is none."""
        return file_below(self.root, key.removeprefix(self.key_prefix)) if key.startswith(self.key_prefix) else None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page: keys and, where a delimiter was given, prefixes of keys; ``last`` is where the next page goes on."""

    entries: tuple[str, ...]
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    prefix: str
    after: str
    is_rolled_up: bool

    def is_later(self, key: str) -> bool:
        return key.encode() > self.after.encode()


class ListingError(Exception):
    """A listing was asked for in a way that isn't understood."""


def list_keys(bucket: Bucket, *, prefix: str, delimiter: str, after: str, limit: int) -> Listing:
    """The keys that begin with ``prefix`` and come after ``after``, in the order of their UTF-8 bytes.

    With the delimiter ``/``, keys that go on beyond a slash after the prefix are rolled up into one entry that ends
    with the slash.

    Raises
    ------
    ListingError
        The delimiter is another character.
    """
    if delimiter not in ("", "/"):
        raise ListingError("Only / is understood as a delimiter.")
    entries: list[str] = []
    for entry in _entries(bucket, _Wanted(prefix, after, is_rolled_up=bool(delimiter))):
        if len(entries) == limit:
            return Listing(tuple(entries), is_truncated=True)
        entries.append(entry)
    return Listing(tuple(entries), is_truncated=False)


def listing_xml(bucket: Bucket, query: Mapping[str, str]) -> str:
    """The reply to a ``ListObjectsV2`` request with the given query parameters.

    Raises
    ------
    ListingError
        A parameter isn't understood.
    """
    prefix, delimiter, encoding = (query.get(name, "") for name in ("prefix", "delimiter", "encoding-type"))
    limit = _limit(query.get("max-keys", ""))
    after = _key_of(query["continuation-token"]) if "continuation-token" in query else query.get("start-after", "")
    listing = list_keys(bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)

    def spelled(text: str) -> str:
        return escape(quote(text, safe="/") if encoding == "url" else text)

    head = [
        f"<Name>{escape(bucket.name)}</Name>",
        f"<Prefix>{spelled(prefix)}</Prefix>",
        f"<MaxKeys>{limit}</MaxKeys>",
        f"<KeyCount>{len(listing.entries)}</KeyCount>",
        f"<IsTruncated>{str(listing.is_truncated).lower()}</IsTruncated>",
    ]
    if delimiter:
        head.append(f"<Delimiter>{spelled(delimiter)}</Delimiter>")
    if encoding:
        head.append("<EncodingType>url</EncodingType>")
    if listing.is_truncated and listing.entries:
        head.append(f"<NextContinuationToken>{_token_of(listing.entries[-1])}</NextContinuationToken>")
    body = [_entry_xml(bucket, entry, spelled(entry)) for entry in listing.entries]
    content = "".join(head) + "".join(body)
    return f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="{_NAMESPACE}">{content}</ListBucketResult>'


def error_xml(code: str, message: str) -> str:
    """An error as S3 spells it."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message></Error>"
    )


def _entry_xml(bucket: Bucket, entry: str, spelled: str) -> str:
    if entry.endswith("/"):
        return f"<CommonPrefixes><Prefix>{spelled}</Prefix></CommonPrefixes>"
    status = (bucket.root / entry.removeprefix(bucket.key_prefix)).stat()
    modified = datetime.fromtimestamp(status.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return (
        f"<Contents><Key>{spelled}</Key><LastModified>{modified}</LastModified><ETag>{escape(etag_of(status))}</ETag>"
        f"<Size>{status.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _entries(bucket: Bucket, wanted: _Wanted) -> Iterator[str]:
    beyond = bucket.key_prefix.removeprefix(wanted.prefix) if bucket.key_prefix.startswith(wanted.prefix) else ""
    if wanted.is_rolled_up and "/" in beyond:  # the prefix ends above all files
        entry = wanted.prefix + beyond[: beyond.index("/") + 1]
        return iter((entry,) if wanted.is_later(entry) else ())
    return _walk(bucket, bucket.root, bucket.key_prefix, wanted)


def _walk(bucket: Bucket, folder: Path, base: str, wanted: _Wanted) -> Iterator[str]:
    """Entries below a folder whose keys begin with ``base``; folders that can't hold a wanted key are not opened."""
    for name, path, is_folder in _children(bucket, folder):
        key = base + name
        if not (key.startswith(wanted.prefix) or (is_folder and wanted.prefix.startswith(key))):
            continue
        if not is_folder:
            if wanted.is_later(key):
                yield key
        elif wanted.is_rolled_up and len(key) > len(wanted.prefix):
            if wanted.is_later(key) and _holds_files(bucket, path):
                yield key
        elif wanted.is_later(key) or wanted.after.startswith(key):
            yield from _walk(bucket, path, key, wanted)


def _children(bucket: Bucket, folder: Path) -> list[tuple[str, Path, bool]]:
    """What is in a folder, in key order; folders end with a slash, links to folders or to elsewhere are left out."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        is_folder = path.is_dir() and not path.is_symlink()
        if not _is_text(path.name) or not (is_folder or _is_readable(bucket, path)):
            continue
        found.append((f"{path.name}/" if is_folder else path.name, path, is_folder))
    return sorted(found, key=lambda child: child[0].encode())


def _holds_files(bucket: Bucket, folder: Path) -> bool:
    children = _children(bucket, folder)
    return any(not is_folder or _holds_files(bucket, path) for _, path, is_folder in children)


def _is_readable(bucket: Bucket, path: Path) -> bool:
    return path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(bucket.root))


def _is_text(name: str) -> bool:
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def _limit(text: str) -> int:
    if not text:
        return MAX_KEYS
    if not text.isdecimal():
        raise ListingError("max-keys is not a number.")
    return min(int(text), MAX_KEYS)


def _token_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key_of(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ListingError("The continuation token is not one of this server.") from error
