"""Likely mislabelled images as a page, and a set's labels with the corrections as a CSV to train on."""

from __future__ import annotations

import csv
import io
import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from sightline.base import shown, write_text
from sightline.data import ImageSet, check_sayable, path_cells, path_columns
from sightline.evaluation._labels import LabelIssue, LabelReview
from sightline.evaluation.report._page import write_page
from sightline.evaluation.report._pictures import thumbnail

MAX_SHOWN = 150
"""Images on the page; the CSV has all."""
PICTURE_BYTES = 1_100_000
"""Of all of them, before base64."""
MAX_PAIRS = 20
"""Pairs of a given and a suggested class in the table."""
MAX_CLASSES = 50
"""Classes named that were left alone."""

_OWN = ("given", "suggested", "probability_given", "probability_suggested")


def write_label_page(
    path: Path, review: LabelReview, *, corrections: Path | None = None, note: str = ""
) -> None:
    """Write the likely mislabelled images as one HTML file below 2 MB that needs nothing else.

    Args:
        path: The file to write.
        review: What was found.
        corrections: The CSV that `write_corrections` wrote, if it did.
        note: Of corrections, what to know; without them, why there are none.

    Raises:
        StorageError: if the disk refuses; an older page is untouched.
    """
    images, issues = review.images, review.issues
    told = issues[:MAX_SHOWN]
    cap = min(12_000, PICTURE_BYTES // max(1, len(told)))
    pairs = Counter((issue.given, issue.suggested) for issue in issues)
    write_page(
        path,
        "labels.html.j2",
        source=images.source,
        total=len(review.indices),
        all_images=len(images),
        found=len(issues),
        folds=len(set(review.folds.tolist())),
        tiles=[_tile(images, issue, cap) for issue in told],
        pairs=[
            {"given": given, "suggested": suggested, "count": count}
            for (given, suggested), count in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
        ][:MAX_PAIRS],
        num_pairs=len(pairs),
        left_alone=[{"name": name, "why": why} for name, why in review.left_alone.items()][:MAX_CLASSES],
        num_left_alone=len(review.left_alone),
        corrections=None if corrections is None else corrections.name,
        folder=path.parent.as_posix(),
        command=_command(images, corrections),
        note=note,
        agreement=review.agreement,
        caution=review.caution,
    )


def write_corrections(path: Path, review: LabelReview, images: ImageSet | None = None) -> Path:
    """Write a set's labels, with the suggested one where there is one, as a CSV that `open_images` reads.

    Where the review has a caution, more labels would be made wrong than right: then `label` is as given, and
    only the column `suggested` tells the other.

    Its columns are `path` (absolute; `path:NAME` a channel where each is a file) and `label`; `split` where
    the set has parts; `given`, `probability_given` and, of a likely mislabelled image, `suggested` and
    `probability_suggested`; then what else a CSV said of the images. The likely mislabelled come first, the
    least probable label at the top. Of a set that has no files, the first column is `image`, the image's name
    in the set, and the CSV is one to read and not to open.

    A file that exists with other content, which a person may have edited, is not replaced: the name then gets
    the first number that is free.

    Args:
        path: Where; ends in `.csv`.
        review: What was found.
        images: What to write, if not just the images that the folds divided: with those held back as test.
            Of an image that is not in the review, the probabilities stay empty.

    Returns:
        The file written, or one that has this content already.

    Raises:
        DataError: if a path or a class is one that a CSV cannot say: it has a control character, a backslash,
            or a space at an end, or is not Unicode.
        StorageError: if the disk refuses.
    """
    content = _table(review, review.images if images is None else images)
    number = 1
    free = path
    while os.path.lexists(free) and not _has(free, content):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    if not os.path.lexists(free):
        write_text(free, content)
    return free


def _tile(images: ImageSet, issue: LabelIssue, cap: int) -> dict[str, Any]:
    return {
        "image": thumbnail(images, issue.index, box=180, cap=cap),
        "name": shown(issue.name),
        "copies": [shown(name) for name in issue.copies[:4]],
        "more_copies": max(0, len(issue.copies) - 4),
        "given": issue.given,
        "suggested": issue.suggested,
        "probability_given": issue.probability_given,
        "probability_suggested": issue.probability_suggested,
        "fold": issue.fold,
    }


def _command(images: ImageSet, corrections: Path | None) -> str | None:
    """What trains on the corrections."""
    if corrections is None or images.root is None:
        return None
    pages = f" --pages {shlex.quote(images.pages)}" if images.pages else ""
    group_by = f" --group-by {shlex.quote(images.grouped_by)}" if images.grouped_by else ""
    return f"sightline train {shlex.quote(shown(str(corrections)))}{pages}{group_by}"


def _table(review: LabelReview, images: ImageSet) -> str:
    """The CSV as text."""
    parts = images.parts[0] is not None if len(images) else False
    others = [name for name in images.columns if name not in _OWN]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *(["image"] if images.root is None else path_columns(images)),
            "label",
            *(["split"] if parts else []),
            *_OWN,
            *others,
        ]
    )
    issues = {(issue.name, review.images.digests[issue.index]): issue for issue in review.issues}
    judged = {
        (review.images.names[i], review.images.digests[i]): row
        for row, i in enumerate(review.indices.tolist())
    }
    keys = list(zip(images.names, images.digests, strict=True))
    place = {key: number for number, key in enumerate(issues)}
    for i in sorted(range(len(images)), key=lambda i: (place.get(keys[i], len(place)), images.names[i])):
        issue, row = issues.get(keys[i]), judged.get(keys[i])
        given = images.classes[images.targets[i]]
        own = [given, "", "", ""]
        if row is not None:
            target = review.images.targets[review.indices[row]]
            own[2] = f"{review.probabilities[row, target]:.4f}"
        if issue is not None:
            own[1], own[3] = issue.suggested, f"{issue.probability_suggested:.4f}"
        label = given if issue is None or review.caution else issue.suggested
        for name in (label, given):
            if images.root is not None:
                check_sayable("class", name)
        part = [images.parts[i]] if parts else []
        cells = [shown(images.names[i])] if images.root is None else path_cells(images, i)
        writer.writerow([*cells, label, *part, *own, *(images.columns[name][i] for name in others)])
    return text.getvalue()


def _has(path: Path, content: str) -> bool:
    try:
        return path.read_bytes() == content.encode()
    except OSError:
        return False
