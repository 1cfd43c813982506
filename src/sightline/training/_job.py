"""What a run is made of, and where it is."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.data import BatchSource, Learned
from sightline.imaging import Preprocessing
from sightline.machine import ALONE, Plan, Ranks
from sightline.records import ModelHeader, RunFolder
from sightline.tasks import Metric, Objective, Task
from sightline.training._recipe import Recipe
from sightline.training._reporter import Reporter
from sightline.zoo import Architecture


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What a run is made of; nothing here changes while it runs but the network's weights."""

    network: nn.Module
    architecture: Architecture
    objective: Objective
    recipe: Recipe
    plan: Plan
    seed: int
    preprocessing: Preprocessing
    source: BatchSource
    train: NDArray[np.int64]
    """Images to train on."""
    val: NDArray[np.int64]
    """Images to select by."""
    balanced: NDArray[np.int64] | None = None
    """(len(train),) the class of each image to train on, where an epoch shows each class equally often."""
    task: Task
    make_metric: Callable[[], Metric] | None
    """None where nothing is measured between epochs."""
    header: ModelHeader
    """Of the model files to be written, but for epoch and scores."""
    run: RunFolder
    reporter: Reporter
    starts: Mapping[str, tuple[Mapping[str, Tensor], str]] = dataclasses.field(default_factory=dict)
    """Weights that phases start from and where they are from, read before anything is replaced."""
    before: Learned = frozenset()
    """What these have learned from, which the network is not judged by."""
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None
    """Checkpoint after so many steps as well; changes nothing else."""
    clock: Callable[[], float] = time.monotonic
    """Seconds since any moment."""
    ranks: Ranks = ALONE
    """The processes that train together; the first one writes."""

    @property
    def epoch_length(self) -> int:
        """Steps of a whole epoch."""
        return -(-len(self.train) // self.recipe.batch_size)

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        phases = range(len(self.recipe.phases))
        return sum(self.recipe.phase_steps(index, self.epoch_length) for index in phases)


@dataclasses.dataclass
class Position:
    """Where a run is."""

    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Steps done of the epoch that is not."""
    steps_ever: int = 0
    best: dict[str, float] | None = None
    """The scores of the best epoch."""
    best_epoch: int = 0
    since_best: int = 0
    drops: int = 0
    """How often the learning rate was lowered at a plateau of this phase."""
    waited: int = 0
    """Epochs of this plateau."""
    plateau_best: dict[str, float] | None = None
    """The best scores of this phase."""
    seen: int = 0
    """Images trained on in the unfinished epoch."""
    seconds: float = 0.0
    """Spent training in the unfinished epoch."""
    waits: int = 0
    """Steps of the unfinished epoch that waited for data."""
    waiting: float = 0.0
    """Of `seconds`, those until a batch came."""
    waits_ever: int = 0
    """Steps of the finished epochs that waited for data."""
    waiting_ever: float = 0.0
    rows: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Of `results.csv`."""
