"""Stride: the 7x7 grid with what no window covers, and the same loss in real networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Correction, Entry, Page, Play, Plot, Setting, Table

if TYPE_CHECKING:
    from sightline.reference import Design

SIZE, KERNEL = 7, 3
ANSWERS = {1: "5x5", 2: "3x3", 3: "doesn't fit!"}
"""The slide's."""
NETWORKS = {
    # what slides over the image, up to the last map; branches alike in size are left out
    "lecture_cnn": "28x28x1 conv:64,k7,p3 pool:2 conv:128,k3,p1 conv:128,k3,p1 pool:2 conv:256,k3,p1 "
    "conv:256,k3,p1 pool:2",
    "lecture_cnn_2": "28x28x1 conv:32,k3 pool:2 conv:64,k3 pool:2",
    "mnist1d_conv": "40x1 conv:15,k3,s2 conv:15,k3,s2 conv:15,k3,s2",
    "lenet5": "32x32x1 conv:6,k5 avgpool:2 conv:16,k5 avgpool:2",
    "alexnet_lecture": "227x227x3 conv:96,k11,s4 pool:3,s2 conv:256,k5,p2 pool:3,s2 conv:384,k3,p1 "
    "conv:384,k3,p1 conv:256,k3,p1 pool:3,s2",
    "alexnet": "224x224x3 conv:64,k11,s4,p2 pool:3,s2 conv:192,k5,p2 pool:3,s2 conv:384,k3,p1 "
    "conv:256,k3,p1 conv:256,k3,p1 pool:3,s2",
    "squeezenet1_1": "224x224x3 conv:64,k3,s2 pool:3,s2,ceil conv:128,k3,p1 conv:128,k3,p1 pool:3,s2,ceil "
    "conv:256,k3,p1 conv:256,k3,p1 pool:3,s2,ceil conv:512,k3,p1",
    "resnet18": "224x224x3 conv:64,k7,s2,p3 pool:3,s2,p1 conv:64,k3,p1 conv:128,k3,s2,p1 conv:256,k3,s2,p1 "
    "conv:512,k3,s2,p1",
}


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.reference import (
        correlate,
        design,
        fitting_sizes,
        max_pool,
        window_lost,
        window_output,
    )

    ones = np.ones((1, 1, SIZE, SIZE), np.int64)
    weights = np.ones((1, 1, KERNEL, KERNEL), np.int64)
    rows, outputs = [], {}
    for stride, answer in ANSWERS.items():
        fits = window_output(SIZE, KERNEL, stride)
        same = correlate(ones, weights, stride=stride, padding="same").shape[2]
        ceil = max_pool(ones, KERNEL, stride, ceil_mode=True).shape[2]
        lost = window_lost(SIZE, KERNEL, stride)
        outputs[str(stride)] = {"floor": fits.value, "same": same, "ceil": ceil, "lost": list(lost)}
        unseen = ", ".join(map(str, lost)) or "none"
        rows.append((stride, fits.text, answer, fits.value, same, ceil, unseen))
    below, above = fitting_sizes(SIZE, KERNEL, 3)
    draws = np.random.default_rng(setting.seed).integers(-9, 10, (1, 1, SIZE, SIZE))
    picked = correlate(draws, weights)[:, :, ::2, ::2]
    apart = int(np.abs(picked - correlate(draws, weights, stride=2)).max())
    seen = 1 - (1 - len(window_lost(SIZE, KERNEL, 3)) / SIZE) ** 2
    networks = {name: _network(name, design(*line.split(" ", 1))) for name, line in NETWORKS.items()}
    losers = [name for name, one in networks.items() if one["lost_rows"]]
    unfit = [name for name, one in networks.items() if one["unfit"]]
    unseen_1x1 = window_lost(8, 1, 2)
    lost_rows = outputs["3"]["lost"]
    return Page(
        sentences=(
            f"3x3 on 7x7 at strides 1, 2, 3 gives {', '.join(str(outputs[s]['floor']) for s in outputs)} a "
            "side: at stride 3 libraries round 2.33 down to 2 and never look at row and column "
            f"{lost_rows[0]}, {seen:.0%} of the pixels.",
            f"By the slide's rule {len(unfit)} of {len(networks)} networks here could not be applied; "
            f"{len(losers)} of them lose pixels: {', '.join(losers)}.",
        ),
        parts=(
            Plot(
                svg=_grids(),
                title="Doesn't fit",
                caption="Windows of 3x3 on 7x7. Each bar is a place of the window along a side; the dashed "
                "one would reach beyond. Hatched: what no window covers.",
            ),
            Table(
                title="7x7, 3x3",
                columns=(
                    "stride", "(N - F)/stride + 1", "the slide says", "rounded down", "same", "ceil pooling",
                    "rows unseen",
                ),
                rows=rows,
                caption=f"Rounded down: PyTorch, and Keras with valid. At stride 3, inputs of {below} and "
                f"{above} fit.",
            ),
            Plot(
                svg=_smaller(),
                title="Downsampling",
                caption="china under a Gaussian blur at strides 1, 2, 4, 8. A stride of s computes every "
                f"s-th value of stride 1 and no other: the two differ by {apart}.",
            ),
            Plot(
                svg=_stripes(),
                title="What a stride can miss",
                caption="A kernel smaller than its stride leaves gaps: 1x1 at stride 2, the shortcut of many "
                f"ResNets, sees no row {', '.join(map(str, unseen_1x1))} of 8, and fine stripes vanish.",
            ),
            Table(
                title="Real networks",
                columns=("network", "layers that do not fit", "the first of them", "rows of the input lost"),
                rows=[
                    (
                        name,
                        len(one["unfit"]),
                        one["unfit"][0] if one["unfit"] else "",
                        _span(one["lost_rows"]) or "none",
                    )
                    for name, one in networks.items()
                ],
                caption="Where the rest lies in the padding nothing is lost, as in ResNet; where it does "
                "not, a border of the image never reaches the answer. sightline summary NAME --strict makes "
                "that an error.",
            ),
        ),
        numbers={
            "outputs": outputs,
            "share_unseen_at_stride_3": seen,
            "fitting_sizes": [below, above],
            "difference_to_every_second_value": apart,
            "unseen_by_1x1_at_stride_2": list(unseen_1x1),
            "networks": networks,
        },
        notes=("Of each network the layers of one path are counted; branches alike in size are left out.",),
    )  # fmt: skip


