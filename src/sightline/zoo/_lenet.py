"""LeNet-5, as its paper describes it and as it is built today.

Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition",
sections II.B and II.C. For one 32x32 grey image:

`lenet5_1998`: 60,000 parameters, as published, and 840 fixed numbers in the output; 325,680 multiply-adds.
`lenet5`: 61,706 parameters, 416,520 multiply-adds.

| layer | kernel | maps, output | parameters, 1998 | today |
|---|---|---|---|---|
| C1 | 5x5 | 6x28x28 | 156 | 156 |
| S2 | 2x2 / 2 | 6x14x14 | 12 | 0 |
| C3 | 5x5 | 16x10x10 | 1,516 | 2,416 |
| S4 | 2x2 / 2 | 16x5x5 | 32 | 0 |
| C5 | 5x5 | 120 | 48,120 | 48,120 |
| F6 | | 84 | 10,164 | 10,164 |
| output | | 10 | 0 | 850 |

In `lenet5_1998` a squashing function follows each layer up to F6, and every parameter starts from a uniform
distribution between -2.4 / F and 2.4 / F, F being the inputs of a unit without its bias. The paper's images
have a background of -0.1 and a foreground of 1.175, so that their mean is about 0 and their variance about 1.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from sightline.base import ArgumentError
from sightline.blueprint import output_shape
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register

# Table I: the maps of S2 that each map of C3 sees.
TABLE_1 = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


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


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 a), the squashing function: 1 at 1, -1 at -1, and most curved there.

    Shape:
        Any -> the same.
    """

    def forward(self, a: Tensor) -> Tensor:
        """Weighted sums to states."""
        return 1.7159 * torch.tanh(2 / 3 * a)


class SubSampling(nn.Module):
    """The sum of 2x2 pixels, times a coefficient of the map, plus a bias of the map.

    Args:
        channels: Maps.

    Shape:
        (N, channels, H, W) -> (N, channels, H // 2, W // 2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sum = nn.AvgPool2d(2, divisor_override=1)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Maps of half the size."""
        return self.sum(x) * self.weight[:, None, None] + self.bias[:, None, None]  # type: ignore[no-any-return]


