"""Filter shapes: Keras's order and PyTorch's, the transposition between them, and 1x1 as a dot product."""

from __future__ import annotations

from typing import Any

from sightline.lab._entry import Correction, Entry, Listing, Page, Play, Plot, Setting, Table

LAYERS = {
    # layer: kernel, channels in, filters
    "Conv2D(32, 3) on 28x28x1": (3, 1, 32),
    "Conv2D(64, 3) on its 32 maps": (3, 32, 64),
    "1x1 CONV with 32 filters on 64 maps": (1, 64, 32),
}
DRAWN = (2, 3)
"""Channels in and filters of the layer that is drawn."""


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.reference import (
        convolution_macs,
        convolution_parameters,
        correlate,
        design,
        keras_source,
        torch_source,
    )

    draws = np.random.default_rng(setting.seed)
    rows: list[tuple[str, str, str, str, int]] = []
    shapes: dict[str, dict[str, Any]] = {}
    for name, (kernel, inputs, filters) in LAYERS.items():
        hwio, oihw = (kernel, kernel, inputs, filters), (filters, inputs, kernel, kernel)
        weights = convolution_parameters(inputs, filters, (kernel, kernel), bias=False)
        whole = convolution_parameters(inputs, filters, (kernel, kernel))
        assert np.prod(hwio) == np.prod(oihw) == weights.value
        shapes[name] = {"keras": list(hwio), "pytorch": list(oihw), "weights": weights.value}
        rows.append((name, str(hwio), str(oihw), weights.text, whole.value))
    kernels = draws.integers(-9, 10, (3, 3, *DRAWN))  # h w i o
    turned = kernels.transpose(3, 2, 0, 1)  # h w i o -> o i h w
    image = draws.integers(0, 10, (6, 6, DRAWN[0]))  # h w c
    expected = _by_hand(image, kernels)
    channels_first = image.transpose(2, 0, 1)[None]  # h w c -> 1 c h w
    found = correlate(channels_first, turned)[0].transpose(1, 2, 0)  # c h w -> h w c
    reshaped = correlate(channels_first, kernels.reshape(turned.shape))[0].transpose(1, 2, 0)
    gap, wrong = int(np.abs(found - expected).max()), float((reshaped != expected).mean())
    maps, mixing = draws.normal(size=(1, 64, 56, 56)), draws.normal(size=(32, 64))
    convolved = correlate(maps, mixing[:, :, None, None])[0]
    pixels = maps[0].reshape(64, -1).T  # c h w -> (h w) c
    product = (pixels @ mixing.T).T.reshape(32, 56, 56)  # (h w) o -> o h w
    one_by_one = float(np.abs(convolved - product).max())
    dot = float(np.dot(mixing[0], maps[0, :, 0, 0]))
    network = design("28x28x1", "conv:32,k3 relu pool:2 conv:64,k3 relu pool:2")
    macs = convolution_macs(64, 32, (1, 1), (56, 56))
    second = LAYERS["Conv2D(64, 3) on its 32 maps"]
    per_filter = convolution_parameters(second[1], 1, (3, 3), bias=False).value
    first, both, _ = shapes.values()
    return Page(
        sentences=(
            f"32 filters of 3x3 on one channel are {tuple(first['keras'])} in Keras and "
            f"{tuple(first['pytorch'])} in PyTorch; 64 on the 32 maps that follow are {tuple(both['keras'])} "
            f"and {tuple(both['pytorch'])}, {both['weights']:,} weights, 3*3*32 = {per_filter} a filter.",
            f"Transposed, the same weights give the same answers (they differ by {gap}); merely reshaped, "
            f"{wrong:.0%} of the answers are wrong, and nothing says so.",
        ),
        parts=(
            Table(
                title="The shapes",
                columns=(
                    "layer",
                    "Keras: h, w, in, out",
                    "PyTorch: out, in, h, w",
                    "k^2 c_in c_out",
                    "and biases",
                ),
                rows=rows,
                caption="Each filter has one kernel for each channel that comes in: the slide's (3,3,1,32) "
                "and (3,3,32,64).",
            ),
            Plot(
                svg=_blocks(turned),
                title="A layer's kernels",
                caption=f"{DRAWN[1]} filters on {DRAWN[0]} channels: a filter a row, a kernel for each "
                "channel. Keras keeps the numbers that stand at one place of all kernels together, PyTorch a "
                "kernel.",
            ),
            Listing(
                title="In memory",
                text=_order(kernels, turned),
                caption="The first numbers as they lie in memory, and the transposition.",
            ),
            Plot(
                svg=_column(),
                title="1x1",
                caption="At each of 56x56 places a 1x1 filter takes the dot product of its 64 weights with "
                "the 64 values there; with 32 filters, a matrix product. The two differ by "
                f"{one_by_one:.0e}. At row 0, column 0 the first filter gives {dot:.4f}. {macs.text} "
                "multiply-adds.",
            ),
            Listing(title="In Keras", text=keras_source(network), caption="sightline design ... --keras"),
            Listing(title="In PyTorch", text=torch_source(network), caption="sightline design ... --torch"),
        ),
        numbers={
            "shapes": shapes,
            "weights_of_a_filter_of_the_second_layer": per_filter,
            "transposed_difference": gap,
            "reshaped_share_wrong": wrong,
            "one_by_one_difference": one_by_one,
            "one_by_one_at_0_0": dot,
            "one_by_one_macs": macs.value,
        },
    )


