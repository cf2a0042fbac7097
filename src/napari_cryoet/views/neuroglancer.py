"""Neuroglancer's state as a view, and a view as a link to the portal's viewer, which is Neuroglancer.

A state has positions in voxels and doesn't state the size of the window. Its layers are known by
their paths in the portal's storage. The portal's page keeps keys that it doesn't know, so our links
to it hold the whole view beside Neuroglancer's state.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from napari_cryoet.exceptions import FormatError
from napari_cryoet.records import PORTAL_TERMS
from napari_cryoet.views.packing import pack, unpack
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
#: Keys that the portal's pipeline keeps in a state and in its layers for itself.
_OF_GENERATOR: Final = (
    "deposition_id",
    "last_updated_at",
    "_position",
    "_crossSectionScale",
    "_projectionScale",
)
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
    hash_then, view = _our_part(page) or ("", None)
    if view is not None and hash_then == _hash(state):
        return view
    theirs = _view_of(state, run_id)
    view = _moved(view, theirs) if view else replace(theirs, layers=theirs.visible_layers)
    return View.of(view.to_dict())  # FormatError unless all values are within their bounds


def _page_state(fragment: str) -> dict[str, Any]:
    """The state of the portal's page, or the bare state of another Neuroglancer."""
    fragment = fragment.strip()
    if re.match(r"[a-z][a-z0-9+.-]*://", fragment):
        raise FormatError("This link's state is in a file elsewhere, which isn't read.")
    if not fragment:
        return {}
    if "%" not in fragment and not fragment.startswith("{"):  # which Qt may have decoded
        fragment = unpack(fragment.rstrip(AROUND)).decode(errors="replace")
    return _decoded(unquote(fragment))


def _neuroglancer_part(page: dict[str, Any]) -> dict[str, Any]:
    part = page.get("neuroglancer", page)
    if isinstance(part, str):
        return _decoded(unquote(part.removeprefix("#!")))
    return part if isinstance(part, dict) else {}


def _decoded(text: str) -> dict[str, Any]:
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


def _our_part(page: dict[str, Any]) -> tuple[str, View] | None:
    """The hash and the view in the state of the portal's page; None without, or if damaged."""
    text = page.get(KEY)
    if not isinstance(text, str) or len(text) > 3 * MAX_BYTES:  # quoted
        return None
    try:
        kept = _decoded(unquote(text))
        return str(kept.get("hash")), View.of(kept.get("view"))
    except FormatError:
        return None


def _view_of(state: _State, run_id: int | None) -> View:
    """The view of a state, with hidden layers too."""
    places = _places(state)
    known = [place for place in places if place is not None]
    if not known:
        raise FormatError("This link shows no data of the CryoET Data Portal.")
    names = list(dict.fromkeys((place.dataset_id, place.run_name) for place in known))
    hint = run_id if len(names) == 1 else None
    runs = (
        ViewedRun(source="live", dataset_id=dataset_id, run_name=name, run_id=hint)
        for dataset_id, name in names
    )
    layers: dict[str, ViewedLayer] = {}
    for layer, place in zip(state.layers, places, strict=True):
        # points with a mesh of each are two layers there and one here
        if place is not None and (place.path not in layers or layer.is_shown):
            number = names.index((place.dataset_id, place.run_name))
            layers[place.path] = _read_layer(layer, place, number)
    camera = _read_camera(state, known[0].spacing_angstrom)
    from_bottom = tuple(sorted(layers.values(), key=_depth))
    return View(runs=tuple(runs), layers=from_bottom, camera=camera)


def _depth(layer: ViewedLayer) -> int:
    """Tomograms lie below masks, and masks below picks; Neuroglancer has no such order."""
    if layer.annotation is None:
        return 0
    return 1 if layer.annotation.shape == "SegmentationMask" else 2


def _places(state: _State) -> list[_Place | None]:
    """What the path of each layer says; None for other data than the portal's."""
    return [_place(layer.source) for layer in state.layers]


def _place(source: Any) -> _Place | None:
    if isinstance(source, list):
        return next(filter(None, map(_place, source)), None)
    url = source.get("url") if isinstance(source, dict) else source
    return _place_of(url) if isinstance(url, str) else None


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
    qx, qy, qz, qw = state.projection_orientation
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
    is_flat = isinstance(state.layout, dict) and state.layout.get("orthographicProjection")
    return replace(camera, ndisplay=3, perspective=0.0 if is_flat else _VIEW_ANGLE)


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


# our view and a state that has changed since


def _hash(state: _State) -> str:
    """A short hash of position, zoom and visible layers, less precise than Neuroglancer's numbers."""
    places = zip(state.layers, _places(state), strict=True)
    scale = state.projection_scale if state.layout_name == "3d" else state.cross_section_scale
    facts = (
        [round(part, 2) for part in state.position],
        state.layout_name,
        f"{scale or 0:.3e}",
        [round(part, 3) for part in state.projection_orientation],
        sorted(place.path for layer, place in places if place is not None and layer.is_shown),
    )
    return hashlib.blake2b(msgspec.json.encode(facts), digest_size=4).hexdigest()


