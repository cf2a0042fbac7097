"""What single arguments may be, each a function for argparse that returns the value or says what is wrong."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

KEPT = ("metadata", "demo", "pixels")


def record_id(kind: str, prefix: str) -> Callable[[str], int]:
    """Return a type of argument: the number of an id of one kind as the portal writes it, ``506`` or ``RN-506``."""

    def number(text: str) -> int:
        match = re.fullmatch(r"(?:([A-Za-z]{2,5})-)?([0-9]{1,9})", text.strip())
        if not match:
            raise argparse.ArgumentTypeError(f"{text!r} is no id; ids look like 506 or {prefix}-506")
        if match[1] and match[1].upper() != prefix:
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind}; ids of those look like 506 or {prefix}-506")
        return int(match[2])

    return number


deposition_id = record_id("deposition", "CZCDP")
dataset_id = record_id("dataset", "DS")
run_id = record_id("run", "RN")
annotation_id = record_id("annotation", "AN")
alignment_id = record_id("alignment", "AL")


def which_annotations(text: str) -> str | tuple[int, ...]:
    """Return which annotations are meant: a word, or their ids."""
    if text in ("all", "default", "none"):
        return text
    return tuple(annotation_id(part) for part in text.split(","))


def words_of(allowed: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a type of argument: some of the allowed words, with commas between them."""

    def words(text: str) -> tuple[str, ...]:
        found = tuple(part.strip() for part in text.split(",") if part.strip())
        unknown = [word for word in found if word not in allowed]
        if unknown or not found:
            raise argparse.ArgumentTypeError(f"{text!r}: say {', '.join(allowed)}, several with commas")
        return found

    return words


def window_size(text: str) -> tuple[int, int]:
    """Return a window's width and height in pixels."""
    match = re.fullmatch(r"([0-9]{2,5})[x×]([0-9]{2,5})", text)
    if not match or not all(200 <= int(pixels) <= 16384 for pixels in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is no window size; they look like 1280x800")
    return int(match[1]), int(match[2])


def cache_limit(text: str) -> int | None:
    """Return a number of bytes, or None for the default."""
    from napari_cryoet.streaming.disk_settings import parse_size

    try:
        return None if text.strip().lower() == "default" else parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, or default") from error


def kept_thing(text: str) -> str:
    """Return what of all that is kept on disk is meant."""
    if text not in KEPT:
        raise argparse.ArgumentTypeError(f"{text!r}: say {', '.join(KEPT)}")
    return text


def megabytes(text: str) -> int:
    """Return a whole number of megabytes."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of megabytes; say for example 200")
    return int(text)


def angstrom(text: str) -> float:
    """Return a length in ångström."""
    try:
        angstrom = float(text)
    except ValueError:
        angstrom = 0.0
    if not 0 < angstrom < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no length in ångström; say for example 13.48")
    return angstrom


def volume_shape(text: str) -> tuple[int, int, int]:
    """Return how many voxels a volume has along z, y, x."""
    match = re.fullmatch(r"([1-9][0-9]{0,6})[,x×]([1-9][0-9]{0,6})[,x×]([1-9][0-9]{0,6})", text.replace(" ", ""))
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no size along z, y, x; say for example 1000,928,960")
    return int(match[1]), int(match[2]), int(match[3])


def port(text: str) -> int:
    """Return a port's number."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; ports are 0 to 65535")
    return int(text)


def positive_number(text: str) -> float:
    """Return a positive number."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return number


def share(text: str) -> float:
    """Return a positive number up to 1."""
    number = positive_number(text)
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return number


def one_or_two_spacings(text: str) -> tuple[float, ...]:
    """Return the voxel spacings of two files in ångström, or the one that was said of both."""
    spacings = tuple(angstrom(part) for part in text.split(","))
    if len(spacings) in (1, 2):
        return spacings
    raise argparse.ArgumentTypeError(f"{text!r}: say one voxel spacing, or two with a comma")


def symmetry(text: str) -> str:
    """Return a rotational symmetry, as C4."""
    if not re.fullmatch(r"[Cc][1-9][0-9]{0,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: say C1, C2, C3, …")
    return text.upper()


def seconds(text: str) -> float:
    """Return a time in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return seconds
