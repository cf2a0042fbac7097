"""Which colour an annotation gets is settled by the order of ticks; what a person chose instead stays."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from napari.layers import Points, Vectors
from napari.utils._proxies import PublicOnlyProxy

from napari_cryoet import open_portal
from napari_cryoet._qt import viewer_link
from napari_cryoet._qt.annotation_colors import AnnotationColors, run_colors
from napari_cryoet._qt.appearance import appearance_of, paint
from napari_cryoet._qt.look_icon import look_of
from napari_cryoet._qt.own_layers import LayerKey
from napari_cryoet._qt.reviewed_layer import ReviewedLayer
from napari_cryoet._qt.viewer_link import ViewerLink
from napari_cryoet.color_vision import are_alike
from napari_cryoet.colors import color_of, object_key
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.formats.ndjson import Points as FilePoints
from napari_cryoet.formats.ndjson import write_points
from napari_cryoet.records import AnnotationShape
from napari_cryoet.vocabulary import ShapeType
from samples import make_annotation, make_dataset, make_file, make_run, make_run_page

RIBOSOME = "cytosolic ribosome"
ROSE = (0.9, 0.1, 0.4, 1.0)
PICKS = {ShapeType.POINT, ShapeType.ORIENTED_POINT}


class Desk:
    """Annotations of the demo's cell, ticked and unticked as its page does; each may be held up on its way."""

    def __init__(self, qtbot, viewer, page, monkeypatch):
        self._qtbot, self._viewer, self.page = qtbot, viewer, page
        self._gates = {}
        self.link = ViewerLink(viewer)
        load = viewer_link.load_annotation

        def patient(file, *arguments, **options):
            gate = self._gates.get(file.id)
            if gate is not None:
                assert gate.wait(30)
            if file.id in self.broken:
                raise CryoETError("It is broken.")
            return load(file, *arguments, **options)

        self.broken = set()
        monkeypatch.setattr(viewer_link, "load_annotation", patient)

    def files(self, shape_types, object_name):
        """The first file of each annotation of an object."""
        found = {
            file.shape.annotation.id: file
            for file in reversed(self.page.annotation_files)
            if file.shape.shape_type in shape_types and file.shape.annotation.object_name == object_name
        }
        return list(found.values())

    def hold(self, file):
        self._gates[file.id] = threading.Event()

    def release(self, file):
        self._gates[file.id].set()
        return self.arrived(file)

    def ask(self, file):
        self.link.show_annotation(self.page, file)

    def arrived(self, file):
        key = LayerKey("annotation", file.id)
        self._qtbot.waitUntil(lambda: key not in self.link.coming())
        return (self.link.layers_of(key) or [None])[0]

    def turn_to(self, page):
        self.page = page

    def tick(self, file):
        self.ask(file)
        return self.arrived(file)

    def untick(self, file):
        assert self.link.hide_annotation(file)

    def close(self):
        for gate in self._gates.values():
            gate.set()
        self.link.close()


@pytest.fixture
def desk(qtbot, viewer_model, demo_pack, monkeypatch):
    desk = Desk(qtbot, viewer_model, open_portal(demo_pack).run_page(9001), monkeypatch)
    yield desk
    desk.close()


def color(layer):
    return appearance_of(layer).color


def object_key_of(file):
    return object_key(file.shape.annotation.object_id, file.shape.annotation.object_name)


def is_same(one, other):
    return np.allclose(one[:3], other[:3], atol=2e-3)


# by the order of ticks


def test_the_first_tick_gets_the_objects_colour_whichever_arrives_first(desk):
    first, second, *_ = desk.files(PICKS, RIBOSOME)
    desk.hold(first)
    desk.ask(first)
    later = desk.tick(second)
    earlier = desk.release(first)

    assert is_same(color(earlier), color_of(RIBOSOME))
    assert not are_alike(color(later), color(earlier))


def test_three_quick_ticks_get_the_colours_that_slow_ones_do(desk):
    files = desk.files(PICKS, RIBOSOME)[:3]
    slowly = [color(desk.tick(file)) for file in files]
    for file in files:
        desk.untick(file)
    for file in files:
        desk.hold(file)
        desk.ask(file)
    quickly = {file.id: color(desk.release(file)) for file in reversed(files)}

    assert len(files) == 3
    for file, before in zip(files, slowly, strict=True):
        assert is_same(quickly[file.id], before)


