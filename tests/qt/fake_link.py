"""Stand-ins for what the dock's line of status follows: a link to a viewer, and what may hold its layers coarse."""

from types import SimpleNamespace

from qtpy.QtCore import QObject, Signal


class OneLayer(QObject):
    """Stands for the link to a viewer with one streamed layer."""

    changed = Signal()
    appearance_changed = Signal(object)

    def __init__(self, layer, stream):
        super().__init__()
        self._layer, self._stream = layer, stream

    def shown(self):
        return ["tomogram"]

    def coming(self):
        return []

    def appearance(self, _key):
        return SimpleNamespace(is_visible=True)

    def stream_of(self, _key):
        return self._stream

    def display_of(self, _key):
        return self._layer._slicing_state.display

    def layers_of(self, _key):
        return [self._layer]

    def stop(self):
        pass


class NothingHeld(QObject):
    """Stands for what may hold layers at a coarse level, and doesn't."""

    changed = Signal()
    is_held_coarse = False
