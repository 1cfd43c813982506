"""Two trained networks on the same images: which is better, and whether these images can say so."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.base import ArgumentError, DataError, Draws, Finding, did_you_mean
from sightline.data import Progress, learned_from
from sightline.evaluation._evaluate import Candidate, Choice, choose, run_of, unknown
from sightline.evaluation._evaluation import Evaluation
from sightline.inference import Crops, resolve

RESAMPLES = 10_000
"""Of the bootstrap."""
SHOWN_BELOW = 0.05
"""The p-value below which a difference is called shown."""

_CELLS_AT_ONCE = 1_000_000
"""Counts drawn together, so that many classes do not fill the memory."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What two networks scored on the same images. Differences are first minus second, as fractions."""

    model: str
    """What the user called the first."""
    against: str
    """What the user called the second."""
    first: Evaluation
    second: Evaluation
    """Of the same images, in the same order; its classes may be in another."""
    n: int
    both_right: int
    only_first: int
    """Images that the first alone has right."""
    only_second: int
    neither: int
    difference: float
    """Of accuracy."""
    interval: tuple[float, float]
    """Its 95 % interval: percentiles of 10,000 resamplings of the images, both networks on each."""
    p_value: float
    """Of McNemar's exact test, two-sided: how often images on which the networks differ would fall so
    unevenly or worse if neither were better; 1 where there are none."""
    balanced_accuracy_difference: float
    balanced_accuracy_interval: tuple[float, float]
    """As `interval`, of the same resamplings."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of both evaluations, each once."""
        return tuple(dict.fromkeys((*self.first.findings, *self.second.findings)))

    def describe(self) -> str:
        """One sentence: the difference, its interval, and whether it is shown."""
        low, high = (100 * bound for bound in self.interval)
        points = 100 * self.difference
        if self.only_first == self.only_second:
            lead = f"{self.model} and {self.against} are equally accurate"
        else:
            way = "better" if points > 0 else "worse"
            lead = f"{self.model} is {abs(points):.2f} points {way} than {self.against}"
        p = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.2g}"
        shown = "a difference is shown" if self.p_value < SHOWN_BELOW else "no difference shown"
        return (
            f"{lead}, 95 % interval of the difference {low:+.2f} to {high:+.2f}, McNemar {p}: "
            f"{shown} on {self.n:,} images{self._doubts()}"
        )

    def _doubts(self) -> str:
        """Why either score may be too good."""
        doubts = [
            f"{name} {what}"
            for name, judged in ((self.model, self.first), (self.against, self.second))
            for what, so in (
                ("was selected on them", judged.selected_on),
                ("is not known to be new to them", not judged.known_unseen),
            )
            if so
        ]
        return f" ({'; '.join(doubts)})" if doubts else ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `evaluate --against`: that of the first, with `against`."""
        against = {
            "model": self.against,
            "n": self.n,
            "value": self.second.scores.top1,
            "difference": self.difference,
            "interval": list(self.interval),
            "p_value": self.p_value,
            "both_right": self.both_right,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "neither": self.neither,
            "balanced_accuracy_difference": self.balanced_accuracy_difference,
            "balanced_accuracy_interval": list(self.balanced_accuracy_interval),
            "known_unseen": self.second.known_unseen,
            "selected_on": self.second.selected_on,
        }
        findings = [finding.to_dict() for finding in self.findings]
        return self.first.to_dict() | {"findings": findings, "against": against}


def compare(
    model: str,
    against: str,
    data: str | None = None,
    *,
    allow_unreadable: bool = False,
    device: str = "auto",
    batch_size: int = 128,
    crops: Crops = "1",
    progress: Progress | None = None,
) -> Comparison:
    """Judge two trained networks on the same images, each with its own preprocessing, in fp32.

    The images are those that `evaluate` judges `model` by, without those that `against` is known to have
    been trained on, or selected on. Where `model` was selected on them itself, those that `against` was
    selected on stay: it is then true of both, and said of both.

    Args:
        model: A run folder, a model file, or `NAME@FILE`.
        against: Another. Its classes are the same, in any order.
        data: What to judge them on; of a run, what `model` was trained on by default.
        allow_unreadable: Leave unreadable files out instead of refusing.
        device: Where to compute.
        batch_size: Images at a time.
        crops: What both are shown of each image, as of `evaluate`.
        progress: Told how far it is.

    Raises:
        ArgumentError: if either names nothing, there is no data, they know other classes, or one cannot be
            shown images so.
        DataError: if the images cannot be used, or `against` has learned from all of them.
        ModelFileError: if either cannot be read.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions";
        Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    resolved = resolve(against)
    first, choice = choose(model, data, allow_unreadable=allow_unreadable, progress=progress)
    if resolved.header is not None:
        check_same_classes(model, first.header.classes, f"--against {against}", resolved.header.classes)
    second = Candidate.of(resolved, run_of(resolved), first.images)
    choice, other = share(choice, second, model, against)
    second.check(crops, device)
    one = first.judge(choice, device=device, batch_size=batch_size, crops=crops, progress=progress)
    two = second.judge(other, device=device, batch_size=batch_size, crops=crops, progress=progress)
    named = tuple(dataclasses.replace(finding, where=against) for finding in two.findings)
    return compare_answers(model, one, against, dataclasses.replace(two, findings=named))


