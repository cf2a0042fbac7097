import contextlib
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.ndjson import Points, read_points, write_points
from napari_cryoet.picks import NO_INSTANCE, are_rotations

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def line(kind="point", x=1.0, y=2.0, z=3.0, **more):
    return json.dumps({"type": kind, "location": {"x": x, "y": y, "z": z}, **more})


def read(*lines):
    return read_points("\n".join(lines).encode())


def test_coordinates_become_z_y_x_only_when_asked():
    points = read(line(x=517, y=261.5, z=469))

    assert points.points_xyz.tolist() == [[517.0, 261.5, 469.0]]
    assert points.points_zyx.tolist() == [[469.0, 261.5, 517.0]]
    assert points.points_xyz.dtype == np.float64


def test_the_kind_of_a_line_is_matched_in_any_case():
    points = read(
        line("Point"), line("ORIENTEDPOINT", xyz_rotation_matrix=IDENTITY), line("instancepoint", instance_id=4)
    )

    assert points.kinds == ("point", "orientedPoint", "instancePoint")


def test_kinds_may_be_mixed_in_one_file():
    points = read(line(), line("orientedPoint", xyz_rotation_matrix=IDENTITY), line("instancePoint", instance_id=7))

    assert np.isnan(points.rotations_xyz[[0, 2]]).all()
    assert points.rotations_xyz[1].tolist() == IDENTITY
    assert points.instance_ids.tolist() == [NO_INSTANCE, NO_INSTANCE, 7]
    assert are_rotations(points.rotations_xyz).tolist() == [False, True, False]


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_are_no_matter():
    content = b"\xef\xbb\xbf" + line(x=5).encode() + b"\r\n\r\n  \n" + line(x=6).encode() + b"\r\n\n"

    points = read_points(content)

    assert points.points_xyz[:, 0].tolist() == [5, 6]


def test_an_empty_file_has_no_points():
    assert len(read_points(b"")) == 0
    assert read_points(b"").points_zyx.shape == (0, 3)


def test_lines_of_an_unknown_kind_are_left_out_and_named():
    points = read(line(), line("hologram"), '{"comment": "made by hand"}', line(x=9))

    assert points.points_xyz[:, 0].tolist() == [1, 9]
    assert [skipped.number for skipped in points.skipped] == [2, 3]
    assert "hologram" in points.skipped[0].text
    assert "lines 2, 3" in points.warnings[0]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", "isn't JSON"),
        ('"point"', "isn't a JSON object"),
        ("[" * 30_000, "isn't JSON"),
        ('{"type": "point"}', "no location"),
        ('{"type": "point", "location": {"x": 1, "y": 2}}', "location lacks a number"),
        (line(x="1"), "location lacks a number"),
        (line(x=True), "location lacks a number"),
        (line(x=None), "location lacks a number"),
        ('{"type": "point", "location": {"x": NaN, "y": 2, "z": 3}}', "finite"),
        ('{"type": "point", "location": {"x": -Infinity, "y": 2, "z": 3}}', "finite"),
        ('{"type": "point", "location": {"x": 1e999, "y": 2, "z": 3}}', "not finite"),
        ('{"type": "point", "location": {"x": 1' + "0" * 400 + ', "y": 2, "z": 3}}', "not finite"),
        ('{"type": "point", "location": {"x": 1' + "0" * 9000 + ', "y": 2, "z": 3}}', "isn't JSON"),
        (line()[:-1] + ', "score": 1e999}', "score is not finite"),
        (line("orientedPoint"), "no xyz_rotation_matrix"),
        (line("orientedPoint", xyz_rotation_matrix=[[1, 0], [0, 1]]), "no xyz_rotation_matrix"),
        (line("orientedPoint", xyz_rotation_matrix=[*IDENTITY[:2], [0, 0, "1"]]), "lacks a number"),
        (line("instancePoint"), "no instance_id"),
        (line("instancePoint", instance_id=1.5), "no whole number"),
        (line("instancePoint", instance_id="1"), "no whole number"),
        (line("instancePoint", instance_id=2**63), "no whole number"),
        (line("instancePoint", instance_id=-(2**63) - 1), "no whole number"),
        (line("instancePoint", instance_id=10**400), "no whole number"),
        (line(note="x" * 2_000_000), "2,000,0"),
    ],
)
def test_a_malformed_line_is_an_error_that_names_and_shows_it(bad, why):
    with pytest.raises(FormatError) as caught:
        read(line(), "", bad)

    assert "Line 3 " in caught.value.message
    assert why in caught.value.message
    assert bad[:20] in caught.value.message.replace("\\", "")
    assert len(caught.value.message) < 300


