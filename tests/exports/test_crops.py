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
from napari_cryoet.exports.selection import Selection, read_points, select
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
def one_run(selection_of: Select) -> Selection:
    """Proteasomes and the membrane of one run."""
    return selection_of("proteasome complex", "membrane")


def open_crops(path: Path) -> Any:
    return zarr.open_group(path, mode="r")


@pytest.mark.parametrize(("spacing", "level"), [(None, 0), (80.0, 1)])
def test_crops_are_the_voxels_around_their_picks(
    tmp_path: Path, one_run: Selection, spacing: float | None, level: int
) -> None:
    report = export(one_run, "crops", tmp_path / "c.zarr", size=5, spacing_angstrom=spacing)
    group, run = open_crops(tmp_path / "c.zarr"), one_run.runs[0]
    membrane = next(each for each in one_run.annotations if each.annotation.id == 9008)
    tomogram = level_of(run.tomograms[0].url, level)
    mask = level_of(membrane.file.https_path, level)
    label = next(each["label"] for each in group.attrs["objects"] if each["name"] == "membrane")
    spacing_at_level = 40.048 * 2**level
    names = ("crops", "masks", "position_angstrom", "shift", "inside")

    assert group.attrs["is_complete"]
    assert report.n_picks == (group["label"][:] > 0).sum()
    for crop, labels, angstrom, shift, inside in zip(
        *(group[name][:] for name in names), strict=True
    ):
        # the mean of 2 voxels lies between them: half a fine voxel after the first
        middle = (angstrom - (spacing_at_level - 40.048) / 2) / spacing_at_level - shift
        np.testing.assert_allclose(middle, np.round(middle), atol=1e-6)
        box = [slice(int(at) - 2, int(at) + 3) for at in np.round(middle)]
        is_whole = all(
            span.start >= 0 and span.stop <= size
            for span, size in zip(box, tomogram.shape, strict=True)
        )
        assert is_whole == (inside == 1)
        if is_whole:
            np.testing.assert_array_equal(crop, tomogram[tuple(box)])
            if not level:
                np.testing.assert_array_equal(labels, label * (mask[tuple(box)] > 0))
        assert np.isfinite(crop).all()
    assert (np.abs(group["shift"][:]) <= 0.5 + 1e-9).all()


def level_of(url: str, level: int) -> Any:
    return zarr.open_array(Path(url.removeprefix("file://"), str(level)), mode="r")[:]


def test_other_voxel_sizes_are_refused_or_resampled(tmp_path: Path, selection_of: Select) -> None:
    several = selection_of("cytosolic ribosome")
    with pytest.raises(CryoETError, match=r"31.36 Å \(1 run\), 40.048 Å \(1 run\)"):
        export(several, "crops", tmp_path / "c.zarr")
    report = export(several, "crops", tmp_path / "c.zarr", size=4, spacing_angstrom=50)
    runs = open_crops(tmp_path / "c.zarr").attrs["runs"]

    assert report.n_runs == 2
    assert [run["spacing_angstrom"] for run in runs] == pytest.approx([50, 50])
    assert all(run["is_resampled"] for run in runs)
    assert any("from 31.36 Å to 50 Å" in remark for remark in report.remarks)


@pytest.mark.parametrize("spacing", [7.0, 15.0, 26.0, 45.0])
def test_resampled_crops_have_their_picks_in_the_middle(tmp_path: Path, spacing: float) -> None:
    write_runs(tmp_path, 1, are_ramps=True)
    selection = selection_at(tmp_path.as_uri(), 1)
    export(selection, "crops", tmp_path / "c.zarr", size=4, spacing_angstrom=spacing)
    group = open_crops(tmp_path / "c.zarr")
    is_whole = group["inside"][:] == 1
    middle = group["crops"][:][is_whole, 2, 2, 2]
    step = middle - group["crops"][:][is_whole, 2, 2, 1]

    assert is_whole.any()
    # a ramp stays a ramp, except where a voxel is wider than the volume's rest
    np.testing.assert_allclose(
        middle, ramp(group["position_angstrom"][:][is_whole].T / 10), rtol=2e-3
    )
    np.testing.assert_allclose(step, spacing / 10, rtol=1e-3)
    assert not group["shift"][:].any()


def test_crops_are_ready_to_train(tmp_path: Path, selection_of: Select) -> None:
    options = {"size": 4, "spacing_angstrom": 50, "distance_angstrom": 150}
    selection = selection_of(tomogram="denoised")
    report = export(selection, "crops", tmp_path / "c.zarr", **options)
    group = open_crops(tmp_path / "c.zarr")
    label, split, run = (group[name][:] for name in ("label", "split", "run"))
    objects = {each["label"]: each for each in group.attrs["objects"]}
    is_background = label == 0
    picks = [
        read_points(each).positions_angstrom_zyx
        for each in selection.annotations
        if each.is_points and each.run.name == "DEMO_001"
    ]
    places = group["position_angstrom"][:][is_background & (run == "DEMO_001")]
    distances = np.linalg.norm(places[:, None] - np.concatenate(picks), axis=2)

    assert {objects[each]["name"] for each in label} >= {
        "background",
        "cytosolic-ribosome",
        "proteasome-complex",
    }
    assert len(places) == 85  # as many as ribosomes
    assert distances.min() >= 150
    weights = np.array([objects[each]["weight"] for each in label[split == "train"]])
    assert weights.sum() == pytest.approx(len(weights))
    assert sum(objects[0]["n_crops"].values()) == is_background.sum()
    about = {each["name"]: each for each in group.attrs["runs"]}
    assert (about["DEMO_001"]["tomogram_id"], about["DEMO_001"]["licence"]) == (9002, "CC0-1.0")
    assert about["DEMO_001"]["masks"] == ["membrane"]
    whole = level_of(about["DEMO_001"]["tomogram_url"], 0)
    deviation = float(whole.std())
    assert about["DEMO_001"]["mean"] == pytest.approx(whole.mean(), abs=0.2 * deviation)
    assert about["DEMO_001"]["standard_deviation"] == pytest.approx(deviation, rel=0.3)
    rotations = group["rotation"][:][group["annotation_id"][:] == 9001]
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)
    assert not any("AN-9002" in reason for reason in report.left_out)  # AN-9001 is ground truth
    assert any("AN-9002" in remark for remark in report.remarks)


