"""The lab's experiments: counts, small trials, factors, scales by layer, features; their pages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from torch import nn

from conftest import MakeFolder
from sightline.base import ArgumentError, DataError, Draws
from sightline.blueprint import record
from sightline.lab import Page, Picture, Setting, _depth, _depth_page, _features, _trial_page, run_entry
from sightline.lab import _kernel_sizes as kernel_sizes
from sightline.lab import _strides_pooling as strides_pooling
from sightline.lab._curves import read_curves, recorded, write_curves
from sightline.lab._factors import composed, factored
from sightline.lab._trials import COLUMNS, DECAY, RATE, SmallSet, Trial, judge, learn, small_set, try_all
from sightline.lab.entries._features import ENTRY as FEATURES
from sightline.lab.entries._kernel_sizes import ENTRY as KERNEL_SIZES
from sightline.lab.entries._strides_pooling import ENTRY as STRIDES_POOLING
from sightline.reference import kernel

# -- curves on disk ------------------------------------------------------------------------------------


def test_curves_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    write_curves(path, ("python x.py --images 12", "torch 2", "a machine", "2026-01-02"), ("a", "b"), [
        {"a": 1, "b": 0.25}, {"a": 2, "b": 1 / 3},
    ])  # fmt: skip
    curves = read_curves(path.read_text(), "some.csv")
    assert curves.rows == ({"a": "1", "b": "0.25"}, {"a": "2", "b": "0.333333"})
    assert curves.note == "Recorded on 2026-01-02 by `python x.py --images 12` (torch 2) on a machine."
    assert _trial_page.flag(curves.command, "images") == 12
    with pytest.raises(DataError, match=r"does not say --epochs: python x\.py"):
        _trial_page.flag(curves.command, "epochs")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "begins with 'a,b'; it must be '# command; versions; machine; date'"),
        ("# one; two; three\na\n1\n", "it must be '# command; versions; machine; date'"),
        ("# one; two; ; four\na\n1\n", "it must be '# command; versions; machine; date'"),
        ("# one; two; three; four\na,b\n", "has no rows"),
        ("# one; two; three; four\na,b\n1\n", "rows of another length"),
        ("# one; two; three; four\na,b\n1,2,3\n", "rows of another length"),
    ],
)
def test_curves_that_are_not_are_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=r"x.csv ") as caught:
        read_curves(text, "x.csv")
    assert said in str(caught.value)


def test_curves_that_are_not_there() -> None:
    with pytest.raises(DataError, match="the recorded curves of nothing are not installed"):
        recorded("nothing")


# -- trials --------------------------------------------------------------------------------------------


def test_a_small_set_of_digits() -> None:
    images = small_set("digits", side=16, channels=1, train=200, test=50)
    assert images.train_images.shape == (200, 1, 16, 16)
    assert images.test_images.shape == (50, 1, 16, 16)
    assert images.train_images.mean() == pytest.approx(0, abs=1e-5)
    assert images.train_images.std() == pytest.approx(1, abs=1e-4)
    again = small_set("digits", side=16, channels=1, train=200, test=50)
    assert torch.equal(images.train_images, again.train_images)
    assert len(set(images.train_targets.tolist())) == 10
    raw = images.train_images * images.deviation[0] + images.mean[0]
    assert raw.min() >= -1e-3
    assert raw.max() == pytest.approx(255, abs=0.5)
    both = torch.cat([images.train_images, images.test_images]).flatten(1)
    assert len(both.unique(dim=0)) == 250, "an image is learned from and judged by"


def test_a_small_set_of_ones_own_is_judged_by_its_test_images(make_folder: MakeFolder) -> None:
    folder = make_folder({f"{part}/{name}": (d, n) for part, n in (("train", 9), ("test", 4))
                          for name, d in (("a", 1), ("b", 2))})  # fmt: skip
    images = small_set(folder, train=100, test=100)
    assert images.classes == ("a", "b")
    assert (images.train_images.shape, images.test_images.shape) == ((18, 3, 32, 32), (8, 3, 32, 32))
    assert images.train_targets.bincount().tolist() == [9, 9]
    assert "18 images of" in images.said


def test_a_set_with_nothing_to_be_judged_by_is_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match="has no images to be judged by; give it a folder `test`"):
        small_set(make_folder({"train/a": (1, 8), "train/b": (2, 8)}), train=4, test=4)


def tiny_set() -> SmallSet:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 1, 2, 2, generator=generator)
    y = torch.tensor([0, 1, 1, 0])
    return SmallSet(
        train_images=x, train_targets=y, test_images=x[:2], test_targets=y[:2], classes=("a", "b"), said="",
        mean=(0.0,), deviation=(1.0,),
    )  # fmt: skip


def linear() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


def test_one_step_by_hand() -> None:
    """Of one step half is done: the rate is RATE (1 - 1/2) / 0.8; Nesterov's first step is 1.9 gradients."""
    network, images = linear(), tiny_set()
    before = network[1].weight.detach().clone()
    x, y = images.train_images.flatten(1), images.train_targets
    probabilities = torch.softmax(x @ before.T + network[1].bias.detach(), dim=1)
    probabilities[torch.arange(4), y] -= 1
    gradient = probabilities.T @ x / 4 + DECAY * before
    (row,) = learn(network, images, epochs=1, seed=0)
    assert torch.allclose(network[1].weight, before - RATE * 0.5 / 0.8 * 1.9 * gradient, atol=1e-6)
    assert row["steps"] == 1
    assert not network.training
    loss, accuracy = judge(network, images.test_images, images.test_targets)
    assert (row["test_loss"], row["test_accuracy"]) == (loss, accuracy)


