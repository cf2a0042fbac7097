"""One button that opens the chosen tomogram, says before what that costs, and stops it while it loads."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.widgets.elided_button import ElidedButton
from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.records import Tomogram
from napari_cryoet.run.outline import first_sight_bytes, is_openable
from napari_cryoet.wording import size_text


class OpenButton(ElidedButton):
    """``Open  ≈ 7 MB to first sight``, ``Stop  3.1 of 7 MB``, ``Open already``."""

    open_requested = Signal()
    stop_requested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._tomogram: Tomogram | None = None
        self._opened: frozenset[int] = frozenset()
        self._loading: str | None = None
        self.setIconSize(QSize(14, 14))
        self.clicked.connect(self._on_clicked)
        theme.changed.connect(self._update)
        self._update()

    def set_tomogram(self, tomogram: Tomogram) -> None:
        """Offer to open this one."""
        self._tomogram = tomogram
        self._update()

    def set_opened(self, tomogram_ids: Iterable[int]) -> None:
        """Say which tomograms are layers already."""
        self._opened = frozenset(tomogram_ids)
        self._update()

    def set_loading(self, done_bytes: int = 0, total_bytes: int | None = None) -> None:
        """Become a Stop that counts bytes."""
        done = size_text(done_bytes)
        self._loading = f"{done} of {size_text(total_bytes)}" if total_bytes else done if done_bytes else ""
        self._update()

    def set_idle(self) -> None:
        """Become an Open again."""
        self._loading = None
        self._update()

    @property
    def is_loading(self) -> bool:
        """Whether a click stops."""
        return self._loading is not None

    def _on_clicked(self) -> None:
        (self.stop_requested if self.is_loading else self.open_requested).emit()

    def _update(self) -> None:
        tomogram = self._tomogram
        self.setEnabled(tomogram is not None and is_openable(tomogram))
        if self._loading is not None:
            self._show("stop", f"Stop  {self._loading}".rstrip(), "Stop opening the tomogram")
            self.setEnabled(True)
        elif tomogram is None or not is_openable(tomogram):
            self._show("volume", "No file to open", "The portal lists no OME-Zarr and no MRC file for this tomogram")
        elif tomogram.id in self._opened:
            self._show("eye", "Go to its layer", "This tomogram is open; choose its layer in the viewer")
        else:
            cost = size_text(first_sight_bytes(tomogram))
            self._show("volume", f"Open  ≈ {cost} to first sight", "Open the chosen tomogram as a layer (Enter)")

    def _show(self, icon_name: str, text: str, purpose: str) -> None:
        self.setIcon(icon(icon_name, self._theme.colors.text))
        self.setText(f" {text}")  # napari's style leaves no room between icon and text
        self.setToolTip(purpose)
        self.setAccessibleName(f"{text}. {purpose}")
