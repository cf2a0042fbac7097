"""The status line at the bottom: loading progress, errors and limits, with a button to act on them."""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakSet

from napari.layers import Layer
from qtpy.QtCore import QObject
from qtpy.QtGui import QActionGroup
from qtpy.QtWidgets import QFrame, QHBoxLayout, QMenu, QSizePolicy

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.streaming.progressive import (
    PARTIAL_TEXT,
    SETTLE_MS,
    StreamState,
    StreamStatus,
    loading_text,
    offline_text,
)
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.viewer.detail import Detail, VolumeDetail
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    add_item,
    add_title,
    drop_menu,
    explain,
    push_button,
)
from napari_cryoet.wording import joined, plain, size_text


class StatusStrip(QFrame):
    """A line of text with Stop while data streams, Resume after a stop or a failure, or another action."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("statusStrip")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.label = ElidedLabel(name="statusText")
        self.levels = push_button("3D detail", lambda: drop_menu(self.levels_menu, self.levels))
        self.levels_menu = QMenu(self.levels)
        self.action = push_button("")
        self.retry = push_button("Resume", purpose="Resume loading")
        self.stop = push_button("Stop", purpose="Stop loading")
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 2, 0, 2)
        row.addWidget(self.label, 1)
        for button in (self.levels, self.action, self.retry, self.stop):
            row.addWidget(button)
        self.levels.hide()
        self.set_status("")

    def set_status(
        self, text: str, *, can_stop: bool = False, can_retry: bool = False, action: str = ""
    ) -> None:
        self.label.setMinimumHeight(
            self.stop.sizeHint().height()
        )  # keeps the layout still when the buttons disappear
        self.label.setText(text)
        self.label.setAccessibleName(text)
        self.stop.setVisible(can_stop)
        self.retry.setVisible(can_retry)
        self.action.setVisible(bool(action))
        self.action.setText(action)


class StreamWatch(QObject):
    """Shows the state of the visible layers in a `StatusStrip`.

    Stop and Resume apply to all streams.
    """

    def __init__(
        self,
        manager: LayerManager,
        strip: StatusStrip,
        detail: Detail,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._manager, self._strip, self._detail = manager, strip, detail
        self._is_closed = False
        self._said = ""  # about the records that are being opened
        self._followed: WeakSet[StreamStatus] = WeakSet()  # they live as long as their layers
        self._settle = single_shot(self, SETTLE_MS, self.update)
        manager.changed.connect(self._on_layers)
        manager.streams_changed.connect(self._on_layers)
        manager.appearance_changed.connect(self._schedule)
        manager.said.connect(self._on_said)
        strip.destroyed.connect(self.close)
        strip.stop.clicked.connect(self._stop)
        strip.retry.clicked.connect(self.retry)
        strip.action.clicked.connect(detail.load_full)
        detail.changed.connect(self._schedule)

    def update(self) -> None:
        if self._is_closed:
            return
        if self._manager.coming():
            n_added, n_records = self._manager.progress
            which = f" {n_added + 1} of {n_records}" if n_records > 1 else ""
            self._strip.set_status(joined(f"opening{which}…", self._said), can_stop=True)
            self._said = ""
        else:
            self._show(
                [
                    (layer, stream.state)
                    for layer, stream in self._manager.streams()
                    if layer.visible
                ]
            )

    def retry(self) -> None:
        for _, stream in self._manager.streams():
            stream.retry()
        self.update()

    def close(self) -> None:
        self._is_closed = True
        self._settle.stop()

    def _show(self, visible: list[tuple[Layer, StreamState]]) -> None:
        states, strip = [state for _, state in visible], self._strip
        failed = next(
            ((layer, state.error) for layer, state in visible if state.error is not None), None
        )
        if failed is not None:
            strip.set_status(joined(_name_of(failed[0]), plain(str(failed[1]))), can_retry=True)
        elif any(state.is_coming and not state.is_stopped for state in states):
            strip.set_status(joined(offline_text(states), loading_text(states)), can_stop=True)
        elif any(state.is_stopped and not state.is_exact for state in states):
            strip.set_status("stopped", can_retry=True)
        elif any(state.is_partial for state in states):
            strip.set_status(joined(offline_text(states), PARTIAL_TEXT))
        elif any(state.is_limited for state in states):
            full_bytes = sum(state.full_bytes for state in states)
            is_held = self._detail.is_held_coarse
            cost = f" ({size_text(full_bytes)})" if full_bytes and not is_held else ""
            text = "coarse only" if is_held else "coarser level"
            strip.set_status(joined(offline_text(states), text), action=f"Load full detail{cost}")
        else:
            strip.set_status(offline_text(states))

    def _on_layers(self) -> None:
        for _layer, stream in self._manager.streams():
            if stream not in self._followed:
                self._followed.add(stream)
                stream.changed.connect(self._schedule)
        self.update()

    def _schedule(self, _change: Any = None) -> None:
        if not self._settle.isActive():
            self._settle.start()

    def _on_said(self, text: str) -> None:
        self._said = text
        self._schedule()

    def _stop(self) -> None:
        self._manager.stop()
        for _, stream in self._manager.streams():
            stream.stop()
        self.update()


class LevelsMenu(QObject):
    """Offers the levels of volumes in a menu of the `StatusStrip` during 3D display."""

    def __init__(
        self,
        manager: LayerManager,
        strip: StatusStrip,
        volumes: VolumeDetail,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._strip, self._volumes = strip, volumes
        manager.changed.connect(self.update)
        volumes.changed.connect(self.update)
        self.update()

    def update(self) -> None:
        volumes, menu = self._volumes, self._strip.levels_menu
        layers = volumes.volumes() if volumes.is_3d else ()
        menu.clear()
        shown = []
        for layer in layers:
            add_title(menu, f"3D detail of {layer.name}")
            shown += self._add_levels(layer)
        explain(self._strip.levels, f"3D detail: {'; '.join(shown)}")
        self._strip.levels.setVisible(bool(layers))

    def _add_levels(self, layer: Layer) -> list[str]:
        """Add an item for each level, coarsest first, and return the texts of chosen ones."""
        menu, volumes = self._strip.levels_menu, self._volumes
        group, shown = QActionGroup(menu), []
        for cost in volumes.levels(layer):
            text, is_chosen = (
                f"level {cost.level}, {size_text(cost.wire_bytes)}",
                cost.level == volumes.chosen(layer),
            )
            shown += [text] if is_chosen else []
            limit = f" – too large for the {cost.obstacle}" if cost.obstacle is not None else ""
            action = add_item(menu, f"{text}{limit}", partial(volumes.choose, layer, cost.level))
            action.setCheckable(True)
            action.setChecked(is_chosen)
            action.setEnabled(not limit)
            action.setActionGroup(group)
        return shown


def _name_of(layer: Layer) -> str:
    """The name of the layer's run, or of the layer."""
    return plain(about_of(layer).run_name or layer.name)
