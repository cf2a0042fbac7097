"""Take a view from a viewer: which records its layers are of, how they are drawn, and the camera."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec.structs import replace
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Vectors
from numpy.typing import NDArray

from napari_cryoet._qt.layers.colors import shown_color_of
from napari_cryoet._qt.layers.ownership import about_of, real
from napari_cryoet._qt.layers.placement import ANGSTROM_PER_NM, widths_angstrom
from napari_cryoet._qt.ortho.dock import NAME as ORTHO
from napari_cryoet._qt.picks.edits import edits_of
from napari_cryoet._qt.picks.orientations import OrientationDisplay, orientation_of, points_of
from napari_cryoet._qt.picks.slabs import slab_nm_of
from napari_cryoet._qt.views.camera import camera_of
from napari_cryoet._qt.widgets.dock import is_open
from napari_cryoet._version import __version__
from napari_cryoet.exceptions import PackError
from napari_cryoet.layers.specs import PICKS_KEY
from napari_cryoet.locations import Location
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.picks import Picks
from napari_cryoet.picks.orientations import Orientation
from napari_cryoet.provenance import Provenance
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.views.finding import alignment_text, is_portal
from napari_cryoet.views.view import (
    MAX_PARTS,
    Looks,
    View,
    ViewedAnnotation,
    ViewedLayer,
    ViewedRun,
    ViewedTomogram,
    Words,
    zyx_of,
)
from napari_cryoet.wording import count_text, plain

_MAX_TEXT: Final = 300
_MAX_CITATION: Final = 10_000
_DIGITS: Final = 10  # more would differ after a view is opened, by the rounding of its arithmetic
#: What each way of rendering needs: the field of looks and napari's attribute.
_OF_RENDERING: Final = {
    "iso": {"threshold": "iso_threshold"},
    "attenuated_mip": {"attenuation": "attenuation"},
}


class Captured(NamedTuple):
    """A view, and sentences about what it can't hold."""

    view: View
    left_out: tuple[str, ...]


def view_of(viewer: ViewerModel, *, folder: Path | None = None) -> View:
    """What a viewer shows as a view; `capture` also tells what the view can't hold.

    Parameters
    ----------
    folder
        Where the view's file will be: the view can name other files in this folder.

    Raises
    ------
    CryoETError
        If the viewer doesn't have the three axes of a tomogram.
    """
    return capture(viewer, folder=folder).view


def capture(viewer: ViewerModel, *, folder: Path | None = None) -> Captured:
    """What a viewer shows as a view, and what of it the view can't hold."""
    viewer = real(viewer)
    camera = camera_of(viewer)
    capturing = _Capturing(viewer, folder)
    for layer in viewer.layers:
        capturing.take(layer)
    image = next((each for each in viewer.layers if isinstance(each, Image)), None)
    projection = "none" if image is None else str(image.projection_mode)
    camera = replace(
        camera,
        projection=None if projection == "none" else projection,
        ortho=is_open(viewer, ORTHO),
    )
    view = View(
        runs=tuple(capturing.runs),
        layers=tuple(capturing.layers[:MAX_PARTS]),
        camera=camera,
        words=_words(capturing.abouts),
    )
    if len(capturing.layers) > MAX_PARTS:
        n_left = len(capturing.layers) - MAX_PARTS
        capturing.left_out.append(f"{count_text(n_left, 'more layer')}: a view has {MAX_PARTS}.")
    view = View.of(_rounded(view.to_dict()))
    height, width = viewer.canvas.size
    high, _ = view.camera.field_angstrom
    camera = replace(view.camera, field_angstrom=(high, high * width / height))  # as the canvas is
    return Captured(replace(view, camera=camera), tuple(capturing.left_out))


class _Capturing:
    """The runs, layers and omissions of a view that is being taken."""

    def __init__(self, viewer: ViewerModel, folder: Path | None) -> None:
        self._viewer = viewer
        self._folder = folder
        self._paths: set[tuple[str, str]] = set()
        self._hidden = _hidden_runs(viewer.layers)
        self.runs: list[ViewedRun] = []
        self.layers: list[ViewedLayer] = []
        self.abouts: list[Provenance] = []
        self.left_out: list[str] = []

    def take(self, layer: Layer) -> None:
        about = about_of(layer)
        name = plain(layer.name)
        if isinstance(layer, Vectors) and points_of(layer) is not None:
            return  # these are looks of their points
        if (about.source, about.run_id) in self._hidden:
            return
        content = _content_of(layer, about) or self._file_of(layer)
        if content is None:
            self.left_out.append(f"{name}: {_why_left_out(layer, about)}")
            return
        if (about.source, content.path) in self._paths:
            self.left_out.append(f"{name}: a copy of a layer that the view has.")
            return
        self._paths.add((about.source, content.path))
        if is_edited(layer):
            self.left_out.append(f"The edits of {name}: the view shows the picks without them.")
        looks, more = _looks_of(self._viewer, layer)
        self.left_out += more
        self.abouts.append(about)
        run = self._run_of(about if content.kind != "file" else Provenance())
        self.layers.append(replace(content, run=run, name=name[:_MAX_TEXT], looks=looks))

    def _run_of(self, about: Provenance) -> int:
        run = _run_of(about)
        if run not in self.runs:
            self.runs.append(run)
        return self.runs.index(run)

    def _file_of(self, layer: Layer) -> ViewedLayer | None:
        """A layer of a file below the view's folder."""
        path = _file_path(layer)
        if self._folder is None or path is None or not path.is_relative_to(self._folder):
            return None
        return ViewedLayer(kind="file", file=path.relative_to(self._folder).as_posix())


