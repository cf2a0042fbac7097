"""The form of a step's task, with the fields of each kind."""

from __future__ import annotations

from typing import Any, Final

from napari import Viewer
from napari.layers import Layer, Points
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.layers.layer_combo import NO_PICKS, LayerCombo
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import spacing_angstrom_of
from napari_cryoet._qt.picks.layer_picks import are_picks, volume_for
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.views.capture import positions_of
from napari_cryoet._qt.widgets.controls import form_of, number_box
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.exceptions import FormatError
from napari_cryoet.lessons.lesson import (
    MAX_CHOICES,
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

#: Kinds of tasks by what the form calls them.
KINDS: Final[dict[str, type[LessonTask]]] = {
    "Pick objects": PickTask,
    "Sort picks into keep and reject": SortTask,
    "Choose an answer": ChooseTask,
    "Measure a distance": MeasureTask,
    "Compare layers": CompareTask,
}
#: The fields that each kind needs besides the question and the explanation.
_FIELDS: Final = {
    PickTask: ("nothing", "keep", "picks", "name", "tolerance", "region", "thickness"),
    SortTask: ("keep", "sorted", "picks", "tolerance"),
    ChooseTask: ("choices", "right"),
    MeasureTask: ("length", "tolerance"),
    CompareTask: ("choices", "right", "causes", "right_cause"),
}
WHOLE: Final = "the whole tomogram"
SCREEN: Final = "what the screen shows"
_TEXT_PX: Final = 70
_ANGSTROM_PER_NM: Final = 10.0


class TaskForm(QWidget):
    """Fields of a task; only those of the chosen kind are shown.

    Attributes
    ----------
    fields
        The fields by name.
    is_touched
        Whether something was changed since a task was shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._shown: LessonTask | None = None
        self.is_touched = False
        self.kind = QComboBox()
        self.kind.addItems(list(KINDS))
        self.ask = QLineEdit()
        self.explanation = _lines("Shown after the answer")
        self.nothing = QCheckBox("Nothing to pick here")
        self.keep = QCheckBox("Keep the right picks as they are")
        self.picks = LayerCombo(viewer, are_picks, "Layer of the right picks", NO_PICKS)
        self.sorted = LayerCombo(viewer, are_picks, "Layer of the picks to sort", NO_PICKS)
        self.name = QLineEdit()
        self.tolerance = number_box("Tolerance", "nm", 1000, least=0.1)
        self.region = QComboBox()
        self.region.addItems([WHOLE, SCREEN])
        self.thickness = number_box(
            "Thickness of the region around the shown plane", "nm", 10_000, unset="all planes"
        )
        self.choices = _lines("One a line")
        self.right = QSpinBox()
        self.causes = _lines("What may be wrong with it, one a line")
        self.right_cause = QSpinBox()
        self.length = number_box("Right length", "nm", 100_000, least=0.1)
        rows = {
            "ask": "Question",
            "nothing": "",
            "keep": "",
            "sorted": "Picks to sort",
            "picks": "Right picks",
            "name": "Object",
            "region": "Region",
            "thickness": "Planes",
            "choices": "Choices",
            "right": "Right one",
            "causes": "Causes",
            "right_cause": "Right cause",
            "length": "Right length",
            "tolerance": "Tolerance",
            "explanation": "Explanation",
        }
        self.fields: dict[str, QWidget] = {name: getattr(self, name) for name in rows}
        for number in (self.right, self.right_cause):
            number.setRange(1, MAX_CHOICES)
            number.setPrefix("number ")
        self._form = form_of(*((label, self.fields[name]) for name, label in rows.items()))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.kind)
        column.addLayout(self._form)
        self.kind.currentIndexChanged.connect(self._show_fields)
        self.nothing.toggled.connect(self._show_fields)
        self.keep.toggled.connect(self._show_fields)
        self.region.currentIndexChanged.connect(self._show_fields)
        self.picks.layer_changed.connect(self._suggest)
        for field in self.fields.values():
            _changed_signal(field).connect(self._touch)
        self.show_task(None)

    @property
    def reference_layer(self) -> Layer | None:
        """The layer whose picks are the right ones; None if the task takes none."""
        takes_picks = not self.picks.isHidden()
        return self.picks.layer if takes_picks else None

    def close_down(self) -> None:
        """Stop watching the viewer's layers."""
        self.picks.close_down()
        self.sorted.close_down()

    def show_task(self, task: LessonTask | None) -> None:
        """Show a task; without one, the kind stays and the fields are empty."""
        self._shown = task
        if task is not None:
            self.kind.setCurrentIndex(list(KINDS.values()).index(type(task)))
        self.ask.setText("" if task is None else task.ask)
        self.explanation.setPlainText("" if task is None else task.explanation)
        self.nothing.setChecked(False)
        self.keep.setChecked(False)
        match task:
            case PickTask():
                self.nothing.setChecked(task.reference is None)
                self.keep.setChecked(task.reference is not None)
                self.name.setText(task.object_name)
                self.region.setCurrentText(SCREEN if task.region_zyx_angstrom else WHOLE)
            case SortTask():
                self.keep.setChecked(True)
            case ChooseTask():
                self._show_choices([choice.text for choice in task.choices], task.right or 0)
            case MeasureTask():
                self.length.setValue((task.right_angstrom or 0.0) / _ANGSTROM_PER_NM)
            case CompareTask():
                self._show_choices(task.layers, _row_of(task.right, task.layers))
                self.causes.setPlainText("\n".join(task.causes))
                self.right_cause.setValue(_row_of(task.right_cause, task.causes) + 1)
        if isinstance(task, PickTask | SortTask | MeasureTask):
            self.tolerance.setValue(task.tolerance_angstrom / _ANGSTROM_PER_NM)
        else:
            self._suggest()
        self._show_fields()
        self.is_touched = False

    def task(self, draft: Draft, step: int) -> LessonTask:
        """The task of the form; its picks are given to the draft.

        Raises FormatError if something is missing.
        """
        kind = KINDS[self.kind.currentText()]
        old = self._shown if isinstance(self._shown, kind) else None
        common: dict[str, Any] = {"ask": self.ask.text(), "explanation": self._explanation}
        if old is not None:
            common |= {"messages": old.messages, "pass_score": old.pass_score}
        tolerance = self.tolerance.value() * _ANGSTROM_PER_NM
        if kind is MeasureTask:
            length = self.length.value() * _ANGSTROM_PER_NM
            return MeasureTask(right_angstrom=length, tolerance_angstrom=tolerance, **common)
        if kind is ChooseTask:
            return self._choose_task(old if isinstance(old, ChooseTask) else None, common)
        if kind is CompareTask:
            return self._compare_task(common)
        common |= {"tolerance_angstrom": tolerance}
        is_kept = self.keep.isChecked()
        if kind is SortTask:
            if is_kept and isinstance(old, SortTask):
                return SortTask(picks=old.picks, reference=old.reference, **common)
            reference = self._add_picks(draft, step, self.picks.layer, is_hidden=True)
            shown = self._add_picks(draft, step, self.sorted.layer, is_hidden=False)
            return SortTask(picks=shown, reference=reference, **common)
        if not self.name.text().strip():
            raise FormatError("The task doesn't say which object to pick.")
        kept = old if isinstance(old, PickTask) else None
        common |= {"object_name": self.name.text().strip(), "region_zyx_angstrom": self._region()}
        if kept is not None:
            common |= {"others": kept.others}
        if self.nothing.isChecked():
            return PickTask(**common)
        if is_kept and kept is not None:
            if self.region.currentText() == SCREEN:
                common |= {"region_zyx_angstrom": kept.region_zyx_angstrom}
            return PickTask(reference=kept.reference, **common)
        reference = self._add_picks(draft, step, self.picks.layer, is_hidden=True)
        return PickTask(reference=reference, **common)

    @property
    def _explanation(self) -> str:
        return self.explanation.toPlainText().strip()

    def _choose_task(self, old: ChooseTask | None, common: dict[str, Any]) -> ChooseTask:
        """The choices of the form; one that had a picture, a place or a message keeps it."""
        known = {} if old is None else {choice.text: choice for choice in old.choices}
        texts = _items(self.choices)
        _require_right(texts, self.right.value(), least=2)
        choices = tuple(known.get(text, Choice(text=text)) for text in texts)
        return ChooseTask(choices=choices, right=self.right.value() - 1, **common)

    def _compare_task(self, common: dict[str, Any]) -> CompareTask:
        layers = _items(self.choices)
        causes = _items(self.causes)
        _require_right(layers, self.right.value(), least=2)
        if causes:
            _require_right(causes, self.right_cause.value(), least=1)
        return CompareTask(
            layers=tuple(layers),
            causes=tuple(causes),
            right=layers[self.right.value() - 1],
            right_cause=causes[self.right_cause.value() - 1] if causes else "",
            **common,
        )

    def _add_picks(self, draft: Draft, step: int, layer: Layer | None, *, is_hidden: bool) -> str:
        if not isinstance(layer, Points):
            raise FormatError("The task needs a layer of picks.")
        volume = volume_for(list(self._viewer.layers), layer)
        spacing = None if volume is None else spacing_angstrom_of(volume)
        if volume is None or spacing is None:
            raise FormatError("The picks need their tomogram.", hint="Open it beside them.")
        size_z, size_y, size_x = (volume.data[0] if volume.multiscale else volume.data).shape
        picks = Picks(positions_of(layer) / spacing, spacing, shape_zyx=(size_z, size_y, size_x))
        return draft.add_picks(step, picks, is_hidden=is_hidden)

    def _region(self) -> RegionZyx | None:
        if self.region.currentText() == WHOLE:
            return None
        ranges = self._viewer.dims.range
        z, y, x = ((each.start, each.stop) for each in ranges)
        thickness = self.thickness.value() * _ANGSTROM_PER_NM
        return region_of_screen(camera_of(self._viewer), (z, y, x), thickness)

    # what the form shows

    def _suggest(self) -> None:
        """Suggest the object of the chosen picks, and half of its diameter."""
        layer = self.picks.layer
        if layer is None or self._shown is not None:
            return
        was_touched = self.is_touched
        about = about_of(layer)
        if about.object_name:
            self.name.setText(about.object_name)
        size = diameter_angstrom(about.object_id, about.object_name or self.name.text())
        self.tolerance.setValue(size / 2 / _ANGSTROM_PER_NM)
        self.is_touched = was_touched

    def _touch(self) -> None:
        self.is_touched = True

    def _show_choices(self, texts: Any, right: int) -> None:
        self.choices.setPlainText("\n".join(texts))
        self.right.setValue(right + 1)

    def _show_fields(self, _chosen: object = None) -> None:
        kind = KINDS[self.kind.currentText()]
        shown = {"ask", "explanation", *_FIELDS[kind]}
        has_picks = isinstance(self._shown, kind) and getattr(self._shown, "reference", None)
        is_nothing = kind is PickTask and self.nothing.isChecked()
        if not has_picks or is_nothing:
            shown -= {"keep"}
        if is_nothing or (has_picks and self.keep.isChecked()):
            shown -= {"picks", "sorted"}
        if self.region.currentText() == WHOLE:
            shown -= {"thickness"}
        for name, field in self.fields.items():
            self._form.setRowVisible(field, name in shown)


def _changed_signal(field: QWidget) -> Any:
    match field:
        case QComboBox():
            return field.activated
        case QCheckBox():
            return field.clicked
        case QLineEdit() | QPlainTextEdit():
            return field.textChanged
        case _:
            return field.valueChanged  # type: ignore[attr-defined] # of a spin box


def _lines(placeholder: str) -> QPlainTextEdit:
    box = QPlainTextEdit()
    box.setPlaceholderText(placeholder)
    box.setFixedHeight(_TEXT_PX)
    box.setTabChangesFocus(True)
    return box


def _items(box: QPlainTextEdit) -> list[str]:
    lines = map(str.strip, box.toPlainText().splitlines())
    return list(filter(None, lines))


def _row_of(text: str, texts: tuple[str, ...]) -> int:
    return texts.index(text) if text in texts else 0


def _require_right(texts: list[str], right: int, *, least: int) -> None:
    if len(texts) < least or right > len(texts):
        raise FormatError(f"The task has {len(texts)} choices, and number {right} is right.")
