"""The few rules that napari's own style sheet lacks for us, in the colours of its theme."""

from __future__ import annotations

from typing import Final

from napari.settings import get_settings
from qtpy.QtGui import QColor

from napari_cryoet._qt.widgets.theme import KEPT_COLOR, REJECTED_COLOR, Colors, blend

#: How much of the colour of text is in that of an example in an empty field: Qt takes half, which is hard to read.
PLACEHOLDER_SHARE: Final = 0.75


def style_sheet(colors: Colors, dock: str = "PortalBrowser") -> str:
    """Rules for a dock by its object name; such names are the only selectors, so nothing leaks into other plugins."""
    return _rules(colors).replace("#PortalBrowser", f"#{dock}")


def _rules(colors: Colors) -> str:
    size_pt = get_settings().appearance.font_size  # napari gives it to labels, buttons and lists alone
    return f"""
    #PortalBrowser QTreeView, #PortalBrowser QTableWidget, #PortalBrowser QHeaderView, #PortalBrowser QLineEdit,
    #PortalBrowser QToolButton, #PortalBrowser QTabBar, #PortalBrowser QAbstractSpinBox {{ font-size: {size_pt}pt; }}
    #PortalBrowser QLabel#dimText, #PortalBrowser QLabel#runCount,
    #PortalBrowser QLabel#sourceState, #PortalBrowser QLabel#networkUse,
    #PortalBrowser QLabel#compareHeadline, #PortalBrowser QLabel#statusText, #PortalBrowser QLabel#messageHint {{
        color: {_css(colors.dim)};
    }}
    #PortalBrowser QLabel#pageTitle, #PortalBrowser QLabel#heading {{ font-weight: bold; }}
    #PortalBrowser QLabel#messageTitle {{ font-weight: bold; font-size: 12pt; }}
    #PortalBrowser QFrame#noticeBar {{
        background: {_css(colors.raised)}; border: 1px solid {_css(colors.warning)}; border-radius: 4px;
    }}
    #PortalBrowser QFrame#noticeBar[isNews="true"] {{ border-color: {_css(colors.border)}; }}
    #PortalBrowser QFrame#noticeBar QLabel {{ background: transparent; }}
    #PortalBrowser QFrame#captionPanel {{
        background: {_css(colors.raised)}; border: 1px solid {_css(colors.border)}; border-radius: 4px;
    }}
    #PortalBrowser QFrame#captionPanel QLabel, #PortalBrowser QScrollArea#captionScroll,
    #PortalBrowser QScrollArea#captionScroll QWidget#qt_scrollarea_viewport {{ background: transparent; }}
    #PortalBrowser QFrame#captionPanel QLabel#captionText {{ border: 1px solid transparent; border-radius: 2px; }}
    #PortalBrowser QFrame#captionPanel QLabel#captionText:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QFrame#statusStrip {{ border-top: 1px solid {_css(colors.border)}; }}
    #PortalBrowser QTabBar#listSwitch {{ background: transparent; border: none; }}
    #PortalBrowser QTabBar#listSwitch::tab {{
        background: transparent; border: none; border-bottom: 2px solid transparent; border-radius: 0px;
        padding: 3px 2px; margin: 0px 12px 0px 0px; color: {_css(colors.dim)};
    }}
    #PortalBrowser QTabBar#listSwitch::tab:hover {{ color: {_css(colors.text)}; }}
    #PortalBrowser QTabBar#listSwitch::tab:selected {{
        color: {_css(colors.text)}; border-bottom: 2px solid {_css(colors.accent)};
    }}
    #PortalBrowser QTabBar#listSwitch::tab:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QPushButton#recordLink {{
        background: transparent; border: 1px solid transparent; padding: 1px 0px; text-align: left;
        color: {_css(colors.accent)};
    }}
    #PortalBrowser QPushButton#recordLink:hover {{ text-decoration: underline; }}
    #PortalBrowser QPushButton#recordLink:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QListView, #PortalBrowser QTreeView {{
        background: {_css(colors.background)}; border: 1px solid {_css(colors.border)}; border-radius: 3px;
        outline: none; padding: 0px;
    }}
    #PortalBrowser QListView:focus, #PortalBrowser QTreeView:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QListView::item, #PortalBrowser QTreeView::item {{ padding: 0px; margin: 0px; }}
    #PortalBrowser QTableWidget {{
        background: {_css(colors.background)}; border: 1px solid {_css(colors.border)}; border-radius: 3px;
    }}
    #PortalBrowser QTableWidget:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QTableWidget::item {{ padding: 1px 4px; }}
    #PortalBrowser QTableWidget::item:selected {{ background: {_css(colors.selection)}; color: {_css(colors.text)}; }}
    #PortalBrowser QHeaderView::section {{
        background: {_css(colors.background)}; color: {_css(colors.dim)}; border: none; padding: 2px 4px;
    }}
    #PortalBrowser QPushButton:default {{ border: 1px solid {_css(colors.dim)}; }}
    #PortalBrowser QPushButton:default:disabled {{ border: 1px solid {_css(colors.border)}; }}
    #PortalBrowser QToolButton:focus, #PortalBrowser QPushButton:focus, #PortalBrowser QLineEdit:focus,
    #PortalBrowser QComboBox:focus, #PortalBrowser QAbstractSpinBox:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QToolButton:hover {{ background: {_css(colors.raised)}; }}
    #PortalBrowser QCheckBox {{ border: 1px solid transparent; border-radius: 2px; padding: 1px; }}
    #PortalBrowser QCheckBox:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QWidget#plane {{ border: 1px solid transparent; border-radius: 3px; }}
    #PortalBrowser QWidget#plane:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QScrollArea#findings {{ border: 1px solid transparent; border-radius: 3px; }}
    #PortalBrowser QScrollArea#findings:focus {{ border: 1px solid {_css(colors.accent)}; }}
    #PortalBrowser QLineEdit {{ placeholder-text-color: {_css(blend(colors.text, colors.border, PLACEHOLDER_SHARE))}; }}
    #PortalBrowser QLineEdit[hasProblem="true"] {{ border: 1px solid {_css(colors.warning)}; }}
    #PortalBrowser QAbstractSpinBox:disabled, #PortalBrowser QLineEdit:disabled {{
        background: {_css(blend(colors.border, colors.background, 0.3))};
    }}
    #PortalBrowser QLineEdit:disabled {{ color: {_css(colors.faint)}; placeholder-text-color: {_css(colors.faint)}; }}
    #PortalBrowser QDoubleSpinBox {{ min-width: 0px; padding: 1px 2px; }}
    #PortalBrowser QProgressBar {{ background: {_css(colors.raised)}; border: none; border-radius: 3px; }}
    #PortalBrowser QProgressBar::chunk {{ background: {_css(colors.accent)}; border-radius: 3px; }}
    #PortalBrowser QPushButton#verdictK, #PortalBrowser QPushButton#verdictX, #PortalBrowser QPushButton#verdictU {{
        text-align: left; padding: 4px 8px; border-left: 3px solid {_css(colors.faint)};
    }}
    #PortalBrowser QPushButton#verdictK {{ border-left-color: {_css(KEPT_COLOR)}; }}
    #PortalBrowser QPushButton#verdictX {{ border-left-color: {_css(REJECTED_COLOR)}; }}
    """


def _css(color: QColor) -> str:
    return color.name()
