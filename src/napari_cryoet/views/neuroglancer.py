"""Neuroglancer's state as a view, and a view as a link to the portal's viewer, which is Neuroglancer.

A state has positions in voxels and doesn't state the size of the window. Its layers are known by
their paths in the portal's storage. The portal's page keeps keys that it doesn't know, so our links
to it hold the whole view beside Neuroglancer's state.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

import msgspec
import numpy as np
from msgspec import Meta
from msgspec.structs import replace

from napari_cryoet.exceptions import FormatError
from napari_cryoet.records import PORTAL_TERMS
from napari_cryoet.views.packing import MAX_UNPACKED, pack, unpack
from napari_cryoet.views.view import (
    MAX_BYTES,
    Camera,
    Looks,
    View,
    ViewedAnnotation,
    ViewedLayer,
    ViewedRun,
    ViewedTomogram,
)
from napari_cryoet.words import AROUND

#: The key of our view in the state of the portal's page.
KEY: Final = "napariCryoet"

#: Height and width in pixels that we assume for a panel.
_PANEL: Final = (400, 600)
#: Links longer than this leave out hidden layers: mail programs and chats cut long links.
_LONG_LINK: Final = 2000
_VIEW_ANGLE: Final = 45.0  # of Neuroglancer's perspective
_DEFAULT_FIELD: Final = 1000.0  # voxels
#: A size in a state is the folder's if it differs by less: files state it with other rounding.
_ROUNDING: Final = 0.01
_UNITS: Final = {"m": 1e10, "mm": 1e7, "um": 1e4, "µm": 1e4, "nm": 10.0, "pm": 0.01}
_ORDERS: Final = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}
_STORED: Final = re.compile(
    r"(?:\w+://)?(?:https://(?:files\.cryoetdataportal\.cziscience\.com"
    r"|cryoet-data-portal-public\.s3[\w.-]*\.amazonaws\.com)|s3://cryoet-data-portal-public)/([^|]+)"
)
_IN_RUN: Final = re.compile(
    r"([0-9]{1,10})/([^/]{1,300})/Reconstructions/VoxelSpacing([0-9]{1,6}(?:\.[0-9]{1,6})?)/"
    r"(?:Tomograms/[^/]+/[^/]+|NeuroglancerPrecompute/([0-9]+)-([^/]+)_([a-z]+))/?"
)
_LAYER_NAME: Final = re.compile(r"[0-9]+ (.+) [a-z]+")
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
#: The annotation files that layers are made from: ending and shape.
_FILES: Final = {
    "point": ("point.ndjson", "Point"),
    "orientedpoint": ("orientedpoint.ndjson", "OrientedPoint"),
    "orientedmesh": ("orientedpoint.ndjson", "OrientedPoint"),
    "instancesegmentation": ("instancesegmentation.ndjson", "InstanceSegmentation"),
    "segmentationmask": ("segmentationmask.zarr", "SegmentationMask"),
    "triangularmesh": ("triangularmesh.glb", "Mesh"),
}

Coordinate = Annotated[float, Meta(ge=-1e7, le=1e7)]
Scale = Annotated[float, Meta(gt=0, le=1e7)]
Part = Annotated[float, Meta(ge=-10, le=10)]


class _State(msgspec.Struct, rename="camel"):
    """What we read of Neuroglancer's state."""

    dimensions: dict[str, tuple[Scale, str]] = {}
    position: list[Coordinate] = []
    cross_section_scale: Scale = 1.0
    projection_scale: Scale | None = None
    projection_orientation: tuple[Part, Part, Part, Part] = (0.0, 0.0, 0.0, 1.0)  # x, y, z, w
    layout: str | dict[str, Any] = "xy"
    layers: list[_Layer] = []

    @property
    def layout_name(self) -> str:
        """Such as "xy", "4panel" or "3d"."""
        name = self.layout.get("type") if isinstance(self.layout, dict) else self.layout
        return name if isinstance(name, str) else "xy"

    @property
    def view_angle(self) -> float:
        """Of the 3D view, in degrees; 0 without perspective."""
        if isinstance(self.layout, dict) and self.layout.get("orthographicProjection"):
            return 0.0
        return _VIEW_ANGLE


class _Layer(msgspec.Struct, rename="camel"):
    source: Any = None
    name: str = ""
    visible: bool = True
    archived: bool = False
    annotation_color: Any = None
    segment_default_color: Any = None
    segment_colors: dict[str, Any] = {}
    shader_controls: dict[str, Any] = {}

    @property
    def is_shown(self) -> bool:
        return self.visible and not self.archived


