"""The offer to check picks of a person's own file: a notice in the dock, and never more than that unasked."""

import gc
import weakref

import numpy as np
import pytest
from napari.layers._source import layer_source
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication, QWidget

from fitness_scene import SPACING_ANGSTROM, make_scene
from napari_cryoet import add_layers, load_annotation, load_picks, load_tomogram, read_picks, write_picks
from napari_cryoet._qt.check_dock import CheckDock
from napari_cryoet._qt.check_offer import CheckOffer
from napari_cryoet._qt.notice_bar import NoticeBar
from napari_cryoet._qt.theme import Theme
from napari_cryoet.formats.ndjson import Points, write_points
from napari_cryoet.formats.portal_zarr import write_mrc
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.picks import Picks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, scene = tmp_path_factory.mktemp("offer"), make_scene()
    (folder / "mine.ndjson").write_bytes(write_points(Points.from_picks(Picks(scene.truth_zyx))))
    write_picks(Picks(scene.truth_zyx, SPACING_ANGSTROM), folder / "mine.picks.csv")
    write_mrc(folder / "TS.mrc", scene.grey, SPACING_ANGSTROM)
    return folder


@pytest.fixture
def viewer(viewer_model):
    return viewer_model


@pytest.fixture
def notice(viewer, qtbot):
    theme = Theme(viewer)
    notice = NoticeBar(theme)
    qtbot.addWidget(notice)
    offer = CheckOffer(viewer, notice)
    yield notice
    offer.close()
    theme.close()


@pytest.fixture
def tomogram(viewer, notice, folder):
    return add_layers(viewer, [load_tomogram(folder / "TS.mrc")])[0]


def open_mine(viewer, folder):
    """As napari does with a file that our reader reads."""
    path = folder / "mine.ndjson"
    with layer_source(path=str(path), reader_plugin="napari-cryoet"):
        return add_layers(viewer, load_annotation(path))[0]


def test_a_file_of_ones_own_over_a_tomogram_is_offered_a_check(viewer, notice, tomogram, folder, qtbot):
    open_mine(viewer, folder)
    qtbot.waitUntil(lambda: not notice.isHidden())

    assert notice.text == "“mine” is a file of your own. Do its picks make sense in “TS”?"
    assert notice.action.text() == "Check picks"


@pytest.mark.parametrize("is_seen", [True, False])
def test_an_offer_that_nobody_sees_is_told_by_napari(viewer, qtbot, tomogram, folder, notice, is_seen):
    dock = QWidget()
    qtbot.addWidget(dock)
    notice.setParent(dock)
    if is_seen:
        dock.show()  # else as behind another tab
        qtbot.waitUntil(lambda: not dock.visibleRegion().isEmpty())
    open_mine(viewer, folder)
    qtbot.waitUntil(lambda: not notice.isHidden())

    told = [record.message for record in notification_manager.records]
    words = "Check picks, under Plugins, tells whether the picks of “mine” make sense in “TS”."
    assert told == ([] if is_seen else [words])
    notice.setParent(None)


def test_the_button_opens_the_dock_on_these_layers_and_checks(make_napari_viewer, folder, qtbot):
    viewer = make_napari_viewer()
    theme = Theme(viewer)
    notice = NoticeBar(theme)
    qtbot.addWidget(notice)
    offer = CheckOffer(viewer, notice)
    (tomogram,) = add_layers(viewer, [load_tomogram(folder / "TS.mrc")])
    (mine,) = viewer.open(str(folder / "mine.ndjson"), plugin="napari-cryoet")
    qtbot.waitUntil(lambda: not notice.isHidden())
    assert not viewer.window.dock_widgets
    notice.action.click()
    _, dock = viewer.window.add_plugin_dock_widget("napari-cryoet", "Check picks")

    assert isinstance(dock, CheckDock)
    assert notice.isHidden()
    assert (dock.points.layer, dock.image.layer) == (mine, tomogram)
    qtbot.waitUntil(lambda: len(dock.results.texts) > 1)
    dock.close_down()
    offer.close()
    theme.close()


def told_of_mine(viewer, folder):
    """What is told once a tomogram and a file of one's own are opened in a window."""
    viewer.open(str(folder / "TS.mrc"), plugin="napari-cryoet")
    viewer.open(str(folder / "mine.picks.csv"), plugin="napari-cryoet")
    QApplication.processEvents()  # an offer comes now
    return [record.message for record in notification_manager.records if "make sense" in record.message]


