"""Background tasks with keys: results arrive on the GUI thread, and a newer task replaces one with the same key.

Each task runs in its own daemon thread. The thread pools of Qt and Python wait for their threads at
exit, so a hanging request would keep the process alive after its window is closed.
"""

from __future__ import annotations

import getpass
import io
import logging
import platform
import re
import threading
import time
import traceback
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeVar

from napari.utils import progress
from qtpy import API_NAME
from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, Qt, QThread, QTimer, Signal
from qtpy.QtWidgets import QProgressDialog, QWidget
from superqt.utils import ensure_main_thread

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.task import Task

log = logging.getLogger(__name__)

T = TypeVar("T")

_REPORT_INTERVAL_S: Final = 0.05
_BAR_AFTER_MS: Final = (
    500  # napari processes events while it creates a bar, so quick tasks get none
)
_BAR_STEPS: Final = 1000  # napari's bars count in 32 bits, too few for bytes
_POLL_MS: Final = 10
_SLOW_IMPORTS: Final = ("napari_cryoet.streaming.pyramid", "zarr")  # for reading pixels
_warming: Final = threading.Lock()  # creating pint's registry isn't thread-safe

#: Reads and writes the files of reviews and edits in order, so that picks that are opened again see
#: the last save. Python waits for it at exit.
disk: Final = ThreadPoolExecutor(1, thread_name_prefix="napari-cryoet-disk")
_PACKAGES: Final = ("napari-cryoet", "napari", API_NAME, "numpy", "dask", "zarr")
_LOGIN: Final = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY: Final = re.compile(r"(://[^\s?'\"]+\?)[^\s'\"]+")  # may hold a token


class UnexpectedError(CryoETError):
    """A bug in napari-cryoet; ``report`` is for its developers."""

    def __init__(self, details: str) -> None:
        super().__init__(
            "Something went wrong inside CryoET Explorer.",
            hint="Copy a report and send it to us; the rest keeps working.",
        )
        self.report = report_text(details)


class Job(Task):
    """The task of work on another thread, which can also hand over partial results.

    Reports are throttled, so `step` is cheap enough to call for every block.
    """

    def __init__(
        self,
        report: Callable[[float, str], None] | None = None,
        hand_over: Callable[[Any], None] = lambda _part: None,
    ) -> None:
        super().__init__(report)
        self.hand_over = hand_over  #: Deliver a partial result; see ``part`` of `Tasks.run`.
        self._reported_at = 0.0

    def step(self, fraction: float, text: str = "") -> None:
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_INTERVAL_S or fraction >= 1:
            self._reported_at = now
            super().step(fraction, text)
        else:
            self.check()


@dataclass(eq=False)
class _Task:
    key: Hashable
    title: str
    then: Callable[[Any], None]
    failed: Callable[[CryoETError], None] | None
    part: Callable[[Any], None]
    job: Job = field(default_factory=Job)
    bar: progress | None = None


