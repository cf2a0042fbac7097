"""Scripts in `examples/` do what they say, with the demo, without a network or a window; those with one are in `qt`."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import napari_cryoet
from napari_cryoet.packs.portal_zarr import write_pyramid
from napari_cryoet.pick_files import FORMATS, SUFFIXES, read_picks
from ome_images import noise, write_image
from stream_server import StreamServer


@pytest.fixture
def run(project_folder, demo_pack, tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder, with the small demo as its portal; gives its names and what it printed."""
    open_portal = napari_cryoet.open_portal
    monkeypatch.setattr("napari_cryoet.open_portal", lambda _source: open_portal(str(demo_pack)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["example.py"])

    def run_example(name):
        names = runpy.run_path(str(project_folder / "examples" / name))
        return names, capsys.readouterr().out

    return run_example


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


def test_a_plane_is_watched_while_it_sharpens_until_it_is_exact(project_folder, tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 270, 262)).astype("f4")
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    names, drawn = runpy.run_path(str(project_folder / "examples" / "stream_without_napari.py")), []

    with StreamServer(tmp_path) as server:
        watched = names["watch_plane"](f"{server.url}/a.zarr", 7, lambda picture, told: drawn.append(told))

    assert np.array_equal(watched, values[7])
    assert drawn[0].endswith("to come")
    assert drawn[-1] == "exact"


@pytest.mark.parametrize(("axes", "shape"), [("yx", (270, 262)), ("cyx", (3, 70, 62)), ("tczyx", (2, 3, 9, 70, 62))])
def test_a_plane_of_an_image_of_any_axes_is_watched(axes, shape, project_folder, tmp_path, monkeypatch):
    values = noise(shape)
    write_image(tmp_path / "a.zarr", values, axes)
    names, drawn = runpy.run_path(str(project_folder / "examples" / "stream_without_napari.py")), []
    monkeypatch.setattr("napari_cryoet.streaming.display._LARGEST_VIEW_BYTES", 1000)  # so that it is limited at first

    with StreamServer(tmp_path) as server:
        watched = names["watch_plane"](f"{server.url}/a.zarr", 1, lambda picture, told: drawn.append(told))

    expected = {"yx": values, "cyx": values[1]}.get(axes)
    assert np.array_equal(watched, values[0, 0, 1] if expected is None else expected)
    assert drawn[-1] == "exact"


def test_check_picks_finds_the_flip_and_mends_it(run):
    names, told = run("check_picks.py")

    assert names["found"].verdict == "better"
    assert "! They fit much better if y is flipped" in told
    np.testing.assert_allclose(names["better"].points_zyx, names["picks"].points_zyx, atol=1e-9)


def test_orthogonal_planes_saves_three_planes_through_a_pick(run):
    names, _told = run("orthogonal_planes.py")
    size_z, size_y, size_x = names["tomogram"].shape_zyx

    with Image.open("planes.png") as picture:
        assert picture.height >= size_y + 2 * size_z
        assert picture.width >= max(size_x, size_y)
        assert np.asarray(picture).std() > 10


def test_review_picks_judges_all_and_goes_on_where_it_ended(run):
    names, told = run("review_picks.py")
    kept = read_picks("kept.ndjson")

    assert f"{len(names['picks'])} of {len(names['picks'])} judged" in told
    assert f"kept {len(kept)} of {len(names['picks'])} in review" in kept.edits[-1]
    assert "Resumed" in run("review_picks.py")[0]["review"].remark


def test_read_picks_is_told_what_is_missing_and_places_them_once_it_says_so(run):
    names, told = run("read_picks.py")

    assert "doesn't say how large the tomogram is" in told
    np.testing.assert_allclose(names["mine"].positions_angstrom_zyx, names["picks"].positions_angstrom_zyx, atol=1e-6)
    np.testing.assert_allclose(names["mine"].rotations_zyx, names["picks"].rotations_zyx, atol=1e-6)
    assert told.count("particles") == 3


