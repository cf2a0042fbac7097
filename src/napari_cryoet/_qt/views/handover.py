"""Hand a clicked link to a window that is open: one window of a user listens on a local socket."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from qtpy.QtCore import QObject, QStandardPaths, QTimer, Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtNetwork import QLocalServer, QLocalSocket
from qtpy.QtWidgets import QWidget

_NAME: Final = "napari-cryoet-links"
_LARGEST_BYTES: Final = 1_000_000
_CONNECT_MS: Final = 500
_ANSWER_MS: Final = 3000  # of a window that is busy
_END: Final = b"\n"


def hand_over(link: str) -> bool:
    """Hand a link to a running window; False if there is none or it doesn't answer."""
    socket = _connected()
    if socket is None:
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
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)
        application = QGuiApplication.instance()
        assert isinstance(application, QGuiApplication)  # noqa: S101 - there is a window
        self._application = application
        self._application.focusWindowChanged.connect(self._listen)
        QTimer.singleShot(0, self._listen)  # once the window is shown

    def close(self) -> None:
        self._application.focusWindowChanged.disconnect(self._listen)
        self._server.close()

    def _listen(self, _window: object = None) -> None:
        """Listen, unless another window does already, or this one isn't shown."""
        window: Any = self._widget.window()
        if window.isVisible() and not self._server.isListening() and _connected() is None:
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


def _connected() -> QLocalSocket | None:
    """A connection to the window that listens."""
    socket = QLocalSocket()
    socket.connectToServer(_address())
    return socket if socket.waitForConnected(_CONNECT_MS) else None


def _address() -> str:
    """A path in a folder that is only this user's."""
    kind = QStandardPaths.StandardLocation.RuntimeLocation
    return f"{QStandardPaths.writableLocation(kind)}/{_NAME}"
