"""Masks that are drawn in with the mouse while they stream: the window doesn't wait for values under the brush.

napari reads what is under each dab first, to be able to undo it. What hasn't come yet can't be drawn on: that is said,
and it is fetched, so that one can a moment later; or why it can't be had, as in offline mode. Scripts that paint wait,
as they do for all that they read.

In 3D napari looks for what lies under the mouse voxel by voxel, for which dask's arrays have no way: nothing is drawn,
and that is said, too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from dask.base import is_dask_collection
from napari.utils.notifications import show_info, show_warning

from napari_cryoet._qt.napari_internals import DrawnByHand, is_sliced_in_3d
from napari_cryoet.errand import NoThreadError, started
from napari_cryoet.exceptions import NotHereError
from napari_cryoet.streaming.exact import without_waiting
from napari_cryoet.wording import plain

_AGAIN_S: Final = 3.0  # a stroke is many dabs
_IN_3D: Final = (
    "Nothing can be drawn on “{name}” in 3D while it streams. Switch the view to 2D and draw in planes; what is drawn "
    "there is seen in 3D, too."
)


class DrawsOnWhatIsHere(DrawnByHand):
    """Over a labels layer: no wait for what is drawn on."""

    name: Any
    data: Any
    ndim: Any
    _fetched: Future[object] | None = None
    _fetched_at = -math.inf

    def may_draw(self) -> bool:
        """Whether something can be drawn in this view; where it can't, that is said."""
        layer: Any = self
        is_in_vain = self.ndim > 2 and is_sliced_in_3d(layer) and is_dask_collection(self.data)
        if is_in_vain:
            show_warning(_IN_3D.format(name=plain(str(self.name))))
        return not is_in_vain

    def draw_by(self, draw: Callable[[], None]) -> None:
        """Draw, or say why not; what was drawn of a stroke stays."""
        try:
            with without_waiting():
                draw()
        except NotHereError as error:
            self._fetch(error)

    def _fetch(self, missing: NotHereError) -> None:
        """Have it come, and say so once until it is there; where it couldn't be had, why, and try that again."""
        if self._fetched is not None and not self._fetched.done():
            return
        fault = None if self._fetched is None else self._fetched.exception()
        if fault is not None and time.monotonic() - self._fetched_at < _AGAIN_S:
            return
        with suppress(NoThreadError):
            self._fetched, self._fetched_at = started(missing.fetch), time.monotonic()
        name = f"“{plain(str(self.name))}”"
        if fault is None:
            show_info(f"{name} hasn't come yet where you draw. It is being fetched; draw there again in a moment.")
        else:
            show_warning(f"{name} can't be had where you draw: {plain(str(fault))}")
