"""Pooling: the two slides in numbers, what it keeps of a picture, where gradients go."""

from __future__ import annotations

from typing import Any

from sightline.lab._entry import Correction, Entry, Listing, Page, Play, Plot, Setting, Table

SLIDE = ((4, 3, 1, 5), (1, 3, 4, 8), (4, 5, 4, 3), (6, 5, 9, 4))
INPUTS = (55, 27, 13, 112, 7, 28)
"""Sizes that 3x3 windows at stride 2 meet in networks."""


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.reference import (
        average_pool,
        average_pool_backward,
        matrix_text,
        max_pool,
        max_pool_backward,
        slide_pool,
    )

    image = np.array(SLIDE)
    largest, means = slide_pool(image, "max", (2, 2)), slide_pool(image, "avg", (2, 2))
    overlapping = max_pool(image[None, None], 3, 1)[0, 0]
    ones = np.ones((1, 1, 2, 2))
    gradients = {
        "max, 2x2": max_pool_backward(ones, image[None, None], 2)[0, 0],
        "average, 2x2": average_pool_backward(ones, image[None, None], 2)[0, 0],
        "max, 3x3 at stride 1": max_pool_backward(ones, image[None, None], 3, 1)[0, 0],
    }
    reached = {name: float((values > 0).mean()) for name, values in gradients.items()}
    sizes, lost = _sizes()
    setting.progress("pooling", 1, 3)
    maps = _feature_maps()
    feature = maps["the map"][None, None]
    back = max_pool_backward(np.ones_like(max_pool(feature, 2)), feature, 2)[0, 0]
    all_zero = float((max_pool(feature, 2) == 0).mean())
    photo_reached = float((back > 0).mean())
    setting.progress("pooling", 2, 3)
    strokes = _strokes()
    ink = {name: float(one.mean()) for name, one in strokes.items()}
    parameters = _parameters()
    mean_kept = float(average_pool(feature, 2).mean() / feature.mean())
    max_kept = float(max_pool(feature, 2).mean() / feature.mean())
    return Page(
        sentences=(
            f"Of the slide's 4x4, the largest of each 2x2 are {matrix_text(largest.output())} and the means "
            f"{matrix_text(means.output())}; of 3x3 windows that overlap, {matrix_text(overlapping)}.",
            f"Max pooling hands gradient to {reached['max, 2x2']:.0%} of its inputs, the winners, average "
            f"pooling an equal share to all; neither changes the parameters of a convolution "
            f"({parameters['nothing'][0]:,} with or without).",
        ),
        parts=(
            Plot(
                svg=_slides(image, largest.output(), means.output()),
                title="The two slides",
                caption="Each quarter gives one number: its largest, or its mean.",
            ),
            Listing(
                title="The sums",
                text="\n".join(step.text for slide in (largest, means) for step in slide.steps()),
                caption="As sightline convolve lecture-pool --step prints them.",
            ),
            Plot(
                svg=_gradients(image, gradients),
                title="Where gradients go",
                caption="Every output has a gradient of 1. Of a maximum, the winner takes it, and the others "
                "learn nothing; of a mean, each takes a quarter. Of windows that overlap, the 9 wins two.",
            ),
            Plot(
                svg=_pictures(maps),
                title="A feature map, pooled",
                caption="flower under edge-3 and ReLU. The maximum keeps thin lines and doubles what is "
                f"bright (mean {max_kept:.2f} of the map's); the mean blurs and keeps the mean "
                f"({mean_kept:.2f}).",
            ),
            Plot(
                svg=_ink(strokes),
                title="Brighter, or darker?",
                caption="The same digit twice: ink bright, then ink dark on bright paper. The maximum "
                f"thickens bright ink, {ink['bright']:.0%} to {ink['bright, pooled']:.0%}, and eats dark "
                f"ink, {ink['dark']:.0%} to {ink['dark, pooled']:.0%}.",
            ),
            Table(
                title="3x3 windows at stride 2",
                columns=("input", "2x2 at stride 2", "3x3, rounded down", "rounded up (ceil)", "rows unseen"),
                rows=sizes,
                caption="Windows of 3x3 that overlap are AlexNet's. Rounding down leaves a last row unseen "
                "where the division has a rest; rounding up lets a last window hang over the edge.",
            ),
            Table(
                title="Parameters",
                columns=(
                    "16, 32 filters of 3x3, with",
                    "parameters",
                    "and gap fc:10",
                    "and fc:10",
                    "multiply-adds",
                ),
                rows=[(name, *counts) for name, counts in parameters.items()],
                caption="gap is the mean of each map; multiply-adds are of the convolutions. What pooling "
                "saves is work; the parameters that shrink are those of a fully connected layer on what is "
                "left, and strides shrink them alike.",
            ),
        ),
        numbers={
            "max": largest.output().tolist(),
            "average": means.output().tolist(),
            "overlapping": overlapping.tolist(),
            "gradients": {name: values.tolist() for name, values in gradients.items()},
            "share_with_gradient": reached,
            "photograph_share_with_gradient": photo_reached,
            "photograph_windows_all_zero": all_zero,
            "photograph_mean_after_max": max_kept,
            "photograph_mean_after_average": mean_kept,
            "ink": ink,
            "sizes": {str(row[0]): list(row[1:4]) for row in sizes},
            "unseen_rows": lost,
            "parameters": {name: list(counts) for name, counts in parameters.items()},
        },
        notes=(
            f"Of the photograph's map, {photo_reached:.0%} of the values get gradient through 2x2 max "
            f"pooling; in {all_zero:.0%} of its windows all are 0, and the first is taken, whose ReLU then "
            "stops it.",
        ),
    )


