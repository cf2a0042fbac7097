"""The viewer's theme as the colours that our own painting needs, and word when it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QColor

if TYPE_CHECKING:
    import napari

#: What was kept and what was rejected: told apart with every kind of colour vision, and in both themes.
KEPT_COLOR = QColor(0, 148, 106)
REJECTED_COLOR = QColor(222, 86, 42)


@dataclass(frozen=True, slots=True)
class Colors:
    """Colours by what they are for; text colours keep a contrast of 4.5 or more on ``background``."""

    background: QColor
    raised: QColor  # fields, chips and placeholders on the background
    border: QColor
    text: QColor
    dim: QColor  # text of second rank
    faint: QColor  # lines and icons that must not draw the eye
    selection: QColor
    accent: QColor  # marks that should draw the eye, on the background
    warning: QColor


def blend(front: QColor, back: QColor, share: float) -> QColor:
    """``front`` over ``back`` with an opacity of ``share``."""
    channels = zip(front.getRgb()[:3], back.getRgb()[:3], strict=True)
    return QColor(*(round(share * over + (1 - share) * under) for over, under in channels))


def colors_of(theme_name: str) -> Colors:
    """The colours that belong to one of napari's themes."""
    theme = get_theme(theme_name)
    background, text = _color(theme.background), _color(theme.text)
    is_dark = background.lightnessF() < 0.5
    return Colors(
        background=background,
        raised=_color(theme.foreground),
        border=_color(theme.primary),
        text=text,
        dim=blend(text, background, 0.68),
        faint=blend(text, background, 0.4),
        selection=_color(theme.current),
        accent=QColor(122, 162, 255) if is_dark else QColor(38, 78, 190),
        warning=_color(theme.warning) if is_dark else QColor(128, 84, 0),
    )


class Theme(QObject):
    """The colours of a viewer's theme, whichever it is at the time; changes with the size of its letters, too."""

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.colors = colors_of(viewer.theme)
        viewer.events.theme.connect(self._on_theme)
        get_settings().appearance.events.font_size.connect(self._on_theme)

    @property
    def name(self) -> str:
        """What napari calls it."""
        return str(self._viewer.theme)

    def close(self) -> None:
        """Hear no more of the viewer."""
        self._viewer.events.theme.disconnect(self._on_theme)
        get_settings().appearance.events.font_size.disconnect(self._on_theme)

    def _on_theme(self, _event: Any = None) -> None:
        self.colors = colors_of(self._viewer.theme)
        self.changed.emit()


def _color(color: Any) -> QColor:
    return QColor(*color.as_rgb_tuple()[:3])
