"""The loop's seams: objectives of several optimizers, phases, recipes. Each test is one that a wrong design
would fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import Draws
from sightline.data import Batch
from sightline.imaging import Augmentation
from sightline.records import read_model_file
from sightline.training import (
    Job,
    Optimizer,
    Phase,
    Recipe,
    fit,
    make_optimizers,
    prepare,
    recipe_from,
    take_step,
)
from toy_runs import (
    PulledPlugError,
    StopAt,
    Tiny,
    make_job,
    one_phase,
    outcome,
    pull_plug,
    snapshot,
)

# The objective: lockstep, several optimizers


def test_accumulated_micro_batches_are_one_batch(tmp_path: Path) -> None:
    """Without batch norm and dropout, k micro-batches give the gradient of the whole batch."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    states = []
    for accumulate in (1, 4):
        recipe = one_phase(
            1,
            accumulate=accumulate,
            augmentation=Augmentation(crop=0.1),  # partners of a mixture are of the same micro-batch
            optimizers={"main": Optimizer(kind="sgd", lr=0.5)},
        )
        torch.manual_seed(0)
        for layer in (network[1], network[3]):
            layer.reset_parameters()
        job = make_job(tmp_path / str(accumulate), recipe, network)
        fit(job)
        states.append({n: t.clone() for n, t in network.state_dict().items()})
    for name in states[0]:
        assert torch.allclose(states[0][name], states[1][name], atol=1e-5), name


class Pair(nn.Module):
    """A toy of two networks that want different things."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Linear(4, 64)
        self.judge = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(x.flatten(1))


class Adversarial:
    """First the judge learns, then the maker, against the judge as it is after its step."""

    name = "adversarial"

    def __init__(self) -> None:
        self.events: list[tuple[str, float]] = []

    def losses(
        self, network: nn.Module, batch: Batch, draws: Draws
    ) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        noise = torch.from_numpy(draws.normal("noise", batch.ids, 4)).float()
        made = network.maker(noise)
        real, fake = network(batch.images), network(made.detach())
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        self.events.append(("judge before", float(network.judge[0].weight.detach().sum())))
        yield "judge", loss, {"judge": loss}
        self.events.append(("judge after", float(network.judge[0].weight.detach().sum())))
        loss = F.softplus(-network(made)).mean()
        yield "maker", loss, {"maker": loss}

    def decode(self, outputs: Tensor) -> Tensor:
        return outputs

    def settings(self) -> dict[str, Any]:
        return {}


TWO = Recipe(
    phases=(Phase(epochs=2),),
    optimizers={
        "judge": Optimizer(kind="adamw", lr=1e-3, parameters=("judge",)),
        "maker": Optimizer(kind="sgd", lr=1e-2, parameters=("maker",)),
    },
    batch_size=64,
    accumulate=2,
    select=None,
)


def pair_job(folder: Path, **changes: Any) -> Job:
    torch.manual_seed(1)
    return make_job(folder, TWO, Pair(), objective=Adversarial(), make_metric=None, **changes)


def test_two_networks_are_trained_checkpointed_and_resumed_by_the_same_loop(tmp_path: Path) -> None:
    whole = pair_job(tmp_path / "whole")
    start = {n: t.clone() for n, t in whole.network.state_dict().items()}
    fit(whole)
    assert all(not torch.equal(start[n], t) for n, t in whole.network.state_dict().items()), "both have moved"
    assert {"train_judge", "train_maker", "lr_judge", "lr_maker"} <= whole.run.read_results()[0].keys()
    broken = pair_job(tmp_path / "broken", reporter=StopAt(3, pull_plug), checkpoint_steps=1)
    with pytest.raises(PulledPlugError):
        fit(broken)
    fit(pair_job(tmp_path / "broken"), resume=True)
    assert outcome(broken) == outcome(whole)


def test_a_step_is_taken_before_the_generators_go_on_and_once_for_all_micro_batches(tmp_path: Path) -> None:
    job = pair_job(tmp_path / "run")
    draws = Draws(0)
    optimizers = make_optimizers(job.network, TWO.optimizers, TWO.phases[0])
    batches = [prepare(b, job, draws) for b in job.source.batches([job.train[:10], job.train[10:30]])]
    take_step(job, job.network, batches, optimizers, draws)
    (_, one), (_, two), (_, three), (_, four) = job.objective.events
    assert [name for name, _ in job.objective.events] == ["judge before"] * 2 + ["judge after"] * 2
    assert one == two, "no step between micro-batches"
    assert three == four
    assert one != three, "a step before the generators are resumed"


def test_the_judges_gradient_from_the_makers_loss_does_not_move_the_judge(tmp_path: Path) -> None:
    """The maker's loss runs through the judge; only the maker may move by it, now and at the next step."""
    job = pair_job(tmp_path / "run")
    draws = Draws(0)
    both = make_optimizers(job.network, TWO.optimizers, TWO.phases[0])
    (batch,) = (prepare(b, job, draws) for b in job.source.batches([job.train[:32]]))
    judge = job.network.judge[0].weight
    values = []

    class Watched(Adversarial):
        def losses(self, *arguments: Any) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
            for step in super().losses(*arguments):
                yield step
                values.append((step[0], judge.detach().clone(), judge.grad))

    job = dataclasses.replace(job, objective=Watched())
    take_step(job, job.network, [batch], both, draws)
    (_, after_judge, _), (_, after_maker, grad) = values
    assert torch.equal(after_judge, after_maker)
    assert grad is None, "nothing of the maker's loss is left for the judge's next step"


