"""What napari's *Save as…* calls: it writes picks and masks, alone or in a folder, and says what files won't hold.

Files are written on another thread, whole or not at all. A script replaces no file. A person's answer in napari's
dialog counts, but npe2 adds the first ending of a type to a name without one and tells no writer: files of that ending
are asked about here. Folders, such as OME-Zarr, are never replaced.
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
    may_replace,
    may_write,
    relion_version,
    viewer_of_a_person,
    viewer_to_ask_in,
)
from napari_cryoet._qt.layers.alignment import spacing_angstrom, spacing_angstrom_of, steps_and_start
from napari_cryoet._qt.picks.layer_picks import placed_picks_of
from napari_cryoet._qt.tasks import Job, wait_for
from napari_cryoet._qt.widgets.messages import main_window
from napari_cryoet.download.plan import clean_name
from napari_cryoet.exceptions import ExistsError, SaveError, StoppedError
from napari_cryoet.files import refuse_existing, written_whole
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
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.wording import count_text

Layer = tuple[Any, dict[str, Any], str]
_Write = Callable[[Path, Job], object]

_PICKS_ENDING: Final = SUFFIXES["ndjson"]
_MASK_ENDING: Final = ".zarr"
_NAPARIS: Final = {"points": ".csv", "labels": ".tif", "image": ".tif"}
#: How names end that say a format. Names of layers, which napari proposes, may have points elsewhere: "80S (13.48 Å)".
_ENDING: Final = re.compile(r".\.[a-z][a-z0-9]*$", re.IGNORECASE)
_PLACING: Final = ("scale", "translate", "rotate", "shear", "affine", "units")
_MOVED: Final = "The layer is moved from the origin of the world; the file doesn't say so."
_IN_MEMORY: Final = "saved from voxels in memory, which may have been edited since they were read from the source"
_SCRIPT_HINT: Final = "Delete it first, or use `write_picks` or `write_mask` with overwrite=True."


# picks


def write_points(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Points layer as picks, in the format that the name asks for; what that can't hold is said before.

    A name without an ending gets that of the portal's format.
    """
    place = with_ending(path, _PICKS_ENDING)
    picks = picks_in(data, meta)
    name: PickFormat | None = format_for(place, picks)
    if name in ("relion5", "relion4", "relion3"):
        name = relion_version(picks)
    if name is None or not may_write(place.name, losses_to_say(picks, name)):
        return _nothing_written()
    made = _written(
        lambda _job, *, overwrite: write_picks(picks, place, format=name, overwrite=overwrite),
        place,
        is_agreed=place.suffix != _PICKS_ENDING,
    )
    if made is None:
        return []
    _say(f"Wrote {count_text(made.count, 'pick')} to {made.path.name} ({TITLES[made.format]}).", made.losses)
    return [str(made.path), str(made.provenance_path)]


def write_points_with_arrows(path: str, layers: list[Layer]) -> list[str]:
    """Write a Points layer that is selected together with the arrows of its picks, which say no more."""
    _refuse_other_vectors(layers)
    ((data, meta, _),) = (layer for layer in layers if layer[2] == "points")
    return write_points(path, data, meta)


def picks_in(data: Any, meta: dict[str, Any]) -> Picks:
    """The picks of a Points layer as napari hands it to writers."""
    # nothing of how it looks, which napari doesn't always take back after features were edited in place
    meant = {"name", "features", "metadata", "axis_labels", *_PLACING}
    layer = Points(data, **{name: value for name, value in meta.items() if name in meant})
    try:
        picks = placed_picks_of(layer)
    except ValueError as error:
        raise SaveError(f"This layer can't be written as picks: {error}.") from error
    if picks.spacing_angstrom is None:
        picks = picks.changed(spacing_angstrom=spacing_angstrom_of(layer))
    return picks


def losses_to_say(picks: Picks, name: PickFormat) -> list[str]:
    """What a file won't hold; nothing where it can't be written at all."""
    return [] if missing_for(picks, name) else list(losses(picks, name))


def with_ending(path: str | Path, ending: str) -> Path:
    """Where to write: a name without an ending gets one, also where there are points in it elsewhere."""
    place = Path(path)
    is_named = not place.name or _ENDING.search(place.name) is not None
    return place if is_named else place.with_name(f"{place.name}{ending}")


# masks


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a mask, in full resolution; OME-Zarr without an ending."""
    write, lost = _mask_writer(data, meta)
    place = with_ending(path, _MASK_ENDING)
    if not may_write(place.name, lost):
        return _nothing_written()
    made = _written(
        lambda job, *, overwrite: write(place, overwrite=overwrite, progress=job.progress, stop=job.stop),
        place,
        is_agreed=place.suffix != _MASK_ENDING,
        is_folder=place.suffix == _MASK_ENDING,
    )
    if made is None:
        return []
    kind = "instances" if made.is_instances else "mask"
    _say(f"Wrote {made.path.name} ({MASK_TITLES[made.format]}, {kind}, {made.dtype}).", lost)
    return [str(path) for path in (made.path, made.provenance_path) if path is not None]


def _mask_writer(data: Any, meta: dict[str, Any]) -> tuple[Callable[..., WrittenMask], list[str]]:
    """`write_mask` for a Labels layer, which is to be told where to and how, and what the file won't say."""
    name, scale = meta.get("name", ""), meta.get("scale", ())
    placed = Points(np.empty((0, len(scale))), **{key: meta[key] for key in _PLACING if key in meta})
    placing = steps_and_start(placed)
    if placing is None or (placing[0] < 0).any():
        raise SaveError(f"The layer {name} is rotated or sheared, or flipped, in the viewer, and a mask can't be.")
    spacing = spacing_angstrom(placing[0], placed.units)
    if spacing is None:
        raise SaveError(
            f"The layer {name} doesn't say how wide its voxels are.",
            hint="Give it a scale, the same along all axes, and a unit of length, such as angstrom.",
        )
    about = dict(meta.get("metadata", {}).get(METADATA_KEY, {}))
    is_of_source = not about or pyramid_of(data) is not None
    write = partial(
        write_mask,
        data[0] if _is_multiscale(data) else data,
        spacing_angstrom=spacing,
        about=about,
        alignment_id=about.get("alignment_id"),
        edits=() if is_of_source else [_IN_MEMORY],
    )
    return write, [_MOVED] if placing[1].any() else []


