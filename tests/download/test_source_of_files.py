"""A downloaded file says where it comes from when it is opened by itself, as its layer from the portal does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from napari_cryoet import open_portal
from napari_cryoet.download import ask_rows, download_files, plan_download, select
from napari_cryoet.download.manifest import MANIFEST_NAME
from napari_cryoet.formats.registry import read_picks, write_picks
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.loading import load_annotation

#: What is of the file on the portal, and not of a copy that a person may change.
OF_THE_PORTAL = {"kind", "source_url", "software", "annotation_file_id", "voxel_spacing_angstrom", "records"}


@pytest.fixture(scope="module")
def page(demo_pack: Path):
    portal = open_portal(demo_pack)
    return portal.run_page(next(run for run in portal.runs(portal.datasets()[-1].id) if run.tomogram_count).id)


@pytest.fixture
def folder(page, demo_pack: Path, tmp_path: Path) -> Path:
    portal = open_portal(demo_pack)
    rows = ask_rows(portal, run_ids=[page.run.id])
    download_files(plan_download(rows, select(rows, ["annotations"]), portal.source), tmp_path / "downloads")
    return tmp_path / "downloads"


def file_of(page, folder: Path, suffix: str):
    """A record, and where the download put its file."""
    for file in page.annotation_files:
        for path in folder.rglob(f"*{suffix}"):
            if Path(file.https_path).parts[-3:] == path.parts[-3:]:
                return file, path
    raise AssertionError(f"the demo has no {suffix}")


def source_of(about) -> dict:
    return {key: value for key, value in about.items() if key not in OF_THE_PORTAL and value not in (None, [])}


def test_picks_say_what_their_layer_from_the_portal_says(page, folder: Path) -> None:
    file, path = file_of(page, folder, ".ndjson")
    layer = load_annotation(file)[0]
    picks = read_picks(path)
    known = source_of(layer.options["metadata"][METADATA_KEY])
    assert {"authors", "licence", "object_name", "deposition_title", "annotation_method", "run_name"} <= known.keys()
    assert {key: picks.about.get(key) for key in known} == known
    assert picks.about["downloaded_from"] == file.https_path
    assert picks.about["source_url"] == str(path)
    assert picks.alignment_id == file.alignment_id
    assert not picks.edits


def test_masks_do_so_too(page, folder: Path) -> None:
    file, path = file_of(page, folder, ".zarr")
    known = source_of(load_annotation(file)[0].options["metadata"][METADATA_KEY])
    found = load_annotation(path)[0].options["metadata"][METADATA_KEY]
    assert known["authors"]
    assert {key: found.get(key) for key in known} == known


def test_exports_keep_it(page, folder: Path, tmp_path: Path) -> None:
    _, path = file_of(page, folder, ".ndjson")
    picks = read_picks(path)
    write_picks(picks, tmp_path / "picks.star", format="relion4")
    again = read_picks(tmp_path / "picks.star")
    assert again.about["authors"] == picks.about["authors"]
    assert again.about["downloaded_from"] == picks.about["downloaded_from"]
    assert again.alignment_id == picks.alignment_id


def test_what_was_changed_since_says_so(page, folder: Path) -> None:
    _, path = file_of(page, folder, ".ndjson")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    picks = read_picks(path)
    assert picks.edits == ("changed since its download",)
    assert picks.about["authors"]


def test_elsewhere_nothing_is_known(page, folder: Path, tmp_path: Path) -> None:
    _, path = file_of(page, folder, ".ndjson")
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    assert "authors" not in read_picks(copy, spacing_angstrom=10.0).about


@pytest.mark.parametrize("content", ["", "[]", '{"format": "of somebody else"}', "\udcff"])
def test_a_manifest_that_says_nothing_keeps_no_picks_from_opening(page, folder: Path, content: str) -> None:
    _, path = file_of(page, folder, ".ndjson")
    (folder / MANIFEST_NAME).write_bytes(content.encode(errors="surrogateescape"))
    picks = read_picks(path)
    assert len(picks)
    assert "authors" not in picks.about


@pytest.mark.parametrize("is_changed", [False, True])
def test_edits_that_a_manifest_says_are_unknown_are_none(page, folder: Path, is_changed: bool) -> None:
    _, path = file_of(page, folder, ".ndjson")
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    for item in manifest["items"]:
        item["source"] = (item.get("source") or {}) | {"edits": None}
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    if is_changed:
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))

    assert read_picks(path).edits == (("changed since its download",) if is_changed else ())