def test_background_stays_when_runs_are_added(tmp_path: Path) -> None:
    write_runs(tmp_path, 2)
    for n_runs in (1, 2):
        selection = selection_at(tmp_path.as_uri(), n_runs)
        export(selection, "crops", tmp_path / f"c{n_runs}.zarr", size=4, distance_angstrom=20)
    one, two = (
        open_crops(tmp_path / name)["position_angstrom"][:] for name in ("c1.zarr", "c2.zarr")
    )

    assert len(one) > 24
    np.testing.assert_array_equal(two[: len(one)], one)


def test_what_cannot_be_cut_is_listed(tmp_path: Path) -> None:
    write_runs(tmp_path, 4)
    shutil.rmtree(tmp_path / "1.zarr")
    (tmp_path / "2.ndjson").write_text('{"type": "point", "location": {"x": 90, "y": 0, "z": 0}}')
    rows = rows_of_runs(tmp_path.as_uri(), 4, SHAPE_ZYX, 10.0)
    rows["tomograms"].pop()
    report = export(selected(rows, tmp_path.as_uri()), "crops", tmp_path / "c.zarr", size=4)

    assert report.n_runs == 1
    reasons = ("run1: ", "run2): 1 pick outside", "run3: it has no tomogram")
    for reason in reasons:
        assert any(reason in each for each in report.left_out), reason


def test_a_part_of_the_split_may_be_empty_only_if_asked(selection_of: Select) -> None:
    with pytest.raises(CryoETError, match="validation"):
        selection_of(allow_empty=False)


@pytest.mark.usefixtures("small_chunks")
def test_a_restart_cuts_only_missing_crops(tmp_path: Path, one_run: Selection) -> None:
    path = tmp_path / "c.zarr"
    task = Task(lambda fraction, _text: task.stop() if fraction > 0.1 else None)
    with pytest.raises(StoppedError):
        export(
            one_run,
            "crops",
            path,
            size=4,
            task=task,
        )
    assert not open_crops(path).attrs["is_complete"]

    export(one_run, "crops", path, size=4)
    whole, kept, lost = (
        open_crops(path)["crops"][:],
        *(path / "crops" / f"{number}.0.0.0" for number in (2, 3)),
    )
    written = kept.stat().st_mtime_ns
    lost.unlink()
    export(one_run, "crops", path, size=4)
    np.testing.assert_array_equal(open_crops(path)["crops"][:], whole)
    assert kept.stat().st_mtime_ns == written


def test_only_crops_are_overwritten_and_only_if_asked(tmp_path: Path, one_run: Selection) -> None:
    export(one_run, "crops", tmp_path / "c.zarr", size=4)
    with pytest.raises(ExistsError, match="content"):
        export(one_run, "crops", tmp_path / "c.zarr", size=6)
    export(one_run, "crops", tmp_path / "c.zarr", size=6, overwrite=True)
    assert open_crops(tmp_path / "c.zarr")["crops"].shape[1:] == (6, 6, 6)

    (tmp_path / "work").mkdir()
    with pytest.raises(ExistsError, match="content"):
        export(one_run, "crops", tmp_path / "work", size=4, overwrite=True)


def test_crops_need_a_tomogram(tmp_path: Path, selection_of: Select) -> None:
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


def ramp(zyx: Any) -> Any:
    """A value that grows along all axes."""
    z, y, x = zyx
    return 1000 + 3 * z - 2 * y + x


def write_runs(folder: Path, n_runs: int, offset: float = 0, *, are_ramps: bool = False) -> None:
    """Tomograms of noise, or ramps, with 24 picks each."""
    folder.mkdir(exist_ok=True)
    for number in range(n_runs):
        random = np.random.default_rng(number)
        values = random.random(SHAPE_ZYX, dtype="f4") + np.float32(offset)
        if are_ramps:
            values = ramp(np.indices(SHAPE_ZYX, dtype="f4"))
        write_pyramid(folder / f"{number}.zarr", values, 10.0)
        points = random.uniform(0, 19, (24, 3))
        lines = [
            {"type": "point", "location": dict(zip("xyz", point, strict=True))}
            for point in points.tolist()
        ]
        (folder / f"{number}.ndjson").write_text("\n".join(map(json.dumps, lines)))


def selection_at(url: str, n_runs: int) -> Selection:
    return selected(rows_of_runs(url, n_runs, SHAPE_ZYX, 10.0), url)


def selected(rows: Any, url: str) -> Selection:
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
