import gzip
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from napari_cryoet import load_annotation
from napari_cryoet.exceptions import ExistsError, FormatError, MissingContextError, SaveError
from napari_cryoet.pick_files import read_picks, write_kept, write_picks
from napari_cryoet.pick_formats import FORMATS, SUFFIXES, TITLES, detect_format, format_for, losses, missing_for
from napari_cryoet.picks import NO_INSTANCE, Picks

ABOUT = {
    "authors": ["Ada", "Grace_data_"],
    "dois": ["10.1/x"],
    "deposition_id": 10310,
    "licence": "CC0-1.0",
    "annotation_method": "template matching",
    "run_name": "TS_026",
    "object_name": "cytosolic ribosome",
    "records": {"annotation": {"id": 7, "text": "loop_ # version 1"}},
}
ROTATIONS_XYZ = Rotation.from_euler("xyz", [[10, 20, 30], [0, 0, 0], [180, 5, -60]], degrees=True).as_matrix()


@pytest.fixture
def picks():
    return Picks(
        [[1.25, 2.5, 3.75], [40.0, 50.0, 60.0], [99.0, 0.0, 17.123456789]],
        13.48,
        rotations_zyx=ROTATIONS_XYZ[:, ::-1, ::-1],
        instance_ids=[4, NO_INSTANCE, 2**40],
        scores=[0.1, np.nan, 1 / 3],
        features={"class": np.array([1, 2, 3]), "by": np.array(["me", "you & 'I' #1", ""], dtype=object)},
        ids=[3, 7, 1],
        shape_zyx=(100, 928, 960),
        alignment_id=17,
        about=ABOUT,
        edits=("1 of 4 picks deleted",),
    )


def written(picks, folder, name, **options):
    return write_picks(picks, folder / f"picks{SUFFIXES[name]}", format=name, **options).path


#: What each format holds by itself or with the .provenance.json beside it.
WITHOUT_IDS = {"copick"}
WITHOUT_FEATURES = {"copick", "dynamo"}


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_again_as_it_was(picks, tmp_path, name):
    found = read_picks(written(picks, tmp_path, name))

    np.testing.assert_allclose(found.points_zyx, picks.points_zyx, atol=1e-9)
    np.testing.assert_allclose(found.rotations_zyx, picks.rotations_zyx, atol=1e-9)
    np.testing.assert_array_equal(found.scores, picks.scores)
    np.testing.assert_array_equal(found.instance_ids, picks.instance_ids)
    assert found.spacing_angstrom == 13.48
    assert found.shape_zyx == (100, 928, 960)
    assert found.alignment_id == 17
    assert found.edits == picks.edits
    if name not in WITHOUT_IDS:
        np.testing.assert_array_equal(found.ids, picks.ids)
    if name not in WITHOUT_FEATURES:
        assert {key: column.tolist() for key, column in found.features.items()} == {
            key: column.tolist() for key, column in picks.features.items()
        }
    assert {key: found.about[key] for key in ABOUT} == ABOUT


@pytest.mark.parametrize("name", FORMATS)
def test_no_rotations_stay_none(picks, tmp_path, name):
    bare = picks.changed(rotations_zyx=None, instance_ids=None, scores=None, features={}, ids=None)
    found = read_picks(written(bare, tmp_path, name))

    assert found.rotations_zyx is None
    assert found.instance_ids is None
    assert found.scores is None
    assert found.ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["ndjson", "relion5", "relion4", "relion3", "csv", "parquet"])
def test_picks_with_and_without_orientation_stay_apart(picks, tmp_path, name):
    rotations = np.array(picks.rotations_zyx)
    rotations[1] = np.nan
    found = read_picks(written(picks.changed(rotations_zyx=rotations), tmp_path, name))

    np.testing.assert_allclose(found.rotations_zyx, rotations, atol=1e-9)


@pytest.mark.parametrize("name", ["dynamo", "copick"])
def test_what_has_no_way_to_say_that_an_orientation_is_unknown_says_so_before(picks, name):
    rotations = np.array(picks.rotations_zyx)
    rotations[1] = np.nan

    assert any("without orientation (1) get" in loss for loss in losses(picks.changed(rotations_zyx=rotations), name))


@pytest.mark.parametrize(("name", "called"), [("a.csv", "row"), ("a.parquet", "row"), ("a.json", "point")])
def test_matrices_that_are_no_rotations_are_named_when_they_are_read(tmp_path, name, called):
    matrices = np.stack([np.eye(3), np.diag([1.0, 1.0, -1.0]), np.full((3, 3), np.nan), 2 * np.eye(3)])
    bad = Picks(np.ones((4, 3)), 10.0, rotations_zyx=matrices, about={"object_name": "VLP"})
    found = read_picks(write_picks(bad, tmp_path / name).path, spacing_angstrom=10.0)

    (warning,) = found.about["warnings"]
    assert "orientations aren't rotations" in warning
    assert warning.endswith(f"({called}s 2, 4).")


@pytest.mark.parametrize("name", FORMATS)
def test_no_picks_at_all_make_a_file_too(tmp_path, name):
    found = read_picks(written(Picks([], 10.0, shape_zyx=(4, 5, 6)), tmp_path, name))

    assert len(found) == 0
    assert found.spacing_angstrom == 10.0


# ---- from format to format

FINITE = st.floats(-2000, 5000, allow_nan=False)
SCORES = st.floats(-1e6, 1e6) | st.just(np.nan)


