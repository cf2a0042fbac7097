"""Scripts in `examples/` work with the demo and without a network."""

from __future__ import annotations

import json
import runpy

import napari
import numpy as np
import pytest

import napari_cryoet
from api.files import noise, write_zarr
from napari_cryoet import Picks, read_basket, read_picks, write_picks
from server import Server


@pytest.fixture
def run(project_folder, demo_pack, tmp_path, monkeypatch, capsys):
    """Run an example in an empty folder with the small demo; returns its names and its output."""
    open_portal = napari_cryoet.open_portal
    folders = {"demo": demo_pack}
    monkeypatch.setattr(
        "napari_cryoet.open_portal", lambda source: open_portal(folders.get(source, source))
    )
    monkeypatch.chdir(tmp_path)

    def run_example(name, *arguments):
        monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        script = str(project_folder / "examples" / name)
        names = runpy.run_path(script, run_name="__main__")
        return names, capsys.readouterr().out

    return run_example


@pytest.fixture
def viewer(make_napari_viewer, monkeypatch):
    """The viewer that examples get from `napari.Viewer`."""
    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda **_options: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    return viewer


def test_every_example_is_documented_and_tested(project_folder):
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (project_folder / "tests").rglob("*.py")
    )
    pages = "\n".join(
        page.read_text(encoding="utf-8") for page in (project_folder / "docs").rglob("*.md")
    )

    for example in (project_folder / "examples").glob("*.py"):
        assert f'"{example.name}"' in tests or f'"{example.stem}"' in tests
        assert f"examples/{example.name}" in pages


# ---- looking


def test_stream_without_napari_ends_with_the_exact_plane(project_folder, tmp_path):
    values = noise((20, 270, 262))
    write_zarr(tmp_path / "a.zarr", values)
    names, drawn = runpy.run_path(str(project_folder / "examples" / "stream_without_napari.py")), []
    with Server(tmp_path) as server:
        watched = names["watch_plane"](
            f"{server.url}/a.zarr", 7, lambda picture, state: drawn.append(state)
        )

    assert np.array_equal(watched, values[7])
    assert drawn[-1] == "exact"


def test_streaming_examples_open_the_demo_without_an_address(run, viewer):
    _names, output = run("stream_without_napari.py")
    assert output.splitlines()[-1].endswith("exact")
    run("stream_any_omezarr.py")
    assert len(viewer.layers) == 1


def test_open_run_shows_the_tomogram_and_default_annotations(run, viewer):
    names, _output = run("open_run.py")

    assert sorted(layer.name for layer in viewer.layers) == sorted(
        spec.name for spec in names["specs"]
    )
    assert len(viewer.layers) > 3


def test_unaligned_annotation_names_its_alignment(run):
    names, output = run("unaligned_annotation.py")

    assert "AL-9002" in names["layer"].options["name"]
    assert "another alignment" in output


# ---- judging


def test_check_picks_detects_and_corrects_the_flip(run):
    names, _output = run("check_picks.py")

    assert names["findings"].verdict == "better"
    np.testing.assert_allclose(names["better"].points_zyx, names["picks"].points_zyx, atol=1e-9)


def test_compare_annotations_measures_the_shift(run):
    names, output = run("compare_annotations.py")

    assert output.count("matched (true positives)") == 2
    assert np.linalg.norm(names["shifts_zyx"].mean(axis=0)) > 20


def test_rank_annotations_puts_the_best_first(run):
    names, output = run("rank_annotations.py")

    assert names["ranking"].rows[0].f_score > names["ranking"].rows[2].f_score
    assert len(output.splitlines()) >= 5


def test_compare_with_masks_prints_all_three_comparisons(run):
    _names, output = run("compare_with_masks.py")
    errors = [
        float(line.split()[4].rstrip("°"))
        for line in output.splitlines()
        if "median rotation" in line
    ]

    assert errors[0] > 90 > 10 > errors[1]
    assert "Dice" in output
    assert "panoptic quality" in output


def test_measure_membrane_gives_a_distance_for_each_pick(run):
    names, _output = run("measure_membrane.py")

    table = names["table"]
    assert len(table) == len(names["picks"]) > 0
    assert ((table["surface_distance_nm"] < 0) == table["is_inside"]).all()


def test_review_picks_judges_all_picks_and_resumes(run):
    names, output = run("review_picks.py")

    assert f"{len(names['picks'])} of {len(names['picks'])} judged" in output
    assert 0 < len(read_picks("kept.ndjson")) < len(names["picks"])
    assert "Resumed" in run("review_picks.py")[0]["review"].remark


# ---- files


def test_read_picks_names_the_missing_context_and_reads_with_it(run):
    names, output = run("read_picks.py")

    assert "shape_zyx" in output
    np.testing.assert_allclose(
        names["mine"].positions_angstrom_zyx, names["picks"].positions_angstrom_zyx, atol=1e-6
    )
    np.testing.assert_allclose(names["mine"].rotations_zyx, names["picks"].rotations_zyx, atol=1e-6)
    assert "points particles" in output


def test_export_picks_writes_three_formats(run, tmp_path):
    run("export_picks.py", tmp_path)

    counts = {
        len(read_picks(tmp_path / f"ribosomes{suffix}")) for suffix in (".star", ".tbl", ".json")
    }
    assert len(counts) == 1
    assert counts.pop() > 10


def test_download_run_fetches_nothing_the_second_time(run, tmp_path, demo_pack):
    first, second = (run("download_run.py", "demo", tmp_path / "runs")[1] for _ in range(2))

    assert json.loads((tmp_path / "runs" / "manifest.json").read_text())["is_complete"]
    assert "0 already complete" in first
    assert "0 files fetched" in second
    assert read_basket(tmp_path / "runs" / "basket.toml").source == str(demo_pack.resolve())


def test_datasets_become_a_table(run):
    _names, output = run("datasets_as_table.py")
    assert "90001" in output


def test_a_tomogram_becomes_an_array(run):
    names, _output = run("tomogram_as_array.py")
    assert names["plane"].shape == names["volume"].shape_zyx[1:]


def test_picks_become_a_table_and_picks_again(run, tmp_path):
    write_picks(Picks([[0, 1, 2], [8, 5, 6]], 10.0), tmp_path / "two.csv")
    names, output = run("picks_to_pandas.py", tmp_path / "two.csv")
    assert names["upper_half"].points_zyx.tolist() == [[8, 5, 6]]
    assert "1 of 2" in output


def test_find_split_export_writes_a_copick_project(run, tmp_path):
    names, output = run("find_split_export.py")
    assert "picks" in output
    assert set(names["basket"].split.of_runs) == set(names["matches"].run_ids)
    assert (tmp_path / "ribosomes" / "config.json").is_file()


def test_ribosomes_to_train_writes_a_copick_project(run, tmp_path):
    names, output = run("ribosomes_to_train.py", tmp_path, 40)  # the small demo is coarse

    assert "DEMO_001" in output.splitlines()[1]
    assert names["project"].n_picks > 10
    assert json.loads((tmp_path / "pack" / "manifest.json").read_text())["is_complete"]
    assert (tmp_path / "copick" / "config.json").is_file()
