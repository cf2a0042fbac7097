"""The picks of a Points layer, their positions, and live picks that stay in sync with the layer.

Our layers store their `Picks` in the metadata and pick ids in a feature column, so ids follow
points when napari reorders rows. Other layers stay unchanged: their ids are matched by position.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer, Points
from napari.layers.base import ActionType
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.layers.placement import (
    PlacementError,
    lengths_angstrom,
    placement_of,
    spacing_angstrom_of,
)
from napari_cryoet._qt.seam import refresh_blocked
from napari_cryoet._qt.tasks import single_shot
from napari_cryoet.formats.relion import OF_ONE_PARTICLE
from napari_cryoet.layers.specs import (
    METADATA_KEY,
    NEW_PICK,
    PICK_ID,
    PICKS_KEY,
    blank_features,
    features_of,
)
from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.picks import same_values, what_changed

_LIVE: Final = "_napari_cryoet_live_picks"  # the layer attribute that holds them
_DONE: Final = frozenset({ActionType.ADDED, ActionType.REMOVED, ActionType.CHANGED})
_LOOKS: Final = (
    "size",
    "border_width",
    "symbol",
    "border_color",
    "face_color",
    "shown",
)  # of each point


def picks_of(layer: Points) -> Picks:
    """A layer's points as picks, in the layer's order.

    In our layers, moved points keep their ids and rotations; copies and new points get new ids.
    ``edits`` describes the changes. For other layers, the scale is taken as the voxel spacing if it
    is a length and isotropic.

    Raises
    ------
    ValueError
        If the layer isn't three-dimensional, or a coordinate isn't finite.
    """
    live = _live_picks_if_any(layer)
    if live is not None:
        return live.picks
    known: Picks | None = layer.metadata.get(PICKS_KEY)
    picks = read_picks(layer, known)
    edit = "" if known is None else what_changed(known, picks)
    return picks.changed(edit) if edit else picks


def live_picks_of(layer: Points) -> LivePicks:
    """The live picks of a Points layer, made at the first call; they live as long as the layer.

    Raises
    ------
    ValueError
        If the layer isn't three-dimensional, or a coordinate isn't finite.
    """
    return _live_picks_if_any(layer) or LivePicks(layer)


class LivePicks(QObject):
    """The current picks of one layer, to read and to change. Created by `live_picks_of`."""

    changed = Signal()  # of `picks`
    selection_changed = Signal()  # of `selected_ids`

    def __init__(self, layer: Points) -> None:
        super().__init__()
        # napari's public proxies hide private attributes
        self.layer: Points = getattr(layer, "__wrapped__", layer)
        self._picks = picks_of(layer)
        self._first_picks = self._picks  # to restore rotations after cut and paste
        self.read_kept: Callable[[], Picks] | None = (
            None  # the kept picks while the layer is reviewed
        )
        self.is_writing = False  # the layer's rows are changing, and `changed` follows
        self._is_changing = False
        self._follows_scale = (
            METADATA_KEY not in layer.metadata or self._picks.spacing_angstrom is None
        )
        self._settle_soon = single_shot(self, 0, self._settle_quietly)
        self._keep()
        vars(layer)[_LIVE] = self
        layer.events.data.connect(self._on_data)
        for event in (layer.events.features, layer.events.scale, layer.events.units):
            event.connect(self._on_table)
        layer.selected_data.events.items_changed.connect(self._on_selection)

    @property
    def picks(self) -> Picks:
        """The layer's current picks, in its order; ``edits`` describes their changes.

        Raises
        ------
        ValueError
            If a coordinate isn't finite.
        """
        self._settle()
        return self._picks

    @property
    def selected_ids(self) -> NDArray[np.int64]:
        """The ids of the selected picks, in the layer's order."""
        return self.picks.ids[sorted(self.layer.selected_data)]

    def set(self, picks: Picks, edit: str = "") -> None:
        """Replace the layer's picks; those with known ids keep their size, symbol and colours.

        Parameters
        ----------
        picks
            Rescaled if their voxel spacing differs from the layer's.
        edit
            A description of the change, unless ``edits`` contains it already.
        """
        self._settle()
        before = self._picks
        spacing = before.spacing_angstrom
        if spacing is not None and picks.spacing_angstrom not in {None, spacing}:
            picks = picks.rescaled(spacing, before.shape_zyx)
        self._picks = picks.changed(edit, next_id=max(before.next_id, picks.next_id))
        self.layer.metadata[PICKS_KEY] = self._picks  # makes the layer one of ours
        self.is_writing = True
        try:
            self._write_rows(before, self._picks)
            self._keep()
        finally:
            self.is_writing = False
        self.changed.emit()

    def reserve_ids(self, next_id: int) -> None:
        """Give added picks ids from this one on; the layer stays as it is, even during a drag."""
        self._settle()
        self._picks = self._picks.changed(next_id=max(next_id, self._picks.next_id))
        self._keep()

    def _on_data(self, event: Any) -> None:
        if self.is_writing:
            return
        layer = self.layer
        if event.action not in _DONE:
            self._settle_quietly()  # record earlier changes as a separate edit
            self._is_changing = True
            return
        self._is_changing = False
        selected_rows = {row for row in layer.selected_data if row < len(layer.data)}
        if len(selected_rows) < len(
            layer.selected_data
        ):  # napari keeps rows selected that a script removed
            layer.selected_data = selected_rows
        if PICKS_KEY in layer.metadata:
            _blank_new_rows(layer, self._picks)
        self._settle_quietly()
        if not layer.visible:  # napari doesn't slice hidden layers, but draws their new colours
            layer.set_view_slice()

    def _on_table(self, _event: Any = None) -> None:
        if not self.is_writing:
            self._settle_soon.start()

    def _on_selection(self, _added: object = None, _removed: object = None) -> None:
        if not self.is_writing and len(self.layer.data) != len(self._picks):
            self._settle_quietly()  # napari pastes without an event
        self.selection_changed.emit()

    def _settle_quietly(self) -> None:
        """Like `_settle`, but ignore invalid points: reading `picks` raises for them."""
        with contextlib.suppress(ValueError):
            self._settle()

    def _settle(self) -> None:
        """Read the layer if it changed since the last call."""
        if self.is_writing or self._is_changing:
            return
        self._settle_soon.stop()
        self._take_spacing()
        if _is_shown(self.layer, self._picks):
            return
        current = read_picks(self.layer, self._picks, self._first_picks)
        edit = what_changed(self._picks, current)
        if edit:
            self._picks = current.changed(edit)
        self._keep()
        if edit:
            self.changed.emit()

    def _take_spacing(self) -> None:
        """Take the voxel spacing from the layer's scale if the source didn't define it."""
        spacing = spacing_angstrom_of(self.layer)
        if self._follows_scale and spacing != self._picks.spacing_angstrom:
            self._picks = self._picks.changed(spacing_angstrom=spacing)
            self._keep()
            self.changed.emit()

    def _keep(self) -> None:
        """Store the picks in the metadata of our layer, and their ids in its features."""
        layer = self.layer
        if PICKS_KEY not in layer.metadata:
            return
        layer.metadata[PICKS_KEY] = self._picks
        if not np.array_equal(layer.features.get(PICK_ID, ()), self._picks.ids):
            self.is_writing = True
            try:
                _write_table(layer, self._picks)
            finally:
                self.is_writing = False

    def _write_rows(self, before: Picks, picks: Picks) -> None:
        layer = self.layer
        rows = _rows_of(before, picks.ids)
        selected = before.ids[sorted(layer.selected_data)]
        looks = {name: np.asarray(getattr(layer, name)) for name in _LOOKS}
        layer.selected_data = set()
        layer.data = np.array(picks.points_zyx)
        with refresh_blocked(layer):  # refresh once, below
            for name, values in looks.items() if len(before) and len(picks) else ():
                if not name.endswith("color") or str(getattr(layer, f"{name}_mode")) == "direct":
                    setattr(
                        layer, name, values[rows]
                    )  # row -1, for new points, copies the last point
            _write_table(layer, picks)
            layer.selected_data = set(np.flatnonzero(np.isin(picks.ids, selected)).tolist())
        layer.refresh()


