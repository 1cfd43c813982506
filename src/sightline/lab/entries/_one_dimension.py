"""One dimension: a convolution as a banded matrix, its stride, dilation and field, and MNIST-1D in sums."""

from __future__ import annotations

from typing import Any

from sightline.lab._entry import Correction, Entry, Page, Play, Plot, Setting, Table

INPUTS = 10
KERNEL, BIAS = (0.5, 1.0, -0.75), 0.25
CONVOLUTIONAL = "conv:15,k3,s2 relu conv:15,k3,s2 relu conv:15,k3,s2 relu fc:10"
FULLY_CONNECTED = "fc:285 relu fc:135 relu fc:60 relu fc:10"
BANDS: dict[str, dict[str, Any]] = {
    "kernel 3, padding 1": {"padding": 1},
    "valid": {"padding": 0},
    "stride 2": {"padding": 1, "stride": 2},
    "dilation 2": {"padding": 2, "dilation": 2},
    "circular": {"padding": 1, "padding_mode": "circular"},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
}


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.reference import (
        convolution_parameters,
        correlate,
        design,
        fully_connected,
        fully_connected_parameters,
    )

    draws = np.random.default_rng(setting.seed)
    x = draws.standard_normal(INPUTS)
    dense = draws.standard_normal((INPUTS, INPUTS))
    bands = {name: _band(KERNEL, **how) for name, how in BANDS.items()}
    five = (0.25, 0.5, 1.0, -0.75, -0.25)
    bands["kernel 5, padding 2"] = _band(five, padding=2)
    differences = {}
    for name, band in bands.items():
        weights, how = (five, {"padding": 2}) if name.startswith("kernel 5") else (KERNEL, BANDS[name])
        layer = correlate([[x]], [[weights]], [BIAS], **how)[0, 0]
        product = fully_connected([x], band, [BIAS] * len(band))[0]
        differences[name] = float(np.abs(layer - product).max())
    shared = convolution_parameters(1, 1, (3,))
    free = fully_connected_parameters(INPUTS, INPUTS)
    stack = design("40x1", "conv:1,k3,p1 conv:1,k3,p1 conv:1,k3,p1")
    fields = [layer.receptive_field[0] for layer in stack.layers]
    network, twin = design("40x1", CONVOLUTIONAL), design("40", FULLY_CONNECTED)
    totals = {
        "conv_parameters": network.parameters,
        "conv_macs": sum(layer.macs for layer in network.layers),
        "dense_parameters": twin.parameters,
        "dense_macs": sum(layer.macs for layer in twin.layers),
    }
    rows = [
        (name, layer.layer, _shape(layer.output_shape), layer.sums["parameters"], layer.sums["macs"])
        for name, one in (("convolutional", network), ("fully connected", twin))
        for layer in one.layers
        if layer.parameters
    ]
    zeros = int((bands["kernel 3, padding 1"] == 0).sum())
    return Page(
        sentences=(
            f"A convolution of {INPUTS} values is a fully connected layer whose matrix has {zeros} zeros and "
            f"three numbers, repeated: {shared.value} parameters instead of {free.value}; the two answers "
            f"differ by {max(differences.values()):.0e}.",
            f"On MNIST-1D that makes {totals['conv_parameters']:,} parameters against "
            f"{totals['dense_parameters']:,}, and {totals['conv_macs']:,} multiply-adds against "
            f"{totals['dense_macs']:,}.",
        ),
        parts=(
            Plot(
                svg=_beside(bands["kernel 3, padding 1"], dense),
                title="Two matrices",
                caption=f"Left, the weights of a convolution, {shared.text}; right, of a fully connected "
                f"layer of the same size, {free.text}. Blue is above 0, orange below, white is 0.",
            ),
            Plot(
                svg=_six(bands),
                title="Bands",
                caption="Stride drops rows, dilation spreads the band, padding fixes how many rows there are "
                "and what their ends see. circular closes the band to a ring.",
            ),
            Table(
                title="The same numbers",
                columns=("band", "outputs", "largest difference of W x + b and the layer"),
                rows=[(name, len(bands[name]), f"{gap:.1e}") for name, gap in differences.items()],
                caption="One random input, in float64.",
            ),
            Plot(
                svg=_cone(fields),
                title="What one value sees",
                caption=f"Three layers of kernel 3: {', '.join(map(str, fields))} inputs. "
                + "; ".join(layer.sums["receptive_field"].split(":")[-1].strip() for layer in stack.layers)
                + ".",
            ),
            Table(
                title="MNIST-1D",
                columns=("network", "layer", "gives", "parameters", "multiply-adds"),
                rows=[
                    *rows,
                    ("convolutional", "all", "", f"{network.parameters:,}", f"{totals['conv_macs']:,}"),
                    ("fully connected", "all", "", f"{twin.parameters:,}", f"{totals['dense_macs']:,}"),
                ],
                caption="Input of 40 values, 10 classes; three layers of 15 filters of 3 at stride 2 and no "
                "padding, and a fully connected twin. sightline summary mnist1d_conv says the same.",
            ),
        ),
        numbers={
            "shared_parameters": shared.value,
            "free_parameters": free.value,
            "zeros_of_the_matrix": zeros,
            "largest_differences": differences,
            "receptive_fields": fields,
            **{f"mnist1d_{name}": value for name, value in totals.items()},
            "mnist1d_positions": [layer.output_shape[1] for layer in network.layers if layer.kind == "conv"],
        },
        notes=(
            "MNIST-1D itself is not here; the book reports about 17 % test error of the convolutional "
            "network and 40 % of the fully connected one after 100,000 steps (Prince 2023, section 10.2.7).",
        ),
    )


