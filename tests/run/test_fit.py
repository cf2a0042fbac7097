"""Which annotation fits which tomogram."""

from __future__ import annotations

import pytest

from napari_cryoet.run.fit import fit, shape_zyx, spacing_angstrom
from samples import make_annotation, make_file, make_tomogram, make_voxel_spacing


def test_another_spacing_of_the_same_alignment_is_rescaled_and_says_so():
    file = make_file(voxel_spacing=make_voxel_spacing(id=17910, voxel_spacing=4.99), tomogram_voxel_spacing_id=17910)
    tomogram = make_tomogram(voxel_spacing=10.012)
    found = fit(file, tomogram)
    assert (found.kind, found.fits) == ("rescaled", True)
    assert "4.99 Å" in found.reason
    assert "10.012 Å" in found.reason
    assert found.mark == ""


@pytest.mark.parametrize(
    ("of_file", "of_tomogram", "kind", "mark"),
    [
        (17, 18, "other_alignment", "AL-17"),
        (None, 18, "unknown_alignment", "unknown"),
        (17, None, "unknown_alignment", "AL-17"),
    ],
)
def test_another_or_an_unknown_alignment_does_not_fit_but_can_be_drawn(of_file, of_tomogram, kind, mark):
    file, tomogram = make_file(alignment_id=of_file), make_tomogram(alignment_id=of_tomogram)
    found = fit(file, tomogram)
    assert (found.kind, found.fits, found.is_drawable, found.is_unaligned) == (kind, False, True, True)
    assert "alignment" in found.reason
    assert mark in found.mark


def test_an_annotation_of_another_run_does_not_fit():
    file = make_file(annotation=make_annotation(run_id=507))
    found = fit(file, make_tomogram(run_id=506))
    assert (found.kind, found.mark) == ("other_alignment", "of another run")


def test_the_spacing_is_the_files_own_or_that_of_a_tomogram_of_the_same_spacing_id():
    tomogram = make_tomogram(tomogram_voxel_spacing_id=509, voxel_spacing=13.48)
    assert spacing_angstrom(make_file(voxel_spacing=make_voxel_spacing(voxel_spacing=4.99)), tomogram) == 4.99
    assert spacing_angstrom(make_file(voxel_spacing=None), tomogram) == 13.48
    assert spacing_angstrom(make_file(voxel_spacing=None, tomogram_voxel_spacing_id=510), tomogram) is None
    assert fit(make_file(voxel_spacing=None, tomogram_voxel_spacing_id=510), tomogram).kind == "not_drawable"
    for nonsense in (0.0, -1.0, float("nan"), float("inf")):
        assert spacing_angstrom(make_file(voxel_spacing=make_voxel_spacing(voxel_spacing=nonsense))) is None


def test_the_size_of_a_files_grid_is_that_of_the_one_tomogram_with_this_grid():
    def size(*tomograms):
        return shape_zyx(make_file(), [make_tomogram(**fields) for fields in tomograms])

    assert size({}) == size({"voxel_spacing": 6.74}, {"alignment_id": 18}, {}, {}) == (20, 30, 40)
    assert size() is size({"alignment_id": None}) is size({"offset_z": 3}) is size({}, {"size_z": 21}) is None
