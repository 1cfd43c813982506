"""Several trained networks as one: the mean of their probabilities, on images that none has learned from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sightline.base import ArgumentError
from sightline.data import Progress
from sightline.evaluation._compare import Comparison, check_same_classes, compare_answers, share
from sightline.evaluation._evaluate import Candidate, Choice, choose, run_of
from sightline.evaluation._evaluation import Evaluation
from sightline.evaluation._scores import score
from sightline.inference import Belongings, Crops, log_mean, resolve
from sightline.tasks.classification import Answers


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """What networks scored on the same images, each alone and all together."""

    names: tuple[str, ...]
    """What the user called the members."""
    members: tuple[Evaluation, ...]
    """Each alone; the order of its classes is its own."""
    whole: Evaluation
    """By the mean of the members' probabilities, classes in the order of the first."""
    against_first: Comparison
    """The ensemble and its first member."""

    def describe(self) -> str:
        """The ensemble's headline."""
        return self.whole.describe()

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `evaluate --with`: that of the ensemble, with its members."""
        members = [
            {
                "model": name,
                "value": one.scores.top1,
                "interval": list(one.scores.interval),
                "top5": one.scores.top5,
                "loss": one.scores.loss,
                "protocol": one.protocol,
                "known_unseen": one.known_unseen,
                "selected_on": one.selected_on,
            }
            for name, one in zip(self.names, self.members, strict=True)
        ]
        told = self.against_first.to_dict()["against"]
        wanted = ("difference", "interval", "p_value", "both_right", "only_first", "only_second", "neither")
        return self.whole.to_dict() | {
            "members": members,
            "against_first": {"model": self.names[0]} | {key: told[key] for key in wanted},
        }


def evaluate_ensemble(
    model: str,
    others: Sequence[str],
    data: str | None = None,
    *,
    allow_unreadable: bool = False,
    pages: str | None = None,
    device: str = "auto",
    batch_size: int = 128,
    belongings: Belongings = Belongings(),  # noqa: B008  -- frozen
    crops: Crops = "1",
    progress: Progress | None = None,
) -> Ensemble:
    """Judge several trained networks by the mean of their probabilities, in fp32.

    Each has its own canvas, preprocessing, temperature and crops. The images are those that `evaluate` judges
    the first by, without those that another is known to have been trained on, or selected on; where the first
    was selected on them itself, those that another was selected on stay, and it is said.

    Args:
        model: A run folder, a model file, or `NAME@FILE`.
        others: One or more of the same. Their classes are the first's, in any order.
        data: What to judge them on; of a run, what `model` was trained on by default.
        allow_unreadable: As of `evaluate`.
        pages: As of `evaluate`, of the first; all see the same images.
        device: Where to compute.
        batch_size: Images at a time.
        belongings: Of those members whose weights came alone.
        crops: As of `evaluate`; the same of each member.
        progress: Told how far it is.

    Raises:
        ArgumentError: if one names nothing, there is no data, they know other classes, or one cannot be shown
            images so.
        DataError: if the images cannot be used, or one has learned from all of them.
        ModelFileError: if one cannot be read, or has no weights.

    Source: Krizhevsky, Sutskever, Hinton 2012, section 6: the predictions of several networks, averaged.
    """
    if not others:
        raise ArgumentError("an ensemble has two members or more; --with names another")
    resolved = [resolve(name) for name in (model, *others)]
    alone = [one.header is None for one in resolved]
    if belongings.given and not any(alone):
        raise ArgumentError(f"{model} and those of --with carry their own classes and preprocessing")
    said = [belongings if bare else Belongings() for bare in alone]
    first, choice = choose(
        model, data, allow_unreadable=allow_unreadable, pages=pages, belongings=said[0], progress=progress
    )
    candidates = [first]
    for name, one, theirs in zip(others, resolved[1:], said[1:], strict=True):
        classes = one.header.classes if one.header is not None else theirs.classes
        if classes is not None:
            check_same_classes(model, first.header.classes, f"--with {name}", classes)
        candidates.append(Candidate.of(one, run_of(one), first.images, theirs))
    names = (model, *others)
    choices = _choices(candidates, choice, names)
    for candidate in candidates[1:]:
        candidate.check(crops, device)
    members: list[Evaluation] = []
    for name, candidate, one_choice in zip(names, candidates, choices, strict=True):
        judged = candidate.judge(
            one_choice, device=device, batch_size=batch_size, crops=crops, progress=progress
        )
        if members:
            named = tuple(dataclasses.replace(finding, where=name) for finding in judged.findings)
            judged = dataclasses.replace(judged, findings=named)
        members.append(judged)
    return combine(names, members)


def combine(names: Sequence[str], members: Sequence[Evaluation]) -> Ensemble:
    """The mean of the probabilities of networks that were judged on the same images.

    Args:
        names: What to call them.
        members: One or more, of the same images in the same order; classes may be in another.

    Raises:
        ValueError: if they are of other images, or of other classes.
    """
    first = members[0]
    classes = first.images.classes
    logs = []
    for one in members:
        same = one.images.digests == first.images.digests and np.array_equal(one.indices, first.indices)
        if not same or sorted(one.images.classes) != sorted(classes):
            raise ValueError("members are not of the same images and classes")
        logs.append(_log_probabilities(one.answers, [one.images.classes.index(name) for name in classes]))
    mean = log_mean(torch.from_numpy(np.stack(logs))).numpy()
    answers = Answers(logits=mean, targets=first.answers.targets, ids=first.answers.ids)
    protocols = dict.fromkeys(one.protocol for one in members)
    heads = dict.fromkeys(protocol.partition(":")[0] for protocol in protocols)
    how = f"{' and '.join(heads)} of each of {len(members)} networks"
    whole = dataclasses.replace(
        first,
        answers=answers,
        scores=score(answers),
        selected_on=any(one.selected_on for one in members),
        known_unseen=all(one.known_unseen for one in members),
        findings=tuple(dict.fromkeys(finding for one in members for finding in one.findings)),
        protocol=f"{how}: mean of probabilities ({'; '.join(protocols)})",
        views=None,
        published=first.published if all(one.published == first.published for one in members) else (),
    )
    called = f"the ensemble of {len(members)}"
    return Ensemble(
        names=tuple(names),
        members=tuple(members),
        whole=whole,
        against_first=compare_answers(called, whole, names[0], first),
    )


def _choices(candidates: Sequence[Candidate], choice: Choice, names: Sequence[str]) -> list[Choice]:
    """The images that all can be judged by, as chosen for each."""
    for candidate, name in zip(candidates[1:], names[1:], strict=True):
        choice, _ = share(choice, candidate, names[0], name)
    again = [share(choice, c, names[0], name)[1] for c, name in zip(candidates[1:], names[1:], strict=True)]
    return [choice, *again]


def _log_probabilities(answers: Answers, order: Sequence[int]) -> NDArray[np.float64]:
    """(N, classes), classes in another order."""
    z = torch.from_numpy(answers.logits.astype(np.float64) / answers.temperature)
    return np.asarray(z.log_softmax(dim=1).numpy()[:, order])
