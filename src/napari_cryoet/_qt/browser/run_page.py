"""The screen of one run: its tomograms, its annotations, its tilt series, and what to take along."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qtpy.QtCore import QPoint, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from napari_cryoet._qt.browser.annotation_model import AnnotationModel
from napari_cryoet._qt.browser.annotation_tree import AnnotationTree
from napari_cryoet._qt.browser.caption_panel import CaptionPanel
from napari_cryoet._qt.browser.deposition_menu import add_deposition
from napari_cryoet._qt.browser.open_button import OpenButton
from napari_cryoet._qt.browser.tilt_series_list import TiltSeriesList
from napari_cryoet._qt.browser.tomogram_list import TomogramList
from napari_cryoet._qt.layers.appearance import Appearance
from napari_cryoet._qt.widgets.elided_button import ElidedButton
from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_label
from napari_cryoet._qt.widgets.menu_button import MenuButton
from napari_cryoet._qt.widgets.painting import repaint
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.web import open_in_browser
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import TiltSeries, Tomogram
from napari_cryoet.run.outline import AnnotationRow, RunOutline, deposition_shares, outline_run
from napari_cryoet.wording import count_text, joined, plain, size_text


class RunView(QWidget):
    """Shows a run and says what the person asks for; it touches no layer itself."""

    tomogram_open_requested = Signal(object, object)  # RunPage, Tomogram
    tomogram_stop_requested = Signal()
    tomogram_menu_requested = Signal(object, QPoint)  # Tomogram, where on the screen
    annotation_show_requested = Signal(object, object)  # RunPage, AnnotationFile
    annotation_hide_requested = Signal(object, object)  # RunPage, AnnotationFile
    misfit_show_requested = Signal(object, object)  # RunPage, AnnotationRow: shown only if the person insists
    caption_show_requested = Signal(object)  # AnnotationRow
    caption_hide_requested = Signal(object)  # AnnotationRow
    tilt_series_show_requested = Signal(object, object)  # RunPage, TiltSeries
    tilt_series_hide_requested = Signal(object)  # TiltSeries
    annotation_menu_requested = Signal(object, QPoint)  # AnnotationRow, where on the screen
    deposition_requested = Signal(int)  # its id
    page_shown = Signal(object)  # RunPage
    planes_requested = Signal()
    download_requested = Signal(object, object, object)  # RunPage, tuple[Tomogram, ...], tuple[AnnotationRow, ...]

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._page: RunPage | None = None
        self._outline: RunOutline | None = None
        self._portal_page = ""
        self.portal = QToolButton()
        self.portal.setAutoRaise(True)
        self.portal.setText("Portal")
        self.portal.setAccessibleName("Show this run on the portal's site")
        self.portal.setToolTip("Show this run on the portal's site")
        self.portal.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.portal.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.portal.clicked.connect(lambda _checked=False: open_in_browser(self._portal_page))
        self.depositions = MenuButton(theme, "Depositions", "Depositions that this run's data belong to")
        self.tomograms = TomogramList(theme)
        self.tomograms.chosen.connect(self._on_tomogram)
        self.tomograms.open_requested.connect(self._open)
        self.tomograms.downloads_changed.connect(self._update_download)
        self.tomograms.menu_requested.connect(self.tomogram_menu_requested)
        self.no_tomogram = plain_label("This run has no tomogram.", name="dimText")
        self.open = OpenButton(theme)
        self.open.open_requested.connect(self._on_open_clicked)
        self.open.stop_requested.connect(self.tomogram_stop_requested)
        self.planes = QToolButton()
        self.planes.setText("XZ YZ")
        self.planes.setAccessibleName("Orthogonal views")
        self.planes.setToolTip("Orthogonal views: XZ and YZ beside the viewer, with one cursor")
        self.planes.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.planes.clicked.connect(lambda _checked=False: self.planes_requested.emit())
        self.annotations = AnnotationModel(self)
        self.annotations.show_requested.connect(self._on_show)
        self.annotations.hide_requested.connect(self._on_hide)
        self.annotations.downloads_changed.connect(self._update_download)
        self.tree = AnnotationTree(theme, self.annotations)
        self.tree.menu_requested.connect(self.annotation_menu_requested)
        self.no_annotations = plain_label("This run has no annotations.", name="dimText")
        self.no_annotations.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.caption = CaptionPanel(theme)
        self.tilt_heading = ElidedLabel()
        self.tilt_series = TiltSeriesList(theme)
        self.tilt_series.show_requested.connect(self._on_show_tilt_series)
        self.tilt_series.hide_requested.connect(self.tilt_series_hide_requested)
        self.download = ElidedButton()
        self.download.setAccessibleName("Download what is ticked")
        self.download.clicked.connect(self._on_download)
        self._lay_out()
        theme.changed.connect(self._on_theme)
        self._on_theme()
        self._update_download()

    @property
    def page(self) -> RunPage | None:
        """The run that is shown."""
        return self._page

    def set_page(self, page: RunPage, portal_page: str = "") -> None:
        """Show a run; its default tomogram is chosen, nothing is opened.

        Parameters
        ----------
        portal_page
            The run's address on the portal, or empty where it has none.
        """
        self._page = page
        self._portal_page = portal_page
        self.portal.setVisible(bool(portal_page))
        self._list_depositions(page)
        self.tomograms.set_tomograms(page.tomograms)
        has_tomograms = bool(page.tomograms)
        for widget in (self.tomograms, self.open, self.planes):
            widget.setVisible(has_tomograms)
        self.no_tomogram.setVisible(not has_tomograms)
        if not has_tomograms:
            self._set_outline(outline_run(page, None))
        self.tree.setVisible(bool(page.annotations))
        self.no_annotations.setVisible(not page.annotations)
        self.tilt_heading.setText("Tilt series" if page.tilt_series else "No tilt series")
        self.tilt_series.set_series(page.tilt_series)
        self._update_download()
        self.page_shown.emit(page)

    def forget(self) -> None:
        """Hold no run, as before another source has answered."""
        self._page = None

    def open_default(self) -> None:
        """Ask for the default tomogram, and for the annotations that the curators show with it; for nothing else."""
        page = self._page
        if page is None or page.default_tomogram is None or self._outline is None:
            return
        self.tomograms.choose(page.default_tomogram)
        self.tomogram_open_requested.emit(page, page.default_tomogram)
        for file in self._outline.defaults():
            self.annotation_show_requested.emit(page, file)

    def set_open_tomograms(self, tomogram_ids: Iterable[int]) -> None:
        """Say which tomograms are layers now."""
        opened = set(tomogram_ids)
        self.tomograms.set_open(opened)
        self.open.set_opened(opened)

    def set_shown_annotations(self, looks: Mapping[int, Appearance | None], coming: Iterable[int] = ()) -> None:
        """Say which annotation files are layers now, by their ids, how these look, and which are on their way."""
        self.annotations.set_shown(looks, coming)

    def focus_list(self) -> None:
        """Go on at the first thing that can be chosen."""
        if self._page is not None and self._page.tomograms:
            self.tomograms.setFocus(Qt.FocusReason.TabFocusReason)
        else:
            self.tree.focus_first()

    def _list_depositions(self, page: RunPage) -> None:
        menu = self.depositions.items
        menu.clear()
        shares = deposition_shares(page)
        for share in shares:
            add_deposition(menu, share.id, joined(share.text, plain(share.title)), self.deposition_requested.emit)
        self.depositions.setVisible(bool(shares))

    def _on_tomogram(self, tomogram: Tomogram) -> None:
        if self._page is not None:
            self._set_outline(outline_run(self._page, tomogram))
        self.open.set_tomogram(tomogram)

    def _set_outline(self, outline: RunOutline) -> None:
        self._outline = outline
        self.tree.set_outline(outline)

    def _on_open_clicked(self) -> None:
        tomogram = self.tomograms.current_tomogram
        if tomogram is not None:
            self._open(tomogram)

    def _open(self, tomogram: Tomogram) -> None:
        if self._page is not None:
            self.tomogram_open_requested.emit(self._page, tomogram)

    def _on_show(self, row: AnnotationRow) -> None:
        if row.caption_file is not None:
            self.caption_show_requested.emit(row)
        elif row.fits:
            self.annotation_show_requested.emit(self._page, row.shown_file)
        else:
            self.misfit_show_requested.emit(self._page, row)

    def _on_hide(self, row: AnnotationRow) -> None:
        if row.caption_file is not None:
            self.caption_hide_requested.emit(row)
        else:
            self.annotation_hide_requested.emit(self._page, row.shown_file)

    def _on_show_tilt_series(self, series: TiltSeries) -> None:
        if self._page is not None:
            self.tilt_series_show_requested.emit(self._page, series)

    def _on_download(self) -> None:
        ticked = self.tomograms.tomograms_to_download(), self.annotations.rows_to_download()
        if self._page is not None:
            self.download_requested.emit(self._page, *ticked)

    def _update_download(self) -> None:
        tomograms, rows = self.tomograms.tomograms_to_download(), self.annotations.rows_to_download()
        self.download.setEnabled(bool(tomograms or rows))
        sizes = [tomogram.file_size_omezarr for tomogram in tomograms]
        sizes += [row.files[0].file_size for row in rows]
        known = [size for size in sizes if size is not None]
        about = "≈ " if len(known) == len(sizes) else "more than "
        size = about + size_text(sum(known)) if known else ""
        parts = [
            *([count_text(len(tomograms), "tomogram")] if tomograms else []),
            *([count_text(len(rows), "annotation")] if rows else []),
        ]
        short = parts[0] if len(parts) == 1 else count_text(len(sizes), "item") if parts else ""
        said = joined(short, size) if parts else "tick what to take along"
        self.download.setText(f" Download…  {said}")
        self.download.setToolTip(joined(*parts, size) if parts else said.capitalize())

    def _on_theme(self) -> None:
        self.download.setIcon(icon("download", self._theme.colors.text))
        self.portal.setIcon(icon("link", self._theme.colors.text))
        for view in (self.tomograms, self.tree, self.tilt_series):
            repaint(view)

    def _lay_out(self) -> None:
        heading = ElidedLabel("Tomograms")
        heading.setObjectName("heading")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        top = QHBoxLayout()
        top.addWidget(heading, 1)
        top.addWidget(self.depositions)
        top.addWidget(self.portal)
        column.addLayout(top)
        column.addWidget(self.tomograms)
        column.addWidget(self.no_tomogram)
        opening = QHBoxLayout()
        opening.addWidget(self.open, 1)
        opening.addWidget(self.planes)
        column.addLayout(opening)
        column.addWidget(self.tree, 1)
        column.addWidget(self.no_annotations, 1)
        column.addWidget(self.caption)
        column.addWidget(self.tilt_heading)
        column.addWidget(self.tilt_series)
        column.addWidget(self.download)
