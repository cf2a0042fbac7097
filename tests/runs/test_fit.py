"""The voxel spacing and shape of an annotation file's grid.

Fits to tomograms are tested in tests/api.
"""

from __future__ import annotations

from napari_cryoet.runs.fit import fit, shape_zyx, spacing_angstrom
from samples import make_annotation, make_file, make_tomogram, make_voxel_spacing


def test_the_mark_names_another_alignment_or_run():
    tomogram = make_tomogram(alignment_id=18)
    assert "AL-17" in fit(make_file(alignment_id=17), tomogram).mark
    assert "unknown" in fit(make_file(alignment_id=None), tomogram).mark
    assert "another run" in fit(make_file(annotation=make_annotation(run_id=507)), tomogram).mark
    assert fit(make_file(alignment_id=18), tomogram).mark == ""


def test_the_spacing_comes_from_the_file_or_a_matching_tomogram():
    tomogram = make_tomogram(tomogram_voxel_spacing_id=509, voxel_spacing=13.48)

    def spaced(angstrom):
        return make_file(voxel_spacing=make_voxel_spacing(voxel_spacing=angstrom))

    assert spacing_angstrom(spaced(4.99), tomogram) == 4.99
    assert spacing_angstrom(make_file(voxel_spacing=None), tomogram) == 13.48
    other = make_file(voxel_spacing=None, tomogram_voxel_spacing_id=510)
    assert spacing_angstrom(other, tomogram) is None
    for invalid in (0.0, -1.0, float("nan"), float("inf")):
        assert spacing_angstrom(spaced(invalid)) is None


def test_the_grid_shape_comes_from_the_only_matching_tomogram():
    def size(*tomograms):
        return shape_zyx(make_file(), [make_tomogram(**fields) for fields in tomograms])

    assert size({}) == size({"voxel_spacing": 6.74}, {"alignment_id": 18}, {}, {}) == (20, 30, 40)
    for unknown in ((), ({"alignment_id": None},), ({"offset_z": 3},), ({}, {"size_z": 21})):
        assert size(*unknown) is None
