"""Naming the files of every OME-Zarr in a plan: its metadata is read, its chunks are counted."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from napari_cryoet.download.bodies import ABSENT, Bodies
from napari_cryoet.download.plan import Plan, PlannedFile, PlannedItem
from napari_cryoet.download.zarr_keys import ChunkGrid, Json, array_paths, chunk_grid_v2, chunk_grid_v3
from napari_cryoet.exceptions import FormatError, NetworkError, WithheldError

MAX_METADATA_BYTES = 16 << 20  # the labels of an instance mask can fill a megabyte
_WORKERS = 8
_ABSENT_OR_HIDDEN = ABSENT | {403}


def expand_plan(plan: Plan, bodies: Bodies, *, stop: threading.Event | None = None) -> Plan:
    """Return the plan with all files named; an OME-Zarr that can't be read says so in its ``problem``.

    Raises
    ------
    StoppedError
        If ``stop`` is set.
    """
    if plan.is_expanded:
        return plan
    with ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="napari-cryoet-plan") as pool:
        items = pool.map(lambda item: item if item.is_expanded else _expand(item, bodies, stop), plan.items)
        return replace(plan, items=tuple(items))


def _expand(item: PlannedItem, bodies: Bodies, stop: threading.Event | None) -> PlannedItem:
    survey = _ZarrSurvey(item, bodies, stop)
    try:
        survey.run()
    except WithheldError:
        raise
    except (NetworkError, FormatError) as error:
        return replace(item, problem=f"{item.path} can't be read: {error.message}")
    if not survey.documents:
        return replace(item, problem=f"{item.path} is missing on the server.", is_missing=True)
    return replace(item, files=survey.files())


@dataclass
class _ZarrSurvey:
    """Finds the keys of one OME-Zarr.

    Attributes
    ----------
    documents
        Keys of the metadata, those of levels before those of the root: with the root's the volume can be opened.
    chunks
        Keys of all chunks.
    """

    item: PlannedItem
    bodies: Bodies
    stop: threading.Event | None
    documents: list[str] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Read the metadata; ``documents`` stays empty if there is none."""
        attributes = self._read(".zattrs")
        group = self._read(".zgroup")
        if attributes is not None and (group is not None or "multiscales" in attributes):
            self._add_levels_v2(attributes)
            self.documents += [".zattrs"] if group is None else [".zattrs", ".zgroup"]
        elif (root := self._read("zarr.json")) is not None:
            self._add_v3(root)
        elif (array := self._read(".zarray")) is not None:
            self._add_chunks("", chunk_grid_v2(array))
            self.documents += [".zarray"] if attributes is None else [".zattrs", ".zarray"]

    def files(self) -> tuple[PlannedFile, ...]:
        """Return the files of the OME-Zarr, chunks first."""
        share = (self.item.size_bytes or 0) // max(1, len(self.chunks))
        chunks = (self._file(key, may_be_missing=True, estimate_bytes=share) for key in self.chunks)
        documents = (self._file(key, comes_last=True) for key in self.documents)
        return (*chunks, *documents)

    def _add_levels_v2(self, attributes: Json) -> None:
        for path in array_paths(attributes):
            self._add_chunks(f"{path}/", chunk_grid_v2(self._require(f"{path}/.zarray")))
            # attributes of a level are rare, and some stores refuse to say that they don't have a file
            if self._read(f"{path}/.zattrs", absent=_ABSENT_OR_HIDDEN) is not None:
                self.documents.append(f"{path}/.zattrs")
            self.documents.append(f"{path}/.zarray")

    def _add_v3(self, root: Json) -> None:
        if root.get("node_type") == "array":
            self._add_chunks("", chunk_grid_v3(root))
        else:
            for path in array_paths(root.get("attributes") or {}):
                self._add_chunks(f"{path}/", chunk_grid_v3(self._require(f"{path}/zarr.json")))
                self.documents.append(f"{path}/zarr.json")
        self.documents.append("zarr.json")

    def _add_chunks(self, prefix: str, grid: ChunkGrid) -> None:
        self.chunks += (prefix + key for key in grid)

    def _require(self, key: str) -> Json:
        document = self._read(key)
        if document is None:
            raise FormatError(f"Its {key} is missing on the server.")
        return document

    def _read(self, key: str, *, absent: frozenset[int] = ABSENT) -> Json | None:
        """Return a metadata document, or None if it isn't there."""
        try:
            content = self.bodies.read(self._url(key), max_bytes=MAX_METADATA_BYTES, stop=self.stop)
        except NetworkError as error:
            if error.status in absent:
                return None
            raise
        try:
            document: Any = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"Its {key} is no JSON.") from error
        if not isinstance(document, dict):
            raise FormatError(f"Its {key} is no JSON object.")
        return document

    def _file(
        self, key: str, *, may_be_missing: bool = False, comes_last: bool = False, estimate_bytes: int = 0
    ) -> PlannedFile:
        return PlannedFile(
            url=self._url(key),
            path=f"{self.item.path}/{key}",
            may_be_missing=may_be_missing,
            comes_last=comes_last,
            estimate_bytes=estimate_bytes,
        )

    def _url(self, key: str) -> str:
        return f"{self.item.url.rstrip('/')}/{quote(key)}"
