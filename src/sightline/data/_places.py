"""What every layout says of its images: their part, their class, and whether they can be trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice

from sightline.base import DataError, Finding, did_you_mean
from sightline.data._image_set import Part

MAX_UNREADABLE = 0.01
"""The largest fraction of files that may be unreadable before opening a set for training is an error."""

Place = tuple[Part | None, str]
"""The part, if the layout says one, and the class of an image."""

PART_FOLDERS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def natural(name: str) -> tuple[int, int, str]:
    """Numbers in numeric order, before words."""
    return (0, int(name), name) if name.isascii() and name.isdigit() and len(name) < 1000 else (1, 0, name)


def check_classes(source: str, classes: tuple[str, ...], placed: list[Place], hints: list[str]) -> None:
    """Whether a classifier can be trained.

    Args:
        source: What the user called the set.
        classes: All class names; at least one.
        placed: The part and class of each image, or each such pair once.
        hints: Said where there is one class alone.

    Raises:
        DataError: if there is only one class, no train, or train lacks a class of another part; or if a name
            cannot stand in a model file.
    """
    odd = next((name for name in classes if not name.isprintable()), None)
    if odd is not None:
        raise DataError(f"{source}: the class name {odd[:200]!a} holds a control character; rename it")
    if len(classes) < 2:
        needed = "; ".join(["a classifier needs at least two classes", *hints[:3]])
        raise DataError(f"{source} has only class {classes[0]!r}; {needed}")
    train = {name for part, name in placed if part in ("train", None)}
    if not train:
        raise DataError(f"{source} has {placed[0][0]} images but no train")
    for part, name in placed:
        if name not in train:
            raise DataError(
                f"{source}: class {name!r} of {part} is missing from train; {did_you_mean(name, train)}"
            )


def unreadable(source: str, num_files: int, errors: dict[str, str], limit: float) -> Finding:
    """Files that cannot be read, by name with the reason; a DataError where they are too many.

    Args:
        source: What the user called the set.
        num_files: Files in all.
        errors: Why each cannot be read; not empty.
        limit: The largest fraction that may be.
    """
    first = "; ".join(f"{name}: {error}" for name, error in islice(errors.items(), 3))
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    what = f"{len(errors)} of {num_files} files cannot be read ({first}{more})"
    if len(errors) / num_files > limit:
        allowed = f"at most {limit:.0%} may be" if limit else "none may be"
        raise DataError(f"{source}: {what}; {allowed} without --allow-unreadable")
    return Finding(
        level="warning",
        where=next(iter(errors)),
        what=what,
        why="they are left out, not replaced",
        do="mend or remove them",
    )


def unreadable_classes(
    names: Sequence[str], places: Sequence[Place], errors: dict[str, str]
) -> list[Finding]:
    """Classes, or classes of one part, of which no file can be read."""
    readable = {place for name, place in zip(names, places, strict=True) if name not in errors}
    somewhere = {label for _, label in readable}
    files: dict[Place, list[str]] = defaultdict(list)
    for name, (part, label) in zip(names, places, strict=True):
        if (part, label) not in readable:
            files[part if label in somewhere else None, label].append(name)
    return [
        Finding(
            level="warning",
            where=of_class[0],
            what=f"class {label!r}{f' of {part}' if part else ''} has no readable image "
            f"({len(of_class)} file{'s' * (len(of_class) > 1)}, none readable): "
            f"{of_class[0]}: {errors[of_class[0]]}",
            why="the class is left out, and what it shows will be taken for another",
            do="mend its files",
        )
        for (part, label), of_class in files.items()
    ]
