"""The menu of views at the page of a run: copy a link, save a file, and the views that are kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from qtpy.QtCore import QObject
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.tasks import Job
from napari_cryoet._qt.views.capture import Captured, capture
from napari_cryoet._qt.views.picture import canvas_png
from napari_cryoet._qt.views.restore import VIEW, restorer_of
from napari_cryoet._qt.widgets.controls import (
    add_item,
    add_menu,
    add_title,
    agrees,
    copy_text,
    drop_menu,
    not_none,
    passing_menu,
)
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.locations import Location
from napari_cryoet.records import Run
from napari_cryoet.views.finding import OWN_SOURCES
from napari_cryoet.views.neuroglancer import linkable_tomogram, portal_link
from napari_cryoet.views.store import (
    KeptView,
    delete_view,
    free_title,
    keep_view,
    kept_views,
    packed_views,
    rename_view,
)
from napari_cryoet.views.view import SUFFIX, read_view, write_view
from napari_cryoet.wording import plain

_PICTURE_PX: Final = (192, 128)
_TASK: Final = "link of a view"  # key of the task


def drop_menu_of_views(browser: PortalBrowser, button: QWidget) -> None:
    """Open the menu of views of the run that a dock shows, below a button."""
    views_menu_of(browser).drop(not_none(browser.screens.run.page).run, button)


def open_next_view(browser: PortalBrowser) -> None:
    """Open the next view of the run that a dock shows."""
    page = browser.screens.run.page
    if page is not None:
        views_menu_of(browser).open_next(page.run)


def views_menu_of(browser: PortalBrowser) -> ViewsMenu:
    """The menu of a dock, which the first call makes."""
    menu: ViewsMenu | None = browser.findChild(ViewsMenu)
    return menu or ViewsMenu(browser)


class ViewsMenu(QObject):
    """What can be done with views at the page of a run."""

    def __init__(self, browser: PortalBrowser) -> None:
        super().__init__(browser)
        self._browser = browser
        self._viewer = browser.viewer
        self._last: Path | None = None  # of the kept views, that was opened last

    def drop(self, run: Run, control: QWidget) -> None:
        """Open the menu below a control."""
        menu = passing_menu(control)
        for text, act in (
            ("Copy link", self.copy_link),
            ("Save view…", self.save),
            ("Keep this view…", partial(self.keep, run)),
        ):
            add_item(menu, text, partial(self._try, act)).setEnabled(bool(self._viewer.layers))
        add_item(menu, "Open view…", partial(self._try, self.choose))
        packed = packed_of(run)
        if packed:
            add_title(menu, "In this pack  (V: next)")
        for each in packed:
            action = add_item(
                menu,
                plain(each.title),
                partial(self._try, partial(self.open_kept, each)),
            )
            action.setIcon(QIcon(str(each.picture)))
        kept = kept_views(run.dataset_id, run.name)
        if kept:
            add_title(menu, "Kept for this run  (V: next)")
        for each in kept:
            of_view = add_menu(menu, plain(each.title).replace("&", "&&"))
            of_view.setIcon(QIcon(str(each.picture)))
            for text, act_on in (
                ("Open", self.open_kept),
                ("Copy link", self.copy_kept_link),
                ("Rename…", self.rename),
                ("Delete…", self.delete),
            ):
                add_item(of_view, text, partial(self._try, partial(act_on, each)))
        drop_menu(menu, control)

    def open_next(self, run: Run) -> None:
        """Open the run's next view of its pack or kept, after the last one the first."""
        kept = packed_of(run) + kept_views(run.dataset_id, run.name)
        if not kept:
            self._tell("No view is kept for this run.")
            return
        paths = [each.path for each in kept]
        number = paths.index(self._last) + 1 if self._last in paths else 0
        self._try(partial(self.open_kept, kept[number % len(kept)]))

    # actions; they raise CryoETError

    def copy_link(self) -> None:
        self._copy(capture(self._viewer))

    def save(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self._browser, "Save view", f"view{SUFFIX}", f"Views (*{SUFFIX})"
        )
        if chosen:
            path = Path(chosen)
            captured = capture(self._viewer, folder=path.absolute().parent)
            is_agreed = path.name.endswith(SUFFIX)  # Qt asked about the name as it was typed
            path = write_view(captured.view, path, overwrite=is_agreed)
            self._say(f"Saved {path.name}.", captured)

    def choose(self) -> None:
        """Open a view's file."""
        chosen, _ = QFileDialog.getOpenFileName(
            self._browser, "Open view", "", f"Views (*{SUFFIX} *.json)"
        )
        if chosen:
            self._open(Path(chosen))

    def keep(self, run: Run) -> None:
        captured = capture(self._viewer)
        title = self._ask_title("Keep this view", free_title(run.dataset_id, run.name))
        if title:
            picture = canvas_png(self._viewer, _PICTURE_PX)
            kept = keep_view(captured.view, title, run.dataset_id, run.name, picture)
            self._last = kept.path
            self._say(f"Kept “{title}”: it is below Views.", captured)

    def open_kept(self, kept: KeptView) -> None:
        self._last = kept.path
        self._open(kept.path)

    def copy_kept_link(self, kept: KeptView) -> None:
        self._copy(Captured(read_view(kept.path), ()))

    def rename(self, kept: KeptView) -> None:
        title = self._ask_title("Rename", kept.title)
        if title and title != kept.title:
            rename_view(kept, title)

    def delete(self, kept: KeptView) -> None:
        text = f"Delete the view “{plain(kept.title)}”?"
        if agrees(self._browser, "Delete the view?", text, verb="Delete"):
            delete_view(kept)

    def _ask_title(self, window_title: str, title: str) -> str:
        text, is_accepted = QInputDialog.getText(
            self._browser, window_title, "Name of the view", text=title
        )
        return text.strip() if is_accepted else ""

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except CryoETError as error:
            self._browser.screens.notice.show_error(error, topic=VIEW)

    def _open(self, path: Path) -> None:
        restorer_of(self._browser).open(read_view(path), folder=path.parent)

    # links

    def _copy(self, captured: Captured) -> None:
        """Copy the portal's link with our key for live data, else our own link."""
        # short, since mail programs cut long links; the data has its citation
        words = replace(captured.view.words, citation="", made_by="", made_at="")
        view = replace(captured.view, words=words)
        own = view.link()
        tomogram = linkable_tomogram(view)
        if tomogram is None or tomogram.id is None:
            copy_text(own)
            self._say("Copied a link that opens this view in napari.", captured)
            return
        tomogram_id = tomogram.id

        def ask(job: Job) -> str:
            portal = self._browser.session.portal_of("live", job)
            config = portal.neuroglancer_config(tomogram_id, task=job)
            return portal_link(view, config)

        def on_link(link: str) -> None:
            copy_text(link)
            self._say("Copied a link that opens this view in a browser and in napari.", captured)

        def on_failed(error: CryoETError) -> None:
            copy_text(own)
            self._say(f"Copied a link for napari only. {error}", captured)

        self._browser.tasks.run(_TASK, ask, then=on_link, failed=on_failed)

    def _say(self, done: str, captured: Captured) -> None:
        left_out = " ".join(captured.left_out)
        self._tell(f"{done} Left out: {left_out}" if left_out else done)

    def _tell(self, text: str) -> None:
        self._browser.screens.notice.show_notice(plain(text), is_news=True, topic=VIEW)


def packed_of(run: Run) -> list[KeptView]:
    """The views of a run in the pack that it was opened from."""
    source = run.opened_from
    path = None if source in OWN_SOURCES else Location.of(source).path
    return [] if path is None else packed_views(path, run.dataset_id, run.name)
