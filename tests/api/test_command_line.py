"""Every command of the command line: its exit code, its main output, and the files that it writes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from api.files import point, write_lines
from journeys.proxy import Proxy
from napari_cryoet import (
    __version__,
    check_picks,
    compare,
    open_annotation,
    open_portal,
    read_picks,
    write_picks,
)
from napari_cryoet.cli import main

RUN = 9001
OPTIONS = {
    "demo": "--annotations --unaligned --screenshot --size --timeout",
    "open": "--deposition --dataset --run --offline --max-mb --annotations --screenshot",
    "list": "--object --ground-truth --and --processing --spacing --released --sort --limit --ids --refresh --json",
    "download": "--run --dataset --what --format --object --to --dry-run --overwrite",
    "convert": "--unit --spacing --shape --tomogram --alignment --to --overwrite",
    "compare": "--unit --source --radius --beta --method --symmetry --iou --region --spacing --insist --json",
    "rank": "--source --radius --beta --method --symmetry --iou --region --spacing --insist --json",
    "consensus": "--source --radius --min-votes --to --spacing --overwrite --json",
    "check": "--unit --spacing --diameter --tomogram --json",
    "pack": "",
    "serve": "--host --port --name --cors --class",
    "join": "--code --name --lesson",
    "cache": "show limit clear",
}
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


@dataclass
class Result:
    code: int
    out: str
    err: str

    def __contains__(self, text: str) -> bool:
        """Whether the output contains a text, ignoring line breaks."""
        return "".join(text.split()) in "".join((self.out + self.err).split())


@pytest.fixture
def run(capsys):
    """Run the command line in this process."""

    def run_main(*arguments: object) -> Result:
        try:
            code = main([str(argument) for argument in arguments]) or 0
        except SystemExit as end:
            code = end.code or 0
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Result(code, printed.out, printed.err)

    return run_main


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "napari_cryoet.cli", *map(str, arguments)]
    return subprocess.Popen(
        command, **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options), text=True
    )


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "files").rglob("*") if path.is_file())
    return {path.relative_to(folder / "files").as_posix(): path.read_bytes() for path in files}


def is_complete(folder: Path) -> bool:
    return json.loads((folder / "manifest.json").read_text())["is_complete"]


class TestHelp:
    def test_lists_the_options_of_every_command(self, run):
        listed = run("--help")
        for command, options in OPTIONS.items():
            done = run(command, "--help")
            assert done.code == listed.code == 0
            assert command in listed.out
            assert [option for option in options.split() if option not in done.out] == []
        assert run("--version").out.split()[-1] == __version__


class TestList:
    @POSIX
    def test_exits_cleanly_when_the_pipe_is_closed(self, demo_pack):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as closed_pipe:
            process = start("list", "datasets", demo_pack, "--json", stdout=closed_pipe)
            _, stderr = process.communicate(timeout=100)

        assert process.returncode == 0
        assert "Traceback" not in stderr


class TestDownload:
    def test_uses_the_portals_file_layout(self, run, demo_pack, served_demo, tmp_path):
        assert run("download", demo_pack, "--run", RUN, "--to", tmp_path / "disk").code == 0
        files = contents(tmp_path / "disk")

        assert {path.rpartition(".")[2] for path in files} >= {"ndjson", "glb"}
        assert any(".zarr/" in path for path in files)
        for path, content in files.items():
            assert content == (demo_pack / "files" / path).read_bytes()
        assert is_complete(tmp_path / "disk")
        assert (
            run("download", served_demo["graphql"], "--run", RUN, "--to", tmp_path / "web").code
            == 0
        )
        assert contents(tmp_path / "web") == files

    def test_fetches_only_the_requested_files(self, run, demo_pack, tmp_path):
        command = (
            "download",
            demo_pack,
            "--run",
            f"RN-{RUN}",
            "--what",
            "tomogram",
            "--format",
            "mrc",
        )
        assert run(*command, "--to", tmp_path / "to").code == 0
        assert [Path(path).name for path in contents(tmp_path / "to")] == ["DEMO_001.mrc"]

    def test_exits_with_1_if_something_is_missing(self, run, demo_pack, tmp_path):
        for arguments, noun in (
            (("--run", 1), "run 1"),
            (("--run", 9004, "--what", "tomogram"), "tomogram"),
        ):
            done = run("download", demo_pack, *arguments, "--to", tmp_path / "none")
            assert done.code == 1
            assert noun in done
        pack = Path(shutil.copytree(demo_pack, tmp_path / "pack", copy_function=os.link))
        gone = next((pack / "files").rglob("DEMO_001/**/*.ndjson"))
        gone.unlink()
        done = run("download", pack, "--run", RUN, "--what", "annotations", "--to", tmp_path / "to")

        assert done.code == 1
        assert gone.name in done
        assert len(contents(tmp_path / "to")) > 5

    @POSIX
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_stops_at_a_signal_and_resumes_later(
        self, run, demo_pack, served_demo, tmp_path, number, code
    ):
        with Proxy(served_demo["graphql"]) as server:
            server.script(r"\.zarr/0/0", None)
            process = start("download", f"{server.url}/graphql", "--run", RUN, "--to", tmp_path)
            server.wait_until(lambda: server.held)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=100)

        assert process.returncode == code
        assert "Traceback" not in stderr
        assert not is_complete(tmp_path)
        assert run("download", demo_pack, "--run", RUN, "--to", tmp_path).code == 0
        assert is_complete(tmp_path)


class TestConvert:
    @pytest.fixture
    def source(self, tmp_path):
        """A portal file, which has no metadata of its volume."""
        write_lines(tmp_path / "in.ndjson", [point(3, 2, 1)])
        return tmp_path / "in.ndjson"

    def test_writes_star_files_for_relion_5_and_4(self, run, source, tmp_path):
        done = run("convert", source, tmp_path / "5.star", "--spacing", "10", "--shape", "40,50,60")
        loaded = read_picks(tmp_path / "5.star")
        assert done.code == 0
        assert (loaded.points_zyx.tolist(), loaded.shape_zyx) == ([[1, 2, 3]], (40, 50, 60))
        assert "rlnCenteredCoordinateXAngst" in (tmp_path / "5.star").read_text()

        assert (
            run("convert", source, tmp_path / "4.star", "--spacing", "10", "--to", "relion4").code
            == 0
        )
        assert "rlnCoordinateX" in (tmp_path / "4.star").read_text()

    def test_reports_missing_options_and_losses(self, run, source, tmp_path):
        refused = run("convert", source, tmp_path / "out.json")
        assert refused.code == 1
        assert "--spacing" in refused
        assert not (tmp_path / "out.json").exists()

        done = run("convert", source, tmp_path / "out.tbl", "--spacing", "10")
        assert done.code == 0
        assert "angles" in done

    def test_needs_a_unit_for_columns_without_one(self, run, tmp_path):
        (tmp_path / "a.csv").write_text("X,y,z\n30,20,10\n")
        command = ("convert", tmp_path / "a.csv", tmp_path / "b.csv", "--spacing", "10")
        refused = run(*command)
        assert refused.code == 1
        assert "--unit" in refused

        for unit, points in (
            ("voxel", [10, 20, 30]),
            ("angstrom", [1, 2, 3]),
            ("nanometer", [10, 20, 30]),
        ):
            assert run(*command, "--unit", unit, "--overwrite").code == 0
            assert read_picks(tmp_path / "b.csv").points_zyx.tolist() == [points]

    def test_removes_leftovers_of_a_killed_process(self, run, source, tmp_path):
        code = (
            "import os, sys; from napari_cryoet.cli import main\n"
            "os.fsync = lambda _: os._exit(9)\nmain(sys.argv[1:])"
        )
        killed = [sys.executable, "-c", code, "convert", str(source), str(tmp_path / "killed.csv")]
        assert subprocess.run(killed, check=False).returncode == 9
        left = [path for path in tmp_path.iterdir() if path != source]
        assert left
        assert tmp_path / "killed.csv" not in left

        for path in left:
            os.utime(path, (0, 0))
        assert (
            run("convert", source, tmp_path / "out.star", "--spacing", "10", "--to", "relion4").code
            == 0
        )
        assert {path.name for path in tmp_path.iterdir()} == {
            "in.ndjson",
            "out.star",
            "out.star.provenance.json",
        }

    def test_overwrites_only_if_asked(self, run, source, tmp_path):
        (tmp_path / "out.csv").write_text("mine")
        refused = run("convert", source, tmp_path / "out.csv")

        assert refused.code == 1
        assert "--overwrite" in refused
        assert (tmp_path / "out.csv").read_text() == "mine"
        assert run("convert", source, tmp_path / "out.csv", "--overwrite").code == 0


class TestCompare:
    @pytest.fixture
    def files(self, tmp_path):
        write_lines(tmp_path / "a.ndjson", [point(0, 0, 0), point(10, 0, 0)])
        write_lines(tmp_path / "b.ndjson", [point(1, 0, 0), point(20, 0, 0), point(30, 0, 0)])
        return tmp_path / "a.ndjson", tmp_path / "b.ndjson"

    def test_prints_the_same_scores_as_the_python_function(self, run, demo_pack, find):
        truth = find("OrientedPoint", object_name="ribosome", ground_truth_status=True)
        judged = find("OrientedPoint", object_name="ribosome", ground_truth_status=False)
        settings = ("--radius", "60", "--beta", "4", "--method", "greedy", "--symmetry", "C2")
        command = ("compare", f"AF-{judged.id}", f"AF-{truth.id}", "--source", demo_pack, *settings)
        sides = (open_annotation(judged), open_annotation(truth))
        scores = compare(*sides, radius_angstrom=60, beta=4, method="greedy", symmetry="C2").scores

        assert asdict(scores).items() <= json.loads(run(*command, "--json").out).items()
        assert f"{100 * scores.precision:.1f}" in run(*command).out

    def test_ranks_all_annotations_of_the_object(self, run, demo_pack, find, files):
        truth = find("OrientedPoint", object_name="ribosome", ground_truth_status=True)
        command = ("rank", f"AF-{truth.id}", "--source", demo_pack, "--region", "0:500")
        ranked = json.loads(run(*command, "--json").out)["annotations"]
        assert len(ranked) == 4
        assert [row["rank"] for row in ranked] == [1, 2, 3, 4]
        assert f"AN-{ranked[0]['annotation_id']}" in run(*command).out.splitlines()[1]

        done = run("rank", files[0], files[1], "--spacing", "1", "--radius", "2")
        assert "33 %" in done, "one of three is right"
        assert run("rank", files[0]).code == 1

    def test_reports_what_is_missing(self, run, files):
        a, b = files
        for arguments, noun in (
            ((a, b), "radius"),
            (("AN-1", b), "--source"),
            ((a, b, "--radius", "9"), "spacing"),
        ):
            done = run("compare", *arguments)
            assert done.code == 1
            assert noun in done


class TestCheck:
    def test_marks_problems(self, run, find, tomogram, tmp_path):
        picks = open_annotation(
            find("OrientedPoint", object_name="ribosome", ground_truth_status=True)
        )
        right = write_picks(picks, tmp_path / "a.ndjson").path
        swapped = write_picks(
            picks.changed(points_zyx=picks.points_zyx[:, ::-1]), tmp_path / "b.ndjson"
        ).path
        volume = tomogram.https_mrc_file.removeprefix("file://")

        assert "!" not in run("check", right, volume).out
        assert "!" in run("check", swapped, volume).out
        report = json.loads(run("check", swapped, volume, "--json").out)
        expected = check_picks(read_picks(swapped), volume)
        assert report["verdict"] == expected.verdict == "better"
        assert report["suggestion"]["words"] == expected.suggestion.words()
        assert run("check", volume, right).code == 1


class TestPack:
    def test_is_not_written_into_a_folder_with_files(self, run, tmp_path):
        (tmp_path / "mine.txt").write_text("")

        assert run("pack", "demo", tmp_path).code == 1
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


class TestServe:
    @POSIX
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
    def test_prints_its_urls_and_exits_on_a_signal(self, demo_pack, number, code):
        process = start("serve", demo_pack)
        try:
            urls = json.loads(process.stdout.readline())
            body = json.dumps({"query": "{runs{id}}"}).encode()
            question = urllib.request.Request(
                urls["graphql"], body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(question, timeout=60) as answer:
                assert {"id": RUN} in json.load(answer)["data"]["runs"]
        finally:
            process.send_signal(number)
            rest, stderr = process.communicate(timeout=100)

        assert (process.returncode, rest) == (code, "")
        assert "Traceback" not in stderr


class TestCache:
    def test_is_shown_and_cleared(self, run, served_demo, demo_at_home):
        open_portal(served_demo["graphql"]).catalogue()
        kept = platformdirs.user_cache_path("napari-cryoet")
        assert "metadata" in run("cache")

        assert run("cache", "clear", "demo").code == 0
        assert not demo_at_home.exists()
        assert any(path.is_file() for path in kept.rglob("*"))
        assert run("cache", "clear").code == 0
        assert "metadata" not in run("cache", "show").out.partition("(")[0]


class TestOpen:
    @pytest.mark.slow
    def test_saves_a_screenshot_of_a_run(self, demo_pack, tmp_path):
        from PIL import Image

        command = (
            "open",
            demo_pack,
            "--run",
            RUN,
            "--annotations",
            "all",
            "--screenshot",
            tmp_path / "a.png",
        )
        _, stderr = (process := start(*command)).communicate(timeout=110)

        assert process.returncode == 0, stderr
        with Image.open(tmp_path / "a.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 10

    @pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only Linux can be without a display"
    )
    def test_reports_a_missing_display(self, run, demo_pack, monkeypatch):
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
            monkeypatch.delenv(name, raising=False)
        done = run("open", demo_pack)

        assert done.code == 1
        assert "--screenshot" in done
