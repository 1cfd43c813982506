"""Files that cannot be read, or are not what their names or the others say."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from sightline.base import shown
from sightline.data._doctor_case import Case, capped, make_case
from sightline.data._doctor_look import format_of
from sightline.data._image_set import ImageSet
from sightline.data._index import DEPTHS, read_records
from sightline.imaging import EXTENSIONS, Depth, read_record

_ENDINGS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PNM": (".ppm", ".pgm", ".pbm"),
    "PFM": (".pfm",),
    "JPEG 2000": (".jp2",),
    "FITS": (".fits", ".fit", ".fts"),
}
_SAID = {"uint8": "8-bit", "uint16": "16-bit", "float32": "floating-point"}
_UNUSUAL_FORMAT = 0.02
_OF_BOMBS = ("decompression bomb", "more than 178,956,970", "Decompressed data too large")


def left_out(root: Path, names: list[str], images: ImageSet | None, pages: str) -> list[Case]:
    """Every file that is not of the set, each with its reason: unreadable, or of another kind than most.

    Args:
        root: The folder they are in.
        names: What `images.left_out` calls them.
        images: The set; None where nothing could be opened.
        pages: As of `open_images`.
    """
    cases: dict[str, list[Case]] = {}
    listed_in = None if images is None else images.file
    records = read_records(root, names, listed_in=listed_in, pages=pages)  # most were read a moment ago
    kinds = zip(records.errors, records.channels.tolist(), records.depths.tolist(), strict=True)
    for name, (error, channels, depth) in zip(names, kinds, strict=True):
        case = _stray(root / name, _Read(name, error, channels, DEPTHS[depth]), images)
        if case is not None:
            cases.setdefault(case.kind, []).append(case)
    return [case for of_kind in cases.values() for case in capped(of_kind)]


@dataclasses.dataclass(frozen=True)
class _Read:
    """What reading a file told."""

    name: str
    error: str
    channels: int
    depth: Depth


def _stray(path: Path, record: _Read, images: ImageSet | None) -> Case | None:
    listed = images is not None and images.file is not None
    reason, do = _without_reading(path, listed)
    if reason:
        return _unreadable(record.name, reason, do)
    if record.error:
        return _refused(path, record.name, record.error, images)
    if images is None:
        return None
    why = "it is left out: its values mean something else, and none is changed to fit"
    do = "convert a copy of it, or train on the two kinds apart"
    if record.depth != images.depth:
        kind = "Mixed depth"
        what = f"is {_SAID[record.depth]}, and most images of the set are {_SAID[images.depth]}"
    elif record.channels != images.channels and not {record.channels, images.channels} <= {1, 3}:
        kind = "Mixed channels"
        have = f"{record.channels} channel{'s' * (record.channels > 1)}"
        what = f"has {have}, and most images of the set have {images.channels}"
    elif images.more_files is not None:
        kind, what = "Unreadable files", "one of its channels is missing, or unlike the others"
        why, do = "the image is left out", "mend its row, or the file"
    else:
        return None
    return make_case(kind, "warning", record.name, what, why, do, quarantine=((record.name, what),))


def _without_reading(path: Path, listed: bool) -> tuple[str, str]:
    """Why a file is not there, and what to do; empty where it is."""
    if not os.path.lexists(path):
        return ("no such file", "mend the list") if listed else ("its name is not valid UTF-8", "rename it")
    if path.is_symlink() and not path.exists():
        if "annex/objects" in str(path.readlink()):
            return "a git-annex pointer, not the image itself", "fetch the images with `git annex get`"
        return "a link to a file that is not there", "mend or remove it"
    return "", ""


def _refused(path: Path, name: str, error: str, images: ImageSet | None) -> Case:
    """A file that was read, and is no image that can be taken."""
    start = _start(path)
    pointer = _pointer(start)
    if pointer:
        return _unreadable(name, *pointer)
    if "pages or frames" in error:
        return make_case(
            "Several pages",
            "warning",
            name,
            error.partition(";")[0],
            "it is left out, for nothing says which page is meant",
            "say it: --pages first, max (the largest value of each pixel), channels, or a number from 1",
            quarantine=((name, error.partition(";")[0]),) if images is not None else (),
        )
    if any(words in error for words in _OF_BOMBS):
        return make_case(
            "Decompression bombs",
            "warning",
            name,
            error,
            "a small file that claims to be huge can fill the memory; it is left out unread",
            "remove it; cut a copy into tiles if it is a real image",
            quarantine=((name, error),),
        )
    if "pip install" in error:
        return _unreadable(name, error, "install it, and check again", set_aside=False)
    if start.lstrip()[:1] == b"<" and format_of(start) == "":
        return _unreadable(name, "a web page or XML, not an image", "download it again")
    if "expected" in error or "not read" in error:
        return _unreadable(name, error, "convert a copy of it")
    return _unreadable(name, error, "mend or remove it")


def _unreadable(name: str, reason: str, do: str, *, set_aside: bool = True) -> Case:
    what = f"cannot be read: {reason}"
    return make_case(
        "Unreadable files",
        "warning",
        name,
        what,
        "it is left out, not replaced",
        do,
        quarantine=((name, what),) if set_aside else (),
    )


def _pointer(start: bytes) -> tuple[str, str] | None:
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the image itself", "fetch the images with `git lfs pull`"
    if b"annex/objects/" in start[:64] and len(start) < 512:
        return "a git-annex pointer, not the image itself", "fetch the images with `git annex get`"
    return None


def _start(path: Path) -> bytes:
    """The first bytes of a file; none where it cannot be read, or is no ordinary file."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(512)
    except OSError:
        return b""


