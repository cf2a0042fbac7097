"""Buttons, fields, forms, labels and menus that are made alike in all docks, and what they open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from qtpy.QtCore import QCoreApplication, QSize, Qt, QThread, QUrl
from qtpy.QtGui import (
    QAction,
    QContextMenuEvent,
    QDesktopServices,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPaintEvent,
)
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QMenu,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)
from superqt import QElidingLabel, QFlowLayout

from napari_cryoet.locations import is_web_address
from napari_cryoet.wording import plain

if TYPE_CHECKING:
    from napari.viewer import Viewer

T = TypeVar("T")

BAR_STEPS: Final = 1000  # of a progress bar
COPY_REPORT: Final = "Copy a report"
_NARROW_PX: Final = 60
_SCROLL_BAR_PX: Final = 24  # with the frame of a list
_DESCENDERS_PX: Final = 4  # Qt draws the last line this much lower than the font metrics say
_NUMBER_AND_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|Å|nm|σ|MB|GB)(?!\w))")
_LONG_WORD: Final = re.compile(r"\S{20,}")
_PART_OF_WORD: Final = re.compile(r"(?:\S{0,14}?[/\\_.-]|\S{15})(?=\S)")
_MAX_LETTERS: Final = 80  # in a menu item


def not_none(value: T | None) -> T:
    """A value that can't be None here, such as what Qt always has while its hints allow None."""
    return cast(T, value)


def explain(control: QWidget, purpose: str) -> None:
    """Set a control's tooltip and accessible name to its purpose, which may hold remote text."""
    control.setAccessibleName(purpose)
    control.setToolTip(plain_tooltip(purpose))


def set_look(widget: QWidget, name: str, value: object) -> None:
    """Set a property that the style sheet looks at."""
    widget.setProperty(name, value)
    not_none(widget.style()).polish(widget)


def push_button(
    text: str, press: Callable[[], object] | None = None, purpose: str = ""
) -> QPushButton:
    """A button as wide as its text."""
    button = QPushButton(text)
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    button.setAccessibleName(purpose)
    if press is not None:
        button.clicked.connect(lambda _checked=False: press())
    return button


def tool_button(text: str, purpose: str) -> QToolButton:
    """A flat button that takes the focus by Tab and opens its menu immediately."""
    button = QToolButton()
    button.setText(text)
    button.setAutoRaise(True)
    styles = Qt.ToolButtonStyle
    button.setToolButtonStyle(
        styles.ToolButtonTextBesideIcon if text else styles.ToolButtonIconOnly
    )
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    explain(button, purpose)
    return button


def more_button(part: QWidget) -> QToolButton:
    """A button that shows and hides a part of a dock, hidden at first so that Tab skips it."""
    button = tool_button("More", "Show more settings")
    button.setCheckable(True)

    def unfold(is_open: bool) -> None:
        button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        part.setVisible(is_open)

    button.toggled.connect(unfold)
    unfold(False)
    return button


class ProgressBar(QProgressBar):
    """A progress bar that is painted with the next frame.

    Qt would paint it at once, and with it all of the window that has to be painted again: the
    canvas too.
    """

    def setValue(self, value: int) -> None:
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)


def progress_bar(name: str = "Progress") -> ProgressBar:
    """A thin progress bar with a range from 0 to `BAR_STEPS`."""
    bar = ProgressBar()
    bar.setRange(0, BAR_STEPS)
    bar.setTextVisible(False)
    bar.setFixedHeight(6)
    bar.setAccessibleName(name)
    return bar


def number_box(
    purpose: str, unit: str, largest: float, *, least: float = 0, decimals: int = 1, unset: str = ""
) -> QDoubleSpinBox:
    """A spin box with a unit; it shows ``unset`` at its minimum."""
    box = QDoubleSpinBox()
    box.setRange(least, largest)
    box.setDecimals(decimals)
    box.setSuffix(f" {unit}")
    box.setSpecialValueText(unset)
    explain(box, purpose)
    return box


