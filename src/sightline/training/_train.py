"""From a folder of images to a judged network: the whole way, and going on with it."""

from __future__ import annotations

from pathlib import Path

from sightline.data import DEFAULT_BUDGET_MB
from sightline.records import SeriesFolder
from sightline.training._choices import CHECKPOINT_SECONDS, Again, Options
from sightline.training._one import resume_one, train_one
from sightline.training._recipe import Recipe
from sightline.training._reporter import PlainReporter, Reporter
from sightline.training._result import TrainingResult
from sightline.training._series import resume_series, train_series


def train(
    data: str,
    *,
    model: str | None = None,
    recipe: str | Recipe | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    img_size: int | None = None,
    group_by: str | None = None,
    folds: int | None = None,
    repeat: int | None = None,
    balance: str | None = None,
    select: str | None = None,
    symmetry: str | None = None,
    seed: int = 0,
    split_seed: int = 0,
    allow_unreadable: bool = False,
    pages: str = "",
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
        weights: A run, model file or weights file to start from; or `public`, those of the network.
        epochs: Instead of the recipe's.
        minutes: How long setting up, training and judging may take, about: as many epochs as fit, of smaller
            images where the network can take them and too few of the usual ones would. Of a series, together.
        batch_size: Instead of the recipe's.
        lr: Peak learning rate, instead of the recipe's.
        img_size: Side of the square the network is given.
        group_by: A regular expression; images in whose relative paths it matches the same are of one group,
            which no split divides.
        folds: Cross-validate: so many runs, in each of which another part of the images is the test part.
        repeat: So many runs with seeds that follow `seed`, on the same split.
        balance: What is done for classes of unequal size, instead of the recipe's: `none`, `weights` (their
            losses count more), `sampling` (they are shown more often).
        select: The metric that chooses the best epoch, instead of the recipe's.
        symmetry: What may be done to an image without changing its class, instead of the recipe's: `none`,
            `mirror` (left-right), `all` (mirrors and quarter turns).
        seed: Of everything random in training.
        split_seed: Of the split, where the folder does not say it.
        allow_unreadable: Leave out unreadable files, however many.
        pages: Of files of several pages or frames: `first`, `max`, `channels`, or a number from 1.
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
        data=data, model=model, recipe=recipe, weights=weights, epochs=epochs, minutes=minutes,
        batch_size=batch_size, lr=lr, img_size=img_size, group_by=group_by, balance=balance, select=select,
        symmetry=symmetry, seed=seed, split_seed=split_seed, allow_unreadable=allow_unreadable, pages=pages,
        device=device, precision=precision, output=output, exist_ok=exist_ok, cache_mb=cache_mb,
        checkpoint_seconds=checkpoint_seconds, checkpoint_steps=checkpoint_steps,
    )  # fmt: skip
    reporter = reporter or PlainReporter()
    if folds is not None or repeat is not None:
        return train_series(options, folds=folds, repeat=repeat, reporter=reporter)
    return train_one(options, reporter)


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
        run_folder: The run, or a series of runs, of which the unfinished ones go on.
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
    reporter = reporter or PlainReporter()
    again = Again(
        epochs=epochs,
        model=model,
        device=device,
        checkpoint_seconds=checkpoint_seconds,
        checkpoint_steps=checkpoint_steps,
    )
    if SeriesFolder.is_one(Path(run_folder)):
        return resume_series(SeriesFolder(Path(run_folder)), again, reporter)
    return resume_one(Path(run_folder), again, reporter)
