"""Read files, folders and URLs as layers, for napari's reader plugins.

Readers are chosen by content. Damaged files of our formats raise an error: no other plugin could
open them either. Files of another kind (a text named .map, zarr tables, images with several times
or channels) are left to other plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_cryoet.appearance.colors import RGBA, annotation_colors, own_color
from napari_cryoet.exceptions import OtherKindError, PackError, StreamError
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.notes import MASK_EXPORT, path_beside, read_beside
from napari_cryoet.layers.load import (
    downloaded_annotation,
    load_annotation,
    load_mask,
    load_picks,
    load_tomogram,
    load_volume,
)
from napari_cryoet.layers.specs import FROM_BOTTOM, LayerKind, LayerSpec, mesh_colormap
from napari_cryoet.locations import Location, PathOrUrl, path_to_read
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import (
    MRC_SUFFIXES,
    Volume,
    is_packed_volume,
    open_volume,
)

if TYPE_CHECKING:
    from napari_cryoet.portal.pages import RunPage
    from napari_cryoet.portal.portal import Portal

LayerData = tuple[Any, dict[str, Any], LayerKind]
ReaderFunction = Callable[[Any], list[LayerData]]

_HEAD_BYTES: Final = 2**16
_IMOD: Final = b"IMOD"  # other programs have .mod files too


def find_reader(path: str | Sequence[str]) -> tuple[ReaderFunction | None, str]:
    """Find a reader for a path or URL.

    If there is none, return None, and the reason if the suffix is one of ours.
    """
    if not isinstance(path, str):
        return find_reader(path[0]) if len(path) == 1 else (None, "")
    pack = pack_at(path)
    if pack is not None:
        return lambda _path: read_pack(pack), ""
    location = Location.of(path)
    if _is_pick_file(location):
        return lambda _path: read_pick_file(location), ""
    if location.suffix == ".ndjson" and _holds_points(location):
        return lambda _path: _layer_data(load_annotation(location)), ""
    if location.suffix in {".ndjson", ".json", ".parquet"}:
        return None, f"{location.name} holds no picks in a supported format."
    if location.suffix in MRC_SUFFIXES | {".zarr"} or is_packed_volume(location):
        return _volume_reader(location)
    return None, ""


def pack_at(path: PathOrUrl) -> Path | None:
    """The pack at a path: its folder, also by its ``pack.json``, or its zip; None for anything else."""
    local = Location.of(path).path
    if local is None:
        return None
    from napari_cryoet.packs.pack import MANIFEST_NAME
    from napari_cryoet.packs.zipped import is_zipped_pack

    folder = local.parent if local.name == MANIFEST_NAME else local
    with suppress(OSError):  # of a text that is too long for a path
        if (folder / MANIFEST_NAME).is_file():
            return folder
        if is_zipped_pack(local):
            return local
    return None


def only_path(path: Any) -> str:
    """The path, or the first one if napari passes several."""
    return path if isinstance(path, str) else str(path[0])


def read_pick_file(
    path: PathOrUrl,
    *,
    spacing_angstrom: float | None = None,
    shape_zyx: tuple[int, int, int] | None = None,
    tomogram: str | None = None,
) -> list[LayerData]:
    """Read a pick file as layers; see `read_picks` for formats, parameters and errors."""
    from napari_cryoet.formats.registry import read_picks

    path = path_to_read(path)
    picks = read_picks(
        path, spacing_angstrom=spacing_angstrom, shape_zyx=shape_zyx, tomogram=tomogram
    )
    return _layer_data(load_picks(picks, name=path.stem))


def read_pack(
    source: Path | str, run_id: int | None = None, *, task: Task = UNWATCHED
) -> list[LayerData]:
    """Read a run's default tomogram and annotations from a pack or the demo.

    By default the first run with a tomogram.
    """
    from napari_cryoet.portal.portal import open_portal
    from napari_cryoet.runs.outline import outline_run

    portal = open_portal(source)
    try:
        page = (
            portal.run_page(run_id, task=task) if run_id is not None else _first_run(portal, task)
        )
        tomogram = page.default_tomogram
        if tomogram is None:
            raise PackError(f"Run {page.run.name} has no tomogram.")
        specs: list[LayerSpec] = [load_tomogram(tomogram, task=task)]
        colors = annotation_colors(page.annotations)
        for file in outline_run(page, tomogram).defaults():
            color = None if file.annotation is None else colors.get(file.annotation.id)
            specs += load_annotation(
                file, tomogram, run_tomograms=page.tomograms, color=color, task=task
            )
        return _layer_data(specs)
    finally:
        portal.close()


def read_demo_run(*, task: Task = UNWATCHED) -> list[LayerData]:
    """Read the demo's default run. The demo is generated on first use, which takes a while."""
    from napari_cryoet.demo.rows import RUNS

    return read_pack("demo", RUNS[0].id, task=task)


