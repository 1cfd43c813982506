"""The training loop's seams: each test is one that a wrong design would fail."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.base import Draws, Interrupted, StorageError, TrainingError
from sightline.data import Batch, open_batches, open_images, split_images
from sightline.imaging import Augmentation, Canvas, Preprocessing
from sightline.inference import Predictor
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
    epoch_steps,
    fit,
    make_optimizers,
    prepare,
    recipe_from,
    take_step,
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
FREELY = Augmentation(crop=0.1, flip="horizontal", rotate=10, colour=0.2, erase=0.2)


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

    def progress(self, what: str, done: int, total: int) -> None:
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


# The classifier: whole, stopped and resumed


@pytest.mark.parametrize(
    "settings", [{}, {"ema_decay": 0.9}, {"accumulate": 3}], ids=["plain", "average", "accumulate"]
)
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_run_that_loses_power_ends_as_one_that_does_not(
    tmp_path: Path, settings: dict[str, Any], stop: int
) -> None:
    recipe = one_phase(**settings)
    whole = make_job(tmp_path / "whole", recipe)
    fit(whole)
    broken = make_job(tmp_path / "broken", recipe, reporter=StopAt(stop, pull_plug), checkpoint_steps=1)
    with pytest.raises(PulledPlugError):
        fit(broken)
    resumed = dataclasses.replace(make_job(tmp_path / "broken", recipe), run=broken.run)
    torch.manual_seed(999)  # whatever state torch is in must not matter
    for parameter in resumed.network.parameters():
        parameter.data.zero_()
    fit(resumed, resume=True)
    assert outcome(resumed) == outcome(whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_so(tmp_path: Path, number: signal.Signals, code: int) -> None:
    recipe = one_phase()
    whole = make_job(tmp_path / "whole", recipe)
    fit(whole)
    job = make_job(tmp_path / "stopped", recipe, reporter=StopAt(3, lambda: os.kill(os.getpid(), number)))
    before = signal.getsignal(number)
    with pytest.raises(
        Interrupted, match=r"stopped at epoch 1, step 3; go on with: sightline train --resume"
    ) as caught:
        fit(job)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == before
    fit(make_job(tmp_path / "stopped", recipe), resume=True)
    assert outcome(job) == outcome(whole)


def test_a_signal_in_the_middle_of_a_validation(tmp_path: Path) -> None:
    class Counting(ClassificationMetric):
        def update(self, outputs: Tensor, batch: Batch) -> None:
            super().update(outputs, batch)
            os.kill(os.getpid(), signal.SIGTERM)

    recipe = one_phase()
    whole = make_job(tmp_path / "whole", recipe)
    fit(whole)
    job = make_job(tmp_path / "stopped", recipe, make_metric=Counting)
    with pytest.raises(Interrupted):
        fit(job)
    assert not job.run.results.exists() or job.run.read_results() == []
    fit(make_job(tmp_path / "stopped", recipe), resume=True)
    assert outcome(job) == outcome(whole)


def test_another_seed_is_another_run_and_the_same_seed_the_same(tmp_path: Path) -> None:
    jobs = [
        make_job(tmp_path / name, one_phase(1), seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    for job in jobs:
        fit(job)
    one, two, three = (outcome(job) for job in jobs)
    assert one == two
    assert one != three


def test_results_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    recipe = one_phase(3, snapshot_every=1)
    job = make_job(
        tmp_path / "run", recipe, reporter=StopAt(11, pull_plug)
    )  # in epoch 3, no checkpoint since 0
    with pytest.raises(PulledPlugError):
        fit(job)
    assert len(job.run.read_results()) == 2
    again = make_job(tmp_path / "run", recipe, reporter=StopAt(1, pull_plug))
    with pytest.raises(PulledPlugError):
        fit(again, resume=True)
    assert job.run.read_results() == []
    assert not job.run.best.exists()
    assert list(job.run.snapshots.iterdir()) == []
    fit(make_job(tmp_path / "run", recipe), resume=True)
    assert [row["epoch"] for row in job.run.read_results()] == ["1", "2", "3"]
    assert job.run.results.read_text().count("epoch") == 1, "one header, ever"
    assert sorted(p.name for p in job.run.snapshots.iterdir()) == [
        f"epoch-{n}.safetensors" for n in (1, 2, 3)
    ]


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(2))
    fit(job)
    before = job.run.read_results()
    position = fit(make_job(tmp_path / "run", one_phase(4)), resume=True)
    rows = job.run.read_results()
    assert position.epoch == 4
    assert rows[:2] == before
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]


# The objective: lockstep, several optimizers


def test_accumulated_micro_batches_are_one_batch(tmp_path: Path) -> None:
    """Without batch norm and dropout, k micro-batches give the gradient of the whole batch."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    states = []
    for accumulate in (1, 4):
        recipe = one_phase(1, accumulate=accumulate, optimizers={"main": Optimizer(kind="sgd", lr=0.5)})
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


