"""Pages of the lab that several tests read: each entry is run once."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from sightline.lab import Page, Setting, find_entry, run_entry


@functools.cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="lab-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def made(name: str) -> tuple[Page, Path]:
    """The page of an entry as it is run without options, and its file."""
    return run_entry(find_entry(name), Setting(), _folder())
