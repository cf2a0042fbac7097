"""What becomes of annotations that are shown already when a tomogram is opened: which fit it now, and which don't."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from napari.layers import Layer, Points

from napari_cryoet._qt.own_layers import about_of, group_of, is_main, key_of
from napari_cryoet._qt.picks_link import link_of
from napari_cryoet.layer_spec import METADATA_KEY, PICKS_KEY
from napari_cryoet.overlay import marks_of, reasons_of
from napari_cryoet.picks import Picks
from napari_cryoet.wording import count_text, joined, plain

_MARKED = frozenset({"other_alignment", "unknown_alignment"})
_BETWEEN = joined("a", "b")[1:-1]


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


def unmark_what_fits(tomogram: Layer, layers: Iterable[Layer]) -> None:
    """Let annotations that were shown as unaligned no longer say so, once the tomogram that they fit is there."""
    about_tomogram = about_of(tomogram)
    here = about_tomogram.get("alignment_id")
    for layer in layers:
        about = about_of(layer)
        is_marked = _is_marked(about) and about.get("run_id") in {None, about_tomogram.get("run_id")}
        if not is_marked or not isinstance(here, int) or about.get("alignment_id") != here:
            continue
        fit = {
            "kind": "same" if _have_one_spacing(about, about_tomogram) else "rescaled",
            "tomogram_id": about_tomogram.get("tomogram_id"),
            "tomogram_alignment_id": here,
        }
        layer.metadata[METADATA_KEY] = about | _refitted(about, fit, here)
        picks = layer.metadata.get(PICKS_KEY)
        if isinstance(picks, Picks):
            _tell(layer, picks, _refitted(picks.about, fit, here))
        name = layer.name
        for mark in marks_of(here):
            name = name.replace(f"{_BETWEEN}{mark}", "")
        if name != layer.name:
            layer.name = name


def _refitted(about: Mapping[str, Any], fit: dict[str, Any], alignment_id: int) -> dict[str, Any]:
    """What is to be said anew of where a layer, or its picks, lie."""
    warnings = [said for said in about.get("warnings", ()) if said not in reasons_of(alignment_id)]
    return {"fit": fit, "warnings": warnings}


def _tell(layer: Layer, picks: Picks, about: dict[str, Any]) -> None:
    """Exports say what the picks themselves know."""
    if isinstance(layer, Points):
        link_of(layer).tell(**about)
    else:  # as arrows, which follow the points
        layer.metadata[PICKS_KEY] = picks.changed(about={**picks.about, **about})


def _strays_from(layer: Layer, alignment_id: object) -> bool:
    key, about = key_of(layer), about_of(layer)
    there = about.get("alignment_id")
    is_annotation = key is not None and key.kind == "annotation" and is_main(layer)
    is_known = isinstance(there, int) and isinstance(alignment_id, int)
    return is_annotation and is_known and there != alignment_id and not _is_marked(about)


def _have_one_spacing(*abouts: dict[str, Any]) -> bool:
    one, other = (about.get("voxel_spacing_angstrom") for about in abouts)
    return isinstance(one, float | int) and isinstance(other, float | int) and math.isclose(one, other, rel_tol=1e-6)


def _is_marked(about: dict[str, Any]) -> bool:
    fit = about.get("fit")
    return isinstance(fit, dict) and fit.get("kind") in _MARKED
