"""What napari's menus call: readers and sample data whose layers stream, and a command about citing.

napari wants layers at once, on its GUI thread. They are made on another thread, while the window goes on drawing, and
stream from their first slice on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

from napari import current_viewer
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.viewer import Viewer
from qtpy.QtCore import QCoreApplication, QEventLoop, QThread
from qtpy.QtWidgets import QApplication

from napari_cryoet import readers, sample_data
from napari_cryoet._qt.discs import show_as_discs
from napari_cryoet._qt.own_layers import key_of
from napari_cryoet._qt.progressive import attach
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.provenance import citation
from napari_cryoet.readers import LayerData, ReaderFunction
from napari_cryoet.streaming.pyramid import pyramid_of

T = TypeVar("T")

_POLL_MS = 10
_streaming_viewers: WeakSet[ViewerModel] = WeakSet()


def get_reader(path: str | Sequence[str]) -> ReaderFunction | None:
    """As `napari_cryoet.readers.get_reader`; the layers that are read stream."""
    read = wait_for(partial(readers.get_reader, path))
    return None if read is None else partial(_read, read)


def demo_run() -> list[LayerData]:
    """The demo's default run; the first time it is generated, which takes a while."""
    return _streaming(wait_for(sample_data.demo_run))


def copy_citations(viewer: Viewer) -> None:
    """Copy whom to cite for the selected layers, or for all of ours where none is selected."""
    abouts = [layer.metadata.get(METADATA_KEY) for layer in viewer.layers.selection or viewer.layers]
    texts = dict.fromkeys(citation(about) for about in abouts if isinstance(about, dict))
    clipboard = QApplication.clipboard()
    if clipboard is not None and texts:
        clipboard.setText("\n\n".join(text for text in texts if text))


def wait_for(work: Callable[[], T]) -> T:
    """Do something on another thread; on the GUI thread the window is drawn meanwhile, but takes no input."""
    application = QCoreApplication.instance()
    if application is None or QThread.currentThread() is not application.thread():
        return work()
    answer: list[T] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(work())
        except BaseException as caught:  # noqa: BLE001 - raised again where the answer is waited for
            error.append(caught)

    thread = threading.Thread(target=run, name="napari-cryoet read", daemon=True)
    thread.start()
    while thread.is_alive():
        application.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents, _POLL_MS)
        thread.join(_POLL_MS / 1000)
    if error:
        raise error[0]
    return answer[0]


def _read(read: ReaderFunction, path: Any) -> list[LayerData]:
    return _streaming(wait_for(partial(read, path)))


def _streaming(layers: list[LayerData]) -> list[LayerData]:
    """See to it that layers which napari is about to add will stream, and that picks show as discs."""
    viewer = current_viewer()
    if viewer is not None and viewer not in _streaming_viewers:
        _streaming_viewers.add(viewer)
        viewer.layers.events.inserted.connect(partial(_on_inserting, viewer), position="first")
    return layers


def _on_inserting(viewer: ViewerModel, event: Any) -> None:
    """Before napari slices a new layer for the first time."""
    layer = event.value
    if METADATA_KEY not in layer.metadata or key_of(layer) is not None:  # another's, or the dock's, which sees to it
        return
    pyramid = pyramid_of(layer.data) if isinstance(layer, Image | Labels) else None
    if pyramid is not None and getattr(layer._slicing_state, "status", None) is None:
        attach(layer, pyramid, viewer=viewer)
    show_as_discs(layer)
