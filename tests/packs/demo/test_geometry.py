"""Membranes, microtubules and rotations are what their formulas promise."""

import numpy as np
import pytest

from napari_cryoet.packs.demo.geometry import (
    MICROTUBULE_RADIUS_ANGSTROM,
    MONOMER_RISE_ANGSTROM,
    PROTOFILAMENTS,
    Membrane,
    Microtubule,
    random_rotations,
    rotations_to,
    sphere_directions,
)

SPHERE = Membrane("vesicle", (10.0, 20.0, 30.0), (300.0, 300.0, 300.0))
WAVY = Membrane(
    "vesicle", (0.0, 0.0, 0.0), (200.0, 500.0, 400.0), ((1.0, 5.0, 2.0, 0.3, 0.08),), sway=(60.0, 900.0, 0.4)
)


def test_the_distance_to_a_sphere_is_exact():
    x = np.array([10.0, 400.0, 10.0])
    distance = SPHERE.distance(x, np.full(3, 20.0), np.array([230.0, 30.0, 330.0]))
    assert distance == pytest.approx([-100, 90, 0], abs=0.1)


def test_distances_near_a_wavy_membrane_agree_with_the_nearest_surface_point():
    surface = WAVY.surface(sphere_directions(60_000))
    start = WAVY.surface(sphere_directions(40))
    points = start + 25 * WAVY.normals(start)
    nearest = np.array([np.linalg.norm(surface - p, axis=1).min() for p in points])
    assert WAVY.distance(*points.T) == pytest.approx(nearest, rel=0.15)
    assert nearest == pytest.approx(np.full(len(points), 25), rel=0.1)


def test_surface_points_are_on_the_surface_and_normals_point_outward():
    points = SPHERE.surface(sphere_directions(100))
    outward = points - SPHERE.centre_xyz
    np.testing.assert_allclose(np.linalg.norm(outward, axis=1), 300, atol=1)
    np.testing.assert_allclose(SPHERE.normals(points), outward / 300, atol=0.01)


def test_a_microtubule_has_thirteen_protofilaments_of_monomers_four_nanometres_apart():
    tube = Microtubule((0.0, 0.0, 0.0), (0.0, 2050.0, 0.0))
    centres, along, outward = tube.monomers()
    assert len(centres) % PROTOFILAMENTS == 0
    middle = centres[(centres[:, 1] > 0) & (centres[:, 1] < 2050)]
    assert tube.distance(middle) == pytest.approx(np.full(len(middle), MICROTUBULE_RADIUS_ANGSTROM), abs=1)
    angles = np.round(np.degrees(np.arctan2(outward[:, 0], outward[:, 2])), 3)
    assert len(np.unique(angles)) == PROTOFILAMENTS
    filament = np.sort(centres[angles == angles[0], 1])
    assert np.diff(filament) == pytest.approx(np.full(len(filament) - 1, MONOMER_RISE_ANGSTROM))
    np.testing.assert_allclose((along * outward).sum(axis=1), 0, atol=1e-9)


def test_random_rotations_are_proper_and_cover_all_directions():
    rotations = random_rotations(4000, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (4000, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(rotations.mean(axis=0), 0, atol=0.04)


def test_a_rotation_to_a_direction_turns_z_into_it_whatever_the_spin():
    directions = sphere_directions(50)
    rotations = rotations_to(directions, np.linspace(0, 6, 50))
    np.testing.assert_allclose(rotations @ (0, 0, 1), directions, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)


def test_sphere_directions_are_unit_and_even():
    directions = sphere_directions(500)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.01)
