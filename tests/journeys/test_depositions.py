"""Depositions of the demo in a real window: from the list to a run's layers and back, by clicks and keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from napari.layers import Image
from qtpy.QtCore import QModelIndex, Qt

from journeys.proxy import Proxy
from keyboard import has_keys, press
from napari_cryoet import open_portal
from napari_cryoet._qt.browser.dock import PortalBrowser

COMMUNITY = 90903  # it adds annotations to the datasets of the other two
WITH_PHOTO = 90901


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def browser(viewer, memory) -> Iterator[PortalBrowser]:
    """The dock in a napari window."""
    browser = PortalBrowser(viewer, memory=memory)
    viewer.window.add_dock_widget(browser, name="CryoET Explorer", area="right")
    yield browser
    browser.close_down()


@pytest.fixture(params=["in process", pytest.param("over HTTP", marks=pytest.mark.slow)])
def proxy(request) -> Iterator[Proxy | None]:
    """A counting proxy of the served demo; None for the pack in process."""
    if request.param == "in process":
        yield None
        return
    with Proxy(request.getfixturevalue("served_demo")["graphql"]) as proxy:
        yield proxy


def run_rows(browser: PortalBrowser) -> dict[str, QModelIndex]:
    """Indexes of the runs on a deposition's page, by name."""
    model = browser.screens.deposition.model
    datasets = [model.index(row, 0) for row in range(model.rowCount())]
    indices = [
        model.index(row, 0, dataset)
        for dataset in datasets
        for row in range(model.rowCount(dataset))
    ]
    records = ((model.record_at(index), index) for index in indices)
    return {record.name: index for record, index in records if hasattr(record, "name")}


def test_opening_a_run_from_a_deposition_and_going_back(qtbot, viewer, browser, proxy, demo_pack):
    screens, layers = browser.screens, viewer.layers
    page = open_portal(demo_pack).deposition_page(COMMUNITY)

    def assert_queries(number: int) -> None:
        assert proxy is None or proxy.questions == number

    # one request fetches the lists of datasets and depositions
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(f"{proxy.url}/graphql" if proxy else str(demo_pack))
    with qtbot.waitActive(browser.window()):
        browser.window().activateWindow()
    qtbot.mouseClick(
        screens.switch, Qt.MouseButton.LeftButton, pos=screens.switch.tabRect(2).center()
    )
    assert screens.depositions.count.text() == "3 depositions"
    view = screens.depositions.view
    view.setFocus()
    assert screens.depositions.model.record_at(view.currentIndex()).id == COMMUNITY, "the newest"
    assert_queries(1)

    # a second one fetches the page of a deposition
    press(Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: screens.deposition.model.rowCount() > 0)
    assert_queries(2)
    counts = f"adds to {len(page.datasets)} datasets · {page.annotation_count} annotations"
    assert screens.deposition.header.counts.text() == counts
    runs = run_rows(browser)
    assert list(runs) == [run.name for run in page.runs]

    # go down to the first run, and open it
    tree = screens.deposition.view
    qtbot.waitUntil(lambda: has_keys(tree))
    while tree.currentIndex() != runs["DEMO_001"]:
        before = tree.currentIndex()
        press(Qt.Key.Key_Down)
        assert tree.currentIndex() != before
    press(Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: any(isinstance(layer, Image) for layer in layers))
    qtbot.waitUntil(lambda: not browser.manager.coming())
    assert screens.breadcrumb.accessibleName() == "Depositions › CZCDP-90903 › DS-90001 › DEMO_001"
    n_layers = len(layers)

    # go back through the dataset
    qtbot.keyClick(screens.run.tomograms, Qt.Key.Key_Backspace)
    assert screens.stack.currentWidget() is screens.dataset
    qtbot.waitUntil(lambda: len(screens.dataset.runs) > 0)
    qtbot.keyClick(screens.dataset.view, Qt.Key.Key_Backspace)
    assert screens.stack.currentWidget() is screens.deposition
    assert_queries(4)
    assert len(layers) == n_layers, "navigation changes no layers"