def _sizes() -> tuple[list[tuple[int, int, int, int, str]], dict[str, list[int]]]:
    from sightline.reference import window_lost, window_output

    rows, lost = [], {}
    for n in INPUTS:
        down, up = window_output(n, 3, 2), window_output(n, 3, 2, ceil=True)
        unseen = window_lost(n, 3, 2)
        lost[str(n)] = list(unseen)
        rest = ", ".join(map(str, unseen)) or "none"
        rows.append((n, window_output(n, 2, 2).value, down.value, up.value, rest))
    return rows, lost


def _feature_maps() -> dict[str, Any]:
    """What an edge kernel and ReLU make of the flower, and what pooling makes of that."""
    import numpy as np

    from sightline.imaging import photograph
    from sightline.lab._drawn import grey, reduced
    from sightline.reference import average_pool, filter_image, kernel, max_pool, relu

    image = grey(reduced(photograph("flower"), 320))[:208, 56:264]  # both sides divide by 16
    found = relu(filter_image(image, kernel("edge-3").matrix)).astype(np.float64)
    maps = {"the map": found}
    for size in (4, 8):
        maps[f"max {size}x{size}"] = max_pool(found[None, None], size)[0, 0]
        maps[f"average {size}x{size}"] = average_pool(found[None, None], size)[0, 0]
    return maps


def _strokes() -> dict[str, Any]:
    """Ink, 0 to 1, of a digit drawn bright on dark and dark on bright, before and after max pooling."""
    from sightline.imaging import digits
    from sightline.reference import max_pool

    ink = digits()[0][0, 0] / 255
    pooled = max_pool(ink[None, None], 2)[0, 0]
    paper = max_pool(1 - ink[None, None], 2)[0, 0]
    return {"bright": ink, "bright, pooled": pooled, "dark": ink, "dark, pooled": 1 - paper}


def _parameters() -> dict[str, tuple[int, int, int, int]]:
    """Of each way to shrink: convolutions, with fc on means, with fc on everything; multiply-adds."""
    from sightline.reference import design

    lines = {
        "nothing": "conv:16,k3,p1 conv:32,k3,p1",
        "max pooling, 2x2": "conv:16,k3,p1 pool:2 conv:32,k3,p1 pool:2",
        "stride 2": "conv:16,k3,p1,s2 conv:32,k3,p1,s2",
    }
    found = {}
    for name, line in lines.items():
        body = design("32x32x3", line)
        macs = sum(layer.macs for layer in body.layers)
        with_means = design("32x32x3", f"{line} gap fc:10").parameters
        found[name] = (body.parameters, with_means, design("32x32x3", f"{line} fc:10").parameters, macs)
    return found


