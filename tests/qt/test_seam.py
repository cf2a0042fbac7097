"""What napari doesn't promise is touched in one place, and without any of it everything goes on."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import napari
import numpy as np
import pytest
from napari.layers import Image

import napari_cryoet._qt
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.streaming import seam
from napari_cryoet.layers.specs import LayerSpec

HERE = {"seam"}
QT = Path(napari_cryoet._qt.__file__).parent
MODULES = sorted(path for path in QT.rglob("*.py") if path.stem != "__init__")
PRIVATE = re.compile(r"_[A-Za-z]\w*")
OF_NAMED_TUPLES = {"_asdict", "_replace"}
OF_PYTHON = {"os._exit"}


# in one place


def is_private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None and not name.startswith("__")


def own_names(tree: ast.AST) -> set[str]:
    """What a module gives its own objects."""
    on_self = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    in_classes = {name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for name in parts_of(node)}
    return on_self | in_classes


def touched_in(source: str) -> list[str]:
    """What a module uses of other objects' private names, and of napari's private modules."""
    tree, found = ast.parse(source), []
    own = own_names(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name) if is_private(name):
                found += [] if name in own and not is_of_napari(name) else [f"super().{name}"]
            case ast.Attribute(attr=name) if is_private(name):
                is_own = name in own and not is_of_napari(name)
                if not (is_own or name in OF_NAMED_TUPLES or ast.unparse(node) in OF_PYTHON):
                    found.append(ast.unparse(node))
            case ast.Call(func=ast.Name(id="getattr" | "hasattr" | "setattr" | "delattr"), args=[_, name, *_]):
                if isinstance(name, ast.Constant) and is_private(name.value) and is_of_napari(name.value):
                    found.append(ast.unparse(node))
            case ast.ImportFrom(module=str() as module, names=names) if module.partition(".")[0] == "napari":
                paths = [module, *(f"{module}.{name.name}" for name in names)]
                found += [path for path in paths if "._" in path]
            case ast.Import(names=names):
                found += [name.name for name in names if name.name.startswith("napari.") and "._" in name.name]
            case ast.Constant(value=str() as text) if re.fullmatch(r"napari(\.\w+)*\._[\w.]+", text):
                found.append(text)
    return found


def napari_classes() -> list[type]:
    from napari.components import ViewerModel
    from napari.components.overlays import SceneOverlay
    from napari.qt import QtViewer, Window

    kinds = [getattr(napari.layers, name) for name in ("Image", "Labels", "Points", "Surface", "Vectors")]
    return [*kinds, ViewerModel, napari.Viewer, QtViewer, Window, SceneOverlay]


@pytest.fixture(scope="module", autouse=True)
def names_of_napari() -> set[str]:
    """Private names of napari's classes and of its layers; found once."""
    plane = np.zeros((2, 2, 2))
    layers = [Image(plane), napari.layers.Points(plane[0]), napari.layers.Vectors(plane)]
    layers += [layer._slicing_state for layer in layers]
    names = {name for thing in (*napari_classes(), *layers) for name in dir(thing)}
    _of_napari.update(name for name in names if is_private(name))
    return _of_napari


_of_napari: set[str] = set()


def is_of_napari(name: str) -> bool:
    return name in _of_napari


def test_no_other_module_touches_what_napari_keeps_to_itself():
    found = {path.stem: touched_in(path.read_text(encoding="utf-8")) for path in MODULES if path.stem not in HERE}
    assert {module: names for module, names in found.items() if names} == {}


def parts_of(kind: ast.ClassDef) -> set[str]:
    """What a class says itself, by its source."""
    functions = {part.name for part in kind.body if isinstance(part, ast.FunctionDef)}
    assigns = [part for part in kind.body if isinstance(part, ast.Assign | ast.AnnAssign)]
    targets = [target for part in assigns for target in getattr(part, "targets", [getattr(part, "target", None)])]
    return functions | {target.id for target in targets if isinstance(target, ast.Name)}


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


@pytest.mark.parametrize("name", ["overlay_to_visual"])
def test_a_napari_that_draws_overlays_in_another_way_has_none_of_ours(name, monkeypatch):
    from napari._vispy.utils import visual

    monkeypatch.delattr(visual, name)
    assert not seam.draw_overlays(object, lambda base: base)


@pytest.mark.parametrize("name", ["_units", "_make_slice_request_internal"])
def test_a_napari_that_slices_in_another_way_is_noticed(name, monkeypatch):
    monkeypatch.setattr(seam, "_OF_STATE", (f"{name}_gone",))
    seam.missing_names.cache_clear()
    assert seam.missing_names() == (f"{name}_gone",)
    monkeypatch.undo()
    seam.missing_names.cache_clear()
    assert seam.missing_names() == ()