def _network(name: str, network: Design) -> dict[str, Any]:
    """Layers whose division has a rest, and the rows of the image that never reach the last map."""
    unfit = []
    rows = set(range(network.layers[-1].output_shape[1]))
    for layer in reversed(network.layers):
        assert layer.kernel_size is not None
        assert layer.stride is not None
        assert layer.padding is not None
        size, (before, after) = layer.input_shape[1], layer.padding[0]
        kernel, stride = layer.kernel_size[0], layer.stride[0]
        if (size + before + after - kernel) % stride and not layer.ceil:
            unfit.append(f"{layer.layer}: {next(iter(layer.sums.values()))}")
        reached = {row * stride - before + tap for row in rows for tap in range(kernel)}
        rows = reached & set(range(size))
    lost = sorted(set(range(network.layers[0].input_shape[1])) - rows)
    return {"unfit": unfit[::-1], "lost_rows": lost}


def _span(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows)) if len(rows) < 3 else f"{rows[0]} to {rows[-1]}"


def _grids() -> str:
    import numpy as np

    from sightline.lab._drawn import Drawing, Frame
    from sightline.reference import window_lost, window_output

    drawing, side, x = Drawing(), 30, 0.0
    for stride in ANSWERS:
        lost = window_lost(SIZE, KERNEL, stride)
        hatched = {(r, c) for r in range(SIZE) for c in range(SIZE) if r in lost or c in lost}
        count = window_output(SIZE, KERNEL, stride).value
        frames = [Frame(0, 0, KERNEL, KERNEL)]
        if lost:
            frames.append(Frame(0, count * stride, KERNEL, KERNEL, "wrong", dashed=True))
        right, bottom = drawing.matrix(
            x, 0, np.zeros((SIZE, SIZE)), side=side, title=f"stride {stride}: {count}x{count}", text=None,
            hatched=hatched, frames=frames,
        )  # fmt: skip
        for k in range(count + bool(lost)):
            y, start = bottom + 10 + 9 * k, x + k * stride * side
            drawing.line(
                [(start + 3, y), (start + KERNEL * side - 3, y)], tone="right" if k < count else "wrong",
                thickness=4, dashed=k == count,
            )  # fmt: skip
        x = right + 70
    return drawing.svg(
        "A 7x7 grid under a 3x3 window at strides 1, 2 and 3; at 3 the last row and column are bare"
    )


