import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_cryoet.comparison.angles import angular_errors, fold_of

seeds = st.integers(0, 2**32 - 1)


def random(seed, count=5):
    return Rotation.random(count, rng=seed)


@given(seeds, st.sampled_from([1, 2, 3, 7, 13]))
def test_the_error_is_the_least_over_all_turns_of_the_symmetry(seed, fold):
    a, b = random(seed), random(seed + 1)

    rotation, tilt = angular_errors(a.as_matrix(), b.as_matrix(), fold)

    turns = [Rotation.from_euler("z", 360 * turn / fold, degrees=True) for turn in range(fold)]
    least = np.min([(a.inv() * b * turn).magnitude() for turn in turns], axis=0)
    np.testing.assert_allclose(rotation, np.degrees(least), atol=1e-6)
    cosine = np.einsum("ni,ni->n", a.as_matrix()[:, :, 2], b.as_matrix()[:, :, 2])
    np.testing.assert_allclose(tilt, np.degrees(np.arccos(np.clip(cosine, -1, 1))), atol=1e-5)
    assert (rotation >= tilt - 1e-9).all()


@given(seeds, st.sampled_from([1, 4]))
def test_both_directions_and_any_common_rotation_give_the_same(seed, fold):
    a, b, common = random(seed), random(seed + 1), random(seed + 2, 1)
    there = angular_errors(a.as_matrix(), b.as_matrix(), fold)

    np.testing.assert_allclose(angular_errors(b.as_matrix(), a.as_matrix(), fold), there, atol=1e-6)
    np.testing.assert_allclose(
        angular_errors((common * a).as_matrix(), (common * b).as_matrix(), fold), there, atol=1e-6
    )


@pytest.mark.parametrize(
    ("axis", "degree", "fold", "rotation", "tilt"),
    [
        ("z", 30, 1, 30, 0),
        ("z", 90, 4, 0, 0),
        ("z", 350, 1, 10, 0),
        ("z", 100, 3, 20, 0),
        ("z", 180, 1, 180, 0),
        ("z", 1e-5, 1, 1e-5, 0),
        ("x", 30, 1, 30, 30),
        ("x", 30, 7, 30, 30),
        ("y", 180, 5, 180, 180),
    ],
)
def test_known_turns_have_known_errors(axis, degree, fold, rotation, tilt):
    start = random(3, 1)
    end = start * Rotation.from_euler(axis, degree, degrees=True)

    found = angular_errors(start.as_matrix(), end.as_matrix(), fold)

    np.testing.assert_allclose(np.ravel(found), [rotation, tilt], atol=1e-7)


def test_nothing_has_no_errors():
    rotation, tilt = angular_errors(np.empty((0, 3, 3)), np.empty((0, 3, 3)))

    assert len(rotation) == len(tilt) == 0


@pytest.mark.parametrize("text", ["", "C", "C0", "D2", "O", "C-1", "C1.5", "4", "C2000", "C٣"])
def test_what_is_no_symmetry_is_refused(text):
    with pytest.raises(ValueError, match="symmetry"):
        fold_of(text)
