"""``napari-cryoet download``: files of a run into a folder."""

from __future__ import annotations

import argparse
import threading
from contextlib import closing

from napari_cryoet.cli.console import ProgressLine, say, stop_on_interrupt
from napari_cryoet.cli.sources import open_source
from napari_cryoet.download import (
    DownloadReport,
    Existing,
    Plan,
    Progress,
    download_files,
    plan_download,
    select,
    survey_download,
)
from napari_cryoet.wording import count_text, size_text


def download(options: argparse.Namespace) -> int:
    """Download what was asked for, or say what would be."""
    with stop_on_interrupt() as stop, ProgressLine() as line:
        with closing(open_source(options.source, line, stop)) as portal:
            page = portal.run_page(options.run, stop=stop)
        selection = select(page, options.what, volume_format=options.format, annotations=options.annotations)
        plan = plan_download(page, selection)
        existing = Existing.OVERWRITE if options.overwrite else Existing.REFUSE
        if options.dry_run:
            line.close()
            return _tell_plan(plan, options, existing, stop)
        line.show(_headline(plan))
        report = download_files(
            plan,
            options.to,
            existing=existing,
            progress=lambda progress: line.show(_progress_text(progress)),
            stop=stop,
        )
    _tell_report(report)
    return 0


def _tell_plan(plan: Plan, options: argparse.Namespace, existing: Existing, stop: threading.Event) -> int:
    plan, survey = survey_download(plan, options.to, existing=existing, stop=stop)
    for item in plan.items:
        n_files = f"  ({count_text(len(item.files), 'file')})" if item.is_zarr else ""
        size = size_text(item.size_bytes) or "?"
        say(f"{size:>9}  {item.path}{n_files}{f'  PROBLEM: {item.problem}' if item.problem else ''}")
    say(_headline(plan))
    if survey.complete:
        say(f"{count_text(len(survey.complete), 'file')} of them are complete already.")
    for path in survey.conflicts:
        say(f"in the way: {path}")
    return 1 if any(item.problem for item in plan.items) else 0


def _headline(plan: Plan) -> str:
    known = [size_text(plan.total_bytes)] if plan.total_bytes or not plan.n_unknown_sizes else []
    unknown = [f"{count_text(plan.n_unknown_sizes, 'file')} of unknown size"] if plan.n_unknown_sizes else []
    return f"{count_text(len(plan.items), 'item')} of run {plan.run.name}, {' and '.join(known + unknown)}"


def _progress_text(progress: Progress) -> str:
    done, total = size_text(progress.done_bytes), size_text(progress.total_bytes)
    speed = f" · {size_text(progress.bytes_per_s)}/s" if progress.bytes_per_s > 0 else ""
    return f"{done} of {total} · {progress.done_files} of {count_text(progress.total_files, 'file')}{speed}"


def _tell_report(report: DownloadReport) -> None:
    skipped = f"; {count_text(report.n_skipped, 'file')} complete already" if report.n_skipped else ""
    say(f"{count_text(report.n_fetched, 'file')}, {size_text(report.fetched_bytes)}, in {report.folder}{skipped}")
    if report.missing_chunks:
        say(f"{count_text(len(report.missing_chunks), 'chunk')} not stored on the server: they hold the fill value")
    for warning in report.warnings:
        say(f"note: {warning}")
