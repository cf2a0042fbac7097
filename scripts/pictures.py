"""Redraw the pictures in the docs: the demo in a real window, with default settings.

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/pictures.py [--to docs/images] [--light]
    [NAME ...]

NAME is a picture without suffix; by default, all are drawn. Look at each picture before you commit
it.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_home = tempfile.TemporaryDirectory(prefix="napari-cryoet-pictures-", ignore_cleanup_errors=True)
for _name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
    Path(_home.name, _name).mkdir()
    os.environ[_name] = str(Path(_home.name, _name))
os.environ["NAPARI_CONFIG"] = str(Path(_home.name, "napari.yaml"))

import napari
from napari.layers import Layer, Vectors
from PIL import Image as Picture
from qtpy.QtCore import QBuffer, QIODevice, Qt
from qtpy.QtGui import QPixmap
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QDockWidget, QMessageBox, QToolButton, QWidget

from napari_cryoet import (
    Condition,
    Search,
    load_annotation,
    load_tomogram,
    open_portal,
    read_index,
    write_picks,
)
from napari_cryoet._qt.basket.room import BasketStrip, basket_of
from napari_cryoet._qt.launch import LaunchOptions, Opening
from napari_cryoet._qt.lessons.task_form import PICK
from napari_cryoet._qt.widgets.dock import PLUGIN_NAME, open_dock
from napari_cryoet.demo.write import ensure_demo_pack
from napari_cryoet.layers.specs import PICKS_KEY
from napari_cryoet.lessons.folder import lessons_of
from napari_cryoet.lessons.lesson import PickTask
from napari_cryoet.locations import Location
from napari_cryoet.picks import Picks
from napari_cryoet.runs.outline import AnnotationRow
from napari_cryoet.viewer import (
    add_layers,
    save_picture,
    show_orientations,
    show_slabs,
    view_of,
)
from napari_cryoet.views.store import keep_view

RUN_ID = 9001
PLANTED, MATCHED, CARELESS, MEMBRANES = 9001, 9003, 9004, 9008  # annotations
ELSEWHERE = 9011  # an annotation on another alignment
TIMEOUT_S = 120
ROOT = Path(__file__).resolve().parent.parent
MOVING = "sharpen"
SLOW_LINE = {"latency": 0.1, "connection_mb": 0.08, "total_mb": 0.3}
QUESTION = Search(
    processing=("denoised",),
    spacing_angstrom=(None, 10),
    annotations=(Condition(objects=('"cytosolic ribosome"',), is_ground_truth=True),),
)


class Stage:
    """A napari window of a given size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.viewer = napari.Viewer(show=True, show_welcome_screen=False)
        self.window = self.viewer.window._qt_window
        self.window.showNormal()
        self.viewer.window.resize(*size)

    def show(self, *annotation_ids: int) -> list[Layer]:
        """Add the demo's tomogram and annotations; return the annotation layers without arrows."""
        page = open_portal("demo").run_page(RUN_ID)
        tomogram = page.default_tomogram
        assert tomogram is not None
        self.shape_zyx = tomogram.shape_zyx
        add_layers(self.viewer, [load_tomogram(tomogram)])
        first_files = {file.shape.annotation.id: file for file in reversed(page.annotation_files)}
        made = []
        for annotation_id in annotation_ids:
            layers = add_layers(self.viewer, load_annotation(first_files[annotation_id], tomogram))
            made += [layer for layer in layers if not isinstance(layer, Vectors)]
        self.settle()
        return made

    def browse(self, annotations: str = "default") -> Any:
        """Open the portal dock at the demo's default run, like `napari-cryoet demo`.

        Return the dock.
        """
        browser = self.dock("CryoET Explorer")
        opening = Opening(
            browser, LaunchOptions(source="demo", run_id=RUN_ID, annotations=annotations)
        )
        opening.begin()
        until(lambda: not opening.missing() and not browser.manager.coming())
        self.settle()
        return browser

    def dock(self, name: str) -> Any:
        """Open one of our docks, like napari's menu."""
        return open_dock(self.viewer, name)

    def hide(self, *titles: str) -> None:
        """Hide napari's docks."""
        for dock in self.window.findChildren(QDockWidget):
            if dock.windowTitle() in titles or dock.objectName() in titles:
                dock.hide()

    def fit(self, seconds: float = 1.5) -> None:
        """Fit the tomogram to the view after docks are laid out."""
        self.settle(seconds)
        self.viewer.fit_to_view()
        self.settle(seconds)

    def settle(self, seconds: float = 1.5) -> None:
        """Wait until everything is drawn."""
        QTest.qWait(round(500 * seconds))
        until(lambda: all(layer.loaded for layer in self.viewer.layers))
        QTest.qWait(round(500 * seconds))


