"""The brain/neuron view: one value over the full depth, five filters at one place, a sheet of neurons."""

from __future__ import annotations

from typing import Any

from sightline.lab._entry import Correction, Entry, Page, Play, Plot, Setting, Table

SIDE, FIELD = 32, 5
FILTERS = ("bright", "upright edge", "level edge", "orange on blue", "not yet trained")
WRITTEN = 3
"""The filter that is written out."""
BIASES = (-0.4, 0.0, 0.0, -0.2, 0.0)
GROUPED = {"conv2": (96, 256, 5), "conv4": (384, 384, 3), "conv5": (384, 256, 3)}
"""Of AlexNet's paper, in two groups: channels in, filters, kernel."""


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.reference import (
        convolution_parameters,
        correlate,
        fully_connected_parameters,
        relu,
        window_output,
    )

    image = _patch()  # (3, 32, 32), 0 to 1
    weights, biases = _filters(setting.seed), np.array(BIASES)
    summed = correlate(image[None], weights, biases)[0]  # (5, 28, 28)
    sheets = relu(summed)
    places = window_output(SIDE, FIELD)
    row, column = (int(k) for k in np.unravel_index(sheets[WRITTEN].argmax(), sheets[WRITTEN].shape))
    window = image[:, row : row + FIELD, column : column + FIELD]
    products = window * weights[WRITTEN]
    by_channel = products.sum(axis=(1, 2))
    here = summed[:, row, column].tolist()
    own = here[WRITTEN]
    by_hand = float(by_channel.sum()) + BIASES[WRITTEN]
    shared = convolution_parameters(3, len(FILTERS), (FIELD, FIELD))
    neurons = len(FILTERS) * places.value**2
    each = convolution_parameters(3, 1, (FIELD, FIELD)).value
    full = fully_connected_parameters(3 * SIDE * SIDE, neurons)
    active = {name: float((sheet > 0).mean()) for name, sheet in zip(FILTERS, sheets, strict=True)}
    grouped = {name: _grouped(*sizes) for name, sizes in GROUPED.items()}
    apart = _apart(setting.seed)
    return Page(
        sentences=(
            f"One neuron of a 5x5x3 filter adds {products.size} products over the whole depth and a bias: "
            f"{' '.join(f'{v:+.3f}' for v in by_channel)} {BIASES[WRITTEN]:+.3f} = {by_hand:.3f}, and ReLU "
            f"makes it {max(0.0, by_hand):.3f}.",
            f"Five filters make {places.value}x{places.value}x{len(FILTERS)} = {neurons:,} such neurons, "
            f"which share {shared.value} parameters; each with its own they would have {neurons * each:,}.",
        ),
        parts=(
            Plot(
                svg=_written_out(window, weights[WRITTEN], products, by_channel),
                title="One neuron",
                caption=f"The filter '{FILTERS[WRITTEN]}' at row {row}, column {column} of flower at 32x32, "
                f"values from 0 to 1. Written out it is {by_hand:.6f}; the layer says {own:.6f}.",
            ),
            Plot(
                svg=_sheets(image, sheets, row, column),
                title="Five sheets of neurons",
                caption="The frame on the image is the receptive field, 5x5; the frames on the maps are the "
                "five neurons that look at it. All neurons of a sheet share one filter. Black is 0, white "
                "the sheet's largest value.",
            ),
            Table(
                title="Five neurons, one place",
                columns=("filter", "sum of products", "bias", "neuron", "after ReLU", "neurons above 0"),
                rows=[
                    (
                        name, f"{here[k] - biases[k]:.4f}", f"{biases[k]:g}", f"{here[k]:.4f}",
                        f"{max(0.0, here[k]):.4f}", f"{active[name]:.0%}",
                    )
                    for k, name in enumerate(FILTERS)
                ],
                caption="Four filters are made by hand; the fifth is drawn at random, as filters are before "
                "training.",
            ),
            Table(
                title="What sharing saves",
                columns=(f"{neurons:,} neurons", "parameters"),
                rows=(
                    ("a convolution: one filter a sheet", shared.value),
                    ("local connections, each neuron its own filter", neurons * each),
                    ("fully connected", full.value),
                ),
                caption=f"{shared.text}; {neurons}*{each} = {neurons * each:,}; {full.text}.",
            ),
            Table(
                title="The full depth?",
                columns=("AlexNet, the paper", "channels", "filter sees", "weights", "at full depth"),
                rows=[
                    (name, one["channels"], one["depth"], one["weights"], one["at_full_depth"])
                    for name, one in grouped.items()
                ],
                caption="Its two GPUs are two groups: a filter sees the half of the maps on its own. A "
                f"grouped convolution equals two convolutions of half the depth: they differ by {apart:g}.",
            ),
        ),
        numbers={
            "row": row,
            "column": column,
            "products": int(products.size),
            "sums_by_channel": by_channel.tolist(),
            "value_by_hand": by_hand,
            "value_of_the_layer": own,
            "five_neurons": dict(zip(FILTERS, here, strict=True)),
            "share_above_0": active,
            "neurons": neurons,
            "shared_parameters": shared.value,
            "local_parameters": neurons * each,
            "fully_connected_parameters": full.value,
            "grouped": grouped,
            "grouped_against_two_halves": apart,
        },
    )  # fmt: skip


def _patch() -> Any:
    """The flower, cut square and reduced: (3, 32, 32), 0 to 1."""
    from sightline.imaging import photograph
    from sightline.lab._drawn import reduced

    pixels = photograph("flower")
    spare = (pixels.shape[1] - pixels.shape[0]) // 2
    square = reduced(pixels[:, spare : spare + pixels.shape[0]], SIDE, SIDE)
    return square.transpose(2, 0, 1) / 255  # h w c -> c h w


