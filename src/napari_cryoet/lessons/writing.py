"""A lesson that is being written: its steps, the files of its tasks, and the folder it is saved in."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from napari_cryoet.exceptions import CryoETError, ExistsError, FormatError
from napari_cryoet.files import written_whole
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.lessons.folder import LessonFolder, files_of, open_lesson
from napari_cryoet.lessons.lesson import (
    HIDDEN,
    LESSON_NAME,
    Lesson,
    RegionZyx,
    Step,
)
from napari_cryoet.lessons.markdown import pictures_in
from napari_cryoet.lessons.text import key_of, lesson_text, read_lesson_text
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import Camera, View

#: The folder of a lesson's picks that learners see.
_SHOWN: Final = "picks/"
#: Suffixes of pictures, and how such files begin.
_PICTURES: Final = {".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff"}
_USE_PICTURE: Final = "Use a PNG or JPEG."


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
        self._unsaved = TemporaryDirectory(prefix="napari-cryoet-draft-")
        self._answers: dict[str, str] = {}  # paths of the layers that equal references

    @classmethod
    def of_folder(cls, path: Path | str) -> Draft:
        """The draft of a lesson that exists; FormatError if it is damaged."""
        opened = open_lesson(path)
        return cls(opened.lesson, opened.folder)

    @property
    def is_changed(self) -> bool:
        """Whether something isn't saved."""
        return self.lesson != self._saved or any(self._unsaved_files())

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in order."""
        return self.lesson.steps

    # changes

    def change(self, **fields: Any) -> None:
        """Change fields of the lesson, such as its title."""
        self.lesson = replace(self.lesson, **fields)

    def add_step(self, view: View | None, after: int = -1) -> int:
        """Add a step that starts from a view, and return its number."""
        taken = {step.key for step in self.steps}
        count = len(taken) + 1
        while f"step-{count}" in taken:
            count += 1
        step = Step(key=f"step-{count}", title=f"Step {count}", view=view)
        number = after + 1
        self.change(steps=(*self.steps[:number], step, *self.steps[number:]))
        return number

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

    # files, which are written with the lesson

    def add_picks(self, step: int, picks: Picks, *, is_hidden: bool) -> str:
        """Keep picks for a step's task, and return the name of their file."""
        name = f"{HIDDEN if is_hidden else _SHOWN}{self.steps[step].key}.ndjson"
        write_picks(picks, Path(self._unsaved.name, name), overwrite=True)
        return name

    def recognise(self, positions_zyx_angstrom: NDArray[np.float64], path: str) -> None:
        """Let no step show the layer of a path if it has the right picks of a task."""
        for name in self._references():
            with suppress(CryoETError):  # `missing` names it
                right = self.files.read_picks(name).positions_angstrom_zyx
                is_alike = right.shape == positions_zyx_angstrom.shape
                if path and is_alike and np.allclose(right, positions_zyx_angstrom, atol=1):
                    self._answers[name] = path

    def _references(self) -> set[str]:
        names = (getattr(step.task, "reference", None) for step in self.steps)
        return set(filter(None, names))

    def missing(self) -> list[str]:
        """Sentences about files that steps name and the lesson doesn't have."""
        sentences = []
        for step in self.steps:
            for name in _files_of(step):
                try:
                    self.files.path_of(name)
                except FormatError:
                    sentences.append(
                        f"Step “{step.title}” needs {name}, which isn't in the lesson's folder."
                    )
        return sentences

    def add_picture(self, content: bytes, title: str) -> str:
        """Keep a picture, and return the name of its file, which no other picture has.

        Raises FormatError if it isn't a PNG or JPEG.
        """
        suffix = next((each for each, start in _PICTURES.items() if content.startswith(start)), "")
        if not suffix:
            raise FormatError(f"{title} isn't a picture that can be shown.", hint=_USE_PICTURE)
        checksum = hashlib.sha256(content).hexdigest()[:8]
        name = f"{key_of(title, 'picture')}-{checksum}{suffix}"
        Path(self._unsaved.name, name).write_bytes(content)
        return name

    @property
    def files(self) -> LessonFolder:
        """The lesson's files, also those that aren't saved yet."""
        return self._in_folder(self.lesson)

    def _in_folder(self, lesson: Lesson) -> LessonFolder:
        return LessonFolder(self.folder or Path(self._unsaved.name), lesson, self._unsaved)

    def _unsaved_files(self) -> Iterator[Path]:
        return (path for path in Path(self._unsaved.name).rglob("*") if path.is_file())

    # saving and trying

    def save(self, folder: Path) -> None:
        """Save in the lesson's folder, or a new lesson in a new or empty one.

        Raises
        ------
        ExistsError
            If a new lesson's folder isn't empty.
        SaveError
            If the lesson can't be written.
        """
        if folder != self.folder and folder.exists() and any(folder.iterdir()):
            raise ExistsError(
                f"{folder} isn't empty.", hint="Choose a new or empty folder for the lesson."
            )
        if self.folder is None:
            self.change(key=key_of(folder.name, "lesson"))
        lesson = self._without_answers()
        text = lesson_text(lesson)
        for path in self._unsaved_files():
            target = folder / path.relative_to(self._unsaved.name)
            with written_whole(target, overwrite=True) as unfinished:
                shutil.copyfile(path, unfinished)
        with written_whole(folder / LESSON_NAME, overwrite=True) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        self.folder = folder
        self.lesson = lesson
        self._saved = lesson
        self._unsaved = TemporaryDirectory(prefix="napari-cryoet-draft-")

    def trial(self) -> LessonFolder:
        """The lesson as learners will see it; SaveError if it couldn't be read again."""
        text = lesson_text(self._without_answers())
        return self._in_folder(read_lesson_text(text, self.lesson.key))

    def _without_answers(self) -> Lesson:
        """The lesson, in which no step shows a layer that is the answer of a task."""
        hidden = {self._answers.get(name, "") for name in self._references()} - {""}
        return replace(self.lesson, steps=tuple(_without(step, hidden) for step in self.steps))


