"""The page of one dataset: what it is, and its runs, page by page."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout

from napari_cryoet._qt.browser.record_header import RecordPage
from napari_cryoet._qt.browser.source_bar import SearchBox
from napari_cryoet._qt.widgets.labels import ElidedLabel
from napari_cryoet._qt.widgets.messages import Action
from napari_cryoet._qt.widgets.record_model import Kind, Row
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.about import about_dataset, about_listed_dataset
from napari_cryoet.portal.pages import CatalogueRow, DatasetPage, DepositionRow, RunRow, objects_text
from napari_cryoet.wording import count_text, dimensions_text, joined, size_text, spacing_text

OBJECTS_IN_TOOLTIP: Final = 20


class DatasetView(RecordPage):
    """Requests pages of runs; the answer goes to `add_page` or `show_error`."""

    page_requested = Signal(int, int, str)  # dataset, offset, what the names of runs have to contain

    def __init__(self, theme: Theme, thumbnails: Thumbnails) -> None:
        super().__init__(theme, thumbnails, "dataset", "Runs", uniform=True)
        self.dataset_id: int | None = None
        self.runs: list[RunRow] = []
        self.filter = SearchBox(theme, "filter runs by name", "Filter the runs by name")
        self.filter.settled.connect(lambda _text: self.restart())
        self.filter.left_downwards.connect(self.focus_list)
        self.count = ElidedLabel(name="dimText")
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.model.more_requested.connect(self._on_more)
        self.view.left_upwards.connect(lambda: self.filter.setFocus(Qt.FocusReason.BacktabFocusReason))
        row = QHBoxLayout()
        row.addWidget(self.filter, 3)
        row.addWidget(self.count, 2)
        self.column.insertLayout(1, row)

    def start(self, dataset_id: int, row: CatalogueRow | None, deposition: DepositionRow | None = None) -> None:
        """Begin with a dataset: show what the catalogue knows, and ask for its first page."""
        self.dataset_id = dataset_id
        self.header.show_about(about_listed_dataset(dataset_id, row, deposition))
        self.model.set_rows([])
        self.count.setText("")
        self.filter.clear_quietly()
        self.restart()

    def restart(self) -> None:
        """Ask for the first page again; the runs so far stay until it comes, or is late."""
        self.runs = []
        self.place.show_loading("Loading runs…")
        self.page_requested.emit(self.dataset_id, 0, self.filter.text().strip())

    def add_page(self, page: DatasetPage, portal_page: str) -> None:
        if page.offset == 0:
            self.header.show_about(about_dataset(page.dataset, portal_page))
        self.runs += page.runs
        loaded, total = len(self.runs), page.run_total
        rows = [run_row(run) for run in page.runs]
        if page.runs and not page.is_last:
            rows.append(_message(f"Loading more… {loaded:,} of {total:,}"))
        elif not page.is_last:
            rows.append(_message("The portal answered with fewer runs than it counted.", has_failed=True))
        if page.offset == 0:
            self.model.set_rows(rows)
        else:
            self.model.append_rows(rows)
        self.count.setText(count_text(total, "run") if loaded >= total else f"{loaded:,} of {total:,} runs")
        if total:
            self.place.show_content()
        elif self.filter.text():
            clear = Action("Clear the filter", self._clear_filter)
            self.place.show_message(f"No run's name contains “{self.filter.text().strip()}”.", "", [clear])
        else:
            self.place.show_message("This dataset has no runs yet.")

    def show_error(self, error: CryoETError) -> None:
        """Say why runs are missing: in the place of all, or in the last row where some are there."""
        if self.runs:
            self.model.append_rows([_message(error.message, has_failed=True)])
        else:
            self.count.setText("")
            self.place.show_error(error, self.restart)

    def _on_more(self) -> None:
        self.model.append_rows([_message("Loading more…")], is_asked=True)  # also after a failure
        self.page_requested.emit(self.dataset_id, len(self.runs), self.filter.text().strip())

    def _clear_filter(self) -> None:
        self.filter.clear_quietly()
        self.restart()


def run_row(run: RunRow) -> Row:
    """A run in the list of its dataset; the size is that of its default tomogram."""
    count = count_text(run.annotation_count, "annotation") if run.annotation_count else ""
    size = size_text(run.file_size_omezarr)
    facts: tuple[str, ...] = ("no tomogram",)
    if run.tomogram_count:
        tomograms, spacing = count_text(run.tomogram_count, "tomogram"), spacing_text(run.voxel_spacing)
        facts = (joined(tomograms, spacing, size),)
        if run.tomogram_count > 1 and size:
            sizes = (f"{size} per tomogram", f"{size} each")
            facts = (*(joined(tomograms, spacing, each) for each in sizes), joined(tomograms, sizes[1]))
    objects = tuple(objects_text(run.objects, limit) for limit in (4, 3, 2, 1)) if run.objects else ("",)
    size_xyz = dimensions_text(run.size_x, run.size_y, run.size_z)
    about = (
        f"{run.name} (RN-{run.id})",
        joined(facts[0], f"{size_xyz} voxels" if size_xyz else ""),
        *(f"{each.object_name}: {count_text(each.count, 'annotation')}" for each in run.objects[:OBJECTS_IN_TOOLTIP]),
    )
    return Row(
        record=run,
        key=run.id,
        title=run.title,
        is_bold=True,
        lines=(facts, objects if run.annotation_count else "no annotations"),
        right=(count, ""),
        picture_url=run.key_photo_thumbnail_url or "",
        tooltip="\n".join(line for line in about if line),
    )


def _message(text: str, *, has_failed: bool = False) -> Row:
    title = f"{text} Press Enter to try again." if has_failed else text
    return Row(record=None, title=title, kind=Kind.FAILURE if has_failed else Kind.MESSAGE)