def _live_picks_if_any(layer: Points) -> LivePicks | None:
    live: LivePicks | None = vars(getattr(layer, "__wrapped__", layer)).get(_LIVE)
    return live


def _write_table(layer: Points, picks: Picks) -> None:
    layer.features = features_of(picks)
    layer.feature_defaults = blank_features(layer.features)


def _blank_new_rows(layer: Points, known: Picks) -> None:
    """Clear ids, scores and instances of new rows: napari copies them from the selected point."""
    features, n_known = layer.features, len(known)
    if n_known >= len(layer.data) or PICK_ID not in features:
        return
    new = features.index[n_known:]
    for name, blank in ((PICK_ID, NEW_PICK), ("score", np.nan), ("instance_id", NO_INSTANCE)):
        if name in features and features[name].dtype.kind in "if":
            features.loc[new, name] = blank


# reading


def read_picks(layer: Points, known: Picks | None, first: Picks | None = None) -> Picks:
    """The picks of a layer's rows.

    Parameters
    ----------
    known
        The layer's previous picks, if any.
    first
        The layer's first picks, for the rotations of rows that were cut and pasted.
    """
    if layer.ndim != 3:
        raise ValueError(
            f"picks have three coordinates, and the layer {layer.name!r} has {layer.ndim}"
        )
    positions = np.asarray(layer.data, dtype=np.float64)
    columns = {str(name): _values(column) for name, column in layer.features.items()}
    column = columns.pop(PICK_ID, None)
    row_ids = None if column is None else _as_integers(column, NEW_PICK)
    instances, scores = _take_instances(columns), _take_scores(columns)
    if known is None:
        spacing, about = spacing_angstrom_of(layer), about_of(layer)
        return Picks(
            positions, spacing, instance_ids=instances, scores=scores, features=columns, about=about
        )
    if PICKS_KEY not in layer.metadata:
        row_ids = None  # not our column; napari fills it for new points
    rows = _rows_shown(known, positions, row_ids)
    if rows is not None:  # napari truncated the table, so its rows belong to other picks
        return known.take(rows)
    if row_ids is None:
        row_ids = known.ids if len(positions) == len(known) else _ids_by_position(known, positions)
    ids = _unique_ids(known, row_ids)
    _blank_copies(columns, np.flatnonzero(ids != row_ids))
    rotations = _rotations(known, first, row_ids)
    return known.changed(
        points_zyx=positions,
        rotations_zyx=rotations,
        instance_ids=instances,
        scores=scores,
        features=columns,
        ids=ids,
    )


