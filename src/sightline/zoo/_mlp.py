"""The multilayer perceptron that convolutional networks are measured against.

Source: Geron 2019, "Hands-On Machine Learning", chapter 10: 784-300-100-10 on 28x28 grey images;
266,610 parameters, 266,200 multiply-adds.
"""

from __future__ import annotations

import itertools

from torch import nn

from sightline.zoo._registry import Architecture, register


def mlp(
    *, num_classes: int, in_channels: int, input_size: tuple[int, int], hidden: tuple[int, ...] = (300, 100)
) -> nn.Sequential:
    """Fully connected layers with ReLU between them.

    Shape:
        (N, in_channels, *input_size) -> (N, num_classes).
    """
    widths = (in_channels * input_size[0] * input_size[1], *hidden)
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))


MLP = register(
    Architecture(
        name="mlp",
        builder=mlp,
        paper="Geron 2019, Hands-On Machine Learning, chapter 10",
        year=2019,
        input_shape=(1, 28, 28),
        num_classes=10,
        parameters=266_610,
        macs=266_200,
        stem="1",
        head="5",
    )
)
