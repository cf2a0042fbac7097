"""A proxy for a served pack that counts GraphQL queries and can fail in four ways in turn."""

from __future__ import annotations

import http.client
import itertools
from dataclasses import replace
from urllib.parse import urlsplit

from server import Answer, Request, Server, sent, status

_FORWARDED = {"content-type", "range", "if-match", "if-none-match", "if-range", "accept"}
_OWN = {"connection", "date", "server", "transfer-encoding"}
_FAULTS = (
    status(500),
    lambda answer: replace(answer, body=b"", manner="raw"),  # hang up without an answer
    sent("cut"),
    status(429, Retry_After="1"),
)


class Proxy(Server):
    """Forwards requests to a served pack, and replaces the pack's URL with its own in answers."""

    def __init__(self, graphql_url: str) -> None:
        super().__init__()
        self.pack_url = graphql_url.removesuffix("/graphql")
        self._failed: set[tuple[object, ...]] = set()

    @property
    def questions(self) -> int:
        """The number of answered GraphQL queries."""
        return len(self.to("^/graphql")) - sum(
            path.startswith("/graphql") for path, *_ in self._failed
        )

    def fail_in_turn(self) -> None:
        """Make each of the next twelve different requests fail once."""
        faults = itertools.cycle(_FAULTS)

        def fail(answer: Answer) -> Answer:
            return next(faults)(answer)

        self.script(self._is_new, fail, times=3 * len(_FAULTS))

    def _is_new(self, request: Request) -> bool:
        key = (request.path, request.method, request.headers.get("range"), request.body)
        is_new = key not in self._failed
        self._failed.add(key)
        return is_new

    def right_answer(self, request: Request, *, is_whole: bool = False) -> Answer:
        """The answer of the pack."""
        connection = http.client.HTTPConnection(urlsplit(self.pack_url).netloc, timeout=60)
        forwarded = {name: value for name, value in request.headers.items() if name in _FORWARDED}
        connection.request(request.method, request.path, request.body or None, forwarded)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        headers = {
            name.title(): value for name, value in answer.getheaders() if name.lower() not in _OWN
        }
        if request.path.startswith("/graphql"):
            body = body.replace(self.pack_url.encode(), self.url.encode())
            headers["Content-Length"] = str(len(body))
        return Answer(answer.status, headers, body)
