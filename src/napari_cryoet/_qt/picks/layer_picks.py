"""The picks that a Points layer shows now, after whatever a person did to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_cryoet._qt.layers.layer_spacing import dragged_by, lengths_angstrom, spacing_angstrom_of, widths_angstrom
from napari_cryoet._qt.widgets.layer_table import blank_images, table_of, values_of
from napari_cryoet.layers.specs import METADATA_KEY, NEW_PICK, PICK_ID, PICKS_KEY
from napari_cryoet.picks import LARGEST_ID, NO_INSTANCE, Picks
from napari_cryoet.picks.history import same_values, what_changed

#: How the name starts under which a column of another program goes on that is called as one of ours.
OWN_START: Final = "own_"
OWN_ID: Final = OWN_START + PICK_ID
_TOO_LARGE: Final = 2**63  # for a whole number of 64 bits
#: Who keeps the picks of a layer up to date, for layers where somebody does.
keepers: WeakKeyDictionary[Points, Callable[[], Picks]] = WeakKeyDictionary()
#: Who wants to know when somebody may be about to change a layer's features in place.
onlookers: WeakKeyDictionary[Points, Callable[[], None]] = WeakKeyDictionary()


def picks_of(layer: Points) -> Picks:
    """A layer's points as picks, in the layer's order.

    A layer of ours knows which of its rows are picks that it was made of: they keep their ids and rotations wherever
    they were moved. Copies, and rows that a person added, get ids of their own. What was done to them is among their
    edits. Of anybody else's layer, the scale is the voxel spacing if it is in a unit of length and the same along all
    axes.

    Raises
    ------
    ValueError
        If the layer isn't three-dimensional.
    """
    keeper = keepers.get(layer)
    if keeper is not None:
        return keeper()
    picks, known = read_picks(layer), layer.metadata.get(PICKS_KEY)
    edit = what_changed(known, picks) if isinstance(known, Picks) else ""
    return picks.changed(edit) if edit else picks


def read_picks(layer: Points, first_new_id: int = 0) -> Picks:
    """As `picks_of`, from nothing but the layer's rows and the picks in its metadata.

    Parameters
    ----------
    first_new_id
        New rows get no smaller ids, so that none is that of a pick that was there once.
    """
    if layer.ndim != 3:
        raise ValueError(f"picks have three coordinates, and the layer {layer.name!r} has {layer.ndim}")
    places = np.asarray(layer.data, dtype=np.float64)
    features = table_of(layer)
    columns = _named_apart({name: values_of(column) for name, column in _columns_by_text(features).items()})
    row_ids = columns.pop(PICK_ID, None)
    known = layer.metadata.get(PICKS_KEY)
    if not isinstance(known, Picks):
        return _stranger(layer, places, columns, row_ids)
    if np.array_equal(places, known.points_zyx):
        row_ids = known.ids  # whatever somebody typed into that column: nobody moved
    if row_ids is None:
        row_ids = _ids_by_place(known, places)
    chosen = rows_that_were_chosen(layer, known)
    if chosen is not None:
        return known.take(chosen)
    source = _rows_of(known, row_ids, len(places))
    if len(source) < len(known) and (source >= 0).all() and len(np.unique(source)) == len(source):
        known = known.take(source)  # only some are left: what is known of each needn't be found out again
        source = np.arange(len(known))
    if "score" not in known.features:
        columns = _with_words_apart(columns)
    scores = None if "score" in known.features else columns.pop("score", None)
    return known.changed(
        points_zyx=places,
        rotations_zyx=_rotations(known, source),
        instance_ids=_instances(known, columns.pop("instance_id", None), len(places)),
        scores=None if scores is None else np.asarray(scores, dtype=np.float64),
        features=columns,
        ids=_ids(known, row_ids, len(places), first_new_id),
    )


def rows_that_were_chosen(layer: Points, known: Picks) -> NDArray[np.intp] | None:
    """Which of its picks a layer shows that a script gave just some of its points, or all in another order; else None.

    As ``layer.data = layer.data[mask]`` does: napari cuts the table at its end then, so that it speaks of other picks.
    Nobody moves points exactly to where others were.
    """
    places, features = np.asarray(layer.data), table_of(layer)
    count = len(places)
    if not 0 < count <= len(known) or PICK_ID not in features:
        return None
    is_other = (places != known.points_zyx[:count]).any(axis=1)
    was_cut = np.array_equal(values_of(features[PICK_ID]), known.ids[:count])
    if not was_cut or not is_other.any():
        return None
    if not all(np.isin(places[is_other, axis], known.points_zyx[:, axis]).all() for axis in (2, 1, 0)):
        return None  # as most often: in a slice, a person moves points along x and y
    rows: dict[tuple[float, ...], list[int]] = {}
    for row, place in reversed(list(enumerate(map(tuple, known.points_zyx.tolist())))):
        rows.setdefault(place, []).append(row)
    chosen = []
    for place in map(tuple, places.tolist()):
        left = rows.get(place)
        if not left:
            return None
        chosen.append(left.pop())  # of several at one place, one after the other
    return np.array(chosen, dtype=np.intp)


def shows(layer: Points, picks: Picks) -> bool:
    """Whether a layer shows just these picks, as far as its rows say it; quicker than to read them."""
    features = _columns_by_text(table_of(layer))
    columns = picks.table() | {PICK_ID: picks.ids}
    if len(layer.data) != len(picks) or set(columns) != set(features):
        return False
    return np.array_equal(layer.data, picks.points_zyx) and all(
        same_values(values_of(features[name]), np.asarray(column)).all() for name, column in columns.items()
    )


def _rotations(known: Picks, source: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """The rotation of each row: that of the pick that it is or was copied from."""
    if known.rotations_zyx is None or np.array_equal(source, np.arange(len(known))):
        return known.rotations_zyx
    rotations = np.full((len(source), 3, 3), np.nan)
    rotations[source >= 0] = known.rotations_zyx[source[source >= 0]]
    return rotations


def _instances(known: Picks, column: NDArray[Any] | None, count: int) -> NDArray[np.int64] | None:
    """The instance of each row; picks of which none belongs to one have no such column."""
    if column is None and known.instance_ids is not None and (known.instance_ids == NO_INSTANCE).all():
        return np.full(count, NO_INSTANCE)
    instances: NDArray[np.int64] | None = _whole(column, NO_INSTANCE)
    return instances


def _columns_by_text(table: Any) -> dict[str, Any]:
    """A layer's columns by texts, as files have them; names of those of a file without a heading are numbers.

    Where two would be called the same, such as 0 and "0", both stay.
    """
    texts = {name for name in table if isinstance(name, str)}
    found: dict[str, Any] = {}
    for name in table:
        text = str(name)
        while not isinstance(name, str) and (text in texts or text in found):
            text = OWN_START + text
        found[text] = table[name]
    return found


def _named_apart(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A layer's columns; one that is called as if it said which instance a row is of, and can't, as a person's own."""
    if "instance_id" not in columns or _are_whole_or_missing(columns["instance_id"]):
        return columns
    own = OWN_START + "instance_id"
    while own in columns:
        own = OWN_START + own
    return {own if name == "instance_id" else name: values for name, values in columns.items()}