class _Place(msgspec.Struct, frozen=True):
    """What the path of a layer's source says."""

    dataset_id: int
    run_name: str
    spacing_angstrom: float
    path: str  # of the tomogram or the annotation file
    kind: str = ""  # how an annotation is drawn; empty for a tomogram


# reading


def read_state(fragment: str, run_id: int | None = None) -> View | None:
    """The view of a link's state, which is the text after ``#!``; None if the state is empty.

    If the link is ours and nobody moved on in Neuroglancer, it is the view that the link was made
    from. Otherwise position, zoom and visible layers are Neuroglancer's.

    Raises FormatError if it is damaged, too large, or shows none of the portal's data.
    """
    page = _page_state(fragment)
    data = _neuroglancer_part(page)
    if not data:
        return None
    state = _converted(data)
    theirs = _view_of(state, run_id)
    kept = _kept_part(page)
    if kept is None:
        return _checked(replace(theirs, layers=_visible(theirs)))
    return kept.view if kept.hash == _hash(state) else _checked(_moved(kept.view, theirs))


def _page_state(fragment: str) -> dict[str, Any]:
    """The state of the portal's page, or the bare state of another Neuroglancer."""
    fragment = fragment.strip()
    if re.match(r"[a-z][a-z0-9+.-]*://", fragment):
        raise FormatError("This link's state is in a file elsewhere, which isn't read.")
    if "%" in fragment:
        return _decoded(unquote(fragment))
    if fragment.startswith("{"):  # decoded by Qt
        return _decoded(fragment)
    if not fragment:
        return {}
    return _decoded(unquote(unpack(fragment.rstrip(AROUND)).decode(errors="replace")))


def _neuroglancer_part(page: dict[str, Any]) -> dict[str, Any]:
    part = page.get("neuroglancer", page)
    if isinstance(part, str):
        text = part.removeprefix("#").removeprefix("!")
        return _decoded(unquote(text) if "%" in text else text)
    return part if isinstance(part, dict) else {}


def _decoded(text: str) -> dict[str, Any]:
    if len(text) > MAX_UNPACKED:
        raise FormatError(f"This link is longer than {MAX_UNPACKED // 1_000_000} MB.")
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FormatError(f"This link is damaged ({error}).", hint="Copy it again.") from error
    if not isinstance(data, dict):
        raise FormatError("This link holds no state of a viewer.", hint="Copy it again.")
    return data


def _converted(data: dict[str, Any]) -> _State:
    try:
        return msgspec.convert(data, _State)
    except (msgspec.ValidationError, RecursionError) as error:
        raise FormatError(f"This link's state of Neuroglancer is invalid: {error}.") from error


class _Kept(msgspec.Struct):
    """What our links hold beside Neuroglancer's state."""

    hash: str
    view: View


def _kept_part(page: dict[str, Any]) -> _Kept | None:
    """Our part of the state of the portal's page; None if there is none, or it is damaged."""
    text = page.get(KEY)
    if not isinstance(text, str) or len(text) > 3 * MAX_BYTES:  # quoted
        return None
    try:
        kept = _decoded(unquote(text))
        return _Kept(str(kept.get("hash")), View.of(kept.get("view")))
    except FormatError:
        return None


def _view_of(state: _State, run_id: int | None) -> View:
    """The view of a state, with hidden layers too."""
    runs: dict[tuple[int, str], ViewedRun] = {}
    layers: dict[str, ViewedLayer] = {}
    spacings = []
    for layer, place in _places(state):
        run = ViewedRun(source="live", dataset_id=place.dataset_id, run_name=place.run_name)
        runs.setdefault((place.dataset_id, place.run_name), run)
        number = list(runs).index((place.dataset_id, place.run_name))
        read = _read_layer(layer, place, number)
        known = layers.get(place.path)
        if known is None or read.looks.visible:  # a mesh of oriented points is the same layer
            layers[place.path] = read
        spacings.append(place.spacing_angstrom)
    if not runs:
        raise FormatError("This link shows no data of the CryoET Data Portal.")
    if run_id is not None and len(runs) == 1:
        runs = {key: replace(run, run_id=run_id) for key, run in runs.items()}
    camera = _read_camera(state, spacings[0])
    return View(runs=tuple(runs.values()), layers=tuple(layers.values()), camera=camera)


