"""The user and the password that an address names, as in ``https://me:secret@files.org``: for its own server alone."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote

from napari_cryoet.files import without_login

#: An address in three parts: up to who asks, who asks, and the rest. What can't be an address may name somebody, too.
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:([^/?#]*)@)?(.*)", re.DOTALL)


def authorization_of(address: str) -> str:
    """What its server is told of who asks (RFC 7617); empty where the address names nobody.

    Examples
    --------
    >>> authorization_of("https://Aladdin:open%20sesame@files.org")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    found = _PARTS.fullmatch(address)
    if not found or not found[2]:
        return ""
    user, _, password = found[2].partition(":")
    return f"Basic {b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"


def is_same_server(address: str, other: str) -> bool:
    """Whether what is meant for the server of one address may be told to that of another: itself, secure or not."""
    scheme, server = _server_of(address)
    other_scheme, other_server = _server_of(other)
    return server == other_server and other_scheme in {scheme, "https"}


def _server_of(address: str) -> tuple[str, str]:
    """How a server is spoken to, and its name."""
    scheme, _, rest = without_login(address).partition("://")
    return scheme.lower(), re.split(r"[/?#]", rest, maxsplit=1)[0].lower()
