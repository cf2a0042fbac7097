"""How fine what streams is shown: coarse only while the data saver says so, until somebody asks for more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.streaming.progressive import display_of
from napari_cryoet.streaming import Display

#: What views of each may need as long as nobody says more or less; a dock may be closed, and another one opened.
_usual_bytes: WeakKeyDictionary[Display, int] = WeakKeyDictionary()


def usual_bytes_of(display: Display) -> int:
    """How many bytes a view of a display may need, unless data are saved or somebody asked for more."""
    return _usual_bytes.setdefault(display, display.usual_view_bytes)


class Detail(QObject):
    """Sets how many bytes a view of each display may cost: none at all leaves it at its coarsest level.

    What is on this computer is never held coarse.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, link: LayerManager, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._link = viewer, link
        self._asked_bytes: WeakKeyDictionary[Display, int] = WeakKeyDictionary()
        self._is_asked_for = False  # full detail, of the plane that is shown
        link.changed.connect(self.update)
        link.streams_changed.connect(self.update)
        for event in self._moves():
            event.connect(self._on_move)

    @property
    def is_held_coarse(self) -> bool:
        """Whether something visible is shown coarser than it could be."""
        return any(self._is_held(display) for display in self._visible_displays())

    def load_full(self) -> None:
        """Show what is on screen as fine as it gets, until another plane is looked at."""
        self._is_asked_for = True
        self.update()
        for display in self._visible_displays():
            display.load_in_full()

    def ask_for(self, display: Display, asked_bytes: int | None) -> None:
        """Let a view of a display need so many bytes, since a person asked for that; None takes it back."""
        if asked_bytes is None:
            self._asked_bytes.pop(display, None)
        else:
            self._asked_bytes[display] = asked_bytes
        self.update()

    def update(self) -> None:
        """Let every display know how fine it may be."""
        for display in self._displays():
            usual_bytes, asked_bytes = usual_bytes_of(display), self._asked_bytes.get(display, 0)
            display.largest_view_bytes = asked_bytes if self._is_held(display) else max(usual_bytes, asked_bytes)
        self.changed.emit()

    def close(self) -> None:
        """Hear no more of the viewer."""
        for event in self._moves():
            event.disconnect(self._on_move)
        self._on_move()  # full detail is over, since nobody hears any more of another plane being looked at

    def _is_held(self, display: Display) -> bool:
        return display.pyramid.stays_coarse and not self._is_asked_for

    def _visible_displays(self) -> Iterator[Display]:
        return (display for layer, _ in self._link.streams() if layer.visible and (display := display_of(layer)))

    def _displays(self) -> Iterator[Display]:
        return (display for layer, _ in self._link.streams() if (display := display_of(layer)))

    def _moves(self) -> tuple[Any, ...]:
        events = self._viewer.dims.events
        return events.current_step, events.ndisplay, events.order

    def _on_move(self, _event: Any = None) -> None:
        if self._is_asked_for:
            self._is_asked_for = False
            self.update()
