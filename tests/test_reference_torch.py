"""The lecture's operators against torch, output and gradients, on more than 1,000 drawn configurations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sightline import reference

Array = NDArray[Any]
Rng = np.random.Generator

ACTIVATIONS: dict[str, Callable[..., torch.Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled_tanh": lambda x: 1.7159 * torch.tanh(2 * x / 3),
    "softplus": F.softplus,
    "gelu": F.gelu,
    "silu": F.silu,
}
TORCH_MODE = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}

compared: Counter[str] = Counter()
"""Configurations compared so far, by operator."""


def compare(
    operator: str,
    theirs: Callable[..., torch.Tensor],
    arrays: Sequence[Array],
    rng: Rng,
    *said: Any,
    only_forward: Sequence[Array] = (),
    ours: Callable[..., Array] | None = None,
    **named: Any,
) -> None:
    """One configuration: output, and the gradient of every array, to 1e-6.

    Args:
        operator: Its name; `..._backward` has the gradients.
        theirs: Takes tensors, and nothing else.
        arrays: float64; each has a gradient.
        rng: Draws the gradient of the output.
        *said: What ours takes after the arrays, by position.
        only_forward: The last of the arrays that `..._backward` does not take (a bias).
        ours: Instead of the operator of that name.
        **named: What ours takes by name.
    """
    case = f"{operator}: {[a.shape for a in arrays]} {said} {named}"
    arrays = [*arrays, *only_forward]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = theirs(*tensors)
    output = np.asarray((ours or getattr(reference, operator))(*arrays, *said, **named))
    assert output.shape == tuple(expected.shape), case
    np.testing.assert_allclose(output, expected.detach().numpy(), rtol=1e-6, atol=1e-6, err_msg=case)

    gradient = np.asarray(rng.normal(size=output.shape))
    wanted = torch.autograd.grad(expected, tensors, torch.from_numpy(gradient))
    taken = arrays[: len(arrays) - len(only_forward)]
    got = getattr(reference, f"{operator}_backward")(gradient, *taken, *said, **named)
    got = got if isinstance(got, tuple) else (got,)
    for mine, tensor in zip(got, wanted, strict=True):
        assert mine.shape == tuple(tensor.shape), case
        np.testing.assert_allclose(mine, tensor.numpy(), rtol=1e-6, atol=1e-6, err_msg=case)
    compared[operator] += 1


def per_axis(rng: Rng, axes: int, low: int, high: int) -> int | tuple[int, ...]:
    """One number, or one an axis, from low to high."""
    if rng.random() < 0.4:
        return int(rng.integers(low, high + 1))
    return tuple(int(v) for v in rng.integers(low, high + 1, axes))


def each(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else value


def images(rng: Rng, channels: int, least: Sequence[int], more: int = 4) -> Array:
    """A batch of images at least so large; a third of them with many equal values."""
    shape = (int(rng.integers(1, 3)), channels, *(n + int(rng.integers(0, more)) for n in least))
    x = rng.normal(size=shape)
    return x.round() if rng.random() < 1 / 3 else x


# Each draws one configuration and compares it.


def correlation(operator: str, rng: Rng) -> None:
    axes = int(rng.choice([1, 2, 3], p=[0.4, 0.54, 0.06]))
    stride, dilation = per_axis(rng, axes, 1, 3), per_axis(rng, axes, 1, 2)
    groups = int(rng.choice([1, 1, 2, 3]))
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, each(dilation, axes), strict=True)]
    x = images(rng, groups * int(rng.integers(1, 3)), reach, 3)
    weight = rng.normal(size=(groups * int(rng.integers(1, 3)), x.shape[1] // groups, *kernel))
    bias = rng.normal(size=len(weight))

    padding: Any = rng.choice(["number", "sides", "valid", "same"])
    mode, most = str(rng.choice(list(TORCH_MODE))), min(2, min(x.shape[2:]) - 1)
    if padding == "number":
        padding = per_axis(rng, axes, 0, most)
        sides = [(p, p) for p in each(padding, axes)]
    elif padding == "sides":
        padding = sides = [(int(a), int(b)) for a, b in rng.integers(0, most + 1, (axes, 2))]
    elif padding == "valid":
        padding, sides = "valid", [(0, 0)] * axes
    else:  # Written out: what the last window needs. It may be more than a mirror has.
        padding, mode, sides = "same", "zeros", []
        for n, r, s in zip(x.shape[2:], reach, each(stride, axes), strict=True):
            need = max((-(-n // s) - 1) * s + r - n, 0)
            sides.append((need // 2, need - need // 2))

    def theirs(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        conv: Any = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
        if operator == "convolve":
            weight = weight.flip(tuple(range(2, weight.ndim)))
        if padding == "valid" or (padding == "same" and set(each(stride, axes)) == {1}):
            return conv(x, weight, bias, stride, padding, dilation, groups)  # the words torch knows
        return conv(torch_pad(x, sides, mode), weight, bias, stride, 0, dilation, groups)

    compare(
        operator,
        theirs,
        [x, weight],
        rng,
        only_forward=[bias],
        stride=stride,
        padding=padding,
        padding_mode=mode,
        dilation=dilation,
        groups=groups,
    )


def torch_pad(x: torch.Tensor, sides: Sequence[tuple[int, int]], mode: str) -> torch.Tensor:
    """As torch counts the sides: from the last axis."""
    return F.pad(x, [n for pair in reversed(sides) for n in pair], TORCH_MODE[mode])


def padding(operator: str, rng: Rng) -> None:
    axes, mode = int(rng.integers(1, 3)), str(rng.choice(list(TORCH_MODE)))
    sides = [(int(a), int(b)) for a, b in rng.integers(0, 3, (axes, 2))]
    x = images(rng, 2, [3] * axes)
    compare(operator, lambda x: torch_pad(x, sides, mode), [x], rng, sides, mode)


def transposed_correlation(operator: str, rng: Rng) -> None:
    axes = int(rng.integers(1, 3))
    stride, dilation = per_axis(rng, axes, 1, 3), per_axis(rng, axes, 1, 2)
    longest = min(max(s, d) for s, d in zip(each(stride, axes), each(dilation, axes), strict=True))
    groups = int(rng.choice([1, 1, 2]))
    x = images(rng, groups * int(rng.integers(1, 3)), [3] * axes, 3)
    weight = rng.normal(
        size=(x.shape[1], int(rng.integers(1, 3)), *(int(k) for k in rng.integers(1, 4, axes)))
    )
    named: dict[str, Any] = {
        "stride": stride,
        "padding": per_axis(rng, axes, 0, 1),
        "output_padding": per_axis(rng, axes, 0, longest - 1),
        "dilation": dilation,
        "groups": groups,
    }
    conv: Any = (F.conv_transpose1d, F.conv_transpose2d)[axes - 1]
    bias = rng.normal(size=weight.shape[1] * groups)
    compare(operator, lambda x, w, b: conv(x, w, b, **named), [x, weight], rng, only_forward=[bias], **named)


def pooling(operator: str, rng: Rng) -> None:
    axes = int(rng.integers(1, 3))
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    stride = per_axis(rng, axes, 1, 3) if rng.random() < 0.75 else None
    named: dict[str, Any] = {
        "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
        "ceil_mode": bool(rng.integers(2)),
    }
    if operator == "max_pool":
        dilation = per_axis(rng, axes, 1, 2)
        named["dilation"] = dilation
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, each(dilation, axes), strict=True)]
    else:
        named["count_include_pad"] = bool(rng.integers(2))
        reach = list(kernel)
    pool: Any = getattr(F, f"{'max' if operator == 'max_pool' else 'avg'}_pool{axes}d")
    x = images(rng, int(rng.integers(1, 3)), reach)
    compare(operator, lambda x: pool(x, kernel, stride, **named), [x], rng, kernel, stride, **named)


def global_average(operator: str, rng: Rng) -> None:
    x = images(rng, 3, [1, 1])
    compare(operator, lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), [x], rng)


def activation(operator: str, rng: Rng) -> None:
    """Rounded numbers are among them, so that the corners at 0 are met."""
    x = images(rng, 3, [4] * int(rng.integers(0, 3))) * rng.choice([0.5, 2, 10])
    parameter = {"leaky_relu": "negative_slope", "elu": "alpha"}.get(operator)
    named = {parameter: float(rng.uniform(0, 2))} if parameter and rng.random() < 0.7 else {}
    compare(operator, lambda x: ACTIVATIONS[operator](x, **named), [x], rng, **named)


def soft_maximum(operator: str, rng: Rng) -> None:
    x = images(rng, 3, [2] * int(rng.integers(0, 3))) * rng.choice([1, 30])
    axis = int(rng.integers(-x.ndim, x.ndim))
    compare(operator, lambda x: getattr(torch, operator)(x, axis), [x], rng, axis)


def loss(operator: str, rng: Rng) -> None:
    x = images(rng, int(rng.integers(1, 5)), [2] * int(rng.integers(0, 3))) * 5
    targets = rng.integers(0, x.shape[1], (len(x), *x.shape[2:]))
    compare(operator, lambda x: F.cross_entropy(x, torch.from_numpy(targets)), [x], rng, targets)


def response_norm(operator: str, rng: Rng) -> None:
    """torch divides alpha by the size, and has other neighbours where the size is even."""
    n = int(rng.choice([1, 3, 5, 7]))
    alpha, beta, k = float(rng.uniform(0, 1)), float(rng.uniform(0.3, 2)), float(rng.uniform(0.5, 3))
    x = images(rng, int(rng.integers(1, 9)), [1] * int(rng.integers(1, 3)))
    compare(
        operator,
        lambda x: F.local_response_norm(x, n, alpha=n * alpha, beta=beta, k=k),
        [x],
        rng,
        n=n,
        alpha=alpha,
        beta=beta,
        k=k,
    )


def batch_norm(operator: str, rng: Rng) -> None:
    channels, training = int(rng.integers(1, 4)), bool(rng.integers(2))
    x = rng.normal(size=(int(rng.integers(2, 5)), channels, *[3] * int(rng.integers(0, 3)))) * 3 + 1
    gamma, beta, mean = rng.normal(size=(3, channels))
    variance = rng.uniform(0.5, 2, channels)
    momentum, eps = float(rng.uniform(0, 1)), float(rng.choice([1e-5, 0.1]))
    kept = {"running_mean": mean, "running_var": variance}
    theirs = {name: torch.tensor(values) for name, values in kept.items()}

    def ours(*arrays: Array, **named: Any) -> Array:
        return reference.batch_norm(*arrays, momentum=momentum, **named).output

    compare(
        operator,
        lambda x, gamma, beta: F.batch_norm(
            x, theirs["running_mean"], theirs["running_var"], gamma, beta, training, momentum, eps
        ),
        [x, gamma],
        rng,
        only_forward=[beta],
        ours=ours,
        training=training,
        eps=eps,
        **kept,
    )
    done = reference.batch_norm(x, gamma, beta, mean, variance, training=training, momentum=momentum)
    for name, values in theirs.items():  # changed by the call
        np.testing.assert_allclose(getattr(done, name), values.numpy(), rtol=1e-9, err_msg=name)


def fully_connected(operator: str, rng: Rng) -> None:
    n, i, o = (int(v) for v in rng.integers(1, 6, 3))
    x, weight, bias = rng.normal(size=(n, i)), rng.normal(size=(o, i)), rng.normal(size=o)
    compare(operator, F.linear, [x, weight], rng, only_forward=[bias])


OPERATORS: dict[str, tuple[Callable[[str, Rng], None], int]] = {
    "correlate": (correlation, 340),
    "convolve": (correlation, 120),
    "correlate_transposed": (transposed_correlation, 150),
    "pad": (padding, 50),
    "max_pool": (pooling, 120),
    "average_pool": (pooling, 120),
    "global_average_pool": (global_average, 10),
    **dict.fromkeys(ACTIVATIONS, (activation, 12)),
    "softmax": (soft_maximum, 20),
    "log_softmax": (soft_maximum, 20),
    "cross_entropy": (loss, 20),
    "local_response_norm": (response_norm, 30),
    "batch_norm": (batch_norm, 40),
    "fully_connected": (fully_connected, 20),
}
"""How one configuration is drawn, and how many are."""


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("operator", OPERATORS)
def test_against_torch(operator: str) -> None:
    draw, count = OPERATORS[operator]
    rng = np.random.default_rng([ord(letter) for letter in operator])
    before = compared[operator]
    for _ in range(count):
        draw(operator, rng)
    assert compared[operator] - before == count


def test_more_than_a_thousand_are_compared_and_every_operator_is() -> None:
    backward = {name for name in reference.__all__ if name.endswith("_backward")}
    assert {f"{name}_backward" for name in OPERATORS} == backward
    assert sum(count for _, count in OPERATORS.values()) >= 1000


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu"])
def test_the_corner_at_0_is_torchs(name: str) -> None:
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(ACTIVATIONS[name](x), x)
    assert getattr(reference, f"{name}_backward")([1.0], [0.0]).tolist() == slope.tolist()
