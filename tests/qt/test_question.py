"""Questions with two answers: Enter and Escape do what one sees, whatever stands in the names."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from keyboard import has_keys, marks_of_keys, press
from napari_cryoet._qt.widgets.question import Question
from napari_cryoet._qt.widgets.theme import colors_of


@pytest.fixture
def ask(qtbot):
    def ask(**options):
        question = Question("Really?", "There is a <b>file</b>.", verb="Replace", **options)
        qtbot.addWidget(question)
        with qtbot.waitActive(question):
            question.open()
        return question

    return ask


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("is_harmless", [True, False])
def test_the_button_that_enter_presses_has_the_keys_and_shows_it(ask, theme, is_harmless):
    question = ask(colors=colors_of(theme), is_harmless=is_harmless)
    button = question.agree if is_harmless else question.cancel

    assert has_keys(button)
    assert button.isDefault()
    assert marks_of_keys(button, question) > 40
    press(Qt.Key.Key_Return)
    assert question.clickedButton() is button


@pytest.mark.parametrize("is_harmless", [True, False])
def test_escape_changes_nothing(ask, is_harmless):
    question = ask(is_harmless=is_harmless)
    press(Qt.Key.Key_Escape)

    assert question.clickedButton() is question.cancel