@st.composite
def many_picks(draw):
    """Up to 60 picks, each with some of the odd values that were drawn: one file tries them all beside each other."""
    count, random = draw(st.integers(1, 60)), np.random.default_rng(draw(st.integers(0, 2**32)))

    def of(values, *size, dtype=np.float64):
        pool = np.array(draw(st.lists(values, min_size=4, max_size=8)), dtype=dtype)
        return pool[random.integers(0, len(pool), (count, *size))]

    quaternions = of(st.floats(-1, 1), 4)
    quaternions[np.linalg.norm(quaternions, axis=1) < 0.1] = [0, 0, 0, 1]
    instances = of(st.integers(-1, 2**53), dtype=np.int64)
    return Picks(
        of(FINITE, 3),
        draw(st.floats(0.5, 50)),
        rotations_zyx=draw(st.sampled_from([None, Rotation.from_quat(quaternions).as_matrix()])),
        instance_ids=None if set(instances.tolist()) <= {0, NO_INSTANCE} else instances,
        scores=draw(st.sampled_from([None, of(SCORES.filter(lambda score: score not in (0, 1)))])),
        ids=random.permutation(np.arange(2**31 - 100, 2**31))[:count],
        shape_zyx=(300, 928, 960),
    )


def odd_picks():
    """Each rotation near which angles are ambiguous, with numbers that need all of their digits, and odd columns."""
    angles = list(itertools.product([0, 90, 180, 1e-9, 89.9999999, 180 - 1e-9, 33.3], repeat=3))
    count = len(angles)
    texts = np.array(["", "nan", "1e3", "007", "a b", "'"], dtype=object)
    return Picks(
        np.resize([0.0, -0.0, 1 / 3, 1e-9, 4999.999999999999], (count, 3)),
        3.3,
        rotations_zyx=Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix(),
        instance_ids=np.resize([2**53, NO_INSTANCE, 5], count),
        scores=np.resize([np.nan, 1e-300, -1.7e308, 2.0**53, 0.1 + 0.2], count),
        features={"n": np.resize([2**53 + 1, -(2**63), 2**63 - 1], count), "by": np.resize(texts, count)},
        ids=np.arange(count) + 2**40,
        shape_zyx=(300, 928, 960),
    )


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(FORMATS, 2)))
@settings(max_examples=5)
@given(picks=many_picks())
@example(picks=odd_picks())
def test_nothing_is_lost_from_one_format_to_another(tmp_path_factory, picks, first, second):
    folder = tmp_path_factory.mktemp("pair")
    between = read_picks(written(picks, folder, first))
    found = read_picks(written(between, folder / "second", second))

    np.testing.assert_allclose(found.points_zyx, picks.points_zyx, atol=1e-3)
    assert found.spacing_angstrom == pytest.approx(picks.spacing_angstrom)
    if picks.rotations_zyx is not None and not (picks.rotations_zyx == np.eye(3)).all():
        np.testing.assert_allclose(found.rotations_zyx, picks.rotations_zyx, atol=1e-6)
    if picks.scores is not None and not np.isnan(picks.scores).all():
        np.testing.assert_array_equal(found.scores, picks.scores)
    if picks.instance_ids is not None:
        np.testing.assert_array_equal(found.instance_ids, picks.instance_ids)
    if not {first, second} & WITHOUT_IDS:
        np.testing.assert_array_equal(found.ids, picks.ids)
    if not {first, second} & WITHOUT_FEATURES:
        assert {name: column.tolist() for name, column in found.features.items()} == {
            name: column.tolist() for name, column in picks.features.items()
        }


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable() and name.strip() == name)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@pytest.mark.parametrize("name", ["ndjson", "relion5", "csv", "parquet"])
@settings(max_examples=40)
@given(
    columns=st.dictionaries(
        NAMES,
        st.one_of(
            st.lists(TEXTS, min_size=3, max_size=3).map(lambda texts: np.array(texts, dtype=object)),
            hnp.arrays(np.int64, 3),
            hnp.arrays(float, 3, elements=st.floats(allow_infinity=False)),
            hnp.arrays(bool, 3),
        ),
        max_size=3,
    )
)
def test_further_columns_of_any_name_and_content_come_back(tmp_path_factory, name, columns):
    picks = Picks(np.ones((3, 3)), 10.0, features=columns, shape_zyx=(4, 5, 6))
    said = [loss for loss in losses(picks, name) if loss.startswith("Columns called")]
    found = read_picks(written(picks, tmp_path_factory.mktemp("columns"), name))

    kept = {key: column for key, column in columns.items() if not any(key in loss for loss in said)}
    for key, column in kept.items():
        np.testing.assert_array_equal(found.features[key], column)


# ---- files and consent


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_that_is_there_is_replaced_unasked(picks, tmp_path, name):
    path = tmp_path / f"picks{SUFFIXES[name]}"
    path.write_text("mine")

    with pytest.raises(ExistsError, match="already"):
        write_picks(picks, path, format=name)
    assert path.read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]

    write_picks(picks, path, format=name, overwrite=True)
    assert len(read_picks(path)) == 3


@pytest.mark.parametrize(("name", "start"), [("a.star", "TS_1"), ("a.tbl", "1")])
def test_a_file_of_several_tomograms_is_never_replaced_by_the_picks_of_one(picks, tmp_path, name, start):
    path = tmp_path / name
    if name == "a.star":
        labels = "".join(f"_{label}\n" for label in ("rlnTomoName", *(f"rlnCoordinate{axis}" for axis in "XYZ")))
        path.write_text(f"data_particles\n\nloop_\n{labels}TS_1 1 2 3\nTS_2 4 5 6\n")
    else:
        rows = [["1", *["0"] * 18, tomogram, *["0"] * 3, "4", "5", "6"] for tomogram in ("1", "2")]
        path.write_text("\n".join(map(" ".join, rows)) + "\n")
    before = path.read_bytes()
    kept = read_picks(path, tomogram=start)

    with pytest.raises(SaveError, match=r"holds the picks of 2 tomograms: .* would replace them all") as raised:
        write_picks(kept, path, overwrite=True)
    assert "Choose another name" in str(raised.value)
    assert path.read_bytes() == before
    made = write_picks(kept, tmp_path / f"kept{path.suffix}").path
    assert len(read_picks(write_picks(kept, made, overwrite=True).path)) == 1


