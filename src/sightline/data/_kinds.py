"""What a set's images have in common: depth and channels. One that differs is named, never made to fit."""

from __future__ import annotations

import dataclasses
from collections import Counter

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
    channels, depths = records.channels.tolist(), records.depths.tolist()
    kinds = [(depth, 0 if count in (1, 3) else count) for depth, count in zip(depths, channels, strict=True)]
    counts = Counter(kind for kind, error in zip(kinds, records.errors, strict=True) if not error)
    if not counts:
        return Kind(channels=1, depth="uint8"), {}
    usual = max(counts, key=lambda kind: (counts[kind], kind))
    most = f"{_SAID[DEPTHS[usual[0]]]}{f' with {usual[1]} channels' if usual[1] else ''}"
    strays = {
        row: f"is {_SAID[DEPTHS[kind[0]]]} with {channels[row]} channel{'s' * (channels[row] > 1)}, "
        f"and most images of the set are {most}"
        for row, kind in enumerate(kinds)
        if kind != usual and not records.errors[row]
    }
    of_kind = [channels[row] for row in np.flatnonzero([kind == usual for kind in kinds]) if channels[row]]
    return Kind(channels=max(of_kind), depth=DEPTHS[usual[0]]), strays


def without(records: Records, strays: dict[int, str]) -> Records:
    """The records with images that are left out as errors."""
    errors = [strays.get(row, error) for row, error in enumerate(records.errors)]
    return dataclasses.replace(records, errors=errors)
