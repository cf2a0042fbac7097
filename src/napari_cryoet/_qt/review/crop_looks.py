"""How crops are to be cut, as the fields say and as the session file remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from napari_cryoet.review.crops import Plane

PLANES: Final[tuple[Plane, ...]] = ("xy", "xz", "yz")


@dataclass(frozen=True, slots=True)
class Looks:
    """How crops are to be cut."""

    side_nm: float
    slab_nm: float
    plane: Plane
    is_oriented: bool

    def remembered(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def recalled(self, saved: Mapping[str, Any], side_nm: float) -> Looks:
        """As they were saved; what isn't there, or is no such thing, is as it is here, and the side as given."""
        return Looks(
            _length(saved.get("side_nm"), side_nm),
            _length(saved.get("slab_nm"), self.slab_nm),
            next((plane for plane in PLANES if plane == saved.get("plane")), self.plane),
            saved.get("is_oriented") is True,
        )


def _length(value: Any, default: float) -> float:
    is_length = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e4
    return float(value) if is_length else default
