"""`sightline design`: a network from a line of words, computed by hand."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.cli._console import handled, print_json

if TYPE_CHECKING:
    from sightline.reference import Design

_COLUMNS = ("#", "layer", "output", "parameters", "macs", "values", "memory", "field")
_LEFT = ("layer", "output")
_SUMS = (
    ("height", "height"),
    ("width", "width"),
    ("length", "length"),
    ("flatten", "flatten"),
    ("parameters", "parameters"),
    ("macs", "macs"),
    ("memory", "memory"),
    ("receptive_field", "field"),
)


@handled
def design(
    shape: Annotated[
        str, typer.Argument(help="32x32x3: height x width x channels; or 3,32,32; 40x1 of a signal.")
    ],
    layers: Annotated[
        list[str], typer.Argument(help="As conv:10,k5,p2 relu pool:2 flatten fc:10; see below.")
    ],
    torch: Annotated[bool, typer.Option("--torch", help="Print the network as a PyTorch program.")] = False,
    keras: Annotated[bool, typer.Option("--keras", help="Print the network as a Keras 3 program.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="The lecture's rule: a stride that does not fit is an error.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output: one object.")] = False,
) -> None:
    """Compute a network by hand: sizes, parameters, multiply-adds, memory, receptive field, with every sum.

    Layers: conv:FILTERS,kK,sS,pP,dD,gG,nobias (left out: k3 s1 p0); depthwise:k3; tconv:FILTERS,kK,sS,pP,oO;
    pool:K,sS,pP,ceil (maximum; stride K); avgpool; gap (global average); fc:N,nobias; flatten; relu, sigmoid,
    tanh, gelu, silu, softmax, dropout:0.5, lrn:5, bn. Numbers are of both axes, or height x width: k3x5.
    Paddings: p2, psame, pvalid, p0/1 (before/after).

    ? or _ is solved for: conv:10,k5,s2,p_ gives the paddings that fit, conv:10,k5,p_=32 those that give 32;
    so too k_ and s_, and the input: _x_x3. relu*2 repeats.
    """
    from sightline.base import ArgumentError
    from sightline.reference import design as compute
    from sightline.reference import keras_source, torch_source

    if torch + keras + json > 1:
        raise ArgumentError("--torch, --keras and --json exclude each other; give one")
    network = compute(shape, layers, strict=strict)
    if json:
        print_json(network.to_dict())
    elif torch or keras:
        print((torch_source if torch else keras_source)(network), end="")
    else:
        _print(network)
    if any(finding.level == "error" for finding in network.findings):
        raise typer.Exit(1)


def _print(network: Design) -> None:
    """The table, the arithmetic, the findings."""
    shape = network.shape
    print(f"input {_shape(network.input_shape, shape.channels_first)}: {shape.reading}", end="")
    values = 1
    for side in network.input_shape:
        values *= side
    print(f"; {values:,} values, {_megabytes(4 * values)}")
    if network.solved:
        print(f"solved: {network.solved}")
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for number, layer in enumerate(network.layers, 1):
        field = "x".join(map(str, dict.fromkeys(layer.receptive_field))) or "-"
        rows.append(
            (
                str(number),
                layer.layer,
                _shape(layer.output_shape, shape.channels_first),
                f"{layer.parameters:,}",
                f"{layer.macs:,}",
                f"{layer.output_bytes // 4:,}",
                _megabytes(layer.output_bytes),
                field,
            )
        )
    memory = network.memory
    rows.append(
        (
            "",
            "total",
            "",
            f"{network.parameters:,}",
            f"{network.macs:,}",
            f"{memory['output_bytes'] // 4:,}",
            _megabytes(memory["output_bytes"]),
            "",
        )
    )
    print()
    _print_table(rows)
    print()
    print(f"{network.parameters:,} parameters, {_megabytes(memory['parameter_bytes'])} in float32")
    print(f"{network.macs:,} macs (multiply-adds, without bias) = {2 * network.macs:,} flops for one image")
    print("\narithmetic")
    for number, layer in enumerate(network.layers, 1):
        _print_arithmetic(number, layer.layer, layer.sums, layer.solved)
    if network.findings:
        print("\nfindings")
        for finding in network.findings:
            text = f"{finding.level}: {finding.line()}"
            print(textwrap.fill(text, 98, initial_indent="  ", subsequent_indent="    "))


def _print_arithmetic(number: int, name: str, sums: dict[str, str], solved: str) -> None:
    """A layer's sums; of one that only passes values on, nothing."""
    if set(sums) == {"memory"}:
        return
    print(f"  {number}  {name}")
    if solved:
        print(f"     {'solved':<11} {solved}")
    both = "height" in sums and sums["height"] == sums["width"]
    for key, title in _SUMS:
        if key in sums and not (both and key == "width"):
            print(f"     {'size' if both and key == 'height' else title:<11} {sums[key]}")


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = [
            text.ljust(width) if title in _LEFT else text.rjust(width)
            for title, text, width in zip(_COLUMNS, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _shape(shape: tuple[int, ...], channels_first: bool) -> str:
    """As the input was written."""
    if channels_first:
        return ",".join(map(str, shape))
    return "x".join(map(str, [*shape[1:], shape[0]]))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count:,} B"
