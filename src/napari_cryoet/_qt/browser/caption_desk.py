"""Between the ticks of captions and the panel that shows their texts: fetched in the background, one at a time."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject

from napari_cryoet._qt.browser.caption_panel import CaptionPanel
from napari_cryoet._qt.browser.run_page import RunView
from napari_cryoet._qt.tasks import Tasks
from napari_cryoet._qt.widgets.notice_bar import NoticeBar
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.load import Caption, load_captions
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile
from napari_cryoet.run.outline import AnnotationRow
from napari_cryoet.wording import joined, plain

_KEY = "caption"


class CaptionDesk(QObject):
    """Opens and closes texts; another run closes them."""

    def __init__(self, run: RunView, notice: NoticeBar, tasks: Tasks, *, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._run, self._notice, self._tasks = run, notice, tasks
        self._shown_id: int | None = None
        self._coming_id: int | None = None
        run.caption_show_requested.connect(self.show)
        run.caption_hide_requested.connect(lambda _row: self.close())
        run.page_shown.connect(self._on_page)
        run.caption.closed.connect(self.close)

    @property
    def panel(self) -> CaptionPanel:
        """Where the text is shown."""
        return self._run.caption

    def show(self, row: AnnotationRow) -> None:
        """Fetch the text of a row and show it in place of the one before."""
        file = row.caption_file
        if file is None:
            return
        self._coming_id = file.id
        self._update()
        self._tasks.run(
            _KEY,
            lambda job: load_captions(file, stop=job.stop),
            then=partial(self._on_loaded, file, _title_of(row)),
            failed=partial(self._on_failed, row),
            title="Opening a text",
        )

    def close(self) -> None:
        """Show no text, and wait for none."""
        self._tasks.stop(_KEY)
        self._shown_id = self._coming_id = None
        self.panel.hide()
        self._update()

    def _on_loaded(self, file: AnnotationFile, title: str, captions: tuple[Caption, ...]) -> None:
        self._shown_id, self._coming_id = file.id, None
        self.panel.show_captions(title, captions)
        self._update()

    def _on_failed(self, row: AnnotationRow, error: CryoETError) -> None:
        self._coming_id = None
        self._update()
        self._notice.show_error(error, partial(self.show, row))

    def _on_page(self, page: RunPage) -> None:
        """Another run has other texts; the same run, asked for again, keeps its own."""
        known = {file.id for file in page.annotation_files}
        if not {self._shown_id, self._coming_id} - {None} <= known:
            self.close()

    def _update(self) -> None:
        self._run.annotations.set_read(self._shown_id, self._coming_id)


def _title_of(row: AnnotationRow) -> str:
    return joined(plain(row.annotation.object_name), row.summary, f"AN-{row.annotation.id}")
