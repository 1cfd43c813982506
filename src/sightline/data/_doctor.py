"""The data doctor: what is wrong, or risky, in a folder of labelled images. No file is changed."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, Finding, shown
from sightline.data._doctor_looks import THUMB, Looks, NearPairs, format_of, look_at_all, near_pairs
from sightline.data._doctor_names import likely_groups
from sightline.data._image_set import PARTS, ImageSet
from sightline.data._index import Progress, read_records
from sightline.data._open import _list_files, open_images
from sightline.imaging import EXTENSIONS, read_record

MAX_CASES = 100
"""Files or pairs of one kind of finding that are told one by one; of more, the total."""

RARE = 10
"""A class with fewer images is rare."""

_ONE_COLOUR = 1.5
_FAR = 7.0
_UNUSUAL_FORMAT = 0.02
_ENDINGS = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PNM": (".ppm", ".pgm", ".pbm"),
    "JPEG 2000": (".jp2",),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A finding of the data doctor, with the images it is about."""

    kind: str
    """What the page puts it under."""
    finding: Finding
    names: tuple[str, ...] = ()
    """Images to show; as in the set."""
    quarantine: tuple[tuple[str, str], ...] = ()
    """Files to set aside, each with the reason."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """What the data doctor found."""

    source: str
    images: ImageSet | None
    """The set; None where it cannot be opened at all."""
    cases: tuple[Case, ...]
    """Errors first, then warnings, then what is good to know."""

    @property
    def findings(self) -> list[Finding]:
        """What was found, in the order of `cases`."""
        return [case.finding for case in self.cases]

    @property
    def quarantine(self) -> list[tuple[str, str]]:
        """Files to set aside, sorted by path, each once with all its reasons."""
        reasons: dict[str, list[str]] = defaultdict(list)
        for name, reason in (entry for case in self.cases for entry in case.quarantine):
            if reason not in reasons[name]:
                reasons[name].append(reason)
        return [(name, "; ".join(found)) for name, found in sorted(reasons.items())]


def examine_images(source: str | Path, *, progress: Progress | None = None) -> Examination:
    """Look for faults in a set of labelled images: files, labels, copies, leaks, groups, classes.

    Every image is decoded once more, at a small size. No file of the set is changed.

    Args:
        source: As of `open_images`.
        progress: Told how far reading is.

    Raises:
        DataError: if there is no such folder, it cannot be listed, or no file in it is an image by name.
    """
    cases: list[Case] = []
    images: ImageSet | None = None
    names: list[str] = []
    others: list[str] = []
    if Path(source).is_dir():
        names, others, _, _ = _list_files(str(source), Path(source))
    try:
        images = open_images(source, progress=progress)
    except DataError as refusal:
        if not names:
            raise
        text = str(refusal).removeprefix(f"{source}: ")
        cases.append(_case("Refused", "error", str(source), text, "training refuses the set", "mend it"))
        try:
            images = open_images(source, training=False, allow_unreadable=True, progress=progress)
        except DataError:
            images = None
    root = Path(source)
    unread = [shown(name) for name in names] if images is None else list(images.left_out)
    cases += _unreadable(root, unread)
    cases += _misnamed_files(root, others)
    if images is not None:
        cases += _of_opening(images)
        cases += _of_images(images, progress)
    order = ("error", "warning", "info")
    cases.sort(key=lambda case: order.index(case.finding.level))  # stable
    return Examination(source=str(source), images=images, cases=tuple(cases))


def _of_images(images: ImageSet, progress: Progress | None) -> Iterator[Case]:
    told = None if progress is None else (lambda done: progress("comparing images", done, len(images)))
    items: Iterable[Path | NDArray[np.uint8]] = (
        images.pixels if images.pixels is not None else (images.path(i) for i in range(len(images)))
    )
    looks = look_at_all(items, len(images), told)
    readable = ~np.isnan(looks.means)
    plain = readable & (looks.deviations <= _ONE_COLOUR)
    yield from _copies(images)
    yield from _near(
        images, near_pairs(looks, readable & ~plain, small=bool(np.median(images.sizes) < THUMB))
    )
    yield from _wrong_endings(images, looks)
    yield from _one_colour(images, plain)
    yield from _outliers(images, looks, readable & ~plain)
    yield from _mixture(images)
    yield from _classes(images)
    yield from _groups(images)


# -- files -----------------------------------------------------------------------------------------------


def _unreadable(root: Path, names: list[str]) -> list[Case]:
    """Every file that cannot be read, with its reason."""
    cases = []
    for name in names:
        reason, do = _diagnosis(root / name)
        if reason:
            what = f"cannot be read: {reason}"
            cases.append(
                _case(
                    "Unreadable files",
                    "warning",
                    name,
                    what,
                    "it is left out, not replaced",
                    do,
                    quarantine=((name, what),),
                )
            )
    return _capped(cases)


def _diagnosis(path: Path) -> tuple[str, str]:
    """Why a file cannot be read, and what to do; empty where it can be."""
    if not os.path.lexists(path):
        return "its name is not valid UTF-8", "rename it"
    if path.is_symlink() and not path.exists():
        annexed = "annex/objects" in str(path.readlink())
        if annexed:
            return "a git-annex pointer, not the image itself", "fetch the images with `git annex get`"
        return "a link to a file that is not there", "mend or remove it"
    record = read_record(path)
    if not record.error:
        return "", ""
    start = _start(path)
    pointer = _pointer(start)
    if pointer:
        return pointer
    if start.lstrip()[:1] == b"<" and format_of(start) == "":
        return "a web page or XML, not an image", "download it again"
    if "bits a channel" in record.error or "pages or frames" in record.error:
        return record.error, "convert a copy of it"
    return record.error, "mend or remove it"


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


def _misnamed_files(root: Path, others: list[str]) -> list[Case]:
    """Files that are not images by name, but by content; and pointers among them."""
    cases = []
    for name in others:
        start = _start(root / name)
        there, pointer, found = shown(name), _pointer(start), format_of(start)
        if pointer is not None:
            cases.append(
                _case(
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
                _case(
                    "Wrong endings",
                    "warning",
                    there,
                    f"is a {found} image by its content, not by its name",
                    "it is passed over",
                    f"if it belongs to the set, rename a copy to {_ENDINGS[found][0]}",
                )
            )
    return _capped(cases)


def _is_whole_image(path: Path) -> bool:
    return not read_record(path).error


def _wrong_endings(images: ImageSet, looks: Looks) -> Iterator[Case]:
    """Files whose content is of another format than their name says, and the few of an unusual format."""
    if images.root is None:
        return
    wrong = []
    for name, found in zip(images.names, looks.formats, strict=True):
        ending = Path(name).suffix
        if found and ending.lower() not in _ENDINGS[found]:
            what = f"is a {found} file by its content"
            wrong.append(
                _case(
                    "Wrong endings",
                    "warning",
                    name,
                    what,
                    "it is read by its content here; programs that go by the name fail on it",
                    "rename a copy of it",
                    names=(name,),
                )
            )
    yield from _capped(wrong)
    counts = Counter(found for found in looks.formats if found)
    if not counts:
        return
    usual, most = counts.most_common(1)[0]
    few = []
    for i, found in enumerate(looks.formats):
        if found and found != usual and counts[found] <= max(1, _UNUSUAL_FORMAT * len(images)) and most >= 20:
            rank = f"the only {found}" if counts[found] == 1 else f"one of {counts[found]} {found} files"
            what = f"is {rank} among {most} {usual} files"
            few.append(
                _case(
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
    yield from _capped(few)


# -- what images show ------------------------------------------------------------------------------------


def _one_colour(images: ImageSet, plain: NDArray[np.bool_]) -> list[Case]:
    what = "is of one colour"
    return _capped(
        _case(
            "Empty images",
            "warning",
            images.names[i],
            what,
            "there is nothing in it to learn from",
            "remove it, or look why it is empty",
            names=(images.names[i],),
            quarantine=((images.names[i], what),),
        )
        for i in np.flatnonzero(plain).tolist()
    )


def _outliers(images: ImageSet, looks: Looks, seen: NDArray[np.bool_]) -> list[Case]:
    """Images far from the set's middle: by robust deviations of shape, size, brightness, contrast."""
    if seen.sum() < 20:
        return []
    height, width = images.sizes[:, 0].astype(float), images.sizes[:, 1].astype(float)
    area = np.sqrt(height * width)
    measures = (
        ("its shape", np.log2(width / height), 1.0, [f"{h}x{w}" for h, w in images.sizes.tolist()]),
        ("its size", np.log2(area), 2.0, [f"{h}x{w}" for h, w in images.sizes.tolist()]),
        ("its brightness", looks.means, 40.0, [f"mean {m:.0f} of 255" for m in looks.means]),
        (
            "its contrast",
            np.log2(looks.deviations + 1),
            1.0,
            [f"deviation {d:.1f}" for d in looks.deviations],
        ),
    )
    cases = []
    for what, values, least, words in measures:
        middle = float(np.median(values[seen]))
        spread = max(1.4826 * float(np.median(np.abs(values[seen] - middle))), least / _FAR)
        far = np.abs(values - middle) / spread
        typical = words[int(np.flatnonzero(seen)[np.abs(values[seen] - middle).argmin()])]
        for i in np.flatnonzero(seen & (far > _FAR)).tolist():
            text = f"stands out by {what}: {words[i]}, where {typical} is usual"
            cases.append(
                _case(
                    "Unusual images",
                    "info",
                    images.names[i],
                    text,
                    "it may not belong to the set",
                    "look at it",
                    names=(images.names[i],),
                )
            )
    return _capped(cases)


