"""Has what nobody looks at yet wait until a streamed layer's first picture that gets no better has been drawn.

A window takes a while to draw a new layer. What is fetched ahead is on the line meanwhile, and holds up threads that
the window waits for, though nobody can have moved on from what they don't see yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qtpy.QtCore import QMetaObject, QObject

from napari_cryoet._qt.active_layer import real
from napari_cryoet._qt.main_window import canvas_of
from napari_cryoet._qt.timers import single_shot

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_cryoet.streaming.display import Display

_LONGEST_MS: Final = 2000  # a window may be hidden or minimised, and is not drawn then


class FirstDrawing(QObject):
    """Releases a display: first what is looked at, and what is ahead of it once that has been drawn.

    Parameters
    ----------
    display
        What is fetched by; None where there is nothing to release.
    """

    def __init__(self, display: Display | None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._display = display
        self._canvases: list[QMetaObject.Connection] = []
        self._is_over = display is None
        self._is_next = False  # whether what is drawn next is that picture
        self._longest = single_shot(self, _LONGEST_MS, self._end)

    def follow(self, viewer: ViewerModel) -> None:
        """Await it in a viewer, too, if that has a window."""
        canvas = None if self._is_over else canvas_of(real(viewer))
        if canvas is not None:
            self._canvases.append(canvas.frameSwapped.connect(self._on_drawn))

    def begin(self) -> None:
        """Have fetched what is looked at, and what is ahead of it, too, where no window was named to draw it."""
        if self._display is None:
            return
        self._is_over = self._is_over or not self._canvases
        self._display.release(ahead=self._is_over)

    def note_slice(self) -> None:
        """Note that a window will draw what has just been sliced."""
        if self._is_over or self._display is None:
            return
        state = self._display.state
        self._is_next = state.is_settled and not state.is_stopped  # of a layer that has left nothing is drawn
        if self._is_next and not self._longest.isActive():
            self._longest.start()

    def stop(self) -> None:
        """Await it no more, and release nothing."""
        self._is_over = True
        self._longest.stop()
        for canvas in self._canvases:
            self.disconnect(canvas)  # type: ignore[call-arg] # PyQt6's stubs lack it; it may be gone with its window
        self._canvases.clear()

    def _on_drawn(self) -> None:
        if self._is_next:
            self._longest.start(0)  # once the window has nothing more to paint

    def _end(self) -> None:
        self.stop()
        if self._display is not None:
            self._display.release()
