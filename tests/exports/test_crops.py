"""Crops: voxels, columns, resuming, and a cluster that loses a worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_cryoet import CryoETError, ExistsError, StoppedError
from napari_cryoet.basket.basket import Basket
from napari_cryoet.exports import crops, export
from napari_cryoet.exports.selection import Selection, select
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.portal.portal import Source
from napari_cryoet.runs.runs import Runs
from napari_cryoet.task import Task
from run_rows import rows_of_runs
from server import Server

Select = Callable[..., Selection]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks of a few crops each."""
    monkeypatch.setattr(crops, "_MAX_CROPS_PER_CHUNK", 4)


@pytest.fixture
def ribosomes(selection_of: Select) -> Selection:
    return selection_of("cytosolic ribosome")


def open_crops(path: Path) -> Any:
    return zarr.open_group(path, mode="r")


@pytest.mark.parametrize(("spacing", "level"), [(None, 0), (80.0, 1)])
def test_crops_are_the_voxels_around_their_picks(
    tmp_path: Path, ribosomes: Selection, spacing: float | None, level: int
) -> None:
    report = export(ribosomes, "crops", tmp_path / "c.zarr", size=5, spacing_angstrom=spacing)
    group, run = open_crops(tmp_path / "c.zarr"), ribosomes.runs[0]
    tomogram = zarr.open_array(
        Path(run.tomograms[0].url.removeprefix("file://"), str(level)), mode="r"
    )[:]
    spacing_at_level = 40.048 * 2**level

    assert group.attrs["is_complete"]
    assert group["crops"].shape == (report.n_picks, 5, 5, 5)
    for crop, angstrom, shift in zip(
        *(group[name][:] for name in ("crops", "position_angstrom", "shift")), strict=True
    ):
        # the mean of 2 voxels lies between them: half a fine voxel after the first
        middle = (angstrom - (spacing_at_level - 40.048) / 2) / spacing_at_level - shift
        np.testing.assert_allclose(middle, np.round(middle), atol=1e-6)
        box = [slice(int(at) - 2, int(at) + 3) for at in np.round(middle)]
        if all(
            span.start >= 0 and span.stop <= size
            for span, size in zip(box, tomogram.shape, strict=True)
        ):
            np.testing.assert_array_equal(crop, tomogram[tuple(box)])
        assert np.isfinite(crop).all()
    assert (np.abs(group["shift"][:]) <= 0.5 + 1e-9).all()


def test_each_crop_has_its_label_run_split_and_annotation(
    tmp_path: Path, selection_of: Select
) -> None:
    report = export(
        selection_of(tomogram="denoised"), "crops", tmp_path / "c.zarr", size=4, spacing_angstrom=40
    )
    group = open_crops(tmp_path / "c.zarr")
    runs, objects = (
        group.attrs["runs"],
        {each["label"]: each["name"] for each in group.attrs["objects"]},
    )

    assert [run["name"] for run in runs] == ["DEMO_001"]  # the other run has another voxel size
    assert any("voxels of about" in reason for reason in report.left_out)
    assert {objects[label] for label in group["label"][:]} >= {
        "cytosolic-ribosome",
        "proteasome-complex",
    }
    assert (group["run"][0], group["split"][0]) == ("DEMO_001", "train")
    assert set(group["annotation_id"][:]) >= {9001}
    assert (runs[0]["tomogram_id"], runs[0]["licence"]) == (9002, "CC0-1.0")
    rotations = group["rotation"][:][group["annotation_id"][:] == 9001]
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)


@pytest.mark.usefixtures("small_chunks")
def test_a_restart_cuts_only_missing_crops(tmp_path: Path, ribosomes: Selection) -> None:
    path = tmp_path / "c.zarr"
    task = Task(lambda fraction, _text: task.stop() if fraction > 0.1 else None)
    with pytest.raises(StoppedError):
        export(
            ribosomes,
            "crops",
            path,
            size=4,
            task=task,
        )
    assert not open_crops(path).attrs["is_complete"]

    export(ribosomes, "crops", path, size=4)
    whole, kept, lost = (
        open_crops(path)["crops"][:],
        *(path / "crops" / f"{number}.0.0.0" for number in (2, 3)),
    )
    written = kept.stat().st_mtime_ns
    lost.unlink()
    export(ribosomes, "crops", path, size=4)
    np.testing.assert_array_equal(open_crops(path)["crops"][:], whole)
    assert kept.stat().st_mtime_ns == written


