"""Whole downloads from a folder and over HTTP, including failures."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zarr

from command_line import wait_until
from download_samples import (
    FRAME,
    MASK,
    PICKS,
    TOMOGRAM,
    downloading,
    files_in,
    sample_files,
    sample_rows,
    write_files,
    zarr_files,
)
from napari_cryoet.download import Plan, download_files
from napari_cryoet.download.plan import plan_cells
from napari_cryoet.download.zarr_keys import find_files
from napari_cryoet.exceptions import (
    CryoETError,
    DownloadError,
    FormatError,
    NetworkError,
    StoppedError,
    WithheldError,
)
from napari_cryoet.network import client
from napari_cryoet.network.policy import policy
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.runs.runs import every_cell
from napari_cryoet.task import Task
from server import Server, garbled, saying, sent, status, without_ranges

MRC, ZARR, POINTS = f"files/{TOMOGRAM}.mrc", f"files/{TOMOGRAM}.zarr", f"files/{PICKS}_point.ndjson"
PlanOf = Callable[..., Plan]


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "to"


@pytest.fixture
def mrc(plan_of: PlanOf) -> Plan:
    """A plan of one file of 2 MiB."""
    return plan_of("tomogram", volume_format="mrc")


def assert_is_complete(to: Path) -> None:
    assert files_in(to) == {f"{TOMOGRAM}.mrc": sample_files()[f"{TOMOGRAM}.mrc"]}


def test_files_are_identical_from_a_folder_and_over_http(tmp_path: Path, plan_of: PlanOf) -> None:
    rows = sample_rows(write_files(tmp_path / "pack"))
    local = plan_cells(rows, None, every_cell(rows))
    for name, plan in (("local", local), ("http", plan_of())):
        seen: list[float] = []
        task = Task(lambda fraction, _text: seen.append(fraction))  # noqa: B023
        report = download_files(plan, tmp_path / name, task=task)

        assert files_in(tmp_path / name) == sample_files()
        assert (report.n_fetched, report.n_skipped) == (len(sample_files()), 0)
        assert report.fetched_bytes == sum(map(len, sample_files().values()))
        assert seen[-1] == 1
        assert all(0 <= fraction <= 1 for fraction in seen)


def test_the_manifest_lists_files_and_their_sources(to: Path, plan_of: PlanOf) -> None:
    plan = plan_of()
    download_files(plan, to)
    manifest = manifest_of(to)

    assert manifest["is_complete"]
    assert {row["path"]: row["url"] for row in manifest["items"]} == {
        item.path: item.url for item in plan.items
    }
    assert {row["path"].removeprefix("files/") for row in manifest["files"]} == set(sample_files())
    for row in manifest["files"]:
        content = (to / row["path"]).read_bytes()
        assert (row["sha256"], row["size_bytes"]) == (
            hashlib.sha256(content).hexdigest(),
            len(content),
        )
    (points,) = (row for row in manifest["items"] if row["path"] == POINTS)
    assert (points["table"], points["id"]) == ("annotationFiles", 51)
    assert (points["source"]["authors"], points["source"]["dataset_title"]) == (
        ["C. Picker"],
        "Yeast",
    )


# existing files


def test_complete_files_are_not_fetched_again(to: Path, bucket: Server, plan_of: PlanOf) -> None:
    download_files(plan_of(), to)
    bucket.reset()
    (to / ZARR / ".DS_Store").write_bytes(b"left by a file manager, and in nobody's way")
    report = download_files(plan_of(), to)

    assert (report.n_fetched, report.n_skipped) == (0, len(sample_files()))
    assert not bucket.to(r"ndjson|mrc$|/0/0/0$")


@pytest.mark.parametrize("path", [POINTS, MRC, f"{ZARR}/0/1/0/0"])
def test_a_corrupted_file_is_fetched_again(to: Path, plan_of: PlanOf, path: str) -> None:
    download_files(plan_of(), to)
    content = bytearray((to / path).read_bytes())
    content[len(content) // 2] ^= 1
    (to / path).write_bytes(content)

    assert download_files(plan_of(), to).n_fetched == 1
    assert files_in(to) == sample_files()


def put(folder: Path, path: str, content: bytes) -> Path:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("path", [POINTS, f"{ZARR}/0/1/0/0"])
def test_foreign_files_are_overwritten_only_if_asked(to: Path, plan_of: PlanOf, path: str) -> None:
    for content in (bytes(len(sample_files()[path.removeprefix("files/")])), b"mine"):
        mine = put(to, path, content)
        before = set(to.rglob("*"))
        with pytest.raises(DownloadError, match="overwritten") as caught:
            download_files(plan_of(), to)
        assert caught.value.files == (path,)
        assert (mine.read_bytes(), set(to.rglob("*"))) == (content, before)

        download_files(plan_of(), to, overwrite=True)
        assert files_in(to) == sample_files()


@pytest.mark.parametrize("name", ["manifest.json", "pack.json"])
def test_folders_of_other_programs_are_refused(to: Path, plan_of: PlanOf, name: str) -> None:
    put(to, name, b'{"name": "my web app"}')
    with pytest.raises(CryoETError, match=name):
        download_files(plan_of(), to, overwrite=True)

    assert [path.name for path in to.iterdir()] == [name]


# server errors


def test_a_missing_chunk_holds_the_fill_value(to: Path, bucket: Server, plan_of: PlanOf) -> None:
    chunk = f"{ZARR}/0/1/0/0"
    download_files(plan_of(), to)
    (bucket.folder / chunk.removeprefix("files/")).unlink()
    (to / chunk).write_bytes(b"old")

    assert download_files(plan_of(), to, overwrite=True).n_missing_chunks == 1
    assert not (to / chunk).exists()
    assert chunk not in {row["path"] for row in manifest_of(to)["files"]}
    assert manifest_of(to)["is_complete"]


@pytest.mark.parametrize("code", [403, 500])
def test_a_volume_with_a_failed_chunk_is_not_listed(
    to: Path, bucket: Server, plan_of: PlanOf, code: int
) -> None:
    refused = bucket.script("TS_1.zarr/0/1/0/0", status(code))
    with pytest.raises(DownloadError, match="1 file could not") as caught:
        download_files(plan_of("tomogram", "points"), to)
    assert caught.value.files == (f"{ZARR}/0/1/0/0",)
    assert files_in(to).keys() & zarr_files(f"{TOMOGRAM}.zarr") == {f"{TOMOGRAM}.zarr/0/0/0/0"}
    page = open_portal(to).run_page(1)
    assert (len(page.tomograms), len(page.annotation_files)) == (0, 1)

    bucket.end(refused)
    assert download_files(plan_of("tomogram", "points"), to).n_skipped == 2
    assert files_in(to).items() >= zarr_files(f"{TOMOGRAM}.zarr").items()


@pytest.mark.parametrize("gone", [f"{PICKS}_point.ndjson", f"{MASK}_mask.zarr", FRAME])
def test_missing_files_are_listed_and_others_fetched(
    to: Path, bucket: Server, plan_of: PlanOf, gone: str
) -> None:
    (bucket.folder / gone).rename(bucket.folder / "away")
    with pytest.raises(DownloadError, match="1 file") as caught:
        download_files(plan_of(), to)

    assert caught.value.files == (f"files/{gone}",)
    assert set(files_in(to)) == {key for key in sample_files() if not key.startswith(gone)}
    assert not manifest_of(to)["is_complete"]


def test_a_broken_connection_resumes_at_the_same_byte(to: Path, bucket: Server, mrc: Plan) -> None:
    bucket.script(".mrc", sent("cut"), times=1)
    download_files(mrc, to)
    first, second = bucket.to(".mrc")

    assert_is_complete(to)
    assert "range" not in first.headers
    assert second.headers["if-range"]
    assert bucket.repeated_bytes(".mrc") == 0


@pytest.mark.parametrize("fault", [None, without_ranges, saying(ETag='"another"'), status(416)])
def test_two_versions_of_a_file_never_mix(to: Path, bucket: Server, mrc: Plan, fault: Any) -> None:
    """After half of one version, the server sends another version, or has no range requests."""
    bucket.script(
        ".mrc", lambda answer: sent("cut")(saying(ETag='"old"')(garbled(answer))), times=1
    )
    if fault is not None:
        bucket.script(lambda request: "range" in request.headers, fault, times=1)
    download_files(mrc, to)
    assert_is_complete(to)


@pytest.mark.parametrize("fault", [status(500), sent("cut")])
def test_retries_of_a_failing_server_end(to: Path, bucket: Server, mrc: Plan, fault: Any) -> None:
    bucket.etags = False
    bucket.script(".mrc", fault)
    with pytest.raises((DownloadError, NetworkError)):
        download_files(mrc, to)
    assert not files_in(to)


def test_nothing_is_requested_offline_or_above_the_session_limit(
    tmp_path: Path, bucket: Server, plan_of: PlanOf
) -> None:
    policy().max_session_bytes = 2**20
    with pytest.raises(WithheldError):
        download_files(plan_of(), tmp_path / "to")
    policy().max_session_bytes, policy().offline = None, True
    with pytest.raises(WithheldError):
        download_files(plan_of("tomogram"), tmp_path / "to")
    assert not bucket.requests

    rows = sample_rows(write_files(tmp_path / "pack"))
    local = plan_cells(rows, None, every_cell(rows))
    assert download_files(local, tmp_path / "local").n_fetched


# stop and restart


def test_a_stopped_download_resumes(to: Path, bucket: Server, mrc: Plan) -> None:
    bucket.script("TS_1.mrc", sent("stalled"), times=1)

    def look_at(fraction: float, _text: str) -> None:
        if round(fraction * mrc.total_bytes) >= 2**20:
            bucket.wait_until(lambda: bucket.held)
            task.stop()

    task = Task(look_at)
    with pytest.raises(StoppedError):
        download_files(mrc, to, task=task)
    bucket.end()
    assert not manifest_of(to)["is_complete"]
    (part,) = to.rglob("*.part")
    part_bytes = part.stat().st_size
    assert part_bytes > 0

    download_files(mrc, to)
    assert_is_complete(to)
    assert bucket.to(".mrc")[-1].headers["range"] == f"bytes={part_bytes}-"
    assert manifest_of(to)["is_complete"]


def test_a_killed_download_resumes_and_fetches_nothing_twice(
    to: Path, bucket: Server, plan_of: PlanOf
) -> None:
    bucket.script(f"{TOMOGRAM}.mrc", sent("stalled"), times=1)
    journal, n_finished = to / "manifest.part.jsonl", len(sample_files()) - 1
    with downloading(f"{bucket.url}/", to) as process:
        wait_until(
            lambda: journal.exists() and len(journal.read_bytes().splitlines()) == n_finished
        )
        wait_until(
            lambda: files_in(to).keys() >= sample_files().keys() - {f"{TOMOGRAM}.mrc"}
        )  # renamed last
        process.kill()
    bucket.end()

    report = download_files(plan_of(), to)
    assert (report.n_fetched, report.n_skipped) == (1, n_finished)
    assert files_in(to) == sample_files()
    assert not journal.exists()


@pytest.mark.parametrize("url", [None, "http://elsewhere/"])
def test_a_part_file_of_unknown_origin_is_not_resumed(
    url: str | None, to: Path, bucket: Server, mrc: Plan
) -> None:
    first = client.fetch(f"{bucket.url}/{TOMOGRAM}.mrc", length=1, limit_bytes=1)
    assert first is not None
    state = {"url": url, "etag": first.etag} if url else {}  # the version alone fits
    put(to, f"{MRC}.part", b"garbage")
    put(to, f"{MRC}.part.json", json.dumps(state).encode())
    download_files(mrc, to)
    assert_is_complete(to)


# the disk


def test_a_full_disk_is_reported_before_any_request(
    to: Path, bucket: Server, mrc: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=9))
    with pytest.raises(DownloadError, match="free"):
        download_files(mrc, to)
    assert not bucket.requests


# the files of an OME-Zarr


def keys_of(folder: Path) -> Any:
    return asyncio.run(find_files(folder.as_uri(), asyncio.Semaphore()))


@pytest.mark.parametrize(
    ("version", "encoding", "shards"),
    [
        *((2, ("v2", separator), None) for separator in "/."),
        *(
            (3, ("default", separator), shards)
            for separator in "/."
            for shards in (None, (8, 4, 4))
        ),
        (3, ("v2", "/"), (8, 4, 4)),
    ],
)
def test_keys_of_a_level_match_those_written_by_zarr(
    tmp_path: Path, version: int, encoding: Any, shards: Any
) -> None:
    image = {"multiscales": [{"datasets": [{"path": "a"}]}]}
    group = zarr.create_group(tmp_path, zarr_format=version, attributes=image)
    keys = {"name": encoding[0], "separator": encoding[1]}
    options = {"chunks": (4, 4, 4), "shards": shards, "dtype": "u1", "chunk_key_encoding": keys}
    group.create_array("a", shape=(9, 4, 7), **options)[...] = 1
    chunks, documents = keys_of(tmp_path)

    on_disk = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert {*chunks, *documents} == on_disk
    assert "/" not in list(documents)[-1], "the root comes last"
    assert len(set(chunks)) == len(chunks)


ARRAY = {
    "zarr_format": 2,
    "shape": [4],
    "chunks": [4],
    "dtype": "|u1",
    "fill_value": 0,
    "order": "C",
}
ARRAY |= {"compressor": None, "filters": None}


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-4]},
        {"shape": [4, 4]},
        {"chunks": [0]},
        {"shape": [10**9], "chunks": [1]},
        {"dtype": "nonsense"},
    ],
)
def test_invalid_arrays_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    put(tmp_path, ".zattrs", b'{"multiscales": [{"datasets": [{"path": "0"}]}]}')
    with pytest.raises(FormatError, match=r"\.zarray is missing"):
        keys_of(tmp_path)
    put(tmp_path, "0/.zarray", json.dumps(ARRAY).encode())
    chunks, documents = keys_of(tmp_path)
    assert (chunks, list(documents)) == (["0/0"], ["0/.zarray", ".zattrs"])
    put(tmp_path, "0/.zarray", json.dumps(ARRAY | change).encode())
    with pytest.raises(FormatError):
        keys_of(tmp_path)


@pytest.mark.parametrize("path", ["../1", "/0", "a/../../b", "", "a\\b", 3])
def test_levels_outside_the_image_are_refused(tmp_path: Path, path: object) -> None:
    put(tmp_path, ".zattrs", json.dumps({"multiscales": [{"datasets": [{"path": path}]}]}).encode())
    with pytest.raises(FormatError):
        keys_of(tmp_path)


@pytest.mark.parametrize(
    "content", ["{damaged", "[" * 100_000, '{"multiscales": []}', '{"multiscales": [1]}']
)
def test_damaged_metadata_is_refused(tmp_path: Path, content: str) -> None:
    assert keys_of(tmp_path) is None
    for name, text in (
        (".zattrs", content),
        ("zarr.json", content),
        ("zarr.json", f'{{"attributes": {content}}}'),
    ):
        put(tmp_path, name, text.encode())
        with pytest.raises(FormatError):
            keys_of(tmp_path)
