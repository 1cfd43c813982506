"""Strides against pooling: the four networks of a paper, counted as they are and tried in thin.

Source: Springenberg, Dosovitskiy, Brox, Riedmiller 2014, "Striving for simplicity: the all convolutional
net".
"""

from __future__ import annotations

import functools

import numpy as np
from torch import nn

from sightline.evaluation import wilson_interval
from sightline.imaging import photograph
from sightline.lab._entry import Cell, Page, Setting, Table
from sightline.lab._trial_page import accuracy_table, curves_plot, experiment, outcomes, percent
from sightline.lab._trials import Trial
from sightline.reference import Design, average_pool_backward, design, max_pool_backward

MODELS = ("A", "Strided-A", "ConvPool-A", "All-A")
WIDTH = 12
"""Channels of the first convolution of the networks that are tried."""
PAPER_WIDTH = 96
PUBLISHED = (
    # model, CIFAR-10 test error in percent without augmentation, whether it was read or is remembered
    ("A", 12.47, "read"), ("Strided-A", 13.46, "read"),
    ("ConvPool-A", 10.21, "read"), ("All-A", 10.30, "read"),
    ("B", 10.20, "read"), ("Strided-B", 10.98, "read"),
    ("ConvPool-B", 9.33, "remembered"), ("All-B", 9.10, "remembered"),
    ("C", 9.74, "remembered"), ("Strided-C", 10.19, "remembered"),
    ("ConvPool-C", 9.31, "remembered"), ("All-C", 9.08, "remembered"),
)  # fmt: skip
TEST = 10_000
"""Test images of CIFAR-10."""
_PATCH = 128
"""Side of the part of a photograph that gradients are sent to."""
_ERRORS = {model: error for model, error, _ in PUBLISHED}


