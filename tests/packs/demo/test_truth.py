"""What is planted, and where: the same on every machine, nothing in anything else's way."""

import numpy as np
import pytest

from napari_cryoet.packs.demo.content import RUNS
from napari_cryoet.packs.demo.geometry import MICROTUBULE_RADIUS_ANGSTROM
from napari_cryoet.packs.demo.recipes import RECIPES
from napari_cryoet.packs.demo.species import species
from napari_cryoet.packs.demo.truth import (
    BOUND_RIBOSOME_DISTANCE_ANGSTROM,
    membrane_points,
    microtubule_points,
    rng_for,
    scene,
    scene_of_run,
)

SCENES = sorted(RECIPES)


def test_planting_again_gives_the_same_places():
    before = scene("mixture")
    scene.cache_clear()
    again = scene("mixture")
    assert again is not before
    for key, particles in before.particles.items():
        np.testing.assert_array_equal(again.particles[key].positions_xyz, particles.positions_xyz)
        np.testing.assert_array_equal(again.particles[key].rotations, particles.rotations)


def test_the_seed_gives_the_numbers_it_gave_when_the_demo_was_made():
    assert rng_for("a", 1).integers(0, 10**6, 3).tolist() == [73849, 916380, 991375]
    first = scene("mixture").positions_angstrom_xyz("apoferritin")[0]
    np.testing.assert_allclose(first, [1113.493454, 309.127266, 458.711404], atol=1e-6)


@pytest.mark.parametrize("name", SCENES)
def test_every_particle_that_was_asked_for_found_a_place(name):
    truth = scene(name)
    for key, wanted in truth.recipe.particles.items():
        bound = sum((truth.recipe.bound_ribosomes or {}).values()) if key == "ribosome" else 0
        assert truth.count(key) == wanted + bound


@pytest.mark.parametrize("name", SCENES)
def test_no_two_particles_overlap(name):
    truth = scene(name)
    centres = np.concatenate([p.positions_xyz for p in truth.particles.values()])
    radii = np.concatenate([np.full(len(p), species(key).radius_angstrom) for key, p in truth.particles.items()])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (distances >= radii[:, None] + radii[None] - 1e-9).all()


@pytest.mark.parametrize("name", SCENES)
def test_particles_lie_in_the_extent_and_outside_membranes_and_microtubules(name):
    truth = scene(name)
    for key, particles in truth.particles.items():
        assert (particles.positions_xyz >= 0).all()
        assert (particles.positions_xyz <= truth.recipe.extent_xyz).all()
        for membrane in truth.recipe.membranes:
            assert (membrane.distance(*particles.positions_xyz.T) > 0.8 * species(key).radius_angstrom).all()
        for tube in truth.recipe.microtubules:
            assert (tube.distance(particles.positions_xyz) > MICROTUBULE_RADIUS_ANGSTROM + 30).all()


@pytest.mark.parametrize("name", SCENES)
def test_rotations_are_proper(name):
    for particles in scene(name).particles.values():
        products = particles.rotations @ particles.rotations.transpose(0, 2, 1)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(particles.rotations), 1, atol=1e-12)


def test_free_particles_are_oriented_at_random():
    axes = scene_of_run("DEMO_001").rotations("ribosome")[13:, :, 2]
    assert np.linalg.norm(axes.mean(axis=0)) < 0.3
    assert np.abs(axes).mean(axis=0) == pytest.approx([0.5, 0.5, 0.5], abs=0.1)


def test_bound_ribosomes_point_their_z_axis_at_the_membrane():
    truth = scene("cytoplasm")
    membrane = truth.recipe.membranes[0]
    count = truth.recipe.bound_ribosomes[0]
    positions = truth.positions_angstrom_xyz("ribosome")[:count]
    outward = membrane.normals(positions)
    assert ((truth.rotations("ribosome")[:count, :, 2] * -outward).sum(axis=1) > 0.95).all()
    distances = membrane.distance(*positions.T)
    assert distances == pytest.approx(np.full(count, BOUND_RIBOSOME_DISTANCE_ANGSTROM), rel=0.1)


@pytest.mark.parametrize("name", [name for name in SCENES if RECIPES[name].membranes])
def test_membrane_points_lie_on_their_own_membrane(name):
    recipe = RECIPES[name]
    points, ids = membrane_points(recipe.membranes, recipe.extent_xyz, 90.0)
    assert set(ids) == set(range(1, len(recipe.membranes) + 1))
    for number, membrane in enumerate(recipe.membranes, start=1):
        assert np.abs(membrane.distance(*points[ids == number].T)).max() < 1


def test_microtubule_points_follow_the_axis_evenly():
    recipe = RECIPES["microtubules"]
    points, ids = microtubule_points(recipe.microtubules, recipe.extent_xyz, 41.0)
    for number, tube in enumerate(recipe.microtubules, start=1):
        own = points[ids == number]
        steps = np.linalg.norm(np.diff(own, axis=0), axis=1)
        assert steps == pytest.approx(np.full(len(steps), 41), abs=3)
        assert tube.distance(own).max() < 11  # the axis is compared at steps of 20 Å


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
@pytest.mark.parametrize("size", ["full", "tiny"])
def test_the_scene_fits_into_the_volume_of_every_size(run, size):
    for binning in run.binnings or (1,):
        z, y, x = run.shape_zyx(size, binning)
        last_voxel = (np.array([x, y, z]) - 1) * run.spacing_angstrom(size, binning)
        assert (last_voxel >= RECIPES[run.recipe].extent_xyz).all()


def test_an_unknown_run_has_no_truth():
    with pytest.raises(KeyError):
        scene_of_run("TS_026")
