"""The effective receptive field against sums of boxes, whose quantiles are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from sightline.base import ArgumentError
from sightline.blueprint import effective_fields, record, summarize
from sightline.cli import app

TAIL = 0.0228


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


def boxes(count: int, kernel: int) -> nn.Sequential:
    """Averages of `kernel` pixels, one after another."""
    layers = [nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False) for _ in range(count)]
    for layer in layers:
        nn.init.constant_(layer.weight, 1 / kernel)
    return nn.Sequential(*layers)


def width_of(weights: np.ndarray) -> float:
    """Between the quantiles, interpolated within a pixel."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    low, high = np.interp([TAIL, 1 - TAIL], sums, np.arange(len(sums)))
    return float(high - low)


@pytest.mark.parametrize(("count", "kernel"), [(1, 5), (2, 3), (4, 3), (3, 7)])
def test_stacked_averages_have_the_width_of_the_sum_of_boxes(count: int, kernel: int) -> None:
    expected = np.ones(1)
    for _ in range(count):
        expected = np.convolve(expected, np.ones(kernel) / kernel)
    name = str(count - 1)
    found = effective_fields(boxes(count, kernel), torch.randn(2, 1, 61), [name])[name]
    np.testing.assert_allclose(found.size, [width_of(expected)], rtol=1e-5)
    seen = found.weights.numpy()[30 - len(expected) // 2 :][: len(expected)]
    np.testing.assert_allclose(seen, expected, atol=1e-7)


def test_one_box_of_five_is_its_middle_part() -> None:
    found = effective_fields(boxes(1, 5), torch.randn(1, 1, 21), ["0"])["0"]
    assert found.size[0] == pytest.approx(5 * (1 - 2 * TAIL), rel=1e-5)


def test_it_is_smaller_than_the_theoretical_field_and_told_beside_it() -> None:
    network = nn.Sequential(*(nn.Conv2d(3 if k == 0 else 8, 8, 3, padding=1) for k in range(6)))
    measured = effective_fields(network, torch.randn(4, 3, 33, 33), [str(k) for k in range(6)])
    told = summarize(record(network, (1, 3, 33, 33)), effective=measured)
    for layer in told.layers:
        assert layer.field is not None
        assert layer.effective is not None
        assert 0 < layer.effective[0] < layer.field.size[0]
    assert told.layers[5].effective is not None
    assert told.layers[5].effective[0] < 0.8 * 13
    assert "effective" in told.text().splitlines()[2]
    assert "effective" not in summarize(told.blueprint).text()


def test_rows_and_columns_are_measured_apart() -> None:
    found = effective_fields(nn.Conv2d(1, 1, (1, 7), padding=(0, 3)), torch.randn(1, 1, 15, 15), [""])[""]
    assert found.size[0] == pytest.approx(1 - 2 * TAIL, rel=1e-4)
    assert found.size[1] > 3


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    state = {name: t.clone() for name, t in network.state_dict().items()}
    effective_fields(network, torch.randn(2, 1, 9, 9), ["2"])
    assert network.training
    assert all(torch.equal(state[name], t) for name, t in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())


def test_a_unit_that_sees_nothing_has_no_width() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    nn.init.constant_(network[0].bias, -1e6)  # type: ignore[arg-type]
    assert effective_fields(network, torch.randn(2, 1, 9, 9), ["1"])["1"].size == (0.0, 0.0)


def test_a_vector_has_no_middle() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(ArgumentError, match="node 1 has no map of which a unit could be in the middle"):
        effective_fields(network, torch.randn(2, 1, 4, 4), ["1"])


def test_the_verb_measures_where_the_field_grows() -> None:
    done = CliRunner().invoke(app, ["summary", "lenet5", "--effective", "--json"])
    layers = json.loads(done.stdout)["layers"]
    measured = {row["name"]: row["effective_field"] for row in layers if row["effective_field"]}
    assert list(measured) == ["features.0", "features.2", "features.3", "features.5"]
    assert all(0 < size[0] < row for size, row in zip(measured.values(), (5, 6, 14, 16), strict=True))
    assert "measuring 4 fields on 4 images of noise" in done.stderr
