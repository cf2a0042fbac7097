"""A second release of a portal: rows added, changed and withdrawn, ground truth lost, and a field removed.

What somebody searched, collected, locked and downloaded before has to show it, in the commands and
in the window: nothing old passes as new, and nothing seen before is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from generated_portal import write_generated_pack
from napari_cryoet import Basket, open_portal, read_basket, read_index
from napari_cryoet._qt.basket.room import BasketStrip, basket_of
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet.basket.contents import ask_basket_runs
from napari_cryoet.cli import main
from napari_cryoet.download.plan import plan_basket
from napari_cryoet.packs.pack import Pack, write_pack
from portal_server import PortalServer
from server import Server

Captured = pytest.CaptureFixture[str]

OPTIONS = ("--object", "ribosome", "--ground-truth")
LATER = "2031-01-01T00:00:00+00:00"
POINT: dict[str, Any] = {"type": "point", "location": {"x": 1.0, "y": 2.0, "z": 3.0}}
TURN = {"type": "orientedPoint", "xyz_rotation_matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
FIELDS = {"objects": "ribosome", "is_ground_truth": True}
REMOVED = "annotationSoftware|annotationMethodLinks"  # fields that the second release lacks


class Releases(NamedTuple):
    """A server of the first release, and the second one."""

    server: PortalServer
    first: Pack
    second: Pack
    changed: int  # ids of annotations
    not_true: int
    withdrawn: int
    added: int

    def publish(self) -> None:
        self.server.release(self.second.folder, lacking=REMOVED)


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Releases]:
    first = write_generated_pack(
        tmp_path / "first", n_datasets=4, n_runs=20, n_annotations=80, seed=7
    )
    portal = open_portal(first.folder)
    basket = Basket(source=portal.source.name).add(read_index(portal).find(**FIELDS))
    changed, not_true, withdrawn, *_ = basket.annotations
    tables: dict[str, list[Any]] = {name: [*rows] for name, rows in first.tables.items()}
    annotations = {row["id"]: row for row in tables["annotations"]}
    annotations[changed] |= {"lastModifiedDate": LATER, "objectCount": 762}
    annotations[not_true] |= {"groundTruthStatus": False}
    added = max(annotations) + 1
    tables["annotations"].append(annotations[withdrawn] | {"id": added})
    for shape in tables["annotationShapes"]:
        if shape["annotationId"] == withdrawn:
            shape["annotationId"] = added
    tables["annotations"].remove(annotations[withdrawn])
    tables["datasets"].append(tables["datasets"][0] | {"id": 10999, "title": "Brand new"})
    tables["runs"].append(tables["runs"][0] | {"id": 9999, "datasetId": 10999})
    second = write_pack(tmp_path / "second", first.manifest, tables)
    for pack, n_points in ((first, 2), (second, 3)):
        of_release = open_portal(pack.folder)
        ticked = basket.with_ids("annotations", [added])
        ticked = Basket(source=of_release.source.name, annotations=ticked.annotations)
        for item in plan_basket(ticked, ask_basket_runs(of_release, ticked), of_release).items:
            path = pack.folder / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            is_oriented = item.table == "annotationFiles" and item.row_id in oriented(pack)
            line = json.dumps(POINT | (TURN if is_oriented else {}))
            path.write_text(f"{line}\n" * n_points)
    with Server() as server:
        yield Releases(
            PortalServer(server, first.folder), first, second, changed, not_true, withdrawn, added
        )


def oriented(pack: Pack) -> set[int]:
    """The ids of files with oriented points."""
    shapes = {
        row["id"] for row in pack.tables["annotationShapes"] if "Oriented" in row["shapeType"]
    }
    return {
        row["id"] for row in pack.tables["annotationFiles"] if row["annotationShapeId"] in shapes
    }


def matches(pack: Pack) -> set[int]:
    """The annotations that match, found without the index."""
    return {
        row["id"]
        for row in pack.tables["annotations"]
        if "ribosome" in row["objectName"].casefold() and row["groundTruthStatus"]
    }


def test_commands_name_what_changed(releases: Releases, tmp_path: Path, capsys: Captured) -> None:
    basket, locked, to = tmp_path / "mine.toml", tmp_path / "locked.toml", tmp_path / "data"
    url = releases.server.url

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*map(str, arguments)])
        return code, *capsys.readouterr()

    def listed() -> set[int]:
        code, ids, _ = run("list", "annotations", url, *OPTIONS, "--ids")
        assert code == 0
        return {*map(int, ids.split())}

    assert listed() == matches(releases.first)
    assert run("basket", "add", basket, "--source", url, *OPTIONS)[0] == 0
    assert run("download", basket, "--to", to)[0] == 0
    assert run("export", "table", basket, tmp_path / "first.csv")[0] == 0
    locked.write_text(basket.read_text())
    assert run("basket", "lock", locked, "--folder", to)[0] == 0
    before = {path: path.read_bytes() for path in (to / "files").rglob("*") if path.is_file()}
    releases.publish()

    assert listed() == matches(releases.second)
    named = [
        f"AN-{releases.changed} (",
        f"AN-{releases.not_true} (",
        f"AN-{releases.withdrawn}: withdrawn",
    ]
    code, said, _ = run("basket", "check", basket)
    assert code == 4
    assert all(each in said for each in [*named, f"AN-{releases.added}: new match"])
    for command in (
        ("download", basket, "--to", to),
        ("export", "table", basket, tmp_path / "second.csv"),
    ):
        code, _, said = run(*command)
        assert code == 4
        assert all(each in said for each in named)

    after = {path: path.read_bytes() for path in (to / "files").rglob("*") if path.is_file()}
    assert after.keys() == before.keys(), "what was withdrawn is kept"
    new = {path for path in after if after[path] != before[path]}
    assert new == {path for path in after if f"/{releases.changed}/" in path.as_posix()} | {
        to / "files" / path for path in points_of(releases.second, releases.changed)
    }
    assert run("verify", to)[0] == 0
    code, _, said = run("download", locked, "--to", tmp_path / "locked")
    assert code == 4
    for annotation in (releases.changed, releases.withdrawn, releases.not_true):
        assert all(path in said for path in points_of(releases.first, annotation))

    assert run("basket", "check", basket, "--update")[0] == 0
    assert run("basket", "check", basket)[0] == 0
    assert {*read_basket(basket).annotations} == matches(releases.second) | {releases.not_true}


def points_of(pack: Pack, annotation_id: int) -> list[str]:
    """The paths of the richest points of an annotation."""
    portal = open_portal(pack.folder)
    basket = Basket(source=portal.source.name, annotations=(annotation_id,))
    items = plan_basket(basket, ask_basket_runs(portal, basket), portal).items
    return [item.path.removeprefix("files/") for item in items if item.table == "annotationFiles"]


def test_the_window_shows_the_new_release(qtbot, memory, releases: Releases) -> None:
    def opened() -> PortalBrowser:
        browser = PortalBrowser(ViewerModel(), memory=memory)
        qtbot.addWidget(browser)
        browser.resize(380, 760)
        browser.show()
        with qtbot.waitSignal(
            browser.session.catalogue_changed,
            check_params_cb=lambda catalogue: not catalogue.freshness.is_offline,
        ):
            browser.use_source(releases.server.url)
        browser.screens.filter_bar.filters.setChecked(True)
        qtbot.waitUntil(lambda: browser.session.index is not None)
        qtbot.waitUntil(lambda: not {"index", "search"} & {*browser.tasks.running})
        return browser

    first = opened()
    n_datasets = len(first.screens.datasets.model.rows)
    found = first.session.index.find(**FIELDS)
    basket_of(first).change(lambda basket: basket.add(found))
    qtbot.waitUntil(lambda: basket_of(first).ticks.is_settled)
    first.close_down()
    releases.publish()

    second = opened()
    qtbot.waitUntil(lambda: len(second.screens.datasets.model.rows) == n_datasets + 1)
    assert second.session.index.find("brand new").dataset_ids == (10999,)
    qtbot.mouseClick(second.findChild(BasketStrip), Qt.MouseButton.LeftButton)

    def remarks() -> str:
        buttons = second.screens.page("basket").remarks.findChildren(QPushButton)
        return " ".join(button.accessibleName() for button in buttons)

    qtbot.waitUntil(lambda: "withdrawn" in remarks())
    for annotation in (releases.changed, releases.not_true, releases.withdrawn, releases.added):
        assert f"AN-{annotation}" in remarks()
    second.close_down()
