"""Which image is for what: decided by hashes, recorded, the same on every machine.

Within a class, images are ordered by a hash of (split_seed, relative path), so that adding one image moves
no other by more than a place at a boundary. Exact duplicates go together, and so do groups: with groups, the
largest are placed first, each where it brings the classes closest to what they should be.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, Finding, write_text
from sightline.data._image_set import PARTS, ImageSet, Part

FLAT_FRACTIONS: dict[Part, float] = {"train": 0.70, "val": 0.15, "test": 0.15}
"""How a folder without parts is divided."""

CARVED_FRACTION = 0.10
"""How much of train becomes val where a folder has no val of its own."""

_COLUMNS = ("path", "class", "part", "digest")

Side = TypeVar("Side", bound=str)
"""What images are divided into: parts, or folds."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The part of every image of a set."""

    parts: tuple[Part, ...]
    """One an image, in the set's order."""
    rule: str
    """How it was decided, in words."""
    seed: int
    """The split seed."""
    fold: tuple[int, int] | None = None
    """Which fold is the test part, from 1, and of how many; None of no folds."""
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


def fold_images(images: ImageSet) -> ImageSet:
    """The images that are divided into folds: all but a folder's own test images, which stay unseen."""
    kept = np.array([i for i, part in enumerate(images.parts) if part != "test"], dtype=np.int64)
    if len(kept) == len(images):
        return images
    left_out = Finding(
        level="info",
        where=images.source,
        what=f"its {len(images) - len(kept)} test images are in no fold",
        why="they stay unseen",
        do="judge a fold on them with evaluate",
    )
    return dataclasses.replace(images.subset(kept), findings=(*images.findings, left_out))


def split_images(images: ImageSet, seed: int = 0, fold: tuple[int, int] | None = None) -> Split:
    """Decide what each image is for.

    A folder's own train, val and test are kept. Without parts, each class is divided 70/15/15; with train
    but no val, 10 % of train is carved off as val. As one fold of several, which are alike in classes and
    have each image once, that fold is test and 10 % of the others is val.

    Args:
        images: The set; of folds, what `fold_images` leaves of it.
        seed: The split seed, which is not the training seed.
        fold: Which one, from 1, and of how many.

    Raises:
        DataError: if a class has no image left to train on, or groups leave none for validation.
    """
    findings: list[Finding] = []
    grouped = "" if images.groups is None else f", groups of {images.grouped_by!r} kept together"
    carved: dict[Part, float] = {"train": 1 - CARVED_FRACTION, "val": CARVED_FRACTION}
    if fold is not None:
        parts = _fold_parts(images, seed, *fold)
        rest = np.array([i for i in range(len(images)) if i not in parts], dtype=np.int64)
        parts |= _divide(images, rest, lambda total: _quotas(total, carved), seed)
        rule = (
            f"test is fold {fold[0]} of {fold[1]}, val {CARVED_FRACTION:.0%} of the others, "
            f"of each class by hash of (split seed {seed}, path){grouped}"
        )
    elif images.parts[0] is None:
        everything = np.arange(len(images))
        parts = _divide(images, everything, lambda total: _quotas(total, FLAT_FRACTIONS), seed)
        percents = "/".join(f"{100 * f:.0f}" for f in FLAT_FRACTIONS.values())
        rule = f"train/val/test {percents} of each class by hash of (split seed {seed}, path){grouped}"
    else:
        given = {i: part for i, part in enumerate(images.parts) if part is not None}
        rule = "the folder's own parts"
        parts = given
        if "val" not in given.values():
            train = np.array([i for i, part in given.items() if part == "train"])
            parts = given | _divide(images, train, lambda total: _quotas(total, carved), seed)
            rule += (
                f"; val is {CARVED_FRACTION:.0%} of each class of train by hash of "
                f"(split seed {seed}, path){grouped}"
            )
        findings += [*_leaks(images, parts), *_divided_groups(images, parts)]
    findings += _contradictions(images)
    split = Split(
        parts=tuple(parts[i] for i in range(len(images))),
        rule=rule,
        seed=seed,
        fold=fold,
        findings=tuple(findings),
    )
    empty = np.flatnonzero(images.counts(split.indices("train")) == 0)
    if len(empty):
        raise DataError(
            f"{images.source}: class {images.classes[empty[0]]!r} has no image left to train on; "
            f"it has {images.counts()[empty[0]]} in all"
        )
    if len(split.indices("val")) == 0:
        what = "groups" if images.groups is not None else "images"
        count = len(images) if images.groups is None else len(set(images.groups))
        raise DataError(f"{images.source}: {count} {what} leave none for validation; add {what}")
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


