"""Adds our layers to the viewer, shows and hides them, and reports changes by the user.

One run is shown at a time: showing another run hides the previous one's layers and remembers their
visibility. Layers that napari creates from our data, for readers and duplicates, are set up when
they are inserted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.components.dims import RangeTuple
from napari.layers import Layer, Points
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.colors import Appearance, appearance_events, shown_color_of
from napari_cryoet._qt.layers.ownership import (
    LayerKey,
    LayerWatch,
    active_layer,
    add_layer,
    group_of,
    is_main,
    key_of,
    tag,
)
from napari_cryoet._qt.picks.slabs import show_as_discs
from napari_cryoet._qt.streaming.progressive import StreamStatus, make_layer, stream_of
from napari_cryoet._qt.tasks import Job, Tasks, single_shot
from napari_cryoet._qt.viewer.adding import adopt_layers_of, plane_kept, warm_up_for
from napari_cryoet._qt.widgets.connections import Connections
from napari_cryoet.appearance.colors import annotation_colors
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.load import (
    load_annotation,
    load_tilt_series,
    load_tomogram,
)
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile, TiltSeries, Tomogram

if TYPE_CHECKING:
    from napari_cryoet._qt.picks.edits import EditLog

#: Metadata key: the layer was visible when another run was shown, and becomes visible again with
#: its own run.
_WAITS: Final = "was_visible_with_its_run"


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """The data of a record whose layers are yet to be added."""

    key: LayerKey
    run_id: object
    specs: tuple[LayerSpec, ...]


class LayerManager(QObject):
    """Shows tomograms, annotations and tilt series as layers.

    Loading runs in ``tasks`` with the `LayerKey` as key. Layers are added one an event, the tomogram
    first, so that the window stays responsive. A record that has a layer already is shown, not
    loaded again. The camera and the slice move only when a run is shown for the first time or the
    run changes.
    """

    changed = Signal()  # of `shown`, `is_visible` or `coming`
    streams_changed = Signal()  # of `streams`: layers were added, removed or renamed, ours or not
    appearance_changed = Signal(object)  # LayerKey of a layer whose visibility or colour changed
    edits_changed = Signal()  # of a layer's `edits`
    said = Signal(str)  # status message of a record that is coming
    failed = Signal(object, object)  # LayerKey, CryoETError
    remarked = Signal(object, str)  # LayerKey, warning about the layer

    def __init__(
        self, viewer: ViewerModel, tasks: Tasks | None = None, *, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._tasks = tasks or Tasks(self)
        self._tasks.said.connect(self._on_said)
        self._coming: set[LayerKey] = set()
        self._loaded: list[_Loaded] = []
        self._further: list[Layer] = []  # arrows of points that were added
        self._n_added = 0  # since nothing was coming
        self._add_soon = single_shot(self, 0, self._add_next)
        self._run_id: object = None
        self._shows_together = False
        self._bounds: NDArray[np.float64] | None = None  # of the last visible volumes
        self._fitted: tuple[Any, ...] = ()
        self._show_scale_soon = single_shot(self, 0, self._show_scale)  # drawing text takes long
        self._show_field: Callable[[], object] = self._show_volumes
        # sizes change repeatedly while docks are laid out
        self._fit_soon = single_shot(self, 0, lambda: self.fit(self._show_field))
        viewer.canvas.events.size.connect(self._on_canvas_size)
        viewer.dims.events.range.connect(self._limit_range)
        self._listened: dict[Layer, Connections] = {}
        for layer in self._ours():
            self._listen_to(layer)
        adopt_layers_of(viewer)
        self._watch = LayerWatch(viewer, self)
        self._watch.changed.connect(self._on_layers)
        self._watch.removed.connect(self._on_removed)

    # layers in the viewer

    def shown(self) -> set[LayerKey]:
        """The keys of our layers in the viewer, visible or hidden."""
        return {
            key for layer in self._ours() if is_main(layer) and (key := key_of(layer)) is not None
        }

    def is_visible(self, key: LayerKey) -> bool:
        layer = self._main(key)
        return layer is not None and bool(layer.visible)

    def coming(self) -> set[LayerKey]:
        return set(self._coming)

    @property
    def progress(self) -> tuple[int, int]:
        """How many of the records that are being opened have layers, and how many there are."""
        return self._n_added, self._n_added + len(self._coming)

    def layers_of(self, key: LayerKey) -> list[Layer]:
        """The layers of a key, the main one first."""
        layers = [layer for layer in self._ours() if key_of(layer) == key]
        return sorted(layers, key=lambda layer: not is_main(layer))

    def appearance(self, key: LayerKey) -> Appearance | None:
        layer = self._main(key)
        if layer is None:
            return None
        return Appearance(is_visible=bool(layer.visible), color=shown_color_of(layer))

    def edits(self, key: LayerKey) -> EditLog | None:
        """The hand edits of a key's picks; None if it has no layer of picks."""
        return _edits_of(self._main(key))

    def streams(self) -> list[tuple[Layer, StreamStatus]]:
        """All streamed layers from bottom to top, including duplicates and layers that napari opened."""
        return [
            (layer, stream)
            for layer in self._viewer.layers
            if (stream := stream_of(layer)) is not None
        ]

    def _ours(self) -> list[Layer]:
        return [layer for layer in self._viewer.layers if key_of(layer) is not None]

    def _main(self, key: LayerKey) -> Layer | None:
        return next((layer for layer in self.layers_of(key) if is_main(layer)), None)

    # showing and hiding

    def open_tomogram(self, page: RunPage, tomogram: Tomogram) -> None:
        key = LayerKey("tomogram", tomogram.id)
        self._show(key, page, lambda job: (load_tomogram(tomogram, task=job),))

    def show_annotation(
        self, page: RunPage, file: AnnotationFile, tomogram: Tomogram | None = None
    ) -> None:
        """Show an annotation file, aligned or not.

        ``tomogram`` provides the voxel spacing if the record has none.
        """
        annotation = file.annotation
        color = (
            None if annotation is None else annotation_colors(page.annotations).get(annotation.id)
        )

        def work(job: Job) -> tuple[LayerSpec, ...]:
            return load_annotation(
                file, tomogram, run_tomograms=page.tomograms, color=color, task=job
            )

        self._show(LayerKey("annotation", file.id), page, work)

    def show_tilt_series(self, page: RunPage, series: TiltSeries) -> None:
        """Show a tilt series; use a separate viewer, because its axes differ from a tomogram's."""
        key = LayerKey("tilt series", series.id)
        self._show(key, page, lambda job: (load_tilt_series(series, run=page.run, task=job),))

    def hide(self, key: LayerKey) -> None:
        """Hide the layers of a key, and stop loading it."""
        if key in self._coming:
            self.stop(key)
        self.set_visible(key, False)

    def stop(self, key: LayerKey | None = None) -> None:
        """Stop loading a key, or all; no layer is added."""
        for loading in [key] if key is not None else tuple(self._coming):
            self._coming.discard(loading)
            self._tasks.stop(loading)
        self._loaded = [loaded for loaded in self._loaded if loaded.key in self._coming]
        self._add_soon.start()
        self.changed.emit()

    def close(self) -> None:
        """Stop loading and disconnect from the viewer; layers stay."""
        self.stop()
        self._watch.close()
        for timer in (self._add_soon, self._show_scale_soon, self._fit_soon):
            timer.stop()
        self._viewer.canvas.events.size.disconnect(self._on_canvas_size)
        self._viewer.dims.events.range.disconnect(self._limit_range)
        for connections in self._listened.values():
            connections.close()

    # one run at a time

    def show_together(self, *, is_on: bool) -> None:
        """Whether the layers of several runs are shown together."""
        self._shows_together = is_on
        self._apply_run()

    def show_run(self, run_id: int) -> None:
        """Hide our layers of other runs, and restore the visibility of this run's layers.

        The view is fitted if the bounds of the visible volumes change.
        """
        if run_id != self._run_id:
            self._run_id = run_id
            self._apply_run()

    def _apply_run(self) -> None:
        self._update_bounds()
        for layer in self._ours():
            if self._belongs(group_of(layer)):
                layer.visible |= bool(layer.metadata.get(_WAITS))
                _set_waiting(layer, False)
            elif layer.visible:
                _set_waiting(layer, True)
                layer.visible = False
        self._limit_range()
        self._fit_if_bounds_changed()
        self._activate_visible_layer()
        self.changed.emit()

    def _activate_visible_layer(self) -> None:
        """Activate a visible layer if the active one was hidden with its run."""
        active = active_layer(self._viewer.layers)
        shown = self._volumes() or [layer for layer in self._ours() if layer.visible]
        if active is not None and key_of(active) is not None and not active.visible and shown:
            self._viewer.layers.selection.active = shown[-1]

    def _limit_range(self, _event: Any = None) -> None:
        """Leave hidden layers out of the sliders' range, where napari counts them."""
        layers, dims, shown = self._viewer.layers, self._viewer.dims, self._volumes()
        left_out = [
            layer
            for layer in self._ours()
            if not self._belongs(group_of(layer)) or (shown and not layer.visible)
        ]
        counted = [layer for layer in layers if layer not in left_out]
        if not counted:
            return
        extent = layers.get_extent(counted)
        ranges = tuple(
            RangeTuple(*axis_range) for axis_range in zip(*extent.world, extent.step, strict=True)
        )
        if len(ranges) == dims.ndim and ranges != dims.range:
            with plane_kept(dims):
                dims.range = ranges

    def _belongs(self, run_id: object) -> bool:
        return self._shows_together or self._run_id is None or run_id == self._run_id

    def _volumes(self) -> list[Layer]:
        return [layer for layer in self._ours() if layer.visible and _is_volume(layer)]

    def _update_bounds(self) -> NDArray[np.float64] | None:
        """Update and return the bounds of the visible volumes, or of the last visible ones."""
        if volumes := self._volumes():
            self._bounds = np.array(self._viewer.layers.get_extent(volumes).world)
        return self._bounds

    def _fit_if_bounds_changed(self) -> None:
        """Fit the view to the visible volumes and go to their middle plane, unless their bounds are unchanged."""
        before, now, volumes = self._bounds, self._update_bounds(), self._volumes()
        if now is None or not volumes or (before is not None and np.allclose(before, now)):
            return
        self.fit(self._show_volumes)
        dims, step = self._viewer.dims, volumes[0].extent.step
        for axis in range(now.shape[1]):
            middle = (
                now[0, axis] + round((now[1, axis] - now[0, axis]) / step[axis]) // 2 * step[axis]
            )
            dims.set_point(axis + dims.ndim - now.shape[1], middle)

    def _show_volumes(self) -> None:
        self._viewer.reset_view(layers=self._volumes() or None)

    def fit(self, show_field: Callable[[], object]) -> None:
        """Show a field of view, again whenever docks resize the canvas, until the user moves the camera."""
        self._show_field = show_field
        show_field()
        self._fitted = self._camera()

    def _on_canvas_size(self, _event: Any = None) -> None:
        if self._fitted == self._camera():
            self._fit_soon.start()

    def _camera(self) -> tuple[Any, ...]:
        camera, dims = self._viewer.scene.camera, self._viewer.dims
        return camera.zoom, camera.center, camera.angles, dims.ndisplay, dims.order

    # visibility

    def set_visible(self, key: LayerKey, is_visible: bool) -> None:
        for layer in self.layers_of(key):
            layer.visible = is_visible
            _set_waiting(layer, False)
        self._limit_range()
        self.changed.emit()

    # loading

    def _show(
        self, key: LayerKey, page: RunPage, work: Callable[[Job], tuple[LayerSpec, ...]]
    ) -> None:
        self.show_run(page.run.id)
        layer = self._main(key)
        if layer is not None:
            self.set_visible(key, True)
            self._viewer.layers.selection.active = layer
        elif key not in self._coming:
            self._n_added = self._n_added if self._coming else 0
            self._coming.add(key)
            self.changed.emit()

            def load(job: Job) -> tuple[LayerSpec, ...]:
                specs = work(job)
                warm_up_for(spec.kind for spec in specs)
                return specs

            self._tasks.run(
                key,
                load,
                then=partial(self._on_loaded, key, page.run.id),
                failed=partial(self._on_failed, key),
            )

    def _on_said(self, key: object, _fraction: float, text: str) -> None:
        if key in self._coming:
            self.said.emit(text)

    def _on_failed(self, key: LayerKey, error: CryoETError) -> None:
        self._coming.discard(key)
        self._add_soon.start()
        self.changed.emit()
        self.failed.emit(key, error)

    def _on_loaded(self, key: LayerKey, run_id: object, specs: tuple[LayerSpec, ...]) -> None:
        self._loaded.append(_Loaded(key, run_id, specs))
        self._add_soon.start()

    def _add_next(self) -> None:
        """Add one layer; annotations wait for a tomogram that is coming."""
        if self._further:
            self._add_soon.start()
            layer = self._further.pop(0)
            self._insert(layer, active_layer(self._viewer.layers))
            self._on_added(key_of(layer))
            return
        tomograms = [loaded for loaded in self._loaded if loaded.key.kind == "tomogram"]
        is_awaited = any(key.kind == "tomogram" for key in self._coming)
        following = tomograms if is_awaited else self._loaded
        if not following:
            return
        loaded = following[0]
        self._loaded.remove(loaded)
        self._add_soon.start()
        try:
            self._add(loaded.key, loaded.run_id, loaded.specs)
        finally:
            self._on_added(loaded.key)
        warnings = loaded.specs[0].options["metadata"][METADATA_KEY].warnings
        if warnings:
            self.remarked.emit(loaded.key, " ".join(warnings))

    def _on_added(self, key: LayerKey | None) -> None:
        """A record is coming until the last of its layers is there."""
        if key in self._coming and not self._further:
            self._coming.remove(key)
            self._n_added += 1
        self.changed.emit()

    def _add(self, key: LayerKey, run_id: object, specs: tuple[LayerSpec, ...]) -> None:
        viewer = self._viewer
        other_layers = [layer for layer in viewer.layers if key_of(layer) is None]
        was_empty, had_volume = not viewer.layers, bool(self._volumes())
        active = active_layer(viewer.layers)
        main, *self._further = [make_layer(spec, viewer=viewer)[0] for spec in specs]
        for layer in (main, *self._further):
            tag(layer, key, run_id, is_main_layer=layer is main)
            show_as_discs(layer)
        self._insert(main, active if active in other_layers else main)
        if was_empty:
            self._show_scale_soon.start()
        if not had_volume and (self._bounds is not None or not other_layers):
            self._fit_if_bounds_changed()

    def _insert(self, layer: Layer, active: Layer | None) -> None:
        """Add a layer, and make ``active`` the active one."""
        if not self._belongs(group_of(layer)):  # the user switched to another run
            _set_waiting(layer, layer.visible)
            layer.visible = False
        add_layer(self._viewer, layer)
        self._listen_to(layer)
        self._viewer.layers.selection.active = active

    def _show_scale(self) -> None:
        self._viewer.canvas.overlays.scale_bar.visible = True

    # changes by the user

    def _listen_to(self, layer: Layer) -> None:
        connections = self._listened[layer] = Connections()
        for emitter in appearance_events(layer):
            connections.connect(emitter, self._on_appearance)
        log = _edits_of(layer)
        if log is not None:
            log.changed.connect(self.edits_changed)

    def _on_appearance(self, event: Any) -> None:
        key = key_of(event.source)
        if key is not None:
            self.appearance_changed.emit(key)

    def _on_layers(self) -> None:
        for _layer, stream in self.streams():
            stream.is_watched = True
        self.streams_changed.emit()

    def _on_removed(self, layer: Layer) -> None:
        if layer in self._listened:
            self._listened.pop(layer).close()
            self.changed.emit()


def _is_volume(layer: Layer) -> bool:
    key = key_of(layer)
    return key is not None and key.kind != "annotation"


def _set_waiting(layer: Layer, waits: bool) -> None:
    layer.metadata[_WAITS] = waits


def _edits_of(layer: Layer | None) -> EditLog | None:
    if not isinstance(layer, Points):
        return None
    from napari_cryoet._qt.picks.edits import edits_of  # here, as it brings reviews

    return edits_of(layer)
