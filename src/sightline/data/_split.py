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
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, Finding, write_with
from sightline.data._columns import BLOCK, first_alike, hash_order, keyed_hashes, taken
from sightline.data._image_set import PARTS, ImageSet, Part

FLAT_FRACTIONS: dict[Part, float] = {"train": 0.70, "val": 0.15, "test": 0.15}
"""How a folder without parts is divided."""

CARVED_FRACTION = 0.10
"""How much of train becomes val where a folder has no val of its own."""

_COLUMNS = ("path", "class", "part", "digest")

Learned = frozenset[tuple[Part, str]]
"""Digests of images that weights come from, each with the part it had: trained on, or selected by."""

Quotas = Callable[[int], list[int]]
"""How many images of a class with so many go to each side, be it a part or a fold."""


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
        chosen = (p == part for p in self.parts)
        return np.flatnonzero(np.fromiter(chosen, dtype=np.bool_, count=len(self.parts)))

    def digest(self, images: ImageSet) -> str:
        """One hash of every image's path, class, part and content."""
        digest = hashlib.blake2b(digest_size=16)
        for text in self._texts(images):
            digest.update(text.encode())
        return digest.hexdigest()

    def table(self, images: ImageSet) -> str:
        """The split as CSV text: path, class, part, digest."""
        return "".join(self._texts(images))

    def save(self, path: Path, images: ImageSet) -> None:
        """Write the table to a file."""

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                file.writelines(text.encode() for text in self._texts(images))

        write_with(path, write)

    def _texts(self, images: ImageSet) -> Iterator[str]:
        """The table, some rows at a time."""
        labels = (images.classes[target] for target in images.targets)
        rows = zip(images.names, labels, self.parts, images.digests, strict=True)
        block: list[tuple[str, ...]] = [_COLUMNS]
        while block:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(block)
            yield text.getvalue()
            block = list(islice(rows, BLOCK))


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


def split_images(
    images: ImageSet, seed: int = 0, fold: tuple[int, int] | None = None, *, holdout: bool = True
) -> Split:
    """Decide what each image is for.

    A folder's own train, val and test are kept. Without parts, each class is divided 70/15/15; with train
    but no val, 10 % of train is carved off as val. As one fold of several, which are alike in classes and
    have each image once, that fold is test and 10 % of the others is val. Without `holdout`, what would
    become val is trained on.

    Args:
        images: The set; of folds, what `fold_images` leaves of it.
        seed: The split seed, which is not the training seed.
        fold: Which one, from 1, and of how many.
        holdout: Whether to hold images out for validation where the set has none for it.

    Raises:
        DataError: if a class has no image left to train on, or groups leave none for validation.
    """
    given = fold is None and images.parts[0] is not None
    grouped = "" if images.groups is None else f", groups of {images.grouped_by!r} kept together"
    carved: dict[Part, float] = {"train": 1 - CARVED_FRACTION, "val": CARVED_FRACTION}
    everything, alike = np.arange(len(images)), first_alike(images.digests)
    sides = np.zeros(len(images), dtype=np.int64)  # indices into PARTS
    if fold is not None:
        in_fold = _in_fold(images, alike, seed, *fold)
        sides[in_fold] = PARTS.index("test")
        others = everything[~in_fold]
        sides[others] = _divide(images, alike, others, lambda total: _quotas(total, carved), seed)
        rule = (
            f"test is fold {fold[0]} of {fold[1]}, val {CARVED_FRACTION:.0%} of the others, "
            f"of each class by hash of (split seed {seed}, path){grouped}"
        )
    elif not given:
        sides = _divide(images, alike, everything, lambda total: _quotas(total, FLAT_FRACTIONS), seed)
        percents = "/".join(f"{100 * f:.0f}" for f in FLAT_FRACTIONS.values())
        rule = f"train/val/test {percents} of each class by hash of (split seed {seed}, path){grouped}"
    else:
        rule = "the folder's own parts"
        sides = np.array([PARTS.index(part) for part in images.parts if part is not None], dtype=np.int64)
        if "val" not in images.parts:
            train = np.flatnonzero(sides == PARTS.index("train"))
            sides[train] = _divide(images, alike, train, lambda total: _quotas(total, carved), seed)
            rule += (
                f"; val is {CARVED_FRACTION:.0%} of each class of train by hash of "
                f"(split seed {seed}, path){grouped}"
            )
    if not holdout and not (given and "val" in images.parts):
        sides[sides == PARTS.index("val")] = PARTS.index("train")
        rule += "; what would be val is trained on"
    parts = tuple(PARTS[side] for side in sides.tolist())
    findings: list[Finding] = []
    if given:
        findings += [*_leaks(images, sides, alike), *_divided_groups(images, parts)]
    findings += _contradictions(images, alike)
    split = Split(parts=parts, rule=rule, seed=seed, fold=fold, findings=tuple(findings))
    empty = np.flatnonzero(images.counts(split.indices("train")) == 0)
    if len(empty):
        raise DataError(
            f"{images.source}: class {images.classes[empty[0]]!r} has no image left to train on; "
            f"it has {images.counts()[empty[0]]} in all"
        )
    if holdout and len(split.indices("val")) == 0:
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
            rows = {row["path"]: (row["part"], row["digest"] or "") for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a split: {error}") from error
    known: dict[str, Part] = {part: part for part in PARTS}  # not a million strings of one word
    return {name: (known[part], digest) for name, (part, digest) in rows.items() if part in known}


def learned_from(recorded: Mapping[str, tuple[Part, str]]) -> Learned:
    """What a network trained by a split has learned from: all but its test images."""
    return frozenset((part, digest) for part, digest in recorded.values() if part != "test")


def save_learned(path: Path, learned: Learned) -> None:
    """Write `before.csv`: part and digest of what a run's starting weights come from."""

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("part", "digest"), *sorted(learned)])

    write_with(path, write)


