"""A view as frozen data, and as JSON: which layers are shown, how they are drawn, and from where.

Names come before ids, because the portal replaces annotations by better ones. Lengths are in
ångström and the camera has a field of view, because napari's zoom depends on the window.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import fields, replace

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import content_of, written_whole
from napari_cryoet.records import MAX_ID
from napari_cryoet.views.packing import pack

VERSION: Final = 1
SUFFIX: Final = ".view.json"
SCHEMA_URL: Final = "https://napari-cryoet.github.io/schemas/view-1.json"
#: Maximum size of the JSON text of a view.
MAX_BYTES: Final = 64_000
#: The scheme of our links, and the version of what follows it.
SCHEME: Final = "napari-cryoet"
LINK_VERSION: Final = 1

#: Maximum number of layers, and of picks selected in one.
MAX_PARTS: Final = 100
_MAX_LEVELS: Final = 30  # of parts within parts
_MORE: Final = "$more"  # a name that no key of a view has
_LISTS: Final = frozenset({"runs", "layers"})
_FAR: Final = 1e7

Text = Annotated[str, Meta(max_length=300)]
LongText = Annotated[str, Meta(max_length=10_000)]
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
Number = Annotated[float, Meta(ge=-_FAR, le=_FAR)]
Length = Annotated[float, Meta(gt=0, le=_FAR)]
Share = Annotated[float, Meta(ge=0, le=1)]
Color = Annotated[str, Meta(pattern=r"^#[0-9a-fA-F]{8}$")]
Zyx = tuple[Number, Number, Number]

P = TypeVar("P", bound="Part")


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a view; ``more`` keeps what a newer version states about it."""

    more: dict[str, Any] = msgspec.field(default_factory=dict, name=_MORE)


class ViewedRun(Part, frozen=True, kw_only=True):
    """A run that a view shows, or a folder of other files.

    Attributes
    ----------
    source
        "live", "demo", the address of a portal's server, or "pack"; empty for files beside the
        view's own file.
    pack_id
        The pack or download folder that the layers were opened from.
    dataset_id, run_name
        What identifies the run; ``run_id`` is a hint.
    """

    source: Text = ""
    pack_id: Text = ""
    dataset_id: Id | None = None
    run_name: Text = ""
    run_id: Id | None = None


class ViewedTomogram(Part, frozen=True, kw_only=True):
    """A tomogram or a tilt series, by its path in the portal's storage; the ids are hints.

    ``alignment`` is its method and type.
    """

    path: Text
    voxel_spacing_angstrom: Length | None = None
    processing: Text = ""
    reconstruction: Text = ""
    alignment: Text = ""
    alignment_id: Id | None = None
    id: Id | None = None


class ViewedAnnotation(Part, frozen=True, kw_only=True):
    """An annotation file, by its object and origin; the ids are hints."""

    path: Text
    object_name: Text = ""
    object_id: Text = ""
    shape: Text = ""
    method: Text = ""
    deposition_id: Id | None = None
    annotation_id: Id | None = None
    id: Id | None = None


class Looks(Part, frozen=True, kw_only=True):
    """How a layer is drawn, in napari's words; None is the default of its kind.

    ``threshold`` is that of the rendering "iso"; ``color`` is red, green, blue and opacity in
    hexadecimal; ``slab_angstrom`` the thickness of the shown slab of picks; ``symbol`` of
    ``arrows`` is "arrows" or "triads"; ``selected_zyx_angstrom`` are positions of selected picks.
    """

    visible: bool = True
    opacity: Share | None = None
    blending: Text | None = None
    contrast_limits: tuple[Number, Number] | None = None
    gamma: Annotated[float, Meta(gt=0, le=100)] | None = None
    colormap: Text | None = None
    rendering: Text | None = None
    depiction: Text | None = None
    plane_position_zyx_angstrom: Zyx | None = None
    plane_normal_zyx: Zyx | None = None
    plane_thickness_angstrom: Length | None = None
    level: Annotated[int, Meta(ge=0, le=20)] | None = None
    interpolation: Text | None = None
    threshold: Number | None = None
    attenuation: Number | None = None
    color: Color | None = None
    symbol: Text | None = None
    size_angstrom: Length | None = None
    slab_angstrom: Annotated[float, Meta(ge=0, le=1e4)] | None = None
    arrows: Looks | None = None
    selected_zyx_angstrom: Annotated[tuple[Zyx, ...], Meta(max_length=MAX_PARTS)] = ()