def test_a_phase_may_train_one_of_two(tmp_path: Path) -> None:
    recipe = dataclasses.replace(TWO, phases=(Phase(epochs=1, trainable=("judge",)), Phase(epochs=1)))
    job = dataclasses.replace(
        pair_job(tmp_path / "run"), recipe=dataclasses.replace(recipe, snapshot_every=1)
    )
    start = {n: t.clone() for n, t in job.network.state_dict().items()}
    fit(job)
    first = snapshot(job, 1)
    assert torch.equal(first["maker.weight"], start["maker.weight"])
    assert not torch.equal(first["judge.0.weight"], start["judge.0.weight"])
    assert not torch.equal(snapshot(job, 2)["maker.weight"], start["maker.weight"])


def test_an_optimizer_that_the_recipe_lacks_is_named(tmp_path: Path) -> None:
    recipe = dataclasses.replace(TWO, optimizers={"judge": Optimizer(parameters=("*",))})
    job = dataclasses.replace(pair_job(tmp_path / "run"), recipe=recipe)
    with pytest.raises(ValueError, match="the objective names optimizer 'maker'; the recipe has judge"):
        fit(job)


def test_a_parameter_without_an_optimizer_is_named() -> None:
    with pytest.raises(ValueError, match=r"no optimizer moves maker.weight, which a phase trains"):
        make_optimizers(Pair(), {"judge": Optimizer(parameters=("judge",))}, Phase(epochs=1))


def test_a_pattern_that_names_nothing_is_a_typing_error() -> None:
    from sightline.training._optimizers import check_patterns

    for phase in (
        Phase(epochs=1, trainable=("bodi",)),
        Phase(epochs=1, rates={"bodi": 0.1}),
        Phase(epochs=1, frozen_after={"bodi": 1}),
    ):
        with pytest.raises(ValueError, match="recipe: 'bodi' names no parameter; did you mean body"):
            check_patterns(Tiny(), Recipe(phases=(phase,)))
    check_patterns(Tiny(), Recipe(phases=(Phase(epochs=1, trainable=("body", "head.*")),)))


def test_two_optimizers_may_not_move_the_same_parameter() -> None:
    both = {"one": Optimizer(), "two": Optimizer(parameters=("judge",))}
    with pytest.raises(ValueError, match=r"optimizers one and two both move judge.0.weight"):
        make_optimizers(Pair(), both, Phase(epochs=1))


# Phases


def test_a_frozen_part_then_all_with_lower_rates(tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        one_phase(snapshot_every=1),
        phases=(Phase(epochs=1, trainable=("head",)), Phase(epochs=1, rates={"body": 0.01})),
    )
    job = make_job(tmp_path / "run", recipe)
    start = {n: t.clone() for n, t in job.network.state_dict().items()}
    fit(job)
    first, second = snapshot(job, 1), snapshot(job, 2)
    for name in start:
        moved = not torch.equal(start[name], first[name])
        assert moved == name.startswith("head"), f"{name}: a frozen part, batch statistics too, stays"
    assert not torch.equal(first["body.0.weight"], second["body.0.weight"])
    assert job.network.body[1].training
    rates = {
        group["rate"]
        for group in make_optimizers(job.network, recipe.optimizers, recipe.phases[1])["main"].param_groups
    }
    assert rates == {1.0, 0.01}


def test_lower_rates_move_less(tmp_path: Path) -> None:
    moved = {}
    for rate in (1.0, 0.01):
        recipe = dataclasses.replace(
            one_phase(optimizers={"main": Optimizer(kind="sgd", lr=0.05)}),
            phases=(Phase(epochs=1, rates={"body": rate}),),
        )
        job = make_job(tmp_path / str(rate), recipe)
        start = job.network.body[0].weight.detach().clone()
        fit(job)
        moved[rate] = float((job.network.body[0].weight.detach() - start).norm())
    assert moved[0.01] < 0.1 * moved[1.0]


