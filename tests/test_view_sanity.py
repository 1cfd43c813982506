"""Sanity checks of attributions: one view known to pass, one known to fail; curves by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sightline.base import ArgumentError
from sightline.imaging import digits
from sightline.views import Picture, Subject, guided, layercam, saliency
from sightline.views._evidence import score
from sightline.views._sanity import (
    BLOCKS,
    LEVELS,
    ORDERS,
    Curve,
    Depth,
    Sanity,
    _findings,
    area,
    block_means,
    blurred,
    cascade,
    copied,
    curve,
    randomise,
    rank_correlation,
    with_sanity,
)
from small_networks import Does, conv, seq
from test_view_attribution import picture, random, subject


@pytest.fixture(scope="module")
def trained() -> Subject:
    """A deep small network that has learned the digits in a few steps."""
    pixels, labels = digits()
    x = torch.from_numpy(pixels).float() / 255 * 2 - 1
    y = torch.from_numpy(np.asarray(labels)).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for ins in (1, 12, 12, 12, 12):
            layers += [conv(ins, 12), nn.ReLU()]
        network = seq(*layers, nn.Flatten(), nn.Linear(12 * 64, 10))
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for step in range(150):
            rows = torch.arange(step * 64, step * 64 + 64) % len(x)
            loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            assert (network(x).argmax(1) == y).float().mean() > 0.9
    return Subject.of(network, tuple(x.shape[1:]), name="small", classes=[str(k) for k in range(10)])


def digit(number: int) -> Picture:
    pixels, _ = digits()
    return picture(torch.from_numpy(pixels[number : number + 1]).float() / 255 * 2 - 1)


@pytest.mark.parametrize("number", [0, 7, 33])
def test_the_gradient_passes_and_guided_backpropagation_fails(trained: Subject, number: int) -> None:
    shown = digit(number)
    plain, edges = saliency(trained, shown, sanity=True), guided(trained, shown, sanity=True)
    assert plain.figures["sanity"]["changes_with_weights"]
    assert not edges.figures["sanity"]["changes_with_weights"]
    assert edges.figures["sanity"]["similarity"] > plain.figures["sanity"]["similarity"] + 0.2
    assert any("it changes with them" in note for note in plain.notes)
    assert any("IT DOES NOT CHANGE" in note for note in edges.notes)
    assert any("fails the check with random weights" in finding.what for finding in edges.findings)
    assert not any("fails the check" in finding.what for finding in plain.findings)


def test_a_map_of_the_image_alone_fails(trained: Subject) -> None:
    shown = digit(3)
    edges = np.abs(np.gradient(shown.x[0, 0].numpy().astype(float))[0])
    view = saliency(trained, shown)
    told = with_sanity(view, trained, shown, score(trained, shown, None), lambda network: edges, edges)
    assert told.figures["sanity"]["similarity"] == 1.0
    assert not told.figures["sanity"]["changes_with_weights"]


def test_a_view_of_what_decides_is_better_than_every_random_order() -> None:
    network = seq(conv(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 2)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network[0].weight.fill_(1.0)
        network[4].weight[0, 18:20] = 4.0
    x = random(4, 1, 1, 16, 16).abs() + 1
    found = layercam(subject(network, 1, 16, 16), picture(x), target=0, layer="0", sanity=True)
    sanity = found.figures["sanity"]
    assert sanity["deletion"]["orders"] == ORDERS
    assert sanity["deletion"]["better"]
    assert any(f"ahead of {ORDERS} of {ORDERS}: better than random" in note for note in found.notes)


def test_the_network_is_left_and_the_copy_is_random(trained: Subject) -> None:
    before = copy.deepcopy(trained.network.state_dict())
    seen: list[dict[str, torch.Tensor]] = []

    def explain(network: nn.Module) -> np.ndarray:
        seen.append({key: value.clone() for key, value in network.state_dict().items()})
        return np.eye(2)

    x = digit(0).x
    found, total = cascade(trained, copied(trained, x), explain, seed=0)
    assert total == 6
    assert [(layer, count) for layer, count, _ in found] == [("11", 1), ("8", 2), ("6", 3), ("0", 6)]
    assert all(torch.equal(before[key], value) for key, value in trained.network.state_dict().items())
    changed = [{key for key in before if not torch.equal(before[key], state[key])} for state in seen]
    for (_, count, _), keys in zip(found, changed, strict=True):
        top = ["11", "8", "6", "4", "2", "0"][:count]
        assert keys == {f"{layer}.{kind}" for layer in top for kind in ("weight", "bias")}
    again, other = (
        cascade(
            trained,
            copied(trained, x),
            lambda n: n.get_parameter("0.weight").detach().numpy()[0, 0].astype(float),
            seed=seed,
        )[0]
        for seed in (0, 1)
    )
    assert np.array_equal(again[-1][2], seen[-1]["0.weight"][0, 0].numpy().astype(float))
    assert not np.array_equal(again[-1][2], other[-1][2])


def test_a_class_that_random_weights_silence_is_drawn_again() -> None:
    """Half of all random weights stop the score at its ReLU: a flat map tells nothing and does not count."""
    network = seq(
        conv(1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2, False), nn.ReLU()
    )
    with torch.no_grad():
        network[4].weight.fill_(1.0)
    made, shown = subject(network, 1, 8, 8), picture(random(4, 1, 1, 8, 8).float())
    silent = 0
    for seed in range(8):
        copy_ = copied(made, shown.x)
        randomise(copy_[4], torch.Generator().manual_seed(seed))  # type: ignore[index]
        with torch.no_grad():
            silent += float(copy_(shown.x)[0, 0]) == 0
        found = saliency(made, shown, target=0, sanity=True, seed=seed).figures["sanity"]
        assert not any(depth["flat"] for depth in found["depths"])
    assert silent > 0


def test_nothing_is_told_where_every_map_is_flat(trained: Subject) -> None:
    shown = digit(3)
    edges = np.arange(64.0).reshape(8, 8)
    view, said = saliency(trained, shown), score(trained, shown, None)
    told = with_sanity(view, trained, shown, said, lambda network: 0 * edges, edges)
    assert told.figures["sanity"]["similarity"] is None
    assert not told.figures["sanity"]["changes_with_weights"]
    assert not told.figures["sanity"]["passes"]
    assert any("tells nothing" in finding.what for finding in told.findings)
    assert any("flat with each of them" in note for note in told.notes)


def refuses(self: object, x: torch.Tensor) -> torch.Tensor:
    y = self.inner(x)  # type: ignore[attr-defined]
    return self.last(y.view(len(y), -1))  # type: ignore[attr-defined,no-any-return]


def test_the_copy_answers_as_the_network_does(trained: Subject) -> None:
    """Stored with channels last, or, of a network whose `view` takes none such, as it was."""
    shown = digit(3)
    quick = copied(trained, shown.x)
    assert quick.get_parameter("2.weight").is_contiguous(memory_format=torch.channels_last)
    assert trained.network.get_parameter("2.weight").is_contiguous()
    with torch.no_grad():
        np.testing.assert_allclose(quick(shown.x), trained.network(shown.x), rtol=1e-4, atol=1e-4)
    made = subject(Does(refuses, inner=seq(conv(1, 3), conv(3, 4)), last=nn.Linear(256, 2)), 1, 8, 8)
    plain = copied(made, shown.x)
    assert plain.get_parameter("inner.1.weight").is_contiguous()
    assert torch.equal(plain(shown.x), made.network(shown.x))


@pytest.mark.parametrize("rough", [False, True])
def test_a_rough_map_is_compared_with_one_as_rough(trained: Subject, rough: bool) -> None:
    shown = digit(3)
    order = np.arange(64.0).reshape(8, 8)
    view, said = saliency(trained, shown), score(trained, shown, None)

    def explain(network: nn.Module) -> np.ndarray:
        return order[::2, ::2] if rough else order

    told = with_sanity(view, trained, shown, said, explain, order, rough=rough)
    assert told.figures["sanity"]["similarity"] == 1
    assert told.panels[-1].pixels.shape[:2] == explain(trained.network).shape


def test_random_weights_are_as_large_as_those_they_replace() -> None:
    layer = nn.Linear(200, 200)
    with torch.no_grad():
        layer.weight.fill_(0.3)
    bias = layer.bias.detach().clone()
    randomise(layer, torch.Generator().manual_seed(0))
    weight = layer.weight.detach()
    assert float(weight.square().mean().sqrt()) == pytest.approx(0.3, rel=0.02)
    assert float(weight.mean()) == pytest.approx(0, abs=0.01)
    assert torch.equal(bias.sort().values, layer.bias.detach().sort().values)
    assert not torch.equal(bias, layer.bias)


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),  # 1 - 6 * 4 / (5 * 24)
        ([1, 1, 2, 2], [1, 1, 2, 2], 1.0),
        ([1, 2, 3], [5, 5, 5], 0.0),
    ],
)  # fmt: skip
def test_rank_correlation_by_hand(a: list[float], b: list[float], told: float) -> None:
    assert rank_correlation(np.array([a], float), np.array([b], float)) == pytest.approx(told)


def test_rank_correlation_with_ties_by_hand() -> None:
    # ranks 1.5, 1.5, 3 and 1, 2, 3: covariance 1.5 of 1.5 and 2
    found = rank_correlation(np.array([[0.0, 0, 1]]), np.array([[1.0, 2, 3]]))
    assert found == pytest.approx(1.5 / (1.5 * 2) ** 0.5)


def test_a_signed_map_that_turns_about_has_changed() -> None:
    shown, network = (
        picture(random(1, 1, 1, 4, 4)),
        seq(conv(1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)),
    )
    made, map_ = subject(network.double(), 1, 4, 4), random(2, 4, 4).numpy()
    view = saliency(made, shown)
    said = score(made, shown, None)
    turned = with_sanity(view, made, shown, said, lambda n: map_ if n is network else -map_, map_)
    assert turned.figures["sanity"]["similarity"] == -1
    assert turned.figures["sanity"]["changes_with_weights"]
    assert all(depth["magnitude"] == 1 for depth in turned.figures["sanity"]["depths"])


# ---------------------------------------------------------------- deletion and insertion


def linear_in_blocks() -> tuple[Subject, Picture, np.ndarray]:
    """The probability of class 0 is, with every pixel 1, the mean of what the blocks are worth."""
    side = BLOCKS
    worth = np.random.default_rng(0).permutation(side * side).astype(float).reshape(side, side)
    worth /= worth.sum()
    weights = torch.from_numpy(worth)

    def forward(self: object, x: torch.Tensor) -> torch.Tensor:
        share = (x[:, 0] * weights).sum((1, 2))
        return torch.stack([share, 1 - share], 1).clamp(1e-300, 1).log()

    return subject(Does(forward), 1, side, side), picture(torch.ones(1, 1, side, side).double()), worth


def test_deletion_in_the_order_of_the_map_by_formula() -> None:
    made, shown, worth = linear_in_blocks()
    found = curve(made, made.network, shown, 0, worth, "deletion", seed=0)
    falling = np.sort(worth.ravel())[::-1]
    counts = [round(k * worth.size / LEVELS) for k in range(LEVELS + 1)]
    told = [1 - falling[:count].sum() for count in counts]
    np.testing.assert_allclose(found.points, told, atol=1e-12)
    assert found.random.shape == (ORDERS, LEVELS + 1)
    np.testing.assert_allclose(found.random[:, 0], 1, atol=1e-12)
    np.testing.assert_allclose(found.random[:, -1], 0, atol=1e-12)
    assert found.better
    assert found.beaten == ORDERS
    worst = curve(made, made.network, shown, 0, -worth, "deletion", seed=0)
    assert worst.beaten == 0
    assert not worst.better


def test_insertion_goes_from_blurred_to_whole() -> None:
    made, shown, worth = linear_in_blocks()
    x = random(1, 1, 1, BLOCKS, BLOCKS).abs()
    x = x / (x[0, 0].numpy() * worth).sum()
    shown = picture(x)
    found = curve(made, made.network, shown, 0, worth * x[0, 0].numpy(), "insertion", seed=0)
    start = float((blurred(x)[0, 0].numpy() * worth).sum())
    assert found.points[0] == pytest.approx(start)
    assert found.points[-1] == pytest.approx(1)


def test_an_order_of_chance_is_no_better() -> None:
    made, shown, worth = linear_in_blocks()
    found = [
        curve(made, made.network, shown, 0, order.random(worth.shape), "deletion", seed=seed).better
        for seed, order in enumerate(map(np.random.default_rng, range(10)))
    ]
    assert sum(found) <= 2


def test_what_changes_nothing_is_no_better() -> None:
    flat = Curve(what="deletion", points=np.full(5, 0.3), random=np.full((4, 5), 0.3))
    assert not flat.better
    rising = np.linspace(0, 0.6, 5)
    little = Curve(
        what="insertion", points=rising + np.array([0, 9, 9, 9, 0]) / 1000, random=np.array([rising] * 4)
    )
    assert little.beaten == 4
    assert "ahead of 4 of 4 by less than 0.01 in the mean: no better than random" in little.line
    assert not little.better  # by less than 0.01
    assert area(np.array([1.0, 1, 0])) == 0.75


def test_block_means_by_hand() -> None:
    values = np.arange(81, dtype=float).reshape(9, 9)  # blocks of 2, the last of 1
    means = block_means(values, (9, 9))
    assert means.shape == (5, 5)
    assert means[0, 0] == (0 + 1 + 9 + 10) / 4
    assert means[4, 4] == 80
    assert means[0, 4] == (8 + 17) / 2


def test_blur_keeps_what_is_even() -> None:
    np.testing.assert_allclose(blurred(torch.full((1, 3, 9, 12), 0.7)).numpy(), 0.7, atol=1e-6)
    point = torch.zeros(1, 1, 41, 41).double()
    point[0, 0, 20, 20] = 1
    spread = blurred(point)[0, 0]
    assert float(spread.sum()) == pytest.approx(1)
    deviation = float((spread.sum(0) * (torch.arange(41) - 20) ** 2).sum()) ** 0.5
    assert deviation == pytest.approx(41 / 20, rel=0.05)


def test_what_cannot_be_checked_is_told() -> None:
    without = Does(lambda self, x: x.flatten(1)[:, :3] * 3)
    with pytest.raises(ArgumentError, match="has no weights to make random"):
        saliency(subject(without, 1, 4, 4), picture(random(1, 1, 1, 4, 4)), sanity=True)


def test_curves_and_depths_are_on_the_page(trained: Subject) -> None:
    found = saliency(trained, digit(5), sanity=True)
    titles = [panel.title for panel in found.panels]
    assert sum(title.startswith("random: ") for title in titles) == 4
    assert found.arrays["deletion"].shape == (ORDERS + 1, LEVELS + 1)
    assert any("sanity 2" in note and f"of {ORDERS}" in note for note in found.notes)


def test_an_image_that_says_it_all_without_its_details_cannot_tell() -> None:
    """The blurred image alone has 0.9 of the probability, or the blank one."""
    up, down = np.array([0.81, 0.7, 0.9]), np.array([0.9, 0.7, 0.81])
    assert Curve(what="insertion", points=up, random=np.array([up] * 3)).verdict == "cannot tell"
    assert Curve(what="deletion", points=down, random=np.array([down] * 3)).verdict == "cannot tell"
    for what, points in (("insertion", [0.8, 0.7, 0.9]), ("deletion", [0.9, 0.7, 0.8])):
        found = Curve(what=what, points=np.array(points), random=np.array([points] * 3))
        assert found.verdict == "no better than random"


@pytest.mark.parametrize(
    ("deletion", "insertion", "said", "passes"),
    [
        ("better", "worse", ["deletion and insertion disagree: by deletion it is better"], False),
        ("worse", "better", ["deletion and insertion disagree: by insertion it is better"], False),
        ("worse", "worse", ["no better than random orders by deletion and insertion"], False),
        (
            "better",
            "blind",
            ["insertion cannot tell: the blurred image alone has a probability of 0.85"],
            True,
        ),
        ("worse", "blind", ["insertion cannot tell", "no better than random orders by deletion"], False),
        ("better", "better", [], True),
        ("blind", "blind", ["deletion cannot tell", "insertion cannot tell"], False),
    ],
)
def test_what_the_two_measures_say_together(
    deletion: str, insertion: str, said: list[str], passes: bool
) -> None:
    def made(what: str, how: str) -> Curve:
        sign = -1 if what == "deletion" else 1
        points = np.array([0.85, 0.7, 0.9]) if how == "blind" else np.array([0.0, 0.5, 0.9])
        points = points[::-1] if what == "deletion" else points
        ahead = sign * np.array([0.0, 0.2, 0.0]) if how == "better" else np.zeros(3)
        return Curve(what=what, points=points + ahead, random=np.array([points] * 4))

    depth = Depth(
        layer="a", layers=1, counts=True, correlation=0.0, magnitude=0.0, map=np.array([[0.0, 1.0]])
    )
    found = Sanity(
        depths=(depth,), deletion=made("deletion", deletion), insertion=made("insertion", insertion)
    )
    findings = _findings(found, "saliency")
    assert len(findings) == len(said)
    for finding, text in zip(findings, said, strict=True):
        assert text in finding.what
        assert finding.level == ("info" if "cannot tell" in text else "warning")
    assert found.to_dict()["passes"] is passes
