"""Detecting formats, messages about foreign files, and reading in a file's own grid."""

import pytest

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.common import Context, spacing_in_layout
from napari_cryoet.formats.registry import (
    FORMATS,
    SUFFIXES,
    TITLES,
    detect_format,
    read_in_own_grid,
    read_picks,
    write_picks,
)
from napari_cryoet.locations import Location
from napari_cryoet.picks import Picks


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_detected_by_suffix_and_content(tmp_path, name):
    picks = Picks([[1, 2, 3]], 10.0, shape_zyx=(4, 5, 6))
    path = write_picks(picks, tmp_path / f"a{SUFFIXES[name].upper()}", format=name).path

    assert SUFFIXES[detect_format(path)] == SUFFIXES[name]
    assert TITLES[name]
    if name in {"ndjson", "copick", "csv", "parquet"}:
        path.write_text("something else")
        assert detect_format(path) is None


@pytest.mark.parametrize(
    ("suffix", "words"), [(".em", ["EM", "STAR"]), (".mod", ["IMOD", "model2point"])]
)
def test_unsupported_formats_suggest_a_conversion(tmp_path, suffix, words):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"\0\0\0\5")
    with pytest.raises(FormatError) as raised:
        read_picks(path)

    assert all(word in str(raised.value) for word in words)


def test_invalid_arguments_raise_value_or_type_errors(tmp_path):
    path = write_picks(Picks([[1, 2, 3]], 10.0), tmp_path / "a.csv").path
    for wrong, error in [
        ({"format": "xls"}, ValueError),
        ({"spacing_angstrom": 0}, ValueError),
        ({"spacing_angstrom": "10"}, TypeError),
        ({"shape_zyx": (1, 2)}, ValueError),
    ]:
        with pytest.raises(error):
            read_picks(path, **wrong)


def test_a_files_own_spacing_overrides_the_given_one(tmp_path):
    own = write_picks(Picks([[1, 2, 3]], 10.0), tmp_path / "a.csv").path
    picks = read_in_own_grid(own, Context(20.0))
    assert (picks.spacing_angstrom, picks.points_zyx.tolist()) == (10.0, [[1, 2, 3]])

    (tmp_path / "b.csv").write_text("z_angstrom,y_angstrom,x_angstrom\n10,20,30\n")
    assert read_in_own_grid(tmp_path / "b.csv", Context(20.0)).spacing_angstrom == 20.0
    with pytest.raises(MissingContextError):
        read_in_own_grid(tmp_path / "b.csv", Context())


@pytest.mark.parametrize(
    ("file", "spacing"),
    [
        ("https://files.org/TS%201/VoxelSpacing13.480%2FTomograms/x.zarr?a=/VoxelSpacing1/", 13.48),
        ("VoxelSpacing7.84/a.csv", 7.84),
        ("a.csv", None),
    ],
)
def test_portal_folder_names_give_the_spacing(file, spacing):
    assert spacing_in_layout(Location.of(file)) == spacing
