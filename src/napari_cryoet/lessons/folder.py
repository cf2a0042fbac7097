"""Lessons in folders: their text, pictures, shown picks and hidden references."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import msgspec

from napari_cryoet.exceptions import FormatError
from napari_cryoet.files import content_of, written_whole
from napari_cryoet.lessons.lesson import (
    FILE_NAME,
    HIDDEN,
    LESSON_NAME,
    MAX_LESSON_BYTES,
    Answer,
    Feedback,
    Lesson,
    LessonSource,
    Result,
    SortTask,
    Step,
)
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.view import View

if TYPE_CHECKING:
    from napari_cryoet.picks import Picks

#: Maximum size of a picture or of shown picks.
MAX_SHOWN_BYTES: Final = 20 << 20
#: The folder of the lessons in a pack.
LESSONS: Final = "lessons"
_MAX_LISTED: Final = 100


class LessonFolder:
    """A lesson in a folder, which grades answers itself; a `LessonSource`.

    Files of a lesson that is being written may be in ``unsaved``, which comes first.
    """

    def __init__(
        self, folder: Path, lesson: Lesson, unsaved: TemporaryDirectory[str] | None = None
    ) -> None:
        self.folder = folder
        self.lesson = lesson
        self._unsaved = unsaved  # deleted with the last lesson that has it

    def read_file(self, name: str) -> bytes:
        """A picture or shown picks of the lesson.

        Raises FormatError if there is none of this name, or if it is hidden, too large or outside.
        """
        path = self.path_of(name)
        hidden = [(folder / HIDDEN).resolve() for folder in self._folders]
        is_hidden = any(map(path.is_relative_to, hidden))
        # some file systems find "answers" by "Answers", too
        is_hidden = is_hidden or name.casefold().startswith(HIDDEN)
        if path.suffix.lower() == ".md" or is_hidden:
            raise FormatError(f"{name} of a lesson is hidden.")
        return content_of(path, MAX_SHOWN_BYTES)

    def enter(self, step_key: str) -> None:
        """Nothing: nobody watches."""

    def grade(
        self,
        step_key: str,
        answer: Answer,
        task: Task = UNWATCHED,
        *,
        n_hints: int = 0,  # noqa: ARG002 - for a class
    ) -> Feedback:
        """Grade an answer; see `LessonSource.grade`."""
        from napari_cryoet.lessons.grading import grade

        return grade(self.lesson.step(step_key).task, answer, self.read_picks, task)

    def read_picks(self, name: str) -> Picks:
        """The picks of a file in the folder, hidden ones too; FormatError if that is damaged."""
        from napari_cryoet.formats.registry import read_picks

        picks = read_picks(self.path_of(name))
        if picks.spacing_angstrom is None:
            raise FormatError(f"{name} doesn't state its voxel spacing.")
        return picks

    def path_of(self, name: str) -> Path:
        """The path of a file, with links followed; FormatError if it isn't in the folder."""
        for folder in self._folders if re.fullmatch(FILE_NAME, name) else ():
            path = (folder / name).resolve()
            if path.is_file() and path.is_relative_to(folder.resolve()):
                return path
        raise FormatError(f"The lesson has no file {name!r}.")

    @property
    def _folders(self) -> list[Path]:
        unsaved = [] if self._unsaved is None else [Path(self._unsaved.name)]
        return [*unsaved, self.folder]


def open_lesson(path: Path | str) -> LessonFolder:
    """Open a lesson from its folder, or from the ``lesson.md`` in it.

    Raises
    ------
    FormatError
        If there is none, or it is damaged.
    """
    from napari_cryoet.lessons.text import key_of, read_lesson_text  # a parser of Markdown

    folder = Path(path).absolute()
    folder = folder.parent if folder.name == LESSON_NAME else folder
    content = content_of(folder / LESSON_NAME, MAX_LESSON_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{folder / LESSON_NAME} isn't text in UTF-8.") from error
    return LessonFolder(folder, read_lesson_text(text, key_of(folder.name, "lesson")))


def lessons_of(pack_folder: Path | str) -> tuple[LessonFolder, ...]:
    """The lessons of a pack by the names of their folders, without damaged ones."""
    files = sorted(Path(pack_folder, LESSONS).glob(f"*/{LESSON_NAME}"))
    lessons = []
    for file in files[:_MAX_LISTED]:
        with suppress(FormatError):
            lessons.append(open_lesson(file))
    return tuple(lessons)


# what a step shows


def files_of(step: Step, view: View | None) -> tuple[str, ...]:
    """The files of the lesson that a step shows on the canvas, but not the pictures in its text."""
    names = [] if view is None else [each.file for each in view.layers if each.kind == "file"]
    if isinstance(step.task, SortTask):
        names.append(step.task.picks)
    return tuple(names)


def fetch_files(
    source: LessonSource, names: Iterable[str], folder: Path, task: Task = UNWATCHED
) -> LessonFolder:
    """Get files of a lesson into a folder, unless the lesson is in one already.

    Raises
    ------
    FormatError
        If the lesson can't have a file of such a name.
    NetworkError
        If the class can't be reached.
    """
    from napari_cryoet.formats.notes import SUFFIX, path_beside

    if isinstance(source, LessonFolder):
        return source
    for name in names:
        task.check()
        if not re.fullmatch(FILE_NAME, name):
            raise FormatError(f"A lesson can't name the file {name!r}: it isn't in its folder.")
        path = folder / name
        if not path.exists():
            content = source.read_file(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FormatError):  # it states the voxel spacing; not every file has one
                path_beside(path).write_bytes(source.read_file(f"{name}{SUFFIX}"))
            path.write_bytes(content)  # last, since a file that exists isn't fetched again
    return LessonFolder(folder, source.lesson)


# results


def write_result(result: Result, path: Path | str) -> Path:
    """Write a learner's result, replacing an older one; SaveError if that fails."""
    path = Path(path)
    with written_whole(path, overwrite=True) as unfinished:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return path
