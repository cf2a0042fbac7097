"""What makes a pyramid one that differs from others of the same files."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_cryoet.streaming.changes import Changes

if TYPE_CHECKING:
    from napari_cryoet.streaming.fetcher import Fetcher

_owners = itertools.count()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who fetches for a pyramid, the number under which its blocks are kept, what ends it, and what its files do."""

    fetcher: Fetcher
    owner: int = field(default_factory=lambda: next(_owners))
    stop: threading.Event = field(default_factory=threading.Event)
    changes: Changes = field(default_factory=Changes)
