"""A gql transport that answers from a pack in process: the same query text as over HTTP, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gql import GraphQLRequest
from gql.transport import Transport
from graphql import ExecutionResult

from napari_cryoet.packs.database import Database
from napari_cryoet.packs.pack import Pack, open_pack
from napari_cryoet.packs.resolve import execute


class PackTransport(Transport):
    """Runs queries over a pack's tables; https URLs of the pack lead to its files by ``file://``.

    Safe to share by threads. Nothing is read before the first query.

    Parameters
    ----------
    pack
        An open pack, or the folder of one.

    Raises
    ------
    PackError
        The folder isn't a pack; or, from a query, the pack is damaged where the query looked.
    """

    def __init__(self, pack: Pack | Path | str) -> None:
        self.pack = pack if isinstance(pack, Pack) else open_pack(pack)
        self._database = Database(self.pack)

    def execute(self, request: GraphQLRequest, *args: Any, **kwargs: Any) -> ExecutionResult:
        """Answer a request; errors of the query are in the result, as a server gives them."""
        del args, kwargs  # of other transports: HTTP headers and the like
        return execute(self._database, request.document, request.variable_values, request.operation_name)
