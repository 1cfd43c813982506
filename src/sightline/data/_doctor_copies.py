"""Copies and near copies: leaks, label faults and mere repeats."""

from __future__ import annotations

from collections import defaultdict

from sightline.data._doctor_case import Case, capped, make_case
from sightline.data._doctor_looks import NearPairs
from sightline.data._image_set import PARTS, ImageSet
from sightline.data._together import together


def exact_copies(images: ImageSet) -> list[Case]:
    """Files that are the same byte for byte, each with the first of them."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, digest in enumerate(images.digests):
        members[digest].append(i)
    pairs = [(group[0], other, 1.0) for group in members.values() for other in group[1:]]
    return _told(images, pairs, "is the same, byte for byte, as", "exact")


def near_copies(images: ImageSet, found: NearPairs) -> list[Case]:
    """Files that show nearly the same, but are not the same bytes."""
    pairs = [pair for pair in found.pairs if images.digests[pair[0]] != images.digests[pair[1]]]
    cases = _told(images, pairs, "is nearly the same as", "near")
    if found.strict:
        cases.append(
            make_case(
                "Near duplicates",
                "info",
                images.source,
                "its images are small, or much alike by nature",
                "many look like one another, so only pairs that agree almost exactly are told",
                "nothing, or look at the pairs that are told",
            )
        )
    _, chains = together(len(images), pairs)
    if chains:
        cases.append(
            make_case(
                "Near duplicates",
                "info",
                images.source,
                f"{len(chains)} chains of near duplicates have {', '.join(map(str, chains[:4]))} images",
                "kept on one side of a split, they would be most of it: --together leaves them apart",
                "look whether they are frames of one film, and group them by --group-by",
            )
        )
    if found.skipped:
        cases.append(
            make_case(
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
                make_case(
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
                make_case(
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
                make_case(
                    "Exact duplicates" if certain else "Near duplicates",
                    "info",
                    names[0],
                    what,
                    "it counts twice; a split made here keeps the two together"
                    if certain
                    else "it counts twice; a split may put the two on two sides",
                    "keep one" if certain else "look at the two; keep one, or see --together",
                    names=names,
                    quarantine=((names[1], f"copy of {names[0]}"),) if certain else (),
                )
            )
    return capped(leaks) + capped(faults) + capped(repeats)


def _place(images: ImageSet, index: int) -> int:
    part = images.parts[index]
    return 0 if part is None else PARTS.index(part)
