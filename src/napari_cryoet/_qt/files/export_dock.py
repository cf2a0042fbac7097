"""The dock that exports a layer's picks to a file, and warns of information that the format loses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from napari.layers import Layer, Points
from napari.viewer import Viewer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QLineEdit,
    QPushButton,
)

from napari_cryoet._qt.files.questions import (
    RELION_VERSIONS,
    ContextAnswer,
    ContextDialog,
)
from napari_cryoet._qt.layers.layer_combo import NO_PICKS, LayerCombo
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import PlacementError, shown_volumes
from napari_cryoet._qt.picks.layer_picks import (
    are_picks,
    live_picks_of,
    placed_picks_of,
    volume_for,
)
from napari_cryoet._qt.picks.orientations import active_points
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet._qt.widgets.controls import (
    column_in,
    explain,
    form_of,
    may_replace,
    plain_label,
    row_of,
)
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.exceptions import CryoETError, ExistsError
from napari_cryoet.files import clean_name
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
from napari_cryoet.formats.relion import TOMOGRAM_NAME
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.wording import count_text

Which = Literal["all", "kept", "selected"]
ALL: Final = "all"
KEPT: Final = "kept"
SELECTED: Final = "selected"

_KEY: Final = "export picks"
_LOSSES: Final = "export losses"
_OPEN_PICKS: Final = (
    "Open picks to export: show an annotation from the portal's dock, or open a file of picks."
)
#: For each choice of picks, its label and the message if there are none.
_WHICH: Final = {
    ALL: ("all", "This layer holds no picks."),
    KEPT: ("kept in a review", "No review has kept picks of this layer."),
    SELECTED: ("selected in the viewer", "None is selected: select some in the viewer."),
}
_NOT_IN_NAMES: Final = re.compile(r'[<>:"/\\|?*\s]+')
_SETTLE_MS: Final = 50  # delay while points are dragged


class ExportPicks(Dock):
    """The dock to export picks: choose the layer, the picks, the format and the file."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, "Export picks", tab_name="Export")
        self._answers: dict[str, ContextAnswer] = {}  # by the layer's unique id
        self._edits = Connections()
        self.layer = LayerCombo(self, are_picks, "Picks to export", NO_PICKS)
        self.which, self.format, self.version = QComboBox(), QComboBox(), QComboBox()
        self.path, self.choose = QLineEdit(), QPushButton("…")
        self.who = QLineEdit()
        self.tomogram = QLineEdit()
        self.count, self.losses = plain_label(), plain_label()
        self.bar = StartBar(
            self.tasks, _KEY, "Export", "Write the file, with a provenance record beside it"
        )
        self._refresh_soon = single_shot(self, _SETTLE_MS, self.refresh)
        self._lay_out()
        self._connect()
        active = active_points(napari_viewer.layers)
        if isinstance(active, Points):
            self.layer.choose(active)
        self._on_layer()
        self.at_close(self._edits.close)
        self.at_close(self._refresh_soon.stop)

    @property
    def chosen_format(self) -> PickFormat:
        """The chosen format, including RELION's version."""
        name: PickFormat = self.format.currentData()
        version: PickFormat = self.version.currentData()
        return version if name in RELION_VERSIONS else name

    @property
    def chosen_path(self) -> Path:
        """The chosen file with the format's suffix; relative paths are in the home folder."""
        path = Path(self.path.text().strip()).expanduser()
        suffix = SUFFIXES[self.chosen_format]
        if path.name and path.suffix.lower() != suffix:
            path = path.with_name(f"{path.name}{suffix}")
        return Path.home() / path

    def chosen_picks(self) -> Picks | None:
        """The picks to write; None if there are none."""
        layer = self.layer.layer
        if layer is None:
            return None
        try:
            match self.which.currentData():
                case "kept":
                    read_kept = live_picks_of(layer).read_kept
                    picks = None if read_kept is None else read_kept()
                case "selected":
                    whole, ids = placed_picks_of(layer), live_picks_of(layer).selected_ids
                    picks = whole.take(
                        np.isin(whole.ids, ids),
                        f"{len(ids):,} of {len(whole):,} picks chosen by hand",
                    )
                case _:
                    picks = placed_picks_of(layer)
        except PlacementError as error:
            self.bar.show_error(error)
            return None
        except ValueError as error:
            self.bar.say(f"This layer can't be exported: {error}.")
            return None
        if picks is None:
            return None
        if self.format.currentData() in RELION_VERSIONS:
            named = Provenance(more={TOMOGRAM_NAME: self.tomogram.text().strip()})
            picks = picks.changed(about=picks.about.updated(named))
        return _completed(picks, self._answers.get(str(layer.unique_id), ContextAnswer()))

    def use_layer(self, layer: Points, which: Which = ALL) -> None:
        """Choose the layer to export, and which of its picks."""
        self.layer.choose(layer)
        self.which.setCurrentIndex(self.which.findData(which))
        self.which.setFocus()

    def _lay_out(self) -> None:
        for which, (label, _none) in _WHICH.items():
            self.which.addItem(label, which)
        newest, *older = RELION_VERSIONS
        for name in FORMATS:
            if name not in older:
                self.format.addItem("RELION STAR" if name == newest else TITLES[name], name)
        for relion, version in RELION_VERSIONS.items():
            self.version.addItem(f"version {version}", relion)
        self.who.setPlaceholderText("your name, for the record in the file")
        explain(
            self.which,
            "Which picks: all, those that a review kept, or those that are selected in the viewer",
        )
        explain(self.format, "File format; losses are listed below")
        explain(self.version, "Version of RELION that will read the file")
        explain(self.path, "File to write; its ending follows the format")
        explain(self.choose, "Choose the folder, and the name of the file")
        explain(self.tomogram, "The tomogram's name in your RELION project, rlnTomoName")
        explain(self.who, "Your name, for the record in the file; may be empty")
        self._form = form_of(
            ("Picks", self.layer),
            ("Which", self.which),
            ("Format", row_of(self.format, self.version)),
            ("Tomogram", self.tomogram),
            ("File", row_of(self.path, self.choose)),
            ("By", self.who),
        )
        column_in(self, self._form, self.count, self.losses, self.bar).addStretch(1)

    def _connect(self) -> None:
        self.layer.layer_changed.connect(self._on_layer)
        self.which.currentIndexChanged.connect(self._on_choice)
        self.format.currentIndexChanged.connect(self._on_format_or_layer)
        self.version.currentIndexChanged.connect(self._on_choice)
        self.path.textEdited.connect(lambda _text: self.bar.say(""))
        self.tomogram.textEdited.connect(self._refresh_soon.start)
        self.choose.clicked.connect(lambda _checked=False: self._on_choose())
        self.bar.start_requested.connect(self._on_export)

    def _on_layer(self) -> None:
        layer = self.layer.layer
        self._follow(layer)
        self.tomogram.setText("" if layer is None else self._tomogram_of(layer))
        self._on_format_or_layer()

    def _tomogram_of(self, layer: Points) -> str:
        """The name of a layer's tomogram, by its file or the portal, or of the volume below."""
        about = about_of(layer)
        volume = volume_for(self.viewer.layers, layer)
        name = about.more.get(TOMOGRAM_NAME) or about.run_name
        return str(name or ("" if volume is None else volume.name))

    def _follow(self, layer: Points | None) -> None:
        """Update the dock on edits of this layer only."""
        self._edits.close()
        if layer is not None:
            self._edits.connect(layer.events.data, self._on_edit)
            self._edits.connect(layer.events.features, self._on_edit)
            self._edits.connect(layer.selected_data.events.items_changed, self._on_edit)

    def _on_edit(self, _event: object = None, _removed: object = None) -> None:
        self._refresh_soon.start()

    def _on_format_or_layer(self, _index: int = 0) -> None:
        self._name_file()
        self._on_choice()

    def _on_choice(self, _index: int = 0) -> None:
        self.bar.say("")  # the old message was about another file
        self.refresh()

    def _name_file(self) -> None:
        """Name the file after the run and object, unless the user typed a name, and set the format's suffix."""
        suffix = SUFFIXES[self.chosen_format]
        layer = self.layer.layer
        if self.path.isModified() and self.path.text().strip():
            path = Path(self.path.text().strip())
            if path.suffix.lower() in SUFFIXES.values():
                self.path.setText(str(path.with_suffix(suffix)))
                self.path.setModified(True)
        else:
            name = "picks" if layer is None else file_stem(layer)
            ending = (
                ".picks.csv" if suffix == ".csv" else suffix
            )  # napari's own reader opens other .csv files
            self.path.setText(str(Path.home() / f"{name}{ending}"))

    def _on_choose(self) -> None:
        suffix = SUFFIXES[self.chosen_format]
        options = QFileDialog.Option.DontConfirmOverwrite  # the dock asks when it writes the file
        kind = f"{self.format.currentText()} (*{suffix})"
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Export picks", str(self.chosen_path), kind, options=options
        )
        if chosen:
            self.path.setText(chosen)
            self.path.setModified(True)
            self._on_choice()

    def refresh(self) -> None:
        """Show the number of picks to write and what the format loses."""
        self.tasks.stop(_LOSSES)
        name = self.chosen_format
        is_relion = self.format.currentData() in RELION_VERSIONS
        self.version.setVisible(is_relion)
        self._form.setRowVisible(self.tomogram, is_relion)
        picks = self.chosen_picks()
        self._say_losses((), ())
        if picks is None or not len(picks):
            _, nothing = _WHICH[self.which.currentData()]
            self.count.setText(_OPEN_PICKS if self.layer.layer is None else nothing)
            self.bar.set_ready(False)
            return
        self.count.setText(f"{count_text(len(picks), 'pick')} to write.")
        self.bar.set_ready(True)
        self.tasks.run(
            _LOSSES,
            lambda _job: losses(picks, name),
            then=lambda lost: self._say_losses(missing_for(picks, name), lost),
            failed=lambda error: self.losses.setText(str(error)),
        )

    def _say_losses(self, missing: tuple[str, ...], lost: tuple[str, ...]) -> None:
        lines = list(lost)
        if missing:
            lines.insert(0, f"This format needs {_names_of(missing)}: you will be asked.")
        self.losses.setText("\n".join(f"•\N{NO-BREAK SPACE}{line}" for line in lines))
        self.losses.setVisible(bool(lines))

    def _on_export(self) -> None:
        picks, layer, name = self.chosen_picks(), self.layer.layer, self.chosen_format
        if picks is None:
            return
        if not self.path.text().strip():
            self.bar.say("Choose a file to write.")
            return
        missing = missing_for(picks, name)
        if missing:
            needs, volumes = (
                f"{TITLES[name]} needs {_names_of(missing)}.",
                shown_volumes(self.viewer.layers),
            )
            dialog = ContextDialog(needs, missing, volumes=volumes, parent=self)
            if not dialog.exec():
                return
            self._answers[str(layer.unique_id)] = dialog.answer
            picks = _completed(picks, dialog.answer)
            self.refresh()
        self._write(picks, self.chosen_path, name, overwrite=False)

    def _write(self, picks: Picks, path: Path, name: PickFormat, *, overwrite: bool) -> None:
        who = self.who.text().strip()

        def failed(error: CryoETError) -> None:
            if not isinstance(error, ExistsError) or overwrite:
                self.bar.show_error(error)
            elif may_replace(path, self):
                self._write(picks, path, name, overwrite=True)
            else:
                self.bar.say("Nothing was written.")

        self.tasks.run(
            _KEY,
            lambda _job: write_picks(picks, path, format=name, overwrite=overwrite, who=who),
            then=self._on_written,
            failed=failed,
            title=f"Writing {path.name}",
        )

    def _on_written(self, written: Written) -> None:
        source = f"Provenance: {written.provenance_path.name}."
        self.bar.say(f"Wrote {count_text(written.count, 'pick')} to {written.path}. {source}")


def file_stem(layer: Layer) -> str:
    """The default file name for a layer's picks: the run and object, or else the layer's name."""
    about = about_of(layer)
    parts = [text for text in (about.run_name, about.object_name) if text]
    return clean_name(_NOT_IN_NAMES.sub("-", "_".join(parts) or layer.name))


def _names_of(missing: tuple[Any, ...]) -> str:
    return " and ".join(MISSING_WORDS[item] for item in missing)


def _completed(picks: Picks, answer: ContextAnswer) -> Picks:
    """Picks with missing spacing and volume size filled in from the user's answer."""
    if picks.spacing_angstrom is None and answer.spacing_angstrom is not None:
        picks = picks.changed(spacing_angstrom=answer.spacing_angstrom)
    if (
        picks.shape_zyx is None
        and answer.shape_zyx is not None
        and answer.spacing_angstrom is not None
    ):
        picks = picks.rescaled(answer.spacing_angstrom, answer.shape_zyx)
    return picks