class PartialConvolution(nn.Module):
    """A convolution each of whose maps sees some maps of its input only.

    Maps that see equally many are one grouped convolution.

    Args:
        table: For each map of the output, those of the input; few come before many.
        kernel_size: Of each kernel.

    Shape:
        (N, C, H, W) -> (N, len(table), H - kernel_size + 1, W - kernel_size + 1).
    """

    def __init__(self, table: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__()
        self.tables = [list(maps) for _, maps in itertools.groupby(table, key=len)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(len(maps) * len(maps[0]), len(maps), kernel_size, groups=len(maps))
            for maps in self.tables
        )

    def forward(self, x: Tensor) -> Tensor:
        """The maps of the output, in the table's order."""
        planes = torch.split(x, 1, dim=1)
        outputs = []
        for convolution, maps in zip(self.convolutions, self.tables, strict=True):
            seen = torch.cat([planes[plane] for one in maps for plane in one], dim=1)
            outputs.append(convolution(seen))
        return torch.cat(outputs, dim=1)


class RBFOutput(nn.Module):
    """Minus the squared distance to a fixed code of each class, so that the largest is the answer.

    Equation 7, with its sign turned.

    Args:
        num_classes: At most 84.

    Shape:
        (N, 84) -> (N, num_classes).

    Raises:
        ArgumentError: if there are more classes than codes.
    """

    codes: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        codes = _codes()
        if num_classes > len(codes):
            raise ArgumentError(
                f"lenet5_1998 has output codes for {len(codes)} classes; there are {num_classes}"
            )
        self.in_features, self.out_features = codes.shape[1], num_classes
        self.register_buffer("codes", codes[:num_classes].clone())

    def forward(self, x: Tensor) -> Tensor:
        """F6 to minus the penalty of each class."""
        return -(x[:, None] - self.codes).square().sum(dim=2)  # n j -> n i


def _codes() -> Tensor:
    """(84, 84) of -1 and 1: each two rows differ in exactly 42 places.

    Source: Paley 1933, "On orthogonal matrices": a Hadamard matrix from the squares modulo 83.
    """
    squares = {n * n % 83 for n in range(83)}
    rows = [[-1, *(1 if (i - j) % 83 in squares else -1 for j in range(83))] for i in range(83)]
    return torch.tensor([*rows, [1] * 84], dtype=torch.float32)


class OriginalLeNet5(nn.Module):
    """LeNet-5 of 1998.

    Args:
        num_classes: Outputs, at most 84.
        in_channels: Channels of an image.
        input_size: (32, 32).

    Shape:
        (N, in_channels, 32, 32) -> (N, num_classes).

    Raises:
        ArgumentError: if the input is of another size, or there are too many classes.
    """

    def __init__(self, *, num_classes: int, in_channels: int, input_size: tuple[int, int]) -> None:
        super().__init__()
        if tuple(input_size) != (32, 32):
            height, width = input_size
            raise ArgumentError(
                f"lenet5_1998 takes 32x32 images, which is its smallest; not {height}x{width}"
            )
        self.c1 = nn.Sequential(nn.Conv2d(in_channels, 6, 5), ScaledTanh())
        self.s2 = nn.Sequential(SubSampling(6), ScaledTanh())
        self.c3 = nn.Sequential(PartialConvolution(TABLE_1, 5), ScaledTanh())
        self.s4 = nn.Sequential(SubSampling(16), ScaledTanh())
        self.c5 = nn.Sequential(nn.Conv2d(16, 120, 5), ScaledTanh())
        self.f6 = nn.Sequential(nn.Flatten(), nn.Linear(120, 84), ScaledTanh())
        self.output = RBFOutput(num_classes)
        _initialise(self)

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The outputs of S2 and S4."""
        s2 = self.s2(self.c1(x))
        return [s2, self.s4(self.c3(s2))]

    def forward(self, x: Tensor) -> Tensor:
        """Images to minus the penalty of each class."""
        x = self.forward_stages(x)[-1]
        return self.output(self.f6(self.c5(x)))  # type: ignore[no-any-return]


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, SubSampling):
            fan_in = 4
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
        else:
            continue
        for parameter in layer.parameters(recurse=False):
            nn.init.uniform_(parameter, -2.4 / fan_in, 2.4 / fan_in)


_PAPER = "LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition"


LENET5 = register(
    Architecture(
        name="lenet5",
        builder=LeNet5,
        paper=_PAPER,
        year=1998,
        input_shape=(1, 32, 32),
        num_classes=10,
        parameters=61_706,
        macs=416_520,
        depth=5,
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

LENET5_1998 = register(
    Architecture(
        name="lenet5_1998",
        builder=OriginalLeNet5,
        paper=f"{_PAPER}, section II.B",
        year=1998,
        input_shape=(1, 32, 32),
        num_classes=10,
        parameters=60_000,
        macs=325_680,
        depth=7,
        stem="c1.0",
        head="output",
        stages=(Stage("s2", 6, 2), Stage("s4", 16, 4)),
        objective="rbf",
        input_sizes="fixed",
        deviations=(
            "the output's codes are rows of a Hadamard matrix, each two equally far apart (paper: 7x12 "
            "bitmaps that look like the characters, and are similar where those are)",
            "returns minus the distances, so that the largest is the answer (paper: the smallest distance)",
        ),
        results=(
            PublishedResult("MNIST test", 0.0095, "trained on 60,000 images for 20 passes; section III.B"),
            PublishedResult(
                "MNIST test", 0.008, "trained on 60,000 images and 540,000 distorted ones; section III.B"
            ),
        ),
    )
)
