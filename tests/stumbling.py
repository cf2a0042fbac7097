"""A served pack that stumbles over every question once: 500 twice, a lost or a broken-off connection, 429, a stall."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from napari_cryoet.packs.handler import PackHandler

STALL_S = 30.0


class Stumbling:
    """Goes wrong in turn in each of these ways, once for each question; asked again, it answers.

    Attributes
    ----------
    stumbled
        How often it went wrong in which way.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stumbled: Counter[str] = Counter()
        self.end = threading.Event()
        self._lock = threading.Lock()
        self._ways = itertools.cycle((self._fail_twice, self._hang_up, self._break_off, self._ask_to_wait, self._stall))
        self._pending: dict[Any, list[Callable[[PackHandler], None]]] = {}
        for name in ("do_GET", "do_POST"):
            monkeypatch.setattr(PackHandler, name, self._stumble_before(getattr(PackHandler, name)))

    def _stumble_before(self, answer: Callable[[PackHandler], None]) -> Callable[[PackHandler], None]:
        def stumble(handler: PackHandler) -> None:
            question = handler.command, handler.path, handler.headers["Range"], handler.headers["Content-Length"]
            with self._lock:
                if question not in self._pending:
                    self._pending[question] = list(next(self._ways)())
                ways = self._pending[question]
                way = ways.pop(0) if ways else None
            if way is None:
                answer(handler)
            else:
                self.stumbled[way.__name__] += 1
                handler.close_connection = True  # what was posted is left unread
                way(handler)

        return stumble

    def _fail_twice(self) -> list[Callable[[PackHandler], None]]:
        def a_500(handler: PackHandler) -> None:
            _send(handler, 500)

        return [a_500, a_500]

    def _hang_up(self) -> list[Callable[[PackHandler], None]]:
        def no_word(_handler: PackHandler) -> None:
            pass

        return [no_word]

    def _break_off(self) -> list[Callable[[PackHandler], None]]:
        def half_an_answer(handler: PackHandler) -> None:
            _send(handler, 200, content_length=1000)
            handler.wfile.write(b'{"data": {')

        return [half_an_answer]

    def _ask_to_wait(self) -> list[Callable[[PackHandler], None]]:
        def a_429(handler: PackHandler) -> None:
            _send(handler, 429, Retry_After="1")

        return [a_429]

    def _stall(self) -> list[Callable[[PackHandler], None]]:
        def a_stall(_handler: PackHandler) -> None:
            self.end.wait(STALL_S)

        return [a_stall]


def _send(handler: PackHandler, status: int, *, content_length: int = 0, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(content_length), "Connection": "close", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
