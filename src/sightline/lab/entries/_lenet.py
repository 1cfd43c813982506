"""LeNet-5 of 1998: 60,000 parameters and 340,908 connections, counted; and trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Cell, Correction, Entry, Page, Part, Picture, Play, Plot, Setting, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sightline.lab._networks import Learned

EPOCHS = 3
PUBLISHED_CONNECTIONS = 340_908
"""The paper's section II.B."""

TODAY = {"conv2d": "convolution 5x5", "max_pool2d": "max pooling 2x2", "linear": "fully connected"}

LAYERS = (
    # module, the paper's name, what it does, what it learns to find by the slide
    ("c1", "C1", "convolution 5x5", "low: edges, dark spots"),
    ("s2", "S2", "sub-sampling 2x2", ""),
    ("c3", "C3", "convolution 5x5 of some maps", "middle: parts"),
    ("s4", "S4", "sub-sampling 2x2", ""),
    ("c5", "C5", "convolution 5x5", "high: the whole"),
    ("f6", "F6", "fully connected", ""),
    ("output", "output", "distances to fixed codes", ""),
)


def connection_table() -> tuple[tuple[int, ...], ...]:
    """Of each map of C3, the maps of S2 that it sees, as our network has them."""
    from sightline.zoo import get_architecture

    network: Any = get_architecture("lenet5_1998").build()
    return tuple(tuple(maps) for group in network.c3[0].tables for maps in group)


