"""LeNet-5 as it is built today.

Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition",
section II.B. 61,706 parameters, 416,520 multiply-adds for one 32x32 grey image.

| layer | kernel | maps, output |
|---|---|---|
| C1 | 5x5 | 6x28x28 |
| S2 | 2x2 / 2 | 6x14x14 |
| C3 | 5x5 | 16x10x10 |
| S4 | 2x2 / 2 | 16x5x5 |
| C5 | 5x5 | 120 |
| F6 | | 84 |
| output | | 10 |
"""

from __future__ import annotations

from torch import Tensor, nn

from sightline.blueprint import output_shape
from sightline.zoo._registry import Architecture, Stage, register


class LeNet5(nn.Module):
    """LeNet-5 with ReLU, max pooling and one logit a class.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width); C5 covers whatever S4 leaves of it.

    Shape:
        (N, in_channels, *input_size) -> (N, num_classes).

    Raises:
        ArgumentError: if nothing is left of the input at some layer.
    """

    def __init__(self, *, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        channels, height, width = output_shape(self.features, (in_channels, *input_size), "lenet5")
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * height * width, 120), nn.ReLU(),
            nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, num_classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.classifier(self.features(x))  # type: ignore[no-any-return]


LENET5 = register(
    Architecture(
        name="lenet5",
        builder=LeNet5,
        paper="LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition",
        year=1998,
        input_shape=(1, 32, 32),
        num_classes=10,
        parameters=61_706,
        macs=416_520,
        stem="features.0",
        head="classifier.5",
        stages=(Stage("features.2", 6, 2), Stage("features.5", 16, 4)),
        input_sizes="fixed",
        deviations=(
            "C3 sees all six maps of S2 (paper: a partial table, 1,516 parameters instead of 2,416)",
            "S2 and S4 are max pooling (paper: a trainable coefficient and bias a map)",
            "ReLU (paper: 1.7159 tanh(2/3 a))",
            "the output is one logit a class (paper: distances to fixed 7x12 bitmaps)",
        ),
    )
)
