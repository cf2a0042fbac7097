"""Downloads: rows of the portal's tables become a plan, and a plan becomes a folder that is a pack."""

from __future__ import annotations

from napari_cryoet.download.manifest import read_manifest
from napari_cryoet.download.plan import Plan, plan_download, select, select_ticked
from napari_cryoet.download.rows import Rows, ask_rows
from napari_cryoet.download.run import DownloadReport, Existing, Progress, download_files, look, with_sizes

__all__ = [
    "DownloadReport",
    "Existing",
    "Plan",
    "Progress",
    "Rows",
    "ask_rows",
    "download_files",
    "look",
    "plan_download",
    "read_manifest",
    "select",
    "select_ticked",
    "with_sizes",
]
