"""How large a volume this graphics card can draw, and whether there is one at all."""

from __future__ import annotations

import logging
from functools import cache

from vispy.gloo import gl
from vispy.gloo.context import get_current_canvas

log = logging.getLogger(__name__)

_GL_MAX_3D_TEXTURE_SIZE = 0x8073  # which vispy has no name for
#: How drivers call themselves that draw with the processor: Mesa's, Chromium's, those of Windows and of macOS.
_SOFTWARE = ("llvmpipe", "softpipe", "software", "swiftshader", "gdi generic", "microsoft basic render")


def largest_texture_side() -> int | None:
    """The longest side of a volume that can be drawn, in voxels; None while nothing has been drawn yet."""
    return None if get_current_canvas() is None else _asked_side()


@cache
def _asked_side() -> int | None:
    """Ask the driver, in whose context the canvas was drawn last; it doesn't change."""
    side = int(gl.glGetParameter(_GL_MAX_3D_TEXTURE_SIZE) or 0)
    log.debug("Volumes may have sides of %d voxels", side)
    return side or None


def draws_in_software() -> bool | None:
    """Whether there is no graphics card, so that volumes take long to draw; None while nothing has been drawn yet."""
    return None if get_current_canvas() is None else is_software(_asked_name())


def is_software(driver: str) -> bool:
    """Whether a driver draws with the processor, by how it calls itself."""
    return any(name in driver.lower() for name in _SOFTWARE)


@cache
def _asked_name() -> str:
    name = str(gl.glGetParameter(gl.GL_RENDERER) or "")
    log.debug("Volumes are drawn by %s", name)
    return name
