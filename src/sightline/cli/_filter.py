"""`sightline filter`: a classic kernel over a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightline.cli._console import handled, print_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from sightline.reference import Kernel


@handled
def filter_(
    image: Annotated[
        str | None, typer.Argument(help="A file, or china, flower (photographs), digit:0 to digit:1796.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Argument(help="A name (see --list), box:5, gaussian:4, or a matrix: '0,-1,0;-1,5,-1;0,-1,0'."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A PNG file; filtered.png.")] = None,
    pad: Annotated[
        str, typer.Option(help="Beyond the image: reflect, replicate, circular, zeros; or valid.")
    ] = "reflect",
    true: Annotated[
        bool, typer.Option("--true", help="Convolve: turn the kernel, as the formula says.")
    ] = False,
    signed: Annotated[
        bool, typer.Option("--signed", help="Negative answers on a signed scale, of sharpen too.")
    ] = False,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="The lecture's whole table of kernels on one page.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the kernels.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output: one object.")] = False,
) -> None:
    """Lay a kernel on every pixel of an image and write the answer as a PNG.

    A kernel with negative weights can answer below 0: mid grey is then 0, darker is negative. If its weights
    add up to 1, as sharpen's, the answer is an image, cut to 0 to 255. Colours are filtered one by one.

    Of a kernel of even size, the pixel lies under the last weight before the middle. A matrix may have
    fractions, and a factor before it: '1/9*1,1,1;1,1,1;1,1,1'. Put -- before one that starts with a minus.
    """
    from sightline.base import ArgumentError

    if list_:
        _list(json)
        return
    if image is None:
        raise ArgumentError("IMAGE is missing; give a file, china or flower, or --list")
    whole_table = sheet or kernel == "lecture"
    if whole_table and (json or (sheet and kernel is not None)):
        raise ArgumentError("--sheet draws the lecture's kernels; it takes neither a KERNEL nor --json")
    if kernel is None and not whole_table:
        raise ArgumentError("KERNEL is missing; give a name or a matrix, or --sheet; --list lists the names")
    path = output or Path("sheet.png" if whole_table else "filtered.png")
    if path.suffix.lower() != ".png":
        raise ArgumentError(f"--output {path} must end in .png")
    if whole_table:
        _sheet(image, path, pad, true, signed)
    else:
        assert kernel is not None
        _one(image, kernel, path, pad, true, signed, json)


def _one(image: str, kernel: str, path: Path, pad: str, true: bool, signed: bool, json: bool) -> None:
    from sightline.imaging import named_picture
    from sightline.reference import filter_image, grey_levels
    from sightline.reference import kernel as read_kernel

    found = read_kernel(kernel)
    pixels = named_picture(image)
    response = filter_image(pixels, found.matrix, padding=_checked(pad), flip=true)
    shown = grey_levels(response, found.matrix, signed=signed)
    save_png(shown.pixels, path)
    computed = computed_text(found, true)
    if json:
        print_json(
            {
                "image": image,
                "input_shape": _channels_first(pixels.shape),
                "output_shape": _channels_first(response.shape),
                "kernel": found.matrix.tolist(),
                "kernel_name": found.name,
                "computed": "convolution" if true else "cross-correlation",
                "padding": pad,
                "minimum": shown.low,
                "maximum": shown.high,
                "scale": shown.scale,
                "output": str(path),
            }
        )
        return
    size = f"{response.shape[0]}x{response.shape[1]}"
    print(f"{image}, {_described(pixels)}; {found.name}: {found.what}")
    rows, columns = found.matrix.shape
    print(f"kernel {found.text if found.matrix.size <= 49 else f'{rows}x{columns}'}{_anchor(found)}")
    print(computed)
    hidden = "; --signed shows them" if shown.scale == "clip" and shown.low < -0.5 else ""
    print(f"answers from {shown.low:.6g} to {shown.high:.6g}; {shown.text}{hidden}")
    print(f"{path}: {size}, {'grey' if response.ndim == 2 else 'colour'}")


def _checked(pad: str) -> str:
    from sightline.base import ArgumentError, did_you_mean

    known = ("reflect", "replicate", "circular", "zeros", "valid")
    if pad not in known:
        raise ArgumentError(
            f"--pad is {pad!r}; it must be one of {', '.join(known)}; {did_you_mean(pad, known)}"
        )
    return pad


def computed_text(kernel: Kernel, true: bool) -> str:
    """In one line: which of the two was computed, and whether it matters."""
    symmetric = "a half turn leaves the kernel as it is, so that both are the same here"
    if true:
        other = symmetric if kernel.is_symmetric else "layers do not turn it: without --true"
        return f"convolution, the formula: the kernel is turned by half a turn; {other}"
    other = symmetric if kernel.is_symmetric else "the formula of convolution turns the kernel first: --true"
    return f"cross-correlation, which layers compute; {other}"


def _anchor(kernel: Kernel) -> str:
    rows, columns = kernel.matrix.shape
    if rows % 2 and columns % 2:
        return ""
    return f"; of even size: the pixel lies under row {(rows - 1) // 2}, column {(columns - 1) // 2} (from 0)"


def save_png(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write grey levels or colours as a PNG, whole or not at all."""
    from PIL import Image

    _write(Image.fromarray(pixels), path)


