import pytest

from napari_cryoet.overlay import fit, spacing_angstrom, why_not_drawable
from napari_cryoet.vocabulary import ShapeType
from samples import make_annotation, make_file, make_tomogram, make_voxel_spacing

DRAWABLE = [
    (ShapeType.POINT, "ndjson"),
    (ShapeType.ORIENTED_POINT, "ndjson"),
    (ShapeType.INSTANCE_SEGMENTATION, "ndjson"),
    (ShapeType.SEGMENTATION_MASK, "zarr"),
    (ShapeType.SEGMENTATION_MASK, "mrc"),
    (ShapeType.INSTANCE_SEGMENTATION_MASK, "zarr"),
    (ShapeType.INSTANCE_SEGMENTATION_MASK, "mrc"),
]


@pytest.mark.parametrize(("shape", "file_format"), DRAWABLE)
def test_an_annotation_of_the_same_alignment_and_spacing_simply_fits(shape, file_format):
    found = fit(make_file(shape, format=file_format), make_tomogram())

    assert (found.kind, found.reason, found.fits) == ("same", "", True)


def test_another_spacing_of_the_same_alignment_is_rescaled_and_says_so():
    file = make_file(voxel_spacing=make_voxel_spacing(id=17910, voxel_spacing=4.99), tomogram_voxel_spacing_id=17910)

    found = fit(file, make_tomogram(voxel_spacing=10.012))

    assert found.kind == "rescaled"
    assert found.fits
    assert "4.99 Å" in found.reason
    assert "10.012 Å" in found.reason


def test_another_alignment_does_not_fit_but_can_be_forced():
    found = fit(make_file(alignment_id=17), make_tomogram(alignment_id=18))

    assert found.kind == "other_alignment"
    assert not found.fits
    assert found.is_drawable
    assert found.reason == (
        "This annotation was made on another alignment of this run (AL-17), so its positions don't fit this tomogram."
    )


@pytest.mark.parametrize(
    ("of_file", "of_tomogram", "words"),
    [
        (None, 17, "which alignment this annotation was made"),
        (17, None, "which alignment this tomogram was made"),
        (None, None, "which alignments this annotation and this tomogram were made"),
    ],
)
def test_an_unknown_alignment_does_not_fit_but_can_be_forced(of_file, of_tomogram, words):
    found = fit(make_file(alignment_id=of_file), make_tomogram(alignment_id=of_tomogram))

    assert found.kind == "unknown_alignment"
    assert not found.fits
    assert found.is_drawable
    assert words in found.reason


def test_an_annotation_of_another_run_does_not_fit():
    file = make_file(annotation=make_annotation(run_id=507))

    found = fit(file, make_tomogram(run_id=506))

    assert found.kind == "other_alignment"
    assert "another run" in found.reason


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (make_file(ShapeType.MESH, format="glb"), "Meshes"),
        (make_file(ShapeType.GLOBAL_CAPTION, format="json"), "text about the whole tomogram"),
        (make_file(ShapeType.ANNOTATION_CAPTION, format="json"), "text about an annotation"),
        (make_file(ShapeType("Hologram"), format="holo"), "'Hologram'"),
        (make_file(ShapeType.POINT, format="star"), "'star'"),
        (make_file(ShapeType.SEGMENTATION_MASK, format="ndjson"), "'ndjson'"),
        (make_file(None), "what shape"),
        (make_file(shape=None), "what shape"),
    ],
)
def test_what_cannot_be_drawn_says_why(file, words):
    found = fit(file, make_tomogram())

    assert found.kind == "not_drawable"
    assert not found.is_drawable
    assert words in found.reason
    assert why_not_drawable(file) == found.reason


def test_the_spacing_is_the_files_own():
    file = make_file(voxel_spacing=make_voxel_spacing(voxel_spacing=4.99))

    assert spacing_angstrom(file, make_tomogram(voxel_spacing=10.012)) == 4.99


def test_a_tomogram_lends_its_spacing_only_to_files_of_the_same_spacing_id():
    tomogram = make_tomogram(tomogram_voxel_spacing_id=509, voxel_spacing=13.48)

    assert spacing_angstrom(make_file(voxel_spacing=None), tomogram) == 13.48
    assert spacing_angstrom(make_file(voxel_spacing=None, tomogram_voxel_spacing_id=510), tomogram) is None
    assert fit(make_file(voxel_spacing=None, tomogram_voxel_spacing_id=510), tomogram).kind == "not_drawable"


@pytest.mark.parametrize("nonsense", [0.0, -1.0, float("nan"), float("inf")])
def test_a_spacing_that_is_no_length_is_unknown(nonsense):
    assert spacing_angstrom(make_file(voxel_spacing=make_voxel_spacing(voxel_spacing=nonsense))) is None
