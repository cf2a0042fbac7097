"""The demo's molecules have the sizes of the real ones, and an orientation that can be seen."""

import numpy as np
import pytest

from napari_cryoet.packs.demo.species import BEAD_PITCH_ANGSTROM, species

KINDS = ("ribosome", "fatty_acid_synthase", "proteasome", "apoferritin", "beta_galactosidase", "thyroglobulin")


@pytest.mark.parametrize(
    ("key", "longest_nm"),
    [
        ("ribosome", 26),
        ("fatty_acid_synthase", 26),
        ("proteasome", 28),
        ("apoferritin", 12),
        ("beta_galactosidase", 17),
    ],
)
def test_a_molecule_is_as_long_as_the_real_one(key, longest_nm):
    beads = species(key).beads_xyz
    distances = np.linalg.norm(beads[:, None] - beads[None], axis=-1)
    assert distances.max() / 10 == pytest.approx(longest_nm, rel=0.15)


@pytest.mark.parametrize("key", KINDS)
def test_a_molecule_fits_in_its_sphere(key):
    kind = species(key)
    radii = np.linalg.norm(kind.beads_xyz, axis=1)
    assert np.percentile(radii, 97) < kind.radius_angstrom
    assert (kind.weights > 0).all()


def test_a_ribosome_weighs_about_three_megadalton():
    protein_dalton = len(species("ribosome").beads_xyz) * BEAD_PITCH_ANGSTROM**3 * 0.81
    assert 2e6 < protein_dalton < 4.5e6


def test_a_ribosome_has_a_large_subunit_at_plus_z_and_a_cleft():
    kind = species("ribosome")
    z = kind.beads_xyz[:, 2]
    large, small = kind.weights[z > -30].sum(), kind.weights[z < -45].sum()
    assert 1.5 < large / small < 4
    in_the_cleft = kind.weights[(z > -46) & (z < -34)].sum()
    assert in_the_cleft < 0.3 * kind.weights[(z > -28) & (z < -16)].sum()


@pytest.mark.parametrize("key", KINDS)
def test_a_molecule_turns_about_its_centre_of_mass(key):
    kind = species(key)
    assert np.average(kind.beads_xyz, axis=0, weights=kind.weights) == pytest.approx([0, 0, 0], abs=1e-9)


def test_ferritin_is_hollow():
    radii = np.linalg.norm(species("apoferritin").beads_xyz, axis=1)
    assert radii.min() > 35


def test_the_same_molecule_is_built_every_time():
    first = species("proteasome")
    species.cache_clear()
    np.testing.assert_array_equal(species("proteasome").beads_xyz, first.beads_xyz)
