"""Padding: what it keeps, what it costs at the border, what else can be put there."""

from __future__ import annotations

from typing import Any

from sightline.lab._entry import Correction, Entry, Page, Play, Plot, Setting, Table

MODES = ("zeros", "reflect", "replicate", "circular")
SIZES = (7, 8, 28, 32, 224)
KERNELS = (3, 5, 7)
DEEP = 16
"""Layers of 3x3 whose padding is followed."""


def _run(setting: Setting) -> Page:
    from sightline.imaging import photograph
    from sightline.lab._drawn import grey
    from sightline.reference import filter_image, fitting_paddings, kernel, pad, window_output

    rule = []
    for k in KERNELS:
        fits = fitting_paddings(32, k, output=32)
        kept = window_output(32, k, padding=(k - 1) // 2)
        rule.append(
            (f"{k}x{k}", window_output(32, k).text, f"({k} - 1)/2 = {(k - 1) // 2}", kept.text, len(fits))
        )
    even = fitting_paddings(32, 4, output=32)
    strided = window_output(32, 5, 2, 2)
    sizes = [32]
    while sizes[-1] >= 5:
        sizes.append(window_output(sizes[-1], 5).value)
    touched = {n: {k: _touched(n, k) for k in KERNELS} for n in SIZES}
    zeros = {n: {k: _zeros(n, k) for k in KERNELS} for n in SIZES}
    through = _through(32, DEEP)
    modes = {mode: pad([[[1, 2, 3, 4, 5]]], 2, mode)[0, 0].tolist() for mode in MODES}
    image, mean = grey(photograph("china")), kernel("box:5").matrix
    edge = {mode: float(filter_image(image, mean, padding=mode)[0, 2:-2].mean()) for mode in MODES}
    inside = float(image[0, 2:-2].mean())
    return Page(
        sentences=(
            f"Padding of (F - 1)/2 keeps the size at stride 1 and odd F; without it 5x5 filters take 32 to "
            f"{', '.join(map(str, sizes[1:]))} in {len(sizes) - 1} layers, and no further filter fits.",
            f"The price is at the border: with 3x3, {touched[224][3]:.1%} of a map of 224x224 has seen zeros "
            f"and {touched[7][3]:.0%} of one of 7x7; after {DEEP} layers of 3x3 on 32x32, {through[-1]:.0%}.",
        ),
        parts=(
            Plot(
                svg=_corner(),
                title="7x7, 3x3, pad 1",
                caption="One ring of zeros, and the window begins on it: 7 places a side instead of 5. "
                "Coloured: outputs whose window holds zeros of the padding.",
            ),
            Table(
                title="The rule",
                columns=("F", "without, of 32", "P", "with it", "paddings that keep 32"),
                rows=rule,
                caption=f"For each odd F one padding keeps the size. Of an even F none does that is alike on "
                f"both sides: for F = 4 there are {len(even)}. With stride 2, F = 5 and P = 2: "
                f"{strided.text}.",
            ),
            Plot(
                svg=_shrinking(sizes),
                title="Shrinking",
                caption="5x5 filters again and again, without padding: the slide's 32, 28, 24 and on, to "
                "scale.",
            ),
            Table(
                title="What the border costs",
                columns=(
                    "map",
                    *(f"{k}x{k}: outputs that see zeros" for k in KERNELS),
                    "7x7: products with zeros",
                ),
                rows=[
                    (f"{n}x{n}", *(f"{touched[n][k]:.1%}" for k in KERNELS), f"{zeros[n][7]:.1%}")
                    for n in SIZES
                ],
                caption="Counted with a kernel of ones on a map of ones: an output below F*F has seen "
                "padding. It is 1 - ((N - F + 1)/N)^2.",
            ),
            Plot(
                svg=_spreading(through),
                title="Layer by layer",
                caption="Share of a 32x32 map that the zeros have reached, by layers of 3x3 with padding 1.",
            ),
            Plot(
                svg=_modes(modes),
                title="What else can be there",
                caption="A row 1 2 3 4 5 with 2 cells on each side. circular is what makes a convolution "
                "commute with shifts exactly.",
            ),
            Plot(
                svg=_photographs(),
                title="On a photograph",
                caption="china, with a border of a quarter of its height in each mode.",
            ),
            Table(
                title="What a mean sees at the border",
                columns=("mode", "mean of the top row under a 5x5 mean", "of the image's own top row"),
                rows=[
                    (mode, round(value, 1), f"{100 * value / inside:.0f} %") for mode, value in edge.items()
                ],
                caption=f"The sky of china, whose top row has a mean of {inside:.1f}. Zeros are dark: a dark "
                "frame that no photograph has. circular brings in the far side.",
            ),
        ),
        numbers={
            "shrinking": sizes,
            "share_touched": {str(n): {str(k): v for k, v in row.items()} for n, row in touched.items()},
            "share_of_zero_products": {
                str(n): {str(k): v for k, v in row.items()} for n, row in zeros.items()
            },
            "share_touched_by_layer": through,
            "even_kernel_paddings": list(even),
            "stride_2_output": strided.value,
            "modes": modes,
            "top_row_by_mode": edge,
            "top_row": inside,
        },
    )


def _named(shares: dict[int, dict[int, float]]) -> dict[str, dict[str, float]]:
    return {str(n): {str(k): share for k, share in row.items()} for n, row in shares.items()}


def _touched(size: int, kernel: int) -> float:
    """Share of the outputs whose window holds padding, counted."""
    counts = _seen(size, kernel)
    return float((counts < kernel * kernel).mean())


def _zeros(size: int, kernel: int) -> float:
    """Share of all products that are with padding, counted."""
    counts = _seen(size, kernel)
    return 1 - float(counts.sum()) / (size * size * kernel * kernel)


def _seen(size: int, kernel: int) -> Any:
    """How many pixels of the image each window holds: (size, size)."""
    import numpy as np

    from sightline.reference import filter_image

    return filter_image(np.ones((size, size)), np.ones((kernel, kernel)), padding="zeros")


def _through(size: int, layers: int) -> list[float]:
    """Share of a map that padding has reached after each of so many layers of 3x3."""
    import numpy as np

    from sightline.reference import max_pool, pad

    reached = np.zeros((1, 1, size, size), np.int64)
    shares = []
    for _ in range(layers):
        framed = np.ones((1, 1, size + 2, size + 2), np.int64) - pad(np.ones_like(reached), 1)
        framed[:, :, 1:-1, 1:-1] = reached
        reached = max_pool(framed, 3, 1)
        shares.append(float(reached.mean()))
    return shares


def _corner() -> str:
    import numpy as np

    from sightline.lab._drawn import Drawing, Frame

    drawing, side = Drawing(), 32
    padded = np.zeros((9, 9), np.int64)
    ring = {(r, c) for r in range(9) for c in range(9) if r in (0, 8) or c in (0, 8)}
    shades = np.array([[0.0 if (r, c) in ring else 0.2 for c in range(9)] for r in range(9)])
    x, _ = drawing.matrix(
        0, 0, padded, side=side, title="7x7 and a ring of zeros", shades=shades, frames=[Frame(0, 0, 3, 3)],
        text=None,
    )  # fmt: skip
    for r, c in ring:
        drawing.words((c + 0.5) * side, 21 + (r + 0.5) * side + 5, "0", size=14, anchor="middle", tone="soft")
    seen = _seen(7, 3)
    touched = (seen < 9).astype(int)
    drawing.matrix(
        x + 60, side, seen, side=side, title="pixels of the image in each window", shades=-touched * 0.45,
        frames=[Frame(0, 0, 1, 1)],
    )  # fmt: skip
    return drawing.svg(
        "A 7x7 map padded to 9x9, and how many of its own pixels each of the 7x7 windows holds"
    )


def _shrinking(sizes: list[int]) -> str:
    from sightline.lab._drawn import Drawing

    drawing, x, scale = Drawing(), 0.0, 5
    for size in sizes:
        side = size * scale
        drawing.box(x, sizes[0] * scale - side, side, side, fill="right", strength=0.25, line="right")
        drawing.words(x, sizes[0] * scale + 20, str(size), size=16, bold=True)
        x += max(side, 22) + 16
    return drawing.svg("Maps of " + ", ".join(map(str, sizes)) + " a side")


def _spreading(shares: list[float]) -> str:
    from sightline.lab._drawn import Drawing

    drawing, wide, high = Drawing(), 38, 160
    for k, share in enumerate(shares):
        drawing.box(k * wide, high * (1 - share), wide - 8, high * share, fill="wrong", strength=0.55)
        drawing.words(k * wide + 15, high * (1 - share) - 5, f"{share:.0%}", size=11, anchor="middle")
        drawing.words(k * wide + 15, high + 18, str(k + 1), size=13, anchor="middle", tone="soft")
    drawing.line([(-4, high), (len(shares) * wide, high)], tone="soft")
    drawing.words(0, high + 38, "layers", size=13, tone="soft")
    return drawing.svg("Share of a map that padding has reached, by layers")


def _modes(modes: dict[str, list[int]]) -> str:
    from sightline.lab._drawn import Drawing, Frame

    drawing, side = Drawing(), 34
    beyond = {(0, c) for c in (0, 1, 7, 8)}
    for k, (mode, row) in enumerate(modes.items()):
        y = k * (side + 14)
        drawing.words(0, y + 22, mode, size=15)
        shades = [[0.25 if (0, c) not in beyond else 0 for c in range(9)]]
        drawing.matrix(100, y, [row], side=side, shades=shades, frames=[Frame(0, 2, 1, 5)])
    return drawing.svg("A row of five numbers padded by two in four modes")


def _photographs() -> str:
    import numpy as np

    from sightline.imaging import photograph
    from sightline.lab._drawn import Drawing, reduced
    from sightline.reference import pad

    small = reduced(photograph("china"), 150)
    border = small.shape[0] // 4
    channels = small.transpose(2, 0, 1)[None]  # h w c -> 1 c h w
    drawing, width = Drawing(), 400.0
    for k, mode in enumerate(MODES):
        padded = pad(channels, border, mode)[0].transpose(1, 2, 0).astype(np.uint8)
        scale = width / padded.shape[1]
        x, y = k % 2 * (width + 24), k // 2 * (padded.shape[0] * scale + 44)
        drawing.words(x, y + 14, mode, size=15)
        height = drawing.picture(x, y + 22, width, padded, smooth=True)
        inset = border * scale
        drawing.box(
            x + inset,
            y + 22 + inset,
            width - 2 * inset,
            height - 2 * inset,
            line="page",
            thickness=2,
            dashed=True,
        )
    return drawing.svg(
        "A photograph with a border of zeros, mirrored, of its outermost pixels, of its far side"
    )


ENTRY = Entry(
    name="padding",
    title="Padding",
    slides="Padding; In practice: Common to zero pad the border; Remember back to...",
    about="What does a border of zeros keep, and what does it cost?",
    see="The (F - 1)/2 rule for 3, 5 and 7, maps that shrink without it, and how far the zeros reach.",
    seconds=4,
    commands=(
        "sightline design 32x32x3 conv:6,k5 conv:10,k5",
        "sightline design 32x32x3 conv:6,k5,p? conv:10,k5,p?",
        "sightline convolve '1,2,3;4,5,6;7,8,9' box --pad reflect",
        "sightline convolve lecture-5x5 --pad same",
        "sightline filter china box:25 --pad zeros -o border.png",
    ),
    corrections=(
        Correction(
            says="Padding preserves the spatial dimensions of the input volume such that the output volume "
            "is the same.",
            fact="It does so at stride 1 and with P = (F - 1)/2, which needs an odd F; any padding enlarges.",
            evidence="F = 5, P = 2, stride 2 on 32: (32 + 2*2 - 5)/2 + 1 = 16.5 -> 16; F = 4: no padding "
            "alike on both sides gives 32",
        ),
        Correction(
            says="Shrinking too fast is not good, doesn't work well.",
            fact="So it is for deep networks; LeNet-5 pads nowhere, and zeros at the border are no data "
            "either.",
            evidence="LeNet-5 goes 32, 28, 14, 10, 5, 1 without padding; with 3x3 and padding, 49 % of a 7x7 "
            "map has seen zeros",
        ),
    ),
    plays=(
        Play(
            kind="slide",
            given={"input": ((1, 1, 1, 1, 1, 1, 1),) * 7, "kernel": ((1, 1, 1),) * 3, "stride": 1, "pad": 1},
        ),
        Play(kind="design", given={"line": "32x32x3 conv:6,k5,p2 relu conv:10,k5,p2"}),
    ),
    run=_run,
)
