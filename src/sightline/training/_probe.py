"""A linear probe instead of training: features of the trained network once, and a head by regression."""

from __future__ import annotations

import dataclasses
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sightline.base import (
    ArgumentError,
    DataError,
    Interrupted,
    ModelFileError,
    allocate,
    cache_folder,
    duration,
    storage_errors,
)
from sightline.data import Batch, ImageSet
from sightline.inference import starting_weights
from sightline.machine import StopRequest
from sightline.records import load_checkpoint, save_checkpoint, save_model_file
from sightline.tasks import Metric
from sightline.training._features import Head, features_of, find_head, frozen_digest
from sightline.training._job import Job, Position
from sightline.zoo import load_weights

_IN_MEMORY = 1_000_000_000
"""Standardised features of more bytes than this are mapped from a file that has no name."""
_BLOCK_BYTES = 32_000_000
"""Features looked at together, in double precision."""
_TOLERANCE, _MOST_STEPS = 1e-8, 2000
"""Of L-BFGS: the largest slope it stops at, and how many steps it may take."""
_CONSTANT = 1e-6
"""A feature that deviates by less than this share of its mean is rounding, not a feature."""


def probe(job: Job, images: ImageSet, *, resume: bool = False) -> Position:
    """Fit the head of a trained network to the training images, and write the run's files, as `fit` does.

    Each strength of the penalty that is tried has a row of `results.csv`. `best` and `last` both hold the
    network with the head of the best one.

    Args:
        job: The run; its recipe has a `probe`, and its first phase says where the weights are from.
        images: The set that `job.train` and `job.val` are places in.
        resume: Whether the run may be finished already; one that is not starts again.

    Raises:
        ArgumentError: if the network has no linear head, or the run is not one of a single process.
        ModelFileError: if more of the network than its head would keep random weights.
        DataError: if a class has no image to train on, or a feature is not finite.
        Interrupted: on SIGINT or SIGTERM; nothing is kept but features that are whole.
    """
    head = check_probe(job)
    job.plan.apply()
    if resume and any(job.run.resume.glob("checkpoint-*")):
        state, folder = load_checkpoint(job.run.resume)
        job.run.cut_back(folder, state["position"]["epoch"])
        return Position(**state["position"])
    _load(job, head)
    began = job.clock()
    with StopRequest() as stop:

        def stop_if_asked() -> None:
            if stop.signal_number is not None:
                again = f"start again with: sightline train --resume {job.run.path}"
                raise Interrupted(f"stopped in a linear probe; {again}", stop.signal_number)

        ids = np.unique(np.concatenate([job.train, job.val]))
        frozen = frozen_digest(job, head)
        features, recalled = features_of(job, images, head, ids, frozen, stop_if_asked)
        now = duration(job.clock() - began)
        how = "recalled from an earlier run" if recalled else f"computed in fp32 in {now}"
        job.reporter.note(f"{features.shape[1]} features of each of {len(ids)} images, {how}")
        seen = _Seen(features, np.searchsorted(ids, job.train), images.targets[job.train])
        unseen = _Seen(features, np.searchsorted(ids, job.val), images.targets[job.val])
        position, weight, bias, scores = _regressed(job, head, seen, unseen, began, stop_if_asked)
    head.become(weight, bias)
    assert frozen_digest(job, head) == frozen, "a probe changed more than the head"
    header = dataclasses.replace(job.header, epoch=position.best_epoch, scores=scores)
    for path in (job.run.last, job.run.best):
        save_model_file(path, job.network.state_dict(), header)
    job.run.write_results(position.rows)
    kept = {path.name: path for path in (job.run.last, job.run.best)}
    save_checkpoint(job.run.resume, {"position": dataclasses.asdict(position)}, kept)
    return position


def check_probe(job: Job) -> Head:
    """Whether a run can be a linear probe, whatever its network's weights. -> the layer to be fitted.

    Raises:
        ArgumentError: as `probe`.
    """
    if job.ranks.count > 1:
        raise ArgumentError("a linear probe fits one layer in one process; do so without torchrun")
    if job.recipe.phases[0].start is None:
        raise ArgumentError("a linear probe of random features says nothing; give --weights")
    if job.objective.name not in ("cross_entropy", "cross_entropy_auxiliary"):
        raise ArgumentError(
            f"a linear probe is a softmax regression; {job.architecture.name} answers by {job.objective.name}"
        )
    return find_head(job)


