"""What was judged, on what, and what came of it: the last paragraph of a methods section."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from sightline.data import PARTS, Part
from sightline.evaluation._evaluation import Evaluation
from sightline.evaluation._scores import ECE_BINS, ClassificationScores
from sightline.evaluation.report._recorded import Facts, Series
from sightline.evaluation.report._words import NBSP, count, listed, percent, span

PART_WORDS = {"test": "test part", "val": "validation part", "all": "whole set"}
_PART_IMAGES = {"test": "test images", "val": "validation images"}


def protocol(evaluation: Evaluation, run: Facts | None = None) -> str:
    """What the images judged were used for, as a relative clause."""
    if not evaluation.known_unseen:
        return "of which some may have been trained on: it is not known"
    if evaluation.selected_on:
        return "by whose scores the run was selected or stopped"
    if evaluation.part == "val":
        if run is not None and run.watches_validation:
            return "which were not trained on, but by whose scores the learning rate was lowered"
        return "which were not trained on, and by which nothing was selected"
    return "which were used for neither training nor selection"


def judging(runs: Sequence[Facts], series: Series | None) -> Iterable[str]:
    if series is None:
        (run,) = runs
        evaluation = run.headline
        yield _judged(evaluation, run)
        yield from _left_out(evaluation, run)
        yield from _shown(evaluation)
        yield _scored(evaluation.scores)
        yield _calibrated(evaluation)
        return
    if series.kind == "folds":
        yield from _judged_in_folds(runs, series)
    else:
        yield from _judged_again(runs, series)
    yield from _series_calibrated(runs, series)


def _judged(evaluation: Evaluation, run: Facts) -> str:
    part = _PART_IMAGES.get(evaluation.part)
    which = count(evaluation.scores.n, part[:-1] if part else "image")
    other = "" if run.own_images else f" of {evaluation.images.source}"
    return f"The network was judged in 32-bit floating point on {which}{other}, {protocol(evaluation, run)}."


def _shown(evaluation: Evaluation) -> Iterable[str]:
    """What the network saw of each image."""
    if evaluation.protocol:
        what, _, how = evaluation.protocol.partition(": ")
        yield f"Of each image the network was shown {what}, {how}."


def _left_out(evaluation: Evaluation, run: Facts) -> Iterable[str]:
    """Images of the part that were not judged, and why, where that can be seen."""
    part = next((p for p in PARTS if p == evaluation.part), None)
    if part is None or not run.own_images:
        return
    judged = set(evaluation.indices.tolist())
    missing = [i for i in run.split.indices(part).tolist() if i not in judged]
    if missing:
        digests = evaluation.images.digests
        earlier: tuple[Part, ...] = PARTS[: PARTS.index(part)]
        learned = {digests[i] for of in earlier for i in run.split.indices(of)}
        copies = all(digests[i] in learned for i in missing)
        why = ", being exact copies of images trained or selected on" if copies else ""
        were = "was" if len(missing) == 1 else "were"
        yield f"{count(len(missing), f'further {part} image')} {were} left out{why}."


def _scored(scores: ClassificationScores) -> str:
    right = int(scores.confusion.trace())
    low, high = (percent(bound) for bound in scores.interval)
    return (
        f"{right:,} of {scores.n:,} were right, an accuracy of {percent(scores.top1)} (95{NBSP}% interval "
        f"{low} to {high}, Wilson 1927); {listed(_further(scores))}."
    )


def _further(scores: ClassificationScores) -> list[str]:
    found = [
        f"balanced accuracy was {percent(scores.balanced_accuracy)}",
        f"macro-averaged F1 {percent(scores.macro_f1)}",
    ]
    if scores.auroc is not None:
        found.append(f"macro-averaged one-against-rest AUROC {scores.auroc:.4f}")
    if len(scores.confusion) > 5:
        found.append(f"top-5 accuracy {percent(scores.top5)}")
    return found


def _calibrated(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    measure = f"expected calibration error, {ECE_BINS} equal bins"
    if scores.temperature == 1.0:
        return f"Probabilities are the network's own, not recalibrated ({measure}: {percent(scores.ece)})."
    same = ", the images judged, so that the error after it is too good" if evaluation.part == "val" else ""
    before, after = percent(scores.ece_uncalibrated), percent(scores.ece)
    return (
        f"Logits were divided by a temperature of {scores.temperature:.4g} (Guo et al. 2017), fitted on the "
        f"validation images{same}, with a weak prior towards 1 ({measure}: {before} before, {after} after)."
    )


def _judged_in_folds(runs: Sequence[Facts], series: Series) -> Iterable[str]:
    pooled = series.pooled
    yield "Each run was judged in 32-bit floating point on its own test images, which it was not trained on."
    if pooled is not None:
        yield from _shown(pooled)
        yield "The answers of all runs were pooled."
        yield _scored(pooled.scores)
    else:
        low, high = (percent(bound) for bound in series.interval)
        yield f"Accuracy was {percent(series.value)} (95{NBSP}% interval {low} to {high})."
    yield _spread(runs, series, "folds")


def _judged_again(runs: Sequence[Facts], series: Series) -> Iterable[str]:
    first = runs[0]
    low, high = (percent(bound) for bound in series.interval)
    yield _judged(first.headline, first).replace("The network was", "Each network was", 1)
    yield from _left_out(first.headline, first)
    yield from _shown(first.headline)
    yield (
        f"The mean accuracy of {count(len(runs), 'seed')} was {percent(series.value)} (95{NBSP}% interval "
        f"of the mean by Student's t: {low} to {high})."
    )
    yield _spread(runs, series, "runs")
    scores = [run.headline.scores for run in runs]
    means = [f"balanced accuracy was {percent(statistics.fmean(s.balanced_accuracy for s in scores))}"]
    means.append(f"macro-averaged F1 {percent(statistics.fmean(s.macro_f1 for s in scores))}")
    known = [s.auroc for s in scores if s.auroc is not None]
    if len(known) == len(scores):
        means.append(f"macro-averaged one-against-rest AUROC {statistics.fmean(known):.4f}")
    yield f"On average, {listed(means)}."


def _spread(runs: Sequence[Facts], series: Series, what: str) -> str:
    values = [run.headline.scores.top1 for run in runs]
    deviation = series.deviation(runs)
    points = "" if deviation is None else f" (standard deviation {100 * deviation:.2f} points)"
    return f"The {what} ranged from {percent(min(values))} to {percent(max(values))}{points}."


def _series_calibrated(runs: Sequence[Facts], series: Series) -> Iterable[str]:
    temperatures = [run.headline.scores.temperature for run in runs]
    measure = f"expected calibration error, {ECE_BINS} equal bins"
    if series.pooled is not None:
        scores = series.pooled.scores
        measure += f": {percent(scores.ece_uncalibrated)} before, {percent(scores.ece)} after"
    else:
        every = [run.headline.scores for run in runs]
        before = statistics.fmean(scores.ece_uncalibrated for scores in every)
        measure += f", mean of the runs: {percent(before)} before, "
        measure += f"{percent(statistics.fmean(scores.ece for scores in every))} after"
    if all(temperature == 1.0 for temperature in temperatures):
        plain = measure.partition(" before, ")[0]
        yield f"Probabilities are the networks' own, not recalibrated ({plain})."
        return
    yield (
        f"The logits of each run were divided by a temperature of its own ({span(temperatures, '.4g')}; "
        f"Guo et al. 2017), fitted on its validation images, with a weak prior towards 1 ({measure})."
    )