# Order and draws


def test_an_epoch_is_every_image_once_in_equal_batches() -> None:
    steps = epoch_steps(np.arange(1000, 1259), Draws(0, 4), 64)
    assert sorted(np.concatenate(steps)) == list(range(1000, 1259))
    assert {len(step) for step in steps} == {51, 52}
    assert [s.tolist() for s in steps] != [
        s.tolist() for s in epoch_steps(np.arange(1000, 1259), Draws(0, 5), 64)
    ]


def test_dropout_is_reseeded_each_step(tmp_path: Path) -> None:
    """A run whose global random state is disturbed between steps is not disturbed."""
    quiet, noisy = make_job(tmp_path / "a", one_phase(1)), make_job(tmp_path / "b", one_phase(1))
    noisy = dataclasses.replace(noisy, reporter=StopAt(2, lambda: torch.manual_seed(12345)))
    fit(quiet)
    fit(noisy)
    assert outcome(quiet) == outcome(noisy)


# Phases


def snapshot(job: Job, epoch: int) -> dict[str, Tensor]:
    return read_model_file(job.run.snapshots / f"epoch-{epoch}.safetensors")[1]


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


# Choosing, averaging, stopping early


def test_best_and_last_hold_the_average_and_say_so(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(1, ema_decay=0.9))
    fit(job)
    header, state = read_model_file(job.run.last)
    assert header.averaged
    assert not torch.equal(state["head.weight"], job.network.state_dict()["head.weight"])
    assert state["body.1.num_batches_tracked"] == job.network.body[1].num_batches_tracked


def test_the_average_by_hand(tmp_path: Path) -> None:
    from sightline.training._average import WeightAverage

    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    average = WeightAverage(network, decay=0.5)
    network.weight.data.fill_(2.0)
    average.update(network, 0)  # decay (1 + 0) / (10 + 0) = 0.1
    assert float(average.network.weight) == pytest.approx(0.1 * 1 + 0.9 * 2)
    average.update(network, 1000)  # 0.5
    assert float(average.network.weight) == pytest.approx(0.5 * 1.9 + 0.5 * 2)


def test_the_average_of_tied_weights_moves_once() -> None:
    from sightline.training._average import WeightAverage

    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    network[1].weight = network[0].weight
    network[0].weight.data.fill_(0.0)
    average = WeightAverage(network, decay=0.5)
    network[0].weight.data.fill_(1.0)
    average.update(network, 1000)
    assert float(average.network[0].weight.detach()) == 0.5


def test_patience(tmp_path: Path) -> None:
    recipe = one_phase(20, patience=2, optimizers={"main": Optimizer(lr=1e-9)})
    position = fit(make_job(tmp_path / "run", recipe))
    assert position.epoch - position.best_epoch == 2
    assert position.epoch < 20
    assert fit(make_job(tmp_path / "run", recipe), resume=True).epoch == position.epoch


def test_best_is_what_select_says(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(4, select="loss"))
    fit(job)
    rows = job.run.read_results()
    losses = [float(row["val_loss"]) for row in rows]
    header, _ = read_model_file(job.run.best)
    assert header.epoch == int(np.argmin(losses)) + 1
    assert header.scores["loss"] == min(losses)


# Faults


class Exploding(Tiny):
    """Is not finite from its second layer on, after some steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        if self.steps > 5:
            self.body[1].weight.data.fill_(float("inf"))
        return super().forward(x)


def test_a_loss_that_is_not_finite_stops_with_the_first_layer(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(3), Exploding(), checkpoint_steps=1)
    with pytest.raises(
        TrainingError, match=r"the weights body.1.weight: the loss is nan in epoch 2; .* lower --lr"
    ) as caught:
        fit(job)
    assert caught.value.finding.level == "error"
    position = fit(make_job(tmp_path / "run", one_phase(2)), resume=True)
    assert position.epoch == 2, "the checkpoint before it is whole"


class LateExplosion(Tiny):
    """Its weights go wrong in the last step of an epoch, where no loss is computed afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        out = super().forward(x)
        if self.steps == 8 and self.training:
            self.head.bias.data.fill_(float("nan"))
        return out


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(2), LateExplosion())
    with pytest.raises(TrainingError, match=r"head.bias: is not finite after epoch 2"):
        fit(job)
    assert len(job.run.read_results()) == 1
    assert all(t.isfinite().all() for t in read_model_file(job.run.best)[1].values())


