"""Offers to check picks of a person's own file once they lie over a tomogram: a notice, never a check by itself."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject

from napari_cryoet._qt.check_dock import CheckDock
from napari_cryoet._qt.layer_volume import are_picks, is_volume
from napari_cryoet._qt.notice_bar import NoticeBar
from napari_cryoet._qt.timers import single_shot
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.wording import plain

PLUGIN_NAME, DOCK_NAME = "napari-cryoet", "Check picks"


class CheckOffer(QObject):
    """Watches a viewer for points that were opened from a file and aren't the portal's.

    Parameters
    ----------
    viewer
        Whose layers; a dock is opened in its window.
    notice
        Where the offer stands. An offer of somebody else's is never replaced.
    """

    def __init__(self, viewer: ViewerModel, notice: NoticeBar, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._notice = viewer, notice
        self._points: Layer | None = None
        self._lacks_tomogram = False
        self._offered = ""
        self._soon = single_shot(self, 0, self._offer)  # after whoever else has something to say of the new layer
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Hear no more of the viewer."""
        self._soon.stop()
        self._points = None
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if are_picks(layer) and _is_ones_own(layer):
            self._points = layer
            self._soon.start()
        elif self._lacks_tomogram and is_volume(layer):
            self._soon.start()

    def _on_removed(self, event: Any) -> None:
        if event.value is self._points:
            self._points, self._lacks_tomogram = None, False
            if self._offered and self._notice.text == self._offered:
                self._notice.hide()

    def _offer(self) -> None:
        points, image = self._points, self._tomogram()
        self._lacks_tomogram = points is not None and image is None
        if points is None or image is None:
            return
        is_told = not self._notice.isHidden()
        if is_told and not self._notice.action.isHidden():
            return
        words = f"“{plain(points.name)}” is a file of your own. Do its picks make sense in “{plain(image.name)}”?"
        self._offered = f"{self._notice.text} {words}" if is_told else words
        self._notice.show_news(self._offered, DOCK_NAME, partial(self._open_dock, points, image))
        dock = self._notice.parentWidget()
        if dock is None or dock.visibleRegion().isEmpty():  # as behind another tab
            show_info(f"{words} {DOCK_NAME}, under Plugins, tells.")

    def _tomogram(self) -> Image | None:
        """The topmost volume of ours."""
        ours = (layer for layer in reversed(self._viewer.layers) if METADATA_KEY in layer.metadata)
        return next((layer for layer in ours if is_volume(layer)), None)

    def _open_dock(self, points: Layer, image: Image) -> None:
        self._notice.hide()
        frame, dock = self._viewer.window.add_plugin_dock_widget(PLUGIN_NAME, DOCK_NAME, tabify=True)
        assert isinstance(dock, CheckDock), "the manifest names the dock"  # noqa: S101
        frame.raise_()
        dock.choose(points, image)
        dock.start()


def _is_ones_own(layer: Layer) -> bool:
    """Whether a layer was opened from a file that isn't an annotation of a portal or a pack."""
    about = layer.metadata.get(METADATA_KEY, {})
    return layer.source.path is not None and about.get("annotation_file_id") is None
