"""The data doctor: what is wrong, or risky, in a folder of labelled images. No file is changed."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.base import DataError, Finding, duration, shown
from sightline.data._doctor_case import Case, make_case
from sightline.data._doctor_copies import exact_copies, near_copies
from sightline.data._doctor_files import left_out, misnamed_files, wrong_endings
from sightline.data._doctor_look import THUMB
from sightline.data._doctor_looks import NearPairs, near_pairs
from sightline.data._doctor_names import likely_groups
from sightline.data._doctor_pass import Looks, look_at_set
from sightline.data._doctor_pixels import (
    constant_channels,
    mixture,
    one_colour,
    outliers,
    plain_images,
    saturated,
    values_in_use,
)
from sightline.data._image_set import ImageSet, Part
from sightline.data._index import Progress
from sightline.data._open import _list_files, open_images
from sightline.data._sheet import draw_sheet
from sightline.data._sizes_lost import judge_sizes

if TYPE_CHECKING:
    from sightline.data._input_view import InputView

RARE = 10
"""A class with fewer images is rare."""

_BRIEF = 5
"""Lines that are told before training."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """What the data doctor found."""

    source: str
    images: ImageSet | None
    """The set; None where it cannot be opened at all."""
    cases: tuple[Case, ...]
    """Errors first, then warnings, then what is good to know."""
    near: tuple[tuple[int, int, float], ...] = ()
    """Pairs of images that look nearly the same, and how well they agree."""
    sheet: Image.Image | None = None
    """Some images as stored, and as a network will see them; None where that was not asked for."""

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


ViewOf = Callable[[ImageSet], "InputView"]
"""Given a set, how a network will be given its images."""


def examine_images(
    source: str | Path,
    *,
    pages: str = "",
    view_of: ViewOf | None = None,
    sheet: bool = False,
    progress: Progress | None = None,
) -> Examination:
    """Look for faults in a set of labelled images: files, labels, copies, leaks, groups, classes, sizes.

    Every image is decoded once more, where its format allows it at a small size. No file of the set is
    changed.

    Args:
        source: As of `open_images`.
        pages: As of `open_images`.
        view_of: How a network will be given the images; what a resize loses is then measured on some.
        sheet: Whether to draw some images as stored and as the network will see them; needs `view_of`.
        progress: Told how far reading is.

    Raises:
        ArgumentError: if `pages` says none.
        DataError: if there is no such set, it cannot be listed, or nothing in it is an image by name.
    """
    cases: list[Case] = []
    images: ImageSet | None = None
    names: Sequence[str] = ()
    others: Sequence[str] = ()
    if Path(source).is_dir():
        names, others, _, _ = _list_files(str(source), Path(source), progress)
    try:
        images = open_images(source, pages=pages, progress=progress)
    except DataError as refusal:
        text = str(refusal).removeprefix(f"{source}: ")
        cases.append(make_case("Refused", "error", str(source), text, "training refuses the set", "mend it"))
        try:
            images = open_images(
                source, training=False, allow_unreadable=True, pages=pages, progress=progress
            )
        except DataError:
            if not names:
                raise refusal from None
    root = Path(source) if images is None or images.root is None else images.root
    unread = [shown(name) for name in names] if images is None else list(images.left_out)
    cases += left_out(root, unread, images, pages)
    cases += misnamed_files(root, others)
    drawn = near = None
    if images is not None:
        cases += _of_opening(images)
        cases += exact_copies(images)
        looks = look_at_set(images, progress)
        assert looks is not None  # it may take as long as it takes
        near = _near(images, looks)
        cases += _of_looks(images, looks, near)
        cases += _of_set(images)
        if view_of is not None:
            view = view_of(images)
            cases += judge_sizes(images, view, progress)
            drawn = draw_sheet(images, view) if sheet else None
    return Examination(
        source=str(source),
        images=images,
        cases=tuple(_sorted(cases)),
        sheet=drawn,
        near=tuple(near.pairs) if near is not None else (),
    )


def examine_before_training(
    images: ImageSet, parts: tuple[Part, ...], *, seconds: float, progress: Progress | None = None
) -> list[str]:
    """What the data doctor warns of before a network is trained, in a few lines.

    What opening and dividing the set have told is not told again. Near duplicates and groups on two sides of
    the split are leaks, whoever made it. Each image is looked at only if that takes no longer than it may; an
    embedded set is taken to be sound.

    Args:
        images: The set.
        parts: What each image is for.
        seconds: How long looking at each image may take, about.
        progress: Told how far it is.
    """
    if images.root is None and images.file is None:
        return []
    divided = dataclasses.replace(images, parts=parts)
    own_parts = images.parts[0] is not None
    cases = [*_classes(images), *_groups(divided, own_parts)]
    looks = look_at_set(images, progress, seconds)
    if looks is not None:
        cases += _of_looks(divided, looks, _near(divided, looks))
    if not own_parts:
        cases = [_of_our_split(case) if case.kind == "Leaks" else case for case in cases]
    told: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in _sorted(cases):
        if case.finding.level != "info" or case.kind == "Groups":
            told[case.kind, case.finding.why].append(case)
    lines = []
    for alike in list(told.values())[:_BRIEF]:
        first = alike[0].finding
        more = f" (and {len(alike) - 1} more like it)" if len(alike) > 1 else ""
        begin = "" if first.level == "info" else f"{first.level}: "
        lines.append(f"{begin}{first.where}: {first.what}{more}; {first.why}; {first.do}")
    command = f"sightline check {images.source}{f' --pages {images.pages}' if images.pages else ''}"
    count = sum(map(len, told.values()))
    if count > len(lines):
        lines.append(f"{count} findings about the images in all; `{command}` shows them")
    if looks is None:
        lines.append(
            f"looking at each image would take more than {duration(seconds)}; run `{command}` for near "
            "duplicates"
        )
    return lines


def _of_our_split(case: Case) -> Case:
    do = (
        "remove one of the two; or keep them on one side: `sightline check DATA --together FILE.csv`, then "
        "`sightline train FILE.csv --group-by together`"
    )
    return dataclasses.replace(case, finding=dataclasses.replace(case.finding, do=do))


def _sorted(cases: list[Case]) -> list[Case]:
    order = ("error", "warning", "info")
    return sorted(cases, key=lambda case: order.index(case.finding.level))


def _near(images: ImageSet, looks: Looks) -> NearPairs:
    """Which images look nearly the same, of those that show something."""
    seen: NDArray[np.bool_] = ~np.isnan(looks.means) & ~plain_images(images, looks)
    return near_pairs(looks, seen, small=bool(np.median(images.sizes) < THUMB))


def _of_looks(images: ImageSet, looks: Looks, near: NearPairs) -> Iterator[Case]:
    """What looking at every image tells."""
    readable: NDArray[np.bool_] = ~np.isnan(looks.means)
    plain = plain_images(images, looks)
    seen = readable & ~plain
    yield from near_copies(images, near)
    yield from wrong_endings(images, looks.formats)
    yield from one_colour(images, plain)
    yield from outliers(images, looks, seen)
    yield from saturated(images, looks, seen)
    yield from constant_channels(images, looks, seen)
    yield from values_in_use(images, looks, seen)


def _of_set(images: ImageSet) -> Iterator[Case]:
    """What is known from opening it."""
    yield from mixture(images)
    yield from _classes(images)
    yield from _groups(images)


def _classes(images: ImageSet) -> Iterator[Case]:
    counts = images.counts()
    for label, count in zip(images.classes, counts.tolist(), strict=True):
        if count < RARE:
            yield make_case(
                "Classes",
                "warning",
                label,
                f"class {label!r} has {count} image{'s' * (count != 1)}",
                "too few to learn it, or to say how well it was learned",
                "add images, or leave the class out",
            )
    if len(counts) > 1 and counts.max() >= 10 * counts.min():
        large, small = images.classes[int(counts.argmax())], images.classes[int(counts.argmin())]
        yield make_case(
            "Classes",
            "info",
            images.source,
            f"class {large!r} has {counts.max()} images, {small!r} has {counts.min()}",
            "accuracy is mostly that of the large classes",
            "read the balanced accuracy; see --balance",
        )


def _groups(images: ImageSet, own_parts: bool = True) -> Iterator[Case]:
    """Groups that names suggest; `own_parts` says whether the parts are the set's own."""
    if images.root is None or images.groups is not None:
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
        yield make_case(
            "Groups",
            "warning",
            images.source,
            f"{what}; {found.divided} are in two parts or more",
            "images of one group are alike, so scores are on groups that were trained on",
            f"{do}, with the images not divided into parts" if own_parts else do,
        )
    else:
        why = "a split that divides a group measures memory"
        yield make_case("Groups", "info", images.source, what, why, do)


def _of_opening(images: ImageSet) -> Iterator[Case]:
    """What `open_images` noticed; unreadable files are told one by one elsewhere."""
    for finding in images.findings:
        if "files cannot be read" not in finding.what:
            yield Case(kind="The set", finding=finding)
