"""The revolution of depth, and Table 3: published errors beside counted parameters and multiply-adds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightline.lab._entry import Cell, Correction, Entry, Page, Part, Plot, Setting, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINNERS = (
    # year, entry, layers (0: features by hand, "shallow"), top-5 error in percent, where it is printed
    (2010, "NEC-UIUC", 0, 28.2, "AlexNet's table 1, as sparse coding"),
    (2011, "XRCE", 0, 25.8, "He et al. 2015, talk on ResNet, the slide of this name"),
    (2012, "AlexNet", 8, 16.4, "AlexNet's table 2, 5 networks"),
    (2013, "Clarifai, a ZFNet", 8, 11.7, "VGG's table 7, the challenge's images alone"),
    (2014, "VGG", 19, 7.3, "VGG's table 7, 7 networks"),
    (2014, "GoogLeNet", 22, 6.7, "GoogLeNet's table 2, 7 networks"),
    (2015, "ResNet", 152, 3.57, "ResNet's table 5, 6 networks"),
)
"""Of the challenge, test images; ensembles all."""

SINGLE = (
    # architecture, words of the protocol of the published result
    ("alexnet_2012", "one network, 10 crops; the paper's table 2"),
    ("zfnet", "one network; the paper's table 2"),
    ("vgg19", "dense and 150 crops; table 7"),
    ("googlenet_2014", "1 model, 144 crops"),
    ("resnet152_v1", "averaged over shorter sides"),
)
"""One network each, as its paper shows it at its best."""

TABLE_3 = (
    # as printed, our architecture, top-1 and top-5 error as printed
    ("VGG-16", "vgg16", 28.07, 9.33),
    ("GoogLeNet", "googlenet_2014", None, 9.15),
    ("PReLU-net", "prelunet_c", 24.27, 7.38),
    ("plain-34", "plain34", 28.54, 10.02),
    ("ResNet-34 A", "resnet34_a", 25.03, 7.76),
    ("ResNet-34 B", "resnet34", 24.52, 7.46),
    ("ResNet-34 C", "resnet34_c", 24.19, 7.40),
    ("ResNet-50", "resnet50_v1", 22.85, 6.71),
    ("ResNet-101", "resnet101_v1", 21.75, 6.05),
    ("ResNet-152", "resnet152_v1", 21.43, 5.71),
)
"""The lecture's last slide: 10 crops, ImageNet val."""


def single_networks() -> list[dict[str, Any]]:
    """Depth and published error of each of `SINGLE`, from the registry."""
    from sightline.lab._networks import published
    from sightline.zoo import get_architecture

    found = []
    for name, words in SINGLE:
        architecture = get_architecture(name)
        result = published(architecture, words)
        found.append(
            {
                "network": name, "year": architecture.year, "depth": architecture.depth,
                "top5_error": result.top5_error, "parameters": architecture.parameters,
                "protocol": f"{result.data}: {result.protocol}",
            }
        )  # fmt: skip
    return found


def table_3() -> list[dict[str, Any]]:
    """Each row of the lecture's table, with the registry's errors, parameters and multiply-adds."""
    from sightline.lab._networks import published
    from sightline.zoo import get_architecture

    found = []
    for printed, name, top1, top5 in TABLE_3:
        architecture = get_architecture(name)
        result = published(architecture, "10 crops")
        registry = tuple(
            None if error is None else round(100 * error, 2)
            for error in (result.top1_error, result.top5_error)
        )
        found.append(
            {
                "printed": printed, "network": name, "depth": architecture.depth,
                "top1": registry[0], "top5": registry[1], "agrees": registry == (top1, top5),
                "parameters": architecture.parameters, "macs": architecture.macs,
                "protocol": result.protocol,
            }
        )  # fmt: skip
    return found


