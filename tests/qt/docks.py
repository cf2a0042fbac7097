"""The dock where many tests begin: at the page of the run of `stalling_world`."""

from __future__ import annotations

from napari import Viewer
from napari.components import ViewerModel

from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.memory import Memory
from napari_cryoet.portal.pages import RunPage
from patience import PatientBot
from qt.stalling_world import RUN_ID, OneRunPortal


def dock_at_run(qtbot: PatientBot, viewer: ViewerModel, memory: Memory, page: RunPage) -> PortalBrowser:
    """The dock at the page of that run, in the window of a viewer that has one; to be closed down."""
    portal = OneRunPortal(page)
    browser = PortalBrowser(viewer, open_portal=lambda _source, _job: portal, memory=memory)
    if isinstance(viewer, Viewer):
        viewer.window.add_dock_widget(browser, name="CryoET", area="right")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    with qtbot.waitSignal(browser.navigator.run_arrived):
        browser.navigator.go_to_run(RUN_ID)
    return browser
