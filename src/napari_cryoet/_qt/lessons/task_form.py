"""The form of a step's task: a field for each attribute that the task's kind has."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec.structs import replace
from napari.layers import Points
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from napari_cryoet._qt.layers.layer_combo import NO_PICKS, LayerCombo
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import ANGSTROM_PER_NM, shown_volumes
from napari_cryoet._qt.picks.layer_picks import are_picks, volume_for
from napari_cryoet._qt.views.capture import positions_of
from napari_cryoet._qt.widgets.controls import column_in, form_of, number_box, plain_label
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.comparison.report import picks_within
from napari_cryoet.exceptions import FormatError
from napari_cryoet.lessons.lesson import (
    Choice,
    ChooseTask,
    CompareTask,
    LessonTask,
    MeasureTask,
    PickTask,
    RegionZyx,
    SortTask,
)
from napari_cryoet.lessons.writing import Draft, region_of_screen
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import View
from napari_cryoet.wording import count_text

PICK: Final = "Pick objects"
CHOOSE: Final = "Choose an answer"
#: Kinds of tasks by what the form calls them.
KINDS: Final[dict[str, type[LessonTask] | None]] = {
    "No task": None,
    PICK: PickTask,
    "Sort picks into keep and reject": SortTask,
    CHOOSE: ChooseTask,
    "Measure a distance": MeasureTask,
    "Compare layers": CompareTask,
}
#: Where right picks are from.
LAYER: Final = "those of a layer"
KEPT: Final = "as they are"
NOTHING: Final = "none: there is nothing to pick"
#: Regions of a task.
WHOLE: Final = "the whole tomogram"
SCREEN: Final = "what the step shows"
BOX: Final = "the box that it has"
_OPTIONAL: Final = {"ask", "explanation", "region_zyx_angstrom", "reference", "causes"}
_EMPTY: Final = (None, "", ())
_FILL_IN: Final = "Fill it in, or choose No task."
_TEXT_PX: Final = 56


class TaskForm(QWidget):
    """Fields of a task; only those of the chosen kind are shown.

    A field that the user doesn't touch keeps its exact value, and so does what has no field.

    Attributes
    ----------
    fields
        The fields by the attribute of a task that they are for, and those that help them.
    """

    def __init__(self, dock: Dock) -> None:
        super().__init__()
        self._viewer = dock.viewer
        self._shown: LessonTask | None = None
        self._view: View | None = None
        self.kind = QComboBox()
        self.kind.addItems(list(KINDS))
        self.reference_from = QComboBox()
        self.reference = LayerCombo(dock, are_picks, "Layer of the right picks", NO_PICKS)
        self.picks = LayerCombo(dock, are_picks, "Layer of the picks to sort", NO_PICKS)
        self.object_name = QLineEdit()
        self.tolerance = number_box("Tolerance", "nm", 1000, unset="not set")
        self.region = QComboBox()
        self.thickness = number_box(
            "Thickness of the region around the shown plane", "nm", 10_000, unset="all planes"
        )
        self.count = plain_label(name="dimText")
        self.choices = _text_box("Two or more, one a line")
        self.layers = _text_box("Names of two layers or more, one a line")
        self.causes = _text_box("What may be wrong with it, one a line")
        self.right = QComboBox()
        self.right_cause = QComboBox()
        self.length = number_box("Right length", "nm", 1e5, unset="not set")
        self.fields: dict[str, QWidget] = {}
        self._form = form_of()
        for name, label, field in (
            ("ask", "Question", _text_box("What to do or to answer")),
            ("reference_from", "Right picks", self.reference_from),
            ("reference", "Layer", self.reference),
            ("picks", "To sort", self.picks),
            ("object_name", "Object", self.object_name),
            ("region_zyx_angstrom", "Region", self.region),
            ("thickness", "Planes", self.thickness),
            ("count", "", self.count),
            ("choices", "Choices", self.choices),
            ("layers", "Layers", self.layers),
            ("right", "Right one", self.right),
            ("causes", "Causes", self.causes),
            ("right_cause", "Right cause", self.right_cause),
            ("right_angstrom", "Right length", self.length),
            ("tolerance_angstrom", "Tolerance", self.tolerance),
            ("explanation", "Explanation", _text_box("Shown after the answer")),
        ):
            self.fields[name] = field
            self._form.addRow(label, field)
        column_in(self, self.kind, self._form, margins=(0, 0, 0, 0)).addStretch(1)
        self._connect()
        self.show_task(None)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(self._show_kind)
        for combo in (self.reference_from, self.region):
            combo.currentIndexChanged.connect(self._show_rows)
        self.reference.layer_changed.connect(self._suggest)
        self.reference.layer_changed.connect(self._show_count)
        self.thickness.valueChanged.connect(self._show_count)
        for combo in (self.right, self.right_cause):
            combo.setPlaceholderText("choose it")
        for box in (self.choices, self.layers, self.causes):
            box.textChanged.connect(self._list_right)

    def show_task(self, task: LessonTask | None, view: View | None = None) -> None:
        """Show a task of a step that starts from a view; without a task, the fields are empty."""
        self._shown = task
        self._view = view
        for name, field in self.fields.items():
            value = getattr(task, name, None)
            match field:
                case QPlainTextEdit():
                    field.setPlainText(_text_of(value))
                case QLineEdit():
                    field.setText(value or "")
                case QDoubleSpinBox():
                    field.setValue((value or 0.0) / ANGSTROM_PER_NM)
        kinds = list(KINDS.values())
        self.kind.setCurrentIndex(kinds.index(None if task is None else type(task)))
        self._show_kind()
        match task:
            case ChooseTask():
                self.right.setCurrentIndex(-1 if task.right is None else task.right)
            case CompareTask():
                self.right.setCurrentText(task.right)
                self.right_cause.setCurrentText(task.right_cause)

    def task(self, draft: Draft, step: int) -> LessonTask | None:
        """The task of the form; its picks are given to the draft.

        Raises FormatError if something is missing.
        """
        kind = KINDS[self.kind.currentText()]
        if kind is None:
            return None
        old = self._old
        values = {} if old is None else msgspec.structs.asdict(old)
        for name in kind.__struct_fields__:
            if name not in self.fields:
                continue
            was_empty = values.get(name, name) in _EMPTY
            values[name] = self._value(name, draft, step)
            is_optional = name in _OPTIONAL or (name == "right_cause" and not values["causes"])
            if values[name] in _EMPTY and not (is_optional or was_empty):
                label: Any = self._form.labelForField(self.fields[name])
                raise FormatError(f"The task lacks this: {label.text()}.", hint=_FILL_IN)
        return kind(**values)

    @property
    def _old(self) -> LessonTask | None:
        """The task that was shown, if the form is still of its kind."""
        is_same = KINDS[self.kind.currentText()] is type(self._shown)
        return self._shown if is_same else None

    def _value(self, name: str, draft: Draft, step: int) -> Any:
        """The value of a field; empty if there is none."""
        match name:
            case "reference" | "picks":
                return self._picks(name, draft, step)
            case "region_zyx_angstrom":
                return self._region()
            case "choices":
                return self._choices()
            case "layers":
                return _two_or_more(self.layers)
            case "causes":
                return _lines_of(self.causes)
            case "right" if self.kind.currentText() == CHOOSE:
                index = self.right.currentIndex()
                return index if index >= 0 else None
        match self.fields[name]:
            case QComboBox() as combo:
                return combo.currentText()
            case QLineEdit() as line:
                return line.text().strip()
            case QPlainTextEdit() as box:
                return box.toPlainText()
            case QDoubleSpinBox() as number:
                old_angstrom = getattr(self._old, name, None) or 0.0
                old_nm = round(old_angstrom / ANGSTROM_PER_NM, number.decimals())
                is_old = number.value() == old_nm
                return (old_angstrom if is_old else number.value() * ANGSTROM_PER_NM) or None

    def _choices(self) -> tuple[Choice, ...]:
        """The choices by their lines; those that were there keep what a line can only name."""
        old = self._old.choices if isinstance(self._old, ChooseTask) else ()
        known = {_words_of(choice): choice for choice in old}
        lines = _two_or_more(self.choices)
        before = old if len(old) == len(lines) else [Choice()] * len(lines)
        pairs = zip(lines, before, strict=True)
        return tuple(known.get(line) or _reworded(was, line) for line, was in pairs)

    def _picks(self, name: str, draft: Draft, step: int) -> str | None:
        """The file of the right picks or of those to sort, taken from a layer; maybe none."""
        if self.reference_from.currentText() != LAYER:
            is_kept = self.reference_from.currentText() == KEPT
            return getattr(self._shown, name) if is_kept else None
        is_hidden = name == "reference"
        layer = self.reference.layer if is_hidden else self.picks.layer
        if not isinstance(layer, Points):
            raise FormatError("The task needs a layer of picks.", hint=_FILL_IN)
        volume = volume_for(list(self._viewer.layers), layer)
        shown = shown_volumes([] if volume is None else [volume])
        if not shown:
            raise FormatError("The picks need their tomogram.", hint="Open it beside them.")
        spacing = shown[0].spacing_angstrom
        picks = Picks(positions_of(layer) / spacing, spacing, shape_zyx=shown[0].shape_zyx)
        return draft.add_picks(step, picks, is_hidden=is_hidden)

    def _region(self) -> RegionZyx | None:
        if self.region.currentText() == BOX and isinstance(self._shown, PickTask):
            return self._shown.region_zyx_angstrom
        if self.region.currentText() != SCREEN or self._view is None:
            return None
        ranges = self._viewer.dims.range
        if len(ranges) != 3:
            raise FormatError("The region needs the step's tomogram.", hint="Open it.")
        z, y, x = ((each.start, each.stop) for each in ranges)
        thickness = self.thickness.value() * ANGSTROM_PER_NM
        return region_of_screen(self._view.camera, (z, y, x), thickness)

    # what the form shows

    def _show_kind(self, _index: int = 0) -> None:
        """List what can be chosen for a kind, what the shown task has first."""
        old = self._old
        is_pick = self.kind.currentText() == PICK
        picks = NOTHING if isinstance(old, PickTask) else LAYER
        if getattr(old, "reference", None):
            picks = KEPT
        regions = [SCREEN, WHOLE] if self._view and self._view.camera.ndisplay == 2 else [WHOLE]
        region = WHOLE if isinstance(old, PickTask) else regions[0]
        if getattr(old, "region_zyx_angstrom", None):
            region = BOX
        others = [LAYER, NOTHING] if is_pick else [LAYER]
        _offer(self.reference_from, picks, others)
        _offer(self.region, region, regions)
        self._list_right()
        self._suggest()
        self._show_rows()

    def _list_right(self) -> None:
        is_choice = self.kind.currentText() == CHOOSE
        _list_lines(self.choices if is_choice else self.layers, self.right)
        _list_lines(self.causes, self.right_cause)

    def _show_rows(self, _index: int = 0) -> None:
        kind = KINDS[self.kind.currentText()]
        shown = set() if kind is None else set(kind.__struct_fields__)
        if "reference" in shown:
            shown.add("reference_from")
        if self.reference_from.currentText() != LAYER:
            shown -= {"reference", "picks"}
        if kind is PickTask and self.region.currentText() == SCREEN:
            shown.add("thickness")
        if kind is PickTask and "reference" in shown:
            shown.add("count")
        for name, field in self.fields.items():
            self._form.setRowVisible(field, name in shown)
        self._show_count()

    def _show_count(self, _changed: object = None) -> None:
        """Say how many of the right picks a learner is to find."""
        self.count.setText("")
        layer = self.reference.layer
        if layer is None:
            return
        with suppress(FormatError, ValueError):  # of a region, or of points that aren't numbers
            region = self._region()
            picks = Picks(positions_of(layer), 1.0)
            inside = picks if region is None else picks_within(picks, region)
            of_all = count_text(len(picks), "pick")
            self.count.setText(f"{len(inside)} of its {of_all} in the region")

    def _suggest(self) -> None:
        """Suggest the object of the chosen picks, and half of its diameter."""
        layer = self.reference.layer
        if layer is None or self._old is not None:
            return
        about = about_of(layer)
        if about.object_name:
            self.object_name.setText(about.object_name)
        size = diameter_angstrom(about.object_id, self.object_name.text())
        self.tolerance.setValue(size / 2 / ANGSTROM_PER_NM)
        self.thickness.setValue(2 * size / ANGSTROM_PER_NM)


def _offer(combo: QComboBox, chosen: str, others: Iterable[str]) -> None:
    """Fill the menu, with the current choice first."""
    combo.clear()
    combo.addItems(list(dict.fromkeys([chosen, *others])))


def _text_box(placeholder: str) -> QPlainTextEdit:
    box = QPlainTextEdit()
    box.setPlaceholderText(placeholder)
    box.setFixedHeight(_TEXT_PX)
    box.setTabChangesFocus(True)
    return box


def _lines_of(box: QPlainTextEdit) -> tuple[str, ...]:
    lines = map(str.strip, box.toPlainText().splitlines())
    return tuple(filter(None, lines))


def _two_or_more(box: QPlainTextEdit) -> tuple[str, ...]:
    lines = _lines_of(box)
    if len(lines) < 2:
        raise FormatError("The task needs two choices or more.", hint=_FILL_IN)
    return lines


def _text_of(value: str | tuple[str | Choice, ...] | None) -> str:
    """A text as it is, several with a line for each."""
    if value is None or isinstance(value, str):
        return value or ""
    return "\n".join(each if isinstance(each, str) else _words_of(each) for each in value)


def _words_of(choice: Choice) -> str:
    """A choice in one line: its words, its picture, and the place of its crop."""
    crop = ""
    if choice.position_zyx_angstrom is not None:
        numbers = [f"{length:g}" for length in choice.position_zyx_angstrom]
        crop = f"crop at {', '.join(numbers)}"
    parts = [choice.text.strip(), choice.picture or "", crop]
    return " · ".join(filter(None, parts))


def _reworded(choice: Choice, line: str) -> Choice:
    """A choice with other words, the picture or crop of which may be named behind them."""
    shown = _words_of(replace(choice, text=""))
    return replace(choice, text=line.removesuffix(shown).removesuffix(" · "))


def _list_lines(box: QPlainTextEdit, combo: QComboBox) -> None:
    """List the lines of a box, and keep the chosen one."""
    text = combo.currentText()
    index = combo.currentIndex()
    lines = _lines_of(box)
    combo.clear()
    combo.addItems(lines)
    if text in lines:
        index = lines.index(text)
    combo.setCurrentIndex(index if index < len(lines) else -1)
