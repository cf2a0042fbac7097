"""Density and labels lie where the truth says, in every axis."""

import threading

import numpy as np
import pytest

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.packs.demo.geometry import Membrane
from napari_cryoet.packs.demo.phantom import (
    Grid,
    density,
    filled_mask,
    membrane_labels,
    microtubule_labels,
    particle_labels,
)
from napari_cryoet.packs.demo.recipes import SceneRecipe
from napari_cryoet.packs.demo.species import BEAD_PITCH_ANGSTROM, species
from napari_cryoet.packs.demo.truth import Particles, Scene, scene

ANISOTROPIC = Grid((30, 40, 50), 10.0)
BARE = SceneRecipe("bare", (490.0, 390.0, 290.0), {})


def test_a_particle_lands_at_its_place_turned_as_its_rotation_says():
    position = np.array([[310.0, 180.0, 130.0]])
    quarter_turn = np.array([[[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]])  # the particle's z axis becomes x
    volume = density(Scene(BARE, {"ribosome": Particles(position, quarter_turn)}), ANISOTROPIC)
    kind = species("ribosome")
    expected = np.average(kind.beads_xyz @ quarter_turn[0].T + position, axis=0, weights=kind.weights)
    z, y, x = (np.arange(n) * 10.0 for n in volume.shape)
    centre = [
        (volume.sum(axis=(0, 1)) * x).sum() / volume.sum(),
        (volume.sum(axis=(0, 2)) * y).sum() / volume.sum(),
        (volume.sum(axis=(1, 2)) * z).sum() / volume.sum(),
    ]
    assert centre == pytest.approx(expected, abs=0.5)
    assert volume[:, :, 31:].sum() > 2 * volume[:, :, :28].sum(), "the large subunit is at larger x"


def test_a_particles_mass_does_not_depend_on_the_voxel_size():
    position = np.array([[250.0, 200.0, 150.0]])
    truth = Scene(BARE, {"apoferritin": Particles(position, np.eye(3)[None])})
    expected = species("apoferritin").weights.sum() * BEAD_PITCH_ANGSTROM**3
    for grid in (ANISOTROPIC, Grid((15, 20, 25), 20.0)):
        mass = density(truth, grid).sum() * grid.spacing_angstrom**3
        assert mass == pytest.approx(expected, rel=0.02)


def test_a_membrane_has_two_leaflets_four_nanometres_apart():
    recipe = SceneRecipe("bare", (490.0, 390.0, 290.0), {}, (Membrane("vesicle", (250.0, 200.0, 150.0), (120.0,) * 3),))
    profile = density(Scene(recipe, {}), Grid((150, 5, 5), 2.0))
    assert profile.shape == (150, 5, 5)
    truth = Scene(
        SceneRecipe("flat", (0.0, 0.0, 300.0), {}, (Membrane("vesicle", (0.0, 0.0, -9850.0), (10000.0,) * 3),)), {}
    )
    line = density(truth, Grid((150, 3, 3), 2.0))[:, 1, 1]
    peaks = [k for k in range(1, 149) if line[k] > line[k - 1] and line[k] >= line[k + 1] and line[k] > 0.5]
    assert [2.0 * k for k in peaks] == pytest.approx([130, 170], abs=3)
    assert line[75] < 0.2


def test_membrane_labels_follow_the_middle_of_the_bilayer():
    truth = scene("mixture")
    grid = Grid((69, 157, 149), 7.84)
    labels = membrane_labels(truth.recipe.membranes, grid)
    membrane = truth.recipe.membranes[0]
    z, y, x = np.argwhere(labels == 1).T * 7.84
    assert np.abs(membrane.distance(x, y, z)).max() <= 32
    inside = filled_mask(membrane, grid)
    assert inside[tuple(np.round(np.array(membrane.centre_xyz[::-1]) / 7.84).astype(int))] == 1
    assert inside.sum() > labels.astype(bool).sum()


def test_particle_labels_are_numbered_as_the_positions_are():
    truth = scene("mixture")
    labels = particle_labels(truth, "apoferritin", Grid((69, 157, 149), 7.84))
    for number, position in enumerate(truth.positions_voxel_xyz("apoferritin", 7.84), start=1):
        x, y, z = np.round(position).astype(int)
        assert labels[z, y, x] == number
    assert labels.max() == truth.count("apoferritin")


def test_microtubule_labels_fill_the_lumen():
    truth = scene("microtubules")
    labels = microtubule_labels(truth, Grid((65, 149, 137), 7.84))
    for number, tube in enumerate(truth.recipe.microtubules, start=1):
        x, y, z = np.round(tube.axis(np.array([0.5]))[0] / 7.84).astype(int)
        assert labels[z, y, x] == number


def test_rendering_stops_when_told():
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        density(scene("ribosomes"), Grid((16, 30, 33), 31.36), stop)
