"""Hand edits of a layer's picks: kept as they are made, undone one by one, and offered again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import numpy as np
from napari.layers import Layer, Points
from napari.utils.notifications import show_info
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import shown_volumes, spacing_angstrom_of
from napari_cryoet._qt.picks.layer_picks import LivePicks, live_picks_of, volume_for
from napari_cryoet._qt.picks.orientations import active_points
from napari_cryoet._qt.seam import show_in_full
from napari_cryoet._qt.tasks import Tasks, disk
from napari_cryoet.formats.relion import TOMOGRAM_NAME
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.provenance import of_annotation_file
from napari_cryoet.provenance import Provenance
from napari_cryoet.review.edits import EditStep, kept_steps, restored
from napari_cryoet.review.session import Subject
from napari_cryoet.wording import count_text, date_text, plain

T = TypeVar("T")

#: The kind of picks that somebody makes in napari.
NEW_PICKS: Final = "new picks"


def keep_edits(layer: Points) -> None:
    """Keep the edits of a layer of picks from now on, beside the reviews."""
    if edits_of(layer) is None:
        live = live_picks_of(layer)
        EditLog(live, Subject.of(live.picks, name=layer.name, path=layer.source.path))


def kept_counts(page: RunPage) -> dict[int, int]:
    """The number of picks in the edited versions of a run's annotation files, by file id."""
    counts = {}
    for file in page.annotation_files:
        about = of_annotation_file(file, file.https_path, None)
        subject = Subject.of(Picks(np.empty((0, 3)), about=about), name="")
        steps = kept_steps(subject.journal("edits")) if file.format == "ndjson" else []
        if steps:
            counts[file.id] = steps[-1].count
    return counts


def make_new_picks(layer: Points, layers: Sequence[Layer]) -> None:
    """Make picks of an empty layer of points, as napari's button adds it, of the tomogram below."""
    spacing = spacing_angstrom_of(layer)
    volume = volume_for(layers, layer)
    is_new = not len(layer.data) and layer.ndim == 3 and spacing is not None
    if not is_new or volume is None or spacing_angstrom_of(volume) is None:
        return
    tomogram = about_of(volume)
    made_on = tomogram.path or tomogram.source_url or volume.name
    about = Provenance(
        kind=NEW_PICKS,
        source=tomogram.source,
        dataset_id=tomogram.dataset_id,
        dataset_title=tomogram.dataset_title,
        run_id=tomogram.run_id,
        run_name=tomogram.run_name,
        tomogram_id=tomogram.tomogram_id,
        alignment_id=tomogram.alignment_id,
        more={TOMOGRAM_NAME: tomogram.run_name or volume.name, "made_on": made_on},
    )
    picks = Picks(np.empty((0, 3)), spacing, alignment_id=tomogram.alignment_id, about=about)
    (shown,) = shown_volumes([volume])
    if shown.spacing_angstrom == spacing:
        picks = picks.changed(shape_zyx=shown.shape_zyx)
    layer.metadata.update({METADATA_KEY: about, PICKS_KEY: picks})


def edits_of(layer: Points) -> EditLog | None:
    """The edits of a layer, if they are kept."""
    children = live_picks_of(layer).children()
    return next((child for child in children if isinstance(child, EditLog)), None)


def undo_edit(viewer: Viewer) -> None:
    """Undo the last edit of the active layer of picks."""
    points = active_points(viewer.layers)
    log = edits_of(points) if isinstance(points, Points) and points.ndim == 3 else None
    if log is None or not log.steps:
        show_info("There is no edit to undo. Select a layer of picks that you changed.")
        return
    text = log.steps[-1].text
    log.undo()
    show_info(plain(f"Undone: {text}."))


class EditLog(QObject):
    """The edits of one layer's picks. Created by `keep_edits`.

    Attributes
    ----------
    steps
        The edits in the layer that can be undone, oldest first.
    kept
        The edits of earlier sessions that aren't in the layer, oldest first; None until read.
    """

    changed = Signal()  # of `steps` or `kept`

    def __init__(self, live: LivePicks, subject: Subject) -> None:
        super().__init__(live)
        self.steps: list[EditStep] = []
        self.kept: list[EditStep] | None = None
        self._live = live
        self._picks = live.picks
        self._journal = subject.journal("edits")
        self._tasks = Tasks(self)
        live.changed.connect(self._on_changed)
        self._run("read", partial(kept_steps, self._journal), self._on_read)

    @property
    def count(self) -> int | None:
        """The number of picks in the edited version; None without edits."""
        if self.steps:
            return len(self._picks)
        return self.kept[-1].count if self.kept else None

    def restore(self) -> None:
        """Apply the kept edits to those made since, and tell how many picks weren't found."""
        kept = self.kept or []
        self.kept = []
        picks, n_lost = restored(self._live.picks, kept)
        self.steps += kept
        self._save(*({"undone": step.key} for step in kept), *(step.to_json() for step in kept))
        self._set(picks)
        if n_lost:
            count = count_text(n_lost, "edited pick")
            show_in_full(f"{count} weren't found where they were; the rest is restored.", "info")

    def undo(self) -> None:
        """Undo the last edit."""
        picks = self._live.picks  # of all edits so far
        step = self.steps.pop()
        self._save({"undone": step.key})
        self._set(step.undone(picks))

    def _set(self, picks: Picks) -> None:
        self._picks = picks  # so that it isn't a new edit
        self._live.set(picks)
        self._picks = self._live.picks
        self.changed.emit()

    def _on_read(self, steps: list[EditStep]) -> None:
        made_meanwhile = {step.key for step in self.steps}
        self.kept = [step for step in steps if step.key not in made_meanwhile]
        if self.kept:
            last = self.kept[-1]
            self._live.reserve_ids(last.next_id)
            edits = count_text(len(self.kept), "edit")
            day = date_text(datetime.fromisoformat(last.made_at))
            offer = f"You made {edits} here, the last on {day}: {last.text}. Restore your version?"
            show_in_full(offer, "info", {"Restore": lambda _notification: self.restore()})
        self.changed.emit()

    def _on_changed(self) -> None:
        picks = self._live.picks
        step = EditStep.between(self._picks, picks)
        self._picks = picks
        if step is not None:
            self.steps.append(step)
            self._save(step.to_json())
            self.changed.emit()

    def _save(self, *lines: object) -> None:
        self._journal.queue(lines)
        self._run("save", self._journal.save, lambda _none: None)

    def _run(self, key: str, work: Callable[[], T], then: Callable[[T], None]) -> None:
        running = disk.submit(work)
        self._tasks.run(
            key,
            lambda _job: running.result(),
            then=then,
            failed=lambda error: show_in_full(plain(str(error)), "error"),
        )