def _take_instances(columns: dict[str, NDArray[Any]]) -> NDArray[np.int64] | None:
    """Pop the column of instance ids, unless it holds other values."""
    instances = (
        _as_integers(columns["instance_id"], NO_INSTANCE) if "instance_id" in columns else None
    )
    if instances is not None:
        del columns["instance_id"]
    return instances


def _take_scores(columns: dict[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """Pop the column of scores, unless it holds other values."""
    is_score = "score" in columns and columns["score"].dtype.kind in "iufb"
    return columns.pop("score").astype(np.float64) if is_score else None


def _blank_copies(columns: dict[str, NDArray[Any]], rows: NDArray[np.intp]) -> None:
    """Clear columns of copies that belong to one particle, such as RELION's particle image."""
    for name in columns.keys() & set(OF_ONE_PARTICLE) if len(rows) else ():
        is_number = columns[name].dtype.kind in "iuf"
        columns[name] = np.array(columns[name], dtype=None if is_number else object)
        columns[name][rows] = 0 if is_number else ""


def _is_shown(layer: Points, picks: Picks) -> bool:
    """Whether a layer's rows equal these picks; faster than reading them."""
    features, columns = layer.features, picks.table()
    if PICKS_KEY in layer.metadata:
        if layer.metadata[PICKS_KEY] is not picks:
            return False
        columns |= {PICK_ID: picks.ids}
    return (
        np.array_equal(layer.data, picks.points_zyx)
        and set(columns) == set(features)
        and all(
            same_values(_values(features[name]), column).all() for name, column in columns.items()
        )
    )


def _values(column: Any) -> NDArray[Any]:
    """A column of a layer's table, with pandas' NA values as None."""
    values = np.asarray(column.to_numpy())
    if (
        values.dtype == object
        and type(getattr(column.dtype, "na_value", None)).__name__ == "NAType"
    ):
        values = np.array(values)
        values[np.asarray(column.isna())] = None
    return values


def _as_integers(column: NDArray[Any], missing: int) -> NDArray[np.int64] | None:
    """A column as integers, with ``missing`` for NaN and None; None if it holds other values."""
    if column.dtype.kind == "i":
        return column.astype(np.int64)
    try:
        numbers = column.astype(np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        return None
    is_known = np.isfinite(numbers)
    whole = np.where(is_known, numbers, missing).astype(np.int64)
    return whole if (whole == numbers)[is_known].all() else None


def _rows_shown(
    known: Picks, positions: NDArray[np.float64], row_ids: NDArray[np.int64] | None
) -> Any:
    """The known picks' rows if a script filtered or reordered ``layer.data``; None otherwise.

    As in ``layer.data = layer.data[mask]``. It is recognized by points at the exact positions of
    other picks.
    """
    if row_ids is None or not 0 < len(positions) <= len(known):
        return None
    rows = _rows_of(known, row_ids)
    is_other = (rows < 0) | (positions != known.points_zyx[rows]).any(axis=1)
    if not is_other.any() or not np.isin(positions[is_other], known.points_zyx).all():
        return None
    at = _rows_at(known.points_zyx, positions)
    return at if (at >= 0).all() else None


def _rows_at(points: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.intp]:
    """The row of the point at each exact position, using each row once; -1 if there is none."""
    rows: dict[tuple[float, ...], list[int]] = {}
    for row, position in reversed(list(enumerate(map(tuple, points.tolist())))):
        rows.setdefault(position, []).append(row)
    matches = (rows.get(position) for position in map(tuple, positions.tolist()))
    return np.array([unused.pop() if unused else -1 for unused in matches], dtype=np.intp)


def _ids_by_position(known: Picks, positions: NDArray[np.float64]) -> NDArray[np.int64]:
    rows = _rows_at(known.points_zyx, positions)
    return np.where(rows >= 0, known.ids[rows] if len(known) else NEW_PICK, NEW_PICK)


def _rows_of(known: Picks, ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """The row of each id in the known picks; -1 if there is none."""
    import pandas as pd

    rows: NDArray[np.intp] = pd.Index(known.ids).get_indexer(ids)
    return rows


def _rotations(
    known: Picks, first: Picks | None, row_ids: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """The rotation of each row, from its pick or the pick it was copied from."""
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
    """The id of each row; copies and new rows get unused ids."""
    is_own = np.zeros(len(row_ids), dtype=bool)
    is_own[np.unique(row_ids, return_index=True)[1]] = True
    is_own &= row_ids != NEW_PICK
    ids = np.array(row_ids)
    start = max(known.next_id, int(row_ids.max(initial=-1)) + 1)
    ids[~is_own] = np.arange(start, start + (~is_own).sum())
    return ids


# positions


def placed_picks_of(layer: Points) -> Picks:
    """A layer's picks at their positions in the viewer, in voxels from the world's origin.

    If the voxels aren't cubes, positions are converted to cubic voxels.

    Raises
    ------
    PlacementError
        If the layer is rotated or sheared, or is flipped and its picks have rotations.
    ValueError
        If the layer isn't three-dimensional, or a coordinate isn't finite.
    """
    picks = picks_of(layer)
    placement = placement_of(layer, may_flip=True)
    if picks.rotations_zyx is not None and placement.is_flipped:
        raise PlacementError(layer, "flipped")
    own_steps = placement.own_steps
    is_anisotropic = not np.allclose(own_steps, own_steps[0])
    if picks.spacing_angstrom is None and placement.is_in_angstrom and is_anisotropic:
        picks = picks.changed(spacing_angstrom=abs(own_steps[-1]))
    is_known = picks.spacing_angstrom is not None and placement.is_in_angstrom
    voxel = np.full(3, picks.spacing_angstrom) if is_known else own_steps
    stretch = placement.steps / voxel
    offset_voxels = placement.start / voxel
    edits = []
    if np.allclose(stretch, 1, rtol=1e-6):
        stretch = np.ones(3)
    else:
        edits.append(f"stretched with their layer by {_numbers_text(stretch)} (z, y, x)")
    if offset_voxels.any():
        edits.append(f"moved with their layer by {_numbers_text(offset_voxels)} voxels (z, y, x)")
    if not edits:
        return picks
    return picks.changed(", ".join(edits), points_zyx=picks.points_zyx * stretch + offset_voxels)


def _numbers_text(numbers: NDArray[np.float64]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def are_picks(layer: Layer) -> bool:
    """Whether a layer can hold picks: three-dimensional points."""
    return isinstance(layer, Points) and layer.ndim == 3


def is_volume(layer: Layer) -> bool:
    """Whether a layer is a three-dimensional grey image."""
    return isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb


def volume_for(layers: Sequence[Layer], layer: Points | None) -> Image | None:
    """The volume that a layer of picks most likely belongs to.

    Volumes of the same run come first, then those below the layer, then visible ones, then the
    topmost.
    """
    run_id = None if layer is None else about_of(layer).run_id
    volumes = [other for other in layers if is_volume(other)]
    volumes = [
        other for other in volumes if run_id is not None and about_of(other).run_id == run_id
    ] or volumes
    below = [
        other for other in volumes if layer in layers and layers.index(other) < layers.index(layer)
    ]
    visible = [other for other in below or volumes if other.visible]
    volume: Image | None = next(reversed(visible or below or volumes), None)
    return volume


def lacks_unit(layer: Layer | None) -> bool:
    """Whether a layer's scale is in pixels, so its voxel spacing is unknown."""
    return layer is not None and lengths_angstrom(layer.units) is None
