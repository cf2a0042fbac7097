"""What is planted, and where: the same on every machine, nothing in anything else's way."""

import numpy as np
import pytest

from napari_cryoet.demo.scenes import (
    BEAD_PITCH_ANGSTROM,
    MICROTUBULE_RADIUS_ANGSTROM,
    MOLECULES,
    RECIPES,
    Membrane,
    beads_of,
    rng_for,
    scene,
    scene_of_run,
    sphere_directions,
)

SCENES = sorted(RECIPES)


def test_the_seed_gives_the_numbers_that_it_always_gave():
    assert rng_for("a", 1).integers(0, 10**6, 3).tolist() == [73849, 916380, 991375]
    first = scene_of_run("MIX_001").positions_angstrom_xyz["apoferritin"][0]
    np.testing.assert_allclose(first, [1113.493454, 309.127266, 458.711404], atol=1e-6)
    with pytest.raises(KeyError):
        scene_of_run("TS_026")


@pytest.mark.parametrize("name", SCENES)
def test_every_particle_has_a_place_of_its_own(name):
    truth = scene(name)
    kinds = truth.recipe.particles
    for kind, count in kinds.items():
        bound = truth.recipe.bound_ribosomes if kind == "ribosome" else 0
        assert len(truth.positions_angstrom_xyz[kind]) == count + bound
    centres = np.concatenate([truth.positions_angstrom_xyz[kind] for kind in kinds])
    radii = np.concatenate([np.full(len(truth.positions_angstrom_xyz[k]), MOLECULES[k].radius) for k in kinds])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (distances >= radii[:, None] + radii[None] - 1e-9).all()
    assert ((centres >= 0) & (centres <= truth.recipe.extent_xyz)).all()
    for membrane in truth.recipe.membranes:
        assert (membrane.distance(*centres.T) > 0.8 * radii).all()
    for tube in truth.recipe.microtubules:
        assert (tube.distance(centres) > radii + MICROTUBULE_RADIUS_ANGSTROM).all()


def test_distances_to_a_wavy_membrane_agree_with_the_nearest_point_of_its_surface():
    membrane = Membrane("vesicle", (0, 0, 0), (200, 500, 400), ((1, 5, 2, 0.3, 0.08),), sway=(60, 900, 0.4))
    surface = membrane.surface(sphere_directions(60_000))
    start = membrane.surface(sphere_directions(40))
    points = start + 25 * membrane.normals(start)
    nearest = np.array([np.linalg.norm(surface - point, axis=1).min() for point in points])
    assert membrane.distance(*points.T) == pytest.approx(nearest, rel=0.15)
    assert nearest == pytest.approx(np.full(len(points), 25), rel=0.1)


def test_molecules_have_the_sizes_of_the_real_ones():
    longest_nm = {"ribosome": 26, "fatty_acid_synthase": 26, "proteasome": 28, "apoferritin": 12}
    for name, length in (longest_nm | {"beta_galactosidase": 17}).items():
        beads, weights = beads_of(name)
        assert np.linalg.norm(beads[:, None] - beads[None], axis=-1).max() / 10 == pytest.approx(length, rel=0.15), name
        assert np.average(beads, axis=0, weights=weights) == pytest.approx([0, 0, 0], abs=1e-9)
    beads, weights = beads_of("ribosome")
    assert 2e6 < len(weights) * BEAD_PITCH_ANGSTROM**3 * 0.81 < 4.5e6, "in dalton"
    assert weights[beads[:, 2] > 0].sum() > weights.sum() / 2, "large subunit at +z"
