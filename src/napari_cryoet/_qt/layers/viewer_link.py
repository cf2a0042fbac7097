"""The only one who adds layers to the viewer and takes them away again; touches nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.layers.active_layer import active_layer
from napari_cryoet._qt.layers.adopting import adopt_layers_of
from napari_cryoet._qt.layers.appearance import Appearance, appearance_of, paint, watch
from napari_cryoet._qt.layers.fitted_view import FittedView
from napari_cryoet._qt.layers.layer_watch import LayerWatch
from napari_cryoet._qt.layers.misfits import remark_on_misfits
from napari_cryoet._qt.layers.own_layers import LayerKey, OwnLayers, group_of, key_of, tag
from napari_cryoet._qt.picks.discs import show_as_discs
from napari_cryoet._qt.streaming.progressive import StreamStatus, display_of, make_layer, stream_of
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.question import Question
from napari_cryoet._qt.widgets.theme import colors_of as theme_colors
from napari_cryoet._qt.widgets.timers import single_shot
from napari_cryoet.appearance.colors import RGBA, annotation_colors
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.load import load_annotation, load_tilt_series, load_tomogram, tomogram_name
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile, TiltSeries, Tomogram
from napari_cryoet.streaming import Display
from napari_cryoet.wording import plain

MayDiscard = Callable[[str], bool]


class ViewerLink(QObject):
    """Shows tomograms and annotations as layers, and tells when a person changes or removes them.

    Work is done by ``tasks`` under the keys `LayerKey`; layers come whole or not at all. Each run has a group of
    layers: image below masks below meshes below arrows below points. What is shown already is brought forward, not
    shown twice.

    Parameters
    ----------
    viewer
        Whose layers these are. Its camera and slice move only if we are alone in it.
    tasks
        Where loading runs; by default its own.
    may_discard
        Asked with a layer's name before a layer that a person edited is removed; by default a box asks.

    Attributes
    ----------
    replaces_own_layers
        Whether opening a tomogram of another run takes away our layers of the runs before.
    """

    changed = Signal()  # what is shown, or on its way: ask `shown` and `coming`
    streams_changed = Signal()  # layers came, went or got other names, anybody's: ask `streams`
    appearance_changed = Signal(object)  # LayerKey of a shown layer whose name, eye or colour changed: `appearance`
    failed = Signal(object, object)  # LayerKey, CryoETError
    remarked = Signal(object, str)  # LayerKey, what to know of the layer

    def __init__(
        self,
        viewer: ViewerModel,
        tasks: Tasks | None = None,
        *,
        may_discard: MayDiscard | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.replaces_own_layers = False
        self._viewer = viewer
        self._tasks = tasks or Tasks(self)
        self._may_discard = may_discard or partial(ask_in_a_box, viewer)
        self._own = OwnLayers(viewer)
        self._coming: set[LayerKey] = set()
        self._tasks.cancelled.connect(self._on_cancelled)
        self._adding: LayerKey | None = None
        self._edited: set[str] = set()
        self._is_removing = False
        self._tidy = single_shot(self, 0, self._remove_orphans)
        self._fitted = FittedView(viewer, self)
        for layer in self._own:
            self._watch(layer)
        adopt_layers_of(viewer)
        viewer.layers.events.removed.connect(self._on_removed)
        self._layer_watch = LayerWatch(viewer, self)
        self._layer_watch.changed.connect(self.streams_changed)
        self._layer_watch.follow(True)

    # what is shown

    def shown(self) -> set[LayerKey]:
        """What has a layer now."""
        return self._own.shown()

    def coming(self) -> set[LayerKey]:
        """What is on its way."""
        return set(self._coming)

    def layers_of(self, key: LayerKey) -> list[Layer]:
        """The layers that show something, the main one first."""
        return self._own.of(key)

    def appearance(self, key: LayerKey) -> Appearance | None:
        """How something looks; None where it isn't shown."""
        layer = self._own.main(key)
        return None if layer is None else appearance_of(layer)

    def stream_of(self, key: LayerKey) -> StreamStatus | None:
        """How the picture of something is coming along; None where nothing of it streams."""
        layer = self._own.main(key)
        return None if layer is None else stream_of(layer)

    def display_of(self, key: LayerKey) -> Display | None:
        """What something's picture is made from; None where nothing of it streams."""
        layer = self._own.main(key)
        return None if layer is None else display_of(layer)

    def streams(self) -> list[tuple[Layer, StreamStatus]]:
        """Every layer that streams, from bottom to top: a person's copies and what napari opened as well."""
        return [(layer, stream) for layer in self._viewer.layers if (stream := stream_of(layer)) is not None]

    # showing and hiding

    def open_tomogram(self, page: RunPage, tomogram: Tomogram) -> None:
        """Show a tomogram, or bring it forward."""

        def work(job: Job) -> tuple[LayerSpec, ...]:
            return (load_tomogram(tomogram, stop=job.stop),)

        self._show(LayerKey("tomogram", tomogram.id), page, work, title=f"Opening {tomogram_name(tomogram)}")

    def show_annotation(self, page: RunPage, file: AnnotationFile, tomogram: Tomogram | None = None) -> None:
        """Show an annotation file, or bring it forward; whether it fits is for others to ask.

        Parameters
        ----------
        tomogram
            Lends its voxel spacing where the file's record lacks it.
        """
        key = LayerKey("annotation", file.id)
        annotation = file.shape.annotation if file.shape is not None else None
        color = None if annotation is None else annotation_colors(page.annotations).get(annotation.id)

        def work(job: Job) -> tuple[LayerSpec, ...]:
            return load_annotation(file, tomogram, run_tomograms=page.tomograms, color=color, stop=job.stop)

        self._show(key, page, work, title="Opening an annotation")

    def show_tilt_series(self, page: RunPage, series: TiltSeries) -> None:
        """Show a tilt series, or bring it forward; in a viewer of its own, since it has other axes than a tomogram."""

        def work(job: Job) -> tuple[LayerSpec, ...]:
            return (load_tilt_series(series, run=page.run, stop=job.stop),)

        self._show(LayerKey("tilt series", series.id), page, work, title=f"Opening a tilt series of {page.run.name}")

    def hide(self, key: LayerKey) -> bool:
        """Stop it coming and remove its layers; False if the person wants to keep what they edited."""
        if key in self._coming:
            self.stop(key)
        if key == self._adding:
            return True  # napari can't let go of a layer that it is still adding: `_insert` takes it out
        layers = self._own.of(key)
        edited = [layer.name for layer in layers if str(layer.unique_id) in self._edited]
        if edited and not self._may_discard(edited[0]):
            self.changed.emit()
            return False
        self._remove(layers)
        return True

    def hide_annotation(self, file: AnnotationFile) -> bool:
        """Remove the layers of an annotation file."""
        return self.hide(LayerKey("annotation", file.id))

    def stop(self, key: LayerKey | None = None) -> None:
        """Stop what is on its way, or one of it; nothing of it becomes a layer."""
        for waiting in [key] if key is not None else tuple(self._coming):
            self._no_longer_coming(waiting)
            self._tasks.stop(waiting)
        self.changed.emit()

    def close(self) -> None:
        """Stop everything and let go of the viewer; layers stay."""
        self.stop()
        self._tidy.stop()
        self._layer_watch.follow(False)
        self._fitted.close_down()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    # how rows change layers

    def set_visible(self, key: LayerKey, is_visible: bool) -> None:
        """Open or close the eye of something, arrows included."""
        for layer in self._own.of(key):
            layer.visible = is_visible

    def set_color(self, key: LayerKey, color: RGBA) -> None:
        """Paint something, arrows included."""
        for layer in self._own.of(key):
            paint(layer, color)

    def rename(self, key: LayerKey, name: str) -> None:
        """Give something's main layer another name."""
        layer = self._own.main(key)
        if layer is not None and name:
            layer.name = name

    # from here on: how it is done

    def _show(self, key: LayerKey, page: RunPage, work: Callable[[Job], tuple[LayerSpec, ...]], *, title: str) -> None:
        layer = self._own.main(key)
        if layer is not None:
            layer.visible = True
            self._viewer.layers.selection.active = layer
            return
        if key in self._coming:
            return
        self._coming.add(key)
        self.changed.emit()

        self._tasks.run(
            key, work, then=partial(self._on_loaded, key, page), failed=partial(self._on_failed, key), title=title
        )

    def _no_longer_coming(self, key: LayerKey) -> None:
        self._coming.discard(key)

    def _on_cancelled(self, key: object) -> None:
        """Somebody stopped it in napari's activity dock."""
        if isinstance(key, LayerKey) and key in self._coming:
            self.stop(key)

    def _on_failed(self, key: LayerKey, error: CryoETError) -> None:
        self._no_longer_coming(key)
        self.changed.emit()
        self.failed.emit(key, error)

    def _on_loaded(self, key: LayerKey, page: RunPage, specs: tuple[LayerSpec, ...]) -> None:
        group = page.run.id
        try:  # it is still on its way, and can be stopped, until all of it is there
            if key.kind == "tomogram" and self.replaces_own_layers:
                self._remove_other_groups(group)
            is_there = key in self._coming and self._add(key, group, specs)
        finally:
            self._no_longer_coming(key)
            self.changed.emit()
        warnings = list(specs[0].options["metadata"][METADATA_KEY].get("warnings", ())) if is_there else []
        tomogram = self._own.main(key) if is_there and key.kind == "tomogram" else None
        if tomogram is not None and (misfit := remark_on_misfits(tomogram, self._own)):
            warnings.append(misfit)
        if warnings:
            self.remarked.emit(key, " ".join(warnings))

    def _add(self, key: LayerKey, group: object, specs: tuple[LayerSpec, ...]) -> bool:
        """Add all of the layers, or none where somebody says stop meanwhile; whether they are there."""
        viewer = self._viewer
        is_first_image = key.kind == "tomogram" and not self._own.strangers() and not self._has_tomogram()
        was_empty = not viewer.layers
        active = active_layer(viewer.layers)
        layers = [make_layer(spec, viewer=viewer)[0] for spec in specs]  # all of them before the first is added
        for layer in layers:
            tag(layer, key, group, is_main_layer=layer is layers[0])
            show_as_discs(layer)
        if not self._insert(key, group, layers):
            return False
        if is_first_image or (was_empty and key.kind == "tilt series"):
            self._fitted.fit(layers[0])  # also where napari did: the layer's fields have made the canvas smaller since
        if is_first_image and not was_empty:
            for axis, steps in enumerate(viewer.dims.nsteps):
                viewer.dims.set_current_step(axis, (steps - 1) // 2)
        if was_empty:
            viewer.canvas.overlays.scale_bar.visible = True
        if active is not None and key_of(active) is None:
            viewer.layers.selection.active = active  # whoever was at work there goes on
        else:
            viewer.layers.selection.active = layers[0]
        return True

    def _insert(self, key: LayerKey, group: object, layers: list[Layer]) -> bool:
        """Put layers where they belong; takes all out again if one can't be added, or whoever hears of one stops."""
        is_whole, self._adding = False, key
        try:
            for layer in layers:
                self._viewer.layers.insert(self._own.place_for(layer, group), layer)
                self._watch(layer)
                if key not in self._coming:
                    return False
            is_whole = True
        finally:
            self._adding = None
            if not is_whole:
                self._remove([layer for layer in layers if layer in self._viewer.layers])
        return True

    def _has_tomogram(self) -> bool:
        return any(key.kind == "tomogram" for key in self._own.shown())

    def _remove_other_groups(self, group: object) -> None:
        others = {key for layer in self._own if group_of(layer) != group and (key := key_of(layer)) is not None}
        for key in others:
            self.hide(key)

    def _remove(self, layers: Iterable[Layer]) -> None:
        self._is_removing = True
        try:
            for layer in layers:
                self._viewer.layers.remove(layer)
        finally:
            self._is_removing = False
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        """A layer went; if a person removed one of ours, what only goes with it follows, but not amid the removal."""
        key = key_of(event.value)
        if key is None:
            return
        if not self._is_removing:
            self._tidy.start()

    def _remove_orphans(self) -> None:
        """Remove arrows whose points are gone."""
        self._remove([layer for layer in self._own if (key := key_of(layer)) and self._own.main(key) is None])

    def _watch(self, layer: Layer) -> None:
        key, layer_id = key_of(layer), str(layer.unique_id)
        watch(layer, lambda: self.appearance_changed.emit(key))
        for name in ("data", "features", "paint"):
            emitter = getattr(layer.events, name, None)
            if emitter is not None:
                emitter.connect(lambda _event=None: self._edited.add(layer_id))


def ask_in_a_box(viewer: ViewerModel, name: str) -> bool:
    """Ask whether an edited layer may go."""
    question = Question(
        "Remove the layer?",
        f"You have edited the layer “{plain(name)}”.",
        verb="Remove",
        colors=theme_colors(viewer.theme),
        details="If it is removed, the changes are lost.",
        parent=QApplication.activeWindow(),  # plugins may not ask the viewer for its window
    )
    return question.ask()
