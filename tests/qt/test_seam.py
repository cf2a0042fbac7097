"""napari's private API is used in one module only, and everything works without it."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.components.overlays import ScaleBarOverlay

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


#: Opens the demo with a seam in which one of napari's private names is misspelt.
SCRIPT = """
import re, sys, types
from importlib.util import find_spec
from pathlib import Path
name, pack = sys.argv[1:]
spec = find_spec("napari_cryoet._qt.seam")
source = Path(spec.origin).read_text(encoding="utf-8")
seam = types.ModuleType(spec.name)
sys.modules[spec.name] = seam
source = re.sub(rf"(?<!\\w){name}(?!\\w)", name + "_of_another_napari", source)
exec(compile(source, spec.origin, "exec"), vars(seam))

import napari
from qtpy.QtWidgets import QApplication
from napari_cryoet import load_annotation, load_tomogram, open_portal
from napari_cryoet.runs.outline import outline_run
from napari_cryoet.viewer import add_layers
from napari_cryoet._qt.widgets.dock import open_dock
errors = []


def note(*error):
    errors.append(error)
    sys.__excepthook__(*error)


sys.excepthook = note
page = open_portal(pack).run_page(9001)
specs = [load_tomogram(page.default_tomogram)]
for file in outline_run(page, page.default_tomogram).defaults():
    specs += load_annotation(file, page.default_tomogram)
viewer = napari.Viewer()
layers = add_layers(viewer, specs)
open_dock(viewer, "Orthogonal views")
for ndisplay in (2, 3, 2):
    viewer.dims.ndisplay = ndisplay
    viewer.dims.set_current_step(0, 3 + ndisplay)
    for _ in range(20):
        QApplication.processEvents()
layers[0].depiction = "plane"
assert viewer.screenshot(canvas_only=True).any()
seam.forget_window_position(viewer.window.main_menu.window())
viewer.close()
assert len(layers) == len(specs)
assert not errors, errors
"""


def names_of_napari():
    """The private names in the seam that are napari's."""
    source = (QT / "seam.py").read_text(encoding="utf-8")
    own = {node.name for node in ast.parse(source).body if hasattr(node, "name")}
    return sorted(set(re.findall(r"(?<!\w)_[a-z]\w*[a-z]\b", source)) - own)


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of_napari())
def test_each_private_name_of_napari_may_be_gone(name, demo_pack):
    command = [sys.executable, "-c", SCRIPT, name, str(demo_pack)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr[-2000:]


def test_naparis_scale_bar_stays_where_it_cannot_be_changed(monkeypatch, viewer_in_hidden_window):
    monkeypatch.delattr(ScaleBarOverlay, "unit")  # deprecated, and gone in napari 0.10
    assert runpy.run_path(seam.__file__)["can_stream"]()
    kind = seam._nanometer_scale_bar.__wrapped__()  # as in a process of its own
    assert kind is not None
    assert kind(visible=True).visible

    monkeypatch.setattr(seam, "_SCALE_BAR", "napari.gone")
    assert seam._nanometer_scale_bar.__wrapped__() is None


def test_an_unsupported_napari_is_detected(monkeypatch):
    monkeypatch.setattr(seam, "_STATE", ("_gone",))
    assert not seam.can_stream.__wrapped__()
    monkeypatch.undo()
    assert seam.can_stream.__wrapped__()
    assert seam.can_slice_picks.__wrapped__()