def test_the_rate_goes_up_and_back_to_nearly_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: Any, *arguments: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    assert len(list(learn(linear(), tiny_set(), epochs=9, seed=0, rate=1.0, batch=4))) == 9
    assert rates == pytest.approx([0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_trials_repeat_and_leave_torch_alone() -> None:
    weights = []

    def build(classes: int) -> nn.Module:
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, classes))
        weights.append(network[1].weight.detach().clone())
        return network

    trials = [Trial(name=name, build=build) for name in "ab"]
    told: list[tuple[str, int, int]] = []
    state = torch.random.get_rng_state()

    def rows() -> list[Any]:
        return list(
            try_all(trials, tiny_set(), epochs=2, seeds=[0, 1], progress=lambda *args: told.append(args))
        )

    first, second = rows(), rows()
    assert torch.equal(state, torch.random.get_rng_state())
    assert first == second
    assert [(row["model"], row["seed"], row["epoch"]) for row in first] == [
        (m, s, e) for s in (0, 1) for m in "ab" for e in (1, 2)
    ]
    assert set(first[0]) == set(COLUMNS)
    assert torch.equal(weights[0], weights[1]), "of one seed"
    assert not torch.equal(weights[0], weights[2]), "of another"
    assert first[0]["test_loss"] == first[2]["test_loss"], "the same network and the same order"
    assert first[0]["test_loss"] != first[4]["test_loss"], "another seed"
    assert told[:8][-1] == ("training b", 8, 8)


def rows_of(**accuracies: list[float]) -> list[dict[str, str]]:
    return [
        {"model": model, "seed": str(seed), "epoch": str(epoch), "train_accuracy": "1",
         "test_accuracy": str(value if epoch == 2 else 0.1)}
        for model, values in accuracies.items() for seed, value in enumerate(values) for epoch in (1, 2)
    ]  # fmt: skip


def test_outcomes_and_differences_by_hand() -> None:
    """Squares about the means 0.02, 0.02, 0.0002 over 6 degrees: deviation 0.0818535; t is 2.446912."""
    found = _trial_page.outcomes(rows_of(base=[0.5, 0.6, 0.7], more=[0.7, 0.8, 0.9], other=[0.99, 1.0, 1.01]))
    assert found.by_name["base"].mean == pytest.approx(0.6)
    assert found.error == pytest.approx(2.446912 * 0.0818535 / math.sqrt(3), rel=1e-5)
    more = found.over("more", "base")
    half = math.sqrt(2) * 2.446912 * 0.0818535 / math.sqrt(3)
    assert more.interval == pytest.approx((0.2 - half, 0.2 + half), rel=1e-5)
    assert more.told
    assert more.text == "+20.0 points (+3.6 to +36.4)"
    assert not found.over("base", "base").told
    table = _trial_page.accuracy_table(found, "base", dict.fromkeys(found.by_name, (1, 2)))
    assert table.rows[1][:4] == ("more", 1, 2, "80.0 +- 11.6 %")
    assert table.rows[0][-1] == ""


