"""Review picks: crops around them, sorting and filtering, verdicts that survive a crash, and kept picks."""

from __future__ import annotations

from napari_cryoet.review.columns import Order
from napari_cryoet.review.review import Review, kept_picks
from napari_cryoet.review.session import Subject, Verdict
from napari_cryoet.volumes.crops import CropReader, Cube, Frame, RunningMean

__all__ = ["CropReader", "Cube", "Frame", "Order", "Review", "RunningMean", "Subject", "Verdict"]
__all__ += ["kept_picks"]
