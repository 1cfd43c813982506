"""GoogLeNet as it was published.

Source: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich 2014, "Going deeper with
convolutions", table 1; where it is silent, its replication with Caffe (BVLC `bvlc_googlenet`).

For one 224x224 colour image:

| | parameters | multiply-adds |
|---|---|---|
| the main network, which answers | 6,998,552 | 1,582,671,872 |
| the auxiliary head on 4a | 3,188,840 | 4,169,728 |
| the auxiliary head on 4d | 3,190,888 | 4,202,496 |
| all of it, which trains | 13,378,280 | 1,591,044,096 |

The paper's sums are 6.8M and 1.5G. Its column of operations agrees with its filters but for conv1 (34M; a
7x7 kernel makes 118M) and 5a (54M; 51M); its column of parameters does not for 4a to 5b.

torchvision's form, whose weights are public, is in `_googlenet_bn.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sightline.zoo._registry import Architecture, PublishedResult, Stage, register
from sightline.zoo._smallest import check_size

PAPER = "Szegedy et al. 2014, Going deeper with convolutions, table 1"


class Row(NamedTuple):
    """An inception module of table 1: how many filters each of its convolutions has."""

    one: int
    """1x1."""
    three_reduce: int
    """1x1 before the 3x3."""
    three: int
    five_reduce: int
    """1x1 before the 5x5."""
    five: int
    pool: int
    """1x1 behind the max pooling."""

    @property
    def out_channels(self) -> int:
        """The four branches beside each other."""
        return self.one + self.three + self.five + self.pool


# Table 1; before it, conv1 (7x7, 64, stride 2), pool, conv2 (1x1, 64), conv3 (3x3, 192), pool
TABLE_1 = {
    #    #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
    "3a": Row( 64,  96, 128, 16,  32,  32),
    "3b": Row(128, 128, 192, 32,  96,  64),  # then pool
    "4a": Row(192,  96, 208, 16,  48,  64),  # beside it the first auxiliary head
    "4b": Row(160, 112, 224, 24,  64,  64),
    "4c": Row(128, 128, 256, 24,  64,  64),
    "4d": Row(112, 144, 288, 32,  64,  64),  # beside it the second auxiliary head
    "4e": Row(256, 160, 320, 32, 128, 128),  # then pool
    "5a": Row(256, 160, 320, 32, 128, 128),
    "5b": Row(384, 192, 384, 48, 128, 128),
}  # fmt: skip

STAGES = (
    Stage("conv1", 64, 2),
    Stage("conv3", 192, 4),
    Stage("inception3b", TABLE_1["3b"].out_channels, 8),
    Stage("inception4e", TABLE_1["4e"].out_channels, 16),
    Stage("inception5b", TABLE_1["5b"].out_channels, 32),
)


class GoogLeNetOutputs(NamedTuple):
    """Raw outputs while it trains; the names are torchvision's."""

    logits: Tensor
    aux_logits2: Tensor
    """Of the head on 4d."""
    aux_logits1: Tensor
    """Of the head on 4a."""


class Convolution(nn.Module):
    """A convolution that keeps the size, but for its stride, and ReLU.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, size, stride=stride, padding=size // 2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(conv(x))."""
        return self.relu(self.conv(x))  # type: ignore[no-any-return]


class Inception(nn.Module):
    """Figure 2(b): four branches beside each other.

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
            Convolution(in_channels, row.five_reduce, 1), Convolution(row.five_reduce, row.five, 5)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), Convolution(in_channels, row.pool, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The branches' maps, in the table's order."""
        return torch.cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), dim=1)


