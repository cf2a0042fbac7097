"""Watch a plane of any OME-Zarr image sharpen, without napari: all that a viewer of your own has to do.

python examples/stream_without_napari.py https://host/image.zarr 120    (or s3://bucket/image.zarr, or a path)
"""

import argparse
import queue
from collections.abc import Callable

import numpy as np

from napari_cryoet.streaming import open_pyramid


def watch_plane(address: str, index: int, draw: Callable[[np.ndarray, str], None]) -> np.ndarray:
    """Draw a plane again and again until it is exact; of the first moment and channel, where there are several."""
    pyramid = open_pyramid(address)  # the only thing here that waits: better done in a thread
    n_axes = len(pyramid.shapes[0])
    where = (*(0 for _ in range(n_axes - 3)), index) if n_axes > 2 else ()
    turns = queue.SimpleQueue()  # stands for the window's event queue, since `on_change` is called on any thread
    display = pyramid.display(on_change=lambda: turns.put("look again"))
    try:
        while True:
            display.right_of_way.take()  # threads that decode let the window go first
            picture = np.asarray(display.levels[0][where])  # at once: the best that is in memory
            state = display.state
            draw(picture, "exact" if state.is_exact else f"{state.missing_blocks} blocks to come")
            display.right_of_way.give_back()
            if state.error is not None:
                raise state.error  # a window would offer `display.retry()`
            if state.is_exact:
                return picture
            if state.is_limited and not state.missing_blocks:
                display.largest_view_bytes = 2**62  # a window would ask first: about state.full_bytes have to come
            turns.get()
    finally:
        display.close()
        pyramid.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="http(s):// or s3:// address, or path")
    parser.add_argument("index", type=int, nargs="?", default=0, help="which plane along z, the last axis but two")
    given = parser.parse_args()
    watch_plane(given.address, given.index, lambda picture, told: print(f"mean {picture.mean():.4g}, {told}"))


if __name__ == "__main__":
    main()
