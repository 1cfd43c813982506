"""`sightline train` and `sightline demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli._console import handled, make_reporter, print_json

if TYPE_CHECKING:
    from sightline.training import TrainingResult


@handled
def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(
            help="A folder of class folders, a CSV of path,label, .npz, idx or CIFAR files; or digits."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A zoo name, NAME@FILE, or FILE.py:NAME. Default: by the images.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe's name, or FILE.py:NAME.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="A run, model file or weights file to start from; or public.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; with --resume, a new total.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Instead of --epochs: how long it may take, in all.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", min=1, help="Images a step.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    img_size: Annotated[
        int | None, typer.Option("--img-size", "--imgsz", min=1, help="Side of the network's square input.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by", help="Expression on paths, or a CSV column; what is alike in it is never divided."
        ),
    ] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Cross-validate: as many runs.")] = None,
    repeat: Annotated[int | None, typer.Option(min=2, help="As many runs, each with another seed.")] = None,
    balance: Annotated[
        str | None, typer.Option(help="For classes of unequal size: none, weights, sampling.")
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="Metric that chooses the best epoch: accuracy, balanced_accuracy, macro_f1, auroc, loss."
        ),
    ] = None,
    symmetry: Annotated[
        str | None, typer.Option(help="What leaves the class as it is: none, mirror, all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random in training.")] = 0,
    split_seed: Annotated[int, typer.Option(help="Of the split, where the folder has none.")] = 0,
    allow_unreadable: Annotated[
        bool, typer.Option("--allow-unreadable", help="Leave out unreadable files, however many.")
    ] = False,
    pages: Annotated[
        str, typer.Option(help="Of files of several pages or frames: first, max, channels, or a number.")
    ] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto (timed), fp32 or bf16.")] = "auto",
    output: Annotated[
        Path | None, typer.Option(help="The run folder. Default: runs/classification/...")
    ] = None,
    exist_ok: Annotated[bool, typer.Option("--exist-ok", help="Replace the run in --output.")] = False,
    cache_mb: Annotated[
        int | None, typer.Option("--cache-mb", min=0, help="Megabytes of decoded images to keep.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with this run; with --epochs, extend it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Train a network on labelled images, judge it, and write its report."""
    from sightline.base import ArgumentError
    from sightline.data import DEFAULT_BUDGET_MB
    from sightline.training import resume as resume_run
    from sightline.training import train as train_run

    if (data is None) == (resume is None):
        raise ArgumentError("give DATA to train on, or --resume RUN to go on with; not both, not neither")
    if resume is not None:
        for name, parameter in _given(context).items():
            if name not in ("resume", "epochs", "model", "device", "json"):
                raise ArgumentError(
                    f"{parameter} cannot be changed by --resume: a run goes on with its own settings"
                )
        on = device if "device" in _given(context) else None
        result = resume_run(resume, epochs=epochs, model=model, device=on, reporter=make_reporter())
        _show(result, json)
        return
    assert data is not None
    result = train_run(
        data, model=model, recipe=recipe, weights=weights, epochs=epochs, minutes=minutes,
        batch_size=batch_size, lr=lr, img_size=img_size, group_by=group_by, folds=folds, repeat=repeat,
        balance=balance, select=select, symmetry=symmetry, seed=seed, split_seed=split_seed,
        allow_unreadable=allow_unreadable, pages=pages, device=device, precision=precision, output=output,
        exist_ok=exist_ok, cache_mb=DEFAULT_BUDGET_MB if cache_mb is None else cache_mb,
        reporter=make_reporter(),
    )  # fmt: skip
    _show(result, json)


@handled
def demo(
    output: Annotated[
        Path | None, typer.Option(help="The run folder. Default: runs/classification/...")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Train LeNet-5 on the embedded digits, judge it, and write its report: under a minute."""
    from sightline.training import train as train_run

    result = train_run("digits", model="lenet5", output=output, reporter=make_reporter())
    _show(result, json)


def _given(context: typer.Context) -> dict[str, str]:
    """The parameters that stood on the command line, and how they are written there."""
    return {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name and "COMMANDLINE" in str(context.get_parameter_source(parameter.name))
    }


def _show(result: TrainingResult, as_json: bool) -> None:
    from sightline.machine import ranks_here

    if not ranks_here().first:
        return
    if as_json:
        print_json(result.to_dict())
        return
    if result.runs:
        for run in result.runs:
            print(f"{run.run.name}: {run.describe()}")
        print(result.describe())
        if result.labels is not None:
            print(result.labels.describe())
    else:
        for evaluation in result.evaluations:
            print(evaluation.describe())
    print(f"report: {result.run / 'report.html'}")
    if not result.runs:
        print(f"predict: sightline predict {result.run} IMAGE")