def _files_of(step: Step) -> list[str]:
    """The files that a step names, hidden ones too."""
    task = step.task
    texts = [step.text, *step.hints, getattr(task, "ask", ""), getattr(task, "explanation", "")]
    names = [
        *files_of(step, step.view),
        *pictures_in("\n\n".join(texts)),
        *(choice.picture for choice in getattr(task, "choices", ())),
        getattr(task, "reference", None),
        *getattr(task, "others", {}).values(),
    ]
    return list(filter(None, names))


def _without(step: Step, hidden: Container[str]) -> Step:
    if step.view is None:
        return step
    layers = tuple(layer for layer in step.view.layers if layer.path not in hidden)
    return replace(step, view=replace(step.view, layers=layers))


def region_of_screen(camera: Camera, extent_zyx: RegionZyx, thickness_angstrom: float) -> RegionZyx:
    """The box that a canvas in 2D shows, within the tomogram.

    Parameters
    ----------
    extent_zyx
        Start and end of the tomogram along z, y and x in ångström.
    thickness_angstrom
        How many planes around the shown one count; 0 for all.

    Raises FormatError if it shows nothing of the tomogram.
    """
    height, width = camera.field_angstrom
    through, down, right = camera.order
    center = np.array(camera.middle_zyx_angstrom)
    half = np.empty(3)
    half[through] = thickness_angstrom / 2 if thickness_angstrom else np.inf
    half[down] = height / 2
    half[right] = width / 2
    starts, ends = np.transpose(extent_zyx)
    low = np.clip(center - half, starts, ends).round()
    high = np.clip(center + half, starts, ends).round()
    if np.any(low >= high):
        raise FormatError("The step shows nothing of the tomogram.", hint="Take the screen again.")
    z, y, x = zip(low.tolist(), high.tolist(), strict=True)
    return z, y, x
