"""The dialog that makes a class pack of the basket, a lesson and kept views."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from magicgui import magicgui
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.basket.room import basket_of
from napari_cryoet._qt.basket.state import BasketState
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.widgets.controls import column_in, name_file_field, plain_label
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.start_bar import StartBar, TaskDialog
from napari_cryoet.basket.basket import Basket, ids_in
from napari_cryoet.basket.contents import ask_basket_runs
from napari_cryoet.files import clean_name
from napari_cryoet.lessons.class_pack import (
    DEFAULT_AROUND_NM,
    DEFAULT_LEVEL,
    ClassPackPlan,
    plan_class_pack,
    write_class_pack,
)
from napari_cryoet.portal.portal import Portal
from napari_cryoet.views.store import kept_views
from napari_cryoet.wording import plain

KEY: Final = "class pack"
_PLAN: Final = "plan of the class pack"
_LEVELS: Final = [("All levels", 0), ("Level 1 and coarser", 1), ("Level 2 and coarser", 2)]
#: What the fields of the form are called.
_NAMES: Final = {
    "level": "Levels packed whole",
    "around_nm": "Full resolution around views (nm)",
    "has_views": "with the views kept for these runs",
    "left_out": "Leave out annotations (AN-…)",
}
_FIELDS: Final[Any] = {
    "file": {"widget_type": "FileEdit", "mode": "w", "filter": "*.zip", "label": "Zip or folder"},
    "level": {"choices": _LEVELS, "label": _NAMES["level"]},
    "around_nm": {"min": 1.0, "max": 1000.0, "label": _NAMES["around_nm"]},
    "lesson": {"widget_type": "FileEdit", "mode": "d", "label": "Folder of a lesson"},
    "has_views": {"text": _NAMES["has_views"]},
    "left_out": {"label": _NAMES["left_out"]},
}


def _options(
    file: str,
    *,
    level: int = DEFAULT_LEVEL,
    around_nm: float = DEFAULT_AROUND_NM,
    lesson: str = "",
    has_views: bool = True,
    left_out: str = "",
) -> None:
    """Fields of the form."""


def make_class_pack(dock: Dock) -> None:
    """Open the dialog, from the basket's page."""
    dialog = ClassPackDialog(basket_of(dock), dock)
    dialog.show()
    dialog.activateWindow()


class ClassPackDialog(TaskDialog):
    """Asks for a file and options, shows the size, then writes the pack; closing it stops."""

    def __init__(self, state: BasketState, parent: QWidget | None = None) -> None:
        super().__init__("Make a class pack", 460, parent)
        self._portal = state.portal
        self._basket = state.basket
        self._plan: ClassPackPlan | None = None
        self.form: Any = magicgui(_options, call_button=False, **_FIELDS)
        self.form.file.value = Path.home() / f"{clean_name(self._basket.name or 'class')}.zip"
        self.form.lesson.line_edit.value = ""
        name_file_field(self.form.file, "file of the pack")
        name_file_field(self.form.lesson, "folder of a lesson")
        for name, purpose in _NAMES.items():
            self.form[name].native.setAccessibleName(purpose)
        for name in ("lesson", *_NAMES):
            self.form[name].changed.connect(self._make_plan)
        self.size_label = plain_label(name="downloadSize")
        self.bar = StartBar(self.tasks, KEY, "Make the pack", "Write the pack")
        self.bar.button.setDefault(True)
        self.bar.start_requested.connect(self._on_start)
        self.tasks.finished.connect(self._on_finished)
        column_in(self, self.form.native, self.size_label, self.bar)
        self._make_plan()

    @property
    def path(self) -> Path:
        return Path(str(self.form.file.value)).expanduser()

    def _make_plan(self, _value: object = None) -> None:
        """Look up the contents and the size."""
        form = self.form
        lesson = form.lesson.line_edit.value
        options = {
            "lessons": [lesson] if lesson else [],
            "level": form.level.value,
            "around_nm": form.around_nm.value,
            "hide": ids_in(form.left_out.value).get("annotations", []),
        }
        basket = self._basket
        portal = self._portal
        has_views = form.has_views.value
        self._on_plan(None, "Looking up sizes…")
        self.tasks.run(
            _PLAN,
            lambda job: _planned(portal, basket, options, has_views=has_views, job=job),
            then=self._on_plan,
            failed=lambda error: self._on_plan(None, str(error)),
        )

    def _on_plan(self, plan: ClassPackPlan | None, message: str = "") -> None:
        self._plan = plan
        lines = (f"About {plan.text}.", *plan.remarks) if plan is not None else (message,)
        self.size_label.setText(plain(" ".join(lines)))
        self.bar.set_ready(plan is not None)

    def _on_start(self) -> None:
        plan = self._plan
        path = self.path
        if plan is not None:
            self.form.enabled = False
            self.tasks.run(
                KEY,
                lambda job: write_class_pack(plan, path, task=job),
                then=lambda saved: self.bar.say(f"Saved to {saved}."),
                failed=self.bar.show_error,
            )

    def _on_finished(self, key: object) -> None:
        if key == KEY:
            self.form.enabled = True


def _planned(
    portal: Portal, basket: Basket, options: dict[str, Any], *, has_views: bool, job: Job
) -> ClassPackPlan:
    """The plan of a pack, with the views that the user keeps for the basket's runs."""
    views: list[Path] = []
    if has_views and not basket.is_empty:
        for run in ask_basket_runs(portal, basket, task=job):
            views += [kept.path for kept in kept_views(run.run.dataset_id, run.run.name)]
    return plan_class_pack(portal, basket, views=views, task=job, **options)
