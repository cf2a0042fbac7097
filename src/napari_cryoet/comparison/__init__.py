"""How far two annotations agree: matches, scores, distances and angles of picks; overlaps of masks."""

from __future__ import annotations

from napari_cryoet.comparison.comparing import compare
from napari_cryoet.comparison.inputs import open_annotation
from napari_cryoet.comparison.layers import comparison_layers
from napari_cryoet.comparison.mask import Mask
from napari_cryoet.comparison.masks import InstanceScores, MaskComparison
from napari_cryoet.comparison.matching import Method
from napari_cryoet.comparison.picks_against_mask import PicksInMask
from napari_cryoet.comparison.picks_against_picks import PicksComparison
from napari_cryoet.comparison.report import Comparison, plain_report, report_text, write_report
from napari_cryoet.comparison.scores import Scores
from napari_cryoet.comparison.spread import Spread

__all__ = [
    "Comparison",
    "InstanceScores",
    "Mask",
    "MaskComparison",
    "Method",
    "PicksComparison",
    "PicksInMask",
    "Scores",
    "Spread",
    "compare",
    "comparison_layers",
    "open_annotation",
    "plain_report",
    "report_text",
    "write_report",
]
