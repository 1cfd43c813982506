"""Depth: what a signal and its gradient go through in plain and in residual networks."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.blueprint import in_mode
from sightline.lab._trials import SmallSet, Trial
from sightline.zoo import get_architecture

DEPTH = 56
STAGES = (16, 32, 64)
"""Channels; maps of 32, 16 and 8 pixels."""
SIZES = (32, 16, 8)
SMALL = 0.01
"""The deviation of weights before He: AlexNet's."""
BATCH = 16
"""Images of one pass."""

CASES = (
    # name, architecture, batch norm, deviation of the weights (None: He's)
    ("plain, batch norm", "plain56", True, None),
    ("residual, batch norm", "resnet56", True, None),
    ("plain, no norm, He", "plain56", False, None),
    ("plain, no norm, N(0, 0.01^2)", "plain56", False, SMALL),
    ("residual, no norm, He", "resnet56", False, None),
    ("residual, no norm, N(0, 0.01^2)", "resnet56", False, SMALL),
)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scales:
    """What each convolution did with one batch, in the order they ran."""

    name: str
    channels: tuple[int, ...]
    """Of the output."""
    outputs: NDArray[np.float64]
    """Root mean square of the output, before any norm."""
    gradients: NDArray[np.float64]
    """Norm of the loss's gradient by the weights, over the norm of the weights."""

    def gain(self, channels: int) -> float:
        """From one convolution of a stage to the next, the geometric mean over the stage."""
        own = [k for k, c in enumerate(self.channels) if c == channels]
        own = own[1:] if channels != STAGES[0] else own  # the first one changes size and channels
        return float((self.outputs[own[-1]] / self.outputs[own[0]]) ** (1 / (own[-1] - own[0])))

    @property
    def first_gradient(self) -> float:
        """Of the first 3x3 convolution behind the stem."""
        return float(self.gradients[1])

    @property
    def gradient_ratio(self) -> float:
        """Of the first 3x3 convolution behind the stem by the last."""
        return float(self.gradients[1] / self.gradients[-1])


def expected_gain(deviation: float | None, channels: int, size: int) -> float:
    """How a 3x3 convolution behind a ReLU scales the root mean square, in closed form.

    Of n = 9 C inputs, half their square passes the ReLU: deviation * sqrt(n / 2), and 1 for He's sqrt(2 / n).
    At a border the padding's zeros are among the inputs: of 3 taps a side, 3 - 2/size count on average.

    Args:
        deviation: Of the weights; None for He's.
        channels: C, in and out.
        size: Side of the maps; 0 to leave the border out.

    Source: He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers", section 2.2.
    """
    inputs = 9 * channels
    own = math.sqrt(2 / inputs) if deviation is None else deviation
    border = (1 - 2 / (3 * size)) if size else 1.0
    return own * math.sqrt(inputs / 2) * border


def build(name: str, *, batch_norm: bool, deviation: float | None, classes: int, seed: int) -> nn.Module:
    """A network of the zoo with fresh weights.

    Args:
        name: `plain56` or `resnet56`, or of another depth.
        batch_norm: Or convolutions with biases, which begin at 0.
        deviation: Of normal weights of the convolutions; None for He's.
        classes: Logits.
        seed: Of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        architecture = get_architecture(name)
        built = architecture.builder(
            num_classes=classes,
            in_channels=3,
            input_size=(32, 32),
            **architecture.arguments,
            batch_norm=batch_norm,
        )
        for module in built.modules():
            if isinstance(module, nn.Conv2d):
                if deviation is not None:
                    nn.init.normal_(module.weight, std=deviation)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    return built


def measure(name: str, network: nn.Module, images: Tensor, targets: Tensor) -> Scales:
    """Run a batch forward and the cross-entropy back, as in training; in the precision of the images.

    Shape:
        (N, 3, H, W), (N,).
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    sizes: dict[nn.Module, float] = {}

    def note(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        sizes[module] = float(output.detach().double().square().mean().sqrt())

    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with in_mode(network, training=True):
            loss = F.cross_entropy(network(images), targets)
            weights = [layer.weight for layer in layers]
            gradients = torch.autograd.grad(loss, weights)
    finally:
        for hook in hooks:
            hook.remove()
    ratios = [
        float(g.double().norm() / w.detach().double().norm()) for g, w in zip(gradients, weights, strict=True)
    ]
    return Scales(
        name=name,
        channels=tuple(layer.out_channels for layer in layers),
        outputs=np.array([sizes[layer] for layer in layers]),
        gradients=np.array(ratios),
    )


def scales(images: SmallSet, seed: int) -> list[Scales]:
    """Of each case, on the first images; small weights in float64, for in float32 they end as zeros."""
    x, targets = images.train_images[:BATCH], images.train_targets[:BATCH]
    precision = {None: torch.float32, SMALL: torch.float64}
    return [
        measure(
            name,
            build(network, batch_norm=norm, deviation=deviation, classes=len(images.classes), seed=seed).to(
                precision[deviation]
            ),
            x.to(precision[deviation]),
            targets,
        )
        for name, network, norm, deviation in CASES
    ]


# -- the page ------------------------------------------------------------------------------------------


def trials() -> tuple[Trial, ...]:
    """The four networks of the paper's comparison, as `--live` trains them."""
    return tuple(
        Trial(name=name, build=functools.partial(_of_zoo, name))
        for name in ("plain20", "resnet20", "plain56", "resnet56")
    )


def _of_zoo(name: str, classes: int) -> nn.Module:
    architecture = get_architecture(name)
    return architecture.builder(
        num_classes=classes, in_channels=3, input_size=(32, 32), **architecture.arguments
    )
