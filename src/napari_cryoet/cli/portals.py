"""Open a SOURCE, and ``napari-cryoet serve``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from typer import Argument, Option, Typer

import napari_cryoet
from napari_cryoet.cli.console import tell, working
from napari_cryoet.network.hosts import is_this_computer
from napari_cryoet.task import Task
from napari_cryoet.wording import count_text, day_text, size_text

if TYPE_CHECKING:
    from rich.live import Live

    from napari_cryoet.classroom.server import ClassServer
    from napari_cryoet.packs.serve import PackServer, Visitor

app = Typer()


class CommandSession(NamedTuple):
    """The portal of a SOURCE, and its basket: a file, or the current basket of the source."""

    portal: napari_cryoet.Portal
    file: Path | None
    task: Task

    def read_index(self, *, refresh: bool = False) -> napari_cryoet.Index:
        """Read the search index, and print its date if it is cached from a server."""
        index = napari_cryoet.read_index(self.portal, refresh=refresh, task=self.task)
        if self.portal.cache_folder is not None:
            tell(f"as of {day_text(index.as_of)}{f': {index.reason}' if index.reason else ''}")
        return index

    def read_basket(self) -> napari_cryoet.Basket:
        """Read the basket."""
        from napari_cryoet.basket.basket import BasketStore

        if self.file is None:
            return BasketStore().current(self.portal.source.name)
        if not self.file.exists():
            return napari_cryoet.Basket(name=self.file.stem, source=self.portal.source.name)
        return napari_cryoet.read_basket(self.file)

    def change_basket(
        self, change: Callable[[napari_cryoet.Basket], napari_cryoet.Basket]
    ) -> napari_cryoet.Basket:
        """Change and save the basket, and return the new one."""
        from napari_cryoet.basket.basket import BasketStore

        if self.file is None:
            return BasketStore().change(self.portal.source.name, change)
        after = change(self.read_basket())
        napari_cryoet.write_basket(after, self.file)
        return after


@contextmanager
def open_session(text: str, *, source_of_new: str = "") -> Iterator[CommandSession]:
    """Open a SOURCE, or the source of a basket file, for a command.

    ``source_of_new`` is that of a file that doesn't exist; without it, that is an error.
    """
    file = Path(text) if text.lower().endswith(".toml") else None
    source = text
    if file is not None:
        is_new = bool(source_of_new) and not file.exists()
        source = source_of_new if is_new else napari_cryoet.read_basket(file).source
    with working() as task:
        if source == "demo":
            make_demo(task)
        with closing(napari_cryoet.open_portal(source)) as portal:
            yield CommandSession(portal, file, task)


def make_demo(task: Task) -> None:
    """Create the demo if this computer doesn't have it yet."""
    from napari_cryoet.demo.write import ensure_demo_pack

    ensure_demo_pack(task=task)


@app.command()
def serve(
    folder: Annotated[Path, Argument(metavar="PACK", help="The pack: its folder or zip.")],
    host: Annotated[
        str, Option(metavar="HOST", help="The address to listen on; 0.0.0.0 for all networks.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        Option(
            min=0, max=65535, metavar="PORT", help="The port to listen on; 0 for any free port."
        ),
    ] = 0,
    name: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="Additional host name of this computer; repeatable."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        Option(metavar="ORIGIN", help="Allow requests from web pages of this origin; repeatable."),
    ] = None,
    class_name: Annotated[
        str | None,
        Option("--class", metavar="NAME", help="Teach the pack's lessons to a class."),
    ] = None,
) -> int:
    """Serve a pack over HTTP until Ctrl+C, and show who is connected.

    Prints its URLs as one line of JSON when ready. With --class, students can join, and the teacher has a board.

    napari-cryoet serve my-pack --class "Monday" --host 0.0.0.0
    """
    from napari_cryoet.packs.serve import PackServer, serve_until_signalled
    from napari_cryoet.packs.zipped import is_zipped_pack, unpacked

    if is_zipped_pack(folder):
        with working() as task:
            folder = unpacked(folder, task=task)

    def open_server() -> PackServer:
        names = name or []
        origins = cors or []
        if class_name is None:
            return PackServer(folder, host, port, names=names, cors=origins)
        return open_class(folder, class_name, host, port, names, origins)

    with closing(VisitorDisplay()) as display:
        received = serve_until_signalled(open_server, watch=display.show)
    return 128 + received if received == signal.SIGINT else 0


def open_class(
    folder: Path, name: str, host: str, port: int, names: list[str], cors: list[str]
) -> ClassServer:
    """Serve a pack to a class, and tell how to join it."""
    import segno

    from napari_cryoet.classroom.server import ClassServer
    from napari_cryoet.lessons.folder import lessons_of
    from napari_cryoet.packs.serve import EVERYWHERE

    lessons = lessons_of(folder)
    server = ClassServer(folder, name, lessons, host, port, names=names, cors=cors)
    tell(f"class {name}: {count_text(len(lessons), 'lesson')}")
    if is_this_computer(host) and host not in EVERYWHERE:
        tell("Only this computer can join; add --host 0.0.0.0 for others.")
    if sys.stderr.isatty():
        segno.make(server.join_url, micro=False).terminal(sys.stderr, compact=True)
    tell(f"students join: {server.page_url} with the code {server.join_code}")
    tell(f"board: {server.board_url} with the teacher's code {server.teacher_code}")
    tell(f"answers are kept in {server.room.folder}")
    return server


class VisitorDisplay:
    """Who uses a served pack: a table on a terminal, or a line for each new address elsewhere."""

    def __init__(self) -> None:
        self._table: Live | None = None
        self._shown: list[Visitor] = []

    def show(self, server: PackServer) -> None:
        """Show the visitors of a server if they changed."""
        visitors = server.visitors()
        if visitors == self._shown:
            return
        if sys.stderr.isatty():
            self._update(visitors, server.page_url)
        for visitor in visitors[len(self._shown) :]:
            if self._table is None:
                tell(f"{visitor.address} connected")
        self._shown = visitors

    def close(self) -> None:
        """Keep the last table on the terminal, or print what was sent to each address."""
        if self._table is not None:
            self._table.stop()
            return
        for visitor in self._shown:
            requests = count_text(visitor.requests, "request")
            tell(f"{visitor.address}: {requests}, {size_text(visitor.sent_bytes)}")

    def _update(self, visitors: list[Visitor], page_url: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.table import Table

        table = Table("address", "connections", "requests", "sent", box=None, title=page_url)
        for each in visitors:
            counts = str(each.connections), str(each.requests), size_text(each.sent_bytes)
            table.add_row(each.address, *counts)
        if self._table is None:
            self._table = Live(table, console=Console(stderr=True), refresh_per_second=2)
            self._table.start()
        self._table.update(table)
