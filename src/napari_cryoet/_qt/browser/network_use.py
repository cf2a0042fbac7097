"""How the dock lets a person say what the network may be used for; the policy itself is the process's."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.saver_dialog import SaverDialog
from napari_cryoet._qt.memory import DataSaver, Memory, recall
from napari_cryoet.exceptions import WithheldError
from napari_cryoet.network.policy import MEGABYTE, Policy, policy
from napari_cryoet.wording import joined

LOOK_MS = 1000  # bytes come on other threads, and scripts and other docks change the policy too


class NetworkUse(QObject):
    """Shows and changes the policy, and remembers what a person chose here.

    Parameters
    ----------
    memory
        What is remembered; it tightens what the environment or the command line said, and never loosens it.
    parent
        The widget that dialogs belong to.
    """

    changed = Signal(str, bool)  # what to say of it, whether we are offline
    loosened = Signal()  # what was withheld can be tried again

    def __init__(self, memory: Memory, parent: QWidget) -> None:
        super().__init__(parent)
        self._memory, self._widget = memory, parent
        self._policy = policy()
        self._told: tuple[str, bool] = ("", False)
        self._limits = self._limits_now()
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)

    def recall(self) -> None:
        """Bring back what was chosen in an earlier session, and begin to look."""
        recall(self._memory)
        self._limits = self._limits_now()
        self._timer.start()
        self.look()

    @property
    def is_offline(self) -> bool:
        """Whether nothing is sent."""
        return self._policy.offline

    def set_offline(self, is_offline: bool) -> None:
        """Send nothing, or send again; remembered."""
        self._policy.offline = self._memory.is_offline = is_offline
        self.look()

    def ask_limits(self, then: Callable[[], None] | None = None) -> SaverDialog:
        """Let the person set the data saver; remembered. ``then`` follows when it was set."""
        dialog = SaverDialog(self._policy, self._widget)
        dialog.accepted.connect(self._on_limits)
        if then is not None:
            dialog.accepted.connect(then)
        dialog.open()
        return dialog

    def lift(self, error: WithheldError, then: Callable[[], None] | None = None) -> None:
        """Offer the switch that an error tells of; ``then`` follows once it was used."""
        if error.by == "data saver":
            self.ask_limits(then)
            return
        self.set_offline(False)
        if then is not None:
            then()

    def look(self) -> None:
        """Tell what is new."""
        before, self._limits = self._limits, self._limits_now()
        told = (network_use_text(self._policy), self._policy.offline)
        if told != self._told:
            self._told = told
            self.changed.emit(*told)
        if any(now < then for now, then in zip(self._limits, before, strict=True)):
            self.loosened.emit()

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    def _on_limits(self) -> None:
        now = self._policy
        self._memory.data_saver = DataSaver((now.max_session_bytes or 0) // MEGABYTE, now.coarse_only)
        self.look()

    def _limits_now(self) -> tuple[float, ...]:
        """How tight the policy is in each of its ways: larger numbers are tighter."""
        now = self._policy
        tightness = float("-inf") if now.max_session_bytes is None else -float(now.max_session_bytes)
        return (float(now.offline), tightness, float(now.coarse_only))


def network_use_text(policy: Policy) -> str:
    """How the network may be used, empty where freely: ``data saver: 38 of 200 MB``.

    >>> network_use_text(Policy(max_session_bytes=200_000_000)), network_use_text(Policy(offline=True))
    ('data saver: 0 of 200 MB', 'offline: only what was loaded before')
    """
    if policy.offline:
        return "offline: only what was loaded before"
    limits = [
        _share_text(policy.received_bytes, policy.max_session_bytes),
        "coarse only" if policy.coarse_only else "",
    ]
    return f"data saver: {joined(*limits)}" if policy.saves_data else ""


def _share_text(used_bytes: int, allowed_bytes: int | None) -> str:
    return f"{used_bytes / MEGABYTE:,.0f} of {allowed_bytes / MEGABYTE:,.4g} MB" if allowed_bytes is not None else ""