def _filters(seed: int) -> Any:
    """Five filters over red, green and blue: (5, 3, 5, 5)."""
    import numpy as np

    slope = np.array([-2, -1, 0, 1, 2]) / 30
    upright = np.tile(slope, (FIELD, 1))
    colour = np.array([1.0, 0.25, -1.0])[:, None, None] * np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1]) / 81
    untrained = np.random.default_rng(seed).normal(0, np.sqrt(2 / (3 * FIELD * FIELD)), (3, FIELD, FIELD))
    return np.stack(
        [
            np.full((3, FIELD, FIELD), 1 / (3 * FIELD * FIELD)),
            np.stack([upright] * 3),
            np.stack([upright.T] * 3),
            colour,
            untrained,
        ]
    )


def _grouped(channels: int, filters: int, kernel: int) -> dict[str, int]:
    from sightline.reference import convolution_parameters

    sides = (kernel, kernel)
    return {
        "channels": channels,
        "depth": channels // 2,
        "weights": convolution_parameters(channels, filters, sides, groups=2, bias=False).value,
        "at_full_depth": convolution_parameters(channels, filters, sides, bias=False).value,
    }


def _apart(seed: int) -> float:
    """Between a convolution in two groups and two convolutions of half the depth."""
    import numpy as np

    from sightline.reference import correlate

    draws = np.random.default_rng(seed)
    x, weights = draws.normal(size=(1, 4, 6, 6)), draws.normal(size=(6, 2, 3, 3))
    halves = [correlate(x[:, 2 * k : 2 * k + 2], weights[3 * k : 3 * k + 3]) for k in (0, 1)]
    return float(np.abs(correlate(x, weights, groups=2) - np.concatenate(halves, axis=1)).max())


def _written_out(window: Any, kernel: Any, products: Any, by_channel: Any) -> str:
    import numpy as np

    from sightline.lab._drawn import Drawing

    drawing, side, high = Drawing(), 42, 5 * 42 + 34
    for k, name in enumerate(("red", "green", "blue")):
        x, y = 70.0, k * high
        drawing.words(0, y + 21 + 2.5 * side, name, size=16)
        for sign, values, title, largest, digits in (
            ("", window[k], "window", 2.0, 2),
            ("x", kernel[k], "kernel", float(np.abs(kernel).max()), 3),
            ("=", products[k], "products", float(np.abs(products).max()), 3),
        ):
            if sign:
                drawing.words(x + 8, y + 28 + 2.5 * side, sign, size=20, tone="soft")
                x += 30
            x, _ = drawing.matrix(
                x, y, values, side=side, title=title, shades=values / largest,
                text=f"{{:.{digits}f}}".format,
            )  # fmt: skip
        drawing.words(x + 16, y + 28 + 2.5 * side, f"{by_channel[k]:+.3f}", size=20, bold=True)
    total, bias = float(by_channel.sum()), BIASES[WRITTEN]
    y = 3 * high + 18
    said = f"sum {total:.3f}, bias {bias:+.3g}: {total + bias:.3f}; ReLU: {max(0.0, total + bias):.3f}"
    drawing.words(70, y, said, size=20, bold=True)
    return drawing.svg(f"Window, kernel and products of three channels; {said}")


def _sheets(image: Any, sheets: Any, row: int, column: int) -> str:
    import numpy as np

    from sightline.lab._drawn import Drawing, map_levels

    drawing, width = Drawing(), 255.0
    pixels = np.rint(255 * image.transpose(1, 2, 0)).astype(np.uint8)
    for k, name in enumerate(("the image, 32x32x3", *FILTERS)):
        x, y = k % 3 * (width + 24), k // 3 * (width + 44)
        drawing.words(x, y + 14, name, tone="soft")
        drawing.picture(x, y + 22, width, map_levels(sheets[k - 1]) if k else pixels)
        cell, seen = (width / 28, 1) if k else (width / SIDE, FIELD)
        place = (x + column * cell, y + 22 + row * cell, seen * cell, seen * cell)
        drawing.box(*place, line="page", thickness=6)
        drawing.box(*place, line="right", thickness=3)
    return drawing.svg("A flower and five activation maps, the same place framed in each")


ENTRY = Entry(
    name="neuron",
    title="One neuron",
    slides="Convolution Layer: 32x32x3 image, 5x5x3 filter; The brain/neuron view of CONV Layer",
    about="What does one number of an activation map consist of?",
    see="A window of a photograph through its whole depth, its products and their sum, and five sheets of "
    "neurons.",
    seconds=4,
    commands=(
        "sightline view neuron lenet5 digit:0 -o neuron.png",
        "sightline view neuron alexnet_lecture flower -o depth.png",
        "sightline design 32x32x3 conv:5,k5 relu",
        "sightline design 27x27x96 conv:256,k5,p2,g2",
    ),
    corrections=(
        Correction(
            says="Filters always extend the full depth of the input volume.",
            fact="Not in grouped convolutions: in AlexNet's own conv2, conv4 and conv5 a filter sees half of "
            "the maps; in a depthwise convolution one.",
            evidence="conv2 has 5*5*48*256 = 307,200 weights, not 614,400; Krizhevsky et al. 2012, section "
            "3.5",
        ),
    ),
    plays=(
        Play(kind="design", given={"line": "32x32x3 conv:5,k5 relu"}),
        Play(kind="filter", given={"image": "flower", "kernel": "1/30*-2,-1,0,1,2;-2,-1,0,1,2;-2,-1,0,1,2"}),
    ),
    run=_run,
)
