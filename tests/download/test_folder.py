"""Download folders as packs of the downloaded files only, and the provenance of their files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from download_samples import (
    FRAME,
    MASK,
    OTHER_RUN,
    PICKS,
    RUN,
    S3,
    TOMOGRAM,
    sample_files,
    sample_rows,
    write_files,
)
from napari_cryoet import open_portal
from napari_cryoet.basket.basket import Basket
from napari_cryoet.cli import main
from napari_cryoet.download import Plan, download_basket, download_files, download_region
from napari_cryoet.download.folder import read_manifest
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.formats.registry import read_picks, write_picks
from napari_cryoet.layers.load import load_annotation, load_tomogram
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.packs.pack import Pack, PackManifest, open_pack, write_pack
from napari_cryoet.portal.portal import Portal, ask_rows
from napari_cryoet.runs.runs import file_columns
from server import Server

PlanOf = Callable[..., Plan]


def ids(pack: Pack) -> dict[str, list[int]]:
    return {name: sorted(row["id"] for row in pack.tables[name]) for name in pack.tables}


def path_of(pack: Pack, url: str) -> Path:
    return pack.files / unquote(url.removeprefix(pack.manifest.https_prefix))


def test_a_partial_download_has_only_the_rows_and_urls_of_its_files(
    tmp_path: Path, plan_of: PlanOf
) -> None:
    download_files(plan_of("points"), tmp_path / "to")
    pack = open_pack(tmp_path / "to")

    assert ids(pack) == {
        **{
            "depositions": [8],
            "depositionAuthors": [1],
            "datasets": [10000],
            "datasetAuthors": [1],
            "runs": [1, 2],
        },
        **{"tomogramVoxelSpacings": [41], "alignments": [31]},
        **{
            "annotations": [21],
            "annotationAuthors": [1],
            "annotationShapes": [61],
            "annotationFiles": [51],
        },
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


def test_all_parts_of_a_tomogram_are_listed_and_the_best_opens_first(
    tmp_path: Path, demo_pack: Path
) -> None:
    portal = open_portal(demo_pack)
    whole = portal.run_page(9001).default_tomogram
    basket = Basket(source=portal.source.name, tomograms=(whole.id,))
    size_z, size_y, size_x = whole.shape_zyx
    boxes = ((0, 4), (0, 8), (0, 8)), ((2, size_z), (10, size_y), (10, size_x))

    def downloaded() -> list[tuple[int, int]]:
        return [(each.id, each.size_x) for each in open_portal(tmp_path).run_page(9001).tomograms]

    for box in boxes:
        download_region(portal, whole.id, box, tmp_path)
    assert downloaded() == [(whole.id, size_x - 10), (whole.id + 10_000_000, 8)]
    for level in (2, 1, 2):
        download_basket(basket.with_choices(level=level), portal, tmp_path)
    first, *regions = downloaded()
    assert first == (whole.id, -(-size_x // 2))
    assert [size for _, size in regions] == [size_x - 10, 8]
    download_basket(basket, portal, tmp_path)
    assert downloaded() == [(whole.id, size_x)]


def test_unusual_names_are_escaped_and_found(
    tmp_path: Path, bucket: Server, plan_of: PlanOf
) -> None:
    odd = bucket.folder / "10000" / "con" / "a:b?.ndjson"
    odd.parent.mkdir()
    odd.write_bytes(b"odd")

    def change(rows: Any) -> None:
        rows["annotationFiles"][0]["httpsPath"] = f"{bucket.url}/10000/con/a%3Ab%3F.ndjson"

    download_files(plan_of(change=change), tmp_path / "to")
    pack = open_pack(tmp_path / "to")
    path = path_of(pack, pack.tables["annotationFiles"][0]["httpsPath"])

    assert (
        path_of(pack, pack.tables["frames"][0]["httpsFramePath"]).read_bytes()
        == sample_files()[FRAME]
    )
    assert path.read_bytes() == b"odd"
    assert ":" not in path.name


def test_downloads_of_two_portals_need_two_folders(tmp_path: Path, plan_of: PlanOf) -> None:
    def change(rows: Any) -> None:
        for row in (*rows["datasets"], *rows["runs"]):
            row["s3Prefix"] = row["s3Prefix"].replace("bucket", "other")

    download_files(plan_of("tomogram"), tmp_path / "to")
    with pytest.raises(DownloadError, match="another folder"):
        download_files(plan_of("tomogram", change=change), tmp_path / "to")


def test_a_download_can_be_downloaded_again_with_its_terms(tmp_path: Path, demo_pack: Path) -> None:
    source = demo_pack
    for name in ("first", "second"):
        portal = open_portal(source)
        download_basket(
            Basket(source=portal.source.name).with_ids("runs", [9001]), portal, tmp_path / name
        )
        source = tmp_path / name
        assert open_pack(source).manifest.terms == open_pack(demo_pack).manifest.terms
    first, second = (
        {path.relative_to(each) for path in each.rglob("*")}
        for each in (tmp_path / "first", source)
    )

    assert first == second


def release(folder: Path, change: Callable[[Any], None] = lambda _rows: None) -> Portal:
    """The sample as a pack with all files."""
    prefix = "https://files.example.org/"
    rows = sample_rows(prefix)
    change(rows)
    write_files(folder / "files")
    return open_portal(
        write_pack(
            folder, PackManifest(title="Sample", https_prefix=prefix, s3_prefix=S3), rows
        ).folder
    )


def download_runs(portal: Portal, to: Path, *run_ids: int) -> None:
    download_basket(Basket(source=portal.source.name).with_ids("runs", run_ids), portal, to)


def test_a_whole_run_has_rows_without_files_and_pictures_of_contributors(tmp_path: Path) -> None:
    def change(rows: Any) -> None:
        lost = {"id": 82, "httpsFramePath": None, "s3FramePath": None}
        rows["frames"].append(rows["frames"][0] | lost)
        photo = {"id": 9, "keyPhotoUrl": "https://files.example.org/10000/Images/snapshot.png"}
        rows["depositions"].append(rows["depositions"][0] | photo)
        rows["annotations"][0]["depositionId"] = 9

    portal = release(tmp_path / "pack", change)
    download_runs(portal, tmp_path / "to", RUN, OTHER_RUN)
    pack = open_pack(tmp_path / "to")
    assert ids(pack)["frames"] == [81, 82]
    contributed = next(row for row in pack.tables["depositions"] if row["id"] == 9)
    assert path_of(pack, contributed["keyPhotoUrl"]).is_file()

    tomograms = Basket(source=portal.source.name).with_ids("tomograms", [11])
    download_basket(tomograms, portal, tmp_path / "part")
    assert "frames" not in ids(open_pack(tmp_path / "part"))


def test_a_file_that_failed_and_was_withdrawn_leaves_the_download_complete(tmp_path: Path) -> None:
    def change(rows: Any) -> None:
        del rows["annotationFiles"][-1]  # the mask as MRC

    first = release(tmp_path / "pack")
    (tmp_path / "pack" / "files" / f"{MASK}_mask.mrc").unlink()
    with pytest.raises(DownloadError):
        download_runs(first, tmp_path / "to", RUN)
    with pytest.raises(DownloadError):
        download_runs(first, tmp_path / "to", RUN)
    assert not read_manifest(tmp_path / "to").is_complete

    second = release(tmp_path / "pack", change)
    download_runs(second, tmp_path / "to", OTHER_RUN)
    assert not read_manifest(tmp_path / "to").is_complete, "this run wasn't looked up"
    download_runs(second, tmp_path / "to", RUN)
    manifest = read_manifest(tmp_path / "to")
    assert manifest.is_complete
    assert [item["path"] for item in manifest.items if item.get("is_withdrawn")] == [
        f"files/{MASK}_mask.mrc"
    ]


def test_a_file_whose_record_changed_is_fetched_again(tmp_path: Path) -> None:
    def change(rows: Any) -> None:
        rows["annotations"][0]["lastModifiedDate"] = "2031-01-01"

    to, points = tmp_path / "to", f"{PICKS}_point.ndjson"
    download_runs(release(tmp_path / "pack"), to, RUN)
    second = release(tmp_path / "pack", change)
    (tmp_path / "pack" / "files" / points).write_bytes(b"other")
    basket = Basket(source=second.source.name).with_ids("runs", [RUN])
    report = download_basket(basket, second, to)
    assert report.n_fetched == 2, "the points and their description"
    assert (to / "files" / points).read_bytes() == b"other"
    assert download_basket(basket, second, to).n_fetched == 0


@pytest.mark.skipif(
    sys.platform == "win32", reason="the demo is served by a process that is told to end"
)
def test_a_dataset_of_the_served_demo_is_downloaded_completely(
    tmp_path: Path, demo_pack: Path, served_demo: dict[str, str]
) -> None:
    """All files in its tables are identical, and the folder shows the same runs."""
    source, demo = open_portal(served_demo["graphql"]), open_pack(demo_pack)
    dataset_id = source.datasets()[0].id
    assert (
        main(
            [
                "download",
                served_demo["graphql"],
                "--dataset",
                str(dataset_id),
                "--to",
                str(tmp_path),
            ]
        )
        == 0
    )
    copy, rows = open_portal(tmp_path), ask_rows(open_portal(demo_pack), dataset_id=dataset_id)

    listed = {
        row[column]
        for name, columns in file_columns().items()
        for row in rows[name]
        for column in columns
    }
    for url in listed - {None}:
        original = Path(unquote(url.removeprefix("file://")))
        target = tmp_path / "files" / original.relative_to(demo.files)
        for path in (each for each in (original, *original.rglob("*")) if each.is_file()):
            assert (target / path.relative_to(original)).read_bytes() == path.read_bytes()
    assert ids(open_pack(tmp_path)) == {
        name: sorted(row["id"] for row in found) for name, found in rows.items() if found
    }
    for run in source.runs(dataset_id):
        theirs, ours = source.run_page(run.id), copy.run_page(run.id)
        assert [each.id for each in ours.annotation_files] == [
            each.id for each in theirs.annotation_files
        ]
        assert [each.authors for each in ours.tomograms] == [
            each.authors for each in theirs.tomograms
        ]
    assert [row.id for row in copy.datasets()] == [dataset_id]


# single files


@pytest.fixture
def downloaded(demo_pack: Path, tmp_path: Path) -> Callable[[str], tuple[Any, Path]]:
    """Find a demo run's annotation file with a suffix: its record, and its downloaded file."""
    portal = open_portal(demo_pack)
    ids = [each.id for each in portal.run_page(9001).annotations]
    download_basket(
        Basket(source=portal.source.name).with_ids("annotations", ids).with_choices(shapes="all"),
        portal,
        tmp_path,
    )

    def find(suffix: str) -> tuple[Any, Path]:
        file = next(
            each
            for each in portal.run_page(9001).annotation_files
            if each.https_path.endswith(suffix)
        )
        return file, tmp_path / "files" / Path(unquote(file.https_path)).relative_to(
            demo_pack.as_uri() + "/files"
        )

    return find


