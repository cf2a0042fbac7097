"""What is fetched for what is looked at: which level of it, and whole blocks or only what it cuts out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cryoet.streaming.fitting import Fit, does_not_fit, must_be_thin
from napari_cryoet.streaming.plan import View
from napari_cryoet.streaming.thin import plane_of, whole_keys

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from napari_cryoet.exceptions import StreamError
    from napari_cryoet.streaming.geometry import Box
    from napari_cryoet.streaming.stock import Stock


class Aim:
    """Of one display. Not safe for several threads.

    Attributes
    ----------
    view
        What is looked at; None before anything is.
    level
        The level that is fetched for it.
    is_thin
        Whether only what the view needs of each block is kept.
    fit
        Whether that fits into memory.
    """

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self.view: View | None = None
        self.level, self.is_thin, self.fit = 0, False, Fit()

    def take(self, view: View, level: int) -> None:
        """Fetch a level for a view from now on, and keep of its blocks what fits into memory."""
        self.view, self.level = view, level
        self.keep(is_thin=must_be_thin(self._stock.pyramid, level, self._box(view), self._stock.memory.limit_bytes))

    def keep(self, *, is_thin: bool) -> None:
        """Keep all of the blocks that are fetched for the view, or only what it cuts out of them."""
        self.is_thin = is_thin
        if self.view is not None:
            pyramid, memory_bytes = self._stock.pyramid, self._stock.memory.limit_bytes
            self.fit.begin(pyramid, self.level, self._box(self.view), memory_bytes=memory_bytes, is_thin=is_thin)

    def came(self, keys: set[Hashable]) -> None:
        """Note blocks that the view needs and that have come into memory for it."""
        self.fit.came(keys)
        if not self.is_thin:  # else whole blocks are others'
            self.fit.weigh(self._stock.sizes_bytes(keys))

    def saw(self, missing: set[Hashable]) -> None:
        """Note which blocks a picture of the view lacked, and keep less of each where many have gone again."""
        gone = missing if self.fit.saw_none(missing) else missing & self.lacking()
        self.fit.lacks(gone)  # not what came while the picture was put together
        if self.fit.is_tight and not self.is_thin and self.is_plane:
            self.keep(is_thin=True)  # what others look at drives it out, so it has to take less

    @property
    def is_plane(self) -> bool:
        """Whether what is fetched is a plane, of whose blocks less could be kept."""
        return self.view is not None and plane_of(self._box(self.view)) is not None

    @property
    def thin(self) -> View | None:
        """What is cut out of blocks, where they aren't kept whole."""
        return View(self.level, self._box(self.view)) if self.is_thin and self.view is not None else None

    def lacking(self) -> set[Hashable]:
        """The blocks that the view needs and that aren't in memory."""
        return set() if self.view is None else set(self._stock.lacking(self.level, self._box(self.view)))

    def wholes(self, keys: Iterable[Hashable]) -> list[Hashable]:
        """The blocks of which some keys mean as much as the view needs."""
        return [] if self.view is None else whole_keys(keys, plane_of(self._box(self.view)))

    def errors(self) -> list[StreamError]:
        """What is wrong with the view itself, if anything is."""
        return [does_not_fit(self._stock.memory.limit_bytes)] if self.fit.is_hopeless else []

    def full_bytes(self) -> int:
        """About how many bytes cross the line for all of the plane that is looked at; 0 where it is no plane."""
        if self.view is None or plane_of(self.view.box) is None:
            return 0
        pyramid, level = self._stock.pyramid, self.view.level
        return pyramid.wire_bytes(level, pyramid.size_bytes(level, self.view.box))

    def _box(self, view: View) -> Box:
        """Where a view lies in the level that is fetched for it."""
        return view.at(self._stock.pyramid, self.level)