def test_contact_sheet_draws_crops_and_takes_up_what_was_saved(run):
    names, told = run("contact_sheet.py")

    assert len(names["review"].rows) < len(names["picks"])
    assert names["again"].counts.judged == 20
    assert "Resumed 20 decisions" in told
    with Image.open("sheet.png") as picture:
        assert np.asarray(picture).std() > 10


def test_judge_files_keeps_picks_that_stand_alone_and_says_what_share_they_are(run):
    names, told = run("judge_files.py")
    kept, picks = read_picks("kept.tbl"), names["picks"]

    assert 0 < len(kept) < len(picks)
    assert f"{len(kept)} of {len(picks)} stand alone" in told
    assert f"precision 100%, recall {len(kept) / len(picks):.0%}" in told
    assert all(np.isfinite(crop).any() for crop in names["crops"])


def test_judge_files_says_that_no_pick_is_left_and_that_a_spacing_is_missing(run, monkeypatch, tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.random.default_rng(0).normal(size=(30, 32, 34)).astype("f4"), 10.0)
    point = '{"type": "point", "location": {"x": %d, "y": 15, "z": 15}}\n'
    (tmp_path / "a.ndjson").write_text(point % 15 + point % 16)

    monkeypatch.setattr("sys.argv", ["judge_files.py", "a.ndjson", "a.zarr"])
    with pytest.raises(SystemExit, match="doesn't say how wide the voxels are"):
        run("judge_files.py")
    monkeypatch.setattr("sys.argv", ["judge_files.py", "a.ndjson", "a.zarr", "10"])
    with pytest.raises(SystemExit, match="None of 2 picks stands alone"):
        run("judge_files.py")


def test_edit_picks_keeps_ids_and_says_what_was_done(run):
    names, told = run("edit_picks.py")
    both, more = names["both"], names["more"]

    assert len(both) == len(more) + len(names["plain"])
    assert len(set(both.ids.tolist())) == len(both)
    assert more.ids[:-1].tolist() == names["upper"].ids.tolist()
    assert "moved by 50 Å along z; kept the upper half; added one by hand; joined with" in told
    moved = names["beside"].positions_angstrom_zyx - names["oriented"].positions_angstrom_zyx
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 50)


def test_overlay_spacings_finds_one_place_in_all_grids(run):
    names, told = run("overlay_spacings.py")

    assert len({tomogram.voxel_spacing for tomogram in names["tomograms"]}) == 2
    assert told.count("drawn to scale over this tomogram") == len(names["tomograms"])
    assert told.count("the same grid") == len(names["tomograms"])


def test_unaligned_annotation_says_so_in_its_name(run):
    names, told = run("unaligned_annotation.py")

    assert "made on AL-9002" in names["layer"].options["name"]
    assert "other_alignment" in told
    assert "made on another alignment of this run" in told


def test_captions_and_meshes_are_read(run):
    names, told = run("captions_and_meshes.py")

    assert "GlobalCaption" in told
    assert len(names["vertices"]) > 100
    assert "doesn't say its unit" in told


def test_compare_with_masks_compares_all_three_ways(run):
    _names, told = run("compare_with_masks.py")
    errors = [float(line.split()[3].rstrip("°")) for line in told.splitlines() if "rotation error" in line]

    assert errors[0] > 90 > 10 > errors[1]
    assert "share inside" in told
    assert "Dice" in told
    assert "panoptic quality" in told


def test_every_format_holds_the_same_picks_and_the_same_mask(run):
    names, told = run("every_format.py")

    assert {path.name for path in Path("exports").iterdir()} >= {f"{name}{SUFFIXES[name]}" for name in FORMATS}
    for name in FORMATS:
        again = read_picks(Path("exports", f"{name}{SUFFIXES[name]}"))
        np.testing.assert_allclose(again.positions_angstrom_zyx, names["picks"].positions_angstrom_zyx, atol=1e-6)
    assert told.count(f"{names['volume'].shape_zyx}") == 3