def _write(image: Image.Image, path: Path) -> None:
    from sightline.base import write_with

    # Level 1: a third of the time of the default, for a file little larger.
    write_with(path, lambda partial: image.save(partial, format="PNG", compress_level=1))


def _list(json: bool) -> None:
    from sightline.reference import KERNEL_NAMES, LECTURE_KERNELS
    from sightline.reference import kernel as read_kernel

    kernels = [read_kernel(name) for name in KERNEL_NAMES]
    if json:
        print_json([{"name": k.name, "kernel": k.matrix.tolist(), "what": k.what} for k in kernels])
        return
    for found in kernels:
        of_table = "lecture" if found.name in LECTURE_KERNELS else ""
        print(f"{found.name:<10} {of_table:<8} {found.text:<38} {found.what}")
    print("lecture: in its table, whose edge kernels are numbered from above; sharpen has no label there")


def _sheet(image: str, path: Path, pad: str, true: bool, signed: bool) -> None:
    """The lecture's table as one picture: the image, and what each kernel makes of it."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    from sightline.base import INK
    from sightline.imaging import named_picture
    from sightline.reference import LECTURE_KERNELS, filter_image, grey_levels
    from sightline.reference import kernel as read_kernel

    pixels = named_picture(image)
    width, gap, text_height, columns = 400, 24, 64, 4
    source = Image.fromarray(pixels)
    height = max(1, round(width * source.height / source.width))
    if source.width > width:
        source = source.resize((width, height), Image.Resampling.LANCZOS)
    small = np.asarray(source)
    shown_as = f"filtered at {source.height}x{source.width}"
    cells: list[tuple[str, str, Any]] = [(f"input, {_described(pixels)}", shown_as, small)]
    for name in LECTURE_KERNELS:
        found = read_kernel(name)
        response = filter_image(small, found.matrix, padding=_checked(pad), flip=true)
        shown = grey_levels(response, found.matrix, signed=signed)
        cut = "cut to 0 to 255" if shown.low < -0.5 or shown.high > 255.5 else "as it is"
        kind = "mid grey is 0" if shown.scale == "signed" else cut
        note = f"from {shown.low:.4g} to {shown.high:.4g}, {kind}"
        cells.append((f"{name}   {found.text}", note, shown.pixels))
    page = Image.new(
        "RGB",
        (gap + columns * (width + gap), gap + -(-len(cells) // columns) * (height + text_height + gap)),
        "white",
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, (title, note, array) in enumerate(cells):
        left = gap + number % columns * (width + gap)
        top = gap + number // columns * (height + text_height + gap)
        picture = Image.fromarray(array).convert("RGB").resize((width, height), Image.Resampling.NEAREST)
        page.paste(picture, (left, top))
        for line, text in enumerate((title, note)):
            draw.text((left, top + height + 6 + 20 * line), text, fill=INK, font=font)
    _write(page, path)
    print(f"{path}: {image} under the {len(LECTURE_KERNELS)} kernels of the lecture's table")
    print("signed answers: mid grey is 0, each picture on a scale of its own")
    print("a half turn leaves each of them as it is: convolution and cross-correlation are the same")


def _described(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[0]}x{pixels.shape[1]} {'grey' if pixels.ndim == 2 else 'colour'}"


def _channels_first(shape: tuple[int, ...]) -> list[int]:
    return [shape[2] if len(shape) == 3 else 1, *shape[:2]]
