"""A download folder is a pack: it opens offline as a portal with what was downloaded, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from download_samples import FRAME, PICKS, TOMOGRAM, sample_files, sample_rows
from napari_cryoet import open_portal
from napari_cryoet.cli import main
from napari_cryoet.download import Plan, ask_rows, download_files, plan_download, select
from napari_cryoet.download.rows import file_columns
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.packs.pack import Pack, open_pack
from server import Server, status

PlanOf = Callable[..., Plan]


def addresses(pack: Pack) -> list[str]:
    """Everything that the tables of a pack say is a file."""
    return [
        row[column.https]
        for name, columns in file_columns().items()
        for row in pack.tables[name]
        for column in columns
        if row.get(column.https)
    ]


def ids(pack: Pack) -> dict[str, list[int]]:
    return {name: [row["id"] for row in pack.tables[name]] for name in pack.tables}


def path_of(pack: Pack, address: str) -> Path:
    return pack.files / unquote(address.removeprefix(pack.manifest.https_prefix))


def test_everything_gives_the_tables_of_the_portal(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    download_files(plan_of(), tmp_path / "to")
    pack, rows = open_pack(tmp_path / "to"), sample_rows(f"{bucket.url}/")

    assert ids(pack) == {name: [row["id"] for row in found] for name, found in rows.items()}
    assert all(path_of(pack, address).exists() for address in addresses(pack))
    assert list(pack.tables["tomograms"]) == rows["tomograms"]


def test_a_part_gives_the_rows_that_it_needs_without_addresses_of_other_files(tmp_path: Path, plan_of: PlanOf) -> None:
    download_files(plan_of("annotations", annotations="default"), tmp_path / "to")
    pack = open_pack(tmp_path / "to")

    assert ids(pack) == {
        **{"depositions": [8], "depositionAuthors": [1], "datasets": [10000], "datasetAuthors": [1], "runs": [1, 2]},
        **{"tomogramVoxelSpacings": [41], "alignments": [31]},
        **{"annotations": [21], "annotationAuthors": [1], "annotationShapes": [61], "annotationFiles": [51]},
    }
    assert pack.tables["alignments"][0]["httpsAlignmentMetadata"] is None
    assert open_portal(tmp_path / "to").run_page(1).tomograms == ()


def test_a_second_download_adds_to_the_first(tmp_path: Path, plan_of: PlanOf) -> None:
    to = tmp_path / "to"
    download_files(plan_of("tomogram", volume_format="mrc"), to)
    download_files(plan_of("tomogram"), to)
    download_files(plan_of("annotations"), to)
    (tomogram,) = open_portal(to).run_page(1).tomograms

    assert tomogram.https_mrc_file == (to / f"files/{TOMOGRAM}.mrc").as_uri()
    assert tomogram.https_omezarr_dir == (to / f"files/{TOMOGRAM}.zarr").as_uri()
    assert [file.id for file in open_portal(to).run_page(1).annotation_files] == [51, 52]


def test_what_failed_is_no_part_of_it(tmp_path: Path, bucket: Server, plan_of: PlanOf) -> None:
    bucket.script("TS_1.zarr/0/0/0/0", status(403))
    with pytest.raises(DownloadError):
        download_files(plan_of("tomogram", "annotations"), tmp_path / "to")
    page = open_portal(tmp_path / "to").run_page(1)

    assert page.tomograms == ()
    assert len(page.annotation_files) == 2


def test_odd_names_are_found_again(tmp_path: Path, plan_of: PlanOf) -> None:
    def change(rows: Any) -> None:
        rows["annotationFiles"][0]["s3Path"] = "s3://bucket/10000/con/a:b?.ndjson"

    download_files(plan_of(change=change), tmp_path / "to")
    pack = open_pack(tmp_path / "to")
    (frame,) = pack.tables["frames"]
    path = path_of(pack, pack.tables["annotationFiles"][0]["httpsPath"])

    assert path_of(pack, frame["httpsFramePath"]).read_bytes() == sample_files()[FRAME]
    assert path.read_bytes() == sample_files()[f"{PICKS}_point.ndjson"]
    assert ":" not in path.name


def test_downloads_of_another_portal_go_to_another_folder(tmp_path: Path, plan_of: PlanOf) -> None:
    def change(rows: Any) -> None:
        for row in (*rows["datasets"], *rows["runs"]):
            row["s3Prefix"] = row["s3Prefix"].replace("bucket", "other")

    download_files(plan_of("tomogram"), tmp_path / "to")
    with pytest.raises(DownloadError, match="another folder"):
        download_files(plan_of("tomogram", change=change), tmp_path / "to")


def test_a_download_can_be_downloaded_and_stays_under_its_terms(tmp_path: Path, demo_pack: Path) -> None:
    portal, terms = open_portal(demo_pack), []
    for name in ("first", "second"):
        rows = ask_rows(portal, run_ids=[9001])
        download_files(plan_download(rows, select(rows), portal.source), tmp_path / name)
        portal = open_portal(tmp_path / name)
        terms.append(open_pack(tmp_path / name).manifest.terms)
    files = [
        {path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")} for name in ("first", "second")
    ]

    assert files[0] == files[1]
    assert terms == [open_pack(demo_pack).manifest.terms] * 2


@pytest.mark.skipif(sys.platform == "win32", reason="the demo is served by a process that is told to end")
def test_a_dataset_of_the_served_demo_downloads_whole(
    tmp_path: Path, demo_pack: Path, served_demo: dict[str, str]
) -> None:
    """Every file that the tables list of it comes byte for byte, and the folder shows the same runs."""
    source, demo = open_portal(served_demo["graphql"]), open_pack(demo_pack)
    dataset_id = source.datasets()[0].id
    assert main(["download", served_demo["graphql"], "--dataset", str(dataset_id), "--to", str(tmp_path)]) == 0
    pack, copy = open_pack(tmp_path), open_portal(tmp_path)

    rows = ask_rows(open_portal(demo_pack), dataset_id=dataset_id)
    listed = {row[column.https] for name, columns in file_columns().items() for row in rows[name] for column in columns}
    for address in listed - {None}:
        original = Path(unquote(address.removeprefix("file://")))
        place = tmp_path / "files" / original.relative_to(demo.files)
        for path in (each for each in (original, *original.rglob("*")) if each.is_file()):
            assert (place / path.relative_to(original)).read_bytes() == path.read_bytes()
    assert {name: sorted(found) for name, found in ids(pack).items()} == {
        name: sorted(row["id"] for row in found) for name, found in rows.items() if found
    }
    for run in source.runs(dataset_id):
        theirs, ours = source.run_page(run.id), copy.run_page(run.id)
        assert [each.id for each in ours.annotation_files] == [each.id for each in theirs.annotation_files]
        assert [each.authors for each in ours.tomograms] == [each.authors for each in theirs.tomograms]
    assert [row.id for row in copy.datasets()] == [dataset_id]
