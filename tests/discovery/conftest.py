"""A generated portal as an index and as rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from generated_portal import SIZES, generated_tables
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.portal.portal import open_portal


@pytest.fixture(scope="session")
def rows() -> dict[str, list[dict[str, Any]]]:
    """The same tables as rows."""
    return generated_tables(**SIZES)


@pytest.fixture(scope="session")
def index(generated_pack: Path) -> Index:
    return read_index(open_portal(generated_pack))