def _load(job: Job, head: Head) -> None:
    """Bring in the trained weights; none but the heads may stay random."""
    phase = job.recipe.phases[0]
    assert phase.start is not None
    weights, origin = job.starts[phase.start] if phase.start in job.starts else starting_weights(phase.start)
    loaded = load_weights(
        job.network, weights, job.architecture, adapt=True, origin=origin, taken=phase.taken
    )
    ends = tuple(f"{name}." for name in (head.path, *job.architecture.auxiliary_heads))
    random = [name for name in loaded.new if not name.startswith(ends)]
    if random:
        raise ModelFileError(
            f"{random[0]} of {job.architecture.name} is not in {origin} as it is needed here, and a linear "
            f"probe trains only the head; train all of it: --recipe fine_tune"
        )
    job.reporter.note(f"weights from {phase.start}: {loaded.describe()}; only {head.path} is fitted")


# -- the regression ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """Some of the images whose features there are."""

    features: NDArray[np.float32]
    """(all, features)."""
    rows: NDArray[np.int64]
    """(N,) theirs."""
    targets: NDArray[np.int64]
    """(N,)."""

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Features of some at a time, and which they are."""
        count = max(1, _BLOCK_BYTES // (8 * self.features.shape[1]))
        for start in range(0, len(self.rows), count):
            part = slice(start, start + count)
            yield part, np.asarray(self.features[self.rows[part]])

    def logits(self, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> Tensor:
        """(N, classes), in float32 as the network computes them."""
        w, b = torch.from_numpy(weight), None if bias is None else torch.from_numpy(bias)
        return torch.cat([F.linear(torch.from_numpy(x), w, b) for _, x in self.blocks()])


def _regressed(
    job: Job, head: Head, seen: _Seen, unseen: _Seen, began: float, each: Callable[[], None]
) -> tuple[Position, NDArray[np.float32], NDArray[np.float32] | None, dict[str, float]]:
    """A regression for each strength, strongest first. -> rows, and weight, bias and scores of the best."""
    from sklearn.exceptions import ConvergenceWarning  # a second to import, which no other run needs
    from sklearn.linear_model import LogisticRegression

    metric = job.make_metric() if job.make_metric else None
    select = job.recipe.select if metric is not None else None
    strengths = _tried_strengths(job, select)
    weights = _class_weights(job, seen)
    biased = head.module.bias is not None
    mean, scale = _standard(seen, centred=biased)
    x = _standardised(seen, mean, scale)
    total = float(len(seen.rows) if weights is None else weights[seen.targets].sum())
    by_class = None if weights is None else dict(enumerate(weights.tolist()))
    model = LogisticRegression(
        tol=_TOLERANCE, max_iter=_MOST_STEPS, fit_intercept=biased, class_weight=by_class, warm_start=True
    )
    position = Position()
    best: tuple[NDArray[np.float32], NDArray[np.float32] | None, dict[str, float]] | None = None
    for number, strength in enumerate(strengths, start=1):
        model.set_params(C=1 / (strength * total))  # its penalty is on the sum of the losses
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(x, seen.targets)
        weight, bias = _folded(model.coef_, model.intercept_ if biased else None, mean, scale)
        row: dict[str, Any] = {"epoch": number, "phase": 0}
        row |= _learned(seen.logits(weight, bias), seen.targets, weights)
        scores = _scores(metric, unseen, job.val, weight, bias)
        row |= {f"val_{name}": value for name, value in scores.items()}
        is_best = select is None or job.task.better(select, scores, position.best)
        if is_best:
            position.best, position.best_epoch = dict(scores), number
            best = weight, bias, scores
        seconds = job.clock() - began
        began += seconds
        pace = round(len(seen.rows) / seconds, 1) if seconds else 0.0
        row |= {"best": int(is_best), "strength": strength}
        row |= {"images_per_second": pace, "seconds": round(seconds, 3)}
        position.rows.append(row)
        position.epoch = number
        job.reporter.note(_line(row, select, len(strengths), is_best, converged=not caught))
        job.reporter.progress("fitting the head", number, len(strengths))
        each()
    if best is None:
        raise DataError(f"no strength of the penalty gives a {select} that is a number")
    _tell(job, strengths, strengths[position.best_epoch - 1])
    return position, *best


def _tried_strengths(job: Job, select: str | None) -> list[float]:
    """Strongest first; one alone where there is nothing to choose by."""
    assert job.recipe.probe is not None
    strengths = sorted(set(job.recipe.probe.strengths), reverse=True)
    if select is not None or len(strengths) == 1:
        return strengths
    middle = strengths[len(strengths) // 2]
    job.reporter.note(f"nothing to choose the penalty by, so it is the middle of its strengths, {middle:g}")
    return [middle]


def _class_weights(job: Job, seen: _Seen) -> NDArray[np.float64] | None:
    """What an image of each class counts; None for 1 each."""
    classes = job.header.classes
    counts = np.bincount(seen.targets, minlength=len(classes))
    if len(classes) < 2:
        raise DataError(f"a linear probe tells classes apart, and there is only {classes[0]}")
    if not counts.all():
        raise DataError(
            f"class {classes[int(np.argmin(counts))]} has no image that a linear probe could learn from"
        )
    given = job.objective.settings().get("class_weights")
    if given is not None:
        return np.asarray(given, dtype=np.float64)
    if job.recipe.balance == "none":
        return None
    if job.recipe.balance == "sampling":
        job.reporter.note("a linear probe draws no images: classes are balanced by their weight in the loss")
    return np.asarray(len(seen.targets) / (len(classes) * counts), dtype=np.float64)


def _standard(seen: _Seen, *, centred: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each feature; without a bias to take a mean up, 0 and the root mean square."""
    n, width = len(seen.rows), seen.features.shape[1]
    mean, squares = np.zeros(width), np.zeros(width)
    if centred:
        for _, x in seen.blocks():
            mean += x.sum(axis=0, dtype=np.float64) / n
    for _, x in seen.blocks():
        squares += ((x - mean) ** 2).sum(axis=0) / n
    scale = np.sqrt(squares)
    return mean, np.where(scale > _CONSTANT * np.abs(mean), scale, 1.0)