def _hidden_runs(layers: Iterable[Layer]) -> set[tuple[str, int | None]]:
    """The runs of which no layer is visible, if another run has a visible one."""
    runs: dict[tuple[str, int | None], bool] = {}
    for layer in layers:
        about = about_of(layer)
        if about.source:
            key = (about.source, about.run_id)
            runs[key] = runs.get(key, False) or layer.visible
    is_any_visible = any(runs.values())
    return {key for key, is_visible in runs.items() if is_any_visible and not is_visible}


# what a layer is of


def _run_of(about: Provenance) -> ViewedRun:
    """The run of a layer; a pack by its id, and by the portal that its records are from."""
    source = about.source
    pack_id = ""
    if source and not is_portal(source):
        try:
            pack = open_pack(source)
        except PackError:  # it was moved since
            source = "pack"
        else:
            pack_id = pack.id
            source = pack.manifest.origin if is_portal(pack.manifest.origin) else "pack"
    return ViewedRun(
        source=source,
        pack_id=pack_id,
        dataset_id=about.dataset_id,
        run_name=about.run_name,
        run_id=about.run_id,
    )


def _content_of(layer: Layer, about: Provenance) -> ViewedLayer | None:
    """The record that a layer shows; None for other layers."""
    if not about.source or not about.path or _is_made_of_others(layer):
        return None
    match about.kind:
        case "tomogram" | "tilt series" as kind:
            return ViewedLayer(kind=kind, tomogram=_tomogram_of(about))
        case "annotation" if not isinstance(layer, Vectors):
            annotation = ViewedAnnotation(
                path=about.path,
                object_name=about.object_name,
                object_id=about.object_id,
                shape=about.shape_type,
                method=about.method_type,
                deposition_id=about.deposition_id,
                annotation_id=about.annotation_id,
                id=about.annotation_file_id,
            )
            return ViewedLayer(kind="annotation", annotation=annotation)
    return None


def _tomogram_of(about: Provenance) -> ViewedTomogram:
    spacing = about.voxel_spacing_angstrom
    record = about.records.get("tomogram", {})
    alignment = about.records.get("alignment", {})
    names = (alignment.get("alignment_method"), alignment.get("alignment_type"))
    return ViewedTomogram(
        path=about.path,
        voxel_spacing_angstrom=spacing if isinstance(spacing, float) else None,
        processing=about.processing,
        reconstruction=record.get("reconstruction_method", ""),
        alignment=alignment_text(*names)[:_MAX_TEXT],
        alignment_id=about.alignment_id,
        id=about.tomogram_id or about.tilt_series_id,
    )


def _file_path(layer: Layer) -> Path | None:
    opened = layer.source.path
    if not opened and not _is_made_of_others(layer):
        opened = about_of(layer).source_url
    return Location.of(opened).path if opened else None


def _why_left_out(layer: Layer, about: Provenance) -> str:
    path = _file_path(layer)
    if path is not None:
        return f"the file {path.name} isn't in the folder of the view's file."
    if _is_made_of_others(layer):
        return "picks made from other picks; export them beside the view's file."
    if about.source_url:
        return "its address isn't part of a portal."
    return "made or opened by another program or by hand."


def is_edited(layer: Layer) -> bool:
    """Whether a layer differs from its file."""
    return bool(about_of(layer).edits) or _has_edit_steps(layer)


def _is_made_of_others(layer: Layer) -> bool:
    """Whether a layer has picks of an annotation that a review chose or a check mended.

    Their provenance is the annotation's, also once they were exported and opened again.
    """
    picks = layer.metadata.get(PICKS_KEY)
    return isinstance(picks, Picks) and bool(picks.edits) and not _has_edit_steps(layer)


def _has_edit_steps(layer: Layer) -> bool:
    log = edits_of(layer) if isinstance(layer, Points) and PICKS_KEY in layer.metadata else None
    return log is not None and bool(log.steps)


# how it is drawn


