"""ResNet for 32x32 images, and its plain twins.

Source: He, Zhang, Ren, Sun 2015, "Deep residual learning for image recognition", section 4.2.

| layers | output | filters |
|---|---|---|
| 1 + 2n | 32x32 | 16 |
| 2n | 16x16 | 32 |
| 2n | 8x8 | 64 |
| average, 1 | 10 | |

| names | n | parameters (the paper) | multiply-adds |
|---|---|---|---|
| `resnet20`, `plain20` | 3 | 269,722 (0.27M) | 40,551,040 |
| `resnet32`, `plain32` | 5 | 464,154 (0.46M) | 68,862,592 |
| `resnet44`, `plain44` | 7 | 658,586 (0.66M) | 97,174,144 |
| `resnet56`, `plain56` | 9 | 853,018 (0.85M) | 125,485,696 |
| `resnet110`, `plain110` | 18 | 1,727,962 (1.7M) | 252,887,680 |
| `resnet1202` | 200 | 19,421,274 (19.4M) | 2,829,238,912 |

Shortcuts are option A, which has no parameters: plain and residual networks of one depth count the same.
Names of parameters are akamaster's, so that public weights load unchanged. Convolutions start with He's
normal weights, by the number of inputs; the last layer starts as PyTorch's linear layers do.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sightline.zoo._registry import Architecture, PublishedResult, Stage, register
from sightline.zoo._resnet import PAPER, BasicBlock, Form, Shortcut, he_initialise, make_stage, stage_outputs


class CifarResNet(nn.Module):
    """6n + 2 layers for small images.

    Args:
        num_classes: Logits.
        in_channels: Channels of an image.
        input_size: Not needed: the head averages over whatever size is left, and of any image some is.
        n: Blocks a stage.
        shortcut: What is added to a block.
        batch_norm: False for convolutions with biases and no batch norm.

    Shape:
        (N, in_channels, H, W) -> (N, num_classes).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        input_size: tuple[int, int],
        n: int,
        shortcut: Shortcut = "A",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        form = Form(shortcut=shortcut, batch_norm=batch_norm)
        self.conv1 = form.convolution(in_channels, 16, 3)
        self.bn1 = form.norm(16)
        self.relu = nn.ReLU()
        self.layer1 = make_stage(BasicBlock, 16, 16, n, 1, form)
        self.layer2 = make_stage(BasicBlock, 16, 32, n, 2, form)
        self.layer3 = make_stage(BasicBlock, 32, 64, n, 2, form)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, num_classes)
        he_initialise(self, "fan_in")

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, finest first."""
        x = self.relu(self.bn1(self.conv1(x)))
        return stage_outputs(x, self.layer1, self.layer2, self.layer3)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        x = self.forward_stages(x)[-1]
        return self.linear(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


# Variants

_VARIANTS = (
    # depth, parameters, multiply-adds, test error of the residual one (table 6)
    (20, 269_722, 40_551_040, 0.0875),
    (32, 464_154, 68_862_592, 0.0751),
    (44, 658_586, 97_174_144, 0.0717),
    (56, 853_018, 125_485_696, 0.0697),
    (110, 1_727_962, 252_887_680, 0.0643),
    (1202, 19_421_274, 2_829_238_912, 0.0793),
)
_PLAIN = (20, 32, 44, 56, 110)  # figure 6, which gives no numbers


def _protocol(depth: int) -> str:
    protocol = "single view; the paper's table 6"
    return f"{protocol}; the best of 5 runs, 0.0661 +- 0.0016" if depth == 110 else protocol


for _depth, _parameters, _macs, _error in _VARIANTS:
    for _kind in ("resnet", "plain") if _depth in _PLAIN else ("resnet",):
        _residual = _kind == "resnet"
        _arguments: dict[str, Any] = {"n": (_depth - 2) // 6}
        if not _residual:
            _arguments["shortcut"] = "none"
        register(
            Architecture(
                name=f"{_kind}{_depth}",
                builder=CifarResNet,
                arguments=_arguments,
                paper=f"{PAPER}, section 4.2",
                year=2015,
                input_shape=(3, 32, 32),
                num_classes=10,
                parameters=_parameters,
                macs=_macs,
                depth=_depth,
                stem="conv1",
                head="linear",
                stages=(Stage("layer1", 16, 1), Stage("layer2", 32, 2), Stage("layer3", 64, 4)),
                results=(PublishedResult("CIFAR-10 test", _error, _protocol(_depth)),) if _residual else (),
            )
        )
