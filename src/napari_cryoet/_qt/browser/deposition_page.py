"""The page of one deposition: what it is, the datasets that it brought, and those of others that it added to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qtpy.QtCore import Qt, Signal

from napari_cryoet._qt.browser.record_header import RecordPage
from napari_cryoet._qt.widgets.record_model import Kind, Row
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.about import about_deposition, about_listed_deposition
from napari_cryoet.portal.pages import DatasetCount, DepositionPage, DepositionRow, ObjectCount, RunRow
from napari_cryoet.wording import count_text, joined, plain, short_species

UNFOLDED_ROWS: Final = 16  # datasets are unfolded from the beginning if no more rows than these are below them


class DepositionView(RecordPage):
    """Requests a deposition's page; the answer goes to `set_page` or `show_error`."""

    page_requested = Signal(int)  # its id
    dataset_opened = Signal(int)  # its id
    run_opened = Signal(object)  # RunRow

    def __init__(self, theme: Theme, thumbnails: Thumbnails) -> None:
        super().__init__(theme, thumbnails, "deposition", "Datasets of the deposition", uniform=False)
        self.deposition_id: int | None = None
        self.view.opened.connect(self._on_opened)
        self.view.left_upwards.connect(lambda: self.header.details.setFocus(Qt.FocusReason.BacktabFocusReason))

    def start(self, deposition_id: int, row: DepositionRow | None) -> None:
        """Begin with a deposition: show what the catalogue knows, and ask for its page."""
        self.deposition_id = deposition_id
        self.header.show_about(about_listed_deposition(deposition_id, row))
        self.model.set_rows([])
        self.restart()

    def restart(self) -> None:
        self.place.show_loading("Loading the deposition…")
        self.page_requested.emit(self.deposition_id)

    def set_page(self, page: DepositionPage, portal_page: str) -> None:
        """Show a deposition; ``portal_page`` is its address on the portal, or empty where it has none."""
        self.header.show_about(about_deposition(page, portal_page))
        self.model.set_rows(holdings(page))
        if page.datasets:
            self.place.show_content()
        else:
            self.place.show_message("This deposition holds nothing of any dataset yet.")

    def show_error(self, error: CryoETError) -> None:
        self.place.show_error(error, self.restart)

    def _on_opened(self, record: DatasetCount | RunRow) -> None:
        if isinstance(record, RunRow):
            self.run_opened.emit(record)
        else:
            self.dataset_opened.emit(record.dataset_id)


def holdings(page: DepositionPage) -> list[Row]:
    """What a deposition holds: its datasets, those of others, and below them annotations by object, and runs."""
    below = {dataset.dataset_id: _below(page, dataset) for dataset in page.datasets}
    is_unfolded = sum(map(len, below.values())) <= UNFOLDED_ROWS
    rows: list[Row] = []
    for name, is_own in (("Its datasets", True), ("Added to datasets of others", False)):
        datasets = [dataset for dataset in page.datasets if dataset.is_own == is_own]
        if datasets:
            rows.append(Row(None, f"{name} ({len(datasets):,})", ("heading", is_own), Kind.HEADING, is_bold=True))
        rows += [_dataset_row(each, below[each.dataset_id], is_unfolded=is_unfolded) for each in datasets]
    return rows


def _dataset_row(dataset: DatasetCount, below: tuple[Row, ...], *, is_unfolded: bool) -> Row:
    runs = count_text(dataset.run_count, "run")
    organism = short_species(dataset.organism_name)
    facts = joined(f"DS-{dataset.dataset_id}", organism, runs if dataset.is_own else f"in {runs}")
    return Row(
        record=dataset,
        key=("dataset", dataset.dataset_id),
        title=plain(dataset.title),
        title_lines=2,
        is_bold=True,
        lines=(facts, _counts(dataset)),
        picture_url=dataset.key_photo_thumbnail_url or "",
        tooltip="\n".join([dataset.title, facts, _counts(dataset)]),
        is_unfolded=is_unfolded,
        children=below,
    )


def _below(page: DepositionPage, dataset: DatasetCount) -> tuple[Row, ...]:
    """Annotations by object and method, then the runs if the dataset is another's."""
    number = dataset.dataset_id
    rows = [_object_row(dataset, name, found) for name, found in _objects_in(dataset)]
    if dataset.is_own:
        return tuple(rows)
    runs = page.runs_of(number)
    rows += map(_run_row, runs)
    if (rest := dataset.run_count - len(runs)) > 0:
        rows.append(
            Row(dataset, f"… and {count_text(rest, 'more run')} of this dataset", ("runs", number), is_dim=True)
        )
    return tuple(rows)


def _object_row(dataset: DatasetCount, name: str, found: Sequence[ObjectCount]) -> Row:
    methods = _methods_text(found)
    return Row(
        record=dataset,
        key=("object", dataset.dataset_id, name),
        title=plain(name),
        right=(methods, f"{sum(each.count for each in found):,}"),
        tooltip=f"{name}\n{methods}",
        is_dim=True,
    )


def _run_row(run: RunRow) -> Row:
    return Row(
        record=run,
        key=("run", run.id),
        title=run.title,
        right=(_counts(run), count_text(run.annotation_count, "annotation")),
        tooltip="\n".join([run.title, f"RN-{run.id}", _counts(run)]),
    )


def _counts(holding: DatasetCount | RunRow) -> str:
    """How many tomograms and annotations of the deposition a dataset or run holds."""
    counts = ((holding.tomogram_count, "tomogram"), (holding.annotation_count, "annotation"))
    return joined(*(count_text(count, noun) for count, noun in counts if count))


def _objects_in(dataset: DatasetCount) -> list[tuple[str, list[ObjectCount]]]:
    """What a dataset holds of the deposition by object, most annotated first."""
    found: dict[str, list[ObjectCount]] = {}
    for each in dataset.objects:
        found.setdefault(each.object_name, []).append(each)
    return sorted(found.items(), key=lambda item: -sum(each.count for each in item[1]))


def _methods_text(found: Sequence[ObjectCount]) -> str:
    """How many annotations by which kind of method: ``12 automated · 1 manual``."""
    return joined(*(f"{each.count:,} {plain(str(each.method_type))}" for each in found))
