"""Whole downloads, from a folder and over HTTP, with everything that goes wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from download_samples import (
    ANNOTATION_KEY,
    MASK_KEY,
    TOMOGRAM_KEY,
    Bucket,
    bucket_files,
    run_page,
    write_bucket,
    zarr_v2_files,
)
from fault_server import dropped, ranged, reply, stored_packed
from napari_cryoet.download import (
    Existing,
    Progress,
    Selection,
    TomogramChoice,
    download_files,
    plan_download,
    read_manifest,
    select,
)
from napari_cryoet.download import downloader as downloader_module
from napari_cryoet.download.part import Part
from napari_cryoet.exceptions import CryoETError, DownloadError, NetworkError, StoppedError

MRC = f"{TOMOGRAM_KEY}.mrc"
ZARR = f"{TOMOGRAM_KEY}.zarr"
PICKS = f"{ANNOTATION_KEY}_point.ndjson"
TOMOGRAM_AS_MRC = Selection(tomograms=(TomogramChoice(tomogram_id=11, volume_format="mrc"),))
TOMOGRAM_AS_ZARR = Selection(tomograms=(TomogramChoice(tomogram_id=11, volume_format="zarr"),))
EVERYTHING = ("tomogram", "annotations", "metadata")


def plan_of(prefix: str, selection: Selection | None = None):
    page = run_page(prefix)
    return plan_download(page, selection or select(page, EVERYTHING))


def files_in(folder: Path) -> dict[str, bytes]:
    """Everything below a folder but the manifest."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {key: path.read_bytes() for key, path in found.items() if key != "manifest.json"}


def zarr_and_points() -> dict[str, bytes]:
    return {key: content for key, content in bucket_files().items() if not key.endswith(".mrc")}


def test_files_of_a_pack_arrive_byte_for_byte_in_the_portals_layout(tmp_path: Path) -> None:
    prefix = write_bucket(tmp_path / "pack")
    report = download_files(plan_of(prefix), tmp_path / "to")
    assert files_in(tmp_path / "to") == zarr_and_points()
    assert report.n_fetched == len(zarr_and_points())
    assert report.fetched_bytes == sum(map(len, zarr_and_points().values()))
    assert not report.warnings


def test_files_arrive_the_same_over_http(tmp_path: Path, bucket: Bucket) -> None:
    download_files(plan_of(bucket.prefix), tmp_path / "to")
    assert files_in(tmp_path / "to") == zarr_and_points()


def test_a_run_name_with_spaces_and_signs_arrives(tmp_path: Path, bucket: Bucket) -> None:
    page = run_page(bucket.prefix)
    odd = "10000/TS 1/[a]+%b.ndjson"
    bucket.files["10000/TS%201/%5Ba%5D%2B%25b.ndjson"] = b"{}\n"
    file = replace(
        page.annotation_files[0],
        https_path=f"{bucket.prefix}10000/TS%201/%5Ba%5D%2B%25b.ndjson",
        s3_path=f"s3://bucket/{odd}",
        file_size=3,
    )
    page = replace(page, annotation_files=(file,))
    download_files(plan_download(page, Selection(annotation_file_ids=(51,))), tmp_path)
    assert files_in(tmp_path) == {odd: b"{}\n"}


def test_the_manifest_says_what_is_there_and_holds_its_checksums(tmp_path: Path) -> None:
    prefix = write_bucket(tmp_path / "pack")
    report = download_files(plan_of(prefix), tmp_path / "to")
    manifest = json.loads(report.manifest.read_text())
    assert manifest["licence"] == "CC0-1.0"
    assert manifest["is_complete"] is True
    assert manifest["runs"][0]["dataset_title"] == "Yeast"
    tomogram = next(item for item in manifest["items"] if item["kind"] == "tomogram")
    assert tomogram["voxel_spacing_angstrom"] == 10.0
    assert tomogram["alignment_id"] == 31
    assert tomogram["authors"] == ["A. First", "B. Second"]
    for row in manifest["files"]:
        content = (tmp_path / "to" / row["path"]).read_bytes()
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert row["size_bytes"] == len(content)


