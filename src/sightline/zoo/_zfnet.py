"""ZFNet, the network that was looked into.

Source: Zeiler, Fergus 2013, "Visualizing and understanding convolutional networks", figure 3. 62,357,608
parameters, 1,168,032,896 multiply-adds for one 224x224 image (the paper prints no total).

| layer | kernel | output | then |
|---|---|---|---|
| 1 | 7x7 / 2, padding 1 | 96x110x110 | pool 3x3 / 2 -> 55x55, contrast norm |
| 2 | 5x5 / 2 | 256x26x26 | pool 3x3 / 2 -> 13x13, contrast norm |
| 3 | 3x3, padding 1 | 384x13x13 | |
| 4 | 3x3, padding 1 | 384x13x13 | |
| 5 | 3x3, padding 1 | 256x13x13 | pool 3x3 / 2 -> 6x6 |
| 6, 7 | | 4096 | dropout 0.5 |
| 8 | | 1000 | |

The sizes are the figure's; they need a first layer padded by 1, and poolings that round up. Weights start
from N(0, 0.01^2), biases from 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.zoo._features import features_shape, outputs_at
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register


class ZFNet(nn.Module):
    """Five convolutions and three fully connected layers.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width); layer 6 covers whatever is left of it.

    Shape:
        (N, in_channels, *input_size) -> (N, num_classes).

    Raises:
        ArgumentError: if nothing is left of the input at some layer.
    """

    def __init__(self, *, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> None:
        super().__init__()

        def features() -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(in_channels, 96, 7, stride=2, padding=1), nn.ReLU(), _pool(), _contrast_norm(),
                nn.Conv2d(96, 256, 5, stride=2), nn.ReLU(), _pool(), _contrast_norm(),
                nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
                nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
                nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), _pool(),
            )  # fmt: skip

        channels, height, width = features_shape(features, in_channels, input_size, "zfnet")
        self.features = features()
        self.classifier = nn.Sequential(
            nn.Linear(channels * height * width, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """What is left after layers 1, 2 and 5 with all that follows them."""
        return outputs_at(self.features, x, (3, 7, 14))

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.classifier(torch.flatten(self.features(x), 1))  # type: ignore[no-any-return]


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _contrast_norm() -> nn.LocalResponseNorm:
    """AlexNet's formula (Krizhevsky et al. 2012, section 3.3); torch divides `alpha` by the 5 maps."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


ZFNET = register(
    Architecture(
        name="zfnet",
        builder=ZFNet,
        paper="Zeiler, Fergus 2013, Visualizing and understanding convolutional networks, figure 3",
        year=2013,
        input_shape=(3, 224, 224),
        num_classes=1000,
        parameters=62_357_608,
        macs=1_168_032_896,
        depth=8,
        stem="features.0",
        head="classifier.6",
        stages=(Stage("features.3", 96, 4), Stage("features.7", 256, 16), Stage("features.14", 256, 32)),
        input_sizes="fixed",
        deviations=(
            "contrast is normalised across maps by AlexNet's formula (the paper gives none)",
            "layer 1 is padded by 1 and poolings round up (inferred from the sizes of figure 3)",
            "weights start from N(0, 0.01^2) (the paper says that all were initialised to 10^-2)",
        ),
        results=(PublishedResult("ImageNet val", 0.384, "one network; the paper's table 2", 0.165),),
    )
)