def network(model: str, width: int, classes: int) -> nn.Module:
    """Model A or one that differs from it in how it halves its maps, with batch norm, without dropout.

    `A` has 3x3 max pooling of stride 2; `Strided-A` gives the convolution before it the stride instead;
    `All-A` replaces it by a 3x3 convolution of stride 2; `ConvPool-A` has such a convolution of stride 1, and
    then pools: as many weights as `All-A`.

    Shape:
        (N, 3, H, W) -> (N, classes).
    """
    made: list[nn.Module] = []

    def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        made.extend(
            (
                nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            )
        )

    inputs = 3
    for outputs in (width, 2 * width):
        convolution(inputs, outputs, 5, 2 if model == "Strided-A" else 1)
        if model in ("ConvPool-A", "All-A"):
            convolution(outputs, outputs, 3, 2 if model == "All-A" else 1)
        if model in ("A", "ConvPool-A"):
            made.append(nn.MaxPool2d(3, 2, 1))
        inputs = outputs
    convolution(inputs, inputs, 3)
    convolution(inputs, inputs, 1)
    return nn.Sequential(*made, nn.Conv2d(inputs, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def trials() -> tuple[Trial, ...]:
    """The four networks."""
    return tuple(Trial(name=name, build=functools.partial(network, name, WIDTH)) for name in MODELS)


def design_of(model: str, width: int, bias: bool = True, classes: int = 10) -> Design:
    """The same network by hand, on 32x32x3; without batch norm."""
    b = "" if bias else ",nobias"
    words = []
    for outputs in (width, 2 * width):
        words += [f"conv:{outputs},k5,p2{',s2' if model == 'Strided-A' else ''}{b}", "relu"]
        if model in ("ConvPool-A", "All-A"):
            words += [f"conv:{outputs},k3,p1{',s2' if model == 'All-A' else ''}{b}", "relu"]
        if model in ("A", "ConvPool-A"):
            words.append("pool:3,s2,p1")
    words += [
        f"conv:{2 * width},k3,p1{b}",
        "relu",
        f"conv:{2 * width},k1{b}",
        "relu",
        f"conv:{classes},k1",
        "gap",
    ]
    return design("32x32x3", words)


def costs(classes: int = 10) -> dict[str, tuple[int, int]]:
    """Parameters, batch norm's too, and multiply-adds of the networks that are tried."""
    found = {}
    for model in MODELS:
        made = design_of(model, WIDTH, bias=False, classes=classes)
        normed = sum(layer.output_shape[0] for layer in made.layers[:-2] if layer.kind == "conv")
        found[model] = (made.parameters + 2 * normed, made.macs)
    return found


def reached() -> dict[str, float]:
    """The share of a photograph's pixels that get any gradient through pooling of stride 2."""
    grey = photograph("china").mean(axis=2)[None, None, :_PATCH, :_PATCH]
    found = {}
    for name, size, backward in (
        ("max 2x2", 2, max_pool_backward),
        ("max 3x3", 3, max_pool_backward),
        ("average 2x2", 2, average_pool_backward),
    ):
        ones = np.ones((1, 1, *[(_PATCH - size) // 2 + 1] * 2))
        found[name] = float((backward(ones, grey, size, 2) > 0).mean())
    return found


def page(setting: Setting) -> Page:
    """What was published, what it costs, and the experiment."""
    tried = experiment("strides-pooling", trials(), setting)
    found = outcomes(tried.rows)
    strided, pooled, every = (found.over(name, "A") for name in MODELS[1:])
    stride_alone = found.over("All-A", "ConvPool-A")
    full = {model: design_of(model, PAPER_WIDTH) for model in MODELS}
    shares = reached()
    low, high = wilson_interval(round(_ERRORS["A"] / 100 * TEST), TEST)
    told = {name: d.told for name, d in (("Strided-A", strided), ("ConvPool-A", pooled), ("All-A", every))}
    said = [name for name, is_told in told.items() if is_told]
    verdict = f"intervals without 0: {', '.join(said)}" if said else "all three intervals hold 0"
    if strided.interval is None:
        verdict = "one seed each has no interval"
    return Page(
        sentences=(
            f"As published, a stride in place of pooling costs accuracy ({_ERRORS['Strided-A']} % error "
            f"instead of {_ERRORS['A']} %), and a convolution more makes up for it, with a stride "
            f"({_ERRORS['All-A']:.2f} %) or with pooling ({_ERRORS['ConvPool-A']} %): it is the layer that "
            f"helps, and it costs {full['All-A'].parameters - full['A'].parameters:,} parameters more.",
            f"In a small trial of networks an eighth as wide, against A: Strided-A {strided.text}, "
            f"ConvPool-A {pooled.text}, All-A {every.text}; {verdict}.",
        ),
        parts=(
            Table(
                title="As published",
                columns=("network", "halved by", "test error, %", "certainty"),
                rows=[(model, _halved(model), f"{error:.2f}", tag) for model, error, tag in PUBLISHED],
                caption="CIFAR-10 without augmentation, Springenberg et al. 2014. 'read': found in "
                "the paper; 'remembered': from memory of it, likely and not checked. Each row is one "
                f"network, and the paper gives no intervals: 12.47 % of {TEST:,} test images lies between "
                f"{100 * low:.1f} and {100 * high:.1f} % with 95 % confidence.",
            ),
            Table(
                title="What each costs",
                columns=("network", "parameters", "macs", "of A's macs"),
                rows=[_cost(model, made, full["A"]) for model, made in full.items()],
                caption=f"{PAPER_WIDTH} and {2 * PAPER_WIDTH} channels on 32x32x3, 3x3 pooling, each as a "
                "line of `sightline design`. The stride saves multiply-adds, for its convolution runs at "
                "every fourth place alone; neither saves a parameter.",
            ),
            curves_plot(tried.rows, "strides-pooling", "The four in thin"),
            accuracy_table(found, "A", costs(tried.classes)),
            Table(
                title="Where the gradient goes",
                columns=("pooling, stride 2", "pixels that get any"),
                rows=[(name, percent(share)) for name, share in shares.items()],
                caption=f"Of {_PATCH}x{_PATCH} pixels of `china` in grey, a gradient of 1 from every window.",
            ),
        ),
        numbers={
            "published_error": {model: error / 100 for model, error, _ in PUBLISHED},
            "parameters": {model: made.parameters for model, made in full.items()},
            "macs": {model: made.macs for model, made in full.items()},
            "accuracy": {name: one.mean for name, one in found.by_name.items()},
            "seeds": found.seeds,
            "strided_over_a": strided.mean,
            "convpool_over_a": pooled.mean,
            "all_over_a": every.mean,
            "all_over_convpool": stride_alone.mean,
            "told_apart": said,
            "gradient_reaches": shares,
        },
        notes=(
            f"A small experiment: {tried.size}. {found.blind}, nor what the full width does when it is "
            f"trained to the end. The networks have {WIDTH} and {2 * WIDTH} channels, and batch norm, which "
            "is younger than the paper.",
            f"All-A over ConvPool-A, the stride alone with as many parameters: {stride_alone.text}; "
            f"published, {_ERRORS['ConvPool-A'] - _ERRORS['All-A']:+.2f}. Where the two disagree, it may be "
            "the width, the norm or the few steps: the trial does not tell which.",
            *tried.notes,
        ),
    )


def _halved(model: str) -> str:
    kind = model.partition("-")[0]
    return {
        "Strided": "stride of the convolution before",
        "ConvPool": "one more convolution, then 3x3 max pooling",
        "All": "one more convolution, of stride 2",
    }.get(kind, "3x3 max pooling")


def _cost(model: str, made: Design, base: Design) -> tuple[Cell, ...]:
    return model, made.parameters, made.macs, f"{100 * made.macs / base.macs:.0f} %"
