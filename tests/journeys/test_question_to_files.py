"""The guide's example, from a search to files: in the window, with two commands, and in Python.

The search is "all ground-truth ribosome picks at 10 Å or finer with the denoised tomogram, from
many runs", adapted to each source. Results are compared with an independent SQL query.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QModelIndex, QPoint, Qt
from qtpy.QtWidgets import QApplication, QMenu

from generated_portal import write_generated_pack
from napari_cryoet import (
    Basket,
    Condition,
    Search,
    open_portal,
    read_basket,
    read_index,
)
from napari_cryoet._qt.basket.download_dialog import DownloadDialog
from napari_cryoet._qt.basket.room import BasketStrip
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet.basket.contents import ask_basket_runs
from napari_cryoet.cli import main
from napari_cryoet.download.plan import plan_basket
from napari_cryoet.packs.pack import Pack, open_pack, write_pack
from portal_server import PortalServer
from qt.buttons import button_in
from server import Server

SQL = """
SELECT DISTINCT a.id, a.runId FROM annotations a JOIN tomograms t ON t.runId = a.runId
WHERE a.objectName LIKE '%ribosome%' AND a.groundTruthStatus = ? AND t.processing = ? AND t.voxelSpacing <= ? * 1.005
"""


class Source(NamedTuple):
    """A portal, the parameters of the search, and the portal's pack."""

    name: str
    pack: Pack
    is_ground_truth: bool
    processing: str
    coarsest: float

    @property
    def answer(self) -> tuple[set[int], set[int]]:
        """Ids of the matching annotations and runs, by SQL."""
        with sqlite3.connect(":memory:") as db:
            for table, columns in COLUMNS.items():
                db.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
                cells = ([row.get(name) for name in columns] for row in self.pack.tables[table])
                db.executemany(
                    f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", cells
                )
            rows = db.execute(
                SQL, (self.is_ground_truth, self.processing, self.coarsest)
            ).fetchall()
        return {row[0] for row in rows}, {row[1] for row in rows}

    @property
    def search(self) -> Search:
        condition = Condition(objects=("ribosome",), is_ground_truth=self.is_ground_truth)
        return Search(
            processing=(self.processing,),
            spacing_angstrom=(None, self.coarsest),
            annotations=(condition,),
        )

    @property
    def options(self) -> list[str]:
        truth = "--ground-truth" if self.is_ground_truth else "--no-ground-truth"
        return [
            "--object",
            "ribosome",
            truth,
            "--processing",
            self.processing,
            "--spacing",
            f"..{self.coarsest}",
        ]


BUSY = {"index", "search", "basket", "contents of the basket"}
COLUMNS: Mapping[str, Sequence[str]] = {
    "annotations": ("id", "runId", "objectName", "groundTruthStatus"),
    "tomograms": ("id", "runId", "processing", "voxelSpacing"),
}


@pytest.fixture(
    params=[
        "served demo",
        pytest.param("real tables", marks=pytest.mark.slow),
        pytest.param("370 datasets", marks=pytest.mark.slow),
    ]
)
def source(request: pytest.FixtureRequest) -> Source:
    """The three sources; the small demo is coarser than the users' demo."""
    match request.param:
        case "served demo":
            served, pack = (
                request.getfixturevalue("served_demo"),
                request.getfixturevalue("demo_pack"),
            )
            return Source(served["graphql"], open_pack(pack), True, "denoised", 41)
        case "real tables":
            pack = request.getfixturevalue("real_pack")
            return Source(str(pack.folder), pack, True, "raw", 14)
    folder = request.getfixturevalue("tmp_path") / "generated"
    return Source(str(folder), write_generated_pack(folder), True, "denoised", 10)


