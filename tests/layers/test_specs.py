"""Layer specs: contrast limits, names and meshes."""

import numpy as np
import pytest

from napari_cryoet.formats.mesh import Mesh
from napari_cryoet.layers.load import annotation_name, tomogram_name
from napari_cryoet.layers.specs import robust_limits, surface_spec
from napari_cryoet.provenance import Provenance
from samples import make_run, make_tomogram


class TestContrast:
    def test_zeros_in_integer_volumes_count(self):
        assert robust_limits(np.arange(256, dtype=np.uint8)) == pytest.approx((1.3, 253.7), abs=0.1)

    def test_a_few_bright_voxels_set_the_upper_limit(self):
        values = np.zeros(10_000, np.uint8)
        values[:3] = 200

        assert robust_limits(values) == (0, 200)


def test_layer_names_begin_with_what_differs_and_have_no_markup():
    tomograms = [
        make_tomogram(run=make_run(name=name)) for name in ("TS_026", '<img src="file:///a.png">\n')
    ]

    assert tomogram_name(tomograms[0]) == "raw · 13.48 Å · TS_026"
    assert tomogram_name(tomograms[1]).endswith('Å · ‹img src="file:///a.png"›')
    truth = Provenance(
        object_name="ribosome", shape_type="OrientedPoint", is_ground_truth=True, run_name="TS_026"
    )
    assert annotation_name(truth, 85) == "ribosome · 85 oriented · ground truth · TS_026"
    other = Provenance(object_name="FAS", method_type="hybrid", run_name="TS_026")
    assert annotation_name(other, None, "made on AL-2") == "FAS · hybrid · TS_026 · made on AL-2"


def test_mesh_data_are_in_voxels_and_scaled_to_angstrom():
    vertices = np.array([[26.0, 18, 9], [34, 22, 11], [26, 22, 9]])
    spec = surface_spec(
        Mesh(vertices, np.array([[0, 1, 2]])), Provenance(), 4.0, name="a", color=(1, 0.5, 0, 1)
    )

    np.testing.assert_allclose(spec.data[0] * spec.options["scale"], vertices)
    assert spec.options["colormap"]["colors"] == [[1.0, 0.5, 0.0, 1.0]] * 2
