"""copick projects: names, linked files, what is left out, and what copick reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from msgspec.structs import replace

from napari_cryoet import (
    CryoETError,
    ExistsError,
    StoppedError,
    download_basket,
    make_class_pack,
    read_picks,
)
from napari_cryoet.basket.basket import Basket
from napari_cryoet.exceptions import LeftOutError
from napari_cryoet.exports import export
from napari_cryoet.exports.selection import Selection, read_points, select_basket
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.task import Task

Select = Callable[..., Selection]
RIBOSOMES = "Picks/Ada-Vitreous_ground-truth_cytosolic-ribosome.json"


def paths_in(folder: Path) -> set[str]:
    """The paths of all volumes and pick files."""
    runs = folder / "static" / "ExperimentRuns"
    paths = [*runs.glob("*/*/*.zarr"), *runs.glob("*/Picks/[!.]*.json")]
    return {path.relative_to(runs).as_posix() for path in paths}


def test_a_project_has_readable_names_and_the_portals_volumes(
    tmp_path: Path, selection_of: Select
) -> None:
    report = export(selection_of(), "copick", tmp_path)

    assert {
        "DEMO_001/VoxelSpacing40.048/wbp-denoised.zarr",
        "DEMO_001/Segmentations/40.048_Ada-Vitreous_ground-truth_membrane.zarr",
        f"DEMO_001/{RIBOSOMES}",
        "DEMO_001/Picks/Ada-Vitreous_manual_cytosolic-ribosome.json",
        "MIX_001/InstanceSegmentations/31.360_Gregor-Goldbead_ground-truth_ferritin-complex.zarr",
        "DEMO_003/VoxelSpacing40.048/wbp-raw.zarr",
    } <= paths_in(tmp_path)
    assert any("AN-9011" in reason for reason in report.left_out)  # on another alignment
    assert json.loads((tmp_path / "splits.json").read_text()) == {
        "train": ["DEMO_001", "DEMO_003"],  # drawn, since the split was recorded without it
        "test": ["MIX_001"],
    }


def test_picks_have_the_portals_positions(
    tmp_path: Path, demo_pack: Path, selection_of: Select
) -> None:
    export(selection_of("cytosolic ribosome"), "copick", tmp_path)
    picks = read_picks(tmp_path / "static" / "ExperimentRuns" / "DEMO_001" / RIBOSOMES)
    (portal,) = demo_pack.glob("files/*/DEMO_001/**/100/*ribosome*_orientedpoint.ndjson")
    expected = read_picks(portal)

    np.testing.assert_allclose(picks.points_zyx, expected.points_zyx, atol=1e-9)
    np.testing.assert_allclose(picks.rotations_zyx, expected.rotations_zyx, atol=1e-9)
    assert picks.spacing_angstrom == expected.spacing_angstrom
    assert picks.about.licence


def test_objects_have_known_diameters_and_distinct_colours(selection_of: Select) -> None:
    objects = selection_of().objects
    properties = {each["name"]: (each["is_particle"], each["radius"]) for each in objects}

    assert properties["cytosolic-ribosome"] == (True, 150)
    assert not properties["membrane"][0]
    assert len({tuple(each["color"]) for each in objects}) == len(objects)


def test_duplicate_names_are_made_unique(
    tmp_path: Path, demo_rows: Any, selection_of: Select
) -> None:
    for row in demo_rows["runs"]:
        row["name"] = row["name"].replace("MIX", "DEMO")
    for row in demo_rows["annotations"]:
        row |= {
            "groundTruthStatus": True,
            "methodType": "manual",
            "objectName": "A_b?",
            "objectId": "",
        }
    selection = selection_of()
    report = export(selection, "copick", tmp_path)

    assert [run.name for run in selection.runs] == ["90001-DEMO_001", "DEMO_003", "90002-DEMO_001"]
    n_points = sum(each.is_points for each in selection.annotations)
    assert len(paths_in(tmp_path)) == report.n_volumes + n_points
    assert {each.object for each in selection.annotations} == {"a-b"}
    assert any(each.user.endswith("-2") for each in selection.annotations)


def test_unusable_tomograms_are_left_out_and_empty_selections_refused(
    demo_rows: Any, selection_of: Select
) -> None:
    for row in demo_rows["tomograms"]:
        row.update({"offsetX": 5} if row["runId"] == 9001 else {"httpsOmezarrDir": None})
    selection = selection_of()
    assert not any(run.tomograms for run in selection.runs)
    assert all(
        any(word in reason for reason in selection.left_out) for word in ("region", "OME-Zarr")
    )
    with pytest.raises(CryoETError, match="selected"):
        selection_of("unicorn")


def test_served_volumes_are_downloaded_once(
    tmp_path: Path, demo_pack: Path, served_demo: dict[str, str]
) -> None:
    basket = Basket(source=served_demo["graphql"], annotations=(9001,), tomograms=(9002,))
    selection = select_basket(basket, open_portal(served_demo["graphql"]))
    export(selection, "copick", tmp_path)
    local = next((tmp_path / "static").glob("ExperimentRuns/DEMO_001/*/wbp-denoised.zarr/0/0/0/0"))
    (original,) = demo_pack.glob(
        "files/*/DEMO_001/**/VoxelSpacing40.048/Tomograms/101/*.zarr/0/0/0/0"
    )

    assert local.read_bytes() == original.read_bytes()
    assert (tmp_path / "portal" / "pack.json").exists()
    assert local.stat().st_nlink == 2
    shutil.rmtree(tmp_path / "static")
    export(selection, "copick", tmp_path, overwrite=True)
    assert local.exists()


def test_newer_zarrs_are_written_again_as_copick_reads_them(
    tmp_path: Path, demo_rows: Any, selection_of: Select
) -> None:
    values = np.random.default_rng(0).random((5, 6, 7), dtype=np.float32)
    write_pyramid(tmp_path / "new.zarr", values, 40.048, version="0.5")
    for row in demo_rows["tomograms"]:
        row["httpsOmezarrDir"] = (tmp_path / "new.zarr").as_uri()
    export(selection_of("cytosolic ribosome"), "copick", tmp_path / "project")

    runs = tmp_path / "project" / "static" / "ExperimentRuns" / "DEMO_001"
    (volume,) = runs.glob("VoxelSpacing40.048/*.zarr")
    group = zarr.open_group(volume, mode="r", zarr_format=2)
    assert group.attrs["multiscales"][0]["version"] == "0.4"
    np.testing.assert_array_equal(group["0"][:], values)
    assert len(list(group.arrays())) == 3


def test_a_download_is_linked_not_fetched(
    tmp_path: Path, demo_pack: Path, served_demo: dict[str, str]
) -> None:
    basket = Basket(source=served_demo["graphql"], annotations=(9001,), tomograms=(9002,))
    portal = open_portal(served_demo["graphql"])
    download_basket(basket, portal, tmp_path / "data")
    selection = select_basket(basket, portal, folder=tmp_path / "data")
    export(selection, "copick", tmp_path / "project")

    assert not (tmp_path / "project" / "portal").exists()
    (original,) = (tmp_path / "data").glob("files/*/DEMO_001/**/*.zarr/0/0/0/0")
    assert original.stat().st_nlink == 2


def test_one_voxel_size_keeps_picks_on_their_voxels(tmp_path: Path, selection_of: Select) -> None:
    selection = selection_of("cytosolic ribosome", "membrane")
    report = export(selection, "copick", tmp_path, spacing_angstrom=80)
    picks = read_picks(tmp_path / "static" / "ExperimentRuns" / "DEMO_001" / RIBOSOMES)
    true = read_points(next(each for each in selection.annotations if each.annotation.id == 9001))

    assert {
        "DEMO_001/VoxelSpacing80.000/wbp-denoised.zarr",
        "DEMO_001/Segmentations/40.000_Ada-Vitreous_ground-truth_membrane.zarr",
    } <= paths_in(tmp_path)
    np.testing.assert_allclose(
        picks.positions_angstrom_zyx / 80, true.positions_angstrom_zyx / (2 * 40.048), atol=1e-6
    )
    assert any("TM-9008" in reason for reason in report.left_out)
    assert any("80.096 Å are called 80 Å" in remark for remark in report.remarks)


def test_kinds_of_an_object_get_one_name(demo_rows: Any, selection_of: Select) -> None:
    for row in demo_rows["annotations"]:
        if row["id"] == 9002:
            row |= {"objectName": "80S ribosome", "objectId": "PDB-4UJD"}
    ribosomes = "cytosolic ribosome", "80S ribosome"
    apart, together = selection_of(*ribosomes), selection_of(*ribosomes, object_names=["ribosome"])

    assert [each["name"] for each in apart.objects] == ["80s-ribosome", "cytosolic-ribosome"]
    assert [each["name"] for each in together.objects] == ["ribosome"]
    assert together.remarks == ("cytosolic ribosome, 80S ribosome: called ribosome.",)
    with pytest.raises(CryoETError, match="unicorn"):
        selection_of(object_names=["unicorn"])


def test_the_chosen_coarse_level_becomes_the_finest(
    tmp_path: Path, demo_pack: Path, served_demo: dict[str, str]
) -> None:
    portal = open_portal(demo_pack)
    whole = Basket(source=portal.source.name, tomograms=(9002,))
    coarse = whole.with_choices(level=1)
    served = replace(coarse, source=served_demo["graphql"])
    download_basket(coarse, portal, tmp_path / "pack")
    selections = {
        "here": select_basket(coarse, portal),
        "served": select_basket(served, open_portal(served_demo["graphql"])),
        "downloaded": select_basket(whole, open_portal(tmp_path / "pack")),
    }
    exports = []
    for name, selection in selections.items():
        export(selection, "copick", tmp_path / name)
        root = (
            tmp_path
            / name
            / "static"
            / "ExperimentRuns"
            / "DEMO_001"
            / "VoxelSpacing80.096"
            / "wbp-denoised.zarr"
        )
        exports.append((read_files(root / "0"), sorted(path.name for path in root.iterdir())))

    assert exports[0] == exports[1] == exports[2]
    assert exports[0][1] == [".zattrs", ".zgroup", "0", "1"]


def test_a_level_that_a_pack_left_out_is_not_exported(tmp_path: Path, demo_pack: Path) -> None:
    portal = open_portal(demo_pack)
    basket = Basket(source=portal.source.name, tomograms=(9002,))
    there = open_portal(make_class_pack(portal, tmp_path / "pack", basket))
    selection = select_basket(replace(basket, source=there.source.name), there)
    with pytest.raises(LeftOutError, match="only a part"):
        export(selection, "copick", tmp_path / "copick")
    coarse = replace(basket.with_choices(level=1), source=there.source.name)
    assert export(select_basket(coarse, there), "copick", tmp_path / "copick").n_volumes == 1


def read_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_project_is_overwritten_only_if_asked_and_complete_only_at_the_end(
    tmp_path: Path, selection_of: Select
) -> None:
    selection = selection_of("cytosolic ribosome")
    task = Task(lambda *_: task.stop())
    with pytest.raises(StoppedError):
        export(selection, "copick", tmp_path, task=task)
    assert not (tmp_path / "config.json").exists()

    export(selection, "copick", tmp_path)
    (tmp_path / "overlay" / "mine").touch()
    with pytest.raises(ExistsError, match="config"):
        export(selection, "copick", tmp_path)
    export(selection_of("membrane"), "copick", tmp_path, overwrite=True)
    assert (tmp_path / "overlay" / "mine").exists()
    assert f"DEMO_001/{RIBOSOMES}" not in paths_in(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_copick_reads_the_project(
    tmp_path: Path, selection_of: Select, python_with: Callable[[str], Callable[..., str]]
) -> None:
    export(selection_of(), "copick", tmp_path)
    project = json.loads(
        python_with("copick==1.31.0")("exports/copick_reads.py", tmp_path / "config.json")
    )
    run = project["runs"]["DEMO_001"]
    picks = run["picks"]["Ada-Vitreous ground-truth cytosolic-ribosome"]
    ours = read_picks(tmp_path / "static" / "ExperimentRuns" / "DEMO_001" / RIBOSOMES)

    assert project["objects"]["cytosolic-ribosome"] == [True, 2, 150.0, "GO:0022626"]
    assert set(project["runs"]) == {"DEMO_001", "DEMO_003", "MIX_001"}
    assert run["tomograms"] == {"40.048 wbp-denoised": [23, 77, 71]}
    assert run["masks"]["40.048 Ada-Vitreous ground-truth membrane binary"][:3] == [23, 77, 71]
    assert "Ada-Vitreous manual cytosolic-ribosome" in run["picks"]
    assert "cytosolic-ribosome" in run["truth"]
    np.testing.assert_allclose(
        np.array(picks["points"])[:, ::-1], ours.positions_angstrom_zyx, atol=1e-6
    )
    np.testing.assert_allclose(
        np.array(picks["matrices"])[:, :3, :3], ours.rotations_xyz, atol=1e-9
    )
    assert picks["trust"]
