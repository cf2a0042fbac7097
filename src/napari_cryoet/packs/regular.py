r"""Regular expressions that always end: matched in time that grows with the text and the pattern, never faster.

Python's own engine can run for centuries on a short pattern, without a way to stop it. Here a pattern becomes a small
automaton (Thompson's construction), which is made deterministic where and when a text needs it; back references and
look-around, which need more than an automaton, are refused. The syntax is what PostgreSQL and Python share:
``. [] [^] [[:alpha:]] \d \w \s ^ $ | () (?:) * + ? {m,n}``, and ``\y`` for the edge of a word. As in PostgreSQL, a
dot is any character, and ``^`` and ``$`` are the ends of the whole text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

MAX_PATTERN: Final = 1_000
MAX_STATES: Final = 1_000
MAX_NESTING: Final = 50
MAX_CACHED: Final = 200_000  # states in all that is kept

Test = Callable[[str], bool]

_CLASSES: Final[dict[str, Test]] = {
    "d": str.isdigit,
    "s": str.isspace,
    "w": lambda character: character.isalnum() or character == "_",
    "alpha": str.isalpha,
    "digit": str.isdigit,
    "alnum": str.isalnum,
    "upper": str.isupper,
    "lower": str.islower,
    "space": str.isspace,
    "blank": " \t".__contains__,
    "punct": lambda character: character.isprintable() and not character.isalnum() and not character.isspace(),
    "xdigit": "0123456789abcdefABCDEF".__contains__,
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_WORD: Final = _CLASSES["w"]


@dataclass(slots=True)
class _State:
    """Where the automaton can be: it may go on by a character, by a condition on the place, or freely."""

    consume: Test | None = None
    condition: str = ""  # "^", "$", "y" (edge of a word), "Y" (not so), "m" and "M" (its begin and its end)
    ways: list[int] = field(default_factory=list)


def search(pattern: str, *, ignore_case: bool = False, spend: Callable[[], None] = lambda: None) -> Test:
    """A test whether the pattern occurs in a text.

    Parameters
    ----------
    pattern
        What to look for.
    ignore_case
        Whether upper and lower case are the same.
    spend
        Called with each step that costs; may raise to stop.

    Raises
    ------
    ValueError
        The pattern isn't a regular expression, or is too large.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"A regular expression may have {MAX_PATTERN} characters at most.")
    parser = _Parser(pattern, ignore_case)
    return _Automaton(parser.states, *parser.parse(), spend).test


