"""Read meshes from binary glTF files (.glb), as vertices in z, y, x and triangles.

A .glb has no cryo-ET metadata. Like copick, whose meshes the portal distributes, we assume vertices
in **ångström**, in x, y, z, relative to the origin of the voxel grid. Every layer states this.
glTF's metres and "y is up" are ignored.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.wording import brief

MAX_FILE_BYTES: Final = 512 * 2**20
#: Over all instances of all parts.
MAX_CORNERS: Final = 60_000_000

ASSUMED_UNIT: Final = (
    "The mesh file has no unit: it is drawn in ångström, in x, y, z, like copick's meshes."
)
ONLY_IN_3D: Final = "Meshes are drawn only in 3D."


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A surface of triangles.

    Corners of faces are reversed like the axes, so that normals keep pointing outwards.
    """

    vertices_zyx: NDArray[np.float64]  # (n, 3), presumably in ångström
    faces: NDArray[np.int64]  # (m, 3), indices of vertices


def read_mesh(content: bytes, where: str) -> Mesh:
    """Parse the content of a self-contained .glb file; ``where`` names it in messages."""
    import trimesh

    try:
        _check_description(content)
        scene = trimesh.load_scene(
            io.BytesIO(content), file_type="glb", skip_materials=True, process=False
        )
        _check_size(scene)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
        whole: Any = trimesh.util.concatenate(parts)
        vertices, faces = np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int64)
        if not len(faces):
            raise ValueError("it holds no triangles")
        if faces.min() < 0 or faces.max() >= len(vertices) or not np.isfinite(vertices).all():
            raise ValueError("a corner of it is nowhere")
    except Exception as error:  # trimesh raises all kinds of errors for damaged files
        raise FormatError(f"{where} can't be shown as a mesh: {brief(error)}.") from error
    return Mesh(np.ascontiguousarray(vertices[:, ::-1]), np.ascontiguousarray(faces[:, ::-1]))


def _check_description(content: bytes) -> None:
    """Refuse accessors without data: trimesh would allocate zeros of whatever size they state."""
    magic, version, _, length, kind = struct.unpack_from("<4sIII4s", content)
    if magic != b"glTF" or version != 2 or kind != b"JSON":
        raise ValueError("it isn't a binary glTF 2 file")
    header: dict[str, Any] = json.loads(content[20 : 20 + length])
    if any("bufferView" not in accessor for accessor in header.get("accessors", ())):
        raise ValueError("some of its data is missing")


def _check_size(scene: Any) -> None:
    """Limit the number of corners of all instances of all parts."""
    parts = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
    n_corners = sum(len(part.vertices) + 3 * len(getattr(part, "faces", ())) for part in parts)
    if n_corners > MAX_CORNERS:
        raise ValueError("it is too large")
