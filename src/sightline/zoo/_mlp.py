"""The fully connected networks that convolutional networks are measured against.

For one 28x28 grey image:

| name | layers | source | parameters | multiply-adds |
|---|---|---|---|---|
| `softmax_regression` | 784-10 | Geron 2019, chapter 4 | 7,850 | 7,840 |
| `mlp` | 784-300-100-10 | Geron 2019, chapter 10 | 266,610 | 266,200 |
| `mlp_512_512` | 784-512-512-10 | Keras, examples/mnist_mlp.py | 669,706 | 668,672 |

For one 32x32 colour image `mlp_512_512` has 1,841,162 parameters and 1,840,128 multiply-adds. Geron 2019 is
"Hands-On Machine Learning". All start as torch starts them.
"""

from __future__ import annotations

import itertools

from torch import nn

from sightline.zoo._registry import Architecture, PublishedResult, register


def mlp(
    *, num_classes: int, in_channels: int, input_size: tuple[int, int], hidden: tuple[int, ...] = (300, 100)
) -> nn.Sequential:
    """Fully connected layers with ReLU between them.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width) of an image.
        hidden: Widths of the layers between; none for a linear classifier.

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
        depth=3,
        stem="1",
        head="5",
    )
)

SOFTMAX_REGRESSION = register(
    Architecture(
        name="softmax_regression",
        builder=mlp,
        arguments={"hidden": ()},
        paper="Geron 2019, Hands-On Machine Learning, chapter 4",
        year=2019,
        input_shape=(1, 28, 28),
        num_classes=10,
        parameters=7_850,
        macs=7_840,
        depth=1,
        stem="1",
        head="1",
    )
)

MLP_512_512 = register(
    Architecture(
        name="mlp_512_512",
        builder=mlp,
        arguments={"hidden": (512, 512)},
        paper="Keras, examples/mnist_mlp.py",
        year=2015,
        input_shape=(1, 28, 28),
        num_classes=10,
        parameters=669_706,
        macs=668_672,
        depth=3,
        stem="1",
        head="5",
        deviations=("no dropout (the example: 0.2 after each hidden layer)",),
        results=(
            PublishedResult("MNIST test", 0.016, "20 epochs, with the dropout; printed in the example"),
        ),
    )
)