def test_two_shapes_that_are_ticked_at_once_have_the_colour_of_their_annotation(desk):
    first, *_ = desk.files(PICKS, RIBOSOME)
    shapes = {file.shape.shape_type: file for file in desk.page.annotation_files if file.shape.annotation.id == 9001}
    one, other, *_ = shapes.values()
    assert first.shape.annotation.id != 9001
    desk.hold(first)
    desk.ask(first)
    for file in (one, other):
        desk.hold(file)
        desk.ask(file)
    colors = [color(desk.release(file)) for file in (other, one)]

    assert is_same(*colors)
    assert not are_alike(colors[0], color_of(RIBOSOME))


def test_what_failed_or_was_stopped_keeps_no_colour_from_others(desk):
    first, second, third, *_ = desk.files(PICKS, RIBOSOME)
    desk.broken.add(first.id)
    assert desk.tick(first) is None
    desk.hold(second)
    desk.ask(second)
    desk.untick(second)

    assert is_same(color(desk.tick(third)), color_of(RIBOSOME))


def test_instances_on_their_way_keep_the_objects_colour_free(desk):
    """They have a colour each, and none of them all."""
    instances = [
        file
        for file in desk.page.annotation_files
        if file.shape.shape_type in {ShapeType.INSTANCE_SEGMENTATION, ShapeType.INSTANCE_SEGMENTATION_MASK}
    ]
    for file in instances:
        name = file.shape.annotation.object_name
        others = desk.files({*PICKS, ShapeType.SEGMENTATION_MASK, ShapeType.MESH}, name)
        for other in [each for each in others if each.shape.annotation.id != file.shape.annotation.id][:1]:
            desk.hold(file)
            desk.ask(file)
            shown = desk.tick(other)
            assert is_same(color(shown), run_colors(desk.page)[object_key_of(other)])
            desk.untick(other)
            desk.untick(file)
    assert instances


# where colours run out


@pytest.fixture
def page_of(tmp_path):
    """A page of picks of objects, one annotation of each."""
    path = tmp_path / "points.ndjson"
    path.write_bytes(write_points(FilePoints.from_zyx(np.array([[3.0, 2.0, 1.0], [9.0, 20.0, 30.0]]))))
    run = make_run(id=506, name="TS_026", dataset=make_dataset())

    def page_of(objects):
        files = []
        for number, name in enumerate(objects, start=1):
            fields = {"object_id": None, "object_name": name}
            annotation = make_annotation(id=number, run_id=run.id, run=run, **fields)
            shape = AnnotationShape(id=number, annotation_id=number, shape_type=ShapeType.POINT, annotation=annotation)
            files.append(
                make_file(ShapeType.POINT, id=number, https_path=path.as_uri(), shape=shape, annotation_shape_id=number)
            )
        return make_run_page(tomograms=[], files=files, run=run)

    return page_of


@pytest.mark.parametrize(
    "objects", [[f"object {number}" for number in range(15)], ["ribosome"] * 26], ids=["of 15 objects", "of one"]
)
def test_picks_of_more_annotations_than_colours_are_told_apart_by_their_symbol(desk, page_of, objects):
    desk.turn_to(page_of(objects))
    layers = [desk.tick(file) for file in desk.page.annotation_files]
    looks = [look_of(layer) for layer in layers]
    pairs = [(one, other) for number, one in enumerate(looks) for other in looks[:number]]

    assert {look.symbol for look in looks} > {"disc"}
    assert not any(one.symbol == other.symbol and are_alike(one.color, other.color) for one, other in pairs)


# what a person chose


@pytest.mark.parametrize("shape_type", [*sorted(PICKS), ShapeType.SEGMENTATION_MASK, ShapeType.MESH])
def test_a_colour_that_a_person_chose_is_there_after_unticking_and_ticking(desk, shape_type):
    file = next(file for file in desk.page.annotation_files if file.shape.shape_type == shape_type)
    desk.tick(file)
    desk.link.set_color(LayerKey("annotation", file.id), ROSE)
    desk.untick(file)
    desk.tick(file)

    for layer in desk.link.layers_of(LayerKey("annotation", file.id)):
        assert is_same(color(layer), ROSE)