def test_a_file_of_ours_that_came_to_hold_several_tomograms_isnt_replaced_either(picks, tmp_path):
    """Rows of another were added to it by hand, below the notes that we wrote."""
    path = write_picks(picks, tmp_path / "a.star", format="relion4").path
    text = path.read_text().rstrip("\n")
    others = [row for row in text.splitlines() if row[:1].isdigit() and "\tTS_" in row]
    path.write_text("\n".join([text, *(row.replace("\tTS_", "\tother_TS_") for row in others)]) + "\n")
    before = path.read_bytes()

    with pytest.raises(SaveError, match="holds the picks of 2 tomograms"):
        write_picks(picks, path, format="relion4", overwrite=True)
    assert path.read_bytes() == before


def test_a_provenance_that_is_there_isnt_replaced_unasked_either(picks, tmp_path):
    (tmp_path / "picks.csv.provenance.json").write_text("mine")

    with pytest.raises(ExistsError):
        write_picks(picks, tmp_path / "picks.csv")
    assert not (tmp_path / "picks.csv").exists()


@pytest.mark.parametrize("name", ["a.ndjson", "a.star"])
def test_a_persons_own_file_that_is_called_as_a_provenance_is_never_touched(picks, tmp_path, name):
    notes = tmp_path / f"{name}.provenance.json"
    notes.write_text('{"by": "me"}')
    if name == "a.star":  # which has its provenance inside
        write_picks(picks, tmp_path / name, overwrite=True)
    else:
        with pytest.raises(SaveError, match=r"a\.ndjson\.provenance\.json is somebody's own file"):
            write_picks(picks, tmp_path / name, overwrite=True)
        assert not (tmp_path / name).exists()

    assert notes.read_text() == '{"by": "me"}'


def test_a_file_that_fails_half_way_leaves_nothing(picks, tmp_path, monkeypatch):
    def fail(_picks, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_cryoet.formats.tables.write_csv", fail)
    with pytest.raises(SaveError, match="No space left"):
        write_picks(picks, tmp_path / "picks.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["a.star", "a.parquet", "a.tbl", "a.ndjson"])
def test_names_as_long_as_the_disk_takes_are_taken_and_longer_ones_refused(picks, tmp_path, name, overwrite):
    needed = len(".provenance.json") if name in {"a.tbl", "a.ndjson"} else 0  # beside those that lack it inside
    longest, longer = (name.rjust(255 - needed + more, "a") for more in (0, 1))
    for _ in range(1 + overwrite):
        write_picks(picks, tmp_path / longest, overwrite=overwrite)
    assert len(read_picks(tmp_path / longest)) == len(picks)
    with pytest.raises(SaveError, match="File name too long"):
        write_picks(picks, tmp_path / longer, overwrite=overwrite)
    with pytest.raises(SaveError, match="File name too long"):
        write_picks(picks, tmp_path / name.rjust(300, "a"), overwrite=overwrite)


def test_a_name_that_says_no_format_is_refused_in_words(picks, tmp_path):
    with pytest.raises(SaveError, match=r"Let it end in"):
        write_picks(picks, tmp_path / "picks.xyz")


def test_a_star_file_is_of_the_newest_version_for_which_enough_is_known(picks):
    assert format_for("a.star", picks) == "relion5"
    assert format_for("a.star", picks.changed(shape_zyx=None)) == "relion4"
    assert format_for("a.star", picks.changed(shape_zyx=None, spacing_angstrom=None)) == "relion3"


def test_what_a_format_needs_is_said_by_name(picks, tmp_path):
    unknown = picks.changed(shape_zyx=None, spacing_angstrom=None)

    assert missing_for(unknown, "relion5") == ("spacing_angstrom", "shape_zyx")
    assert missing_for(unknown, "copick") == ("spacing_angstrom",)
    assert missing_for(unknown, "ndjson") == ()
    with pytest.raises(MissingContextError, match="the voxel spacing and the size of the volume") as raised:
        write_picks(unknown, tmp_path / "picks.star", format="relion5")
    assert raised.value.missing == ("spacing_angstrom", "shape_zyx")


# ---- provenance


def test_the_provenance_beside_a_file_counts_only_for_that_file(picks, tmp_path):
    path = written(picks, tmp_path, "ndjson")
    beside = json.loads((tmp_path / "picks.ndjson.provenance.json").read_text())
    assert beside["source"]["authors"] == ABOUT["authors"]
    assert beside["software"].startswith("napari-cryoet ")
    assert beside["edits"] == ["1 of 4 picks deleted"]

    path.write_text(path.read_text().replace("13", "14", 1) + "\n")
    found = read_picks(path)
    assert "authors" not in found.about
    assert found.spacing_angstrom is None


def test_a_review_puts_on_record_who_kept_what_and_when(picks, tmp_path):
    made = write_kept(picks, [True, False, True], tmp_path / "kept.star", who="Rosalind")
    found = read_picks(made.path)

    assert made.count == len(found) == 2
    assert found.ids.tolist() == [3, 1]
    assert found.edits[0] == "1 of 4 picks deleted"
    assert found.edits[1].startswith("reviewed by Rosalind, 20")
    assert found.edits[1].endswith("2 of 3 picks kept")
    assert found.about["authors"] == ABOUT["authors"]


def test_a_file_that_another_program_shortened_says_so(picks, tmp_path):
    path = written(picks, tmp_path, "relion5")
    lines = path.read_text().rstrip().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")

    assert read_picks(path).edits[-1] == "changed by another program to 2 picks"


# ---- the example


def test_the_example_writes_for_three_programs(project_folder, demo_pack, tmp_path):
    command = [sys.executable, str(project_folder / "examples" / "export_picks.py"), str(demo_pack), str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    assert "dynamo: A table has no place for where picks come from" in told
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".json", ".star", ".tbl"]
    counts = {len(read_picks(tmp_path / f"ribosomes{suffix}")) for suffix in (".star", ".tbl", ".json")}
    assert len(counts) == 1
    assert counts.pop() > 10


# ---- detection


@pytest.mark.parametrize("name", FORMATS)
def test_a_files_content_says_its_format(picks, tmp_path, name):
    assert SUFFIXES[detect_format(written(picks, tmp_path, name))] == SUFFIXES[name]
    assert name in TITLES


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("other.json", '{"points": [[1, 2, 3]]}'),
        ("other.json", "[1, 2"),
        ("provenance.json", '{"user_id": "me"}'),
        ("other.csv", "a,b,c\n1,2,3\n"),
        ("bare.csv", "x,y,z\n1,2,3\n"),
        ("other.tbl", "x y z\n1 2 3\n"),
        ("short.tbl", "1 2 3\n"),
        ("other.star", "stars"),
        ("notes.txt", "hello"),
        ("empty.csv", ""),
    ],
)
def test_foreign_files_arent_claimed(tmp_path, name, content):
    (tmp_path / name).write_text(content)

    assert detect_format(tmp_path / name) is None
    with pytest.raises(FormatError):
        read_picks(tmp_path / name)


