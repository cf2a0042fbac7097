"""Whole downloads, from a folder and over HTTP, with everything that goes wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import wait_until
from download_samples import FRAME, MASK, PICKS, TOMOGRAM, sample_files, sample_rows, write_files, zarr_files
from napari_cryoet.download import (
    Existing,
    Plan,
    Progress,
    download_files,
    look,
    plan_download,
    read_manifest,
    select,
    with_sizes,
)
from napari_cryoet.exceptions import CryoETError, DownloadError, NetworkError, StoppedError, WithheldError
from napari_cryoet.network.policy import policy
from server import Server, garbled, saying, sent, status, without_ranges

MRC, ZARR, POINTS = f"files/{TOMOGRAM}.mrc", f"files/{TOMOGRAM}.zarr", f"files/{PICKS}_point.ndjson"
PlanOf = Callable[..., Plan]


def files_in(folder: Path) -> dict[str, bytes]:
    """What was downloaded, by its path in the bucket."""
    found = (path for path in (folder / "files").rglob("*") if path.is_file())
    return {path.relative_to(folder / "files").as_posix(): path.read_bytes() for path in found}


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def as_mrc(plan_of: PlanOf) -> Plan:
    return plan_of("tomogram", volume_format="mrc")


def test_everything_arrives_from_a_folder_byte_for_byte(tmp_path: Path) -> None:
    rows = sample_rows(write_files(tmp_path / "pack"))
    report = download_files(plan_download(rows, select(rows, ["everything"])), tmp_path / "to")

    assert files_in(tmp_path / "to") == sample_files()
    assert (report.n_fetched, report.n_skipped) == (len(sample_files()), 0)
    assert report.fetched_bytes == sum(map(len, sample_files().values()))


def test_everything_arrives_the_same_over_http(tmp_path: Path, plan_of: PlanOf) -> None:
    assert download_files(plan_of(), tmp_path / "to").n_fetched == len(sample_files())
    assert files_in(tmp_path / "to") == sample_files()


def test_the_manifest_says_what_is_there_and_where_it_is_from(tmp_path: Path, plan_of: PlanOf) -> None:
    plan = plan_of()
    report = download_files(plan, tmp_path / "to")
    manifest = json.loads(report.manifest.read_text())
    urls = {item.path: item.url for item in plan.items}

    assert manifest["is_complete"]
    assert {row["path"]: row["url"] for row in manifest["items"]} == urls
    assert {row["path"].removeprefix("files/") for row in manifest["files"]} == set(sample_files())
    for row in manifest["files"]:
        content = (tmp_path / "to" / row["path"]).read_bytes()
        assert (row["sha256"], row["size_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    (points,) = (row for row in manifest["items"] if row["path"] == POINTS)
    assert (points["table"], points["id"]) == ("annotationFiles", 51)
    assert points["source"]["authors"] == ["C. Picker"]
    assert points["source"]["dataset_title"] == "Yeast"


def test_sizes_that_the_portal_does_not_list_are_asked_for(bucket: Server, plan_of: PlanOf) -> None:
    plan = with_sizes(plan_of())

    assert plan.n_unknown_sizes == 0
    assert plan.total_bytes == sum(map(len, sample_files().values()))
    assert {request.method for request in bucket.to()} == {"HEAD"}
    bucket.script("", status(405))
    assert with_sizes(plan_of()).n_unknown_sizes == plan_of().n_unknown_sizes


# what is there already


def test_what_is_complete_is_not_fetched_again(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    plan = plan_of()
    download_files(plan, tmp_path / "to")
    bucket.reset()
    report = download_files(plan, tmp_path / "to")

    assert (report.n_fetched, report.n_skipped) == (0, len(sample_files()))
    assert not bucket.to(r"ndjson|mrc$|/0/0/0$") or {each.method for each in bucket.to(r"ndjson|mrc$")} <= {"HEAD"}
    assert look(plan, tmp_path / "to").needed_bytes == 0


@pytest.mark.parametrize("path", [POINTS, MRC, f"{ZARR}/0/1/0/0"])
def test_a_finished_file_with_a_flipped_byte_is_fetched_again(tmp_path: Path, plan_of: PlanOf, path: str) -> None:
    plan = plan_of()
    download_files(plan, tmp_path / "to")
    content = bytearray((tmp_path / "to" / path).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "to" / path).write_bytes(content)

    assert download_files(plan, tmp_path / "to").n_fetched == 1
    assert files_in(tmp_path / "to") == sample_files()


def foreign(folder: Path, path: str, content: bytes) -> Path:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


@pytest.mark.parametrize("is_same_size", [True, False])
@pytest.mark.parametrize("path", [POINTS, f"{ZARR}/0/1/0/0"])
def test_a_foreign_file_is_kept_and_never_taken_for_the_portal_s(
    tmp_path: Path, plan_of: PlanOf, path: str, is_same_size: bool
) -> None:
    size = len(sample_files()[path.removeprefix("files/")]) if is_same_size else 5
    mine, to = foreign(tmp_path / "to", path, b"m" * size), tmp_path / "to"
    with pytest.raises(DownloadError, match="overwritten") as caught:
        download_files(plan_of(), to)
    assert caught.value.files == (path,)
    assert [file for file in to.rglob("*") if file.is_file()] == [mine]

    assert download_files(plan_of(), to, existing=Existing.KEEP).kept == (path,)
    assert mine.read_bytes() == b"m" * size
    assert path not in read_manifest(to).files
    assert not manifest_of(to)["is_complete"]

    download_files(plan_of(), to, existing=Existing.OVERWRITE)
    assert files_in(to) == sample_files()


def test_a_file_that_you_edited_is_not_overwritten_unasked(tmp_path: Path, plan_of: PlanOf) -> None:
    download_files(plan_of(), tmp_path / "to")
    (tmp_path / "to" / POINTS).write_bytes(b"my own picks")

    with pytest.raises(DownloadError, match="overwritten"):
        download_files(plan_of(), tmp_path / "to")
    assert (tmp_path / "to" / POINTS).read_bytes() == b"my own picks"


def test_what_file_managers_leave_is_in_nobodys_way(tmp_path: Path, plan_of: PlanOf) -> None:
    download_files(plan_of(), tmp_path / "to")
    foreign(tmp_path / "to", f"{ZARR}/.DS_Store", b"icons")

    assert download_files(plan_of(), tmp_path / "to").n_fetched == 0


@pytest.mark.parametrize("name", ["manifest.json", "pack.json"])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, plan_of: PlanOf, name: str) -> None:
    foreign(tmp_path / "to", name, b'{"name": "my web app"}')
    with pytest.raises(CryoETError, match="another folder"):
        download_files(plan_of(), tmp_path / "to", existing=Existing.OVERWRITE)

    assert [path.name for path in (tmp_path / "to").iterdir()] == [name]


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path, plan_of: PlanOf) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "to" / "files").mkdir(parents=True)
    (tmp_path / "to" / "files" / "10000").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(DownloadError, match="link"):
        download_files(plan_of(), tmp_path / "to", existing=Existing.OVERWRITE)

    assert not list((tmp_path / "outside").iterdir())


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_written_through(tmp_path: Path, plan_of: PlanOf) -> None:
    precious, place = foreign(tmp_path, "precious", b"keep me"), tmp_path / "to" / POINTS
    place.parent.mkdir(parents=True)
    place.symlink_to(precious)
    with pytest.raises(DownloadError, match="overwritten"):
        download_files(plan_of(), tmp_path / "to")
    download_files(plan_of(), tmp_path / "to", existing=Existing.OVERWRITE)

    assert precious.read_bytes() == b"keep me"
    assert files_in(tmp_path / "to") == sample_files()


# what the server does


def test_a_missing_chunk_holds_the_fill_value(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    plan, chunk = plan_of(), f"{ZARR}/0/1/0/0"
    download_files(plan, tmp_path / "to")
    (bucket.folder / chunk.removeprefix("files/")).unlink()
    (tmp_path / "to" / chunk).write_bytes(b"old")

    assert download_files(plan, tmp_path / "to", existing=Existing.OVERWRITE).missing_chunks == (chunk,)
    assert not (tmp_path / "to" / chunk).exists()
    (item,) = (row for row in manifest_of(tmp_path / "to")["items"] if row["path"] == ZARR)
    assert (item["missing_chunks"], item["is_complete"]) == ([chunk], True)


def test_a_tomogram_of_which_no_chunk_is_there_is_missing(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    bucket.script(r"TS_1.zarr/0/\d", status(404))
    with pytest.raises(DownloadError, match="missing") as caught:
        download_files(plan_of("tomogram"), tmp_path / "to")

    assert caught.value.files == (ZARR,)
    assert not files_in(tmp_path / "to")


@pytest.mark.parametrize("code", [403, 500])
def test_a_chunk_that_is_refused_is_an_error_and_the_volume_does_not_open(
    tmp_path: Path, bucket: Server, plan_of: PlanOf, code: int
) -> None:
    refused = bucket.script("TS_1.zarr/0/1/0/0", status(code))
    with pytest.raises(DownloadError, match="1 file could not") as caught:
        download_files(plan_of("tomogram"), tmp_path / "to")
    assert caught.value.files == (f"{ZARR}/0/1/0/0",)
    assert set(files_in(tmp_path / "to")) == {f"{TOMOGRAM}.zarr/0/0/0/0"}

    bucket.end(refused)
    assert download_files(plan_of("tomogram"), tmp_path / "to").n_skipped == 1
    assert files_in(tmp_path / "to") == zarr_files(f"{TOMOGRAM}.zarr")


@pytest.mark.parametrize("gone", [f"{PICKS}_point.ndjson", f"{MASK}_mask.zarr", FRAME])
def test_what_is_missing_is_listed_and_the_rest_is_there(
    tmp_path: Path, bucket: Server, plan_of: PlanOf, gone: str
) -> None:
    (bucket.folder / gone).rename(tmp_path / "away")
    with pytest.raises(DownloadError, match="1 file missing") as caught:
        download_files(plan_of(), tmp_path / "to")

    assert caught.value.files == (f"files/{gone}",)
    assert set(files_in(tmp_path / "to")) == {key for key in sample_files() if not key.startswith(gone)}
    assert not manifest_of(tmp_path / "to")["is_complete"]


def test_metadata_that_no_table_lists_may_be_missing(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    bucket.script("tomogram_metadata.json", status(404))
    download_files(plan_of(), tmp_path / "to")

    assert len(files_in(tmp_path / "to")) == len(sample_files()) - 1
    assert manifest_of(tmp_path / "to")["is_complete"]


def test_damaged_metadata_of_a_volume_is_told(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    (bucket.folder / f"{TOMOGRAM}.zarr" / ".zattrs").write_bytes(b"{damaged")
    with pytest.raises(DownloadError, match=r"\.zattrs"):
        download_files(plan_of("tomogram"), tmp_path / "to")


def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    bucket.script(".mrc", sent("cut"), times=1)
    download_files(as_mrc(plan_of), tmp_path / "to")
    first, second = bucket.to(".mrc")

    assert files_in(tmp_path / "to") == {f"{TOMOGRAM}.mrc": sample_files()[f"{TOMOGRAM}.mrc"]}
    assert "range" not in first.headers
    assert second.headers["if-range"]
    assert bucket.repeated_bytes(".mrc") == 0


@pytest.mark.parametrize("fault", [None, without_ranges, saying(ETag='"another"')])
def test_two_versions_of_a_file_never_mix(tmp_path: Path, bucket: Server, plan_of: PlanOf, fault: Any) -> None:
    """Half of one version, then the rest of another, or from a server that can't begin in the middle."""
    bucket.script(".mrc", lambda answer: sent("cut")(saying(ETag='"old"')(garbled(answer))), times=1)
    if fault is not None:
        bucket.script(lambda request: "range" in request.headers, fault, times=1)
    download_files(as_mrc(plan_of), tmp_path / "to")

    assert files_in(tmp_path / "to") == {f"{TOMOGRAM}.mrc": sample_files()[f"{TOMOGRAM}.mrc"]}


