"""The dock widget: creates the parts, connects them, and stops everything when it is closed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Final

import msgspec
import napari
from napari.layers import Layer, Points
from qtpy.QtCore import QMimeData, QSize, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QHideEvent, QKeySequence, QPaintEvent, QShortcut
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QWidget

from napari_cryoet._qt.browser.data_use import HeldDataDialog, NetworkUse
from napari_cryoet._qt.browser.finder import Finder
from napari_cryoet._qt.browser.navigation import Navigator, Screens
from napari_cryoet._qt.browser.run_layers import RUN_TOPIC, RunLayers
from napari_cryoet._qt.browser.session import OpenPortal, Session
from napari_cryoet._qt.browser.source_bar import AddressDialog, Choice
from napari_cryoet._qt.browser.tilt_window import TiltWindows
from napari_cryoet._qt.picks.popover import show_picks_popover
from napari_cryoet._qt.picks.slabs import elsewhere
from napari_cryoet._qt.rooms import KEYS, LATER, OFFERS, SOURCE, Entry, call, opener_of
from napari_cryoet._qt.tasks import Job, single_shot, warm_up
from napari_cryoet._qt.viewer.detail import Detail, VolumeDetail
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet._qt.viewer.status import LevelsMenu, StreamWatch
from napari_cryoet._qt.widgets.controls import not_none
from napari_cryoet._qt.widgets.dock import BROWSER, Dock, open_dock
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.discovery.search import Search, search_from
from napari_cryoet.exceptions import FormatError
from napari_cryoet.layers.readers import pack_at
from napari_cryoet.locations import Location, without_login
from napari_cryoet.packs.pack import MANIFEST_NAME
from napari_cryoet.packs.zipped import SUFFIX as ZIP
from napari_cryoet.packs.zipped import is_zipped_pack, unpacked
from napari_cryoet.pages.breadcrumbs import crumbs_from
from napari_cryoet.portal.links import Jump, parse_jump
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import Portal, Source, open_portal
from napari_cryoet.settings import LeftPage, Recent, Settings
from napari_cryoet.wording import nm_text, plain

_LINK: Final = "a link"  # topic of notices
_LATER_MS: Final = 500  # after the first paint
_SAVE_AFTER_MS: Final = 500  # so that typing doesn't write a file for each letter


def open_any(source: str, job: Job) -> Portal:
    """Like `napari_cryoet.open_portal`, but creates the demo first if it is missing."""
    if source == "demo":
        from napari_cryoet.demo.write import ensure_demo_pack  # here, as it takes half a second

        ensure_demo_pack(task=job)
    path = Path(source)
    if is_zipped_pack(path):
        return open_portal(unpacked(path, task=job))
    return open_portal(source)


class PortalBrowser(Dock):
    """Browse the CryoET Data Portal, the demo or a pack, and open layers.

    ``open_portal`` runs on a worker thread.
    """

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        *,
        open_portal: OpenPortal = open_any,
        memory: Settings | None = None,
    ) -> None:
        super().__init__(napari_viewer, BROWSER, tab_name="Portal")
        # otherwise napari adds empty space below
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)
        self.memory = memory or Settings()
        self._source_label = ""
        self._record_to_show: Jump | None = None  # once its source is open
        self._returns = False  # to the page where the source was left
        self._left: LeftPage | None = None  # to return to, once the source's catalogue is there
        self._save_soon = single_shot(self, _SAVE_AFTER_MS, self._save_page)
        self._open_portal = open_portal
        self.session = Session(self.tasks, self._open_with_rooms, self)
        self._thumbnails = Thumbnails(self.tasks, self.session.picture_reader(), self)
        self.screens = Screens(self, self.theme, self._thumbnails)
        self.screens.search.setAcceptDrops(False)  # the dock takes drops
        self.navigator = Navigator(self.screens, self.session, self)
        self.manager = LayerManager(napari_viewer, self.tasks, parent=self)
        self.detail = Detail(napari_viewer, self.manager, self)
        self.volumes = VolumeDetail(napari_viewer, self.manager, self.detail, self)
        run, notice = self.screens.run, self.screens.notice
        self.run_layers = RunLayers(self.manager, run, notice, self.tasks, self)
        self.tilt_windows = TiltWindows(run, notice, parent=self)
        self.levels_menu = LevelsMenu(self.manager, self.screens.status, self.volumes, self)
        self.stream_watch = StreamWatch(self.manager, self.screens.status, self.detail, self)
        self.network = NetworkUse(self.memory, self)
        self.finder = Finder(
            self.screens,
            self.session,
            self.navigator,
            self.memory,
            self,
            follow_link=self.follow_link,
        )
        self.at_close(self._end)
        self._connect()
        self.add_key("/", self.screens.focus_search)
        self.add_key("Backspace", self.navigator.go_up)
        for key, target in KEYS.items():
            self.add_key(key, partial(call, target, self))
        self._connect_network()
        self._later = LATER
        self._start_soon = single_shot(self, _LATER_MS, self._start_later)
        self.at_close(self._start_soon.stop)
        self._recall()

    def use_source(self, source: str | Path, *, returns: bool = False) -> None:
        """Browse a source: ``"live"``, ``"demo"``, a portal's URL, or a pack's folder.

        With ``returns``, it opens where it was left.
        """
        self._save_now()
        self._record_to_show = None
        self._returns = returns
        self.session.open(str(source))

    def open_link(self, text: str) -> None:
        """Open what a link or a path leads to: a record of the portal, a pack, or what a room opens."""
        try:
            record = self.follow_link(text)
            pack = pack_at(text)
        except FormatError as error:
            self.screens.notice.show_error(error, topic=_LINK)
            return
        if pack is not None:
            self._choose(str(pack))
        elif record is not None:
            self._show_live(record)

    def follow_link(self, text: str) -> Jump | None:
        """The record that a link leads to; a link of a room is opened instead.

        FormatError if the link or its file is damaged.
        """
        opener = opener_of(text)
        if opener is None:
            return parse_jump(text)
        record: Jump | None = call(opener.target, self, text)
        return record

    def show_run(self, source: str, page: RunPage) -> None:
        """Show the page of a source's run; the source opens if another one was open."""
        opened = self.session.source
        if opened is not None and opened.name == source:
            self.navigator.show_run(page)
        else:
            self.use_source(source)
            self._record_to_show = Jump("run", page.run.id)

    def show_together(self, *, is_on: bool) -> None:
        """Whether the layers of several runs are shown together, until the dock closes."""
        self.manager.show_together(is_on=is_on)
        self.screens.source_bar.show_together.setChecked(is_on)

    def add_key(self, key: str, slot: Callable[[], object]) -> None:
        """Add a shortcut, which acts while the focus is in the dock."""
        shortcut = QShortcut(QKeySequence(key), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(slot)

    def take_keys(self) -> None:
        if self.screens.stack.currentWidget() is self.screens.start:
            self.screens.start.take_focus()
        else:
            self.navigator.focus_list()

    def sizeHint(self) -> QSize:
        return QSize(400, 720)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        event = not_none(event)
        if _text_of(not_none(event.mimeData())):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open a file or a pack; with a text or a link, do what pasting into the search box does."""
        mime = not_none(not_none(event).mimeData())
        text = _text_of(mime)
        is_path = mime.hasUrls() and mime.urls()[0].isLocalFile()
        if is_path or self.session.source is None:  # there is no search box
            self.open_link(text)
            return
        self.screens.search.set_quietly("")  # the same link may be dropped again
        self.screens.search.setText(text)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        super().paintEvent(event)
        if self._later and not self._start_soon.isActive():
            self._start_soon.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Close the windows of tilt series when napari's window closes."""
        super().hideEvent(event)
        self._save_now()
        top: QWidget = self
        while (above := top.parentWidget()) is not None:
            top = above
        if event is not None and not event.spontaneous() and not top.isVisible():
            self.tilt_windows.close()

    def _end(self) -> None:
        """Keep the page, and close everything that the dock made."""
        self._save_now()
        self.session.close()
        self.tilt_windows.close()
        self.volumes.close()
        self.detail.close()
        self.manager.close()

    def _connect(self) -> None:
        screens, session = self.screens, self.session
        for chooser in (screens.source_bar, screens.start):
            chooser.chosen.connect(self._on_chosen)
        screens.source_bar.show_together.triggered.connect(self._on_show_together)
        screens.source_bar.held_data.triggered.connect(self._show_held_data)
        screens.source_bar.refresh.triggered.connect(session.retry)
        session.opening.connect(lambda _source: self._thumbnails.clear())
        session.opened.connect(self._add_rooms)
        session.opened.connect(self._on_opened)
        session.opening.connect(lambda _source: warm_up(self.tasks))  # while waiting for the answer
        session.catalogue_changed.connect(self._return)
        self.navigator.moved.connect(self._on_moved)
        self.finder.searched.connect(self._on_moved)
        self.navigator.run_arrived.connect(self._on_run)
        screens.run.room_requested.connect(lambda entry, button: call(entry.target, self, button))
        self.run_layers.dock_requested.connect(
            lambda name, layer: open_dock(self.viewer, name).use_layer(layer)
        )
        self.run_layers.ticked.connect(self._say_where)
        self.run_layers.drawing_requested.connect(partial(show_picks_popover, self.viewer))
        self.tasks.unhandled.connect(screens.notice.show_error)

    def _open_with_rooms(self, source: str, job: Job) -> Portal:
        """Open a portal, and import what rooms add to the dock with it."""
        portal = self._open_portal(source, job)
        for target in SOURCE:
            resolve_name(target)
        return portal

    def _add_rooms(self) -> None:
        self.session.opened.disconnect(self._add_rooms)  # once
        for target in SOURCE:
            call(target, self)

    def _connect_network(self) -> None:
        bar, network = self.screens.source_bar, self.network
        bar.work_offline.triggered.connect(network.set_offline)
        bar.saver.triggered.connect(network.ask_limits)
        network.changed.connect(
            lambda text, is_offline: bar.set_network_use(text, is_offline=is_offline)
        )
        network.changed.connect(self._update_detail)
        network.loosened.connect(self._on_network_loosened)

    def _start_later(self) -> None:
        """Start what isn't needed for the first look at the window."""
        targets = self._later
        self._later = ()
        for target in targets:
            with suppress(ImportError):  # small systems lack a library of QtNetwork
                call(target, self)

    def _recall(self) -> None:
        self._show_recent()
        self.show_together(is_on=self.memory.show_together)
        self.network.recall()
        if self.memory.source is not None:
            self.use_source(self.memory.source, returns=True)

    def _on_chosen(self, choice: Choice | Recent | Entry) -> None:
        match choice:
            case Entry(target=target):
                call(target, self)
            case Recent(source, run_id):
                self._choose(source)
                self._record_to_show = Jump("run", run_id) if run_id else None
            case "address":
                dialog = AddressDialog(self.tasks, self)
                dialog.found.connect(self._choose)
                dialog.open()
            case "pack":
                self._choose_pack()
            case _:
                self._choose(choice)

    def _show_live(self, record: Jump) -> None:
        """Show a record of the live portal."""
        source = self.session.source
        if source is not None and source.kind == "live":
            self.finder.jump(record)
        else:
            self.use_source("live")
            self._record_to_show = record

    def _choose(self, source: str) -> None:
        """Browse a source where it was left; start over if it is open."""
        is_open = self.session.source is not None and source == self.memory.source
        self.use_source(source, returns=not is_open)

    def _choose_pack(self) -> None:
        packs = (Location.of(recent.source).path for recent in self.memory.recent)
        last = next((pack.parent for pack in packs if pack is not None), Path.home())
        kinds = f"Packs ({MANIFEST_NAME} *{ZIP})"
        chosen, _ = QFileDialog.getOpenFileName(self, "Open a pack", str(last), kinds)
        if chosen:
            self._choose(str(pack_at(chosen) or chosen))

    def _show_recent(self) -> None:
        for chooser in (self.screens.source_bar, self.screens.start):
            chooser.set_recent(self.memory.recent)

    def _remember(self, run_id: int, label: str) -> None:
        self.memory.remember(Recent(self.memory.source or "", run_id, label))
        self._show_recent()

    def _show_held_data(self) -> None:
        source = self.session.source
        in_use = {source.kind} if source is not None else set()
        HeldDataDialog(self.memory.download_folder, in_use, self).open()

    def _on_opened(self, source: Source) -> None:
        self._thumbnails.fetch = self.session.picture_reader()
        label = self._source_label = "Live portal" if source.kind == "live" else source.label
        is_local = source.kind in {"demo", "pack"}
        self.screens.source_bar.set_source(label, without_login(source.location), is_local=is_local)
        self.memory.source = source.name
        if source.kind in {"pack", "url"}:
            self._remember(0, label)
        if source.kind == "pack":
            self._offer(Path(source.location))
        if self._record_to_show is not None:
            self.finder.jump(self._record_to_show)
            self._record_to_show = None
        elif self._returns:
            self._left = self.memory.pages.get(self.memory.source)

    def _offer(self, pack: Path) -> None:
        """Tell what rooms have for a pack."""
        for offer in OFFERS:
            if any(pack.glob(offer.files)):
                take = partial(call, offer.entry.target, self)
                self.screens.notice.show_notice(offer.text, offer.entry.text, take, is_news=True)

    def _return(self, _catalogue: object) -> None:
        """Show the page and the search with which the source was left."""
        left = self._left
        self._left = None
        if left is None:
            return
        try:
            search = search_from(left.search)
        except FormatError:
            search = Search()
        self.navigator.return_to(crumbs_from(left.crumbs, self.screens.kinds))
        self.finder.set_search(search)

    def _on_moved(self) -> None:
        self._left = None
        if self.session.source is not None:
            self._save_soon.start()

    def _save_now(self) -> None:
        if self._save_soon.isActive():
            self._save_soon.stop()
            self._save_page()

    def _save_page(self) -> None:
        crumbs = msgspec.to_builtins(self.navigator.crumbs)
        page = LeftPage(tuple(crumbs), self.finder.search.to_dict())
        self.memory.leave(self.memory.source or "", page)

    def _on_network_loosened(self) -> None:
        if self.session.source is not None:
            self.session.retry()
        self.navigator.refetch()
        self._thumbnails.retry()
        self.stream_watch.retry()
        self.tilt_windows.retry()

    def _update_detail(self) -> None:
        self.detail.update()
        for window in self.tilt_windows.windows.values():
            window.detail.update()

    def _on_show_together(self, is_on: bool) -> None:
        self.memory.show_together = is_on
        self.manager.show_together(is_on=is_on)

    def _on_run(self, page: RunPage, opens_layers: bool) -> None:
        self._remember(
            page.run.id, f"{page.run.name} · DS-{page.run.dataset_id} · {self._source_label}"
        )
        if opens_layers:
            self.run_layers.open_default(page, self.finder.answer.matches)

    def _say_where(self, layer: Layer) -> None:
        """Say where points lie that the shown plane doesn't cut, and offer to go there."""
        place = elsewhere(layer, self.viewer.dims) if isinstance(layer, Points) else None
        if place is None:
            return
        first, last = nm_text(place.first), nm_text(place.last)
        span = first if first == last else f"{first} to {last}"
        self.screens.notice.show_notice(
            f"{plain(layer.name)} isn't in this plane: its points lie at {place.axis_name} {span}.",
            "Go there",
            partial(self.viewer.dims.set_point, place.axis, place.middle),
            is_news=True,
            topic=RUN_TOPIC,
        )


def _text_of(mime: QMimeData) -> str:
    """The text, link or path of what can be opened and is dropped; empty for other files."""
    paths = [url.toLocalFile() for url in mime.urls() if url.isLocalFile()]
    if not paths:
        return mime.text().strip()
    is_ours = opener_of(paths[0]) is not None or pack_at(paths[0]) is not None
    return paths[0] if len(paths) == 1 and is_ours else ""
