"""What napari's menus call: readers and sample data whose layers stream, and a command about citing.

napari wants layers at once, on its GUI thread. They are made on another thread, while the window goes on drawing, and
stream from their first slice on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from napari.layers import Labels
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info, show_warning
from napari.viewer import Viewer
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.files.questions import read_asking, viewer_to_ask_in
from napari_cryoet._qt.layers.colors import appearance_of
from napari_cryoet._qt.layers.manager import NOT_YET, adopt_layers_of
from napari_cryoet._qt.layers.ownership import add_layer
from napari_cryoet._qt.settings import recall_once
from napari_cryoet._qt.streaming.seam import open_viewers
from napari_cryoet._qt.tasks import Job, wait_for, warm_up_layers
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers import readers
from napari_cryoet.layers.readers import LayerData, ReaderFunction
from napari_cryoet.layers.specs import METADATA_KEY, LayerKind
from napari_cryoet.provenance import citation
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.wording import count_text, plain

T = TypeVar("T")

#: How napari is told that there is nothing to add, and that this is no error.
_NO_LAYERS = cast(list[LayerData], [(None,)])


def get_reader(path: str | Sequence[str]) -> ReaderFunction | None:
    """As that of `napari_cryoet.layers.readers`; the layers stream, and what is declined is told why."""
    recall_once()
    read, reason = _said(lambda: wait_for(lambda _job: readers.find_reader(path)))
    if read is not None:
        return partial(_read, read)
    if reason and viewer_to_ask_in() is not None:  # napari says only that a plugin refused, if it tries no other
        show_info(plain(f"The CryoET Data Portal plugin leaves this to other readers. {reason}"))
    return None


def demo_run() -> list[LayerData]:
    """The demo's default run; the first time it is generated, which takes a while."""
    return _adopted(wait_for(lambda _job: readers.read_demo_run()))


def copy_citations(viewer: Viewer) -> None:
    """Copy whom to cite for the selected layers, or for all of ours where none is selected; and say so."""
    layers = list(viewer.layers.selection or viewer.layers)
    abouts = [about for layer in layers if isinstance(about := layer.metadata.get(METADATA_KEY), dict)]
    texts = [text for text in map(citation, abouts) if text]
    clipboard = QApplication.clipboard()
    if not texts or clipboard is None:
        show_info(
            "Nothing was copied: none of these layers says whom to cite. Select layers that the portal's dock opened."
        )
        return
    clipboard.setText("\n\n".join(dict.fromkeys(texts)))
    others = f" {count_text(len(layers) - len(texts), 'other layer')} didn't say." if len(texts) < len(layers) else ""
    show_info(f"Copied whom to cite for {count_text(len(texts), 'layer')}.{others}")


def make_editable_copy(viewer: Viewer) -> None:
    """Add a copy in memory of each selected mask that streams, once all of its voxels have come."""
    masks = [layer for layer in viewer.layers.selection if isinstance(layer, Labels)]
    pyramids = {mask: pyramid for mask in masks if (pyramid := pyramid_of(mask.data)) is not None}
    if not pyramids:
        show_info("Select a mask that streams. Others can be painted as they are.")
    for mask, pyramid in pyramids.items():
        worker = create_worker(pyramid.read, 0, _progress={"desc": f"Copying {mask.name}"})
        _, options, _ = mask.as_layer_data_tuple()
        worker.returned.connect(partial(_add_copy, viewer, options))
        worker.start()


def _read(read: ReaderFunction, path: Any) -> list[LayerData]:
    def read_warm(_job: Job) -> list[LayerData]:
        warm_up_layers()
        return read(path)

    layers = _said(lambda: _adopted(read_asking(lambda: wait_for(read_warm), path)))
    if not layers:
        return _NO_LAYERS
    if not any(_is_of_portal(options) for _, options, _ in layers):  # those have the colours of their objects
        shown = (appearance_of(layer).color for viewer in open_viewers() for layer in viewer.layers)
        layers = readers.with_own_color(layers, filter(None, shown))
    abouts = [options.get("metadata", {}).get(METADATA_KEY, {}) for _, options, _ in layers]
    for warning in dict.fromkeys(warning for about in abouts for warning in about.get("warnings", ())):
        show_warning(plain(warning))
    return layers


def _is_of_portal(options: dict[str, Any]) -> bool:
    about = options.get("metadata", {}).get(METADATA_KEY, {})
    return bool(about.get("annotation_id")) and not about.get("edits")


def _said(work: Callable[[], T]) -> T:
    """What a function gives; an error of ours is shown where there is a window, for napari says only that it failed."""
    try:
        return work()
    except CryoETError as error:
        if viewer_to_ask_in() is not None:
            show_error(plain(str(error)))
        raise


def _adopted(layers: list[LayerData]) -> list[LayerData]:
    """See to it that what napari is about to make layers of becomes layers like the dock's, in whichever viewer."""
    viewers = open_viewers()  # napari doesn't say which of them asks
    for viewer in viewers:
        adopt_layers_of(viewer)
    return [_hidden(*layer) for layer in layers] if viewers else layers


def _hidden(data: Any, options: dict[str, Any], kind: LayerKind) -> LayerData:
    """What streams, hidden until it does: of a visible layer napari would read exact values, and wait for them."""
    if kind not in {"image", "labels"} or pyramid_of(data) is None or not options.get("visible", True):
        return data, options, kind
    return data, options | {"visible": NOT_YET}, kind


def _add_copy(viewer: Viewer, options: dict[str, Any], voxels: Any) -> None:
    own = {"name": f"{options['name']} (copy)", "multiscale": False, "visible": True}
    add_layer(viewer, Labels(voxels, **options | own))
