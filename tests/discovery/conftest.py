"""A generated portal as an index and as rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from generated_portal import generated_tables, write_generated_pack
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.portal.portal import open_portal

SIZES = {"n_datasets": 12, "n_runs": 120, "n_annotations": 400, "seed": 7}


@pytest.fixture(scope="session")
def generated_pack(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A pack with the tables of a generated portal, for reading only."""
    return make_once("generated-portal", lambda folder: write_generated_pack(folder, **SIZES))


@pytest.fixture(scope="session")
def rows() -> dict[str, list[dict[str, Any]]]:
    """The same tables as rows."""
    return generated_tables(**SIZES)


@pytest.fixture(scope="session")
def index(generated_pack: Path) -> Index:
    return read_index(open_portal(generated_pack))
