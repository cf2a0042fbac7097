"""What to tell of annotations that are shown already when a tomogram of another alignment is opened below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Layer

from napari_cryoet._qt.own_layers import group_of, is_main, key_of
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.wording import count_text, joined, plain

_MARKED = frozenset({"other_alignment", "unknown_alignment"})


def remark_on_misfits(tomogram: Layer, layers: Iterable[Layer]) -> str:
    """Which annotations of the same run don't fit a tomogram and don't say so in their names; empty if none.

    They fitted the tomogram that they were shown on.
    """
    here = _about(tomogram).get("alignment_id")
    strays = [layer for layer in layers if group_of(layer) == group_of(tomogram) and _strays_from(layer, here)]
    if not strays:
        return ""
    alignments = sorted({f"AL-{_about(layer)['alignment_id']}" for layer in strays})
    what = f"“{plain(strays[0].name)}” was" if len(strays) == 1 else f"{count_text(len(strays), 'annotation')} were"
    return (
        f"{what} made on another alignment ({joined(*alignments)}): the positions don't fit this tomogram (AL-{here})."
    )


def _strays_from(layer: Layer, alignment_id: object) -> bool:
    key, about = key_of(layer), _about(layer)
    there, fit = about.get("alignment_id"), about.get("fit")
    is_marked = isinstance(fit, dict) and fit.get("kind") in _MARKED
    is_annotation = key is not None and key.kind == "annotation" and is_main(layer)
    is_known = isinstance(there, int) and isinstance(alignment_id, int)
    return is_annotation and is_known and there != alignment_id and not is_marked


def _about(layer: Layer) -> dict[str, Any]:
    about = layer.metadata.get(METADATA_KEY)
    return about if isinstance(about, dict) else {}
