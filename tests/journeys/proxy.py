"""The server of the tests before a served pack: it counts questions and, if told to, fails in turn in four ways."""

from __future__ import annotations

import http.client
import itertools
from dataclasses import replace
from urllib.parse import urlsplit

from server import Answer, Request, Server, sent, status

_PASSED_ON = {"content-type", "range", "if-match", "if-none-match", "if-range", "accept"}
_OWN = {"connection", "date", "server", "transfer-encoding"}
_FAULTS = (
    status(500),
    lambda answer: replace(answer, body=b"", manner="raw"),  # hang up without a word
    sent("cut"),
    status(429, Retry_After="1"),
)


class Proxy(Server):
    """Passes requests on to a pack that is served at some address, and puts its own address in place of that."""

    def __init__(self, graphql_url: str) -> None:
        super().__init__()
        self.pack_url = graphql_url.removesuffix("/graphql")
        self._failed: set[tuple[object, ...]] = set()

    @property
    def questions(self) -> int:
        """How many GraphQL queries were answered."""
        return len(self.to("^/graphql")) - sum(path.startswith("/graphql") for path, *_ in self._failed)

    def fail_in_turn(self) -> None:
        """Let the first twelve requests that are new fail once each."""
        turns = itertools.cycle(_FAULTS)

        def fail(answer: Answer) -> Answer:
            return next(turns)(answer)

        self.script(self._is_new, fail, times=3 * len(_FAULTS))

    def _is_new(self, request: Request) -> bool:
        key = (request.path, request.method, request.headers.get("range"), request.body)
        is_new = key not in self._failed
        self._failed.add(key)
        return is_new

    def right_answer(self, request: Request, *, is_whole: bool = False) -> Answer:
        """What the pack says."""
        connection = http.client.HTTPConnection(urlsplit(self.pack_url).netloc, timeout=60)
        passed_on = {name: value for name, value in request.headers.items() if name in _PASSED_ON}
        connection.request(request.method, request.path, request.body or None, passed_on)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        headers = {name.title(): value for name, value in answer.getheaders() if name.lower() not in _OWN}
        if request.path.startswith("/graphql"):
            body = body.replace(self.pack_url.encode(), self.url.encode())
            headers["Content-Length"] = str(len(body))
        return Answer(answer.status, headers, body)
