"""The recipes of papers: their rates at their steps, worked by hand; which is chosen; what is refused."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sightline.base import ArgumentError
from sightline.tasks import make_objective
from sightline.training import Recipe, make_optimizers, recipe_from
from sightline.training._optimizers import check_patterns
from sightline.training.recipes import choose_recipe, stage_modules
from sightline.training.recipes._choose import _RECIPES
from sightline.zoo import get_architecture, list_architectures
from toy_runs import make_job

CIFAR: dict[str, Any] = {"num_images": 50_000, "channels": 3, "size": (32, 32)}
IMAGENET: dict[str, Any] = {"num_images": 1_281_167, "channels": 3, "size": (224, 224)}
PETS: dict[str, Any] = {"num_images": 3_000, "channels": 3, "size": (224, 224)}
TRAINED: dict[str, Any] = {"weights": True, "head": "fc", "stages": (("stem", "a"), ("b",), ("c",))}


def rate(
    recipe: Recipe, step: int, an_epoch: int, drops: int = 0, parameter: str = "features.0.weight"
) -> float:
    """The learning rate that the loop sets at a step of a whole run."""
    before = 0
    for index, phase in enumerate(recipe.phases):
        steps = recipe.phase_steps(index, an_epoch)
        if step < before + steps:
            factor = phase.schedule.factor(step - before, steps, drops)
            return recipe.optimizers["main"].lr * phase.rate(parameter) * factor
        before += steps
    raise AssertionError(f"the run has {before} steps")


def on_meta(name: str, **shape: Any) -> nn.Module:
    with torch.device("meta"):
        return get_architecture(name).build(**shape)


# All of them

GRID = list(
    itertools.product((40, 1_260, 50_000), ((8, 8), (32, 32), (224, 224)), (1, 3), (None, 1, 2, 20, 100))
)


@pytest.mark.parametrize("name", _RECIPES)
def test_settings_are_the_whole_recipe(name: str) -> None:
    made = 0
    for num_images, size, channels, epochs in GRID:
        known = {"num_images": num_images, "size": size, "channels": channels, "epochs": epochs} | TRAINED
        if (name == "airbench94" and size[0] > 64) or (name == "linear_probe" and epochs is not None):
            continue
        recipe = choose_recipe(name, **known)
        assert recipe.name == name
        assert recipe.why
        assert recipe_from(recipe.settings()) == recipe
        an_epoch = -(-num_images // recipe.batch_size)
        for index in range(len(recipe.phases)):
            assert recipe.phase_steps(index, an_epoch) > 0
        if epochs is not None:
            assert recipe.epochs == epochs
            assert recipe.max_steps is None
        made += 1
    assert made >= 6


def test_every_recipe_is_public_and_says_what_it_takes() -> None:
    from sightline.training import recipes

    for name, function in _RECIPES.items():
        assert getattr(recipes, name) is function
        text = inspect.getdoc(function) or ""
        if name != "default":
            assert all(word in text for word in ("Source:", "**Taken**", "**Not taken**")), name
        parameters = inspect.signature(function).parameters.values()
        assert all(one.kind is one.KEYWORD_ONLY for one in parameters), name


@pytest.mark.parametrize("name", sorted(set(_RECIPES) - {"airbench94", "linear_probe"}))
def test_grey_images_are_neither_mirrored_nor_coloured(name: str) -> None:
    for size in ((28, 28), (224, 224)):
        grey = choose_recipe(name, num_images=60_000, channels=1, size=size, **TRAINED).augmentation
        assert (grey.flip, grey.pca, grey.colour) == ("none", 0.0, 0.0)


# LeNet


def test_lenet_has_the_papers_five_rates() -> None:
    recipe = choose_recipe("lenet_1998", num_images=60_000, channels=1, size=(32, 32))
    assert recipe.epochs == 20
    of_passes = [rate(recipe, epoch * 7_500 + step, 7_500) for epoch in range(20) for step in (0, 7_499)]
    paper = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    expected = [one / 5e-4 * of_passes[0] for one in paper for _ in range(2)]
    assert of_passes == pytest.approx(expected, rel=1e-12)
    optimizer = recipe.optimizers["main"]
    assert (optimizer.momentum, optimizer.weight_decay) == (0.0, 0.0)


def test_fewer_passes_have_each_rate_as_long() -> None:
    recipe = choose_recipe("lenet_1998", num_images=100, channels=1, size=(32, 32), epochs=10)
    assert [phase.epochs for phase in recipe.phases] == [1, 1, 2, 2, 4]
    one = choose_recipe("lenet_1998", num_images=100, channels=1, size=(32, 32), epochs=1)
    assert [phase.epochs for phase in one.phases] == [1]


# AlexNet, VGG, PReLU


@pytest.mark.parametrize(
    ("name", "batch", "epochs", "last"),
    [("alexnet_2012", 128, 90, 1e-5), ("vgg_2014", 256, 74, 1e-5), ("prelu_2015", 128, 80, 1e-4)],
)
def test_divided_by_ten_when_stuck(name: str, batch: int, epochs: int, last: float) -> None:
    recipe = choose_recipe(name, **IMAGENET)
    assert (recipe.batch_size, recipe.epochs, recipe.select) == (batch, epochs, "accuracy")
    lows = [rate(recipe, 1_000, 5_005, drops) for drops in range(5)]
    assert lows == pytest.approx([max(last, 10.0**-n) for n in (2, 3, 4, 5, 6)])
    optimizer = recipe.optimizers["main"]
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (0.9, 5e-4, False)
    assert not optimizer.decay_all, "the slopes of PReLUs and biases do not decay"


@pytest.mark.parametrize(
    ("name", "least", "largest"),
    [("alexnet_2012", 256, 256), ("vgg_2014", 256, 512), ("prelu_2015", 256, 512), ("resnet_2015", 256, 480)],
)
def test_windows_of_224(name: str, least: int, largest: int) -> None:
    recipe = choose_recipe(name, **IMAGENET)
    assert recipe.augmentation.scale is not None
    assert [224 * one for one in recipe.augmentation.scale] == pytest.approx([least, largest])
    assert (recipe.augmentation.flip, recipe.augmentation.pca) == ("horizontal", 0.1)
    assert recipe.window is not None
    assert round(224 / recipe.window) == 256
    assert recipe.framing == "cover"
    small = choose_recipe(name, **CIFAR)
    assert small.augmentation.scale is None
    assert small.window is None
    assert 32 * small.augmentation.crop == 4
    assert small.augmentation.fill == "mean"


def test_the_wait_is_as_large_a_part_of_fewer_epochs() -> None:
    waits = [
        choose_recipe("alexnet_2012", **IMAGENET, epochs=epochs).phases[0].schedule.wait
        for epochs in (None, 90, 36, 9, 1)
    ]
    assert waits == [5, 5, 2, 1, 1]


def vgg_convolutions(name: str) -> dict[str, str]:
    """Convolutions by the paper's names, counted in the network itself: conv<stage>_<number>."""
    found, stage, number = {}, 1, 0
    for place, layer in enumerate(on_meta(name).features):  # type: ignore[arg-type]
        if isinstance(layer, nn.Conv2d):
            number += 1
            found[f"conv{stage}_{number}"] = f"features.{place}"
        elif isinstance(layer, nn.MaxPool2d):
            stage, number = stage + 1, 0
    return found