def test_a_file_that_isnt_there_is_told_in_words(tmp_path):
    with pytest.raises(FormatError, match="can't be read"):
        read_picks(tmp_path / "nothing.star")


def test_positions_are_counted_in_the_voxels_that_are_asked_for(picks, tmp_path):
    for name in FORMATS:
        found = read_picks(written(picks, tmp_path / name, name), spacing_angstrom=6.74, shape_zyx=(200, 1856, 1920))

        np.testing.assert_allclose(found.points_zyx, picks.points_zyx * 2, atol=1e-9)
        assert (found.spacing_angstrom, found.shape_zyx) == (6.74, (200, 1856, 1920))


def test_the_portals_folders_say_the_spacing(picks, tmp_path):
    folder = tmp_path / "VoxelSpacing13.480" / "Annotations"
    folder.mkdir(parents=True)
    path = written(picks, folder, "ndjson")
    (folder / "picks.ndjson.provenance.json").unlink()

    assert read_picks(path).spacing_angstrom == 13.48
    assert read_picks(path, spacing_angstrom=10.0).spacing_angstrom == 10.0


def test_a_long_history_doesnt_keep_a_file_from_being_opened(picks, tmp_path):
    edits = tuple(f"pick {number} moved by hand" for number in range(5_000))
    path = write_picks(replace(picks, edits=edits), tmp_path / "picks.star").path

    assert detect_format(path) == "relion5"
    assert read_picks(path).edits == edits


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in WITHOUT_FEATURES])
def test_columns_of_any_kind_are_written_as_texts_and_that_is_said(picks, tmp_path, name):
    columns = {
        "when": np.array(["2026-01-02", "NaT", "2026-01-03"], dtype="M8[D]"),
        "mixed": np.array([1, None, "a"], dtype=object),
        "huge": np.array([2**64 - 1, 0, 1], dtype=np.uint64),
    }
    made = write_picks(picks.changed(features=columns), tmp_path / f"picks{SUFFIXES[name]}", format=name)
    found = read_picks(made.path).features

    assert any("as texts: when, mixed, huge" in said for said in made.losses)
    assert {label: column.tolist() for label, column in found.items()} == {
        "when": ["2026-01-02", "", "2026-01-03"],
        "mixed": ["1", "", "a"],
        "huge": ["18446744073709551615", "0", "1"],
    }


def test_infinite_scores_are_left_out_of_json_and_that_is_said(picks, tmp_path):
    made = write_picks(picks.changed(scores=[0.5, np.inf, -np.inf]), tmp_path / "picks.ndjson")

    assert any("infinite" in said for said in made.losses)
    np.testing.assert_array_equal(read_picks(made.path).scores, [0.5, np.nan, np.nan])


def test_a_name_that_promises_another_format_is_refused(picks, tmp_path):
    with pytest.raises(SaveError, match="the name of another format"):
        write_picks(picks, tmp_path / "picks.ndjson", format="dynamo")
    assert write_picks(picks, tmp_path / "picks.txt", format="dynamo").path.is_file()


def test_what_is_no_file_of_its_kind_is_told_why(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    with pytest.raises(FormatError, match="holds no picks of copick: it has no"):
        read_picks(path)


@pytest.mark.parametrize("name", ["a.star.gz", "a.picks.csv.gz", "a.TBL.gz"])
def test_a_file_of_picks_that_was_compressed_is_called_so(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b"data_particles"))
    with pytest.raises(FormatError, match="is compressed with gzip"):
        read_picks(tmp_path / name)


def test_what_ndjson_cant_be_read_again_with_is_said(picks):
    texts = np.array(["x" * 2_000, "", ""], dtype=object)
    assert any(
        "more than 1,000 characters" in said for said in losses(replace(picks, features={"by": texts}), "ndjson")
    )
    many = {f"column {number}": np.arange(3) for number in range(65)}
    assert any("64 further columns" in said for said in losses(replace(picks, features=many), "ndjson"))


def test_columns_that_are_empty_for_all_picks_are_kept_beside_ndjson_and_that_is_said(picks, tmp_path):
    columns = {
        "note": np.array(["", "", ""], dtype=object),
        "rank": np.array([3, 2, 1]),
        "defocus": np.full(3, np.nan),
        "far": np.full(3, np.inf),
    }
    made = write_picks(replace(picks, features=columns), tmp_path / "a.ndjson")
    found = read_picks(made.path)

    assert any("no trace of columns without any value (note, defocus)" in said for said in made.losses)
    assert list(found.features) == list(columns)
    assert found.features["note"].tolist() == ["", "", ""]
    assert np.isnan(found.features["defocus"]).all()
    assert np.isnan(found.features["far"]).all()


def test_columns_of_no_picks_at_all_are_kept_beside_ndjson(picks, tmp_path):
    none = picks.take(np.zeros(3, dtype=bool), "none kept")
    found = read_picks(write_picks(none, tmp_path / "a.ndjson").path)

    assert {name: column.dtype for name, column in found.features.items()} == {"class": np.int64, "by": object}


