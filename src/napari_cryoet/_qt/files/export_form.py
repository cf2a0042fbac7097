"""A form that writes the picks of a layer into a file, and says before what the file won't hold."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit
from napari.layers import Points
from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.files.context_dialog import Answer, ContextDialog
from napari_cryoet._qt.layers.alignment import shown_volumes
from napari_cryoet._qt.picks.layer_geometry import placed_picks_of
from napari_cryoet._qt.picks.layer_picks import link_of
from napari_cryoet._qt.picks.orientations import active_points
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.elided_combo import elide_middle
from napari_cryoet._qt.widgets.flow_row import FlowRow
from napari_cryoet._qt.widgets.labels import plain_label, plain_tooltip
from napari_cryoet._qt.widgets.layer_combo import NO_PICKS, named_layers
from napari_cryoet._qt.widgets.scrolling import ScrollingPage
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet._qt.widgets.wrapped_tick import wrap_words
from napari_cryoet.exceptions import CryoETError, ExistsError
from napari_cryoet.formats.common import MISSING_WORDS
from napari_cryoet.formats.registry import (
    FORMATS,
    SUFFIXES,
    TITLES,
    PickFormat,
    Written,
    losses,
    missing_for,
    write_picks,
)
from napari_cryoet.picks import Picks
from napari_cryoet.wording import count_text

Which = Literal["all", "kept", "selected"]

_KEY: Final = "export picks"
_OPEN_PICKS: Final = "Open picks to export: show an annotation from the portal's dock, or open a file of picks."
_NONE_OF_THEM: Final = {
    "kept": "The review has kept none yet.",
    "selected": "None is selected: select some in the viewer.",
}
_SETTLE_MS: Final = 50  # while a person drags points
_LOSSES: Final = "what a file won't hold"
_LOOKING: Final = "Looking for what this format won't hold …"
_AT_ONCE: Final = 20_000  # picks whose columns are looked through in a moment


class ExportPicks(Dock):
    """Which layer, which of its picks, in which format, where to.

    Parameters
    ----------
    napari_viewer
        Whose layers are offered.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, "Export picks", tab_name="Export")
        self._said: WeakKeyDictionary[Points, Answer] = WeakKeyDictionary()
        self._followed: Points | None = None
        self._just_written: Path | None = None
        self._known_losses: tuple[Picks, PickFormat, tuple[str, ...]] | None = None
        self._refresh_soon = single_shot(self, _SETTLE_MS, self.refresh)
        self.at_close(self._refresh_soon.stop)
        self.at_close(lambda: self._follow(None))
        self.layer = ComboBox(label="Picks", choices=self._choices)
        self.which = ComboBox(label="Which", choices=list(get_args(Which)))
        self.format = ComboBox(label="Format", choices=[(TITLES[name], name) for name in FORMATS])
        self.path = FileEdit(label="File", mode=FileDialogMode.OPTIONAL_FILE, value=Path.home() / "picks.ndjson")
        self.who = LineEdit(label="By")
        self.replace = CheckBox(text="Replace the file if there is one")
        self.count = plain_label(name="exportCount")
        self.losses = plain_label(name="exportLosses")
        self.say_more = QPushButton("Choose the volume…")
        self.export = QPushButton("Export")
        self.message = plain_label(name="exportMessage")
        self._lay_out()
        self._connect()
        self._on_layers()
        self._on_format(self.format.value)

    @property
    def chosen_path(self) -> Path:
        """Where to."""
        return Path(str(self.path.value)).expanduser()

    def chosen_picks(self) -> Picks | None:
        """What would be written; None where there is nothing to write."""
        layer = self.layer.value
        if layer is None:
            return None
        try:
            match self.which.value:
                case "kept":
                    picks = link_of(layer).kept_picks
                case "selected":
                    rows = np.array(sorted(row for row in layer.selected_data if row < len(layer.data)), dtype=np.intp)
                    whole = placed_picks_of(layer)
                    picks = whole.take(rows, f"{len(rows):,} of {len(whole):,} picks chosen by hand")
                case _:
                    picks = placed_picks_of(layer)
        except ValueError as error:
            self.message.setText(f"This layer can't be exported: {error}.")
            return None
        return None if picks is None else _completed(picks, self._said.get(layer, Answer()))

    def use_layer(self, layer: Points, which: Which = "all") -> None:
        """Choose whose picks to export, and which of them."""
        self.layer.value, self.which.value = layer, which
        self.layer.native.setFocus()

    def _lay_out(self) -> None:
        self.say_more.setAccessibleName("Choose the volume that the picks belong to")
        self.export.setAccessibleName("Export the picks")
        self.export.setToolTip("Write the file, beside your work, with where the picks come from")
        self.say_more.setToolTip("Say how wide its voxels are, or how large it is: this format needs that")
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        names = {
            self.layer: ("Picks to export", "Layer whose picks are written"),
            self.which: ("Which of them", "All, those that a review kept, or those that are selected in the viewer"),
            self.format: ("Format", "What it won't hold is said below"),
            self.path: ("File", ""),
            self.who: ("Your name, for the record in the file", "Your name, for the record in the file; may be empty"),
            self.replace: ("Replace the file if there is one", "Holds for the next export alone"),
        }
        for widget, (name, purpose) in names.items():
            widget.native.setAccessibleName(name)
            widget.native.setToolTip(purpose)
            if widget is self.replace:
                form.addRow(widget.native)  # in all the width: Qt wraps no row that has no label
            else:
                form.addRow(widget.label, widget.native)
        self.path.line_edit.native.setAccessibleName("File to write")
        self.path.choose_btn.native.setAccessibleName("Choose the file to write")
        self.path.choose_btn.native.setToolTip("Choose the folder, and the name of the file")
        self._tell_path()
        wrap_words(self.replace.native)
        for box in (self.layer, self.format):  # long names must not make the dock wide
            elide_middle(box.native)
            box.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.native.setMinimumContentsLength(12)
        self.who.native.setPlaceholderText("your name, for the record")
        self.path.choose_btn.text = "Choose…"
        buttons = FlowRow(gap_px=6)
        buttons.add(self.say_more)
        buttons.add_stretch()
        buttons.add(self.export)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 6, 6, 4)
        column.setSpacing(6)
        column.addLayout(form)
        column.addWidget(self.count)
        column.addWidget(self.losses)
        column.addLayout(buttons)
        column.addWidget(self.message)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(ScrollingPage(inner))
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def _connect(self) -> None:
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            self.listen(event, self._on_layers)
        self.layer.changed.connect(self._on_layer)
        self.which.changed.connect(self._on_choice)
        self.format.changed.connect(self._on_format)
        self.path.changed.connect(self._on_choice)
        self.path.changed.connect(self._tell_path)
        self.replace.changed.connect(self.refresh)
        self.say_more.clicked.connect(lambda _checked=False: self._on_say_more())
        self.export.clicked.connect(lambda _checked=False: self._on_export())
        self.tasks.finished.connect(self._on_finished)

    def _layers(self, _widget: object = None) -> list[Points]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Points) and layer.ndim == 3]

    def _choices(self, _widget: object = None) -> list[tuple[str, Points | None]]:
        choices: list[tuple[str, Points | None]] = [*named_layers(self._layers())]
        return choices or [(NO_PICKS, None)]

    def _on_layers(self, _event: object = None) -> None:
        chosen, layers = self.layer.value, self._layers()
        self.layer.reset_choices()
        if chosen in layers:
            self.layer.value = chosen  # a new name loses what was chosen
        active = active_points(self.viewer.layers)
        if layers and self._followed not in layers:
            self.layer.value = active if active in layers else layers[0]
        self._follow(self.layer.value)
        self.refresh()

    def _on_layer(self, layer: Points | None) -> None:
        self._follow(layer)
        self._on_choice()

    def _follow(self, layer: Points | None) -> None:
        """Keep what is said in step with this layer and no other."""
        before, self._followed = self._followed, layer
        if before is not None:
            before.events.data.disconnect(self._on_edit)
            before.events.features.disconnect(self._on_edit)
            before.selected_data.events.items_changed.disconnect(self._on_edit)
        if layer is not None:
            layer.events.data.connect(self._on_edit)
            layer.events.features.connect(self._on_edit)
            layer.selected_data.events.items_changed.connect(self._on_edit)

    def _tell_path(self, _value: object = None) -> None:
        """Show all of a path that the field has no room for."""
        self.path.line_edit.native.setToolTip(plain_tooltip(f"{self.chosen_path}\nIts ending follows the format."))

    def _on_choice(self, _value: object = None) -> None:
        self._just_written = None
        self.message.setText("")  # it was about another file
        self.refresh()

    def _on_edit(self, _event: object = None, _removed: object = None) -> None:
        self._refresh_soon.start()

    def _on_finished(self, key: object) -> None:
        """A file was written."""
        if key == _KEY:
            self._on_edit()

    def _on_format(self, name: PickFormat) -> None:
        path = self.chosen_path
        if path.suffix.lower() in set(SUFFIXES.values()):
            self.path.value = path.with_suffix(SUFFIXES[name])
        self._on_choice()

    def refresh(self, _value: object = None) -> None:
        """Say what would be written now, and whether it can be."""
        self.tasks.stop(_LOSSES)
        picks = self.chosen_picks()
        name: PickFormat = self.format.value
        if picks is None:
            kept = self.layer.value is not None and self.which.value == "kept"
            self.count.setText("No review has kept picks of this layer." if kept else _OPEN_PICKS)
            self._show([], can_say=False, can_export=False)
            return
        if not len(picks):
            self.count.setText(_NONE_OF_THEM.get(self.which.value, "This layer holds no picks."))
            self._show([], can_say=False, can_export=False)
            return
        self.count.setText(f"{count_text(len(picks), 'pick')} to write.")
        known = self._known_losses
        if known is not None and known[0] is picks and known[1] == name:
            self._show_losses(picks, name, known[2])
        elif len(picks) <= _AT_ONCE:
            self._show_losses(picks, name, losses(picks, name))
        else:
            self._show([_LOOKING], can_say=False, can_export=False)
            self._look_through(picks, name)

    def _look_through(self, picks: Picks, name: PickFormat) -> None:
        """Find out beside a person's work what a file of many picks won't hold."""

        def then(said: tuple[str, ...]) -> None:
            self._known_losses = picks, name, said
            self._show_losses(picks, name, said)

        def failed(error: CryoETError) -> None:
            self._show([str(error)], can_say=False, can_export=False)

        self.tasks.run(_LOSSES, lambda _job: losses(picks, name), then=then, failed=failed)

    def _show_losses(self, picks: Picks, name: PickFormat, lost: tuple[str, ...]) -> None:
        """Say what is lacking or in the way, and what the file won't hold."""
        missing, said = missing_for(picks, name), list(lost)
        if missing:
            words = " and ".join(MISSING_WORDS[each] for each in missing)
            said.insert(0, f"This format needs {words}, which nobody said yet.")
        is_folder = self.chosen_path.is_dir()
        exists = self.chosen_path.exists() and not self.replace.value
        if is_folder:
            said.insert(0, f"{self.chosen_path.absolute()} is a folder. Say which file in it.")
        elif exists and self.chosen_path != self._just_written:
            said.insert(0, f"{self.chosen_path.name} is there already. Tick the box to replace it.")
        self._show(said, can_say=bool(missing), can_export=not (missing or exists or is_folder))

    def _show(self, said: list[str], *, can_say: bool, can_export: bool) -> None:
        self.losses.setText("\n".join(f"•\N{NO-BREAK SPACE}{line}" for line in said))
        self.losses.setVisible(bool(said))
        self.say_more.setVisible(can_say)
        self.export.setEnabled(can_export and not self.tasks.is_running(_KEY))

    def _on_say_more(self) -> None:
        picks, layer = self.chosen_picks(), self.layer.value
        if picks is None:
            return
        missing = missing_for(picks, self.format.value)
        dialog = ContextDialog(
            f"{TITLES[self.format.value]} needs {' and '.join(MISSING_WORDS[each] for each in missing)}.",
            missing,
            volumes=shown_volumes(self.viewer.layers),
            parent=self,
        )
        if dialog.exec():
            self._said[layer] = self._said.get(layer, Answer()).updated(dialog.answer)
            self.refresh()

    def _on_export(self) -> None:
        picks = self.chosen_picks()
        if picks is None:
            return
        path, name, who, overwrite = self.chosen_path, self.format.value, self.who.value, bool(self.replace.value)
        self.export.setEnabled(False)
        self.message.setText("")
        self.tasks.run(
            _KEY,
            lambda _job: write_picks(picks, path, format=name, overwrite=overwrite, who=who.strip()),
            then=self._on_written,
            failed=self._on_failed,
            title=f"Writing {path.name}",
        )

    def _on_written(self, made: Written) -> None:
        self.replace.value = False  # consent was for this once
        self._just_written = made.path
        self.refresh()
        beside = f" Where they come from: {made.provenance_path.name}."
        self.message.setText(f"Wrote {count_text(made.count, 'pick')} to {made.path}.{beside}")

    def _on_failed(self, error: CryoETError) -> None:
        self.refresh()
        self.message.setText(error.message if isinstance(error, ExistsError) else str(error))


def _completed(picks: Picks, said: Answer) -> Picks:
    """Picks with what a person said of their volume, where they don't say it themselves."""
    if picks.spacing_angstrom is None and said.spacing_angstrom is not None:
        picks = picks.changed(spacing_angstrom=said.spacing_angstrom)
    if picks.shape_zyx is None and said.shape_zyx is not None and said.spacing_angstrom is not None:
        picks = picks.rescaled(said.spacing_angstrom, said.shape_zyx)
    return picks