@pytest.mark.parametrize(
    ("deep", "shallow"),
    [
        *((deep, "vgg_a") for deep in ("vgg_b", "vgg_c", "vgg_d", "vgg_e")),
        *((deep, "vgg11") for deep in ("vgg13", "vgg16", "vgg19")),
        *((deep, "vgg11_bn") for deep in ("vgg13_bn", "vgg16_bn", "vgg19_bn")),
    ],
)
def test_a_deep_vgg_starts_from_a(deep: str, shallow: str) -> None:
    (phase,) = choose_recipe("vgg_2014", **IMAGENET, weights=True, model=deep).phases
    own, theirs = vgg_convolutions(deep), vgg_convolutions(shallow)
    expected = {own[one]: theirs[one] for one in ("conv1_1", "conv2_1", "conv3_1", "conv3_2")}
    layers = on_meta(deep)
    for place in list(expected):
        after = f"features.{int(place[9:]) + 1}"
        if isinstance(layers.get_submodule(after), nn.BatchNorm2d):
            expected[after] = f"features.{int(expected[place][9:]) + 1}"
    fully = {n for n, layer in layers.named_modules() if isinstance(layer, nn.Linear)}
    assert len(fully) == 3
    assert phase.taken == expected | {name: name for name in fully}
    a = on_meta(shallow).state_dict()
    for mine, other in phase.taken.items():
        for name, tensor in layers.get_submodule(mine).state_dict().items():
            assert a[f"{other}.{name}"].shape == tensor.shape


