"""Which images of a set look nearly the same.

Pairs that share one of the bands of their hashes are candidates; a candidate is kept where few bits differ
and the 32x32 pixels agree, also where one image is a slight crop of the other. Of deeper images, two of one
size that differ by less than 8 bits would show, but by more than their noise, are two images: what tells them
apart is in their low bits. Pairs are never joined into chains.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sightline.data._doctor_look import THUMB
from sightline.data._doctor_pass import Looks

MAX_BITS = 10
"""The most bits of 64 in which two hashes of a near pair differ."""

MIN_AGREEMENT = 0.955
"""The least correlation of the pixels of a near pair. Unlike photographs of flowers reach 0.951."""

STRICT_AGREEMENT = 0.995
"""The same, where images of a set are alike by nature."""

_ALIKE_FROM, _ALIKE_BY_NATURE, _MANY_TWINS = 50, 0.1, 5
"""The strict bound holds from so many images, if more than this share have a near twin, and of those the mean
has more than so many: copies come in pairs, likeness does not."""

_WORTH_ALIGNING = 0.7
_MAX_ALIGNED, _ALIGNED_EACH = 2_000, 3
"""Candidates, in all or an image, above which crops are not tried: images so alike give no answer."""
_MAX_BUCKET = 1_000
"""Images of one band; of more, the rest is compared by the other bands alone."""
_MAX_CANDIDATES = 1_000_000
_SMALL_BITS = 4
"""As `MAX_BITS`, where images are small and must agree almost exactly."""
_FINE_BANDS_FROM = 100_000
_AT_ONCE = 4_096
_VISIBLE = 1.0
"""A difference of two images, of 255, that 8 bits would show."""
_ABOVE_NOISE = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NearPairs:
    """Images that are nearly the same."""

    pairs: list[tuple[int, int, float]]
    """Two indices, the lower first, and how well the pixels agree, at most 1; the best first."""
    strict: bool
    """Whether the images are small or alike by nature, and the strict bound was used."""
    skipped: int
    """Comparisons left out, of images that share a band with very many."""


def near_pairs(looks: Looks, wanted: NDArray[np.bool_], *, small: bool = False) -> NearPairs:
    """Pairs of images that are nearly the same: resized, saved again, brighter, slightly cropped.

    Args:
        looks: Of N images.
        wanted: (N,) which are compared; leave out what is of one colour, which agrees with anything.
        small: Whether the images are smaller than what they are compared at, so that the strict bound holds.
    """
    indices = np.flatnonzero(wanted)
    pairs: list[tuple[int, int, float]] = []
    candidates, skipped = _candidates(looks.hashes[indices], _SMALL_BITS if small else MAX_BITS)
    aligned = len(candidates) <= max(_MAX_ALIGNED, _ALIGNED_EACH * len(indices))
    for start in range(0, len(candidates), _AT_ONCE):
        part = indices[candidates[start : start + _AT_ONCE]]
        agreement = _agreements(looks.thumbs, part, aligned)
        kept = (agreement >= MIN_AGREEMENT) & ~_differ_in_low_bits(looks, part)
        pairs += zip(*part[kept].T.tolist(), agreement[kept].tolist(), strict=True)
    twins = {i for one, two, _ in pairs for i in (one, two)}
    alike = len(twins) > _ALIKE_BY_NATURE * len(indices) and 2 * len(pairs) > _MANY_TWINS * len(twins)
    strict = small or (len(indices) >= _ALIKE_FROM and alike)
    if strict:
        pairs = [pair for pair in pairs if pair[2] >= STRICT_AGREEMENT]
    pairs.sort(key=lambda pair: (-pair[2], pair[0], pair[1]))
    return NearPairs(pairs=pairs, strict=strict, skipped=skipped)


def _candidates(hashes: NDArray[np.uint64], most_bits: int = MAX_BITS) -> tuple[NDArray[np.int64], int]:
    """Pairs that share a band and differ in few bits. -> (P, 2), sorted; and how many were left out."""
    width = 16 if len(hashes) >= _FINE_BANDS_FROM else 8
    mask = np.uint64((1 << width) - 1)
    found = [np.empty((0, 2), dtype=np.int64)]
    skipped = total = 0
    for shift in range(0, 64, width):
        band = (hashes >> np.uint64(shift)) & mask
        order = np.argsort(band, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            members = np.sort(bucket[:_MAX_BUCKET])
            skipped += (len(bucket) * (len(bucket) - 1) - len(members) * (len(members) - 1)) // 2
            if len(members) < 2:
                continue
            apart = hashes[members, None] ^ hashes[members]
            one, two = np.nonzero(np.triu(np.bitwise_count(apart) <= most_bits, k=1))
            between, new = apart[one, two], np.ones(len(one), dtype=bool)
            for earlier in range(0, shift, width):  # a pair counts in the first band it shares
                new &= (between >> np.uint64(earlier)) & mask != 0
            pairs = np.stack([members[one[new]], members[two[new]]], axis=1)
            kept = pairs[: max(0, _MAX_CANDIDATES - total)]
            skipped += len(pairs) - len(kept)
            total += len(kept)
            found.append(kept)
    candidates = np.concatenate(found)
    return candidates[np.lexsort((candidates[:, 1], candidates[:, 0]))], skipped


def _differ_in_low_bits(looks: Looks, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether two images of one size differ by less than 8 bits show, yet by more than noise. (P, 2) -> (P,).

    One is fitted to the other first (gain and offset), so that a brighter copy is a copy.
    """
    differ = np.zeros(len(pairs), dtype=bool)
    if looks.thumbs.dtype == np.uint8 or not len(pairs):
        return differ
    one, two = (looks.thumbs[pairs[:, k]].reshape(len(pairs), -1).astype(np.float64) for k in (0, 1))
    one -= one.mean(axis=1, keepdims=True)
    two -= two.mean(axis=1, keepdims=True)
    gain = (one * two).sum(axis=1) / np.maximum((one**2).sum(axis=1), 1e-12)
    rest = np.sqrt(((two - gain[:, None] * one) ** 2).mean(axis=1))
    noise = np.hypot(gain * looks.noises[pairs[:, 0]], looks.noises[pairs[:, 1]])
    same_size = (looks.sizes[pairs[:, 0]] == looks.sizes[pairs[:, 1]]).all(axis=1)
    return np.asarray(same_size & (rest < _VISIBLE) & (rest > _ABOVE_NOISE * noise))


