"""The two Keras networks printed in the lecture.

`lecture_cnn`: Geron 2019, "Hands-On Machine Learning", chapter 14. 1,413,834 parameters, 89,466,496
multiply-adds for one 28x28 grey image.
`lecture_cnn_2`: MIT 6.S191 2023, lab 2. 1,668,490 parameters, 4,073,600 multiply-adds for the same.

Both start as Keras starts them: Glorot-uniform weights, zero biases.
"""

from __future__ import annotations

from torch import nn

from sightline.blueprint import output_shape
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register


def lecture_cnn(*, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> nn.Sequential:
    """The lecture's first network.

    Shape:
        (N, in_channels, *input_size) -> (N, num_classes).

    Raises:
        ArgumentError: if nothing is left of the input at some layer.
    """
    features = nn.Sequential(
        nn.Conv2d(in_channels, 64, 7, padding=3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(),
        nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    )  # fmt: skip
    channels, height, width = output_shape(features, (in_channels, *input_size), "lecture_cnn")
    classifier = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(64, num_classes),
    )  # fmt: skip
    return _as_keras_starts(nn.Sequential(*features, *classifier))


def lecture_cnn_2(*, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> nn.Sequential:
    """The lecture's second network. Shape and errors as `lecture_cnn`."""
    features = nn.Sequential(
        nn.Conv2d(in_channels, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
    )  # fmt: skip
    channels, height, width = output_shape(features, (in_channels, *input_size), "lecture_cnn_2")
    classifier = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, 1024), nn.ReLU(),
        nn.Linear(1024, num_classes),
    )  # fmt: skip
    return _as_keras_starts(nn.Sequential(*features, *classifier))


def _as_keras_starts(network: nn.Sequential) -> nn.Sequential:
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return network


LECTURE_CNN = register(
    Architecture(
        name="lecture_cnn",
        builder=lecture_cnn,
        paper="Geron 2019, Hands-On Machine Learning, chapter 14 (the lecture's first Keras program)",
        year=2019,
        input_shape=(1, 28, 28),
        num_classes=10,
        parameters=1_413_834,
        macs=89_466_496,
        stem="0",
        head="20",
        stages=(Stage("2", 64, 2), Stage("7", 128, 4), Stage("12", 256, 8)),
        deviations=("returns logits (printed: softmax), as the loss takes them",),
        results=(
            PublishedResult(
                "Fashion-MNIST test", 0.08, "the book: trained on Fashion-MNIST, over 92 % accuracy"
            ),
        ),
    )
)

LECTURE_CNN_2 = register(
    Architecture(
        name="lecture_cnn_2",
        builder=lecture_cnn_2,
        paper="MIT 6.S191 2023, lab 2 (the lecture's second Keras program)",
        year=2023,
        input_shape=(1, 28, 28),
        num_classes=10,
        parameters=1_668_490,
        macs=4_073_600,
        stem="0",
        head="9",
        stages=(Stage("2", 32, 2), Stage("5", 64, 4)),
        deviations=(
            "returns logits (printed: softmax), as the loss takes them",
            "kernel_size=3 (printed: filter_size=3, which Keras refuses)",
        ),
    )
)
