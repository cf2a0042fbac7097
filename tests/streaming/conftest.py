"""What tests of streaming share: a disk that is waited for, however slow it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from napari_cryoet.streaming.disk_cache import DiskCache

#: How long a test waits for the disk; a program that ends waits for some seconds only.
PATIENCE_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def _disk_is_waited_for() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiskCache.flush, "__defaults__", (PATIENCE_S,))
        yield