class _Parser:
    """From pattern to automaton, by descent; a part is a pair of states, its entry and its exit."""

    def __init__(self, pattern: str, ignore_case: bool) -> None:
        self.states: list[_State] = []
        self._pattern = pattern
        self._position = 0
        self._nesting = 0
        self._ignore_case = ignore_case

    def parse(self) -> tuple[int, int]:
        part = self._alternatives()
        if self._position < len(self._pattern):
            raise ValueError("A regular expression has a closing bracket too many.")
        return part

    def _alternatives(self) -> tuple[int, int]:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        if len(parts) == 1:
            return parts[0]
        entry, out = self._state(), self._state()
        for begin, end in parts:
            self.states[entry].ways.append(begin)
            self.states[end].ways.append(out)
        return entry, out

    def _sequence(self) -> tuple[int, int]:
        entry = out = self._state()
        while self._peek() not in ("", "|", ")"):
            begin, end = self._repeated()
            self.states[out].ways.append(begin)
            out = end
        return entry, out

    def _repeated(self) -> tuple[int, int]:
        start = self._position
        part = self._atom()
        least, most = self._counts()
        if (least, most) == (1, 1):
            return part
        copies = [part]
        after = self._position
        while len(copies) < max(least, most or 0, 1):
            self._position = start
            copies.append(self._atom())
        self._position = after
        return self._chained(copies, least, most)

    def _chained(self, copies: list[tuple[int, int]], least: int, most: int | None) -> tuple[int, int]:
        entry, out = self._state(), self._state()
        last = entry
        for number, (begin, end) in enumerate(copies):
            if number >= least:
                self.states[last].ways.append(out)
            if most != 0:
                self.states[last].ways.append(begin)
                last = end
        if most is None:
            self.states[last].ways.append(copies[-1][0])
        self.states[last].ways.append(out)
        return entry, out

    def _counts(self) -> tuple[int, int | None]:
        least: int
        most: int | None
        if self._take("*"):
            least, most = 0, None
        elif self._take("+"):
            least, most = 1, None
        elif self._take("?"):
            least, most = 0, 1
        elif self._at_braces():
            least, most = self._braces()
        else:
            return 1, 1
        self._take("?")  # lazy or not is the same for whether it occurs
        if self._peek() in ("*", "+") or self._at_braces():
            raise ValueError("A regular expression repeats a repetition.")
        return least, most

    def _at_braces(self) -> bool:
        return self._peek() == "{" and self._pattern[self._position + 1 : self._position + 2].isdecimal()

    def _braces(self) -> tuple[int, int | None]:
        text, closed, _ = self._pattern[self._position + 1 :].partition("}")
        first, comma, second = text.partition(",")
        if not closed or not first.isdecimal() or not (second.isdecimal() or not second):
            raise ValueError("A regular expression has a wrong {count}.")
        self._position += len(text) + 2
        least = int(first)
        most = (int(second) if second else None) if comma else least
        if max(least, most or 0) > MAX_STATES or (most is not None and most < least):
            raise ValueError("A regular expression has a wrong {count}.")
        return least, most

    def _atom(self) -> tuple[int, int]:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._consuming(self._set())
            case ".":
                return self._consuming(lambda _: True)
            case "^" | "$":
                return self._condition(character)
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise ValueError("A regular expression repeats nothing.")
        return self._consuming(self._exactly(character))

    def _group(self) -> tuple[int, int]:
        if self._take("?") and not self._take(":"):
            raise ValueError("Look-around and options in a regular expression are not supported.")
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ValueError("A regular expression nests too deep.")
        part = self._alternatives()
        self._nesting -= 1
        if not self._take(")"):
            raise ValueError("A regular expression has a bracket that isn't closed.")
        return part

    def _escape(self) -> tuple[int, int]:
        character = self._next()
        if character in ("y", "Y", "m", "M"):
            return self._condition(character)
        if character in ("A", "Z"):
            return self._condition("^" if character == "A" else "$")
        return self._consuming(self._escaped(character))

    def _escaped(self, character: str) -> Test:
        if character.lower() in ("d", "s", "w"):
            test = _CLASSES[character.lower()]
            return test if character.islower() else lambda other: not test(other)
        if character in _CONTROLS:
            return _CONTROLS[character].__eq__
        if character.isalnum():
            raise ValueError(f"A regular expression has \\{character}, which is not supported.")
        return self._exactly(character)

    def _set(self) -> Test:
        negated = self._take("^")
        tests: list[Test] = []
        while not (self._peek() == "]" and tests):
            tests.append(self._set_item())
        self._next()

        def test(character: str) -> bool:
            variants = {character, character.lower(), character.upper()} if self._ignore_case else {character}
            return any(test(variant) for test in tests for variant in variants) is not negated

        return test

    def _set_item(self) -> Test:
        if self._pattern.startswith("[:", self._position):
            name, closed, _ = self._pattern[self._position + 2 :].partition(":]")
            if not closed or name not in _CLASSES:
                raise ValueError("A regular expression has an unknown [:class:].")
            self._position += len(name) + 4
            return _CLASSES[name]
        first = self._next()
        if first == "\\":
            escaped = self._next()
            if escaped.isalnum():
                return self._escaped(escaped)
            first = escaped
        if self._peek() == "-" and self._pattern[self._position + 1 : self._position + 2] not in ("]", ""):
            self._next()
            last = self._next()
            last = self._next() if last == "\\" else last
            if last < first:
                raise ValueError("A regular expression has a range that runs backwards.")
            return lambda character: first <= character <= last
        return first.__eq__

    def _exactly(self, character: str) -> Test:
        if not self._ignore_case:
            return character.__eq__
        return {character, character.lower(), character.upper()}.__contains__

    def _state(self, consume: Test | None = None, condition: str = "") -> int:
        if len(self.states) >= MAX_STATES:
            raise ValueError("A regular expression is too large.")
        self.states.append(_State(consume, condition))
        return len(self.states) - 1

    def _consuming(self, test: Test) -> tuple[int, int]:
        return self._through(self._state(consume=test))

    def _condition(self, condition: str) -> tuple[int, int]:
        return self._through(self._state(condition=condition))

    def _through(self, entry: int) -> tuple[int, int]:
        out = self._state()
        self.states[entry].ways.append(out)
        return entry, out

    def _peek(self) -> str:
        return self._pattern[self._position : self._position + 1]

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise ValueError("A regular expression ends too early.")
        self._position += 1
        return character

    def _take(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._position += 1
        return True


class _Automaton:
    """Runs the states over a text; what is found out about a set of states is kept for the next text."""

    def __init__(self, states: list[_State], entry: int, end: int, spend: Callable[[], None]) -> None:
        self._states = states
        self._entry = entry
        self._end = end
        self._spend = spend
        self._steps: dict[tuple[frozenset[int], str, str], frozenset[int] | None] = {}
        self._kept = 0

    def test(self, text: str) -> bool:
        here: frozenset[int] = frozenset((self._entry,))
        before = ""  # "" at the begin, else "w" after a word's character and "-" after another
        for character in text:
            key = (here, before, character)
            following = self._steps[key] if key in self._steps else self._learn(key)
            if following is None:
                return True
            here = following
            before = "w" if _WORD(character) else "-"
        return self._end in self._reach(here, before, "")

    def _learn(self, key: tuple[frozenset[int], str, str]) -> frozenset[int] | None:
        """Find out where a character leads; None stands for: the pattern has occurred."""
        here, before, character = key
        reached = self._reach(here, before, character)
        following = None if self._end in reached else frozenset(self._after(reached, character))
        self._kept += len(following or ()) + 1
        if self._kept > MAX_CACHED:
            self._steps.clear()
            self._kept = 0
        self._steps[key] = following
        return following

    def _after(self, reached: set[int], character: str) -> Iterator[int]:
        yield self._entry  # the pattern may begin anywhere
        for number in reached:
            state = self._states[number]
            if state.consume is not None and state.consume(character):
                yield from state.ways

    def _reach(self, here: frozenset[int], before: str, following: str) -> set[int]:
        """All states that are reached without a character, given what stands before and after this place."""
        reached, pending = set(here), list(here)
        while pending:
            self._spend()
            state = self._states[pending.pop()]
            if state.consume is None and _holds(state.condition, before, following):
                fresh = [way for way in state.ways if way not in reached]
                reached.update(fresh)
                pending.extend(fresh)
        return reached


def _holds(condition: str, before: str, following: str) -> bool:
    in_word, into_word = before == "w", bool(following) and _WORD(following)
    return {
        "": True,
        "^": not before,
        "$": not following,
        "y": in_word != into_word,
        "Y": in_word == into_word,
        "m": into_word and not in_word,
        "M": in_word and not into_word,
    }[condition]
