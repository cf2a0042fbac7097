import pytest

from napari_cryoet.overlay import fit, is_caption, shape_zyx, spacing_angstrom, unaligned_mark, why_not_drawable
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
    (ShapeType.MESH, "glb"),
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
        (make_file(ShapeType.MESH, format="obj"), "'obj'"),
        (make_file(ShapeType.GLOBAL_CAPTION, format="txt"), "text about the whole tomogram"),
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


@pytest.mark.parametrize("shape", [ShapeType.GLOBAL_CAPTION, ShapeType.ANNOTATION_CAPTION])
@pytest.mark.parametrize("alignment_id", [17, 18, None])
def test_a_text_lies_nowhere_so_that_no_alignment_concerns_it(shape, alignment_id):
    file = make_file(shape, format="json", alignment_id=alignment_id)

    found = fit(file, make_tomogram(alignment_id=17))

    assert (found.kind, found.is_drawable, found.is_unaligned) == ("text", False, False)
    assert "can be read, not drawn" in found.reason
    assert is_caption(file)


@pytest.mark.parametrize(
    ("of_file", "of_tomogram", "mark"),
    [
        (17, 17, ""),
        (17, 18, "unaligned (AL-17)"),
        (None, 18, "unaligned (alignment unknown)"),
        (17, None, "unaligned (alignment unknown)"),
    ],
)
def test_what_does_not_lie_on_the_tomogram_is_marked_with_its_alignment(of_file, of_tomogram, mark):
    assert unaligned_mark(make_file(alignment_id=of_file), make_tomogram(alignment_id=of_tomogram)) == mark


def test_what_is_of_another_run_is_marked_so_whatever_its_alignment():
    file = make_file(annotation=make_annotation(run_id=507))

    assert unaligned_mark(file, make_tomogram(run_id=506)) == "unaligned (another run)"


def test_another_spacing_is_no_mark():
    file = make_file(voxel_spacing=make_voxel_spacing(id=17910, voxel_spacing=4.99), tomogram_voxel_spacing_id=17910)

    assert unaligned_mark(file, make_tomogram(voxel_spacing=10.012)) == ""


@pytest.mark.parametrize(
    ("tomograms", "size_zyx"),
    [
        ([{}], (20, 30, 40)),
        ([{"voxel_spacing": 6.74}, {"alignment_id": 18}, {}, {"size_z": 20}], (20, 30, 40)),
        ([], None),
        ([{"voxel_spacing": 6.74}], None),
        ([{"alignment_id": 18}], None),
        ([{"alignment_id": None}], None),
        ([{"run_id": 1}], None),
        ([{"offset_z": 3}], None),
        ([{"size_z": 0}], None),
        ([{}, {"size_z": 21}], None),
    ],
)
def test_the_size_of_a_files_grid_is_that_of_the_runs_tomogram_with_this_grid(tomograms, size_zyx):
    assert shape_zyx(make_file(), [make_tomogram(**fields) for fields in tomograms]) == size_zyx
