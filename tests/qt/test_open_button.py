"""The button that opens a tomogram: what it offers, and what it says of what it costs."""

from __future__ import annotations

import pytest

from napari_cryoet._qt.browser.open_button import OpenButton
from samples import FILES, make_tomogram


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"file_size_omezarr": 9_000.0}, "Open  ≈ 9 KB to first sight"),
        ({"https_omezarr_dir": None, "https_mrc_file": f"{FILES}/TS_026.mrc"}, "Open  ≈ 4.8 KB to first sight"),
        ({"https_omezarr_dir": None}, "No file to open"),
    ],
)
def test_whatever_can_be_streamed_is_offered_with_its_cost(qtbot, theme, fields, text):
    button = OpenButton(theme)
    qtbot.addWidget(button)
    button.set_tomogram(make_tomogram(**fields))
    assert button.text().strip() == text
    assert button.isEnabled() is text.startswith("Open")
