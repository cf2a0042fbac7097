"""Actions of a run's rows: showing and hiding layers, and the menus of tomograms and annotations."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from itertools import chain
from typing import Final

from napari.layers import Layer
from qtpy.QtCore import QObject, QPoint, Qt, Signal
from qtpy.QtWidgets import QMenu, QMessageBox

from napari_cryoet._qt.browser.run_page import RunView, Shown, key_of_row
from napari_cryoet._qt.layers.ownership import LayerKey, about_of
from napari_cryoet._qt.rooms import LAYERS
from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet._qt.widgets.controls import (
    add_item,
    copy_text,
    not_none,
    open_in_browser,
    passing_menu,
)
from napari_cryoet._qt.widgets.messages import NoticeBar
from napari_cryoet.discovery.matches import Matches
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.load import Caption, load_captions
from napari_cryoet.pages.run import tomogram_of
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile, ShapeType, Tomogram
from napari_cryoet.runs.outline import AnnotationRow, outline_run
from napari_cryoet.wording import count_text, joined, plain

POINTS: Final = frozenset(
    {ShapeType.POINT, ShapeType.ORIENTED_POINT, ShapeType.INSTANCE_SEGMENTATION}
)
MASKS: Final = frozenset({ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK})
_MAX_CAPTION_CHARS: Final = 2000
RUN_TOPIC: Final = "a run's layers"  # notices on this topic close when another run is shown


class RunLayers(QObject):
    """Connects the page of a run to the layers of the viewer."""

    dock_requested = Signal(str, object)  # dock name, layer to select in it
    ticked = Signal(object)  # layer that a tick in the list has shown
    drawing_requested = Signal(object, QPoint)  # points layer whose popover to open, position

    def __init__(
        self,
        manager: LayerManager,
        run: RunView,
        notice: NoticeBar,
        tasks: Tasks,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._manager, self._run, self._notice, self._tasks = manager, run, notice, tasks
        self._run_id: int | None = None
        self._wanted: Tomogram | None = None  # will replace the run's visible tomograms
        self._auto_hidden: set[LayerKey] = set()  # hidden together with the tomogram that they fit
        self._callbacks: dict[LayerKey, Callable[[Layer], None]] = {}  # for loading layers
        self._accepted: dict[LayerKey, str] = {}  # accepted warnings, which aren't repeated
        self._kept_counts: dict[int, int] = {}  # picks in edited versions, by file id, as on disk
        run.tomogram_open_requested.connect(self.open_tomogram)
        run.tomogram_stop_requested.connect(
            lambda tomogram: manager.stop(LayerKey("tomogram", tomogram.id))
        )
        run.tomograms.menu_requested.connect(self._open_tomogram_menu)
        run.row_toggled.connect(self._toggle_row)
        run.tree.menu_requested.connect(self._open_row_menu)
        run.page_shown.connect(self._on_page)
        manager.changed.connect(self._on_layers)
        manager.appearance_changed.connect(lambda _key: self._update())
        manager.edits_changed.connect(self._update)
        manager.failed.connect(self._on_failed)
        manager.remarked.connect(self._on_remarked)
        tasks.said.connect(self._on_said)

    # showing and hiding

    def open_tomogram(self, page: RunPage, tomogram: Tomogram) -> None:
        """Show a tomogram instead of the run's others."""
        self._wanted = tomogram
        self._manager.open_tomogram(page, tomogram)
        self._on_layers()

    def show(
        self, page: RunPage, tomogram: Tomogram, files: Collection[AnnotationFile]
    ) -> set[LayerKey]:
        """Show a tomogram instead of the run's others, and annotations on it; the keys of their layers."""
        self._run.choose(tomogram)
        self.open_tomogram(page, tomogram)
        for file in files:
            self.show_annotation(page, file)
        keys = {LayerKey("annotation", file.id) for file in files}
        return {LayerKey("tomogram", tomogram.id), *keys}

    def open_default(self, page: RunPage, matches: Matches | None = None) -> None:
        """Show what a search found in the run, by default the default tomogram and the curators' annotations.

        Of the matching annotations, one per object is shown.
        """
        ids = frozenset(chain(*matches.annotation_ids)) if matches is not None else frozenset()
        tomogram_ids = frozenset(matches.tomogram_ids) if matches is not None else frozenset()
        openable = [each for each in page.tomograms if each.url]
        matching = (each for each in openable if each.id in tomogram_ids)
        tomogram = next(matching, openable[0] if openable else None)
        if tomogram is None:
            self._offer_tilt_series(page)
        else:
            outline = outline_run(page, tomogram)
            wanted = (
                [row.shown_file for row in group.rows if row.annotation.id in ids]
                for group in outline.groups
            )
            files = [file for of_object in wanted for file in of_object[:1] if file is not None]
            self.show(page, tomogram, files or outline.defaults())

    def _offer_tilt_series(self, page: RunPage) -> None:
        """Say that a run without a tomogram leaves the canvas as it is."""
        text = f"{plain(page.run.name)} has no tomogram to show, so the canvas stays as it is."
        series = next((each for each in page.tilt_series if each.url), None)
        show = partial(self._run.tilt_series_toggled.emit, series)
        self._notice.show_notice(
            text,
            "" if series is None else "Show its tilt series",
            None if series is None else show,
            is_news=True,
            topic=RUN_TOPIC,
        )

    def show_annotation(self, page: RunPage, file: AnnotationFile) -> None:
        """Show an annotation file, even if it doesn't fit the tomogram."""
        self._manager.show_annotation(page, file, self._run.tomogram)

    def show_row(self, row: AnnotationRow) -> None:
        """Show a row's layer or caption; ask first if it doesn't fit the tomogram."""
        page, file = self._run.page, row.shown_file
        if row.caption_file is not None:
            self._show_caption(row, row.caption_file)
        elif page is None or file is None:
            return
        elif row.fits:
            self.show_annotation(page, file)
        else:
            self._ask_about_misfit(page, row, file)

    def _toggle_row(self, row: AnnotationRow) -> None:
        key = key_of_row(row)
        if key is not None and (key in self._run.shown.coming or self._run.shown.is_visible(key)):
            self._hide(key)
        elif row.shown_file is not None:
            self._with_layer(row, self.ticked.emit)
        else:
            self.show_row(row)

    def _hide(self, key: LayerKey) -> None:
        self._callbacks.pop(key, None)
        self._manager.hide(key)

    def _show_caption(self, row: AnnotationRow, file: AnnotationFile) -> None:
        def show(captions: tuple[Caption, ...]) -> None:
            text = "\n\n".join(caption.text for caption in captions) or "This caption is empty."
            box = QMessageBox(self._run)
            box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            box.setWindowTitle(joined(plain(row.annotation.object_name), row.summary))
            box.setTextFormat(Qt.TextFormat.PlainText)
            box.setText(text[:_MAX_CAPTION_CHARS])
            box.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            box.open()

        def fail(error: CryoETError) -> None:
            self._notice.show_error(error, partial(self._show_caption, row, file), topic=RUN_TOPIC)

        self._tasks.run(
            "caption", lambda job: load_captions(file, task=job), then=show, failed=fail
        )

    def _open_made_on(self, page: RunPage, row: AnnotationRow, tomogram: Tomogram) -> None:
        """Open the tomogram that an annotation was made on, and show the annotation over it."""
        self.show(page, tomogram, [] if row.shown_file is None else [row.shown_file])

    def _ask_about_misfit(self, page: RunPage, row: AnnotationRow, file: AnnotationFile) -> None:
        box = QMessageBox(self._run)
        box.setWindowTitle("Show it anyway?")
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(row.reason)
        box.setInformativeText("Shown here, its positions would be wrong.")
        tomogram = tomogram_of(page, row)
        other = (
            box.addButton("Open its tomogram", QMessageBox.ButtonRole.AcceptRole)
            if tomogram is not None
            else None
        )
        insist = box.addButton("Show anyway", QMessageBox.ButtonRole.DestructiveRole)
        cancel = box.addButton("Cancel", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(cancel)
        box.setEscapeButton(cancel)

        def answer(_result: int) -> None:
            if tomogram is not None and box.clickedButton() is other:
                self._open_made_on(page, row, tomogram)
            elif box.clickedButton() is insist:
                self._accepted[LayerKey("annotation", file.id)] = row.reason
                self.show_annotation(page, file)
            else:
                self._callbacks.pop(LayerKey("annotation", file.id), None)
            box.deleteLater()

        box.finished.connect(answer)
        box.open()

    # changes in the viewer

    def _on_page(self, page: RunPage) -> None:
        keys = {LayerKey("annotation", file.id) for file in page.annotation_files}
        if any(each.url for each in page.tomograms) or not keys.isdisjoint(self._manager.shown()):
            self._manager.show_run(page.run.id)  # else it would only empty the canvas
        if self._run_id != page.run.id:
            self._run_id = page.run.id
            self._notice.withdraw(RUN_TOPIC)
            self._kept_counts = {}
            self._tasks.run("kept edits", partial(_kept_counts, page), then=self._on_kept_counts)
            visible = (
                each
                for each in page.tomograms
                if self._manager.is_visible(LayerKey("tomogram", each.id))
            )
            self._run.choose(next(visible, page.default_tomogram))
        self._update()

    def _on_layers(self) -> None:
        shown, page, tomogram = self._manager.shown(), self._run.page, self._wanted
        if page is not None and tomogram is not None and LayerKey("tomogram", tomogram.id) in shown:
            self._wanted = None
            self._switch_to(page, tomogram)
        for key in set(self._callbacks) & shown:
            self._callbacks.pop(key)(self._manager.layers_of(key)[0])
        self._update()

    def _switch_to(self, page: RunPage, tomogram: Tomogram) -> None:
        """Hide other tomograms and annotations that don't fit.

        Show fitting ones that were hidden this way.
        """
        outline = outline_run(page, tomogram)
        others = {
            LayerKey("tomogram", each.id) for each in page.tomograms if each.id != tomogram.id
        }
        fitting = {
            key for group in outline.groups for row in group.rows if (key := key_of_row(row))
        }
        unfitting = {
            key
            for row in outline.other_alignment
            if (key := key_of_row(row)) and not self._is_marked(key)
        }
        misfits = {key for key in unfitting if self._manager.is_visible(key)}
        for key in (others & self._manager.shown()) | misfits:
            self._manager.set_visible(key, False)
        for key in self._auto_hidden & fitting & self._manager.shown():
            self._manager.set_visible(key, True)
        self._auto_hidden = (self._auto_hidden | misfits) - fitting
        if misfits:
            count = count_text(len(misfits), "annotation")
            text = f"Hid {count} made on another alignment of this run."
            self._notice.show_notice(text, is_news=True, topic=RUN_TOPIC)

    def _is_marked(self, key: LayerKey) -> bool:
        """Whether the user chose to show an annotation that doesn't fit.

        Its layer's name says so.
        """
        layers = self._manager.layers_of(key)
        fit = about_of(layers[0]).fit if layers else {}
        return fit.get("kind") in {"other_alignment", "unknown_alignment"}

    def _on_remarked(self, key: LayerKey, remark: str) -> None:
        if text := remark.replace(self._accepted.get(key, ""), "").strip():
            self._notice.show_notice(text, topic=RUN_TOPIC)

    def _on_failed(self, key: LayerKey, error: CryoETError) -> None:
        self._callbacks.pop(key, None)
        self._notice.show_error(error, partial(self._try_again, key), topic=RUN_TOPIC)

    def _try_again(self, key: LayerKey) -> None:
        page = not_none(self._run.page)
        for tomogram in page.tomograms:
            if key == LayerKey("tomogram", tomogram.id):
                self.open_tomogram(page, tomogram)
        for file in page.annotation_files:
            if key == LayerKey("annotation", file.id):
                self.show_annotation(page, file)

    def _on_said(self, key: object, _fraction: float, text: str) -> None:
        tomogram = self._run.tomogram
        if tomogram is not None and key == LayerKey("tomogram", tomogram.id):
            self._run.set_progress(text)

    def _on_kept_counts(self, counts: dict[int, int]) -> None:
        self._kept_counts = counts
        self._update()

    def _update(self) -> None:
        keys = self._manager.shown()
        edited = dict(self._kept_counts)
        for key in keys:
            log = self._manager.edits(key)
            if log is not None:
                edited.pop(key.id, None)
                edited |= {} if log.count is None else {key.id: log.count}
        appearances = {
            key: look for key in keys if (look := self._manager.appearance(key)) is not None
        }
        self._run.set_shown(Shown(appearances, set(self._manager.coming()), edited))

    # menus

    def _open_row_menu(
        self, row: AnnotationRow | tuple[AnnotationRow, ...], position: QPoint
    ) -> None:
        if isinstance(row, tuple):
            return  # objects have no menu
        page, file, key = self._run.page, row.shown_file, key_of_row(row)
        menu = passing_menu(self._run)
        if key is not None:
            text = "Show" if row.fits else "Show…"
            self._add_show(menu, key, text, partial(self.show_row, row))
        tomogram = tomogram_of(page, row) if page is not None else None
        if (
            page is not None
            and tomogram is not None
            and row.fit is not None
            and row.fit.is_unaligned
        ):
            add_item(
                menu,
                "Open the tomogram it was made on",
                partial(self._open_made_on, page, row, tomogram),
            )
        shape = row.shape_type
        if file is not None and shape in POINTS | MASKS:
            menu.addSeparator()
            for entry in LAYERS:
                if shape in POINTS or entry.takes_masks:
                    use_layer = partial(self.dock_requested.emit, entry.dock)
                    add_item(menu, entry.text, partial(self._with_layer, row, use_layer))
            if shape in POINTS:
                add_item(
                    menu,
                    "How picks are drawn…",
                    partial(
                        self._with_layer,
                        row,
                        lambda layer: self.drawing_requested.emit(layer, position),
                    ),
                )
        log = None if key is None else self._manager.edits(key)
        if log is not None and log.steps:
            add_item(menu, f"Undo: {log.steps[-1].text}", log.undo)
        if log is not None and log.kept:
            add_item(menu, "Restore earlier edits", log.restore)
        self._add_record_items(menu, f"AN-{row.annotation.id}")
        menu.popup(position)

    def _open_tomogram_menu(self, tomogram: Tomogram, position: QPoint) -> None:
        page, key = self._run.page, LayerKey("tomogram", tomogram.id)
        if page is None:
            return
        menu = passing_menu(self._run)
        if tomogram.url:
            text = "Show" if key in self._run.shown.appearances else "Open"
            self._add_show(menu, key, text, partial(self.open_tomogram, page, tomogram))
        for layer in self._manager.layers_of(key):
            add_item(menu, "Auto-contrast", layer.reset_contrast_limits)
            add_item(menu, "Opening contrast", layer.restore_contrast)
        self._add_record_items(menu, f"TM-{tomogram.id}")
        menu.popup(position)

    def _add_show(self, menu: QMenu, key: LayerKey, text: str, show: Callable[[], None]) -> None:
        if key in self._run.shown.coming:
            add_item(menu, "Stop opening", partial(self._hide, key))
        elif self._run.shown.is_visible(key):
            add_item(menu, "Hide", partial(self._hide, key))
        else:
            add_item(menu, text, show)

    def _add_record_items(self, menu: QMenu, record_id: str) -> None:
        menu.addSeparator()
        add_item(menu, f"Copy id ({record_id})", partial(copy_text, record_id))
        if self._run.portal_url:
            add_item(menu, "Open on the portal", partial(open_in_browser, self._run.portal_url))

    def _with_layer(self, row: AnnotationRow, then: Callable[[Layer], None]) -> None:
        """Show an annotation, and pass its layer to a callback once it is loaded."""
        key = key_of_row(row)
        if key is not None:
            self._callbacks[key] = then
            self.show_row(row)
            self._on_layers()


def _kept_counts(page: RunPage, _job: Job) -> dict[int, int]:
    from napari_cryoet._qt.picks.edits import kept_counts  # here, as it brings reviews

    return kept_counts(page)
