"""The U-Net of 2015, plain, to draw and count.

Ronneberger, Fischer, Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation", figure 1:
31,030,658 parameters, 150,428,424,448 multiply-adds for one grey image of 572x572, which gives two maps of
388x388. Convolutions have no padding; what goes across is cropped about its middle.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 1024)
"""Maps, from the top of the U to its bottom."""


def double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU; each takes a pixel off every side."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3), nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """The network of figure 1.

    Shape:
        (N, in_channels, 572, 572) -> (N, num_classes, 388, 388).
    """

    def __init__(self, num_classes: int = 2, in_channels: int = 1) -> None:
        super().__init__()
        sizes = (in_channels, *WIDTHS)
        self.down = nn.ModuleList([double_convolution(a, b) for a, b in zip(sizes, WIDTHS, strict=False)])
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList([nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs])
        self.join = nn.ModuleList([double_convolution(a, b) for a, b in pairs])
        self.head = nn.Conv2d(WIDTHS[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits a pixel."""
        across = []
        for level, convolutions in enumerate(self.down):
            x = convolutions(self.pool(x) if level else x)
            across.append(x)
        across.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = up(x)
            x = join(torch.cat([cropped(across.pop(), x), x], dim=1))
        logits: Tensor = self.head(x)
        return logits


def cropped(maps: Tensor, like: Tensor) -> Tensor:
    """The middle of larger maps.

    Shape:
        (N, C, H, W), (N, any, h, w) -> (N, C, h, w).
    """
    (height, width), (h, w) = maps.shape[2:], like.shape[2:]
    top, left = (height - h) // 2, (width - w) // 2
    return maps[:, :, top : top + h, left : left + w]