def test_what_is_complete_is_not_fetched_again(tmp_path: Path, bucket: Bucket) -> None:
    download_files(plan_of(bucket.prefix), tmp_path)
    asked = len(bucket.asked_for(".ndjson"))
    report = download_files(plan_of(bucket.prefix), tmp_path)
    assert (report.n_fetched, report.n_skipped) == (0, len(zarr_and_points()))
    assert len(bucket.asked_for(".ndjson")) == asked


def test_without_its_manifest_a_folder_is_recognised_by_sizes(tmp_path: Path, bucket: Bucket) -> None:
    first = download_files(plan_of(bucket.prefix), tmp_path)
    before = json.loads(first.manifest.read_text())
    first.manifest.unlink()
    report = download_files(plan_of(bucket.prefix), tmp_path)
    assert report.n_fetched == 0
    after = json.loads(report.manifest.read_text())
    digests = [[(row["path"], row["sha256"]) for row in manifest["files"]] for manifest in (before, after)]
    assert digests[0] == digests[1]


def test_a_second_download_adds_to_the_manifest(tmp_path: Path, bucket: Bucket) -> None:
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_ZARR), tmp_path)
    assert set(read_manifest(tmp_path).items) == {MRC, ZARR}


# What is in the way


def test_another_file_in_the_way_stops_the_download_before_it_starts(tmp_path: Path, bucket: Bucket) -> None:
    mine = tmp_path / PICKS
    mine.parent.mkdir(parents=True)
    mine.write_text("my own notes")
    with pytest.raises(DownloadError, match="1 file in the folder would be overwritten") as caught:
        download_files(plan_of(bucket.prefix), tmp_path)
    assert caught.value.files == (PICKS,)
    assert files_in(tmp_path) == {PICKS: b"my own notes"}


def test_another_file_in_the_way_can_be_kept(tmp_path: Path, bucket: Bucket) -> None:
    mine = tmp_path / PICKS
    mine.parent.mkdir(parents=True)
    mine.write_text("my own notes")
    report = download_files(plan_of(bucket.prefix), tmp_path, existing=Existing.KEEP)
    assert files_in(tmp_path) == {**zarr_and_points(), PICKS: b"my own notes"}
    assert report.kept == (PICKS,)
    assert not json.loads(report.manifest.read_text())["is_complete"]


def test_another_file_in_the_way_is_replaced_when_allowed(tmp_path: Path, bucket: Bucket) -> None:
    mine = tmp_path / PICKS
    mine.parent.mkdir(parents=True)
    mine.write_text("my own notes")
    download_files(plan_of(bucket.prefix), tmp_path, existing=Existing.OVERWRITE)
    assert files_in(tmp_path) == zarr_and_points()


def test_overwriting_mends_a_file_that_was_changed_without_changing_its_size(tmp_path: Path, bucket: Bucket) -> None:
    download_files(plan_of(bucket.prefix), tmp_path)
    damaged = tmp_path / PICKS
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    report = download_files(plan_of(bucket.prefix), tmp_path, existing=Existing.OVERWRITE)
    assert report.n_fetched == 1
    assert files_in(tmp_path) == zarr_and_points()


