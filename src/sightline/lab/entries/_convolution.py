"""Convolution: the slide's example by hand, and what the formula says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Correction, Entry, Listing, Page, Play, Plot, Setting, Table

if TYPE_CHECKING:
    from sightline.reference import Slide

IMAGE = ((1, 1, 1, 0, 0), (0, 1, 1, 1, 0), (0, 0, 1, 1, 1), (0, 0, 1, 1, 0), (0, 1, 1, 0, 0))
KERNEL = ((1, 0, 1), (0, 1, 0), (1, 0, 1))
COUNTING = ((1, 2, 3), (4, 5, 6), (7, 8, 9))
"""A kernel that a half turn changes."""
RING = ((0, 1, 1, 0), (1, 0, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0))
"""A filter of 4x4: a ring."""
EDGE = ((0, 0, 0, 0, 9, 9, 9, 9),) * 8
RISE = ((-1, 0, 1),) * 3


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.imaging import digits
    from sightline.reference import convolve, correlate, matrix_text, slide_kernel

    image, kernel = np.array(IMAGE), np.array(KERNEL)
    slide = slide_kernel(image, kernel)
    output = slide.output()

    impulse, counting = np.zeros((5, 5), np.int64), np.array(COUNTING)
    impulse[2, 2] = 1
    laid = correlate(impulse[None, None], counting[None, None])[0, 0]
    turned = convolve(impulse[None, None], counting[None, None])[0, 0]
    own_difference = int(np.abs(slide_kernel(image, kernel, flip=True).output() - output).max())
    row_laid = correlate([[[0, 0, 9, 9, 9, 0, 0]]], [[[-1, 0, 1]]])[0, 0]
    row_turned = convolve([[[0, 0, 9, 9, 9, 0, 0]]], [[[-1, 0, 1]]])[0, 0]

    digit = np.rint(digits()[0][0, 0] * (16 / 255)).astype(np.int64)
    patches = slide_kernel(digit, np.array(RING), stride=(2, 2))
    printed = np.array([[_neuron(digit, p, q, 1) for q in range(3)] for p in range(3)])
    strided = np.array([[_neuron(digit, p, q, 2) for q in range(3)] for p in range(3)])
    agree = int((printed == patches.output()).sum())

    valid = slide_kernel(np.array(EDGE), np.array(RISE))
    sums = {"the slide's": kernel.sum(), "a vertical edge": np.array(RISE).sum(), "box blur, 1/9": 1}
    bright = {name: int(9 * total) for name, total in sums.items()}
    return Page(
        sentences=(
            "A window of 3x3 has 3x3 places on an image of 5x5; at each, nine products are added up, and "
            f"the result is {matrix_text(output)}.",
            "Layers lay the kernel on as it is; the formula of convolution turns it first. On the slide's "
            f"own kernel the two differ by {own_difference}, on an edge kernel in every sign.",
        ),
        parts=(
            Plot(
                svg=_first_step(slide),
                title="One step",
                caption="The first window, the kernel, their products, and the sum.",
            ),
            Plot(
                svg=_all_steps(slide),
                title="Every step",
                caption="Where the window lies is where its sum goes. Cells under a weight of 1 are shaded.",
            ),
            Listing(
                title="The nine sums",
                text="\n".join(f"row {one.row}, column {one.column}:  {one.text}" for one in slide.steps()),
                caption="Pixel times weight, as sightline convolve lecture-5x5 --step prints them.",
            ),
            Plot(
                svg=_impulse(impulse, counting, laid, turned),
                title="Laid on, or turned",
                caption="A single 1 shows what an operation does: cross-correlation, which layers compute, "
                "leaves the kernel turned by half a turn; convolution, as the slide writes it, leaves it as "
                "it is. Weights are learned, so that networks do not care.",
            ),
            Table(
                title="Where it matters",
                columns=("", "answer of -1 0 1 on 0 0 9 9 9 0 0"),
                rows=(
                    ("cross-correlation, a layer", " ".join(map(str, row_laid.tolist()))),
                    ("convolution, the formula", " ".join(map(str, row_turned.tolist()))),
                ),
                caption="Every sign is turned: what a layer calls a rise, the formula calls a fall.",
            ),
            Plot(
                svg=_patches(patches, printed),
                title="A 4x4 filter, shifted by 2",
                caption=f"Feature extraction: 16 weights, the same for each patch of a digit of 8x8. The "
                f"formula of the neurons has x(i+p, j+q), which shifts by 1; a shift of 2 needs "
                f"x(i+2p, j+2q). Of the 9 neurons, the formula as printed gives {agree} right: number 0, 0.",
            ),
            Plot(
                svg=_valid(valid),
                title="8x8, 3x3, valid",
                caption="The window stays inside: (8 - 3)/1 + 1 = 6 places a side. The slide gives the sizes "
                "alone; a vertical edge stands in.",
            ),
            Table(
                title="An average?",
                columns=("kernel", "sum of weights", "answer on a window of nines"),
                rows=[(name, int(total), bright[name]) for name, total in sums.items()],
                caption="Only weights that add up to 1 and are nowhere negative give a mean.",
            ),
        ),
        numbers={
            "output": output.tolist(),
            "differs_when_turned": own_difference,
            "impulse_correlated": laid.tolist(),
            "impulse_convolved": turned.tolist(),
            "edge_correlated": row_laid.tolist(),
            "edge_convolved": row_turned.tolist(),
            "filter_weights": int(np.size(RING)),
            "shifted_by_2": patches.output().tolist(),
            "by_the_printed_formula": printed.tolist(),
            "by_the_formula_with_2p": strided.tolist(),
            "neurons_the_printed_formula_gets_right": agree,
            "valid_8x8": valid.output().tolist(),
            "answers_on_nines": bright,
        },
    )


def _neuron(image: Any, p: int, q: int, shift: int) -> int:
    """The formula of the slide for neuron (p, q), with x(i + shift*p, j + shift*q); indices from 0."""
    return int(
        sum(
            RING[i][j] * image[i + shift * p][j + shift * q]
            for i in range(len(RING))
            for j in range(len(RING))
        )
    )


def _first_step(slide: Slide) -> str:
    from sightline.lab._drawn import Drawing, Frame

    assert slide.kernel is not None
    step = next(slide.steps())
    assert step.products is not None
    drawing, side = Drawing(), 40
    middle = 21 + 2.5 * side
    x, _ = drawing.matrix(0, 0, slide.source, side=side, title="image", frames=[Frame(0, 0, 3, 3)])
    x += 18
    for sign, matrix, title in (
        ("", step.window, "window"),
        ("x", slide.kernel, "kernel"),
        ("=", step.products, "products"),
    ):
        if sign:
            drawing.words(x + 4, middle + 8, sign, size=24, tone="soft")
            x += 28
        shades = matrix * 0.5 if title != "window" else None
        x, _ = drawing.matrix(x, side, matrix, side=side, title=title, shades=shades)
        x += 12
    drawing.words(x + 2, middle + 8, f"sum  {step.value:g}", size=24, bold=True)
    return drawing.svg(f"First step: {step.text}")


def _all_steps(slide: Slide) -> str:
    from sightline.lab._drawn import Drawing, Frame

    assert slide.kernel is not None
    drawing, side, gap = Drawing(), 28, 58
    output = slide.output()
    rows, columns = slide.size
    for step in slide.steps():
        left, top = step.column * (5 * side + gap), step.row * (5 * side + gap + 6)
        shades = [[0.0] * 5 for _ in range(5)]
        for i in range(rows):
            for j in range(columns):
                shades[step.row + i][step.column + j] = 0.5 * float(slide.kernel[i, j])
        x, bottom = drawing.matrix(
            left, top, slide.source, side=side, shades=shades, frames=[Frame(step.row, step.column, 3, 3)]
        )
        drawing.words(x + 16, bottom + 21, f"{step.value:g}", size=20, bold=True)
        products = (
            "+".join(f"{v:g}" for v in step.products.ravel().tolist()) if step.products is not None else ""
        )
        drawing.words(left, bottom + 20, f"{products} =", size=11.5, tone="soft")
    left = 3 * (5 * side + gap) + 6
    drawing.matrix(left, 5 * side + gap + 6, output, side=46, title="convolved feature", shades=output * 0.12)
    return drawing.svg("Nine positions of the window, each with its sum")


def _impulse(impulse: Any, kernel: Any, laid: Any, turned: Any) -> str:
    from sightline.lab._drawn import Drawing, shades_of

    drawing, side = Drawing(), 34
    x, _ = drawing.matrix(0, 0, impulse, side=side, title="image", shades=impulse)
    for matrix, title in ((kernel, "kernel"), (laid, "cross-correlation"), (turned, "convolution")):
        x, _ = drawing.matrix(x + 44, side, matrix, side=side, title=title, shades=shades_of(matrix))
    return drawing.svg("An impulse, a kernel, and what cross-correlation and convolution make of them")


def _patches(slide: Slide, printed: Any) -> str:
    from sightline.lab._drawn import Drawing, Frame

    assert slide.kernel is not None
    drawing, side = Drawing(), 30
    frames = [
        Frame(0, 0, 4, 4),
        Frame(0, 2, 4, 4, "wrong", dashed=True),
        Frame(2, 0, 4, 4, "wrong", dashed=True),
    ]
    x, _ = drawing.matrix(
        0, 0, slide.source, side=side, title="a digit, 0 to 16", shades=slide.source / 32, frames=frames
    )
    x, _ = drawing.matrix(
        x + 34, 2 * side, slide.kernel, side=side, title="filter", shades=slide.kernel * 0.5
    )
    output = slide.output()
    wrong = {(r, c) for r in range(3) for c in range(3) if printed[r, c] != output[r, c]}
    x, _ = drawing.matrix(x + 34, 2 * side, output, side=44, title="shifted by 2")
    drawing.matrix(x + 34, 2 * side, printed, side=44, title="as printed", hatched=wrong)
    return drawing.svg("A filter of 4x4 over a digit, shifted by 2, and what the printed formula gives")


def _valid(slide: Slide) -> str:
    from sightline.lab._drawn import Drawing, Frame, shades_of

    assert slide.kernel is not None
    drawing, side = Drawing(), 30
    x, _ = drawing.matrix(
        0, 0, slide.source, side=side, title="8x8", shades=slide.source / 18, frames=[Frame(0, 0, 3, 3)]
    )
    x, _ = drawing.matrix(
        x + 34, 2.5 * side, slide.kernel, side=side, title="3x3", shades=shades_of(slide.kernel)
    )
    output = slide.output()
    drawing.matrix(
        x + 34, side, output, side=side, title="6x6", shades=shades_of(output), frames=[Frame(0, 0, 1, 1)]
    )
    return drawing.svg("A 3x3 kernel on 8x8 gives 6x6")


ENTRY = Entry(
    name="convolution",
    title="Convolution by hand",
    slides="Using Spatial Structure; Feature Extraction with Convolution; Convolution operation; "
    "Convolutional Layers: Local Connectivity; 8x8, 3x3, valid",
    about="What does a kernel do at each place, and is it what the formula of convolution says?",
    see="The slide's 5x5 example step by step, kernels laid on and turned, a 4x4 filter shifted by 2, and "
    "8x8 valid.",
    seconds=4,
    commands=(
        "sightline convolve lecture-5x5 --step",
        "sightline convolve 0,0,9,9,9,0,0 '[[-1,0,1]]' --true",
        "sightline convolve digit:0 '0,1,1,0;1,0,0,1;1,0,0,1;0,1,1,0' --stride 2",
        "sightline convolve lecture-8x8",
        "sightline exercise convolution -n 20 --seed 1 -o sheet.html",
    ),
    corrections=(
        Correction(
            says="f[x,y] * g[x,y] = sum over n1, n2 of f[n1,n2] g[x-n1, y-n2]",
            fact="That is true convolution, which turns the kernel by half a turn; convolutional layers "
            "compute cross-correlation, without the turn.",
            evidence="-1 0 1 on 0 0 9 9 9 0 0: 9 9 0 -9 -9 laid on, -9 -9 0 9 9 by the formula; Goodfellow, "
            "Bengio and Courville 2016, section 9.1",
        ),
        Correction(
            says="This operation blends the pixels within a local region to produce a single average output.",
            fact="That is true of blur kernels alone, whose weights are positive and add up to 1.",
            evidence="on a window of nines the slide's kernel answers 45 and an edge kernel 0",
        ),
        Correction(
            says="sum of w_ij x_(i+p, j+q) + b for neuron (p,q), of the filter that is shifted by 2 pixels",
            fact="The formula is of stride 1; shifted by 2, neuron (p,q) sees x_(i+2p, j+2q).",
            evidence="on a digit, a 4x4 filter shifted by 2: of 9 neurons the printed formula gets one "
            "right, number 0, 0; with 2p and 2q all of them",
        ),
    ),
    plays=(
        Play(kind="slide", given={"input": IMAGE, "kernel": KERNEL, "stride": 1, "pad": 0}),
        Play(kind="slide", given={"input": EDGE, "kernel": RISE, "stride": 1, "pad": 0}),
    ),
    run=_run,
)
