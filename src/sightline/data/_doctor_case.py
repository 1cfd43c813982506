"""What the data doctor says of some images: a finding, and which they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Literal

from sightline.base import Finding

MAX_CASES = 100
"""Files or pairs of one kind of finding that are told one by one; of more, the total."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A finding of the data doctor, with the images it is about."""

    kind: str
    """What the page puts it under."""
    finding: Finding
    names: tuple[str, ...] = ()
    """Images to show; as in the set."""
    quarantine: tuple[tuple[str, str], ...] = ()
    """Files to set aside, each with the reason."""


def make_case(
    kind: str,
    level: Literal["info", "warning", "error"],
    where: str,
    what: str,
    why: str,
    do: str,
    names: tuple[str, ...] = (),
    quarantine: tuple[tuple[str, str], ...] = (),
) -> Case:
    """A case from the parts of its finding."""
    finding = Finding(level=level, where=where, what=what, why=why, do=do)
    return Case(kind=kind, finding=finding, names=names, quarantine=quarantine)


def capped(cases: Iterable[Case]) -> list[Case]:
    """The first so many; of more, one that gives the total, and the whole quarantine."""
    every = list(cases)
    if len(every) <= MAX_CASES:
        return every
    rest = every[MAX_CASES:]
    first = rest[0].finding
    total = dataclasses.replace(
        first, what=f"{first.what}; this and {len(rest) - 1} more, {len(every)} in all"
    )
    quarantine = tuple(entry for case in rest for entry in case.quarantine)
    return [*every[:MAX_CASES], dataclasses.replace(rest[0], finding=total, quarantine=quarantine)]
