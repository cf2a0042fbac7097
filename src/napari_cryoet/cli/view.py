"""``napari-cryoet open`` and ``napari-cryoet demo``: hand over to napari, on a display that is there or made."""

from __future__ import annotations

import argparse

from napari_cryoet.cli.console import ProgressLine, stop_on_interrupt
from napari_cryoet.cli.display import QT_HINT, has_display, run_on_virtual_display
from napari_cryoet.cli.sources import make_demo
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.network.policy import MEGABYTE, policy


def demo(options: argparse.Namespace) -> int:
    """Open the demo's default run with its annotations."""
    from napari_cryoet.demo.content import RUNS

    with stop_on_interrupt() as stop, ProgressLine() as line:
        make_demo(line, stop)
    options.run = RUNS[0].id
    return open_source(options)


def open_source(options: argparse.Namespace) -> int:
    """Open a source, a deposition, a dataset or a run, and draw a picture of the window if one is asked for."""
    if not has_display():
        if options.screenshot is None:
            raise CryoETError(
                "There is no display to open a window on.", hint="--screenshot FILE draws a picture of it instead."
            )
        return run_on_virtual_display(options.arguments, size_px=options.size or (1280, 800))
    try:
        from napari_cryoet._qt.launch import Order, launch
    except ImportError as error:
        raise words_for_import(error) from error
    limit_network(options)
    order = Order(
        source=options.source,
        deposition_id=options.deposition,
        dataset_id=options.dataset,
        run_id=options.run,
        annotations=options.annotations,
        with_unaligned=options.unaligned,
        screenshot=options.screenshot,
        size_px=options.size,
        timeout_s=options.timeout,
    )
    with stop_on_interrupt() as stop:
        return launch(order, stop=stop, qt_hint=QT_HINT)


def limit_network(options: argparse.Namespace) -> None:
    """Let this process use the network as far as the command line says; nothing of it is remembered."""
    ours = policy()
    ours.offline = ours.offline or options.offline
    if options.max_mb is not None:
        ours.max_session_bytes = options.max_mb * MEGABYTE


def words_for_import(error: ImportError) -> CryoETError:
    """Tell a missing napari or Qt from one that can't be loaded, and both from a damaged installation of ours."""
    reason = str(error)
    if (error.name or "").startswith("napari_cryoet"):
        return CryoETError(f"napari-cryoet isn't installed as a whole: {reason}.", hint="Install it again.")
    if ".so" in reason or "DLL" in reason or "dlopen" in reason:
        return CryoETError(f"Qt can't be loaded: {reason}.", hint=QT_HINT)
    return CryoETError(
        f"napari and Qt are needed to open a window ({reason}).",
        hint='Install them: python -m pip install "napari-cryoet[all]"',
    )