@pytest.mark.parametrize("notes", [{"empty_columns": 3}, {"empty_columns": [[1], {"a": 1}]}])
def test_damaged_notes_of_empty_columns_are_no_matter(picks, tmp_path, notes):
    made = write_picks(picks, tmp_path / "a.ndjson")
    beside = json.loads(made.provenance_path.read_text())
    made.provenance_path.write_text(json.dumps(beside | notes))

    assert list(read_picks(made.path).features) == ["class", "by"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("instance", [-(2**63), 2**63 - 1])
def test_the_least_and_the_largest_instance_are_read_again_or_said_to_be_rounded(picks, tmp_path, name, instance):
    extreme = replace(picks, instance_ids=[instance, NO_INSTANCE, 3])
    found = read_picks(written(extreme, tmp_path, name))

    if name == "dynamo" and instance > 0:
        assert any("last digits" in said for said in losses(extreme, name))
    else:
        assert found.instance_ids.tolist() == [instance, NO_INSTANCE, 3]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_a_pipe_is_no_file_and_isnt_waited_for(tmp_path):
    os.mkfifo(tmp_path / "picks.star")

    with pytest.raises(FormatError, match="is no file"):
        read_picks(tmp_path / "picks.star")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.picks.csv", "z_voxel,y_voxel,x_voxel,alignment_id\n1,2,3,17\n4,5,6,18\n7,8,9,\n"),
        (
            "a.ndjson",
            '{"type": "point", "location": {"x": 1, "y": 2, "z": 3}, "alignment_id": 17}\n'
            '{"type": "point", "location": {"x": 1, "y": 2, "z": 3}, "alignment_id": 18}\n',
        ),
    ],
)
def test_picks_of_several_alignments_in_a_file_are_told(tmp_path, name, content):
    (tmp_path / name).write_text(content)

    picks = read_picks(tmp_path / name)

    assert picks.alignment_id is None
    assert "of 2 alignments (alignment_id 17, 18)" in picks.about["warnings"][-1]
    write_picks(picks, tmp_path / "b.star")
    assert "of 2 alignments" in read_picks(tmp_path / "b.star").about["warnings"][-1]

    (tmp_path / name).write_text(content.replace("18", "17"))
    assert "warnings" not in read_picks(tmp_path / name).about


@pytest.mark.parametrize("spelled", ["17", "17.0", "AL-17", '"17"'])
def test_the_picks_of_one_alignment_are_read_however_it_is_spelled(tmp_path, spelled):
    rows = f"1,2,3,{spelled},a\n4,5,6,{spelled.replace('7', '8')},b\n7,8,9,,c\n"
    (tmp_path / "a.csv").write_text("z_voxel,y_voxel,x_voxel,alignment_id,name\n" + rows)

    picks = read_picks(tmp_path / "a.csv", alignment_id=17)

    assert (picks.alignment_id, picks.features["name"].tolist(), picks.ids.tolist()) == (17, ["a"], [0])
    assert "warnings" not in picks.about


def test_a_file_that_says_no_alignment_is_of_the_one_that_somebody_says(tmp_path):
    write_picks(Picks([[1.0, 2.0, 3.0]], 10.0), tmp_path / "a.csv")
    write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, alignment_id=18), tmp_path / "b.csv")

    assert read_picks(tmp_path / "a.csv", alignment_id=17).alignment_id == 17
    assert read_picks(tmp_path / "b.csv", alignment_id=18).alignment_id == 18
    with pytest.raises(FormatError, match=r"b\.csv says that its picks are of AL-18, not of AL-17"):
        read_picks(tmp_path / "b.csv", alignment_id=17)


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_of_numpys_are_numbers(tmp_path, name):
    picks = Picks(
        np.ones((2, 3)),
        np.float32(2.5),  # as mrcfile gives it
        shape_zyx=tuple(np.array([4, 5, 6])),
        alignment_id=np.int64(17),
        about={"run_id": np.int64(5), "confidence_precision_percent": np.float32(0.5), "authors": np.array(["Ada"])},
    )
    found = read_picks(written(picks, tmp_path, name))

    assert (found.spacing_angstrom, found.shape_zyx, found.alignment_id) == (2.5, (4, 5, 6), 17)
    assert (found.about["run_id"], found.about["confidence_precision_percent"]) == (5, 0.5)
    assert found.about["authors"] == ["Ada"]


DIGITS = 2**53 + 1  # the first whole number that no real is


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f"z_voxel,y_voxel,x_voxel,track\n1,2,3,{DIGITS}\n4,5,6,\n"),
        ("a.csv", f"z_voxel,y_voxel,x_voxel,track\n1,2,3,{DIGITS}\n4,5,6,{2**64 - 1}\n"),
        (
            "a.ndjson",
            f'{{"type": "point", "location": {{"x": 1, "y": 2, "z": 3}}, "track": {DIGITS}}}\n'
            '{"type": "point", "location": {"x": 1, "y": 2, "z": 3}}\n',
        ),
        (
            "a.star",
            f"data_\n\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_track\n1 2 3 {DIGITS}\n4 5 6 nan\n",
        ),
    ],
)
def test_no_digit_of_a_number_is_lost_where_others_are_missing_or_larger(tmp_path, name, content):
    (tmp_path / name).write_text(content)

    assert read_picks(tmp_path / name).features["track"].tolist()[0] == str(DIGITS)


@pytest.mark.parametrize("name", ["ndjson", "relion5", "csv", "parquet"])
def test_numbers_with_gaps_keep_their_digits_and_are_said_to_be_texts(picks, tmp_path, name):
    column = np.array([DIGITS, None, 3], dtype=object)  # as Parquet gives it
    made = write_picks(picks.changed(features={"track": column}), tmp_path / f"a{SUFFIXES[name]}", format=name)

    assert any("as texts: track" in said for said in made.losses)
    assert read_picks(made.path).features["track"].tolist() == [str(DIGITS), "", "3"]


