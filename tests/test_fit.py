"""The training loop: whole, stopped, resumed; choosing, averaging, faults."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError, Draws, Interrupted, StorageError, TrainingError
from sightline.data import Batch, open_batches, open_images
from sightline.imaging import Augmentation, Canvas, Preprocessing
from sightline.inference import Predictor
from sightline.records import read_model_file
from sightline.tasks.classification import ClassificationMetric
from sightline.training import (
    Job,
    Lookahead,
    Optimizer,
    Phase,
    Schedule,
    epoch_steps,
    fit,
    prepare,
)
from toy_runs import (
    PulledPlugError,
    StopAt,
    Tiny,
    make_job,
    one_phase,
    outcome,
    pull_plug,
)

# The classifier: whole, stopped and resumed


@pytest.mark.parametrize(
    "settings",
    [{}, {"ema_decay": 0.9}, {"accumulate": 3}, {"lookahead": Lookahead(every=3)}],
    ids=["plain", "average", "accumulate", "lookahead"],
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
    average.update(network, 0, 9)  # decay (1 + 0) / (10 + 0) = 0.1
    assert float(average.network.weight) == pytest.approx(0.1 * 1 + 0.9 * 2)
    average.update(network, 1000, 2000)  # 0.5
    assert float(average.network.weight) == pytest.approx(0.5 * 1.9 + 0.5 * 2)


def test_the_average_of_tied_weights_moves_once() -> None:
    from sightline.training._average import WeightAverage

    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    network[1].weight = network[0].weight
    network[0].weight.data.fill_(0.0)
    average = WeightAverage(network, decay=0.5)
    network[0].weight.data.fill_(1.0)
    average.update(network, 1000, 2000)
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
    with pytest.raises(TrainingError, match=r"head.bias: not finite after epoch 2"):
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
    plain = make_job(tmp_path / "x", one_phase()).header
    header = dataclasses.replace(
        plain,
        architecture=dataclasses.replace(plain.architecture, input_size=larger.size),
        preprocessing=larger.settings(),
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
        built = dataclasses.replace(made.header.architecture, in_channels=3)
        return dataclasses.replace(
            made,
            header=dataclasses.replace(
                made.header, architecture=built, preprocessing=preprocessing.settings()
            ),
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


def test_slow_weights_by_hand() -> None:
    from sightline.training._average import SlowWeights

    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    slow = SlowWeights(network, Lookahead(every=2, decay=0.8, power=3.0))
    values = []
    for step in range(5):
        network.weight.data += 1.0
        slow.update(network, step, 5)
        values.append((network.weight.item(), slow.network.weight.item()))
    second = 2.0 * (1 - 0.8 * 0.4**3)  # after 2 of 5 steps the decay is 0.8 * 0.4^3, and the fast weight 2
    keep = 0.8 * 0.8**3
    fourth = keep * second + (1 - keep) * (second + 2.0)
    assert values[0] == (1.0, 0.0)
    assert values[1] == pytest.approx((second, second))
    assert values[2] == pytest.approx((second + 1.0, second))
    assert values[3] == pytest.approx((fourth, fourth))
    assert values[4] == pytest.approx((fourth, fourth)), "the last step after they met is given up"


def test_with_lookahead_network_and_slow_weights_end_as_one(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", one_phase(2, lookahead=Lookahead(every=3), select=None))
    fit(job)
    _, kept = read_model_file(job.run.last)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in job.network.state_dict().items())


def test_steps_end_within_an_epoch_and_the_schedule_with_them(tmp_path: Path) -> None:
    recipe = one_phase(3)
    steps = make_job(tmp_path / "probe", recipe).epoch_length
    assert steps > 2
    cut = dataclasses.replace(
        recipe,
        max_steps=2 * steps + 1,
        phases=(Phase(epochs=3, schedule=Schedule(kind="linear", warm_up=0.0, end=0.0)),),
    )
    job = make_job(tmp_path / "run", cut)
    position = fit(job)
    assert (position.epoch, position.steps_ever, job.steps) == (3, 2 * steps + 1, 2 * steps + 1)
    assert position.rows[-1]["lr_main"] == 0.0
    assert position.rows[0]["lr_main"] == pytest.approx(
        recipe.optimizers["main"].lr * (1 - (steps - 1) / (2 * steps))
    )
    with pytest.raises(ArgumentError, match=rf"max_steps {steps} are over after 1 epochs of {steps} steps"):
        dataclasses.replace(cut, max_steps=steps).phase_steps(0, steps)
    assert cut.with_epochs(2).max_steps is None
