"""What a review results in: kept and rejected picks as layers, and the kept ones as a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_cryoet._qt.files.asking import agrees_to_replace, may_write
from napari_cryoet._qt.files.saving import losses_to_say
from napari_cryoet._qt.files.saving_names import with_ending
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.layers.own_color import taken_colors
from napari_cryoet._qt.layers.ownership import active_layer
from napari_cryoet._qt.picks.layer_geometry import placed_picks_of
from napari_cryoet._qt.picks.layer_picks import link_of
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.flow_row import FlowRow
from napari_cryoet.appearance.colors import RGBA, own_color
from napari_cryoet.exceptions import SaveError
from napari_cryoet.formats.registry import FORMATS, SUFFIXES, TITLES, PickFormat, Written, format_for, write_picks
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec, arrows_spec, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.review import Review, kept_picks, rejected_picks, reviewer
from napari_cryoet.wording import count_text

if TYPE_CHECKING:
    import napari
    from napari.layers import Points

EXPORT_TASK = "review export"
_KEPT = "Add a new layer of the kept picks"
_REJECTED = "Add a new layer of the rejected picks"
#: Their colours are those of the frames in the sheet, lighter, so that they stand out from a tomogram too.
_LOOKS: Final = {Verdict.KEPT: ("#00d494", "disc"), Verdict.REJECTED: ("#ff6a3c", "x")}
_EXPORT = "Write the kept picks into a file, with who kept them and when"


class ReviewResults(QWidget):
    """Buttons that are live as soon as there is something to give back."""

    failed = Signal(object)  # CryoETError
    told = Signal(str)

    def __init__(self, viewer: napari.Viewer, tasks: Tasks, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._tasks = viewer, tasks
        self._layer: Points | None = None
        self._review: Review | None = None
        self.kept = _button("Kept as layer", _KEPT)
        self.rejected = _button("Rejected as layer", _REJECTED)
        self.export = _button("Export kept…", _EXPORT)
        row = FlowRow(parent=self)
        for button in (self.kept, self.rejected, self.export):
            row.add(button, 1)
        self.kept.clicked.connect(lambda _checked=False: self.add_layer(Verdict.KEPT))
        self.rejected.clicked.connect(lambda _checked=False: self.add_layer(Verdict.REJECTED))
        self.export.clicked.connect(lambda _checked=False: self._ask_where())

    def use(self, layer: Points | None, review: Review | None) -> None:
        """Give back the picks of this review."""
        if self._layer is not None:
            link_of(self._layer).use_review(None)
        self._layer, self._review = layer, review
        if layer is not None and review is not None:
            link_of(layer).use_review(lambda: kept_picks(placed_picks_of(layer), review.decisions))
        self.update_counts()

    def update_counts(self) -> None:
        """Let the buttons be live that have something to give."""
        counts = self._review.counts if self._review is not None else None
        self.kept.setEnabled(counts is not None and counts.kept > 0)
        self.rejected.setEnabled(counts is not None and counts.rejected > 0)
        self.export.setEnabled(self.kept.isEnabled())
        for button, purpose, lack in (
            (self.kept, _KEPT, "keep some first (K)"),
            (self.rejected, _REJECTED, "reject some first (X)"),
            (self.export, _EXPORT, "keep some first (K)"),
        ):
            button.setToolTip(purpose if button.isEnabled() else f"{purpose}: {lack}")

    def add_layer(self, verdict: Verdict) -> None:
        """Add the kept, or the rejected, picks as a layer of their own; the active layer stays active."""
        review, layer = self._review, self._layer
        if review is None or layer is None:
            return
        chosen = kept_picks if verdict is Verdict.KEPT else rejected_picks
        picks = chosen(review.picks, review.decisions)
        active = active_layer(self._viewer.layers)
        add_layers(self._viewer, specs_like(layer, picks, verdict, taken_colors(self._viewer.layers)))
        self._viewer.layers.selection.active = active
        self.told.emit(f"Added a layer: {picks.edits[-1]}.")

    def export_kept(
        self,
        path: Path,
        *,
        format: PickFormat | None = None,  # noqa: A002 - as `write_picks` calls it
        overwrite: bool = False,
    ) -> None:
        """Write the kept picks, by default in the format that the name ends like; `told` or `failed` follows."""
        picks = self._kept()
        if picks is not None:
            self._write(picks, path, format, overwrite=overwrite)

    def _write(self, picks: Picks, path: Path, kind: PickFormat | None, *, overwrite: bool) -> None:
        def work(_job: Job) -> Written:
            return write_picks(picks, path, format=kind, overwrite=overwrite, who=reviewer())

        self._tasks.run(EXPORT_TASK, work, then=self._on_written, failed=self.failed.emit, title="Exporting picks")

    def _kept(self) -> Picks | None:
        """The kept picks where the viewer shows them; None without a review, or if they can't be picks, as is said."""
        if self._review is None or self._layer is None:
            return None
        try:
            return kept_picks(placed_picks_of(self._layer), self._review.decisions)
        except ValueError as error:
            self.failed.emit(SaveError(f"The kept picks can't be written: {error}."))
            return None

    def _ask_where(self) -> None:
        """Ask for a file; the dialog itself asks before the one that was typed is replaced."""
        kinds = {f"{TITLES[name]} (*{SUFFIXES[name]})": name for name in FORMATS}
        chosen, kind = QFileDialog.getSaveFileName(self, "Export kept picks", str(Path.home()), ";;".join(kinds))
        if not chosen:
            return
        name = kinds.get(kind, FORMATS[0])
        path, may_replace = with_ending(chosen, SUFFIXES[name]), True
        if path != Path(chosen):
            may_replace = path.exists()
            if may_replace and not agrees_to_replace(self, "Export kept picks", path):
                return
        is_of_kind = path.suffix.lower() == SUFFIXES[name]
        self._export_asking(path, name if is_of_kind else None, overwrite=may_replace)

    def _export_asking(self, path: Path, kind: PickFormat | None, *, overwrite: bool) -> None:
        """Say what the file won't hold before it is written."""
        picks = self._kept()
        if picks is None:
            return

        def look(_job: Job) -> list[str]:
            return losses_to_say(picks, kind or format_for(path, picks))

        def write(said: list[str]) -> None:
            if may_write(path.name, said):
                self._write(picks, path, kind, overwrite=overwrite)  # those that were asked for
            else:
                self.told.emit("Nothing was written.")

        self._tasks.run(EXPORT_TASK, look, then=write, failed=self.failed.emit, title="Exporting picks")

    def _on_written(self, written: Written) -> None:
        said = f"Wrote {count_text(written.count, 'pick')} to {written.path.name}."
        self.told.emit(" ".join([said, *written.losses]))