def test_a_line_that_is_not_text_is_an_error():
    with pytest.raises(FormatError, match=r"Line 2 .*UTF-8"):
        read_points(line().encode() + b"\n\xff\xfe\n")


def test_a_missing_file_is_an_error_in_words(tmp_path):
    with pytest.raises(FormatError, match=r"'nowhere\.ndjson' can't be read"):
        read_points(tmp_path / "nowhere.ndjson")


def test_whole_float_instance_ids_are_taken():
    assert read(line("instancePoint", instance_id=3.0)).instance_ids.tolist() == [3]


def test_the_least_number_of_64_bits_is_an_instance_like_any_other():
    points = read(line("instancePoint", instance_id=-(2**63), rank=-(2**63)))

    assert points.instance_ids.tolist() == [-(2**63)]
    assert points.features["rank"].tolist() == [-(2**63)]
    assert points.features["rank"].dtype == np.int64
    assert read_points(write_points(points)).instance_ids.tolist() == [-(2**63)]


def test_an_instance_that_is_null_is_none_and_its_line_is_named():
    points = read(
        line("instancePoint", instance_id=4),
        line("instancePoint", instance_id=None),
        line("instancePoint", instance_id=NO_INSTANCE),
        line(instance_id=None),
    )

    assert points.instance_ids.tolist() == [4, NO_INSTANCE, NO_INSTANCE, NO_INSTANCE]
    assert points.kinds == ("instancePoint", "point", "point", "point")
    assert points.warnings == ("No instance is named by 2 points: instance_id is null or -1 (lines 2, 3).",)
    again = read_points(write_points(points))
    assert again.instance_ids.tolist() == points.instance_ids.tolist()
    assert again.warnings == ()


def test_a_file_whose_instances_are_all_null_has_none():
    points = read(line("instancePoint", instance_id=None))

    assert points.instance_ids is None
    assert "line 1" in points.warnings[0]


def test_too_many_points_are_refused(monkeypatch):
    monkeypatch.setattr(ndjson, "MAX_POINTS", 2)
    with pytest.raises(FormatError, match="more than 2 points"):
        read(line(), line(), line())


def test_a_file_that_is_too_large_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(ndjson, "MAX_FILE_BYTES", 50)
    path = tmp_path / "large.ndjson"
    path.write_text(line() + "\n" + line())
    with pytest.raises(FormatError, match="too large"):
        read_points(path)


def test_further_columns_become_features():
    points = read(
        line(score=0.5, rank=2, note="a", checked=True),
        line(rank=3, note="b", checked=False),
        line(score=1, rank=4, checked=True),
    )

    np.testing.assert_array_equal(points.features["score"], [0.5, np.nan, 1.0])
    assert points.features["rank"].dtype == np.int64
    assert points.features["note"].tolist() == ["a", "b", ""]
    assert points.features["checked"].dtype == bool


def test_columns_that_are_not_plain_are_named():
    points = read(line(bounds=[1, 2], score=1))

    assert set(points.features) == {"score"}
    assert "'bounds'" in points.warnings[0]


@pytest.mark.parametrize("count", [1, 3_000])  # of many lines, the file is read as columns
def test_what_a_point_has_beside_what_its_kind_has_is_named(count):
    far = {"x": 1, "y": 2, "z": 3, "t": 4}
    turned = line(location=far, xyz_rotation_matrix=IDENTITY)
    points = read(*[turned] * count)

    assert points.rotations_xyz is None
    matrices, places = points.warnings
    assert matrices.startswith(
        f"Matrices of {count:,} points that call themselves no orientedPoint were left out (line"
    )
    assert places == "What places have beside x, y and z was left out: 'location.t'."


def test_all_that_places_have_beside_what_they_need_is_named():
    far = {"x": 1, "y": 2, "z": 3, "t": 4, "w": 5, "nothing": None}
    (said,) = read(line(location=far), line(location={**far, "u": 6})).warnings

    assert said == "What places have beside x, y and z was left out: 'location.t', 'location.w', 'location.u'."


@pytest.mark.parametrize("count", [1, 5_000])
@pytest.mark.parametrize("twice", ['"a": 1, "a": 2', '"location": {"x": 1, "y": 2, "z": 3, "x": 4}'])
def test_a_line_that_says_something_twice_is_named(count, twice):
    with pytest.raises(FormatError, match=rf"Line {count} is not a portal point \(it has '[ax]' twice\)"):
        read(*[line()] * (count - 1), line()[:-1] + f", {twice}}}")


def test_the_number_of_columns_is_bounded():
    points = read(line(**{f"column{number}": number for number in range(200)}))

    assert len(points.features) == ndjson.MAX_COLUMNS
    (said,) = points.warnings
    assert "come after 64 others" in said
    assert said.endswith("'column68' and at least 59 more.")


