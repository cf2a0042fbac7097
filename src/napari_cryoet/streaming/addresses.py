"""How an address is told to people: without what may be secret in it, a password or the query of a signed address.

And what the file is called that is there.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit, urlunsplit

from napari_cryoet.logins import without_login


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
