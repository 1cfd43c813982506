"""VGG: memory and parameters line by line, the five columns side by side, stacked 3x3 filters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Cell, Correction, Entry, Page, Part, Play, Plot, Setting, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {"vgg_a": "A", "vgg_a_lrn": "A-LRN", "vgg_b": "B", "vgg_c": "C", "vgg_d": "D", "vgg_e": "E"}
PRINTED_MILLIONS = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}
"""The paper's table 2, as on the slide."""
SIZES = (224, 112, 56, 28, 14)

FIELDS = (
    # the stack, and the single filter that sees as much
    ("conv:64,k3,p1*2", "conv:64,k5,p2"),
    ("conv:64,k3,p1*3", "conv:64,k7,p3"),
)

SHALLOW = (
    "conv:64,k5,p2 relu pool:2 conv:128,k5,p2 relu pool:2 conv:256,k5,p2 relu pool:2 conv:512,k5,p2 relu "
    "pool:2 conv:512,k5,p2 relu pool:2 flatten fc:4096 relu fc:4096 relu fc:1000"
)
"""B with a 5x5 filter for each pair of 3x3: section 2.3 of the paper."""
PUBLISHED = (
    # network, top-1 error, top-5 error, what it is
    ("Clarifai 2013", 11.2, "an ensemble, trained on ImageNet's 22,000 classes too"),
    ("Clarifai 2013", 11.7, "an ensemble, the challenge's images alone"),
    ("VGG 2014, as submitted", 7.3, "an ensemble of 7 networks"),
    ("VGG 2014, after the challenge", 6.8, "an ensemble of 2 networks"),
    ("VGG 2014, the best single network", 7.0, "one network"),
)
"""Top-5 error on the challenge's test images, in percent: VGG's table 7."""


def lines_of(model: str) -> list[dict[str, Any]]:
    """Input, convolutions, poolings and fully connected layers: values, weights, biases, multiply-adds."""
    from sightline.lab._networks import WEIGHTED, summary_of

    summary = summary_of(model)
    found = [_line("input", summary.blueprint.input_shapes[0][1:], 0, 0, 0, "")]
    for one in summary.layers:
        if one.kind not in (*WEIGHTED, "max_pool2d"):
            continue
        if one.kind == "conv2d":
            side = one.settings["kernel_size"][0]
            factors = f"({side}*{side}*{one.input_shape[0]})*{one.output_shape[0]}"
            name = f"conv{side}-{one.output_shape[0]}"
        elif one.kind == "linear":
            factors, name = f"{one.input_shape[-1]}*{one.output_shape[0]}", f"FC-{one.output_shape[0]}"
        else:
            factors, name = "", "maxpool"
        biases = one.output_shape[0] if one.parameters else 0
        found.append(_line(name, one.output_shape, one.parameters - biases, biases, one.macs, factors))
    return found


def _line(
    name: str, shape: Sequence[int], weights: int, biases: int, macs: int, factors: str
) -> dict[str, Any]:
    maps, *size = shape
    return {
        "layer": name, "size": "x".join(map(str, (*(size or (1, 1)), maps))), "side": size[0] if size else 1,
        "values": math.prod(shape), "weights": weights, "biases": biases, "macs": macs, "factors": factors,
    }  # fmt: skip


def _memory_table(lines: Sequence[dict[str, Any]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            one["layer"],
            one["size"],
            one["values"],
            one["values"] * 4,
            one["factors"],
            one["weights"],
            one["biases"],
        )
        for one in lines
    ]
    sums = {key: sum(one[key] for one in lines) for key in ("values", "weights", "biases")}
    rows.append(("total", "", sums["values"], sums["values"] * 4, "", sums["weights"], sums["biases"]))
    return Table(
        title="VGG-16 as on the slide",
        columns=("layer", "size", "values", "bytes", "weights are", "weights", "biases"),
        rows=rows,
        caption=f"The slide's memory is in values; a float32 has 4 bytes. Together "
        f"{sums['values'] * 4 / 1e6:.2f} MB an image, forward only, and "
        f"{sums['weights'] + sums['biases']:,} parameters with biases.",
    )


def _columns_table(networks: dict[str, list[dict[str, Any]]]) -> Table:
    """Table 1 of the paper: a row a block, a column a network."""
    from sightline.zoo import get_architecture

    rows: list[tuple[Cell, ...]] = [
        ("weight layers", *(str(get_architecture(name).depth) for name in networks))
    ]
    for block, side in enumerate(SIZES):
        cells: list[str] = []
        for name, lines in networks.items():
            there = [one["layer"] for one in lines if one["side"] == side and one["layer"].startswith("conv")]
            same = [(layer, len(list(all_of))) for layer, all_of in itertools.groupby(there)]
            lrn = ", LRN" if name == "vgg_a_lrn" and not block else ""
            cells.append(", ".join(f"{count} x {layer}" for layer, count in same) + lrn)
        rows.append((f"{side}x{side}", *cells))
    for title, keys in (("parameters", ("weights", "biases")), ("multiply-adds", ("macs",))):
        rows.append(
            (title, *(f"{sum(one[k] for one in lines for k in keys):,}" for lines in networks.values()))
        )
    rows.append(("printed, millions", *(str(PRINTED_MILLIONS[letter]) for letter in COLUMNS.values())))
    return Table(
        title="A to E, side by side",
        columns=("maps of", *COLUMNS.values()),
        rows=rows,
        caption="Read from our networks, block by block; a 2x2 max pooling follows each, FC-4096, FC-4096 "
        "and FC-1000 all. The slides' tables lost lines in printing: C and D have three convolutions at 56, "
        "28 and 14, C's third is 1x1, and E has four.",
    )


