"""The theme: colours for custom painting, icons, and `style.qss`, which extends napari's style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Final

import napari
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QByteArray, QObject, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QAction, QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QAbstractButton, QWidget

#: Kept and rejected picks: distinguishable with every kind of colour vision, in both themes.
KEPT_COLOR = QColor(0, 148, 106)
REJECTED_COLOR = QColor(222, 86, 42)
#: Fraction of the text colour in placeholders; Qt's half is hard to read.
PLACEHOLDER_SHARE: Final = 0.75
_STYLE: Final = Template(Path(__file__).with_name("style.qss").read_text(encoding="utf-8"))
GRID: Final = 16  # px, the side of an icon
_FINER: Final = 2
_DISABLED_OPACITY: Final = 0.35  # about as faint as napari draws disabled text
_FOLDER: Final = Path(__file__).with_name("icons")


@dataclass(frozen=True, slots=True)
class Colors:
    """Colours by purpose; text colours have a contrast of at least 4.5 on ``background``."""

    background: QColor
    raised: QColor  # fields, chips and placeholders on the background
    border: QColor
    text: QColor
    dim: QColor  # secondary text
    faint: QColor  # lines and icons that must not draw attention
    selection: QColor
    accent: QColor  # marks on the background that should draw attention
    warning: QColor


def blend(front: QColor, back: QColor, opacity: float) -> QColor:
    """``front`` over ``back`` with the given opacity."""
    channels = zip(front.getRgb()[:3], back.getRgb()[:3], strict=True)
    return QColor(*(round(opacity * over + (1 - opacity) * under) for over, under in channels))


def colors_of(theme_name: str) -> Colors:
    """The colours for one of napari's themes."""
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
    """The colours of a viewer's theme; ``changed`` reports a new theme or font size."""

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.colors = colors_of(viewer.theme)
        viewer.events.theme.connect(self._on_theme)
        get_settings().appearance.events.font_size.connect(self._on_theme)

    def style(self, widget: QWidget) -> None:
        """Apply our style sheet to a widget, now and after each theme change."""
        self._draw(widget, lambda: widget.setStyleSheet(style_sheet(self.colors)))

    def set_icon(self, control: QAbstractButton | QAction, name: str, color: str = "text") -> None:
        """Set a control's icon, now and after each theme change."""
        self._draw(control, lambda: control.setIcon(icon(name, getattr(self.colors, color))))

    def close(self) -> None:
        self._viewer.events.theme.disconnect(self._on_theme)
        get_settings().appearance.events.font_size.disconnect(self._on_theme)

    def _draw(self, owner: QObject, draw: Callable[[], None]) -> None:
        draw()
        self.changed.connect(_Redraw(owner, draw).draw)

    def _on_theme(self, _event: Any = None) -> None:
        self.colors = colors_of(self._viewer.theme)
        self.changed.emit()


class _Redraw(QObject):
    """Draws its parent again, and is disconnected when Qt deletes the parent."""

    def __init__(self, parent: QObject, draw: Callable[[], None]) -> None:
        super().__init__(parent)
        self._draw = draw

    def draw(self) -> None:
        self._draw()


def style_sheet(colors: Colors) -> str:
    """The style sheet of our docks and dialogs."""
    size_pt = (
        get_settings().appearance.font_size
    )  # napari sets it only for labels, buttons and lists
    names = {field.name: getattr(colors, field.name).name() for field in fields(colors)}
    return _STYLE.substitute(
        names,
        size_pt=size_pt,
        placeholder=blend(colors.text, colors.border, PLACEHOLDER_SHARE).name(),
        disabled=blend(colors.border, colors.background, 0.3).name(),
        kept=KEPT_COLOR.name(),
        rejected=REJECTED_COLOR.name(),
    )


def _color(color: Any) -> QColor:
    return QColor(*color.as_rgb_tuple()[:3])


# icons


def icon(name: str, color: QColor) -> QIcon:
    """An icon for a button, faint when the button is disabled."""
    result = QIcon(pixmap(name, color))
    faint = QColor(color)
    faint.setAlphaF(_DISABLED_OPACITY * color.alphaF())
    result.addPixmap(pixmap(name, faint), QIcon.Mode.Disabled)
    return result


def pixmap(name: str, color: QColor) -> QPixmap:
    """An icon as a pixmap at twice its grid's resolution, for high-density screens."""
    image = QPixmap(QSize(GRID * _FINER, GRID * _FINER))
    image.setDevicePixelRatio(_FINER)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    draw_icon(painter, name, QRectF(0, 0, GRID, GRID), color)
    painter.end()
    return image


def draw_icon(painter: QPainter, name: str, rect: QRectF, color: QColor) -> None:
    """Draw an icon into a rectangle."""
    svg = _read_svg(name).replace("currentColor", color.name())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setOpacity(painter.opacity() * color.alphaF())
    QSvgRenderer(QByteArray(svg.encode())).render(painter, rect)
    painter.restore()


@cache
def _read_svg(name: str) -> str:
    return (_FOLDER / f"{name}.svg").read_text(encoding="utf-8")
