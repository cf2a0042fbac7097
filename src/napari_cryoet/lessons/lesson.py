"""A lesson as frozen data: steps with words, a view and a task; answers, feedback and results."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Meta

from napari_cryoet.exceptions import FormatError
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.view import Length, Share, Text, View, Zyx

#: The file of a lesson, in a folder of its own with its pictures and references.
LESSON_NAME: Final = "lesson.md"
#: Maximum size of a lesson's text.
MAX_LESSON_BYTES: Final = 1 << 20
#: Maximum number of steps, of choices and hints of one, and of picks in an answer.
MAX_STEPS: Final = 100
MAX_CHOICES: Final = 20
MAX_PICKS: Final = 5_000

#: What is right or wrong with an answer.
Cause = Literal[
    "right",
    "nothing here",
    "missed",
    "extra",
    "shifted",
    "swapped",
    "flipped",
    "scaled",
    "wrong object",
    "doubled",
    "noise",
    "edge",
    "wrong choice",
    "too short",
    "too long",
]

LongText = Annotated[str, Meta(max_length=20_000)]
#: The folder of a lesson's references, which are never shown or served.
HIDDEN: Final = "answers/"
#: A file in the lesson's folder, by its path with slashes.
FILE_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,3}$"
ShownName = Annotated[str, Meta(pattern=f"^(?!{HIDDEN}){FILE_NAME[1:]}")]
HiddenName = Annotated[str, Meta(pattern=f"^(?={HIDDEN}){FILE_NAME[1:]}")]
Key = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]
Nickname = Annotated[str, Meta(min_length=1, max_length=40)]
HintCount = Annotated[int, Meta(ge=0, le=MAX_CHOICES)]
#: Start and end along z, y and x in ångström.
RegionZyx = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
Picked = Annotated[tuple[Zyx, ...], Meta(max_length=MAX_PICKS)]
Rows = Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=MAX_PICKS)]


class Part(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A part of a lesson; an unknown key is an error, since it is probably misspelt."""


class TaskPart(Part, frozen=True, kw_only=True, tag_field="kind"):
    """A task of any kind.

    Attributes
    ----------
    ask
        What to do, in a sentence.
    messages
        The lesson's own words for a cause, shown instead of the usual sentence.
    explanation
        Shown after the answer.
    pass_score
        The lowest score that counts as right.
    """

    ask: LongText = ""
    messages: dict[Cause, LongText] = msgspec.field(default_factory=dict)
    explanation: LongText = ""
    pass_score: Share = 0.7


class PickTask(TaskPart, frozen=True, kw_only=True, tag="pick"):
    """Pick all objects of one kind in a region, or in the whole tomogram.

    Attributes
    ----------
    reference
        The file of the right picks, which is hidden; none if there is nothing to pick.
    others
        Hidden files of picks of other objects by name, to tell what a wrong pick hit; "edge" in a
        name is an edge, such as that of the carbon.
    tolerance_angstrom
        The greatest distance of a right pick from the reference.
    """

    object_name: Text
    tolerance_angstrom: Length
    region_zyx_angstrom: RegionZyx | None = None
    reference: HiddenName | None = None
    others: dict[Text, HiddenName] = msgspec.field(default_factory=dict)


class SortTask(TaskPart, frozen=True, kw_only=True, tag="sort"):
    """Sort the crops at given picks into keep and reject.

    Those within the tolerance of a pick of the hidden reference are to be kept.
    """

    picks: ShownName
    reference: HiddenName
    tolerance_angstrom: Length


class Choice(Part, frozen=True, kw_only=True):
    """A choice: words, a picture of the lesson, or the crop of the tomogram at a position."""

    text: Text = ""
    picture: ShownName | None = None
    position_zyx_angstrom: Zyx | None = None
    message: LongText = ""


class ChooseTask(TaskPart, frozen=True, kw_only=True, tag="choose"):
    """Choose one of several; ``right`` counts from 0 and is hidden."""

    choices: Annotated[tuple[Choice, ...], Meta(min_length=2, max_length=MAX_CHOICES)]
    right: Annotated[int, Meta(ge=0, lt=MAX_CHOICES)] | None = None


class MeasureTask(TaskPart, frozen=True, kw_only=True, tag="measure"):
    """Measure a distance on the canvas; ``right_angstrom`` is hidden."""

    tolerance_angstrom: Length
    right_angstrom: Length | None = None


class CompareTask(TaskPart, frozen=True, kw_only=True, tag="compare"):
    """Say which of the view's layers is wrong, in which way, and explain it.

    ``layers`` and ``causes`` are what to choose from; ``right`` and ``right_cause`` are hidden.
    The explanation isn't graded.
    """

    layers: Annotated[tuple[Text, ...], Meta(min_length=2, max_length=MAX_CHOICES)]
    causes: Annotated[tuple[Text, ...], Meta(max_length=MAX_CHOICES)] = ()
    right: Text = ""
    right_cause: Text = ""


LessonTask: TypeAlias = PickTask | SortTask | ChooseTask | MeasureTask | CompareTask


class Step(Part, frozen=True, kw_only=True):
    """A step: words in Markdown, the view it starts from, a task, and hints from weak to strong."""

    key: Key
    title: Text
    text: LongText = ""
    view: View | None = None
    task: LessonTask | None = None
    hints: Annotated[tuple[LongText, ...], Meta(max_length=MAX_CHOICES)] = ()


