"""Exercises on parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sightline.lab._exercise import Dice, Exercise, Maker
from sightline.lab._exercise_words import filters, listed, said, shape, sums_of, total
from sightline.reference import Design, design

Count = Literal["parameters", "macs"]

_LARGEST = 1_000_000
"""Of all answers."""

_ASKED: dict[Count, str] = {
    "parameters": "How many parameters does it have?",
    "macs": "How many macs does it take?",
}


def _one(network: Design, count: Count) -> Exercise:
    """One layer, one number."""
    layer = network.layers[0]
    return Exercise(
        text=f"The input is {shape(network.input_shape)}; the layer: {said(layer)}. {_ASKED[count]}",
        answer={count: getattr(layer, count)},
        sum=_sums(network, count),
    )


def _whole(network: Design, count: Count) -> Exercise:
    """A network, one number."""
    return Exercise(
        text=f"A network takes {shape(network.input_shape)} through these layers, one after the other:\n"
        f"{listed(network)}\n{_ASKED[count]}",
        answer={count: getattr(network, count)},
        sum=_sums(network, count),
    )


def _against(text: str, count: Count, networks: dict[str, Design]) -> Exercise:
    """Two ways to do it, a number for each."""
    return Exercise(
        text=text,
        answer={name: getattr(network, count) for name, network in networks.items()},
        sum="\n".join(
            f"{name}: {line}"
            for name, network in networks.items()
            for line in _sums(network, count).split("\n")
        ),
    )


def _sums(network: Design, count: Count) -> str:
    """Of macs, the sizes first where they change; of several layers, their sum last."""
    counted = [layer for layer in network.layers if count in layer.sums]
    several = len([layer for layer in network.layers if layer.kind != "relu"]) > 1
    lines = []
    if count == "macs" and any(layer.kernel_size is not None for layer in network.layers):
        lines += sums_of(network, "height", "flatten") + sums_of(network, count)
    else:
        lines += sums_of(network, "flatten", count)
    if not several:
        lines = [line.partition(") ")[2] for line in lines]
    if len(counted) > 1:
        lines.append(total([getattr(layer, count) for layer in counted], getattr(network, count)))
    return "\n".join(lines)


def _convolution(dice: Dice, *, bias: bool = True) -> str:
    return f"conv:{dice.of((4, 6, 8, 10, 12, 16, 20, 32))},k{dice.of((3, 5, 7))}" + (
        "" if bias else ",nobias"
    )


def _input(dice: Dice, channels: tuple[int, ...] = (1, 3, 4, 6, 8, 10, 16)) -> str:
    side = dice.of((12, 16, 20, 24, 28, 32, 40))
    return f"{side}x{side}x{dice.of(channels)}"


def _channels(count: int) -> str:
    return f"{count} channel{'s' if count > 1 else ''}"


# Parameters


def _filters(dice: Dice) -> Exercise:
    return _one(design(_input(dice), _convolution(dice)), "parameters")


def _no_bias(dice: Dice) -> Exercise:
    return _one(design(_input(dice), _convolution(dice, bias=False)), "parameters")


def _pointwise(dice: Dice) -> Exercise:
    network = design(_input(dice, (16, 32, 48, 64, 96, 128, 256)), f"conv:{dice.of((8, 16, 32, 64, 10))},k1")
    return _one(network, "parameters")


def _signal(dice: Dice) -> Exercise:
    length, channels = dice.of((20, 40, 60, 100)), dice.of((1, 2, 4, 8, 15))
    network = design(f"{length}x{channels}", f"conv:{dice.of((5, 10, 15, 20))},k{dice.of((3, 5, 7, 9))}")
    layer = network.layers[0]
    assert layer.kernel_size is not None
    return Exercise(
        text=f"A signal of length {length} with {_channels(channels)} goes through a one-dimensional "
        f"convolution, {filters(int(layer.main))} of length {layer.kernel_size[0]}. "
        f"{_ASKED['parameters']}",
        answer={"parameters": layer.parameters},
        sum=layer.sums["parameters"],
    )


def _grouped(dice: Dice) -> Exercise:
    groups = dice.of((2, 3, 4))
    inputs, outputs = groups * dice.of((2, 4, 6, 8, 16)), groups * dice.of((2, 4, 8, 10, 16))
    kernel = dice.of((3, 5))
    network = design(f"16x16x{inputs}", f"conv:{outputs},k{kernel},g{groups},p{kernel // 2}")
    return _one(network, "parameters")


def _fully_connected(dice: Dice) -> Exercise:
    side, channels = dice.of((4, 5, 6, 7, 8)), dice.of((4, 8, 10, 16, 20))
    network = design(f"{side}x{side}x{channels}", f"flatten fc:{dice.of((10, 20, 32, 50, 64, 100))}")
    return _whole(network, "parameters")


def _normed(dice: Dice) -> Exercise:
    return _whole(design(_input(dice), f"{_convolution(dice, bias=False)} bn relu"), "parameters")


def _how_many(dice: Dice) -> Exercise:
    network = design(_input(dice), _convolution(dice))
    layer = network.layers[0]
    assert layer.kernel_size is not None
    kernel, channels = layer.kernel_size[0], network.input_shape[0]
    return Exercise(
        text=f"A convolution of {kernel}x{kernel} over {_channels(channels)}, with a bias for each filter, "
        f"has {layer.parameters:,} parameters. How many filters does it have?",
        answer={"filters": layer.output_shape[0]},
        sum=layer.sums["parameters"],
    )


def _stacked(dice: Dice, widths: tuple[int, ...]) -> tuple[str, dict[str, Design]]:
    """One large kernel, and small ones with the same field."""
    side, channels = dice.of((8, 10, 12, 14, 16, 20)), dice.of(widths)
    kernel, times = dice.of(((5, 2), (7, 3), (9, 4)))
    written = f"{side}x{side}x{channels}"
    one = design(written, f"conv:{channels},k{kernel},psame,nobias")
    stack = design(written, [f"conv:{channels},k3,psame,nobias", "relu"] * times)
    number = ("two", "three", "four")[times - 2]
    text = (
        f"The input is {shape(one.input_shape)}, and so is the output, all convolutions padded and without "
        f"bias. Compare one convolution of {kernel}x{kernel} with {number} of 3x3, one "
        "after the other, each with as many filters as there are channels."
    )
    return text, {
        f"one {kernel}x{kernel}": one,
        f"{number} 3x3": stack,
    }


def _stacked_parameters(dice: Dice) -> Exercise:
    text, networks = _stacked(dice, (4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 32))
    return _against(f"{text} How many parameters has either?", "parameters", networks)


def _separable(dice: Dice, count: Count) -> Exercise:
    side, channels, kernel = dice.of((8, 10, 12, 16)), dice.of((4, 6, 8, 10, 16, 32)), dice.of((3, 5))
    outputs = dice.of((8, 10, 16, 20, 32, 64))
    written = f"{side}x{side}x{channels}"
    asked = {"parameters": "How many parameters has either?", "macs": "How many macs does either take?"}
    return _against(
        f"The input is {written}, the output {side}x{side}x{outputs}, all convolutions padded and without "
        f"bias. Compare a convolution of {kernel}x{kernel} with a depthwise convolution of {kernel}x{kernel} "
        f"(one filter a channel) and, behind it, one of 1x1. {asked[count]}",
        count,
        {
            "convolution": design(written, f"conv:{outputs},k{kernel},psame,nobias"),
            "depthwise and 1x1": design(
                written, f"depthwise:k{kernel},psame,nobias conv:{outputs},k1,nobias"
            ),
        },
    )


def _separable_parameters(dice: Dice) -> Exercise:
    return _separable(dice, "parameters")


def _shared(dice: Dice) -> Exercise:
    side, channels = dice.of((6, 8, 10)), dice.of((1, 2, 3))
    convolution = design(
        f"{side}x{side}x{channels}", f"conv:{dice.of((2, 4, 5, 6, 8, 10))},k{dice.of((3, 5))}"
    )
    layer = convolution.layers[0]
    outputs = design(shape(layer.output_shape), "flatten").layers[0].output_shape[0]
    return _against(
        f"The input is {shape(convolution.input_shape)}; the layer: {said(layer)}. How many parameters does "
        "it have, and how many would a fully connected layer from all inputs to all of its outputs have?",
        "parameters",
        {
            "convolution": convolution,
            "fully connected": design(shape(convolution.input_shape), f"flatten fc:{outputs}"),
        },
    )


def _small(dice: Dice) -> Design:
    """Two convolutions, a pooling behind each, a classifier."""
    side, kernel, padding = dice.of((16, 20, 28, 32)), dice.of((3, 5)), dice.of((0, 1))
    return design(
        f"{side}x{side}x{dice.of((1, 3))}",
        f"conv:{dice.of((4, 6, 8))},k{kernel},p{padding} relu pool:2 "
        f"conv:{dice.of((8, 10, 12, 16))},k3,p{padding} relu pool:2 flatten fc:{dice.of((4, 5, 8, 10))}",
    )


def _network_parameters(dice: Dice) -> Exercise:
    return _whole(_small(dice), "parameters")


# Multiply-adds


def _macs(dice: Dice) -> Exercise:
    kernel = dice.of((3, 5, 7))
    side, channels = dice.of((8, 10, 12, 14, 16, 20, 28, 32)), dice.of((1, 3, 4, 8, 10))
    filters_ = dice.of((4, 6, 8, 10, 16))
    return _one(
        design(f"{side}x{side}x{channels}", f"conv:{filters_},k{kernel},p{dice.of((0, kernel // 2))}"), "macs"
    )


def _pointwise_macs(dice: Dice) -> Exercise:
    side, channels = dice.of((7, 8, 10, 14, 20, 28)), dice.of((16, 20, 32, 64, 100, 128))
    return _one(design(f"{side}x{side}x{channels}", f"conv:{dice.of((8, 10, 16, 32, 64))},k1"), "macs")


def _fully_connected_macs(dice: Dice) -> Exercise:
    side, channels = dice.of((4, 5, 6, 7, 8)), dice.of((4, 8, 10, 16, 20))
    network = design(f"{side}x{side}x{channels}", f"flatten fc:{dice.of((10, 20, 32, 50, 64, 100))}")
    return _whole(network, "macs")


def _strided_macs(dice: Dice) -> Exercise:
    side, channels, kernel = dice.of((15, 16, 20, 21, 28, 32)), dice.of((1, 3, 4, 8)), dice.of((3, 5, 7))
    word = f"conv:{dice.of((4, 8, 10, 16))},k{kernel},s{dice.of((2, 3, 4))},p{dice.of((0, 1, kernel // 2))}"
    return _one(design(f"{side}x{side}x{channels}", word), "macs")


def _grouped_macs(dice: Dice) -> Exercise:
    groups, side = dice.of((2, 3, 4)), dice.of((8, 10, 12, 16))
    inputs, outputs = groups * dice.of((2, 4, 8)), groups * dice.of((2, 4, 8))
    return _one(design(f"{side}x{side}x{inputs}", f"conv:{outputs},k3,p1,g{groups}"), "macs")


def _flops(dice: Dice) -> Exercise:
    network = design(_input(dice), _convolution(dice))
    flops = network.to_dict()["flops"]
    asked = _one(network, "macs")
    return Exercise(
        text=asked.text.replace(_ASKED["macs"], "How many macs does it take, and how many flops?"),
        answer={"macs": network.macs, "flops": flops},
        sum=f"{asked.sum}\n2*{network.macs} = {flops:,} flops",
    )


def _stacked_macs(dice: Dice) -> Exercise:
    text, networks = _stacked(dice, (2, 3, 4, 5, 8, 10))
    return _against(f"{text} How many macs does either take?", "macs", networks)


def _separable_macs(dice: Dice) -> Exercise:
    return _separable(dice, "macs")


def _bottleneck_macs(dice: Dice) -> Exercise:
    side, wide, narrow = dice.of((7, 8, 10, 14)), dice.of((32, 40, 64, 100, 128)), dice.of((4, 8, 10, 16))
    network = design(
        f"{side}x{side}x{wide}", f"conv:{narrow},k1 relu conv:{narrow},k3,p1 relu conv:{wide},k1"
    )
    return _whole(network, "macs")


def _network_macs(dice: Dice) -> Exercise:
    return _whole(_small(dice), "macs")


def _handy(maker: Maker) -> Maker:
    """Without answers that nobody multiplies out by hand."""

    def made(dice: Dice) -> Exercise | None:
        exercise = maker(dice)
        assert exercise is not None
        assert isinstance(exercise.answer, Mapping)
        return exercise if max(exercise.answer.values()) <= _LARGEST else None

    return made


MAKERS: dict[str, tuple[Maker, ...]] = {
    "parameters": tuple(map(_handy, (
        _filters, _no_bias, _pointwise, _signal, _fully_connected, _grouped, _normed, _how_many,
        _stacked_parameters, _separable_parameters, _shared, _network_parameters,
    ))),
    "macs": tuple(map(_handy, (
        _macs, _pointwise_macs, _fully_connected_macs, _strided_macs, _grouped_macs, _flops, _stacked_macs,
        _separable_macs, _bottleneck_macs, _network_macs,
    ))),
}  # fmt: skip