def _mixture(images: ImageSet) -> Iterator[Case]:
    """Sizes and channels that differ."""
    if images.one_size is None:
        areas = images.sizes.astype(np.int64).prod(axis=1)
        small, large = images.sizes[areas.argmin()], images.sizes[areas.argmax()]
        sizes = len(np.unique(images.sizes, axis=0))
        yield _case(
            "The set",
            "info",
            images.source,
            f"{sizes} sizes, from {small[0]}x{small[1]} to {large[0]}x{large[1]} (height x width)",
            "all are brought to one size, and the large lose most detail",
            "choose --img-size by what must be seen",
        )
    if images.channels == 3 and images.root is not None:
        grey = [name for name, c in zip(images.names, _channels(images), strict=True) if c == 1]
        if grey and len(grey) < len(images):
            yield _case(
                "The set",
                "info",
                grey[0],
                f"{len(grey)} of {len(images)} images are grey (this is the first)",
                "their three channels are equal; where one class has more of them, colour tells the class",
                "nothing, or make all grey",
                names=tuple(grey[:8]),
            )


def _channels(images: ImageSet) -> list[int]:
    assert images.root is not None
    return [int(c) for c in read_records(images.root, list(images.names)).channels]


# -- copies ----------------------------------------------------------------------------------------------


