"""What napari doesn't promise: touched in one place, each name tried, and without any of them everything goes on."""

from __future__ import annotations

import ast
import inspect
import logging
import re
import sys
from pathlib import Path
from types import ModuleType

import napari
import numpy as np
import pytest
from napari.layers import Image

import napari_cryoet._qt
from napari_cryoet._qt.files import napari_check
from napari_cryoet._qt.files.napari_check import Feature, lacks
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet._qt.ortho import cursor
from napari_cryoet._qt.ortho.cursor import remove_crosshair, show_crosshair
from napari_cryoet._qt.picks.orientations import orientation_of
from napari_cryoet._qt.picks.slabs import show_as_discs, show_slab
from napari_cryoet._qt.streaming import napari_internals
from napari_cryoet._qt.streaming.progressive import stream_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec, arrows_spec, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.streaming import open_pyramid

HERE = {"napari_internals", "napari_check", "seam"}
QT = Path(napari_cryoet._qt.__file__).parent
MODULES = sorted(path for path in QT.rglob("*.py") if path.stem != "__init__")
PRIVATE = re.compile(r"_[A-Za-z]\w*")
OF_NAMED_TUPLES = {"_asdict", "_replace"}
OF_PYTHON = {"os._exit"}

SHAPE, SPACING = (21, 14, 18), 10.0
COMMON = {"scale": (SPACING,) * 3, "units": ("angstrom",) * 3, "metadata": {METADATA_KEY: {"kind": "tomogram"}}}


# in one place


def is_private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None and not name.startswith("__")


def source_of(module: ModuleType) -> str:
    return Path(module.__file__).read_text(encoding="utf-8")


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


STACKS = {"currentframe", "getouterframes", "_getframe", "_current_frames", "f_back", "tb_frame"}
STACKS |= {"extract_stack", "format_stack", "walk_stack"}


def looks_at_call_stacks(source: str) -> bool:
    """Whether a module asks who called it."""
    tree = ast.parse(source)
    taken = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    return bool((taken | named) & STACKS) or "inspect.stack" in source


def test_only_how_a_file_was_named_is_looked_up_in_call_stacks():
    """What napari slices, and for whom, is known by its requests. To writers it doesn't tell what was typed."""
    package = QT.parent
    found = [path for path in package.rglob("*.py") if looks_at_call_stacks(path.read_text(encoding="utf-8"))]
    assert found == [QT / "files" / "saving_names.py"]


# tried


#: One of each feature.
NAMES = ["_block_refresh", "_slicing_state", "_drag_start", "_qt_viewer", "_on_visible_change", "overlay_to_visual"]


def without(module: ModuleType, pattern: str) -> ModuleType:
    """A module as it would be if napari had something only under another name: it asks for what isn't there."""
    text = re.sub(pattern, lambda found: f"{found[0]}_gone", source_of(module))
    other = ModuleType(f"{module.__name__}_without")
    exec(compile(text, module.__file__, "exec"), vars(other))
    return other


@pytest.fixture
def remove(monkeypatch):
    """Let napari have a name no longer, for all modules of ours."""

    def remove(pattern: str) -> None:
        internals, check = without(napari_internals, pattern), without(napari_check, pattern)
        check.napari_internals = internals
        tries = {feature: check._TRIES[check.Feature[feature.name]] for feature in Feature}
        monkeypatch.setattr(napari_check, "_TRIES", tries)
        for name, real in list(vars(napari_internals).items()):
            other = getattr(internals, name, None)
            if inspect.isfunction(real) and real.__module__ == napari_internals.__name__:
                replace_everywhere(monkeypatch, real, other)
            elif inspect.isclass(real) and real.__module__ == napari_internals.__name__:
                for part in set(vars(real)) - set(vars(other)) - {"__module__"}:
                    monkeypatch.delattr(real, part)
        lacks.cache_clear()
        cursor._can_draw.cache_clear()

    lacks.cache_clear()
    yield remove
    monkeypatch.undo()
    lacks.cache_clear()
    cursor._can_draw.cache_clear()
    assert gone() == {}


