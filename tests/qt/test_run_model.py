"""A dataset's runs, page by page."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QModelIndex, Qt

from napari_cryoet._qt.browser.run_model import Remainder, RunModel
from napari_cryoet._qt.widgets.roles import Role
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import NetworkError
from qt.fake_portal import FakePortal

ROOT = QModelIndex()


@pytest.fixture
def model(tasks) -> RunModel:
    return RunModel(Thumbnails(tasks, lambda url, stop: b""))


def page(offset: int, n_runs: int = 120):
    return FakePortal(n_runs=n_runs).dataset_page(10000, offset=offset)


def last_row(model: RunModel):
    return model.data(model.index(model.rowCount() - 1), Role.RECORD)


def test_it_keeps_the_rules_of_qt_models(model, qtmodeltester):
    qtmodeltester.check(model)  # it also asks for more, as a view would
    model.restart()
    for offset in (0, 50):
        model.add_page(page(offset))
    model.set_failed(NetworkError("No network."))
    model.retry()
    model.add_page(page(100))
    assert model.is_complete


def test_nothing_is_asked_before_a_dataset_is_shown(model):
    assert not model.canFetchMore(ROOT)
    assert model.rowCount() == 0


def test_the_first_page_is_asked_for_at_once_and_only_once(model, qtbot):
    with qtbot.waitSignal(model.more_requested) as asked:
        model.restart()
    assert asked.args == [0]
    assert not model.canFetchMore(ROOT)
    assert last_row(model).text == "Loading runs…"


def test_pages_follow_each_other_until_all_runs_are_here(model, qtbot):
    model.restart()
    for offset in (0, 50):
        model.add_page(page(offset))
        assert not model.is_complete
        assert last_row(model).text == f"Loading more… {offset + 50} of 120"
        with qtbot.waitSignal(model.more_requested) as asked:
            model.fetchMore(ROOT)
        assert asked.args == [offset + 50]
    model.add_page(page(100))
    assert model.is_complete
    assert model.rowCount() == 120
    assert not model.canFetchMore(ROOT)


def test_a_failed_page_says_so_and_can_be_tried_again(model, qtbot):
    model.restart()
    model.add_page(page(0))
    model.fetchMore(ROOT)
    model.set_failed(NetworkError("Couldn't reach the portal."))
    remainder = last_row(model)
    assert isinstance(remainder, Remainder)
    assert remainder.text == "Couldn't reach the portal. Press Enter to try again."
    assert not model.canFetchMore(ROOT), "scrolling must not hammer a portal that is down"
    with qtbot.waitSignal(model.more_requested) as asked:
        model.retry()
    assert asked.args == [50]
    assert model.loaded == 50


def test_fewer_runs_than_counted_never_look_complete(model):
    model.restart()
    model.add_page(page(0))
    model.fetchMore(ROOT)
    short = page(0)
    model.add_page(
        type(short)(**{**{name: getattr(short, name) for name in short.__slots__}, "runs": (), "offset": 50})
    )
    assert not model.is_complete
    assert "fewer runs" in last_row(model).text


def test_rows_can_be_read_aloud(model):
    model.restart()
    model.add_page(page(0))
    text = model.data(model.index(0), Qt.ItemDataRole.AccessibleTextRole)
    assert text == (
        "TS_000, 2 tomograms · 13.48 Å · 1.66 GB, cytosolic ribosome 2 · fatty acid synthase 2 · membrane 2"
    )
