"""A file from the network, whole and as it should be, or an error that says what to do."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sightline.base import DataError, StorageError, storage_errors

_CHUNK = 1 << 20
_TIMEOUT = 30.0


def download(
    url: str,
    path: Path,
    *,
    digest: str,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Download a file, going on where an earlier attempt was cut off.

    What has arrived is kept beside the file as `.part` until all of it has, and its digest is right.

    Args:
        url: Where it is.
        path: Where it goes; its folder is made.
        digest: What the SHA-256 of its content begins with, in hexadecimal.
        progress: Told how many bytes there are, and of how many (0 where that is not known).

    Raises:
        DataError: if it cannot be had, is cut off, or is not what it should be.
        StorageError: if the disk refuses.
    """
    part = path.with_name(f"{path.name}.part")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            if response.status != http.client.PARTIAL_CONTENT:
                have = 0  # the server sends it all
            total = have + int(response.headers.get("Content-Length") or 0)
            _receive(response, part, have, total, progress)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # all of it is here already
            raise DataError(f"{url} answers {error.code} {error.reason}; {_by_hand(url, path)}") from error
    except StorageError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(f"{url} cannot be reached ({reason}); {_by_hand(url, path)}") from error
    _finish(url, part, path, digest)


def _receive(
    response: http.client.HTTPResponse,
    part: Path,
    have: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    with storage_errors(part), part.open("ab" if have else "wb") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            have += len(chunk)
            if progress is not None:
                progress(have, total)
    if total and have < total:
        raise DataError(
            f"the connection ended after {have} of {total} bytes; what has arrived is kept: try again"
        )


def _finish(url: str, part: Path, path: Path, digest: str) -> None:
    """Give the file its name if its content is right; else throw it away."""
    with storage_errors(path):
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(digest):
            part.unlink()
            raise DataError(
                f"{url} is not what it should be: its SHA-256 begins with {found[: len(digest)]}, "
                f"not {digest}; nothing is kept"
            )
        part.replace(path)


def _by_hand(url: str, path: Path) -> str:
    return f"fetch it elsewhere and put it at {path}"