@pytest.mark.parametrize("suffix", [".ndjson", ".zarr"])
def test_downloaded_annotations_have_the_portals_metadata(downloaded: Any, suffix: str) -> None:
    file, path = downloaded(suffix)
    theirs, ours = (
        load_annotation(each)[0].options["metadata"][METADATA_KEY].to_dict()
        for each in (file, path)
    )
    ours = read_picks(path).about.to_dict() if suffix == ".ndjson" else ours
    portal_only = {
        "kind",
        "source_url",
        "software",
        "annotation_file_id",
        "voxel_spacing_angstrom",
        "records",
    }
    known = {
        key for key, value in theirs.items() if key not in portal_only and value not in (None, [])
    }

    assert {
        "authors",
        "licence",
        "object_name",
        "deposition_title",
        "annotation_method",
        "run_name",
    } <= known
    assert {key: ours.get(key) for key in known} == {key: theirs[key] for key in known}
    assert ours["downloaded_from"] == file.https_path


@pytest.mark.parametrize("volume_format", ["zarr", "mrc"])
def test_downloaded_tomograms_have_name_and_metadata(
    demo_pack: Path, tmp_path: Path, volume_format: Any
) -> None:
    portal = open_portal(demo_pack)
    tomogram = portal.run_page(9001).default_tomogram
    basket = Basket(source=portal.source.name, tomograms=(tomogram.id,))
    basket = basket.with_choices(volume_format=volume_format)
    download_basket(basket, portal, tmp_path)
    path = next(iter((tmp_path / "files").rglob(f"Tomograms/*/*.{volume_format}")))
    ours = load_tomogram(path)
    theirs = load_tomogram(tomogram)

    assert ours.name == theirs.name
    for key in ("authors", "dataset_title", "licence", "run_name", "alignment_id"):
        assert (
            ours.options["metadata"][METADATA_KEY].to_dict()[key]
            == theirs.options["metadata"][METADATA_KEY].to_dict()[key]
        )


def test_exports_keep_metadata_and_record_changes(downloaded: Any, tmp_path: Path) -> None:
    file, path = downloaded(".ndjson")
    picks = read_picks(path)
    write_picks(picks, tmp_path / "picks.star", format="relion4")
    again = read_picks(tmp_path / "picks.star")
    assert picks.alignment_id == again.alignment_id == file.alignment_id
    assert again.about.downloaded_from == file.https_path
    assert again.about.authors
    assert not picks.edits

    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    changed = read_picks(path)
    assert changed.edits == ("changed since its download",)
    assert changed.about.authors
