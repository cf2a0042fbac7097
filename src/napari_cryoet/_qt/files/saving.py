"""What napari's *Save as…* calls for points and labels: it writes picks and masks, and says what isn't in the file.

napari has asked before it replaces a file, but not where it saw the name without its ending. Folders, which OME-Zarr
is, are never replaced from here. Several layers at once are written by `saving_folder`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from napari.layers import Points
from napari.utils.notifications import show_info, show_warning

from napari_cryoet._qt.files.asking import may_replace, may_write, window_to_ask_in
from napari_cryoet._qt.files.saving_names import place_for
from napari_cryoet._qt.layers.alignment import spacing_angstrom, spacing_angstrom_of
from napari_cryoet._qt.picks.layer_geometry import placed_picks_of
from napari_cryoet._qt.tasks import wait_for
from napari_cryoet.exceptions import SaveError, StoppedError
from napari_cryoet.formats.masks import TITLES as MASK_TITLES
from napari_cryoet.formats.masks import WrittenMask, write_mask
from napari_cryoet.formats.registry import (
    SUFFIXES,
    TITLES,
    PickFormat,
    Written,
    format_for,
    losses,
    missing_for,
    write_picks,
)
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.wording import count_text

#: That a layer lies elsewhere than its file says.
MOVED: Final = "The layer is moved from the origin of the world; the file doesn't say so."
#: How a mask's name ends if nobody says how.
MASK_ENDING: Final = ".zarr"
#: What of a layer says where its points are and what is known of them.
_MEANT: Final = (
    "name",
    "features",
    "metadata",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
)
_IN_MEMORY: Final = "saved from voxels in memory, which may have been edited since they were read from the source"


def write_points(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Points layer as picks, in the format that the name asks for; what that can't hold is said before.

    Parameters
    ----------
    path
        Where to; what is there is replaced. A name without an ending gets that of the portal's format, and then it is
        asked before something is replaced.
    data, meta
        The layer, as napari hands it to writers.

    Raises
    ------
    ExistsError
        If there is a file of a name that got its ending here or from npe2, and nobody to ask.
    """
    place, is_named = place_for(path, SUFFIXES["ndjson"])
    picks = picks_in(data, meta)
    name = format_for(place, picks)
    is_there = os.path.lexists(place)
    may_be_there = is_named or not is_there or may_replace(place)
    if not may_be_there or not may_write(place.name, losses_to_say(picks, name)):
        show_info("Nothing was written.")
        return []
    return _told(wait_for(lambda _job: write_picks(picks, place, format=name, overwrite=is_named or is_there)))


def picks_in(data: Any, meta: dict[str, Any]) -> Picks:
    """The picks of a Points layer as napari hands it to writers.

    Raises
    ------
    SaveError
        If it has other than three axes, or is rotated or sheared.
    """
    # nothing of how it looks, which napari doesn't always take back after features were edited in place
    layer = Points(data, **{name: meta[name] for name in _MEANT if name in meta})
    try:
        picks = placed_picks_of(layer)
    except ValueError as error:
        raise SaveError(f"This layer can't be written as picks: {error}.") from error
    if picks.spacing_angstrom is None:  # the window takes it on in a moment, which a script doesn't wait for
        picks = picks.changed(spacing_angstrom=spacing_angstrom_of(layer))
    return picks


def losses_to_say(picks: Picks, name: PickFormat) -> list[str]:
    """What a file won't hold; nothing where it can't be written at all."""
    return [] if missing_for(picks, name) else list(losses(picks, name))


