"""ResNet: He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition".

`resnet20`: section 4.2, for 32x32 images; 269,722 parameters, 40,551,040 multiply-adds.
`resnet18`: table 1, for 224x224 images; 11,689,512 parameters, 1,814,073,344 multiply-adds.
Parameter names of `resnet18` are torchvision's, those of `resnet20` are akamaster's, so that public weights
load unchanged.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.zoo._registry import Architecture, PublishedResult, Stage, register


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


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: figure 2.

    Args:
        in_channels: Channels of its input.
        channels: Channels of its output.
        stride: Of the first convolution and the shortcut.
        projection: Where shapes change, a 1x1 convolution with batch norm (option B) rather than option A.

    Shape:
        (N, in_channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, channels: int, stride: int, projection: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.downsample = ShortcutA(in_channels, channels, stride)
            if projection:
                self.downsample = nn.Sequential(
                    nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels)
                )

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(F(x) + shortcut(x))."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))  # type: ignore[no-any-return]


def _stage(in_channels: int, channels: int, blocks: int, stride: int, projection: bool) -> nn.Sequential:
    """The blocks of one output size; the first one changes it."""
    rows = [BasicBlock(in_channels, channels, stride, projection)]
    rows += [BasicBlock(channels, channels, 1, projection) for _ in range(blocks - 1)]
    return nn.Sequential(*rows)


class CifarResNet(nn.Module):
    """6n + 2 layers for small images: section 4.2, option A shortcuts.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: Not needed: the head averages over whatever size is left.
        n: Blocks a stage.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).
    """

    def __init__(self, *, num_classes: int, in_channels: int, input_size: tuple[int, int], n: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, n, 1, projection=False)
        self.layer2 = _stage(16, 32, n, 2, projection=False)
        self.layer3 = _stage(32, 64, n, 2, projection=False)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, num_classes)
        _he_initialise(self, mode="fan_in")

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, finest first."""
        x = self.relu(self.bn1(self.conv1(x)))
        return _outputs(x, self.layer1, self.layer2, self.layer3)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.forward_stages(x)[-1]
        return self.linear(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """Table 1 with basic blocks and option B shortcuts.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: Not needed: the head averages over whatever size is left.
        blocks: Blocks of conv2_x to conv5_x.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        input_size: tuple[int, int],
        blocks: tuple[int, int, int, int],
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, blocks[0], 1, projection=True)
        self.layer2 = _stage(64, 128, blocks[1], 2, projection=True)
        self.layer3 = _stage(128, 256, blocks[2], 2, projection=True)
        self.layer4 = _stage(256, 512, blocks[3], 2, projection=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, num_classes)
        _he_initialise(self, mode="fan_out")

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, finest first."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return _outputs(x, self.layer1, self.layer2, self.layer3, self.layer4)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.forward_stages(x)[-1]
        return self.fc(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


def _outputs(x: Tensor, *stages: nn.Module) -> list[Tensor]:
    outputs = []
    for stage in stages:
        x = stage(x)
        outputs.append(x)
    return outputs


def _he_initialise(network: nn.Module, mode: str) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")  # type: ignore[arg-type]


_PAPER = "He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition"


RESNET20 = register(
    Architecture(
        name="resnet20",
        builder=CifarResNet,
        arguments={"n": 3},
        paper=f"{_PAPER}, section 4.2",
        year=2015,
        input_shape=(3, 32, 32),
        num_classes=10,
        parameters=269_722,
        macs=40_551_040,
        stem="conv1",
        head="linear",
        stages=(Stage("layer1", 16, 1), Stage("layer2", 32, 2), Stage("layer3", 64, 4)),
        results=(PublishedResult("CIFAR-10 test", 0.0875, "single view; the paper's table 6"),),
    )
)

RESNET18 = register(
    Architecture(
        name="resnet18",
        builder=ResNet,
        arguments={"blocks": (2, 2, 2, 2)},
        paper=f"{_PAPER}, table 1",
        year=2015,
        input_shape=(3, 224, 224),
        num_classes=1000,
        parameters=11_689_512,
        macs=1_814_073_344,
        stem="conv1",
        head="fc",
        stages=(
            Stage("layer1", 64, 4),
            Stage("layer2", 128, 8),
            Stage("layer3", 256, 16),
            Stage("layer4", 512, 32),
        ),
        deviations=("conv2_x's max pooling is padded by 1, as torchvision's (the authors': ceil mode)",),
        results=(PublishedResult("ImageNet val", 0.2788, "10 crops, option A; the paper's table 2"),),
    )
)