def _band(weights: tuple[float, ...], **how: Any) -> Any:
    """The matrix of a convolution: column j is what it makes of a 1 at place j. (outputs, inputs)."""
    import numpy as np

    from sightline.reference import correlate

    return correlate(np.eye(INPUTS)[:, None], [[weights]], **how)[:, 0].T


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, (*shape[1:], shape[0])))


def _beside(band: Any, dense: Any) -> str:
    from sightline.lab._drawn import Drawing, shades_of

    drawing, side = Drawing(), 34

    def said(value: float) -> str:
        return f"{value:.3g}" if value else ""

    x, _ = drawing.matrix(
        0, 0, band, side=side, title="convolution", shades=shades_of(band), text=said, size=11
    )
    drawing.matrix(
        x + 50, 0, dense, side=side, title="fully connected", shades=shades_of(dense), text="{:.1f}".format,
        size=11,
    )  # fmt: skip
    return drawing.svg("The banded matrix of a convolution beside the dense one of a fully connected layer")


def _six(bands: dict[str, Any]) -> str:
    from sightline.lab._drawn import Drawing, shades_of

    drawing, side = Drawing(), 21
    for k, (name, band) in enumerate(bands.items()):
        x, y = k % 4 * (INPUTS * side + 22), k // 4 * ((INPUTS + 1) * side + 30)
        title = f"{name}, {len(band)}x{INPUTS}"
        drawing.matrix(x, y, band, side=side, title=title, shades=shades_of(band), text=None)
    return drawing.svg("Banded matrices: valid, stride 2, dilation 2, circular, reflect, kernel 5")


def _cone(fields: list[int]) -> str:
    """Layers from the top down, and what the middle value of each sees."""
    from sightline.lab._drawn import Drawing

    drawing, step, high, wide = Drawing(), 46, 62, 11
    middle = wide // 2
    layers = [1, *fields]
    for depth in range(len(layers)):
        y = depth * high
        reach = (layers[depth] - 1) // 2
        for place in range(wide):
            inside = abs(place - middle) <= reach
            if inside and depth + 1 < len(layers):
                for tap in (-1, 0, 1):
                    drawing.line(
                        [(place * step, y + 11), ((place + tap) * step, y + high - 11)], tone="right"
                    )
            drawing.dot(place * step, y, 10, tone="right" if inside else "soft", hollow=not inside)
        name = f"layer {len(layers) - 1 - depth}" if depth + 1 < len(layers) else "input"
        drawing.words(wide * step, y + 5, f"{name}: {layers[depth]}", size=15)
    return drawing.svg("One value of the third layer sees 3 of the second, 5 of the first and 7 inputs")


ENTRY = Entry(
    name="one-dimension",
    title="Convolution in one dimension",
    slides="Weights, Omega: 1-D convolution beside a fully connected layer; stride, kernel size, dilation",
    about="In what way is a convolution a fully connected layer, and what does it save?",
    see="Its banded matrix beside the dense one, bands under stride, dilation and padding, and MNIST-1D in "
    "sums.",
    seconds=2,
    commands=(
        "sightline convolve 1,2,3,4,5 0.5,1,-0.75 --pad 0x1 --step",
        "sightline convolve 1,2,3,4,5,6,7 1,0,-1 --dilation 1x2",
        "sightline design 40x1 conv:15,k3,s2 relu conv:15,k3,s2 relu conv:15,k3,s2 relu fc:10",
        "sightline compare mnist1d_conv mnist1d_mlp",
    ),
    corrections=(
        Correction(
            says="Fully Connected: No spatial information",
            fact="A fully connected layer can do whatever a convolution does: the banded matrix is one of "
            "its own. It has to find the band, and what it finds holds at one place only.",
            evidence="W x + b equals the convolution to rounding, for every stride, dilation and padding here"
            "",
        ),
    ),
    plays=(
        Play(
            kind="slide",
            given={
                "input": ((1, 2, 3, 4, 5, 4, 3, 2, 1, 0),),
                "kernel": ((1, 0, -1),),
                "stride": 1,
                "pad": 0,
            },
        ),
        Play(kind="design", given={"line": f"40x1 {CONVOLUTIONAL}"}),
    ),
    run=_run,
)