@pytest.mark.parametrize("name", ["ndjson", "relion5", "csv", "parquet"])
def test_times_are_written_as_people_write_them(picks, tmp_path, name):
    when = np.array(["2026-01-02T03:04:05.123456789", "NaT", "2026-01-03"], dtype="M8[ns]")
    found = read_picks(written(picks.changed(features={"when": when}), tmp_path, name))

    assert found.features["when"].tolist() == ["2026-01-02T03:04:05.123456789", "", "2026-01-03T00:00:00.000000000"]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in WITHOUT_FEATURES])
@pytest.mark.parametrize(
    "nothing",
    [
        *(np.empty(0, dtype) for dtype in ("M8[ns]", "m8[s]", "S3", "V4", "c16")),
        *(np.full(2, "NaT", dtype) for dtype in ("M8[ns]", "M8[D]", "m8[s]")),
        np.full(2, b"", "S3"),
    ],
    ids=lambda column: f"{len(column)} of {column.dtype.str[1:]}",
)
def test_that_columns_without_any_value_become_texts_is_said_too(tmp_path, name, nothing):
    picks = Picks(np.ones((len(nothing), 3)), 10.0, features={"when": nothing}, shape_zyx=(9, 9, 9))

    assert "Columns that aren't plain numbers or texts are written as texts: when." in losses(picks, name)
    assert read_picks(written(picks, tmp_path, name)).features["when"].dtype == object


ODD_NAMES = ["napariCryoetColumn1", " score", "x_voxel ", "a\x85b", "a\u2028b", "a\rb", "a\nb", 'a"b', "a,b", "é ü"]


@pytest.mark.parametrize("name", ["ndjson", "relion5", "csv", "parquet"])
def test_columns_of_arrays_are_written_as_texts_and_those_of_wide_numbers_as_numbers(tmp_path, name):
    arrays = np.empty(2, dtype=object)
    arrays[:] = [np.array([1, 2]), np.array([3])]
    features = {"array": arrays, "wide": np.array([0.5, np.nan], np.longdouble)}
    picks = Picks([[1.0, 2.0, 3.0]] * 2, 10.0, features=features, shape_zyx=(9, 9, 9))

    assert "Columns that aren't plain numbers or texts are written as texts: array." in losses(picks, name)
    found = read_picks(written(picks, tmp_path, name))
    assert found.features["array"].tolist() == ["[1 2]", "[3]"]
    np.testing.assert_array_equal(found.features["wide"], [0.5, np.nan])


@pytest.mark.parametrize("name", ["ndjson", "relion5", "csv", "parquet"])
@pytest.mark.parametrize("column", ODD_NAMES)
def test_columns_of_odd_names_come_back_or_are_said_to_be_left_out(picks, tmp_path, name, column):
    made = write_picks(
        picks.changed(features={column: np.array([3, 1, 2])}), tmp_path / f"a{SUFFIXES[name]}", format=name
    )
    found = read_picks(made.path)

    np.testing.assert_array_equal(found.scores, picks.scores)
    if not any("are left out" in said for said in made.losses):
        assert {key: values.tolist() for key, values in found.features.items()} == {column: [3, 1, 2]}


SETS_OF_NAMES = [
    [""],
    ["", " ", "  ", "\t", "\n"],
    ["a b", "a_b", "a-b", "a.b", "napariCryoetColumn1"],
    ["Unnamed: 4", "Unnamed: 5", ""],
    ["a", "A", "a.1", "a ", " a"],
    ["0", "00", "0.0"],
]


@pytest.mark.parametrize("name", ["ndjson", "relion5", "relion4", "relion3", "csv", "parquet"])
@pytest.mark.parametrize("columns", SETS_OF_NAMES, ids=repr)
def test_columns_without_a_name_or_of_like_names_stay_apart(picks, tmp_path, name, columns):
    features = {column: np.array([row, row + 1, row + 2]) for row, column in enumerate(columns)}
    found = read_picks(written(picks.changed(features=features), tmp_path, name))

    assert {column: values.tolist() for column, values in found.features.items()} == {
        column: values.tolist() for column, values in features.items()
    }


@pytest.mark.parametrize("name", sorted(WITHOUT_FEATURES))
def test_columns_without_a_name_are_said_to_be_left_out_so_that_it_can_be_read(picks, name):
    features = {column: np.arange(3) for column in ("", " ", "a\n", "by ")}
    said = " ".join(losses(picks.changed(features=features), name))

    assert "'', ' ', 'a\\n', 'by '." in said


def test_columns_whose_names_are_too_long_for_ndjson_are_said_to_be_lost(picks, tmp_path):
    made = write_picks(picks.changed(features={"x" * 1_001: np.arange(3), "y": np.arange(3)}), tmp_path / "a.ndjson")

    assert any(said.startswith("Columns whose names have more than 1,000 characters") for said in made.losses)
    assert list(read_picks(made.path).features) == ["y"]


def test_a_tomogram_that_no_file_names_is_not_passed_over_in_silence(tmp_path):
    text = "z_voxel,y_voxel,x_voxel\n1,2,3\n"
    (tmp_path / "a.csv").write_text(text)
    (said,) = read_picks(tmp_path / "a.csv", tomogram="TS_1").about["warnings"]
    assert said == (
        "Nothing in the file says of which tomogram its picks are: all were taken, though those of TS_1 were asked for."
    )
    made = write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, about={"run_name": "TS_1"}), tmp_path / "b.csv")

    assert "warnings" not in read_picks(made.path, tomogram="TS_1").about
    (said,) = read_picks(made.path, tomogram="TS_2").about["warnings"]
    assert said.startswith("The file says that its picks are of TS_1: all were taken")


def test_a_column_that_is_left_out_says_nothing_of_ours_that_is_called_so(picks, tmp_path):
    columns = {name: np.array([True, False, True]) for name in ("score", "z_voxel", "voxel_spacing_angstrom")}
    found = read_picks(written(picks.changed(features=columns), tmp_path, "csv"))

    np.testing.assert_array_equal(found.scores, picks.scores)
    np.testing.assert_array_equal(found.points_zyx, picks.points_zyx)


