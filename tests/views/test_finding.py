"""What a view shows is found by path, then by name; packs by their id, files only beside the view."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from napari_cryoet import open_portal
from napari_cryoet.exceptions import CryoETError, FormatError, NotFoundError
from napari_cryoet.packs.pack import open_pack, write_pack
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import Portal
from napari_cryoet.portal.provenance import path_of
from napari_cryoet.records import AnnotationFile, Tomogram
from napari_cryoet.views.finding import (
    bytes_by_host,
    file_of,
    find_layers,
    find_run,
    source_to_open,
)
from napari_cryoet.views.view import (
    View,
    ViewedAnnotation,
    ViewedLayer,
    ViewedRun,
    ViewedTomogram,
)
from views.cameras import camera_at

RUN = ViewedRun(source="pack", dataset_id=90001, run_name="DEMO_001", run_id=9001)


@pytest.fixture(scope="module")
def portal(demo_pack: Path) -> Portal:
    return open_portal(demo_pack)


@pytest.fixture(scope="module")
def page(portal: Portal) -> RunPage:
    return portal.run_page(9001)


def of_tomogram(tomogram: Tomogram) -> ViewedTomogram:
    return ViewedTomogram(
        path=path_of(tomogram),
        voxel_spacing_angstrom=tomogram.voxel_spacing,
        processing=tomogram.processing,
        id=tomogram.id,
    )


def of_file(file: AnnotationFile) -> ViewedAnnotation:
    assert file.shape is not None
    assert file.shape.annotation is not None
    annotation = file.shape.annotation
    return ViewedAnnotation(
        path=path_of(file),
        object_name=annotation.object_name,
        shape=file.shape.shape_type or "",
        method=annotation.method_type,
        deposition_id=annotation.deposition_id,
        id=file.id,
    )


def found_in(page: RunPage, part: ViewedTomogram | ViewedAnnotation):
    """The id of the record of a layer, and the remarks."""
    if isinstance(part, ViewedTomogram):
        layer = ViewedLayer(kind="tomogram", tomogram=part)
    else:
        layer = ViewedLayer(kind="annotation", annotation=part)
    finding = find_layers(View(runs=(RUN,), layers=(layer,), camera=camera_at()), {0: page})
    return [each.record.id for each in finding.layers], finding.remarks


def test_records_are_found_by_their_path_whatever_their_ids(page: RunPage) -> None:
    for tomogram in page.tomograms:
        assert found_in(page, replace(of_tomogram(tomogram), id=1)) == ([tomogram.id], ())
    for file in page.annotation_files:
        if file.format != "json":
            assert found_in(page, replace(of_file(file), id=1)) == ([file.id], ())


def test_a_replaced_file_is_found_by_names_and_that_is_said(page: RunPage) -> None:
    tomogram = page.tomograms[-1]
    file = next(each for each in page.annotation_files if each.id == 9004)
    for record, part in ((tomogram, of_tomogram(tomogram)), (file, of_file(file))):
        found, (remark,) = found_in(page, replace(part, path="elsewhere", id=1))
        assert found == [record.id]
        assert "has changed" in remark


def test_tomograms_with_new_ids_are_told_apart_by_the_method_of_their_alignment(
    page: RunPage,
) -> None:
    tomogram = page.tomograms[0]
    assert tomogram.alignment is not None
    by_fiducials = replace(tomogram.alignment, id=7, alignment_method="fiducial_based")
    other = replace(tomogram, id=7, s3_omezarr_dir="s3://b/7", alignment=by_fiducials)
    part = replace(of_tomogram(tomogram), path="elsewhere", id=1, alignment_id=1)
    both = replace(page, tomograms=(other, tomogram))
    method = tomogram.alignment.alignment_method
    for name, record in ((f"{method}, GLOBAL", tomogram), ("fiducial_based, GLOBAL", other)):
        found, _ = found_in(both, replace(part, alignment=name))
        assert found == [record.id]


@pytest.mark.parametrize(
    "change",
    [{"deposition_id": 1}, {"method": "none"}, {"shape": "Mesh"}, {"object_name": "actin"}],
)
def test_an_annotation_of_other_names_is_missing_even_if_it_has_the_id(
    page: RunPage, change: dict
) -> None:
    file = next(each for each in page.annotation_files if each.id == 9004)
    found, (remark,) = found_in(page, replace(of_file(file), path="elsewhere", **change))
    assert found == []
    assert "DEMO_001 has no" in remark


def test_a_run_is_found_by_its_names_if_its_id_is_of_another(portal: Portal) -> None:
    assert find_run(portal, RUN).run.id == 9001
    assert find_run(portal, replace(RUN, run_id=9002)).run.id == 9001
    assert find_run(portal, ViewedRun(source="pack", run_id=9002)).run.name == "DEMO_002"
    with pytest.raises(NotFoundError):
        find_run(portal, replace(RUN, run_name="DEMO_0"))


def test_a_pack_is_found_by_its_id_wherever_it_is(demo_pack: Path, tmp_path: Path) -> None:
    run = replace(RUN, pack_id=open_pack(demo_pack).id)
    assert source_to_open(run, [tmp_path, demo_pack], None) == str(demo_pack)
    assert source_to_open(run, [], demo_pack / "views") == str(demo_pack)
    other = replace(run, pack_id="other")
    assert source_to_open(other, [], demo_pack) == str(demo_pack)
    assert source_to_open(replace(other, source="live"), [], None) == "live"
    for unknown in (other, replace(RUN, source="/etc"), replace(RUN, source="file:///etc")):
        with pytest.raises(NotFoundError):
            source_to_open(unknown, [tmp_path], tmp_path)


def test_the_id_of_a_pack_stays_when_its_tables_change(tmp_path: Path, demo_pack: Path) -> None:
    manifest = replace(open_pack(demo_pack).manifest, id="")
    first = write_pack(tmp_path / "a", manifest, {"runs": [{"id": 1}]})
    other = write_pack(tmp_path / "b", manifest, {"runs": [{"id": 2}]})
    again = write_pack(tmp_path / "a", first.manifest, {"runs": [{"id": 3}]})
    assert again.id == first.id != other.id


def test_a_file_is_read_only_within_the_folder_of_the_view(tmp_path: Path) -> None:
    folder = tmp_path / "views"
    folder.mkdir()
    (folder / "a.mrc").touch()
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to(tmp_path / "secret")
    assert file_of(ViewedLayer(kind="file", file="a.mrc"), folder) == folder / "a.mrc"
    for name in ("", "../secret", "/etc/passwd", "link", "a/../../secret", "C:secret", "\\\\a\\b"):
        with pytest.raises(FormatError):
            file_of(ViewedLayer(kind="file", file=name), folder)
    for name, of_view in (("none", folder), ("a.mrc", None)):
        with pytest.raises(CryoETError):
            file_of(ViewedLayer(kind="file", file=name), of_view)


def test_hosts_of_files_are_named_with_their_bytes(page: RunPage) -> None:
    tomogram = page.tomograms[0]
    layers = [
        replace(tomogram, https_omezarr_dir=url, file_size_omezarr=1e6)
        for url in (
            *("https://a.org/x.zarr", "https://a.org/y.zarr", "https://b.org/x.zarr"),
            *("https://files.cryoetdataportal.czscience.com/x.zarr", "https://c.org/x.zarr"),
        )
    ]
    view = View(
        runs=(RUN,),
        layers=tuple(ViewedLayer(kind="tomogram", tomogram=of_tomogram(tomogram)) for _ in layers),
        camera=camera_at(),
    )
    found = find_layers(view, {0: page}).layers
    found = tuple(each._replace(record=layer) for each, layer in zip(found, layers, strict=True))
    sizes = bytes_by_host(found, {"c.org"})
    assert set(sizes) == {"a.org", "b.org"}
    assert sizes["a.org"] == 2 * sizes["b.org"] > 0
