"""Exercises on sizes."""

from __future__ import annotations

from sightline.lab._exercise import Dice, Exercise, Maker
from sightline.lab._exercise_words import filters, listed, said, shape, size, sums_of
from sightline.reference import (
    Design,
    design,
    fitting_paddings,
    fitting_sizes,
    window_lost,
    window_output,
)

_ROUNDED = "Round down where a stride does not fit."


def _volume(dice: Dice) -> Exercise | None:
    side, channels = dice.between(8, 64), dice.of((1, 3, 6, 16))
    kernel, stride = dice.of((3, 5, 7)), dice.of((1, 1, 2, 2, 3))
    padding = dice.between(0, kernel // 2)
    if fitting_sizes(side, kernel, stride, padding)[0] != side:
        return None
    network = design(
        f"{side}x{side}x{channels}", f"conv:{dice.of((4, 6, 8, 10, 16, 32))},k{kernel},s{stride},p{padding}"
    )
    return _sized(
        network, f"The input is {shape(network.input_shape)}; the layer: {said(network.layers[0])}."
    )


def _rectangle(dice: Dice) -> Exercise | None:
    rows, columns = dice.between(8, 40), dice.between(8, 40)
    kernel = dice.some(2, (1, 3, 5, 7))
    pads = [dice.between(0, k // 2) for k in kernel]
    stride = dice.of((1, 2))
    network = design(
        f"{rows}x{columns}x{dice.of((1, 3))}",
        f"conv:{dice.of((2, 4, 6, 8))},k{size(kernel)},s{stride},p{size(pads)}",
    )
    return _sized(
        network,
        f"The input is {shape(network.input_shape)}; the layer, its kernel and padding as height x width: "
        f"{said(network.layers[0])}. {_ROUNDED}",
    )


def _dilated(dice: Dice) -> Exercise | None:
    side, kernel, dilation = dice.between(12, 48), dice.of((3, 3, 5)), dice.of((2, 3))
    padding = dice.between(0, 3)
    network = design(f"{side}x{side}x1", f"conv:{dice.of((1, 4, 8))},k{kernel},p{padding},d{dilation}")
    return _sized(
        network, f"The input is {shape(network.input_shape)}; the layer: {said(network.layers[0])}."
    )


def _fits(dice: Dice) -> Exercise | None:
    side, kernel, stride = dice.between(5, 40), dice.of((2, 3, 4, 5, 7)), dice.of((2, 3, 4))
    padding, wanted = dice.between(0, kernel // 2), dice.of(("yes", "no"))
    network = design(f"{side}x{side}x1", f"conv:1,k{kernel},s{stride},p{padding}", strict=True)
    answer = "no" if any(finding.level == "error" for finding in network.findings) else "yes"
    if answer != wanted or side + 2 * padding < kernel + stride:
        return None
    verdict = "a whole number: it fits" if answer == "yes" else "not a whole number: it does not fit"
    return Exercise(
        text=f"Does a {kernel}x{kernel} window with stride {stride} and padding {padding} fit an input of "
        f"{side}x{side}, so that the division leaves no rest? (By the lecture's rule it cannot be applied "
        "otherwise.)",
        answer=answer,
        sum=f"{network.layers[0].sums['height']}, {verdict}",
    )


def _lost(dice: Dice) -> Exercise | None:
    side, kernel = dice.between(7, 40), dice.of((2, 3, 4, 5))
    stride, padding = dice.between(2, kernel), dice.between(0, 1)
    lost = window_lost(side, kernel, stride, padding)
    if not lost or padding > kernel // 2:
        return None
    result = window_output(side, kernel, stride, padding)
    shown = " and ".join(str(row + 1) for row in lost)
    return Exercise(
        text=f"A {kernel}x{kernel} window with stride {stride} and padding {padding} goes over an input of "
        f"{side}x{side}; it does not fit, and PyTorch rounds down. How many rows has the output, and how "
        "many rows of the input are in no window?",
        answer={"output rows": result.value, "lost rows": len(lost)},
        sum=f"{result.text}\nin no window, of rows 1 to {side}: {shown}",
    )


def _same_padding(dice: Dice) -> Exercise | None:
    side, kernel, dilation = dice.between(8, 64), dice.of((3, 5, 7, 9, 11)), dice.of((1, 1, 1, 2))
    found = fitting_paddings(side, kernel, 1, dilation, output=side)
    if len(found) != 1 or kernel * dilation > side:
        return None
    dilated = f" and dilation {dilation}" if dilation > 1 else ""
    return Exercise(
        text=f"Which padding on every side keeps {side}x{side} at {side}x{side}, if the window is "
        f"{kernel}x{kernel} with stride 1{dilated}?",
        answer={"padding": found[0]},
        sum=window_output(side, kernel, 1, found[0], dilation).text,
    )


def _padding(dice: Dice) -> Exercise | None:
    side, kernel, stride = dice.between(8, 64), dice.of((3, 5, 7)), dice.of((2, 2, 3, 4))
    output = window_output(side, kernel, stride, dice.between(0, kernel // 2)).value
    found = fitting_paddings(side, kernel, stride, output=output, exact=False)
    if len(found) != 1:
        return None
    return Exercise(
        text=f"Which padding, the same on every side, makes {output}x{output} of {side}x{side}, if the "
        f"window is {kernel}x{kernel} with stride {stride}? {_ROUNDED}",
        answer={"padding": found[0]},
        sum=window_output(side, kernel, stride, found[0]).text,
    )


def _kernel(dice: Dice) -> Exercise | None:
    side, padding = dice.between(8, 64), dice.between(0, 2)
    output = side + 2 * padding - dice.of((2, 3, 4, 5, 6, 7, 8, 10))
    layer = design(f"{side}x{side}x1", f"conv:1,k_,p{padding}={output}").layers[0]
    assert layer.kernel_size is not None
    if layer.kernel_size[0] <= padding or output >= side:
        return None
    return Exercise(
        text=f"A convolution with stride 1 and padding {padding} makes {output}x{output} of {side}x{side}. "
        "How large is its square kernel, along one side?",
        answer={"kernel": layer.kernel_size[0]},
        sum=layer.sums["height"],
    )


def _input(dice: Dice) -> Exercise | None:
    output, kernel, stride = dice.between(4, 24), dice.of((3, 5, 7)), dice.of((1, 2, 3, 4))
    padding = dice.between(0, kernel // 2)
    network = design("_x_x1", f"conv:1,k{kernel},s{stride},p{padding}={output}")
    side = network.input_shape[1]
    return Exercise(
        text=f"A {kernel}x{kernel} window with stride {stride} and padding {padding} fits its square input "
        f"without a rest, and the output is {output}x{output}. How large is the input, along one side?",
        answer={"input": side},
        sum=network.layers[0].sums["height"],
    )


def _layers(dice: Dice, convolutions: int) -> list[str]:
    """Layers, a pooling among them, that leave something of 28 pixels or more."""
    words = []
    for turn in range(convolutions):
        kernel, stride = (dice.of((3, 5)), 1) if turn else (dice.of((3, 5, 7)), dice.of((1, 1, 2)))
        padding = dice.of((0, 1, kernel // 2))
        words.append(f"conv:{dice.of((4, 6, 8, 10, 16))},k{kernel},s{stride},p{padding} relu")
    words.append(dice.of(("pool:2", "pool:2", "pool:3,s2", "avgpool:2")))
    words.append(f"conv:{dice.of((8, 10, 12, 16, 20, 32))},k3,p{dice.of((0, 1))} relu")
    return words


def _chain(dice: Dice) -> Exercise | None:
    side = dice.of((28, 32, 40, 48, 56, 64))
    network = design(f"{side}x{side}x{dice.of((1, 3))}", _layers(dice, dice.between(1, 2)))
    return _sized(network, _through(network))


def _flattened(dice: Dice) -> Exercise | None:
    side = dice.of((28, 32, 36, 40))
    network = design(f"{side}x{side}x{dice.of((1, 3))}", [*_layers(dice, 1), "pool:2", "flatten"])
    if network.layers[-2].output_shape[1] > 8:
        return None
    return Exercise(
        text=f"{_through(network)}\nHow many values does the vector have?",
        answer={"values": network.layers[-1].output_shape[0]},
        sum="\n".join(sums_of(network, "height", "flatten")),
    )


def _through(network: Design) -> str:
    return (
        f"An input of {shape(network.input_shape)} goes through these layers, one after the other:\n"
        f"{listed(network)}\n{_ROUNDED}"
    )


def _sized(network: Design, text: str) -> Exercise:
    """How large is the output of a network?"""
    channels, height, width = network.layers[-1].output_shape
    several = len(network.layers) > 1
    sums = network.layers[0].sums
    if several:
        lines = sums_of(network, "height")
    elif sums["height"] == sums["width"]:
        lines = [f"height and width: {sums['height']}"]
    else:
        lines = [f"height: {sums['height']}", f"width: {sums['width']}"]
    lines.append(f"channels: {filters(channels)}{' of the last convolution' if several else ''}, {channels}")
    return Exercise(
        text=f"{text}{chr(10) if several else ' '}How large is the output?",
        answer={"height": height, "width": width, "channels": channels},
        sum="\n".join(lines),
    )


MAKERS: dict[str, tuple[Maker, ...]] = {
    "sizes": (
        _volume, _fits, _same_padding, _lost, _rectangle, _kernel, _dilated, _input, _padding, _chain,
        _flattened,
    )
}  # fmt: skip
