"""A finding: a fault or a risk, said so that a person can act on it."""

from __future__ import annotations

import dataclasses
from typing import Literal

Level = Literal["info", "warning", "error"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault or a risk in images, a network or a run."""

    level: Level
    """`error` stops the work, `warning` should be looked at, `info` is good to know."""
    where: str
    """The file, layer, class or setting it is about."""
    what: str
    """What was found, with its numbers."""
    why: str
    """What it does to the result."""
    do: str
    """What would mend it."""

    def line(self) -> str:
        """The finding as one line of text."""
        return f"{self.where}: {self.what}; {self.why}; {self.do}"

    def to_dict(self) -> dict[str, str]:
        """The finding as the JSON object that programs read."""
        return dataclasses.asdict(self)
