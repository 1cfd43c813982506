"""The PReLU networks, the first whose weights start by He's rule.

Source: He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers: surpassing human-level performance on
ImageNet classification", table 3.

| | `prelunet_a` | `prelunet_b` | `prelunet_c` |
|---|---|---|---|
| layers | 19 | 22 | 22 |
| parameters | 178,032,072 | 183,343,048 | 330,623,944 |
| multiply-adds | 19,058,106,368 | 23,219,904,512 | 53,463,130,112 |
| the paper | 1.90e10 | 2.32e10 | 5.30e10 |

Those of C are 0.9 % more than the paper prints (its convolutions alone: 53,211,045,888); its filters are the
table's, and the difference is not explained.

A slope is a parameter of one axis, which no optimizer here decays, as the paper has it (section 2.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sightline.zoo._registry import Architecture, PublishedResult, Stage, register
from sightline.zoo._smallest import check_size

SLOPE = 0.25
"""What every slope starts with."""

BINS = (7, 3, 2, 1)
"""Bins of a side, of each level of the pyramid: 63 in all."""

# Table 3; before it, conv1 (7x7, 96, stride 2); before each, 2x2 max pooling; behind it, the pyramid and fc
TABLE_3 = {
    # filters and layers of 3x3 at 56x56, 28x28 and 14x14
    "a": ((256, 5), (512, 5), (512, 5)),
    "b": ((256, 6), (512, 6), (512, 6)),
    "c": ((384, 6), (768, 6), (896, 6)),
}


class SpatialPyramidPooling(nn.Module):
    """The maximum in each bin of grids of several sizes.

    Shape:
        (N, C, H, W) -> (N, C * sum of squared bins).

    Source: He, Zhang, Ren, Sun 2014, "Spatial pyramid pooling in deep convolutional networks".
    """

    def __init__(self, bins: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.AdaptiveMaxPool2d(side) for side in bins)

    def forward(self, x: Tensor) -> Tensor:
        """Level beside level."""
        return torch.cat([torch.flatten(level(x), 1) for level in self.levels], dim=1)


class PReLUNet(nn.Module):
    """Table 3.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width); the pyramid makes as many features of any.
        rows: Filters and layers at 56x56, 28x28 and 14x14.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).

    Raises:
        ArgumentError: if the input is smaller than 15x15.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        input_size: tuple[int, int],
        rows: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__()
        check_size("prelunet", input_size, 15)
        (first, first_layers), (second, second_layers), (third, third_layers) = rows
        self.conv1 = nn.Sequential(nn.Conv2d(in_channels, 96, 7, stride=2, padding=3), nn.PReLU(96, SLOPE))
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = _convolutions(96, first, first_layers)
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = _convolutions(first, second, second_layers)
        self.pool3 = nn.MaxPool2d(2)
        self.conv4 = _convolutions(second, third, third_layers)
        self.spp = SpatialPyramidPooling(BINS)
        self.classifier = nn.Sequential(
            nn.Linear(third * sum(side**2 for side in BINS), 4096), nn.PReLU(4096, SLOPE), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.PReLU(4096, SLOPE), nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        self._initialise()

    def _initialise(self) -> None:
        """Section 2.2: equation 14 for PReLU; fixed deviations in the fully connected layers; biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE, mode="fan_out", nonlinearity="leaky_relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.001 if module is self.classifier[-1] else 0.01)
            if isinstance(module, nn.Conv2d | nn.Linear):
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, finest first."""
        one = self.conv1(x)
        two = self.conv2(self.pool1(one))
        three = self.conv3(self.pool2(two))
        return [one, two, three, self.conv4(self.pool3(three))]

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.classifier(self.spp(self.forward_stages(x)[-1]))  # type: ignore[no-any-return]


def _convolutions(in_channels: int, channels: int, layers: int) -> nn.Sequential:
    """3x3 convolutions of one size, each with its PReLU."""
    parts: list[nn.Module] = []
    for before in (in_channels, *[channels] * (layers - 1)):
        parts += [nn.Conv2d(before, channels, 3, padding=1), nn.PReLU(channels, SLOPE)]
    return nn.Sequential(*parts)


# Variants

_VARIANTS = (
    # name, depth, parameters, multiply-adds, errors of 10 crops (table 5) and of many scales (table 6)
    ("a", 19, 178_032_072, 19_058_106_368, (0.2559, 0.0823), (0.2297, 0.0628)),
    ("b", 22, 183_343_048, 23_219_904_512, (0.2553, 0.0813), (0.2285, 0.0627)),
    ("c", 22, 330_623_944, 53_463_130_112, (0.2427, 0.0738), (0.2159, 0.0571)),
)
_PYRAMID = (
    "the pyramid's bins are PyTorch's, which cover the map (paper: those of SPP-net, windows of ceil(14 / n) "
    "every floor(14 / n) pixels)"
)

for _name, _depth, _parameters, _macs, _crops, _scales in _VARIANTS:
    _rows = TABLE_3[_name]
    register(
        Architecture(
            name=f"prelunet_{_name}",
            builder=PReLUNet,
            arguments={"rows": _rows},
            paper="He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, table 3",
            year=2015,
            input_shape=(3, 224, 224),
            num_classes=1000,
            parameters=_parameters,
            macs=_macs,
            depth=_depth,
            stem="conv1.0",
            head="classifier.6",
            stages=(
                Stage("conv1", 96, 2),
                *(Stage(f"conv{i + 2}", filters, 4 * 2**i) for i, (filters, _) in enumerate(_rows)),
            ),
            deviations=(_PYRAMID,),
            results=(
                PublishedResult("ImageNet val", _crops[0], "10 crops; the paper's table 5", _crops[1]),
                PublishedResult(
                    "ImageNet val",
                    _scales[0],
                    "fully convolutional, several scales; the paper's table 6",
                    _scales[1],
                ),
            ),
        )
    )
