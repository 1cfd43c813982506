"""Several runs that are one experiment: folds, or repeats with other seeds."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any, Literal

from sightline.base import ArgumentError, DataError, Finding, Interrupted, storage_errors, write_json
from sightline.data import ImageSet, open_images, split_images
from sightline.evaluation import (
    LabelReview,
    SeriesMember,
    mean_interval,
    pool,
    review_labels,
    write_corrections,
    write_label_page,
    write_series_report,
)
from sightline.inference import resolve
from sightline.records import RunFolder, SeriesFolder
from sightline.training._choices import Again, Options, default_model, run_name
from sightline.training._one import resume_one, train_one
from sightline.training._recipe import recipe_from
from sightline.training._reporter import Reporter
from sightline.training._result import LabelFiles, TrainingResult
from sightline.training._set_up import TASK, decide
from sightline.training._together import check_alone

Kind = Literal["folds", "repeats"]

LABEL_PAGE = "labels.html"
CORRECTIONS = "labels.csv"


def train_series(
    options: Options, *, folds: int | None, repeat: int | None, reporter: Reporter
) -> TrainingResult:
    """Train a series from its beginning; arguments and errors as `train`."""
    if folds is not None and repeat is not None:
        raise ArgumentError("--folds and --repeat exclude each other")
    count = folds or repeat or 0
    if count < 2:
        raise ArgumentError(f"--{'repeat' if folds is None else 'folds'} must be at least 2; it is {count}")
    check_alone("--folds" if repeat is None else "--repeat")
    kind: Kind = "repeats" if folds is None else "folds"
    first = dataclasses.replace(options, minutes=None, fold=None if folds is None else (1, count))
    images = decide(first, reporter).images
    for number in range(2, count + 1) if folds else ():  # one that cannot be is found before any is trained
        split_images(images, options.split_seed, (number, count))
    options = dataclasses.replace(options, model=options.model or default_model(images))
    assert options.model is not None
    output = Path(options.output) if options.output is not None else None
    name = f"{run_name(resolve(options.model).architecture.name, options.data)}-{kind}"
    folder = SeriesFolder.create(TASK.name, name, output, options.exist_ok)
    names = [f"{'fold' if folds else 'run'}-{number}" for number in range(1, count + 1)]
    folder.begin(kind, names, _recorded(options, images))
    with storage_errors(folder.path):
        (folder.path / LABEL_PAGE).unlink(missing_ok=True)  # of a series that is replaced
    return _train_members(folder, options, Again(model=options.model), reporter)


def resume_series(folder: SeriesFolder, again: Again, reporter: Reporter) -> TrainingResult:
    """Go on with a series: finished runs are judged again, others finished; errors as `resume`."""
    if again.epochs is not None:
        raise ArgumentError(
            f"--epochs is for one run; extend each of {folder.path}: {', '.join(folder.names())}"
        )
    check_alone("a series of runs")
    try:
        options = Options(**folder.read()["options"])
    except TypeError as error:
        raise DataError(f"{folder.record} is not what this version writes: {error}") from error
    foreign = ".py:" in (options.model or "")
    if foreign and again.model is None:
        raise ArgumentError(
            f"the runs' network is {options.model}, and a user's code is not run unasked; "
            f"add --model {options.model}"
        )
    options = dataclasses.replace(
        options,
        model=again.model if foreign else options.model,
        device=again.device or options.device,
        recipe=None if options.recipe is None else str(options.recipe),
    )
    if not (folder.path / folder.names()[0] / "args.yaml").is_file():
        raise DataError(f"{folder.path} was stopped before its first run began; start it again")
    return _train_members(folder, options, again, reporter)


def _train_members(
    folder: SeriesFolder, options: Options, again: Again, reporter: Reporter
) -> TrainingResult:
    """Every run of a series, all by the recipe of the first."""
    record = folder.read()
    names = folder.names()
    results = []
    for number, name in enumerate(names, start=1):
        reporter.note(f"{name} of {len(names)}")
        try:
            results.append(_train_member(folder, options, again, reporter, record["kind"], number))
        except Interrupted as error:
            on = f"go on with: sightline train --resume {folder.path}"
            raise Interrupted(f"stopped in {name}; {on}", error.exit_code - 128) from error
    return _finish(folder, record["kind"], results, reporter)


def _train_member(
    folder: SeriesFolder, options: Options, again: Again, reporter: Reporter, kind: Kind, number: int
) -> TrainingResult:
    names = folder.names()
    path = folder.path / names[number - 1]
    if (path / "resume").is_dir() and any((path / "resume").glob("checkpoint-*")):
        return resume_one(path, dataclasses.replace(again, model=options.model), reporter)
    with storage_errors(path):
        shutil.rmtree(path, ignore_errors=True)  # stopped before its first checkpoint
    mine = dataclasses.replace(options, output=path, exist_ok=True, examine=number == 1)
    if kind == "folds":
        mine = dataclasses.replace(mine, fold=(number, len(names)))
    else:
        mine = dataclasses.replace(mine, seed=options.seed + number - 1)
    if number > 1:
        mine = _as_the_first(mine, RunFolder.open(folder.path / names[0]))
    elif mine.minutes is not None:
        mine = dataclasses.replace(mine, minutes=mine.minutes / len(names))
    return train_one(mine, reporter)


def _as_the_first(options: Options, first: RunFolder) -> Options:
    """The options of a later run: the recipe and input size that the first one came to."""
    args = first.read_args()
    height, width = args["model"]["input_size"]
    return dataclasses.replace(
        options,
        recipe=recipe_from(args["recipe"]),
        img_size=height if options.minutes is not None and height == width else options.img_size,
        weights=None, epochs=None, minutes=None, batch_size=None, lr=None, balance=None, select=None,
        symmetry=None,
    )  # fmt: skip


def _finish(
    folder: SeriesFolder, kind: Kind, results: list[TrainingResult], reporter: Reporter
) -> TrainingResult:
    """Put the runs' results together, and write the summary and the report."""
    headlines = [result.evaluations[0] for result in results]
    pooled = pool(headlines, "all, out of fold") if kind == "folds" else None
    if pooled is None:
        value, (low, high) = mean_interval([result.value for result in results])
        interval = max(0.0, low), min(1.0, high)  # of few runs, Student's t can go beyond what there is
    else:
        value, interval = pooled.scores.top1, pooled.scores.interval
    labels = _judge_labels(folder, results, reporter) if kind == "folds" else None
    seconds = sum(result.seconds for result in results)
    seen = sum(result.seconds * result.images_per_second for result in results)
    series = TrainingResult(
        run=folder.path,
        model=results[0].model,
        metric=results[0].metric,
        value=value,
        interval=interval,
        part=results[0].part if pooled is None else pooled.part,
        epochs=max(result.epochs for result in results),
        seconds=seconds,
        images_per_second=round(seen / seconds, 1) if seconds else 0.0,
        evaluations=tuple(headlines) if pooled is None else (pooled,),
        runs=tuple(results),
        labels=labels,
    )
    write_json(folder.summary, series.to_dict())
    write_series_report(
        folder.report,
        kind=kind,
        members=[
            SeriesMember(
                name=result.run.name,
                run=RunFolder.open(result.run),
                split=result.split,
                evaluations=result.evaluations,
                epochs=result.epochs,
                seconds=result.seconds,
            )
            for result in results
            if result.split is not None
        ],
        pooled=pooled,
        value=value,
        interval=interval,
        findings=() if labels is None else (_label_finding(labels),),
    )
    return series


