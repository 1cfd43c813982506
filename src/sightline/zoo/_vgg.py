"""VGG: networks of 3x3 convolutions.

Source: Simonyan, Zisserman 2014, "Very deep convolutional networks for large-scale image recognition",
table 1. For one 224x224 image:

| names | column | layers | parameters | multiply-adds |
|---|---|---|---|---|
| `vgg_a`, `vgg11` | A | 11 | 132,863,336 | 7,609,090,048 |
| `vgg_a_lrn` | A-LRN | 11 | 132,863,336 | 7,609,090,048 |
| `vgg_b`, `vgg13` | B | 13 | 133,047,848 | 11,308,466,176 |
| `vgg_c` | C | 16 | 133,638,952 | 11,770,888,192 |
| `vgg_d`, `vgg16` | D | 16 | 138,357,544 | 15,470,264,320 |
| `vgg_e`, `vgg19` | E | 19 | 143,667,240 | 19,632,062,464 |
| `vgg11_bn` to `vgg19_bn` | A, B, D, E | | 132,868,840 to 143,678,248 | as without |

The paper's letter and torchvision's number name the same network; `_bn` is torchvision's, with batch norm
after each convolution. Parameter names are torchvision's, so that public weights load unchanged. As there,
convolutions start from N(0, 2 / (kernel area * filters)), fully connected layers from N(0, 0.01^2), and
biases from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sightline.zoo._features import features_shape, outputs_at
from sightline.zoo._registry import Architecture, PublishedResult, Stage, register

# Table 1: the kernel sizes of each block's convolutions. A ReLU follows each, a pooling by 2x2 each block.
FILTERS = (64, 128, 256, 512, 512)
TABLE_1: dict[str, tuple[tuple[int, ...], ...]] = {
    #      64      128     256           512           512
    "A": ((3,),   (3,),   (3, 3),       (3, 3),       (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3),       (3, 3),       (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1),    (3, 3, 1),    (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3),    (3, 3, 3),    (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}  # fmt: skip


class VGG(nn.Module):
    """Five blocks of convolutions, and three fully connected layers.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width); whatever is left of it is averaged to 7x7.
        column: Of table 1.
        lrn: A local response normalisation after the first block's convolution, as column A-LRN has it.
        batch_norm: Batch norm after each convolution.

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
        column: str,
        lrn: bool,
        batch_norm: bool,
    ) -> None:
        super().__init__()

        def features() -> nn.Sequential:
            return _features(in_channels, column, lrn, batch_norm)

        features_shape(features, in_channels, input_size, "VGG")
        self.features = features()
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )  # fmt: skip
        self.pools = tuple(_pools(column, lrn, batch_norm))
        _initialise(self)

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The outputs of the five poolings."""
        return outputs_at(self.features, x, self.pools)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))  # type: ignore[no-any-return]


def _features(in_channels: int, column: str, lrn: bool, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for block, (filters, kernel_sizes) in enumerate(zip(FILTERS, TABLE_1[column], strict=True)):
        for kernel_size in kernel_sizes:
            layers.append(nn.Conv2d(in_channels, filters, kernel_size, padding=kernel_size // 2))
            if batch_norm:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(nn.ReLU())
            in_channels = filters
        if lrn and block == 0:  # AlexNet's; torch divides its alpha by the 5 maps
            layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _pools(column: str, lrn: bool, batch_norm: bool) -> Iterator[int]:
    """Places of the poolings in `features`."""
    place = int(lrn)
    for kernel_sizes in TABLE_1[column]:
        place += len(kernel_sizes) * (3 if batch_norm else 2)
        yield place
        place += 1


def _initialise(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


class Variant(NamedTuple):
    """A name, and what it names."""

    name: str
    column: str
    lrn: bool
    batch_norm: bool
    depth: int
    parameters: int
    macs: int


VARIANTS = (
    # name, column, LRN, batch norm, layers, parameters, macs
    Variant("vgg_a", "A", False, False, 11, 132_863_336, 7_609_090_048),
    Variant("vgg_a_lrn", "A", True, False, 11, 132_863_336, 7_609_090_048),
    Variant("vgg_b", "B", False, False, 13, 133_047_848, 11_308_466_176),
    Variant("vgg_c", "C", False, False, 16, 133_638_952, 11_770_888_192),
    Variant("vgg_d", "D", False, False, 16, 138_357_544, 15_470_264_320),
    Variant("vgg_e", "E", False, False, 19, 143_667_240, 19_632_062_464),
    Variant("vgg11", "A", False, False, 11, 132_863_336, 7_609_090_048),
    Variant("vgg13", "B", False, False, 13, 133_047_848, 11_308_466_176),
    Variant("vgg16", "D", False, False, 16, 138_357_544, 15_470_264_320),
    Variant("vgg19", "E", False, False, 19, 143_667_240, 19_632_062_464),
    Variant("vgg11_bn", "A", False, True, 11, 132_868_840, 7_609_090_048),
    Variant("vgg13_bn", "B", False, True, 13, 133_053_736, 11_308_466_176),
    Variant("vgg16_bn", "D", False, True, 16, 138_365_992, 15_470_264_320),
    Variant("vgg19_bn", "E", False, True, 19, 143_678_248, 19_632_062_464),
)

_ONE = "one size, dense; table 3, trained at"
_SEVERAL = "several sizes, dense; table 4, trained at"
_SCALE_JITTER = "three sizes; table 5, trained at 256 to 512,"

_VAL: dict[str, tuple[tuple[str, float, float], ...]] = {
    # ImageNet val: protocol, top-1 and top-5 error in percent
    "A": ((f"{_ONE} 256, tested at 256", 29.6, 10.4),),
    "A-LRN": ((f"{_ONE} 256, tested at 256", 29.7, 10.5),),
    "B": (
        (f"{_ONE} 256, tested at 256", 28.7, 9.9),
        (f"{_SEVERAL} 256", 28.2, 9.6),
    ),
    "C": (
        (f"{_ONE} 256, tested at 256", 28.1, 9.4),
        (f"{_ONE} 384, tested at 384", 28.1, 9.3),
        (f"{_ONE} 256 to 512, tested at 384", 27.3, 8.8),
        (f"{_SEVERAL} 256", 27.7, 9.2),
        (f"{_SEVERAL} 384", 27.8, 9.2),
        (f"{_SEVERAL} 256 to 512", 26.3, 8.2),
    ),
    "D": (
        (f"{_ONE} 256, tested at 256", 27.0, 8.8),
        (f"{_ONE} 384, tested at 384", 26.8, 8.7),
        (f"{_ONE} 256 to 512, tested at 384", 25.6, 8.1),
        (f"{_SEVERAL} 256", 26.6, 8.6),
        (f"{_SEVERAL} 384", 26.5, 8.6),
        (f"{_SEVERAL} 256 to 512", 24.8, 7.5),
        (f"{_SCALE_JITTER} 150 crops", 24.6, 7.5),
        (f"{_SCALE_JITTER} dense and 150 crops", 24.4, 7.2),
        ("10 crops; He et al. 2015 (ResNet), table 3", 28.07, 9.33),
    ),
    "E": (
        (f"{_ONE} 256, tested at 256", 27.3, 9.0),
        (f"{_ONE} 384, tested at 384", 26.9, 8.7),
        (f"{_ONE} 256 to 512, tested at 384", 25.5, 8.0),
        (f"{_SEVERAL} 256", 26.9, 8.7),
        (f"{_SEVERAL} 384", 26.7, 8.6),
        (f"{_SEVERAL} 256 to 512", 24.8, 7.5),
        (f"{_SCALE_JITTER} 150 crops", 24.6, 7.4),
        (f"{_SCALE_JITTER} dense and 150 crops", 24.4, 7.1),
    ),
}

_TORCHVISION = {
    # ImageNet val: the file of weights, top-1 and top-5 error in percent
    ("A", False): ("vgg11-8a719046", 30.980, 11.372),
    ("B", False): ("vgg13-19584684", 30.072, 10.754),
    ("D", False): ("vgg16-397923af", 28.408, 9.618),
    ("E", False): ("vgg19-dcbb9e9d", 27.624, 9.124),
    ("A", True): ("vgg11_bn-6002323d", 29.630, 10.190),
    ("B", True): ("vgg13_bn-abd245e5", 28.414, 9.626),
    ("D", True): ("vgg16_bn-6c64b313", 26.640, 8.484),
    ("E", True): ("vgg19_bn-c79401a0", 25.782, 8.158),
}


def _results(row: Variant) -> Iterator[PublishedResult]:
    own = () if row.batch_norm else _VAL["A-LRN" if row.lrn else row.column]
    for protocol, top1, top5 in own:
        yield PublishedResult("ImageNet val", round(top1 / 100, 5), protocol, round(top5 / 100, 5))
    if row.column == "E" and not row.batch_norm:
        test = "dense and 150 crops; table 7, the best single network"
        yield PublishedResult("ImageNet test", None, test, 0.07)
    if (row.column, row.batch_norm) in _TORCHVISION and not row.lrn:
        file, top1, top5 = _TORCHVISION[row.column, row.batch_norm]
        protocol = f"centre crop; torchvision's weights {file}"
        yield PublishedResult("ImageNet val", round(top1 / 100, 5), protocol, round(top5 / 100, 5))


def _deviations(row: Variant) -> tuple[str, ...]:
    start = (
        "convolutions start with He's weights (paper: a normal distribution of variance 10^-2; in deeper "
        "networks the first four, and the fully connected layers, from a trained A)"
    )
    return (start, "batch norm after each convolution (paper: none)") if row.batch_norm else (start,)


_PAPER = "Simonyan, Zisserman 2014, Very deep convolutional networks for large-scale image recognition"

for _row in VARIANTS:
    register(
        Architecture(
            name=_row.name,
            builder=VGG,
            arguments={"column": _row.column, "lrn": _row.lrn, "batch_norm": _row.batch_norm},
            paper=f"{_PAPER}, table 1, column {_row.column}{'-LRN' if _row.lrn else ''}",
            year=2014,
            input_shape=(3, 224, 224),
            num_classes=1000,
            parameters=_row.parameters,
            macs=_row.macs,
            depth=_row.depth,
            stem="features.0",
            head="classifier.6",
            stages=tuple(
                Stage(f"features.{place}", filters, 2 ** (block + 1))
                for block, (place, filters) in enumerate(
                    zip(_pools(_row.column, _row.lrn, _row.batch_norm), FILTERS, strict=True)
                )
            ),
            deviations=_deviations(_row),
            results=tuple(_results(_row)),
        )
    )
