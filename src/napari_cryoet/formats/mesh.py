"""Meshes of binary glTF files (.glb), as vertices in z, y, x and triangles.

A .glb says nothing of cryo-ET. What is assumed, and said in every layer: vertices are in **ångström**, in x, y, z, with
the origin of the voxel grid, as copick keeps meshes and the portal passes them on; glTF's metres and "y is up" mean
nothing here.

A file comes from elsewhere: `trimesh` refuses parts in other files, and counts are bounded before it makes anything.
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
from napari_cryoet.files import brief

MAX_FILE_BYTES: Final = 512 * 2**20
#: Of all instances of all parts.
MAX_VERTICES: Final = 10_000_000
MAX_FACES: Final = 20_000_000
_MAX_PARTS: Final = 1_000
_FAN: Final = 6  # which trimesh would leave out
#: No tomogram is a hundredth as large.
_MAX_COORDINATE_ANGSTROM: Final = 1e8

ASSUMED_UNIT: Final = (
    "The mesh's file doesn't say its unit: it is drawn as ångström, in x, y, z, as copick keeps meshes."
)
ONLY_IN_3D: Final = "Meshes are drawn in 3D; a plane shows nothing of them."


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A surface of triangles.

    Attributes
    ----------
    vertices_zyx
        float64 (n, 3), in z, y, x; in ångström as far as is known.
    faces
        int64 (m, 3), indices of vertices; reversed with the axes, so that outside stays outside.
    """

    vertices_zyx: NDArray[np.float64]
    faces: NDArray[np.int64]


def read_mesh(content: bytes, where: str) -> Mesh:
    """Read a .glb file.

    Parameters
    ----------
    content
        The whole file.
    where
        What to call it in messages.

    Raises
    ------
    FormatError
        If it holds no triangles, needs another file, or is too large.
    """
    import trimesh

    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"{where} is too large for a mesh ({MAX_FILE_BYTES >> 20} MB are read at most).")
    try:
        _check_description(content)
        scene = trimesh.load_scene(io.BytesIO(content), file_type="glb", skip_materials=True, process=False)
        _check_size(scene)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
        whole: Any = trimesh.util.concatenate(parts) if parts else None
    except Exception as error:  # trimesh raises errors of every kind at damaged files
        raise FormatError(f"{where} can't be shown as a mesh: {brief(error)}.") from error
    if whole is None or not len(whole.faces):
        raise FormatError(f"{where} holds no triangles.")
    vertices, faces = np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int64)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise FormatError(f"{where} can't be shown as a mesh: a triangle of it has a corner that isn't there.")
    if not (np.abs(vertices) <= _MAX_COORDINATE_ANGSTROM).all():  # NaN compares false
        raise FormatError(f"{where} can't be shown as a mesh: a vertex of it is nowhere.")
    return Mesh(np.ascontiguousarray(vertices[:, ::-1]), np.ascontiguousarray(faces[:, ::-1]))


def _check_description(content: bytes) -> None:
    """Bound what the file says of itself: trimesh makes zeros of an accessor without data, however many it names."""
    magic, version, _, length, kind = struct.unpack_from("<4sIII4s", content)
    if magic != b"glTF" or version != 2 or kind != b"JSON":
        raise ValueError("it is no binary glTF 2 file")
    header: dict[str, Any] = json.loads(content[20 : 20 + length])
    if header.get("extensionsRequired"):
        raise ValueError(f"it needs the extensions {header['extensionsRequired']}")
    if any("uri" in buffer for buffer in header.get("buffers", ())):
        raise ValueError("parts of it are outside of the file")
    if any(
        accessor["count"] > 3 * MAX_FACES or "bufferView" not in accessor for accessor in header.get("accessors", ())
    ):
        raise ValueError("it is too large")
    if any(part.get("mode") == _FAN for mesh in header.get("meshes", ()) for part in mesh["primitives"]):
        raise ValueError("it has fans of triangles")
    if len(header.get("nodes", ())) > _MAX_PARTS or len(header.get("meshes", ())) > _MAX_PARTS:
        raise ValueError(f"it has more than {_MAX_PARTS:,} parts")


def _check_size(scene: Any) -> None:
    """Bound what all instances of all parts come to."""
    parts = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
    n_vertices = sum(len(part.vertices) for part in parts)
    n_faces = sum(len(getattr(part, "faces", ())) for part in parts)
    if n_vertices > MAX_VERTICES or n_faces > MAX_FACES:
        raise ValueError(f"it has {n_vertices:,} vertices and {n_faces:,} triangles, which is too much")
