"""Euler angles, compared with other implementations and with the formats' documentation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_cryoet.formats.common import angles_of, matrices_of

ANGLES = st.tuples(*[st.floats(-720, 720)] * 3)
QUATERNIONS = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
GIMBAL_LOCKS = [
    (30, 0, 40),
    (0, 0, 0),
    (30, 180, 40),
    (-170, 0, 25),
    (10, -180, 0),
    (20, 1e-9, 30),
    (20, 1e-5, 30),
]


def relion_source(rot, tilt, psi):
    """RELION's `Euler_angles2matrix`, element by element."""
    a, b, g = (math.radians(angle) for angle in (rot, tilt, psi))
    ca, cb, cg, sa, sb, sg = (
        math.cos(a),
        math.cos(b),
        math.cos(g),
        math.sin(a),
        math.sin(b),
        math.sin(g),
    )
    return [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]


def clockwise(axis, degrees):
    """Rotate a vector clockwise about an axis, as seen against the axis."""
    axis = np.asarray(axis, dtype=float)
    angle = -math.radians(degrees)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def dynamo_wiki(tdrot, tilt, narot):
    """Dynamo's wiki: clockwise about the particle's z axis, then its new x axis, then its new z axis."""
    frame = np.eye(3)
    for axis, degrees in ((2, tdrot), (0, tilt), (2, narot)):
        frame = clockwise(frame[:, axis], degrees) @ frame
    return frame


@given(ANGLES)
def test_relion_matrices_match_its_source_code(angles):
    np.testing.assert_allclose(
        matrices_of(np.array([angles]), "relion")[0], relion_source(*angles), atol=1e-9
    )


@given(ANGLES)
def test_dynamo_matrices_match_its_documentation(angles):
    np.testing.assert_allclose(
        matrices_of(np.array([angles]), "dynamo")[0], dynamo_wiki(*angles), atol=1e-9
    )


def test_published_examples():
    """From github.com/alisterburt/eulerangles, ``test/test_conversions.py`` and ``test/test_convert_eulers.py``."""
    # printed by Dynamo's own function for these angles; it is the inverse rotation
    matrix = [[-0.0173, -0.5477, 0.8365], [0.9012, -0.3709, -0.2241], [0.4330, 0.7500, 0.5000]]
    np.testing.assert_allclose(
        matrices_of(np.array([[30.0, 60.0, 75.0]]), "dynamo")[0].T, matrix, atol=6e-5
    )

    # the same orientation in both programs, confirmed by the same reconstruction
    dynamo, relion = (
        np.array([[-47.2730, 1.1777, -132.3000]]),
        np.array([[137.7000, 1.1777, 42.7270]]),
    )
    np.testing.assert_allclose(
        matrices_of(dynamo, "dynamo"), matrices_of(relion, "relion"), atol=1e-12
    )
    np.testing.assert_allclose(
        angles_of(matrices_of(dynamo, "dynamo"), "relion"), relion, atol=1e-9
    )
    np.testing.assert_allclose(
        angles_of(matrices_of(relion, "relion"), "dynamo"), dynamo, atol=1e-9
    )


@pytest.mark.parametrize("convention", ["relion", "dynamo"])
@given(QUATERNIONS)
def test_matrices_survive_conversion_to_angles(convention, quaternion):
    matrix = Rotation.from_quat(quaternion).as_matrix()[None]

    np.testing.assert_allclose(
        matrices_of(angles_of(matrix, convention), convention), matrix, atol=1e-6
    )


@pytest.mark.filterwarnings("error:Gimbal")
@pytest.mark.parametrize("convention", ["relion", "dynamo"])
@pytest.mark.parametrize("angles", GIMBAL_LOCKS)
def test_matrices_survive_gimbal_lock(convention, angles):
    matrix = matrices_of(np.array([angles], dtype=float), convention)

    np.testing.assert_allclose(
        matrices_of(angles_of(matrix, convention), convention), matrix, atol=1e-6
    )
