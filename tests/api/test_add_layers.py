"""Specs in a viewer, without a window: placement and order of layers, and exact volumes."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Surface, Vectors

from api.files import noise, write_zarr
from napari_cryoet import Picks, load_annotation, load_picks, load_tomogram
from napari_cryoet.viewer import add_layers

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture
def viewer():
    return ViewerModel()


def test_layers_are_ordered_by_kind_from_bottom_to_top(viewer, find, tomogram):
    specs = [
        *load_annotation(find("OrientedPoint"), tomogram),
        *load_annotation(find("Mesh"), tomogram),
        load_tomogram(tomogram),
        *load_annotation(find("SegmentationMask", "zarr"), tomogram),
    ]
    layers = add_layers(viewer, specs)

    assert list(viewer.layers) == layers
    kinds = (Image, Labels, Surface, Vectors, Points)
    order = [
        next(number for number, kind in enumerate(kinds) if isinstance(layer, kind))
        for layer in layers
    ]
    assert order == [0, 1, 2, 3, 4]
    assert sorted(layer.name for layer in layers) == sorted(spec.name for spec in specs)


def test_all_layers_use_world_coordinates_in_angstrom(viewer, find, tomogram):
    (points,) = load_annotation(find("Point"), tomogram)
    image, drawn = add_layers(viewer, [load_tomogram(tomogram), points])

    assert {str(unit) for layer in (image, drawn) for unit in layer.units} == {"angstrom"}
    assert image.data_to_world((1, 2, 3)) == pytest.approx(
        np.array([1, 2, 3]) * tomogram.voxel_spacing
    )
    expected = points.data * points.options["scale"]
    np.testing.assert_allclose([drawn.data_to_world(point) for point in drawn.data], expected)
    assert viewer.dims.nsteps == tomogram.shape_zyx


def test_a_volume_is_lazy_and_exact(viewer, tmp_path):
    volume = noise()
    write_zarr(tmp_path / "a.zarr", volume)
    (image,) = add_layers(viewer, [load_tomogram(tmp_path / "a.zarr")])

    assert not isinstance(image.data[0], np.ndarray)
    np.testing.assert_array_equal(np.asarray(image.data[0]), volume)


def test_picks_show_in_planes_that_cut_the_particle(viewer):
    picks = Picks(
        [[20.0, 9, 9], [60.0, 9, 9]], 10.0, about={"object_name": "cytosolic ribosome"}
    )  # 300 Å wide
    (points,) = add_layers(viewer, load_picks(picks, name="ribosomes"))
    hits = {}
    for z_angstrom in (200, 340, 360, 440, 460, 600):
        viewer.dims.set_point(0, z_angstrom)
        hits[z_angstrom] = points.get_value((z_angstrom, 90, 90), world=True)

    assert hits == {200: 0, 340: 0, 360: None, 440: None, 460: 1, 600: 1}


def test_only_specs_are_accepted(viewer):
    with pytest.raises(TypeError, match="specs"):
        add_layers(viewer, [Image(np.zeros((3, 3, 3)))])
    with pytest.raises(TypeError, match="viewer"):
        add_layers(None, [])
    assert not viewer.layers