def _depth_plot() -> Plot:
    from sightline.evaluation.report import RIGHT, WRONG, plot

    def drawn(figure: Figure) -> None:
        errors, depths = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
        places = range(len(WINNERS))
        colours = [RIGHT if depth else WRONG for _, _, depth, _, _ in WINNERS]
        errors.bar(places, [error for *_, error, _ in WINNERS], color=colours, width=0.6)
        depths.bar(places, [depth for _, _, depth, _, _ in WINNERS], color=colours, width=0.6)
        for k, (_, _, depth, error, _) in enumerate(WINNERS):
            for axes, height, text in (
                (errors, error, f"{error} %"),
                (depths, depth, f"{depth}" if depth else "shallow"),
            ):
                axes.annotate(
                    text, (k, height), xytext=(0, 3), textcoords="offset points", ha="center", va="bottom"
                )
        errors.set(ylabel="top-5 error, %", ylim=(0, 33))
        depths.set(ylabel="layers", ylim=(0, 185))
        for axes in (errors, depths):
            axes.grid(visible=False, axis="x")
        depths.set_xticks(places, [f"{name}\n{year}" for year, name, *_ in WINNERS])

    told = ", ".join(
        f"{name} {year}: {error} %, {depth or 'no'} layers" for year, name, depth, error, _ in WINNERS
    )
    return Plot(
        svg=plot("depth", f"Best entries of the ImageNet challenge. {told}", (7.8, 4.2), drawn),
        title="Revolution of depth",
        caption="Top-5 error on the challenge's test images, and layers with weights. All are ensembles; "
        "AlexNet's is the one without other images, with them it was 15.3 %. Features of 2010 and 2011 were "
        "made by hand.",
    )


def _cost_plot(rows: list[dict[str, Any]]) -> Plot:
    from sightline.evaluation.report import RIGHT, WRONG, plot

    def drawn(figure: Figure) -> None:
        axes = figure.add_subplot()
        for one in rows:
            colour = RIGHT if one["printed"].startswith("ResNet") else WRONG
            x, y = one["macs"] / 1e9, one["top5"]
            axes.scatter(x, y, s=one["parameters"] / 4e5, color=colour, alpha=0.45, linewidths=0)
            axes.plot(x, y, ".", color=colour, markersize=4)
        places = {"plain-34": (6, 5), "ResNet-34 A": (-6, 6), "ResNet-34 B": (8, -1), "ResNet-34 C": (8, -11)}
        for one in rows:
            x, y = places.get(one["printed"], (9, 4))
            axes.annotate(
                one["printed"], (one["macs"] / 1e9, one["top5"]), xytext=(x, y), textcoords="offset points",
                ha="right" if x < 0 else "left",
            )  # fmt: skip
        axes.set(xscale="log", xlim=(1.2, 110), ylim=(5.2, 10.6))
        axes.set_xlabel("multiply-adds of one crop, billions")
        axes.set_ylabel("top-5 error, 10 crops, %")
        ticks = (2, 4, 8, 16, 32, 64)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()

    return Plot(
        svg=plot(
            "cost",
            "Top-5 error of the ten networks of Table 3 against their multiply-adds",
            (7.4, 4.2),
            drawn,
        ),
        title="Error against cost",
        caption="Table 3 as a picture; areas are parameters, ResNets blue. ResNet-152 multiplies less than "
        "VGG-16 and has fewer than half of its parameters.",
    )