@pytest.mark.parametrize(
    ("name", "columns", "why"),
    [
        ("relion5", {"rlnOpticsGroup": np.array([1, 2, 1])}, "what their optics groups (rlnOpticsGroup) are"),
        ("dynamo", {"reg": np.array([1.0, 2.0, 1.0])}, "read back as instance ids"),
    ],
)
def test_columns_that_mean_something_to_another_program_are_said_to_be_taken_so(picks, name, columns, why):
    assert any(why in said for said in losses(picks.changed(features=columns, instance_ids=None), name))


@pytest.mark.parametrize("least", [-(2**62), -1, 5])
def test_ids_below_dynamos_first_tag_come_back(tmp_path, least):
    picks = Picks([[1.0, 2.0, 3.0]], 10.0, ids=[least])

    assert read_picks(written(picks, tmp_path, "dynamo")).ids.tolist() == [least]


def test_an_id_beyond_all_others_is_refused_in_ndjson_too(tmp_path):
    line = '{"type": "point", "location": {"x": 1, "y": 2, "z": 3}, "pick_id": 9223372036854775807}\n'
    (tmp_path / "a.ndjson").write_text(line)

    with pytest.raises(FormatError, match=r"a\.ndjson can't be used: it has a pick with the id 9223372036854775807"):
        read_picks(tmp_path / "a.ndjson")


@pytest.mark.parametrize("name", ["ndjson", "relion5", "relion4", "relion3", "dynamo"])
def test_matrices_that_lack_some_numbers_are_named_before_they_are_left_out(tmp_path, name):
    rotations = np.stack([np.eye(3), np.diag([1.0, 1.0, np.nan]), np.full((3, 3), np.nan)])
    picks = Picks(np.ones((3, 3)), 10.0, rotations_zyx=rotations, ids=np.array([4, 7, 9]), shape_zyx=(9, 9, 9))

    assert any("(pick 7)" in said for said in losses(picks, name))


def test_orientations_that_lack_some_angles_are_named_when_they_are_read(tmp_path):
    star = tmp_path / "part.star"
    labels = ["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    rows = ["1 2 3 10 20 30", "1 2 4 10 nan 30", "1 2 5 nan nan nan"]
    heads = [f"_{label} #{number}" for number, label in enumerate(labels, 1)]
    star.write_text("\n".join(["data_particles", "", "loop_", *heads, *rows, ""]))
    table = tmp_path / "part.tbl"
    lines = [[0.0] * 35 for _ in range(3)]
    for number, (line, angles) in enumerate(zip(lines, [(10, 20, 30), (10, "nan", 30), ("nan",) * 3], strict=True), 1):
        line[0], line[6:9], line[23:26] = number, angles, (1, 2, number)
    table.write_text("\n".join(" ".join(map(str, line)) for line in lines) + "\n")

    for path in (star, table):
        picks = read_picks(path, spacing_angstrom=10.0)
        assert picks.are_oriented.tolist() == [True, False, False]
        (said,) = [said for said in picks.about["warnings"] if "three angles" in said]
        assert said == "Only some of three angles are given for 1 of the picks, so no orientation (row 2)."


@pytest.mark.parametrize("name", ["dynamo", "copick"])
def test_that_nothing_but_the_identity_reads_back_as_none_is_said_also_beside_picks_without(tmp_path, name):
    some = Picks([[1, 2, 3], [4, 5, 6]], 10.0, rotations_zyx=[np.eye(3), np.full((3, 3), np.nan)])
    made = written(some, tmp_path, name)

    assert read_picks(made).rotations_zyx is None
    assert "All rotations are the identity; they read back as none." in losses(some, name)


@pytest.mark.parametrize("text", ["é", "\x01"])
def test_lines_of_as_many_long_texts_as_ndjson_may_have_are_read_again(tmp_path, text):
    long = {f"column {number}": np.array([text * 1000], dtype=object) for number in range(64)}
    made = written(Picks([[1, 2, 3]], 10.0, features=long), tmp_path, "ndjson")

    assert detect_format(made) == "ndjson"
    assert {name: column.tolist() for name, column in read_picks(made).features.items()} == {
        name: column.tolist() for name, column in long.items()
    }


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ["relion5", "relion4", "relion3"])
def test_what_a_star_file_says_of_itself_counts_however_an_editor_saved_it(picks, tmp_path, name, mark, ending):
    path = written(picks, tmp_path, name)
    path.write_bytes(mark + path.read_bytes().replace(b"\n", ending))
    again = read_picks(path)

    assert again.features["by"].tolist() == picks.features["by"].tolist()
    assert (again.alignment_id, again.shape_zyx, again.about["authors"]) == (17, (100, 928, 960), ABOUT["authors"])


def test_losses_of_columns_of_pythons_numbers_are_those_of_what_is_written():
    columns = {"ref": np.array([2**60 + 1, 3], dtype=object), "class": np.array([float("inf"), 3], dtype=object)}
    picks = Picks([[1, 2, 3], [4, 5, 6]], 10.0, features=columns)

    assert "Numbers beyond 2^53 lose their last digits, in ref." in losses(picks, "dynamo")
    assert not any("no column" in said for said in losses(picks, "dynamo"))
    assert "JSON knows no infinite numbers; they are left out." in losses(picks, "ndjson")


@pytest.mark.parametrize("name", ["picks.csv", "picks.star", "picks.parquet"])
def test_numbers_of_32_bits_among_whole_ones_keep_their_fractions(tmp_path, name):
    column = np.array([np.float32(0.5), 3], dtype=object)
    write_picks(Picks([[1, 2, 3], [4, 5, 6]], 10.0, features={"weight": column}), tmp_path / name)

    assert read_picks(tmp_path / name, shape_zyx=(9, 9, 9)).features["weight"].tolist() == [0.5, 3.0]


