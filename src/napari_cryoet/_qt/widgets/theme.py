"""The theme: colours for custom painting, the style sheet `style.qss` that extends napari's, and icons."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QByteArray, QObject, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QAction, QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QAbstractButton, QWidget

if TYPE_CHECKING:
    import napari


#: Kept and rejected picks: distinguishable with every kind of colour vision, in both themes.
KEPT_COLOR = QColor(0, 148, 106)
REJECTED_COLOR = QColor(222, 86, 42)
#: Fraction of the text colour in placeholders; Qt's half is hard to read.
PLACEHOLDER_SHARE: Final = 0.75
_STYLE: Final = Template(Path(__file__).with_name("style.qss").read_text(encoding="utf-8"))


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
        widget.setStyleSheet(style_sheet(self.colors))
        self.changed.connect(lambda: widget.setStyleSheet(style_sheet(self.colors)))

    def set_icon(self, control: QAbstractButton | QAction, name: str, color: str = "text") -> None:
        """Set a control's icon, now and after each theme change."""

        def draw() -> None:
            control.setIcon(icon(name, getattr(self.colors, color)))

        draw()
        self.changed.connect(draw)

    def close(self) -> None:
        self._viewer.events.theme.disconnect(self._on_theme)
        get_settings().appearance.events.font_size.disconnect(self._on_theme)

    def _on_theme(self, _event: Any = None) -> None:
        self.colors = colors_of(self._viewer.theme)
        self.changed.emit()


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


GRID: Final = 16
_FINER: Final = 2
_DISABLED_OPACITY: Final = 0.35  # about as faint as napari draws disabled text
_CIRCLE: Final = "M{left} 8a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0"


def icon(name: str, color: QColor) -> QIcon:
    """An icon for a button, faint when the button is disabled."""
    result, faint = QIcon(pixmap(name, color)), QColor(color)
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
    stroke = f'fill="none" stroke="{color.name()}" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"'
    looks = zip(_PATHS[name], (stroke, f'fill="{color.name()}"'), strict=True)
    shapes = "".join(f'<path d="{path}" {look}/>' for path, look in looks if path)
    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {GRID} {GRID}" opacity="{color.alphaF():.3f}"'
    svg = QByteArray(f"<svg {head}>{shapes}</svg>".encode())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(svg).render(painter, rect)
    painter.restore()


def _circle(radius: float) -> str:
    """The SVG path of a circle around the centre."""
    return _CIRCLE.format(left=8 - radius, r=radius, d=2 * radius)


#: SVG paths to stroke and to fill.
_PATHS: Final = {
    "back": ("M9.5 4L5.5 8L9.5 12", ""),
    "check": ("M3.5 8.5L6.8 11.8L12.5 4.8", ""),
    "choice": (_circle(5.5), ""),
    "chosen": (_circle(5.5), _circle(2.5)),
    "close": ("M4.5 4.5L11.5 11.5M11.5 4.5L4.5 11.5", ""),
    "dot": ("", _circle(2)),
    "down": ("M4.5 6.5L8 10L11.5 6.5", ""),
    "eye": ("M1.8 8Q8 1.6 14.2 8Q8 14.4 1.8 8Z", _circle(2.2)),
    "folder": ("M2.5 12.5V4H6.5L8 5.8H13.5V12.5Z", ""),
    "gear": (
        _circle(2) + _circle(4.4) + "M12.6 8h1.6M8 12.6v1.6M3.4 8h-1.6M8 3.4v-1.6"
        "M11.25 11.25l1.1 1.1M4.75 11.25l-1.1 1.1M4.75 4.75l-1.1-1.1M11.25 4.75l1.1-1.1",
        "",
    ),
    "globe": (_circle(5.6) + "M5.6 8a2.4 5.6 0 1 0 4.8 0a2.4 5.6 0 1 0 -4.8 0M2.4 8H13.6", ""),
    "info": (_circle(5.8) + "M8 7.6V11", "M7.1 5.1a.9 .9 0 1 0 1.8 0a.9 .9 0 1 0 -1.8 0"),
    "link": ("M7 4H3.5V12.5H12V9M7.5 8.5L13 3M9.5 3H13V6.5", ""),
    "right": ("M6.5 4.5L10 8L6.5 11.5", ""),
    "search": ("M3 7a4 4 0 1 0 8 0a4 4 0 1 0 -8 0M10.2 10.2L13.5 13.5", ""),
    "star": (
        "",
        "M8 2L9.6 6.2L14.1 6.4L10.6 9.2L11.8 13.6L8 11.1L4.2 13.6L5.4 9.2L1.9 6.4L6.4 6.2Z",
    ),
    "volume": ("M8 2L13.4 5V11L8 14L2.6 11V5ZM2.6 5L8 8L13.4 5M8 8V14", ""),
    "warning": (
        "M8 2.2L14.2 13.2H1.8ZM8 6.4V9.4",
        "M7.1 11.3a.9 .9 0 1 0 1.8 0a.9 .9 0 1 0 -1.8 0",
    ),
}