def _with_words_apart(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A layer's columns; one that is called as if it said how good each row is, and can't, as a person's own."""
    column = columns.get("score")
    if column is None or column.dtype.kind in "iufb":
        return columns
    if all(isinstance(value, Real | None) for value in column.tolist()):
        return columns
    own = OWN_START + "score"
    while own in columns:
        own = OWN_START + own
    return {own if name == "score" else name: values for name, values in columns.items()}


def _are_whole_or_missing(column: NDArray[Any]) -> bool:
    """Whether a column can say of which instance each row is: all its numbers are whole, and of 64 bits."""
    if column.dtype.kind == "f":
        numbers = column[np.isfinite(column)].astype(np.float64)
        return bool(((numbers == np.floor(numbers)) & (numbers >= -_TOO_LARGE) & (numbers < _TOO_LARGE)).all())
    if column.dtype.kind == "u":
        return int(column.max(initial=0)) < _TOO_LARGE
    if column.dtype.kind != "O":
        return column.dtype.kind == "i"
    return all(_is_whole_or_missing(value) for value in column.tolist())


def _is_whole_or_missing(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":
        return True
    if not isinstance(value, Real):
        return False
    if not isinstance(value, Integral) and not math.isfinite(value):
        return True
    whole: Any = math.floor(value)
    return bool(value == whole and -_TOO_LARGE <= whole < _TOO_LARGE)


def give_copies_no_images(layer: Points, known: Picks) -> None:
    """Let rows that napari pasted, beside those that they were copied from, have nothing of the images of these."""
    features = table_of(layer)
    if len(layer.data) <= len(known) or PICK_ID not in features:
        return
    row_ids = _whole(values_of(features[PICK_ID]), NEW_PICK)
    is_copy = row_ids != NEW_PICK
    is_copy[np.unique(row_ids, return_index=True)[1]] = False
    is_copy[: len(known)] = False  # were there before, whatever is typed into their cells
    if is_copy.any():
        blank_images(features, np.flatnonzero(is_copy), known)


def spare_own_ids(layer: Points) -> None:
    """Give a person's own column that is called as ours, and can't say which pick a row is, another name."""
    features = table_of(layer)
    is_ours = isinstance(layer.metadata.get(PICKS_KEY), Picks)
    if not is_ours and PICK_ID in features and _ids_of_stranger(values_of(features[PICK_ID])) is None:
        layer.features = features.rename(columns={PICK_ID: OWN_ID})


def _ids_of_stranger(column: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """What a person's own column says of which pick a row is; None where it doesn't say just that."""
    if column is None or column.dtype.kind not in "iuf":
        return None
    is_whole = bool(((column >= 0) & (column <= LARGEST_ID)).all() and (column == np.floor(column)).all())  # NaN isn't
    if not is_whole:
        return None
    ids = column.astype(np.int64)
    return ids if len(np.unique(ids)) == len(ids) else None


def _stranger(
    layer: Points, places: NDArray[np.float64], columns: dict[str, NDArray[Any]], row_ids: NDArray[Any] | None
) -> Picks:
    spacing = spacing_angstrom_of(layer)
    ids = _ids_of_stranger(row_ids)
    if row_ids is not None and ids is None:
        columns = {OWN_ID: row_ids} | columns
    instance_ids = _whole(columns.get("instance_id"), NO_INSTANCE)
    if instance_ids is not None:
        del columns["instance_id"]
    is_score = "score" in columns and columns["score"].dtype.kind in "iuf"
    scores = columns.pop("score").astype(np.float64) if is_score else None
    about = layer.metadata.get(METADATA_KEY, {})
    ids = np.arange(len(places)) if ids is None else ids
    return Picks(places, spacing, instance_ids=instance_ids, scores=scores, features=columns, ids=ids, about=about)


def placed_picks_of(layer: Points) -> Picks:
    """The picks of a layer counted from the origin of the world: where the viewer shows them, if the layer was moved.

    Of voxels that aren't as wide along all axes, as somebody else's layer may have, they are counted in cubes.

    Raises
    ------
    ValueError
        If the layer isn't three-dimensional, is rotated or sheared, or is flipped and its picks have rotations.
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


def _ids_by_place(known: Picks, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which pick each row is where a table was put in place of ours: that which stands there just so, or none."""
    if known.points_zyx.shape != places.shape:
        return np.full(len(places), NEW_PICK)
    return np.where((known.points_zyx == places).all(axis=1), known.ids, NEW_PICK)


def _rows_of(known: Picks, row_ids: NDArray[Any], count: int) -> NDArray[np.intp]:
    """For each row of the layer, which of the known picks it is or was copied from; -1 for none."""
    wanted = _whole(row_ids, NEW_PICK)
    order = np.argsort(known.ids)
    at = np.searchsorted(known.ids, wanted, sorter=order)
    found = order[np.minimum(at, len(order) - 1)] if len(order) else np.zeros(count, dtype=np.intp)
    is_known = (known.ids[found] == wanted) if len(order) else np.zeros(count, dtype=bool)
    return np.where(is_known, found, -1)


def _ids(known: Picks, row_ids: NDArray[Any], count: int, first_new_id: int) -> NDArray[np.int64]:
    """The id of each row: its pick's for the first row of that pick, and one of its own for copies and new rows."""
    wanted: NDArray[np.int64] = _whole(row_ids, NEW_PICK)
    if (wanted[1:] > wanted[:-1]).all() and wanted[0:1].min(initial=0) > NEW_PICK:
        return wanted  # as most layers are: each row a pick of its own
    is_first = np.zeros(count, dtype=bool)
    is_first[np.unique(wanted, return_index=True)[1]] = True
    is_own = is_first & (wanted != NEW_PICK)
    start = max(int(known.ids.max(initial=-1)) + 1, int(wanted.max(initial=-1)) + 1, first_new_id)
    ids = np.array(wanted)
    ids[~is_own] = np.arange(start, start + (~is_own).sum())
    return ids


def _whole(column: NDArray[Any] | None, missing: int) -> Any:
    """A column as whole numbers; napari fills what it doesn't know with NaN or None."""
    if column is None:
        return None
    if column.dtype.kind in "iu":
        return column.astype(np.int64)
    if column.dtype.kind == "f":
        return np.where(np.isfinite(column), column, missing).astype(np.int64)
    return np.array([_whole_number(value, missing) for value in column.tolist()], dtype=np.int64)


def _whole_number(value: Any, missing: int) -> int:
    """One of a mixed column; whole numbers keep all their digits."""
    if not isinstance(value, Integral):
        number = np.nan if value is None or type(value).__name__ == "NAType" else float(value)
        value = int(number) if np.isfinite(number) else missing
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} is too large for an id")
    return int(value)
