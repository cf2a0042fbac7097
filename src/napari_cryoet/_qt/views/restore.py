"""Open a view: find its runs, load its layers in the background, then set their looks and the camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec.structs import replace
from napari.components import ViewerModel
from napari.components.layerlist import LayerList
from napari.layers import Image, Labels, Layer, Points, Surface
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.colors import shown_color_of
from napari_cryoet._qt.layers.ownership import LayerKey, about_of, real
from napari_cryoet._qt.layers.placement import ANGSTROM_PER_NM
from napari_cryoet._qt.ortho.dock import NAME as ORTHO
from napari_cryoet._qt.picks.orientations import orientation_of
from napari_cryoet._qt.picks.slabs import show_slab
from napari_cryoet._qt.seam import opened_from, show_in_full
from napari_cryoet._qt.tasks import Job, single_shot
from napari_cryoet._qt.viewer.adding import add_layers
from napari_cryoet._qt.views.camera import show_camera
from napari_cryoet._qt.views.capture import (
    attributes_of,
    hexadecimal,
    is_edited,
    positions_of,
    widths_of,
)
from napari_cryoet._qt.widgets.controls import agrees
from napari_cryoet._qt.widgets.dock import BROWSER, is_open, open_dock
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.readers import find_reader
from napari_cryoet.layers.specs import PICKS_KEY, LayerSpec, mesh_colormap
from napari_cryoet.locations import Location, host_of
from napari_cryoet.picks.orientations import Orientation
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.provenance import Provenance
from napari_cryoet.records import AnnotationFile, Tomogram
from napari_cryoet.views.finding import (
    OWN_SOURCES,
    Finding,
    FoundLayer,
    bytes_by_host,
    file_of,
    find_layers,
    find_run,
    foreign_host,
    guessed_bytes,
    host_of_record,
    runs_text,
    source_to_open,
)
from napari_cryoet.views.links import read_shared
from napari_cryoet.views.view import Camera, Looks, View, read_view
from napari_cryoet.wording import layer_name, plain, size_text, spacing_text

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_cryoet._qt.browser.dock import PortalBrowser
    from napari_cryoet.portal.links import Jump
    from napari_cryoet.portal.portal import Portal

VIEW: Final = "a view"  # topic of notices
_TASK: Final = "view"
_NEAR_VOXELS: Final = 0.5  # of a selected pick, as in reviews


def open_view(viewer: Viewer, view: View | Path | str, *, folder: Path | None = None) -> None:
    """Open a view in a viewer, through the portal's dock; its layers load in the background.

    The user's layers stay, and those of other runs are hidden.

    Parameters
    ----------
    view
        A view, or the path of its file.
    folder
        The folder of the view's file, for the files that it names.
    """
    if not isinstance(view, View):
        folder = Path(view).absolute().parent
        view = read_view(view)
    restorer_of(open_dock(viewer, BROWSER)).open(view, folder=folder)


def open_link(browser: PortalBrowser, text: str) -> Jump | None:
    """Open the view of a link or a file in a dock; return the record that another link leads to."""
    shared, folder = read_shared(text)
    if not isinstance(shared, View):
        return shared
    restorer_of(browser).open(shared, folder=folder)
    return None


def restorer_of(browser: PortalBrowser) -> Restorer:
    """The restorer of a dock, which the first call makes."""
    restorer: Restorer | None = browser.findChild(Restorer)
    return restorer or Restorer(browser)


@dataclass(frozen=True, slots=True)
class _Data:
    """What was found of a view off the GUI thread."""

    sources: Mapping[int, str]  # by run number
    pages: Mapping[int, RunPage]
    files: Mapping[int, tuple[Path, list[LayerSpec]]]  # by layer number
    remarks: list[str]


@dataclass(eq=False)
class _Opening:
    """A view whose layers are being loaded."""

    view: View
    keys: Mapping[int, LayerKey]  # by layer number
    remarks: list[str]
    layers: dict[int, Layer] = field(default_factory=dict)


class Restorer(QObject):
    """Opens views through a dock, one at a time; a newer one replaces one that is still opening."""

    opened = Signal(object, str)  # View that is shown, remarks about what is missing
    failed = Signal(object)  # CryoETError

    def __init__(self, browser: PortalBrowser) -> None:
        super().__init__(browser)
        self._browser = browser
        self._viewer: Any = real(browser.viewer)
        self._manager = browser.manager
        self._notice = browser.screens.notice
        self._tasks = browser.tasks
        self._volumes = browser.volumes
        #: Whether to ask for more hosts; otherwise their data are left out.
        self.asks = True
        self._tells_remarks = True
        #: The layers of the view that was opened last, by their numbers in it.
        self.layers: dict[int, Layer] = {}
        self._agreed: set[str] = set()
        self._opening: _Opening | None = None
        self._check_soon = single_shot(self, 0, self._check)
        self._manager.changed.connect(self._check_soon.start)
        self.failed.connect(partial(self._notice.show_error, topic=VIEW))
        browser.at_close(self.stop)

    def open(
        self,
        view: View,
        *,
        folder: Path | None = None,
        agreed: Iterable[str] = (),
        is_followed: bool = False,
    ) -> None:
        """Open a view; ``folder`` is that of its file.

        It is asked about each host that isn't the portal's, that of the open source, or in
        ``agreed``. What a followed view lacks isn't told: another one comes soon.
        """
        self._notice.show_notice("Opening a view…", "Stop", self.stop, is_news=True, topic=VIEW)
        self._tells_remarks = not is_followed
        self._opening = None
        source = self._browser.session.source
        if source is not None and source.kind == "url":
            self._agreed.add(host_of(source.location))
        self._agreed.update(agreed)
        hosts = {foreign_host(run.source) for run in view.runs} - {""}
        for host in sorted(hosts - self._agreed):
            if not self._agrees(view, host, guessed_bytes(view)):
                message = f"The view wasn't opened: it loads data from {host}."
                self.failed.emit(CryoETError(message, hint="Open it again and agree to that."))
                return
        open_portal = self._browser.session.portal_of
        work = partial(_find_data, view, folder, self._packs(), open_portal)
        self._tasks.run(
            _TASK,
            work,
            then=partial(self._on_data, view),
            failed=self.failed.emit,
            title="Opening a view",
        )

    def stop(self) -> None:
        """Stop opening; layers that are there already stay."""
        self._tasks.stop(_TASK)
        if self._opening is not None:
            keys = self._opening.keys.values()
            self._opening = None
            for key in keys:
                self._manager.stop(key)

    def _packs(self) -> list[str]:
        """The packs that the user has opened, the last one first."""
        recent = [each.source for each in self._browser.memory.recent]
        others = [each for each in recent if each not in OWN_SOURCES]
        return [each for each in others if Location.of(each).path is not None]

    def _agrees(self, view: View, host: str, size_bytes: int) -> bool:
        is_agreed = self.asks and agrees(
            self._browser,
            "Load data from another server?",
            f"This view shows {runs_text(view)}.",
            details=f"It loads them from {host}: about {size_text(size_bytes)} at first.",
            verb="Load",
        )
        if is_agreed:
            self._agreed.add(host)
        return is_agreed

    # loading

    def _on_data(self, view: View, data: _Data) -> None:
        finding = self._without_refused(view, find_layers(view, data.pages))
        if data.pages:
            first = min(data.pages)
            self._browser.show_run(data.sources[first], data.pages[first])
        if len({found.page.run.id for found in finding.layers}) > 1:
            self._browser.show_together(is_on=True)
        keys = {}
        for found in finding.layers:
            keys[found.number] = self._load(found, finding)
        self._opening = _Opening(view, keys, [*data.remarks, *finding.remarks])
        for number, (path, specs) in data.files.items():
            self._opening.layers[number] = self._file_layer(path, specs)
        self._check_soon.start()

    def _without_refused(self, view: View, finding: Finding) -> Finding:
        """Leave out layers from hosts that the user doesn't agree to."""
        remarks = list(finding.remarks)
        refused = set()
        for host, size_bytes in bytes_by_host(finding.layers, self._agreed).items():
            if not self._agrees(view, host, size_bytes):
                refused.add(host)
                remarks.append(f"Nothing was loaded from {host}.")
        layers = [each for each in finding.layers if host_of_record(each.record) not in refused]
        return Finding(tuple(layers), tuple(remarks))

    def _load(self, found: FoundLayer, finding: Finding) -> LayerKey:
        """Start to load a layer; its key."""
        manager = self._manager
        page = found.page
        match found.record:
            case Tomogram() as tomogram:
                manager.open_tomogram(page, tomogram)
                return LayerKey("tomogram", tomogram.id)
            case AnnotationFile() as file:
                records = [each.record for each in finding.layers if each.page is page]
                shown = [record for record in records if isinstance(record, Tomogram)]
                manager.show_annotation(page, file, (*shown, page.default_tomogram)[0])
                return LayerKey("annotation", file.id)
            case series:
                manager.show_tilt_series(page, series)
                return LayerKey("tilt series", series.id)

    def _file_layer(self, path: Path, specs: list[LayerSpec]) -> Layer:
        """The layer of a file: that of an earlier opening unless it was edited, else a new one."""
        for layer in self._viewer.layers:
            if layer.source.path == str(path) and not is_edited(layer):
                return layer
        with opened_from(path):
            return add_layers(self._viewer, specs)[-1]

    def _check(self) -> None:
        opening = self._opening
        if opening is not None and self._manager.coming().isdisjoint(opening.keys.values()):
            self._opening = None
            self._show(opening)

    # showing

    def _show(self, opening: _Opening) -> None:
        view = opening.view
        for number, key in opening.keys.items():
            layers = self._manager.layers_of(key)
            if layers:  # else loading failed or was stopped, which was said
                opening.layers[number] = layers[0]
                self._manager.set_visible(key, view.layers[number].looks.visible)
        for key in self._manager.shown() - set(opening.keys.values()):
            self._manager.set_visible(key, False)
        in_order = [opening.layers[number] for number in sorted(opening.layers)]
        _put_in_order(self._viewer.layers, in_order)
        _set_names({opening.layers[number]: view.layers[number].name for number in opening.layers})
        show_camera(self._viewer, view.camera)
        for number, layer in opening.layers.items():
            opening.remarks += self._set_looks(layer, view.layers[number].looks)
            if isinstance(layer, Image):
                layer.projection_mode = view.camera.projection or "none"
        has_window = hasattr(self._viewer, "window")
        if view.camera.ortho and has_window and not is_open(self._viewer, ORTHO):
            open_dock(self._viewer, ORTHO)
        self.layers = opening.layers
        show_camera(self._viewer, view.camera)  # looks may have moved it
        self._manager.fit(partial(_show_field, self._viewer, view.camera))
        remarks = " ".join(dict.fromkeys(opening.remarks))
        self._notice.withdraw(VIEW)
        if remarks and self._tells_remarks:
            show_in_full(plain(remarks), "warning")  # the dock's notices close with their page
        self.opened.emit(view, remarks)

    def _set_looks(self, layer: Layer, looks: Looks) -> list[str]:
        """Draw a layer as a view says; sentences about values that napari doesn't know."""
        names = attributes_of(layer, looks.rendering or "", is_3d=self._volumes.is_3d)
        if isinstance(layer, Points):
            names["symbol"] = "symbol"
        remarks = _set_values(layer, looks, names)
        _set_color(layer, looks)
        if isinstance(layer, Image) and looks.plane_position_zyx_angstrom is not None:
            _set_plane(layer, looks)
        if isinstance(layer, Points) and PICKS_KEY in layer.metadata:
            self._set_picks(layer, looks)
        if isinstance(layer, Image | Labels) and looks.level is not None:
            self._set_level(layer, looks.level)
        layer.visible = looks.visible
        return remarks

    def _set_level(self, layer: Image | Labels, level: int) -> None:
        """Show a level in 3D, unless it is too large here."""
        volumes = self._volumes
        possible = {cost.level for cost in volumes.levels(layer) if not cost.obstacle}
        if volumes.is_3d and level in possible and level != volumes.chosen(layer):
            volumes.choose(layer, level)

    def _set_picks(self, layer: Points, looks: Looks) -> None:
        width = widths_of(layer)[-1]
        if looks.size_angstrom is not None and len(layer.data):
            layer.size = looks.size_angstrom / width
        display = orientation_of(layer, self._viewer)
        arrows = looks.arrows
        if arrows is not None and arrows.symbol in set(Orientation):
            is_diameter = np.isclose(arrows.size_angstrom or 0, display.length_angstrom)
            display.show(arrows.symbol, None if is_diameter else arrows.size_angstrom)
            if display.layer is not None:
                _set_values(display.layer, arrows, attributes_of(display.layer, "", is_3d=False))
                display.layer.visible = arrows.visible
        elif display.layer is not None:
            display.show(Orientation.OFF)
        for shown in filter(None, (layer, display.layer)):
            show_slab(shown, (looks.slab_angstrom or 0) / ANGSTROM_PER_NM)
        positions = positions_of(layer)
        selected = set()
        for wanted in looks.selected_zyx_angstrom:
            distances = np.abs(positions - wanted).max(axis=1, initial=0)
            if len(distances) and distances.min() <= _NEAR_VOXELS * width:
                selected.add(int(distances.argmin()))
        layer.selected_data = selected


