"""How far two colours are apart to people who see all colours, and to those who lack one kind of cone.

Linear red, green and blue as a protanope, a deuteranope or a tritanope sees them, after Machado, Oliveira and Fernandes
(2009, doi 10.1109/TVCG.2009.113; severity 1); distances are in OKLab (Ottosson 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_EYES: Final = np.array(
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)
_TO_CONES: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
#: What is nearer than this can be taken for one another; the twelve colours of the palette are farther apart.
_ALIKE: Final = 0.07
_FLARE: Final = 0.05


def seen_apart(one: Sequence[float], other: Sequence[float]) -> float:
    """How far two colours (red, green, blue from 0 to 1, whatever their opacity) are apart to who sees that least."""
    return float(np.linalg.norm(_as_seen(one) - _as_seen(other), axis=1).min())


def are_alike(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether somebody can take two colours for one another."""
    return seen_apart(one, other) < _ALIKE


def which_are_alike(one: Sequence[float], others: Iterable[Sequence[float]]) -> list[bool]:
    """Of each of many colours whether `are_alike` says so of it, in a fraction of the time."""
    seen = np.array([_as_seen(other) for other in others]).reshape(-1, len(_EYES), 3)
    alike: list[bool] = (np.linalg.norm(seen - _as_seen(one), axis=2).min(axis=1) < _ALIKE).tolist()
    return alike


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """The contrast ratio of WCAG 2 between two opaque colours: from 1 to 21, and 3 or more for what must be seen."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + _FLARE) / (darker + _FLARE)


def _luminance(color: Sequence[float]) -> float:
    return float(_linear(color) @ (0.2126, 0.7152, 0.0722))


def _linear(color: Sequence[float]) -> NDArray[np.float64]:
    rgb = np.asarray(color[:3], dtype=np.float64)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _as_seen(color: Sequence[float]) -> NDArray[np.float64]:
    """A colour in OKLab to each of the eyes (4, 3)."""
    red, green, blue = color[:3]
    return _seen(float(red), float(green), float(blue))


@lru_cache(maxsize=1024)
def _seen(red: float, green: float, blue: float) -> NDArray[np.float64]:
    cones = np.clip(_EYES @ _linear((red, green, blue)), 0, 1) @ _TO_CONES.T
    seen: NDArray[np.float64] = np.cbrt(cones) @ _TO_LAB.T
    seen.flags.writeable = False
    return seen
