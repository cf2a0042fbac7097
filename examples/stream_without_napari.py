"""Progressively load a plane of any OME-Zarr image: a minimal viewer of your own.

python examples/stream_without_napari.py https://host/image.zarr 120    (or s3://bucket/image.zarr,
or a path; without an address, the demo's first tomogram)
"""

import queue
import sys
from collections.abc import Callable

import numpy as np

from napari_cryoet import open_portal
from napari_cryoet.streaming import Display, open_pyramid


def watch_plane(address: str, index: int, draw: Callable[[np.ndarray, str], None]) -> np.ndarray:
    """Redraw a plane of a volume until it is exact, and return it."""
    pyramid = open_pyramid(address)  # the only blocking call
    events = (
        queue.SimpleQueue()
    )  # stands for a window's event queue; `on_change` may be called from any thread
    display = Display(pyramid, on_change=lambda: events.put("redraw"))
    try:
        while True:
            picture = np.asarray(display.levels[0][index])  # doesn't block: the best data in memory
            state = display.state
            draw(picture, "exact" if state.is_exact else f"{state.missing_blocks} blocks to come")
            if state.error is not None:
                raise state.error  # a window would offer `display.retry()`
            if state.is_exact:
                return picture
            events.get()
    finally:
        display.close()
        pyramid.close()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        address = sys.argv[1]
        index = int(sys.argv[2])
    else:
        address = open_portal("demo").run_page(9001).default_tomogram.https_omezarr_dir
        index = 12
    watch_plane(address, index, lambda picture, text: print(f"mean {picture.mean():.4g}, {text}"))
