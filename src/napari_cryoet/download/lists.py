"""Scripts that fetch the same files with the AWS command line, curl and the portal's official client.

Run in the folder of the download, they write the files to the paths in the manifest.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from napari_cryoet.download.plan import Plan, PlannedItem
from napari_cryoet.download.transfer import WORKERS
from napari_cryoet.download.zarr_keys import find_files
from napari_cryoet.files import replace_file
from napari_cryoet.locations import Location
from napari_cryoet.network import client
from napari_cryoet.runs.runs import file_columns
from napari_cryoet.tables.database import by_id

FOLDER: Final = "other-tools"

#: The official client's class and method to download each cell.
_METHODS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("tomograms", "httpsOmezarrDir"): ("Tomogram", "download_omezarr"),
    ("tomograms", "httpsMrcFile"): ("Tomogram", "download_mrcfile"),
    ("tiltseries", "httpsOmezarrDir"): ("TiltSeries", "download_omezarr"),
    ("tiltseries", "httpsMrcFile"): ("TiltSeries", "download_mrcfile"),
    ("tiltseries", "httpsAngleList"): ("TiltSeries", "download_angle_list"),
    ("annotationFiles", "httpsPath"): ("AnnotationFile", "download"),
    ("annotations", "httpsMetadataPath"): ("Annotation", "download_metadata"),
}
_CLIENT_SCRIPT: Final = '''\
"""Fetch the files of a download with the portal's official client: pip install cryoet-data-portal."""

from urllib.request import urlretrieve

import cryoet_data_portal as cdp
from pathlib import Path

PORTAL = {portal!r}  # None for the live portal
# class, id, download method and target folder of each file
FILES = [
{files}]
# URLs and target paths of files without a download method
OTHERS = [
{others}]

client = cdp.Client(PORTAL) if PORTAL else cdp.Client()
for model, record_id, method, folder in FILES:
    Path(folder).mkdir(parents=True, exist_ok=True)
    getattr(getattr(cdp, model).get_by_id(client, record_id), method)(folder)
for url, path in OTHERS:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    urlretrieve(url, path)
'''


def write_lists(plan: Plan, folder: Path, keys: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write the scripts of a download into a folder, unless its files are local or ``plan.is_rest``.

    ``keys`` are the keys of each OME-Zarr by path; by default, its metadata are read. Other tools
    fetch all levels of a tomogram, even if the plan has only coarse ones. Files that aren't on S3
    are comments in the AWS script.
    """
    from yarl import URL  # docks import this module

    if plan.is_local or plan.is_rest:
        return
    keys = client.run(_keys(plan.items)) if keys is None else keys
    aws = ["#!/bin/sh", f"# Run in the folder of the download: sh {FOLDER}/aws.sh", "set -e"]
    curl = [
        f"# Run in the folder of the download: curl -K {FOLDER}/curl.txt",
        "create-dirs",
        "fail",
        "globoff",
    ]
    curl += ["parallel", f"parallel-max = {WORKERS}"]
    files, others = [], []
    rows = by_id(plan.rows)
    for item in plan.items:
        path = (
            item.path.replace(f".from-level-{item.first_level}.zarr", ".zarr")
            if item.first_level
            else item.path
        )
        url = str(
            URL(item.url, encoded=item.url.isascii() and " " not in item.url)
        )  # may be percent-encoded already
        if s3 := rows[item.table][item.row_id].get(
            file_columns()[item.table][item.column].s3 or ""
        ):
            command = "sync" if item.is_zarr else "cp"
            paths = shlex.join([s3.rstrip("/"), path])
            aws.append(f"aws s3 {command} --no-sign-request --only-show-errors {paths}")
        else:
            aws.append(f"# not on S3: {url}")
        for key in keys.get(item.path, ()) if item.is_zarr else [""]:
            below = f"/{key}" if key else ""
            curl += [
                "",
                f"url = {_quoted(url.rstrip('/') + quote(below))}",
                f"output = {_quoted(path + below)}",
            ]
        method, (parent, _, name) = _METHODS.get((item.table, item.column)), path.rpartition("/")
        if method and unquote(item.url.rstrip("/").rpartition("/")[2]) == name:
            files.append(f"    {(method[0], item.row_id, method[1], parent)!r},\n")
        else:
            others.append(f"    {(url, path)!r},\n")
    portal = plan.source if Location.of(plan.source).is_remote else None
    script = _CLIENT_SCRIPT.format(portal=portal, files="".join(files), others="".join(others))
    texts = {
        "aws.sh": "\n".join([*aws, ""]),
        "curl.txt": "\n".join([*curl, ""]),
        "official_client.py": script,
    }
    for name, text in texts.items():
        replace_file(folder / FOLDER / name, text.encode())


async def _keys(items: Iterable[PlannedItem]) -> dict[str, list[str]]:
    """The keys of the files of OME-Zarrs, by path; none for missing ones."""
    zarrs, slots = [item for item in items if item.is_zarr], asyncio.Semaphore(WORKERS)

    async def keys(item: PlannedItem) -> list[str]:
        files = await find_files(item.url, slots)
        return [*files.chunks, *files.documents] if files else []

    keys_of_zarrs = await asyncio.gather(*map(keys, zarrs))
    return {item.path: each for item, each in zip(zarrs, keys_of_zarrs, strict=True)}


def _quoted(text: str) -> str:
    """Quote a text for curl's configuration file."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