@pytest.mark.parametrize(("model", "weights"), [("vgg_a", True), ("vgg16", False), ("resnet18", True)])
def test_all_others_take_everything_or_nothing(model: str, weights: bool) -> None:
    assert choose_recipe("vgg_2014", **IMAGENET, weights=weights, model=model).phases[0].taken == {}


# GoogLeNet


def test_googlenet_falls_by_four_percent_every_eight_epochs() -> None:
    recipe = choose_recipe("googlenet_2014", **IMAGENET, epochs=60, objective="cross_entropy_auxiliary")
    an_epoch = 40_037
    for epoch, drops in ((0, 0), (7, 0), (8, 1), (15, 1), (16, 2), (55, 6), (56, 7), (59, 7)):
        expected = 0.01 * 0.96**drops
        assert rate(recipe, epoch * an_epoch, an_epoch) == pytest.approx(expected, rel=1e-9), epoch
    assert rate(recipe, 8 * an_epoch - 1, an_epoch) == pytest.approx(0.01), "not a step early"
    assert recipe.augmentation.area == (0.08, 1.0)
    assert recipe.augmentation.aspect == pytest.approx(4 / 3)
    steps = 60 * an_epoch
    assert recipe.ema_decay is not None
    assert 1 / (1 - recipe.ema_decay) == pytest.approx(0.1 * steps)


def test_auxiliary_losses_where_there_are_heads() -> None:
    with_heads = choose_recipe("googlenet_2014", **IMAGENET, objective="cross_entropy_auxiliary")
    assert with_heads.objective == {"auxiliary_weights": [0.3, 0.3]}
    assert make_objective("cross_entropy_auxiliary", with_heads.objective)
    without = choose_recipe("googlenet-2014", **IMAGENET, objective="cross_entropy")
    assert "no auxiliary heads, so without their losses" in without.why
    assert make_objective("cross_entropy", without.objective)


# ResNet


def test_resnet_on_cifar_takes_64_000_steps() -> None:
    recipe = choose_recipe("resnet_2015", **CIFAR, depth=20)
    an_epoch = 391
    assert recipe.batch_size == 128
    assert recipe.max_steps == 64_000
    assert recipe.epochs == 164, "64,000 / 391"
    rates = {step: rate(recipe, step, an_epoch) for step in (0, 31_999, 32_000, 47_999, 48_000, 63_999)}
    assert rates == pytest.approx(
        {0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}
    )
    optimizer = recipe.optimizers["main"]
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.decay_all) == (0.9, 1e-4, True)


def test_a_deep_resnet_starts_slowly() -> None:
    recipe = choose_recipe("resnet_2015", **CIFAR, depth=110)
    an_epoch = 391
    rates = {step: rate(recipe, step, an_epoch) for step in (0, 390, 391, 31_999, 32_000, 47_999, 48_000)}
    assert rates == pytest.approx(
        {0: 0.01, 390: 0.01, 391: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001}
    )
    assert sum(recipe.phase_steps(i, an_epoch) for i in range(2)) == 64_000
    assert len(choose_recipe("resnet_2015", **CIFAR, depth=110, epochs=2).phases) == 1, "no time for it"


def test_resnet_on_imagenet() -> None:
    recipe = choose_recipe("resnet_2015", **IMAGENET, depth=152)
    assert (recipe.batch_size, recipe.epochs) == (256, 120)
    assert abs(120 * 1_281_167 / 256 - 600_000) < 600
    lows = [rate(recipe, 7, 5_005, drops) for drops in range(3)]
    assert lows == pytest.approx([0.1, 0.01, 0.001])
    assert recipe.optimizers["main"].decay_all


# airbench

KILOSTEP = 1024 * (1 + 1 / (1 - 0.85))


