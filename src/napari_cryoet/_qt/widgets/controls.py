"""Buttons, fields and forms that are made alike in all docks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_cryoet._qt.widgets.labels import plain_tooltip

BAR_STEPS: Final = 1000  # of a progress bar
COPY_REPORT: Final = "Copy a report"


def explain(control: QWidget, purpose: str) -> None:
    """Set a control's tooltip and accessible name to its purpose, which may hold remote text."""
    control.setAccessibleName(purpose)
    control.setToolTip(plain_tooltip(purpose))


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


def form_of(*rows: tuple[str, Any], parent: QWidget | None = None) -> QFormLayout:
    """A form of labelled fields, each a widget or a layout; fields take the remaining width."""
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for name, field in rows:
        form.addRow(name, field)
    return form
