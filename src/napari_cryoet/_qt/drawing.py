"""Masks that are drawn in with the mouse while they stream: the window doesn't wait for values under the brush.

napari reads what is under each dab first, to be able to undo it. What hasn't come yet can't be drawn on: that is said,
and it is fetched, so that one can a moment later. Scripts that paint wait, as they do for all that they read.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from napari.utils.notifications import show_info

from napari_cryoet._qt.napari_internals import DrawnByHand
from napari_cryoet.errand import NoThreadError, started
from napari_cryoet.exceptions import NotHereError
from napari_cryoet.streaming.exact import without_waiting
from napari_cryoet.wording import plain


class DrawsOnWhatIsHere(DrawnByHand):
    """Over a labels layer: no wait for what is drawn on."""

    _fetched: Future[object] | None = None

    def draw_by(self, draw: Callable[[], None]) -> None:
        """Draw, or say why not; what was drawn of a stroke stays."""
        try:
            with without_waiting():
                draw()
        except NotHereError as error:
            self._fetch(error)

    def _fetch(self, missing: NotHereError) -> None:
        """Have it come, and say so once until it is there."""
        if self._fetched is not None and not self._fetched.done():
            return
        with suppress(NoThreadError):
            self._fetched = started(missing.fetch)
        name = plain(str(getattr(self, "name", "")))
        show_info(f"“{name}” hasn't come yet where you draw. It is being fetched; draw there again in a moment.")