def until(condition: Callable[[], Any]) -> None:
    """Run the event loop until a condition holds."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        QTest.qWait(20)
        if time.monotonic() > end:
            raise TimeoutError("the window isn't ready")


def shown(kind: type[QDialog]) -> list[Any]:
    """The visible dialogs of a type."""
    return [
        widget
        for widget in QApplication.topLevelWidgets()
        if isinstance(widget, kind) and widget.isVisible()
    ]


def click(button: QWidget) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def drawn(widget: QWidget | QPixmap) -> Picture.Image:
    """Render a widget in 256 colours, which is enough for tomograms."""
    content = QBuffer()
    content.open(QIODevice.OpenModeFlag.WriteOnly)
    pixels = widget if isinstance(widget, QPixmap) else widget.grab()
    pixels.save(content, "PNG")
    picture = Picture.open(io.BytesIO(bytes(content.data().data()))).convert("RGB")
    return picture.quantize(256, Picture.Quantize.MAXCOVERAGE, kmeans=3, dither=Picture.Dither.NONE)


def tick(browser: Any, is_wanted: Callable[[AnnotationRow], bool]) -> Any:
    """Tick the first matching annotation of a run and scroll to it; return its index."""
    model, tree = browser.screens.run.annotations, browser.screens.run.tree
    index = next(
        index
        for index in model.indexes()
        if index.parent().isValid() and is_wanted(model.record_at(index))
    )
    model.request_tick(index, 0)
    tree.scrollTo(index, tree.ScrollHint.PositionAtCenter)
    return index


def demo(stage: Stage) -> Picture.Image:
    stage.browse()
    return drawn(stage.window)


def search(stage: Stage) -> Picture.Image:
    browser = stage.browse()
    browser.screens.search.setText("membrane")
    browser.screens.search.setFocus()
    until(browser.screens.datasets.isVisible)
    stage.settle()
    return drawn(browser)


def filters(stage: Stage) -> Picture.Image:
    browser = stage.dock("CryoET Explorer")
    browser.use_source("demo")
    until(lambda: browser.session.catalogue is not None)
    browser.finder.set_search(QUESTION)
    browser.screens.switch.setCurrentIndex(1)
    click(browser.screens.filter_bar.filters)
    until(lambda: browser.screens.runs.model.rows)
    stage.settle()
    return drawn(browser)


def basket(stage: Stage) -> Picture.Image:
    browser = stage.dock("CryoET Explorer")
    browser.use_source("demo")
    until(lambda: browser.session.catalogue is not None)
    index = read_index(open_portal("demo"))
    basket_of(browser).change(
        lambda basket: basket.add(index.find(QUESTION)).renamed("ribosomes for training")
    )
    until(lambda: basket_of(browser).ticks.is_settled and not basket_of(browser).basket.is_empty)
    click(browser.findChild(BasketStrip))
    stage.settle()
    return drawn(browser)


def annotations(stage: Stage) -> Picture.Image:
    browser = stage.browse()
    row = tick(browser, lambda row: row.annotation.id == ELSEWHERE)
    until(lambda: shown(QMessageBox))
    (question,) = shown(QMessageBox)
    click(next(button for button in question.buttons() if button.text() == "Show anyway"))
    until(lambda: any("made on" in layer.name for layer in stage.viewer.layers))
    stage.settle()
    browser.screens.run.tree.scrollTo(row)
    stage.settle()
    return drawn(stage.window)


def picks(stage: Stage) -> Picture.Image:
    stage.hide("layer controls", "layer list")
    (picks,) = stage.show(PLANTED)
    stage.viewer.layers.selection.active = picks
    show_slabs(stage.viewer, picks_nm=30)
    show_orientations(stage.viewer, picks, "triads", length_angstrom=400)
    stage.fit()
    return drawn(stage.window)


def review(stage: Stage) -> Picture.Image:
    (picks,) = stage.show(MATCHED)
    stage.viewer.layers.selection.active = picks
    dock = stage.dock("Review picks")
    until(lambda: dock.review is not None)
    dock.controls.oriented.setChecked(True)
    dock.controls.order.setCurrentIndex(dock.controls.order.findData("density"))
    until(lambda: "density" in dock.review.columns and dock.feed.n_waiting == 0)
    dock.sheet.go_to(0)
    dock.sheet.setFocus()
    for letter in "KKXKKKXKKKXKKX":
        key = {"K": Qt.Key.Key_K, "X": Qt.Key.Key_X}[letter]
        QTest.keyClick(dock.sheet, key)
        QTest.qWait(50)
    dock.average.switch.setChecked(True)
    until(lambda: dock.average.count == dock.review.counts.kept and dock.feed.n_waiting == 0)
    stage.fit()
    return drawn(stage.window)


def compare(stage: Stage) -> Picture.Image:
    stage.hide("layer controls", "layer list")
    judged, reference = stage.show(CARELESS, PLANTED)
    dock = stage.dock("Compare annotations")
    dock.choose(judged, reference)
    dock.radius.setValue(12)
    click(dock.bar.button)
    until(lambda: dock.comparison is not None)
    for button in dock.results.show_buttons:
        click(button)
    for layer in stage.viewer.layers:
        layer.visible = layer not in (judged, reference) and not isinstance(layer, Vectors)
    stage.fit()
    return drawn(stage.window)


def check(stage: Stage) -> Picture.Image:
    (planted,) = stage.show(PLANTED)
    picks: Picks = planted.metadata[PICKS_KEY]
    flipped = picks.points_zyx.copy()
    flipped[:, 1] = stage.shape_zyx[1] - 1 - flipped[:, 1]
    for layer in list(stage.viewer.layers)[1:]:
        stage.viewer.layers.remove(layer)
    path = Path(_home.name, "ribosome_picks_2024.csv")
    mine = Picks(flipped, picks.spacing_angstrom, about={"object_name": "cytosolic ribosome"})
    write_picks(mine, path.with_suffix(".picks.csv"), overwrite=True)
    (layer,) = stage.viewer.open(str(path.with_suffix(".picks.csv")), plugin=PLUGIN_NAME)
    layer.name = path.stem
    dock = stage.dock("Check picks")
    dock.choose(layer, stage.viewer.layers[0])
    click(dock.bar.button)
    until(lambda: bool(dock.results.headline))
    click(dock.results.buttons["copy"])
    layer.visible = False
    stage.fit()
    return drawn(stage.window)


def views(stage: Stage) -> Picture.Image:
    picks, _membranes = stage.show(PLANTED, MEMBRANES)
    stage.viewer.layers.selection.active = picks
    views = stage.dock("Orthogonal views")
    until(lambda: all(len(view.copies) == len(stage.viewer.layers) for view in views.views))
    stage.fit(4)
    assert views.isVisible()
    return drawn(stage.window)


def lesson(stage: Stage) -> Picture.Image:
    dock = stage.dock("Lesson")
    until(lambda: dock.chooser.buttons)
    source = lessons_of(ensure_demo_pack())[1]
    dock.play(source)
    player = dock.player
    number = next(
        count
        for count, step in enumerate(source.lesson.steps)
        if isinstance(step.task, PickTask) and step.task.reference
    )
    player.go_to(number)
    until(lambda: player.box is not None and player.box.is_on_canvas)
    stage.fit()
    (low_z, high_z), *_ = player.box.task.region_zyx_angstrom
    reference = source.read_picks(player.box.task.reference).positions_angstrom_zyx
    near = reference[(reference[:, 0] > low_z) & (reference[:, 0] < high_z)]
    add_picks(player, [*near[:4], near[4] + [0, 90, 120]])
    click(player.box.bar.button)
    until(player.feedback.isVisible)
    stage.settle()
    return drawn(stage.window)


def add_picks(player: Any, positions_zyx: list[Any]) -> None:
    """Add picks to the layer of a lesson's task."""
    layer = player.box.points
    for position in positions_zyx:
        layer.add((position - layer.translate) / layer.scale)