def _looks_of(viewer: ViewerModel, layer: Layer) -> tuple[Looks, list[str]]:
    """How a layer is drawn, and what of that a view can't hold."""
    is_3d = viewer.dims.ndisplay == 3
    names = attributes_of(layer, str(getattr(layer, "rendering", "")), is_3d=is_3d)
    looks = {field: _plain(getattr(layer, name)) for field, name in names.items()}
    looks["visible"] = bool(layer.visible)
    left_out: list[str] = []
    color = shown_color_of(layer)
    if color is not None:
        looks["color"] = hexadecimal(color)
    if isinstance(layer, Image) and is_3d and str(layer.depiction) == "plane":
        looks |= _looks_of_plane(layer)
    elif isinstance(layer, Points):
        looks |= _looks_of_points(viewer, layer)
        if str(layer.border_color_mode) != "direct":
            left_out.append(f"The colours of {plain(layer.name)}, which are by a feature.")
        elif len(np.unique(layer.border_color[:, 3])) > 1:
            name = plain(layer.name)
            left_out.append(f"The review of {name}: the view shows rejected picks like the others.")
        n_left = len(layer.selected_data) - MAX_PARTS
        if n_left > 0:
            left_out.append(f"{plain(layer.name)}: {count_text(n_left, 'more selected pick')}.")
    if isinstance(layer, Image | Labels) and is_3d and pyramid_of(layer.data) is not None:
        looks["level"] = int(layer.data_level)
    return Looks(**looks), left_out


def attributes_of(layer: Layer, rendering: str, *, is_3d: bool) -> dict[str, str]:
    """The fields of looks that a layer has as attributes, with napari's names."""
    fields = ["opacity", "blending"]
    if isinstance(layer, Image):
        fields += ["contrast_limits", "gamma", "colormap"]
    if isinstance(layer, Image | Labels) and is_3d:
        fields.append("rendering")
    names = {field: field for field in fields}
    if isinstance(layer, Image):
        names["interpolation"] = "interpolation3d" if is_3d else "interpolation2d"
    if isinstance(layer, Image) and is_3d:
        names |= {"depiction": "depiction"} | _OF_RENDERING.get(rendering, {})
    return names


def _looks_of_plane(layer: Image) -> dict[str, Any]:
    plane = layer.plane
    widths = widths_of(layer)
    return {
        "plane_position_zyx_angstrom": zyx_of(plane.position * widths + layer.translate),
        "plane_normal_zyx": zyx_of(plane.normal),
        "plane_thickness_angstrom": float(plane.thickness * widths[-1]),
    }


def _looks_of_points(viewer: ViewerModel, layer: Points) -> dict[str, Any]:
    width = widths_of(layer)[-1]
    symbols = {str(symbol) for symbol in np.atleast_1d(layer.symbol)}
    sizes = set(np.unique(layer.size).tolist())
    looks: dict[str, Any] = {"slab_angstrom": slab_nm_of(layer) * ANGSTROM_PER_NM}
    if len(symbols) == 1:
        looks["symbol"] = symbols.pop()
    if len(sizes) == 1:
        looks["size_angstrom"] = float(sizes.pop() * width)
    selected = sorted(layer.selected_data)[:MAX_PARTS]
    positions = positions_of(layer)[selected]
    looks["selected_zyx_angstrom"] = tuple(map(zyx_of, positions))
    if PICKS_KEY in layer.metadata:
        display = orientation_of(layer, viewer)
        looks["arrows"] = _looks_of_arrows(display)
    return looks


def _looks_of_arrows(display: OrientationDisplay) -> Looks | None:
    vectors = display.layer
    if vectors is None or display.orientation == Orientation.OFF:
        return None
    return Looks(
        visible=bool(vectors.visible),
        symbol=str(display.orientation),
        size_angstrom=display.length_angstrom,
        opacity=float(vectors.opacity),
        blending=str(vectors.blending),
    )


def positions_of(layer: Points) -> NDArray[np.float64]:
    """The positions of a layer's points in ångström (n, 3)."""
    return np.asarray(layer.data * widths_of(layer) + layer.translate, dtype=np.float64)


def hexadecimal(color: Iterable[float]) -> str:
    """A colour as ``#ff8000ff``."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)


def widths_of(layer: Layer) -> NDArray[np.float64]:
    """The width of a layer's voxels in ångström; in its own unit if that isn't a length."""
    widths = widths_angstrom(layer)
    return np.asarray(layer.scale, dtype=np.float64) if widths is None else widths


def _plain(value: Any) -> Any:
    """A value of napari's as text or numbers."""
    if isinstance(value, float | int):
        return float(value)
    if isinstance(value, list | tuple):
        return tuple(map(float, value))
    return str(getattr(value, "name", value))[:_MAX_TEXT]  # a colormap has a name


def _rounded(data: Any) -> Any:
    """Plain data with numbers that stay the same when the view is opened and taken again."""
    match data:
        case float():
            return float(f"{data:.{_DIGITS}g}")
        case dict():
            return {key: _rounded(value) for key, value in data.items()}
        case list() | tuple():
            return [_rounded(value) for value in data]
    return data


# words


def _words(abouts: Iterable[Provenance]) -> Words:
    citations = dict.fromkeys(about.citation for about in abouts)
    return Words(
        citation="\n\n".join(filter(None, citations))[:_MAX_CITATION],
        made_by=f"napari-cryoet {__version__}",
        made_at=datetime.now(UTC).date().isoformat(),
    )
