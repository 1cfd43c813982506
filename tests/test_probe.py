"""A linear probe: its head is scikit-learn's, its features are computed once, all else stays."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import sightline
from sightline.base import ArgumentError, DataError, Interrupted, ModelFileError, cache_folder
from sightline.data import Batch, BatchSource, ImageSet, open_images
from sightline.imaging import Augmentation
from sightline.machine import Ranks
from sightline.records import read_model_file
from sightline.tasks import make_objective
from sightline.training import Job, Phase, Recipe, SilentReporter, recipe_from
from sightline.training import _probe as probing
from sightline.training._probe import check_probe, probe
from sightline.training._recipe import Probe
from sightline.training.recipes._linear_probe import linear_probe
from small_networks import Does
from toy_runs import TINY, PulledPlugError, Tiny, make_job, pull_plug

IMAGES: ImageSet = open_images("digits")
START = "trained"


def recipe(*strengths: float, **changes: Any) -> Recipe:
    defaults: dict[str, Any] = {"probe": Probe(strengths=strengths or Probe().strengths), "batch_size": 64}
    return Recipe(phases=(Phase(epochs=1, start=START),), **(defaults | changes))


class Counting:
    """A source that knows how many images were asked of it."""

    def __init__(self, source: BatchSource) -> None:
        self._source, self.path, self.canvas, self.images = source, source.path, source.canvas, 0

    def batches(self, order: Sequence[NDArray[np.int64]], *, training: bool = False) -> Iterator[Batch]:
        assert not training, "features are of images as they are judged"
        self.images += sum(map(len, order))
        return self._source.batches(order)


class Noting(SilentReporter):
    def __init__(self, act: Callable[[], None] | None = None, at: str = "computing features") -> None:
        self.lines: list[str] = []
        self._act, self._at = act, at

    def note(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, what: str, done: int, total: int, detail: Any = None) -> None:
        assert detail is None or detail().endswith("images/s")
        if self._act is not None and what == self._at:
            self._act()


@pytest.fixture(autouse=True)
def own_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of each test's own."""
    monkeypatch.setenv("SIGHTLINE_CACHE", str(tmp_path / "cache"))


def job_of(folder: Path, wanted: Recipe, network: nn.Module | None = None, **changes: Any) -> Job:
    """A probe of a network whose random weights stand for trained ones, its norm's statistics its own."""
    torch.manual_seed(3)
    network = network or Tiny()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    job = make_job(folder, wanted, network, starts={START: (state, START)}, **changes)
    return dataclasses.replace(job, source=Counting(job.source))


def images_of(job: Job, ids: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64]]:
    (batch,) = job.source.batches([ids])
    return job.preprocessing(batch.images), batch.targets.numpy()


@torch.no_grad()
def features_by_hand(job: Job, ids: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of `Tiny`: its body's maps, averaged, without a hook or a cache."""
    x, targets = images_of(job, ids)
    assert isinstance(job.network, Tiny)
    body = copy.deepcopy(job.network.body).eval()
    return body(x).mean(dim=(2, 3)).double().numpy(), targets


@torch.no_grad()
def log_probabilities(network: nn.Module, x: Tensor) -> NDArray[np.float64]:
    return copy.deepcopy(network).eval()(x).double().log_softmax(dim=1).numpy()


def by_sklearn(
    train: NDArray[np.float64], targets: NDArray[np.int64], strength: float, **more: Any
) -> tuple[StandardScaler, LogisticRegression]:
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=1 / (strength * len(train)), tol=1e-9, max_iter=20_000, **more)
    return scaler, model.fit(scaler.transform(train), targets)


# The regression