class Tasks(QObject):
    """Runs background tasks by key; destroying the parent stops them."""

    started = Signal(object, str)  # key, title
    said = Signal(object, float, str)  # key, fraction done, status message
    finished = Signal(
        object
    )  # key; once per started key, whether it succeeded, failed or was stopped
    unhandled = Signal(object)  # CryoETError of a task without ``failed``
    erred = Signal(object, object)  # key, CryoETError; for every failed task

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._current: dict[Hashable, _Task] = {}
        self._is_closed = False
        self.destroyed.connect(_StopAll(self._current))
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close)

    def run(
        self,
        key: Hashable,
        work: Callable[[Job], T],
        *,
        then: Callable[[T], None],
        failed: Callable[[CryoETError], None] | None = None,
        part: Callable[[Any], None] | None = None,
        title: str = "",
    ) -> None:
        """Run ``work`` on another thread, then call exactly one of ``then`` and ``failed`` unless it is stopped.

        Parameters
        ----------
        key
            The task's purpose. An older task with the same key is stopped and its result dropped.
        work
            Called off the GUI thread; its return value is passed to ``then``.
        then, failed
            Called on the GUI thread. Exceptions other than `CryoETError` arrive as `UnexpectedError`. Without
            ``failed``, errors are emitted as ``unhandled``.
        part
            Called on the GUI thread with each partial result of ``Job.hand_over``, in order and before ``then``.
        title
            Shown in napari's activity dock if the task takes a while.
        """
        if self._is_closed:
            return
        older = self._current.get(key)
        if older is not None:
            self._end(older)
        task = _Task(key, title, then, failed, part or (lambda _part: None))
        report = partial(self._post, task, self._on_said)
        task.job = Job(report, partial(self._post, task, self._on_part))
        self._current[key] = task
        if older is None:
            self.started.emit(key, title)
        if title:
            QTimer.singleShot(_BAR_AFTER_MS, partial(self._show_bar, task))
        threading.Thread(
            target=self._work, args=(task, work), name=f"napari-cryoet {key}", daemon=True
        ).start()

    def stop(self, key: Hashable) -> None:
        """Stop the key's task and drop its result; do nothing if none is running."""
        task = self._current.get(key)
        if task is not None:
            self._end(task)
            self.finished.emit(key)

    @property
    def running(self) -> tuple[Hashable, ...]:
        return tuple(self._current)

    def is_running(self, key: Hashable) -> bool:
        """Whether a task with this key is running."""
        return key in self._current

    def close(self) -> None:
        """Stop all tasks and ignore new ones."""
        self._is_closed = True
        for key in self.running:
            self.stop(key)

    def _work(self, task: _Task, work: Callable[[Job], Any]) -> None:
        """Run the work in its thread, and post either its result or its error."""
        try:
            answer = work(task.job)
        except CryoETError as error:
            self._post(task, self._on_error, error)
        except Exception:
            log.exception("Task %r failed unexpectedly", task.key)
            self._post(task, self._on_error, UnexpectedError(traceback.format_exc()))
        else:
            self._post(task, self._on_answer, answer)

    def _post(self, task: _Task, act: Callable[..., None], *arguments: Any) -> None:
        """Call ``act`` on the GUI thread, unless the task has been stopped by then."""
        if QCoreApplication.instance() is not None:
            _deliver(lambda: act(task, *arguments) if self._current.get(task.key) is task else None)

    def _end(self, task: _Task) -> None:
        del self._current[task.key]
        task.job.stop()
        bar, task.bar = task.bar, None
        if bar is not None:
            bar.close()

    def _on_said(self, task: _Task, fraction: float, message: str) -> None:
        self.said.emit(task.key, fraction, message)
        self._fill_bar(task, fraction)

    def _on_part(self, task: _Task, part: Any) -> None:
        task.part(part)

    def _on_answer(self, task: _Task, answer: Any) -> None:
        self._end(task)
        self.finished.emit(task.key)
        task.then(answer)

    def _on_error(self, task: _Task, error: CryoETError) -> None:
        self._end(task)
        self.finished.emit(task.key)
        self.erred.emit(task.key, error)
        if task.failed is None:
            self.unhandled.emit(error)
        else:
            task.failed(error)

    def _show_bar(self, task: _Task) -> None:
        """Show a task in napari's activity dock, without a Cancel button: napari briefly shows that as a window."""
        if self._current.get(task.key) is not task:
            return
        bar = progress(
            desc=task.title, total=0, file=io.StringIO()
        )  # without a window, tqdm would print to stderr
        if self._current.get(task.key) is task:
            task.bar = bar
        else:
            bar.close()

    def _fill_bar(self, task: _Task, fraction: float) -> None:
        bar = task.bar
        if bar is not None:
            bar.total = _BAR_STEPS
            bar.update(max(0, round(min(fraction, 1.0) * _BAR_STEPS) - bar.n))


