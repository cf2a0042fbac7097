"""Where a server sends a request instead: to the address that it names, or on Amazon's S3 to the region it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from napari_cryoet import http_faults as faults
from napari_cryoet.files import host_of, without_login

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

_STATUSES = frozenset({301, 302, 303, 307, 308})
#: S3 says where a bucket is with 301 and no Location; regions that it doesn't redirect to say 400.
_WRONG_REGION_STATUSES = frozenset({301, 307, 400})
_AMAZON = re.compile(r"(?P<bucket>[a-z0-9.-]+\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com")
_REGION = re.compile(r"[a-z0-9-]+")


def redirected(url: str, response: BaseHTTPResponse, method: str, content: bytes) -> str:
    """Where a redirect leads, if it may be followed: http to http(s), https to https, same method; else FaultError."""
    status = response.status
    location = response.headers.get("Location") if status in _STATUSES else None
    if not location and status in _WRONG_REGION_STATUSES:
        location = _in_region(url, response.headers.get("x-amz-bucket-region", ""))
    if not location or (method == "POST" and status in {302, 303}):
        retry_after, is_of_file = response.headers.get("Retry-After"), method != "POST"
        raise faults.from_status(url, status, retry_after, content, is_of_file=is_of_file)
    target = without_login(urljoin(url, _in_unicode(location)))
    allowed = {"https"} if urlsplit(url).scheme == "https" else {"https", "http"}
    if urlsplit(target).scheme not in allowed:  # which takes either case
        raise faults.fault(url, f"The server {host_of(url)} points to an unsafe place.", "", status=status)
    return target


def _in_unicode(location: str) -> str:
    """An address with its letters as they are meant: Python takes each byte for one, servers send UTF-8 as it is."""
    try:
        return location.encode("latin-1").decode()
    except UnicodeError:
        return location


def _in_region(url: str, region: str) -> str | None:
    """The same object in another region of Amazon's S3; None where that isn't another place, or not Amazon's."""
    parts = urlsplit(url)
    found = _AMAZON.fullmatch(parts.hostname or "")
    if not found or not _REGION.fullmatch(region):
        return None
    host = f"{found['bucket'] or ''}s3.{region}.amazonaws.com"
    return None if host == parts.hostname else parts._replace(netloc=host).geturl()
