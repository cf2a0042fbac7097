"""Meshes of binary glTF files (.glb), as vertices in z, y, x and triangles.

Nobody has seen a mesh of the portal yet, and a .glb says nothing of cryo-ET. What is assumed, and said in every layer:

- Vertices are in **ångström**, in the order x, y, z, with the origin of the voxel grid. The portal's ingester
  multiplies whatever it gets by a factor of its configuration and writes it as it is; copick, whose projects feed the
  portal, keeps its meshes in ångström, in x, y, z. The unit that the glTF standard names, metres, would be absurd here.
- Nothing is turned: the standard's "y is up" means nothing in a tomogram.

A file comes from elsewhere, so it is judged before a library reads it: no part of it may lie in another file or at an
address, counts are bounded before anything is made of them, and every part lies where the file says within the file.
`trimesh` then gets a file of the geometry alone: no pictures, no materials, no extensions.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError
from napari_cryoet.layer_spec import LayerSpec

MAX_FILE_BYTES: Final = 512 * 2**20
MAX_HEADER_BYTES: Final = 8 * 2**20
#: Of all triangles' corners, each instance of a part counted.
MAX_VERTICES: Final = 10_000_000
MAX_FACES: Final = 20_000_000
MAX_PARTS: Final = 1_000
#: No tomogram is a hundredth as large.
MAX_COORDINATE_ANGSTROM: Final = 1e8

ASSUMED_UNIT: Final = (
    "The mesh's file doesn't say its unit: it is drawn as ångström, in x, y, z, as copick keeps meshes."
)
ONLY_IN_3D: Final = "Meshes are drawn in 3D; a plane shows nothing of them."

_MAGIC, _JSON, _BINARY = b"glTF", b"JSON", b"BIN\0"
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_BYTES_OF: Final = {5121: 1, 5123: 2, 5125: 4, 5126: 4}  # glTF's numbers for uint8, uint16, uint32, float32
_FLOAT: Final = 5126
_POSITION_KINDS: Final = (("VEC3", _FLOAT),)
_INDEX_KINDS: Final = (("SCALAR", 5121), ("SCALAR", 5123), ("SCALAR", 5125))
_MISSING: Final = {"componentType": 5121, "count": 1, "type": "SCALAR"}  # stands where nothing is wanted


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A surface of triangles.

    Attributes
    ----------
    vertices_zyx
        float64 (n, 3), as the file has them but in z, y, x: in ångström, as far as is known.
    faces
        int64 (m, 3), indices of vertices. Reversed with the axes, so that outside stays outside.
    """

    vertices_zyx: NDArray[np.float64]
    faces: NDArray[np.int64]


def read_mesh(content: bytes, where: str) -> Mesh:
    """Read a .glb file; nothing but what is in it is ever read.

    Parameters
    ----------
    content
        The whole file.
    where
        What to call it in messages.

    Raises
    ------
    FormatError
        If it is no mesh of triangles, needs another file or an extension, or says something that can't be.
    """
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"{where} is too large for a mesh ({MAX_FILE_BYTES >> 20} MB are read at most).")
    try:
        header, binary = _split(content)
        geometry = _Geometry(header, len(binary)).checked()
    except _OddError as error:
        raise FormatError(f"{where} can't be shown as a mesh: {error}.") from error
    return _read(_joined(geometry, binary), where)


def surface_spec(
    mesh: Mesh,
    common: dict[str, Any],
    *,
    name: str,
    color: tuple[float, float, float, float],
    spacing_angstrom: float | None,
) -> LayerSpec:
    """The Surface layer of a mesh: vertices in voxels of ``common["scale"]``, so that ``data * scale`` is in ångström.

    In voxels, as picks are, so that the sliders don't step by single ångström.
    """
    options = common | {
        "name": name,
        "colormap": mesh_colormap(color),
        "contrast_limits": (0.0, 1.0),
        "opacity": 0.7,
        "shading": "smooth",
    }
    values = np.ones(len(mesh.vertices_zyx), np.float32)
    return LayerSpec((mesh.vertices_zyx / (spacing_angstrom or 1.0), mesh.faces, values), options, "surface")


