"""One place in a tomogram that several views look at: it follows the main viewer's sliders, and moves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.ownership import active_layer
from napari_cryoet._qt.ortho.crosshair import remove_crosshair, show_crosshair
from napari_cryoet._qt.streaming.turns import Turns
from napari_cryoet._qt.widgets.sliders import move_sliders
from napari_cryoet._qt.widgets.timers import single_shot

_STILL_MS: Final = 150
_PLAIN_MODES: Final = frozenset({"pan_zoom", "transform"})


class SharedCursor(QObject):
    """The cursor of a viewer, in world coordinates of all its axes.

    The sliders across the plane that the viewer shows move in the viewer's turn; further views ask for turns of their
    own. Those along it change nothing that is seen there, but napari would slice all layers again; they follow when the
    cursor is still.

    A click in the plane moves the cursor there, and so does dragging with Shift held; in modes that edit a layer the
    mouse belongs to the layer.
    """

    moved = Signal()  # ask `position`

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._position = tuple(float(at) for at in viewer.dims.point)
        self._seen = self._position
        self._is_moving_dims = False
        self.turns = Turns(self)
        self._later = single_shot(self, _STILL_MS, lambda: self.turns.ask(self._move_along))
        self._crosshair = show_crosshair(viewer)
        viewer.dims.events.point.connect(self._on_dims)
        viewer.dims.events.ndim.connect(self._on_dims)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        self._show()

    @property
    def position(self) -> tuple[float, ...]:
        """Where it is."""
        return self._position

    def move_to(self, places: Mapping[int, float]) -> None:
        """Move it along some axes, as far as the sliders go."""
        position = list(self._position)
        for axis, place in places.items():
            start, stop, _ = self._viewer.dims.range[axis]
            position[axis] = min(max(float(place), start), stop)
        if tuple(position) != self._position:
            self._position = tuple(position)
            self.turns.ask(self._move_across)
            self.moved.emit()

    def set_shown(self, is_shown: bool) -> None:
        """Draw the crosshair in the viewer, or while nobody sees the other views don't."""
        if self._crosshair is not None:
            self._crosshair.visible = is_shown

    def close(self) -> None:
        """Let go of the viewer; its sliders stay where the cursor was."""
        if not self.turns.is_idle or self._later.isActive():
            self._move_along()
        self.turns.stop()
        self._later.stop()
        self._viewer.dims.events.point.disconnect(self._on_dims)
        self._viewer.dims.events.ndim.disconnect(self._on_dims)
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        remove_crosshair(self._viewer)

    def _on_dims(self, _event: Any = None) -> None:
        """Follow the axes that somebody else moved."""
        point = tuple(float(at) for at in self._viewer.dims.point)
        before, self._seen = self._seen, point
        if self._is_moving_dims:
            return
        if len(point) != len(self._position):
            self._position = point
        else:
            self._position = tuple(
                now if now != was else mine for now, was, mine in zip(point, before, self._position, strict=True)
            )
        self.turns.take()  # the viewer's
        self._show()
        self.moved.emit()

    def _move_across(self) -> None:
        dims = self._viewer.dims
        self._show()  # now and not before, or the viewer would be painted twice
        self._move_dims([axis for axis in range(dims.ndim) if axis not in dims.displayed])
        self._later.start()

    def _move_along(self) -> None:
        self._move_dims(range(self._viewer.dims.ndim))

    def _move_dims(self, axes: Any) -> None:
        self._is_moving_dims = True
        try:
            move_sliders(self._viewer.dims, {axis: self._position[axis] for axis in axes})
        finally:
            self._is_moving_dims = False

    def _on_drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """A click moves the cursor, a drag pans as ever; with Shift a drag moves the cursor."""
        if event.button != 1 or viewer.dims.ndisplay != 2 or not self._may_take_mouse():
            return
        camera, takes_drag = viewer.scene.camera, "Shift" in event.modifiers
        pans, is_dragged = camera.mouse_pan, False
        if takes_drag:
            camera.mouse_pan = False
            self._move_to_mouse(event)
        try:
            yield
            while event.type == "mouse_move":
                is_dragged = True
                if takes_drag:
                    self._move_to_mouse(event)
                yield
        finally:
            if takes_drag:
                camera.mouse_pan = pans
        if not is_dragged and not takes_drag:
            self._move_to_mouse(event)

    def _move_to_mouse(self, event: Any) -> None:
        self.move_to({axis: event.position[axis] for axis in self._viewer.dims.displayed})

    def _may_take_mouse(self) -> bool:
        active = active_layer(self._viewer.layers)
        return active is None or str(getattr(active, "mode", "pan_zoom")) in _PLAIN_MODES

    def _show(self) -> None:
        if self._crosshair is not None:
            self._crosshair.position = self._position
