"""Download a run's tomogram and annotations. Run it again to complete it."""

import sys

from napari_cryoet import open_portal
from napari_cryoet.download import download_files, plan_download, select

folder = sys.argv[1] if len(sys.argv) > 1 else "runs"
page = open_portal("demo").run_page(9001)
plan = plan_download(page, select(page, ["tomogram", "annotations"], volume_format="zarr"))
print(f"{len(plan.items)} items, {plan.total_bytes / 1e6:.1f} MB")

report = download_files(plan, folder, progress=lambda now: print(f"{now.done_bytes / 1e6:.1f} MB", end="\r"))
print(f"{report.n_fetched} files fetched, {report.n_skipped} complete already; see {report.manifest}")
