"""How files are called that napari's dialog saves: its types, and names without an ending, which get one."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Final

from napari_cryoet.exceptions import SaveError

#: What to do where one of napari's own types can't hold several resolutions.
_SAVE_A_MASK: Final = (
    "In napari's dialog, choose the type “CryoET Data Portal Masks”, which writes all voxels, and a name that ends in "
    '.zarr or .mrc; in a script, give plugin="napari-cryoet".'
)
_SAVE_A_LEVEL: Final = (
    "Choose one as “resolution” in napari's layer controls, and “New layer from selected multiscale level” in the menu "
    "that a right click on the layer opens; that layer can be saved."
)
#: How names end that say a format. Those of layers, which napari proposes, may have points elsewhere: "80S (13.48 Å)".
_ENDING: Final = re.compile(r".\.[a-z][a-z0-9]*$", re.IGNORECASE)
_CALLERS: Final = ("napari", "npe2")


def not_one_array(*, is_mask: bool) -> SaveError:
    """Why a layer of several resolutions can't be written as one array."""
    kind, hint = ("a mask", _SAVE_A_MASK) if is_mask else ("an image", _SAVE_A_LEVEL)
    return SaveError(f"This layer is {kind} in several resolutions, not one array.", hint=hint)


def place_for(path: str, ending: str) -> tuple[Path, bool]:
    """Where to write, and whether whoever saves named this very file: only such may be replaced without a question.

    Parameters
    ----------
    path
        As napari hands it to writers.
    ending
        What a name without one gets; the first of our writer's in the manifest, which npe2 adds too.
    """
    place = with_ending(path, ending)
    return place, place == Path(path) and not _is_added(path, ending)


def with_ending(path: str | Path, ending: str) -> Path:
    """Where to write: a name without an ending gets one, also where there are points in it elsewhere."""
    place = Path(path)
    is_named = not place.name or _ENDING.search(place.name) is not None
    return place if is_named else place.with_name(f"{place.name}{ending}")


def _is_added(path: str, ending: str) -> bool:
    """Whether npe2 added the ending, which it tells no writer: then napari, or npe2, was called with a path without."""
    bare = path.removesuffix(ending)
    frame = inspect.currentframe()
    while frame is not None and bare != path:
        if frame.f_globals.get("__name__", "").partition(".")[0] in _CALLERS:
            given = frame.f_locals.get("path")
            if isinstance(given, str | os.PathLike) and os.fspath(given) == bare:
                return True
        frame = frame.f_back
    return False
