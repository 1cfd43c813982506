"""Exercises of the lecture, drawn from a seed: what one is, the topics, and how a sheet is made.

The numbers of a question are drawn here; its answer and the sum behind it come from `sightline.reference`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from sightline._version import __version__
from sightline.base import ArgumentError, did_you_mean

Number = int | float
Rows = tuple[tuple[Number, ...], ...]
Answer = Mapping[str, Number] | Rows | str
T = TypeVar("T")

MOST = 200
"""Questions a sheet can have."""

TOPICS: dict[str, str] = {
    "sizes": "How large is what a layer makes; does it fit; which padding, kernel or input is it?",
    "parameters": "How many numbers does a layer, or a small network, learn?",
    "pooling": "Maximum and average pooling of small matrices.",
    "convolution": "A kernel over a small matrix: padding, stride, channels, the true convolution.",
    "receptive-fields": "How much of the input does one value behind several layers see?",
    "macs": "How many multiplications does a layer, or a small network, take?",
}
"""What one can practise, each with a sentence."""

ALL = "all"
"""In place of a topic: some of each."""

RULES: dict[str, tuple[str, ...]] = {
    "sizes": (
        "Shapes are height x width x channels.",
        "Where a stride does not fit, sizes are rounded down, as PyTorch does, unless the question says "
        "otherwise.",
    ),
    "parameters": (
        "Shapes are height x width x channels.",
        "Every filter, and every output of a fully connected layer, has one bias, unless the question says "
        "otherwise.",
    ),
    "pooling": ("Rows and columns are counted from 1.", "Windows lie inside the input: there is no padding."),
    "convolution": (
        "Rows and columns are counted from 1.",
        "A layer lays its kernel on as it is, without turning it; where the true convolution is asked for, "
        "the question says so.",
        "Padding is zeros. There is no bias where none is given.",
    ),
    "receptive-fields": (
        "The receptive field is counted along one side, padding included: 5 stands for 5x5.",
        "The jump is the number of input pixels from one output value to the next.",
    ),
    "macs": (
        "Shapes are height x width x channels.",
        "macs are multiplications (each with its addition) for one image; a bias adds none, and a pooling "
        "has none. flops are two a mac.",
        "Where a stride does not fit, sizes are rounded down.",
    ),
}
"""What holds in all questions of a topic, said above them."""

_MODULES = {
    "sizes": "_exercise_sizes",
    "parameters": "_exercise_counts",
    "pooling": "_exercise_matrices",
    "convolution": "_exercise_matrices",
    "receptive-fields": "_exercise_fields",
    "macs": "_exercise_counts",
}
_TRIES = 5_000
"""Draws at most for one question: makers turn down numbers that make no good one, and no sum comes twice."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """A matrix that is given."""

    title: str
    rows: Rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exercise:
    """One question with its answer."""

    id: str = ""
    """Topic, seed and place in the sheet: `sizes-7-003`."""
    topic: str = ""
    text: str
    """The question; layers, if it has several, on lines of their own."""
    given: tuple[Grid, ...] = ()
    answer: Answer
    """Numbers by name, as `{"height": 28}`; the rows of a matrix; or `yes` or `no`."""
    sum: str
    """How one comes to it, a line for each number."""

    @property
    def kind(self) -> Literal["numbers", "matrix", "choice"]:
        """What is to be filled in."""
        if isinstance(self.answer, str):
            return "choice"
        return "numbers" if isinstance(self.answer, Mapping) else "matrix"

    @property
    def blanks(self) -> tuple[tuple[str, str], ...]:
        """Every field to fill in: its label, and the right answer as text."""
        if isinstance(self.answer, str):
            return (("answer", self.answer),)
        if isinstance(self.answer, Mapping):
            return tuple((label, plain(value)) for label, value in self.answer.items())
        return tuple(
            (f"row {i}, column {j}", plain(value))
            for i, row in enumerate(self.answer, 1)
            for j, value in enumerate(row, 1)
        )

    def to_dict(self) -> dict[str, Any]:
        """The question as programs read it, its answer included."""
        return {
            "id": self.id,
            "topic": self.topic,
            "text": self.text,
            "given": [{"title": grid.title, "rows": [list(row) for row in grid.rows]} for grid in self.given],
            "answer": dict(self.answer)
            if isinstance(self.answer, Mapping)
            else self.answer
            if isinstance(self.answer, str)
            else [list(row) for row in self.answer],
            "sum": self.sum,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """The questions of one student."""

    topic: str
    seed: int
    exercises: tuple[Exercise, ...]
    version: str = __version__
    """Of Sightline: another may draw other questions from the same seed."""

    @property
    def command(self) -> str:
        """What makes it again."""
        return f"sightline exercise {self.topic} -n {len(self.exercises)} --seed {self.seed}"


class Dice:
    """Whole numbers by counting: the k-th is a digest of the key and k, the same on every machine.

    Example:
        >>> Dice("a", 1).below(6) == Dice("a", 1).below(6)
        True
    """

    def __init__(self, *key: object) -> None:
        self._key = "\x1f".join(map(str, key))
        self._thrown = 0

    def below(self, count: int) -> int:
        """One of 0 to count - 1."""
        text = f"{self._key}\x1f{self._thrown}"
        self._thrown += 1
        word = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        return word * count >> 64

    def between(self, least: int, most: int) -> int:
        """One of least to most, both included."""
        return least + self.below(most - least + 1)

    def of(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self.below(len(choices))]

    def some(self, count: int, choices: Sequence[T]) -> list[T]:
        """So many different ones of the choices, in any order."""
        left = list(choices)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def rows(self, height: int, width: int, least: int, most: int) -> list[list[int]]:
        """A matrix of numbers."""
        return [[self.between(least, most) for _ in range(width)] for _ in range(height)]


Maker = Callable[[Dice], Exercise | None]
"""Draws one question; None where the numbers drawn make no good one."""


def make_exercises(topic: str, n: int = 20, seed: int = 0) -> Sheet:
    """Draw a sheet of questions, no two alike, from easy to hard within a topic.

    Args:
        topic: One of `TOPICS`, or `all`.
        n: How many, 1 to 200.
        seed: Of the draw, 0 or more: one for each student.

    Raises:
        ArgumentError: if one of them is not allowed.

    Example:
        >>> sheet = make_exercises("parameters", 3, seed=1)
        >>> sheet == make_exercises("parameters", 3, seed=1)
        True
    """
    if topic != ALL and topic not in TOPICS:
        raise ArgumentError(f"TOPIC {topic!r} is not known; {did_you_mean(topic, [*TOPICS, ALL])}")
    if not 1 <= n <= MOST:
        raise ArgumentError(f"-n is {n}; a sheet has 1 to {MOST} questions")
    if seed < 0:
        raise ArgumentError(f"--seed is {seed}; it must be 0 or more")
    names = tuple(TOPICS) if topic == ALL else (topic,)
    exercises: list[Exercise] = []
    for name, count in zip(names, _shares(n, len(names), Dice(seed, topic)), strict=True):
        makers = _makers(name)
        for index, times in enumerate(_shares(count, len(makers), Dice(seed, name))):
            for turn in range(times):
                made = _draw(makers[index], (seed, name, index, turn), exercises[len(exercises) - turn :])
                identity = f"{name}-{seed}-{len(exercises) + 1:03}"
                exercises.append(dataclasses.replace(made, id=identity, topic=name))
    return Sheet(topic=topic, seed=seed, exercises=tuple(exercises))


def plain(value: Number) -> str:
    """A number as one types it, without separators.

    Example:
        >>> plain(48120), plain(2.75), plain(3.0)
        ('48120', '2.75', '3')
    """
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def _makers(topic: str) -> tuple[Maker, ...]:
    module = importlib.import_module(f"{__package__}.{_MODULES[topic]}")
    makers: dict[str, tuple[Maker, ...]] = module.MAKERS
    return makers[topic]


def _shares(count: int, parts: int, dice: Dice) -> list[int]:
    """`count` in equal parts; the rest goes to some of them."""
    extra = dice.some(count % parts, range(parts))
    return [count // parts + (part in extra) for part in range(parts)]


def _draw(maker: Maker, key: tuple[object, ...], before: Sequence[Exercise]) -> Exercise:
    """A question with another sum than those of its kind before it."""
    seen = {one.sum for one in before}
    for attempt in range(_TRIES):
        made = maker(Dice(*key, attempt))
        if made is not None and made.sum not in seen:
            return made
    raise AssertionError(f"{maker} has too few questions")