def _standardised(seen: _Seen, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, features) in double precision; a large one lies in a file without a name, mapped into memory."""
    shape = (len(seen.rows), seen.features.shape[1])
    size = 8 * shape[0] * shape[1]
    x: NDArray[np.float64]
    if size <= _IN_MEMORY:
        x = np.empty(shape)
    else:
        folder = cache_folder("features")
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.truncate(size)
                allocate(file, size)
                x = np.memmap(file, dtype=np.float64, mode="r+", shape=shape)
    for part, features in seen.blocks():
        x[part] = (features - mean) / scale
    return x


def _folded(
    coef: NDArray[np.float64],
    intercept: NDArray[np.float64] | None,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Weight and bias for features as they are. Of two classes there is one row, for their difference."""
    if len(coef) == 1:
        coef = np.concatenate([-coef / 2, coef / 2])
        intercept = None if intercept is None else np.concatenate([-intercept / 2, intercept / 2])
    weight = coef / scale
    bias = None if intercept is None else (intercept - weight @ mean).astype(np.float32)
    return weight.astype(np.float32), bias


def _learned(
    logits: Tensor, targets: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> dict[str, float]:
    """Loss, without the penalty, and accuracy on the training images."""
    wanted = torch.from_numpy(targets)
    losses = F.cross_entropy(logits.double(), wanted, reduction="none")
    if weights is not None:
        losses = losses * torch.from_numpy(weights)[wanted]
    right = (logits.argmax(dim=1) == wanted).double().mean()
    return {"train_loss": float(losses.mean()), "train_accuracy": float(right)}


def _scores(
    metric: Metric | None,
    unseen: _Seen,
    ids: NDArray[np.int64],
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
) -> dict[str, float]:
    """Scores on the validation images; a metric is given a batch that has everything but pixels."""
    if metric is None:
        return {}
    metric.reset()
    nothing = torch.empty(len(ids), 0)
    batch = Batch(
        images=nothing, targets=torch.from_numpy(unseen.targets), ids=ids, sizes=nothing, transforms=nothing
    )
    metric.update(unseen.logits(weight, bias), batch)
    return dict(metric.compute())


def _line(row: dict[str, Any], select: str | None, total: int, is_best: bool, *, converged: bool) -> str:
    """A regression in a line for people."""
    shown = [f"penalty {row['strength']:g} ({row['epoch']} of {total})", f"loss {row['train_loss']:.4f}"]
    if "val_loss" in row:
        shown.append(f"val {row['val_loss']:.4f}")
    metric = select if select not in (None, "loss") else "accuracy"
    if f"val_{metric}" in row:
        shown.append(f"{str(metric).replace('_', ' ')} {100 * row[f'val_{metric}']:.2f} %")
    if is_best and select is not None:
        shown.append("best so far")
    if not converged:
        shown.append(f"not converged in {_MOST_STEPS} steps")
    return "  ".join(shown)


def _tell(job: Job, strengths: list[float], chosen: float) -> None:
    """Say which was chosen, and if others beyond those tried may be better."""
    job.reporter.note(
        f"the head is that of penalty {chosen:g}, fitted to the {len(job.train)} training images"
    )
    if len(strengths) > 1 and chosen in (strengths[0], strengths[-1]):
        end = "strongest" if chosen == strengths[0] else "weakest"
        job.reporter.note(f"it is the {end} penalty tried; a recipe of your own may try others (Probe)")
