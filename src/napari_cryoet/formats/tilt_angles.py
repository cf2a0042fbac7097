"""Angle lists of tilt series (.rawtlt, .tlt): one tilt in degrees a line, in the order of the images."""

from __future__ import annotations

import math

from napari_cryoet.exceptions import FormatError

MAX_FILE_BYTES = 2**20

_LARGEST_DEGREE = 180.0


def parse_tilt_angles(content: bytes, where: str) -> tuple[float, ...]:
    """Read an angle list; empty lines are passed over.

    Parameters
    ----------
    content
        The whole file.
    where
        What to call it in messages.

    Raises
    ------
    FormatError
        If a line is not one angle.
    """
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"{where} is too large for a list of angles.")
    angles = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text:
            continue
        try:
            angle = float(text)
        except ValueError as error:
            raise FormatError(f"{where}: line {number} is no tilt in degrees: {text[:40]!r}.") from error
        if not math.fabs(angle) <= _LARGEST_DEGREE:  # what isn't a number compares false
            raise FormatError(f"{where}: line {number} is no tilt in degrees: {text[:40]!r}.")
        angles.append(angle)
    return tuple(angles)
