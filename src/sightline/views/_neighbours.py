"""Points of many dimensions: seen in two, and who lies beside whom."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
"""(images, values)."""

_BLOCK = 512
_EXACT = 1024
_MOST_FOR_SILHOUETTE = 2000


def principal(features: Features, count: int = 2, seed: int = 0) -> tuple[Features, NDArray[np.float64]]:
    """The directions in which points vary most: the singular vectors of what is left of the mean.

    Each direction's sign is that of its largest weight.

    Args:
        features: The points.
        count: How many directions; no more than there are values or points.
        seed: Of a random start, where there are so many points and values that it is not done in full.

    Returns:
        (images, count) coordinates, and the share of the variance of each.
    """
    centred: NDArray[Any] = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    count = min(count, *centred.shape)
    u: NDArray[Any]
    s: NDArray[Any]
    vt: NDArray[Any]
    if min(centred.shape) <= _EXACT:
        u, s, vt = np.linalg.svd(centred, full_matrices=False)
    else:
        from sklearn.utils.extmath import randomized_svd

        u, s, vt = randomized_svd(centred, n_components=count, n_iter=7, random_state=seed)
    u, s, vt = u[:, :count], s[:count], vt[:count]
    largest = vt[np.arange(count), np.abs(vt).argmax(axis=1)]
    signs = np.where(largest < 0, -1.0, 1.0)
    total = float((centred**2).sum())
    share = s**2 / total if total > 0 else np.zeros(count)
    return (u * s * signs).astype(np.float32), share


def plane(features: Features, seed: int = 0) -> tuple[Features, NDArray[np.float64]]:
    """`principal` in two directions, the second 0 where there is but one."""
    flat, share = principal(features, 2, seed)
    lacking = 2 - flat.shape[1]
    return np.pad(flat, ((0, 0), (0, lacking))), np.pad(share, (0, lacking))


def directions(features: Features) -> Features:
    """Points divided by their length; what has none stays. -> the same shape."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    found: Features = (features / np.where(length > 0, length, 1.0)).astype(np.float32)
    return found