def _checked(view: View) -> View:
    """A view whose values are within their bounds; FormatError otherwise."""
    return View.of(view.to_dict())


def _visible(view: View) -> tuple[ViewedLayer, ...]:
    return tuple(layer for layer in view.layers if layer.looks.visible)


def _places(state: _State) -> Iterator[tuple[_Layer, _Place]]:
    """The layers of the portal's data, and what their paths say."""
    for layer in state.layers:
        place = _place(layer)
        if place is not None:
            yield layer, place


def _place(layer: _Layer) -> _Place | None:
    sources = layer.source if isinstance(layer.source, list) else [layer.source]
    urls = [each.get("url") if isinstance(each, dict) else each for each in sources]
    places = (_place_of(url) for url in urls if isinstance(url, str))
    return next(filter(None, places), None)


def _place_of(url: str) -> _Place | None:
    stored = _STORED.match(url)
    match = _IN_RUN.fullmatch(unquote(stored[1])) if stored else None
    if match is None:
        return None
    dataset, run, spacing, number, stem, kind = match.groups()
    path = match[0].rstrip("/")
    if number:
        ending = _FILES.get(kind, (kind, ""))[0]
        spacing_folder = path.partition("/NeuroglancerPrecompute/")[0]
        path = f"{spacing_folder}/Annotations/{number}/{stem}_{ending}"
    return _Place(int(dataset), run, float(spacing), path, kind or "")


def _read_layer(layer: _Layer, place: _Place, run: int) -> ViewedLayer:
    if not place.kind:
        tomogram = ViewedTomogram(path=place.path, voxel_spacing_angstrom=place.spacing_angstrom)
        looks = replace(_read_contrast(layer.shader_controls), visible=layer.is_shown)
        return ViewedLayer(run=run, kind="tomogram", tomogram=tomogram, looks=looks)
    name = _LAYER_NAME.fullmatch(layer.name)
    shape = _FILES.get(place.kind, ("", ""))[1]
    color = layer.annotation_color or layer.segment_default_color
    color = color or next(iter(layer.segment_colors.values()), None)
    if not isinstance(color, str) or not _COLOR.fullmatch(color) or shape == "InstanceSegmentation":
        color = None  # instances have colours of their own
    return ViewedLayer(
        run=run,
        kind="annotation",
        annotation=ViewedAnnotation(
            path=place.path, object_name=name[1] if name else "", shape=shape
        ),
        looks=Looks(visible=layer.is_shown, color=f"{color}ff" if color else None),
    )


def _read_contrast(controls: dict[str, Any]) -> Looks:
    contrast = controls.get("contrast")
    limits = contrast.get("range") if isinstance(contrast, dict) else None
    try:
        low, high = msgspec.convert(limits, tuple[float, float])
    except msgspec.ValidationError:
        return Looks()
    is_inverted = (low > high) != (controls.get("invert_contrast") is True)
    colormap = "gray_r" if is_inverted else "gray"
    return Looks(contrast_limits=(min(low, high), max(low, high)), colormap=colormap)


def _read_camera(state: _State, spacing_angstrom: float) -> Camera:
    voxel = _voxel_angstrom(state, spacing_angstrom)
    axes = list(state.dimensions)
    if len(state.position) != len(axes):
        raise FormatError("This link doesn't say which position it shows.")
    z, y, x = (state.position[axes.index(axis)] * voxel[axis] for axis in "zyx")
    layout = state.layout_name
    if layout == "3d":
        height = (state.projection_scale or _DEFAULT_FIELD) * voxel["x"]
    else:
        height = state.cross_section_scale * voxel["x"] * _PANEL[0]
    qx, qy, qz, qw = _unit(state.projection_orientation)
    camera = Camera(
        point_zyx_angstrom=(z, y, x),
        center_zyx_angstrom=(z, y, x),
        field_angstrom=(height, height * _PANEL[1] / _PANEL[0]),
        # Neuroglancer's z points away from you, ours toward you: half a turn around y
        orientation=(-qy, -qz, qw, qx),
        ortho=layout.startswith("4panel"),
    )
    if layout != "3d":
        return replace(camera, order=_ORDERS.get(layout[:2], camera.order))
    return replace(camera, ndisplay=3, perspective=state.view_angle)


