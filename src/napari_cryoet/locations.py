"""Locations: an address or a path on this computer, parsed once, and short names for messages."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from napari_cryoet.exceptions import CryoETError, FormatError, SaveError
from napari_cryoet.wording import printable

#: Also matches addresses that went through `Path`, which merges their two slashes.
_ADDRESS: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]+://|(?:https?|s3|gs|ftp|file):[/\\])", re.IGNORECASE
)
_LOGIN: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^:/?#]*)(?::[^/?#]*)?@")
_LONGEST_URL_PATH: Final = 60
_LONGEST_HOST: Final = 80
_LONGEST_PATH: Final = 120


@dataclass(frozen=True, slots=True)
class Location:
    """An address, or a path on this computer, as `Location.of` parses it.

    Converting it to text gives it without user and password, for messages and records.

    Attributes
    ----------
    text
        What to open: an address with its login, or an absolute path.
    path
        The absolute path; None for an address.
    """

    text: str
    path: Path | None

    @classmethod
    def of(cls, value: PathOrUrl, error: type[CryoETError] = FormatError) -> Location:
        """Parse a path, an address, or a ``file:`` address, which is a path.

        Raises ``error`` if it can be neither, TypeError for another kind of value.

        >>> Location.of("file:///data/a%20b.mrc").name, Location.of("s3://bucket/a.zarr").suffix
        ('a b.mrc', '.zarr')
        """
        if isinstance(value, Location):
            return value
        if not isinstance(value, str | os.PathLike):
            raise TypeError(f"a path or an address is expected, not {type(value).__name__}")
        text = os.fsdecode(value)
        address = text.strip()  # pasted text may end in a line break
        if not _ADDRESS.match(address):
            return cls._of_path(text, error)
        scheme, _, rest = address.partition(":")
        if not rest.startswith("//") and scheme.lower() != "file":
            address = f"{scheme}://" + rest.replace("\\", "/").lstrip("/")
        try:
            parts = urlsplit(address)
        except ValueError as cause:
            message = f"{without_login(address)!r} isn't an address."
            raise error(message, hint="Check the address.") from cause
        if parts.scheme == "file":
            from urllib.request import url2pathname  # which imports http and ssl

            return cls._of_path(url2pathname(parts.path), error)
        return cls(address, None)

    @classmethod
    def _of_path(cls, text: str, error: type[CryoETError]) -> Location:
        try:
            if b"\0" in os.fsencode(text):
                raise ValueError("it has a null character")
            path = Path(text).expanduser().absolute()
        except (RuntimeError, OSError, ValueError) as cause:
            raise error(f"{text!r} can't be a path ({cause}).", hint="Check the path.") from cause
        return cls(str(path), path)

    @property
    def is_remote(self) -> bool:
        """Whether it is an address, not a path on this computer."""
        return self.path is None

    @property
    def url(self) -> str:
        """The address; for a path, its ``file:`` address."""
        return self.text if self.path is None else self.path.as_uri()

    @property
    def folders(self) -> str:
        """The decoded path with slashes; in S3, ? and # are ordinary characters."""
        if self.path is not None:
            return self.path.as_posix()
        if self._is_s3:
            return "/" + self.text[len("s3://") :].partition("/")[2]
        return unquote(urlsplit(self.text).path)

    @property
    def name(self) -> str:
        """The file name, without folders and without an address's query."""
        return PurePosixPath(self.folders).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The lower-case suffix of the name, with its dot."""
        return PurePosixPath(self.name).suffix.lower()

    def __str__(self) -> str:
        return without_login(self.text)

    def below(self, names: str) -> Location:
        """The location of a file below this one; ``names`` are joined by slashes."""
        if self.path is not None:
            return Location.of(self.path / names)
        if self._is_s3:
            return Location(f"{self.text.rstrip('/')}/{names}", None)
        parts = urlsplit(self.text)
        path = f"{parts.path.rstrip('/')}/{quote(names)}"
        return Location(urlunsplit(parts._replace(path=path)), None)

    def shown(self, names: str = "") -> str:
        """A short name for messages, of this file or of one below it.

        >>> Location.of("https://me:secret@files.org/a%20b.zarr?signature=secret").shown("0/1.2.3")
        'a b.zarr/0/1.2.3 on files.org'
        """
        here = self.below(names) if names else self
        if self.path is not None:
            return _end_of(printable(here.text), os.sep, _LONGEST_PATH)
        file = file_of(here.text)
        host = host_of(self.text)
        return f"{file} on {host}" if file else host

    @property
    def _is_s3(self) -> bool:
        return self.text.lower().startswith("s3://")


#: What a user may give for a file, where files on servers are read too.
PathOrUrl: TypeAlias = str | os.PathLike[str] | Location


def path_to_read(value: PathOrUrl) -> Path:
    """The absolute path of a file to read; FormatError for an address or an invalid path."""
    path = Location.of(value).path
    if path is None:
        raise FormatError(
            "This is an address, but only local files can be read here.", hint="Download it first."
        )
    return path


def path_to_write(value: PathOrUrl) -> Path:
    """The absolute path of a file to write; SaveError for an address or an invalid path."""
    path = Location.of(value, SaveError).path
    if path is None:
        raise SaveError(
            "This is an address, but files can only be written on this computer.",
            hint="Give a path.",
        )
    return path


def is_web_address(url: str) -> bool:
    """Whether a URL is an http(s) address, not a file, a script or another program."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def host_of(url: str) -> str:
    """The host of a URL, with its port if it names one.

    >>> host_of("https://me:secret@files.org:81/a.zarr")
    'files.org:81'
    """
    url = without_login(url)
    return printable(_host_and_path(url)[0] or url)[:_LONGEST_HOST]


def file_of(url: str) -> str:
    """The end of a URL's path, decoded.

    >>> file_of("https://files.org/10000/TS_026/TS_026.zarr/0/0/1/2?signature=secret")
    '10000/TS_026/TS_026.zarr/0/0/1/2'
    """
    path = _host_and_path(without_login(url))[1]
    return _end_of(printable(unquote(path)).strip("/ "), "/", _LONGEST_URL_PATH)


def without_login(address: str) -> str:
    """An address without its user and password; paths are unchanged.

    >>> without_login("https://me:secret@files.org/a.zarr?b=c")
    'https://files.org/a.zarr?b=c'
    """
    return _LOGIN.sub(r"\1", address)


def without_password(address: str) -> str:
    """An address without its password; the user stays, because users may have different files.

    >>> without_password("https://me:secret@files.org/a.zarr"), without_password("https://files.org")
    ('https://me@files.org/a.zarr', 'https://files.org')
    """
    return _LOGIN.sub(r"\1\2@", address)


def _host_and_path(url: str) -> tuple[str, str]:
    """Host with port, and path; empty if it isn't a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.netloc, parts.path


def _end_of(path: str, separator: str, longest: int) -> str:
    """The end of a path, cut between names if possible."""
    if len(path) <= longest:
        return path
    end = path[1 - longest :]
    return f"…{end[max(end.find(separator), 0) :]}"