class ViewedLayer(Part, frozen=True, kw_only=True):
    """A layer: a tomogram, an annotation, a tilt series, or a file beside the view's own file.

    ``run`` counts the view's runs from 0.
    """

    run: Annotated[int, Meta(ge=0, lt=MAX_PARTS)] = 0
    kind: Literal["tomogram", "annotation", "tilt series", "file"]
    tomogram: ViewedTomogram | None = None
    annotation: ViewedAnnotation | None = None
    file: Text = ""
    name: Text = ""
    looks: Looks = Looks()

    @property
    def path(self) -> str:
        """Its record's path in the portal's storage, or the file's."""
        record = self.annotation or self.tomogram
        return record.path if record is not None else self.file


class Camera(Part, frozen=True, kw_only=True):
    """What of the world the canvas shows, in ångström, axes z, y, x.

    Attributes
    ----------
    order
        The axes from the slider to the horizontal one.
    field_angstrom
        Height and width of the canvas. A window of other proportions shows at least this.
    orientation
        The camera's rotation as a quaternion w, x, y, z, relative to the axes in their ``order``.
        It turns x, y, z into right, down and toward you.
    slab_angstrom
        The thickness of the slab that is averaged in 2D.
    """

    ndisplay: Literal[2, 3] = 2
    order: tuple[Literal[0, 1, 2], Literal[0, 1, 2], Literal[0, 1, 2]] = (0, 1, 2)
    point_zyx_angstrom: Zyx
    center_zyx_angstrom: Zyx
    field_angstrom: tuple[Length, Length]
    orientation: tuple[Number, Number, Number, Number] = (1.0, 0.0, 0.0, 0.0)
    perspective: Annotated[float, Meta(ge=0, lt=180)] = 0.0
    slab_angstrom: Annotated[float, Meta(ge=0, le=1e5)] = 0.0
    projection: Text | None = None
    ortho: bool = False

    @property
    def middle_zyx_angstrom(self) -> Zyx:
        """The place in the middle of the canvas; in 2D, on the plane that it shows."""
        middle = list(self.center_zyx_angstrom)
        if self.ndisplay == 2:
            through = self.order[0]
            middle[through] = self.point_zyx_angstrom[through]
        z, y, x = middle
        return z, y, x


class Words(Part, frozen=True, kw_only=True):
    """A view's title, what to look at, and the citation of its data, as plain text."""

    title: Text = ""
    text: LongText = ""
    citation: LongText = ""
    made_by: Text = ""
    made_at: Text = ""


