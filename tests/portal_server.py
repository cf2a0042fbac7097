"""A portal behind HTTP for tests: answers from a pack, which can be replaced by another release."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from graphql import build_schema, graphql_sync, parse, print_schema, validate

from napari_cryoet.packs.graphql import execute, graphql_schema
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.tables.database import Database
from server import Answer, Server


class PortalServer:
    """Speaks GraphQL like the portal, and serves the files of a pack.

    Attributes
    ----------
    queries
        The texts of all queries so far.
    errors
        Messages to send beside the data.
    """

    def __init__(self, server: Server, folder: Path, lacking: str = "nothing") -> None:
        self.url = f"{server.url}/graphql"
        self.queries: list[str] = []
        self.errors: list[str] = []
        self._server = server
        self.release(folder, lacking)
        server.script("graphql", self._answer)

    def release(self, folder: Path, lacking: str = "nothing") -> None:
        """Answer from this pack, with a schema that lacks the fields of a pattern."""
        schema = print_schema(graphql_schema()).splitlines()
        known = [line for line in schema if not re.match(rf"  ({lacking})\b", line)]
        self._schema = build_schema("\n".join(known))
        self._pack = open_pack(folder)
        self._database = Database(self._pack.tables)
        self._server.folder = self._pack.files

    def _answer(self, asked: Answer) -> Answer:
        assert asked.request is not None
        return Answer(body=msgspec.json.encode(self._reply(**json.loads(asked.request.body))))

    def _reply(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        self.queries.append(query)
        if validate(self._schema, parse(query)):
            return {"data": None, "errors": [{"message": "Unexpected error."}]}
        if "__schema" in query:
            return {"data": graphql_sync(self._schema, query).data}
        data = execute(self._database, query, variables, moved_url=self._moved_url)
        errors = [{"message": each} for each in self.errors]
        return {"data": data, "errors": errors} if errors else {"data": data}

    def _moved_url(self, url: str) -> str:
        return self._pack.moved_url(url, f"{self._server.url}/")