def _run(setting: Setting) -> Page:
    from sightline.zoo import get_architecture

    single, rows = single_networks(), table_3()
    plain, residual, vgg = (get_architecture(name) for name in ("plain34", "resnet34", "vgg19"))
    resnets = [
        get_architecture(name) for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    ]
    most = max(resnets, key=lambda one: one.parameters)
    cells: list[tuple[Cell, ...]] = [
        (
            one["printed"], one["network"], one["depth"],
            "-" if one["top1"] is None else f"{one['top1']:.2f}", f"{one['top5']:.2f}",
            "yes" if one["agrees"] else "no", one["parameters"], one["macs"],
        )
        for one in rows
    ]  # fmt: skip
    parts: tuple[Part, ...] = (
        _depth_plot(),
        Table(
            title="The entries",
            columns=("year", "entry", "layers", "top-5 error, %", "printed in"),
            rows=[
                (str(year), name, str(depth) if depth else "shallow", error, where)
                for year, name, depth, error, where in WINNERS
            ],
            caption="Published, on the test images.",
        ),
        Table(
            title="One network each",
            columns=("network", "year", "layers", "top-5 error, %", "parameters", "how it was measured"),
            rows=[
                (
                    one["network"],
                    str(one["year"]),
                    one["depth"],
                    round(100 * one["top5_error"], 2),
                    one["parameters"],
                    one["protocol"],
                )
                for one in single
            ],
            caption="Published, from our registry: without ensembles the same order.",
        ),
        Table(
            title="Table 3, with what it costs",
            columns=(
                "model",
                "here",
                "layers",
                "top-1 err.",
                "top-5 err.",
                "as registered",
                "parameters",
                "multiply-adds",
            ),
            rows=cells,
            caption="Errors published, 10 crops on ImageNet val; parameters and multiply-adds counted from "
            "our networks, one crop of 224x224. GoogLeNet's parameters include two heads that only training "
            "uses.",
        ),
        _cost_plot(rows),
        Table(
            title="~3.6 against ~19.6 billion",
            columns=("network", "parameters", "multiply-adds", "flops, two each"),
            rows=[
                (one.name, one.parameters, one.macs, 2 * one.macs)
                for one in (plain, get_architecture("resnet34_a"), residual, vgg, most)
            ],
            caption="The paper's FLOPs are multiply-adds; they are what differs by a factor of five here, "
            "and parameters are another quantity.",
        ),
    )
    return Page(
        sentences=(
            f"From {WINNERS[0][3]} % in {WINNERS[0][0]} to {WINNERS[-1][3]} % in {WINNERS[-1][0]}, with "
            f"{WINNERS[2][2]}, then {WINNERS[5][2]}, then {WINNERS[-1][2]} layers; all "
            f"{sum(one['agrees'] for one in rows)} rows of Table 3 are as our registry has them.",
            f"ResNet-34 needs {residual.macs / 1e9:.2f} billion multiply-adds where VGG-19 needs "
            f"{vgg.macs / 1e9:.2f}, and {residual.parameters / 1e6:.1f} million parameters where VGG-19 has "
            f"{vgg.parameters / 1e6:.1f}: two quantities, both smaller.",
        ),
        parts=parts,
        numbers={
            "macs_plain34": plain.macs,
            "macs_resnet34": residual.macs,
            "macs_vgg19": vgg.macs,
            "parameters_plain34": plain.parameters,
            "parameters_resnet34": residual.parameters,
            "parameters_vgg19": vgg.parameters,
            "macs_ratio": vgg.macs / plain.macs,
            "parameters_ratio": vgg.parameters / residual.parameters,
            "largest_resnet_parameters": most.parameters,
            "table_3_agrees": sum(one["agrees"] for one in rows),
            "table_3": rows,
            "single_networks": single,
            "winners": [
                {"year": year, "entry": name, "depth": depth, "top5_error": round(error / 100, 4)}
                for year, name, depth, error, _ in WINNERS
            ],
        },
        notes=(
            "Every error on this page is a published one; nothing was trained. Parameters and multiply-adds "
            "are those of our networks, which tests recount.",
        ),
    )


ENTRY = Entry(
    name="revolution",
    title="Revolution of depth",
    slides="Revolution of Depth; Deep Residual Networks; Summary: Deep Residual Networks; Table 3",
    about="How did error fall as networks grew deeper, and what did the depth cost?",
    see="Depth and top-5 error by year, and Table 3 with parameters and multiply-adds beside each row.",
    seconds=6,
    commands=(
        "sightline models resnet",
        "sightline models --plot macs,top5",
        "sightline compare resnet34 plain34",
        "sightline compare resnet34 vgg19",
    ),
    corrections=(
        Correction(
            says="ResNet also has significantly fewer parameters than VGGNet (~3.6 Billion FLOPs vs. ~19.6 "
            "Billion FLOPs)",
            fact="FLOPs are no parameters. The paper says fewer filters and lower complexity, and its FLOPs "
            "are multiply-adds: 3,644,493,824 of plain-34 against 19,632,062,464 of VGG-19. The parameters "
            "are 21.6 to 21.8 million against 143.7 million.",
            evidence="section 3.3 of the paper; sightline compare resnet34 vgg19",
        ),
        Correction(
            says="from ResNet-34 and ResNet-50, to ResNet-100 and ResNet-152",
            fact="It is ResNet-101.",
            evidence="table 1 of the paper: 1 + 3*(3 + 4 + 23 + 3) + 1 = 101 layers",
        ),
        Correction(
            says="All with fewer parameters than VGGNet19",
            fact="True of options A and B; ResNet-152 with projections everywhere would have 107,335,720, "
            "still fewer than 143,667,240.",
            evidence="sightline models resnet; option C counted from table 1 with a projection in every "
            "block",
        ),
        Correction(
            says="Instead of learning the function H(x) to map the input to the receptive field ... with "
            "two stacked convolutional layers",
            fact="H is the mapping wanted of a few stacked layers and has nothing to do with a field; from "
            "ResNet-50 on there are three of them in a block.",
            evidence="sections 3.1 and 3.3 of the paper, figure 5",
        ),
        Correction(
            says="the winners of this challenge ... the 2nd place model in ILSVRC 2014",
            fact="The winner of 2014, GoogLeNet, is in Table 3 but not in the story: 22 layers and fewer "
            "parameters than AlexNet.",
            evidence="6.7 % against VGG's 7.3 %: table 2 of the GoogLeNet paper; sightline models googlenet",
        ),
    ),
    run=_run,
)
