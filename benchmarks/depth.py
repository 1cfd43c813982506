"""Plain and residual networks of 20 and 56 layers by `resnet_2015`, cut short: which learns, and how far.

    python benchmarks/depth.py CIFAR --runs FOLDER [--only resnet20 plain20] [--steps 6400 1600]
        [--csv curves.csv]

CIFAR has `train/<class>/` and `test/<class>/` of 32x32 images. 20 layers are trained for 6,400 steps of 128,
56 for 1,600, or as `--steps` says (the paper: 64,000), rates divided by ten at half and at three quarters of
them; a tenth of the training images is held out. Runs lie in FOLDER and may take days: one that was stopped
goes on where it was, one that is finished is only read. The curves of all go into the CSV, a row an epoch,
with command, machine and date; the test accuracy of the best and of the last weights is printed.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import datetime
import sys
from pathlib import Path

import torch

from sightline import __version__, evaluate, resume, train
from sightline.machine import choose_device, device_name, usable_cores
from sightline.training import PlainReporter, Recipe
from sightline.training.recipes import resnet_2015

NETWORKS = ("resnet20", "plain20", "resnet56", "plain56")
BATCH = 128
COLUMNS = (
    "model", "epoch", "steps", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr_main",
    "images_per_second", "seconds",
)  # fmt: skip


def recipe(steps: int, num_images: int) -> Recipe:
    """The paper's, over so many steps."""
    epochs = -(-steps // -(-num_images // BATCH))
    base = resnet_2015(num_images=num_images, channels=3, size=(32, 32), epochs=epochs)
    return dataclasses.replace(base, max_steps=steps)


def steps_of(name: str, options: argparse.Namespace) -> int:
    """Of 20 layers, of 56."""
    return int(options.steps[0 if name.endswith("20") else 1])


def run(name: str, options: argparse.Namespace) -> Path:
    """Train one network, or go on with it, or leave it as it is if it is finished."""
    path: Path = options.runs / name
    if (path / "report.html").exists():
        return path
    if (path / "resume").is_dir():
        resume(path, reporter=PlainReporter())
        return path
    train(
        str(options.data), model=name, recipe=recipe(steps_of(name, options), options.images), output=path,
        exist_ok=True, precision=options.precision, reporter=PlainReporter(),
    )  # fmt: skip
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--steps", nargs=2, type=int, default=(6_400, 1_600), help="of 20 and of 56 layers")
    parser.add_argument(
        "--images", type=int, default=45_000, help="images to train on: of 50,000, nine tenths"
    )
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    rows = []
    for name in options.only:
        path = run(name, options)
        with (path / "results.csv").open(newline="") as file:
            epochs = list(csv.DictReader(file))
        length = -(-options.images // BATCH)
        for row in epochs:
            steps = min(steps_of(name, options), int(row["epoch"]) * length)
            rows.append([name, row["epoch"], steps, *(row[column] for column in COLUMNS[3:])])
        best, last = (
            evaluate(str(path / f"{which}.safetensors"), str(options.data)).scores
            for which in ("best", "last")
        )
        low, high = (100 * bound for bound in last.interval)
        error = 100 - 100 * float(epochs[-1]["train_accuracy"])
        seconds = sum(float(row["seconds"]) for row in epochs)
        print(f"{name}: {steps_of(name, options)} steps in {seconds:.0f} s, training error {error:.2f} %")
        print(f"    test accuracy of the last weights {100 * last.top1:.2f} % ({low:.2f} to {high:.2f})")
        print(f"    and of the best {100 * best.top1:.2f} %", flush=True)
    if options.csv is not None:
        machine = f"{device_name(choose_device('auto'))}, {usable_cores()} cores, {options.precision}"
        how = f"python benchmarks/depth.py CIFAR --only {' '.join(options.only)} --steps {options.steps[0]} "
        how += f"{options.steps[1]} --images {options.images} --precision {options.precision}"
        versions = f"sightline {__version__}, torch {torch.__version__}"
        with options.csv.open("w", newline="") as file:
            file.write(f"# {how}; {versions}; {machine}; {datetime.date.today().isoformat()}\n")
            csv.writer(file).writerows([COLUMNS, *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
