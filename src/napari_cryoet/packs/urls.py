"""Where a pack's files are: from the URLs in its rows to paths below ``PACK/files``, and on to URLs that work here.

Rows keep the portal's URLs as they are. What follows the manifest's prefix is a path; portals store it plainly
(``run 1/``) or percent-encoded (``run%201/``), and both are understood. A path that would leave the folder is refused.
A pack may come from anybody: what it calls a URL and isn't one of the web or of S3 could name any file of this computer
or its network, and is blanked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.pack import Pack

_PLAIN: Final = "/~!$&'()*,;=:@"  # all that a path may hold unencoded, but for "+", which some servers take for a space
_ELSEWHERE: Final = ("https://", "http://", "s3://")
_DRIVE: Final = re.compile("[A-Za-z]:")

Rewrite = Callable[[str], str]


def local_urls(pack: Pack) -> Rewrite:
    """Rewrite the pack's https URLs to ``file://`` URLs of its own files; other URLs of the web stay."""
    return moved_urls(pack, pack.files.resolve().as_uri() + "/")


def moved_urls(pack: Pack, base: str) -> Rewrite:
    """Rewrite the pack's https URLs to URLs that begin with ``base``, percent-encoded; others of the web stay."""
    prefix, files = pack.manifest.https_prefix, pack.files

    def rewrite(url: str) -> str:
        if not url.startswith(prefix):
            return url if url.lower().startswith(_ELSEWHERE) else ""
        return base + quote(path_below(files, url[len(prefix) :]), safe=_PLAIN)

    return rewrite


def path_below(files: Path, rest: str) -> str:
    """The path that the rest of a URL means, relative to ``files``, with slashes; a slash at its end stays.

    A percent sign may be the name's own: a file of just that name goes before the decoded name.

    Raises
    ------
    PackError
        The path would leave ``files``.
    """
    if "%" in rest and not (is_safe(rest) and (files / rest).exists()):
        rest = unquote(rest)
    if not is_safe(rest):
        raise PackError(f"A URL of the pack leads out of its files: {rest!r}.")
    return rest


def is_safe(path: str) -> bool:
    """Whether a relative path with slashes stays where it begins, on every system."""
    return not (
        path.startswith("/")
        or _DRIVE.match(path)
        or any(part in (".", "..") for part in path.split("/"))
        or any(character in path for character in "\\\0")
    )
