"""Membranes as meshes of triangles, in a binary glTF file as the portal's ingester would write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from napari_cryoet.packs.demo.geometry import Floats, Membrane

#: Each quarters the triangles of an icosahedron, to 1,280 a membrane.
_SUBDIVISIONS: Final = 3


def membrane_glb(membranes: Sequence[Membrane]) -> bytes:
    """The middles of closed bilayers, in ångström, x, y, z, each triangle looking outward."""
    import trimesh
    from trimesh.exchange.gltf import export_glb

    ball = trimesh.creation.icosphere(subdivisions=_SUBDIVISIONS)
    parts = [trimesh.Trimesh(_on_surface(membrane, ball.vertices), ball.faces, process=False) for membrane in membranes]
    return bytes(export_glb(trimesh.Scene(trimesh.util.concatenate(parts))))  # type: ignore[no-untyped-call] # in parts


def _on_surface(membrane: Membrane, directions: Floats) -> Floats:
    """A point of the surface for each direction of the unit sphere."""
    points = membrane.surface(np.asarray(directions, float))
    if len(points) != len(directions):
        raise ValueError(f"the {membrane.name} can't be reached from its middle everywhere")
    return points