def count_layers(table: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Of each layer of the paper: output, parameters, connections and multiply-adds, with their sums.

    A connection is an input of a unit, the bias being one of them: a parameter of a convolution has one at
    every place of its map, and a unit of a sub-sampling has its four pixels and a bias.

    Args:
        table: Of C3.
    """
    from sightline.lab._networks import summary_of

    summary = summary_of("lenet5_1998")
    by_size = sorted(Counter(map(len, table)).items())
    parameter_sums = {
        "C1": "(5*5*1 + 1) * 6",
        "S2": "(1 + 1) * 6",
        "C3": " + ".join(f"{count}*({seen}*25 + 1)" for seen, count in by_size),
        "S4": "(1 + 1) * 16",
        "C5": "(5*5*16 + 1) * 120",
        "F6": "(120 + 1) * 84",
        "output": "0; 10*84 codes are fixed",
    }
    found: list[dict[str, Any]] = []
    for module, name, does, finds in LAYERS:
        nodes = [one for one in summary.layers if one.name.replace(":", ".").split(".")[0] == module]
        maps, *size = nodes[-1].output_shape
        places = size[0] * size[1] if size else 1
        parameters = sum(one.parameters for one in nodes)
        at = f" * {size[0]}*{size[1]}" if size else ""
        if name in ("S2", "S4"):
            connections, connections_sum = (4 + 1) * maps * places, f"(4 + 1) * {maps}{at}"
        elif name == "output":
            connections, connections_sum = maps * nodes[0].output_shape[-1], "84 * 10"
        else:
            connections, connections_sum = parameters * places, f"{parameters:,}{at}"
        fields = [one.field for one in nodes if one.field is not None]
        found.append(
            {
                "layer": name, "does": does, "finds": finds,
                "output": "x".join(map(str, (maps, *size))),
                "parameters_sum": parameter_sums[name], "parameters": parameters,
                "connections_sum": connections_sum, "connections": connections,
                "macs": sum(one.macs for one in nodes), "field": fields[-1].size[0],
            }
        )  # fmt: skip
    return found


def _layers_table(layers: Sequence[dict[str, Any]], totals: dict[str, int]) -> Table:
    keys = (
        "layer",
        "does",
        "output",
        "parameters_sum",
        "parameters",
        "connections_sum",
        "connections",
        "macs",
    )
    rows: list[tuple[Cell, ...]] = [tuple(one[key] for key in keys) for one in layers]
    rows.append(
        ("total", "", "", "", totals["parameters"], "", totals["connections"], totals["macs"]),
    )
    return Table(
        title="LeNet-5, counted",
        columns=(
            "layer", "what", "output", "sum", "parameters", "sum", "connections", "multiply-adds",
        ),
        rows=rows,
        caption="A connection is an input of a unit, its bias among them; sharing a parameter over a map "
        "is why there are more connections than parameters. Multiply-adds are those of convolutions and "
        "matrices.",
    )  # fmt: skip


def _table_plot(table: Sequence[Sequence[int]]) -> Plot:
    from sightline.evaluation.report import RIGHT, plot

    def drawn(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = [(column, row) for column, maps in enumerate(table) for row in maps]
        x, y = zip(*places, strict=True)
        axes.scatter(x, y, marker="s", s=190, color=RIGHT, linewidths=0)
        axes.set_xticks(range(len(table)))
        axes.set_yticks(range(6))
        axes.set(xlim=(-0.6, len(table) - 0.4), ylim=(5.6, -0.6), xlabel="map of C3", ylabel="map of S2")
        axes.set_aspect("equal")
        axes.tick_params(length=0)

    counts = Counter(row for maps in table for row in maps)
    return Plot(
        svg=plot(
            "c3", f"Which of the 6 maps of S2 each of the {len(table)} maps of C3 sees", (7.2, 3.1), drawn
        ),
        title="C3's table",
        caption=f"Each map of C3 sees 3, 4 or all 6 maps of S2, so that no two learn the same; each map of "
        f"S2 is seen by {counts[0]}. {sum(map(len, table))} kernels of 5x5 and {len(table)} biases make "
        f"{sum(25 * len(maps) + 1 for maps in table):,} parameters; a dense layer has "
        f"{len(table) * (25 * 6 + 1):,}.",
    )


def _today_table(layers: Sequence[dict[str, Any]]) -> Table:
    """The simplified network of today beside the paper's."""
    from sightline.lab._networks import WEIGHTED, summary_of

    today = iter([one for one in summary_of("lenet5").layers if one.kind in (*WEIGHTED, "max_pool2d")])
    rows: list[tuple[Cell, ...]] = []
    for one in layers:
        other = next(today)
        rows.append(
            (
                one["layer"], one["does"], one["parameters"], one["macs"],
                TODAY[other.kind],
                other.parameters, other.macs,
            )
        )  # fmt: skip
    rows.append(
        (
            "total", "", sum(one["parameters"] for one in layers), sum(one["macs"] for one in layers),
            "", sum(row[5] for row in rows if isinstance(row[5], int)),
            sum(row[6] for row in rows if isinstance(row[6], int)),
        )
    )  # fmt: skip
    return Table(
        title="1998 and today",
        columns=("layer", "1998", "parameters", "multiply-adds", "today", "parameters", "multiply-adds"),
        rows=rows,
        caption="What is called LeNet-5 today has ReLU for 1.7159 tanh(2/3 a), max pooling for a trained "
        "sub-sampling, a dense C3, and ten logits for ten codes.",
    )


def _maps_picture(after: Learned) -> Picture:
    """A digit through the trained network."""
    from sightline.imaging import digits
    from sightline.views import maps, open_subject

    subject = open_subject(str(after.run))
    view = maps(subject, subject.picture(digits()[0][0, 0], "a zero"))
    png = view.save(after.run / "maps.png").read_bytes()
    return Picture(
        png=png,
        title="A digit on its way",
        alt="A handwritten zero, its six maps of C1 and eight of the sixteen maps of C3, in colours for "
        "negative and positive values",
        caption="C1 answers to edges and strokes where they are, C3 to what several maps have in common over "
        "14 pixels. More of what filters learn: sightline lab features.",
    )


def _run(setting: Setting) -> Page:
    from sightline.lab._networks import drawing, learned, published
    from sightline.zoo import get_architecture

    table = connection_table()
    layers = count_layers(table)
    totals = {key: sum(one[key] for one in layers) for key in ("parameters", "connections", "macs")}
    with learned("lenet5_1998", "digits", epochs=EPOCHS, seed=setting.seed, progress=setting.progress) as old:
        picture = _maps_picture(old)
    with learned("lenet5", "digits", epochs=EPOCHS, seed=setting.seed, progress=setting.progress) as new:
        pass
    paper = published(get_architecture("lenet5_1998"), "20 passes")
    assert paper.top1_error is not None
    parts: tuple[Part, ...] = (
        drawing("lenet5", "LeNet-5, to scale", "The same stack of sizes in 1998 and today."),
        _layers_table(layers, totals),
        _table_plot(table),
        _today_table(layers),
        Table(
            title="What a unit sees",
            columns=("layer", "pixels", "of the image", "by the slide"),
            rows=[
                (
                    one["layer"],
                    f"{one['field']}x{one['field']}",
                    f"{100 * (one['field'] / 32) ** 2:.0f} %",
                    one["finds"],
                )
                for one in layers[:5]
            ],
            caption="Low, middle and high are how much of the image a unit sees, as a share of 32x32. What "
            "the units then answer to is learned, not chosen.",
        ),
        picture,
        Table(
            title="Trained for seconds",
            columns=("network", "images", "epochs", "accuracy, 95 % interval", "of test images"),
            rows=[
                (name, one.train_images, one.epochs, one.text, one.evaluation.scores.n)
                for name, one in (("lenet5_1998", old), ("lenet5", new))
            ],
            caption=f"On the 8x8 digits that come with scikit-learn, enlarged to 32x32. The paper's own: "
            f"{100 * paper.top1_error:.2f} % error on MNIST, {paper.protocol}.",
        ),
    )
    return Page(
        sentences=(
            f"LeNet-5 has {totals['parameters']:,} parameters and {totals['connections']:,} connections, as "
            f"published; after {old.epochs} epochs of {old.train_images:,} digits of 8x8 it is right for "
            f"{old.text} of {old.evaluation.scores.n} others.",
            f"Without shared weights each connection would be a parameter of its own: "
            f"{totals['connections'] / totals['parameters']:.1f} times as many numbers to learn.",
        ),
        parts=parts,
        numbers={
            "parameters": totals["parameters"],
            "connections": totals["connections"],
            "macs": totals["macs"],
            "parameters_today": get_architecture("lenet5").parameters,
            "macs_today": get_architecture("lenet5").macs,
            "accuracy": old.numbers["accuracy"],
            "accuracy_today": new.numbers["accuracy"],
            "test_images": old.numbers["test_images"],
            "epochs": old.epochs,
            "interval": old.numbers["interval"],
            "interval_today": new.numbers["interval"],
            "layers": [
                {key: one[key] for key in ("layer", "output", "parameters", "connections", "macs", "field")}
                for one in layers
            ],
            "c3_table": [list(maps) for maps in table],
        },
        notes=(
            "The codes of the output are rows of a Hadamard matrix; the paper's bitmaps of characters are "
            "not printed exactly anywhere that we could read.",
        ),
    )


ENTRY = Entry(
    name="lenet",
    title="LeNet-5",
    slides="LeNet-5; Key idea: learn hierarchy of features directly from the data",
    about="What were the first convolutional network's layers, and what do its 60,000 parameters do?",
    see="Every parameter and connection counted, C3's connections drawn, and the network trained.",
    seconds=20,
    commands=(
        "sightline summary lenet5_1998 --arithmetic",
        "sightline draw lenet5 -o lenet5.svg",
        "sightline compare lenet5_1998 lenet5",
        "sightline demo",
    ),
    corrections=(
        Correction(
            says="Low, mid and high level features: edges; eyes, ears, nose; facial structure",
            fact="That a layer sees more is arithmetic; that its units stand for parts of faces is not: they "
            "answer to mixtures that training found useful, and one has to look.",
            evidence="fields 5, 14 and 32 pixels of C1, C3 and C5; sightline lab features",
        ),
    ),
    plays=(
        Play(kind="design", given={"line": "32x32x1 conv:6,k5 tanh avgpool:2 conv:16,k5 tanh avgpool:2 "
                                   "conv:120,k5 tanh flatten fc:84 tanh fc:10"}),
    ),
    run=_run,
)  # fmt: skip
