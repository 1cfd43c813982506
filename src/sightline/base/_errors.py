"""The few exceptions a user can meet, as one tree.

SightlineError            anything the user can mend; `exit_code` 1
|-- ArgumentError         a value that is not allowed; `exit_code` 2; also a ValueError
|-- DataError             images, labels or a split that cannot be used; also a ValueError
|-- ModelFileError        a file that is not the model it should be; also a ValueError
|-- StorageError          the disk said no: full, read-only; also an OSError
|-- TrainingError         training cannot go on; carries a `Finding`; also a RuntimeError
`-- Interrupted           SIGINT or SIGTERM, after the work was saved; `exit_code` 130 or 143
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sightline.base._finding import Finding

_LISTED = 12
"""Names at most, where none is close."""


class SightlineError(Exception):
    """Something a user can mend: the text is one line that says what, and what to do."""

    exit_code = 1


class ArgumentError(SightlineError, ValueError):
    """An argument has a value that is not allowed."""

    exit_code = 2


class DataError(SightlineError, ValueError):
    """Images, labels or a split cannot be used as they are."""


class ModelFileError(SightlineError, ValueError):
    """A file is not the model it should be."""


class StorageError(SightlineError, OSError):
    """The disk refused to keep what was written; what was there before is whole."""


class TrainingError(SightlineError, RuntimeError):
    """Training cannot go on; `finding` says where and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.line())
        self.finding = finding


class Interrupted(SightlineError):  # noqa: N818  -- being asked to stop is no error
    """The process was asked to stop and has saved its work."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Say which allowed names are close to `name`, or list the allowed ones when none is.

    Example:
        >>> did_you_mean("lenet", ["lenet5", "mlp"])
        'did you mean lenet5?'
        >>> did_you_mean("xyz", ["lenet5", "resnet18"])
        'there are: lenet5, resnet18'

    Numbers are in their own order, and of many names only the first are listed:

        >>> did_you_mean("cat", map(str, range(1000)))
        'there are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 988 more'
    """
    known = sorted(allowed, key=_by_number)
    if not known:
        return "there is none"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"there are: {', '.join(known[:_LISTED])}{more}"


def _by_number(name: str) -> tuple[int, str]:
    """Numbers first, by their value; an int may have no more than some thousand digits."""
    return (int(name), name) if name.isascii() and name.isdecimal() and len(name) < 20 else (10**20, name)
