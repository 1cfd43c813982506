"""One run: from set-up to a judged network and its report."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.base import Finding
from sightline.data import Part
from sightline.evaluation import fit_temperature, judge, judged_images, write_report
from sightline.inference import Predictor, ResolvedModel, load_predictor
from sightline.machine import Plan, joined
from sightline.records import read_model_file, save_model_file
from sightline.tasks.classification import ClassificationMetric
from sightline.training._choices import Again, Options
from sightline.training._fit import fit
from sightline.training._job import Job, Position
from sightline.training._probe import probe
from sightline.training._reporter import Reporter, SilentReporter
from sightline.training._result import TrainingResult
from sightline.training._set_up import Setup, set_up
from sightline.training._set_up_again import set_up_again
from sightline.training._together import result_of_first, set_up_together


def train_one(options: Options, reporter: Reporter) -> TrainingResult:
    """A new run, of all the processes that `torchrun` started; errors as `train`."""
    with joined(options.device) as ranks:
        if ranks.count == 1:
            return train_set_up(set_up(options, reporter))
        setup, resume = set_up_together(ranks, options, reporter)
        return _trained(setup, resume=resume)


def train_set_up(setup: Setup) -> TrainingResult:
    """A run that is set up."""
    return _trained(setup, resume=False)


def resume_one(run: Path, again: Again, reporter: Reporter) -> TrainingResult:
    """A run that goes on; errors as `resume`."""
    with joined(again.device or "auto") as ranks:
        setup = set_up_again(run, reporter if ranks.first else SilentReporter(), again)
        return _trained(setup, resume=True)


def _trained(setup: Setup, *, resume: bool) -> TrainingResult:
    """Train, and let the first process judge."""
    ranks = setup.job.ranks
    if setup.job.recipe.probe is not None:
        position = probe(setup.job, setup.images, resume=resume)
    else:
        position = fit(setup.job, resume=resume)
    return result_of_first(ranks, _finish(setup, position) if ranks.first else None)


def _finish(setup: Setup, position: Position) -> TrainingResult:
    """Judge the best weights, in fp32, on test if there is one and on validation; write the report."""
    job, images, split = setup.job, setup.images, setup.split
    plan = dataclasses.replace(job.plan, dtype="fp32", compile=False)
    scored: tuple[Part, ...] = ("test", "val")
    judged = [(part, *judged_images(images, split, part, job.before)) for part in scored]
    unseen = [one for one in judged if len(one[1])]
    predictor = _calibrated(job, plan, judged[1][1])
    selected = job.recipe.select is not None or job.recipe.patience is not None
    evaluations = tuple(
        judge(
            predictor, images, indices, part, source=job.source, selected_on=selected and part == "val",
            known_unseen=bool(unseen), findings=left_out,
        )
        for part, indices, left_out in unseen or [("val", split.indices("val"), ())]
    )  # fmt: skip
    findings: tuple[Finding, ...] = (*images.findings, *split.findings)
    write_report(job.run.report, run=job.run, split=split, evaluations=evaluations, findings=findings)
    seconds = sum(row["seconds"] for row in position.rows)
    probed = job.recipe.probe is not None  # its rows are strengths of a regression, not epochs
    passes = 1.0 if probed else position.steps_ever / job.epoch_length
    for evaluation in evaluations:
        setup.log.keep(evaluation.describe())
    return TrainingResult(
        run=job.run.path,
        model=job.architecture.name,
        metric="accuracy",
        value=evaluations[0].scores.top1,
        interval=evaluations[0].scores.interval,
        part=evaluations[0].part,
        epochs=1 if probed else position.epoch,
        seconds=seconds,
        images_per_second=round(passes * len(job.train) / seconds, 1) if seconds else 0.0,
        evaluations=evaluations,
        split=split,
    )


def _calibrated(job: Job, plan: Plan, val: NDArray[np.int64]) -> Predictor:
    """The best weights with a temperature fitted on unseen validation images, which is kept with them."""
    resolved = _best_of(job)
    assert resolved.header is not None
    assert resolved.weights is not None
    predictor = load_predictor(resolved, plan)
    if not len(val):
        return predictor
    metric = ClassificationMetric()
    predictor.measure(job.source, val, metric)
    header = dataclasses.replace(resolved.header, temperature=fit_temperature(metric.answers()))
    save_model_file(job.run.best, dict(resolved.weights), header)
    return Predictor(predictor.network, header, plan)


def _best_of(job: Job) -> ResolvedModel:
    """The best weights a run has written, in the network that it was given."""
    header, weights = read_model_file(job.run.best)
    return ResolvedModel(
        spec=str(job.run.best),
        architecture=job.architecture,
        weights=weights,
        header=header,
        path=job.run.best,
    )
