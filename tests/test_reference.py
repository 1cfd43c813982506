"""The lecture's operators by hand and by formula, their types, what they refuse, and that they need no torch.

Against torch: `test_reference_torch.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline import reference
from sightline.base import ArgumentError

IMAGE = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
KERNEL = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
POOLED = [[4, 3, 1, 5], [1, 3, 4, 8], [4, 5, 4, 3], [6, 5, 9, 4]]

ACTIVATIONS = ("relu", "leaky_relu", "elu", "sigmoid", "tanh", "scaled_tanh", "softplus", "gelu", "silu")

Array = NDArray[Any]


def one(values: object) -> Array:
    """A matrix or a line as one image of one channel, or as one kernel."""
    return np.array(values)[None, None]


def from_one(x: Array) -> object:
    assert x.shape[:2] == (1, 1)
    return x[0, 0].tolist()


# By hand


def test_the_lectures_image_and_kernel() -> None:
    output = reference.correlate(one(IMAGE), one(KERNEL))
    assert from_one(output) == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    assert output.dtype == np.int64
    assert from_one(reference.convolve(one(IMAGE), one(KERNEL))) == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_correlation_lays_the_kernel_on_and_convolution_flips_it() -> None:
    """At the middle of one lit cell, correlation gives the kernel turned round, convolution the kernel."""
    spot = np.zeros((1, 1, 5, 5), int)
    spot[0, 0, 2, 2] = 1
    kernel = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert from_one(reference.correlate(spot, one(kernel))) == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    assert from_one(reference.convolve(spot, one(kernel))) == kernel


def test_channels_are_summed_and_the_bias_added() -> None:
    """1*1 + 2*10 + 100 = 121, 3*1 + 4*10 + 100 = 143; and -1 + 200, -3 + 200."""
    x = [[[1, 3], [2, 4]]]
    weight = [[[1], [10]], [[-1], [0]]]
    assert reference.correlate(x, weight, [100, 200]).tolist() == [[[121, 143], [199, 197]]]


def test_stride_dilation_and_groups_by_hand() -> None:
    line = one([1, 2, 3, 4, 5, 6])
    assert from_one(reference.correlate(line, one([1, 10]), stride=2)) == [21, 43, 65]
    assert from_one(reference.correlate(line, one([1, 10]), dilation=3)) == [41, 52, 63]
    two = np.array([[[1, 2, 3], [4, 5, 6]]])
    assert reference.correlate(two, [[[1]], [[10]]], groups=2).tolist() == [[[1, 2, 3], [40, 50, 60]]]


def test_paddings_by_hand() -> None:
    line, ones = one([1, 2, 3, 4]), one([1, 1, 1])
    assert from_one(reference.correlate(line, ones, padding="valid")) == [6, 9]
    assert from_one(reference.correlate(line, ones, padding="same")) == [3, 6, 9, 7]
    assert from_one(reference.correlate(line, ones, padding=[(0, 1)])) == [6, 9, 7]
    reflected = reference.correlate(line, ones, padding=1, padding_mode="reflect")
    assert from_one(reflected) == [5, 6, 9, 10]


@pytest.mark.parametrize(
    ("mode", "padded"),
    [
        ("zeros", [0, 0, 1, 2, 3, 0]),
        ("reflect", [3, 2, 1, 2, 3, 2]),
        ("replicate", [1, 1, 1, 2, 3, 3]),
        ("circular", [2, 3, 1, 2, 3, 1]),
    ],
)
def test_what_is_in_the_padding(mode: str, padded: list[int]) -> None:
    assert from_one(reference.pad(one([1, 2, 3]), [(2, 1)], mode)) == padded


def test_each_cell_gets_back_what_came_of_its_copies() -> None:
    """Of 3 2 1 2 3 2, the cell 1 was one, 2 were three, 3 were two."""
    gradient = one([1, 10, 100, 1000, 10000, 100000])
    back = reference.pad_backward(gradient, one([1, 2, 3]), [(2, 1)], "reflect")
    assert from_one(back) == [100, 101010, 10001]
    assert from_one(reference.pad_backward(gradient, one([1, 2, 3]), [(2, 1)])) == [100, 1000, 10000]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_keeps_one_position_a_stride(size: int, kernel: int, stride: int) -> None:
    """TensorFlow's rule: ceil(n / s) positions; the padding is split, the odd cell at the end."""
    x = np.arange(1.0, size + 1)[None, None]
    weight = np.arange(1.0, kernel + 1)[None, None]
    same = reference.correlate(x, weight, stride=stride, padding="same")
    assert same.shape[2] == -(-size // stride)
    need = max((same.shape[2] - 1) * stride + kernel - size, 0)
    explicit = reference.correlate(x, weight, stride=stride, padding=[(need // 2, need - need // 2)])
    assert same.tolist() == explicit[:, :, : same.shape[2]].tolist()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_one_dimensional_convolution_is_a_banded_matrix(stride: int, dilation: int) -> None:
    """Prince, "Understanding Deep Learning", 10.2: W[i, i + j] holds weight j, row s*i of it is kept."""
    rng = np.random.default_rng(0)
    x, (w, b) = rng.normal(size=10), (rng.normal(size=3), 0.7)
    banded = np.zeros((10, 10))
    for i in range(10):
        for j in range(3):
            column = i + (j - 1) * dilation
            if 0 <= column < 10:
                banded[i, column] = w[j]
    by_matrix = (banded @ x + b)[::stride]
    by_kernel = reference.correlate(one(x), one(w), [b], stride=stride, padding=dilation, dilation=dilation)
    np.testing.assert_allclose(by_kernel[0, 0], by_matrix, rtol=0, atol=1e-14)
    connected = reference.fully_connected(x[None], banded[::stride], np.full(len(by_matrix), b))
    np.testing.assert_allclose(connected[0], by_matrix, rtol=0, atol=1e-14)
    transposed = reference.correlate_transposed(
        one(by_matrix), one(w), stride=stride, padding=dilation, dilation=dilation,
        output_padding=(10 - 1) % stride,
    )  # fmt: skip
    np.testing.assert_allclose(transposed[0, 0], banded[::stride].T @ by_matrix, rtol=0, atol=1e-14)


def test_stamps_overlap_and_add_up() -> None:
    """1 2 3 at 0, 10 20 30 at 2: in the middle 3 + 10. The border of 1 is cut; the canvas made longer."""
    x, kernel = one([1, 10]), one([1, 2, 3])
    assert from_one(reference.correlate_transposed(x, kernel, stride=2)) == [1, 2, 13, 20, 30]
    assert from_one(reference.correlate_transposed(x, kernel, stride=2, padding=1)) == [2, 13, 20]
    longer = reference.correlate_transposed(x, kernel, stride=2, output_padding=1)
    assert from_one(longer) == [1, 2, 13, 20, 30, 0]


def test_a_checkerboard_where_the_stride_does_not_divide_the_kernel() -> None:
    x, kernel = np.ones((1, 1, 3), int), np.ones((1, 1, 3), int)
    assert from_one(reference.correlate_transposed(x, kernel, stride=2)) == [1, 1, 2, 1, 2, 1, 1]


def test_the_pooling_slide() -> None:
    largest = reference.max_pool(one(POOLED), 2)
    assert from_one(largest) == [[4, 8], [6, 9]]
    assert largest.dtype == np.int64
    assert from_one(reference.average_pool(one(POOLED), 2)) == [[2.75, 4.5], [5, 5]]
    assert reference.global_average_pool(one(POOLED)).tolist() == [[69 / 16]]


def test_the_first_of_equal_values_takes_the_gradient() -> None:
    back = reference.max_pool_backward(one([[7]]), one([[0, 5], [5, 5]]), 2)
    assert from_one(back) == [[0, 7], [0, 0]]


def test_padding_never_wins_a_maximum() -> None:
    assert from_one(reference.max_pool(one([-3, -2, -1]), 2, padding=1)) == [-3, -1]
    assert from_one(reference.max_pool(one([-3.0, -2, -1]), 2, padding=1)) == [-3, -1]


def test_what_a_mean_counts() -> None:
    """Padded: 0 6 | 6 6 | 0, and with `ceil_mode` a last window 0 and nothing."""
    line = one([6, 6, 6])
    assert from_one(reference.average_pool(line, 2, padding=1)) == [3, 6]
    apart = reference.average_pool(line, 2, padding=1, count_include_pad=False)
    assert from_one(apart) == [6, 6]
    assert from_one(reference.average_pool(line, 2, ceil_mode=True)) == [6, 6]
    assert from_one(reference.max_pool(one([1, 2, 3]), 2, ceil_mode=True)) == [2, 3]


@pytest.mark.parametrize(
    ("name", "at_minus_1", "at_0", "at_1"),
    [
        ("relu", 0, 0, 1),
        ("leaky_relu", -0.01, 0, 1),
        ("elu", -0.6321205588, 0, 1),
        ("sigmoid", 0.2689414214, 0.5, 0.7310585786),
        ("tanh", -0.7615941560, 0, 0.7615941560),
        ("scaled_tanh", -1, 0, 1),
        ("softplus", 0.3132616875, 0.6931471806, 1.3132616875),
        ("gelu", -0.1586552539, 0, 0.8413447461),
        ("silu", -0.2689414214, 0, 0.7310585786),
    ],
)
def test_activations_at_three_points(name: str, at_minus_1: float, at_0: float, at_1: float) -> None:
    tolerance = 5e-6 if name == "scaled_tanh" else 1e-10  # 1.7159 is rounded in the paper
    for x in ([-1, 0, 1], [-1.0, 0.0, 1.0]):
        assert getattr(reference, name)(x).tolist() == pytest.approx([at_minus_1, at_0, at_1], abs=tolerance)


@pytest.mark.parametrize("name", ["relu", "elu", "sigmoid", "tanh", "softplus", "gelu", "silu"])
def test_activations_far_out(name: str) -> None:
    """Nothing overflows, and the slopes are 0 or 1 (of the two that saturate, 0)."""
    x = np.array([-1e4, 1e4])
    ends = {"elu": [-1, 1e4], "sigmoid": [0, 1], "tanh": [-1, 1]}.get(name, [0, 1e4])
    assert getattr(reference, name)(x).tolist() == ends
    slopes = [0, 0] if name in ("sigmoid", "tanh") else [0, 1]
    assert getattr(reference, f"{name}_backward")(np.ones(2), x).tolist() == slopes


def test_softmax_and_what_is_lost_by_hand() -> None:
    x = np.log([[1.0, 2.0, 5.0], [8.0, 1.0, 1.0]])
    np.testing.assert_allclose(
        reference.softmax(x), [[0.125, 0.25, 0.625], [0.8, 0.1, 0.1]], rtol=0, atol=1e-15
    )
    assert reference.cross_entropy(x, [1, 0]) == pytest.approx((np.log(4) + np.log(1.25)) / 2)
    np.testing.assert_allclose(
        reference.cross_entropy_backward(1, x, [1, 0]),
        [[0.0625, -0.375, 0.3125], [-0.1, 0.05, 0.05]],
        rtol=0,
        atol=1e-15,
    )
    assert reference.log_softmax([0, 1e4]).tolist() == [-1e4, 0]


def test_response_norm_by_the_papers_formula() -> None:
    """Written out with the sum of the paper, for every channel; an even n reaches n/2 to both sides."""
    a = np.random.default_rng(0).normal(size=(2, 7, 3, 2)) * 30
    for n in (1, 2, 4, 5, 20):
        b = reference.local_response_norm(a, n=n)
        for i in range(7):
            squares = sum(a[:, j] ** 2 for j in range(max(0, i - n // 2), min(6, i + n // 2) + 1))
            np.testing.assert_allclose(b[:, i], a[:, i] / (2 + 1e-4 * squares) ** 0.75, rtol=1e-14)


def test_batch_norm_by_hand() -> None:
    """1, 3, 5, 7: mean 4, variance 5, and 20/3 where it is kept; a tenth of the way from 0 and 1."""
    x = np.array([[[1.0, 3.0]], [[5.0, 7.0]]])
    done = reference.batch_norm(x, [2.0], [1.0], eps=4.0)
    assert done.output.tolist() == [[[-1, 1 - 2 / 3]], [[1 + 2 / 3, 3]]]
    assert done.running_mean.tolist() == pytest.approx([0.4])
    assert done.running_var.tolist() == pytest.approx([0.9 + 2 / 3])
    kept = reference.batch_norm(x, [2.0], [1.0], [3.0], [12.0], training=False, eps=4.0)
    assert kept.output.tolist() == [[[0, 1]], [[2, 3]]]
    assert (kept.running_mean.tolist(), kept.running_var.tolist()) == ([3.0], [12.0])


def test_fully_connected_by_hand() -> None:
    assert reference.fully_connected([[1, 2]], [[3, 4], [5, 6]], [0, 1]).tolist() == [[11, 18]]
    gradients = reference.fully_connected_backward([[1, 10]], [[1, 2]], [[3, 4], [5, 6]])
    assert [g.tolist() for g in gradients] == [[[53, 64]], [[1, 2], [10, 20]], [1, 10]]


# Types


def test_whole_numbers_stay_whole_and_do_not_overflow() -> None:
    image = np.full((1, 1, 2, 2), 255, np.uint8)
    output = reference.correlate(image, np.full((1, 1, 2, 2), 127, np.int8))
    assert (output.dtype, output.item()) == (np.int64, 4 * 255 * 127)
    assert reference.correlate(image > 0, image > 0).item() == 4
    assert reference.average_pool(image, 2).item() == 255.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_keep_their_type(dtype: type) -> None:
    x = np.linspace(-1, 1, 18, dtype=dtype).reshape(1, 2, 3, 3)
    weight, two = x[:, :, :2, :2], np.ones(2, dtype)
    outputs = [
        reference.correlate(x, weight),
        *reference.correlate_backward(np.ones((1, 1, 2, 2), dtype), x, weight),
        reference.correlate_transposed(x, weight.transpose(1, 0, 2, 3)),
        reference.max_pool(x, 2, padding=1),
        reference.average_pool(x, 2),
        reference.average_pool_backward(np.ones((1, 2, 1, 1), dtype), x, 2),
        reference.global_average_pool(x),
        reference.local_response_norm(x),
        *reference.batch_norm(x, two, two),
        reference.softmax(x),
        *(getattr(reference, name)(x) for name in ACTIVATIONS),
        *(getattr(reference, f"{name}_backward")(x, x) for name in ACTIVATIONS),
    ]
    assert {output.dtype for output in outputs} == {np.dtype(dtype)}


def test_what_comes_in_is_left_as_it_was() -> None:
    x, gradient = np.ones((1, 1, 3)), np.ones((1, 1, 3))
    for mode in ("zeros", "reflect"):
        reference.pad_backward(gradient, x, 0, mode)[...] = 5
    reference.relu(x)[...] = 5
    reference.batch_norm(x, [1], [0], [0.0], [1.0])
    assert (x == 1).all()
    assert (gradient == 1).all()


# What is refused


def zeros(*shape: int) -> Array:
    return np.zeros(shape)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "kernel larger than the image": (
        lambda: reference.correlate(zeros(1, 1, 3, 3), zeros(1, 1, 5, 5)),
        "the kernel, (5, 5), is larger than the padded input: x has (3, 3) cells, and along spatial axis 0 "
        "(3 + 2*0 - 5)/1 + 1 = -1",
    ),
    "kernel larger than the padded image": (
        lambda: reference.convolve(zeros(1, 1, 9, 3), zeros(1, 1, 5, 5), padding=[(0, 0), (0, 1)], stride=2),
        "the kernel, (5, 5), is larger than the padded input: x has (9, 3) cells, and along spatial axis 1 "
        "(3 + 0 + 1 - 5)/2 + 1 = 0.5 -> 0",
    ),
    "window larger than the image": (
        lambda: reference.max_pool(zeros(1, 1, 2), 3),
        "the kernel, (3,), is larger than the padded input: x has (2,) cells, and along spatial axis 0 "
        "(2 + 2*0 - 3)/3 + 1 = 0.67 -> 0",
    ),
    "a bare matrix": (
        lambda: reference.correlate(zeros(5, 5), zeros(3, 3)),
        "x must be (N, C, *spatial), such as (1, 1, height, width) for one grey image; it is (5, 5)",
    ),
    "an empty image": (
        lambda: reference.max_pool(zeros(1, 1, 0), 1),
        "x must be (N, C, *spatial), such as (1, 1, height, width) for one grey image; it is (1, 1, 0)",
    ),
    "a bare kernel": (
        lambda: reference.correlate(zeros(1, 1, 5, 5), zeros(3, 3)),
        "weight must be (out channels, in channels / groups, *kernel), with as many axes as x; "
        "x is (1, 1, 5, 5), weight is (3, 3)",
    ),
    "other channels": (
        lambda: reference.correlate(zeros(2, 6, 5, 5), zeros(4, 2, 3, 3), groups=2),
        "weight must have as many input channels as x has in a group, 6 / 2 = 3; it has 2 "
        "(x is (2, 6, 5, 5), weight is (4, 2, 3, 3))",
    ),
    "groups that do not divide": (
        lambda: reference.correlate(zeros(1, 4, 5), zeros(3, 2, 3), groups=2),
        "groups must divide the input channels (4) and the output channels (3); it is 2 "
        "(x is (1, 4, 5), weight is (3, 2, 3))",
    ),
    "no groups": (
        lambda: reference.correlate(zeros(1, 4, 5), zeros(3, 4, 3), groups=0),
        "groups must be a whole number of at least 1; it is 0",
    ),
    "a bias too many": (
        lambda: reference.correlate(zeros(1, 1, 5), zeros(2, 1, 3), zeros(3)),
        "bias must have one number for each output channel, (2,); it is (3,)",
    ),
    "a gradient of another shape": (
        lambda: reference.correlate_backward(zeros(1, 1, 4), zeros(1, 1, 5), zeros(1, 1, 3)),
        "gradient must be shaped as the output, (1, 1, 3); it is (1, 1, 4)",
    ),
    "stride 0": (
        lambda: reference.correlate(zeros(1, 1, 5, 5), zeros(1, 1, 3, 3), stride=0),
        "stride must be a whole number of at least 1, or one for each spatial axis (2); it is 0",
    ),
    "strides too many": (
        lambda: reference.max_pool(zeros(1, 1, 5, 5), 2, (1, 2, 3)),
        "stride must be a whole number of at least 1, or one for each spatial axis (2); it is (1, 2, 3)",
    ),
    "half a stride": (
        lambda: reference.max_pool(zeros(1, 1, 5), 2, 1.5),  # type: ignore[arg-type]
        "stride must be a whole number of at least 1, or one for each spatial axis (1); it is 1.5",
    ),
    "negative padding": (
        lambda: reference.pad(zeros(1, 1, 5, 5), [(0, 0), (0, -1)]),
        "padding must be a whole number of at least 0, one for each spatial axis, or one (before, after) for "
        "each spatial axis (2); it is [(0, 0), (0, -1)]",
    ),
    "an unknown padding": (
        lambda: reference.correlate(zeros(1, 1, 5), zeros(1, 1, 3), padding="sam"),
        "padding must be valid, same or numbers; it is 'sam'; did you mean same?",
    ),
    "an unknown mode": (
        lambda: reference.correlate(zeros(1, 1, 5), zeros(1, 1, 3), padding_mode="zero"),
        "padding mode must be one of zeros, reflect, replicate, circular; it is 'zero'; did you mean zeros?",
    ),
    "no mode": (
        lambda: reference.pad(zeros(1, 1, 5), 1, None),  # type: ignore[arg-type]
        "padding mode must be one of zeros, reflect, replicate, circular; it is None; "
        "there are: circular, reflect, replicate, zeros",
    ),
    "a mirror too small": (
        lambda: reference.pad(zeros(1, 1, 5, 3), 3, "reflect"),
        "padding of mode reflect can be at most 2 where the image has 3 cells (axis 3 of x, (1, 1, 5, 3)); "
        "it is (3, 3)",
    ),
    "a circle too small": (
        lambda: reference.pad_backward(zeros(1, 1, 8), zeros(1, 1, 3), [(4, 1)], "circular"),
        "padding of mode circular can be at most 3 where the image has 3 cells (axis 2 of x, (1, 1, 3)); "
        "it is (4, 1)",
    ),
    "nothing left of a canvas": (
        lambda: reference.correlate_transposed(zeros(1, 1, 2), zeros(1, 1, 2), padding=2),
        "nothing is left of the canvas: (2 - 1)*1 - 2*2 + (2 - 1) + 0 + 1 = -1 "
        "(x is (1, 1, 2), weight is (1, 1, 2))",
    ),
    "other channels to stamp": (
        lambda: reference.correlate_transposed(zeros(1, 3, 2), zeros(2, 1, 2)),
        "weight must be (in channels, out channels / groups, *kernel), with the channels and as many axes as "
        "x; x is (1, 3, 2), weight is (2, 1, 2)",
    ),
    "a canvas too long": (
        lambda: reference.correlate_transposed(zeros(1, 1, 2), zeros(1, 1, 2), stride=2, output_padding=2),
        "output_padding must be below the larger of stride and dilation (2); it is 2",
    ),
    "a window of padding": (
        lambda: reference.average_pool(zeros(1, 1, 5), 3, padding=2),
        "padding must be at most half the kernel, (3,); it is (2,)",
    ),
    "ragged rows": (
        lambda: reference.relu([[1, 2], [3]]),
        "x must be an array; its rows differ in length",
    ),
    "words": (
        lambda: reference.softmax(["a"]),
        "x must be an array of real numbers; its type is <U1",
    ),
    "no such axis": (
        lambda: reference.softmax(zeros(2, 3), 2),
        "axis must be one of x, with something along it; x is (2, 3), axis is 2",
    ),
    "targets of another shape": (
        lambda: reference.cross_entropy(zeros(2, 3), [[0, 1]]),
        "x must be (N, classes, *spatial) and targets (N, *spatial), not empty; "
        "x is (2, 3), targets is (1, 2)",
    ),
    "a target that is no class": (
        lambda: reference.cross_entropy(zeros(2, 3), [0, 3]),
        "targets must be whole numbers from 0 to 2; they are int64, 0 to 3",
    ),
    "one value to train on": (
        lambda: reference.batch_norm(zeros(1, 3), zeros(3), zeros(3)),
        "x must have two or more values a channel to train on; it is (1, 3)",
    ),
    "a gamma too many": (
        lambda: reference.batch_norm(zeros(2, 3), zeros(4), zeros(3)),
        "gamma must have one number for each channel, (3,); it is (4,) (x is (2, 3))",
    ),
    "half a neighbour": (
        lambda: reference.local_response_norm(zeros(2, 3), n=2.5),  # type: ignore[arg-type]
        "n must be a whole number of at least 1; it is 2.5",
    ),
    "eps 0": (
        lambda: reference.batch_norm(zeros(2, 3), zeros(3), zeros(3), eps=0),
        "eps must be above 0; it is 0",
    ),
    "a response without a start": (
        lambda: reference.local_response_norm(zeros(2, 3), k=0),
        "k must be above 0 and alpha at least 0; k is 0, alpha is 0.0001",
    ),
    "a response of one axis": (
        lambda: reference.local_response_norm(zeros(3)),
        "x must be (N, C, *spatial); it is (3,)",
    ),
    "other inputs": (
        lambda: reference.fully_connected(zeros(2, 3), zeros(4, 5)),
        "x must be (N, inputs) and weight (outputs, inputs), with equal inputs; "
        "x is (2, 3), weight is (4, 5)",
    ),
    "a bias of an output too many": (
        lambda: reference.fully_connected(zeros(2, 3), zeros(4, 3), zeros(5)),
        "bias must have one number for each output, (4,); it is (5,)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_said_in_one_line(case: str) -> None:
    attempt, line = REFUSED[case]
    with pytest.raises(ArgumentError) as caught:
        attempt()
    assert str(caught.value) == line


def test_no_torch_is_loaded() -> None:
    code = (
        "import sys, sightline.reference as r\n"
        "for name in r.__all__: getattr(r, name)\n"
        "r.correlate([[[1, 2, 3]]], [[[1, 1]]], padding='same'), r.max_pool([[[1, 2]]], 2), r.gelu([1.0])\n"
        "print([m for m in ('torch', 'scipy', 'PIL', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