def _is_multiscale(data: Any) -> bool:
    return isinstance(data, list | tuple) or hasattr(data, "shapes")


# several layers


def write_folder(path: str, layers: list[Layer]) -> list[str]:
    """Write several layers into a new folder, all or none of them.

    napari's own writers lose rotations and voxel spacing. They still write images, and layers that say no spacing.
    Volumes that were opened, and surfaces, aren't written, and that is said.
    """
    _refuse_other_vectors(layers)
    folder = Path(path)
    wait_for(lambda _job: refuse_existing(folder, overwrite=False))
    writes, said = dict[str, _Write](), list[str]()
    for layer in layers:
        _, meta, kind = layer
        name = str(meta.get("name") or kind)
        if kind == "vectors":  # they say no more than the picks
            continue
        writing = _writing(layer)
        if writing is None:
            said.append(f"{name} isn't written: only picks and masks are.")
            continue
        ending, write, lost = writing
        writes[_free_name(name, ending, writes)] = write
        said += [f"{name}: {loss}" for loss in lost]
    if not may_write(f"the folder {folder.name}", said):
        return _nothing_written()

    def write_all(job: Job, *, overwrite: bool) -> Path:
        with written_whole(folder, overwrite=overwrite) as unfinished:
            unfinished.mkdir()
            for file, write in writes.items():
                write(unfinished / file, job)
        return folder

    if _written(write_all, folder, is_agreed=False, is_folder=True) is None:
        return []
    _say(f"Wrote {', '.join(writes)} into the folder {folder.name}.", said)
    return [str(folder / file) for file in writes]


def _free_name(title: str, ending: str, taken: dict[str, _Write]) -> str:
    """A name of a file; layers may have the same name, or names that differ by case alone."""
    others = {each.casefold() for each in taken}
    while (file := f"{clean_name(title)}{ending}").casefold() in others:
        title = f"{title}_"
    return file


def _refuse_other_vectors(layers: list[Layer]) -> None:
    for _, meta, kind in layers:
        if kind == "vectors" and PICKS_KEY not in meta.get("metadata", {}):
            raise SaveError(
                f"The vectors of the layer {meta.get('name', '')} are no picks' arrows; no file of picks holds them.",
                hint="Select only the picks.",
            )


def _writing(layer: Layer) -> tuple[str, _Write, list[str]] | None:
    """The ending of a layer's file, what writes it, and what it won't hold; None for a layer that isn't written."""
    data, meta, kind = layer
    scale, metadata = meta.get("scale", ()), meta.get("metadata", {})
    is_placed = len(scale) == 3 and spacing_angstrom(scale, meta.get("units", ())) is not None
    if kind == "points" and (is_placed or PICKS_KEY in metadata):
        picks = picks_in(data, meta)
        return _PICKS_ENDING, lambda path, _job: write_picks(picks, path), losses_to_say(picks, "ndjson")
    if kind == "labels" and is_placed:
        write, lost = _mask_writer(data, meta)
        return _MASK_ENDING, lambda path, job: write(path, progress=job.progress, stop=job.stop), lost
    is_opened = kind == "image" and (_is_multiscale(data) or METADATA_KEY in metadata)
    if kind not in _NAPARIS or is_opened:
        return None
    return _NAPARIS[kind], lambda path, _job: npe2.write(str(path), [layer], plugin_name="napari"), []


# writing


def _written(write: Callable[..., Any], place: Path, *, is_agreed: bool, is_folder: bool = False) -> Any:
    """What ``write`` made, on another thread; None, and a message, if it was stopped or a file shall stay.

    A person's dialog of napari may have agreed to replace this very name.
    """
    person, viewer = viewer_of_a_person(), viewer_to_ask_in()
    overwrite, parent = is_agreed and person is not None, None if viewer is None else main_window(viewer)
    try:
        return wait_for(lambda job: write(job, overwrite=overwrite), title=f"Writing {place.name}…", parent=parent)
    except StoppedError:
        show_info("Stopped; nothing was written.")
        return None
    except ExistsError as error:
        if is_folder:
            raise
        if person is None:
            raise ExistsError(error.message, hint=_SCRIPT_HINT) from error
    if may_replace(place):
        return _written(write, place, is_agreed=True)
    return _nothing_written() or None


def _nothing_written() -> list[str]:
    show_info("Nothing was written.")
    return []


def _say(made: str, losses: Sequence[str]) -> None:
    tell = show_warning if losses else show_info
    tell("\n".join([made, *losses]))
