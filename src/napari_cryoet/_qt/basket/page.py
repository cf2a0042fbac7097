"""The page of the basket: what is in it and how large, what to know of it, and what can be made of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.basket.state import BasketState
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.widgets.labels import ElidedLabel, StartBar, explain, plain_label, push_button, tool_button
from napari_cryoet._qt.widgets.messages import Action, Loadable, NoticeBar, add_item, agrees, drop_menu, open_folder
from napari_cryoet._qt.widgets.record_model import RecordModel, Row
from napari_cryoet._qt.widgets.record_view import RecordView
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.basket.aging import Age, Dates, age_of, ask_dates, brought_up_to_date
from napari_cryoet.basket.basket import PARTS, Basket, Kind, ids_in, read_basket, write_basket
from napari_cryoet.basket.matches import matching
from napari_cryoet.basket.outline import Entry
from napari_cryoet.basket.split import DEFAULT_SHARES, split_basket
from napari_cryoet.basket.store import BasketStore
from napari_cryoet.discovery.index import read_index
from napari_cryoet.download.plan import clean_name
from napari_cryoet.exceptions import CryoETError, ExistsError
from napari_cryoet.wording import count_text, joined, size_text

EXPORT, _AGE, _FILE = "export of the basket", "age of the basket", "file of a basket"
_UNFOLDED_ROWS: Final = 12
_EMPTY_HINT: Final = "Tick what you want in any list, with D or a click: datasets, runs, tomograms, annotations."
_FILES: Final = "Baskets (*.toml)"
_EXPORTS: Final = {"copick": "copick project…", "relion5": "RELION 5…", "csv": "Table…", "croissant": "Croissant…"}
_SHARES: Final = (DEFAULT_SHARES, (70.0, 15.0, 15.0), (80.0, 20.0, 0.0))
#: What can be chosen one of, by the name in `Choices`.
_CHOICES: Final[dict[str, dict[str, Any]]] = {
    "with_tomogram": {
        "Annotations without a tomogram": "",
        "Annotations with the default tomogram": "default",
        "Annotations with a denoised tomogram": "denoised",
    },
    "shapes": {"Of each annotation the richest shape": "richest", "Of each annotation all shapes": "all"},
    "level": {"All levels of tomograms": "all", "Level 1 and coarser: an eighth": 1, "Level 2 and coarser: a 60th": 2},
    "volume_format": {"Volumes as OME-Zarr": "zarr", "Volumes as MRC": "mrc"},
}


class BasketStrip(QPushButton):
    """``Basket: 3 runs · 12 files · 412 MB ▸`` below every page; a click leads to the basket."""

    def __init__(self, basket: BasketState) -> None:
        super().__init__()
        self.setObjectName("basketStrip")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._basket = basket
        basket.changed.connect(self._update)
        self._update()

    def _update(self) -> None:
        text = f"Basket: {self._basket.text}" if self._basket.text else "The basket is empty"
        self.setText(f"{text} ▸")
        explain(self, f"{text}. Open the basket (B)")


class BasketPage(QWidget):
    """Shows a `BasketState`; exports and files are handled here, the rest is asked for."""

    entry_opened = Signal(object)  # Entry
    source_requested = Signal(str)  # as `open_portal` takes it
    download_requested = Signal()

    def __init__(self, theme: Theme, basket: BasketState) -> None:
        super().__init__()
        self._basket, self._tasks = basket, basket.tasks
        self._age: tuple[Basket, Age, Dates] | None = None
        self._listed: tuple[Entry, ...] | None = None
        self.name = QLineEdit()
        self.name.setPlaceholderText("Name of this basket")
        explain(self.name, "Name of this basket")
        self.file = tool_button("File ▾", "Open, save, paste or empty the basket")
        self.summary, self.sizes = ElidedLabel(name="heading"), ElidedLabel(name="dimText")
        self.remarks = Remarks()
        self.notice = NoticeBar(theme)
        self.model = RecordModel(tick_columns=[basket.column], parent=self)
        self.tree = RecordView(theme, self.model, "What is in the basket", uniform=True)
        self.place = Loadable(self.tree)
        self.split = tool_button("Split ▾", "Split the runs for training, validation and test")
        self.choices = tool_button("What to fetch ▾", "Formats, levels and shapes, and what to leave out")
        self.download = QPushButton("Download…")
        self.export = StartBar(self._tasks, EXPORT, "Export as ▾", "Export for training and processing")
        self.exports = QMenu(self.export)
        self.export.start_requested.connect(lambda: drop_menu(self.exports, self.export.button))
        self._lay_out()
        self._fill_menus()
        basket.changed.connect(self._update)
        self.name.editingFinished.connect(self._on_named)
        self.tree.opened.connect(self.entry_opened)
        self.download.clicked.connect(self.download_requested)
        self._update()

    def focus_list(self) -> None:
        self.tree.stand_somewhere()
        self.place.take_focus()

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        self._update()
        self.ask_age()

    # what it says

    def _update(self) -> None:
        if not self.isVisible():
            return
        basket, found = self._basket.basket, self._basket.found
        if not self.name.hasFocus():
            self.name.setText(basket.name)
        self.summary.setText(self._basket.text)
        self.sizes.setText("" if found is None else found.contents.sizes_text)
        self.remarks.show_remarks(self._remarks())
        self._list(() if found is None else found.entries)
        if basket.is_empty:
            actions = [Action("Open a basket…", self._open), Action("Paste ids…", self._paste)]
            self.place.show_message("The basket is empty.", _EMPTY_HINT, actions)
        elif self._basket.error is not None:
            self.place.show_error(self._basket.error, self._basket.ask)
        elif found is None:
            self.place.show_loading("Looking up what is in it…")
        else:
            self.place.show_content()
        split = basket.split
        counts = "" if split is None else "/".join(str(len(ids)) for ids in (split.train, split.validation, split.test))
        self.split.setText(f"Split {counts} ▾" if counts else "Split ▾")
        for control in (self.split, self.choices, self.download):
            control.setEnabled(not basket.is_empty)
        self.export.set_ready(not basket.is_empty)

    def _list(self, entries: tuple[Entry, ...]) -> None:
        if entries is self._listed:
            return
        self._listed, is_unfolded = entries, len(entries) <= _UNFOLDED_ROWS
        self.model.set_rows([_row(entry, is_root=True, is_unfolded=is_unfolded) for entry in entries])

    def _remarks(self) -> dict[tuple[str, str], Callable[[], None] | None]:
        """Remarks and what their buttons say, and what these do."""
        found, age = self._basket.found, self._age
        shown: dict[tuple[str, str], Callable[[], None] | None] = {}
        if age is not None and age[1].text and age[0] == self._basket.basket:
            up_to_date = partial(brought_up_to_date, age=age[1], today=age[2])
            shown[f"Since this was ticked: {age[1].text}.", "Update"] = partial(self._change, up_to_date)
        for each in found.remarks if found is not None else ():
            mend = partial(self._change, partial(_other, each.fix)) if each.fix is not None else None
            shown[each.text, each.fix_text] = mend
        return shown

    def _change(self, change: Callable[[Basket], Basket]) -> None:
        if self._basket.is_settled:  # else a remark is about another one
            self._basket.change(change)

    def ask_age(self) -> None:
        """Compare the basket with today's portal."""
        basket = self._basket.basket
        if basket.is_empty:
            return
        portal = self._basket.portal

        def work(job: Job) -> tuple[Basket, Age, Dates]:
            today = ask_dates(portal, basket, stop=job.stop)
            if not basket.searches:
                return basket, age_of(basket, today), today
            return basket, age_of(basket, today, matching(read_index(portal, stop=job.stop))), today

        def show(age: tuple[Basket, Age, Dates]) -> None:
            self._age = age
            self._update()

        self._tasks.run(_AGE, work, then=show, failed=lambda _error: None)  # it is no news that there is no network

    # changing it

    def _on_named(self) -> None:
        name = self.name.text().strip()
        if name != self._basket.basket.name:
            self._basket.change(lambda basket: basket.renamed(name))

    def _paste(self) -> None:
        text, is_given = QInputDialog.getMultiLineText(self, "Paste ids", "Ids like DS-10000, RN-506, TM-7 or AN-9003:")
        found = ids_in(text) if is_given else {}
        for kind, ids in found.items():
            self._basket.change(partial(_with_ids, kind=kind, ids=ids))
        if is_given and not found:
            self.notice.show_notice("There is no id in this text.")

    def _empty(self) -> None:
        if agrees(self, "Empty the basket", f"Untick everything? {self._basket.text}", verb="Empty"):
            self._basket.change(Basket.emptied)

    def _open(self) -> None:
        if path := QFileDialog.getOpenFileName(self, "Open a basket", "", _FILES)[0]:

            def read(_job: Job) -> tuple[Basket, Basket]:
                opened = read_basket(Path(path))
                return opened, BasketStore().current(opened.source)

            self._tasks.run(_FILE, read, then=self._on_read, failed=self._fail)

    def _on_read(self, baskets: tuple[Basket, Basket]) -> None:
        opened, before = baskets
        question = f"Replace the basket of {opened.source}? What is ticked there is lost unless you saved it."
        if not before.is_empty and not agrees(self, "Open a basket", question, verb="Replace"):
            return
        self._basket.change(lambda _before: opened, source=opened.source)
        if opened.source != self._basket.source:
            self.source_requested.emit(opened.source)

    def _save_as(self) -> None:
        basket = self._basket.basket
        name = f"{clean_name(basket.name or 'basket')}.toml"
        if path := QFileDialog.getSaveFileName(self, "Save the basket", name, _FILES)[0]:
            place = Path(path).with_suffix(".toml")
            saved = partial(self.notice.show_notice, f"Saved as {place}.", is_news=True)
            write = partial(write_basket, basket, place)
            self._tasks.run(_FILE, lambda _job: write(), then=lambda _none: saved(), failed=self._fail)

    def _set_split(self, shares: tuple[float, ...] | None) -> None:
        """Split anew; asked for again, the same shares give another split."""
        found, before = self._basket.found, self._basket.basket.split
        if shares is None or found is None:
            self._basket.change(lambda basket: basket.with_split(None))
            return
        seed = before.seed + 1 if before is not None and before.shares == shares else 0
        rows = found.chosen.rows
        self._basket.change(lambda basket: split_basket(basket, rows, shares, seed=seed), is_slow=True)

    # exporting it

    def _ask_export(self, kind: str) -> None:
        name = clean_name(self._basket.basket.name or "basket")
        if kind == "csv":
            path = QFileDialog.getSaveFileName(self, "Export a table", f"{name}.csv", "Tables (*.csv *.parquet)")[0]
            if path:
                self._export(kind, Path(path), overwrite=True)  # the dialog asked
        elif folder := QFileDialog.getExistingDirectory(self, f"Where to put {name}-{kind}"):
            self._export(kind, Path(folder, f"{name}-{kind}"))

    def _export(self, kind: str, place: Path, *, overwrite: bool = False) -> None:
        basket, portal = self._basket.basket, self._basket.portal

        def work(job: Job) -> Any:
            from napari_cryoet.training import copick, croissant, relion, selection, table

            exports: dict[str, Callable[..., Any]] = {
                "copick": copick.export_copick,
                "relion5": relion.export_relion5,
                "csv": table.export_table,
                "croissant": croissant.export_croissant,
            }
            job.say(0, "looking up rows")
            chosen = selection.select_basket(basket, portal, stop=job.stop)
            return exports[kind](chosen, place, overwrite=overwrite, progress=job.say, stop=job.stop)

        def fail(error: CryoETError) -> None:
            if not isinstance(error, ExistsError):
                self._fail(error)
            elif agrees(self, "Export", f"{place.name} is there already. Replace it?", verb="Replace"):
                self._export(kind, place, overwrite=True)

        self._tasks.run(EXPORT, work, then=self._on_exported, failed=fail, title=f"Export {place.name}")

    def _on_exported(self, report: Any) -> None:
        nouns = {"run": report.n_runs, "volume": report.n_volumes, "pick": report.n_picks}
        counts = joined(*(count_text(count, noun) for noun, count in nouns.items() if count))
        left_out = "".join(f"\nLeft out: {reason}" for reason in report.left_out[:5])
        show = partial(open_folder, report.path if report.path.is_dir() else report.path.parent)
        self.notice.show_notice(f"{report.path.name}: {counts}.{left_out}", "Show folder", show, is_news=True)

    def _fail(self, error: CryoETError) -> None:
        self.notice.show_error(error)

    # menus and layout

    def _fill_menus(self) -> None:
        splits = {"/".join(f"{each:g}" for each in shares): partial(self._set_split, shares) for shares in _SHARES}
        empty = {"Empty…": self._empty}
        for menu, items in (
            (_menu_of(self.file), {"Open…": self._open, "Save as…": self._save_as, "Paste ids…": self._paste, **empty}),
            (self.exports, {text: partial(self._ask_export, kind) for kind, text in _EXPORTS.items()}),
            (_menu_of(self.split), splits | {"No split": partial(self._set_split, None)}),
        ):
            for text, then in items.items():
                add_item(menu, text, then)
        _menu_of(self.choices).aboutToShow.connect(self._fill_choices)

    def _fill_choices(self) -> None:
        menu, choices = self.choices.menu(), self._basket.basket.choices
        if menu is None:
            return
        menu.clear()

        def add(text: str, is_on: bool, **changed: Any) -> None:
            action = add_item(menu, text, lambda: self._basket.change(lambda basket: basket.with_choices(**changed)))
            action.setCheckable(True)
            action.setChecked(is_on)

        for name, values in _CHOICES.items():
            for text, value in values.items():
                add(text, getattr(choices, name) == value, **{name: value})
            menu.addSeparator()
        for part in PARTS:
            others = tuple(each for each in choices.leave_out if each != part)
            is_in = part not in choices.leave_out
            add(f"Whole runs with {part}", is_in, leave_out=(*others, part) if is_in else others)

    def _lay_out(self) -> None:
        top, buttons, column = QHBoxLayout(), QGridLayout(), QVBoxLayout(self)
        top.addWidget(self.name, 1)
        top.addWidget(self.file)
        for number, part in enumerate((self.split, self.choices, self.download, self.export)):
            part.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            buttons.addWidget(part, number // 2, number % 2, Qt.AlignmentFlag.AlignTop)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(top)
        for widget in (self.summary, self.sizes, self.remarks, self.notice):
            column.addWidget(widget)
        column.addWidget(self.place, 1)
        column.addLayout(buttons)


class Remarks(QWidget):
    """A line for each remark, with a button where something mends it."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[tuple[str, str], Callable[[], None] | None] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)

    def show_remarks(self, remarks: dict[tuple[str, str], Callable[[], None] | None]) -> None:
        """Show these; where the words are the same, nothing is made anew, so that a button keeps the keys."""
        is_same, self._shown = remarks.keys() == self._shown.keys(), remarks
        if is_same:
            return
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for number, ((text, fix_text), fix) in enumerate(remarks.items()):
            self._grid.addWidget(plain_label(f"⚠ {text}"), number, 0)
            if fix is not None:
                button = push_button(fix_text, partial(self._mend, (text, fix_text)), f"{fix_text}: {text}")
                self._grid.addWidget(button, number, 1)
        self.setVisible(bool(remarks))

    def _mend(self, remark: tuple[str, str]) -> None:
        if (fix := self._shown.get(remark)) is not None:
            fix()


def _row(entry: Entry, *, is_root: bool = False, is_unfolded: bool = False) -> Row:
    size = size_text(entry.size_bytes)
    return Row(
        record=entry,
        key=(entry.run_id, entry.dataset_id, entry.title, entry.parts[:1]),
        title=entry.title,
        is_bold=is_root,
        is_dim=not entry.parts,
        right=(joined(entry.detail, size), entry.detail or size, ""),
        is_unfolded=is_unfolded,
        children=tuple(_row(each) for each in entry.below),
    )


def _menu_of(button: QToolButton) -> QMenu:
    menu = QMenu(button)
    button.setMenu(menu)
    return menu


def _with_ids(basket: Basket, kind: Kind, ids: list[int]) -> Basket:
    return basket.with_ids(kind, ids)


def _other(basket: Basket, _before: Basket) -> Basket:
    return basket