def _judge_labels(folder: SeriesFolder, results: list[TrainingResult], reporter: Reporter) -> LabelFiles:
    """Write the page of likely mislabelled images, and the corrections where a CSV can hold them."""
    review = review_labels([result.evaluations[0] for result in results])
    page = folder.path / LABEL_PAGE
    corrections: Path | None = None
    try:
        images = _with_test_images(review, reporter)
        corrections = write_corrections(folder.path / CORRECTIONS, review, images)
        note = _note(review, folder.path / CORRECTIONS, corrections)
    except DataError as error:
        note = f"no {CORRECTIONS}: {error}"
    write_label_page(page, review, corrections=corrections, note=note)
    labels = LabelFiles(review=review, page=page, corrections=corrections, note=note)
    reporter.note(labels.describe())
    return labels


def _with_test_images(review: LabelReview, reporter: Reporter) -> ImageSet:
    """The images that were divided into folds and, where the set has parts, its test images beside them."""
    images = review.images
    if images.root is None or images.parts[0] is None:
        return images
    whole = open_images(
        images.location, training=False, allow_unreadable=True, pages=images.pages, progress=reporter.progress
    )
    return whole.with_classes(images.classes)


def _note(review: LabelReview, wanted: Path, written: Path) -> str:
    if review.images.root is None:
        return (
            f"{review.images.source} has no files that a CSV could list: {written.name} names each image by "
            "its place in the set, and is to be read, not trained on"
        )
    if written != wanted:
        return f"{wanted.name} is there with other content, perhaps edited, and stays as it is"
    return ""


def _label_finding(labels: LabelFiles) -> Finding:
    found = len(labels.review.issues)
    where = " and ".join(path.name for path in (labels.page, labels.corrections) if path is not None)
    return Finding(
        level="warning" if found else "info",
        where=labels.review.images.source,
        what=labels.review.describe(),
        why="networks that were not trained on them are sure of another class; wrong labels cost accuracy, "
        "and count as mistakes where there is none"
        if found
        else "no network is sure of another class than the given one",
        do="; ".join(filter(None, [f"look at {where}, beside this report", labels.review.caution]))
        if found
        else "nothing",
    )


def _recorded(options: Options, images: ImageSet) -> dict[str, Any]:
    """The options as JSON, so that they mean the same in any folder."""
    absolute: dict[str, Any] = {
        "data": images.location,
        "source": options.data,
        "recipe": options.recipe if isinstance(options.recipe, str) else None,
        "output": None,
    }
    if options.weights is not None and Path(options.weights).exists():
        absolute["weights"] = str(Path(options.weights).resolve())
    name, at, file = (options.model or "").rpartition("@")
    if Path(file).exists() and file:
        absolute["model"] = f"{name}{at}{Path(file).resolve()}"
    return dataclasses.asdict(dataclasses.replace(options, recipe=None)) | absolute
