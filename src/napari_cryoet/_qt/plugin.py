"""What napari calls: the reader's work, sample data and menu commands.

napari calls readers on its GUI thread and waits for the layers. Files are read on another thread so
that the window keeps drawing, and the layers stream from their first slice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error, show_info, show_warning
from numpy.typing import NDArray

from napari_cryoet._qt.layers.colors import shown_color_of
from napari_cryoet._qt.layers.ownership import about_of, add_layer
from napari_cryoet._qt.layers.types import Image
from napari_cryoet._qt.rooms import opener_of
from napari_cryoet._qt.seam import open_viewers, show_in_full
from napari_cryoet._qt.tasks import Job, wait_for
from napari_cryoet._qt.viewer.adding import NOT_YET, adopt_layers_of, warm_up_for
from napari_cryoet._qt.widgets.controls import (
    agrees,
    copy_text,
    main_window,
    viewer_of_a_person,
    viewer_of_thread,
    viewer_to_ask_in,
)
from napari_cryoet.exceptions import CryoETError, MissingContextError, StoppedError
from napari_cryoet.layers import readers
from napari_cryoet.layers.readers import LayerData, ReaderFunction
from napari_cryoet.layers.specs import METADATA_KEY, LayerKind
from napari_cryoet.locations import Location
from napari_cryoet.network.policy import recall_once
from napari_cryoet.provenance import Provenance
from napari_cryoet.records import PORTAL_TERMS
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.wording import count_text, plain, size_text

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

#: Tells napari that there is nothing to add, without an error.
_NO_LAYERS = cast(list[LayerData], [(None,)])
_SLAB_PLANES: Final = 64


def reader_for(path: str | Sequence[str]) -> ReaderFunction | None:
    """Like `readers.find_reader`, but layers stream and refused paths show the reason.

    Views, lessons, zipped packs and pages of the portal open in the current window's dock.
    """
    recall_once()
    try:
        text = readers.only_path(path)
        if _is_for_dock(text):
            return _open_in_dock
        read, reason = wait_for(lambda _job: readers.find_reader(path))
    except CryoETError as error:
        nothing = _refused(error)
        return lambda _path: nothing
    if read is not None:
        return partial(_read, read)
    if reason and viewer_to_ask_in() is not None:  # napari itself doesn't show the reason
        show_in_full(plain(f"CryoET Explorer leaves this to other readers. {reason}"), "info")
    return None


def _is_for_dock(text: str) -> bool:
    """Whether the dock opens it: a page of the portal, a zipped pack, or what a room opens."""
    if opener_of(text) is not None:
        return True
    if text.startswith(PORTAL_TERMS.site):
        from napari_cryoet.portal.links import parse_jump

        return parse_jump(text) is not None
    if not text.lower().endswith(".zip") or viewer_to_ask_in() is None:
        return False
    from napari_cryoet.packs.zipped import is_zipped_pack

    local = Location.of(text).path
    return local is not None and is_zipped_pack(local)


def _open_in_dock(path: Any) -> list[LayerData]:
    from napari_cryoet._qt.widgets.dock import BROWSER, open_dock

    viewer = viewer_of_thread()
    if viewer is not None:  # as napari opens files of its command line, its window isn't shown yet
        open_dock(viewer, BROWSER).open_link(readers.only_path(path))
    return _NO_LAYERS


def demo_run() -> list[LayerData]:
    """The layers of the demo's default run.

    The first call generates the demo, which takes a while.
    """
    return _prepared(wait_for(lambda _job: readers.read_demo_run()))


def copy_citations(viewer: Viewer) -> None:
    """Copy the citations of the selected layers, or of all layers if none is selected, to the clipboard."""
    layers = list(viewer.layers.selection or viewer.layers)
    texts = [text for text in (about_of(layer).citation for layer in layers) if text]
    if not texts:
        show_info(
            "Nothing was copied: these layers have no citations. Select layers that the portal dock opened."
        )
        return
    copy_text("\n\n".join(dict.fromkeys(texts)))
    others = (
        f" {count_text(len(layers) - len(texts), 'other layer')} had none."
        if len(texts) < len(layers)
        else ""
    )
    show_info(f"Copied the citations of {count_text(len(texts), 'layer')}.{others}")


def restore_contrast(viewer: Viewer) -> None:
    """Set the contrast that the selected tomograms were opened with."""
    for layer in viewer.layers.selection:
        if isinstance(layer, Image):
            layer.restore_contrast()


def make_editable_copy(viewer: Viewer) -> None:
    """Add an editable copy of each selected mask that streams, after asking about its size."""
    masks = [
        layer
        for layer in viewer.layers.selection
        if isinstance(layer, Labels) and pyramid_of(layer.data) is not None
    ]
    if not masks:
        show_info("Select a mask that streams. Other masks can be painted directly.")
        return
    asking_viewer = viewer_to_ask_in()
    window = None if asking_viewer is None else main_window(asking_viewer)
    for mask in masks:
        try:
            _copy_mask(viewer, mask, pyramid_of(mask.data), window)
        except StoppedError:
            show_info(f"Stopped; {plain(mask.name)} wasn't copied.")
            return
        except CryoETError as error:
            show_error(plain(str(error)))


def _copy_mask(viewer: Viewer, mask: Labels, pyramid: Any, window: QWidget | None) -> None:
    memory = size_text(math.prod(pyramid.shapes[0]) * pyramid.dtype.itemsize)
    download = f", and up to {size_text(pyramid.wire_bytes(0))} to download"
    is_agreed = window is None or agrees(
        window,
        "Copy a mask",
        f"Load all of {plain(mask.name)} into memory?",
        details=f"It takes {memory} of memory{download if pyramid.server else ''}.",
        verb="Copy",
        is_harmless=True,
    )
    if not is_agreed:
        return
    title = f"Copying {plain(mask.name)}…"
    voxels = wait_for(partial(_read_whole, pyramid), title=title, parent=window)
    _, options, _ = mask.as_layer_data_tuple()
    own = {"name": f"copy · {options['name']}", "multiscale": False, "visible": True}
    add_layer(viewer, Labels(voxels, **options | own))


def _read_whole(pyramid: Any, job: Job) -> NDArray[Any]:
    """All voxels of the finest level, read in slabs to report progress."""
    shape = pyramid.shapes[0]
    voxels = np.empty(shape, pyramid.dtype)
    for start in range(0, shape[0], _SLAB_PLANES):
        end = min(start + _SLAB_PLANES, shape[0])
        box = ((start, end), *((0, size) for size in shape[1:]))
        voxels[start:end] = pyramid.read(0, box, task=job)
        job.step(end / shape[0])
    return voxels


def _read(read: ReaderFunction, path: Any) -> list[LayerData]:
    def read_warm(_job: Job) -> list[LayerData] | MissingContextError:
        try:
            layers = read(path)
        except MissingContextError as error:
            return error
        warm_up_for(kind for _, _, kind in layers)
        return layers

    try:
        found = wait_for(read_warm)
        if isinstance(found, MissingContextError) or any(kind == "points" for _, _, kind in found):
            from napari_cryoet._qt.files.questions import completed

            found = completed(found, path)
        layers = _prepared(found)
    except CryoETError as error:
        return _refused(error)
    if not layers:
        return _NO_LAYERS
    if not any(
        _is_of_portal(options) for _, options, _ in layers
    ):  # portal annotations are coloured by object
        shown = (shown_color_of(layer) for viewer in open_viewers() for layer in viewer.layers)
        layers = readers.with_own_color(layers, filter(None, shown))
    abouts = [_about(options) for _, options, _ in layers]
    for warning in dict.fromkeys(warning for about in abouts for warning in about.warnings):
        show_warning(plain(warning))
    return layers


def _is_of_portal(options: dict[str, Any]) -> bool:
    about = _about(options)
    return about.annotation_id is not None and not about.edits


def _about(options: dict[str, Any]) -> Provenance:
    return Provenance.of(options.get("metadata", {}).get(METADATA_KEY))


def _refused(error: CryoETError) -> list[LayerData]:
    """Show the whole message of an error, and add no layers; scripts get the error.

    Raised for a person, napari would cover the message with its own, and not open further files.
    """
    if viewer_to_ask_in() is not None:
        show_in_full(plain(str(error)), "error")
    if viewer_of_a_person() is None:
        raise error
    return _NO_LAYERS


def _prepared(layers: list[LayerData]) -> list[LayerData]:
    """Prepare layer data so that napari's new layers become our own types, like those that the dock opens."""
    viewers = open_viewers()  # napari doesn't tell readers which viewer the layers are for
    for viewer in viewers:
        adopt_layers_of(viewer)
    return [_hidden(*layer) for layer in layers] if viewers else layers


def _hidden(data: Any, options: dict[str, Any], kind: LayerKind) -> LayerData:
    """Hide a layer until it streams: napari would block while it reads exact values for a visible one."""
    if (
        kind not in {"image", "labels"}
        or pyramid_of(data) is None
        or not options.get("visible", True)
    ):
        return data, options, kind
    return data, options | {"visible": NOT_YET}, kind
