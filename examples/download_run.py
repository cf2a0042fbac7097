"""Download a run's tomogram and annotations into a folder that opens like a portal; run it again to complete it."""

from __future__ import annotations

import sys

from napari_cryoet import open_portal
from napari_cryoet.download import ask_rows, download_files, plan_download

source = sys.argv[1] if len(sys.argv) > 1 else "demo"  # or "live", a pack's folder
folder = sys.argv[2] if len(sys.argv) > 2 else "runs"


def show(done_bytes: int, total_bytes: int) -> None:
    """Print how far it is."""
    print(f"\r{done_bytes / 1e6:.1f} of {total_bytes / 1e6:.1f} MB", end="", flush=True)


portal = open_portal(source)
dataset = portal.datasets()[-1]
run = next(run for run in portal.runs(dataset.id) if run.tomogram_count)

rows = ask_rows(portal, run_ids=[run.id])  # or dataset_id=dataset.id, and what=["everything"]
plan = plan_download(rows, portal.source, what=["tomogram", "annotations", "metadata"], annotations="default")
print(f"{len(plan.items)} items of {run.name}, {plan.total_bytes / 1e6:.1f} MB")

report = download_files(plan, folder, progress=show)
print(f"\n{report.n_fetched} files fetched, {report.n_skipped} complete already; see {report.folder}")
print("downloaded runs:", *(run.name for run in open_portal(folder).runs(dataset.id)))
