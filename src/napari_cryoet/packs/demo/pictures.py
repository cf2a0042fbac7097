"""Key photos: a few planes of a volume as PNG, in the portal's sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SIZES: Final = {"original": None, "snapshot": 512, "thumbnail": 134, "expanded": 1024}
"""Longest side in pixels of each of a tomogram's key photos; None is the volume's own."""
_SLAB: Final = 3


def central_slab(volume_zyx: NDArray[Any]) -> NDArray[np.uint8]:
    """The mean of the middle planes as grey values, with robust contrast; shape (y, x)."""
    middle = volume_zyx.shape[0] // 2
    planes = volume_zyx[max(middle - _SLAB // 2, 0) : middle + _SLAB // 2 + 1].mean(axis=0)
    low, high = np.percentile(planes, (0.5, 99.5))
    scaled = np.clip((planes - low) / max(float(high - low), 1e-9), 0, 1)
    return np.asarray(np.round(scaled * 255), dtype=np.uint8)


def save_png(path: Path, picture: NDArray[np.uint8], longest_side: int | None) -> None:
    """Write a grey picture, enlarged or reduced so that its longer side has that many pixels."""
    from PIL import Image

    image = Image.fromarray(picture)
    if longest_side is not None:
        factor = longest_side / max(image.size)
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def save_key_photos(folder: Path, picture: NDArray[np.uint8]) -> None:
    """A tomogram's four key photos, named as the portal does."""
    for name, longest_side in SIZES.items():
        save_png(folder / f"key-photo-{name}.png", picture, longest_side)


def save_cover(folder: Path, picture: NDArray[np.uint8]) -> None:
    """The snapshot and thumbnail of a dataset or deposition."""
    save_png(folder / "snapshot.png", picture, SIZES["snapshot"])
    save_png(folder / "thumbnail.png", picture, SIZES["thumbnail"])
