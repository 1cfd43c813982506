"""Where things that can be made again are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder for cached things of one kind: `$SIGHTLINE_CACHE`, else the user's cache folder.

    It may not exist yet. Whatever is in it can be deleted at any time.
    """
    chosen = os.environ.get("SIGHTLINE_CACHE")
    if chosen:
        return Path(chosen) / kind
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sightline" / kind
