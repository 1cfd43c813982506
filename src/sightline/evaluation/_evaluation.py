"""What a network scored on some images, and how it is judged on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import Finding, shown
from sightline.data import BatchSource, ImageSet, Progress, open_batches
from sightline.evaluation._scores import ClassificationScores, score
from sightline.inference import (
    Crops,
    Predictor,
    Showing,
    dense,
    shifted_views,
    show,
    stored_protocol,
    ten_crops,
)
from sightline.tasks.classification import Answers, ClassificationMetric
from sightline.zoo import PublishedResult

SHOWN_MISTAKES = 24
"""Mistakes in the JSON of an evaluation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrong answer."""

    index: int
    """The image's place in the set."""
    path: str
    """Its name in the set, as text that can be written anywhere."""
    true: str
    """Its class."""
    predicted: str
    probability: float
    """Of the predicted class."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of a mistake."""
        return {
            "path": self.path,
            "class": self.true,
            "predicted": self.predicted,
            "probability": self.probability,
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What a network scored on the images of an evaluation when they were shown in another way."""

    protocol: str
    answers: Answers
    scores: ClassificationScores

    def describe(self) -> str:
        """The score, its interval, and how the images were shown."""
        low, high = (100 * bound for bound in self.scores.interval)
        return (
            f"accuracy {100 * self.scores.top1:.2f} % (95 % interval {low:.2f} to {high:.2f}), "
            f"top-5 {100 * self.scores.top5:.2f} % by {self.protocol}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `views`."""
        return {
            "protocol": self.protocol,
            "accuracy": self.scores.top1,
            "interval": list(self.scores.interval),
            "top5": self.scores.top5,
        }


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a network scored on one part of a set."""

    images: ImageSet
    indices: NDArray[np.int64]
    """The images judged."""
    part: str
    """`test`, `val`, or `all` of a set that has no parts."""
    selected_on: bool
    """Whether the network was chosen by its score on these images, which is then too good."""
    answers: Answers
    scores: ClassificationScores
    known_unseen: bool = True
    """Whether it is known that none of these images was trained on."""
    findings: tuple[Finding, ...] = ()
    protocol: str = ""
    """How each image was shown, in words; empty where it is not known."""
    views: Shown | None = None
    """By test-time views; they are never in `scores`."""
    published: tuple[PublishedResult, ...] = ()
    """What others measured of such a network on a set that, by its name, these images may be of."""

    def describe(self) -> str:
        """The headline: the score, its interval, and what it was measured on, and how."""
        low, high = (100 * bound for bound in self.scores.interval)
        selected = ", selected on" if self.selected_on else ""
        unsure = "" if self.known_unseen else ", not known to be unseen"
        how = f", {self.protocol.partition(':')[0]}" if self.protocol else ""
        return (
            f"accuracy {100 * self.scores.top1:.2f} % (95 % interval {low:.2f} to {high:.2f}) "
            f"on {self.scores.n} images of {self.images.source} ({self.part}{selected}{unsure}){how}"
        )

    def mistakes(self, count: int) -> tuple[Mistake, ...]:
        """The wrong answers of highest probability, highest first; of equal ones, by path.

        Args:
            count: How many at most.
        """
        answers, names, classes = self.answers, self.images.names, self.images.classes
        predicted, probabilities = answers.predicted, answers.probabilities
        wrong = np.flatnonzero(predicted != answers.targets).tolist()
        wrong.sort(key=lambda i: (-probabilities[i, predicted[i]], names[answers.ids[i]]))
        return tuple(
            Mistake(
                index=int(answers.ids[i]),
                path=shown(names[answers.ids[i]]),
                true=classes[answers.targets[i]],
                predicted=classes[predicted[i]],
                probability=float(probabilities[i, predicted[i]]),
            )
            for i in wrong[:count]
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `evaluate`."""
        by_class = zip(self.images.classes, self.scores.classes, strict=True)
        return self.scores.to_dict() | {
            "data": self.images.source,
            "part": self.part,
            "selected_on": self.selected_on,
            "known_unseen": self.known_unseen,
            "classes": list(self.images.classes),
            "per_class": [{"class": name} | scores.to_dict() for name, scores in by_class],
            "confusion": self.scores.confusion.tolist(),
            "mistakes": [mistake.to_dict() for mistake in self.mistakes(SHOWN_MISTAKES)],
            "findings": [finding.to_dict() for finding in self.findings],
            "protocol": self.protocol,
            **({} if self.views is None else {"views": self.views.to_dict()}),
            **({"published": [_accuracies(one) for one in self.published]} if self.published else {}),
        }


def _accuracies(result: PublishedResult) -> dict[str, Any]:
    """As JSON, in our terms: published are errors."""
    top1, top5 = (
        None if error is None else round(1 - error, 6) for error in (result.top1_error, result.top5_error)
    )
    return {"data": result.data, "protocol": result.protocol, "top1": top1, "top5": top5}


def judge(
    predictor: Predictor,
    images: ImageSet,
    indices: NDArray[np.int64],
    part: str,
    *,
    source: BatchSource | None = None,
    selected_on: bool | None = None,
    known_unseen: bool = True,
    findings: tuple[Finding, ...] = (),
    crops: Crops = "1",
    views: bool = False,
    batch_size: int = 128,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a predictor on some images of a set, by the probabilities that it predicts.

    Of several crops, the answers are the logarithms of their mean probabilities, at temperature 1: the
    model's own temperature is in each.

    Args:
        predictor: The network, with its preprocessing.
        images: The set; its classes are the network's.
        indices: Which images.
        part: What they are called.
        source: The set's batches on the predictor's canvas, if they are open already; of one crop.
        selected_on: Whether the network was chosen by its score on them; None if so where `part` is `val`.
        known_unseen: Whether it is known that none of them was trained on.
        findings: What was noticed on the way.
        crops: What is shown of each image: as the model is used, ten crops, or densely at three scales.
        views: Judge by test-time views as well, in the model's one crop.
        batch_size: Images at a time.
        progress: Told how far it is.

    Raises:
        ArgumentError: if the network cannot be shown images so.
    """

    def by(showing: Showing) -> Answers:
        logits = show(predictor, showing, images, indices, batch_size=batch_size, progress=progress)
        return Answers(logits=logits, targets=images.targets[indices], ids=indices)

    showings = {"10": ten_crops, "dense": dense}
    seen = shifted_views(predictor) if views else None  # before anything is computed
    if crops == "1":
        protocol = stored_protocol(predictor.header)
        source = source or open_batches(images, predictor.canvas, progress=progress)
        answers = _answers(predictor, source, indices, batch_size=batch_size, progress=progress)
    else:
        showing = showings[crops](predictor)
        protocol, answers = showing.protocol, by(showing)
    viewed = None
    if seen is not None:
        by_views = by(seen)
        viewed = Shown(protocol=seen.protocol, answers=by_views, scores=score(by_views))
    return Evaluation(
        images=images,
        indices=indices,
        part=part,
        selected_on=part == "val" if selected_on is None else selected_on,
        answers=answers,
        scores=score(answers),
        known_unseen=known_unseen,
        findings=findings,
        protocol=protocol,
        views=viewed,
    )


def _answers(
    predictor: Predictor,
    source: BatchSource,
    indices: NDArray[np.int64],
    *,
    batch_size: int,
    progress: Progress | None,
) -> Answers:
    """What a model says of images as it is used."""
    metric = ClassificationMetric()
    predictor.measure(
        source, indices, metric, batch_size=batch_size,
        each=lambda done: progress("judging", done, len(indices)) if progress else None,
    )  # fmt: skip
    temperature = predictor.header.temperature
    answers = metric.answers()
    if temperature is not None:
        answers = dataclasses.replace(answers, temperature=temperature)
    return answers


def pool(evaluations: Sequence[Evaluation], part: str) -> Evaluation:
    """Evaluations of disjoint images of one set as one: what each network says of the images it is for.

    Args:
        evaluations: Each of one network, none pooled itself.
        part: What the images are called together.

    Returns:
        Answers in the set's order, each divided by its own network's temperature.

    Raises:
        ValueError: if there is none, they are of different sets, or an image is in two of them.
    """
    if not evaluations:
        raise ValueError("evaluations is empty; there is nothing to pool")
    images, *others = (evaluation.images for evaluation in evaluations)
    if any((o.names, o.digests, o.classes) != (images.names, images.digests, images.classes) for o in others):
        raise ValueError("evaluations are of different image sets")
    every = [evaluation.answers for evaluation in evaluations]
    ids = np.concatenate([answers.ids for answers in every])
    order = np.argsort(ids)
    if len(np.unique(ids)) < len(ids):
        raise ValueError("evaluations share images")

    def pooled(logits: Sequence[NDArray[np.floating[Any]]]) -> Answers:
        targets = np.concatenate([answers.targets for answers in every])
        return Answers(np.concatenate(logits)[order], targets[order], ids[order])

    protocols = {evaluation.protocol for evaluation in evaluations}
    answers = pooled([answers.logits.astype(np.float64) / answers.temperature for answers in every])
    return Evaluation(
        images=images,
        indices=ids[order],
        part=part,
        selected_on=any(evaluation.selected_on for evaluation in evaluations),
        answers=answers,
        scores=score(answers, uncalibrated=pooled([answers.logits for answers in every])),
        known_unseen=all(evaluation.known_unseen for evaluation in evaluations),
        findings=tuple(dict.fromkeys(f for evaluation in evaluations for f in evaluation.findings)),
        protocol=protocols.pop() if len(protocols) == 1 else "",
    )
