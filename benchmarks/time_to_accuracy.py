"""Seconds of training until the validation accuracy reaches a target: Sightline and the lecture's program.

    python benchmarks/time_to_accuracy.py DATA --keras-python PYTHON [--target 0.92] [--limit 1800]
        [--rounds 1] [--epochs N] [--recipe R] [--symmetry S] [--backend tensorflow]

DATA is Fashion-MNIST as a folder. Both train the same network (1,413,834 parameters) on the same images and
validate on the same others: Sightline's split, handed over in a file. Sightline is `train(...)` with the
options given here, to the end of its epochs. The other is the lecture's first Keras program as its book
compiles it: each pixel standardised, Nadam at its default rate, batches of 32, sparse categorical cross
entropy, TensorFlow unless `--backend` says otherwise; it stops at the target or after `--limit` seconds.
Seconds are wall clock from before the first step to the end of an epoch's validation, for Sightline with its
model files and checkpoints. What comes before the first step (opening, timing the plan; importing, building)
is printed beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

BATCH = 32


class Clock:
    """A reporter that notes when each epoch has ended, its validation and files included.

    Training begins with the last note before the first step, which is a little early: the run's settings
    and its first checkpoint are written after it.
    """

    def __init__(self) -> None:
        self.created = self.began = time.perf_counter()
        self.training = 0.0
        self.curve: list[tuple[float, float]] = []
        self._stepping = False

    def note(self, text: str) -> None:
        if not self._stepping:
            self.began = time.perf_counter()

    def progress(self, what: str, done: int, total: int, detail: Callable[[], str] | None = None) -> None:
        self._stepping |= what.startswith("epoch")

    def epoch(
        self, rows: Sequence[Mapping[str, Any]], total: int, seconds_left: float, select: str | None
    ) -> None:
        self.training += rows[-1]["seconds"]
        self.curve.append((time.perf_counter() - self.began, rows[-1]["val_accuracy"]))


def sightline_child(options: argparse.Namespace) -> dict[str, Any]:
    """Train as `sightline train` does."""
    import torch

    from sightline import __version__
    from sightline.training import train

    chosen = {name: getattr(options, name) for name in ("recipe", "epochs", "symmetry")}
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            options.data, model="lecture_cnn", seed=options.seed, output=Path(folder) / "run",
            reporter=clock, **given,
        )  # fmt: skip
    return {
        "curve": clock.curve,
        "before": clock.began - clock.created,
        "how": f"sightline {__version__}, torch {torch.__version__}, {given}; {clock.training:.1f} s of "
        f"results.csv, the rest is validation and files; test accuracy {result.value:.4f}",
    }


def keras_child(options: argparse.Namespace) -> dict[str, Any]:
    """The lecture's first program, compiled and fitted as its book does."""
    began = time.perf_counter()
    import keras  # type: ignore[import-not-found,unused-ignore]
    import numpy as np

    from keras_parts import build

    keras.utils.set_random_seed(options.seed)
    data = dict(np.load(options.data))
    x, x_val = (data[name].astype(np.float32) for name in ("train_images", "val_images"))  # n h w 1
    mean, std = x.mean(axis=0, keepdims=True), x.std(axis=0, keepdims=True) + 1e-7
    model = build("lecture_cnn", activation="softmax")
    model.compile(loss="sparse_categorical_crossentropy", optimizer="nadam", metrics=["accuracy"])
    curve: list[tuple[float, float]] = []

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        """Notes the curve, and stops at the target or the limit."""

        def on_train_begin(self, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # at the end, it would wait
            self.model.stop_training |= time.perf_counter() - self.started > options.limit

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds, accuracy = time.perf_counter() - self.started, float(logs["val_accuracy"])
            curve.append((seconds, accuracy))
            print(f"    {seconds:7.1f} s  {accuracy:.4f}", file=sys.stderr, flush=True)
            self.model.stop_training |= accuracy >= options.target or seconds > options.limit

    before = time.perf_counter() - began
    model.fit(
        (x - mean) / std, data["train_targets"], batch_size=BATCH, epochs=options.most_epochs, verbose=0,
        validation_data=((x_val - mean) / std, data["val_targets"]), callbacks=[Watch()],
    )  # fmt: skip
    how = f"keras {keras.__version__}, {keras.backend.backend()}, Nadam, batch {BATCH}"
    return {"curve": curve, "before": before, "how": how}


def export(data: str, path: Path) -> None:
    """Sightline's own training and validation images, for the other."""
    import numpy as np

    from sightline.data import open_batches, open_images, split_images
    from sightline.imaging import Canvas

    images = open_images(data)
    assert images.one_size == (28, 28), f"the lecture's program takes 28x28 images, not {images.one_size}"
    assert images.channels == 1, "the lecture's program takes grey images"
    split, source = split_images(images), open_batches(images, Canvas(28, 28, 1))
    arrays: dict[str, Any] = {}
    for part in ("train", "val"):
        (batch,) = source.batches([split.indices(part)])
        arrays[f"{part}_images"] = batch.images.permute(0, 2, 3, 1).numpy()
        arrays[f"{part}_targets"] = batch.targets.numpy()
    np.savez(path, **arrays)
    print(f"{data}: {len(arrays['train_targets'])} train, {len(arrays['val_targets'])} val ({split.rule})")


def run_child(name: str, seed: int, options: argparse.Namespace, exported: Path) -> dict[str, Any]:
    """One of the two in a process of its own; its last line of output is its answer."""
    python = options.keras_python if name == "keras" else sys.executable
    command = [python, __file__, str(exported) if name == "keras" else options.data, "--child", name]
    for option in ("target", "limit", "epochs", "recipe", "symmetry", "most_epochs"):
        value = getattr(options, option)
        command += [] if value is None else [f"--{option.replace('_', '-')}", str(value)]
    environment = os.environ | {"KERAS_BACKEND": options.backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command += ["--seed", str(seed)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    reached = [seconds for seconds, accuracy in found["curve"] if accuracy >= options.target]
    found["reached"] = reached[0] if reached else None
    return found


def show(name: str, found: dict[str, Any], options: argparse.Namespace) -> None:
    print(f"{name} [{found['how']}]; {found['before']:.1f} s before the first step")
    for epoch, (seconds, accuracy) in enumerate(found["curve"], start=1):
        print(f"  epoch {epoch:>3}  {seconds:8.1f} s  validation accuracy {accuracy:.4f}")
    best = max(accuracy for _, accuracy in found["curve"])
    never = f"never, in {found['curve'][-1][0]:.1f} s; best {best:.4f}"
    when = never if found["reached"] is None else f"after {found['reached']:.1f} s"
    print(f"  {options.target:.4f} reached {when}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--keras-python", help="a Python with keras and the backend")
    parser.add_argument("--target", type=float, default=0.92)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds the Keras program may train")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    parser.add_argument("--epochs", type=int, help="Sightline's")
    parser.add_argument("--recipe", help="Sightline's")
    parser.add_argument("--symmetry", help="Sightline's")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--most-epochs", type=int, default=1000, help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=("sightline", "keras"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps({"sightline": sightline_child, "keras": keras_child}[options.child](options)))
        return
    ours: list[float] = []
    ratios: list[float] = []
    at_least = False
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "images.npz"
        export(options.data, exported)
        for seed in range(options.seed, options.seed + options.rounds):
            mine = run_child("sightline", seed, options, exported)
            show(f"seed {seed}: sightline", mine, options)
            ours += [] if mine["reached"] is None else [mine["reached"]]
            if not options.keras_python:
                continue
            theirs = run_child("keras", seed, options, exported)
            show(f"seed {seed}: the lecture's program", theirs, options)
            if mine["reached"] is not None:
                at_least |= theirs["reached"] is None
                ratios.append((theirs["reached"] or theirs["curve"][-1][0]) / mine["reached"])
    if ours:
        print(f"sightline: {statistics.median(ours):.1f} s ({min(ours):.1f} to {max(ours):.1f})")
    print(f"sightline reached {options.target:.4f} in {len(ours)} of {options.rounds} rounds")
    if ratios:
        sign = ">= " if at_least else ""
        print(
            f"the lecture's program took {sign}{statistics.median(ratios):.2f} times as long "
            f"({sign}{min(ratios):.2f} to {max(ratios):.2f}), n={len(ratios)}"
            + ("; where it never got there, its limit counts" if at_least else "")
        )


if __name__ == "__main__":
    main()