def test_two_commands_download_the_matches(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run_ids = source.answer
    assert main(["basket", "add", source.name, *source.options]) == 0
    has_files = source.pack.files.exists() and any(source.pack.files.iterdir())
    dry_run = [] if has_files else ["--dry-run"]
    assert main(["download", source.name, "--to", str(tmp_path / "data"), *dry_run]) == 0
    assert f"{len(run_ids):,} runs · " in capsys.readouterr().out
    if has_files:
        check_folder(tmp_path / "data", source)


def test_the_commands_of_the_guide_run_as_they_are_written(
    demo_pack: Path,
    project_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    guide = (project_folder / "docs" / "guides" / "basket.md").read_text(encoding="utf-8")
    commands = re.findall(r"^napari-cryoet (.+)$", guide, re.MULTILINE)
    assert len(commands) == 4
    pack = tmp_path / "pack"
    shutil.copytree(demo_pack, pack)
    tables = {name: [*rows] for name, rows in open_pack(pack).tables.items()}
    for row in (*tables["tomograms"], *tables["tomogramVoxelSpacings"]):
        row["voxelSpacing"] = 10.0  # as fine as the guide asks; the small demo is coarser
    write_pack(pack, open_pack(pack).manifest, tables)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with Server() as server:
        live = PortalServer(server, pack).url
        monkeypatch.setattr(
            "napari_cryoet.open_portal",
            lambda source: open_portal(live if source == "live" else source),
        )
        for command in commands:
            assert main(shlex.split(command)) == 0, command
    assert json.loads(Path("project", "config.json").read_text())["pickable_objects"]
    assert any(Path("project").rglob("*.zarr"))


def test_a_few_lines_of_python_plan_the_download(source: Source) -> None:
    annotation_ids, run_ids = source.answer
    portal = open_portal(source.name)
    basket = Basket(source=source.name).add(read_index(portal).find(source.search))
    plan = plan_basket(basket, ask_basket_runs(portal, basket), portal)
    assert set(basket.annotations) == annotation_ids
    assert len(basket.tomograms) == len(run_ids)
    assert {item.table for item in plan.items} >= {"tomograms", "annotationFiles"}


def test_ten_clicks_download_the_matches(qtbot, memory, served_demo, demo_pack, tmp_path) -> None:
    browser = PortalBrowser(ViewerModel(), memory=memory)
    qtbot.addWidget(browser)
    browser.resize(380, 760)
    browser.show()
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(served_demo["graphql"])
    screens, clicks = browser.screens, []

    def click(widget: Any, position: QPoint | None = None) -> None:
        clicks.append(widget)
        qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=position or QPoint())
        qtbot.waitUntil(
            lambda: (
                not {"index", "search", "basket", "contents of the basket"}
                & set(browser.tasks.running)
            )
        )

    def click_value(facet: str, text: str) -> None:
        """Click a value of a facet, after unfolding the facet if necessary."""
        view, index = screens.facets.view, index_of(screens.facets.model, facet, text)
        for each in (index.parent(), index):
            if each == index or not view.isExpanded(each):
                view.scrollTo(each)
                click(view.viewport(), view.visualRect(each).center())

    click(screens.filter_bar.filters)
    click_value("Object", "cytosolic ribosome")
    click_value("Ground truth", "yes")
    click_value("Processing", "denoised")
    click_value("Voxel spacing", "from … to …")
    qtbot.keyClicks(screens.facets.range, "..41\r")
    qtbot.waitUntil(lambda: not BUSY & set(browser.tasks.running))

    click(button_in(screens.datasets, "Add all matches ▾"))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    item = next(action for action in menu.actions() if "annotations and" in action.text())
    click(menu, menu.actionGeometry(item).center())
    qtbot.waitUntil(lambda: "2 runs" in browser.findChild(BasketStrip).text())
    click(browser.findChild(BasketStrip))
    click(screens.page("basket").download)
    dialog = next(
        each for each in QApplication.topLevelWidgets() if isinstance(each, DownloadDialog)
    )
    dialog.form.folder.value = tmp_path / "data"
    qtbot.waitUntil(dialog.start.isEnabled)
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    qtbot.waitUntil(dialog.show_folder.isVisible)
    browser.close_down()

    assert len(clicks) <= 10
    check_folder(tmp_path / "data", Source("", open_pack(demo_pack), True, "denoised", 41))


def index_of(model: Any, facet: str, text: str) -> QModelIndex:
    """The index of a facet's value in the tree."""
    for index in model.indexes():
        parent = model.row_at(index.parent())
        if parent and parent.title == facet and model.row_at(index).title == text:
            return index
    raise AssertionError(f"{facet} has no {text}")


def check_folder(folder: Path, source: Source) -> None:
    """Check that the download is complete, has its search, and is a pack with only the matching records."""
    annotation_ids, run_ids = source.answer
    assert json.loads((folder / "manifest.json").read_text())["is_complete"]
    assert read_basket(folder / "basket.toml").searches
    portal = open_portal(folder)
    pages = [
        portal.run_page(row.id) for dataset in portal.datasets() for row in portal.runs(dataset.id)
    ]
    assert {page.run.id for page in pages} == run_ids
    assert {annotation.id for page in pages for annotation in page.annotations} == annotation_ids
    for page in pages:
        (tomogram,) = page.tomograms
        assert tomogram.processing == source.processing
        assert tomogram.voxel_spacing <= source.coarsest * 1.005
