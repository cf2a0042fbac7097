"""Files of many points are read as columns, and come to the very same as line by line, whatever is in them."""

import json

import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats import ndjson, ndjson_columns
from napari_cryoet.formats.ndjson import Points, read_points, write_points

X, Y = {"x": 1.5, "y": 2, "z": 3.25}, {"x": 0.1, "y": -7, "z": 1e-7}
ROTATION = [[0.36, 0.48, -0.8], [-0.8, 0.6, 0], [0.48, 0.64, 0.6]]
POINT = {"type": "point", "location": X}
ORIENTED = {"type": "orientedPoint", "location": Y, "xyz_rotation_matrix": ROTATION}
INSTANCE = {"type": "instancePoint", "location": X, "instance_id": 3}

EVEN = {
    "points": [POINT, POINT],
    "all kinds": [POINT, ORIENTED, INSTANCE, {**ORIENTED, "instance_id": 7}],
    "other cases": [{**POINT, "type": "Point"}, {**ORIENTED, "type": "ORIENTEDPOINT"}],
    "no rotation": [{**ORIENTED, "xyz_rotation_matrix": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}, ORIENTED],
    "whole numbers": [{**POINT, "a": 1}, {**POINT, "a": -3}],
    "gaps": [{**POINT, "a": 1, "b": 0.5}, {**POINT, "c": "x"}, {**POINT, "b": 2, "c": ""}],
    "mixed": [{**POINT, "a": 1}, {**POINT, "a": 2.5}],
    "truth": [{**POINT, "a": True}, {**POINT, "a": False}],
    "texts": [{**POINT, "a": "é – \U0001f41f"}, {**POINT, "a": "1"}],
    "null": [{**POINT, "a": None}, {**POINT, "a": 1.5}],
    "null throughout": [{**POINT, "a": None, "b": 1}],
    "matrices that are null": [{**POINT, "xyz_rotation_matrix": None}, ORIENTED],
}
ODD = {
    "more of a location": [{**POINT, "location": {**X, "w": 1}}],
    "matrices of plain points": [{**POINT, "xyz_rotation_matrix": ROTATION}, POINT],
    "matrices of instances": [ORIENTED, {**INSTANCE, "xyz_rotation_matrix": ROTATION}],
    "dates": [{**POINT, "a": "2024-01-05"}, {**POINT, "a": "2024-01-06 10:00:00"}],
    "gaps in truth": [{**POINT, "a": True}, POINT],
    "of several types": [{**POINT, "a": 1}, {**POINT, "a": "x"}],
    "truth and numbers": [{**POINT, "a": 1}, {**POINT, "a": True}],
    "digits and gaps": [{**POINT, "a": 2**53 + 1}, POINT],
    "digits among reals": [{**POINT, "a": 2**53 + 1}, {**POINT, "a": 0.5}],
    "digits beyond 64 bits": [{**POINT, "a": 2**64 - 1}, {**POINT, "a": 1}],
    "beyond 64 bits": [{**POINT, "a": 2**70}, {**POINT, "a": 1}],
    "large reals": [{**POINT, "a": 1e20}, {**POINT, "a": 0.5}],
    "lists": [{**POINT, "a": [1]}, {**POINT, "b": {"c": 1}}],
    "unknown kinds": [POINT, {**POINT, "type": "line"}, {"location": X}],
    "no id": [{**INSTANCE, "instance_id": None}, {**INSTANCE, "instance_id": -1}, INSTANCE],
    "real id": [{**INSTANCE, "instance_id": 3.0}],
    "long text": [{**POINT, "a": "x" * 1001}],
    "long name": [{**POINT, "a" * 1001: 1}],
    "many columns": [POINT | {f"c{i}": i for i in range(70)}],
    "lacks the id": [{"type": "instancePoint", "location": X}],
    "lacks a location": [POINT, {"type": "point"}],
    "lacks z": [{**POINT, "location": {"x": 1, "y": 2}}],
    "text for x": [{**POINT, "location": {**X, "x": "1"}}],
    "truth for x": [{**POINT, "location": {**X, "x": True}}],
    "lacks the matrix": [{"type": "orientedPoint", "location": X}],
    "half a matrix": [{**ORIENTED, "xyz_rotation_matrix": ROTATION[:2]}],
    "hole in a matrix": [{**ORIENTED, "xyz_rotation_matrix": [[1, 0, None], *ROTATION[1:]]}],
    "text id": [{**INSTANCE, "instance_id": "3"}],
    "huge id": [{**INSTANCE, "instance_id": 2**64}],
}
LINES = {
    "blank lines": [json.dumps(POINT), "", "  ", json.dumps(POINT)],
    "windows": [json.dumps(POINT) + "\r", json.dumps(ORIENTED) + "\r"],
    "not finite": [json.dumps(POINT).replace("1.5", "NaN")],
    "too large": [json.dumps(POINT).replace("1.5", "1e999")],
    "infinite column": [json.dumps({**POINT, "a": 1.5})[:-4] + "-Infinity}"],
    "large column": [json.dumps({**POINT, "a": 1.5})[:-4] + "1e999}"],
    "a key twice": [json.dumps(POINT)[:-1] + ', "a": 1, "a": 2}'],
    "two types": ['{"type": "point", "type": "line", "location": {"x": 1, "y": 2, "z": 3}}'],
    "two on a line": [json.dumps(POINT) + json.dumps(POINT)],
    "over two lines": ['{"type": "point",', '"location": {"x": 1, "y": 2, "z": 3}}'],
    "half a character": [json.dumps({**POINT, "a": "\udcff"})],
    "no JSON": [json.dumps(POINT), "{broken"],
    "a list": ["[1, 2]"],
    "a byte order mark": ["\ufeff" + json.dumps(POINT)],
    "padded numbers": [json.dumps(POINT).replace("1.5", "01.5")],
    "a long line": [json.dumps(POINT), json.dumps(POINT) + " " * 70_000],
    "digits": [json.dumps(POINT).replace("1.5", "1.23456789012345678901234567890e2")],
    "nothing": [""],
    "null first": ["null", json.dumps(POINT)],
    "null before a point": [json.dumps(POINT), f"null {json.dumps(POINT)}"],
    "null behind a point": [f"{json.dumps(POINT)} null", json.dumps(POINT)],
    "null last": [json.dumps(POINT), "null"],
    "a kind that isn't UTF-8": [json.dumps(POINT), json.dumps(POINT).replace('"point"', '"point\udc98"')],
    "a name that isn't UTF-8": [json.dumps({**POINT, "a": 1}).replace('"a"', '"a\udc98"')],
    "a text that isn't UTF-8": [json.dumps({**POINT, "a": "b"}).replace('"b"', '"b\udc98"')],
}


