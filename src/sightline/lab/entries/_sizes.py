"""Sizes: every exercise of the slides, by the formula."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Play, Plot, Setting, Table

EXERCISES = (
    # slide, input, layer, the slide's answer (None: left open)
    ("Convolution layer", "32x32x3", "conv:1,k5", "28x28x1"),
    ("Six 5x5 filters", "32x32x3", "conv:6,k5", "28x28x6"),
    ("7x7 input, 3x3 filter", "7x7x1", "conv:1,k3", "5x5"),
    ("... with stride 2", "7x7x1", "conv:1,k3,s2", "3x3"),
    ("... with stride 3", "7x7x1", "conv:1,k3,s3", "doesn't fit"),
    ("... stride 1, pad 1", "7x7x1", "conv:1,k3,p1", "7x7"),
    ("F = 5, pad 2", "32x32x1", "conv:1,k5,p2", "32x32"),
    ("F = 7, pad 3", "32x32x1", "conv:1,k7,p3", "32x32"),
    ("5x5 filters again and again", "32x32x3", "conv:6,k5 conv:10,k5", "32, 28, 24"),
    ("8x8, 3x3, 'valid'", "8x8x1", "conv:1,k3", ""),
    ("Examples time: 10 5x5, pad 2", "32x32x3", "conv:10,k5,p2", "32x32x10, 760"),
    ("1x1 CONV with 32 filters", "56x56x64", "conv:32,k1", "56x56x32"),
)


def _run(setting: Setting) -> Page:
    from sightline.reference import design

    rows: list[tuple[str, str, str, str, str, int]] = []
    for slide, shape, layers, answer in EXERCISES:
        network = design(shape, layers.split())
        last = network.layers[-1]
        size = "x".join(map(str, (*last.output_shape[1:], last.output_shape[0])))
        rows.append((slide, f"{shape} {layers}", last.sums["height"], size, answer, network.parameters))
    unfit = design("7x7x1", ["conv:1,k3,s3"]).layers[0]
    example = design("32x32x3", ["conv:10,k5,p2"])
    return Page(
        sentences=(
            f"All {len(rows)} sizes of the slides follow from (N + 2P - F)/S + 1: 10 filters of 5x5 with "
            f"padding 2 on 32x32x3 give 32x32x10 and {example.parameters} parameters.",
            f"Where the division leaves a rest, as 7x7 by 3x3 at stride 3, libraries round down and do not "
            f"look at row and column {unfit.lost[0][0]}.",
        ),
        parts=(
            Table(
                title="The exercises",
                columns=("slide", "design", "rows", "output", "the slide says", "parameters"),
                rows=rows,
                caption="Each line is one call of `sightline design`.",
            ),
            Plot(
                svg=_which_fit(),
                title="Which sizes fit",
                caption="Outputs of a 3x3 window on inputs of 3 to 15. A dot: (N - 3)/S + 1 comes out; a "
                "ring: it is rounded down, and the last rows are not seen.",
            ),
        ),
        numbers={
            "exercises": [{"design": row[1], "output": row[3], "parameters": row[5]} for row in rows],
            "lost_rows": list(unfit.lost[0]),
        },
    )


def _which_fit() -> str:
    """Output against input, for strides 1, 2 and 3."""
    from sightline.lab._drawn import Drawing
    from sightline.reference import window_lost, window_output

    sizes, drawing, wide, high = range(3, 16), Drawing(), 36, 20
    top = window_output(sizes[-1], 3).value
    for output in range(1, top + 1, 2):
        y = (top - output) * high
        drawing.line([(0, y), ((len(sizes) - 1) * wide, y)], tone="rule", thickness=0.5)
        drawing.words(-20, y + 5, str(output), size=13, anchor="end", tone="soft")
    for k, size in enumerate(sizes):
        drawing.words(k * wide, top * high + 8, str(size), size=13, anchor="middle", tone="soft")
    for stride, tone in ((1, "soft"), (2, "right"), (3, "wrong")):
        places = [(k * wide, (top - window_output(n, 3, stride).value) * high) for k, n in enumerate(sizes)]
        drawing.line(places, tone=tone)
        for (x, y), size in zip(places, sizes, strict=True):
            if window_lost(size, 3, stride):
                drawing.dot(x, y, 6, tone="page")
                drawing.dot(x, y, 6, tone=tone, hollow=True)
            else:
                drawing.dot(x, y, 6, tone=tone)
        drawing.words(places[-1][0] + 18, places[-1][1] + 5, f"stride {stride}", size=15)
    drawing.words(
        (len(sizes) - 1) * wide / 2, top * high + 32, "N, input", size=13, anchor="middle", tone="soft"
    )
    return drawing.svg(
        "Output size by input size for strides 1, 2 and 3; rings where the stride does not fit"
    )


ENTRY = Entry(
    name="sizes",
    title="Sizes",
    slides="A closer look at spatial dimensions; Examples time; Summary of the conv layer",
    about="How large is what a layer makes, and how many numbers does it learn?",
    see="Every exercise of the slides, with its sum and the slide's own answer beside it.",
    seconds=2,
    commands=(
        "sightline design 32x32x3 conv:10,k5,p2",
        "sightline design 32x32x3 conv:10,k5,s2,p?",
        "sightline exercise sizes -n 20 --seed 1 -o sheet.html",
    ),
    corrections=(
        Correction(
            says="7x7 input, 3x3 filter, stride 3: doesn't fit!",
            fact="PyTorch and Keras apply it all the same, give 2x2, and leave row and column 6 unseen.",
            evidence="(7 - 3)/3 + 1 = 2.33, rounded down; sightline design 7x7x1 conv:1,k3,s3",
        ),
        Correction(
            says="F = 5, S = 2, P = ? (whatever fits)",
            fact="For an even input no padding equal on both sides fits: (N + 2P - 5)/2 needs an odd N.",
            evidence="2P is even and 5 is odd, so N + 2P - 5 is even only if N is odd",
        ),
    ),
    plays=(Play(kind="design", given={"line": "32x32x3 conv:10,k5,p2 relu pool:2"}),),
    run=_run,
)