def _fields_table() -> tuple[Table, list[dict[str, Any]]]:
    from sightline.reference import design

    rows: list[tuple[Cell, ...]] = []
    numbers: list[dict[str, Any]] = []
    for pair in FIELDS:
        for line in pair:
            made = design("56x56x64", line.split())
            last = made.layers[-1]
            values = sum(one.output_bytes // 4 for one in made.layers)
            rows.append(
                (
                    line,
                    f"{last.receptive_field[0]}x{last.receptive_field[1]}",
                    made.parameters,
                    made.macs,
                    values,
                )
            )
            numbers.append(
                {
                    "line": line,
                    "field": last.receptive_field[0],
                    "parameters": made.parameters,
                    "macs": made.macs,
                }
            )
    return (
        Table(
            title="Stacked 3x3",
            columns=("layers, on 56x56x64", "field", "parameters", "multiply-adds", "values to keep"),
            rows=rows,
            caption="Two 3x3 see what one 5x5 sees with 18/25 of the weights, three what one 7x7 sees with "
            "27/49; but each layer's output is kept in training, and there is a ReLU more.",
        ),
        numbers,
    )


def _strides_table() -> Table:
    """Pooling has no parameters; nor has a stride."""
    from sightline.reference import design

    rows: list[tuple[Cell, ...]] = []
    for line in ("conv:128,k3,p1 pool:2", "conv:128,k3,p1,s2", "conv:128,k3,p1"):
        made = design("56x56x64", [*line.split(), "flatten", "fc:10"])
        convolution, classes = made.layers[0], made.layers[-1]
        rows.append((line, convolution.parameters, made.macs - classes.macs, classes.parameters))
    return Table(
        title="Pooling or strides",
        columns=("layers, on 56x56x64", "parameters", "multiply-adds", "of a fully connected layer behind"),
        rows=rows,
        caption="A convolution has as many parameters at any stride and on maps of any size. What both save "
        "is in the fully connected layers behind; a stride saves multiply-adds as well.",
    )


def _where_plot(lines: Sequence[dict[str, Any]]) -> Plot:
    from sightline.evaluation.report import RIGHT, WRONG, plot

    def drawn(figure: Figure) -> None:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, (values, colour, says) in zip(
            panels,
            (
                ([one["values"] / 1e6 for one in lines], RIGHT, "values, millions"),
                ([(one["weights"] + one["biases"]) / 1e6 for one in lines], WRONG, "parameters, millions"),
            ),
            strict=True,
        ):
            axes.bar(range(len(lines)), values, color=colour, width=0.7)
            axes.set_ylabel(says)
            axes.grid(visible=False, axis="x")
        panels[1].set_xticks(range(len(lines)), [one["layer"] for one in lines], rotation=60, ha="right")

    return Plot(
        svg=plot(
            "where", "Of each layer of VGG-16: values above, most in the first; parameters below, most in "
            "the first fully connected one", (7.6, 4.3), drawn,
        ),
        title="Where memory is, and where parameters are",
        caption="Activations are large where maps are: in the first layers. Parameters are where maps end: "
        "most of them in the first fully connected layer.",
    )  # fmt: skip


def _run(setting: Setting) -> Page:
    from sightline.lab._networks import drawing
    from sightline.reference import design

    networks = {name: lines_of(name) for name in COLUMNS}
    sixteen = networks["vgg_d"]
    values = sum(one["values"] for one in sixteen)
    weights, biases = (sum(one[key] for one in sixteen) for key in ("weights", "biases"))
    parameters = weights + biases
    early = sum(one["values"] for one in sixteen if one["side"] == SIZES[0])
    first_full = next(one for one in sixteen if one["layer"] == "FC-4096")["weights"]
    fields, stacks = _fields_table()
    shallow = design("224x224x3", SHALLOW.split())
    totals = {
        letter: sum(one["weights"] + one["biases"] for one in networks[name])
        for name, letter in COLUMNS.items()
    }
    macs = {letter: sum(one["macs"] for one in networks[name]) for name, letter in COLUMNS.items()}
    parts: tuple[Part, ...] = (
        drawing("vgg16", "VGG-16, to scale"),
        _memory_table(sixteen),
        _where_plot(sixteen),
        _columns_table(networks),
        fields,
        Table(
            title="B against five 5x5",
            columns=("network", "weight layers", "parameters", "multiply-adds"),
            rows=(
                ("B: pairs of 3x3", 13, totals["B"], macs["B"]),
                ("a 5x5 for each pair", 8, shallow.parameters, shallow.macs),
            ),
            caption="The paper's own comparison (section 4.1): the shallow net's top-1 error was 7 points "
            "higher.",
        ),
        _strides_table(),
        Table(
            title="What 11.2 to 7.3 compares",
            columns=("entry", "top-5 error, %", "what it is"),
            rows=PUBLISHED,
            caption="Published: test images of the challenge, VGG's table 7.",
        ),
    )
    return Page(
        sentences=(
            f"VGG-16 keeps {values:,} values an image, {values * 4 / 1e6:.2f} MB in float32, and learns "
            f"{weights:,} weights and {biases:,} biases, {parameters * 4 / 1e6:.1f} MB.",
            f"{100 * early / values:.0f} % of the values are at 224x224, before the first pooling, and "
            f"{100 * first_full / parameters:.0f} % of the parameters in the first fully connected layer.",
        ),
        parts=parts,
        numbers={
            "values": values,
            "bytes": values * 4,
            "weights": weights,
            "biases": biases,
            "parameters": parameters,
            "parameter_bytes": parameters * 4,
            "share_of_values_at_224": early / values,
            "share_of_parameters_in_first_fc": first_full / parameters,
            "shallow_parameters": shallow.parameters,
            "shallow_macs": shallow.macs,
            "columns": {
                letter: {"parameters": totals[letter], "macs": macs[letter], "printed_millions": printed}
                for letter, printed in PRINTED_MILLIONS.items()
            },
            "stacks": stacks,
            "lines": [{key: one[key] for key in ("layer", "size", "values", "weights")} for one in sixteen],
        },
        notes=("Errors are published ones; nothing was trained here.",),
    )


ENTRY = Entry(
    name="vgg",
    title="VGG",
    slides="Case Study: VGGNet; VGGNet16; ILSVRC 2014; Depth in VGGNet; Summary: VGGNet",
    about="Where are VGG's memory and its parameters, and what do stacks of 3x3 filters save?",
    see="The slide's table with its sums, A to E side by side, and 3x3 stacks against 5x5 and 7x7.",
    seconds=8,
    commands=(
        "sightline summary vgg16 --slide",
        "sightline compare vgg_c vgg_d",
        "sightline design 56x56x64 conv:64,k3,p1*2",
        "sightline models vgg",
    ),
    corrections=(
        Correction(
            says="memory: 224*224*64 = 3.2M",
            fact="Those are values, not bytes: together 15,237,608, which is 60.95 MB in float32. The total "
            "that is often printed with this table, 24M values and 93 MB, is not the sum of its lines.",
            evidence="sightline summary vgg16 --slide",
        ),
        Correction(
            says="VGGNet16 is a BIG model - almost 600MB",
            fact="553.4 MB, or 527.8 MiB, as float32.",
            evidence="138,357,544 parameters of 4 bytes",
        ),
        Correction(
            says="Uses pooling layers instead of strides, again reducing the number of parameters",
            fact="Neither a pooling nor a stride changes the parameters of a convolution; what shrinks are "
            "the fully connected layers behind, by either.",
            evidence="(3*3*64 + 1)*128 = 73,856 with pooling, with stride 2, and without either",
        ),
        Correction(
            says="VGGNet used only (3,3) kernels",
            fact="Column C has 1x1 convolutions, one in each of its last three blocks.",
            evidence="table 1 of the paper; sightline compare vgg_c vgg_d",
        ),
        Correction(
            says="best model: 11.2% top 5 error in ILSVRC 2013 -> 7.3% top 5 error",
            fact="11.2 is Clarifai's ensemble with other images, 11.7 without; 7.3 is an ensemble of seven "
            "networks. The best single VGG has 7.0, measured after the challenge.",
            evidence="VGG's tables 6 and 7; table 2 of the GoogLeNet paper",
        ),
        Correction(
            says="The ReLU activations in VGGNet can suffer from vanishing gradients ... impossible to "
            "train early convolutions",
            fact="VGG's deep columns were started from a trained A; with weights started by their fan, "
            "rectifier nets of 30 layers train from nothing.",
            evidence="VGG section 3.1; He et al. 2015, Delving deep, section 2.2; sightline lab depth",
        ),
        Correction(
            says="the tables of configurations",
            fact="They lost lines in printing. The first shows C and D with two convolutions in each block, "
            "the second E with three; D has three at 56, 28 and 14, and E four.",
            evidence="16 and 19 weight layers come of 2+2+3+3+3+3 and 2+2+4+4+4+3; table 1 of the paper",
        ),
    ),
    plays=(
        Play(kind="design", given={"line": "224x224x3 conv:64,k3,p1*2 pool:2 conv:128,k3,p1*2 pool:2"}),
        Play(kind="design", given={"line": "56x56x64 conv:64,k3,p1*2"}),
    ),
    run=_run,
)