def test_a_parameter_that_stops_after_an_epoch(tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        one_phase(snapshot_every=1), phases=(Phase(epochs=3, frozen_after={"body.0.bias": 1}),)
    )
    job = make_job(tmp_path / "run", recipe)
    fit(job)
    one, two, three = (snapshot(job, epoch) for epoch in (1, 2, 3))
    assert torch.equal(one["body.0.bias"], three["body.0.bias"])
    assert not torch.equal(one["body.0.weight"], two["body.0.weight"])
    rates = [float(row["lr_main"]) for row in job.run.read_results()]
    assert rates[0] > rates[1] > rates[2], "one schedule runs through"


def test_starting_from_another_runs_weights(tmp_path: Path) -> None:
    first = make_job(tmp_path / "first", one_phase(1))
    fit(first)
    recipe = dataclasses.replace(
        one_phase(), phases=(Phase(epochs=1, start=str(tmp_path / "first"), trainable=("head",)),)
    )
    second = make_job(tmp_path / "second", recipe)
    fit(second)
    _, before = read_model_file(first.run.best)
    _, after = read_model_file(second.run.last)
    assert torch.equal(before["body.0.weight"], after["body.0.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])
    missing = dataclasses.replace(recipe, phases=(Phase(epochs=1, start="nowhere"),))
    with pytest.raises(ValueError, match="no weights named 'nowhere'"):
        fit(make_job(tmp_path / "third", missing))


class Curious(Tiny):
    """Looks at images before it starts."""

    def initialise(self, images: Tensor) -> None:
        self.seen = images
        self.body[0].bias.data.fill_(float(images.mean()))


def test_a_network_that_looks_at_training_images_first(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(1), Curious(), checkpoint_steps=1)
    fit(job)
    assert job.network.seen.shape == (200, 1, 8, 8)
    stored = np.concatenate([b.images for b in job.source.batches([job.train])])
    assert float(job.network.seen.mean()) == pytest.approx((stored.mean() / 255 - 0.3) / 0.35, abs=1e-4)
    again = make_job(tmp_path / "run", one_phase(2), Curious())
    fit(again, resume=True)
    assert not hasattr(again.network, "seen"), "not when it goes on"


# The recipe


def test_a_recipe_comes_back_from_its_settings() -> None:
    for recipe in (TWO, one_phase(3, ema_decay=0.5, patience=2)):
        assert recipe_from(recipe.settings()) == recipe


def test_a_wrong_setting_is_named() -> None:
    settings = one_phase().settings()
    with pytest.raises(
        ValueError, match="recipe: batch_size: Input should be greater than or equal to 1, not 0"
    ):
        recipe_from(settings | {"batch_size": 0})
    with pytest.raises(ValueError, match="recipe: bach_size: Unexpected keyword argument"):
        recipe_from(settings | {"bach_size": 8})
    with pytest.raises(ValueError, match="recipe: patience needs a metric to wait for; set select"):
        recipe_from(settings | {"select": None, "patience": 3})
    with pytest.raises(ValueError, match=r"augmentation.rotation: Unexpected keyword argument"):
        recipe_from(settings | {"augmentation": {"rotation": 30}})


@pytest.mark.parametrize("kind", ["one_cycle", "cosine"])
def test_schedules_by_hand(kind: str) -> None:
    from sightline.training import Schedule

    schedule = Schedule(kind=kind, warm_up=0.5, start=0.0, end=0.0)
    factors = [schedule.factor(step, 9) for step in range(9)]
    quarter = (1 - np.cos(np.pi / 4)) / 2 if kind == "one_cycle" else 0.25
    assert factors[0] == 0
    assert factors[1] == pytest.approx(quarter)
    assert factors[4] == 1
    assert factors[6] == pytest.approx(0.5)
    assert factors[8] == pytest.approx(0)
    assert Schedule(warm_up=0.0).factor(0, 1) == 1.0


def test_weight_decay_spares_biases_and_normalisation() -> None:
    (optimizer,) = make_optimizers(Tiny(), {"main": Optimizer(weight_decay=0.1)}, Phase(epochs=1)).values()
    decays = {
        len(p.shape) > 1: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert decays == {True: 0.1, False: 0.0}
    (optimizer,) = make_optimizers(Tiny(), {"main": Optimizer(decay_all=True)}, Phase(epochs=1)).values()
    assert len(optimizer.param_groups) == 1


def test_clipping(tmp_path: Path) -> None:
    moved = {}
    for clip in (None, 1e-3):
        recipe = one_phase(
            1,
            clip_norm=clip,
            batch_size=200,
            augmentation=Augmentation(crop=0.1, flip="horizontal", rotate=10, erase=0.2),
            optimizers={"main": Optimizer(kind="sgd", lr=1.0, momentum=0.0, weight_decay=0.0)},
        )
        job = make_job(tmp_path / str(clip), recipe)
        start = torch.cat([p.detach().flatten() for p in job.network.parameters()])
        fit(job)
        moved[clip] = float(
            (torch.cat([p.detach().flatten() for p in job.network.parameters()]) - start).norm()
        )
    assert moved[1e-3] <= 1.001e-3
    assert moved[None] > 1e-2
