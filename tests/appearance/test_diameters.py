"""Known diameters of objects, and the user's own."""

from __future__ import annotations

import pytest
from platformdirs import user_config_path

from napari_cryoet.appearance.diameters import (
    DEFAULT_DIAMETER_ANGSTROM,
    diameter_angstrom,
    known_diameter,
    set_diameter,
)
from napari_cryoet.exceptions import SaveError


def test_diameters_are_known_by_id_or_name():
    assert diameter_angstrom("GO:0022626", "whatever") == 300
    assert diameter_angstrom("CDPO:1234567", "ferritin complex") == 120
    assert diameter_angstrom(None, "Snoopy") == diameter_angstrom(None) == DEFAULT_DIAMETER_ANGSTROM
    assert known_diameter(None, "Snoopy") is None


def test_user_diameters_apply_to_all_names_of_an_object():
    set_diameter("80S Ribosome", 310)
    set_diameter("My  Protein", 55)
    assert diameter_angstrom("GO:0022626") == diameter_angstrom(None, "ribosome") == 310
    assert diameter_angstrom("CDPO:1", "my_protein") == 55


@pytest.mark.parametrize(
    ("word", "angstrom"), [("x", 0), ("x", 1e6), ("x", float("nan")), ("  ", 100)]
)
def test_invalid_diameters_and_names_are_refused(word, angstrom):
    with pytest.raises(ValueError, match=r"particle|name"):
        set_diameter(word, angstrom)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"diameters_angstrom": {"ribosome": -1, "fas": "wide"}}']
)
def test_a_damaged_file_falls_back_to_known_diameters(content):
    set_diameter("ribosome", 310)
    user_config_path("napari-cryoet").joinpath("settings.json").write_text(content)
    assert (diameter_angstrom(None, "ribosome"), diameter_angstrom(None, "fas")) == (300, 260)


def test_an_unwritable_folder_raises_an_error():
    user_config_path("napari-cryoet").parent.mkdir(parents=True, exist_ok=True)
    user_config_path("napari-cryoet").write_text("in the way")
    with pytest.raises(SaveError, match="written"):
        set_diameter("ribosome", 310)
