"""The dock that compares two annotations of the viewer: asks, lets a task answer, shows the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Layer
from qtpy.QtWidgets import QFileDialog, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cryoet._qt.compare.compare_form import CompareForm
from napari_cryoet._qt.compare.compare_results import CompareResults
from napari_cryoet._qt.files.asking import agrees_to_replace
from napari_cryoet._qt.files.saving_names import with_ending
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.tasks import NOT_AWAITED, Job, UnexpectedError
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.flow_row import FlowRow
from napari_cryoet._qt.widgets.labels import plain_label, roomy
from napari_cryoet._qt.widgets.message_panel import copy_text
from napari_cryoet._qt.widgets.scrolling import ScrollingPage
from napari_cryoet.comparison.comparing import compare
from napari_cryoet.comparison.masks import PicksInMask
from napari_cryoet.comparison.picks import PicksComparison
from napari_cryoet.comparison.report import Comparison, report_text
from napari_cryoet.exceptions import ComparisonError, CryoETError
from napari_cryoet.files import written_whole
from napari_cryoet.layers.compared import comparison_layers

if TYPE_CHECKING:
    import napari

KEY, SAVE_KEY = "compare", "save the comparison"
_STEPS = 1000
_ONE_LAYER = "A and B are the same layer. Choose another one for A or for B."
_ONLY_ONE = "Only one annotation is open. Open another one to compare it with, points or a mask."
_NO_SPACING = "Nothing says how wide the voxels of {} are. Say it in the field above."
_OTHER_PAIR = "The numbers below are of another choice of A and B."
_AGAIN = "Compare again for this one."
_NO_PAIR_NOW = "The numbers below are of layers that aren't chosen any more."
_START = "Count what matches, beside your work; nothing of A or B is changed"
_NOTHING_YET = "Open two annotations, points or masks; then choose which is judged and which is the reference."


class CompareDock(Dock):
    """Compares two layers of points or labels, and shows what matches and what doesn't.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are compared.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, "Compare annotations", tab_name="Compare")
        self.form = CompareForm(napari_viewer)
        self.at_close(self.form.close_down)
        self.comparison: Comparison | None = None
        self._pair: tuple[Layer | None, Layer | None] = (None, None)  # that is chosen
        self._without_spacing = ""  # of the two, those whose voxels nobody knows the width of
        self._asked = self._compared = self._pair  # whose numbers are on their way, and are shown
        self._saving = ""  # what is said of a file that is written
        self._shown: dict[int, Layer] = {}  # layers that were made of this comparison, by which of its layers they are
        self.start = QPushButton("Compare")
        self.swap = QPushButton("Swap A and B")
        self.stop = QPushButton("Stop")
        self.bar = QProgressBar()
        self.message = plain_label(name="compareMessage")
        self.results = CompareResults(self.theme)
        self._lay_out()
        self._connect()
        self._on_theme()
        self._on_form()

    def use_layer(self, layer: Layer) -> None:
        """Choose the layer to judge; another one stays, or becomes, the reference."""
        if self.form.b.value is layer:
            self.form.swap()
        else:
            self.form.a.value = layer
        self.form.b.native.setFocus()

    def save_json(self, path: Path) -> None:
        """Write all numbers and where both sides come from into a file, which isn't waited for."""
        comparison = self.comparison
        if comparison is None:
            return

        def work(_job: Job) -> str:
            text = json.dumps(comparison.plain(), indent=1, ensure_ascii=False, allow_nan=False)
            with written_whole(path, overwrite=True) as unfinished:  # the dialog has asked
                unfinished.write_text(f"{text}\n", encoding="utf-8", newline="\n")
            return f"Saved as {path.name}."

        self._saving = f"Saving {path.name} …"
        self._tell(self._saving)
        self.tasks.run(SAVE_KEY, work, then=self._tell, failed=self._on_failed, title="Saving the comparison")

    def _on_finished(self, key: object) -> None:
        """An answer follows, unless it was stopped."""
        if key == KEY:
            self._say("Stopped.")
            self._set_state()
        elif key == SAVE_KEY and self.message.text().startswith(self._saving):
            self._tell(NOT_AWAITED)  # what is begun is written

    def _on_start(self) -> None:
        try:
            question = self.form.question()
        except ComparisonError as error:
            self._on_failed(error)
            return

        def work(job: Job) -> Comparison:
            return compare(
                question.a,
                question.b,
                radius_angstrom=question.radius_angstrom,
                beta=question.beta,
                method=question.method,
                symmetry=question.symmetry,
                iou_threshold=question.iou_threshold,
                insist=question.insist,
                progress=lambda share: job.say(share, f"{share:.0%}"),
                stop=job.stop,
            )

        self._asked = self._pair
        self.bar.setValue(0)
        self.message.setText("")
        self.tasks.run(KEY, work, then=self._on_answer, failed=self._on_failed, title="Comparing annotations")
        self._set_state()

    def _on_said(self, _key: object, share: float, _words: str) -> None:  # only comparing says how far it is
        self.bar.setValue(round(share * _STEPS))

    def _on_answer(self, comparison: Comparison) -> None:
        self.comparison, self._compared = comparison, self._asked
        self._shown = {}
        self.results.show_comparison(comparison)
        self.message.setText(self._about_pair())  # a layer may have gone meanwhile
        self._set_state()

    def _on_form(self) -> None:
        """Say once another pair is chosen that the numbers aren't of it, and what isn't known of it."""
        pair, without_spacing = (self.form.a.value, self.form.b.value), self.form.without_spacing
        if pair != self._pair or without_spacing != self._without_spacing:
            self._pair, self._without_spacing = pair, without_spacing
            self.message.setText(self._about_pair())
        self._set_state()

    def _about_pair(self) -> str:
        """That the numbers which are shown aren't of what is chosen, as it is now; empty where they are."""
        if self.comparison is None:
            return ""
        if self._pair != self._compared:
            return f"{_OTHER_PAIR} {self._no_spacing or _AGAIN}" if self.form.has_pair else _NO_PAIR_NOW
        return ""

    @property
    def _no_spacing(self) -> str:
        """What a person has to say of the width of voxels first; empty where that is known."""
        return _NO_SPACING.format(self._without_spacing) if self._without_spacing else ""

    def _say(self, *told: str) -> None:
        """Say something, and what is to be said of the numbers that are shown."""
        self.message.setText("\n".join(filter(None, [*told, self._about_pair()])))

    def _tell(self, words: str) -> None:
        self._say(words)
        self._set_state()

    def _on_failed(self, error: CryoETError) -> None:
        self._say(str(error), error.details if isinstance(error, UnexpectedError) else "")
        self._set_state()

    def _on_layer_requested(self, number: int) -> None:
        """Add the layer, or lead to it where it was added before."""
        if not isinstance(self.comparison, PicksComparison | PicksInMask):
            return
        layer = self._shown.get(number)
        if layer is None or layer not in self.viewer.layers:
            layer = add_layers(self.viewer, [comparison_layers(self.comparison)[number]])[0]
            self._shown[number] = layer
        layer.visible = True
        self.viewer.layers.selection.active = layer

    def _on_copy(self) -> None:
        if self.comparison is not None:
            copy_text(report_text(self.comparison))
            self._tell("Copied.")

    def _on_save(self) -> None:
        if self.tasks.is_running(SAVE_KEY):  # of two that write into one file, nobody knows which one stays
            self._tell(f"{self._saving} Save again once that is done.")
            return
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the comparison", "comparison.json", "JSON (*.json)")
        if not chosen:
            return
        path = with_ending(chosen, ".json")
        is_seen = path == Path(chosen)  # by the dialog, which has asked then
        if is_seen or not path.exists() or agrees_to_replace(self, "Save the comparison", path):
            self.save_json(path)

    def _set_state(self) -> None:
        is_running = self.tasks.is_running(KEY)
        shown, hidden = (self.stop, self.start) if is_running else (self.start, self.stop)
        shown.show()  # first, so that it can take over the keys
        hidden.hide()
        self.form.setEnabled(not is_running)
        n_choices = len(self.form.a.choices)
        no_pair = "" if self.form.has_pair else (_NOTHING_YET, _ONLY_ONE, _ONE_LAYER)[min(n_choices, 2)]
        lack = no_pair or self._no_spacing
        self.start.setEnabled(not lack)
        self.swap.setEnabled(self.form.has_pair and not is_running)
        self.bar.setVisible(is_running)
        self.results.setEnabled(not is_running)
        self.start.setToolTip(lack or _START)
        if lack and self.comparison is None:
            self.message.setText(lack)
        elif self.message.text() in {_NOTHING_YET, _ONLY_ONE, _ONE_LAYER}:
            self.message.setText("")
        self.message.setVisible(bool(self.message.text()))

    def _connect(self) -> None:
        self.form.changed.connect(self._on_form)
        self.start.clicked.connect(lambda _checked=False: self._on_start())
        self.stop.clicked.connect(lambda _checked=False: self.tasks.stop(KEY))
        self.swap.clicked.connect(lambda _checked=False: self.form.swap())
        self.tasks.said.connect(self._on_said)
        self.tasks.finished.connect(self._on_finished)
        self.results.layer_requested.connect(self._on_layer_requested)
        self.results.copy_requested.connect(self._on_copy)
        self.results.save_requested.connect(self._on_save)
        self.theme.changed.connect(self._on_theme)

    def _on_theme(self) -> None:
        self.results.set_outline(self.theme.colors.dim)

    def _lay_out(self) -> None:
        self.bar.setRange(0, _STEPS)
        self.bar.setAccessibleName("How far the comparison is")
        for button in (self.start, self.swap, self.stop):
            button.setAccessibleName(button.text())
        self.stop.setAccessibleName("Stop comparing")
        self.stop.setToolTip("Stop comparing; the numbers of before stay")
        self.swap.setToolTip("Let B be judged, and A be the reference")
        roomy(self.start, self.swap, self.stop)
        buttons = FlowRow(gap_px=6)
        buttons.add(self.swap)
        buttons.add_stretch()
        buttons.add(self.stop)
        buttons.add(self.start)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 6, 6, 4)
        column.setSpacing(6)
        column.addWidget(self.form)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.message)
        column.addWidget(self.results)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(ScrollingPage(inner))