def test_only_crops_are_overwritten_and_only_if_asked(tmp_path: Path, ribosomes: Selection) -> None:
    export(ribosomes, "crops", tmp_path / "c.zarr", size=4)
    with pytest.raises(ExistsError, match="content"):
        export(ribosomes, "crops", tmp_path / "c.zarr", size=6)
    export(ribosomes, "crops", tmp_path / "c.zarr", size=6, overwrite=True)
    assert open_crops(tmp_path / "c.zarr")["crops"].shape[1:] == (6, 6, 6)

    (tmp_path / "work").mkdir()
    with pytest.raises(ExistsError, match="content"):
        export(ribosomes, "crops", tmp_path / "work", size=4, overwrite=True)


def test_crops_need_a_matching_tomogram(
    tmp_path: Path, selection_of: Select, ribosomes: Selection
) -> None:
    with pytest.raises(CryoETError, match="voxels"):
        export(ribosomes, "crops", tmp_path / "c.zarr", spacing_angstrom=3)
    with pytest.raises(CryoETError, match="tomogram"):
        export(selection_of("cytosolic ribosome", tomogram=""), "crops", tmp_path / "c.zarr")


@pytest.fixture
def cluster() -> Iterator[dict[str, Any]]:
    command = [sys.executable, str(Path(__file__).with_name("cluster.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.communicate("", timeout=60)


@pytest.mark.parametrize("is_served", [False, True])
def test_crops_are_cut_again_after_a_tomogram_was_replaced(tmp_path: Path, is_served: bool) -> None:
    write_runs(tmp_path / "runs", 1)
    with Server(tmp_path / "runs") as server:
        selection = selection_at(server.url if is_served else (tmp_path / "runs").as_uri(), 1)
        export(selection, "crops", tmp_path / "c.zarr", size=4)
        before = open_crops(tmp_path / "c.zarr")["crops"][:]
        shutil.rmtree(tmp_path / "runs" / "0.zarr")
        write_runs(tmp_path / "runs", 1, offset=100)
        with pytest.raises(ExistsError, match="content"):
            export(selection, "crops", tmp_path / "c.zarr", size=4)
        export(selection, "crops", tmp_path / "c.zarr", size=4, overwrite=True)

    np.testing.assert_allclose(open_crops(tmp_path / "c.zarr")["crops"][:], before + 100, rtol=1e-6)


SHAPE_ZYX = (20, 60, 60)


def write_runs(folder: Path, n_runs: int, offset: float = 0) -> None:
    """Tomograms of noise with 24 picks each."""
    folder.mkdir(exist_ok=True)
    for number in range(n_runs):
        random = np.random.default_rng(number)
        values = random.random(SHAPE_ZYX, dtype="f4") + np.float32(offset)
        write_pyramid(folder / f"{number}.zarr", values, 10.0)
        points = random.uniform(0, 19, (24, 3))
        lines = [
            {"type": "point", "location": dict(zip("xyz", point, strict=True))}
            for point in points.tolist()
        ]
        (folder / f"{number}.ndjson").write_text("\n".join(map(json.dumps, lines)))


def selection_at(url: str, n_runs: int) -> Selection:
    rows = rows_of_runs(url, n_runs, SHAPE_ZYX, 10.0)
    basket = Basket(runs=tuple(row["id"] for row in rows["runs"]))
    return select(basket, Runs.of_rows(rows), Source("url", url, "runs"))


@pytest.fixture
def six_runs(tmp_path: Path) -> Iterator[Selection]:
    """Six tomograms with picks, on a slow server."""
    write_runs(tmp_path / "served", 6)
    with Server(tmp_path / "served", 0.3) as server:
        yield selection_at(server.url, 6)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("small_chunks")
def test_a_cluster_finishes_though_workers_are_killed(
    tmp_path: Path, six_runs: Selection, cluster: dict[str, Any]
) -> None:
    killed: list[float] = []

    def kill_two(fraction: float, _message: str) -> None:
        if 0.1 < fraction < 1 and not killed:
            killed.append(fraction)
            for process in cluster["pids"][:2]:
                os.kill(process, signal.SIGKILL)

    export(six_runs, "crops", tmp_path / "local.zarr", size=8)
    report = export(
        six_runs,
        "crops",
        tmp_path / "remote.zarr",
        size=8,
        scheduler=cluster["address"],
        task=Task(kill_two),
    )

    assert killed
    assert report.n_picks == 6 * 24
    assert open_crops(tmp_path / "remote.zarr").attrs["is_complete"]
    local, remote = (
        open_crops(tmp_path / name)["crops"][:] for name in ("local.zarr", "remote.zarr")
    )
    np.testing.assert_array_equal(remote, local)
    assert (remote != 0).any(axis=(1, 2, 3)).all()