def test_a_foreign_manifest_is_never_overwritten(tmp_path: Path, bucket: Bucket) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "my web app"}')
    with pytest.raises(DownloadError, match="isn't the list of a download"):
        download_files(plan_of(bucket.prefix), tmp_path, existing=Existing.OVERWRITE)
    assert (tmp_path / "manifest.json").read_text() == '{"name": "my web app"}'
    assert not files_in(tmp_path)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path, bucket: Bucket) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "10000").symlink_to(outside, target_is_directory=True)
    with pytest.raises(DownloadError, match="leads out of the folder"):
        download_files(plan_of(bucket.prefix), tmp_path / "to", existing=Existing.OVERWRITE)
    assert not list(outside.iterdir())


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_written_through(tmp_path: Path, bucket: Bucket) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("keep me")
    place = tmp_path / "to" / PICKS
    place.parent.mkdir(parents=True)
    place.symlink_to(precious)
    with pytest.raises(DownloadError, match="would be overwritten"):
        download_files(plan_of(bucket.prefix), tmp_path / "to")
    download_files(plan_of(bucket.prefix), tmp_path / "to", existing=Existing.OVERWRITE)
    assert precious.read_text() == "keep me"
    assert not place.is_symlink()
    assert place.read_bytes() == bucket_files()[PICKS]


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path, bucket: Bucket) -> None:
    (tmp_path / "to").write_text("")
    with pytest.raises(DownloadError, match="is a file, not a folder"):
        download_files(plan_of(bucket.prefix), tmp_path / "to")


# What the server does


def test_a_missing_chunk_is_noted_and_nothing_is_written_for_it(tmp_path: Path, bucket: Bucket) -> None:
    chunk = f"{ZARR}/0/1/0/0"
    del bucket.files[chunk]
    report = download_files(plan_of(bucket.prefix, TOMOGRAM_AS_ZARR), tmp_path)
    assert report.missing_chunks == (chunk,)
    assert chunk not in files_in(tmp_path)
    (item,) = json.loads(report.manifest.read_text())["items"]
    assert item["missing_chunks"] == [chunk]
    assert item["is_complete"] is True


def test_a_tomogram_of_which_no_chunk_is_there_is_missing(tmp_path: Path, bucket: Bucket) -> None:
    for z in range(2):
        del bucket.files[f"{ZARR}/0/{z}/0/0"]
    with pytest.raises(DownloadError, match="missing on the server"):
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_ZARR), tmp_path)
    assert not files_in(tmp_path)


@pytest.mark.parametrize("status", [403, 500])
def test_a_chunk_that_the_server_refuses_is_an_error_and_the_volume_does_not_open(
    tmp_path: Path, bucket: Bucket, status: int
) -> None:
    chunk = f"{ZARR}/0/1/0/0"
    bucket.faults[chunk] = [reply(b"no", status)] * 20
    with pytest.raises(DownloadError, match="1 of 5 files could not be downloaded") as caught:
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_ZARR), tmp_path)
    assert caught.value.files == (chunk,)
    assert set(files_in(tmp_path)) == {f"{ZARR}/0/0/0/0"}
    del bucket.faults[chunk]
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_ZARR), tmp_path)
    assert files_in(tmp_path) == zarr_v2_files(ZARR)


def test_a_missing_file_is_an_error_and_never_a_file_and_the_rest_is_there(tmp_path: Path, bucket: Bucket) -> None:
    del bucket.files[PICKS]
    with pytest.raises(
        DownloadError, match=r"1 of 15 files is missing on the server; the rest is complete\."
    ) as caught:
        download_files(plan_of(bucket.prefix), tmp_path)
    assert caught.value.files == (PICKS,)
    expected = {key: content for key, content in zarr_and_points().items() if key != PICKS}
    assert files_in(tmp_path) == expected
    assert json.loads((tmp_path / "manifest.json").read_text())["is_complete"] is False


def test_a_missing_zarr_does_not_hinder_the_rest(tmp_path: Path, bucket: Bucket) -> None:
    bucket.files = {key: content for key, content in bucket.files.items() if not key.startswith(ZARR)}
    with pytest.raises(DownloadError, match="missing on the server; the rest is complete") as caught:
        download_files(plan_of(bucket.prefix), tmp_path)
    assert caught.value.files == (ZARR,)
    assert PICKS in files_in(tmp_path)


def test_a_zarr_whose_metadata_is_damaged_says_so(tmp_path: Path, bucket: Bucket) -> None:
    bucket.files[f"{ZARR}/.zattrs"] = b"{damaged"
    with pytest.raises(DownloadError, match=r"\.zattrs is no JSON"):
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_ZARR), tmp_path)


