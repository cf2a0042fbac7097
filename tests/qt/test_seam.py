"""napari's private API is used in one module only, and everything works without it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import napari_cryoet._qt
from napari_cryoet._qt import seam
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet.layers.specs import LayerSpec

SEAM = {"seam"}
QT = Path(napari_cryoet._qt.__file__).parent
MODULES = sorted(path for path in QT.rglob("*.py") if path.stem != "__init__")
PRIVATE = re.compile(r"_[A-Za-z]\w*[a-z]")
NAMED_TUPLE_METHODS = {"_asdict", "_replace"}


def test_only_the_seam_uses_naparis_private_api():
    used = {
        path.stem: private_names_in(path.read_text(encoding="utf-8"))
        for path in MODULES
        if path.stem not in SEAM
    }
    assert {module: names for module, names in used.items() if names} == {}


def private_names_in(source: str) -> list[str]:
    """The private attributes of other objects, and napari's private modules, that a module uses."""
    nodes = list(ast.walk(ast.parse(source)))
    attributes = [
        node for node in nodes if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr)
    ]
    own = {
        node.attr for node in attributes if ast.unparse(node.value) in {"self", "cls"}
    } | NAMED_TUPLE_METHODS
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    used = [
        name
        for node in attributes
        if node.attr not in own and (name := ast.unparse(node)) != "os._exit"
    ]
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return used + [name for name in modules if re.fullmatch(r"napari(\.\w+)*\._[\w.]+", name)]


def test_the_scale_bar_shows_nanometers_not_kiloangstrom(viewer_in_hidden_window):
    viewer = viewer_in_hidden_window
    options = {
        "scale": (10.0,) * 3,
        "units": ("angstrom",) * 3,
        "name": "a",
        "contrast_limits": (0, 1),
    }
    add_layers(viewer, [LayerSpec(np.zeros((4, 400, 400)), options, "image")])
    canvas = viewer.window._qt_viewer.canvas
    for zoom, unit in ((0.5, "nm"), (0.05, "nm"), (0.001, "µm")):
        viewer.scene.camera.zoom = zoom
        canvas.on_draw(None)
        (visual,) = canvas._viewer_overlay_to_visual[viewer.canvas.overlays.scale_bar]
        value, shown_unit = visual.node.text.text.split()
        assert shown_unit == unit
        width_angstrom = visual._current_length / zoom
        assert width_angstrom == pytest.approx(float(value) * {"nm": 10, "µm": 10_000}[unit])


def test_an_unsupported_napari_is_detected(monkeypatch):
    monkeypatch.setattr(seam, "_STATE", ("_gone",))
    assert not seam.can_stream.__wrapped__()
    monkeypatch.undo()
    assert seam.can_stream.__wrapped__()
    assert seam.can_slice_picks.__wrapped__()
