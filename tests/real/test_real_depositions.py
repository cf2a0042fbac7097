"""Depositions of the pack from real tables, in the dock of a real window."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.memory import Memory
from napari_cryoet.portal.portal import open_portal
from qt.test_browser import press, type_text
from qt.test_depositions import rows_of, wait_for_deposition

pytestmark = pytest.mark.timeout(300)


def test_every_annotation_of_the_tables_is_counted_in_its_deposition(real_pack):
    portal = open_portal(real_pack.folder)
    annotations, tomograms = real_pack.tables["annotations"], real_pack.tables["tomograms"]
    for row in portal.depositions():
        page = portal.deposition_page(row.id)
        own = [each for each in annotations if each["depositionId"] == row.id]
        assert page.annotation_count == row.annotation_count == len(own)
        assert sum(each.count for dataset in page.datasets for each in dataset.contributions) == len(own)
        assert page.tomogram_count == row.tomogram_count == sum(each["depositionId"] == row.id for each in tomograms)
        assert [each.dataset_id for each in page.datasets if each.is_own] == list(row.dataset_ids)
        assert [each.dataset_id for each in page.datasets if not each.is_own] == list(row.enriched_dataset_ids)


def test_a_real_deposition_opens_in_the_dock(qtbot, make_napari_viewer, real_pack, tmp_path):
    viewer = make_napari_viewer(show=True)
    browser = PortalBrowser(viewer, memory=Memory(tmp_path / "browser.ini"))
    viewer.window.add_dock_widget(browser, name="CryoET Data Portal", area="right")
    deposition_id = next(row["depositionId"] for row in real_pack.tables["datasets"] if row["id"] == 10000)
    try:
        with qtbot.waitSignal(browser.session.catalogue_changed, timeout=60_000):
            browser.use_source(str(real_pack.folder))
        type_text(qtbot, browser, f"CZCDP-{deposition_id}")
        press(qtbot, browser.screens.search, Qt.Key.Key_Return)
        wait_for_deposition(qtbot, browser)
        rows = [row for _, row in rows_of(browser)]
        assert rows[0].text.startswith("Its datasets (")
        assert rows[1].dataset_id == 10000
        assert rows[1].run_count == 10
    finally:
        browser.close_down()
