"""The page of a run: its tomograms, annotations and tilt series, to show."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QMenu,
    QPushButton,
    QWidget,
)

from napari_cryoet._qt.layers.colors import Appearance
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.rooms import RUN_BUTTONS
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    add_item,
    column_in,
    not_none,
    open_in_browser,
    plain_label,
    row_of,
    tool_button,
)
from napari_cryoet._qt.widgets.record_model import RecordModel, TickColumn
from napari_cryoet._qt.widgets.record_view import RecordView
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.appearance.colors import annotation_colors
from napari_cryoet.pages.rows import Tick, TickState
from napari_cryoet.pages.run import (
    LayerState,
    annotation_rows,
    open_button,
    tilt_series_rows,
    tomogram_rows,
)
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import TiltSeries, Tomogram
from napari_cryoet.runs.outline import (
    AnnotationRow,
    RunOutline,
    deposition_shares,
    outline_run,
)
from napari_cryoet.wording import joined, plain

MIN_TREE_PX = 90  # the header and a few annotations


class RunView(QWidget):
    """Shows a run, and emits the user's requests; it doesn't change layers itself."""

    tomogram_open_requested = Signal(object, object)  # RunPage, Tomogram
    tomogram_stop_requested = Signal(object)  # Tomogram
    row_toggled = Signal(object)  # AnnotationRow to show or hide
    tilt_series_toggled = Signal(object)  # TiltSeries
    deposition_requested = Signal(int)  # its id
    room_requested = Signal(object, object)  # Entry, its button
    page_shown = Signal(object)  # RunPage
    shown_changed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.page: RunPage | None = None
        self.tomogram: Tomogram | None = None  # the chosen one; None if the run has none
        self.outline: RunOutline | None = None  # annotations by their fit to that tomogram
        self.shown, self._shown_series = Shown(), Shown()
        self._progress_text = ""
        self.portal_url = ""
        self._heading = QHBoxLayout()
        self.portal = tool_button("Portal", "Show this run on the portal website")
        self.depositions = tool_button("Depositions ▾", "Depositions of this run's data")
        self.depositions.setMenu(QMenu(self.depositions))
        self.tomogram_model = RecordModel(parent=self)
        self.tomograms = RecordView(theme, self.tomogram_model, "Tomograms", most_rows=4)
        self.open = QPushButton()
        rooms = {entry: tool_button(entry.text, entry.purpose) for entry in RUN_BUTTONS}
        for entry, button in rooms.items():
            button.clicked.connect(partial(self.room_requested.emit, entry, button))
        self._opening = row_of(self.open, *rooms.values())
        layer, window, space = (
            "Show as a layer (Space)",
            "Show in a separate window (Space)",
            Qt.Key.Key_Space,
        )
        show_layer = TickColumn(
            "Show", layer, space, self._tick_of_row, self.row_toggled.emit, self.shown_changed
        )
        toggle_window = self.tilt_series_toggled.emit
        show_window = TickColumn(
            "Show", window, space, self._tick_of_series, toggle_window, self.shown_changed
        )
        self.annotations = RecordModel(title="Annotations", tick_columns=[show_layer], parent=self)
        self.tree = RecordView(theme, self.annotations, "Annotations")
        self.tree.setMinimumHeight(MIN_TREE_PX)
        self.nothing = plain_label(name="dimText")
        self.tilt_series_model = RecordModel(tick_columns=[show_window], parent=self)
        self.tilt_series = RecordView(theme, self.tilt_series_model, "Tilt series", most_rows=3)
        self._connect()
        self._lay_out()

    def set_page(self, page: RunPage, portal_url: str = "") -> None:
        """Show a run with its default tomogram chosen, without opening it; the URL may be empty."""
        is_same_run = self.page is not None and self.page.run.id == page.run.id
        chosen_id = self.tomogram.id if is_same_run and self.tomogram is not None else None
        self.page, self.portal_url = page, portal_url
        self.portal.setVisible(bool(portal_url))
        self._list_depositions(page)
        for widget in (self.tomograms, self._opening):
            widget.setVisible(bool(page.tomograms))
        missing = [] if page.tomograms else ["tomogram"]
        missing += [] if page.annotations else ["annotations"]
        self.nothing.setText(f"This run has no {' and no '.join(missing)}.")
        self.nothing.setVisible(bool(missing))
        self.tree.setVisible(bool(page.annotations or page.identified_objects))
        self.tilt_series.setVisible(bool(page.tilt_series))
        self.choose(
            next((each for each in page.tomograms if each.id == chosen_id), page.default_tomogram)
        )
        self.tilt_series_model.set_rows(tilt_series_rows(page.tilt_series))
        self.page_shown.emit(page)

    def choose(self, tomogram: Tomogram | None) -> None:
        """Choose a tomogram, and list the annotations by their fit to it."""
        self.tomogram = tomogram
        self.outline = outline_run(not_none(self.page), tomogram)
        self._list_tomograms()
        if tomogram is not None:
            self.tomograms.select(tomogram.id)
        self._list_annotations()

    def set_shown(self, shown: Shown) -> None:
        were_edited = self.shown.edited
        self.shown = shown
        self._list_tomograms()
        if shown.edited != were_edited:
            self._list_annotations()
        self.shown_changed.emit()

    def set_shown_tilt_series(self, shown: Shown) -> None:
        self._shown_series = shown
        self.shown_changed.emit()

    def set_progress(self, text: str) -> None:
        self._progress_text = text
        self._update_open()

    def add_to_heading(self, widget: QWidget) -> None:
        """Add a control beside the heading."""
        self._heading.insertWidget(1, widget)

    def focus_list(self) -> None:
        view = self.tomograms if self.tomogram_model.rows else self.tree
        view.stand_somewhere()
        view.setFocus(Qt.FocusReason.TabFocusReason)

    def _connect(self) -> None:
        self.portal.clicked.connect(lambda: open_in_browser(self.portal_url))
        self.open.clicked.connect(self._on_open_clicked)
        self.tomograms.current_record_changed.connect(self._on_tomogram)
        self.tomograms.opened.connect(self._open)
        self.tree.opened.connect(self.row_toggled)

    # contents

    def _list_tomograms(self) -> None:
        tomograms = self.page.tomograms if self.page is not None else ()
        keys = {each.id: LayerKey("tomogram", each.id) for each in tomograms}
        visible_ids = {each for each, key in keys.items() if self.shown.is_visible(key)}
        alignments = self.page.alignments if self.page is not None else ()
        rows = tomogram_rows(tomograms, self.tomogram, visible_ids, alignments)
        self.tomogram_model.set_rows(rows)
        self._update_open()

    def _list_annotations(self) -> None:
        if self.page is None or self.outline is None:
            return
        has_stars = any(row.annotation.is_curator_recommended for row in self.outline.rows())
        self.annotations.set_title("Annotations  (★ recommended)" if has_stars else "Annotations")
        colors = annotation_colors(self.page.annotations)
        self.annotations.set_rows(annotation_rows(self.outline, colors, self.shown.edited))

    def _list_depositions(self, page: RunPage) -> None:
        menu = not_none(self.depositions.menu())
        menu.clear()
        for share in deposition_shares(page):
            text = joined(f"Deposition CZCDP-{share.id}", share.text, plain(share.title))
            add_item(menu, text, partial(self.deposition_requested.emit, share.id))
        self.depositions.setVisible(not menu.isEmpty())

    def _update_open(self) -> None:
        """Update the button: *Open* with the size, *Stop* with the progress, or *Show* for a hidden layer."""
        tomogram = self.tomogram
        if tomogram is None:
            return
        state = self.shown.state(LayerKey("tomogram", tomogram.id))
        text, purpose, is_enabled = open_button(tomogram, state, progress=self._progress_text)
        self.open.setText(text)
        self.open.setToolTip(purpose)
        self.open.setAccessibleName(f"{text}. {purpose}")
        self.open.setEnabled(is_enabled)

    # user actions

    def _on_tomogram(self, tomogram: Tomogram | None) -> None:
        if tomogram is not None and tomogram is not self.tomogram:
            self._progress_text = ""
            self.choose(tomogram)

    def _on_open_clicked(self) -> None:
        tomogram = not_none(self.tomogram)
        if LayerKey("tomogram", tomogram.id) in self.shown.coming:
            self.tomogram_stop_requested.emit(tomogram)
        else:
            self._open(tomogram)

    def _open(self, tomogram: Tomogram) -> None:
        if self.page is not None and tomogram.url:
            self._progress_text = ""
            self.tomogram_open_requested.emit(self.page, tomogram)

    def _tick_of_row(self, row: AnnotationRow | tuple[AnnotationRow, ...]) -> Tick | None:
        key = None if isinstance(row, tuple) else key_of_row(row)
        return None if key is None else self.shown.tick(key)

    def _tick_of_series(self, series: TiltSeries) -> Tick | None:
        return self._shown_series.tick(LayerKey("tilt series", series.id)) if series.url else None

    def _lay_out(self) -> None:
        self._heading.addWidget(ElidedLabel("Tomograms", name="heading"), 1)
        self._heading.addWidget(self.depositions)
        self._heading.addWidget(self.portal)
        above = (self._heading, self.tomograms, self._opening, self.nothing)
        parts = (*above, self.tree, self.tilt_series)
        column = column_in(self, *parts, margins=(0, 0, 0, 0), spacing=4)
        column.setStretchFactor(self.tree, 1)
        column.addStretch(0)


SHOW = 0  # tick column
_STATES: Final = {True: TickState.ON, False: TickState.OFF}


@dataclass(frozen=True, slots=True)
class Shown:
    """The layers or windows of a run, the keys that are loading, and the user's edits.

    ``edited`` has the number of picks in the edited version of an annotation file, by its id.
    """

    appearances: Mapping[LayerKey, Appearance] = field(default_factory=dict)
    coming: Set[LayerKey] = frozenset()
    edited: Mapping[int, int] = field(default_factory=dict)

    def is_visible(self, key: LayerKey) -> bool:
        appearance = self.appearances.get(key)
        return appearance is not None and appearance.is_visible

    def state(self, key: LayerKey) -> LayerState:
        if key in self.coming:
            return "loading"
        if self.is_visible(key):
            return "visible"
        return "hidden" if key in self.appearances else "none"

    def tick(self, key: LayerKey) -> Tick:
        """Checked if visible, partial while loading, and a hollow frame in the layer's colour if hidden."""
        appearance = self.appearances.get(key)
        if key in self.coming:
            return Tick(TickState.PARTIAL)
        if appearance is None:
            return Tick()
        return Tick(
            _STATES[appearance.is_visible], appearance.color, is_hollow=not appearance.is_visible
        )


def key_of_row(row: AnnotationRow) -> LayerKey | None:
    """The key of a row's layer or caption; None if it has no file."""
    file = row.shown_file or row.caption_file
    return None if file is None else LayerKey("annotation", file.id)
