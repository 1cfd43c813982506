"""Small runs on real digits that the tests of training share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.data import open_batches, open_images, split_images
from sightline.imaging import Augmentation, Canvas, Preprocessing
from sightline.machine import Plan
from sightline.records import ArchitectureReference, ModelHeader, RunFolder, read_model_file
from sightline.tasks import make_objective
from sightline.tasks.classification import ClassificationMetric, ClassificationTask
from sightline.training import (
    Job,
    Optimizer,
    Phase,
    Recipe,
    SilentReporter,
)
from sightline.zoo import Architecture


class Tiny(nn.Module):
    """Batch norm and dropout on 8x8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


TINY = Architecture(
    name="tiny", builder=lambda **_: Tiny(), paper="", year=0, input_shape=(1, 8, 8), num_classes=10,
    parameters=0, macs=0, stem="body.0", head="head",
)  # fmt: skip
FREELY = Augmentation(crop=0.1, flip="both", transpose=True, rotate=10, erase=0.2, mixup=0.2, cutmix=1.0)


def one_phase(epochs: int = 2, **settings: Any) -> Recipe:
    defaults: dict[str, Any] = {
        "batch_size": 64,
        "augmentation": FREELY,
        "optimizers": {"main": Optimizer(lr=0.01)},
    }
    return Recipe(phases=(Phase(epochs=epochs),), **(defaults | settings))


def make_job(folder: Path, recipe: Recipe, network: nn.Module | None = None, **changes: Any) -> Job:
    """A run on the first 200 training digits."""
    torch.manual_seed(0)
    images = open_images("digits")
    split = split_images(images)
    canvas = Canvas(8, 8, 1)
    preprocessing = Preprocessing(size=(8, 8), fit="none", mean=[0.3], std=[0.35])
    folder.mkdir(exist_ok=True)
    job = Job(
        network=network or Tiny(),
        architecture=TINY,
        objective=make_objective("cross_entropy", {}),
        recipe=recipe,
        plan=Plan(threads=1),
        seed=0,
        preprocessing=preprocessing,
        source=open_batches(images, canvas),
        train=split.indices("train")[:200],
        val=split.indices("val")[:50],
        task=ClassificationTask(),
        make_metric=ClassificationMetric,
        header=ModelHeader(
            architecture=ArchitectureReference(name="tiny", num_classes=10, in_channels=1, input_size=(8, 8)),
            classes=images.classes,
            canvas=(8, 8),
            preprocessing=preprocessing.settings(),
            objective="cross_entropy",
            objective_settings={},
        ),
        run=RunFolder(folder),
        reporter=SilentReporter(),
    )
    return dataclasses.replace(job, **changes)


class StopAt(SilentReporter):
    """Does something when a step is done."""

    def __init__(self, step: int, act: Any) -> None:
        self.left, self.act = step, act

    def progress(self, what: str, done: int, total: int, detail: Any = None) -> None:
        if what.startswith("epoch"):
            self.left -= 1
            if self.left == 0:
                self.act()


class PulledPlugError(BaseException):
    """Nothing may run after this."""


def pull_plug() -> None:
    raise PulledPlugError


def outcome(job: Job) -> dict[str, bytes]:
    """Every tensor of last and best, every column but times."""
    found = {}
    for path in (job.run.last, job.run.best):
        _, state = read_model_file(path)
        found |= {f"{path.name}:{n}": t.numpy().tobytes() for n, t in state.items()}
    rows = [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
        for row in job.run.read_results()
    ]
    return found | {"rows": repr(rows).encode()}


def snapshot(job: Job, epoch: int) -> dict[str, Tensor]:
    return read_model_file(job.run.snapshots / f"epoch-{epoch}.safetensors")[1]
