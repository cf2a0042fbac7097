"""A real napari window under observation: what each frame showed, and how long its event loop stood still."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from slow_link import Truth, counted
from streaming_first_plane import LIMITS, SPACING_ANGSTROM, THREADS, rival_levels
from witness import Witnesses

#: A part is what napari may draw of a layer before it has a whole plane: a tile, or a coarser level as it is stored.
EXACT, LEVEL_1, COARSE, PART, BLANK, OTHER = "exact", "level 1", "coarse", "part", "blank", "other"
_WARM_UP_MS = 500


@dataclass(frozen=True, slots=True)
class Frame:
    """One drawing of the canvas."""

    at: float
    index: int
    quality: str


class Probe:
    """A window with one image of interest.

    Attributes
    ----------
    frames
        Every drawing since `begin`.
    axis
        Which axis the plane is across; 0 at first.
    """

    def __init__(self, url: str, folder: Path, variant: str) -> None:
        import dask.array
        import napari
        import zarr  # noqa: F401 - imported before any clock starts, as is what follows
        from napari.settings import get_settings
        from qtpy.QtCore import QTimer

        import napari_cryoet.layers.progressive  # noqa: F401
        from napari_cryoet._qt.tasks import Tasks
        from napari_cryoet._qt.warming import warm_up, warm_up_layers

        if variant.startswith("rival"):
            with contextlib.suppress(ImportError):
                import fsspec.implementations.http  # noqa: F401 - with aiohttp
        self.url, self.folder, self.variant = url, folder, variant
        if "default" not in variant:
            dask.config.set(num_workers=THREADS)
        get_settings().experimental.async_ = "async" in variant  # its file is a temporary one
        self.truth = Truth(folder)
        self.viewer = napari.Viewer()
        self.viewer.add_image(np.zeros((8, 8, 8), "f4"))  # the first layer of a process costs 0.8 s more
        self.layer: Any = None
        self.axis = 0
        self.frames: list[Frame] = []
        self._turns: list[float] = []
        self.began = 0.0
        self._witnesses = Witnesses()
        self._timer = QTimer()
        self._timer.timeout.connect(lambda: self._turns.append(time.perf_counter()))
        tasks = Tasks()
        running: list[object] = []
        tasks.started.connect(lambda key, _title: running.append(key))
        tasks.finished.connect(running.remove)
        warm_up(tasks)  # as the dock does while it waits for the portal's first answers
        warm_up_layers()
        self.wait_for(lambda: not running)
        canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(self._on_draw, position="last")
        self.wait(_WARM_UP_MS)
        self._timer.start(1)

    def warm_up_3d(self) -> None:
        """Let the window have drawn a volume before: that costs the same whatever comes."""
        self.viewer.dims.ndisplay = 3
        self.wait(_WARM_UP_MS)

    def clear(self) -> None:
        """Take away the layer that stood for the first of a process; napari looks for garbage after that."""
        self.viewer.layers.clear()
        self.wait(_WARM_UP_MS)

    def begin(self) -> None:
        """Count frames, stalls, bytes and time from now on."""
        counted(self.url)
        self.wait(20)
        self.frames.clear()
        self.began = time.perf_counter()
        self._turns[:] = [self.began]

    @property
    def is_ours(self) -> bool:
        """Whether layers stream through this package."""
        return self.variant.startswith("ours")

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self.began

    def longest_stall_s(self) -> float:
        """The longest time since `begin` in which the event loop did not turn."""
        turns = [*self._turns, time.perf_counter()]
        return max(later - earlier for earlier, later in itertools.pairwise(turns))

    def machine_stood_s(self) -> float:
        """The longest time since `begin` that even a process which does nothing was held up."""
        return self._witnesses.longest_s(self.began)

    def sent(self) -> dict[str, Any]:
        return counted(self.url)

    def wait(self, ms: int) -> None:
        from qtpy.QtTest import QTest

        QTest.qWait(ms)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 180.0) -> bool:
        """Turn the event loop until something is so, and once at least; False where it isn't in time."""
        end = time.perf_counter() + timeout_s
        self.wait(1)
        while not condition():
            if time.perf_counter() > end:
                return False
            self.wait(2)
        return True

    def in_thread(self, work: Callable[[], Any]) -> Any:
        """Do it in a thread while the event loop turns, as any viewer would open a file."""
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(work)
            self.wait_for(future.done)
        return future.result()

    def close(self) -> None:
        """Leave no process behind."""
        self._witnesses.close()

    # what is shown

    def open_image(self) -> None:
        """Add the volume the way of this variant."""
        self.prepare_image()()

    def prepare_image(self) -> Callable[[], None]:
        """Open the volume the way of this variant; what is returned adds it."""
        options = {"contrast_limits": LIMITS, "scale": (SPACING_ANGSTROM,) * 3}
        if self.is_ours:
            return self.prepare_ours("a.zarr", "image", options)
        levels = self._memory if self.variant == "in memory" else self.rival_levels("a.zarr")

        def add() -> None:
            self.layer = self.viewer.add_image(levels, multiscale=True, **options)

        return add

    def prepare_ours(self, name: str, kind: str, options: dict[str, Any]) -> Callable[[], None]:
        """Open something of ours; what is returned adds it, and makes it the layer of interest if it is an image."""
        from napari_cryoet import make_layer
        from napari_cryoet.layers.specs import LayerSpec
        from napari_cryoet.streaming import open_pyramid

        pyramid = self.in_thread(lambda: open_pyramid(f"{self.url}/{name}"))

        def add() -> None:
            layer, self.status = make_layer(LayerSpec(pyramid.levels, options, kind), viewer=self.viewer)
            self.layer = layer if kind == "image" else self.layer
            self.viewer.add_layer(layer)

        return add

    def load_memory(self) -> None:
        """Read the volume into memory, for the variant that shows how fast napari can be."""
        import zarr

        names = [f"{self.folder}/a.zarr/{level}" for level in range(3)]
        self._memory = [zarr.open_array(name, mode="r")[:] for name in names]

    def rival_levels(self, name: str) -> Any:
        """The levels of an image as the rival opens them."""
        return self.in_thread(lambda: rival_levels(f"{self.url}/{name}", is_patient="patient" in self.variant))

    def go_to(self, index: int) -> None:
        self.viewer.dims.set_current_step(self.axis, index)

    def look_across(self, axis: int) -> None:
        """Show planes across an axis."""
        self.axis = axis
        self.viewer.dims.order = (axis, *(other for other in range(3) if other != axis))

    def index(self) -> int:
        return int(self.viewer.dims.current_step[self.axis])

    def _on_draw(self, _event: Any) -> None:
        if self.layer is not None:
            self.frames.append(Frame(time.perf_counter() - self.began, self.index(), self.quality()))

    def quality(self) -> str:
        """How good the plane is that the layer holds now."""
        raw = self.layer._slice.image.raw
        if self.viewer.dims.ndisplay == 3 or raw.ndim != 2:
            return OTHER
        shown = self.truth.of_picture(raw, self.axis)
        exact = self.truth.plane(0, self.axis, self.index())
        if shown.shape != exact.shape:
            return PART if raw.size and np.ptp(raw) else OTHER  # one value all over is what there is before any slice
        if np.array_equal(shown, exact):
            return EXACT
        if np.all((shown == exact) | (shown == self.truth.plane(1, self.axis, self.index()))):
            return LEVEL_1
        return BLANK if np.mean(shown == 0) > 0.01 else COARSE

    def is_exact(self) -> bool:
        """Whether what was drawn last is the exact plane."""
        return bool(self.frames) and self.frames[-1].index == self.index() and self.frames[-1].quality == EXACT

    def first(self, *qualities: str, index: int | None = None) -> float | None:
        """When a frame first showed one of these."""
        index = self.index() if index is None else index
        return next((f.at for f in self.frames if f.quality in qualities and f.index == index), None)
