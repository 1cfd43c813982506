"""Auxiliary heads: what a network with them returns, loads and is trained by."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import ArgumentError, Draws
from sightline.blueprint import run_once
from sightline.data import Batch
from sightline.imaging import Augmentation, Mixture
from sightline.tasks import make_objective
from sightline.tasks.classification import ClassificationTask
from sightline.training import fit
from sightline.zoo import get_architecture, load_weights
from toy_runs import make_job, one_phase

# Outputs and weights


@pytest.mark.parametrize("name", ["googlenet_2014", "googlenet"])
def test_auxiliary_heads_answer_only_in_training(name: str) -> None:
    record = get_architecture(name)
    without = dataclasses.replace(record, arguments={"auxiliary_heads": False})
    with torch.device("meta"):
        network, bare = record.build(), without.build()
    logits = run_once(network, (3, 224, 224), name)
    ClassificationTask().check_output(logits, 1000, name)
    outputs = run_once(network, (3, 224, 224), name, batch=2, training=True)
    assert outputs._fields == ("logits", "aux_logits2", "aux_logits1")
    assert [tuple(o.shape) for o in outputs] == [(2, 1000)] * 3
    assert isinstance(run_once(bare, (3, 224, 224), name, batch=2, training=True), Tensor)


def test_auxiliary_heads_stay_new_with_another_number_of_classes() -> None:
    record = get_architecture("googlenet")
    with torch.device("meta"):
        target, source = record.build(num_classes=3), record.build()
        loaded = load_weights(target, source.state_dict(), record, adapt=True, origin="x")
    layers = ("aux1.fc2", "aux2.fc2", "fc")
    assert loaded.new == tuple(f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias"))
    assert loaded.kept == 364 - 6


# The objective


class Heads(nn.Module):
    """Logits of 8x8 digits, and in training those of an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.auxiliary = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = x.flatten(1)
        return (self.main(x), self.auxiliary(x)) if self.training else self.main(x)


class Given(nn.Module):
    """Returns what it is told to."""

    def __init__(self, outputs: Any) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Any:
        return self.outputs


def batch_of(targets: Tensor, mixed: Mixture | None = None) -> Batch:
    count = len(targets)
    return Batch(
        images=torch.zeros(count, 1), targets=targets, ids=np.arange(count), sizes=torch.zeros(count, 2),
        transforms=torch.zeros(count, 3, 3), mixed=mixed,
    )  # fmt: skip


def three_heads() -> tuple[Tensor, ...]:
    return tuple(torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0)))


def test_the_loss_is_the_main_one_and_a_part_of_the_others() -> None:
    heads, targets = three_heads(), torch.tensor([0, 1, 2, 3, 4, 0])
    settings = {"label_smoothing": 0.1, "class_weights": [1.0, 2.0, 1.0, 0.5, 1.0]}
    weights = torch.tensor(settings["class_weights"])

    def by_hand(logits: Tensor) -> float:
        soft = 0.9 * F.one_hot(targets, 5) + 0.1 / 5
        return float(((-soft * logits.log_softmax(dim=1)).sum(dim=1) * weights[targets]).mean())

    main, second, first = (by_hand(logits) for logits in heads)
    objective = make_objective("cross_entropy_auxiliary", settings)
    ((name, loss, logs),) = objective.losses(Given(heads), batch_of(targets), Draws(0))
    assert name == "main"
    assert loss.item() == pytest.approx(main + 0.3 * second + 0.3 * first, rel=1e-6)
    right = (heads[0].argmax(dim=1) == targets).float().mean().item()
    assert {key: value.item() for key, value in logs.items()} == pytest.approx(
        {
            "loss": main,
            "accuracy": right,
            "loss_auxiliary_1": second,
            "loss_auxiliary_2": first,
            "loss_total": loss.item(),
        },
        rel=1e-6,
    )


def test_the_loss_of_each_head_is_that_of_cross_entropy() -> None:
    heads, targets = three_heads(), torch.tensor([0, 1, 2, 3, 4, 0])
    mixed = Mixture(
        partners=torch.tensor([5, 0, 1, 2, 3, 4]), own=torch.tensor([0.7, 0.2, 1.0, 0.5, 0.9, 0.4])
    )
    given = batch_of(targets, mixed)
    alone = [
        next(make_objective("cross_entropy", {}).losses(Given(head), given, Draws(0)))[1].item()
        for head in heads
    ]
    objective = make_objective("cross_entropy_auxiliary", {"auxiliary_weights": [0.5, 2.0]})
    _, loss, logs = next(objective.losses(Given(heads), given, Draws(0)))
    assert loss.item() == pytest.approx(alone[0] + 0.5 * alone[1] + 2 * alone[2], rel=1e-6)
    _, of_logits, only = next(objective.losses(Given(heads[0]), given, Draws(0)))
    assert of_logits.item() == pytest.approx(alone[0], rel=1e-6)
    assert set(only) == {"loss", "accuracy", "loss_total"}
    assert only["accuracy"] == logs["accuracy"]


def test_answers_come_from_the_logits() -> None:
    objective = make_objective("cross_entropy_auxiliary", {})
    logits = three_heads()[0]
    assert torch.equal(objective.decode(logits, batch_of(torch.zeros(6))), logits.softmax(dim=1))
    settings = objective.settings()
    assert settings == {"auxiliary_weights": [0.3, 0.3], "label_smoothing": 0.0, "class_weights": None}
    assert make_objective(objective.name, settings).settings() == settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"auxiliary_weights": [0.3, -1.0]}, "auxiliary_weights must be 0 or more"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
    ],
)
def test_wrong_weights(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make_objective("cross_entropy_auxiliary", settings)


def test_as_many_weights_as_heads() -> None:
    objective = make_objective("cross_entropy_auxiliary", {"auxiliary_weights": [0.4]})
    with pytest.raises(ArgumentError, match=r"the network has 2 auxiliary heads, and .* are \[0.4\]"):
        next(objective.losses(Given(three_heads()), batch_of(torch.zeros(6, dtype=torch.long)), Draws(0)))


def test_training_logs_the_loss_of_every_head(tmp_path: Path) -> None:
    recipe = one_phase(2, augmentation=Augmentation())
    objective = make_objective("cross_entropy_auxiliary", {"auxiliary_weights": [0.3]})
    job = make_job(tmp_path / "run", recipe, Heads(), objective=objective)
    fit(job)
    for row in job.run.read_results():
        main, auxiliary = float(row["train_loss"]), float(row["train_loss_auxiliary_1"])
        assert main != auxiliary
        assert float(row["train_loss_total"]) == pytest.approx(main + 0.3 * auxiliary, rel=1e-5)
        assert float(row["val_loss"]) > 0
