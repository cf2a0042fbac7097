"""Thumbnails of rows on screen: fetched and decoded in the background, bounded in size and number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Event

from qtpy.QtCore import QBuffer, QByteArray, QIODevice, QObject, QRect, QSize, Qt, Signal
from qtpy.QtGui import QImage, QImageReader, QPixmap

from napari_cryoet._qt.tasks import Tasks
from napari_cryoet.exceptions import FormatError

SIDE_PX = 128  # 64 px on a high-density screen
MAX_PIXELS = 40_000_000
KEPT = 600  # pictures in memory: 40 MB at most
IN_FLIGHT = 3
WAITING = 48  # older requests are dropped: their rows were scrolled past

_FORMATS = (b"png", b"jpeg", b"gif")

Fetch = Callable[[str, Event], bytes]


def decode_thumbnail(content: bytes) -> QImage:
    """Decode a picture and crop its centre to a square of `SIDE_PX`.

    Raises
    ------
    FormatError
        Unless it is a valid PNG, JPEG or GIF of reasonable size.
    """
    buffer = QBuffer()
    buffer.setData(QByteArray(content))
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    reader = QImageReader(buffer)
    is_known = reader.format().data() in _FORMATS
    size = reader.size()
    if not is_known or not size.isValid() or size.width() * size.height() > MAX_PIXELS:
        raise FormatError("The picture is damaged, too large, or neither PNG nor JPEG nor GIF.")
    reader.setAutoTransform(True)
    reader.setScaledSize(
        size.scaled(QSize(SIDE_PX, SIDE_PX), Qt.AspectRatioMode.KeepAspectRatioByExpanding)
    )
    image = reader.read()
    if image.isNull():
        raise FormatError(f"The picture is damaged: {reader.errorString()}")
    middle = QRect(0, 0, SIDE_PX, SIDE_PX)
    middle.moveCenter(image.rect().center())
    return image.copy(middle.intersected(image.rect())).convertToFormat(QImage.Format.Format_RGB32)


class Thumbnails(QObject):
    """Thumbnails by URL, requested while rows are painted; ``fetch`` downloads one in a worker."""

    arrived = Signal(str)  # URL

    def __init__(self, tasks: Tasks, fetch: Fetch, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self.fetch = fetch  # replaced with the source
        self._kept: dict[str, QPixmap | None] = {}  # None if fetching failed
        self._waiting: deque[str] = deque(maxlen=WAITING)  # the newest last
        self._in_flight: set[str] = set()

    def picture(self, url: str | None) -> QPixmap | None:
        """The thumbnail if it is in memory.

        Otherwise request it, and emit ``arrived`` once it is loaded.
        """
        if not url or url in self._kept:
            return self._kept.get(url or "")
        if url in self._waiting:
            self._waiting.remove(url)
        if url not in self._in_flight:
            self._waiting.append(url)
            self._start_next()
        return None

    def retry(self) -> None:
        for url in [url for url, picture in self._kept.items() if picture is None]:
            del self._kept[url]
            self.arrived.emit(url)

    def clear(self) -> None:
        for url in self._in_flight:
            self._tasks.stop(("thumbnail", url))
        for held in (self._in_flight, self._waiting, self._kept):
            held.clear()

    def _start_next(self) -> None:
        while self._waiting and len(self._in_flight) < IN_FLIGHT:
            url = self._waiting.pop()
            self._in_flight.add(url)
            self._tasks.run(
                ("thumbnail", url),
                lambda job, fetch=self.fetch, url=url: decode_thumbnail(fetch(url, job)),  # type: ignore[misc]
                then=partial(self._keep, url),
                failed=lambda _error, url=url: self._keep(url, None),  # type: ignore[misc]
            )

    def _keep(self, url: str, image: QImage | None) -> None:
        self._in_flight.discard(url)
        self._kept[url] = None if image is None else QPixmap.fromImage(image)
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        self._start_next()
        self.arrived.emit(url)
