"""The dock that compares two annotations in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import napari
import numpy as np
from magicgui import magicgui
from msgspec.structs import replace
from napari.layers import Labels, Layer, Points
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

from napari_cryoet._qt.compare.results import CompareResults, OldNotice, RankingTable
from napari_cryoet._qt.files.questions import ask_spacing
from napari_cryoet._qt.layers.layer_combo import NO_ANNOTATION, LayerCombo
from napari_cryoet._qt.layers.ownership import LayerWatch, about_of
from napari_cryoet._qt.layers.placement import Placement, PlacementError, placement_of
from napari_cryoet._qt.picks.layer_picks import lacks_unit, picks_of
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.widgets.controls import (
    column_in,
    copy_text,
    form_of,
    more_button,
    not_none,
    number_box,
    plain_label,
)
from napari_cryoet._qt.widgets.dock import Dock
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.appearance.objects import object_key
from napari_cryoet.comparison.comparing import Ranked, Ranking, compare, rank_annotations, rivals_at
from napari_cryoet.comparison.inputs import Candidate, likely_pair
from napari_cryoet.comparison.masks import PicksInMask
from napari_cryoet.comparison.picks import PicksComparison
from napari_cryoet.comparison.report import Comparison
from napari_cryoet.exceptions import ComparisonError, CryoETError
from napari_cryoet.layers.compared import comparison_layers
from napari_cryoet.layers.specs import LayerSpec
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.volumes import Mask

#: Task keys.
KEY, RADIUS_KEY, RANK_KEY = "compare", "suggest a radius", "rank"
_NEEDS_TWO: Final = "Open two annotations to compare: picks or masks."
_FARTHEST_NM: Final = 100_000
#: Relative tolerance of voxel widths, since files round them.
_SAME_WIDTH: Final = 1e-3


def compare_settings(
    *,
    beta: float = 1.0,
    method: Literal["optimal", "greedy"] = "optimal",
    symmetry: int = 1,
    iou_threshold: float = 0.5,
    z_from: float = 0,
    z_to: float = 0,
    insist: bool = False,
) -> dict[str, Any]:
    """Rarely changed settings, as keyword arguments of `napari_cryoet.compare`."""
    return {
        "beta": beta,
        "method": method,
        "symmetry": f"C{symmetry}",
        "iou_threshold": iou_threshold,
        "region_angstrom": [(z_from * 10, z_to * 10)] if z_to > z_from else [],
        "insist": insist,
    }


class CompareDock(Dock):
    """Compares two layers of picks or masks, and shows what they have in common.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are compared.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, "Compare annotations", tab_name="Compare")
        self.comparison: Comparison | None = None
        self._specs: Sequence[LayerSpec] = ()  # of the comparison's parts
        self._parts: dict[int, Layer] = {}  # the parts added to the viewer, by number
        self._is_chosen = False  # by the user
        self.a = LayerCombo(self, is_annotation, "A: the annotation to judge", NO_ANNOTATION)
        self.b = LayerCombo(
            self, is_annotation, "B: the reference, such as a ground truth", NO_ANNOTATION
        )
        self._before = (self.a.layer, self.b.layer)
        self.radius = number_box(
            "Radius: how far apart two picks of one particle may be",
            "nm",
            1000,
            least=0.1,
            decimals=2,
        )
        self.radius.setValue(5)
        self._suggested_nm = self.radius.value()
        self.settings = magicgui(
            compare_settings,
            call_button=False,
            beta={
                "min": 0.1,
                "max": 100,
                "label": "Beta of F",
                "tooltip": "How many times recall counts as precision",
            },
            method={
                "label": "Matching",
                "tooltip": "optimal: most pairs; greedy: nearest pair first",
            },
            symmetry={
                "min": 1,
                "max": 999,
                "label": "Symmetry C",
                "tooltip": "Of the particle; for angles only",
            },
            iou_threshold={
                "min": 0.01,
                "max": 1,
                "step": 0.05,
                "label": "Least IoU",
                "tooltip": "Of matching objects",
            },
            z_from={
                "max": _FARTHEST_NM,
                "label": "Only z from (nm)",
                "tooltip": "Compare a slab",
            },
            z_to={"max": _FARTHEST_NM, "label": "to (nm)", "tooltip": "0 for everything"},
            insist={
                "label": "Different alignments",
                "tooltip": "Compare even if positions may not fit",
            },
        )
        self.settings.margins = (0, 0, 0, 0)
        self.bar = StartBar(self.tasks, KEY, "Compare", "Count matches; A and B don't change")
        self.rank_bar = StartBar(
            self.tasks,
            RANK_KEY,
            "Rank all",
            "Compare all annotations of B's object in its run with B, shown or not",
        )
        self.ranking_is_old = OldNotice(self.theme, self._on_rank)
        self.ranking = RankingTable()
        self.why_not = plain_label()  # of the chosen row
        self.why_not.hide()
        self.results_are_old = OldNotice(self.theme, self._on_start)
        self.results = CompareResults(self.theme)
        watch = LayerWatch(napari_viewer, self)
        for end in (watch.close, self.ranking_is_old.stop, self.results_are_old.stop):
            self.at_close(end)
        self._lay_out()
        watch.changed.connect(self._suggest_pair)
        for combo in (self.a, self.b):
            combo.layer_changed.connect(self._on_combo)
            combo.activated.connect(self._on_activated)
        self.bar.start_requested.connect(self._on_start)
        self.rank_bar.start_requested.connect(self._on_rank)
        self.ranking.row_chosen.connect(self._on_row)
        self.results.part_requested.connect(self._on_part)
        self.results.copy_requested.connect(self._on_copy)
        self._suggest_pair()

    def use_layer(self, layer: Layer) -> None:
        """Compare a layer with the best matching one.

        It becomes A unless it is a ground truth or a mask.
        """
        others = [other for other in self._choices() if other is not layer]
        if others:
            self.choose(*_likely_pair([layer, *others], of=layer))

    def choose(self, a: Layer, b: Layer) -> None:
        self._is_chosen = True
        self._set_pair(a, b)

    # choosing layers

    def _choices(self) -> list[Layer]:
        return [layer for layer in reversed(self.viewer.layers) if is_annotation(layer)]

    def _set_pair(self, a: Layer, b: Layer) -> None:
        with QSignalBlocker(self.a), QSignalBlocker(self.b):
            self.a.choose(a)
            self.b.choose(b)
        self._on_pair()

    def _suggest_pair(self) -> None:
        """Choose the best pair when layers change, unless the user's choice still exists."""
        layers = self._choices()
        if len(layers) > 1 and not (self._is_chosen and self._has_pair):
            self._set_pair(*_likely_pair(layers))
        else:
            self._on_pair()

    def _on_combo(self) -> None:
        """Swap A and B if the same layer was chosen for both."""
        if self.a.layer is self.b.layer and None not in self._before:
            self._set_pair(*reversed(self._before))
        else:
            self._on_pair()

    def _on_pair(self) -> None:
        """Enable the settings that apply to these layers."""
        a, b = self._before = self.a.layer, self.b.layer
        are_picks = isinstance(a, Points) and isinstance(b, Points)
        are_masks = isinstance(a, Labels) and isinstance(b, Labels)
        self.radius.setEnabled(are_picks)
        self.settings.method.enabled = self.settings.symmetry.enabled = are_picks
        self.settings.iou_threshold.enabled = are_masks
        self.settings.beta.enabled = are_picks or are_masks
        if are_picks:
            about = about_of(a)

            def work(_job: Job) -> float:  # reads the user's diameters file
                return diameter_angstrom(about.object_id, about.object_name) / 2

            self.tasks.run(RADIUS_KEY, work, then=self._suggest_radius)
        if self.bar.message.text() in ("", _NEEDS_TWO):
            self.bar.say("" if self._has_pair else _NEEDS_TWO)
        self.bar.set_ready(self._has_pair)
        self.rank_bar.set_ready(b is not None)

    @property
    def _has_pair(self) -> bool:
        return (
            self.a.layer is not None
            and self.b.layer is not None
            and self.a.layer is not self.b.layer
        )

    def _suggest_radius(self, angstrom: float) -> None:
        """Set the radius, unless the user has changed it."""
        if self.radius.value() == self._suggested_nm:
            self.radius.setValue(angstrom / 10)
            self._suggested_nm = self.radius.value()

    def _on_activated(self) -> None:
        self._is_chosen = True

    # comparing

    def _on_start(self) -> None:
        layers = [self.a.layer, self.b.layer]
        sides = self._sides(layers, self.bar)
        if sides is None:
            return
        a, b = sides
        settings = self.settings() | {"radius_angstrom": self.radius.value() * 10}
        self.results_are_old.watch(layers)
        self._is_chosen = True
        self.tasks.run(
            KEY,
            lambda job: _with_layers(compare(a, b, task=job, **settings)),
            then=self._on_answer,
            failed=self.bar.show_error,
            title="Comparing annotations",
        )

    def _on_answer(self, answer: tuple[Comparison, Sequence[LayerSpec]]) -> None:
        self.comparison, self._specs = answer
        self._parts = {}
        self.why_not.hide()
        self.results.show_comparison(self.comparison)

    def _on_rank(self) -> None:
        """Rank A, other layers of B's object, and its annotations in the portal."""
        reference = self.b.layer
        key = _object_of(reference)
        layers = [reference]
        for layer in self._choices():
            is_of_object = layer is self.a.layer or (bool(key) and _object_of(layer) == key)
            if is_of_object and layer is not reference:
                layers.append(layer)
        sides = self._sides(layers, self.rank_bar)
        if sides is None:
            return
        b, *others = sides
        shown = {side.about.annotation_file_id for side in others}
        settings = self.settings() | {"radius_angstrom": self.radius.value() * 10}
        self.ranking_is_old.watch(layers)
        self._is_chosen = True

        def work(job: Job) -> Ranking:
            rivals = [file for file in rivals_at(b, task=job) if file.id not in shown]
            return rank_annotations([*others, *rivals], b, task=job, **settings)

        self.tasks.run(
            RANK_KEY,
            work,
            then=self.ranking.show_ranking,
            failed=self.rank_bar.show_error,
            title="Ranking annotations",
        )

    def _on_row(self, row: Ranked) -> None:
        """Show the comparison of a ranked annotation, or why there is none."""
        comparison = row.comparison
        self.why_not.setText(row.why_not)
        self.why_not.setVisible(comparison is None)
        self.results.setVisible(comparison is not None)
        if comparison is not None:
            self.results_are_old.stop()
            self.tasks.run(
                KEY,
                lambda _job: _with_layers(comparison),
                then=self._on_answer,
                failed=self.bar.show_error,
            )

    def _sides(self, layers: Sequence[Layer], bar: StartBar) -> list[Picks | Mask] | None:
        """The layers as sides of a comparison; None if that fails."""
        is_in_nm = any(isinstance(layer, Points) for layer in layers)
        if is_in_nm and not all(ask_spacing(layer, self) for layer in layers if lacks_unit(layer)):
            return None
        try:
            return [side_of(layer) for layer in layers]
        except CryoETError as error:
            bar.show_error(error)
            return None

    # results

    def _on_part(self, number: int) -> None:
        """Add a part as a layer, or select the layer if it was added before."""
        layer = self._parts.get(number)
        if layer is None or layer not in self.viewer.layers:
            layer = self._parts[number] = add_layers(self.viewer, [self._specs[number]])[0]
        layer.visible = True
        self.viewer.layers.selection.active = layer

    def _on_copy(self) -> None:
        copy_text(not_none(self.comparison).text)
        self.bar.say("Copied.")

    def _lay_out(self) -> None:
        form = form_of(("A, judged", self.a), ("B, reference", self.b), ("Radius", self.radius))
        page = QWidget()
        column = column_in(
            page,
            form,
            more_button(self.settings.native),
            self.settings.native,
            self.bar,
            self.rank_bar,
            self.ranking,
            self.ranking_is_old,
            self.why_not,
            self.results_are_old,
            self.results,
            margins=(6, 6, 6, 4),
        )
        column.addStretch(1)
        scroll = _Page()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidgetResizable(True)
        scroll.setWidget(page)
        column_in(self, scroll, margins=(0, 0, 0, 0))


