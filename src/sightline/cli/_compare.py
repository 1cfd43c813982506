"""`sightline compare`: networks side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli._console import handled, print_json

if TYPE_CHECKING:
    from sightline.inference import Side


@handled
def compare(
    models: Annotated[list[str], typer.Argument(help="Two or more: zoo names, FILE.py:NAME, runs, files.")],
    input: Annotated[  # noqa: A002  -- the name of the option
        list[str] | None, typer.Option(help="For all of them, as 3,224,224; each one's own by default.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Time a forward pass of one image.")
    ] = True,
    layers: Annotated[bool, typer.Option("--layers", help="Show where the layers of two part.")] = False,
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", "-b", min=1, help="Images of the training step whose memory is told."),
    ] = 32,
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output: one object.")] = False,
) -> None:
    """Networks side by side: parameters, multiply-adds, memory, field, time, scores; differences marked."""
    from sightline.base import ArgumentError
    from sightline.inference import compare_models, layer_differences

    if layers and len(models) != 2:
        raise ArgumentError(f"--layers shows two networks; {len(models)} were given")
    sides = compare_models(models, input or [], measure=measure, batch=batch_size)
    rows = _rows(sides)
    if json:
        unlike = [name for name, texts, _ in rows if len(set(texts)) > 1]
        print_json({"models": [side.to_dict() for side in sides], "differences": unlike})
        return
    _print(sides, rows)
    if layers:
        lines = layer_differences(sides[0].summary, sides[1].summary)
        print("\n".join(["", *lines]) if lines else "\nlayer by layer they are alike")


Row = tuple[str, list[str], list[float] | None]
"""What it is, its text for each network, and its number for each where there is one."""


def _rows(sides: list[Side]) -> list[Row]:
    from sightline.blueprint import megabytes

    def counted(
        name: str, number: Callable[[Side], float], text: Callable[[float], str] = "{:,}".format
    ) -> Row:
        numbers = [number(side) for side in sides]
        return name, [text(n) for n in numbers], numbers

    rows: list[Row] = [
        ("input", ["x".join(map(str, s.summary.blueprint.input_shapes[0][1:])) for s in sides], None),
        counted("parameters", lambda s: s.summary.blueprint.num_parameters),
        counted("multiply-adds", lambda s: s.summary.blueprint.macs),
        counted("convolutions and linears", lambda s: s.layers),
        counted("inference memory", lambda s: s.summary.inference.peak, megabytes),
    ]
    if all(s.summary.training is not None for s in sides):
        trained = [s.summary.training for s in sides]
        peaks = [float(t.peak) for t in trained if t is not None]
        batch = next(t.batch for t in trained if t is not None)
        rows.append((f"training memory, batch {batch}", [megabytes(p) for p in peaks], peaks))
    fields = [s.summary.field for s in sides]
    rows.append(("receptive field", ["-" if f is None else "x".join(map(str, f.size)) for f in fields], None))
    lost = [
        "none" if not s.summary.lost.any else "x".join(str(len(r)) for r in s.summary.lost.rows)
        for s in sides
    ]
    rows.append(("rows x columns lost", lost, None))
    times = [s.milliseconds for s in sides if s.milliseconds is not None]
    if len(times) == len(sides):
        texts = [
            f"{s.milliseconds:.1f} ({s.spread[0]:.1f} to {s.spread[1]:.1f})"
            if s.spread
            else f"{s.milliseconds:.1f}"
            for s in sides
        ]
        rows.append(("ms an image (quartiles)", texts, times))
    for name in dict.fromkeys(name for s in sides for name in s.scores):
        values = [s.scores.get(name) for s in sides]
        rows.append((name, ["-" if v is None else f"{v:.4f}" for v in values], None))
    if any(s.published for s in sides):
        rows.append(
            ("published", [s.published[0].split(":")[0] if s.published else "-" for s in sides], None)
        )
    return rows


def _print(sides: list[Side], rows: list[Row]) -> None:
    """A column a network; what differs is marked, numbers with their ratio to the first."""
    cells = []
    for name, texts, numbers in rows:
        unlike = len(set(texts)) > 1
        told = list(texts)
        if unlike and numbers and numbers[0]:
            told[1:] = [f"{t}  {n / numbers[0]:.2f} x" for t, n in zip(texts[1:], numbers[1:], strict=True)]
        cells.append(["*" if unlike else " ", name, *told])
    head = [" ", "", *(side.name for side in sides)]
    widths = [max(len(row[k]) for row in [head, *cells]) for k in range(len(head))]
    for row in [head, *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    print("* differs; ratios are to the first; time is of one image at a time, fp32, on this machine's CPU")
    for side in sides:
        for text in side.published:
            print(f"published, {side.name}: {text}")
