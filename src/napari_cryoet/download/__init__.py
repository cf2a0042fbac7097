"""Downloads: what a run offers becomes a plan, a plan becomes files in the portal's layout and a manifest."""

from __future__ import annotations

from napari_cryoet.download.downloader import DownloadReport, download_files, survey_download
from napari_cryoet.download.manifest import Manifest, read_manifest
from napari_cryoet.download.plan import MANIFEST_NAME, Plan, PlannedFile, PlannedItem, plan_download
from napari_cryoet.download.progress import Progress
from napari_cryoet.download.selection import Selection, TomogramChoice, select
from napari_cryoet.download.survey import Existing, Survey

__all__ = [
    "MANIFEST_NAME",
    "DownloadReport",
    "Existing",
    "Manifest",
    "Plan",
    "PlannedFile",
    "PlannedItem",
    "Progress",
    "Selection",
    "Survey",
    "TomogramChoice",
    "download_files",
    "plan_download",
    "read_manifest",
    "select",
    "survey_download",
]
