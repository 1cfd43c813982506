"""Images that are likely filed under the wrong class, from what networks said that did not see them.

Source: Northcutt, Jiang, Chuang 2021, "Confident learning: estimating uncertainty in dataset labels",
JAIR 70, sections 3.1 and 3.2: a class's threshold is the mean probability of that class over the images filed
under it, and an image is counted under the most probable class that reaches its threshold. Those counted
under another class than their own, the off-diagonal of the confident joint, are likely mislabelled.

Deviations:

- The suggested class must be more probable than the given one: nobody is told to change a label to one that
  the network itself believes less.
- Images that are the same byte for byte and filed under several classes are judged together: one of the
  labels is wrong for certain, so each of those classes can be suggested without reaching its threshold.
- A class of fewer than `MIN_IMAGES` images, or of which more than half would be told to be wrong, was not
  learned, or its name is wrong: neither can be seen from its images. It is left alone and named; it is
  suggested only for copies that are filed under it too.

The least probable label is first (the paper's self-confidence): of the images that a network answers
otherwise, it tells the wrong labels from the network's own mistakes better than the margin between the two
classes does. `benchmarks/mislabelled.py` measures it.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import shown
from sightline.data import ImageSet
from sightline.evaluation._evaluation import Evaluation

MIN_IMAGES = 5
"""Images of a class from which a threshold can be told."""

SURE_AGREEMENT = 0.9
"""Where fewer images are answered as they are filed, most of what is told may be the networks' mistake.