def _slides(image: Any, largest: Any, means: Any) -> str:
    import numpy as np

    from sightline.lab._drawn import Drawing, Frame

    drawing, side = Drawing(), 44
    quarter = [[0.5, -0.5], [-0.5, 0.5]]
    shades = np.kron(quarter, np.ones((2, 2)))
    winners = {
        (2 * r + int(k) // 2, 2 * c + int(k) % 2)
        for r in range(2)
        for c in range(2)
        for k in [np.argmax(image[2 * r : 2 * r + 2, 2 * c : 2 * c + 2])]
    }
    frames = [Frame(r, c, 2, 2, "soft") for r in (0, 2) for c in (0, 2)]
    x, _ = drawing.matrix(0, 0, image, side=side, title="4x4", shades=shades, frames=frames, strong=winners)
    x, _ = drawing.matrix(x + 50, side, largest, side=side, title="max 2x2", shades=quarter)
    drawing.matrix(x + 50, side, means, side=side, title="average 2x2", shades=quarter)
    return drawing.svg("A 4x4 map, its four maxima 4, 8, 6, 9 and its four means 2.75, 4.5, 5, 5")


def _gradients(image: Any, gradients: dict[str, Any]) -> str:
    from sightline.lab._drawn import Drawing

    drawing, side = Drawing(), 38
    x, _ = drawing.matrix(0, 0, image, side=side, title="the input")
    for name, values in gradients.items():
        x, _ = drawing.matrix(x + 36, 0, values, side=side, title=name, shades=values * 0.7)
    return drawing.svg(
        "Gradients of a 4x4 input under max pooling, average pooling and overlapping max pooling"
    )


def _pictures(maps: dict[str, Any]) -> str:
    import numpy as np

    from sightline.lab._drawn import Drawing

    drawing, width = Drawing(), 270.0
    for k, (name, values) in enumerate(maps.items()):
        column, row = (1 + (k - 1) % 2, (k - 1) // 2) if k else (0, 0)
        x, y = column * (width + 20), row * (width + 36)
        drawing.words(x, y + 14, f"{name}, {values.shape[0]}x{values.shape[1]}", tone="soft")
        drawing.picture(x, y + 22, width, np.clip(values, 0, 255).astype(np.uint8))
    return drawing.svg("A map of edges and what max and average pooling make of it")


def _ink(strokes: dict[str, Any]) -> str:
    import numpy as np

    from sightline.lab._drawn import Drawing

    drawing, width, x = Drawing(), 190.0, 0.0
    for name, ink in strokes.items():
        shown = 1 - ink if name.startswith("dark") else ink
        drawing.words(x, 14, name, tone="soft")
        drawing.picture(x, 22, width, np.rint(255 * shown).astype(np.uint8))
        drawing.box(x, 22, width, width, line="rule")
        drawing.words(x, width + 42, f"{ink.mean():.0%} ink", size=15)
        x += width + 22
    return drawing.svg("A digit bright on dark and dark on bright, each before and after max pooling")


ENTRY = Entry(
    name="pooling",
    title="Pooling",
    slides="Pooling layer; Max Pooling; Average Pooling; Strides vs Pooling",
    about="What does pooling keep, what does it save, and which inputs learn through it?",
    see="Both slides in numbers, a photograph's map pooled, the gradients, and windows that overlap.",
    seconds=4,
    commands=(
        "sightline convolve lecture-pool --step",
        "sightline convolve lecture-pool --pool avg:2",
        "sightline convolve lecture-pool --pool max:3,s1",
        "sightline design 55x55x96 pool:3,s2",
        "sightline exercise pooling -n 20 --seed 1 -o sheet.html",
    ),
    corrections=(
        Correction(
            says="Pooling reduces the computational complexity and the number of parameters.",
            fact="It reduces work. It has no parameters, and a convolution's do not depend on the size of "
            "its map; only fully connected layers on what is left shrink.",
            evidence="5,088 parameters in two convolutions with pooling, with strides and with neither; "
            "sightline design counts them",
        ),
        Correction(
            says="Max Pooling - Selects the brighter pixels from the image.",
            fact="The larger values: bright pixels of an image, strong answers of a feature map. Dark ink on "
            "bright paper it erases.",
            evidence="one digit, 2x2: bright ink grows from 29 % to 54 %, dark ink shrinks from 29 % to 4 %",
        ),
        Correction(
            says="Pooling: no difficulties with propagating gradients.",
            fact="Of max pooling only the winner of each window gets gradient; of average pooling all alike.",
            evidence="1 of 4 inputs of the slide's 2x2 windows, 3 of 16 with 3x3 at stride 1",
        ),
    ),
    plays=(
        Play(kind="pool", given={"input": SLIDE, "pool": "max", "size": 2, "stride": 2}),
        Play(kind="pool", given={"input": SLIDE, "pool": "avg", "size": 2, "stride": 2}),
        Play(kind="pool", given={"input": SLIDE, "pool": "max", "size": 3, "stride": 1}),
        Play(kind="design", given={"line": "32x32x3 conv:16,k3,p1 pool:2 conv:32,k3,p1 pool:2 fc:10"}),
    ),
    run=_run,
)
