"""Architectures by name, each a frozen record that a test recomputes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import nn

from sightline.base import ArgumentError, did_you_mean

Builder = Callable[..., nn.Module]
"""Called with `num_classes`, `in_channels`, `input_size` and the architecture's own arguments."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A place in a network where a head, a pyramid or a probe can attach."""

    path: str
    """Module path."""
    channels: int
    """Channels of its output."""
    stride: int
    """Input pixels per output pixel, in each direction."""


@dataclasses.dataclass(frozen=True)
class PublishedResult:
    """An error somebody else measured."""

    data: str
    """The images, e.g. `CIFAR-10 test`."""
    top1_error: float | None
    """As a fraction; None where it is not published."""
    protocol: str
    """How it was measured, and where it is printed."""
    top5_error: float | None = None
    """As a fraction; None where it is not published."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is known of a network before it is built."""

    name: str
    builder: Builder
    paper: str
    """Author, year, title, and the table it is read from."""
    year: int
    input_shape: tuple[int, int, int]
    """(C, H, W) of the paper."""
    num_classes: int
    """Classes of the paper."""
    parameters: int
    """Elements of all parameters of the paper's network, exactly."""
    macs: int
    """Multiplies of convolutions and matrix products for one paper input, without bias, exactly."""
    depth: int = 0
    """Layers with weights from input to output, as papers count them; 0 where that is no number."""
    stem: str
    """Path of the first layer with weights, which knows the number of input channels."""
    head: str
    """Path of the last layer, which knows the number of classes."""
    auxiliary_heads: tuple[str, ...] = ()
    """Paths of modules that serve only training, and know the number of classes, too."""
    stages: tuple[Stage, ...] = ()
    objective: str = "cross_entropy"
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The builder's own arguments, as JSON."""
    input_sizes: Literal["fixed", "adapts"] = "adapts"
    """Whether images of another size are brought to `input_shape`, or the network is built for theirs."""
    deviations: tuple[str, ...] = ()
    """Every difference from the paper."""
    results: tuple[PublishedResult, ...] = ()
    source: str = ""
    """`FILE.py:NAME` for a user's own network; empty for ours."""
    source_digest: str = ""
    """BLAKE2b-128 of that file."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `sightline models`."""
        return {
            "name": self.name,
            "paper": self.paper,
            "year": self.year,
            "input_shape": list(self.input_shape),
            "num_classes": self.num_classes,
            "parameters": self.parameters,
            "macs": self.macs,
            "depth": self.depth,
            "objective": self.objective,
            "input_sizes": self.input_sizes,
            "deviations": list(self.deviations),
            "published": [
                {
                    "data": r.data,
                    "top1_error": r.top1_error,
                    "top5_error": r.top5_error,
                    "protocol": r.protocol,
                }
                for r in self.results
            ],
        }

    def build(
        self,
        *,
        num_classes: int | None = None,
        in_channels: int | None = None,
        input_size: tuple[int, int] | None = None,
    ) -> nn.Module:
        """Build the network, with the paper's numbers where none are given; a user's with its own defaults.

        Args:
            num_classes: How many logits it returns.
            in_channels: Channels of its input.
            input_size: (height, width) of its input.

        Raises:
            ArgumentError: if a number is below 1, or the input is too small; it names the layer.
        """
        for what, number in (("num_classes", num_classes), ("in_channels", in_channels)):
            if number is not None and number < 1:
                raise ArgumentError(f"{what} must be at least 1; it is {number}")
        if self.source:
            return self.builder(num_classes=num_classes, in_channels=in_channels, input_size=input_size)
        return self.builder(
            num_classes=num_classes or self.num_classes,
            in_channels=in_channels or self.input_shape[0],
            input_size=input_size or self.input_shape[1:],
            **self.arguments,
        )


_ARCHITECTURES: dict[str, Architecture] = {}
_MODULES = (
    "_airbench",
    "_alexnet",
    "_alexnet_owt",
    "_conv1d",
    "_googlenet",
    "_googlenet_bn",
    "_lecture",
    "_lenet",
    "_mlp",
    "_prelunet",
    "_resnet",
    "_resnet_cifar",
    "_squeezenet",
    "_vgg",
    "_zfnet",
)


def register(architecture: Architecture) -> Architecture:
    """Add an architecture; a name is used once."""
    assert architecture.name not in _ARCHITECTURES, f"{architecture.name} is registered twice"
    _ARCHITECTURES[architecture.name] = architecture
    return architecture


def list_architectures() -> list[Architecture]:
    """Every architecture of the zoo, by name."""
    import importlib

    for module in _MODULES:
        importlib.import_module(f"sightline.zoo.{module}")
    return [_ARCHITECTURES[name] for name in sorted(_ARCHITECTURES)]


def get_architecture(name: str) -> Architecture:
    """The architecture of this name.

    Raises:
        ArgumentError: if there is none; it names close ones.
    """
    known = {architecture.name: architecture for architecture in list_architectures()}
    if name not in known:
        raise ArgumentError(f"no network named {name!r}; {did_you_mean(name, known)}")
    return known[name]
