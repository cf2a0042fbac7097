"""A view as text: what is written is read back, whatever version wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_cryoet.exceptions import ExistsError, FormatError
from napari_cryoet.views.view import MAX_BYTES, View, read_view, view_schema, write_view

#: A view of version 1 as it was released: never change it.
VERSION_1 = Path(__file__).parent / "version_1.view.json"


def test_a_view_of_version_1_is_read_and_written_back_whole(tmp_path: Path) -> None:
    view = read_view(VERSION_1)
    assert view.layers[1].looks.arrows is not None
    path = write_view(view, tmp_path / "again")
    assert path.name == "again.view.json"
    assert json.loads(path.read_text()) == json.loads(VERSION_1.read_text())
    for name in ("again", "again.json", "again.view.json"):
        with pytest.raises(ExistsError):
            write_view(view, tmp_path / name)


def test_what_version_2_adds_is_written_back() -> None:
    data = json.loads(VERSION_1.read_text())
    data |= {"version": 2, "future": {"$schema": 1}, "more": [1]}
    for part in (data["runs"][0], data["camera"], data["words"], data["layers"][1]["looks"]):
        part["future"] = {"more": {"a": None}}
    view = View.of(data)
    assert view.version == 2
    assert View.of_json(view.to_json()).to_dict() == data


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data | {"camera": None},
        lambda data: data | {"version": 0},
        lambda data: data | {"runs": []},
        lambda data: data | {"runs": data["runs"] * 101},
        lambda data: data | {"camera": data["camera"] | {"field_angstrom": [0, 1]}},
        lambda data: data | {"camera": data["camera"] | {"center_zyx_angstrom": [1e300, 0, 0]}},
        lambda data: data | {"camera": data["camera"] | {"order": [0, 1, 1]}},
        lambda data: data | {"camera": data["camera"] | {"orientation": [0, 0, 0, 0]}},
        lambda data: data | {"layers": [data["layers"][0] | {"name": "a" * 301}]},
        lambda data: data | {"future": json.loads("[" * 400 + "]" * 400)},
        lambda data: [data],
    ],
)
def test_what_is_not_a_view_is_refused(damage) -> None:
    with pytest.raises(FormatError, match="view"):
        View.of(damage(json.loads(VERSION_1.read_text())))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 50_000, b" " * (MAX_BYTES + 1)])
def test_damaged_text_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match="view"):
        View.of_json(text)


def test_the_schema_in_the_docs_is_that_of_a_view(project_folder: Path) -> None:
    file = project_folder / "docs" / "reference" / "view.schema.json"
    text = json.dumps(view_schema(), indent=1) + "\n"
    assert file.read_text() == text, f"write json.dumps(view_schema(), indent=1) to {file}"
