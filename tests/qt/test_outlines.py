"""Picks and masks stand out from a white canvas, a black one, and the greys of a tomogram."""

from __future__ import annotations

import numpy as np
import pytest
from vispy.visuals.image import ImageVisual
from vispy.visuals.markers import MarkersVisual

from napari_cryoet._qt.adding import add_layers
from napari_cryoet._qt.outline_shader import outlined_labels, outlined_markers
from napari_cryoet.color_vision import contrast
from napari_cryoet.colors import OWN_PALETTE, PALETTE, rgba_of
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.picks import Picks
from napari_cryoet.point_layers import points_spec

COMMON = {"scale": (10.0,) * 3, "units": ("angstrom",) * 3, "metadata": {METADATA_KEY: {"kind": "annotation"}}}
LOOK = {"diameter_angstrom": 250.0, "spacing_angstrom": 10.0}
COLORS = {name: rgba_of(code) for name, code in (PALETTE | OWN_PALETTE).items()}


def test_shaders_of_this_vispy_are_known():
    markers, labels = (visual._shaders["fragment"] for visual in (MarkersVisual, ImageVisual))

    for outlined, shader in ((outlined_markers, markers), (outlined_labels, labels)):
        text = outlined(shader)
        assert "outline_of" in text
        assert outlined(text) is None, "it is outlined once"


@pytest.mark.parametrize("gone", ["edgealphafactor", "u_antialias", "edgecolor", "void main()"])
def test_another_shader_of_markers_is_left_alone(gone):
    shader = MarkersVisual._shaders["fragment"]
    assert outlined_markers(shader.replace(gone, "other")) is None


def test_another_shader_of_labels_is_left_alone():
    assert outlined_labels(ImageVisual._shaders["fragment"].replace("get_data", "data")) is None


STEP = 60.0  # voxels from one mark to the next


class Grid:
    """Marks of all colours on an empty canvas, four beside each other."""

    def __init__(self, viewer, theme):
        self._viewer = viewer
        viewer.theme = theme
        self.background = (1.0,) * 3 if theme == "light" else (0.0,) * 3

    @staticmethod
    def place(number):
        """Of a mark, in voxels."""
        return np.array([0.0, number // 4 * STEP, number % 4 * STEP])

    def pictures(self, px_a_mark):
        """What is drawn of each colour, by its name, when marks are so far from each other."""
        viewer = self._viewer
        viewer.canvas.overlays.scale_bar.visible = False
        viewer.scene.camera.center = (0, 15 * STEP, 15 * STEP)
        viewer.scene.camera.zoom = px_a_mark / (STEP * 10)
        shot = viewer.screenshot(canvas_only=True, flash=False)[..., :3] / 255
        np.testing.assert_allclose(shot[2, 2], self.background, atol=0.01)
        first = np.array(shot.shape[:2]) / 2 - 2 * px_a_mark
        assert (first > 0).all()
        corners = [first + self.place(number)[1:] / STEP * px_a_mark for number in range(len(COLORS))]
        return {
            name: shot[int(row) : int(row + px_a_mark), int(column) : int(column + px_a_mark)]
            for name, (row, column) in zip(COLORS, corners, strict=True)
        }


def best_contrast(shot, background):
    """Of all pixels, with what they lie on."""
    return max(contrast(color, background) for color in np.unique(shot.reshape(-1, 3), axis=0))


def is_tinted(shot, color):
    """Whether some pixel has the hue of a colour, if it has any, about as strongly."""
    colors, wanted = shot.reshape(-1, 3), np.array(color[:3]) - np.mean(color[:3])
    if not wanted.any():
        return True
    tints = colors - colors.mean(axis=1, keepdims=True)
    strength = np.linalg.norm(tints, axis=1)
    is_near = tints @ wanted >= 0.9 * strength * np.linalg.norm(wanted)
    return bool((is_near & (strength > 0.4 * np.linalg.norm(wanted))).any())


@pytest.fixture(params=["light", "dark"])
def grid(viewer_in_window, request):
    return Grid(viewer_in_window, request.param)


def test_picks_of_every_colour_stand_out_from_the_canvas(grid, viewer_in_window):
    for number, (name, color) in enumerate(COLORS.items()):
        picks = Picks([grid.place(number)], 10.0)
        add_layers(viewer_in_window, [points_spec(picks, COMMON, name=name, color=color, **LOOK)])
    for px_a_mark in (45, 16):  # discs of 19 and of 7 pixels
        for name, shot in grid.pictures(px_a_mark).items():
            assert best_contrast(shot, grid.background) > 3, (name, px_a_mark)
            assert is_tinted(shot, COLORS[name]), (name, px_a_mark)


def test_masks_of_every_colour_stand_out_from_the_canvas(grid, viewer_in_window):
    for number, (name, color) in enumerate(COLORS.items()):
        colors = {None: color, 0: (0.0,) * 4, 1: color}
        mask = np.zeros((1, 40, 40), np.uint8)
        mask[0, 10:30, 10:30] = 1
        looks = {"name": name, "colormap": colors, "opacity": 0.5, "translate": (grid.place(number) - [0, 20, 20]) * 10}
        add_layers(viewer_in_window, [LayerSpec(mask, COMMON | looks, "labels")])
    for px_a_mark in (45, 16):
        for name, shot in grid.pictures(px_a_mark).items():
            assert best_contrast(shot, grid.background) > 2, (name, px_a_mark)
            assert is_tinted(shot, COLORS[name]), (name, px_a_mark)


def test_a_line_is_drawn_around_nothing_that_others_add(viewer_in_window):
    grid = Grid(viewer_in_window, "light")
    add_layers(viewer_in_window, [])
    for number, color in enumerate(COLORS.values()):
        viewer_in_window.add_points(
            [grid.place(number) * 10], size=250, border_color=[color], face_color=[color], border_width=0.08
        )
    shots = grid.pictures(45)
    assert best_contrast(shots["yellow"], grid.background) < 1.2
    assert best_contrast(shots["white"], grid.background) == 1


def test_the_line_is_in_no_data(viewer_in_window):
    picks = Picks([[0.0, 25.0, 25.0]], 10.0)
    spec = points_spec(picks, COMMON, name="picks", color=COLORS["yellow"], **LOOK)
    (layer,) = add_layers(viewer_in_window, [spec])

    np.testing.assert_allclose(layer.border_color, [COLORS["yellow"]], atol=1e-6)
    assert list(viewer_in_window.layers) == [layer]
