"""What tests of streaming share: a disk and servers that are waited for, however slow they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from napari_cryoet.streaming import cached_source, disk_cache
from napari_cryoet.streaming.disk_cache import DiskCache
from portal_images import write_portal_images

#: How long a test waits for the disk and for servers; a program waits for some seconds only, or less.
PATIENCE_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def _disk_is_waited_for() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiskCache.flush, "__defaults__", (PATIENCE_S,))
        yield


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers on this computer count as some on the other side of an ocean: they aren't asked each time."""
    monkeypatch.setattr(cached_source, "is_this_computer", lambda _host: False)


@pytest.fixture(autouse=True)
def _answers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests tell what is kept from what is asked for: on a busy machine one would stand in for the other."""
    monkeypatch.setattr(cached_source, "_PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(disk_cache, "_READ_TIMEOUT_S", PATIENCE_S)


@pytest.fixture(scope="session")
def portal_images(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder with the images of `portal_images.write_portal_images`: read it, never write into it."""
    return make_once("portal-images", write_portal_images)
