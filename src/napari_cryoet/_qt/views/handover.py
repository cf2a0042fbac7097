"""Hand a clicked link to a window that is open: one window of a user listens on a local socket."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from qtpy.QtCore import QLockFile, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtNetwork import QLocalServer, QLocalSocket
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.widgets.controls import main_window
from napari_cryoet.files import cache_path

if TYPE_CHECKING:
    from napari_cryoet._qt.browser.dock import PortalBrowser

_NAME: Final = "napari-cryoet-links"
_LARGEST_BYTES: Final = 1_000_000
_CONNECT_MS: Final = 500
_ANSWER_MS: Final = 3000  # of a window that is busy
_END: Final = b"\n"


def take_links(browser: PortalBrowser) -> None:
    """Open links that are clicked elsewhere in a dock, in front of other windows."""
    server = LinkServer(browser)
    server.received.connect(partial(_open_in_front, browser))
    browser.at_close(server.close)


def _open_in_front(browser: PortalBrowser, link: str) -> None:
    window = main_window(browser.viewer)
    window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
    window.raise_()
    window.activateWindow()
    browser.come_forward()
    browser.open_link(link)


def hand_over(link: str) -> bool:
    """Hand a link to a running window; False if there is none or it doesn't answer."""
    socket = QLocalSocket()
    socket.connectToServer(_address())
    if not socket.waitForConnected(_CONNECT_MS):
        return False
    socket.write("".join(link.splitlines()).encode() + _END)
    return socket.waitForReadyRead(_ANSWER_MS)


class LinkServer(QObject):
    """Receives links that `hand_over` sends, which can be any text.

    It listens while the window of ``widget`` is shown.
    """

    received = Signal(str)

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._lock = QLockFile(f"{_address()}.lock")
        self._lock.setStaleLockTime(0)  # it is stale once its program is gone, not with its age
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)
        self._application = cast(QGuiApplication, QGuiApplication.instance())
        self._application.focusWindowChanged.connect(self._listen)
        QTimer.singleShot(0, self._listen)  # once the window is shown

    def close(self) -> None:
        self._application.focusWindowChanged.disconnect(self._listen)
        self._server.close()
        self._lock.unlock()

    def _listen(self, _window: object = None) -> None:
        """Listen, unless another window does already, or this one isn't shown."""
        window: Any = self._widget.window()
        if self._server.isListening() or not window.isVisible():
            return
        if self._lock.tryLock(0):
            self._server.listen(_address())  # replaces the socket of a program that crashed

    def _on_connection(self) -> None:
        socket = self._server.nextPendingConnection()
        if socket is not None:
            socket.disconnected.connect(socket.deleteLater)
            socket.readyRead.connect(partial(self._on_bytes, socket))
            self._on_bytes(socket)  # which may be there already

    def _on_bytes(self, socket: QLocalSocket) -> None:
        if socket.canReadLine():
            link = bytes(socket.readLine(_LARGEST_BYTES)).decode(errors="replace")
            socket.write(_END)
            socket.disconnectFromServer()  # once that is written
            # after Qt is done with the socket, since a question may wait for its answer
            QTimer.singleShot(0, lambda: self.received.emit(link.strip()))
        elif socket.bytesAvailable() > _LARGEST_BYTES:
            socket.abort()


def _address() -> str:
    """A path in a folder of this user's; Windows makes it the name of a pipe."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or cache_path())
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / _NAME).as_posix()