def _fold_parts(images: ImageSet, seed: int, number: int, count: int) -> dict[int, Part]:
    """The images of one fold, as test."""
    extra = 0

    def quotas(total: int) -> dict[str, int]:
        """As equal as can be; what is left over goes to one fold after the other, class by class."""
        nonlocal extra
        sizes = {str(k): total // count for k in range(count)}
        for _ in range(total % count):
            sizes[str(extra % count)] += 1
            extra += 1
        return sizes

    folds = _divide(images, np.arange(len(images)), quotas, seed)
    return {i: "test" for i, fold in folds.items() if fold == str(number - 1)}


def _divide(
    images: ImageSet,
    indices: NDArray[np.int64],
    quotas_of: Callable[[int], dict[Side, int]],
    seed: int,
) -> dict[int, Side]:
    """Divide images by class; exact duplicates, whatever their class, and groups stay together.

    Args:
        images: The set.
        indices: Which of it.
        quotas_of: How many images of a class with so many go to each side; what is too many for all goes to
            the first. Asked once a class, in order.
        seed: The split seed.
    """
    units = _units(images, indices)
    place = {key: min(_hash(seed, images.names[i]) for i in unit) for key, unit in units.items()}
    if images.groups is not None:
        largest_first = sorted(units, key=lambda k: (-len(units[k]), place[k]))
        return _place_groups(images, [units[key] for key in largest_first], quotas_of)
    targets = images.targets.tolist()
    by_class: dict[int, list[str]] = defaultdict(list)
    for key in sorted(units, key=place.__getitem__):
        for target in sorted({targets[i] for i in units[key]}):
            by_class[target].append(key)

    decided: dict[int, Side] = {}
    for target in sorted(by_class):
        mine = {k: [i for i in units[k] if targets[i] == target] for k in by_class[target]}
        quotas = quotas_of(sum(len(unit) for unit in mine.values()))
        for unit in (mine[k] for k in by_class[target] if mine[k][0] in decided):
            quotas[decided[unit[0]]] -= len(unit)  # decided with an earlier class, as a duplicate
        for key in by_class[target]:
            if mine[key][0] in decided:
                continue
            side = next((s for s in quotas if quotas[s] > 0), next(iter(quotas)))
            quotas[side] -= len(mine[key])
            decided |= dict.fromkeys(units[key], side)
    return decided


def _units(images: ImageSet, indices: NDArray[np.int64]) -> dict[str, list[int]]:
    """Images that must stay together: of one digest and, where there are groups, of one group."""
    if images.groups is None:
        units: dict[str, list[int]] = defaultdict(list)
        for i in indices.tolist():
            units[images.digests[i]].append(i)
        return units
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for i in indices:
        leader[find(images.digests[i])] = find(images.groups[i])
    units = defaultdict(list)
    for i in indices:
        units[find(images.groups[i])].append(int(i))
    return units


def _place_groups(
    images: ImageSet, units: list[list[int]], quotas_of: Callable[[int], Mapping[Side, int]]
) -> dict[int, Side]:
    """Each unit, in this order, where the squared shares that classes are off their quotas get smallest.

    A side that would stay empty gets the smallest unit that the first side can do without.
    """
    classes = len(images.classes)
    everything = np.array([i for unit in units for i in unit])
    totals = np.bincount(images.targets[everything], minlength=classes)
    quotas = [quotas_of(int(total)) for total in totals]
    sides = list(quotas[0])
    lacking = np.array([[quota[side] for quota in quotas] for side in sides], dtype=float)  # (sides, classes)
    weights = 1.0 / np.maximum(totals, 1)
    placed: list[list[NDArray[np.int64]]] = [[] for _ in sides]  # class counts of each unit of a side
    held: list[list[list[int]]] = [[] for _ in sides]
    for unit in units:
        counts = np.bincount(images.targets[unit], minlength=classes)
        change = ((counts**2 - 2 * counts * lacking) * weights**2).sum(axis=1)
        chosen = int(change.argmin())
        lacking[chosen] -= counts
        placed[chosen].append(counts)
        held[chosen].append(unit)
    for empty in (s for s in range(1, len(sides)) if not held[s] and any(q[sides[s]] for q in quotas)):
        rest = np.sum(placed[0], axis=0)
        for which in reversed(range(len(held[0]))):  # the smallest are last
            if ((rest - placed[0][which] > 0) | (rest == 0)).all():
                placed[0].pop(which)
                held[empty].append(held[0].pop(which))
                break
    return {i: side for side, own in zip(sides, held, strict=True) for unit in own for i in unit}


def _quotas(total: int, fractions: Mapping[Part, float]) -> dict[Part, int]:
    """How many images of a class each part gets; train gets the rest, and at least one."""
    quotas: dict[Part, int] = {part: int(total * f + 0.5) for part, f in fractions.items() if part != "train"}
    while sum(quotas.values()) >= total and any(quotas.values()):
        quotas[max(quotas, key=lambda p: quotas[p])] -= 1
    rest: dict[Part, int] = {"train": total - sum(quotas.values())}
    return rest | quotas


def _divided_groups(images: ImageSet, parts: Mapping[int, Part]) -> list[Finding]:
    """Groups on two sides of a given split."""
    if images.groups is None:
        return []
    where: dict[str, set[Part]] = defaultdict(set)
    for i, part in parts.items():
        where[images.groups[i]].add(part)
    divided = [group for group, found in sorted(where.items()) if "train" in found and len(found) > 1]
    if not divided:
        return []
    return [
        Finding(
            level="warning",
            where=images.source,
            what=f"{len(divided)} groups are in train and in val or test (one is {divided[0]})",
            why="the folder's own parts divide them, so scores are on groups that were trained on",
            do="move each group to one part, or give the images without parts",
        )
    ]


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
