"""Between the run's page and the viewer: passes on what is asked for, and keeps ticks in step with layers."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject, QPoint, Signal
from qtpy.QtWidgets import QMenu

from napari_cryoet._qt.browser.deposition_menu import add_deposition, passing_menu
from napari_cryoet._qt.browser.layer_menu import LayerMenu
from napari_cryoet._qt.browser.run_page import RunView
from napari_cryoet._qt.layers.manager import LayerManager
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.streaming.volume_detail import VolumeDetail
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.widgets.notice_bar import NoticeBar
from napari_cryoet._qt.widgets.question import Question
from napari_cryoet.appearance.colors import annotation_colors
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile, DepositionTitle, Tomogram
from napari_cryoet.run.outline import AnnotationRow


class LayerDesk(QObject):
    """Connects a `RunView` with a `LayerManager`; knows nothing of how either works."""

    review_requested = Signal(object)  # a layer of points whose picks are to be judged
    drawing_requested = Signal(object)  # a layer of points whose popover is wanted

    def __init__(
        self,
        link: LayerManager,
        run: RunView,
        notice: NoticeBar,
        tasks: Tasks,
        *,
        volumes: VolumeDetail,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._link = link
        self._volumes = volumes
        self._run = run
        self._notice = notice
        self._failure = ""  # what was told last of a layer of the run that is shown
        self._run_id: int | None = None
        run.tomogram_open_requested.connect(self._open_tomogram)
        run.tomogram_stop_requested.connect(self._stop_tomogram)
        run.annotation_show_requested.connect(self._show_annotation)
        run.annotation_hide_requested.connect(self._hide_annotation)
        run.misfit_show_requested.connect(self._ask_about_misfit)
        run.annotation_menu_requested.connect(self._offer_menu)
        run.tomogram_menu_requested.connect(self._offer_tomogram_menu)
        run.page_shown.connect(self._on_page_shown)
        run.tomograms.chosen.connect(lambda _tomogram: self._update_button())
        link.changed.connect(self.update)
        link.appearance_changed.connect(lambda _key: self.update())
        link.failed.connect(self._on_failed)
        link.remarked.connect(self._on_remarked)
        tasks.progressed.connect(self._on_progressed)

    def update(self) -> None:
        """Let the page show what is in the viewer."""
        shown, coming = self._link.shown(), self._link.coming()
        looks = {key.id: self._link.appearance(key) for key in shown if key.kind == "annotation"}
        self._run.set_open_tomograms(key.id for key in shown if key.kind == "tomogram" and self._link.is_visible(key))
        self._run.set_shown_annotations(looks, (key.id for key in coming if key.kind == "annotation"))
        self._update_button()

    def _on_page_shown(self, page: RunPage) -> None:
        if self._failure and page.run.id != self._run_id and self._notice.text == self._failure:
            self._notice.hide()  # its Retry would look for the layer in another run
        self._run_id = page.run.id
        self._link.show_run(page.run.id)
        self._run.annotations.set_colors(annotation_colors(page.annotations))
        self.update()

    def _open_tomogram(self, page: RunPage, tomogram: Tomogram) -> None:
        self._link.open_tomogram(page, tomogram)

    def _stop_tomogram(self) -> None:
        tomogram = self._run.tomograms.current_tomogram
        if tomogram is not None:
            self._link.stop(LayerKey("tomogram", tomogram.id))

    def _show_annotation(self, page: RunPage, file: AnnotationFile) -> None:
        self._link.show_annotation(page, file, self._run.tomograms.current_tomogram)

    def _hide_annotation(self, _page: RunPage, file: AnnotationFile) -> None:
        self._link.hide_annotation(file)

    def _ask_about_misfit(self, page: RunPage, row: AnnotationRow) -> None:
        """What doesn't fit is shown only if the person insists, knowing why it doesn't fit."""
        box = Question(
            "Show it anyway?",
            row.reason,
            verb="Show anyway",
            details="Shown anyway, its positions will not lie where they belong.",
            parent=self._run,
        )
        if box.agree is not None and row.shown_file is not None:
            file = row.shown_file
            box.agree.clicked.connect(lambda _checked=False: self._show_annotation(page, file))
        box.finished.connect(box.deleteLater)
        box.open()

    def _offer_menu(self, row: AnnotationRow, where: QPoint) -> None:
        """What can be done with the row's layer if it is shown, and the way to its deposition."""
        key = None if row.shown_file is None else LayerKey("annotation", row.shown_file.id)
        self._drop_menu(key, row.annotation.deposition_id, row.annotation.deposition, where)

    def _offer_tomogram_menu(self, tomogram: Tomogram, where: QPoint) -> None:
        self._drop_menu(LayerKey("tomogram", tomogram.id), tomogram.deposition_id, tomogram.deposition, where)

    def _drop_menu(
        self, key: LayerKey | None, deposition_id: int | None, deposition: DepositionTitle | None, where: QPoint
    ) -> None:
        menu: QMenu
        if key is not None and key in self._link.shown():
            menu = LayerMenu(self._link, key, self._volumes, self._run)
            menu.review_requested.connect(self.review_requested)
            menu.drawing_requested.connect(self.drawing_requested)
        else:
            menu = passing_menu(self._run)
        if deposition_id is not None:
            if not menu.isEmpty():
                menu.addSeparator()
            title = deposition.title if deposition is not None else ""
            add_deposition(menu, deposition_id, title, self._run.deposition_requested.emit)
        if not menu.isEmpty():
            menu.popup(where)

    def _on_failed(self, key: LayerKey, error: CryoETError) -> None:
        self._notice.show_error(error, partial(self._try_again, key))
        self._failure = self._notice.text

    def _try_again(self, key: LayerKey) -> None:
        page = self._run.page
        if page is None:
            return
        for tomogram in page.tomograms:
            if key == ("tomogram", tomogram.id):
                self._open_tomogram(page, tomogram)
        for file in page.annotation_files:
            if key == ("annotation", file.id):
                self._show_annotation(page, file)

    def _on_remarked(self, _key: LayerKey, remark: str) -> None:
        self._notice.show_notice(remark)

    def _on_progressed(self, key: object, done_bytes: int, total_bytes: int | None) -> None:
        tomogram = self._run.tomograms.current_tomogram
        if tomogram is not None and key == ("tomogram", tomogram.id):
            self._run.open.set_loading(done_bytes, total_bytes)

    def _update_button(self) -> None:
        tomogram = self._run.tomograms.current_tomogram
        if tomogram is None or LayerKey("tomogram", tomogram.id) not in self._link.coming():
            self._run.open.set_idle()
        elif not self._run.open.is_loading:
            self._run.open.set_loading()
