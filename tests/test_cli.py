"""The command line: what it prints, how it ends, and what it leaves alone."""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from napari_cryoet.cli import display, main, view
from napari_cryoet.cli.console import ProgressLine
from napari_cryoet.cli.parser import build_parser, record_id
from napari_cryoet.exceptions import CryoETError

COMMANDS = ("demo", "open", "search", "download", "pack", "serve", "cache")
RUN = 9001
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")

Run = Callable[..., subprocess.CompletedProcess[str]]


def run_process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "napari_cryoet.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def modules_after(arguments: Sequence[object]) -> set[str]:
    """The modules that a command imported, by their first names."""
    script = (
        "import sys\n"
        "from napari_cryoet.cli import main\n"
        "try:\n    code = main(sys.argv[1:])\n"
        "except SystemExit as end:\n    code = end.code\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.rpartition("MODULES ")[2].split())


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"  napari-cryoet {command}" in capsys.readouterr().out


def test_help_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"    {command} " in text for command in COMMANDS)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from napari_cryoet._version import __version__

    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"napari-cryoet {__version__}\n"


def test_help_comes_at_once() -> None:
    durations_s = []
    for _ in range(5):
        begun_s = time.perf_counter()
        run_process("--help")
        durations_s.append(time.perf_counter() - begun_s)
    assert min(durations_s) < 2  # about 0.05 on a machine that does nothing else


def test_help_imports_nothing_heavy() -> None:
    heavy = {"numpy", "zarr", "dask", "gql", "graphql", "urllib3", "cryoet_data_portal", "scipy", "napari", "qtpy"}
    assert not modules_after(["download", "--help"]) & heavy


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["download", "live"],
        ["download", "live", "--run", "x", "--to", "y"],
        ["download", "live", "--run", "1", "--to", "y", "--what", "frames"],
        ["download", "live", "--run", "1", "--to", "y", "--what", ","],
        ["download", "live", "--run", "1", "--to", "y", "--format", "tiff"],
        ["open", "live", "--run", "1", "--dataset", "2"],
        ["open", "live", "--annotations", "some"],
        ["demo", "--size", "3"],
        ["demo", "--size", "10x10"],
        ["demo", "--timeout", "-1"],
        ["serve", "pack", "--port", "99999"],
        ["pack", "live", "folder"],
    ],
)
def test_what_is_not_understood_ends_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "number"), [("506", 506), ("RN-506", 506), ("AN-12", 12), (" 7 ", 7)])
def test_ids_are_taken_as_the_portal_writes_them(text: str, number: int) -> None:
    assert record_id(text) == number


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "RN-", "10000000000", "1 2"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        record_id(text)


def test_debug_is_understood_before_and_after_the_command() -> None:
    parser = build_parser()
    assert parser.parse_args(["--debug", "cache"]).debug
    assert parser.parse_args(["cache", "--debug"]).debug
    assert not parser.parse_args(["cache"]).debug


# Search


