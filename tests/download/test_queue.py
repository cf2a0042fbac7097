"""A download as a queue: progress, pauses and failures; and parts of volumes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import wait_until
from download_samples import MASK, PICKS, TOMOGRAM, files_in, sample_files
from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import ask_basket_runs
from napari_cryoet.discovery.index import read_index
from napari_cryoet.discovery.search import Search
from napari_cryoet.download import (
    Download,
    Plan,
    check_place,
    download_basket,
    download_files,
    download_region,
    incomplete,
    plan_basket,
)
from napari_cryoet.download.transfer import WORKERS
from napari_cryoet.exceptions import DownloadError, NotFoundError, StoppedError
from napari_cryoet.layers.load import load_annotation, load_tomogram
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.task import Task
from server import Server, sent, status

PlanOf = Callable[..., Plan]
MRC, ZARR, POINTS = f"files/{TOMOGRAM}.mrc", f"files/{TOMOGRAM}.zarr", f"files/{PICKS}_point.ndjson"


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start work on a thread, and return the thread and a list that will hold the result or the exception."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_the_state_has_files_speed_and_time_left(
    tmp_path: Path, bucket: Server, plan_of: PlanOf
) -> None:
    download = Download(plan_of("tomogram", volume_format="mrc"), tmp_path / "to")
    assert (download.state.n_waiting, download.state.done_bytes) == (1, 0)
    stalled = bucket.script(".mrc", sent("stalled"), times=1)
    thread, results = in_thread(download.run)
    bucket.wait_until(lambda: bucket.held == 1)
    wait_until(lambda: download.state.done_bytes >= 2**19)
    (file,) = download.state.files
    assert (file.path, file.error, file.size_bytes) == (MRC, "", 2**21)
    assert file.bytes_per_s > 0
    assert file.seconds_left is not None
    assert "of 2.1 MB" in download.state.text

    bucket.end(stalled)
    thread.join()
    assert results[0].n_fetched == 1
    assert (download.state.n_done, download.state.done_bytes, download.state.files) == (
        1,
        2**21,
        (),
    )


def test_a_pause_keeps_partial_files_and_sends_no_requests(
    tmp_path: Path, bucket: Server, plan_of: PlanOf
) -> None:
    download = Download(plan_of(), tmp_path / "to")
    stalled = bucket.script(f"{TOMOGRAM}.mrc", sent("stalled"), times=1)
    thread, results = in_thread(download.run)
    wait_until(
        lambda: [file.path for file in download.state.files if file.done_bytes >= 2**19] == [MRC]
    )
    wait_until(lambda: not download.state.n_waiting and len(download.state.files) == 1)
    download.pause()
    wait_until(lambda: download.state.is_paused)
    bucket.end(stalled)
    n_requests = len(bucket.requests)
    assert "paused" in download.state.text
    assert thread.is_alive()

    download.resume()
    thread.join()
    assert results[0].n_fetched == len(sample_files())
    assert files_in(tmp_path / "to") == sample_files()
    (again,) = bucket.requests[n_requests:]
    assert int(again.headers["range"].removeprefix("bytes=").removesuffix("-")) > 0
    assert bucket.repeated_bytes() == 0


def test_simultaneous_requests_are_limited(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    bucket.latency_s = 0.05
    download_files(plan_of(), tmp_path / "to")
    assert 2 <= bucket.most_at_once <= WORKERS


def test_a_paused_download_can_be_stopped(tmp_path: Path, plan_of: PlanOf) -> None:
    download = Download(plan_of(), tmp_path / "to")
    task = Task()
    download.pause()
    thread, results = in_thread(lambda: download.run(task=task))
    wait_until(lambda: download.state.is_paused)
    task.stop()
    thread.join()
    assert isinstance(results[0], StoppedError)


def test_failed_files_are_recorded_and_can_be_retried_alone(
    tmp_path: Path, bucket: Server, plan_of: PlanOf
) -> None:
    faults = bucket.script("ndjson", status(403)), bucket.script("mask.zarr/0/0/0/0", status(403))
    download = Download(plan_of(), tmp_path)
    with pytest.raises(DownloadError) as caught:
        download.run()
    mask = f"files/{MASK}_mask.zarr"
    assert caught.value.files == (POINTS, f"{mask}/0/0/0/0")
    assert {file.path for file in download.state.files if file.error} == {mask, POINTS}
    items = json.loads((tmp_path / "manifest.json").read_text())["items"]
    assert {item["path"] for item in items if item.get("error")} == {mask, POINTS}

    bucket.end(*faults)
    bucket.reset()
    rest = incomplete(plan_of(), tmp_path)
    assert {item.path for item in rest.items} == {mask, POINTS}
    download_files(rest, tmp_path)
    assert not bucket.to("mrc$|TS_1.zarr")
    assert files_in(tmp_path) == sample_files()
    assert json.loads((tmp_path / "manifest.json").read_text())["is_complete"]
    assert not incomplete(plan_of(), tmp_path).items


def test_unexpected_sizes_are_reported(tmp_path: Path, plan_of: PlanOf) -> None:
    def change(rows: Any) -> None:
        rows["annotationFiles"][0]["fileSize"] += 1

    assert download_files(plan_of(change=change), tmp_path).other_sizes == (POINTS,)


def test_unwritable_folders_are_reported_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_place(tmp_path / "new" / "folder", 1)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path) != tmp_path)
    for path, size, noun in (
        (tmp_path / "file" / "a", 1, "file"),
        (tmp_path / "a", 1, "written"),
        ("/", 2**62, "free"),
    ):
        with pytest.raises(DownloadError, match=noun):
            check_place(path, size)


# parts of volumes


def test_downloaded_coarse_levels_open_at_the_right_position(
    tmp_path: Path, demo_pack: Path
) -> None:
    portal = open_portal(demo_pack)
    (tomogram, *_) = portal.run_page(9001).tomograms
    basket = (
        Basket(source=portal.source.name)
        .with_ids("tomograms", [tomogram.id])
        .with_ids("annotations", [9001])
        .with_choices(level=1)
    )
    plan = plan_basket(basket, ask_basket_runs(portal, basket), portal)
    download_files(plan, tmp_path)
    page = open_portal(tmp_path).run_page(9001)
    (coarse,) = page.tomograms

    full, layer = load_tomogram(tomogram), load_tomogram(coarse)
    assert coarse.https_omezarr_dir.endswith(".from-level-1.zarr")
    assert coarse.voxel_spacing == 2 * tomogram.voxel_spacing
    assert layer.data[0].shape == coarse.shape_zyx == full.data[1].shape
    assert len(layer.data) == len(full.data) - 1
    np.testing.assert_array_equal(np.asarray(layer.data[0]), np.asarray(full.data[1]))
    assert layer.options["translate"] == pytest.approx((tomogram.voxel_spacing / 2,) * 3)
    index = read_index(open_portal(tmp_path))
    (listed,) = index.find(Search()).rows("tomograms")
    assert 0 < listed.size_bytes < tomogram.file_size_omezarr
    files = [file for file in page.annotation_files if file.format == "ndjson"]
    assert load_annotation(files[0], coarse)[0].options["scale"] == pytest.approx(
        (tomogram.voxel_spacing,) * 3
    )

    download_basket(basket.with_choices(level=0), portal, tmp_path)
    (whole,) = open_portal(tmp_path).run_page(9001).tomograms
    assert (whole.voxel_spacing, whole.shape_zyx) == (tomogram.voxel_spacing, tomogram.shape_zyx)
    download_files(plan, tmp_path)
    assert open_portal(tmp_path).run_page(9001).tomograms == (whole,)


def test_a_region_opens_at_its_position_in_the_tomogram(tmp_path: Path, demo_pack: Path) -> None:
    portal = open_portal(demo_pack)
    (tomogram, *_) = portal.run_page(9001).tomograms
    box = ((3, 20), (0, 31), (5, 9))
    path = download_region(portal, tomogram.id, box, tmp_path)
    page = open_portal(tmp_path).run_page(9001)
    (region,) = page.tomograms

    assert path.is_dir()
    assert region.https_omezarr_dir == path.as_uri()
    full, layer = load_tomogram(tomogram), load_tomogram(region)
    cut = tuple(slice(*span) for span in box)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), np.asarray(full.data[0])[cut])
    spacing = tomogram.voxel_spacing
    assert layer.options["translate"] == pytest.approx((3 * spacing, 0, 5 * spacing))
    assert layer.options["scale"] == full.options["scale"]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["is_complete"]
    assert manifest["downloads"][0]["box_zyx"] == [[3, 20], [0, 31], [5, 9]]

    basket = (
        Basket(source=portal.source.name)
        .with_ids("tomograms", [tomogram.id])
        .with_choices(volume_format="mrc")
    )
    download_basket(basket, portal, tmp_path)
    (whole,) = open_portal(tmp_path).run_page(9001).tomograms
    assert (whole.shape_zyx, whole.offset_z, whole.https_omezarr_dir) == (
        tomogram.shape_zyx,
        0,
        None,
    )
    with pytest.raises(DownloadError, match="whole"):
        download_region(portal, tomogram.id, box, tmp_path)


def test_a_failed_region_leaves_no_files(tmp_path: Path, demo_pack: Path) -> None:
    portal = open_portal(demo_pack)
    task = Task(lambda *_: task.stop())
    (tomogram, *_) = portal.run_page(9001).tomograms
    with pytest.raises(NotFoundError):
        download_region(portal, 1, ((0, 1),) * 3, tmp_path / "to")
    for box in (((0, 9999), (0, 1), (0, 1)), ((2, 2), (0, 1), (0, 1)), ((-1, 2), (0, 1), (0, 1))):
        with pytest.raises(DownloadError, match="region"):
            download_region(portal, tomogram.id, box, tmp_path / "to")
    with pytest.raises(StoppedError):
        download_region(
            portal,
            tomogram.id,
            ((0, 8), (0, 8), (0, 8)),
            tmp_path / "to",
            task=task,
        )
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
