"""A class of twenty behind one address: all open the first plane of a served pack at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from journeys import student
from napari_cryoet.packs.pack import PackManifest, write_pack
from portal_images import noise, write_image
from portal_rows import blank_row
from run_rows import rows_of_runs

STUDENTS = 20
SHAPE_ZYX = (24, 300, 280)  # four chunks a plane
HTTPS = "https://files.example.org"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack with one run."""
    rows = rows_of_runs(HTTPS, 1, SHAPE_ZYX, 10.0)
    for table in ("depositions", "datasets", "alignments", "tiltseries"):
        rows[table] = [blank_row(table) | {"id": 1}]
    manifest = PackManifest(title="A class", https_prefix=f"{HTTPS}/", s3_prefix="s3://example/")
    pack = write_pack(tmp_path / "pack", manifest, rows)
    write_image(pack.files / "0.zarr", noise(SHAPE_ZYX))
    return pack.folder


@pytest.mark.skipif(sys.platform == "win32", reason="needs processes that fork")
def test_twenty_students_behind_one_address_see_the_first_plane(
    pack: Path, tmp_path: Path, user_folder: Path
) -> None:
    command = [sys.executable, "-m", "napari_cryoet.cli", "serve", str(pack)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["page"]
            planes = planes_of_students(url, tmp_path, user_folder)
        finally:
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
    of_user = [name for name, value in os.environ.items() if value.startswith(f"{user_folder}")]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([student.__name__])  # imported once, not by each student
    barrier = context.Barrier(STUDENTS)
    homes = [folder / f"student{number}" for number in range(STUDENTS)]
    processes = []
    for home in homes:
        home.mkdir()
        arguments = (url, home, of_user, barrier)
        process = context.Process(target=student.save_first_plane, args=arguments, daemon=True)
        processes.append(process)
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [np.load(home / "plane.npy") for home in homes]
