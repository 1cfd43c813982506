"""GoogLeNet as torchvision builds it, so that its public weights load unchanged.

Source: Szegedy et al. 2014, "Going deeper with convolutions", table 1 (see `_googlenet.py`), with the batch
norm of Ioffe, Szegedy 2015, as TensorFlow's slim models had it and torchvision 0.28 has it.

For one 224x224 colour image:

| | parameters | multiply-adds |
|---|---|---|
| the main network, which answers | 6,624,904 | 1,498,376,192 |
| all of it, which trains | 13,004,888 | 1,506,748,416 |

The public weights expect values of mean 0.5 and deviation 0.5 in every channel, those from 0 to 1 taken to
-1 to 1: torchvision's `transform_input`, which it applies behind ImageNet's mean and deviation, makes just
that of them. Here it is the preprocessing's matter, and the network has no such switch. The auxiliary heads
in the public file were never trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.zoo._googlenet import PAPER, STAGES, TABLE_1, GoogLeNetOutputs, Row
from sightline.zoo._registry import Architecture, PublishedResult, register
from sightline.zoo._smallest import check_size


class Convolution(nn.Module):
    """A convolution without biases that keeps the size, but for its stride, batch norm and ReLU.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, size, stride=stride, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(bn(conv(x)))."""
        return self.relu(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class Inception(nn.Module):
    """Four branches beside each other; the third one's second kernel is 3x3.

    Shape:
        (N, in_channels, H, W) -> (N, row.out_channels, H, W).
    """

    def __init__(self, in_channels: int, row: Row) -> None:
        super().__init__()
        self.branch1 = Convolution(in_channels, row.one, 1)
        self.branch2 = nn.Sequential(
            Convolution(in_channels, row.three_reduce, 1), Convolution(row.three_reduce, row.three, 3)
        )
        self.branch3 = nn.Sequential(
            Convolution(in_channels, row.five_reduce, 1),
            Convolution(row.five_reduce, row.five, 3),  # paper: 5x5; see deviations
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), Convolution(in_channels, row.pool, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The branches' maps, in the table's order."""
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), dim=1)


class AuxiliaryHead(nn.Module):
    """A small classifier on an inner module, of whatever size that is.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = Convolution(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """The module's maps to logits."""
        x = torch.flatten(self.conv(self.pool(x)), 1)
        x = self.dropout(self.relu(self.fc1(x)))
        return self.fc2(x)  # type: ignore[no-any-return]


class GoogLeNet(nn.Module):
    """Table 1 with batch norm.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width).
        auxiliary_heads: Whether it has auxiliary heads, which serve only training.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes); in training mode, three of them.

    Raises:
        ArgumentError: if the input is smaller than 15x15.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        input_size: tuple[int, int],
        auxiliary_heads: bool = True,
    ) -> None:
        super().__init__()
        check_size("googlenet", input_size, 15)
        self.conv1 = Convolution(in_channels, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = Convolution(64, 64, 1)
        self.conv3 = Convolution(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, TABLE_1["3a"])
        self.inception3b = Inception(256, TABLE_1["3b"])
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(480, TABLE_1["4a"])
        self.inception4b = Inception(512, TABLE_1["4b"])
        self.inception4c = Inception(512, TABLE_1["4c"])
        self.inception4d = Inception(512, TABLE_1["4d"])
        self.inception4e = Inception(528, TABLE_1["4e"])
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)  # paper: 3x3
        self.inception5a = Inception(832, TABLE_1["5a"])
        self.inception5b = Inception(832, TABLE_1["5b"])
        self.aux1 = AuxiliaryHead(512, num_classes) if auxiliary_heads else None
        self.aux2 = AuxiliaryHead(528, num_classes) if auxiliary_heads else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01)

    def _rows(self, x: Tensor) -> dict[str, Tensor]:
        """The rows of table 1 that something attaches to."""
        rows: dict[str, Tensor] = {}
        rows["conv1"] = x = self.conv1(x)  # 112x112
        rows["conv3"] = x = self.conv3(self.conv2(self.maxpool1(x)))  # 56x56
        rows["3b"] = x = self.inception3b(self.inception3a(self.maxpool2(x)))  # 28x28
        rows["4a"] = x = self.inception4a(self.maxpool3(x))  # 14x14
        rows["4d"] = x = self.inception4d(self.inception4c(self.inception4b(x)))
        rows["4e"] = x = self.inception4e(x)
        rows["5b"] = self.inception5b(self.inception5a(self.maxpool4(x)))  # 7x7
        return rows

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, finest first."""
        rows = self._rows(x)
        return [rows["conv1"], rows["conv3"], rows["3b"], rows["4e"], rows["5b"]]

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        """Images to logits; in training mode, to those of the auxiliary heads too."""
        rows = self._rows(x)
        x = self.dropout(torch.flatten(self.avgpool(rows["5b"]), 1))
        logits: Tensor = self.fc(x)
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return GoogLeNetOutputs(logits, self.aux2(rows["4d"]), self.aux1(rows["4a"]))
        return logits


GOOGLENET = register(
    Architecture(
        name="googlenet",
        builder=GoogLeNet,
        paper=f"{PAPER}, as torchvision builds it",
        year=2014,
        input_shape=(3, 224, 224),
        num_classes=1000,
        parameters=13_004_888,
        macs=1_498_376_192,
        depth=22,
        stem="conv1.conv",
        head="fc",
        auxiliary_heads=("aux1", "aux2"),
        stages=STAGES,
        objective="cross_entropy_auxiliary",
        deviations=(
            "batch norm behind every convolution, which has no biases (paper: biases, local response "
            "normalisation)",
            "the 5x5 branches have 3x3 kernels, a slip that torchvision keeps for its weights",
            "the last max pooling is 2x2 (paper: 3x3)",
            "auxiliary heads average over 4x4 equal parts (paper: 5x5, stride 3; the same 4x4 at 224)",
            "dropout of 20 % before the last layer (paper: 40 %)",
            "weights start as torchvision's do, N(0, 0.01^2) (paper: not said)",
        ),
        results=(
            PublishedResult(
                "ImageNet val",
                0.30222,
                "1 crop of 224 from 256; torchvision's IMAGENET1K_V1 weights, trained elsewhere",
                top5_error=0.10470,
            ),
        ),
    )
)
