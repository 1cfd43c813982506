"""Kernels: the slide's table on a photograph, and why an edge kernel finds edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Correction, Entry, Page, Part, Picture, Play, Plot, Setting, Table

if TYPE_CHECKING:
    from sightline.reference import Kernel, Levels

WIDTH = 400
"""Of the photograph when it is filtered, as of `sightline filter --sheet`."""
LABELS = {
    "identity": "Identity",
    "edge-1": "Edge detection",
    "edge-2": "",
    "edge-3": "",
    "sharpen": "",
    "box": "Box blur (normalized)",
    "gaussian": "Gaussian blur (approximation)",
}
"""What the slide calls them."""
ROWS = {
    "a step": (0, 0, 0, 0, 9, 9, 9, 9),
    "a ramp": (0, 0, 3, 6, 9, 9, 9, 9),
    "a line": (0, 0, 0, 9, 0, 0, 0, 0),
}
SLOPES = {"-1 1": (-1, 1), "-1 0 1": (-1, 0, 1), "1 -2 1": (1, -2, 1)}


def _run(setting: Setting) -> Page:
    import numpy as np

    from sightline.imaging import photograph
    from sightline.lab._drawn import png, reduced
    from sightline.reference import LECTURE_KERNELS, convolution_macs, filter_image, grey_levels
    from sightline.reference import kernel as read_kernel

    image = reduced(photograph("flower"), WIDTH)
    parts: list[Part] = [
        Picture(
            png=png(image),
            title="flower",
            alt="A red and yellow flower before dark green leaves",
            caption=f"The photograph, {image.shape[1]} wide and {image.shape[0]} high; each colour is "
            "filtered for itself, and mirrored beyond its border.",
        )
    ]
    rows, ranges = [], {}
    for number, name in enumerate(LECTURE_KERNELS):
        setting.progress("kernels", number, len(LECTURE_KERNELS))
        found = read_kernel(name)
        response = filter_image(image, found.matrix)
        shown = grey_levels(response, found.matrix)
        ranges[name] = [shown.low, shown.high]
        total = float(found.matrix.sum())
        scale = "signed" if shown.scale == "signed" else "0 to 255"
        rows.append((name, LABELS[name] or "no label", found.text, round(total, 6), _range(shown), scale))
        parts.append(_two_ways(found, shown, response) if scale == "signed" else _picture(found, shown))
    edges = _edges()
    straight = filter_image(np.array([ROWS["a step"]] * 8), read_kernel("edge-1").matrix, padding="valid")
    corner = np.zeros((8, 8), np.int64)
    corner[4:, 4:] = 9
    at_corner = filter_image(corner, read_kernel("edge-1").matrix, padding="valid")
    height, width = photograph("china").shape[:2]
    kernel_macs = convolution_macs(1, 1, (1, 2), (height, width - 1)).value
    dense = height * width * height * (width - 1)
    symmetric = [name for name in LECTURE_KERNELS if read_kernel(name).is_symmetric]
    lowest, highest = ranges["edge-3"]
    return Page(
        sentences=(
            f"On the flower the edge kernels answer from {min(ranges[n][0] for n in _EDGES):.4g} to "
            f"{max(ranges[n][1] for n in _EDGES):.4g}, where pixels have 0 to 255: their pictures need a "
            "rule, and another rule makes another picture.",
            "A kernel whose weights add up to 0 is silent where nothing changes: on a row 0 0 0 0 9 9 9 9, "
            f"-1 0 1 answers {' '.join(map(str, edges['-1 0 1']['a step']))}.",
        ),
        parts=(
            *parts,
            Table(
                title="The table of the slide",
                columns=("kernel", "the slide's label", "weights", "sum", "answers", "shown"),
                rows=rows,
                caption=f"{len(symmetric)} of {len(rows)} look the same after half a turn, so that on this "
                "slide convolution and cross-correlation are one.",
            ),
            Plot(
                svg=_edge_rows(edges),
                title="Why they find edges",
                caption="A difference of neighbours is 0 where neighbours are alike. The first difference "
                "answers to a slope, the second where a slope begins and ends.",
            ),
            Plot(
                svg=_corner(np.array([ROWS["a step"]] * 8), straight, corner, at_corner),
                title="Not every edge",
                caption="The first edge kernel is blind to straight edges along the grid: its rows undo one "
                "another. It answers to corners and slanting edges.",
            ),
            *_goodfellow(),
            Table(
                title="What it costs",
                columns=("china, grey, -1 1", "multiplications"),
                rows=(
                    (f"as a kernel of 2 weights, {height}x{width - 1} times", kernel_macs),
                    ("as a matrix over all pixels", dense),
                ),
                caption="The same map: the matrix is nearly all zeros.",
            ),
        ),
        numbers={
            "ranges": ranges,
            "sums": {row[0]: row[3] for row in rows},
            "edge_rows": edges,
            "edge_1_on_a_straight_edge": float(np.abs(straight).max()),
            "edge_1_at_a_corner": float(np.abs(at_corner).max()),
            "same_when_turned": len(symmetric),
            "edge_3_lowest": lowest,
            "edge_3_highest": highest,
            "china_kernel_macs": kernel_macs,
            "china_matrix_macs": dense,
        },
        notes=(f"Filtered at {image.shape[0]}x{image.shape[1]}, as sightline filter flower --sheet does.",),
    )


_EDGES = ("edge-1", "edge-2", "edge-3")


def _range(shown: Levels) -> str:
    return f"{shown.low:.4g} to {shown.high:.4g}"


def _picture(found: Kernel, shown: Levels) -> Picture:
    from sightline.lab._drawn import png

    label = LABELS[found.name]
    said = f"The slide's label: {label}." if label else "The slide gives no label."
    return Picture(
        png=png(shown.pixels),
        title=found.name,
        alt=f"The flower under {found.name}: {found.what}",
        caption=f"{found.text}: {found.what}. {said} Answers from {_range(shown)}; {shown.text}.",
    )


def _two_ways(found: Kernel, shown: Levels, response: Any) -> Plot:
    """Answers around 0, by two rules."""
    import numpy as np

    from sightline.lab._drawn import Drawing

    size = np.clip(np.abs(response), 0, 255).astype(np.uint8)
    drawing = Drawing()
    drawing.words(0, 14, "signed: mid grey is 0", tone="soft")
    drawing.picture(0, 22, WIDTH, shown.pixels)
    drawing.words(WIDTH + 24, 14, "the size of the answers, cut at 255", tone="soft")
    drawing.picture(WIDTH + 24, 22, WIDTH, size)
    part = _picture(found, shown)
    cut = int((np.abs(response) > 255).sum())
    return Plot(
        svg=drawing.svg(f"{part.alt}, on a signed scale, and the size of its answers"),
        title=part.title,
        caption=f"{part.caption} On the right the sign is left out, and {cut:,} of {size.size:,} are cut.",
    )


def _edges() -> dict[str, dict[str, list[int]]]:
    """Each kernel on each row."""
    from sightline.reference import correlate

    return {
        kernel: {row: correlate([[values]], [[weights]])[0, 0].tolist() for row, values in ROWS.items()}
        for kernel, weights in SLOPES.items()
    }


def _edge_rows(edges: dict[str, dict[str, list[int]]]) -> str:
    from sightline.lab._drawn import Drawing, shades_of

    drawing, side = Drawing(), 34
    for k, (row, values) in enumerate(ROWS.items()):
        left = k * (8 * side + 40)
        _, y = drawing.matrix(left, 0, [values], side=side, title=row, shades=shades_of([values]) * 0.5)
        for kernel in SLOPES:
            answers = edges[kernel][row]
            start = left + (8 - len(answers)) / 2 * side
            title = f"under {kernel}"
            drawing.words(left, y + 27, title, size=13, tone="soft")
            _, y = drawing.matrix(start, y + 34, [answers], side=side, shades=shades_of([answers], 18))
    return drawing.svg("A step, a ramp and a line, and what three difference kernels answer")


def _corner(step: Any, straight: Any, corner: Any, at_corner: Any) -> str:
    from sightline.lab._drawn import Drawing, shades_of

    drawing, side, x = Drawing(), 26, 0.0
    for image, answer, title in ((step, straight, "a straight edge"), (corner, at_corner, "a corner")):
        x, _ = drawing.matrix(x, 0, image, side=side, title=title, shades=shades_of(image) * 0.5)
        x, _ = drawing.matrix(
            x + 16, side, answer, side=side, title="under edge-1", shades=shades_of(answer, 9)
        )
        x += 44
    return drawing.svg("The first edge kernel on a straight edge, where it answers 0, and on a corner")


def _goodfellow() -> tuple[Picture]:
    """The edges of `china`, as the book draws those of a photograph."""
    import numpy as np

    from sightline.imaging import photograph
    from sightline.lab._drawn import grey, png, reduced
    from sightline.reference import filter_image, grey_levels

    image, kernel = grey(reduced(photograph("china"), WIDTH)), np.array([[-1, 1]])
    shown = grey_levels(filter_image(image, kernel, padding="valid"), kernel)
    return (
        Picture(
            png=png(shown.pixels),
            title="china under -1 1",
            alt="The upright edges of a Chinese palace",
            caption=f"Each pixel less the one to its left: upright edges. Answers from {_range(shown)}; "
            f"{shown.text}.",
        ),
    )


ENTRY = Entry(
    name="kernels",
    title="Kernels",
    slides="Producing Feature Maps; A simple pattern: Edges; Simple Kernels / Filters",
    about="What does each kernel of the slide's table make of a photograph, and why do some find edges?",
    see="A photograph under every kernel of the table with the range of its answers, and an edge in numbers.",
    seconds=6,
    commands=(
        "sightline filter --list",
        "sightline filter flower --sheet -o sheet.png",
        "sightline filter china sobel-x -o edges.png",
        "sightline filter flower sharpen --signed -o sharpen.png",
        "sightline convolve 0,0,0,0,9,9,9,9 '[[-1,0,1]]'",
    ),
    corrections=(
        Correction(
            says="Edge detection: [[1,0,-1],[0,0,0],[-1,0,1]]",
            fact="It answers nothing to a straight upright or level edge; it finds corners and slanting "
            "edges.",
            evidence="on a step of 9 its answers are all 0, at a corner of 9 it answers 9; -1 0 1 in three "
            "rows answers 27 to the step",
        ),
        Correction(
            says="[[0,-1,0],[-1,5,-1],[0,-1,0]] under the label Edge detection",
            fact="It is sharpen, whose label is missing: identity minus the edge kernel above it, and its "
            "weights add up to 1, not to 0.",
            evidence="the sums in the table; its picture is the photograph, sharper",
        ),
    ),
    plays=(
        Play(kind="filter", given={"image": "flower", "kernel": "edge-3"}),
        Play(kind="filter", given={"image": "china", "kernel": "sobel-x"}),
        Play(
            kind="slide",
            given={"input": (ROWS["a step"],) * 8, "kernel": ((-1, 0, 1),) * 3, "stride": 1, "pad": 0},
        ),
    ),
    run=_run,
)