class AuxiliaryHead(nn.Module):
    """Section 5: a small classifier on an inner module, so that gradients reach it on a shorter way.

    Args:
        in_channels: Channels of that module's output.
        size: (height, width) of that module's output, 5 at least.
        num_classes: Logits.

    Shape:
        (N, in_channels, *size) -> (N, num_classes).
    """

    def __init__(self, in_channels: int, size: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        height, width = ((pixels - 5) // 3 + 1 for pixels in size)
        self.pool = nn.AvgPool2d(5, stride=3)
        self.conv = Convolution(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * height * width, 1024)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """The module's maps to logits."""
        x = torch.flatten(self.conv(self.pool(x)), 1)
        x = self.dropout(self.relu(self.fc1(x)))
        return self.fc2(x)  # type: ignore[no-any-return]


class GoogLeNet2014(nn.Module):
    """Table 1 and figure 3.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: (height, width); the auxiliary heads are made for it.
        auxiliary_heads: Whether it has auxiliary heads, which serve only training.

    Shape:
        (N, in_channels, *input_size) -> (N, num_classes); in training mode, three of them.

    Raises:
        ArgumentError: if the input is smaller than 79x79, or without auxiliary heads 31x31.
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
        check_size("googlenet_2014", input_size, 79 if auxiliary_heads else 31)
        self.conv1 = Convolution(in_channels, 64, 7, stride=2)
        self.maxpool1 = _pool()
        self.norm1 = _norm()
        self.conv2 = Convolution(64, 64, 1)
        self.conv3 = Convolution(64, 192, 3)
        self.norm2 = _norm()
        self.maxpool2 = _pool()
        self.inception3a = Inception(192, TABLE_1["3a"])
        self.inception3b = Inception(256, TABLE_1["3b"])
        self.maxpool3 = _pool()
        self.inception4a = Inception(480, TABLE_1["4a"])
        self.inception4b = Inception(512, TABLE_1["4b"])
        self.inception4c = Inception(512, TABLE_1["4c"])
        self.inception4d = Inception(512, TABLE_1["4d"])
        self.inception4e = Inception(528, TABLE_1["4e"])
        self.maxpool4 = _pool()
        self.inception5a = Inception(832, TABLE_1["5a"])
        self.inception5b = Inception(832, TABLE_1["5b"])
        self.aux1: AuxiliaryHead | None = None
        self.aux2: AuxiliaryHead | None = None
        if auxiliary_heads:
            height, width = ((pixels + 1) // 2 // 8 for pixels in input_size)  # conv1, three poolings
            self.aux1 = AuxiliaryHead(512, (height, width), num_classes)
            self.aux2 = AuxiliaryHead(528, (height, width), num_classes)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(1024, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        """As Caffe: uniform weights of variance 1 / inputs, biases 0.2, and 0 where logits are made."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
                assert module.bias is not None
                nn.init.constant_(module.bias, 0.2)
        for head in (self.aux1, self.aux2):
            if head is not None:
                nn.init.zeros_(head.fc2.bias)
        nn.init.zeros_(self.fc.bias)

    def _rows(self, x: Tensor) -> dict[str, Tensor]:
        """The rows of table 1 that something attaches to."""
        rows: dict[str, Tensor] = {}
        rows["conv1"] = x = self.conv1(x)  # 112x112
        x = self.norm1(self.maxpool1(x))
        rows["conv3"] = x = self.conv3(self.conv2(x))  # 56x56
        x = self.maxpool2(self.norm2(x))
        rows["3b"] = x = self.inception3b(self.inception3a(x))  # 28x28
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


def _pool() -> nn.MaxPool2d:
    """3x3, stride 2; rounded up, so that 112 becomes 56."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _norm() -> nn.LocalResponseNorm:
    """Local response normalisation with Caffe's numbers."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)


GOOGLENET_2014 = register(
    Architecture(
        name="googlenet_2014",
        builder=GoogLeNet2014,
        paper=PAPER,
        year=2014,
        input_shape=(3, 224, 224),
        num_classes=1000,
        parameters=13_378_280,
        macs=1_582_671_872,
        depth=22,
        stem="conv1.conv",
        head="fc",
        auxiliary_heads=("aux1", "aux2"),
        stages=STAGES,
        objective="cross_entropy_auxiliary",
        deviations=(
            "weights and biases start as Caffe's replication does (paper: not said), to which the places and "
            "numbers of the local response normalisation belong, too",
            "the average pooling covers whatever is left of the image (paper: 7x7, all that is left of 224)",
        ),
        results=(
            PublishedResult("ImageNet val", None, "1 model, 1 crop; the paper's table 3", top5_error=0.1007),
            PublishedResult(
                "ImageNet val", None, "1 model, 10 crops; the paper's table 3", top5_error=0.0915
            ),
            PublishedResult(
                "ImageNet val", None, "1 model, 144 crops; the paper's table 3", top5_error=0.0789
            ),
            PublishedResult(
                "ImageNet val", None, "7 models, 144 crops; the paper's table 3", top5_error=0.0667
            ),
            PublishedResult("ImageNet val", 0.313, "Caffe's replication, the centre crop", top5_error=0.111),
        ),
    )
)