def test_one_seed_has_no_interval() -> None:
    one = _trial_page.outcomes(rows_of(base=[0.5], more=[0.7])).over("more", "base")
    assert (one.interval, one.told, one.text) == (None, False, "+20.0 points")


# -- kernel sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", [*kernel_sizes.trials(), *strides_pooling.trials()], ids=lambda t: t.name)
@pytest.mark.parametrize("classes", [3, 10])
def test_costs_by_hand_are_those_recorded(trial: Trial, classes: int) -> None:
    blueprint = record(trial.build(classes), torch.empty(1, 3, 32, 32, device="meta"))
    costs = kernel_sizes.costs(classes) | strides_pooling.costs(classes)
    assert costs[trial.name] == (blueprint.num_parameters, blueprint.macs)


def test_channels_that_match() -> None:
    by_parameters, by_macs = kernel_sizes.matched()
    for which, channels in ((0, by_parameters), (1, by_macs)):
        wanted = kernel_sizes.cost(kernel_sizes.CHANNELS, 5)[which]
        off = [abs(kernel_sizes.cost(channels + d, 3)[which] - wanted) for d in (-1, 0, 1)]
        assert off[1] == min(off)
    assert by_macs == round(kernel_sizes.CHANNELS * math.sqrt(25 / 18))


def test_two_kernels_are_one() -> None:
    a, b = Draws(seed=0).normal("test", [0, 1], 9).reshape(2, 3, 3)
    assert np.allclose(composed(a, b), convolve2d(a, b))


def test_a_product_factors_and_a_ring_does_not() -> None:
    a, b = Draws(seed=1).normal("test", [0, 1], 9).reshape(2, 3, 3)
    target = convolve2d(a, b)
    found = factored(target)
    assert found.missed < 1e-8
    assert np.allclose(found.product, target, atol=1e-3)
    ring = np.zeros((5, 5))
    ring[0, 1:4] = ring[4, 1:4] = ring[1:4, 0] = ring[1:4, 4] = 1
    left = factored(ring)
    assert left.missed == pytest.approx(0.02603, abs=1e-4), "the best of a thousand searches"
    assert left.missed == pytest.approx(((left.product - ring) ** 2).sum() / (ring**2).sum())
    assert factored(ring, between=2).missed < 1e-8


def test_every_separable_kernel_factors() -> None:
    """A polynomial of degree 4 with real numbers is a product of two of degree 2."""
    column, row = Draws(seed=2).normal("test", [0, 1], 5)
    assert factored(np.outer(column, row)).missed < 1e-6
    assert factored(kernel("gaussian:5").matrix).missed < 1e-6


def page_of(entry: Any, folder: Path, **setting: Any) -> Page:
    page, path = run_entry(entry, Setting(**setting), folder)
    assert path.stat().st_size < 1_000_000
    return page


def small_live(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("IMAGES", 24), ("TEST", 12), ("EPOCHS", 1), ("SEEDS", 2)):
        monkeypatch.setattr(_trial_page, f"LIVE_{name}", value)