def test_without_an_etag_a_broken_file_starts_again(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    bucket.etags = False
    bucket.script(".mrc", sent("cut"), times=1)
    download_files(as_mrc(plan_of), tmp_path / "to")

    assert files_in(tmp_path / "to") == {f"{TOMOGRAM}.mrc": sample_files()[f"{TOMOGRAM}.mrc"]}


def test_a_server_that_always_breaks_off_is_given_up(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    bucket.script(".mrc", status(500))
    with pytest.raises(DownloadError, match="could not"):
        download_files(as_mrc(plan_of), tmp_path / "to")

    assert not files_in(tmp_path / "to")


def test_another_size_than_the_portal_lists_is_taken_as_it_is(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    (bucket.folder / f"{PICKS}_point.ndjson").write_bytes(b"{}\n")
    download_files(plan_of(), tmp_path / "to")

    assert files_in(tmp_path / "to")[f"{PICKS}_point.ndjson"] == b"{}\n"
    assert download_files(plan_of(), tmp_path / "to").n_fetched == 0


def test_without_network_a_download_gives_up(tmp_path: Path) -> None:
    rows = sample_rows("http://files.invalid/")
    with pytest.raises(CryoETError):
        download_files(plan_download(rows, select(rows, ["everything"])), tmp_path)


# offline mode and the data saver


def test_offline_nothing_is_asked_for(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    policy().offline = True
    for plan in (plan_of("tomogram"), plan_of()):
        with pytest.raises(WithheldError):
            download_files(plan, tmp_path / "to")
    assert not bucket.requests

    rows = sample_rows(write_files(tmp_path / "pack"))
    assert download_files(plan_download(rows, select(rows, ["everything"])), tmp_path / "to").n_fetched


def test_more_than_the_session_allows_is_refused_before_a_file_comes(
    tmp_path: Path, bucket: Server, plan_of: PlanOf
) -> None:
    policy().max_session_bytes = 2**20
    with pytest.raises(WithheldError):
        download_files(as_mrc(plan_of), tmp_path / "to")

    assert not bucket.to()


# stop, and start again


def held_halfway(bucket: Server) -> None:
    """Let the server fall silent in the middle of the tomogram."""
    bucket.script("TS_1.mrc", sent("stalled"), times=1)


def stop_halfway(bucket: Server, plan: Plan, folder: Path) -> float:
    """Stop a download while its server is silent; returns how long that took, in seconds."""
    held_halfway(bucket)
    stop, stopped_at = threading.Event(), 0.0

    def look_at(progress: Progress) -> None:
        nonlocal stopped_at
        if bucket.held and progress.done_bytes >= 2**20 and not stop.is_set():
            stopped_at = time.monotonic()
            stop.set()

    with pytest.raises(StoppedError):
        download_files(plan, folder, stop=stop, progress=look_at)
    took_s = time.monotonic() - stopped_at
    bucket.end()
    return took_s


def test_a_stop_ends_a_download_at_once_and_it_continues_where_it_was(
    tmp_path: Path, bucket: Server, plan_of: PlanOf
) -> None:
    assert stop_halfway(bucket, as_mrc(plan_of), tmp_path / "to") < 10  # benchmarks/stop_latency.py measures
    assert not manifest_of(tmp_path / "to")["is_complete"]
    (part,) = (tmp_path / "to").rglob("*.part")
    there = part.stat().st_size
    assert there > 0

    download_files(as_mrc(plan_of), tmp_path / "to")
    assert files_in(tmp_path / "to") == {f"{TOMOGRAM}.mrc": sample_files()[f"{TOMOGRAM}.mrc"]}
    assert bucket.to(".mrc")[-1].headers["range"] == f"bytes={there - 1}-"
    assert manifest_of(tmp_path / "to")["is_complete"]


def test_a_file_that_changed_meanwhile_starts_again(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    stop_halfway(bucket, as_mrc(plan_of), tmp_path / "to")
    (bucket.folder / f"{TOMOGRAM}.mrc").write_bytes(b"new" * 700_000)
    download_files(as_mrc(plan_of), tmp_path / "to")

    assert files_in(tmp_path / "to") == {f"{TOMOGRAM}.mrc": b"new" * 700_000}


def test_a_killed_download_continues_and_fetches_nothing_twice(
    tmp_path: Path, bucket: Server, plan_of: PlanOf, project_folder: Path
) -> None:
    held_halfway(bucket)
    script = (
        "import sys; from download_samples import sample_rows; from napari_cryoet.download import *\n"
        "rows = sample_rows(sys.argv[1])\n"
        "download_files(plan_download(rows, select(rows, ['everything'])), sys.argv[2])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project_folder / "tests"), *sys.path])}
    arguments = [sys.executable, "-c", script, f"{bucket.url}/", str(tmp_path / "to")]
    with subprocess.Popen(arguments, env=environment) as process:
        wanted = len(sample_files()) - 1
        journal = tmp_path / "to" / "manifest.part.jsonl"
        wait_until(lambda: journal.exists() and len(journal.read_bytes().splitlines()) == wanted)
        process.kill()
    bucket.end()
    bucket.reset()

    report = download_files(plan_of(), tmp_path / "to")
    assert (report.n_fetched, report.n_skipped) == (1, wanted)
    assert files_in(tmp_path / "to") == sample_files()
    assert bucket.to("TS_1.mrc$")[-1].headers.get("range", "bytes=0-")
    assert not journal.exists()


@pytest.mark.parametrize("state", [b"", b"[]", b"{}", b'{"url": "http://elsewhere/", "etag": "x"}'])
def test_a_part_of_unknown_origin_is_not_continued(tmp_path: Path, plan_of: PlanOf, state: bytes) -> None:
    foreign(tmp_path / "to", f"{MRC}.part", b"garbage")
    foreign(tmp_path / "to", f"{MRC}.part.json", state)
    download_files(as_mrc(plan_of), tmp_path / "to")

    assert files_in(tmp_path / "to") == {f"{TOMOGRAM}.mrc": sample_files()[f"{TOMOGRAM}.mrc"]}


def test_a_stop_that_came_before_the_start_fetches_nothing(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        download_files(plan_of(), tmp_path / "to", stop=stop)

    assert not (tmp_path / "to").exists()
    assert not bucket.requests


def test_progress_ends_at_the_total(tmp_path: Path, plan_of: PlanOf) -> None:
    seen: list[Progress] = []
    report = download_files(plan_of(), tmp_path / "to", progress=seen.append)

    assert seen[-1].done_bytes == seen[-1].total_bytes == report.fetched_bytes
    assert seen[-1].done_items == seen[-1].total_items == len(plan_of().items)
    assert all(one.done_bytes <= one.total_bytes for one in seen)


# the disk


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    tmp_path: Path, bucket: Server, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _place: SimpleNamespace(free=9))
    with pytest.raises(DownloadError, match="free"):
        download_files(as_mrc(plan_of), tmp_path / "to")

    assert not bucket.requests


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_what_the_disk_refuses_ends_the_download_in_words(
    tmp_path: Path, plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(DownloadError, match=os.strerror(number)):
        download_files(plan_of("tomogram"), tmp_path / "to")


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path, plan_of: PlanOf) -> None:
    foreign(tmp_path, "to", b"")
    with pytest.raises(DownloadError, match="not a folder"):
        download_files(plan_of(), tmp_path / "to")


def test_a_server_without_any_answer_is_a_network_error(tmp_path: Path) -> None:
    rows = sample_rows("http://127.0.0.1:9/")
    with pytest.raises((NetworkError, DownloadError)):
        download_files(plan_download(rows, select(rows)), tmp_path)
