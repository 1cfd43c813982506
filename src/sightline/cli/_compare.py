"""`sightline compare`: networks side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli._console import handled, print_json

if TYPE_CHECKING:
    from sightline.inference import ComparisonRow, Side


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
    from sightline.inference import compare_models, comparison_rows, layer_differences

    if layers and len(models) != 2:
        raise ArgumentError(f"--layers shows two networks; {len(models)} were given")
    sides = compare_models(models, input or [], measure=measure, batch=batch_size)
    rows = comparison_rows(sides)
    if json:
        unlike = [name for name, texts, _ in rows if len(set(texts)) > 1]
        print_json({"models": [side.to_dict() for side in sides], "differences": unlike})
        return
    _print(sides, rows)
    if layers:
        lines = layer_differences(sides[0].summary, sides[1].summary)
        print("\n".join(["", *lines]) if lines else "\nlayer by layer they are alike")


def _print(sides: list[Side], rows: list[ComparisonRow]) -> None:
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