def read(content, many_bytes, monkeypatch):
    monkeypatch.setattr(ndjson, "MANY_BYTES", many_bytes)
    try:
        return read_points(content)
    except FormatError as error:
        return str(error)


def said(points):
    """All that points say, comparable."""
    if isinstance(points, str):
        return points
    features = {name: (column.dtype.kind, column.tolist()) for name, column in points.features.items()}
    arrays = (points.points_xyz, points.rotations_xyz, points.instance_ids)
    plain = [None if array is None else array.tolist() for array in arrays]
    return repr((plain, points.kinds, list(features.items()), points.skipped, points.warnings))


def content_of(records):
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


@pytest.mark.parametrize("name", EVEN)
def test_what_is_of_a_piece_is_read_as_columns(name, monkeypatch):
    content = content_of(EVEN[name])
    points = []
    taken = ndjson_columns.read_even
    monkeypatch.setattr(ndjson.ndjson_columns, "read_even", lambda *a, **k: points.append(taken(*a, **k)) or points[-1])

    as_columns = read(content, 0, monkeypatch)

    assert points[0] is not None
    assert said(as_columns) == said(read(content, 2**40, monkeypatch))


@pytest.mark.parametrize("name", [*EVEN, *ODD, *LINES])
def test_anything_read_in_parts_comes_to_the_same(name, monkeypatch):
    records = (EVEN | ODD).get(name)
    content = content_of(records) if records else "\n".join(LINES[name]).encode(errors="surrogatepass")
    monkeypatch.setattr(ndjson_columns, "_PART_BYTES", 10)

    assert said(read(content, 0, monkeypatch)) == said(read(content, 2**40, monkeypatch))


@pytest.mark.parametrize("name", [*ODD, *LINES])
def test_anything_else_comes_to_the_same(name, monkeypatch):
    content = content_of(ODD[name]) if name in ODD else "\n".join(LINES[name]).encode(errors="surrogatepass")

    assert said(read(content, 0, monkeypatch)) == said(read(content, 2**40, monkeypatch))


def test_many_points_are_written_and_read_with_all_digits(monkeypatch):
    count = 20_000
    random = np.random.default_rng(0)
    places = random.random((count, 3)) * 10.0 ** random.integers(-8, 8, (count, 1))
    places[::7] = np.round(places[::7])
    features = {
        "real": np.where(random.random(count) < 0.1, np.nan, random.random(count)),
        "round": np.round(random.random(count) * 9),
        "whole": random.integers(-9, 9, count),
        "truth": random.random(count) < 0.5,
        "text": np.array(["a", 'q"u', "", "é\n", "x, y"], dtype=object)[random.integers(0, 5, count)],
    }
    points = Points.from_zyx(places, rotations_zyx=np.eye(3)[None].repeat(count, axis=0), features=features)
    content = write_points(points)
    first = json.loads(content.split(b"\n", 1)[0])
    assert list(first) == ["type", "location", "xyz_rotation_matrix", *(name for name in features if name in first)]
    assert first["location"]["x"] == places[0, 2]

    for many_bytes in (0, 2**40):
        again = read(content, many_bytes, monkeypatch)
        assert np.array_equal(again.points_zyx, places)
        assert np.array_equal(again.rotations_xyz, points.rotations_xyz)
        for name, column in features.items():
            assert again.features[name].dtype.kind == column.dtype.kind
            if column.dtype.kind == "f":
                assert np.array_equal(again.features[name], column, equal_nan=True)
            else:
                assert again.features[name].tolist() == column.tolist()