def _smaller() -> str:
    import numpy as np

    from sightline.imaging import photograph
    from sightline.lab._drawn import Drawing, grey, reduced
    from sightline.reference import filter_image, kernel

    blurred = filter_image(grey(reduced(photograph("china"), 320)), kernel("gaussian").matrix)
    drawing, width = Drawing(), 215.0
    for k, stride in enumerate((1, 2, 4, 8)):
        values = blurred[::stride, ::stride]
        x = k * (width + 16)
        drawing.words(x, 14, f"stride {stride}: {values.shape[0]}x{values.shape[1]}", tone="soft")
        drawing.picture(x, 22, width, np.rint(values).astype(np.uint8))
        drawing.words(
            x, width * 0.67 + 44, f"{values.size:,} values, {values.size / blurred.size:.1%}", size=13
        )
    return drawing.svg("A photograph blurred at strides 1, 2, 4 and 8")


def _stripes() -> str:
    from sightline.lab._drawn import Drawing, shades_of
    from sightline.reference import correlate

    row, drawing, side = [0, 9] * 4, Drawing(), 34
    x, _ = drawing.matrix(
        0,
        0,
        [row],
        side=side,
        title="stripes",
        shades=shades_of([row]),
        hatched={(0, c) for c in (1, 3, 5, 7)},
    )
    answers = {
        "1x1, stride 2": correlate([[row]], [[[1]]], stride=2)[0],
        "mean of 2, stride 2": correlate([[row]], [[[0.5, 0.5]]], stride=2)[0],
    }
    for name, answer in answers.items():
        x, _ = drawing.matrix(x + 36, 0, answer, side=side, title=name, shades=answer / 9)
    return drawing.svg("Stripes of one pixel under 1x1 at stride 2, which answers 0, and under a mean of 2")


ENTRY = Entry(
    name="stride",
    title="Stride",
    slides="A closer look at spatial dimensions: 7x7 input, 3x3 filter, stride 1, 2, 3; Strides vs Pooling",
    about="What happens to the pixels where a stride does not fit?",
    see="The 7x7 grid with its windows and what they leave bare, and which networks lose pixels that way.",
    seconds=5,
    commands=(
        "sightline design 7x7x1 conv:1,k3,s3 --strict",
        "sightline design 7x7x1 conv:1,k3,s3,p?",
        "sightline summary lecture_cnn_2 --strict",
        "sightline summary resnet18 --strict",
        "sightline design 7x7x1 pool:3,s3,ceil",
    ),
    corrections=(
        Correction(
            says="7x7 input, 3x3 filter, stride 3: doesn't fit! cannot apply",
            fact="Libraries apply it: PyTorch, and Keras with valid, give 2x2 and drop row and column 6; "
            "Keras with same, and pooling with ceil, give 3x3. Nothing fails, and nothing is said.",
            evidence="(7 - 3)/3 + 1 = 2.33; by the slide's rule ResNet's first layer could not be applied "
            "either: (224 + 2*3 - 7)/2 + 1 = 112.5",
        ),
        Correction(
            says="Conv2D(64, 3), MaxPool2D(pool_size=2, strides=2), on 28x28",
            fact="Its last pooling does not fit: rows and columns 26 and 27 of every image never reach the "
            "answer.",
            evidence="(11 - 2)/2 + 1 = 5.5 -> 5; sightline summary lecture_cnn_2 --strict",
        ),
    ),
    plays=(
        Play(
            kind="slide",
            given={
                "input": tuple(tuple(SIZE * r + c for c in range(SIZE)) for r in range(SIZE)),
                "kernel": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
                "stride": 3,
                "pad": 0,
            },
        ),
        Play(kind="design", given={"line": "7x7x1 conv:1,k3,s3"}),
    ),
    run=_run,
)
