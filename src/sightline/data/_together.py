"""Near duplicates that belong on one side of a split, as a CSV to train on.

A split must be the same on every machine and after a resume, and whether two images are nearly the same
depends on the decoder. So near duplicates are not kept together behind the user's back: their groups are
written down once, and `--group-by together` goes by what is written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.base import DataError, write_text
from sightline.data._csv import check_sayable, path_cells, path_columns
from sightline.data._image_set import ImageSet

MOST_TOGETHER = 10
"""Images that may be in one group, or 1 % of the set if that is more; larger ones are chains."""

COLUMN = "together"


def together(count: int, pairs: Sequence[tuple[int, int, float]]) -> tuple[NDArray[np.int64], list[int]]:
    """Which of some images belong together, by pairs of near duplicates.

    Args:
        count: Images.
        pairs: Of two indices, and how well they agree.

    Returns:
        (count,) the first image of each one's group, itself where it is alone; and the sizes of the chains
        that were not joined, for they are too long.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    number, labels = connected_components(graph, directed=False)
    sizes = np.bincount(labels, minlength=number)
    first = np.full(number, count, dtype=np.int64)
    np.minimum.at(first, labels, np.arange(count))
    long = sizes > max(MOST_TOGETHER, count // 100)
    groups = np.where(long[labels], np.arange(count), first[labels])
    return groups, sizes[long].tolist()


def write_together(path: Path, images: ImageSet, pairs: Sequence[tuple[int, int, float]]) -> None:
    """Write a set as a CSV whose column `together` says which images are near duplicates of each other.

    Args:
        path: The file to write.
        images: The set, of files.
        pairs: As of `together`.

    Raises:
        DataError: if the images are no files, or one has a name that a CSV cannot say.
        StorageError: if it cannot be written.
    """
    if images.root is None:
        raise DataError(f"{images.source} has no files to list: its images are in arrays")
    groups, _ = together(len(images), pairs)
    parts = images.parts[0] is not None
    others = [name for name in images.columns if name != COLUMN]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*path_columns(images), "label", *(["split"] if parts else []), COLUMN, *others])
    for i, group in enumerate(groups.tolist()):
        label = images.classes[images.targets[i]]
        check_sayable("class", label)
        cells = path_cells(images, i)
        part = [images.parts[i]] if parts else []
        writer.writerow([*cells, label, *part, f"{group:06d}", *(images.columns[name][i] for name in others)])
    write_text(path, text.getvalue())
