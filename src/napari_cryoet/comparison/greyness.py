"""Whether what is taken for a mask holds grey values: a tomogram or a map, whose numbers aren't objects."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Objects are blobs, in which neighbours have the same label; of grey values most neighbours differ.
_MOST_DIFFERENT_OF_A_MASK: Final = 0.5
#: Of all neighbours, how many have to be of objects both; fewer say nothing.
_LEAST_SHARE: Final = 0.01
#: Fewer values than that are classes, however finely they are mixed.
_FEWEST_VALUES: Final = 8


class GreyTally:
    """Looks at one plane of each slab of a mask that is read anyway, so it costs no reading and little time.

    What counts is how often two voxels beside each other, neither of which is background, have different values. In a
    mask it is seldom, also with thousands of objects and without any background; in a volume of grey values most do.
    """

    def __init__(self) -> None:
        self._n_neighbours = self._n_of_objects = self._n_different = 0
        self._values: set[int] = set()

    def look(self, slab: NDArray[Any]) -> None:
        """Take the plane in the middle of a slab into account."""
        if not slab.size:
            return
        plane = slab[len(slab) // 2]
        for one, other in ((plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])):
            are_objects = (one > 0) & (other > 0)
            differing = one[are_objects & (one != other)]
            self._n_neighbours += one.size
            self._n_of_objects += int(np.count_nonzero(are_objects))
            self._n_different += len(differing)
            if len(self._values) < _FEWEST_VALUES:
                self._values.update(np.unique(differing)[:_FEWEST_VALUES].tolist())

    def notes(self, letter: str) -> tuple[str, ...]:
        """What is to be said of a side whose numbers are grey values; nothing of a mask."""
        is_grey = (
            len(self._values) >= _FEWEST_VALUES
            and self._n_of_objects >= _LEAST_SHARE * self._n_neighbours
            and self._n_different > _MOST_DIFFERENT_OF_A_MASK * self._n_of_objects
        )
        if not is_grey:
            return ()
        share = self._n_different / self._n_of_objects
        return (
            f"{letter} looks like a volume of grey values, not like a mask: {share:.0%} of its neighbours differ. "
            "Each voxel that isn't 0 was counted as part of an object, so these numbers mean nothing unless it is one.",
        )