class ElidedCombo(QComboBox):
    """A combo box that elides its text at the end; its tooltip and its list show the whole text."""

    def __init__(self, purpose: str) -> None:
        super().__init__()
        explain(self, purpose)
        self.currentIndexChanged.connect(self.update_tooltip)

    def update_tooltip(self) -> None:
        """Show the chosen text above the purpose."""
        lines = (self.currentText(), self.accessibleName())
        self.setToolTip(plain_tooltip("\n".join(filter(None, lines))))

    def showPopup(self) -> None:
        """Open the list as wide as its longest text, within the screen."""
        view = not_none(self.view())
        width = view.sizeHintForColumn(0) + _SCROLL_BAR_PX
        screen_px = not_none(self.screen()).availableGeometry().width()
        not_none(view.parentWidget()).setMinimumWidth(min(width, screen_px))
        super().showPopup()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        kind, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        field = not_none(self.style()).subControlRect(kind, option, part, self)
        text = self.currentText() or self.placeholderText()
        option.currentText = self.fontMetrics().elidedText(
            text, Qt.TextElideMode.ElideRight, field.width() - 2
        )
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def narrow_combo(purpose: str, items: Iterable[str] = (), n_letters: int = 2) -> ElidedCombo:
    """A combo box that its longest item doesn't widen."""
    combo = ElidedCombo(purpose)
    combo.addItems(list(items))
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(n_letters)
    return combo


def form_of(*rows: tuple[str, Any], parent: QWidget | None = None) -> QFormLayout:
    """A form of labelled fields, each a widget or a layout; fields take the remaining width."""
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for name, field in rows:
        form.addRow(name, field)
    return form


def row_of(*widgets: QWidget) -> QWidget:
    """Widgets side by side.

    Widgets of one type share the width, otherwise the first one takes it.
    """
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    are_alike = len({type(widget) for widget in widgets}) == 1
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if are_alike or not number else 0)
    return row


def column_in(
    parent: QWidget,
    *parts: QWidget | QLayout,
    margins: tuple[int, int, int, int] | None = None,
    spacing: int | None = None,
) -> QVBoxLayout:
    """Lay out the parts of a widget below each other; the default distances are the style's."""
    column = QVBoxLayout(parent)
    if margins is not None:
        column.setContentsMargins(*margins)
    if spacing is not None:
        column.setSpacing(spacing)
    for part in parts:
        if isinstance(part, QLayout):
            column.addLayout(part)
        else:
            column.addWidget(part)
    return column


def flow_of(widgets: Iterable[QWidget]) -> QFlowLayout:
    """Widgets in a row, in several if they don't fit in one."""
    layout = QFlowLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(6)
    layout.setVerticalSpacing(6)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def clear_layout(layout: QLayout) -> None:
    """Remove and delete all widgets of a layout."""
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.setParent(None)
            widget.deleteLater()


# labels


def name_file_field(field: Any, purpose: str) -> None:
    """Say what a file field of a form is for: ``file to save``."""
    field.choose_btn.text = "Choose…"
    field.choose_btn.native.setAccessibleName(f"Choose the {purpose}")
    field.line_edit.native.setAccessibleName(purpose.capitalize())


def plain_tooltip(text: str) -> str:
    """A text as a tooltip that Qt wraps but doesn't interpret as markup."""
    return f"<qt>{escape(text).replace(chr(10), '<br>')}</qt>" if text else ""


def wrappable(text: str) -> str:
    """A text with break points in long words and no-break spaces before units: ``30 nm``, ``85.9 %``."""
    text = _LONG_WORD.sub(
        lambda word: _PART_OF_WORD.sub("\\g<0>\N{ZERO WIDTH SPACE}", word[0]), text
    )
    return _NUMBER_AND_UNIT.sub("\N{NO-BREAK SPACE}", text)


def plain_label(text: str = "", *, name: str = "", is_selectable: bool = False) -> QLabel:
    """A wrapping label for plain text that breaks words longer than a line."""
    label = WrappedLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setText(text)
    label.setObjectName(name)
    if is_selectable:
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


class WrappedLabel(QLabel):
    """A label that also wraps long words, so that they don't widen a dock."""

    _plain_text = ""

    def setText(self, text: str | None) -> None:
        self._plain_text = text or ""
        super().setText(wrappable(self._plain_text))

    def text(self) -> str:
        return self._plain_text

    def copy(self) -> None:
        """Copy the selected text, or all of it."""
        marked = self.selectedText().replace("\N{ZERO WIDTH SPACE}", "")
        copy_text(marked.replace("\N{NO-BREAK SPACE}", " ") or self._plain_text)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if not_none(event).matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Offer to copy; Qt's own menu would copy the break points too."""
        if self.textInteractionFlags() & Qt.TextInteractionFlag.TextSelectableByMouse:
            menu = passing_menu(self)
            add_item(menu, "Copy", self.copy)
            menu.popup(not_none(event).globalPos())

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), _NARROW_PX), hint.height())