def test_looking_for_what_is_not_finite_changes_nothing() -> None:
    from sightline.blueprint import first_non_finite

    network = Tiny().train()
    before = {n: t.clone() for n, t in network.state_dict().items()}
    first_non_finite(network, torch.randn(4, 1, 8, 8))
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())


def test_validating_leaves_each_modules_mode(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(1))
    job.network.body.eval()
    Predictor(job.network, job.header, job.plan).measure(job.source, job.val, ClassificationMetric())
    assert not job.network.body[1].training
    assert job.network.training


def test_points_end_in_the_networks_input_in_training_and_in_validation(tmp_path: Path) -> None:
    """Boxes and masks will be measured where the network sees them."""
    larger = Preprocessing(size=(16, 16), fit="resize", mean=[0.3], std=[0.35])
    header = dataclasses.replace(
        make_job(tmp_path / "x", one_phase()).header, preprocessing=larger.settings()
    )
    job = make_job(
        tmp_path / "run", one_phase(augmentation=Augmentation()), preprocessing=larger, header=header
    )
    seen: list[Tensor] = []

    class Keeping(ClassificationMetric):
        def update(self, outputs: Tensor, batch: Batch) -> None:
            seen.append(batch.transforms)

    Predictor(job.network, job.header, job.plan).measure(job.source, job.val[:4], Keeping())
    (stored,) = job.source.batches([job.val[:4]])
    assert torch.equal(seen[0], prepare(stored, job, Draws(0)).transforms)
    assert seen[0][0].diagonal().tolist() == [2.0, 2.0, 1.0]


@pytest.mark.parametrize("stop", [2, 5])
def test_decoding_as_needed_is_resumed_as_exactly(tmp_path: Path, stop: int) -> None:
    """Photographs by worker processes, at a reduced scale: the other path of batches."""
    from PIL import Image

    from sightline.imaging import photograph

    for name in ("china", "flower"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        whole = Image.fromarray(photograph(name))
        for i in range(12):
            whole.crop((20 * i, 10 * i, 20 * i + 240, 10 * i + 200 + i)).save(
                tmp_path / "photos" / name / f"{i}.jpg"
            )
    images = open_images(tmp_path / "photos")
    canvas = Canvas(8, 8, 3)
    preprocessing = Preprocessing(size=(8, 8), fit="none", mean=[0.4] * 3, std=[0.3] * 3)

    def job(name: str, **changes: Any) -> Job:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
        source = open_batches(images, canvas, path="workers", workers=1)
        assert source.path == "workers"
        some = {
            "source": source,
            "preprocessing": preprocessing,
            "train": np.arange(0, 24, 2),
            "val": np.arange(1, 24, 2),
        }
        made = make_job(tmp_path / name, one_phase(batch_size=4), network, **(some | changes))
        return dataclasses.replace(
            made, header=dataclasses.replace(made.header, preprocessing=preprocessing.settings())
        )

    whole_run, broken = job("whole"), job("broken", reporter=StopAt(stop, pull_plug), checkpoint_steps=1)
    fit(whole_run)
    with pytest.raises(PulledPlugError):
        fit(broken)
    fit(job("broken"), resume=True)
    assert outcome(broken) == outcome(whole_run)


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = one_phase(2)
    whole = make_job(tmp_path / "whole", recipe)
    fit(whole)
    job = make_job(tmp_path / "run", recipe, checkpoint_steps=2)
    import safetensors.torch as library

    real, calls = library.save_file, 0

    def full(tensors: Any, path: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            Path(path).write_bytes(b"half a file")
            raise OSError(28, "No space left on device")
        real(tensors, path, **options)

    monkeypatch.setattr(library, "save_file", full)
    with pytest.raises(StorageError, match=r"cannot write .*: the disk is full"):
        fit(job)
    monkeypatch.undo()
    assert [p.name for p in job.run.path.rglob(".partial*")] == []
    fit(make_job(tmp_path / "run", recipe), resume=True)
    assert outcome(job) == outcome(whole)


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
