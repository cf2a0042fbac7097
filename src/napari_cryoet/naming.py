"""What files, servers and the words of others are called in a sentence: short, in plain text, without secrets."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from napari_cryoet.logins import without_login

_LONGEST_FILE, _LONGEST_HOST = 60, 80
_LONGEST_PATH = 120  # on this computer, where it is looked for in folders
_LONGEST_WORDS = 200


def host_of(url: str) -> str:
    """The printable host of a URL, short enough for a sentence."""
    url = without_login(url)
    try:
        host = urlsplit(url).hostname or url
    except ValueError:
        host = url
    return _printable(host)[:_LONGEST_HOST]


def server_of(url: str) -> str:
    """The printable host of a URL with its port, be that none at all.

    Examples
    --------
    >>> server_of("http://127.0.0.1:99999/a.zarr"), server_of("https://example.org/a.zarr")
    ('127.0.0.1:99999', 'example.org')
    """
    try:
        place = urlsplit(without_login(url)).netloc
    except ValueError:
        place = ""
    return _printable(place)[:_LONGEST_HOST] or host_of(url)


def file_of(url: str) -> str:
    """Which file a URL is of, by the end of its path, short enough for a sentence; empty where there is no path.

    Examples
    --------
    >>> file_of("https://files.org/10000/TS_026/Tomograms/100/TS_026.zarr/0/0/1/2?signature=secret")
    '10000/TS_026/Tomograms/100/TS_026.zarr/0/0/1/2'
    """
    try:
        path = urlsplit(without_login(url)).path
    except ValueError:
        return ""
    return _end_of(_printable(unquote(path)).strip("/ "), "/", _LONGEST_FILE)


def file_at(address: str, key: str = "") -> str:
    """What to call an address, or a path on this computer, or a file below it.

    Examples
    --------
    >>> file_at("https://me:secret@files.org/a%20b.zarr?signature=secret", "0/1.2.3")
    'a b.zarr/0/1.2.3 on files.org'
    """
    if "://" not in address:
        return _end_of(_printable(str(Path(address) / key)), os.sep, _LONGEST_PATH)
    base = without_login(address).partition("#")[0].partition("?")[0].rstrip("/")
    file, host = file_of(f"{base}/{quote(key)}" if key else base), host_of(address)
    return f"{file} on {host}" if file else host


def brief(words: object) -> str:
    """What others say of something, such as an error of a library: one line, and not endless."""
    line = " ".join(_printable(str(words), " ").split())
    return line if len(line) <= _LONGEST_WORDS else f"{line[: _LONGEST_WORDS - 1]}…"


def _printable(text: str, otherwise: str = "") -> str:
    return "".join(letter if letter.isprintable() else otherwise for letter in text)


def _end_of(path: str, separator: str, longest: int) -> str:
    """The end of a path; names are whole, but for a single one that is too long."""
    if len(path) <= longest:
        return path
    end = path[1 - longest :]
    return f"…{end[max(end.find(separator), 0) :]}"
