"""A mark in napari's status bar while a streamed picture isn't exact: our dock, which says more, may not be open.

A click on it offers what can be done: stop, go on, load full detail.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

from qtpy.QtCore import QEvent, QObject, QPoint
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMainWindow, QMenu, QSizePolicy, QStatusBar

from napari_cryoet._qt.browser.main_window import main_window
from napari_cryoet._qt.browser.stream_words import LOAD_FULL_DETAIL, can_go_on, traffic_of, words_of
from napari_cryoet._qt.layers.ownership import real
from napari_cryoet._qt.streaming.napari_internals import delete_in_own_canvas
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_tooltip
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.wording import joined, names_text, plain, size_text

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_cryoet._qt.streaming.progressive import StreamState, StreamStatus

StreamOf = Callable[["Layer"], "StreamStatus | None"]

_LATE_MS: Final = 300  # what is exact before then gets no mark: nothing shall blink while one steps
_WIDEST_PX: Final = 220
_MARGIN_PX: Final = 8
STOP: Final = "Stop loading"
GO_ON: Final = "Go on loading"
_CLICK: Final = "A click offers: {actions}."
_marks: WeakKeyDictionary[ViewerModel, StreamMark] = WeakKeyDictionary()


def mark_in(viewer: ViewerModel, stream_of: StreamOf) -> None:
    """See to the mark of a viewer that has a window, also for layers that were there before they streamed."""
    viewer = real(viewer)
    mark = _marks.get(viewer)
    if mark is not None:
        mark.look()
        return
    window = main_window(viewer) if hasattr(viewer, "window") else None
    bar = window.statusBar() if isinstance(window, QMainWindow) else None
    if bar is not None:
        delete_in_own_canvas(window)  # of several windows that stream one may close, or show another kind of picture
        _marks[viewer] = StreamMark(viewer, bar, stream_of)


class StreamMark(QObject):
    """Says in a window how far the streamed layers are that are seen there; nothing where all of them are exact.

    Parameters
    ----------
    viewer
        Whose layers; not kept alive.
    bar
        Where it is said; keeps this alive.
    stream_of
        How a layer's picture is coming along, if it streams.
    """

    def __init__(self, viewer: ViewerModel, bar: QStatusBar, stream_of: StreamOf) -> None:
        super().__init__(bar)
        self._layers, self._stream_of = weakref.ref(viewer.layers), stream_of
        self._followed: WeakSet[StreamStatus] = WeakSet()
        self._is_closed = False
        self.label = ElidedLabel()
        self.label.setObjectName("streamMark")
        self.label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.label.installEventFilter(self)
        self.menu = QMenu(self.label)
        self.menu.setObjectName("streamMenu")
        bar.addWidget(self.label)  # left of what napari keeps at the right edge
        self.label.hide()
        self._late = single_shot(self, _LATE_MS, self._show)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self.look)
        bar.destroyed.connect(self._close)
        self.look()

    def look(self, _event: Any = None) -> None:
        """Follow whichever layers stream by now."""
        if self._is_closed:
            return
        for layer in self._layers() or ():
            stream = self._stream_of(layer)
            if stream is not None and stream not in self._followed:
                self._followed.add(stream)
                stream.changed.connect(self._on_state)
                layer.events.visible.connect(self._on_state)
        self._on_state()

    def _close(self) -> None:
        self._is_closed = True

    def _on_state(self, _change: Any = None) -> None:
        if self._is_closed:
            return
        if not self._inexact()[0]:
            self._late.stop()
            self.label.hide()
        elif self.label.isVisible():
            self._show()
        elif not self._late.isActive():
            self._late.start()

    def _show(self) -> None:
        words, more = self._inexact()
        self.label.setText(words)
        self.label.setAccessibleName(words)
        self.label.setToolTip(plain_tooltip(more))
        self.label.setFixedWidth(min(_WIDEST_PX, self.label.fontMetrics().horizontalAdvance(words) + _MARGIN_PX))
        self.label.setVisible(bool(words))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Offer what can be done where the mark is clicked."""
        if event is None or event.type() not in {QEvent.Type.MouseButtonPress, QEvent.Type.ContextMenu}:
            return super().eventFilter(watched, event)
        self.menu.clear()
        for words, act in self._actions():
            action = QAction(words, self.menu)
            action.triggered.connect(partial(self._do, act))
            self.menu.addAction(action)
        if not self.menu.isEmpty():
            self.menu.popup(self.label.mapToGlobal(QPoint(0, -self.menu.sizeHint().height())))
        return True

    def _actions(self) -> list[tuple[str, Callable[[StreamStatus], None]]]:
        """What can be done about pictures that aren't exact."""
        states = [state for _, state in self._late_layers()]
        full_bytes = sum(state.full_bytes for state in states if state.is_limited)
        offers = {
            STOP: (_stop, any(state.is_loading for state in states)),
            GO_ON: (_go_on, can_go_on(states)),
            f"{LOAD_FULL_DETAIL} ({size_text(full_bytes)})": (_load_in_full, full_bytes > 0),
        }
        return [(words, act) for words, (act, is_offered) in offers.items() if is_offered]

    def _do(self, act: Callable[[StreamStatus], None], _checked: bool = False) -> None:
        for layer, _ in self._late_layers():
            stream = self._stream_of(layer)
            if stream is not None:
                act(stream)

    def _inexact(self) -> tuple[str, str]:
        """What is to be known of pictures that aren't exact, short and with whose they are; empty where all are."""
        late = self._late_layers()
        if not late:
            return "", ""
        states = [state for _, state in late]
        traffic = traffic_of(states) if any(state.is_loading for state in states) else ""
        more = joined(f"{_names(late)}: {words_of(states)}", traffic)
        actions = ", ".join(f"“{words}”" for words, _ in self._actions())
        return words_of(states), f"{more}\n{_CLICK.format(actions=actions)}" if actions else more

    def _late_layers(self) -> list[tuple[Layer, StreamState]]:
        """The layers that are seen, of which something is to be known."""
        seen = [layer for layer in self._layers() or () if layer.visible]
        streams = [(layer, stream.state) for layer in seen if (stream := self._stream_of(layer)) is not None]
        return [(layer, state) for layer, state in streams if words_of([state])]


def _stop(stream: StreamStatus) -> None:
    stream.stop()


def _go_on(stream: StreamStatus) -> None:
    stream.retry()


def _load_in_full(stream: StreamStatus) -> None:
    if stream.state.is_limited:
        stream.load_in_full()


def _names(late: list[tuple[Layer, StreamState]]) -> str:
    return names_text([plain(layer.name) for layer, _ in late])
