"""Sample data: a run of the demo, generated on this computer the first time."""

from __future__ import annotations

import threading

from napari_cryoet.demo import ensure_demo_pack
from napari_cryoet.demo.content import RUNS
from napari_cryoet.readers import LayerData, read_pack


def demo_run(*, stop: threading.Event | None = None) -> list[LayerData]:
    """The demo's default run: its tomogram and the annotations that are shown with it."""
    return read_pack(ensure_demo_pack(stop=stop), RUNS[0].id, stop=stop)
