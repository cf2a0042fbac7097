"""Measure picks in volumes and masks: one named column of numbers for each question.

Lengths are in nanometres. Everything is pure, and bounded in memory.
"""

from napari_cryoet.measure.measuring import (
    COLUMNS,
    CONTRAST,
    DENSITY,
    EDGE,
    INSIDE,
    LABEL,
    NEAREST,
    SURFACE,
    PicksFrame,
    measure_picks,
    measured_columns,
    nearest_neighbours,
)

__all__ = [
    "COLUMNS",
    "CONTRAST",
    "DENSITY",
    "EDGE",
    "INSIDE",
    "LABEL",
    "NEAREST",
    "SURFACE",
    "PicksFrame",
    "measure_picks",
    "measured_columns",
    "nearest_neighbours",
]