def write_points_with_arrows(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write a Points layer that is selected together with the arrows or triads of its picks, which say no more.

    Parameters
    ----------
    path
        Where to; what is there is replaced.
    layers
        Data, options and kind of each, as napari hands them to writers.

    Raises
    ------
    SaveError
        If there are vectors that don't show picks, and would be lost.
    """
    refuse_other_vectors(layers)
    ((data, meta, _),) = (layer for layer in layers if layer[2] == "points")
    return write_points(path, data, meta)


def refuse_other_vectors(layers: list[tuple[Any, dict[str, Any], str]]) -> None:
    """Raise `SaveError` for vectors that don't show picks."""
    for _, meta, kind in layers:
        if kind == "vectors" and PICKS_KEY not in meta.get("metadata", {}):
            raise SaveError(
                f"The vectors of the layer {meta.get('name', '')} are no picks' arrows; no file of picks holds them.",
                hint="Select only the picks.",
            )


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a mask, in full resolution; parameters as `write_points`, and OME-Zarr without an ending.

    Raises
    ------
    ExistsError
        If there is a folder, or a file of a name that got its ending here or from npe2.
    SaveError
        If the layer says no voxel spacing in a unit of length, is rotated or sheared, or its values don't fit the
        format.
    """
    write = mask_writer(data, meta)
    place, is_named = place_for(path, MASK_ENDING)
    overwrite = is_named and not os.path.isdir(place)
    if not may_write(place.name, [MOVED] if is_moved(meta) else []):
        show_info("Nothing was written.")
        return []
    try:
        made = wait_for(
            lambda job: write(place, overwrite=overwrite, progress=job.progress, stop=job.stop),
            title=f"Writing {place.name}…",
            parent=window_to_ask_in(),
        )
    except StoppedError:
        show_info("Stopped; nothing was written.")
        return []
    kind = "instances" if made.is_instances else "mask"
    said = f"Wrote {made.path.name} ({MASK_TITLES[made.format]}, {kind}, {made.dtype})."
    if is_moved(meta):
        show_warning(f"{said}\n{MOVED}")
    else:
        show_info(said)
    return [str(path) for path in (made.path, made.provenance_path) if path is not None]


def mask_writer(data: Any, meta: dict[str, Any]) -> Callable[..., WrittenMask]:
    """`write_mask` for a Labels layer as napari hands it to writers; what is left to say is where to, and how.

    Raises
    ------
    SaveError
        If the layer says no voxel spacing in a unit of length, or is rotated, sheared or flipped.
    """
    spacing = spacing_angstrom(meta.get("scale", ()), meta.get("units", ()))
    if spacing is None:
        raise SaveError(
            f"The layer {meta.get('name', '')} doesn't say how wide its voxels are.",
            hint="Give it a scale, the same along all axes, and a unit of length, such as angstrom.",
        )
    if not _is_straight(meta):
        raise SaveError(f"The layer {meta.get('name', '')} is rotated or sheared in the viewer, and a mask can't be.")
    if np.min(meta["scale"]) < 0:
        raise SaveError(f"The layer {meta.get('name', '')} is flipped in the viewer, and a mask can't be.")
    about = dict(meta.get("metadata", {}).get(METADATA_KEY, {}))
    is_of_source = not about or pyramid_of(data) is not None
    return partial(
        write_mask,
        finest_of(data),
        spacing_angstrom=spacing,
        about=about,
        alignment_id=about.get("alignment_id"),
        edits=() if is_of_source else [_IN_MEMORY],
    )


def is_moved(meta: dict[str, Any]) -> bool:
    """Whether a layer lies elsewhere than at the origin of the world."""
    return bool(np.any(meta.get("translate", 0)))


def finest_of(data: Any) -> Any:
    """The full resolution of a layer's data."""
    return data[0] if isinstance(data, list | tuple) or hasattr(data, "shapes") else data


def _is_straight(meta: dict[str, Any]) -> bool:
    return all(
        name not in meta or np.allclose(meta[name], np.eye(len(meta[name])) if np.ndim(meta[name]) == 2 else 0)
        for name in ("affine", "rotate", "shear")
    )


def _told(made: Written) -> list[str]:
    said = f"Wrote {count_text(made.count, 'pick')} to {made.path.name} ({TITLES[made.format]})."
    if made.losses:
        show_warning("\n".join([said, *made.losses]))
    else:
        show_info(said)
    return [str(made.path), str(made.provenance_path)]
