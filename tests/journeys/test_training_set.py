"""A training set of a portal: search, basket, split, crops and a copick project; then a new release.

The portal's runs have tomograms of several voxel sizes. Voxels of a tomogram are a ramp in
ångström that no other run has, so each crop shows whether it was cut and resampled right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from generated_portal import HTTPS, write_generated_pack
from napari_cryoet import read_basket
from napari_cryoet.cli import main
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.packs.pack import Pack, write_pack
from portal_server import PortalServer
from server import Server

Captured = pytest.CaptureFixture[str]
Tables = dict[str, list[dict[str, Any]]]

SEARCH = ("--object", "ribosome", "--ground-truth")
SHAPE_ZYX = (16, 20, 24)
LATER = "2031-01-01T00:00:00+00:00"
ORIENTATION = {"type": "orientedPoint", "xyz_rotation_matrix": np.eye(3).tolist()}


class Releases:
    """A server of a portal, whose second release has a run more and an annotation less.

    Attributes
    ----------
    pack
        The tables and files that are served.
    new_run
        The id of the run that only the second release has.
    withdrawn, changed, added
        Ids of annotations that match the search.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        sizes = {"n_datasets": 4, "n_runs": 16, "n_annotations": 100, "seed": 49}
        self.pack = write_generated_pack(folder, **sizes)
        self._tables: Tables = {name: [*rows] for name, rows in self.pack.tables.items()}
        grid = {f"size{axis}": size for axis, size in zip("ZYX", SHAPE_ZYX, strict=True)}
        grid |= {f"offset{axis}": 0 for axis in "ZYX"}
        self._tables["tomograms"] = [row | grid for row in self._tables["tomograms"]]
        write_files(self.pack)
        matches = [row for row in self._tables["annotations"] if is_match(row)]
        of_runs = Counter(row["runId"] for row in matches)
        matches.sort(key=lambda row: of_runs[row["runId"]])
        self.new_run = matches[0]["runId"]
        self.added = matches[0]["id"]
        self.changed, self.withdrawn = (row["id"] for row in matches[-2:])  # of one run
        first = without_run(self._tables, self.new_run)
        self.pack = write_pack(folder, self.pack.manifest, first)
        self._server = PortalServer(server, folder)
        self.url = self._server.url

    def publish(self) -> None:
        """Replace the first release by the second one."""
        annotations = {row["id"]: row for row in self._tables["annotations"]}
        del annotations[self.withdrawn]
        annotations[self.changed] |= {"lastModifiedDate": LATER}
        tables = self._tables | {"annotations": [*annotations.values()]}
        self.pack = write_pack(self.pack.folder, self.pack.manifest, tables)
        self._server.release(self.pack.folder)


def without_run(tables: Tables, run_id: int) -> Tables:
    """The tables before a run was added."""
    annotations = {row["id"] for row in tables["annotations"] if row["runId"] == run_id}
    shapes = {row["id"] for row in tables["annotationShapes"] if row["annotationId"] in annotations}

    def is_left(row: Mapping[str, Any]) -> bool:
        return (
            row.get("runId") != run_id
            and row.get("annotationId") not in annotations
            and row.get("annotationShapeId") not in shapes
        )

    left = {name: [row for row in rows if is_left(row)] for name, rows in tables.items()}
    return left | {"runs": [row for row in left["runs"] if row["id"] != run_id]}


def is_match(annotation: Mapping[str, Any]) -> bool:
    return "ribosome" in annotation["objectName"].casefold() and annotation["groundTruthStatus"]


def ramp(run_id: int, zyx_angstrom: Sequence[Any]) -> Any:
    z, y, x = zyx_angstrom
    return 1000.0 * run_id + (3 * z - 2 * y + x) / 10


def write_files(pack: Pack) -> None:
    """Write the tomograms and all picks of runs with matches."""
    runs = {row["runId"] for row in pack.tables["annotations"] if is_match(row)}
    for row in pack.tables["tomograms"]:
        if row["runId"] in runs:
            zyx = np.indices(SHAPE_ZYX) * row["voxelSpacing"]
            path = path_of(pack, row["httpsOmezarrDir"])
            path.parent.mkdir(parents=True)
            write_pyramid(path, ramp(row["runId"], zyx).astype("f4"), row["voxelSpacing"])
    annotations = {row["id"] for row in pack.tables["annotations"] if row["runId"] in runs}
    shapes = {row["id"]: row for row in pack.tables["annotationShapes"]}
    for row in pack.tables["annotationFiles"]:
        shape = shapes[row["annotationShapeId"]]
        if shape["annotationId"] in annotations and row["format"] == "ndjson":
            turn = ORIENTATION if shape["shapeType"] == "OrientedPoint" else {"type": "point"}
            path = path_of(pack, row["httpsPath"])
            path.parent.mkdir(parents=True)
            points = points_zyx(shape["annotationId"]).tolist()
            locations = [dict(zip("zyx", point, strict=True)) for point in points]
            path.write_text("\n".join(json.dumps(turn | {"location": at}) for at in locations))