@pytest.mark.parametrize("strength", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("balance", ["none", "weights", "sampling"])
def test_the_head_is_scikit_learns(tmp_path: Path, strength: float, balance: str) -> None:
    wanted = recipe(strength, balance=balance)
    job = job_of(tmp_path / "run", wanted)
    if balance == "weights":  # as `chosen_objective` writes them
        counts = np.bincount(IMAGES.targets[job.train], minlength=10)
        weights = [float(w) for w in counts.sum() / (10 * counts)]
        job = dataclasses.replace(job, objective=make_objective("cross_entropy", {"class_weights": weights}))
    features, targets = features_by_hand(job, job.train)
    unseen, _ = features_by_hand(job, job.val)
    position = probe(job, IMAGES)
    class_weight = None if balance == "none" else "balanced"
    scaler, model = by_sklearn(features, targets, strength, class_weight=class_weight)
    expected = model.predict_log_proba(scaler.transform(unseen))
    x, classes = images_of(job, job.val)
    ours = log_probabilities(job.network, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-4)
    assert (ours.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert position.rows[0]["val_loss"] == pytest.approx(
        -expected[np.arange(len(x)), classes].mean(), abs=1e-4
    )
    assert position.rows[0]["val_accuracy"] == (expected.argmax(axis=1) == classes).mean()
    own = model.predict_log_proba(scaler.transform(features))[np.arange(len(features)), targets]
    counted = np.ones(len(own))
    if class_weight:
        counted = (len(own) / (10 * np.bincount(targets)))[targets]
    assert position.rows[0]["train_loss"] == pytest.approx(-(own * counted).mean(), abs=1e-4)


def test_the_best_on_validation_is_chosen(tmp_path: Path) -> None:
    strengths = (1e-5, 10.0, 1e-1)
    job = job_of(tmp_path / "run", recipe(*strengths, select="loss"))
    job = dataclasses.replace(job, train=job.train[:40])
    position = probe(job, IMAGES)
    assert [row["strength"] for row in position.rows] == [10.0, 0.1, 1e-5], "strongest first"
    assert [row["epoch"] for row in position.rows] == [1, 2, 3]
    assert position.best_epoch == 2, "with 40 images, the weakest is worse again"
    alone = {}
    for number, strength in enumerate(strengths):
        single = job_of(tmp_path / str(number), recipe(strength, select="loss"))
        (row,) = probe(dataclasses.replace(single, train=job.train), IMAGES).rows
        alone[strength] = row["val_loss"]
        assert row["best"] == 1
    for row in position.rows:
        assert row["val_loss"] == pytest.approx(alone[row["strength"]], rel=1e-4)
    best = min(alone, key=lambda strength: alone[strength])
    assert position.rows[position.best_epoch - 1]["strength"] == best
    header, weights = read_model_file(job.run.best)
    assert header.scores["loss"] == min(row["val_loss"] for row in position.rows)
    assert header.epoch == position.best_epoch
    x, targets = images_of(job, job.val)
    job.network.load_state_dict(weights)
    loss = -log_probabilities(job.network, x)[np.arange(len(x)), targets].mean()
    assert loss == pytest.approx(header.scores["loss"], abs=1e-5)
    assert [row["best"] for row in position.rows] == [1, 1, 0]


@pytest.mark.parametrize("bias", [True, False])
def test_two_classes_and_a_head_without_bias(tmp_path: Path, bias: bool) -> None:
    """Two logits of scikit-learn's one; without a bias, features are scaled but not centred."""
    two = IMAGES.targets < 2
    network = Tiny()
    network.head = nn.Linear(8, 2, bias=bias)
    job = job_of(tmp_path / "run", recipe(1e-2), network)
    job = dataclasses.replace(
        job, header=dataclasses.replace(job.header, classes=("0", "1")),
        train=np.flatnonzero(two)[:100], val=np.flatnonzero(two)[100:150],
    )  # fmt: skip
    features, targets = features_by_hand(job, job.train)
    unseen, _ = features_by_hand(job, job.val)
    probe(job, IMAGES)
    scale = features.std(axis=0) if bias else np.sqrt((features**2).mean(axis=0))
    model = LogisticRegression(C=1 / (1e-2 * 100), tol=1e-9, max_iter=20_000, fit_intercept=bias)
    model.fit(features / scale, targets)
    x, _ = images_of(job, job.val)
    np.testing.assert_allclose(
        log_probabilities(job.network, x), model.predict_log_proba(unseen / scale), atol=1e-4
    )


@pytest.mark.parametrize(
    ("forward", "layer"),
    [
        (lambda n, x: n.head(n.body(x).mean(dim=(2, 3))) / -9, nn.Linear(8, 10, bias=False)),
        (lambda n, x: n.head(n.body(x)).mean(dim=(2, 3)), nn.Conv2d(8, 10, 1)),
        (lambda n, x: n.head(n.body(x).mean(dim=(2, 3), keepdim=True)).flatten(1), nn.Conv2d(8, 10, 1)),
    ],
    ids=["scaled", "mean of a convolution", "convolution of a mean"],
)
def test_heads_that_are_linear_all_the_same(tmp_path: Path, forward: Any, layer: nn.Module) -> None:
    """The stored network gives the logits that `results.csv` is of: its validation loss is the row's."""
    network = Does(forward, body=Tiny().body, head=layer)
    job = job_of(tmp_path / "run", recipe(1e-3), network)
    before = log_probabilities(job.network, images_of(job, job.val)[0])
    (row,) = probe(job, IMAGES).rows
    x, targets = images_of(job, job.val)
    after = log_probabilities(job.network, x)
    assert -after[np.arange(len(x)), targets].mean() == pytest.approx(row["val_loss"], abs=1e-5)
    assert row["val_loss"] < -before[np.arange(len(x)), targets].mean() - 0.5


def test_a_class_of_one_image(tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", recipe(1e-3, balance="sampling"))
    ones = np.flatnonzero(IMAGES.targets[job.train] == 1)
    job = dataclasses.replace(job, train=np.delete(job.train, ones[1:]))
    reporter = Noting()
    probe(dataclasses.replace(job, reporter=reporter), IMAGES)
    assert any("classes are balanced by their weight" in line for line in reporter.lines)
    x, targets = images_of(job, job.train)
    assert log_probabilities(job.network, x[targets == 1]).argmax(axis=1).tolist() == [1]
    with pytest.raises(DataError, match="class 1 has no image that a linear probe could learn from"):
        probe(dataclasses.replace(job, train=job.train[targets != 1]), IMAGES)


def test_much_is_mapped_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It changes nothing but where the numbers lie, however few are looked at together."""
    plain = job_of(tmp_path / "plain", recipe(1e-3))
    probe(plain, IMAGES)
    made = []
    real = np.memmap

    def memmap(*args: Any, **kwargs: Any) -> Any:
        made.append(real(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(probing, "_IN_MEMORY", 0)
    monkeypatch.setattr(probing, "_BLOCK_BYTES", 8 * 8 * 30)
    monkeypatch.setattr(probing.np, "memmap", memmap)
    mapped = job_of(tmp_path / "mapped", recipe(1e-3))
    probe(mapped, IMAGES)
    assert any(one.shape == (200, 8) and one.dtype == np.float64 for one in made)
    _, one = read_model_file(plain.run.best)
    _, other = read_model_file(mapped.run.best)
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=1e-5, atol=1e-5)
    assert len(list(cache_folder("features").iterdir())) == 1, "its file has no name"


def test_without_validation_images_the_middle_is_taken(tmp_path: Path) -> None:
    reporter = Noting()
    job = job_of(tmp_path / "run", recipe(1.0, 1e-2, 1e-4), reporter=reporter)
    job = dataclasses.replace(job, val=job.val[:0], make_metric=None)
    (row,) = probe(job, IMAGES).rows
    assert row["strength"] == 1e-2
    assert any("nothing to choose the penalty by" in line for line in reporter.lines)
    assert not any(name.startswith("val_") for name in row)


def test_the_end_of_the_strengths_is_said(tmp_path: Path) -> None:
    reporter = Noting()
    job = job_of(tmp_path / "run", recipe(1e3, 1e2, 1e-2, select="loss"), reporter=reporter)
    probe(job, IMAGES)
    assert any("it is the weakest penalty tried" in line for line in reporter.lines)


# What stays


def test_all_but_the_head_stays(tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", recipe(1e-3))
    job.network.train()
    job.network.body[1].eval()  # type: ignore[index, operator, union-attr]
    before = {name: t.numpy().tobytes() for name, t in job.network.state_dict().items()}
    modes = [module.training for module in job.network.modules()]
    probe(job, IMAGES)
    after = {name: t.numpy().tobytes() for name, t in job.network.state_dict().items()}
    assert {name for name in before if before[name] != after[name]} == {"head.weight", "head.bias"}
    assert [module.training for module in job.network.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in job.network.modules())
    for path in (job.run.best, job.run.last):
        _, stored = read_model_file(path)
        assert {name: t.numpy().tobytes() for name, t in stored.items()} == after


def test_a_second_probe_takes_no_pass(tmp_path: Path) -> None:
    first = job_of(tmp_path / "first", recipe(1e-1, 1e-3))
    probe(first, IMAGES)
    assert first.source.images == len(first.train) + len(first.val)  # type: ignore[attr-defined]
    reporter = Noting()
    second = job_of(tmp_path / "second", recipe(1e-1, 1e-3, batch_size=7), reporter=reporter)
    with torch.no_grad():
        state, origin = second.starts[START]
        state["head.weight"].zero_()  # another head is the same features
    second = dataclasses.replace(second, starts={START: (state, origin)})
    probe(second, IMAGES)
    assert second.source.images == 0  # type: ignore[attr-defined]
    assert any("recalled from an earlier run" in line for line in reporter.lines)
    _, one = read_model_file(first.run.best)
    _, other = read_model_file(second.run.best)
    assert all(torch.equal(one[name], other[name]) for name in one)


def changed_weight(job: Job) -> Job:
    state, origin = job.starts[START]
    changed = {**state, "body.0.weight": state["body.0.weight"] + 1e-6}
    return dataclasses.replace(job, starts={START: (changed, origin)})


def changed_statistics(job: Job) -> Job:
    state, origin = job.starts[START]
    changed = {**state, "body.1.running_var": state["body.1.running_var"] * 2}
    return dataclasses.replace(job, starts={START: (changed, origin)})


def changed_preprocessing(job: Job) -> Job:
    settings = job.preprocessing.settings() | {"mean": [0.31]}
    return dataclasses.replace(job, preprocessing=type(job.preprocessing)(**settings))


@pytest.mark.parametrize("change", [changed_weight, changed_statistics, changed_preprocessing])
def test_what_is_kept_goes_by_content(tmp_path: Path, change: Callable[[Job], Job]) -> None:
    probe(job_of(tmp_path / "first", recipe(1e-1)), IMAGES)
    second = change(job_of(tmp_path / "second", recipe(1e-1)))
    probe(second, IMAGES)
    assert second.source.images == len(second.train) + len(second.val)  # type: ignore[attr-defined]


def test_images_go_by_their_bytes(tmp_path: Path) -> None:
    probe(job_of(tmp_path / "first", recipe(1e-1)), IMAGES)
    second = job_of(tmp_path / "second", recipe(1e-1))
    place = int(second.train[5])
    digests = [*IMAGES.digests]
    digests[place] = digests[place][::-1]
    probe(second, dataclasses.replace(IMAGES, digests=tuple(digests)))
    assert second.source.images == len(second.train) + len(second.val)  # type: ignore[attr-defined]


def test_a_broken_cache_is_made_again(tmp_path: Path) -> None:
    probe(job_of(tmp_path / "first", recipe(1e-1)), IMAGES)
    (kept,) = cache_folder("features").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    second = job_of(tmp_path / "second", recipe(1e-1))
    probe(second, IMAGES)
    assert second.source.images == len(second.train) + len(second.val)  # type: ignore[attr-defined]


def test_without_room_for_a_cache(tmp_path: Path) -> None:
    cache_folder("features").parent.mkdir(parents=True)
    cache_folder("features").write_text("a file where the folder would be")
    reporter = Noting()
    job = job_of(tmp_path / "run", recipe(1e-1), reporter=reporter)
    probe(job, IMAGES)
    assert any(line.startswith("features are not kept: cannot write") for line in reporter.lines)
    assert job.run.best.is_file()


# Being stopped


def test_a_stopped_pass_leaves_nothing(tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", recipe(1e-1), reporter=Noting(pull_plug))
    with pytest.raises(PulledPlugError):
        probe(job, IMAGES)
    assert list(cache_folder("features").iterdir()) == []
    assert not job.run.best.exists()
    assert not job.run.results.exists()


@pytest.mark.parametrize("at", ["computing features", "fitting the head"])
def test_a_signal_stops_it_and_it_starts_again(tmp_path: Path, at: str) -> None:
    whole = job_of(tmp_path / "whole", recipe(1e-1, 1e-3))
    expected = probe(whole, IMAGES)
    for file in cache_folder("features").iterdir():
        file.unlink()
    stopped = job_of(tmp_path / "run", recipe(1e-1, 1e-3))
    reporter = Noting(lambda: os.kill(os.getpid(), signal.SIGTERM), at)
    with pytest.raises(
        Interrupted, match=f"start again with: sightline train --resume {stopped.run.path}"
    ) as stop:
        probe(dataclasses.replace(stopped, reporter=reporter), IMAGES)
    assert stop.value.exit_code == 143
    kept = [file.suffix for file in cache_folder("features").iterdir()]
    assert kept == ([] if at == "computing features" else [".npy"]), "whole or not at all"
    again = job_of(tmp_path / "run", recipe(1e-1, 1e-3))
    position = probe(again, IMAGES, resume=True)
    assert [row["val_loss"] for row in position.rows] == [row["val_loss"] for row in expected.rows]
    assert again.run.best.read_bytes() == whole.run.best.read_bytes()


def test_a_finished_one_is_not_fitted_again(tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", recipe(1e-1, 1e-3))
    first = probe(job, IMAGES)
    again = job_of(tmp_path / "run", recipe(1e-1, 1e-3))
    assert probe(again, IMAGES, resume=True) == first
    assert again.source.images == 0  # type: ignore[attr-defined]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    folder = cache_folder("features")
    folder.mkdir(parents=True)
    (folder / f"abc-{2**22 + 1}-0123.partial").touch()  # above the largest number a process can have
    (folder / f"abc-{os.getppid()}-0123.partial").touch()
    probe(job_of(tmp_path / "run", recipe(1e-1)), IMAGES)
    left = [file.name for file in folder.iterdir() if file.suffix == ".partial"]
    assert left == [f"abc-{os.getppid()}-0123.partial"]


# What cannot be


def shared(folder: Path) -> Job:
    network = Tiny()
    network.again = nn.Linear(8, 10)
    network.again.weight = network.head.weight
    return job_of(folder, recipe(), network)


def two_processes(folder: Path) -> Job:
    return dataclasses.replace(job_of(folder, recipe()), ranks=Ranks(rank=1, count=2))


def network_of(forward: Any, **layers: nn.Module) -> Callable[[Path], Job]:
    def make(folder: Path) -> Job:
        return job_of(folder, recipe(), Does(forward, body=Tiny().body, **layers))

    return make


def pooled(n: Any, x: Tensor) -> Tensor:
    return n.body(x).mean(dim=(2, 3))


class Cosine(nn.Linear):
    """A layer that is called linear, and is not."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.normalize(x))


def headless(forward: Any, **layers: nn.Module) -> Callable[[Path], Job]:
    def make(folder: Path) -> Job:
        job = job_of(folder, recipe(), Does(forward, body=Tiny().body, **layers))
        return dataclasses.replace(job, architecture=dataclasses.replace(TINY, head="", stem=""))

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (shared, "head of tiny shares its weights with again.weight"),
        (two_processes, "fits one layer in one process; do so without torchrun"),
        (lambda f: dataclasses.replace(job_of(f, recipe()), objective=make_objective("rbf", {})),
         "a linear probe is a softmax regression; tiny answers by rbf"),
        (lambda f: job_of(f, Recipe(phases=(Phase(epochs=1),), probe=Probe())), "give --weights"),
        (network_of(lambda n, x: n.head(n.body(x)).relu_().mean(dim=(2, 3)), head=nn.Conv2d(8, 10, 1)),
         "the logits are not linear in head of tiny: something after it (a ReLU"),
        (network_of(lambda n, x: n.head(pooled(n, x)).log_softmax(dim=1), head=nn.Linear(8, 10)),
         "the logits are not linear in head of tiny"),
        (network_of(lambda n, x: n.head(n.head(pooled(n, x))), head=nn.Linear(8, 8)), "is used 2 times"),
        (network_of(lambda n, x: n.head(n.body(x)).mean(dim=(2, 3)), head=nn.Conv2d(8, 10, 3)),
         "head of tiny is a Conv2d"),
        (network_of(lambda n, x: n.head(n.body(x).flatten(2).transpose(1, 2)).mean(dim=1),
                    head=nn.Linear(8, 10)), "is not a plain linear layer of one vector"),
        (network_of(lambda n, x: n.head(pooled(n, x)), head=Cosine(8, 10)), "is not a plain linear layer"),
        (network_of(lambda n, x: n.head(input=pooled(n, x)), head=nn.Linear(8, 10)), "is not given one"),
        (network_of(lambda n, x: n.fc(pooled(n, x)), fc=nn.Linear(8, 10)), "there is no head of tiny"),
        (headless(lambda n, x: n.fc(n.body(x)).mean(dim=(2, 3)), fc=nn.Conv2d(8, 10, 1)), "tiny has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_probed_is_said(tmp_path: Path, make: Callable[[Path], Job], said: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(said)):
        probe(make(tmp_path / "run"), IMAGES)
    assert not cache_folder("features").exists()


def test_a_users_last_linear_layer_is_the_head(tmp_path: Path) -> None:
    job = headless(lambda n, x: n.fc(n.mid(pooled(n, x))), fc=nn.Linear(4, 10), mid=nn.Linear(8, 4))(
        tmp_path / "run"
    )
    before = job.network.mid.weight.detach().clone()  # type: ignore[union-attr, operator]
    (row, *_) = probe(job, IMAGES).rows
    assert torch.equal(job.network.mid.weight, before)  # type: ignore[arg-type, union-attr]
    assert row["train_loss"] < math.log(10)


def test_weights_are_not_needed_to_know_the_head(tmp_path: Path) -> None:
    """Random weights of a thousand layers may give what is no number."""
    job = job_of(tmp_path / "run", recipe())
    with torch.no_grad():
        job.network.body[0].weight.fill_(math.inf)  # type: ignore[index, operator, union-attr]
    assert check_probe(job).path == "head"


def test_a_random_stem_is_refused(tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", recipe())
    state, origin = job.starts[START]
    wider = {**state, "body.0.weight": torch.zeros(8, 3, 3, 3)}
    with pytest.raises(ModelFileError, match=r"body.0.weight of tiny .* --recipe fine_tune"):
        probe(dataclasses.replace(job, starts={START: (wider, origin)}), IMAGES)


def test_features_that_are_not_finite_are_named(tmp_path: Path) -> None:
    job = job_of(tmp_path / "run", recipe())
    state, origin = job.starts[START]
    broken = {**state, "body.1.bias": torch.full((8,), math.inf)}
    with pytest.raises(DataError, match="what head is given for it is not finite"):
        probe(dataclasses.replace(job, starts={START: (broken, origin)}), IMAGES)
    assert list(cache_folder("features").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phases": (Phase(epochs=2),)}, "one phase of one epoch"),
        ({"augmentation": Augmentation(flip="horizontal")}, "leave out augmentation, --symmetry"),
        ({"ema_decay": 0.9}, "leave out ema_decay"),
        ({"patience": 3}, "leave out patience"),
        ({"objective": {"label_smoothing": 0.1}}, "leave out label_smoothing"),
        ({"probe": {"strengths": []}}, "probe.strengths"),
        ({"probe": {"strengths": [0.0]}}, "greater than 0"),
    ],
)
def test_a_recipe_that_probes_does_not_train(changes: dict[str, Any], said: str) -> None:
    settings = recipe().settings()
    assert recipe_from(settings).settings() == settings
    for name, value in changes.items():
        made = Recipe(phases=(Phase(epochs=1),), **({name: value} if name not in ("phases", "probe") else {}))
        settings[name] = [dataclasses.asdict(p) for p in value] if name == "phases" else value
        if name == "augmentation":
            settings[name] = made.settings()[name]
    with pytest.raises(ArgumentError, match=said):
        recipe_from(settings)


def test_the_recipe_says_what_it_needs() -> None:
    made = linear_probe(num_images=120, weights=True, head="fc")
    assert recipe_from(made.settings()) == made
    assert made.phases[0].trainable == ("fc",)
    assert "120 images" in made.why
    assert made.with_epochs(5) == made
    with pytest.raises(ArgumentError, match="a linear probe of random features; give --weights"):
        linear_probe(num_images=120, weights=False)
    with pytest.raises(ArgumentError, match="--epochs is 3; linear_probe shows"):
        linear_probe(num_images=120, weights=True, epochs=3)
    with pytest.raises(ArgumentError, match=r"--lr is 0.1; recipe linear_probe takes no steps"):
        made.with_lr(0.1)


# The whole way


def test_from_a_folder_to_a_report_and_again(three_classes: Path, in_tmp: Path) -> None:
    plain = {"model": "mlp", "precision": "fp32", "reporter": SilentReporter()}
    trained = sightline.train(str(three_classes), epochs=2, **plain)  # type: ignore[arg-type]
    made = linear_probe(num_images=84, weights=True, head="5")
    reporter = Noting()
    result = sightline.train(
        str(three_classes), recipe=made, weights=str(trained.run), **(plain | {"reporter": reporter})
    )  # type: ignore[arg-type]
    for name in ("args.yaml", "split.csv", "results.csv", "best.safetensors", "last.safetensors",
                 "report.html", "log.txt"):  # fmt: skip
        assert (result.run / name).is_file(), name
    assert result.epochs == 1, "the strengths that were tried are no epochs"
    assert result.images_per_second == round(84 / result.seconds, 1), "each image is shown once"
    assert result.value >= 0.9, "zeros, ones and sevens are told apart by features trained on them"
    header, *rows = (result.run / "results.csv").read_text().splitlines()
    assert header.split(",") == [
        "epoch", "phase", "train_loss", "train_accuracy", "val_accuracy", "val_balanced_accuracy",
        "val_macro_f1", "val_auroc", "val_loss", "best", "strength", "images_per_second", "seconds",
    ]  # fmt: skip
    assert len(rows) == len(Probe().strengths)
    assert any("the head is that of penalty" in line for line in reporter.lines)
    _, own = read_model_file(trained.run / "best.safetensors")
    _, probed = read_model_file(result.run / "best.safetensors")
    assert {name for name in own if not torch.equal(own[name], probed[name])} == {"5.weight", "5.bias"}
    before = (result.run / "best.safetensors").read_bytes()
    again = sightline.training.resume(result.run, reporter=SilentReporter())
    assert json.dumps(again.to_dict()) == json.dumps(result.to_dict())
    assert (result.run / "best.safetensors").read_bytes() == before
    (result.run / "resume").rename(in_tmp / "gone")  # as if it had been killed
    once_more = sightline.training.resume(result.run, reporter=SilentReporter())
    assert once_more.value == result.value
    assert (result.run / "best.safetensors").read_bytes() == before