def test_a_colour_that_a_person_chose_stays_while_the_eye_is_closed(desk):
    file, *_ = desk.files(PICKS, RIBOSOME)
    layer = desk.tick(file)
    key = LayerKey("annotation", file.id)
    desk.link.set_color(key, ROSE)
    desk.link.set_visible(key, False)
    assert desk.tick(file) is layer  # which opens its eye

    assert layer.visible
    assert is_same(color(layer), ROSE)


def test_the_fill_that_a_person_chose_in_naparis_own_controls_stays_too(desk, viewer_model):
    """There, ring and fill have each their own; arrows follow the rings."""
    file = next(file for file in desk.page.annotation_files if file.shape.shape_type == ShapeType.ORIENTED_POINT)
    points = desk.tick(file)
    opacity = points.face_color[0, 3]
    points.face_color = [0.0, 1.0, 0.0, opacity]
    ring = color(points)
    viewer_model.layers.remove(points)  # in napari's own list
    desk.link._tidy.timeout.emit()
    desk.tick(file)
    points, arrows = desk.link.layers_of(LayerKey("annotation", file.id))

    assert isinstance(points, Points)
    assert isinstance(arrows, Vectors)
    assert is_same(points.face_color[0], (0, 1, 0))
    assert points.face_color[0, 3] == pytest.approx(opacity)
    assert is_same(color(points), color(arrows))
    assert is_same(color(points), ring)


def test_a_colour_that_a_person_chose_is_known_to_the_next_dock(desk, viewer_model, qtbot):
    file, *_ = desk.files(PICKS, RIBOSOME)
    desk.tick(file)
    desk.link.set_color(LayerKey("annotation", file.id), ROSE)
    desk.untick(file)
    desk.link.close()
    desk.link = ViewerLink(viewer_model)

    assert is_same(color(desk.tick(file)), ROSE)


def test_a_colour_outlives_the_stand_in_for_the_viewer_that_napari_gives_a_dock(viewer_model):
    key = LayerKey("annotation", 7)
    before, after = (Points(np.ones((2, 3)), border_color="yellow") for _ in range(2))
    colors = AnnotationColors(PublicOnlyProxy(viewer_model))
    colors.note_given(key, [before])
    paint(before, ROSE)
    colors.note_chosen(key, before)
    del colors
    gc.collect()  # as soon after the dock as Python likes
    AnnotationColors(PublicOnlyProxy(viewer_model)).note_given(key, [after])

    assert is_same(color(after), ROSE)


def test_a_colour_that_nobody_chose_is_given_anew(desk):
    first, second, *_ = desk.files(PICKS, RIBOSOME)
    desk.tick(first)
    assert not are_alike(color(desk.tick(second)), color_of(RIBOSOME))
    desk.untick(first)
    desk.untick(second)

    assert is_same(color(desk.tick(second)), color_of(RIBOSOME))


def test_another_annotation_gets_no_colour_like_the_one_that_a_person_chose(desk):
    first, second, *_ = desk.files(PICKS, RIBOSOME)
    desk.tick(first)
    desk.link.set_color(LayerKey("annotation", first.id), ROSE)
    desk.untick(first)
    desk.tick(first)
    later = desk.tick(second)

    assert is_same(color(later), color_of(RIBOSOME))
    desk.link.set_color(LayerKey("annotation", first.id), color_of(RIBOSOME))
    desk.untick(second)
    assert not are_alike(color(desk.tick(second)), color_of(RIBOSOME))


def test_picks_that_are_faint_since_they_were_rejected_are_no_choice(desk, viewer_model):
    file, *_ = desk.files(PICKS, RIBOSOME)
    layer = desk.tick(file)
    before = layer.border_color.copy(), layer.face_color.copy()
    reviewed = ReviewedLayer(viewer_model, layer)
    reviewed.dim(np.asarray(reviewed.picks.ids))
    assert (layer.border_color[:, 3] < before[0][:, 3]).all()
    desk.untick(file)
    layer = desk.tick(file)

    np.testing.assert_allclose(layer.border_color, before[0])
    np.testing.assert_allclose(layer.face_color, before[1])