def nearest(features: Features, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each point the others whose direction is closest, by the cosine, block by block.

    Args:
        features: The points.
        count: How many; no more than there are others.

    Returns:
        (images, count) which, the closest first; and their cosines. Of equals, the first.
    """
    unit = directions(features)
    count = min(count, len(unit) - 1)
    found = np.empty((len(unit), count), dtype=np.int64)
    cosines = np.empty((len(unit), count), dtype=np.float32)
    for start in range(0, len(unit), _BLOCK):
        block = unit[start : start + _BLOCK] @ unit.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -np.inf  # itself
        order = np.argsort(-block, axis=1, kind="stable")[:, :count]
        found[start : start + len(block)] = order
        cosines[start : start + len(block)] = np.take_along_axis(block, order, axis=1)
    return found, cosines


def majority(neighbours: NDArray[np.int64], targets: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """The class of most of a point's neighbours; of equals, that of the closest.

    Args:
        neighbours: (images, count), as `nearest` gives them.
        targets: (images,) their classes.
        classes: How many classes there are.

    Returns:
        (images,) classes.
    """
    of = targets[neighbours]
    votes = np.zeros((len(of), classes))
    for k in range(of.shape[1]):
        votes[np.arange(len(of)), of[:, k]] += 1 + 0.5 ** (k + 2)  # a closer one outweighs all that follow
    found: NDArray[np.int64] = votes.argmax(axis=1)
    return found


@dataclasses.dataclass(frozen=True)
class Separation:
    """How far classes lie apart."""

    accuracy: float | None
    """Share of points whose neighbours' class is theirs; None where no class has two, or there is but one."""
    chance: float | None
    """The share of the largest class."""
    silhouette: float | None
    """From -1 to 1, of cosines: how much closer a point is to its own class than to the next one; None where
    there are not two classes of two."""
    silhouette_of: int
    """Points it was measured on."""


def separation(
    features: Features, targets: NDArray[np.int64], classes: int, neighbours: NDArray[np.int64], seed: int = 0
) -> Separation:
    """Numbers of how well the classes are told apart; each point is left out of its own vote.

    Args:
        features: The points.
        targets: (images,) their classes.
        classes: How many classes there are.
        neighbours: As `nearest` gives them.
        seed: Of which points the silhouette is measured on, where there are many.
    """
    counts = np.bincount(targets, minlength=classes)
    if counts.max(initial=0) < 2 or (counts > 0).sum() < 2:
        return Separation(None, None, None, 0)
    accuracy = float((majority(neighbours, targets, classes) == targets).mean())
    chance = float(counts.max() / len(targets))
    kept = np.flatnonzero(counts[targets] > 1)
    if len(kept) > _MOST_FOR_SILHOUETTE:
        kept = np.sort(np.random.default_rng(seed).choice(kept, _MOST_FOR_SILHOUETTE, replace=False))
    present = len(np.unique(targets[kept]))
    if not 2 <= present < len(kept):
        return Separation(accuracy, chance, None, 0)
    from sklearn.metrics import silhouette_score

    value = float(silhouette_score(features[kept], targets[kept], metric="cosine"))
    return Separation(accuracy, chance, value, len(kept))


def neighbour_map(features: Features, seed: int = 0) -> NDArray[np.float32]:
    """t-SNE: points that are neighbours are laid beside each other. -> (images, 2).

    Of directions, on their first 50 principal ones, from the first two. Distances between far groups, and
    the size of a group, mean nothing.

    Source: van der Maaten and Hinton 2008, "Visualizing Data using t-SNE".
    """
    from sklearn.manifold import TSNE

    reduced, _ = principal(directions(features), 50, seed)
    if reduced.shape[1] < 2 or len(reduced) < 5:
        return plane(features, seed)[0]
    perplexity = min(30.0, (len(reduced) - 1) / 3)
    tsne = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed)
    found: NDArray[np.float32] = tsne.fit_transform(reduced).astype(np.float32)
    return found


def spread_out(
    points: NDArray[np.floating], page: tuple[int, int], side: int, most: int, reach: int = 0
) -> list[tuple[int, int, int]]:
    """Which points have room for a square about them, in the order given.

    Args:
        points: (N, 2), across and up.
        page: (height, width) in pixels.
        side: Of a square.
        most: At most so many.
        reach: How far from its place, in pixels, a square may lie where that is taken.

    Returns:
        (point, top, left) of squares that lie on the page and do not overlap.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    place = (points - low) / np.where(high > low, high - low, 1.0)
    lefts = np.rint(place[:, 0] * (page[1] - side)).astype(int)
    tops = np.rint((1 - place[:, 1]) * (page[0] - side)).astype(int)
    step = max(1, side // 2)
    about = np.arange(-(reach // step), reach // step + 1) * step
    moves = np.stack(np.meshgrid(about, about, indexing="ij"), axis=-1).reshape(-1, 2)
    far = np.hypot(*moves.T)
    moves = moves[np.argsort(far, kind="stable")][: int((far <= reach).sum())]
    chosen: list[tuple[int, int, int]] = []
    taken = np.empty((0, 2), dtype=int)
    room = np.array([page[0] - side, page[1] - side])
    for k, spot in enumerate(np.stack([tops, lefts], axis=1)):
        if len(chosen) == most:
            break
        spots = spot + moves
        spots = spots[((spots >= 0) & (spots <= room)).all(axis=1)]
        free = ~(np.abs(taken[None] - spots[:, None]) < side).all(axis=2).any(axis=1)
        if free.any():
            found = spots[free.argmax()]
            chosen.append((k, int(found[0]), int(found[1])))
            taken = np.concatenate([taken, found[None]])
    return chosen
