"""What layers are called: of remote words, where napari shows names as HTML."""

from napari_cryoet.layer_names import annotation_name, tomogram_name
from napari_cryoet.records import ShapeType
from samples import make_annotation, make_run, make_tomogram


def name_in_run(run_name):
    run = make_run(name=run_name)
    return tomogram_name(make_tomogram(run=run, run_id=run.id))


def test_a_tomogram_is_called_by_what_tells_it_from_others():
    assert name_in_run("TS_026") == "TS_026 · raw · 13.48 Å"


def test_no_name_is_markup():
    assert name_in_run('<img src="file:///a.png">\n').startswith('‹img src="file:///a.png"› · raw')


def test_long_names_lose_their_middle_and_stay_apart():
    first, second = (
        annotation_name(make_annotation(object_name="ribosome " * 50 + str(number)), ShapeType.POINT)
        for number in (1, 2)
    )

    assert "ribosome ribosome" in first
    assert "ribosome 1 · points" in first
    assert len(first) < 120
    assert first != second
