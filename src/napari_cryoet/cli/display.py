"""A display to draw on: the one that is there, or a virtual one that lasts as long as the command."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from napari_cryoet.exceptions import CryoETError

_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 5.0
_MARGIN_PX = 200  # a window manager or a tool tip may want some


def has_display() -> bool:
    """Whether a window can be opened here."""
    if not sys.platform.startswith(("linux", "freebsd")):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def run_on_virtual_display(arguments: Sequence[str], *, size_px: tuple[int, int]) -> int:
    """Run this command line again on a virtual display, and return its exit code.

    A process of its own, because a display must outlive whoever draws on it.

    Raises
    ------
    CryoETError
        If there is no Xvfb, it doesn't start, or the command crashes.
    """
    with virtual_display(size_px) as display:
        environment = {**os.environ, "DISPLAY": display}
        command = [sys.executable, *_path_options(), "-m", "napari_cryoet.cli", *arguments]
        with (
            subprocess.Popen(command, env=environment) as process,  # noqa: S603 - ourselves, as we were called
            passing_on_termination(process),
        ):
            code = _wait_through_interrupts(process)
    if code < 0:
        raise CryoETError(f"Drawing ended with a crash ({_signal_name(-code)}).", hint=QT_HINT)
    return code


def _path_options() -> list[str]:
    """Let Python import nothing from the folder that the command was typed in, unless it does so already."""
    return [] if "" in sys.path or os.getcwd() in sys.path else ["-P"]


#: What to do where Qt doesn't start; the libraries are those that a bare Debian lacks.
QT_HINT = (
    "Qt's system libraries may be missing. On Debian and Ubuntu: "
    "sudo apt-get install libegl1 libgl1 libopengl0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
    "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1 libdbus-1-3 "
    "libfontconfig1"
)


@contextmanager
def virtual_display(size_px: tuple[int, int]) -> Iterator[str]:
    """Start an X server that draws into memory; it finds a free display number by itself."""
    program = shutil.which("Xvfb")
    if program is None:
        raise CryoETError(
            "There is no display here, and no Xvfb that could stand in for one.",
            hint="Install it: sudo apt-get install xvfb (Debian, Ubuntu), "
            "or sudo dnf install xorg-x11-server-Xvfb (Fedora).",
        )
    reading, writing = os.pipe()
    width, height = (side + _MARGIN_PX for side in size_px)
    command = [program, "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"]
    with open(reading, "rb") as numbers:
        try:
            server = subprocess.Popen(  # noqa: S603 - nothing in it comes from elsewhere
                [*command, "-terminate"],  # ends with its last client, should this process be killed
                pass_fds=[writing],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl+C is for us; the server must outlive the window
            )
        finally:
            os.close(writing)
        try:
            yield f":{_display_number(numbers.fileno())}"
        finally:
            _end(server)


def _display_number(pipe: int) -> int:
    """Read the number that the server prints once it is ready."""
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline_s - time.monotonic()))
        piece = os.read(pipe, 16) if ready else b""
        if not piece:
            raise CryoETError("The virtual display (Xvfb) did not start.", hint="Try it alone: Xvfb -displayfd 1")
        text += piece
    return int(text)


def _wait_through_interrupts(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process that gets the same Ctrl+C as we do, and ends in order."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


@contextmanager
def passing_on_termination(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Send a SIGTERM on, which comes to us alone, unlike a Ctrl+C."""
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
