"""AlexNet on one GPU, as torchvision builds it: the one that public weights fit.

Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks"; the author's
configuration file is `layers/layers-223-1gpu.cfg` of cuda-convnet2. 61,100,840 parameters, 714,188,480
multiply-adds for one 224x224 image. The paper's own network of 2012 is `alexnet_2012`.

| layer | kernel | output |
|---|---|---|
| features.0 | 11x11 / 4, padding 2 | 64x55x55 |
| features.2 | max 3x3 / 2 | 64x27x27 |
| features.3 | 5x5, padding 2 | 192x27x27 |
| features.5 | max 3x3 / 2 | 192x13x13 |
| features.6 | 3x3, padding 1 | 384x13x13 |
| features.8 | 3x3, padding 1 | 256x13x13 |
| features.10 | 3x3, padding 1 | 256x13x13 |
| features.12 | max 3x3 / 2 | 256x6x6 |
| classifier.1, .4 | | 4096 |
| classifier.6 | | 1000 |

Parameter names are torchvision's. Weights and biases start as torch starts them, as in torchvision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.zoo._features import features_shape, outputs_at
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register


class AlexNetOneTower(nn.Module):
    """Five convolutions and three fully connected layers, without normalisation.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width); whatever is left of it is averaged to 6x6.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).

    Raises:
        ArgumentError: if nothing is left of the input at some layer.
    """

    def __init__(self, *, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> None:
        super().__init__()

        def features() -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(in_channels, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
                nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
                nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
                nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
                nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2),
            )  # fmt: skip

        features_shape(features, in_channels, input_size, "alexnet")
        self.features = features()
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The outputs of the three poolings."""
        return outputs_at(self.features, x, (2, 5, 12))

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))  # type: ignore[no-any-return]


ALEXNET = register(
    Architecture(
        name="alexnet",
        builder=AlexNetOneTower,
        paper="Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks",
        year=2014,
        input_shape=(3, 224, 224),
        num_classes=1000,
        parameters=61_100_840,
        macs=714_188_480,
        depth=8,
        stem="features.0",
        head="classifier.6",
        stages=(Stage("features.2", 64, 8), Stage("features.5", 192, 16), Stage("features.12", 256, 32)),
        deviations=(
            "no normalisation (the author's file: across maps, after conv1 and conv2)",
            "conv1 is padded by 2 (the author's file: not, on images of 223x223 or so)",
            "dropout comes before the two hidden layers (the author's file: after them)",
            "weights and biases start as torch starts them (the author's file: N(0, 0.01^2) or N(0, 0.03^2), "
            "many biases from 1)",
        ),
        results=(
            PublishedResult(
                "ImageNet val", 0.43478, "centre crop; torchvision's weights alexnet-owt-7be5be79", 0.20934
            ),
        ),
    )
)