def _voxel_angstrom(state: _State, spacing_angstrom: float) -> dict[str, float]:
    """The size of the state's voxels along x, y and z."""
    sizes = {}
    for axis in "xyz":
        size, unit = state.dimensions.get(axis, (0.0, "m"))
        sizes[axis] = size * _UNITS.get(unit, 0.0)
        if abs(sizes[axis] / spacing_angstrom - 1) < _ROUNDING:
            sizes[axis] = spacing_angstrom
        if not sizes[axis] > 0:
            raise FormatError(f"This link doesn't say how large its voxels are along {axis}.")
    return sizes


def _unit(quaternion: tuple[float, ...]) -> tuple[float, float, float, float]:
    length = math.hypot(*quaternion)
    if length == 0:
        return 0.0, 0.0, 0.0, 1.0
    x, y, z, w = (part / length for part in quaternion)
    return x, y, z, w


# our view and a state that has changed since


def _hash(state: _State) -> str:
    """A short hash of position, zoom and visible layers, as precise as we write them.

    Neuroglancer keeps positions in single precision and normalises rotations.
    """
    scale = state.projection_scale if state.layout_name == "3d" else state.cross_section_scale
    facts = (
        [round(part, 2) for part in state.position],
        state.layout_name,
        f"{scale or 0:.3e}",
        [round(part, 3) for part in _unit(state.projection_orientation)],
        sorted(place.path for layer, place in _places(state) if layer.is_shown),
    )
    return hashlib.blake2b(msgspec.json.encode(facts), digest_size=4).hexdigest()


def _moved(ours: View, theirs: View) -> View:
    """Our view with another's position, zoom and visible layers; the other has hidden ones too."""
    runs = list(ours.runs)
    names = [(run.dataset_id, run.run_name) for run in runs]
    others = {_path(layer): layer for layer in theirs.layers}
    layers = []
    for layer in ours.layers:
        other = others.pop(_path(layer), layer)
        layers.append(replace(layer, looks=replace(layer.looks, visible=other.looks.visible)))
    for layer in others.values():
        if layer.looks.visible:
            run = theirs.runs[layer.run]
            if (run.dataset_id, run.run_name) not in names:
                names.append((run.dataset_id, run.run_name))
                runs.append(run)
            layers.append(replace(layer, run=names.index((run.dataset_id, run.run_name))))
    camera = _moved_camera(ours.camera, theirs.camera)
    return replace(ours, runs=tuple(runs), layers=tuple(layers), camera=camera)


def _moved_camera(ours: Camera, theirs: Camera) -> Camera:
    is_same_plane = ours.ndisplay == 3 or ours.order == theirs.order
    if ours.ndisplay != theirs.ndisplay or not is_same_plane:
        return theirs
    zoom = _height(theirs) / _height(ours)
    height, width = ours.field_angstrom
    moved = replace(
        ours,
        point_zyx_angstrom=theirs.point_zyx_angstrom,
        center_zyx_angstrom=theirs.center_zyx_angstrom,
        field_angstrom=(height * zoom, width * zoom),
        ortho=theirs.ortho,
    )
    if ours.ndisplay == 2:  # its state isn't written with our orientation
        return moved
    return replace(moved, order=theirs.order, orientation=theirs.orientation)


def _height(camera: Camera) -> float:
    """The height of a panel that shows at least the camera's field, in ångström."""
    height, width = camera.field_angstrom
    return max(height, width * _PANEL[0] / _PANEL[1])


def _path(layer: ViewedLayer) -> str:
    file = layer.tomogram or layer.annotation
    return file.path if file is not None else layer.file


# writing


def linkable_tomogram(view: View) -> ViewedTomogram | None:
    """The tomogram on whose state the portal's link to a view is based; None if there is none.

    It is the first visible one of the live portal, if the ids of it and its run are known.
    """
    for layer in _visible(view):
        run = view.runs[layer.run]
        is_linkable = layer.kind == "tomogram" and run.source == "live" and run.run_id is not None
        if is_linkable and layer.tomogram is not None and layer.tomogram.id is not None:
            return layer.tomogram
    return None


