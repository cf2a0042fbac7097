"""What tests of streaming share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from portal_images import write_portal_images


@pytest.fixture(scope="session")
def portal_images(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder with the images of `portal_images.write_portal_images`; don't write into it."""
    return make_once("portal-images", write_portal_images)
