"""One colour per object, the same in every session and safe for colour-blind people.

The twelve colours of `PALETTE` are bright and stand out from the greys of a tomogram. They maximise
the smallest OKLab distance of any pair for normal, protanope, deuteranope and tritanope vision:
0.105, against 0.076 for the eight colours of Okabe and Ito. The twelve of `FURTHER_PALETTE` are
used if a run needs more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.appearance.objects import known_object, object_key
from napari_cryoet.records import Annotation

RGBA = tuple[float, float, float, float]

PALETTE: Final[dict[str, str]] = {
    "yellow": "#ffff11",
    "cyan": "#00eeff",
    "orange": "#ee9900",
    "orchid": "#aa44bb",
    "sky": "#44bbff",
    "mint": "#bbffcc",
    "brown": "#aa5500",
    "azure": "#4488ff",
    "sand": "#eecc77",
    "purple": "#880099",
    "ochre": "#cc7722",
    "blue": "#3300ff",
}
FURTHER_PALETTE: Final = (
    *("#77bb77", "#559955", "#bb77bb", "#bb2299", "#446699", "#aaddbb"),
    *("#993300", "#0077cc", "#66aa66", "#8800cc", "#662277", "#0000bb"),
)
#: For the instances of one annotation, in this order; no object and no file of the user's has these.
INSTANCE_PALETTE: Final = (
    *("#99ff55", "#dd7799", "#0055dd", "#ffbbff"),
    *("#55bb00", "#bb0077", "#9977ff", "#337700"),
)
#: For the user's own files; annotations never have these colours.
OWN_PALETTE: Final = ("#ff88ff", "#00ee00", "#ee22ee", "#ffffff")

#: Colours closer than this can be confused; a distance in RGB from 0 to 1.
_ALIKE: Final = 0.15


_NAMES: Final = tuple(PALETTE)


def color_of(object_id: str | None, object_name: str | None = None) -> RGBA:
    """The default colour of an object by its id or else its name.

    Red, green, blue and opacity are from 0 to 1.
    """
    return _rgba(_slot_of(object_id, object_name))


def annotation_colors(annotations: Iterable[Annotation]) -> dict[int, RGBA]:
    """The colour of each annotation of a run, by annotation id.

    The first annotation of an object (by id) has the object's colour, unless another object of the
    run already has it. Further annotations of the object get free colours. The result doesn't
    depend on the order of the annotations.
    """
    by_id = {each.id: each for each in sorted(annotations, key=lambda each: each.id)}
    keys = {each.id: object_key(each.object_id, each.object_name) for each in by_id.values()}
    first_of = {key: annotation_id for annotation_id, key in reversed(keys.items())}

    def order(annotation: Annotation) -> tuple[bool, bool, str, int]:
        key = keys[annotation.id]
        is_further = first_of[key] != annotation.id
        has_color = bool(_known_color(annotation.object_id, annotation.object_name))
        return is_further, not has_color, key, annotation.id

    uses = [0] * len(PALETTE)
    colors = {}
    for each in sorted(by_id.values(), key=order):
        wanted = _slot_of(each.object_id, each.object_name)
        slot = min(range(len(uses)), key=lambda slot: (uses[slot], (slot - wanted) % len(uses)))
        colors[each.id] = _rgba(slot, uses[slot])
        uses[slot] += 1
    return colors


def own_color(taken: Iterable[RGBA], preferred: Iterable[str] = ()) -> RGBA:
    """A colour for the user's own layer that isn't ``taken``.

    Codes in ``preferred`` are tried first.
    """
    others = np.array([color[:3] for color in taken], dtype=np.float64).reshape(-1, 3)
    candidates = dict.fromkeys([*preferred, *OWN_PALETTE, *PALETTE.values(), *FURTHER_PALETTE])
    distances = {
        code: np.linalg.norm(others - rgba_of(code)[:3], axis=1).min(initial=2.0)
        for code in candidates
    }
    free = (code for code, distance in distances.items() if distance >= _ALIKE)
    return rgba_of(next(free, None) or max(distances, key=lambda code: distances[code]))


def instance_colors(instance_ids: ArrayLike) -> NDArray[np.float64]:
    """Colours of instances, shape (n, 4), cycling like `instance_colormap`."""
    cycle = np.array([rgba_of(code) for code in INSTANCE_PALETTE])
    return cycle[(np.asarray(instance_ids, dtype=np.int64) - 1) % len(cycle)]


def instance_colormap() -> list[RGBA]:
    """A cyclic colormap for napari's Labels layers: the background, then one cycle of `INSTANCE_PALETTE`."""
    return [(0.0, 0.0, 0.0, 0.0), *map(rgba_of, INSTANCE_PALETTE)]


def rgba_of(code: str) -> RGBA:
    """The colour for a code such as ``#ffff11``."""
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue, 1.0


def _slot_of(object_id: str | None, object_name: str | None) -> int:
    if color := _known_color(object_id, object_name):
        return _NAMES.index(color)
    key = object_key(object_id, object_name)
    digest = hashlib.blake2b(key.encode(), digest_size=8)  # `hash` differs between sessions
    return int.from_bytes(digest.digest(), "big") % len(PALETTE)


def _known_color(object_id: str | None, object_name: str | None) -> str:
    """The name of an object's colour in the palette; empty if the table has none."""
    known = known_object(object_id, object_name)
    colors = (each.color for each in known.lineage()) if known else ()
    return next(filter(None, colors), "")


def _rgba(slot: int, uses: int = 0) -> RGBA:
    codes = tuple(PALETTE.values()) if uses % 2 == 0 else FURTHER_PALETTE
    return rgba_of(codes[slot])