def compare_answers(model: str, first: Evaluation, against: str, second: Evaluation) -> Comparison:
    """Compare two evaluations of the same images.

    Args:
        model: What to call the first.
        first: What it scored.
        against: What to call the second.
        second: What it scored; its classes may be in another order.

    Raises:
        ValueError: if they are not of the same images in the same order.
    """
    from scipy.stats import binomtest

    if first.images.digests != second.images.digests or not np.array_equal(first.indices, second.indices):
        raise ValueError("first and second are not of the same images")
    right = np.stack([e.answers.predicted == e.answers.targets for e in (first, second)])
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    discordant = only_first + only_second
    n = len(right[0])
    interval, balanced = _bootstrap(right[0].astype(np.int64) - right[1], first.answers.targets)
    return Comparison(
        model=model,
        against=against,
        first=first,
        second=second,
        n=n,
        both_right=int(right.all(axis=0).sum()),
        only_first=only_first,
        only_second=only_second,
        neither=int((~right).all(axis=0).sum()),
        difference=(only_first - only_second) / n,
        interval=interval,
        p_value=float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0,
        balanced_accuracy_difference=first.scores.balanced_accuracy - second.scores.balanced_accuracy,
        balanced_accuracy_interval=balanced,
    )


def check_same_classes(model: str, classes: tuple[str, ...], other: str, others: tuple[str, ...]) -> None:
    """Whether two networks know the same classes, in any order.

    Args:
        model: What to call the first.
        classes: Its own.
        other: What to call the second, with the option that named it.
        others: Its own.

    Raises:
        ArgumentError: naming a class that one of them does not know.
    """
    strange = sorted(set(others) - set(classes))
    if strange:
        close = did_you_mean(strange[0], classes)
        raise ArgumentError(f"{other} knows class {strange[0]!r}, which {model} does not; {close}")
    lacking = sorted(set(classes) - set(others))
    if lacking:
        close = did_you_mean(lacking[0], others)
        raise ArgumentError(f"{other} lacks class {lacking[0]!r}, which {model} knows; {close}")


def share(choice: Choice, second: Candidate, model: str, against: str) -> tuple[Choice, Choice]:
    """The images chosen for one network that another can be judged by too. -> as chosen for each."""
    images, history = second.images, second.history
    if history is None:
        findings = (unknown(against, second.header),)
        return choice, dataclasses.replace(choice, selected_on=False, known_unseen=False, findings=findings)
    own, before = learned_from(history.recorded), {digest for _, digest in history.before}
    trained = {digest for part, digest in own if part == "train"} | before
    selected = {digest for part, digest in own if part == "val"} if history.selected else set[str]()
    learned = trained if choice.selected_on else trained | selected
    kept = np.array([i for i in choice.indices if images.digests[i] not in learned], dtype=np.int64)
    if not len(kept):
        raise DataError(
            f"{against} was trained or selected on every image of {images.source} that {model} can be judged "
            "by; give DATA that is new to both"
        )
    shared = dataclasses.replace(choice, indices=kept)
    on = any(images.digests[i] in selected for i in kept)
    other = dataclasses.replace(shared, selected_on=on, known_unseen=history.whole, findings=())
    if len(kept) == len(choice.indices):
        return shared, other
    left_out = Finding(
        level="warning",
        where=images.source,
        what=f"{len(choice.indices) - len(kept)} of {len(choice.indices)} images are, byte for byte, "
        f"images {against} was trained or selected on",
        why="its score on them would measure memory",
        do="nothing: they are left out, of both scores",
    )
    return dataclasses.replace(shared, findings=(*shared.findings, left_out)), other


def _bootstrap(
    difference: NDArray[np.int64], targets: NDArray[np.int64]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % percentile intervals of two differences, the images resampled with both networks' answers.

    Images that are alike in class and difference are one cell, and a resampling is one multinomial draw of
    how often each cell comes.

    Args:
        difference: (N,) 1 where only the first is right, -1 where only the second is, else 0.
        targets: (N,) the classes.

    Returns:
        Of accuracy, and of balanced accuracy over the classes that a resampling has.
    """
    n = len(targets)
    cells, counts = np.unique(np.stack([targets, difference], axis=1), axis=0, return_counts=True)
    signs = cells[:, 1]
    starts = np.flatnonzero(np.diff(cells[:, 0], prepend=-1))  # the first cell of each class
    generator = np.random.default_rng(Draws(seed=0).torch_seed(0))
    accuracy, balanced = np.empty(RESAMPLES), np.empty(RESAMPLES)
    rows = max(1, _CELLS_AT_ONCE // len(cells))
    for begin in range(0, RESAMPLES, rows):
        part = slice(begin, min(RESAMPLES, begin + rows))
        drawn = generator.multinomial(n, counts / n, size=part.stop - begin)  # resamplings cells
        accuracy[part] = drawn @ signs / n
        gained = np.add.reduceat(drawn * signs, starts, axis=1)  # resamplings classes
        totals = np.add.reduceat(drawn, starts, axis=1)
        balanced[part] = (gained / np.maximum(1, totals)).sum(axis=1) / (totals > 0).sum(axis=1)
    return _percentiles(accuracy), _percentiles(balanced)


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
