"""Download plans: the rows requested, the files planned, and their paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import graphql
import pytest

from download_samples import (
    DATASET,
    FRAME,
    OTHER_RUN,
    PICKS,
    RUN,
    TOMOGRAM,
    sample_files,
    sample_rows,
)
from napari_cryoet import open_portal
from napari_cryoet.download import Plan
from napari_cryoet.download.plan import plan_cells
from napari_cryoet.exceptions import DownloadError, NotFoundError, StoppedError
from napari_cryoet.packs.pack import PackManifest, write_pack
from napari_cryoet.portal import portal as portal_module
from napari_cryoet.portal.portal import ask_rows
from napari_cryoet.records import PORTAL_TERMS, Terms
from napari_cryoet.runs.runs import every_cell, file_columns
from napari_cryoet.task import Task
from portal_rows import portal_schema

PREFIX = "https://files.example.org/"


def plan_of(rows: Any = None) -> Plan:
    rows = rows or sample_rows(PREFIX)
    return plan_cells(rows, None, every_cell(rows))


# rows


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """The sample, and a second dataset that no request may return."""
    rows = sample_rows(PREFIX)
    others = {
        name: [row | {"id": row["id"] + 500} for row in table_rows]
        for name, table_rows in rows.items()
    }
    for table_rows in others.values():
        for row in table_rows:
            row |= {
                key: value + 500
                for key, value in row.items()
                if key.endswith("Id") and isinstance(value, int)
            }
    manifest = PackManifest(title="Two", https_prefix=PREFIX, s3_prefix="s3://bucket/")
    return write_pack(
        tmp_path, manifest, {name: [*rows[name], *others[name]] for name in rows}
    ).folder


def ids(rows: Any) -> dict[str, list[int]]:
    return {
        name: [row["id"] for row in table_rows] for name, table_rows in rows.items() if table_rows
    }


def test_rows_are_those_of_the_requested_dataset_or_run(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal_module, "ROWS_A_PAGE", 2)
    assert ids(ask_rows(open_portal(pack), dataset_id=DATASET)) == ids(sample_rows(""))

    rows = ask_rows(open_portal(pack), run_ids=[OTHER_RUN])
    assert ids(rows) == {
        **{"runs": [OTHER_RUN], "datasets": [DATASET], "datasetAuthors": [1], "depositions": [8]},
        **{
            "depositionAuthors": [1],
            "frames": [81],
            "gainFiles": [91],
            "frameAcquisitionFiles": [95],
        },
    }
    assert rows["frames"][0]["fileSize"] == 100


def test_missing_ids_raise_an_error_and_requests_can_be_stopped(pack: Path) -> None:
    task = Task()
    for wanted in ({"dataset_id": 7}, {"run_ids": [RUN, 7]}):
        with pytest.raises(NotFoundError, match="7"):
            ask_rows(open_portal(pack), task=task, **wanted)
    task.stop()
    with pytest.raises(StoppedError):
        ask_rows(open_portal(pack), dataset_id=DATASET, task=task)


def test_every_url_in_the_schema_except_prefixes_is_a_file() -> None:
    roots = portal_schema().query_type.fields
    named = {
        (table, name)
        for table, root in roots.items()
        if graphql.is_list_type(graphql.get_nullable_type(root.type))
        for name in graphql.get_named_type(root.type).fields
        if (name.startswith("https") or name.endswith("Url")) and not name.endswith("Prefix")
    }
    sizes = {
        (table, name): each.size
        for table, columns in file_columns().items()
        for name, each in columns.items()
    }

    assert sizes.keys() == named
    assert {
        ("frames", "httpsFramePath"),
        ("tiltseries", "httpsAngleList"),
        ("datasets", "keyPhotoUrl"),
    } <= named
    assert (sizes["tomograms", "httpsMrcFile"], sizes["annotationFiles", "httpsPath"]) == (
        "fileSizeMrc",
        "fileSize",
    )
    assert sizes["tiltseries", "httpsAngleList"] is sizes["datasets", "keyPhotoUrl"] is None


# files


def test_a_full_plan_has_every_listed_file_with_its_size() -> None:
    expected = {f"files/{key.partition('.zarr/')[0]}" for key in sample_files()}
    plan = plan_of()
    sizes = {item.path.removeprefix("files/"): item.size_bytes for item in plan.items}

    assert {item.path.removesuffix(".zarr") for item in plan.items} == expected
    assert all(item.url.startswith(PREFIX) for item in plan.items)
    assert (sizes[f"{TOMOGRAM}.mrc"], sizes[FRAME], sizes[f"{PICKS}.json"]) == (2**21, 100, None)
    assert plan.total_bytes == sum(size for size in sizes.values() if size is not None)
    assert plan.n_unknown_sizes == 8


def test_files_of_the_portal_have_its_terms() -> None:
    rows = sample_rows(PREFIX)
    assert plan_of(rows).terms == Terms()
    for row in (*rows["datasets"], *rows["runs"]):
        row["s3Prefix"] = row["s3Prefix"].replace("s3://bucket/", "s3://cryoet-data-portal-public/")
    assert plan_of(rows).terms == PORTAL_TERMS


# paths


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"{PREFIX}../../C:/CON/a?.ndjson", None),
        ("https://other.example.org/../../etc/passwd", None),
        (PREFIX, None),
        (f"{PREFIX}10000/TS_2/%2E%2E/a", None),
        (f"{PREFIX}10000/TS_2/Frames/TS%202.tif", "files/10000/TS_2/Frames/TS 2.tif"),
        (f"{PREFIX}10000/TS_2/Frames/TS 2.tif", "files/10000/TS_2/Frames/TS 2.tif"),
    ],
)
def test_urls_map_to_valid_paths_inside_the_folder(url: str, path: str | None) -> None:
    rows = sample_rows(PREFIX)
    rows["annotationFiles"][0]["httpsPath"] = url
    (item,) = (
        item for item in plan_of(rows).items if (item.table, item.row_id) == ("annotationFiles", 51)
    )

    assert item.path.startswith("files/")
    assert not {"..", ".", "", "CON"} & set(item.path.split("/"))
    assert not set(item.path) & set(":?")
    assert path in {None, item.path}


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://files.example.org/a.ndjson", "a.ndjson"]
)
def test_local_file_urls_are_refused(url: str) -> None:
    rows = sample_rows(PREFIX)
    rows["annotationFiles"][0]["httpsPath"] = url

    with pytest.raises(DownloadError, match="can't be fetched"):
        plan_of(rows)


def test_paths_are_unique_regardless_of_case_and_shared_files_planned_once() -> None:
    rows = sample_rows(PREFIX)
    other = PREFIX + FRAME.replace("TS_2", "ts_2")
    rows["frames"] += [
        rows["frames"][0] | {"id": 82, "httpsFramePath": other},
        rows["frames"][0] | {"id": 83},
    ]
    paths = [item.path for item in plan_of(rows).items]

    assert len({path.casefold() for path in paths}) == len(paths) == len(plan_of().items) + 1
    assert f"files/{FRAME}" in paths
