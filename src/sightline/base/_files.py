"""Files that are written whole or not at all.

A file is written beside its final name, flushed to the disk, and renamed over it; a directory is filled
under a hidden name and renamed to a name that did not exist. A process killed at any moment leaves the
old content or the new, never a part of either.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from sightline.base._errors import StorageError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}
_PARTIAL = ".partial-"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` about `path` into a one-line `StorageError`.

    Raises:
        StorageError: whenever the block raises an `OSError`.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
        raise StorageError(f"cannot write {path}: {reason}") from error


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageError: if the disk refuses; the old file, if any, is untouched.
    """
    write_with(path, lambda partial: _plain_write(partial, content))


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text whole or not at all. Raises as `write_bytes`."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented, whole or not at all. Raises as `write_bytes`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then rename it into place.

    Raises:
        StorageError: if the disk refuses; the old file, if any, is untouched.
    """
    partial = path.with_name(f"{_PARTIAL}{path.name}-{secrets.token_hex(4)}")
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(partial)
            _give_usual_mode(partial)
            _flush(partial)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _flush(path.parent)


def write_directory(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` fill a new directory, then rename it to `path` as a unit.

    Args:
        path: The directory's final name, which must not exist.
        fill: Writes the content into the directory it is given.

    Raises:
        StorageError: if the disk refuses; nothing is left behind.
    """
    partial = path.with_name(f"{_PARTIAL}{path.name}-{secrets.token_hex(4)}")
    with storage_errors(path):
        try:
            partial.mkdir(parents=True)
            fill(partial)
            for entry in partial.iterdir():
                _give_usual_mode(entry)
                _flush(entry)
            _flush(partial)
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _flush(path.parent)


def sweep_partials(directory: Path) -> None:
    """Remove what a killed process left half written in `directory`."""
    for entry in directory.glob(f"{_PARTIAL}*"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def sweep_abandoned(directory: Path) -> None:
    """Remove `*-PID-*.partial` files of processes that are gone."""
    for partial in directory.glob("*.partial"):
        try:
            os.kill(int(partial.name.split("-")[1]), 0)
        except ProcessLookupError:
            partial.unlink(missing_ok=True)
        except (OSError, ValueError, IndexError):  # alive, and another user's; or not ours
            continue


def allocate(file: IO[bytes], size: int) -> None:
    """Give a file its blocks on the disk: a full disk says so here, not as a bus error where it is mapped."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` hold what `source` holds now, sharing the bytes on disk where the file system can.

    Safe because our files are replaced, never edited in place.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def shown(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _give_usual_mode(path: Path) -> None:
    """Read and write as the user's mask says: some libraries make files that only their owner can read."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _plain_write(path: Path, content: bytes | memoryview) -> None:
    path.write_bytes(content)


def _flush(path: Path) -> None:
    """Ask the disk to keep a file or a directory's names."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # a directory cannot be opened on some systems
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in _REASONS:
            raise
    finally:
        os.close(handle)
