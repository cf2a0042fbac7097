"""Files, folders and addresses to layers, for napari's reader plugins: what can be read is decided by content.

What is meant to be of our formats but is damaged gets a reader that says what is wrong: nobody else could open it
either. What is whole but of another kind (a text named .map, zarr tables, images with several times or channels) is
declined, so that napari asks other plugins; `why_declined` has the reason, for whoever chose this plugin.

A reader knows no records, so spacing comes from the file, or from the portal's folder layout around it
(``…/VoxelSpacing13.480/…``). Where neither says it, layers are in voxels (units "pixel") and their metadata says so.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from napari_cryoet.exceptions import FormatError, OtherKindError, PackError, StreamError
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.notes import MASK_EXPORT, path_beside, read_beside
from napari_cryoet.formats.registry import SUFFIXES, detect_format, read_picks
from napari_cryoet.layer_spec import LayerKind, LayerSpec
from napari_cryoet.loading import load_annotation, load_picks, load_tomogram
from napari_cryoet.packs.pack import is_pack
from napari_cryoet.portal import Portal, open_portal
from napari_cryoet.portal.links import is_web_address
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.run.outline import outline_run
from napari_cryoet.volumes import MRC_SUFFIXES, Volume, is_packed_volume, open_volume, suffix_of

LayerData = tuple[Any, dict[str, Any], LayerKind]
ReaderFunction = Callable[[Any], list[LayerData]]

_HEAD_BYTES: Final = 2**16
_OF_A_ZARR: Final = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
#: Endings of files that hardly hold anything else.
_ONLY_PICKS: Final = frozenset({".star", ".tbl"})
#: What others are to be to hold picks.
_HOLD_PICKS: Final = {
    ".ndjson": "file of points as the portal has them, one JSON object a line",
    ".json": "file of picks of copick",
    ".parquet": "table with columns of positions (z_voxel, y_voxel, x_voxel, or z_angstrom …)",
}
#: Of volumes likewise; .map and .rec are the endings of many things.
_ONLY_VOLUMES: Final = frozenset({".mrc"})


def get_reader(path: str | Sequence[str]) -> ReaderFunction | None:
    """A function that reads a path or an http(s) address, or None where there is nothing for us in it.

    Raises
    ------
    StreamError
        If what is there can't be reached, so that nobody knows.
    """
    if not isinstance(path, str):
        return None if len(path) != 1 else get_reader(path[0])
    pack = _pack_folder(path)
    if pack is not None:
        return lambda _path: read_pack(pack)
    suffix = suffix_of(path)
    if _is_pick_file(path, suffix):
        return lambda path: read_pick_file(only_path(path))
    if suffix == ".ndjson" and _holds_points(path):
        return _read_annotation
    if suffix in MRC_SUFFIXES or suffix == ".zarr" or is_packed_volume(path):
        return _volume_reader(path, suffix)
    return None


def is_pack_path(path: str | Sequence[str]) -> bool:
    """Whether a path is that of a pack, with its records, and not of a file by itself."""
    return _pack_folder(only_path(path)) is not None


def why_declined(path: str | Sequence[str]) -> OtherKindError | None:
    """Why `get_reader` gives no reader for something that is called like ours; None where that says it all."""
    if not isinstance(path, str):
        return None if len(path) != 1 else why_declined(path[0])
    suffix = suffix_of(path)
    if suffix in _HOLD_PICKS:
        return OtherKindError(f"{Path(path).name} holds no picks: it is no {_HOLD_PICKS[suffix]}.")
    if suffix not in MRC_SUFFIXES | {".zarr"}:
        return None
    try:
        open_volume(path).close()
    except OtherKindError as error:
        return error
    except (FormatError, StreamError):  # what is wrong with it, its reader says
        return None
    return None


def read_pick_file(
    path: str | Path,
    *,
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
) -> list[LayerData]:
    """The layers of a file of picks in any format that `read_picks` reads; parameters and errors are its."""
    path = Path(path)
    picks = read_picks(path, spacing_angstrom=spacing_angstrom, shape_zyx=shape_zyx, tomogram=tomogram)
    return _from_bottom(load_picks(picks, name=path.stem))


def read_pack(folder: Path, run_id: int | None = None, *, stop: threading.Event | None = None) -> list[LayerData]:
    """A run of a pack: its default tomogram, and the annotations that the curators show with it.

    Parameters
    ----------
    folder
        The pack's.
    run_id
        Which run; by default the first that has a tomogram.

    Raises
    ------
    PackError
        If there is no such run, or none with a tomogram.
    """
    portal = open_portal(folder)
    try:
        page = portal.run_page(run_id, stop=stop) if run_id is not None else _first_run(portal, stop)
        return read_run(page, stop=stop)
    finally:
        portal.close()


def read_run(page: RunPage, *, stop: threading.Event | None = None) -> list[LayerData]:
    """What a run's page opens: its default tomogram, with the annotations that are shown by default.

    Raises
    ------
    PackError
        If the run has no tomogram.
    """
    tomogram = page.default_tomogram
    if tomogram is None:
        raise PackError(f"Run {page.run.name} has no tomogram.")
    specs: list[LayerSpec] = [load_tomogram(tomogram, stop=stop)]
    for file in outline_run(page, tomogram).defaults():
        specs += load_annotation(file, tomogram, run_tomograms=page.tomograms, stop=stop)
    return _from_bottom(specs)


def looks_like_labels(volume: Volume) -> bool:
    """Whether a volume is a mask: its file says so, or its coarsest level is whole numbers, mostly background."""
    if volume.is_labels or volume.dtype.kind == "b":
        return True
    if volume.dtype.kind not in "iu":
        return False
    values = volume.sample(level=len(volume.levels) - 1)
    if values.size == 0 or values.min() < 0:
        return False
    return bool(values.max() <= 1 or np.mean(values == 0) >= 0.5)


def _volume_reader(path: str, suffix: str) -> ReaderFunction | None:
    try:
        volume = open_volume(path)
    except OtherKindError as error:
        is_told = suffix in _ONLY_VOLUMES or (is_web_address(path) and _is_nothing_at(path))
        return partial(_raise, error) if is_told else None
    except FormatError as error:
        return partial(_raise, error)
    try:
        return _read_annotation if looks_like_labels(volume) or _is_our_mask(path, suffix) else _read_tomogram
    finally:
        volume.close()


def _is_our_mask(path: str, suffix: str) -> bool:
    """Whether an MRC file is a mask that we wrote, whatever it holds: the format itself knows no labels."""
    if suffix not in MRC_SUFFIXES or "://" in path or not os.path.isfile(path_beside(Path(path))):
        return False
    notes = read_beside(Path(path))
    return notes is not None and notes.kind == MASK_EXPORT


def _raise(error: FormatError, _path: Any) -> list[LayerData]:
    raise error


def _is_nothing_at(address: str) -> bool:
    """Whether there is nothing that others could read: no file, or nothing of a zarr."""
    from napari_cryoet.streaming.sources import read_file

    names = [f"{address.rstrip('/')}/{name}" for name in _OF_A_ZARR] if suffix_of(address) == ".zarr" else [address]
    return all(read_file(name, length=1, limit_bytes=1) is None for name in names)


def _read_tomogram(path: Any) -> list[LayerData]:
    return [_layer_data(load_tomogram(only_path(path)))]


def _read_annotation(path: Any) -> list[LayerData]:
    return _from_bottom(load_annotation(only_path(path)))


def _is_pick_file(path: str, suffix: str) -> bool:
    """Whether there is a file of picks on this computer that more than its positions can be read from.

    Portal ndjson without provenance beside it is read as it always was, from addresses too.
    """
    local = Path(path)
    if "://" in path or suffix not in set(SUFFIXES.values()) or not local.is_file():
        return False
    if suffix in _ONLY_PICKS or local.name.lower().endswith(".picks.csv"):
        return True  # if it can't be read, the reader says why
    return (suffix != ".ndjson" or os.path.isfile(path_beside(local))) and detect_format(local) is not None


def _holds_points(path: str) -> bool:
    """Whether one of the first lines is a point of a kind that we know."""
    from napari_cryoet.streaming.sources import read_file

    head = read_file(path, length=_HEAD_BYTES, limit_bytes=_HEAD_BYTES)
    if head is None:
        raise StreamError(f"There is no file at {path}.")
    return bool(head.content.strip()) and ndjson.holds(Path(path), head.content)


def _pack_folder(path: str) -> Path | None:
    if "://" in path:
        return None
    folder = Path(path).parent if Path(path).name == "pack.json" else Path(path)
    return folder if is_pack(folder) else None


def _first_run(portal: Portal, stop: threading.Event | None) -> RunPage:
    for dataset in portal.datasets(stop=stop):
        for run in portal.runs(dataset.id, stop=stop):
            if run.tomogram_count:
                return portal.run_page(run.id, stop=stop)
    raise PackError("No run of this pack has a tomogram.")


def _from_bottom(specs: Iterable[LayerSpec]) -> list[LayerData]:
    """As layers shall lie on each other; napari makes the last one the active one."""
    ranks: list[LayerKind] = ["image", "labels", "surface", "vectors", "points"]
    return [_layer_data(spec) for spec in sorted(specs, key=lambda spec: ranks.index(spec.kind))]


def _layer_data(spec: LayerSpec) -> LayerData:
    return spec.data, spec.options, spec.kind


def only_path(path: Any) -> str:
    """The path, or the first of several, as napari gives them to readers."""
    return path if isinstance(path, str) else str(path[0])
