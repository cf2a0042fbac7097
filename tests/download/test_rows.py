"""Which rows are asked for, and which of their cells name files."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import graphql
import pytest

from download_samples import DATASET, OTHER_RUN, RUN, sample_rows
from napari_cryoet import open_portal
from napari_cryoet.download import ask_rows
from napari_cryoet.download import rows as module
from napari_cryoet.download.rows import file_columns
from napari_cryoet.exceptions import NotFoundError, StoppedError
from napari_cryoet.packs.pack import Manifest, write_pack
from portal_rows import portal_schema


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """The sample beside another dataset, of which nothing may come."""
    rows = sample_rows("https://files.example.org/")
    others = {name: [row | {"id": row["id"] + 500} for row in found] for name, found in rows.items()}
    for found in others.values():
        for row in found:
            row |= {key: value + 500 for key, value in row.items() if key.endswith("Id") and isinstance(value, int)}
    manifest = Manifest(title="Two", https_prefix="https://files.example.org/", s3_prefix="s3://bucket/")
    return write_pack(tmp_path, manifest, {name: [*rows[name], *others[name]] for name in rows}).folder


def ids(rows: Any) -> dict[str, list[int]]:
    return {name: [row["id"] for row in found] for name, found in rows.items() if found}


def test_all_rows_of_a_dataset_come_and_no_others(pack: Path) -> None:
    assert ids(ask_rows(open_portal(pack), dataset_id=DATASET)) == ids(sample_rows(""))


def test_rows_of_a_run_come_with_their_dataset_and_deposition(pack: Path) -> None:
    rows = ask_rows(open_portal(pack), run_ids=[OTHER_RUN])

    assert ids(rows) == {
        **{"runs": [OTHER_RUN], "datasets": [DATASET], "datasetAuthors": [1], "depositions": [8]},
        **{"depositionAuthors": [1], "frames": [81], "gainFiles": [91], "frameAcquisitionFiles": [95]},
    }
    assert rows["frames"][0]["fileSize"] == 100


def test_long_lists_come_page_by_page_and_few_at_once(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portal, limits, at_once, most = open_portal(pack), list[int](), threading.Semaphore(4), []

    class Counting:
        def query(self, text: str, variables: dict[str, Any], *, stop: Any = None) -> Any:
            most.append(at_once.acquire(blocking=False))
            limits.append(variables["page"]["limit"])
            try:
                return portal.query(text, variables, stop=stop)
            finally:
                at_once.release()

    monkeypatch.setattr(module, "ROWS_A_PAGE", 2)
    assert ids(ask_rows(Counting(), dataset_id=DATASET)) == ids(sample_rows(""))
    assert set(limits) == {2}
    assert all(most)


@pytest.mark.parametrize("wanted", [{"dataset_id": 7}, {"run_ids": [RUN, 7]}])
def test_what_the_portal_lacks_is_told(pack: Path, wanted: Any) -> None:
    with pytest.raises(NotFoundError, match="7"):
        ask_rows(open_portal(pack), **wanted)


def test_a_stop_ends_it(pack: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        ask_rows(open_portal(pack), dataset_id=DATASET, stop=stop)


def test_every_address_of_the_schema_is_a_file_but_for_those_of_whole_folders() -> None:
    found = {(table, column.https) for table, columns in file_columns().items() for column in columns}
    roots = portal_schema().query_type.fields
    named = {
        (table, name)
        for table, root in roots.items()
        if graphql.is_list_type(graphql.get_nullable_type(root.type))
        for name in graphql.get_named_type(root.type).fields
        if (name.startswith("https") or name.endswith("Url")) and not name.endswith("Prefix")
    }

    assert found == named
    assert {("frames", "httpsFramePath"), ("tiltseries", "httpsAngleList"), ("datasets", "keyPhotoUrl")} <= found


def test_sizes_are_those_of_the_file_and_not_of_its_record() -> None:
    sizes = {(table, each.https): each.size for table, columns in file_columns().items() for each in columns}

    assert sizes["tomograms", "httpsMrcFile"] == "fileSizeMrc"
    assert sizes["annotationFiles", "httpsPath"] == "fileSize"
    assert sizes["tiltseries", "httpsAngleList"] is None
    assert sizes["datasets", "keyPhotoUrl"] is None
