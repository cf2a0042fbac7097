"""How a query gets to a portal and its answer back: over HTTP here, in process in `packs.transport`."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from gql import GraphQLRequest
from gql.transport import Transport
from graphql import ExecutionResult, GraphQLError

from napari_cryoet.exceptions import NetworkError, PortalError
from napari_cryoet.portal.decode import clean
from napari_cryoet.stopping import POLL_S, raise_if_stopped

if TYPE_CHECKING:
    from napari_cryoet.http import Http

_REFUSED_STATUSES = {400, 422}
MAX_IN_FLIGHT = 4  # one worker of the portal's server is one busy thread: more at once only makes all wait


class HttpTransport(Transport):
    """Sends queries to a portal's GraphQL endpoint, a few at once.

    Parameters
    ----------
    url
        The endpoint.
    http
        Time limits, retries and the words for what goes wrong are its business.
    """

    def __init__(self, url: str, http: Http) -> None:
        self._url = url
        self._http = http
        self._places = threading.BoundedSemaphore(MAX_IN_FLIGHT)

    def execute(
        self, request: GraphQLRequest, *_: Any, stop: threading.Event | None = None, **__: Any
    ) -> ExecutionResult:
        """The answer as it came: data, errors or both; NetworkError where none came, StoppedError on ``stop``."""
        self._take_place(stop)
        try:
            reply = self._http.post_json(self._url, request.payload, stop=stop)
        except NetworkError as error:
            reply = _refusal(error)
            if reply is None:
                raise
        finally:
            self._places.release()
        if not isinstance(reply, dict):
            raise PortalError("The portal's answer can't be understood: it isn't a GraphQL reply.")
        _blank_unsafe_urls(reply.get("data"))
        return ExecutionResult(data=reply.get("data"), errors=_errors_of(reply.get("errors")))

    def close(self) -> None:
        """Nothing to do: the connections belong to the client that was given."""

    def _take_place(self, stop: threading.Event | None) -> None:
        while not self._places.acquire(timeout=POLL_S):
            raise_if_stopped(stop)


def data_of(result: ExecutionResult) -> dict[str, Any]:
    """The data of an answer that has no errors; PortalError for any other."""
    if result.errors:
        words = "".join(c if c.isprintable() else " " for c in clean(str(result.errors[0].message)[:200])).strip()
        raise PortalError(f"The portal couldn't answer: {words.rstrip('.')}.", hint="Try again later.")
    if not isinstance(result.data, dict):
        raise PortalError("The portal's answer is empty.", hint="Try again later.")
    return result.data


def _refusal(error: NetworkError) -> dict[str, Any] | None:
    """What a server says of a query that it can't answer: with a status of its own, and errors as with any other."""
    if error.status not in _REFUSED_STATUSES or not error.content:
        return None
    try:
        reply = json.loads(error.content)
    except (ValueError, RecursionError):
        return None
    return {"errors": reply["errors"]} if isinstance(reply, dict) and reply.get("errors") else None


def _blank_unsafe_urls(data: Any) -> None:
    """Blank, in place, the URLs that aren't web addresses: only a pack on this computer may name files on it."""
    queue = [data]
    while queue:
        place = queue.pop()
        if isinstance(place, list):
            queue.extend(place)
        elif isinstance(place, dict):
            for name, value in place.items():
                if isinstance(value, dict | list):
                    queue.append(value)
                elif isinstance(value, str) and (name.startswith("https") or name.endswith("Url")):
                    place[name] = value if value.lower().startswith(("https://", "http://")) else ""


def _errors_of(errors: Any) -> list[GraphQLError] | None:
    """The errors of a reply, whatever shape they have; None where there are none."""
    if not errors:
        return None
    listed = errors if isinstance(errors, list) else [errors]
    return [
        GraphQLError(str(each.get("message", each)) if isinstance(each, dict) else str(each)) for each in listed[:10]
    ]
