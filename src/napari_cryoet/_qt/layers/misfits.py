"""Which annotations that are shown already don't fit a tomogram that is opened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Layer

from napari_cryoet._qt.layers.own_layers import about_of, group_of, is_main, key_of
from napari_cryoet.wording import count_text, joined, plain

_MARKED = frozenset({"other_alignment", "unknown_alignment"})


def remark_on_misfits(tomogram: Layer, layers: Iterable[Layer]) -> str:
    """Which annotations of the same run don't fit a tomogram and don't say so in their names; empty if none.

    They fitted the tomogram that they were shown on.
    """
    here = about_of(tomogram).get("alignment_id")
    strays = [layer for layer in layers if group_of(layer) == group_of(tomogram) and _strays_from(layer, here)]
    if not strays:
        return ""
    alignments = sorted({f"AL-{about_of(layer)['alignment_id']}" for layer in strays})
    what = f"“{plain(strays[0].name)}” was" if len(strays) == 1 else f"{count_text(len(strays), 'annotation')} were"
    return (
        f"{what} made on another alignment ({joined(*alignments)}): the positions don't fit this tomogram (AL-{here})."
    )


def _strays_from(layer: Layer, alignment_id: object) -> bool:
    key, about = key_of(layer), about_of(layer)
    there = about.get("alignment_id")
    is_annotation = key is not None and key.kind == "annotation" and is_main(layer)
    is_known = isinstance(there, int) and isinstance(alignment_id, int)
    return is_annotation and is_known and there != alignment_id and not _is_marked(about)


def _is_marked(about: dict[str, Any]) -> bool:
    fit = about.get("fit")
    return isinstance(fit, dict) and fit.get("kind") in _MARKED