def lesson_editor(stage: Stage) -> Picture.Image:
    (picks,) = stage.show(PLANTED)
    stage.viewer.layers.selection.active = picks
    editor = stage.dock("Write a lesson")
    editor.title.setText("My first lesson")
    for title in ("What you see", "Find the ribosomes", "What did you find?"):
        click(editor.add_button)
        editor.step_title.setText(title)
    editor.steps.setCurrentRow(1)
    editor.tabs.setCurrentIndex(2)
    editor.form.kind.setCurrentText(PICK)
    editor.form.fields["ask"].setPlainText("Pick all ribosomes that you see.")
    stage.fit()
    return drawn(stage.window)


def send(stage: Stage) -> Picture.Image:
    browser = stage.browse()
    stage.viewer.dims.set_point(0, 403)
    stage.viewer.scene.camera.center = (0, 1029, 1830)
    stage.viewer.scene.camera.zoom *= 2.5
    stage.settle()
    view = view_of(stage.viewer)
    keep_view(view, "Is this a ribosome?", 90001, "DEMO_001")
    buttons = browser.screens.run.findChildren(QToolButton)
    click(next(each for each in buttons if each.text() == "Views ▾"))
    until(QApplication.activePopupWidget)
    QTest.qWait(300)
    menu = QApplication.activePopupWidget()
    screen = stage.window.screen().grabWindow(0)  # with the menu, which is a window of its own
    picture = drawn(screen.copy(stage.window.frameGeometry().united(menu.frameGeometry())))
    menu.close()
    return picture


