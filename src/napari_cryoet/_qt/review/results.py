"""The kept and rejected picks of a review as layers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from napari.layers import Points

from napari_cryoet.appearance.colors import rgba_of
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec, arrows_spec, points_spec
from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.review import Review, kept_picks, rejected_picks

#: The colours of the frames in the sheet, lighter, so that they stand out from a tomogram; and a symbol each.
_LOOKS: Final = {Verdict.KEPT: ("#00d494", "disc"), Verdict.REJECTED: ("#ff6a3c", "x")}


def result_specs(layer: Points, review: Review) -> list[LayerSpec]:
    """Layers of the kept and of the rejected picks, as far as there are any, that lie as the reviewed layer does."""
    found: list[LayerSpec] = []
    for verdict, chosen in ((Verdict.KEPT, kept_picks), (Verdict.REJECTED, rejected_picks)):
        picks = chosen(review.picks, review.decisions)
        if len(picks):
            found += _specs_like(layer, picks, verdict)
    return found


def _specs_like(layer: Points, picks: Picks, verdict: Verdict) -> list[LayerSpec]:
    word, (color, symbol) = verdict.word, _LOOKS[verdict]
    about = dict(layer.metadata.get(METADATA_KEY, {})) | dict(picks.about) | {"review": word}
    for own in ("layer_id", "is_main_layer", "group"):
        about.pop(own, None)  # these would make it the annotation itself
    common: dict[str, Any] = {
        "scale": tuple(layer.scale),
        "translate": tuple(layer.translate),
        "rotate": np.array(layer.rotate),
        "shear": np.array(layer.shear),
        "affine": np.array(layer.affine.affine_matrix),
        "units": tuple(str(unit) for unit in layer.units),
        "axis_labels": tuple(layer.axis_labels),
        "metadata": {METADATA_KEY: about},
    }
    looks: dict[str, Any] = {
        "color": rgba_of(color),
        "diameter_angstrom": float(np.median(layer.size)) if len(layer.size) else 10.0,
        "spacing_angstrom": 1.0,
    }
    name = f"{layer.name} · {word} {len(picks):,}"
    points = points_spec(picks, common, name=name, **looks)
    points = LayerSpec(points.data, points.options | {"symbol": symbol}, points.kind)
    arrows = arrows_spec(picks, common, name=f"{name} · orientation", **looks)
    return [points] if arrows is None else [points, arrows]