def test_a_level_without_metadata_says_so(tmp_path: Path, bucket: Bucket) -> None:
    del bucket.files[f"{ZARR}/0/.zarray"]
    with pytest.raises(DownloadError, match=r"0/\.zarray is missing"):
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_ZARR), tmp_path)


def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path: Path, bucket: Bucket) -> None:
    content = bucket.files[MRC]
    half = len(content) // 2
    bucket.faults[MRC] = [reply(content[:half], length=len(content), keep=False, ETag=f'"{MRC}"')]
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: content}
    first, second = bucket.asked_for(".mrc")
    assert "range" not in first.headers
    begun_at = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert half - (1 << 20) < begun_at <= half
    assert second.headers["if-range"] == f'"{MRC}"'


def test_two_versions_of_a_file_never_mix(tmp_path: Path, bucket: Bucket) -> None:
    old, new = b"old" * 700_000, bucket.files[MRC]
    bucket.faults[MRC] = [reply(old[: len(old) // 2], length=len(old), keep=False, ETag='"old"')]
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: new}


def test_without_an_etag_a_broken_file_starts_again(tmp_path: Path, bucket: Bucket) -> None:
    content = bucket.files[MRC]
    bucket.faults[MRC] = [reply(content[: len(content) // 2], length=len(content), keep=False), reply(content)]
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: content}


def test_a_server_that_ignores_ranges_is_read_from_the_start(tmp_path: Path, bucket: Bucket) -> None:
    content = bucket.files[MRC]
    etag = f'"{MRC}"'
    bucket.faults[MRC] = [
        reply(content[: len(content) // 2], length=len(content), keep=False, ETag=etag),
        reply(content, ETag=etag),
    ]
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: content}


def test_a_file_that_is_stored_compressed_is_read_from_the_start_where_it_broke_off(
    tmp_path: Path, bucket: Bucket
) -> None:
    content = bucket.files[MRC] = random.Random(0).randbytes(len(bucket.files[MRC]))
    packed = stored_packed(ranged(content, ETag='"a"'))
    bucket.faults[MRC] = [dropped(packed), *[packed] * 9]
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: content}


def test_a_server_that_always_breaks_off_is_given_up(tmp_path: Path, bucket: Bucket) -> None:
    bucket.faults[MRC] = [reply(b"", length=100, keep=False)] * 50
    with pytest.raises(DownloadError, match="could not be downloaded"):
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert not files_in(tmp_path)


def test_another_size_than_the_portal_lists_is_a_warning(tmp_path: Path, bucket: Bucket) -> None:
    bucket.files[PICKS] = b"{}\n"
    report = download_files(plan_of(bucket.prefix), tmp_path)
    assert files_in(tmp_path)[PICKS] == b"{}\n"
    assert len(report.warnings) == 1
    assert "the portal lists it with" in report.warnings[0]
    assert not download_files(plan_of(bucket.prefix), tmp_path).n_fetched


def test_without_network_a_download_gives_up_soon(tmp_path: Path) -> None:
    with pytest.raises(CryoETError, match="can't be reached"):
        download_files(plan_of("http://files.invalid/", TOMOGRAM_AS_MRC), tmp_path)


# Stop, and start again


class HeldBucket:
    """A bucket that sends half of the MRC and then is silent until it is let go."""

    def __init__(self, bucket: Bucket) -> None:
        self.is_half_sent = threading.Event()
        self.release = threading.Event()
        content = bucket.files[MRC]

        def half(connection, request) -> None:
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nETag: "{MRC}"\r\n\r\n'
            connection.sendall(head.encode() + content[: len(content) * 3 // 4])
            self.is_half_sent.set()
            self.release.wait(100)
            raise ConnectionAbortedError

        bucket.faults[MRC] = [half]


def stop_halfway(bucket: Bucket, folder: Path) -> float:
    """Stop a download while its server is silent; returns how long it took to end, in seconds."""
    held, stop = HeldBucket(bucket), threading.Event()
    stopped_at = 0.0

    def stop_when_half_is_there(progress: Progress) -> None:
        nonlocal stopped_at
        if progress.done_bytes >= 1 << 20 and not stop.is_set():
            stopped_at = time.monotonic()
            stop.set()

    try:
        with pytest.raises(StoppedError):
            download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), folder, stop=stop, progress=stop_when_half_is_there)
        return time.monotonic() - stopped_at
    finally:
        held.release.set()
        no_worker_is_left()


def no_worker_is_left() -> None:
    """Wait for those that a stopped download has left behind: what they have got they write."""
    for thread in threading.enumerate():
        if thread.name.startswith("napari-cryoet-download"):
            thread.join(30)
            assert not thread.is_alive()


def test_a_stop_ends_a_download_at_once_and_it_continues_where_it_was(tmp_path: Path, bucket: Bucket) -> None:
    assert stop_halfway(bucket, tmp_path) < 30  # half of the client's limit; benchmarks/stop_latency.py measures
    (part,) = (path for path in tmp_path.rglob("*.part"))
    there = part.stat().st_size
    assert there >= 1 << 20
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: bucket.files[MRC]}
    assert bucket.asked_for(".mrc")[-1].headers["range"] == f"bytes={there - 1}-"
    row = json.loads((tmp_path / "manifest.json").read_text())["files"][0]
    assert row["sha256"] == hashlib.sha256(bucket.files[MRC]).hexdigest()


def test_a_killed_download_continues_where_it_was(tmp_path: Path, bucket: Bucket, project_folder: Path) -> None:
    held = HeldBucket(bucket)
    script = (
        "import math, sys; from download_samples import run_page; from napari_cryoet.download import *\n"
        "from napari_cryoet import http_bodies; http_bodies._CHUNK_S = math.inf  # as in `even_chunks`\n"
        "chosen = Selection(tomograms=(TomogramChoice(tomogram_id=11, volume_format='mrc'),))\n"
        "download_files(plan_download(run_page(sys.argv[1]), chosen), sys.argv[2])"
    )
    environment = {**os.environ, "PYTHONPATH": str(project_folder / "tests")}
    process = subprocess.Popen([sys.executable, "-c", script, bucket.prefix, str(tmp_path)], env=environment)
    assert held.is_half_sent.wait(60)
    deadline_s = time.monotonic() + 60
    while not any(path.stat().st_size >= 1 << 20 for path in tmp_path.rglob("*.part")):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    process.kill()
    process.wait()
    held.release.set()
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: bucket.files[MRC]}
    assert bucket.asked_for(".mrc")[-1].headers["range"] == f"bytes={(1 << 20) - 1}-"


def test_a_file_that_changed_meanwhile_starts_again(tmp_path: Path, bucket: Bucket) -> None:
    stop_halfway(bucket, tmp_path)
    bucket.files[MRC] = b"new" * 400_000
    bucket.etags[MRC] = '"new"'
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: bucket.files[MRC]}


@pytest.mark.parametrize("state", [b"", b"[]", b"{}", b'{"url": "http://elsewhere/", "etag": "x", "total_bytes": 3}'])
def test_a_part_of_unknown_origin_is_not_continued(tmp_path: Path, bucket: Bucket, state: bytes) -> None:
    place = tmp_path / MRC
    place.parent.mkdir(parents=True)
    place.with_name(place.name + ".part").write_bytes(b"garbage")
    place.with_name(place.name + ".part.json").write_bytes(state)
    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert files_in(tmp_path) == {MRC: bucket.files[MRC]}


def test_what_is_complete_at_a_stop_is_in_the_manifest(tmp_path: Path, bucket: Bucket) -> None:
    held, stop = HeldBucket(bucket), threading.Event()
    selection = Selection(tomograms=TOMOGRAM_AS_MRC.tomograms, annotation_file_ids=(51,))

    def stop_when_picks_are_there(progress: Progress) -> None:
        if progress.done_files:
            stop.set()

    with pytest.raises(StoppedError):
        download_files(plan_of(bucket.prefix, selection), tmp_path, stop=stop, progress=stop_when_picks_are_there)
    held.release.set()
    assert set(read_manifest(tmp_path).files) == {PICKS}
    assert not read_manifest(tmp_path).is_complete


def test_two_downloads_into_one_folder_share_the_manifest(tmp_path: Path, bucket: Bucket) -> None:
    held = HeldBucket(bucket)

    def other_download(_: Progress) -> None:
        if not held.release.is_set():
            held.is_half_sent.wait(30)
            download_files(plan_of(bucket.prefix, Selection(annotation_file_ids=(51,))), tmp_path)
            held.release.set()

    download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path, progress=other_download)
    assert set(read_manifest(tmp_path).files) == {MRC, PICKS}


