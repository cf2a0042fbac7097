"""Which layers are ours: added by the dock, tagged in their metadata, told apart from copies that a person made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Surface, Vectors

from napari_cryoet.layers.specs import METADATA_KEY

Kind = Literal["tomogram", "annotation", "tilt series"]

_ID_FIELDS: dict[Kind, str] = {
    "tomogram": "tomogram_id",
    "annotation": "annotation_file_id",
    "tilt series": "tilt_series_id",
}
#: Within a run's group, from bottom to top.
_RANKS = (Image, Labels, Surface, Vectors, Points)


class LayerKey(NamedTuple):
    """What a layer shows: a tomogram, an annotation file or a tilt series of the portal."""

    kind: Kind
    id: int


class OwnLayers:
    """The layers of ours in a viewer, by what they show; the first of several is the main one.

    A layer is ours if its tag names it: a duplicate that a person makes carries the tag of the original, and is theirs.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer

    def __iter__(self) -> Iterator[Layer]:
        return (layer for layer in self._viewer.layers if key_of(layer) is not None)

    def of(self, key: LayerKey) -> list[Layer]:
        """The layers that show something, the main one first."""
        found = [layer for layer in self if key_of(layer) == key]
        return sorted(found, key=lambda layer: not is_main(layer))

    def main(self, key: LayerKey) -> Layer | None:
        """The main layer of something; None where it isn't shown."""
        return next((layer for layer in self.of(key) if is_main(layer)), None)

    def shown(self) -> set[LayerKey]:
        """Everything that is shown."""
        return {key for layer in self if is_main(layer) and (key := key_of(layer)) is not None}

    def strangers(self) -> list[Layer]:
        """The layers that aren't ours."""
        return [layer for layer in self._viewer.layers if key_of(layer) is None]

    def place_for(self, layer: Layer, group: object) -> int:
        """Where in the list a layer goes: in its run's group, images below masks below arrows below points."""
        rank = _rank(layer)
        mates = [
            (i, other) for i, other in enumerate(self._viewer.layers) if key_of(other) and group_of(other) == group
        ]
        below = [i for i, other in mates if _rank(other) <= rank]
        if below:
            return max(below) + 1
        return min((i for i, _ in mates), default=len(self._viewer.layers))


def tag(layer: Layer, key: LayerKey, group: object, *, is_main_layer: bool) -> None:
    """Make a layer ours."""
    about = dict(layer.metadata.get(METADATA_KEY, {}))
    about |= {
        _ID_FIELDS[key.kind]: key.id,
        "group": group,
        "is_main_layer": is_main_layer,
        "layer_id": str(layer.unique_id),
    }
    layer.metadata[METADATA_KEY] = about


def key_of(layer: Layer) -> LayerKey | None:
    """What a layer of ours shows; None for anybody else's."""
    about = about_of(layer)
    if about.get("layer_id") != str(layer.unique_id):
        return None
    for kind, field in _ID_FIELDS.items():
        if isinstance(about.get(field), int):
            return LayerKey(kind, about[field])
    return None


def group_of(layer: Layer) -> object:
    """The run that a layer of ours belongs to."""
    return about_of(layer).get("group")


def is_main(layer: Layer) -> bool:
    """Whether a layer stands for what it shows; arrows only go with it."""
    return bool(about_of(layer).get("is_main_layer"))


def _rank(layer: Layer) -> int:
    return next((rank for rank, kind in enumerate(_RANKS) if isinstance(layer, kind)), len(_RANKS))


def about_of(layer: Layer) -> dict[str, Any]:
    """What we know of a layer, whoever made it; empty where we don't."""
    about = layer.metadata.get(METADATA_KEY)
    return about if isinstance(about, dict) else {}
