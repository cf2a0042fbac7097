"""Ticks whose words go on in a second line where letters are too large for one."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QCheckBox, QSizePolicy

from napari_cryoet._qt.widgets.letters import keep_fitted


def wrap_words(tick: QCheckBox) -> None:
    """Let a tick with several words be about half as wide as they are, and break them there."""
    fitted = _Wrapped(tick)
    tick.setSizePolicy(QSizePolicy.Policy.Ignored, tick.sizePolicy().verticalPolicy())
    tick.installEventFilter(fitted)
    keep_fitted(tick, fitted.fit)


class _Wrapped(QObject):
    """Breaks the words of its parent."""

    def __init__(self, tick: QCheckBox) -> None:
        super().__init__(tick)
        self._tick, self._words = tick, tick.text()
        first, second = _halves(self._words)
        self._broken = f"{first}\n{second}"

    def fit(self) -> None:
        """Break them if there is no room, and only then."""
        tick, metrics = self._tick, self._tick.fontMetrics()
        beside = tick.sizeHint().width() - max(map(metrics.horizontalAdvance, tick.text().split("\n")))
        tick.setMinimumWidth(beside + max(map(metrics.horizontalAdvance, self._broken.split("\n"))))
        text = self._words if metrics.horizontalAdvance(self._words) + beside <= tick.width() else self._broken
        if text != tick.text():
            tick.setText(text)

    def eventFilter(self, _tick: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.Resize:
            self.fit()
        return False


def _halves(words: str) -> tuple[str, str]:
    """Words in two parts that are about as long."""
    gaps = [place for place, letter in enumerate(words) if letter == " "]
    middle = min(gaps, key=lambda place: abs(place - len(words) / 2))
    return words[:middle], words[middle + 1 :]
