"""The picks that a Points layer shows, where they are, and a link that keeps both in step.

A layer of ours holds its `Picks` in its metadata and a column of ids in its features, so ids follow points through
whatever napari does to rows. Nothing is added to other people's layers: there, ids follow positions.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer, Points
from napari.layers.base import ActionType
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.alignment import dragged_by, lengths_angstrom, spacing_angstrom_of, widths_angstrom
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.streaming.seam import refresh_blocked
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.formats.relion import OF_ONE_PARTICLE
from napari_cryoet.layers.specs import METADATA_KEY, NEW_PICK, PICK_ID, PICKS_KEY, blank_features, features_of
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.history import same_values, what_changed

_LINK: Final = "_napari_cryoet_link"  # the attribute of a layer that holds its link
_DONE: Final = frozenset({ActionType.ADDED, ActionType.REMOVED, ActionType.CHANGED})
_LOOKS: Final = ("size", "border_width", "symbol", "border_color", "face_color", "shown")  # of each point


def picks_of(layer: Points) -> Picks:
    """A layer's points as picks, in the layer's order.

    Picks of ours keep their ids and rotations wherever they were moved; copies and new points get ids of their own.
    Their ``edits`` say what was done. The scale of other people's layers is their voxel spacing, if it is a length and
    the same along all axes.

    Raises
    ------
    ValueError
        If the layer isn't three-dimensional, or has points without a place.
    """
    link = _link_if_any(layer)
    if link is not None:
        return link.picks
    known = layer.metadata.get(PICKS_KEY)
    picks = read_picks(layer, known if isinstance(known, Picks) else None)
    edit = what_changed(known, picks) if isinstance(known, Picks) else ""
    return picks.changed(edit) if edit else picks


def link_of(layer: Points) -> PicksLink:
    """The link of a Points layer, which lives as long as the layer; made if there is none yet.

    Raises
    ------
    ValueError
        If the layer isn't three-dimensional, or has points without a place.
    """
    return _link_if_any(layer) or PicksLink(layer)


class PicksLink(QObject):
    """The picks of one layer, now, and the way to change them. Made by `link_of`."""

    changed = Signal()  # ask `picks`
    selection_changed = Signal()  # ask `selected_ids`

    def __init__(self, layer: Points) -> None:
        super().__init__()
        layer = getattr(layer, "__wrapped__", layer)  # napari hands out stand-ins that hide attributes
        self._layer_reference = weakref.ref(layer)
        self._picks = picks_of(layer)
        self._first = self._picks  # rotations of picks that are cut and pasted
        self.read_kept: Callable[[], Picks] | None = None  # the picks that a review keeps, while there is one
        self.is_writing = False  # while it is, the layer's rows are ahead of what was signalled
        self._is_changing = False
        self._follows_scale = METADATA_KEY not in layer.metadata or self._picks.spacing_angstrom is None
        self._soon = single_shot(self, 0, self._settle_quietly)
        self._keep(layer)
        vars(layer)[_LINK] = self
        layer.events.data.connect(self._on_data)
        for event in (layer.events.features, layer.events.scale, layer.events.units):
            event.connect(self._on_table)
        layer.selected_data.events.items_changed.connect(self._on_selection)

    @property
    def layer(self) -> Points | None:
        return self._layer_reference()

    @property
    def picks(self) -> Picks:
        """The picks that the layer shows now, in its order; their ``edits`` say what was done to them.

        Raises
        ------
        ValueError
            If it has points without a place.
        """
        self._settle()
        return self._picks

    @property
    def selected_ids(self) -> NDArray[np.int64]:
        """The ids of the picks that are selected in the layer, in its order."""
        ids, layer = self.picks.ids, self.layer
        return ids[sorted(layer.selected_data)] if layer is not None else ids[:0]

    def set(self, picks: Picks, edit: str = "") -> None:
        """Show other picks in the layer; those whose ids are known keep their looks.

        Parameters
        ----------
        picks
            Rescaled if they are counted in other voxels than the layer's.
        edit
            What was done, in words, if their ``edits`` don't say it yet.
        """
        self._settle()
        layer, before = self.layer, self._picks
        spacing = before.spacing_angstrom
        if layer is None:
            return
        if spacing is not None and picks.spacing_angstrom not in {None, spacing}:
            picks = picks.rescaled(spacing, before.shape_zyx)
        self._picks = picks.changed(edit, next_id=before.next_id)
        layer.metadata[PICKS_KEY] = self._picks  # from now on a layer of ours
        self.is_writing = True
        try:
            self._write_rows(layer, before, self._picks)
            self._keep(layer)
        finally:
            self.is_writing = False
        self.changed.emit()

    def _on_data(self, event: Any) -> None:
        layer = self.layer
        if layer is None or self.is_writing:
            return
        if event.action not in _DONE:
            self._settle_quietly()  # an edit before this one is an edit of its own
            self._is_changing = True
            return
        self._is_changing = False
        there = {row for row in layer.selected_data if row < len(layer.data)}
        if len(there) < len(layer.selected_data):  # napari keeps rows selected that a script took away
            layer.selected_data = there
        if PICKS_KEY in layer.metadata:
            _blank_new_rows(layer, self._picks)
        self._settle_quietly()
        if not layer.visible:  # napari draws colours of rows that it hasn't sliced
            layer.set_view_slice()

    def _on_table(self, _event: Any = None) -> None:
        if not self.is_writing:
            self._soon.start()

    def _on_selection(self, _added: object = None, _removed: object = None) -> None:
        layer = self.layer
        if layer is not None and not self.is_writing and len(layer.data) != len(self._picks):
            self._settle_quietly()  # napari pastes without an event
        self.selection_changed.emit()

    def _settle_quietly(self) -> None:
        """As `_settle`, for events: points without a place are an error once their picks are asked for."""
        with contextlib.suppress(ValueError):
            self._settle()

    def _settle(self) -> None:
        """Take over what was done to the layer since it was last looked at."""
        layer = self.layer
        if layer is None or self.is_writing or self._is_changing:
            return
        self._soon.stop()
        self._take_spacing(layer)
        if _shows(layer, self._picks):
            return
        found = read_picks(layer, self._picks, self._first)
        edit = what_changed(self._picks, found)
        if edit:
            self._picks = found.changed(edit)
        self._keep(layer)
        if edit:
            self.changed.emit()

    def _take_spacing(self, layer: Points) -> None:
        """Where no file says how wide voxels are, the layer's scale does."""
        spacing = spacing_angstrom_of(layer)
        if self._follows_scale and spacing != self._picks.spacing_angstrom:
            self._picks = self._picks.changed(spacing_angstrom=spacing)
            self._keep(layer)
            self.changed.emit()

    def _keep(self, layer: Points) -> None:
        """Let a layer of ours hold its picks, and each row which of them it is."""
        if PICKS_KEY not in layer.metadata:
            return
        layer.metadata[PICKS_KEY] = self._picks
        if not np.array_equal(layer.features.get(PICK_ID, ()), self._picks.ids):
            self.is_writing = True
            try:
                _write_table(layer, self._picks)
            finally:
                self.is_writing = False

    def _write_rows(self, layer: Points, before: Picks, picks: Picks) -> None:
        rows = _rows_of(before, picks.ids)
        selected = before.ids[sorted(layer.selected_data)]
        looks = {name: np.asarray(getattr(layer, name)) for name in _LOOKS}
        layer.selected_data = set()
        layer.data = np.array(picks.points_zyx)
        with refresh_blocked(layer):  # once is enough
            for name, values in looks.items() if len(before) and len(picks) else ():
                if not name.endswith("color") or str(getattr(layer, f"{name}_mode")) == "direct":
                    setattr(layer, name, values[rows])  # new points look like the last one
            _write_table(layer, picks)
            layer.selected_data = set(np.flatnonzero(np.isin(picks.ids, selected)).tolist())
        layer.refresh()


