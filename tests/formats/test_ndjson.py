"""The portal's point annotations: three kinds of line, x, y, z, active matrices."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats import ndjson
from napari_cryoet.picks import NO_INSTANCE, Picks


def line(kind="point", **more):
    return (
        json.dumps({"type": kind, "location": {"x": 517.0, "y": 261, "z": 469.5}} | more).encode()
        + b"\n"
    )


def read(*lines, **context):
    return ndjson.read_points(b"".join(lines), "a.ndjson", **context)


TURN = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]


def test_null_and_minus_one_mean_no_instance():
    lines = [line("instancePoint", instance_id=number) for number in (3, -1, None, 2**62)]
    picks = read(*lines)

    assert picks.instance_ids.tolist() == [3, NO_INSTANCE, NO_INSTANCE, 2**62]


def test_kinds_ignore_case_and_unknown_ones_are_counted():
    picks = read(
        b"\xef\xbb\xbf",
        line("POINT"),
        b"\n",
        line("vector"),
        line("OrientedPoint", xyz_rotation_matrix=TURN),
    )

    assert len(picks) == 2
    assert "1" in picks.about.warnings[0]


def test_extra_columns_keep_their_types():
    columns = {"n": 3, "is_good": True, "by": "me", "score": 0.5, "some": 1.5, "nested": {"a": 1}}
    picks = read(line(**columns), line(n=2**60, is_good=False, by="", score=1, some=None))

    assert {name: column.tolist() for name, column in picks.features.items() if name != "some"} == {
        "n": [3, 2**60],
        "is_good": [True, False],
        "by": ["me", ""],
    }
    np.testing.assert_array_equal(picks.features["some"], [1.5, np.nan])
    assert picks.scores.tolist() == [0.5, 1]
    assert "nested" in picks.about.warnings[0]


def test_foreign_pick_id_columns_are_renamed():
    picks = read(line(pick_id="a"), line(pick_id="b"))

    assert (picks.ids.tolist(), picks.features["pick_id_of_file"].tolist()) == ([0, 1], ["a", "b"])
    assert any("pick_id" in warning for warning in picks.about.warnings)


def test_the_number_of_columns_is_limited():
    picks = read(*(line(**{f"column {number}": 1}) for number in range(200)))

    assert len(picks.features) == ndjson.MAX_COLUMNS


@pytest.mark.parametrize(
    ("bad", "noun"),
    [
        (b"{", "line 2"),
        (b"[1]", "object"),
        (b'{"type": "point"}', "location"),
        (b'{"type": "point", "location": {"x": 1, "y": 2}}', "z"),
        (b'{"type": "point", "location": {"x": 1, "y": 2, "z": "3"}}', "z"),
        (b'{"type": "point", "location": {"x": 1, "y": 2, "z": NaN}}', "line 2"),
        (b'{"type": "point", "location": {"x": 1, "y": 2, "z": 1e999}}', "line 2"),
        (line("orientedPoint").strip(), "xyz_rotation_matrix"),
        (
            line("orientedPoint", xyz_rotation_matrix=[[1, 0], [0, 1]]).strip(),
            "xyz_rotation_matrix",
        ),
        (line("instancePoint", instance_id="one").strip(), "instance_id"),
        (b'{"type": "point", "location": \xff}', "line 2"),
    ],
)
def test_invalid_lines_are_refused_with_the_reason(bad, noun):
    with pytest.raises(FormatError, match=noun):
        read(line(), bad + b"\n")


def test_files_without_points_are_refused_unless_empty():
    with pytest.raises(FormatError, match="None of the 2"):
        read(line("vector"), line("vector"))
    assert len(read()) == 0


@pytest.mark.parametrize(
    ("head", "holds"),
    [
        (line(), True),
        (b"", True),
        (line("vector") + line(), True),
        (b"{}", False),
        (b"a,b\n", False),
    ],
)
def test_files_are_detected_by_their_first_lines(head, holds):
    assert ndjson.holds(None, head) == holds


def test_written_lines_match_the_portals():
    picks = Picks(
        [[3.0, 2, 1]] * 3,
        instance_ids=[-1, 4, 5],
        rotations_zyx=np.array([TURN, *[np.full((3, 3), np.nan)] * 2]),
    )
    lines = [json.loads(each) for each in ndjson.lines_of(picks)]

    assert [each["type"] for each in lines] == ["orientedPoint", "instancePoint", "instancePoint"]
    assert lines[1] == {
        "type": "instancePoint",
        "location": {"x": 1, "y": 2, "z": 3},
        "instance_id": 4,
    }
    assert lines[0]["xyz_rotation_matrix"] == np.array(TURN)[::-1, ::-1].tolist()


@given(st.binary(max_size=60), st.integers(0, 80))
def test_any_bytes_are_parsed_or_refused(junk, at):
    content = line() + line("orientedPoint", xyz_rotation_matrix=TURN)
    with contextlib.suppress(FormatError):
        read(content[:at] + junk + content[at:])