@pytest.mark.parametrize(("model", "peak", "epochs"), [("airbench94", 11.5, 9.9), ("airbench95", 10.0, 15)])
def test_airbench_steps_as_the_script_does(model: str, peak: float, epochs: float) -> None:
    """The script minimises a batch's summed loss; by its mean, rates are a batch's images times as large."""
    recipe = choose_recipe("airbench94", **CIFAR, model=model)
    (optimizer,) = make_optimizers(on_meta(model), recipe.optimizers, recipe.phases[0]).values()
    biases, others = sorted(optimizer.param_groups, key=lambda group: -group["rate"])
    lr, taken_off = peak / KILOSTEP, 0.0153 * 1024 / KILOSTEP  # of the script, per summed loss
    assert others["lr"] == pytest.approx(1024 * lr)
    assert biases["lr"] == pytest.approx(1024 * 64 * lr)
    for group in (biases, others):
        assert group["lr"] * group["weight_decay"] == pytest.approx(taken_off)
        assert group["momentum"] == 0.85
        assert group["nesterov"]
    assert len(biases["params"]) == 6, "of two batch norms in three groups"
    assert len(others["params"]) == 1 + 6 + 1, "the whitening bias, the convolutions, the head"
    an_epoch = 49
    assert recipe.phase_steps(0, an_epoch) == math.ceil(epochs * an_epoch)
    assert recipe.batch_size == 1024


def test_two_steps_of_airbenchs_optimizer_are_those_of_the_script() -> None:
    """One weight and one norm bias by the script's formula, in plain numbers."""
    network = nn.ModuleDict(
        {
            "features": nn.ModuleDict({"whiten": nn.Conv2d(1, 1, 1)}),
            "norm1": nn.BatchNorm1d(1),
            "norm2": nn.BatchNorm1d(1),
        }
    ).double()
    head = nn.Linear(1, 1, bias=False).double()
    network["head"] = nn.Sequential(head)
    recipe = choose_recipe("airbench94", **CIFAR, model="airbench94")
    phase = dataclasses.replace(
        recipe.phases[0], rates={"norm1.bias": 64.0}, frozen_after={"features.whiten": 0, "norm?.weight": 0}
    )
    (optimizer,) = make_optimizers(network, recipe.optimizers, phase).values()
    lr, wd = 11.5 / KILOSTEP, 0.0153 * 1024 / KILOSTEP
    for parameter, faster in ((head.weight, 1), (network["norm1"].bias, 64)):
        torch.nn.init.constant_(parameter, 0.5)
        value, velocity = 0.5, 0.0
        for gradient in (3e-4, -2e-4):  # of the mean loss
            optimizer.zero_grad()
            parameter.grad = torch.full_like(parameter, gradient)
            optimizer.step()
            g = 1024 * gradient + wd / (faster * lr) * value
            velocity = 0.85 * velocity + g
            value -= faster * lr * (g + 0.85 * velocity)
            assert parameter.item() == pytest.approx(value, rel=1e-12)


def test_airbenchs_triangle_and_freezing() -> None:
    recipe = choose_recipe("airbench94", **CIFAR, model="airbench94")
    (phase,) = recipe.phases
    factors = [phase.schedule.factor(step, 1001) for step in (0, 115, 230, 615, 1000)]
    assert factors == pytest.approx([0.2, 0.6, 1.0, 0.535, 0.07])
    names = [name for name, _ in on_meta("airbench94").named_parameters()]
    moving = [{n for n in names if phase.trains(n, epoch)} for epoch in (0, 2, 3)]
    gains = {n for n in names if "norm" in n and n.endswith("weight")}
    assert len(gains) == 6
    assert moving[0] == moving[1] == set(names) - gains - {"features.whiten.weight"}
    assert moving[0] - moving[2] == {"features.whiten.bias"}
    assert recipe.lookahead is not None
    assert (recipe.lookahead.every, recipe.lookahead.decay) == (5, pytest.approx(0.95**5))
    assert (recipe.holdout, recipe.select) == (False, None)
    assert recipe.objective == {"label_smoothing": 0.2}
    shown = recipe.augmentation
    assert (32 * shown.crop, shown.fill, shown.flip) == (2, "reflect", "alternating")


