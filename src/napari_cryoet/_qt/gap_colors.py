"""Colours in turn for the values of a column in which some are missing."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from napari.utils.colormaps.categorical_colormap import CategoricalColormap
from numpy.typing import NDArray

_COLOR_OF_GAPS: Final = (0.5, 0.5, 0.5, 1.0)


class ColorsWithGaps(CategoricalColormap):  # type: ignore[misc] # napari is not typed
    """Colours in turn for the values of a column, and grey where there is none, of which napari makes an error."""

    def map(self, color_properties: Any) -> NDArray[Any]:
        """One colour for each value."""
        values = np.atleast_1d(np.asarray(color_properties))
        are_gaps = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=bool)
        colors = np.tile(np.array(_COLOR_OF_GAPS, dtype=np.float32), (len(values), 1))
        if not are_gaps.all():
            colors[~are_gaps] = super().map(values[~are_gaps])
        return colors


def know_gaps(colors: Any) -> None:
    """Have all colours in turn that napari ever makes of a column be some that know of gaps.

    Parameters
    ----------
    colors
        What has ``categorical_colormap``, as napari keeps it for points; anything else is left alone.
    """
    if hasattr(colors, "categorical_colormap"):
        _replace(colors)
        colors.events.categorical_colormap.connect(_on_other_colors)


def _on_other_colors(event: Any) -> None:
    _replace(event.source)


def _replace(colors: Any) -> None:
    if type(colors.categorical_colormap) is CategoricalColormap:
        object.__setattr__(colors.categorical_colormap, "__class__", ColorsWithGaps)
