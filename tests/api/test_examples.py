"""Scripts in `examples/` do what they say, with the demo and without a network."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import napari
import numpy as np
import pytest
from PIL import Image

import napari_cryoet
from api.files import noise, point, write_lines, write_zarr
from napari_cryoet import read_picks
from server import Server


@pytest.fixture
def run(project_folder, demo_pack, tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder, with the small demo as its portal; gives its names and what it printed."""
    open_portal = napari_cryoet.open_portal
    monkeypatch.setattr("napari_cryoet.open_portal", lambda _source: open_portal(demo_pack))
    monkeypatch.chdir(tmp_path)

    def run_example(name, *arguments):
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        names = runpy.run_path(str(project_folder / "examples" / name))
        return names, capsys.readouterr().out

    return run_example


@pytest.fixture
def viewer(make_napari_viewer, monkeypatch):
    """The viewer that examples get when they make one."""
    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda **_options: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    return viewer


def test_every_example_is_run_by_a_test(project_folder):
    tests = [path.read_text(encoding="utf-8") for path in (project_folder / "tests").rglob("*.py")]
    examples = [path.name for path in (project_folder / "examples").glob("*.py")]

    assert len(examples) > 15
    assert [
        name for name in examples if not any(f'"{name}"' in text or f'"{name[:-3]}"' in text for text in tests)
    ] == []


def test_every_example_is_in_the_docs(project_folder):
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (project_folder / "docs").rglob("*.md"))
    examples = [path.name for path in (project_folder / "examples").glob("*.py")]

    assert [name for name in examples if f"examples/{name}" not in pages] == []


# ---- looking


def test_a_plane_is_watched_while_it_sharpens_until_it_is_exact(project_folder, tmp_path):
    values = noise((20, 270, 262))
    write_zarr(tmp_path / "a.zarr", values)
    names, drawn = runpy.run_path(str(project_folder / "examples" / "stream_without_napari.py")), []
    with Server(tmp_path) as server:
        watched = names["watch_plane"](f"{server.url}/a.zarr", 7, lambda picture, told: drawn.append(told))

    assert np.array_equal(watched, values[7])
    assert drawn[-1] == "exact"


def test_open_run_shows_the_tomogram_and_what_the_curators_show(run, viewer):
    names, _told = run("open_run.py")

    assert sorted(layer.name for layer in viewer.layers) == sorted(spec.name for spec in names["specs"])
    assert len(viewer.layers) > 3


def test_orthogonal_planes_saves_three_planes_through_a_pick(run):
    names, _told = run("orthogonal_planes.py")
    size_z, size_y, size_x = names["tomogram"].shape_zyx

    with Image.open("planes.png") as picture:
        assert picture.height >= size_y + 2 * size_z
        assert picture.width >= max(size_x, size_y)
        assert np.asarray(picture).std() > 10


def test_overlay_spacings_finds_one_place_in_all_grids(run):
    names, told = run("overlay_spacings.py")

    assert len({tomogram.voxel_spacing for tomogram in names["tomograms"]}) == 2
    assert told.count("the same grid") == len(names["tomograms"])


def test_unaligned_annotation_says_so(run):
    names, told = run("unaligned_annotation.py")

    assert "AL-9002" in names["layer"].options["name"]
    assert "other_alignment" in told


def test_captions_and_meshes_are_read(run):
    names, told = run("captions_and_meshes.py")

    assert "GlobalCaption" in told
    assert len(names["vertices"]) > 100


def test_deposition_runs_lists_what_depositions_brought_and_added(run, demo_pack):
    _names, told = run("deposition_runs.py", demo_pack)

    assert "CZCDP-90903" in told
    assert "added to DS-90001" in told
    assert "brought DS-90001" in told
    assert "RN-9001 DEMO_001" in told


# ---- judging


def test_check_picks_finds_the_flip_and_mends_it(run):
    names, _told = run("check_picks.py")

    assert names["found"].verdict == "better"
    np.testing.assert_allclose(names["better"].points_zyx, names["picks"].points_zyx, atol=1e-9)


def test_compare_annotations_finds_the_careless_picks(run, demo_pack):
    _names, told = run("compare_annotations.py", demo_pack)

    assert told.count("matching within 12 nm") == 3  # picked by hand, matched, careless
    shift_zyx = [float(part) for part in told.rpartition("(z, y, x): [")[2].strip("]\n ").split()]
    assert np.linalg.norm(shift_zyx) > 20


