"""Occlusion: its definition by brute force, its three maps, what it says when nothing matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.views import occlusion
from sightline.views._occlusion import occlude, squares
from small_networks import Does, conv, seq
from test_view_attribution import drawn, picture, random, subject, ways


def brute(network: nn.Module, x: Tensor, target: int, side: int, step: int, layers: int, unit: int) -> tuple[
    np.ndarray, np.ndarray, np.ndarray
]:  # fmt: skip
    """Pixel by pixel: is it within `side` of the centre of the cell?"""
    height, width = x.shape[2:]
    rows, columns = -(-height // step), -(-width // step)
    probability, answer, total = (
        np.zeros((rows, columns)),
        np.zeros((rows, columns)),
        np.zeros((rows, columns)),
    )
    for r in range(rows):
        for c in range(columns):
            covered = x.clone()
            top, left = r * step + step // 2 - side // 2, c * step + step // 2 - side // 2
            for i in range(height):
                for j in range(width):
                    if top <= i < top + side and left <= j < left + side:
                        covered[0, :, i, j] = 0
            with torch.no_grad():
                scores = network(covered)[0]
                probability[r, c] = float(scores.softmax(0)[target])
                answer[r, c] = int(scores.argmax())
                total[r, c] = float(network[:layers](covered)[0, unit].sum())
    return probability, answer, total


@pytest.mark.parametrize(
    ("side", "positions", "size"), [(2, 6, (6, 6)), (3, 3, (6, 6)), (1, 2, (6, 6)), (3, 4, (5, 7))]
)
def test_occlusion_is_its_definition(side: int, positions: int, size: tuple[int, int]) -> None:
    after = (size[0] // 2) * (size[1] // 2) * 5
    network = drawn(
        seq(conv(2, 4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(after, 3))
    )
    with torch.no_grad():
        network[6].weight.mul_(5)
    x = random(7, 1, 2, *size)
    found = occlusion(subject(network, 2, *size), picture(x), target=1, size=side, positions=positions)
    unit = int(network[:5](x)[0].sum((1, 2)).argmax())
    assert found.figures["unit"] == unit
    assert found.figures["layer"] == "4"
    probability, answer, total = brute(network, x, 1, side, found.figures["step"], 5, unit)
    np.testing.assert_allclose(found.arrays["probability"], probability, atol=1e-12)
    np.testing.assert_array_equal(found.arrays["answer"], answer)
    np.testing.assert_allclose(found.arrays["activation"], total, atol=1e-12)
    whole = float(network(x)[0].softmax(0)[1].detach())
    np.testing.assert_allclose(found.arrays["map"], whole - probability, atol=1e-12)
    moved = np.abs(whole - probability).max()
    assert found.figures["largest_change"] == pytest.approx(moved)
    assert any("no evidence" in finding.what for finding in found.findings) == (moved <= 0.01)


def test_squares_cover_every_pixel_and_stay_inside() -> None:
    for height, width, side, step in ((28, 28, 7, 2), (7, 5, 3, 3), (224, 224, 56, 14)):
        seen = np.zeros((height, width), int)
        found = squares(height, width, side, step)
        assert len(found) == -(-height // step) * -(-width // step)
        for top, bottom, left, right in found:
            assert 0 <= top < bottom <= height
            assert 0 <= left < right <= width
            seen[top:bottom, left:right] += 1
        assert seen.min() >= 1


def test_defaults_are_a_quarter_and_a_sixteenth() -> None:
    network = drawn(seq(conv(1, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)))
    found = occlusion(subject(network, 1, 64, 64), picture(random(1, 1, 1, 64, 64)))
    assert (found.figures["size"], found.figures["step"]) == (16, 4)
    assert found.arrays["map"].shape == (16, 16)


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batches_do_not_matter(batch_size: int) -> None:
    network, x = ways()["modules"], random(7, 1, 2, 6, 6)
    made = subject(network, 2, 6, 6)
    found = occlude(made, network, x, 1, 2, 1, ("4", 0), batch_size=batch_size)
    one = occlude(made, network, x, 1, 2, 1, ("4", 0))
    np.testing.assert_allclose(found.probability, one.probability, atol=1e-14)
    assert found.activation is not None
    np.testing.assert_allclose(found.activation, one.activation, atol=1e-14)


def test_a_network_that_writes_into_its_input() -> None:
    inner = ways()["modules"]
    writes = Does(lambda self, x: self.inner(x.mul_(2).sub_(0.5)), inner=inner)
    does_not = Does(lambda self, x: self.inner(x * 2 - 0.5), inner=inner)
    x = random(7, 1, 2, 6, 6)
    a, b = (occlude(subject(n, 2, 6, 6), n, x, 1, 2, 1, batch_size=4).probability for n in (writes, does_not))
    np.testing.assert_allclose(a, b, atol=1e-14)
    assert torch.equal(x, random(7, 1, 2, 6, 6))


def test_the_unit_asked_for() -> None:
    network, x = ways()["modules"], random(7, 1, 2, 6, 6)
    found = occlusion(subject(network, 2, 6, 6), picture(x), unit=3, layer="conv1")
    assert (found.figures["unit"], found.figures["layer"]) == (3, "0")
    assert found.figures["activation_uncovered"] == pytest.approx(float(network[0](x)[0, 3].sum().detach()))


def test_bad_squares_and_units() -> None:
    made, shown = subject(ways()["modules"], 2, 6, 6), picture(random(7, 1, 2, 6, 6))
    for options, message in (
        ({"size": 7}, "--size 7: a square on 6x6 has a side of 1 to 6"),
        ({"size": 0}, "--size 0"),
        ({"positions": 9}, "--steps 9: an image of 6x6 has 1 to 6 positions"),
        ({"unit": 5}, "--unit 5: 4 has units 0 to 4"),
        ({"layer": "6"}, "no maps of an image"),
    ):
        with pytest.raises(ArgumentError) as caught:
            occlusion(made, shown, **options)  # type: ignore[arg-type]
        assert message in str(caught.value)


def test_answers_are_told_by_name_and_share() -> None:
    network = ways()["modules"]
    with torch.no_grad():
        network[6].weight.mul_(5)
    made = subject(network, 2, 6, 6, classes=("bee", "ant", "fly"))
    found = occlusion(made, picture(random(7, 1, 2, 6, 6)), size=3)
    names = np.array(made.classes)[found.arrays["answer"]]
    assert found.figures["answers"] == {
        name: float((names == name).mean()) for name in made.classes if (names == name).any()
    }
    assert sum(found.figures["answers"].values()) == pytest.approx(1)
    regions = next(panel for panel in found.panels if panel.title == "e: most probable class")
    colours = {tuple(pixel) for row in regions.pixels.tolist() for pixel in row}
    assert len(colours) == len(found.figures["answers"])
    assert found.panels[-1].title.startswith("e: legend")