def test_airbench_of_a_small_set_takes_about_as_many_steps() -> None:
    for num_images in (1_260, 5_000, 20_000):
        recipe = choose_recipe("airbench94", num_images=num_images, channels=3, size=(32, 32))
        an_epoch = -(-num_images // recipe.batch_size)
        steps = recipe.phase_steps(0, an_epoch)
        assert 470 <= steps <= 540
        assert recipe.optimizers["main"].lr == pytest.approx(1.5 * recipe.batch_size / 1024)
        assert recipe.lookahead is not None
    short = choose_recipe("airbench94", num_images=84, channels=3, size=(32, 32), epochs=2)
    assert short.lookahead is None, "slow weights that were never met are the random ones"


@pytest.mark.parametrize("model", ["resnet20", "lecture_cnn", "airbench94", "airbench95"])
def test_airbench_with_another_network(model: str) -> None:
    recipe = choose_recipe("airbench94", **CIFAR, model=model)
    check_patterns(on_meta(model), recipe)
    assert make_optimizers(on_meta(model), recipe.optimizers, recipe.phases[0])
    assert ("at one rate" in recipe.why) is not model.startswith("airbench")


# modern


def test_modern_goes_up_in_a_line_and_down_a_cosine() -> None:
    recipe = choose_recipe("modern", **IMAGENET, epochs=600)
    (phase,) = recipe.phases
    peak = 0.5 * 128 / 1024
    assert recipe.optimizers["main"].lr == pytest.approx(peak)
    steps = 60_001  # 100 an epoch, and one more for round numbers
    by_hand = {0: 0.01, 250: 0.505, 500: 1.0, 500 + 59_500 // 2: 0.5, 60_000: 0.0}
    found = {step: phase.schedule.factor(step, steps) for step in by_hand}
    assert found == pytest.approx(by_hand, abs=1e-9)
    shown = recipe.augmentation
    assert (shown.trivial, shown.erase, shown.mixup, shown.cutmix) == (True, 0.1, 0.2, 1.0)
    assert shown.area == (0.08, 1.0)
    assert recipe.objective == {"label_smoothing": 0.1}
    optimizer = recipe.optimizers["main"]
    assert (optimizer.weight_decay, optimizer.decay_all) == (2e-5, False)
    assert recipe.window is not None
    assert round(224 / recipe.window) == 232
    # theirs: 1 - 0.99998 every 32 steps, times 8 * 128 * 32 / 600; as a share of 600 * 1,251 steps
    reach = 32 / ((1 - 0.99998) * 8 * 128 * 32 / 600)
    assert reach / (600 * 1_251) == pytest.approx(0.04, abs=0.005)
    assert recipe.ema_decay is not None
    assert 1 / (1 - recipe.ema_decay) == pytest.approx(0.04 * 600 * 10_010)


# Fine-tuning


def test_fine_tuning_is_the_head_and_then_all_slower_towards_the_images() -> None:
    recipe = choose_recipe("fine_tune", **PETS, **TRAINED, epochs=10)
    first, second = recipe.phases
    assert (first.epochs, first.trainable) == (2, ("fc",))
    assert (second.epochs, second.trainable) == (8, ("*",))
    rates = {
        name: second.rate(name) for name in ("fc.weight", "c.1.weight", "b.bias", "a.weight", "stem.weight")
    }
    by_hand = {"fc.weight": 1, "c.1.weight": 0.1, "b.bias": 0.1 / 2.6, "a.weight": 0.1 / 2.6**2}
    assert rates == pytest.approx(by_hand | {"stem.weight": by_hand["a.weight"]})
    assert second.rate("after.the.last.stage") == pytest.approx(0.1)


STAGED = [
    architecture.name
    for architecture in list_architectures()
    if architecture.stages and architecture.depth < 1_000
]


@pytest.mark.parametrize("name", STAGED)
def test_stages_hold_every_parameter_once(name: str) -> None:
    architecture = get_architecture(name)
    network = on_meta(name)
    stages = stage_modules(network, [stage.path for stage in architecture.stages])
    assert len(stages) == len(architecture.stages)
    assert all(stages), "none is empty"
    names = [parameter for parameter, _ in network.named_parameters()]
    holders: dict[str, list[int]] = {parameter: [] for parameter in names}
    for number, modules in enumerate(stages):
        for parameter in names:
            if any(parameter == one or parameter.startswith(f"{one}.") for one in modules):
                holders[parameter].append(number)
    assert all(len(found) <= 1 for found in holders.values())
    assert holders[f"{architecture.stem}.weight"] == [0]
    assert not any(holders[n] for n in names if n.startswith(f"{architecture.head}."))
    if "aux" not in " ".join(names):
        flat = [found[0] for found in holders.values() if found]
        assert flat == sorted(flat), "from the images on"
    recipe = choose_recipe("fine_tune", **PETS, weights=True, head=architecture.head, stages=stages)
    if any(n.startswith(f"{architecture.head}.") for n in names):
        check_patterns(network, recipe)
        for phase in recipe.phases:
            make_optimizers(network, recipe.optimizers, phase)


def test_stages_by_hand() -> None:
    found = stage_modules(on_meta("resnet18"), ["layer1", "layer2", "layer3", "layer4"])
    assert found == (("conv1", "bn1", "layer1"), ("layer2",), ("layer3",), ("layer4",))
    three = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    assert stage_modules(three, ["0", "1"]) == (("0",), ("1",)), "a stage that ends with parameters"
    vgg = get_architecture("vgg11")
    stages = stage_modules(on_meta("vgg11"), [stage.path for stage in vgg.stages])
    assert stages[:3] == (("features.0",), ("features.3",), ("features.6", "features.8"))


# Which one is chosen


@pytest.mark.parametrize(
    ("known", "name", "reason"),
    [
        (CIFAR, "default", "50000 images to train on"),
        (CIFAR | {"model": "airbench94"}, "airbench94", "airbench94 on small colour images"),
        (CIFAR | {"model": "airbench95"}, "airbench94", "airbench95 on small colour images"),
        (CIFAR | {"model": "airbench94", "channels": 1}, "default", "grey"),
        (CIFAR | {"model": "airbench94", "size": (96, 96)}, "default", "96x96"),
        (CIFAR | {"model": "airbench94"} | TRAINED, "default", "from trained weights"),
        (PETS, "default", "3000 images"),
        (PETS | TRAINED, "fine_tune", "fewer than 5,000 images, so fine-tuned"),
        (PETS | TRAINED | {"head": ""}, "default", "a third as long"),
        (PETS | TRAINED | {"epochs": 2}, "default", "a third as long"),
        (PETS | TRAINED | {"num_images": 5_000}, "default", "a third as long"),
        (PETS | TRAINED | {"minutes": 30.0}, "fine_tune", "fine-tuned"),
        (PETS | TRAINED | {"minutes": 2.0}, "linear_probe", "in 2 minutes, so a linear probe"),
        (PETS | TRAINED | {"minutes": 2.0, "probe": False}, "fine_tune", "fine-tuned"),
        (PETS | {"minutes": 2.0}, "default", "3000 images"),
    ],
)
def test_what_suits(known: dict[str, Any], name: str, reason: str) -> None:
    recipe = choose_recipe(None, **known)
    assert recipe.name == name
    assert reason in recipe.why


# What cannot be


@pytest.mark.parametrize(
    ("spec", "known", "message"),
    [
        ("resnet", CIFAR, "no recipe named 'resnet'; did you mean resnet_2015"),
        ("airbench-95", CIFAR, "did you mean airbench94"),
        ("airbench94", IMAGENET, "is for up to 64 pixels, and the network is given 224x224; use default or"),
        ("fine_tune", PETS, "recipe fine_tune starts from trained weights; add --weights, or use default"),
        ("fine-tune", PETS | {"weights": True}, "this network's is not known; use default"),
    ],
)
def test_a_recipe_that_does_not_go_is_refused(spec: str, known: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(message)) as caught:
        choose_recipe(spec, **known)
    assert "\n" not in str(caught.value)


def test_a_recipe_for_another_task_is_refused(tmp_path: Path) -> None:
    """One whose optimizers are another task's, and one with another objective's arguments."""
    from sightline.training import Optimizer, Phase, fit

    other = Recipe(phases=(Phase(epochs=1),), optimizers={"generator": Optimizer(kind="sgd")}, batch_size=64)
    with pytest.raises(ArgumentError, match="names optimizer 'main'; the recipe has generator"):
        fit(make_job(tmp_path / "run", other))
    with pytest.raises(ArgumentError, match=r"cross_entropy: .*auxiliary_weights"):
        make_objective("cross_entropy", {"auxiliary_weights": [0.3]})


def test_a_users_recipe_takes_what_it_names(in_tmp: Path) -> None:
    Path("mine.py").write_text(
        "from sightline.training import Phase, Recipe\n"
        "def named(stages, model, minutes):\n"
        "    return Recipe(name=f'{model} {len(stages)} {minutes}', phases=(Phase(epochs=1),))\n"
        "def everything(**known):\n"
        "    return Recipe(name=' '.join(sorted(known)), phases=(Phase(epochs=1),))\n"
        "def wrong(model): return model\n"
    )
    known = PETS | TRAINED | {"model": "resnet18", "minutes": 3.0}
    assert choose_recipe("mine.py:named", **known).name == "resnet18 3 3.0"
    assert choose_recipe("mine.py:everything", **known).name == (
        "channels depth epochs head minutes model num_images objective size stages stem weights"
    )
    with pytest.raises(ArgumentError, match=r"mine\.py:wrong returns str, not a Recipe"):
        choose_recipe("mine.py:wrong", **known)