def _link_if_any(layer: Points) -> PicksLink | None:
    link: PicksLink | None = vars(getattr(layer, "__wrapped__", layer)).get(_LINK)
    return link


def _write_table(layer: Points, picks: Picks) -> None:
    layer.features = features_of(picks)
    layer.feature_defaults = blank_features(layer.features)


def _blank_new_rows(layer: Points, known: Picks) -> None:
    """Take from new rows what can't be true of them.

    napari gives new points the features of the selected one: its id, score, instance, and the image that RELION cut.
    """
    features, n_known = layer.features, len(known)
    if n_known >= len(layer.data) or PICK_ID not in features:
        return
    new = features.index[n_known:]
    for name, blank in ((PICK_ID, NEW_PICK), ("score", np.nan), ("instance_id", NO_INSTANCE)):
        if name in features and features[name].dtype.kind in "if":
            features.loc[new, name] = blank


# reading


def read_picks(layer: Points, known: Picks | None, first: Picks | None = None) -> Picks:
    """The picks of a layer's rows, from those it showed before, if any, and at first, whose rotations may come back."""
    if layer.ndim != 3:
        raise ValueError(f"picks have three coordinates, and the layer {layer.name!r} has {layer.ndim}")
    places = np.asarray(layer.data, dtype=np.float64)
    columns = {str(name): _values(column) for name, column in layer.features.items()}
    column = columns.pop(PICK_ID, None)
    row_ids = None if column is None else _whole(column, NEW_PICK)
    instances, scores = _take_instances(columns), _take_scores(columns)
    if known is None:
        spacing, about = spacing_angstrom_of(layer), layer.metadata.get(METADATA_KEY, {})
        return Picks(places, spacing, instance_ids=instances, scores=scores, features=columns, about=about)
    if PICKS_KEY not in layer.metadata:
        row_ids = None  # a column of theirs, which napari fills for new points
    rows = _rows_shown(known, places, row_ids)
    if rows is not None:  # napari has cut the table at its end, so it tells of other picks
        return known.take(rows)
    if row_ids is None:
        row_ids = known.ids if len(places) == len(known) else _ids_by_place(known, places)
    ids = _unique_ids(known, row_ids)
    _blank_copies(columns, np.flatnonzero(ids != row_ids))
    rotations = _rotations(known, first, row_ids)
    return known.changed(
        points_zyx=places, rotations_zyx=rotations, instance_ids=instances, scores=scores, features=columns, ids=ids
    )


