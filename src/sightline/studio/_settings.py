"""How the studio is run, and what a browser may name."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

from sightline.base import ArgumentError, SightlineError

WORK = threading.Lock()
"""Held by whoever runs a network or draws with matplotlib, which keeps its style in one global place."""


class RefusedError(SightlineError):
    """A request that is refused: 403 what is not allowed, 404 what is not there, 413 what is too large."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How the studio is run."""

    roots: tuple[Path, ...] = ()
    """Folders in which the browser may name files; the current one where empty."""
    port: int = 8765
    token: str = ""
    """What the first address must carry; nothing is let in where it is empty."""
    upload_bytes: int = 32_000_000
    """The largest body of a request."""
    device: str | None = None
    """Where networks run; chosen where None."""

    def __post_init__(self) -> None:
        roots = tuple(root.resolve() for root in self.roots or (Path.cwd(),))
        for root in roots:
            if not root.is_dir():
                raise ArgumentError(f"PATH {root} is no folder")
        object.__setattr__(self, "roots", roots)

    @property
    def runs(self) -> tuple[Path, ...]:
        """Folders in which runs lie: `runs` of each root that has one."""
        return tuple(root / "runs" for root in self.roots if (root / "runs").is_dir())


def confined(settings: Settings, text: str) -> Path:
    """A path that the browser names, made absolute; it need not exist.

    Args:
        settings: Have the folders it must lie in.
        text: Absolute, or from the first of these folders. Symbolic links are followed first.

    Raises:
        RefusedError: if it lies elsewhere.
        ArgumentError: if it is no path.
    """
    if not text or "\0" in text:
        raise ArgumentError("a path is missing, or has a character that none may have")
    try:
        path = (settings.roots[0] / text).resolve()
    except (OSError, RuntimeError):  # links in a circle, a name too long
        raise ArgumentError("a path is too long, or its links go in a circle") from None
    if not any(path.is_relative_to(root) for root in settings.roots):
        raise RefusedError(403, "that path lies outside the folders which the studio was started with")
    return path
