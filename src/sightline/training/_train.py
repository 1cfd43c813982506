"""From a folder of images to a judged network: the whole way, and going on with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sightline.base import Finding
from sightline.data import DEFAULT_BUDGET_MB, Part
from sightline.evaluation import Evaluation, judge, judged_images, write_report
from sightline.inference import ResolvedModel, load_predictor
from sightline.records import read_model_file
from sightline.training._fit import Job, Position, fit
from sightline.training._recipe import Recipe
from sightline.training._reporter import PlainReporter, Reporter
from sightline.training._set_up import CHECKPOINT_SECONDS, Options, Setup, set_up, set_up_again


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainingResult:
    """What a run came to."""

    run: Path
    model: str
    metric: str
    value: float
    """Of `metric`, on the test split if there is one, else on the validation split; computed in fp32."""
    epochs: int
    seconds: float
    """Of training, without setting up and judging."""
    images_per_second: float
    """Over all epochs, data and augmentation included."""
    evaluations: tuple[Evaluation, ...]
    """The headline first."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `train`."""
        return {
            "run": str(self.run),
            "model": self.model,
            "metric": self.metric,
            "value": self.value,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "images_per_second": self.images_per_second,
            "interval": list(self.evaluations[0].scores.interval),
            "part": self.evaluations[0].part,
        }


def train(
    data: str,
    *,
    model: str | None = None,
    recipe: str | Recipe | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    img_size: int | None = None,
    select: str | None = None,
    seed: int = 0,
    split_seed: int = 0,
    allow_unreadable: bool = False,
    device: str = "auto",
    precision: str = "auto",
    output: Path | str | None = None,
    exist_ok: bool = False,
    cache_mb: int = DEFAULT_BUDGET_MB,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    checkpoint_steps: int | None = None,
    reporter: Reporter | None = None,
) -> TrainingResult:
    """Train a classifier on labelled images, judge it, and write its report.

    Args:
        data: A folder of class folders, with or without train, val and test; or `digits`.
        model: A zoo name, `FILE.py:NAME`, or either with `@FILE`; chosen by the images where None.
        recipe: A recipe, its name, or `FILE.py:NAME`; the default one where None.
        weights: A run, model file or weights file to start from.
        epochs: Instead of the recipe's.
        batch_size: Instead of the recipe's.
        lr: Peak learning rate, instead of the recipe's.
        img_size: Side of the square the network is given.
        select: The metric that chooses the best epoch, instead of the recipe's.
        seed: Of everything random in training.
        split_seed: Of the split, where the folder does not say it.
        allow_unreadable: Leave out unreadable files, however many.
        device: `auto`, or a torch device.
        precision: `auto` to choose by timing, or the number format.
        output: The run folder; `runs/classification/...` where None.
        exist_ok: Whether `output` may exist, and what is in it be replaced.
        cache_mb: Megabytes of decoded images that may be kept; more are decoded as needed.
        checkpoint_seconds: Longest time between two checkpoints.
        checkpoint_steps: Checkpoint after so many steps as well.
        reporter: Is told what happens; plain lines on standard error where None.

    Raises:
        SightlineError: whatever a user can mend; see its tree.
    """
    options = Options(
        data=data, model=model, recipe=recipe, weights=weights, epochs=epochs, batch_size=batch_size, lr=lr,
        img_size=img_size, select=select, seed=seed, split_seed=split_seed,
        allow_unreadable=allow_unreadable, device=device, precision=precision, output=output,
        exist_ok=exist_ok, cache_mb=cache_mb, checkpoint_seconds=checkpoint_seconds,
        checkpoint_steps=checkpoint_steps,
    )  # fmt: skip
    setup = set_up(options, reporter or PlainReporter())
    return _finish(setup, fit(setup.job))


def resume(
    run_folder: Path | str,
    *,
    epochs: int | None = None,
    model: str | None = None,
    device: str | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    checkpoint_steps: int | None = None,
    reporter: Reporter | None = None,
) -> TrainingResult:
    """Go on with a run that was stopped, or extend one that was finished.

    The run's own settings, split and plan are used. On the machine that started it the result is, bit for
    bit, that of a run that was never stopped. An extended run's learning rates are those of a schedule that
    was as long from the start, so that the rate goes up at the seam.

    Args:
        run_folder: The run.
        epochs: A new total.
        model: `FILE.py:NAME`, if the run's network is a user's own.
        device: Where to compute, if not where the run did; the plan is then timed anew.
        checkpoint_seconds: Longest time between two checkpoints.
        checkpoint_steps: Checkpoint after so many steps as well.
        reporter: Is told what happens; plain lines on standard error where None.

    Raises:
        DataError: if the folder is no run, has no checkpoint, or its images are not what they were.
        SightlineError: whatever else a user can mend.
    """
    setup = set_up_again(
        Path(run_folder),
        reporter or PlainReporter(),
        epochs=epochs,
        model=model,
        device=device,
        checkpoint_seconds=checkpoint_seconds,
        checkpoint_steps=checkpoint_steps,
    )
    return _finish(setup, fit(setup.job, resume=True))


def _finish(setup: Setup, position: Position) -> TrainingResult:
    """Judge the best weights, in fp32, on test if there is one and on validation; write the report."""
    job, images, split = setup.job, setup.images, setup.split
    plan = dataclasses.replace(job.plan, dtype="fp32", compile=False)
    resolved = _best_of(job)
    predictor = load_predictor(resolved, plan)
    scored: tuple[Part, ...] = ("test", "val")
    judged = [(part, *judged_images(images, split, part)) for part in scored]
    unseen = [one for one in judged if len(one[1])]
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
    trained = len(job.train) * len(position.rows)
    for evaluation in evaluations:
        setup.log.keep(evaluation.describe())
    return TrainingResult(
        run=job.run.path,
        model=job.architecture.name,
        metric="accuracy",
        value=evaluations[0].scores.top1,
        epochs=position.epoch,
        seconds=seconds,
        images_per_second=round(trained / seconds, 1) if seconds else 0.0,
        evaluations=evaluations,
    )


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