def test_search_prints_a_row_for_each_dataset(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(demo_pack), "yeast"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("DS-90001  ")
    assert "DS-90002" not in printed.out
    assert "1 of 2 datasets" in printed.err


def test_search_without_words_lists_everything_as_json(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(demo_pack), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in rows} == {90001, 90002}
    assert all(row["release_date"].startswith("20") for row in rows)


@POSIX
def test_a_reader_that_leaves_early_is_no_error(demo_pack: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        command = [sys.executable, "-m", "napari_cryoet.cli", "search", str(demo_pack), "--json"]
        done = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@POSIX
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_are_no_error(demo_pack: Path, closed: str) -> None:
    command = shlex.join([sys.executable, "-m", "napari_cryoet.cli", "search", str(demo_pack), "yeast"])
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


# Download


def downloaded(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and "zarr" not in str(path)}


def test_a_download_lays_files_out_like_the_portal(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", str(demo_pack), "--run", str(RUN), "--to", str(tmp_path)]) == 0
    copied = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    for path in copied:
        if path.name != "manifest.json":
            assert (tmp_path / path).read_bytes() == (demo_pack / "files" / path).read_bytes()
    assert any(path.suffix == ".ndjson" for path in copied)
    assert any(".zarr" in str(path) for path in copied)
    assert "files," in capsys.readouterr().out


def test_a_download_from_a_server_brings_the_same(demo_pack: Path, tmp_path: Path) -> None:
    from napari_cryoet.packs.serve import serve_pack

    arguments = ["--run", str(RUN), "--what", "tomogram,annotations,metadata"]
    with serve_pack(demo_pack) as server:
        assert main(["download", server.graphql_url, *arguments, "--to", str(tmp_path / "web")]) == 0
    assert main(["download", str(demo_pack), *arguments, "--to", str(tmp_path / "disk")]) == 0

    def content(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    assert content(tmp_path / "web") == content(tmp_path / "disk")
    assert len(content(tmp_path / "web")) > 20


def test_only_what_is_asked_for_comes(demo_pack: Path, tmp_path: Path) -> None:
    arguments = ["download", str(demo_pack), "--run", f"RN-{RUN}", "--to", str(tmp_path)]
    assert main([*arguments, "--what", "tomogram", "--format", "mrc"]) == 0
    assert downloaded(tmp_path) == {"DEMO_001.mrc", "manifest.json"}


def test_a_dry_run_tells_sizes_and_writes_nothing(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", str(demo_pack), "--run", str(RUN), "--to", str(tmp_path / "to"), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "DEMO_001.zarr" in printed
    assert "items of run DEMO_001, " in printed
    assert not (tmp_path / "to").exists()


def test_a_file_in_the_way_is_named_and_replaced_only_when_allowed(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["download", str(demo_pack), "--run", str(RUN), "--what", "annotations", "--to", str(tmp_path)]
    assert main(arguments) == 0
    mine = next(tmp_path.rglob("*.ndjson"))
    mine.write_text("my own notes")
    (tmp_path / "manifest.json").unlink()
    capsys.readouterr()
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert "would be overwritten" in told
    assert "--overwrite" in told
    assert mine.name in told
    assert mine.read_text() == "my own notes"
    assert main([*arguments, "--overwrite"]) == 0
    assert mine.read_text() != "my own notes"


def test_what_the_server_lacks_is_told_and_ends_with_one(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(demo_pack, pack)
    gone = next((pack / "files").rglob("DEMO_001/**/*.ndjson"))
    gone.unlink()
    assert main(["download", str(pack), "--run", str(RUN), "--what", "annotations", "--to", str(tmp_path / "to")]) == 1
    told = capsys.readouterr().err
    assert "missing on the server; the rest is complete" in told
    assert gone.name in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "1"], "no run 1"),
        (["--run", str(RUN), "--annotations", "1,2"], "has no annotation 1, 2"),
        (["--run", "9004"], "has no tomogram"),
    ],
)
def test_what_the_source_does_not_have_is_told_in_a_sentence(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["download", str(demo_pack), *arguments, "--to", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("source", ["no/such/folder", "http://nowhere.invalid/graphql", "http://[::1", "ftp://a/b", ""])
def test_a_source_that_cannot_be_opened_is_told(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", source, "x"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("napari-cryoet: ")
    assert "Traceback" not in told


def test_debug_shows_where_an_error_comes_from() -> None:
    with pytest.raises(CryoETError):
        main(["search", "no/such/folder", "--debug"])


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_download_which_then_continues(
    demo_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    from napari_cryoet.packs.handler import PackHandler
    from napari_cryoet.packs.serve import serve_pack

    is_over, send_file = threading.Event(), PackHandler._send_file

    def send_no_chunks(handler: PackHandler, path: Path | None) -> None:
        if ".zarr/0/0" in str(path):
            is_over.wait(30)
        send_file(handler, path)

    monkeypatch.setattr(PackHandler, "_send_file", send_no_chunks)
    with serve_pack(demo_pack) as server:
        command = [sys.executable, "-m", "napari_cryoet.cli", "download", server.graphql_url, "--run", str(RUN)]
        process = subprocess.Popen([*command, "--to", str(tmp_path)], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: any(tmp_path.rglob("*.ndjson")))
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
        is_over.set()
    assert process.returncode == code
    assert told.endswith("napari-cryoet: stopped\n")
    assert not json.loads((tmp_path / "manifest.json").read_text())["is_complete"]
    assert main(["download", str(demo_pack), "--run", str(RUN), "--to", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "manifest.json").read_text())["is_complete"]


# Serve, pack, cache


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_serve_prints_one_line_when_ready_and_ends_when_told(demo_pack: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "napari_cryoet.cli", "serve", str(demo_pack)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        urls = json.loads(process.stdout.readline())
        assert set(urls) == {"graphql", "files", "s3"}
        question = urllib.request.Request(
            urls["graphql"], json.dumps({"query": "{runs{id}}"}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(question, timeout=20) as answer:
            assert {"id": RUN} in json.load(answer)["data"]["runs"]
    finally:
        process.send_signal(number)
        rest, told = process.communicate(timeout=20)
    assert process.returncode == code
    assert rest == ""
    assert "Traceback" not in told


def test_a_folder_that_is_no_pack_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path)]) == 1
    assert "isn't a pack" in capsys.readouterr().err


def test_a_pack_is_never_written_over_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("")
    assert main(["pack", "demo", str(tmp_path)]) == 1
    assert "isn't an empty folder" in capsys.readouterr().err


def test_the_demo_is_written_as_a_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_cryoet.packs import demo
    from napari_cryoet.packs.pack import is_pack

    write = demo.write_demo_pack
    monkeypatch.setattr(demo, "write_demo_pack", lambda folder, **options: write(folder, size="tiny", **options))
    assert main(["pack", "demo", str(tmp_path / "pack")]) == 0
    assert is_pack(tmp_path / "pack")
    assert capsys.readouterr().out == f"{tmp_path / 'pack'}\n"


def test_the_cache_is_shown_and_cleared(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import platformdirs

    assert main(["cache"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    cache = platformdirs.user_cache_path("napari-cryoet")
    (cache / "answers").mkdir(parents=True)
    (cache / "answers" / "one.json").write_bytes(b"x" * 2000)
    (cache / "link").symlink_to(user_folder)
    assert main(["cache", "show"]) == 0
    assert "2 KB" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert not any(cache.iterdir())
    assert user_folder.is_dir()


# Qt


@pytest.mark.parametrize(
    "command",
    [
        ["search", "PACK", "yeast"],
        ["download", "PACK", "--run", RUN, "--what", "annotations", "--to", "FOLDER"],
        ["cache"],
        ["pack", "demo", "PACK"],
    ],
)
def test_only_open_and_demo_import_qt(command: list[object], demo_pack: Path, tmp_path: Path) -> None:
    arguments = [{"PACK": demo_pack, "FOLDER": tmp_path}.get(word, word) for word in command]
    script = "import sys; from napari_cryoet.cli import main; main(sys.argv[1:]); print('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=True
    )
    modules = {name.partition(".")[0] for name in done.stdout.rpartition("MODULES ")[2].split()}
    assert "napari_cryoet" in modules
    assert not modules & {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "vispy", "magicgui"}


def test_serving_does_not_import_qt() -> None:
    script = "import sys, napari_cryoet.cli.packs, napari_cryoet.packs.serve; sys.exit('qtpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a display")
def test_without_a_display_a_window_is_refused_in_words(
    demo_pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["open", str(demo_pack)]) == 1
    told = capsys.readouterr().err
    assert "no display" in told
    assert "--screenshot" in told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a display")
def test_without_a_display_and_without_xvfb_it_says_what_to_install(
    demo_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(display.shutil, "which", lambda _name: None)
    assert main(["open", str(demo_pack), "--screenshot", str(tmp_path / "a.png")]) == 1
    assert "apt-get install xvfb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("No module named 'napari'", 'pip install "napari-cryoet[all]"'),
        ("libEGL.so.1: cannot open shared object file: No such file or directory", "libegl1"),
        ("DLL load failed while importing QtCore", "Qt can't be loaded"),
    ],
)
def test_a_missing_napari_and_a_broken_qt_are_told_apart(reason: str, words: str) -> None:
    assert words in str(view.words_for_import(ImportError(reason)))


@pytest.mark.skipif(not sys.platform.startswith("linux") or not shutil.which("Xvfb"), reason="needs Xvfb")
def test_a_virtual_display_lasts_as_long_as_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            servers.append(self)

    monkeypatch.setattr(display.subprocess, "Popen", Recorded)
    with display.virtual_display((400, 300)) as name:
        assert name.removeprefix(":").isdecimal()
        assert [server.poll() for server in servers] == [None]
    assert servers[0].poll() is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there are virtual displays")
def test_being_terminated_is_passed_on_to_the_command_on_the_virtual_display() -> None:
    command = [sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, display.passing_on_termination(process):
        assert process.stdout.readline() == b"ready\n"
        signal.raise_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == -signal.SIGTERM


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_progress_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressLine() as line:
        line.show("one", is_last=True)
        line.show("two", is_last=True)
    first, second, wiped, rest = terminal.getvalue().removeprefix("\r").split("\r")
    assert (first.strip(), second.strip(), wiped.strip(), rest) == ("one", "two", "", "")


def test_in_a_log_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with ProgressLine() as line:
        for number in range(100):
            line.show(f"{number}")
    assert log.getvalue() == "0\n"


def wait_until(is_so: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for something outside of this process."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to that in time"
        time.sleep(0.02)