def _find_data(
    view: View,
    folder: Path | None,
    packs: Iterable[Path | str],
    open_portal: Callable[[str, Job], Portal],
    job: Job,
) -> _Data:
    """The pages of a view's runs, and its files; raises the error of a run if there is no other data."""
    sources: dict[int, str] = {}
    pages: dict[int, RunPage] = {}
    files: dict[int, tuple[Path, list[LayerSpec]]] = {}
    errors: list[CryoETError] = []
    portals: dict[str, Portal] = {}
    for number, run in enumerate(view.runs):
        job.check()
        if not run.source:
            continue  # of files
        try:
            source = source_to_open(run, packs, folder)
            portal = portals.setdefault(source, open_portal(source, job))
            pages[number] = find_run(portal, run, job)
            sources[number] = source
        except CryoETError as error:
            job.check()
            errors.append(error)
    for number, layer in enumerate(view.layers):
        if layer.kind != "file":
            continue
        try:
            path = file_of(layer, folder)
            files[number] = path, _read_file(path)
        except CryoETError as error:
            errors.append(error)
    if errors and not pages and not files:
        raise errors[0]
    return _Data(sources, pages, files, list(map(str, errors)))


def _read_file(path: Path) -> list[LayerSpec]:
    read, reason = find_reader(str(path))
    if read is None:
        raise CryoETError(reason or f"{path.name} can't be read.")
    return [LayerSpec(*layer) for layer in read(str(path))]