def mesh_colormap(color: tuple[float, float, float, float]) -> dict[str, Any]:
    """What napari's Surface layer takes as the colormap of a mesh of one colour."""
    rgba = [float(part) for part in color]
    return {"colors": [rgba, rgba], "name": "mesh #" + "".join(f"{round(255 * part):02x}" for part in rgba)}


class _OddError(ValueError):
    """What is wrong, as the end of a sentence."""


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary part of a file."""
    if content[:4] != _MAGIC or len(content) < 20:
        raise _OddError("it is no binary glTF file")
    version, length = struct.unpack_from("<II", content, 4)
    if version != 2:
        raise _OddError(f"it is glTF {version}, and only glTF 2 is known")
    parts = dict(_chunks(content[: min(length, len(content))]))
    if len(parts.get(_JSON, b"")) > MAX_HEADER_BYTES:
        raise _OddError("its description is too long")
    try:
        header = json.loads(parts.get(_JSON, b""))
    except (ValueError, RecursionError) as error:
        raise _OddError("its description is no JSON") from error
    if not isinstance(header, dict):
        raise _OddError("its description is no JSON object")
    return header, parts.get(_BINARY, b"")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The first chunk of each kind, last one first, for a dict to keep the first."""
    found: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= len(content):
        length, kind = struct.unpack_from("<I4s", content, at)
        if at + 8 + length > len(content):
            raise _OddError("it ends in the middle")
        found.append((kind, content[at + 8 : at + 8 + length]))
        at += 8 + length
    return reversed(found)


