"""What file names tell: likely groups, such as plates, patients and wells."""

from __future__ import annotations

import dataclasses
import re

from sightline.data._image_set import ImageSet

_WORDS = (
    "patient|subject|donor|animal|mouse|person|case|plate|slide|well|film|video|movie|scene|sequence|series|"
    "batch|specimen|embryo|tree|plant|station|camera|site|session|pat|sub|subj|pt|vid|seq"
)
_GENERIC = (
    # what stands before the first, the last separator of the name
    r"([^/_\-. ]+)[_\-. ][^/]*$",
    r"([^/]+)[_\-. ][^/_\-. ]*\d[^/_\-. ]*\.[^/.]*$",
)
_PATTERNS = (
    # a word and its number: patient_07, plate-3, sub-A12
    rf"(?i)(?:^|[/_\-. ])((?:{_WORDS})[_\-. ]?\d+[a-z]?)(?=[/_\-. ])",
    rf"(?i)(?:^|[/_\-. ])((?:{_WORDS})[_\-. ][a-z]?\d*[a-z]?)(?=[/_\-. ])",
    # the well of a plate: A01, P24, with what stands before it
    r"([^/]*[_\-. ][A-P](?:0?[1-9]|1\d|2[0-4]))(?=[_\-. ])",
    r"(?:^|/)([A-P](?:0?[1-9]|1\d|2[0-4]))(?=[_\-. ])[^/]*$",
    *_GENERIC,
)
_MOST_LONE = 0.1
_SMALLEST_MEAN = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelyGroups:
    """Groups that file names suggest."""

    pattern: str
    """For `--group-by`."""
    count: int
    """Groups."""
    largest: int
    """Images of the largest."""
    example: tuple[str, str]
    """A group, and one of its images."""
    divided: int
    """Groups that the folder's own parts put on two sides."""


def likely_groups(images: ImageSet) -> LikelyGroups | None:
    """The first of the known kinds of groups that nearly every name fits; None where none does.

    Groups are told from classes and from numbering: there must be more of them than classes, at most one for
    every two images, and none may have more than half of all images.

    Args:
        images: The set.
    """
    if len(images) < 4:
        return None
    for pattern in _PATTERNS:
        found = _grouped(images, pattern)
        if found is not None:
            return dataclasses.replace(found, pattern=_shorter(images, found))
    return None


def _shorter(images: ImageSet, found: LikelyGroups) -> str:
    """A pattern like the name of one group, where it finds the same groups; else the one that was found."""
    literal = (re.escape(part) for part in re.split(r"\d+", found.example[0]))
    short = "(" + r"\d+".join(literal) + ")"
    one, other = re.compile(found.pattern), re.compile(short)
    for name in images.names:
        wanted, got = one.search(name), other.search(name)
        if (wanted and wanted[1]) != (got and got[1]):
            return found.pattern
    return short


def _grouped(images: ImageSet, pattern: str) -> LikelyGroups | None:
    expression = re.compile(pattern)
    members: dict[str, list[int]] = {}
    for i, name in enumerate(images.names):
        match = expression.search(name)
        if match is not None:
            members.setdefault(match[1], []).append(i)
    fitting = sum(map(len, members.values()))
    largest = max(members.values(), key=len, default=[])
    if (
        fitting < (1 - _MOST_LONE) * len(images)
        or len(members) < max(3, len(images.classes) + 1)
        or fitting < _SMALLEST_MEAN * len(members)
        or len(largest) > len(images) / 2
    ):
        return None
    beside = sum(
        len({images.names[i].rpartition("/")[0] for i in group}) < len(group) for group in members.values()
    )
    several = sum(len(group) > 1 for group in members.values())
    if (beside if pattern in _GENERIC else several) < len(members) / 2:  # one a folder is mere numbering
        return None
    divided = sum(len({images.parts[i] for i in group}) > 1 for group in members.values())
    name = next(name for name, group in members.items() if len(group) > 1)
    return LikelyGroups(
        pattern=pattern,
        count=len(members),
        largest=len(largest),
        example=(name, images.names[members[name][0]]),
        divided=divided,
    )
