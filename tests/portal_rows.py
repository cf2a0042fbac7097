"""Rows for made-up portals: columns that a test doesn't set get defaults that fit the schema."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any

import graphql

from napari_cryoet.packs.pack import PackManifest, write_pack

_PLAIN = {
    "Int": 1,
    "Float": 1.0,
    "String": "text",
    "Boolean": False,
    "DateTime": "2024-05-06T00:00:00+00:00",
}


@cache
def portal_schema() -> graphql.GraphQLSchema:
    """The schema bundled with the official client."""
    return graphql.build_schema(
        (files("cryoet_data_portal") / "data" / "schema.graphql").read_text()
    )


class Tables(dict[str, list[dict[str, Any]]]):
    """The tables of a small portal, by the name of their root list."""

    def __init__(self) -> None:
        super().__init__()
        self._ids = count(1)

    def add(self, table: str, **values: Any) -> int:
        """Add a row and return its id; columns that aren't given are null if allowed."""
        row = blank_row(table) | {"id": next(self._ids)} | values
        unknown = set(values) - set(blank_row(table))
        assert not unknown, f"{table} has no {unknown}"
        self.setdefault(table, []).append(row)
        return int(row["id"])

    def add_annotation(
        self, run_id: int | None, *, shapes: dict[str, list[str]], **values: Any
    ) -> int:
        """Add an annotation with files in some formats for each of its shapes."""
        annotation = self.add("annotations", runId=run_id, **values)
        for shape_type, formats in shapes.items():
            shape = self.add("annotationShapes", annotationId=annotation, shapeType=shape_type)
            for each in formats:
                self.add(
                    "annotationFiles",
                    annotationShapeId=shape,
                    format=each,
                    httpsPath=f"https://x.org/{shape}.{each}",
                )
        return annotation

    def write(self, folder: Path) -> Path:
        """Write the tables as a pack."""
        prefixes = {"https_prefix": "https://files.example.org/", "s3_prefix": "s3://example/"}
        write_pack(folder, PackManifest(title="A small portal", **prefixes), self)
        return folder


def real_run(reply: Path) -> tuple[dict[str, Any], Tables]:
    """A reply of the portal's server about a run, and the flat rows that it implies."""
    data, tables = json.loads(reply.read_text())["data"], Tables()

    def add(table: str, node: dict[str, Any], **keys: Any) -> None:
        cells = {name: cell for name, cell in node.items() if not isinstance(cell, dict)}
        row_id = tables.add(table, **cells, **keys)
        for name, (child, key) in _CHILDREN.get(table, {}).items():
            for order, edge in enumerate(node.get(name, {"edges": ()})["edges"]):
                ordered = {"authorListOrder": order} if child.endswith("Authors") else {}
                add(child, edge["node"], **{key: row_id}, **ordered)

    (run,) = data["runs"]
    dataset = run["dataset"]
    add("depositions", dataset["deposition"])
    add("datasets", dataset, depositionId=dataset["deposition"]["id"])
    add("runs", run, datasetId=dataset["id"])
    for name in ("tomogramVoxelSpacings", "alignments", "tiltseries", "tomograms", "annotations"):
        for row in data[name]:
            add(name, row, runId=run["id"])
    return data, tables


_CHILDREN = {
    "tomograms": {"authors": ("tomogramAuthors", "tomogramId")},
    "annotations": {
        "authors": ("annotationAuthors", "annotationId"),
        "methodLinks": ("annotationMethodLinks", "annotationId"),
        "annotationShapes": ("annotationShapes", "annotationId"),
    },
    "annotationShapes": {"annotationFiles": ("annotationFiles", "annotationShapeId")},
}


@cache
def _row_type(table: str) -> graphql.GraphQLObjectType:
    return graphql.get_named_type(portal_schema().query_type.fields[table].type)


@cache
def _blank_items(table: str) -> tuple[tuple[str, Any], ...]:
    items = []
    for name, field in _row_type(table).fields.items():
        kind = graphql.get_named_type(field.type)
        if name == "_id" or not graphql.is_leaf_type(kind):
            continue
        if not graphql.is_non_null_type(field.type):
            items.append((name, None))
        elif isinstance(kind, graphql.GraphQLEnumType):
            items.append((name, next(iter(kind.values))))
        else:
            items.append(
                (name, "https://x.org/" if name.startswith("https") else _PLAIN[kind.name])
            )
    return tuple(items)


def blank_row(table: str) -> dict[str, Any]:
    """A row of a table with only its required cells set."""
    return dict(_blank_items(table))
