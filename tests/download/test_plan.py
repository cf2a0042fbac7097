"""A plan says what goes where, and how big it is, before anything is fetched."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from download_samples import FRAME, PICKS, TOMOGRAM, sample_files, sample_rows
from napari_cryoet import open_portal
from napari_cryoet.download import Plan, ask_rows, plan_download, select, select_ticked
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.records import PORTAL_TERMS, Terms
from napari_cryoet.run.outline import outline_run

PREFIX = "https://files.example.org/"


def plan_of(*what: str, rows: Any = None, **options: Any) -> Plan:
    rows = rows or sample_rows(PREFIX)
    return plan_download(rows, select(rows, what or ("tomogram", "annotations"), **options))


def names_in(plan: Plan) -> set[str]:
    return {PurePosixPath(item.path).name for item in plan.items}


def test_everything_is_every_file_that_the_tables_list() -> None:
    expected = {f"files/{key.partition('.zarr/')[0]}" for key in sample_files()}
    plan = plan_of("everything")

    assert {item.path.removesuffix(".zarr") for item in plan.items} == expected
    assert all(item.url.startswith(PREFIX) for item in plan.items)


def test_sizes_are_those_that_the_portal_lists_and_the_unknown_are_counted() -> None:
    plan = plan_of("everything")
    sizes = {item.path.removeprefix("files/"): item.size_bytes for item in plan.items}

    assert (sizes[f"{TOMOGRAM}.mrc"], sizes[FRAME], sizes[f"{PICKS}.json"]) == (2**21, 100, None)
    assert sizes[f"{TOMOGRAM}.zarr"] == sum(
        len(n) for key, n in sample_files().items() if key.startswith(TOMOGRAM + ".z")
    )
    assert plan.total_bytes == sum(size for size in sizes.values() if size is not None)
    assert plan.n_unknown_sizes == 9


@pytest.mark.parametrize(
    ("what", "options", "names"),
    [
        ((), {}, {"TS_1.zarr", "ribosome-1.0_point.ndjson", "membrane-1.0_mask.zarr"}),
        ((), {"volume_format": "mrc"}, {"TS_1.mrc", "ribosome-1.0_point.ndjson", "membrane-1.0_mask.mrc"}),
        (("tomogram",), {}, {"TS_1.zarr"}),
        (("annotations",), {"annotations": "default"}, {"ribosome-1.0_point.ndjson"}),
        (("annotations",), {"annotations": [22]}, {"membrane-1.0_mask.zarr"}),
        (("tomogram", "annotations"), {"annotations": "none"}, {"TS_1.zarr"}),
        (
            ("metadata",),
            {},
            {"ribosome-1.0.json", "membrane-1.0.json", "tomogram_metadata.json", "alignment_metadata.json"},
        ),
        (("metadata",), {"annotations": "none"}, {"tomogram_metadata.json", "alignment_metadata.json"}),
    ],
)
def test_a_part_can_be_selected_in_one_format_a_volume(what: Any, options: Any, names: set[str]) -> None:
    assert names_in(plan_of(*what, **options)) == names


def test_a_volume_that_lacks_the_wanted_format_comes_in_the_other() -> None:
    rows = sample_rows(PREFIX)
    rows["tomograms"][0]["httpsOmezarrDir"] = None
    rows["annotationFiles"] = [row for row in rows["annotationFiles"] if row["format"] != "zarr"]

    assert names_in(plan_of(rows=rows)) == {"TS_1.mrc", "ribosome-1.0_point.ndjson", "membrane-1.0_mask.mrc"}


def test_the_default_tomogram_of_each_run_is_chosen() -> None:
    rows = sample_rows(PREFIX)
    other = rows["tomograms"][0] | {"id": 5, "isVisualizationDefault": None}
    elsewhere = other | {"id": 12, "runId": 2, "httpsOmezarrDir": f"{PREFIX}10000/a.zarr", "s3OmezarrDir": None}
    rows["tomograms"] += [other, elsewhere]

    assert [cell.row_id for cell in select(rows, ["tomogram"])] == [11, 12]


def test_what_is_of_an_unknown_kind_is_planned_like_everything_else() -> None:
    rows = sample_rows(PREFIX)
    rows["annotationFiles"][0]["format"] = "hdf7"
    rows["annotationShapes"][0]["shapeType"] = "Hologram"

    assert "ribosome-1.0_point.ndjson" in names_in(plan_of(rows=rows))


def test_what_is_ticked_makes_the_same_plan(demo_pack: Any) -> None:
    portal = open_portal(demo_pack)
    page = portal.run_page(9001)
    rows = ask_rows(portal, run_ids=[9001])
    ticked = [row for row in outline_run(page, page.default_tomogram).rows() if row.files]
    for form in ("zarr", "mrc"):
        cells = select_ticked(rows, [page.default_tomogram], ticked, volume_format=form)
        assert set(cells) == set(select(rows, ["tomogram", "annotations", "metadata"], volume_format=form))
    bare = select_ticked(rows, [], ticked[:1], with_metadata=False)
    assert {cell.row_id for cell in bare} <= {file.id for file in ticked[0].files}


@pytest.mark.parametrize(
    ("s3", "https"),
    [
        ("s3://bucket/../../C:/CON/a?.ndjson", f"{PREFIX}a"),
        ("s3://elsewhere/a", "https://other.example.org/../../etc/passwd"),
        ("s3://bucket/", PREFIX),
    ],
)
def test_a_hostile_path_stays_inside_with_names_that_are_valid_everywhere(s3: str, https: str) -> None:
    rows = sample_rows(PREFIX)
    rows["annotationFiles"][0] |= {"s3Path": s3, "httpsPath": https}
    (path,) = (item.path for item in plan_of("annotations", rows=rows, annotations=[21]).items)

    assert path.startswith("files/")
    assert not {"..", ".", "", "CON"} & set(path.split("/"))
    assert not set(path) & set(":?")


def test_where_the_s3_path_is_missing_the_address_tells_the_place() -> None:
    rows = sample_rows(PREFIX)
    rows["frames"][0] |= {"s3FramePath": None, "httpsFramePath": f"{PREFIX}10000/TS_2/Frames/TS%202.tif"}

    assert "files/10000/TS_2/Frames/TS 2.tif" in {item.path for item in plan_of("everything", rows=rows).items}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://files.example.org/a.ndjson", "a.ndjson"])
def test_a_portal_on_the_web_cannot_name_files_of_this_computer(url: str) -> None:
    rows = sample_rows(PREFIX)
    rows["annotationFiles"][0]["httpsPath"] = url

    with pytest.raises(DownloadError, match="can't be fetched"):
        plan_of(rows=rows)


def test_names_that_differ_by_case_alone_are_two_files_on_every_disk() -> None:
    rows = sample_rows(PREFIX)
    rows["frames"].append(rows["frames"][0] | {"id": 82, "s3FramePath": f"s3://bucket/{FRAME.replace('TS_2', 'ts_2')}"})
    paths = [item.path for item in plan_of("everything", rows=rows).items]

    assert len({path.casefold() for path in paths}) == len(paths) == len(set(paths))
    assert f"files/{FRAME}" in paths


def test_a_file_that_two_records_share_is_fetched_once() -> None:
    rows = sample_rows(PREFIX)
    rows["annotationFiles"].append(rows["annotationFiles"][0] | {"id": 99})

    assert len(plan_of("annotations", rows=rows, annotations=[21]).items) == 1


@pytest.mark.parametrize(
    ("options", "noun"), [({"annotations": [99]}, "annotation 99"), ({"annotations": "some"}, "'some'")]
)
def test_annotations_that_are_not_there_are_an_error(options: Any, noun: str) -> None:
    with pytest.raises(DownloadError, match=noun):
        plan_of(**options)


def test_nothing_to_download_is_an_error() -> None:
    rows = sample_rows(PREFIX)
    with pytest.raises(DownloadError, match="Nothing"):
        plan_download(rows, [])
    with pytest.raises(DownloadError, match="tomogram"):
        plan_of(rows=rows | {"tomograms": []})


def test_files_are_under_the_terms_of_their_portal(demo_pack: Any) -> None:
    portal = open_portal(demo_pack)
    rows = ask_rows(portal, run_ids=[9001])
    plan = plan_download(rows, select(rows), portal.source)
    assert (plan.terms, plan.source) == (portal.source.terms, portal.source.label)

    theirs = sample_rows(PREFIX)
    assert plan_of(rows=theirs).terms == Terms()
    for row in (*theirs["datasets"], *theirs["runs"]):
        row["s3Prefix"] = row["s3Prefix"].replace("s3://bucket/", "s3://cryoet-data-portal-public/")
    assert plan_of(rows=theirs).terms == PORTAL_TERMS
