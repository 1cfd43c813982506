"""Images from what a user names: a folder of class folders, or an embedded set."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import numpy as np

from sightline.base import DataError, Finding, did_you_mean
from sightline.data._image_set import ImageSet, Part
from sightline.data._index import Progress, read_records
from sightline.imaging import DIGITS_NOTE, EXTENSIONS, ImageRecord, digits

EMBEDDED = ("digits",)
"""Names of the sets that need no file."""

MAX_UNREADABLE = 0.01
"""The largest fraction of files that may be unreadable before opening a set for training is an error."""

_PART_FOLDERS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def open_images(
    source: str | Path,
    *,
    training: bool = True,
    allow_unreadable: bool = False,
    progress: Progress | None = None,
) -> ImageSet:
    """Open a set of labelled images.

    Args:
        source: A folder `root/<class>/*` or `root/{train,val|valid|validation,test}/<class>/*`; or the
            name of an embedded set. A name is a path if the path exists.
        training: Whether a network is to be trained on them: there must be two classes or more, train must
            have every class, and up to 1 % of the files may be unreadable. Otherwise none may be.
        allow_unreadable: Allow any number of unreadable files. They are left out, named and counted in
            `findings`, never replaced.
        progress: Told how far reading is.

    Raises:
        DataError: if there is no such set, it has no images or only one class, a class of one part is
            missing from train, or too many files are unreadable.
    """
    path = Path(source)
    if path.is_dir():
        return _open_folder(str(source), path, training, allow_unreadable, progress)
    if path.exists():
        raise DataError(f"{source} is a file; images are opened from a folder of class folders")
    if str(source) in EMBEDDED:
        return _open_digits()
    hint = "" if os.sep in str(source) else f"; of the embedded sets, {did_you_mean(str(source), EMBEDDED)}"
    raise DataError(f"no such folder: {source}{hint}")


def _open_digits() -> ImageSet:
    pixels, targets = digits()
    return ImageSet(
        source="digits",
        names=tuple(f"{target}/{index:04d}" for index, target in enumerate(targets)),
        targets=targets,
        classes=tuple(str(d) for d in range(10)),
        channels=1,
        sizes=np.full((len(pixels), 2), 8, dtype=np.int32),
        digests=tuple(hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in pixels),
        parts=(None,) * len(pixels),
        pixels=pixels,
        findings=(
            Finding(
                level="info",
                where="digits",
                what=DIGITS_NOTE.removeprefix("digits: "),
                why="an 8-bit file of a digit and the embedded digits mean the same",
                do="nothing",
            ),
        ),
    )


def _open_folder(
    source: str, root: Path, training: bool, allow_unreadable: bool, progress: Progress | None
) -> ImageSet:
    names, others = _list_files(root)
    if not names:
        raise DataError(f"{source} holds no images: no file ending in {', '.join(sorted(EXTENSIONS))}")
    has_parts = _has_parts(names)
    parts, classes_of = zip(*(_place(source, shown(name), has_parts) for name in names), strict=True)
    records = read_records(root, names, progress)
    for i, name in enumerate(names):
        if shown(name) != name:
            records[i] = ImageRecord(0, 0, 0, "", "its name is not valid UTF-8; rename it")
    names = [shown(name) for name in names]
    good = [i for i, record in enumerate(records) if not record.error]
    bad = [i for i, record in enumerate(records) if record.error]
    findings = [_other_files(others)] if others else []
    if bad:
        limit = 1.0 if allow_unreadable else MAX_UNREADABLE if training else 0.0
        findings.append(_unreadable(source, names, [records[i].error for i in bad], bad, limit))
    classes = tuple(sorted({classes_of[i] for i in good}, key=_natural))
    if not good:
        raise DataError(f"{source} has no readable image")
    if training:
        _check_classes(source, classes, [(parts[i], classes_of[i]) for i in good])
    position = {name: index for index, name in enumerate(classes)}
    return ImageSet(
        source=source,
        root=root,
        names=tuple(names[i] for i in good),
        targets=np.array([position[classes_of[i]] for i in good], dtype=np.int64),
        classes=classes,
        channels=max(records[i].channels for i in good),
        sizes=np.array([(records[i].height, records[i].width) for i in good], dtype=np.int32),
        digests=tuple(records[i].digest for i in good),
        parts=tuple(parts[i] for i in good),
        findings=tuple(findings),
        left_out=tuple(names[i] for i in bad),
    )


def _list_files(root: Path) -> tuple[list[str], list[str]]:
    """Image files and other files below a folder, relative and sorted; hidden ones are passed over."""
    images: list[str] = []
    others: list[str] = []
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(root).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        for name in files:
            if not name.startswith("."):
                kept = images if os.path.splitext(name)[1].lower() in EXTENSIONS else others  # noqa: PTH122
                kept.append(prefix + name)
    return sorted(images), sorted(others)


def shown(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _has_parts(names: list[str]) -> bool:
    """Whether the top folders are train, val, test rather than classes."""
    tops = {name.split("/")[0] for name in names}
    return "train" in {_PART_FOLDERS.get(top.lower()) for top in tops} and all(
        top.lower() in _PART_FOLDERS for top in tops
    )


def _place(source: str, name: str, has_parts: bool) -> tuple[Part | None, str]:
    """The part and the class that a relative path says."""
    folders = name.split("/")[:-1]
    part = _PART_FOLDERS[folders.pop(0).lower()] if has_parts else None
    if not folders:
        raise DataError(
            f"{source}/{name} lies in no class folder; expected {source}/<class>/<image> "
            f"or {source}/train/<class>/<image>"
        )
    return part, "/".join(folders)


def _natural(name: str) -> tuple[int, int, str]:
    """Numbers in numeric order, before words."""
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)


def _check_classes(source: str, classes: tuple[str, ...], placed: list[tuple[Part | None, str]]) -> None:
    if len(classes) < 2:
        raise DataError(f"{source} has only class {classes[0]!r}; a classifier needs at least two classes")
    train = {name for part, name in placed if part in ("train", None)}
    for part, name in placed:
        if name not in train:
            raise DataError(
                f"{source}: class {name!r} of {part} is missing from train; {did_you_mean(name, train)}"
            )


def _other_files(others: list[str]) -> Finding:
    endings = Counter(Path(name).suffix or Path(name).name for name in others)
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(4))
    return Finding(
        level="info",
        where=others[0],
        what=f"{len(others)} files are not images by name ({listed})",
        why="they are passed over",
        do="rename a file if it is an image",
    )


def _unreadable(source: str, names: list[str], errors: list[str], bad: list[int], limit: float) -> Finding:
    share = len(bad) / len(names)
    first = "; ".join(f"{names[i]}: {error}" for i, error in zip(bad[:3], errors, strict=False))
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    what = f"{len(bad)} of {len(names)} files cannot be read ({first}{more})"
    if share > limit:
        allowed = f"at most {limit:.0%} may be" if limit else "none may be"
        raise DataError(f"{source}: {what}; {allowed} without --allow-unreadable")
    return Finding(
        level="warning",
        where=names[bad[0]],
        what=what,
        why="they are left out, not replaced",
        do="mend or remove them",
    )