class _Page(QScrollArea):
    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave arrow keys to the viewer, which uses them to step through planes."""
        not_none(event).ignore()


# layers as sides of a comparison


def is_annotation(layer: Layer) -> bool:
    """Whether a layer can be compared."""
    return isinstance(layer, Points | Labels) and layer.ndim == 3


def _object_of(layer: Layer | None) -> str:
    """What an annotation is of, by its id or else its name; empty if unknown."""
    about = Provenance() if layer is None else about_of(layer)
    known = about.object_id or about.object_name
    return object_key(about.object_id, about.object_name) if known else ""


def _with_layers(result: Comparison) -> tuple[Comparison, Sequence[LayerSpec]]:
    """A comparison with the layers of its parts, which take long to make."""
    if isinstance(result, PicksComparison | PicksInMask):
        return result, comparison_layers(result)
    return result, ()


def _likely_pair(layers: Sequence[Layer], *, of: Layer | None = None) -> tuple[Layer, Layer]:
    candidates = [Candidate(isinstance(layer, Points), about_of(layer)) for layer in layers]
    a, b = likely_pair(candidates, of=None if of is None else layers.index(of))
    return layers[a], layers[b]


def side_of(layer: Layer) -> Picks | Mask:
    """A layer as an argument of `napari_cryoet.compare`; no voxels are read.

    Raises
    ------
    PlacementError
        If the layer was moved, turned or stretched.
    ComparisonError
        If it isn't valid picks or a mask.
    """
    placement = placement_of(layer)
    if not placement.is_own_grid:
        raise PlacementError(layer, "moved or stretched")
    spacing = float(placement.steps[-1]) if placement.is_in_angstrom else None
    about = replace(about_of(layer), shown_name=layer.name)
    try:
        if isinstance(layer, Points):
            return _picks(layer, placement, spacing, about)
        if not np.allclose(placement.steps, placement.steps[-1], rtol=_SAME_WIDTH):
            raise ValueError("its voxels aren't cubes")
        data = layer.data[0] if layer.multiscale else layer.data
        return Mask(data, spacing, alignment_id=about.alignment_id, about=about)
    except ValueError as error:
        raise ComparisonError(f"The layer {layer.name!r} can't be compared: {error}.") from error


def _picks(
    layer: Points, placement: Placement, spacing_angstrom: float | None, about: Provenance
) -> Picks:
    picks = picks_of(layer)
    about = picks.about.updated(about)
    steps = placement.steps
    if picks.spacing_angstrom is None:
        return picks.changed(
            points_zyx=picks.points_zyx * (steps / steps[-1]),
            spacing_angstrom=spacing_angstrom,
            about=about,
        )
    if spacing_angstrom and not np.allclose(steps, picks.spacing_angstrom, rtol=1e-6):
        raise ValueError("its scale isn't the voxel spacing of its picks")
    return picks.changed(about=about)