def with_own_color(layers: list[LayerData], taken: Iterable[RGBA]) -> list[LayerData]:
    """Give layers of a user's file an unused colour; layers with several colours keep them."""
    chosen = own_color(taken)  # points and their arrows have the same
    return [
        (data, options | _painted(options, kind, chosen), kind) for data, options, kind in layers
    ]


def _first_run(portal: Portal, task: Task) -> RunPage:
    for dataset in portal.datasets(task=task):
        for run in portal.runs(dataset.id, task=task):
            if run.tomogram_count:
                return portal.run_page(run.id, task=task)
    raise PackError("No run of this pack has a tomogram.")


def _volume_reader(location: Location) -> tuple[ReaderFunction | None, str]:
    try:
        volume = open_volume(location)
    except OtherKindError as error:
        if (
            location.suffix == ".mrc"
        ):  # .mrc files are always volumes, but .map and .rec have other uses
            raise
        return None, str(error)
    is_mask = (
        _looks_like_labels(volume)
        or _is_our_mask(location)
        or bool(downloaded_annotation(location).object_name)
    )
    load = load_mask if is_mask else load_volume
    return lambda _path: _layer_data([load(volume, location)]), ""


def _looks_like_labels(volume: Volume) -> bool:
    """Whether a volume is a mask: by its metadata, or because its coarsest level has integers, mostly background."""
    if volume.is_labels or volume.dtype.kind == "b":
        return True
    if volume.dtype.kind not in "iu":
        return False
    values = volume.read_middle(level=len(volume.levels) - 1)
    is_sparse = values.max() <= 1 or np.mean(values == 0) >= 0.5
    return bool(values.min() >= 0 and is_sparse)


def _is_our_mask(location: Location) -> bool:
    """Whether an MRC file is a mask that we wrote, by its notes: the format can't mark labels."""
    if location.suffix not in MRC_SUFFIXES or location.path is None:
        return False
    notes = read_beside(location.path)
    return notes is not None and notes.kind == MASK_EXPORT


def _is_pick_file(location: Location) -> bool:
    """Whether it is a local pick file.

    Portal ndjson without notes beside it is read as an annotation instead.
    """
    local, suffix = location.path, location.suffix
    if suffix == ".mod" and local is not None and local.is_file():
        with local.open("rb") as file:
            return file.read(len(_IMOD)) == _IMOD  # the reader tells how to convert it
    if local is None:
        return False
    from napari_cryoet.formats.registry import SUFFIXES, detect_format

    if suffix not in set(SUFFIXES.values()) or not local.is_file():
        return False
    if suffix in {".star", ".tbl"} or local.name.lower().endswith(".picks.csv"):
        return True  # if it can't be read, the reader explains why
    is_ours = suffix != ".ndjson" or path_beside(local).is_file()
    return is_ours and detect_format(local) is not None


def _holds_points(location: Location) -> bool:
    """Whether one of the first lines is a known kind of point."""
    from napari_cryoet.streaming.sources import read_file

    head = read_file(location, length=_HEAD_BYTES, limit_bytes=_HEAD_BYTES)
    if head is None:
        raise StreamError(f"There is no file at {location}.")
    return bool(head.content.strip()) and ndjson.holds(Path(location.name), head.content)


def _layer_data(specs: Iterable[LayerSpec]) -> list[LayerData]:
    return [tuple(spec) for spec in sorted(specs, key=lambda spec: FROM_BOTTOM.index(spec.kind))]


def _painted(options: dict[str, Any], kind: LayerKind, color: RGBA) -> dict[str, Any]:
    colormap = options.get("colormap")
    match kind:
        case "points" if np.asarray(options.get("border_color")).shape == (4,):
            return {
                "border_color": list(color),
                "face_color": [*color[:3], options["face_color"][3]],
            }
        case "vectors" if np.asarray(options.get("edge_color")).shape == (4,):
            return {"edge_color": list(color)}
        case "labels" if isinstance(colormap, dict):
            return {"colormap": {**colormap, None: color, 1: color}}
        case "surface":
            return {"colormap": mesh_colormap(color)}
    return {}
