"""One colour per object, the same in every session and safe for colour-blind people.

The twelve colours of `PALETTE` are bright and stand out from the greys of a tomogram. They maximise
the smallest OKLab distance of any pair for normal, protanope, deuteranope and tritanope vision:
0.105, against 0.076 for the eight colours of Okabe and Ito. The twelve of `FURTHER_PALETTE` are
used if a run needs more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
#: For the user's own files; annotations never have these colours.
OWN_PALETTE: Final = ("#ff88ff", "#00ee00", "#ee22ee", "#ffffff")

#: The objects annotated most in the portal: colour, diameter in ångström (0: unknown), and their
#: ids and names.
#: Objects in the same run differ in colour. The diameter is that of a sphere that holds most of the
#: particle: for those
#: of the CZII challenge (2024) twice the radius published by its organisers, for others rounded
#: from the PDB and EMDB.
KNOWN_OBJECTS: Final[tuple[tuple[str, float, tuple[str, ...]], ...]] = (
    ("yellow", 300, ("GO:0022626", "GO:0005840", "cytosolic ribosome", "ribosome", "80s ribosome")),
    ("yellow", 250, ("70s ribosome",)),
    ("", 250, ("GO:0005761", "mitochondrial ribosome")),
    ("", 300, ("membrane bound ribosome", "membrane-bound ribosome")),
    ("cyan", 260, ("GO:0005835", "fatty acid synthase complex", "fatty acid synthase", "fas")),
    ("mint", 150, ("GO:0000502", "proteasome complex", "proteasome", "26s proteasome")),
    ("orange", 120, ("GO:0070288", "ferritin complex", "ferritin", "apo-ferritin", "apoferritin")),
    ("sky", 0, ("GO:0016020", "membrane")),
    ("brown", 250, ("GO:0005874", "microtubule")),
    ("orchid", 80, ("GO:0005884", "actin filament", "actin")),
    ("azure", 0, ("GO:0005783", "endoplasmic reticulum")),
    ("sand", 0, ("GO:0005794", "golgi apparatus")),
    ("ochre", 0, ("GO:0005739", "mitochondrion")),
    ("purple", 0, ("GO:0005634", "nucleus")),
    ("blue", 0, ("GO:0005635", "nuclear envelope")),
    ("orchid", 130, ("UniProtKB:P10537", "beta-amylase")),
    ("azure", 180, ("UniProtKB:P00722", "beta-galactosidase")),
    ("mint", 260, ("UniProtKB:P01267", "thyroglobulin")),
    ("cyan", 270, ("GO:0170047", "virus-like capsid", "virus-like particle")),
    ("", 150, ("chaperonin groel", "groel")),
    ("", 160, ("GO:0005832", "chaperonin-containing t-complex", "tric")),
    ("", 110, ("GO:0000786", "nucleosome")),
    ("", 120, ("GO:0048492", "rubisco complex", "rubisco")),
    ("", 1200, ("GO:0005643", "nuclear pore", "nuclear pore complex")),
    ("", 450, ("bacterial-type flagellum motor",)),
)
_ID = re.compile(r"[A-Za-z]+[:-]\w+")
#: Colours closer than this can be confused; a distance in RGB from 0 to 1.
_ALIKE: Final = 0.15


def object_key(object_id: str | None, object_name: str | None = None) -> str:
    """The key of an object: its id if it has one, else its name, normalised.

    >>> object_key(None, "Cytosolic_Ribosome "), object_key("go:0005874", "microtubule")
    ('cytosolic ribosome', 'go:0005874')
    """
    object_id = (object_id or "").strip()
    chosen = object_id if _ID.fullmatch(object_id) or not object_name else object_name
    return " ".join(chosen.replace("_", " ").split()).casefold()


_NAMES: Final = tuple(PALETTE)
_SLOT_OF: Final = {
    object_key(None, word): _NAMES.index(color)
    for color, _, words in KNOWN_OBJECTS
    if color
    for word in words
}


def color_of(object_name_or_id: str) -> RGBA:
    """The default colour of an object; red, green, blue and opacity from 0 to 1."""
    return _rgba(_slot_of(object_key(None, object_name_or_id)))


def annotation_colors(annotations: Iterable[Annotation]) -> dict[int, RGBA]:
    """The colour of each annotation of a run, by annotation id.

    The first annotation of an object (by id) has the object's colour, unless another object of the
    run already has it. Further annotations of the object get free colours. The result doesn't
    depend on the order of the annotations.
    """
    keys = {
        each.id: object_key(each.object_id, each.object_name)
        for each in sorted(annotations, key=lambda a: a.id)
    }
    first_of = {key: annotation_id for annotation_id, key in reversed(keys.items())}

    def order(annotation_id: int) -> tuple[bool, bool, str, int]:
        key = keys[annotation_id]
        return first_of[key] != annotation_id, key not in _SLOT_OF, key, annotation_id

    uses = [0] * len(PALETTE)
    colors = {}
    for annotation_id in sorted(keys, key=order):
        wanted = _slot_of(keys[annotation_id])
        slot = min(range(len(uses)), key=lambda slot: (uses[slot], (slot - wanted) % len(uses)))
        colors[annotation_id] = _rgba(slot, uses[slot])
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
    """Colours of instances, shape (n, 4), cycling through the palette like `instance_colormap`."""
    cycle = np.array([_rgba(slot) for slot in range(len(PALETTE))])
    return cycle[(np.asarray(instance_ids, dtype=np.int64) - 1) % len(cycle)]


def instance_colormap() -> list[RGBA]:
    """A cyclic colormap for napari's Labels layers: the background, then one cycle of the palette."""
    return [(0.0, 0.0, 0.0, 0.0), *(_rgba(slot) for slot in range(len(PALETTE)))]


def rgba_of(code: str) -> RGBA:
    """The colour for a code such as ``#ffff11``."""
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue, 1.0


def _slot_of(key: str) -> int:
    if key in _SLOT_OF:
        return _SLOT_OF[key]
    digest = hashlib.blake2b(
        key.encode(), digest_size=8
    ).digest()  # `hash` differs between sessions
    return int.from_bytes(digest, "big") % len(PALETTE)


def _rgba(slot: int, uses: int = 0) -> RGBA:
    codes = tuple(PALETTE.values()) if uses % 2 == 0 else FURTHER_PALETTE
    return rgba_of(codes[slot])
