"""What an address is, what the file is called that is there, and how it is told to people.

That is without what may be secret in it, a password or a signature.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from napari_cryoet.exceptions import FormatError
from napari_cryoet.files import without_login


def shown_address(address: str) -> str:
    """An address for messages, logs and lists; a path stays as it is.

    Examples
    --------
    >>> shown_address("https://me:secret@files.org/a.zarr?signature=secret")
    'https://files.org/a.zarr'
    """
    if "://" not in address:
        return address
    parts = urlsplit(without_login(address))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def path_in(address: str) -> str:
    """The path of an address, with its names as they are: the signs that it escapes stand for themselves in keys of S3.

    Examples
    --------
    >>> path_in("https://files.org/a%20b.zarr?signature=secret"), path_in("s3://bucket/50% #1?.zarr")
    ('/a b.zarr', '/50% #1?.zarr')
    """
    address = address.strip()
    if address.lower().startswith("s3://"):
        return "/" + address[len("s3://") :].partition("/")[2]
    return unquote(urlsplit(address).path)


def scheme_of(address: str) -> str:
    """What an address starts with, such as ``https``; FormatError where it is none."""
    try:
        return urlsplit(address).scheme.lower()
    except ValueError as error:
        raise FormatError(f"{without_login(address)!r} isn't an address.", hint="Check the address.") from error


def path_of(text: str) -> Path:
    """What a text names on this computer, the same from another working directory; FormatError where it can't."""
    try:
        path = Path(text).expanduser().absolute()  # the same file also from another working directory
    except (RuntimeError, OSError) as error:
        raise FormatError(f"{text!r} can't be a path ({error}).", hint="Check the path.") from error
    if "\0" in text:
        raise FormatError(f"{text!r} can't be a path.", hint="Check the path.")
    return path
