"""Pick files: round trips in each format, losses, refused files, and provenance."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_cryoet import (
    ExistsError,
    FormatError,
    MissingContextError,
    Picks,
    SaveError,
    read_picks,
    write_picks,
)

SUFFIXES = {
    "ndjson": ".ndjson",
    "relion5": ".star",
    "relion4": ".star",
    "relion3": ".star",
    "dynamo": ".tbl",
    "copick": ".json",
    "csv": ".csv",
    "parquet": ".parquet",
}
FORMATS = tuple(SUFFIXES)
WITHOUT_IDS, WITHOUT_FEATURES = {"copick"}, {"copick", "dynamo"}
ABOUT = {
    "authors": ["Ada", "Grace_data_"],
    "deposition_id": 10310,
    "run_name": "TS_026",
    "object_name": "cytosolic ribosome",
    "records": {"annotation": {"id": 7, "text": "loop_ # version 1"}},
}
ROTATIONS_XYZ = Rotation.from_euler(
    "xyz", [[10, 20, 30], [0, 0, 0], [180, 5, -60]], degrees=True
).as_matrix()


@pytest.fixture
def picks():
    return Picks(
        [[1.25, 2.5, 3.75], [40.0, 50.0, 60.0], [99.0, 0.0, 17.123456789]],
        13.48,
        rotations_zyx=ROTATIONS_XYZ[:, ::-1, ::-1],
        instance_ids=[4, -1, 2**40],
        scores=[0.1, np.nan, 1 / 3],
        features={
            "class": np.array([1, 2, 3]),
            "by": np.array(["me", "you & 'I' #1", ""], dtype=object),
        },
        ids=[3, 7, 1],
        shape_zyx=(100, 928, 960),
        alignment_id=17,
        about=ABOUT,
        edits=("1 of 4 picks deleted",),
    )


def save(picks, folder, name, **options):
    folder.mkdir(exist_ok=True)
    return write_picks(picks, folder / f"picks{SUFFIXES[name]}", format=name, **options)


def columns_of(picks):
    return {name: column.tolist() for name, column in picks.features.items()}


@pytest.mark.parametrize("name", FORMATS)
class TestRoundTrip:
    def test_keeps_everything(self, picks, tmp_path, name):
        loaded = read_picks(save(picks, tmp_path, name).path)

        np.testing.assert_allclose(loaded.points_zyx, picks.points_zyx, atol=1e-9)
        np.testing.assert_allclose(loaded.rotations_zyx, picks.rotations_zyx, atol=1e-9)
        np.testing.assert_array_equal(loaded.scores, picks.scores)
        np.testing.assert_array_equal(loaded.instance_ids, picks.instance_ids)
        assert (loaded.spacing_angstrom, loaded.shape_zyx, loaded.alignment_id) == (
            13.48,
            (100, 928, 960),
            17,
        )
        assert loaded.edits == picks.edits
        assert ABOUT.items() <= loaded.about.to_dict().items()
        if name not in WITHOUT_IDS:
            assert loaded.ids.tolist() == [3, 7, 1]
        if name not in WITHOUT_FEATURES:
            assert columns_of(loaded) == columns_of(picks)

    def test_missing_columns_stay_missing(self, picks, tmp_path, name):
        bare = picks.changed(
            rotations_zyx=None, instance_ids=None, scores=None, features={}, ids=None
        )
        loaded = read_picks(save(bare, tmp_path, name).path)
        none = read_picks(save(Picks([], 10.0, shape_zyx=(4, 5, 6)), tmp_path / "none", name).path)

        assert loaded.rotations_zyx is loaded.instance_ids is loaded.scores is None
        assert loaded.ids.tolist() == [0, 1, 2]
        assert (len(none), none.spacing_angstrom) == (0, 10.0)

    def test_positions_are_converted_to_the_requested_spacing(self, picks, tmp_path, name):
        path = save(picks, tmp_path, name).path
        loaded = read_picks(path, spacing_angstrom=6.74, shape_zyx=(200, 1856, 1920))

        np.testing.assert_allclose(loaded.points_zyx, picks.points_zyx * 2, atol=1e-9)
        assert (loaded.spacing_angstrom, loaded.shape_zyx) == (6.74, (200, 1856, 1920))

    def test_files_are_overwritten_only_if_asked(self, picks, tmp_path, name):
        path = tmp_path / f"picks{SUFFIXES[name]}"
        path.write_text("mine")

        with pytest.raises(ExistsError):
            write_picks(picks, path, format=name)
        assert path.read_text() == "mine"
        assert [file.name for file in tmp_path.iterdir()] == [path.name]

        write_picks(picks, path, format=name, overwrite=True)
        assert len(read_picks(path)) == 3


@st.composite
def many_picks(draw):
    """Up to 40 picks with unusual numbers, including rotations with ambiguous angles."""
    count, random = draw(st.integers(1, 40)), np.random.default_rng(draw(st.integers(0, 2**32)))
    angles = random.choice([0, 90, 180, 1e-9, 89.9999999, 33.3], (count, 3))
    points = np.array(draw(st.lists(st.floats(-2000, 5000), min_size=4, max_size=8)))
    scores = np.array([0.1 + 0.2, 2.0**53, -1e-6, np.nan, 1 / 3])
    return Picks(
        points[random.integers(0, len(points), (count, 3))],
        draw(st.floats(0.5, 50)),
        rotations_zyx=draw(
            st.sampled_from([None, Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()])
        ),
        scores=draw(st.sampled_from([None, np.resize(scores, count)])),
        ids=random.permutation(np.arange(2**31 - 100, 2**31))[:count],
        shape_zyx=(300, 928, 960),
    )


@settings(max_examples=40)
@given(many_picks(), st.sampled_from(FORMATS), st.sampled_from(FORMATS))
def test_conversion_between_formats_is_lossless(tmp_path_factory, picks, first, second):
    folder = tmp_path_factory.mktemp("pair")
    between = read_picks(save(picks, folder / "first", first).path)
    loaded = read_picks(save(between, folder / "second", second).path)

    np.testing.assert_allclose(loaded.points_zyx, picks.points_zyx, atol=1e-3)
    assert loaded.spacing_angstrom == pytest.approx(picks.spacing_angstrom)
    if picks.rotations_zyx is not None and not (picks.rotations_zyx == np.eye(3)).all():
        np.testing.assert_allclose(loaded.rotations_zyx, picks.rotations_zyx, atol=1e-6)
    if picks.scores is not None:
        np.testing.assert_array_equal(loaded.scores, picks.scores)
    if not {first, second} & WITHOUT_IDS:
        np.testing.assert_array_equal(loaded.ids, picks.ids)


class TestLosses:
    @pytest.mark.parametrize("name", FORMATS)
    def test_are_reported(self, picks, tmp_path, name):
        rotations = np.array(picks.rotations_zyx)
        rotations[1] = np.nan
        saved = save(picks.changed(rotations_zyx=rotations), tmp_path, name)

        losses = " ".join(saved.losses)
        assert ("by" in losses) == (name in WITHOUT_FEATURES), losses
        if "orientation" not in losses:
            np.testing.assert_allclose(read_picks(saved.path).rotations_zyx, rotations, atol=1e-9)

    @pytest.mark.parametrize("name", ["ndjson", "relion5", "csv", "parquet"])
    def test_unusual_columns_are_kept_or_reported(self, picks, tmp_path, name):
        names = [" score", "x_voxel ", "a\nb", 'a"b', "a,b", "é ü", "", "A", "a", "0", "Unnamed: 4"]
        columns = {column: np.array([row, row + 1, row + 2]) for row, column in enumerate(names)}
        columns["when"] = np.array(["2026-01-02", "NaT", "2026-01-03"], dtype="M8[D]")
        saved = save(picks.changed(features=columns), tmp_path, name)
        loaded = columns_of(read_picks(saved.path))

        losses = " ".join(saved.losses)
        assert {column for column in names if repr(column)[1:-1] not in losses} <= loaded.keys()
        assert loaded.pop("when") == ["2026-01-02", "", "2026-01-03"]
        assert all(loaded[column] == columns[column].tolist() for column in loaded)


class TestErrors:
    def test_a_wrong_suffix_is_refused(self, picks, tmp_path):
        with pytest.raises(SaveError, match=r"\.star"):
            write_picks(picks, tmp_path / "picks.xyz")
        with pytest.raises(SaveError, match="suffix"):
            write_picks(picks, tmp_path / "picks.ndjson", format="dynamo")
        with pytest.raises(ValueError, match="format"):
            write_picks(picks, tmp_path / "picks.star", format="relion9")
        assert list(tmp_path.iterdir()) == []

    def test_missing_context_is_named(self, picks, tmp_path):
        unknown = picks.changed(shape_zyx=None, spacing_angstrom=None)
        with pytest.raises(MissingContextError) as raised:
            write_picks(unknown, tmp_path / "picks.star", format="relion5")

        assert raised.value.missing == ("spacing_angstrom", "shape_zyx")
        assert list(tmp_path.iterdir()) == []

    def test_star_files_use_the_newest_version_possible(self, picks, tmp_path):
        candidates = [
            picks,
            picks.changed(shape_zyx=None),
            picks.changed(shape_zyx=None, spacing_angstrom=None),
        ]
        formats = [
            write_picks(each, tmp_path / f"{number}.star").format
            for number, each in enumerate(candidates)
        ]

        assert formats == ["relion5", "relion4", "relion3"]

    def test_files_without_picks_are_refused(self, tmp_path):
        contents = {
            "other.json": '{"points": [[1, 2, 3]]}',
            "other.csv": "a,b,c\n1,2,3\n",
            "other.tbl": "x y z\n1 2 3\n",
            "other.star": "stars",
            "other.parquet": "PAR1",
            "notes.txt": "hello",
            "empty.csv": "",
        }
        for name, content in contents.items():
            (tmp_path / name).write_text(content)
        (tmp_path / "a.star.gz").write_bytes(gzip.compress(b"data_particles"))
        for name in (*contents, "a.star.gz", "nothing.star"):
            with pytest.raises(FormatError, match=re.escape(name)):
                read_picks(tmp_path / name)


class TestProvenance:
    def test_does_not_overwrite_other_files(self, picks, tmp_path):
        notes = tmp_path / "a.ndjson.provenance.json"
        notes.write_text('{"by": "me"}')

        with pytest.raises(SaveError, match="provenance"):
            write_picks(picks, tmp_path / "a.ndjson", overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == [notes.name]
        assert notes.read_text() == '{"by": "me"}'

    def test_is_in_the_file_or_beside_it(self, picks, tmp_path):
        for name in FORMATS:
            saved = save(picks, tmp_path / name, name, who="Rosalind")
            beside = sorted(path.name for path in saved.path.parent.iterdir() if path != saved.path)
            assert beside == ([] if saved.provenance_path is None else [saved.provenance_path.name])
            if saved.provenance_path is not None:
                notes = json.loads(saved.provenance_path.read_text())
                assert notes["source"]["authors"] == ABOUT["authors"]
                assert notes["written_by"] == "Rosalind"
                assert notes["edits"] == ["1 of 4 picks deleted"]


def test_alignment_id_selects_one_of_several_alignments(tmp_path):
    (tmp_path / "a.csv").write_text("z_voxel,y_voxel,x_voxel,alignment_id\n1,2,3,17\n4,5,6,18\n")
    both, one = read_picks(tmp_path / "a.csv"), read_picks(tmp_path / "a.csv", alignment_id=18)

    assert (len(both), both.alignment_id) == (2, None)
    assert any("alignment" in warning for warning in both.about.warnings)
    assert (one.points_zyx.tolist(), one.alignment_id) == ([[4, 5, 6]], 18)
