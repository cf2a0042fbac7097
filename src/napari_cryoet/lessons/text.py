"""A lesson as text: a YAML header, one ``##`` a step, and fenced blocks ``view``, ``task``, ``hint``.

::

    ---
    title: Finding ribosomes
    minutes: 10
    ---

    ## Look first {#look}

    Ribosomes are dark: [this is one](!goto=350,800,700).

    ```view
    {"camera": …}, or a link to a view
    ```

    ```task
    kind: choose
    …
    ```

    ```hint
    Markdown
    ```

Lessons come from strangers: sizes are limited, and YAML can't construct objects or refer to itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final, TypeVar

import msgspec
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec.structs import replace

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.lessons.lesson import (
    HIDDEN,
    MAX_LESSON_BYTES,
    ChooseTask,
    CompareTask,
    Lesson,
    LessonTask,
    MeasureTask,
    PickTask,
    SortTask,
    Step,
)
from napari_cryoet.views.links import parse_link
from napari_cryoet.views.view import View

T = TypeVar("T")

_BLOCKS: Final = frozenset({"view", "task", "hint"})
_FENCE: Final = "---"
_KEY: Final = re.compile(r"\s*\{#([^{}]*)\}$")
_KINDS: Final = "The kinds of tasks are pick, sort, choose, measure and compare."
_MAX_YAML: Final = 100_000  # characters of a header or a task
_MAX_KEY: Final = 80
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Structure only: texts are rendered when they are shown.
_STRUCTURE: Final = MarkdownIt("commonmark").disable("inline")


# reading


def read_lesson_text(text: str, key: str) -> Lesson:
    """A lesson from its text; ``key`` names it if its header doesn't.

    Raises FormatError, which names the step and the line.
    """
    if len(text) > MAX_LESSON_BYTES:
        raise FormatError(f"This lesson is larger than {MAX_LESSON_BYTES >> 20} MB.")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    n_header = _header_length(lines)
    with _located("The lesson's header"):
        header = _read_yaml("\n".join(lines[1 : n_header - 1]), dict[str, Any], first_line=2)
        if "steps" in header:
            raise FormatError("steps are written below it, each with a ## heading.")
    steps = tuple(_read_steps(lines, n_header))
    with _located("The lesson"):
        return msgspec.convert({"key": key} | header | {"steps": steps}, Lesson)


def _header_length(lines: Sequence[str]) -> int:
    """The number of lines of the header, with the two that enclose it."""
    fences = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(fences) < 2 or fences[0] != 0:
        raise FormatError(
            "This lesson has no header.",
            hint=f"Begin it with its title between two lines {_FENCE}.",
        )
    return fences[1] + 1


def _read_steps(lines: list[str], n_header: int) -> Iterator[Step]:
    """The steps, in order; each begins with a heading, and ends before the next one."""
    heads = [
        n_header + _lines_of(token)[0]
        for token in _blocks(lines[n_header:])
        if token.type == "heading_open" and token.markup == "##"
    ]
    ends = [*heads, len(lines)]
    if any(line.strip() for line in lines[n_header : ends[0]]):
        raise FormatError("A lesson's text begins with a step: a line such as ## Look first.")
    keys: set[str] = set()
    for number, (head, end) in enumerate(pairwise(ends), 1):
        step = _read_step(lines[head:end], head, number)
        if step.key in keys:
            raise FormatError(
                f"Two steps have the key {step.key!r}.",
                hint="Write another one behind a heading: ## Title {#key}",
            )
        keys.add(step.key)
        yield step


def _read_step(lines: list[str], n_before: int, number: int) -> Step:
    """A step from its lines, of which the first is its heading.

    Parameters
    ----------
    n_before
        How many lines of the lesson are above it.
    """
    heading, title_token, *tokens = _blocks(lines)
    given = _KEY.search(title_token.content)
    title = _KEY.sub("", title_token.content)
    n_heading = _lines_of(heading)[1]
    texts = [""] * n_heading + lines[n_heading:]
    hints: list[str] = []
    key = key_of(title, f"step-{number}") if given is None else given[1]
    parts: dict[str, Any] = {"key": key, "title": title, "hints": hints}
    for token in tokens:
        name = token.info.strip().partition(" ")[0]
        if token.type != "fence" or name not in _BLOCKS:
            continue
        first, after = _lines_of(token)
        texts[first:after] = [""] * (after - first)
        line_number = n_before + first + 1
        with _located(f"Step {title!r}, line {line_number}"):
            if name in parts:
                raise FormatError(f"a step has only one {name}.")
            match name:
                case "hint":
                    hints.append(_trimmed(token.content))
                case "view":
                    parts[name] = _read_view(token.content)
                case "task":
                    parts[name] = _read_yaml(token.content, LessonTask, line_number + 1)
    with _located(f"Step {title!r}"):
        return msgspec.convert(parts | {"text": _trimmed("\n".join(texts))}, Step)


def _blocks(lines: Sequence[str]) -> list[Token]:
    """The blocks of Markdown that aren't within another one, and the content of headings."""
    tokens = _STRUCTURE.parse("\n".join(lines))
    return [token for token in tokens if not token.level or token.type == "inline"]


