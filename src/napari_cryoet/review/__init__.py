"""Judging picks: crops around them, orders to look at them in, decisions that survive a crash, and what was kept."""

from __future__ import annotations

from napari_cryoet.review.average import RunningMean
from napari_cryoet.review.cropping import Cube, Frame
from napari_cryoet.review.crops import Crop, CropReader
from napari_cryoet.review.decisions import Decisions, Verdict
from napari_cryoet.review.density import densities_at
from napari_cryoet.review.filtering import parse_filter
from napari_cryoet.review.ordering import Columns, Order, measured, sorted_rows
from napari_cryoet.review.outcome import kept_picks, rejected_picks
from napari_cryoet.review.review import Review
from napari_cryoet.review.session import Resumed, SessionStore, Subject
from napari_cryoet.review.volume import ReviewVolume, open_for_review

__all__ = [
    "Columns",
    "Crop",
    "CropReader",
    "Cube",
    "Decisions",
    "Frame",
    "Order",
    "Resumed",
    "Review",
    "ReviewVolume",
    "RunningMean",
    "SessionStore",
    "Subject",
    "Verdict",
    "densities_at",
    "kept_picks",
    "measured",
    "open_for_review",
    "parse_filter",
    "rejected_picks",
    "sorted_rows",
]