class Lesson(Part, frozen=True, kw_only=True):
    """A lesson.

    Attributes
    ----------
    key
        What names the lesson in results; by default the name of its folder.
    pack
        The id of the pack that the lesson's views are of, or "demo"; empty if they say themselves.
    """

    key: Key
    title: Text
    language: Annotated[str, Meta(pattern="^[a-zA-Z-]{2,20}$")] = "en"
    minutes: Annotated[int, Meta(ge=1, le=600)] = 10
    version: Annotated[int, Meta(ge=1, le=10_000)] = 1
    pack: Text = ""
    authors: Text = ""
    licence: Text = ""
    description: LongText = ""
    steps: Annotated[tuple[Step, ...], Meta(max_length=MAX_STEPS)] = ()

    def step(self, key: str) -> Step:
        """The step of a key; FormatError if there is none."""
        for step in self.steps:
            if step.key == key:
                return step
        raise FormatError(f"The lesson has no step {key!r}.")


# answers and feedback


class PickAnswer(Part, frozen=True, kw_only=True, tag_field="kind", tag="pick"):
    """Picked positions in ångström; none says that there is nothing."""

    positions_zyx_angstrom: Picked = ()


class SortAnswer(Part, frozen=True, kw_only=True, tag_field="kind", tag="sort"):
    """Rows of the task's picks that were kept and rejected, counted from 0."""

    kept: Rows = ()
    rejected: Rows = ()


class ChooseAnswer(Part, frozen=True, kw_only=True, tag_field="kind", tag="choose"):
    """The number of the choice, counted from 0."""

    choice: Annotated[int, Meta(ge=0, lt=MAX_CHOICES)]


class MeasureAnswer(Part, frozen=True, kw_only=True, tag_field="kind", tag="measure"):
    """The measured distance, and its ends."""

    length_angstrom: Annotated[float, Meta(ge=0, le=1e7)]
    ends_zyx_angstrom: tuple[Zyx, Zyx] | None = None


class CompareAnswer(Part, frozen=True, kw_only=True, tag_field="kind", tag="compare"):
    """The wrong layer, its fault, and the learner's reasons."""

    layer: Text
    cause: Text = ""
    explanation: LongText = ""


Answer: TypeAlias = PickAnswer | SortAnswer | ChooseAnswer | MeasureAnswer | CompareAnswer


class Remark(Part, frozen=True, kw_only=True):
    """A wrong place in an answer, its cause, and a few words about it.

    ``number`` is that of a sorted crop, counted from 1; None elsewhere.
    """

    position_zyx_angstrom: Zyx
    cause: Cause
    text: Text = ""
    number: Annotated[int, Meta(ge=1)] | None = None


class Feedback(Part, frozen=True, kw_only=True):
    """What an answer is worth, and why.

    Attributes
    ----------
    score
        From 0 to 1; of picks, the F1 score that `napari_cryoet.compare` gives.
    cause
        The main thing that is right or wrong.
    text
        Why, in one or two sentences: the lesson's own words for the cause, or the usual ones.
    figures
        Numbers by name, such as precision and recall.
    remarks
        Wrong and missed places.
    reference_zyx_angstrom
        The right picks, which may be shown from now on.
    """

    score: Share
    is_right: bool
    cause: Cause
    text: LongText
    figures: dict[Text, float] = msgspec.field(default_factory=dict)
    remarks: Annotated[tuple[Remark, ...], Meta(max_length=2 * MAX_PICKS)] = ()
    reference_zyx_angstrom: Picked = ()


class StepResult(Part, frozen=True, kw_only=True):
    """What a learner did in a step: the first answer counts; ``attempts`` counts all."""

    step: Key
    answer: Answer | None = None
    score: Share | None = None
    cause: Cause | None = None
    attempts: Annotated[int, Meta(ge=0, le=10_000)] = 0
    n_hints: HintCount = 0
    seconds: Annotated[float, Meta(ge=0, le=1e7)] = 0.0


class Result(Part, frozen=True, kw_only=True):
    """A learner's result of a lesson."""

    nickname: Nickname
    lesson: Key
    lesson_version: Annotated[int, Meta(ge=1, le=10_000)] = 1
    started_at: Text = ""
    steps: Annotated[tuple[StepResult, ...], Meta(max_length=MAX_STEPS)] = ()


class Progress(Part, frozen=True, kw_only=True):
    """Where a learner goes on: the key of a step, empty at the summary, and what was done.

    ``feedback`` is that on the last answer, by step.
    """

    step: str
    steps: Annotated[tuple[StepResult, ...], Meta(max_length=MAX_STEPS)] = ()
    feedback: dict[Key, Feedback] = msgspec.field(default_factory=dict)


class LessonSource(Protocol):
    """Where a lesson is from: a folder, or a class whose server grades."""

    @property
    def lesson(self) -> Lesson:
        """The lesson; that of a class comes without answers."""

    def read_file(self, name: str) -> bytes:
        """A picture or shown picks of the lesson; never a hidden reference. Slow in a class."""

    def enter(self, step_key: str) -> None:
        """Note the step that the learner is at, empty at the summary, for the teacher of a class."""

    def grade(
        self, step_key: str, answer: Answer, task: Task = UNWATCHED, *, n_hints: int = 0
    ) -> Feedback:
        """Grade an answer; slow, so not for the GUI thread.

        A class also notes how many hints the learner saw before.

        Raises
        ------
        FormatError
            If the step has no task of this kind, or the reference is damaged.
        NetworkError
            If the class can't be reached.
        """
