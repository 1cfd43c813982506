"""`sightline view`: what a network sees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli._console import handled, print_json

_DEFAULT = "view-{how}.png"


@handled
def view(
    how: Annotated[
        str | None, typer.Argument(help="What to see: kernels, maps, neuron, gradcam, ...; without, a list.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Argument(help="A run folder, a model file, NAME@FILE, NAME@public, a zoo name, FILE.py:NAME."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Argument(
            metavar="IMAGE|DATA",
            help="A file, china, flower, digit:0 to digit:1796; or a set of images.",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="As summary names it, a module, or conv1, conv2; found if not said."),
    ] = None,
    unit: Annotated[int | None, typer.Option(min=0, help="A channel, or an output.")] = None,
    at: Annotated[str | None, typer.Option(help="A position in the layer's maps: ROW,COLUMN.")] = None,
    target: Annotated[str | None, typer.Option(help="A class by name or number; else the likeliest.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Of weights that came alone: a file with class names, one a line.")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="How many of the strongest.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of a path, a search, or samples.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Side of a patch.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of softmax.")] = None,
    against: Annotated[str | None, typer.Option(help="Another model, seen the same way.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of what is random.")] = None,
    sanity: Annotated[
        bool, typer.Option("--sanity", help="Of attributions: does it change with the weights? is it right?")
    ] = False,
    input: Annotated[  # noqa: A002  -- the name of the option
        str | None, typer.Option("--input", help="Side of the input, of a network that adapts, as 224.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, mps.")] = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="FILE.png, .html, .npz (the numbers) or .gif (what moves)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Show what a network sees: its filters, maps, one neuron, what an image's answer rests on."""
    from sightline.base import ArgumentError
    from sightline.cli._console import make_reporter
    from sightline.inference import read_belongings
    from sightline.views import HOWS, Request, find_view, open_subject
    from sightline.views import view as make_view

    if how is None:
        _list(json)
        return
    found = find_view(how)
    if model is None:
        raise ArgumentError(f"view {how} needs a model; type sightline view {how} MODEL")
    assert how in HOWS
    path = output or Path(_DEFAULT.format(how=how))
    names = read_belongings(None, None, classes).classes
    request = Request(
        image=image, layer=layer, unit=unit, at=_position(at), target=target, top=top, steps=steps, size=size,
        temperature=temperature, against=against, input_size=_side(input), classes=names, seed=seed,
        sanity=sanity, device=device, output=path, progress=make_reporter().progress,
    )  # fmt: skip
    subject = open_subject(model, device=device, classes=names or (), input_size=_side(input))
    if names is not None and subject.header is not None and against is None:
        raise ArgumentError(f"--classes is of weights that came alone; {model} carries its own")
    if not subject.trained:
        print(f"{model} has fresh weights: what is seen in them is chance", file=sys.stderr)
    result = make_view(found.name, subject, request)
    result.save(path)
    for finding in result.findings:
        print(f"{finding.level}: {finding.line()}", file=sys.stderr)
    if json:
        print_json(result.to_dict() | {"file": str(path)})
        return
    print(result.title)
    for note in result.notes:
        print(f"  {note}")
    print(f"written: {path}")


def _position(text: str | None) -> tuple[int, int] | None:
    from sightline.base import ArgumentError

    if text is None:
        return None
    row, comma, column = text.partition(",")
    if not (comma and row.strip().isdecimal() and column.strip().isdecimal()):
        raise ArgumentError(f"--at is {text!r}; it takes ROW,COLUMN, each from 0")
    return int(row), int(column)


def _side(text: str | None) -> tuple[int, int] | None:
    from sightline.base import ArgumentError

    if text is None:
        return None
    if not text.isdecimal() or not int(text):
        raise ArgumentError(f"--input is {text!r}; it takes a side in pixels, as 224")
    return int(text), int(text)


def _list(json: bool) -> None:
    from sightline.views import HOWS, find_view

    found = [find_view(name) for name in HOWS]
    if json:
        print_json(
            [
                {"name": v.name, "needs": v.needs, "options": sorted(v.options), "about": v.about}
                for v in found
            ]
        )
        return
    wide = max((len(v.name) for v in found), default=0)
    for v in found:
        print(f"{v.name:<{wide}}  {v.about}")
