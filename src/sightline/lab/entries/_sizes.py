"""Sizes: every exercise of the slides, by the formula."""

from __future__ import annotations

from sightline.lab._entry import Correction, Entry, Page, Play, Setting, Table

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
    ("Examples time: 10 5x5, pad 2", "32x32x3", "conv:10,k5,p2", "32x32x10, 760 parameters"),
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
        ),
        numbers={
            "exercises": [{"design": row[1], "output": row[3], "parameters": row[5]} for row in rows],
            "lost_rows": list(unfit.lost[0]),
        },
    )


ENTRY = Entry(
    name="sizes",
    title="Sizes",
    slides="A closer look at spatial dimensions; Examples time; Summary of the conv layer",
    about="How large is what a layer makes, and how many numbers does it learn?",
    see="Every exercise of the slides, with its sum and the slide's own answer beside it.",
    seconds=1,
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