class View(Part, frozen=True, kw_only=True):
    """What is on the canvas: layers from bottom to top, the camera, and words about it."""

    version: Annotated[int, Meta(ge=1, le=1000)] = VERSION
    runs: Annotated[tuple[ViewedRun, ...], Meta(max_length=MAX_PARTS)] = ()
    layers: Annotated[tuple[ViewedLayer, ...], Meta(max_length=MAX_PARTS)] = ()
    camera: Camera
    words: Words = Words()

    @property
    def visible_layers(self) -> tuple[ViewedLayer, ...]:
        """The layers without the hidden ones."""
        return tuple(layer for layer in self.layers if layer.looks.visible)

    @classmethod
    def of(cls, data: object) -> View:
        """A view from plain data, such as a part of a larger JSON text; FormatError if it isn't one."""
        if not _is_flat(data):
            raise FormatError("This isn't a view: its parts are nested too deep.")
        try:
            view = msgspec.convert(data, cls)
        except (msgspec.ValidationError, RecursionError) as error:
            raise FormatError(f"This isn't a view: {error}.") from error
        n_runs = len(view.runs)
        if any(layer.run >= n_runs for layer in view.layers):
            raise FormatError("This isn't a view: a layer is of a run that it doesn't list.")
        if sorted(view.camera.order) != [0, 1, 2] or not any(view.camera.orientation):
            raise FormatError("This isn't a view: its camera has no direction.")
        assert isinstance(data, dict)  # noqa: S101 - msgspec made a struct of it
        return _with_more(view, data)

    @classmethod
    def of_json(cls, text: bytes | str) -> View:
        """A view from its JSON text; FormatError if it isn't one or is too large."""
        if len(text) > MAX_BYTES:
            raise FormatError(f"This view is larger than {MAX_BYTES // 1000} kB.")
        try:
            data = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise FormatError(f"This isn't a view: {error}.") from error
        return cls.of(data)

    def to_dict(self) -> dict[str, Any]:
        """The view as plain data, with everything that was read."""
        return {"$schema": SCHEMA_URL} | self._plain()

    def to_json(self) -> bytes:
        """The view as indented JSON text."""
        return msgspec.json.format(msgspec.json.encode(self.to_dict()), indent=1) + b"\n"

    def link(self) -> str:
        """A link that holds the whole view; SaveError if that is too large."""
        text = msgspec.json.encode(self._plain())
        if len(text) > MAX_BYTES:
            raise _too_large()
        return f"{SCHEME}://v{LINK_VERSION}/{pack(text)}"

    def _plain(self) -> dict[str, Any]:
        data: dict[str, Any] = _with_more_beside(msgspec.to_builtins(self))
        return {"version": self.version} | data


def view_schema() -> dict[str, Any]:
    """The JSON schema of a view's file."""
    schema = msgspec.json.schema(View)
    for part in schema["$defs"].values():
        del part["properties"][_MORE]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_URL}
    return head | schema


def read_view(path: str | Path) -> View:
    """Read a view's file; FormatError if it isn't one or can't be read."""
    return View.of_json(content_of(Path(path), MAX_BYTES))


def write_view(view: View, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a view's file and return its path, whose suffix becomes ``.view.json``.

    Raises ExistsError if there is one and not ``overwrite``, SaveError if it can't be written.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        path = path.with_name(path.name.removesuffix(".json") + SUFFIX)
    text = view.to_json()
    if len(text) > MAX_BYTES:
        raise _too_large()
    with written_whole(path, overwrite=overwrite) as unfinished:
        unfinished.write_bytes(text)
    return path


def zyx_of(values: Iterable[float]) -> Zyx:
    """A position from numbers of any kind."""
    z, y, x = map(float, values)
    return z, y, x


def _is_flat(data: object, levels: int = _MAX_LEVELS) -> bool:
    """Whether plain data is nested so little that it can be written again."""
    if not isinstance(data, dict | list | tuple):
        return True
    parts = data.values() if isinstance(data, dict) else data
    return levels > 0 and all(_is_flat(part, levels - 1) for part in parts)


def _too_large() -> SaveError:
    return SaveError(f"This view would be larger than {MAX_BYTES // 1000} kB.")


# what newer versions state


def _with_more(part: P, data: dict[str, Any]) -> P:
    """A part with the unknown keys of the data that it was converted from, as are its own parts."""
    known: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Part):
            known[field.name] = _with_more(value, data.get(field.name, {}))
        elif field.name in _LISTS:
            pairs = zip(value, data.get(field.name, ()), strict=True)
            known[field.name] = tuple(_with_more(each, given) for each, given in pairs)
    names = {field.encode_name for field in fields(part)} | {"$schema"}
    more = {key: value for key, value in data.items() if key not in names}
    return replace(part, **known, more=more)


def _with_more_beside(data: Any) -> Any:
    """The plain data of a part with unknown keys beside the known ones."""
    if isinstance(data, list | tuple):
        return [_with_more_beside(each) for each in data]
    if not isinstance(data, dict):
        return data
    more = data.pop(_MORE, {})
    return {key: _with_more_beside(value) for key, value in data.items()} | more