def _moved(ours: View, theirs: View) -> View:
    """Our view with another's position, zoom and visible layers; the other has hidden ones too."""
    numbers = {(run.dataset_id, run.run_name): number for number, run in enumerate(ours.runs)}
    others = {layer.path: layer for layer in theirs.layers}
    layers = []
    for layer in ours.layers:
        other = others.pop(layer.path, layer)
        layers.append(replace(layer, looks=replace(layer.looks, visible=other.looks.visible)))
    for layer in others.values():
        run = theirs.runs[layer.run]
        number = numbers.get((run.dataset_id, run.run_name))
        if layer.looks.visible and number is not None:
            layers.append(replace(layer, run=number))
    return replace(ours, layers=tuple(layers), camera=_moved_camera(ours.camera, theirs.camera))


def _moved_camera(ours: Camera, theirs: Camera) -> Camera:
    if ours.ndisplay == theirs.ndisplay == 3:
        ours = replace(ours, order=theirs.order, orientation=theirs.orientation)
    if (ours.ndisplay, ours.order) != (theirs.ndisplay, theirs.order):
        return theirs
    zoom = _height(theirs) / _height(ours)
    height, width = ours.field_angstrom
    return replace(
        ours,
        point_zyx_angstrom=theirs.point_zyx_angstrom,
        center_zyx_angstrom=theirs.center_zyx_angstrom,
        field_angstrom=(height * zoom, width * zoom),
        ortho=theirs.ortho,
    )


def _height(camera: Camera) -> float:
    """The height of a panel that shows at least the camera's field, in ångström."""
    height, width = camera.field_angstrom
    return max(height, width * _PANEL[0] / _PANEL[1])


# writing


def linkable_tomogram(view: View) -> ViewedTomogram | None:
    """The tomogram on whose state the portal's link to a view is based; None if there is none.

    It is the first visible one of the live portal, if the ids of it and its run are known.
    """
    for layer in view.visible_layers:
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
    state = _converted(data)
    places = _places(state)
    place = next(filter(None, places), None)
    if place is None:
        raise FormatError("The portal has no viewer for this tomogram.")
    for key in _OF_GENERATOR:
        data.pop(key, None)
    _write_layers(data["layers"], places, view)
    data |= _written_camera(view.camera, state, place.spacing_angstrom)
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
    # both parts are quoted alike, and the state starts as a quoted one, for the page's test for "%"
    state = _quoted(data).replace("{", "%7B", 1)
    page = {"neuroglancer": f"#!{state}", KEY: _quoted(kept)}
    return f"{address}#!{pack(_quoted(page).encode())}"


def _write_layers(layers: list[Any], places: list[_Place | None], view: View) -> None:
    """Show in a state the layers that a view shows, in its colours and contrast.

    Keys that Neuroglancer doesn't read are left out, as it does when it writes a state.
    """
    shown = {layer.path: layer.looks for layer in view.visible_layers}
    meshes = {place.path for place in places if place and place.kind == "orientedmesh"}
    for layer, place in zip(layers, places, strict=True):
        looks = shown.get(place.path) if place else None
        is_drawn_as_mesh = place and place.kind == "orientedpoint" and place.path in meshes
        layer["visible"] = looks is not None and not is_drawn_as_mesh
        for key in ("archived", *_OF_GENERATOR):
            layer.pop(key, None)
        if looks is None:
            continue
        for key in ("annotationColor", "segmentDefaultColor"):
            if looks.color and key in layer:
                layer[key] = looks.color[:7]
        controls = layer.get("shaderControls", {})
        for control in map(controls.get, ("contrast", "contrast3D", "contrast_3D")):
            if looks.contrast_limits and isinstance(control, dict):
                control["range"] = list(looks.contrast_limits)


def _written_camera(camera: Camera, state: _State, spacing_angstrom: float) -> dict[str, Any]:
    """The part of a state that shows a camera's place."""
    voxel = _voxel_angstrom(state, spacing_angstrom)
    middle = zip("zyx", camera.middle_zyx_angstrom, strict=True)
    position = {axis: round(at / voxel[axis], 2) for axis, at in middle}
    place = {"position": [position.get(axis, 0.0) for axis in state.dimensions]}
    height = _height(camera) / voxel["x"]
    if camera.ndisplay == 2:
        layouts = {order: layout for layout, order in _ORDERS.items()}
        layout = "4panel" if camera.ortho else layouts.get(camera.order, "xy")
        return {**place, "layout": layout, "crossSectionScale": _rounded(height / _PANEL[0])}
    is_flat = camera.perspective == 0
    layout_3d = {"type": "3d", "orthographicProjection": is_flat}
    w, x, y, z = (round(part, 6) for part in camera.orientation)
    # as in reading; with other orders of the axes, the direction stays that of the portal
    orientation = (z, -w, -x, y) if camera.order == (0, 1, 2) else state.projection_orientation
    return {
        **place,
        "layout": layout_3d,
        "projectionScale": _rounded(height),
        "projectionOrientation": orientation,
    }


def _rounded(scale: float) -> float:
    return float(f"{scale:.3e}")


def _quoted(data: dict[str, Any]) -> str:
    """JSON text for ``decodeURIComponent``; quoting more than "%" would make links much longer."""
    return msgspec.json.encode(data).decode().replace("%", "%25")
