"""The table of a Points layer and its selected rows: what its columns say, and what is known of its picks in them."""

from __future__ import annotations

from numbers import Real
from typing import Any, Final

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_cryoet.formats.relion import OF_ONE_PARTICLE
from napari_cryoet.layers.specs import NEW_PICK, PICK_ID, blank_features, features_of
from napari_cryoet.picks import NO_INSTANCE, Picks

_TOO_LARGE: Final = 2**63  # for a whole number of 64 bits with a sign


def table_of(layer: Points) -> Any:
    """What a layer's `features` are, without letting it be known that they were asked for."""
    return Points.features.fget(layer)  # napari's own


def values_of(column: Any) -> NDArray[Any]:
    """A column of a layer's table; what is missing in pandas' own types is NaN among numbers, else None.

    Their NA can neither be compared nor be told from a value by `bool`.
    """
    if type(getattr(column.dtype, "na_value", None)).__name__ != "NAType":
        return np.asarray(column)
    missing = np.asarray(column.isna(), dtype=bool)
    if column.dtype.kind not in "iuf":
        values = np.array(column.to_numpy(dtype=object))
        values[missing] = None
        return values
    if missing.any():
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(column.to_numpy(dtype=column.dtype.numpy_dtype))


def select_no_more_than_there_is(layer: Points) -> None:
    """Let go of rows that are there no more: napari keeps them selected once a script gives it fewer points."""
    there = {row for row in layer.selected_data if row < len(layer.data)}
    if len(there) < len(layer.selected_data):
        layer.selected_data = there


def name_rows(layer: Points, ids: NDArray[np.int64]) -> None:
    """Let each row of a layer's table say which pick it is."""
    features = table_of(layer)
    if PICK_ID not in features or not np.array_equal(np.asarray(features[PICK_ID]), ids):
        defaults = layer.feature_defaults.to_dict("records")[0] if len(layer.feature_defaults) else {}
        features[PICK_ID] = np.array(ids)
        layer.feature_defaults = defaults | {PICK_ID: NEW_PICK}


def name_new_rows(layer: Points, known: Picks, first_id: int) -> None:
    """Napari gives new points the features of the selected one, of which some can't be true of any other pick.

    These say which pick it is, how good, and where its image was cut out by RELION.
    """
    new = slice(len(known), len(layer.data))
    features = table_of(layer)
    count = len(features.index[new])
    if count == 0 or PICK_ID not in features:
        return
    features.loc[features.index[new], PICK_ID] = np.arange(first_id, first_id + count)
    if known.scores is not None and "score" in features:
        features.loc[features.index[new], "score"] = np.nan
    if known.instance_ids is not None and "instance_id" in features:
        _put_into_no_instance(features, new)
    blank_images(features, new, known)


def _put_into_no_instance(features: Any, new: slice) -> None:
    """Let new points be of no instance; a person's own column of that name, which has other values, stays as it is."""
    kind, values = features["instance_id"].dtype, values_of(features["instance_id"])
    if not all(isinstance(value, Real | None) for value in values.tolist()):
        return
    if kind.kind == "u" and values.max(initial=0) >= _TOO_LARGE:
        return
    if kind.kind == "u" or not (isinstance(kind, np.dtype) or kind.kind in "if"):  # which has no -1, as one of a mask
        features["instance_id"] = values.astype(np.int64) if values.dtype.kind == "u" else values
    features.loc[features.index[new], "instance_id"] = NO_INSTANCE


def blank_images(features: Any, new: slice | NDArray[np.intp], known: Picks) -> None:
    """Let new points have none of the image that was cut out of another one, nor a shift from it."""
    for name in {*OF_ONE_PARTICLE} & {*known.features} & {*features}:
        is_number = features[name].dtype.kind in "iuf"
        if not is_number:  # also one of few words, of which none is empty
            features[name] = features[name].astype(object)
        features.loc[features.index[new], name] = 0 if is_number else ""


def write_table(layer: Points, picks: Picks) -> None:
    """Let the table of a layer say what is known of its picks; the next point gets what it would have got."""
    defaults = layer.feature_defaults.to_dict("records")[0] if len(layer.feature_defaults) else {}
    layer.features = _like(features_of(picks), layer.features)
    blanks = blank_features(layer.features)
    layer.feature_defaults = {name: defaults.get(name, blank) for name, blank in blanks.items()}


def _like(columns: dict[str, Any], features: Any) -> Any:
    """Columns as a table, of the kinds that a table's columns have where their values allow it."""
    import pandas as pd

    table = pd.DataFrame(columns)
    for name in table:
        kind = features[name].dtype if name in features else None
        if isinstance(kind, pd.CategoricalDtype) and table[name].isin(kind.categories).all():
            table[name] = table[name].astype(kind)
    return table