def replace_everywhere(monkeypatch, real, other) -> None:
    for module in [each for name, each in sys.modules.items() if name.startswith("napari_cryoet._qt")]:
        for name, value in list(vars(module).items()):
            if value is real:
                monkeypatch.setattr(module, name, other)


def gone() -> dict[Feature, str]:
    return {feature: ", ".join(lacks(feature)) for feature in Feature if lacks(feature)}


def test_this_napari_has_it_all(remove):
    assert gone() == {}


def test_what_is_missing_is_told_with_what_there_is_instead(remove, caplog):
    remove(r"\b_block_refresh\b")
    with caplog.at_level(logging.WARNING):
        assert lacks(Feature.WRITING)
    (record,) = caplog.records
    assert "_block_refresh_gone" in record.getMessage()
    assert Feature.WRITING.value in record.getMessage()


# without


@pytest.fixture
def viewer(viewer_in_hidden_window):
    yield viewer_in_hidden_window
    remove_crosshair(viewer_in_hidden_window)


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture(scope="module")
def levels(values, tmp_path_factory):
    folder = tmp_path_factory.mktemp("volume")
    write_pyramid(folder / "a.zarr", values, SPACING, "tomogram")
    return open_pyramid(str(folder / "a.zarr")).levels


def specs_of(levels) -> list[LayerSpec]:
    picks = Picks([[9.0, 5.0, 5.0], [9.0, 9.0, 9.0]], SPACING, rotations_zyx=np.tile(np.eye(3), (2, 1, 1)))
    look = {"color": (1, 0, 0, 1), "diameter_angstrom": 60, "spacing_angstrom": SPACING}
    points, arrows = points_spec(picks, COMMON, name="picks", **look), arrows_spec(picks, COMMON, name="arrows", **look)
    return [LayerSpec(levels, COMMON | {"contrast_limits": (-3, 3), "name": "tomogram"}, "image"), points, arrows]


def use_all(qtbot, viewer, levels, values) -> None:
    """Look at a tomogram with picks and edit these; what depends on a feature is as it should be with or without it."""
    tomogram, arrows, points = add_layers(viewer, specs_of(levels))
    is_there = {feature: not lacks(feature) for feature in Feature}
    assert stream_of(tomogram).state.is_progressive
    assert viewer.dims.nsteps == SHAPE
    for plane in (9, 11):
        viewer.dims.set_current_step(0, plane)
        qtbot.waitUntil(lambda plane=plane: is_drawn(tomogram, values[plane]))
    assert np.array_equal(np.asarray(tomogram.data[0]), values)

    assert show_as_discs(points) == show_slab(points, 0) == is_there[Feature.DISCS]
    qtbot.waitUntil(lambda: len(points._view_indices) == (2 if is_there[Feature.DISCS] else 0))
    viewer.dims.set_current_step(0, 9)
    qtbot.waitUntil(lambda: points._view_indices.tolist() == [0, 1])

    orientation_of(points).show("triads")
    assert len(arrows.data) == 6
    points.remove([0])
    qtbot.waitUntil(lambda: len(arrows.data) == 3 and len(points.data) == 1)
    assert [str(kind) for _, _, kind in (layer.as_layer_data_tuple() for layer in viewer.layers)] == [
        "image",
        "vectors",
        "points",
    ]

    assert (show_crosshair(viewer) is not None) == is_there[Feature.CROSSHAIR]
    assert viewer in napari_internals.open_viewers()
    napari_internals.forget_place(viewer.window.main_menu.window())
    napari_internals.delete_in_own_canvas(viewer.window.main_menu)


def is_drawn(layer, expected) -> bool:
    return np.array_equal(layer._slice.image.raw, expected)


def test_with_all_of_it_everything_is_there(qtbot, viewer, levels, values, remove):
    use_all(qtbot, viewer, levels, values)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_without_one_name_it_is_named_and_everything_goes_on(name, qtbot, viewer, levels, values, remove):
    remove(rf"\b{name}\b")
    assert any(f"{name}_gone" in text for text in gone().values()), gone()
    use_all(qtbot, viewer, levels, values)
