"""What holds for every dock about picks: each control tells what it is for, and no text is cut off in a narrow dock."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit

from napari_cryoet import load_annotation, open_portal
from napari_cryoet._qt.check.dock import CheckDock
from napari_cryoet._qt.compare.dock import CompareDock
from napari_cryoet._qt.files.export_dock import ExportPicks
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.review.dock import ReviewDock
from qt.cut_texts import cut_texts

CONTROLS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit)
NARROW_PX = 360
TRUTH, TEMPLATES = 9001, 9004
LONG_NAME = "TS_026_" + "denoised_" * 20 + "cytosolic ribosome of the third session"


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


@pytest.fixture(params=["review", "compare", "check", "export"])
def dock(request, qtbot, viewer, tmp_path):
    make = {
        "review": lambda: ReviewDock(viewer, folder=tmp_path / "reviews"),
        "compare": lambda: CompareDock(viewer),
        "check": lambda: CheckDock(viewer),
        "export": lambda: ExportPicks(viewer),
    }
    dock = make[request.param]()
    qtbot.addWidget(dock)
    dock.resize(NARROW_PX, 800)
    dock.show()
    yield dock
    dock.close()


@pytest.fixture
def show(viewer, demo_pack, qtbot):
    """Show two annotations over a volume, if wanted with names that are too long for any dock."""

    def show(*, rename=False):
        files = {file.id: file for file in open_portal(demo_pack).run_page(9001).annotation_files}
        viewer.add_image(np.zeros((20, 40, 60), np.float32), scale=(10,) * 3, units=("angstrom",) * 3, name="volume")
        layers = add_layers(viewer, [spec for number in (TRUTH, TEMPLATES) for spec in load_annotation(files[number])])
        if rename:
            for number, layer in enumerate(viewer.layers):
                layer.name = f"{LONG_NAME} {number}"
        qtbot.wait(50)
        return layers

    return show


def controls_of(dock):
    return [
        each
        for each in dock.findChildren(CONTROLS)
        if each.isVisible()
        and each.focusPolicy().value & Qt.FocusPolicy.TabFocus.value
        and not isinstance(each.parent(), CONTROLS)
    ]


def test_every_control_tells_what_it_is_for(dock, show):
    show()
    controls = controls_of(dock)

    assert len(controls) > 2
    assert [each for each in controls if not each.toolTip()] == []
    assert [each for each in controls if isinstance(each, QAbstractButton) and each.toolTip() == each.text()] == []


@pytest.mark.slow
def test_no_text_is_cut_off_in_a_narrow_dock(qtbot, dock, show):
    show(rename=True)
    dock.resize(NARROW_PX, 800)

    def is_readable():
        assert dock.width() == NARROW_PX
        assert cut_texts(dock) == []

    qtbot.waitUntil(is_readable)
