"""When a file was changed, by what its server says of it and of its own clock."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse


def changed_at(response: BaseHTTPResponse) -> float | None:
    """When a file was changed; where its server's clock is ahead of ours, so much earlier."""
    changed, sent_at = (_moment(response.headers.get(name, "")) for name in ("Last-Modified", "Date"))
    if changed is None or sent_at is None:
        return changed
    return changed - max(0.0, sent_at - time.time())


def _moment(text: str) -> float | None:
    """A date of a header, in seconds since 1970."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
