"""`sightline draw`: a network as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.cli._console import handled


@handled
def draw(
    model: Annotated[
        str, typer.Argument(help="A zoo name, FILE.py:NAME, NAME@FILE, a run folder or a model file.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture: FILE.svg.")],
    style: Annotated[str, typer.Option(help="volumes to scale, blocks, or auto.")] = "auto",
    input: Annotated[  # noqa: A002  -- the name of the option
        list[str] | None,
        typer.Option("--input", help="A shape, as 3,224,224 or 224x224x3; once for each input."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Draw modules this deep as one box; as deep as is readable.")
    ] = None,
    unfold: Annotated[bool, typer.Option("--unfold", help="Draw each of the equal blocks.")] = False,
) -> None:
    """Draw a network, as an SVG."""
    from sightline.base import ArgumentError, did_you_mean, write_text

    styles = ("auto", "volumes", "blocks")
    if style not in styles:
        raise ArgumentError(f"--style is {style!r}; {did_you_mean(style, styles)}")
    if output.suffix.lower() != ".svg":
        raise ArgumentError(f"--output {output} must end in .svg")
    from sightline.blueprint.draw import draw as drawn
    from sightline.inference import record_model

    write_text(output, drawn(record_model(model, input or ()), style=style, depth=depth, unfold=unfold))
    print(f"{model} in {output}")
