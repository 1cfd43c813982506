"""Memory measured: bytes worked by hand, and the estimates beside them."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint import (
    inference_memory,
    measure_inference,
    measure_training,
    record,
    training_memory,
)
from sightline.blueprint._measured import _OPTIMIZERS
from sightline.blueprint._memory import OPTIMIZER_STATE
from sightline.zoo import get_architecture

NUMBER = 4
"""Bytes of a float32."""
OF_A_PARAMETER = {"none": 0, "sgd": 0, "sgd_momentum": 0, "rmsprop": 1, "adam": 2, "adamw": 2, "nadam": 2}
"""Tensors as large as a parameter that an optimizer makes while it steps that parameter (PyTorch 2.13)."""


class Scaled(nn.Module):
    """Numbers times weights of the same shape, then what a test adds."""

    def __init__(self, count: int, then: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(count))
        self.register_buffer("seen", torch.zeros(5))
        self._then = then

    def forward(self, x: Tensor) -> Tensor:
        return self._then(x * self.weight).sum(dim=1)


def spacious(x: Tensor) -> Tensor:
    """Takes 40,000,000 bytes for a moment, and fills them."""
    return x + torch.ones(10_000_000)[0]


def network() -> nn.Sequential:
    """300,000 and 200,000 weights, 1,000 and 200 biases."""
    return nn.Sequential(nn.Linear(300, 1000), nn.Linear(1000, 200))


def test_a_forward_pass_by_hand() -> None:
    measured = measure_inference(Scaled(1000), (8, 1000))
    assert measured.before == NUMBER * (1000 + 5 + 8 * 1000)
    assert measured.forward == measured.before + NUMBER * (8 * 1000 + 8)  # the product, its sums
    assert measured.saved == NUMBER * 8  # the product is gone
    assert (measured.backward, measured.update, measured.optimizer) == (0, 0, "")
    assert measured.peak == measured.forward


def test_a_training_step_by_hand() -> None:
    measured = measure_training(Scaled(1000), (8, 1000), optimizer="sgd")
    before = NUMBER * (1000 + 5 + 8 * 1000)
    assert measured.before == before
    # the product and its 8 sums are let go as soon as they are read; the loss, one number, is what is left
    assert measured.forward == before + NUMBER * (8 * 1000 + 8)
    assert measured.saved == NUMBER
    # what flows to the weights has 8 x 1000 numbers, then it is summed to 1000; the loss, and its gradient
    assert measured.backward == before + NUMBER * (8 * 1000 + 1000 + 2)
    assert measured.update == before + NUMBER * 1000  # gradients; plain descent steps in place
    assert measured.batch == 8
    assert measured.peak == measured.backward


def test_what_an_operation_takes_for_a_moment_is_in_the_peak() -> None:
    plain, more = (measure_inference(Scaled(10, then), (2, 10)) for then in (lambda x: x, spacious))
    assert more.before == plain.before
    # the product, ten million ones, and the sum with the first of them
    assert more.peak == more.before + NUMBER * (2 * 10 + 10_000_000 + 2 * 10)


@pytest.mark.parametrize("optimizer", OPTIMIZER_STATE)
def test_an_optimizers_state_and_what_it_takes_while_it_steps(optimizer: str) -> None:
    measured = measure_training(network(), (4, 300), optimizer=optimizer)
    parameters, largest = NUMBER * 501_200, NUMBER * 300_000
    state = measured.before - parameters - NUMBER * 4 * 300
    counters = 4 * NUMBER * 2  # at most two numbers of each parameter count steps
    assert 0 <= state - OPTIMIZER_STATE[optimizer] * parameters <= counters
    if optimizer == "none":
        assert measured.update == 0
    else:
        expected = measured.before + parameters + OF_A_PARAMETER[optimizer] * largest
        assert abs(measured.update - expected) <= OF_A_PARAMETER[optimizer] * NUMBER * 1000 + 4 * NUMBER
    estimate = training_memory(network(), (4, 300), optimizer=optimizer)
    assert estimate.update == pytest.approx(measured.update, rel=0.01)
    assert estimate.peak == pytest.approx(measured.peak, rel=0.01)


def test_the_same_optimizers_are_measured_and_estimated() -> None:
    assert _OPTIMIZERS.keys() == OPTIMIZER_STATE.keys()


def test_the_estimate_is_right_where_operations_take_nothing_themselves() -> None:
    there = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 50), nn.BatchNorm1d(50), nn.ReLU(),
                          nn.Linear(50, 10))  # fmt: skip
    shape = (512, 3, 16, 16)
    training, expected = measure_training(there, shape), training_memory(there, shape)
    assert training.saved == expected.saved
    counters = NUMBER * len(list(there.parameters()))
    assert abs(training.peak - counters - expected.peak) <= 64
    assert measure_inference(there, shape).peak == inference_memory(record(there, shape)).peak


@pytest.mark.parametrize(("name", "batch"), [("lecture_cnn", 16), ("resnet20", 4), ("lenet5", 32)])
def test_estimates_miss_no_more_than_a_convolutions_own_copies(name: str, batch: int) -> None:
    """On the CPU, oneDNN may copy what a convolution reads and makes, in blocks of 16 channels."""
    architecture = get_architecture(name)
    there, shape = architecture.build(), (batch, *architecture.input_shape)
    blueprint = record(there, shape)
    copies = max(
        sum(blocked(blueprint.values[v].shape) for v in (*operation.inputs, *operation.outputs))
        for operation in blueprint.operations
        if operation.name == "aten.convolution"
    )
    training, expected = measure_training(there, shape), training_memory(there, shape)
    counters = NUMBER * len(list(there.parameters()))
    assert training.saved == expected.saved
    assert 0 <= training.peak - expected.peak <= copies + counters
    assert 0 <= measure_inference(there, shape).peak - inference_memory(blueprint).peak <= copies


def blocked(shape: tuple[int, ...]) -> int:
    """Bytes with the first two axes filled up to multiples of 16."""
    return NUMBER * math.prod(-(-n // 16) * 16 if axis < 2 else n for axis, n in enumerate(shape))


def test_the_network_and_the_draws_stay() -> None:
    there = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).eval()
    there[0].weight.grad = torch.ones(4, 6)
    state = {name: tensor.clone() for name, tensor in there.state_dict().items()}
    draws = torch.get_rng_state()
    given = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    kept = given.clone()
    measure_training(there, given)
    measure_inference(there, given)
    assert all(torch.equal(tensor, state[name]) for name, tensor in there.state_dict().items())
    assert there[0].weight.grad is not None
    assert torch.equal(there[0].weight.grad, torch.ones(4, 6))
    assert there[0].bias.grad is None
    assert not any(module.training for module in there.modules())
    assert torch.equal(torch.get_rng_state(), draws)
    assert torch.equal(given, kept)
    assert given.grad is None


def test_gradients_that_lie_about_are_no_part_of_it() -> None:
    plain, after = Scaled(1000), Scaled(1000)
    after.weight.grad = torch.ones(1000)
    assert _sizes(measure_training(plain, (8, 1000))) == _sizes(measure_training(after, (8, 1000)))


def _sizes(measured: object) -> dict[str, object]:
    return {k: v for k, v in vars(measured).items() if not k.startswith("resident")}


def test_modes_around_it_do_not_matter() -> None:
    expected = _sizes(measure_training(Scaled(1000), (8, 1000)))
    with torch.no_grad():
        assert _sizes(measure_training(Scaled(1000), (8, 1000))) == expected
    with torch.inference_mode():
        assert _sizes(measure_training(Scaled(1000), (8, 1000))) == expected
    assert measure_inference(Scaled(1000), (8, 1000)).saved == NUMBER * 8
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [True, False])
def test_each_pass_runs_in_its_own_mode(mode: bool) -> None:
    there = nn.Sequential(nn.Linear(10, 1000), nn.Dropout(0.5)).train(mode)
    made = NUMBER * 4 * 1000
    evaluated = measure_inference(there, (4, 10))
    assert evaluated.forward - evaluated.before == made  # nothing is dropped, and nothing made
    trained = measure_training(there, (4, 10))
    assert trained.forward - trained.before > 3 * made  # the layer, the mask (kept as numbers), their product


def test_integers_and_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 6)

        def forward(self, words: Tensor, by: Tensor) -> Tensor:
            return self.table(words).sum(dim=1) * by

    measured = measure_training(Two(), torch.zeros(2, 5, dtype=torch.long), (2, 6), optimizer="none")
    assert measured.before == NUMBER * 10 * 6 + 8 * 2 * 5 + NUMBER * 2 * 6
    assert measured.update == 0


@pytest.mark.skipif(sys.platform != "linux", reason="read from Linux's /proc")
def test_resident_memory_sees_what_a_pass_takes() -> None:
    """In a process of its own: one that has freed much would take it from there."""
    code = (
        "import test_measured as t\n"
        "passes = [t.measure_inference(t.Scaled(10, then), (2, 10)) for then in (lambda x: x, t.spacious)]\n"
        "print(*(m.resident - m.resident_before if m.resident_before else None for m in passes))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    little, much = done.stdout.split()
    if "None" in (little, much):
        pytest.skip("this system does not let a process measure its most memory anew")
    assert int(much) > 38_000_000
    assert int(little) < 10_000_000


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    measure_inference(Scaled(10), (2, 10))
    assert capfd.readouterr() == ("", "")


def test_a_copy_that_fails_and_a_pass_that_fails_are_told_in_a_line() -> None:
    with pytest.raises(ArgumentError, match=r"^optimizer is 'adamW2'; did you mean .*adamw"):
        measure_training(network(), (4, 300), optimizer="adamW2")
    with pytest.raises(
        ArgumentError, match=r"^memory is measured .* of Sequential it is not: it has no numbers"
    ):
        measure_training(network().to("meta"), (4, 300))
    with pytest.raises(
        ArgumentError, match=r"^a training step of Sequential cannot be measured: mat1 and mat2"
    ):
        measure_training(network(), (4, 301))
    with pytest.raises(
        ArgumentError, match=r"^a forward pass of Sequential cannot be measured: mat1 and mat2"
    ):
        measure_inference(network(), (4, 301))
    with pytest.raises(ArgumentError, match=r"^a training step of .* cannot be measured: no output asks for"):
        measure_training(network().requires_grad_(False), (4, 300))
    with pytest.raises(ArgumentError, match=r"^an input must be a tensor or a shape"):
        measure_training(network(), "4x300")
    assert measure_inference(Scaled(10), (2, 10)).batch == 2  # after failures it works as before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_the_allocator_is_asked() -> None:
    measured = measure_training(network().cuda(), (4, 300), optimizer="sgd")
    parameters = NUMBER * 501_200
    assert measured.before == pytest.approx(parameters + NUMBER * 1200, rel=0.01)  # blocks are of 512 bytes
    assert measured.update == pytest.approx(measured.before + parameters, rel=0.01)
    assert measured.resident is None
