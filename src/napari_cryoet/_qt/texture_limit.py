"""How large a volume this graphics card can draw."""

from __future__ import annotations

import logging
from functools import cache

from vispy.gloo import gl
from vispy.gloo.context import get_current_canvas

log = logging.getLogger(__name__)

_GL_MAX_3D_TEXTURE_SIZE = 0x8073  # which vispy has no name for


def largest_texture_side() -> int | None:
    """The longest side of a volume that can be drawn, in voxels; None while nothing has been drawn yet."""
    return None if get_current_canvas() is None else _asked_side()


@cache
def _asked_side() -> int | None:
    """Ask the driver, in whose context the canvas was drawn last; it doesn't change."""
    side = int(gl.glGetParameter(_GL_MAX_3D_TEXTURE_SIZE) or 0)
    log.debug("Volumes may have sides of %d voxels", side)
    return side or None
