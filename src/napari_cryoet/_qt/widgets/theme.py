"""The viewer's theme: colours for our own painting, and the rules that napari's style sheet lacks for us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari

#: What was kept and what was rejected: told apart with every kind of colour vision, and in both themes.
KEPT_COLOR = QColor(0, 148, 106)
REJECTED_COLOR = QColor(222, 86, 42)
#: Share of the text's colour in placeholders: Qt takes half, which is hard to read.
PLACEHOLDER_SHARE: Final = 0.75


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
    """The colours of a viewer's theme; ``changed`` tells of another theme or font size."""

    changed = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.colors = colors_of(viewer.theme)
        viewer.events.theme.connect(self._on_theme)
        get_settings().appearance.events.font_size.connect(self._on_theme)

    def style(self, widget: QWidget) -> None:
        """Give a widget our style sheet, now and after each change."""
        widget.setStyleSheet(style_sheet(self.colors))
        self.changed.connect(lambda: widget.setStyleSheet(style_sheet(self.colors)))

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.events.theme.disconnect(self._on_theme)
        get_settings().appearance.events.font_size.disconnect(self._on_theme)

    def _on_theme(self, _event: Any = None) -> None:
        self.colors = colors_of(self._viewer.theme)
        self.changed.emit()


def style_sheet(colors: Colors) -> str:
    """The style sheet of one of our docks or dialogs."""
    size_pt = get_settings().appearance.font_size  # napari gives it to labels, buttons and lists alone
    return f"""
    QTreeView, QTableWidget, QHeaderView, QLineEdit, QPlainTextEdit, QToolButton, QTabBar, QAbstractSpinBox {{
        font-size: {size_pt}pt;
    }}
    QLabel#dimText, QLabel#sourceState, QLabel#networkUse, QLabel#statusText, QLabel#messageHint {{
        color: {_css(colors.dim)};
    }}
    QLabel#sourceState[hasProblem="true"] {{ color: {_css(colors.warning)}; }}
    QPushButton#startChoice {{ text-align: left; padding: 6px; font-size: {size_pt}pt; }}
    QLabel#pageTitle, QLabel#heading {{ font-weight: bold; }}
    QLabel#messageTitle {{ font-weight: bold; font-size: 12pt; }}
    QFrame#noticeBar {{
        background: {_css(colors.raised)}; border: 1px solid {_css(colors.warning)}; border-radius: 4px;
    }}
    QFrame#noticeBar[isNews="true"] {{ border-color: {_css(colors.border)}; }}
    QFrame#noticeBar QLabel {{ background: transparent; }}
    QFrame#statusStrip {{ border-top: 1px solid {_css(colors.border)}; }}
    QTabBar#listSwitch {{ background: transparent; border: none; }}
    QTabBar#listSwitch::tab {{
        background: transparent; border: none; border-bottom: 2px solid transparent; border-radius: 0px;
        padding: 3px 2px; margin: 0px 12px 0px 0px; color: {_css(colors.dim)};
    }}
    QTabBar#listSwitch::tab:hover {{ color: {_css(colors.text)}; }}
    QTabBar#listSwitch::tab:selected {{
        color: {_css(colors.text)}; border-bottom: 2px solid {_css(colors.accent)};
    }}
    QTabBar#listSwitch::tab:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QPushButton#recordLink {{
        background: transparent; border: 1px solid transparent; padding: 1px 0px; text-align: left;
        color: {_css(colors.accent)};
    }}
    QPushButton#recordLink:hover {{ text-decoration: underline; }}
    QPushButton#recordLink:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QListView, QTreeView {{
        background: {_css(colors.background)}; border: 1px solid {_css(colors.border)}; border-radius: 3px;
        outline: none; padding: 0px;
    }}
    QListView:focus, QTreeView:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QListView::item, QTreeView::item {{ padding: 0px; margin: 0px; }}
    QTableWidget {{
        background: {_css(colors.background)}; border: 1px solid {_css(colors.border)}; border-radius: 3px;
    }}
    QTableWidget:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QTableWidget::item {{ padding: 1px 4px; }}
    QTableWidget::item:selected {{ background: {_css(colors.selection)}; color: {_css(colors.text)}; }}
    QHeaderView::section {{
        background: {_css(colors.background)}; color: {_css(colors.dim)}; border: none; padding: 2px 0px;
    }}
    QPushButton {{ padding: 4px 12px; }}
    QPushButton:default {{ border: 1px solid {_css(colors.dim)}; }}
    QPushButton:default:disabled {{ border: 1px solid {_css(colors.border)}; }}
    QToolButton:focus, QPushButton:focus, QLineEdit:focus,
    QComboBox:focus, QAbstractSpinBox:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QToolButton:hover {{ background: {_css(colors.raised)}; }}
    QCheckBox {{ border: 1px solid transparent; border-radius: 2px; padding: 1px; }}
    QCheckBox:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QWidget#plane {{ border: 1px solid transparent; border-radius: 3px; }}
    QWidget#plane:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QScrollArea#findings {{ border: 1px solid transparent; border-radius: 3px; }}
    QScrollArea#findings:focus {{ border: 1px solid {_css(colors.accent)}; }}
    QLineEdit {{ placeholder-text-color: {_css(blend(colors.text, colors.border, PLACEHOLDER_SHARE))}; }}
    QLineEdit[hasProblem="true"] {{ border: 1px solid {_css(colors.warning)}; }}
    QAbstractSpinBox:disabled, QLineEdit:disabled {{
        background: {_css(blend(colors.border, colors.background, 0.3))};
    }}
    QLineEdit:disabled {{ color: {_css(colors.faint)}; placeholder-text-color: {_css(colors.faint)}; }}
    QDoubleSpinBox {{ min-width: 0px; padding: 1px 2px; }}
    QProgressBar {{ background: {_css(colors.raised)}; border: none; border-radius: 3px; }}
    QProgressBar::chunk {{ background: {_css(colors.accent)}; border-radius: 3px; }}
    QPushButton#verdictK, QPushButton#verdictX, QPushButton#verdictU {{
        text-align: left; padding: 4px 8px; border-left: 3px solid {_css(colors.faint)};
    }}
    QPushButton#verdictK {{ border-left-color: {_css(KEPT_COLOR)}; }}
    QPushButton#verdictX {{ border-left-color: {_css(REJECTED_COLOR)}; }}
    """


def _css(color: QColor) -> str:
    return color.name()


def _color(color: Any) -> QColor:
    return QColor(*color.as_rgb_tuple()[:3])
