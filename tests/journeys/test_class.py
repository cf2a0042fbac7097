"""A class of twenty behind one address: all open the first plane at once, follow, and answer."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import zarr

from classroom.classes import LESSON, view_of
from command_line import serving
from journeys import student
from journeys.link import SharedLink
from napari_cryoet.classroom.client import TeacherClient
from napari_cryoet.packs.pack import PackManifest, write_pack
from portal_images import noise, write_image
from portal_rows import blank_row
from run_rows import rows_of_runs

STUDENTS = 20
LINK_BYTES_S = 50e6
SHAPE_ZYX = (24, 300, 280)  # four chunks a plane
LARGE_ZYX = (4, 900, 840)  # 12 MB in one chunk
HTTPS = "https://files.example.org"
CONTEXT = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")


def make_pack(folder: Path, shape_zyx: tuple[int, int, int], n_runs: int) -> Path:
    """A pack with equal runs."""
    rows = rows_of_runs(HTTPS, n_runs, shape_zyx, 10.0)
    for table in ("depositions", "datasets", "alignments", "tiltseries"):
        rows[table] = [blank_row(table) | {"id": 1}]
    manifest = PackManifest(title="A class", https_prefix=f"{HTTPS}/", s3_prefix="s3://example/")
    pack = write_pack(folder, manifest, rows)
    write_image(pack.files / "0.zarr", noise(shape_zyx))
    for number in range(1, n_runs):
        shutil.copytree(pack.files / "0.zarr", pack.files / f"{number}.zarr", copy_function=os.link)
    return pack.folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs processes that fork")
def test_twenty_students_behind_one_address_see_the_first_plane(
    tmp_path: Path, user_folder: Path
) -> None:
    pack = make_pack(tmp_path / "pack", SHAPE_ZYX, 1)
    with serving(pack) as (server, urls):
        planes = planes_of_students(urls["page"], tmp_path, user_folder)
        server.terminate()
        _, said = server.communicate()

    expected = zarr.open_array(pack / "files" / "0.zarr" / "0", mode="r")[SHAPE_ZYX[0] // 2]
    for plane in planes:
        np.testing.assert_array_equal(plane, expected)
    connected, total = said.splitlines()
    assert connected == "127.0.0.1 connected"
    counts = re.fullmatch(r"127\.0\.0\.1: ([\d,]+) requests, (.+) MB", total)
    assert counts, said
    assert float(counts[2]) > STUDENTS * expected.nbytes / 1e6, "each has a cache of its own"


def planes_of_students(url: str, folder: Path, user_folder: Path) -> list[np.ndarray]:
    """The first planes that students get who start at the same moment."""
    barrier = CONTEXT.Barrier(STUDENTS)
    homes = [folder / f"student{number}" for number in range(STUDENTS)]
    arguments = (variables_of(user_folder), barrier)
    processes = [start(home, student.save_first_plane, url, home, *arguments) for home in homes]
    for process in processes:
        process.join()
    return [np.load(home / "plane.npy") for home in homes]


def variables_of(user_folder: Path) -> list[str]:
    """The environment variables that name a user's folders."""
    return [name for name, value in os.environ.items() if value.startswith(f"{user_folder}")]


def start(home: Path, work: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process with a folder of its own."""
    home.mkdir()
    CONTEXT.set_forkserver_preload([student.__name__])  # imported once, not by each student
    process = CONTEXT.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs processes that fork")
def test_twenty_students_share_a_link_of_50_mb_a_second(tmp_path: Path, user_folder: Path) -> None:
    pack = make_pack(tmp_path / "pack", LARGE_ZYX, STUDENTS)
    (pack / "lessons" / "one").mkdir(parents=True)
    (pack / "lessons" / "one" / "lesson.md").write_text(LESSON)
    with serving(pack, "--class", "Monday") as (_, said):
        port = urlsplit(said["page"]).port
        assert port is not None
        with SharedLink(port, LINK_BYTES_S) as link:
            alone_s = time_alone(link.url, tmp_path, user_folder)
            alone_bytes = link.passed_bytes
            teacher = TeacherClient(said["page"], said["teacher_code"])
            times, shared_at_s = times_of_class(
                link.url, said["join_code"], teacher, tmp_path, user_folder
            )
            class_bytes = link.passed_bytes - alone_bytes

    slowest_s = max(each["first_plane_s"] for each in times)
    follow_s = [each["followed_at_s"] - shared_at_s for each in times]
    print(  # noqa: T201 - figures for a report
        f"\none client: {alone_bytes / 1e6:.0f} MB in {alone_s:.1f} s; "
        f"twenty: {class_bytes / 1e6:.0f} MB, slowest first plane {slowest_s:.1f} s, "
        f"follow within {np.median(follow_s):.2f} s, the last {max(follow_s):.2f} s"
    )
    assert slowest_s < 2 * alone_s
    # twenty students are twenty computers; here they take turns on a few cores, beside other tests,
    # so that the last one also waits for the rest
    assert np.median(follow_s) < 1
    assert max(follow_s) < 3
    assert [each["score"] for each in times] == [1] * STUDENTS
    (answers,) = user_folder.rglob("answers")
    assert (
        len({json.loads(path.read_bytes())["nickname"] for path in answers.iterdir()}) == STUDENTS
    )


def time_alone(address: str, folder: Path, user_folder: Path) -> float:
    """How long one client takes for as many bytes as the class gets."""
    home = folder / "alone"
    barrier = CONTEXT.Barrier(2)
    variables = variables_of(user_folder)
    process = start(home, student.see_runs, address, home, variables, STUDENTS, barrier)
    barrier.wait()
    process.join()
    return float(json.loads((home / "times.json").read_text())["s"])


def times_of_class(
    address: str, code: str, teacher: TeacherClient, folder: Path, user_folder: Path
) -> tuple[list[dict[str, float]], float]:
    """What each student saved, and when the teacher shared a view."""
    barrier = CONTEXT.Barrier(STUDENTS + 1)
    homes = [folder / f"Student {number}" for number in range(STUDENTS)]
    arguments = (variables_of(user_folder), barrier)
    processes = [start(home, student.take_part, address, code, home, *arguments) for home in homes]
    barrier.wait()  # all start
    barrier.wait()  # all have seen the first plane, answered, and follow
    shared_at_s = time.monotonic()
    teacher.share(view_of("pack"))
    for process in processes:
        process.join()
    return [json.loads((home / "times.json").read_text()) for home in homes], shared_at_s
