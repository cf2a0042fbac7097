"""The page of the basket: contents and sizes, remarks, split, options, files and exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from magicgui.widgets import request_values
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from napari_cryoet._qt.basket.download_dialog import DownloadDialog
from napari_cryoet._qt.basket.state import BasketState
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.rooms import BASKET_FILES, call
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    add_item,
    add_title,
    agrees,
    clear_layout,
    drop_menu,
    explain,
    open_folder,
    plain_label,
    push_button,
    row_of,
    tool_button,
)
from napari_cryoet._qt.widgets.messages import Action
from napari_cryoet._qt.widgets.record_view import ListPage
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.basket.aging import age_of, brought_up_to_date
from napari_cryoet.basket.basket import (
    PARTS,
    SPLIT_NAMES,
    Basket,
    BasketStore,
    ids_in,
    read_basket,
    write_basket,
)
from napari_cryoet.basket.contents import DEFAULT_SHARES, KnownRuns, parts_of, split_basket
from napari_cryoet.discovery.index import read_index
from napari_cryoet.download.plan import plan_basket
from napari_cryoet.download.run import lock_basket
from napari_cryoet.exceptions import CryoETError, EmptyPartError, ExistsError
from napari_cryoet.exports import ExportKind, export
from napari_cryoet.exports.selection import ExportReport, select_basket
from napari_cryoet.files import clean_name
from napari_cryoet.pages.basket import Entry, entry_row
from napari_cryoet.wording import differences_text

EXPORT, _AGE, _FILE = "export of the basket", "age of the basket", "file of a basket"
_UNFOLDED_ROWS: Final = 12
_EMPTY_HINT: Final = "Tick datasets, runs, tomograms or annotations in any list, with D or a click."
_FILES: Final = "Baskets (*.toml)"
_EXPORTS: Final[dict[ExportKind, str]] = {
    "copick": "copick project…",
    "relion5": "RELION 5…",
    "table": "Table…",
    "croissant": "Croissant…",
    "crops": "Crops…",
}
#: The fields of the form for crops, for magicgui.
_CROPS: Final[dict[str, dict[str, Any]]] = {
    "size": {
        "annotation": int,
        "value": 32,
        "label": "Width in voxels",
        "options": {"min": 1, "max": 512},
    },
    "spacing_angstrom": {
        "annotation": float,
        "value": 10.0,
        "label": "Voxel size in Å",
        "options": {
            "min": 0.1,
            "max": 1000,
            "step": 0.001,
            "tooltip": "Other voxel sizes are resampled to it",
        },
    },
    "background": {
        "annotation": float,
        "value": 1.0,
        "label": "Background crops per pick",
        "options": {"min": 0, "tooltip": "Far from all picks, labelled 0"},
    },
}
_SHARES: Final = (DEFAULT_SHARES, (70.0, 15.0, 15.0), (80.0, 20.0, 0.0))
#: Menu entries, with the field of `Choices` and its value.
_CHOICES: Final[tuple[tuple[str, str, Any], ...]] = (
    ("Annotations without a tomogram", "with_tomogram", ""),
    ("Annotations with the default tomogram", "with_tomogram", "default"),
    ("Annotations with a denoised tomogram", "with_tomogram", "denoised"),
    ("Richest shape of each annotation", "shapes", "richest"),
    ("All shapes of each annotation", "shapes", "all"),
    ("All levels of tomograms", "level", 0),
    ("Level 1 and coarser: 1/8 of the size", "level", 1),
    ("Level 2 and coarser: 1/64 of the size", "level", 2),
    ("Volumes as OME-Zarr", "volume_format", "zarr"),
    ("Volumes as MRC", "volume_format", "mrc"),
)
#: Titles of these groups.
_CHOICE_TITLES: Final = {
    "with_tomogram": "Tomograms",
    "shapes": "Shapes",
    "level": "Levels",
    "volume_format": "Format",
    "leave_out": "Whole runs",
}


class BasketPage(ListPage):
    """Shows and changes a `BasketState`, and handles its files and exports."""

    def __init__(self, browser: PortalBrowser, basket: BasketState) -> None:
        super().__init__(
            browser.theme, None, "Contents of the basket", tick_columns=[basket.column]
        )
        self._browser = browser
        self._basket = basket
        self._tasks = basket.tasks
        self._notice = browser.screens.notice
        #: The basket, what changed since, and the basket brought up to date.
        self._age: tuple[Basket, Sequence[str], Basket] | None = None
        self._listed: tuple[Entry, ...] | None = None
        self.name = QLineEdit()
        self.name.setPlaceholderText("Name of this basket")
        explain(self.name, "Name of this basket")
        self.file = tool_button("File ▾", "Open, save, paste or empty the basket")
        self.summary, self.sizes = ElidedLabel(name="heading"), ElidedLabel(name="dimText")
        self.remarks = Remarks()
        self.split = tool_button("Split ▾", "Split the runs for training, validation and test")
        self.choices = tool_button(
            "What to fetch ▾", "Formats, levels, shapes, and files to leave out"
        )
        self.download = QPushButton("Download…")
        self.export = StartBar(
            self._tasks, EXPORT, "Export as ▾", "Export for training and processing"
        )
        self.exports = QMenu(self.export)
        self.export.start_requested.connect(lambda: drop_menu(self.exports, self.export.button))
        self._lay_out()
        self._fill_menus()
        basket.changed.connect(self._update)
        self.download.clicked.connect(self._download)
        self.name.editingFinished.connect(self._on_named)
        self.remarks.fix_requested.connect(self._apply_fix)
        self._update()

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        self._update()
        self.ask_age()

    # contents

    def _update(self) -> None:
        if not self.isVisible():
            return
        basket, details = self._basket.basket, self._basket.details
        if not self.name.hasFocus():
            self.name.setText(basket.name)
        self.summary.setText(self._basket.ticks.text)
        self.sizes.setText("" if details is None else details.chosen.contents.sizes_text)
        self.remarks.show_remarks(self._remarks())
        self._list(() if details is None else details.entries)
        if basket.is_empty:
            actions = [Action("Open a basket…", self._open), Action("Paste ids…", self._paste)]
            self.loadable.show_message("The basket is empty.", _EMPTY_HINT, actions)
        elif self._basket.error is not None:
            self.loadable.show_error(self._basket.error, self._basket.ask)
        elif details is None:
            self.loadable.show_loading("Looking up the contents…")
        else:
            self.loadable.show_content()
        counts = ""
        if basket.split is not None and details is not None:
            parts = Counter(parts_of(basket.split, details.chosen).values())
            counts = "/".join(str(parts[name]) for name in SPLIT_NAMES)
        self.split.setText(f"Split {counts} ▾" if counts else "Split ▾")
        for control in (self.split, self.choices, self.download):
            control.setEnabled(not basket.is_empty)
        self.export.set_ready(not basket.is_empty)

    def _list(self, entries: tuple[Entry, ...]) -> None:
        if entries is self._listed:
            return
        self._listed, is_unfolded = entries, len(entries) <= _UNFOLDED_ROWS
        self.model.set_rows(
            [entry_row(entry, is_root=True, is_unfolded=is_unfolded) for entry in entries]
        )

    def _remarks(self) -> list[tuple[str, str, Basket | None]]:
        """The remarks, each with a button text and the basket after a click, or None."""
        details, age = self._basket.details, self._age
        remarks = [
            (remark.text, remark.fix_text, remark.fix)
            for remark in (details.remarks if details is not None else ())
        ]
        if age is not None and age[1] and age[0] == self._basket.basket:
            remarks.insert(0, (differences_text(age[1]), "Update", age[2]))
        return remarks

    def _apply_fix(self, fixed: Basket) -> None:
        if self._basket.ticks.is_settled:  # otherwise the remark is about an older basket
            self._basket.change(lambda _before: fixed)

    def ask_age(self) -> None:
        """Look up what changed on the portal since records were ticked."""
        basket = self._basket.basket
        if basket.is_empty:
            return
        portal = self._basket.portal

        def work(job: Job) -> tuple[Basket, Sequence[str], Basket]:
            runs = KnownRuns(portal).of(basket, task=job)
            index = read_index(portal, task=job) if basket.searches else None
            age = age_of(basket, runs, index)
            after = brought_up_to_date(basket, age, runs, index)
            lines = list(age.lines)
            if basket.lock is not None:
                lines += plan_basket(basket, runs, portal).differences
                after = lock_basket(after, portal, task=job)
            return basket, lines, after

        self._tasks.run(
            _AGE, work, then=self._on_age, failed=lambda _error: None
        )  # without a network, show nothing

    def _on_age(self, age: tuple[Basket, Sequence[str], Basket]) -> None:
        self._age = age
        self._update()

    # changes

    def _on_named(self) -> None:
        name = self.name.text().strip()
        if name != self._basket.basket.name:
            self._basket.change(lambda basket: basket.renamed(name))

    def _paste(self) -> None:
        text, is_accepted = QInputDialog.getMultiLineText(
            self, "Paste ids", "Ids like DS-10000, RN-506, TM-7 or AN-9003:"
        )
        ids_by_kind = ids_in(text) if is_accepted else {}
        for kind, ids in ids_by_kind.items():
            self._basket.change(partial(Basket.with_ids, kind=kind, ids=ids))
        if is_accepted and not ids_by_kind:
            self._notice.show_notice("This text contains no id.")

    def _lock(self) -> None:
        portal = self._basket.portal
        self._basket.change(lambda basket: lock_basket(basket, portal), is_slow=True)
        text = "Locking the basket: a later download names the files that differ."
        self._notice.show_notice(text, is_news=True)

    def _empty(self) -> None:
        if agrees(
            self, "Empty the basket", f"Untick everything? {self._basket.ticks.text}", verb="Empty"
        ):
            self._basket.change(Basket.emptied)

    def _open(self) -> None:
        if path := QFileDialog.getOpenFileName(self, "Open a basket", "", _FILES)[0]:

            def read() -> tuple[Basket, Basket]:
                opened = read_basket(Path(path))
                return opened, BasketStore().current(opened.source)

            self._in_background(read, self._on_read)

    def _on_read(self, baskets: tuple[Basket, Basket]) -> None:
        opened, before = baskets
        question = (
            f"Replace the basket of {opened.source}? Its contents are lost unless you saved them."
        )
        if not before.is_empty and not agrees(self, "Open a basket", question, verb="Replace"):
            return
        if opened.source == self._basket.source:
            self._basket.change(lambda _before: opened)
        else:
            keep = partial(BasketStore().change, opened.source, lambda _before: opened)
            self._in_background(keep, lambda _basket: self._browser.use_source(opened.source))

    def _save_as(self) -> None:
        basket = self._basket.basket
        name = f"{clean_name(basket.name or 'basket')}.toml"
        if path := QFileDialog.getSaveFileName(self, "Save the basket", name, _FILES)[0]:
            target = Path(path).with_suffix(".toml")
            saved = partial(self._notice.show_notice, f"Saved as {target}.", is_news=True)
            self._in_background(partial(write_basket, basket, target), lambda _none: saved())

    def _in_background(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._tasks.run(_FILE, lambda _job: work(), then=then, failed=self._notice.show_error)

    def _set_split(self, shares: tuple[float, ...], *, by_dataset: bool = False) -> None:
        """Split the runs; choosing the same shares again moves no run."""
        if (details := self._basket.details) is not None:
            known = details.chosen.known
            split = partial(split_basket, source=known, shares=shares, by_dataset=by_dataset)
            self._basket.change(split, is_slow=True)

    def _draw_again(self) -> None:
        """Split by the same shares with the next seed."""
        details, before = self._basket.details, self._basket.basket.split
        if details is not None and before is not None:
            split = partial(
                split_basket,
                source=details.chosen.known,
                shares=before.shares,
                seed=before.seed + 1,
                by_dataset=before.by_dataset,
            )
            self._basket.change(split, is_slow=True)

    # exports

    def _ask_export(self, kind: ExportKind) -> None:
        name = clean_name(self._basket.basket.name or "basket")
        options = self._ask_crops() if kind == "crops" else {}
        if options is None:
            return
        if kind == "table":
            path = QFileDialog.getSaveFileName(
                self, "Export a table", f"{name}.csv", "Tables (*.csv *.parquet)"
            )[0]
            if path:
                self._export(kind, Path(path), overwrite=True)  # the dialog has asked
        elif folder := QFileDialog.getExistingDirectory(
            self, f"Choose the folder for {name}-{kind}"
        ):
            ending = ".zarr" if kind == "crops" else ""
            self._export(kind, Path(folder, f"{name}-{kind}{ending}"), **options)

    def _ask_crops(self) -> dict[str, Any] | None:
        """Ask for the options of crops; None if the user cancels."""
        details = self._basket.details
        runs = details.chosen.runs if details is not None else ()
        spacings = [run.tomograms[0].voxel_spacing for run in runs if run.tomograms]
        spacing = _CROPS["spacing_angstrom"] | {"value": max(spacings, default=10.0)}
        return request_values(
            title="Export crops", parent=self, **_CROPS | {"spacing_angstrom": spacing}
        )

    def _export(
        self, kind: ExportKind, target: Path, *, allow_empty: bool = False, **options: Any
    ) -> None:
        basket = self._basket.basket
        portal = self._basket.portal
        folder = self._basket.folder

        def work(job: Job) -> ExportReport:
            job.step(0, "looking up rows")
            chosen = select_basket(basket, portal, folder=folder, allow_empty=allow_empty, task=job)
            return export(chosen, kind, target, task=job, **options)

        def fail(error: CryoETError) -> None:
            match error:
                case ExistsError():
                    question = f"{target.name} already exists. Replace it?"
                    verb = "Replace"
                    allowed = {"overwrite": True, "allow_empty": allow_empty}
                case EmptyPartError():
                    question = f"{error.message} Export all the same?"
                    verb = "Export"
                    allowed = {"allow_empty": True}
                case _:
                    self._notice.show_error(error)
                    return
            if agrees(self, "Export", question, verb=verb):
                self._export(kind, target, **options | allowed)

        self._tasks.run(
            EXPORT, work, then=self._on_exported, failed=fail, title=f"Export {target.name}"
        )

    def _on_exported(self, report: ExportReport) -> None:
        left_out = "".join(f"\nLeft out: {reason}" for reason in report.left_out[:5])
        remarks = "".join(f"\n{remark}" for remark in report.remarks[-3:])
        show = partial(open_folder, report.path if report.path.is_dir() else report.path.parent)
        text = f"{report.path.name}: {report.counts_text}.{left_out}{remarks}"
        self._notice.show_notice(text, "Show folder", show, is_news=True)

    # downloads

    def _download(self) -> None:
        for dialog in self.findChildren(DownloadDialog):
            if dialog.is_downloading:
                dialog.raise_()  # only one download at a time
                return
            dialog.close()
        dialog = DownloadDialog(self._browser.theme, self._basket, self)
        dialog.began.connect(self._on_began)
        dialog.opened.connect(self._browser.use_source)
        dialog.show()
        dialog.activateWindow()  # gives it the keyboard focus

    def _on_began(self, folder: Path) -> None:
        self._browser.memory.download_folder = self._basket.folder = folder

    # menus and layout

    def _fill_menus(self) -> None:
        file, split = _menu_of(self.file), _menu_of(self.split)
        add_item(file, "Open…", self._open)
        add_item(file, "Save as…", self._save_as)
        add_item(file, "Paste ids…", self._paste)
        add_item(file, "Lock to today's files", self._lock)
        for entry in BASKET_FILES:
            add_item(file, entry.text, partial(call, entry.target, self._browser))
        add_item(file, "Empty…", self._empty)
        for kind, text in _EXPORTS.items():
            add_item(self.exports, text, partial(self._ask_export, kind))
        for shares in _SHARES:
            add_item(
                split, "/".join(f"{share:g}" for share in shares), partial(self._set_split, shares)
            )
        whole = partial(self._set_split, DEFAULT_SHARES, by_dataset=True)
        add_item(split, "80/10/10, datasets whole", whole)
        add_item(split, "Draw again", self._draw_again)
        add_item(
            split, "No split", partial(self._basket.change, lambda basket: basket.with_split(None))
        )
        self._choices_menu = _menu_of(self.choices)
        self._choices_menu.aboutToShow.connect(self._fill_choices)

    def _fill_choices(self) -> None:
        choices = self._basket.basket.choices
        left_out, change = choices.leave_out, self._basket.change
        items = [
            (text, name, value, getattr(choices, name) == value) for text, name, value in _CHOICES
        ]
        for part in PARTS:
            toggled = (
                tuple(other for other in left_out if other != part)
                if part in left_out
                else (*left_out, part)
            )
            items.append((f"Whole runs with {part}", "leave_out", toggled, part not in left_out))
        self._choices_menu.clear()
        group = ""
        for text, name, value, is_on in items:
            if name != group:
                add_title(self._choices_menu, _CHOICE_TITLES[name])
                group = name
            set_choice = partial(Basket.with_choices, **{name: value})
            action = add_item(self._choices_menu, text, partial(change, set_choice))
            action.setCheckable(True)
            action.setChecked(is_on)

    def _lay_out(self) -> None:
        buttons = QGridLayout()
        for number, part in enumerate((self.split, self.choices, self.download, self.export)):
            part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            buttons.addWidget(part, number // 2, number % 2, Qt.AlignmentFlag.AlignTop)
        top = row_of(self.name, self.file)
        for number, widget in enumerate((top, self.summary, self.sizes, self.remarks)):
            self.column.insertWidget(number, widget)
        self.column.addLayout(buttons)
        QWidget.setTabOrder(self.file, self.view)


class Remarks(QWidget):
    """A line for each remark, with a button if there is a fix."""

    fix_requested = Signal(object)  # Basket after the fix

    def __init__(self) -> None:
        super().__init__()
        self._shown: Sequence[tuple[str, str, Basket | None]] = ()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)

    def show_remarks(self, remarks: Sequence[tuple[str, str, Basket | None]]) -> None:
        """Show remarks as tuples of text, button text and fixed basket.

        Do nothing if they are unchanged.
        """
        if remarks == self._shown:
            return
        self._shown = remarks
        clear_layout(self._grid)
        for number, (text, fix_text, fix) in enumerate(remarks):
            self._grid.addWidget(plain_label(f"⚠ {text}"), number, 0)
            if fix is not None:
                button = push_button(
                    fix_text, partial(self.fix_requested.emit, fix), f"{fix_text}: {text}"
                )
                self._grid.addWidget(button, number, 1)
        self.setVisible(bool(remarks))


def _menu_of(button: QToolButton) -> QMenu:
    menu = QMenu(button)
    button.setMenu(menu)
    return menu
