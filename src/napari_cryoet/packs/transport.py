"""A gql transport that answers from a pack in process: the same query text as over HTTP, without a server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from gql import GraphQLRequest
from gql.transport import Transport
from graphql import ExecutionResult, GraphQLError, print_ast

from napari_cryoet.packs.graphql import execute
from napari_cryoet.packs.pack import Pack, open_pack
from napari_cryoet.tables.database import Database, Limits


class PackTransport(Transport):
    """Runs queries over a pack's tables; https URLs of the pack lead to its files by ``file://``."""

    def __init__(self, pack: Pack | Path | str) -> None:
        self.pack = pack if isinstance(pack, Pack) else open_pack(pack)
        self._database = Database(self.pack.tables)

    def execute(
        self, request: GraphQLRequest, *_: Any, stop: threading.Event | None = None, **__: Any
    ) -> ExecutionResult:
        """Answer a request; errors of the query are in the result, as a server gives them."""
        reply = execute(
            self._database,
            print_ast(request.document),
            request.variable_values,
            request.operation_name,
            moved_url=self.pack.local_url,
            limits=Limits(stop),
        )
        errors = [GraphQLError(each["message"]) for each in reply.get("errors", ())]
        return ExecutionResult(reply["data"], errors or None)