class _Geometry:
    """What a description says of triangles, each number checked against the file; the rest of it is left out."""

    def __init__(self, header: dict[str, Any], binary_bytes: int) -> None:
        required = header.get("extensionsRequired")
        if required:
            raise _OddError(f"it needs the glTF extensions {str(required)[:80]}, which are not known")
        if any("uri" in entry for name in ("buffers", "images") for entry in _list_of(header, name)):
            raise _OddError("parts of it lie outside of the file, and nothing is fetched for it")
        self._binary_bytes = binary_bytes
        self._accessors, self._meshes, self._nodes = (
            _list_of(header, name) for name in ("accessors", "meshes", "nodes")
        )
        self._scenes, self._scene = _list_of(header, "scenes"), header.get("scene", 0)
        self._views = [self._view(view) for view in _list_of(header, "bufferViews")]
        self._used: set[int] = set()

    def checked(self) -> dict[str, Any]:
        """A description of the geometry alone."""
        meshes = [{"primitives": list(self._primitives(mesh))} for mesh in self._meshes]
        if sum(len(mesh["primitives"]) for mesh in meshes) > MAX_PARTS:
            raise _OddError(f"it has more than {MAX_PARTS:,} parts")
        nodes, roots = self._placed([self._sizes(mesh["primitives"]) for mesh in meshes])
        used = (self._accessor(each) if i in self._used else _MISSING for i, each in enumerate(self._accessors))
        return {
            "asset": {"version": "2.0"},
            "buffers": [{"byteLength": self._binary_bytes}],
            "bufferViews": self._views,
            "accessors": list(used),
            "meshes": meshes,
            "nodes": nodes,
            "scenes": [{"nodes": roots}],
            "scene": 0,
        }

    def _primitives(self, mesh: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The triangles of a mesh; its lines and points are left out."""
        primitives = mesh.get("primitives")
        if not isinstance(primitives, list) or not all(isinstance(each, dict) for each in primitives):
            raise _OddError("a mesh has no list of primitives")
        for primitive in primitives:
            mode = primitive.get("mode", _TRIANGLES)
            if mode == _FAN:
                raise _OddError("it has fans of triangles, which are not known")
            if mode not in (_TRIANGLES, _STRIP):
                continue
            attributes = primitive.get("attributes")
            kept = {"mode": mode, "attributes": {"POSITION": self._use(attributes, "POSITION")}}
            yield kept | ({"indices": self._use(primitive, "indices")} if "indices" in primitive else {})

    def _use(self, owner: Any, key: str) -> int:
        """The number of an accessor that is used: positions as three floats, indices as whole numbers."""
        number = _whole(owner.get(key) if isinstance(owner, dict) else None, f"a number of {key}")
        accessor = self._accessors[number] if number < len(self._accessors) else {}
        kind = accessor.get("type"), accessor.get("componentType")
        if kind not in (_POSITION_KINDS if key == "POSITION" else _INDEX_KINDS) or "sparse" in accessor:
            raise _OddError(f"its {key} are of an unknown kind")
        self._used.add(number)
        return number

    def _accessor(self, accessor: dict[str, Any]) -> dict[str, Any]:
        """An accessor that lies within its view."""
        count, offset = _whole(accessor.get("count"), "a count"), _whole(accessor.get("byteOffset", 0), "an offset")
        kind = int(accessor["componentType"])
        row_bytes = _BYTES_OF[kind] * (3 if accessor["type"] == "VEC3" else 1)
        view_number = _whole(accessor.get("bufferView"), "a view")
        if view_number >= len(self._views):
            raise _OddError("a part of it is not in the file")
        view = self._views[view_number]
        stride = view.get("byteStride", row_bytes)
        if count == 0 or stride < row_bytes or offset + (count - 1) * stride + row_bytes > view["byteLength"]:
            raise _OddError("a part of it is larger than the file")
        return {
            "bufferView": view_number,
            "byteOffset": offset,
            "componentType": kind,
            "count": count,
            "type": accessor["type"],
        }

    def _view(self, view: dict[str, Any]) -> dict[str, Any]:
        """A view that lies within the file's binary part."""
        start, length = _whole(view.get("byteOffset", 0), "an offset"), _whole(view.get("byteLength"), "a length")
        if view.get("buffer") != 0 or start + length > self._binary_bytes:
            raise _OddError("a part of it is not in the file")
        kept = {"buffer": 0, "byteOffset": start, "byteLength": length}
        return kept | ({"byteStride": _whole(view["byteStride"], "a stride")} if "byteStride" in view else {})

    def _sizes(self, primitives: list[dict[str, Any]]) -> tuple[int, int]:
        """How many vertices and triangles a mesh has at most."""
        accessors, vertices, faces = self._accessors, 0, 0
        for primitive in primitives:
            n_vertices = _whole(accessors[primitive["attributes"]["POSITION"]].get("count"), "a count")
            indices = primitive.get("indices")
            corners = n_vertices if indices is None else _whole(accessors[indices].get("count"), "a count")
            if primitive["mode"] == _TRIANGLES and corners % 3:
                raise _OddError("a triangle of it lacks corners")
            vertices += n_vertices
            faces += corners if primitive["mode"] == _STRIP else corners // 3
        return vertices, faces

    def _placed(self, sizes: list[tuple[int, int]]) -> tuple[list[dict[str, Any]], list[int]]:
        """Where the meshes are placed: a tree, whose sizes are bounded; and its roots."""
        nodes = self._nodes
        if len(nodes) > MAX_PARTS:
            raise _OddError(f"it has {len(nodes):,} parts")
        children = [self._children(node, len(nodes)) for node in nodes]
        below = [child for each in children for child in each]
        if len(set(below)) != len(below):
            raise _OddError("its parts are no tree")
        roots = sorted(set(range(len(nodes))) - set(below))
        n_reached, waiting = 0, roots
        while waiting:
            n_reached += len(waiting)
            waiting = [child for number in waiting for child in children[number]]
        if n_reached != len(nodes):
            raise _OddError("its parts are no tree")
        roots = self._shown(roots)
        kept = [self._node(node, len(sizes)) for node in nodes]
        placed = [sizes[node["mesh"]] for node in kept if "mesh" in node]
        n_vertices, n_faces = sum(size[0] for size in placed), sum(size[1] for size in placed)
        if n_vertices > MAX_VERTICES or n_faces > MAX_FACES:
            raise _OddError(f"it has {n_vertices:,} vertices and {n_faces:,} triangles, which is too much")
        return kept, roots

    def _shown(self, roots: list[int]) -> list[int]:
        """Those of the roots that the file's scene shows; all of them in a file without scenes."""
        if not (self._scenes and roots):
            return roots
        number = _whole(self._scene, "a scene")
        if number >= len(self._scenes):
            raise _OddError("its scene is not in the file")
        shown = self._children({"children": self._scenes[number].get("nodes", [])}, len(self._nodes))
        if not set(shown) <= set(roots):
            raise _OddError("its parts are no tree")
        return sorted(set(shown))

    @staticmethod
    def _children(node: dict[str, Any], n_nodes: int) -> list[int]:
        children = node.get("children", [])
        if not isinstance(children, list):
            raise _OddError("its parts are no tree")
        numbers = [_whole(child, "a part") for child in children]
        if any(number >= n_nodes for number in numbers):
            raise _OddError("its parts are no tree")
        return numbers

    @staticmethod
    def _node(node: dict[str, Any], n_meshes: int) -> dict[str, Any]:
        kept: dict[str, Any] = {
            key: node[key] for key in ("children", "matrix", "translation", "rotation", "scale") if key in node
        }
        if "mesh" not in node:
            return kept
        number = _whole(node["mesh"], "a mesh")
        if number >= n_meshes:
            raise _OddError("a mesh of it is not in the file")
        return kept | {"mesh": number}


def _list_of(header: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = header.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _OddError(f"its {name} are no list of objects")
    if len(entries) > 10 * MAX_PARTS:
        raise _OddError(f"it has {len(entries):,} {name}")
    return entries


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise _OddError(f"{str(value)[:40]} is no {what.removeprefix('a ').removeprefix('an ')}")
    return value


def _joined(header: dict[str, Any], binary: bytes) -> bytes:
    """A .glb file of a description and its binary part."""
    described = json.dumps(header).encode()
    described += b" " * (-len(described) % 4)
    binary += bytes(-len(binary) % 4)
    chunks = struct.pack("<I4s", len(described), _JSON) + described + struct.pack("<I4s", len(binary), _BINARY) + binary
    return _MAGIC + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def _read(content: bytes, where: str) -> Mesh:
    """What `trimesh` makes of a file that was judged; all parts where they are placed, in one."""
    import trimesh

    try:
        scene = trimesh.load_scene(io.BytesIO(content), file_type="glb", skip_materials=True, process=False)
        parts = [part for part in scene.geometry.values() if isinstance(part, trimesh.Trimesh)]
        is_whole = all(len(part.faces) == 0 or part.faces.max() < len(part.vertices) for part in parts)
        whole = scene.to_mesh() if parts else None
    except Exception as error:  # a library's own errors are of every kind; the file is to blame for all of them
        raise FormatError(f"{where} can't be read as a mesh: {error}.") from error
    if whole is None or not len(whole.faces):
        raise FormatError(f"{where} holds no triangles.")
    if not is_whole:
        raise FormatError(f"{where} can't be shown as a mesh: a triangle of it has a corner that isn't there.")
    vertices = np.asarray(whole.vertices, np.float64)
    if not (np.abs(vertices) <= MAX_COORDINATE_ANGSTROM).all():  # what isn't a number compares false
        raise FormatError(f"{where} can't be shown as a mesh: a vertex of it is nowhere.")
    faces = np.asarray(whole.faces, np.int64)
    return Mesh(np.ascontiguousarray(vertices[:, ::-1]), np.ascontiguousarray(faces[:, ::-1]))
