"""The writers behind napari's *Save as…*, for picks, masks and folders, with warnings about lost information.

Files are written atomically on another thread. Scripts never replace files. For users, napari's
dialog asks before it replaces a file. But npe2 adds the first suffix of a file type to names
without one, after the dialog, so files with that suffix are asked about here. Folders, such as
OME-Zarr, are never replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import npe2
import numpy as np
from napari.layers import Points
from napari.utils.notifications import show_info, show_warning

from napari_cryoet._qt.files.questions import (
    may_write,
    relion_version,
)
from napari_cryoet._qt.layers.placement import PLACING, placement_of, spacing_angstrom_of
from napari_cryoet._qt.picks.layer_picks import placed_picks_of
from napari_cryoet._qt.tasks import Job, wait_for
from napari_cryoet._qt.widgets.controls import (
    main_window,
    may_replace,
    viewer_of_a_person,
    viewer_to_ask_in,
)
from napari_cryoet.exceptions import ExistsError, SaveError, StoppedError
from napari_cryoet.files import clean_name, refuse_existing, written_whole
from napari_cryoet.formats.masks import TITLES as MASK_TITLES
from napari_cryoet.formats.masks import WrittenMask, write_mask
from napari_cryoet.formats.registry import (
    SUFFIXES,
    TITLES,
    PickFormat,
    format_for,
    losses,
    missing_for,
    write_picks,
)
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.wording import count_text

Layer = tuple[Any, dict[str, Any], str]
_Write = Callable[[Path, Job], object]

_PICKS_ENDING: Final = SUFFIXES["ndjson"]
_MASK_ENDING: Final = ".zarr"
_NAPARIS: Final = {"points": ".csv", "labels": ".tif", "image": ".tif"}
#: Suffixes that name a format. Layer names, which napari proposes, may have dots elsewhere: "80S
#: (13.48 Å)".
_ENDING: Final = re.compile(r".\.[a-z][a-z0-9]*$", re.IGNORECASE)
_MOVED: Final = "The layer is shifted from the world's origin; the file doesn't store the shift."
_IN_MEMORY: Final = (
    "saved from voxels in memory, which may have been edited since they were read from the source"
)
_SCRIPT_HINT: Final = "Delete it first, or use `write_picks` or `write_mask` with overwrite=True."


# picks


def write_points(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Points layer as picks, in the format of the path's suffix, after asking about losses.

    Without a suffix, the portal's format is used.
    """
    target = with_ending(path, _PICKS_ENDING)
    picks = picks_in(data, meta)
    name: PickFormat | None = format_for(target, picks)
    if name in ("relion5", "relion4", "relion3"):
        name = relion_version(picks)
    if name is None or not may_write(target.name, losses_to_say(picks, name)):
        return _nothing_written()
    result = _write_file(
        lambda _job, *, overwrite: write_picks(picks, target, format=name, overwrite=overwrite),
        target,
        is_agreed=target.suffix != _PICKS_ENDING,
    )
    if result is None:
        return []
    _say(
        f"Wrote {count_text(result.count, 'pick')} to {result.path.name} ({TITLES[result.format]}).",
        result.losses,
    )
    return [str(result.path), str(result.provenance_path)]


def write_points_with_arrows(path: str, layers: list[Layer]) -> list[str]:
    """Write a Points layer that was selected with its arrows, which hold no further data."""
    _refuse_other_vectors(layers)
    ((data, meta, _),) = (layer for layer in layers if layer[2] == "points")
    return write_points(path, data, meta)


def picks_in(data: Any, meta: dict[str, Any]) -> Picks:
    """The picks of a Points layer, from the data that napari passes to writers."""
    # without appearance, which napari can reject after features were edited in place
    layer = _as_points(data, meta, "features", "metadata", "axis_labels")
    try:
        picks = placed_picks_of(layer)
    except ValueError as error:
        raise SaveError(f"This layer can't be written as picks: {error}.") from error
    if picks.spacing_angstrom is None:
        picks = picks.changed(spacing_angstrom=spacing_angstrom_of(layer))
    return picks


def losses_to_say(picks: Picks, name: PickFormat) -> list[str]:
    """The information that a format loses; empty if the picks can't be written in it at all."""
    return [] if missing_for(picks, name) else list(losses(picks, name))


def with_ending(path: str | Path, ending: str) -> Path:
    """The path, with ``ending`` added unless its name has a suffix; dots elsewhere don't count."""
    target = Path(path)
    is_named = not target.name or _ENDING.search(target.name) is not None
    return target if is_named else target.with_name(f"{target.name}{ending}")


