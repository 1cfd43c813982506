"""LeNet-5's recipe."""

from __future__ import annotations

from sightline.training._recipe import Optimizer, Phase, Recipe, Schedule

PASSES = ((2, 1.0), (3, 0.4), (3, 0.2), (4, 0.1), (8, 0.02))
"""Passes through the training images, and their rate as a factor of the first: the paper's global rate is
0.0005, 0.0002, 0.0001, 0.00005 and 0.00001."""

LR = 0.0005 / 0.02
"""Of the first passes."""


def lenet_1998(*, epochs: int | None = None) -> Recipe:
    """Stochastic gradient descent in 20 passes, whose rate falls after 2, 5, 8 and 12.

    Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition",
    section III.B.

    **Taken**: 20 passes and their rates relative to each other; no momentum, no weight decay, no distorted
    images; the loss is the network's own, for `lenet5_1998` equation 9. With another number of epochs each
    rate has as large a part of them.

    **Not taken**: the stochastic diagonal Levenberg-Marquardt method. It divides the global rate by 0.02 plus
    the curvature of each weight, estimated anew before every pass; here all weights have one rate, 0.025,
    which is what that rule gives a weight without curvature (0.0005 / 0.02). Steps of one image: here of 8,
    which take little longer; the loss is their mean, so that each moves the weights about an eighth as far.
    All 60,000 images: of a set without validation images a tenth is held out.

    Args:
        epochs: How long it will be, if that is chosen already.
    """
    total = epochs or sum(passes for passes, _ in PASSES)
    return Recipe(
        name="lenet_1998",
        why=f"the paper's five rates over {total} passes, by plain gradient descent",
        phases=tuple(
            Phase(epochs=length, rates={"*": rate}, schedule=Schedule(kind="constant", warm_up=0.0))
            for length, rate in _divided(total)
        ),
        optimizers={"main": Optimizer(kind="sgd", lr=LR, momentum=0.0, weight_decay=0.0)},
        batch_size=8,
        select=None,
    )


def _divided(total: int) -> list[tuple[int, float]]:
    """Lengths and rates of the phases that some epochs are divided into; none is empty."""
    usual = sum(passes for passes, _ in PASSES)
    ends = [round(total * sum(p for p, _ in PASSES[: i + 1]) / usual) for i in range(len(PASSES))]
    starts = [0, *ends[:-1]]
    return [
        (end - start, rate) for start, end, (_, rate) in zip(starts, ends, PASSES, strict=True) if end > start
    ]
