"""What a napari layer is made of, without napari: its data, its options and its kind."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

LayerKind = Literal["image", "labels", "points", "vectors", "surface"]

#: The key of ``layer.metadata`` under which every layer of ours keeps its provenance.
METADATA_KEY = "napari_cryoet"
#: The key under which layers of points keep the `Picks` that they were made of.
PICKS_KEY = "napari_cryoet_picks"
#: The column of such a layer's features that says which pick a row is; a row that is a pick of its own has `NEW_PICK`.
PICK_ID = "pick_id"
NEW_PICK = -1
#: How the name starts under which a column of somebody else's goes on that is called as ours, and says something else.
OWN_START = "own_"
OWN_ID = OWN_START + PICK_ID


class LayerSpec(NamedTuple):
    """A napari layer-data tuple, with names.

    Attributes
    ----------
    data
        image and labels: a list of dask arrays (z, y, x), finest first, padded so that what is half as fine is exactly
        half as large, or one dask array where there is only one level;
        points: float64 (n, 3), z, y, x in voxels of the file's own grid, so that ``data * scale`` is in ångström;
        vectors: float64 (n, 2, 3), start and direction, likewise;
        surface: vertices, float64 (n, 3), likewise; triangles, int64 (m, 3), and a value for each vertex.
    options
        Keyword arguments of napari's layer, among them ``scale`` (ångström a voxel), ``units``, ``axis_labels`` and
        ``metadata`` (provenance under `METADATA_KEY`).
    kind
        Which napari layer this makes.
    """

    data: Any
    options: dict[str, Any]
    kind: LayerKind

    @property
    def name(self) -> str:
        """The name of the layer to be."""
        return str(self.options["name"])