def _by_hand(image: Any, kernels: Any) -> Any:
    """A valid convolution with channels last, as Keras has it: (H, W, in), (h, w, in, out) -> (.., out)."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    windows = sliding_window_view(image, kernels.shape[:2], axis=(0, 1))  # H W c h w
    return np.einsum("yxchw,hwco->yxo", windows, kernels)


def _blocks(turned: Any) -> str:
    from sightline.lab._drawn import Drawing, shades_of

    drawing, side = Drawing(), 34
    for o, filter_ in enumerate(turned):
        y = o * (3 * side + 44)
        drawing.words(0, y + 21 + 1.5 * side + 5, f"filter {o}", size=15)
        for i, kernel in enumerate(filter_):
            drawing.matrix(
                80 + i * (3 * side + 40), y, kernel, side=side, title=f"on channel {i}: [{o}, {i}]",
                shades=shades_of(kernel, 9),
            )  # fmt: skip
    return drawing.svg(
        f"{len(turned)} filters, each with a 3x3 kernel for each of {turned.shape[1]} channels"
    )


def _order(kernels: Any, turned: Any) -> str:
    def first(array: Any) -> str:
        return " ".join(f"{value:3d}" for value in array.ravel()[:12].tolist()) + " ..."

    return "\n".join(
        (
            f"Keras    {kernels.shape}  {first(kernels)}",
            f"PyTorch  {turned.shape}  {first(turned)}",
            "",
            "pytorch = keras.transpose(3, 2, 0, 1)   # h w i o -> o i h w",
            "keras = pytorch.permute(2, 3, 1, 0)     # o i h w -> h w i o",
            f"kernel [o=1, i=0], row 0, column 2:  keras[0, 2, 0, 1] = {kernels[0, 2, 0, 1]}, "
            f"pytorch[1, 0, 0, 2] = {turned[1, 0, 0, 2]}",
        )
    )


def _column() -> str:
    """A depth column of 64 values, 32 filters, a column of 32."""
    from sightline.lab._drawn import Drawing

    drawing, x = Drawing(), 0.0
    for depth, name, under in ((64, "56x56x64", "64 values at a place"), (32, "56x56x32", "32 values")):
        wide, high, shift = 130.0, 130.0, depth * 1.1
        drawing.box(x + shift, 24, wide, high, line="soft", fill="right", strength=0.06)
        for corner in ((0, 0), (wide, 0), (0, high), (wide, high)):
            near, far = (x + corner[0], 24 + shift + corner[1]), (x + shift + corner[0], 24 + corner[1])
            drawing.line([near, far], tone="rule", thickness=1)
        drawing.box(x, 24 + shift, wide, high, line="soft", fill="right", strength=0.12)
        place = (x + 50.0, 24 + shift + 50.0)
        drawing.line([place, (place[0] + shift, place[1] - shift)], tone="wrong", thickness=9)
        drawing.words(x, 16, name, size=16, bold=True)
        drawing.words(x, 24 + shift + high + 22, under, size=14, tone="soft")
        x += wide + shift + 60
        if depth == 64:
            drawing.words(x - 30, 110, "32 dot products", size=15)
            drawing.words(x - 30, 130, "of 64 numbers", size=15)
            drawing.arrow(x - 30, 148, 110)
            x += 110
    return drawing.svg("A column of 64 values through 56x56x64 becomes a column of 32 through 56x56x32")


ENTRY = Entry(
    name="filter-shapes",
    title="Filter shapes",
    slides="Convolutional Filters; Filter Shapes; Kernel sizes: n = k^2 c_in c_out; 1x1 convolution layers",
    about="What shape have the weights of a convolution, in Keras and in PyTorch?",
    see="Both conventions for the slide's layers, one turned into the other, and a 1x1 convolution as a "
    "matrix product.",
    seconds=2,
    commands=(
        "sightline design 28x28x1 conv:32,k3 relu pool:2 conv:64,k3 --keras",
        "sightline design 28x28x1 conv:32,k3 relu pool:2 conv:64,k3 --torch",
        "sightline design 56x56x64 conv:32,k1",
        "sightline summary lecture_cnn_2",
        "sightline exercise parameters -n 20 --seed 1 -o sheet.html",
    ),
    corrections=(
        Correction(
            says="So the shape of the filters is: (3,3,1,32) ... (3,3,32,64)",
            fact="In Keras. PyTorch has (32,1,3,3) and (64,32,3,3); between them lies a transposition, not a "
            "reshape.",
            evidence="the same weights transposed give the same answers, reshaped they do not: the numbers "
            "of this page",
        ),
        Correction(
            says="Each filter has the same number of channels as the input tensor.",
            fact="Unless the convolution is grouped: with g groups, 1/g of them; a depthwise one has one.",
            evidence="sightline design 32x32x32 conv:64,k3,g2 has (3*3*32/2 + 1)*64 = 9,280 parameters",
        ),
        Correction(
            says="n = k^2 * c_in * c_out",
            fact="These are the weights; with biases, which Keras and PyTorch have unless told otherwise, "
            "there are c_out more.",
            evidence="3*3*32*64 = 18,432 weights, 18,496 parameters",
        ),
    ),
    plays=(
        Play(kind="design", given={"line": "28x28x1 conv:32,k3 relu pool:2 conv:64,k3 relu pool:2"}),
        Play(kind="design", given={"line": "56x56x64 conv:32,k1"}),
    ),
    run=_run,
)