def _copies(images: ImageSet) -> list[Case]:
    """Files that are the same byte for byte, each with the first of them."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, digest in enumerate(images.digests):
        members[digest].append(i)
    pairs = [(group[0], other, 1.0) for group in members.values() for other in group[1:]]
    return _told(images, pairs, "is the same, byte for byte, as", "exact")


def _near(images: ImageSet, found: NearPairs) -> list[Case]:
    """Files that show nearly the same, but are not the same bytes."""
    pairs = [pair for pair in found.pairs if images.digests[pair[0]] != images.digests[pair[1]]]
    cases = _told(images, pairs, "is nearly the same as", "near")
    if found.strict:
        cases.append(
            _case(
                "Near duplicates",
                "info",
                images.source,
                "its images are small, or much alike by nature",
                "many look like one another, so only pairs that agree almost exactly are told",
                "nothing, or look at the pairs that are told",
            )
        )
    if found.skipped:
        cases.append(
            _case(
                "Near duplicates",
                "info",
                images.source,
                f"{found.skipped:,} comparisons by bands of the hash were left out: too many share one",
                "near duplicates among them may be missed",
                "nothing",
            )
        )
    return cases


def _told(images: ImageSet, pairs: list[tuple[int, int, float]], verb: str, how: str) -> list[Case]:
    """Pairs as leaks, label faults or mere repeats, whichever is worst."""
    certain = how == "exact"
    leaks, faults, repeats = [], [], []
    for first, second, agreement in pairs:
        one, two = first, second
        if _place(images, one) > _place(images, two):  # the copy in train, else in val, is the one to go
            one, two = two, one
        parts = (images.parts[one], images.parts[two])
        agreed = "" if certain else f" (agreement {agreement:.3f})"
        names = (images.names[one], images.names[two])
        what = f"{verb} {names[1]}{agreed}"
        label = {i: images.classes[images.targets[i]] for i in (one, two)}
        differ = label[one] != label[two]
        if parts[0] != parts[1]:
            also = f"; their classes differ, {label[one]!r} and {label[two]!r}" if differ else ""
            reason = f"{'copy' if certain else 'near copy'} of {names[1]} of {parts[1]}"
            leaks.append(
                _case(
                    "Leaks",
                    "error" if certain else "warning",
                    names[0],
                    what + also,
                    "one is trained on, or chosen by, and the other judged with: the score measures memory"
                    if certain
                    else "scores on the one measure memory of the other",
                    "keep it in one part",
                    names=names,
                    quarantine=((names[0], reason),),
                )
            )
        elif differ:
            reason = f"the same image is filed under {label[one]} and {label[two]}"
            faults.append(
                _case(
                    "Label faults",
                    "warning",
                    names[0],
                    f"{what}; filed under {label[one]!r} and {label[two]!r}",
                    "one of the two labels is wrong, and costs accuracy"
                    if certain
                    else "one of the two labels may be wrong",
                    "keep the right one",
                    names=names,
                    quarantine=((names[0], reason), (names[1], reason)) if certain else (),
                )
            )
        else:
            repeats.append(
                _case(
                    "Exact duplicates" if certain else "Near duplicates",
                    "info",
                    names[0],
                    what,
                    "it counts twice; a split made here keeps the two together"
                    if certain
                    else "it counts twice; a split may put the two on two sides",
                    "keep one" if certain else "look at the two; keep one, or group them with --group-by",
                    names=names,
                    quarantine=((names[1], f"copy of {names[0]}"),) if certain else (),
                )
            )
    return _capped(leaks) + _capped(faults) + _capped(repeats)


def _place(images: ImageSet, index: int) -> int:
    part = images.parts[index]
    return 0 if part is None else PARTS.index(part)


# -- classes and groups ----------------------------------------------------------------------------------


def _classes(images: ImageSet) -> Iterator[Case]:
    counts = images.counts()
    for label, count in zip(images.classes, counts.tolist(), strict=True):
        if count < RARE:
            yield _case(
                "Classes",
                "warning",
                label,
                f"class {label!r} has {count} image{'s' * (count != 1)}",
                "too few to learn it, or to say how well it was learned",
                "add images, or leave the class out",
            )
    if len(counts) > 1 and counts.max() >= 10 * counts.min():
        large, small = images.classes[int(counts.argmax())], images.classes[int(counts.argmin())]
        yield _case(
            "Classes",
            "info",
            images.source,
            f"class {large!r} has {counts.max()} images, {small!r} has {counts.min()}",
            "accuracy is mostly that of the large classes",
            "read the balanced accuracy; see --balance",
        )


def _groups(images: ImageSet) -> Iterator[Case]:
    if images.root is None:
        return
    found = likely_groups(images)
    if found is None:
        return
    what = (
        f"names suggest {found.count} groups, of up to {found.largest} images "
        f"({found.example[0]!r} of {found.example[1]})"
    )
    do = f"if they are patients, plates or the like, give --group-by '{found.pattern}'"
    if found.divided:
        yield _case(
            "Groups",
            "warning",
            images.source,
            f"{what}; {found.divided} are in two parts or more",
            "images of one group are alike, so scores are on groups that were trained on",
            f"{do}, with the images not divided into parts",
        )
    else:
        why = "a split that divides a group measures memory"
        yield _case("Groups", "info", images.source, what, why, do)


def _of_opening(images: ImageSet) -> Iterator[Case]:
    """What `open_images` noticed; unreadable files are told one by one elsewhere."""
    for finding in images.findings:
        if "files cannot be read" not in finding.what:
            yield Case(kind="The set", finding=finding)


# -- cases -----------------------------------------------------------------------------------------------


def _case(
    kind: str,
    level: Literal["info", "warning", "error"],
    where: str,
    what: str,
    why: str,
    do: str,
    names: tuple[str, ...] = (),
    quarantine: tuple[tuple[str, str], ...] = (),
) -> Case:
    finding = Finding(level=level, where=where, what=what, why=why, do=do)
    return Case(kind=kind, finding=finding, names=names, quarantine=quarantine)


def _capped(cases: Iterable[Case]) -> list[Case]:
    """The first so many; of more, one that gives the total, and the whole quarantine."""
    every = list(cases)
    if len(every) <= MAX_CASES:
        return every
    rest = every[MAX_CASES:]
    first = rest[0].finding
    total = dataclasses.replace(
        first, what=f"{first.what}; this and {len(rest) - 1} more, {len(every)} in all"
    )
    quarantine = tuple(entry for case in rest for entry in case.quarantine)
    return [*every[:MAX_CASES], dataclasses.replace(rest[0], finding=total, quarantine=quarantine)]
