"""SqueezeNet: AlexNet's accuracy with fifty times fewer parameters.

Source: Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer 2016, "SqueezeNet: AlexNet-level accuracy with 50x
fewer parameters and <0.5MB model size", table 1. For one 224x224 image:

`squeezenet1_0`: 1,248,424 parameters, as published, and 818,924,576 multiply-adds.
`squeezenet1_1`: 1,235,496 parameters, 349,151,936 multiply-adds; the authors' later version, with a smaller
conv1 and earlier poolings.

Parameter names are torchvision's, so that public weights load unchanged. Weights start as there:
He-uniform, those of conv10 from N(0, 0.01^2); biases from 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sightline.zoo._features import features_shape, outputs_at
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register


class Row(NamedTuple):
    """A fire module of table 1: filters of its three convolutions."""

    squeeze1x1: int
    expand1x1: int
    expand3x3: int


# Table 1, in both versions
FIRES = {
    # s1x1, e1x1, e3x3
    2: Row(16, 64, 64),
    3: Row(16, 64, 64),
    4: Row(32, 128, 128),
    5: Row(32, 128, 128),
    6: Row(48, 192, 192),
    7: Row(48, 192, 192),
    8: Row(64, 256, 256),
    9: Row(64, 256, 256),
}


class Fire(nn.Module):
    """Few 1x1 filters, then more of 1x1 and 3x3 side by side: figure 1.

    Args:
        in_channels: Channels of its input.
        row: Filters.

    Shape:
        (N, in_channels, H, W) -> (N, expand1x1 + expand3x3, H, W).
    """

    def __init__(self, in_channels: int, row: Row) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, row.squeeze1x1, 1)
        self.squeeze_activation = nn.ReLU()
        self.expand1x1 = nn.Conv2d(row.squeeze1x1, row.expand1x1, 1)
        self.expand1x1_activation = nn.ReLU()
        self.expand3x3 = nn.Conv2d(row.squeeze1x1, row.expand3x3, 3, padding=1)
        self.expand3x3_activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The maps of both expansions, those of 1x1 first."""
        x = self.squeeze_activation(self.squeeze(x))
        narrow = self.expand1x1_activation(self.expand1x1(x))
        wide = self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([narrow, wide], dim=1)


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules, and a convolution to one map a class, averaged.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width), of any size that is not too small.
        filters: Of conv1.
        kernel_size: Of conv1.
        pools: After which layers there is a max pooling: 1 for conv1, 2 to 9 for fire modules.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).

    Raises:
        ArgumentError: if nothing is left of the input at some layer.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        input_size: tuple[int, int],
        filters: int,
        kernel_size: int,
        pools: tuple[int, int, int],
    ) -> None:
        super().__init__()

        def features() -> nn.Sequential:
            return _features(in_channels, filters, kernel_size, pools)

        features_shape(features, in_channels, input_size, "SqueezeNet")
        self.features = features()
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(512, num_classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )
        pooled = [place for place, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        self.ends = (pooled[1] - 1, pooled[2] - 1, len(self.features) - 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                if layer is self.classifier[1]:
                    nn.init.normal_(layer.weight, std=0.01)
                else:
                    nn.init.kaiming_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """What fire modules leave before each later pooling, and at the end."""
        return outputs_at(self.features, x, self.ends)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits, none of which is below 0: a ReLU follows conv10."""
        return torch.flatten(self.classifier(self.features(x)), 1)


def _features(in_channels: int, filters: int, kernel_size: int, pools: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(in_channels, filters, kernel_size, stride=2), nn.ReLU()]
    for number in range(1, 10):
        if number in FIRES:
            row = FIRES[number]
            layers.append(Fire(filters, row))
            filters = row.expand1x1 + row.expand3x3
        if number in pools:
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
    return nn.Sequential(*layers)


_PAPER = (
    "Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer 2016, SqueezeNet: AlexNet-level accuracy with 50x fewer "
    "parameters and <0.5MB model size"
)
_START = "convolutions start with He's weights, as in torchvision (the authors' file: Caffe's Xavier)"


SQUEEZENET1_0 = register(
    Architecture(
        name="squeezenet1_0",
        builder=SqueezeNet,
        arguments={"filters": 96, "kernel_size": 7, "pools": (1, 4, 8)},
        paper=f"{_PAPER}, table 1",
        year=2016,
        input_shape=(3, 224, 224),
        num_classes=1000,
        parameters=1_248_424,
        macs=818_924_576,
        depth=18,
        stem="features.0",
        head="classifier.1",
        stages=(Stage("features.5", 256, 4), Stage("features.10", 512, 8), Stage("features.12", 512, 16)),
        deviations=(
            "images of 224x224, of which conv1 makes 109x109 (the table's 111x111 is that of 227x227)",
            "conv10 is not padded (the authors' file: by 1)",
            _START,
        ),
        results=(
            PublishedResult("ImageNet val", 0.425, "not compressed; the paper's table 2", 0.197),
            PublishedResult(
                "ImageNet val", 0.41908, "centre crop; torchvision's weights squeezenet1_0-b66bff10", 0.1958
            ),
        ),
    )
)

SQUEEZENET1_1 = register(
    Architecture(
        name="squeezenet1_1",
        builder=SqueezeNet,
        arguments={"filters": 64, "kernel_size": 3, "pools": (1, 3, 5)},
        paper=f"{_PAPER}; version 1.1 of the authors' repository",
        year=2016,
        input_shape=(3, 224, 224),
        num_classes=1000,
        parameters=1_235_496,
        macs=349_151_936,
        depth=18,
        stem="features.0",
        head="classifier.1",
        stages=(Stage("features.4", 128, 4), Stage("features.7", 256, 8), Stage("features.12", 512, 16)),
        deviations=("images of 224x224 (the authors' file: 227x227)", _START),
        results=(
            PublishedResult(
                "ImageNet val", 0.41822, "centre crop; torchvision's weights squeezenet1_1-b8a52dc0", 0.19376
            ),
        ),
    )
)