def _show_field(viewer: ViewerModel, camera: Camera) -> None:
    """Show a camera's field of view at the plane that is shown."""
    show_camera(viewer, replace(camera, point_zyx_angstrom=viewer.dims.point))


def _put_in_order(layers: LayerList, wanted: list[Layer]) -> None:
    """Order some layers among the places that they have now; the others stay where they are."""
    order = list(layers)
    places = sorted(order.index(layer) for layer in wanted)
    for place, layer in zip(places, wanted, strict=True):
        order[place] = layer
    for place, layer in enumerate(order):
        if layers[place] is not layer:
            layers.move(layers.index(layer), place)


def _set_names(names: Mapping[Layer, str]) -> None:
    """Name layers as the user did; an empty or former default name leaves a layer's own."""
    changed = {}
    for layer, name in names.items():
        if name and name != _former_default(about_of(layer)):
            changed[layer] = plain(name)
    for layer in changed:
        layer.name = ""  # else a name that another one gives up gets a number
    for layer, name in changed.items():
        layer.name = name


def _former_default(about: Provenance) -> str:
    """The default name of earlier versions, which put the run first: their views state it."""
    if about.kind == "annotation":
        method = "ground truth" if about.is_ground_truth else about.method_type
        return layer_name(about.run_name, about.object_name, method)
    spacing = about.voxel_spacing_angstrom
    shown = spacing_text(spacing) if isinstance(spacing, float) else ""
    return layer_name(about.run_name, about.processing, shown)