def portal_link(view: View, config: str) -> str:
    """The link that shows a view in the portal's viewer, and exactly the view in napari.

    It has the hidden layers of ``config`` too, unless that makes it too long.

    Parameters
    ----------
    view
        A view with a `linkable_tomogram`.
    config
        The portal's ``neuroglancerConfig`` of that tomogram.

    Raises
    ------
    FormatError
        If there is no such tomogram, or the state of the portal is missing or invalid.
    """
    tomogram = linkable_tomogram(view)
    if tomogram is None:
        raise FormatError("This view shows no tomogram of the live portal.")
    data = _decoded(config or "{}")
    if not data:
        raise FormatError("The portal has no viewer for this tomogram.")
    _write_layers(data, view)
    _write_camera(data, view.camera, _spacing(data))
    ours = view.to_dict()
    del ours["$schema"]
    kept = {"hash": _hash(_converted(data)), "view": ours}
    run = next(view.runs[each.run] for each in view.layers if each.tomogram is tomogram)
    address = PORTAL_TERMS.page_url("view/run", run.run_id or 0)
    link = _page_link(address, data, kept)
    if len(link) > _LONG_LINK:
        data["layers"] = [layer for layer in data["layers"] if layer["visible"]]
        link = _page_link(address, data, kept)
    return link


def _page_link(address: str, data: dict[str, Any], kept: dict[str, Any]) -> str:
    # both parts are quoted alike, which compresses better
    page = {"neuroglancer": f"#!{_quoted(data)}", KEY: _quoted(kept)}
    return f"{address}#!{pack(_quoted(page).encode())}"


def _write_layers(data: dict[str, Any], view: View) -> None:
    """Show in a state the layers that a view shows, in its colours and contrast."""
    shown = {_path(layer): layer.looks for layer in _visible(view)}
    layers = data.get("layers", [])
    places = [_place(layer) for layer in _converted(data).layers]
    meshes = {place.path for place in places if place and place.kind == "orientedmesh"}
    for layer, place in zip(layers, places, strict=True):
        looks = shown.get(place.path) if place else None
        is_drawn_as_mesh = place and place.kind == "orientedpoint" and place.path in meshes
        layer["visible"] = looks is not None and not is_drawn_as_mesh
        layer.pop("archived", None)
        if looks is None:
            continue
        for key in ("annotationColor", "segmentDefaultColor"):
            if looks.color and key in layer:
                layer[key] = looks.color[:7]
        controls = layer.get("shaderControls", {})
        for control in map(controls.get, ("contrast", "contrast3D", "contrast_3D")):
            if looks.contrast_limits and isinstance(control, dict):
                control["range"] = list(looks.contrast_limits)


def _write_camera(data: dict[str, Any], camera: Camera, spacing_angstrom: float) -> None:
    """Move a state to a camera's place."""
    state = _converted(data)
    voxel = _voxel_angstrom(state, spacing_angstrom)
    zyx = list(camera.center_zyx_angstrom)
    if camera.ndisplay == 2:
        zyx[camera.order[0]] = camera.point_zyx_angstrom[camera.order[0]]
    position = {axis: round(at / voxel[axis], 2) for axis, at in zip("zyx", zyx, strict=True)}
    data["position"] = [position.get(axis, 0.0) for axis in state.dimensions]
    height = _height(camera) / voxel["x"]
    if camera.ndisplay == 3:
        is_flat = camera.perspective == 0
        data["layout"] = {"type": "3d", "orthographicProjection": True} if is_flat else "3d"
        data["projectionScale"] = float(f"{height:.3e}")
        data["projectionOrientation"] = _written_orientation(camera)
        return
    layouts = {order: layout for layout, order in _ORDERS.items()}
    data["layout"] = "4panel" if camera.ortho else layouts.get(camera.order, "xy")
    data["crossSectionScale"] = float(f"{height / _PANEL[0]:.3e}")


def _written_orientation(camera: Camera) -> list[float]:
    """The rotation x, y, z, w with the camera's direction and its upright, in Neuroglancer's axes."""
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_quat(camera.orientation, scalar_first=True).as_matrix()
    rows = np.zeros((3, 3))
    rows[[2 - axis for axis in reversed(camera.order)]] = turned
    down = rows[:, 1]
    away = -rows[:, 2]
    axes = np.stack([np.cross(down, away), down, away], axis=1)
    return [round(float(part), 6) for part in Rotation.from_matrix(axes).as_quat()]


def _spacing(data: dict[str, Any]) -> float:
    places = list(_places(_converted(data)))
    if not places:
        raise FormatError("The portal's viewer shows no data for this tomogram.")
    return places[0][1].spacing_angstrom


def _quoted(data: dict[str, Any]) -> str:
    """JSON text as JavaScript's ``encodeURIComponent`` quotes it."""
    return quote(msgspec.json.encode(data), safe="!'()*-._~")
