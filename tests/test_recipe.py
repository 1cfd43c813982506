"""Schedules, mixing, balance, symmetry and time: what a recipe can say beyond its optimizer."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

import sightline
from sightline.base import ArgumentError, Draws
from sightline.imaging import Augmentation, Mixture, augment, mix
from sightline.records import read_header
from sightline.tasks import make_objective
from sightline.training import Optimizer, Phase, Recipe, Schedule, SilentReporter, epoch_steps, fit
from sightline.zoo import get_architecture
from toy_runs import PulledPlugError, StopAt, make_job, one_phase, outcome, pull_plug

MakeFolder = Callable[..., Path]


class Noting(SilentReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def train(data: Path | str, **options: Any) -> sightline.training.TrainingResult:
    defaults: dict[str, Any] = {
        "model": "mlp",
        "epochs": 1,
        "precision": "fp32",
        "reporter": SilentReporter(),
    }
    return sightline.train(str(data), **(defaults | options))


def args_of(run: Path | str) -> dict[str, Any]:
    return yaml.safe_load(Path(run, "args.yaml").read_text())  # type: ignore[no-any-return]


# Schedules


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule(kind="constant", warm_up=0.0), [1, 1, 1, 1, 1]),
        (Schedule(kind="linear", warm_up=0.0, end=0.0), [1, 0.75, 0.5, 0.25, 0]),
        (Schedule(kind="step", warm_up=0.0, milestones=(0.25, 0.75)), [1, 0.1, 0.1, 0.01, 0.01]),
        (Schedule(kind="step", warm_up=0.0, milestones=(0.5,), drop=0.5), [1, 1, 0.5, 0.5, 0.5]),
        (Schedule(kind="constant", warm_up=0.5, start=0.2), [0.2, 0.6, 1, 1, 1]),
        (Schedule(kind="cosine", warm_up=0.0, end=0.0), [1, 0.853553, 0.5, 0.146447, 0]),
    ],
)
def test_the_factor_at_five_steps(schedule: Schedule, factors: list[float]) -> None:
    assert [schedule.factor(step, 5) for step in range(5)] == pytest.approx(factors, abs=1e-6)


def test_a_plateau_lowers_the_rate_each_time_it_is_met() -> None:
    schedule = Schedule(kind="plateau", warm_up=0.0, drop=0.1, end=0.005)
    assert [schedule.factor(7, 10, drops) for drops in range(4)] == pytest.approx([1, 0.1, 0.01, 0.005])


def plateau(epochs: int, **settings: Any) -> Recipe:
    schedule = Schedule(kind="plateau", warm_up=0.0, drop=0.1, wait=2, end=0.0)
    return Recipe(phases=(Phase(epochs=epochs, schedule=schedule),), batch_size=64, **settings)


def test_waiting_at_a_plateau(tmp_path: Path) -> None:
    """A rate too small to learn by: after two epochs without a better score it drops, and again."""
    recipe = plateau(7, optimizers={"main": Optimizer(kind="sgd", lr=1e-12)}, select="accuracy")
    job = make_job(tmp_path / "run", recipe, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    fit(job)
    rates = [float(row["lr_main"]) for row in job.run.read_results()]
    best = [int(row["best"]) for row in job.run.read_results()]
    assert rates[0] == pytest.approx(1e-12)
    since, drops, expected = 0, 0, []
    for is_best in best:
        expected.append(1e-12 * 0.1**drops)
        since = 0 if is_best else since + 1
        if since == 2:
            since, drops = 0, drops + 1
    assert rates == pytest.approx(expected, rel=1e-6)
    assert rates[-1] < 1e-12, "it was lowered at all"


def test_a_plateau_is_remembered_when_a_run_goes_on(tmp_path: Path) -> None:
    recipe = plateau(6, optimizers={"main": Optimizer(kind="sgd", lr=1e-12)}, select="loss")
    whole = make_job(tmp_path / "whole", recipe)
    fit(whole)
    stopped = make_job(tmp_path / "stopped", recipe, checkpoint_steps=1, reporter=StopAt(17, pull_plug))
    with pytest.raises(PulledPlugError):
        fit(stopped)
    again = make_job(tmp_path / "stopped", recipe)
    fit(again, resume=True)
    assert outcome(again) == outcome(whole)


# Mixing


def batch(count: int = 64, side: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_mixup_is_a_weighted_sum_with_the_image_before() -> None:
    images = batch()
    mixed, what = mix(images, Augmentation(mixup=0.4), Draws(0), np.arange(64))
    assert what is not None
    assert what.partners.tolist() == [63, *range(63)]
    own = what.own[:, None, None, None]
    assert torch.allclose(mixed, own * images + (1 - own) * images[what.partners], atol=1e-6)
    assert 0.3 < what.own.mean() < 0.7
    assert what.own.std() > 0.2, "each image draws its own share"


def test_cutmix_pastes_one_rectangle_and_counts_its_area() -> None:
    images = torch.arange(64.0)[:, None, None, None].expand(64, 1, 16, 16)
    mixed, what = mix(images, Augmentation(cutmix=1.0), Draws(1), np.arange(64))
    assert what is not None
    for i in range(64):
        pasted = mixed[i, 0] == images[what.partners[i], 0]
        assert torch.equal(pasted | (mixed[i, 0] == images[i, 0]), torch.ones(16, 16, dtype=torch.bool))
        rows, columns = pasted.any(dim=1), pasted.any(dim=0)
        assert torch.equal(pasted, rows[:, None] & columns[None]), "a rectangle"
        assert what.own[i] == pytest.approx(1 - pasted.float().mean().item(), abs=1e-6)
    assert 0.02 < (1 - what.own).mean() < 0.6


def test_the_share_of_mixup_follows_the_beta_distribution() -> None:
    from scipy.stats import beta, kstest

    images = torch.zeros(4_000, 1, 1, 1)
    _, what = mix(images, Augmentation(mixup=0.4), Draws(3), np.arange(4_000))
    assert what is not None
    assert kstest(what.own.numpy(), beta(0.4, 0.4).cdf).pvalue > 0.01


def test_with_both_each_image_gets_one_of_the_two() -> None:
    images = batch(400)
    mixed, what = mix(images, Augmentation(mixup=1.0, cutmix=1.0), Draws(0), np.arange(400))
    assert what is not None
    own = what.own[:, None, None, None]
    blended = (
        torch.isclose(mixed, own * images + (1 - own) * images[what.partners], atol=1e-5).flatten(1).all(1)
    )
    assert 120 < int(blended.sum()) < 280


def test_nothing_to_mix() -> None:
    images = batch()
    assert mix(images, Augmentation(), Draws(0), np.arange(64)) == (images, None)
    assert mix(images[:1], Augmentation(mixup=1.0), Draws(0), np.arange(1))[1] is None


def test_the_loss_of_mixed_images_counts_both_classes() -> None:
    from sightline.data import Batch

    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    targets, own = torch.tensor([0, 1, 2]), torch.tensor([0.7, 0.2, 1.0])
    partners = torch.tensor([2, 0, 1])
    given = Batch(
        images=logits, targets=targets, ids=np.arange(3), sizes=torch.zeros(3, 2),
        transforms=torch.zeros(3, 3, 3), mixed=Mixture(partners=partners, own=own),
    )  # fmt: skip
    ((name, loss, _),) = make_objective("cross_entropy", {}).losses(nn.Identity(), given, Draws(0))
    soft = own[:, None] * F.one_hot(targets, 5) + (1 - own[:, None]) * F.one_hot(targets[partners], 5)
    assert name == "main"
    assert loss.item() == pytest.approx(F.cross_entropy(logits, soft).item(), rel=1e-6)


def test_training_with_mixing_resumes_exactly(tmp_path: Path) -> None:
    recipe = one_phase(2)
    assert recipe.augmentation.mixes
    whole = make_job(tmp_path / "whole", recipe)
    fit(whole)
    stopped = make_job(tmp_path / "stopped", recipe, checkpoint_steps=1, reporter=StopAt(3, pull_plug))
    with pytest.raises(PulledPlugError):
        fit(stopped)
    again = make_job(tmp_path / "stopped", recipe)
    fit(again, resume=True)
    assert outcome(again) == outcome(whole)
    plain = make_job(tmp_path / "plain", one_phase(2, augmentation=Augmentation()))
    fit(plain)
    assert outcome(plain) != outcome(whole)


# Symmetry


def test_all_eight_symmetries_of_a_square_come_equally_often() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    settings = Augmentation(flip="both", transpose=True)
    moved, matrices = augment(image.expand(800, 1, 4, 4), settings, Draws(0), np.arange(800))
    group = [torch.rot90(m, k, (2, 3)) for m in (image, image.flip(3)) for k in range(4)]
    counts = Counter(next(i for i, g in enumerate(group) if torch.equal(g[0], m)) for m in moved)
    assert sorted(counts) == list(range(8))
    assert min(counts.values()) > 60
    # the matrices say where points went: the centre of pixel (row 0, column 1) holds 1
    for out, matrix in zip(moved[:50], matrices[:50], strict=True):
        x, y, _ = matrix @ np.array([1.5, 0.5, 1.0])
        assert out[0, int(y), int(x)] == 1


def test_transposed_and_shifted_pixels_agree_with_interpolation() -> None:
    from sightline.imaging import geometry, warp

    images = batch(32)
    matrices = geometry(Augmentation(crop=0.25, flip="both", transpose=True), (8, 8), Draws(0), np.arange(32))
    assert torch.allclose(warp(images, matrices, whole_pixels=True), warp(images, matrices), atol=1e-5)


def test_only_squares_can_be_transposed() -> None:
    with pytest.raises(ArgumentError, match="8x6 cannot be transposed"):
        augment(torch.zeros(1, 1, 6, 8), Augmentation(transpose=True), Draws(0), np.arange(1))


@pytest.mark.parametrize(
    ("symmetry", "flip", "transpose"),
    [("none", "none", False), ("mirror", "horizontal", False), ("all", "both", True)],
)
def test_symmetry(three_classes: Path, in_tmp: Path, symmetry: str, flip: str, transpose: bool) -> None:
    train(three_classes, symmetry=symmetry, output="run")
    chosen = args_of("run")["recipe"]
    assert (chosen["augmentation"]["flip"], chosen["augmentation"]["transpose"]) == (flip, transpose)
    assert "instead, 1 epochs" in chosen["why"]


def test_colour_jitter_is_for_colour_images(three_classes: Path, in_tmp: Path) -> None:
    recipe = Recipe(phases=(Phase(epochs=1),), augmentation=Augmentation(colour=0.3))
    train(three_classes, recipe=recipe, epochs=None, output="run")
    assert args_of("run")["recipe"]["augmentation"]["colour"] == 0.0
    assert "no colour jitter, for the images are not 8-bit RGB" in args_of("run")["recipe"]["why"]
    grey = torch.rand(4, 1, 8, 8)
    assert torch.equal(augment(grey, Augmentation(colour=0.5), Draws(0), np.arange(4))[0], grey)


# Balance


def test_every_class_comes_equally_often() -> None:
    classes = np.repeat([0, 1, 2], [70, 20, 9])
    ids = np.arange(99) + 1_000
    keys = np.concatenate(epoch_steps(ids, Draws(0, 5), 16, classes))
    shown = classes[(keys & 0xFFFFFFFF) - 1_000]
    assert Counter(shown.tolist()) == {0: 33, 1: 33, 2: 33}
    assert len(set(keys.tolist())) == 99, "an image that comes again has another key"
    rare = Counter((keys & 0xFFFFFFFF)[shown == 2].tolist())
    assert set(rare.values()) == {3, 4}, "every image of a rare class before any comes again"
    assert max(Counter((keys & 0xFFFFFFFF)[shown == 0].tolist()).values()) == 1
    other = np.concatenate(epoch_steps(ids, Draws(0, 6), 16, classes))
    first, second = (
        set((k & 0xFFFFFFFF)[classes[(k & 0xFFFFFFFF) - 1_000] == 0].tolist()) for k in (keys, other)
    )
    assert first != second, "another epoch shows other images of a common class"


def test_an_image_that_comes_again_is_augmented_otherwise(tmp_path: Path) -> None:
    from sightline.training import prepare

    job = make_job(tmp_path / "run", one_phase(1, augmentation=Augmentation(crop=0.3)))
    (stored,) = job.source.batches([np.full(40, job.train[0])])
    again = dataclasses.replace(stored, turns=np.arange(40))
    same, other = (prepare(b, job, Draws(0)).images for b in (stored, again))
    assert all(torch.equal(same[0], image) for image in same)
    assert len({image.numpy().tobytes() for image in other}) > 5


def test_balanced_sampling_in_a_run(make_folder: MakeFolder, in_tmp: Path) -> None:
    unequal = make_folder({"one": (1, 100), "seven": (7, 10)}, name="unequal")
    noting = Noting()
    train(unequal, balance="sampling", output="sampled", reporter=noting)
    assert args_of("sampled")["recipe"]["balance"] == "sampling"
    assert not any("classes are unequal" in line for line in noting.lines)
    sightline.resume("sampled", epochs=2, reporter=SilentReporter())
    noting = Noting()
    train(unequal, output="plain", reporter=noting)
    assert any(re.search("unequal: 70 images of one to train on, 6 of seven", line) for line in noting.lines)


def test_weights_of_classes_are_one_on_average(make_folder: MakeFolder, in_tmp: Path) -> None:
    unequal = make_folder({"one": (1, 100), "seven": (7, 10)}, name="unequal")
    train(unequal, balance="weights", output="run")
    weights = read_header(Path("run/best.safetensors")).objective_settings["class_weights"]
    assert weights == pytest.approx([76 / (2 * 70), 76 / (2 * 6)], rel=1e-6)
    assert 70 * weights[0] + 6 * weights[1] == pytest.approx(76)
    sightline.evaluate("run")  # reads the header


def test_a_weighted_loss_is_the_mean_of_weighted_losses() -> None:
    from sightline.data import Batch

    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 0, 0, 0, 0, 1])
    given = Batch(
        images=logits,
        targets=targets,
        ids=np.arange(6),
        sizes=torch.zeros(6, 2),
        transforms=torch.zeros(6, 3, 3),
    )
    objective = make_objective("cross_entropy", {"class_weights": [0.5, 3.0]})
    ((_, loss, _),) = objective.losses(nn.Identity(), given, Draws(0))
    each = F.cross_entropy(logits, targets, reduction="none") * torch.tensor([0.5] * 5 + [3.0])
    assert loss.item() == pytest.approx(each.mean().item(), rel=1e-6)


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0, -1.0], [float("nan"), 1.0]])
def test_weights_must_be_above_zero(weights: list[float]) -> None:
    with pytest.raises(ArgumentError, match="class_weights must be above 0"):
        make_objective("cross_entropy", {"class_weights": weights})


# What cannot be


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "wieghts"}, "--balance is 'wieghts'; there are none, weights, sampling"),
        ({"symmetry": "both"}, "--symmetry is 'both'; there are none, mirror, all"),
        ({"select": "acuracy"}, "accuracy"),
        ({"minutes": 0.0, "epochs": None}, "--minutes must be above 0"),
        ({"minutes": float("inf"), "epochs": None}, "--minutes must be above 0, and end; it is inf"),
        ({"minutes": 1.0}, "--minutes and --epochs exclude each other"),
        ({"group_by": "("}, "is no regular expression"),
    ],
)
def test_wrong_choices(three_classes: Path, in_tmp: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(message)):
        train(three_classes, **options)
    assert not Path("runs").exists()


# Selecting


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1", "auroc", "loss"])
def test_the_best_epoch_by_any_metric(three_classes: Path, in_tmp: Path, metric: str) -> None:
    train(three_classes, select=metric, epochs=3, output="run")
    rows = sightline.records.RunFolder(Path("run")).read_results()
    values = [float(row[f"val_{metric}"]) for row in rows]
    kept = read_header(Path("run/best.safetensors")).epoch
    assert values[kept - 1] == (min(values) if metric == "loss" else max(values))
    assert [int(row["best"]) for row in rows][kept:] == [0] * (3 - kept)


# Time


def test_epochs_that_fit_into_a_time(three_classes: Path, in_tmp: Path) -> None:
    noting = Noting()
    train(three_classes, epochs=None, minutes=0.2, output="run", reporter=noting)
    recipe = args_of("run")["recipe"]
    epochs = recipe["phases"][0]["epochs"]
    assert epochs == 180, "three times the recipe's own: such small images take no time"
    assert "take less than 0.2 minutes" in recipe["why"]


def test_too_short_a_time_is_one_epoch_and_said(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, epochs=None, minutes=1e-6, output="run")
    recipe = args_of("run")["recipe"]
    assert recipe["phases"][0]["epochs"] == 1
    assert "too few for 1 epochs" in recipe["why"]


def test_a_recipe_in_few_epochs_is_the_one_made_for_few(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, epochs=None, minutes=1e-6, recipe=None, output="default")
    recipe = args_of("default")["recipe"]
    assert recipe["augmentation"]["crop"] == 0.0, "in so few epochs the default recipe shifts nothing"
    assert recipe["why"].count("epochs, the fewest there can be") == 1
    assert "not shifted in so few epochs" in recipe["why"]
    assert "instead" not in recipe["why"], "nobody chose these epochs"

    train(three_classes, epochs=None, minutes=1e-6, recipe="lenet_1998", output="lenet")
    assert [phase["epochs"] for phase in args_of("lenet")["recipe"]["phases"]] == [1]

    two = Recipe(phases=(Phase(epochs=3), Phase(epochs=2)))
    train(three_classes, recipe=two, epochs=None, minutes=1e-6, output="two")
    recipe = args_of("two")["recipe"]
    assert [phase["epochs"] for phase in recipe["phases"]] == [3, 1]
    assert recipe["why"].endswith("too few for 4 epochs, the fewest there can be")


def test_minutes_are_of_the_machine_as_it_is(
    three_classes: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightline.training import _set_up

    asked: list[bool] = []
    real = _set_up.choose_plan

    def noted(*args: Any, **known: Any) -> Any:
        asked.append(known["fresh_pace"])
        return real(*args, **known)

    monkeypatch.setattr(_set_up, "choose_plan", noted)
    train(three_classes, epochs=None, minutes=1e-6, output="timed")
    assert asked
    assert all(asked), "a pace of a busier day would let fewer epochs fit"
    asked.clear()
    train(three_classes, output="counted")
    assert asked == [False]


def test_the_pace_decides_how_many_epochs_fit() -> None:
    from sightline.data import open_images, split_images
    from sightline.training._duration import Pace, epochs_that_fit

    split = split_images(open_images("digits"))
    train_, val, test = (len(split.indices(part)) for part in ("train", "val", "test"))
    pace = Pace(image=0.01)
    epoch, judging = 0.01 * (train_ + val / 3), 0.005 * (val + test)
    assert pace.epoch(split) == pytest.approx(epoch)
    recipe = one_phase(60)
    assert epochs_that_fit(7.5 * epoch + judging, pace, split, recipe) == 7
    assert epochs_that_fit(judging / 2, pace, split, recipe) == 0
    assert epochs_that_fit(1e9, pace, split, recipe) == 180


def test_a_smaller_input_where_the_usual_one_takes_too_long(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photographs at 224 take seconds an epoch on any machine that tests run on; at 64 they fit."""
    from PIL import Image

    from sightline.imaging import photograph
    from sightline.training import _duration, _set_up

    for name in ("china", "flower"):
        Path("photos", name).mkdir(parents=True)
        picture = Image.fromarray(photograph(name))
        for i in range(30):
            picture.crop((i, i, i + 300 + i, i + 300)).save(f"photos/{name}/{i}.jpg")
    monkeypatch.setattr(_duration, "FEWEST_EPOCHS", 10)
    asked: list[int] = []
    real = _set_up.epochs_that_fit

    def fits(seconds: float, pace: Any, split: Any, recipe: Any) -> int:
        asked.append(1)
        return 3 if len(asked) < 3 else real(1e6, pace, split, recipe) and 11

    monkeypatch.setattr(_set_up, "epochs_that_fit", fits)
    Path("net.py").write_text(
        "from torch import nn\n"
        "def small(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "                         nn.Linear(4, num_classes))\n"
    )
    stop = Recipe(phases=(Phase(epochs=1),), batch_size=16)
    train("photos", model="net.py:small", recipe=stop, epochs=None, minutes=5, output="run")
    assert args_of("run")["model"]["input_size"] == [128, 128], "224 and 160 were too slow"
    assert len(asked) == 4


# The default recipe


def test_the_default_recipe_says_why(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, epochs=None, output="run", recipe=None, minutes=0.001)
    why = args_of("run")["recipe"]["why"]
    assert why.startswith(
        "84 images to train on, so batches of at most 32 and 60 epochs; "
        "at 8x8, not shifted in so few epochs; grey"
    )


def test_from_weights_the_default_recipe_is_gentler(three_classes: Path, in_tmp: Path) -> None:
    train(three_classes, output="first")
    train(three_classes, output="second", weights="first", recipe="default", epochs=None, minutes=0.001)
    phase = args_of("second")["recipe"]["phases"][0]
    assert phase["rates"] == {"*": 0.1, get_architecture("mlp").head: 1.0}
    assert "from trained weights" in args_of("second")["recipe"]["why"]
