"""What the lab is made of: an entry of the syllabus, how it is run, and the page it leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Cell = str | int | float
"""Of a table: whole numbers get thousands separators, others four digits; a string stands as it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correction:
    """A statement of the lecture that is loose or wrong."""

    says: str
    """The lecture's words, or what they come to."""
    fact: str
    """What is so."""
    evidence: str
    """How one knows: a number of this entry, a sum, a paper with its section."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Play:
    """Something to play with in the studio: which one, and how it begins."""

    kind: str
    """`slide` (a kernel over a matrix), `pool`, `design` (sizes), `filter` (on an image), `softmax`."""
    given: Mapping[str, Any]
    """Of slide: input, kernel (rows of numbers), stride, pad; of pool: input, pool (max or avg), size,
    stride; of design: line, as for `sightline design`; of filter: image, kernel; of softmax: logits,
    names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure, drawn by `sightline.evaluation.report.plot`."""

    svg: str
    title: str
    caption: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """Pixels."""

    png: bytes
    title: str
    alt: str
    """What it shows, for those who cannot see it."""
    caption: str = ""
    width: int = 0
    """On the page, in CSS pixels; as it is where 0. Enlarged without smoothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Numbers in rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """A program, a transcript, a sum: lines of equal width."""

    title: str
    text: str
    caption: str = ""


Part = Plot | Picture | Table | Listing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """What an entry came to."""

    sentences: tuple[str, str]
    """What was found, with its numbers; and what follows from it."""
    parts: tuple[Part, ...]
    numbers: Mapping[str, Any]
    """Every number that is claimed, by a name in snake case, as JSON: what tests and programs read."""
    notes: tuple[str, ...] = ()
    """Where numbers come from that were not computed just now: command, machine, date; what is not shown."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """How an entry is run."""

    live: bool = False
    """Compute what is otherwise read from a recorded curve."""
    data: Path | None = None
    """The user's images, of entries that take some."""
    seed: int = 0
    progress: Callable[[str, int, int], None] = lambda what, done, total: None
    """Is told what is done, how much of how much."""


LONGEST_LIVE = 300
"""Seconds that a stop may say its `--live` takes: a lecture waits no longer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One stop of the lecture."""

    name: str
    """As on the command line and in the studio's addresses."""
    title: str
    slides: str
    """Which slides of the lecture, by their titles."""
    about: str
    """What it asks, in a sentence."""
    see: str
    """What will be seen, in a sentence."""
    seconds: float
    """What it takes, on two cores, about."""
    live_seconds: float | None = None
    """What `--live` takes; None where there is no such form."""
    takes_data: bool = False
    """Whether `--data PATH` is of use."""
    commands: tuple[str, ...] = ()
    """Other commands to type at this stop; each must work as it stands."""
    corrections: tuple[Correction, ...] = ()
    plays: tuple[Play, ...] = ()
    run: Callable[[Setting], Page]

    def __post_init__(self) -> None:
        if not self.seconds > 0 or (self.live_seconds or 0) > LONGEST_LIVE:
            raise ValueError(f"{self.name}: seconds must be above 0, live_seconds at most {LONGEST_LIVE}")

    @property
    def command(self) -> str:
        """What runs it."""
        return f"sightline lab {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """The entry as programs read it."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "run"}
        fields |= {
            "corrections": [dataclasses.asdict(one) for one in self.corrections],
            "plays": [dataclasses.asdict(one) for one in self.plays],
            "commands": list(self.commands),
        }
        return {"command": self.command, **fields}
