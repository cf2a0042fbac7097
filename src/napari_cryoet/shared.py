"""What all parts of the program share is made when it is wanted first, and once, however many threads want it then."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, TypeVar

from napari_cryoet.forks import FreshLock

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def made_once(make: Callable[[], T]) -> Callable[[], T]:
    """A function that gives what another one made when it was called first.

    `functools.cache` lets each of several threads that come first make one of its own, and one of them keeps another
    than all who come later: a policy that nobody can change, or a second cache as large as the first.
    """
    made: list[T] = []
    lock = FreshLock()

    @wraps(make)
    def get() -> T:
        if not made:
            with lock:
                if not made:
                    made.append(make())
        return made[0]

    return get
