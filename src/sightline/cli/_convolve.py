"""`sightline convolve`: a kernel over a matrix, as one does it by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli._console import handled, print_json
from sightline.cli._filter import computed_text, save_png

if TYPE_CHECKING:
    from sightline.reference import Kernel, Slide

_MANY = 400
"""A matrix with more numbers than this is not printed, its range is."""
_MANY_STEPS = 400
"""Of more steps, the first are printed."""


@handled
def convolve(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="'1,2,3;4,5,6' or [[1,2,3],[4,5,6]]; lecture-5x5, lecture-pool, lecture-8x8; an image file, "
            "china, flower, digit:0 (grey).",
        ),
    ],
    kernel: Annotated[
        str | None, typer.Argument(metavar="KERNEL", help="A matrix, or a name: sightline filter --list.")
    ] = None,
    stride: Annotated[str, typer.Option(help="N, or rows x columns: 2x1.")] = "1",
    pad: Annotated[
        str,
        typer.Option(
            help="N, rows x columns, valid, same; reflect, replicate, circular: same, with that in it."
        ),
    ] = "0",
    dilation: Annotated[str, typer.Option(help="N, or rows x columns.")] = "1",
    pool: Annotated[str | None, typer.Option(help="Then pool: max:2, avg:2, max:3,s2, avg:2x1.")] = None,
    step: Annotated[
        bool, typer.Option("--step", help="Show window, products and sum at each position.")
    ] = False,
    true: Annotated[
        bool, typer.Option("--true", help="Convolve: turn the kernel, as the formula says.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The result as a grey PNG file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output: one object.")] = False,
) -> None:
    """Slide a kernel over a matrix; the last line is the result.

    Layers lay the kernel on as it is (cross-correlation); --true turns it by half a turn first (convolution).
    `lecture-5x5` brings the kernel of its slide, `lecture-pool` its pooling. A signal is a matrix of one row.
    Numbers may be fractions. Put -- before a matrix that starts with a minus, or write it in brackets.
    """
    from sightline.base import ArgumentError
    from sightline.reference import slide_kernel, slide_pool

    if output is not None and output.suffix.lower() != ".png":
        raise ArgumentError(f"--output {output} must end in .png")
    matrix, found, note = _read(source, kernel)
    if source == "lecture-pool" and kernel is None:
        pool = pool or "max:2"
    if found is None and pool is None:
        raise ArgumentError(
            "KERNEL is missing; give a matrix or a name (sightline filter --list), or --pool max:2"
        )
    slides: list[Slide] = []
    if found is not None:
        padding = _pair(pad, "--pad", least=0) if re.match(r"[-+\d.]", pad) else pad
        slides.append(
            slide_kernel(
                matrix,
                found.matrix,
                stride=_pair(stride, "--stride"),
                dilation=_pair(dilation, "--dilation"),
                padding=padding,
                flip=true,
            )
        )
    elif (stride, pad, dilation) != ("1", "0", "1") or true:
        raise ArgumentError("--stride, --pad, --dilation and --true are of a KERNEL, and none is given")
    if pool is not None:
        slides.append(slide_pool(slides[-1].output() if slides else matrix, *_pool(pool)))
    result = slides[-1].output()
    if output is not None:
        _save(result, output)
    if json:
        _print_json(slides, found, true, step)
        return
    if note:
        print(note)
    _print_matrix("input", matrix)
    for slide in slides:
        print()
        _print_slide(slide, found, true, step)
    if output is not None:
        low, high = result.min().item(), result.max().item()
        black, white = _range(low, high)
        print(f"{output}: black is {black:.6g}, white {white:.6g}")
    print(_one_line(result))


def _read(source: str, kernel: str | None) -> tuple[Any, Kernel | None, str]:
    """The input, the kernel, and what to say about them."""
    import numpy as np

    from sightline.base import ArgumentError, did_you_mean
    from sightline.imaging import named_picture
    from sightline.reference import EXAMPLES, Kernel, looks_like_matrix, read_matrix
    from sightline.reference import kernel as read_kernel

    found = read_kernel(kernel) if kernel is not None else None
    if source in EXAMPLES and not Path(source).exists():
        rows, own = EXAMPLES[source]
        if found is None and own is not None:
            found = Kernel("the slide's", np.array(own), "")
        note = "the slide gives the sizes alone; a vertical edge stands in" if source == "lecture-8x8" else ""
        return np.array(rows), found, note
    if looks_like_matrix(source) and not Path(source).exists():
        return read_matrix(source, "INPUT"), found, ""
    if not Path(source).exists() and not re.fullmatch(r"china|flower|digit(:.*)?", source):
        names = [*EXAMPLES, "china", "flower", "digit:0"]
        raise ArgumentError(
            f"INPUT {source!r} is no matrix ('1,2;3,4'), no file and no name; {did_you_mean(source, names)}"
        )
    pixels = named_picture(source)
    grey = pixels.astype(np.int64)
    note = ""
    if grey.ndim == 3:  # ITU-R 601 luma, as Pillow rounds it
        grey = (grey @ np.array([19595, 38470, 7471]) + 32768) >> 16
        note = f"{source} is in colour; its grey levels are taken (ITU-R 601 luma)"
    return grey, found, note


def _pair(text: str, option: str, least: int = 1) -> tuple[int, int]:
    """One number, or one for rows and one for columns."""
    from sightline.base import ArgumentError

    parts = text.lower().split("x")
    if len(parts) > 2 or not all(re.fullmatch(r"\d{1,6}", part) and int(part) >= least for part in parts):
        raise ArgumentError(
            f"{option} is {text!r}; it must be a whole number of {least} or more, or two as 2x1"
        )
    return int(parts[0]), int(parts[-1])


def _pool(text: str) -> tuple[str, tuple[int, int], tuple[int, int] | None]:
    """`max:2`, `avg:3,s2`: the kind, the size, the stride."""
    from sightline.base import ArgumentError

    found = re.fullmatch(r"(max|avg)(?::([\dx]+)(?:,s([\dx]+))?)?", text.strip().lower())
    if found is None:
        raise ArgumentError(f"--pool is {text!r}; it must be like max:2, avg:2 or max:3,s2")
    kind, size, stride = found.groups()
    return kind, _pair(size or "2", "--pool"), _pair(stride, "the stride of --pool") if stride else None


def _print_slide(slide: Slide, kernel: Kernel | None, true: bool, step: bool) -> None:
    """One window over one matrix: what, the sums of the sizes, the steps, the result."""
    if slide.kernel is not None:
        assert kernel is not None
        _print_matrix("kernel" + (", turned" if true else ""), slide.kernel)
        if kernel.divisor > 1:
            print(f"{'turned from ' if true else ''}{kernel.text}")
        print(computed_text(kernel, true))
    else:
        kind = "the largest" if slide.pool == "max" else "the mean"
        print(f"pooling: {kind} of each window of {slide.size[0]}x{slide.size[1]}")
    (_, rows), (_, columns) = slide.sums
    print(f"rows {rows}")
    print(f"columns {columns}")
    if any(map(any, slide.pads)):
        (top, bottom), (left, right) = slide.pads
        print(f"padding ({slide.mode}): {top} above, {bottom} below, {left} left, {right} right")
    result = slide.output()
    if step:
        for number, one in enumerate(slide.steps()):
            if number == _MANY_STEPS:
                print(f"\n... and {result.size - number:,} more steps")
                break
            print(f"\nrow {one.row}, column {one.column}")
            shown = [one.window, slide.kernel, one.products] if slide.kernel is not None else [one.window]
            titles = ("window", "kernel", "products")
            _print_beside([(title, part) for title, part in zip(titles, shown, strict=False)])
            print(f"  {one.text}")
    print()
    _print_matrix("output", result)


def _cells(matrix: Any) -> list[list[str]]:
    """Numbers as text, all as wide as the widest."""
    from sightline.reference import number_text

    texts = [[number_text(value) for value in row] for row in matrix.tolist()]
    width = max(len(text) for row in texts for text in row)
    return [[text.rjust(width) for text in row] for row in texts]


def _print_matrix(title: str, matrix: Any) -> None:
    print(f"{title} {matrix.shape[0]}x{matrix.shape[1]}")
    if matrix.size > _MANY:
        print(f"  {matrix.size:,} numbers, from {matrix.min().item():.6g} to {matrix.max().item():.6g}")
        return
    for row in _cells(matrix):
        print(f"  {' '.join(row)}")


def _print_beside(parts: list[tuple[str, Any]]) -> None:
    """Matrices beside each other, each under its title."""
    blocks = []
    for title, matrix in parts:
        lines = [title, *(" ".join(row) for row in _cells(matrix))]
        width = max(map(len, lines))
        blocks.append([line.ljust(width) for line in lines])
    for line in zip(*blocks, strict=True):
        print(f"  {'   '.join(line)}".rstrip())


def _one_line(matrix: Any) -> str:
    """The matrix as text; of a large one, what it is."""
    from sightline.reference import matrix_text

    if matrix.size <= _MANY:
        return matrix_text(matrix)
    return f"{matrix.size:,} numbers; all of them with --json, or as a picture with -o FILE.png"


def _print_json(slides: list[Slide], kernel: Kernel | None, true: bool, step: bool) -> None:
    first, last = slides[0], slides[-1]
    content: dict[str, Any] = {
        "input_shape": list(first.source.shape),
        "kernel": kernel.matrix.tolist() if kernel is not None else None,
        "computed": ("convolution" if true else "cross-correlation") if kernel is not None else None,
        "stages": [
            {
                "kind": "kernel" if slide.kernel is not None else slide.pool,
                "size": list(slide.size),
                "stride": list(slide.stride),
                "dilation": list(slide.dilation),
                "padding": [list(pads) for pads in slide.pads],
                "padding_mode": slide.mode,
                "sums": {"height": slide.sums[0][1], "width": slide.sums[1][1]},
                **({"steps": _steps(slide)} if step else {}),
            }
            for slide in slides
        ],
    }
    result = last.output()
    print_json({**content, "output_shape": list(result.shape), "output": result.tolist()})


def _steps(slide: Slide) -> list[dict[str, Any]]:
    return [
        {
            "row": one.row,
            "column": one.column,
            "window": one.window.tolist(),
            "products": one.products.tolist() if one.products is not None else None,
            "value": one.value,
            "sum": one.text,
        }
        for one in slide.steps()
    ]


def _range(low: float, high: float) -> tuple[float, float]:
    """What is shown black and what white; around 0 where there are negative numbers."""
    if low < 0:
        most = max(-low, high)
        return -most, most
    return (0.0, 255.0) if high <= 255 and high > 1 else (0.0, max(high, 1.0))


def _save(matrix: Any, path: Path) -> None:
    import numpy as np

    black, white = _range(matrix.min().item(), matrix.max().item())
    levels = (matrix - black) * (255 / (white - black))
    save_png(np.rint(levels).astype(np.uint8), path)