def test_a_download_waits_until_the_one_before_has_left_its_file(tmp_path: Path) -> None:
    path, order = tmp_path / "a.mrc", []

    def write_second() -> None:
        with Part(path, "http://b/") as part:
            order.append("second")
            part.append(b"b")
            part.publish()

    with Part(path, "http://a/") as part:
        second = threading.Thread(target=write_second)
        second.start()
        part.append(b"a")
        order.append("first")
        part.publish()
    second.join(30)
    assert order == ["first", "second"]
    assert path.read_bytes() == b"b"


def test_a_stop_that_came_before_the_start_fetches_nothing(tmp_path: Path, bucket: Bucket) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        download_files(plan_of(bucket.prefix), tmp_path / "to", stop=stop)
    assert not (tmp_path / "to").exists()


# The disk


def test_progress_ends_at_the_total(tmp_path: Path, bucket: Bucket) -> None:
    seen: list[Progress] = []
    report = download_files(plan_of(bucket.prefix), tmp_path, progress=seen.append)
    last = seen[-1]
    assert last.done_bytes == last.total_bytes == report.fetched_bytes
    assert last.done_files == last.total_files == report.n_fetched
    assert all(one.done_bytes <= one.total_bytes for one in seen)


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloader_module.Target, "free_bytes", lambda self: 1000)
    with pytest.raises(DownloadError, match=r"2\.1 MB are needed, but the disk of .* has 1 KB free"):
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert not bucket.asked_for(".mrc")


