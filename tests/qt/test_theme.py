"""What is drawn in our colours can be read, and seen, in both of napari's themes."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QColor

from napari_cryoet._qt.widgets.theme import KEPT_COLOR, PLACEHOLDER_SHARE, REJECTED_COLOR, blend, colors_of


def contrast(one: QColor, other: QColor) -> float:
    """After WCAG 2: 4.5 is enough for text, 3 for marks."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(color: QColor) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.getRgbF()[:3]]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.fixture(params=["dark", "light"])
def colors(request):
    return colors_of(request.param)


def test_text_can_be_read_wherever_it_stands(colors):
    for text, background in [
        (colors.text, colors.background),
        (colors.text, colors.raised),
        (colors.text, colors.border),
        (colors.text, colors.selection),
        (colors.dim, colors.background),
        (colors.dim, colors.raised),
        (colors.warning, colors.raised),
        (blend(colors.text, colors.border, PLACEHOLDER_SHARE), colors.border),  # fields are of the border's colour
    ]:
        assert contrast(text, background) > 4.5


def test_marks_stand_out(colors):
    for mark in (colors.accent, KEPT_COLOR, REJECTED_COLOR):
        assert contrast(mark, colors.background) > 3