def test_where_the_portals_dock_is_not_open_napari_tells(make_napari_viewer, folder):
    told = told_of_mine(make_napari_viewer(show=True), folder)

    assert told == ["Check picks, under Plugins, tells whether the picks of “mine.picks” make sense in “TS”."]


def test_where_the_portals_dock_is_open_only_it_tells(make_napari_viewer, folder, qtbot):
    viewer = make_napari_viewer(show=True)
    theme = Theme(viewer)
    notice = NoticeBar(theme)
    qtbot.addWidget(notice)
    notice.show()
    offer = CheckOffer(viewer, notice)
    notice.hide()

    assert len(told_of_mine(viewer, folder)) == 1
    offer.close()
    theme.close()


def test_a_script_without_a_window_is_told_nothing(make_napari_viewer, folder):
    assert told_of_mine(make_napari_viewer(), folder) == []


def test_points_that_were_drawn_or_copied_are_offered_nothing(viewer, notice, tomogram, qtbot):
    viewer.add_points(np.ones((5, 3)))
    QApplication.processEvents()  # an offer would come now

    assert notice.isHidden()


def test_annotations_of_a_pack_arent_ones_own(viewer, notice, tomogram, folder):
    with layer_source(path=str(folder)):
        viewer.add_points(np.ones((5, 3)), metadata={METADATA_KEY: {"annotation_file_id": 7}})
    QApplication.processEvents()  # an offer would come now

    assert notice.isHidden()


def test_without_a_tomogram_there_is_nothing_to_offer(viewer, notice, folder, qtbot):
    open_mine(viewer, folder)
    QApplication.processEvents()  # an offer would come now

    assert notice.isHidden()


def test_a_tomogram_that_is_opened_under_a_file_of_ones_own_brings_the_offer(viewer, notice, folder, qtbot):
    open_mine(viewer, folder)
    QApplication.processEvents()
    add_layers(viewer, [load_tomogram(folder / "TS.mrc")])
    qtbot.waitUntil(lambda: not notice.isHidden())

    assert notice.text == "“mine” is a file of your own. Do its picks make sense in “TS”?"
    notice.dismiss.click()
    add_layers(viewer, [load_tomogram(folder / "TS.mrc")])
    QApplication.processEvents()  # another offer would come now
    assert notice.isHidden()


def test_an_offer_of_somebody_else_stays_and_plain_news_is_kept_beside(viewer, notice, tomogram, folder, qtbot):
    notice.show_notice("Something else.", "Retry", lambda: None)
    mine = open_mine(viewer, folder)
    QApplication.processEvents()  # an offer would come now
    assert notice.text == "Something else."

    viewer.layers.remove(mine)
    notice.show_notice("Mind the units.")
    open_mine(viewer, folder)
    qtbot.waitUntil(lambda: notice.text.startswith("Mind the units. “mine"))


def test_the_offer_goes_with_the_layer(viewer, notice, tomogram, folder, qtbot):
    mine = open_mine(viewer, folder)
    qtbot.waitUntil(lambda: not notice.isHidden())
    viewer.layers.remove(mine)

    assert notice.isHidden()


class TestVolumesOfOtherReaders:
    """Such as napari's own, or of a script: plain Image layers, which say how wide a voxel is only by their units."""

    SCALE_NM = (SPACING_ANGSTROM / 10,) * 3

    def test_a_volume_with_a_known_width_under_the_picks_is_offered(self, viewer, notice, folder, qtbot):
        viewer.add_image(make_scene().grey, name="plain", scale=self.SCALE_NM, units="nm")
        open_mine(viewer, folder)
        qtbot.waitUntil(lambda: not notice.isHidden())

        assert notice.text.endswith("Do its picks make sense in “plain”?")

    def test_also_once_its_width_is_said(self, viewer, notice, folder, qtbot):
        image = viewer.add_image(make_scene().grey, name="plain")
        open_mine(viewer, folder)
        QApplication.processEvents()  # an offer would come now
        assert notice.isHidden()

        image.scale = self.SCALE_NM
        image.units = "nm"
        qtbot.waitUntil(lambda: not notice.isHidden())

    @pytest.mark.parametrize(
        "options",
        [
            {},  # in pixels
            {"scale": SCALE_NM},
            {"scale": SCALE_NM, "units": "nm", "translate": (1e4, 0, 0)},
        ],
    )
    def test_no_other_is(self, viewer, notice, folder, options, qtbot):
        viewer.add_image(make_scene().grey, **options)
        with layer_source(path=str(folder / "mine.picks.csv")):
            add_layers(viewer, load_picks(read_picks(folder / "mine.picks.csv"), name="mine"))
        QApplication.processEvents()  # an offer would come now

        assert notice.isHidden()

    def test_pictures_and_images_of_four_axes_are_no_volumes(self, viewer, notice, folder):
        viewer.add_image(np.zeros((9, 9)), units="nm")
        viewer.add_image(np.zeros((9, 9, 9, 3)), rgb=True, units="nm")
        viewer.add_image(np.zeros((2, 9, 9, 9)), units="nm")
        open_mine(viewer, folder)
        QApplication.processEvents()  # an offer would come now

        assert notice.isHidden()

    def test_one_of_ours_comes_first(self, viewer, notice, tomogram, folder, qtbot):
        viewer.add_image(make_scene().grey, name="plain", scale=self.SCALE_NM, units="nm")
        open_mine(viewer, folder)
        qtbot.waitUntil(lambda: not notice.isHidden())

        assert "in “TS”" in notice.text


