"""A dataset's page: its description, and its runs loaded page by page."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from napari_cryoet._qt.browser.record_pages import DatasetView
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.pages.rows import RowKind
from qt.fake_portal import FakePortal

NO_NETWORK = NetworkError("Couldn't reach the portal.")


@pytest.fixture
def requested_offsets() -> list[int]:
    """The requested offsets."""
    return []


@pytest.fixture
def view(qtbot, tasks, viewer_model, requested_offsets, tmp_path):
    theme = Theme(viewer_model)
    view = DatasetView(theme, Thumbnails(tasks, lambda url, task: b""))
    qtbot.addWidget(view)
    view.page_requested.connect(lambda _number, offset, _name: requested_offsets.append(offset))
    view.resize(360, 700)
    view.show()
    view.start(10000, None)
    yield view
    theme.close()


def page(offset: int):
    return FakePortal(n_runs=120).dataset_page(10000, offset=offset)


def last_row(view: DatasetView):
    return view.model.rows[-1]


def test_scrolling_loads_pages_until_all_runs_are_listed(qtbot, view, requested_offsets):
    assert requested_offsets == [0]
    for offset in (0, 50):
        view.add_page(page(offset), "")
        assert last_row(view).title == f"Loading more… {offset + 50} of 120"
        view.view.scrollToBottom()
        qtbot.waitUntil(lambda offset=offset: requested_offsets[-1] == offset + 50)
    view.add_page(page(100), "")
    assert view.model.rowCount() == len(view.runs) == 120
    assert requested_offsets == [0, 50, 100]


def test_a_failed_page_is_reported_and_requested_again_only_on_retry(
    qtbot, view, requested_offsets
):
    view.add_page(page(0), "")
    view.view.scrollToBottom()
    qtbot.waitUntil(lambda: requested_offsets == [0, 50])
    view.show_error(NO_NETWORK)
    assert last_row(view).kind is RowKind.FAILURE
    assert last_row(view).title.startswith(NO_NETWORK.message)
    view.view.scrollToTop()
    view.view.scrollToBottom()
    assert requested_offsets == [0, 50], (
        "scrolling doesn't repeat requests to a portal that is down"
    )
    view.model.ask_for_more(again=True)
    assert requested_offsets == [0, 50, 50]
    view.add_page(page(50), "")
    assert len(view.runs) == 100


def test_invalid_links_are_hidden_and_details_expand(view):
    dataset = replace(
        page(0).dataset, deposition=None, dataset_publications=None, related_database_entries="X-1"
    )
    view.add_page(replace(page(0), dataset=dataset), "")
    header = view.header
    assert not header.links.isVisible()
    assert header.description.isVisible(), "there is room"
    view.resize(360, 400)
    assert not header.description.isVisible()
    header.details.click()
    assert header.description.isVisible()
