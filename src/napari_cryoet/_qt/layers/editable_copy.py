"""A copy of a streamed mask as an array in memory, since only such can be painted."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Labels
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.streaming import Pyramid, pyramid_of
from napari_cryoet.wording import plain


def make_editable_copy(viewer: Viewer) -> None:
    """Add a copy in memory of each selected mask that streams, once all of its voxels have come."""
    masks = [layer for layer in viewer.layers.selection if isinstance(layer, Labels)]
    pyramids = {mask: pyramid for mask in masks if (pyramid := pyramid_of(mask.data)) is not None}
    if not pyramids:
        show_info("Select a mask that streams. Others can be painted as they are.")
    for mask, pyramid in pyramids.items():
        worker = create_worker(_read, pyramid, _progress={"desc": f"Copying {mask.name}"})
        _, options, _ = mask.as_layer_data_tuple()
        worker.returned.connect(partial(_add, viewer, options))
        worker.start()


def _read(pyramid: Pyramid) -> Any:
    """All voxels, or why they can't be had."""
    try:
        return pyramid.read(0)
    except (CryoETError, MemoryError) as error:
        return error


def _add(viewer: Viewer, options: dict[str, Any], answer: Any) -> None:
    if isinstance(answer, MemoryError):
        show_error(plain(f"{options['name']} doesn't fit into memory."))
    elif isinstance(answer, CryoETError):
        show_error(plain(str(answer)))
    else:
        own = {"name": f"{options['name']} (copy)", "multiscale": False, "visible": True}
        viewer.add_labels(answer, **options | own)