def test_a_disk_that_fills_up_ends_the_download_in_words(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_cryoet.download.part.os.fsync", fail)
    with pytest.raises(DownloadError, match="is full"):
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path)
    assert MRC not in files_in(tmp_path)


def test_a_folder_that_may_not_be_written_is_told(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("napari_cryoet.download.part.os.open", refuse)
    with pytest.raises(DownloadError, match=r"You may not write to .*TS_1\.mrc\."):
        download_files(plan_of(bucket.prefix, TOMOGRAM_AS_MRC), tmp_path / "to")


def test_masks_come_as_mrc_when_asked(tmp_path: Path, bucket: Bucket) -> None:
    page = run_page(bucket.prefix)
    selection = select(page, ["annotations"], volume_format="mrc", annotations=[22])
    download_files(plan_download(page, selection), tmp_path)
    assert set(files_in(tmp_path)) == {f"{MASK_KEY}_segmentationmask.mrc"}


def test_a_server_that_cannot_tell_the_size_of_what_is_there_is_an_error(tmp_path: Path, bucket: Bucket) -> None:
    place = tmp_path / f"{ANNOTATION_KEY}.json"
    place.parent.mkdir(parents=True)
    place.write_text("{")
    bucket.faults[f"{ANNOTATION_KEY}.json"] = [reply(b"", 503)] * 9
    with pytest.raises(NetworkError):
        download_files(plan_of(bucket.prefix, Selection(annotation_metadata_ids=(21,))), tmp_path)