def test_kernel_sizes_by_the_recorded_curves(tmp_path: Path) -> None:
    page = page_of(KERNEL_SIZES, tmp_path)
    numbers = page.numbers
    assert (numbers["weights_5x5"], numbers["weights_stack"]) == (25 * 16**2, 18 * 16**2)
    assert numbers["weights_share"] == 0.72
    assert (numbers["field_5x5"], numbers["field_two"], numbers["field_three"]) == (5, 5, 7)
    assert numbers["missed"]["gaussian:5"]["one"] < 1e-6
    assert numbers["missed"]["ring"]["one"] > 0.02 > 1e-6 > numbers["missed"]["ring"]["two"]
    rows = recorded("kernel-sizes").rows
    assert list(dict.fromkeys(row["model"] for row in rows)) == [t.name for t in kernel_sizes.trials()]
    last = max(int(row["epoch"]) for row in rows)
    own = [float(r["test_accuracy"]) for r in rows if r["model"] == "5x5" and int(r["epoch"]) == last]
    assert numbers["accuracy"]["5x5"] == pytest.approx(np.mean(own))
    assert any("A small experiment: 4,000 of the 50,000" in note for note in page.notes)
    assert any("lab_curves.py CIFAR --only kernel-sizes" in note for note in page.notes)


def test_kernel_sizes_live_on_ones_own_images(
    tmp_path: Path, three_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_live(monkeypatch)
    page = page_of(KERNEL_SIZES, tmp_path / "lab", live=True, data=three_classes)
    assert page.numbers["seeds"] == 2
    table = next(part for part in page.parts if part.title == "Accuracy")
    assert table.rows[0][1:3] == kernel_sizes.cost(16, 5, classes=3)  # type: ignore[union-attr]
    assert any("3 classes" in note for note in page.notes)


def test_images_without_live_are_refused(tmp_path: Path, three_classes: Path) -> None:
    with pytest.raises(ArgumentError, match="kernel-sizes trains on your images with --live alone"):
        run_entry(KERNEL_SIZES, Setting(data=three_classes), tmp_path)


def test_in_vgg_b_the_pair_saves_little() -> None:
    """9 (3 64 + 64^2) = 38,592 against 25 3 64 = 4,800; from 512 to 512, 18 against 25."""
    rows = kernel_sizes._vgg().rows
    assert rows[0][:3] == ("3 to 64", 4_800, 38_592)
    assert rows[1][3] == pytest.approx(54 / 50)
    assert rows[4][3] == pytest.approx(18 / 25)


# -- strides and pooling -------------------------------------------------------------------------------


def test_the_papers_networks_by_hand() -> None:
    """A: 5 5 3 96 + 96, 5 5 96 192 + 192, 9 192^2 + 192, 192^2 + 192, 1920 + 10."""
    full = {model: strides_pooling.design_of(model, 96) for model in strides_pooling.MODELS}
    a = 7_296 + 460_992 + 331_968 + 37_056 + 1_930
    assert [full[m].parameters for m in ("A", "Strided-A")] == [a, a]
    assert [full[m].parameters for m in ("ConvPool-A", "All-A")] == [a + 83_040 + 331_968] * 2
    assert [full["A"].layers[k].output_shape for k in (2, 5)] == [(96, 16, 16), (192, 8, 8)]


def test_where_gradients_go() -> None:
    shares = strides_pooling.reached()
    assert shares["max 2x2"] == 0.25
    assert shares["average 2x2"] == 1.0
    assert shares["max 3x3"] < 0.25


def test_strides_by_the_recorded_curves(tmp_path: Path) -> None:
    page = page_of(STRIDES_POOLING, tmp_path)
    assert page.numbers["published_error"]["All-A"] == pytest.approx(0.103)
    assert page.numbers["parameters"]["All-A"] == 1_254_250
    assert set(page.numbers["accuracy"]) == set(strides_pooling.MODELS)
    certain = {row[0]: row[3] for row in page.parts[0].rows}  # type: ignore[union-attr]
    assert (certain["Strided-B"], certain["ConvPool-B"]) == ("read", "remembered")


def test_strides_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_live(monkeypatch)
    page = page_of(STRIDES_POOLING, tmp_path, live=True)
    assert page.numbers["seeds"] == 2
    assert "Trained just now" in page.notes[-1]


# -- depth ---------------------------------------------------------------------------------------------


def test_gains_in_closed_form() -> None:
    """0.01 sqrt(9 C / 2) of 16, 32, 64 channels, and 1 of He's; of 8x8 maps the border takes a twelfth."""
    assert [_depth.expected_gain(0.01, c, 0) for c in (16, 32, 64)] == pytest.approx(
        [0.0849, 0.12, 0.1697], abs=1e-4
    )
    assert _depth.expected_gain(None, 64, 0) == pytest.approx(1)
    assert _depth.expected_gain(None, 64, 8) == pytest.approx(1 - 1 / 12)


@pytest.fixture(scope="module")
def few_digits() -> SmallSet:
    return small_set("digits", train=8, test=8)


def measured(name: str, images: SmallSet, **how: Any) -> _depth.Scales:
    network = _depth.build(name, classes=10, seed=0, **how).double()
    return _depth.measure(name, network, images.train_images.double(), images.train_targets)


@pytest.mark.parametrize("deviation", [None, 0.01])
def test_measured_gains_are_near_the_closed_form(few_digits: SmallSet, deviation: float | None) -> None:
    found = measured("plain20", few_digits, batch_norm=False, deviation=deviation)
    for channels, size in zip(_depth.STAGES, _depth.SIZES, strict=True):
        assert found.gain(channels) == pytest.approx(
            _depth.expected_gain(deviation, channels, size), rel=0.25
        )


def test_small_weights_vanish_and_batch_norm_does_not(few_digits: SmallSet) -> None:
    small = measured("plain20", few_digits, batch_norm=False, deviation=0.01)
    assert small.first_gradient < 1e-12
    assert measured("plain20", few_digits, batch_norm=True, deviation=None).gradient_ratio > 1


def test_without_norm_a_residual_network_doubles_its_square_each_block(few_digits: SmallSet) -> None:
    found = measured("resnet20", few_digits, batch_norm=False, deviation=None)
    first = list(range(1, len(found.outputs), 2))  # of each block, what reads the sum
    grown = found.outputs[first[-1]] / found.outputs[first[0]]
    assert grown == pytest.approx(math.sqrt(2) ** (len(first) - 1), rel=0.5)


def test_measuring_leaves_a_network_as_it_was(few_digits: SmallSet) -> None:
    network = _depth.build("resnet20", batch_norm=True, deviation=None, classes=10, seed=0).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = _depth.measure("x", network, few_digits.train_images, few_digits.train_targets)
    assert not network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    network.train()
    loss = torch.nn.functional.cross_entropy(network(few_digits.train_images), few_digits.train_targets)
    loss.backward()
    weight = network.get_parameter("conv1.weight")
    assert weight.grad is not None
    assert found.gradients[0] == pytest.approx(float(weight.grad.norm() / weight.detach().norm()), rel=1e-4)


DEPTH_CSV = """# python benchmarks/depth.py CIFAR --steps 20 10; sightline 1, torch 2; a machine; 2026-01-02
model,epoch,steps,train_loss,train_accuracy,val_loss,val_accuracy,lr_main,images_per_second,seconds
resnet20,1,10,1.6,0.5,1.5,0.45,0.1,20,2000
resnet20,2,20,1.1,0.75,1.2,0.5,0.01,20,2000
plain20,1,10,1.7,0.25,1.6,0.40,0.1,20,2000
plain20,2,20,1.3,0.5,1.4,0.5,0.01,20,2000
resnet56,1,10,1.9,0.5,1.8,0.33,0.1,8,5000
plain56,1,10,2.2,0.125,2.2,0.16,0.1,8,5000
"""


def test_recorded_depth_is_read() -> None:
    learned = _depth_page.read_depth(read_curves(DEPTH_CSV, "depth.csv"))
    assert learned.batch == 128, "the paper's, where the file does not say"
    with_batch = "\n".join(
        line if line.startswith("#") else f"{line},{'batch' if line.startswith('model') else 32}"
        for line in DEPTH_CSV.strip().splitlines()
    )
    assert _depth_page.read_depth(read_curves(with_batch, "depth.csv")).batch == 32
    assert learned.errors["resnet20"] == [(10, 0.5, 0.55), (20, 0.25, 0.5)]
    assert learned.last("plain56")[:2] == (10, 0.875)
    with pytest.raises(DataError, match="no column 'val_accuracy'"):
        _depth_page.read_depth(read_curves(DEPTH_CSV.replace("val_accuracy", "other"), "depth.csv"))


@pytest.fixture(scope="module")
def shallow_scales(few_digits: SmallSet) -> list[_depth.Scales]:
    """The cases, of 20 layers."""
    cases = tuple((name, network.replace("56", "20"), *rest) for name, network, *rest in _depth.CASES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_depth, "CASES", cases)
        return _depth.scales(few_digits, 0)


@pytest.fixture
def shallow(shallow_scales: list[_depth.Scales], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_depth_page, "scales", lambda *_: shallow_scales)


def test_cases_are_of_weights_and_precision_as_said(shallow_scales: list[_depth.Scales]) -> None:
    by_name = {one.name: one for one in shallow_scales}
    assert 0 < by_name["plain, no norm, N(0, 0.01^2)"].outputs[-1] < 1e-15
    assert by_name["residual, no norm, He"].outputs[-1] > 5 * by_name["plain, no norm, He"].outputs[-1]


@pytest.mark.usefixtures("shallow")
def test_the_page_on_depth_says_how_short_the_runs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_depth_page, "recorded", lambda _: read_curves(DEPTH_CSV, "depth.csv"))
    page = _depth_page.page(Setting())
    assert page.numbers["plain_over_residual"] == {"20": 0.25, "56": 0.375}
    assert page.numbers["parameters"] == 853_018
    assert "50.0 % against 25.0 % of 20 layers in 20 steps" in page.sentences[1]
    assert "64,000 steps" in page.sentences[1]
    assert any("here it is 20 steps of 128 at most" in note for note in page.notes)


