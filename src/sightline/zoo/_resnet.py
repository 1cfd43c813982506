"""ResNet for ImageNet, and its plain twins.

Source: He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition", table 1.

| name | shortcuts | parameters | multiply-adds |
|---|---|---|---|
| `plain18`, `resnet18_a` | none; A | 11,515,688 | 1,794,805,760 |
| `resnet18` | B | 11,689,512 | 1,814,073,344 |
| `resnet18_c` | C | 12,043,816 | 1,878,298,624 |
| `plain34`, `resnet34_a` | none; A | 21,623,848 | 3,644,493,824 |
| `resnet34` | B | 21,797,672 | 3,663,761,408 |
| `resnet34_c` | C | 22,716,840 | 3,830,747,136 |
| `resnet50_v1`; `resnet50` | B | 25,557,032 | 3,857,973,248; 4,089,184,256 |
| `resnet101_v1`; `resnet101` | B | 44,549,160 | 7,570,194,432; 7,801,405,440 |
| `resnet152_v1`; `resnet152` | B | 60,192,808 | 11,282,415,616; 11,513,626,624 |

`v1` is the paper: a bottleneck that halves the size does so in its first 1x1 convolution. `resnet50`,
`resnet101` and `resnet152` are torchvision's "v1.5", where the 3x3 convolution does. Names and order of
parameters are torchvision's, so that public weights load unchanged; those of v1 and v1.5 are the same.

Convolutions start with He's normal weights, by the numbers of outputs, as torchvision's do (paper: either
way); the last layer starts as PyTorch's linear layers do. The CIFAR networks are in `_resnet_cifar.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.zoo._registry import Architecture, PublishedResult, Stage, register

PAPER = "He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition"

Shortcut = Literal["none", "A", "B", "C"]
"""What is added to a block: nothing (a plain network); or the block's input, which is brought to another
shape by option A (section 4.1): no parameters, B: a projection, C: a projection, and in every block."""

Version = Literal["v1", "v1.5"]
"""Where a bottleneck halves the size: in its first 1x1 convolution, or in its 3x3 one."""


class Row(NamedTuple):
    """A row of table 1."""

    name: str
    channels: int
    """Of its 3x3 convolutions."""
    stride: int
    """Of its first block."""
    blocks: Mapping[int, int]
    """By the depth of the network."""


# Table 1; before it, conv1 (7x7, 64, stride 2) and 3x3 max pooling of stride 2
TABLE_1 = (
    #          channels, stride, blocks of the 18-, 34-, 50-, 101- and 152-layer network
    Row("conv2_x",  64, 1, {18: 2, 34: 3, 50: 3, 101: 3, 152: 3}),
    Row("conv3_x", 128, 2, {18: 2, 34: 4, 50: 4, 101: 4, 152: 8}),
    Row("conv4_x", 256, 2, {18: 2, 34: 6, 50: 6, 101: 23, 152: 36}),
    Row("conv5_x", 512, 2, {18: 2, 34: 3, 50: 3, 101: 3, 152: 3}),
)  # fmt: skip


class ShortcutA(nn.Module):
    """Option A: every second pixel, and zeros for the channels that are new. It has no parameters.

    Half of the new channels go before the old ones and half behind (the paper does not say where).

    Shape:
        (N, C, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.behind = out_channels - in_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut of one image batch."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.behind))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """What all blocks of a network share."""

    shortcut: Shortcut
    version: Version = "v1.5"
    batch_norm: bool = True

    def convolution(self, in_channels: int, out_channels: int, size: int, stride: int = 1) -> nn.Conv2d:
        """Padded so that only the stride changes the size; with biases only without batch norm."""
        bias = not self.batch_norm
        return nn.Conv2d(in_channels, out_channels, size, stride=stride, padding=size // 2, bias=bias)

    def norm(self, channels: int) -> nn.Module:
        """Batch norm, or nothing."""
        return nn.BatchNorm2d(channels) if self.batch_norm else nn.Identity()

    def beside(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        """The shortcut of a block; None in a plain network."""
        changes = stride != 1 or in_channels != out_channels
        if self.shortcut == "none":
            return None
        if self.shortcut == "C" or (self.shortcut == "B" and changes):
            return nn.Sequential(
                self.convolution(in_channels, out_channels, 1, stride), self.norm(out_channels)
            )
        return ShortcutA(in_channels, out_channels, stride) if changes else nn.Identity()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: figure 2.

    Args:
        in_channels: Channels of its input.
        channels: Channels of its output.
        stride: Of the first convolution and the shortcut.
        form: What all blocks share.

    Shape:
        (N, in_channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    expansion: ClassVar[int] = 1
    """Channels of the output for each of the 3x3 convolution's."""

    def __init__(self, in_channels: int, channels: int, stride: int, form: Form) -> None:
        super().__init__()
        self.conv1 = form.convolution(in_channels, channels, 3, stride)
        self.bn1 = form.norm(channels)
        self.conv2 = form.convolution(channels, channels, 3)
        self.bn2 = form.norm(channels)
        self.relu = nn.ReLU()
        self.downsample = form.beside(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(F(x) + shortcut(x))."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        return self.relu(y)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut: figure 5, on the right.

    Args:
        in_channels: Channels of its input.
        channels: Channels of its 3x3 convolution; its output has four times as many.
        stride: Of the first 1x1 convolution (v1) or the 3x3 one (v1.5), and of the shortcut.
        form: What all blocks share.

    Shape:
        (N, in_channels, H, W) -> (N, 4 * channels, ceil(H / stride), ceil(W / stride)).
    """

    expansion: ClassVar[int] = 4
    """Channels of the output for each of the 3x3 convolution's."""

    def __init__(self, in_channels: int, channels: int, stride: int, form: Form) -> None:
        super().__init__()
        first, middle = (stride, 1) if form.version == "v1" else (1, stride)
        out_channels = self.expansion * channels
        self.conv1 = form.convolution(in_channels, channels, 1, first)
        self.bn1 = form.norm(channels)
        self.conv2 = form.convolution(channels, channels, 3, middle)
        self.bn2 = form.norm(channels)
        self.conv3 = form.convolution(channels, out_channels, 1)
        self.bn3 = form.norm(out_channels)
        self.relu = nn.ReLU()
        self.downsample = form.beside(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(F(x) + shortcut(x))."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        return self.relu(y)  # type: ignore[no-any-return]


def make_stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    channels: int,
    blocks: int,
    stride: int,
    form: Form,
) -> nn.Sequential:
    """The blocks of one output size; the first one changes it."""
    rows: list[nn.Module] = [block(in_channels, channels, stride, form)]
    rows += [block(block.expansion * channels, channels, 1, form) for _ in range(blocks - 1)]
    return nn.Sequential(*rows)


class ResNet(nn.Module):
    """Table 1.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: Not needed: the head averages over whatever size is left, and of any image some is.
        blocks: Blocks of conv2_x to conv5_x.
        bottleneck: Whether blocks are bottlenecks.
        shortcut: What is added to a block.
        version: Where a bottleneck halves the size.
        batch_norm: False for convolutions with biases and no batch norm, to see what weights alone do.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        input_size: tuple[int, int],
        blocks: Sequence[int],
        bottleneck: bool = False,
        shortcut: Shortcut = "B",
        version: Version = "v1.5",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        block: type[BasicBlock] | type[Bottleneck] = Bottleneck if bottleneck else BasicBlock
        form = Form(shortcut=shortcut, version=version, batch_norm=batch_norm)

        def stage(number: int, before: int) -> nn.Sequential:
            row = TABLE_1[number]
            return make_stage(block, before, row.channels, blocks[number], row.stride, form)

        self.conv1 = form.convolution(in_channels, 64, 7, 2)
        self.bn1 = form.norm(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(0, 64)
        self.layer2 = stage(1, block.expansion * 64)
        self.layer3 = stage(2, block.expansion * 128)
        self.layer4 = stage(3, block.expansion * 256)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(block.expansion * 512, num_classes)
        he_initialise(self, "fan_out")

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, finest first."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return stage_outputs(x, self.layer1, self.layer2, self.layer3, self.layer4)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.forward_stages(x)[-1]
        return self.fc(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


def stage_outputs(x: Tensor, *stages: nn.Module) -> list[Tensor]:
    """What each stage makes of the one before it."""
    outputs = []
    for stage in stages:
        x = stage(x)
        outputs.append(x)
    return outputs


def he_initialise(network: nn.Module, mode: Literal["fan_in", "fan_out"]) -> None:
    """Weights of convolutions from N(0, 2 / n), n a filter's inputs or outputs; biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# Variants

_VARIANTS: tuple[tuple[str, int, dict[str, Any], int, int], ...] = (
    # name, depth, arguments, parameters, multiply-adds
    ("plain18",      18,  {"shortcut": "none"},               11_515_688,  1_794_805_760),
    ("plain34",      34,  {"shortcut": "none"},               21_623_848,  3_644_493_824),
    ("resnet18_a",   18,  {"shortcut": "A"},                  11_515_688,  1_794_805_760),
    ("resnet18",     18,  {"shortcut": "B"},                  11_689_512,  1_814_073_344),
    ("resnet18_c",   18,  {"shortcut": "C"},                  12_043_816,  1_878_298_624),
    ("resnet34_a",   34,  {"shortcut": "A"},                  21_623_848,  3_644_493_824),
    ("resnet34",     34,  {"shortcut": "B"},                  21_797_672,  3_663_761_408),
    ("resnet34_c",   34,  {"shortcut": "C"},                  22_716_840,  3_830_747_136),
    ("resnet50_v1",  50,  {"bottleneck": True, "version": "v1"},    25_557_032,   3_857_973_248),
    ("resnet50",     50,  {"bottleneck": True, "version": "v1.5"},  25_557_032,   4_089_184_256),
    ("resnet101_v1", 101, {"bottleneck": True, "version": "v1"},    44_549_160,   7_570_194_432),
    ("resnet101",    101, {"bottleneck": True, "version": "v1.5"},  44_549_160,   7_801_405_440),
    ("resnet152_v1", 152, {"bottleneck": True, "version": "v1"},    60_192_808,  11_282_415_616),
    ("resnet152",    152, {"bottleneck": True, "version": "v1.5"},  60_192_808,  11_513_626_624),
)  # fmt: skip


def _ten_crops(top1: float, top5: float | None, table: str) -> PublishedResult:
    return PublishedResult("ImageNet val", top1, f"10 crops; the paper's {table}", top5_error=top5)


def _scales(top1: float, top5: float) -> PublishedResult:
    protocol = "fully convolutional, averaged over shorter sides 224, 256, 384, 480, 640; the paper's table 4"
    return PublishedResult("ImageNet val", top1, protocol, top5_error=top5)


def _released(top1: float, top5: float) -> PublishedResult:
    return PublishedResult("ImageNet val", top1, "1 crop; the authors' released models", top5_error=top5)


def _torch7(top1: float, top5: float) -> PublishedResult:
    protocol = "1 crop; fb.resnet.torch, trained on crops of many scales and shapes"
    return PublishedResult("ImageNet val", top1, protocol, top5_error=top5)


def _torchvision(top1: float, top5: float, weights: str = "V1") -> PublishedResult:
    resize = {"V1": 256, "V2": 232}[weights]
    protocol = f"1 crop of 224 from {resize}; torchvision's IMAGENET1K_{weights} weights"
    return PublishedResult("ImageNet val", top1, protocol, top5_error=top5)


_RESULTS = {
    "plain18": (_ten_crops(0.2794, None, "table 2"),),
    "plain34": (_ten_crops(0.2854, 0.1002, "tables 2 and 3"),),
    "resnet18_a": (_ten_crops(0.2788, None, "table 2"),),
    "resnet18": (_torchvision(0.30242, 0.10922), _torch7(0.3041, 0.1076)),
    "resnet34_a": (_ten_crops(0.2503, 0.0776, "tables 2 and 3"),),
    "resnet34": (
        _ten_crops(0.2452, 0.0746, "table 3"),
        _scales(0.2184, 0.0571),
        _torchvision(0.26686, 0.08580),
        _torch7(0.2673, 0.0874),
    ),
    "resnet34_c": (_ten_crops(0.2419, 0.0740, "table 3"), _scales(0.2153, 0.0560)),
    "resnet50_v1": (
        _ten_crops(0.2285, 0.0671, "table 3"),
        _scales(0.2074, 0.0525),
        _released(0.247, 0.078),
    ),
    "resnet50": (
        _torchvision(0.23870, 0.07138),
        _torchvision(0.19142, 0.04566, "V2"),
        _torch7(0.2401, 0.0702),
    ),
    "resnet101_v1": (
        _ten_crops(0.2175, 0.0605, "table 3"),
        _scales(0.1987, 0.0460),
        _released(0.236, 0.071),
    ),
    "resnet101": (
        _torchvision(0.22626, 0.06454),
        _torchvision(0.18114, 0.04220, "V2"),
        _torch7(0.2244, 0.0621),
    ),
    "resnet152_v1": (
        _ten_crops(0.2143, 0.0571, "table 3"),
        _scales(0.1938, 0.0449),
        _released(0.230, 0.067),
    ),
    "resnet152": (_torchvision(0.21688, 0.05954), _torchvision(0.17716, 0.03998, "V2")),
}

_POOLING = "conv2_x's max pooling is padded by 1, as torchvision's (the authors': not padded, ceil mode)"
_STRIDE = "a bottleneck halves the size in its 3x3 convolution, as torchvision's (paper: in its first 1x1)"

for _name, _depth, _arguments, _parameters, _macs in _VARIANTS:
    _expansion = Bottleneck.expansion if "bottleneck" in _arguments else BasicBlock.expansion
    register(
        Architecture(
            name=_name,
            builder=ResNet,
            arguments={"blocks": tuple(row.blocks[_depth] for row in TABLE_1)} | _arguments,
            paper=f"{PAPER}, table 1",
            year=2015,
            input_shape=(3, 224, 224),
            num_classes=1000,
            parameters=_parameters,
            macs=_macs,
            depth=_depth,
            stem="conv1",
            head="fc",
            stages=tuple(
                Stage(f"layer{i + 1}", _expansion * row.channels, 4 * 2**i) for i, row in enumerate(TABLE_1)
            ),
            deviations=(_POOLING, _STRIDE) if _arguments.get("version") == "v1.5" else (_POOLING,),
            results=_RESULTS.get(_name, ()),
        )
    )
