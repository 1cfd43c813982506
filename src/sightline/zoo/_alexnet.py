"""AlexNet as its paper describes it, and as the lecture prints it.

Source: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural
networks", section 3 and figure 2.

For one 227x227 image:

`alexnet_2012`: 60,965,224 parameters (published: 60 million), 724,406,816 multiply-adds.
`alexnet_lecture`: 62,378,344 parameters, 1,135,256,096 multiply-adds.

`alexnet`, whose public weights there are, is another network: see `_alexnet_owt.py`.

| layer | kernel | in two halves | output | then |
|---|---|---|---|---|
| conv1 | 11x11 / 4 | | 96x55x55 | norm, pool 3x3 / 2 |
| conv2 | 5x5, padding 2 | yes | 256x27x27 | norm, pool 3x3 / 2 |
| conv3 | 3x3, padding 1 | | 384x13x13 | |
| conv4 | 3x3, padding 1 | yes | 384x13x13 | |
| conv5 | 3x3, padding 1 | yes | 256x13x13 | pool 3x3 / 2 |
| fc6, fc7 | | | 4096 | dropout 0.5 |
| fc8 | | | 1000 | |

A layer in two halves ran on two GPUs that did not talk there: each half of its filters sees the half of the
maps on its own GPU. Weights start from N(0, 0.01^2); biases from 1 in conv2, conv4, conv5, fc6 and fc7, and
from 0 elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sightline.zoo._features import features_shape, outputs_at
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register


class Row(NamedTuple):
    """A convolution of section 3.5, and what follows it."""

    filters: int
    kernel_size: int
    stride: int
    padding: int
    halves: bool
    norm: bool
    pool: bool


ROWS = (
    # filters, kernel, stride, padding, halves, norm, pool
    Row(96, 11, 4, 0, False, True, True),
    Row(256, 5, 1, 2, True, True, True),
    Row(384, 3, 1, 1, False, False, False),
    Row(384, 3, 1, 1, True, False, False),
    Row(256, 3, 1, 1, True, False, True),
)

BIASES = (0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0)
"""What the biases of conv1 to fc8 start from: section 5."""

STAGES = (Stage("features.3", 96, 8), Stage("features.7", 256, 16), Stage("features.14", 256, 32))


def local_response_norm() -> nn.LocalResponseNorm:
    """Section 3.3: a / (2 + 1e-4 * sum of the squares of 5 neighbouring maps) ** 0.75.

    Torch divides its `alpha` by the number of maps, so here it is five times the paper's.
    """
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet(nn.Module):
    """Five convolutions and three fully connected layers.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width); fc6 covers whatever is left of it.
        groups: 2 for the halves of two GPUs, 1 for one tower.
        pool_first: Pool before the normalisation rather than after it.

    Shape:
        (N, in_channels, *input_size) -> (N, num_classes).

    Raises:
        ArgumentError: if nothing is left of the input at some layer.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        input_size: tuple[int, int],
        groups: int,
        pool_first: bool,
    ) -> None:
        super().__init__()

        def features() -> nn.Sequential:
            return _features(in_channels, groups, pool_first)

        channels, height, width = features_shape(features, in_channels, input_size, "AlexNet")
        self.features = features()
        self.classifier = nn.Sequential(
            nn.Linear(channels * height * width, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        for layer, bias in zip(layers, BIASES, strict=True):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, bias)

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """What is left after conv1, conv2 and conv5 with all that follows them."""
        return outputs_at(self.features, x, (3, 7, 14))

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.classifier(torch.flatten(self.features(x), 1))  # type: ignore[no-any-return]


def _features(in_channels: int, groups: int, pool_first: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for row in ROWS:
        layers += [
            nn.Conv2d(
                in_channels, row.filters, row.kernel_size,
                stride=row.stride, padding=row.padding, groups=groups if row.halves else 1,
            ),
            nn.ReLU(),
        ]  # fmt: skip
        between: list[nn.Module] = [local_response_norm()] if row.norm else []
        pooling: list[nn.Module] = [nn.MaxPool2d(3, stride=2)] if row.pool else []
        layers += pooling + between if pool_first else between + pooling
        in_channels = row.filters
    return nn.Sequential(*layers)


_PAPER = "Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural networks"
_SIZE = "images of 227x227 (paper: 224x224, of which 11x11 filters at stride 4 do not make 55x55)"


ALEXNET_2012 = register(
    Architecture(
        name="alexnet_2012",
        builder=AlexNet,
        arguments={"groups": 2, "pool_first": False},
        paper=f"{_PAPER}, figure 2",
        year=2012,
        input_shape=(3, 227, 227),
        num_classes=1000,
        parameters=60_965_224,
        macs=724_406_816,
        depth=8,
        stem="features.0",
        head="classifier.6",
        stages=STAGES,
        input_sizes="fixed",
        deviations=(
            _SIZE,
            "the normalisation reaches over the maps of both GPUs, as its formula does (the paper does not "
            "say whether the GPUs talk there)",
            "dropped-out activations are doubled in training (paper: halved in testing), the same on average",
        ),
        results=(
            PublishedResult("ImageNet val", 0.407, "one network, 10 crops; the paper's table 2", 0.182),
            PublishedResult("ILSVRC-2010 test", 0.375, "one network, 10 crops; the paper's table 1", 0.17),
        ),
    )
)

ALEXNET_LECTURE = register(
    Architecture(
        name="alexnet_lecture",
        builder=AlexNet,
        arguments={"groups": 1, "pool_first": True},
        paper=f"{_PAPER}; layers as the lecture lists them",
        year=2012,
        input_shape=(3, 227, 227),
        num_classes=1000,
        parameters=62_378_344,
        macs=1_135_256_096,
        depth=8,
        stem="features.0",
        head="classifier.6",
        stages=STAGES,
        input_sizes="fixed",
        deviations=(
            _SIZE,
            "one tower: every filter of conv2, conv4 and conv5 sees all maps (paper: half of them)",
            "max pooling comes before the normalisation (paper: after it)",
        ),
    )
)