def test_compare_with_masks_compares_all_three_ways(run):
    _names, told = run("compare_with_masks.py")
    errors = [float(line.split()[3].rstrip("°")) for line in told.splitlines() if "rotation error" in line]

    assert errors[0] > 90 > 10 > errors[1]
    assert "Dice" in told
    assert "panoptic quality" in told


def test_review_picks_judges_all_and_goes_on_where_it_ended(run):
    names, told = run("review_picks.py")

    assert f"{len(names['picks'])} of {len(names['picks'])} judged" in told
    assert 0 < len(read_picks("kept.ndjson")) < len(names["picks"])
    assert "Resumed" in run("review_picks.py")[0]["review"].remark


def test_contact_sheet_draws_crops_and_goes_on_where_it_ended(run):
    names, _told = run("contact_sheet.py")

    assert len(names["review"].rows) < len(names["picks"])
    assert names["again"].counts.judged == 20
    with Image.open("sheet.png") as picture:
        assert np.asarray(picture).std() > 10


def test_judge_files_keeps_picks_that_stand_alone(run):
    names, told = run("judge_files.py")
    kept = read_picks("kept.tbl")

    assert 0 < len(kept) < len(names["picks"])
    assert f"{len(kept)} of {len(names['picks'])} stand alone" in told


def test_judge_files_says_that_no_pick_is_left_and_that_a_spacing_is_missing(run, tmp_path):
    write_zarr(tmp_path / "a.zarr", noise((30, 32, 34)))
    write_lines(tmp_path / "a.ndjson", [point(15, 15, 15), point(16, 15, 15)])

    with pytest.raises(SystemExit, match="voxels"):
        run("judge_files.py", "a.ndjson", "a.zarr")
    with pytest.raises(SystemExit, match="None of 2 picks"):
        run("judge_files.py", "a.ndjson", "a.zarr", 10)


# ---- files


def test_read_picks_is_told_what_is_missing_and_places_them_once_it_says_so(run):
    names, _told = run("read_picks.py")

    np.testing.assert_allclose(names["mine"].positions_angstrom_zyx, names["picks"].positions_angstrom_zyx, atol=1e-6)
    np.testing.assert_allclose(names["mine"].rotations_zyx, names["picks"].rotations_zyx, atol=1e-6)


def test_edit_picks_keeps_ids_and_says_what_was_done(run):
    names, told = run("edit_picks.py")
    both, more = names["both"], names["more"]

    assert len(both) == len(more) + len(names["plain"])
    assert len(set(both.ids.tolist())) == len(both)
    assert more.ids[:-1].tolist() == names["upper"].ids.tolist()
    assert "moved by 50 Å along z; kept the upper half; added one by hand" in told


def test_export_picks_writes_for_three_programs(run, demo_pack, tmp_path):
    run("export_picks.py", demo_pack, tmp_path)

    counts = {len(read_picks(tmp_path / f"ribosomes{suffix}")) for suffix in (".star", ".tbl", ".json")}
    assert len(counts) == 1
    assert counts.pop() > 10


def test_every_format_holds_the_same_picks_and_the_same_mask(run):
    names, told = run("every_format.py")
    files = [path for path in Path("exports").iterdir() if not path.name.endswith(".provenance.json")]
    picks = [path for path in files if path.suffix not in {".zarr", ".mrc"}]

    assert len(picks) == 8
    for path in picks:
        found = read_picks(path)
        np.testing.assert_allclose(found.positions_angstrom_zyx, names["picks"].positions_angstrom_zyx, atol=1e-6)
    assert told.count(f"{names['volume'].shape_zyx}") == 3


def test_save_layers_writes_by_the_plugin_and_opens_again(run, viewer):
    names, told = run("save_layers.py")

    assert told.count("opens as") == 3
    again = next(layer for layer in viewer.layers if layer.name == "ribosomes")
    assert len(again.data) == len(names["picks_layer"].data)


def test_download_run_downloads_and_then_finds_it_complete(run, demo_pack, tmp_path):
    first, second = (run("download_run.py", demo_pack, tmp_path / "runs")[1] for _ in range(2))

    assert json.loads((tmp_path / "runs" / "manifest.json").read_text())["is_complete"]
    assert "0 complete already" in first
    assert "0 files fetched" in second
