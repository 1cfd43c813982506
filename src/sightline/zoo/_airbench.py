"""airbench: the small networks that reach 94 and 95 % on CIFAR-10 in seconds.

Source: Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU" (arXiv 2404.00498), and the scripts
airbench94.py and airbench95.py of KellerJordan/cifar10-airbench. For one 32x32 image:

`airbench94`: 1,972,792 parameters, 118,147,360 multiply-adds.
`airbench95`: 4,606,520 parameters, 301,560,864 multiply-adds.

| layer | kernel | output of airbench94 |
|---|---|---|
| features.whiten | 2x2 | 24x31x31 |
| features.group1.conv1, pool | 3x3, max 2x2 | 64x15x15 |
| features.group1.conv2 | 3x3 | 64x15x15 |
| features.group2.conv1, pool | 3x3, max 2x2 | 256x7x7 |
| features.group2.conv2 | 3x3 | 256x7x7 |
| features.group3.conv1, pool | 3x3, max 2x2 | 256x3x3 |
| features.group3.conv2 | 3x3 | 256x3x3 |
| pool | max over what is left | 256 |
| head, times 1/9 | | 10 |

The scripts never train `features.whiten.weight` (288 parameters) and the batch-norm gains, `*.norm1.weight`
and `*.norm2.weight` (1,152 of airbench94); they train `features.whiten.bias` for three epochs, and the
batch-norm biases at 64 times the rate. Here that is a recipe's to say; a network alone lets all of them move.
"""

from __future__ import annotations

import collections

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.zoo._features import features_shape, outputs_at
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register

_AT_ONCE = 500
"""Images whose patches are held at once."""


class ConvGroup(nn.Module):
    """Two convolutions; the maps are halved before the first batch norm.

    Args:
        in_channels: Channels of its input.
        channels: Channels of its output.

    Shape:
        (N, in_channels, H, W) -> (N, channels, H // 2, W // 2).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, channels)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
        self.conv2 = _convolution(channels, channels)
        self.norm2 = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
        self.activation = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """Maps of half the size."""
        x = self.activation(self.norm1(self.pool(self.conv1(x))))
        return self.activation(self.norm2(self.conv2(x)))  # type: ignore[no-any-return]


def _convolution(in_channels: int, channels: int) -> nn.Conv2d:
    """3x3, of whose filters the first ones copy a channel each: they start as a shortcut."""
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.data[:in_channels])
    return convolution


class Airbench(nn.Module):
    """A whitening convolution, three groups of two convolutions, and one linear layer.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width), of any size that is not too small.
        widths: Channels of the three groups.

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
        widths: tuple[int, int, int],
    ) -> None:
        super().__init__()
        features_shape(lambda: _features(in_channels, widths), in_channels, input_size, "airbench")
        self.features = _features(in_channels, widths)
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.head = nn.Linear(widths[-1], num_classes, bias=False)

    @torch.no_grad()
    def initialise(self, images: Tensor) -> None:
        """Make the first filters whiten 2x2 patches.

        They are the principal axes of the patches, each divided by the deviation along it, and their
        opposites.

        Args:
            images: (N, C, H, W), preprocessed; the scripts show 5,000 training images.
        """
        whiten = self.features[0]
        assert isinstance(whiten, nn.Conv2d)
        size = 4 * whiten.in_channels
        moments = torch.zeros(size, size, dtype=torch.float64)
        for some in torch.split(images, _AT_ONCE):
            patches = F.unfold(some.float(), 2).transpose(1, 2).reshape(-1, size)  # n chw p -> (n p) chw
            moments += (patches.T @ patches / len(patches)).cpu() * (len(some) / len(images))
        variances, axes = torch.linalg.eigh(moments)  # in ascending order
        filters = (axes / (variances + 5e-4).sqrt()).T.flip(0)
        whiten.weight.copy_(torch.cat([filters, -filters]).view_as(whiten.weight))

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The outputs of the three groups."""
        return outputs_at(self.features, x, (2, 3, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.pool(self.features(x))
        return self.head(torch.flatten(x, 1)) / 9  # type: ignore[no-any-return]


def _features(in_channels: int, widths: tuple[int, int, int]) -> nn.Sequential:
    first, second, third = widths
    whiten = nn.Conv2d(in_channels, 2 * 4 * in_channels, 2)
    assert whiten.bias is not None
    nn.init.zeros_(whiten.bias)
    layers: dict[str, nn.Module] = {
        "whiten": whiten,
        "activation": nn.GELU(),
        "group1": ConvGroup(whiten.out_channels, first),
        "group2": ConvGroup(first, second),
        "group3": ConvGroup(second, third),
    }
    return nn.Sequential(collections.OrderedDict(layers))


_PAPER = "Jordan 2024, 94% on CIFAR-10 in 3.29 seconds on a single GPU"
_DEVIATIONS = (
    "whitening filters and batch-norm gains are parameters like any other (the script freezes them; here a "
    "recipe may)",
    "the last pooling covers whatever is left (the script: 3x3, which is the same for 32x32 images)",
    "weights are float32 (the script: float16 but in batch norm)",
)
_VIEWS = "six views an image; printed in the script"

AIRBENCH94 = register(
    Architecture(
        name="airbench94",
        builder=Airbench,
        arguments={"widths": (64, 256, 256)},
        paper=f"{_PAPER}, airbench94.py",
        year=2024,
        input_shape=(3, 32, 32),
        num_classes=10,
        parameters=1_972_792,
        macs=118_147_360,
        depth=8,
        stem="features.whiten",
        head="head",
        stages=(
            Stage("features.group1", 64, 2),
            Stage("features.group2", 256, 4),
            Stage("features.group3", 256, 8),
        ),
        deviations=_DEVIATIONS,
        results=(PublishedResult("CIFAR-10 test", 0.0599, f"mean of 1,000 runs of 9.9 epochs, {_VIEWS}"),),
    )
)

AIRBENCH95 = register(
    Architecture(
        name="airbench95",
        builder=Airbench,
        arguments={"widths": (128, 384, 384)},
        paper=f"{_PAPER}, airbench95.py",
        year=2024,
        input_shape=(3, 32, 32),
        num_classes=10,
        parameters=4_606_520,
        macs=301_560_864,
        depth=8,
        stem="features.whiten",
        head="head",
        stages=(
            Stage("features.group1", 128, 2),
            Stage("features.group2", 384, 4),
            Stage("features.group3", 384, 8),
        ),
        deviations=_DEVIATIONS,
        results=(PublishedResult("CIFAR-10 test", 0.0499, f"mean of 200 runs of 15 epochs, {_VIEWS}"),),
    )
)
