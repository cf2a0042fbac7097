"""How an address is told to people: without what may be secret in it, a password or the query of a signed address."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

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
