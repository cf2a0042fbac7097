"""A further view of a viewer's layers, across another axis: its own canvas, the same data, the same cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from napari.qt import QtViewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QOpenGLContext, QResizeEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cryoet._qt.browser.stream_words import SETTLE_MS, can_go_on, words_of
from napari_cryoet._qt.ortho.crosshair import CrosshairOverlay, remove_crosshair, show_crosshair
from napari_cryoet._qt.ortho.mirrors import Mirror, why_not_mirrored
from napari_cryoet._qt.ortho.plane_controls import PlaneControls
from napari_cryoet._qt.ortho.planes import AXIS_NAMES, Plane, unit_of
from napari_cryoet._qt.ortho.shared_cursor import SharedCursor
from napari_cryoet._qt.streaming.napari_internals import delete_in_own_canvas
from napari_cryoet._qt.streaming.progressive import StreamState
from napari_cryoet._qt.widgets.dock import COMMAND_KEYS
from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.sliders import move_sliders
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.wording import joined

_FILLED: Final = 0.96
_DRAG_MS: Final = 200  # a dock that is dragged may be in several windows before it comes to rest


class PlaneView(QWidget):
    """Shows the layers of a main viewer in another plane, once `go_on` has said that there is nothing more to make.

    The left button moves the cursor, the wheel steps through planes, Ctrl and the wheel zoom, and the right or the
    middle button, or Shift and the left, pan. Arrow keys move the cursor by a voxel, Page up and down step, plus and
    minus zoom, and Home shows all of the plane.
    """

    camera_moved = Signal()  # by the person, not by `look_at`
    fit_requested = Signal()
    told = Signal()  # the label says how far the picture is now: ask `can_go_on`
    canvas_lost = Signal()  # it came into another window: `go_on` makes all of it again

    def __init__(self, plane: Plane, main: ViewerModel, cursor: SharedCursor, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plane = plane
        self._main, self._cursor = main, cursor
        self._controls = PlaneControls(plane, main, cursor, self)
        self._controls.camera_moved.connect(self._on_camera)
        self._controls.fit_requested.connect(self.fit_requested)
        self.model = self._make_model()
        self.mirrors: list[Mirror] = []
        self.qt_viewer: QtViewer | None = None
        self._context: QOpenGLContext | None = None
        self._crosshair: CrosshairOverlay | None = None
        self._is_fitted, self._is_active, self._is_complete, self._is_closed = True, True, False, False
        self._look: tuple[tuple[float, ...], float] | None = None  # to go on with in another canvas
        self.setObjectName("plane")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)  # else its frame, which shows the keys, isn't drawn
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(f"{plane.name} plane")
        self.label = ElidedLabel()
        self.label.setObjectName("dimText")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(2, 1, 2, 2)
        self._column.setSpacing(2)
        self._column.addWidget(self.label)
        self._column.addStretch(1)  # until there is a canvas
        self._fit_again = single_shot(self, 0, self._on_resized)
        self._tell_soon = single_shot(self, SETTLE_MS, self._tell)
        self._begin_again = single_shot(self, _DRAG_MS, self._end_lost_canvas)
        for emitter, slot in self._connections():
            emitter.connect(slot)
        cursor.moved.connect(self._follow_soon)

    def go_on(self) -> bool:
        """Make the next part of the view: the canvas, or a layer's copy; False where all is made.

        Each takes a good part of a second, which nobody notices if the window lives in between.
        """
        if self._is_closed or self._is_complete or self._begin_again.isActive():
            return False
        if self.qt_viewer is None:
            self._open_canvas()
            return True
        known = {id(mirror.layer) for mirror in self.mirrors}
        layer = next((each for each in self._main.layers if id(each) not in known and not why_not_mirrored(each)), None)
        if layer is not None:
            self._mirror(layer)
        if self._look is None:
            self.fit()
        elif layer is None:  # napari looks at the first layer as a whole
            camera = self.model.scene.camera
            camera.center, camera.zoom = self._look
            self._look = None
        self._move_there()
        self._is_complete = layer is None
        return not self._is_complete

    def _make_model(self) -> ViewerModel:
        model = ViewerModel(title=self.plane.name)
        model.theme = self._main.theme
        # no status line is there to tell what is under the mouse, which napari would look up in all layers at each step
        model.cursor.events.position.disconnect(model.update_status_from_cursor)
        self._controls.take_over(model)
        return model

    def _open_canvas(self) -> None:
        self.qt_viewer = QtViewer(self.model)
        delete_in_own_canvas(self.qt_viewer)
        self.qt_viewer.dims.hide()
        self._keep_to_itself(self.qt_viewer)
        self._crosshair = show_crosshair(self.model)
        self._column.takeAt(self._column.count() - 1)
        self._column.addWidget(self.qt_viewer, 1)
        self.qt_viewer.canvas.native.resized.connect(self._watch_context)  # also when it gets its first

    def _close_layers(self) -> None:
        for mirror in self.mirrors:
            mirror.close()
        self.mirrors.clear()
        remove_crosshair(self.model)
        self._crosshair = None
        self.model.layers.clear()

    def _close_canvas(self) -> None:
        self._close_layers()
        if self._context is not None:
            self._context.aboutToBeDestroyed.disconnect(self._on_context_lost)
            self._context = None
        if self.qt_viewer is not None:
            self.qt_viewer.canvas.native.resized.disconnect(self._watch_context)
            self.qt_viewer.close()
            self.qt_viewer.deleteLater()
            self.qt_viewer = None  # napari counts those that are left

    def _watch_context(self) -> None:
        context = None if self.qt_viewer is None else self.qt_viewer.canvas.native.context()
        if context is not None and context is not self._context:
            self._context = context
            context.aboutToBeDestroyed.connect(self._on_context_lost)

    def _on_context_lost(self) -> None:
        """Draw no more: in another window Qt gives a canvas another context, which knows nothing of the one before.

        What it drew is deleted now. The other context may have things of the main viewer's under the same numbers.
        """
        if self.qt_viewer is None or self._is_closed:
            return
        if self.mirrors:
            camera = self.model.scene.camera
            self._look = None if self._is_fitted else (camera.center, camera.zoom)
            self._close_layers()
        self.qt_viewer.canvas.native.setUpdatesEnabled(False)
        self._is_complete, self._context = False, None
        self._begin_again.start()

    def _end_lost_canvas(self) -> None:
        if self._is_closed or self.qt_viewer is None:
            return
        self._column.removeWidget(self.qt_viewer)
        self._close_canvas()
        self.model = self._make_model()  # napari's widgets don't let go of theirs
        self._take_on_slab()
        self._column.addStretch(1)
        self.canvas_lost.emit()

    def left_out(self) -> list[str]:
        """Why layers of the main viewer aren't shown, each in a sentence."""
        return [f"{layer.name} {why}." for layer in self._main.layers if (why := why_not_mirrored(layer))]

    def fit(self) -> None:
        """Show all of the plane, also after the view has been given another size, until the person zooms."""
        self._is_fitted = True
        zoom = self.zoom_in(*self._canvas_px())
        if zoom:
            low, high = np.nan_to_num(self.model.layers.extent.world)
            self.look_at(tuple((low + high)[-3:] / 2), zoom)

    def zoom_in(self, width_px: int, height_px: int) -> float:
        """The zoom at which all of the plane is seen in a canvas of a size; 0 where there is nothing to see."""
        if not self.model.layers:
            return 0.0
        low, high = np.nan_to_num(self.model.layers.extent.world)
        sizes = (high - low)[-3:] + np.asarray(self.model.layers.extent.step)[-3:]
        return _FILLED * max(0.0, float(min(width_px / sizes[self.plane.right], height_px / sizes[self.plane.down])))

    def look_at(self, center_zyx: tuple[float, ...], zoom: float) -> None:
        """Put a place of the world in the middle of the view; ``zoom`` is in canvas pixels for an ångström."""
        camera = self.model.scene.camera
        camera.center = (0.0, float(center_zyx[self.plane.down]), float(center_zyx[self.plane.right]))
        camera.zoom = float(zoom)

    def center(self) -> dict[int, float]:
        """What is in the middle of the view: down and right, by axis counted from the last."""
        _, down, right = self.model.scene.camera.center
        return {self.plane.down: down, self.plane.right: right}

    def set_active(self, is_active: bool) -> None:
        """Fetch and draw, or while nobody sees it don't."""
        self._is_active = is_active
        for mirror in self.mirrors:
            mirror.set_active(is_active)
        if is_active:
            self._move_there()

    def _connections(self) -> Iterator[tuple[Any, Callable[..., None]]]:
        """What is heard of the main viewer, and by whom."""
        layers, dims = self._main.layers.events, self._main.dims.events
        yield layers.inserted, self._on_inserted
        yield layers.removed, self._on_removed
        yield layers.reordered, self._put_in_order
        yield from ((emitter, self._on_batch) for emitter in (layers.begin_batch, layers.end_batch))
        yield from ((emitter, self._take_on_slab) for emitter in (dims.margin_left, dims.margin_right))
        yield self._main.events.theme, self._take_on_theme

    def close_down(self) -> None:
        """Let go of the main viewer and end everything of this view."""
        if self._is_closed:
            return
        self._is_closed = True
        for emitter, slot in self._connections():
            emitter.disconnect(slot)
        self._cursor.turns.withdraw(self._move_there)
        self._fit_again.stop()
        self._tell_soon.stop()
        self._begin_again.stop()
        self._cursor.moved.disconnect(self._follow_soon)
        self._close_canvas()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """A plane that was shown whole stays so."""
        super().resizeEvent(event)
        self._fit_again.start()  # the canvas has its new size only then

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Some keys move the cursor, or the view."""
        if event is None or event.modifiers() & COMMAND_KEYS or not self._controls.press(event):
            super().keyPressEvent(event)

    # layers

    def _mirror(self, layer: Layer) -> None:
        if why_not_mirrored(layer):
            return
        mirror = Mirror(layer, self.model, self._main, self)
        mirror.replaced.connect(partial(self._renew, mirror))
        mirror.told.connect(self._on_state)
        self.mirrors.append(mirror)
        self.model.layers.append(mirror.copy)
        if not self._is_active:
            mirror.set_active(False)
        self.model.layers.selection.clear()  # no layer's mode may take the mouse
        self._turn()
        self._put_in_order()

    def _on_inserted(self, event: Any) -> None:
        if not self._is_complete:
            return  # its turn comes
        self._mirror(event.value)
        if self._is_fitted:
            self.fit()
        self._follow_soon()

    def _on_removed(self, event: Any) -> None:
        for mirror in [each for each in self.mirrors if each.layer is event.value]:
            self._let_go(mirror)

    def _renew(self, mirror: Mirror) -> None:
        """Show what a layer has been given instead of what it had, if that can be shown."""
        self._let_go(mirror)
        self._mirror(mirror.layer)
        if self._is_fitted:
            self.fit()
        self._follow_soon()

    def _on_batch(self, event: Any) -> None:
        """Let layers that come or go together do so here, too: napari looks for garbage once then, not for each."""
        getattr(self.model.layers.events, event.type)()

    def _let_go(self, mirror: Mirror) -> None:
        self.mirrors.remove(mirror)
        mirror.close()
        self.model.layers.remove(mirror.copy)
        mirror.deleteLater()

    def _put_in_order(self, _event: Any = None) -> None:
        copies = {id(mirror.layer): mirror.copy for mirror in self.mirrors}
        wanted = [copies[id(layer)] for layer in self._main.layers if id(layer) in copies]
        for place, copy in enumerate(wanted):
            now = self.model.layers.index(copy)
            if now != place:
                self.model.layers.move(now, place)

    # dims

    def _turn(self) -> None:
        """Show this plane, of however many axes."""
        ndim = self.model.dims.ndim
        if ndim >= 3:
            others = tuple(range(ndim - 3))
            self.model.dims.order = (*others, *(ndim + axis for axis in self._axes()))

    def _axes(self) -> tuple[int, int, int]:
        return self.plane.across, self.plane.down, self.plane.right

    def _follow_soon(self) -> None:
        self._cursor.turns.ask(self._move_there)

    def _move_there(self) -> None:
        """Slice where the cursor is, if that is another plane; the crosshair moves in any case."""
        position = self._cursor.position[-self.model.dims.ndim :]
        if len(position) != self.model.dims.ndim or len(position) < 3:
            return
        across = len(position) + self.plane.across
        moves = [*range(len(position) - 3), across]
        move_sliders(self.model.dims, {axis: position[axis] for axis in moves})
        if self._crosshair is not None:
            self._crosshair.position = position
        for mirror in self.mirrors:
            mirror.update_budget()
        self._tell()

    @property
    def can_go_on(self) -> bool:
        """Whether something of the plane failed or was stopped."""
        return can_go_on(self._states())

    def retry(self) -> None:
        """Ask again for what failed or was stopped."""
        for mirror in self.mirrors:
            if mirror.stream is not None:
                mirror.stream.retry()

    def _states(self) -> list[StreamState]:
        return [state for mirror in self.mirrors if (state := mirror.state) is not None]

    def _on_state(self) -> None:
        if not self._tell_soon.isActive():
            self._tell_soon.start()

    def _tell(self) -> None:
        """Say which plane it is, and how far its picture is while it isn't exact."""
        position = self._cursor.position
        if len(position) >= 3:
            place = f"{AXIS_NAMES[self.plane.across]} {position[self.plane.across]:,.0f} {unit_of(self.model)}"
            self.label.setText(joined(self.plane.name, place.rstrip(), words_of(self._states())))
        self.told.emit()

    def _take_on_slab(self, _event: Any = None) -> None:
        """As thick a slab across this plane as the main viewer shows across its own."""
        dims, main = self.model.dims, self._main.dims
        if dims.ndim < 3 or not main.not_displayed:
            return
        across = dims.ndim + self.plane.across
        for side in ("margin_left", "margin_right"):
            margins = list(getattr(dims, side))
            margins[across] = getattr(main, side)[main.not_displayed[-1]]
            setattr(dims, side, tuple(margins))

    def _on_camera(self) -> None:
        self._is_fitted = False
        self.camera_moved.emit()

    # Qt

    def _on_resized(self) -> None:
        if self._is_fitted:
            self.fit()

    def _canvas_px(self) -> tuple[int, int]:
        if self.qt_viewer is None:
            return 0, 0
        native = self.qt_viewer.canvas.native
        return native.width(), native.height()

    def _keep_to_itself(self, qt_viewer: QtViewer) -> None:
        """Files aren't dropped here, and napari's keys would turn the view: they go to this widget."""
        native = qt_viewer.canvas.native
        for widget in (qt_viewer, native, *native.findChildren(QWidget)):
            widget.setAcceptDrops(False)
        native.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        native.setFocusProxy(self)

    def _take_on_theme(self, _event: Any = None) -> None:
        self.model.theme = self._main.theme
