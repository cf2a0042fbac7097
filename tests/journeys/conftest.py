"""What the journeys share: a patient bot, an empty memory, and a served demo that counts questions."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.memory import Memory
from patience import PatientBot


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> PatientBot:
    """The bot of pytest-qt, with more patience."""
    return PatientBot(request)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """What the dock remembers from one start to the next."""
    return Memory(tmp_path / "browser.ini")


@pytest.fixture(autouse=True)
def _only_the_gui_thread_collects_garbage() -> Iterator[None]:
    """A window that another thread collects is deleted on that thread, and Qt crashes."""
    before = gc.get_threshold()
    gc.set_threshold(2**31 - 1, *before[1:])
    yield
    gc.collect()
    gc.set_threshold(*before)