# looks


def _set_values(layer: Layer, looks: Looks, names: Mapping[str, str]) -> list[str]:
    """Set attributes that differ, by their fields; sentences about values that napari refuses."""
    remarks = []
    for field_name, name in names.items():
        value = getattr(looks, field_name)
        before = getattr(layer, name)
        if value is None or _is_same(before, value):
            continue
        try:
            setattr(layer, name, value)
        except (ValueError, KeyError, TypeError):
            setattr(layer, name, before)
            shown = plain(str(value))
            remarks.append(f"{plain(layer.name)}: napari doesn't know the {name} “{shown}”.")
    return remarks


def _is_same(before: Any, value: Any) -> bool:
    match value:
        case float():
            return bool(before == value)
        case tuple():
            return tuple(before) == value
    return str(getattr(before, "name", before)) == str(value)


def _set_color(layer: Layer, looks: Looks) -> None:
    """Give a layer one colour, unless it has that already."""
    now = shown_color_of(layer)
    if looks.color is None or (now is not None and hexadecimal(now) == looks.color.lower()):
        return
    rgba = [int(looks.color[start : start + 2], 16) / 255 for start in (1, 3, 5, 7)]
    match layer:
        case Points():
            faces = np.array(layer.face_color)
            faces[:, :3] = rgba[:3]
            layer.border_color = rgba
            layer.face_color = faces
        case Labels():
            colors = {None: rgba, 0: (0.0, 0.0, 0.0, 0.0), 1: rgba}
            layer.colormap = DirectLabelColormap(color_dict=colors)
        case Surface():
            layer.colormap = mesh_colormap((rgba[0], rgba[1], rgba[2], rgba[3]))


def _set_plane(layer: Image, looks: Looks) -> None:
    widths = widths_of(layer)
    position = np.array(looks.plane_position_zyx_angstrom) - layer.translate
    layer.plane.position = tuple(position / widths)
    if looks.plane_normal_zyx is not None and any(looks.plane_normal_zyx):
        layer.plane.normal = looks.plane_normal_zyx
    if looks.plane_thickness_angstrom is not None:
        layer.plane.thickness = looks.plane_thickness_angstrom / widths[-1]
