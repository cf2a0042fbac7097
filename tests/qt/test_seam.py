"""napari's private API is used in one module only, and everything works without it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import napari_cryoet._qt
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.streaming import seam
from napari_cryoet.layers.specs import LayerSpec

HERE = {"seam"}
QT = Path(napari_cryoet._qt.__file__).parent
MODULES = sorted(path for path in QT.rglob("*.py") if path.stem != "__init__")
PRIVATE = re.compile(r"_[A-Za-z]\w*[a-z]")
OF_NAMED_TUPLES = {"_asdict", "_replace"}


def test_no_other_module_touches_what_napari_keeps_to_itself():
    found = {path.stem: touched_in(path.read_text(encoding="utf-8")) for path in MODULES if path.stem not in HERE}
    assert {module: names for module, names in found.items() if names} == {}


def touched_in(source: str) -> list[str]:
    """The private attributes of other objects, and napari's private modules, that a module uses."""
    nodes = list(ast.walk(ast.parse(source)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr)]
    own = {node.attr for node in attributes if ast.unparse(node.value) in {"self", "cls"}} | OF_NAMED_TUPLES
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    touched = [name for node in attributes if node.attr not in own and (name := ast.unparse(node)) != "os._exit"]
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return touched + [name for name in modules if re.fullmatch(r"napari(\.\w+)*\._[\w.]+", name)]


def test_the_scale_bar_counts_in_nanometers_where_napari_would_say_kiloangstrom(viewer_in_hidden_window):
    viewer = viewer_in_hidden_window
    options = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "name": "a", "contrast_limits": (0, 1)}
    add_layers(viewer, [LayerSpec(np.zeros((4, 400, 400)), options, "image")])
    canvas = viewer.window._qt_viewer.canvas
    for zoom, unit in ((0.5, "nm"), (0.05, "nm"), (0.001, "µm")):
        viewer.scene.camera.zoom = zoom
        canvas.on_draw(None)
        (visual,) = canvas._viewer_overlay_to_visual[viewer.canvas.overlays.scale_bar]
        value, found = visual.node.text.text.split()
        assert found == unit
        width_angstrom = visual._current_length / zoom
        assert width_angstrom == pytest.approx(float(value) * {"nm": 10, "µm": 10_000}[unit])


def test_a_napari_that_slices_in_another_way_is_noticed(monkeypatch):
    monkeypatch.setattr(seam, "_STATE", ("_gone",))
    assert not seam.can_stream.__wrapped__()
    monkeypatch.undo()
    assert seam.can_stream.__wrapped__()
    assert seam.can_slice_picks.__wrapped__()
