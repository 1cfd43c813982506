"""AlexNet: the lecture's single tower, the paper's two halves, and the one whose weights are public."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Cell, Correction, Entry, Page, Part, Play, Plot, Setting, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORKS = {"alexnet_lecture": "the lecture", "alexnet_2012": "the paper", "alexnet": "torchvision"}
NAMES = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

INPUTS = (
    # input, padding, whose
    ("227x227x3", "0", "the lecture"),
    ("224x224x3", "0", "the paper's text"),
    ("224x224x3", "2", "torchvision"),
    ("224x224x3", "?=55", "what fits"),
)

ENSEMBLES = (
    # networks, validation top-5 error in percent, training images of other sets
    ("1 network", 18.2, "no"),
    ("5 networks", 16.4, "no"),
    ("1 network, with a sixth convolution", 16.6, "ImageNet of autumn 2011, 15 million images"),
    ("7 networks: those 5, and 2 trained on more", 15.4, "2 of them: ImageNet of autumn 2011"),
)
"""Table 2 of the paper."""

DETAILS = (
    # the slide, what the paper has, verdict
    (
        "first use of ReLU",
        "cites Nair and Hinton 2010 for it (section 3.1)",
        "no: made famous, not first used",
    ),
    ("used Norm layers", "1.4 points of top-1 and 1.2 of top-5 error less (section 3.3)", "yes"),
    (
        "heavy data augmentation",
        "crops of 224 from 256 and mirrors, 32*32*2 = 2,048 of an image; colour by principal components, "
        "over a point of top-1 error (section 4.1)",
        "yes",
    ),
    (
        "dropout 0.5",
        "on the first two fully connected layers, fc6 and fc7 (section 4.2)",
        "yes, of two layers",
    ),
    ("batch size 128", "128 (section 5)", "yes"),
    ("SGD Momentum 0.9", "0.9 (section 5)", "yes"),
    (
        "Learning rate 1e-2, reduced by 10 manually when val accuracy plateaus",
        "0.01, divided by 10 three times (section 5)",
        "yes",
    ),
    ("L2 weight decay 5e-4", "0.0005, as a part of the step: 0.0005 * rate * weight (section 5)", "yes"),
    ("7 CNN ensemble: 18.2% -> 15.4%", "table 2: see the ensembles", "no: two saw more images"),
)


def layers_of(model: str) -> list[dict[str, Any]]:
    """Convolutions, poolings and fully connected layers of a network, in order."""
    from sightline.lab._networks import summary_of

    names = iter(NAMES)
    found: list[dict[str, Any]] = []
    for one in summary_of(model).layers:
        if one.kind not in ("conv2d", "max_pool2d", "linear", "local_response_norm"):
            continue
        pooled = {"max_pool2d": "pool", "local_response_norm": "norm"}.get(one.kind)
        maps, *size = one.output_shape
        found.append(
            {
                "layer": pooled or next(names), "output": "x".join(map(str, (*size, maps))),
                "parameters": one.parameters, "macs": one.macs, "groups": one.settings.get("groups", 1),
            }
        )  # fmt: skip
    return found


def _side_by_side(networks: dict[str, list[dict[str, Any]]]) -> tuple[Table, Table]:
    weighted = {name: [one for one in layers if one["parameters"]] for name, layers in networks.items()}
    counts: list[tuple[Cell, ...]] = []
    for k, layer in enumerate(NAMES):
        row: list[Cell] = [layer]
        for layers in weighted.values():
            halves = ", halves" if layers[k]["groups"] == 2 else ""
            row += [layers[k]["output"] + halves, layers[k]["parameters"], layers[k]["macs"]]
        counts.append(tuple(row))
    total: list[Cell] = ["total"]
    for layers in weighted.values():
        total += ["", sum(one["parameters"] for one in layers), sum(one["macs"] for one in layers)]
    heads = [head for whose in NETWORKS.values() for head in (whose, "parameters", "multiply-adds")]
    order: list[tuple[Cell, ...]] = [
        (NETWORKS[name], " ".join(one["layer"] for one in layers)) for name, layers in networks.items()
    ]
    return (
        Table(
            title="Three networks called AlexNet",
            columns=("layer", *heads),
            rows=[*counts, tuple(total)],
            caption="In halves: each filter sees the maps of its own GPU only, which halves the weights. "
            "torchvision's is Krizhevsky's later single tower: fewer filters, padding 2, no normalisation.",
        ),
        Table(
            title="The order of layers",
            columns=("network", "layers"),
            rows=order,
            caption="The lecture pools before it normalises, as Caffe's reference network did; the paper "
            "normalises first.",
        ),
    )


def _sizes() -> tuple[Table, dict[str, int]]:
    from sightline.reference import design

    rows: list[tuple[Cell, ...]] = []
    sizes: dict[str, int] = {}
    for shape, pad, whose in INPUTS:
        layer = design(shape, [f"conv:96,k11,s4,p{pad}"]).layers[0]
        lost = ", ".join(map(str, layer.lost[0])) or "none"
        rows.append((whose, f"{shape} {layer.layer}", layer.sums["height"], layer.output_shape[1], lost))
        sizes[f"{shape.partition('x')[0]}_pad_{pad.strip('?=')}"] = layer.output_shape[1]
    return (
        Table(
            title="227 or 224",
            columns=("whose", "design", "rows", "PyTorch makes", "rows never seen"),
            rows=rows,
            caption="The paper says 224 and draws 55; by its own formula only 227 gives that. PyTorch rounds "
            "down and says nothing.",
        ),
        sizes,
    )


def compare_orders(seed: int) -> dict[str, float]:
    """How much it matters whether conv1's maps of a photograph are pooled or normalised first.

    Filters are drawn as the paper starts them, pixels are 0 to 255 less their mean.

    Args:
        seed: Of the filters.
    """
    import torch
    from torch import nn

    from sightline.imaging import photograph

    pixels = torch.from_numpy(photograph("china")[:227, :227].copy()).permute(2, 0, 1)[None].float()
    weights = torch.randn(96, 3, 11, 11, generator=torch.Generator().manual_seed(seed)) * 0.01
    maps = torch.relu(torch.conv2d(pixels - pixels.mean((2, 3), keepdim=True), weights, stride=4))
    norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    pool = nn.MaxPool2d(3, stride=2)
    first, last = pool(norm(maps)), norm(pool(maps))
    squares = torch.nn.functional.pad(maps**2, (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
    formula = maps / (2 + 1e-4 * squares) ** 0.75
    scale = float(first.abs().max())
    return {
        "order_largest_difference": float((first - last).abs().max()) / scale,
        "order_share_different": float(((first - last).abs() > 1e-6 * scale).float().mean()),
        "values_normalised_before": maps[0].numel(),
        "values_normalised_after": pool(maps)[0].numel(),
        "formula_largest_difference": float((norm(maps) - formula).abs().max()) / scale,
        "alpha_taken_literally": float(
            (nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)(maps) - formula).abs().max()
        ) / scale,
    }  # fmt: skip


def _ensemble_plot() -> Plot:
    from sightline.evaluation.report import RIGHT, WRONG, plot

    def drawn(figure: Figure) -> None:
        axes = figure.add_subplot()
        errors = [error for _, error, _ in ENSEMBLES]
        colours = [RIGHT if more == "no" else WRONG for *_, more in ENSEMBLES]
        axes.barh(range(len(errors)), errors, color=colours, height=0.6)
        for k, error in enumerate(errors):
            axes.annotate(f"{error} %", (error, k), xytext=(4, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(errors)), [name for name, *_ in ENSEMBLES])
        axes.set(xlim=(0, 21), xlabel="top-5 error on ImageNet val, %")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")

    told = ", ".join(str(error) for _, error, _ in ENSEMBLES)
    return Plot(
        svg=plot("ensembles", f"Top-5 errors of AlexNet and its ensembles: {told} %", (7, 2.3), drawn),
        title="The ensembles",
        caption="Published: the paper's table 2. Blue: trained on the challenge's 1.2 million images alone; "
        "orange: with more. The slide's 18.2 to 15.4 changes two things at once; without other images it is "
        "18.2 to 16.4.",
    )  # fmt: skip


def _run(setting: Setting) -> Page:
    from sightline.lab._networks import drawing

    networks = {name: layers_of(name) for name in NETWORKS}
    totals = {
        name: {key: sum(one[key] for one in layers) for key in ("parameters", "macs")}
        for name, layers in networks.items()
    }
    side, order = _side_by_side(networks)
    sizes, rows = _sizes()
    orders = compare_orders(setting.seed)
    full = sum(one["parameters"] for one in networks["alexnet_lecture"] if one["layer"].startswith("fc"))
    share = full / totals["alexnet_lecture"]["parameters"]
    parts: tuple[Part, ...] = (
        drawing("alexnet_lecture", "As the lecture lists it, to scale"),
        side,
        sizes,
        order,
        Table(
            title="Normalise or pool first",
            columns=("on conv1's maps of a photograph", "value"),
            rows=(
                ("values normalised, norm first", int(orders["values_normalised_before"])),
                ("values normalised, pool first", int(orders["values_normalised_after"])),
                ("share of outputs that differ", orders["order_share_different"]),
                ("largest difference, of the largest output", orders["order_largest_difference"]),
                (
                    "the paper's formula against LocalResponseNorm(5, alpha=5e-4)",
                    orders["formula_largest_difference"],
                ),
                ("... against alpha=1e-4, as the paper prints it", orders["alpha_taken_literally"]),
            ),
            caption="No parameter depends on the order, but the outputs do; pooling first is cheaper. "
            "PyTorch divides alpha by the size, so the paper's 1e-4 is written 5e-4.",
        ),
        Table(
            title="Details, checked",
            columns=("the slide", "the paper", "so?"),
            rows=DETAILS,
            caption="Krizhevsky, Sutskever, Hinton 2012.",
        ),
        _ensemble_plot(),
    )
    return Page(
        sentences=(
            f"The lecture's single tower has {totals['alexnet_lecture']['parameters']:,} parameters, the "
            f"paper's two halves {totals['alexnet_2012']['parameters']:,}, torchvision's "
            f"{totals['alexnet']['parameters']:,}: three networks of one name.",
            f"{100 * share:.0f} % of the lecture's parameters are in the three fully connected layers, and "
            f"{100 * (1 - full / totals['alexnet_lecture']['macs']):.0f} % of its multiply-adds in the five "
            "convolutions.",
        ),
        parts=parts,
        numbers={
            **{f"parameters_{name}": total["parameters"] for name, total in totals.items()},
            **{f"macs_{name}": total["macs"] for name, total in totals.items()},
            "fully_connected_share": share,
            **{f"conv1_rows_{key}": value for key, value in rows.items()},
            **orders,
            "layers": networks,
            "ensembles": [
                {"networks": name, "top5_error": round(error / 100, 4), "more_images": more != "no"}
                for name, error, more in ENSEMBLES
            ],
        },
        notes=(
            "Errors and settings of training are published ones, from the paper's sections and tables named.",
        ),
    )


ENTRY = Entry(
    name="alexnet",
    title="AlexNet",
    slides="Case Study: AlexNet; Details/Retrospectives",
    about="Which network is it that the slide lists, and does it do what the paper did?",
    see="Three AlexNets layer by layer, 227 against 224, and each detail of the slide checked.",
    seconds=9,
    commands=(
        "sightline compare alexnet_lecture alexnet_2012",
        "sightline summary alexnet_2012",
        "sightline design 224x224x3 conv:96,k11,s4",
        "sightline draw alexnet_lecture -o alexnet.svg",
    ),
    corrections=(
        Correction(
            says="MAX POOL1, then NORM1; MAX POOL2, then NORM2",
            fact="The paper normalises first and pools then; the slide's order is that of Caffe's copy.",
            evidence="sections 3.3 to 3.5 of the paper; sightline compare alexnet_lecture alexnet_2012",
        ),
        Correction(
            says="CONV2: 256 5x5 filters (on all 96 maps)",
            fact="In the paper conv2, conv4 and conv5 are in two halves that see half of the maps each: "
            "60,965,224 parameters, not 62,378,344. So filters do not always extend the full depth.",
            evidence="figure 2 of the paper; (5*5*48 + 1)*256 = 307,456 against (5*5*96 + 1)*256 = 614,656",
        ),
        Correction(
            says="[227x227x3] INPUT",
            fact="The paper says 224x224, which 11x11 at stride 4 does not make 55x55; 227 is the repair.",
            evidence="(224 - 11)/4 + 1 = 54.25, (227 - 11)/4 + 1 = 55",
        ),
        Correction(
            says="first use of ReLU",
            fact="Rectified units were used before it, and the paper says by whom.",
            evidence="section 3.1 cites Nair and Hinton 2010, for restricted Boltzmann machines",
        ),
        Correction(
            says="7 CNN ensemble: 18.2% -> 15.4%",
            fact="Two of the seven were trained on the 15 million images of ImageNet 2011 first; without "
            "other images five networks come to 16.4 %.",
            evidence="table 2 of the paper",
        ),
    ),
    plays=(
        Play(
            kind="design",
            given={
                "line": "227x227x3 conv:96,k11,s4 relu lrn:5 pool:3,s2 conv:256,k5,p2,g2 relu lrn:5 "
                "pool:3,s2 conv:384,k3,p1 relu conv:384,k3,p1,g2 relu conv:256,k3,p1,g2 relu pool:3,s2 "
                "flatten fc:4096 relu fc:4096 relu fc:1000"
            },
        ),
    ),
    run=_run,
)
