"""Euler angles of RELION and Dynamo to rotation matrices and back.

Matrices are those of the portal's files: active, on column vectors in x, y, z, from the particle's frame into the
tomogram's; columns are the particle's axes in the tomogram.

RELION: rot, tilt, psi in degrees. ``Euler_angles2matrix`` (``src/euler.cpp``) makes a matrix A, and
``ParticleSet::getMatrix4x4`` (``src/jaz/tomography/particle_set.cpp``) says that A "maps coordinates from particle
space to tomogram space", so A is ours. With rotations that are counter-clockwise for positive angles,
A = Rz(-psi) Ry(-tilt) Rz(-rot): the inverse of the intrinsic ZYZ rotation by (rot, tilt, psi). Other programs call this
"intrinsic ZYZ, passive" (eulerangles) or "clockwise" (pytom-match-pick).

Dynamo: tdrot, tilt, narot in degrees. Its wiki (*Euler angles convention*): the particle turns clockwise about its z
axis, then about its new x axis, then about its new z axis. So our matrix is Rz(-tdrot) Rx(-tilt) Rz(-narot): the
inverse of the extrinsic ZXZ rotation by (tdrot, tilt, narot), and of what ``dynamo_euler2matrix`` gives, which turns
coordinates back into the template's.
"""

from __future__ import annotations

import warnings
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Convention = Literal["relion", "dynamo"]

#: As scipy names them: capitals are intrinsic, small letters extrinsic. Ours is the inverse of these.
_SEQUENCES: Final = {"relion": "ZYZ", "dynamo": "zxz"}


def matrices_of(angles_degree: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """Matrices (n, 3, 3) acting on x, y, z, of angles (n, 3) in the file's order; NaN where an angle is missing."""
    from scipy.spatial.transform import Rotation

    matrices = np.full((len(angles_degree), 3, 3), np.nan)
    is_known = np.isfinite(angles_degree).all(axis=1)
    if is_known.any():
        rotations = Rotation.from_euler(_SEQUENCES[convention], angles_degree[is_known], degrees=True)
        matrices[is_known] = rotations.inv().as_matrix()
    return matrices


def angles_of(matrices_xyz: NDArray[np.float64], convention: Convention) -> NDArray[np.float64]:
    """Angles (n, 3) in degrees, in the file's order, of rotations (n, 3, 3) acting on x, y, z; NaN for NaN.

    Where tilt is 0 or 180, only the sum or difference of the other two means something: the last is 0 then.
    """
    from scipy.spatial.transform import Rotation

    angles = np.full((len(matrices_xyz), 3), np.nan)
    is_known = np.isfinite(matrices_xyz).all(axis=(1, 2))
    if is_known.any():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Gimbal lock")
            inverse = Rotation.from_matrix(matrices_xyz[is_known]).inv()
            angles[is_known] = inverse.as_euler(_SEQUENCES[convention], degrees=True)
    return angles
