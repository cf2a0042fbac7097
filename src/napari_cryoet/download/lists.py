"""The same download for other tools: scripts for the AWS command line, curl and the portal's official client.

They are run in the folder of the download, and put the files where the manifest has them.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from yarl import URL

from napari_cryoet.download.plan import Plan, PlannedItem
from napari_cryoet.download.rows import by_id, file_columns
from napari_cryoet.download.transfer import WORKERS
from napari_cryoet.download.zarr_keys import find_files
from napari_cryoet.files import replace_file
from napari_cryoet.network import client

FOLDER: Final = "other-tools"

#: What the official client calls a cell: its model, and its method.
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
"""Fetches the files of a download with the portal's official client: pip install cryoet-data-portal."""

from urllib.request import urlretrieve

import cryoet_data_portal as cdp
from pathlib import Path

PORTAL = {portal!r}  # None for the live one
# of each file: what the portal calls it, its id, how the client fetches it, and the folder that it goes to
FILES = [
{files}]
# files that the client has no method for, and where they go
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
    """Write the scripts of a download into a folder; for files of this computer, and for the rest of a plan, none.

    ``keys`` are those of each OME-Zarr by its path; without them, the metadata are read. Of a tomogram of which coarse
    levels are wanted, other tools fetch all levels. Files that have no place on S3 are comments in the script for AWS.
    """
    if plan.is_local or plan.is_rest:
        return
    keys = client.run(_keys(plan.items)) if keys is None else keys
    aws = ["#!/bin/sh", f"# Run in the folder of the download: sh {FOLDER}/aws.sh", "set -e"]
    curl = [f"# Run in the folder of the download: curl -K {FOLDER}/curl.txt", "create-dirs", "fail", "globoff"]
    curl += ["parallel", f"parallel-max = {WORKERS}"]
    files, others = [], []
    rows = by_id(plan.rows)
    for item in plan.items:
        path = item.path.replace(f".from-level-{item.first_level}.zarr", ".zarr") if item.first_level else item.path
        url = str(URL(item.url, encoded=item.url.isascii() and " " not in item.url))  # stored with or without percents
        if s3 := rows[item.table][item.row_id].get(file_columns()[item.table][item.column].s3 or ""):
            command = "sync" if item.is_zarr else "cp"
            places = shlex.join([s3.rstrip("/"), path])
            aws.append(f"aws s3 {command} --no-sign-request --only-show-errors {places}")
        else:
            aws.append(f"# not on S3: {url}")
        for key in keys.get(item.path, ()) if item.is_zarr else [""]:
            below = f"/{key}" if key else ""
            curl += ["", f"url = {_quoted(url.rstrip('/') + quote(below))}", f"output = {_quoted(path + below)}"]
        method, (parent, _, name) = _METHODS.get((item.table, item.column)), path.rpartition("/")
        if method and unquote(item.url.rstrip("/").rpartition("/")[2]) == name:
            files.append(f"    {(method[0], item.row_id, method[1], parent)!r},\n")
        else:
            others.append(f"    {(url, path)!r},\n")
    portal = plan.source if "://" in plan.source else None
    script = _CLIENT_SCRIPT.format(portal=portal, files="".join(files), others="".join(others))
    texts = {"aws.sh": "\n".join([*aws, ""]), "curl.txt": "\n".join([*curl, ""]), "official_client.py": script}
    for name, text in texts.items():
        replace_file(folder / FOLDER / name, text.encode())


async def _keys(items: Iterable[PlannedItem]) -> dict[str, list[str]]:
    """The keys of the files of OME-Zarrs, by path; none for one that isn't there."""
    zarrs, slots = [item for item in items if item.is_zarr], asyncio.Semaphore(WORKERS)

    async def keys(item: PlannedItem) -> list[str]:
        found = await find_files(item.url, slots)
        return [*found.chunks, *found.documents] if found else []

    found = await asyncio.gather(*map(keys, zarrs))
    return {item.path: each for item, each in zip(zarrs, found, strict=True)}


def _quoted(text: str) -> str:
    """A text in curl's configuration."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