OF_ANNOTATIONS = [
    ("a.star", True),
    ("b.ndjson", True),
    ("bare.ndjson", False),
    ("as long as the disk takes.ndjson".rjust(250, "b"), False),
]


@pytest.mark.parametrize(("name", "is_own"), OF_ANNOTATIONS)
def test_an_export_of_an_annotation_is_ones_own_and_its_file_as_the_portal_has_it_is_not(
    viewer, notice, tomogram, tmp_path, name, is_own
):
    about = {"annotation_file_id": 7, "object_name": "ribosome"}
    picks = Picks(make_scene().truth_zyx, SPACING_ANGSTROM, shape_zyx=make_scene().grey.shape, about=about)
    if is_own:
        write_picks(picks, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(write_points(Points.from_picks(picks)))
    with layer_source(path=str(tmp_path / name)):
        specs = load_picks(read_picks(tmp_path / name, spacing_angstrom=SPACING_ANGSTROM), name="mine")
        for spec in specs:
            spec.options["metadata"][METADATA_KEY]["annotation_file_id"] = 7
        add_layers(viewer, specs)
    QApplication.processEvents()  # an offer comes now

    assert notice.isHidden() != is_own


def test_what_was_declined_is_not_offered_again(viewer, notice, tomogram, folder, qtbot):
    mine = open_mine(viewer, folder)
    qtbot.waitUntil(lambda: not notice.isHidden())
    notice.dismiss.click()
    viewer.layers.remove(mine)
    viewer.layers.append(mine)
    viewer.add_image(make_scene().grey, scale=(1, 1, 1), units="nm")
    QApplication.processEvents()  # another offer would come now

    assert notice.isHidden()


def test_the_offer_goes_with_the_tomogram_and_comes_again_with_the_next(viewer, notice, tomogram, folder, qtbot):
    open_mine(viewer, folder)
    qtbot.waitUntil(lambda: not notice.isHidden())
    viewer.layers.remove(tomogram)
    assert notice.isHidden(), "it would open the check of a layer that is gone"
    QApplication.processEvents()  # another offer would come now
    assert notice.isHidden()

    viewer.add_image(make_scene().grey, name="plain", scale=(SPACING_ANGSTROM / 10,) * 3, units="nm")
    qtbot.waitUntil(lambda: not notice.isHidden())
    assert notice.text.endswith("Do its picks make sense in “plain”?")


def test_a_declined_offer_stays_declined_when_its_tomogram_goes(viewer, notice, tomogram, folder, qtbot):
    open_mine(viewer, folder)
    qtbot.waitUntil(lambda: not notice.isHidden())
    notice.dismiss.click()
    viewer.layers.remove(tomogram)
    viewer.add_image(make_scene().grey, scale=(1, 1, 1), units="nm")
    QApplication.processEvents()  # another offer would come now

    assert notice.isHidden()


def test_an_offer_keeps_no_layer_alive(viewer, notice, folder, qtbot):
    image = viewer.add_image(make_scene().grey, scale=(SPACING_ANGSTROM / 10,) * 3, units="nm")
    open_mine(viewer, folder)
    qtbot.waitUntil(lambda: not notice.isHidden())
    notice.dismiss.click()
    gone = weakref.ref(image)
    viewer.layers.remove(image)
    del image
    gc.collect()

    assert gone() is None
