"""Kill a training run at random moments, resume it, and compare every byte with a run left alone.

    python benchmarks/kill_and_resume.py [--n 50] [--seed 0]

The run has everything that could go wrong between two halves: dropout, batch norm, a weight average, two
phases, accumulation, every augmentation, validation, snapshots. Moments are drawn in turn from four kinds:
any time, inside a training step, inside a validation, inside a save (between two operations on the disk).
A killed run is compared by every tensor of its model files and snapshots and every column of results.csv
but times.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

KINDS = ("any time", "in a step", "in a validation", "in a save")
HERE = Path(__file__).resolve()


class SmallNetwork(nn.Module):
    """Batch norm and dropout on 8x8 images."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Dropout2d(0.1),
        )  # fmt: skip
        self.head = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))  # type: ignore[no-any-return]


def recipe() -> Any:
    """Everything at once."""
    from sightline.imaging import Augmentation
    from sightline.training import Optimizer, Phase, Recipe

    return Recipe(
        phases=(
            Phase(epochs=2, trainable=("features",)),
            Phase(epochs=3, rates={"features": 0.3}, frozen_after={"features.0.bias": 1}),
        ),
        optimizers={"main": Optimizer(lr=5e-3)},
        batch_size=64,
        accumulate=2,
        augmentation=Augmentation(crop=0.1, flip="horizontal", rotate=10, zoom=0.1, colour=0.2, erase=0.3),
        objective={"label_smoothing": 0.1},
        ema_decay=0.98,
        clip_norm=1.0,
        snapshot_every=2,
    )


def child(run: str, what: str, kind: str, fatal: float) -> None:
    """Train or resume in this process; die at the `fatal`-th event of a kind, or only count them."""
    from sightline.training import SilentReporter, resume, train

    seen = arm(kind, fatal)
    began = time.perf_counter()
    if what == "train":
        train(
            "digits", model=f"{HERE}:SmallNetwork", recipe=f"{HERE}:recipe", output=Path(run),
            checkpoint_steps=7, reporter=SilentReporter(), seed=3,
        )  # fmt: skip
    else:
        resume(run, model=f"{HERE}:SmallNetwork", checkpoint_steps=11, reporter=SilentReporter())
    print(json.dumps(seen | {"any time": time.perf_counter() - began}))


def arm(kind: str, fatal: float) -> dict[str, int]:
    """Count what can be interrupted, and arrange for SIGKILL at the `fatal`-th event of one kind."""
    from sightline.inference import Predictor

    seen = dict.fromkeys(KINDS[1:], 0)

    def event(of: str) -> None:
        if of == kind and seen[of] == int(fatal):
            os.kill(os.getpid(), signal.SIGKILL)
        seen[of] += 1

    if kind == "any time":
        timer = threading.Timer(fatal, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()

    real_backward, real_outputs = Tensor.backward, Predictor.outputs

    def backward(self: Tensor, *args: Any, **kwargs: Any) -> None:
        real_backward(self, *args, **kwargs)  # type: ignore[no-untyped-call]
        if sys._getframe(1).f_locals.get("check"):  # not while the plan is timed
            event("in a step")

    def outputs(self: Predictor, images: Tensor) -> Tensor:
        event("in a validation")
        return real_outputs(self, images)

    Tensor.backward = backward  # type: ignore[method-assign,assignment]
    Predictor.outputs = outputs  # type: ignore[method-assign]
    for owner, name in ((os, "fsync"), (os, "link"), (Path, "replace"), (Path, "rename"), (shutil, "rmtree")):
        wrap(owner, name, event)
    return seen


def wrap(owner: Any, name: str, event: Callable[[str], None]) -> None:
    real = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        event("in a save")
        return real(*args, **kwargs)

    setattr(owner, name, wrapped)


def start(run: Path, what: str, kind: str = "", fatal: float = 0.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE), "--child", str(run), what, kind, str(fatal)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def differences(left: Path, right: Path) -> list[str]:
    """What differs between two finished runs."""
    found = []
    files = sorted(
        path.relative_to(left) for path in left.rglob("*.safetensors") if "resume" not in path.parts
    )
    if files != sorted(p.relative_to(right) for p in right.rglob("*.safetensors") if "resume" not in p.parts):
        return ["the list of model files"]
    for file in files:
        one, two = load_file(left / file), load_file(right / file)
        found += [f"{file}:{name}" for name in one if not same(one[name], two[name])]
        if one.keys() != two.keys():
            found.append(f"{file}: names")
    rows = [list(csv.DictReader((run / "results.csv").read_text().splitlines())) for run in (left, right)]
    for row in rows[0] + rows[1]:
        row.pop("seconds")
        row.pop("images_per_second")
    if rows[0] != rows[1]:
        found.append("results.csv")
    return found


def same(one: Tensor, two: Tensor) -> bool:
    return (
        one.dtype == two.dtype and one.shape == two.shape and one.numpy().tobytes() == two.numpy().tobytes()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=4)
    options = parser.parse_args()
    if options.child:
        run, what, kind, fatal = options.child
        child(run, what, kind, float(fatal))
        return 0

    draw = random.Random(options.seed)
    identical = dict.fromkeys(KINDS, 0)
    again = dict.fromkeys(KINDS, 0)
    killed = dict.fromkeys(KINDS, 0)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        done = start(alone, "train")
        assert done.returncode == 0, done.stderr
        counts = json.loads(done.stdout)
        print(f"a run left alone: {counts}")
        for i in range(options.n):
            kind = KINDS[i % len(KINDS)]
            run = Path(folder) / f"killed-{i}"
            was_killed = False
            while not was_killed:  # a run that ended before its moment came proves nothing
                shutil.rmtree(run, ignore_errors=True)
                fatal = draw.random() * counts[kind]
                died = start(run, "train", kind, fatal)
                was_killed = died.returncode == -signal.SIGKILL
                assert was_killed or died.returncode == 0, died.stderr
            killed[kind] += was_killed
            # Where nothing was saved yet, the user starts again.
            saved = any((run / "resume").glob("checkpoint-*"))
            again[kind] += not saved
            if not saved:
                shutil.rmtree(run, ignore_errors=True)
            resumed = start(run, "resume" if saved else "train")
            wrong = [resumed.stderr[-500:]] if resumed.returncode else differences(alone, run)
            identical[kind] += not wrong
            how = "resumed" if saved else "started again"
            print(
                f"{i + 1:>3}/{options.n} {kind:<16} {fatal:6.1f}: killed, {how}, {wrong or 'identical'}",
                flush=True,
            )
            shutil.rmtree(run)
    for kind in KINDS:
        print(
            f"{kind}: {identical[kind]} identical of {killed[kind]} killed, "
            f"{again[kind]} of them before the first checkpoint and so started again"
        )
    print(f"{sum(identical.values())} of {options.n} identical; {sum(killed.values())} were really killed")
    return 0 if sum(identical.values()) == options.n else 1


if __name__ == "__main__":
    sys.exit(main())
