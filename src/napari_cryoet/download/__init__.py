"""Downloads: plan files from rows of the portal's tables, and fetch them into a folder that is a pack."""

from __future__ import annotations

from napari_cryoet.download.plan import Plan, plan_basket
from napari_cryoet.download.region import download_region
from napari_cryoet.download.run import (
    Download,
    DownloadReport,
    check_place,
    download_basket,
    download_files,
    incomplete,
)
from napari_cryoet.tables.database import Rows

__all__ = [
    "Download",
    "DownloadReport",
    "Plan",
    "Rows",
    "check_place",
    "download_basket",
    "download_files",
    "download_region",
    "incomplete",
    "plan_basket",
]