def path_of(pack: Pack, url: str) -> Path:
    return pack.files / url.removeprefix(HTTPS)


def points_zyx(annotation_id: int) -> np.ndarray:
    """Three positions in voxels, away from the faces."""
    random = np.random.default_rng(annotation_id)
    return random.uniform(5, np.array(SHAPE_ZYX) - 6, (3, 3))


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Releases]:
    with Server() as server:
        yield Releases(server, tmp_path / "portal")


@pytest.mark.slow
def test_a_training_set_outlives_a_release(
    releases: Releases, tmp_path: Path, capsys: Captured
) -> None:
    basket = tmp_path / "training.toml"

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = main([*map(str, arguments)])
        return code, "".join(capsys.readouterr())

    def export(kind: str, name: str, *options: object) -> tuple[int, str]:
        return run("export", kind, basket, tmp_path / name, "--as", "ribosome", *options)

    def export_crops(name: str) -> tuple[int, str]:
        return export("crops", name, "--voxel-size", 14, "--size", 4, "--distance", 40)

    source = ("--source", releases.url, "--with-tomogram", "default")
    assert run("basket", "add", basket, *source, *SEARCH)[0] == 0
    assert run("basket", "split", basket, "50,25,25")[0] == 0
    before = read_basket(basket).split.of_runs
    assert {*before.values()} == {"train", "validation", "test"}
    for code, said in (export_crops("first.zarr"), export("copick", "first")):
        assert code == 0, said
    parts = check_crops(tmp_path / "first.zarr")
    assert check_project(tmp_path / "first", releases.pack) == parts

    releases.publish()
    changes = (f"AN-{releases.withdrawn}: withdrawn", f"AN-{releases.changed} (")
    code, said = export_crops("aged.zarr")
    assert code == 4, said
    assert all(change in said for change in changes), said
    code, said = run("basket", "check", basket, "--update")
    assert code == 0, said
    assert f"AN-{releases.added}: new match" in said
    assert run("basket", "split", basket, "50,25,25")[0] == 0
    after = read_basket(basket).split.of_runs
    assert after.keys() - before.keys() == {releases.new_run}
    assert all(before.get(run_id, part) == part for run_id, part in after.items())

    for code, said in (export_crops("second.zarr"), export("copick", "second")):
        assert code == 0, said
    parts_after = check_crops(tmp_path / "second.zarr")
    assert check_project(tmp_path / "second", releases.pack) == parts_after
    assert all(parts.get(name, part) == part for name, part in parts_after.items())


def check_crops(path: Path) -> dict[str, str]:
    """Check that crops show their runs at their positions; returns the part of each run."""
    group = zarr.open_group(path, mode="r")
    about = {run["name"]: run for run in group.attrs["runs"]}
    names = group["run"][:]
    assert group.attrs["is_complete"]
    assert len({run["level_spacing_angstrom"] for run in about.values()}) > 1
    assert {run["spacing_angstrom"] for run in about.values()} == {14}
    objects = {each["label"]: each["name"] for each in group.attrs["objects"]}
    assert {objects[label] for label in group["label"][:]} == {"background", "ribosome"}
    run_ids = np.array([about[name]["run_id"] for name in names])
    expected = ramp(run_ids, group["position_angstrom"][:].T)
    is_whole = group["inside"][:] == 1
    middle = group["crops"][:, 2, 2, 2]
    np.testing.assert_allclose(middle[is_whole], expected[is_whole], rtol=0, atol=0.05)
    assert not group["shift"][:].any()
    return dict(zip(names.tolist(), group["split"][:].tolist(), strict=True))


def check_project(folder: Path, pack: Pack) -> dict[str, str]:
    """Check that a project has the picks of all matches; returns the part of each run."""
    spacings = {row["runId"]: row["voxelSpacing"] for row in pack.tables["tomograms"]}
    expected: list[list[float]] = []
    for row in pack.tables["annotations"]:
        if is_match(row):
            expected += (points_zyx(row["id"]) * spacings[row["runId"]]).tolist()
    found: list[list[float]] = []
    for path in folder.glob("static/ExperimentRuns/*/Picks/*_ribosome.json"):
        locations = [point["location"] for point in json.loads(path.read_text())["points"]]
        found += [[location[axis] for axis in "zyx"] for location in locations]
    np.testing.assert_allclose(sorted(found), sorted(expected))
    splits = json.loads((folder / "splits.json").read_text())
    return {run: part for part, runs in splits.items() for run in runs}
