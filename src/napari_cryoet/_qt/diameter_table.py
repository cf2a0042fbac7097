"""The table of objects and their diameters, to look at and to edit; every edit is remembered at once."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.item_list import ENTER_KEYS
from napari_cryoet._qt.labels import plain_label, plain_tooltip, roomy
from napari_cryoet._qt.layer_spacing import ANGSTROM_PER_NM
from napari_cryoet.diameters import (
    DEFAULT_DIAMETER_ANGSTROM,
    KnownDiameter,
    changed_objects,
    diameters_problem,
    forget_diameter,
    known_diameter,
    known_diameters,
    reset_diameters,
    set_diameter,
)
from napari_cryoet.exceptions import FormatError

_WORD = Qt.ItemDataRole.UserRole
_ROW_ROOM_PX = 8


class _Table(QTableWidget):
    """Rows whose second cell is edited, wherever in the row the keys are; Tab leads out of it."""

    forget_requested = Signal()

    def __init__(self) -> None:
        super().__init__(0, 2)
        self.setTabKeyNavigation(False)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Enter and F2 edit, Delete forgets."""
        if event is not None and event.key() in {*ENTER_KEYS, Qt.Key.Key_F2}:
            self.editItem(self.item(self.currentRow(), 1))
        elif event is not None and event.key() == Qt.Key.Key_Delete:
            self.forget_requested.emit()
        else:
            super().keyPressEvent(event)


class _Named(QStyledItemDelegate):
    """Says what is typed to those who don't see the row."""

    def createEditor(self, parent: QWidget | None, option: QStyleOptionViewItem, index: QModelIndex) -> QWidget | None:
        """As Qt makes it, with a name."""
        editor = super().createEditor(parent, option, index)
        if editor is not None:
            editor.setAccessibleName(f"Diameter of {index.siblingAtColumn(0).data()} in nm")
        return editor


class DiameterTable(QWidget):
    """Objects by name and id with their diameters in nm; double-click, Enter or F2 edits, Delete undoes a change."""

    changed = Signal(object)  # frozenset of the objects that have another diameter now, by `object_key`

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = _Table()
        self.table.setObjectName("diameterTable")
        self.table.setItemDelegate(_Named(self.table))
        self.table.setAccessibleName("Objects and their diameters")
        self.table.setToolTip("Double-click, Enter or F2 changes a diameter; Delete forgets the change")
        self.table.setHorizontalHeaderLabels(["Object", "Diameter, nm"])
        if (size := self.table.horizontalHeaderItem(1)) is not None:
            size.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setMinimumHeight(150)
        self.table.setShowGrid(False)
        if (rows := self.table.verticalHeader()) is not None:
            rows.hide()
            rows.setDefaultSectionSize(self.table.fontMetrics().lineSpacing() + _ROW_ROOM_PX)
        if (columns := self.table.horizontalHeader()) is not None:
            columns.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            columns.setHighlightSections(False)  # a bold heading says nothing
            columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            columns.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.word = QLineEdit()
        self.word.setPlaceholderText("GO or UniProt id, or a name")
        self.word.setAccessibleName("Object to add")
        self.add = QPushButton("Add")
        self.word.setToolTip("An object that is to have a diameter of its own")
        self.add.setToolTip("Add the object to the table, and type its diameter")
        self.forget = QPushButton("Forget")
        self.forget.setToolTip("Forget what was changed of the selected object")
        self.reset = QPushButton("Reset all")
        self.reset.setToolTip("Forget all that was added or changed")
        self.problem = plain_label(name="diameterProblem")
        self._lay_out()
        self.table.itemChanged.connect(self._on_edited)
        self.table.itemSelectionChanged.connect(self._look_at_buttons)
        self.word.returnPressed.connect(self._on_add)
        self.word.textChanged.connect(self._look_at_buttons)
        self.add.clicked.connect(self._on_add)
        self.forget.clicked.connect(self._on_forget)
        self.table.forget_requested.connect(self.forget.click)  # if there is something to forget
        self.reset.clicked.connect(self._on_reset)
        self.refresh()

    def _lay_out(self) -> None:
        roomy(self.add, self.forget, self.reset)
        adding, undoing = QHBoxLayout(), QHBoxLayout()
        adding.addWidget(self.word, 1)
        adding.addWidget(self.add)
        undoing.addStretch(1)
        undoing.addWidget(self.forget)
        undoing.addWidget(self.reset)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        column.addLayout(adding)
        column.addLayout(undoing)
        column.addWidget(self.problem)

    def refresh(self) -> None:
        """Show the table as it is now."""
        known = known_diameters()
        self.table.blockSignals(True)
        self.table.setRowCount(len(known))
        for row, each in enumerate(known):
            self._fill(row, each)
        self.table.blockSignals(False)
        self._tell(diameters_problem())
        self._look_at_buttons()

    def _fill(self, row: int, known: KnownDiameter) -> None:
        names = [word for word in known.words if ":" not in word] or list(known.words)
        name, size = QTableWidgetItem(names[0]), QTableWidgetItem()
        name.setFlags(name.flags() & ~Qt.ItemFlag.ItemIsEditable)
        size.setData(Qt.ItemDataRole.EditRole, known.diameter_angstrom / ANGSTROM_PER_NM)
        size.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        built_in = known.built_in_angstrom
        note = (
            "" if not known.is_changed else "Added by you" if built_in is None else f"Changed; was {built_in / 10:g} nm"
        )
        for item in (name, size):
            item.setData(_WORD, known.words[0])
            item.setToolTip(plain_tooltip("\n".join(filter(None, [", ".join(known.words), note]))))
            font = item.font()
            font.setBold(known.is_changed)
            item.setFont(font)
        self.table.setItem(row, 0, name)
        self.table.setItem(row, 1, size)

    def _on_edited(self, item: QTableWidgetItem) -> None:
        value = item.data(Qt.ItemDataRole.EditRole)
        self._change(lambda: set_diameter(item.data(_WORD), float(value) * ANGSTROM_PER_NM))

    def _on_add(self) -> None:
        word = self.word.text().strip()
        if not word:
            return
        if known_diameter(word) is None:  # what is there already keeps its size until another is typed
            self._change(lambda: set_diameter(word, DEFAULT_DIAMETER_ANGSTROM))
        known = known_diameter(word)
        found = next(
            (row for row in range(self.table.rowCount()) if known is not None and self._word_at(row) == known.words[0]),
            None,
        )
        if found is not None:
            self.word.clear()
            self.table.setCurrentCell(found, 1)
            self.table.editItem(self.table.item(found, 1))

    def _on_forget(self) -> None:
        word = self._word_at(self.table.currentRow())
        self._change(lambda: forget_diameter(word))

    def _on_reset(self) -> None:
        self._change(reset_diameters)

    def _change(self, change: Callable[[], None]) -> None:
        problem, before = "", known_diameters()
        try:
            change()
        except ValueError as error:
            problem = f"{str(error)[:1].upper()}{str(error)[1:]}."
        except FormatError as error:
            problem = error.message
        self.refresh()
        if problem:
            self._tell(problem)
        else:
            self.changed.emit(changed_objects(before, known_diameters()))

    def _word_at(self, row: int) -> str:
        item = self.table.item(row, 0)
        return str(item.data(_WORD)) if item is not None else ""

    def _tell(self, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def _look_at_buttons(self) -> None:
        changed = {known.words[0] for known in known_diameters() if known.is_changed}
        self.add.setEnabled(bool(self.word.text().strip()))
        self.forget.setEnabled(self._word_at(self.table.currentRow()) in changed)
        self.reset.setEnabled(bool(changed) or bool(diameters_problem()))