def _read_view(text: str) -> View:
    text = text.strip()
    view = View.of_json(text) if text.startswith("{") else parse_link(text)
    if not isinstance(view, View):
        raise FormatError("this isn't a view, nor a link to one.")
    if any(layer.file.startswith(HIDDEN) for layer in view.layers):
        raise FormatError(f"it shows a file in {HIDDEN}, which is hidden.")
    return view


def _read_yaml(text: str, kind: Any, first_line: int) -> Any:
    """Data of a kind from YAML; ``first_line`` is the number of its first line."""
    if len(text) > _MAX_YAML:
        raise FormatError(f"this is longer than {_MAX_YAML:,} characters.")
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if getattr(event, "anchor", None):  # a few lines of references can be gigabytes
                raise FormatError(f"line {event.start_mark.line + first_line} has an anchor.")
    except yaml.MarkedYAMLError as error:
        line = first_line + (error.problem_mark.line if error.problem_mark else 0)
        raise FormatError(f"line {line} isn't YAML: {error.problem}.") from error
    return msgspec.yaml.decode(text, type=kind)


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Say where an error is."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{where}: {error.message}", hint=error.hint) from error
    except (msgspec.DecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        hint = _KINDS if "$.kind" in str(error) else ""
        raise FormatError(f"{where}: {str(error) or 'nested too deep'}.", hint=hint) from error


def _lines_of(token: Token) -> tuple[int, int]:
    """The first line of a block, and the one after it."""
    first, after = token.map or (0, 0)
    return first, after


def key_of(title: str, otherwise: str) -> str:
    """The key of a title, or the other one if it has no letters of a key."""
    words = re.sub("[^a-z0-9]+", "-", title.casefold()).strip("-")
    return words[:_MAX_KEY].strip("-") or otherwise


def _trimmed(text: str) -> str:
    """A text without empty lines around it."""
    return re.sub(r"\A(?:[ \t]*\n)+", "", text).rstrip()


# writing


def lesson_text(lesson: Lesson) -> str:
    """The text of a lesson, which `read_lesson_text` reads as the same lesson.

    Raises SaveError if that isn't possible, such as with a ``##`` in the text of a step.
    """
    header = msgspec.to_builtins(replace(lesson, steps=()))
    top = f"{_FENCE}\n{_yaml_text(header)}{_FENCE}\n"
    text = "\n".join([top, *map(_step_text, lesson.steps)])
    try:
        again = read_lesson_text(text, lesson.key)
    except FormatError as error:
        raise SaveError(f"This lesson can't be written. {error.message}") from error
    written = tuple(map(_trimmed_step, lesson.steps))
    if again != replace(lesson, steps=written):
        pairs = zip(written, again.steps, strict=False)
        changed = next((step for step, read in pairs if step != read), lesson)
        raise SaveError(
            f"{changed.title!r} would be read as something else.",
            hint="Use no ## heading in the text of a step, and close every ``` there.",
        )
    return text


def _trimmed_step(step: Step) -> Step:
    hints = tuple(_trimmed(hint) for hint in step.hints)
    return replace(step, text=_trimmed(step.text), hints=hints)


def _step_text(step: Step) -> str:
    parts = [f"## {step.title} {{#{step.key}}}", _trimmed(step.text)]
    if step.view is not None:
        parts.append(_fenced("view", _view_text(step.view)))
    if step.task is not None:
        parts.append(_fenced("task", _yaml_text(msgspec.to_builtins(step.task))))
    parts += [_fenced("hint", hint) for hint in step.hints]
    return "\n\n".join(filter(None, parts)) + "\n"


def _view_text(view: View) -> str:
    """A view as JSON with a line for each of its main parts."""
    parts = [
        f'"{name}": {msgspec.json.encode(part).decode()}' for name, part in view.to_dict().items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}"


def _fenced(name: str, content: str) -> str:
    longest = max(map(len, re.findall("`{3,}", content)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{name}\n{content.rstrip()}\n{fence}"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc] # untyped
    """Texts of several lines as such, positions on one line, and no references."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_tuple(dumper: _Dumper, items: tuple[Any, ...]) -> yaml.SequenceNode:
    is_position = all(isinstance(item, int | float) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_position)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(tuple, _represent_tuple)


def _yaml_text(data: Any) -> str:
    text: str = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=90,
    )
    return text


# what learners may see


def public_lesson(lesson: Lesson) -> Lesson:
    """A lesson without its answers, for the members of a class."""
    return replace(lesson, steps=tuple(map(_public_step, lesson.steps)))


def _public_step(step: Step) -> Step:
    task = step.task
    if task is None:
        return step
    blank: dict[str, Any] = {"messages": {}, "explanation": ""}
    match task:
        case PickTask():
            blank |= {"reference": None, "others": {}}
        case SortTask():
            blank |= {"reference": f"{HIDDEN}hidden"}
        case ChooseTask():
            choices = tuple(replace(choice, message="") for choice in task.choices)
            blank |= {"right": None, "choices": choices}
        case MeasureTask():
            blank |= {"right_angstrom": None}
        case CompareTask():
            blank |= {"right": "", "right_cause": ""}
    return replace(step, task=replace(task, **blank))