Chosen between two measurements: of what was told, 2 % was sound at 94 %, and 83 % at 64 %."""

_ROUNDING = 1e-9
"""What a mean of equal probabilities can be above them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelIssue:
    """An image that is likely mislabelled."""

    index: int
    """Its row in what was judged; of a `LabelReview`, its place in the set."""
    name: str
    """Its name in the set."""
    given: str
    """The class it is filed under."""
    suggested: str
    """The class it likely is of."""
    probability_given: float
    probability_suggested: float
    fold: int | None = None
    """The fold, from 1, whose network judged it: it was not trained on it. None where that is not told."""
    copies: tuple[str, ...] = ()
    """Names of images that are the same byte for byte and filed under another class."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of an issue."""
        return {
            "path": shown(self.name),
            "given": self.given,
            "suggested": self.suggested,
            "probability_given": self.probability_given,
            "probability_suggested": self.probability_suggested,
            "fold": self.fold,
            "copies": [shown(name) for name in self.copies],
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelReview:
    """What the networks of several folds say of a set's labels."""

    images: ImageSet
    indices: NDArray[np.int64]
    """(M,) the images judged, in the set's order."""
    probabilities: NDArray[np.float64]
    """(M, C), each by the network of the one fold that it was kept from."""
    folds: NDArray[np.int64]
    """(M,) that fold, from 1."""
    issues: tuple[LabelIssue, ...]
    """The least probable label first."""
    left_alone: Mapping[str, str]
    """Classes whose labels could not be judged, and why."""

    @property
    def agreement(self) -> float:
        """The share of the images judged that are answered as they are filed; 0 of none."""
        if not len(self.indices):
            return 0.0
        return float((self.probabilities.argmax(axis=1) == self.images.targets[self.indices]).mean())

    @property
    def caution(self) -> str:
        """A word on networks that are often wrong themselves; empty where they are not."""
        if not self.issues or self.agreement >= SURE_AGREEMENT:
            return ""
        return (
            f"the networks answer only {100 * self.agreement:.1f} % of the images as they are filed, so that "
            "much of this is their own mistake: check each suggestion before it is used"
        )

    def describe(self) -> str:
        """The count in a line: `4 of 1,797 images are likely mislabelled`."""
        count, total = len(self.issues), len(self.indices)
        if not count:
            return f"none of {total:,} images is likely mislabelled"
        return f"{count:,} of {total:,} images {'is' if count == 1 else 'are'} likely mislabelled"


def class_thresholds(
    probabilities: NDArray[np.floating[Any]], targets: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """From which probability on an image counts as one of a class: the mean over those filed under it.

    Args:
        probabilities: What was said of each image by a network not trained on it.
        targets: The given classes.

    Shape:
        (N, C), (N,) -> (C,); NaN for a class that no image is filed under.

    Example:
        >>> class_thresholds(np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]), np.array([0, 0, 1]))
        array([0.7, 0.8])

    Source: Northcutt, Jiang, Chuang 2021, equation 2.
    """
    own = probabilities[np.arange(len(targets)), targets].astype(np.float64)
    classes = probabilities.shape[1]
    counts = np.bincount(targets, minlength=classes)
    sums = np.bincount(targets, weights=own, minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def likely_mislabelled(
    probabilities: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    *,
    names: Sequence[str],
    classes: Sequence[str],
    digests: Sequence[str] | None = None,
    folds: NDArray[np.integer[Any]] | None = None,
) -> list[LabelIssue]:
    """The images that are likely mislabelled, by confident learning; the module says how it deviates.

    Args:
        probabilities: What was said of each image by a network not trained on it; each row sums to 1. Those
            of several networks must mean the same, as calibrated ones do.
        targets: The given classes.
        names: Of the images.
        classes: Their names, in the order of the columns.
        digests: Of each image's bytes, to find copies under several classes; None where there are none.
        folds: Which fold judged each image, from 1.

    Shape:
        (N, C), (N,) -> a list, the least probable label first; of equal ones, the most probable
        suggestion, then by name.

    Raises:
        ValueError: if lengths differ, a row is no distribution, or a target is no class.

    Example:
        >>> p = np.array([[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5 + [[0.05, 0.95]])
        >>> given = np.array([0] * 5 + [1] * 5 + [0])
        >>> (found,) = likely_mislabelled(p, given, names=[*"abcdefghijk"], classes=["cat", "dog"])
        >>> found.name, found.given, found.suggested, found.probability_given
        ('k', 'cat', 'dog', 0.05)

    Source: Northcutt, Jiang, Chuang 2021, sections 3.1 and 3.2.
    """
    _check(probabilities, targets, len(names), len(classes), digests, folds)
    suggested, _ = _suggest(probabilities, targets, _filed_twice(targets, digests))
    return _issues(suggested, probabilities, targets, names, classes, digests, folds)


def review_labels(evaluations: Sequence[Evaluation]) -> LabelReview:
    """Judge a set's labels by what each fold's network said of the images that it was not trained on.

    The probabilities are those after each network's own temperature, so that those of one network mean the
    same as those of another.

    Args:
        evaluations: One a fold, in order. Of a fold that was judged on other than its test images, or on ones
            not known to be unseen, nothing is used.

    Returns:
        A review of the images of the other folds.

    Raises:
        ValueError: if there is no evaluation, they are of different sets, or two judge the same image.
    """
    if not evaluations:
        raise ValueError("evaluations is empty; there is nothing to review")
    images = evaluations[0].images
    if any(
        (one.images.names, one.images.digests, one.images.classes)
        != (images.names, images.digests, images.classes)
        for one in evaluations
    ):
        raise ValueError("evaluations are of different image sets")
    used = [
        (number, one.answers)
        for number, one in enumerate(evaluations, start=1)
        if one.part == "test" and one.known_unseen
    ]
    ids = np.array([i for _, answers in used for i in answers.ids.tolist()], dtype=np.int64)
    if len(np.unique(ids)) < len(ids):
        raise ValueError("evaluations share images")
    order = np.argsort(ids)
    indices = ids[order]
    probabilities = np.concatenate(
        [np.empty((0, len(images.classes))), *(answers.probabilities for _, answers in used)]
    )[order]
    folds = np.repeat([number for number, _ in used], [len(answers.ids) for _, answers in used])[order]
    folds = folds.astype(np.int64)
    targets = images.targets[indices]
    digests = [images.digests[i] for i in indices.tolist()]
    suggested, left_alone = _suggest(probabilities, targets, _filed_twice(targets, digests))
    issues = _issues(
        suggested, probabilities, targets, [images.names[i] for i in indices.tolist()], images.classes,
        digests, folds,
    )  # fmt: skip
    return LabelReview(
        images=images,
        indices=indices,
        probabilities=probabilities,
        folds=folds,
        issues=tuple(dataclasses.replace(issue, index=int(indices[issue.index])) for issue in issues),
        left_alone={images.classes[c]: why for c, why in sorted(left_alone.items())},
    )


def _suggest(
    probabilities: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    twice: Sequence[NDArray[np.int64]],
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """The class that each image likely is of, mostly its own; and the classes left alone, each with why.

    Args:
        probabilities: (N, C).
        targets: (N,).
        twice: Rows of images that are the same and filed under several classes.
    """
    num_classes = probabilities.shape[1]
    counts = np.bincount(targets, minlength=num_classes)
    judged = counts >= MIN_IMAGES
    left_alone = {
        int(c): f"{counts[c]} image{'s' if counts[c] > 1 else ''} of it judged; "
        f"fewer than {MIN_IMAGES} say too little"
        for c in np.flatnonzero(~judged & (counts > 0))
    }
    suggested = _most_probable(probabilities, targets, twice, judged)
    wrong = np.bincount(targets[suggested != targets], minlength=num_classes)
    for c in np.flatnonzero(judged & (2 * wrong > counts)).tolist():
        judged[c] = False
        left_alone[c] = (
            f"{wrong[c]} of its {counts[c]} images would be told to be of another class: "
            "it was not learned, or its name is wrong"
        )
    # Fewer classes to choose from make no image suspect that was not: once more is enough.
    return _most_probable(probabilities, targets, twice, judged), left_alone


def _most_probable(
    probabilities: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    twice: Sequence[NDArray[np.int64]],
    judged: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Of each image, the most probable of its given class and the judged ones that reach their threshold."""
    thresholds = np.where(judged, class_thresholds(probabilities, targets) - _ROUNDING, np.inf)
    rows = np.arange(len(targets))
    given = probabilities[rows, targets]
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    best = reached.argmax(axis=1) if len(targets) else np.empty(0, dtype=np.int64)
    changed = judged[targets] & (reached[rows, best] > given)
    suggested = np.where(changed, best, targets).astype(np.int64)
    for same in twice:
        mean = probabilities[same].mean(axis=0)
        candidates = mean >= thresholds
        candidates[targets[same]] = True
        suggested[same] = int(np.where(candidates, mean, -1.0).argmax())
    return suggested


def _filed_twice(targets: NDArray[np.integer[Any]], digests: Sequence[str] | None) -> list[NDArray[np.int64]]:
    """Rows of images that are the same byte for byte and filed under several classes, a group an array."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests or ()):
        rows[digest].append(row)
    return [np.array(same) for same in rows.values() if len(set(targets[same].tolist())) > 1]


def _issues(
    suggested: NDArray[np.int64],
    probabilities: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    names: Sequence[str],
    classes: Sequence[str],
    digests: Sequence[str] | None,
    folds: NDArray[np.integer[Any]] | None,
) -> list[LabelIssue]:
    twins = {int(row): same for same in _filed_twice(targets, digests) for row in same}
    issues = [
        LabelIssue(
            index=i,
            name=names[i],
            given=classes[targets[i]],
            suggested=classes[suggested[i]],
            probability_given=float(probabilities[i, targets[i]]),
            probability_suggested=float(probabilities[i, suggested[i]]),
            fold=None if folds is None else int(folds[i]),
            copies=tuple(names[k] for k in twins.get(i, ()) if targets[k] != targets[i]),
        )
        for i in np.flatnonzero(suggested != targets).tolist()
    ]
    return sorted(
        issues, key=lambda issue: (issue.probability_given, -issue.probability_suggested, issue.name)
    )


def _check(
    probabilities: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    num_names: int,
    num_classes: int,
    digests: Sequence[str] | None,
    folds: NDArray[np.integer[Any]] | None,
) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] != num_classes:
        raise ValueError(f"probabilities must be (N, {num_classes}); they are {probabilities.shape}")
    lengths = {"targets": len(targets), "names": num_names}
    lengths |= {} if digests is None else {"digests": len(digests)}
    lengths |= {} if folds is None else {"folds": len(folds)}
    for what, length in lengths.items():
        if length != len(probabilities):
            raise ValueError(f"{what} has {length} entries, and probabilities {len(probabilities)} rows")
    if not (np.isfinite(probabilities).all() and (probabilities >= 0).all()):
        raise ValueError("probabilities must be 0 or more, and finite")
    if not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-3):
        raise ValueError("each row of probabilities must sum to 1")
    if len(targets) and not (targets.min() >= 0 and targets.max() < num_classes):
        raise ValueError(
            f"targets must be 0 to {num_classes - 1}; they are {targets.min()} to {targets.max()}"
        )