MIRROR = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]
STRETCH = [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    "wrong", [MIRROR, STRETCH, [[0.0] * 3] * 3, [[1e200, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
)
def test_a_matrix_that_is_no_rotation_is_named_and_keeps_its_place(wrong):
    points = read(line("orientedPoint", xyz_rotation_matrix=IDENTITY), line("orientedPoint", xyz_rotation_matrix=wrong))

    assert len(points) == 2
    assert are_rotations(points.rotations_xyz).tolist() == [True, False]
    assert "1 of 2 orientations" in points.warnings[0]
    assert "line 2" in points.warnings[0]


def test_a_rotation_rounded_to_three_digits_is_fine():
    rounded = [[0.988, -0.139, -0.066], [0.128, 0.980, -0.155], [0.086, 0.145, 0.986]]
    points = read(line("orientedPoint", xyz_rotation_matrix=rounded))

    assert points.warnings == ()


def test_the_particle_z_axis_is_the_third_column_turned_to_z_y_x():
    quarter_turn_about_x = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]  # takes z (0, 0, 1) to -y (0, -1, 0)
    points = read(line("orientedPoint", xyz_rotation_matrix=quarter_turn_about_x))

    assert points.to_picks().particle_axes_zyx().tolist() == [[0.0, -1.0, 0.0]]


def test_rotations_act_alike_in_both_orders():
    generator = np.random.default_rng(1)
    matrix = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    matrix *= np.sign(np.linalg.det(matrix))
    points = read(line("orientedPoint", xyz_rotation_matrix=matrix.tolist()))
    vector_xyz = generator.normal(size=3)

    turned_zyx = points.rotations_zyx[0] @ vector_xyz[::-1]

    np.testing.assert_allclose(turned_zyx[::-1], matrix @ vector_xyz)


numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 8)
any_instance = st.integers(-(2**63), 2**63 - 1).filter(lambda instance: instance != NO_INSTANCE)
COLUMN_KINDS = [
    (st.integers(-(2**60), 2**60), np.int64),
    (numbers, np.float64),
    (st.booleans(), bool),
    (st.text(min_size=1, max_size=9), object),
]


@st.composite
def any_points(draw):
    count = draw(counts)
    points_zyx = draw(hnp.arrays(np.float64, (count, 3), elements=numbers))
    rotations = draw(st.none() | hnp.arrays(np.float64, (count, 3, 3), elements=numbers))
    instances = draw(st.none() | hnp.arrays(np.int64, count, elements=any_instance))
    names = draw(st.sets(st.text(min_size=1, max_size=9).filter(lambda name: name not in ndjson._OWN_KEYS), max_size=3))
    columns = {}
    for name in names:
        elements, dtype = draw(st.sampled_from(COLUMN_KINDS))
        values = draw(st.lists(elements, min_size=count, max_size=count))
        column = np.empty(count, dtype=dtype)
        column[:] = values
        columns[name] = column
    return Points.from_zyx(points_zyx, rotations_zyx=rotations, instance_ids=instances, features=columns)


@given(any_points())
def test_what_is_written_is_read_back_exactly(points):
    again = read_points(write_points(points))

    assert again.kinds == points.kinds
    np.testing.assert_array_equal(again.points_xyz, points.points_xyz)
    np.testing.assert_array_equal(again.points_zyx, points.points_zyx)
    if len(points):
        for name in ("rotations_xyz", "instance_ids"):
            before, after = getattr(points, name), getattr(again, name)
            assert (before is None) == (after is None)
            if before is not None:
                np.testing.assert_array_equal(after, before)
        assert set(again.features) == set(points.features)
        for name, column in points.features.items():
            np.testing.assert_array_equal(again.features[name], column)
    assert write_points(again) == write_points(points)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_words(content):
    with contextlib.suppress(FormatError):
        assert np.isfinite(read_points(content).points_xyz).all()


def test_a_hundred_thousand_points_are_read_within_a_second():
    content = write_points(Points.from_zyx(np.random.default_rng(0).random((100_000, 3)) * 900))

    elapsed_s = []
    for _ in range(3):
        start = time.process_time()
        points = read_points(content)
        elapsed_s.append(time.process_time() - start)

    assert len(points) == 100_000
    assert min(elapsed_s) < 1.0


def test_real_picks_lie_within_their_tomogram(real_data):
    points = read_points(real_data / "ndjson" / "10445-TS_105_5-69546_Point.ndjson")

    assert len(points) == 43
    assert points.warnings == ()
    assert (points.points_xyz >= 0).all()
    assert (points.points_xyz < [1260, 1260, 368]).all()
