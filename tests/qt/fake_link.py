"""Stand-ins for what the dock's line of status follows: a link to a viewer, and what may hold its layers coarse."""

from qtpy.QtCore import QObject, Signal


class OneLayer(QObject):
    """Stands for the link to a viewer with one streamed layer."""

    changed = Signal()
    streams_changed = Signal()
    appearance_changed = Signal(object)

    def __init__(self, layer, stream):
        super().__init__()
        self._layer, self._stream = layer, stream

    def coming(self):
        return []

    def streams(self):
        return [(self._layer, self._stream)]

    def stop(self):
        pass


class NothingHeld(QObject):
    """Stands for what may hold layers at a coarse level, and doesn't."""

    changed = Signal()
    is_held_coarse = False

    def load_full(self):
        pass