def specs_like(layer: Points, picks: Picks, verdict: Verdict, taken: Iterable[RGBA]) -> list[LayerSpec]:
    """Layers of some of a layer's picks that lie as it does, and look as what was decided, and as no other layer."""
    word, (color, symbol) = verdict.word, _LOOKS[verdict]
    about = dict(layer.metadata.get(METADATA_KEY, {})) | dict(picks.about) | {"review": word}
    for own in ("layer_id", "is_main_layer", "group"):
        about.pop(own, None)  # that would make it the annotation itself
    common: dict[str, Any] = {
        "scale": tuple(layer.scale),
        "translate": tuple(layer.translate),
        "rotate": np.array(layer.rotate),
        "shear": np.array(layer.shear),
        "affine": np.array(layer.affine.affine_matrix),
        "units": tuple(str(unit) for unit in layer.units),
        "axis_labels": tuple(layer.axis_labels),
        "metadata": {METADATA_KEY: about},
    }
    size = float(np.median(layer.size)) if len(layer.size) else 10.0
    looks: dict[str, Any] = {
        "color": own_color(taken, [color]),
        "diameter_angstrom": size,
        "spacing_angstrom": 1.0,
    }
    name = f"{layer.name} · {word} {len(picks):,}"
    arrows = arrows_spec(picks, common, name=f"{name} · orientation", **looks)
    points = points_spec(picks, common, name=name, **looks)
    points = LayerSpec(points.data, points.options | {"symbol": symbol}, points.kind)
    return [points, *([arrows] if arrows is not None else [])]


def _button(text: str, purpose: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(purpose)
    button.setEnabled(False)
    return button