def _take_instances(columns: dict[str, NDArray[Any]]) -> NDArray[np.int64] | None:
    """Take the column of instances, unless it holds something else."""
    instances = _whole(columns["instance_id"], NO_INSTANCE) if "instance_id" in columns else None
    if instances is not None:
        del columns["instance_id"]
    return instances


def _take_scores(columns: dict[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """Take the column of scores, unless it holds something else."""
    is_score = "score" in columns and columns["score"].dtype.kind in "iufb"
    return columns.pop("score").astype(np.float64) if is_score else None


def _blank_copies(columns: dict[str, NDArray[Any]], rows: NDArray[np.intp]) -> None:
    """Take from copies what belongs to one particle, such as the image that RELION cut."""
    for name in columns.keys() & set(OF_ONE_PARTICLE) if len(rows) else ():
        is_number = columns[name].dtype.kind in "iuf"
        columns[name] = np.array(columns[name], dtype=None if is_number else object)
        columns[name][rows] = 0 if is_number else ""


def _shows(layer: Points, picks: Picks) -> bool:
    """Whether a layer's rows are just these picks; quicker than to read them."""
    features, columns = layer.features, picks.table()
    if PICKS_KEY in layer.metadata:
        if layer.metadata[PICKS_KEY] is not picks:
            return False
        columns |= {PICK_ID: picks.ids}
    return (
        np.array_equal(layer.data, picks.points_zyx)
        and set(columns) == set(features)
        and all(same_values(_values(features[name]), column).all() for name, column in columns.items())
    )


def _values(column: Any) -> NDArray[Any]:
    """A column of a layer's table; missing values of pandas' own types are None."""
    values = np.asarray(column.to_numpy())
    if values.dtype == object and type(getattr(column.dtype, "na_value", None)).__name__ == "NAType":
        values = np.array(values)
        values[np.asarray(column.isna())] = None
    return values


def _whole(column: NDArray[Any], missing: int) -> NDArray[np.int64] | None:
    """A column as whole numbers, NaN and None as ``missing``; None if it holds anything else."""
    if column.dtype.kind == "i":
        return column.astype(np.int64)
    try:
        numbers = column.astype(np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        return None
    is_known = np.isfinite(numbers)
    whole = np.where(is_known, numbers, missing).astype(np.int64)
    return whole if (whole == numbers)[is_known].all() else None


def _rows_shown(known: Picks, places: NDArray[np.float64], row_ids: NDArray[np.int64] | None) -> Any:
    """Which picks a layer shows that a script gave some of its points, or all in another order; None if it didn't.

    As ``layer.data = layer.data[mask]`` does. Nobody drags points exactly to where others were.
    """
    if row_ids is None or not 0 < len(places) <= len(known):
        return None
    rows = _rows_of(known, row_ids)
    is_other = (rows < 0) | (places != known.points_zyx[rows]).any(axis=1)
    if not is_other.any() or not np.isin(places[is_other], known.points_zyx).all():
        return None
    at = _rows_at(known.points_zyx, places)
    return at if (at >= 0).all() else None


def _rows_at(points: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which point is exactly at each place, each of them once; -1 where none is."""
    rows: dict[tuple[float, ...], list[int]] = {}
    for row, place in reversed(list(enumerate(map(tuple, points.tolist())))):
        rows.setdefault(place, []).append(row)
    found = (rows.get(place) for place in map(tuple, places.tolist()))
    return np.array([left.pop() if left else -1 for left in found], dtype=np.intp)


def _ids_by_place(known: Picks, places: NDArray[np.float64]) -> NDArray[np.int64]:
    rows = _rows_at(known.points_zyx, places)
    return np.where(rows >= 0, known.ids[rows] if len(known) else NEW_PICK, NEW_PICK)


def _rows_of(known: Picks, ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """For each id, which row of the known picks has it; -1 for none."""
    if not len(known):
        return np.full(len(ids), -1)
    order = np.argsort(known.ids)
    found = order[np.minimum(np.searchsorted(known.ids, ids, sorter=order), len(order) - 1)]
    return np.where(known.ids[found] == ids, found, -1)


def _rotations(known: Picks, first: Picks | None, row_ids: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """The rotation of each row: that of the pick that it is or was copied from."""
    if known.rotations_zyx is not None and np.array_equal(row_ids, known.ids):
        return known.rotations_zyx
    rotations = np.full((len(row_ids), 3, 3), np.nan)
    is_lacking = np.ones(len(row_ids), dtype=bool)
    for picks in (known, first):
        rows = np.full(len(row_ids), -1) if picks is None else _rows_of(picks, row_ids)
        is_found = is_lacking & (rows >= 0)
        if picks is not None and picks.rotations_zyx is not None:
            rotations[is_found] = picks.rotations_zyx[rows[is_found]]
        is_lacking &= ~is_found
    return None if known.rotations_zyx is None and np.isnan(rotations).all() else rotations


def _unique_ids(known: Picks, row_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The id of each row; copies and new rows get ids that no pick ever had."""
    is_own = np.zeros(len(row_ids), dtype=bool)
    is_own[np.unique(row_ids, return_index=True)[1]] = True
    is_own &= row_ids != NEW_PICK
    ids = np.array(row_ids)
    start = max(known.next_id, int(row_ids.max(initial=-1)) + 1)
    ids[~is_own] = np.arange(start, start + (~is_own).sum())
    return ids


# where they are


def placed_picks_of(layer: Points) -> Picks:
    """The picks of a layer where the viewer shows them, counted from the origin of the world.

    Voxels of other people's layers may not be cubes: then picks are counted in cubes. ValueError if the layer isn't
    three-dimensional, is rotated or sheared, or is flipped and its picks have rotations.
    """
    picks = picks_of(layer)
    dragged = dragged_by(layer)
    if dragged is None or (dragged[0] < 0).any():
        raise ValueError(f"the layer {layer.name!r} is rotated or sheared in the viewer")
    widths, offset = dragged
    sizes = widths_angstrom(layer) if picks.spacing_angstrom is None else None
    if sizes is not None and not np.allclose(sizes, sizes[0]):
        picks = picks.changed(spacing_angstrom=abs(sizes[-1]))
    own_stretch = stretch_of(layer, picks)
    stretch = widths * own_stretch
    if picks.rotations_zyx is not None and (stretch < 0).any():
        raise ValueError(f"the layer {layer.name!r} is flipped in the viewer, and its picks have rotations")
    offset_voxels = (widths * layer.translate + offset) * own_stretch / layer.scale
    done = []
    if np.allclose(stretch, 1, rtol=1e-6):
        stretch = np.ones(3)
    else:
        done.append(f"stretched with their layer by {_by(stretch)} (z, y, x)")
    if offset_voxels.any():
        done.append(f"moved with their layer by {_by(offset_voxels)} voxels (z, y, x)")
    if not done:
        return picks
    return picks.changed(", ".join(done), points_zyx=picks.points_zyx * stretch + offset_voxels)


def stretch_of(layer: Points, picks: Picks) -> NDArray[np.float64]:
    """How much wider than their voxels the viewer shows the picks of a layer, by the layer's scale."""
    units = lengths_angstrom(layer.units)
    if picks.spacing_angstrom is None or units is None:
        return np.ones(3)
    return np.asarray(np.multiply(layer.scale, units) / picks.spacing_angstrom, dtype=np.float64)


def _by(numbers: NDArray[np.float64]) -> str:
    return ", ".join(f"{each:g}" for each in numbers)


def are_picks(layer: Layer) -> bool:
    """Whether a layer's points can be taken for picks."""
    return isinstance(layer, Points) and layer.ndim == 3


def is_volume(layer: Layer) -> bool:
    """Whether picks can lie in what a layer shows."""
    return isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb


def volume_for(layers: Sequence[Layer], layer: Points | None) -> Image | None:
    """The visible volume that lies nearest below a layer, or else any; of its run, if there is one."""
    run_id = None if layer is None else about_of(layer).get("run_id")
    volumes = [other for other in layers if is_volume(other)]
    volumes = [other for other in volumes if run_id is not None and about_of(other).get("run_id") == run_id] or volumes
    below = [other for other in volumes if layer in layers and layers.index(other) < layers.index(layer)]
    visible = [other for other in below or volumes if other.visible]
    found: Image | None = next(reversed(visible or below or volumes), None)
    return found


def lacks_unit(layer: Layer | None) -> bool:
    """Whether a layer's scale is in pixels, so the width of its voxels isn't known."""
    return layer is not None and lengths_angstrom(layer.units) is None
