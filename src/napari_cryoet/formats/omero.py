"""The channels of an OME-Zarr image as its ``omero`` metadata describe them: names, colours, display windows.

The specification calls this part transitional: any of it may be missing or odd, and then it counts as not said.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

_MAX_CHANNELS = 4096


@dataclass(frozen=True, slots=True)
class Channel:
    """How one channel is to be shown.

    Attributes
    ----------
    name
        What it is called, empty where the file doesn't say.
    color
        As ``#rrggbb``, empty where the file doesn't say.
    window
        The values that are drawn darkest and brightest, or None where the file doesn't say.
    is_visible
        Whether it is shown at first.
    """

    name: str = ""
    color: str = ""
    window: tuple[float, float] | None = None
    is_visible: bool = True


def parse_channels(attributes: dict[str, Any]) -> tuple[Channel, ...]:
    """The channels of a group's attributes, in their order; empty where there is nothing about them.

    Parameters
    ----------
    attributes
        The content of ``.zattrs``, or ``attributes`` of ``zarr.json``.
    """
    ome = attributes.get("ome")
    omero = (ome if isinstance(ome, dict) else attributes).get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    return tuple(map(_channel, channels[:_MAX_CHANNELS])) if isinstance(channels, list) else ()


def _channel(entry: Any) -> Channel:
    if not isinstance(entry, dict):
        return Channel()
    label, color = entry.get("label"), entry.get("color")
    return Channel(
        name=label if isinstance(label, str) else "",
        color=f"#{color.lower()}" if isinstance(color, str) and re.fullmatch("[0-9A-Fa-f]{6}", color) else "",
        window=_window(entry.get("window")),
        is_visible=entry.get("active") is not False,
    )


def _window(entry: Any) -> tuple[float, float] | None:
    limits: list[Any] = [entry.get("start"), entry.get("end")] if isinstance(entry, dict) else []
    if not limits or not all(type(limit) in {int, float} and math.isfinite(limit) for limit in limits):
        return None
    start, end = map(float, limits)
    return (start, end) if start < end else None
