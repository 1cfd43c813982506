"""What a set's images have in common: depth and channels. One that differs is named, never made to fit."""

from __future__ import annotations

import dataclasses

import numpy as np

from sightline.data._index import DEPTHS, Records
from sightline.imaging import Depth

_SAID: dict[Depth, str] = {"uint8": "8-bit", "uint16": "16-bit", "float32": "floating-point"}


@dataclasses.dataclass(frozen=True)
class Kind:
    """Depth and channels of a set."""

    channels: int
    depth: Depth


def common_kind(records: Records) -> tuple[Kind, dict[int, str]]:
    """The kind of most readable images, grey and colour being one; and why each of another is left out.

    Args:
        records: Of N files.

    Returns:
        The kind, its channels 3 where any image of it is of colour; and reasons by row.
    """
    merged = np.where(np.isin(records.channels, (1, 3)), 0, records.channels).astype(np.int64)
    kinds = (records.depths.astype(np.int64) << 32) + merged  # the order of numbers is that of pairs
    readable = np.array([not error for error in records.errors], dtype=np.bool_)
    if not readable.any():
        return Kind(channels=1, depth="uint8"), {}
    found, counts = np.unique(kinds[readable], return_counts=True)
    usual = int(found[len(counts) - 1 - counts[::-1].argmax()])  # of equally many, the greatest
    count, depth = usual & (2**32 - 1), DEPTHS[usual >> 32]
    most = f"{_SAID[depth]}{f' with {count} channels' if count else ''}"
    strays = {
        row: f"is {_SAID[DEPTHS[records.depths[row]]]} with {records.channels[row]} "
        f"channel{'s' if records.channels[row] > 1 else ''}, and most images of the set are {most}"
        for row in np.flatnonzero((kinds != usual) & readable).tolist()
    }
    return Kind(channels=int(records.channels[kinds == usual].max()), depth=depth), strays


def without(records: Records, strays: dict[int, str]) -> Records:
    """The records with images that are left out as errors."""
    if not strays:
        return records
    errors = [strays.get(row, error) for row, error in enumerate(records.errors)]
    return dataclasses.replace(records, errors=errors)
