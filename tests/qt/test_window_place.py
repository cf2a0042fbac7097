"""A second window leaves the first one in sight."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QRect

from napari_cryoet._qt.window_place import SIZE, place_for

WIDE = QRect(0, 0, 2560, 1440)
LAPTOP = QRect(0, 25, 1280, 775)


@pytest.mark.parametrize(
    ("first", "screen", "is_free"),
    [
        (QRect(0, 0, 1280, 800), WIDE, True),
        (QRect(1280, 100, 1280, 800), WIDE, True),
        (QRect(400, 0, 1800, 1400), WIDE, False),
        (LAPTOP, LAPTOP, False),
        (WIDE, WIDE, False),
        (QRect(-200, -50, 1280, 800), LAPTOP, False),
    ],
)
def test_the_right_side_of_the_first_window_stays_in_sight(first, screen, is_free):
    place = place_for(first, screen)
    assert screen.contains(place)
    assert place.intersects(first) != is_free
    right_side = QRect(first.right() - first.width() // 3, first.top(), first.width() // 3, first.height())
    assert not place.intersects(right_side.intersected(screen))


def test_it_is_as_large_as_there_is_room():
    assert place_for(QRect(0, 0, 1280, 800), WIDE).size() == SIZE
    assert place_for(LAPTOP, LAPTOP).height() <= LAPTOP.height()
    assert place_for(QRect(0, 0, 500, 300), QRect(0, 0, 500, 300)).width() <= 300
