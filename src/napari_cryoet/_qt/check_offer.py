"""Offers to check picks of a person's own file once they lie over a tomogram: a notice, never a check by itself."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType, WeakSet, ref

from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject

from napari_cryoet._qt.active_layer import real
from napari_cryoet._qt.layer_spacing import lengths_angstrom
from napari_cryoet._qt.layer_volume import are_picks, is_volume
from napari_cryoet._qt.main_window import main_window
from napari_cryoet._qt.own_layers import about_of
from napari_cryoet._qt.timers import single_shot
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.provenance_beside import path_beside
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_cryoet._qt.notice_bar import NoticeBar

PLUGIN_NAME, DOCK_NAME = "napari-cryoet", "Check picks"
_without_dock: Final[WeakSet[ViewerModel]] = WeakSet()
_with_dock: Final[WeakSet[ViewerModel]] = WeakSet()


def offer_checks_in(viewer: Viewer) -> None:
    """Offer checks in a window that has no portal dock, as long as it has none; calling it again changes nothing."""
    if real(viewer) not in _without_dock:
        _without_dock.add(real(viewer))
        CheckOffer(viewer, None, main_window(viewer))


class CheckOffer(QObject):
    """Watches a viewer for points that were opened from a file and aren't the portal's.

    Parameters
    ----------
    viewer
        Whose layers; a dock is opened in its window.
    notice
        Where the offer stands. An offer of somebody else's is never replaced. None where napari tells of it, unless
        there is a dock that does.
    """

    def __init__(self, viewer: ViewerModel, notice: NoticeBar | None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        if notice is not None:
            _with_dock.add(real(viewer))
        self._viewer, self._notice = viewer, notice
        self._points: Layer | None = None
        self._lacks_tomogram = False
        self._offered = ""
        self._offered_for: ReferenceType[Layer] | None = None
        self._told: WeakSet[Layer] = WeakSet()  # points that were offered a check once, whatever came of it
        self._soon = single_shot(self, 0, self._offer)  # after whoever else has something to say of the new layer
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._hear_of_units(layer)

    def close(self) -> None:
        """Hear no more of the viewer."""
        self._soon.stop()
        self._points = None
        if self._notice is not None:
            _with_dock.discard(real(self._viewer))
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._viewer.layers:
            if is_volume(layer):
                layer.events.units.disconnect(self._on_volume)

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        self._hear_of_units(layer)
        if are_picks(layer) and _is_ones_own(layer) and layer not in self._told:
            self._points = layer
            self._soon.start()
        elif is_volume(layer):
            self._on_volume()

    def _hear_of_units(self, layer: Layer) -> None:
        """What another reader opened has none until somebody says how wide its voxels are."""
        if is_volume(layer):
            layer.events.units.connect(self._on_volume)

    def _on_volume(self, _event: Any = None) -> None:
        if self._lacks_tomogram:
            self._soon.start()

    def _on_removed(self, event: Any) -> None:
        if is_volume(event.value):
            event.value.events.units.disconnect(self._on_volume)
        if event.value is self._points:
            self._points, self._lacks_tomogram = None, False
            self._withdraw()
        elif (
            self._offered_for is not None
            and event.value is self._offered_for()
            and self._withdraw()
            and self._points is not None
        ):
            self._told.discard(self._points)  # nobody answered, and they may lie in another one, too
            self._soon.start()

    def _withdraw(self) -> bool:
        """Take back the offer if it still stands; whether it did."""
        if self._notice is None or self._notice.isHidden() or not self._offered or self._notice.text != self._offered:
            return False
        self._notice.hide()
        return True

    def _offer(self) -> None:
        points, image = self._points, self._tomogram()
        self._lacks_tomogram = points is not None and image is None
        if points is None or image is None or points in self._told:
            return
        words = f"“{plain(points.name)}” is a file of your own. Do its picks make sense in “{plain(image.name)}”?"
        is_unseen = real(self._viewer) not in _with_dock
        if self._notice is not None and not _is_offering(self._notice):
            is_told = not self._notice.isHidden()
            self._offered = f"{self._notice.text} {words}" if is_told else words
            self._told.add(points)
            self._offered_for = ref(image)
            open_dock = partial(self._open_dock, self._notice, ref(points), ref(image))  # a notice holds on to nothing
            self._notice.show_news(self._offered, DOCK_NAME, open_dock)
            dock = self._notice.parentWidget()
            is_unseen = dock is None or dock.visibleRegion().isEmpty()  # as behind another tab
        if is_unseen:
            self._told.add(points)
            told = f"whether the picks of “{plain(points.name)}” make sense in “{plain(image.name)}”"
            show_info(f"{DOCK_NAME}, under Plugins, tells {told}.")  # napari shows some forty letters until one asks

    def _tomogram(self) -> Image | None:
        """The topmost volume of ours, else of those that others opened the topmost that lies under the picks."""
        volumes = [layer for layer in reversed(self._viewer.layers) if is_volume(layer)]
        ours = (layer for layer in volumes if METADATA_KEY in layer.metadata)
        others = (layer for layer in volumes if self._points is not None and _lies_under(layer, self._points))
        return next(ours, None) or next(others, None)

    def _open_dock(self, notice: NoticeBar, of_points: ReferenceType[Layer], of_image: ReferenceType[Image]) -> None:
        from napari_cryoet._qt.check_dock import CheckDock  # takes its time, and few ask for it

        points, image = of_points(), of_image()
        notice.hide()
        if points is None or image is None:
            return
        frame, dock = self._viewer.window.add_plugin_dock_widget(PLUGIN_NAME, DOCK_NAME, tabify=True)
        assert isinstance(dock, CheckDock), "the manifest names the dock"  # noqa: S101
        frame.raise_()
        dock.choose(points, image)
        dock.start()


def _is_offering(notice: NoticeBar) -> bool:
    """Whether a notice offers something to do."""
    return not notice.isHidden() and not notice.action.isHidden()


def _is_ones_own(layer: Layer) -> bool:
    """Whether a layer was opened from a file that isn't an annotation as a portal or a pack has it.

    A file of another format, or with notes beside it, is an export: of it, its notes say which annotation it was once.
    """
    if layer.source.path is None:
        return False
    if about_of(layer).get("annotation_file_id") is None:
        return True
    path = Path(layer.source.path)  # which may be as long as the disk takes: one beside it is too long then
    return os.path.isfile(path) and (path.suffix.lower() != ".ndjson" or os.path.isfile(path_beside(path)))


def _lies_under(image: Image, points: Layer) -> bool:
    """Whether an image whose voxels have a known width lies where points are; those in pixels count in its voxels."""
    own, theirs = lengths_angstrom(points.units), lengths_angstrom(image.units)
    if theirs is None:
        return False
    box, room = points.extent.data, image.extent.data
    if own is not None:
        box, room = points.extent.world * own, image.extent.world * theirs
    return bool((box[1] >= room[0]).all() and (box[0] <= room[1]).all())  # of no points, these are no numbers