# masks


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a mask at full resolution; as OME-Zarr without a suffix."""
    write, lost = _mask_writer(data, meta)
    target = with_ending(path, _MASK_ENDING)
    if not may_write(target.name, lost):
        return _nothing_written()
    result = _write_file(
        lambda job, *, overwrite: write(target, overwrite=overwrite, task=job),
        target,
        is_agreed=target.suffix != _MASK_ENDING,
        is_folder=target.suffix == _MASK_ENDING,
    )
    if result is None:
        return []
    kind = "instances" if result.is_instances else "mask"
    _say(f"Wrote {result.path.name} ({MASK_TITLES[result.format]}, {kind}, {result.dtype}).", lost)
    return [str(path) for path in (result.path, result.provenance_path) if path is not None]


def _mask_writer(data: Any, meta: dict[str, Any]) -> tuple[Callable[..., WrittenMask], list[str]]:
    """`write_mask` with the arguments of a Labels layer, and the information that the file loses."""
    placement = placement_of(_as_points(np.empty((0, len(meta["scale"]))), meta))
    if placement.spacing_angstrom is None:
        raise SaveError(
            f"The layer {meta['name']} doesn't say how wide its voxels are.",
            hint="Give it a scale, the same along all axes, and a unit of length, such as angstrom.",
        )
    about = Provenance.of(meta.get("metadata", {}).get(METADATA_KEY))
    is_of_source = about == Provenance() or pyramid_of(data) is not None
    write = partial(
        write_mask,
        data[0] if _is_multiscale(data) else data,
        spacing_angstrom=placement.spacing_angstrom,
        about=about,
        alignment_id=about.alignment_id,
        edits=() if is_of_source else [_IN_MEMORY],
    )
    return write, [_MOVED] if placement.start.any() else []


def _as_points(data: Any, meta: dict[str, Any], *others: str) -> Points:
    """A Points layer placed like a layer that napari passes to writers."""
    meant = {"name", *PLACING, *others}
    return Points(data, **{name: value for name, value in meta.items() if name in meant})


def _is_multiscale(data: Any) -> bool:
    return isinstance(data, list | tuple) or hasattr(data, "shapes")


# several layers


def write_folder(path: str, layers: list[Layer]) -> list[str]:
    """Write several layers to a new folder, all or none.

    napari's own writers lose rotations and voxel spacing, so they are used only for images and for
    layers without a spacing. Opened volumes and surfaces are skipped with a warning.
    """
    _refuse_other_vectors(layers)
    folder = Path(path)
    wait_for(lambda _job: refuse_existing(folder, overwrite=False))
    writes, warnings = dict[str, _Write](), list[str]()
    for layer in layers:
        _, meta, kind = layer
        name = str(meta.get("name") or kind)
        if kind == "vectors":  # no data besides the picks
            continue
        writing = _writing(layer)
        if writing is None:
            warnings.append(f"{name} isn't written: only picks and masks are.")
            continue
        ending, write, lost = writing
        writes[_free_name(name, ending, writes)] = write
        warnings += [f"{name}: {loss}" for loss in lost]
    if not may_write(f"the folder {folder.name}", warnings):
        return _nothing_written()

    def write_all(job: Job, *, overwrite: bool) -> Path:
        with written_whole(folder, overwrite=overwrite) as unfinished:
            unfinished.mkdir()
            for file, write in writes.items():
                write(unfinished / file, job)
        return folder

    if _write_file(write_all, folder, is_agreed=False, is_folder=True) is None:
        return []
    _say(f"Wrote {', '.join(writes)} into the folder {folder.name}.", warnings)
    return [str(folder / file) for file in writes]


def _free_name(title: str, ending: str, taken: dict[str, _Write]) -> str:
    """An unused file name for a layer; names are compared without case."""
    others = {name.casefold() for name in taken}
    while (file := f"{clean_name(title)}{ending}").casefold() in others:
        title = f"{title}_"
    return file


def _refuse_other_vectors(layers: list[Layer]) -> None:
    for _, meta, kind in layers:
        if kind == "vectors" and PICKS_KEY not in meta.get("metadata", {}):
            raise SaveError(
                f"The vectors of the layer {meta.get('name', '')} don't belong to picks, so files can't store them.",
                hint="Select only the picks.",
            )


def _writing(layer: Layer) -> tuple[str, _Write, list[str]] | None:
    """The suffix of a layer's file, its writer and its losses.

    None for layers that aren't written.
    """
    data, meta, kind = layer
    metadata = meta.get("metadata", {})
    grid = _as_points(np.empty((0, len(meta["scale"]))), meta)
    is_placed = grid.ndim == 3 and spacing_angstrom_of(grid) is not None
    if kind == "points" and (is_placed or PICKS_KEY in metadata):
        picks = picks_in(data, meta)
        return (
            _PICKS_ENDING,
            lambda path, _job: write_picks(picks, path),
            losses_to_say(picks, "ndjson"),
        )
    if kind == "labels" and is_placed:
        write, lost = _mask_writer(data, meta)
        return (
            _MASK_ENDING,
            lambda path, job: write(path, task=job),
            lost,
        )
    is_opened = kind == "image" and (_is_multiscale(data) or METADATA_KEY in metadata)
    if kind not in _NAPARIS or is_opened:
        return None
    # npe2 compares the start of commands, and ours start with "napari-cryoet."
    return (
        _NAPARIS[kind],
        lambda path, _job: npe2.write(str(path), [layer], plugin_name="napari."),
        [],
    )


# writing


def _write_file(
    write: Callable[..., Any], path: Path, *, is_agreed: bool, is_folder: bool = False
) -> Any:
    """Run ``write`` on another thread; return None and show a message if it is stopped or must not replace a file.

    ``is_agreed`` means that napari's dialog may already have asked to replace this file.
    """
    person, viewer = viewer_of_a_person(), viewer_to_ask_in()
    overwrite, parent = (
        is_agreed and person is not None,
        None if viewer is None else main_window(viewer),
    )
    try:
        return wait_for(
            lambda job: write(job, overwrite=overwrite),
            title=f"Writing {path.name}…",
            parent=parent,
        )
    except StoppedError:
        show_info("Stopped; nothing was written.")
        return None
    except ExistsError as error:
        if is_folder:
            raise
        if person is None:
            raise ExistsError(error.message, hint=_SCRIPT_HINT) from error
    if may_replace(path):
        return _write_file(write, path, is_agreed=True)
    return _nothing_written() or None


def _nothing_written() -> list[str]:
    show_info("Nothing was written.")
    return []


def _say(message: str, losses: Sequence[str]) -> None:
    show = show_warning if losses else show_info
    show("\n".join([message, *losses]))
