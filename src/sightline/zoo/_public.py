"""Public weights: which there are, where, and what belongs to them. Nothing here touches the network.

The files are torchvision's; the eight hexadecimal digits in a name begin the SHA-256 of its content.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from sightline.base import ArgumentError, ModelFileError, cache_folder, did_you_mean

_HOST = "https://download.pytorch.org/models"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of ImageNet's training images, scaled to [0, 1], by channel: R, G, B."""

LICENCE = "BSD-3-Clause (torchvision); trained on ImageNet, whose images are for research"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicWeights:
    """A file of weights that anybody can have."""

    architecture: str
    file: str
    megabytes: float
    """About, in 10^6 bytes."""
    top1: float
    """Accuracy its authors publish: ImageNet validation, one 224x224 crop of the centre of 256."""

    @property
    def preprocessing(self) -> dict[str, list[float]]:
        """The mean and deviation it expects; torchvision's GoogLeNet brings its input to these itself."""
        if self.architecture == "googlenet":
            return {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
        return {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{_HOST}/{self.file}"

    @property
    def digest(self) -> str:
        """The first eight hexadecimal digits of the SHA-256 of its content."""
        return self.file.rpartition("-")[2].partition(".")[0]

    @property
    def path(self) -> Path:
        """Where it is kept on this machine, if it is."""
        return cache_folder("public") / self.file


_FILES = (
    # architecture, file, MB, top-1 accuracy
    ("alexnet", "alexnet-owt-7be5be79.pth", 244.4, 0.56522),
    ("googlenet", "googlenet-1378be20.pth", 52.1, 0.69778),
    ("resnet101", "resnet101-63fe2227.pth", 178.8, 0.77374),
    ("resnet152", "resnet152-394f9c45.pth", 241.6, 0.78312),
    ("resnet18", "resnet18-f37072fd.pth", 46.8, 0.69758),
    ("resnet34", "resnet34-b627a593.pth", 87.3, 0.73314),
    ("resnet50", "resnet50-0676ba61.pth", 102.5, 0.76130),
    ("squeezenet1_0", "squeezenet1_0-b66bff10.pth", 5.0, 0.58092),
    ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", 5.0, 0.58178),
    ("vgg11", "vgg11-8a719046.pth", 531.5, 0.69020),
    ("vgg11_bn", "vgg11_bn-6002323d.pth", 531.5, 0.70370),
    ("vgg13", "vgg13-19584684.pth", 532.2, 0.69928),
    ("vgg13_bn", "vgg13_bn-abd245e5.pth", 532.2, 0.71586),
    ("vgg16", "vgg16-397923af.pth", 553.4, 0.71592),
    ("vgg16_bn", "vgg16_bn-6c64b313.pth", 553.5, 0.73360),
    ("vgg19", "vgg19-dcbb9e9d.pth", 574.7, 0.72376),
    ("vgg19_bn", "vgg19_bn-c79401a0.pth", 574.8, 0.74218),
)

PUBLIC = {
    name: PublicWeights(architecture=name, file=file, megabytes=megabytes, top1=top1)
    for name, file, megabytes, top1 in _FILES
}

FOR_LECTURE = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "squeezenet1_1")
"""What a class room needs."""


def public_weights(name: str) -> PublicWeights:
    """The public weights of a network.

    Raises:
        ArgumentError: if there are none; it names close ones.
    """
    if name not in PUBLIC:
        raise ArgumentError(f"no public weights of {name!r}; {did_you_mean(name, PUBLIC)}")
    return PUBLIC[name]


def public_file(name: str) -> Path:
    """The file of a network's public weights, which has been fetched before.

    Raises:
        ArgumentError: if there are none.
        ModelFileError: if they have not been fetched; it says how.
    """
    weights = public_weights(name)
    if not weights.path.is_file():
        raise ModelFileError(
            f"the public weights of {name} are not on this machine; type: sightline fetch {name}"
        )
    return weights.path
