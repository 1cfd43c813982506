"""A convolutional network of one dimension, and a fully connected one that is 29 times as large.

Source: Prince 2023, "Understanding deep learning", section 10.2.7 and figure 10.7; notebook 10.2. They tell
ten digits apart that are drawn as curves of 40 values (MNIST-1D). A curve is an image of one row.

`mnist1d_conv`: 2,050 parameters, 10,230 multiply-adds.
`mnist1d_mlp`: 59,065 parameters, 58,575 multiply-adds.

| layer of `mnist1d_conv` | kernel | output |
|---|---|---|
| 0 | 3 / 2 | 15x19 |
| 2 | 3 / 2 | 15x9 |
| 4 | 3 / 2 | 15x4 |
| 7 | | 10 |

As in the notebook, fully connected layers start with He's weights and biases of 0, convolutions as torch
starts them.
"""

from __future__ import annotations

from torch import nn

from sightline.zoo._features import features_shape
from sightline.zoo._mlp import mlp
from sightline.zoo._registry import Architecture, PublishedResult, register


def mnist1d_conv(*, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> nn.Sequential:
    """Three convolutions along the rows of an image, and one fully connected layer.

    Shape:
        (N, in_channels, *input_size) -> (N, num_classes); the curves of the source are 1x40.

    Raises:
        ArgumentError: if nothing is left of the input at some layer.
    """

    def features() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(in_channels, 15, (1, 3), stride=(1, 2)), nn.ReLU(),
            nn.Conv2d(15, 15, (1, 3), stride=(1, 2)), nn.ReLU(),
            nn.Conv2d(15, 15, (1, 3), stride=(1, 2)), nn.ReLU(),
        )  # fmt: skip

    channels, height, width = features_shape(features, in_channels, input_size, "mnist1d_conv")
    classifier = nn.Linear(channels * height * width, num_classes)
    return _as_the_notebook_starts(nn.Sequential(*features(), nn.Flatten(), classifier))


def mnist1d_mlp(*, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> nn.Sequential:
    """Three hidden layers, as wide as the layers of `mnist1d_conv` have values. Shape as there."""
    network = mlp(
        num_classes=num_classes, in_channels=in_channels, input_size=input_size, hidden=(285, 135, 60)
    )
    return _as_the_notebook_starts(network)


def _as_the_notebook_starts(network: nn.Sequential) -> nn.Sequential:
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


_PAPER = "Prince 2023, Understanding deep learning, section 10.2.7"
_PROTOCOL = "MNIST-1D, 4,000 examples, 100,000 steps of SGD; figure 10.8"

MNIST1D_CONV = register(
    Architecture(
        name="mnist1d_conv",
        builder=mnist1d_conv,
        paper=f"{_PAPER} and figure 10.7",
        year=2023,
        input_shape=(1, 1, 40),
        num_classes=10,
        parameters=2_050,
        macs=10_230,
        depth=4,
        stem="0",
        head="7",
        deviations=(
            "convolutions of 1x3 over images of one row (the book: of 3 over curves), the same numbers",
        ),
        results=(PublishedResult("MNIST-1D test", 0.17, f"about; {_PROTOCOL}"),),
    )
)

MNIST1D_MLP = register(
    Architecture(
        name="mnist1d_mlp",
        builder=mnist1d_mlp,
        paper=_PAPER,
        year=2023,
        input_shape=(1, 1, 40),
        num_classes=10,
        parameters=59_065,
        macs=58_575,
        depth=4,
        stem="1",
        head="7",
        results=(PublishedResult("MNIST-1D test", 0.4, f"about; {_PROTOCOL}"),),
    )
)
