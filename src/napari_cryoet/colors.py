"""One colour an object: the same in every session, apart from its neighbours, and told apart by colour-blind people.

The twelve colours were searched for on a computer: among bright colours that stand out from the greys of a tomogram,
those whose closest pair is farthest apart (distance in OKLab) to an ordinary, a protanope and a deuteranope eye, and
nearly so to a tritanope one (simulated as Machado, Oliveira and Fernandes 2009). That pair is 0.105 apart; the eight
colours of Okabe and Ito, a common choice, come to 0.076. Twelve further ones were searched for like these, for runs of
more objects: of all 24, and to all of these eyes, the closest pair is 0.054 apart. A test measures this anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.color_vision import contrast, seen_apart, which_are_alike

RGBA = tuple[float, float, float, float]

#: By name, so that the table of objects below reads like one.
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
#: Where all of the palette are given. Of more than that no eye is sure: picks have other symbols, too.
FURTHER_PALETTE: Final[dict[str, str]] = {
    "yellow": "#77bb77",
    "cyan": "#559955",
    "orange": "#bb77bb",
    "orchid": "#bb2299",
    "sky": "#446699",
    "mint": "#aaddbb",
    "brown": "#993300",
    "azure": "#0077cc",
    "sand": "#66aa66",
    "purple": "#8800cc",
    "ochre": "#662277",
    "blue": "#0000bb",
}
#: napari's words for the symbols of picks: those of the palette's colours, of the further ones, and so on.
SYMBOLS: Final = ("disc", "diamond", "square", "triangle_up", "triangle_down")
#: Of what people open from files of their own: no annotation has them, so the two are told apart whichever comes first.
#: To ordinary eyes they are farther from the twelve than these are from each other, to colour-blind ones half as far.
OWN_PALETTE: Final[dict[str, str]] = {"pink": "#ff88ff", "green": "#00ee00", "magenta": "#ee22ee", "white": "#ffffff"}

# What the portal annotates most: colour, and the ids and names that mean it. Objects that share a run differ.
_WELL_KNOWN: Final = (
    ("yellow", "GO:0022626", "GO:0005840", "cytosolic ribosome", "ribosome", "80s ribosome", "70s ribosome"),
    ("cyan", "GO:0005835", "fatty acid synthase complex", "fatty acid synthase", "fas"),
    ("mint", "GO:0000502", "proteasome complex", "proteasome", "26s proteasome"),
    ("orange", "GO:0070288", "ferritin complex", "ferritin", "apo-ferritin", "apoferritin"),
    ("sky", "GO:0016020", "membrane"),
    ("brown", "GO:0005874", "microtubule"),
    ("orchid", "GO:0005884", "actin filament", "actin"),
    ("azure", "GO:0005783", "endoplasmic reticulum"),
    ("sand", "GO:0005794", "golgi apparatus"),
    ("ochre", "GO:0005739", "mitochondrion"),
    ("purple", "GO:0005634", "nucleus"),
    ("blue", "GO:0005635", "nuclear envelope"),
    ("orchid", "UniProtKB:P10537", "beta-amylase"),
    ("azure", "UniProtKB:P00722", "beta-galactosidase"),
    ("mint", "UniProtKB:P01267", "thyroglobulin"),
    ("cyan", "GO:0170047", "virus-like capsid", "virus-like particle"),
)

_ID = re.compile(r"[A-Za-z]+[:-]\w+")


def object_key(object_id: str | None, object_name: str | None = None) -> str:
    """What stands for an object when colours are given out: its id where it has one, else its name, tidied.

    >>> object_key(None, "Cytosolic_Ribosome "), object_key("go:0005874", "microtubule")
    ('cytosolic ribosome', 'go:0005874')
    """
    object_id = (object_id or "").strip()
    chosen = object_id if _ID.fullmatch(object_id) or not object_name else object_name
    return " ".join(chosen.replace("_", " ").split()).casefold()


_FIXED: Final = {object_key(None, word): color for color, *words in _WELL_KNOWN for word in words}
_SLOTS: Final = tuple(PALETTE)
#: Colours nearer to each other than this (the root of the sum of squared differences of red, green and blue, from 0 to
#: 1) can be taken for one another; those of the palette are farther apart.
_ALIKE: Final = 0.15
_STEPS_LIGHTER: Final = 3
_FAR: Final = 2.0
#: In the distances of `seen_apart`: as yellow and orange are.
_WELL_APART: Final = 0.2
_BLACK: Final = (0.0, 0.0, 0.0)
#: The thin lines around picks and masks; a white one looks wider.
BLACK_OUTLINE: Final[RGBA] = (0.0, 0.0, 0.0, 0.8)
WHITE_OUTLINE: Final[RGBA] = (1.0, 1.0, 1.0, 0.75)


def color_of(object_name_or_id: str) -> RGBA:
    """The colour of an object that stands alone; red, green, blue and opacity from 0 to 1."""
    return _rgba(_slot_of(object_key(None, object_name_or_id)))


def looks_of(object_keys: Iterable[str]) -> dict[str, tuple[RGBA, str]]:
    """Colours and symbols for the objects of one run: each has its own colour as long as there are some left.

    Of 13 objects and more, some have a colour of `FURTHER_PALETTE`, of 25 and more a lighter one, and their picks have
    another symbol than those whose colours somebody could take for theirs. The answer depends on which objects there
    are, not on their order. An object keeps the colour that `color_of` gives it unless another one of the run has it.

    Parameters
    ----------
    object_keys
        As `object_key` makes them.
    """
    keys = sorted({object_key(None, key) for key in object_keys}, key=lambda key: (key not in _FIXED, key))
    taken: dict[int, int] = {}
    given: dict[str, tuple[RGBA, str]] = {}
    for key in keys:
        wanted = _slot_of(key)
        fewest = min(taken.get(slot, 0) for slot in range(len(_SLOTS)))
        slot = next(
            slot % len(_SLOTS)
            for slot in range(wanted, wanted + len(_SLOTS))
            if taken.get(slot % len(_SLOTS), 0) == fewest
        )
        times = taken.get(slot, 0)
        color, first = _rgba(slot, times=times), SYMBOLS[min(times, len(SYMBOLS) - 1)]
        given[key] = color, symbol_beside(color, given.values(), first=first) if times else first
        taken[slot] = times + 1
    return given


def colors_of(object_keys: Iterable[str]) -> dict[str, RGBA]:
    """Colours for the objects of one run, as `looks_of` has them."""
    return {key: color for key, (color, _symbol) in looks_of(object_keys).items()}


def symbol_beside(color: RGBA, others: Iterable[tuple[RGBA, str]], *, first: str = SYMBOLS[0]) -> str:
    """A symbol that tells picks of a colour from all others that somebody could take them for.

    Parameters
    ----------
    others
        Colours and symbols of the others.
    first
        The symbol that comes first.
    """
    looks = list(others)
    alike = which_are_alike(color, [other for other, _symbol in looks])
    taken = [symbol for (_other, symbol), is_alike in zip(looks, alike, strict=True) if is_alike]
    return min((first, *SYMBOLS), key=taken.count)


def own_color(taken: Iterable[RGBA], wanted: Iterable[str] = ()) -> RGBA:
    """A colour for a layer of a person's own: one of `OWN_PALETTE`, or like it, that nothing has.

    Parameters
    ----------
    taken
        The colours that other layers have; how opaque they are doesn't matter.
    wanted
        Codes of colours that come first.
    """
    others = np.array([color[:3] for color in taken], dtype=np.float64).reshape(-1, 3)
    steps = range(_STEPS_LIGHTER)
    own = [rgba_of(code, lighter=step) for step in steps for code in OWN_PALETTE.values()]
    first_of_all = [rgba_of(code, lighter=step) for step in steps for code in wanted]
    candidates = [*first_of_all, *own, *(_rgba(slot, times=step) for step in steps for slot in range(len(_SLOTS)))]
    apart = [float(np.linalg.norm(others - color[:3], axis=1).min(initial=_FAR)) for color in candidates]
    first = next((color for color, distance in zip(candidates, apart, strict=True) if distance >= _ALIKE), None)
    return first or candidates[int(np.argmax(apart))]


def another_color(of_same: Iterable[RGBA], taken: Iterable[RGBA]) -> RGBA:
    """A colour for one more annotation of an object, that colour-blind people tell from the others, too.

    It is of `PALETTE`, and where nothing of that is free of `FURTHER_PALETTE`.

    Parameters
    ----------
    of_same
        The colours of annotations of the same object. Of what is free and well apart from these the brightest is
        chosen, which stands out from a dark canvas, too; if nothing is, the farthest.
    taken
        What else has a colour, which is only given again where nothing else is free: that which the fewest have.
    """
    same = list(of_same)
    others = [*same, *taken]
    first, further = ([_rgba(slot, times=times) for slot in range(len(_SLOTS))] for times in range(2))
    alike = {color: sum(which_are_alike(color, others)) for color in [*first, *further]}
    fewest = min(alike.values())
    chosen = [color for color in first if alike[color] == fewest] or [
        color for color in further if alike[color] == fewest
    ]
    apart = {color: min((seen_apart(color, other) for other in same), default=_FAR) for color in chosen}
    bright = [color for color, distance in apart.items() if distance >= _WELL_APART]
    return (
        max(bright, key=lambda color: seen_apart(color, _BLACK))
        if bright
        else max(apart, key=lambda color: apart[color])
    )


def outline_of(color: RGBA) -> RGBA:
    """What a mark of a colour is set off by from whatever it lies on: black where it is light, white where it is dark.

    No colour stands out from a white canvas, a black one and all the greys of tomograms; of a mark and its outline, one
    does.
    """
    return max(BLACK_OUTLINE, WHITE_OUTLINE, key=lambda outline: contrast(outline, color))


def instance_colors(instance_ids: ArrayLike) -> NDArray[np.float64]:
    """Colours (n, 4) of instances, in cycles of the palette; `instance_colormap` gives masks the same ones."""
    cycle = np.array([_rgba(slot) for slot in range(len(_SLOTS))])
    return cycle[(np.asarray(instance_ids, dtype=np.int64) - 1) % len(cycle)]


def instance_colormap() -> list[RGBA]:
    """What napari's Labels layer takes as a cyclic colormap: the background, then one cycle."""
    return [(0.0, 0.0, 0.0, 0.0), *(_rgba(slot) for slot in range(len(_SLOTS)))]


def _slot_of(key: str) -> int:
    fixed = _FIXED.get(key)
    if fixed is not None:
        return _SLOTS.index(fixed)
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()  # `hash` changes with every session
    return int.from_bytes(digest, "big") % len(_SLOTS)


def _rgba(slot: int, *, times: int = 0) -> RGBA:
    """The colour of a slot that was given so many times before."""
    if times == 1:
        return rgba_of(FURTHER_PALETTE[_SLOTS[slot]])
    return rgba_of(PALETTE[_SLOTS[slot]], lighter=max(0, times - 1))


def rgba_of(code: str, *, lighter: int = 0) -> RGBA:
    """The colour of a code such as ``#ffff11``, half as far from white with each step that it is to be lighter."""
    towards_white = 1 - 0.5**lighter
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return (
        red + (1 - red) * towards_white,
        green + (1 - green) * towards_white,
        blue + (1 - blue) * towards_white,
        1.0,
    )
