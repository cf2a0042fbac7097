import pytest

from napari_cryoet.diameters import DEFAULT_DIAMETER_ANGSTROM, diameter_angstrom


@pytest.mark.parametrize(
    ("object_id", "object_name", "expected"),
    [
        ("GO:0022626", "whatever", 300),
        ("go:0022626", None, 300),
        (None, "Cytosolic_Ribosome", 300),
        ("GO:0005835", "fatty acid synthase complex", 260),
        ("CDPO:1234567", "ferritin complex", 120),
        ("CDPO:1234567", "Snoopy", DEFAULT_DIAMETER_ANGSTROM),
        (None, None, DEFAULT_DIAMETER_ANGSTROM),
    ],
)
def test_an_object_is_known_by_its_id_or_else_its_name(object_id, object_name, expected):
    assert diameter_angstrom(object_id, object_name) == expected