def figure(stage: Stage) -> Picture.Image:
    stage.browse()
    path = Path(_home.name, "figure.png")
    save_picture(stage.viewer, path, (560, 640), overwrite=True)
    return Picture.open(path).convert("RGB").quantize(256)


def sharpen(path: Path) -> None:
    """Film two planes of the demo's tomogram that arrive over a slow connection, as a GIF."""
    sys.path.insert(0, str(ROOT / "tests"))
    from server import server_process

    tomogram = open_portal("demo").run_page(RUN_ID).default_tomogram
    folder = Location.of(tomogram.https_omezarr_dir).path
    stage = Stage((480, 560))
    stage.hide("layer controls", "layer list")
    frames: list[Picture.Image] = []
    taken: list[float] = []

    def film(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QTest.qWait(20)
            pixels = stage.viewer.screenshot(canvas_only=True, flash=False)
            frame = Picture.fromarray(pixels).convert("L").quantize(64)
            if not frames or frame.tobytes() != frames[-1].tobytes():
                frames.append(frame)
                taken.append(time.monotonic())

    with server_process(folder.parent, **SLOW_LINE) as url:
        stage.viewer.open(f"{url}/{folder.name}", plugin="napari-cryoet")
        stage.viewer.fit_to_view(margin=0)
        stage.settle(8)  # meanwhile, the coarsest level comes
        film(1.5)
        for place_angstrom in (300, 600):
            stage.viewer.dims.set_point(0, place_angstrom)
            film(5)
    taken.append(time.monotonic())
    lengths_ms = [round(1000 * (end - start)) for start, end in itertools.pairwise(taken)]
    stage.viewer.close()
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=lengths_ms, loop=0, optimize=True
    )


#: The function that draws each picture, and the size of its window.
PICTURES: dict[str, tuple[Callable[[Stage], Picture.Image], tuple[int, int]]] = {
    "demo": (demo, (1280, 800)),
    "search": (search, (1280, 420)),
    "filters": (filters, (1280, 680)),
    "basket": (basket, (1280, 620)),
    "annotations": (annotations, (1280, 800)),
    "views": (views, (1280, 800)),
    "picks": (picks, (980, 720)),
    "review": (review, (1280, 800)),
    "compare": (compare, (1280, 860)),
    "check": (check, (1280, 800)),
    "send": (send, (1200, 760)),
    "figure": (figure, (1280, 800)),
    "lesson": (lesson, (1280, 800)),
    "lesson-editor": (lesson_editor, (1280, 800)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *PICTURES, MOVING])
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--light", action="store_true", help="use napari's light theme")
    args = parser.parse_args()
    ensure_demo_pack()  # on first use this takes longer than `TIMEOUT_S`
    for name in args.names or [*PICTURES, MOVING]:
        if name == MOVING:
            sharpen(args.to / f"{name}.gif")
            continue
        show, size = PICTURES[name]
        stage = Stage(size)
        stage.viewer.theme = "light" if args.light else "dark"
        show(stage).save(args.to / f"{name}.png", optimize=True)
        print(name, flush=True)
        stage.viewer.close()
        QTest.qWait(200)


if __name__ == "__main__":
    main()
