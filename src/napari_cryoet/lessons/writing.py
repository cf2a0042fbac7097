"""A lesson that is being written: its steps, the picks of its tasks, and the folder it is saved in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from napari_cryoet.exceptions import ExistsError
from napari_cryoet.files import written_whole
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.lessons.folder import open_lesson
from napari_cryoet.lessons.lesson import LESSON_NAME, Lesson, RegionZyx, Step
from napari_cryoet.lessons.text import HIDDEN, key_of, lesson_text
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import Camera, View

#: The folder of a lesson's picks that learners see.
SHOWN: Final = "picks/"


class Draft:
    """A lesson that is being written.

    Attributes
    ----------
    lesson
        As it is now.
    folder
        Where it was read or saved; None before that.
    """

    def __init__(self, lesson: Lesson | None = None, folder: Path | None = None) -> None:
        self.lesson = lesson or Lesson(key="lesson", title="A new lesson")
        self.folder = folder
        self._saved = self.lesson
        self._picks: dict[str, Picks] = {}
        self._hidden: set[str] = set()

    @classmethod
    def of_folder(cls, path: Path | str) -> Draft:
        """The draft of a lesson that exists; FormatError if it is damaged."""
        opened = open_lesson(path)
        return cls(opened.lesson, opened.folder)

    @property
    def is_changed(self) -> bool:
        """Whether something isn't saved."""
        return self.lesson != self._saved or bool(self._picks)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in order."""
        return self.lesson.steps

    def change(self, **fields: Any) -> None:
        """Change fields of the lesson, such as its title."""
        self.lesson = replace(self.lesson, **fields)

    def add_step(self, view: View | None, after: int = -1) -> int:
        """Add a step that starts from a view, and return its number."""
        number = after + 1
        title = f"Step {len(self.steps) + 1}"
        step = Step(key=self._free_key(title), title=title)
        self.change(steps=(*self.steps[:number], step, *self.steps[number:]))
        self.show(number, view)
        return number

    def show(self, number: int, view: View | None) -> None:
        """Let a step start from a view, without the layers that `hide` hid."""
        if view is not None:
            layers = tuple(layer for layer in view.layers if layer.path not in self._hidden)
            view = replace(view, layers=layers)
        self.change_step(number, view=view)

    def hide(self, path: str) -> None:
        """Leave the layer of a path out of all steps, since it would show the answer of a task."""
        self._hidden.add(path)
        for number, step in enumerate(self.steps):
            self.show(number, step.view)

    def change_step(self, number: int, **fields: Any) -> None:
        """Change fields of a step; its key stays, since results name it."""
        steps = list(self.steps)
        steps[number] = replace(steps[number], **fields)
        self.change(steps=tuple(steps))

    def move_step(self, number: int, to: int) -> None:
        """Move a step to another place."""
        steps = list(self.steps)
        steps.insert(to, steps.pop(number))
        self.change(steps=tuple(steps))

    def remove_step(self, number: int) -> None:
        """Remove a step; files of its task stay in the folder."""
        self.change(steps=self.steps[:number] + self.steps[number + 1 :])

    def add_picks(self, step: int, picks: Picks, *, is_hidden: bool) -> str:
        """Keep picks for a step's task, and return the name of their file.

        It is written with the lesson.
        """
        name = f"{HIDDEN if is_hidden else SHOWN}{self.steps[step].key}.ndjson"
        self._picks[name] = picks
        return name

    def save(self, folder: Path | None = None) -> Path:
        """Save in the lesson's folder, or a new lesson in a new or empty one; return the folder.

        Raises
        ------
        ExistsError
            If a new lesson's folder isn't empty.
        SaveError
            If the lesson can't be written.
        """
        folder = folder or self.folder
        if folder is None:
            raise ValueError("a new lesson needs a folder")
        if folder != self.folder and folder.exists() and any(folder.iterdir()):
            raise ExistsError(
                f"{folder} isn't empty.", hint="Choose a new or empty folder for the lesson."
            )
        if self.folder is None:
            self.change(key=key_of(folder.name, 1))
        text = lesson_text(self.lesson)
        for name, picks in self._picks.items():
            write_picks(picks, folder / name, overwrite=True)
        with written_whole(folder / LESSON_NAME, overwrite=True) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        self.folder = folder
        self._saved = self.lesson
        self._picks = {}
        return folder

    def _free_key(self, title: str) -> str:
        taken = {step.key for step in self.steps}
        key = key_of(title, len(taken) + 1)
        number = 2
        while key in taken:
            key = key_of(f"{title} {number}", number)
            number += 1
        return key


def region_of_screen(camera: Camera, extent_zyx: RegionZyx, thickness_angstrom: float) -> RegionZyx:
    """The box that a canvas in 2D shows, within the tomogram.

    Parameters
    ----------
    extent_zyx
        Start and end of the tomogram along z, y and x in ångström.
    thickness_angstrom
        How many planes around the shown one count; 0 for all.
    """
    height, width = camera.field_angstrom
    through, down, right = camera.order
    center = np.array(camera.center_zyx_angstrom)
    center[through] = camera.point_zyx_angstrom[through]
    half = np.empty(3)
    half[through] = thickness_angstrom / 2 if thickness_angstrom else np.inf
    half[down] = height / 2
    half[right] = width / 2
    starts, ends = np.transpose(extent_zyx)
    low = np.clip(center - half, starts, ends).round()
    high = np.clip(center + half, starts, ends).round()
    z, y, x = zip(low.tolist(), high.tolist(), strict=True)
    return z, y, x
