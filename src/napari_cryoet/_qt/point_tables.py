"""The table of a Points layer, and which of its rows are selected, as they follow the layer's picks."""

from __future__ import annotations

from typing import Any

from napari.layers import Points

from napari_cryoet.picks import Picks
from napari_cryoet.point_layers import blank_features, features_of


def select_no_more_than_there_is(layer: Points) -> None:
    """Let go of rows that are there no more: napari keeps them selected once a script gives it fewer points."""
    there = {row for row in layer.selected_data if row < len(layer.data)}
    if len(there) < len(layer.selected_data):
        layer.selected_data = there


def write_features(layer: Points, picks: Picks) -> None:
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