def _agreements(
    thumbs: NDArray[np.uint8] | NDArray[np.float32], pairs: NDArray[np.int64], aligned: bool
) -> NDArray[np.float64]:
    """Correlation of the pixels of each pair; the best over slight crops where it may help. -> (P,)."""
    one, two = thumbs[pairs[:, 0]].astype(np.float32), thumbs[pairs[:, 1]].astype(np.float32)
    best = (_standard(one) * _standard(two)).sum(axis=1)
    unsure = (best >= _WORTH_ALIGNING) & (best < MIN_AGREEMENT)
    if aligned and unsure.any():
        a, b = one[unsure], two[unsure]
        tried = [best[unsure]]
        for rows in _CROPS:
            for columns in _CROPS:
                tried.append((_standard(rows @ a @ columns.T) * _standard(b)).sum(axis=1))
                tried.append((_standard(rows @ b @ columns.T) * _standard(a)).sum(axis=1))
        best[unsure] = np.max(tried, axis=0)
    return np.asarray(best, dtype=np.float64)


def _crop_matrix(first: float, length: float) -> NDArray[np.float32]:
    """(32, 32): takes a line of pixels to what a crop of it, scaled back, would be (linear)."""
    at = np.clip(first + (np.arange(THUMB) + 0.5) * length / THUMB - 0.5, 0, THUMB - 1)
    low = np.minimum(at.astype(int), THUMB - 2)
    matrix = np.zeros((THUMB, THUMB), dtype=np.float32)
    matrix[np.arange(THUMB), low] = 1 - (at - low)
    matrix[np.arange(THUMB), low + 1] = at - low
    return matrix


_CROPS = [
    _crop_matrix(THUMB * cut * place, THUMB * (1 - cut))
    for cut, places in ((0.0, (0.0,)), (0.03, (0.0, 0.5, 1.0)), (0.06, (0.0, 0.5, 1.0)))
    for place in places
]


def _standard(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each image as a vector of mean 0 and length 1, so that a product is a correlation. -> (P, 1024)."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(norms, 1e-6), dtype=np.float32)