class ElidedLabel(QElidingLabel):
    """A single line of plain text that is elided to any width; the tooltip shows the whole text."""

    def __init__(
        self,
        text: str = "",
        *,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        name: str = "",
    ) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setElideMode(elide)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        super().setText(text or "")
        self.setToolTip(plain_tooltip(text or ""))

    def sizeHint(self) -> QSize:
        """The same height for every text, so that nothing below it jumps."""
        return QSize(100, self.fontMetrics().lineSpacing() + _DESCENDERS_PX)

    def minimumSizeHint(self) -> QSize:
        return QSize(24, self.sizeHint().height())


# the desktop


def copy_text(text: str) -> None:
    """Copy a text to the clipboard."""
    not_none(QGuiApplication.clipboard()).setText(text)


def open_folder(folder: Path) -> None:
    """Show a folder in the system's file manager, or its parent if the folder doesn't exist."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder if folder.is_dir() else folder.parent)))


def open_in_browser(url: str) -> None:
    """Open a web address in the browser; ignore other URLs, such as files and scripts."""
    if is_web_address(url):
        QDesktopServices.openUrl(QUrl(url))


# menus and questions


def drop_menu(menu: QMenu, control: QWidget) -> None:
    """Open a menu below a control, or above it at the screen's edge."""
    menu.popup(control.mapToGlobal(control.rect().bottomLeft()))


def passing_menu(parent: QWidget) -> QMenu:
    """A menu that is deleted after it closes."""
    menu = QMenu(parent)
    menu.aboutToHide.connect(menu.deleteLater)
    return menu


def add_item(menu: QMenu, text: str, then: Callable[[], object]) -> QAction:
    """Add a menu item whose text may be remote: shorten it, and escape ampersands."""
    action = QAction(shorten(plain(text), _MAX_LETTERS, placeholder="…").replace("&", "&&"), menu)
    action.triggered.connect(lambda _checked=False: then())
    menu.addAction(action)
    return action


def add_title(menu: QMenu, text: str) -> None:
    """Add the title of a group of items; the sections of Qt are plain lines in napari's style."""
    if not menu.isEmpty():
        menu.addSeparator()
    label = QLabel(plain(text).replace("&", "&&"))
    label.setObjectName("menuTitle")
    title = QWidgetAction(menu)
    title.setText(text)
    title.setDefaultWidget(label)
    title.setEnabled(False)  # the keys skip it
    menu.addAction(title)


def add_menu(menu: QMenu, text: str) -> QMenu:
    """Add a submenu."""
    return not_none(menu.addMenu(text))


def main_window(viewer: Viewer) -> QWidget:
    """The viewer's main window, the parent of dialogs."""
    window: QWidget = viewer.window.main_menu.window()
    return window


def viewer_to_ask_in() -> Viewer | None:
    """The current viewer, if its window is visible; otherwise a script would hang on a question."""
    viewer = viewer_of_thread()
    return viewer if viewer is not None and main_window(viewer).isVisible() else None


def viewer_of_thread() -> Viewer | None:
    """The current viewer, if this is the GUI thread; its window may be shown later."""
    from napari.viewer import current_viewer

    application = QCoreApplication.instance()
    if application is None or QThread.currentThread() is not application.thread():
        return None
    return current_viewer()


def viewer_of_a_person() -> Viewer | None:
    """The viewer to ask in, if the call comes from a running event loop: a user's click, not a script."""
    thread = QThread.currentThread()
    return None if thread is None or thread.loopLevel() == 0 else viewer_to_ask_in()


def agrees(
    parent: QWidget | None,
    title: str,
    text: str,
    *,
    verb: str,
    details: str = "",
    is_harmless: bool = False,
) -> bool:
    """Ask the user to confirm an action; Escape cancels.

    Parameters
    ----------
    title, text, details
        Plain text, never interpreted as markup.
    verb
        The text of the button that confirms.
    is_harmless
        Whether Enter confirms; otherwise Enter cancels.
    """
    box = QMessageBox(parent)
    box.setWindowTitle(title)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(wrappable(text))
    box.setInformativeText(wrappable(details))
    agree = box.addButton(verb, QMessageBox.ButtonRole.AcceptRole)
    cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(agree if is_harmless else cancel)
    box.setEscapeButton(cancel)
    box.exec()
    box.deleteLater()
    return box.clickedButton() is agree


def may_replace(path: Path, parent: QWidget | None = None) -> bool:
    """Ask whether to replace a file; False for scripts."""
    viewer = viewer_of_a_person()
    parent = main_window(viewer) if parent is None and viewer is not None else parent
    text = f"There is a {plain(path.name)} already. Replace it?"
    return parent is not None and agrees(parent, "Replace the file?", text, verb="Replace")
