"""The sums behind a layer: as the lecture prints them, against torch, and by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from sightline.base import ArgumentError
from sightline.reference import (
    convolution_macs,
    convolution_parameters,
    field_after,
    fitting_paddings,
    fitting_sizes,
    fully_connected_macs,
    fully_connected_parameters,
    jump_after,
    transposed_output,
    window_lost,
    window_output,
)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "text"),
    [  # the slides: 7x7 with strides 1, 2, 3; 32 to 28 to 24; 32 kept by padding 2; AlexNet's first layer
        (7, 3, 1, 0, "(7 + 2*0 - 3)/1 + 1 = 5"),
        (7, 3, 2, 0, "(7 + 2*0 - 3)/2 + 1 = 3"),
        (7, 3, 3, 0, "(7 + 2*0 - 3)/3 + 1 = 2.33 -> 2"),
        (32, 5, 1, 0, "(32 + 2*0 - 5)/1 + 1 = 28"),
        (28, 5, 1, 0, "(28 + 2*0 - 5)/1 + 1 = 24"),
        (32, 5, 1, 2, "(32 + 2*2 - 5)/1 + 1 = 32"),
        (227, 11, 4, 0, "(227 + 2*0 - 11)/4 + 1 = 55"),
        (32, 5, 1, (1, 2), "(32 + 1 + 2 - 5)/1 + 1 = 31"),
        (3, 5, 1, 0, "(3 + 2*0 - 5)/1 + 1 = -1"),
    ],
)
def test_output_sizes_as_the_slides_write_them(
    size: int, kernel: int, stride: int, padding: int | tuple[int, int], text: str
) -> None:
    result = window_output(size, kernel, stride, padding)
    assert result.text == text
    assert str(result.value) == text.split()[-1]


def test_a_dilated_window_and_one_rounded_up() -> None:
    assert window_output(32, 5, padding=2, dilation=2).text == "(32 + 2*2 - 2*(5 - 1) - 1)/1 + 1 = 28"
    assert window_output(6, 3, 2, ceil=True).text == "(6 + 2*0 - 3)/2 + 1 = 2.5 -> 3"
    outside = window_output(5, 2, 3, 1, ceil=True)  # the third window would start at row 5, in the padding
    assert outside.value == 2
    assert outside.text == "(5 + 2*1 - 2)/3 + 1 = 2.67 -> 3 -> 2 (the last window would start outside)"


def test_sizes_are_those_of_torch() -> None:
    compared = 0
    for n, k, s, p, d, ceil in itertools.product(
        (5, 6, 11), (1, 2, 3, 4), (1, 2, 3), (0, 1, 2), (1, 2), (False, True)
    ):
        extent = d * (k - 1) + 1
        if n + 2 * p < extent:
            assert window_output(n, k, s, p, d).value < 1
            continue
        x = torch.zeros(1, 1, n)
        if not ceil:
            assert window_output(n, k, s, p, d).value == nn.Conv1d(1, 1, k, s, p, d)(x).shape[2]
        elif p <= k // 2:
            expected = nn.MaxPool1d(k, s, p, d, ceil_mode=True)(x).shape[2]
            assert window_output(n, k, s, p, d, ceil=True).value == expected
        compared += 1
    assert compared > 300


def test_transposed_sizes_are_those_of_torch() -> None:
    assert transposed_output(16, 4, 2, 1).text == "(16 - 1)*2 - 2*1 + (4 - 1) + 0 + 1 = 32"
    assert transposed_output(4, 3, dilation=2).text == "(4 - 1)*1 - 2*0 + 2*(3 - 1) + 0 + 1 = 8"
    for n, k, s, p, o, d in itertools.product((3, 7), (2, 3, 5), (1, 2, 3), (0, 1), (0, 1), (1, 2)):
        if o >= max(s, d):
            continue
        layer = nn.ConvTranspose1d(1, 1, k, s, p, o, dilation=d)
        assert transposed_output(n, k, s, p, o, d).value == layer(torch.zeros(1, 1, n)).shape[2]


def brute_lost(n: int, k: int, s: int, pads: tuple[int, int], d: int) -> tuple[int, ...]:
    """Rows that no window touches, by going there."""
    seen = set()
    start = -pads[0]
    while start + d * (k - 1) < n + pads[1]:
        seen |= {start + d * tap for tap in range(k)}
        start += s
    return tuple(row for row in range(n) if row not in seen)


def test_lost_rows_by_brute_force() -> None:
    assert window_lost(7, 3, 3) == (6,)
    assert window_lost(224, 11, 4) == (223,)  # the size AlexNet's paper gives; 227 loses none
    assert window_lost(227, 11, 4) == ()
    for n, k, s, before, after, d in itertools.product(
        range(1, 12), (1, 2, 3, 4), (1, 2, 3, 5), (0, 1, 4), (0, 2), (1, 2, 3)
    ):
        assert window_lost(n, k, s, (before, after), d) == brute_lost(n, k, s, (before, after), d)


def test_lost_rows_are_those_without_gradient() -> None:
    for n, k, s, p, d, ceil in itertools.product(
        (7, 8, 12), (2, 3), (1, 2, 3, 4), (0, 1), (1, 2), (False, True)
    ):
        x = torch.arange(n, dtype=torch.float32).reshape(1, 1, n).requires_grad_()
        if ceil and d == 1:  # a mean touches every row of its window
            nn.AvgPool1d(k, s, p, ceil_mode=True)(x).sum().backward()
        elif not ceil and n + 2 * p > d * (k - 1):
            nn.functional.conv1d(x, torch.ones(1, 1, k), stride=s, padding=p, dilation=d).sum().backward()
        else:
            continue
        assert x.grad is not None
        expected = tuple(np.flatnonzero(x.grad.numpy()[0, 0] == 0).tolist())
        assert window_lost(n, k, s, p, d, ceil=ceil) == expected


def test_fitting_sizes_are_the_nearest() -> None:
    assert fitting_sizes(224, 11, 4) == (223, 227)
    assert fitting_sizes(7, 3, 3) == (6, 9)
    assert fitting_sizes(9, 3, 3) == (9, 9)
    assert fitting_sizes(2, 5, 3) == (None, 5)
    for n, k, s, p, d in itertools.product(range(1, 15), (1, 3, 4), (1, 2, 3), (0, 1, 3), (1, 2)):
        fits = [m for m in range(1, 40) if (span := m + 2 * p - d * (k - 1) - 1) >= 0 and span % s == 0]
        below = max((m for m in fits if m <= n), default=None)
        assert fitting_sizes(n, k, s, p, d) == (below, min(m for m in fits if m >= n))


def test_fitting_paddings() -> None:
    assert fitting_paddings(7, 3, 3) == (1,)
    assert fitting_paddings(32, 5) == (0, 1, 2, 3, 4)
    assert fitting_paddings(32, 5, output=32) == (2,)
    assert fitting_paddings(32, 5, 2) == ()  # 27 + 2p is odd
    assert fitting_paddings(224, 7, 2, output=112) == ()
    assert fitting_paddings(224, 7, 2, output=112, exact=False) == (3,)  # ResNet's first layer


def test_parameters_and_macs_as_the_slides_write_them() -> None:
    assert convolution_parameters(3, 10, (5, 5)).text == "(5*5*3 + 1)*10 = 760"
    assert convolution_parameters(3, 10, (5, 5), bias=False).text == "5*5*3*10 = 750"
    assert convolution_parameters(96, 256, (5, 5), 2).text == "(5*5*96/2 + 1)*256 = 307,456"
    assert convolution_parameters(2, 3, (4,)).text == "(4*2 + 1)*3 = 27"
    assert convolution_macs(3, 10, (5, 5), (32, 32)).text == "5*5*3*10*32*32 = 768,000"
    assert convolution_macs(3, 10, (5, 5), (32, 32)).value == 768_000
    assert fully_connected_parameters(25088, 4096, bias=False).value == 102_760_448  # the VGG slide
    assert fully_connected_parameters(400, 120).text == "(400 + 1)*120 = 48,120"
    assert fully_connected_macs(400, 120).text == "400*120 = 48,000"


def test_parameters_are_those_of_torch() -> None:
    for ci, co, kernel, groups, bias in [
        (4, 6, (3, 5), 2, True),
        (4, 8, (1, 1), 4, False),
        (3, 5, (2, 2), 1, True),
    ]:
        layer = nn.Conv2d(ci, co, kernel, groups=groups, bias=bias)
        expected = sum(p.numel() for p in layer.parameters())
        assert convolution_parameters(ci, co, kernel, groups, bias).value == expected


def test_receptive_field_of_stacked_layers() -> None:
    """Two 3x3 see 5x5, three see 7x7; behind a stride of 2 each step is worth two rows."""
    first = field_after(1, 1, 3)
    assert first.text == "1 + (3 - 1)*1 = 3"
    assert field_after(field_after(first.value, 1, 3).value, 1, 3).value == 7
    assert jump_after(2, 2).text == "2*2 = 4"
    assert field_after(3, 2, 3).text == "3 + (3 - 1)*2 = 7"
    assert field_after(1, 1, 3, dilation=2).text == "1 + 2*(3 - 1)*1 = 5"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 0}, "kernel is 0; it must be 1 or more"),
        ({"kernel": 3, "stride": 0}, "stride is 0"),
        ({"kernel": 3, "dilation": -1}, "dilation is -1"),
        ({"kernel": 3, "padding": -2}, "padding is -2; it must be 0 or more"),
    ],
)
def test_what_cannot_be_a_window(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        window_output(5, **arguments)


def test_groups_must_divide() -> None:
    with pytest.raises(ArgumentError, match="groups is 2; it must divide the channels, 3 in and 4 out"):
        convolution_parameters(3, 4, (1, 1), groups=2)