def read_learned(path: Path) -> Learned:
    """Read a `before.csv`; nothing where there is none.

    Raises:
        DataError: if the file cannot be read as one.
    """
    if not path.exists():
        return frozenset()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["part"], row["digest"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} does not say what the run's weights come from: {error}") from error
    known: dict[str, Part] = {part: part for part in PARTS}
    return frozenset((known[part], digest or "") for part, digest in rows if part in known)


def _in_fold(
    images: ImageSet, alike: NDArray[np.int64], seed: int, number: int, count: int
) -> NDArray[np.bool_]:
    """Which images one fold of several has. -> (N,)."""
    extra = 0

    def quotas(total: int) -> list[int]:
        """As equal as can be; what is left over goes to one fold after the other, class by class."""
        nonlocal extra
        sizes = [total // count] * count
        for _ in range(total % count):
            sizes[extra % count] += 1
            extra += 1
        return sizes

    return np.equal(_divide(images, alike, np.arange(len(images)), quotas, seed), number - 1)


def _divide(
    images: ImageSet, alike: NDArray[np.int64], indices: NDArray[np.int64], quotas_of: Quotas, seed: int
) -> NDArray[np.int64]:
    """Divide images by class; exact duplicates, whatever their class, and groups stay together.

    Args:
        images: The set.
        alike: (N,) the first of the set with the same bytes, of each.
        indices: Which of it.
        quotas_of: What is too many for all sides goes to the first. Asked once a class, in order.
        seed: The split seed.

    Returns:
        The side of each of `indices`, in their order, counted from 0.
    """
    names = images.names if len(indices) == len(images) else taken(images.names, indices)
    order = hash_order(keyed_hashes(str(seed), names))
    if images.groups is not None:
        in_order = zip(indices[order].tolist(), alike[indices[order]].tolist(), strict=True)
        largest_first = sorted(_units(images.groups, in_order), key=len, reverse=True)
        return _place_groups(images, largest_first, quotas_of)[indices]
    units = _numbered(alike[indices[order]])  # duplicates have one number, in order of the first hash
    decided = np.full(units.max(initial=-1) + 1, -1, dtype=np.int64)
    targets = images.targets[indices[order]]
    by_class = np.argsort(targets, kind="stable")
    for of_class in np.split(by_class, np.flatnonzero(np.diff(targets[by_class])) + 1):
        mine, sizes = np.unique(units[of_class], return_counts=True)
        quotas = quotas_of(len(of_class))
        early = decided[mine] >= 0  # with an earlier class, as a duplicate
        for side, size in zip(decided[mine[early]].tolist(), sizes[early].tolist(), strict=True):
            quotas[side] -= size
        decided[mine[~early]] = _filled(quotas, sizes[~early])
    sides = np.empty(len(indices), dtype=np.int64)
    sides[order] = decided[units]
    return sides


def _numbered(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Small numbers, 0 or more, as numbers in order of their first appearance. (N,) -> (N,)."""
    places = np.arange(len(values))
    first = np.zeros(values.max(initial=-1) + 1, dtype=np.int64)
    first[values[::-1]] = places[::-1]  # the last that is written stays
    number: NDArray[np.int64] = np.cumsum(first[values] == places) - 1
    return number[first[values]]


def _filled(quotas: list[int], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The side of each unit: one side is filled after the other, and the last unit may be too large for it.

    Args:
        quotas: How many images each side lacks.
        sizes: (U,) how many images each unit has.
    """
    sides = np.zeros(len(sizes), dtype=np.int64)  # what is left over goes to the first
    ends = np.cumsum(sizes)
    start = 0
    for side, quota in enumerate(quotas):
        if quota > 0 and start < len(sizes):
            before = ends[start] - sizes[start]
            stop = int(np.searchsorted(ends, before + quota)) + 1
            sides[start:stop] = side
            start = stop
    return sides


def _units(groups: tuple[str, ...], images: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Images that must stay together: of one digest or of one group; in the order of their first.

    Args:
        groups: Of every image of the set.
        images: Each with the first of the set that has its digest.
    """
    leader: dict[str | int, str | int] = {}

    def find(key: str | int) -> str | int:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    indices = []
    for i, alike in images:
        leader[find(alike)] = find(groups[i])
        indices.append(i)
    units: dict[str | int, list[int]] = defaultdict(list)
    for i in indices:
        units[find(groups[i])].append(i)
    return list(units.values())


def _place_groups(images: ImageSet, units: list[list[int]], quotas_of: Quotas) -> NDArray[np.int64]:
    """Each unit, in this order, where the squared shares that classes are off their quotas get smallest.

    A side that would stay empty gets the smallest unit that the first side can do without.

    Returns:
        The side of each image of the set; of those in no unit, 0.
    """
    classes = len(images.classes)
    everything = np.array([i for unit in units for i in unit])
    totals = np.bincount(images.targets[everything], minlength=classes)
    quotas = np.array([quotas_of(int(total)) for total in totals]).T  # (sides, classes)
    lacking = quotas.astype(float, order="C")  # the order of memory is the order of sums, which decides ties
    weights = 1.0 / np.maximum(totals, 1)
    placed: list[list[NDArray[np.int64]]] = [[] for _ in quotas]  # class counts of each unit of a side
    held: list[list[list[int]]] = [[] for _ in quotas]
    for unit in units:
        counts = np.bincount(images.targets[unit], minlength=classes)
        change = ((counts**2 - 2 * counts * lacking) * weights**2).sum(axis=1)
        chosen = int(change.argmin())
        lacking[chosen] -= counts
        placed[chosen].append(counts)
        held[chosen].append(unit)
    for empty in (s for s in range(1, len(quotas)) if not held[s] and quotas[s].any()):
        rest = np.sum(placed[0], axis=0)
        for which in reversed(range(len(held[0]))):  # the smallest are last
            if ((rest - placed[0][which] > 0) | (rest == 0)).all():
                placed[0].pop(which)
                held[empty].append(held[0].pop(which))
                break
    sides = np.zeros(len(images), dtype=np.int64)
    for side, own in enumerate(held):
        for unit in own:
            sides[unit] = side
    return sides


def _quotas(total: int, fractions: Mapping[Part, float]) -> list[int]:
    """How many images of a class each of these parts gets; train gets the rest, and at least one."""
    quotas: dict[Part, int] = {part: int(total * f + 0.5) for part, f in fractions.items() if part != "train"}
    while sum(quotas.values()) >= total and any(quotas.values()):
        quotas[max(quotas, key=lambda p: quotas[p])] -= 1
    return [total - sum(quotas.values()), *quotas.values()]


def _divided_groups(images: ImageSet, parts: tuple[Part, ...]) -> list[Finding]:
    """Groups on two sides of a given split."""
    if images.groups is None:
        return []
    where: dict[str, set[Part]] = defaultdict(set)
    for group, part in zip(images.groups, parts, strict=True):
        where[group].add(part)
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


def _leaks(images: ImageSet, sides: NDArray[np.int64], alike: NDArray[np.int64]) -> list[Finding]:
    """Exact duplicates on two sides of a given split.

    Args:
        images: The set.
        sides: (N,) the part of each, as its place in PARTS.
        alike: (N,) the first with the same bytes, of each.
    """
    everything = np.arange(len(images))
    train, *others = (np.isin(everything, alike[sides == side]) for side in range(len(PARTS)))
    leaks = np.flatnonzero(train & np.any(others, axis=0))
    if not len(leaks):
        return []
    same = np.flatnonzero(alike == leaks[0])
    of_train = sides[same] == PARTS.index("train")
    return [
        Finding(
            level="warning",
            where=images.names[same[of_train][0]],
            what=f"{len(leaks)} images of train are also in val or test, byte for byte "
            f"(this one is {images.names[same[~of_train][0]]})",
            why="scores on them measure memory",
            do="remove them from train",
        )
    ]


def _contradictions(images: ImageSet, alike: NDArray[np.int64]) -> list[Finding]:
    """The same image filed under two classes."""
    found = np.flatnonzero(images.targets != images.targets[alike])
    if not len(found):
        return []
    return [
        Finding(
            level="warning",
            where=images.names[alike[found[0]]],
            what=f"{len(found)} images are filed under two classes, byte for byte "
            f"(this one is also {images.names[found[0]]})",
            why="one of the two labels is wrong, and costs accuracy",
            do="keep the right one",
        )
    ]
