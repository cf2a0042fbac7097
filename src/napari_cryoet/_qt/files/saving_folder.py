"""What napari's *Save all layers…* calls for several layers of picks and masks: a new folder, one file a layer.

Of picks, napari's own folders keep no rotations, no voxel spacing and nothing of where they come from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import npe2
from napari.utils.notifications import show_info, show_warning

from napari_cryoet._qt.files.asking import may_write, window_to_ask_in
from napari_cryoet._qt.files.saving import (
    MASK_ENDING,
    MOVED,
    is_moved,
    losses_to_say,
    mask_writer,
    picks_in,
    refuse_other_vectors,
)
from napari_cryoet._qt.layers.alignment import spacing_angstrom
from napari_cryoet._qt.tasks import Job, wait_for
from napari_cryoet.download.plan import clean_name
from napari_cryoet.exceptions import StoppedError
from napari_cryoet.files import refuse_existing, written_whole
from napari_cryoet.formats.registry import SUFFIXES, format_for, format_of_name, write_picks
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY

Layer = tuple[Any, dict[str, Any], str]
_Progress = Callable[[int, int | None], None]
_Write = Callable[[Path, _Progress, threading.Event], object]

#: What picks are written as where the name of the folder says nothing: the portal's format, which holds all with what
#: stands beside.
_FORMAT: Final = ".ndjson"
_NAPARIS: Final = {"points": ".csv", "labels": ".tif", "image": ".tif"}
_NO_SPACING: Final = "A TIFF file keeps no voxel spacing."


def write_folder(path: str, layers: list[Layer]) -> list[str]:
    """Write several layers into a new folder, all or none of them.

    Layers that are neither picks of ours nor say how wide their voxels are, and a person's own images, go to napari's
    own writers, as before. Volumes that were opened, and surfaces, aren't written, and that is said.

    Parameters
    ----------
    path
        Of the folder. If it ends as a format of picks does, they are written in that, and the ending isn't part of the
        folder's name.
    layers
        Data, options and kind of each, as napari hands them to writers.

    Raises
    ------
    ExistsError
        If there is something of that name.
    SaveError
        If a layer can't be written, or there are vectors that don't show picks, and would be lost.
    """
    refuse_other_vectors(layers)
    if not any(_is_ours(layer) or _is_left_out(layer) for layer in layers):
        found: list[str] = npe2.PluginManager.instance().commands.execute("napari.write_directory", args=(path, layers))
        return found
    folder, suffix = _folder_and_suffix(Path(path))
    refuse_existing(folder, overwrite=False)
    writes = dict[str, _Write]()
    left_out, lost = [], dict[str, list[str]]()
    for layer in layers:
        _, meta, kind = layer
        title = name = str(meta.get("name") or kind)
        if kind == "vectors":  # they say no more than the picks
            continue
        if _is_left_out(layer):
            left_out.append(f"{name} isn't written: only picks and masks are.")
            continue
        ending = _ending_of(layer, suffix)
        # the ending isn't part of what is made to fit, or it would be cut off, or go before what is added
        taken = {each.casefold() for each in writes}
        while (file := f"{clean_name(title)}{ending}").casefold() in taken:
            title = f"{title}_"  # layers may have the same name, or names that differ by case alone
        writes[file], losses = _writing(layer, file)
        for loss in losses:
            lost.setdefault(loss, []).append(name)
    said = [*left_out, *(f"{', '.join(names_of_it)}: {loss}" for loss, names_of_it in lost.items())]
    if not may_write(f"the folder {folder.name}", said):
        show_info("Nothing was written.")
        return []

    def write_all(job: Job) -> None:
        with written_whole(folder) as unfinished:
            unfinished.mkdir()
            for file, write in writes.items():
                write(unfinished / file, job.progress, job.stop)

    try:
        wait_for(write_all, title=f"Writing {folder.name}…", parent=window_to_ask_in())
    except StoppedError:
        show_info("Stopped; nothing was written.")
        return []
    tell = show_warning if said else show_info
    tell("\n".join([f"Wrote {', '.join(writes)} into the folder {folder.name}.", *said]))
    return [str(folder / file) for file in writes]


def _is_ours(layer: Layer) -> bool:
    """Whether something of a layer would be lost by napari's own writers."""
    _, meta, kind = layer
    return kind != "image" and ((kind in _NAPARIS and _is_placed(meta)) or PICKS_KEY in meta.get("metadata", {}))


def _is_placed(meta: dict[str, Any]) -> bool:
    """Whether a layer says how wide its voxels are."""
    scale = meta.get("scale", ())
    return len(scale) == 3 and spacing_angstrom(scale, meta.get("units", ())) is not None


def _is_left_out(layer: Layer) -> bool:
    """Whether a layer is no picks, mask or image, or one that was opened, or of levels, which napari's writer lacks."""
    data, meta, kind = layer
    is_multiscale = isinstance(data, list | tuple) or hasattr(data, "shapes")
    return kind not in _NAPARIS or (kind == "image" and (is_multiscale or METADATA_KEY in meta.get("metadata", {})))


def _folder_and_suffix(path: Path) -> tuple[Path, str]:
    """The folder, and how files of picks in it end."""
    name = format_of_name(path)
    if name is None:
        return path, _FORMAT
    stem = path.stem.removesuffix(".picks") if name == "csv" else path.stem
    # only so do they open as picks
    return path.with_name(stem or path.name), ".picks.csv" if name == "csv" else SUFFIXES[name]


def _ending_of(layer: Layer, suffix: str) -> str:
    if not _is_ours(layer):
        return _NAPARIS[layer[2]]
    return suffix if layer[2] == "points" else MASK_ENDING


def _writing(layer: Layer, file: str) -> tuple[_Write, list[str]]:
    """What writes a layer to a path, and what of it won't be there, in words."""
    data, meta, kind = layer
    if not _is_ours(layer):
        losses = [_NO_SPACING] if kind == "image" and _is_placed(meta) else []
        return lambda path, _progress, _stop: npe2.write(str(path), [layer], plugin_name="napari"), losses
    if kind == "labels":
        write = mask_writer(data, meta)
        return lambda path, progress, stop: write(path, progress=progress, stop=stop), [MOVED] * is_moved(meta)
    picks = picks_in(data, meta)
    name = format_for(file, picks)
    return lambda path, _progress, _stop: write_picks(picks, path, format=name), losses_to_say(picks, name)
