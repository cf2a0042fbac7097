import numpy as np
import pytest
from napari.layers import Image

from napari_cryoet._qt.odd_units import remark_on_units
from napari_cryoet._qt.viewer_link import ViewerLink
from napari_cryoet.layers.specs import METADATA_KEY

CUBE = np.zeros((4, 4, 4))


def ours(units="angstrom"):
    return Image(CUBE, name="TS_026", scale=(13.48,) * 3, units=units, metadata={METADATA_KEY: {}})


def test_pixels_beside_angstrom_are_explained_with_what_to_do():
    remark = remark_on_units([Image(CUBE, name="mine"), ours()])

    assert remark.startswith("“mine” is in pixel, this run in angstrom:")
    assert "scale to 13.48" in remark


@pytest.mark.parametrize(
    "theirs",
    [
        Image(CUBE, units="nm"),
        Image(CUBE, units="angstrom"),
        Image(np.zeros((2, 4, 4, 4)), units=("s", "nm", "nm", "nm")),
        Image(CUBE[0], units="um"),
    ],
)
def test_lengths_that_can_be_compared_need_no_words(theirs):
    assert remark_on_units([theirs, ours()]) == ""


def test_neither_do_layers_of_which_none_is_ours_or_all_are_in_pixels():
    assert remark_on_units([Image(CUBE), Image(CUBE, units="nm")]) == ""
    assert remark_on_units([Image(CUBE), ours("pixel")]) == ""


def test_a_name_is_no_markup_and_not_endless():
    remark = remark_on_units([Image(CUBE, name="a\u202eb\n" * 400), ours()])

    assert "\u202e" not in remark
    assert "\n" not in remark


class TestTheDock:
    @pytest.fixture
    def remarks(self, qtbot, viewer_model):
        link = ViewerLink(viewer_model)
        remarks = []
        link.remarked.connect(lambda _key, remark: remarks.append(remark))
        yield remarks
        link.close()

    @pytest.mark.parametrize("is_ours_first", [True, False])
    def test_tells_it_whichever_comes_first(self, viewer_model, remarks, is_ours_first):
        layers = [ours(), Image(CUBE, name="mine")]
        for layer in layers if is_ours_first else reversed(layers):
            viewer_model.layers.append(layer)

        assert len(remarks) == 1

    def test_tells_it_once(self, viewer_model, remarks):
        for layer in (Image(CUBE, name="mine"), ours(), ours()):
            viewer_model.layers.append(layer)

        assert len(remarks) == 1

    def test_takes_it_back_when_it_is_over(self, viewer_model, remarks):
        mine = Image(CUBE, name="mine")
        viewer_model.layers.extend([ours(), mine])
        viewer_model.layers.remove(mine)

        assert remarks[1:] == [""]
