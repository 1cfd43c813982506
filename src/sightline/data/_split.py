"""Which image is for what: decided by hashes, recorded, the same on every machine.

Within a class, images are ordered by a hash of (split_seed, relative path), so that adding one image moves
no other by more than a place at a boundary. Exact duplicates go together.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, Finding, write_text
from sightline.data._image_set import PARTS, ImageSet, Part

FLAT_FRACTIONS: dict[Part, float] = {"train": 0.70, "val": 0.15, "test": 0.15}
"""How a folder without parts is divided."""

CARVED_FRACTION = 0.10
"""How much of train becomes val where a folder has no val of its own."""

_COLUMNS = ("path", "class", "part", "digest")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The part of every image of a set."""

    parts: tuple[Part, ...]
    """One an image, in the set's order."""
    rule: str
    """How it was decided, in words."""
    seed: int
    """The split seed."""
    findings: tuple[Finding, ...] = ()
    """Leaks and other risks noticed."""

    def indices(self, part: Part) -> NDArray[np.int64]:
        """Images of one part, in the set's order."""
        return np.array([i for i, p in enumerate(self.parts) if p == part], dtype=np.int64)

    def digest(self, images: ImageSet) -> str:
        """One hash of every image's path, class, part and content."""
        return hashlib.blake2b(self.table(images).encode(), digest_size=16).hexdigest()

    def table(self, images: ImageSet) -> str:
        """The split as CSV text: path, class, part, digest."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for i, name in enumerate(images.names):
            writer.writerow([name, images.classes[images.targets[i]], self.parts[i], images.digests[i]])
        return text.getvalue()

    def save(self, path: Path, images: ImageSet) -> None:
        """Write the table to a file."""
        write_text(path, self.table(images))


def split_images(images: ImageSet, seed: int = 0) -> Split:
    """Decide what each image is for.

    A folder's own train, val and test are kept. Without parts, each class is divided 70/15/15; with train
    but no val, 10 % of train is carved off as val.

    Args:
        images: The set.
        seed: The split seed, which is not the training seed.

    Raises:
        DataError: if a class has no image left to train on.
    """
    findings: list[Finding] = []
    if images.parts[0] is None:
        parts = _divide(images, np.arange(len(images)), FLAT_FRACTIONS, seed)
        percents = "/".join(f"{100 * f:.0f}" for f in FLAT_FRACTIONS.values())
        rule = f"train/val/test {percents} of each class by hash of (split seed {seed}, path)"
    else:
        given = {i: part for i, part in enumerate(images.parts) if part is not None}
        rule = "the folder's own parts"
        parts = given
        if "val" not in given.values():
            train = np.array([i for i, part in given.items() if part == "train"])
            fractions: dict[Part, float] = {"train": 1 - CARVED_FRACTION, "val": CARVED_FRACTION}
            parts = given | _divide(images, train, fractions, seed)
            rule += (
                f"; val is {CARVED_FRACTION:.0%} of each class of train by hash of (split seed {seed}, path)"
            )
        findings += _leaks(images, parts)
    findings += _contradictions(images)
    split = Split(
        parts=tuple(parts[i] for i in range(len(images))), rule=rule, seed=seed, findings=tuple(findings)
    )
    empty = np.flatnonzero(images.counts(split.indices("train")) == 0)
    if len(empty):
        raise DataError(
            f"{images.source}: class {images.classes[empty[0]]!r} has no image left to train on; "
            f"it has {images.counts()[empty[0]]} in all"
        )
    if len(split.indices("val")) == 0:
        raise DataError(f"{images.source}: {len(images)} images leave none for validation; add images")
    return split


def recorded_split(path: Path) -> dict[str, tuple[Part, str]]:
    """Read a `split.csv`: for each path, its part and digest.

    Raises:
        DataError: if the file cannot be read as one.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = {row["path"]: (row["part"], row["digest"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a split: {error}") from error
    return {name: (part, digest) for name, (part, digest) in rows.items() if part in PARTS}


def _divide(
    images: ImageSet, indices: NDArray[np.int64], fractions: dict[Part, float], seed: int
) -> dict[int, Part]:
    """Divide images by class; exact duplicates, whatever their class, stay together."""
    units: dict[str, list[int]] = defaultdict(list)
    for i in indices:
        units[images.digests[i]].append(int(i))
    place = {digest: min(_hash(seed, images.names[i]) for i in unit) for digest, unit in units.items()}
    by_class: dict[int, list[str]] = defaultdict(list)
    for digest in sorted(units, key=lambda d: place[d]):
        for target in sorted({int(images.targets[i]) for i in units[digest]}):
            by_class[target].append(digest)

    decided: dict[int, Part] = {}
    for target in sorted(by_class):
        mine = {d: [i for i in units[d] if images.targets[i] == target] for d in by_class[target]}
        total = sum(len(unit) for unit in mine.values())
        quotas = _quotas(total, fractions)
        for unit in (mine[d] for d in by_class[target] if mine[d][0] in decided):
            quotas[decided[unit[0]]] -= len(unit)  # decided with an earlier class, as a duplicate
        for digest in by_class[target]:
            if mine[digest][0] in decided:
                continue
            part: Part = next((p for p in quotas if quotas[p] > 0), "train")
            quotas[part] -= len(mine[digest])
            decided |= dict.fromkeys(units[digest], part)
    return decided


def _quotas(total: int, fractions: dict[Part, float]) -> dict[Part, int]:
    """How many images of a class each part gets; train gets the rest, and at least one."""
    quotas: dict[Part, int] = {part: int(total * f + 0.5) for part, f in fractions.items() if part != "train"}
    while sum(quotas.values()) >= total and any(quotas.values()):
        quotas[max(quotas, key=lambda p: quotas[p])] -= 1
    rest: dict[Part, int] = {"train": total - sum(quotas.values())}
    return rest | quotas


def _leaks(images: ImageSet, parts: dict[int, Part]) -> list[Finding]:
    """Exact duplicates on two sides of a given split."""
    where: dict[str, dict[Part, int]] = defaultdict(dict)
    for i, part in parts.items():
        where[images.digests[i]].setdefault(part, i)
    leaks = [found for found in where.values() if "train" in found and len(found) > 1]
    if not leaks:
        return []
    other = next(part for part in leaks[0] if part != "train")
    return [
        Finding(
            level="warning",
            where=images.names[leaks[0]["train"]],
            what=f"{len(leaks)} images of train are also in val or test, byte for byte "
            f"(this one is {images.names[leaks[0][other]]})",
            why="scores on them measure memory",
            do="remove them from train",
        )
    ]


def _contradictions(images: ImageSet) -> list[Finding]:
    """The same image filed under two classes."""
    first: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for i, digest in enumerate(images.digests):
        other = first.setdefault(digest, i)
        if images.targets[other] != images.targets[i]:
            found.append((other, i))
    if not found:
        return []
    one, two = found[0]
    return [
        Finding(
            level="warning",
            where=images.names[one],
            what=f"{len(found)} images are filed under two classes, byte for byte "
            f"(this one is also {images.names[two]})",
            why="one of the two labels is wrong, and costs accuracy",
            do="keep the right one",
        )
    ]


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\x1f{name}".encode(), digest_size=16).digest()