@pytest.mark.usefixtures("shallow")
def test_depth_live(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("IMAGES", 8), ("TEST", 4), ("EPOCHS", 1), ("BATCH", 4)):
        monkeypatch.setattr(_depth_page, f"LIVE_{name}", value)
    page = _depth_page.page(Setting(live=True))
    assert set(page.numbers["steps"].values()) == {2}
    assert "Trained just now: 8 images of digits" in page.notes[0]


# -- features ------------------------------------------------------------------------------------------


def test_features_while_they_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_features, "EPOCHS", 4)
    monkeypatch.setattr(_features, "SHOWN", (0, 4))
    page = page_of(FEATURES, tmp_path)
    numbers = page.numbers
    assert numbers["parameters"] == 8 * 26 + 16 * 73 + 24 * 145 + 10 * 385
    assert numbers["moved"][0] == 0 < numbers["moved"][1]
    assert numbers["accuracy"] > 0.3
    assert numbers["one_class"]["relu3"] > numbers["one_class_by_chance"]
    assert numbers["one_class"] != numbers["one_class_before"]
    pictures = [part for part in page.parts if isinstance(part, Picture)]
    assert len(pictures) == 4
    assert all(picture.png.startswith(b"\x89PNG") for picture in pictures)


def test_the_share_of_one_class_by_chance() -> None:
    """Of nine draws of ten classes, the commonest: counted by another generator."""
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, 10, (20_000, 9))
    most = np.mean([np.bincount(row).max() / 9 for row in drawn])
    assert _features.chance(np.repeat(np.arange(10), 50)) == pytest.approx(most, abs=0.01)


def test_the_strip_leaves_the_network_as_it_was() -> None:
    images = small_set("digits", side=16, channels=1, train=20, test=5)
    network = _features.network(10)
    subject = _features.subject_of(network, images)
    before = network.get_parameter("conv1.weight").detach().clone()
    kept = {epoch: np.zeros((8, 1, 5, 5), np.float32) + epoch / 8 for epoch in _features.SHOWN}
    picture = _features._strip(subject, kept)
    assert "to 1.00" in picture.caption
    assert torch.equal(network.get_parameter("conv1.weight"), before)
    given = subject.picture("digit:3").x
    again = small_set("digits", side=16, channels=1, train=2_000, test=5)
    assert given.shape == (1, 1, 16, 16)
    assert abs(float(again.train_images.mean())) < 1e-4
