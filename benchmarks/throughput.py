"""Whole training against the bare step: what data, augmentation and logging cost.

    python benchmarks/throughput.py DATA --model lecture_cnn [--pairs 7] [--steps 60]

In one process, in turn: `--steps` bare steps (forward, loss, backward, optimizer, on one prepared batch in
memory), and one epoch of as many steps through the real loop (loading, augmentation, preprocessing,
logging, model files, results.csv). Both under the same measured plan, at batch 128. Prints images per
second (median and range) and the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from sightline.base import Draws
from sightline.records import RunFolder
from sightline.training import (
    Job,
    Options,
    Phase,
    SilentReporter,
    epoch_steps,
    fit,
    prepare,
    set_up,
)

BATCH = 128


def bare(job: Job, steps: int) -> float:
    """Seconds of some steps on one prepared batch."""
    draws = Draws(job.seed)
    (stored,) = job.source.batches([epoch_steps(job.train, draws, job.recipe.batch_size)[0]])
    batch = prepare(stored, job, draws)
    settings = job.recipe.optimizers["main"]
    optimizer = torch.optim.AdamW(
        job.network.parameters(), lr=1e-6, weight_decay=settings.weight_decay, fused=True
    )
    smoothing = job.recipe.objective.get("label_smoothing", 0.0)
    job.network.train()

    def step() -> None:
        with job.plan.autocast():
            logits = job.network(batch.images)
        F.cross_entropy(logits.float(), batch.targets, label_smoothing=smoothing).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    if job.plan.device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() - started


def whole(job: Job, steps: int) -> float:
    """Seconds of one epoch through the loop, without validation."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        recipe = dataclasses.replace(job.recipe, phases=(Phase(epochs=1),))
        short = dataclasses.replace(
            job, run=run, recipe=recipe, train=job.train[: steps * recipe.batch_size], make_metric=None
        )
        started = time.perf_counter()
        fit(short)
        return time.perf_counter() - started


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="lecture_cnn")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = Options(
            data=options.data, model=options.model, batch_size=BATCH, output=Path(folder) / "run"
        )
        job = set_up(chosen, SilentReporter()).job
        print(f"{options.model} on {options.data}: plan {job.plan.describe()}")
        print(f"augmentation {job.recipe.augmentation}")
        images = options.steps * BATCH
        bares, wholes, ratios = [], [], []
        for pair in range(options.pairs + 1):
            one, two = images / bare(job, options.steps), images / whole(job, options.steps)
            if pair == 0:
                continue  # a warm-up
            bares.append(one)
            wholes.append(two)
            ratios.append(two / one)
            print(
                f"  pair {pair}: bare {one:.0f} images/s, whole {two:.0f}, ratio {two / one:.3f}", flush=True
            )
    print(f"bare {spread(bares)} images/s, whole {spread(wholes)} images/s, n={options.pairs}")
    print(f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    print(f"torch {torch.__version__}, {job.plan.describe()}")


if __name__ == "__main__":
    sys.exit(main())