class _StopAll:
    """Stops the workers of a destroyed `Tasks`, without a reference to it."""

    def __init__(self, current: dict[Hashable, _Task]) -> None:
        self._current = current

    def __call__(self, *_destroyed: object) -> None:
        current = self.__dict__.get(
            "_current", {}
        )  # missing if the garbage collector has cleared the object
        for task in current.values():
            task.job.stop()
        current.clear()


@ensure_main_thread
def _deliver(act: Callable[[], None]) -> None:
    act()


def wait_for(work: Callable[[Job], T], *, title: str = "", parent: QWidget | None = None) -> T:
    """Run ``work`` on another thread and return its result, while the window keeps drawing.

    Parameters
    ----------
    title, parent
        If ``parent`` is given and the work takes a while, a dialog over it offers to stop. ``work`` must then raise
        `StoppedError`.
    """
    application = QCoreApplication.instance()
    if application is None or QThread.currentThread() is not application.thread():
        return work(Job())
    fractions, answer = [0.0], Future[T]()
    job = Job(lambda fraction, _text: fractions.append(fraction))

    def run() -> None:
        try:
            answer.set_result(work(job))
        except BaseException as error:  # noqa: BLE001 - raised again below
            answer.set_exception(error)

    thread = threading.Thread(target=run, name="napari-cryoet wait", daemon=True)
    thread.start()
    dialog = None if parent is None else _stop_dialog(title, job, parent)
    flags = QEventLoop.ProcessEventsFlag
    while thread.is_alive():
        if dialog is not None and not job.is_stopped:
            dialog.setValue(
                max(1, round(fractions[-1] * _BAR_STEPS))
            )  # opens the dialog after its minimum duration
        takes_input = dialog is not None and dialog.isVisible()
        application.processEvents(
            flags.AllEvents if takes_input else flags.ExcludeUserInputEvents, _POLL_MS
        )
        thread.join(_POLL_MS / 1000)
    if dialog is not None:
        dialog.deleteLater()
    return answer.result()


def _stop_dialog(title: str, job: Job, parent: QWidget) -> QProgressDialog:
    dialog = QProgressDialog(title, "Stop", 0, _BAR_STEPS, parent)
    dialog.setWindowModality(Qt.WindowModality.ApplicationModal)
    dialog.setMinimumDuration(_BAR_AFTER_MS)
    dialog.setValue(0)  # starts its clock; otherwise it shows after 4 s
    dialog.setAutoReset(False)
    dialog.canceled.connect(job.stop)
    return dialog


def single_shot(parent: QObject, interval_ms: int, slot: Callable[[], object]) -> QTimer:
    """A timer that calls ``slot`` once, ``interval_ms`` after it was last started."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(interval_ms)
    timer.timeout.connect(slot)
    return timer


def warm_up_layers() -> None:
    """Import and initialize what napari needs for the process's first layers.

    Call it off the GUI thread.
    """
    with _warming:
        import_module("scipy.ndimage")
        registry: Any = import_module("pint")  # only partly typed
        registry.get_application_registry().parse_units("angstrom")


def warm_up(tasks: Tasks) -> None:
    """Import slow modules in the background, before the GUI thread needs them."""

    def work(_job: Job) -> None:
        warm_up_layers()
        for name in _SLOW_IMPORTS:
            import_module(name)

    tasks.run("warm-up", work, then=lambda _none: None)


# reports of unexpected errors


def report_text(details: str) -> str:
    """What a developer needs: versions, platform, and the traceback ``details``."""
    versions = [f"{name} {_version_of(name)}" for name in _PACKAGES]
    system = f"Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([", ".join(versions), system, "", _without_private(details)])


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder, without an installation
        return "(unknown)"


def _without_private(text: str) -> str:
    home = re.escape(str(Path.home()))
    text = re.sub(home, "~", text, flags=re.IGNORECASE)  # Windows ignores case
    user = re.escape(getpass.getuser())
    text = re.sub(rf"(?<=[/\\]){user}(?=[/\\])", "USER", text)
    return _QUERY.sub(r"\1…", _LOGIN.sub("", text))