@pytest.mark.parametrize("name", FORMATS)
def test_that_numbers_of_more_digits_than_files_have_are_rounded_is_said(name):
    thirds = np.array([Fraction(1, 3), Fraction(1, 2)], dtype=object)
    wide = np.array([1, 2], np.longdouble) + np.finfo(np.longdouble).eps
    kept = np.array([Fraction(1, 4), np.float32(0.1)], dtype=object)
    columns = {"thirds": thirds, "kept": kept} | ({} if wide[0] == 1.0 + 2**-52 else {"wide": wide})
    picks = Picks(np.ones((2, 3)), 10.0, features=columns, shape_zyx=(9, 9, 9))

    said = [loss for loss in losses(picks, name) if "rounded" in loss]
    if name in WITHOUT_FEATURES:
        assert said == []
    else:
        names = ", ".join(column for column in columns if column != "kept")
        assert said == [f"Numbers of more digits than reals of 64 bits have are rounded, in {names}."]


@pytest.mark.parametrize("name", ["csv", "parquet"])
@pytest.mark.parametrize("features", [{"\udcff": [1.0]}, {"by": ["\udcff"]}], ids=["name", "text"])
def test_a_column_that_no_text_in_utf_8_can_hold_is_named(tmp_path, name, features):
    picks = Picks([[1.0, 2.0, 3.0]], 10.0, features={key: np.array(column) for key, column in features.items()})
    with pytest.raises(SaveError, match=r"a half of a character.*, in ('\\udcff'|by)\.") as found:
        written(picks, tmp_path, name)

    assert f"picks{SUFFIXES[name]} can't be written" in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_losses_of_columns_that_begin_with_a_missing_value_are_those_of_what_is_written():
    columns = {"class": np.array([pd.NA, 3], dtype=object), "ref": np.array([2**63, 1], dtype=np.uint64)}
    said = losses(Picks([[1, 2, 3], [4, 5, 6]], 10.0, features=columns), "dynamo")

    assert "A table has no column for ref." in said
    assert not any("digits" in each for each in said)


class TestScoresWithMoreDigitsThanAreKept:
    ODD, EVEN = 2**53 + 1, 2**60  # a real is the second

    def files(self, folder, scores):
        point = {"type": "point", "location": {"x": 1, "y": 2, "z": 3}}
        lines = [json.dumps(point | {"score": score}) for score in scores]
        (folder / "a.ndjson").write_text("\n".join(lines))
        (folder / "many.ndjson").write_text("\n".join(lines * 4000))
        rows = "".join(f"{number},1,2,3,{score}\n" for number, score in enumerate(scores))
        (folder / "a.csv").write_text("pick_id,z_voxel,y_voxel,x_voxel,score\n" + rows)
        columns = {f"{axis}_voxel": [1.0] * len(scores) for axis in "zyx"} | {"score": scores}
        pq.write_table(pa.table(columns), folder / "a.parquet")
        points = [{"location": {"x": 1, "y": 2, "z": 3}, "score": score} for score in scores]
        about = {"pickable_object_name": "a", "user_id": "a", "session_id": "0", "voxel_spacing": 1}
        (folder / "a.json").write_text(json.dumps(about | {"points": points}))
        return [folder / name for name in ("a.ndjson", "many.ndjson", "a.csv", "a.parquet", "a.json")]

    def test_are_said_to_be_rounded(self, tmp_path):
        for path in self.files(tmp_path, [self.ODD, self.EVEN]):
            (said,) = read_picks(path).about["warnings"]
            assert f"were rounded, such as {self.ODD}" in said, path

    def test_of_others_nothing_is_said(self, tmp_path):
        for path in self.files(tmp_path, [self.EVEN, 3, -self.EVEN]):
            picks = read_picks(path)
            assert not picks.about.get("warnings"), path
            assert picks.scores[:3].tolist() == [self.EVEN, 3, -self.EVEN]

    def test_beside_numbers_that_are_not_whole(self, tmp_path):
        (tmp_path / "a.csv").write_text(f"z_voxel,y_voxel,x_voxel,score\n1,2,3,{self.ODD}\n1,2,3,0.5\n")

        assert "rounded" in read_picks(tmp_path / "a.csv").about["warnings"][0]

    def test_of_relion(self, tmp_path):
        axes = [f"_rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]
        labels = "\n".join(["_rlnTomoName", *axes, "_rlnAutopickFigureOfMerit"])
        for name, score in ("odd", self.ODD), ("even", self.EVEN):
            rows = f"t 1 2 3 {score}\nt 1 2 3 0.5\n"
            (tmp_path / f"{name}.star").write_text(f"data_particles\n\nloop_\n{labels}\n{rows}")

        odd, even = (
            read_picks(tmp_path / name, spacing_angstrom=10, shape_zyx=(9, 9, 9)) for name in ("odd.star", "even.star")
        )

        assert any(
            f"1 of them have more and were rounded, such as {self.ODD}" in said for said in odd.about["warnings"]
        )
        assert not any("rounded" in said for said in even.about.get("warnings", ()))

    def test_however_many_there_are_the_message_is_short(self, tmp_path):
        (tmp_path / "a.csv").write_text(f"z_voxel,y_voxel,x_voxel,score\n1,2,3,{10**300 + 1}\n")

        (said,) = read_picks(tmp_path / "a.csv").about["warnings"]
        assert len(said) < 200

    def test_are_said_of_layers_too(self, tmp_path):
        path = self.files(tmp_path, [self.ODD])[0]

        (layer,) = load_annotation(path, 10.0)

        assert any("were rounded" in said for said in layer.options["metadata"]["napari_cryoet"]["warnings"])


def test_one_alignment_in_several_spellings_is_one(tmp_path):
    lines = ["z_voxel,y_voxel,x_voxel,alignment_id", "1,2,3,AL-17", "1,2,3,17", "1,2,3,17.0"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert not read_picks(tmp_path / "a.csv").about.get("warnings")

    (tmp_path / "b.csv").write_text("\n".join([*lines, "1,2,3,AL-18"]))
    assert "of 2 alignments (alignment_id AL-17, AL-18)" in read_picks(tmp_path / "b.csv").about["warnings"][0]