def misnamed_files(root: Path, others: Sequence[str]) -> list[Case]:
    """Files that are not images by name, but by content; and pointers among them."""
    cases = []
    for name in others:
        start = _start(root / name)
        there, pointer, found = shown(name), _pointer(start), format_of(start)
        if pointer is not None:
            cases.append(
                make_case(
                    "Unreadable files",
                    "warning",
                    there,
                    f"is {pointer[0]}",
                    "it holds nothing",
                    pointer[1],
                    quarantine=((there, pointer[0]),),
                )
            )
        elif found and Path(name).suffix.lower() not in EXTENSIONS and _is_whole_image(root / name):
            cases.append(
                make_case(
                    "Wrong endings",
                    "warning",
                    there,
                    f"is a {found} image by its content, not by its name",
                    "it is passed over",
                    f"if it belongs to the set, rename a copy to {_ENDINGS[found][0]}",
                )
            )
    return capped(cases)


def _is_whole_image(path: Path) -> bool:
    return not read_record(path).error


def wrong_endings(images: ImageSet, formats: list[str]) -> Iterator[Case]:
    """Files whose content is of another format than their name says, and the few of an unusual format."""
    if images.root is None:
        return
    wrong = []
    for name, found in zip(images.names, formats, strict=True):
        ending = Path(name).suffix
        if found and ending.lower() not in _ENDINGS[found]:
            what = f"is a {found} file by its content"
            wrong.append(
                make_case(
                    "Wrong endings",
                    "warning",
                    name,
                    what,
                    "it is read by its content here; programs that go by the name fail on it",
                    "rename a copy of it",
                    names=(name,),
                )
            )
    yield from capped(wrong)
    counts = Counter(found for found in formats if found)
    if not counts:
        return
    usual, most = counts.most_common(1)[0]
    few = []
    for i, found in enumerate(formats):
        if found and found != usual and counts[found] <= max(1, _UNUSUAL_FORMAT * len(images)) and most >= 20:
            rank = f"the only {found}" if counts[found] == 1 else f"one of {counts[found]} {found} files"
            what = f"is {rank} among {most} {usual} files"
            few.append(
                make_case(
                    "Unusual images",
                    "warning",
                    images.names[i],
                    what,
                    "a stray format is often a placeholder, a drawing or a screenshot, and the format tells "
                    "the class",
                    "look at it",
                    names=(images.names[i],),
                )
            )
    yield from capped(few)
